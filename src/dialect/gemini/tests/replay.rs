//! Recorded traffic of Google AI Studio and Vertex AI, replayed.

use super::super::{camel, embed, failure, request, response};
use super::{as_events, assembled, deltas, json_of, order, written};
use crate::{
    dialect::{Dialect, Show, schema},
    model::{
        answer::{Answer, Choice, Finish},
        embed::EmbedInput,
        part::{Body, Part},
    },
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, env, fs, path::Path};

/// Recordings of these folders that are not of this dialect.
const OUT_OF_SCOPE: &[(&str, &str)] = &[
    ("gemini/chat__test_compatible_api_with_tool_calls_without_id__0.json", "OpenAI's chat format"),
    ("gemini/chat__test_compatible_api_with_tool_calls_without_id__1.json", "OpenAI's chat format"),
    ("gemini/vercel__interactions__multi-turn-stateful-turn2.json", "Interactions API"),
    ("gemini/vercel__interactions__multi-turn-stateful-turn2.stream.json", "Interactions API"),
    ("gemini/vercel__interactions__multi-turn-stateless-turn1.json", "Interactions API"),
    ("gemini/vercel__interactions__multi-turn-stateless-turn1.stream.json", "Interactions API"),
    ("gemini/vercel__interactions__multi-turn-stateless-turn2.json", "Interactions API"),
    ("gemini/vercel__interactions__multi-turn-stateless-turn2.stream.json", "Interactions API"),
    ("gemini/vercel__interactions__structured-output.json", "Interactions API"),
    ("gemini/vercel__interactions__tool-call-step1.json", "Interactions API"),
    ("gemini/vercel__interactions__tool-call-step1.stream.json", "Interactions API"),
    ("gemini/vercel__interactions__tool-call-step2.json", "Interactions API"),
    ("gemini/vercel__interactions__tool-call-step2.stream.json", "Interactions API"),
];

struct Exchange {
    name: String,
    provider: String,
    model: String,
    action: String,
    request: Option<Value>,
    status: u16,
    body: Option<Value>,
    stream: Option<String>,
}

fn load(root: &Path, into: &mut BTreeMap<String, Exchange>) -> usize {
    let mut count = 0;
    for provider in ["gemini", "vertex"] {
        let Ok(folder) = fs::read_dir(root.join(provider)) else { continue };
        for entry in folder {
            let path = entry.unwrap().path();
            let name = format!("{provider}/{}", path.file_name().unwrap().to_string_lossy());
            if !name.ends_with(".json") || OUT_OF_SCOPE.iter().any(|(out, _)| *out == name) {
                continue;
            }
            let file: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let url = file["request"]["url"].as_str().unwrap_or_default();
            let (model, action) = url
                .split('?')
                .next()
                .and_then(|path| path.rsplit('/').next()?.rsplit_once(':'))
                .unwrap_or(("gemini-3-flash-preview", file["endpoint"].as_str().unwrap()));
            let response = &file["response"];
            let events = response["events"].as_array().map(|events| {
                events.iter().map(|event| format!("data: {event}\r\n\r\n")).collect::<String>()
            });
            let exchange = Exchange {
                provider: provider.to_owned(),
                model: model.to_owned(),
                action: action.to_owned(),
                request: Some(file["request"]["body"].clone()).filter(Value::is_object),
                status: u16::try_from(response["status"].as_u64().unwrap()).unwrap(),
                body: response.get("body").cloned(),
                stream: response["body_text"].as_str().map(str::to_owned).or(events),
                name: name.clone(),
            };
            into.insert(name, exchange);
            count += 1;
        }
    }
    count
}

/// The committed recordings, and the larger set where there is one.
fn exchanges() -> (Vec<Exchange>, bool) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = BTreeMap::new();
    let own = load(&root.join("tests/fixtures/gemini"), &mut all);
    assert!(own >= 17, "only {own} recordings: they are part of this repository");
    let more = env::var_os("EDGEHOLD_FIXTURES_DIR")
        .map_or_else(|| root.join("../shared/fixtures"), std::path::PathBuf::from);
    let more = load(&more, &mut all);
    if more == 0 {
        eprintln!(
            "\n!!! SKIPPED: no larger set of Gemini recordings; only the {own} committed ones are replayed\n"
        );
    } else {
        assert_eq!(all.len(), 59, "the larger set has 72 recordings, 13 of them of other dialects");
    }
    (all.into_values().collect(), more > 0)
}

/// Claims something of all of them that it is about, `few` of the committed ones and `many` of the larger set.
fn all((few, many): (usize, usize), mut claim: impl FnMut(&Exchange) -> Option<Result<(), String>>) {
    let (exchanges, larger) = exchanges();
    let mut seen = 0;
    let mut wrong = Vec::new();
    for exchange in &exchanges {
        if let Some(result) = claim(exchange) {
            seen += 1;
            wrong.extend(result.err().map(|error| format!("{}: {error}", exchange.name)));
        }
    }
    assert!(wrong.is_empty(), "{} of {seen} are not as claimed:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(seen, if larger { many } else { few }, "so many recordings are about this");
}

fn same(what: &str, is: &impl PartialEqDebug, should: &impl PartialEqDebug) -> Result<(), String> {
    let (is, should) = (format!("{is:?}"), format!("{should:?}"));
    if is == should { Ok(()) } else { Err(format!("{what}\n   is     {is}\n   should {should}")) }
}

trait PartialEqDebug: std::fmt::Debug {}
impl<T: std::fmt::Debug> PartialEqDebug for T {}

fn is_generation(exchange: &Exchange) -> bool {
    exchange.action.to_lowercase().contains("generatecontent")
}

/// A request without differences that mean nothing: spelling, contents of one role after another, members that say what
/// is so anyway. Nothing else is forgiven: what is left must be equal.
fn plain(mut request: Value) -> Value {
    spell(&mut request);
    let all = request.as_object_mut().unwrap();
    let mut contents: Vec<Value> = Vec::new();
    for mut content in all.shift_remove("contents").unwrap().as_array().unwrap().clone() {
        content.as_object_mut().unwrap().entry("role").or_insert(json!("user"));
        match contents.last_mut() {
            Some(last) if last["role"] == content["role"] => {
                let more = content["parts"].as_array().unwrap().clone();
                last["parts"].as_array_mut().unwrap().extend(more);
            }
            _ => contents.push(content),
        }
    }
    all.insert("contents".to_owned(), Value::Array(contents));
    if let Some(system) = all.get_mut("systemInstruction") {
        // The only one it can have.
        system.as_object_mut().unwrap().remove("role");
    }
    if let Some(config) = all.get_mut("generationConfig").and_then(Value::as_object_mut) {
        if config.get("responseModalities") == Some(&json!(["TEXT"])) {
            config.remove("responseModalities");
        }
        if config.is_empty() {
            all.shift_remove("generationConfig");
        }
    }
    if let Some(tools) = all.shift_remove("tools") {
        let mut functions = Vec::new();
        let mut natives = Vec::new();
        let tools = if tools.is_object() { vec![tools] } else { tools.as_array().unwrap().clone() };
        for tool in tools {
            for (name, value) in tool.as_object().unwrap() {
                if name == "functionDeclarations" {
                    functions.extend(value.as_array().unwrap().clone());
                } else {
                    natives.push(json!({ name: value }));
                }
            }
        }
        for function in &mut functions {
            let function = function.as_object_mut().unwrap();
            if let Some(parameters) = function.remove("parameters") {
                function.insert("parametersJsonSchema".to_owned(), schema::from_openapi(parameters));
            }
        }
        all.insert("tools".to_owned(), json!({ "functions": functions, "natives": natives }));
    }
    request
}

fn spell(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(spell),
        Value::Object(all) => {
            *all = std::mem::take(all)
                .into_iter()
                .map(|(name, mut value)| {
                    let name = camel(&name).into_owned();
                    // What is in these is the caller's own.
                    if !matches!(
                        name.as_str(),
                        "args" | "response" | "parameters" | "parametersJsonSchema" | "responseJsonSchema"
                    ) {
                        spell(&mut value);
                    }
                    (name, value)
                })
                .collect::<Map<_, _>>();
        }
        _ => {}
    }
}

#[test]
fn requests_written_again_mean_the_same() {
    all((14, 52), |exchange| {
        let body = exchange
            .request
            .as_ref()
            .filter(|_| is_generation(exchange) || exchange.action == "countTokens")?;
        Some((|| {
            let bytes = body.to_string();
            let path = Some((exchange.model.as_str(), exchange.action.starts_with("stream")));
            let read = request::read(bytes.as_bytes(), path).map_err(|refusal| refusal.message)?;
            same("stream", &read.stream, &exchange.action.starts_with("stream"))?;
            same("model", &read.model, &exchange.model)?;
            let order = crate::dialect::Order {
                kind: exchange.provider.as_str(),
                model: exchange.model.as_str(),
                output_cap: read.output_cap,
            };
            let again = request::write(&read, &order);
            same("dropped", &again.dropped, &Vec::<String>::new())?;
            same("refused", &again.refused, &Vec::<String>::new())?;
            let (is, should) = (plain(json_of(&again.body)), plain(body.clone()));
            if is != should {
                return Err(format!("\n   is     {is}\n   should {should}"));
            }
            let reread = request::read(&again.body, path).map_err(|refusal| refusal.message)?;
            let rewritten = request::write(&reread, &order);
            same("written twice", &json_of(&rewritten.body), &json_of(&again.body))
        })())
    });
}

/// What an answer says, straight from the JSON.
#[derive(Debug, Default, PartialEq)]
struct Said {
    text: String,
    thoughts: String,
    calls: Vec<(String, String, Value)>,
    natives: usize,
    signatures: Vec<String>,
    finish: Option<String>,
}

impl Said {
    fn of_raw(chunks: &[Value]) -> Self {
        let mut said = Self::default();
        let mut partial = false;
        for candidate in chunks.iter().filter_map(|chunk| chunk["candidates"].get(0)) {
            for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
                let call = &part["functionCall"];
                if let Some(text) = part["text"].as_str() {
                    if part["thought"] == true { &mut said.thoughts } else { &mut said.text }.push_str(text);
                } else if call["willContinue"] == true || (call.is_object() && call["name"].is_null()) {
                    if let Some(name) = call["name"].as_str() {
                        said.calls.push((String::new(), name.to_owned(), json!(null)));
                    }
                    partial = true;
                } else if call.is_object() {
                    let id = call["id"].as_str().unwrap_or_default().to_owned();
                    let args = call.get("args").cloned().unwrap_or(json!({}));
                    said.calls.push((id, call["name"].as_str().unwrap().to_owned(), args));
                } else if part.as_object().unwrap().keys().any(|name| name != "thoughtSignature") {
                    said.natives += 1;
                }
                if let Some(signature) = part["thoughtSignature"].as_str() {
                    said.signatures.push(signature.to_owned());
                }
            }
            for name in ["groundingMetadata", "urlContextMetadata", "citationMetadata"] {
                if candidate.get(name).is_some_and(|about| *about != json!({})) {
                    said.natives += 1;
                    // They are carried together.
                    break;
                }
            }
            if let Some(finish) = candidate["finishReason"].as_str() {
                said.finish = Some(finish.to_owned());
            }
        }
        if partial {
            // The only recording with arguments in pieces; what they come to, read by eye.
            let item = |action: &str, description: &str, id: &str, price: f64| json!({ "action": action, "description": description, "itemid": id, "price": price });
            let operations = [
                item("add", "Fresh red apple", "apple_001", 0.5),
                item("add", "Ripe yellow banana", "banana_001", 0.3),
            ];
            said.calls[0].2 = json!({ "operations": operations });
        }
        for chunk in chunks {
            if let Some(reason) = chunk["promptFeedback"]["blockReason"].as_str() {
                said.finish = Some(reason.to_owned());
            }
        }
        said
    }

    fn of_answer(answer: &Answer) -> Self {
        let mut said = Self::default();
        for part in answer.choices.iter().flat_map(|choice| &choice.parts) {
            match &part.body {
                Body::Text(text) => said.text.push_str(&text.text),
                Body::Reasoning(thoughts) => said.thoughts.push_str(&thoughts.text),
                Body::ToolCall(call) => {
                    let args = serde_json::from_str(&call.arguments).unwrap();
                    said.calls.push((call.id.clone(), call.name.clone(), args));
                }
                Body::Native(Dialect::Gemini, _) => said.natives += 1,
                other => panic!("{other:?}"),
            }
            said.signatures.extend(part.signature.iter().map(|signature| signature.text.clone()));
        }
        let called = !said.calls.is_empty();
        said.finish = answer.choices.first().and_then(|choice| choice.finish.as_ref()).map(|finish| {
            match finish {
                Finish::Stop if !called => "STOP",
                Finish::ToolCalls if called => "STOP",
                Finish::Length => "MAX_TOKENS",
                Finish::Filtered(None) => "SAFETY",
                Finish::Filtered(Some(word)) => word,
                other => panic!("{other:?}"),
            }
            .to_owned()
        });
        said
    }
}

/// The usage that `metadata` says, against what was read of it.
fn usage_is_right(answer: &Answer, metadata: &Value) -> Result<(), String> {
    let count = |name: &str| metadata[name].as_u64().unwrap_or(0);
    if metadata.get("totalTokenCount").is_none() {
        return same("usage", &answer.reported, &None::<()>);
    }
    let reported = answer.reported.as_ref().ok_or("no usage")?;
    let usage = &reported.usage;
    same("usage as it came", &json_of(reported.json.as_bytes()), metadata)?;
    let input = count("promptTokenCount") + count("toolUsePromptTokenCount");
    same("input", &usage.input_total(), &input)?;
    same("cache read", &usage.cache_read, &count("cachedContentTokenCount"))?;
    same("output", &usage.output_total(), &(count("candidatesTokenCount") + count("thoughtsTokenCount")))?;
    same("reasoning", &usage.reasoning, &count("thoughtsTokenCount"))?;
    same("total", &usage.total(), &count("totalTokenCount"))
}

fn show() -> Show {
    Show { id: "req_1".to_owned(), model: "as-asked".to_owned(), ..Show::default() }
}

#[test]
fn answers_are_understood_and_written_again() {
    all((8, 32), |exchange| {
        let body = exchange.body.as_ref().filter(|_| is_generation(exchange) && exchange.status == 200)?;
        Some((|| {
            let answer = response::read(body.to_string().as_bytes()).map_err(|corrupt| corrupt.0)?;
            same("said", &Said::of_answer(&answer), &Said::of_raw(std::slice::from_ref(body)))?;
            usage_is_right(&answer, &body["usageMetadata"])?;
            same("id", &answer.id.as_deref(), &body["responseId"].as_str())?;
            same("model", &answer.model.as_deref(), &body["modelVersion"].as_str())?;
            let again = response::read(&response::write(&answer, &show())).map_err(|corrupt| corrupt.0)?;
            let mut shown = answer.clone();
            shown.id = shown.id.or(Some("req_1".to_owned()));
            same("written again", &again, &shown)?;
            // The same as a stream of one piece.
            let stream = format!("data: {body}\r\n\r\n");
            let deltas = deltas(stream.as_bytes(), 4_096);
            let assembly = assembled(&deltas);
            same("ended", &assembly.ended, &true)?;
            same("streamed", &assembly.answer, &joined(answer))
        })())
    });
}

/// An answer whose neighbouring texts of one kind are one, as they are in a stream.
fn joined(mut answer: Answer) -> Answer {
    for choice in &mut answer.choices {
        let mut parts: Vec<Part> = Vec::new();
        for part in std::mem::take(&mut choice.parts) {
            match (parts.last_mut(), &part.body) {
                (Some(Part { body: Body::Text(last), signature: own @ None, .. }), Body::Text(text)) => {
                    last.text.push_str(&text.text);
                    last.citations.extend(text.citations.clone());
                    *own = part.signature;
                }
                (
                    Some(Part { body: Body::Reasoning(last), signature: own @ None, .. }),
                    Body::Reasoning(more),
                ) => {
                    last.text.push_str(&more.text);
                    *own = part.signature;
                }
                _ => parts.push(part),
            }
        }
        choice.parts = parts;
    }
    answer
}

#[test]
fn streams_are_understood_in_any_split_and_written_again() {
    all((5, 16), |exchange| {
        let stream = exchange.stream.as_ref()?;
        Some((|| {
            let steps = deltas(stream.as_bytes(), usize::MAX);
            for size in [1, 7, 64] {
                same("another split", &deltas(stream.as_bytes(), size), &steps)?;
            }
            let chunks: Vec<Value> = stream
                .lines()
                .filter_map(|line| line.strip_prefix("data:"))
                .map(|data| serde_json::from_str(data).unwrap())
                .collect();
            let assembly = assembled(&steps);
            same("error", &assembly.error.is_some(), &false)?;
            same("ended", &assembly.ended, &true)?;
            let raw = Said::of_raw(&chunks);
            same("said", &Said::of_answer(&assembly.answer), &raw)?;
            usage_is_right(&assembly.answer, &chunks.last().unwrap()["usageMetadata"])?;
            for array in [false, true] {
                let out = written(&steps, array);
                let events = if array { as_events(&out) } else { out };
                let again = assembled(&deltas(&events, 1_000));
                same("ended again", &again.ended, &true)?;
                same("written again", &again.answer, &assembly.answer)?;
            }
            // Cut off before its last event it has no end.
            let last = stream.trim_end().rfind("data:").unwrap();
            let cut = assembled(&deltas(&stream.as_bytes()[..last], 1_000));
            same("cut off", &cut.ended, &false)
        })())
    });
}

#[test]
fn errors_are_understood() {
    all((2, 5), |exchange| {
        let body = exchange.body.as_ref().filter(|_| exchange.status >= 400)?;
        Some((|| {
            let bytes = body.to_string();
            let failure = failure::read(exchange.status, bytes.as_bytes());
            let error = &body["error"];
            same("status", &u64::from(failure.status), &error["code"].as_u64().unwrap())?;
            same("kind", &failure.kind.as_deref(), &error["status"].as_str())?;
            let message = error["message"].as_str().unwrap();
            let says = failure.message.starts_with(message);
            same("message", &says, &true)?;
            let delay = failure::retry_delay_ms(bytes.as_bytes());
            if exchange.status == 429 {
                same("delay", &delay, &Some(34_400))?;
                same("told", &failure.message.ends_with("Please retry in 34.4s."), &true)
            } else {
                same("delay", &delay, &None::<i64>)
            }
        })())
    });
}

#[test]
fn counts_are_understood() {
    all((2, 4), |exchange| {
        let body = exchange.body.as_ref().filter(|_| exchange.action == "countTokens")?;
        Some((|| {
            let count = response::read_count(body.to_string().as_bytes()).map_err(|corrupt| corrupt.0)?;
            same("count", &count, &body["totalTokens"].as_u64().unwrap())?;
            let again = response::read_count(&response::write_count(count)).map_err(|corrupt| corrupt.0)?;
            same("again", &again, &count)?;
            let request = exchange.request.as_ref().unwrap().to_string();
            let path = Some((exchange.model.as_str(), false));
            let read = request::read_count(request.as_bytes(), path).map_err(|refusal| refusal.message)?;
            let order =
                order(if exchange.provider == "vertex" { "vertex" } else { "gemini" }, "m", read.output_cap);
            let written = request::write_count(&read, &order);
            let reread = request::read_count(&written.body, path).map_err(|refusal| refusal.message)?;
            same("read again", &reread, &read)
        })())
    });
}

#[test]
fn embeddings_are_understood_and_written_again() {
    all((1, 3), |exchange| {
        let form = embed::Form::of_action(&exchange.action)?;
        Some((|| {
            let body = exchange.request.as_ref().unwrap();
            let path = Some((exchange.model.as_str(), false));
            let (read, found) =
                embed::read(body.to_string().as_bytes(), path).map_err(|refusal| refusal.message)?;
            same("form", &found, &form)?;
            let first = body.get("requests").map_or(body, |all| &all[0]);
            let text = first["content"]["parts"][0]["text"].as_str().unwrap();
            same("inputs", &read.inputs, &vec![EmbedInput::Text(text.to_owned())])?;
            same("task", &read.task.as_deref(), &first["taskType"].as_str())?;
            same("dimensions", &read.dimensions, &first["outputDimensionality"].as_u64())?;
            let order = crate::dialect::Order {
                kind: exchange.provider.as_str(),
                model: exchange.model.as_str(),
                output_cap: None,
            };
            let written = embed::write(&read, &order);
            let again = json_of(&written.body);
            if again != *body {
                return Err(format!("\n   is     {again}\n   should {body}"));
            }
            if exchange.status != 200 {
                return Ok(());
            }
            let raw = exchange.body.as_ref().unwrap();
            let answer = embed::read_answer(raw.to_string().as_bytes()).map_err(|corrupt| corrupt.0)?;
            let values = raw.get("embedding").unwrap_or(&raw["embeddings"][0]);
            same("vector", &json!(answer.vectors[0]), &values["values"])?;
            let tokens = answer.reported.as_ref().map(|reported| reported.usage.input_total());
            same("tokens", &tokens, &raw["usageMetadata"]["promptTokenCount"].as_u64())?;
            let again =
                embed::read_answer(&embed::write_answer(&answer, form)).map_err(|corrupt| corrupt.0)?;
            same("written again", &again.vectors, &answer.vectors)
        })())
    });
}

#[test]
fn log_probabilities_and_sources_are_in_the_others_form() {
    let (exchanges, _) = exchanges();
    let of = |name: &str| {
        let exchange = exchanges.iter().find(|exchange| exchange.name.contains(name)).unwrap();
        response::read(exchange.body.as_ref().unwrap().to_string().as_bytes()).unwrap()
    };
    let Choice { logprobs, .. } = of("vertex_logprobs").choices.remove(0);
    let first = logprobs.unwrap()["content"][0].clone();
    assert_eq!(first["token"], "Hello");
    assert_eq!(first["bytes"], json!(b"Hello"));
    assert_eq!(first["logprob"], json!(-6.794_702_6e-6));
    assert_eq!(first["top_logprobs"][1]["token"], "\"");

    let answer = of("google_model_file_search_tool__3");
    let text = answer.choices[0].parts.iter().find_map(|part| match &part.body {
        Body::Text(text) if !text.citations.is_empty() => Some(text),
        _ => None,
    });
    let text = text.unwrap();
    let citation = &text.citations[0];
    assert_eq!(citation.quoted.as_deref().map(|words| words.starts_with("Paris is the capital")), Some(true));
    let (start, end) = (citation.start.unwrap() as usize, citation.end.unwrap() as usize);
    let passage: String = text.text.chars().skip(start).take(end - start).collect();
    assert_eq!(passage, "The capital of France is Paris.");
}
