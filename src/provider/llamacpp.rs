//! llama.cpp's server. <https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md> (read 2026-11-21). Where it
//! runs is the operator's to say: `http://HOST:8080/v1`.

use super::{OPENAI_COMPATIBLE, Provider, ability::Ability};

/// A llama.cpp server. Its rerank is made after Jina's.
pub static LLAMACPP: Provider = Provider {
    name: "llamacpp",
    can: &[
        Ability::Tools,
        Ability::ParallelTools,
        Ability::Images,
        Ability::Audio,
        Ability::Schema,
        Ability::Reasoning,
        Ability::Cache,
        Ability::Logprobs,
        Ability::Seed,
    ],
    source: "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
    ..OPENAI_COMPATIBLE
};
