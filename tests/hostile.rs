//! Streams that no provider sends: what is read of them and written has an end, and the client is told.

use edgehold::{
    dialect::{self, Dialect, Show},
    model::answer::{At, Delta, Opened},
    refusal::Refusal,
    stream::{
        aws_eventstream::Message,
        meter::{
            IDLE_BYTES_MAX, Listener, Meaning, PARTS_MAX, TRANSLATED_BYTES_MAX, Translator, WALKED_BYTES_MAX,
            WHOLE_BYTES_MAX,
        },
        sse::EVENT_BYTES_MAX,
    },
};

const CLIENTS: [Dialect; 4] =
    [Dialect::OpenAiChat, Dialect::OpenAiResponses, Dialect::Anthropic, Dialect::Gemini];
const PROVIDERS: [Dialect; 6] = [
    Dialect::OpenAiChat,
    Dialect::OpenAiResponses,
    Dialect::Anthropic,
    Dialect::Gemini,
    Dialect::Bedrock,
    Dialect::Cohere,
];

/// One more call, which is never closed, with an id that is empty.
fn call(dialect: Dialect, i: u64) -> Vec<u8> {
    let event = |data: String| format!("data: {data}\n\n").into_bytes();
    match dialect {
        Dialect::OpenAiChat => event(format!(
            r#"{{"id":"c","choices":[{{"index":0,"delta":{{"tool_calls":[{{"index":{i},"id":"","type":"function","function":{{"name":"f","arguments":"{{}}"}}}}]}}}}]}}"#
        )),
        Dialect::OpenAiResponses => event(format!(
            r#"{{"type":"response.output_item.added","sequence_number":{i},"output_index":{i},"item":{{"id":"","type":"function_call","call_id":"","name":"f","arguments":"","status":"in_progress"}}}}"#
        )),
        Dialect::Anthropic => event(format!(
            r#"{{"type":"content_block_start","index":{i},"content_block":{{"type":"tool_use","id":"","name":"f","input":{{}}}}}}"#
        )),
        Dialect::Gemini => event(
            r#"{"candidates":[{"index":0,"content":{"role":"model","parts":[{"functionCall":{"id":"","name":"f","args":{}}}]}}]}"#
                .to_owned(),
        ),
        Dialect::Cohere => event(format!(
            r#"{{"type":"tool-call-start","index":{i},"delta":{{"message":{{"tool_calls":{{"id":"","type":"function","function":{{"name":"f","arguments":""}}}}}}}}}}"#
        )),
        Dialect::Bedrock => {
            let payload =
                format!(r#"{{"contentBlockIndex":{i},"start":{{"toolUse":{{"toolUseId":"","name":"f"}}}}}}"#);
            let headers = [(":event-type", "contentBlockStart"), (":message-type", "event")];
            let mut out = Vec::new();
            assert!(Message::of_texts(&headers, payload.as_bytes()).encode(&mut out));
            out
        }
    }
}

/// A text of a provider of chat's.
fn text(text: &str) -> Vec<u8> {
    let data = serde_json::json!({"id": "c", "choices": [{"index": 0, "delta": {"content": text}}]});
    format!("data: {data}\n\n").into_bytes()
}

fn translator(provider: Dialect, client: Dialect) -> Translator {
    Translator::new(dialect::reader(provider), dialect::writer(client, Show::default()))
}

/// Nothing more is written but the error, and no end of an answer ever was.
fn is_over(mut translator: Translator, client: Dialect, mut out: Vec<u8>) {
    assert!(translator.seen().too_much && translator.seen().lost && !translator.seen().complete());
    let more = [text("more"), b"data: [DONE]\n\n".to_vec()].concat();
    assert_eq!(translator.push_judging(&more).0, b"");
    assert_eq!(translator.finish(), b"");
    out.extend(translator.fail(&Refusal::new(502, "upstream_error", "stream_truncated", "It broke off.")));
    let out = String::from_utf8_lossy(&out);
    let last = out.trim_end().rsplit("\n\n").next().unwrap_or_default();
    assert!(last.contains("It broke off."), "{client:?}: {last}");
    for end in ["[DONE]", "message_stop", "response.completed", "finishReason"] {
        assert!(!out.contains(end), "{client:?}: {end}");
    }
}

#[test]
fn a_hundred_thousand_open_calls_are_not_read() {
    // Each format once at either side.
    let pairs = PROVIDERS.iter().enumerate().map(|(i, provider)| (*provider, CLIENTS[i % CLIENTS.len()]));
    for (provider, client) in pairs {
        let mut translator = translator(provider, client);
        let (mut out, mut read) = (Vec::new(), 0);
        for i in 0..100_000 {
            out.extend(translator.push_judging(&call(provider, i)).0);
            read += 1;
            if translator.seen().too_much {
                break;
            }
        }
        assert_eq!(read, PARTS_MAX + 1, "{provider:?}");
        is_over(translator, client, out);
    }
}

#[test]
fn pictures_without_end_are_not_kept() {
    let data = "A".repeat(4 << 20);
    let pictures = [
        serde_json::json!({"inlineData": {"mimeType": "image/png", "data": data}}),
        serde_json::json!({"executableCode": {"language": "PYTHON", "code": data}}),
    ];
    for (client, picture) in CLIENTS.iter().flat_map(|client| pictures.iter().map(move |it| (*client, it))) {
        let event = serde_json::json!({"candidates": [{"content": {"role": "model", "parts": [picture]}}]});
        let mut translator = translator(Dialect::Gemini, client);
        let (mut out, mut read) = (Vec::new(), 0);
        while !translator.seen().too_much && read < 100 {
            out.extend(translator.push_judging(format!("data: {event}\n\n").as_bytes()).0);
            read += 1;
        }
        // The last one is one too many; names of members weigh something, too.
        assert!((WHOLE_BYTES_MAX >> 22..=(WHOLE_BYTES_MAX >> 22) + 1).contains(&read), "{client:?}: {read}");
        is_over(translator, client, out);
    }
}

#[test]
fn as_many_as_may_be_are_an_answer() {
    let mut translator = translator(Dialect::OpenAiChat, Dialect::Anthropic);
    for i in 0..PARTS_MAX {
        translator.push_judging(&call(Dialect::OpenAiChat, i));
    }
    let end = br#"data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#;
    let (out, _) = translator.push_judging(&[&end[..], b"\n\ndata: [DONE]\n\n"].concat());
    assert!(translator.seen().complete());
    assert!(String::from_utf8(out).expect("text").contains("message_stop"));
}

#[test]
fn what_is_kept_of_an_answer_has_an_end() {
    for client in CLIENTS {
        let mut translator = translator(Dialect::OpenAiChat, client);
        let piece = "x".repeat(1 << 20);
        let (mut out, mut said) = (Vec::new(), 0);
        while !translator.seen().too_much {
            out.extend(translator.push_judging(&text(&piece)).0);
            said += piece.len() as u64;
            assert!(said <= TRANSLATED_BYTES_MAX + piece.len() as u64);
        }
        assert!(said > TRANSLATED_BYTES_MAX);
        is_over(translator, client, out);
    }
}

/// Twenty alternatives for each token are a hundred times its text, and the answer itself may be of any honest length.
#[test]
fn what_is_kept_of_probabilities_has_an_end_and_the_answer_goes_on() {
    let one = serde_json::json!({"token": "alternative", "logprob": -0.123_456_789, "bytes": [97, 108, 116]});
    let told =
        serde_json::json!({"token": "word", "logprob": -0.1, "bytes": null, "top_logprobs": vec![one; 20]});
    let word = serde_json::json!({"id": "c", "choices": [{"index": 0, "delta": {"content": "word "}, "logprobs": {"content": [told]}}]});
    let word = format!("data: {word}\n\n").into_bytes();
    let end = br#"data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let end = [&end[..], b"\n\ndata: [DONE]\n\n"].concat();
    for client in CLIENTS {
        for (words, is_kept) in [(100, true), (1_500, false)] {
            let mut translator = translator(Dialect::OpenAiChat, client);
            let mut told = 0;
            for _ in 0..words {
                let out = translator.push_judging(&word).0;
                told += usize::from(String::from_utf8_lossy(&out).contains("alternative"));
            }
            assert_eq!(
                told,
                if client == Dialect::Anthropic { 0 } else { words },
                "{client:?}: none is lost"
            );
            let (last, _) = translator.push_judging(&end);
            assert!(translator.seen().complete() && last.len() < 4 << 20, "{client:?}: {}", last.len());
            let repeats = client == Dialect::OpenAiResponses && is_kept;
            assert_eq!(String::from_utf8_lossy(&last).contains("alternative"), repeats, "{client:?}");
        }
    }
}

#[test]
fn sources_behind_a_long_text_have_an_end() {
    let begin = r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
    let said = format!(
        r#"data: {{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{}"}}}}"#,
        "x".repeat(3 << 20)
    );
    let source = |i: u64| {
        format!(
            r#"data: {{"type":"content_block_delta","index":0,"delta":{{"type":"citations_delta","citation":{{"type":"web_search_result_location","url":"https://a.example/{i}","title":"t","cited_text":"x","encrypted_index":"e"}}}}}}"#
        )
    };
    let mut translator = translator(Dialect::Anthropic, Dialect::Gemini);
    let mut out = translator.push_judging(format!("{begin}\n\n{said}\n\n").as_bytes()).0;
    let mut sources = 0;
    while !translator.seen().too_much {
        out.extend(translator.push_judging(format!("{}\n\n", source(sources)).as_bytes()).0);
        sources += 1;
        assert!(sources * (3 << 20) <= WALKED_BYTES_MAX + (3 << 20));
    }
    assert!(sources > 200, "an answer has as many");
    is_over(translator, Dialect::Gemini, out);
}

#[test]
fn an_event_that_is_too_long_breaks_a_translation_and_passes_where_bytes_do() {
    let long = text(&"x".repeat(EVENT_BYTES_MAX + (2 << 20)));
    let stream = [text("begun"), long, text("more")].concat();
    for client in CLIENTS {
        let mut translator = translator(Dialect::OpenAiChat, client);
        let mut out = Vec::new();
        for bytes in stream.chunks(65_536) {
            out.extend(translator.push_judging(bytes).0);
        }
        let shown = String::from_utf8_lossy(&out).into_owned();
        assert!(shown.contains("begun") && !shown.contains("more") && shown.len() < 10_000, "{client:?}");
        is_over(translator, client, out);
    }
    for provider in [Dialect::Anthropic, Dialect::Gemini] {
        let mut listener = Listener::new(dialect::reader(provider));
        let long = [b"data: ".to_vec(), vec![b'x'; EVENT_BYTES_MAX + (2 << 20)], b"\n\n".to_vec()].concat();
        let meanings: Vec<Meaning> = long.chunks(65_536).flat_map(|bytes| listener.push(bytes)).collect();
        assert!(!meanings.is_empty() && meanings.iter().all(|meaning| *meaning == Meaning::Content));
        assert!(!listener.seen.lost && !listener.seen.too_much && listener.seen.corrupt_events == 0);
        assert!(listener.seen.content_bytes >= long.len() as u64, "it is counted");
    }
}

#[test]
fn bytes_that_say_nothing_have_an_end_and_a_word_between_begins_anew() {
    let comments = b": still here\n\n".repeat(65_536);
    let unknown = [&b"data: {\"type\":\"something_new\",\"a\":\""[..], &[b'x'; 1 << 20], b"\"}\n\n"].concat();
    for quiet in [comments, unknown] {
        let mut translator = translator(Dialect::Anthropic, Dialect::OpenAiChat);
        let times = IDLE_BYTES_MAX / quiet.len() as u64;
        for round in 0..2 {
            for _ in 0..times {
                translator.push_judging(&quiet);
            }
            assert!(!translator.seen().too_much);
            translator.push_judging(&call(Dialect::Anthropic, round));
        }
        for _ in 0..=times {
            translator.push_judging(&quiet);
        }
        assert!(translator.seen().too_much);
    }
}

/// What `n` parts look like to a client, by how they are opened and closed.
fn written(dialect: Dialect, n: u32, opened: &dyn Fn(u32) -> Opened, closes: bool) -> usize {
    let mut writer = dialect::writer(dialect, Show { id: "req_1".to_owned(), ..Show::default() });
    let mut out = Vec::new();
    for part in 0..n {
        let at = At { choice: 0, part };
        writer.push(&Delta::Open(at, opened(part)), &mut out);
        writer.push(&Delta::Append(at, "{}".to_owned()), &mut out);
        if closes {
            writer.push(&Delta::Close(at), &mut out);
        }
    }
    writer.push(&Delta::End, &mut out);
    out.len()
}

#[test]
fn twice_as_many_parts_are_twice_as_many_bytes() {
    let thought = |_| Opened::Reasoning { id: None, summary: false, redacted: false };
    let call = |id: fn(u32) -> String| move |part| Opened::ToolCall { id: id(part), name: "f".to_owned() };
    let kinds: [&dyn Fn(u32) -> Opened; 5] = [
        &|_| Opened::Text,
        &thought,
        &call(|_| String::new()),
        &call(|_| "same".to_owned()),
        &call(|part| format!("call_{part}")),
    ];
    for dialect in PROVIDERS {
        for (kind, opened) in kinds.into_iter().enumerate() {
            for closes in [false, true] {
                let (few, many) =
                    (written(dialect, 200, opened, closes), written(dialect, 400, opened, closes));
                assert!(many * 10 < few * 22, "{dialect:?} {kind} {closes}: {few} and {many} bytes");
            }
        }
    }
}
