//! Google AI Studio's Gemini API, version v1beta: v1 lacks what is in preview
//! (<https://ai.google.dev/gemini-api/docs/api-versions.md.txt>, read 2026-11-21). The paths are those of recorded exchanges.

use super::{
    Auth, OPENAI_COMPATIBLE, Provider,
    ability::Ability,
    endpoint::{EmbedFormat, Endpoint, Format},
};
use crate::dialect::Dialect;

/// Gemini with an API key.
pub static GEMINI: Provider = Provider {
    name: "gemini",
    base_url: Some("https://generativelanguage.googleapis.com/v1beta"),
    secret: Some("GEMINI_API_KEY"),
    auth: Auth::Header { name: "x-goog-api-key", prefix: "" },
    model_prefixes: &["gemini-", "gemma-"],
    endpoints: &[
        Endpoint::streamed(
            Format::Chat(Dialect::Gemini),
            "/models/{model}:generateContent",
            "/models/{model}:streamGenerateContent?alt=sse",
        ),
        Endpoint::of(Format::Embed(EmbedFormat::Gemini), "/models/{model}:batchEmbedContents"),
        Endpoint::of(Format::CountTokens(Dialect::Gemini), "/models/{model}:countTokens"),
    ],
    stream_usage: false,
    can: CAN,
    source: "https://ai.google.dev/api/generate-content",
    ..OPENAI_COMPATIBLE
};

/// What Gemini's models can do, wherever they are called. (No switch turns parallel calls off.)
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
