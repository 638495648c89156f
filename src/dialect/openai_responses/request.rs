//! A Responses request to and from the canonical form.

mod items;
mod write;

pub(super) use items::thoughts;
pub use write::write;

use super::OWN;
use crate::{
    dialect::json::{array, as_object, flag, missing, number, object, object_of, take, text, whole, wrong},
    model::{
        part::Part,
        request::{Format, Function, Request, Role, Sampling, Thinking, Tool, ToolChoice, Turn},
    },
    refusal::Refusal,
};
use serde_json::{Map, Value};

/// What asks for log probabilities: the other member of their pair is `top_logprobs`.
const INCLUDE_LOGPROBS: &str = "message.output_text.logprobs";
/// What asks for thoughts that can be given back without the provider keeping them.
const INCLUDE_ENCRYPTED: &str = "reasoning.encrypted_content";

/// A client's request.
///
/// Members without a canonical place are in `extras` under their whole path (`text.verbosity`, `input[2].phase`), so that
/// whoever writes another dialect can tell the client which of them were left out.
///
/// # Errors
/// 400 in the caller's terms.
pub fn read(body: &[u8], _path: Option<(&str, bool)>) -> Result<Request, Refusal> {
    let mut members = object_of(body)?;
    let model = text(&mut members, "model", "model")?.ok_or_else(|| missing("model"))?;
    let mut request = Request::new(OWN, model);
    request.stream = flag(&mut members, "stream", "stream")?.unwrap_or(false);
    if let Some(instructions) = text(&mut members, "instructions", "instructions")? {
        request.turns.push(Turn::new(Role::System, vec![Part::text(instructions)]));
    }
    let mut extras = Map::new();
    match take(&mut members, "input") {
        Some(Value::String(text)) => {
            request.turns.push(Turn::new(Role::User, vec![Part::text(text)]));
        }
        Some(Value::Array(list)) => items::read(list, &mut request.turns, &mut extras)?,
        Some(_) => return Err(wrong("input", "a string or an array of items")),
        // A stored prompt or conversation may be all there is.
        None if members.iter().any(|(name, value)| STATE.contains(&name.as_str()) && !value.is_null()) => {}
        None => return Err(missing("input")),
    }
    for (index, tool) in array(&mut members, "tools", "tools")?.unwrap_or_default().into_iter().enumerate() {
        let place = format!("tools[{index}]");
        request.tools.push(read_tool(as_object(tool, &place)?, &place, &mut extras)?);
    }
    request.tool_choice = take(&mut members, "tool_choice")
        .map(|choice| read_choice(choice, &mut extras))
        .transpose()?
        .flatten();
    request.parallel_tool_calls = flag(&mut members, "parallel_tool_calls", "parallel_tool_calls")?;
    if let Some(mut shape) = object(&mut members, "text", "text")? {
        if let Some(format) = object(&mut shape, "format", "text.format")? {
            request.format = read_format(format, &mut extras)?;
        }
        leave("text", shape, &mut extras);
    }
    request.output_cap = whole(&mut members, "max_output_tokens", "max_output_tokens")?;
    request.sampling = Sampling {
        temperature: number(&mut members, "temperature", "temperature")?,
        top_p: number(&mut members, "top_p", "top_p")?,
        top_logprobs: whole(&mut members, "top_logprobs", "top_logprobs")?,
        // Not OpenAI's, but in Open Responses' schema.
        presence_penalty: number(&mut members, "presence_penalty", "presence_penalty")?,
        frequency_penalty: number(&mut members, "frequency_penalty", "frequency_penalty")?,
        ..Sampling::default()
    };
    if let Some(mut include) = array(&mut members, "include", "include")? {
        if !include.iter().all(Value::is_string) {
            return Err(wrong("include", "an array of strings"));
        }
        let all = include.len();
        include.retain(|name| name != INCLUDE_LOGPROBS);
        request.sampling.logprobs = include.len() < all;
        if !include.is_empty() {
            extras.insert("include".to_owned(), Value::Array(include));
        }
    }
    if let Some(reasoning) = object(&mut members, "reasoning", "reasoning")? {
        request.thinking = read_thinking(reasoning, &mut extras)?;
    }
    request.user = text(&mut members, "user", "user")?;
    request.service_tier = text(&mut members, "service_tier", "service_tier")?;
    if let Some(metadata) = object(&mut members, "metadata", "metadata")? {
        if let Some((name, _)) = metadata.iter().find(|(_, value)| !value.is_string()) {
            return Err(wrong(&format!("metadata.{name}"), "a string"));
        }
        request.metadata = metadata;
    }
    extras.extend(members.into_iter().filter(|(_, value)| !value.is_null()));
    request.extras = extras;
    Ok(request)
}

/// Members that name something the provider keeps.
const STATE: [&str; 3] = ["previous_response_id", "conversation", "prompt"];

/// The member that makes a request depend on what its provider keeps, so that no other dialect can carry it.
///
/// `background` is one: its answer is fetched from the provider later.
#[must_use]
pub fn stateful(request: &Request) -> Option<&'static str> {
    if let Some(name) = STATE.into_iter().find(|name| request.extras.contains_key(*name)) {
        return Some(name);
    }
    if request.extras.get("background").and_then(Value::as_bool) == Some(true) {
        return Some("background");
    }
    items::refers(&request.turns).then_some("input")
}

/// Puts what is left of an object into the extras, by path.
fn leave(place: &str, rest: Map<String, Value>, extras: &mut Map<String, Value>) {
    for (name, value) in rest.into_iter().filter(|(_, value)| !value.is_null()) {
        extras.insert(format!("{place}.{name}"), value);
    }
}

fn read_tool(
    mut tool: Map<String, Value>,
    place: &str,
    extras: &mut Map<String, Value>,
) -> Result<Tool, Refusal> {
    let at = |name: &str| format!("{place}.{name}");
    match tool.get("type").and_then(Value::as_str) {
        Some("function") => {}
        Some(_) => return Ok(Tool::Native(OWN, Value::Object(tool))),
        None => {
            return Err(Refusal::bad_param(
                "missing_required_parameter",
                &at("type"),
                format!("'{}' must say what kind of tool this is, such as 'function'.", at("type")),
            ));
        }
    }
    tool.shift_remove("type");
    if tool.get("function").is_some_and(Value::is_object) && !tool.contains_key("name") {
        return Err(Refusal::bad_param(
            "missing_required_parameter",
            &at("name"),
            format!(
                "Missing required parameter: '{}'. In this API a function's members stand in the tool itself, not under 'function'.",
                at("name")
            ),
        ));
    }
    let function = Function {
        name: text(&mut tool, "name", &at("name"))?.ok_or_else(|| missing(&at("name")))?,
        description: text(&mut tool, "description", &at("description"))?,
        parameters: object(&mut tool, "parameters", &at("parameters"))?.map(Value::Object),
        strict: flag(&mut tool, "strict", &at("strict"))?,
        cache: None,
    };
    leave(place, tool, extras);
    Ok(Tool::Function(function))
}

fn read_choice(choice: Value, extras: &mut Map<String, Value>) -> Result<Option<ToolChoice>, Refusal> {
    let members = match choice {
        Value::String(word) => {
            return match word.as_str() {
                "auto" => Ok(Some(ToolChoice::Auto)),
                "none" => Ok(Some(ToolChoice::None)),
                "required" => Ok(Some(ToolChoice::Required)),
                other => Err(Refusal::bad_param(
                    "invalid_value",
                    "tool_choice",
                    format!(
                        "Invalid value: '{other}'. Supported values are: 'none', 'auto' and 'required', or an object that names a tool."
                    ),
                )),
            };
        }
        Value::Object(members) => members,
        _ => return Err(wrong("tool_choice", "a string or an object")),
    };
    let word = |name: &str| members.get(name).and_then(Value::as_str);
    let read = match word("type") {
        None => return Err(missing("tool_choice.type")),
        Some("function") => {
            let name = word("name").ok_or_else(|| missing("tool_choice.name"))?;
            Some(ToolChoice::Function(name.to_owned()))
        }
        Some("allowed_tools") => {
            let tools = members
                .get("tools")
                .and_then(Value::as_array)
                .ok_or_else(|| wrong("tool_choice.tools", "an array of tools"))?;
            // `None` as soon as one of them is no function.
            let names: Option<Vec<String>> = tools
                .iter()
                .map(|tool| {
                    let is_function = tool.get("type").and_then(Value::as_str) == Some("function");
                    let name = tool.get("name").and_then(Value::as_str).filter(|_| is_function)?;
                    Some(name.to_owned())
                })
                .collect();
            let required = word("mode") == Some("required");
            names.map(|names| ToolChoice::Allowed { names, required })
        }
        Some(_) => None,
    };
    if read.is_none() {
        extras.insert("tool_choice".to_owned(), Value::Object(members));
    }
    Ok(read)
}

fn read_format(
    mut format: Map<String, Value>,
    extras: &mut Map<String, Value>,
) -> Result<Option<Format>, Refusal> {
    let kind = text(&mut format, "type", "text.format.type")?.ok_or_else(|| missing("text.format.type"))?;
    let read = match kind.as_str() {
        "text" => None,
        "json_object" => Some(Format::Json),
        "json_schema" => {
            if format.contains_key("json_schema") {
                return Err(Refusal::bad_param(
                    "missing_required_parameter",
                    "text.format.schema",
                    "Missing required parameter: 'text.format.schema'. In this API 'name', 'schema' and 'strict' stand in 'text.format' itself, not under 'json_schema'.",
                ));
            }
            Some(Format::Schema {
                name: text(&mut format, "name", "text.format.name")?,
                description: text(&mut format, "description", "text.format.description")?,
                schema: object(&mut format, "schema", "text.format.schema")?
                    .map(Value::Object)
                    .ok_or_else(|| missing("text.format.schema"))?,
                strict: flag(&mut format, "strict", "text.format.strict")?,
            })
        }
        other => {
            return Err(Refusal::bad_param(
                "invalid_value",
                "text.format.type",
                format!(
                    "Invalid value: '{other}'. Supported values are: 'text', 'json_object' and 'json_schema'."
                ),
            ));
        }
    };
    leave("text.format", format, extras);
    Ok(read)
}

fn read_thinking(
    mut reasoning: Map<String, Value>,
    extras: &mut Map<String, Value>,
) -> Result<Option<Thinking>, Refusal> {
    let effort = text(&mut reasoning, "effort", "reasoning.effort")?;
    let summary = text(&mut reasoning, "summary", "reasoning.summary")?;
    let older = text(&mut reasoning, "generate_summary", "reasoning.generate_summary")?;
    let summary = summary.or(older);
    leave("reasoning", reasoning, extras);
    let shown = summary.as_ref().map(|_| true);
    let thinking = Thinking { effort, summary, shown, ..Thinking::default() };
    Ok((thinking != Thinking::default()).then_some(thinking))
}
