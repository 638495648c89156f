//! The parts of contents, in requests and in answers.

use super::{expected, flag_at, list_at, missing, object_at, text_at};
use crate::{
    dialect::Dialect,
    model::part::{Body, Media, MediaKind, Part, Reasoning, Signature, Source, Text, ToolCall, ToolResult},
    refusal::Refusal,
};
use serde_json::{Map, Value, json};

/// Reads a part. Members that say more about it than the canonical form can go into `left`, by their paths.
pub(super) fn read(value: Value, at: &str, left: &mut Map<String, Value>) -> Result<Part, Refusal> {
    let mut all = object_at(value, at)?;
    let thought = match all.shift_remove("thought") {
        Some(thought) => flag_at(&thought, &format!("{at}.thought"))?,
        None => false,
    };
    let signature = all
        .shift_remove("thoughtSignature")
        .map(|value| text_at(value, &format!("{at}.thoughtSignature")))
        .transpose()?
        .map(|text| signature(&text));
    let body = if let Some(text) = all.shift_remove("text") {
        let text = text_at(text, &format!("{at}.text"))?;
        if thought {
            Body::Reasoning(Reasoning { text, id: None, summary: true, redacted: false })
        } else {
            Body::Text(Text { text, citations: Vec::new() })
        }
    } else if thought && all.is_empty() {
        // As thoughts are shown here that their maker has encrypted.
        Body::Reasoning(Reasoning { text: String::new(), id: None, summary: true, redacted: true })
    } else if let Some(data) = all.shift_remove("inlineData").filter(|_| !thought) {
        Body::Media(inline(data, &format!("{at}.inlineData"))?)
    } else if let Some(file) = all.shift_remove("fileData") {
        Body::Media(file_data(file, &format!("{at}.fileData"))?)
    } else if let Some(call) = all.shift_remove("functionCall") {
        Body::ToolCall(tool_call(call, &format!("{at}.functionCall"))?)
    } else if let Some(result) = all.shift_remove("functionResponse") {
        Body::ToolResult(tool_result(result, &format!("{at}.functionResponse"), left)?)
    } else if !all.is_empty() {
        if thought {
            all.insert("thought".to_owned(), json!(true));
        }
        Body::Native(Dialect::Gemini, Value::Object(std::mem::take(&mut all)))
    } else if signature.is_some() {
        Body::Text(Text::default())
    } else {
        return Err(Refusal::bad_param(
            "missing_required_parameter",
            at,
            format!(
                "'{at}' is empty: give it `text`, `inlineData`, `fileData`, `functionCall` or `functionResponse`."
            ),
        ));
    };
    left.extend(all.into_iter().map(|(name, value)| (format!("{at}.{name}"), value)));
    Ok(Part { body, cache: None, signature })
}

/// A signature as a client sends it. Google's Python SDK writes base64 anew with the alphabet for URLs.
pub(super) fn signature(text: &str) -> Signature {
    let signature = Signature::came_from(Dialect::Gemini, text);
    if signature.maker == Dialect::Gemini && text.contains(['-', '_']) {
        let plain = Signature::came_from(Dialect::Gemini, &text.replace('-', "+").replace('_', "/"));
        if plain.maker != Dialect::Gemini {
            return plain;
        }
    }
    signature
}

fn inline(value: Value, at: &str) -> Result<Media, Refusal> {
    let mut all = object_at(value, at)?;
    let data = all.shift_remove("data").ok_or_else(|| missing(&format!("{at}.data")))?;
    let data = text_at(data, &format!("{at}.data"))?;
    let mime = optional_text(&mut all, "mimeType", at)?;
    let mut media = Media::new(kind_of(mime.as_deref()), Source::Base64(data), mime);
    media.name = optional_text(&mut all, "displayName", at)?;
    Ok(media)
}

fn file_data(value: Value, at: &str) -> Result<Media, Refusal> {
    let mut all = object_at(value, at)?;
    let uri = all.shift_remove("fileUri").ok_or_else(|| missing(&format!("{at}.fileUri")))?;
    let uri = text_at(uri, &format!("{at}.fileUri"))?;
    let mime = optional_text(&mut all, "mimeType", at)?;
    let kind = match &mime {
        Some(mime) => kind_of(Some(mime)),
        None if is_youtube(&uri) => MediaKind::Video,
        None => kind_of(mime_of_name(&uri)),
    };
    let source = if is_only_googles(&uri) { Source::File(Dialect::Gemini, uri) } else { Source::Url(uri) };
    let mut media = Media::new(kind, source, mime);
    media.name = optional_text(&mut all, "displayName", at)?;
    Ok(media)
}

fn optional_text(all: &mut Map<String, Value>, name: &str, at: &str) -> Result<Option<String>, Refusal> {
    all.shift_remove(name).map(|value| text_at(value, &format!("{at}.{name}"))).transpose()
}

/// Whether nobody but Google can read what is there: its own files, its cloud storage, a page of YouTube.
fn is_only_googles(uri: &str) -> bool {
    uri.starts_with("https://generativelanguage.googleapis.com/")
        || !uri.starts_with("http")
        || is_youtube(uri)
}

fn is_youtube(uri: &str) -> bool {
    let host = uri.split_once("://").map_or("", |(_, rest)| rest).split('/').next().unwrap_or_default();
    host == "youtu.be" || host == "youtube.com" || host.ends_with(".youtube.com")
}

fn kind_of(mime: Option<&str>) -> MediaKind {
    match mime.unwrap_or_default().split('/').next() {
        Some("image") => MediaKind::Image,
        Some("audio") => MediaKind::Audio,
        Some("video") => MediaKind::Video,
        _ => MediaKind::Document,
    }
}

/// By the ending of a file's name.
pub(super) fn mime_of_name(name: &str) -> Option<&'static str> {
    let path = name.split(['?', '#']).next()?;
    let (_, ending) = path.rsplit_once('.')?;
    Some(match ending.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "md" => "text/markdown",
        "html" | "htm" => "text/html",
        "csv" => "text/csv",
        "wav" => "audio/wav",
        "mp3" => "audio/mp3",
        "flac" => "audio/flac",
        "ogg" => "audio/ogg",
        "aac" => "audio/aac",
        "mp4" => "video/mp4",
        "mov" => "video/quicktime",
        "webm" => "video/webm",
        _ => return None,
    })
}

/// Google takes no media without its type: what it is by its first bytes, its name, or most likely.
pub(super) fn mime_of(media: &Media) -> &str {
    if let Some(mime) = &media.mime {
        return mime;
    }
    let by_name = |name: &Option<String>| name.as_deref().and_then(mime_of_name);
    let found = match &media.source {
        // In base64.
        Source::Base64(data) if data.starts_with("iVBOR") => Some("image/png"),
        Source::Base64(data) if data.starts_with("/9j/") => Some("image/jpeg"),
        Source::Base64(data) if data.starts_with("R0lG") => Some("image/gif"),
        Source::Base64(data) if data.starts_with("JVBER") => Some("application/pdf"),
        Source::Url(uri) | Source::File(_, uri) => mime_of_name(uri).or_else(|| by_name(&media.name)),
        Source::Text(_) => Some("text/plain"),
        Source::Base64(_) => by_name(&media.name),
    };
    found.unwrap_or(match media.kind {
        MediaKind::Image => "image/jpeg",
        MediaKind::Audio => "audio/mp3",
        MediaKind::Video => "video/mp4",
        MediaKind::Document => "application/pdf",
    })
}

fn tool_call(value: Value, at: &str) -> Result<ToolCall, Refusal> {
    let mut all = object_at(value, at)?;
    let name = all.shift_remove("name").ok_or_else(|| missing(&format!("{at}.name")))?;
    let arguments = match all.shift_remove("args") {
        None => "{}".to_owned(),
        Some(args @ Value::Object(_)) => args.to_string(),
        Some(_) => return Err(expected(&format!("{at}.args"), "an object")),
    };
    Ok(ToolCall {
        id: optional_text(&mut all, "id", at)?.unwrap_or_default(),
        name: text_at(name, &format!("{at}.name"))?,
        arguments,
    })
}

fn tool_result(value: Value, at: &str, left: &mut Map<String, Value>) -> Result<ToolResult, Refusal> {
    let mut all = object_at(value, at)?;
    let id = optional_text(&mut all, "id", at)?.unwrap_or_default();
    let name = optional_text(&mut all, "name", at)?;
    let (text, is_error) = match all.shift_remove("response") {
        None => (None, false),
        Some(Value::Object(response)) => said(response),
        Some(_) => return Err(expected(&format!("{at}.response"), "an object")),
    };
    let mut parts: Vec<Part> = text.map(Part::text).into_iter().collect();
    if let Some(more) = all.shift_remove("parts") {
        for (index, part) in list_at(more, &format!("{at}.parts"))?.into_iter().enumerate() {
            let at = format!("{at}.parts[{index}]");
            let part = read(part, &at, left)?;
            if !matches!(part.body, Body::Media(_)) {
                return Err(Refusal::bad_param(
                    "invalid_value",
                    &at,
                    format!("'{at}' must be `inlineData` or `fileData`; put anything else into `response`."),
                ));
            }
            parts.push(part);
        }
    }
    left.extend(all.into_iter().map(|(name, value)| (format!("{at}.{name}"), value)));
    Ok(ToolResult { id, name, parts, is_error })
}

/// The text of a function's response, and whether it is an error. Google names two members, `output` and `error`
/// (<https://ai.google.dev/api/caching#FunctionResponse>, read 2026-11-21); whatever else is there is JSON.
fn said(response: Map<String, Value>) -> (Option<String>, bool) {
    if let (1, Some((name, Value::String(text)))) = (response.len(), response.iter().next())
        && matches!(name.as_str(), "output" | "error")
        && json_object(text).is_none()
    {
        return (Some(text.clone()), name == "error");
    }
    let is_error = response.len() == 1 && response.contains_key("error");
    (Some(Value::Object(response).to_string()), is_error)
}

/// A function's response from the text of its result: the other way.
pub(super) fn response(text: &str, is_error: bool) -> Value {
    match json_object(text) {
        Some(object) if !is_error || object.contains_key("error") => Value::Object(object),
        Some(object) => json!({ "error": object }),
        None if is_error => json!({ "error": text }),
        None => json!({ "output": text }),
    }
}

/// The JSON object that a text is, if it is one.
pub(super) fn json_object(text: &str) -> Option<Map<String, Value>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// A call as a part. Arguments that are no JSON object are given as they are, under a name that says so.
pub(super) fn write_call(call: &ToolCall, id: Option<&str>) -> Map<String, Value> {
    let args = if call.arguments.trim().is_empty() {
        Map::new()
    } else {
        json_object(&call.arguments).unwrap_or_else(|| {
            Map::from_iter([("arguments".to_owned(), Value::String(call.arguments.clone()))])
        })
    };
    let mut written = Map::new();
    if let Some(id) = id {
        written.insert("id".to_owned(), json!(id));
    }
    written.insert("name".to_owned(), json!(call.name));
    written.insert("args".to_owned(), Value::Object(args));
    Map::from_iter([("functionCall".to_owned(), Value::Object(written))])
}

/// Media as a part, or nothing if it is at another provider.
pub(super) fn write_media(media: &Media) -> Option<Map<String, Value>> {
    use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
    let mime = mime_of(media);
    let (kind, data) = match &media.source {
        Source::Base64(data) => ("inlineData", json!({ "mimeType": mime, "data": data })),
        Source::Text(text) => ("inlineData", json!({ "mimeType": mime, "data": BASE64.encode(text) })),
        // Public addresses are read by Google itself since January 2026
        // (<https://ai.google.dev/gemini-api/docs/file-input-methods>, read 2026-11-21); Vertex did so before.
        Source::Url(uri) | Source::File(Dialect::Gemini, uri) => {
            ("fileData", json!({ "mimeType": mime, "fileUri": uri }))
        }
        Source::File(..) => return None,
    };
    Some(Map::from_iter([(kind.to_owned(), data)]))
}
