//! Bedrock's Converse and ConverseStream.
//!
//! Shapes: the service's own model, `bedrock-runtime` 2023-09-30 (botocore 1.43.11, read 2026-11-21), and
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html> (read 2026-11-21). The model is in the
//! path, and the path decides whether the answer is streamed (`src/provider/bedrock.rs`). Where the same member differs by the maker of the model
//! (thinking, `top_k`), `request::family` tells them apart.
//!
//! InvokeModel, Bedrock's other API, carries each maker's own format and is not this dialect.

mod content;
pub mod failure;
mod media;
pub mod request;
pub mod response;
pub mod stream;

#[cfg(test)]
mod tests;

use super::Dialect;
use crate::model::{
    answer::{Finish, Reported},
    usage::Usage,
};
use serde_json::{Map, Value, json};

const OWN: Dialect = Dialect::Bedrock;

/// `stopReason`. What a stop text was is told only where `additionalModelResponseFieldPaths` asked for it.
fn read_finish(reason: &str, fields: Option<&Value>) -> Finish {
    match reason {
        "end_turn" => Finish::Stop,
        "tool_use" => Finish::ToolCalls,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "stop_sequence" => Finish::StopSequence(
            fields.and_then(|fields| fields.get("stop_sequence")).and_then(Value::as_str).map(str::to_owned),
        ),
        "content_filtered" => Finish::Filtered(None),
        "guardrail_intervened" => Finish::Filtered(Some(reason.to_owned())),
        // Not among Converse's own, but Claude's, and passed on by Bedrock for models newer than its list.
        "refusal" => Finish::Refused,
        "pause_turn" => Finish::Paused,
        other => Finish::Other(other.to_owned()),
    }
}

fn write_finish(finish: &Finish) -> &str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::StopSequence(_) => "stop_sequence",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::Filtered(Some(reason)) if reason == "guardrail_intervened" => "guardrail_intervened",
        Finish::Filtered(_) => "content_filtered",
        Finish::Refused => "refusal",
        Finish::Paused => "pause_turn",
        Finish::Other(reason) => reason,
    }
}

/// `usage`. The classes are disjoint as they come: in every recorded answer `totalTokens` is the sum of input, both cache
/// classes and output.
///
/// Nothing if no count is in it, or something that is no count: read as 0 it would cost nothing.
pub(super) fn read_usage(usage: &Value) -> Option<Reported> {
    let count = |name: &str| usage.get(name).and_then(Value::as_u64);
    let ends = ["inputTokens", "outputTokens"];
    let strange = |name: &str| count(name).is_none() && usage.get(name).is_some_and(|it| !it.is_null());
    if ends.into_iter().any(strange) || ends.into_iter().all(|name| count(name).is_none()) {
        return None;
    }
    let written = count("cacheWriteInputTokens").or_else(|| count("cacheWriteInputTokenCount")).unwrap_or(0);
    let details = usage.get("cacheDetails").and_then(Value::as_array).into_iter().flatten();
    let hour = details
        .filter(|detail| detail.get("ttl").and_then(Value::as_str) == Some("1h"))
        .filter_map(|detail| detail.get("inputTokens").and_then(Value::as_u64))
        .fold(0_u64, u64::saturating_add)
        .min(written);
    let usage_read = Usage {
        input: count("inputTokens").unwrap_or(0),
        cache_read: count("cacheReadInputTokens").or_else(|| count("cacheReadInputTokenCount")).unwrap_or(0),
        cache_write_5m: written - hour,
        cache_write_1h: hour,
        output: count("outputTokens").unwrap_or(0),
        ..Usage::default()
    };
    Some(Reported { usage: usage_read, json: usage.to_string(), cost_nanousd: None })
}

/// Reasoning and audio have no places of their own.
fn write_usage(usage: &Usage) -> Value {
    let mut members = Map::new();
    let mut put = |name: &str, count: u64| members.insert(name.to_owned(), json!(count));
    put("inputTokens", usage.input.saturating_add(usage.input_audio));
    put("outputTokens", usage.output_total());
    put("totalTokens", usage.total());
    let written = usage.cache_write_5m.saturating_add(usage.cache_write_1h);
    if usage.cache_read > 0 || written > 0 {
        put("cacheReadInputTokens", usage.cache_read);
        put("cacheWriteInputTokens", written);
    }
    let details: Vec<Value> = [("1h", usage.cache_write_1h), ("5m", usage.cache_write_5m)]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(ttl, count)| json!({"ttl": ttl, "inputTokens": count}))
        .collect();
    if !details.is_empty() {
        members.insert("cacheDetails".to_owned(), Value::Array(details));
    }
    Value::Object(members)
}
