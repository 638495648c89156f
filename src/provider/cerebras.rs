//! Cerebras. <https://inference-docs.cerebras.ai/resources/openai> (read 2026-11-21): `system` is what OpenAI calls
//! `developer`.

use super::{OPENAI_COMPATIBLE, OutputCapField, Provider, ability::Ability, endpoint::Endpoint};

/// Cerebras.
pub static CEREBRAS: Provider = Provider {
    name: "cerebras",
    base_url: Some("https://api.cerebras.ai/v1"),
    secret: Some("CEREBRAS_API_KEY"),
    endpoints: &[Endpoint::CHAT],
    output_cap_field: OutputCapField::MaxCompletionTokens,
    can: &[
        Ability::Tools,
        Ability::ParallelTools,
        Ability::Images,
        Ability::Schema,
        Ability::Reasoning,
        Ability::Logprobs,
        Ability::Seed,
    ],
    cannot: &[Ability::Audio, Ability::Choices],
    source: "https://inference-docs.cerebras.ai/api-reference/chat-completions",
    ..OPENAI_COMPATIBLE
};
