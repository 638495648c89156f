//! Groq. <https://console.groq.com/docs/openai> (read 2026-11-21): `logprobs`, `logit_bias`, `messages[].name` and `n`
//! above 1 are a 400.

use super::{OPENAI_COMPATIBLE, OutputCapField, Provider, ability::Ability, endpoint::Endpoint};

/// Groq.
pub static GROQ: Provider = Provider {
    name: "groq",
    base_url: Some("https://api.groq.com/openai/v1"),
    secret: Some("GROQ_API_KEY"),
    endpoints: &[Endpoint::CHAT],
    output_cap_field: OutputCapField::MaxCompletionTokens,
    can: &[
        Ability::Tools,
        Ability::ParallelTools,
        Ability::Images,
        Ability::Schema,
        Ability::Reasoning,
        Ability::Cache,
        Ability::Seed,
    ],
    cannot: &[Ability::Logprobs, Ability::Choices],
    source: "https://console.groq.com/docs/openai",
    ..OPENAI_COMPATIBLE
};
