//! Workers AI as its binding answers. It is asked in OpenAI's chat form; what comes back depends on the model: a chat
//! completion, or the older `{"response", "tool_calls", "usage"}`
//! (<https://developers.cloudflare.com/workers-ai/configuration/bindings/>, and both in
//! <https://github.com/cloudflare/ai>, packages/workers-ai-provider/src/{streaming,utils}.ts, read 2026-11-21).
//!
//! The older form does not say why an answer ended: it stopped, or waits for its calls.

#[cfg(test)]
mod tests;

use super::{
    Corrupt, EventReader, Events, Order, Written,
    openai_chat::{
        convert::{
            failure,
            response::{self, read_finish, read_usage},
            stream::Steps,
        },
        response::error_text,
    },
    openai_embeddings::{Vector, reported},
};
use crate::{
    model::{
        answer::{Answer, Choice, Delta, Failure, Finish},
        embed::{EmbedAnswer, EmbedInput, EmbedRequest},
        part::{Body, Part, ToolCall},
    },
    stream::sse::Event,
};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

/// Reads the body of a 200.
///
/// # Errors
/// It is in neither form.
pub fn read_answer(body: &[u8]) -> Result<Answer, Corrupt> {
    let value: Value = serde_json::from_slice(body).map_err(|error| Corrupt(error.to_string()))?;
    if value.get("choices").is_some() {
        return response::read(body);
    }
    let calls: Vec<ToolCall> =
        value.get("tool_calls").and_then(Value::as_array).into_iter().flatten().map(read_call).collect();
    if value.get("response").is_none() && calls.is_empty() {
        return Err(Corrupt(error_text(body)));
    }
    let finish = value.get("finish_reason").and_then(Value::as_str).map(read_finish);
    let finish = finish.unwrap_or(if calls.is_empty() { Finish::Stop } else { Finish::ToolCalls });
    let said = value.get("response").and_then(said);
    let parts = said.map(Part::text).into_iter();
    let parts = parts.chain(calls.into_iter().map(|call| Body::ToolCall(call).into())).collect();
    Ok(Answer {
        choices: vec![Choice { parts, finish: Some(finish), logprobs: None }],
        reported: value.get("usage").and_then(read_usage),
        ..Answer::default()
    })
}

/// What was said. JSON that was asked for comes as JSON, not as its text.
fn said(response: &Value) -> Option<String> {
    match response {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// A call: name and arguments beside one another, or in OpenAI's `function`.
fn read_call(call: &Value) -> ToolCall {
    let function = call.get("function").filter(|function| function.is_object()).unwrap_or(call);
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    ToolCall {
        id: text(call.get("id")),
        name: text(function.get("name")),
        arguments: match function.get("arguments") {
            Some(Value::String(text)) => text.clone(),
            None | Some(Value::Null) => String::new(),
            Some(value) => value.to_string(),
        },
    }
}

/// A stream in either form.
pub type Stream = Events<Either>;

/// What is known of a stream so far. Events of the older form are read as the chunks that they stand for.
#[derive(Debug, Default)]
pub struct Either {
    chunks: Steps,
    /// Answers in the older form.
    is_older: bool,
    /// Of the older form: calls begun without a number of their own.
    calls: u64,
    called: bool,
    finished: bool,
    failed: bool,
}

impl EventReader for Either {
    fn event(&mut self, event: &Event, deltas: &mut Vec<Delta>) {
        let Some(data) = event.data.as_deref().map(<[u8]>::trim_ascii).filter(|_| !self.failed) else {
            return;
        };
        if data == b"[DONE]" {
            if self.is_older && !self.finished {
                let reason = if self.called { "tool_calls" } else { "stop" };
                self.chunk(&json!({}), Some(reason), None, deltas);
            }
            self.chunks.event(event, deltas);
            return;
        }
        let value: Value = serde_json::from_slice(data).unwrap_or_default();
        if value.get("internalCode").is_some() || value.get("errors").is_some_and(Value::is_array) {
            self.failed = true;
            deltas.push(Delta::Error(read_failure(500, data)));
        } else if value.get("choices").is_none()
            && (value.get("response").is_some() || value.get("tool_calls").is_some())
        {
            self.older(&value, deltas);
        } else {
            self.chunks.event(event, deltas);
        }
    }

    fn ended(&mut self, deltas: &mut Vec<Delta>) {
        // The older form always ends with `[DONE]`: without it, it broke off.
        if !self.is_older {
            self.chunks.ended(deltas);
        }
    }
}

impl Either {
    fn older(&mut self, value: &Value, deltas: &mut Vec<Delta>) {
        self.is_older = true;
        let mut delta = Map::new();
        if let Some(text) = value.get("response").and_then(said) {
            delta.insert("content".to_owned(), json!(text));
        }
        let calls = value.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
        let calls: Vec<Value> = calls.filter_map(|call| self.call(call)).collect();
        if !calls.is_empty() {
            self.called = true;
            delta.insert("tool_calls".to_owned(), Value::Array(calls));
        }
        let reason = value.get("finish_reason").and_then(Value::as_str);
        self.chunk(&Value::Object(delta), reason, value.get("usage"), deltas);
    }

    /// A piece of a call as chat has it. `None`: the mark of its end, in which everything is null.
    fn call(&mut self, piece: &Value) -> Option<Value> {
        let call = read_call(piece);
        if call.id.is_empty() && call.name.is_empty() && call.arguments.is_empty() {
            return None;
        }
        let index = piece.get("index").and_then(Value::as_u64).unwrap_or_else(|| {
            let begun = self.calls;
            self.calls = begun.saturating_add(1);
            begun
        });
        Some(json!({"index": index, "id": call.id, "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments}}))
    }

    fn chunk(&mut self, delta: &Value, reason: Option<&str>, usage: Option<&Value>, deltas: &mut Vec<Delta>) {
        self.finished |= reason.is_some();
        let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
        let chunk = json!({"choices": [choice], "usage": usage});
        let data = Some(chunk.to_string().into_bytes());
        self.chunks.event(&Event { raw: Vec::new(), data, name: None, piece: false }, deltas);
    }
}

/// Reads an error body: one error, or Cloudflare's list of them
/// (<https://github.com/cloudflare/workerd/blob/main/src/cloudflare/internal/ai-api.ts>, read 2026-11-21).
#[must_use]
pub fn read_failure(status: u16, body: &[u8]) -> Failure {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let first = value.get("errors").and_then(|errors| errors.get(0));
    let code = first.map_or_else(|| value.get("internalCode"), |error| error.get("code"));
    let Some(code) = code.filter(|code| code.is_u64()) else { return failure::read(status, body) };
    let error = first.unwrap_or(&value);
    let text = |name: &str| error.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let message = text("description").or_else(|| text("message")).unwrap_or_default();
    let message = format!("{code}: {message}").chars().take(300).collect();
    Failure { status, kind: text("name").map(str::to_owned), message }
}

/// Writes the inputs of a model that makes vectors
/// (<https://developers.cloudflare.com/workers-ai/models/bge-large-en-v1.5/>, read 2026-11-21).
#[must_use]
pub fn write_embed(request: &EmbedRequest, order: &Order<'_>) -> Written {
    let mut written = Written::default();
    let mut texts = Vec::with_capacity(request.inputs.len());
    for (index, input) in request.inputs.iter().enumerate() {
        match input {
            EmbedInput::Text(text) => texts.push(text.as_str()),
            EmbedInput::Tokens(_) => written.refused.push(format!("input[{index}]")),
        }
    }
    let named = [
        ("dimensions", request.dimensions.is_some()),
        ("input_type", request.task.is_some()),
        ("user", request.user.is_some()),
    ];
    written.dropped.extend(named.iter().filter(|(_, said)| *said).map(|(name, _)| (*name).to_owned()));
    for name in request.extras.keys() {
        match name.as_str() {
            // What is to be made vectors, but not text.
            "images" | "inputs" => written.refused.push(name.clone()),
            _ => written.dropped.push(name.clone()),
        }
    }
    written.body = json!({"model": order.model, "text": texts}).to_string().into_bytes();
    written
}

#[derive(Deserialize)]
struct Wire<'a> {
    data: Option<Vec<Vector>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

/// Reads the body of a 200 that has vectors. Most models do not say what was used.
///
/// # Errors
/// It is not a list of vectors.
pub fn read_embed(body: &[u8]) -> Result<EmbedAnswer, Corrupt> {
    let wire: Wire<'_> =
        serde_json::from_slice(body).map_err(|error| Corrupt(format!("not a list of vectors: {error}")))?;
    let vectors = wire.data.ok_or_else(|| Corrupt(error_text(body)))?;
    Ok(EmbedAnswer {
        vectors: vectors.into_iter().map(|vector| vector.0).collect(),
        reported: wire.usage.and_then(|usage| reported(usage.get())),
        ..EmbedAnswer::default()
    })
}
