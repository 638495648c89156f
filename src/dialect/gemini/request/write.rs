//! The canonical request as Google gets it.

mod config;

use super::{
    super::{generation, part},
    MADE_UP_ID,
};
use crate::{
    dialect::{Dialect, Order, Written, json},
    model::{
        part::{Body, Media, Part, Text, ToolResult},
        request::{Request, Role, Tool, ToolChoice, Turn},
    },
};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// What Google takes in place of the signature of a call that another model made: from the third generation on, calls of
/// the current turn without one are refused (<https://ai.google.dev/gemini-api/docs/thought-signatures>, FAQ, read
/// 2026-11-21).
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// Writes a provider's request.
#[must_use]
pub fn write(request: &Request, order: &Order<'_>) -> Written {
    let (body, mut written) = body(request, order);
    written.body = json::bytes(&Value::Object(body));
    written
}

/// Writes a provider's request to count the request's tokens. Google AI Studio takes instructions and tools in
/// `generateContentRequest` only, Vertex beside the contents (<https://ai.google.dev/api/tokens>, read 2026-11-21).
#[must_use]
pub fn write_count(request: &Request, order: &Order<'_>) -> Written {
    let (mut body, mut written) = body(request, order);
    let body = if is_vertex(order) {
        body.retain(|name, _| {
            matches!(name.as_str(), "contents" | "systemInstruction" | "tools" | "generationConfig")
        });
        Value::Object(body)
    } else {
        body.insert("model".to_owned(), json!(format!("models/{}", order.model)));
        json!({ "generateContentRequest": body })
    };
    written.body = json::bytes(&body);
    written
}

/// Vertex AI, which knows a few members more and a few less than Google AI Studio.
fn is_vertex(order: &Order<'_>) -> bool {
    order.kind.contains("vertex")
}

fn body(request: &Request, order: &Order<'_>) -> (Map<String, Value>, Written) {
    let mut writer = Writer {
        request,
        generation: generation(order.model),
        vertex: is_vertex(order),
        pro: order.model.contains("-pro"),
        contents: Vec::new(),
        instructions: Vec::new(),
        names: HashMap::new(),
        words: Vec::new(),
        written: Written::default(),
    };
    let mut body = Map::new();
    writer.conversation();
    if writer.contents.is_empty() {
        // Only instructions: Google wants something to answer.
        let parts = std::mem::take(&mut writer.instructions);
        writer.contents.push(Content { role: "user", parts });
    }
    let contents = std::mem::take(&mut writer.contents);
    body.insert("contents".to_owned(), contents.into_iter().map(Content::into_value).collect());
    if !writer.instructions.is_empty() {
        let parts = std::mem::take(&mut writer.instructions);
        body.insert("systemInstruction".to_owned(), json!({ "parts": parts }));
    }
    writer.tools(&mut body);
    let mut config = writer.generation_config(order);
    writer.extras(&mut body, &mut config);
    if !config.is_empty() {
        body.insert("generationConfig".to_owned(), Value::Object(config));
    }
    writer.written.dropped.extend(writer.words.iter().map(|word| (*word).to_owned()));
    (body, writer.written)
}

struct Content {
    role: &'static str,
    parts: Vec<Value>,
}

impl Content {
    fn into_value(self) -> Value {
        json!({ "role": self.role, "parts": self.parts })
    }

    fn has(&self, name: &str) -> bool {
        self.parts.iter().any(|part| part.get(name).is_some())
    }
}

struct Writer<'a> {
    request: &'a Request,
    generation: Option<(u32, u32)>,
    vertex: bool,
    pro: bool,
    contents: Vec<Content>,
    instructions: Vec<Value>,
    /// Functions by the ids of their calls.
    names: HashMap<&'a str, &'a str>,
    /// Names of what was left out that can come up more than once.
    words: Vec<&'static str>,
    written: Written,
}

impl<'a> Writer<'a> {
    fn is_own(&self) -> bool {
        self.request.dialect == Dialect::Gemini
    }

    fn is_third(&self) -> bool {
        self.generation.is_some_and(|(major, _)| major >= 3)
    }

    /// Where the caller finds a part of a turn, in the caller's dialect; near enough where turns were joined or split.
    fn place(&self, turn: usize, part: usize) -> String {
        match self.request.dialect {
            Dialect::Gemini => format!("contents[{turn}].parts[{part}]"),
            Dialect::OpenAiResponses => format!("input[{turn}].content[{part}]"),
            _ => format!("messages[{turn}].content[{part}]"),
        }
    }

    /// Notes what is left out, by its place or its name.
    fn drop(&mut self, name: impl Into<String>) {
        self.written.dropped.push(name.into());
    }

    /// Notes what is left out here and perhaps elsewhere.
    fn drop_once(&mut self, word: &'static str) {
        if !self.words.contains(&word) {
            self.words.push(word);
        }
    }

    fn conversation(&mut self) {
        let request = self.request;
        let mut after = Vec::new();
        for (index, turn) in request.turns.iter().enumerate() {
            if turn.role != Role::Tool {
                self.say("user", std::mem::take(&mut after));
            }
            match turn.role {
                Role::System | Role::Developer => self.instruct(index, turn),
                Role::Tool => {
                    let parts = self.results(index, turn, &mut after);
                    self.say("user", parts);
                }
                Role::User => {
                    let parts = self.parts(index, turn);
                    self.say("user", parts);
                }
                Role::Assistant => {
                    let parts = self.parts(index, turn);
                    self.say("model", parts);
                }
            }
            if turn.name.is_some() {
                self.drop(format!("messages[{index}].name"));
            }
        }
        self.say("user", after);
        if self.is_third() {
            self.sign_calls();
        }
    }

    fn say(&mut self, role: &'static str, parts: Vec<Value>) {
        if parts.is_empty() {
            return;
        }
        match self.contents.last_mut() {
            Some(last) if last.role == role => last.parts.extend(parts),
            _ => self.contents.push(Content { role, parts }),
        }
    }

    /// The first call of each step of the current turn needs a signature. The turn begins with what the person said last.
    fn sign_calls(&mut self) {
        let begin = self
            .contents
            .iter()
            .rposition(|content| content.role == "user" && !content.has("functionResponse"))
            .unwrap_or(0);
        for content in self.contents.iter_mut().skip(begin).filter(|content| content.role == "model") {
            if let Some(Value::Object(call)) =
                content.parts.iter_mut().find(|part| part.get("functionCall").is_some())
                && !call.contains_key("thoughtSignature")
            {
                call.insert("thoughtSignature".to_owned(), json!(NO_SIGNATURE));
            }
        }
    }

    fn instruct(&mut self, index: usize, turn: &Turn) {
        for (at, part) in turn.parts.iter().enumerate() {
            self.mark(part);
            match &part.body {
                Body::Text(Text { text, .. }) | Body::Refusal(text) if !text.is_empty() => {
                    self.instructions.push(json!({ "text": text }));
                }
                Body::Text(_) | Body::Refusal(_) | Body::Reasoning(_) => {}
                _ => {
                    let place = self.place(index, at);
                    self.written.refused.push(place);
                }
            }
        }
    }

    /// Google caches by itself and by names, not by marks.
    fn mark(&mut self, part: &Part) {
        if part.cache.is_some() {
            self.drop_once("cache_control");
        }
    }

    fn parts(&mut self, index: usize, turn: &'a Turn) -> Vec<Value> {
        let mut written = Vec::new();
        // A signature that came on thoughts without words (other dialects have no place for it elsewhere) is that of
        // what follows them.
        let mut carried: Option<&str> = None;
        for (at, part) in turn.parts.iter().enumerate() {
            self.mark(part);
            let own = part.signature.as_ref().and_then(|signature| signature.for_maker(Dialect::Gemini));
            let piece = match &part.body {
                Body::Text(Text { text, .. }) | Body::Refusal(text) => {
                    if text.is_empty() && own.is_none() {
                        continue;
                    }
                    Map::from_iter([("text".to_owned(), json!(text))])
                }
                Body::Reasoning(thoughts) => {
                    let ours = self.is_own() && part.signature.is_none();
                    if own.is_none() && !ours {
                        continue;
                    }
                    if thoughts.text.is_empty() && !self.is_own() {
                        carried = own.or(carried);
                        continue;
                    }
                    let mut piece = Map::from_iter([("thought".to_owned(), json!(true))]);
                    if !thoughts.redacted {
                        piece.insert("text".to_owned(), json!(thoughts.text));
                    }
                    if let Some(own) = own {
                        piece.insert("thoughtSignature".to_owned(), json!(own));
                    }
                    written.push(Value::Object(piece));
                    continue;
                }
                Body::Media(media) => match self.media(media) {
                    Some(piece) => piece,
                    None => {
                        let place = self.place(index, at);
                        self.written.refused.push(place);
                        continue;
                    }
                },
                Body::ToolCall(call) => {
                    self.names.insert(&call.id, &call.name);
                    let id =
                        Some(call.id.as_str()).filter(|id| !id.is_empty() && !id.starts_with(MADE_UP_ID));
                    part::write_call(call, id)
                }
                // A result outside of a turn of results: readers do not make these.
                Body::ToolResult(result) => {
                    let mut after = Vec::new();
                    let piece = self.result(result, (index, at), &mut after);
                    written.push(piece);
                    written.extend(after);
                    continue;
                }
                Body::Native(Dialect::Gemini, Value::Object(native)) => native.clone(),
                Body::Native(..) => {
                    let place = self.place(index, at);
                    self.drop(place);
                    continue;
                }
            };
            let mut piece = piece;
            if let Some(own) = own.or_else(|| carried.take()) {
                piece.insert("thoughtSignature".to_owned(), json!(own));
            }
            written.push(Value::Object(piece));
        }
        if let Some(own) = carried {
            written.push(json!({ "text": "", "thoughtSignature": own }));
        }
        written
    }

    fn media(&mut self, media: &Media) -> Option<Map<String, Value>> {
        part::write_media(media)
    }

    fn results(&mut self, index: usize, turn: &'a Turn, after: &mut Vec<Value>) -> Vec<Value> {
        let mut written = Vec::new();
        for (at, part) in turn.parts.iter().enumerate() {
            self.mark(part);
            if let Body::ToolResult(result) = &part.body {
                written.push(self.result(result, (index, at), after));
            }
        }
        written
    }

    /// A result. What it has of media stays within it from the third generation on
    /// (<https://ai.google.dev/gemini-api/docs/function-calling#multimodal>, read 2026-11-21), and follows the results
    /// (`after`) before, or where it is of a kind that results cannot hold.
    fn result(&mut self, result: &'a ToolResult, at: (usize, usize), after: &mut Vec<Value>) -> Value {
        let mut said = String::new();
        let mut within = Vec::new();
        for part in &result.parts {
            self.mark(part);
            match &part.body {
                Body::Text(Text { text, .. }) | Body::Refusal(text) => {
                    if !said.is_empty() && !text.is_empty() {
                        said.push('\n');
                    }
                    said.push_str(text);
                }
                Body::Native(_, value) => {
                    if !said.is_empty() {
                        said.push('\n');
                    }
                    said.push_str(&value.to_string());
                }
                Body::Media(media) => match self.media(media) {
                    Some(piece) if self.is_third() && fits_result(part::mime_of(media)) => {
                        within.push(Value::Object(piece));
                    }
                    Some(piece) => after.push(Value::Object(piece)),
                    None => {
                        let place = self.place(at.0, at.1);
                        self.written.refused.push(place);
                    }
                },
                Body::Reasoning(_) | Body::ToolCall(_) | Body::ToolResult(_) => {}
            }
        }
        let name = result.name.as_deref().or_else(|| self.names.get(result.id.as_str()).copied());
        let mut response = Map::new();
        if !result.id.is_empty() && !result.id.starts_with(MADE_UP_ID) {
            response.insert("id".to_owned(), json!(result.id));
        }
        response.insert("name".to_owned(), json!(name.unwrap_or("function")));
        let empty = said.is_empty() && (!within.is_empty() || self.is_own());
        let said = if empty { json!({}) } else { part::response(&said, result.is_error) };
        response.insert("response".to_owned(), said);
        if !within.is_empty() {
            response.insert("parts".to_owned(), Value::Array(within));
        }
        json!({ "functionResponse": response })
    }

    fn tools(&mut self, body: &mut Map<String, Value>) {
        let mut functions = Vec::new();
        let mut tools = Vec::new();
        let mut strict = None;
        for (index, tool) in self.request.tools.iter().enumerate() {
            match tool {
                Tool::Function(function) => {
                    let mut declaration = Map::from_iter([("name".to_owned(), json!(function.name))]);
                    if let Some(description) = &function.description {
                        declaration.insert("description".to_owned(), json!(description));
                    }
                    // Standard schemas as they are (<https://ai.google.dev/api/caching#FunctionDeclaration>, read
                    // 2026-11-21). `parameters` would take a part of them only, in another spelling.
                    if let Some(parameters) = &function.parameters {
                        declaration.insert("parametersJsonSchema".to_owned(), parameters.clone());
                    }
                    functions.push(Value::Object(declaration));
                    if function.strict == Some(true) {
                        strict = strict.or(Some(index));
                    }
                    if function.cache.is_some() {
                        self.drop_once("cache_control");
                    }
                }
                Tool::Native(Dialect::Gemini, tool) => tools.push(tool.clone()),
                Tool::Native(..) => self.written.refused.push(format!("tools[{index}]")),
            }
        }
        if !functions.is_empty() {
            tools.insert(0, json!({ "functionDeclarations": functions }));
        }
        let mode = self.tool_choice(strict);
        if !tools.is_empty() {
            body.insert("tools".to_owned(), Value::Array(tools));
        }
        if let Some(mode) = mode {
            body.insert("toolConfig".to_owned(), json!({ "functionCallingConfig": mode }));
        }
        if self.request.parallel_tool_calls == Some(false) && !functions.is_empty() {
            self.drop("parallel_tool_calls");
        }
    }

    /// `strict` is the index of a function whose arguments must follow its schema. All modes but AUTO see to that
    /// (<https://ai.google.dev/gemini-api/docs/function-calling#function_calling_modes>, read 2026-11-21).
    fn tool_choice(&mut self, strict: Option<usize>) -> Option<Value> {
        match (&self.request.tool_choice, strict) {
            (Some(ToolChoice::None), _) => Some(json!({ "mode": "NONE" })),
            (Some(ToolChoice::Required), _) => Some(json!({ "mode": "ANY" })),
            (Some(ToolChoice::Function(name)), _) => {
                Some(json!({ "mode": "ANY", "allowedFunctionNames": [name] }))
            }
            (Some(ToolChoice::Allowed { names, required }), _) => {
                let mode = if *required { "ANY" } else { "VALIDATED" };
                Some(json!({ "mode": mode, "allowedFunctionNames": names }))
            }
            (Some(ToolChoice::Auto) | None, Some(_)) if self.is_third() => {
                Some(json!({ "mode": "VALIDATED" }))
            }
            (choice, strict) => {
                if let Some(index) = strict {
                    self.drop(format!("tools[{index}].strict"));
                }
                choice.is_some().then(|| json!({ "mode": "AUTO" }))
            }
        }
    }

    /// The caller's further members: back to their places if the caller speaks this dialect.
    fn extras(&mut self, body: &mut Map<String, Value>, config: &mut Map<String, Value>) {
        let request = self.request;
        if request.user.is_some() {
            let name = self.named("user");
            self.drop(name);
        }
        match request.service_tier.as_deref() {
            None | Some("auto") => {}
            // Vertex takes it in a header.
            Some(tier @ ("default" | "standard" | "flex" | "priority")) if !self.vertex => {
                let tier = if tier == "default" { "standard" } else { tier };
                body.insert("serviceTier".to_owned(), json!(tier));
            }
            Some("default" | "standard") => {}
            Some(_) => self.drop("service_tier"),
        }
        for (name, value) in &request.extras {
            let steps: Vec<&str> = name.split('.').collect();
            let placed = match steps.as_slice() {
                // Chat's word for what the answer may be made of.
                ["modalities"] if request.dialect == Dialect::OpenAiChat => {
                    modalities(value).is_some_and(|wanted| put(config, &["responseModalities"], &wanted))
                }
                _ if !self.is_own() || name.contains('[') => false,
                // Marks for the bill that only Vertex has.
                ["labels"] => self.vertex && body.insert(name.clone(), value.clone()).is_none(),
                ["generationConfig", rest @ ..] => put(config, rest, value),
                _ => put(body, &steps, value),
            };
            if !placed {
                self.drop(name.clone());
            }
        }
    }
}

/// Puts a value where the path says.
fn put(object: &mut Map<String, Value>, path: &[&str], value: &Value) -> bool {
    match path {
        [] => false,
        [name] => {
            object.insert((*name).to_owned(), value.clone());
            true
        }
        [name, rest @ ..] => {
            let inner = object.entry(*name).or_insert_with(|| Value::Object(Map::new()));
            inner.as_object_mut().is_some_and(|inner| put(inner, rest, value))
        }
    }
}

/// `["text", "image"]` in Google's words; nothing else is translated.
fn modalities(value: &Value) -> Option<Value> {
    let word = |one: &Value| match one.as_str()? {
        "text" => Some(json!("TEXT")),
        "image" => Some(json!("IMAGE")),
        _ => None,
    };
    value.as_array()?.iter().map(word).collect::<Option<Vec<Value>>>().map(Value::Array)
}

/// What a function's response can hold
/// (<https://ai.google.dev/gemini-api/docs/function-calling#multimodal>, read 2026-11-21).
fn fits_result(mime: &str) -> bool {
    matches!(mime, "image/png" | "image/jpeg" | "image/webp" | "application/pdf" | "text/plain")
}
