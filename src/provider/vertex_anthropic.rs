//! Claude on Vertex AI, with a service account: Anthropic's Messages, where the path names the model and the body the version
//! (<https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai>; tokens are counted as
//! <https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/partner-models/claude/count-tokens> has it; both read
//! 2026-11-21).

use super::{
    Provider, anthropic,
    endpoint::{Endpoint, Format},
    vertex,
};
use crate::dialect::Dialect;

/// Claude on Vertex AI.
pub static VERTEX_ANTHROPIC: Provider = Provider {
    name: "vertex-anthropic",
    endpoints: &[
        Endpoint::streamed(
            Format::Chat(Dialect::Anthropic),
            "/models/{model}:rawPredict",
            "/models/{model}:streamRawPredict",
        ),
        Endpoint::of(Format::CountTokens(Dialect::Anthropic), "/models/count-tokens:rawPredict"),
    ],
    anthropic_version: Some("vertex-2023-10-16"),
    stream_usage: false,
    can: anthropic::CAN,
    cannot: anthropic::CANNOT,
    source: "https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai",
    ..vertex::ANTHROPIC
};
