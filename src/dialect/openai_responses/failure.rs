//! Errors in the form of Responses, which is that of all of OpenAI's API.

use crate::{dialect::openai_chat::response::error_text, model::answer::Failure, refusal::Refusal};
use serde_json::Value;

/// A provider's error body.
#[must_use]
pub fn read(status: u16, body: &[u8]) -> Failure {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = value.get("error").filter(|error| error.is_object()).unwrap_or(&value);
    let member = |name: &str| match error.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    Failure { status, kind: member("code").or_else(|| member("type")), message: error_text(body) }
}

/// An error within a stream: the `error` event, flat as the schema has it or with an `error` object as it comes, or the
/// `error` member of a response that failed.
pub(super) fn read_event(value: &Value) -> Failure {
    let inner = value.get("error").filter(|error| error.is_object()).unwrap_or(value);
    let mut failure = read(0, inner.to_string().as_bytes());
    // A flat event's `type` is the event's own.
    failure.kind = failure.kind.filter(|kind| kind != "error");
    failure.status = match failure.kind.as_deref() {
        Some("rate_limit_exceeded" | "insufficient_quota" | "rate_limit_error") => 429,
        Some(kind) if kind.starts_with("invalid_") || kind.contains("image") => 400,
        Some("context_length_exceeded" | "bio_policy" | "data_residency_mismatch") => 400,
        Some(kind) => kind.parse().ok().filter(|status| (400..600).contains(status)).unwrap_or(500),
        None => 500,
    };
    failure
}

/// A refusal as OpenAI's SDKs expect it.
#[must_use]
pub fn write(refusal: &Refusal) -> String {
    refusal.to_openai_json()
}
