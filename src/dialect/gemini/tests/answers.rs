//! To Google's clients from other dialects: answers, ends, errors, vectors.

use super::super::{embed, failure, response};
use super::{deltas, json_of, order, written};
use crate::{
    dialect::{Dialect, Show, Writer as _, gemini::stream::Writer},
    model::{
        answer::{Answer, At, Choice, Delta, Failure, Finish, Opened},
        embed::{EmbedInput, EmbedRequest},
        part::{Body, Citation, Part, Reasoning, Signature, Text, ToolCall},
    },
    refusal::Refusal,
};
use serde_json::{Value, json};

#[test]
fn signatures_of_others_come_back_whole_through_googles_sdks() {
    // The Python SDK decodes base64 and writes it anew with another alphabet.
    let signature = Signature { maker: Dialect::Anthropic, text: "ErUB/+~~??>>".to_owned() };
    let shown = signature.show_to(Dialect::Gemini);
    for text in [shown.clone(), shown.replace('+', "-").replace('/', "_")] {
        assert_eq!(super::super::part::signature(&text), signature);
    }
    let own = super::super::part::signature("EpYC_-c=");
    assert_eq!((own.maker, own.text.as_str()), (Dialect::Gemini, "EpYC_-c="), "Google reads both alphabets");
}

#[test]
fn another_dialects_answer_is_shown_as_googles() {
    let cited = Citation {
        url: Some("https://x.y".to_owned()),
        title: Some("X".to_owned()),
        quoted: None,
        start: Some(2),
        end: Some(4),
        native: None,
    };
    let redacted = Reasoning { redacted: true, ..Reasoning::default() };
    let answer = Answer {
        choices: vec![Choice {
            parts: vec![
                Part {
                    body: Body::Reasoning(redacted),
                    cache: None,
                    signature: Some(Signature { maker: Dialect::Anthropic, text: "xx".to_owned() }),
                },
                Body::Text(Text { text: "é yes".to_owned(), citations: vec![cited] }).into(),
                Body::Native(Dialect::Anthropic, json!({ "type": "server_tool_use" })).into(),
                Body::ToolCall(ToolCall {
                    id: "c".to_owned(),
                    name: "f".to_owned(),
                    arguments: "{}".to_owned(),
                })
                .into(),
            ],
            finish: Some(Finish::Refused),
            logprobs: None,
        }],
        ..Default::default()
    };
    let show = Show { id: "req_1".to_owned(), model: "as-asked".to_owned(), ..Show::default() };
    let body = json_of(&response::write(&answer, &show));
    let candidate = &body["candidates"][0];
    assert_eq!(candidate["finishReason"], "SAFETY");
    let parts = candidate["content"]["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 3, "what only another dialect knows is left out");
    assert_eq!((&parts[0]["thought"], parts[0].get("text")), (&json!(true), None));
    let segment = json!({ "partIndex": 1, "startIndex": 3, "endIndex": 5, "text": "ye" });
    let grounding = &candidate["groundingMetadata"];
    assert_eq!(grounding["groundingSupports"][0]["segment"], segment, "in bytes");
    assert_eq!(grounding["groundingChunks"][0]["web"], json!({ "uri": "https://x.y", "title": "X" }));
    assert_eq!((&body["responseId"], &body["modelVersion"]), (&json!("req_1"), &json!("as-asked")));
    let again = response::read(&response::write(&answer, &show)).unwrap();
    assert_eq!(again.choices[0].parts[0].signature, answer.choices[0].parts[0].signature);
    let (Body::Text(text), Body::Text(was)) =
        (&again.choices[0].parts[1].body, &answer.choices[0].parts[1].body)
    else {
        panic!("{again:?}")
    };
    assert_eq!(text, was, "the source is at the same characters");
}

#[test]
fn ends_are_told_apart() {
    let finish = |candidate: Value| {
        let body = json!({ "candidates": [candidate], "usageMetadata": { "totalTokenCount": 0 } });
        response::read(body.to_string().as_bytes()).unwrap().choices[0].finish.clone().unwrap()
    };
    let called = json!({ "parts": [{ "functionCall": { "name": "f" } }] });
    assert_eq!(finish(json!({ "finishReason": "STOP" })), Finish::Stop);
    assert_eq!(finish(json!({ "finishReason": "STOP", "content": called })), Finish::ToolCalls);
    assert_eq!(finish(json!({ "finishReason": "MAX_TOKENS", "content": called })), Finish::Length);
    assert_eq!(finish(json!({ "finishReason": "SAFETY" })), Finish::Filtered(None));
    assert_eq!(finish(json!({ "finishReason": "SPII" })), Finish::Filtered(Some("SPII".to_owned())));
    assert_eq!(finish(json!({ "finishReason": "NEW" })), Finish::Other("NEW".to_owned()));
}

#[test]
fn an_error_in_a_stream_is_one_and_ends_it() {
    let error = json!({ "error": { "code": 503, "message": "Overloaded.", "status": "UNAVAILABLE" } });
    let expected =
        Failure { status: 503, kind: Some("UNAVAILABLE".to_owned()), message: "Overloaded.".to_owned() };
    for text in [format!("data: {error}\n\n"), format!("{error:#}\n"), format!("[{error}]")] {
        let steps = deltas(text.as_bytes(), 5);
        assert_eq!(steps, [Delta::Error(expected.clone())], "{text}");
    }
    assert_eq!(deltas(b": hello\n\ndata: {oops}\n\ndata: [DONE]\n\n", 3), [Delta::Corrupt]);

    let at = At::default();
    let begun = [Delta::Open(at, Opened::Text), Delta::Append(at, "Hi".to_owned())];
    let refusal = Refusal::unavailable("x");
    for array in [false, true] {
        let mut writer = Writer::new(Show { array, ..Show::default() });
        let mut out = Vec::new();
        begun.iter().for_each(|delta| writer.push(delta, &mut out));
        writer.fail(&refusal, &mut out);
        let before = out.len();
        writer.push(&Delta::End, &mut out);
        writer.fail(&refusal, &mut out);
        assert_eq!(out.len(), before, "nothing follows an error");
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains("finishReason"), "{text}");
        let last = if array {
            json_of(text.as_bytes()).as_array().unwrap().last().unwrap().clone()
        } else {
            json_of(text.trim_end().rsplit("data: ").next().unwrap().as_bytes())
        };
        assert_eq!((&last["error"]["code"], &last["error"]["status"]), (&json!(503), &json!("UNAVAILABLE")));
    }
    let out = String::from_utf8(written(&[Delta::Error(expected)], false)).unwrap();
    assert!(out.starts_with("data: {\"error\":"), "Google's SDKs look for these bytes: {out}");
}

#[test]
fn a_refusal_has_googles_members_and_our_own() {
    let mut refusal =
        Refusal::bad_param("invalid_type", "contents", "contents must be an array").with("limit", 3);
    refusal.retry_after_ms = Some(1_500);
    let body = json_of(failure::write(&refusal).as_bytes());
    let error = &body["error"];
    assert_eq!((&error["code"], &error["status"]), (&json!(400), &json!("INVALID_ARGUMENT")));
    assert_eq!((&error["message"], &error["limit"]), (&json!("contents must be an array"), &json!(3)));
    assert_eq!(error["details"][0]["reason"], "invalid_type");
    assert_eq!(error["details"][0]["metadata"], json!({ "param": "contents" }));
    assert_eq!(error["details"][1]["retryDelay"], "1.500s");
    assert_eq!(failure::retry_delay_ms(failure::write(&refusal).as_bytes()), Some(1_500));
    let page = failure::read(502, b"<html>Bad Gateway</html>");
    assert_eq!((page.status, page.kind, page.message.as_str()), (502, None, "<html>Bad Gateway</html>"));
}

#[test]
fn vectors_are_asked_for_in_the_providers_form() {
    let mut request = EmbedRequest {
        model: "m".to_owned(),
        inputs: vec![EmbedInput::Text("a".to_owned()), EmbedInput::Text("b".to_owned())],
        dimensions: Some(8),
        task: Some("CLUSTERING".to_owned()),
        ..EmbedRequest::default()
    };
    let sent = |request: &EmbedRequest, kind, model| {
        let order = order(kind, model, None);
        (embed::Form::for_order(request, &order).action(), json_of(&embed::write(request, &order).body))
    };
    let settings = json!({ "taskType": "CLUSTERING", "outputDimensionality": 8 });
    let (action, body) = sent(&request, "gemini", "gemini-embedding-001");
    assert_eq!(action, "batchEmbedContents");
    assert_eq!(
        body["requests"][1],
        json!({ "model": "models/gemini-embedding-001",
        "content": { "parts": [{ "text": "b" }] }, "taskType": "CLUSTERING", "outputDimensionality": 8 })
    );
    let (action, body) = sent(&request, "vertex", "text-embedding-005");
    assert_eq!(action, "predict");
    assert_eq!(
        body,
        json!({ "instances": [{ "content": "a", "task_type": "CLUSTERING" },
        { "content": "b", "task_type": "CLUSTERING" }], "parameters": { "outputDimensionality": 8 } })
    );
    let (read, form) = embed::read(body.to_string().as_bytes(), Some(("m", false))).unwrap();
    assert_eq!((&read, form), (&request, embed::Form::Predict));
    request.inputs.truncate(1);
    let (action, body) = sent(&request, "vertex", "gemini-embedding-2");
    assert_eq!((action, &body["embedContentConfig"]), ("embedContent", &settings));
    let (read, form) = embed::read(body.to_string().as_bytes(), Some(("m", false))).unwrap();
    assert_eq!((&read, form), (&request, embed::Form::Single));
    request.inputs = vec![EmbedInput::Tokens(vec![1])];
    let order = order("gemini", "gemini-embedding-001", None);
    assert_eq!(embed::write(&request, &order).refused, ["input[0]"]);

    let predicted = json!({ "predictions": [
        { "embeddings": { "values": [0.5, -1.0], "statistics": { "token_count": 3, "truncated": false } } },
        { "embeddings": { "values": [1.5, 2.0], "statistics": { "token_count": 4, "truncated": false } } },
    ] });
    let answer = embed::read_answer(predicted.to_string().as_bytes()).unwrap();
    assert_eq!(answer.vectors, [[0.5, -1.0], [1.5, 2.0]]);
    assert_eq!(answer.reported.as_ref().unwrap().usage.input, 7);
    let again = embed::read_answer(&embed::write_answer(&answer, embed::Form::Predict)).unwrap();
    assert_eq!(again, answer);
}

#[test]
fn tokens_of_pictures_are_a_class_of_their_own() {
    let body = json!({
        "candidates": [{ "content": { "role": "model", "parts": [
            { "text": "A cat." }, { "inlineData": { "mimeType": "image/png", "data": "iVBORw0KGgo=" } }] },
            "finishReason": "STOP" }],
        "usageMetadata": { "promptTokenCount": 8, "candidatesTokenCount": 1295, "thoughtsTokenCount": 7,
            "totalTokenCount": 1310, "promptTokensDetails": [{ "modality": "TEXT", "tokenCount": 8 }],
            "candidatesTokensDetails": [{ "modality": "IMAGE", "tokenCount": 1290 }, { "modality": "TEXT", "tokenCount": 5 }] }
    });
    let answer = response::read(body.to_string().as_bytes()).unwrap();
    let usage = answer.reported.as_ref().unwrap().usage;
    assert_eq!((usage.input, usage.output, usage.output_image, usage.reasoning), (8, 5, 1_290, 7));
    assert_eq!(usage.total(), 1_310);
    // A list that claims more than there is.
    let mut body = body;
    body["usageMetadata"]["candidatesTokensDetails"][0]["tokenCount"] = json!(9_999);
    let usage = response::read(body.to_string().as_bytes()).unwrap().reported.unwrap().usage;
    assert_eq!((usage.output, usage.output_image, usage.total()), (0, 1_295, 1_310));
}
