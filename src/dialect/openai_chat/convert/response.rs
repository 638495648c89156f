//! A whole chat answer to and from the canonical form.

use super::{
    call_signature,
    request::{read_thoughts, show_detail},
    show_call_signature,
};
use crate::{
    dialect::{Corrupt, Dialect, Show, openai_chat::response},
    model::{
        answer::{Answer, Choice, Finish, Reported},
        part::{Body, Citation, Part, Text, ToolCall},
        usage::Usage,
    },
};
use serde_json::{Map, Value, json};

const OWN: Dialect = Dialect::OpenAiChat;

/// A provider's answer.
///
/// # Errors
/// If it is not a chat completion.
pub fn read(body: &[u8]) -> Result<Answer, Corrupt> {
    let value: Value = serde_json::from_slice(body).map_err(|error| Corrupt(error.to_string()))?;
    let choices = value
        .get("choices")
        .and_then(Value::as_array)
        .ok_or_else(|| Corrupt("an answer without choices".to_owned()))?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut answer = Answer {
        id: text("id"),
        model: text("model"),
        choices: Vec::new(),
        reported: value.get("usage").and_then(read_usage),
        service_tier: text("service_tier"),
    };
    for choice in choices {
        let message = choice.get("message").and_then(Value::as_object).cloned().unwrap_or_default();
        answer.choices.push(Choice {
            parts: read_message(message),
            finish: choice.get("finish_reason").and_then(Value::as_str).map(read_finish),
            logprobs: choice.get("logprobs").filter(|value| !value.is_null()).cloned(),
        });
    }
    Ok(answer)
}

/// A usage object, if it has totals.
pub(super) fn read_usage(value: &Value) -> Option<Reported> {
    let json = value.to_string();
    response::usage(&json).map(|usage| Reported { usage, json, cost_nanousd: None })
}

pub(super) fn read_finish(word: &str) -> Finish {
    match word {
        "stop" | "eos" => Finish::Stop,
        "length" | "model_length" => Finish::Length,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        "content_filter" => Finish::Filtered(None),
        other => Finish::Other(other.to_owned()),
    }
}

pub(super) fn show_finish(finish: &Finish) -> &'static str {
    match finish {
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::Filtered(_) | Finish::Refused => "content_filter",
        Finish::Stop | Finish::StopSequence(_) | Finish::Paused | Finish::Other(_) => "stop",
    }
}

fn read_message(mut message: Map<String, Value>) -> Vec<Part> {
    let mut parts = read_thoughts(&mut message);
    match message.get("content") {
        Some(Value::String(text)) if !text.is_empty() => parts.push(Part::text(text.clone())),
        // Mistral's reasoning models answer with chunks.
        Some(Value::Array(chunks)) => parts.extend(chunks.iter().filter_map(read_chunk)),
        _ => {}
    }
    let citations: Vec<Citation> = message
        .get("annotations")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(read_annotation)
        .collect();
    if let Some(Body::Text(text)) = parts.last_mut().map(|part| &mut part.body) {
        text.citations = citations;
    }
    if let Some(text) = message.get("refusal").and_then(Value::as_str) {
        parts.push(Body::Refusal(text.to_owned()).into());
    }
    for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
        let Some(members) = call.as_object() else { continue };
        let function = members.get("function");
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let body = match function {
            Some(function) => Body::ToolCall(ToolCall {
                id: text(members.get("id")),
                name: text(function.get("name")),
                arguments: match function.get("arguments") {
                    Some(Value::String(text)) => text.clone(),
                    None | Some(Value::Null) => String::new(),
                    Some(value) => value.to_string(),
                },
            }),
            None => Body::Native(OWN, call.clone()),
        };
        parts.push(Part { body, cache: None, signature: call_signature(members) });
    }
    if let Some(call) = message.get("function_call").filter(|call| call.is_object()) {
        let text = |name: &str| call.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let call = ToolCall { id: String::new(), name: text("name"), arguments: text("arguments") };
        parts.push(Body::ToolCall(call).into());
    }
    if let Some(audio) = message.get("audio").filter(|audio| !audio.is_null()) {
        parts.push(Body::Native(OWN, json!({"type": "audio", "audio": audio})).into());
    }
    parts
}

/// A chunk of Mistral's: text, or thoughts made of texts.
pub(super) fn read_chunk(chunk: &Value) -> Option<Part> {
    match chunk.get("type").and_then(Value::as_str)? {
        "text" => Some(Part::text(chunk.get("text")?.as_str()?)),
        "thinking" => {
            let inner = chunk.get("thinking")?.as_array()?;
            let text: String =
                inner.iter().filter_map(|piece| piece.get("text").and_then(Value::as_str)).collect();
            let mut members = Map::new();
            members.insert("reasoning_content".to_owned(), json!(text));
            read_thoughts(&mut members).into_iter().next()
        }
        _ => Some(Body::Native(OWN, chunk.clone()).into()),
    }
}

pub(super) fn read_annotation(annotation: &Value) -> Option<Citation> {
    let inner = annotation.get("url_citation")?;
    let text = |name: &str| inner.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(Citation {
        url: text("url"),
        title: text("title"),
        quoted: text("content"),
        start: inner.get("start_index").and_then(Value::as_u64),
        end: inner.get("end_index").and_then(Value::as_u64),
        native: Some((OWN, annotation.clone())),
    })
}

/// A source as an annotation; those without an address have no place in chat.
pub(super) fn show_citation(citation: &Citation) -> Option<Value> {
    if let Some((OWN, native)) = &citation.native {
        return Some(native.clone());
    }
    let url = citation.url.as_ref()?;
    Some(json!({"type": "url_citation", "url_citation": {
        "url": url, "title": citation.title.as_deref().unwrap_or(url),
        "start_index": citation.start.unwrap_or(0), "end_index": citation.end.unwrap_or(0)}}))
}

/// OpenAI's usage object of disjoint classes.
pub(crate) fn show_usage(usage: &Usage) -> Value {
    let mut shown = json!({
        "prompt_tokens": usage.input_total(),
        "completion_tokens": usage.output_total(),
        "total_tokens": usage.total(),
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write_5m.saturating_add(usage.cache_write_1h),
            "audio_tokens": usage.input_audio,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.output_audio,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    });
    // No name of OpenAI's own: only where there is something to tell.
    if usage.output_image > 0
        && let Some(Value::Object(details)) = shown.get_mut("completion_tokens_details")
    {
        details.insert("image_tokens".to_owned(), json!(usage.output_image));
    }
    shown
}

/// An answer for a client that speaks chat.
#[must_use]
pub fn write(answer: &Answer, show: &Show) -> Vec<u8> {
    let choices: Vec<Value> = answer
        .choices
        .iter()
        .enumerate()
        .map(|(index, choice)| {
            let finish = choice.finish.as_ref().map_or("stop", show_finish);
            json!({"index": index, "message": show_message(&choice.parts, show),
                   "logprobs": choice.logprobs, "finish_reason": finish})
        })
        .collect();
    let mut body = json!({
        "id": answer.id.as_deref().map_or_else(|| format!("chatcmpl-{}", show.id), str::to_owned),
        "object": "chat.completion",
        "created": show.created,
        "model": answer.model.as_deref().unwrap_or(&show.model),
        "choices": choices,
    });
    if let Some(members) = body.as_object_mut() {
        if let Some(reported) = &answer.reported {
            members.insert("usage".to_owned(), show_usage(&reported.usage));
        }
        if let Some(tier) = answer.service_tier.as_deref().and_then(show_tier) {
            members.insert("service_tier".to_owned(), json!(tier));
        }
    }
    body.to_string().into_bytes()
}

/// The tiers that OpenAI's strict types know.
pub(super) fn show_tier(tier: &str) -> Option<&str> {
    match tier {
        "standard" => Some("default"),
        "auto" | "default" | "flex" | "scale" | "priority" => Some(tier),
        _ => None,
    }
}

fn show_message(parts: &[Part], show: &Show) -> Value {
    let (mut said, mut refusal, mut thoughts) = (None::<String>, None::<String>, String::new());
    let (mut details, mut calls, mut annotations) = (Vec::new(), Vec::new(), Vec::new());
    let mut audio = None;
    for part in parts {
        match &part.body {
            Body::Text(Text { text, citations }) => {
                said.get_or_insert_default().push_str(text);
                annotations.extend(citations.iter().filter_map(show_citation));
            }
            Body::Refusal(text) => refusal.get_or_insert_default().push_str(text),
            Body::Reasoning(reasoning) => {
                thoughts.push_str(&reasoning.text);
                details.push(show_detail(reasoning, part.signature.as_ref(), details.len()));
            }
            Body::ToolCall(call) => calls.push(show_call(call, part, calls.len(), show)),
            Body::Native(OWN, value) if value.get("type").and_then(Value::as_str) == Some("audio") => {
                audio = value.get("audio").cloned();
            }
            Body::Native(OWN, value) => calls.push(value.clone()),
            Body::Media(_) | Body::ToolResult(_) | Body::Native(..) => {}
        }
    }
    let mut message = json!({"role": "assistant", "content": said, "refusal": refusal});
    if let Some(members) = message.as_object_mut() {
        if !annotations.is_empty() {
            members.insert("annotations".to_owned(), Value::Array(annotations));
        }
        if !thoughts.is_empty() {
            members.insert("reasoning_content".to_owned(), json!(thoughts));
        }
        if !details.is_empty() {
            members.insert("reasoning_details".to_owned(), Value::Array(details));
        }
        if !calls.is_empty() {
            members.insert("tool_calls".to_owned(), Value::Array(calls));
        }
        if let Some(audio) = audio {
            members.insert("audio".to_owned(), audio);
        }
    }
    message
}

fn show_call(call: &ToolCall, part: &Part, index: usize, show: &Show) -> Value {
    let id = call_id(&call.id, index, show);
    let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
    let mut value =
        json!({"id": id, "type": "function", "function": {"name": call.name, "arguments": arguments}});
    if let (Some(shown), Some(members)) = (show_call_signature(part), value.as_object_mut()) {
        members.insert("extra_content".to_owned(), shown);
    }
    value
}

/// A call's id, made up where the provider gave none: clients key their results by it, over all turns.
pub(super) fn call_id(id: &str, index: usize, show: &Show) -> String {
    if id.is_empty() { format!("call_{}_{index}", show.id) } else { id.to_owned() }
}
