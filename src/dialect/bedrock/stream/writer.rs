//! A client's stream.

use super::super::{OWN, content, failure, write_finish, write_usage};
use crate::{
    dialect::Show,
    model::answer::{At, Delta, Finish, Opened, Reported},
    refusal::Refusal,
    stream::aws_eventstream::Message,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Writes a client's stream. `messageStop` and `metadata` come at the end, when all is known.
#[derive(Debug, Default)]
pub struct Writer {
    begun: bool,
    /// Parts under way.
    parts: BTreeMap<At, Part>,
    /// Those whose signature is not written yet.
    signed: BTreeSet<At>,
    /// Blocks begun so far.
    blocks: u32,
    /// Calls begun so far.
    calls: u32,
    finish: Option<Finish>,
    reported: Option<Reported>,
    tier: Option<String>,
}

#[derive(Debug)]
struct Part {
    kind: Kind,
    /// The block's number, once something of it is written.
    block: Option<u32>,
    signature: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
    Redacted,
    Call,
}

impl Writer {
    /// Bedrock's streams name neither the answer nor the model.
    #[must_use]
    pub fn new(_show: Show) -> Self {
        Self::default()
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !self.begun {
            self.begun = true;
            event("messageStart", &json!({"role": "assistant"}), out);
        }
    }

    fn open(&mut self, at: At, opened: &Opened, out: &mut Vec<u8>) {
        let kind = match opened {
            Opened::Text | Opened::Refusal => Kind::Text,
            Opened::Reasoning { redacted: false, .. } => Kind::Reasoning,
            Opened::Reasoning { redacted: true, .. } => Kind::Redacted,
            Opened::ToolCall { .. } => Kind::Call,
            Opened::Native(OWN, value) => {
                self.native(value, out);
                return;
            }
            // Nobody but a client of that dialect knows what it is.
            Opened::Native(..) | Opened::Media(_) => return,
        };
        let mut part = Part { kind, block: None, signature: None };
        if let Opened::ToolCall { id, name } = opened {
            let made_up = format!("call_{}", self.calls);
            self.calls = self.calls.saturating_add(1);
            let id = if id.is_empty() { &made_up } else { id };
            let block = self.next_block();
            part.block = Some(block);
            let start = json!({"toolUse": {"toolUseId": id, "name": name}});
            event("contentBlockStart", &json!({"contentBlockIndex": block, "start": start}), out);
        }
        self.parts.insert(at, part);
    }

    fn next_block(&mut self) -> u32 {
        let block = self.blocks;
        self.blocks = self.blocks.saturating_add(1);
        block
    }

    /// A block that is there at once.
    fn native(&mut self, value: &Value, out: &mut Vec<u8>) {
        let Some((name, Value::Object(members))) =
            value.as_object().and_then(|members| members.iter().next())
        else {
            return;
        };
        let mut start: Map<String, Value> = members.clone();
        let delta = match name.as_str() {
            "toolUse" => {
                let input = start.shift_remove("input").unwrap_or_else(|| json!({}));
                json!({"toolUse": {"input": input.to_string()}})
            }
            "toolResult" => json!({"toolResult": start.shift_remove("content").unwrap_or_else(|| json!([]))}),
            "image" => json!({"image": {"source": start.shift_remove("source").unwrap_or_default()}}),
            // Streams have no other blocks.
            _ => return,
        };
        let block = self.next_block();
        event("contentBlockStart", &json!({"contentBlockIndex": block, "start": {name: start}}), out);
        event("contentBlockDelta", &json!({"contentBlockIndex": block, "delta": delta}), out);
        event("contentBlockStop", &json!({"contentBlockIndex": block}), out);
    }

    fn delta(&mut self, at: At, delta: impl FnOnce(Kind) -> Value, out: &mut Vec<u8>) {
        let Some(part) = self.parts.get_mut(&at) else { return };
        let block = match part.block {
            Some(block) => block,
            None => {
                let block = self.blocks;
                self.blocks = self.blocks.saturating_add(1);
                part.block = Some(block);
                block
            }
        };
        let delta = delta(part.kind);
        event("contentBlockDelta", &json!({"contentBlockIndex": block, "delta": delta}), out);
    }

    fn sign(&mut self, at: At, out: &mut Vec<u8>) {
        if let Some(signature) = self.parts.get_mut(&at).and_then(|part| part.signature.take()) {
            let shown = |kind| match kind {
                Kind::Redacted => json!({"reasoningContent": {"redactedContent": signature}}),
                _ => json!({"reasoningContent": {"signature": signature}}),
            };
            self.delta(at, shown, out);
        }
    }

    fn close(&mut self, at: At, out: &mut Vec<u8>) {
        self.signed.remove(&at);
        self.sign(at, out);
        if let Some(block) = self.parts.remove(&at).and_then(|part| part.block) {
            event("contentBlockStop", &json!({"contentBlockIndex": block}), out);
        }
    }

    fn close_all(&mut self, out: &mut Vec<u8>) {
        let open: Vec<At> = self.parts.keys().copied().collect();
        for at in open {
            self.close(at, out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        self.close_all(out);
        let finish = self.finish.take().unwrap_or(Finish::Stop);
        let mut stop = json!({"stopReason": write_finish(&finish)});
        if let (Finish::StopSequence(Some(text)), Some(members)) = (&finish, stop.as_object_mut()) {
            members.insert("additionalModelResponseFields".to_owned(), json!({"stop_sequence": text}));
        }
        event("messageStop", &stop, out);
        let mut metadata = Map::new();
        if let Some(reported) = self.reported.take() {
            metadata.insert("usage".to_owned(), write_usage(&reported.usage));
        }
        if let Some(tier) = self.tier.take() {
            metadata.insert("serviceTier".to_owned(), json!({"type": tier}));
        }
        if !metadata.is_empty() {
            event("metadata", &Value::Object(metadata), out);
        }
    }
}

impl crate::dialect::Writer for Writer {
    fn push(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        match delta {
            Delta::Begin { .. } => self.begin(out),
            // There is one answer.
            Delta::Open(at, _)
            | Delta::Append(at, _)
            | Delta::Sign(at, _)
            | Delta::Cite(at, _)
            | Delta::Close(at)
                if at.choice != 0 => {}
            Delta::Open(at, opened) => {
                self.begin(out);
                // Whoever signs has said all; a part of nothing but its signature keeps its place.
                for at in std::mem::take(&mut self.signed) {
                    self.sign(at, out);
                }
                self.open(*at, opened, out);
            }
            Delta::Append(_, text) if text.is_empty() => {}
            Delta::Append(at, text) => {
                let shown = |kind| match kind {
                    Kind::Text => json!({"text": text}),
                    Kind::Call => json!({"toolUse": {"input": text}}),
                    Kind::Reasoning | Kind::Redacted => json!({"reasoningContent": {"text": text}}),
                };
                self.delta(*at, shown, out);
            }
            Delta::Sign(at, signature) => {
                // There is a place for the signature of thoughts only.
                if let Some(part) = self.parts.get_mut(at)
                    && matches!(part.kind, Kind::Reasoning | Kind::Redacted)
                {
                    part.signature = Some(signature.show_to(OWN));
                    self.signed.insert(*at);
                }
            }
            Delta::Cite(at, citation) => {
                self.delta(*at, |_| json!({"citation": content::write_citation(citation)}), out);
            }
            Delta::Close(at) => self.close(*at, out),
            Delta::Finish(0, finish) => {
                self.begin(out);
                self.close_all(out);
                self.finish = Some(finish.clone());
            }
            Delta::Usage(reported) => self.reported = Some(reported.clone()),
            Delta::Tier(tier) => self.tier = Some(tier.clone()),
            Delta::End => self.end(out),
            Delta::Error(failure) => {
                exception(failure.status, &json!({"message": failure.message}).to_string(), out);
            }
            Delta::Finish(..) | Delta::Logprobs(..) | Delta::Ping | Delta::Corrupt | Delta::TooLong(_) => {}
        }
    }

    fn fail(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        exception(refusal.status, &failure::write(refusal), out);
    }
}

/// A piece of a provider's stream is far below what an event has room for.
fn event(kind: &str, payload: &Value, out: &mut Vec<u8>) {
    let headers = [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")];
    Message::of_texts(&headers, payload.to_string().as_bytes()).encode(out);
}

/// Streams have five of the exceptions.
fn exception(status: u16, payload: &str, out: &mut Vec<u8>) {
    let name = match status {
        424 => "modelStreamErrorException",
        429 => "throttlingException",
        502 | 503 => "serviceUnavailableException",
        400..=499 => "validationException",
        _ => "internalServerException",
    };
    let headers =
        [(":exception-type", name), (":content-type", "application/json"), (":message-type", "exception")];
    Message::of_texts(&headers, payload.as_bytes()).encode(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dialect::Writer as _, model::part::Signature};

    #[test]
    fn what_a_beginning_looks_at_does_not_grow_with_what_is_open() {
        let mut writer = Writer::default();
        let mut out = Vec::new();
        for part in 0..200 {
            let at = At { choice: 0, part };
            let opened = match part % 2 {
                0 => Opened::ToolCall { id: String::new(), name: "f".to_owned() },
                _ => Opened::Reasoning { id: None, summary: false, redacted: false },
            };
            writer.push(&Delta::Open(at, opened), &mut out);
            writer.push(&Delta::Sign(at, Signature::came_from(OWN, "s")), &mut out);
            assert!(writer.signed.len() <= 1, "{:?}", writer.signed);
        }
        assert_eq!(writer.parts.len(), 200);
    }
}
