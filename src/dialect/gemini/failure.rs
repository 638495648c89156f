//! Errors: `google.rpc.Status` as JSON.
//!
//! Codes: <https://ai.google.dev/gemini-api/docs/troubleshooting> and <https://google.aip.dev/193>, read 2026-11-21.

use super::{member, whole};
use crate::{model::answer::Failure, refusal::Refusal};
use serde_json::{Map, Value, json};

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// Reads a provider's error body.
#[must_use]
pub fn read(status: u16, body: &[u8]) -> Failure {
    let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
    of_value(status, &parsed).unwrap_or_else(|| {
        let text = String::from_utf8_lossy(body);
        let message: String = text.trim().chars().take(MESSAGE_CHARACTERS_MAX).collect();
        Failure { status, kind: None, message }
    })
}

/// Of an error that is no JSON of Google's (a proxy's page), so much is kept.
const MESSAGE_CHARACTERS_MAX: usize = 500;

/// The error in a JSON body, or in a chunk of a stream; a stream without `alt=sse` is a list.
pub(super) fn of_value(status: u16, body: &Value) -> Option<Failure> {
    let error = error_of(body)?;
    let code = member(error, "code").and_then(whole).and_then(|code| u16::try_from(code).ok());
    let code = code.filter(|code| (400..600).contains(code));
    let text = |name| member(error, name).and_then(Value::as_str).map(str::to_owned);
    let mut message = text("message").or_else(|| error.as_str().map(str::to_owned)).unwrap_or_default();
    if let Some(delay) = retry_delay(error)
        && !message.contains("retry in")
    {
        let gap = if message.is_empty() || message.ends_with(' ') { "" } else { " " };
        message.push_str(&format!("{gap}Please retry in {delay}."));
    }
    let status = if (400..600).contains(&status) { status } else { code.unwrap_or(500) };
    Some(Failure { status, kind: text("status"), message })
}

fn error_of(body: &Value) -> Option<&Value> {
    match body {
        Value::Array(list) => list.iter().find_map(|entry| entry.get("error")),
        other => other.get("error"),
    }
}

/// How long Google asks to wait, in milliseconds, if it does (`RetryInfo` of the error's details).
#[must_use]
pub fn retry_delay_ms(body: &[u8]) -> Option<i64> {
    let parsed: Value = serde_json::from_slice(body).ok()?;
    let delay: f64 = retry_delay(error_of(&parsed)?)?.strip_suffix('s')?.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "within a day")]
    (0.0..=86_400.0).contains(&delay).then_some((delay * 1_000.0).ceil() as i64)
}

fn retry_delay(error: &Value) -> Option<&str> {
    let details = member(error, "details")?.as_array()?;
    let info =
        details.iter().find(|detail| detail.get("@type").and_then(Value::as_str) == Some(RETRY_INFO))?;
    member(info, "retryDelay")?.as_str()
}

/// The body of a refusal as Google's SDKs expect it. `code` is a number there, so this gateway's own is in the details,
/// as `reason`, and so is the member at fault; extras are members of the error.
#[must_use]
pub fn write(refusal: &Refusal) -> String {
    to_value(refusal).to_string()
}

pub(super) fn to_value(refusal: &Refusal) -> Value {
    let mut about = Map::from_iter([
        ("@type".to_owned(), json!("type.googleapis.com/google.rpc.ErrorInfo")),
        ("reason".to_owned(), json!(refusal.code)),
        ("domain".to_owned(), json!("edgehold")),
    ]);
    if let Some(param) = &refusal.param {
        about.insert("metadata".to_owned(), json!({ "param": param }));
    }
    let mut details = vec![Value::Object(about)];
    if let Some(after_ms) = refusal.retry_after_ms {
        let (s, ms) = (after_ms.max(0) / 1_000, after_ms.max(0) % 1_000);
        let delay = if ms == 0 { format!("{s}s") } else { format!("{s}.{ms:03}s") };
        details.push(json!({ "@type": RETRY_INFO, "retryDelay": delay }));
    }
    // Google's SDKs know an error in a stream by these being its first bytes: {"error":
    let mut error = Map::from_iter([
        ("code".to_owned(), json!(refusal.status)),
        ("message".to_owned(), json!(refusal.message)),
        ("status".to_owned(), json!(word(refusal.status))),
        ("details".to_owned(), Value::Array(details)),
    ]);
    for (name, value) in &refusal.extra {
        error.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    json!({ "error": error })
}

/// A provider's error in a stream, for a client of Google's.
pub(super) fn of_failure(failure: &Failure) -> Value {
    let status = failure.status;
    json!({ "error": { "code": status, "message": failure.message, "status": word(status) } })
}

/// The word for a status (<https://google.aip.dev/193>, `google.rpc.Code`).
fn word(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        402 | 412 => "FAILED_PRECONDITION",
        403 => "PERMISSION_DENIED",
        404 | 410 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        408 | 504 => "DEADLINE_EXCEEDED",
        400..=498 => "INVALID_ARGUMENT",
        501 => "UNIMPLEMENTED",
        502 | 503 | 529 => "UNAVAILABLE",
        500..=599 => "INTERNAL",
        _ => "UNKNOWN",
    }
}
