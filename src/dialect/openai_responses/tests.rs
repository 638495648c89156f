//! Recorded exchanges replayed, what the SDKs send, and properties.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod answers;
mod made;
mod recorded;
mod requests;

use super::*;
use crate::{
    dialect::{Order, Reader as _, Show, Writer as _},
    model::{
        answer::{Answer, Assembly, Delta},
        request::{Request, Turn},
    },
};
use serde_json::{Value, json};

fn show() -> Show {
    Show { id: "req_1".to_owned(), model: "asked".to_owned(), created: 1_700_000_000, ..Show::default() }
}

fn order(model: &str) -> Order<'_> {
    Order { kind: "openai", model, output_cap: None }
}

fn request(body: &Value) -> Request {
    request::read(body.to_string().as_bytes(), None).unwrap()
}

/// What is written for a provider, and what of the caller's is not in it.
fn written(request: &Request) -> (Value, Vec<String>, Vec<String>) {
    let written = request::write(request, &order(&request.model));
    (serde_json::from_slice(&written.body).unwrap(), written.dropped, written.refused)
}

fn deltas(bytes: &[u8]) -> Vec<Delta> {
    let mut reader = stream::Reader::default();
    let mut deltas = reader.push(bytes);
    deltas.extend(reader.finish());
    deltas
}

fn assembled(deltas: &[Delta]) -> Assembly {
    let mut assembly = Assembly::default();
    for delta in deltas {
        assembly.push(delta);
    }
    assembly
}

/// A client's stream of these steps.
fn told(deltas: &[Delta]) -> Vec<u8> {
    let mut writer = stream::Writer::new(show());
    let mut out = Vec::new();
    for delta in deltas {
        writer.push(delta, &mut out);
    }
    out
}

/// The events of a stream, after a check of what holds for all: names equal types, numbers ascend.
fn events(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    let mut events = Vec::new();
    for block in text.split("\n\n").filter(|block| !block.is_empty() && !block.starts_with(':')) {
        let (name, data) = block.split_once('\n').unwrap();
        let value: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: "), value["type"].as_str());
        assert_eq!(value["sequence_number"], json!(events.len()));
        events.push(value);
    }
    events
}

/// Without what a client cannot see: the provider's own usage object.
fn shown(mut answer: Answer) -> Answer {
    if let Some(reported) = &mut answer.reported {
        reported.json.clear();
    }
    answer
}

/// A request of another dialect.
fn foreign(dialect: Dialect, turns: Vec<Turn>) -> Request {
    let mut request = Request::new(dialect, "m".to_owned());
    request.turns = turns;
    request
}
