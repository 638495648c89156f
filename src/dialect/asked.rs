//! A client's request in another dialect than chat, as the path sees it: the same figures, counted on its chat form.
//!
//! There is one counter of what a model will read, and it reads chat. What the chat form cannot say is counted as unknown,
//! which is held at the model's whole context.

use super::{Dialect, Order, json, openai_chat};
use crate::{
    dialect::openai_chat::request::ChatRequest,
    model::{
        part::{Body, Part, Reasoning, Source},
        request::{Request, Role, Tool, Turn},
    },
    refusal::Refusal,
};
use std::collections::HashSet;

/// Members that make a provider do what is billed beside tokens, answer later, or at other prices than those that are held.
const UNMETERED: &[&str] = &[
    "mcp_servers",
    "container",
    "speed",
    "inference_geo",
    "background",
    "plugins",
    "models",
    "route",
    "web_search_options",
    "search_parameters",
    "extra_body",
    "best_of",
    "n",
];

/// Members that decide what a request costs. A reader that matches names without regard to case or underscores would find
/// them in other spellings, and see another request than this one.
const DECIDING: &[&str] = &[
    "model",
    "messages",
    "system",
    "max_tokens",
    "stream",
    "tools",
    "thinking",
    "input",
    "instructions",
    "max_output_tokens",
    "contents",
    "system_instruction",
    "tool_config",
    "generation_config",
    "candidate_count",
    "cached_content",
    "service_tier",
    "previous_response_id",
    "conversation",
    "prompt",
    "background",
    "mcp_servers",
    "container",
    "speed",
    "context_management",
    "anthropic_beta",
];

/// Reads the body of `request`, which has been read already, as the path needs it.
///
/// # Errors
/// 400 if a member is given twice, which providers may read differently than we do, or is out of its range.
pub fn chat_request(request: Request, body: &[u8]) -> Result<ChatRequest, Refusal> {
    let survey = json::survey(body, request.dialect == Dialect::Gemini)?;
    refuse_other_spellings(&request)?;
    let order = Order { kind: "", model: &request.model, output_cap: request.output_cap };
    let written = openai_chat::convert::request::write(&request, &order);
    let mut chat = ChatRequest::decode(&written.body)?;
    let beside: usize =
        request.extras.iter().map(|(name, value)| name.len().saturating_add(value.to_string().len())).sum();
    // The chat form leaves out what chat has no place for (thoughts, a document's context, names of results): it may be
    // read all the same.
    let payloads: usize = request.turns.iter().flat_map(|turn| &turn.parts).map(payload_bytes).sum();
    let said = survey.text.saturating_sub(payloads as u64);
    chat.input.text = chat.input.text.saturating_add(beside as u64).max(said);
    chat.input.unknown |= !written.refused.is_empty()
        || request.turns.iter().any(|turn| {
            let by_model = turn.role == Role::Assistant;
            let unknown = |part: &Part| is_unknown(part) || by_model && matches!(part.body, Body::Media(_));
            turn.parts.iter().any(unknown) || remembers(turn)
        })
        || ["previous_response_id", "conversation", "cachedContent", "cached_content"]
            .iter()
            .any(|name| request.extras.contains_key(*name));
    chat.input.instructed |= !request.tools.is_empty() || request.format.is_some();
    let modalities = request.extras.get(MODALITIES);
    chat.paints = modalities.is_some_and(names_pictures);
    chat.unmetered = UNMETERED
        .iter()
        .copied()
        .find(|name| request.extras.get(*name).is_some_and(|value| !asks_nothing(name, value)))
        .or_else(|| has_stored_prompt(&request).then_some("prompt"))
        .or_else(|| compacts(&request).then_some("context_management"))
        .or_else(|| reads_more(&request).then_some("anthropic_beta"))
        .or_else(|| modalities.is_some_and(|wanted| !is_text_or_pictures(wanted)).then_some(MODALITIES))
        .or_else(|| {
            request
                .tools
                .iter()
                .any(|tool| matches!(tool, Tool::Native(_, value) if is_hosted(value)))
                .then_some("tools")
        });
    // Whatever names an hour anywhere may write the dearer cache.
    chat.hour_cache = survey.hour;
    chat.metadata = request
        .metadata
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect();
    chat.user = chat.user.take().or_else(|| request.user.clone());
    chat.service_tier.clone_from(&request.service_tier);
    chat.dialect = request.dialect;
    chat.include_usage = true;
    chat.canonical = Some(Box::new(request));
    Ok(chat)
}

/// A feature of Anthropic's that lets the model read more than its price row says, so more than is held.
pub const LONG_CONTEXT_BETA: &str = "context-1m";

/// What asks Gemini for pictures or sound, which cost other rates than text.
pub const MODALITIES: &str = "generationConfig.responseModalities";

/// Whether nothing is wanted but text and pictures, which the provider's usage tells apart.
fn is_text_or_pictures(modalities: &serde_json::Value) -> bool {
    let known = |one: &serde_json::Value| {
        one.as_str().is_some_and(|one| one.eq_ignore_ascii_case("text") || one.eq_ignore_ascii_case("image"))
    };
    modalities.as_array().is_some_and(|all| all.iter().all(known))
}

/// Whether pictures are wanted. No names at all mean what the model makes by itself, whose price is the model's.
fn names_pictures(modalities: &serde_json::Value) -> bool {
    let all = modalities.as_array().into_iter().flatten();
    all.filter_map(serde_json::Value::as_str).any(|one| one.eq_ignore_ascii_case("image"))
}

/// Whether a member is there and asks for nothing: `"mcp_servers": []`, `"speed": "standard"`.
fn asks_nothing(name: &str, value: &serde_json::Value) -> bool {
    value.is_null()
        || *value == false
        || value.as_array().is_some_and(Vec::is_empty)
        || name == "speed" && *value == "standard"
}

/// A name as a reader takes it that minds neither case nor underscores.
fn folded(name: &str) -> String {
    name.replace('_', "").replace('\u{17F}', "s").replace('\u{212A}', "k").to_ascii_lowercase()
}

/// Refuses a deciding member that is spelled as no dialect spells it.
fn refuse_other_spellings(request: &Request) -> Result<(), Refusal> {
    let gemini = request.dialect == Dialect::Gemini;
    let strange = request.extras.keys().find(|path| {
        let name = path.strip_prefix("generationConfig.").filter(|_| gemini).unwrap_or(path);
        // Google's own spelling of what is left to pass.
        if gemini && name == "cachedContent" {
            return false;
        }
        let folded = folded(name);
        DECIDING.iter().any(|deciding| name != *deciding && folded == deciding.replace('_', ""))
    });
    match strange {
        None => Ok(()),
        Some(name) => Err(Refusal::bad_param(
            "unknown_parameter",
            name,
            format!("Unknown parameter: '{name}'. No dialect spells it so."),
        )),
    }
}

/// Bytes of what a part carries that is no text, and is counted by other rules.
fn payload_bytes(part: &Part) -> usize {
    match &part.body {
        Body::Media(media) => match &media.source {
            Source::Base64(data) => data.len(),
            _ => 0,
        },
        Body::ToolResult(result) => result.parts.iter().map(payload_bytes).sum(),
        _ => 0,
    }
}

/// Whether a prompt stored at OpenAI is asked for: it may bring tools that the provider runs
/// (<https://openai.github.io/openai-agents-python/ref/agent>, read 2026-11-21).
fn has_stored_prompt(request: &Request) -> bool {
    request.dialect == Dialect::OpenAiResponses && request.extras.contains_key("prompt")
}

/// Whether the provider is to sum up the conversation, which is another answer, billed beside this one.
fn compacts(request: &Request) -> bool {
    request.extras.get("context_management").is_some_and(|value| value.to_string().contains("\"compact"))
}

/// Whether a feature is asked for that lets the model read more than its price says. Vertex AI takes them from the body
/// (<https://github.com/BerriAI/litellm/pull/31607>, read 2026-11-21).
fn reads_more(request: &Request) -> bool {
    request
        .extras
        .get("anthropic_beta")
        .is_some_and(|value| value.to_string().to_ascii_lowercase().contains(LONG_CONTEXT_BETA))
}

/// Whether the provider runs the tool. A tool the application runs may be of a kind that only one dialect has.
fn is_hosted(tool: &serde_json::Value) -> bool {
    const RUN_BY_THE_APPLICATION: &[&str] =
        &["custom", "function", "text_editor", "bash", "memory", "computer", "local_shell", "apply_patch"];
    let kind = tool.get("type").and_then(serde_json::Value::as_str).unwrap_or_default();
    // Versions are dates: `bash_20250124`. Nothing else may follow, lest `bash_code_execution` be one.
    let dated = |rest: &str| {
        rest.strip_prefix('_').is_some_and(|date| date.bytes().all(|byte| byte.is_ascii_digit()))
    };
    kind != "computer_use_preview"
        && !RUN_BY_THE_APPLICATION
            .iter()
            .any(|known| kind == *known || kind.strip_prefix(known).is_some_and(dated))
}

/// Whether thoughts are named by their id alone: the provider has kept the words.
fn remembers(turn: &Turn) -> bool {
    let thoughts = || {
        turn.parts.iter().filter_map(|part| match &part.body {
            Body::Reasoning(Reasoning { id: Some(id), .. }) => Some((id, part.signature.is_some())),
            _ => None,
        })
    };
    let told: HashSet<&String> = thoughts().filter(|(_, proved)| *proved).map(|(id, _)| id).collect();
    thoughts().any(|(id, _)| !told.contains(id))
}

/// Whether nothing tells how much the model will read of it.
fn is_unknown(part: &Part) -> bool {
    match &part.body {
        Body::Native(..) => true,
        Body::Media(media) => matches!(media.source, Source::File(..)),
        Body::ToolResult(result) => result.parts.iter().any(|part| match &part.body {
            // A tool's JSON is text.
            Body::Native(_, value) => value.get("type").is_some(),
            _ => is_unknown(part),
        }),
        _ => false,
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests run natively, and one of them is about time")]
mod tests {
    use super::*;
    use crate::dialect;
    use serde_json::{Value, json};

    fn asked(dialect: Dialect, body: &Value) -> Result<ChatRequest, Refusal> {
        let body = body.to_string();
        let path = (dialect == Dialect::Gemini).then_some(("gemini-2.5-flash", false));
        chat_request(dialect::read_request(dialect, body.as_bytes(), path)?, body.as_bytes())
    }

    fn message(content: &Value) -> Value {
        json!({"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": content}]})
    }

    #[test]
    fn what_chat_has_no_place_for_is_counted_all_the_same() {
        let long = "x".repeat(5_000);
        let document = json!([{"type": "document", "context": long, "title": "t",
                               "source": {"type": "text", "media_type": "text/plain", "data": "a"}}]);
        let chat = asked(Dialect::Anthropic, &message(&document)).unwrap();
        assert!(chat.input.text >= 5_000 && !chat.input.unknown, "{:?}", chat.input);
        let thoughts = json!({"model": "c", "max_tokens": 9, "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": long, "signature": "c2ln"},
                                              {"type": "redacted_thinking", "data": long}]}]});
        let chat = asked(Dialect::Anthropic, &thoughts).unwrap();
        assert!(chat.input.text >= 10_000, "{:?}", chat.input);
        let signed = json!({"contents": [{"parts": [{"text": "a"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": long}]},
            {"parts": [{"functionResponse": {"name": long, "response": {"output": "b"}}}]}]});
        let chat = asked(Dialect::Gemini, &signed).unwrap();
        assert!(chat.input.text >= 10_000, "{:?}", chat.input);
    }

    #[test]
    fn a_picture_is_not_counted_as_text() {
        let image = json!([{"type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "A".repeat(90_000)}}]);
        let chat = asked(Dialect::Anthropic, &message(&image)).unwrap();
        assert!(chat.input.text < 500 && chat.input.images.count() == 1, "{:?}", chat.input);
    }

    #[test]
    fn what_nothing_tells_the_size_of_is_unknown_wherever_it_stands() {
        let pdf = json!({"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}});
        let body = json!({"contents": [{"parts": [{"text": "a"}]}, {"role": "model", "parts": [pdf]}]});
        assert!(asked(Dialect::Gemini, &body).unwrap().input.unknown);
        let reasoning = |more: Value| {
            let mut item = json!({"type": "reasoning", "id": "rs_1", "summary": []});
            item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let body = json!({"model": "gpt-5", "input": [{"role": "user", "content": "a"}, item]});
            asked(Dialect::OpenAiResponses, &body).unwrap().input.unknown
        };
        assert!(reasoning(json!({})), "kept by the provider");
        let words = json!([{"type": "summary_text", "text": "b"}]);
        assert!(!reasoning(json!({"summary": words, "encrypted_content": "gAAA"})));
    }

    #[test]
    fn deciding_members_in_other_spellings_are_refused() {
        let mut body = message(&json!("a"));
        for name in ["Max_Tokens", "maxTokens", "maxtokens", "SYSTEM", "\u{17F}ystem", "Tools"] {
            body[name] = json!(7);
            assert_eq!(asked(Dialect::Anthropic, &body).unwrap_err().param.as_deref(), Some(name));
            body.as_object_mut().unwrap().remove(name);
        }
        let gemini = |name: &str| {
            asked(
                Dialect::Gemini,
                &json!({"contents": [{"parts": [{"text": "a"}]}], name: {"candidateCount": 8}}),
            )
        };
        assert!(gemini("GenerationConfig").is_err() && gemini("generationconfig").is_err());
        assert_eq!(gemini("generation_Config").unwrap().choices, 8, "read as Google may read it");
        assert_eq!(gemini("generation_config").unwrap().choices, 8);
        assert!(gemini("safetySettings").is_ok() && gemini("Labels").is_ok());
    }

    #[test]
    fn what_is_billed_beside_tokens_is_told() {
        let unmetered = |dialect, body: &Value| asked(dialect, body).unwrap().unmetered;
        let mut body = message(&json!("a"));
        body["tools"] = json!([{"type": "bash_code_execution_20250825", "name": "b"}]);
        assert_eq!(unmetered(Dialect::Anthropic, &body), Some("tools"));
        body["tools"] = json!([{"type": "bash_20250124", "name": "bash"}]);
        assert_eq!(unmetered(Dialect::Anthropic, &body), None);
        for (betas, told) in [
            (json!(["interleaved-thinking-2025-05-14", "Context-1M-2025-08-07"]), Some("anthropic_beta")),
            (json!("context-1m-2025-08-07"), Some("anthropic_beta")),
            (json!(["interleaved-thinking-2025-05-14"]), None),
        ] {
            body["anthropic_beta"] = betas;
            assert_eq!(unmetered(Dialect::Anthropic, &body), told, "{body}");
        }
        let gemini = |more: Value| {
            let mut body = json!({"contents": [{"parts": [{"text": "a"}]}]});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            unmetered(Dialect::Gemini, &body)
        };
        let mixed = json!([{"functionDeclarations": [{"name": "f"}], "google_search": {}}]);
        assert_eq!(gemini(json!({"tools": mixed})), Some("tools"));
        assert_eq!(
            gemini(json!({"generation_config": {"response_modalities": ["AUDIO"]}})),
            Some(MODALITIES)
        );
        assert_eq!(gemini(json!({"generationConfig": {"responseModalities": "IMAGE"}})), Some(MODALITIES));
        // What these cost is in the price of the model, if that knows pictures.
        assert_eq!(gemini(json!({"generationConfig": {"responseModalities": ["TEXT", "Image"]}})), None);
        assert_eq!(gemini(json!({"generationConfig": {"responseModalities": ["TEXT"]}})), None);
        let paints = |wanted: Value| {
            let body = json!({"contents": [{"parts": [{"text": "a"}]}], "generationConfig": {"responseModalities": wanted}});
            asked(Dialect::Gemini, &body).unwrap().paints
        };
        assert!(paints(json!(["TEXT", "Image"])) && !paints(json!(["TEXT", "TEXT"])) && !paints(json!([])));
        let mut nothing = message(&json!("a"));
        for (name, value) in
            [("mcp_servers", json!([])), ("speed", json!("standard")), ("container", json!(null))]
        {
            nothing[name] = value;
        }
        assert_eq!(unmetered(Dialect::Anthropic, &nothing), None);
        nothing["speed"] = json!("fast");
        assert_eq!(unmetered(Dialect::Anthropic, &nothing), Some("speed"));
    }

    #[test]
    fn an_hours_cache_is_held_however_it_is_written() {
        let body = br#"{"model":"c","max_tokens":9,"messages":[{"role":"user","content":[
            {"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"\u0031h"}}]}]}"#;
        let request = dialect::read_request(Dialect::Anthropic, body, None).unwrap();
        assert!(chat_request(request, body).unwrap().hour_cache);
    }

    /// What one element costs must not grow with their number.
    #[test]
    fn hostile_conversations_take_one_pass_to_write() {
        const MANY: usize = 10_000;
        let call =
            |id: String| json!({"id": id, "type": "function", "function": {"name": "a", "arguments": "{}"}});
        let suffixed = (MANY..2 * MANY).map(|number| call(format!("x_{number}")));
        let same: Vec<Value> = suffixed.chain((0..MANY).map(|_| call("x".to_owned()))).collect();
        let nameless: Vec<Value> = (0..MANY).map(|_| call(String::new())).collect();
        let result = |_| json!({"role": "tool", "tool_call_id": "", "name": "b", "content": "r"});
        let turn = |number: usize| json!({"role": if number.is_multiple_of(2) { "user" } else { "system" }, "content": "a"});
        let tools: Vec<Value> = (0..MANY)
            .map(|number| json!({"type": "function", "function": {"name": format!("f{number}")}}))
            .collect();
        let said = json!({"role": "user", "content": "a"});
        let messages = [
            vec![said.clone(), json!({"role": "assistant", "tool_calls": same})],
            [said.clone(), json!({"role": "assistant", "tool_calls": nameless})]
                .into_iter()
                .chain((0..MANY).map(result))
                .collect(),
            (0..2 * MANY).map(turn).collect(),
            vec![said],
        ];
        let begun = std::time::Instant::now();
        for (which, messages) in messages.into_iter().enumerate() {
            let body = json!({"model": "m", "messages": messages, "tools": tools, "tool_choice": {"type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": tools.iter().rev().collect::<Vec<_>>()}}});
            let request =
                dialect::read_request(Dialect::OpenAiChat, body.to_string().as_bytes(), None).unwrap();
            let (to, kind) = if which == 2 {
                (Dialect::OpenAiResponses, "perplexity")
            } else {
                (Dialect::Anthropic, "anthropic")
            };
            let order = Order { kind, model: "claude-sonnet-4-5", output_cap: Some(9) };
            assert!(!dialect::write_request(to, &request, &order).body.is_empty());
        }
        assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    }
}
