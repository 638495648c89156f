//! A client's request.

use super::super::{Cited, citation, cited, signature};
use crate::{
    dialect::{
        Dialect,
        members::{Members, missing, unfit, wrong},
    },
    model::{
        part::{Body, Media, MediaKind, Part, Reasoning, Source, Text, ToolCall, ToolResult},
        request::{Format, Function, Request, Role, Thinking, Tool, ToolChoice, Turn},
    },
    refusal::Refusal,
};
use serde_json::Value;

/// Reads a body of `/v2/chat`.
///
/// # Errors
/// A member that is missing, of the wrong type, or none of the values it may have.
pub fn read(body: &[u8], path: Option<(&str, bool)>) -> Result<Request, Refusal> {
    let mut members = Members::of_body(body)?;
    let named = members.text("model")?;
    let model = match (path, named) {
        (Some((model, _)), _) => model.to_owned(),
        (None, Some(model)) if !model.is_empty() => model,
        (None, _) => return Err(missing("model")),
    };
    let mut request = Request::new(Dialect::Cohere, model);
    let stream = members.flag("stream")?;
    request.stream = path.map_or(stream.unwrap_or(false), |(_, stream)| stream);

    let messages = members.list("messages")?.ok_or_else(|| missing("messages"))?;
    if messages.is_empty() {
        return Err(unfit("messages", "a list of at least one message"));
    }
    for (index, message) in messages.into_iter().enumerate() {
        request.turns.push(turn(Members::of(message, format!("messages[{index}]"))?)?);
    }

    let strict = members.flag(super::STRICT_TOOLS)?.filter(|strict| *strict);
    for (index, tool) in members.list("tools")?.unwrap_or_default().into_iter().enumerate() {
        request.tools.push(read_tool(tool, &format!("tools[{index}]"), strict)?);
    }
    request.tool_choice = match members.text("tool_choice")?.as_deref() {
        None => None,
        Some("REQUIRED") => Some(ToolChoice::Required),
        Some("NONE") => Some(ToolChoice::None),
        Some(_) => {
            return Err(unfit("tool_choice", "REQUIRED or NONE; leave it out to let the model choose"));
        }
    };
    request.format = format(&mut members)?;
    request.thinking = thinking(&mut members)?;
    request.output_cap = members.count("max_tokens")?;

    let sampling = &mut request.sampling;
    sampling.temperature = members.number("temperature")?;
    sampling.top_p = members.number("p")?;
    sampling.top_k = members.number("k")?;
    sampling.presence_penalty = members.number("presence_penalty")?;
    sampling.frequency_penalty = members.number("frequency_penalty")?;
    sampling.seed = members.number("seed")?;
    sampling.stop = members.texts("stop_sequences")?.unwrap_or_default();
    sampling.logprobs = members.flag("logprobs")?.unwrap_or(false);

    request.extras = members.rest();
    Ok(request)
}

fn turn(mut message: Members) -> Result<Turn, Refusal> {
    let role_path = message.at("role");
    match message.needed_text("role")?.as_str() {
        "system" => Ok(Turn::new(Role::System, content(&mut message)?)),
        "user" => Ok(Turn::new(Role::User, content(&mut message)?)),
        "assistant" => assistant(message),
        "tool" => {
            let id = message.needed_text("tool_call_id")?;
            let parts = content(&mut message)?;
            let result = ToolResult { id, name: None, parts, is_error: false };
            Ok(Turn::new(Role::Tool, vec![Body::ToolResult(result).into()]))
        }
        _ => Err(unfit(&role_path, "system, user, assistant or tool")),
    }
}

/// `content`: text or blocks.
fn content(message: &mut Members) -> Result<Vec<Part>, Refusal> {
    let path = message.at("content");
    match message.value("content") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::text(text)]),
        Some(Value::Array(blocks)) => blocks
            .into_iter()
            .enumerate()
            .map(|(index, value)| block(value, format!("{path}[{index}]")))
            .collect(),
        Some(_) => Err(wrong(&path, "a string or a list of blocks")),
    }
}

fn block(value: Value, path: String) -> Result<Part, Refusal> {
    let kind = value.get("type").and_then(Value::as_str);
    if kind.is_some_and(|kind| !BLOCKS.contains(&kind)) {
        // For Cohere as it is, and named as dropped for others.
        return Ok(Body::Native(Dialect::Cohere, value).into());
    }
    let mut block = Members::of(value, path)?;
    match block.needed_text("type")?.as_str() {
        "text" => Ok(Part::text(block.needed_text("text")?)),
        "thinking" => {
            let text = block.needed_text("thinking")?;
            let body = Body::Reasoning(Reasoning { text, ..Reasoning::default() });
            Ok(Part { body, cache: None, signature: Some(signature()) })
        }
        "image_url" => {
            let path = block.at("image_url");
            let mut image = block.members("image_url")?.ok_or_else(|| missing(&path))?;
            let mut media = Media::of_url(MediaKind::Image, &image.needed_text("url")?);
            media.detail = image.text("detail")?;
            Ok(Body::Media(media).into())
        }
        _ => document(&mut block),
    }
}

/// The kinds of blocks that are understood.
const BLOCKS: [&str; 4] = ["text", "thinking", "image_url", "document"];

/// A result given as a document: `data` is an object, or text (as in Cohere's own guide on tools).
fn document(block: &mut Members) -> Result<Part, Refusal> {
    let path = block.at("document");
    let mut document = block.members("document")?.ok_or_else(|| missing(&path))?;
    let data_path = document.at("data");
    let (text, mime) = match document.value("data") {
        Some(Value::String(text)) => (text, "text/plain"),
        Some(object @ Value::Object(_)) => (object.to_string(), "application/json"),
        Some(_) => return Err(wrong(&data_path, "an object or a string")),
        None => return Err(missing(&data_path)),
    };
    let mut media = Media::new(MediaKind::Document, Source::Text(text), Some(mime.to_owned()));
    media.name = document.text("id")?;
    Ok(Body::Media(media).into())
}

fn assistant(mut message: Members) -> Result<Turn, Refusal> {
    let mut parts = content(&mut message)?;
    let plan = message.text("tool_plan")?.filter(|plan| !plan.is_empty());
    let plan_at = plan.is_some().then_some(parts.len());
    parts.extend(plan.map(Part::text));
    let calls_path = message.at("tool_calls");
    let calls = message.list("tool_calls")?.unwrap_or_default();
    let citations = message.list("citations")?.unwrap_or_default();
    attach(&citations, &mut parts, plan_at);
    for (index, call) in calls.into_iter().enumerate() {
        let mut call = Members::of(call, format!("{calls_path}[{index}]"))?;
        let function_path = call.at("function");
        let id = call.text("id")?.unwrap_or_default();
        let mut function = call.members("function")?.ok_or_else(|| missing(&function_path))?;
        let name = function.needed_text("name")?;
        let arguments = function.text("arguments")?.unwrap_or_default();
        parts.push(Body::ToolCall(ToolCall { id, name, arguments }).into());
    }
    Ok(Turn::new(Role::Assistant, parts))
}

/// Puts citations to the texts they are about; `parts` are the content's blocks and then the plan, if there is one.
pub(in super::super) fn attach(citations: &[Value], parts: &mut [Part], plan_at: Option<usize>) {
    let is_text = |part: &Part| matches!(part.body, Body::Text(_));
    let first = parts.iter().position(is_text);
    for value in citations {
        let at = match cited(value) {
            None => continue,
            Some(Cited::First) => first,
            Some(Cited::Plan) => plan_at.or(first),
            Some(Cited::Content(index)) => usize::try_from(index)
                .ok()
                .filter(|index| plan_at.is_none_or(|plan| *index < plan))
                .filter(|index| parts.get(*index).is_some_and(is_text))
                .or(first),
        };
        let part = at.and_then(|at| parts.get_mut(at)).map(|part| &mut part.body);
        if let Some(Body::Text(Text { citations, .. })) = part {
            citations.push(citation(value));
        }
    }
}

fn read_tool(value: Value, path: &str, strict: Option<bool>) -> Result<Tool, Refusal> {
    if value.get("type").and_then(Value::as_str).is_some_and(|kind| kind != "function") {
        return Ok(Tool::Native(Dialect::Cohere, value));
    }
    let mut tool = Members::of(value, path.to_owned())?;
    tool.text("type")?;
    let function_path = tool.at("function");
    let mut function = tool.members("function")?.ok_or_else(|| missing(&function_path))?;
    let parameters_path = function.at("parameters");
    let parameters = function.value("parameters");
    if parameters.as_ref().is_some_and(|parameters| !parameters.is_object()) {
        return Err(wrong(&parameters_path, "a JSON Schema object"));
    }
    Ok(Tool::Function(Function {
        name: function.needed_text("name")?,
        description: function.text("description")?,
        parameters,
        strict,
        cache: None,
    }))
}

fn format(members: &mut Members) -> Result<Option<Format>, Refusal> {
    let Some(mut format) = members.members("response_format")? else { return Ok(None) };
    let schema_path = format.at("json_schema");
    match format.needed_text("type")?.as_str() {
        "text" => Ok(None),
        "json_object" => match format.value("json_schema") {
            None => Ok(Some(Format::Json)),
            Some(schema @ Value::Object(_)) => {
                Ok(Some(Format::Schema { name: None, description: None, schema, strict: None }))
            }
            Some(_) => Err(wrong(&schema_path, "a JSON Schema object")),
        },
        _ => Err(unfit("response_format.type", "text or json_object")),
    }
}

fn thinking(members: &mut Members) -> Result<Option<Thinking>, Refusal> {
    let Some(mut thinking) = members.members("thinking")? else { return Ok(None) };
    let enabled = match thinking.needed_text("type")?.as_str() {
        "enabled" => true,
        "disabled" => false,
        _ => return Err(unfit("thinking.type", "enabled or disabled")),
    };
    let budget_tokens = thinking.count("token_budget")?;
    Ok(Some(Thinking { enabled: Some(enabled), budget_tokens, ..Thinking::default() }))
}
