//! A whole chat answer to and from the canonical form.

use super::{
    call_signature, read_picture,
    request::{read_thoughts, show_detail},
    show_call_signature, show_picture,
};
use crate::{
    dialect::{Corrupt, Dialect, Show, openai_chat::response},
    model::{
        answer::{Answer, Choice, Finish, Reported},
        part::{Body, Citation, Part, Text, ToolCall},
        usage::{self, Usage},
    },
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

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
pub(in crate::dialect) fn read_usage(value: &Value) -> Option<Reported> {
    let json = value.to_string();
    response::usage(&json).map(|usage| Reported { usage, json, cost_nanousd: None })
}

pub(in crate::dialect) fn read_finish(word: &str) -> Finish {
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
    parts.extend(
        message.get("images").and_then(Value::as_array).into_iter().flatten().filter_map(read_picture),
    );
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

/// OpenAI's usage object.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct ShownUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Clone, Copy, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
    audio_tokens: u64,
}

#[derive(Clone, Copy, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
    audio_tokens: u64,
    accepted_prediction_tokens: u64,
    rejected_prediction_tokens: u64,
    /// No name of OpenAI's own: only where there is something to tell.
    #[serde(skip_serializing_if = "usage::is_zero")]
    image_tokens: u64,
}

/// OpenAI's usage object of disjoint classes.
pub(crate) fn show_usage(usage: &Usage) -> ShownUsage {
    ShownUsage {
        prompt_tokens: usage.input_total(),
        completion_tokens: usage.output_total(),
        total_tokens: usage.total(),
        prompt_tokens_details: PromptDetails {
            cached_tokens: usage.cache_read,
            cache_write_tokens: usage.cache_write_5m.saturating_add(usage.cache_write_1h),
            audio_tokens: usage.input_audio,
        },
        completion_tokens_details: CompletionDetails {
            reasoning_tokens: usage.reasoning,
            audio_tokens: usage.output_audio,
            accepted_prediction_tokens: 0,
            rejected_prediction_tokens: 0,
            image_tokens: usage.output_image,
        },
    }
}

/// An answer as it is written: a tree of values would cost several times as much.
#[derive(Serialize)]
struct Completion<'a> {
    id: Cow<'a, str>,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: Vec<ShownChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<ShownUsage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
}

#[derive(Serialize)]
struct ShownChoice<'a> {
    index: usize,
    message: Message<'a>,
    logprobs: &'a Option<Value>,
    finish_reason: &'static str,
}

#[derive(Default, Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<Cow<'a, str>>,
    refusal: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Value>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reasoning_content: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<&'a Value>,
}

/// An answer for a client that speaks chat.
#[must_use]
pub fn write(answer: &Answer, show: &Show) -> Vec<u8> {
    let choices = answer
        .choices
        .iter()
        .enumerate()
        .map(|(index, choice)| ShownChoice {
            index,
            message: show_message(&choice.parts, show),
            logprobs: &choice.logprobs,
            finish_reason: choice.finish.as_ref().map_or("stop", show_finish),
        })
        .collect();
    let completion = Completion {
        id: answer.id.as_deref().map_or_else(|| Cow::Owned(format!("chatcmpl-{}", show.id)), Cow::Borrowed),
        object: "chat.completion",
        created: show.created,
        model: answer.model.as_deref().unwrap_or(&show.model),
        choices,
        usage: answer.reported.as_ref().map(|reported| show_usage(&reported.usage)),
        service_tier: answer.service_tier.as_deref().and_then(show_tier),
    };
    // Texts, numbers and values: writing them cannot fail.
    serde_json::to_vec(&completion).unwrap_or_default()
}

/// The tiers that OpenAI's strict types know.
pub(super) fn show_tier(tier: &str) -> Option<&str> {
    match tier {
        "standard" => Some("default"),
        "auto" | "default" | "flex" | "scale" | "priority" => Some(tier),
        _ => None,
    }
}

fn show_message<'a>(parts: &'a [Part], show: &Show) -> Message<'a> {
    let mut message = Message { role: "assistant", ..Message::default() };
    for part in parts {
        match &part.body {
            Body::Text(Text { text, citations }) => {
                say(&mut message.content, text);
                message.annotations.extend(citations.iter().filter_map(show_citation));
            }
            Body::Refusal(text) => say(&mut message.refusal, text),
            Body::Reasoning(reasoning) => {
                message.reasoning_content.push_str(&reasoning.text);
                let index = message.reasoning_details.len();
                message.reasoning_details.push(show_detail(reasoning, part.signature.as_ref(), index));
            }
            Body::ToolCall(call) => {
                message.tool_calls.push(show_call(call, part, message.tool_calls.len(), show));
            }
            Body::Native(OWN, value) if value.get("type").and_then(Value::as_str) == Some("audio") => {
                message.audio = value.get("audio");
            }
            Body::Native(OWN, value) => message.tool_calls.push(value.clone()),
            Body::Media(media) => {
                let shown = show_picture(media, part.signature.as_ref(), message.images.len());
                message.images.extend(shown);
            }
            Body::ToolResult(_) | Body::Native(..) => {}
        }
    }
    message
}

fn say<'a>(said: &mut Option<Cow<'a, str>>, text: &'a str) {
    match said {
        None => *said = Some(Cow::Borrowed(text)),
        Some(said) => said.to_mut().push_str(text),
    }
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
