//! Cohere's error bodies: `{"id": …, "message": …}` (<https://docs.cohere.com/errors-reference>, read 2026-11-21).

use crate::{dialect::openai_chat::response::error_text, model::answer::Failure, refusal::Refusal};
use serde_json::{Value, json};

/// Reads the body of an answer that is not a 200.
#[must_use]
pub fn read(status: u16, body: &[u8]) -> Failure {
    let kind = serde_json::from_slice::<Value>(body).ok().and_then(|value| {
        let word = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        word("code").or_else(|| word("type"))
    });
    Failure { status, kind, message: error_text(body) }
}

/// A refusal as Cohere's SDKs take it: they keep the whole body and show it. Ours has more members than Cohere's.
#[must_use]
pub fn write(refusal: &Refusal) -> String {
    let mut error = refusal.extra.clone();
    error.insert("message".to_owned(), json!(refusal.message));
    error.insert("code".to_owned(), json!(refusal.code));
    error.insert("type".to_owned(), json!(refusal.kind));
    if let Some(param) = &refusal.param {
        error.insert("param".to_owned(), json!(param));
    }
    Value::Object(error).to_string()
}
