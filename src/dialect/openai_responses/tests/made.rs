//! What holds for whatever is made up.

use super::*;
use crate::{
    dialect::Dialect,
    model::{
        answer::{At, Choice, Finish, Opened, Reported},
        part::{Body, Citation, Part, Reasoning, Text, ToolCall},
        usage::Usage,
    },
};
use proptest::prelude::*;

fn words() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "é \"x\"\n", "\u{1F600}\\", "two\n\nlines", "{\"b\":[1,2]}"])
        .prop_map(str::to_owned)
}

/// Parts as this dialect can tell them.
fn part() -> impl Strategy<Value = Part> {
    let citation = (words(), 0u64..9).prop_map(|(title, start)| {
        let native = json!({"type": "url_citation", "url": "https://x.y", "title": title, "start_index": start, "end_index": 9});
        response::citation(native)
    });
    let text = (words(), prop::collection::vec(citation, 0..3))
        .prop_map(|(text, citations): (String, Vec<Citation>)| Body::Text(Text { text, citations }).into());
    let thoughts =
        (words(), any::<bool>(), 0..1_000_000u32, any::<bool>()).prop_map(|(text, summary, id, sealed)| {
            let id = format!("rs_{id}");
            let signature = (sealed || !summary).then(|| proof(Some(&id), if sealed { "gAAA" } else { "" }));
            let reasoning = Reasoning { text, id: Some(id), summary, redacted: false };
            Part { signature, ..Body::Reasoning(reasoning).into() }
        });
    let call = (0..9u32, words()).prop_map(|(id, arguments)| {
        Body::ToolCall(ToolCall { id: format!("call_{id}"), name: "f".to_owned(), arguments }).into()
    });
    let native = words().prop_map(|query| {
        Body::Native(OWN, json!({"type": "web_search_call", "id": "ws_1", "query": query})).into()
    });
    prop_oneof![text, words().prop_map(|text| Body::Refusal(text).into()), thoughts, call, native]
}

fn answers() -> impl Strategy<Value = Answer> {
    let usage = [0u64..9, 0..9, 0..9, 0..9, 0..9].prop_map(
        |[input, cache_read, cache_write_5m, output, reasoning]| {
            let usage = Usage { input, cache_read, cache_write_5m, output, reasoning, ..Usage::default() };
            Reported { usage, ..Reported::default() }
        },
    );
    let finish = prop::sample::select(vec![Finish::Stop, Finish::Length, Finish::Filtered(None)]);
    (prop::collection::vec(part(), 0..6), finish, usage).prop_map(|(parts, mut finish, reported)| {
        if finish == Finish::Stop && parts.iter().any(|part| matches!(part.body, Body::ToolCall(_))) {
            finish = Finish::ToolCalls;
        }
        Answer {
            id: Some("resp_1".to_owned()),
            model: Some("m".to_owned()),
            choices: vec![Choice { parts, finish: Some(finish), logprobs: None }],
            reported: Some(reported),
            service_tier: Some("default".to_owned()),
        }
    })
}

/// An answer's steps, in an order that keeps each part's own.
fn steps(answer: &Answer, closes: bool) -> Vec<Delta> {
    let mut deltas = vec![Delta::Begin { id: answer.id.clone(), model: answer.model.clone() }];
    for (part, at) in answer.choices[0].parts.iter().zip(0..) {
        let at = At { choice: 0, part: at };
        let (opened, text, citations) = match part.body.clone() {
            Body::Text(text) => (Opened::Text, text.text, text.citations),
            Body::Refusal(text) => (Opened::Refusal, text, vec![]),
            Body::Reasoning(Reasoning { text, id, summary, redacted }) => {
                (Opened::Reasoning { id, summary, redacted }, text, vec![])
            }
            Body::ToolCall(ToolCall { id, name, arguments }) => {
                (Opened::ToolCall { id, name }, arguments, vec![])
            }
            Body::Native(dialect, value) => (Opened::Native(dialect, value), String::new(), vec![]),
            other => panic!("{other:?}"),
        };
        deltas.push(Delta::Open(at, opened));
        deltas.extend(text.chars().map(|letter| Delta::Append(at, letter.to_string())));
        deltas.extend(citations.into_iter().map(|citation| Delta::Cite(at, citation)));
        deltas.extend(part.signature.iter().map(|signature| Delta::Sign(at, signature.clone())));
        if closes {
            deltas.push(Delta::Close(at));
        }
    }
    deltas.extend(answer.reported.iter().map(|reported| Delta::Usage(reported.clone())));
    deltas.push(Delta::Finish(0, answer.choices[0].finish.clone().unwrap()));
    deltas.push(Delta::Tier("default".to_owned()));
    deltas.push(Delta::End);
    deltas
}

/// A request's items.
fn item() -> impl Strategy<Value = Value> {
    let part = prop_oneof![
        words().prop_map(|text| json!({"type": "input_text", "text": text})),
        Just(json!({"type": "input_image", "image_url": "https://x.y/z.png", "detail": "low"})),
        Just(json!({"type": "input_file", "file_data": "AAAA", "filename": "a.pdf"})),
        Just(json!({"type": "input_file", "file_id": "file-1", "detail": "high"})),
        Just(json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}})),
    ];
    let parts = prop::collection::vec(part, 1..4);
    prop_oneof![
        (prop::sample::select(vec!["user", "system", "developer", "assistant"]), words())
            .prop_map(|(role, text)| json!({"role": role, "content": text})),
        parts.clone().prop_map(|content| json!({"type": "message", "role": "user", "content": content})),
        words().prop_map(|text| json!({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": text}]})),
        words().prop_map(|text| json!({"type": "reasoning", "id": "rs_2", "summary": [], "content": [{"type": "reasoning_text", "text": text}], "encrypted_content": "gAAA"})),
        words().prop_map(|text| json!({"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": text})),
        parts.prop_map(|output| json!({"type": "function_call_output", "call_id": "c", "output": output})),
        words().prop_map(|text| json!({"type": "custom_tool_call", "call_id": "c", "name": "f", "input": text})),
        Just(json!({"type": "item_reference", "id": "msg_1"})),
    ]
}

proptest! {
    #[test]
    fn a_request_comes_back(items in prop::collection::vec(item(), 1..7)) {
        let request = request(&json!({"model": "m", "instructions": "i", "input": items, "reasoning": {"effort": "low", "mode": "pro"}}));
        let (again, dropped, refused) = written(&request);
        prop_assert!(dropped.is_empty() && refused.is_empty());
        prop_assert_eq!(super::request(&again), request);
    }

    #[test]
    fn an_answer_comes_back(answer in answers()) {
        let back = response::read(&response::write(&answer, &show())).unwrap();
        prop_assert_eq!(shown(back), shown(answer));
    }

    #[test]
    fn a_stream_comes_back_however_it_is_cut(answer in answers(), closes: bool, size in 1usize..40) {
        let bytes = told(&steps(&answer, closes));
        let mut reader = stream::Reader::default();
        let mut pieces = Vec::new();
        for chunk in bytes.chunks(size) {
            pieces.extend(reader.push(chunk));
        }
        pieces.extend(reader.finish());
        prop_assert_eq!(&pieces, &deltas(&bytes));
        let assembly = assembled(&pieces);
        prop_assert!(assembly.ended);
        prop_assert_eq!(shown(assembly.answer), shown(answer.clone()));
        let mut body: Value = serde_json::from_slice(&response::write(&answer, &show())).unwrap();
        let mut events = events(&bytes);
        let last = &mut events.last_mut().unwrap()["response"];
        // A call that is closed is complete, whatever comes of the rest.
        for item in [&mut *last, &mut body].into_iter().flat_map(|response| response["output"].as_array_mut().unwrap()) {
            item["status"].take();
        }
        prop_assert_eq!(last, &mut body);
    }

    /// Any steps in any order: the events hold together, and no text is lost or told twice.
    #[test]
    fn any_steps_make_a_whole_stream(steps in prop::collection::vec((0u8..6, 0u32..4, 0u8..5), 0..60)) {
        let mut deltas = Vec::new();
        let mut open: Vec<u8> = Vec::new();
        let mut said = 0;
        for (what, part, kind) in steps {
            let at = At { choice: 0, part: part % (open.len() as u32).max(1) };
            match what {
                0 => {
                    let opened = match kind {
                        0 => Opened::Text,
                        1 => Opened::Refusal,
                        2 => Opened::Reasoning { id: None, summary: true, redacted: false },
                        3 => Opened::Reasoning { id: None, summary: false, redacted: false },
                        _ => Opened::ToolCall { id: "c".to_owned(), name: "f".to_owned() },
                    };
                    deltas.push(Delta::Open(At { choice: 0, part: open.len() as u32 }, opened));
                    open.push(kind);
                }
                1 | 2 if !open.is_empty() => {
                    deltas.push(Delta::Append(at, "x".to_owned()));
                    said += usize::from(open[at.part as usize] != 4);
                }
                3 if open.get(at.part as usize).is_some_and(|kind| *kind != 4) => deltas.push(Delta::Close(at)),
                4 => deltas.push(Delta::Sign(at, crate::model::part::Signature { maker: Dialect::Gemini, text: "s".to_owned() })),
                5 => deltas.push(Delta::Logprobs(0, json!({"content": [{"token": "x", "logprob": 0.0, "bytes": [], "top_logprobs": []}]}))),
                _ => {}
            }
        }
        deltas.push(Delta::End);
        let events = events(&told(&deltas));
        let response = &events.last().unwrap()["response"];
        let count = |value: &Value, name: &str| value[name].as_str().map_or(0, str::len);
        let mut told = 0;
        for item in response["output"].as_array().unwrap() {
            for list in ["content", "summary"] {
                for part in item[list].as_array().into_iter().flatten() {
                    told += count(part, "text") + count(part, "refusal");
                }
            }
        }
        prop_assert_eq!(told, said);
        let items = response["output"].as_array().unwrap().len();
        let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
        prop_assert_eq!((of("response.output_item.added"), of("response.output_item.done")), (items, items));
        prop_assert_eq!(of("response.content_part.added"), of("response.content_part.done"));
        let by_deltas: usize = ["response.output_text.delta", "response.refusal.delta", "response.reasoning_summary_text.delta", "response.reasoning_text.delta"]
            .iter()
            .map(|kind| events.iter().filter(|event| event["type"] == *kind).map(|event| count(event, "delta")).sum::<usize>())
            .sum();
        prop_assert_eq!(by_deltas, said);
    }

    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = request::read(&body, None);
        let _ = response::read(&body);
        let _ = failure::read(500, &body);
        let _ = deltas(&body);
    }

    /// Known types with whatever members.
    #[test]
    fn no_json_panics(kind in prop::sample::select(KINDS), values in prop::collection::vec(anything(), 6)) {
        let [a, b, c, d, e, f] = <[Value; 6]>::try_from(values).unwrap();
        let item = json!({"type": kind, "id": a, "content": b, "role": "user", "output": c, "call_id": d, "text": e, "summary": f});
        let _ = request::read(json!({"model": "m", "input": [item], "tools": [item], "text": item, "tool_choice": item}).to_string().as_bytes(), None);
        let _ = request::read(json!({"model": "m", "input": [{"role": "user", "content": [item]}]}).to_string().as_bytes(), None);
        let _ = response::read(json!({"output": [item], "usage": a, "status": b}).to_string().as_bytes());
        let event = json!({"type": kind, "output_index": a, "content_index": b, "item": item, "part": item, "delta": c,
            "response": {"output": [item], "usage": d, "error": e}, "summary_index": f, "text": e, "error": d});
        let _ = deltas(format!("data: {event}\n\n").as_bytes());
    }
}

const KINDS: &[&str] = &[
    "message",
    "reasoning",
    "function_call",
    "function_call_output",
    "output_text",
    "input_text",
    "input_image",
    "input_file",
    "input_audio",
    "function",
    "json_schema",
    "allowed_tools",
    "response.created",
    "response.output_item.added",
    "response.output_item.done",
    "response.content_part.added",
    "response.content_part.done",
    "response.output_text.delta",
    "response.output_text.done",
    "response.output_text.annotation.added",
    "response.refusal.delta",
    "response.function_call_arguments.delta",
    "response.reasoning_summary_part.added",
    "response.reasoning_summary_text.delta",
    "response.reasoning_text.delta",
    "response.completed",
    "response.failed",
    "error",
];

fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0u64..3).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words().prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([{"type": "output_text", "text": "é"}, {"type": "input_text", "text": 1}, 3])),
        Just(json!({"input_tokens": 3, "output_tokens": 1u64, "total_tokens": 0})),
    ]
}
