//! Chat requests: what is read, what is refused, what an edit changes.

use super::*;
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
    let edits =
        Edits { model: Some("gpt\"4"), ask_usage: true, cap: Some(("max_tokens", 7)), tier: Some("default") };
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
fn what_is_referred_to_is_opaque() {
    let with = |content: &str| {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":{content}}}]}}"#);
        ChatRequest::decode(body.as_bytes()).unwrap().opaque_input
    };
    assert!(!with(r#"[{"type":"text","text":"x"}]"#));
    assert!(with(
        r#"[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"https://x/y.png"}}]"#
    ));
    assert!(with(r#"[{"type":"file","file":{"file_id":"f"}}]"#));
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
        let edits = Edits { model: Some(&model), ask_usage: true, cap: Some(("max_completion_tokens", cap)), tier: None };
        let edited = request.edited(body.as_bytes(), &edits).unwrap();
        let again = ChatRequest::decode(&edited).unwrap();
        prop_assert_eq!(&again.model, &model);
        prop_assert_eq!(again.output_cap, Some(cap));
        prop_assert!(again.include_usage && again.stream);
        prop_assert_eq!(again.message_bytes, request.message_bytes);
    }
}
