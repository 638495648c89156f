//! Writing a client's stream.
//!
//! Blocks come one after another with indices from 0; calls whose pieces come by turns stay open beside one another, since
//! clients address pieces by index. Text that goes on after another part has begun is a block of its own.

use super::super::{
    OWN,
    block::{carried, show_citation},
    failure,
    response::{Ids, show_finish, show_usage},
};
use crate::{
    dialect::{self, Show},
    model::{
        answer::{At, Delta, Finish, Opened, Reported},
        part::{Citation, Signature},
    },
    refusal::Refusal,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Writes a client's stream.
#[derive(Debug)]
pub struct Writer {
    show: Show,
    ids: Ids,
    begun: bool,
    /// Nothing follows a terminal event or an error.
    over: bool,
    calls: bool,
    finish: Option<Finish>,
    usage: Option<Reported>,
    tier: Option<String>,
    /// Number of our part → its block.
    blocks: BTreeMap<u32, Shown>,
    /// Those of texts and thoughts that have something to close.
    said: BTreeSet<u32>,
    /// The next block's index.
    next: u64,
}

/// A part as the client sees it.
#[derive(Debug)]
struct Shown {
    kind: Kind,
    state: State,
    /// A proof that goes behind the block; see [`carried`].
    proof: Option<Signature>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    /// Begins with its data, so waits for it.
    Redacted,
    Call,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Open(u64),
    Closed,
}

/// A piece of a block, the event that most of a stream is made of.
#[derive(Serialize)]
struct PieceEvent<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    index: u64,
    delta: Piece<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Piece<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "input_json_delta")]
    Input { partial_json: &'a str },
}

impl Writer {
    /// For one client.
    #[must_use]
    pub fn new(show: Show) -> Self {
        let ids = Ids::new(&show.id);
        Self {
            show,
            ids,
            begun: false,
            over: false,
            calls: false,
            finish: None,
            usage: None,
            tier: None,
            blocks: BTreeMap::new(),
            said: BTreeSet::new(),
            next: 0,
        }
    }

    fn begin(&mut self, id: Option<&str>, model: Option<&str>, out: &mut Vec<u8>) {
        if self.begun {
            return;
        }
        self.begun = true;
        let usage = self.usage.as_ref().map(|reported| reported.usage).unwrap_or_default();
        let message = json!({
            "id": id.map_or_else(|| format!("msg_{}", self.show.id), str::to_owned),
            "type": "message",
            "role": "assistant",
            "model": model.unwrap_or(&self.show.model),
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "stop_details": null,
            "usage": show_usage(&usage, self.tier.as_deref()),
        });
        event("message_start", &json!({"type": "message_start", "message": message}), out);
    }

    /// Begins a block and gives its index.
    fn start(&mut self, block: &Value, out: &mut Vec<u8>) -> u64 {
        let index = self.next;
        self.next += 1;
        let start = json!({"type": "content_block_start", "index": index, "content_block": block});
        event("content_block_start", &start, out);
        index
    }

    /// Begins a text's or a thought's block, its first or, of what has been closed, another.
    fn start_again(&mut self, at: At, block: &Value, out: &mut Vec<u8>) -> u64 {
        let index = self.start(block, out);
        self.said.insert(at.part);
        if let Some(shown) = self.blocks.get_mut(&at.part) {
            shown.state = State::Open(index);
        }
        index
    }

    /// A block that is whole at once.
    fn whole(&mut self, block: &Value, out: &mut Vec<u8>) {
        let index = self.start(block, out);
        stop(index, out);
    }

    fn open(&mut self, at: At, opened: &Opened, out: &mut Vec<u8>) {
        // What was said is complete when something else begins; calls may go on.
        for part in std::mem::take(&mut self.said) {
            self.close(part, out);
        }
        let kind = match opened {
            Opened::Text | Opened::Refusal => Kind::Text,
            Opened::Reasoning { redacted: true, .. } => Kind::Redacted,
            Opened::Reasoning { .. } => Kind::Thinking,
            Opened::ToolCall { .. } => Kind::Call,
            Opened::Native(OWN, value) => {
                self.whole(value, out);
                return;
            }
            Opened::Native(..) | Opened::Media(_) => return,
        };
        // An empty text would be refused when it comes back: a text begins with its first piece.
        let mut state = State::Waiting;
        if let Opened::ToolCall { id, name } = opened {
            self.calls = true;
            let block = json!({"type": "tool_use", "id": self.ids.id(id), "name": name, "input": {}});
            state = State::Open(self.start(&block, out));
        } else if kind == Kind::Thinking {
            state =
                State::Open(self.start(&json!({"type": "thinking", "thinking": "", "signature": ""}), out));
        }
        if kind == Kind::Thinking {
            self.said.insert(at.part);
        }
        self.blocks.insert(at.part, Shown { kind, state, proof: None });
    }

    fn append(&mut self, at: At, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        let Some(Shown { kind, state, .. }) = self.blocks.get(&at.part) else { return };
        let (kind, state) = (*kind, *state);
        let index = match (kind, state) {
            (_, State::Open(index)) => index,
            (Kind::Text | Kind::Thinking, _) => {
                let block = match kind {
                    Kind::Text => json!({"type": "text", "text": ""}),
                    _ => json!({"type": "thinking", "thinking": "", "signature": ""}),
                };
                self.start_again(at, &block, out)
            }
            (Kind::Redacted | Kind::Call, _) => return,
        };
        let delta = match kind {
            Kind::Text => Piece::Text { text },
            Kind::Thinking => Piece::Thinking { thinking: text },
            Kind::Call => Piece::Input { partial_json: text },
            Kind::Redacted => return,
        };
        piece(index, delta, out);
    }

    fn sign(&mut self, at: At, proof: &Signature, out: &mut Vec<u8>) {
        let Some(shown) = self.blocks.get_mut(&at.part) else { return };
        let text = proof.show_to(OWN);
        match (shown.kind, shown.state) {
            (Kind::Thinking, State::Open(index)) => piece(index, Piece::Signature { signature: &text }, out),
            // Proof that comes when something else has begun stands for itself.
            (Kind::Thinking, State::Closed) => self.carry(proof, out),
            (Kind::Redacted, State::Waiting) => {
                shown.state = State::Closed;
                self.whole(&json!({"type": "redacted_thinking", "data": text}), out);
            }
            // At once, so that no other call comes between.
            (Kind::Call, _) | (Kind::Text, State::Closed) if carried(proof) => self.carry(proof, out),
            (Kind::Text, _) if carried(proof) => {
                shown.proof = Some(proof.clone());
                self.said.insert(at.part);
            }
            _ => {}
        }
    }

    fn carry(&mut self, proof: &Signature, out: &mut Vec<u8>) {
        let index = self.start(&json!({"type": "thinking", "thinking": "", "signature": ""}), out);
        piece(index, Piece::Signature { signature: &proof.show_to(OWN) }, out);
        stop(index, out);
    }

    fn cite(&mut self, at: At, citation: &Citation, out: &mut Vec<u8>) {
        let Some(citation) = show_citation(citation) else { return };
        // The source of a text that has not begun yet, or has ended, is told with an empty one.
        let index = match self.blocks.get(&at.part) {
            Some(Shown { kind: Kind::Text, state: State::Open(index), .. }) => *index,
            Some(Shown { kind: Kind::Text, .. }) => {
                self.start_again(at, &json!({"type": "text", "text": ""}), out)
            }
            _ => return,
        };
        let delta = json!({"type": "citations_delta", "citation": citation});
        event(
            "content_block_delta",
            &json!({"type": "content_block_delta", "index": index, "delta": delta}),
            out,
        );
    }

    fn close(&mut self, part: u32, out: &mut Vec<u8>) {
        let Some(shown) = self.blocks.get_mut(&part) else { return };
        let proof = shown.proof.take();
        self.said.remove(&part);
        let open = match shown.state {
            State::Open(index) => Some(index),
            // A text without words may have a proof all the same.
            State::Waiting if proof.is_some() => None,
            State::Waiting | State::Closed => return,
        };
        shown.state = State::Closed;
        match open {
            Some(index) => stop(index, out),
            None => self.whole(&json!({"type": "text", "text": ""}), out),
        }
        if let Some(proof) = proof {
            self.carry(&proof, out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.begin(None, None, out);
        let open: Vec<u32> = self.blocks.keys().copied().collect();
        for part in open {
            self.close(part, out);
        }
        let (stop_reason, stop_sequence) = show_finish(self.finish.as_ref(), self.calls);
        let usage = self.usage.as_ref().map(|reported| reported.usage).unwrap_or_default();
        let change = json!({
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason, "stop_sequence": stop_sequence, "stop_details": null},
            "usage": {
                "input_tokens": usage.input.saturating_add(usage.input_audio),
                "cache_creation_input_tokens": usage.cache_write_5m.saturating_add(usage.cache_write_1h),
                "cache_read_input_tokens": usage.cache_read,
                "output_tokens": usage.output_total(),
                "output_tokens_details": {"thinking_tokens": usage.reasoning},
                "server_tool_use": null,
            },
        });
        event("message_delta", &change, out);
        event("message_stop", &json!({"type": "message_stop"}), out);
        self.over = true;
    }
}

impl dialect::Writer for Writer {
    fn push(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        let other = match delta {
            Delta::Open(at, _)
            | Delta::Append(at, _)
            | Delta::Sign(at, _)
            | Delta::Cite(at, _)
            | Delta::Close(at) => at.choice > 0,
            Delta::Finish(choice, _) => *choice > 0,
            _ => false,
        };
        if self.over || other {
            return;
        }
        if matches!(delta, Delta::Open(..)) {
            self.begin(None, None, out);
        }
        match delta {
            Delta::Begin { id, model } => self.begin(id.as_deref(), model.as_deref(), out),
            Delta::Open(at, opened) => self.open(*at, opened, out),
            Delta::Append(at, text) => self.append(*at, text, out),
            Delta::Sign(at, proof) => self.sign(*at, proof, out),
            Delta::Cite(at, citation) => self.cite(*at, citation, out),
            Delta::Close(at) => self.close(at.part, out),
            Delta::Finish(_, finish) => self.finish = Some(finish.clone()),
            Delta::Usage(reported) => self.usage = Some(reported.clone()),
            Delta::Tier(tier) => self.tier = Some(tier.clone()),
            Delta::End => self.end(out),
            Delta::Error(problem) => {
                self.over = true;
                line("error", failure::write_event(problem).as_bytes(), out);
            }
            Delta::Ping => line("ping", br#"{"type":"ping"}"#, out),
            Delta::Logprobs(..) | Delta::Corrupt | Delta::TooLong(_) => {}
        }
    }

    fn fail(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        if !self.over {
            self.over = true;
            line("error", failure::write(refusal).as_bytes(), out);
        }
    }
}

fn stop(index: u64, out: &mut Vec<u8>) {
    event("content_block_stop", &json!({"type": "content_block_stop", "index": index}), out);
}

fn piece(index: u64, delta: Piece<'_>, out: &mut Vec<u8>) {
    event("content_block_delta", &PieceEvent { kind: "content_block_delta", index, delta }, out);
}

fn event(name: &str, data: &impl Serialize, out: &mut Vec<u8>) {
    head(name, out);
    // Texts and numbers alone: writing them cannot fail.
    let _ = serde_json::to_writer(&mut *out, data);
    out.extend_from_slice(b"\n\n");
}

fn line(name: &str, data: &[u8], out: &mut Vec<u8>) {
    head(name, out);
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

fn head(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
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
            let opened = match part % 3 {
                0 => Opened::Text,
                1 => Opened::ToolCall { id: String::new(), name: "f".to_owned() },
                _ => Opened::Reasoning { id: None, summary: false, redacted: false },
            };
            let at = At { choice: 0, part };
            writer.push(&Delta::Open(at, opened), &mut out);
            writer.push(&Delta::Append(at, "a".to_owned()), &mut out);
            assert!(writer.said.len() <= 1, "{:?}", writer.said);
        }
        assert_eq!(writer.blocks.len(), 300);
        // Text that goes on behind another part is closed when the next one begins, as it was the first time.
        let at = At { choice: 0, part: 0 };
        writer.push(&Delta::Append(at, "b".to_owned()), &mut out);
        assert!(writer.said.contains(&0));
        writer.push(&Delta::Open(At { choice: 0, part: 300 }, Opened::Text), &mut out);
        assert_eq!((writer.said.len(), writer.blocks[&0].state), (0, State::Closed));
    }
}
