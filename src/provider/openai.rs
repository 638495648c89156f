//! OpenAI. <https://platform.openai.com/docs/api-reference/chat> (read 2026-11-21).

use super::{OPENAI_COMPATIBLE, OutputCapField, Provider};

/// OpenAI's own API. Reasoning models refuse `max_tokens`; all take `max_completion_tokens`.
pub static OPENAI: Provider = Provider {
    name: "openai",
    base_url: Some("https://api.openai.com/v1"),
    secret: Some("OPENAI_API_KEY"),
    model_prefixes: &["gpt-", "chatgpt-", "o1", "o3", "o4", "text-embedding-"],
    output_cap_field: OutputCapField::MaxCompletionTokens,
    default_tier: Some("default"),
    ..OPENAI_COMPATIBLE
};
