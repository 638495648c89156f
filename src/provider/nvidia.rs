//! NVIDIA's hosted NIM. <https://docs.api.nvidia.com/nim/reference/llm-apis> (named from memory; not opened). A NIM of one's own is a
//! `base_url`; reranking is on another host.

use super::{OPENAI_COMPATIBLE, Provider, ability::Ability, endpoint::Endpoint};

/// NVIDIA NIM.
pub static NVIDIA: Provider = Provider {
    name: "nvidia",
    base_url: Some("https://integrate.api.nvidia.com/v1"),
    secret: Some("NVIDIA_API_KEY"),
    endpoints: &[Endpoint::CHAT, Endpoint::EMBEDDINGS],
    can: &[Ability::Tools, Ability::ParallelTools, Ability::Images, Ability::Schema, Ability::Reasoning, Ability::Seed],
    source: "https://docs.nvidia.com/nim/large-language-models/2.1.4/reference/api-reference.html",
    ..OPENAI_COMPATIBLE
};
