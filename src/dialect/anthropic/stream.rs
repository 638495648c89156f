//! A stream of events (<https://docs.claude.com/en/docs/build-with-claude/streaming>, read 2026-11-21).
//!
//! Events of a type that is not known are skipped, as Anthropic's versioning asks of clients; an event that is not JSON of
//! the form of its type is corrupt.

mod writer;

pub use writer::Writer;

use super::{
    OWN,
    block::{read_citation, read_proof},
    failure,
    response::{read_finish, read_tier, read_usage},
};
use crate::{
    dialect::{EventReader, Events},
    model::answer::{At, Delta, Opened},
    stream::sse::Event,
};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use std::collections::BTreeMap;

/// An event; values that the hot path does not need stay unread until they are wanted.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    index: Option<u64>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    content_block: Option<Value>,
    message: Option<Value>,
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct Piece {
    text: Option<String>,
    partial_json: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    citation: Option<Value>,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
}

/// A block under way.
#[derive(Debug)]
enum Block {
    /// A part of ours.
    Part { at: At, arguments: Option<Arguments> },
    /// What only this dialect knows, held until it is whole, and its `input` as it comes.
    Native { value: Value, input: String },
}

/// Of a call: what it began with, and whether more came.
#[derive(Debug)]
struct Arguments {
    first: Option<String>,
    more: bool,
}

/// Reads a provider's stream.
pub type Reader = Events<Steps>;

/// What is known of a stream so far.
#[derive(Debug, Default)]
pub struct Steps {
    blocks: BTreeMap<u64, Block>,
    parts: u32,
    /// Counts so far: later events name only what has changed.
    usage: Map<String, Value>,
}

impl EventReader for Steps {
    fn event(&mut self, event: &Event, deltas: &mut Vec<Delta>) {
        self.read(event, deltas);
    }
}

impl Steps {
    fn read(&mut self, event: &Event, deltas: &mut Vec<Delta>) {
        let Some(data) = event.data.as_deref().map(<[u8]>::trim_ascii) else { return };
        // Some that copy the format end as OpenAI does.
        if data.is_empty() || data == b"[DONE]" {
            return;
        }
        if event.name.as_deref() == Some(b"error") {
            deltas.push(Delta::Error(failure::read_event(data)));
            return;
        }
        let Ok(wire) = serde_json::from_slice::<Wire<'_>>(data) else {
            deltas.push(Delta::Corrupt);
            return;
        };
        let done = match wire.kind.as_deref() {
            Some("message_start") => self.begin(wire.message, deltas),
            Some("content_block_start") => self.open(wire.index, wire.content_block, deltas),
            Some("content_block_delta") => self.piece(wire.index, wire.delta, deltas),
            Some("content_block_stop") => wire.index.map(|index| self.close(index, deltas)),
            Some("message_delta") => self.change(wire.delta, wire.usage, deltas),
            Some("message_stop") => {
                self.close_all(deltas);
                deltas.push(Delta::End);
                Some(())
            }
            Some("ping") => {
                deltas.push(Delta::Ping);
                Some(())
            }
            Some("error") => {
                deltas.push(Delta::Error(failure::read_event(data)));
                Some(())
            }
            Some(_) => Some(()),
            None => None,
        };
        if done.is_none() {
            deltas.push(Delta::Corrupt);
        }
    }

    fn begin(&mut self, message: Option<Value>, deltas: &mut Vec<Delta>) -> Option<()> {
        let message = message?;
        let text = |name: &str| message.get(name).and_then(Value::as_str).map(str::to_owned);
        deltas.push(Delta::Begin { id: text("id"), model: text("model") });
        if let Some(usage) = message.get("usage") {
            deltas.extend(read_tier(usage).map(Delta::Tier));
            self.count(usage, deltas);
        }
        Some(())
    }

    fn count(&mut self, usage: &Value, deltas: &mut Vec<Delta>) {
        for (name, value) in usage.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
            // They only grow. Some that copy the format begin or end with zeros.
            let known = self.usage.get(name).and_then(Value::as_u64);
            if known.is_none_or(|known| value.as_u64().is_none_or(|value| value >= known)) {
                self.usage.insert(name.clone(), value.clone());
            }
        }
        deltas.extend(read_usage(&Value::Object(self.usage.clone())).map(Delta::Usage));
    }

    fn open(&mut self, index: Option<u64>, block: Option<Value>, deltas: &mut Vec<Delta>) -> Option<()> {
        let (index, block) = (index?, block?);
        let kind = block.get("type").and_then(Value::as_str)?.to_owned();
        let text = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        // An index that is used again begins another block.
        self.close(index, deltas);
        let (opened, said, proof, arguments) = match kind.as_str() {
            "text" => (Opened::Text, text("text"), String::new(), None),
            "thinking" | "redacted_thinking" => {
                let redacted = kind == "redacted_thinking";
                let proof = text(if redacted { "data" } else { "signature" });
                (Opened::Reasoning { id: None, summary: false, redacted }, text("thinking"), proof, None)
            }
            "tool_use" => {
                // Mostly empty here, and told in pieces.
                let first = block.get("input").filter(|input| **input != json!({}) && input.is_object());
                let arguments = Arguments { first: first.map(Value::to_string), more: false };
                (
                    Opened::ToolCall { id: text("id"), name: text("name") },
                    String::new(),
                    String::new(),
                    Some(arguments),
                )
            }
            _ => {
                self.blocks.insert(index, Block::Native { value: block, input: String::new() });
                return Some(());
            }
        };
        let citations = block.get("citations").and_then(Value::as_array).cloned().unwrap_or_default();
        let at = self.part(opened, deltas);
        if !said.is_empty() {
            deltas.push(Delta::Append(at, said));
        }
        deltas.extend(citations.into_iter().map(|citation| Delta::Cite(at, read_citation(citation))));
        deltas.extend(read_proof(&proof).map(|proof| Delta::Sign(at, proof)));
        self.blocks.insert(index, Block::Part { at, arguments });
        Some(())
    }

    fn part(&mut self, opened: Opened, deltas: &mut Vec<Delta>) -> At {
        let at = At { choice: 0, part: self.parts };
        self.parts = self.parts.saturating_add(1);
        deltas.push(Delta::Open(at, opened));
        at
    }

    fn piece(&mut self, index: Option<u64>, piece: Option<&RawValue>, deltas: &mut Vec<Delta>) -> Option<()> {
        let text = piece?.get();
        let piece: Piece = serde_json::from_str(text).ok()?;
        match self.blocks.get_mut(&index?)? {
            Block::Part { at, arguments } => {
                if let (Some(more), Some(arguments)) = (&piece.partial_json, arguments) {
                    arguments.more |= !more.is_empty();
                }
                let said =
                    piece.text.or(piece.partial_json).or(piece.thinking).filter(|said| !said.is_empty());
                deltas.extend(said.map(|said| Delta::Append(*at, said)));
                deltas.extend(piece.citation.map(|citation| Delta::Cite(*at, read_citation(citation))));
                let proof = piece.signature.as_deref().and_then(read_proof);
                deltas.extend(proof.map(|proof| Delta::Sign(*at, proof)));
            }
            Block::Native { value, input } => {
                if let Some(more) = piece.partial_json {
                    input.push_str(&more);
                    return Some(());
                }
                // Of a kind of piece that is not known: its members are the block's, texts in pieces
                // (`compaction_delta` has `content`).
                let mut more: Map<String, Value> = serde_json::from_str(text).ok()?;
                more.shift_remove("type");
                let members = value.as_object_mut()?;
                for (name, more) in more.into_iter().filter(|(_, more)| !more.is_null()) {
                    match (members.get_mut(&name), &more) {
                        (Some(Value::String(text)), Value::String(more)) => text.push_str(more),
                        _ => {
                            members.insert(name, more);
                        }
                    }
                }
            }
        }
        Some(())
    }

    fn close(&mut self, index: u64, deltas: &mut Vec<Delta>) {
        match self.blocks.remove(&index) {
            Some(Block::Part { at, arguments }) => {
                // A call without arguments may come without any piece, or with empty ones alone.
                if let Some(Arguments { first, more: false }) = arguments {
                    deltas.push(Delta::Append(at, first.unwrap_or_else(|| "{}".to_owned())));
                }
                deltas.push(Delta::Close(at));
            }
            Some(Block::Native { mut value, input }) => {
                if let (Ok(input), Some(members)) = (serde_json::from_str(&input), value.as_object_mut()) {
                    members.insert("input".to_owned(), input);
                }
                let at = self.part(Opened::Native(OWN, value), deltas);
                deltas.push(Delta::Close(at));
            }
            None => {}
        }
    }

    fn close_all(&mut self, deltas: &mut Vec<Delta>) {
        while let Some(index) = self.blocks.keys().next().copied() {
            self.close(index, deltas);
        }
    }

    fn change(
        &mut self,
        piece: Option<&RawValue>,
        usage: Option<Value>,
        deltas: &mut Vec<Delta>,
    ) -> Option<()> {
        let piece: Piece = serde_json::from_str(piece?.get()).ok()?;
        if let Some(reason) = piece.stop_reason {
            self.close_all(deltas);
            deltas.push(Delta::Finish(0, read_finish(&reason, piece.stop_sequence)));
        }
        if let Some(usage) = usage {
            self.count(&usage, deltas);
        }
        Some(())
    }
}
