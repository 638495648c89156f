//! Whole requests, from the client's bytes to the ledger's rows, over a world in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test fails by panicking"
)]
#![allow(clippy::mod_module_files, reason = "cargo takes tests/support.rs for a test of its own")]

mod support;

use edgehold::{
    admit::{
        bound::{self, Caps, Reader},
        wire::{Level, Limits, NodeSpec, Reply},
    },
    config::policy::Pattern,
    dialect::{Dialect, openai_chat::request::ChatRequest},
    model::{money::NanoUsd, time::Timestamp},
    ports::ClientRequest,
    service,
    settle::row::Outcome,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use support::{Answered, Ending, Fake, LedgerFault, Played, T0, once};

/// A token in costs 1,000 nano-dollars, a token out 2,000, everywhere but at `dear`.
const POLICY: &str = r#"
providers:
  one: { kind: openai, base_url: "https://one.example/v1", api_key: "secret://ONE_KEY", headers: { x-team: edge } }
  two: { kind: openai-compatible, base_url: "https://two.example/v1", api_key: none }
  free: { kind: openai-compatible, base_url: "https://free.example/v1", api_key: none, output_cap_field: as_sent }
  dear: { kind: openai-compatible, base_url: "https://dear.example/v1", api_key: none }
models:
  small: two/small
  pair: [two/small, dear/large]
  unpriced: two/mystery
defaults:
  timeouts: { headers: 1s, first_token: 2s, idle: 3s, total: 20s }
  retries: { count: 0 }
routes:
  - { name: guarded, match: { task: guard }, guardrails: [no-secrets] }
  - { name: tagged, match: { task: tag }, model: small }
  - { name: patient, match: { task: patient }, model: pair, retries: { count: 2, backoff: 100ms, backoff_max: 2s } }
  - { name: clamp, match: { task: clamp }, model: small, clamp: true }
  - { name: clamp-pair, match: { task: clamp-pair }, model: pair, clamp: true }
  - { name: alone, match: { task: alone }, model: small, retries: { count: 2, backoff: 100ms, backoff_max: 2s } }
  - { name: all, match: { model: ["small", "pair", "unpriced", "one/*", "two/*", "free/*", "mock/*", "nobody/*"] } }
prices:
  one/m: { input: 1, output: 2, context_tokens: 100000, output_tokens: 1000 }
  two/small: { input: 1, output: 2, context_tokens: 100000, output_tokens: 1000 }
  dear/large: { input: 10, output: 20, context_tokens: 100000, output_tokens: 1000 }
"#;

const IN: i64 = 1_000;
const OUT: i64 = 2_000;

/// A body with the route's task, a cap of 100 and more members.
fn body(model: &str, task: &str, more: &str) -> String {
    format!(
        r#"{{ "model": "{model}", "messages":[{{"role":"user","content":"the prompt, höchst geheim"}}],"max_tokens":100, "x_unknown": 1.0e2,"metadata":{{"task":"{task}"}}{more}}}"#
    )
}

/// What is held of this body's input at a server of the kind `openai-compatible`.
fn input(body: &str) -> i64 {
    let request = ChatRequest::decode(body.as_bytes()).unwrap();
    let reader = Reader { kind: "openai-compatible", model: "small", price: None };
    bound::tokens(&request, reader, Caps::default()).input as i64
}

fn usage(input: u64, output: u64) -> Value {
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output})
}

fn answer(text: &str, input: u64, output: u64) -> Played {
    let body = json!({"id": "chatcmpl-1", "choices": [{"index": 0, "message": {"role": "assistant", "content": text},
        "finish_reason": "stop"}], "usage": usage(input, output)});
    Played::Answer { status: 200, retry_after: "", body: body.to_string().into_bytes(), after_ms: 5 }
}

fn status(status: u16) -> Played {
    status_after(status, "")
}

fn status_after(status: u16, retry_after: &'static str) -> Played {
    let body = json!({"error": {"message": format!("upstream says {status}"), "type": "t", "code": "c"}});
    Played::Answer { status, retry_after, body: body.to_string().into_bytes(), after_ms: 5 }
}

fn event(choices: Value, usage: Option<Value>) -> Vec<u8> {
    let mut chunk = json!({"id": "chatcmpl-s", "object": "chat.completion.chunk", "choices": choices});
    if let Some(usage) = usage {
        chunk["usage"] = usage;
    }
    format!("data: {chunk}\n\n").into_bytes()
}

fn delta(text: &str) -> Vec<u8> {
    event(json!([{"index": 0, "delta": {"content": text}, "finish_reason": null}]), Some(Value::Null))
}

fn role() -> Vec<u8> {
    event(
        json!([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]),
        Some(Value::Null),
    )
}

fn finish() -> Vec<u8> {
    event(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]), Some(Value::Null))
}

fn counts(input: u64, output: u64) -> Vec<u8> {
    event(json!([]), Some(usage(input, output)))
}

fn done() -> Vec<u8> {
    b"data: [DONE]\n\n".to_vec()
}

fn error_event() -> Vec<u8> {
    b"data: {\"error\":{\"message\":\"overloaded\"}}\n\n".to_vec()
}

fn stream(pieces: Vec<Vec<u8>>, ending: Ending) -> Played {
    Played::Stream { pieces, ending }
}

fn good_stream(text: &str, input: u64, output: u64) -> Vec<Vec<u8>> {
    vec![role(), delta(text), delta(" end"), finish(), counts(input, output), done()]
}

fn concat(pieces: &[Vec<u8>]) -> String {
    String::from_utf8(pieces.concat()).unwrap()
}

fn outcomes(fake: &Fake) -> Vec<Outcome> {
    fake.rows().iter().map(|row| row.outcome).collect()
}

fn providers(fake: &Fake) -> Vec<String> {
    fake.calls.borrow().iter().map(|call| call.url.split(['/', '.']).nth(2).unwrap().to_owned()).collect()
}

fn played(script: impl IntoIterator<Item = Played>, body: &str) -> (Fake, Answered) {
    let fake = Fake::new(POLICY);
    fake.play(script);
    let answered = fake.ask(body);
    (fake, answered)
}

const STREAM: &str = r#","stream":true"#;
const STREAM_USAGE: &str = r#","stream":true,"stream_options":{"include_usage":true}"#;

// ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_plain_request_goes_and_comes_back_byte_for_byte() {
    let sent = body("small", "x", "");
    let fake = Fake::new(POLICY);
    fake.budget(1_000_000_000);
    let Played::Answer { body: upstream, .. } = answer("hello", 10, 20) else { panic!() };
    fake.play([answer("hello", 10, 20)]);
    let got = fake.ask(&sent);
    assert_eq!((got.status, &got.body), (200, &upstream));

    let calls = fake.calls.borrow();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].url, "https://two.example/v1/chat/completions");
    assert!(!calls[0].edited && !calls[0].stream);
    assert_eq!(String::from_utf8(calls[0].body.clone()).unwrap(), sent);

    let cost = NanoUsd(10 * IN + 20 * OUT);
    let bound = fake.told.borrow()[0].bound.unwrap();
    for (name, value) in [
        ("x-edgehold-provider", "two"),
        ("x-edgehold-model", "small"),
        ("x-edgehold-route", "all"),
        ("x-edgehold-attempts", "1"),
        ("x-edgehold-cache", "off"),
        ("x-edgehold-cost-usd", &cost.to_string()),
        ("x-edgehold-budget-held-usd", &bound.to_string()),
        ("x-edgehold-budget-remaining-usd", &NanoUsd(1_000_000_000).minus(bound).to_string()),
        ("content-type", "application/json"),
    ] {
        assert_eq!(got.header(name), Some(value), "{name}");
    }
    let rows = fake.rows();
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!((row.outcome, row.status, row.cost_nanousd), (Outcome::Ok, 200, cost));
    assert_eq!((row.input_tokens, row.output_tokens, row.usage_estimated), (10, 20, false));
    assert_eq!(
        (row.provider.as_str(), row.model.as_str(), row.requested_model.as_str()),
        ("two", "small", "small")
    );
    assert_eq!(Some(row.request_id.as_str()), got.header("x-edgehold-request-id"));
    assert_eq!((row.at_ms, row.attempt, row.key_id.as_str()), (T0, 1, "key_a"));
    assert_eq!(row.price_version, "override@7");
    assert_eq!(fake.money(), (cost, NanoUsd::ZERO));
}

#[test]
fn what_is_charged_reaches_the_ledger_once_even_if_the_object_forgets() {
    let (fake, _) = played([answer("hello", 10, 20)], &body("small", "x", ""));
    fake.evict_object();
    let rows = fake.settle_down();
    fake.evict_object();
    assert_eq!(rows, fake.rows());
    assert_eq!(fake.settle_down().len(), 1);
    assert_eq!(fake.money(), (NanoUsd(10 * IN + 20 * OUT), NanoUsd::ZERO));
}

#[test]
fn an_openai_provider_is_asked_for_its_default_tier_and_its_own_model_name() {
    for (more, tier) in
        [("", "default"), (r#","service_tier":null"#, "default"), (r#","service_tier":"flex""#, "flex")]
    {
        let (fake, got) = played([answer("x", 1, 1)], &body("one/m", "x", more));
        assert_eq!(got.status, 200);
        let calls = fake.calls.borrow();
        let sent: Value = serde_json::from_slice(&calls[0].body).unwrap();
        assert_eq!((&sent["service_tier"], &sent["model"]), (&json!(tier), &json!("m")), "{more}");
        assert_eq!(calls[0].secret.as_deref(), Some("ONE_KEY"));
        assert!(calls[0].headers.contains(&("x-team".to_owned(), "edge".to_owned())));
    }
}

#[test]
fn the_keys_output_cap_is_sent_where_the_caller_names_none() {
    let uncapped = body("small", "x", "").replace(r#""max_tokens":100, "#, "");
    let (fake, _) = (Fake::new(POLICY), ());
    fake.edit_key(|record| record.default_max_tokens = Some(50));
    fake.play([answer("x", 1, 1), answer("x", 1, 1)]);
    fake.ask(&uncapped);
    fake.ask(&body("small", "x", ""));
    let calls = fake.calls.borrow();
    let caps: Vec<Value> = calls
        .iter()
        .map(|call| serde_json::from_slice::<Value>(&call.body).unwrap()["max_tokens"].clone())
        .collect();
    assert_eq!(caps, [json!(50), json!(100)]);
    let held = fake.told.borrow()[0].bound.unwrap();
    assert_eq!(held, NanoUsd(input(&uncapped) * IN + 50 * OUT));
}

#[test]
fn without_admission_nothing_is_held_or_settled() {
    let fake = Fake::new(POLICY);
    fake.budget(1);
    fake.variables.borrow_mut().insert("EDGEHOLD_ADMISSION".to_owned(), "off".to_owned());
    fake.play([answer("x", 1, 1), stream(good_stream("a", 1, 1), Ending::Close)]);
    assert_eq!(fake.ask(&body("small", "x", "")).status, 200);
    let got = fake.ask(&body("small", "x", STREAM));
    assert_eq!((got.status, got.closed), (200, true));
    assert!(fake.holds.borrow().is_empty() && fake.told.borrow().is_empty());
}

#[test]
fn the_mock_is_played_and_settled_like_any_other() {
    let fake = Fake::new(POLICY);
    fake.play([answer("x", 2, 3)]);
    assert_eq!(fake.ask(&body("mock/small", "x", "")).status, 200);
    let calls = fake.calls.borrow();
    let script: Value = serde_json::from_slice(&calls[0].body).unwrap();
    assert_eq!(script["status"], 200);
    assert_eq!(outcomes(&fake), [Outcome::Ok]);
}

// ── other ways of asking ─────────────────────────────────────────────────────────────────────────────────────────────

const OTHER_WAYS: &str = r#"
providers:
  vertex-anthropic: { project: p-1 }
  vertex: { project: p-1 }
defaults: { timeouts: { headers: 1s, first_token: 2s, idle: 3s, total: 20s }, retries: { count: 0 } }
routes:
  - { name: all, match: { model: "workers-ai/*" }, fallback: vertex-anthropic/claude-opus-5@default }
"#;

fn asked_otherwise(script: impl IntoIterator<Item = Played>, more: &str) -> (Fake, Answered) {
    let fake = Fake::new(OTHER_WAYS);
    fake.play(script);
    let answered = fake.ask(&body("workers-ai/@cf/meta/llama-3.3-70b-instruct-fp8-fast", "x", more));
    (fake, answered)
}

fn whole(status: u16, body: Value) -> Played {
    Played::Answer { status, retry_after: "", body: body.to_string().into_bytes(), after_ms: 5 }
}

#[test]
fn a_binding_is_asked_with_the_models_name_in_the_body_and_answers_in_its_own_form() {
    let said = json!({"response": "hi", "tool_calls": [], "usage": usage(11, 3)});
    let (fake, got) = asked_otherwise([whole(200, said)], "");
    assert_eq!((got.status, got.json()["choices"][0]["message"]["content"].clone()), (200, json!("hi")));
    assert_eq!(fake.rows()[0].cost_nanousd, NanoUsd(11 * 293 + 3 * 2_253));
    let call = &fake.calls.borrow()[0];
    let sent: Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(
        (&sent["model"], &sent["max_tokens"]),
        (&json!("@cf/meta/llama-3.3-70b-instruct-fp8-fast"), &json!(100))
    );
    assert_eq!((&sent["x_unknown"], call.secret.as_deref()), (&json!(1.0e2), Some("AI")));
    assert_eq!(call.url, "https://workers-binding.ai/run");
}

#[test]
fn a_stream_in_the_older_form_fails_over_before_its_first_word_and_never_after_it() {
    let older = |value: Value| format!("data: {value}\n\n").into_bytes();
    let words =
        vec![older(json!({"response": "h"})), older(json!({"response": "i", "usage": usage(11, 2)})), done()];
    let (_, got) = asked_otherwise([stream(words.clone(), Ending::Close)], STREAM_USAGE);
    let text = got.text();
    assert!(text.contains(r#""content":"h""#) && text.ends_with("data: [DONE]\n\n"), "{text}");
    let error = older(json!({"errors": [{"code": 3040, "message": "no more data centers"}]}));
    let claude = json!({"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [{"type": "text", "text": "from Claude"}],
        "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}});
    let (fake, _) = asked_otherwise([stream(vec![error], Ending::Close), whole(500, claude)], STREAM);
    assert_eq!(fake.calls.borrow().len(), 2);
    let (fake, got) = asked_otherwise([stream(words[..1].to_vec(), Ending::Break)], STREAM);
    assert_eq!((fake.calls.borrow().len(), got.text().contains("[DONE]")), (1, false));
}

#[test]
fn claude_on_vertex_ai_is_named_by_the_path_alone() {
    let limited =
        json!({"internalCode": 3040, "name": "OutOfCapacity", "description": "no more data centers"});
    let claude = json!({"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [{"type": "text", "text": "from Claude"}],
        "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}});
    let (fake, got) = asked_otherwise([whole(429, limited), whole(200, claude)], "");
    assert_eq!(got.json()["choices"][0]["message"]["content"], "from Claude");
    let call = &fake.calls.borrow()[1];
    assert_eq!(
        call.url,
        "https://aiplatform.googleapis.com/v1/projects/p-1/locations/global/publishers/anthropic/models/claude-opus-5%40default:rawPredict"
    );
    let sent: Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!((sent.get("model"), &sent["anthropic_version"]), (None, &json!("vertex-2023-10-16")));
    assert!(call.headers.iter().all(|(name, _)| name != "anthropic-version"), "{:?}", call.headers);
}

#[test]
fn a_binding_that_is_not_there_is_the_operators_to_add() {
    let (_, got) = asked_otherwise([Played::SecretMissing, Played::SecretMissing], "");
    let message = got.json()["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!((got.status, got.code().as_str()), (503, "provider_not_configured"));
    assert!(
        message.contains("vertex-anthropic") && message.contains("credential"),
        "the last one's: {message}"
    );
    let fake = Fake::new(&OTHER_WAYS.replace(", fallback: vertex-anthropic/claude-opus-5@default", ""));
    fake.play([Played::SecretMissing]);
    let got = fake.ask(&body("workers-ai/@cf/zai-org/glm-4.7-flash", "x", ""));
    let message = got.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains(r#"[ai] binding = "AI""#), "{message}");
}

#[test]
fn a_ranking_that_does_not_tell_what_it_is_charged_by_costs_its_bound() {
    let policy = r#"
providers:
  mine: { kind: cohere, base_url: "https://mine.example/v2", api_key: none }
routes: [{ name: all, retries: { count: 0 } }]
prices:
  mine/by-token: { input: 1, output: 0 }
  mine/by-unit: { like: cohere/rerank-v3.5 }
"#;
    let bound = 5_000;
    for (model, meta, cost) in [
        ("by-token", json!({"billed_units": {"input_tokens": 7}}), Some(7_000)),
        ("by-token", json!({"billed_units": {"search_units": 1}}), None),
        ("by-token", json!({"billed_units": {}}), None),
        ("by-unit", json!({"billed_units": {"search_units": 1}}), Some(2_000_000)),
        ("by-unit", json!({"billed_units": {"input_tokens": 7}}), Some(2_000_000)),
    ] {
        let fake = Fake::new(policy);
        fake.play([whole(
            200,
            json!({"id": "r", "results": [{"index": 0, "relevance_score": 0.5}], "meta": meta}),
        )]);
        let asked = json!({"model": format!("mine/{model}"), "query": "q", "documents": ["a"]}).to_string();
        let request = ClientRequest { path: "/v2/rerank".to_owned(), ..fake.request(&asked) };
        assert_eq!(fake.serve(&request).status, 200);
        let charged = fake.rows()[0].cost_nanousd.0;
        assert!(cost.map_or(charged >= bound, |cost| charged == cost), "{model} {meta}: {charged}");
    }
}

#[test]
fn a_whole_answer_to_who_wants_a_stream_is_billed_all_the_same() {
    let choices = json!([{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]);
    let sent = body("small", "x", STREAM);
    for (answer, cost) in [
        (json!({"id": "c", "choices": choices, "usage": usage(7, 3)}), 7 * IN + 3 * OUT),
        // Its bound: nobody tells.
        (json!({"id": "c", "choices": choices}), input(&sent) * IN + 100 * OUT),
        (json!({"error": {"message": "overloaded"}}), 0),
    ] {
        let (fake, got) = played([whole(200, answer)], &sent);
        assert_eq!((got.status, outcomes(&fake)), (502, vec![Outcome::UpstreamError]));
        assert_eq!(fake.rows()[0].cost_nanousd, NanoUsd(cost));
    }
}

// ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn who_asks_for_usage_gets_the_providers_stream_untouched() {
    let pieces = good_stream("hello", 10, 20);
    let sent = body("small", "x", STREAM_USAGE);
    let (fake, got) = played([stream(pieces.clone(), Ending::Close)], &sent);
    assert_eq!((got.status, got.text(), got.closed), (200, concat(&pieces), true));
    assert_eq!(got.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(got.header("cache-control"), Some("no-cache, no-transform"));
    assert_eq!(got.header("x-edgehold-provider"), Some("two"));
    assert!(!fake.calls.borrow()[0].edited);
    let rows = fake.rows();
    assert_eq!(
        (rows[0].outcome, rows[0].cost_nanousd, rows[0].streamed),
        (Outcome::Ok, NanoUsd(10 * IN + 20 * OUT), true)
    );
    assert_eq!(rows[0].upstream_id.as_deref(), Some("chatcmpl-s"));
}

#[test]
fn who_does_not_ask_for_usage_sees_none_and_pays_the_same() {
    let pieces = good_stream("hello", 10, 20);
    let (fake, got) = played([stream(pieces, Ending::Close)], &body("small", "x", STREAM));
    let sent: Value = serde_json::from_slice(&fake.calls.borrow()[0].body).unwrap();
    assert_eq!(sent["stream_options"], json!({"include_usage": true}));
    let text = got.text();
    assert!(
        !text.contains("usage") && text.contains("hello") && text.ends_with("data: [DONE]\n\n"),
        "{text}"
    );
    assert_eq!(text.matches("data: ").count(), 5);
    assert!(got.closed);
    assert_eq!(fake.rows()[0].cost_nanousd, NanoUsd(10 * IN + 20 * OUT));
}

#[test]
fn a_stream_that_breaks_after_content_is_not_tried_elsewhere_and_ends_with_an_error() {
    for (ending, outcome, code) in [
        (Ending::Close, Outcome::Truncated, "stream_truncated"),
        (Ending::Break, Outcome::Truncated, "stream_truncated"),
        (Ending::Stall, Outcome::Timeout, "stream_timeout"),
    ] {
        for more in [STREAM, STREAM_USAGE] {
            let (fake, got) = played(
                [stream(vec![role(), delta("so far")], ending), answer("other", 1, 1)],
                &body("pair", "patient", more),
            );
            assert_eq!(providers(&fake), ["two"]);
            let text = got.text();
            assert!(text.contains("so far") && text.contains(code) && !text.contains("[DONE]"), "{text}");
            assert!(got.closed);
            let last = text.trim_end().rsplit("\n\n").next().unwrap().strip_prefix("data: ").unwrap();
            assert_eq!(serde_json::from_str::<Value>(last).unwrap()["error"]["code"], code);
            let rows = fake.rows();
            assert_eq!((rows.len(), rows[0].outcome, rows[0].usage_estimated), (1, outcome, true));
            assert!(rows[0].cost_nanousd > NanoUsd::ZERO, "what was read and said is not free");
        }
    }
}

#[test]
fn a_stream_that_is_complete_has_not_failed_because_its_connection_stays_open() {
    for ending in [Ending::Stall, Ending::Break, Ending::Close] {
        for more in [STREAM, STREAM_USAGE] {
            let (fake, got) = played([stream(good_stream("all", 10, 20), ending)], &body("small", "x", more));
            assert!(got.closed && got.text().ends_with("data: [DONE]\n\n"), "{ending:?} {}", got.text());
            assert_eq!(outcomes(&fake), [Outcome::Ok], "{ending:?}");
        }
    }
}

#[test]
fn a_filtered_stream_never_ends_in_half_an_event() {
    for ending in [Ending::Close, Ending::Break, Ending::Stall] {
        let mut cut = delta("never arrives");
        cut.truncate(40);
        let (_, got) = played([stream(vec![delta("so far"), cut], ending)], &body("small", "x", STREAM));
        for data in got.text().lines().filter_map(|line| line.strip_prefix("data: ")) {
            assert!(serde_json::from_str::<Value>(data).is_ok(), "{ending:?} {data}");
        }
        assert!(got.text().contains("\"code\":\"stream_t"));
    }
}

#[test]
fn a_last_error_event_without_its_empty_line_reaches_the_client() {
    for more in [STREAM, STREAM_USAGE] {
        let cut = b"data: {\"error\":{\"message\":\"overloaded\"}}\n".to_vec();
        let (fake, got) =
            played([stream(vec![delta("so far"), cut], Ending::Close)], &body("small", "x", more));
        assert!(got.text().contains("overloaded"), "{}", got.text());
        assert_eq!(outcomes(&fake), [Outcome::UpstreamError]);
    }
}

/// Some providers omit the empty line behind their last event.
#[test]
fn a_last_event_without_its_empty_line_is_passed_on() {
    let mut pieces = good_stream("all", 10, 20);
    pieces.pop();
    pieces.push(b"data: [DONE]".to_vec());
    let (fake, got) = played([stream(pieces, Ending::Close)], &body("small", "x", STREAM));
    assert!(got.text().ends_with("data: [DONE]"), "{}", got.text());
    assert_eq!(outcomes(&fake), [Outcome::Ok]);
}

#[test]
fn an_error_after_content_is_passed_on_as_the_provider_put_it() {
    let pieces = vec![delta("so far"), error_event()];
    for more in [STREAM, STREAM_USAGE] {
        // Whoever was told of an error leaves, and who told it hangs up: it was the provider's error all the same.
        for ending in [Ending::Close, Ending::Break, Ending::Stall, Ending::ClientLeaves] {
            let (fake, got) = played([stream(pieces.clone(), ending)], &body("pair", "patient", more));
            assert!(got.text().ends_with(&concat(&[error_event()])), "{ending:?}: {}", got.text());
            assert_eq!(
                (outcomes(&fake), providers(&fake)),
                (vec![Outcome::UpstreamError], vec!["two".to_owned()]),
                "{ending:?}"
            );
        }
    }
}

#[test]
fn a_client_that_leaves_is_charged_for_what_was_said() {
    for more in [STREAM, STREAM_USAGE] {
        let (fake, _) = played(
            [stream(vec![delta("so far"), delta("and more")], Ending::ClientLeaves)],
            &body("small", "x", more),
        );
        let rows = fake.rows();
        assert_eq!((rows[0].outcome, rows[0].usage_estimated), (Outcome::ClientGone, true));
        assert!(rows[0].cost_nanousd > NanoUsd::ZERO);
        assert_eq!(fake.money().1, NanoUsd::ZERO);
    }
    let (fake, _) =
        played([stream(good_stream("all", 10, 20), Ending::ClientLeaves)], &body("small", "x", STREAM));
    assert_eq!(fake.rows()[0].outcome, Outcome::Ok, "it left with everything");
}

// ── failover ─────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn every_failure_before_content_leads_to_the_next_target() {
    let failures: Vec<(Played, Outcome)> = vec![
        (Played::Connect, Outcome::ConnectError),
        (Played::SecretMissing, Outcome::ConnectError),
        (Played::CredentialUnusable, Outcome::ConnectError),
        (Played::CredentialLate, Outcome::Timeout),
        (status(500), Outcome::UpstreamError),
        (status(503), Outcome::UpstreamError),
        (status(302), Outcome::UpstreamError),
        (status(429), Outcome::RateLimited),
        (status(401), Outcome::RefusedByProvider),
        (status(403), Outcome::RefusedByProvider),
        (status(404), Outcome::RefusedByProvider),
        (
            Played::Answer { status: 200, retry_after: "", body: b"<html>".to_vec(), after_ms: 1 },
            Outcome::UpstreamError,
        ),
        (
            Played::Answer {
                status: 200,
                retry_after: "",
                body: br#"{"error":{"message":"x"}}"#.to_vec(),
                after_ms: 1,
            },
            Outcome::UpstreamError,
        ),
    ];
    for (failure, outcome) in failures {
        let (fake, got) = played([failure.clone(), answer("second", 1, 1)], &body("pair", "x", ""));
        assert_eq!(
            (got.status, providers(&fake)),
            (200, vec!["two".to_owned(), "dear".to_owned()]),
            "{failure:?}"
        );
        assert!(got.text().contains("second"));
        assert_eq!(got.header("x-edgehold-attempts"), Some("2"));
        assert_eq!(got.header("x-edgehold-provider"), Some("dear"));
        assert_eq!(outcomes(&fake), [outcome, Outcome::Ok], "{failure:?}");
        assert!(fake.slept.borrow().is_empty(), "another target is asked at once");
        let rows = fake.rows();
        assert_eq!((rows[0].attempt, rows[1].attempt), (1, 2));
        assert_eq!(rows[0].request_id, rows[1].request_id);
    }
}

#[test]
fn every_failure_of_a_stream_before_content_leads_to_the_next_target() {
    let failures = [
        (stream(vec![], Ending::Close), Outcome::Truncated),
        (stream(vec![role()], Ending::Close), Outcome::Truncated),
        (stream(vec![role()], Ending::Break), Outcome::Truncated),
        (stream(vec![role()], Ending::Stall), Outcome::Timeout),
        (stream(vec![role(), error_event()], Ending::Close), Outcome::UpstreamError),
        (stream(vec![b"data: <html>\n\n".to_vec()], Ending::Close), Outcome::UpstreamError),
        (Played::Timeout, Outcome::Timeout),
        (answer("not a stream", 1, 1), Outcome::UpstreamError),
        (status(500), Outcome::UpstreamError),
        (Played::Connect, Outcome::ConnectError),
    ];
    for more in [STREAM, STREAM_USAGE] {
        for (failure, outcome) in &failures {
            let second = good_stream("second", 1, 1);
            let (fake, got) =
                played([failure.clone(), stream(second, Ending::Close)], &body("pair", "x", more));
            assert_eq!((got.status, fake.calls.borrow().len()), (200, 2), "{failure:?}");
            assert_eq!(outcomes(&fake), [*outcome, Outcome::Ok], "{failure:?}");
            let text = got.text();
            assert_eq!(text.matches("\"role\"").count(), 1, "nothing of the first provider: {text}");
            assert!(text.ends_with("data: [DONE]\n\n"));
        }
    }
}

#[test]
fn the_callers_own_mistake_is_passed_on_and_not_tried_again() {
    for code in [400, 413, 422] {
        for more in ["", STREAM] {
            let (fake, got) = played([status(code), answer("other", 1, 1)], &body("pair", "patient", more));
            assert_eq!((got.status, fake.calls.borrow().len()), (code, 1));
            assert_eq!(got.json()["error"]["message"], format!("upstream says {code}"));
            assert_eq!(
                (outcomes(&fake), fake.money()),
                (vec![Outcome::RefusedByProvider], (NanoUsd::ZERO, NanoUsd::ZERO))
            );
        }
    }
}

#[test]
fn a_rate_limited_provider_is_given_the_pause_it_asks_for_if_nobody_else_can_be_asked() {
    let (fake, got) = played([status_after(429, "1"), answer("now", 1, 1)], &body("small", "alone", ""));
    assert_eq!((got.status, fake.slept.borrow().clone()), (200, vec![1_000]));
    assert_eq!(outcomes(&fake), [Outcome::RateLimited, Outcome::Ok]);

    // Longer than the route's patience: waiting less would not help.
    let (fake, got) = played([status_after(429, "30"), answer("now", 1, 1)], &body("small", "alone", ""));
    assert_eq!(
        (got.status, got.code().as_str(), got.header("retry-after")),
        (429, "upstream_rate_limited", Some("30"))
    );
    assert_eq!((fake.calls.borrow().len(), fake.slept.borrow().len()), (1, 0));

    // Somebody else can be asked at once.
    let (fake, got) = played([status_after(429, "1"), answer("now", 1, 1)], &body("pair", "patient", ""));
    assert_eq!((got.status, providers(&fake)), (200, vec!["two".to_owned(), "dear".to_owned()]));
    assert!(fake.slept.borrow().is_empty());
}

#[test]
fn the_same_target_is_tried_again_after_a_growing_wait_and_only_so_often() {
    let (fake, got) =
        played([status(500), status(500), status(500), answer("late", 1, 1)], &body("small", "alone", ""));
    assert_eq!((got.status, got.code().as_str(), fake.calls.borrow().len()), (502, "upstream_error", 3));
    let slept = fake.slept.borrow();
    assert!(matches!(slept[..], [50..=100, 100..=200]), "{slept:?}");
    assert_eq!(outcomes(&fake), [Outcome::UpstreamError; 3]);
    assert!(!got.text().contains("upstream says"), "the provider's words are the operator's");
    assert!(fake.logs.borrow().iter().any(|line| line.contains("upstream says 500")));
}

#[test]
fn a_target_that_will_not_change_its_mind_is_not_asked_again() {
    for (failure, answered) in [
        (status(401), 502),
        (status(403), 502),
        (status(404), 404),
        (Played::SecretMissing, 503),
        (Played::CredentialUnusable, 503),
        (Played::CredentialLate, 504),
        (Played::Timeout, 504),
    ] {
        let (fake, got) = played([failure.clone(), answer("late", 1, 1)], &body("small", "alone", ""));
        assert_eq!((got.status, fake.calls.borrow().len()), (answered, 1), "{failure:?}");
    }
}

#[test]
fn what_the_last_provider_did_decides_what_the_client_is_told() {
    for (last, code, word) in [
        (status(500), 502, "upstream_error"),
        (Played::Connect, 502, "upstream_error"),
        (Played::Timeout, 504, "upstream_timeout"),
        (status(401), 502, "upstream_refused"),
        (Played::SecretMissing, 503, "provider_not_configured"),
        (Played::CredentialUnusable, 503, "provider_not_configured"),
        (Played::CredentialLate, 504, "upstream_timeout"),
        (status(429), 429, "upstream_rate_limited"),
    ] {
        let (fake, got) = played([status(404), last.clone()], &body("pair", "x", ""));
        assert_eq!((got.status, got.code().as_str()), (code, word), "{last:?}");
        assert_eq!(got.header("x-edgehold-attempts"), Some("2"));
        assert_eq!(got.header("retry-after").is_some(), code == 429, "{last:?}");
        assert_eq!(fake.rows().len(), 2);
    }
    let (_, got) = played([status(500), status(404)], &body("pair", "x", ""));
    assert_eq!((got.status, got.json()["error"]["message"].clone()), (404, json!("upstream says 404")));
}

#[test]
fn when_the_time_is_over_nobody_is_asked_any_more() {
    // Each whole answer may take all of the 20 s.
    let (fake, got) = played([Played::Timeout, answer("late", 1, 1)], &body("pair", "patient", ""));
    assert_eq!((got.status, got.code().as_str(), fake.calls.borrow().len()), (504, "upstream_timeout", 1));
    let rows = fake.rows();
    assert_eq!((rows.len(), rows[0].duration_ms, rows[0].usage_estimated), (1, 20_000, true));

    // 19.5 s are gone; the wait of a second would not fit any more.
    let slow = Played::Answer { status: 429, retry_after: "1", body: b"{}".to_vec(), after_ms: 19_500 };
    let (fake, got) = played([slow, answer("late", 1, 1)], &body("small", "alone", ""));
    assert_eq!((got.status, fake.calls.borrow().len(), fake.slept.borrow().len()), (429, 1, 0));
}

// ── money ────────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_request_that_could_cost_too_much_is_told_what_would_fit_and_that_fits() {
    let uncapped = body("small", "x", "").replace(r#""max_tokens":100, "#, "");
    for sent in [body("small", "x", ""), uncapped, body("pair", "x", ""), body("small", "x", r#","n":3"#)] {
        let fake = Fake::new(POLICY);
        let rate = if sent.contains("pair") { 10 } else { 1 };
        fake.budget(rate * (input(&sent) * IN + 51 * OUT));
        fake.play([answer("x", 1, 1)]);
        let got = fake.ask(&sent);
        assert_eq!((got.status, got.code().as_str()), (402, "insufficient_budget"), "{sent}");
        assert!(fake.calls.borrow().is_empty() && fake.told.borrow().is_empty());
        assert_eq!(fake.money(), (NanoUsd::ZERO, NanoUsd::ZERO));
        let error = got.json()["error"].clone();
        let fits = error["affordable_max_tokens"].as_u64().unwrap();
        assert_eq!(fits, if sent.contains("\"n\"") { 17 } else { 51 });
        assert_eq!(error["limit"]["level"], "key");
        assert_eq!(error["limit"]["window"], "total");
        let mut smaller: Value = serde_json::from_str(&sent).unwrap();
        smaller["max_tokens"] = json!(fits);
        assert_eq!(fake.ask(&smaller.to_string()).status, 200);
    }
    let fake = Fake::new(POLICY);
    fake.budget(5);
    let got = fake.ask(&body("small", "x", ""));
    assert_eq!(
        (got.status, got.json()["error"].get("affordable_max_tokens").cloned()),
        (402, None),
        "not even the prompt"
    );
}

/// The last call's body.
fn last_sent(fake: &Fake) -> Value {
    serde_json::from_slice(&fake.calls.borrow().last().unwrap().body).unwrap()
}

#[test]
fn where_the_route_clamps_the_cap_is_lowered_to_what_fits_and_the_answer_says_so() {
    const HEADER: &str = "x-edgehold-clamped-max-tokens";
    let uncapped = body("small", "clamp", "").replace(r#""max_tokens":100, "#, "");
    let long = body("small", "clamp", "").replace("max_tokens", "max_completion_tokens");
    for sent in [body("small", "clamp", ""), uncapped, long, body("small", "clamp", STREAM)] {
        let fake = Fake::new(POLICY);
        let budget = input(&sent) * IN + 51 * OUT + 1;
        fake.budget(budget);
        let script = if sent.contains("stream") {
            stream(good_stream("x", 10, 20), Ending::Close)
        } else {
            answer("x", 10, 20)
        };
        fake.play([script]);
        let got = fake.ask(&sent);
        assert_eq!((got.status, got.header(HEADER)), (200, Some("51")), "{sent}");
        let sent_on = last_sent(&fake);
        assert_eq!((&sent_on["max_tokens"], sent_on.get("max_completion_tokens")), (&json!(51), None));
        assert_eq!(fake.told.borrow()[0].bound, Some(NanoUsd(budget - 1)), "what is held is what is sent");
        assert_eq!(fake.money(), (NanoUsd(10 * IN + 20 * OUT), NanoUsd::ZERO));
    }
}

#[test]
fn a_clamp_is_never_to_nothing_and_never_without_need() {
    let sent = body("small", "clamp", "");
    let fake = Fake::new(POLICY);
    fake.budget(input(&sent) * IN + OUT - 1);
    let got = fake.ask(&sent);
    assert_eq!((got.status, got.code().as_str()), (402, "insufficient_budget"));
    assert!(fake.calls.borrow().is_empty() && got.header("x-edgehold-clamped-max-tokens").is_none());

    let fake = Fake::new(POLICY);
    fake.budget(input(&sent) * IN + 100 * OUT);
    fake.play([answer("x", 1, 1)]);
    let got = fake.ask(&sent);
    assert_eq!((got.status, got.header("x-edgehold-clamped-max-tokens")), (200, None));
    assert!(!fake.calls.borrow()[0].edited || last_sent(&fake)["max_tokens"] == json!(100));

    // Not for what is no matter of money, nor on other routes.
    let fake = Fake::new(POLICY);
    fake.limit(Level::Key, Limits { tpm: Some(200), ..Limits::default() });
    assert_eq!(fake.ask(&sent).code(), "rate_limit_exceeded");
}

#[test]
fn a_clamp_fits_every_level_and_every_choice_of_the_dearest_target() {
    let sent = body("pair", "clamp-pair", r#","n":2"#);
    let fake = Fake::new(POLICY);
    let afford = |tokens: i64| NanoUsd(10 * (input(&sent) * IN + tokens * OUT));
    fake.limit(Level::Key, Limits { total: Some(afford(50)), ..Limits::default() });
    fake.limit(
        Level::Customer,
        Limits { total: Some(afford(31)), day: Some(afford(21)), ..Limits::default() },
    );
    fake.play([status(500), answer("x", 10, 20)]);
    let got = fake.ask(&sent);
    assert_eq!((got.status, got.header("x-edgehold-clamped-max-tokens")), (200, Some("10")));
    assert_eq!(last_sent(&fake)["max_tokens"], json!(10));
}

#[test]
fn a_cap_goes_under_the_name_its_provider_enforces() {
    let long = body("small", "x", "").replace("max_tokens", "max_completion_tokens");
    for (model, sent, name) in [
        ("two/small", &long, "max_tokens"),
        ("two/small", &body("small", "x", ""), "max_tokens"),
        ("one/m", &long, "max_completion_tokens"),
        ("one/m", &body("small", "x", ""), "max_completion_tokens"),
        ("free/small", &long, "max_completion_tokens"),
        ("free/small", &body("small", "x", ""), "max_tokens"),
    ] {
        let fake = Fake::new(POLICY);
        fake.play([answer("x", 1, 1)]);
        assert_eq!(fake.ask(&sent.replace("\"small\"", &format!("{model:?}"))).status, 200);
        let got = last_sent(&fake);
        let other = if name == "max_tokens" { "max_completion_tokens" } else { "max_tokens" };
        assert_eq!((&got[name], got.get(other)), (&json!(100), None), "{model} {sent}");
    }
}

#[test]
fn the_operators_figure_for_a_models_longest_answer_is_sent_as_it_is_held() {
    let uncapped = body("small", "x", "").replace(r#""max_tokens":100, "#, "");
    let fake = Fake::new(POLICY);
    fake.play([answer("x", 1, 1)]);
    fake.ask(&uncapped);
    assert_eq!(last_sent(&fake)["max_tokens"], json!(1_000));
    assert_eq!(fake.told.borrow()[0].bound, Some(NanoUsd(input(&uncapped) * IN + 1_000 * OUT)));
}

#[test]
fn a_service_tier_that_the_operators_price_does_not_cover_is_refused() {
    for (model, tier, status) in [
        ("one/m", "priority", 400),
        ("one/m", "auto", 400),
        ("one/m", "default", 200),
        ("one/m", "flex", 200),
        ("two/small", "priority", 400),
        // Nothing is sent for callers who name none there, so this says no more than they do.
        ("two/small", "auto", 200),
        // The table knows this tier.
        ("one/gpt-4o-mini", "priority", 200),
        ("unpriced", "priority", 200),
    ] {
        let fake = Fake::new(POLICY);
        fake.play([answer("x", 1, 1)]);
        let got = fake.ask(&body(model, "x", &format!(r#","service_tier":"{tier}""#)));
        assert_eq!(got.status, status, "{model} {tier}");
        if status == 400 {
            assert_eq!(got.code(), "service_tier_not_priced");
            assert!(fake.calls.borrow().is_empty() && fake.holds.borrow().is_empty());
        }
    }
}

/// A picture given, a picture made, and a fee.
#[test]
fn what_is_billed_beside_words_is_held_and_charged() {
    let policy = POLICY.replace(
        "  two/small: { input: 1, output: 2,",
        "  two/small: { input: 1, output: 2, image_output: 30, per_request: 0.01, per_image: 0.002,",
    );
    let picture = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}});
    let sent = json!({"model": "small", "max_tokens": 100, "messages": [
        {"role": "user", "content": [{"type": "text", "text": "like these"}, picture, picture]}]})
    .to_string();
    let counted = json!({"prompt_tokens": 10, "completion_tokens": 95, "total_tokens": 105,
        "completion_tokens_details": {"image_tokens": 90}});
    let answered = json!({"id": "a", "usage": counted, "choices": [{"index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "here"}}]});
    let body = answered.to_string().into_bytes();
    let fake = Fake::new(&policy);
    fake.budget(10_000_000_000);
    fake.play([Played::Answer { status: 200, retry_after: "", body, after_ms: 5 }]);
    assert_eq!(fake.ask(&sent).status, 200);
    let pieces = 10_000_000 + 2 * 2_000_000;
    let row = &fake.rows()[0];
    assert_eq!(row.cost_nanousd, NanoUsd(10 * IN + 5 * OUT + 90 * 30_000 + pieces));
    assert_eq!((row.output_tokens, row.tokens()), (95, 105));
    let held = fake.told.borrow()[0].bound.unwrap();
    assert_eq!(held, NanoUsd(100_000 * IN + 100 * 30_000 + pieces), "the pictures' size is not known");

    // Who was not called takes no fee; who broke off is charged the bound.
    let fake = Fake::new(&policy);
    fake.budget(10_000_000_000);
    fake.play([status(429)]);
    fake.ask(&sent);
    assert_eq!(fake.rows()[0].cost_nanousd, NanoUsd::ZERO);
    let fake = Fake::new(&policy);
    fake.budget(10_000_000_000);
    fake.play([stream(vec![role(), delta("he")], Ending::Break)]);
    fake.ask(&sent.replacen('{', r#"{"stream":true,"#, 1));
    assert_eq!(fake.rows()[0].cost_nanousd, held);
}

/// Google's client says that it wants pictures.
#[test]
fn pictures_are_made_where_the_price_knows_them() {
    const CONFIG: &str = r#"
providers: { gemini: { base_url: "https://g.example/v1beta", api_key: none } }
routes: [{ name: all }]
prices: { gemini/mine: { input: 1, output: 2, context_tokens: 100000, output_tokens: 1000 } }
"#;
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "a cat"}]}],
        "generationConfig": {"responseModalities": ["TEXT", "IMAGE"], "maxOutputTokens": 2000}});
    let made = json!({"responseId": "r", "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model",
            "parts": [{"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]}}],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1290, "totalTokenCount": 1293,
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}]}});
    for (model, expected) in [
        ("gemini/gemini-2.5-flash-image", Ok(3 * 300 + 1_290 * 30_000)),
        ("gemini/mine", Ok(3 * 1_000 + 1_290 * 2_000)),
        ("gemini/gemini-2.5-flash", Err("says nothing of pictures in an answer")),
    ] {
        let fake = Fake::new(CONFIG);
        fake.budget(10_000_000_000);
        let answer = made.to_string().into_bytes();
        fake.play([Played::Answer { status: 200, retry_after: "", body: answer.clone(), after_ms: 5 }]);
        let path = format!("/v1beta/models/{}:generateContent", model.replace('/', "%2F"));
        let got = fake.serve(&asked_at(&fake, &path, &body));
        let chat = json!({"model": model, "modalities": ["text", "image"], "max_tokens": 2000,
            "messages": [{"role": "user", "content": "a cat"}]})
        .to_string();
        match expected {
            Ok(cost) => {
                assert_eq!((got.status, &got.body), (200, &answer), "{model}");
                assert_eq!(fake.rows()[0].cost_nanousd, NanoUsd(cost), "{model}");
                assert!(fake.told.borrow()[0].bound.unwrap() >= NanoUsd(cost));
                // A chat client gets it beside the text.
                fake.play([Played::Answer { status: 200, retry_after: "", body: answer, after_ms: 5 }]);
                let got = fake.ask(&chat);
                assert_eq!(
                    got.json()["choices"][0]["message"]["images"][0]["image_url"]["url"],
                    "data:image/png;base64,iVBORw0KGgo="
                );
                let told = fake.told.borrow();
                assert_eq!(told[1].settlement.cost, NanoUsd(cost), "{model}");
                assert!(told[1].bound.unwrap() >= NanoUsd(cost));
            }
            Err(message) => {
                assert_eq!(fake.ask(&chat).json()["error"]["param"], "modalities");
                let error = got.json()["error"]["message"].to_string();
                assert!(got.status == 400 && error.contains(message), "{model}: {error}");
                assert!(fake.calls.borrow().is_empty());
            }
        }
    }
}

#[test]
fn an_earlier_attempts_cost_is_held_beside_the_next_one() {
    // A time-out of the headers (1 s) is charged for its prompt.
    let sent = body("pair", "x", STREAM);
    let fake = Fake::new(POLICY);
    fake.budget(1_000_000_000);
    fake.play([Played::Timeout, stream(good_stream("second", 10, 20), Ending::Close)]);
    assert_eq!(fake.ask(&sent).status, 200);
    let rows = fake.rows();
    let holds = fake.holds.borrow();
    assert_eq!(holds.len(), 2);
    assert!(rows[0].cost_nanousd > NanoUsd::ZERO && rows[0].usage_estimated);
    assert!(!holds[0].0.extends && holds[1].0.extends);
    assert_eq!(holds[0].0.ticket, holds[1].0.ticket);
    assert_eq!(holds[1].0.bound, holds[0].0.bound.map(|bound| bound.plus(rows[0].cost_nanousd)));
    assert_eq!(fake.told.borrow()[0].bound, holds[1].0.bound);
    assert_eq!(fake.money(), (rows[0].cost_nanousd.plus(rows[1].cost_nanousd), NanoUsd::ZERO));
}

#[test]
fn a_time_out_before_anything_was_sent_costs_nothing() {
    let (fake, got) = played(
        [Played::CredentialLate, stream(good_stream("second", 10, 20), Ending::Close)],
        &body("pair", "x", STREAM),
    );
    assert_eq!(got.status, 200);
    assert_eq!(outcomes(&fake), [Outcome::Timeout, Outcome::Ok]);
    let row = &fake.rows()[0];
    assert_eq!((row.cost_nanousd, row.usage_estimated, row.duration_ms), (NanoUsd::ZERO, false, 1_000));
    assert_eq!(fake.holds.borrow().len(), 1, "nothing is held beside the next one");
}

#[test]
fn an_extension_that_is_refused_or_lost_ends_the_request_with_what_was_spent() {
    for fault in [None, Some(LedgerFault::Broke), Some(LedgerFault::BrokeButLanded)] {
        let fake = Fake::new(POLICY);
        let sent = body("pair", "x", "").replace(r#","metadata""#, r#","stream":true,"metadata""#);
        let bound = 10 * (input(&sent) * IN + 100 * OUT);
        fake.budget(if fault.is_none() { bound + 1 } else { 100 * bound });
        fake.ledger_fault.set(fault.map(|fault| (2, fault)));
        fake.play([Played::Timeout, stream(good_stream("second", 10, 20), Ending::Close)]);
        let got = fake.ask(&sent);
        assert_eq!((got.status, fake.calls.borrow().len()), (504, 1), "{fault:?}");
        let rows = fake.rows();
        assert_eq!((rows.len(), rows[0].outcome), (1, Outcome::Timeout));
        assert_eq!(fake.money(), (rows[0].cost_nanousd, NanoUsd::ZERO), "{fault:?}");
    }
}

#[test]
fn without_a_price_a_budget_refuses_and_nobody_else_does() {
    let fake = Fake::new(POLICY);
    fake.play([answer("x", 1, 1)]);
    assert_eq!(fake.ask(&body("unpriced", "x", "")).status, 200);
    assert_eq!((fake.rows()[0].cost_nanousd, fake.rows()[0].price_version.as_str()), (NanoUsd::ZERO, "none"));
    fake.budget(1_000_000_000);
    let got = fake.ask(&body("unpriced", "x", ""));
    assert_eq!((got.status, got.code().as_str(), fake.calls.borrow().len()), (400, "model_not_priced", 1));
}

#[test]
fn a_rate_limit_says_when_to_come_back_and_a_refused_request_goes_nowhere() {
    let fake = Fake::new(POLICY);
    fake.limit(Level::Team, Limits { rpm: Some(1), ..Limits::default() });
    fake.play([answer("x", 1, 1)]);
    let got = fake.ask(&body("small", "x", ""));
    assert_eq!(got.header("x-ratelimit-limit-requests"), Some("1"));
    assert_eq!(got.header("x-ratelimit-remaining-requests"), Some("0"));
    let got = fake.ask(&body("small", "x", ""));
    assert_eq!((got.status, got.code().as_str(), fake.calls.borrow().len()), (429, "rate_limit_exceeded", 1));
    let wait_s: u64 = got.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=65).contains(&wait_s), "{wait_s}");
    assert_eq!(got.json()["error"]["limit"]["level"], "team");
}

#[test]
fn what_would_fit_fits_at_every_level() {
    let fake = Fake::new(POLICY);
    let sent = body("small", "x", "");
    let afford = |tokens: i64| NanoUsd(input(&sent) * IN + tokens * OUT);
    fake.limit(Level::Key, Limits { total: Some(afford(50)), ..Limits::default() });
    let customer = Limits { total: Some(afford(30)), day: Some(afford(20)), ..Limits::default() };
    fake.limit(Level::Customer, customer);
    fake.play([answer("x", 1, 1)]);
    let fits = fake.ask(&sent).json()["error"]["affordable_max_tokens"].as_u64().unwrap();
    assert_eq!(fake.ask(&sent.replace("100,", &format!("{fits},"))).status, 200);
}

#[test]
fn an_estimate_is_never_more_than_what_was_held() {
    let words = "a text that is longer than one token, since nobody counts here";
    let uncounted =
        json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": words}}]}).to_string();
    let cap = |text: &str| text.replace(r#""max_tokens":100"#, r#""max_tokens":1"#);
    let long = body("small", "x", "").replace("the prompt", &"prompt ".repeat(200_000));
    for (script, sent) in [
        (
            Played::Answer { status: 200, retry_after: "", body: uncounted.into_bytes(), after_ms: 1 },
            cap(&body("small", "x", "")),
        ),
        (stream(vec![delta(words), finish(), done()], Ending::Close), cap(&body("small", "x", STREAM))),
        (stream(vec![delta(words)], Ending::ClientLeaves), cap(&body("small", "x", STREAM_USAGE))),
        (Played::Timeout, long),
    ] {
        let (fake, _) = played([script.clone()], &sent);
        let told = fake.told.borrow();
        assert!(
            told[0].settlement.cost <= told[0].bound.unwrap(),
            "{:?} {:?}",
            told[0].settlement.cost,
            told[0].bound
        );
    }
}

// ── infrastructure ───────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_part_that_is_away_is_never_blamed_on_the_caller_and_nothing_is_sent() {
    let faults: [fn(&Fake); 4] = [
        |fake| fake.policy_fault.set(true),
        |fake| fake.key_fault.set(true),
        |fake| fake.ledger_fault.set(Some((1, LedgerFault::Broke))),
        |fake| fake.ledger_fault.set(Some((1, LedgerFault::BrokeButLanded))),
    ];
    for fault in faults {
        let fake = Fake::new(POLICY);
        fault(&fake);
        fake.play([answer("x", 1, 1)]);
        let got = fake.ask(&body("small", "x", ""));
        assert_eq!(
            (got.status, got.code().as_str(), got.header("retry-after")),
            (503, "service_unavailable", Some("1"))
        );
        assert!(fake.calls.borrow().is_empty());
        assert_eq!(fake.logs.borrow().len(), 1, "the operator is told");
        assert!(!got.text().contains("away") && !got.text().contains("object"), "and the client is not");
    }
}

#[test]
fn who_was_told_that_nothing_was_charged_is_charged_nothing() {
    let fake = Fake::new(POLICY);
    fake.ledger_fault.set(Some((1, LedgerFault::BrokeButLanded)));
    assert_eq!(fake.ask(&body("small", "x", "")).status, 503);
    fake.settle_down();
    assert_eq!(fake.money(), (NanoUsd::ZERO, NanoUsd::ZERO));
}

#[test]
fn a_hold_nobody_settles_ends_as_one_row_at_its_bound() {
    let fake = Fake::new(POLICY);
    fake.ledger_fault.set(Some((1, LedgerFault::BrokeButLanded)));
    fake.ask(&body("small", "x", ""));
    let held = fake.money().1;
    let rows = fake.settle_down();
    if held > NanoUsd::ZERO {
        assert_eq!((rows.len(), rows[0].outcome, rows[0].cost_nanousd), (1, Outcome::Unsettled, held));
    }
    assert_eq!(fake.money().1, NanoUsd::ZERO);
}

#[test]
fn a_hold_made_again_after_a_lost_answer_is_one_hold() {
    let fake = Fake::new(POLICY);
    let sent = body("small", "x", "");
    let bound = input(&sent) * IN + 100 * OUT;
    fake.limit(Level::Key, Limits { total: Some(NanoUsd(bound)), rpm: Some(1), ..Limits::default() });
    fake.ledger_fault.set(Some((1, LedgerFault::LostOnce)));
    fake.play([answer("x", 10, 20)]);
    assert_eq!(fake.ask(&sent).status, 200);
    assert_eq!(fake.told.borrow()[0].bound, Some(NanoUsd(bound)));
    assert_eq!(fake.money(), (NanoUsd(10 * IN + 20 * OUT), NanoUsd::ZERO));
    assert_eq!(fake.settle_down().len(), 1);
}

// ── who may ask what ─────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_newer_key_in_the_object_decides() {
    let fake = Fake::new(POLICY);
    fake.remembered.replace(Some(fake.record()));
    fake.edit_key(|record| {
        record.revision = 2;
        record.models = Some(Pattern(vec!["one/*".to_owned()]));
    });
    fake.limit(Level::Key, Limits { total: Some(NanoUsd(1_000_000_000)), ..Limits::default() });
    fake.play([answer("x", 10, 20)]);
    let got = fake.ask(&body("small", "x", ""));
    assert_eq!((got.status, got.code().as_str()), (403, "model_not_allowed"));
    assert!(fake.calls.borrow().is_empty());
    assert_eq!((fake.released.borrow().len(), fake.money()), (1, (NanoUsd::ZERO, NanoUsd::ZERO)));

    let got = fake.ask(&body("one/m", "x", ""));
    assert_eq!(got.status, 200);
    assert_eq!(fake.told.borrow().len(), 1);
    assert_eq!(fake.holds.borrow().iter().filter(|(_, reply)| matches!(reply, Reply::Held(_))).count(), 3);
    assert_eq!(fake.money(), (NanoUsd(10 * IN + 20 * OUT), NanoUsd::ZERO));
    assert_eq!(fake.settle_down().len(), 1, "a hold given back leaves no row");
}

#[test]
fn who_is_unknown_blocked_or_expired_is_told_so() {
    let refused = |edit: &dyn Fn(&Fake)| {
        let fake = Fake::new(POLICY);
        edit(&fake);
        fake.play([answer("x", 1, 1)]);
        let got = fake.ask(&body("small", "x", ""));
        assert!(fake.calls.borrow().is_empty() && fake.told.borrow().is_empty());
        (got.status, got.code())
    };
    let is = |code: &str| (401, code.to_owned());
    assert_eq!(refused(&|fake| fake.edit_key(|record| record.blocked = true)), is("key_blocked"));
    assert_eq!(refused(&|fake| fake.edit_key(|record| record.expires_at = Some(T0))), is("key_expired"));
    for level in [Level::Key, Level::Team, Level::Customer] {
        let block = |fake: &Fake| fake.put_node(NodeSpec { blocked: true, ..fake.node(level) });
        assert_eq!(refused(&block), is("key_blocked"));
    }
    // The record is remembered, the object knows better.
    let late =
        |fake: &Fake| fake.put_node(NodeSpec { expires_at: Some(Timestamp(1)), ..fake.node(Level::Key) });
    assert_eq!(refused(&late), is("key_expired"));

    let fake = Fake::new(POLICY);
    for credentials in [vec![], vec!["Bearer sk-1".to_owned()], vec![format!("{}x", fake.key.reveal())]] {
        let mut request = fake.request(&body("small", "x", ""));
        request.credentials = credentials;
        let got = fake.serve(&request);
        assert_eq!((got.status, got.code()), is("invalid_api_key"));
    }
}

#[test]
fn what_cannot_be_served_is_refused_before_anything_is_held() {
    for (sent, status, code) in [
        (body("small", "guard", ""), 403, "guardrails_not_enabled"),
        (body("nothing-like-it", "x", ""), 404, "route_not_found"),
        (body("nobody/model", "x", ""), 404, "model_not_found"),
        (body("small", "x", r#","web_search_options":{}"#), 400, "unsupported_parameter"),
        (String::new(), 400, "invalid_json"),
        (r#"{"model":"small"}"#.to_owned(), 400, "missing_required_parameter"),
    ] {
        let (fake, got) = played([answer("x", 1, 1)], &sent);
        assert_eq!((got.status, got.code().as_str()), (status, code), "{sent}");
        assert!(
            fake.calls.borrow().is_empty() && fake.holds.borrow().is_empty() && fake.told.borrow().is_empty()
        );
        assert!(got.header("x-edgehold-request-id").is_some());
    }
    let fake = Fake::new(POLICY);
    let mut request = fake.request("");
    request.too_large = true;
    assert_eq!(fake.serve(&request).status, 413);
}

#[test]
fn the_keys_metadata_wins_over_the_headers_and_the_headers_over_the_bodys() {
    let ask = |key: &str, header: &str, body_task: &str| {
        let fake = Fake::new(POLICY);
        if !key.is_empty() {
            fake.edit_key(|record| record.metadata = BTreeMap::from([("task".to_owned(), key.to_owned())]));
        }
        fake.play([answer("x", 1, 1)]);
        let mut request = fake.request(&body("small", body_task, ""));
        request.metadata = header.to_owned();
        let got = fake.serve(&request);
        (got.header("x-edgehold-route").unwrap().to_owned(), fake.rows()[0].metadata.clone().unwrap())
    };
    assert_eq!(ask("", "", "tag"), ("tagged".to_owned(), r#"{"task":"tag"}"#.to_owned()));
    let header = r#"{"task":"tag","user":"u1"}"#;
    assert_eq!(ask("", header, "alone"), ("tagged".to_owned(), header.to_owned()));
    assert_eq!(ask("alone", header, "x"), ("alone".to_owned(), r#"{"task":"alone","user":"u1"}"#.to_owned()));

    let fake = Fake::new(POLICY);
    let mut request = fake.request(&body("small", "x", ""));
    request.metadata = "task=tag".to_owned();
    assert_eq!(fake.serve(&request).code(), "invalid_metadata");
}

#[test]
fn neither_key_nor_prompt_is_recorded() {
    let fake = Fake::new(POLICY);
    fake.play([
        status(500),
        status(401),
        answer("geheime antwort", 1, 1),
        stream(good_stream("geheime antwort", 1, 1), Ending::Close),
        stream(vec![delta("geheime antwort")], Ending::Break),
        Played::SecretMissing,
        status(400),
    ]);
    for more in ["", "", STREAM, STREAM_USAGE, "", ""] {
        fake.ask(&body("pair", "x", more));
    }
    fake.key_fault.set(true);
    fake.ask(&body("pair", "x", ""));
    fake.settle_down();
    let everything = fake.everything_recorded();
    let secret = fake.key.reveal().rsplit('_').next().unwrap().to_owned();
    assert!(!everything.contains(&secret));
    let ours = fake.recorded_by_us();
    assert!(!ours.contains("höchst") && !ours.contains("geheime"), "{ours}");
}

// ── idempotency keys ─────────────────────────────────────────────────────────────────────────────────────────────────

/// Asks with an idempotency key.
fn ask_keyed(fake: &Fake, key: &str, body: &str) -> Answered {
    let mut request = fake.request(body);
    request.idempotency_key = Some(key.to_owned());
    fake.serve(&request)
}

const REPLAY: &str = "x-edgehold-idempotent-replay";

#[test]
fn the_same_request_again_is_answered_from_its_record_and_costs_nothing() {
    for more in ["", STREAM, STREAM_USAGE] {
        let fake = Fake::new(POLICY);
        fake.budget(1_000_000_000);
        let sent = body("small", "x", more);
        fake.play([if more.is_empty() {
            answer("hello", 10, 20)
        } else {
            stream(good_stream("hello", 10, 20), Ending::Close)
        }]);
        let first = ask_keyed(&fake, "k", &sent);
        let (spent, second) = (fake.money(), ask_keyed(&fake, "k", &sent));
        assert_eq!((first.status, first.header(REPLAY)), (200, None));
        assert_eq!((second.status, second.header(REPLAY)), (200, Some("stored")));
        assert_eq!(second.body, first.body);
        assert!(first.headers.iter().all(|header| second.headers.contains(header)), "{:?}", second.headers);
        assert_eq!((fake.calls.borrow().len(), fake.holds.borrow().len(), fake.rows().len()), (1, 1, 1));
        assert_eq!(fake.money(), spent);
    }
}

#[test]
fn a_reused_key_is_a_conflict_and_holds_nothing() {
    let fake = Fake::new(POLICY);
    fake.play([answer("hello", 10, 20)]);
    ask_keyed(&fake, "k", &body("small", "x", ""));
    let other = ask_keyed(&fake, "k", &body("small", "y", ""));
    assert_eq!((other.status, other.code()), (409, "idempotency_key_reused".to_owned()));
    assert_eq!(other.header("x-should-retry"), Some("false"), "SDKs retry a 409 unless told not to");
    assert_eq!((fake.calls.borrow().len(), fake.holds.borrow().len()), (1, 1));
}

#[test]
fn what_trying_again_may_change_is_made_anew() {
    // Failures of the provider, and a client that left before the end.
    let failures: [(Played, &str, u16); 4] = [
        (status(500), "", 502),
        (status_after(429, "1"), "", 429),
        (stream(vec![delta("so far")], Ending::ClientLeaves), STREAM, 200),
        (stream(vec![delta("so far")], Ending::ClientLeaves), STREAM_USAGE, 200),
    ];
    for (failure, more, failed) in failures {
        let fake = Fake::new(POLICY);
        let sent = body("small", "x", more);
        let good = if more.is_empty() {
            answer("hello", 10, 20)
        } else {
            stream(good_stream("hello", 10, 20), Ending::Close)
        };
        fake.play([failure, good]);
        assert_eq!(ask_keyed(&fake, "k", &sent).status, failed);
        let again = ask_keyed(&fake, "k", &sent);
        assert_eq!((again.status, again.header(REPLAY)), (200, None));
        assert_eq!(fake.calls.borrow().len(), 2);
        assert_eq!(ask_keyed(&fake, "k", &sent).header(REPLAY), Some("stored"));
    }
    // A refusal of ours.
    let fake = Fake::new(POLICY);
    fake.budget(1);
    assert_eq!(ask_keyed(&fake, "k", &body("small", "x", "")).status, 402);
    fake.budget(1_000_000_000);
    fake.play([answer("hello", 10, 20)]);
    assert_eq!(ask_keyed(&fake, "k", &body("small", "x", "")).status, 200);
}

#[test]
fn what_was_billed_or_refused_for_good_is_kept_as_it_was() {
    let kept: [(Played, &str, u16); 4] = [
        (status(422), "", 422),
        (stream(vec![delta("so far")], Ending::Break), STREAM, 200),
        (stream(vec![delta("so far")], Ending::Stall), STREAM_USAGE, 200),
        // The client left with everything.
        (stream(good_stream("all", 10, 20), Ending::ClientLeaves), STREAM, 200),
    ];
    for (played, more, status) in kept {
        let fake = Fake::new(POLICY);
        fake.play([played]);
        let sent = body("small", "x", more);
        let first = ask_keyed(&fake, "k", &sent);
        let second = ask_keyed(&fake, "k", &sent);
        assert_eq!((first.status, second.status, second.header(REPLAY)), (status, status, Some("stored")));
        assert_eq!(second.body, first.body);
        assert_eq!(fake.calls.borrow().len(), 1);
    }
}

#[test]
fn who_may_not_call_gets_no_replay_and_a_record_that_is_away_is_a_503() {
    let fake = Fake::new(POLICY);
    fake.play([answer("hello", 10, 20)]);
    let sent = body("small", "x", "");
    ask_keyed(&fake, "k", &sent);
    fake.edit_key(|record| record.blocked = true);
    assert_eq!(ask_keyed(&fake, "k", &sent).status, 401);
    fake.edit_key(|record| record.blocked = false);
    fake.claim_fault.set(true);
    let away = ask_keyed(&fake, "other", &sent);
    assert_eq!((away.status, away.code()), (503, "service_unavailable".to_owned()));
    assert_eq!(ask_keyed(&fake, "", &sent).code(), "invalid_idempotency_key");
    assert_eq!((fake.calls.borrow().len(), fake.holds.borrow().len()), (1, 1));
}

// ── whatever happens ─────────────────────────────────────────────────────────────────────────────────────────────────

/// One scripted call; `mark` tells whose content it is.
fn call(kind: u8, cut: usize, ending: u8, mark: usize) -> Played {
    let text = format!("<from-{mark}>");
    let ending = [Ending::Close, Ending::Break, Ending::Stall, Ending::ClientLeaves][usize::from(ending % 4)];
    match kind % 12 {
        0 => Played::Connect,
        1 => Played::Timeout,
        2 => Played::SecretMissing,
        3 => status([400, 401, 404, 422, 500, 503][cut % 6]),
        4 => status_after(429, ["", "1", "60", "soon"][cut % 4]),
        5 => answer(&text, cut as u64, 9),
        6 => Played::Answer { status: 200, retry_after: "", body: b"nonsense".to_vec(), after_ms: 700 },
        7 => stream(vec![role(), error_event()], ending),
        _ => {
            // Any beginning of a good stream, and cut through the middle of an event.
            let whole = good_stream(&text, 30, 9).concat();
            let bytes = if kind.is_multiple_of(2) { whole } else { whole[..cut * 7 % whole.len()].to_vec() };
            stream(bytes.chunks(1 + cut * 13 % 97).map(<[u8]>::to_vec).collect(), ending)
        }
    }
}

fn marks(text: &str) -> Vec<usize> {
    let mut marks: Vec<usize> = text
        .split("<from-")
        .skip(1)
        .filter_map(|rest| rest.split_once('>').and_then(|(mark, _)| mark.parse().ok()))
        .collect();
    marks.dedup();
    marks
}

fn ledger_fault() -> impl Strategy<Value = Option<(u32, LedgerFault)>> {
    let fault =
        prop_oneof![Just(LedgerFault::Broke), Just(LedgerFault::BrokeButLanded), Just(LedgerFault::LostOnce)];
    prop::option::weighted(0.3, (1u32..5, fault))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn every_request_has_one_answer_one_settlement_and_a_row_for_each_attempt(
        script in prop::collection::vec((any::<u8>(), 0usize..60, any::<u8>()), 0..9),
        more in prop::sample::select(vec!["", STREAM, STREAM_USAGE]),
        (model, task) in prop::sample::select(vec![("small", "x"), ("pair", "x"), ("pair", "patient"), ("small", "alone"), ("one/m", "x")]),
        budget in prop_oneof![Just(1_000_000_000i64), 0i64..6_000_000],
        fault in ledger_fault(),
        stale in any::<bool>(),
    ) {
        let fake = Fake::new(POLICY);
        if stale {
            fake.remembered.replace(Some(fake.record()));
            fake.edit_key(|record| record.revision = 2);
        }
        fake.budget(budget);
        fake.ledger_fault.set(fault);
        let count = script.len();
        fake.play(script.into_iter().enumerate().map(|(mark, (kind, cut, ending))| call(kind, cut, ending, mark)));
        // `serve` asserts that there is one answer, `end_stream` that it is closed once.
        let got = fake.ask(&body(model, task, more));
        prop_assert!(got.closed);
        let calls = fake.calls.borrow();
        prop_assert_eq!(got.calls, calls.len(), "nobody is asked once the client is being answered");

        // Admitted is what was held and not given back.
        let held = fake.holds.borrow().iter()
            .filter(|(hold, reply)| matches!(reply, Reply::Held(_)) && !hold.extends).count();
        let admitted = held - fake.released.borrow().len();
        let told = fake.told.borrow();
        // The release of a stale key's hold may get lost; nothing is sent upstream then.
        let release_lost = stale && matches!(fault, Some((2, LedgerFault::Broke | LedgerFault::BrokeButLanded)));
        if release_lost {
            prop_assert!(calls.is_empty());
        } else {
            let settled = told.iter().filter(|told| told.bound.is_some() && told.reply == Reply::Settled).count();
            let landed = matches!(fault, Some((_, LedgerFault::BrokeButLanded))) && calls.is_empty();
            prop_assert!(settled == admitted || landed, "{} settled of {} admitted", settled, admitted);
        }
        prop_assert!(told.len() <= 1);
        if calls.is_empty() {
            prop_assert!(told.iter().all(|told| told.rows().is_empty()));
        } else {
            prop_assert_eq!(told.len(), 1);
            let rows = told[0].rows();
            prop_assert_eq!(rows.len(), calls.len());
            let sum = rows.iter().fold(NanoUsd::ZERO, |sum, row| sum.plus(row.cost_nanousd));
            prop_assert_eq!(sum, told[0].settlement.cost);
            prop_assert!(sum <= told[0].bound.unwrap(), "{:?} of {:?}", sum, told[0].bound);
            prop_assert!(rows.iter().rev().skip(1).all(|row| row.outcome != Outcome::Ok));
            let attempts = got.header("x-edgehold-attempts").map(str::to_owned);
            prop_assert_eq!(attempts, Some(rows.len().to_string()));
            prop_assert!(rows.iter().zip(1..).all(|(row, number)| row.attempt == number));
            let over = calls.iter().map(|call| call.at.since_ms(T0)).max().unwrap();
            prop_assert!(over < 20_000, "an attempt began after the deadline: {}", over);
        }
        if calls.len() > count.max(1) * 9 {
            prop_assert!(false, "more attempts than the route allows");
        }

        // Nothing of an earlier provider.
        let text = String::from_utf8_lossy(&got.body).into_owned();
        let marks = marks(&text);
        prop_assert!(marks.len() <= 1, "two providers in one answer: {}", text);
        prop_assert!(marks.iter().all(|mark| mark + 1 == calls.len()), "not the last provider: {}", text);
        if got.status == 200 && more == STREAM {
            prop_assert!(!text.contains("prompt_tokens"), "counts nobody asked for: {}", text);
        }

        let (taken, limit) = fake.taken();
        prop_assert!(taken <= limit);
        fake.evict_object();
        let rows = fake.settle_down();
        let (spent, still_held) = fake.money();
        prop_assert_eq!(still_held, NanoUsd::ZERO, "everything ends");
        prop_assert_eq!(rows.iter().fold(NanoUsd::ZERO, |sum, row| sum.plus(row.cost_nanousd)), spent);
        prop_assert!(spent.0 <= budget);
    }
}

/// Surfaces of other dialects: path, a body that is good, and how their errors look.
fn surfaces() -> [(&'static str, Value, Dialect); 5] {
    let messages = json!([{"role": "user", "content": "hi"}]);
    [
        ("/v1/responses", json!({"model": "small", "input": "hi"}), Dialect::OpenAiResponses),
        (
            "/v1/messages",
            json!({"model": "small", "max_tokens": 9, "messages": messages}),
            Dialect::Anthropic,
        ),
        (
            "/v1beta/models/small:generateContent",
            json!({"contents": [{"parts": [{"text": "hi"}]}]}),
            Dialect::Gemini,
        ),
        ("/v1/completions", json!({"model": "small", "prompt": "hi", "max_tokens": 9}), Dialect::OpenAiChat),
        ("/v1/embeddings", json!({"model": "small", "input": "hi"}), Dialect::OpenAiChat),
    ]
}

fn asked_at(fake: &Fake, path: &str, body: &Value) -> ClientRequest {
    ClientRequest { path: path.to_owned(), ..fake.request(&body.to_string()) }
}

/// Lists and single models in the words of whoever asks, errors too.
#[test]
fn models_are_listed_as_each_sdk_expects() {
    const CONFIG: &str =
        "models: {fast: openai/gpt-4o-mini}\nroutes: [{name: all, match: {model: [fast, openai/gpt-4o]}}]\n";
    let ask = |path: &str, headers: &[(&str, &str)], known: bool| {
        let fake = Fake::new(CONFIG);
        for (name, value) in headers {
            fake.client_headers.borrow_mut().insert((*name).to_owned(), (*value).to_owned());
        }
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut request = fake.request("");
        (request.method, request.path, request.query) = ("GET".into(), path.into(), query.into());
        if !known {
            request.credentials = vec!["Bearer nobody".to_owned()];
        }
        once(service::handle(&fake, &request));
        fake.answers.borrow()[0].clone()
    };
    let get = |path: &str, headers: &[(&str, &str)], known: bool| {
        let got = ask(path, headers, known);
        (got.status, got.json())
    };
    let google = [("x-goog-api-key", "eh_…")];
    let anthropic = [("anthropic-version", "2023-06-01"), ("x-api-key", "eh_…")];

    let (status, list) = get("/v1/models", &[], true);
    assert_eq!((status, &list["object"]), (200, &json!("list")));
    assert!(list["data"].as_array().unwrap().iter().any(|model| model["id"] == "openai/gpt-4o"));
    let (status, one) = get("/v1/models/openai%2Fgpt-4o", &[], true);
    assert_eq!((status, &one["id"], &one["object"]), (200, &json!("openai/gpt-4o"), &json!("model")));

    let (_, page) = get("/v1/models?limit=1&after_id=claude-sonnet", &anthropic, true);
    assert_eq!((&page["data"][0]["type"], &page["data"][0]["id"]), (&json!("model"), &json!("fast")));
    assert_eq!(
        (&page["first_id"], &page["last_id"], &page["has_more"]),
        (&json!("fast"), &json!("fast"), &json!(true))
    );
    assert_eq!(get("/v1/models/fast", &anthropic, true).1["display_name"], "fast");

    for (path, headers) in [("/v1beta/models", &[][..]), ("/v1/models", &google[..])] {
        let (status, page) = get(&format!("{path}?pageSize=1"), headers, true);
        assert_eq!((status, page["models"].as_array().unwrap().len()), (200, 1), "{path}");
        assert!(page["nextPageToken"].is_string());
        assert_eq!(get(&format!("{path}/fast"), headers, true).1["name"], "models/fast");
    }

    for (path, headers, dialect) in [
        ("/v1/models", &[][..], Dialect::OpenAiChat),
        ("/v1/models", &anthropic[..], Dialect::Anthropic),
        ("/v1beta/models", &[][..], Dialect::Gemini),
    ] {
        for (path, known, expected) in [(format!("{path}/nobody"), true, 404), (path.to_owned(), false, 401)]
        {
            let got = ask(&path, headers, known);
            assert_eq!(got.status, expected, "{path} {dialect:?}");
            assert!(has_form_of(dialect, &got), "{}", got.text());
        }
    }
    assert_eq!(get("/v1beta/models/fast:generateContent", &[], true).0, 405);
}

/// What only the provider that stored it can resolve is refused elsewhere, with what to send instead.
#[test]
fn a_refusal_of_stored_state_says_what_to_send() {
    for (more, param, advice) in [
        (
            json!({"input": [{"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "go on"}]}),
            "input",
            "providerOptions: { openai: { store: false } }",
        ),
        (
            json!({"input": "go on", "previous_response_id": "resp_1"}),
            "previous_response_id",
            "earlier messages, calls and results in 'input'",
        ),
        (
            json!({"input": "go on", "conversation": "conv_1"}),
            "conversation",
            "earlier messages, calls and results in 'input'",
        ),
        // Not even at home: it may bring tools that the provider runs.
        (json!({"input": "go on", "prompt": {"id": "pmpt_1"}}), "prompt", "Leave it out"),
    ] {
        let mut body = json!({"model": "small", "max_output_tokens": 100});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let fake = Fake::new(POLICY);
        let got = fake.serve(&asked_at(&fake, "/v1/responses", &body));
        assert_eq!((got.status, got.code().as_str()), (400, "unsupported_parameter"), "{param}");
        let error = &got.json()["error"];
        assert_eq!(error["param"], param);
        assert!(error["message"].as_str().unwrap().contains(advice), "{error}");
        assert!(fake.calls.borrow().is_empty());
    }
    // At home it goes as it came, and the model's whole context is held.
    for state in [json!({"conversation": "conv_1"}), json!({"previous_response_id": "resp_1"})] {
        let mut body = json!({"model": "one/m", "input": "go on", "max_output_tokens": 100});
        body.as_object_mut().unwrap().extend(state.as_object().unwrap().clone());
        let answer = json!({"id": "resp_2", "object": "response", "status": "completed", "model": "m", "output": [
            {"type": "message", "id": "msg_2", "role": "assistant", "status": "completed",
             "content": [{"type": "output_text", "text": "on", "annotations": []}]}],
            "usage": {"input_tokens": 50, "output_tokens": 2, "total_tokens": 52}});
        let fake = Fake::new(POLICY);
        fake.budget(1_000_000_000);
        fake.play([Played::Answer {
            status: 200,
            retry_after: "",
            body: answer.to_string().into_bytes(),
            after_ms: 5,
        }]);
        let got = fake.serve(&asked_at(&fake, "/v1/responses", &body));
        assert_eq!(got.status, 200, "{}", got.text());
        assert_eq!(last_sent(&fake)["input"], "go on");
        assert!(state.as_object().unwrap().iter().all(|(name, value)| &last_sent(&fake)[name] == value));
        assert_eq!(fake.told.borrow()[0].bound, Some(NanoUsd(100_000 * IN + 100 * OUT)));
        assert_eq!(fake.rows()[0].cost_nanousd, NanoUsd(50 * IN + 2 * OUT));
    }
}

/// Whether an error has the members its dialect's SDKs look for.
fn has_form_of(dialect: Dialect, got: &Answered) -> bool {
    let body = got.json();
    match dialect {
        Dialect::Anthropic => {
            body["type"] == "error"
                && body["error"]["type"].is_string()
                && body["error"]["message"].is_string()
        }
        Dialect::Gemini => {
            body["error"]["code"] == got.status
                && body["error"]["status"].is_string()
                && body["error"]["message"].is_string()
        }
        _ => {
            body["error"]["type"].is_string()
                && body["error"]["code"].is_string()
                && body["error"]["message"].is_string()
        }
    }
}

#[test]
fn refusals_have_their_status_in_the_form_of_their_surface() {
    for (path, good, dialect) in surfaces() {
        let refused = |status: u16, change: &dyn Fn(&Fake, &mut ClientRequest)| {
            let fake = Fake::new(POLICY);
            let mut request = asked_at(&fake, path, &good);
            change(&fake, &mut request);
            let got = fake.serve(&request);
            assert_eq!(got.status, status, "{path}: {}", got.text());
            assert!(has_form_of(dialect, &got), "{path} {status}: {}", got.text());
            assert!(got.header("x-edgehold-request-id").is_some());
            assert!(fake.calls.borrow().is_empty(), "{path} {status}: nothing is sent");
            assert_eq!(fake.money(), (NanoUsd::ZERO, NanoUsd::ZERO), "{path} {status}");
            got
        };
        refused(401, &|_, request| request.credentials = vec!["Bearer nonsense".to_owned()]);
        refused(400, &|_, request| request.body = b"{\"model\":".to_vec());
        refused(400, &|_, request| request.body = b"[]".to_vec());
        refused(413, &|_, request| request.too_large = true);
        refused(404, &|_, request| {
            request.path = request.path.replace("small", "nobody/knows");
            request.body =
                String::from_utf8_lossy(&request.body).replace("small", "nobody/knows").into_bytes();
        });
        refused(402, &|fake, _| fake.budget(10));
        let limited = refused(429, &|fake, _| {
            let limits = Limits { rpm: Some(0), ..Limits::default() };
            fake.limit(Level::Key, limits);
        });
        let text = limited.text();
        assert!(text.contains("Rate limit") || text.contains("rate"), "{text}");
    }
}

#[test]
fn a_surface_is_answered_in_its_own_words_by_a_provider_of_chat() {
    for (path, good, dialect) in surfaces().into_iter().filter(|(path, ..)| !path.ends_with("embeddings")) {
        let fake = Fake::new(POLICY);
        fake.play([answer("four", 5, 2)]);
        let got = fake.serve(&asked_at(&fake, path, &good));
        assert_eq!(got.status, 200, "{path}: {}", got.text());
        let said = got.json();
        let text = match dialect {
            Dialect::OpenAiResponses => &said["output"][0]["content"][0]["text"],
            Dialect::Anthropic => &said["content"][0]["text"],
            Dialect::Gemini => &said["candidates"][0]["content"]["parts"][0]["text"],
            _ => &said["choices"][0]["text"],
        };
        assert_eq!(text, "four", "{path}: {said}");
        let rows = fake.rows();
        assert_eq!(
            (rows.len(), rows[0].outcome, rows[0].cost_nanousd),
            (1, Outcome::Ok, NanoUsd(5 * IN + 2 * OUT)),
            "{path}"
        );
    }
}

#[test]
fn a_conversation_of_too_many_pieces_is_not_translated() {
    let fake = Fake::new(POLICY);
    let turn = json!({"role": "user", "content": "a"});
    let body = json!({"model": "small", "max_tokens": 9, "messages": vec![turn; 10_001]});
    let got = fake.serve(&asked_at(&fake, "/v1/messages", &body));
    assert_eq!(got.status, 400, "{}", got.text());
    assert!(got.text().contains("not translated") && fake.calls.borrow().is_empty());
    assert_eq!(fake.money(), (NanoUsd::ZERO, NanoUsd::ZERO), "what was held is given back");
}

#[test]
fn a_count_no_provider_gives_is_an_estimate_and_costs_nothing() {
    let fake = Fake::new(POLICY);
    let messages = json!([{"role": "user", "content": "a".repeat(400)}]);
    let got = fake.serve(&asked_at(
        &fake,
        "/v1/messages/count_tokens",
        &json!({"model": "small", "messages": messages}),
    ));
    assert_eq!(
        (got.status, got.header("x-edgehold-token-count")),
        (200, Some("estimated")),
        "{}",
        got.text()
    );
    let tokens = got.json()["input_tokens"].as_u64().unwrap();
    assert!((100..150).contains(&tokens), "{tokens}");
    let contents = json!({"generateContentRequest": {"model": "models/small", "contents": [{"parts": [{"text": "hi"}]}]}});
    let got = fake.serve(&asked_at(&fake, "/v1beta/models/small:countTokens", &contents));
    assert_eq!(got.status, 200, "{}", got.text());
    assert!(got.json()["totalTokens"].as_u64().unwrap() > 0);
    assert!(fake.calls.borrow().is_empty());
    assert_eq!(fake.money(), (NanoUsd::ZERO, NanoUsd::ZERO));
    let got = fake.serve(&asked_at(&fake, "/v1/messages/count_tokens", &json!({"model": "small"})));
    assert!(got.status == 400 && has_form_of(Dialect::Anthropic, &got), "{}", got.text());
}

#[test]
fn an_answer_that_cannot_be_translated_is_charged_what_it_says_it_used() {
    let fake = Fake::new(POLICY);
    let strange = json!({"id": "c", "choices": {"0": "what is this"}, "usage": usage(5, 2)});
    let body = strange.to_string().into_bytes();
    fake.play([Played::Answer { status: 200, retry_after: "", body, after_ms: 5 }]);
    let (_, good, _) = surfaces()[1].clone();
    let got = fake.serve(&asked_at(&fake, "/v1/messages", &good));
    assert_eq!(got.status, 502, "{}", got.text());
    assert!(has_form_of(Dialect::Anthropic, &got));
    let rows = fake.rows();
    assert_eq!((rows[0].outcome, rows[0].cost_nanousd), (Outcome::UpstreamError, NanoUsd(5 * IN + 2 * OUT)));
}

#[test]
fn an_idempotency_key_works_on_every_surface() {
    for (path, good, dialect) in surfaces().into_iter().filter(|(path, ..)| !path.ends_with("embeddings")) {
        let fake = Fake::new(POLICY);
        fake.play([answer("four", 5, 2)]);
        let keyed = |body: &Value| {
            let key = Some("k".to_owned());
            fake.serve(&ClientRequest { idempotency_key: key, ..asked_at(&fake, path, body) })
        };
        let (first, second) = (keyed(&good), keyed(&good));
        assert_eq!((first.status, second.status), (200, 200), "{path}");
        assert_eq!(
            (second.body.clone(), second.header(REPLAY)),
            (first.body.clone(), Some("stored")),
            "{path}"
        );
        assert_eq!((fake.calls.borrow().len(), fake.rows().len()), (1, 1), "{path}");
        let mut other = good.clone();
        other["user"] = json!("somebody else");
        let conflict = keyed(&other);
        assert!(conflict.status == 409 && has_form_of(dialect, &conflict), "{path}: {}", conflict.text());
    }
}
