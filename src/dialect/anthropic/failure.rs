//! Errors in Anthropic's form (<https://docs.claude.com/en/api/errors>, read 2026-11-21).

use crate::{dialect::openai_chat::response::error_text, model::answer::Failure, refusal::Refusal};
use serde_json::{Value, json};

/// Status and type, the first that fits counts in either direction.
const TYPES: [(u16, &str); 11] = [
    (400, "invalid_request_error"),
    (401, "authentication_error"),
    (402, "billing_error"),
    (403, "permission_error"),
    (404, "not_found_error"),
    (413, "request_too_large"),
    (429, "rate_limit_error"),
    (504, "timeout_error"),
    (408, "timeout_error"),
    (529, "overloaded_error"),
    (500, "api_error"),
];

/// A provider's error body.
#[must_use]
pub fn read(status: u16, body: &[u8]) -> Failure {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let kind = value.get("error").and_then(|error| error.get("type")).and_then(Value::as_str);
    Failure { status, kind: kind.map(str::to_owned), message: error_text(body) }
}

/// An error within a stream, where only the type tells what status it stands for.
pub(super) fn read_event(body: &[u8]) -> Failure {
    let mut failure = read(500, body);
    if let Some(kind) = failure.kind.as_deref()
        && let Some((status, _)) = TYPES.iter().find(|(_, known)| *known == kind)
    {
        failure.status = *status;
    }
    failure
}

/// The type of a status. A 503 is an overload to Anthropic's SDKs, as 529 is.
fn kind(status: u16) -> &'static str {
    match TYPES.iter().find(|(known, _)| *known == status) {
        Some((_, kind)) => kind,
        None if status == 503 => "overloaded_error",
        None if status < 500 => "invalid_request_error",
        None => "api_error",
    }
}

/// A refusal as Anthropic's SDKs expect it, with our code and further members beside theirs.
#[must_use]
pub fn write(refusal: &Refusal) -> String {
    let mut error = refusal.extra.clone();
    let request_id = error.shift_remove("request_id");
    error.insert("type".to_owned(), json!(kind(refusal.status)));
    error.insert("message".to_owned(), json!(refusal.message));
    error.insert("code".to_owned(), json!(refusal.code));
    if let Some(param) = &refusal.param {
        error.insert("param".to_owned(), json!(param));
    }
    json!({"type": "error", "error": error, "request_id": request_id}).to_string()
}

/// A provider's error in a stream, for the client.
pub(super) fn write_event(failure: &Failure) -> String {
    json!({"type": "error", "error": {"type": kind(failure.status), "message": failure.message}, "request_id": null})
        .to_string()
}
