//! DeepSeek. <https://api-docs.deepseek.com/quick_start/your_first_api_call.md> (read 2026-11-21), and recorded exchanges.

use super::{OPENAI_COMPATIBLE, Provider, ability::Ability, endpoint::Endpoint};

/// DeepSeek's own API.
pub static DEEPSEEK: Provider = Provider {
    name: "deepseek",
    base_url: Some("https://api.deepseek.com"),
    secret: Some("DEEPSEEK_API_KEY"),
    model_prefixes: &["deepseek-"],
    endpoints: &[Endpoint::CHAT],
    can: &[Ability::Tools, Ability::Reasoning, Ability::Cache, Ability::Logprobs],
    cannot: &[Ability::Audio, Ability::Pdf],
    source: "https://api-docs.deepseek.com/api/create-chat-completion",
    ..OPENAI_COMPATIBLE
};
