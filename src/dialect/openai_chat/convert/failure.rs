//! Errors in chat's form.

use crate::{dialect::openai_chat::response, model::answer::Failure, refusal::Refusal};
use serde_json::Value;

/// A provider's error body.
#[must_use]
pub fn read(status: u16, body: &[u8]) -> Failure {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = value.get("error").unwrap_or(&value);
    let member = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
    Failure { status, kind: member("code").or_else(|| member("type")), message: response::error_text(body) }
}

/// A refusal as OpenAI's SDKs expect it.
#[must_use]
pub fn write(refusal: &Refusal) -> String {
    refusal.to_openai_json()
}
