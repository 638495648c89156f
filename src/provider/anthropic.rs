//! Anthropic's Messages. <https://platform.claude.com/docs/en/api/versioning> (read 2026-11-21); `/v1/messages` and
//! `/v1/messages/count_tokens` are in recorded exchanges.
//!
//! A client that speaks Messages itself says its own version and betas; the version here is for requests that the
//! gateway writes. On 2026-10-21 and later sampling parameters are refused, so the older one is spoken.

use super::{
    Auth, OPENAI_COMPATIBLE, Provider,
    ability::Ability,
    endpoint::{Endpoint, Format},
};
use crate::dialect::Dialect;

/// Anthropic.
pub static ANTHROPIC: Provider = Provider {
    name: "anthropic",
    base_url: Some("https://api.anthropic.com/v1"),
    secret: Some("ANTHROPIC_API_KEY"),
    auth: Auth::Header { name: "x-api-key", prefix: "" },
    headers: &[("anthropic-version", "2023-06-01")],
    model_prefixes: &["claude-"],
    aliases: &[
        ("claude-haiku", "claude-haiku-4-5"),
        ("claude-sonnet", "claude-sonnet-4-5"),
        ("claude-opus", "claude-opus-4-5"),
    ],
    endpoints: &[
        Endpoint::of(Format::Chat(Dialect::Anthropic), "/messages"),
        Endpoint::of(Format::CountTokens(Dialect::Anthropic), "/messages/count_tokens"),
    ],
    stream_usage: false,
    can: CAN,
    cannot: CANNOT,
    source: "https://platform.claude.com/docs/en/api/messages",
    ..OPENAI_COMPATIBLE
};

/// What its models can do, wherever they are called.
pub(super) const CAN: &[Ability] = &[
    Ability::Tools,
    Ability::ParallelTools,
    Ability::Images,
    Ability::Pdf,
    Ability::Schema,
    Ability::Reasoning,
    Ability::Cache,
];

/// What none of them does.
pub(super) const CANNOT: &[Ability] = &[Ability::Audio, Ability::Logprobs, Ability::Choices, Ability::Seed];
