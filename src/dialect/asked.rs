//! A client's request in another dialect than chat, as the path sees it: the same figures, counted on its chat form.
//!
//! There is one counter of what a model will read, and it reads chat. What the chat form cannot say is counted as unknown,
//! which is held at the model's whole context.

use super::{Dialect, Order, json, openai_chat};
use crate::{
    dialect::openai_chat::request::ChatRequest,
    model::{
        part::{Body, Part, Source},
        request::{Request, Tool},
    },
    refusal::Refusal,
};

/// Members that make a provider do what is billed beside tokens, answer later, or at other prices than those that are held.
const UNMETERED: &[&str] = &[
    "mcp_servers",
    "container",
    "speed",
    "inference_geo",
    "background",
    "conversation",
    "plugins",
    "models",
    "web_search_options",
];

/// Reads the body of `request`, which has been read already, as the path needs it.
///
/// # Errors
/// 400 if a member is given twice, which providers may read differently than we do, or is out of its range.
pub fn chat_request(request: Request, body: &[u8]) -> Result<ChatRequest, Refusal> {
    json::refuse_doubles(body, request.dialect == Dialect::Gemini)?;
    let order = Order { kind: "", model: &request.model, output_cap: request.output_cap };
    let written = openai_chat::convert::request::write(&request, &order);
    let mut chat = ChatRequest::decode(&written.body)?;
    let beside: usize =
        request.extras.iter().map(|(name, value)| name.len().saturating_add(value.to_string().len())).sum();
    chat.input.text = chat.input.text.saturating_add(beside as u64);
    chat.input.unknown |= !written.refused.is_empty()
        || request.turns.iter().any(|turn| turn.parts.iter().any(is_unknown))
        || ["previous_response_id", "prompt", "cachedContent", "cached_content"]
            .iter()
            .any(|name| request.extras.contains_key(*name));
    chat.input.instructed |= !request.tools.is_empty() || request.format.is_some();
    chat.unmetered = UNMETERED
        .iter()
        .copied()
        .find(|name| request.extras.get(*name).is_some_and(|value| !value.is_null() && *value != false))
        .or_else(|| compacts(&request).then_some("context_management"))
        .or_else(|| {
            request
                .tools
                .iter()
                .any(|tool| matches!(tool, Tool::Native(_, value) if is_hosted(value)))
                .then_some("tools")
        });
    // Whatever names an hour anywhere may write the dearer cache.
    chat.hour_cache = body.windows(4).any(|window| window == b"\"1h\"");
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

/// Whether the provider is to sum up the conversation, which is another answer, billed beside this one.
fn compacts(request: &Request) -> bool {
    request.extras.get("context_management").is_some_and(|value| value.to_string().contains("\"compact"))
}

/// Whether the provider runs the tool. A tool the application runs may be of a kind that only one dialect has.
fn is_hosted(tool: &serde_json::Value) -> bool {
    const RUN_BY_THE_APPLICATION: &[&str] =
        &["custom", "function", "text_editor", "bash", "memory", "computer", "local_shell", "apply_patch"];
    let kind = tool.get("type").and_then(serde_json::Value::as_str).unwrap_or_default();
    !RUN_BY_THE_APPLICATION
        .iter()
        .any(|known| kind == *known || kind.strip_prefix(known).is_some_and(|rest| rest.starts_with('_')))
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
