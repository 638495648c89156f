//! A chat request to and from the canonical form.

mod ids;
mod write;

pub use write::write;

use super::{cache_mark, call_signature, response::read_chunk, show_call_signature};
use crate::{
    dialect::{
        Dialect,
        json::{array, as_object, flag, missing, number, object, object_of, take, text, texts, whole, wrong},
    },
    model::{
        part::{Body, Media, MediaKind, Part, Reasoning, Signature, Source, ToolCall, ToolResult},
        request::{Format, Function, Request, Role, Sampling, Thinking, Tool, ToolChoice, Turn},
    },
    refusal::Refusal,
};
use serde_json::{Map, Value, json};

const OWN: Dialect = Dialect::OpenAiChat;

/// A client's request.
///
/// # Errors
/// 400 in the caller's terms.
pub fn read(body: &[u8], _path: Option<(&str, bool)>) -> Result<Request, Refusal> {
    let mut members = object_of(body)?;
    let model = text(&mut members, "model", "model")?.ok_or_else(|| missing("model"))?;
    let mut request = Request::new(OWN, model);
    request.stream = flag(&mut members, "stream", "stream")?.unwrap_or(false);
    // Asked for again, if the provider has it, by whoever needs the count.
    take(&mut members, "stream_options");
    let turns = array(&mut members, "messages", "messages")?.ok_or_else(|| missing("messages"))?;
    for (index, turn) in turns.into_iter().enumerate() {
        let place = format!("messages[{index}]");
        request.turns.push(read_turn(as_object(turn, &place)?, &place)?);
    }
    request.tools = read_tools(&mut members)?;
    request.tool_choice = take(&mut members, "tool_choice").map(read_choice).transpose()?;
    request.parallel_tool_calls = flag(&mut members, "parallel_tool_calls", "parallel_tool_calls")?;
    request.format =
        object(&mut members, "response_format", "response_format")?.map(read_format).transpose()?.flatten();
    let cap = whole(&mut members, "max_tokens", "max_tokens")?;
    let newer = whole(&mut members, "max_completion_tokens", "max_completion_tokens")?;
    request.output_cap = cap.max(newer);
    request.sampling = Sampling {
        logprobs: flag(&mut members, "logprobs", "logprobs")?.unwrap_or(false),
        top_logprobs: whole(&mut members, "top_logprobs", "top_logprobs")?,
        ..read_sampling(&mut members)?
    };
    request.thinking = read_thinking(&mut members)?;
    request.user = text(&mut members, "user", "user")?;
    request.service_tier = text(&mut members, "service_tier", "service_tier")?;
    request.metadata = object(&mut members, "metadata", "metadata")?.unwrap_or_default();
    request.extras = members;
    Ok(request)
}

/// How the next token is chosen, but for log probabilities, which the older completions have in another form.
pub(in crate::dialect) fn read_sampling(members: &mut Map<String, Value>) -> Result<Sampling, Refusal> {
    Ok(Sampling {
        temperature: number(members, "temperature", "temperature")?,
        top_p: number(members, "top_p", "top_p")?,
        top_k: number(members, "top_k", "top_k")?,
        presence_penalty: number(members, "presence_penalty", "presence_penalty")?,
        frequency_penalty: number(members, "frequency_penalty", "frequency_penalty")?,
        seed: number(members, "seed", "seed")?,
        stop: texts(members, "stop", "stop")?,
        choices: whole(members, "n", "n")?.filter(|count| *count != 1),
        logit_bias: take(members, "logit_bias"),
        ..Sampling::default()
    })
}

fn read_turn(mut members: Map<String, Value>, place: &str) -> Result<Turn, Refusal> {
    let role_place = format!("{place}.role");
    let role = text(&mut members, "role", &role_place)?.ok_or_else(|| missing(&role_place))?;
    let content_place = format!("{place}.content");
    let mut parts = match take(&mut members, "content") {
        None => Vec::new(),
        Some(Value::String(text)) => vec![Part::text(text)],
        Some(Value::Array(items)) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| {
                let place = format!("{content_place}[{index}]");
                read_part(as_object(item, &place)?, &place)
            })
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(wrong(&content_place, "a string or an array of parts")),
    };
    let name = text(&mut members, "name", &format!("{place}.name"))?;
    let role = match role.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => {
            parts = read_assistant(&mut members, parts, place)?;
            Role::Assistant
        }
        "tool" | "function" => {
            let id_place = format!("{place}.tool_call_id");
            let id = text(&mut members, "tool_call_id", &id_place)?;
            let id = match (id, role.as_str()) {
                (Some(id), _) => id,
                (None, "function") => String::new(),
                (None, _) => return Err(missing(&id_place)),
            };
            let cache = parts.last().and_then(|part| part.cache);
            let result = Body::ToolResult(ToolResult { id, name, parts, is_error: false });
            let part = Part { cache, ..result.into() };
            return Ok(Turn::new(Role::Tool, vec![part]));
        }
        other => {
            return Err(Refusal::bad_param(
                "invalid_value",
                &role_place,
                format!(
                    "Invalid value: '{other}'. Supported values are: 'system', 'developer', 'user', 'assistant' and 'tool'."
                ),
            ));
        }
    };
    Ok(Turn { role, name, parts })
}

/// Thoughts come before what was said, calls after it.
fn read_assistant(
    members: &mut Map<String, Value>,
    said: Vec<Part>,
    place: &str,
) -> Result<Vec<Part>, Refusal> {
    let mut parts = read_thoughts(members);
    parts.extend(said);
    let pictures_place = format!("{place}.images");
    let pictures = array(members, "images", &pictures_place)?.unwrap_or_default();
    for (index, picture) in pictures.iter().enumerate() {
        let expected = || wrong(&format!("{pictures_place}[{index}]"), "an object with image_url.url");
        parts.push(super::read_picture(picture).ok_or_else(expected)?);
    }
    if let Some(refusal) = text(members, "refusal", &format!("{place}.refusal"))? {
        parts.push(Body::Refusal(refusal).into());
    }
    let calls_place = format!("{place}.tool_calls");
    for (index, call) in
        array(members, "tool_calls", &calls_place)?.unwrap_or_default().into_iter().enumerate()
    {
        let place = format!("{calls_place}[{index}]");
        let call = as_object(call, &place)?;
        let signature = call_signature(&call);
        let body = match call.get("function").and_then(Value::as_object) {
            Some(function) => Body::ToolCall(ToolCall {
                id: call.get("id").and_then(Value::as_str).unwrap_or_default().to_owned(),
                name: function
                    .get("name")
                    .and_then(Value::as_str)
                    .ok_or_else(|| missing(&format!("{place}.function.name")))?
                    .to_owned(),
                arguments: arguments(function.get("arguments")),
            }),
            None => Body::Native(OWN, Value::Object(call)),
        };
        parts.push(Part { body, cache: None, signature });
    }
    if let Some(call) = object(members, "function_call", &format!("{place}.function_call"))? {
        let name = call.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let call = ToolCall { id: String::new(), name, arguments: arguments(call.get("arguments")) };
        parts.push(Body::ToolCall(call).into());
    }
    if let Some(audio) = take(members, "audio") {
        parts.push(Body::Native(OWN, json!({"type": "audio", "audio": audio})).into());
    }
    Ok(parts)
}

fn arguments(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        // Some servers and clients send the object itself.
        Some(value) => value.to_string(),
    }
}

/// `reasoning_details`, else `reasoning_content`, else `reasoning`.
pub(super) fn read_thoughts(members: &mut Map<String, Value>) -> Vec<Part> {
    let plain = take(members, "reasoning_content");
    let plain = plain.or_else(|| take(members, "reasoning"));
    let details = match take(members, "reasoning_details") {
        Some(Value::Array(details)) => details,
        _ => Vec::new(),
    };
    let parts: Vec<Part> = details.iter().filter_map(read_detail).collect();
    if !parts.is_empty() {
        return parts;
    }
    match plain {
        Some(Value::String(text)) if !text.is_empty() => vec![Part {
            body: Body::Reasoning(Reasoning { text, ..Reasoning::default() }),
            cache: None,
            // Nothing proves them, but some providers want them back: they are known as theirs.
            signature: Some(Signature { maker: OWN, text: String::new() }),
        }],
        _ => Vec::new(),
    }
}

fn read_detail(detail: &Value) -> Option<Part> {
    let member = |name: &str| detail.get(name).and_then(Value::as_str).map(str::to_owned);
    let maker = match detail.get("format").and_then(Value::as_str).unwrap_or_default() {
        format if format.starts_with("anthropic") => Dialect::Anthropic,
        format if format.starts_with("google") => Dialect::Gemini,
        format if format.starts_with("openai-responses") => Dialect::OpenAiResponses,
        format if format.starts_with("amazon") => Dialect::Bedrock,
        _ => OWN,
    };
    let id = member("id");
    let signature = |text: String| Some(Signature { maker, text });
    let (reasoning, signature) = match detail.get("type").and_then(Value::as_str)? {
        "reasoning.text" => {
            let text = member("text").unwrap_or_default();
            (Reasoning { text, id, ..Reasoning::default() }, member("signature").and_then(signature))
        }
        "reasoning.summary" => {
            let text = member("summary").unwrap_or_default();
            let reasoning = Reasoning { text, id, summary: true, redacted: false };
            (reasoning, member("signature").and_then(signature))
        }
        "reasoning.encrypted" => {
            let redacted = maker == Dialect::Anthropic;
            (
                Reasoning { text: String::new(), id, summary: false, redacted },
                member("data").and_then(signature),
            )
        }
        _ => return None,
    };
    Some(Part { body: Body::Reasoning(reasoning), cache: None, signature })
}

/// Thoughts as `reasoning_details`.
pub(super) fn show_detail(reasoning: &Reasoning, signature: Option<&Signature>, index: usize) -> Value {
    let format = match signature.map(|signature| signature.maker) {
        Some(Dialect::Anthropic) => "anthropic-claude-v1",
        Some(Dialect::Gemini) => "google-gemini-v1",
        Some(Dialect::OpenAiResponses) => "openai-responses-v1",
        Some(Dialect::Bedrock) => "amazon-bedrock-v1",
        _ => "unknown",
    };
    let proof = signature.map(|signature| signature.text.as_str()).filter(|text| !text.is_empty());
    let mut detail = if reasoning.text.is_empty() && proof.is_some() {
        json!({"type": "reasoning.encrypted", "data": proof})
    } else if reasoning.summary {
        json!({"type": "reasoning.summary", "summary": reasoning.text, "signature": proof})
    } else {
        json!({"type": "reasoning.text", "text": reasoning.text, "signature": proof})
    };
    if let Value::Object(members) = &mut detail {
        if proof.is_none() {
            members.shift_remove("signature");
        }
        if let Some(id) = &reasoning.id {
            members.insert("id".to_owned(), json!(id));
        }
        members.insert("format".to_owned(), json!(format));
        members.insert("index".to_owned(), json!(index));
    }
    detail
}

fn read_part(mut members: Map<String, Value>, place: &str) -> Result<Part, Refusal> {
    let kind_place = format!("{place}.type");
    let kind = text(&mut members, "type", &kind_place)?.ok_or_else(|| missing(&kind_place))?;
    let cache = cache_mark(members.get("cache_control"));
    let inner = |members: &mut Map<String, Value>, name: &str| -> Result<Map<String, Value>, Refusal> {
        let place = format!("{place}.{name}");
        object(members, name, &place)?.ok_or_else(|| missing(&place))
    };
    let body = match kind.as_str() {
        "text" => {
            let place = format!("{place}.text");
            return Ok(Part {
                cache,
                ..Part::text(text(&mut members, "text", &place)?.ok_or_else(|| missing(&place))?)
            });
        }
        "refusal" => {
            Body::Refusal(text(&mut members, "refusal", &format!("{place}.refusal"))?.unwrap_or_default())
        }
        "image_url" | "video_url" => {
            let media = if kind == "image_url" { MediaKind::Image } else { MediaKind::Video };
            let (url, detail) = match take(&mut members, &kind) {
                Some(Value::String(url)) => (url, None),
                Some(Value::Object(mut image)) => {
                    let place = format!("{place}.{kind}.url");
                    let url = text(&mut image, "url", &place)?.ok_or_else(|| missing(&place))?;
                    (url, text(&mut image, "detail", &format!("{place}.detail"))?)
                }
                _ => return Err(missing(&format!("{place}.{kind}"))),
            };
            Body::Media(Media { detail, ..Media::of_url(media, &url) })
        }
        "input_audio" => {
            let mut audio = inner(&mut members, "input_audio")?;
            let data_place = format!("{place}.input_audio.data");
            let data = text(&mut audio, "data", &data_place)?.ok_or_else(|| missing(&data_place))?;
            let format = text(&mut audio, "format", &format!("{place}.input_audio.format"))?;
            let mime = format.map(|format| match format.as_str() {
                "mp3" => "audio/mpeg".to_owned(),
                other => format!("audio/{other}"),
            });
            Body::Media(Media::new(MediaKind::Audio, Source::Base64(data), mime))
        }
        "file" => {
            let mut file = inner(&mut members, "file")?;
            let name = text(&mut file, "filename", &format!("{place}.file.filename"))?;
            let data = text(&mut file, "file_data", &format!("{place}.file.file_data"))?;
            let id = text(&mut file, "file_id", &format!("{place}.file.file_id"))?;
            let media = match (data, id) {
                (Some(data), _) => {
                    let mut media = Media::of_url(MediaKind::Document, &data);
                    if !data.starts_with("data:") && !data.starts_with("http") {
                        media.source = Source::Base64(data);
                    }
                    media.mime.get_or_insert_with(|| "application/pdf".to_owned());
                    media
                }
                (None, Some(id)) => Media::new(MediaKind::Document, Source::File(OWN, id), None),
                (None, None) => return Err(missing(&format!("{place}.file.file_data"))),
            };
            Body::Media(Media { name, ..media })
        }
        "thinking" => {
            members.insert("type".to_owned(), kind.into());
            let value = Value::Object(members);
            return Ok(read_chunk(&value).unwrap_or_else(|| Body::Native(OWN, value).into()));
        }
        _ => {
            members.insert("type".to_owned(), kind.into());
            Body::Native(OWN, Value::Object(members))
        }
    };
    Ok(Part { body, cache, signature: None })
}

fn read_tools(members: &mut Map<String, Value>) -> Result<Vec<Tool>, Refusal> {
    let mut tools = Vec::new();
    for (index, tool) in array(members, "tools", "tools")?.unwrap_or_default().into_iter().enumerate() {
        let place = format!("tools[{index}]");
        let mut tool = as_object(tool, &place)?;
        if tool.get("type").and_then(Value::as_str).is_some_and(|kind| kind != "function") {
            tools.push(Tool::Native(OWN, Value::Object(tool)));
            continue;
        }
        let cache = cache_mark(tool.get("cache_control"));
        let function_place = format!("{place}.function");
        let function =
            object(&mut tool, "function", &function_place)?.ok_or_else(|| missing(&function_place))?;
        let function = read_function(function, &function_place)?;
        tools.push(Tool::Function(Function { cache, ..function }));
    }
    for (index, function) in
        array(members, "functions", "functions")?.unwrap_or_default().into_iter().enumerate()
    {
        let place = format!("functions[{index}]");
        tools.push(Tool::Function(read_function(as_object(function, &place)?, &place)?));
    }
    Ok(tools)
}

fn read_function(mut members: Map<String, Value>, place: &str) -> Result<Function, Refusal> {
    let name_place = format!("{place}.name");
    Ok(Function {
        name: text(&mut members, "name", &name_place)?.ok_or_else(|| missing(&name_place))?,
        description: text(&mut members, "description", &format!("{place}.description"))?,
        parameters: take(&mut members, "parameters"),
        strict: flag(&mut members, "strict", &format!("{place}.strict"))?,
        cache: None,
    })
}

fn read_choice(value: Value) -> Result<ToolChoice, Refusal> {
    let expected = || {
        wrong(
            "tool_choice",
            "'auto', 'none', 'required' or an object such as {\"type\": \"function\", \"function\": {\"name\": \"…\"}}",
        )
    };
    let name_of = |tool: &Value| {
        let function = tool.get("function").unwrap_or(tool);
        function.get("name").and_then(Value::as_str).map(str::to_owned)
    };
    match &value {
        Value::String(word) => match word.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            // Mistral's word.
            "required" | "any" => Ok(ToolChoice::Required),
            _ => Err(expected()),
        },
        Value::Object(_) if value.get("type").and_then(Value::as_str) == Some("allowed_tools") => {
            let allowed = value.get("allowed_tools").ok_or_else(expected)?;
            let tools = allowed.get("tools").and_then(Value::as_array).ok_or_else(expected)?;
            let names = tools.iter().map(name_of).collect::<Option<Vec<_>>>().ok_or_else(expected)?;
            let required = allowed.get("mode").and_then(Value::as_str) == Some("required");
            Ok(ToolChoice::Allowed { names, required })
        }
        Value::Object(_) => name_of(&value).map(ToolChoice::Function).ok_or_else(expected),
        _ => Err(expected()),
    }
}

fn read_format(mut members: Map<String, Value>) -> Result<Option<Format>, Refusal> {
    let kind = text(&mut members, "type", "response_format.type")?;
    Ok(match kind.as_deref() {
        None | Some("text") => None,
        Some("json_object") => Some(Format::Json),
        Some("json_schema") => {
            let place = "response_format.json_schema";
            let mut schema = object(&mut members, "json_schema", place)?.ok_or_else(|| missing(place))?;
            Some(Format::Schema {
                name: text(&mut schema, "name", &format!("{place}.name"))?,
                description: text(&mut schema, "description", &format!("{place}.description"))?,
                strict: flag(&mut schema, "strict", &format!("{place}.strict"))?,
                schema: take(&mut schema, "schema").unwrap_or_else(|| json!({})),
            })
        }
        Some(other) => {
            return Err(Refusal::bad_param(
                "invalid_value",
                "response_format.type",
                format!(
                    "Invalid value: '{other}'. Supported values are: 'text', 'json_object' and 'json_schema'."
                ),
            ));
        }
    })
}

/// `reasoning_effort`, OpenRouter's `reasoning` object, and Anthropic's `thinking` as LiteLLM's clients send it.
fn read_thinking(members: &mut Map<String, Value>) -> Result<Option<Thinking>, Refusal> {
    let effort = text(members, "reasoning_effort", "reasoning_effort")?;
    let mut thinking = Thinking { effort, ..Thinking::default() };
    if let Some(mut wished) = object(members, "reasoning", "reasoning")? {
        if let Some(effort) = text(&mut wished, "effort", "reasoning.effort")? {
            thinking.effort = Some(effort);
        }
        thinking.budget_tokens = whole(&mut wished, "max_tokens", "reasoning.max_tokens")?;
        thinking.enabled = flag(&mut wished, "enabled", "reasoning.enabled")?;
        thinking.shown = flag(&mut wished, "exclude", "reasoning.exclude")?.map(|hidden| !hidden);
    }
    if members.get("thinking").is_some_and(Value::is_object)
        && let Some(mut wished) = object(members, "thinking", "thinking")?
    {
        let kind = text(&mut wished, "type", "thinking.type")?;
        thinking.enabled = Some(kind.as_deref() != Some("disabled"));
        thinking.adaptive = kind.as_deref() == Some("adaptive");
        thinking.budget_tokens = whole(&mut wished, "budget_tokens", "thinking.budget_tokens")?;
    }
    Ok((thinking != Thinking::default()).then_some(thinking))
}
