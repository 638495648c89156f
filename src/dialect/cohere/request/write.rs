//! A provider's request.

use super::super::{Cited, arguments, plan_at, written_citation};
use crate::{
    dialect::{Dialect, Order, Written, json},
    model::{
        part::{Body, Media, MediaKind, Part, Source, Text, ToolCall, ToolResult},
        request::{Format, Function, Request, Role, Thinking, Tool, ToolChoice, Turn},
    },
};
use serde_json::{Map, Value, json};
use std::collections::{HashSet, VecDeque};

/// The most stop texts (<https://docs.cohere.com/reference/chat>, read 2026-11-21).
const STOP_MAX: usize = 5;

/// "temperature must be between 0 and 1.0 inclusive" (<https://docs.cohere.com/errors-reference>, read 2026-11-21), while
/// others go to 2. What is above is 1, and named: it is less than was asked for.
const TEMPERATURE_MAX: f64 = 1.0;

/// Writes a body of `/v2/chat`.
#[must_use]
pub fn write(request: &Request, order: &Order<'_>) -> Written {
    let mut writer = Writer { own: request.dialect == Dialect::Cohere, ..Writer::default() };
    writer.set("model", json!(order.model));
    let messages = writer.messages(&request.turns);
    writer.set("messages", Value::Array(messages));
    writer.tools(request);
    writer.format(request.format.as_ref());
    writer.sampling(request);
    writer.thinking(request.thinking.as_ref());
    if let Some(cap) = order.output_cap.or(request.output_cap) {
        writer.set("max_tokens", json!(cap));
    }
    writer.set("stream", json!(request.stream));
    writer.rest(request);
    Written {
        body: json::bytes(&Value::Object(writer.body)),
        dropped: writer.dropped,
        refused: writer.refused,
    }
}

#[derive(Default)]
struct Writer {
    /// The request was read from this dialect: numbers go back as they came, for Cohere to judge.
    own: bool,
    body: Map<String, Value>,
    dropped: Vec<String>,
    refused: Vec<String>,
    /// Function and id of calls that came without an id and have no result yet.
    made_up: VecDeque<(String, String)>,
}

impl Writer {
    fn set(&mut self, name: &str, value: Value) {
        self.body.insert(name.to_owned(), value);
    }

    fn drop(&mut self, name: impl Into<String>) {
        self.dropped.push(name.into());
    }

    fn refuse(&mut self, name: impl Into<String>) {
        self.refused.push(name.into());
    }

    fn messages(&mut self, turns: &[Turn]) -> Vec<Value> {
        let mut messages = Vec::with_capacity(turns.len());
        let is_system = |turn: &Turn| matches!(turn.role, Role::System | Role::Developer);
        if !self.own {
            // Instructions come first and once ("system turn must be the first in the list",
            // <https://docs.cohere.com/errors-reference>, read 2026-11-21).
            let mut blocks = Vec::new();
            for (index, turn) in turns.iter().enumerate().filter(|(_, turn)| is_system(turn)) {
                self.blocks(turn, false, &format!("messages[{index}]"), &mut blocks);
            }
            messages.extend(content(blocks).map(|content| json!({"role": "system", "content": content})));
        }
        for (index, turn) in turns.iter().enumerate() {
            let path = format!("messages[{index}]");
            if turn.name.is_some() {
                self.drop(format!("{path}.name"));
            }
            match turn.role {
                Role::System | Role::Developer if !self.own => {}
                Role::System | Role::Developer => messages.extend(self.said("system", turn, &path)),
                Role::User => messages.extend(self.said("user", turn, &path)),
                Role::Assistant => messages.extend(self.assistant(turn, index, &path)),
                Role::Tool => {
                    for (at, part) in turn.parts.iter().enumerate() {
                        match &part.body {
                            Body::ToolResult(result) => {
                                messages.push(self.result(result, &format!("{path}.content[{at}]")));
                            }
                            _ => self.drop(format!("{path}.content[{at}]")),
                        }
                    }
                }
            }
        }
        messages
    }

    /// A message of the application or the person.
    fn said(&mut self, role: &str, turn: &Turn, path: &str) -> Option<Value> {
        let mut blocks = Vec::new();
        self.blocks(turn, role == "user", path, &mut blocks);
        let content = content(blocks)?;
        Some(json!({"role": role, "content": content}))
    }

    /// What it says.
    fn blocks(&mut self, turn: &Turn, images: bool, path: &str, blocks: &mut Vec<Value>) {
        for (at, part) in turn.parts.iter().enumerate() {
            let place = format!("{path}.content[{at}]");
            match &part.body {
                Body::Text(text) => blocks.push(text_block(&text.text)),
                Body::Refusal(text) => blocks.push(text_block(text)),
                Body::Media(media) if media.kind == MediaKind::Image && images => match image(media) {
                    Some(block) => blocks.push(block),
                    None => self.refuse(place),
                },
                // There is no document in a user's message: its text is all the model would see of it.
                Body::Media(media) => match &media.source {
                    Source::Text(text) => blocks.push(text_block(&titled(media, text))),
                    _ => self.refuse(place),
                },
                Body::Native(Dialect::Cohere, block) => blocks.push(block.clone()),
                Body::Reasoning(_) => {}
                Body::ToolResult(result) => {
                    // Only whoever builds turns by hand puts a result here; it is said as text rather than lost.
                    blocks.push(text_block(&plain(&result.parts)));
                }
                Body::Native(..) | Body::ToolCall(_) => self.drop(place),
            }
        }
    }

    fn assistant(&mut self, turn: &Turn, index: usize, path: &str) -> Option<Value> {
        let plan_at = plan_at(&turn.parts);
        let (mut blocks, mut calls, mut citations, mut plan) = (Vec::new(), Vec::new(), Vec::new(), None);
        let mut texts = 0;
        for (at, part) in turn.parts.iter().enumerate() {
            match &part.body {
                Body::Text(text) if plan_at == Some(at) => {
                    citations.extend(own_citations(text, Cited::Plan));
                    plan = Some(text.text.as_str());
                }
                Body::Text(text) if text.text.is_empty() => {}
                Body::Text(text) => {
                    let place = if texts == 0 { Cited::First } else { Cited::Content(blocks.len() as u64) };
                    citations.extend(own_citations(text, place));
                    blocks.push(text_block(&text.text));
                    texts += 1;
                }
                Body::Refusal(text) if text.is_empty() => {}
                Body::Refusal(text) => {
                    blocks.push(text_block(text));
                    texts += 1;
                }
                Body::Reasoning(thoughts) => {
                    let own =
                        part.signature.as_ref().and_then(|mark| mark.for_maker(Dialect::Cohere)).is_some();
                    if own && !thoughts.redacted && !thoughts.text.is_empty() {
                        blocks.push(json!({"type": "thinking", "thinking": thoughts.text}));
                    }
                }
                Body::ToolCall(call) => calls.push(self.call(call, index, at)),
                Body::Native(Dialect::Cohere, block) => blocks.push(block.clone()),
                Body::Native(..) | Body::Media(_) | Body::ToolResult(_) => {
                    self.drop(format!("{path}.content[{at}]"));
                }
            }
        }
        let mut message = Map::new();
        message.insert("role".to_owned(), json!("assistant"));
        if let Some(plan) = plan {
            message.insert("tool_plan".to_owned(), json!(plan));
        }
        if !calls.is_empty() {
            message.insert("tool_calls".to_owned(), Value::Array(calls));
        }
        if let Some(content) = content(blocks) {
            message.insert("content".to_owned(), content);
        }
        if !citations.is_empty() {
            message.insert("citations".to_owned(), Value::Array(citations));
        }
        (message.len() > 1).then_some(Value::Object(message))
    }

    fn call(&mut self, call: &ToolCall, turn: usize, at: usize) -> Value {
        let id = if call.id.is_empty() {
            let id = format!("call_{turn}_{at}");
            self.made_up.push_back((call.name.clone(), id.clone()));
            id
        } else {
            call.id.clone()
        };
        json!({"id": id, "type": "function",
               "function": {"name": call.name, "arguments": arguments(&call.arguments)}})
    }

    fn result(&mut self, result: &ToolResult, path: &str) -> Value {
        let id =
            if result.id.is_empty() { self.made_up_id(result.name.as_deref()) } else { result.id.clone() };
        if result.is_error {
            self.drop(format!("{path}.is_error"));
        }
        let mut blocks = Vec::new();
        for (at, part) in result.parts.iter().enumerate() {
            match &part.body {
                Body::Text(text) => blocks.push(text_block(&text.text)),
                Body::Refusal(text) => blocks.push(text_block(text)),
                Body::Media(media) => match &media.source {
                    Source::Text(text) => blocks.push(document(media, text)),
                    // Tool messages take text and documents only.
                    _ => self.refuse(format!("{path}.content[{at}]")),
                },
                Body::Native(Dialect::Cohere, block) => blocks.push(block.clone()),
                // A result that is JSON in its own dialect.
                Body::Native(_, value @ Value::Object(_)) => {
                    blocks.push(json!({"type": "document", "document": {"data": value}}));
                }
                Body::Native(_, value) => blocks.push(text_block(&value.to_string())),
                Body::Reasoning(_) | Body::ToolCall(_) | Body::ToolResult(_) => {
                    self.drop(format!("{path}.content[{at}]"));
                }
            }
        }
        // A tool may have nothing to say; the message is still needed to answer the call.
        let content = content(blocks).unwrap_or_else(|| json!(""));
        json!({"role": "tool", "tool_call_id": id, "content": content})
    }

    /// The id made up for the call that a result without one answers: the first open one of its function.
    fn made_up_id(&mut self, name: Option<&str>) -> String {
        let at = self.made_up.iter().position(|(function, _)| name.is_none_or(|name| name == function));
        at.and_then(|at| self.made_up.remove(at)).map(|(_, id)| id).unwrap_or_default()
    }

    fn tools(&mut self, request: &Request) {
        // Cohere cannot be told which function to call, but it can be shown that one alone.
        let shown: Option<HashSet<&str>> = match &request.tool_choice {
            Some(ToolChoice::Function(name)) => Some(HashSet::from([name.as_str()])),
            Some(ToolChoice::Allowed { names, .. }) => Some(names.iter().map(String::as_str).collect()),
            _ => None,
        };
        let (mut written, mut strict, mut loose) = (Vec::new(), Vec::new(), false);
        for (index, tool) in request.tools.iter().enumerate() {
            match tool {
                Tool::Function(function) => {
                    if shown.as_ref().is_some_and(|shown| !shown.contains(&function.name.as_str())) {
                        continue;
                    }
                    written.push(self::tool(function));
                    if function.strict == Some(true) && (self.own || strictable(function)) {
                        strict.push(index);
                    } else {
                        if function.strict == Some(true) {
                            self.drop(format!("tools[{index}].strict"));
                        }
                        loose = true;
                    }
                }
                Tool::Native(Dialect::Cohere, tool) => written.push(tool.clone()),
                Tool::Native(..) => self.refuse(format!("tools[{index}]")),
            }
        }
        let choice = match &request.tool_choice {
            Some(ToolChoice::None) => Some("NONE"),
            Some(
                ToolChoice::Required | ToolChoice::Function(_) | ToolChoice::Allowed { required: true, .. },
            ) => Some("REQUIRED"),
            Some(ToolChoice::Auto | ToolChoice::Allowed { .. }) | None => None,
        };
        if written.is_empty() {
            // Nothing to choose from: what must be called is not there.
            if choice == Some("REQUIRED") {
                self.refuse("tool_choice");
            }
        } else {
            self.set("tools", Value::Array(written));
        }
        // `strict_tools` is for all tools of a request or none.
        if loose {
            for index in strict {
                self.drop(format!("tools[{index}].strict"));
            }
        } else if !strict.is_empty() {
            self.set(super::STRICT_TOOLS, json!(true));
        }
        if let Some(choice) =
            choice.filter(|choice| self.own || *choice == "REQUIRED" || self.body.contains_key("tools"))
        {
            self.set("tool_choice", json!(choice));
        }
        if request.parallel_tool_calls == Some(false) {
            self.drop("parallel_tool_calls");
        }
    }

    fn format(&mut self, format: Option<&Format>) {
        match format {
            None => {}
            Some(Format::Json) => self.set("response_format", json!({"type": "json_object"})),
            Some(Format::Schema { schema, .. }) => {
                self.set("response_format", json!({"type": "json_object", "json_schema": schema}));
            }
        }
    }

    fn sampling(&mut self, request: &Request) {
        let sampling = &request.sampling;
        let own = self.own;
        let mut number = |name: &str, value: Option<&Value>, fit: fn(f64) -> f64| {
            let Some(value) = value else { return };
            let fitted = value.as_f64().map(|given| (given, fit(given)));
            let value = match fitted {
                #[expect(clippy::float_cmp, reason = "a number that was not changed is itself")]
                Some((given, fitted)) if !own && given != fitted => json!(fitted),
                _ => value.clone(),
            };
            self.body.insert(name.to_owned(), value);
        };
        number("temperature", sampling.temperature.as_ref(), |given| given.min(TEMPERATURE_MAX));
        // From 0.01 to 0.99 here (<https://docs.cohere.com/reference/chat>, read 2026-11-21), while 1 is what others send for
        // "all": the nearest is taken, since leaving it out would mean Cohere's own 0.75.
        number("p", sampling.top_p.as_ref(), |given| given.clamp(0.01, 0.99));
        if !own
            && sampling
                .temperature
                .as_ref()
                .and_then(Value::as_f64)
                .is_some_and(|given| given > TEMPERATURE_MAX)
        {
            self.drop("temperature");
        }
        // 500 at most (same page); further tokens are next to never chosen.
        if let Some(k) = &sampling.top_k {
            let k = if own { k.clone() } else { k.as_u64().map_or_else(|| k.clone(), |k| json!(k.min(500))) };
            self.set("k", k);
        }
        // From 0 to 1 here (same page), from −2 to 2 elsewhere: what does not fit would mean something else. Some models
        // take one of the two only (the page of errors above): 0, which says nothing, is left out.
        let penalties = [
            ("frequency_penalty", &sampling.frequency_penalty),
            ("presence_penalty", &sampling.presence_penalty),
        ];
        for (name, value) in penalties {
            let Some(value) = value else { continue };
            match value.as_f64() {
                _ if own => self.set(name, value.clone()),
                Some(0.0) => {}
                Some(number) if (0.0..=1.0).contains(&number) => self.set(name, value.clone()),
                _ => self.drop(name),
            }
        }
        if let Some(seed) = &sampling.seed {
            self.set("seed", seed.clone());
        }
        if !sampling.stop.is_empty() {
            if !own && sampling.stop.len() > STOP_MAX {
                self.refuse("stop");
            }
            self.set("stop_sequences", json!(sampling.stop));
        }
        if sampling.choices.is_some_and(|choices| choices > 1) {
            self.refuse("n");
        }
        if sampling.logprobs {
            self.set("logprobs", json!(true));
        }
        if sampling.top_logprobs.is_some_and(|others| others > 0) {
            self.drop("top_logprobs");
        }
        if sampling.logit_bias.is_some() {
            self.drop("logit_bias");
        }
    }

    fn thinking(&mut self, thinking: Option<&Thinking>) {
        let Some(thinking) = thinking else { return };
        let effort = thinking.effort.as_deref();
        if thinking.enabled == Some(false) || effort == Some("none") || thinking.budget_tokens == Some(0) {
            let budget = thinking.budget_tokens.filter(|_| self.own);
            let off = budget.map_or_else(
                || json!({"type": "disabled"}),
                |budget| json!({"type": "disabled", "token_budget": budget}),
            );
            self.set("thinking", off);
            return;
        }
        let budget = thinking.budget_tokens.or_else(|| effort.and_then(Thinking::budget_of_effort));
        if let Some(budget) = budget {
            self.set("thinking", json!({"type": "enabled", "token_budget": budget}));
        } else if thinking.enabled == Some(true) || thinking.adaptive {
            self.set("thinking", json!({"type": "enabled"}));
        }
    }

    /// What Cohere has no place for, and what only it has.
    fn rest(&mut self, request: &Request) {
        if request.user.is_some() {
            self.drop("user");
        }
        if request.service_tier.as_deref().is_some_and(|tier| tier != "auto" && tier != "default") {
            self.drop("service_tier");
        }
        for (name, value) in &request.extras {
            if self.own {
                self.set(name, value.clone());
            } else {
                self.drop(name.as_str());
            }
        }
    }
}

fn text_block(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// `content` of these blocks: a text alone is a string. Empty texts are left out where there is something else to say.
fn content(mut blocks: Vec<Value>) -> Option<Value> {
    let empty = |block: &Value| block.get("text").and_then(Value::as_str) == Some("");
    if !blocks.iter().all(empty) {
        blocks.retain(|block| !empty(block));
    } else {
        blocks.truncate(1);
    }
    match blocks.as_slice() {
        [] => None,
        [Value::Object(block)] if block.len() == 2 && block.get("type") == Some(&json!("text")) => {
            block.get("text").cloned()
        }
        _ => Some(Value::Array(blocks)),
    }
}

fn image(media: &Media) -> Option<Value> {
    let mut image = Map::new();
    image.insert("url".to_owned(), json!(media.to_url()?));
    if let Some(detail) = &media.detail {
        image.insert("detail".to_owned(), json!(detail));
    }
    Some(json!({"type": "image_url", "image_url": image}))
}

/// A text document with its title, for a place where there is only text.
fn titled(media: &Media, text: &str) -> String {
    match &media.name {
        Some(name) => format!("{name}\n\n{text}"),
        None => text.to_owned(),
    }
}

/// A text document as a tool's result: an object stays one, so that its members can be cited.
fn document(media: &Media, text: &str) -> Value {
    let object = (media.mime.as_deref() == Some("application/json"))
        .then(|| serde_json::from_str::<Value>(text).ok().filter(Value::is_object))
        .flatten();
    let mut document = Map::new();
    document.insert("data".to_owned(), object.unwrap_or_else(|| json!(text)));
    if let Some(name) = &media.name {
        document.insert("id".to_owned(), json!(name));
    }
    json!({"type": "document", "document": document})
}

/// The texts of parts.
fn plain(parts: &[Part]) -> String {
    let texts = parts.iter().filter_map(|part| match &part.body {
        Body::Text(text) => Some(text.text.as_str()),
        Body::Media(Media { source: Source::Text(text), .. }) => Some(text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// Of a text in the conversation so far: only what Cohere wrote itself.
fn own_citations(text: &Text, place: Cited) -> impl Iterator<Item = Value> {
    let own = text.citations.iter().filter(|cited| matches!(cited.native, Some((Dialect::Cohere, _))));
    own.map(move |citation| written_citation(citation, &text.text, place))
}

fn tool(function: &Function) -> Value {
    let mut written = Map::new();
    written.insert("name".to_owned(), json!(function.name));
    if let Some(description) = &function.description {
        written.insert("description".to_owned(), json!(description));
    }
    // Required here.
    let parameters =
        function.parameters.clone().unwrap_or_else(|| json!({"type": "object", "properties": {}}));
    written.insert("parameters".to_owned(), parameters);
    json!({"type": "function", "function": written})
}

/// Whether Cohere takes a function with `strict_tools`: it must have a required parameter
/// (<https://docs.cohere.com/docs/tool-use-parameter-types>, read 2026-11-21).
fn strictable(function: &Function) -> bool {
    let required = function.parameters.as_ref().and_then(|schema| schema.get("required"));
    required.and_then(Value::as_array).is_some_and(|required| !required.is_empty())
}
