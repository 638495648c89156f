//! Anthropic, for now through its OpenAI-compatible endpoint.
//!
//! <https://docs.claude.com/en/api/openai-sdk> (read 2026-11-21): base URL `https://api.anthropic.com/v1/`, the key as a
//! bearer token, `max_tokens`, `max_completion_tokens` and
//! `stream_options.include_usage` are understood; prompt caching is not offered there.
//! The native Messages dialect comes later.

use super::{OPENAI_COMPATIBLE, OutputCapField, Provider};

/// Anthropic.
pub static ANTHROPIC: Provider = Provider {
    name: "anthropic",
    base_url: Some("https://api.anthropic.com/v1"),
    secret: Some("ANTHROPIC_API_KEY"),
    model_prefixes: &["claude-"],
    aliases: &[
        ("claude-haiku", "claude-haiku-4-5"),
        ("claude-sonnet", "claude-sonnet-4-5"),
        ("claude-opus", "claude-opus-4-5"),
    ],
    output_cap_field: OutputCapField::AsSent,
    ..OPENAI_COMPATIBLE
};
