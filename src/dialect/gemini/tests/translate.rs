//! Requests: of other dialects as Google is sent them, of Google's clients as others understand them.

use super::super::request;
use super::{json_of, order};
use crate::{
    dialect::Dialect,
    model::{
        part::{Body, CacheMark, Media, MediaKind, Part, Reasoning, Signature, Source, ToolCall, ToolResult},
        request::{Format, Function, Request, Role, Thinking, Tool, ToolChoice, Turn},
    },
};
use serde_json::{Value, json};

fn call(id: &str, name: &str) -> Part {
    Body::ToolCall(ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: r#"{"b":1,"a":2}"#.to_owned(),
    })
    .into()
}

fn result(id: &str, parts: Vec<Part>) -> Part {
    Body::ToolResult(ToolResult { id: id.to_owned(), name: None, parts, is_error: false }).into()
}

fn user(text: &str) -> Turn {
    Turn::new(Role::User, vec![Part::text(text)])
}

fn chat(turns: Vec<Turn>) -> Request {
    Request { turns, ..Request::new(Dialect::OpenAiChat, "asked".to_owned()) }
}

fn sent(request: &Request, model: &'static str) -> Value {
    let written = request::write(request, &order("gemini", model, None));
    assert_eq!(written.refused, Vec::<String>::new());
    json_of(&written.body)
}

#[test]
fn instructions_go_to_their_place_and_turns_of_one_role_are_joined() {
    let mut request = chat(vec![
        Turn::new(Role::Developer, vec![Part::text("Be brief.")]),
        user("One."),
        user("Two."),
        Turn::new(Role::Assistant, vec![Part::text(""), Part::text("Yes.")]),
        Turn::new(Role::System, vec![Part::text("Still.")]),
        user(""),
        user("Three."),
    ]);
    let body = sent(&request, "gemini-2.5-flash");
    assert_eq!(
        body["systemInstruction"],
        json!({ "parts": [{ "text": "Be brief." }, { "text": "Still." }] })
    );
    let contents = json!([
        { "role": "user", "parts": [{ "text": "One." }, { "text": "Two." }] },
        { "role": "model", "parts": [{ "text": "Yes." }] },
        { "role": "user", "parts": [{ "text": "Three." }] },
    ]);
    assert_eq!(body["contents"], contents);
    request.turns.truncate(1);
    let body = sent(&request, "gemini-2.5-flash");
    assert_eq!(body["contents"], json!([{ "role": "user", "parts": [{ "text": "Be brief." }] }]));
    assert_eq!(body.get("systemInstruction"), None, "Google wants contents");
}

#[test]
fn results_of_parallel_calls_follow_them_in_one_content_with_names() {
    let picture = Media::new(MediaKind::Image, Source::Base64("iVBORw0=".to_owned()), None);
    let request = chat(vec![
        user("Go."),
        Turn::new(Role::Assistant, vec![call("c1", "first"), call("c2", "second")]),
        Turn::new(Role::Tool, vec![result("c1", vec![Part::text("21C"), Body::Media(picture).into()])]),
        Turn::new(Role::Tool, vec![result("c2", vec![Part::text(r#"{"x":[1]}"#)])]),
    ]);
    let picture = json!({ "inlineData": { "mimeType": "image/png", "data": "iVBORw0=" } });
    let first = json!({ "id": "c1", "name": "first", "response": { "output": "21C" } });
    let second = json!({ "id": "c2", "name": "second", "response": { "x": [1] } });
    let body = sent(&request, "gemini-2.5-flash");
    let results = json!([{ "functionResponse": first }, { "functionResponse": second }, picture]);
    assert_eq!(body["contents"][2], json!({ "role": "user", "parts": results }), "media after all results");
    let args = body["contents"][1]["parts"][0]["functionCall"]["args"].to_string();
    assert_eq!(args, r#"{"b":1,"a":2}"#, "members keep their order");

    let body = sent(&request, "gemini-3-flash-preview");
    let parts = &body["contents"][2]["parts"];
    assert_eq!(parts.as_array().unwrap().len(), 2);
    assert_eq!(
        parts[0]["functionResponse"]["parts"],
        json!([picture]),
        "within the result from the third generation on"
    );
}

#[test]
fn errors_of_tools_say_so_both_ways() {
    let failed = ToolResult {
        id: String::new(),
        name: Some("f".to_owned()),
        parts: vec![Part::text("no such city")],
        is_error: true,
    };
    let request = chat(vec![user("Go."), Turn::new(Role::Tool, vec![Body::ToolResult(failed).into()])]);
    let body = sent(&request, "gemini-2.5-flash");
    let response = json!({ "name": "f", "response": { "error": "no such city" } });
    assert_eq!(body["contents"][0]["parts"][1]["functionResponse"], response);
    let read = request::read(body.to_string().as_bytes(), Some(("m", false))).unwrap();
    let Body::ToolResult(result) = &read.turns[0].parts[0].body else { panic!("{read:?}") };
    assert!(result.is_error);
    assert_eq!(result.parts, [Part::text("no such city")]);
}

#[test]
fn calls_of_the_present_turn_without_googles_signature_get_the_documented_stand_in() {
    let signed =
        |maker, id| Part { signature: Some(Signature { maker, text: "c2ln".to_owned() }), ..call(id, "f") };
    let step = |part: Part, id: &str| {
        [
            Turn::new(Role::Assistant, vec![part, call("x", "g")]),
            Turn::new(Role::Tool, vec![result(id, vec![Part::text("1")])]),
        ]
    };
    let mut turns = vec![user("Before.")];
    turns.extend(step(call("c0", "f"), "c0"));
    turns.push(Turn::new(Role::Assistant, vec![Part::text("Done.")]));
    turns.push(user("Now."));
    turns.extend(step(signed(Dialect::Gemini, "c1"), "c1"));
    turns.extend(step(signed(Dialect::Anthropic, "c2"), "c2"));
    let request = chat(turns);
    let signatures = |model| {
        let body = sent(&request, model);
        let parts = body["contents"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|content| content["parts"].as_array().unwrap().clone());
        let calls = parts.filter(|part| part.get("functionCall").is_some());
        calls.map(|part| part["thoughtSignature"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let stand_in = Some("skip_thought_signature_validator".to_owned());
    let own = Some("c2ln".to_owned());
    assert_eq!(
        signatures("gemini-3-pro-preview"),
        [None, None, own.clone(), None, stand_in.clone(), None],
        "the first call of each step of this turn, if it has none"
    );
    assert_eq!(signatures("gemini-2.5-pro"), [None, None, own, None, None, None]);
}

#[test]
fn thoughts_go_back_to_google_only_if_google_signed_them() {
    let thoughts = |text: &str, maker| Part {
        body: Body::Reasoning(Reasoning { text: text.to_owned(), ..Reasoning::default() }),
        cache: None,
        signature: Some(Signature { maker, text: "c2ln".to_owned() }),
    };
    let request = chat(vec![
        user("Hi."),
        Turn::new(
            Role::Assistant,
            vec![
                thoughts("Hm.", Dialect::Anthropic),
                thoughts("", Dialect::Gemini),
                call("c", "f"),
                Part::text("Yes."),
            ],
        ),
    ]);
    let body = sent(&request, "gemini-3-flash");
    let parts = json!([
        { "functionCall": { "id": "c", "name": "f", "args": { "b": 1, "a": 2 } }, "thoughtSignature": "c2ln" },
        { "text": "Yes." },
    ]);
    assert_eq!(body["contents"][1]["parts"], parts, "a signature without words is that of what follows");
}

#[test]
fn how_much_to_think_is_said_as_the_model_understands_it() {
    let config = |model: &'static str, thinking: Thinking| {
        let mut request = chat(vec![user("Hi.")]);
        request.thinking = Some(thinking);
        let written = request::write(&request, &order("gemini", model, None));
        (json_of(&written.body)["generationConfig"]["thinkingConfig"].clone(), written.dropped)
    };
    let effort = |effort: &str| Thinking { effort: Some(effort.to_owned()), ..Thinking::default() };
    let budget =
        |tokens| Thinking { budget_tokens: Some(tokens), enabled: Some(true), ..Thinking::default() };
    let cases = [
        ("gemini-2.5-flash", effort("medium"), json!({ "thinkingBudget": 8192 })),
        ("gemini-2.5-flash", effort("none"), json!({ "thinkingBudget": 0 })),
        ("gemini-2.5-pro", effort("none"), json!({ "thinkingBudget": 128 })),
        ("gemini-2.5-flash", budget(60_000), json!({ "thinkingBudget": 24_576 })),
        ("gemini-2.5-pro", budget(60_000), json!({ "thinkingBudget": 32_768 })),
        ("gemini-3-pro-preview", effort("medium"), json!({ "thinkingLevel": "HIGH" })),
        ("gemini-3.1-pro-preview", effort("medium"), json!({ "thinkingLevel": "MEDIUM" })),
        ("gemini-3-pro-preview", effort("minimal"), json!({ "thinkingLevel": "LOW" })),
        ("gemini-3-flash-preview", effort("minimal"), json!({ "thinkingLevel": "MINIMAL" })),
        ("gemini-3.8-flash", effort("none"), json!({ "thinkingLevel": "LOW" })),
        ("gemini-flash-latest", effort("minimal"), json!({ "thinkingLevel": "LOW" })),
        ("gemini-flash-latest", effort("xhigh"), json!({ "thinkingLevel": "HIGH" })),
        ("gemini-3-flash-preview", budget(1_024), json!({ "thinkingLevel": "LOW" })),
    ];
    for (model, thinking, expected) in cases {
        assert_eq!(config(model, thinking.clone()), (expected, vec![]), "{model} {thinking:?}");
    }
    let shown = Thinking { adaptive: true, shown: Some(true), ..Thinking::default() };
    assert_eq!(
        config("gemini-2.5-pro", shown.clone()).0,
        json!({ "includeThoughts": true, "thinkingBudget": -1 })
    );
    assert_eq!(config("gemini-3-pro-preview", shown).0, json!({ "includeThoughts": true }));
    assert_eq!(
        config("gemini-2.0-flash", effort("high")),
        (Value::Null, vec!["reasoning_effort".to_owned()])
    );
}

#[test]
fn what_google_has_no_place_for_is_named() {
    let mut request = chat(vec![user("Hi.")]);
    request.turns[0].parts[0].cache = Some(CacheMark::FiveMinutes);
    request.sampling.logit_bias = Some(json!({ "1": 2 }));
    request.parallel_tool_calls = Some(false);
    request.user = Some("u".to_owned());
    request.service_tier = Some("scale".to_owned());
    request.extras.insert("store".to_owned(), json!(true));
    let function = Function { name: "f".to_owned(), strict: Some(true), ..Function::default() };
    request.tools = vec![Tool::Function(function), Tool::Native(Dialect::Anthropic, json!({}))];
    request.format = Some(Format::Json);
    let file = Media::new(MediaKind::Document, Source::File(Dialect::Anthropic, "file_1".to_owned()), None);
    request.turns.push(Turn::new(
        Role::User,
        vec![Body::Media(file).into(), Body::Native(Dialect::Cohere, json!({})).into()],
    ));
    let written = request::write(&request, &order("gemini", "gemini-2.5-flash", None));
    assert_eq!(
        written.dropped,
        [
            "messages[1].content[1]",
            "tools[0].strict",
            "parallel_tool_calls",
            "logit_bias",
            "user",
            "service_tier",
            "store",
            "cache_control",
        ]
    );
    assert_eq!(written.refused, ["messages[1].content[0]", "tools[1]", "response_format"]);
}

#[test]
fn what_newer_models_refuse_is_not_sent_to_them() {
    let mut request = chat(vec![user("Hi.")]);
    request.sampling.choices = Some(2);
    request.sampling.presence_penalty = Some(json!(0.5));
    request.sampling.frequency_penalty = Some(json!(0));
    let at = |model| {
        let written = request::write(&request, &order("gemini", model, None));
        (json_of(&written.body)["generationConfig"].clone(), written.dropped, written.refused)
    };
    let all = json!({ "candidateCount": 2, "presencePenalty": 0.5, "frequencyPenalty": 0 });
    assert_eq!(at("gemini-2.0-flash"), (all, vec![], vec![]));
    let penalty = vec!["presence_penalty".to_owned()];
    assert_eq!(at("gemini-2.5-pro"), (json!({ "candidateCount": 2 }), penalty.clone(), vec![]));
    assert_eq!(at("gemini-3-flash-preview"), (Value::Null, penalty, vec!["n".to_owned()]));
}

#[test]
fn tools_and_formats_are_sent_as_standard_schemas() {
    let schema = json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/x" } }, "$defs": { "x": { "const": 1 } } });
    let mut request = chat(vec![user("Hi.")]);
    request.tools = vec![Tool::Function(Function {
        name: "f".to_owned(),
        description: Some("d".to_owned()),
        parameters: Some(schema.clone()),
        strict: Some(true),
        cache: None,
    })];
    request.format = Some(Format::Schema {
        name: Some("n".to_owned()),
        description: Some("what".to_owned()),
        schema: schema.clone(),
        strict: Some(true),
    });
    let body = sent(&request, "gemini-3-flash");
    let declaration = json!({ "name": "f", "description": "d", "parametersJsonSchema": schema });
    assert_eq!(body["tools"], json!([{ "functionDeclarations": [declaration] }]));
    assert_eq!(body["generationConfig"]["responseMimeType"], "application/json");
    assert_eq!(body["generationConfig"]["responseJsonSchema"]["description"], "what");
    assert_eq!(body["generationConfig"]["responseJsonSchema"]["$defs"], schema["$defs"]);
    let mode = |choice| {
        let mut request = request.clone();
        request.tool_choice = choice;
        sent(&request, "gemini-3-flash")["toolConfig"]["functionCallingConfig"].clone()
    };
    assert_eq!(mode(None), json!({ "mode": "VALIDATED" }), "strict");
    assert_eq!(mode(Some(ToolChoice::None)), json!({ "mode": "NONE" }));
    assert_eq!(mode(Some(ToolChoice::Required)), json!({ "mode": "ANY" }));
    let one = ToolChoice::Function("f".to_owned());
    assert_eq!(mode(Some(one)), json!({ "mode": "ANY", "allowedFunctionNames": ["f"] }));
    let some = ToolChoice::Allowed { names: vec!["f".to_owned(), "g".to_owned()], required: false };
    assert_eq!(mode(Some(some)), json!({ "mode": "VALIDATED", "allowedFunctionNames": ["f", "g"] }));
}

#[test]
fn a_client_without_ids_finds_calls_and_results_paired() {
    let part = |name: &str| json!({ "functionCall": { "name": name, "args": {} } });
    let back = |name: &str| json!({ "functionResponse": { "name": name, "response": { "output": name } } });
    let body = json!({ "contents": [
        { "parts": [{ "text": "Go." }] },
        { "role": "model", "parts": [part("f"), part("g"), part("f")] },
        { "role": "function", "parts": [back("g"), back("f"), back("f"), { "text": "Well?" }] },
    ] });
    let read = request::read(body.to_string().as_bytes(), Some(("models/gemini-2.5-flash", true))).unwrap();
    assert_eq!((read.model.as_str(), read.stream), ("gemini-2.5-flash", true));
    let roles: Vec<_> = read.turns.iter().map(|turn| turn.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::Tool, Role::User]);
    let calls: Vec<_> = read.turns[1]
        .parts
        .iter()
        .map(|part| match &part.body {
            Body::ToolCall(call) => call.id.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    let results: Vec<_> = read.turns[2]
        .parts
        .iter()
        .map(|part| match &part.body {
            Body::ToolResult(result) => result.id.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(results, [calls[1].clone(), calls[0].clone(), calls[2].clone()]);
    let again = sent(&read, "gemini-2.5-flash").to_string();
    assert!(!again.contains("\"id\""), "ids made up here are not told Google: {again}");
}

#[test]
fn an_answer_that_comes_back_in_the_pieces_of_its_stream_is_joined() {
    let proof = Signature { maker: Dialect::Anthropic, text: "c2ln".to_owned() };
    let piece = |part: Value| json!({ "role": "model", "parts": [part] });
    let body = json!({ "contents": [
        { "parts": [{ "text": "Go." }] },
        piece(json!({ "thought": true, "text": "H" })),
        piece(json!({ "thought": true, "text": "m." })),
        piece(json!({ "thought": true, "text": "", "thoughtSignature": proof.show_to(Dialect::Gemini) })),
        piece(json!({ "thought": true, "thoughtSignature": proof.show_to(Dialect::Gemini) })),
        piece(json!({ "text": "On" })),
        piece(json!({ "text": "e." })),
        piece(json!({ "functionCall": { "name": "f" } })),
        piece(json!({ "text": "" })),
    ] });
    let read = request::read(body.to_string().as_bytes(), Some(("m", false))).unwrap();
    let thoughts = |text: &str, redacted| Part {
        body: Body::Reasoning(Reasoning { text: text.to_owned(), id: None, summary: true, redacted }),
        cache: None,
        signature: Some(proof.clone()),
    };
    assert_eq!(read.turns.len(), 2);
    assert_eq!(read.turns[1].parts[..3], [thoughts("Hm.", false), thoughts("", true), Part::text("One.")]);
    assert_eq!(read.turns[1].parts.len(), 4, "and the call");
}

#[test]
fn bad_input_is_the_callers_and_names_the_place() {
    let wrong = |body: Value| {
        let refusal = request::read(body.to_string().as_bytes(), Some(("m", false))).unwrap_err();
        assert_eq!(refusal.status, 400, "{body}");
        (refusal.code, refusal.param.unwrap_or_default())
    };
    let said = |part: Value| json!({ "contents": [{ "parts": [part] }] });
    let cases = [
        (json!({}), "missing_required_parameter", "contents"),
        (json!({ "contents": [] }), "missing_required_parameter", "contents"),
        (json!({ "contents": "hi" }), "invalid_type", "contents"),
        (json!({ "contents": [1] }), "invalid_type", "contents[0]"),
        (json!({ "contents": [{ "role": "system", "parts": [] }] }), "invalid_value", "contents[0].role"),
        (said(json!({})), "missing_required_parameter", "contents[0].parts[0]"),
        (said(json!({ "text": 1 })), "invalid_type", "contents[0].parts[0].text"),
        (
            said(json!({ "inlineData": {} })),
            "missing_required_parameter",
            "contents[0].parts[0].inlineData.data",
        ),
        (said(json!({ "functionCall": { "name": "f" } })), "invalid_value", "contents[0].parts[0]"),
        (
            json!({ "contents": [{ "role": "model", "parts": [{ "function_call": { "name": "f", "args": 1 } }] }] }),
            "invalid_type",
            "contents[0].parts[0].functionCall.args",
        ),
        (
            json!({ "contents": [{ "parts": [{ "text": "x" }] }], "generation_config": { "top_p": "x" } }),
            "invalid_type",
            "generationConfig.topP",
        ),
        (
            json!({ "contents": [{ "parts": [{ "text": "x" }] }], "tools": [{ "functionDeclarations": [{}] }] }),
            "missing_required_parameter",
            "tools[0].functionDeclarations[0].name",
        ),
        (
            json!({ "contents": [{ "parts": [{ "text": "x" }] }],
                    "toolConfig": { "functionCallingConfig": { "mode": "SOME" } } }),
            "invalid_value",
            "toolConfig.functionCallingConfig.mode",
        ),
    ];
    for (body, code, param) in cases {
        assert_eq!(wrong(body.clone()), (code, param.to_owned()), "{body}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(request::read(deep.as_bytes(), None).unwrap_err().code, "invalid_json");
}

#[test]
fn what_says_more_about_media_than_others_know_is_kept_by_name() {
    let video = json!({ "fileData": { "fileUri": "https://youtu.be/x" }, "videoMetadata": { "fps": 1 } });
    let body = json!({ "contents": [{ "parts": [video] }], "labels": { "a": "b" } });
    let read = request::read(body.to_string().as_bytes(), Some(("m", false))).unwrap();
    let Body::Media(media) = &read.turns[0].parts[0].body else { panic!("{read:?}") };
    assert_eq!(media.kind, MediaKind::Video);
    assert_eq!(
        media.source,
        Source::File(Dialect::Gemini, "https://youtu.be/x".to_owned()),
        "no file others could fetch"
    );
    assert_eq!(read.extras["contents[0].parts[0].videoMetadata"], json!({ "fps": 1 }));
    let at = |kind| request::write(&read, &order(kind, "gemini-2.5-flash", None));
    assert_eq!(at("gemini").dropped, ["labels", "contents[0].parts[0].videoMetadata"]);
    assert_eq!(json_of(&at("vertex").body)["labels"], json!({ "a": "b" }));
}
