//! What requests can hold, both ways.

use super::*;
use crate::{
    dialect::Dialect,
    model::{
        part::{Body, CacheMark, Media, MediaKind, Part, Reasoning, Signature, Source, ToolCall, ToolResult},
        request::{Format, Function, Role, Thinking, Tool, ToolChoice},
    },
};

#[test]
fn what_is_wrong_is_named() {
    let cases = [
        (json!({"input": "x"}), "model"),
        (json!({"model": 1, "input": "x"}), "model"),
        (json!({"model": "m"}), "input"),
        (json!({"model": "m", "input": 7}), "input"),
        (json!({"model": "m", "input": ["x"]}), "input[0]"),
        (json!({"model": "m", "input": [{"content": "x"}]}), "input[0].type"),
        (json!({"model": "m", "input": [{"role": "tool", "content": "x"}]}), "input[0].role"),
        (json!({"model": "m", "input": [{"role": "user"}]}), "input[0].content"),
        (
            json!({"model": "m", "input": [{"role": "user", "content": [{"text": "x"}]}]}),
            "input[0].content[0].type",
        ),
        (
            json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": 1}]}]}),
            "input[0].content[0].text",
        ),
        (
            json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_image", "image_url": {"url": "x"}}]}]}),
            "input[0].content[0].image_url",
        ),
        (
            json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_file"}]}]}),
            "input[0].content[0].file_data",
        ),
        (
            json!({"model": "m", "input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}),
            "input[0].call_id",
        ),
        (
            json!({"model": "m", "input": [{"type": "function_call_output", "call_id": "c", "output": {}}]}),
            "input[0].output",
        ),
        (
            json!({"model": "m", "input": [{"type": "reasoning", "summary": [{}]}]}),
            "input[0].summary[0].text",
        ),
        (
            json!({"model": "m", "input": "x", "tools": [{"type": "function", "function": {"name": "f"}}]}),
            "tools[0].name",
        ),
        (json!({"model": "m", "input": "x", "tools": [{"name": "f"}]}), "tools[0].type"),
        (json!({"model": "m", "input": "x", "tool_choice": "maybe"}), "tool_choice"),
        (
            json!({"model": "m", "input": "x", "text": {"format": {"type": "json_schema", "json_schema": {}}}}),
            "text.format.schema",
        ),
        (json!({"model": "m", "input": "x", "text": {"format": {"type": "xml"}}}), "text.format.type"),
        (json!({"model": "m", "input": "x", "metadata": {"a": 1}}), "metadata.a"),
        (json!({"model": "m", "input": "x", "temperature": "hot"}), "temperature"),
        (json!({"model": "m", "input": "x", "max_output_tokens": -1}), "max_output_tokens"),
        (json!({"model": "m", "input": "x", "include": [1]}), "include"),
        (json!({"model": "m", "input": "x", "reasoning": {"effort": 3}}), "reasoning.effort"),
        (json!({"model": "m", "input": "x", "stream": "yes"}), "stream"),
    ];
    for (body, param) in cases {
        let refusal = request::read(body.to_string().as_bytes(), None).unwrap_err();
        assert_eq!((refusal.status, refusal.param.as_deref()), (400, Some(param)), "{body}");
    }
    assert_eq!(request::read(b"[]", None).unwrap_err().code, "invalid_json");
}

#[test]
fn items_become_turns_and_items_again() {
    let body = json!({"model": "m", "instructions": "Be brief.", "input": [
        {"role": "developer", "content": "In French."},
        {"role": "user", "content": [
            {"type": "input_text", "text": "Look.", "prompt_cache_breakpoint": {"mode": "explicit"}},
            {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "high"},
            {"type": "input_image", "file_id": "file-1", "detail": "auto"},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB", "detail": "low"},
            {"type": "input_file", "file_url": "https://x.y/z.pdf"},
            {"type": "input_audio", "input_audio": {"data": "CCCC", "format": "mp3"}},
            {"type": "input_video", "id": 3}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "gAAA"},
        {"type": "message", "role": "assistant", "phase": "commentary", "content": [
            {"type": "output_text", "text": "I call.", "annotations": [{"type": "url_citation", "url": "https://x.y", "title": "X", "start_index": 0, "end_index": 3}]},
            {"type": "refusal", "refusal": "Not that."}]},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{\"a\":1}", "namespace": "n"},
        {"type": "function_call", "call_id": "call_2", "name": "g", "arguments": "{}"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "function_call_output", "call_id": "call_1", "output": "1"},
        {"type": "function_call_output", "call_id": "call_2", "output": [
            {"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "https://x.y/z.png", "detail": "auto"}]},
        {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "image_url": "data:x"}},
        {"role": "user", "content": "And?"}]});
    let request = request(&body);
    let roles: Vec<Role> = request.turns.iter().map(|turn| turn.role).collect();
    use Role::{Assistant, Developer, System, Tool, User};
    assert_eq!(roles, [System, Developer, User, Assistant, Tool, Assistant, User]);
    let user = &request.turns[2].parts;
    assert_eq!(user[0].cache, Some(CacheMark::FiveMinutes));
    let Body::Media(pdf) = &user[3].body else { panic!() };
    assert_eq!((pdf.kind, pdf.mime.as_deref()), (MediaKind::Document, Some("application/pdf")));
    assert_eq!(pdf.source, Source::Base64("BBBB".to_owned()));
    let Body::Media(clip) = &user[5].body else { panic!() };
    assert_eq!((clip.kind, clip.mime.as_deref()), (MediaKind::Audio, Some("audio/mpeg")));
    assert!(matches!(user[6].body, Body::Native(OWN, _)));
    let model = &request.turns[3].parts;
    assert_eq!(model[0].signature, Some(Signature { maker: OWN, text: "rs_1:gAAA".to_owned() }));
    let kinds: Vec<u8> = model
        .iter()
        .map(|part| match part.body {
            Body::Reasoning(_) => b'r',
            Body::Text(_) => b't',
            Body::Refusal(_) => b'n',
            Body::ToolCall(_) => b'c',
            _ => b'x',
        })
        .collect();
    assert_eq!(kinds, b"rtnccx");
    let extras: Vec<&str> = request.extras.keys().map(String::as_str).collect();
    assert_eq!(extras, ["input[1].content[3].detail", "input[3].phase", "input[4].namespace"]);
    let (written, dropped, refused) = written(&request);
    assert_eq!((dropped, refused), (vec![], vec![]));
    let mut expected = body;
    expected["input"][10]["content"] = json!("And?");
    assert_eq!(written, expected);
}

#[test]
fn messages_of_the_model_stay_apart_but_not_behind_calls() {
    let said = |text: &str| json!({"type": "message", "role": "assistant", "content": text});
    let apart = request(&json!({"model": "m", "input": [said("a"), said("b")]}));
    assert_eq!(apart.turns.len(), 2);
    let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
    let behind = request(&json!({"model": "m", "input": [said("a"), call, said("b"), said("c"),
        {"type": "function_call_output", "call_id": "c", "output": "1"}]}));
    let roles: Vec<Role> = behind.turns.iter().map(|turn| turn.role).collect();
    assert_eq!(roles, [Role::Assistant, Role::Tool], "results follow their calls");
}

#[test]
fn every_member_has_its_place() {
    let body = json!({
        "model": "m", "input": "hi", "stream": true,
        "tools": [
            {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true, "defer_loading": true},
            {"type": "web_search", "search_context_size": "low"}, {"type": "custom", "name": "c"}],
        "tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": false,
        "text": {"format": {"type": "json_schema", "name": "n", "description": "d", "schema": {"type": "object"}, "strict": true}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto", "context": "all_turns"},
        "max_output_tokens": 50, "temperature": 0.5, "top_p": 0.9, "top_logprobs": 3,
        "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
        "store": false, "previous_response_id": null, "truncation": "auto", "metadata": {"k": "v"},
        "user": "u", "safety_identifier": "s", "prompt_cache_key": "p", "service_tier": "flex", "new_member": 1});
    let request = request(&body);
    assert_eq!(request.tool_choice, Some(ToolChoice::Function("f".to_owned())));
    assert_eq!((request.parallel_tool_calls, request.output_cap), (Some(false), Some(50)));
    assert!(matches!(&request.format, Some(Format::Schema { strict: Some(true), .. })));
    assert!(request.sampling.logprobs && request.sampling.top_logprobs == Some(3));
    assert_eq!(request.thinking.as_ref().unwrap().shown, Some(true));
    assert!(matches!(&request.tools[..], [Tool::Function(_), Tool::Native(OWN, _), Tool::Native(OWN, _)]));
    let extras: Vec<&str> = request.extras.keys().map(String::as_str).collect();
    assert_eq!(
        extras,
        [
            "tools[0].defer_loading",
            "text.verbosity",
            "include",
            "reasoning.context",
            "store",
            "truncation",
            "safety_identifier",
            "prompt_cache_key",
            "new_member"
        ]
    );
    let (mut written, dropped, refused) = written(&request);
    assert_eq!((dropped, refused), (vec![], vec![]));
    let mut expected = body;
    expected.as_object_mut().unwrap().shift_remove("previous_response_id");
    expected["input"] = json!([{"role": "user", "content": "hi"}]);
    for value in [&mut written, &mut expected] {
        value["include"].as_array_mut().unwrap().sort_by_key(Value::to_string);
    }
    assert_eq!(written, expected);
    let capped = request::write(&request, &Order { kind: "openai", model: "other", output_cap: Some(20) });
    let capped: Value = serde_json::from_slice(&capped.body).unwrap();
    assert_eq!((&capped["model"], &capped["max_output_tokens"]), (&json!("other"), &json!(20)));
}

#[test]
fn choices_of_tools() {
    let of = |choice: Value| {
        let body = json!({"model": "m", "input": "x", "tool_choice": choice});
        let request = request(&body);
        assert_eq!(written(&request).0["tool_choice"], body["tool_choice"]);
        request
    };
    assert_eq!(of(json!("auto")).tool_choice, Some(ToolChoice::Auto));
    assert_eq!(of(json!("none")).tool_choice, Some(ToolChoice::None));
    assert_eq!(of(json!("required")).tool_choice, Some(ToolChoice::Required));
    let function = json!({"type": "function", "name": "f"});
    let allowed = of(json!({"type": "allowed_tools", "mode": "required", "tools": [function]})).tool_choice;
    assert_eq!(allowed, Some(ToolChoice::Allowed { names: vec!["f".to_owned()], required: true }));
    for hosted in [
        json!({"type": "web_search_preview"}),
        json!({"type": "mcp", "server_label": "s"}),
        json!({"type": "allowed_tools", "mode": "auto", "tools": [function, {"type": "image_generation"}]}),
    ] {
        let request = of(hosted);
        assert_eq!(request.tool_choice, None);
        assert!(request.extras.contains_key("tool_choice"));
    }
}

#[test]
fn state_at_the_provider_is_named() {
    let of = |more: Value| {
        let mut body = json!({"model": "m", "input": "x"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request::stateful(&request(&body))
    };
    assert_eq!(of(json!({})), None);
    assert_eq!(of(json!({"previous_response_id": null, "background": false})), None);
    assert_eq!(of(json!({"previous_response_id": "resp_1"})), Some("previous_response_id"));
    assert_eq!(of(json!({"conversation": {"id": "conv_1"}})), Some("conversation"));
    assert_eq!(of(json!({"prompt": {"id": "pmpt_1"}})), Some("prompt"));
    assert_eq!(of(json!({"background": true})), Some("background"));
    assert_eq!(of(json!({"input": [{"type": "item_reference", "id": "msg_1"}]})), Some("input"));
    let alone = request(&json!({"model": "m", "previous_response_id": "resp_1"}));
    assert!(alone.turns.is_empty());
}

#[test]
fn another_dialects_request_is_written() {
    let turns = vec![
        Turn::new(Role::System, vec![Part::text("Be brief.")]),
        Turn::new(
            Role::User,
            vec![
                Part { cache: Some(CacheMark::Hour), ..Part::text("look") },
                Body::Media(Media::new(
                    MediaKind::Document,
                    Source::Text("words".to_owned()),
                    Some("text/plain".to_owned()),
                ))
                .into(),
                Body::Media(Media::of_url(MediaKind::Document, "data:application/pdf;base64,AA")).into(),
                Body::Native(Dialect::Anthropic, json!({"type": "container"})).into(),
            ],
        ),
        Turn::new(
            Role::Assistant,
            vec![
                Part {
                    signature: Some(Signature { maker: Dialect::Anthropic, text: "sig".to_owned() }),
                    ..Body::Reasoning(Reasoning { text: "hm".to_owned(), ..Reasoning::default() }).into()
                },
                Part {
                    signature: Some(proof(Some("rs_9"), "gAAA")),
                    ..Body::Reasoning(Reasoning {
                        text: "so".to_owned(),
                        summary: true,
                        ..Reasoning::default()
                    })
                    .into()
                },
                Part::text(""),
                Body::ToolCall(ToolCall {
                    id: String::new(),
                    name: "f".to_owned(),
                    arguments: String::new(),
                })
                .into(),
                Body::ToolCall(ToolCall {
                    id: String::new(),
                    name: "g".to_owned(),
                    arguments: "{}".to_owned(),
                })
                .into(),
            ],
        ),
        Turn::new(
            Role::Tool,
            vec![
                Body::ToolResult(ToolResult {
                    id: String::new(),
                    name: Some("g".to_owned()),
                    parts: vec![Body::Native(Dialect::Gemini, json!({"r": 1})).into()],
                    is_error: false,
                })
                .into(),
                Body::ToolResult(ToolResult {
                    id: String::new(),
                    name: Some("f".to_owned()),
                    parts: vec![
                        Part::text("no"),
                        Body::Media(Media::of_url(MediaKind::Image, "https://x.y/z.png")).into(),
                    ],
                    is_error: true,
                })
                .into(),
            ],
        ),
    ];
    let mut request = foreign(Dialect::Anthropic, turns);
    request.tools = vec![
        Tool::Function(Function { name: "f".to_owned(), ..Function::default() }),
        Tool::Native(Dialect::Anthropic, json!({"type": "bash"})),
    ];
    request.tool_choice = Some(ToolChoice::Required);
    request.sampling.stop = vec!["END".to_owned()];
    request.sampling.top_k = Some(json!(5));
    request.sampling.choices = Some(2);
    request.thinking = Some(Thinking {
        enabled: Some(true),
        budget_tokens: Some(5_000),
        shown: Some(true),
        ..Thinking::default()
    });
    request.extras.insert("container".to_owned(), json!("c"));
    let (written, dropped, refused) = written(&request);
    assert_eq!(
        written,
        json!({
            "model": "m", "instructions": "Be brief.",
            "input": [
                {"role": "user", "content": [
                    {"type": "input_text", "text": "look"}, {"type": "input_text", "text": "words"},
                    {"type": "input_file", "filename": "document.pdf", "file_data": "data:application/pdf;base64,AA"}]},
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "so"}], "id": "rs_9", "encrypted_content": "gAAA"},
                {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
                {"type": "function_call", "call_id": "call_2", "name": "g", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "call_2", "output": "{\"r\":1}"},
                {"type": "function_call_output", "call_id": "call_1", "output": [
                    {"type": "input_text", "text": "no"}, {"type": "input_image", "image_url": "https://x.y/z.png", "detail": "auto"}]},
            ],
            "tool_choice": "required",
            "tools": [{"type": "function", "name": "f", "strict": false}],
            "reasoning": {"effort": "medium", "summary": "auto"},
            "include": ["reasoning.encrypted_content"],
            "store": false,
        })
    );
    assert_eq!(
        dropped,
        ["messages[0].content[3]", "messages[2].content[1].is_error", "top_k", "stop_sequences", "container"]
    );
    assert_eq!(refused, ["tools[1]", "n"]);
    let elsewhere = request::write(&request, &Order { kind: "perplexity", model: "m", output_cap: None });
    let elsewhere: Value = serde_json::from_slice(&elsewhere.body).unwrap();
    assert!(elsewhere.get("store").is_none() && elsewhere.get("include").is_none());
}

#[test]
fn what_a_provider_cannot_see_is_refused() {
    let of = |source: Source, kind: MediaKind| {
        let part = Body::Media(Media::new(kind, source, None)).into();
        written(&foreign(Dialect::Gemini, vec![Turn::new(Role::User, vec![part])])).2
    };
    let url = || Source::Url("https://x.y".to_owned());
    assert_eq!(of(url(), MediaKind::Video), ["contents[0].content[0] (video)"]);
    assert_eq!(of(url(), MediaKind::Audio).len(), 1);
    assert_eq!(of(Source::File(Dialect::Gemini, "f".to_owned()), MediaKind::Image).len(), 1);
    assert!(of(url(), MediaKind::Image).is_empty());
}

#[test]
fn members_that_chat_has_as_well_are_kept() {
    let mut request = foreign(Dialect::OpenAiChat, vec![Turn::new(Role::User, vec![Part::text("x")])]);
    for (name, value) in [("verbosity", json!("low")), ("store", json!(true)), ("prediction", json!({}))] {
        request.extras.insert(name.to_owned(), value);
    }
    request.sampling.logprobs = true;
    request.metadata.insert("k".to_owned(), json!("v"));
    let (written, dropped, _) = written(&request);
    assert_eq!(written["text"], json!({"verbosity": "low"}));
    assert_eq!(written["store"], json!(true));
    assert_eq!(written["include"], json!(["message.output_text.logprobs"]));
    assert_eq!(written["metadata"], json!({"k": "v"}));
    assert_eq!(dropped, ["prediction"]);
}
