//! A whole answer, usage, and the count of tokens.

use super::{
    OWN,
    block::{carried, input_of, read_answer, show_citation},
};
use crate::{
    dialect::{Corrupt, Show},
    model::{
        answer::{Answer, Choice, Finish, Reported},
        part::{Body, Part},
        usage::Usage,
    },
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A provider's answer.
///
/// # Errors
/// If it is not a message.
pub fn read(body: &[u8]) -> Result<Answer, Corrupt> {
    let mut value: Value = serde_json::from_slice(body).map_err(|error| Corrupt(error.to_string()))?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    if text("type").as_deref() != Some("message") {
        return Err(Corrupt("an answer that is not of the type 'message'".to_owned()));
    }
    let (id, model) = (text("id"), text("model"));
    let finish = text("stop_reason").map(|word| read_finish(&word, text("stop_sequence")));
    let (reported, service_tier) = match value.get("usage") {
        Some(usage) => (read_usage(usage), read_tier(usage)),
        None => (None, None),
    };
    let Some(Value::Array(blocks)) = value.get_mut("content").map(Value::take) else {
        return Err(Corrupt("a message without content".to_owned()));
    };
    let mut parts = Vec::with_capacity(blocks.len());
    for block in blocks {
        parts.push(read_answer(block).ok_or_else(|| Corrupt("a block without a type".to_owned()))?);
    }
    let choices = vec![Choice { parts, finish, logprobs: None }];
    Ok(Answer { id, model, choices, reported, service_tier })
}

pub(super) fn read_finish(word: &str, sequence: Option<String>) -> Finish {
    match word {
        "end_turn" => Finish::Stop,
        "stop_sequence" => Finish::StopSequence(sequence),
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        "refusal" => Finish::Refused,
        "pause_turn" => Finish::Paused,
        other => Finish::Other(other.to_owned()),
    }
}

/// The word for a client, whose strict types know these seven, and the stop text. Some providers say `stop` of calls;
/// Anthropic's clients run tools at `tool_use` only.
pub(super) fn show_finish(finish: Option<&Finish>, calls: bool) -> (&'static str, Option<&str>) {
    match finish {
        Some(Finish::StopSequence(sequence)) => ("stop_sequence", sequence.as_deref()),
        Some(Finish::Length) => ("max_tokens", None),
        Some(Finish::Filtered(_) | Finish::Refused) => ("refusal", None),
        Some(Finish::Paused) => ("pause_turn", None),
        Some(Finish::ToolCalls) => ("tool_use", None),
        Some(Finish::Stop | Finish::Other(_)) | None if calls => ("tool_use", None),
        Some(Finish::Stop | Finish::Other(_)) | None => ("end_turn", None),
    }
}

/// Anthropic's usage object. `input_tokens` is what came from no cache and went to none; `output_tokens` includes thoughts.
/// What a compaction used stands in `iterations` alone ("sum across all entries",
/// <https://platform.claude.com/docs/en/build-with-claude/compaction>, read 2026-11-21) and is added; so is not what an advisor
/// used, which is another model and has another price.
pub(in crate::dialect) fn read_usage(value: &Value) -> Option<Reported> {
    let mut usage = counts(value)?;
    for iteration in value.get("iterations").and_then(Value::as_array).into_iter().flatten() {
        if iteration.get("type").and_then(Value::as_str) == Some("compaction")
            && let Some(more) = counts(iteration)
        {
            let sums = [
                (&mut usage.input, more.input),
                (&mut usage.cache_read, more.cache_read),
                (&mut usage.cache_write_5m, more.cache_write_5m),
                (&mut usage.cache_write_1h, more.cache_write_1h),
                (&mut usage.output, more.output),
                (&mut usage.reasoning, more.reasoning),
            ];
            for (sum, more) in sums {
                *sum = sum.saturating_add(more);
            }
        }
    }
    Some(Reported { usage, json: value.to_string(), cost_nanousd: None })
}

fn counts(value: &Value) -> Option<Usage> {
    let count = |value: Option<&Value>, name: &str| value?.get(name)?.as_u64();
    let whole = Some(value);
    let (input, output) = (count(whole, "input_tokens"), count(whole, "output_tokens"));
    // What is no count says nothing; read as 0 it would cost nothing.
    let strange =
        |name: &str, count: Option<u64>| count.is_none() && value.get(name).is_some_and(|it| !it.is_null());
    let strange = strange("input_tokens", input) || strange("output_tokens", output);
    if strange || (input.is_none() && output.is_none()) {
        return None;
    }
    let output = output.unwrap_or(0);
    // A class is never larger than what it is a class of, whatever the provider claims.
    let reasoning = count(value.get("output_tokens_details"), "thinking_tokens").unwrap_or(0).min(output);
    let by_time = value.get("cache_creation");
    let hour = count(by_time, "ephemeral_1h_input_tokens").unwrap_or(0);
    let minutes = count(by_time, "ephemeral_5m_input_tokens").unwrap_or(0);
    let written = count(whole, "cache_creation_input_tokens").unwrap_or_else(|| hour.saturating_add(minutes));
    let hour = hour.min(written);
    Some(Usage {
        input: input.unwrap_or(0),
        cache_read: count(whole, "cache_read_input_tokens").unwrap_or(0),
        cache_write_5m: written - hour,
        cache_write_1h: hour,
        output: output - reasoning,
        reasoning,
        ..Usage::default()
    })
}

pub(super) fn read_tier(usage: &Value) -> Option<String> {
    usage.get("service_tier").and_then(Value::as_str).map(str::to_owned)
}

/// A usage object for a client, with every member that strict types know.
pub(super) fn show_usage(usage: &Usage, tier: Option<&str>) -> Value {
    json!({
        "input_tokens": usage.input.saturating_add(usage.input_audio),
        "cache_creation_input_tokens": usage.cache_write_5m.saturating_add(usage.cache_write_1h),
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.output_total(),
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "server_tool_use": null,
        "service_tier": tier.and_then(show_tier),
        "inference_geo": null,
    })
}

fn show_tier(tier: &str) -> Option<&str> {
    match tier {
        "default" | "standard" => Some("standard"),
        "priority" | "batch" => Some(tier),
        _ => None,
    }
}

/// An answer for a client: the first one, since Anthropic knows no others. Pictures and sounds have no place in it.
#[must_use]
pub fn write(answer: &Answer, show: &Show) -> Vec<u8> {
    let empty = Choice::default();
    let choice = answer.choices.first().unwrap_or(&empty);
    let mut content = Vec::with_capacity(choice.parts.len());
    let mut ids = Ids::new(&show.id);
    let mut calls = false;
    for part in &choice.parts {
        calls |= matches!(part.body, Body::ToolCall(_));
        show_part(part, &mut ids, &mut content);
    }
    let (stop_reason, stop_sequence) = show_finish(choice.finish.as_ref(), calls);
    let usage = answer.reported.as_ref().map(|reported| reported.usage).unwrap_or_default();
    json!({
        "id": answer.id.clone().unwrap_or_else(|| format!("msg_{}", show.id)),
        "type": "message",
        "role": "assistant",
        "model": answer.model.as_deref().unwrap_or(&show.model),
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": stop_sequence,
        "stop_details": null,
        "usage": show_usage(&usage, answer.service_tier.as_deref()),
    })
    .to_string()
    .into_bytes()
}

fn show_part(part: &Part, ids: &mut Ids, content: &mut Vec<Value>) {
    let proof = || part.signature.as_ref().map(|proof| proof.show_to(OWN)).unwrap_or_default();
    let block = match &part.body {
        Body::Text(text) if text.text.is_empty() && part.signature.is_none() => return,
        Body::Text(text) => {
            let mut block = json!({"type": "text", "text": text.text});
            let citations: Vec<Value> = text.citations.iter().filter_map(show_citation).collect();
            if let Some(members) = block.as_object_mut().filter(|_| !citations.is_empty()) {
                members.insert("citations".to_owned(), Value::Array(citations));
            }
            block
        }
        Body::Refusal(text) => json!({"type": "text", "text": text}),
        Body::Reasoning(reasoning) if reasoning.redacted => {
            content.push(json!({"type": "redacted_thinking", "data": proof()}));
            return;
        }
        Body::Reasoning(reasoning) => {
            content.push(json!({"type": "thinking", "thinking": reasoning.text, "signature": proof()}));
            return;
        }
        Body::ToolCall(call) => {
            let (id, input) = (ids.id(&call.id), input_of(&call.arguments));
            json!({"type": "tool_use", "id": id, "name": call.name, "input": input})
        }
        Body::Native(OWN, value) => value.clone(),
        Body::Media(_) | Body::ToolResult(_) | Body::Native(..) => return,
    };
    content.push(block);
    if part.signature.as_ref().is_some_and(carried) {
        content.push(json!({"type": "thinking", "thinking": "", "signature": proof()}));
    }
}

/// Ids of an answer's calls: the provider's, or made up where it gives none or the same twice. Clients key their results by
/// them.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    request: String,
    used: BTreeSet<String>,
}

impl Ids {
    pub(super) fn new(request: &str) -> Self {
        Self { request: request.to_owned(), used: BTreeSet::new() }
    }

    pub(super) fn id(&mut self, given: &str) -> String {
        let mut id = given.to_owned();
        let mut number = self.used.len();
        while id.is_empty() || self.used.contains(&id) {
            id = format!("toolu_{}_{number}", self.request);
            number += 1;
        }
        self.used.insert(id.clone());
        id
    }
}

/// The answer of a provider's token counter.
///
/// # Errors
/// If it has no count.
pub fn read_count(body: &[u8]) -> Result<u64, Corrupt> {
    let value: Value = serde_json::from_slice(body).map_err(|error| Corrupt(error.to_string()))?;
    value
        .get("input_tokens")
        .and_then(Value::as_u64)
        .ok_or_else(|| Corrupt("a count without input_tokens".to_owned()))
}

/// The answer of the token counter for a client.
#[must_use]
pub fn write_count(input_tokens: u64) -> Vec<u8> {
    json!({"input_tokens": input_tokens}).to_string().into_bytes()
}
