//! Content blocks, as they are in messages and in answers alike.

use super::{OWN, media};
use crate::{
    dialect::json::{array, as_object, missing, object, take, text, wrong},
    model::part::{Body, CacheMark, Citation, Part, Reasoning, Signature, Text, ToolCall, ToolResult},
    refusal::Refusal,
};
use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use serde_json::{Map, Value, json};

/// Names that alone in an object make it a block of a tool's result.
const RESULT_BLOCKS: &[&str] = &["json", "text", "image", "document", "video", "searchResult"];

/// Reads a list of blocks. A `cachePoint` becomes the mark of the part before it.
///
/// # Errors
/// 400 in the caller's terms.
pub(super) fn read_all(blocks: Vec<Value>, place: &str) -> Result<Vec<Part>, Refusal> {
    let mut parts: Vec<Part> = Vec::with_capacity(blocks.len());
    for (index, block) in blocks.into_iter().enumerate() {
        let place = format!("{place}[{index}]");
        let block = as_object(block, &place)?;
        match (cache_point(&block), parts.last_mut()) {
            (Some(mark), Some(last)) if last.cache.is_none() => last.cache = Some(mark),
            _ => parts.push(read_block(block, &place)?),
        }
    }
    Ok(parts)
}

/// The mark that a block is, if it says nothing else.
pub(super) fn cache_point(block: &Map<String, Value>) -> Option<CacheMark> {
    let point = block.get("cachePoint").filter(|_| block.len() == 1)?.as_object()?;
    let known = |(name, value): (&String, &Value)| match name.as_str() {
        "type" => value == "default",
        "ttl" => value == "5m" || value == "1h",
        _ => false,
    };
    if !point.iter().all(known) {
        return None;
    }
    let hour = point.get("ttl").and_then(Value::as_str) == Some("1h");
    Some(if hour { CacheMark::Hour } else { CacheMark::FiveMinutes })
}

/// The block that a mark is.
pub(super) fn write_cache_point(mark: CacheMark) -> Value {
    match mark {
        CacheMark::FiveMinutes => json!({"cachePoint": {"type": "default"}}),
        CacheMark::Hour => json!({"cachePoint": {"type": "default", "ttl": "1h"}}),
    }
}

fn read_block(mut block: Map<String, Value>, place: &str) -> Result<Part, Refusal> {
    // A union: one member. Recorders and mocks of Bedrock add a `type`, which says the same.
    let Some(name) = block.keys().find(|name| *name != "type").cloned() else {
        return Err(wrong(place, "a content block, such as {\"text\": \"…\"}"));
    };
    let inner_place = format!("{place}.{name}");
    let native = |block: Map<String, Value>| Ok(Part::from(Body::Native(OWN, Value::Object(block))));
    if block.keys().filter(|name| *name != "type").count() > 1 {
        return native(block);
    }
    match name.as_str() {
        "text" => {
            let said = text(&mut block, "text", &inner_place)?.ok_or_else(|| missing(&inner_place))?;
            Ok(Part::text(said))
        }
        "toolUse" => {
            let call = inner(&block, &name, &inner_place)?;
            // A tool that Amazon runs: its call and its result are both in the model's turn.
            if call.get("type").is_some_and(|kind| kind == "server_tool_use") {
                return native(block);
            }
            Ok(Body::ToolCall(read_call(call.clone(), &inner_place)?).into())
        }
        "toolResult" => {
            let result = inner(&block, &name, &inner_place)?;
            if result.contains_key("type") {
                return native(block);
            }
            Ok(Body::ToolResult(read_result(result.clone(), &inner_place)?).into())
        }
        "reasoningContent" => read_reasoning(inner(&block, &name, &inner_place)?.clone(), &inner_place),
        "citationsContent" => match read_cited(inner(&block, &name, &inner_place)?) {
            Some(text) => Ok(Body::Text(text).into()),
            None => native(block),
        },
        _ => match media::kind_of(&name) {
            Some(kind) => match media::read(kind, inner(&block, &name, &inner_place)?) {
                Some(media) => Ok(Body::Media(media).into()),
                None => native(block),
            },
            None => native(block),
        },
    }
}

fn inner<'a>(
    block: &'a Map<String, Value>,
    name: &str,
    place: &str,
) -> Result<&'a Map<String, Value>, Refusal> {
    block.get(name).and_then(Value::as_object).ok_or_else(|| wrong(place, "an object"))
}

fn read_call(mut call: Map<String, Value>, place: &str) -> Result<ToolCall, Refusal> {
    let mut wanted = |name: &str| {
        let place = format!("{place}.{name}");
        text(&mut call, name, &place)?.ok_or_else(|| missing(&place))
    };
    let (id, name) = (wanted("toolUseId")?, wanted("name")?);
    let input = take(&mut call, "input").ok_or_else(|| missing(&format!("{place}.input")))?;
    Ok(ToolCall { id, name, arguments: input.to_string() })
}

fn read_result(mut result: Map<String, Value>, place: &str) -> Result<ToolResult, Refusal> {
    let id_place = format!("{place}.toolUseId");
    let id = text(&mut result, "toolUseId", &id_place)?.ok_or_else(|| missing(&id_place))?;
    let content_place = format!("{place}.content");
    let blocks = array(&mut result, "content", &content_place)?.ok_or_else(|| missing(&content_place))?;
    let status_place = format!("{place}.status");
    let is_error = match text(&mut result, "status", &status_place)?.as_deref() {
        None | Some("success") => false,
        Some("error") => true,
        Some(other) => {
            return Err(Refusal::bad_param(
                "invalid_value",
                &status_place,
                format!("Invalid value: '{other}'. Supported values are: 'success' and 'error'."),
            ));
        }
    };
    let mut parts = Vec::with_capacity(blocks.len());
    for (index, block) in blocks.into_iter().enumerate() {
        let place = format!("{content_place}[{index}]");
        let mut block = as_object(block, &place)?;
        let part = match take(&mut block, "json") {
            Some(value) => {
                // Plain JSON for other dialects; kept in its block if it would be taken for one.
                let value = if is_result_block(&value) { json!({"json": value}) } else { value };
                Body::Native(OWN, value).into()
            }
            None => read_block(block, &place)?,
        };
        parts.push(part);
    }
    Ok(ToolResult { id, name: None, parts, is_error })
}

/// Whether a value reads as a block of a tool's result.
pub(super) fn is_result_block(value: &Value) -> bool {
    let Some(members) = value.as_object().filter(|members| members.len() == 1) else { return false };
    members.keys().all(|name| RESULT_BLOCKS.contains(&name.as_str()))
}

fn read_reasoning(mut block: Map<String, Value>, place: &str) -> Result<Part, Refusal> {
    if let Some(redacted) = text(&mut block, "redactedContent", &format!("{place}.redactedContent"))? {
        return Ok(Part {
            body: Body::Reasoning(Reasoning { redacted: true, ..Reasoning::default() }),
            cache: None,
            signature: Some(Signature::came_from(OWN, &redacted)),
        });
    }
    let inner_place = format!("{place}.reasoningText");
    let mut inner =
        object(&mut block, "reasoningText", &inner_place)?.ok_or_else(|| missing(&inner_place))?;
    let words = text(&mut inner, "text", &format!("{inner_place}.text"))?.unwrap_or_default();
    let signature = text(&mut inner, "signature", &format!("{inner_place}.signature"))?;
    Ok(Part {
        body: Body::Reasoning(Reasoning { text: words, ..Reasoning::default() }),
        cache: None,
        signature: signature
            .filter(|signature| !signature.is_empty())
            .map(|signature| Signature::came_from(OWN, &signature)),
    })
}

/// The block that thoughts are. Signatures are shown as a client of this dialect gets them.
pub(super) fn write_reasoning(reasoning: &Reasoning, signature: Option<&str>) -> Option<Value> {
    if reasoning.redacted {
        return signature.map(|signature| json!({"reasoningContent": {"redactedContent": signature}}));
    }
    let mut inner = json!({"text": reasoning.text});
    if let (Some(signature), Some(members)) = (signature, inner.as_object_mut()) {
        members.insert("signature".to_owned(), json!(signature));
    }
    Some(json!({"reasoningContent": {"reasoningText": inner}}))
}

fn read_cited(block: &Map<String, Value>) -> Option<Text> {
    let mut text = String::new();
    for piece in block.get("content")?.as_array()? {
        text.push_str(piece.get("text")?.as_str()?);
    }
    let citations = match block.get("citations") {
        None => Vec::new(),
        Some(citations) => citations.as_array()?.iter().map(read_citation).collect(),
    };
    Some(Text { text, citations })
}

/// A citation. Its positions are the source's, not the answer's, so they stay in the form in which it came.
pub(super) fn read_citation(citation: &Value) -> Citation {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let quoted: Vec<&str> = citation
        .get("sourceContent")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|piece| piece.get("text").and_then(Value::as_str))
        .collect();
    let web = citation.get("location").and_then(|location| location.get("web"));
    Citation {
        url: text(web.and_then(|web| web.get("url"))),
        title: text(citation.get("title")),
        quoted: (!quoted.is_empty()).then(|| quoted.concat()),
        start: None,
        end: None,
        native: Some((OWN, citation.clone())),
    }
}

/// A citation as a client of this dialect gets it.
pub(super) fn write_citation(citation: &Citation) -> Value {
    if let Some((OWN, native)) = &citation.native {
        return native.clone();
    }
    let mut members = Map::new();
    if let Some(title) = &citation.title {
        members.insert("title".to_owned(), json!(title));
    }
    if let Some(quoted) = &citation.quoted {
        members.insert("sourceContent".to_owned(), json!([{"text": quoted}]));
    }
    if let Some(url) = &citation.url {
        members.insert("location".to_owned(), json!({"web": {"url": url}}));
    }
    Value::Object(members)
}

/// The block of a text.
pub(super) fn write_text(text: &Text) -> Value {
    if text.citations.is_empty() {
        return json!({"text": text.text});
    }
    let citations: Vec<Value> = text.citations.iter().map(write_citation).collect();
    json!({"citationsContent": {"content": [{"text": text.text}], "citations": citations}})
}

/// A call's arguments as the object that Bedrock wants; what is none goes as a member of one, so that nothing is lost.
pub(super) fn input_of(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return json!({});
    }
    match serde_json::from_str(arguments) {
        Ok(value @ Value::Object(_)) => value,
        Ok(Value::Null) => json!({}),
        Ok(value) => json!({"input": value}),
        Err(_) => json!({"input": arguments}),
    }
}

/// A block of one member.
pub(super) fn block(name: &str, members: Map<String, Value>) -> Value {
    let mut block = Map::new();
    block.insert(name.to_owned(), Value::Object(members));
    Value::Object(block)
}

/// Base64.
pub(super) fn base64_of(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Pieces of bytes, each in base64, as one. Pieces that are no base64 are put one behind the other.
pub(super) fn joined(so_far: &str, more: &str) -> String {
    if so_far.is_empty() {
        return more.to_owned();
    }
    match (BASE64.decode(so_far), BASE64.decode(more)) {
        (Ok(mut bytes), Ok(rest)) => {
            bytes.extend(rest);
            base64_of(&bytes)
        }
        _ => format!("{so_far}{more}"),
    }
}
