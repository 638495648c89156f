//! `generateContent`, `streamGenerateContent` and `countTokens`: the request.

mod write;

pub use write::{write, write_count};

use super::{
    body_object, expected, flag_at, list_at, members, missing, number_at, object_at, part, text_at, whole,
    whole_at,
};
use crate::{
    dialect::{Dialect, schema},
    model::{
        part::{Body, Part},
        request::{Format, Function, Request, Role, Thinking, Tool, ToolChoice, Turn},
    },
    refusal::Refusal,
};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet, VecDeque};

/// How ids begin that calls get here which came without one, so that dialects that need ids find calls and results
/// paired. They are not written back to Google.
const MADE_UP_ID: &str = "call_gemini_";

/// Reads a client's request. `path` is the model and whether a stream is wanted, as the URL says.
///
/// # Errors
/// 400 with the member that is wrong.
pub fn read(body: &[u8], path: Option<(&str, bool)>) -> Result<Request, Refusal> {
    read_members(body_object(body)?, path)
}

/// Reads a client's request to have its tokens counted: the same members, or all of them in `generateContentRequest`.
///
/// # Errors
/// 400 with the member that is wrong.
pub fn read_count(body: &[u8], path: Option<(&str, bool)>) -> Result<Request, Refusal> {
    let mut all = body_object(body)?;
    match all.shift_remove("generateContentRequest") {
        Some(Value::Object(inner)) => read_members(members(inner), path),
        Some(_) => Err(expected("generateContentRequest", "an object")),
        None => read_members(all, path),
    }
}

fn read_members(mut all: Map<String, Value>, path: Option<(&str, bool)>) -> Result<Request, Refusal> {
    let named = all.shift_remove("model").map(|model| text_at(model, "model")).transpose()?;
    let (model, stream) = match path {
        Some((model, stream)) => (model.to_owned(), stream),
        None => (named.ok_or_else(|| missing("model"))?, false),
    };
    let model = model.strip_prefix("models/").unwrap_or(&model).to_owned();
    let mut request = Request::new(Dialect::Gemini, model);
    request.stream = stream;
    let contents = all.shift_remove("contents").ok_or_else(|| missing("contents"))?;
    for (name, value) in all {
        match name.as_str() {
            "systemInstruction" => system(&mut request, value)?,
            "generationConfig" => generation_config(&mut request, value)?,
            "tools" => tools(&mut request, value)?,
            "toolConfig" => tool_config(&mut request, value)?,
            "serviceTier" => request.service_tier = tier(&text_at(value, "serviceTier")?),
            _ => {
                request.extras.insert(name, value);
            }
        }
    }
    self::contents(&mut request, contents)?;
    Ok(request)
}

/// `serviceTier` in the words of the others: what Google calls standard is their default.
fn tier(word: &str) -> Option<String> {
    let word = word.to_ascii_lowercase();
    match word.strip_prefix("service_tier_").unwrap_or(&word) {
        "unspecified" => None,
        "standard" => Some("default".to_owned()),
        other => Some(other.to_owned()),
    }
}

fn system(request: &mut Request, value: Value) -> Result<(), Refusal> {
    let mut all = object_at(value, "systemInstruction")?;
    let parts = all.shift_remove("parts").ok_or_else(|| missing("systemInstruction.parts"))?;
    let parts = parts_at(parts, "systemInstruction.parts", &mut request.extras)?;
    if let Some(at) = parts.iter().position(|part| !matches!(part.body, Body::Text(_))) {
        let at = format!("systemInstruction.parts[{at}]");
        return Err(Refusal::bad_param("invalid_value", &at, format!("'{at}' must be text.")));
    }
    request.turns.push(Turn::new(Role::System, parts));
    Ok(())
}

fn parts_at(value: Value, at: &str, left: &mut Map<String, Value>) -> Result<Vec<Part>, Refusal> {
    list_at(value, at)?
        .into_iter()
        .enumerate()
        .map(|(index, part)| part::read(part, &format!("{at}[{index}]"), left))
        .collect()
}

/// Calls so far, to pair results with.
#[derive(Default)]
struct Calls {
    count: usize,
    /// The ids of each function's calls, the first first.
    open: HashMap<String, VecDeque<String>>,
    /// Those that were answered by their id.
    answered: HashSet<String>,
}

impl Calls {
    fn called(&mut self, id: &mut String, name: &str) {
        if id.is_empty() {
            *id = format!("{MADE_UP_ID}{}", self.count);
        }
        self.count += 1;
        self.open.entry(name.to_owned()).or_default().push_back(id.clone());
    }

    /// Gives a result without an id that of the first open call of its name.
    fn answered(&mut self, id: &mut String, name: Option<&str>) {
        if !id.is_empty() {
            self.answered.insert(id.clone());
            return;
        }
        let Some(open) = name.and_then(|name| self.open.get_mut(name)) else {
            return;
        };
        while let Some(next) = open.pop_front() {
            if !self.answered.contains(&next) {
                *id = next;
                return;
            }
        }
    }
}

fn contents(request: &mut Request, value: Value) -> Result<(), Refusal> {
    let mut calls = Calls::default();
    for (index, content) in list_at(value, "contents")?.into_iter().enumerate() {
        let at = format!("contents[{index}]");
        let mut all = object_at(content, &at)?;
        let role = match all.shift_remove("role") {
            None => Role::User,
            Some(role) => match text_at(role, &format!("{at}.role"))?.as_str() {
                "user" | "" | "function" | "tool" => Role::User,
                "model" => Role::Assistant,
                other => {
                    return Err(Refusal::bad_param(
                        "invalid_value",
                        &format!("{at}.role"),
                        format!(
                            "'{other}' is no role: use `user` or `model`, and `systemInstruction` for instructions."
                        ),
                    ));
                }
            },
        };
        // A content without parts says nothing.
        let parts = all.shift_remove("parts").unwrap_or_else(|| Value::Array(Vec::new()));
        let mut parts = parts_at(parts, &format!("{at}.parts"), &mut request.extras)?;
        request.extras.extend(all.into_iter().map(|(name, value)| (format!("{at}.{name}"), value)));
        for part in &mut parts {
            match &mut part.body {
                Body::ToolCall(call) => calls.called(&mut call.id, &call.name),
                Body::ToolResult(result) => calls.answered(&mut result.id, result.name.as_deref()),
                _ => {}
            }
        }
        let (results, others): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|part| matches!(part.body, Body::ToolResult(_)));
        if role == Role::Assistant && !results.is_empty() {
            return Err(Refusal::bad_param(
                "invalid_value",
                &format!("{at}.role"),
                "A function's response belongs into a content of role `user`.",
            ));
        }
        if role == Role::User
            && let Some(call) = others.iter().position(|part| matches!(part.body, Body::ToolCall(_)))
        {
            let at = format!("{at}.parts[{call}]");
            let message = "A function's call belongs into a content of role `model`.";
            return Err(Refusal::bad_param("invalid_value", &at, message));
        }
        if !results.is_empty() {
            request.turns.push(Turn::new(Role::Tool, results));
        }
        if role == Role::User && !others.is_empty() {
            // The person has spoken: what was not answered will not be.
            calls.open.clear();
        }
        if !others.is_empty() {
            match request.turns.last_mut() {
                Some(last) if role == Role::Assistant && last.role == role => last.parts.extend(others),
                _ => request.turns.push(Turn::new(role, others)),
            }
        }
    }
    for turn in request.turns.iter_mut().filter(|turn| turn.role == Role::Assistant) {
        turn.parts = joined(std::mem::take(&mut turn.parts));
    }
    request.turns.retain(|turn| !turn.parts.is_empty());
    if request.turns.iter().all(|turn| turn.role == Role::System) {
        return Err(Refusal::bad_param(
            "missing_required_parameter",
            "contents",
            "`contents` must have at least one part.",
        ));
    }
    Ok(())
}

/// Joins what a stream has cut: Google's SDKs keep each piece of an answer as a part of its own. Another maker's proof of
/// thoughts is of all their words; Google's own stay as they are, since Google says not to join parts of which one is
/// signed (<https://ai.google.dev/gemini-api/docs/thought-signatures>, read 2026-11-21).
fn joined(parts: Vec<Part>) -> Vec<Part> {
    let mut joined: Vec<Part> = Vec::new();
    for mut part in parts {
        let foreign = part.signature.as_ref().is_some_and(|signature| signature.maker != Dialect::Gemini);
        match (&mut part.body, joined.last_mut()) {
            (Body::Text(text), Some(Part { body: Body::Text(last), signature: None, .. }))
                if part.signature.is_none() =>
            {
                last.text.push_str(&text.text);
                continue;
            }
            (Body::Text(text), _) if text.text.is_empty() && part.signature.is_none() => continue,
            (Body::Reasoning(thoughts), _) if foreign && !thoughts.redacted => {
                let unsigned = |part: &Part| match &part.body {
                    Body::Reasoning(_) => part.signature.is_none(),
                    _ => false,
                };
                let begin = joined.iter().rposition(|part| !unsigned(part)).map_or(0, |last| last + 1);
                let mut words: String = joined.drain(begin..).filter_map(words_of).collect();
                words.push_str(&thoughts.text);
                thoughts.text = words;
            }
            _ => {}
        }
        joined.push(part);
    }
    joined
}

fn words_of(part: Part) -> Option<String> {
    match part.body {
        Body::Reasoning(thoughts) => Some(thoughts.text),
        _ => None,
    }
}

fn generation_config(request: &mut Request, value: Value) -> Result<(), Refusal> {
    const AT: &str = "generationConfig";
    let mut schema_given = None;
    let mut mime = None;
    for (name, value) in object_at(value, AT)? {
        let at = format!("{AT}.{name}");
        let sampling = &mut request.sampling;
        match name.as_str() {
            "temperature" => sampling.temperature = Some(number_at(value, &at)?),
            "topP" => sampling.top_p = Some(number_at(value, &at)?),
            "topK" => sampling.top_k = Some(number_at(value, &at)?),
            "presencePenalty" => sampling.presence_penalty = Some(number_at(value, &at)?),
            "frequencyPenalty" => sampling.frequency_penalty = Some(number_at(value, &at)?),
            "seed" => sampling.seed = Some(number_at(value, &at)?),
            "candidateCount" => {
                let count = whole_at(&value, &at)?;
                if !(1..=128).contains(&count) {
                    return Err(Refusal::bad_param("invalid_value", &at, format!("{at} must be 1 to 128.")));
                }
                sampling.choices = (count > 1).then_some(count);
            }
            "maxOutputTokens" => request.output_cap = Some(whole_at(&value, &at)?),
            "stopSequences" => {
                sampling.stop = list_at(value, &at)?
                    .into_iter()
                    .map(|text| text_at(text, &at))
                    .collect::<Result<_, _>>()?;
            }
            "responseLogprobs" => sampling.logprobs = flag_at(&value, &at)?,
            "logprobs" => sampling.top_logprobs = Some(whole_at(&value, &at)?),
            "responseMimeType" => mime = Some(text_at(value, &at)?),
            "responseSchema" => schema_given = Some(schema::from_openapi(value)),
            "responseJsonSchema" => schema_given = Some(value),
            "thinkingConfig" => thinking(request, value, &at)?,
            // What every answer is in the canonical form, so nothing is lost.
            "responseModalities" if is_text_only(&value) => {}
            _ => {
                request.extras.insert(at, value);
            }
        }
    }
    match (mime.as_deref(), schema_given) {
        (None | Some("application/json"), Some(schema)) => {
            request.format = Some(Format::Schema { name: None, description: None, schema, strict: None });
        }
        (Some(other), Some(schema)) => {
            request.extras.insert(format!("{AT}.responseMimeType"), Value::from(other));
            request.format = Some(Format::Schema { name: None, description: None, schema, strict: None });
        }
        (Some("application/json"), None) => request.format = Some(Format::Json),
        (None | Some("text/plain"), None) => {}
        (Some(other), None) => {
            request.extras.insert(format!("{AT}.responseMimeType"), Value::from(other));
        }
    }
    Ok(())
}

fn is_text_only(modalities: &Value) -> bool {
    modalities.as_array().is_some_and(|all| {
        all.len() == 1
            && all.iter().all(|one| one.as_str().is_some_and(|one| one.eq_ignore_ascii_case("text")))
    })
}

fn thinking(request: &mut Request, value: Value, at: &str) -> Result<(), Refusal> {
    let mut thinking = Thinking::default();
    for (name, value) in object_at(value, at)? {
        let at = format!("{at}.{name}");
        match name.as_str() {
            "includeThoughts" => thinking.shown = Some(flag_at(&value, &at)?),
            "thinkingBudget" => match whole(&value) {
                Some(0) => thinking.enabled = Some(false),
                Some(tokens) => thinking.budget_tokens = Some(tokens),
                // −1: as much as it likes.
                None if value.as_f64() == Some(-1.0) || value.as_str() == Some("-1") => {
                    thinking.adaptive = true
                }
                None => return Err(expected(&at, "a whole number, or -1")),
            },
            "thinkingLevel" => {
                let level = text_at(value, &at)?.to_ascii_lowercase();
                if level != "thinking_level_unspecified" {
                    thinking.effort = Some(level);
                }
            }
            _ => {
                request.extras.insert(at, value);
            }
        }
    }
    request.thinking = Some(thinking).filter(|thinking| *thinking != Thinking::default());
    Ok(())
}

fn tools(request: &mut Request, value: Value) -> Result<(), Refusal> {
    for (index, tool) in list_at(value, "tools")?.into_iter().enumerate() {
        let at = format!("tools[{index}]");
        for (name, value) in object_at(tool, &at)? {
            if name != "functionDeclarations" {
                let tool = Map::from_iter([(name, value)]);
                request.tools.push(Tool::Native(Dialect::Gemini, Value::Object(tool)));
                continue;
            }
            let at = format!("{at}.functionDeclarations");
            for (index, declaration) in list_at(value, &at)?.into_iter().enumerate() {
                let function = function(request, declaration, &format!("{at}[{index}]"))?;
                request.tools.push(Tool::Function(function));
            }
        }
    }
    Ok(())
}

fn function(request: &mut Request, value: Value, at: &str) -> Result<Function, Refusal> {
    let mut function = Function::default();
    for (name, value) in object_at(value, at)? {
        let at = format!("{at}.{name}");
        match name.as_str() {
            "name" => function.name = text_at(value, &at)?,
            "description" => function.description = Some(text_at(value, &at)?),
            "parameters" => function.parameters = Some(schema::from_openapi(value)),
            "parametersJsonSchema" => function.parameters = Some(value),
            _ => {
                request.extras.insert(at, value);
            }
        }
    }
    if function.name.is_empty() {
        return Err(missing(&format!("{at}.name")));
    }
    Ok(function)
}

fn tool_config(request: &mut Request, value: Value) -> Result<(), Refusal> {
    let mut mode = None;
    let mut names = Vec::new();
    for (name, value) in object_at(value, "toolConfig")? {
        let at = format!("toolConfig.{name}");
        if name != "functionCallingConfig" {
            request.extras.insert(at, value);
            continue;
        }
        for (name, value) in object_at(value, &at)? {
            let at = format!("{at}.{name}");
            match name.as_str() {
                "mode" => mode = Some(text_at(value, &at)?.to_ascii_uppercase()),
                "allowedFunctionNames" => {
                    names = list_at(value, &at)?
                        .into_iter()
                        .map(|name| text_at(name, &at))
                        .collect::<Result<_, _>>()?;
                }
                _ => {
                    request.extras.insert(at, value);
                }
            }
        }
    }
    let at = "toolConfig.functionCallingConfig.mode";
    request.tool_choice = match mode.as_deref() {
        None | Some("MODE_UNSPECIFIED") if names.is_empty() => None,
        Some("NONE") => Some(ToolChoice::None),
        Some("ANY") => Some(match names.as_slice() {
            [] => ToolChoice::Required,
            [name] => ToolChoice::Function(name.clone()),
            _ => ToolChoice::Allowed { names, required: true },
        }),
        Some("AUTO") if names.is_empty() => Some(ToolChoice::Auto),
        Some("VALIDATED") if names.is_empty() => {
            // Arguments follow their schemas strictly: nothing that others know for all functions at once.
            request.extras.insert(at.to_owned(), Value::from("VALIDATED"));
            Some(ToolChoice::Auto)
        }
        None | Some("MODE_UNSPECIFIED" | "AUTO" | "VALIDATED") => {
            Some(ToolChoice::Allowed { names, required: false })
        }
        Some(other) => {
            let message = format!("'{other}' is no mode: use AUTO, ANY, NONE or VALIDATED.");
            return Err(Refusal::bad_param("invalid_value", at, message));
        }
    };
    Ok(())
}
