//! Every recorded exchange: its request, its answer, its stream.

use super::*;
use crate::{
    dialect::Corrupt,
    model::{answer::Finish, part::Body},
};
use serde::Deserialize;
use std::{collections::BTreeMap, fs, path::Path};

#[derive(Deserialize)]
struct File {
    provider: String,
    endpoint: String,
    request: Option<Sent>,
    response: Came,
}

#[derive(Deserialize)]
struct Sent {
    body: Value,
}

#[derive(Deserialize)]
struct Came {
    status: u16,
    body: Option<Value>,
    body_text: Option<String>,
    events: Option<Vec<Value>>,
    framing: Option<String>,
}

struct Exchange {
    name: String,
    request: Option<Value>,
    status: u16,
    body: Option<Value>,
    streams: Vec<String>,
}

const PROVIDERS: [&str; 6] = ["openai", "azure", "deepseek", "openrouter", "xai", "open-responses"];

fn read_all(root: &Path, into: &mut BTreeMap<String, Exchange>) -> usize {
    let mut count = 0;
    for provider in PROVIDERS {
        let Ok(folder) = fs::read_dir(root.join(provider)) else { continue };
        for path in folder.map(|entry| entry.unwrap().path()) {
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let file: File = serde_json::from_str(&fs::read_to_string(&path).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            if file.endpoint != "responses" {
                continue;
            }
            let Came { status, body, body_text, events, framing } = file.response;
            let mut streams: Vec<String> = body_text.into_iter().collect();
            for event in events.into_iter().flatten() {
                let kind = event["type"].as_str().unwrap();
                // Some files have a conversation's streams one behind the other.
                if kind == "response.created" {
                    streams.push(String::new());
                }
                let text = match framing.as_deref() {
                    Some("sse-named-event") => format!("event: {kind}\ndata: {event}\n\n"),
                    Some("sse-data" | "sse-data-done") => format!("data: {event}\n\n"),
                    other => panic!("{}: framing {other:?}", path.display()),
                };
                streams.last_mut().unwrap().push_str(&text);
            }
            let name = format!("{}/{}", file.provider, path.file_name().unwrap().to_string_lossy());
            let request = file.request.map(|request| request.body).filter(|body| !body.is_null());
            into.insert(name.clone(), Exchange { name, request, status, body, streams });
            count += 1;
        }
    }
    count
}

/// The committed set, and the larger one if it is there.
fn exchanges() -> Vec<Exchange> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = BTreeMap::new();
    let own = read_all(&root.join("tests/fixtures/openai_responses"), &mut all);
    assert!(own >= 12, "only {own} recordings: they are part of this repository");
    let more = std::env::var_os("EDGEHOLD_FIXTURES_DIR")
        .map_or_else(|| root.join("../shared/fixtures"), std::path::PathBuf::from);
    if more.is_dir() {
        read_all(&more, &mut all);
    } else {
        eprintln!("{} is not there: only the {own} committed recordings are replayed", more.display());
    }
    all.into_values().collect()
}

/// What the rules at `openai_responses.rs` and `request/write.rs` leave out or spell in one way.
fn request_meaning(mut body: Value) -> Value {
    without_nulls(&mut body);
    let members = body.as_object_mut().unwrap();
    if members.get("stream") == Some(&json!(false)) {
        members.shift_remove("stream");
    }
    if let Some(text) = members.get("input").and_then(Value::as_str) {
        let message = json!([{"role": "user", "content": text}]);
        members.insert("input".to_owned(), message);
    }
    for name in ["tools", "include"] {
        if members.get(name) == Some(&json!([])) {
            members.shift_remove(name);
        }
    }
    if let Some(include) = members.get_mut("include").and_then(Value::as_array_mut) {
        include.sort_by_key(Value::to_string);
    }
    if let Some(reasoning) = members.get_mut("reasoning").and_then(Value::as_object_mut)
        && let Some(older) = reasoning.shift_remove("generate_summary")
    {
        reasoning.insert("summary".to_owned(), older);
    }
    if members.get("text") == Some(&json!({"format": {"type": "text"}})) {
        members.shift_remove("text");
    }
    let mut items: Vec<Value> =
        members["input"].as_array().unwrap().iter().cloned().map(item_meaning).collect();
    if !members.contains_key("instructions")
        && items.first().is_some_and(|item| item["type"] == "message" && item["role"] == "system")
    {
        let first = items.remove(0);
        members.insert("instructions".to_owned(), first["content"][0]["text"].clone());
    }
    members.insert("input".to_owned(), Value::Array(items));
    body
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(without_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

fn item_meaning(mut item: Value) -> Value {
    let members = item.as_object_mut().unwrap();
    if members.contains_key("role") && !members.contains_key("type") {
        members.insert("type".to_owned(), json!("message"));
    }
    let kind = members["type"].as_str().unwrap().to_owned();
    match kind.as_str() {
        "message" => {
            members.shift_remove("id");
            members.shift_remove("status");
            let text = if members["role"] == "assistant" { "output_text" } else { "input_text" };
            if let Value::String(words) = &members["content"] {
                let content = json!([{"type": text, "text": words}]);
                members.insert("content".to_owned(), content);
            }
            part_meaning(&mut members["content"]);
        }
        "function_call" => {
            members.shift_remove("id");
            members.shift_remove("status");
        }
        "function_call_output" => {
            members.shift_remove("id");
            members.shift_remove("status");
            if let Value::String(words) = &members["output"] {
                let output = json!([{"type": "input_text", "text": words}]);
                members.insert("output".to_owned(), output);
            }
            part_meaning(&mut members["output"]);
        }
        "reasoning" => {
            members.shift_remove("status");
            for name in ["summary", "content"] {
                let list = members.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
                let texts: Vec<&str> = list.iter().map(|part| part["text"].as_str().unwrap()).collect();
                members.insert(name.to_owned(), json!(texts.join("\n\n")));
            }
        }
        _ => {}
    }
    item
}

fn part_meaning(parts: &mut Value) {
    for part in parts.as_array_mut().unwrap() {
        let members = part.as_object_mut().unwrap();
        members.shift_remove("logprobs");
        if members.get("annotations") == Some(&json!([])) {
            members.shift_remove("annotations");
        }
        if members["type"] == "input_image" {
            members.entry("detail").or_insert(json!("auto"));
        }
    }
}

#[test]
fn requests_mean_the_same_when_written_again() {
    let mut count = 0;
    let exchanges = exchanges();
    let recorded = exchanges.into_iter().filter_map(|exchange| Some((exchange.name, exchange.request?)));
    for (name, raw) in recorded.chain(clients()) {
        let request = request::read(raw.to_string().as_bytes(), None)
            .unwrap_or_else(|refusal| panic!("{name}: {}", refusal.message));
        let (written, dropped, refused) = written(&request);
        assert!(dropped.is_empty() && refused.is_empty(), "{name}: {dropped:?} {refused:?}");
        assert_eq!(request_meaning(written.clone()), request_meaning(raw), "{name}");
        assert_eq!(super::request(&written), request, "{name}: read again");
        count += 1;
    }
    assert!(count >= 8, "only {count} requests");
}

/// What the SDKs of today send.
fn clients() -> Vec<(String, Value)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures/_clients/requests.jsonl");
    let Ok(text) = fs::read_to_string(&path) else {
        eprintln!("{} is not there: no requests of SDKs are replayed", path.display());
        return Vec::new();
    };
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_responses = lines.filter(|line| line["path"].as_str().unwrap().starts_with("/v1/responses"));
    of_responses.map(|line| (line["client"].to_string(), line["body"].clone())).collect()
}

/// What an answer's output is to a client: items without ids and states, messages that follow one another as one, thoughts
/// that say and prove nothing left out.
fn output_meaning(output: &Value) -> Vec<Value> {
    let mut items: Vec<Value> = Vec::new();
    for item in output.as_array().unwrap() {
        let mut item = item.clone();
        let kind = item["type"].as_str().unwrap().to_owned();
        if matches!(kind.as_str(), "message" | "function_call" | "reasoning") {
            without_nulls(&mut item);
            let members = item.as_object_mut().unwrap();
            for name in ["status", "phase", "namespace", "caller"] {
                members.shift_remove(name);
            }
            if kind != "reasoning" {
                members.shift_remove("id");
            }
        }
        match kind.as_str() {
            "message" => {
                for part in item["content"].as_array_mut().unwrap() {
                    let members = part.as_object_mut().unwrap();
                    members.shift_remove("logprobs");
                    members.entry("annotations").or_insert(json!([]));
                }
                if let Some(last) = items.last_mut().filter(|last| last["type"] == "message") {
                    let more = item["content"].as_array().unwrap().clone();
                    last["content"].as_array_mut().unwrap().extend(more);
                    continue;
                }
            }
            "reasoning" => {
                item = item_meaning(item);
                if item["summary"] == "" && item["content"] == "" && item.get("encrypted_content").is_none() {
                    continue;
                }
            }
            _ => {}
        }
        items.push(item);
    }
    items
}

/// The raw answer against what was read of it.
fn check(name: &str, raw: &Value, answer: &Answer) {
    let texts = |kind: &str, member: &str| -> String {
        let items = raw["output"].as_array().unwrap().iter().filter(|item| item["type"] == "message");
        let parts = items.flat_map(|item| item["content"].as_array().unwrap());
        parts.filter(|part| part["type"] == kind).map(|part| part[member].as_str().unwrap()).collect()
    };
    let [choice] = answer.choices.as_slice() else { panic!("{name}: one choice") };
    let (mut text, mut refusal, mut calls) = (String::new(), String::new(), Vec::new());
    let (mut native, mut citations) = (0, 0);
    for part in &choice.parts {
        match &part.body {
            Body::Text(part) => {
                text.push_str(&part.text);
                citations += part.citations.len();
            }
            Body::Refusal(part) => refusal.push_str(part),
            Body::ToolCall(call) => {
                let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
                calls.push((call.id.clone(), call.name.clone(), arguments));
            }
            Body::Native(..) => native += 1,
            _ => {}
        }
    }
    assert_eq!(text, texts("output_text", "text"), "{name}");
    assert_eq!(refusal, texts("refusal", "refusal"), "{name}");
    let mut expected = Vec::new();
    let (mut hosted, mut annotated) = (0, 0);
    for item in raw["output"].as_array().unwrap() {
        match item["type"].as_str().unwrap() {
            "function_call" => expected.push((
                item["call_id"].as_str().unwrap().to_owned(),
                item["name"].as_str().unwrap().to_owned(),
                serde_json::from_str::<Value>(item["arguments"].as_str().unwrap()).unwrap(),
            )),
            "message" => {
                for part in item["content"].as_array().unwrap() {
                    annotated += part["annotations"].as_array().map_or(0, Vec::len);
                }
            }
            "reasoning" => {}
            _ => hosted += 1,
        }
    }
    assert_eq!((native, citations), (hosted, annotated), "{name}: hosted tools' items, annotations");
    let called = !expected.is_empty();
    assert_eq!(calls, expected, "{name}");
    assert_eq!(answer.id.as_deref(), raw["id"].as_str(), "{name}");
    assert_eq!(answer.model.as_deref(), raw["model"].as_str(), "{name}");
    assert_eq!(answer.service_tier.as_deref(), raw["service_tier"].as_str(), "{name}");
    let finish = match raw["incomplete_details"]["reason"].as_str() {
        Some("max_output_tokens") => Finish::Length,
        Some("content_filter") => Finish::Filtered(None),
        Some(other) => panic!("{name}: {other}"),
        None if called => Finish::ToolCalls,
        None => Finish::Stop,
    };
    assert_eq!(choice.finish, Some(finish), "{name}");
    let usage = answer.reported.as_ref().unwrap().usage;
    let number = |pointer: &str| raw["usage"].pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    assert_eq!(usage.input_total(), number("/input_tokens"), "{name}");
    assert_eq!(usage.output_total(), number("/output_tokens"), "{name}");
    assert_eq!(usage.cache_read, number("/input_tokens_details/cached_tokens"), "{name}");
    assert_eq!(usage.cache_write_5m, number("/input_tokens_details/cache_write_tokens"), "{name}");
    assert_eq!(usage.reasoning, number("/output_tokens_details/reasoning_tokens"), "{name}");
}

/// An answer for a client, read again.
fn again(name: &str, raw: &Value, answer: &Answer) {
    let body = response::write(answer, &show());
    let mut back = response::read(&body).unwrap_or_else(|Corrupt(why)| panic!("{name}: {why}"));
    let value: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(output_meaning(&value["output"]), output_meaning(&raw["output"]), "{name}");
    // Ids of other kinds are replaced.
    if answer.id.as_ref().is_some_and(|id| !id.starts_with("resp_")) {
        assert_eq!(back.id.as_deref(), Some("resp_req_1"));
        back.id.clone_from(&answer.id);
    }
    assert_eq!(rounded(shown(back)), rounded(shown(answer.clone())), "{name}");
}

#[test]
fn answers_are_read_and_shown_whole() {
    let mut count = 0;
    for exchange in exchanges() {
        let Some(raw) = exchange.body.filter(|_| exchange.status == 200) else { continue };
        let name = exchange.name;
        let answer =
            response::read(raw.to_string().as_bytes()).unwrap_or_else(|Corrupt(why)| panic!("{name}: {why}"));
        check(&name, &raw, &answer);
        again(&name, &raw, &answer);
        count += 1;
    }
    assert!(count >= 6, "only {count} answers");
}

#[test]
fn errors_are_read() {
    let mut count = 0;
    for exchange in exchanges() {
        let Some(raw) = exchange.body.filter(|_| exchange.status >= 400) else { continue };
        let failure = failure::read(exchange.status, raw.to_string().as_bytes());
        assert_eq!(failure.status, exchange.status);
        let message: String = raw["error"]["message"].as_str().unwrap().chars().take(300).collect();
        assert_eq!(failure.message, message, "{}", exchange.name);
        assert!(failure.kind.is_some(), "{}", exchange.name);
        count += 1;
    }
    assert!(count >= 1, "only {count} errors");
}

/// The last event has six digits where those before have more.
fn rounded(mut answer: Answer) -> Answer {
    for choice in &mut answer.choices {
        for token in choice.logprobs.iter_mut().flat_map(|all| all["content"].as_array_mut().unwrap()) {
            let mut tokens = vec![token];
            while let Some(token) = tokens.pop() {
                let rounded = format!("{:.4}", token["logprob"].as_f64().unwrap());
                token["logprob"] = json!(rounded);
                tokens.extend(
                    token.get_mut("top_logprobs").and_then(Value::as_array_mut).into_iter().flatten(),
                );
            }
        }
    }
    answer
}

#[test]
fn streams_come_to_what_their_last_event_says() {
    let mut count = 0;
    let streams = exchanges()
        .into_iter()
        .flat_map(|exchange| exchange.streams.into_iter().map(move |stream| (exchange.name.clone(), stream)));
    for (name, stream) in streams {
        let whole = deltas(stream.as_bytes());
        assert!(!whole.contains(&Delta::Corrupt), "{name}");
        let assembly = assembled(&whole);
        assert!(assembly.ended && assembly.error.is_none(), "{name}");
        let last = stream
            .lines()
            .filter_map(|line| line.strip_prefix("data:")?.trim().strip_prefix('{'))
            .map(|rest| serde_json::from_str::<Value>(&format!("{{{rest}")).unwrap())
            .rfind(|event| event["type"] == "response.completed" || event["type"] == "response.incomplete")
            .unwrap();
        if !OTHERWISE_AT_THE_END.contains(&name.as_str()) {
            check(&name, &last["response"], &assembly.answer);
        }
        let mut told_last = response::read(last["response"].to_string().as_bytes()).unwrap();
        // Some leave log probabilities out of the last event.
        if told_last.choices[0].logprobs.is_none() {
            told_last.choices[0].logprobs = assembly.answer.choices[0].logprobs.clone();
        }
        // Encrypted anew for every telling.
        for (part, told) in told_last.choices[0].parts.iter_mut().zip(&assembly.answer.choices[0].parts) {
            if let (Some(part), Some(told)) = (&mut part.signature, &told.signature) {
                let (one, other) = (unproof(&part.text), unproof(&told.text));
                let same_id = one.0 == other.0 || OTHER_IDS_AT_THE_END.contains(&name.as_str());
                assert!(same_id && one.1.is_empty() == other.1.is_empty(), "{name}");
                part.text.clone_from(&told.text);
            }
            if let (Body::Reasoning(part), Body::Reasoning(told)) = (&mut part.body, &told.body)
                && OTHER_IDS_AT_THE_END.contains(&name.as_str())
            {
                part.id.clone_from(&told.id);
            }
            if let (Body::Native(_, part), Body::Native(_, told)) = (&mut part.body, &told.body)
                && part.get("fingerprint").is_some_and(Value::is_string)
            {
                part["fingerprint"] = told["fingerprint"].clone();
            }
        }
        if OTHERWISE_AT_THE_END.contains(&name.as_str()) {
            assert_ne!(assembly.answer, told_last, "{name}: the list is out of date");
        } else {
            assert_eq!(rounded(assembly.answer.clone()), rounded(told_last), "{name}");
        }
        // Any split of the bytes gives the same.
        for size in [1, 7, 1_000] {
            let mut reader = stream::Reader::default();
            let mut pieces = Vec::new();
            for chunk in stream.as_bytes().chunks(size) {
                pieces.extend(reader.push(chunk));
            }
            pieces.extend(reader.finish());
            assert_eq!(pieces, whole, "{name} in pieces of {size}");
        }
        // For a client, and read again.
        let bytes = told(&whole);
        let events = events(&bytes);
        assert_eq!(events.first().unwrap()["type"], "response.created", "{name}");
        let mut back = assembled(&deltas(&bytes));
        assert!(back.ended, "{name}");
        if assembly.answer.id.as_ref().is_some_and(|id| !id.starts_with("resp_")) {
            back.answer.id.clone_from(&assembly.answer.id);
        }
        let expected = rounded(shown(assembly.answer.clone()));
        assert_eq!(rounded(shown(back.answer)), expected, "{name}: written and read");
        // And the last event is the answer that is not streamed.
        let body: Value = serde_json::from_slice(&response::write(&assembly.answer, &show())).unwrap();
        assert_eq!(events.last().unwrap()["response"], body, "{name}");
        count += 1;
    }
    assert!(count >= 4, "only {count} streams");
}

/// Streams whose last event does not say what those before it said; the first telling counts.
const OTHERWISE_AT_THE_END: [&str; 1] = [
    // Edited by hand: a full stop in a delta that is a space at the end.
    "openai/vercel__responses__openai-shell-container.1.stream.json",
];

/// Streams whose last event gives items new ids.
const OTHER_IDS_AT_THE_END: [&str; 1] =
    ["openrouter/responses__test_openai_responses_raw_cot_stream_openrouter__0.json"];
