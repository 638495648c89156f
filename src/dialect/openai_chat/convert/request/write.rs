//! A provider's chat request from the canonical form.

use super::{OWN, ids::Ids, show_call_signature};
use crate::{
    dialect::{Dialect, Order, Written, json},
    model::{
        part::{Body, CacheMark, Media, MediaKind, Part, Source},
        request::{Format, Request, Role, Sampling, Thinking, Tool, ToolChoice, Turn},
    },
};
use serde_json::{Map, Value, json};

/// A request for a provider that speaks chat. Output cap, usage of streams and service tier are edited in afterwards, as in
/// a caller's own bytes.
#[must_use]
pub fn write(request: &Request, order: &Order<'_>) -> Written {
    let mut written = Written::default();
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(order.model));
    let mut messages = Vec::new();
    let mut ids = Ids::of(order.kind);
    let said = match request.dialect {
        Dialect::OpenAiResponses => "input",
        Dialect::Gemini => "contents",
        _ => "messages",
    };
    for (index, turn) in request.turns.iter().enumerate() {
        write_turn(turn, &format!("{said}[{index}]"), order, &mut ids, &mut messages, &mut written);
    }
    if order.kind == "mistral" {
        messages = with_answers_to_results(messages);
    }
    body.insert("messages".to_owned(), Value::Array(messages));
    if request.stream {
        body.insert("stream".to_owned(), json!(true));
    }
    write_tools(request, &mut body, &mut written);
    if let Some(format) = &request.format {
        body.insert("response_format".to_owned(), write_format(format));
    }
    if let Some(cap) = order.output_cap.or(request.output_cap) {
        body.insert("max_tokens".to_owned(), json!(cap));
    }
    write_sampling(&request.sampling, order, &mut body, &mut written);
    if let Some(thinking) = &request.thinking
        && let Some(effort) = effort_of(thinking)
    {
        body.insert("reasoning_effort".to_owned(), json!(effort));
    }
    if let Some(user) = &request.user {
        body.insert("user".to_owned(), json!(user));
    }
    match &request.service_tier {
        Some(tier) if matches!(tier.as_str(), "auto" | "default" | "flex" | "priority" | "scale") => {
            body.insert("service_tier".to_owned(), json!(tier));
        }
        Some(_) => written.dropped.push("service_tier".to_owned()),
        None => {}
    }
    if request.dialect == OWN {
        for (name, value) in &request.extras {
            body.insert(name.clone(), value.clone());
        }
        if !request.metadata.is_empty() {
            body.insert("metadata".to_owned(), Value::Object(request.metadata.clone()));
        }
    } else {
        written.dropped.extend(request.extras.keys().cloned());
    }
    written.body = json::bytes(&Value::Object(body));
    written
}

/// Mistral's stand-in for what the model says to results before somebody else speaks: it refuses "role 'user' after role
/// 'tool'" (<https://github.com/avante-corp/avante.nvim/issues/2562>, read 2026-11-21), and an empty message as well.
const HEARD: &str = "OK.";

fn with_answers_to_results(messages: Vec<Value>) -> Vec<Value> {
    let mut whole: Vec<Value> = Vec::with_capacity(messages.len());
    let role = |message: &Value| message.get("role").and_then(Value::as_str).unwrap_or_default().to_owned();
    for message in messages {
        let after_result = whole.last().is_some_and(|last| role(last) == "tool");
        if after_result && !matches!(role(&message).as_str(), "tool" | "assistant") {
            whole.push(json!({"role": "assistant", "content": HEARD}));
        }
        whole.push(message);
    }
    whole
}

fn effort_of(thinking: &Thinking) -> Option<String> {
    if thinking.enabled == Some(false) {
        return Some("none".to_owned());
    }
    let of_budget = || thinking.budget_tokens.map(|tokens| Thinking::effort_of_budget(tokens).to_owned());
    thinking.effort.clone().or_else(of_budget)
}

fn write_turn(
    turn: &Turn,
    place: &str,
    order: &Order<'_>,
    ids: &mut Ids,
    messages: &mut Vec<Value>,
    written: &mut Written,
) {
    let role = match turn.role {
        Role::System => "system",
        Role::Developer if order.kind == "openai" || order.kind == "azure" => "developer",
        Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => {
            messages.push(write_assistant(turn, place, order, ids, written));
            return;
        }
        Role::Tool => {
            write_results(turn, place, order, ids, messages, written);
            return;
        }
    };
    let content = write_content(&turn.parts, place, order, written);
    let mut message = json!({"role": role, "content": content});
    if let (Some(name), Some(members)) = (&turn.name, message.as_object_mut()) {
        members.insert("name".to_owned(), json!(name));
    }
    messages.push(message);
}

/// A text alone stays a text: some servers take nothing else.
fn write_content(parts: &[Part], place: &str, order: &Order<'_>, written: &mut Written) -> Value {
    if let [Part { body: Body::Text(text), cache: None, .. }] = parts {
        return json!(text.text);
    }
    let parts = parts
        .iter()
        .enumerate()
        .filter_map(|(index, part)| write_part(part, &format!("{place}.content[{index}]"), order, written));
    Value::Array(parts.collect())
}

fn write_part(part: &Part, place: &str, order: &Order<'_>, written: &mut Written) -> Option<Value> {
    let mut refuse = |what: &str| {
        written.refused.push(format!("{place} ({what})"));
        None
    };
    let mut value = match &part.body {
        Body::Text(text) => json!({"type": "text", "text": text.text}),
        Body::Refusal(text) => json!({"type": "refusal", "refusal": text}),
        Body::Native(OWN, value) => value.clone(),
        Body::Native(..) => {
            written.dropped.push(place.to_owned());
            return None;
        }
        Body::Media(media) => match media.kind {
            MediaKind::Image | MediaKind::Video => {
                let name = if media.kind == MediaKind::Image { "image_url" } else { "video_url" };
                let Some(url) = media.to_url() else { return refuse("a file of another provider") };
                let mut image = json!({"url": url});
                if let (Some(detail), Some(image)) = (&media.detail, image.as_object_mut()) {
                    image.insert("detail".to_owned(), json!(detail));
                }
                json!({"type": name, name: image})
            }
            MediaKind::Audio => {
                let Source::Base64(data) = &media.source else {
                    return refuse("audio that is not in the request");
                };
                let format = match media.mime.as_deref() {
                    Some("audio/mpeg" | "audio/mp3") => "mp3",
                    Some(mime) => mime.strip_prefix("audio/").unwrap_or("wav").trim_start_matches("x-"),
                    None => "wav",
                };
                json!({"type": "input_audio", "input_audio": {"data": data, "format": format}})
            }
            MediaKind::Document => match &media.source {
                Source::Text(text) => json!({"type": "text", "text": text}),
                Source::File(OWN, id) => json!({"type": "file", "file": {"file_id": id}}),
                // OpenRouter fetches them itself.
                Source::Url(_) if order.kind != "openrouter" => {
                    return refuse("a document that is not in the request");
                }
                Source::Base64(_) | Source::Url(_) => {
                    let name = media.name.clone().unwrap_or_else(|| "document.pdf".to_owned());
                    json!({"type": "file", "file": {"filename": name, "file_data": media.to_url()}})
                }
                Source::File(..) => return refuse("a file of another provider"),
            },
        },
        // Thoughts are a member of the message, calls and results have places of their own.
        Body::Reasoning(_) | Body::ToolCall(_) | Body::ToolResult(_) => return None,
    };
    if let (Some(mark), Some(members)) = (part.cache, value.as_object_mut())
        && matches!(order.kind, "openrouter" | "alibaba")
    {
        members.insert("cache_control".to_owned(), write_mark(mark));
    }
    Some(value)
}

fn write_mark(mark: CacheMark) -> Value {
    match mark {
        CacheMark::FiveMinutes => json!({"type": "ephemeral"}),
        CacheMark::Hour => json!({"type": "ephemeral", "ttl": "1h"}),
    }
}

fn write_assistant(
    turn: &Turn,
    place: &str,
    order: &Order<'_>,
    ids: &mut Ids,
    written: &mut Written,
) -> Value {
    let mut message = Map::new();
    message.insert("role".to_owned(), json!("assistant"));
    let mut said = String::new();
    let (mut refusal, mut thoughts) = (String::new(), String::new());
    let mut calls = Vec::new();
    for (index, part) in turn.parts.iter().enumerate() {
        match &part.body {
            Body::Text(text) => said.push_str(&text.text),
            Body::Refusal(text) => refusal.push_str(text),
            Body::Reasoning(reasoning)
                if part.signature.as_ref().is_some_and(|signature| signature.maker == OWN) =>
            {
                thoughts.push_str(&reasoning.text);
            }
            Body::Reasoning(_) => {}
            Body::ToolCall(call) => {
                let id = ids.call(&call.id, &call.name);
                let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
                let mut value = json!({"id": id, "type": "function",
                                       "function": {"name": call.name, "arguments": arguments}});
                if let (Some(shown), Some(members)) = (show_call_signature(part), value.as_object_mut()) {
                    members.insert("extra_content".to_owned(), shown);
                }
                calls.push(value);
            }
            Body::Native(OWN, value) if value.get("type").and_then(Value::as_str) == Some("audio") => {
                message.insert("audio".to_owned(), value.get("audio").cloned().unwrap_or_default());
            }
            Body::Native(OWN, value) if value.get("id").is_some() => calls.push(value.clone()),
            Body::Media(_) | Body::ToolResult(_) | Body::Native(..) => {
                written.dropped.push(format!("{place}.content[{index}]"));
            }
        }
    }
    let content = if order.kind == "mistral" && !thoughts.is_empty() {
        // Mistral's own shape of thoughts (<https://docs.mistral.ai/capabilities/reasoning>, read 2026-11-21).
        let thinking = json!([{"type": "text", "text": std::mem::take(&mut thoughts)}]);
        json!([{"type": "thinking", "thinking": thinking}, {"type": "text", "text": said}])
    } else if said.is_empty() && !(calls.is_empty() && refusal.is_empty()) && order.kind != "workers-ai" {
        // Workers AI's binding takes no `null` here (<https://github.com/cloudflare/ai>,
        // packages/workers-ai-provider/src/utils.ts, read 2026-11-21).
        Value::Null
    } else {
        json!(said)
    };
    message.insert("content".to_owned(), content);
    if let Some(name) = &turn.name {
        message.insert("name".to_owned(), json!(name));
    }
    if !refusal.is_empty() {
        message.insert("refusal".to_owned(), json!(refusal));
    }
    if !thoughts.is_empty() {
        message.insert("reasoning_content".to_owned(), json!(thoughts));
    }
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    Value::Object(message)
}

/// A message for each result. What chat has no place for in a result (images, documents) follows in a user's message, as
/// OpenAI's own guide has it for images.
fn write_results(
    turn: &Turn,
    place: &str,
    order: &Order<'_>,
    ids: &mut Ids,
    messages: &mut Vec<Value>,
    written: &mut Written,
) {
    let mut shown = Vec::new();
    for (index, part) in turn.parts.iter().enumerate() {
        let place = format!("{place}.content[{index}]");
        let Body::ToolResult(result) = &part.body else {
            written.dropped.push(place);
            continue;
        };
        let id = ids.result(&result.id, result.name.as_deref());
        let mut texts = Vec::new();
        for (inner, part) in result.parts.iter().enumerate() {
            match &part.body {
                Body::Text(text) => texts.push(text.text.clone()),
                Body::Media(Media { source: Source::Text(text), .. }) => texts.push(text.clone()),
                Body::Native(_, value) => texts.push(value.to_string()),
                _ => {
                    let place = format!("{place}.content[{inner}]");
                    if let Some(value) = write_part(part, &place, order, written) {
                        shown.push(json!({"type": "text", "text": format!("Result of the call {id}:")}));
                        shown.push(value);
                    }
                }
            }
        }
        if result.is_error {
            written.dropped.push(format!("{place}.is_error"));
        }
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": texts.join("\n")}));
    }
    if !shown.is_empty() {
        messages.push(json!({"role": "user", "content": shown}));
    }
}

fn write_tools(request: &Request, body: &mut Map<String, Value>, written: &mut Written) {
    let mut tools = Vec::new();
    for (index, tool) in request.tools.iter().enumerate() {
        match tool {
            Tool::Function(function) => {
                let mut value = json!({"name": function.name});
                if let Some(members) = value.as_object_mut() {
                    if let Some(description) = &function.description {
                        members.insert("description".to_owned(), json!(description));
                    }
                    if let Some(parameters) = &function.parameters {
                        members.insert("parameters".to_owned(), parameters.clone());
                    }
                    if let Some(strict) = function.strict {
                        members.insert("strict".to_owned(), json!(strict));
                    }
                }
                tools.push(json!({"type": "function", "function": value}));
            }
            Tool::Native(OWN, value) => tools.push(value.clone()),
            Tool::Native(..) => written.refused.push(format!("tools[{index}]")),
        }
    }
    if tools.is_empty() {
        return;
    }
    body.insert("tools".to_owned(), Value::Array(tools));
    if let Some(choice) = &request.tool_choice {
        let function = |name: &str| json!({"type": "function", "function": {"name": name}});
        body.insert(
            "tool_choice".to_owned(),
            match choice {
                ToolChoice::Auto => json!("auto"),
                ToolChoice::None => json!("none"),
                ToolChoice::Required => json!("required"),
                ToolChoice::Function(name) => function(name),
                ToolChoice::Allowed { names, required } => {
                    let tools: Vec<Value> = names.iter().map(|name| function(name)).collect();
                    let mode = if *required { "required" } else { "auto" };
                    json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}})
                }
            },
        );
    }
    if let Some(parallel) = request.parallel_tool_calls {
        body.insert("parallel_tool_calls".to_owned(), json!(parallel));
    }
}

fn write_format(format: &Format) -> Value {
    match format {
        Format::Json => json!({"type": "json_object"}),
        Format::Schema { name, description, schema, strict } => {
            let mut inner = json!({"name": name.as_deref().unwrap_or("response"), "schema": schema});
            if let Some(members) = inner.as_object_mut() {
                if let Some(description) = description {
                    members.insert("description".to_owned(), json!(description));
                }
                if let Some(strict) = strict {
                    members.insert("strict".to_owned(), json!(strict));
                }
            }
            json!({"type": "json_schema", "json_schema": inner})
        }
    }
}

fn write_sampling(
    sampling: &Sampling,
    order: &Order<'_>,
    body: &mut Map<String, Value>,
    written: &mut Written,
) {
    let numbers = [
        ("temperature", &sampling.temperature),
        ("top_p", &sampling.top_p),
        ("presence_penalty", &sampling.presence_penalty),
        ("frequency_penalty", &sampling.frequency_penalty),
        ("seed", &sampling.seed),
        ("logit_bias", &sampling.logit_bias),
    ];
    for (name, value) in numbers {
        if let Some(value) = value {
            body.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(top_k) = &sampling.top_k {
        // Open servers and aggregators take it; these answer 400 to a member they do not know.
        if matches!(order.kind, "openai" | "azure" | "mistral" | "groq" | "cerebras" | "xai") {
            written.dropped.push("top_k".to_owned());
        } else {
            body.insert("top_k".to_owned(), top_k.clone());
        }
    }
    if !sampling.stop.is_empty() {
        body.insert("stop".to_owned(), json!(sampling.stop));
    }
    if let Some(choices) = sampling.choices {
        body.insert("n".to_owned(), json!(choices));
    }
    if sampling.logprobs {
        body.insert("logprobs".to_owned(), json!(true));
    }
    if let Some(top) = sampling.top_logprobs {
        body.insert("top_logprobs".to_owned(), json!(top));
    }
}
