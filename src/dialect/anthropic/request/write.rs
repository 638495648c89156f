//! Writing a provider's request.
//!
//! Where a request of another dialect and Anthropic's rules do not meet:
//!
//! | asked | sent |
//! |---|---|
//! | instructions anywhere | at the head, in their order |
//! | turns of one speaker in a row | one message, results of tools first |
//! | a conversation that the model begins | a user's `.` before it |
//! | empty text, thoughts of other makers, speakers' names | left out; names are told as dropped |
//! | arguments that are no JSON object | `{"INVALID_JSON": …}` |
//! | a schema | what of it is enforced, the rest told in descriptions; older models are told the schema (dropped: `response_format`) |
//! | any JSON object | an instruction (dropped: `response_format`) |
//! | effort | `adaptive` and the nearest level, on models up to 4.5 a budget below the cap |
//! | a call, of a model that cannot be forced | an instruction, and only that tool (dropped: `tool_choice`) |
//! | one of some tools | those tools alone |
//! | a temperature above 1 | 1 (dropped: `temperature`) |
//! | sampling that the model, or thinking, does not allow | dropped |
//! | seed, penalties, log probabilities, biases, tiers but `auto` and `default`, a user that looks like a mail address | dropped |
//! | several answers, sound, video, other providers' files and tools | refused |

mod options;

pub(in crate::dialect::anthropic) use options::sends_thoughts_back;

use super::super::{
    OWN,
    block::{input_of, show_mark},
    model::Claude,
};
use crate::{
    dialect::{Order, Written, json},
    model::{
        part::{Body, Media, MediaKind, Part, Source, ToolResult},
        request::{Request, Role, Turn},
    },
};
use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The cap of a request that comes without one; every model has it.
const OUTPUT_CAP_TOKENS: u64 = 4_096;

/// What stands for the user's words where a conversation begins with the model's: Anthropic demands that the user begins.
const FIRST_WORDS: &str = ".";

/// Members that the token counter refuses: it counts what is asked, and answers nothing.
const ANSWERING: [&str; 11] = [
    "max_tokens",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "metadata",
    "service_tier",
    "container",
    "inference_geo",
    "diagnostics",
];

/// A request to the provider's token counter.
#[must_use]
pub fn write_count(request: &Request, order: &Order<'_>) -> Written {
    let (mut body, written) = compose(request, order);
    body.retain(|name, _| !ANSWERING.contains(&name.as_str()));
    Written { body: json::bytes(&Value::Object(body)), ..written }
}

/// A provider's request.
#[must_use]
pub fn write(request: &Request, order: &Order<'_>) -> Written {
    let (body, written) = compose(request, order);
    Written { body: json::bytes(&Value::Object(body)), ..written }
}

fn compose(request: &Request, order: &Order<'_>) -> (Map<String, Value>, Written) {
    let claude = Claude::of(order.model);
    let mut draft = Draft::default();
    let mut body = Map::new();
    let cap = order.output_cap.or(request.output_cap).unwrap_or(OUTPUT_CAP_TOKENS);
    body.insert("model".to_owned(), json!(order.model));
    body.insert("max_tokens".to_owned(), json!(cap));
    for (index, turn) in request.turns.iter().enumerate() {
        draft.turn(turn, index, request);
    }
    let chosen = options::choose(request, claude, cap, &mut draft);
    draft.system.extend(chosen.instructions.iter().map(|text| json!({"type": "text", "text": text})));
    match draft.system.as_slice() {
        [] => {}
        [only] if only.as_object().is_some_and(|only| only.len() == 2 && only.contains_key("text")) => {
            body.insert("system".to_owned(), only.get("text").cloned().unwrap_or_default());
        }
        _ => {
            body.insert("system".to_owned(), Value::Array(std::mem::take(&mut draft.system)));
        }
    }
    body.insert("messages".to_owned(), draft.messages(request));
    body.extend(chosen.members);
    if request.stream {
        body.insert("stream".to_owned(), json!(true));
    }
    let mut written = draft.written;
    if request.dialect == OWN {
        for (name, value) in &request.extras {
            // Paths into these were put back there; those into messages cannot be: messages were joined.
            if name == "output_config" || name.starts_with("tools[") || name.starts_with("thinking.") {
                continue;
            }
            if name.contains(['[', '.']) {
                written.dropped.push(name.clone());
            } else {
                body.insert(name.clone(), value.clone());
            }
        }
    } else {
        written.dropped.extend(request.extras.keys().cloned());
    }
    (body, written)
}

/// One message under way: the user's has results of tools first.
#[derive(Debug)]
struct Message {
    role: &'static str,
    results: Vec<Value>,
    rest: Vec<Value>,
}

#[derive(Debug, Default)]
struct Draft {
    system: Vec<Value>,
    messages: Vec<Message>,
    ids: Ids,
    written: Written,
}

impl Draft {
    fn turn(&mut self, turn: &Turn, index: usize, request: &Request) {
        let place = format!("messages[{index}]");
        if turn.name.is_some() {
            self.written.dropped.push(format!("{place}.name"));
        }
        let in_place = request.dialect == OWN && !self.messages.is_empty();
        let role = match turn.role {
            Role::System | Role::Developer if in_place => "system",
            Role::System | Role::Developer => {
                for (at, part) in turn.parts.iter().enumerate() {
                    match &part.body {
                        Body::Text(_) => {
                            if let Some(block) = self.block(part, "system", &format!("{place}.content[{at}]"))
                            {
                                self.system.push(block);
                            }
                        }
                        _ => self.written.dropped.push(format!("{place}.content[{at}]")),
                    }
                }
                return;
            }
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        for (at, part) in turn.parts.iter().enumerate() {
            let Some(block) = self.block(part, role, &format!("{place}.content[{at}]")) else { continue };
            let message = match self.messages.last_mut() {
                Some(last) if last.role == role => last,
                _ => {
                    self.messages.push(Message { role, results: Vec::new(), rest: Vec::new() });
                    let Some(last) = self.messages.last_mut() else { continue };
                    last
                }
            };
            let list = if matches!(part.body, Body::ToolResult(_)) {
                &mut message.results
            } else {
                &mut message.rest
            };
            list.push(block);
        }
    }

    fn block(&mut self, part: &Part, role: &str, place: &str) -> Option<Value> {
        let mut block = match &part.body {
            // Empty ones are refused: "text content blocks must contain non-whitespace text".
            Body::Text(text) if text.text.trim().is_empty() => return None,
            Body::Text(text) => {
                let mut block = json!({"type": "text", "text": text.text});
                let own = text.citations.iter().filter_map(|citation| match &citation.native {
                    Some((OWN, native)) => Some(native.clone()),
                    _ => None,
                });
                let own: Vec<Value> = own.collect();
                if let Some(members) =
                    block.as_object_mut().filter(|_| !own.is_empty() && role == "assistant")
                {
                    members.insert("citations".to_owned(), Value::Array(own));
                }
                block
            }
            Body::Refusal(text) if text.trim().is_empty() => return None,
            Body::Refusal(text) => json!({"type": "text", "text": text}),
            // Thoughts go back to their maker only; they are no part of the conversation to others.
            Body::Reasoning(reasoning) => {
                let proof = part.signature.as_ref()?.for_maker(OWN)?;
                if reasoning.redacted {
                    return Some(json!({"type": "redacted_thinking", "data": proof}));
                }
                return Some(json!({"type": "thinking", "thinking": reasoning.text, "signature": proof}));
            }
            Body::Media(media) => self.media(media, role, place)?,
            Body::ToolCall(call) => {
                let id = self.ids.call(&call.id, &call.name);
                json!({"type": "tool_use", "id": id, "name": call.name, "input": input_of(&call.arguments)})
            }
            Body::ToolResult(result) => self.result(result, place),
            Body::Native(OWN, value) => value.clone(),
            Body::Native(..) => {
                self.written.dropped.push(place.to_owned());
                return None;
            }
        };
        if let (Some(mark), Some(members)) = (part.cache, block.as_object_mut()) {
            members.insert("cache_control".to_owned(), show_mark(mark));
        }
        Some(block)
    }

    fn result(&mut self, result: &ToolResult, place: &str) -> Value {
        let id = self.ids.result(&result.id, result.name.as_deref());
        let mut content = Vec::with_capacity(result.parts.len());
        for (index, part) in result.parts.iter().enumerate() {
            let block = match &part.body {
                Body::Native(OWN, value) if value.get("type").is_some_and(Value::is_string) => {
                    Some(value.clone())
                }
                // What a tool gave as JSON is text here.
                Body::Native(_, value) => Some(json!({"type": "text", "text": value.to_string()})),
                _ => self.block(part, "user", &format!("{place}.content[{index}]")),
            };
            content.extend(block);
        }
        let mut block = json!({"type": "tool_result", "tool_use_id": id});
        if let Some(members) = block.as_object_mut() {
            if !content.is_empty() {
                members.insert("content".to_owned(), Value::Array(content));
            }
            if result.is_error {
                members.insert("is_error".to_owned(), json!(true));
            }
        }
        block
    }

    /// Only the user may show something. What the provider cannot see is refused: without it the question is another.
    fn media(&mut self, media: &Media, role: &str, place: &str) -> Option<Value> {
        if role != "user" {
            self.written.dropped.push(place.to_owned());
            return None;
        }
        let (kind, source) = match media.kind {
            MediaKind::Image => ("image", image_source(media)),
            MediaKind::Document => ("document", document_source(media)),
            MediaKind::Audio => ("audio", None),
            MediaKind::Video => ("video", None),
        };
        let Some(source) = source else {
            let what = match media.kind {
                MediaKind::Audio | MediaKind::Video => kind.to_owned(),
                MediaKind::Image | MediaKind::Document => {
                    let article = if kind == "image" { "an" } else { "a" };
                    format!("{article} {kind} of a kind or from a place that Anthropic does not take")
                }
            };
            self.written.refused.push(format!("{place} ({what})"));
            return None;
        };
        let mut block = json!({"type": kind, "source": source});
        if let Some(members) = block.as_object_mut().filter(|_| media.kind == MediaKind::Document) {
            for (name, value) in [("title", &media.name), ("context", &media.context)] {
                if let Some(value) = value {
                    members.insert(name.to_owned(), json!(value));
                }
            }
            if media.citations {
                members.insert("citations".to_owned(), json!({"enabled": true}));
            }
        }
        Some(block)
    }

    fn messages(&mut self, request: &Request) -> Value {
        let mut messages = std::mem::take(&mut self.messages);
        if request.dialect != OWN {
            if messages.first().is_some_and(|first| first.role == "assistant") {
                let first = json!({"type": "text", "text": FIRST_WORDS});
                messages.insert(0, Message { role: "user", results: Vec::new(), rest: vec![first] });
            }
            // A last message of the model's is the beginning of its answer, which must not end in white space.
            if let Some(last) = messages.last_mut().filter(|last| last.role == "assistant")
                && let Some(Value::String(text)) =
                    last.rest.last_mut().and_then(|block| block.get_mut("text"))
            {
                text.truncate(text.trim_end().len());
            }
        }
        let messages = messages.into_iter().map(|message| {
            let mut blocks = message.results;
            blocks.extend(message.rest);
            let content = match blocks.as_mut_slice() {
                [Value::Object(only)] if only.len() == 2 && only.get("type") == Some(&json!("text")) => {
                    only.get_mut("text").map(Value::take).unwrap_or_default()
                }
                _ => Value::Array(blocks),
            };
            json!({"role": message.role, "content": content})
        });
        Value::Array(messages.collect())
    }
}

/// The kinds of images that are taken (<https://docs.claude.com/en/docs/build-with-claude/vision>, read 2026-11-21).
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

fn image_source(media: &Media) -> Option<Value> {
    match &media.source {
        Source::Base64(data) => {
            let named = match media.mime.as_deref() {
                Some("image/jpg") => Some("image/jpeg"),
                named => named.filter(|named| IMAGES.contains(named)),
            };
            // Told by its first bytes, if the caller did not say.
            let told = || {
                let starts = ["/9j/", "iVBORw", "R0lGOD", "UklGR"];
                let at = starts.iter().position(|start| data.starts_with(start))?;
                IMAGES.get(at).copied()
            };
            let mime = named.or_else(told)?;
            Some(json!({"type": "base64", "media_type": mime, "data": data}))
        }
        Source::Url(url) => Some(json!({"type": "url", "url": url})),
        Source::File(OWN, id) => Some(json!({"type": "file", "file_id": id})),
        Source::File(..) | Source::Text(_) => None,
    }
}

fn document_source(media: &Media) -> Option<Value> {
    let plain = |text: &str| json!({"type": "text", "media_type": "text/plain", "data": text});
    match &media.source {
        Source::Text(text) => Some(plain(text)),
        Source::Base64(data) => match media.mime.as_deref() {
            Some("application/pdf") => {
                Some(json!({"type": "base64", "media_type": "application/pdf", "data": data}))
            }
            None if data.starts_with("JVBER") => {
                Some(json!({"type": "base64", "media_type": "application/pdf", "data": data}))
            }
            Some(mime) if mime.starts_with("text/") || mime == "application/json" => {
                String::from_utf8(BASE64.decode(data).ok()?).ok().map(|text| plain(&text))
            }
            _ => None,
        },
        Source::Url(url) => Some(json!({"type": "url", "url": url})),
        Source::File(OWN, id) => Some(json!({"type": "file", "file_id": id})),
        Source::File(..) => None,
    }
}

/// Names of calls as this dialect takes them: letters, digits, `_` and `-`, each once in a conversation. The same
/// conversation gives the same names, so that the provider's cache finds it again.
#[derive(Debug, Default)]
struct Ids {
    /// The caller's name → ours, of calls without a result yet.
    waiting: BTreeMap<String, VecDeque<String>>,
    /// Calls without a name: our names, by their place, and the places of each function's.
    nameless: BTreeMap<usize, String>,
    places: BTreeMap<String, VecDeque<usize>>,
    used: BTreeSet<String>,
    /// Goes up with every try: names that were taken are not asked for again.
    tries: usize,
}

impl Ids {
    fn call(&mut self, id: &str, function: &str) -> String {
        let own = self.unused(&clean(id));
        if id.is_empty() {
            let place = self.used.len();
            self.nameless.insert(place, own.clone());
            self.places.entry(function.to_owned()).or_default().push_back(place);
        } else {
            self.waiting.entry(id.to_owned()).or_default().push_back(own.clone());
        }
        own
    }

    fn result(&mut self, id: &str, function: Option<&str>) -> String {
        if id.is_empty() {
            let places = function.and_then(|function| self.places.get_mut(function));
            // Places that were given away without their function's name are skipped.
            let own = places.and_then(|places| {
                std::iter::from_fn(|| places.pop_front()).find_map(|place| self.nameless.remove(&place))
            });
            let found = own.or_else(|| self.nameless.pop_first().map(|(_, own)| own));
            return found.unwrap_or_else(|| self.unused(""));
        }
        let found = self.waiting.get_mut(id).and_then(VecDeque::pop_front);
        found.unwrap_or_else(|| clean(id))
    }

    fn unused(&mut self, wanted: &str) -> String {
        let mut own = wanted.to_owned();
        while own.is_empty() || self.used.contains(&own) {
            let number = self.tries.max(self.used.len());
            own = if wanted.is_empty() { format!("toolu_{number}") } else { format!("{wanted}_{number}") };
            self.tries = number + 1;
        }
        self.used.insert(own.clone());
        own
    }
}

fn clean(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' }).collect()
}
