//! The caller's bytes with a few members changed in place, so that everything else arrives as it was sent.

use super::ChatRequest;
use crate::provider::OutputCapField;
use std::ops::Range;

/// Where in the body the members are that may be edited: ranges of their values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Spans {
    /// Just behind the opening brace.
    pub(super) start: usize,
    pub(super) model: Range<usize>,
    pub(super) stream_options: Option<Range<usize>>,
    pub(super) max_tokens: Option<CapPlace>,
    pub(super) max_completion_tokens: Option<CapPlace>,
    pub(super) service_tier: Option<Range<usize>>,
}

/// A member that caps output.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CapPlace {
    /// Its name with the quotes.
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
    /// `None` if it is null.
    pub(super) tokens: Option<u64>,
}

/// The output cap as one provider is to see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// The member this provider enforces.
    pub field: OutputCapField,
    /// A cap above this is lowered to it, and it is inserted where none was sent.
    pub tokens: u64,
}

/// What is to be changed in the body for one provider.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edits<'a> {
    /// The provider's name for the model.
    pub model: Option<&'a str>,
    /// Ask for usage in the stream.
    pub ask_usage: bool,
    /// The output cap, if one is to be sent.
    pub cap: Option<Cap>,
    /// The service tier where the caller named none.
    pub tier: Option<&'static str>,
}

/// What stands in the place of a range.
type Change = (Range<usize>, String);

impl ChatRequest {
    /// The body with `edits` made, or `None` if nothing changes and the caller's bytes can go as they are.
    #[must_use]
    pub fn edited(&self, body: &[u8], edits: &Edits<'_>) -> Option<Vec<u8>> {
        let mut changes: Vec<Change> = Vec::new();
        if let Some(model) = edits.model.filter(|model| *model != self.model) {
            changes.push((self.spans.model.clone(), json_text(model)));
        }
        let mut inserted = String::new();
        if edits.ask_usage && self.stream && !self.include_usage {
            match &self.spans.stream_options {
                Some(span) => {
                    let old = body.get(span.clone()).unwrap_or_default();
                    changes.push((span.clone(), with_usage(old)));
                }
                None => inserted.push_str("\"stream_options\":{\"include_usage\":true},"),
            }
        }
        if let Some(cap) = edits.cap {
            self.cap_edits(cap, &mut changes, &mut inserted);
        }
        if let Some(tier) = edits.tier.filter(|_| self.service_tier.is_none()) {
            match &self.spans.service_tier {
                Some(span) => changes.push((span.clone(), json_text(tier))),
                None => inserted.push_str(&format!("\"service_tier\":{},", json_text(tier))),
            }
        }
        if !inserted.is_empty() {
            changes.push((self.spans.start..self.spans.start, inserted));
        }
        if changes.is_empty() {
            return None;
        }
        // What is inserted at a place comes before what is replaced from there on.
        changes.sort_by_key(|(span, _)| (span.start, span.end));
        let grown: usize = changes.iter().map(|(_, text)| text.len()).sum();
        let mut edited = Vec::with_capacity(body.len() + grown);
        let mut from = 0;
        for (span, text) in changes {
            edited.extend_from_slice(body.get(from..span.start).unwrap_or_default());
            edited.extend_from_slice(text.as_bytes());
            from = span.end;
        }
        edited.extend_from_slice(body.get(from..).unwrap_or_default());
        Some(edited)
    }

    /// No member may stand twice in the end, so one that is there as null is written over rather than added.
    fn cap_edits(&self, cap: Cap, changes: &mut Vec<Change>, inserted: &mut String) {
        let (short, long) = (self.spans.max_tokens.as_ref(), self.spans.max_completion_tokens.as_ref());
        let place_of = |name: &str| if name == OutputCapField::MAX_TOKENS { short } else { long };
        let sent = |place: Option<&CapPlace>| place.is_some_and(|place| place.tokens.is_some());
        let lowered = |place: &CapPlace| place.tokens.filter(|tokens| *tokens > cap.tokens);
        match (sent(short), sent(long)) {
            (false, false) => {
                let name = cap.field.name().unwrap_or(OutputCapField::MAX_TOKENS);
                match place_of(name) {
                    Some(null) => changes.push((null.value.clone(), cap.tokens.to_string())),
                    None => inserted.push_str(&format!("\"{name}\":{},", cap.tokens)),
                }
            }
            // Whichever of the two the provider enforces is there; neither may be above the cap.
            (true, true) => {
                for place in short.into_iter().chain(long) {
                    if lowered(place).is_some() {
                        changes.push((place.value.clone(), cap.tokens.to_string()));
                    }
                }
            }
            (is_short, _) => {
                let own =
                    if is_short { OutputCapField::MAX_TOKENS } else { OutputCapField::MAX_COMPLETION_TOKENS };
                let wanted = cap.field.name().unwrap_or(own);
                let Some(place) = place_of(own) else { return };
                let tokens = place.tokens.map_or(cap.tokens, |tokens| tokens.min(cap.tokens));
                match place_of(wanted) {
                    Some(null) if wanted != own => {
                        changes.push((null.value.clone(), tokens.to_string()));
                        changes.push((place.value.clone(), "null".to_owned()));
                    }
                    _ => {
                        if wanted != own {
                            changes.push((place.name.clone(), json_text(wanted)));
                        }
                        if lowered(place).is_some() {
                            changes.push((place.value.clone(), tokens.to_string()));
                        }
                    }
                }
            }
        }
    }
}

/// The name, quotes included, of the member whose value begins at `value`.
pub(super) fn name_before(text: &str, value: usize) -> Range<usize> {
    let bytes = text.as_bytes().get(..value).unwrap_or_default();
    let end = bytes.iter().rposition(|byte| *byte == b'"').unwrap_or(0);
    let mut start = end;
    // Backwards to a quote that is not escaped: the number of backslashes before it is even.
    while let Some(at) = bytes.get(..start).and_then(|before| before.iter().rposition(|byte| *byte == b'"')) {
        start = at;
        let slashes = bytes.iter().take(at).rev().take_while(|byte| **byte == b'\\').count();
        if slashes.is_multiple_of(2) {
            break;
        }
    }
    start..end + 1
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The caller's `stream_options` with `include_usage` true and the rest kept.
fn with_usage(old: &[u8]) -> String {
    let mut options: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(old).unwrap_or_default();
    options.insert("include_usage".to_owned(), true.into());
    serde_json::Value::Object(options).to_string()
}
