//! Chat completions to and from the canonical form: for requests whose client and provider speak different dialects.
//!
//! What OpenAI's format has no place for goes by conventions that others set: thoughts as `reasoning_content` (DeepSeek) and,
//! with their signatures, as `reasoning_details` (OpenRouter), cache marks as `cache_control` on parts (OpenRouter), Gemini's
//! signature of a call as `extra_content.google.thought_signature` (Google's own compatible endpoint). All read 2026-11-21:
//! <https://api-docs.deepseek.com/guides/reasoning_model>, <https://openrouter.ai/docs/use-cases/reasoning-tokens>,
//! <https://ai.google.dev/gemini-api/docs/thought-signatures>.

pub mod failure;
pub mod request;
pub mod response;
pub mod stream;

#[cfg(test)]
mod tests;

use crate::model::part::{CacheMark, Part, Signature};
use serde_json::{Map, Value, json};

/// A part's mark, in OpenRouter's (and Anthropic's) spelling.
fn cache_mark(value: Option<&Value>) -> Option<CacheMark> {
    let mark = value?.as_object()?;
    Some(match mark.get("ttl").and_then(Value::as_str) {
        Some("1h") => CacheMark::Hour,
        _ => CacheMark::FiveMinutes,
    })
}

/// Where Google's compatible endpoint puts the signature of a call.
fn call_signature(call: &Map<String, Value>) -> Option<Signature> {
    let text = call.get("extra_content")?.get("google")?.get("thought_signature")?.as_str()?;
    Some(Signature::came_from(crate::dialect::Dialect::Gemini, text))
}

fn show_call_signature(part: &Part) -> Option<Value> {
    let signature = part.signature.as_ref()?;
    let text = signature.show_to(crate::dialect::Dialect::Gemini);
    Some(json!({"google": {"thought_signature": text}}))
}
