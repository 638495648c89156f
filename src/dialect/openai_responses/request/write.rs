//! The canonical form → a provider's request.

use super::{
    super::{OWN, response, unproof},
    INCLUDE_ENCRYPTED, INCLUDE_LOGPROBS,
};
use crate::{
    dialect::{Dialect, Order, Written, json},
    model::{
        part::{Body, Media, MediaKind, Part, Reasoning, Source, ToolCall, ToolResult},
        request::{Format, Function, Request, Role, Sampling, Thinking, Tool, ToolChoice, Turn},
    },
};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;

/// A request for a provider that speaks Responses.
///
/// One that comes from another dialect is not to be kept by the provider (`store`), as that dialect would not have it
/// either; thoughts are then asked for in the form that can be given back.
#[must_use]
pub fn write(request: &Request, order: &Order<'_>) -> Written {
    let mut written = Written::default();
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(order.model));
    let (list, unnamed, made, beside) = Default::default();
    let mut items = Items { request, written: &mut written, list, unnamed, made, beside };
    let mut turns = request.turns.iter().enumerate().peekable();
    if let Some((_, turn)) = turns.next_if(|(_, turn)| is_instructions(turn)) {
        items.beside = 1;
        body.insert("instructions".to_owned(), json!(words(&turn.parts)));
    }
    for (index, turn) in turns {
        items.turn(index, turn);
    }
    body.insert("input".to_owned(), Value::Array(items.list));
    if request.stream {
        body.insert("stream".to_owned(), json!(true));
    }
    write_tools(request, &mut body, &mut written);
    if let Some(format) = &request.format {
        body.insert("text".to_owned(), json!({"format": write_format(format)}));
    }
    if let Some(cap) = order.output_cap.or(request.output_cap) {
        body.insert("max_output_tokens".to_owned(), json!(cap));
    }
    write_sampling(request, &mut body, &mut written);
    let mut include = Vec::new();
    if request.sampling.logprobs {
        include.push(json!(INCLUDE_LOGPROBS));
    }
    if let Some(reasoning) = request.thinking.as_ref().and_then(|thinking| write_thinking(thinking, order)) {
        // A model that does not think refuses both members.
        if request.dialect != OWN
            && keeps(order)
            && reasoning.get("effort").is_none_or(|effort| effort != "none")
        {
            include.push(json!(INCLUDE_ENCRYPTED));
        }
        body.insert("reasoning".to_owned(), Value::Object(reasoning));
    }
    if !include.is_empty() {
        body.insert("include".to_owned(), Value::Array(include));
    }
    if let Some(user) = &request.user {
        body.insert("user".to_owned(), json!(user));
    }
    match request.service_tier.as_deref() {
        Some(tier) if request.dialect == OWN || is_tier(tier) => {
            body.insert("service_tier".to_owned(), json!(tier));
        }
        Some(_) => written.dropped.push("service_tier".to_owned()),
        None => {}
    }
    if !request.metadata.is_empty() && matches!(request.dialect, OWN | Dialect::OpenAiChat) {
        body.insert("metadata".to_owned(), Value::Object(request.metadata.clone()));
    }
    let mut body = Value::Object(body);
    write_extras(request, order, &mut body, &mut written);
    written.body = json::bytes(&body);
    written
}

/// The tiers that OpenAI's other API has as well.
fn is_tier(tier: &str) -> bool {
    matches!(tier, "auto" | "default" | "flex" | "scale" | "priority")
}

/// Members of chat completions that are the same here.
const OF_CHAT: [(&str, &str); 6] = [
    ("verbosity", "text.verbosity"),
    ("prompt_cache_key", "prompt_cache_key"),
    ("prompt_cache_options", "prompt_cache_options"),
    ("prompt_cache_retention", "prompt_cache_retention"),
    ("safety_identifier", "safety_identifier"),
    ("store", "store"),
];

/// Whether the provider is known to keep answers unless told not to, and to give thoughts sealed instead
/// (<https://docs.x.ai/developers/model-capabilities/text/comparison>, read 2026-11-21). Others may refuse the members.
fn keeps(order: &Order<'_>) -> bool {
    matches!(order.kind, "openai" | "azure" | "xai")
}

fn write_extras(request: &Request, order: &Order<'_>, body: &mut Value, written: &mut Written) {
    for (name, value) in &request.extras {
        if request.dialect == OWN {
            if name == "include"
                && let (Some(Value::Array(list)), Value::Array(more)) = (body.get_mut("include"), value)
            {
                list.extend(more.iter().cloned());
            } else {
                put(body, name, value);
            }
        } else if let Some((_, place)) =
            OF_CHAT.iter().find(|(chat, _)| request.dialect == Dialect::OpenAiChat && chat == name)
        {
            put(body, place, value);
        } else {
            written.dropped.push(name.clone());
        }
    }
    if request.dialect != OWN && keeps(order) && body.get("store").is_none() {
        put(body, "store", &json!(false));
    }
}

/// Puts a value where its path (`input[2].content[0].detail`) says, if there is such a place. Objects are made on the
/// way, items of lists are not.
fn put(body: &mut Value, path: &str, value: &Value) {
    let mut at = body;
    let mut steps = path.split('.').peekable();
    while let Some(step) = steps.next() {
        let mut pieces = step.split('[');
        let name = pieces.next().unwrap_or_default();
        let Some(members) = at.as_object_mut() else { return };
        if steps.peek().is_none() && !step.contains('[') {
            members.insert(name.to_owned(), value.clone());
            return;
        }
        if !step.contains('[') {
            members.entry(name.to_owned()).or_insert_with(|| json!({}));
        }
        let Some(mut inner) = members.get_mut(name) else { return };
        for piece in pieces {
            let index = piece.strip_suffix(']').and_then(|digits| digits.parse::<usize>().ok());
            let Some(next) = index.and_then(|index| inner.get_mut(index)) else { return };
            inner = next;
        }
        at = inner;
    }
}

/// Whether a turn can be said in `instructions`.
fn is_instructions(turn: &Turn) -> bool {
    turn.role == Role::System
        && !turn.parts.is_empty()
        && turn.parts.iter().all(|part| matches!(part.body, Body::Text(_)) && part.cache.is_none())
}

fn words(parts: &[Part]) -> String {
    let texts = parts.iter().filter_map(|part| match &part.body {
        Body::Text(text) => Some(text.text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n\n")
}

/// The items so far.
struct Items<'a> {
    request: &'a Request,
    written: &'a mut Written,
    list: Vec<Value>,
    /// Calls whose dialect gives no ids, and the ids made up for them, until their results come.
    unnamed: VecDeque<(String, String)>,
    made: usize,
    /// Turns of instructions so far.
    beside: usize,
}

impl Items<'_> {
    fn turn(&mut self, index: usize, turn: &Turn) {
        let place = self.place(index);
        self.beside += usize::from(turn.role == Role::System);
        if turn.name.is_some() {
            self.written.dropped.push(format!("{place}.name"));
        }
        let role = match turn.role {
            Role::System => "system",
            Role::Developer => "developer",
            Role::User => "user",
            Role::Assistant => return self.assistant(turn, &place),
            Role::Tool => return self.results(turn, &place),
        };
        let content = self.content(&turn.parts, &place);
        if !turn.parts.is_empty() && content.as_array().is_some_and(Vec::is_empty) {
            return;
        }
        self.list.push(json!({"role": role, "content": content}));
    }

    /// Where the caller had a turn. Some dialects have instructions in a member of their own.
    fn place(&self, index: usize) -> String {
        match self.request.dialect {
            OWN => format!("input[{index}]"),
            Dialect::OpenAiChat | Dialect::Cohere => format!("messages[{index}]"),
            Dialect::Anthropic | Dialect::Bedrock => format!("messages[{}]", index - self.beside),
            Dialect::Gemini => format!("contents[{}]", index - self.beside),
        }
    }

    /// A text alone stays a text.
    fn content(&mut self, parts: &[Part], place: &str) -> Value {
        if let [Part { body: Body::Text(text), cache: None, .. }] = parts {
            return json!(text.text);
        }
        let each = parts.iter().enumerate();
        Value::Array(
            each.filter_map(|(index, part)| self.part(part, &format!("{place}.content[{index}]"))).collect(),
        )
    }

    fn part(&mut self, part: &Part, place: &str) -> Option<Value> {
        let mut value = match &part.body {
            Body::Text(text) if text.text.is_empty() && self.request.dialect != OWN => return None,
            Body::Text(text) => json!({"type": "input_text", "text": text.text}),
            Body::Refusal(text) => json!({"type": "input_text", "text": text}),
            Body::Media(media) => match write_media(media) {
                Ok(value) => value,
                Err(why) => {
                    self.written.refused.push(format!("{place} ({why})"));
                    return None;
                }
            },
            Body::Native(OWN, value) => value.clone(),
            Body::Reasoning(_) => return None,
            Body::Native(..) | Body::ToolCall(_) | Body::ToolResult(_) => {
                self.written.dropped.push(place.to_owned());
                return None;
            }
        };
        // Other dialects' marks are left out: older models refuse the member, and all of them cache without it.
        if part.cache.is_some()
            && self.request.dialect == OWN
            && let Some(members) = value.as_object_mut()
        {
            members.insert("prompt_cache_breakpoint".to_owned(), json!({"mode": "explicit"}));
        }
        Some(value)
    }

    fn assistant(&mut self, turn: &Turn, place: &str) {
        // Texts and refusals since the last item of another kind.
        let mut said: Vec<&Part> = Vec::new();
        for (index, part) in turn.parts.iter().enumerate() {
            if matches!(part.body, Body::Text(_) | Body::Refusal(_)) {
                said.push(part);
                continue;
            }
            self.message(&mut said);
            match &part.body {
                Body::Reasoning(reasoning) => self.reasoning(reasoning, part),
                Body::ToolCall(call) => self.call(call),
                Body::Native(OWN, value) => self.list.push(value.clone()),
                _ => self.written.dropped.push(format!("{place}.content[{index}]")),
            }
        }
        self.message(&mut said);
        if turn.parts.is_empty() && self.request.dialect == OWN {
            self.list.push(json!({"role": "assistant", "content": []}));
        }
    }

    fn message(&mut self, said: &mut Vec<&Part>) {
        let parts = std::mem::take(said);
        let content = match parts.as_slice() {
            [] => return,
            [Part { body: Body::Text(text), cache: None, .. }] if text.citations.is_empty() => {
                // An empty message says nothing, and some servers refuse it.
                if text.text.is_empty() && self.request.dialect != OWN {
                    return;
                }
                json!(text.text)
            }
            parts => Value::Array(parts.iter().map(|part| write_said(part)).collect()),
        };
        self.list.push(json!({"type": "message", "role": "assistant", "content": content}));
    }

    fn reasoning(&mut self, reasoning: &Reasoning, part: &Part) {
        let proof = part.signature.as_ref().map(|signature| signature.for_maker(OWN));
        let (id, encrypted) = match proof {
            // Of another maker.
            Some(None) => return,
            Some(Some(text)) => unproof(text),
            // Kept by the provider, or the first part of an item whose last one has the proof.
            None if self.request.dialect == OWN => ("", ""),
            None => return,
        };
        let id = reasoning.id.as_deref().unwrap_or(id);
        // The words of an item whose summary came before.
        let joins = |last: &Value| {
            let is = |name: &str, word: &str| last.get(name).and_then(Value::as_str) == Some(word);
            let open = ["content", "encrypted_content"].iter().all(|name| last.get(name).is_none());
            !reasoning.summary && !id.is_empty() && is("type", "reasoning") && is("id", id) && open
        };
        if !self.list.last().is_some_and(joins) {
            let mut item = json!({"type": "reasoning", "summary": []});
            if let Some(members) = item.as_object_mut().filter(|_| !id.is_empty()) {
                members.insert("id".to_owned(), json!(id));
            }
            self.list.push(item);
        }
        let Some(item) = self.list.last_mut().and_then(Value::as_object_mut) else { return };
        if reasoning.summary && !reasoning.text.is_empty() {
            item.insert("summary".to_owned(), json!([{"type": "summary_text", "text": reasoning.text}]));
        } else if !reasoning.text.is_empty() {
            item.insert("content".to_owned(), json!([{"type": "reasoning_text", "text": reasoning.text}]));
        }
        if !encrypted.is_empty() {
            item.insert("encrypted_content".to_owned(), json!(encrypted));
        }
    }

    fn call(&mut self, call: &ToolCall) {
        let id = if call.id.is_empty() {
            self.made += 1;
            let id = format!("call_{}", self.made);
            self.unnamed.push_back((call.name.clone(), id.clone()));
            id
        } else {
            call.id.clone()
        };
        let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
        self.list
            .push(json!({"type": "function_call", "call_id": id, "name": call.name, "arguments": arguments}));
    }

    fn results(&mut self, turn: &Turn, place: &str) {
        for (index, part) in turn.parts.iter().enumerate() {
            let place = format!("{place}.content[{index}]");
            match &part.body {
                Body::ToolResult(result) => self.result(result, &place),
                _ => self.written.dropped.push(place),
            }
        }
    }

    fn result(&mut self, result: &ToolResult, place: &str) {
        let id = if result.id.is_empty() { self.named(result.name.as_deref()) } else { result.id.clone() };
        let plain = |part: &Part| match &part.body {
            Body::Text(text) if part.cache.is_none() => Some(text.text.clone()),
            Body::Native(dialect, value) if *dialect != OWN => Some(value.to_string()),
            _ => None,
        };
        let output = match result.parts.as_slice() {
            [] => json!(""),
            [part] if plain(part).is_some() => json!(plain(part)),
            parts => {
                let each = parts.iter().enumerate();
                let shown = each.filter_map(|(index, part)| match (&part.body, plain(part)) {
                    (Body::Native(..), Some(text)) => Some(json!({"type": "input_text", "text": text})),
                    _ => self.part(part, &format!("{place}.content[{index}]")),
                });
                Value::Array(shown.collect())
            }
        };
        if result.is_error {
            self.written.dropped.push(format!("{place}.is_error"));
        }
        self.list.push(json!({"type": "function_call_output", "call_id": id, "output": output}));
    }

    /// The id made up for the oldest call of this name that has no result yet; of any name where none is told.
    fn named(&mut self, name: Option<&str>) -> String {
        let at = self.unnamed.iter().position(|(called, _)| name.is_none_or(|name| name == called));
        at.and_then(|at| self.unnamed.remove(at)).map_or_else(|| "call_0".to_owned(), |(_, id)| id)
    }
}

fn write_said(part: &Part) -> Value {
    match &part.body {
        Body::Refusal(text) => json!({"type": "refusal", "refusal": text}),
        Body::Text(text) => {
            let annotations: Vec<Value> = text
                .citations
                .iter()
                .filter_map(|citation| response::annotation(citation, &text.text))
                .collect();
            json!({"type": "output_text", "text": text.text, "annotations": annotations})
        }
        _ => Value::Null,
    }
}

fn write_media(media: &Media) -> Result<Value, &'static str> {
    // A file's id is the same for all of OpenAI's API.
    let file = match &media.source {
        Source::File(OWN | Dialect::OpenAiChat, id) => Some(id),
        Source::File(..) => return Err("a file of another provider"),
        _ => None,
    };
    match media.kind {
        MediaKind::Image => {
            let detail = media.detail.as_deref().unwrap_or("auto");
            Ok(match file {
                Some(id) => json!({"type": "input_image", "file_id": id, "detail": detail}),
                None => json!({"type": "input_image", "image_url": media.to_url(), "detail": detail}),
            })
        }
        MediaKind::Document => Ok(match (&media.source, file) {
            (_, Some(id)) => json!({"type": "input_file", "file_id": id}),
            (Source::Text(text), _) => {
                let name = media.name.as_ref().map(|name| format!("{name}\n\n")).unwrap_or_default();
                json!({"type": "input_text", "text": format!("{name}{text}")})
            }
            (Source::Url(url), _) => {
                let mut value = json!({"type": "input_file", "file_url": url});
                if let (Some(name), Some(members)) = (&media.name, value.as_object_mut()) {
                    members.insert("filename".to_owned(), json!(name));
                }
                value
            }
            // Its API wants a name beside the data.
            _ => {
                let name = media.name.as_deref().unwrap_or(match media.mime.as_deref() {
                    Some("text/plain") => "document.txt",
                    _ => "document.pdf",
                });
                let data = match &media.source {
                    Source::Base64(data) if media.mime.is_none() => Some(data.clone()),
                    _ => media.to_url(),
                };
                json!({"type": "input_file", "filename": name, "file_data": data})
            }
        }),
        MediaKind::Audio => match (&media.source, media.mime.as_deref()) {
            (Source::Base64(data), mime) => {
                let format = match mime {
                    Some("audio/mpeg" | "audio/mp3") => "mp3",
                    Some(mime) => mime.strip_prefix("audio/").unwrap_or("wav").trim_start_matches("x-"),
                    None => "wav",
                };
                Ok(json!({"type": "input_audio", "input_audio": {"data": data, "format": format}}))
            }
            _ => Err("audio that is not in the request"),
        },
        MediaKind::Video => Err("video"),
    }
}

fn write_tools(request: &Request, body: &mut Map<String, Value>, written: &mut Written) {
    let mut tools = Vec::new();
    for (index, tool) in request.tools.iter().enumerate() {
        match tool {
            Tool::Function(function) => tools.push(write_function(function, request.dialect)),
            Tool::Native(OWN, value) => tools.push(value.clone()),
            Tool::Native(..) => written.refused.push(format!("tools[{index}]")),
        }
    }
    let function = |name: &String| json!({"type": "function", "name": name});
    let choice = request.tool_choice.as_ref().map(|choice| match choice {
        ToolChoice::Auto => json!("auto"),
        ToolChoice::None => json!("none"),
        ToolChoice::Required => json!("required"),
        ToolChoice::Function(name) => function(name),
        ToolChoice::Allowed { names, required } => {
            let tools: Vec<Value> = names.iter().map(function).collect();
            let mode = if *required { "required" } else { "auto" };
            json!({"type": "allowed_tools", "mode": mode, "tools": tools})
        }
    });
    if let Some(choice) = choice.filter(|_| !tools.is_empty() || request.dialect == OWN) {
        body.insert("tool_choice".to_owned(), choice);
    }
    if let Some(parallel) =
        request.parallel_tool_calls.filter(|_| !tools.is_empty() || request.dialect == OWN)
    {
        body.insert("parallel_tool_calls".to_owned(), json!(parallel));
    }
    if !tools.is_empty() {
        body.insert("tools".to_owned(), Value::Array(tools));
    }
}

fn write_function(function: &Function, dialect: Dialect) -> Value {
    let mut value = json!({"type": "function", "name": function.name});
    if let Some(members) = value.as_object_mut() {
        if let Some(description) = &function.description {
            members.insert("description".to_owned(), json!(description));
        }
        if let Some(parameters) = &function.parameters {
            members.insert("parameters".to_owned(), parameters.clone());
        }
        // Strict unless told otherwise here, and the other way round in every other dialect
        // (<https://platform.openai.com/docs/guides/migrate-to-responses>, read 2026-11-21).
        if let Some(strict) = function.strict.or((dialect != OWN).then_some(false)) {
            members.insert("strict".to_owned(), json!(strict));
        }
    }
    value
}

fn write_format(format: &Format) -> Value {
    match format {
        Format::Json => json!({"type": "json_object"}),
        Format::Schema { name, description, schema, strict } => {
            let mut value = json!({"type": "json_schema", "name": name.as_deref().unwrap_or("response")});
            if let Some(members) = value.as_object_mut() {
                if let Some(description) = description {
                    members.insert("description".to_owned(), json!(description));
                }
                members.insert("schema".to_owned(), schema.clone());
                if let Some(strict) = strict {
                    members.insert("strict".to_owned(), json!(strict));
                }
            }
            value
        }
    }
}

fn write_sampling(request: &Request, body: &mut Map<String, Value>, written: &mut Written) {
    let Sampling {
        temperature,
        top_p,
        top_k,
        presence_penalty,
        frequency_penalty,
        seed,
        stop,
        choices,
        logprobs: _,
        top_logprobs,
        logit_bias,
    } = &request.sampling;
    for (name, value) in [("temperature", temperature), ("top_p", top_p)] {
        if let Some(value) = value {
            body.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(top) = top_logprobs {
        body.insert("top_logprobs".to_owned(), json!(top));
    }
    let [in_openai, in_anthropic, in_gemini] = match request.dialect {
        OWN | Dialect::OpenAiChat => [true, false, false],
        Dialect::Anthropic | Dialect::Bedrock | Dialect::Cohere => [false, true, false],
        Dialect::Gemini => [false, false, true],
    };
    let named = |openai: &str, anthropic: &str, gemini: &str| {
        let all = [(in_openai, openai), (in_anthropic, anthropic), (in_gemini, gemini)];
        all.into_iter().find(|(is, _)| *is).map_or_else(String::new, |(_, name)| name.to_owned())
    };
    let penalties = [("presence_penalty", presence_penalty), ("frequency_penalty", frequency_penalty)];
    for (name, value) in penalties {
        match value {
            Some(value) if request.dialect == OWN => {
                body.insert(name.to_owned(), value.clone());
            }
            Some(_) => written.dropped.push(name.to_owned()),
            None => {}
        }
    }
    if top_k.is_some() {
        written.dropped.push(named("top_k", "top_k", "generationConfig.topK"));
    }
    if seed.is_some() {
        written.dropped.push(named("seed", "seed", "generationConfig.seed"));
    }
    if logit_bias.is_some() {
        written.dropped.push("logit_bias".to_owned());
    }
    if !stop.is_empty() {
        written.dropped.push(named("stop", "stop_sequences", "generationConfig.stopSequences"));
    }
    if choices.is_some_and(|count| count != 1) {
        written.refused.push(named("n", "n", "generationConfig.candidateCount"));
    }
}

/// `reasoning`, if there is anything to say. A budget is told as the nearest level.
fn write_thinking(thinking: &Thinking, order: &Order<'_>) -> Option<Map<String, Value>> {
    let mut reasoning = Map::new();
    let of_budget = || {
        let budget = thinking.budget_tokens.filter(|_| thinking.enabled != Some(false));
        budget.map(|tokens| Thinking::effort_of_budget(tokens).to_owned())
    };
    // Models before GPT-5.1 cannot do without, and those that never think refuse the member.
    let off =
        (thinking.enabled == Some(false) && order.model.starts_with("gpt-5.")).then(|| "none".to_owned());
    if let Some(effort) = thinking.effort.clone().or_else(of_budget).or(off) {
        reasoning.insert("effort".to_owned(), json!(effort));
    }
    let summary = thinking.summary.as_deref().or((thinking.shown == Some(true)).then_some("auto"));
    if let Some(summary) = summary {
        reasoning.insert("summary".to_owned(), json!(summary));
    }
    (!reasoning.is_empty()).then_some(reasoning)
}
