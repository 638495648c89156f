//! Whatever the bytes: no panic, any split the same, and nothing is lost on the way out and in again.

use super::super::{embed, failure, request, response};
use super::{as_events, assembled, deltas, json_of, order, written};
use crate::{
    dialect::{Dialect, Show},
    model::{
        answer::{Answer, At, Choice, Delta, Finish, Opened, Reported},
        part::{Body, Part, Reasoning, Signature, ToolCall},
        usage::Usage,
    },
};
use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value, json};

const PATH: Option<(&str, bool)> = Some(("gemini-2.5-flash", false));

/// Members that mean something, in both spellings, and others.
const NAMES: &[&str] = &[
    "contents",
    "parts",
    "role",
    "text",
    "thought",
    "thoughtSignature",
    "thought_signature",
    "functionCall",
    "function_response",
    "name",
    "id",
    "args",
    "response",
    "inlineData",
    "fileData",
    "fileUri",
    "mimeType",
    "data",
    "tools",
    "functionDeclarations",
    "parameters",
    "toolConfig",
    "functionCallingConfig",
    "mode",
    "generationConfig",
    "generation_config",
    "responseSchema",
    "thinkingConfig",
    "thinkingBudget",
    "candidates",
    "content",
    "finishReason",
    "index",
    "usageMetadata",
    "promptTokenCount",
    "groundingMetadata",
    "groundingSupports",
    "groundingChunks",
    "segment",
    "endIndex",
    "partialArgs",
    "jsonPath",
    "stringValue",
    "willContinue",
    "logprobsResult",
    "chosenCandidates",
    "promptFeedback",
    "blockReason",
    "error",
    "details",
    "requests",
    "instances",
    "embeddings",
    "values",
    "type",
    "nullable",
    "propertyOrdering",
    "properties",
    "systemInstruction",
    "x",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0u64..5).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(vec!["STOP", "user", "model", "$.a[0].b", "$['x'][9999999999]", "ANY", "34s", "é", ""])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((select(NAMES), inner), 0..5).prop_map(|members| {
                Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }),
        ]
    })
}

/// Everything that reads bytes.
fn read_all(bytes: &[u8]) {
    if let Ok(read) = request::read(bytes, PATH) {
        for (kind, model) in
            [("gemini", "gemini-2.5-pro"), ("vertex", "gemini-3-pro-preview"), ("gemini", "x")]
        {
            let _ = request::write(&read, &order(kind, model, Some(1)));
        }
        let _ = request::write_count(&read, &order("gemini", "gemini-3-flash", None));
    }
    let _ = request::read_count(bytes, None);
    if let Ok(answer) = response::read(bytes) {
        let _ = response::write(&answer, &Show::default());
    }
    let _ = response::read_count(bytes);
    let _ = failure::read(500, bytes);
    let _ = failure::retry_delay_ms(bytes);
    if let Ok((read, _)) = embed::read(bytes, PATH) {
        let _ = embed::write(&read, &order("vertex", "text-embedding-005", None));
    }
    if let Ok(answer) = embed::read_answer(bytes) {
        let _ = embed::write_answer(&answer, embed::Form::Predict);
    }
}

fn stream_of(pieces: &[Value], separator: &str) -> Vec<u8> {
    pieces.iter().map(|piece| format!("data: {piece}{separator}")).collect::<String>().into_bytes()
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_all(&bytes);
        let _ = deltas(&bytes, 3);
    }

    #[test]
    fn no_json_panics(value in any_json(), more in any_json()) {
        let bytes = value.to_string();
        read_all(bytes.as_bytes());
        // Where it is looked at: as parts, as candidates, as tools.
        read_all(json!({ "contents": [{ "parts": value }], "tools": more, "toolConfig": value }).to_string().as_bytes());
        read_all(json!({ "candidates": [value, { "content": { "parts": [more] } }] }).to_string().as_bytes());
        let schema = crate::dialect::schema::from_openapi(value.clone());
        prop_assert_eq!(crate::dialect::schema::from_openapi(schema.clone()), schema);
    }

    #[test]
    fn any_split_of_a_stream_is_the_same_and_can_be_written(
        pieces in prop::collection::vec(any_json(), 0..5),
        separator in select(vec!["\n\n", "\r\n\r\n", "\r\r"]),
        size in 1usize..40,
    ) {
        let mut stream = stream_of(&pieces, separator);
        let candidates: Vec<_> =
            pieces.iter().map(|piece| json!({ "candidates": [{ "content": { "parts": [piece] } }] })).collect();
        stream.extend(stream_of(&candidates, separator));
        let steps = deltas(&stream, usize::MAX);
        prop_assert_eq!(&deltas(&stream, size), &steps);
        for array in [false, true] {
            let _ = written(&steps, array);
        }
    }

    #[test]
    fn a_request_is_the_same_after_writing_and_reading(body in a_request()) {
        let read = request::read(body.to_string().as_bytes(), PATH).unwrap();
        for kind in ["gemini", "vertex"] {
            let order = order(kind, "gemini-2.5-flash", read.output_cap);
            let written = request::write(&read, &order);
            prop_assert_eq!(&written.refused, &Vec::<String>::new());
            let mut expected = read.clone();
            if kind == "vertex" {
                expected.service_tier = None;
            }
            prop_assert_eq!(request::read(&written.body, PATH).unwrap(), expected);
        }
    }

    #[test]
    fn an_answer_is_the_same_after_writing_and_reading(answer in an_answer(false)) {
        let written = response::write(&answer, &Show::default());
        prop_assert_eq!(response::read(&written).unwrap(), with_googles_usage(answer));
    }

    #[test]
    fn a_stream_written_and_read_again_is_the_same_answer(
        answer in an_answer(true),
        cut in 1usize..6,
        closed in any::<bool>(),
        array in any::<bool>(),
    ) {
        let steps = steps_of(&answer, cut, closed);
        prop_assert_eq!(&assembled(&steps).answer, &answer, "the steps are those of the answer");
        let out = written(&steps, array);
        let events = if array { as_events(&out) } else { out };
        let again = assembled(&deltas(&events, 50));
        prop_assert!(again.ended && again.error.is_none());
        prop_assert_eq!(again.answer, with_googles_usage(answer));
    }
}

/// An answer whose usage is told by Google's object: what another dialect's becomes.
fn with_googles_usage(mut answer: Answer) -> Answer {
    if let Some(reported) = &mut answer.reported {
        let usage = &reported.usage;
        // Google tells no writing into caches apart.
        let input = usage.input_total() - usage.cache_read - usage.input_audio;
        reported.usage = Usage { input, cache_write_5m: 0, cache_write_1h: 0, ..*usage };
        let tier = answer.service_tier.as_deref();
        reported.json = super::super::usage::write(Some(reported), tier).unwrap().to_string();
    }
    answer
}

fn word() -> impl Strategy<Value = String> {
    "[a-zA-Zé✓ {}\"\\\\]{1,8}"
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::vec((word(), word()), 0..3)
        .prop_map(|all| Value::Object(all.into_iter().map(|(name, value)| (name, json!(value))).collect()))
}

fn signature() -> impl Strategy<Value = Option<Signature>> {
    let maker = select(vec![Dialect::Gemini, Dialect::Anthropic, Dialect::OpenAiResponses]);
    prop::option::of((maker, "[A-Za-z0-9+/]{4,12}").prop_map(|(maker, text)| Signature { maker, text }))
}

/// Parts as an answer has them; of two neighbours that a stream would join, none.
fn parts(stream: bool) -> impl Strategy<Value = Vec<Part>> {
    let body = prop_oneof![
        3 => word().prop_map(|text| Part::text(text).body),
        2 => word().prop_map(|text| Body::Reasoning(Reasoning { text, id: None, summary: true, redacted: false })),
        2 => ("[a-z]{0,4}", "[a-z_]{1,6}", object()).prop_map(|(id, name, arguments)| {
            Body::ToolCall(ToolCall { id, name, arguments: arguments.to_string() })
        }),
        1 => Just(Body::Native(Dialect::Gemini, json!({ "executableCode": { "code": "1" } }))),
    ];
    let part = (body, signature()).prop_map(|(body, signature)| Part { body, cache: None, signature });
    prop::collection::vec(part, 0..6).prop_map(move |mut parts| {
        if stream {
            let kind = |part: &Part| std::mem::discriminant(&part.body);
            parts.dedup_by(|next, last| {
                last.signature.is_none()
                    && kind(next) == kind(last)
                    && matches!(next.body, Body::Text(_) | Body::Reasoning(_))
            });
        }
        parts
    })
}

fn an_answer(stream: bool) -> impl Strategy<Value = Answer> {
    let finish = select(vec![
        Finish::Stop,
        Finish::Length,
        Finish::Filtered(None),
        Finish::Filtered(Some("RECITATION".to_owned())),
        Finish::Other("MALFORMED_FUNCTION_CALL".to_owned()),
    ]);
    let choice = (parts(stream), finish).prop_map(|(parts, finish)| {
        let called = parts.iter().any(|part| matches!(part.body, Body::ToolCall(_)));
        let finish = if called && finish == Finish::Stop { Finish::ToolCalls } else { finish };
        Choice { parts, finish: Some(finish), logprobs: None }
    });
    let usage = prop::array::uniform9(0u64..1_000_000).prop_map(|of| Usage {
        input: of[0],
        cache_read: of[1],
        cache_write_5m: of[2],
        cache_write_1h: of[3],
        input_audio: of[4],
        output: of[5],
        reasoning: of[6],
        output_audio: of[7],
        output_image: of[8],
    });
    (prop::collection::vec(choice, 1..3), usage).prop_map(|(choices, usage)| Answer {
        id: Some("r".to_owned()),
        model: Some("m".to_owned()),
        choices,
        reported: Some(Reported { usage, json: "{}".to_owned(), cost_nanousd: None }),
        service_tier: Some("flex".to_owned()),
    })
}

/// The steps of a stream that gives this answer, texts in pieces of so many characters.
fn steps_of(answer: &Answer, cut: usize, closed: bool) -> Vec<Delta> {
    let mut steps = vec![Delta::Begin { id: answer.id.clone(), model: answer.model.clone() }];
    for (choice, index) in answer.choices.iter().zip(0u32..) {
        for (part, number) in choice.parts.iter().zip(0u32..) {
            let at = At { choice: index, part: number };
            let (opened, text) = match &part.body {
                Body::Text(text) => (Opened::Text, text.text.clone()),
                Body::Reasoning(thoughts) => {
                    let opened = Opened::Reasoning { id: None, summary: true, redacted: thoughts.redacted };
                    (opened, thoughts.text.clone())
                }
                Body::ToolCall(call) => (
                    Opened::ToolCall { id: call.id.clone(), name: call.name.clone() },
                    call.arguments.clone(),
                ),
                Body::Native(dialect, value) => (Opened::Native(*dialect, value.clone()), String::new()),
                other => panic!("{other:?}"),
            };
            steps.push(Delta::Open(at, opened));
            let letters: Vec<char> = text.chars().collect();
            steps.extend(letters.chunks(cut).map(|piece| Delta::Append(at, piece.iter().collect())));
            steps.extend(part.signature.clone().map(|signature| Delta::Sign(at, signature)));
            // Calls are only known to be complete when they say so, or the answer is.
            if closed || matches!(part.body, Body::ToolCall(_)) {
                steps.push(Delta::Close(at));
            }
        }
        steps.push(Delta::Finish(index, choice.finish.clone().unwrap()));
    }
    steps.extend(answer.service_tier.clone().map(Delta::Tier));
    steps.extend(answer.reported.clone().map(Delta::Usage));
    steps.push(Delta::End);
    steps
}

/// A request as a client might send it, in either spelling.
fn a_request() -> impl Strategy<Value = Value> {
    let signed = |part: Value, signature: Option<String>| {
        let mut part = part;
        if let Some(signature) = signature {
            part["thought_signature"] = json!(signature);
        }
        part
    };
    let signature = || prop::option::of("[A-Za-z0-9+/]{4,12}");
    let said = (word(), signature()).prop_map(move |(text, by)| signed(json!({ "text": text }), by));
    let media = select(vec![
        json!({ "inline_data": { "mime_type": "image/png", "data": "AAAA" } }),
        json!({ "fileData": { "file_uri": "https://example.com/a.pdf", "mimeType": "application/pdf" } }),
        json!({ "fileData": { "fileUri": "gs://b/a.mp4", "mimeType": "video/mp4" } }),
    ]);
    let asked = prop::collection::vec(
        prop_oneof![3 => word().prop_map(|text| json!({ "text": text })), 1 => media],
        1..3,
    );
    let call = ("[a-z_]{1,5}", object(), signature(), object(), any::<bool>()).prop_map(
        move |(name, args, by, response, named)| {
            let mut call = json!({ "name": name, "args": args });
            let mut answer = json!({ "name": name, "response": response });
            if named {
                call["id"] = json!("c1");
                answer["id"] = json!("c1");
            }
            let call = signed(json!({ "functionCall": call }), by);
            (call, json!({ "function_response": answer }))
        },
    );
    let turn = (asked, prop::collection::vec(said, 1..3), prop::collection::vec(call, 0..3)).prop_map(
        |(asked, said, calls)| {
            let mut model: Vec<Value> = said;
            model.extend(calls.iter().map(|(call, _)| call.clone()));
            let results: Vec<Value> = calls.into_iter().map(|(_, result)| result).collect();
            let mut turns = vec![json!({ "role": "user", "parts": asked })];
            if !model.is_empty() {
                turns.push(json!({ "role": "model", "parts": model }));
            }
            if !results.is_empty() {
                turns.push(json!({ "role": "user", "parts": results }));
                turns.push(json!({ "role": "model", "parts": [{ "text": "done" }] }));
            }
            turns
        },
    );
    let config = select(vec![
        json!({}),
        json!({ "temperature": 0.5, "top_p": 0.9, "topK": 40.0, "seed": 7, "max_output_tokens": 5 }),
        json!({ "stop_sequences": ["x"], "candidateCount": 2, "responseLogprobs": true, "logprobs": 3 }),
        json!({ "response_mime_type": "application/json", "response_schema": { "type": "STRING" } }),
        json!({ "responseMimeType": "text/x.enum", "responseSchema": { "enum": ["a"] } }),
        json!({ "thinking_config": { "thinking_budget": -1, "include_thoughts": true } }),
        json!({ "thinkingConfig": { "thinkingLevel": "LOW" }, "mediaResolution": "MEDIA_RESOLUTION_LOW" }),
        json!({ "presencePenalty": 0.1, "frequencyPenalty": 0, "responseModalities": ["TEXT", "IMAGE"] }),
    ]);
    let rest = select(vec![
        json!({}),
        json!({ "systemInstruction": { "parts": [{ "text": "Be brief." }] }, "serviceTier": "flex" }),
        json!({ "safety_settings": [{ "category": "A" }], "cachedContent": "cachedContents/x" }),
        json!({ "tools": [{ "google_search": {} }], "tool_config": { "retrieval_config": { "x": 1 } } }),
        json!({ "toolConfig": { "functionCallingConfig": { "mode": "VALIDATED", "allowedFunctionNames": ["a", "b"] } } }),
        json!({ "toolConfig": { "functionCallingConfig": { "mode": "ANY" } } }),
        json!({ "toolConfig": { "functionCallingConfig": { "mode": "VALIDATED", "streamFunctionCallArguments": true } } }),
    ]);
    (prop::collection::vec(turn, 1..4), config, rest).prop_map(|(turns, config, rest)| {
        let mut body = Map::from_iter([("contents".to_owned(), json!(turns.concat()))]);
        body.insert("generation_config".to_owned(), config);
        body.extend(rest.as_object().unwrap().clone());
        Value::Object(body)
    })
}

#[test]
fn calls_whose_pieces_come_in_turns_are_written_whole() {
    let at = |part| At { choice: 0, part };
    let open = |part, id: &str, name: &str| {
        Delta::Open(at(part), Opened::ToolCall { id: id.to_owned(), name: name.to_owned() })
    };
    let steps = [
        Delta::Begin { id: None, model: None },
        open(0, "a", "first"),
        open(1, "b", "second"),
        Delta::Append(at(1), "{\"y\":".to_owned()),
        Delta::Append(at(0), "{\"x\":1}".to_owned()),
        Delta::Append(at(1), "2}".to_owned()),
        Delta::Finish(0, Finish::ToolCalls),
        Delta::End,
    ];
    let out = written(&steps, true);
    let pieces = json_of(&out);
    let calls: Vec<_> = pieces
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|piece| piece["candidates"][0]["content"]["parts"][0].get("functionCall"))
        .collect();
    let expected = [
        json!({ "id": "a", "name": "first", "args": { "x": 1 } }),
        json!({ "id": "b", "name": "second", "args": { "y": 2 } }),
    ];
    assert_eq!(calls, expected.iter().collect::<Vec<_>>());
    let last = pieces.as_array().unwrap().last().unwrap();
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    assert_eq!((&last["responseId"], &last["modelVersion"]), (&json!("req_1"), &json!("as-asked")));
}
