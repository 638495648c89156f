//! Steps → a client's stream.

use super::response::{finish, logprobs, object};
use crate::{
    dialect::{self, Show, openai_chat::convert::response::show_usage},
    model::answer::{At, Delta, Failure, Opened, Reported},
    refusal::Refusal,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Writes a client's stream.
#[derive(Debug)]
pub struct Writer {
    show: Show,
    id: Option<String>,
    model: Option<String>,
    usage: Option<Reported>,
    /// The parts that are text.
    said: BTreeSet<At>,
    /// Of each choice, the characters whose log probabilities were told.
    offsets: BTreeMap<u32, usize>,
}

impl Writer {
    /// For one client.
    #[must_use]
    pub const fn new(show: Show) -> Self {
        Self { show, id: None, model: None, usage: None, said: BTreeSet::new(), offsets: BTreeMap::new() }
    }

    fn chunk(&self, choices: Value, usage: Option<Value>, out: &mut Vec<u8>) {
        let mut chunk = object(self.id.as_deref(), self.model.as_deref(), &self.show, choices);
        if let Some(usage) = usage {
            chunk.insert("usage".to_owned(), usage);
        }
        data(&Value::Object(chunk).to_string(), out);
    }

    fn piece(&self, choice: u32, text: &str, logprobs: Value, finish: Value, out: &mut Vec<u8>) {
        let piece = json!({"text": text, "index": choice, "logprobs": logprobs, "finish_reason": finish});
        self.chunk(json!([piece]), None, out);
    }
}

impl dialect::Writer for Writer {
    fn push(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        match delta {
            Delta::Begin { id, model } => {
                self.id.clone_from(id);
                self.model.clone_from(model);
            }
            Delta::Open(at, Opened::Text | Opened::Refusal) => {
                self.said.insert(*at);
            }
            Delta::Append(at, text) if self.said.contains(at) => {
                self.piece(at.choice, text, Value::Null, Value::Null, out);
            }
            Delta::Logprobs(choice, all) => {
                let told = logprobs(all, self.offsets.entry(*choice).or_default());
                self.piece(*choice, "", told, Value::Null, out);
            }
            Delta::Finish(choice, reason) => {
                self.piece(*choice, "", Value::Null, json!(finish(reason)), out);
            }
            Delta::Usage(reported) => self.usage = Some(reported.clone()),
            Delta::End => {
                if let Some(reported) = self.usage.take().filter(|_| self.show.usage) {
                    self.chunk(json!([]), Some(json!(show_usage(&reported.usage))), out);
                }
                data("[DONE]", out);
            }
            Delta::Error(failure) => {
                let refusal = refusal_of(failure);
                self.fail(&refusal, out);
            }
            Delta::Ping => out.extend_from_slice(b": ping\n\n"),
            _ => {}
        }
    }

    fn fail(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        data(&refusal.to_openai_json(), out);
    }
}

fn refusal_of(failure: &Failure) -> Refusal {
    Refusal::new(failure.status, "upstream_error", "upstream_error", failure.message.clone())
}

fn data(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\n\n");
}
