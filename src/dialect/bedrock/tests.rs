//! Recorded exchanges, replayed; and what must hold of any.

use super::{failure, request, response, stream};
use crate::{
    dialect::{Dialect, Order, Reader as _, Show, Writer as _, Written},
    model::{
        answer::{Answer, Assembly, At, Choice, Delta, Failure, Finish, Opened, Reported},
        part::{
            Body, CacheMark, Citation, Media, MediaKind, Part, Reasoning, Signature, Source, Text, ToolCall,
            ToolResult,
        },
        request::{Format, Function, Request, Role, Sampling, Thinking, Tool, ToolChoice, Turn},
        usage::Usage,
    },
    refusal::Refusal,
    stream::aws_eventstream::Message,
};
use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fs, path::Path};

/// Exchanges with InvokeModel, which carries each maker's own format: another API.
const OTHER_API: &[&str] = &[
    "invoke__TestBedrock.test_cohere_v3_minimal__0.json",
    "invoke__TestBedrock.test_cohere_v4_with_dimensions__0.json",
    "invoke__TestBedrock.test_instrumentation__0.json",
    "invoke__TestBedrock.test_nova_with_dimensions__0.json",
    "invoke__test_anthropic_cache_bedrock_real_api__1.json",
    "invoke__test_mid_conversation_system_prompt_on_bedrock__0.json",
];

/// Exchanges whose answer is an error: there is nothing to assemble.
const ERRORS: &[(&str, u16)] = &[
    ("converse-stream__test_bedrock_streaming_error__0.json", 400),
    ("converse__test_model_name_suggestion_bedrock___0.json", 400),
    ("converse__test_multimodal_tool_return_matrix_direct-uploaded_file-document-bedrock_nova___1.json", 400),
    ("converse__test_multimodal_tool_return_matrix_direct-uploaded_file-image-bedrock_claude___1.json", 400),
    (
        "converse__test_multimodal_tool_return_matrix_tool_return_content-uploaded_file-image-bedrock_claude___1.json",
        400,
    ),
];

/// By name: the committed set, and the larger one if it is there.
fn exchanges() -> BTreeMap<String, Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    let mut read_all = |folder: &Path| {
        let before = all.len();
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                all.insert(name, serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap());
            }
        }
        all.len() - before
    };
    let own = read_all(&root.join("tests/fixtures/bedrock"));
    assert!(own >= 14, "only {own} recordings: they are part of this repository");
    let more = std::env::var_os("EDGEHOLD_FIXTURES_DIR")
        .map_or_else(|| root.join("../shared/fixtures"), std::path::PathBuf::from);
    if read_all(&more.join("bedrock")) == 0 {
        eprintln!(
            "\n!!! SKIPPED: no larger set of recordings (EDGEHOLD_FIXTURES_DIR); only the {own} committed ones are replayed\n"
        );
    }
    all.retain(|name, _| !OTHER_API.contains(&name.as_str()));
    assert!(all.values().all(|exchange| exchange["endpoint"] != "invoke"), "name them in OTHER_API");
    all
}

/// The model and whether a stream was asked for, from the URL; unescaped here by other means than the path is made.
fn of_url(url: &str) -> (String, bool, String) {
    let path = &url[url.find("/model/").unwrap()..];
    let (model, verb) = path.strip_prefix("/model/").unwrap().split_once('/').unwrap();
    let mut unescaped = Vec::new();
    let mut pieces = model.split('%');
    unescaped.extend(pieces.next().unwrap().bytes());
    for piece in pieces {
        unescaped.push(u8::from_str_radix(&piece[..2], 16).unwrap());
        unescaped.extend(piece[2..].bytes());
    }
    (String::from_utf8(unescaped).unwrap(), verb == "converse-stream", path.to_owned())
}

fn write_again(request: &Request) -> Written {
    let order = Order { kind: "bedrock", model: &request.model, output_cap: request.output_cap };
    request::write(request, &order)
}

/// What means the same is made the same: members that say what goes without saying are taken out, and JSON within a string
/// is read.
fn normal(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut normal_members = Map::new();
            for (name, inner) in members {
                let said = match (name.as_str(), inner) {
                    ("system", Value::Array(blocks)) => !blocks.is_empty(),
                    ("inferenceConfig", Value::Object(config)) => !config.is_empty(),
                    ("status", inner) => inner != "success",
                    ("ttl", inner) => inner != "5m",
                    _ => true,
                };
                if said {
                    let inner = match (name.as_str(), inner) {
                        ("schema", Value::String(text)) => serde_json::from_str(text).unwrap(),
                        _ => normal(inner),
                    };
                    normal_members.insert(name.clone(), inner);
                }
            }
            Value::Object(normal_members)
        }
        Value::Array(items) => items.iter().map(normal).collect(),
        other => other.clone(),
    }
}

#[test]
fn every_recorded_request_means_the_same_when_it_is_written_again() {
    let mut seen = 0;
    for (name, exchange) in exchanges() {
        let Some(body) = exchange["request"].get("body").filter(|body| body.is_object()) else { continue };
        let (model, streamed, url_path) = of_url(exchange["request"]["url"].as_str().unwrap());
        let endpoint = &crate::provider::by_name("bedrock").unwrap().endpoints[0];
        assert_eq!(endpoint.path_of(&model, streamed, &BTreeMap::new()), url_path, "{name}");
        let read = request::read(body.to_string().as_bytes(), Some((&model, streamed)))
            .unwrap_or_else(|refusal| panic!("{name}: {refusal:?}"));
        assert_eq!((read.model.as_str(), read.stream), (model.as_str(), streamed), "{name}");
        let written = write_again(&read);
        assert_eq!((&written.dropped, &written.refused), (&vec![], &vec![]), "{name}");
        let body_written: Value = serde_json::from_slice(&written.body).unwrap();
        assert_eq!(normal(&body_written), normal(body), "{name}");
        let again = request::read(&written.body, Some((&model, streamed))).unwrap();
        assert_eq!(again, read, "{name}");
        seen += 1;
    }
    assert!(seen >= 11, "only {seen} requests");
}

/// Types and payloads.
type Events = Vec<(String, Value)>;

/// Events of a stream and its bytes.
fn events(exchange: &Value) -> Option<(Events, Vec<u8>)> {
    let response = &exchange["response"];
    if let Some(text) = response.get("body_base64").and_then(Value::as_str) {
        let bytes = BASE64.decode(text).unwrap();
        let mut events = Vec::new();
        let mut rest = &bytes[..];
        // By hand: the framer is what is tested.
        while !rest.is_empty() {
            let length = |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().unwrap()) as usize;
            let (total, headers) = (length(0), length(4));
            let headers_text = &rest[12..12 + headers];
            let at = headers_text.windows(11).position(|window| window == b":event-type").unwrap() + 12;
            let size = u16::from_be_bytes(headers_text[at..at + 2].try_into().unwrap()) as usize;
            let kind = String::from_utf8(headers_text[at + 2..at + 2 + size].to_vec()).unwrap();
            events.push((kind, serde_json::from_slice(&rest[12 + headers..total - 4]).unwrap()));
            rest = &rest[total..];
        }
        return Some((events, bytes));
    }
    let listed = response.get("events")?.as_array()?;
    assert_eq!(response["framing"], "aws-eventstream-json");
    let mut events = Vec::new();
    let mut bytes = Vec::new();
    for event in listed {
        let (kind, payload) = event.as_object().unwrap().iter().next().unwrap();
        frame(kind, payload, &mut bytes);
        events.push((kind.clone(), payload.clone()));
    }
    Some((events, bytes))
}

fn frame(kind: &str, payload: &Value, out: &mut Vec<u8>) {
    let headers = [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")];
    assert!(Message::of_texts(&headers, payload.to_string().as_bytes()).encode(out));
}

/// The answer that a stream's events amount to, as an answer that is not streamed.
fn answer_of(events: &[(String, Value)]) -> Value {
    let mut blocks: BTreeMap<u64, Value> = BTreeMap::new();
    let mut answer = json!({});
    let append = |place: &mut Value, more: &Value| {
        *place = json!(format!("{}{}", place.as_str().unwrap_or_default(), more.as_str().unwrap()));
    };
    for (kind, event) in events {
        let index = event["contentBlockIndex"].as_u64().unwrap_or_default();
        match kind.as_str() {
            "contentBlockStart" => {
                blocks.insert(index, event["start"].clone());
            }
            "contentBlockDelta" => {
                let block = blocks.entry(index).or_insert_with(|| json!({}));
                let (name, delta) = event["delta"].as_object().unwrap().iter().next().unwrap();
                match (name.as_str(), delta) {
                    ("text", text) => append(&mut block["text"], text),
                    ("toolUse", delta) => append(&mut block["toolUse"]["input"], &delta["input"]),
                    ("toolResult", results) => block["toolResult"]["content"] = results.clone(),
                    ("reasoningContent", delta) => {
                        let thought = &mut block["reasoningContent"];
                        for (name, more) in delta.as_object().unwrap() {
                            match name.as_str() {
                                "redactedContent" => append(&mut thought["redactedContent"], more),
                                name => append(&mut thought["reasoningText"][name], more),
                            }
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
            "messageStop" => answer["stopReason"] = event["stopReason"].clone(),
            "metadata" => answer["usage"] = event["usage"].clone(),
            "messageStart" | "contentBlockStop" => {}
            other => panic!("{other}"),
        }
    }
    for block in blocks.values_mut() {
        if let Some(input) = block.get_mut("toolUse").and_then(|call| call.get_mut("input")) {
            *input = serde_json::from_str(input.as_str().unwrap()).unwrap();
        }
    }
    answer["output"] =
        json!({"message": {"role": "assistant", "content": blocks.values().collect::<Vec<_>>()}});
    answer
}

/// Texts, thoughts, calls, reason and counts of an answer are those of the provider's own JSON.
fn check_answer(name: &str, answer: &Answer, raw: &Value) {
    let blocks = raw["output"]["message"]["content"].as_array().unwrap();
    let strings = |pointer: &str| -> Vec<String> {
        let texts = blocks.iter().filter_map(|block| block.pointer(pointer)?.as_str());
        texts.filter(|text| !text.is_empty()).map(str::to_owned).collect()
    };
    let choice = &answer.choices[0];
    let said: Vec<String> = choice
        .parts
        .iter()
        .filter_map(|part| match &part.body {
            Body::Text(text) => Some(text.text.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(said, strings("/text"), "{name}");
    let thought: Vec<String> = choice
        .parts
        .iter()
        .filter_map(|part| match &part.body {
            Body::Reasoning(reasoning) if !reasoning.redacted => Some(reasoning.text.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(thought, strings("/reasoningContent/reasoningText/text"), "{name}");
    let signed: Vec<String> = choice
        .parts
        .iter()
        .filter_map(|part| part.signature.as_ref())
        .map(|signature| signature.for_maker(Dialect::Bedrock).unwrap().to_owned())
        .collect();
    let mut expected = strings("/reasoningContent/reasoningText/signature");
    expected.extend(strings("/reasoningContent/redactedContent"));
    assert_eq!(signed, expected, "{name}");
    let called: Vec<(String, String, Value)> = choice
        .parts
        .iter()
        .filter_map(|part| match &part.body {
            Body::ToolCall(call) => {
                Some((call.id.clone(), call.name.clone(), serde_json::from_str(&call.arguments).unwrap()))
            }
            _ => None,
        })
        .collect();
    let mut own = Vec::new();
    let mut expected = Vec::new();
    for block in blocks {
        let Some(call) = block.get("toolUse") else {
            own.extend(block.get("toolResult").map(|_| block.clone()));
            continue;
        };
        if call["type"] == "server_tool_use" {
            own.push(block.clone());
        } else {
            let text = |name: &str| call[name].as_str().unwrap().to_owned();
            expected.push((text("toolUseId"), text("name"), call["input"].clone()));
        }
    }
    assert_eq!(called, expected, "{name}");
    let native: Vec<Value> = choice
        .parts
        .iter()
        .filter_map(|part| match &part.body {
            Body::Native(Dialect::Bedrock, value) => Some(value.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(native, own, "{name}");
    let finish = match raw["stopReason"].as_str().unwrap() {
        "end_turn" => Finish::Stop,
        "tool_use" => Finish::ToolCalls,
        "max_tokens" => Finish::Length,
        other => panic!("{name}: {other}"),
    };
    assert_eq!(choice.finish, Some(finish), "{name}");
    let count = |member: &str| raw["usage"][member].as_u64();
    match &answer.reported {
        Some(Reported { usage, json, .. }) => {
            assert_eq!(Some(usage.total()), count("totalTokens"), "{name}");
            assert_eq!(Some(usage.output_total()), count("outputTokens"), "{name}");
            assert_eq!(Some(usage.input), count("inputTokens"), "{name}");
            assert_eq!(usage.cache_read, count("cacheReadInputTokens").unwrap_or(0), "{name}");
            let written = usage.cache_write_5m + usage.cache_write_1h;
            assert_eq!(written, count("cacheWriteInputTokens").unwrap_or(0), "{name}");
            assert_eq!(serde_json::from_str::<Value>(json).unwrap(), raw["usage"], "{name}");
        }
        None => assert!(raw.get("usage").is_none(), "{name}"),
    }
}

/// What an answer is in which the usage is not the provider's object any more.
fn without_json(mut answer: Answer) -> Answer {
    if let Some(reported) = &mut answer.reported {
        reported.json = String::new();
    }
    answer
}

#[test]
fn every_recorded_answer_is_read_and_written_again() {
    let mut seen = 0;
    for (name, exchange) in exchanges() {
        let Some(body) = exchange["response"].get("body").filter(|body| body.is_object()) else { continue };
        let status = u16::try_from(exchange["response"]["status"].as_u64().unwrap()).unwrap();
        if let Some((_, expected)) = ERRORS.iter().find(|(known, _)| *known == name) {
            let failure = failure::read(status, body.to_string().as_bytes());
            let message = body["message"].as_str().unwrap().to_owned();
            assert_eq!(failure, Failure { status: *expected, kind: None, message }, "{name}");
            assert!(response::read(body.to_string().as_bytes()).is_err(), "{name}");
            continue;
        }
        assert_eq!(status, 200, "{name}");
        let answer =
            response::read(body.to_string().as_bytes()).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        check_answer(&name, &answer, body);
        assert_eq!(answer.service_tier.as_deref(), body["serviceTier"]["type"].as_str(), "{name}");
        let written = response::write(&answer, &Show::default());
        assert_eq!(without_json(response::read(&written).unwrap()), without_json(answer), "{name}");
        seen += 1;
    }
    assert!(seen >= 8, "only {seen} answers");
}

fn deltas(pieces: &[&[u8]]) -> Vec<Delta> {
    let mut reader = stream::Reader::default();
    let mut deltas: Vec<Delta> = pieces.iter().flat_map(|piece| reader.push(piece)).collect();
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

/// A stream as a client gets it.
fn written(deltas: &[Delta]) -> Vec<u8> {
    let mut writer = stream::Writer::new(Show::default());
    let mut out = Vec::new();
    for delta in deltas {
        writer.push(delta, &mut out);
    }
    out
}

#[test]
fn every_recorded_stream_is_the_answer_it_amounts_to() {
    let mut seen = 0;
    for (name, exchange) in exchanges() {
        let Some((events, bytes)) = events(&exchange) else { continue };
        let found = deltas(&[&bytes]);
        assert!(!found.contains(&Delta::Corrupt), "{name}");
        assert_eq!(found.last(), Some(&Delta::End), "{name}");
        assert_eq!(found.first(), Some(&Delta::Begin { id: None, model: None }), "{name}");
        let assembly = assembled(&found);
        assert!(assembly.ended && assembly.error.is_none(), "{name}");
        let whole = answer_of(&events);
        check_answer(&name, &assembly.answer, &whole);
        assert_eq!(assembly.answer, response::read(whole.to_string().as_bytes()).unwrap(), "{name}");
        for size in [1, 7, 64, 1_000] {
            assert_eq!(deltas(&bytes.chunks(size).collect::<Vec<_>>()), found, "{name} in pieces of {size}");
        }
        let again = assembled(&deltas(&[&written(&found)]));
        assert!(again.ended, "{name}");
        assert_eq!(without_json(again.answer), without_json(assembly.answer), "{name}");
        // Cut short, it has not ended.
        let cut = &bytes[..bytes.len() / 2];
        assert!(!assembled(&deltas(&[cut])).ended, "{name}");
        seen += 1;
    }
    assert!(seen >= 5, "only {seen} streams");
}

const SONNET_4: &str = "us.anthropic.claude-sonnet-4-20250514-v1:0";
const SONNET_45: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const OPUS_46: &str = "us.anthropic.claude-opus-4-6-v1";
const OPUS_47: &str = "anthropic.claude-opus-4-7";
const NOVA: &str = "us.amazon.nova-lite-v1:0";
const NOVA_2: &str = "us.amazon.nova-2-lite-v1:0";

/// A chat client's request, written for a model of Bedrock.
fn for_model(request: &Request, model: &str, cap: Option<u64>) -> (Value, Written) {
    let written = request::write(request, &Order { kind: "bedrock", model, output_cap: cap });
    (serde_json::from_slice(&written.body).unwrap(), written)
}

fn chat(turns: Vec<Turn>) -> Request {
    let mut request = Request::new(Dialect::OpenAiChat, "gpt".to_owned());
    request.turns = turns;
    request
}

fn user(text: &str) -> Turn {
    Turn::new(Role::User, vec![Part::text(text)])
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    Body::ToolCall(ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() }).into()
}

fn result(id: &str, name: Option<&str>, parts: Vec<Part>) -> Turn {
    let result = ToolResult { id: id.into(), name: name.map(str::to_owned), parts, is_error: false };
    Turn::new(Role::Tool, vec![Body::ToolResult(result).into()])
}

fn tool(name: &str) -> Tool {
    Tool::Function(Function {
        name: name.into(),
        parameters: Some(json!({"type": "object", "properties": {}})),
        ..Function::default()
    })
}

#[test]
fn results_come_first_in_the_message_behind_their_calls() {
    let request = chat(vec![
        Turn::new(Role::System, vec![Part::text("Be brief.")]),
        user("weather?"),
        Turn::new(
            Role::Assistant,
            vec![Part::text(" "), call("call_1", "a", r#"{"x":1}"#), call("call 2", "b", "")],
        ),
        user("and now?"),
        result("call_1", None, vec![Part::text("warm")]),
        result("call 2", None, vec![Body::Native(Dialect::Gemini, json!({"t": 3})).into()]),
        Turn::new(Role::Developer, vec![Part::text("In French.")]),
    ]);
    let (body, written) = for_model(&request, NOVA, Some(100));
    assert_eq!((written.dropped, written.refused), (vec![], vec![]));
    assert_eq!(body["system"], json!([{"text": "Be brief."}, {"text": "In French."}]));
    let second = body["messages"][1]["content"][1]["toolUse"]["toolUseId"].as_str().unwrap().to_owned();
    assert!(second.starts_with("call_2_") && second.len() < 64, "{second}");
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [{"text": "weather?"}]},
            {"role": "assistant", "content": [
                {"toolUse": {"toolUseId": "call_1", "name": "a", "input": {"x": 1}}},
                {"toolUse": {"toolUseId": second, "name": "b", "input": {}}},
            ]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "call_1", "content": [{"text": "warm"}]}},
                {"toolResult": {"toolUseId": second, "content": [{"json": {"t": 3}}]}},
                {"text": "and now?"},
            ]},
        ])
    );
    assert_eq!(body["inferenceConfig"], json!({"maxTokens": 100}));
    // Tools must be named where there are calls, offered or not.
    let names: Vec<&str> = body["toolConfig"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["toolSpec"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn calls_without_ids_get_some_and_their_results_the_same() {
    let request = chat(vec![
        user("?"),
        Turn::new(Role::Assistant, vec![call("", "a", "{}"), call("", "b", "{}"), call("", "a", "{}")]),
        result("", Some("b"), vec![Part::text("1")]),
        result("", Some("a"), vec![Part::text("2")]),
        result("", Some("a"), vec![Part::text("3")]),
    ]);
    let (body, _) = for_model(&request, NOVA, None);
    let ids = |message: usize, block: &str| -> Vec<String> {
        let blocks = body["messages"][message]["content"].as_array().unwrap().clone();
        blocks.iter().map(|found| found[block]["toolUseId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(1, "toolUse"), ["call_0", "call_1", "call_2"]);
    assert_eq!(ids(2, "toolResult"), ["call_1", "call_0", "call_2"]);
}

#[test]
fn arguments_that_are_no_object_are_not_lost() {
    for (arguments, input) in [
        ("", json!({})),
        ("null", json!({})),
        ("[1]", json!({"input": [1]})),
        ("{broken", json!({"input": "{broken"})),
    ] {
        let turn = Turn::new(Role::Assistant, vec![call("1", "a", arguments)]);
        let (body, _) = for_model(&chat(vec![user("?"), turn]), NOVA, None);
        assert_eq!(body["messages"][1]["content"][0]["toolUse"]["input"], input, "{arguments}");
    }
}

#[test]
fn never_calling_is_said_by_leaving_the_tools_out_if_that_is_possible() {
    let mut request = chat(vec![user("?")]);
    request.tools = vec![tool("a"), tool("b")];
    request.tool_choice = Some(ToolChoice::None);
    let (body, written) = for_model(&request, NOVA, None);
    assert_eq!((body.get("toolConfig"), written.dropped), (None, vec![]));
    request.turns.push(Turn::new(Role::Assistant, vec![call("1", "a", "{}")]));
    request.turns.push(result("1", None, vec![]));
    let (body, written) = for_model(&request, NOVA, None);
    assert_eq!(written.dropped, ["tool_choice"]);
    assert_eq!(body["toolConfig"]["tools"].as_array().unwrap().len(), 2);
    assert_eq!(body["toolConfig"].get("toolChoice"), None);
}

#[test]
fn every_choice_of_tools_has_its_word() {
    let mut request = chat(vec![user("?")]);
    request.tools =
        vec![tool("a"), tool("b"), Tool::Native(Dialect::OpenAiResponses, json!({"type": "web_search"}))];
    let allowed = |required| ToolChoice::Allowed { names: vec!["b".into()], required };
    for (choice, expected, count) in [
        (ToolChoice::Auto, json!({"auto": {}}), 2),
        (ToolChoice::Required, json!({"any": {}}), 2),
        (ToolChoice::Function("b".into()), json!({"tool": {"name": "b"}}), 2),
        (allowed(true), json!({"any": {}}), 1),
        (allowed(false), json!({"auto": {}}), 1),
    ] {
        request.tool_choice = Some(choice);
        let (body, written) = for_model(&request, NOVA, None);
        assert_eq!(body["toolConfig"]["toolChoice"], expected);
        assert_eq!(body["toolConfig"]["tools"].as_array().unwrap().len(), count);
        assert_eq!(written.refused, ["tools[2]"]);
    }
}

fn media(kind: MediaKind, source: Source, mime: Option<&str>, name: Option<&str>) -> Part {
    let mut media = Media::new(kind, source, mime.map(str::to_owned));
    media.name = name.map(str::to_owned);
    Body::Media(media).into()
}

#[test]
fn media_go_as_bytes_or_from_s3_and_nothing_is_fetched() {
    let base64 = |text: &str| Source::Base64(text.to_owned());
    let parts = vec![
        media(MediaKind::Image, base64("AAAA"), Some("image/jpg"), None),
        media(MediaKind::Image, base64("iVBORw0KGgoAAA"), None, None),
        media(MediaKind::Image, Source::File(Dialect::Bedrock, "s3://b/k.webp".into()), None, None),
        media(MediaKind::Document, base64("JVBERi0xLjc"), None, Some("Année: 2026.pdf")),
        media(MediaKind::Document, Source::Text("words".into()), None, Some("Année: 2026.pdf")),
        media(MediaKind::Video, base64("AAAA"), Some("video/mp4"), None),
        media(MediaKind::Audio, base64("AAAA"), Some("audio/wav"), None),
        media(MediaKind::Image, Source::Url("https://example.com/a.png".into()), None, None),
        media(MediaKind::Document, Source::File(Dialect::OpenAiChat, "file-1".into()), None, None),
        media(MediaKind::Image, base64("AAAA"), Some("image/tiff"), None),
    ];
    let (body, written) = for_model(&chat(vec![Turn::new(Role::User, parts)]), NOVA, None);
    assert_eq!(
        body["messages"][0]["content"],
        json!([
            {"image": {"format": "jpeg", "source": {"bytes": "AAAA"}}},
            {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgoAAA"}}},
            {"image": {"format": "webp", "source": {"s3Location": {"uri": "s3://b/k.webp"}}}},
            {"document": {"format": "pdf", "name": "Ann-e- 2026-pdf", "source": {"bytes": "JVBERi0xLjc"}}},
            {"document": {"format": "txt", "name": "Ann-e- 2026-pdf 2", "source": {"bytes": "d29yZHM="}}},
            {"video": {"format": "mp4", "source": {"bytes": "AAAA"}}},
            {"audio": {"format": "wav", "source": {"bytes": "AAAA"}}},
            {"text": "Document: Ann-e- 2026-pdf"},
        ])
    );
    let places: Vec<&str> = written.refused.iter().map(|place| place.split(' ').next().unwrap()).collect();
    assert_eq!(places, ["messages[0].content[7]", "messages[0].content[8]", "messages[0].content[9]"]);
}

#[test]
fn thoughts_go_back_to_their_maker_alone() {
    let thought = |maker| Part {
        body: Body::Reasoning(Reasoning { text: "hm".into(), ..Reasoning::default() }),
        cache: None,
        signature: Some(Signature { maker, text: "sig".into() }),
    };
    let parts = vec![thought(Dialect::Bedrock), thought(Dialect::Anthropic), Part::text("so")];
    let (body, written) =
        for_model(&chat(vec![user("?"), Turn::new(Role::Assistant, parts)]), SONNET_4, None);
    assert_eq!(written.dropped, Vec::<String>::new());
    assert_eq!(
        body["messages"][1]["content"],
        json!([{"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}}, {"text": "so"}])
    );
}

#[test]
fn marks_become_cache_points_where_the_model_has_them() {
    let marked = |text: &str, mark| Part { cache: Some(mark), ..Part::text(text) };
    let mut request = chat(vec![
        Turn::new(Role::System, vec![marked("long", CacheMark::Hour)]),
        Turn::new(Role::User, vec![marked("longer", CacheMark::FiveMinutes), Part::text("?")]),
    ]);
    let Tool::Function(mut function) = tool("a") else { panic!() };
    function.cache = Some(CacheMark::FiveMinutes);
    request.tools = vec![Tool::Function(function)];
    let count = |model| for_model(&request, model, None).0.to_string().matches("cachePoint").count();
    assert_eq!((count(SONNET_45), count(NOVA), count("meta.llama4-x")), (3, 2, 0));
    let (body, _) = for_model(&request, SONNET_45, None);
    assert_eq!(body["system"][1], json!({"cachePoint": {"type": "default", "ttl": "1h"}}));
    assert_eq!(
        body["messages"][0]["content"],
        json!([{"text": "longer"}, {"cachePoint": {"type": "default"}}, {"text": "?"}])
    );
    for model in [SONNET_4, NOVA, NOVA_2] {
        let (body, _) = for_model(&request, model, None);
        assert_eq!(body["system"][1], json!({"cachePoint": {"type": "default"}}), "no hour: {model}");
    }
}

#[test]
fn nova_has_no_cache_point_directly_behind_a_result() {
    let mut results = result("1", None, vec![Part::text("x")]);
    results.parts[0].cache = Some(CacheMark::FiveMinutes);
    let mut request = chat(vec![user("?"), Turn::new(Role::Assistant, vec![call("1", "a", "{}")]), results]);
    let point = json!({"cachePoint": {"type": "default"}});
    let last = |request: &Request, model| {
        for_model(request, model, None).0["messages"][2]["content"]
            .as_array()
            .unwrap()
            .last()
            .cloned()
            .unwrap()
    };
    assert_eq!(last(&request, SONNET_45), point);
    assert!(last(&request, NOVA).get("toolResult").is_some());
    let left_out = Part { cache: Some(CacheMark::FiveMinutes), ..Part::text(" ") };
    request.turns.push(Turn::new(Role::User, vec![left_out]));
    assert!(last(&request, NOVA).get("toolResult").is_some());
    let text = Part { cache: Some(CacheMark::FiveMinutes), ..Part::text("and?") };
    request.turns.push(Turn::new(Role::User, vec![text]));
    assert_eq!(last(&request, NOVA), point);
}

#[test]
fn thinking_is_said_in_each_makers_words() {
    let effort = |effort: &str| Thinking { effort: Some(effort.into()), ..Thinking::default() };
    let budget =
        |tokens| Thinking { enabled: Some(true), budget_tokens: Some(tokens), ..Thinking::default() };
    let enabled = |tokens: u64| json!({"thinking": {"type": "enabled", "budget_tokens": tokens}});
    let adaptive =
        |effort: &str| json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": effort}});
    let lost = json!(null);
    for (model, wish, cap, expected) in [
        (SONNET_4, effort("low"), 8_000, enabled(1_024)),
        (SONNET_4, effort("high"), 8_000, enabled(7_999)),
        (SONNET_4, effort("high"), 1_024, lost.clone()),
        (SONNET_4, budget(2_000), 8_000, enabled(2_000)),
        (SONNET_4, effort("none"), 8_000, json!({})),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", effort("low"), 8_000, lost.clone()),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", effort("low"), 8_000, enabled(1_024)),
        (OPUS_46, effort("minimal"), 8_000, adaptive("low")),
        (OPUS_46, budget(2_000), 8_000, enabled(2_000)),
        (OPUS_47, budget(2_000), 8_000, adaptive("low")),
        (OPUS_47, effort("max"), 8_000, adaptive("max")),
        (OPUS_46, effort("xhigh"), 8_000, adaptive("high")),
        (OPUS_47, effort("xhigh"), 8_000, adaptive("xhigh")),
        (OPUS_47, effort("none"), 8_000, json!({})),
        ("global.anthropic.claude-opus-5", effort("none"), 8_000, json!({"thinking": {"type": "disabled"}})),
        ("openai.gpt-oss-120b-1:0", effort("xhigh"), 8_000, json!({"reasoning_effort": "high"})),
        ("openai.gpt-oss-120b-1:0", effort("none"), 8_000, lost.clone()),
        ("qwen.qwen3-32b-v1:0", budget(3_000), 8_000, json!({"reasoning_config": "medium"})),
        (
            NOVA_2,
            effort("medium"),
            8_000,
            json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}}),
        ),
        (NOVA, effort("low"), 8_000, lost),
        (NOVA, effort("none"), 8_000, json!({})),
    ] {
        let mut request = chat(vec![user("?")]);
        request.thinking = Some(wish.clone());
        let (body, written) = for_model(&request, model, Some(cap));
        if expected.is_null() {
            assert_eq!(written.dropped, ["reasoning_effort"], "{model} {wish:?}");
            assert_eq!(body.get("additionalModelRequestFields"), None, "{model} {wish:?}");
        } else {
            assert_eq!(written.dropped, Vec::<String>::new(), "{model} {wish:?}");
            let fields = body.get("additionalModelRequestFields").cloned().unwrap_or_else(|| json!({}));
            assert_eq!(fields, expected, "{model} {wish:?}");
        }
    }
    // Less than what was asked for.
    for (model, wish, expected) in [
        ("anthropic.claude-fable-5-1", effort("none"), json!({"output_config": {"effort": "low"}})),
        (
            NOVA_2,
            effort("max"),
            json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}}),
        ),
    ] {
        let mut request = chat(vec![user("?")]);
        request.thinking = Some(wish);
        let (body, written) = for_model(&request, model, Some(8_000));
        assert_eq!(body["additionalModelRequestFields"], expected, "{model}");
        assert_eq!(body["inferenceConfig"], json!({"maxTokens": 8_000}), "{model}");
        assert_eq!(written.dropped, ["reasoning_effort"], "{model}");
    }
}

#[test]
fn novas_highest_effort_has_nothing_beside_it() {
    let mut request = chat(vec![user("?")]);
    request.thinking = Some(Thinking { effort: Some("high".into()), ..Thinking::default() });
    request.sampling = Sampling {
        temperature: Some(json!(0.5)),
        top_p: Some(json!(0.9)),
        top_k: Some(json!(5)),
        ..Sampling::default()
    };
    let (body, written) = for_model(&request, NOVA_2, None);
    assert_eq!(
        body["additionalModelRequestFields"],
        json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}})
    );
    assert_eq!(body.get("inferenceConfig"), None);
    assert_eq!(written.dropped, ["temperature", "top_p", "top_k"]);
    let (body, written) = for_model(&request, NOVA_2, Some(100));
    assert_eq!(body["inferenceConfig"], json!({"maxTokens": 100, "temperature": 0.5, "topP": 0.9}));
    assert_eq!(body["additionalModelRequestFields"]["inferenceConfig"], json!({"topK": 5}));
    assert_eq!(written.dropped, ["reasoning_effort"]);
}

#[test]
fn who_cannot_be_forced_is_told_in_words() {
    let mut request = chat(vec![user("?")]);
    request.tools = vec![tool("a"), tool("b")];
    request.tool_choice = Some(ToolChoice::Function("b".into()));
    request.thinking = Some(Thinking { effort: Some("low".into()), ..Thinking::default() });
    let (body, written) = for_model(&request, "anthropic.claude-fable-5-1", Some(8_000));
    assert_eq!(body["toolConfig"]["toolChoice"], json!({"auto": {}}));
    assert_eq!(body["toolConfig"]["tools"].as_array().unwrap().len(), 1);
    assert_eq!(body["toolConfig"]["tools"][0]["toolSpec"]["name"], "b");
    assert!(body["system"][0]["text"].as_str().unwrap().contains("a call of one of the tools"));
    assert_eq!(body["additionalModelRequestFields"]["thinking"], json!({"type": "adaptive"}));
    assert_eq!(written.dropped, ["tool_choice"]);
    let (body, _) = for_model(&request, "anthropic.claude-opus-5", Some(8_000));
    assert_eq!(body["toolConfig"]["toolChoice"], json!({"tool": {"name": "b"}}));
    assert_eq!(body.get("system"), None);
}

#[test]
fn claude_does_not_think_where_it_would_refuse_to() {
    let mut request = chat(vec![
        user("?"),
        Turn::new(Role::Assistant, vec![call("1", "a", "{}")]),
        result("1", None, vec![Part::text("x")]),
    ]);
    request.thinking = Some(Thinking { effort: Some("low".into()), ..Thinking::default() });
    let thinks = |request: &Request, model| {
        let (body, written) = for_model(request, model, Some(8_000));
        let thinks = body["additionalModelRequestFields"]["thinking"].is_object();
        assert_eq!(written.dropped.is_empty(), thinks, "{written:?}");
        thinks
    };
    assert!(!thinks(&request, SONNET_4), "its thoughts are not there");
    assert!(thinks(&request, OPUS_46), "models that decide themselves do not need them");
    let thought = Part {
        body: Body::Reasoning(Reasoning { text: "hm".into(), ..Reasoning::default() }),
        cache: None,
        signature: Some(Signature { maker: Dialect::Bedrock, text: "sig".into() }),
    };
    request.turns[1].parts.insert(0, thought);
    assert!(thinks(&request, SONNET_4));
    request.turns.push(Turn::new(Role::Assistant, vec![Part::text("so")]));
    request.turns.push(user("and?"));
    request.turns[1].parts.remove(0);
    assert!(thinks(&request, SONNET_4), "that was an earlier question");
    request.tools = vec![tool("a")];
    request.tool_choice = Some(ToolChoice::Required);
    assert!(!thinks(&request, OPUS_46) && !thinks(&request, SONNET_4), "it is told to call");
}

#[test]
fn a_failed_result_says_so_to_models_that_know_the_word() {
    let failed = ToolResult { id: "1".into(), name: None, parts: vec![Part::text("no")], is_error: true };
    let request = chat(vec![
        user("?"),
        Turn::new(Role::Assistant, vec![call("1", "a", "{}")]),
        Turn::new(Role::Tool, vec![Body::ToolResult(failed).into()]),
    ]);
    let (body, written) = for_model(&request, NOVA, None);
    assert_eq!(body["messages"][2]["content"][0]["toolResult"]["status"], "error");
    assert_eq!(written.dropped, Vec::<String>::new());
    let (body, written) = for_model(&request, "us.writer.palmyra-x4-v1:0", None);
    assert_eq!(body["messages"][2]["content"][0]["toolResult"].get("status"), None);
    assert_eq!(written.dropped, ["messages[2].content[0].is_error"]);
}

#[test]
fn sampling_is_carried_dropped_or_refused_by_rule() {
    let mut request = chat(vec![user("?")]);
    request.sampling = Sampling {
        temperature: Some(json!(0.5)),
        top_p: Some(json!(0.9)),
        top_k: Some(json!(5)),
        presence_penalty: Some(json!(1)),
        frequency_penalty: Some(json!(1)),
        seed: Some(json!(1)),
        stop: vec!["END".into(), "\n\n".into()],
        choices: Some(2),
        logprobs: true,
        top_logprobs: Some(2),
        logit_bias: Some(json!({"1": 2})),
    };
    request.user = Some("u".into());
    request.format = Some(Format::Json);
    request.parallel_tool_calls = Some(false);
    request.service_tier = Some("flex".into());
    request.extras.insert("verbosity".into(), json!("low"));
    let (body, written) = for_model(&request, SONNET_4, Some(9));
    assert_eq!(
        body["inferenceConfig"],
        json!({"maxTokens": 9, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]})
    );
    assert_eq!(body["additionalModelRequestFields"], json!({"top_k": 5}));
    assert_eq!(body["serviceTier"], json!({"type": "flex"}));
    assert_eq!(written.refused, ["n"]);
    assert_eq!(
        written.dropped,
        [
            "stop",
            "presence_penalty",
            "frequency_penalty",
            "seed",
            "logit_bias",
            "logprobs",
            "top_logprobs",
            "parallel_tool_calls",
            "response_format",
            "user",
            "verbosity"
        ]
    );
    let (body, written) = for_model(&request, SONNET_45, None);
    assert_eq!(body["inferenceConfig"], json!({"temperature": 0.5, "stopSequences": ["END"]}));
    assert!(written.dropped.contains(&"top_p".to_owned()));
    let (body, written) = for_model(&request, OPUS_47, None);
    assert_eq!(body["inferenceConfig"], json!({"stopSequences": ["END"]}));
    assert_eq!(&written.dropped[..3], ["temperature", "top_p", "top_k"]);
    let (body, _) = for_model(&request, NOVA, None);
    assert_eq!(body["additionalModelRequestFields"], json!({"inferenceConfig": {"topK": 5}}));
    request.sampling.temperature = Some(json!(1.7));
    let (body, written) = for_model(&request, "meta.llama4-x", None);
    assert_eq!(body["inferenceConfig"]["temperature"], json!(1));
    assert!(
        written.dropped.contains(&"temperature".to_owned()) && written.dropped.contains(&"top_k".to_owned())
    );
    request.dialect = Dialect::Gemini;
    let (_, written) = for_model(&request, SONNET_4, None);
    assert_eq!(written.refused, ["generationConfig.candidateCount"]);
    assert!(written.dropped.contains(&"generationConfig.seed".to_owned()));
}

#[test]
fn a_schema_goes_as_text_and_claudes_objects_are_closed() {
    let mut request = chat(vec![user("?")]);
    let schema = json!({"type": "object", "properties": {
        "z": {"type": "array", "items": {"type": "object", "properties": {}}}, "a": {"enum": [{"type": "object"}]}}});
    request.format =
        Some(Format::Schema { name: None, description: None, schema: schema.clone(), strict: Some(true) });
    let of = |model| {
        let (body, written) = for_model(&request, model, None);
        assert_eq!(written.dropped, Vec::<String>::new());
        let inner = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"].clone();
        assert_eq!(inner["name"], "response");
        inner["schema"].as_str().unwrap().to_owned()
    };
    assert_eq!(of("google.gemma-3-27b-it"), schema.to_string());
    assert_eq!(
        of(SONNET_45),
        r#"{"type":"object","properties":{"z":{"type":"array","items":{"type":"object","properties":{},"additionalProperties":false}},"a":{"enum":[{"type":"object"}]}},"additionalProperties":false}"#
    );
}

#[test]
fn instructions_alone_become_what_the_user_says() {
    let request = chat(vec![Turn::new(Role::System, vec![Part::text("Write a poem.")])]);
    let (body, _) = for_model(&request, NOVA, None);
    assert_eq!(body, json!({"messages": [{"role": "user", "content": [{"text": "Write a poem."}]}]}));
}

#[test]
fn what_is_not_understood_of_a_bedrock_request_is_kept() {
    let body = json!({
        "messages": [
            {"role": "user", "content": [
                {"guardContent": {"text": {"text": "x", "qualifiers": ["query"]}}},
                {"document": {"format": "txt", "name": "d", "source": {"content": [{"text": "a"}]}}},
                {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/k", "bucketOwner": "123456789012"}}}},
                {"cachePoint": {"type": "default", "ttl": "1h"}},
                {"cachePoint": {"type": "default"}},
            ]},
            {"role": "assistant", "content": [
                {"citationsContent": {"content": [{"text": "cited"}], "citations": [
                    {"title": "d", "sourceContent": [{"text": "a"}], "location": {"documentChar": {"documentIndex": 0, "start": 0, "end": 1}}}]}},
                {"toolUse": {"toolUseId": "t", "name": "a", "input": {}}},
                {"reasoningContent": {"reasoningText": {"text": "unsigned"}}},
            ]},
            {"role": "user", "content": [
                {"text": "first"},
                {"toolResult": {"toolUseId": "t", "status": "error", "content": [
                    {"json": {"json": 1}}, {"json": [1]}, {"searchResult": {"source": "s", "title": "t", "content": [{"text": "x"}]}}]}},
                {"text": "then"},
            ]},
        ],
        "system": [{"text": "s"}, {"cachePoint": {"type": "default"}}, {"guardContent": {"text": {"text": "x"}}}],
        "inferenceConfig": {"maxTokens": 5, "temperature": 0.25, "topP": 1, "stopSequences": [" "], "later": 1},
        "toolConfig": {"tools": [{"toolSpec": {"name": "a", "description": "d", "inputSchema": {"json": {"type": "object"}}, "strict": false}},
                                 {"systemTool": {"name": "nova_grounding"}}, {"cachePoint": {"type": "default"}}],
                       "toolChoice": {"any": {}}},
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1", "trace": "enabled"},
        "additionalModelRequestFields": {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}, "top_k": 3, "anthropic_beta": ["x"]},
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
        "promptVariables": {"a": {"text": "b"}},
        "requestMetadata": {"team": "x"},
        "performanceConfig": {"latency": "optimized"},
        "serviceTier": {"type": "reserved"},
        "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{\"type\":\"object\"}"}}}},
        "later": {"x": 1},
    });
    let read = request::read(body.to_string().as_bytes(), Some((SONNET_45, true))).unwrap();
    assert_eq!(read.thinking.as_ref().and_then(|thinking| thinking.effort.as_deref()), Some("max"));
    assert_eq!(read.sampling.top_k, Some(json!(3)));
    assert_eq!(
        read.turns.iter().map(|turn| turn.role).collect::<Vec<_>>(),
        [Role::System, Role::User, Role::Assistant, Role::User, Role::Tool, Role::User]
    );
    let written = write_again(&read);
    assert_eq!((&written.dropped, &written.refused), (&vec![], &vec![]));
    assert_eq!(normal(&serde_json::from_slice(&written.body).unwrap()), normal(&body));
}

#[test]
fn bad_requests_are_refused_where_they_are_wrong() {
    let message = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
    for (body, place) in [
        (json!([]), None),
        (json!({}), Some("messages")),
        (json!({"messages": [1]}), Some("messages[0]")),
        (json!({"messages": [{"content": []}]}), Some("messages[0].role")),
        (json!({"messages": [{"role": "system", "content": []}]}), Some("messages[0].role")),
        (json!({"messages": [{"role": "user"}]}), Some("messages[0].content")),
        (message(json!("text")), Some("messages[0].content")),
        (message(json!([{"text": 1}])), Some("messages[0].content[0].text")),
        (message(json!([{}])), Some("messages[0].content[0]")),
        (
            message(json!([{"toolUse": {"name": "a", "input": {}}}])),
            Some("messages[0].content[0].toolUse.toolUseId"),
        ),
        (
            message(json!([{"toolUse": {"toolUseId": "1", "name": "a"}}])),
            Some("messages[0].content[0].toolUse.input"),
        ),
        (
            message(json!([{"toolResult": {"toolUseId": "1", "content": [{"text": {}}]}}])),
            Some("messages[0].content[0].toolResult.content[0].text"),
        ),
        (
            message(json!([{"toolResult": {"toolUseId": "1", "content": [], "status": "x"}}])),
            Some("messages[0].content[0].toolResult.status"),
        ),
        (
            message(json!([{"reasoningContent": {}}])),
            Some("messages[0].content[0].reasoningContent.reasoningText"),
        ),
        (json!({"messages": [], "inferenceConfig": {"maxTokens": -1}}), Some("inferenceConfig.maxTokens")),
        (
            json!({"messages": [], "toolConfig": {"tools": [], "toolChoice": {}}}),
            Some("toolConfig.toolChoice.tool"),
        ),
        (json!({"messages": [], "requestMetadata": {"a": 1}}), Some("requestMetadata.a")),
        (
            json!({"messages": [], "outputConfig": {"textFormat": {"structure": {"jsonSchema": {"schema": "{"}}}}}),
            Some("outputConfig.textFormat.structure.jsonSchema.schema"),
        ),
    ] {
        let refusal = request::read(body.to_string().as_bytes(), Some(("m", false))).unwrap_err();
        assert_eq!((refusal.status, refusal.param.as_deref()), (400, place), "{body}");
    }
    assert_eq!(request::read(b"{}", None).unwrap_err().param.as_deref(), Some("modelId"));
    let deep = format!("{{\"messages\":{}", "[".repeat(100_000));
    assert_eq!(request::read(deep.as_bytes(), Some(("m", false))).unwrap_err().code, "invalid_json");
}

#[test]
fn stop_reasons_and_cache_classes_are_told_apart() {
    let answer = |extra: Value| {
        let mut body = json!({"output": {"message": {"role": "assistant", "content": []}}});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        response::read(body.to_string().as_bytes()).unwrap()
    };
    for (reason, finish) in [
        ("end_turn", Finish::Stop),
        ("stop_sequence", Finish::StopSequence(None)),
        ("model_context_window_exceeded", Finish::Length),
        ("content_filtered", Finish::Filtered(None)),
        ("guardrail_intervened", Finish::Filtered(Some("guardrail_intervened".into()))),
        ("malformed_tool_use", Finish::Other("malformed_tool_use".into())),
        ("refusal", Finish::Refused),
    ] {
        assert_eq!(answer(json!({"stopReason": reason})).choices[0].finish, Some(finish));
    }
    let stopped = answer(
        json!({"stopReason": "stop_sequence", "additionalModelResponseFields": {"stop_sequence": "END"}}),
    );
    assert_eq!(stopped.choices[0].finish, Some(Finish::StopSequence(Some("END".into()))));
    let usage = answer(
        json!({"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 63, "cacheReadInputTokens": 10,
        "cacheWriteInputTokens": 50, "cacheDetails": [{"ttl": "1h", "inputTokens": 30}, {"ttl": "5m", "inputTokens": 20}]}}),
    );
    let usage = usage.reported.unwrap().usage;
    assert_eq!(
        (usage.cache_read, usage.cache_write_1h, usage.cache_write_5m, usage.total()),
        (10, 30, 20, 63)
    );
}

fn exception(name: &str, payload: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let headers =
        [(":exception-type", name), (":content-type", "application/json"), (":message-type", "exception")];
    assert!(Message::of_texts(&headers, payload.as_bytes()).encode(&mut out));
    out
}

#[test]
fn exceptions_are_errors_with_their_status() {
    for (name, status, kind) in [
        ("throttlingException", 429, "ThrottlingException"),
        ("modelStreamErrorException", 424, "ModelStreamErrorException"),
        ("internalServerException", 500, "InternalServerException"),
        ("serviceUnavailableException", 503, "ServiceUnavailableException"),
        ("validationException", 400, "ValidationException"),
        ("laterException", 500, "laterException"),
    ] {
        let found = deltas(&[&exception(name, r#"{"message":"no"}"#)]);
        let failure = Failure { status, kind: Some(kind.into()), message: "no".into() };
        assert_eq!(found, [Delta::Error(failure)]);
    }
    let upstream = exception("modelStreamErrorException", r#"{"message":"no","originalStatusCode":529}"#);
    assert!(matches!(&deltas(&[&upstream])[..], [Delta::Error(Failure { status: 529, .. })]));
    let mut out = Vec::new();
    let headers = [(":message-type", "error"), (":error-code", "Internal"), (":error-message", "oh")];
    assert!(Message::of_texts(&headers, b"").encode(&mut out));
    let failure = Failure { status: 500, kind: Some("Internal".into()), message: "oh".into() };
    assert_eq!(deltas(&[&out]), [Delta::Error(failure)]);
}

#[test]
fn unknown_events_are_skipped_and_corrupt_ones_told() {
    let of = |kind: &str, payload: Value| {
        let mut out = Vec::new();
        frame(kind, &payload, &mut out);
        deltas(&[&out])
    };
    let begin = Delta::Begin { id: None, model: None };
    assert_eq!(of("laterEvent", json!([1])), []);
    assert_eq!(
        of("contentBlockStart", json!({"contentBlockIndex": 0, "start": {"later": {}}})),
        std::slice::from_ref(&begin)
    );
    assert_eq!(
        of("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"later": {}}})),
        std::slice::from_ref(&begin)
    );
    assert_eq!(of("messageStart", json!([])), [Delta::Corrupt]);
    for (kind, payload) in [
        ("contentBlockDelta", json!({"delta": {"text": "x"}})),
        ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"text": 1}})),
        ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{}"}}})),
        ("contentBlockStart", json!({"contentBlockIndex": 0, "start": {"toolUse": {"name": "a"}}})),
        ("messageStop", json!({})),
        ("metadata", json!({"usage": 1})),
    ] {
        assert_eq!(of(kind, payload), [begin.clone(), Delta::Corrupt], "{kind}");
    }
    let mut nameless = Vec::new();
    assert!(Message::of_texts(&[(":message-type", "event")], b"{}").encode(&mut nameless));
    assert!(Message::of_texts(&[], b"{}").encode(&mut nameless));
    assert_eq!(deltas(&[&nameless]), [Delta::Corrupt, Delta::Corrupt]);
}

#[test]
fn failures_are_read_in_every_spelling_and_written_for_the_sdks() {
    let read = |body: &str| failure::read(400, body.as_bytes());
    assert_eq!(read(r#"{"message":"m"}"#).message, "m");
    assert_eq!(
        read(r#"{"Message":"m","__type":"com.amazon.coral.service#ThrottlingException:http://x"}"#),
        Failure { status: 400, kind: Some("ThrottlingException".into()), message: "m".into() }
    );
    assert_eq!(read("<html>bad gateway</html>\n").message, "<html>bad gateway</html>");
    let refusal = Refusal::new(429, "rate_limit_error", "rate_limit_exceeded", "Slow down.").with("limit", 3);
    let body: Value = serde_json::from_str(&failure::write(&refusal)).unwrap();
    assert_eq!(
        body,
        json!({"__type": "ThrottlingException", "message": "Slow down.",
        "error": {"limit": 3, "type": "rate_limit_error", "param": null, "code": "rate_limit_exceeded"}})
    );
    let mut out = Vec::new();
    stream::Writer::new(Show::default()).fail(&refusal, &mut out);
    assert_eq!(
        deltas(&[&out]),
        [Delta::Error(Failure {
            status: 429,
            kind: Some("ThrottlingException".into()),
            message: "Slow down.".into()
        })]
    );
}

#[test]
fn parts_of_other_dialects_may_interleave_and_stay_open() {
    let at = |part| At { choice: 0, part };
    let called = |id: &str, name: &str| Opened::ToolCall { id: id.into(), name: name.into() };
    let steps = [
        Delta::Open(at(0), Opened::Text),
        Delta::Append(at(0), "so".into()),
        Delta::Open(at(1), called("", "a")),
        Delta::Open(at(2), called("x", "b")),
        Delta::Append(at(2), "{\"y\":".into()),
        Delta::Append(at(1), "{\"z\":2}".into()),
        Delta::Append(at(2), "1}".into()),
        Delta::Open(At { choice: 1, part: 0 }, Opened::Text),
        Delta::Append(At { choice: 1, part: 0 }, "not shown".into()),
        Delta::Open(at(3), Opened::Native(Dialect::Gemini, json!({}))),
        Delta::Usage(Reported {
            usage: Usage { input: 3, output: 4, reasoning: 5, ..Usage::default() },
            ..Reported::default()
        }),
        Delta::Finish(0, Finish::ToolCalls),
    ];
    let mut writer = stream::Writer::new(Show::default());
    let mut out = Vec::new();
    for step in &steps {
        writer.push(step, &mut out);
    }
    assert!(!assembled(&deltas(&[&out])).ended, "the end is not told before it has come");
    writer.push(&Delta::End, &mut out);
    let assembly = assembled(&deltas(&[&out]));
    assert!(assembly.ended);
    let choice = &assembly.answer.choices[0];
    assert_eq!(
        choice.parts,
        [Part::text("so"), call("call_0", "a", "{\"z\":2}"), call("x", "b", "{\"y\":1}")]
    );
    assert_eq!(choice.finish, Some(Finish::ToolCalls));
    assert_eq!(assembly.answer.reported.unwrap().usage.total(), 12);
}

// ── any input ────────────────────────────────────────────────────────────────────────────────────────────────────────

fn some_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-9_i64..9).prop_map(|number| json!(number)),
        "[a-z]{0,4}".prop_map(Value::String),
    ];
    const NAMES: &[&str] = &[
        "text",
        "toolUse",
        "toolResult",
        "toolUseId",
        "name",
        "input",
        "content",
        "json",
        "reasoningContent",
        "reasoningText",
        "redactedContent",
        "signature",
        "image",
        "document",
        "format",
        "source",
        "bytes",
        "s3Location",
        "uri",
        "cachePoint",
        "type",
        "citationsContent",
        "citations",
        "role",
        "status",
        "ttl",
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((prop::sample::select(NAMES), inner), 0..4).prop_map(|members| {
                Value::Object(members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
}

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![
        "[A-Za-z0-9+/]{4,8}".prop_map(Source::Base64),
        "[a-z]{1,6}".prop_map(|key| Source::File(Dialect::Bedrock, format!("s3://bucket/{key}"))),
    ]
}

fn mark() -> impl Strategy<Value = Option<CacheMark>> {
    prop_oneof![4 => Just(None), 1 => Just(Some(CacheMark::FiveMinutes)), 1 => Just(Some(CacheMark::Hour))]
}

fn signed() -> impl Strategy<Value = Option<Signature>> {
    prop::option::of("[A-Za-z0-9]{1,8}".prop_map(|text| Signature { maker: Dialect::Bedrock, text }))
}

fn citation() -> impl Strategy<Value = Citation> {
    ("[a-z]{1,4}", "[a-z]{1,4}", prop::option::of("[a-z]{1,4}")).prop_map(|(title, quoted, url)| {
        let url = url.map(|host| format!("https://{host}.example"));
        let location = match &url {
            Some(url) => json!({"web": {"url": url}}),
            None => json!({"documentChar": {"documentIndex": 0, "start": 1, "end": 2}}),
        };
        let native = json!({"title": title, "sourceContent": [{"text": quoted}], "location": location});
        Citation {
            url,
            title: Some(title),
            quoted: Some(quoted),
            start: None,
            end: None,
            native: Some((Dialect::Bedrock, native)),
        }
    })
}

fn text_part() -> impl Strategy<Value = Body> {
    ("[ a-zé\n]{0,12}[a-z]", prop::collection::vec(citation(), 0..2))
        .prop_map(|(text, citations)| Body::Text(Text { text, citations }))
}

fn media_part() -> impl Strategy<Value = Body> {
    let images = (prop::sample::select(&["image/png", "image/jpeg", "image/webp"][..]), source())
        .prop_map(|(mime, source)| Media::new(MediaKind::Image, source, Some(mime.to_owned())));
    let names = any::<u32>().prop_map(|number| format!("Document {number}"));
    let documents = (
        prop::option::of(prop::sample::select(&["application/pdf", "text/csv", "text/markdown"][..])),
        prop_oneof![
            "[a-z ]{0,9}".prop_map(Source::Text),
            Just(Source::File(Dialect::Bedrock, "s3://b/k".into()))
        ],
        names,
        prop::option::of("[a-z]{0,4}"),
        any::<bool>(),
    )
        .prop_map(|(mime, source, name, context, citations)| Media {
            name: Some(name),
            context,
            citations,
            ..Media::new(MediaKind::Document, source, mime.map(str::to_owned))
        });
    prop_oneof![images, documents].prop_map(Body::Media)
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::vec(("[a-z]{1,3}", some_json()), 0..3)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

fn call_part() -> impl Strategy<Value = Body> {
    ("[a-zA-Z0-9_.:-]{1,64}", "[a-z_]{1,8}", object())
        .prop_map(|(id, name, input)| Body::ToolCall(ToolCall { id, name, arguments: input.to_string() }))
}

fn reasoning_part() -> impl Strategy<Value = Part> {
    prop_oneof![
        ("[a-z ]{1,9}", signed()).prop_map(|(text, signature)| Part {
            body: Body::Reasoning(Reasoning { text, ..Reasoning::default() }),
            cache: None,
            signature,
        }),
        "[A-Za-z0-9]{4}".prop_map(|text| Part {
            body: Body::Reasoning(Reasoning { redacted: true, ..Reasoning::default() }),
            cache: None,
            signature: Some(Signature { maker: Dialect::Bedrock, text }),
        }),
    ]
}

fn native_part() -> impl Strategy<Value = Body> {
    "[a-z]{1,4}"
        .prop_map(|text| Body::Native(Dialect::Bedrock, json!({"guardContent": {"text": {"text": text}}})))
}

fn server_part() -> impl Strategy<Value = Body> {
    prop_oneof![
        object().prop_map(|input| json!({"toolUse": {"toolUseId": "s", "name": "code", "type": "server_tool_use", "input": input}})),
        some_json().prop_map(|found| json!({"toolResult": {"toolUseId": "s", "type": "code_result", "status": "success", "content": [{"json": found}]}})),
    ]
    .prop_map(|block| Body::Native(Dialect::Bedrock, block))
}

fn with_mark(body: impl Strategy<Value = Body>) -> impl Strategy<Value = Part> {
    (body, mark()).prop_map(|(body, cache)| Part { body, cache, signature: None })
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let said = prop_oneof![with_mark(text_part()), with_mark(media_part()), with_mark(native_part())];
    let user = prop::collection::vec(said, 1..4).prop_map(|parts| Turn::new(Role::User, parts));
    let answered = prop_oneof![
        with_mark(text_part()),
        with_mark(call_part()),
        reasoning_part(),
        with_mark(server_part())
    ];
    let assistant = prop::collection::vec(answered, 1..4).prop_map(|parts| Turn::new(Role::Assistant, parts));
    // As it is read: a value that looks like a block stays in its own.
    let value = some_json().prop_filter("null is nothing", |value| !value.is_null()).prop_map(|value| {
        let value = if super::content::is_result_block(&value) { json!({"json": value}) } else { value };
        Part::from(Body::Native(Dialect::Bedrock, value))
    });
    let inner = prop_oneof![text_part().prop_map(Part::from), media_part().prop_map(Part::from), value];
    let result = ("[a-zA-Z0-9_.:-]{1,64}", prop::collection::vec(inner, 0..3), any::<bool>(), mark())
        .prop_map(|(id, parts, is_error, cache)| Part {
            body: Body::ToolResult(ToolResult { id, name: None, parts, is_error }),
            cache,
            signature: None,
        });
    let results = prop::collection::vec(result, 1..3).prop_map(|parts| Turn::new(Role::Tool, parts));
    let system =
        prop::collection::vec(with_mark(text_part()), 1..3).prop_map(|parts| Turn::new(Role::System, parts));
    let mut turns = prop::collection::vec(prop_oneof![user, assistant, results], 1..6)
        .prop_map(|mut turns: Vec<Turn>| {
            // One role after another: what follows itself is one turn when it is read.
            turns.dedup_by_key(|turn| turn.role);
            turns
        })
        .boxed();
    turns = (prop::option::of(system), turns)
        .prop_map(|(system, turns)| system.into_iter().chain(turns).collect())
        .boxed();
    turns
}

fn requests() -> impl Strategy<Value = Request> {
    let function =
        ("[a-z]{1,6}", prop::option::of("[a-z]{1,6}"), object(), prop::option::of(any::<bool>()), mark());
    let function = function.prop_map(|(name, description, schema, strict, cache)| {
        Tool::Function(Function { name, description, parameters: Some(schema), strict, cache })
    });
    let tools = prop::collection::vec(function, 0..3);
    let choice = prop::option::of(prop_oneof![
        Just(ToolChoice::Auto),
        Just(ToolChoice::Required),
        "[a-z]{1,6}".prop_map(ToolChoice::Function)
    ]);
    let format = prop::option::of(
        (prop::option::of("[a-z]{1,4}"), object()).prop_map(|(name, schema)| Format::Schema {
            name,
            description: None,
            schema,
            strict: None,
        }),
    );
    let thinking = prop::option::of(prop_oneof![
        (1_024_u64..9_000).prop_map(|tokens| Thinking {
            enabled: Some(true),
            budget_tokens: Some(tokens),
            ..Thinking::default()
        }),
        Just(Thinking { enabled: Some(false), ..Thinking::default() }),
        "low|high".prop_map(|effort| Thinking {
            enabled: Some(true),
            adaptive: true,
            effort: Some(effort),
            ..Thinking::default()
        }),
        "low|high".prop_map(|effort| Thinking { effort: Some(effort), ..Thinking::default() }),
    ]);
    let numbers = (
        prop::option::of(0..9_u64),
        prop::option::of(0..9_u8),
        prop::option::of(0..9_u8),
        prop::option::of(0..9_u8),
    );
    let rest = (
        prop::collection::vec("[a-z ]{1,3}", 0..2),
        prop::option::of("flex|default".prop_map(String::from)),
        prop::option::of("[a-z]{1,4}"),
        prop::option::of("[a-z]{1,4}"),
        any::<bool>(),
    );
    (turns(), tools, choice, format, thinking, numbers, rest).prop_map(
        |(
            turns,
            tools,
            choice,
            format,
            thinking,
            (cap, temperature, top_p, top_k),
            (stop, tier, team, later, stream),
        )| {
            let number = |value: Option<u8>| value.map(|value| json!(f64::from(value) / 8.0));
            let mut request = Request::new(Dialect::Bedrock, SONNET_45.to_owned());
            request.turns = turns;
            request.stream = stream;
            request.tool_choice = choice.filter(|_| !tools.is_empty());
            request.tools = tools;
            request.format = format;
            request.thinking = thinking;
            request.output_cap = cap;
            request.sampling.temperature = number(temperature);
            request.sampling.top_p = number(top_p);
            request.sampling.top_k = top_k.map(|value| json!(value));
            request.sampling.stop = stop;
            request.service_tier = tier;
            request.metadata.extend(team.map(|team| ("team".to_owned(), json!(team))));
            request.extras.extend(
                later.map(|later| ("guardrailConfig".to_owned(), json!({"guardrailIdentifier": later}))),
            );
            request
        },
    )
}

fn answers() -> impl Strategy<Value = Answer> {
    let part = prop_oneof![
        text_part().prop_map(Part::from),
        call_part().prop_map(Part::from),
        reasoning_part(),
        server_part().prop_map(Part::from),
    ];
    let finish = prop_oneof![
        Just(Finish::Stop),
        Just(Finish::StopSequence(None)),
        "[a-z]{1,3}".prop_map(|text| Finish::StopSequence(Some(text))),
        Just(Finish::Length),
        Just(Finish::ToolCalls),
        Just(Finish::Filtered(None)),
        Just(Finish::Filtered(Some("guardrail_intervened".into()))),
        Just(Finish::Refused),
        Just(Finish::Paused),
        Just(Finish::Other("malformed_tool_use".into())),
    ];
    let usage = prop::option::of((0..9_u64, 0..9_u64, 0..9_u64, 0..9_u64, 0..9_u64));
    (prop::collection::vec(part, 0..5), finish, usage, prop::option::of("flex|default")).prop_map(
        |(parts, finish, usage, tier)| Answer {
            choices: vec![Choice { parts, finish: Some(finish), logprobs: None }],
            reported: usage.map(|(input, cache_read, cache_write_5m, cache_write_1h, output)| Reported {
                usage: Usage {
                    input,
                    cache_read,
                    cache_write_5m,
                    cache_write_1h,
                    output,
                    ..Usage::default()
                },
                ..Reported::default()
            }),
            service_tier: tier,
            ..Answer::default()
        },
    )
}

/// An answer as a stream tells it.
fn steps(answer: &Answer) -> Vec<Delta> {
    let mut steps = vec![Delta::Begin { id: None, model: None }];
    let choice = &answer.choices[0];
    for (index, part) in choice.parts.iter().enumerate() {
        let at = At { choice: 0, part: u32::try_from(index).unwrap() };
        match &part.body {
            Body::Text(text) => {
                steps.push(Delta::Open(at, Opened::Text));
                steps.extend(text.text.chars().map(|letter| Delta::Append(at, letter.to_string())));
                steps.extend(text.citations.iter().map(|citation| Delta::Cite(at, citation.clone())));
            }
            Body::Reasoning(reasoning) => {
                steps.push(Delta::Open(
                    at,
                    Opened::Reasoning { id: None, summary: false, redacted: reasoning.redacted },
                ));
                steps.push(Delta::Append(at, reasoning.text.clone()));
                steps.extend(part.signature.iter().map(|signature| Delta::Sign(at, signature.clone())));
            }
            Body::ToolCall(call) => {
                steps
                    .push(Delta::Open(at, Opened::ToolCall { id: call.id.clone(), name: call.name.clone() }));
                steps.push(Delta::Append(at, call.arguments.clone()));
            }
            Body::Native(dialect, value) => {
                steps.push(Delta::Open(at, Opened::Native(*dialect, value.clone())))
            }
            other => panic!("{other:?}"),
        }
        if index % 2 == 0 {
            steps.push(Delta::Close(at));
        }
    }
    steps.extend(answer.reported.iter().map(|reported| Delta::Usage(reported.clone())));
    steps.extend(answer.service_tier.iter().map(|tier| Delta::Tier(tier.clone())));
    steps.push(Delta::Finish(0, choice.finish.clone().unwrap()));
    steps.push(Delta::End);
    steps
}

fn split(bytes: &[u8], cuts: &[prop::sample::Index]) -> Vec<Delta> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    deltas(&at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = request::read(&bytes, Some(("m", true)));
        let _ = response::read(&bytes);
        let _ = failure::read(500, &bytes);
        deltas(&[&bytes]);
    }

    #[test]
    fn no_json_panics(content in some_json(), other in some_json()) {
        let body = json!({"messages": [{"role": "user", "content": [content]}], "additionalModelRequestFields": other}).to_string();
        if let Ok(read) = request::read(body.as_bytes(), Some((SONNET_45, false))) {
            write_again(&read);
            for_model(&Request { dialect: Dialect::OpenAiChat, ..read }, NOVA, Some(5));
        }
        let answer = json!({"output": {"message": {"content": [content]}}, "usage": other}).to_string();
        if let Ok(read) = response::read(answer.as_bytes()) {
            let _ = response::write(&read, &Show::default());
        }
    }

    #[test]
    fn no_events_panic_and_any_split_gives_the_same_steps(
        events in prop::collection::vec((prop::sample::select(&[
            "messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "other",
        ][..]), 0..3_u8, some_json()), 0..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut bytes = Vec::new();
        for (kind, index, value) in events {
            let payload = json!({"contentBlockIndex": index, "start": value, "delta": value, "stopReason": "end_turn", "usage": value});
            frame(kind, &payload, &mut bytes);
        }
        let whole = deltas(&[&bytes]);
        prop_assert_eq!(split(&bytes, &cuts), whole.clone());
        assembled(&whole);
    }

    #[test]
    fn a_request_is_the_same_after_writing_and_reading(request in requests()) {
        let written = write_again(&request);
        prop_assert_eq!((&written.dropped, &written.refused), (&vec![], &vec![]));
        let again = request::read(&written.body, Some((&request.model, request.stream))).unwrap();
        prop_assert_eq!(again, request);
    }

    #[test]
    fn an_answer_is_the_same_after_writing_and_reading(answer in answers()) {
        let written = response::write(&answer, &Show::default());
        prop_assert_eq!(without_json(response::read(&written).unwrap()), answer);
    }

    #[test]
    fn a_stream_is_the_same_after_writing_and_reading(
        answer in answers(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let bytes = written(&steps(&answer));
        let assembly = assembled(&split(&bytes, &cuts));
        prop_assert!(assembly.ended);
        prop_assert_eq!(without_json(assembly.answer), answer);
    }
}
