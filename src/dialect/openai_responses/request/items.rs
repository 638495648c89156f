//! The items of a request's `input`.

use super::{
    super::{OWN, proof, response},
    leave,
};
use crate::{
    dialect::{
        Dialect,
        json::{array, as_object, missing, object, take, text, wrong},
    },
    model::{
        part::{
            Body, CacheMark, Media, MediaKind, Part, Reasoning, Signature, Source, Text, ToolCall, ToolResult,
        },
        request::{Role, Turn},
    },
    refusal::Refusal,
};
use serde_json::{Map, Value};

/// Reads items onto the turns.
pub(super) fn read(
    list: Vec<Value>,
    turns: &mut Vec<Turn>,
    extras: &mut Map<String, Value>,
) -> Result<(), Refusal> {
    for (index, item) in list.into_iter().enumerate() {
        let place = format!("input[{index}]");
        let mut item = as_object(item, &place)?;
        let kind = match text(&mut item, "type", &format!("{place}.type"))? {
            Some(kind) => kind,
            // The easy form of a message.
            None if item.contains_key("role") => "message".to_owned(),
            None => return Err(missing(&format!("{place}.type"))),
        };
        match kind.as_str() {
            "message" => {
                let turn = read_message(&mut item, &place, extras)?;
                without_id(&mut item);
                push_message(turns, turn);
            }
            "function_call" => {
                let call = read_call(&mut item, &place)?;
                without_id(&mut item);
                on_model(turns, |turn| turn.parts.push(Body::ToolCall(call).into()));
            }
            "function_call_output" => {
                let result = read_result(&mut item, &place, extras)?;
                without_id(&mut item);
                let part = Part::from(Body::ToolResult(result));
                match turns.last_mut().filter(|turn| turn.role == Role::Tool) {
                    Some(turn) => turn.parts.push(part),
                    None => turns.push(Turn::new(Role::Tool, vec![part])),
                }
            }
            "reasoning" => {
                let id = text(&mut item, "id", &format!("{place}.id"))?;
                let parts = read_reasoning(&mut item, id.clone(), &place)?;
                item.shift_remove("status");
                on_model(turns, |turn| push_reasoning(turn, parts, id.as_deref()));
            }
            _ => {
                item.shift_insert(0, "type".to_owned(), Value::String(kind));
                let part = Part::from(Body::Native(OWN, Value::Object(std::mem::take(&mut item))));
                on_model(turns, |turn| turn.parts.push(part));
            }
        }
        leave(&place, item, extras);
    }
    Ok(())
}

/// Whether an item stands for another that the provider keeps.
pub(super) fn refers(turns: &[Turn]) -> bool {
    let native = |part: &Part| match &part.body {
        Body::Native(OWN, value) => value.get("type").and_then(Value::as_str) == Some("item_reference"),
        _ => false,
    };
    turns.iter().flat_map(|turn| &turn.parts).any(native)
}

/// Ids and states of items are the provider's and mean nothing without it.
fn without_id(item: &mut Map<String, Value>) {
    item.shift_remove("id");
    item.shift_remove("status");
}

/// Puts something into the model's turn that goes on, or into a new one.
fn on_model(turns: &mut Vec<Turn>, put: impl FnOnce(&mut Turn)) {
    if let Some(turn) = turns.last_mut().filter(|turn| turn.role == Role::Assistant) {
        return put(turn);
    }
    let mut turn = Turn::new(Role::Assistant, Vec::new());
    put(&mut turn);
    turns.push(turn);
}

/// A message of the model begins a turn of its own after another message. Not after a call, whose results could not follow
/// it directly then, as other dialects demand.
fn push_message(turns: &mut Vec<Turn>, message: Turn) {
    let goes_on = |turn: &&mut Turn| {
        let said = |part: &Part| matches!(part.body, Body::Text(_) | Body::Refusal(_));
        let calls = |part: &Part| matches!(part.body, Body::ToolCall(_));
        turn.role == Role::Assistant
            && message.role == Role::Assistant
            && (turn.parts.iter().any(calls) || !turn.parts.iter().any(said))
    };
    match turns.last_mut().filter(goes_on) {
        Some(turn) => turn.parts.extend(message.parts),
        None => turns.push(message),
    }
}

fn read_message(
    item: &mut Map<String, Value>,
    place: &str,
    extras: &mut Map<String, Value>,
) -> Result<Turn, Refusal> {
    let role_place = format!("{place}.role");
    let role = match text(item, "role", &role_place)?.ok_or_else(|| missing(&role_place))?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        "developer" => Role::Developer,
        other => {
            return Err(Refusal::bad_param(
                "invalid_value",
                &role_place,
                format!(
                    "Invalid value: '{other}'. Supported values are: 'assistant', 'system', 'developer' and 'user'; results of tools are items of type 'function_call_output'."
                ),
            ));
        }
    };
    let content_place = format!("{place}.content");
    let parts = match take(item, "content") {
        None => return Err(missing(&content_place)),
        Some(Value::String(text)) => vec![Part::text(text)],
        Some(Value::Array(list)) => read_content(list, &content_place, extras)?,
        Some(_) => return Err(wrong(&content_place, "a string or an array of parts")),
    };
    Ok(Turn::new(role, parts))
}

fn read_content(
    list: Vec<Value>,
    place: &str,
    extras: &mut Map<String, Value>,
) -> Result<Vec<Part>, Refusal> {
    let each = list.into_iter().enumerate().map(|(index, part)| {
        let place = format!("{place}[{index}]");
        read_part(as_object(part, &place)?, &place, extras)
    });
    each.collect()
}

/// A part of a message or of a tool's output.
fn read_part(
    mut part: Map<String, Value>,
    place: &str,
    extras: &mut Map<String, Value>,
) -> Result<Part, Refusal> {
    let at = |name: &str| format!("{place}.{name}");
    let kind = text(&mut part, "type", &at("type"))?.ok_or_else(|| missing(&at("type")))?;
    let body = match kind.as_str() {
        "input_text" | "output_text" | "text" => {
            let words = text(&mut part, "text", &at("text"))?.ok_or_else(|| missing(&at("text")))?;
            let annotations = array(&mut part, "annotations", &at("annotations"))?.unwrap_or_default();
            // Of an answer given back; no provider takes them.
            part.shift_remove("logprobs");
            Body::Text(Text {
                text: words,
                citations: annotations.into_iter().map(response::citation).collect(),
            })
        }
        "refusal" => {
            Body::Refusal(text(&mut part, "refusal", &at("refusal"))?.ok_or_else(|| missing(&at("refusal")))?)
        }
        "input_image" => Body::Media(read_image(&mut part, place)?),
        "input_file" => Body::Media(read_file(&mut part, place)?),
        "input_audio" => {
            let mut audio = object(&mut part, "input_audio", &at("input_audio"))?
                .ok_or_else(|| missing(&at("input_audio")))?;
            let at = |name: &str| format!("{place}.input_audio.{name}");
            let data = text(&mut audio, "data", &at("data"))?.ok_or_else(|| missing(&at("data")))?;
            let format = text(&mut audio, "format", &at("format"))?.ok_or_else(|| missing(&at("format")))?;
            leave(&format!("{place}.input_audio"), audio, extras);
            let mime = if format == "mp3" { "audio/mpeg".to_owned() } else { format!("audio/{format}") };
            Body::Media(Media::new(MediaKind::Audio, Source::Base64(data), Some(mime)))
        }
        _ => {
            part.shift_insert(0, "type".to_owned(), Value::String(kind));
            return Ok(Body::Native(OWN, Value::Object(part)).into());
        }
    };
    let mark = object(&mut part, "prompt_cache_breakpoint", &at("prompt_cache_breakpoint"))?;
    leave(place, part, extras);
    // How long is said once, in `prompt_cache_options.ttl`.
    Ok(Part { cache: mark.map(|_| CacheMark::FiveMinutes), ..body.into() })
}

fn read_image(part: &mut Map<String, Value>, place: &str) -> Result<Media, Refusal> {
    let at = |name: &str| format!("{place}.{name}");
    let url = match take(part, "image_url") {
        None => None,
        Some(Value::String(url)) => Some(url),
        Some(_) => {
            return Err(wrong(&at("image_url"), "a URL as a string (in this API it is not an object)"));
        }
    };
    let file = text(part, "file_id", &at("file_id"))?;
    let mut media = match (url, file) {
        (Some(url), _) => Media::of_url(MediaKind::Image, &url),
        (None, Some(id)) => Media::new(MediaKind::Image, Source::File(OWN, id), None),
        (None, None) => return Err(missing(&at("image_url"))),
    };
    media.detail = text(part, "detail", &at("detail"))?;
    Ok(media)
}

fn read_file(part: &mut Map<String, Value>, place: &str) -> Result<Media, Refusal> {
    let at = |name: &str| format!("{place}.{name}");
    let data = text(part, "file_data", &at("file_data"))?;
    let url = text(part, "file_url", &at("file_url"))?;
    let id = text(part, "file_id", &at("file_id"))?;
    let mut media = match (data, url, id) {
        (Some(data), ..) if data.starts_with("data:") => Media::of_url(MediaKind::Document, &data),
        (Some(data), ..) => Media::new(MediaKind::Document, Source::Base64(data), None),
        (None, Some(url), _) => Media::of_url(MediaKind::Document, &url),
        (None, None, Some(id)) => Media::new(MediaKind::Document, Source::File(OWN, id), None),
        (None, None, None) => {
            return Err(Refusal::bad_param(
                "missing_required_parameter",
                &at("file_data"),
                format!("'{place}' names no file: give 'file_data', 'file_url' or 'file_id'."),
            ));
        }
    };
    media.name = text(part, "filename", &at("filename"))?;
    Ok(media)
}

fn read_call(item: &mut Map<String, Value>, place: &str) -> Result<ToolCall, Refusal> {
    let mut need = |name: &str| {
        let place = format!("{place}.{name}");
        text(item, name, &place)?.ok_or_else(|| missing(&place))
    };
    Ok(ToolCall { id: need("call_id")?, name: need("name")?, arguments: need("arguments")? })
}

fn read_result(
    item: &mut Map<String, Value>,
    place: &str,
    extras: &mut Map<String, Value>,
) -> Result<ToolResult, Refusal> {
    let id_place = format!("{place}.call_id");
    let id = text(item, "call_id", &id_place)?.ok_or_else(|| missing(&id_place))?;
    let output_place = format!("{place}.output");
    let parts = match take(item, "output") {
        None => return Err(missing(&output_place)),
        Some(Value::String(text)) => vec![Part::text(text)],
        Some(Value::Array(list)) => read_content(list, &output_place, extras)?,
        Some(_) => return Err(wrong(&output_place, "a string or an array of parts")),
    };
    Ok(ToolResult { id, name: None, parts, is_error: false })
}

/// The words of a list of `summary_text` or `reasoning_text`, paragraphs apart.
fn read_words(item: &mut Map<String, Value>, name: &str, place: &str) -> Result<String, Refusal> {
    let place = format!("{place}.{name}");
    let list = array(item, name, &place)?.unwrap_or_default();
    let words: Vec<&str> = list
        .iter()
        .enumerate()
        .map(|(index, part)| {
            let text = part.get("text").and_then(Value::as_str);
            text.ok_or_else(|| wrong(&format!("{place}[{index}].text"), "a string"))
        })
        .collect::<Result<_, _>>()?;
    Ok(words.join("\n\n"))
}

fn read_reasoning(
    item: &mut Map<String, Value>,
    id: Option<String>,
    place: &str,
) -> Result<Vec<Part>, Refusal> {
    let summary = read_words(item, "summary", place)?;
    let content = read_words(item, "content", place)?;
    let encrypted = text(item, "encrypted_content", &format!("{place}.encrypted_content"))?;
    Ok(thoughts(id, summary, content, encrypted.as_deref()))
}

/// An item's thoughts: a part for the summary, one for the words themselves, the proof at the last of them.
pub(in super::super) fn thoughts(
    id: Option<String>,
    summary: String,
    content: String,
    encrypted: Option<&str>,
) -> Vec<Part> {
    let signature = match encrypted.map(|text| Signature::came_from(OWN, text)) {
        Some(signature) if signature.maker == OWN => Some(proof(id.as_deref(), &signature.text)),
        None if !content.is_empty() => Some(proof(id.as_deref(), "")),
        other => other,
    };
    let foreign = signature.as_ref().map(|signature| signature.maker).filter(|maker| *maker != OWN);
    let redacted = foreign == Some(Dialect::Anthropic)
        && id.as_ref().is_some_and(|id| id.ends_with(response::REDACTED))
        && summary.is_empty()
        && content.is_empty();
    // An id beside another maker's proof was made up here.
    let id = id.filter(|_| foreign.is_none());
    let part = |text: String, is_summary: bool| {
        Part::from(Body::Reasoning(Reasoning { text, id: id.clone(), summary: is_summary, redacted }))
    };
    let mut parts = Vec::new();
    if !summary.is_empty() || content.is_empty() {
        // Where there are no words, those that Responses does not tell are a summary's.
        let is_summary = !summary.is_empty() || foreign.is_none();
        parts.push(part(summary, is_summary));
    }
    if !content.is_empty() {
        parts.push(part(content, false));
    }
    if let Some(last) = parts.last_mut() {
        last.signature = signature;
    }
    parts
}

/// Gemini puts proofs on texts and calls: where Responses has no place for them an item stands that holds nothing else. Of
/// a call its made-up id tells which one, of a text it is the last before.
fn push_reasoning(turn: &mut Turn, parts: Vec<Part>, id: Option<&str>) {
    if let [Part { body: Body::Reasoning(alone), signature: Some(signature), .. }] = parts.as_slice()
        && signature.maker == Dialect::Gemini
        && alone.text.is_empty()
    {
        let call = id.and_then(|id| id.strip_prefix(response::PROOF_OF));
        let proved = turn.parts.iter_mut().rev().find(|part| match (&part.body, call) {
            (Body::ToolCall(made), Some(id)) => made.id == id,
            (Body::Text(_) | Body::ToolCall(_), None) => true,
            _ => false,
        });
        if let Some(proved) = proved.filter(|part| part.signature.is_none()) {
            proved.signature = Some(signature.clone());
            return;
        }
    }
    turn.parts.extend(parts);
}
