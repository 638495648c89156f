//! Mistral. <https://docs.mistral.ai/api> (read 2026-11-21).
//!
//! Members it does not know are a 422 (`extra_forbidden`): `stream_options`
//! (<https://github.com/openai/openai-agents-python/issues/442>), `max_completion_tokens`
//! (<https://github.com/editor-code-assistant/eca/issues/231>), `seed` (its name is `random_seed`). Streams have their
//! usage unasked (both read 2026-11-21).

use super::{OPENAI_COMPATIBLE, Provider, ability::Ability, endpoint::Endpoint};

/// Mistral's own API.
pub static MISTRAL: Provider = Provider {
    name: "mistral",
    base_url: Some("https://api.mistral.ai/v1"),
    secret: Some("MISTRAL_API_KEY"),
    model_prefixes: &[
        "mistral-",
        "ministral-",
        "magistral-",
        "codestral-",
        "devstral-",
        "open-mistral-",
        "pixtral-",
    ],
    endpoints: &[Endpoint::CHAT, Endpoint::EMBEDDINGS],
    stream_usage: false,
    can: &[
        Ability::Tools,
        Ability::ParallelTools,
        Ability::Images,
        Ability::Audio,
        Ability::Schema,
        Ability::Reasoning,
        Ability::Cache,
        Ability::Choices,
        Ability::Seed,
    ],
    cannot: &[Ability::Logprobs],
    source: "https://docs.mistral.ai/api",
    ..OPENAI_COMPATIBLE
};
