//! The recordings of Cohere's chat through the dialect, and its properties.

use super::{failure, request, response, stream};
use crate::{
    dialect::{Dialect, Order, Reader as _, Show, Writer as _, Written},
    model::{
        answer::{Answer, Assembly, At, Choice, Delta, Failure, Finish, Opened, Reported},
        part::{
            Body, Citation, Media, MediaKind, Part, Reasoning, Signature, Source, Text, ToolCall, ToolResult,
        },
        request::{Format, Function, Request, Role, Thinking, Tool, ToolChoice, Turn},
        usage::Usage,
    },
    refusal::Refusal,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path};

/// A recorded exchange.
pub(in crate::dialect) struct Exchange {
    pub(in crate::dialect) name: String,
    pub(in crate::dialect) request: Option<Value>,
    pub(in crate::dialect) status: u16,
    pub(in crate::dialect) body: Option<Value>,
    pub(in crate::dialect) events: Option<Vec<Value>>,
}

/// The committed recordings of a folder, and those of a provider in the larger set if it is there.
pub(in crate::dialect) fn exchanges(folder: &str, provider: &str, endpoints: &[&str]) -> Vec<Exchange> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let more = std::env::var_os("EDGEHOLD_FIXTURES_DIR")
        .map_or_else(|| root.join("../shared/fixtures"), std::path::PathBuf::from);
    let mut all = BTreeMap::new();
    let mut counts = Vec::new();
    for place in [root.join("tests/fixtures").join(folder), more.join(provider)] {
        let mut count = 0;
        for entry in fs::read_dir(&place).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let file: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let endpoint = file["endpoint"].as_str().unwrap().to_owned();
            if !endpoints.contains(&endpoint.as_str()) {
                continue;
            }
            count += 1;
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let present = |value: &Value| (!value.is_null()).then(|| value.clone());
            let exchange = Exchange {
                name: name.clone(),
                request: present(&file["request"]["body"]),
                status: u16::try_from(file["response"]["status"].as_u64().unwrap()).unwrap(),
                body: present(&file["response"]["body"]),
                events: file["response"]["events"].as_array().cloned(),
            };
            all.insert(name, exchange);
        }
        counts.push(count);
    }
    assert!(counts[0] > 0, "no recordings in tests/fixtures/{folder}: they are part of this repository");
    if counts[1] == 0 {
        eprintln!(
            "\n!!! SKIPPED: no larger set of recordings (EDGEHOLD_FIXTURES_DIR); only the committed ones are replayed\n"
        );
    }
    all.into_values().collect()
}

fn chats() -> Vec<Exchange> {
    exchanges("cohere", "cohere", &["chat_v2"])
}

fn order(model: &str) -> Order<'_> {
    Order { kind: "cohere", model, output_cap: None }
}

fn read(value: &Value) -> Request {
    request::read(value.to_string().as_bytes(), None).unwrap()
}

fn refused(value: &Value) -> Refusal {
    request::read(value.to_string().as_bytes(), None).unwrap_err()
}

fn body(written: &Written) -> Value {
    serde_json::from_slice(&written.body).unwrap()
}

/// What means the same to Cohere is the same here: `null` and nothing, a text and a list of one text block, `stream: false`
/// and nothing.
fn normal(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members
                .iter()
                .filter(|(name, value)| !value.is_null() && (*name != "stream" || **value != json!(false)));
            kept.map(|(name, value)| {
                let lone = value.as_array().filter(|list| name == "content" && list.len() == 1);
                let text =
                    lone.and_then(|list| list[0]["text"].as_str().filter(|_| list[0]["type"] == "text"));
                (name.clone(), text.map_or_else(|| normal(value), |text| json!(text)))
            })
            .collect()
        }
        Value::Array(list) => list.iter().map(normal).collect(),
        other => other.clone(),
    }
}

fn sse(events: &[Value]) -> Vec<u8> {
    let event = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    events.iter().map(event).collect::<String>().into_bytes()
}

fn deltas(bytes: &[u8]) -> Vec<Delta> {
    let mut reader = stream::Reader::default();
    let mut deltas = reader.push(bytes);
    deltas.extend(reader.finish());
    deltas
}

fn assembled(deltas: &[Delta]) -> Assembly {
    let mut assembly = Assembly::default();
    deltas.iter().for_each(|delta| assembly.push(delta));
    assembly
}

fn texts(answer: &Answer) -> String {
    let texts = answer.choices[0].parts.iter().filter_map(|part| match &part.body {
        Body::Text(text) => Some(text.text.as_str()),
        _ => None,
    });
    texts.collect()
}

fn thoughts(answer: &Answer) -> String {
    let texts = answer.choices[0].parts.iter().filter_map(|part| match &part.body {
        Body::Reasoning(thoughts) => Some(thoughts.text.as_str()),
        _ => None,
    });
    texts.collect()
}

fn calls(answer: &Answer) -> Vec<(String, String, Value)> {
    let calls = answer.choices[0].parts.iter().filter_map(|part| match &part.body {
        Body::ToolCall(call) => {
            Some((call.id.clone(), call.name.clone(), serde_json::from_str(&call.arguments).unwrap()))
        }
        _ => None,
    });
    calls.collect()
}

#[test]
fn every_recorded_request_means_the_same_when_written_again() {
    let mut seen = 0;
    for exchange in chats() {
        let Some(recorded) = &exchange.request else { continue };
        seen += 1;
        let request = read(recorded);
        let written = request::write(&request, &order(recorded["model"].as_str().unwrap()));
        assert_eq!(normal(&body(&written)), normal(recorded), "{}", exchange.name);
        assert!(written.dropped.is_empty() && written.refused.is_empty(), "{}", exchange.name);
        assert_eq!(read(&body(&written)), request, "{}", exchange.name);
    }
    assert!(seen >= 10, "{seen}");
}

#[test]
fn a_member_that_is_lost_is_seen_by_the_comparison() {
    let recorded = json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "priority": 3});
    let mut request = read(&recorded);
    request.extras.clear();
    let written = request::write(&request, &order("m"));
    assert_ne!(normal(&body(&written)), normal(&recorded));
}

#[test]
fn every_recorded_answer_says_what_its_json_says() {
    let mut seen = 0;
    for exchange in chats() {
        let Some(recorded) = exchange.body.as_ref().filter(|_| exchange.status == 200) else { continue };
        seen += 1;
        let name = &exchange.name;
        let answer = response::read(recorded.to_string().as_bytes()).unwrap();
        let message = &recorded["message"];
        let blocks = message["content"].as_array().cloned().unwrap_or_default();
        let of =
            |kind: &str| blocks.iter().filter_map(|block| block[kind].as_str()).collect::<Vec<_>>().concat();
        let plan = message["tool_plan"].as_str().unwrap_or_default();
        assert_eq!(texts(&answer), of("text") + plan, "{name}");
        assert_eq!(thoughts(&answer), of("thinking"), "{name}");
        let expected = message["tool_calls"].as_array().into_iter().flatten().map(|call| {
            let arguments: Value =
                serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
            let arguments = if arguments.is_null() { json!({}) } else { arguments };
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&call["id"]), text(&call["function"]["name"]), arguments)
        });
        assert_eq!(calls(&answer), expected.collect::<Vec<_>>(), "{name}");
        let finish = match recorded["finish_reason"].as_str().unwrap() {
            "COMPLETE" => Finish::Stop,
            "TOOL_CALL" => Finish::ToolCalls,
            "MAX_TOKENS" => Finish::Length,
            "STOP_SEQUENCE" => Finish::StopSequence(None),
            other => panic!("{name}: {other}"),
        };
        assert_eq!(answer.choices[0].finish, Some(finish), "{name}");
        let reported = answer.reported.as_ref().unwrap();
        let billed = &recorded["usage"]["billed_units"];
        assert_eq!(json!(reported.usage.input_total()), billed["input_tokens"], "{name}");
        assert_eq!(json!(reported.usage.output_total()), billed["output_tokens"], "{name}");
        assert_eq!(reported.json, recorded["usage"].to_string(), "{name}");
        let cited: Vec<&Citation> = answer.choices[0]
            .parts
            .iter()
            .filter_map(|part| match &part.body {
                Body::Text(text) => Some(&text.citations),
                _ => None,
            })
            .flatten()
            .collect();
        let expected = message["citations"].as_array().cloned().unwrap_or_default();
        let natives: Vec<Value> = cited.iter().map(|citation| citation.native.clone().unwrap().1).collect();
        assert_eq!(natives, expected, "{name}");
        for citation in cited {
            let passage: String = texts(&answer)
                .chars()
                .skip(citation.start.unwrap() as usize)
                .take((citation.end.unwrap() - citation.start.unwrap()) as usize)
                .collect();
            assert_eq!(json!(passage), citation.native.as_ref().unwrap().1["text"], "{name}");
        }
        // And back to a client of the same dialect.
        let mut shown: Value = serde_json::from_slice(&response::write(&answer, &Show::default())).unwrap();
        if name.contains("null-args") {
            assert_eq!(shown["message"]["tool_calls"][0]["function"]["arguments"], "{}");
            shown["message"]["tool_calls"][0]["function"]["arguments"] = json!("null");
        }
        assert_eq!(shown, *recorded, "{name}");
    }
    assert!(seen >= 13, "{seen}");
}

#[test]
fn the_recorded_streams_assemble_to_what_their_events_say() {
    let mut seen = 0;
    for exchange in chats() {
        let Some(events) = &exchange.events else { continue };
        seen += 1;
        let bytes = sse(events);
        let whole = deltas(&bytes);
        assert!(!whole.contains(&Delta::Corrupt), "{}", exchange.name);
        let assembly = assembled(&whole);
        let said = |name: &str| {
            let texts = events.iter().filter_map(|event| event["delta"]["message"]["content"][name].as_str());
            texts.collect::<String>()
        };
        assert_eq!(texts(&assembly.answer), said("text"), "{}", exchange.name);
        assert_eq!(thoughts(&assembly.answer), said("thinking"), "{}", exchange.name);
        let end = &events.last().unwrap()["delta"];
        assert_eq!(assembly.answer.id.as_deref(), events[0]["id"].as_str(), "{}", exchange.name);
        assert_eq!(assembly.answer.choices[0].finish, Some(Finish::Stop), "{}", exchange.name);
        let usage = assembly.answer.reported.as_ref().unwrap().usage;
        assert_eq!(json!(usage.input_total()), end["usage"]["billed_units"]["input_tokens"]);
        assert_eq!(json!(usage.output_total()), end["usage"]["billed_units"]["output_tokens"]);
        assert!(assembly.ended && assembly.error.is_none());
        // The same answer, not streamed.
        let answer = json!({"id": events[0]["id"], "finish_reason": end["finish_reason"], "usage": end["usage"],
            "message": {"role": "assistant", "content": [{"type": "thinking", "thinking": said("thinking")},
                                                        {"type": "text", "text": said("text")}]}});
        assert_eq!(assembly.answer, response::read(answer.to_string().as_bytes()).unwrap());
        // Byte by byte, and cut anywhere.
        let mut reader = stream::Reader::default();
        let mut slow: Vec<Delta> = bytes.chunks(1).flat_map(|byte| reader.push(byte)).collect();
        slow.extend(reader.finish());
        assert_eq!(slow, whole);
        let cut = deltas(&bytes[..bytes.len() - 40]);
        assert!(!cut.contains(&Delta::End), "the end of the bytes is not the end of the answer");
    }
    assert!(seen >= 1, "{seen}");
}

#[test]
fn recorded_errors_are_read() {
    let mut seen = 0;
    for exchange in exchanges("cohere", "cohere", &["chat_v2", "embeddings"]) {
        let Some(recorded) = exchange.body.as_ref().filter(|_| exchange.status != 200) else { continue };
        seen += 1;
        let failure = failure::read(exchange.status, recorded.to_string().as_bytes());
        assert_eq!(failure.status, exchange.status);
        assert_eq!(json!(failure.message), recorded["message"], "{}", exchange.name);
    }
    assert_eq!(seen, 2);
    assert_eq!(failure::read(503, b"<html>").message, "<html>");
}

mod requests;
mod streams;
