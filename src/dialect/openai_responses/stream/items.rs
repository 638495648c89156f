//! What a client has been told: items and their parts.

use crate::model::part::Signature;
use serde_json::{Value, json};

/// An item of the output; its index there is its place in the list.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) kind: Kind,
    /// As it was when it was done.
    pub(super) done: Option<Value>,
    /// A proof that has no place in the item.
    pub(super) proof: Option<Signature>,
}

#[derive(Debug)]
pub(super) enum Kind {
    Message(Vec<Piece>),
    Reasoning { summary: Words, content: Words, encrypted: Option<String> },
    Call { call_id: String, name: String, arguments: String },
    Native(Value),
}

/// A part of a message.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) refusal: bool,
    pub(super) text: String,
    pub(super) annotations: Vec<Value>,
    pub(super) logprobs: Vec<Value>,
    pub(super) done: bool,
}

/// Thoughts in words.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// A part of the canonical answer is here.
    pub(super) used: bool,
    pub(super) text: String,
}

/// The pieces of a reasoning item.
pub(super) const SUMMARY: usize = 0;
pub(super) const CONTENT: usize = 1;

impl Piece {
    pub(super) fn show(&self) -> Value {
        if self.refusal {
            json!({"type": "refusal", "refusal": self.text})
        } else {
            json!({"type": "output_text", "text": self.text, "annotations": self.annotations, "logprobs": self.logprobs})
        }
    }
}

impl Item {
    pub(super) fn show(&self, status: &str) -> Value {
        let id = &self.id;
        match &self.kind {
            Kind::Message(pieces) => {
                let content: Vec<Value> = pieces.iter().map(Piece::show).collect();
                json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content})
            }
            Kind::Reasoning { summary, content, encrypted } => {
                let list = |kind: &str, words: &Words| match words.text.as_str() {
                    "" => json!([]),
                    text => json!([{"type": kind, "text": text}]),
                };
                let mut item =
                    json!({"id": id, "type": "reasoning", "summary": list("summary_text", summary)});
                if let Some(members) = item.as_object_mut() {
                    if !content.text.is_empty() {
                        members.insert("content".to_owned(), list("reasoning_text", content));
                    }
                    if let Some(encrypted) = encrypted {
                        members.insert("encrypted_content".to_owned(), json!(encrypted));
                    }
                }
                item
            }
            Kind::Call { call_id, name, arguments } => {
                json!({"id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name,
                       "arguments": arguments})
            }
            Kind::Native(value) => value.clone(),
        }
    }
}
