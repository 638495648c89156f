//! Recorded exchanges replayed, rules told by example, and properties of made-up traffic.

use super::{OWN, VERSION, failure, headers, request, response, stream};
use crate::{
    dialect::{Dialect, Order, Reader as _, Show, Writer as _, Written},
    model::{
        answer::{Answer, Assembly, At, Choice, Delta, Failure, Finish, Opened, Reported},
        part::{
            Body, CacheMark, Citation, Media, MediaKind, Part, Reasoning, Signature, Source, Text, ToolCall,
            ToolResult,
        },
        request::{Format, Function, Request, Role, Thinking, Tool, ToolChoice, Turn},
        usage::Usage,
    },
    refusal::Refusal,
    stream::sse::Framer,
};
use proptest::prelude::*;
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

#[test]
fn requests_of_todays_clients_are_written_again_as_they_were() {
    let lines = include_str!("../../../tests/fixtures/clients/messages_requests.jsonl");
    for line in lines.lines() {
        let call: Value = serde_json::from_str(line).unwrap();
        let (client, body) = (&call["client"], &call["body"]);
        let read = read(body);
        let counts = call["path"] == "/v1/messages/count_tokens";
        let written = if counts {
            request::write_count(&read, &order(&read.model))
        } else {
            request::write(&read, &order(&read.model))
        };
        let again: Value = serde_json::from_slice(&written.body).unwrap();
        assert_eq!(plain(&again), plain(body), "{client}");
        assert_eq!((written.dropped, written.refused), (vec![], vec![]), "{client}");
    }
    assert_eq!(lines.lines().count(), 13);
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

// Rules, by example.

const OPENAI: Dialect = Dialect::OpenAiChat;

fn asked(turns: Vec<Turn>) -> Request {
    Request { turns, ..Request::new(OPENAI, "gpt".to_owned()) }
}

fn says(role: Role, text: &str) -> Turn {
    Turn::new(role, vec![Part::text(text)])
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    let call = ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() };
    Body::ToolCall(call).into()
}

fn result(id: &str, name: Option<&str>, text: &str) -> Turn {
    let parts = vec![Part::text(text)];
    let result = ToolResult { id: id.to_owned(), name: name.map(str::to_owned), parts, is_error: false };
    Turn::new(Role::Tool, vec![Body::ToolResult(result).into()])
}

fn function(name: &str) -> Tool {
    Tool::Function(Function { name: name.to_owned(), ..Function::default() })
}

fn signed(text: &str, maker: Dialect, proof: &str) -> Part {
    let body = Body::Reasoning(Reasoning { text: text.to_owned(), ..Reasoning::default() });
    Part { signature: Some(Signature { maker, text: proof.to_owned() }), ..body.into() }
}

fn effort(level: &str) -> Option<Thinking> {
    Some(Thinking { effort: Some(level.to_owned()), ..Thinking::default() })
}

#[test]
fn instructions_go_to_the_head_and_speakers_alternate() {
    let request = asked(vec![
        says(Role::System, "Be brief."),
        says(Role::Assistant, "Hello. "),
        says(Role::User, " "),
        says(Role::Developer, "In French."),
        says(Role::User, "One."),
        says(Role::User, "Two."),
        says(Role::Assistant, "Un, "),
    ]);
    let (body, written) = write_for(&request, "claude-sonnet-4-5");
    let text = |text: &str| json!({"type": "text", "text": text});
    assert_eq!(body["system"], json!([text("Be brief."), text("In French.")]));
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": "."},
            {"role": "assistant", "content": "Hello. "},
            {"role": "user", "content": [text("One."), text("Two.")]},
            {"role": "assistant", "content": "Un,"},
        ])
    );
    assert_eq!(body["max_tokens"], 4096);
    assert_eq!(body["model"], "claude-sonnet-4-5");
    assert_eq!(written.dropped, Vec::<String>::new());
}

#[test]
fn results_follow_their_calls_under_names_that_anthropic_takes() {
    let request = asked(vec![
        says(Role::User, "Go."),
        Turn::new(
            Role::Assistant,
            vec![call("functions.a:0", "a", "{\"x\":1}"), call("", "b", ""), call("", "a", "[1]")],
        ),
        result("functions.a:0", None, "A"),
        says(Role::User, "Wait."),
        result("", Some("a"), "third"),
        result("", Some("b"), "second"),
        Turn::new(Role::Assistant, vec![call("functions.a:0", "a", "{")]),
        result("functions.a:0", None, "again"),
    ]);
    let (body, _) = write_for(&request, "claude-sonnet-4-5");
    let used = |id: &str, name: &str, input: Value| json!({"type": "tool_use", "id": id, "name": name, "input": input});
    let came = |id: &str, text: &str| json!({"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": text}]});
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": "Go."},
            {"role": "assistant", "content": [
                used("functions_a_0", "a", json!({"x": 1})), used("toolu_1", "b", json!({})),
                used("toolu_2", "a", json!({"INVALID_JSON": "[1]"}))]},
            {"role": "user", "content": [
                came("functions_a_0", "A"), came("toolu_2", "third"), came("toolu_1", "second"),
                {"type": "text", "text": "Wait."}]},
            {"role": "assistant", "content": [used("functions_a_0_3", "a", json!({"INVALID_JSON": "{"}))]},
            {"role": "user", "content": [came("functions_a_0_3", "again")]},
        ])
    );
}

#[test]
fn thoughts_go_back_to_their_maker_only() {
    let turns = |maker| {
        let thoughts = signed("Hm.", maker, "proof");
        asked(vec![says(Role::User, "Go."), Turn::new(Role::Assistant, vec![thoughts, Part::text("So.")])])
    };
    let (body, _) = write(&turns(OWN));
    assert_eq!(
        body["messages"][1]["content"][0],
        json!({"type": "thinking", "thinking": "Hm.", "signature": "proof"})
    );
    let (body, written) = write(&turns(Dialect::Gemini));
    assert_eq!(body["messages"][1], json!({"role": "assistant", "content": "So."}));
    assert_eq!(written, Written { body: written.body.clone(), ..Written::default() });
}

#[test]
fn thoughts_that_no_longer_fit_are_to_be_left_out_rather_than_refused() {
    let thoughts = signed("Hm.", OWN, "proof");
    let mut request = asked(vec![
        says(Role::User, "Go."),
        Turn::new(Role::Assistant, vec![thoughts]),
        says(Role::User, "On."),
    ]);
    let binding = json!({"prefix_mismatch_behavior": "drop_block"});
    let (body, _) = write_for(&request, "claude-fable-5-1");
    assert_eq!(body["thinking"], json!({"type": "adaptive", "block_binding": binding}));
    assert_eq!(headers(&request)[1], ("anthropic-beta", super::BINDING_BETA.to_owned()));
    assert_eq!(write_for(&request, "claude-opus-5").0["thinking"], Value::Null);
    request.turns.remove(1);
    assert_eq!(write_for(&request, "claude-fable-5-1").0["thinking"], Value::Null);
    let body = json!({"model": "m", "max_tokens": 1, "messages": [],
                      "thinking": {"type": "adaptive", "block_binding": binding}});
    assert_eq!(write(&read(&body)).0["thinking"], body["thinking"]);
    assert_eq!(headers(&read(&body)).len(), 1);
}

#[test]
fn effort_is_what_the_model_knows_of_it() {
    let ask = |level: &str, model: &str| {
        let mut request = asked(vec![says(Role::User, "Go.")]);
        request.thinking = effort(level);
        request.output_cap = Some(10_000);
        let (body, written) = write_for(&request, model);
        (body["thinking"].clone(), body["output_config"]["effort"].clone(), written.dropped)
    };
    let none = Vec::<String>::new;
    let adaptive = json!({"type": "adaptive"});
    assert_eq!(ask("high", "claude-opus-5"), (adaptive.clone(), json!("high"), none()));
    assert_eq!(ask("xhigh", "claude-sonnet-4-6"), (adaptive, json!("high"), none()));
    let budget = |tokens: u64| json!({"type": "enabled", "budget_tokens": tokens});
    assert_eq!(ask("medium", "claude-sonnet-4-5"), (budget(4_096), Value::Null, none()));
    assert_eq!(ask("high", "claude-sonnet-4-5"), (budget(5_000), Value::Null, none()), "half of the cap");
    assert_eq!(ask("none", "claude-opus-5"), (json!({"type": "disabled"}), Value::Null, none()));
    assert_eq!(ask("none", "claude-sonnet-4-5"), (Value::Null, Value::Null, none()));
    assert_eq!(ask("none", "claude-sonnet-5-5"), (json!({"type": "between_tools"}), Value::Null, none()));
    let told = vec!["reasoning_effort".to_owned()];
    assert_eq!(ask("none", "claude-fable-5"), (Value::Null, json!("low"), told.clone()), "it always thinks");
    assert_eq!(ask("low", "claude-3-5-haiku-20241022"), (Value::Null, Value::Null, told));
}

#[test]
fn a_budget_gives_way_to_the_cap_and_to_forced_calls() {
    let mut request = asked(vec![says(Role::User, "Go.")]);
    request.thinking = effort("low");
    request.output_cap = Some(1_024);
    let model = "claude-haiku-4-5";
    let (body, written) = write_for(&request, model);
    assert_eq!((&body["thinking"], written.dropped), (&Value::Null, vec!["reasoning_effort".to_owned()]));
    request.output_cap = Some(5_000);
    let lowered = Order { kind: "anthropic", model, output_cap: Some(1_500) };
    let body: Value = serde_json::from_slice(&request::write(&request, &lowered).body).unwrap();
    assert_eq!((&body["max_tokens"], &body["thinking"]["budget_tokens"]), (&json!(1_500), &json!(1_024)));
    request.tools = vec![function("f")];
    request.tool_choice = Some(ToolChoice::Required);
    let (body, written) = write_for(&request, model);
    assert_eq!((&body["thinking"], written.dropped), (&Value::Null, vec!["reasoning_effort".to_owned()]));
    // A loop of calls whose thoughts the client did not send back.
    request.tool_choice = None;
    request.turns.push(Turn::new(Role::Assistant, vec![call("1", "f", "{}")]));
    request.turns.push(result("1", None, "ok"));
    assert_eq!(write_for(&request, model).0["thinking"], Value::Null);
    request.turns[1].parts.insert(0, signed("Hm.", OWN, "proof"));
    assert_eq!(write_for(&request, model).0["thinking"]["type"], "enabled");
}

#[test]
fn sampling_is_what_the_model_takes() {
    let ask = |model: &str, thinking: Option<Thinking>| {
        let mut request = asked(vec![says(Role::User, "Go.")]);
        request.sampling.temperature = Some(json!(1.5));
        request.sampling.top_p = Some(json!(0.9));
        request.sampling.top_k = Some(json!(5));
        request.sampling.seed = Some(json!(7));
        request.sampling.stop = vec!["\n".to_owned(), "END".to_owned()];
        request.thinking = thinking;
        let (body, written) = write_for(&request, model);
        assert_eq!(body["stop_sequences"], json!(["END"]));
        let values = ["temperature", "top_p", "top_k"].map(|name| body[name].clone());
        (json!(values), written.dropped.join(" "))
    };
    assert_eq!(ask("claude-opus-4-20250514", None), (json!([1, 0.9, 5]), "seed stop temperature".to_owned()));
    assert_eq!(
        ask("claude-sonnet-4-5", None),
        (json!([1, null, 5]), "seed stop temperature top_p".to_owned())
    );
    let all = "seed stop temperature top_p top_k".to_owned();
    assert_eq!(ask("claude-sonnet-5", None), (json!([null, null, null]), all.clone()));
    assert_eq!(ask("claude-sonnet-4-5", effort("low")), (json!([null, null, null]), all));
    let mut request = asked(vec![says(Role::User, "Go.")]);
    request.sampling.choices = Some(2);
    assert_eq!(write(&request).1.refused, ["n"]);
}

#[test]
fn schemas_are_enforced_where_they_can_be_and_told_elsewhere() {
    let mut request = asked(vec![says(Role::System, "Hi."), says(Role::User, "Go.")]);
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}});
    request.format = Some(Format::Schema {
        name: Some("x".to_owned()),
        description: None,
        schema: schema.clone(),
        strict: Some(true),
    });
    let (body, written) = write_for(&request, "claude-sonnet-4-5");
    assert_eq!(
        body["output_config"]["format"],
        json!({"type": "json_schema", "schema": {"type": "object", "properties": {
            "n": {"type": "integer", "description": "{\"minimum\":1}"}}, "additionalProperties": false}})
    );
    assert_eq!((&body["system"], written.dropped.len()), (&json!("Hi."), 0));
    let (body, written) = write_for(&request, "claude-3-5-haiku-20241022");
    assert_eq!((&body["output_config"], written.dropped), (&Value::Null, vec!["response_format".to_owned()]));
    assert!(body["system"][1]["text"].as_str().unwrap().contains(&schema.to_string()));
    request.format = Some(Format::Json);
    let (body, written) = write_for(&request, "claude-sonnet-5");
    assert_eq!(written.dropped, ["response_format"]);
    assert!(body["system"][1]["text"].as_str().unwrap().contains("JSON object"));
}

#[test]
fn tools_and_the_choice_among_them() {
    let mut request = asked(vec![says(Role::User, "Go.")]);
    let strict = Function {
        name: "s".to_owned(),
        parameters: Some(json!({"type": "object", "properties": {"a": {"type": "string", "maxLength": 2}}})),
        strict: Some(true),
        cache: Some(CacheMark::Hour),
        ..Function::default()
    };
    request.tools = vec![function("a"), Tool::Function(strict)];
    request.parallel_tool_calls = Some(false);
    let (body, _) = write_for(&request, "claude-sonnet-4-5");
    assert_eq!(body["tools"][0], json!({"name": "a", "input_schema": {"type": "object", "properties": {}}}));
    assert_eq!(body["tools"][1]["strict"], true);
    assert_eq!(body["tools"][1]["input_schema"]["additionalProperties"], false);
    assert_eq!(body["tools"][1]["cache_control"], json!({"type": "ephemeral", "ttl": "1h"}));
    assert_eq!(body["tool_choice"], json!({"type": "auto", "disable_parallel_tool_use": true}));
    request.tool_choice = Some(ToolChoice::Allowed { names: vec!["a".to_owned()], required: true });
    let (body, _) = write_for(&request, "claude-sonnet-4-5");
    assert_eq!(body["tools"].as_array().unwrap().len(), 1);
    assert_eq!(body["tool_choice"]["type"], "any");
    request.tools.push(Tool::Native(OPENAI, json!({"type": "web_search"})));
    assert_eq!(write(&request).1.refused, ["tools[2]"]);
    request.tools.pop();
    // Models that cannot be forced are told.
    request.tool_choice = Some(ToolChoice::Function("s".to_owned()));
    let (body, written) = write_for(&request, "claude-opus-5");
    assert_eq!((&body["tool_choice"]["name"], written.dropped.len()), (&json!("s"), 0));
    let (body, written) = write_for(&request, "claude-opus-5-5");
    assert_eq!(
        (&body["tool_choice"]["type"], written.dropped),
        (&json!("auto"), vec!["tool_choice".to_owned()])
    );
    assert_eq!(body["tools"].as_array().unwrap().len(), 1);
    assert!(body["system"].as_str().unwrap().contains("'s'"));
}

#[test]
fn what_the_provider_cannot_see_is_refused_and_what_can_be_shown_is() {
    let media = |kind, source, mime: Option<&str>| {
        let part: Part = Body::Media(Media::new(kind, source, mime.map(str::to_owned))).into();
        let (body, written) = write(&asked(vec![Turn::new(Role::User, vec![Part::text("See."), part])]));
        (body["messages"][0]["content"][1]["source"].clone(), written.refused)
    };
    let base64 = |data: &str| Source::Base64(data.to_owned());
    let none = Vec::<String>::new;
    let png = json!({"type": "base64", "media_type": "image/png", "data": "iVBORw0"});
    assert_eq!(media(MediaKind::Image, base64("iVBORw0"), None), (png, none()));
    let jpeg = json!({"type": "base64", "media_type": "image/jpeg", "data": "AA"});
    assert_eq!(media(MediaKind::Image, base64("AA"), Some("image/jpg")), (jpeg, none()));
    let text = json!({"type": "text", "media_type": "text/plain", "data": "a,b"});
    assert_eq!(media(MediaKind::Document, base64("YSxi"), Some("text/csv")), (text, none()));
    let refused = |what: &str| (Value::Null, vec![format!("messages[0].content[1] ({what})")]);
    assert_eq!(media(MediaKind::Audio, base64("AA"), Some("audio/wav")), refused("audio"));
    let refused = refused("an image of a kind or from a place that Anthropic does not take");
    assert_eq!(media(MediaKind::Image, base64("AA"), Some("image/tiff")), refused);
    assert_eq!(media(MediaKind::Image, Source::File(OPENAI, "file-1".to_owned()), None), refused);
    let file = Part::from(Body::Media(Media::new(
        MediaKind::Document,
        Source::File(OWN, "file_1".to_owned()),
        None,
    )));
    let request = asked(vec![Turn::new(Role::User, vec![file])]);
    assert_eq!(
        write(&request).0["messages"][0]["content"][0]["source"],
        json!({"type": "file", "file_id": "file_1"})
    );
    assert_eq!(headers(&request).len(), 2);
    assert_eq!(headers(&asked(vec![])), [("anthropic-version", VERSION.to_owned())]);
}

#[test]
fn a_users_name_and_the_tier_are_told_where_anthropic_takes_them() {
    let ask = |user: &str, tier: &str| {
        let mut request = asked(vec![says(Role::User, "Go.")]);
        (request.user, request.service_tier) = (Some(user.to_owned()), Some(tier.to_owned()));
        request.extras.insert("store".to_owned(), json!(true));
        let (body, written) = write(&request);
        (body["metadata"]["user_id"].clone(), body["service_tier"].clone(), written.dropped.join(" "))
    };
    assert_eq!(ask("u1", "default"), (json!("u1"), json!("standard_only"), "store".to_owned()));
    assert_eq!(ask("a@b.c", "flex"), (Value::Null, Value::Null, "user service_tier store".to_owned()));
}

#[test]
fn a_request_for_the_token_counter_has_nothing_that_it_refuses() {
    let mut request = asked(vec![says(Role::System, "Hi."), says(Role::User, "Go.")]);
    request.stream = true;
    request.sampling.temperature = Some(json!(0.5));
    request.sampling.stop = vec!["x".to_owned()];
    (request.user, request.service_tier) = (Some("u".to_owned()), Some("auto".to_owned()));
    request.tools = vec![function("f")];
    let written = request::write_count(&request, &order("claude-sonnet-4-5"));
    let body: Map<String, Value> = serde_json::from_slice(&written.body).unwrap();
    let members: Vec<&str> = body.keys().map(String::as_str).collect();
    assert_eq!(members, ["model", "system", "messages", "tools"]);
}

#[test]
fn clients_requests_become_turns() {
    let request = read(&json!({
        "model": "claude", "max_tokens": 10,
        "messages": [
            {"role": "user", "content": [
                {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]},
                 "title": "T", "context": "C", "citations": {"enabled": true}, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
                {"type": "image", "source": {"type": "url", "url": "data:image/png;base64,AA"}}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": {"type": "code"}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t", "is_error": true, "content": "no"}, {"type": "text", "text": "Go on."}]},
            {"role": "user", "content": "Please."},
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "defer_loading": true}, {"type": "bash_20250124", "name": "bash"}],
        "thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"},
        "output_config": {"effort": "low", "task_budget": {"total": 1}},
        "metadata": {"user_id": "u", "team": "x"},
        "speed": "fast",
    }));
    let roles: Vec<Role> = request.turns.iter().map(|turn| turn.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::Tool, Role::User]);
    let document = Media {
        name: Some("T".to_owned()),
        context: Some("C".to_owned()),
        citations: true,
        ..Media::new(MediaKind::Document, Source::Text("A\n\nB".to_owned()), Some("text/plain".to_owned()))
    };
    let expected = Part { cache: Some(CacheMark::Hour), ..Body::Media(document).into() };
    assert_eq!(request.turns[0].parts[0], expected);
    let Body::Media(image) = &request.turns[0].parts[1].body else { panic!() };
    assert_eq!(image.source, Source::Base64("AA".to_owned()));
    let Body::ToolResult(result) = &request.turns[2].parts[0].body else { panic!() };
    assert_eq!((result.is_error, &result.parts), (true, &vec![Part::text("no")]));
    assert_eq!(request.turns[3].parts.len(), 2);
    let thinking = Thinking {
        enabled: Some(true),
        effort: Some("low".to_owned()),
        budget_tokens: Some(2000),
        shown: Some(false),
        ..Thinking::default()
    };
    assert_eq!(request.thinking, Some(thinking));
    assert_eq!((request.user.as_deref(), &request.metadata["team"]), (Some("u"), &json!("x")));
    assert_eq!(request.tools[1], Tool::Native(OWN, json!({"type": "bash_20250124", "name": "bash"})));
    let extras: Vec<&str> = request.extras.keys().map(String::as_str).collect();
    assert_eq!(extras, ["speed", "output_config", "messages[1].content[0].caller", "tools[0].defer_loading"]);
}

#[test]
fn what_is_wrong_with_a_request_is_named() {
    let message = |content: Value| json!({"model": "m", "messages": [{"role": "user", "content": content}]});
    for (body, place) in [
        (json!({"messages": []}), "model"),
        (json!({"model": "m"}), "messages"),
        (json!({"model": "m", "messages": [{"role": "tool", "content": "x"}]}), "messages[0].role"),
        (json!({"model": "m", "messages": [{"role": "user"}]}), "messages[0].content"),
        (message(json!([{"text": "x"}])), "messages[0].content[0].type"),
        (message(json!([{"type": "text", "text": 1}])), "messages[0].content[0].text"),
        (
            message(json!([{"type": "tool_use", "id": "a", "name": "b", "input": {}}])),
            "messages[0].content[0].type",
        ),
        (
            message(json!([{"type": "image", "source": {"type": "ftp"}}])),
            "messages[0].content[0].source.type",
        ),
        (
            message(json!([{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "thinking"}]}])),
            "messages[0].content[0].content[0].type",
        ),
        (
            message(
                json!([{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1d"}}]),
            ),
            "messages[0].content[0].cache_control.ttl",
        ),
        (json!({"model": "m", "messages": [], "max_tokens": -1}), "max_tokens"),
        (json!({"model": "m", "messages": [], "tools": [{"type": 1}]}), "tools[0].type"),
        (json!({"model": "m", "messages": [], "tool_choice": {"type": "tool"}}), "tool_choice.name"),
        (json!({"model": "m", "messages": [], "thinking": {"type": "enabled"}}), "thinking.budget_tokens"),
        (
            json!({"model": "m", "messages": [], "output_config": {"format": {"type": "x"}}}),
            "output_config.format.type",
        ),
    ] {
        let refusal = request::read(body.to_string().as_bytes(), None).unwrap_err();
        assert_eq!((refusal.status, refusal.param.as_deref()), (400, Some(place)), "{body}");
    }
    let refusal = request::require_cap(&read(&message(json!("x")))).unwrap_err();
    assert_eq!(refusal.param.as_deref(), Some("max_tokens"));
    assert_eq!(request::read(b"[", None).unwrap_err().code, "invalid_json");
    let deep = "[".repeat(100_000);
    assert_eq!(request::read(deep.as_bytes(), None).unwrap_err().code, "invalid_json");
}

#[test]
fn a_proof_that_another_provider_put_on_a_call_comes_back_with_it() {
    let proof = Signature { maker: Dialect::Gemini, text: "g==".to_owned() };
    let part = Part { signature: Some(proof), ..call("c", "f", "{}") };
    let choice = Choice { parts: vec![part.clone(), Part::text("x")], ..Choice::default() };
    let answer = Answer { choices: vec![choice], ..Answer::default() };
    let shown: Value = serde_json::from_slice(&response::write(&answer, &show())).unwrap();
    assert_eq!(shown["content"][1]["type"], "thinking");
    let body = json!({"model": "m", "messages": [{"role": "assistant", "content": shown["content"]}]});
    assert_eq!(read(&body).turns[0].parts, [part.clone(), Part::text("x")]);
    let mut writer = stream::Writer::new(show());
    let mut out = vec![];
    for delta in steps(&answer.choices[0].parts, &[], false) {
        writer.push(&delta, &mut out);
    }
    writer.push(&Delta::End, &mut out);
    let body = json!({"model": "m", "messages": [{"role": "assistant", "content": told(&out).0}]});
    assert_eq!(read(&body).turns[0].parts, [part, Part::text("x")]);
}

#[test]
fn answers_of_others_have_all_that_strict_clients_ask_for() {
    let citation = Citation {
        url: Some("https://a.b".to_owned()),
        title: None,
        quoted: None,
        start: Some(0),
        end: Some(1),
        native: Some((OPENAI, json!({}))),
    };
    let text = Part::from(Body::Text(Text { text: "Hi".to_owned(), citations: vec![citation] }));
    let thoughts = Part::from(Body::Reasoning(Reasoning { text: "Hm.".to_owned(), ..Reasoning::default() }));
    let choice = Choice {
        parts: vec![thoughts, text, call("", "f", ""), call("a", "f", "{}"), call("a", "f", "{}")],
        finish: Some(Finish::Stop),
        logprobs: None,
    };
    let usage =
        Usage { input: 3, cache_read: 2, cache_write_5m: 1, output: 4, reasoning: 5, ..Usage::default() };
    let answer = Answer {
        choices: vec![choice],
        reported: Some(Reported { usage, json: String::new(), cost_nanousd: None }),
        service_tier: Some("flex".to_owned()),
        ..Answer::default()
    };
    let shown: Value = serde_json::from_slice(&response::write(&answer, &show())).unwrap();
    let tool = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    assert_eq!(
        shown,
        json!({
            "id": "msg_req1", "type": "message", "role": "assistant", "model": "claude",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": ""},
                {"type": "text", "text": "Hi", "citations": [{"type": "web_search_result_location",
                 "url": "https://a.b", "title": null, "cited_text": "", "encrypted_index": ""}]},
                tool("toolu_req1_0"), tool("a"), tool("toolu_req1_2"),
            ],
            "stop_reason": "tool_use", "stop_sequence": null, "stop_details": null,
            "usage": {
                "input_tokens": 3, "cache_creation_input_tokens": 1, "cache_read_input_tokens": 2,
                "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 0},
                "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 5},
                "server_tool_use": null, "service_tier": null, "inference_geo": null,
            },
        })
    );
    let empty: Value = serde_json::from_slice(&response::write(&Answer::default(), &show())).unwrap();
    assert_eq!((&empty["content"], &empty["stop_reason"]), (&json!([]), &json!("end_turn")));
}

#[test]
fn finish_reasons_have_words_that_clients_know() {
    let word = |finish: Finish| {
        let choice = Choice { finish: Some(finish), ..Choice::default() };
        let answer = Answer { choices: vec![choice], ..Answer::default() };
        let shown: Value = serde_json::from_slice(&response::write(&answer, &show())).unwrap();
        (shown["stop_reason"].as_str().unwrap().to_owned(), shown["stop_sequence"].clone())
    };
    let none = |name: &str| (name.to_owned(), Value::Null);
    assert_eq!(word(Finish::StopSequence(Some("X".to_owned()))), ("stop_sequence".to_owned(), json!("X")));
    assert_eq!(word(Finish::Length), none("max_tokens"));
    assert_eq!(word(Finish::Filtered(None)), none("refusal"));
    assert_eq!(word(Finish::Other("RECITATION".to_owned())), none("end_turn"));
    assert_eq!(word(Finish::Paused), none("pause_turn"));
    let read = |word: &str| {
        let body = json!({"type": "message", "content": [], "stop_reason": word});
        response::read(body.to_string().as_bytes()).unwrap().choices[0].finish.clone()
    };
    assert_eq!(read("model_context_window_exceeded"), Some(Finish::Length));
    assert_eq!(read("news"), Some(Finish::Other("news".to_owned())));
}

#[test]
fn usage_classes_are_disjoint_and_compaction_is_paid() {
    let counts = json!({
        "input_tokens": 10, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 12, "output_tokens": 9,
        "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 7},
        "output_tokens_details": {"thinking_tokens": 4},
        "iterations": [
            {"type": "compaction", "input_tokens": 100, "output_tokens": 50},
            {"type": "message", "input_tokens": 10, "output_tokens": 9},
            {"type": "advisor_message", "input_tokens": 1000, "output_tokens": 1000, "model": "other"}],
    });
    let body = json!({"type": "message", "content": [], "usage": counts});
    let reported = response::read(body.to_string().as_bytes()).unwrap().reported.unwrap();
    let expected = Usage {
        input: 110,
        cache_read: 20,
        cache_write_5m: 5,
        cache_write_1h: 7,
        output: 55,
        reasoning: 4,
        ..Usage::default()
    };
    assert_eq!(reported.usage, expected);
    assert_eq!(serde_json::from_str::<Value>(&reported.json).unwrap(), counts);
}

fn events(lines: &[Value]) -> Vec<u8> {
    lines.iter().map(event).collect::<String>().into_bytes()
}

#[test]
fn errors_unknown_events_and_broken_ones_are_kept_apart() {
    let start =
        json!({"type": "message_start", "message": {"id": "m", "model": "c", "usage": {"input_tokens": 3}}});
    let overloaded = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let stream =
        events(&[start, json!({"type": "message_news", "x": 1}), json!({"type": "ping"}), overloaded]);
    let failure =
        Failure { status: 529, kind: Some("overloaded_error".to_owned()), message: "Overloaded".to_owned() };
    let usage = Reported {
        usage: Usage { input: 3, ..Usage::default() },
        json: "{\"input_tokens\":3}".to_owned(),
        cost_nanousd: None,
    };
    let begun = Delta::Begin { id: Some("m".to_owned()), model: Some("c".to_owned()) };
    assert_eq!(deltas(&stream, 5), [begun, Delta::Usage(usage), Delta::Ping, Delta::Error(failure)]);
    for broken in [
        "data: {\"type\":\n\n",
        "data: []\n\n",
        "data: {}\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":4,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n",
        "data: {\"type\":\"content_block_start\",\"index\":0}\n\n",
        "data: {\"type\":\"message_start\"}\n\n",
    ] {
        assert_eq!(deltas(broken.as_bytes(), 100), [Delta::Corrupt], "{broken}");
    }
}

#[test]
fn a_stream_that_breaks_off_has_no_end() {
    let whole = events(&[
        json!({"type": "message_start", "message": {"id": "m", "model": "c", "usage": {}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}),
    ]);
    let read = deltas(&whole, 9);
    assert!(!read.contains(&Delta::End) && read.contains(&Delta::Finish(0, Finish::Stop)));
    let shown = String::from_utf8(stream_of(&read)).unwrap();
    assert!(shown.contains("text_delta") && !shown.contains("message_stop"), "{shown}");
    let mut writer = stream::Writer::new(show());
    let mut out = vec![];
    writer.fail(&Refusal::unavailable("x"), &mut out);
    writer.push(&Delta::End, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("event: error\ndata: {") && text.ends_with("}\n\n"));
    let [Delta::Error(failure)] = &deltas(text.as_bytes(), 8)[..] else { panic!("{text}") };
    assert_eq!((failure.status, failure.kind.as_deref()), (529, Some("overloaded_error")));
}

#[test]
fn a_compaction_that_comes_in_pieces_is_whole() {
    let stream = events(&[
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "compaction", "content": null}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "compaction_delta", "content": "So "}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "compaction_delta", "content": "far."}}),
        json!({"type": "content_block_stop", "index": 0}),
    ]);
    let at = At::default();
    let block = json!({"type": "compaction", "content": "So far."});
    assert_eq!(deltas(&stream, 11), [Delta::Open(at, Opened::Native(OWN, block)), Delta::Close(at)]);
}

#[test]
fn refusals_have_anthropics_types_and_keep_our_code() {
    for (status, kind) in [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (408, "timeout_error"),
        (409, "invalid_request_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ] {
        let refusal = Refusal::new(status, "x", "our_code", "No.").param("model").with("limit", 3);
        let body: Value = serde_json::from_str(&failure::write(&refusal)).unwrap();
        assert_eq!(
            body,
            json!({"type": "error", "request_id": null, "error": {
                "limit": 3, "type": kind, "message": "No.", "code": "our_code", "param": "model"}})
        );
        let read = failure::read(status, body.to_string().as_bytes());
        assert_eq!(read, Failure { status, kind: Some(kind.to_owned()), message: "No.".to_owned() });
    }
    assert_eq!(failure::read(502, b"<html>").message, "<html>");
}

// Properties of made-up traffic.

/// The steps of a stream that tells these parts; calls in a row come by turns, as `picks` has it.
fn steps(parts: &[Part], picks: &[usize], closes: bool) -> Vec<Delta> {
    let mut deltas = vec![];
    let mut picks = picks.iter().copied().cycle();
    let mut at = 0;
    while at < parts.len() {
        let run = parts[at..].iter().take_while(|part| matches!(part.body, Body::ToolCall(_))).count().max(1);
        let mut queues: Vec<Vec<Delta>> = (at..at + run)
            .map(|index| one_part(&parts[index], u32::try_from(index).unwrap(), closes))
            .collect();
        // Each begins before any goes on, so that parts have their numbers.
        for queue in &mut queues {
            deltas.push(queue.remove(0));
        }
        while queues.iter().any(|queue| !queue.is_empty()) {
            let full: Vec<usize> = (0..queues.len()).filter(|index| !queues[*index].is_empty()).collect();
            let index = full[picks.next().unwrap_or(0) % full.len()];
            deltas.push(queues[index].remove(0));
        }
        at += run;
    }
    deltas
}

fn one_part(part: &Part, number: u32, closes: bool) -> Vec<Delta> {
    let at = At { choice: 0, part: number };
    let pieces = |text: &str| -> Vec<Delta> {
        let letters: Vec<char> = text.chars().collect();
        letters.chunks(3).map(|piece| Delta::Append(at, piece.iter().collect())).collect()
    };
    let (opened, said) = match &part.body {
        Body::Text(text) => (Opened::Text, pieces(&text.text)),
        Body::Refusal(text) => (Opened::Refusal, pieces(text)),
        Body::Reasoning(Reasoning { text, id, summary, redacted }) => {
            (Opened::Reasoning { id: id.clone(), summary: *summary, redacted: *redacted }, pieces(text))
        }
        Body::ToolCall(ToolCall { id, name, arguments }) => {
            (Opened::ToolCall { id: id.clone(), name: name.clone() }, pieces(arguments))
        }
        Body::Native(dialect, value) => (Opened::Native(*dialect, value.clone()), vec![]),
        Body::Media(_) | Body::ToolResult(_) => panic!("not of an answer"),
    };
    let mut deltas = vec![Delta::Open(at, opened)];
    deltas.extend(said);
    if let Body::Text(text) = &part.body {
        deltas.extend(text.citations.iter().map(|citation| Delta::Cite(at, citation.clone())));
    }
    deltas.extend(part.signature.iter().map(|proof| Delta::Sign(at, proof.clone())));
    if closes {
        deltas.push(Delta::Close(at));
    }
    deltas
}

fn words() -> impl Strategy<Value = String> {
    "[a-zé\"\\\\]([ a-z\n]{0,12}[a-z])?"
}

fn mark() -> impl Strategy<Value = Option<CacheMark>> {
    prop::sample::select(vec![None, None, Some(CacheMark::FiveMinutes), Some(CacheMark::Hour)])
}

fn marked(part: impl Strategy<Value = Part>) -> impl Strategy<Value = Part> {
    (part, mark()).prop_map(|(part, cache)| Part { cache, ..part })
}

fn media() -> impl Strategy<Value = Media> {
    let png = Some("image/png".to_owned());
    let image = prop_oneof![
        "[a-zA-Z0-9]{1,8}".prop_map(move |data| Media::new(
            MediaKind::Image,
            Source::Base64(data),
            png.clone()
        )),
        "https://[a-z]{1,5}".prop_map(|url| Media::new(MediaKind::Image, Source::Url(url), None)),
        "file_[a-z]{1,5}".prop_map(|id| Media::new(MediaKind::Image, Source::File(OWN, id), None)),
    ];
    let source = prop_oneof![
        words().prop_map(|text| (Source::Text(text), Some("text/plain".to_owned()))),
        "[a-zA-Z0-9]{1,8}".prop_map(|data| (Source::Base64(data), Some("application/pdf".to_owned()))),
        "https://[a-z]{1,5}".prop_map(|url| (Source::Url(url), None)),
        "file_[a-z]{1,5}".prop_map(|id| (Source::File(OWN, id), None)),
    ];
    let document = (source, prop::option::of(words()), prop::option::of(words()), any::<bool>()).prop_map(
        |((source, mime), name, context, citations)| Media {
            name,
            context,
            citations,
            ..Media::new(MediaKind::Document, source, mime)
        },
    );
    prop_oneof![image, document]
}

fn shown_part() -> impl Strategy<Value = Part> {
    marked(prop_oneof![
        3 => words().prop_map(Part::text),
        1 => media().prop_map(|media| Body::Media(media).into()),
    ])
}

fn arguments() -> impl Strategy<Value = String> {
    prop::collection::btree_map("[a-z]{1,3}", words(), 0..3).prop_map(|members| json!(members).to_string())
}

fn said_part() -> impl Strategy<Value = Part> {
    let citation = words().prop_map(|quoted| {
        let native = json!({"type": "page_location", "cited_text": quoted, "document_title": "T", "document_index": 0});
        Citation {
            url: None,
            title: Some("T".to_owned()),
            quoted: Some(quoted),
            start: None,
            end: None,
            native: Some((OWN, native)),
        }
    });
    let proof = "[a-zA-Z0-9+/]{4,9}".prop_map(|text| Signature { maker: OWN, text });
    prop_oneof![
        4 => (words(), prop::collection::vec(citation, 0..2))
            .prop_map(|(text, citations)| Body::Text(Text { text, citations }).into()),
        2 => (words(), proof.clone()).prop_map(|(text, proof)| {
            let body = Body::Reasoning(Reasoning { text, ..Reasoning::default() });
            Part { signature: Some(proof), ..body.into() }
        }),
        1 => proof.prop_map(|proof| {
            let body = Body::Reasoning(Reasoning { redacted: true, ..Reasoning::default() });
            Part { signature: Some(proof), ..body.into() }
        }),
        4 => ("[a-z]{1,5}", arguments()).prop_map(|(name, arguments)| call("", &name, &arguments)),
        1 => words().prop_map(|text| {
            Body::Native(OWN, json!({"type": "server_tool_use", "id": "s", "name": "web", "input": {"q": text}})).into()
        }),
    ]
}

/// What a model says, its calls each with a name of their own.
fn said() -> impl Strategy<Value = Vec<Part>> {
    prop::collection::vec(said_part(), 1..6).prop_map(|mut parts| {
        for (index, part) in parts.iter_mut().enumerate() {
            if let Body::ToolCall(call) = &mut part.body {
                call.id = format!("toolu_x{index}");
            }
        }
        parts
    })
}

fn calls_of(turn: &mut [Part], number: usize) -> Vec<String> {
    let mut ids = vec![];
    for part in turn {
        if let Body::ToolCall(call) = &mut part.body {
            call.id = format!("{}_{number}", call.id);
            ids.push(call.id.clone());
        }
    }
    ids
}

prop_compose! {
    fn conversation()(
        system in prop::collection::vec(marked(words().prop_map(Part::text)), 0..3),
        exchanges in prop::collection::vec(
            (prop::collection::vec(shown_part(), 1..3), said(), prop::collection::vec(shown_part(), 0..3),
             any::<bool>(), prop::option::of(words())), 1..4),
        open in any::<bool>(),
    ) -> Vec<Turn> {
        let mut turns = vec![];
        if !system.is_empty() {
            turns.push(Turn::new(Role::System, system));
        }
        let last = exchanges.len() - 1;
        for (number, (user, mut model, shown, is_error, aside)) in exchanges.into_iter().enumerate() {
            turns.push(Turn::new(Role::User, user));
            turns.extend(aside.map(|aside| says(Role::System, &aside)));
            let ids = calls_of(&mut model, number);
            if number < last || !open {
                turns.push(Turn::new(Role::Assistant, model));
            }
            if number < last && !ids.is_empty() {
                let results = ids.into_iter().map(|id| {
                    Body::ToolResult(ToolResult { id, name: None, parts: shown.clone(), is_error }).into()
                });
                turns.push(Turn::new(Role::Tool, results.collect()));
            }
        }
        turns
    }
}

fn any_thinking() -> impl Strategy<Value = Option<Thinking>> {
    let level = prop::option::of(prop::sample::select(vec!["low".to_owned(), "max".to_owned()]));
    let of = |enabled, budget_tokens, adaptive| Thinking {
        enabled,
        budget_tokens,
        adaptive,
        ..Thinking::default()
    };
    let kinds = vec![
        of(None, None, false),
        of(Some(false), None, false),
        of(Some(true), Some(2_000), false),
        of(Some(true), None, true),
    ];
    (prop::sample::select(kinds), level, any::<Option<bool>>()).prop_map(|(kind, effort, shown)| {
        let on = kind.enabled == Some(true);
        let thinking = Thinking { effort, shown: shown.filter(|_| on), ..kind };
        Some(thinking).filter(|thinking| *thinking != Thinking::default())
    })
}

fn tools() -> impl Strategy<Value = Vec<Tool>> {
    let tool = prop_oneof![
        4 => ("[a-z]{1,5}", prop::option::of(words()), any::<Option<bool>>(), mark()).prop_map(
            |(name, description, strict, cache)| Tool::Function(Function {
                name,
                description,
                parameters: Some(json!({"type": "object", "properties": {"b": {}, "a": {"type": "string"}}})),
                strict,
                cache,
            })),
        1 => Just(Tool::Native(OWN, json!({"type": "web_search_20250305", "name": "web_search", "max_uses": 2}))),
    ];
    prop::collection::vec(tool, 0..3)
}

fn choice() -> impl Strategy<Value = Option<ToolChoice>> {
    prop::sample::select(vec![
        None,
        Some(ToolChoice::Auto),
        Some(ToolChoice::None),
        Some(ToolChoice::Required),
        Some(ToolChoice::Function("f".to_owned())),
    ])
}

prop_compose! {
    fn own_request()(
        turns in conversation(),
        tools in tools(),
        choice in choice(),
        parallel in any::<Option<bool>>(),
        thinking in any_thinking(),
        numbers in any::<[bool; 4]>(),
        stop in prop::collection::vec(words(), 0..2),
        texts in prop::collection::vec(prop::option::of("[a-z]{1,6}"), 2),
        stream in any::<bool>(),
    ) -> Request {
        let mut request = Request::new(OWN, "claude-opus-4-20250514".to_owned());
        let thinks = thinking.as_ref().is_some_and(|thinking| thinking.enabled == Some(true));
        if numbers[0] && !thinks {
            request.sampling.temperature = Some(json!(0.25));
            request.sampling.top_k = Some(json!(3));
        }
        if numbers[1] {
            request.sampling.top_p = Some(json!(0.97));
        }
        if numbers[2] {
            let schema = json!({"type": "object", "properties": {}});
            request.format = Some(Format::Schema { name: None, description: None, schema, strict: None });
        }
        if numbers[3] {
            request.extras.insert("container".to_owned(), json!("c"));
            request.extras.insert("output_config".to_owned(), json!({"task_budget": {"total": 3}}));
            if let Some(Tool::Function(_)) = tools.first() {
                request.extras.insert("tools[0].defer_loading".to_owned(), json!(true));
            }
        }
        request.tool_choice = choice.filter(|_| !tools.is_empty());
        let speaks = request.tool_choice.as_ref().is_some_and(|choice| *choice != ToolChoice::None);
        request.parallel_tool_calls = parallel.filter(|_| speaks);
        request.output_cap = Some(4_000);
        request.sampling.stop = stop;
        request.user.clone_from(&texts[0]);
        request.service_tier.clone_from(&texts[1]);
        Request { turns, tools, thinking, stream, ..request }
    }
}

/// Turns as no well-behaved client would send them.
fn wild_turns() -> impl Strategy<Value = Vec<Turn>> {
    let text = prop_oneof![words(), Just(String::new()), Just(" \n".to_owned())];
    let id = prop::sample::select(vec!["", "a", "a:b", "a_b", "call|1"]);
    let part = prop_oneof![
        text.clone().prop_map(Part::text),
        text.clone().prop_map(|text| Body::Refusal(text).into()),
        said_part(),
        shown_part(),
        (id.clone(), "[a-z]{1,2}", text.clone()).prop_map(|(id, name, text)| call(id, &name, &text)),
        text.clone().prop_map(|text| signed(&text, Dialect::Gemini, "g")),
        Just(Body::Native(OPENAI, json!({"type": "x"})).into()),
        (id, text).prop_map(|(id, text)| result(id, None, &text).parts.remove(0)),
    ];
    let roles = vec![Role::System, Role::Developer, Role::User, Role::Assistant, Role::Tool];
    let turn =
        (prop::sample::select(roles), prop::collection::vec(part, 0..4)).prop_map(|(role, mut parts)| {
            parts.retain(|part| match part.body {
                Body::ToolResult(_) => role == Role::Tool,
                Body::ToolCall(_) | Body::Reasoning(_) => role == Role::Assistant,
                _ => role != Role::Tool,
            });
            Turn::new(role, parts)
        });
    prop::collection::vec(turn, 0..8)
}

fn shuffled(value: &Value, seed: usize, replacement: &Value) -> Value {
    let mut count = 0;
    fn walk(value: &Value, at: &mut usize, target: usize, replacement: &Value) -> Value {
        *at += 1;
        if *at == target {
            return replacement.clone();
        }
        match value {
            Value::Array(items) => items.iter().map(|item| walk(item, at, target, replacement)).collect(),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| (name.clone(), walk(value, at, target, replacement)))
                .collect::<Map<_, _>>()
                .into(),
            _ => value.clone(),
        }
    }
    walk(value, &mut count, usize::MAX, replacement);
    let target = seed % count + 1;
    walk(value, &mut 0, target, replacement)
}

fn odd_value() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(1.5),
        json!(""),
        json!("text"),
        json!([]),
        json!([1]),
        json!({}),
        json!({"type": "text"}),
    ])
}

proptest! {
    #[test]
    fn a_request_read_written_and_read_is_the_same(request in own_request()) {
        let (body, written) = write(&request);
        prop_assert_eq!((&written.dropped, &written.refused), (&vec![], &vec![]));
        let again = request::read(&written.body, None);
        prop_assert_eq!(again.as_ref(), Ok(&request), "{}", body);
    }

    #[test]
    fn whatever_is_asked_the_provider_gets_what_it_takes(
        turns in wild_turns(),
        tools in tools(),
        choice in choice(),
        level in prop::option::of(prop::sample::select(vec!["none", "minimal", "high", "max", "odd"])),
        cap in 1u64..50_000,
        model in prop::sample::select(vec!["claude-sonnet-4-5", "claude-opus-5-5", "claude-3-haiku-20240307", "kimi"]),
    ) {
        let mut request = asked(turns);
        request.tools = tools;
        request.tool_choice = choice;
        request.thinking = level.and_then(effort);
        request.output_cap = Some(cap);
        let (body, _) = write_for(&request, model);
        let read = request::read(body.to_string().as_bytes(), None);
        prop_assert!(read.is_ok(), "{:?} {}", read, body);
        let messages = body["messages"].as_array().unwrap();
        prop_assert!(messages.first().is_none_or(|first| first["role"] == "user"));
        let mut used = std::collections::BTreeSet::new();
        for (index, message) in messages.iter().enumerate() {
            let expected = if index % 2 == 0 { "user" } else { "assistant" };
            prop_assert_eq!(&message["role"], expected);
            let blocks = plain_blocks(&message["content"]);
            let blocks = blocks.as_array().unwrap();
            prop_assert!(!blocks.is_empty());
            let results = blocks.iter().filter(|block| block["type"] == "tool_result").count();
            prop_assert!(blocks.iter().take(results).all(|block| block["type"] == "tool_result"));
            for block in blocks {
                if block["type"] == "text" {
                    prop_assert!(!block["text"].as_str().unwrap().trim().is_empty());
                }
                if block["type"] == "tool_use" {
                    let id = block["id"].as_str().unwrap();
                    prop_assert!(!id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)));
                    prop_assert!(used.insert(id.to_owned()), "{} twice", id);
                    prop_assert!(block["input"].is_object());
                }
            }
        }
        if let Some(budget) = body["thinking"]["budget_tokens"].as_u64() {
            prop_assert!((1_024..cap).contains(&budget));
        }
        prop_assert_eq!(&body["max_tokens"], cap);
    }

    #[test]
    fn an_answer_written_and_read_is_the_same(parts in said(), counts in any::<[u32; 6]>(), end in 0usize..5) {
        let [input, cache_read, cache_write_5m, cache_write_1h, output, reasoning] = counts.map(u64::from);
        let usage = Usage { input, cache_read, cache_write_5m, cache_write_1h, output, reasoning, ..Usage::default() };
        let finish = [
            Finish::ToolCalls,
            Finish::StopSequence(Some("x".to_owned())),
            Finish::Length,
            Finish::Refused,
            Finish::Paused,
        ][end].clone();
        let answer = Answer {
            id: Some("msg_1".to_owned()),
            model: Some("claude".to_owned()),
            choices: vec![Choice { parts, finish: Some(finish), logprobs: None }],
            reported: Some(Reported { usage, json: String::new(), cost_nanousd: None }),
            service_tier: Some("priority".to_owned()),
        };
        let mut again = response::read(&response::write(&answer, &show())).unwrap();
        again.reported.as_mut().unwrap().json = String::new();
        prop_assert_eq!(again, answer);
    }

    #[test]
    fn a_stream_written_and_read_assembles_to_the_same(
        parts in said(),
        picks in prop::collection::vec(0usize..4, 1..20),
        closes in any::<bool>(),
        early in any::<bool>(),
        input in 0u64..1000,
        cut in 1usize..60,
    ) {
        let usage = Usage { input, output: 7, reasoning: 2, ..Usage::default() };
        let counted = Delta::Usage(Reported { usage, json: String::new(), cost_nanousd: None });
        let mut told = vec![Delta::Begin { id: Some("m".to_owned()), model: Some("c".to_owned()) }];
        if early {
            told.push(counted.clone());
        }
        told.extend(steps(&parts, &picks, closes));
        told.push(Delta::Finish(0, Finish::ToolCalls));
        if !early {
            told.push(counted);
        }
        told.push(Delta::End);
        let bytes = stream_of(&told);
        let read = deltas(&bytes, cut);
        prop_assert_eq!(&read, &deltas(&bytes, bytes.len()), "any cut gives the same");
        let Assembly { answer, ended, error } = assemble(&read);
        prop_assert!(ended && error.is_none());
        prop_assert_eq!(&answer.choices, &assemble(&told).answer.choices);
        prop_assert_eq!(answer.reported.unwrap().usage, usage);
        // Blocks begin in order, and each ends once.
        let text = String::from_utf8(bytes).unwrap();
        let indices = |name: &str| -> Vec<u64> {
            let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
            let events = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
            events.filter(|event| event["type"] == name).map(|event| event["index"].as_u64().unwrap()).collect()
        };
        let begun = indices("content_block_start");
        prop_assert_eq!(&begun, &(0..begun.len() as u64).collect::<Vec<_>>());
        let mut ended = indices("content_block_stop");
        ended.sort_unstable();
        prop_assert_eq!(ended, begun);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = request::read(&bytes, None);
        let _ = response::read(&bytes);
        let _ = response::read_count(&bytes);
        let _ = failure::read(500, &bytes);
        let _ = deltas(&bytes, 7);
        let _ = deltas(&[b"data: ", &bytes[..], b"\n\n"].concat(), 7);
    }

    #[test]
    fn no_json_panics_and_what_is_wrong_is_a_400(request in own_request(), seed in any::<usize>(), odd in odd_value()) {
        let (body, _) = write(&request);
        match request::read(shuffled(&body, seed, &odd).to_string().as_bytes(), None) {
            Ok(read) => {
                let _ = write(&read);
            }
            Err(refusal) => prop_assert_eq!(refusal.status, 400),
        }
    }

    #[test]
    fn no_answer_and_no_stream_panics(parts in said(), seed in any::<usize>(), odd in odd_value()) {
        let choice = Choice { parts: parts.clone(), ..Choice::default() };
        let body: Value =
            serde_json::from_slice(&response::write(&Answer { choices: vec![choice], ..Answer::default() }, &show()))
                .unwrap();
        if let Ok(answer) = response::read(shuffled(&body, seed, &odd).to_string().as_bytes()) {
            let _ = response::write(&answer, &show());
        }
        let mut told = steps(&parts, &[0], true);
        told.push(Delta::End);
        let bytes = stream_of(&told);
        let mut broken = String::new();
        for (index, line) in String::from_utf8(bytes).unwrap().lines().enumerate() {
            match line.strip_prefix("data: ") {
                Some(data) if index % 3 == seed % 3 => {
                    let data = shuffled(&serde_json::from_str(data).unwrap(), seed, &odd);
                    broken += &format!("data: {data}\n");
                }
                _ => broken += &format!("{line}\n"),
            }
        }
        let read = deltas(broken.as_bytes(), 9);
        let _ = stream_of(&read);
        let _ = assemble(&read);
    }
}
