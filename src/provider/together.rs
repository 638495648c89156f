//! Together AI. <https://docs.together.ai/docs/inference/openai-compatibility> (read 2026-11-21). Its rerank is believed to be Cohere's (not looked up).

use super::{
    OPENAI_COMPATIBLE, Provider,
    ability::Ability,
    endpoint::{Format, RerankFormat, Endpoint},
};

/// Together AI.
pub static TOGETHER: Provider = Provider {
    name: "together",
    base_url: Some("https://api.together.ai/v1"),
    secret: Some("TOGETHER_API_KEY"),
    endpoints: &[
        Endpoint::CHAT,
        Endpoint::EMBEDDINGS,
        Endpoint::of(Format::Rerank(RerankFormat::Cohere), "/rerank"),
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
