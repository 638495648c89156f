//! OpenAI. Its published schemas (<https://github.com/openai/openai-openapi>, version 2.3.0) and recorded exchanges
//! (read 2026-11-21).

use super::{OPENAI_COMPATIBLE, OutputCapField, Provider, ability::Ability, endpoint::Endpoint};

/// OpenAI's own API. Reasoning models refuse `max_tokens`; all take `max_completion_tokens`.
pub static OPENAI: Provider = Provider {
    name: "openai",
    base_url: Some("https://api.openai.com/v1"),
    secret: Some("OPENAI_API_KEY"),
    model_prefixes: &["gpt-", "chatgpt-", "o1", "o3", "o4", "text-embedding-"],
    endpoints: &[Endpoint::CHAT, Endpoint::RESPONSES, Endpoint::EMBEDDINGS],
    output_cap_field: OutputCapField::MaxCompletionTokens,
    default_tier: Some("default"),
    can: CAN,
    source: "https://platform.openai.com/docs/api-reference/chat",
    ..OPENAI_COMPATIBLE
};

/// What OpenAI's models can do, wherever they are hosted.
pub(super) const CAN: &[Ability] = &[
    Ability::Tools,
    Ability::ParallelTools,
    Ability::Images,
    Ability::Audio,
    Ability::Pdf,
    Ability::Schema,
    Ability::Reasoning,
    Ability::Cache,
    Ability::Logprobs,
    Ability::Choices,
    Ability::Seed,
];
