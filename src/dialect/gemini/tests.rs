//! What is claimed of this dialect.

mod answers;
mod properties;
mod replay;
mod translate;

use super::stream::{Reader, Writer};
use crate::{
    dialect::{Order, Reader as _, Show, Writer as _},
    model::answer::{Assembly, Delta},
};
use serde_json::Value;

fn order(kind: &'static str, model: &'static str, output_cap: Option<u64>) -> Order<'static> {
    Order { kind, model, output_cap }
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// All steps of a stream, given in pieces of so many bytes.
fn deltas(bytes: &[u8], size: usize) -> Vec<Delta> {
    let mut reader = Reader::default();
    let mut deltas: Vec<_> = bytes.chunks(size.max(1)).flat_map(|piece| reader.push(piece)).collect();
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

/// What a client is sent.
fn written(deltas: &[Delta], array: bool) -> Vec<u8> {
    let show = Show { id: "req_1".to_owned(), model: "as-asked".to_owned(), array, ..Show::default() };
    let mut writer = Writer::new(show);
    let mut out = Vec::new();
    for delta in deltas {
        writer.push(delta, &mut out);
    }
    out
}

/// A list of pieces as the events they would be.
fn as_events(list: &[u8]) -> Vec<u8> {
    let pieces = json_of(list);
    let pieces = pieces.as_array().unwrap().iter();
    pieces.flat_map(|piece| format!("data: {piece}\r\n\r\n").into_bytes()).collect()
}
