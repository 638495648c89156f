//! Together AI. <https://docs.together.ai/docs/inference/openai-compatibility>. Its rerank takes texts and, for some models,
//! objects, and counts tokens: <https://docs.together.ai/docs/inference/embeddings/rerank>,
//! <https://docs.together.ai/reference/rerank-1> (all read 2026-11-21).

use super::{
    OPENAI_COMPATIBLE, Provider,
    ability::Ability,
    endpoint::{Endpoint, Format, RerankFormat},
};

/// Together AI. Its rerank is made after Cohere's first version, as Jina's is.
pub static TOGETHER: Provider = Provider {
    name: "together",
    base_url: Some("https://api.together.ai/v1"),
    secret: Some("TOGETHER_API_KEY"),
    endpoints: &[
        Endpoint::CHAT,
        Endpoint::EMBEDDINGS,
        Endpoint::of(Format::Rerank(RerankFormat::Jina), "/rerank"),
    ],
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
    source: "https://docs.together.ai/docs/inference/openai-compatibility",
    ..OPENAI_COMPATIBLE
};
