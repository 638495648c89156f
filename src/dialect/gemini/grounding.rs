//! Where an answer comes from: `groundingMetadata` and `citationMetadata`, in and out.
//!
//! Google's positions count bytes of UTF-8 (<https://ai.google.dev/api/generate-content#Segment>, read 2026-11-21); the
//! canonical ones count characters.

use super::{member, whole};
use crate::model::part::{Body, Citation, Part};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// Members of a candidate that only Google's clients understand. They are carried as a part of their own, as they came.
pub(super) const CANDIDATE_MEMBERS: [&str; 3] =
    ["groundingMetadata", "urlContextMetadata", "citationMetadata"];

/// The candidate's members above, if it has any.
pub(super) fn native(candidate: &Value) -> Option<Value> {
    let found: Map<String, Value> = CANDIDATE_MEMBERS
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), member(candidate, name)?.clone())))
        .filter(|(_, value)| value.as_object().is_none_or(|object| !object.is_empty()))
        .collect();
    (!found.is_empty()).then_some(Value::Object(found))
}

/// Whether a candidate has any of them: most pieces of a stream have none.
pub(super) fn any(candidate: &Value) -> bool {
    CANDIDATE_MEMBERS.into_iter().any(|name| member(candidate, name).is_some())
}

/// Whether a native part is one made by [`native`].
pub(super) fn is_candidates(value: &Value) -> bool {
    value.as_object().is_some_and(|object| {
        !object.is_empty() && object.keys().all(|name| CANDIDATE_MEMBERS.contains(&name.as_str()))
    })
}

/// The sources that a candidate names, each with the index of the text (of `texts`) it belongs to.
pub(super) fn citations(candidate: &Value, texts: &[&str]) -> Vec<(usize, Citation)> {
    let mut found = Vec::new();
    if texts.is_empty() {
        return found;
    }
    if let Some(metadata) = member(candidate, "groundingMetadata") {
        grounded(metadata, texts, &mut found);
    }
    let recited = member(candidate, "citationMetadata").and_then(|metadata| {
        member(metadata, "citationSources").or_else(|| member(metadata, "citations"))?.as_array()
    });
    for source in recited.into_iter().flatten() {
        let of = |name| member(source, name).and_then(Value::as_str).map(str::to_owned);
        let (text, start, end) = place(source, texts);
        let citation =
            Citation { url: of("uri"), title: of("title"), quoted: None, start, end, native: None };
        found.push((text, citation));
    }
    found
}

fn grounded(metadata: &Value, texts: &[&str], found: &mut Vec<(usize, Citation)>) {
    let list = |name| member(metadata, name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let chunks = list("groundingChunks");
    let mut cited = vec![false; chunks.len()];
    for support in list("groundingSupports") {
        let nothing = Value::Null;
        let (text, start, end) = place(member(support, "segment").unwrap_or(&nothing), texts);
        let indices = member(support, "groundingChunkIndices").and_then(Value::as_array);
        for index in indices.into_iter().flatten().filter_map(whole) {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            if let (Some(chunk), Some(cited)) = (chunks.get(index), cited.get_mut(index)) {
                *cited = true;
                found.push((text, source(chunk, start, end)));
            }
        }
    }
    // Read, but not for a passage of its own.
    for (chunk, _) in chunks.iter().zip(&cited).filter(|(_, cited)| !**cited) {
        found.push((texts.len() - 1, source(chunk, None, None)));
    }
}

fn source(chunk: &Value, start: Option<u64>, end: Option<u64>) -> Citation {
    let kind = ["web", "retrievedContext", "maps", "image"].into_iter().find_map(|kind| member(chunk, kind));
    let of = |name: &str| kind.and_then(|kind| member(kind, name)?.as_str()).map(str::to_owned);
    Citation { url: of("uri"), title: of("title"), quoted: of("text"), start, end, native: None }
}

/// Which text a segment is of, and where in it, in characters. `partIndex` is not to be trusted (it is absent where calls
/// of Google's own tools come first), so the passage's own words decide.
fn place(segment: &Value, texts: &[&str]) -> (usize, Option<u64>, Option<u64>) {
    let last = texts.len().saturating_sub(1);
    let of = |name| member(segment, name).and_then(whole).and_then(|at| usize::try_from(at).ok());
    let Some(end) = of("endIndex") else {
        return (last, None, None);
    };
    let start = of("startIndex").unwrap_or(0);
    let words = member(segment, "text").and_then(Value::as_str);
    let index = words
        .and_then(|words| texts.iter().position(|text| text.get(start..end) == Some(words)))
        .unwrap_or_else(|| of("partIndex").unwrap_or(0).min(last));
    let text = texts.get(index).copied().unwrap_or_default();
    let characters = |bytes: usize| text.get(..bytes).map(|before| before.chars().count() as u64);
    (index, characters(start), characters(end))
}

/// `groundingMetadata` for the citations of a choice's texts.
pub(super) fn write(parts: &[Part]) -> Option<Value> {
    let mut sources = Sources::default();
    for (index, part) in parts.iter().enumerate() {
        let Body::Text(text) = &part.body else { continue };
        for citation in &text.citations {
            sources.push(citation, index, &text.text);
        }
    }
    sources.metadata()
}

/// A longer passage is not repeated beside its positions.
const PASSAGE_BYTES_MAX: usize = 4 << 10;

/// What `groundingMetadata` is made of.
#[derive(Debug, Default)]
pub(super) struct Sources {
    chunks: Vec<Value>,
    /// Where each is among them, by its text.
    places: HashMap<String, usize>,
    supports: Vec<Value>,
}

impl Sources {
    /// Adds a citation of the text that is part `index`.
    pub(super) fn push(&mut self, citation: &Citation, index: usize, text: &str) {
        let mut about = Map::new();
        let known = [("uri", &citation.url), ("title", &citation.title), ("text", &citation.quoted)];
        for (name, value) in known {
            if let Some(value) = value {
                about.insert(name.to_owned(), json!(value));
            }
        }
        // A page on the web has no text here.
        let kind =
            if citation.quoted.is_some() || citation.url.is_none() { "retrievedContext" } else { "web" };
        let chunk = json!({ kind: about });
        let at = *self.places.entry(chunk.to_string()).or_insert(self.chunks.len());
        if at == self.chunks.len() {
            self.chunks.push(chunk);
        }
        let bytes = |characters: u64| {
            let characters = usize::try_from(characters).unwrap_or(usize::MAX);
            text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at)
        };
        if let (Some(start), Some(end)) = (citation.start.map(bytes), citation.end.map(bytes)) {
            let mut segment = json!({"partIndex": index, "startIndex": start, "endIndex": end});
            let words = text.get(start..end).unwrap_or_default();
            if let Some(members) = segment.as_object_mut().filter(|_| words.len() <= PASSAGE_BYTES_MAX) {
                members.insert("text".to_owned(), json!(words));
            }
            self.supports.push(json!({"segment": segment, "groundingChunkIndices": [at]}));
        }
    }

    /// They are told in another way.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The whole, if there is anything in it.
    pub(super) fn metadata(self) -> Option<Value> {
        if self.chunks.is_empty() {
            return None;
        }
        let mut written = Map::from_iter([("groundingChunks".to_owned(), Value::Array(self.chunks))]);
        if !self.supports.is_empty() {
            written.insert("groundingSupports".to_owned(), Value::Array(self.supports));
        }
        Some(Value::Object(written))
    }
}
