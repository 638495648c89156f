//! Both forms, as Cloudflare's own tests and documentation have them
//! (<https://github.com/cloudflare/ai>, packages/workers-ai-provider/test; the pages of the models; read 2026-11-21).

use super::*;
use crate::{
    dialect::{Dialect, Reader as _, Show, write_answer, writer},
    model::answer::Assembly,
};
use proptest::prelude::*;

const OLDER_STREAM: &str = "data: {\"response\":\"Hello \",\"p\":\"abcdef\"}\n\ndata: {\"response\":\"wörld\",\"p\":\"abc\"}\n\n\
    data: {\"response\":\"\",\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":5,\"total_tokens\":17},\"p\":\"a\"}\n\n\
    data: [DONE]\n\n";

const OLDER_CALLS: &str = "data: {\"response\":\"\",\"tool_calls\":[{\"id\":\"chatcmpl-tool-1\",\"type\":\"function\",\"index\":0,\"function\":{\"name\":\"weather\"}}]}\n\n\
    data: {\"response\":\"\",\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"city\\\":\"}}]}\n\n\
    data: {\"response\":\"\",\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\\\"Paris\\\"}\"}}]}\n\n\
    data: {\"response\":\"\",\"tool_calls\":[{\"id\":null,\"type\":null,\"index\":0,\"function\":{\"name\":null,\"arguments\":\"\"}}]}\n\n\
    data: {\"response\":\"\",\"usage\":{\"prompt_tokens\":30,\"completion_tokens\":9,\"total_tokens\":39}}\n\n\
    data: [DONE]\n\n";

const CHUNKS: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"@cf/zai-org/glm-4.7-flash\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":\"hm\"},\"finish_reason\":null}]}\n\n\
    data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"},\"finish_reason\":null}]}\n\n\
    data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n\
    data: {\"id\":\"chatcmpl-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,\"total_tokens\":10}}\n\n\
    data: [DONE]\n\n";

fn read(stream: &str, at: usize) -> Vec<Delta> {
    let mut reader = Stream::default();
    let (first, second) = stream.as_bytes().split_at(at.min(stream.len()));
    let mut deltas = reader.push(first);
    deltas.extend(reader.push(second));
    deltas.extend(reader.finish());
    deltas
}

fn assembled(stream: &str) -> Assembly {
    let mut assembly = Assembly::default();
    for delta in read(stream, 0) {
        assembly.push(&delta);
    }
    assembly
}

fn text_of(answer: &Answer) -> String {
    let parts = answer.choices.iter().flat_map(|choice| &choice.parts);
    parts
        .filter_map(|part| if let Body::Text(text) = &part.body { Some(text.text.as_str()) } else { None })
        .collect()
}

fn calls_of(answer: &Answer) -> Vec<ToolCall> {
    let parts = answer.choices.iter().flat_map(|choice| &choice.parts);
    parts
        .filter_map(|part| if let Body::ToolCall(call) = &part.body { Some(call.clone()) } else { None })
        .collect()
}

#[test]
fn the_older_form_is_an_answer() {
    let answer = read_answer(
        br#"{"response":"Hello","tool_calls":[],"usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17}}"#,
    )
    .unwrap();
    assert_eq!(text_of(&answer), "Hello");
    assert_eq!(answer.choices[0].finish, Some(Finish::Stop));
    let usage = answer.reported.as_ref().unwrap().usage;
    assert_eq!((usage.input_total(), usage.output_total()), (12, 5));
    let show = Show { id: "r1".into(), model: "m".into(), created: 1, ..Show::default() };
    let shown: Value = serde_json::from_slice(&write_answer(Dialect::OpenAiChat, &answer, &show)).unwrap();
    assert_eq!(shown["choices"][0]["message"]["content"], "Hello");
    assert_eq!(shown["usage"]["total_tokens"], 17);
}

#[test]
fn calls_are_read_in_either_spelling() {
    let flat =
        read_answer(br#"{"response":null,"tool_calls":[{"name":"weather","arguments":{"city":"Paris"}}]}"#);
    let nested = read_answer(
        br#"{"tool_calls":[{"id":"c1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Paris\"}"}}]}"#,
    );
    for (answer, id) in [(flat.unwrap(), ""), (nested.unwrap(), "c1")] {
        let arguments = r#"{"city":"Paris"}"#.to_owned();
        assert_eq!(calls_of(&answer), [ToolCall { id: id.into(), name: "weather".into(), arguments }]);
        assert_eq!(answer.choices[0].finish, Some(Finish::ToolCalls));
        assert_eq!(text_of(&answer), "");
    }
}

#[test]
fn json_that_was_asked_for_is_told_as_text() {
    let answer = read_answer(br#"{"response":{"name":"Bob","age":42}}"#).unwrap();
    assert_eq!(text_of(&answer), r#"{"name":"Bob","age":42}"#);
    assert_eq!(text_of(&read_answer(br#"{"response":7}"#).unwrap()), "7");
}

#[test]
fn a_completion_is_read_as_one() {
    let answer = read_answer(
        br#"{"id":"chatcmpl-1","object":"chat.completion","model":"@cf/openai/gpt-oss-20b","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#,
    )
    .unwrap();
    assert_eq!((answer.id.as_deref(), text_of(&answer).as_str()), (Some("chatcmpl-1"), "Hi"));
    assert_eq!(answer.choices[0].finish, Some(Finish::Length));
}

#[test]
fn what_is_in_neither_form_is_no_answer() {
    for body in ["{}", "[]", "null", "x", r#"{"tool_calls":[]}"#, r#"{"request_id":"batch"}"#] {
        assert!(read_answer(body.as_bytes()).is_err(), "{body}");
        assert!(read_embed(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn a_stream_of_the_older_form_is_told_and_ends_well() {
    let assembly = assembled(OLDER_STREAM);
    assert!(assembly.ended);
    assert_eq!(text_of(&assembly.answer), "Hello wörld");
    assert_eq!(assembly.answer.choices[0].finish, Some(Finish::Stop));
    assert_eq!(assembly.answer.reported.unwrap().usage.total(), 17);

    let assembly = assembled(OLDER_CALLS);
    let arguments = r#"{"city":"Paris"}"#.to_owned();
    let call = ToolCall { id: "chatcmpl-tool-1".into(), name: "weather".into(), arguments };
    assert_eq!(calls_of(&assembly.answer), [call]);
    assert_eq!(assembly.answer.choices[0].finish, Some(Finish::ToolCalls));
    assert!(assembly.ended);
}

#[test]
fn whole_calls_without_numbers_are_calls_of_their_own() {
    let flat = "data: {\"tool_calls\":[{\"name\":\"a\",\"arguments\":{\"x\":1}},{\"name\":\"b\",\"arguments\":{}}]}\n\n\
                data: {\"tool_calls\":[{\"name\":\"a\",\"arguments\":{\"x\":2}}]}\n\ndata: [DONE]\n\n";
    let calls = calls_of(&assembled(flat).answer);
    let told: Vec<_> = calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect();
    assert_eq!(told, [("a", r#"{"x":1}"#), ("b", "{}"), ("a", r#"{"x":2}"#)]);
}

#[test]
fn chunks_are_read_as_chunks() {
    let assembly = assembled(CHUNKS);
    assert!(assembly.ended);
    assert_eq!(text_of(&assembly.answer), "Hello");
    assert_eq!(assembly.answer.choices[0].finish, Some(Finish::Length));
    assert_eq!(assembly.answer.reported.unwrap().usage.total(), 10);
}

#[test]
fn a_stream_that_breaks_off_or_fails_does_not_end() {
    let done = OLDER_STREAM.find("data: [DONE]").unwrap();
    assert!(!assembled(&OLDER_STREAM[..done]).ended);
    for error in [
        r#"{"internalCode":3040,"name":"Capacity","description":"no more data centers"}"#,
        r#"{"errors":[{"code":3040,"message":"no more data centers"}],"success":false}"#,
    ] {
        let assembly =
            assembled(&format!("data: {{\"response\":\"a\"}}\n\ndata: {error}\n\ndata: [DONE]\n\n"));
        assert!(!assembly.ended, "{error}");
        assert_eq!(assembly.error.unwrap().message, "3040: no more data centers");
    }
}

#[test]
fn errors_are_read_in_every_form() {
    let read = |body: &str| read_failure(429, body.as_bytes());
    let one = read(r#"{"internalCode":3036,"message":"m","name":"AccountLimited","description":"used up"}"#);
    assert_eq!((one.kind.as_deref(), one.message.as_str()), (Some("AccountLimited"), "3036: used up"));
    let list = read(
        r#"{"errors":[{"message":"AiError: no such model","code":5007}],"success":false,"result":{},"messages":[]}"#,
    );
    assert_eq!(list.message, "5007: AiError: no such model");
    assert_eq!(read(r#"{"error":{"message":"as OpenAI"}}"#).message, "as OpenAI");
    assert_eq!(read("upstream").message, "upstream");
}

#[test]
fn texts_become_vectors() {
    let request = EmbedRequest {
        inputs: vec![EmbedInput::Text("a".into()), EmbedInput::Text("b".into())],
        dimensions: Some(3),
        ..EmbedRequest::default()
    };
    let order = Order { kind: "workers-ai", model: "@cf/baai/bge-m3", output_cap: None };
    let written = write_embed(&request, &order);
    let body: Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(body, json!({"model": "@cf/baai/bge-m3", "text": ["a", "b"]}));
    assert_eq!((written.dropped, written.refused), (vec!["dimensions".to_owned()], vec![]));
    let tokens = EmbedRequest { inputs: vec![EmbedInput::Tokens(vec![1])], ..EmbedRequest::default() };
    assert_eq!(write_embed(&tokens, &order).refused, ["input[0]"]);
    let answer = read_embed(br#"{"shape":[2,2],"data":[[0.1,-2],[3,4e-2]],"pooling":"cls"}"#).unwrap();
    assert_eq!((answer.vectors, answer.reported), (vec![vec![0.1, -2.0], vec![3.0, 0.04]], None));
}

proptest! {
    #[test]
    fn any_split_of_a_stream_gives_the_same_steps(at in 0usize..900) {
        for stream in [OLDER_STREAM, OLDER_CALLS, CHUNKS] {
            prop_assert_eq!(read(stream, at), read(stream, 0));
        }
    }

    #[test]
    fn no_bytes_panic_and_nothing_ends_well_without_a_terminal_event(
        body in "[\\[\\]{}:,\"a-z0-9]{0,60}",
        key in "(response|tool_calls|choices|usage|errors|internalCode|error|finish_reason|data)",
    ) {
        for text in [body.clone(), format!("{{\"{key}\":{body}}}"), format!("{{\"{key}\":[{{\"{key}\":{body}}}]}}")] {
            let _ = (read_answer(text.as_bytes()), read_embed(text.as_bytes()), read_failure(500, text.as_bytes()));
            let stream = format!("data: {{\"response\":\"a\"}}\n\ndata: {text}\n\n");
            let mut out = Vec::new();
            let mut shown = writer(Dialect::OpenAiChat, Show::default());
            for delta in read(&stream, 7) {
                shown.push(&delta, &mut out);
            }
            prop_assert!(!String::from_utf8_lossy(&out).contains("[DONE]"));
        }
    }
}
