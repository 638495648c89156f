//! Chat requests: what is read, what is refused, what an edit changes.

use super::*;
use crate::provider::OutputCapField;
use proptest::prelude::*;

const PLAIN: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}"#;

fn refused(body: &str) -> Refusal {
    ChatRequest::decode(body.as_bytes()).unwrap_err()
}

#[test]
fn a_plain_request_goes_as_it_came() {
    let request = ChatRequest::decode(PLAIN.as_bytes()).unwrap();
    assert_eq!(request.model, "gpt-4o-mini");
    assert_eq!(
        request.edited(PLAIN.as_bytes(), &Edits { model: Some("gpt-4o-mini"), ..Edits::default() }),
        None
    );
}

#[test]
fn only_what_policy_changes_is_changed() {
    let body =
        r#" {"x": 1.0e2, "mod\u0065l" : "fast","messages":[{"role":"user","content":"é"}],"stream":true} "#;
    let request = ChatRequest::decode(body.as_bytes()).unwrap();
    let edits = Edits {
        model: Some("gpt\"4"),
        ask_usage: true,
        cap: cap(OutputCapField::MaxTokens, 7),
        tier: Some("default"),
    };
    let edited = String::from_utf8(request.edited(body.as_bytes(), &edits).unwrap()).unwrap();
    assert_eq!(
        edited,
        r#" {"stream_options":{"include_usage":true},"max_tokens":7,"service_tier":"default","x": 1.0e2, "mod\u0065l" : "gpt\"4","messages":[{"role":"user","content":"é"}],"stream":true} "#
    );
}

#[test]
fn stream_options_keep_what_else_they_say() {
    for (old, new) in [
        (r#"{"include_obfuscation":false}"#, r#"{"include_obfuscation":false,"include_usage":true}"#),
        ("null", r#"{"include_usage":true}"#),
        (r#"{"include_usage":false}"#, r#"{"include_usage":true}"#),
    ] {
        let body =
            format!(r#"{{"model":"m","messages":[{{"role":"user"}}],"stream":true,"stream_options":{old}}}"#);
        let request = ChatRequest::decode(body.as_bytes()).unwrap();
        let edited = request.edited(body.as_bytes(), &Edits { ask_usage: true, ..Edits::default() }).unwrap();
        assert_eq!(String::from_utf8(edited).unwrap(), body.replace(old, new));
    }
}

#[test]
fn errors_name_the_member_and_what_was_expected() {
    for (body, code, param) in [
        ("", "invalid_json", None),
        ("[]", "invalid_json", None),
        ("{\"model\":", "invalid_json", None),
        ("{}", "missing_required_parameter", Some("model")),
        (r#"{"model":1}"#, "invalid_type", Some("model")),
        (r#"{"model":""}"#, "invalid_value", Some("model")),
        (r#"{"model":"m","messages":"hi"}"#, "invalid_type", Some("messages")),
        (r#"{"model":"m","messages":[]}"#, "invalid_value", Some("messages")),
        (r#"{"model":"m","messages":[{"content":"x"}]}"#, "invalid_type", Some("messages")),
        (r#"{"model":"m","messages":[{"role":"user"}],"stream":"yes"}"#, "invalid_type", Some("stream")),
        (r#"{"model":"m","messages":[{"role":"user"}],"max_tokens":-1}"#, "invalid_type", Some("max_tokens")),
        (r#"{"model":"m","messages":[{"role":"user"}],"n":0}"#, "invalid_value", Some("n")),
        (r#"{"model":"m","messages":[{"role":"user"}],"max_tokens":0}"#, "invalid_value", Some("max_tokens")),
        (
            r#"{"model":"m","messages":[{"role":"user"}],"MAX_TOKENS":9}"#,
            "unknown_parameter",
            Some("MAX_TOKENS"),
        ),
        (
            r#"{"model":"m","messages":[{"role":"user"}],"me\u017f\u017fages":[]}"#,
            "unknown_parameter",
            Some("me\u{17F}\u{17F}ages"),
        ),
        (r#"{"model":"m","messages":[["user","hi"]]}"#, "invalid_type", Some("messages")),
        (
            r#"{"model":"m","messages":[{"role":"user"}],"stream_options":[]}"#,
            "invalid_type",
            Some("stream_options"),
        ),
        (r#"{"model":"cheap","model":"dear","messages":[]}"#, "duplicate_parameter", Some("model")),
        (r#"{"model":"cheap","mod\u0065l":"dear","messages":[]}"#, "duplicate_parameter", Some("model")),
    ] {
        let refusal = refused(body);
        assert_eq!((refusal.status, refusal.code, refusal.param.as_deref()), (400, code, param), "{body}");
    }
}

#[test]
fn metadata_is_kept_with_every_row_and_so_is_small() {
    let long = "x".repeat(5_000);
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user"}}],"metadata":{{"a":"{long}"}}}}"#);
    let refusal = refused(&body);
    assert_eq!((refusal.status, refusal.param.as_deref()), (400, Some("metadata")));
}

#[test]
fn tools_that_the_provider_runs_are_not_metered() {
    let with = |tools: &str| {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user"}}],"tools":{tools}}}"#);
        ChatRequest::decode(body.as_bytes())
    };
    for own in [
        "null",
        "[]",
        r#"[{"type":"function","function":{"name":"f"}},{"type":"custom","custom":{"name":"g"}}]"#,
        r#"[{"function":{"name":"f"}}]"#,
    ] {
        assert_eq!(with(own).unwrap().unmetered, None, "{own}");
    }
    for hosted in [
        r#"[{"type":"function","function":{"name":"f"}},{"type":"web_search"}]"#,
        r#"[{"type":"openrouter:web_search","parameters":{}}]"#,
        r#"[{"google_search":{}}]"#,
        r#"[{"type":"function","type":"web_search"}]"#,
        r#"[{"type":null,"function":{"name":"f"}}]"#,
    ] {
        assert_eq!(with(hosted).unwrap().unmetered, Some("tools"), "{hosted}");
    }
    assert_eq!(with("{}").unwrap_err().param.as_deref(), Some("tools"));
    assert_eq!(with("[1]").unwrap_err().param.as_deref(), Some("tools"));
}

/// The size of a message with this content.
fn size(content: &str) -> InputSize {
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":{content}}}]}}"#);
    ChatRequest::decode(body.as_bytes()).unwrap().input
}

#[test]
fn text_counts_as_it_is_read() {
    let of = |content: &str| size(content).text - "user".len() as u64;
    assert_eq!(of(r#""hello""#), 5);
    assert_eq!(of(r#""h\u00e9llo\n""#), 7);
    assert_eq!(of("null"), 0);
    assert!((11..=19).contains(&of(r#"[{"type":"text","text":"hello "},{"type":"text","text":"world"}]"#)));
    assert_eq!(size(r#""x""#).messages, 1);
}

#[test]
fn images_are_counted_by_detail_and_their_bytes_are_not() {
    let long = "A".repeat(100_000);
    let image = |more: &str| {
        format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{long}"{more}}}}}"#)
    };
    let content = format!(
        "[{},{},{},{},{}]",
        image(""),
        image(r#","detail":"low""#),
        image(r#","detail":"high""#),
        image(r#","detail":"auto""#),
        image(r#","detail":"low","detail":"high""#),
    );
    let size = size(&content);
    assert_eq!(size.images, Images { low: 1, high: 1, full: 3 });
    assert!(size.text < 100 && !size.unknown, "{size:?}");
    // A URL alone, as some servers take it, and whatever the type says.
    let loose =
        super::tests::size(r#"[{"image_url":"https://x/y.png"},{"type":"text","image_url":{"url":"u"}}]"#);
    assert_eq!((loose.images.full, loose.unknown), (2, false));
}

#[test]
fn pictures_beside_the_content_are_counted_as_in_it() {
    let of = |images: &str| {
        let body =
            format!(r#"{{"model":"m","messages":[{{"role":"assistant","content":"","images":{images}}}]}}"#);
        ChatRequest::decode(body.as_bytes()).unwrap().input
    };
    let long = "A".repeat(100_000);
    let url =
        format!(r#"[{{"type":"image_url","index":0,"image_url":{{"url":"data:image/png;base64,{long}"}}}}]"#);
    assert_eq!(of(&url).images.full, 1);
    assert!(of(&url).text < 100);
    // Ollama's own form, and whatever else it may be.
    for other in [format!(r#"["{long}"]"#), format!(r#"{{"a":"{long}"}}"#), format!("[[\"{long}\"]]")] {
        assert!(of(&other).text >= 100_000 && of(&other).images.count() == 0, "{}", &other[..10]);
    }
}

#[test]
fn what_nothing_tells_the_size_of_is_unknown() {
    for content in [
        r#"[{"type":"file","file":{"file_id":"f"}}]"#,
        r#"[{"type":"file","file":{"file_data":"data:application/pdf;base64,JVBERi0="}}]"#,
        r#"[{"type":"input_audio","input_audio":{"data":"T2dnUw==","format":"mp3"}}]"#,
        r#"[{"type":"input_audio"}]"#,
        r#"[{"type":"image_url"}]"#,
        r#"[{"type":"video_url","video_url":{"url":"https://x/y.mp4"}}]"#,
        r#"[{"type":"text","text":"x","file":{}}]"#,
        r#"[{"type":"text","text":{"file":1}}]"#,
        r#"[{"text":"x"}]"#,
        r#"[{"image":"AAAA","resize":512}]"#,
    ] {
        assert!(size(content).unknown, "{content}");
    }
    assert!(!size(r#"[{"type":"text","text":"x"}]"#).unknown);
    let body = r#"{"model":"m","messages":[{"role":"assistant","audio":{"id":"a"}}]}"#;
    assert!(ChatRequest::decode(body.as_bytes()).unwrap().input.unknown);
}

#[test]
fn clips_are_counted_by_their_length() {
    let mp3 = format!("//uQ{}", "A".repeat(4_000));
    let content = format!(
        r#"[{{"type":"input_audio","input_audio":{{"format":"mp3","data":"{mp3}"}}}},{{"type":"text","text":"?"}}]"#
    );
    let size = size(&content);
    assert!((3_000..10_000).contains(&size.audio_ms) && !size.unknown && size.text < 100, "{size:?}");
}

#[test]
fn what_a_template_may_write_counts_and_what_none_does_is_left_out() {
    let with = |more: &str| {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}]{more}}}"#);
        ChatRequest::decode(body.as_bytes()).unwrap().input
    };
    let plain = with("");
    for outside in [
        r#","temperature":0.5,"seed":1,"user":"somebody","stop":["a","b"]"#,
        r#","metadata":{"a":"b"},"stream":true,"stream_options":{"include_usage":true},"n":2,"max_tokens":9"#,
    ] {
        assert_eq!(with(outside), plain, "{outside}");
    }
    for inside in
        [r#","documents":[{"text":"0123456789"}]"#, r#","chat_template_kwargs":{"thinking":"0123456789"}"#]
    {
        assert!(with(inside).text >= plain.text + 10, "{inside}");
    }
    let tools = with(r#","tools":[{"type":"function","function":{"name":"f","description":"0123456789"}}]"#);
    assert!(tools.instructed && tools.text >= plain.text + 30);
    let called = r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"1","function":{"arguments":"0123456789"}}]}]}"#;
    assert!(ChatRequest::decode(called.as_bytes()).unwrap().input.text >= 20);
}

fn cap(field: OutputCapField, tokens: u64) -> Option<Cap> {
    Some(Cap { field, tokens })
}

#[test]
fn a_cap_is_named_lowered_and_inserted_in_place() {
    use OutputCapField::{AsSent, MaxCompletionTokens, MaxTokens};
    for (sent, field, tokens, expected) in [
        // Renamed.
        (r#""max_completion_tokens":9"#, MaxTokens, 9, r#""max_tokens":9"#),
        (r#""max_tokens" : 9"#, MaxCompletionTokens, 9, r#""max_completion_tokens" : 9"#),
        (r#""max\u005ftokens":9"#, MaxCompletionTokens, 9, r#""max_completion_tokens":9"#),
        (
            r#""max_completion_tokens":9, "max_tokens":null"#,
            MaxTokens,
            9,
            r#""max_completion_tokens":null, "max_tokens":9"#,
        ),
        // Lowered, under whichever name.
        (r#""max_tokens":9"#, AsSent, 5, r#""max_tokens":5"#),
        (r#""max_completion_tokens":9"#, AsSent, 5, r#""max_completion_tokens":5"#),
        (r#""max_completion_tokens":9"#, MaxTokens, 5, r#""max_tokens":5"#),
        (
            r#""max_tokens":4,"max_completion_tokens":9"#,
            MaxTokens,
            5,
            r#""max_tokens":4,"max_completion_tokens":5"#,
        ),
        // Put where a null stands.
        (r#""max_tokens":null"#, AsSent, 5, r#""max_tokens":5"#),
        (r#""max_completion_tokens":null"#, MaxCompletionTokens, 5, r#""max_completion_tokens":5"#),
    ] {
        let with = |members: &str| format!(r#"{{"model":"m", {members} ,"messages":[{{"role":"user"}}]}}"#);
        let body = with(sent);
        let request = ChatRequest::decode(body.as_bytes()).unwrap();
        let edits = Edits { cap: cap(field, tokens), ..Edits::default() };
        let edited = request.edited(body.as_bytes(), &edits).map(|edited| String::from_utf8(edited).unwrap());
        assert_eq!(edited, Some(with(expected)), "{sent} {field:?}");
        // Made once, there is nothing left to change.
        let again = ChatRequest::decode(with(expected).as_bytes()).unwrap();
        assert_eq!(again.edited(with(expected).as_bytes(), &edits), None, "{expected}");
    }
}

#[test]
fn a_cap_that_is_right_already_leaves_the_bytes_alone() {
    use OutputCapField::{AsSent, MaxCompletionTokens, MaxTokens};
    for (sent, field) in [
        (r#""max_tokens":9"#, MaxTokens),
        (r#""max_completion_tokens":9"#, MaxCompletionTokens),
        (r#""max_tokens":9"#, AsSent),
        (r#""max_completion_tokens":9"#, AsSent),
        (r#""max_tokens":3,"max_completion_tokens":9"#, MaxTokens),
    ] {
        let body = format!(r#"{{"model":"m",{sent},"messages":[{{"role":"user"}}]}}"#);
        let request = ChatRequest::decode(body.as_bytes()).unwrap();
        let edits = Edits { cap: cap(field, 9), ..Edits::default() };
        assert_eq!(request.edited(body.as_bytes(), &edits), None, "{sent} {field:?}");
    }
}

proptest! {
    #[test]
    fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ChatRequest::decode(&body);
    }

    #[test]
    fn an_edited_body_is_the_same_request_with_the_new_model(
        model in ".{1,20}", cap in 1u64..100_000, before in any::<bool>()
    ) {
        let stream = r#""stream":true"#;
        let messages = r#""messages":[{"role":"user","content":"x"}]"#;
        let body = if before { format!("{{{stream},\"model\":\"m\",{messages}}}") }
                   else { format!("{{\n {messages} ,\"model\" : \"m\",{stream}}}") };
        let request = ChatRequest::decode(body.as_bytes()).unwrap();
        let edits = Edits { model: Some(&model), ask_usage: true, cap: super::tests::cap(OutputCapField::MaxCompletionTokens, cap), tier: None };
        let edited = request.edited(body.as_bytes(), &edits).unwrap();
        let again = ChatRequest::decode(&edited).unwrap();
        prop_assert_eq!(&again.model, &model);
        prop_assert_eq!(again.output_cap, Some(cap));
        prop_assert!(again.include_usage && again.stream);
        prop_assert_eq!(again.input, request.input);
    }
}
