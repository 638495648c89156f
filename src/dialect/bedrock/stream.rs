//! ConverseStream: events in Amazon's binary framing. The order is `messageStart`, the blocks, `messageStop`, `metadata`.

mod writer;

pub use writer::Writer;

use super::{OWN, content, failure, read_finish, read_usage};
use crate::{
    model::{
        answer::{At, Delta, Failure, Opened},
        part::Signature,
    },
    stream::aws_eventstream::{Frame, Framer, Message},
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Reads a provider's stream.
///
/// The terminal event is `messageStop`; since `metadata` follows it with the usage, [`Delta::End`] is given behind that, or
/// at the end of the bytes of a stream that had its `messageStop` and no more.
#[derive(Debug, Default)]
pub struct Reader {
    framer: Framer,
    /// Blocks under way, by `contentBlockIndex`.
    blocks: BTreeMap<u64, Block>,
    /// Parts begun so far.
    parts: u32,
    begun: bool,
    /// `messageStop` has come.
    stopped: bool,
    /// `metadata` has come.
    counted: bool,
    ended: bool,
}

/// A block under way.
#[derive(Debug)]
enum Block {
    Text(At),
    Reasoning {
        at: At,
        /// The signature so far, or the redacted thoughts.
        signature: String,
        redacted: bool,
    },
    Call {
        at: At,
        /// No arguments have come.
        empty: bool,
    },
    /// What only this dialect knows; given whole when it is.
    Native {
        /// `toolUse`, `toolResult` or `image`.
        name: &'static str,
        members: Map<String, Value>,
        /// The arguments of a call so far, the bytes of an image so far.
        text: String,
    },
}

impl crate::dialect::Reader for Reader {
    fn push(&mut self, bytes: &[u8]) -> Vec<Delta> {
        let mut out = Vec::new();
        for frame in self.framer.push(bytes) {
            self.frame(frame, &mut out);
        }
        out
    }

    fn finish(&mut self) -> Vec<Delta> {
        let mut out = Vec::new();
        match self.framer.finish() {
            Some(frame) => self.frame(frame, &mut out),
            None if self.stopped => self.end(&mut out),
            None => {}
        }
        out
    }
}

impl Reader {
    fn frame(&mut self, frame: Frame, out: &mut Vec<Delta>) {
        let Frame::Message(message) = frame else {
            out.push(Delta::Corrupt);
            return;
        };
        match message.text(":message-type") {
            Some("event") => {
                let Some(kind) = message.text(":event-type") else {
                    out.push(Delta::Corrupt);
                    return;
                };
                if self.event(kind, &message.payload, out).is_none() {
                    out.push(Delta::Corrupt);
                }
            }
            Some("exception") => {
                let name = message.text(":exception-type").unwrap_or_default();
                self.ended = true;
                out.push(Delta::Error(failure::read_exception(name, &message.payload)));
            }
            Some("error") => {
                self.ended = true;
                out.push(Delta::Error(error(&message)));
            }
            // A type of later days.
            Some(_) => {}
            None => out.push(Delta::Corrupt),
        }
    }

    /// `None`: the event is known, and not what it should be.
    fn event(&mut self, kind: &str, payload: &[u8], out: &mut Vec<Delta>) -> Option<()> {
        if !EVENTS.contains(&kind) {
            return Some(());
        }
        let event: Value = serde_json::from_slice(payload).ok()?;
        let event = event.as_object()?;
        if !self.begun {
            self.begun = true;
            out.push(Delta::Begin { id: None, model: None });
        }
        let index = || event.get("contentBlockIndex").and_then(Value::as_u64);
        match kind {
            "contentBlockStart" => self.start(index()?, event.get("start")?.as_object()?, out),
            "contentBlockDelta" => self.delta(index()?, event.get("delta")?.as_object()?, out),
            "contentBlockStop" => {
                self.stop(index()?, out);
                Some(())
            }
            "messageStop" => {
                let reason = event.get("stopReason")?.as_str()?;
                let open: Vec<u64> = self.blocks.keys().copied().collect();
                for index in open {
                    self.stop(index, out);
                }
                out.push(Delta::Finish(0, read_finish(reason, event.get("additionalModelResponseFields"))));
                self.stopped = true;
                if self.counted {
                    self.end(out);
                }
                Some(())
            }
            "metadata" => {
                let tier = event.get("serviceTier").and_then(|tier| tier.get("type")).and_then(Value::as_str);
                if let Some(tier) = tier {
                    out.push(Delta::Tier(tier.to_owned()));
                }
                if let Some(usage) = event.get("usage") {
                    usage.as_object()?;
                    out.extend(read_usage(usage).map(Delta::Usage));
                }
                self.counted = true;
                if self.stopped {
                    self.end(out);
                }
                Some(())
            }
            _ => Some(()),
        }
    }

    fn end(&mut self, out: &mut Vec<Delta>) {
        if !self.ended {
            self.ended = true;
            out.push(Delta::End);
        }
    }

    fn open(&mut self, opened: Opened, out: &mut Vec<Delta>) -> At {
        let at = At { choice: 0, part: self.parts };
        self.parts = self.parts.saturating_add(1);
        out.push(Delta::Open(at, opened));
        at
    }

    fn start(&mut self, index: u64, start: &Map<String, Value>, out: &mut Vec<Delta>) -> Option<()> {
        let native = |name| start.get(name).and_then(Value::as_object);
        if let Some(call) = native("toolUse")
            && call.get("type").is_none_or(|kind| kind != "server_tool_use")
        {
            let text = |name: &str| call.get(name).and_then(Value::as_str).map(str::to_owned);
            let opened = Opened::ToolCall { id: text("toolUseId")?, name: text("name")? };
            let at = self.open(opened, out);
            self.blocks.insert(index, Block::Call { at, empty: true });
            return Some(());
        }
        for name in ["toolUse", "toolResult", "image"] {
            if let Some(members) = native(name) {
                let block = Block::Native { name, members: members.clone(), text: String::new() };
                self.blocks.insert(index, block);
            }
        }
        Some(())
    }

    fn delta(&mut self, index: u64, delta: &Map<String, Value>, out: &mut Vec<Delta>) -> Option<()> {
        if let Some(text) = delta.get("text") {
            let text = text.as_str()?;
            if !text.is_empty() {
                let at = self.text_at(index, out)?;
                out.push(Delta::Append(at, text.to_owned()));
            }
        } else if let Some(citation) = delta.get("citation") {
            let at = self.text_at(index, out)?;
            out.push(Delta::Cite(at, content::read_citation(citation)));
        } else if let Some(thought) = delta.get("reasoningContent") {
            self.thought(index, thought.as_object()?, out)?;
        } else if let Some(call) = delta.get("toolUse") {
            let input = call.get("input")?.as_str()?;
            match self.blocks.get_mut(&index)? {
                Block::Call { at, empty } => {
                    if !input.is_empty() {
                        *empty = false;
                        out.push(Delta::Append(*at, input.to_owned()));
                    }
                }
                Block::Native { name: "toolUse", text, .. } => text.push_str(input),
                _ => return None,
            }
        } else if let Some(result) = delta.get("toolResult") {
            let Block::Native { name: "toolResult", members, .. } = self.blocks.get_mut(&index)? else {
                return None;
            };
            let content = members.entry("content").or_insert_with(|| json!([]));
            content.as_array_mut()?.extend(result.as_array()?.iter().cloned());
        } else if let Some(image) = delta.get("image") {
            let Block::Native { name: "image", text, .. } = self.blocks.get_mut(&index)? else { return None };
            if let Some(bytes) = image.get("source").and_then(|source| source.get("bytes")) {
                *text = content::joined(text, bytes.as_str()?);
            }
        }
        Some(())
    }

    /// The part of the text block of this number; begun if it is new. `None` if the number is another's.
    fn text_at(&mut self, index: u64, out: &mut Vec<Delta>) -> Option<At> {
        match self.blocks.get(&index) {
            Some(Block::Text(at)) => Some(*at),
            Some(_) => None,
            None => {
                let at = self.open(Opened::Text, out);
                self.blocks.insert(index, Block::Text(at));
                Some(at)
            }
        }
    }

    fn thought(&mut self, index: u64, thought: &Map<String, Value>, out: &mut Vec<Delta>) -> Option<()> {
        let text = |name: &str| thought.get(name).map(|value| value.as_str().map(str::to_owned));
        let (words, sign, hidden) = (text("text"), text("signature"), text("redactedContent"));
        if words.is_none() && sign.is_none() && hidden.is_none() {
            return Some(());
        }
        if !self.blocks.contains_key(&index) {
            let redacted = hidden.is_some();
            let at = self.open(Opened::Reasoning { id: None, summary: false, redacted }, out);
            self.blocks.insert(index, Block::Reasoning { at, signature: String::new(), redacted });
        }
        let Some(Block::Reasoning { at, signature, redacted }) = self.blocks.get_mut(&index) else {
            return None;
        };
        if let Some(words) = words {
            let words = words.filter(|_| !*redacted)?;
            if !words.is_empty() {
                out.push(Delta::Append(*at, words));
            }
        }
        if let Some(sign) = sign {
            signature.push_str(&sign.filter(|_| !*redacted)?);
        }
        if let Some(hidden) = hidden {
            *signature = content::joined(signature, &hidden.filter(|_| *redacted)?);
        }
        Some(())
    }

    fn stop(&mut self, index: u64, out: &mut Vec<Delta>) {
        match self.blocks.remove(&index) {
            Some(Block::Text(at)) => out.push(Delta::Close(at)),
            Some(Block::Reasoning { at, signature, .. }) => {
                if !signature.is_empty() {
                    out.push(Delta::Sign(at, Signature::came_from(OWN, &signature)));
                }
                out.push(Delta::Close(at));
            }
            Some(Block::Call { at, empty }) => {
                if empty {
                    // No arguments are an object without members, as in an answer that is not streamed.
                    out.push(Delta::Append(at, "{}".to_owned()));
                }
                out.push(Delta::Close(at));
            }
            Some(Block::Native { name, mut members, text }) => {
                match name {
                    "toolUse" => {
                        members.insert("input".to_owned(), content::input_of(&text));
                    }
                    "image" => {
                        members.insert("source".to_owned(), json!({"bytes": text}));
                    }
                    _ => {
                        members.entry("content").or_insert_with(|| json!([]));
                    }
                }
                let at = self.open(Opened::Native(OWN, json!({name: members})), out);
                out.push(Delta::Close(at));
            }
            None => {}
        }
    }
}

/// The events of the service's model; others are skipped.
const EVENTS: &[&str] = &[
    "messageStart",
    "contentBlockStart",
    "contentBlockDelta",
    "contentBlockStop",
    "messageStop",
    "metadata",
];

/// An error of the framing's own kind: code and text are headers.
fn error(message: &Message) -> Failure {
    Failure {
        status: 500,
        kind: message.text(":error-code").map(str::to_owned),
        message: message.text(":error-message").unwrap_or_default().to_owned(),
    }
}
