//! Ollama. <https://docs.ollama.com/api/openai-compatibility> (read 2026-11-21). Where it runs is the operator's to say:
//! `http://HOST:11434/v1`.

use super::{OPENAI_COMPATIBLE, Provider, ability::Ability, endpoint::Endpoint};

/// An Ollama server.
pub static OLLAMA: Provider = Provider {
    name: "ollama",
    endpoints: &[Endpoint::CHAT, Endpoint::EMBEDDINGS],
    can: &[
        Ability::Tools,
        Ability::Images,
        Ability::Schema,
        Ability::Reasoning,
        Ability::Logprobs,
        Ability::Seed,
    ],
    cannot: &[Ability::Choices],
    source: "https://docs.ollama.com/api/openai-compatibility",
    ..OPENAI_COMPATIBLE
};
