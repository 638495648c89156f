//! Perplexity's Agent API, which speaks OpenAI's Responses (`/v1/responses` is its name for `/v1/agent`). Chat
//! completions ended on 2026-09-27. <https://docs.perplexity.ai/docs/grounded-llm/openai-compatibility> (read 2026-11-21).

use super::{OPENAI_COMPATIBLE, Provider, ability::Ability, endpoint::Endpoint};

/// Perplexity.
pub static PERPLEXITY: Provider = Provider {
    name: "perplexity",
    base_url: Some("https://api.perplexity.ai/v1"),
    secret: Some("PERPLEXITY_API_KEY"),
    model_prefixes: &["sonar"],
    endpoints: &[Endpoint::RESPONSES],
    stream_usage: false,
    health: None,
    can: &[Ability::Tools, Ability::Schema, Ability::Reasoning],
    cannot: &[Ability::Logprobs, Ability::Choices, Ability::Seed],
    source: "https://docs.perplexity.ai/docs/grounded-llm/openai-compatibility",
    ..OPENAI_COMPATIBLE
};
