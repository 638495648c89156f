//! Cohere, version 2 of its API. <https://docs.cohere.com/v2/reference/chat>, `/v2/embed`, `/v2/rerank` (read 2026-11-21).

use super::{
    OPENAI_COMPATIBLE, Provider,
    ability::Ability,
    endpoint::{EmbedFormat, Endpoint, Format, RerankFormat},
};
use crate::dialect::Dialect;

/// Cohere's own API.
pub static COHERE: Provider = Provider {
    name: "cohere",
    base_url: Some("https://api.cohere.com/v2"),
    secret: Some("COHERE_API_KEY"),
    model_prefixes: &["command-", "c4ai-", "embed-", "rerank-"],
    endpoints: &[
        Endpoint::of(Format::Chat(Dialect::Cohere), "/chat"),
        Endpoint::of(Format::Embed(EmbedFormat::Cohere), "/embed"),
        Endpoint::of(Format::Rerank(RerankFormat::Cohere), "/rerank"),
    ],
    stream_usage: false,
    // The list of models is below /v1.
    health: None,
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
    source: "https://docs.cohere.com/v2/reference/chat",
    ..OPENAI_COMPATIBLE
};
