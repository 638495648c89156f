//! Fireworks AI. <https://docs.fireworks.ai/tools-sdks/openai-compatibility> (read 2026-11-21).

use super::{OPENAI_COMPATIBLE, Provider, ability::Ability};

/// Fireworks AI; models are called by their full names, `accounts/fireworks/models/…`.
pub static FIREWORKS: Provider = Provider {
    name: "fireworks",
    base_url: Some("https://api.fireworks.ai/inference/v1"),
    secret: Some("FIREWORKS_API_KEY"),
    can: &[
        Ability::Tools,
        Ability::Images,
        Ability::Schema,
        Ability::Reasoning,
        Ability::Cache,
        Ability::Logprobs,
        Ability::Choices,
        Ability::Seed,
    ],
    source: "https://docs.fireworks.ai/tools-sdks/openai-compatibility",
    ..OPENAI_COMPATIBLE
};
