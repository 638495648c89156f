//! Chat completions to and from the canonical form: for requests whose client and provider speak different dialects.
//!
//! What OpenAI's format has no place for goes by conventions that others set: thoughts as `reasoning_content` (DeepSeek) and,
//! with their signatures, as `reasoning_details` (OpenRouter), cache marks as `cache_control` on parts (OpenRouter), Gemini's
//! signature of a call as `extra_content.google.thought_signature` (Google's own compatible endpoint), pictures in an answer as
//! `images` (OpenRouter, Vercel). All read 2026-11-21:
//! <https://api-docs.deepseek.com/guides/reasoning_model>, <https://openrouter.ai/docs/use-cases/reasoning-tokens>,
//! <https://ai.google.dev/gemini-api/docs/thought-signatures>,
//! <https://vercel.com/docs/ai-gateway/openai-compat/image-generation>.

pub mod failure;
pub mod request;
pub mod response;
pub mod stream;

#[cfg(test)]
mod tests;

use crate::model::part::{Body, CacheMark, Media, MediaKind, Part, Signature, Source};
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
    show_signature(part.signature.as_ref()?)
}

fn show_signature(signature: &Signature) -> Option<Value> {
    let text = signature.show_to(crate::dialect::Dialect::Gemini);
    (!text.is_empty()).then(|| json!({"google": {"thought_signature": text}}))
}

/// A picture that a model made, for `images` of its message; other media have no place there.
fn show_picture(media: &Media, signature: Option<&Signature>, index: usize) -> Option<Value> {
    if media.kind != MediaKind::Image {
        return None;
    }
    let url = match &media.source {
        Source::Base64(data) => {
            format!("data:{};base64,{data}", media.mime.as_deref().unwrap_or("image/png"))
        }
        Source::Url(url) => url.clone(),
        Source::Text(_) | Source::File(..) => return None,
    };
    let mut shown = json!({"type": "image_url", "index": index, "image_url": {"url": url}});
    if let (Some(content), Some(members)) = (signature.and_then(show_signature), shown.as_object_mut()) {
        members.insert("extra_content".to_owned(), content);
    }
    Some(shown)
}

/// The picture of an entry of `images`.
fn read_picture(entry: &Value) -> Option<Part> {
    let entry = entry.as_object()?;
    let url = entry.get("image_url")?;
    let url = url.get("url").unwrap_or(url).as_str()?;
    let body = Body::Media(Media::of_url(MediaKind::Image, url));
    Some(Part { body, cache: None, signature: call_signature(entry) })
}
