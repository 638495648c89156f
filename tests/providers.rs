//! Recorded traffic of real providers, replayed through the dialect: what they really send is understood.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test fails by panicking"
)]

use edgehold::{
    admit::bound::{self, Caps, Reader},
    dialect::openai_chat::{
        request::{Cap, ChatRequest, Edits},
        response,
        stream::{Filter, Meaning, Meter},
    },
    model::usage::Usage,
    provider::OutputCapField,
    settle::price::{Price, price_of},
    stream::sse::Framer,
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

#[derive(Deserialize)]
struct File {
    provider: String,
    endpoint: String,
    request: Option<Request>,
    response: Response,
}

#[derive(Deserialize)]
struct Request {
    body: Box<RawValue>,
}

#[derive(Deserialize)]
struct Response {
    status: u16,
    body: Option<Box<RawValue>>,
    body_text: Option<String>,
    events: Option<Vec<Box<RawValue>>>,
    framing: Option<String>,
}

struct Exchange {
    name: String,
    provider: String,
    request: Option<String>,
    status: u16,
    body: Option<String>,
    stream: Option<String>,
}

const PROVIDERS: [&str; 11] = [
    "openai",
    "azure",
    "groq",
    "deepseek",
    "mistral",
    "openrouter",
    "xai",
    "alibaba",
    "cerebras",
    "moonshotai",
    "openai-compatible",
];

/// JSON without the spaces between its tokens, members in their order: as providers send it.
fn compact(json: &str) -> String {
    let (mut out, mut inside, mut escaped) = (String::with_capacity(json.len()), false, false);
    for letter in json.chars() {
        if !inside && letter.is_ascii_whitespace() {
            continue;
        }
        out.push(letter);
        match letter {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => inside = !inside,
            _ => {}
        }
    }
    out
}

fn read(path: &Path) -> Option<Exchange> {
    let text = fs::read_to_string(path).unwrap();
    let file: File =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if file.endpoint != "chat" {
        return None;
    }
    let Response { status, body, body_text, events, framing } = file.response;
    let stream = body_text.or_else(|| {
        let events = events?;
        let done = match framing.as_deref() {
            Some("sse-data-done") => "data: [DONE]\n\n",
            Some("sse-data") => "",
            other => panic!("{}: framing {other:?}", path.display()),
        };
        Some(
            events.iter().map(|event| format!("data: {}\n\n", compact(event.get()))).collect::<String>()
                + done,
        )
    });
    Some(Exchange {
        name: format!("{}/{}", file.provider, path.file_name().unwrap().to_string_lossy()),
        provider: file.provider,
        request: file.request.map(|request| request.body.get().to_owned()).filter(|body| body != "null"),
        status,
        body: body.map(|body| body.get().to_owned()),
        stream,
    })
}

fn read_all(root: &Path, into: &mut BTreeMap<String, Exchange>) -> usize {
    let mut count = 0;
    for provider in PROVIDERS {
        let Ok(folder) = fs::read_dir(root.join(provider)) else { continue };
        for entry in folder {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json")
                && let Some(exchange) = read(&path)
            {
                into.insert(exchange.name.clone(), exchange);
                count += 1;
            }
        }
    }
    count
}

/// The committed set, and the larger one if it is there.
fn exchanges() -> Vec<Exchange> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = BTreeMap::new();
    let own = read_all(&root.join("tests/fixtures/openai_chat"), &mut all);
    assert!(own >= 50, "only {own} recordings: they are part of this repository");
    let more = std::env::var_os("EDGEHOLD_FIXTURES_DIR")
        .map_or_else(|| root.join("../shared/fixtures"), PathBuf::from);
    if read_all(&more, &mut all) == 0 {
        eprintln!(
            "\n!!! SKIPPED: no larger set of recordings (EDGEHOLD_FIXTURES_DIR); only the {own} committed ones are replayed\n"
        );
    }
    all.into_values().collect()
}

/// Collects what is wrong with each, so that one failure does not hide the others.
fn all(exchanges: &[Exchange], least: usize, mut claim: impl FnMut(&Exchange) -> Option<Result<(), String>>) {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for exchange in exchanges {
        match claim(exchange) {
            None => {}
            Some(result) => {
                seen += 1;
                wrong.extend(result.err().map(|error| format!("{}: {error}", exchange.name)));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {seen} are not as claimed:\n{}", wrong.len(), wrong.join("\n"));
    assert!(seen >= least, "only {seen} recordings are about this");
}

fn compare<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{found:?} is not {expected:?}")) }
}

macro_rules! same {
    ($left:expr, $right:expr, $what:expr) => {
        if let Err(error) = compare($left, $right) {
            return Some(Err(format!("{}: {error}", $what)));
        }
    };
}

/// The last usage object of a stream that has counts, wherever it stands.
fn stream_usage(stream: &str) -> Option<Value> {
    chunks(stream.as_bytes())
        .into_iter()
        .filter_map(|chunk| chunk.get("usage").cloned())
        .rfind(Value::is_object)
}

/// The data of a stream, without comments and `[DONE]`.
fn chunks(stream: &[u8]) -> Vec<Value> {
    let mut framer = Framer::default();
    let mut events = framer.push(stream);
    events.extend(framer.finish());
    events
        .into_iter()
        .filter_map(|event| event.data)
        .filter(|data| !data.is_empty() && data != b"[DONE]")
        .map(|data| serde_json::from_slice(&data).unwrap_or_else(|_| json!(String::from_utf8_lossy(&data))))
        .collect()
}

fn is_error(chunk: &Value) -> bool {
    chunk.get("error").is_some_and(|error| !error.is_null())
}

/// xAI counts reasoning beside `completion_tokens`, all others inside it.
fn totals(usage: &Value) -> (u64, u64) {
    let count = |name: &str| usage[name].as_u64().unwrap_or(0);
    let output = count("total_tokens").checked_sub(count("prompt_tokens"));
    (count("prompt_tokens"), output.unwrap_or(0).max(count("completion_tokens")))
}

fn read_totals(usage: &Usage) -> (u64, u64) {
    (usage.input_total(), usage.output_total())
}

#[test]
fn every_provider_is_there() {
    let providers: BTreeSet<String> = exchanges().into_iter().map(|exchange| exchange.provider).collect();
    assert!(providers.len() >= 10, "{providers:?}");
}

#[test]
fn every_request_is_read() {
    all(&exchanges(), 40, |exchange| {
        let text = exchange.request.as_ref()?;
        let value: Value = serde_json::from_str(text).unwrap();
        let request = match ChatRequest::decode(text.as_bytes()) {
            Ok(request) => request,
            Err(refusal) => return Some(Err(refusal.message)),
        };
        same!(&json!(request.model), &value["model"], "model");
        same!(request.stream, value["stream"] == json!(true), "stream");
        same!(
            request.include_usage,
            value["stream_options"]["include_usage"] == json!(true),
            "include_usage"
        );
        let cap = value["max_completion_tokens"].as_u64().max(value["max_tokens"].as_u64());
        same!(request.output_cap, cap, "cap");
        same!(
            request.unmetered.is_some(),
            [
                "web_search_options",
                "search_parameters",
                "plugins",
                "models",
                "route",
                "extra_body",
                "best_of"
            ]
            .iter()
            .any(|name| value.get(*name).is_some_and(|v| !v.is_null()))
                || value["tools"].as_array().is_some_and(|tools| {
                    tools.iter().any(|tool| {
                        let own = tool["type"] == "function" || tool["type"] == "custom";
                        let untyped = tool.get("type").is_none() && tool["function"].is_object();
                        !(own || untyped)
                    })
                }),
            "unmetered"
        );
        // What is not text costs what its bytes do not tell.
        let refers = ["\"image_url\"", "\"input_audio\"", "\"file\"", "\"document_url\""]
            .iter()
            .any(|kind| value["messages"].to_string().contains(&format!("\"type\":{kind}")));
        let size = request.input;
        if refers && size.images.count() == 0 && size.audio_ms == 0 && !size.unknown {
            return Some(Err("refers to something, and is held as text".to_owned()));
        }
        Some(Ok(()))
    });
}

/// A recorded exchange as it would have been held: the price is the table's for the provider, or for the maker a router
/// names before a slash.
fn held(exchange: &Exchange) -> Option<(ChatRequest, String, String, Option<Price>)> {
    let request = ChatRequest::decode(exchange.request.as_ref()?.as_bytes()).ok()?;
    let none = BTreeMap::new();
    let (provider, model) = (exchange.provider.clone(), request.model.clone());
    let priced = price_of(&none, &provider, &provider, &model);
    let by_maker = || {
        let (maker, name) = model.split_once('/')?;
        price_of(&none, maker, maker, name)
    };
    let price = priced.or_else(by_maker);
    let kind =
        if ["openai", "anthropic"].contains(&&*provider) { provider } else { "openai-compatible".to_owned() };
    Some((request, kind, model, price))
}

fn used(exchange: &Exchange) -> Option<(Usage, Option<String>)> {
    match (&exchange.body, &exchange.stream) {
        (Some(body), _) if exchange.status == 200 => {
            let answer = response::read(body.as_bytes())?;
            Some((answer.usage?, answer.service_tier))
        }
        (_, Some(stream)) => {
            let meter = whole(stream).0;
            Some((meter.usage?, meter.seen.service_tier))
        }
        _ => None,
    }
}

fn spread(name: &str, mut ratios: Vec<f64>) {
    ratios.sort_by(f64::total_cmp);
    let at = |share: f64| ratios[((ratios.len() - 1) as f64 * share).round() as usize];
    eprintln!(
        "{name}: bound / true of {} exchanges: least {:.1}, median {:.1}, p90 {:.1}",
        ratios.len(),
        at(0.0),
        at(0.5),
        at(0.9)
    );
}

#[test]
fn no_exchange_used_more_than_its_bound() {
    let (mut input, mut long, mut cost, mut cost_capped) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut media = Vec::new();
    let mut refused = 0;
    all(&exchanges(), 40, |exchange| {
        let (request, kind, model, price) = held(exchange)?;
        let (usage, tier) = used(exchange)?;
        // Refused before anything is held: these can bring input of the provider's own.
        if request.unmetered.is_some() || usage.input_total() == 0 {
            refused += 1;
            return None;
        }
        let reader = Reader { kind: &kind, model: &model, price: price.as_ref() };
        let bound = bound::tokens(&request, reader, Caps::default());
        if usage.input_total() > bound.input {
            return Some(Err(format!("input {} > {}", usage.input_total(), bound.input)));
        }
        if usage.output_total() > bound.output {
            return Some(Err(format!("output {} > {}", usage.output_total(), bound.output)));
        }
        let ratio = bound.input as f64 / usage.input_total() as f64;
        let size = &request.input;
        if size.unknown || size.images.count() > 0 || size.audio_ms > 0 {
            media.push(ratio);
        } else {
            input.push(ratio);
            if usage.input_total() >= 300 {
                long.push(ratio);
            }
        }
        if let Some(price) = price {
            let tier = tier.or(request.service_tier.clone());
            let (most, truth) =
                (price.upper_bound(&bound.extent(), tier.as_deref()), price.cost(&usage, tier.as_deref()));
            if truth > most {
                return Some(Err(format!("cost {truth} > {most}")));
            }
            if truth.0 > 0 {
                // With the cap that callers who watch their budget send, and with what these sent (mostly none).
                let capped = Caps { clamp: Some(usage.output_total().max(1_000)), ..Caps::default() };
                let modest =
                    price.upper_bound(&bound::tokens(&request, reader, capped).extent(), tier.as_deref());
                cost.push(most.0 as f64 / truth.0 as f64);
                cost_capped.push(modest.0 as f64 / truth.0 as f64);
            }
        }
        Some(Ok(()))
    });
    assert!(cost.len() >= 20, "only {} have a price", cost.len());
    spread("input tokens, text", input);
    spread("input tokens, text of 300 tokens and more", long);
    spread("input tokens, with images or files", media);
    spread("cost", cost);
    spread("cost with an output cap of 1000", cost_capped);
    eprintln!("{refused} are refused or report no input");
}

#[test]
fn a_request_that_needs_no_edit_goes_byte_for_byte() {
    all(&exchanges(), 40, |exchange| {
        let text = exchange.request.as_ref()?;
        for body in [text.clone(), compact(text), format!("\n {text}\r\n")] {
            let request = ChatRequest::decode(body.as_bytes()).ok()?;
            let model = request.model.clone();
            same!(request.edited(body.as_bytes(), &Edits::default()), None, "no edits");
            same!(
                request.edited(body.as_bytes(), &Edits { model: Some(&model), ..Edits::default() }),
                None,
                "same model"
            );
        }
        Some(Ok(()))
    });
}

#[test]
fn an_edit_changes_what_it_names_and_nothing_else() {
    let mut streamed = 0;
    all(&exchanges(), 40, |exchange| {
        let text = exchange.request.as_ref()?;
        let more = r#""stream":true,"stream_options":{"include_obfuscation":false},"service_tier":null"#;
        let small = compact(text);
        let mut bodies = vec![text.clone(), small.clone()];
        if !small.contains("\"service_tier\"") && !small.contains("\"stream\":true") {
            bodies.push(small.replace("\"stream\":false", more));
            streamed += usize::from(small.contains("\"stream\":false"));
        }
        for body in bodies {
            let request = ChatRequest::decode(body.as_bytes()).ok()?;
            for (cap_member, field) in [
                ("max_tokens", OutputCapField::MaxTokens),
                ("max_completion_tokens", OutputCapField::MaxCompletionTokens),
            ] {
                let edits = Edits {
                    model: Some("other \"model\""),
                    ask_usage: true,
                    cap: Some(Cap { field, tokens: request.output_cap.unwrap_or(77) }),
                    tier: Some("default"),
                };
                let edited = request.edited(body.as_bytes(), &edits).unwrap();
                let mut expected: Value = serde_json::from_str(&body).unwrap();
                expected["model"] = json!("other \"model\"");
                if expected["stream"] == json!(true) {
                    if !expected["stream_options"].is_object() {
                        expected["stream_options"] = json!({});
                    }
                    expected["stream_options"]["include_usage"] = json!(true);
                }
                // Under the provider's name for it, once.
                let members = expected.as_object_mut().unwrap();
                members.remove("max_tokens");
                members.remove("max_completion_tokens");
                expected[cap_member] = json!(request.output_cap.unwrap_or(77));
                // Writing by index never puts a null where there was none, but reading members that are absent does.
                let mut expected = without_nulls(expected, &body);
                if expected.get("service_tier").is_none_or(Value::is_null) {
                    expected["service_tier"] = json!("default");
                }
                let found: Value = match serde_json::from_slice(&edited) {
                    Ok(found) => found,
                    Err(error) => return Some(Err(format!("edited body is not JSON: {error}"))),
                };
                same!(found, expected, "edited tree");
                let again = ChatRequest::decode(&edited).map_err(|refusal| refusal.message);
                same!(
                    again.map(|again| again.model),
                    Ok::<_, String>("other \"model\"".to_owned()),
                    "edited and read again"
                );
            }
        }
        Some(Ok(()))
    });
    assert!(streamed >= 10, "only {streamed} were made streams of");
}

/// Takes out the nulls that were not in the original.
fn without_nulls(mut tree: Value, original: &str) -> Value {
    let original: Value = serde_json::from_str(original).unwrap();
    tree.as_object_mut().unwrap().retain(|name, value| !value.is_null() || original.get(name).is_some());
    tree
}

#[test]
fn a_whole_answer_is_read() {
    all(&exchanges(), 30, |exchange| {
        let body = exchange.body.as_ref().filter(|_| exchange.status == 200)?;
        let value: Value = serde_json::from_str(body).unwrap();
        let Some(answer) = response::read(body.as_bytes()) else { return Some(Err("not read".to_owned())) };
        same!(answer.error, None, "error");
        same!(answer.id.as_deref(), value["id"].as_str(), "id");
        same!(answer.service_tier.as_deref(), value["service_tier"].as_str(), "tier");
        if answer.content_bytes < value["choices"].to_string().len() / 2 {
            return Some(Err("content is not measured".to_owned()));
        }
        let reported = value["usage"].is_object();
        same!(answer.usage.is_some(), reported, "usage is there");
        same!(
            answer.usage_json.map(|text| serde_json::from_str::<Value>(&text).unwrap()),
            value.get("usage").cloned(),
            "usage as it came"
        );
        Some(Ok(()))
    });
}

/// Recordings that are read otherwise than these tests claim, each with a test of its own below.
const OPEN: [&str; 3] = [
    "openai-compatible/vercel__chat__xai-text.json",
    "openrouter/chat__test_openrouter_stream_error__0.json",
    "mistral/chat__chat_error_handling_with_mistral_mistral-small-latest_raises_appropriate_auth_error__0.json",
];

fn open_only(index: usize) -> Vec<Exchange> {
    exchanges().into_iter().filter(|exchange| exchange.name == OPEN[index]).collect()
}

fn settled() -> Vec<Exchange> {
    exchanges().into_iter().filter(|exchange| !OPEN.contains(&exchange.name.as_str())).collect()
}

#[test]
fn reasoning_counted_beside_the_output_is_charged() {
    all(&open_only(0), 1, counts_agree);
}

#[test]
fn counts_in_an_error_event_are_taken() {
    all(&open_only(1), 1, counts_agree);
}

#[test]
fn a_detail_is_an_errors_message() {
    all(&open_only(2), 1, readable);
}

#[test]
fn what_was_used_is_what_the_provider_says() {
    all(&settled(), 45, counts_agree);
}

fn counts_agree(exchange: &Exchange) -> Option<Result<(), String>> {
    let (reported, read) = match (&exchange.body, &exchange.stream) {
        (Some(body), _) if exchange.status == 200 => {
            let value: Value = serde_json::from_str(body).unwrap();
            (value["usage"].clone(), response::read(body.as_bytes())?.usage)
        }
        (_, Some(stream)) => {
            let mut meter = Meter::default();
            meter.push(stream.as_bytes());
            meter.finish();
            (stream_usage(stream)?, meter.usage)
        }
        _ => return None,
    };
    if !reported.is_object() {
        return None;
    }
    let Some(read) = read else { return Some(Err(format!("{reported} is not read"))) };
    same!(read_totals(&read), totals(&reported), format!("totals of {reported}"));
    let detail = |of: &str, name: &str| reported[of][name].as_u64().unwrap_or(0);
    let cached = detail("prompt_tokens_details", "cached_tokens")
        .max(reported["prompt_cache_hit_tokens"].as_u64().unwrap_or(0));
    same!(read.cache_read, cached, format!("cached of {reported}"));
    let reasoning = detail("completion_tokens_details", "reasoning_tokens").min(totals(&reported).1);
    same!(read.reasoning, reasoning, format!("reasoning of {reported}"));
    Some(Ok(()))
}

fn whole(stream: &str) -> (Meter, Vec<Meaning>) {
    let mut meter = Meter::default();
    let mut meanings: Vec<Meaning> =
        meter.push(stream.as_bytes()).into_iter().map(|(_, meaning)| meaning).collect();
    meanings.extend(meter.finish().map(|(_, meaning)| meaning));
    (meter, meanings)
}

#[test]
fn a_stream_begins_with_content_and_is_complete() {
    all(&exchanges(), 12, |exchange| {
        let stream = exchange.stream.as_ref().filter(|_| exchange.status == 200)?;
        let (meter, meanings) = whole(stream);
        same!(meter.corrupt_events, 0, "corrupt events");
        same!(
            meanings.iter().find(|meaning| **meaning != Meaning::Nothing),
            Some(&Meaning::Content),
            "first meaning"
        );
        let failed = chunks(stream.as_bytes()).iter().any(is_error);
        same!(meter.error.is_some(), failed, "error");
        same!(meter.complete(), !failed, "complete");
        same!(meter.done, stream.contains("data: [DONE]"), "done");
        if !meter.finished && !failed {
            return Some(Err("no finish reason was seen".to_owned()));
        }
        let first =
            chunks(stream.as_bytes()).into_iter().find_map(|chunk| chunk["id"].as_str().map(str::to_owned));
        same!(&meter.id, &first, "id");
        if meter.content_events == 0 || meter.estimated_output() == 0 {
            return Some(Err("no content was measured".to_owned()));
        }
        Some(Ok(()))
    });
}

/// What the client should see: no chunk that only counts, no `usage: null`, everything else.
fn without_usage(stream: &str) -> Vec<Value> {
    chunks(stream.as_bytes())
        .into_iter()
        .filter(|chunk| {
            let only_counts =
                chunk["choices"].as_array().is_none_or(Vec::is_empty) && chunk["usage"].is_object();
            !only_counts || is_error(chunk)
        })
        .map(|mut chunk| {
            if let Some(members) = chunk.as_object_mut()
                && members.get("usage").is_some_and(Value::is_null)
            {
                members.remove("usage");
            }
            chunk
        })
        .collect()
}

#[test]
fn a_filtered_stream_lacks_the_counts_and_nothing_else() {
    all(&exchanges(), 12, |exchange| {
        let stream = exchange.stream.as_ref().filter(|_| exchange.status == 200)?;
        let mut filter = Filter::default();
        let mut passed = filter.push(stream.as_bytes());
        passed.extend(filter.finish());
        let (found, expected) = (chunks(&passed), without_usage(stream));
        same!(found.len(), expected.len(), "number of chunks");
        for (found, expected) in found.iter().zip(&expected) {
            same!(found, expected, "chunk");
        }
        let text = String::from_utf8(passed).unwrap();
        same!(text.contains("data: [DONE]"), stream.contains("data: [DONE]"), "done");
        let comments = |text: &str| text.lines().filter(|line| line.starts_with(':')).count();
        same!(comments(&text), comments(stream), "comments");
        let (meter, meanings) = whole(&text);
        same!(meter.corrupt_events, 0, "corrupt after filtering");
        if meanings.contains(&Meaning::Usage) {
            return Some(Err("a chunk that only counts went through".to_owned()));
        }
        same!(filter.meter.usage, whole(stream).0.usage, "counts taken");
        let mut keeping = Filter { keep_usage: true, ..Filter::default() };
        let mut kept = keeping.push(stream.as_bytes());
        kept.extend(keeping.finish());
        same!(kept, stream.as_bytes().to_vec(), "kept");
        Some(Ok(()))
    });
}

#[test]
fn an_error_tells_the_operator_something() {
    all(&settled(), 6, readable);
}

fn readable(exchange: &Exchange) -> Option<Result<(), String>> {
    let body = exchange.body.as_ref().filter(|_| exchange.status >= 400)?;
    let text = response::error_text(body.as_bytes());
    let readable =
        text.len() > 5 && !text.contains(['{', '\n']) && text.contains(' ') || text == "Unauthorized";
    if !readable {
        return Some(Err(format!("{text:?} of {body}")));
    }
    same!(
        response::read(body.as_bytes()).is_none_or(|answer| answer.error.is_some()),
        true,
        "an error is no answer"
    );
    Some(Ok(()))
}

#[test]
fn no_answer_is_taken_for_an_error_and_no_error_for_an_answer() {
    let truth = [
        ("{\"error\":null,\"choices\":[]}", true),
        ("{\"error\":{\"message\":\"x\"}}", false),
        ("[]", false),
        ("", false),
    ];
    for (body, good) in truth {
        assert_eq!(
            response::read(body.as_bytes()).is_some_and(|answer| answer.error.is_none()),
            good,
            "{body}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn any_split_is_read_alike(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40)) {
        static ALL: LazyLock<Vec<Exchange>> = LazyLock::new(exchanges);
        for exchange in ALL.iter() {
            let Some(stream) = exchange.stream.as_ref().filter(|_| exchange.status == 200) else { continue };
            let mut expected = Filter::default();
            let mut bytes = expected.push(stream.as_bytes());
            bytes.extend(expected.finish());
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            at.extend([0, stream.len()]);
            at.sort_unstable();
            let mut filter = Filter::default();
            let mut passed = Vec::new();
            for pair in at.windows(2) {
                passed.extend(filter.push(&stream.as_bytes()[pair[0]..pair[1]]));
            }
            passed.extend(filter.finish());
            prop_assert_eq!(&passed, &bytes, "{}", exchange.name);
            let (meter, same) = (&filter.meter, &expected.meter);
            prop_assert_eq!(meter.usage, same.usage);
            prop_assert_eq!(&meter.usage_json, &same.usage_json);
            prop_assert_eq!(&meter.id, &same.id);
            prop_assert_eq!(&meter.error, &same.error);
            prop_assert_eq!((meter.done, meter.finished), (same.done, same.finished));
            prop_assert_eq!((meter.content_events, meter.content_bytes), (same.content_events, same.content_bytes));
        }
    }
}
