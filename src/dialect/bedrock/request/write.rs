//! A request as Bedrock gets it.
//!
//! - Instructions go to the head, wherever they stood.
//! - Messages of the same role become one; results of tools come first in theirs, as Claude demands.
//! - Ids of calls are made fit Bedrock's pattern, and made up where the caller's dialect has none.
//! - "Never call a tool" cannot be said (`toolChoice` has no such word, see <https://github.com/boto/boto3/issues/4687>, read
//!   2026-11-21). The tools are left out, unless the conversation has calls in it: then `toolConfig` is required, the tools go
//!   along, and `tool_choice` is reported as dropped. Where a conversation has calls and the caller offers no tools any more,
//!   the tools it called are named without their schemas.
//! - Texts of nothing but spaces are left out, since they are refused.

use super::{
    OWN,
    family::{self, Family},
    names,
};
use crate::{
    dialect::{
        Order, Written,
        bedrock::{content, media},
        json,
    },
    model::{
        part::{Body, CacheMark, Part, ToolResult},
        request::{Format, Function, Request, Role, Tool, ToolChoice},
    },
};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// A request for Bedrock. The model, and whether a stream is wanted, are in the path.
#[must_use]
pub fn write(request: &Request, order: &Order<'_>) -> Written {
    let mut writing = Writing {
        request,
        own: request.dialect == OWN,
        family: family::of(order.model),
        system: Vec::new(),
        messages: Vec::new(),
        documents: Vec::new(),
        ids: Ids::default(),
        written: Written::default(),
    };
    writing.turns();
    let mut body = Map::new();
    writing.settle_messages();
    writing.inference(order, &mut body);
    let messages = std::mem::take(&mut writing.messages);
    body.insert("messages".to_owned(), messages.into_iter().map(Message::into_json).collect());
    writing.tools(&mut body);
    if !writing.system.is_empty() {
        body.insert("system".to_owned(), Value::Array(std::mem::take(&mut writing.system)));
    }
    writing.format(&mut body);
    writing.rest(&mut body);
    let mut written = writing.written;
    written.body = json::bytes(&Value::Object(body));
    written
}

struct Message {
    role: &'static str,
    blocks: Vec<Value>,
    /// How many blocks at the beginning belong to results of tools.
    results: usize,
}

impl Message {
    /// Moved, not copied: media may be most of the request.
    fn into_json(self) -> Value {
        let mut message = Map::new();
        message.insert("role".to_owned(), json!(self.role));
        message.insert("content".to_owned(), Value::Array(self.blocks));
        Value::Object(message)
    }

    fn has(&self, name: &str) -> bool {
        self.blocks.iter().any(|block| block.get(name).is_some())
    }
}

struct Writing<'a> {
    request: &'a Request,
    /// The caller speaks Bedrock: what they say is passed on as they say it.
    own: bool,
    family: Family,
    system: Vec<Value>,
    messages: Vec<Message>,
    /// Names of documents so far.
    documents: Vec<String>,
    ids: Ids,
    written: Written,
}

impl Writing<'_> {
    fn called(&self, name: &'static str) -> String {
        names::called(self.request.dialect, name)
    }

    fn drop(&mut self, name: &'static str) {
        let name = self.called(name);
        self.written.dropped.push(name);
    }

    fn turns(&mut self) {
        let request = self.request;
        for (index, turn) in request.turns.iter().enumerate() {
            let place = names::turn(request.dialect, index);
            if turn.name.is_some() {
                self.written.dropped.push(format!("{place}.name"));
            }
            for (index, part) in turn.parts.iter().enumerate() {
                let place = names::part(request.dialect, &place, index);
                let block = self.block(part, &place);
                if matches!(turn.role, Role::System | Role::Developer) {
                    if let Some(block) = block {
                        if block.get("text").is_some() || block.get("guardContent").is_some() || self.own {
                            self.system.push(block);
                        } else {
                            self.written.refused.push(format!("{place} (instructions can only be text)"));
                        }
                    }
                    if let Some(mark) = part.cache.filter(|_| self.caches() && !self.system.is_empty()) {
                        self.system.push(self.point(mark));
                    }
                } else {
                    let role = if turn.role == Role::Assistant { "assistant" } else { "user" };
                    self.push(role, block, part.cache);
                }
            }
        }
    }

    fn caches(&self) -> bool {
        self.own || self.family.caches().0
    }

    /// A mark, as long as the model caches.
    fn point(&self, mark: CacheMark) -> Value {
        content::write_cache_point(if self.own { mark } else { self.family.lasting(mark) })
    }

    /// Appends a block, and the mark behind it.
    fn push(&mut self, role: &'static str, block: Option<Value>, mark: Option<CacheMark>) {
        let takes_any = self.own || self.family.caches_results();
        let point = mark.filter(|_| self.caches()).map(|mark| self.point(mark));
        if self.messages.last().is_none_or(|last| last.role != role) && block.is_some() {
            self.messages.push(Message { role, blocks: Vec::new(), results: 0 });
        }
        let Some(message) = self.messages.last_mut().filter(|last| last.role == role) else { return };
        let is_result = block.as_ref().is_some_and(|block| block.get("toolResult").is_some());
        // The mark of a text that is left out is behind what was said before.
        let behind = block.as_ref().or_else(|| message.blocks.last());
        let behind_result = behind.is_some_and(|block| block.get("toolResult").is_some());
        let point = point.filter(|_| takes_any || !behind_result);
        for block in block.into_iter().chain(point) {
            if is_result && !self.own && role == "user" {
                message.blocks.insert(message.results.min(message.blocks.len()), block);
                message.results += 1;
            } else {
                message.blocks.push(block);
            }
        }
    }

    /// What whole messages must be like.
    fn settle_messages(&mut self) {
        if self.own {
            return;
        }
        if self.messages.is_empty() && !self.system.is_empty() {
            // Somebody has to speak.
            let blocks = std::mem::take(&mut self.system);
            self.messages.push(Message { role: "user", blocks, results: 0 });
        }
        for message in self.messages.iter_mut().filter(|message| message.role == "user") {
            // "If you include a document, you must also include a text"
            // (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html>, read 2026-11-21).
            if message.has("document") && !message.has("text") {
                let name =
                    message.blocks.iter().find_map(|block| block.get("document")?.get("name")?.as_str());
                let text = json!({"text": format!("Document: {}", name.unwrap_or_default())});
                message.blocks.push(text);
            }
        }
    }

    fn block(&mut self, part: &Part, place: &str) -> Option<Value> {
        match &part.body {
            Body::Text(text) if !self.own && text.text.trim().is_empty() => None,
            Body::Text(text) => {
                Some(if self.own { content::write_text(text) } else { json!({"text": text.text}) })
            }
            Body::Refusal(text) if text.trim().is_empty() => None,
            Body::Refusal(text) => Some(json!({"text": text})),
            Body::Reasoning(reasoning) => {
                // Without a signature only a caller who speaks Bedrock can have them from Bedrock.
                match part.signature.as_ref() {
                    Some(signature) => content::write_reasoning(reasoning, Some(signature.for_maker(OWN)?)),
                    None if self.own => content::write_reasoning(reasoning, None),
                    None => None,
                }
            }
            Body::Media(media) => match media::write(media, self.own) {
                Ok(mut block) => {
                    media::name_apart(&mut block, &mut self.documents);
                    Some(content::block(media::member(media.kind), block))
                }
                Err(why) => {
                    self.written.refused.push(format!("{place} ({why})"));
                    None
                }
            },
            Body::ToolCall(call) => Some(json!({"toolUse": {
                "toolUseId": self.ids.of_call(&call.id, &call.name),
                "name": call.name,
                "input": content::input_of(&call.arguments),
            }})),
            Body::ToolResult(result) => Some(self.result(result, place)),
            Body::Native(OWN, block) => Some(block.clone()),
            Body::Native(..) => {
                self.written.dropped.push(place.to_owned());
                None
            }
        }
    }

    fn result(&mut self, result: &ToolResult, place: &str) -> Value {
        let mut blocks = Vec::with_capacity(result.parts.len());
        for (index, part) in result.parts.iter().enumerate() {
            match &part.body {
                Body::Native(OWN, value) if content::is_result_block(value) => blocks.push(value.clone()),
                Body::Native(OWN, value) if self.own => blocks.push(json!({"json": value})),
                // Bedrock's JSON is an object.
                Body::Native(_, value @ Value::Object(_)) => blocks.push(json!({"json": value})),
                Body::Native(_, value) => blocks.push(json!({"text": value.to_string()})),
                _ => {
                    let place = format!("{place}.content[{index}]");
                    blocks.extend(self.block(part, &place));
                }
            }
        }
        let mut block = Map::new();
        let id = self.ids.of_result(&result.id, result.name.as_deref());
        block.insert("toolUseId".to_owned(), json!(id));
        block.insert("content".to_owned(), Value::Array(blocks));
        // Success is what every model takes a result for; the other word is Claude's and Nova's alone
        // (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolResultBlock.html>, read 2026-11-21).
        if result.is_error && (self.own || self.family.caches().0) {
            block.insert("status".to_owned(), json!("error"));
        } else if result.is_error {
            self.written.dropped.push(format!("{place}.is_error"));
        }
        content::block("toolResult", block)
    }

    fn inference(&mut self, order: &Order<'_>, body: &mut Map<String, Value>) {
        let request = self.request;
        let mut config = self.own_extra("inferenceConfig");
        let mut fields = self.own_extra("additionalModelRequestFields");
        if let Some(cap) = order.output_cap {
            config.insert("maxTokens".to_owned(), json!(cap));
        }
        if let Some(wish) = &request.thinking
            && !self.family.put_thinking(request, wish, order.output_cap, &mut fields)
        {
            self.drop("reasoning_effort");
        }
        let way =
            |fields: &Map<String, Value>| fields.get("thinking")?.get("type")?.as_str().map(str::to_owned);
        let thinking = way(&fields).filter(|way| way == "enabled" || way == "adaptive");
        if !self.own && thinking.is_some_and(|way| self.may_not_think(&way)) {
            fields.shift_remove("thinking");
            fields.shift_remove("output_config");
            self.drop("reasoning_effort");
        }
        let thinks = way(&fields).is_some_and(|way| way != "disabled");
        let (none, one) = if self.own { (false, false) } else { self.family.sampling() };
        let sampling = &request.sampling;
        // Claude that thinks takes no other temperature than 1, no `top_p` and no `top_k`
        // (<https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html>, read 2026-11-21).
        let fixed = none || !self.own && (thinks || family::thinks_uncapped(&fields));
        if let Some(temperature) = &sampling.temperature {
            let number = temperature.as_f64().unwrap_or(1.0);
            if fixed && (number - 1.0).abs() > f64::EPSILON {
                self.drop("temperature");
            } else if number > 1.0 && !self.own {
                // Other dialects go up to 2.
                self.drop("temperature");
                config.insert("temperature".to_owned(), json!(1));
            } else if !fixed {
                config.insert("temperature".to_owned(), temperature.clone());
            }
        }
        if let Some(top_p) = &sampling.top_p {
            if fixed || one && sampling.temperature.is_some() {
                self.drop("top_p");
            } else {
                config.insert("topP".to_owned(), top_p.clone());
            }
        }
        if let Some(top_k) = &sampling.top_k
            && (fixed || !self.family.put_top_k(top_k, &mut fields))
        {
            self.drop("top_k");
        }
        let stop: Vec<&String> =
            sampling.stop.iter().filter(|text| self.own || !text.trim().is_empty()).collect();
        if stop.len() < sampling.stop.len() {
            // Refused: by Bedrock if empty, by Claude if it is nothing but spaces.
            self.drop("stop");
        }
        if !stop.is_empty() {
            config.insert("stopSequences".to_owned(), json!(stop));
        }
        let lost = [
            ("presence_penalty", sampling.presence_penalty.is_some()),
            ("frequency_penalty", sampling.frequency_penalty.is_some()),
            ("seed", sampling.seed.is_some()),
            ("logit_bias", sampling.logit_bias.is_some()),
            ("logprobs", sampling.logprobs),
            ("top_logprobs", sampling.top_logprobs.is_some()),
        ];
        for (name, there) in lost {
            if there {
                self.drop(name);
            }
        }
        if sampling.choices.is_some_and(|choices| choices > 1) {
            let name = self.called("n");
            self.written.refused.push(name);
        }
        for (name, members) in [("inferenceConfig", config), ("additionalModelRequestFields", fields)] {
            if !members.is_empty() {
                body.insert(name.to_owned(), Value::Object(members));
            }
        }
    }

    /// Whether Claude would refuse to think here: if it is told to call a tool; and, with a budget, if it is in the midst of
    /// calls and its thoughts before them are not there, since the caller's dialect did not bring them back
    /// (<https://platform.claude.com/docs/en/build-with-claude/thinking-tool-workflows>). A model that decides itself refuses
    /// to be told on Bedrock up to 4.7 (<https://github.com/langchain-ai/langchain-aws/pull/1151>); later ones then call
    /// without a thought, so that nothing is lost (all read 2026-11-21).
    fn may_not_think(&self, way: &str) -> bool {
        let among_calls = || {
            let [.., said, results] = self.messages.as_slice() else { return false };
            let first = said.blocks.first();
            results.has("toolResult") && first.is_some_and(|block| block.get("reasoningContent").is_none())
        };
        self.told() && self.family.forces() || way == "enabled" && among_calls()
    }

    /// Whether the caller wants a tool called in any case.
    const fn told(&self) -> bool {
        matches!(
            self.request.tool_choice,
            Some(ToolChoice::Required | ToolChoice::Function(_) | ToolChoice::Allowed { required: true, .. })
        )
    }

    /// What the caller's own member of this name says beyond what is understood.
    fn own_extra(&self, name: &str) -> Map<String, Value> {
        let extra = self.request.extras.get(name).filter(|_| self.own);
        extra.and_then(Value::as_object).cloned().unwrap_or_default()
    }

    fn tools(&mut self, body: &mut Map<String, Value>) {
        let request = self.request;
        let calls = || {
            request.turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match &part.body {
                Body::ToolCall(call) => Some(call.name.as_str()),
                Body::ToolResult(_) => Some(""),
                _ => None,
            })
        };
        if request.parallel_tool_calls == Some(false) {
            self.drop("parallel_tool_calls");
        }
        if request.tool_choice == Some(ToolChoice::None) {
            if calls().next().is_none() {
                return;
            }
            self.drop("tool_choice");
        }
        // As for Anthropic's own API: the choice is left to a model that cannot be forced, and it is told in words
        // (<https://github.com/langchain-ai/langchain-aws/pull/1274>, read 2026-11-21).
        let cannot = !self.own && self.told() && !self.family.forces();
        let allowed: Option<HashSet<&String>> = match &request.tool_choice {
            Some(ToolChoice::Allowed { names, .. }) => Some(names.iter().collect()),
            Some(ToolChoice::Function(name)) if cannot => Some(HashSet::from([name])),
            _ => None,
        };
        let mut tools = Vec::new();
        for (index, tool) in request.tools.iter().enumerate() {
            match tool {
                Tool::Function(function) => {
                    if allowed.as_ref().is_some_and(|names| !names.contains(&function.name)) {
                        continue;
                    }
                    tools.push(self.spec(function, index));
                    if let Some(mark) = function.cache.filter(|_| self.own || self.family.caches().1) {
                        tools.push(self.point(mark));
                    }
                }
                Tool::Native(OWN, value) => tools.push(value.clone()),
                Tool::Native(..) => self.written.refused.push(format!("tools[{index}]")),
            }
        }
        let mut config = self.own_extra("toolConfig");
        if tools.is_empty() && !self.own {
            let mut called: Vec<&str> = calls().collect();
            called.sort_unstable();
            called.dedup();
            if called.len() > 1 {
                called.retain(|name| !name.is_empty());
            }
            for name in called {
                let name = if name.is_empty() { "unknown" } else { name };
                tools.push(json!({"toolSpec": {"name": name, "inputSchema": {"json": any_object()}}}));
            }
        }
        if tools.is_empty() {
            return;
        }
        config.insert("tools".to_owned(), Value::Array(tools));
        let choice = match &request.tool_choice {
            None | Some(ToolChoice::None) => None,
            Some(_) if cannot => Some(json!({"auto": {}})),
            Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => Some(json!({"auto": {}})),
            Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => {
                Some(json!({"any": {}}))
            }
            Some(ToolChoice::Function(name)) => Some(json!({"tool": {"name": name}})),
        };
        if let Some(choice) = choice {
            config.insert("toolChoice".to_owned(), choice);
        }
        body.insert("toolConfig".to_owned(), Value::Object(config));
        if cannot {
            self.drop("tool_choice");
            self.system.push(json!({"text": "Answer with a call of one of the tools, not with text."}));
        }
    }

    fn spec(&mut self, function: &Function, index: usize) -> Value {
        let mut spec = Map::new();
        spec.insert("name".to_owned(), json!(function.name));
        if let Some(description) = function.description.as_ref().filter(|text| !text.is_empty()) {
            spec.insert("description".to_owned(), json!(description));
        }
        let mut schema = function.parameters.clone().unwrap_or_else(any_object);
        if let Some(members) =
            schema.as_object_mut().filter(|members| !members.contains_key("type") && !self.own)
        {
            members.insert("type".to_owned(), json!("object"));
        }
        spec.insert("inputSchema".to_owned(), json!({"json": schema}));
        match function.strict {
            Some(strict) if self.own || self.family.strict_tools() => {
                spec.insert("strict".to_owned(), json!(strict));
            }
            Some(true) => self.written.dropped.push(format!("tools[{index}].strict")),
            _ => {}
        }
        json!({"toolSpec": spec})
    }

    fn format(&mut self, body: &mut Map<String, Value>) {
        let mut config = self.own_extra("outputConfig");
        match &self.request.format {
            // There is no form for JSON of any kind.
            Some(Format::Json) => self.drop("response_format"),
            Some(Format::Schema { name, description, schema, .. }) => {
                let mut inner = Map::new();
                let mut schema = schema.clone();
                if !self.own && matches!(self.family, Family::Claude(..)) {
                    close_objects(&mut schema);
                }
                inner.insert("schema".to_owned(), json!(schema.to_string()));
                let name = name.as_deref().or((!self.own).then_some("response"));
                for (member, text) in [("name", name), ("description", description.as_deref())] {
                    if let Some(text) = text {
                        inner.insert(member.to_owned(), json!(text));
                    }
                }
                config.insert(
                    "textFormat".to_owned(),
                    json!({"type": "json_schema", "structure": {"jsonSchema": inner}}),
                );
            }
            None => {}
        }
        if !config.is_empty() {
            body.insert("outputConfig".to_owned(), Value::Object(config));
        }
    }

    fn rest(&mut self, body: &mut Map<String, Value>) {
        let request = self.request;
        match request.service_tier.as_deref() {
            None => {}
            Some(tier) if self.own || matches!(tier, "default" | "flex" | "priority") => {
                body.insert("serviceTier".to_owned(), json!({"type": tier}));
            }
            // What Bedrock does by itself.
            Some("auto") => {}
            Some(_) => self.drop("service_tier"),
        }
        if !self.own {
            if request.user.is_some() {
                self.drop("user");
            }
            self.written.dropped.extend(request.extras.keys().cloned());
            return;
        }
        if !request.metadata.is_empty() {
            body.insert("requestMetadata".to_owned(), Value::Object(request.metadata.clone()));
        }
        for (name, value) in &request.extras {
            if !body.contains_key(name) {
                body.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Claude takes only schemas whose objects have no further members: "'additionalProperties' must be explicitly set to false"
/// (<https://github.com/future-agi/future-agi/pull/412>, read 2026-11-21).
fn close_objects(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("type").is_some_and(|kind| kind == "object") {
                members.entry("additionalProperties").or_insert(json!(false));
            }
            for (name, inner) in members.iter_mut() {
                if !matches!(name.as_str(), "enum" | "const" | "default" | "examples") {
                    close_objects(inner);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close_objects),
        _ => {}
    }
}

fn any_object() -> Value {
    json!({"type": "object", "properties": {}})
}

/// Ids of calls as Bedrock takes them: letters, digits and `_.:-`, at most 64.
#[derive(Default)]
struct Ids {
    /// Calls whose dialect gave them none, and that have no result yet: name, id.
    open: Vec<(String, String)>,
    made: usize,
}

const ID_CHARS_MAX: usize = 64;

impl Ids {
    fn of_call(&mut self, id: &str, name: &str) -> String {
        if !id.is_empty() {
            return fit(id);
        }
        let id = format!("call_{}", self.made);
        self.made += 1;
        self.open.push((name.to_owned(), id.clone()));
        id
    }

    /// A result without an id is that of the oldest call of its name that has none yet.
    fn of_result(&mut self, id: &str, name: Option<&str>) -> String {
        if !id.is_empty() {
            return fit(id);
        }
        let at = self.open.iter().position(|(of, _)| name.is_none_or(|name| name == of));
        match at.or((!self.open.is_empty()).then_some(0)) {
            Some(at) => self.open.remove(at).1,
            None => "call_unknown".to_owned(),
        }
    }
}

fn fit(id: &str) -> String {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    if id.len() <= ID_CHARS_MAX && id.bytes().all(fits) {
        return id.to_owned();
    }
    // The sum keeps apart what looks the same afterwards.
    let mut fitting: String = id
        .chars()
        .take(ID_CHARS_MAX - 9)
        .map(|c| if c.is_ascii() && fits(c as u8) { c } else { '_' })
        .collect();
    fitting.push_str(&format!("_{:08x}", crc32fast::hash(id.as_bytes())));
    fitting
}
