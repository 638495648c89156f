//! Gemini on Vertex AI (Gemini Enterprise Agent Platform), with a service account.
//! <https://docs.cloud.google.com/gemini-enterprise-agent-platform/resources/locations> (read 2026-11-21).
//!
//! The secret is the service account's key file, JSON. `location` is a region, `global` (its host has no region) or the
//! multi-region `us` or `eu` (hosts of their own). Models of other publishers have other paths and are not called yet.

use super::{
    Auth, Elsewhere, OPENAI_COMPATIBLE, Provider, Setting, gemini,
    endpoint::{Format, Endpoint},
};
use crate::dialect::Dialect;

/// Vertex AI.
pub static VERTEX: Provider = Provider {
    name: "vertex",
    base_url: Some(
        "https://{location}-aiplatform.googleapis.com/v1/projects/{project}/locations/{location}/publishers/google",
    ),
    elsewhere: &[
        Elsewhere {
            setting: "location",
            is: "global",
            base_url: "https://aiplatform.googleapis.com/v1/projects/{project}/locations/global/publishers/google",
        },
        Elsewhere {
            setting: "location",
            is: "us",
            base_url: "https://aiplatform.us.rep.googleapis.com/v1/projects/{project}/locations/us/publishers/google",
        },
        Elsewhere {
            setting: "location",
            is: "eu",
            base_url: "https://aiplatform.eu.rep.googleapis.com/v1/projects/{project}/locations/eu/publishers/google",
        },
    ],
    settings: &[
        Setting { name: "project", expected: "the id of the Google Cloud project, such as my-project-123", default: None, one_of: &[] },
        Setting {
            name: "location",
            expected: "a location of Vertex AI, such as us-central1, or global, us or eu",
            default: Some("global"),
            one_of: &[],
        },
    ],
    secret: Some("GOOGLE_SERVICE_ACCOUNT"),
    auth: Auth::GoogleServiceAccount { scope: "https://www.googleapis.com/auth/cloud-platform" },
    endpoints: &[
        Endpoint::streamed(
            Format::Chat(Dialect::Gemini),
            "/models/{model}:generateContent",
            "/models/{model}:streamGenerateContent?alt=sse",
        ),
        Endpoint::of(Format::CountTokens(Dialect::Gemini), "/models/{model}:countTokens"),
    ],
    stream_usage: false,
    health: None,
    can: gemini::CAN,
    source: "https://docs.cloud.google.com/gemini-enterprise-agent-platform/resources/locations",
    ..OPENAI_COMPATIBLE
};
