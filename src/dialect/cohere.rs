//! Cohere's chat, version 2 (<https://docs.cohere.com/reference/chat>, read 2026-11-21), and its vectors.
//!
//! What is particular about it:
//! - `tool_plan` is what the model says before it calls tools. It is text here: other dialects have text in that place, and
//!   text beside calls goes back as `tool_plan`.
//! - Thoughts are not signed. They get an empty signature with Cohere as the maker, so that they find back to it through
//!   clients of other dialects.
//! - The answer names no model.
//! - `usage.billed_units` is what the invoice counts; `usage.tokens` has Cohere's own additions to the prompt as well, and
//!   `usage.cached_tokens` counts those.

pub mod embed;
pub mod failure;
pub mod request;
pub mod response;
pub mod stream;
#[cfg(test)]
pub(super) mod tests;

use super::Dialect;
use crate::model::part::{Body, Citation, Part, Signature};
use serde_json::{Map, Value, json};

/// The mark of thoughts that Cohere's model had.
fn signature() -> Signature {
    Signature { maker: Dialect::Cohere, text: String::new() }
}

/// A citation. Each has one or more sources; the first that is a document gives address and title.
fn citation(value: &Value) -> Citation {
    let text_of = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let document = value
        .get("sources")
        .and_then(Value::as_array)
        .and_then(|sources| sources.iter().find_map(|source| source.get("document")));
    Citation {
        url: document.and_then(|document| text_of(document, "url")),
        title: document.and_then(|document| text_of(document, "title")),
        quoted: document
            .and_then(|document| text_of(document, "snippet").or_else(|| text_of(document, "text"))),
        start: value.get("start").and_then(Value::as_u64),
        end: value.get("end").and_then(Value::as_u64),
        native: Some((Dialect::Cohere, value.clone())),
    }
}

/// Where in a message a citation's text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cited {
    /// In the first text of `content`: nothing is said.
    First,
    /// In this block of `content`.
    Content(u64),
    /// In `tool_plan`.
    Plan,
}

/// The place a citation speaks of; `None` for thoughts, which have no citations here.
fn cited(value: &Value) -> Option<Cited> {
    match value.get("type").and_then(Value::as_str) {
        Some("THINKING_CONTENT") => None,
        Some("PLAN") => Some(Cited::Plan),
        _ => Some(value.get("content_index").and_then(Value::as_u64).map_or(Cited::First, Cited::Content)),
    }
}

/// A citation as Cohere writes it, of a text that is at `place`. `text` is the whole text.
fn written_citation(citation: &Citation, text: &str, place: Cited) -> Value {
    let mut written = match &citation.native {
        Some((Dialect::Cohere, Value::Object(native))) => native.clone(),
        _ => built_citation(citation, text),
    };
    match place {
        Cited::Plan => {
            written.insert("type".to_owned(), json!("PLAN"));
        }
        Cited::First => {}
        Cited::Content(index) => {
            written.insert("content_index".to_owned(), json!(index));
        }
    }
    Value::Object(written)
}

/// Another maker's citation in Cohere's form.
fn built_citation(citation: &Citation, text: &str) -> Map<String, Value> {
    let position = |at: Option<u64>| at.and_then(|at| usize::try_from(at).ok());
    let passage: String = match (position(citation.start), position(citation.end)) {
        (Some(start), Some(end)) => text.chars().skip(start).take(end.saturating_sub(start)).collect(),
        _ => String::new(),
    };
    let mut document = Map::new();
    for (name, value) in [("title", &citation.title), ("url", &citation.url), ("text", &citation.quoted)] {
        if let Some(value) = value {
            document.insert(name.to_owned(), json!(value));
        }
    }
    let id = citation.url.as_ref().or(citation.title.as_ref());
    let mut written = Map::new();
    written.insert("start".to_owned(), json!(citation.start));
    written.insert("end".to_owned(), json!(citation.end));
    written.insert("text".to_owned(), json!(passage));
    written.insert("sources".to_owned(), json!([{"type": "document", "id": id, "document": document}]));
    written.insert("type".to_owned(), json!("TEXT_CONTENT"));
    written
}

/// Which part is the plan: what the model says last before its calls, if it makes any and nothing else follows.
fn plan_at(parts: &[Part]) -> Option<usize> {
    if !parts.iter().any(|part| matches!(part.body, Body::ToolCall(_))) {
        return None;
    }
    let said = |part: &Part| match &part.body {
        Body::Text(text) => !text.text.is_empty(),
        Body::ToolCall(_) => false,
        _ => true,
    };
    let last = parts.iter().rposition(said)?;
    parts.get(last).is_some_and(|part| matches!(part.body, Body::Text(_))).then_some(last)
}

/// Arguments that are not missing. Cohere writes `null` for a function without parameters (recorded by vercel/ai,
/// `cohere-null-args`, 2026), which no SDK takes for an object.
fn arguments(text: &str) -> &str {
    match text.trim() {
        "" | "null" => "{}",
        _ => text,
    }
}
