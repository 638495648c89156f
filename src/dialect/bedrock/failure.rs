//! Errors. The type is in the header `x-amzn-errortype`, or in the body's `__type`, or it is the name of an event in a
//! stream; the text is `message` or `Message`.

use crate::{model::answer::Failure, refusal::Refusal};
use serde_json::{Map, Value, json};

/// Exceptions and the HTTP status each stands for: those of the service's model (botocore 1.43.11, read 2026-11-21).
const EXCEPTIONS: &[(&str, u16)] = &[
    ("ValidationException", 400),
    ("ServiceQuotaExceededException", 400),
    ("AccessDeniedException", 403),
    ("ResourceNotFoundException", 404),
    ("ModelTimeoutException", 408),
    ("ConflictException", 409),
    ("ModelErrorException", 424),
    ("ModelStreamErrorException", 424),
    ("ThrottlingException", 429),
    ("ModelNotReadyException", 429),
    ("InternalServerException", 500),
    ("ServiceUnavailableException", 503),
];

/// The longest text that is taken over from a body that is not JSON.
const TEXT_CHARS_MAX: usize = 500;

/// A provider's error body.
#[must_use]
pub fn read(status: u16, body: &[u8]) -> Failure {
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
        let text = String::from_utf8_lossy(body);
        return Failure { status, kind: None, message: text.trim().chars().take(TEXT_CHARS_MAX).collect() };
    };
    let text = |names: &[&str]| {
        names.iter().find_map(|name| members.get(*name)).and_then(Value::as_str).map(str::to_owned)
    };
    Failure {
        status,
        kind: text(&["__type", "code"]).map(|kind| plain(&kind).to_owned()),
        message: text(&["message", "Message", "errorMessage"]).unwrap_or_default(),
    }
}

/// An exception as an event of a stream.
pub(super) fn read_exception(name: &str, payload: &[u8]) -> Failure {
    let known = EXCEPTIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let mut failure = read(known.map_or(500, |(_, status)| *status), payload);
    if name.eq_ignore_ascii_case("modelStreamErrorException")
        && let Ok(Value::Object(members)) = serde_json::from_slice(payload)
        && let Some(status) = members.get("originalStatusCode").and_then(Value::as_u64)
        && let Ok(status) = u16::try_from(status)
        && (400..600).contains(&status)
    {
        // The model's own server's, which says more than 424.
        failure.status = status;
    }
    failure.kind = Some(known.map_or(name, |(known, _)| known).to_owned());
    failure
}

/// `com.amazonaws.bedrock#ValidationException:http://…` → `ValidationException`.
fn plain(kind: &str) -> &str {
    let kind = kind.rsplit('#').next().unwrap_or(kind);
    kind.split(':').next().unwrap_or(kind)
}

/// The exception that a status is told as.
pub(super) fn exception_of(status: u16) -> &'static str {
    match status {
        401..=403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 | 504 => "ModelTimeoutException",
        409 => "ConflictException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        502 | 503 => "ServiceUnavailableException",
        400..=499 => "ValidationException",
        _ => "InternalServerException",
    }
}

/// The body the AWS SDKs expect. They take a member `code` for the exception's name, so ours is in `error`, with what else
/// there is to tell.
#[must_use]
pub fn write(refusal: &Refusal) -> String {
    let mut error: Map<String, Value> = refusal.extra.clone();
    error.insert("type".to_owned(), json!(refusal.kind));
    error.insert("param".to_owned(), json!(refusal.param));
    error.insert("code".to_owned(), json!(refusal.code));
    json!({"__type": exception_of(refusal.status), "message": refusal.message, "error": error}).to_string()
}
