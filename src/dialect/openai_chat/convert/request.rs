//! A chat request to and from the canonical form.

use super::{cache_mark, call_signature, show_call_signature};
use crate::{
    dialect::{
        Dialect, Order, Written,
        json::{array, as_object, flag, missing, number, object, object_of, take, text, texts, whole, wrong},
    },
    model::{
        part::{Body, CacheMark, Media, MediaKind, Part, Reasoning, Signature, Source, ToolCall, ToolResult},
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
        temperature: number(&mut members, "temperature", "temperature")?,
        top_p: number(&mut members, "top_p", "top_p")?,
        top_k: number(&mut members, "top_k", "top_k")?,
        presence_penalty: number(&mut members, "presence_penalty", "presence_penalty")?,
        frequency_penalty: number(&mut members, "frequency_penalty", "frequency_penalty")?,
        seed: number(&mut members, "seed", "seed")?,
        stop: texts(&mut members, "stop", "stop")?,
        choices: whole(&mut members, "n", "n")?.filter(|count| *count != 1),
        logprobs: flag(&mut members, "logprobs", "logprobs")?.unwrap_or(false),
        top_logprobs: whole(&mut members, "top_logprobs", "top_logprobs")?,
        logit_bias: take(&mut members, "logit_bias"),
    };
    request.thinking = read_thinking(&mut members)?;
    request.user = text(&mut members, "user", "user")?;
    request.service_tier = text(&mut members, "service_tier", "service_tier")?;
    request.metadata = object(&mut members, "metadata", "metadata")?.unwrap_or_default();
    request.extras = members;
    Ok(request)
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

/// A request for a provider that speaks chat. Output cap, usage of streams and service tier are edited in afterwards, as in
/// a caller's own bytes.
#[must_use]
pub fn write(request: &Request, order: &Order<'_>) -> Written {
    let mut written = Written::default();
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(order.model));
    let mut messages = Vec::new();
    for (index, turn) in request.turns.iter().enumerate() {
        write_turn(turn, &format!("messages[{index}]"), order, &mut messages, &mut written);
    }
    body.insert("messages".to_owned(), Value::Array(messages));
    if request.stream {
        body.insert("stream".to_owned(), json!(true));
    }
    write_tools(request, &mut body, &mut written);
    if let Some(format) = &request.format {
        body.insert("response_format".to_owned(), write_format(format));
    }
    if let Some(cap) = order.output_cap.or(request.output_cap) {
        body.insert("max_tokens".to_owned(), json!(cap));
    }
    write_sampling(&request.sampling, order, &mut body, &mut written);
    if let Some(thinking) = &request.thinking
        && let Some(effort) = effort_of(thinking)
    {
        body.insert("reasoning_effort".to_owned(), json!(effort));
    }
    if let Some(user) = &request.user {
        body.insert("user".to_owned(), json!(user));
    }
    match &request.service_tier {
        Some(tier) if matches!(tier.as_str(), "auto" | "default" | "flex" | "priority" | "scale") => {
            body.insert("service_tier".to_owned(), json!(tier));
        }
        Some(_) => written.dropped.push("service_tier".to_owned()),
        None => {}
    }
    if request.dialect == OWN {
        for (name, value) in &request.extras {
            body.insert(name.clone(), value.clone());
        }
        if !request.metadata.is_empty() {
            body.insert("metadata".to_owned(), Value::Object(request.metadata.clone()));
        }
    } else {
        written.dropped.extend(request.extras.keys().cloned());
    }
    written.body = Value::Object(body).to_string().into_bytes();
    written
}

fn effort_of(thinking: &Thinking) -> Option<String> {
    if thinking.enabled == Some(false) {
        return Some("none".to_owned());
    }
    let of_budget = || thinking.budget_tokens.map(|tokens| Thinking::effort_of_budget(tokens).to_owned());
    thinking.effort.clone().or_else(of_budget)
}

fn write_turn(turn: &Turn, place: &str, order: &Order<'_>, messages: &mut Vec<Value>, written: &mut Written) {
    let role = match turn.role {
        Role::System => "system",
        Role::Developer if order.kind == "openai" || order.kind == "azure" => "developer",
        Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => {
            messages.push(write_assistant(turn, place, written));
            return;
        }
        Role::Tool => {
            write_results(turn, place, order, messages, written);
            return;
        }
    };
    let content = write_content(&turn.parts, place, order, written);
    let mut message = json!({"role": role, "content": content});
    if let (Some(name), Some(members)) = (&turn.name, message.as_object_mut()) {
        members.insert("name".to_owned(), json!(name));
    }
    messages.push(message);
}

/// A text alone stays a text: some servers take nothing else.
fn write_content(parts: &[Part], place: &str, order: &Order<'_>, written: &mut Written) -> Value {
    if let [Part { body: Body::Text(text), cache: None, .. }] = parts {
        return json!(text.text);
    }
    let parts = parts
        .iter()
        .enumerate()
        .filter_map(|(index, part)| write_part(part, &format!("{place}.content[{index}]"), order, written));
    Value::Array(parts.collect())
}

fn write_part(part: &Part, place: &str, order: &Order<'_>, written: &mut Written) -> Option<Value> {
    let mut refuse = |what: &str| {
        written.refused.push(format!("{place} ({what})"));
        None
    };
    let mut value = match &part.body {
        Body::Text(text) => json!({"type": "text", "text": text.text}),
        Body::Refusal(text) => json!({"type": "refusal", "refusal": text}),
        Body::Native(OWN, value) => value.clone(),
        Body::Native(..) => {
            written.dropped.push(place.to_owned());
            return None;
        }
        Body::Media(media) => match media.kind {
            MediaKind::Image | MediaKind::Video => {
                let name = if media.kind == MediaKind::Image { "image_url" } else { "video_url" };
                let Some(url) = media.to_url() else { return refuse("a file of another provider") };
                let mut image = json!({"url": url});
                if let (Some(detail), Some(image)) = (&media.detail, image.as_object_mut()) {
                    image.insert("detail".to_owned(), json!(detail));
                }
                json!({"type": name, name: image})
            }
            MediaKind::Audio => {
                let Source::Base64(data) = &media.source else {
                    return refuse("audio that is not in the request");
                };
                let format = match media.mime.as_deref() {
                    Some("audio/mpeg" | "audio/mp3") => "mp3",
                    Some(mime) => mime.strip_prefix("audio/").unwrap_or("wav").trim_start_matches("x-"),
                    None => "wav",
                };
                json!({"type": "input_audio", "input_audio": {"data": data, "format": format}})
            }
            MediaKind::Document => match &media.source {
                Source::Text(text) => json!({"type": "text", "text": text}),
                Source::File(OWN, id) => json!({"type": "file", "file": {"file_id": id}}),
                Source::Base64(_) => {
                    let name = media.name.clone().unwrap_or_else(|| "document.pdf".to_owned());
                    json!({"type": "file", "file": {"filename": name, "file_data": media.to_url()}})
                }
                Source::Url(_) | Source::File(..) => return refuse("a document that is not in the request"),
            },
        },
        // Thoughts are a member of the message, calls and results have places of their own.
        Body::Reasoning(_) | Body::ToolCall(_) | Body::ToolResult(_) => return None,
    };
    if let (Some(mark), Some(members)) = (part.cache, value.as_object_mut())
        && matches!(order.kind, "openrouter" | "alibaba")
    {
        members.insert("cache_control".to_owned(), write_mark(mark));
    }
    Some(value)
}

fn write_mark(mark: CacheMark) -> Value {
    match mark {
        CacheMark::FiveMinutes => json!({"type": "ephemeral"}),
        CacheMark::Hour => json!({"type": "ephemeral", "ttl": "1h"}),
    }
}

fn write_assistant(turn: &Turn, place: &str, written: &mut Written) -> Value {
    let mut message = Map::new();
    message.insert("role".to_owned(), json!("assistant"));
    let mut said = String::new();
    let (mut refusal, mut thoughts) = (String::new(), String::new());
    let mut calls = Vec::new();
    for (index, part) in turn.parts.iter().enumerate() {
        match &part.body {
            Body::Text(text) => said.push_str(&text.text),
            Body::Refusal(text) => refusal.push_str(text),
            Body::Reasoning(reasoning)
                if part.signature.as_ref().is_some_and(|signature| signature.maker == OWN) =>
            {
                thoughts.push_str(&reasoning.text);
            }
            Body::Reasoning(_) => {}
            Body::ToolCall(call) => {
                let id = if call.id.is_empty() { made_up_id(calls.len()) } else { call.id.clone() };
                let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
                let mut value = json!({"id": id, "type": "function",
                                       "function": {"name": call.name, "arguments": arguments}});
                if let (Some(shown), Some(members)) = (show_call_signature(part), value.as_object_mut()) {
                    members.insert("extra_content".to_owned(), shown);
                }
                calls.push(value);
            }
            Body::Native(OWN, value) if value.get("type").and_then(Value::as_str) == Some("audio") => {
                message.insert("audio".to_owned(), value.get("audio").cloned().unwrap_or_default());
            }
            Body::Native(OWN, value) => calls.push(value.clone()),
            Body::Media(_) | Body::ToolResult(_) | Body::Native(..) => {
                written.dropped.push(format!("{place}.content[{index}]"));
            }
        }
    }
    let content =
        if said.is_empty() && !(calls.is_empty() && refusal.is_empty()) { Value::Null } else { json!(said) };
    message.insert("content".to_owned(), content);
    if let Some(name) = &turn.name {
        message.insert("name".to_owned(), json!(name));
    }
    if !refusal.is_empty() {
        message.insert("refusal".to_owned(), json!(refusal));
    }
    if !thoughts.is_empty() {
        message.insert("reasoning_content".to_owned(), json!(thoughts));
    }
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    Value::Object(message)
}

/// An id for a call whose provider gave none. The place makes it the same whenever the conversation is written.
fn made_up_id(index: usize) -> String {
    format!("call_{index}")
}

/// A message for each result. What chat has no place for in a result (images, documents) follows in a user's message, as
/// OpenAI's own guide has it for images.
fn write_results(
    turn: &Turn,
    place: &str,
    order: &Order<'_>,
    messages: &mut Vec<Value>,
    written: &mut Written,
) {
    let mut shown = Vec::new();
    let mut count = 0usize;
    for (index, part) in turn.parts.iter().enumerate() {
        let place = format!("{place}.content[{index}]");
        let Body::ToolResult(result) = &part.body else {
            written.dropped.push(place);
            continue;
        };
        let mut texts = Vec::new();
        for (inner, part) in result.parts.iter().enumerate() {
            match &part.body {
                Body::Text(text) => texts.push(text.text.clone()),
                Body::Native(_, value) => texts.push(value.to_string()),
                _ => {
                    let place = format!("{place}.content[{inner}]");
                    if let Some(value) = write_part(part, &place, order, written) {
                        shown.push(
                            json!({"type": "text", "text": format!("Result of the call {}:", result.id)}),
                        );
                        shown.push(value);
                    }
                }
            }
        }
        let id = if result.id.is_empty() { made_up_id(count) } else { result.id.clone() };
        count += 1;
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": texts.join("\n")}));
    }
    if !shown.is_empty() {
        messages.push(json!({"role": "user", "content": shown}));
    }
}

fn write_tools(request: &Request, body: &mut Map<String, Value>, written: &mut Written) {
    let mut tools = Vec::new();
    for (index, tool) in request.tools.iter().enumerate() {
        match tool {
            Tool::Function(function) => {
                let mut value = json!({"name": function.name});
                if let Some(members) = value.as_object_mut() {
                    if let Some(description) = &function.description {
                        members.insert("description".to_owned(), json!(description));
                    }
                    if let Some(parameters) = &function.parameters {
                        members.insert("parameters".to_owned(), parameters.clone());
                    }
                    if let Some(strict) = function.strict {
                        members.insert("strict".to_owned(), json!(strict));
                    }
                }
                tools.push(json!({"type": "function", "function": value}));
            }
            Tool::Native(OWN, value) => tools.push(value.clone()),
            Tool::Native(..) => written.refused.push(format!("tools[{index}]")),
        }
    }
    if tools.is_empty() {
        return;
    }
    body.insert("tools".to_owned(), Value::Array(tools));
    if let Some(choice) = &request.tool_choice {
        let function = |name: &str| json!({"type": "function", "function": {"name": name}});
        body.insert(
            "tool_choice".to_owned(),
            match choice {
                ToolChoice::Auto => json!("auto"),
                ToolChoice::None => json!("none"),
                ToolChoice::Required => json!("required"),
                ToolChoice::Function(name) => function(name),
                ToolChoice::Allowed { names, required } => {
                    let tools: Vec<Value> = names.iter().map(|name| function(name)).collect();
                    let mode = if *required { "required" } else { "auto" };
                    json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}})
                }
            },
        );
    }
    if let Some(parallel) = request.parallel_tool_calls {
        body.insert("parallel_tool_calls".to_owned(), json!(parallel));
    }
}

fn write_format(format: &Format) -> Value {
    match format {
        Format::Json => json!({"type": "json_object"}),
        Format::Schema { name, description, schema, strict } => {
            let mut inner = json!({"name": name.as_deref().unwrap_or("response"), "schema": schema});
            if let Some(members) = inner.as_object_mut() {
                if let Some(description) = description {
                    members.insert("description".to_owned(), json!(description));
                }
                if let Some(strict) = strict {
                    members.insert("strict".to_owned(), json!(strict));
                }
            }
            json!({"type": "json_schema", "json_schema": inner})
        }
    }
}

fn write_sampling(
    sampling: &Sampling,
    order: &Order<'_>,
    body: &mut Map<String, Value>,
    written: &mut Written,
) {
    let numbers = [
        ("temperature", &sampling.temperature),
        ("top_p", &sampling.top_p),
        ("presence_penalty", &sampling.presence_penalty),
        ("frequency_penalty", &sampling.frequency_penalty),
        ("seed", &sampling.seed),
        ("logit_bias", &sampling.logit_bias),
    ];
    for (name, value) in numbers {
        if let Some(value) = value {
            body.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(top_k) = &sampling.top_k {
        // Open servers and aggregators take it; these answer 400 to a member they do not know.
        if matches!(order.kind, "openai" | "azure" | "mistral" | "groq" | "cerebras" | "xai") {
            written.dropped.push("top_k".to_owned());
        } else {
            body.insert("top_k".to_owned(), top_k.clone());
        }
    }
    if !sampling.stop.is_empty() {
        body.insert("stop".to_owned(), json!(sampling.stop));
    }
    if let Some(choices) = sampling.choices {
        body.insert("n".to_owned(), json!(choices));
    }
    if sampling.logprobs {
        body.insert("logprobs".to_owned(), json!(true));
    }
    if let Some(top) = sampling.top_logprobs {
        body.insert("top_logprobs".to_owned(), json!(top));
    }
}
