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
            set("model", json!(changes.model), true);
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
    if !inserted.is_empty() {
        let start = text.find('{').map_or(0, |at| at + 1);
        // A comma before a closing brace is not JSON.
        if members.is_empty() {
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

/// The body with the provider's name of the model, or `None` if that is the one it has.
#[must_use]
pub fn with_model(body: &[u8], model: &str) -> Option<Vec<u8>> {
    edited(Dialect::Anthropic, body, Changes { model, cap: None, tier: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(dialect: Dialect, body: &str, changes: Changes<'_>) -> Option<String> {
        edited(dialect, body.as_bytes(), changes).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn only_what_policy_changes_is_changed() {
        let changes = Changes { model: "claude-x", cap: Some(9), tier: None };
        let body = r#"{ "model" : "alias", "new_member": [1,  2], "max_tokens": 64 }"#;
        assert_eq!(
            text(Dialect::Anthropic, body, changes).as_deref(),
            Some(r#"{ "model" : "claude-x", "new_member": [1,  2], "max_tokens": 9 }"#)
        );
        assert_eq!(text(Dialect::Anthropic, r#"{"model":"claude-x","max_tokens":9}"#, changes), None);
        let changes = Changes { model: "gpt-5", cap: Some(9), tier: Some("default") };
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
}
