//! A Cohere chat answer that is not streamed, and Cohere's usage object.

use super::{Cited, arguments, plan_at, request::attach, signature, written_citation};
use crate::{
    dialect::{Corrupt, Dialect, Show},
    model::{
        answer::{Answer, Choice, Finish, Reported},
        part::{Body, Part, Reasoning, ToolCall},
        usage::Usage,
    },
};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

#[derive(Deserialize)]
struct Wire<'a> {
    id: Option<String>,
    message: Option<Value>,
    finish_reason: Option<String>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    logprobs: Option<Vec<Value>>,
}

/// Reads the body of a 200.
///
/// # Errors
/// It is not a chat answer.
pub fn read(body: &[u8]) -> Result<Answer, Corrupt> {
    let wire: Wire<'_> =
        serde_json::from_slice(body).map_err(|error| Corrupt(format!("not a Cohere answer: {error}")))?;
    let message = match wire.message {
        Some(Value::Object(message)) => message,
        Some(Value::String(text)) => return Err(Corrupt(format!("an error in a 200: {text}"))),
        _ => return Err(Corrupt("no message".to_owned())),
    };
    let choice = Choice {
        parts: parts(&message)?,
        finish: wire.finish_reason.as_deref().map(finish),
        logprobs: wire.logprobs.filter(|items| !items.is_empty()).map(|items| logprobs(&items)),
    };
    Ok(Answer {
        id: wire.id,
        model: None,
        choices: vec![choice],
        reported: wire.usage.and_then(|usage| reported(usage.get())),
        service_tier: None,
    })
}

fn parts(message: &Map<String, Value>) -> Result<Vec<Part>, Corrupt> {
    let list = |name: &str| match message.get(name) {
        None | Some(Value::Null) => Ok(&[][..]),
        Some(Value::Array(list)) => Ok(list.as_slice()),
        Some(_) => Err(Corrupt(format!("message.{name} is not a list"))),
    };
    let mut parts = match message.get("content") {
        Some(Value::String(text)) => vec![Part::text(text)],
        _ => list("content")?.iter().map(block).collect::<Result<_, _>>()?,
    };
    let plan = message.get("tool_plan").and_then(Value::as_str).filter(|plan| !plan.is_empty());
    let plan_at = plan.is_some().then_some(parts.len());
    parts.extend(plan.map(Part::text));
    attach(list("citations")?, &mut parts, plan_at);
    for value in list("tool_calls")? {
        parts.push(Body::ToolCall(call(value)?).into());
    }
    Ok(parts)
}

fn block(value: &Value) -> Result<Part, Corrupt> {
    let text = |name: &str| {
        let text = value.get(name).and_then(Value::as_str);
        text.ok_or_else(|| Corrupt(format!("a block of {name} without {name}")))
    };
    match value.get("type").and_then(Value::as_str) {
        Some("text") => Ok(Part::text(text("text")?)),
        Some("thinking") => Ok(thoughts(text("thinking")?.to_owned())),
        Some(_) => Ok(Body::Native(Dialect::Cohere, value.clone()).into()),
        None => Err(Corrupt("a block without a type".to_owned())),
    }
}

fn thoughts(text: String) -> Part {
    let body = Body::Reasoning(Reasoning { text, ..Reasoning::default() });
    Part { body, cache: None, signature: Some(signature()) }
}

fn call(value: &Value) -> Result<ToolCall, Corrupt> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let function = value.get("function");
    let name = text(function.and_then(|function| function.get("name")));
    let written = text(function.and_then(|function| function.get("arguments"))).unwrap_or_default();
    Ok(ToolCall {
        id: text(value.get("id")).unwrap_or_default(),
        name: name.ok_or_else(|| Corrupt("a call without a function".to_owned()))?,
        arguments: arguments(&written).to_owned(),
    })
}

/// Cohere's word for the end of an answer. `ERROR_TOXIC` and `ERROR_LIMIT` are version 1's, and what some hosts of its models
/// still say
/// (<https://docs.oracle.com/en-us/iaas/tools/python/latest/api/generative_ai_inference/models/oci.generative_ai_inference.models.CohereChatResponse.html>,
/// read 2026-11-21).
pub(super) fn finish(word: &str) -> Finish {
    match word {
        "COMPLETE" => Finish::Stop,
        "STOP_SEQUENCE" => Finish::StopSequence(None),
        "MAX_TOKENS" | "ERROR_LIMIT" => Finish::Length,
        "TOOL_CALL" => Finish::ToolCalls,
        "ERROR_TOXIC" => Finish::Filtered(None),
        other => Finish::Other(other.to_owned()),
    }
}

/// The word for a client. Cohere's SDKs take any, but their users check for those of the reference.
pub(super) fn finish_word(finish: Option<&Finish>) -> &str {
    match finish {
        None | Some(Finish::Stop | Finish::Refused | Finish::Paused) => "COMPLETE",
        Some(Finish::StopSequence(_)) => "STOP_SEQUENCE",
        Some(Finish::Length) => "MAX_TOKENS",
        Some(Finish::ToolCalls) => "TOOL_CALL",
        Some(Finish::Filtered(_)) => "ERROR_TOXIC",
        Some(Finish::Other(word)) if word == "TIMEOUT" => "TIMEOUT",
        Some(Finish::Other(_)) => "ERROR",
    }
}

/// OpenAI's form of Cohere's log probabilities: an item is a text of one or more tokens, whose probabilities multiply.
pub(super) fn logprobs(items: &[Value]) -> Value {
    let content: Vec<Value> = items
        .iter()
        .map(|item| {
            let text = item.get("text").and_then(Value::as_str).unwrap_or_default();
            let of_tokens = item.get("logprobs").and_then(Value::as_array);
            let sum: f64 = of_tokens.into_iter().flatten().filter_map(Value::as_f64).sum();
            json!({"token": text, "logprob": sum, "bytes": text.as_bytes(), "top_logprobs": []})
        })
        .collect();
    json!({"content": content})
}

/// Cohere's form of OpenAI's. Token numbers are not known.
pub(super) fn logprob_items(logprobs: &Value) -> Vec<Value> {
    let content = logprobs.get("content").and_then(Value::as_array);
    let items = content.into_iter().flatten();
    items
        .map(|item| json!({"text": item.get("token"), "token_ids": [], "logprobs": [item.get("logprob")]}))
        .collect()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireUsage {
    billed_units: Option<Counts>,
    tokens: Option<Counts>,
    cached_tokens: Option<f64>,
}

/// The SDKs declare all of them as floats.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Counts {
    input_tokens: Option<f64>,
    output_tokens: Option<f64>,
}

/// A count that came as a float; nonsense is 0, too much is the most.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, and NaN is 0")]
pub(in super::super) fn whole(count: Option<f64>) -> u64 {
    count.unwrap_or(0.0) as u64
}

/// A usage object; `None` if it counts nothing.
///
/// What is billed is `billed_units`: the tokens of `tokens` beyond it are Cohere's own additions and free
/// (<https://docs.cohere.com/docs/how-does-cohere-pricing-work>, read 2026-11-21). `cached_tokens` is a part of `tokens` and
/// often more than all that is billed (1,360 of 1,394 with 8 billed, recorded by vercel/ai), and Cohere has no price for it:
/// it is a class of its own only where nothing is said of what is billed.
pub(super) fn reported(text: &str) -> Option<Reported> {
    let wire: WireUsage = serde_json::from_str(text).ok()?;
    let usage = match (wire.billed_units, wire.tokens) {
        (Some(billed), _) if billed.input_tokens.is_some() || billed.output_tokens.is_some() => Usage {
            input: whole(billed.input_tokens),
            output: whole(billed.output_tokens),
            ..Usage::default()
        },
        (_, Some(tokens)) if tokens.input_tokens.is_some() || tokens.output_tokens.is_some() => {
            let input = whole(tokens.input_tokens);
            let cache_read = whole(wire.cached_tokens).min(input);
            Usage {
                input: input.saturating_sub(cache_read),
                cache_read,
                output: whole(tokens.output_tokens),
                ..Usage::default()
            }
        }
        _ => return None,
    };
    Some(Reported { usage, json: text.to_owned(), cost_nanousd: None })
}

/// The usage object for a client: Cohere's own if there is one.
pub(super) fn usage(reported: &Reported) -> Value {
    if let Ok(own) = serde_json::from_str::<Value>(&reported.json)
        && (own.get("billed_units").is_some() || own.get("tokens").is_some())
    {
        return own;
    }
    let usage = &reported.usage;
    let counts = json!({"input_tokens": usage.input_total(), "output_tokens": usage.output_total()});
    let mut written = json!({"billed_units": counts, "tokens": counts});
    if let (Some(written), true) = (written.as_object_mut(), usage.cache_read > 0) {
        written.insert("cached_tokens".to_owned(), json!(usage.cache_read));
    }
    written
}

/// Writes an answer for a client.
#[must_use]
pub fn write(answer: &Answer, show: &Show) -> Vec<u8> {
    let empty = Choice::default();
    let choice = answer.choices.first().unwrap_or(&empty);
    let mut body = Map::new();
    body.insert("id".to_owned(), json!(answer.id.as_ref().unwrap_or(&show.id)));
    body.insert("message".to_owned(), Value::Object(message(&choice.parts)));
    body.insert("finish_reason".to_owned(), json!(finish_word(choice.finish.as_ref())));
    if let Some(reported) = &answer.reported {
        body.insert("usage".to_owned(), usage(reported));
    }
    if let Some(logprobs) = &choice.logprobs {
        body.insert("logprobs".to_owned(), Value::Array(logprob_items(logprobs)));
    }
    Value::Object(body).to_string().into_bytes()
}

fn message(parts: &[Part]) -> Map<String, Value> {
    let plan_at = plan_at(parts);
    let (mut content, mut calls, mut citations, mut plan) = (Vec::new(), Vec::new(), Vec::new(), None);
    let mut texts = 0;
    for (at, part) in parts.iter().enumerate() {
        match &part.body {
            Body::Text(text) if text.text.is_empty() => {}
            Body::Text(text) => {
                let place = if plan_at == Some(at) {
                    plan = Some(text.text.as_str());
                    Cited::Plan
                } else {
                    content.push(json!({"type": "text", "text": text.text}));
                    texts += 1;
                    if texts == 1 { Cited::First } else { Cited::Content(content.len() as u64 - 1) }
                };
                let written = text.citations.iter().map(|cited| written_citation(cited, &text.text, place));
                citations.extend(written);
            }
            Body::Refusal(text) => {
                content.push(json!({"type": "text", "text": text}));
                texts += 1;
            }
            Body::Reasoning(thoughts) if !thoughts.text.is_empty() => {
                content.push(json!({"type": "thinking", "thinking": thoughts.text}));
            }
            Body::ToolCall(call) => calls.push(json!({"id": call.id, "type": "function",
                "function": {"name": call.name, "arguments": call.arguments}})),
            Body::Native(Dialect::Cohere, block) => content.push(block.clone()),
            // What no answer of Cohere's has a place for.
            Body::Reasoning(_) | Body::Media(_) | Body::ToolResult(_) | Body::Native(..) => {}
        }
    }
    let mut message = Map::new();
    message.insert("role".to_owned(), json!("assistant"));
    if let Some(plan) = plan {
        message.insert("tool_plan".to_owned(), json!(plan));
    }
    for (name, list) in [("tool_calls", calls), ("content", content), ("citations", citations)] {
        if !list.is_empty() {
            message.insert(name.to_owned(), Value::Array(list));
        }
    }
    message
}
