//! Requests, answers and streams of the older form.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use super::*;
use crate::{
    dialect::{Show, Writer as _, openai_chat::convert},
    model::{
        answer::{Answer, At, Choice, Delta, Finish, Opened, Reported},
        part::{Body, Part, ToolCall},
        request::Request,
        usage::Usage,
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn read(body: &Value) -> Result<Request, crate::refusal::Refusal> {
    request::read(body.to_string().as_bytes())
}

fn show() -> Show {
    Show { id: "req_1".to_owned(), model: "asked".to_owned(), created: 7, usage: true, ..Show::default() }
}

#[test]
fn a_prompt_is_a_users_turn_of_chat() {
    let body = json!({"model": "m", "prompt": ["Say this."], "n": 2, "best_of": 2, "stop": "END", "temperature": 0.5,
        "logprobs": 2, "user": "u", "seed": 1, "echo": false, "suffix": null, "stream": true,
        "stream_options": {"include_usage": true}, "logit_bias": {"50256": -100}});
    assert!(request::usage_is_wanted(body.to_string().as_bytes()));
    let request = read(&body).unwrap();
    assert!(request.extras.is_empty());
    let order = crate::dialect::Order { kind: "openai", model: "m", output_cap: request.output_cap };
    let written = convert::request::write(&request, &order);
    assert!(written.dropped.is_empty() && written.refused.is_empty());
    let chat: Value = serde_json::from_slice(&written.body).unwrap();
    let expected = json!({"model": "m", "messages": [{"role": "user", "content": "Say this."}], "stream": true,
        "max_tokens": 16, "temperature": 0.5, "seed": 1, "logit_bias": {"50256": -100}, "stop": ["END"], "n": 2,
        "logprobs": true, "top_logprobs": 2, "user": "u"});
    assert_eq!(chat, expected);
    let bare = read(&json!({"model": "m", "prompt": "x", "max_tokens": 300})).unwrap();
    assert_eq!((bare.output_cap, bare.sampling.logprobs, bare.stream), (Some(300), false, false));
    assert!(!request::usage_is_wanted(b"{}"));
}

#[test]
fn what_chat_cannot_do_is_refused_by_name() {
    let cases = [
        (json!({"prompt": ["a", "b"]}), "prompt"),
        (json!({"prompt": [1, 2]}), "prompt"),
        (json!({"prompt": [[1, 2]]}), "prompt"),
        (json!({"prompt": []}), "prompt"),
        (json!({"prompt": ["a", 1]}), "prompt"),
        (json!({"prompt": 3}), "prompt"),
        (json!({}), "prompt"),
        (json!({"prompt": "x", "suffix": "y"}), "suffix"),
        (json!({"prompt": "x", "echo": true}), "echo"),
        (json!({"prompt": "x", "best_of": 3, "n": 2}), "best_of"),
        (json!({"prompt": "x", "logprobs": 6}), "logprobs"),
        (json!({"prompt": "x", "logprobs": true}), "logprobs"),
    ];
    for (mut body, param) in cases {
        body["model"] = json!("m");
        let refusal = read(&body).unwrap_err();
        assert_eq!((refusal.status, refusal.param.as_deref()), (400, Some(param)), "{body}");
    }
}

fn token(text: &str, logprob: f64, other: &str) -> Value {
    json!({"token": text, "logprob": logprob, "bytes": null, "top_logprobs": [{"token": other, "logprob": -2.0, "bytes": null}]})
}

fn answer() -> Answer {
    let call = Body::ToolCall(ToolCall { name: "f".to_owned(), ..ToolCall::default() });
    let usage = Usage { input: 3, output: 2, ..Usage::default() };
    Answer {
        id: Some("chatcmpl-1".to_owned()),
        model: Some("served".to_owned()),
        choices: vec![
            Choice {
                parts: vec![Part::text("é "), call.into(), Part::text("two")],
                finish: Some(Finish::Length),
                logprobs: Some(json!({"content": [token("é ", -0.5, "e"), token("two", -1.0, "2")]})),
            },
            Choice { parts: vec![Part::text("b")], finish: Some(Finish::ToolCalls), logprobs: None },
        ],
        reported: Some(Reported { usage, ..Reported::default() }),
        service_tier: None,
    }
}

#[test]
fn an_answer_is_a_text_completion() {
    let value: Value = serde_json::from_slice(&response::write(&answer(), &show())).unwrap();
    let logprobs = json!({"tokens": ["é ", "two"], "token_logprobs": [-0.5, -1.0], "text_offset": [0, 2],
        "top_logprobs": [{"e": -2.0}, {"2": -2.0}]});
    assert_eq!(
        value["choices"],
        json!([
        {"text": "é two", "index": 0, "logprobs": logprobs, "finish_reason": "length"},
        {"text": "b", "index": 1, "logprobs": null, "finish_reason": "stop"}])
    );
    assert_eq!((&value["id"], &value["object"]), (&json!("cmpl-req_1"), &json!("text_completion")));
    assert_eq!((&value["model"], &value["created"]), (&json!("served"), &json!(7)));
    assert_eq!(value["usage"]["total_tokens"], 5);
}

fn chunks(bytes: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap().to_owned()).collect()
}

#[test]
fn a_stream_ends_with_usage_and_done() {
    let at = |part: u32| At { choice: 0, part };
    let mut deltas = vec![
        Delta::Begin { id: None, model: None },
        Delta::Open(at(0), Opened::Reasoning { id: None, summary: false, redacted: false }),
        Delta::Append(at(0), "hidden".to_owned()),
        Delta::Open(at(1), Opened::Text),
        Delta::Append(at(1), "é ".to_owned()),
        Delta::Logprobs(0, json!({"content": [token("é ", -0.5, "e")]})),
        Delta::Append(at(1), "two".to_owned()),
        Delta::Logprobs(0, json!({"content": [token("two", -1.0, "2")]})),
        Delta::Usage(answer().reported.unwrap()),
        Delta::Finish(0, Finish::Stop),
    ];
    let write = |deltas: &[Delta]| {
        let mut writer = stream::Writer::new(show());
        let mut out = Vec::new();
        deltas.iter().for_each(|delta| writer.push(delta, &mut out));
        chunks(&out)
    };
    assert!(!write(&deltas).contains(&"[DONE]".to_owned()));
    deltas.push(Delta::End);
    let told = write(&deltas);
    let (done, told) = told.split_last().unwrap();
    assert_eq!(done, "[DONE]");
    let told: Vec<Value> = told.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect();
    let text: String = told.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
    assert_eq!(text, "é two");
    let offsets: Vec<&Value> =
        told.iter().filter_map(|chunk| chunk["choices"][0]["logprobs"].get("text_offset")).collect();
    assert_eq!(offsets, [&json!([0]), &json!([2])]);
    let (usage, told) = told.split_last().unwrap();
    assert_eq!((&usage["choices"], &usage["usage"]["total_tokens"]), (&json!([]), &json!(5)));
    assert_eq!(told.last().unwrap()["choices"][0]["finish_reason"], "stop");
    assert!(told.iter().all(|chunk| chunk["object"] == "text_completion" && chunk["id"] == "cmpl-req_1"));
    let mut out = Vec::new();
    stream::Writer::new(show()).fail(&crate::refusal::Refusal::unavailable("x"), &mut out);
    assert!(chunks(&out)[0].contains("service_unavailable"));
}

proptest! {
    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200), prompt: Option<Vec<u8>>, count: Option<u64>) {
        let _ = request::read(&body);
        let _ = request::usage_is_wanted(&body);
        let _ = read(&json!({"model": "m", "prompt": prompt, "n": count, "best_of": count, "logprobs": count, "stop": prompt}));
    }
}
