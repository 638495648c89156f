//! xAI. <https://docs.x.ai/docs/api-reference> (read 2026-11-21). Its usage says what a request cost
//! (<https://docs.x.ai/developers/cost-tracking>).

use super::{OPENAI_COMPATIBLE, OutputCapField, Provider, ability::Ability, endpoint::Endpoint};

/// xAI.
pub static XAI: Provider = Provider {
    name: "xai",
    base_url: Some("https://api.x.ai/v1"),
    secret: Some("XAI_API_KEY"),
    model_prefixes: &["grok-"],
    endpoints: &[Endpoint::CHAT, Endpoint::RESPONSES],
    output_cap_field: OutputCapField::MaxCompletionTokens,
    can: &[
        Ability::Tools,
        Ability::ParallelTools,
        Ability::Images,
        Ability::Schema,
        Ability::Reasoning,
        Ability::Cache,
        Ability::Logprobs,
        Ability::Choices,
        Ability::Seed,
    ],
    source: "https://docs.x.ai/docs/api-reference",
    ..OPENAI_COMPATIBLE
};
