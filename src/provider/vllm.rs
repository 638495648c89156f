//! vLLM. <https://docs.vllm.ai/en/stable/serving/online_serving.html> (read 2026-11-21). Where it runs is the operator's to
//! say: `http://HOST:8000/v1`.

use super::{OPENAI_COMPATIBLE, Provider, ability::Ability};

/// A vLLM server. Its rerank is Jina's, and Cohere's clients read it too.
pub static VLLM: Provider = Provider {
    name: "vllm",
    can: &[
        Ability::Tools,
        Ability::ParallelTools,
        Ability::Images,
        Ability::Audio,
        Ability::Schema,
        Ability::Reasoning,
        Ability::Cache,
        Ability::Logprobs,
        Ability::Choices,
        Ability::Seed,
    ],
    source: "https://docs.vllm.ai/en/stable/serving/online_serving.html",
    ..OPENAI_COMPATIBLE
};
