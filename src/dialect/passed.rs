//! A client's bytes on their way to a provider of the same dialect, other than chat: edited in place where policy requires.

use super::{Dialect, openai_chat::request::Members};
use serde_json::{Map, Value, json};
use std::ops::Range;

/// What is to be changed for one provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes<'a> {
    /// The provider's name for the model.
    pub model: &'a str,
    /// The output cap that was held, if one must stand in the request.
    pub cap: Option<u64>,
    /// The service tier where the caller named none.
    pub tier: Option<&'a str>,
    /// Anthropic's version, where the body says it.
    pub version: Option<&'a str>,
    /// The path names the model, and the body must not.
    pub without_model: bool,
}

/// The body with `changes` made, or `None` if nothing changes.
#[must_use]
pub fn edited(dialect: Dialect, body: &[u8], changes: Changes<'_>) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    let Members(members) = serde_json::from_str(text).ok()?;
    let find = |name: &str| {
        members.iter().find(|(key, _)| key == name).map(|(_, value)| {
            let from = (value.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
            (from..from + value.get().len(), value.get())
        })
    };
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut inserted = String::new();
    let mut set = |name: &str, value: Value, over: bool| match find(name) {
        Some((place, old)) if old == "null" || over => {
            let new = value.to_string();
            if old != new {
                edits.push((place, new));
            }
        }
        Some(_) => {}
        None => inserted.push_str(&format!("{}:{value},", json!(name))),
    };
    match dialect {
        Dialect::Anthropic => {
            if let Some(version) = changes.version {
                set("anthropic_version", json!(version), true);
            }
            if !changes.without_model {
                set("model", json!(changes.model), true);
            }
            if let Some(cap) = changes.cap {
                set("max_tokens", json!(cap), true);
            }
        }
        Dialect::OpenAiResponses => {
            set("model", json!(changes.model), true);
            if let Some(cap) = changes.cap {
                set("max_output_tokens", json!(cap), true);
            }
            if let Some(tier) = changes.tier {
                set("service_tier", json!(tier), false);
            }
        }
        // The model stands in the path. What caps the output is written anew, in one spelling.
        Dialect::Gemini => {
            let named = |name: &str, wanted: &str| name.replace('_', "").eq_ignore_ascii_case(wanted);
            let given = members.iter().map(|(name, _)| &**name).find(|name| named(name, "generationConfig"));
            let name = given.unwrap_or("generationConfig");
            let old: Map<String, Value> =
                find(name).and_then(|(_, old)| serde_json::from_str(old).ok()).unwrap_or_default();
            if let Some(cap) = changes.cap {
                let mut config = old;
                config.retain(|name, _| !named(name, "maxOutputTokens"));
                config.insert("maxOutputTokens".to_owned(), json!(cap));
                set(name, Value::Object(config), true);
            }
        }
        Dialect::OpenAiChat | Dialect::Bedrock | Dialect::Cohere => {}
    }
    let taken_out = if changes.without_model { find("model") } else { None };
    let stay = members.len().saturating_sub(usize::from(taken_out.is_some()));
    if let Some((value, _)) = taken_out {
        edits.push((member_at(text, value), String::new()));
    }
    if !inserted.is_empty() {
        let start = text.find('{').map_or(0, |at| at + 1);
        // A comma before a closing brace is not JSON.
        if stay == 0 {
            inserted.pop();
        }
        edits.push((start..start, inserted));
    }
    if edits.is_empty() {
        return None;
    }
    edits.sort_by_key(|(place, _)| (place.start, place.end));
    let mut edited = Vec::with_capacity(body.len() + 64);
    let mut from = 0;
    for (place, text) in edits {
        edited.extend_from_slice(body.get(from..place.start).unwrap_or_default());
        edited.extend_from_slice(text.as_bytes());
        from = place.end;
    }
    edited.extend_from_slice(body.get(from..).unwrap_or_default());
    Some(edited)
}

/// Where a member stands, of whose value the place is known: its name, and a comma before or behind it.
fn member_at(text: &str, value: Range<usize>) -> Range<usize> {
    let before = text.get(..value.start).unwrap_or_default();
    // No name that is looked for has a quotation mark in it.
    let name = before.rfind('"').and_then(|close| before.get(..close)?.rfind('"')).unwrap_or(value.start);
    let behind = text.get(value.end..).unwrap_or_default();
    let after = behind.trim_ascii_start();
    if let Some(rest) = after.strip_prefix(',') {
        return name..text.len().saturating_sub(rest.trim_ascii_start().len());
    }
    let kept = before.get(..name).unwrap_or_default().trim_ascii_end();
    kept.strip_suffix(',').map_or(name, str::len)..value.end
}

/// The body with the provider's name of the model, or `None` if that is the one it has.
#[must_use]
pub fn with_model(body: &[u8], model: &str) -> Option<Vec<u8>> {
    edited(Dialect::Anthropic, body, Changes { model, ..Changes::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(dialect: Dialect, body: &str, changes: Changes<'_>) -> Option<String> {
        edited(dialect, body.as_bytes(), changes).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn only_what_policy_changes_is_changed() {
        let changes = Changes { model: "claude-x", cap: Some(9), ..Changes::default() };
        let body = r#"{ "model" : "alias", "new_member": [1,  2], "max_tokens": 64 }"#;
        assert_eq!(
            text(Dialect::Anthropic, body, changes).as_deref(),
            Some(r#"{ "model" : "claude-x", "new_member": [1,  2], "max_tokens": 9 }"#)
        );
        assert_eq!(text(Dialect::Anthropic, r#"{"model":"claude-x","max_tokens":9}"#, changes), None);
        let changes = Changes { model: "gpt-5", cap: Some(9), tier: Some("default"), ..Changes::default() };
        assert_eq!(
            text(
                Dialect::OpenAiResponses,
                r#"{"model":"gpt-5","service_tier":"flex","max_output_tokens":null}"#,
                changes
            )
            .as_deref(),
            Some(r#"{"model":"gpt-5","service_tier":"flex","max_output_tokens":9}"#)
        );
        assert_eq!(
            text(
                Dialect::Gemini,
                r#"{"contents":[],"generation_config":{"max_output_tokens":70,"seed":1}}"#,
                changes
            )
            .as_deref(),
            Some(r#"{"contents":[],"generation_config":{"seed":1,"maxOutputTokens":9}}"#)
        );
        assert_eq!(
            text(Dialect::Gemini, r#"{"generation_Config":{"max_outputTokens":70}}"#, changes).as_deref(),
            Some(r#"{"generation_Config":{"maxOutputTokens":9}}"#),
            "whatever spelling a reader may take"
        );
        assert_eq!(
            text(Dialect::Gemini, "{}", changes).as_deref(),
            Some(r#"{"generationConfig":{"maxOutputTokens":9}}"#)
        );
    }

    #[test]
    fn where_the_path_names_the_model_the_body_does_not_and_says_the_version() {
        let changes = Changes {
            model: "claude-x",
            version: Some("vertex-2023-10-16"),
            without_model: true,
            ..Changes::default()
        };
        for (body, expected) in [
            (
                r#"{ "model" : "alias", "new": [1,  2] }"#,
                r#"{"anthropic_version":"vertex-2023-10-16", "new": [1,  2] }"#,
            ),
            (
                r#"{"new": {"model":"inner"} , "model":"alias" }"#,
                r#"{"anthropic_version":"vertex-2023-10-16","new": {"model":"inner"}  }"#,
            ),
            (
                r#"{"a":1,"model":"x","anthropic_version":"bedrock-2023-05-31"}"#,
                r#"{"a":1,"anthropic_version":"vertex-2023-10-16"}"#,
            ),
            (r#"{"mode\u006c":"x","a":1}"#, r#"{"anthropic_version":"vertex-2023-10-16","a":1}"#),
            (r#"{"a":1}"#, r#"{"anthropic_version":"vertex-2023-10-16","a":1}"#),
        ] {
            let got = text(Dialect::Anthropic, body, changes).unwrap();
            let (got, expected): (Value, Value) =
                (serde_json::from_str(&got).expect(&got), serde_json::from_str(expected).unwrap());
            assert_eq!(got, expected, "{body}");
        }
        assert_eq!(
            text(Dialect::Anthropic, r#"{"messages": [ ],  "model":"x", "é": 1}"#, changes).unwrap(),
            r#"{"anthropic_version":"vertex-2023-10-16","messages": [ ],  "é": 1}"#,
            "nothing else is touched"
        );
        assert_eq!(
            text(Dialect::Anthropic, r#"{"model":"x"}"#, changes).unwrap(),
            r#"{"anthropic_version":"vertex-2023-10-16"}"#
        );
    }
}
