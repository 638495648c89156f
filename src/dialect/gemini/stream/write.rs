//! A stream for Google's clients.

use super::super::{
    failure,
    grounding::{self, Sources},
    response::{finish_out, logprobs_out, write_part},
    usage,
};
use crate::{
    dialect::{self, Dialect, Show},
    model::{
        answer::{At, Delta, Finish, Opened, Reported},
        part::{Body, Part, Reasoning, Signature, ToolCall},
    },
    refusal::Refusal,
};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

/// Writes events, or pieces of a JSON list where the client asked for no events.
#[derive(Debug)]
pub struct Writer {
    show: Show,
    /// Whether anything was written.
    begun: bool,
    /// Nothing may follow.
    ended: bool,
    open: BTreeMap<At, Piece>,
    /// Those of them that are complete: what is native, and what was said and signed. Calls are not, since their pieces may come
    /// between those of others, nor are texts without a signature.
    complete: BTreeSet<At>,
    choices: BTreeMap<u32, About>,
    reported: Option<Reported>,
    tier: Option<String>,
}

/// A part that is not complete.
#[derive(Debug)]
struct Piece {
    body: Body,
    signature: Option<Signature>,
}

/// What is said of an answer in its last piece.
#[derive(Debug, Default)]
struct About {
    finish: Option<Finish>,
    /// Texts of the parts, for positions of sources.
    texts: BTreeMap<u32, String>,
    sources: Sources,
}

impl Writer {
    /// For a client.
    #[must_use]
    pub const fn new(show: Show) -> Self {
        Self {
            show,
            begun: false,
            ended: false,
            open: BTreeMap::new(),
            complete: BTreeSet::new(),
            choices: BTreeMap::new(),
            reported: None,
            tier: None,
        }
    }

    fn emit(&mut self, value: &Value, out: &mut Vec<u8>) {
        if self.show.array {
            out.extend_from_slice(if self.begun { b"\n,\n" } else { b"[" });
            out.extend_from_slice(value.to_string().as_bytes());
        } else {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(value.to_string().as_bytes());
            out.extend_from_slice(b"\r\n\r\n");
        }
        self.begun = true;
    }

    fn close_list(&mut self, out: &mut Vec<u8>) {
        self.ended = true;
        if self.show.array {
            out.extend_from_slice(b"\n]");
        }
    }

    fn emit_candidates(&mut self, candidates: Vec<Value>, usage: Option<Value>, out: &mut Vec<u8>) {
        let mut body = Map::from_iter([("candidates".to_owned(), Value::Array(candidates))]);
        body.extend(usage.map(|usage| ("usageMetadata".to_owned(), usage)));
        body.insert("modelVersion".to_owned(), json!(self.show.model));
        body.insert("responseId".to_owned(), json!(self.show.id));
        self.emit(&Value::Object(body), out);
    }

    fn emit_part(&mut self, choice: u32, part: &Part, out: &mut Vec<u8>) {
        if let Some(part) = write_part(part) {
            let candidate = json!({ "content": { "parts": [part], "role": "model" }, "index": choice });
            self.emit_candidates(vec![candidate], None, out);
        }
    }

    /// Writes what is left of a part: a call, which goes as a whole, or the signature of what was said.
    fn close(&mut self, at: At, out: &mut Vec<u8>) {
        self.complete.remove(&at);
        let Some(Piece { body, signature }) = self.open.remove(&at) else {
            return;
        };
        let body = match body {
            Body::ToolCall(_) => body,
            Body::Native(Dialect::Gemini, native) if grounding::is_candidates(&native) => {
                let mut candidate = Map::from_iter([("index".to_owned(), json!(at.choice))]);
                if let Value::Object(native) = native {
                    candidate.extend(native);
                }
                // The sources are in it already.
                if let Some(about) = self.choices.get_mut(&at.choice) {
                    about.sources.clear();
                }
                self.emit_candidates(vec![Value::Object(candidate)], None, out);
                return;
            }
            Body::Native(..) | Body::Media(_) => body,
            _ if signature.is_some() => body,
            _ => return,
        };
        self.emit_part(at.choice, &Part { body, cache: None, signature }, out);
    }

    /// Writes what is left of all parts of an answer, or of all answers.
    fn close_all(&mut self, choice: Option<u32>, out: &mut Vec<u8>) {
        let of = choice.map_or(At { choice: 0, part: 0 }..=At { choice: u32::MAX, part: u32::MAX }, parts_of);
        let open: Vec<At> = self.open.range(of).map(|(at, _)| *at).collect();
        for at in open {
            self.close(at, out);
        }
    }

    /// Writes, before a part begins, what is complete of those before it.
    fn close_complete(&mut self, choice: u32, out: &mut Vec<u8>) {
        let complete: Vec<At> = self.complete.range(parts_of(choice)).copied().collect();
        for at in complete {
            self.close(at, out);
        }
    }

    fn append(&mut self, at: At, text: &str, out: &mut Vec<u8>) {
        let part = match self.open.get_mut(&at).map(|piece| &mut piece.body) {
            Some(Body::ToolCall(call)) => {
                call.arguments.push_str(text);
                return;
            }
            Some(Body::Reasoning(_)) => {
                let thoughts = Reasoning { text: text.to_owned(), ..Reasoning::default() };
                Body::Reasoning(thoughts).into()
            }
            Some(Body::Text(_) | Body::Refusal(_)) => {
                let about = self.choices.entry(at.choice).or_default();
                about.texts.entry(at.part).or_default().push_str(text);
                Part::text(text)
            }
            _ => return,
        };
        if !text.is_empty() {
            self.emit_part(at.choice, &part, out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.close_all(None, out);
        if self.choices.is_empty() {
            self.choices.insert(0, About::default());
        }
        let candidates = std::mem::take(&mut self.choices).into_iter().map(|(index, about)| {
            let finish = about.finish.as_ref().map_or("OTHER", finish_out);
            let mut candidate = Map::from_iter([
                ("content".to_owned(), json!({ "parts": [{ "text": "" }], "role": "model" })),
                ("finishReason".to_owned(), json!(finish)),
                ("index".to_owned(), json!(index)),
            ]);
            let grounding = about.sources.metadata();
            candidate.extend(grounding.map(|grounding| ("groundingMetadata".to_owned(), grounding)));
            Value::Object(candidate)
        });
        let candidates = candidates.collect();
        let usage = usage::write(self.reported.as_ref(), self.tier.as_deref());
        self.emit_candidates(candidates, usage, out);
        self.close_list(out);
    }
}

const fn parts_of(choice: u32) -> RangeInclusive<At> {
    At { choice, part: 0 }..=At { choice, part: u32::MAX }
}

impl dialect::Writer for Writer {
    fn push(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        match delta {
            Delta::Begin { id, model } => {
                if let Some(id) = id {
                    self.show.id.clone_from(id);
                }
                if let Some(model) = model {
                    self.show.model.clone_from(model);
                }
            }
            Delta::Open(at, opened) => {
                self.close_complete(at.choice, out);
                self.choices.entry(at.choice).or_default();
                let body = match opened.clone() {
                    Opened::Text | Opened::Refusal => Body::Text(crate::model::part::Text::default()),
                    Opened::Reasoning { id, summary, redacted } => {
                        Body::Reasoning(Reasoning { text: String::new(), id, summary, redacted })
                    }
                    Opened::ToolCall { id, name } => {
                        Body::ToolCall(ToolCall { id, name, arguments: String::new() })
                    }
                    Opened::Media(media) => Body::Media(media),
                    Opened::Native(dialect, value) => Body::Native(dialect, value),
                };
                if matches!(body, Body::Native(..) | Body::Media(_)) {
                    self.complete.insert(*at);
                }
                self.open.insert(*at, Piece { body, signature: None });
            }
            Delta::Append(at, text) => self.append(*at, text, out),
            Delta::Sign(at, signature) => {
                if let Some(piece) = self.open.get_mut(at) {
                    piece.signature = Some(signature.clone());
                    if !matches!(piece.body, Body::ToolCall(_)) {
                        self.complete.insert(*at);
                    }
                }
            }
            Delta::Cite(at, citation) => {
                let about = self.choices.entry(at.choice).or_default();
                let text = about.texts.get(&at.part).map_or("", String::as_str);
                let part = usize::try_from(at.part).unwrap_or_default();
                about.sources.push(citation, part, text);
            }
            Delta::Logprobs(choice, logprobs) => {
                if let Some(logprobs) = logprobs_out(logprobs) {
                    let candidate = json!({ "index": choice, "logprobsResult": logprobs });
                    self.emit_candidates(vec![candidate], None, out);
                }
            }
            Delta::Close(at) => self.close(*at, out),
            Delta::Finish(choice, finish) => {
                self.close_all(Some(*choice), out);
                self.choices.entry(*choice).or_default().finish = Some(finish.clone());
            }
            Delta::Usage(reported) => self.reported = Some(reported.clone()),
            Delta::Tier(tier) => self.tier = Some(tier.clone()),
            Delta::End => self.end(out),
            Delta::Error(failure) => {
                self.emit(&failure::of_failure(failure), out);
                self.close_list(out);
            }
            // Google's clients know no comments: some cut the stream at the empty line behind one.
            Delta::Ping | Delta::Corrupt | Delta::TooLong(_) => {}
        }
    }

    fn fail(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        if !self.ended {
            self.emit(&failure::to_value(refusal), out);
            self.close_list(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Writer as _;

    #[test]
    fn what_a_beginning_looks_at_does_not_grow_with_what_is_open() {
        let mut writer = Writer::new(Show::default());
        let mut out = Vec::new();
        for part in 0..300 {
            let at = At { choice: 0, part };
            let opened = match part % 3 {
                0 => Opened::Text,
                1 => Opened::ToolCall { id: String::new(), name: "f".to_owned() },
                _ => Opened::Native(Dialect::Gemini, json!({"executableCode": {}})),
            };
            writer.push(&Delta::Open(at, opened), &mut out);
            writer.push(&Delta::Append(at, "{}".to_owned()), &mut out);
            if part % 6 == 0 {
                writer.push(&Delta::Sign(at, Signature::came_from(Dialect::Gemini, "s")), &mut out);
            }
            assert!(writer.complete.len() <= 1, "{:?}", writer.complete);
        }
        assert_eq!(writer.open.len(), 151, "texts without a signature, calls, and what came last");
    }
}
