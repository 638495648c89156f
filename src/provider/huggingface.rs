//! Hugging Face's router to inference providers. <https://huggingface.co/docs/inference-providers/tasks/chat-completion>
//! (read 2026-11-21). `org/model:provider` chooses the provider.

use super::{OPENAI_COMPATIBLE, Provider, ability::Ability, endpoint::Endpoint};

/// Hugging Face.
pub static HUGGINGFACE: Provider = Provider {
    name: "huggingface",
    base_url: Some("https://router.huggingface.co/v1"),
    secret: Some("HF_TOKEN"),
    endpoints: &[Endpoint::CHAT],
    can: &[
        Ability::Tools,
        Ability::Images,
        Ability::Schema,
        Ability::Reasoning,
        Ability::Logprobs,
        Ability::Seed,
    ],
    source: "https://huggingface.co/docs/inference-providers/tasks/chat-completion",
    ..OPENAI_COMPATIBLE
};
