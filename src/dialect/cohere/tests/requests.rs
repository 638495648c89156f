//! Requests, made up.

use super::*;

fn said(messages: Value) -> Value {
    json!({"model": "command-a", "messages": messages})
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

/// A request of another dialect.
fn foreign(turns: Vec<Turn>) -> Request {
    Request { turns, ..Request::new(Dialect::OpenAiChat, "command-a".into()) }
}

fn asked() -> Request {
    foreign(vec![Turn::new(Role::User, vec![Part::text("x")])])
}

fn written(request: &Request) -> Written {
    request::write(request, &order("command-a"))
}

#[test]
fn every_member_is_read_and_written_back() {
    let whole = json!({
        "model": "command-a", "stream": true,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://x.y/z.png"}}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "A"}],
             "tool_plan": "I look.",
             "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
                            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": [
                {"type": "document", "document": {"id": "d1", "data": {"title": "T", "n": 3}}},
                {"type": "document", "document": {"data": "plain"}}]},
            {"role": "tool", "tool_call_id": "c2", "content": "none"},
            {"role": "assistant", "content": "So.", "citations": [{"start": 0, "end": 2, "text": "So", "type": "TEXT_CONTENT",
                "sources": [{"type": "tool", "id": "c1:0", "tool_output": {"n": 3}}]}]},
            user("Thanks")],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters":
            {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "integer"}}, "required": ["a"]}}},
            {"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}}],
        "strict_tools": true, "tool_choice": "REQUIRED",
        "response_format": {"type": "json_object", "json_schema": {"type": "object", "properties": {"z": {}, "a": {}}}},
        "temperature": 0.3, "p": 1, "k": 600, "seed": 7, "stop_sequences": ["a", "b"], "frequency_penalty": 2,
        "presence_penalty": 0.5, "max_tokens": 100, "logprobs": true,
        "thinking": {"type": "enabled", "token_budget": 2000},
        "documents": ["one", {"id": "d", "data": {"text": "two"}}], "citation_options": {"mode": "FAST"},
        "safety_mode": "STRICT", "priority": 2, "raw_prompting": false,
    });
    let request = read(&whole);
    let written = written(&request);
    assert_eq!(body(&written), whole);
    assert!(written.dropped.is_empty() && written.refused.is_empty());
    assert_eq!(read(&body(&written)), request);
    assert!(
        written.body.windows(16).any(|bytes| bytes == br#""z":{},"a":{}}}}"# as &[u8])
            || String::from_utf8_lossy(&written.body).contains(r#"{"z":{},"a":{}}"#),
        "properties keep their order"
    );

    assert_eq!(
        request.turns.iter().map(|turn| turn.role).collect::<Vec<_>>(),
        [Role::System, Role::User, Role::Assistant, Role::Tool, Role::Tool, Role::Assistant, Role::User]
    );
    assert_eq!(request.sampling.top_k, Some(json!(600)));
    assert_eq!(
        request.extras.keys().collect::<Vec<_>>(),
        ["documents", "citation_options", "safety_mode", "priority", "raw_prompting"]
    );
    let plan = &request.turns[2].parts[2].body;
    assert_eq!(*plan, Body::Text(Text { text: "I look.".into(), citations: vec![] }));
}

#[test]
fn the_models_name_and_the_cap_are_the_orders() {
    let request = read(&json!({"model": "a", "messages": [user("x")], "max_tokens": 500}));
    let order = Order { kind: "cohere", model: "b", output_cap: Some(20) };
    let written = body(&request::write(&request, &order));
    assert_eq!((&written["model"], &written["max_tokens"]), (&json!("b"), &json!(20)));
}

#[test]
fn a_bad_member_is_refused_with_its_place() {
    for (value, param, code) in [
        (json!({"messages": []}), "model", "missing_required_parameter"),
        (json!({"model": 3}), "model", "invalid_type"),
        (json!({"model": "m"}), "messages", "missing_required_parameter"),
        (said(json!([])), "messages", "invalid_value"),
        (said(json!(["x"])), "messages[0]", "invalid_type"),
        (said(json!([{"content": "x"}])), "messages[0].role", "missing_required_parameter"),
        (said(json!([{"role": "robot", "content": "x"}])), "messages[0].role", "invalid_value"),
        (said(json!([{"role": "user", "content": 3}])), "messages[0].content", "invalid_type"),
        (
            said(json!([user("x"), {"role": "user", "content": [{"type": 3}]}])),
            "messages[1].content[0].type",
            "invalid_type",
        ),
        (
            said(json!([{"role": "user", "content": [{"type": "text"}]}])),
            "messages[0].content[0].text",
            "missing_required_parameter",
        ),
        (
            said(json!([{"role": "user", "content": [{"type": "image_url", "image_url": "u"}]}])),
            "messages[0].content[0].image_url",
            "invalid_type",
        ),
        (
            said(json!([{"role": "tool", "content": "x"}])),
            "messages[0].tool_call_id",
            "missing_required_parameter",
        ),
        (
            said(json!([{"role": "assistant", "tool_calls": [{"id": "a"}]}])),
            "messages[0].tool_calls[0].function",
            "missing_required_parameter",
        ),
    ] {
        let refusal = refused(&value);
        assert_eq!(
            (refusal.status, refusal.param.as_deref(), refusal.code),
            (400, Some(param), code),
            "{value}"
        );
    }
    for (name, value) in [
        ("tool_choice", json!("AUTO")),
        ("stream", json!("yes")),
        ("temperature", json!("hot")),
        ("p", json!([])),
        ("stop_sequences", json!("x")),
        ("max_tokens", json!(-1)),
        ("tools", json!({})),
        ("thinking", json!(true)),
        ("response_format", json!("json")),
        ("strict_tools", json!(1)),
    ] {
        let mut request = said(json!([user("x")]));
        request[name] = value;
        assert_eq!(refused(&request).param.as_deref(), Some(name));
    }
    assert_eq!(request::read(b"{", None).unwrap_err().code, "invalid_json");
}

#[test]
fn a_block_of_a_kind_to_come_stays_as_it_is() {
    let request =
        read(&said(json!([{"role": "user", "content": [{"type": "video", "video": {"url": "u"}}]}])));
    assert_eq!(
        body(&written(&request))["messages"][0]["content"][0],
        json!({"type": "video", "video": {"url": "u"}})
    );
}

#[test]
fn text_beside_calls_is_the_plan() {
    let call = Body::ToolCall(ToolCall { id: "c".into(), name: "f".into(), arguments: String::new() });
    let request = foreign(vec![
        Turn::new(Role::Assistant, vec![Part::text("one"), Part::text("two"), call.into()]),
        Turn::new(Role::Assistant, vec![Part::text("three"), Part::text("")]),
    ]);
    assert_eq!(
        body(&written(&request))["messages"],
        json!([
        {"role": "assistant", "tool_plan": "two", "content": "one",
         "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "assistant", "content": "three"}])
    );
}

#[test]
fn only_coheres_own_thoughts_go_back_to_it() {
    let thought = |maker: Option<Dialect>| Part {
        body: Body::Reasoning(Reasoning { text: "Hm.".into(), ..Reasoning::default() }),
        cache: None,
        signature: maker.map(|maker| Signature { maker, text: String::new() }),
    };
    let parts = vec![
        thought(None),
        thought(Some(Dialect::Anthropic)),
        thought(Some(Dialect::Cohere)),
        Part::text("x"),
    ];
    let request = foreign(vec![Turn::new(Role::Assistant, parts)]);
    let written = written(&request);
    assert_eq!(
        body(&written)["messages"][0]["content"],
        json!([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "x"}])
    );
    assert!(written.dropped.is_empty(), "thoughts are not part of the conversation");
    // The mark survives a client of another dialect.
    let shown = Signature { maker: Dialect::Cohere, text: String::new() }.show_to(Dialect::Anthropic);
    assert!(!shown.is_empty());
    assert_eq!(Signature::came_from(Dialect::Anthropic, &shown).for_maker(Dialect::Cohere), Some(""));
}

#[test]
fn calls_without_an_id_get_one_and_their_results_the_same() {
    let call = |name: &str| Part::from(Body::ToolCall(ToolCall { name: name.into(), ..ToolCall::default() }));
    let result = |name: &str, text: &str| {
        Part::from(Body::ToolResult(ToolResult {
            id: String::new(),
            name: Some(name.into()),
            parts: vec![Part::text(text)],
            is_error: false,
        }))
    };
    let request = foreign(vec![
        Turn::new(Role::Assistant, vec![call("f"), call("g"), call("f")]),
        Turn::new(Role::Tool, vec![result("g", "1"), result("f", "2"), result("f", "3")]),
    ]);
    let written = body(&written(&request));
    let calls: Vec<&Value> =
        written["messages"][0]["tool_calls"].as_array().unwrap().iter().map(|call| &call["id"]).collect();
    let answered: Vec<&Value> =
        written["messages"].as_array().unwrap()[1..].iter().map(|message| &message["tool_call_id"]).collect();
    assert_eq!(answered, [calls[1], calls[0], calls[2]]);
    assert_ne!(calls[0], calls[2]);
}

#[test]
fn results_are_text_or_documents() {
    let image = Media::new(MediaKind::Image, Source::Base64("AA".into()), Some("image/png".into()));
    let mut text = Media::new(MediaKind::Document, Source::Text("words".into()), Some("text/plain".into()));
    text.name = Some("a.txt".into());
    let result = |parts: Vec<Part>, is_error: bool| {
        Part::from(Body::ToolResult(ToolResult { id: "c".into(), name: None, parts, is_error }))
    };
    let request = foreign(vec![Turn::new(
        Role::Tool,
        vec![
            result(vec![Body::Media(text).into(), Part::text("more")], false),
            result(vec![Body::Native(Dialect::Gemini, json!({"n": 1})).into()], true),
            result(vec![], false),
            result(vec![Body::Media(image).into()], false),
        ],
    )]);
    let written = written(&request);
    assert_eq!(written.dropped, ["messages[0].content[1].is_error"]);
    assert_eq!(written.refused, ["messages[0].content[3].content[0]"]);
    let body = body(&written);
    assert_eq!(
        body["messages"][0]["content"],
        json!([{"type": "document", "document": {"data": "words", "id": "a.txt"}},
        {"type": "text", "text": "more"}])
    );
    assert_eq!(body["messages"][1]["content"], json!([{"type": "document", "document": {"data": {"n": 1}}}]));
    assert_eq!(body["messages"][2]["content"], "");
}

#[test]
fn what_a_user_shows_is_seen_or_the_request_is_not_sent() {
    let media =
        |kind, source, mime: &str| Part::from(Body::Media(Media::new(kind, source, Some(mime.into()))));
    let request = foreign(vec![Turn {
        role: Role::User,
        name: Some("Ann".into()),
        parts: vec![
            media(MediaKind::Image, Source::Base64("AA".into()), "image/png"),
            media(MediaKind::Document, Source::Text("words".into()), "text/plain"),
            media(MediaKind::Image, Source::File(Dialect::OpenAiResponses, "file-1".into()), "image/png"),
            media(MediaKind::Document, Source::Base64("AA".into()), "application/pdf"),
            media(MediaKind::Audio, Source::Base64("AA".into()), "audio/wav"),
            Body::Native(Dialect::Anthropic, json!({"type": "container"})).into(),
        ],
    }]);
    let written = written(&request);
    assert_eq!(
        body(&written)["messages"][0]["content"],
        json!([
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}, {"type": "text", "text": "words"}])
    );
    assert_eq!(
        written.refused,
        ["messages[0].content[2]", "messages[0].content[3]", "messages[0].content[4]"]
    );
    assert_eq!(written.dropped, ["messages[0].name", "messages[0].content[5]"]);
}

fn function(name: &str, strict: bool, required: bool) -> Tool {
    let required: &[&str] = if required { &["a"] } else { &[] };
    Tool::Function(Function {
        name: name.into(),
        strict: strict.then_some(true),
        parameters: Some(json!({"type": "object", "properties": {"a": {}}, "required": required})),
        ..Function::default()
    })
}

#[test]
fn a_choice_of_one_function_shows_it_alone() {
    let with = |choice: ToolChoice| {
        let tools = vec![function("f", false, true), function("g", false, true), function("h", false, true)];
        let written = written(&Request { tools, tool_choice: Some(choice), ..asked() });
        let body = body(&written);
        let names: Vec<String> = body["tools"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|tool| tool["function"]["name"].as_str().unwrap().to_owned())
            .collect();
        (names.concat(), body["tool_choice"].as_str().map(str::to_owned), written.refused)
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(with(ToolChoice::Auto), ("fgh".into(), None, vec![]));
    assert_eq!(with(ToolChoice::None), ("fgh".into(), Some("NONE".into()), vec![]));
    assert_eq!(with(ToolChoice::Required), ("fgh".into(), Some("REQUIRED".into()), vec![]));
    assert_eq!(with(ToolChoice::Function("g".into())), ("g".into(), Some("REQUIRED".into()), vec![]));
    assert_eq!(
        with(ToolChoice::Allowed { names: names(&["f", "h"]), required: false }),
        ("fh".into(), None, vec![])
    );
    assert_eq!(
        with(ToolChoice::Allowed { names: names(&["f"]), required: true }),
        ("f".into(), Some("REQUIRED".into()), vec![])
    );
    assert_eq!(with(ToolChoice::Function("z".into())).2, ["tool_choice"]);
}

#[test]
fn strictness_is_for_all_tools_or_none() {
    let with = |tools: Vec<Tool>| {
        let written = written(&Request { tools, ..asked() });
        (body(&written)["strict_tools"] == json!(true), written.dropped)
    };
    assert_eq!(with(vec![function("f", true, true), function("g", true, true)]), (true, vec![]));
    assert_eq!(
        with(vec![function("f", true, true), function("g", false, true)]),
        (false, vec!["tools[0].strict".to_owned()])
    );
    assert_eq!(with(vec![function("f", true, false)]), (false, vec!["tools[0].strict".to_owned()]));
    assert_eq!(with(vec![function("f", false, true)]), (false, vec![]));
    let native = Tool::Native(Dialect::Anthropic, json!({"type": "web_search"}));
    assert_eq!(written(&Request { tools: vec![native], ..asked() }).refused, ["tools[0]"]);
}

#[test]
fn numbers_of_other_dialects_are_fitted_or_named() {
    let mut request = asked();
    request.sampling.top_p = Some(json!(1));
    request.sampling.top_k = Some(json!(1000));
    request.sampling.temperature = Some(json!(0.7));
    request.sampling.frequency_penalty = Some(json!(0.5));
    request.sampling.presence_penalty = Some(json!(-1));
    request.sampling.choices = Some(2);
    request.sampling.top_logprobs = Some(3);
    request.sampling.logit_bias = Some(json!({"1": 2}));
    request.sampling.stop = vec!["x".into(); 6];
    request.parallel_tool_calls = Some(false);
    request.user = Some("u".into());
    request.service_tier = Some("flex".into());
    request.extras.insert("store".into(), json!(true));
    let written = written(&request);
    let body = body(&written);
    assert_eq!((&body["p"], &body["k"], &body["temperature"]), (&json!(0.99), &json!(500), &json!(0.7)));
    assert_eq!((body.get("presence_penalty"), &body["frequency_penalty"]), (None, &json!(0.5)));
    assert_eq!(
        written.dropped,
        [
            "parallel_tool_calls",
            "presence_penalty",
            "top_logprobs",
            "logit_bias",
            "user",
            "service_tier",
            "store"
        ]
    );
    assert_eq!(written.refused, ["stop", "n"]);
}

#[test]
fn a_temperature_above_one_is_one_and_a_penalty_of_nothing_is_nothing() {
    let mut request = asked();
    request.sampling.temperature = Some(json!(1.5));
    request.sampling.frequency_penalty = Some(json!(0));
    request.sampling.presence_penalty = Some(json!(0.0));
    let hot = written(&request);
    let keys = body(&hot);
    assert_eq!(keys["temperature"], json!(1.0));
    assert!(keys.get("frequency_penalty").is_none() && keys.get("presence_penalty").is_none());
    assert_eq!(hot.dropped, ["temperature"]);
    let own = Request { dialect: Dialect::Cohere, ..request };
    assert_eq!(body(&written(&own))["temperature"], json!(1.5), "Cohere judges what was written for it");
    assert_eq!(body(&written(&own))["frequency_penalty"], json!(0));
}

#[test]
fn instructions_of_other_dialects_come_first_and_once() {
    let turn = |role, text: &str| Turn::new(role, vec![Part::text(text)]);
    let turns = vec![
        turn(Role::User, "u"),
        turn(Role::System, "a"),
        turn(Role::Assistant, "x"),
        turn(Role::Developer, "b"),
    ];
    let request = foreign(turns.clone());
    assert_eq!(
        body(&written(&request))["messages"],
        json!([
        {"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": "u"}, {"role": "assistant", "content": "x"}])
    );
    let own = Request { dialect: Dialect::Cohere, ..foreign(turns) };
    let roles: Vec<Value> = body(&written(&own))["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["role"].clone())
        .collect();
    assert_eq!(roles, ["user", "system", "assistant", "system"]);
}

#[test]
fn effort_becomes_a_budget() {
    let with = |thinking: Thinking| {
        body(&written(&Request { thinking: Some(thinking), ..asked() }))["thinking"].clone()
    };
    let effort = |effort: &str| Thinking { effort: Some(effort.into()), ..Thinking::default() };
    assert_eq!(with(effort("high")), json!({"type": "enabled", "token_budget": 16_384}));
    assert_eq!(with(effort("none")), json!({"type": "disabled"}));
    assert_eq!(with(Thinking { adaptive: true, ..Thinking::default() }), json!({"type": "enabled"}));
    assert_eq!(with(Thinking { enabled: Some(false), ..Thinking::default() }), json!({"type": "disabled"}));
    assert_eq!(with(Thinking { budget_tokens: Some(0), ..Thinking::default() }), json!({"type": "disabled"}));
    assert_eq!(with(Thinking { shown: Some(true), ..Thinking::default() }), Value::Null);
}

#[test]
fn a_form_of_the_answer_is_carried() {
    let with = |format: Format| {
        body(&written(&Request { format: Some(format), ..asked() }))["response_format"].clone()
    };
    assert_eq!(with(Format::Json), json!({"type": "json_object"}));
    let schema = json!({"type": "object", "properties": {"b": {}, "a": {}}});
    let format = Format::Schema {
        name: Some("n".into()),
        description: None,
        schema: schema.clone(),
        strict: Some(true),
    };
    assert_eq!(with(format), json!({"type": "json_object", "json_schema": schema}));
}

#[test]
fn recorded_clients_are_understood() {
    // What cohere 7.3.1 for Python sends.
    for stream in [false, true] {
        let sent = json!({"model": "command-a", "messages": [{"role": "user", "content": "hello"}], "stream": stream});
        let request = read(&sent);
        assert_eq!(request.stream, stream);
        assert_eq!(body(&written(&request)), sent);
    }
}

fn requests() -> impl Strategy<Value = Value> {
    let text = || prop::sample::select(vec!["x", "Wie geht's?", "a\n\"b\"", "é"]).prop_map(str::to_owned);
    let block = prop_oneof![
        text().prop_map(|text| json!({"type": "text", "text": text})),
        text().prop_map(
            |text| json!({"type": "image_url", "image_url": {"url": format!("https://x.y/{text}")}})
        ),
    ];
    let call = (0..9u8, text()).prop_map(|(id, text)| {
        json!({"id": id.to_string(), "type": "function", "function": {"name": text, "arguments": json!({"a": text}).to_string()}})
    });
    let result = prop_oneof![
        text().prop_map(Value::from),
        prop::collection::vec(
            prop_oneof![
                text().prop_map(|text| json!({"type": "text", "text": text})),
                text().prop_map(
                    |text| json!({"type": "document", "document": {"id": text, "data": {"t": text}}})
                ),
                text().prop_map(|text| json!({"type": "document", "document": {"data": text}})),
            ],
            1..3
        )
        .prop_map(Value::from),
    ];
    let thinking = text().prop_map(|text| json!({"type": "thinking", "thinking": text}));
    let said = text().prop_map(|text| json!({"type": "text", "text": text}));
    let message = prop_oneof![
        text().prop_map(|text| json!({"role": "system", "content": text})),
        prop::collection::vec(block, 1..4).prop_map(|blocks| json!({"role": "user", "content": blocks})),
        (
            prop::collection::vec(prop_oneof![thinking, said], 1..3),
            prop::option::of(text()),
            prop::collection::vec(call, 0..3)
        )
            .prop_map(|(content, plan, calls)| {
                // A plan without calls is text when it goes back.
                json!({"role": "assistant", "content": content, "tool_plan": plan, "tool_calls": calls})
            }),
        (0..9u8, result).prop_map(
            |(id, content)| json!({"role": "tool", "tool_call_id": id.to_string(), "content": content})
        ),
    ];
    (prop::collection::vec(message, 1..6), any::<bool>(), prop::option::of(0..100u32), prop::option::of(0.0..1.0f64))
        .prop_map(|(messages, stream, cap, p)| {
            json!({"model": "m", "messages": messages, "stream": stream, "max_tokens": cap, "p": p, "safety_mode": "STRICT"})
        })
}

proptest! {
    #[test]
    fn a_request_written_is_read_the_same(value in requests()) {
        let request = read(&value);
        let again = request::write(&request, &order("m"));
        prop_assert!(again.dropped.is_empty() && again.refused.is_empty());
        let reread = read(&body(&again));
        // Texts after a plan that is one no more stand where they stood: the parts are the same, in the same order, but for
        // a plan, which follows all content.
        prop_assert_eq!(reread, request);
    }
}
