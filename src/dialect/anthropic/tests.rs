//! Recorded exchanges replayed, rules told by example, and properties of made-up traffic.

use super::{failure, request, response, stream};
use crate::{
    dialect::{Order, Reader as _, Show, Writer as _, Written},
    model::{
        answer::{Answer, Assembly, Delta, Failure},
        request::Request,
    },
    stream::sse::Framer,
};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

// Recorded exchanges.

struct Exchange {
    name: String,
    endpoint: String,
    request: Option<Value>,
    status: u16,
    body: Option<Value>,
    /// Two recordings hold several answers one after the other.
    streams: Vec<Vec<u8>>,
}

fn event(value: &Value) -> String {
    format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap())
}

fn load(root: &Path, into: &mut BTreeMap<String, Exchange>) -> usize {
    let Ok(folder) = fs::read_dir(root.join("anthropic")) else { return 0 };
    let mut count = 0;
    for entry in folder {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let file: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let answer = &file["response"];
        let streams = match (answer["body_text"].as_str(), answer["events"].as_array()) {
            (Some(text), _) => vec![text.as_bytes().to_vec()],
            (None, Some(events)) => {
                assert_eq!(answer["framing"], "sse-named-event");
                let mut streams: Vec<Vec<u8>> = vec![];
                for each in events {
                    if each["type"] == "message_start" {
                        streams.push(vec![]);
                    }
                    streams.last_mut().unwrap().extend(event(each).bytes());
                }
                streams
            }
            (None, None) => vec![],
        };
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let some = |value: &Value| Some(value.clone()).filter(|value| !value.is_null());
        let exchange = Exchange {
            name: name.clone(),
            endpoint: file["endpoint"].as_str().unwrap().to_owned(),
            request: some(&file["request"]).and_then(|request| some(&request["body"])),
            status: u16::try_from(answer["status"].as_u64().unwrap()).unwrap(),
            body: some(&answer["body"]),
            streams,
        };
        into.insert(name, exchange);
        count += 1;
    }
    count
}

fn exchanges() -> Vec<Exchange> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = BTreeMap::new();
    let own = load(&root.join("tests/fixtures"), &mut all);
    assert!(own >= 12, "only {own} recordings: they are part of this repository");
    let more = std::env::var_os("EDGEHOLD_FIXTURES_DIR")
        .map_or_else(|| root.join("../shared/fixtures"), PathBuf::from);
    if load(&more, &mut all) == 0 {
        eprintln!("\n!!! SKIPPED: no larger set of recordings; only the {own} committed ones are replayed\n");
    }
    all.into_values().collect()
}

/// Blocks as an array, defaults left out.
fn plain_blocks(content: &Value) -> Value {
    let blocks = match content {
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        Value::Array(blocks) => blocks.clone(),
        _ => vec![],
    };
    Value::Array(
        blocks
            .into_iter()
            .map(|mut block| {
                if block["type"] == "tool_result" {
                    block["content"] = plain_blocks(&block["content"]);
                }
                let members = block.as_object_mut().unwrap();
                members.retain(|name, value| {
                    !(value.is_null()
                        || (name == "is_error" && value == &json!(false))
                        || (name == "caller" && value["type"] == "direct"))
                });
                if let Some(mark) = members.get_mut("cache_control").and_then(Value::as_object_mut)
                    && mark.get("ttl") == Some(&json!("5m"))
                {
                    mark.shift_remove("ttl");
                }
                block
            })
            .collect(),
    )
}

/// A request in the one spelling that means the same: contents as blocks, messages of one speaker joined, defaults left out.
fn plain(request: &Value) -> Value {
    let mut request = request.clone();
    let members = request.as_object_mut().unwrap();
    members.retain(|name, value| !(value.is_null() || (name == "stream" && value == &json!(false))));
    if let Some(system) = members.get_mut("system") {
        *system = plain_blocks(system);
    }
    let mut joined: Vec<Value> = vec![];
    for message in members["messages"].as_array().unwrap() {
        let content = plain_blocks(&message["content"]);
        match joined.last_mut() {
            Some(last) if last["role"] == message["role"] => {
                last["content"].as_array_mut().unwrap().extend(content.as_array().unwrap().clone());
            }
            _ => {
                let mut message = message.clone();
                message["content"] = content;
                joined.push(message);
            }
        }
    }
    members["messages"] = json!(joined);
    request
}

fn order(model: &str) -> Order<'_> {
    Order { kind: "anthropic", model, output_cap: None }
}

fn write(request: &Request) -> (Value, Written) {
    write_for(request, &request.model)
}

fn write_for(request: &Request, model: &str) -> (Value, Written) {
    let written = request::write(request, &order(model));
    (serde_json::from_slice(&written.body).unwrap(), written)
}

fn read(body: &Value) -> Request {
    request::read(body.to_string().as_bytes(), None).unwrap()
}

#[test]
fn recorded_requests_are_written_again_as_they_were() {
    let mut seen = 0;
    for exchange in exchanges() {
        let Some(body) = &exchange.request else { continue };
        seen += 1;
        let name = &exchange.name;
        let read = read(body);
        assert_eq!(request::require_cap(&read).is_ok(), exchange.endpoint == "messages", "{name}");
        let (mut written, told) = write(&read);
        if exchange.endpoint == "count_tokens" {
            written.as_object_mut().unwrap().shift_remove("max_tokens");
        }
        assert_eq!(plain(&written), plain(body), "{name}");
        assert_eq!((told.dropped, told.refused), (vec![], vec![]), "{name}");
        let again = request::read(written.to_string().as_bytes(), None).unwrap();
        assert_eq!(again, read, "{name}");
    }
    assert!(seen >= 8, "{seen}");
}

/// The content of a message as its events tell it, put together without the code under test.
fn told(stream: &[u8]) -> (Vec<Value>, Map<String, Value>, Value) {
    let mut framer = Framer::default();
    let mut events = framer.push(stream);
    events.extend(framer.finish());
    let (mut blocks, mut inputs) = (BTreeMap::<u64, Value>::new(), BTreeMap::<u64, String>::new());
    let (mut usage, mut stop) = (Map::new(), Value::Null);
    for data in events.into_iter().filter_map(|event| event.data) {
        let event: Value = serde_json::from_slice(&data).unwrap();
        let index = event["index"].as_u64();
        match event["type"].as_str().unwrap() {
            "message_start" => usage = event["message"]["usage"].as_object().unwrap().clone(),
            "content_block_start" => {
                blocks.insert(index.unwrap(), event["content_block"].clone());
            }
            "content_block_delta" => {
                let (block, delta) = (blocks.get_mut(&index.unwrap()).unwrap(), &event["delta"]);
                let add = |block: &mut Value, name: &str| {
                    let text =
                        block[name].as_str().unwrap_or_default().to_owned() + delta[name].as_str().unwrap();
                    block[name] = json!(text);
                };
                match delta["type"].as_str().unwrap() {
                    "text_delta" => add(block, "text"),
                    "thinking_delta" => add(block, "thinking"),
                    "signature_delta" => block["signature"] = delta["signature"].clone(),
                    "input_json_delta" => inputs
                        .entry(index.unwrap())
                        .or_default()
                        .push_str(delta["partial_json"].as_str().unwrap()),
                    "citations_delta" => match block["citations"].as_array_mut() {
                        Some(all) => all.push(delta["citation"].clone()),
                        None => block["citations"] = json!([delta["citation"]]),
                    },
                    other => panic!("{other}"),
                }
            }
            "message_delta" => {
                stop = event["delta"]["stop_reason"].clone();
                usage.extend(event["usage"].as_object().unwrap().clone());
            }
            _ => {}
        }
    }
    for (index, input) in inputs.into_iter().filter(|(_, input)| !input.is_empty()) {
        blocks.get_mut(&index).unwrap()["input"] = serde_json::from_str(&input).unwrap();
    }
    (blocks.into_values().collect(), usage, stop)
}

/// All pieces of a stream, its bytes cut as told.
fn deltas(stream: &[u8], cut: usize) -> Vec<Delta> {
    let mut reader = stream::Reader::default();
    let mut deltas: Vec<Delta> = stream.chunks(cut).flat_map(|bytes| reader.push(bytes)).collect();
    deltas.extend(reader.finish());
    deltas
}

fn assemble(deltas: &[Delta]) -> Assembly {
    let mut assembly = Assembly::default();
    deltas.iter().for_each(|delta| assembly.push(delta));
    assembly
}

fn stream_of(deltas: &[Delta]) -> Vec<u8> {
    let mut writer = stream::Writer::new(show());
    let mut out = vec![];
    deltas.iter().for_each(|delta| writer.push(delta, &mut out));
    out
}

fn show() -> Show {
    Show { id: "req1".to_owned(), model: "claude".to_owned(), ..Show::default() }
}

/// Input, cached, written, output, thoughts: as the provider's object says.
fn totals(usage: &Map<String, Value>) -> [u64; 5] {
    let count = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or(0);
    let mut totals = [
        count("input_tokens"),
        count("cache_read_input_tokens"),
        count("cache_creation_input_tokens"),
        count("output_tokens"),
        usage.get("output_tokens_details").and_then(|more| more["thinking_tokens"].as_u64()).unwrap_or(0),
    ];
    for iteration in usage.get("iterations").and_then(Value::as_array).into_iter().flatten() {
        if iteration["type"] == "compaction" {
            totals[0] += iteration["input_tokens"].as_u64().unwrap();
            totals[3] += iteration["output_tokens"].as_u64().unwrap();
        }
    }
    totals
}

fn read_totals(answer: &Answer) -> [u64; 5] {
    let usage = answer.reported.as_ref().unwrap().usage;
    let written = usage.cache_write_5m + usage.cache_write_1h;
    [usage.input, usage.cache_read, written, usage.output_total(), usage.reasoning]
}

#[test]
fn recorded_answers_lose_nothing() {
    let (mut seen, mut errors, mut counts) = (0, 0, 0);
    for exchange in exchanges() {
        let (Some(body), name) = (&exchange.body, &exchange.name) else { continue };
        let bytes = body.to_string().into_bytes();
        if exchange.status != 200 {
            errors += 1;
            let error = &body["error"];
            let expected = Failure {
                status: exchange.status,
                kind: error["type"].as_str().map(str::to_owned),
                message: error["message"].as_str().unwrap().to_owned(),
            };
            assert_eq!(failure::read(exchange.status, &bytes), expected, "{name}");
            assert!(response::read(&bytes).is_err(), "{name}");
            continue;
        }
        if exchange.endpoint == "count_tokens" {
            counts += 1;
            let count = response::read_count(&bytes).unwrap();
            assert_eq!(json!(count), body["input_tokens"], "{name}");
            assert_eq!(response::read_count(&response::write_count(count)), Ok(count));
            continue;
        }
        seen += 1;
        let answer = response::read(&bytes).unwrap();
        assert_eq!(read_totals(&answer), totals(body["usage"].as_object().unwrap()), "{name}");
        assert_eq!(answer.service_tier.as_deref(), body["usage"]["service_tier"].as_str(), "{name}");
        let written = response::write(&answer, &show());
        let shown: Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(plain_blocks(&shown["content"]), plain_blocks(&body["content"]), "{name}");
        for member in ["id", "type", "role", "model", "stop_reason", "stop_sequence"] {
            assert_eq!(shown[member], body[member], "{name}: {member}");
        }
        assert_eq!(response::read(&written).unwrap().choices, answer.choices, "{name}");
    }
    assert!(seen >= 3 && errors >= 1 && counts >= 1, "{seen} {errors} {counts}");
}

#[test]
fn recorded_streams_are_the_answers_they_tell() {
    let mut seen = 0;
    let exchanges = exchanges();
    let streams = exchanges.iter().flat_map(|one| one.streams.iter().map(|bytes| (bytes, &one.name)));
    for (bytes, name) in streams {
        seen += 1;
        let whole = deltas(bytes, bytes.len());
        for cut in [1, 7, 1000] {
            assert_eq!(deltas(bytes, cut), whole, "{name} in pieces of {cut}");
        }
        assert!(!whole.contains(&Delta::Corrupt), "{name}");
        let Assembly { answer, ended, error } = assemble(&whole);
        assert!(ended && error.is_none(), "{name}");
        let (content, usage, stop) = told(bytes);
        let content = plain_blocks(&json!(content));
        let shown: Value = serde_json::from_slice(&response::write(&answer, &show())).unwrap();
        assert_eq!(plain_blocks(&shown["content"]), content, "{name}");
        assert_eq!(shown["stop_reason"], stop, "{name}");
        assert_eq!(read_totals(&answer), totals(&usage), "{name}");
        // The same stream for a client, and that one read again.
        let written = stream_of(&whole);
        let (content_again, usage_again, stop_again) = told(&written);
        assert_eq!(plain_blocks(&json!(content_again)), content, "{name}");
        assert_eq!(stop_again, stop, "{name}");
        assert_eq!(totals(&usage_again), totals(&usage), "{name}");
        let again = assemble(&deltas(&written, 13)).answer;
        assert_eq!((&again.id, &again.choices), (&answer.id, &answer.choices), "{name}");
    }
    assert!(seen >= 3, "{seen}");
}
