//! What answers and streams can hold, both ways.

use super::*;
use crate::{
    dialect::Dialect,
    model::{
        answer::{At, Choice, Failure, Finish, Opened, Reported},
        part::{Body, Citation, Media, MediaKind, Part, Reasoning, Signature, Source, Text, ToolCall},
        request::Role,
        usage::Usage,
    },
    refusal::Refusal,
};

/// What clients send back: the output as input.
fn sent_back(answer: &Value) -> Vec<Part> {
    let request = request(&json!({"model": "m", "input": answer["output"]}));
    assert_eq!(request.turns.len(), 1);
    request.turns.into_iter().next().unwrap().parts
}

fn proved(body: Body, maker: Dialect, text: &str) -> Part {
    Part { signature: Some(Signature { maker, text: text.to_owned() }), ..body.into() }
}

fn thought(text: &str) -> Body {
    Body::Reasoning(Reasoning { text: text.to_owned(), ..Reasoning::default() })
}

fn answer(parts: Vec<Part>) -> Answer {
    Answer {
        choices: vec![Choice { parts, finish: Some(Finish::Stop), logprobs: None }],
        ..Answer::default()
    }
}

/// An answer's steps, as another dialect's reader gives them.
fn steps(answer: &Answer, closes: bool) -> Vec<Delta> {
    let mut deltas = vec![Delta::Begin { id: answer.id.clone(), model: answer.model.clone() }];
    for (part, at) in answer.choices[0].parts.iter().zip(0..) {
        let at = At { choice: 0, part: at };
        let (opened, text) = match &part.body {
            Body::Text(text) => (Opened::Text, text.text.clone()),
            Body::Refusal(text) => (Opened::Refusal, text.clone()),
            Body::Reasoning(thoughts) => {
                let Reasoning { id, summary, redacted, text } = thoughts.clone();
                (Opened::Reasoning { id, summary, redacted }, text)
            }
            Body::ToolCall(call) => {
                (Opened::ToolCall { id: call.id.clone(), name: call.name.clone() }, call.arguments.clone())
            }
            Body::Native(dialect, value) => (Opened::Native(*dialect, value.clone()), String::new()),
            other => panic!("{other:?}"),
        };
        deltas.push(Delta::Open(at, opened));
        let middle = text.len() / 2;
        let middle = (middle..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap();
        for piece in [&text[..middle], &text[middle..]].into_iter().filter(|piece| !piece.is_empty()) {
            deltas.push(Delta::Append(at, piece.to_owned()));
        }
        if let Body::Text(text) = &part.body {
            deltas.extend(text.citations.iter().map(|citation| Delta::Cite(at, citation.clone())));
        }
        deltas.extend(part.signature.iter().map(|signature| Delta::Sign(at, signature.clone())));
        if closes {
            deltas.push(Delta::Close(at));
        }
    }
    deltas.extend(answer.reported.iter().map(|reported| Delta::Usage(reported.clone())));
    deltas.extend(answer.service_tier.iter().map(|tier| Delta::Tier(tier.clone())));
    deltas.extend(answer.choices[0].finish.iter().map(|finish| Delta::Finish(0, finish.clone())));
    deltas.push(Delta::End);
    deltas
}

#[test]
fn proofs_of_other_makers_come_back_whole() {
    let call =
        || Body::ToolCall(ToolCall { id: "c".to_owned(), name: "f".to_owned(), arguments: "{}".to_owned() });
    let parts = vec![
        proved(thought("words"), Dialect::Anthropic, "sig"),
        proved(thought(""), Dialect::Anthropic, "omitted"),
        proved(
            Body::Reasoning(Reasoning { redacted: true, ..Reasoning::default() }),
            Dialect::Anthropic,
            "data",
        ),
        proved(thought("raw"), Dialect::OpenAiChat, ""),
        proved(Part::text("said").body, Dialect::Gemini, "g1"),
        proved(call(), Dialect::Gemini, "g2"),
        proved(thought("open"), OWN, "rs_7:"),
    ];
    let whole: Value = serde_json::from_slice(&response::write(&answer(parts.clone()), &show())).unwrap();
    let mut expected = parts;
    // Its maker's own id is told.
    let Body::Reasoning(last) = &mut expected[6].body else { panic!() };
    last.id = Some("rs_7".to_owned());
    let mut back = sent_back(&whole);
    assert_eq!(back.len(), expected.len(), "{whole:#}");
    let Body::Reasoning(made_up) = &mut back[6].body else { panic!() };
    assert!(made_up.id.is_some());
    for closes in [true, false] {
        let events = events(&told(&steps(&answer(back.clone()), closes)));
        assert_eq!(sent_back(&events.last().unwrap()["response"]).len(), back.len());
    }
    assert_eq!(back[..6], expected[..6], "{whole:#}");
    assert_eq!(back[6].signature.as_ref().unwrap().maker, OWN);
}

#[test]
fn a_proof_keeps_its_id_through_another_dialect() {
    let read = response::read(
        json!({"id": "resp_1", "output": [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}]})
        .to_string()
        .as_bytes(),
    )
    .unwrap();
    let signature = read.choices[0].parts[0].signature.clone().unwrap();
    for dialect in Dialect::ALL.into_iter().filter(|dialect| *dialect != OWN) {
        let back = Signature::came_from(dialect, &signature.show_to(dialect));
        let part = Part { signature: Some(back), ..thought("").into() };
        let (written, ..) = written(&foreign(dialect, vec![Turn::new(Role::Assistant, vec![part])]));
        assert_eq!(
            written["input"],
            json!([{"type": "reasoning", "summary": [], "id": "rs_1", "encrypted_content": "gAAA"}])
        );
    }
}

#[test]
fn an_answer_has_what_strict_types_need() {
    let citation = Citation {
        url: Some("https://x.y".to_owned()),
        title: None,
        quoted: None,
        start: None,
        end: None,
        native: None,
    };
    let text = Text {
        text: "é!".to_owned(),
        citations: vec![citation.clone(), Citation { url: None, ..citation }],
    };
    let mut answer = answer(vec![
        Body::Text(text).into(),
        Body::ToolCall(ToolCall { name: "f".to_owned(), ..ToolCall::default() }).into(),
        Body::Native(Dialect::Anthropic, json!({"type": "server_tool_use"})).into(),
        Body::Media(Media::new(MediaKind::Image, Source::Base64("AAAA".to_owned()), None)).into(),
    ]);
    answer.id = Some("msg_01".to_owned());
    answer.service_tier = Some("standard".to_owned());
    answer.choices[0].finish = Some(Finish::Length);
    let usage =
        Usage { input: 5, cache_read: 3, cache_write_1h: 2, output: 4, reasoning: 1, ..Usage::default() };
    answer.reported = Some(Reported { usage, ..Reported::default() });
    let echo = response::echo(&request(&json!({"model": "asked", "input": "x", "temperature": 0.5,
        "tools": [{"type": "function", "name": "f"}], "metadata": {"k": "v"}, "store": true})));
    let show = Show { echo: Some(echo), ..show() };
    let value: Value = serde_json::from_slice(&response::write(&answer, &show)).unwrap();
    assert_eq!(value["id"], "resp_req_1");
    assert_eq!((&value["object"], &value["created_at"]), (&json!("response"), &json!(1_700_000_000)));
    assert_eq!(
        (&value["status"], &value["incomplete_details"]),
        (&json!("incomplete"), &json!({"reason": "max_output_tokens"}))
    );
    assert_eq!((&value["model"], &value["service_tier"]), (&json!("asked"), &json!("default")));
    assert_eq!(
        value["usage"],
        json!({"input_tokens": 10, "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
        "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 15})
    );
    assert_eq!(
        (&value["temperature"], &value["metadata"], &value["store"]),
        (&json!(0.5), &json!({"k": "v"}), &json!(false))
    );
    assert_eq!(
        value["tools"],
        json!([{"type": "function", "name": "f", "parameters": null, "strict": true}])
    );
    for name in ["error", "instructions", "top_p", "parallel_tool_calls", "tool_choice", "text", "truncation"]
    {
        assert!(value.get(name).is_some(), "{name}");
    }
    assert_eq!(
        value["output"],
        json!([
            {"id": "msg_req_1_0", "type": "message", "status": "completed", "role": "assistant", "content": [
                {"type": "output_text", "text": "é!", "logprobs": [],
                 "annotations": [{"type": "url_citation", "url": "https://x.y", "title": "https://x.y", "start_index": 0, "end_index": 2}]}]},
            {"id": "fc_req_1_1", "type": "function_call", "status": "completed", "call_id": "call_req_1_1", "name": "f", "arguments": "{}"},
            {"type": "image_generation_call", "id": "ig_req_1_3", "status": "completed", "result": "AAAA"},
        ])
    );
}

#[test]
fn chats_log_probabilities_have_their_bytes() {
    let at = At { choice: 0, part: 0 };
    let top = json!([{"token": "e", "logprob": -2.0, "bytes": null}]);
    let deltas = [
        Delta::Open(at, Opened::Text),
        Delta::Append(at, "é".to_owned()),
        Delta::Logprobs(
            0,
            json!({"content": [{"token": "é", "logprob": -0.5, "bytes": null, "top_logprobs": top}]}),
        ),
        Delta::End,
    ];
    let events = events(&told(&deltas));
    let expected = json!([{"token": "é", "logprob": -0.5, "bytes": [195, 169],
        "top_logprobs": [{"token": "e", "logprob": -2.0, "bytes": [101]}]}]);
    let of_events: Vec<&Value> =
        events.iter().map(|event| &event["logprobs"]).filter(|list| list.is_array()).collect();
    assert_eq!(of_events, [&json!([]), &expected, &expected], "a delta, its probabilities, the whole");
    assert_eq!(events.last().unwrap()["response"]["output"][0]["content"][0]["logprobs"], expected);
}

#[test]
fn answers_that_are_none() {
    for body in [
        json!({"status": "failed", "output": [], "error": {"code": "server_error", "message": "broke"}}),
        json!({"status": "in_progress", "output": []}),
        json!({"choices": []}),
        json!([]),
    ] {
        assert!(response::read(body.to_string().as_bytes()).is_err(), "{body}");
    }
    let filtered =
        json!({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []});
    let answer = response::read(filtered.to_string().as_bytes()).unwrap();
    assert_eq!(answer.choices[0].finish, Some(Finish::Filtered(None)));
}

fn stream_of(events: &[Value]) -> Vec<Delta> {
    let text: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    deltas(text.as_bytes())
}

#[test]
fn errors_in_a_stream() {
    let failure = |events: &[Value]| {
        let assembly = assembled(&stream_of(events));
        assert!(!assembly.ended);
        assembly.error.unwrap()
    };
    let flat = json!({"type": "error", "code": "rate_limit_exceeded", "message": "slow down", "param": null, "sequence_number": 1});
    let limited = Failure {
        status: 429,
        kind: Some("rate_limit_exceeded".to_owned()),
        message: "slow down".to_owned(),
    };
    assert_eq!(failure(&[flat]), limited);
    let nested = json!({"type": "error", "error": {"type": "invalid_request_error", "code": "context_length_exceeded", "message": "long"}});
    assert_eq!(failure(&[nested]).status, 400);
    let failed = json!({"type": "response.failed", "response": {"id": "resp_1", "status": "failed", "output": [],
        "usage": {"input_tokens": 3, "output_tokens": 0, "total_tokens": 3}, "error": {"code": "server_error", "message": "broke"}}});
    let deltas = stream_of(std::slice::from_ref(&failed));
    assert!(matches!(&deltas[..], [Delta::Usage(_), Delta::Error(_)]), "{deltas:?}");
    assert_eq!(failure(&[failed]).status, 500);
    let of_chat = json!({"error": {"message": "no", "code": 529}});
    assert_eq!(failure(&[of_chat]).status, 529);
}

#[test]
fn known_unknown_and_corrupt_are_kept_apart() {
    let bytes = b": hello\n\nevent: response.new_thing\ndata: {\"type\":\"response.new_thing\",\"x\":1}\n\n\
        data: {\"type\":\"keepalive\"}\n\ndata: {\"type\":\"response.output_text.delta\",\"output_index\":0}\n\n\
        data: {oops\n\ndata: 7\n\ndata: {\"type\":3}\n\ndata: [DONE]\n\n";
    assert_eq!(
        deltas(bytes),
        [Delta::Ping, Delta::Ping, Delta::Corrupt, Delta::Corrupt, Delta::Corrupt, Delta::Corrupt]
    );
}

#[test]
fn servers_that_leave_events_out_are_understood() {
    let item =
        json!({"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{\"a\":1}"});
    let message = json!({"type": "message", "id": "msg_1", "role": "assistant", "content": [
        {"type": "output_text", "text": "abc", "annotations": [{"type": "url_citation", "url": "https://x.y"}]}]});
    let completed = json!({"type": "response.completed", "response": {"id": "resp_1", "model": "m", "status": "completed",
        "output": [message, item], "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}}});
    let whole = response::read(completed["response"].to_string().as_bytes()).unwrap();
    assert_eq!(assembled(&stream_of(std::slice::from_ref(&completed))).answer, whole, "all at the end");
    let items = [
        json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "a"}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": message}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{"}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": item}),
        completed.clone(),
    ];
    assert_eq!(assembled(&stream_of(&items)).answer, whole, "items without a beginning");
    let added = [
        json!({"type": "response.output_item.added", "output_index": 0, "item": message}),
        json!({"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "abc"}),
        json!({"type": "response.content_part.done", "output_index": 0, "content_index": 0, "part": message["content"][0]}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": item}),
        completed,
    ];
    assert_eq!(assembled(&stream_of(&added)).answer, whole, "items without an end");
}

#[test]
fn parts_may_interleave_and_go_on_late() {
    let at = |part: u32| At { choice: 0, part };
    let call = |id: &str| Opened::ToolCall { id: id.to_owned(), name: "f".to_owned() };
    let more = |part: u32, text: &str| Delta::Append(at(part), text.to_owned());
    let deltas = [
        Delta::Open(at(0), Opened::Text),
        more(0, "one "),
        Delta::Open(at(1), call("a")),
        Delta::Open(at(2), call("b")),
        more(1, "{\"x\":"),
        more(2, "{}"),
        more(0, "two"),
        more(1, "1}"),
        Delta::Finish(0, Finish::ToolCalls),
        Delta::End,
        Delta::Append(At { choice: 1, part: 0 }, "another answer has no place".to_owned()),
    ];
    let events = events(&told(&deltas));
    let output = &events.last().unwrap()["response"]["output"];
    let text = |index: usize| output[index]["content"][0]["text"].as_str().unwrap();
    assert_eq!((text(0), text(3)), ("one ", "two"), "{output:#}");
    assert_eq!((&output[1]["arguments"], &output[2]["arguments"]), (&json!("{\"x\":1}"), &json!("{}")));
    for (index, item) in output.as_array().unwrap().iter().enumerate() {
        let of_item = |kind: &str| {
            events.iter().filter(|event| event["type"] == kind && event["output_index"] == index).count()
        };
        assert_eq!(
            (of_item("response.output_item.added"), of_item("response.output_item.done")),
            (1, 1),
            "{item}"
        );
    }
}

#[test]
fn the_terminal_event_comes_with_the_end_alone() {
    let at = At { choice: 0, part: 0 };
    let mut deltas = vec![
        Delta::Open(at, Opened::Text),
        Delta::Append(at, "x".to_owned()),
        Delta::Finish(0, Finish::Stop),
    ];
    let kinds = |bytes: &[u8]| -> Vec<String> {
        events(bytes).iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    };
    let open = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
    ];
    assert_eq!(kinds(&told(&deltas)), open);
    let mut writer = stream::Writer::new(show());
    let mut out = Vec::new();
    deltas.iter().for_each(|delta| writer.push(delta, &mut out));
    writer.fail(&Refusal::new(502, "upstream_error", "upstream_error", "The provider broke off."), &mut out);
    let events = events(&out);
    let error = events.last().unwrap();
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("upstream_error")));
    assert_eq!(
        (&error["message"], &error["error"]["message"]),
        (&json!("The provider broke off."), &json!("The provider broke off."))
    );
    deltas.push(Delta::End);
    let all = [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(kinds(&told(&deltas))[open.len()..], all);
}
