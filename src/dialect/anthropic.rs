//! Anthropic's Messages, as clients speak it and as the provider does.
//!
//! Sources: Anthropic's API reference and the types of its Python SDK 2.12 (read 2026-11-21). Two versions of the API are in
//! use, `2023-06-01` and `2026-10-21`: the newer refuses sampling parameters, documents in the assistant's messages and
//! citations on a user's text (<https://platform.claude.com/docs/en/api/versioning>, read 2026-11-21). Both give the same
//! answers.

mod block;
pub mod failure;
pub(super) mod model;
pub mod request;
pub mod response;
mod schema;
pub mod stream;

#[cfg(test)]
mod tests;

use crate::{
    dialect::Dialect,
    model::{
        part::{Body, Media, Part, Source},
        request::Request,
    },
};

const OWN: Dialect = Dialect::Anthropic;

/// The version that translated requests are written for. All models still take it, and those that still take a
/// temperature take it in this version only.
pub const VERSION: &str = "2023-06-01";

/// The versions that clients may ask for.
pub const VERSIONS: [&str; 2] = [VERSION, "2026-10-21"];

/// The beta that files by id were introduced with; without the header the older version refuses them
/// (<https://docs.claude.com/en/docs/build-with-claude/files>, read 2026-11-21).
const FILES_BETA: &str = "files-api-2025-04-14";

/// The beta that lets a request say what becomes of thoughts that come back changed; without the header the member is refused
/// (<https://platform.claude.com/docs/en/build-with-claude/preserved-thinking>, read 2026-11-21).
const BINDING_BETA: &str = "thinking-binding-controls-2026-08-01";

/// The headers that a translated request needs, besides the credential.
#[must_use]
pub fn headers(request: &Request) -> Vec<(&'static str, String)> {
    let files = request.turns.iter().any(|turn| turn.parts.iter().any(names_file));
    let betas = [(FILES_BETA, files), (BINDING_BETA, request::sends_thoughts_back(request))];
    let betas: Vec<&str> = betas.into_iter().filter(|(_, needed)| *needed).map(|(beta, _)| beta).collect();
    let mut headers = vec![("anthropic-version", VERSION.to_owned())];
    if !betas.is_empty() {
        headers.push(("anthropic-beta", betas.join(",")));
    }
    headers
}

fn names_file(part: &Part) -> bool {
    match &part.body {
        Body::Media(Media { source: Source::File(OWN, _), .. }) => true,
        Body::ToolResult(result) => result.parts.iter().any(names_file),
        Body::Native(OWN, value) => {
            value.get("type").and_then(serde_json::Value::as_str) == Some("container_upload")
        }
        _ => false,
    }
}
