//! Gemini on Vertex AI (Gemini Enterprise Agent Platform), with a service account.
//! <https://docs.cloud.google.com/gemini-enterprise-agent-platform/resources/locations> (read 2026-11-21).
//!
//! The secret is the service account's key file, JSON. `location` is a region, `global` (its host has no region) or the
//! multi-region `us` or `eu` (hosts of their own). Models of other publishers have other paths: `vertex_anthropic`,
//! `vertex_openai`.

use super::{
    Auth, Elsewhere, OPENAI_COMPATIBLE, Provider, Setting,
    endpoint::{EmbedFormat, Endpoint, Format},
    gemini,
};
use crate::dialect::Dialect;

/// What is below a project at a location of Vertex AI: its address in a region, and in the other locations.
macro_rules! below {
    ($rest:literal) => {
        Provider {
            base_url: Some(concat!(
                "https://{location}-aiplatform.googleapis.com/v1/projects/{project}/locations/{location}/",
                $rest
            )),
            elsewhere: &[
                Elsewhere {
                    setting: "location",
                    is: "global",
                    base_url: concat!(
                        "https://aiplatform.googleapis.com/v1/projects/{project}/locations/global/",
                        $rest
                    ),
                },
                Elsewhere {
                    setting: "location",
                    is: "us",
                    base_url: concat!(
                        "https://aiplatform.us.rep.googleapis.com/v1/projects/{project}/locations/us/",
                        $rest
                    ),
                },
                Elsewhere {
                    setting: "location",
                    is: "eu",
                    base_url: concat!(
                        "https://aiplatform.eu.rep.googleapis.com/v1/projects/{project}/locations/eu/",
                        $rest
                    ),
                },
            ],
            settings: &[
                Setting {
                    name: "project",
                    expected: "the id of the Google Cloud project, such as my-project-123",
                    default: None,
                    one_of: &[],
                },
                Setting {
                    name: "location",
                    expected: "a location of Vertex AI, such as us-central1, or global, us or eu",
                    default: Some("global"),
                    one_of: &[],
                },
            ],
            secret: Some("GOOGLE_SERVICE_ACCOUNT"),
            auth: Auth::GoogleServiceAccount { scope: "https://www.googleapis.com/auth/cloud-platform" },
            health: None,
            ..OPENAI_COMPATIBLE
        }
    };
}

/// Below the models of Google's.
const GOOGLE: Provider = below!("publishers/google");

/// Below those of Anthropic's.
pub(super) const ANTHROPIC: Provider = below!("publishers/anthropic");

/// Below the endpoint that speaks OpenAI's chat format.
pub(super) const OPENAPI: Provider = below!("endpoints/openapi");

/// Vertex AI.
pub static VERTEX: Provider = Provider {
    name: "vertex",
    endpoints: &[
        Endpoint::streamed(
            Format::Chat(Dialect::Gemini),
            "/models/{model}:generateContent",
            "/models/{model}:streamGenerateContent?alt=sse",
        ),
        Endpoint::of(Format::Embed(EmbedFormat::Gemini), "/models/{model}:{action}"),
        Endpoint::of(Format::CountTokens(Dialect::Gemini), "/models/{model}:countTokens"),
    ],
    stream_usage: false,
    can: gemini::CAN,
    source: "https://docs.cloud.google.com/gemini-enterprise-agent-platform/resources/locations",
    ..GOOGLE
};
