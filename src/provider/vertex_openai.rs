//! Open and other makers' models on Vertex AI, with a service account: OpenAI's chat format, models named
//! `publisher/model` (`meta/llama-3.3-70b-instruct-maas`, `google/gemini-2.5-flash`).
//! <https://docs.cloud.google.com/vertex-ai/generative-ai/docs/maas/call-open-model-apis> (read 2026-11-21).

use super::{Provider, ability::Ability, endpoint::Endpoint, vertex};

/// Vertex AI's endpoint in OpenAI's format.
pub static VERTEX_OPENAI: Provider = Provider {
    name: "vertex-openai",
    endpoints: &[Endpoint::CHAT],
    can: &[Ability::Tools, Ability::Images, Ability::Schema, Ability::Reasoning, Ability::Seed],
    source: "https://docs.cloud.google.com/vertex-ai/generative-ai/docs/maas/call-open-model-apis",
    ..vertex::OPENAPI
};
