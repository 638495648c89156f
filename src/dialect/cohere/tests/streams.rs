//! Answers and streams, made up.

use super::*;

fn event(value: &Value) -> Vec<Delta> {
    deltas(&sse(std::slice::from_ref(value)))
}

/// As in Cohere's guide to streams with tools: a plan, then calls.
fn tool_stream() -> Vec<Value> {
    let message = |kind: &str, index: u64, message: Value| json!({"type": kind, "index": index, "delta": {"message": message}});
    vec![
        json!({"type": "message-start", "id": "s-1", "delta": {"message": {"role": "assistant", "content": [],
               "tool_plan": "", "tool_calls": [], "citations": []}}}),
        json!({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I will"}}}),
        json!({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": " look."}}}),
        message(
            "tool-call-start",
            0,
            json!({"tool_calls": {"id": "a", "type": "function",
                "function": {"name": "weather", "arguments": ""}}}),
        ),
        message("tool-call-delta", 0, json!({"tool_calls": {"function": {"arguments": "{\"city\":"}}})),
        message("tool-call-delta", 0, json!({"tool_calls": {"function": {"arguments": "\"Paris\"}"}}})),
        json!({"type": "tool-call-end", "index": 0}),
        message(
            "tool-call-start",
            1,
            json!({"tool_calls": {"id": "b", "type": "function",
                "function": {"name": "time", "arguments": ""}}}),
        ),
        json!({"type": "tool-call-end", "index": 1}),
        json!({"type": "message-end", "delta": {"finish_reason": "TOOL_CALL",
               "usage": {"billed_units": {"input_tokens": 5.0, "output_tokens": 7}}}}),
    ]
}

#[test]
fn a_plan_and_calls_assemble_to_the_answer_that_is_not_streamed() {
    let call = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let whole = json!({"id": "s-1", "finish_reason": "TOOL_CALL",
        "usage": {"billed_units": {"input_tokens": 5.0, "output_tokens": 7}},
        "message": {"role": "assistant", "tool_plan": "I will look.",
                    "tool_calls": [call("a", "weather", "{\"city\":\"Paris\"}"), call("b", "time", "null")]}});
    let answer = response::read(whole.to_string().as_bytes()).unwrap();
    let steps = deltas(&sse(&tool_stream()));
    assert_eq!(assembled(&steps).answer, answer);
    assert_eq!(calls(&answer)[1].2, json!({}));
    assert_eq!(answer.reported.unwrap().usage, Usage { input: 5, output: 7, ..Usage::default() });
    // The plan is over before the calls begin.
    let closed = steps.iter().position(|step| *step == Delta::Close(At { choice: 0, part: 0 })).unwrap();
    let opened = steps.iter().position(|step| matches!(step, Delta::Open(at, _) if at.part == 1)).unwrap();
    assert!(closed < opened);
}

#[test]
fn events_need_neither_a_name_nor_a_type_in_the_data_but_one_of_them() {
    let named = sse(&tool_stream());
    let bare: String = tool_stream().iter().map(|event| format!("data: {event}\n\n")).collect();
    assert_eq!(deltas(bare.as_bytes()), deltas(&named));
    let untyped: String = tool_stream()
        .into_iter()
        .map(|mut event| {
            let kind = event.as_object_mut().unwrap().shift_remove("type").unwrap();
            format!("event: {}\ndata: {event}\n\n", kind.as_str().unwrap())
        })
        .collect();
    assert_eq!(deltas(untyped.as_bytes()), deltas(&named));
    assert_eq!(deltas(b"data: {\"index\": 0}\n\n"), [Delta::Corrupt]);
}

#[test]
fn what_is_unknown_is_skipped_and_what_is_corrupt_is_named() {
    assert_eq!(event(&json!({"type": "weather-start", "index": 0})), []);
    assert_eq!(event(&json!({"type": "citation-end", "index": 0})), []);
    assert_eq!(deltas(b": keep-alive\n\n"), [Delta::Ping]);
    for corrupt in [
        &b"data: {\"type\n\n"[..],
        b"data: 3\n\n",
        b"event: content-start\ndata: {\"type\":\"content-start\",\"index\":0}\n\n",
        b"data: {\"type\":\"tool-call-delta\",\"index\":0,\"delta\":{\"message\":{\"tool_calls\":{\"function\":{\"arguments\":\"x\"}}}}}\n\n",
        b"data: {\"type\":\"tool-plan-delta\",\"delta\":{\"message\":{\"tool_plan\":3}}}\n\n",
    ] {
        assert_eq!(deltas(corrupt), [Delta::Corrupt], "{}", String::from_utf8_lossy(corrupt));
    }
    // A block whose beginning got lost is still text.
    let lost = event(
        &json!({"type": "content-delta", "index": 2, "delta": {"message": {"content": {"text": "x"}}}}),
    );
    assert_eq!(lost.len(), 2);
    // `[DONE]` and whatever else follows the end says nothing.
    let mut bytes = sse(&tool_stream());
    bytes.extend_from_slice(b"data: [DONE]\n\ndata: {\"type\":\"message-start\"}\n\n");
    assert_eq!(deltas(&bytes), deltas(&sse(&tool_stream())));
}

#[test]
fn an_error_in_a_stream_is_no_end() {
    let broken =
        event(&json!({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "overloaded"}}));
    let failure = Failure { status: 502, kind: None, message: "overloaded".into() };
    assert_eq!(broken, [Delta::Error(failure)]);
    let assembly = assembled(&deltas(b"data: {\"message\":\"internal server error\"}\n\n"));
    assert_eq!(assembly.error.unwrap().message, "internal server error");
    assert!(!assembly.ended);
}

#[test]
fn citations_are_put_to_the_text_they_are_about() {
    let cite = |extra: Value| {
        let mut citation = json!({"start": 0, "end": 1, "text": "x", "sources": [{"type": "document", "id": "d",
            "document": {"title": "T", "url": "https://x.y", "snippet": "words"}}], "type": "TEXT_CONTENT"});
        citation.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"type": "citation-start", "index": 0, "delta": {"message": {"citations": citation}}})
    };
    let start = |index: u64, kind: &str| {
        json!({"type": "content-start", "index": index,
        "delta": {"message": {"content": {"type": kind, kind: "x"}}}})
    };
    let stream = [
        start(0, "thinking"),
        start(1, "text"),
        cite(json!({})),
        cite(json!({"content_index": 1})),
        start(2, "text"),
        cite(json!({"content_index": 2})),
        cite(json!({"type": "THINKING_CONTENT", "content_index": 0})),
        json!({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "p"}}}),
        cite(json!({"type": "PLAN"})),
    ];
    let answer = assembled(&deltas(&sse(&stream))).answer;
    let counts: Vec<usize> = answer.choices[0]
        .parts
        .iter()
        .map(|part| match &part.body {
            Body::Text(text) => text.citations.len(),
            _ => 0,
        })
        .collect();
    assert_eq!(counts, [0, 2, 1, 1]);
    let Body::Text(text) = &answer.choices[0].parts[1].body else { panic!() };
    assert_eq!(text.citations[0].url.as_deref(), Some("https://x.y"));
    assert_eq!(text.citations[0].quoted.as_deref(), Some("words"));
}

#[test]
fn anothers_citation_is_written_with_its_passage_and_source() {
    let citation = Citation {
        url: Some("https://x.y".into()),
        title: Some("T".into()),
        quoted: None,
        start: Some(1),
        end: Some(3),
        native: Some((Dialect::Anthropic, json!({"type": "web"}))),
    };
    let text = Text { text: "éàü!".into(), citations: vec![citation] };
    let choice = Choice { parts: vec![Body::Text(text).into()], finish: Some(Finish::Stop), logprobs: None };
    let answer = Answer { choices: vec![choice], ..Answer::default() };
    let shown: Value = serde_json::from_slice(&response::write(&answer, &Show::default())).unwrap();
    assert_eq!(
        shown["message"]["citations"][0],
        json!({"start": 1, "end": 3, "text": "àü", "type": "TEXT_CONTENT",
        "sources": [{"type": "document", "id": "https://x.y", "document": {"title": "T", "url": "https://x.y"}}]})
    );
}

#[test]
fn usage_is_what_is_billed_and_else_what_was_processed() {
    let usage = |text: &str| response::reported(text).map(|reported| reported.usage);
    let both = r#"{"billed_units":{"input_tokens":8,"output_tokens":50},"tokens":{"input_tokens":1394,"output_tokens":54},"cached_tokens":1360}"#;
    assert_eq!(usage(both), Some(Usage { input: 8, output: 50, ..Usage::default() }));
    let tokens = r#"{"billed_units":{},"tokens":{"input_tokens":100,"output_tokens":5},"cached_tokens":160}"#;
    assert_eq!(usage(tokens), Some(Usage { input: 0, cache_read: 100, output: 5, ..Usage::default() }));
    assert_eq!(usage("{}"), None);
    assert_eq!(
        usage(r#"{"billed_units":{"input_tokens":-3.5,"output_tokens":1e300}}"#),
        Some(Usage { input: 0, output: u64::MAX, ..Usage::default() })
    );
}

#[test]
fn every_word_for_the_end_is_read_and_written() {
    for (word, finish) in [
        ("COMPLETE", Finish::Stop),
        ("STOP_SEQUENCE", Finish::StopSequence(None)),
        ("MAX_TOKENS", Finish::Length),
        ("TOOL_CALL", Finish::ToolCalls),
        ("ERROR_TOXIC", Finish::Filtered(None)),
        ("ERROR", Finish::Other("ERROR".into())),
        ("TIMEOUT", Finish::Other("TIMEOUT".into())),
    ] {
        assert_eq!(response::finish(word), finish);
        assert_eq!(response::finish_word(Some(&finish)), word);
    }
    assert_eq!(response::finish("ERROR_LIMIT"), Finish::Length);
    assert_eq!(response::finish_word(Some(&Finish::Other("MALFORMED_FUNCTION_CALL".into()))), "ERROR");
}

#[test]
fn what_is_no_answer_is_corrupt() {
    for body in [
        "",
        "[]",
        "{}",
        r#"{"message":"model not found"}"#,
        r#"{"message":{"content":3}}"#,
        r#"{"message":{"content":[{"text":"x"}]}}"#,
        r#"{"message":{"tool_calls":[{}]}}"#,
    ] {
        assert!(response::read(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn a_refusal_ends_a_clients_stream_without_its_terminal_event_of_success() {
    let mut writer = stream::Writer::new(Show { id: "r".into(), ..Show::default() });
    let mut out = Vec::new();
    let at = At::default();
    writer.push(&Delta::Open(at, Opened::Text), &mut out);
    writer.push(&Delta::Append(at, "x".into()), &mut out);
    writer.fail(&Refusal::bad_request("invalid_json", "It broke."), &mut out);
    let assembly = assembled(&deltas(&out));
    assert!(!assembly.ended);
    assert_eq!(assembly.error.unwrap().message, "It broke.");
    assert_eq!(assembly.answer.id.as_deref(), Some("r"));
    let refusal = Refusal::bad_param("invalid_type", "p", "p must be a number").with("limit", 3);
    let error: Value = serde_json::from_str(&failure::write(&refusal)).unwrap();
    assert_eq!(
        error,
        json!({"message": "p must be a number", "code": "invalid_type", "type": "invalid_request_error",
                             "param": "p", "limit": 3})
    );
}

fn words() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "x",
        "Paris ist schön",
        "{\"a\":\"\\n\"}",
        "data: [DONE]\n\n",
        "é\u{1F600}",
        " ",
    ])
    .prop_map(str::to_owned)
}

/// An answer as Cohere could give it: thoughts, texts, calls.
fn answers() -> impl Strategy<Value = Answer> {
    let call = (words(), 0..5u64).prop_map(|(name, n)| {
        let arguments = json!({"n": n, "name": name}).to_string();
        Body::ToolCall(ToolCall { id: format!("c{n}"), name, arguments })
    });
    let finish = prop::sample::select(vec![
        Finish::Stop,
        Finish::Length,
        Finish::ToolCalls,
        Finish::StopSequence(None),
        Finish::Filtered(None),
        Finish::Other("ERROR".into()),
    ]);
    let usage = prop::option::of((0..1_000u64, 0..1_000u64));
    (
        prop::collection::vec(words(), 0..2),
        prop::collection::vec((words(), any::<bool>()), 0..3),
        prop::collection::vec(call, 0..3),
        finish,
        usage,
        prop::option::of(words()),
    )
        .prop_map(|(thoughts, texts, calls, finish, usage, token)| {
            let last_text = texts.len().checked_sub(1);
            let mut parts: Vec<Part> = thoughts.into_iter().map(|text| Part {
                body: Body::Reasoning(Reasoning { text, ..Reasoning::default() }),
                cache: None,
                signature: Some(Signature { maker: Dialect::Cohere, text: String::new() }),
            }).collect();
            for (index, (text, cited)) in texts.into_iter().enumerate() {
                let mut native = json!({"start": 0, "end": 1, "text": "x", "sources": [], "type": "TEXT_CONTENT"});
                if index > 0 {
                    native["content_index"] = json!(parts.len());
                }
                let plan = !calls.is_empty() && last_text == Some(index);
                let citations = if cited && !plan { vec![super::super::citation(&native)] } else { vec![] };
                parts.push(Body::Text(Text { text, citations }).into());
            }
            let text_any = last_text.is_some();
            parts.extend(calls.into_iter().map(Part::from));
            let logprobs = token.filter(|_| text_any).map(|token| {
                json!({"content": [{"token": token, "logprob": -0.5, "bytes": token.as_bytes(), "top_logprobs": []}]})
            });
            let reported = usage.map(|(input, output)| Reported {
                usage: Usage { input, output, ..Usage::default() },
                json: json!({"billed_units": {"input_tokens": input, "output_tokens": output}}).to_string(),
                cost_nanousd: None,
            });
            Answer { id: Some("a-1".into()), model: None, choices: vec![Choice { parts, finish: Some(finish), logprobs }],
                reported, service_tier: None }
        })
}

/// The steps that an answer could have come in.
fn steps(answer: &Answer) -> Vec<Delta> {
    let choice = &answer.choices[0];
    let mut steps = vec![Delta::Begin { id: answer.id.clone(), model: None }];
    for (number, part) in choice.parts.iter().enumerate() {
        let at = At { choice: 0, part: number as u32 };
        let (opened, text) = match &part.body {
            Body::Text(text) => (Opened::Text, &text.text),
            Body::Reasoning(thoughts) => {
                (Opened::Reasoning { id: None, summary: false, redacted: false }, &thoughts.text)
            }
            Body::ToolCall(call) => {
                (Opened::ToolCall { id: call.id.clone(), name: call.name.clone() }, &call.arguments)
            }
            other => panic!("{other:?}"),
        };
        steps.push(Delta::Open(at, opened));
        let middle = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
        let pieces = [&text[..middle], &text[middle..]];
        steps.extend(
            pieces
                .iter()
                .filter(|piece| !piece.is_empty())
                .map(|piece| Delta::Append(at, (*piece).to_owned())),
        );
        if let Body::Text(text) = &part.body {
            steps.extend(text.citations.iter().map(|citation| Delta::Cite(at, citation.clone())));
        }
        steps.extend(part.signature.clone().map(|signature| Delta::Sign(at, signature)));
        steps.push(Delta::Close(at));
    }
    steps.extend(choice.logprobs.clone().map(|logprobs| Delta::Logprobs(0, logprobs)));
    steps.extend(choice.finish.clone().map(|finish| Delta::Finish(0, finish)));
    steps.extend(answer.reported.clone().map(Delta::Usage));
    steps.push(Delta::End);
    steps
}

proptest! {
    #[test]
    fn an_answer_written_is_read_the_same(answer in answers()) {
        let written = response::write(&answer, &Show::default());
        prop_assert_eq!(response::read(&written).unwrap(), answer);
    }

    #[test]
    fn a_stream_written_assembles_to_the_same_answer(answer in answers(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let mut writer = stream::Writer::new(Show::default());
        let mut bytes = Vec::new();
        for step in steps(&answer) {
            writer.push(&step, &mut bytes);
        }
        let whole = deltas(&bytes);
        let assembly = assembled(&whole);
        prop_assert_eq!(&assembly.answer, &answer);
        prop_assert!(assembly.ended && !whole.contains(&Delta::Corrupt));
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
        at.sort_unstable();
        let mut reader = stream::Reader::default();
        let mut pieces: Vec<Delta> = at.windows(2).flat_map(|pair| reader.push(&bytes[pair[0]..pair[1]])).collect();
        pieces.extend(reader.finish());
        prop_assert_eq!(pieces, whole);
        // Parts that nobody closed are closed at the end.
        let mut writer = stream::Writer::new(Show::default());
        let mut bytes = Vec::new();
        for step in steps(&answer).iter().filter(|step| !matches!(step, Delta::Close(_))) {
            writer.push(step, &mut bytes);
        }
        prop_assert_eq!(&assembled(&deltas(&bytes)).answer, &answer);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = deltas(&bytes);
        let _ = response::read(&bytes);
        let _ = request::read(&bytes, None);
        let _ = failure::read(500, &bytes);
    }

    #[test]
    fn no_json_panics(value in any_json()) {
        let text = value.to_string();
        let _ = response::read(text.as_bytes());
        let _ = failure::read(400, text.as_bytes());
        let _ = response::reported(&text);
        if let Ok(request) = request::read(text.as_bytes(), None) {
            let _ = request::write(&request, &order("m"));
        }
        let steps = deltas(format!("data: {text}\n\n").as_bytes());
        let mut writer = stream::Writer::new(Show::default());
        let mut out = Vec::new();
        for step in &steps {
            writer.push(step, &mut out);
        }
        let answer = assembled(&steps).answer;
        let _ = response::write(&answer, &Show::default());
    }
}

/// Nonsense from the dialect's own words.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "model",
        "messages",
        "role",
        "user",
        "assistant",
        "tool",
        "content",
        "type",
        "text",
        "thinking",
        "image_url",
        "url",
        "document",
        "data",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "tool_plan",
        "citations",
        "sources",
        "tools",
        "parameters",
        "response_format",
        "json_object",
        "json_schema",
        "message",
        "delta",
        "index",
        "content-start",
        "content-delta",
        "tool-call-start",
        "tool-plan-delta",
        "citation-start",
        "message-end",
        "usage",
        "billed_units",
        "input_tokens",
        "finish_reason",
        "enabled",
        "token_budget",
        "logprobs",
        "tool_call_id",
        "id",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((word.clone(), inner), 0..6).prop_map(|members| Value::Object(
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            )),
        ]
    })
}
