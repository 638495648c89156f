//! A Converse request to and from the canonical form.

mod family;
mod names;
mod write;

pub use write::write;

use super::{OWN, content};
use crate::{
    dialect::json::{
        array, as_object, flag, missing, number, object, object_of, take, text, texts, whole, wrong,
    },
    model::{
        part::{Body, Part},
        request::{Format, Function, Request, Role, Thinking, Tool, ToolChoice, Turn},
    },
    refusal::Refusal,
};
use serde_json::{Map, Value};

/// A client's request. The model and whether a stream is wanted are in the path.
///
/// # Errors
/// 400 in the caller's terms.
pub fn read(body: &[u8], path: Option<(&str, bool)>) -> Result<Request, Refusal> {
    let mut members = object_of(body)?;
    let (model, stream) = path.ok_or_else(|| missing("modelId"))?;
    let mut request = Request::new(OWN, model.to_owned());
    request.stream = stream;
    if let Some(system) = array(&mut members, "system", "system")? {
        let parts = content::read_all(system, "system")?;
        if !parts.is_empty() {
            request.turns.push(Turn::new(Role::System, parts));
        }
    }
    let messages = array(&mut members, "messages", "messages")?.ok_or_else(|| missing("messages"))?;
    for (index, message) in messages.into_iter().enumerate() {
        let place = format!("messages[{index}]");
        read_message(as_object(message, &place)?, &place, &mut request.turns)?;
    }
    if let Some(config) = object(&mut members, "toolConfig", "toolConfig")? {
        read_tools(config, &mut request)?;
    }
    if let Some(config) = object(&mut members, "inferenceConfig", "inferenceConfig")? {
        read_inference(config, &mut request)?;
    }
    if let Some(fields) = take(&mut members, "additionalModelRequestFields") {
        // Whatever the model takes, in its maker's own terms: what is not understood stays as it is.
        match fields {
            Value::Object(fields) => read_fields(fields, &mut request),
            other => keep(&mut request, "additionalModelRequestFields", other),
        }
    }
    if let Some(config) = object(&mut members, "outputConfig", "outputConfig")? {
        read_output(config, &mut request)?;
    }
    if let Some(mut tier) = object(&mut members, "serviceTier", "serviceTier")? {
        request.service_tier = text(&mut tier, "type", "serviceTier.type")?;
    }
    request.metadata = object(&mut members, "requestMetadata", "requestMetadata")?.unwrap_or_default();
    if let Some((name, _)) = request.metadata.iter().find(|(_, value)| !value.is_string()) {
        return Err(wrong(&format!("requestMetadata.{name}"), "a string"));
    }
    request.extras.extend(members);
    Ok(request)
}

fn keep(request: &mut Request, name: &str, value: Value) {
    if !value.as_object().is_some_and(Map::is_empty) {
        request.extras.insert(name.to_owned(), value);
    }
}

/// Results of tools are in the user's messages; in the canonical form they are turns of their own.
fn read_message(mut message: Map<String, Value>, place: &str, turns: &mut Vec<Turn>) -> Result<(), Refusal> {
    let role_place = format!("{place}.role");
    let role = match text(&mut message, "role", &role_place)?.as_deref() {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some(other) => {
            return Err(Refusal::bad_param(
                "invalid_value",
                &role_place,
                format!("Invalid value: '{other}'. Supported values are: 'user' and 'assistant'."),
            ));
        }
        None => return Err(missing(&role_place)),
    };
    let content_place = format!("{place}.content");
    let blocks = array(&mut message, "content", &content_place)?.ok_or_else(|| missing(&content_place))?;
    let parts = content::read_all(blocks, &content_place)?;
    if role == Role::Assistant {
        turns.push(Turn::new(role, parts));
        return Ok(());
    }
    let mut said: Vec<Part> = Vec::new();
    let mut role = Role::User;
    for part in parts {
        let of_part = if matches!(part.body, Body::ToolResult(_)) { Role::Tool } else { Role::User };
        if of_part != role && !said.is_empty() {
            turns.push(Turn::new(role, std::mem::take(&mut said)));
        }
        role = of_part;
        said.push(part);
    }
    turns.push(Turn::new(role, said));
    Ok(())
}

fn read_tools(mut config: Map<String, Value>, request: &mut Request) -> Result<(), Refusal> {
    let place = "toolConfig.tools";
    let tools = array(&mut config, "tools", place)?.ok_or_else(|| missing(place))?;
    for (index, tool) in tools.into_iter().enumerate() {
        let place = format!("{place}[{index}]");
        let mut tool = as_object(tool, &place)?;
        if let (Some(mark), Some(Tool::Function(last))) =
            (content::cache_point(&tool), request.tools.last_mut())
            && last.cache.is_none()
        {
            last.cache = Some(mark);
        } else if tool.contains_key("toolSpec") {
            let place = format!("{place}.toolSpec");
            let spec = object(&mut tool, "toolSpec", &place)?.ok_or_else(|| missing(&place))?;
            request.tools.push(Tool::Function(read_spec(spec, &place)?));
        } else {
            request.tools.push(Tool::Native(OWN, Value::Object(tool)));
        }
    }
    let place = "toolConfig.toolChoice";
    if let Some(mut choice) = object(&mut config, "toolChoice", place)? {
        let chosen = if choice.contains_key("auto") {
            ToolChoice::Auto
        } else if choice.contains_key("any") {
            ToolChoice::Required
        } else {
            let place = format!("{place}.tool");
            let mut tool = object(&mut choice, "tool", &place)?.ok_or_else(|| missing(&place))?;
            let place = format!("{place}.name");
            ToolChoice::Function(text(&mut tool, "name", &place)?.ok_or_else(|| missing(&place))?)
        };
        request.tool_choice = Some(chosen);
    }
    keep(request, "toolConfig", Value::Object(config));
    Ok(())
}

fn read_spec(mut spec: Map<String, Value>, place: &str) -> Result<Function, Refusal> {
    let name_place = format!("{place}.name");
    let schema_place = format!("{place}.inputSchema");
    let mut schema = object(&mut spec, "inputSchema", &schema_place)?.unwrap_or_default();
    Ok(Function {
        name: text(&mut spec, "name", &name_place)?.ok_or_else(|| missing(&name_place))?,
        description: text(&mut spec, "description", &format!("{place}.description"))?,
        parameters: take(&mut schema, "json"),
        strict: flag(&mut spec, "strict", &format!("{place}.strict"))?,
        cache: None,
    })
}

fn read_inference(mut config: Map<String, Value>, request: &mut Request) -> Result<(), Refusal> {
    request.output_cap = whole(&mut config, "maxTokens", "inferenceConfig.maxTokens")?;
    request.sampling.temperature = number(&mut config, "temperature", "inferenceConfig.temperature")?;
    request.sampling.top_p = number(&mut config, "topP", "inferenceConfig.topP")?;
    request.sampling.stop = texts(&mut config, "stopSequences", "inferenceConfig.stopSequences")?;
    keep(request, "inferenceConfig", Value::Object(config));
    Ok(())
}

/// What the makers' own members say of thinking and sampling, as far as it has a place.
fn read_fields(mut fields: Map<String, Value>, request: &mut Request) {
    if let Some(top_k) = fields.get("top_k").filter(|value| value.is_number()).cloned() {
        request.sampling.top_k = Some(top_k);
        fields.shift_remove("top_k");
    }
    let nova_top_k = |fields: &Map<String, Value>| {
        let config = fields.get("inferenceConfig")?.as_object().filter(|config| config.len() == 1)?;
        config.get("topK").filter(|value| value.is_number()).cloned()
    };
    if request.sampling.top_k.is_none()
        && let Some(top_k) = nova_top_k(&fields)
    {
        request.sampling.top_k = Some(top_k);
        fields.shift_remove("inferenceConfig");
    }
    let thinking = ["thinking", "reasoning_config", "reasoningConfig", "reasoning_effort"]
        .into_iter()
        .find_map(|name| Some((name, family::read_thinking(name, fields.get(name)?)?)));
    if let Some((name, mut thinking)) = thinking {
        fields.shift_remove(name);
        if thinking.adaptive && thinking.effort.is_none() {
            thinking.effort = take_effort(&mut fields);
        }
        request.thinking = Some(thinking);
    } else if let Some(effort) = take_effort(&mut fields) {
        request.thinking = Some(Thinking { effort: Some(effort), ..Thinking::default() });
    }
    keep(request, "additionalModelRequestFields", Value::Object(fields));
}

/// Claude's `output_config.effort`, if nothing else is in there.
fn take_effort(fields: &mut Map<String, Value>) -> Option<String> {
    let config = fields.get("output_config")?.as_object().filter(|config| config.len() == 1)?;
    let effort = config.get("effort")?.as_str()?.to_owned();
    fields.shift_remove("output_config");
    Some(effort)
}

fn read_output(mut config: Map<String, Value>, request: &mut Request) -> Result<(), Refusal> {
    let place = "outputConfig.textFormat";
    if let Some(mut format) = object(&mut config, "textFormat", place)? {
        let place = format!("{place}.structure");
        let mut structure = object(&mut format, "structure", &place)?.ok_or_else(|| missing(&place))?;
        let place = format!("{place}.jsonSchema");
        let mut schema = object(&mut structure, "jsonSchema", &place)?.ok_or_else(|| missing(&place))?;
        let schema_place = format!("{place}.schema");
        let written = text(&mut schema, "schema", &schema_place)?.ok_or_else(|| missing(&schema_place))?;
        let parsed = serde_json::from_str(&written)
            .map_err(|_| wrong(&schema_place, "a JSON schema, written as a string"))?;
        request.format = Some(Format::Schema {
            name: text(&mut schema, "name", &format!("{place}.name"))?,
            description: text(&mut schema, "description", &format!("{place}.description"))?,
            schema: parsed,
            strict: None,
        });
    }
    keep(request, "outputConfig", Value::Object(config));
    Ok(())
}
