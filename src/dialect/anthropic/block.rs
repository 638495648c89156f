//! The blocks that messages are made of.

use super::OWN;
use crate::{
    dialect::json::{array, as_object, flag, missing, object, take, text, wrong},
    model::{
        part::{
            Body, CacheMark, Citation, Media, MediaKind, Part, Reasoning, Signature, Source, Text, ToolCall,
            ToolResult,
        },
        request::Role,
    },
    refusal::Refusal,
};
use serde_json::{Map, Value, json};

type Members = Map<String, Value>;

/// Reads the blocks of one request.
#[derive(Debug)]
pub(super) struct Blocks<'a> {
    /// Members of blocks that have no place in the canonical form, by their paths.
    pub(super) extras: &'a mut Members,
}

impl Blocks<'_> {
    /// What a message or a tool's result contains: a text, or blocks.
    pub(super) fn read_all(
        &mut self,
        content: Option<Value>,
        place: &str,
        speaker: Role,
    ) -> Result<Vec<Part>, Refusal> {
        match content {
            None => Ok(Vec::new()),
            Some(Value::String(text)) if text.is_empty() => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![Part::text(text)]),
            Some(Value::Array(blocks)) => {
                let mut parts = Vec::with_capacity(blocks.len());
                for (index, block) in blocks.into_iter().enumerate() {
                    self.read(block, &format!("{place}[{index}]"), speaker, &mut parts)?;
                }
                Ok(parts)
            }
            Some(_) => Err(wrong(place, "a string or an array of blocks")),
        }
    }

    fn read(
        &mut self,
        block: Value,
        place: &str,
        speaker: Role,
        parts: &mut Vec<Part>,
    ) -> Result<(), Refusal> {
        let mut members = as_object(block, place)?;
        let kind_place = format!("{place}.type");
        let kind = match members.get("type") {
            Some(Value::String(kind)) => kind.clone(),
            None | Some(Value::Null) => return Err(missing(&kind_place)),
            Some(_) => return Err(wrong(&kind_place, "a string")),
        };
        let fits = match kind.as_str() {
            "image" | "document" | "tool_result" => {
                matches!(speaker, Role::User | Role::Tool | Role::Assistant)
            }
            "thinking" | "redacted_thinking" | "tool_use" => speaker == Role::Assistant,
            _ => true,
        };
        if !fits || (kind == "tool_result" && speaker != Role::User) {
            return Err(Refusal::bad_param(
                "invalid_value",
                &kind_place,
                format!(
                    "A block of type '{kind}' cannot be here: '{kind_place}'. Send it in a message of another role."
                ),
            ));
        }
        // What only this dialect knows stays whole, its mark included.
        if !KNOWN.contains(&kind.as_str()) {
            parts.push(Body::Native(OWN, Value::Object(members)).into());
            return Ok(());
        }
        members.shift_remove("type");
        let cache = cache_mark(&mut members, place)?;
        let mut signature = None;
        let body = match kind.as_str() {
            "text" => Body::Text(Text {
                text: required(&mut members, "text", place)?,
                citations: array(&mut members, "citations", &format!("{place}.citations"))?
                    .unwrap_or_default()
                    .into_iter()
                    .map(read_citation)
                    .collect(),
            }),
            "image" => Body::Media(read_image(&mut members, place)?),
            "document" => match self.document(&mut members, place)? {
                Document::One(media) => Body::Media(media),
                Document::Pieces(pieces) => {
                    let last = pieces.len().saturating_sub(1);
                    parts.extend(pieces.into_iter().enumerate().map(|(index, piece)| Part {
                        cache: if index == last { cache } else { None },
                        ..piece
                    }));
                    return Ok(());
                }
            },
            "thinking" => {
                let thinking = required(&mut members, "thinking", place)?;
                let proof = text(&mut members, "signature", &format!("{place}.signature"))?;
                signature =
                    proof.filter(|proof| !proof.is_empty()).map(|proof| Signature::came_from(OWN, &proof));
                // The proof of what was said before it; see `carried`.
                if thinking.is_empty()
                    && let Some(proof) = signature.as_ref().filter(|proof| carried(proof))
                    && let Some(last) = parts.last_mut().filter(|last| last.signature.is_none())
                {
                    last.signature = Some(proof.clone());
                    return Ok(());
                }
                Body::Reasoning(Reasoning { text: thinking, ..Reasoning::default() })
            }
            "redacted_thinking" => {
                signature = Some(Signature::came_from(OWN, &required(&mut members, "data", place)?));
                Body::Reasoning(Reasoning { redacted: true, ..Reasoning::default() })
            }
            "tool_use" => Body::ToolCall(ToolCall {
                id: required(&mut members, "id", place)?,
                name: required(&mut members, "name", place)?,
                arguments: match take(&mut members, "input") {
                    Some(input @ Value::Object(_)) => input.to_string(),
                    None => return Err(missing(&format!("{place}.input"))),
                    Some(_) => return Err(wrong(&format!("{place}.input"), "an object")),
                },
            }),
            _ => Body::ToolResult(ToolResult {
                id: required(&mut members, "tool_use_id", place)?,
                name: None,
                is_error: flag(&mut members, "is_error", &format!("{place}.is_error"))?.unwrap_or(false),
                parts: {
                    let content = take(&mut members, "content");
                    self.read_all(content, &format!("{place}.content"), Role::Tool)?
                },
            }),
        };
        if kind == "tool_use"
            && members.get("caller").and_then(|caller| caller.get("type")) == Some(&json!("direct"))
        {
            members.shift_remove("caller");
        }
        keep(self.extras, members, place);
        parts.push(Part { body, cache, signature });
        Ok(())
    }

    fn document(&mut self, members: &mut Members, place: &str) -> Result<Document, Refusal> {
        let source_place = format!("{place}.source");
        let mut source = object(members, "source", &source_place)?.ok_or_else(|| missing(&source_place))?;
        let kind = required(&mut source, "type", &source_place)?;
        let mut mime = text(&mut source, "media_type", &format!("{source_place}.media_type"))?;
        let found = match kind.as_str() {
            "base64" => Source::Base64(required(&mut source, "data", &source_place)?),
            "text" => Source::Text(required(&mut source, "data", &source_place)?),
            "url" => Source::Url(required(&mut source, "url", &source_place)?),
            "file" => Source::File(OWN, required(&mut source, "file_id", &source_place)?),
            "content" => {
                mime = Some("text/plain".to_owned());
                let content = take(&mut source, "content");
                let pieces = self.read_all(content, &format!("{source_place}.content"), Role::User)?;
                let texts: Option<Vec<&str>> = pieces
                    .iter()
                    .map(|piece| match &piece.body {
                        Body::Text(text) => Some(text.text.as_str()),
                        _ => None,
                    })
                    .collect();
                match texts {
                    Some(texts) => Source::Text(texts.join("\n\n")),
                    // Pictures in it: the pieces speak for themselves.
                    None => return Ok(Document::Pieces(pieces)),
                }
            }
            other => return Err(unknown_source(other, &source_place)),
        };
        let citations = object(members, "citations", &format!("{place}.citations"))?;
        Ok(Document::One(Media {
            kind: MediaKind::Document,
            source: found,
            mime,
            name: text(members, "title", &format!("{place}.title"))?,
            detail: None,
            citations: citations
                .is_some_and(|citations| citations.get("enabled") == Some(&Value::Bool(true))),
            context: text(members, "context", &format!("{place}.context"))?,
        }))
    }
}

enum Document {
    One(Media),
    Pieces(Vec<Part>),
}

/// Types of blocks that the canonical form has a place for.
const KNOWN: [&str; 7] =
    ["text", "image", "document", "thinking", "redacted_thinking", "tool_use", "tool_result"];

/// Whether a proof that does not belong to thoughts (Gemini signs calls and texts) travels behind its part, as thoughts
/// without words: clients send thoughts back as they came, and leave out members they do not know.
pub(super) fn carried(signature: &Signature) -> bool {
    signature.maker == crate::dialect::Dialect::Gemini
}

/// Keeps what is left of an object for the report of what was dropped.
pub(super) fn keep(extras: &mut Members, members: Members, place: &str) {
    for (name, value) in members.into_iter().filter(|(_, value)| !value.is_null()) {
        extras.insert(format!("{place}.{name}"), value);
    }
}

fn required(members: &mut Members, name: &str, place: &str) -> Result<String, Refusal> {
    let place = format!("{place}.{name}");
    text(members, name, &place)?.ok_or_else(|| missing(&place))
}

fn unknown_source(kind: &str, place: &str) -> Refusal {
    Refusal::bad_param(
        "invalid_value",
        &format!("{place}.type"),
        format!(
            "Invalid value: '{kind}'. Supported sources are 'base64', 'url' and 'file', for documents also 'text' and 'content'."
        ),
    )
}

/// Takes a `cache_control` out.
pub(super) fn cache_mark(members: &mut Members, place: &str) -> Result<Option<CacheMark>, Refusal> {
    let place = format!("{place}.cache_control");
    let Some(mut mark) = object(members, "cache_control", &place)? else { return Ok(None) };
    let ttl_place = format!("{place}.ttl");
    match text(&mut mark, "ttl", &ttl_place)?.as_deref() {
        None | Some("5m") => Ok(Some(CacheMark::FiveMinutes)),
        Some("1h") => Ok(Some(CacheMark::Hour)),
        Some(other) => Err(Refusal::bad_param(
            "invalid_value",
            &ttl_place,
            format!("Invalid value: '{other}'. Supported values are: '5m' and '1h'."),
        )),
    }
}

/// A mark as this dialect writes it.
pub(super) fn show_mark(mark: CacheMark) -> Value {
    match mark {
        CacheMark::FiveMinutes => json!({"type": "ephemeral"}),
        CacheMark::Hour => json!({"type": "ephemeral", "ttl": "1h"}),
    }
}

/// A source of a passage.
pub(super) fn read_citation(citation: Value) -> Citation {
    let text = |name: &str| citation.get(name).and_then(Value::as_str).map(str::to_owned);
    Citation {
        url: text("url").or_else(|| text("source").filter(|source| source.starts_with("http"))),
        title: text("title").or_else(|| text("document_title")),
        quoted: text("cited_text"),
        // The numbers here count in the source, not in the answer.
        start: None,
        end: None,
        native: Some((OWN, citation)),
    }
}

/// A source for a client: its own, or a page of the web.
pub(super) fn show_citation(citation: &Citation) -> Option<Value> {
    if let Some((OWN, native)) = &citation.native {
        return Some(native.clone());
    }
    let url = citation.url.as_ref()?;
    Some(json!({
        "type": "web_search_result_location", "url": url, "title": citation.title,
        "cited_text": citation.quoted.as_deref().unwrap_or_default(), "encrypted_index": "",
    }))
}

fn read_image(members: &mut Members, place: &str) -> Result<Media, Refusal> {
    let place = format!("{place}.source");
    let mut source = object(members, "source", &place)?.ok_or_else(|| missing(&place))?;
    match required(&mut source, "type", &place)?.as_str() {
        "base64" => {
            let mime = required(&mut source, "media_type", &place)?;
            let data = required(&mut source, "data", &place)?;
            Ok(Media::new(MediaKind::Image, Source::Base64(data), Some(mime)))
        }
        "url" => Ok(Media::of_url(MediaKind::Image, &required(&mut source, "url", &place)?)),
        "file" => {
            let id = required(&mut source, "file_id", &place)?;
            Ok(Media::new(MediaKind::Image, Source::File(OWN, id), None))
        }
        other => Err(unknown_source(other, &place)),
    }
}

/// A call's arguments as the object this dialect demands. What is none is kept as Anthropic's guide keeps invalid JSON
/// (<https://docs.claude.com/en/docs/agents-and-tools/tool-use/fine-grained-tool-streaming>, read 2026-11-21).
pub(super) fn input_of(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return json!({});
    }
    match serde_json::from_str(arguments) {
        Ok(input @ Value::Object(_)) => input,
        _ => json!({"INVALID_JSON": arguments}),
    }
}

/// A block of an answer; `None` for what is no block at all.
pub(super) fn read_answer(block: Value) -> Option<Part> {
    let kind = block.get("type")?.as_str()?;
    let text = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut signature = None;
    let body = match kind {
        "text" => {
            let citations = block.get("citations").and_then(Value::as_array);
            let citations = citations.into_iter().flatten().cloned().map(read_citation).collect();
            Body::Text(Text { text: text("text"), citations })
        }
        "thinking" => {
            signature = read_proof(&text("signature"));
            Body::Reasoning(Reasoning { text: text("thinking"), ..Reasoning::default() })
        }
        "redacted_thinking" => {
            signature = read_proof(&text("data"));
            Body::Reasoning(Reasoning { redacted: true, ..Reasoning::default() })
        }
        "tool_use" => Body::ToolCall(ToolCall {
            id: text("id"),
            name: text("name"),
            arguments: block.get("input").map_or_else(|| "{}".to_owned(), Value::to_string),
        }),
        _ => Body::Native(OWN, block),
    };
    Some(Part { body, cache: None, signature })
}

/// A provider's proof; none where the text is empty.
pub(super) fn read_proof(text: &str) -> Option<Signature> {
    (!text.is_empty()).then(|| Signature { maker: OWN, text: text.to_owned() })
}
