//! NVIDIA's hosted NIM. NVIDIA's own page of its addresses was not found on 2026-11-21; they are those of
//! <https://docs.litellm.ai/docs/providers/nvidia_nim> (read 2026-11-21). A NIM of one's own is a `base_url`; reranking is on
//! another host.

use super::{OPENAI_COMPATIBLE, Provider, ability::Ability, endpoint::Endpoint};

/// NVIDIA NIM.
pub static NVIDIA: Provider = Provider {
    name: "nvidia",
    base_url: Some("https://integrate.api.nvidia.com/v1"),
    secret: Some("NVIDIA_API_KEY"),
    endpoints: &[Endpoint::CHAT, Endpoint::EMBEDDINGS],
    can: &[
        Ability::Tools,
        Ability::ParallelTools,
        Ability::Images,
        Ability::Schema,
        Ability::Reasoning,
        Ability::Seed,
    ],
    source: "https://docs.nvidia.com/nim/large-language-models/2.1.4/reference/api-reference.html",
    ..OPENAI_COMPATIBLE
};
