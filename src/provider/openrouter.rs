//! OpenRouter. <https://openrouter.ai/docs/use-cases/usage-accounting> (read 2026-11-21): every answer says what it cost, asked
//! or not, and that is what is booked.

use super::{OPENAI_COMPATIBLE, Provider, ability::Ability, endpoint::Endpoint};

/// OpenRouter; what a request can do depends on the model it names.
pub static OPENROUTER: Provider = Provider {
    name: "openrouter",
    base_url: Some("https://openrouter.ai/api/v1"),
    secret: Some("OPENROUTER_API_KEY"),
    endpoints: &[Endpoint::CHAT, Endpoint::EMBEDDINGS],
    can: &[
        Ability::Tools,
        Ability::ParallelTools,
        Ability::Images,
        Ability::Audio,
        Ability::Pdf,
        Ability::Schema,
        Ability::Reasoning,
        Ability::Cache,
        Ability::Logprobs,
        Ability::Seed,
    ],
    source: "https://openrouter.ai/docs/api-reference/parameters",
    ..OPENAI_COMPATIBLE
};
