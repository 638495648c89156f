//! A request: reading a client's, writing a provider's.
//!
//! Members of blocks, tools and messages that the canonical form has no place for are kept in `extras` under their paths
//! (`tools[0].defer_loading`), so that they are told as dropped where they cannot go.

mod write;

pub(super) use write::sends_thoughts_back;
pub use write::{write, write_count};

use super::{
    OWN,
    block::{Blocks, cache_mark, keep},
};
use crate::{
    dialect::json::{array, as_object, flag, missing, number, object, object_of, take, text, whole, wrong},
    model::{
        part::{Body, Part},
        request::{Format, Function, Request, Role, Sampling, Thinking, Tool, ToolChoice, Turn},
    },
    refusal::Refusal,
};
use serde_json::{Map, Value};

type Members = Map<String, Value>;

/// A client's request, to Messages or to its token counter. `path` is for platforms that have the model in the URL.
///
/// # Errors
/// 400 in the caller's terms.
pub fn read(body: &[u8], path: Option<(&str, bool)>) -> Result<Request, Refusal> {
    let mut members = object_of(body)?;
    let named = text(&mut members, "model", "model")?;
    let model = path.map(|(model, _)| model.to_owned()).or(named).ok_or_else(|| missing("model"))?;
    let mut request = Request::new(OWN, model);
    let stream = flag(&mut members, "stream", "stream")?.unwrap_or(false);
    request.stream = path.map_or(stream, |(_, stream)| stream);
    let mut extras = Members::new();
    let mut blocks = Blocks { extras: &mut extras };
    let system = take(&mut members, "system");
    let instructions = blocks.read_all(system, "system", Role::System)?;
    if !instructions.is_empty() {
        request.turns.push(Turn::new(Role::System, instructions));
    }
    let messages = array(&mut members, "messages", "messages")?.ok_or_else(|| missing("messages"))?;
    request.turns.extend(read_messages(messages, &mut blocks)?);
    request.tools = read_tools(&mut members, &mut extras)?;
    read_choice(&mut members, &mut request, &mut extras)?;
    request.output_cap = whole(&mut members, "max_tokens", "max_tokens")?;
    request.sampling = Sampling {
        temperature: number(&mut members, "temperature", "temperature")?,
        top_p: number(&mut members, "top_p", "top_p")?,
        top_k: number(&mut members, "top_k", "top_k")?,
        stop: read_stop(&mut members)?,
        ..Sampling::default()
    };
    request.thinking = read_thinking(&mut members, &mut extras)?;
    read_output_config(&mut members, &mut request)?;
    if let Some(mut metadata) = object(&mut members, "metadata", "metadata")? {
        request.user = text(&mut metadata, "user_id", "metadata.user_id")?;
        for (name, value) in metadata.into_iter().filter(|(_, value)| !value.is_null()) {
            if !value.is_string() {
                return Err(wrong(&format!("metadata.{name}"), "a string"));
            }
            request.metadata.insert(name, value);
        }
    }
    request.service_tier = text(&mut members, "service_tier", "service_tier")?;
    members.retain(|_, value| !value.is_null());
    members.extend(extras);
    request.extras = members;
    Ok(request)
}

/// Anthropic demands a cap of every request that is to be answered; the token counter takes none.
///
/// # Errors
/// 400 if there is none.
pub fn require_cap(request: &Request) -> Result<(), Refusal> {
    request.output_cap.map(|_| ()).ok_or_else(|| missing("max_tokens"))
}

/// Messages as turns. What one speaker says in a row is one turn, as Anthropic joins it; results of tools come before the
/// rest of what the user says.
fn read_messages(messages: Vec<Value>, blocks: &mut Blocks<'_>) -> Result<Vec<Turn>, Refusal> {
    let mut turns: Vec<Turn> = Vec::with_capacity(messages.len());
    let (mut results, mut said): (Vec<Part>, Vec<Part>) = (Vec::new(), Vec::new());
    for (index, message) in messages.into_iter().enumerate() {
        let place = format!("messages[{index}]");
        let mut message = as_object(message, &place)?;
        let role_place = format!("{place}.role");
        let role = text(&mut message, "role", &role_place)?.ok_or_else(|| missing(&role_place))?;
        let role = match role.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            other => {
                return Err(Refusal::bad_param(
                    "invalid_value",
                    &role_place,
                    format!(
                        "Invalid value: '{other}'. Supported values are: 'user', 'assistant' and 'system'."
                    ),
                ));
            }
        };
        let content_place = format!("{place}.content");
        let content = take(&mut message, "content").ok_or_else(|| missing(&content_place))?;
        let parts = blocks.read_all(Some(content), &content_place, role)?;
        keep(blocks.extras, message, &place);
        if role == Role::User {
            let (more, rest): (Vec<Part>, Vec<Part>) =
                parts.into_iter().partition(|part| matches!(part.body, Body::ToolResult(_)));
            results.extend(more);
            said.extend(rest);
            continue;
        }
        flush(&mut results, &mut said, &mut turns);
        match turns.last_mut() {
            Some(last) if last.role == role && role == Role::Assistant => last.parts.extend(parts),
            _ if parts.is_empty() => {}
            _ => turns.push(Turn::new(role, parts)),
        }
    }
    flush(&mut results, &mut said, &mut turns);
    Ok(turns)
}

fn flush(results: &mut Vec<Part>, said: &mut Vec<Part>, turns: &mut Vec<Turn>) {
    for (role, parts) in [(Role::Tool, results), (Role::User, said)] {
        if !parts.is_empty() {
            turns.push(Turn::new(role, std::mem::take(parts)));
        }
    }
}

fn read_tools(members: &mut Members, extras: &mut Members) -> Result<Vec<Tool>, Refusal> {
    let tools = array(members, "tools", "tools")?.unwrap_or_default();
    let mut read = Vec::with_capacity(tools.len());
    for (index, tool) in tools.into_iter().enumerate() {
        let place = format!("tools[{index}]");
        let mut tool = as_object(tool, &place)?;
        let kind = tool.get("type").filter(|kind| !kind.is_null());
        if kind.is_some_and(|kind| !kind.is_string()) {
            return Err(wrong(&format!("{place}.type"), "a string"));
        }
        if kind.is_some_and(|kind| kind != "custom") {
            read.push(Tool::Native(OWN, Value::Object(tool)));
            continue;
        }
        tool.shift_remove("type");
        let name_place = format!("{place}.name");
        let schema_place = format!("{place}.input_schema");
        let function = Function {
            name: text(&mut tool, "name", &name_place)?.ok_or_else(|| missing(&name_place))?,
            description: text(&mut tool, "description", &format!("{place}.description"))?,
            parameters: object(&mut tool, "input_schema", &schema_place)?.map(Value::Object),
            strict: flag(&mut tool, "strict", &format!("{place}.strict"))?,
            cache: cache_mark(&mut tool, &place)?,
        };
        keep(extras, tool, &place);
        read.push(Tool::Function(function));
    }
    Ok(read)
}

fn read_choice(members: &mut Members, request: &mut Request, extras: &mut Members) -> Result<(), Refusal> {
    let Some(mut choice) = object(members, "tool_choice", "tool_choice")? else { return Ok(()) };
    let kind = text(&mut choice, "type", "tool_choice.type")?.ok_or_else(|| missing("tool_choice.type"))?;
    request.tool_choice = Some(match kind.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Function(
            text(&mut choice, "name", "tool_choice.name")?.ok_or_else(|| missing("tool_choice.name"))?,
        ),
        other => {
            return Err(Refusal::bad_param(
                "invalid_value",
                "tool_choice.type",
                format!("Invalid value: '{other}'. Supported values are: 'auto', 'any', 'tool' and 'none'."),
            ));
        }
    });
    let place = "tool_choice.disable_parallel_tool_use";
    request.parallel_tool_calls =
        flag(&mut choice, "disable_parallel_tool_use", place)?.map(|disabled| !disabled);
    keep(extras, choice, "tool_choice");
    Ok(())
}

fn read_stop(members: &mut Members) -> Result<Vec<String>, Refusal> {
    let texts = array(members, "stop_sequences", "stop_sequences")?.unwrap_or_default();
    texts
        .into_iter()
        .map(|text| match text {
            Value::String(text) => Ok(text),
            _ => Err(wrong("stop_sequences", "an array of strings")),
        })
        .collect()
}

fn read_thinking(members: &mut Members, extras: &mut Members) -> Result<Option<Thinking>, Refusal> {
    let Some(mut thinking) = object(members, "thinking", "thinking")? else { return Ok(None) };
    let kind = text(&mut thinking, "type", "thinking.type")?.ok_or_else(|| missing("thinking.type"))?;
    let mut read = Thinking::default();
    match kind.as_str() {
        "disabled" => read.enabled = Some(false),
        "adaptive" => {
            read.enabled = Some(true);
            read.adaptive = true;
        }
        "enabled" => {
            let place = "thinking.budget_tokens";
            read.enabled = Some(true);
            read.budget_tokens =
                Some(whole(&mut thinking, "budget_tokens", place)?.ok_or_else(|| missing(place))?);
        }
        // A way to think that this gateway has not heard of.
        _ => {
            thinking.shift_insert(0, "type".to_owned(), Value::String(kind));
            members.insert("thinking".to_owned(), Value::Object(thinking));
            return Ok(None);
        }
    }
    read.shown = text(&mut thinking, "display", "thinking.display")?.map(|display| display != "omitted");
    keep(extras, thinking, "thinking");
    Ok(Some(read))
}

/// `output_config` has the effort and the form of the answer; what else is in it stays there. `output_format` is its older
/// name.
fn read_output_config(members: &mut Members, request: &mut Request) -> Result<(), Refusal> {
    let older = object(members, "output_format", "output_format")?;
    let mut config = object(members, "output_config", "output_config")?.unwrap_or_default();
    if let Some(effort) = text(&mut config, "effort", "output_config.effort")? {
        request.thinking.get_or_insert_default().effort = Some(effort);
    }
    if let Some(mut format) = object(&mut config, "format", "output_config.format")?.or(older) {
        let place = "output_config.format.type";
        let kind = text(&mut format, "type", place)?.ok_or_else(|| missing(place))?;
        if kind != "json_schema" {
            return Err(Refusal::bad_param(
                "invalid_value",
                place,
                format!("Invalid value: '{kind}'. The supported value is 'json_schema'."),
            ));
        }
        let place = "output_config.format.schema";
        let schema = object(&mut format, "schema", place)?.ok_or_else(|| missing(place))?;
        let schema = Value::Object(schema);
        request.format = Some(Format::Schema { name: None, description: None, schema, strict: None });
    }
    config.retain(|_, value| !value.is_null());
    if !config.is_empty() {
        members.insert("output_config".to_owned(), Value::Object(config));
    }
    Ok(())
}
