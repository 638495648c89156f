//! A Cohere chat stream: server-sent events, each with its type in the data (and as the event's name).

use super::{Cited, arguments, citation, cited, response, signature, written_citation};
use crate::{
    dialect::{Dialect, EventReader, Events, Show},
    model::{
        answer::{At, Delta, Failure, Finish, Opened, Reported},
        part::Citation,
    },
    refusal::Refusal,
    stream::sse::Event,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Reads a provider's stream.
pub type Reader = Events<Steps>;

/// What is known of a stream so far.
#[derive(Debug, Default)]
pub struct Steps {
    /// Every part so far, in the order they began.
    parts: Vec<Known>,
    /// The latest part of each kind with each of Cohere's indices; blocks of content and calls are counted apart.
    latest: BTreeMap<(Kind, u64), usize>,
    /// The first text.
    first_text: Option<usize>,
    /// The terminal event has come; what follows (`[DONE]`, on some deployments) says nothing.
    ended: bool,
}

/// A part of the answer.
#[derive(Clone, Copy, Debug)]
struct Known {
    kind: Kind,
    open: bool,
    /// Something was appended.
    filled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Text,
    Thinking,
    Plan,
    Call,
    Native,
}

impl EventReader for Steps {
    fn event(&mut self, event: &Event, deltas: &mut Vec<Delta>) {
        self.read(event, deltas);
    }
}

fn at(part: usize) -> At {
    At { choice: 0, part: u32::try_from(part).unwrap_or(u32::MAX) }
}

/// A text somewhere below.
fn text_at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(value, |value, name| value.get(name)).and_then(Value::as_str)
}

impl Steps {
    fn read(&mut self, event: &Event, out: &mut Vec<Delta>) {
        if self.ended {
            return;
        }
        let Some(data) = &event.data else {
            out.push(Delta::Ping);
            return;
        };
        if data.as_slice() == b"[DONE]" {
            return;
        }
        let Ok(value) = serde_json::from_slice::<Value>(data) else {
            out.push(Delta::Corrupt);
            return;
        };
        let named = event.name.as_deref().and_then(|name| std::str::from_utf8(name).ok());
        let Some(kind) = value.get("type").and_then(Value::as_str).or(named) else {
            // An error is told without a type.
            out.push(match value.get("message").and_then(Value::as_str) {
                Some(message) => Delta::Error(failure(message)),
                None => Delta::Corrupt,
            });
            return;
        };
        if self.step(kind, &value, out).is_none() {
            out.push(Delta::Corrupt);
        }
    }

    /// `None` if a known event is not what it should be.
    fn step(&mut self, kind: &str, value: &Value, out: &mut Vec<Delta>) -> Option<()> {
        let index = value.get("index").and_then(Value::as_u64).unwrap_or(0);
        let message = value.get("delta").and_then(|delta| delta.get("message"));
        match kind {
            "message-start" => {
                let id = value.get("id").and_then(Value::as_str).map(str::to_owned);
                out.push(Delta::Begin { id, model: None });
            }
            "content-start" => {
                let content = message?.get("content")?;
                let (kind, name) = match text_at(content, &["type"])? {
                    "text" => (Kind::Text, "text"),
                    "thinking" => (Kind::Thinking, "thinking"),
                    _ => (Kind::Native, ""),
                };
                let native = (kind == Kind::Native).then(|| content.clone());
                let part = self.open(kind, index, native, out);
                self.append(part, text_at(content, &[name]).unwrap_or_default(), out);
            }
            "content-delta" => {
                let content = message?.get("content")?;
                let (kind, text) = match (text_at(content, &["text"]), text_at(content, &["thinking"])) {
                    (Some(text), _) => (Kind::Text, text),
                    (None, Some(text)) => (Kind::Thinking, text),
                    (None, None) => return Some(()),
                };
                let part = self.content(kind, index, out);
                self.append(part, text, out);
                if let Some(item) = value.get("logprobs").filter(|item| item.is_object()) {
                    out.push(Delta::Logprobs(0, response::logprobs(std::slice::from_ref(item))));
                }
            }
            "content-end" => {
                let contents = [Kind::Text, Kind::Thinking, Kind::Native];
                if let Some(part) = contents.into_iter().filter_map(|kind| self.find(kind, index)).max() {
                    self.close(part, out);
                }
            }
            "tool-plan-delta" => {
                let text = text_at(message?, &["tool_plan"])?;
                let part = match self.find(Kind::Plan, 0) {
                    Some(part) => part,
                    None => self.open(Kind::Plan, 0, None, out),
                };
                self.append(part, text, out);
            }
            "tool-call-start" => {
                let call = message?.get("tool_calls")?;
                // An object, in all that was recorded; a list of one in some descriptions.
                let call = call.get(0).unwrap_or(call);
                let name = text_at(call, &["function", "name"])?.to_owned();
                let id = text_at(call, &["id"]).unwrap_or_default().to_owned();
                if let Some(plan) = self.find(Kind::Plan, 0) {
                    self.close(plan, out);
                }
                let part = self.add(Kind::Call, index);
                out.push(Delta::Open(at(part), Opened::ToolCall { id, name }));
                let begun = text_at(call, &["function", "arguments"]).unwrap_or_default();
                self.append(part, begun, out);
            }
            "tool-call-delta" => {
                let call = message?.get("tool_calls")?;
                let more = text_at(call.get(0).unwrap_or(call), &["function", "arguments"])?;
                let part = self.find(Kind::Call, index)?;
                self.append(part, more, out);
            }
            "tool-call-end" => {
                let part = self.find(Kind::Call, index)?;
                self.close(part, out);
            }
            "citation-start" => self.cite(message?.get("citations")?, out),
            "message-end" => self.end(value, out),
            // Known without meaning here (`citation-end`), or to come.
            _ => {}
        }
        Some(())
    }

    /// The latest part of such a kind with Cohere's index.
    fn find(&self, kind: Kind, index: u64) -> Option<usize> {
        self.latest.get(&(kind, index)).copied()
    }

    /// Another part behind the others.
    fn add(&mut self, kind: Kind, index: u64) -> usize {
        let part = self.parts.len();
        self.parts.push(Known { kind, open: true, filled: false });
        self.latest.insert((kind, index), part);
        if kind == Kind::Text {
            self.first_text.get_or_insert(part);
        }
        part
    }

    fn open(&mut self, kind: Kind, index: u64, native: Option<Value>, out: &mut Vec<Delta>) -> usize {
        let opened = match (kind, native) {
            (Kind::Thinking, _) => Opened::Reasoning { id: None, summary: false, redacted: false },
            (_, Some(native)) => Opened::Native(Dialect::Cohere, native),
            _ => Opened::Text,
        };
        let part = self.add(kind, index);
        out.push(Delta::Open(at(part), opened));
        part
    }

    /// The part a piece of content belongs to; it is opened if its beginning was left out.
    fn content(&mut self, kind: Kind, index: u64, out: &mut Vec<Delta>) -> usize {
        let found = self.find(kind, index);
        found.unwrap_or_else(|| self.open(kind, index, None, out))
    }

    fn append(&mut self, part: usize, text: &str, out: &mut Vec<Delta>) {
        let Some(known) = self.parts.get_mut(part).filter(|_| !text.is_empty()) else { return };
        let text = if known.kind == Kind::Call && !known.filled { arguments(text) } else { text };
        known.filled = true;
        out.push(Delta::Append(at(part), text.to_owned()));
    }

    fn close(&mut self, part: usize, out: &mut Vec<Delta>) {
        let Some(known) = self.parts.get_mut(part).filter(|known| known.open) else { return };
        known.open = false;
        match known.kind {
            Kind::Thinking => out.push(Delta::Sign(at(part), signature())),
            Kind::Call if !known.filled => out.push(Delta::Append(at(part), arguments("").to_owned())),
            _ => {}
        }
        out.push(Delta::Close(at(part)));
    }

    fn cite(&self, citations: &Value, out: &mut Vec<Delta>) {
        let all = citations.as_array().map_or(std::slice::from_ref(citations), Vec::as_slice);
        for value in all {
            let first = || self.first_text;
            let plan = || self.find(Kind::Plan, 0);
            let part = match cited(value) {
                None => continue,
                Some(Cited::First) => first().or_else(plan),
                Some(Cited::Plan) => plan().or_else(first),
                Some(Cited::Content(index)) => self.find(Kind::Text, index).or_else(first).or_else(plan),
            };
            if let Some(part) = part {
                out.push(Delta::Cite(at(part), citation(value)));
            }
        }
    }

    fn end(&mut self, value: &Value, out: &mut Vec<Delta>) {
        for part in 0..self.parts.len() {
            self.close(part, out);
        }
        self.ended = true;
        let delta = value.get("delta");
        let error = delta.and_then(|delta| text_at(delta, &["error"]));
        let word = delta.and_then(|delta| text_at(delta, &["finish_reason"]));
        // A stream that failed has not finished: the reason that comes with an error is no end of an answer.
        if let Some(word) = word.filter(|_| error.is_none()) {
            out.push(Delta::Finish(0, response::finish(word)));
        }
        let usage = delta.and_then(|delta| delta.get("usage")).filter(|usage| !usage.is_null());
        if let Some(reported) = usage.and_then(|usage| response::reported(&usage.to_string())) {
            out.push(Delta::Usage(reported));
        }
        match error {
            Some(message) => out.push(Delta::Error(failure(message))),
            None => out.push(Delta::End),
        }
    }
}

/// An error within a stream: nobody says a status, and the request was fine when it began.
fn failure(message: &str) -> Failure {
    Failure { status: 502, kind: None, message: message.to_owned() }
}

/// Writes a client's stream.
#[derive(Debug)]
pub struct Writer {
    show: Show,
    begun: bool,
    /// Every part opened so far: its kind, index among its kind, whether it is open.
    parts: Vec<Shown>,
    /// Where each is among them.
    places: BTreeMap<At, usize>,
    contents: u64,
    calls: u64,
    citations: u64,
    texts: u64,
    finish: Option<Finish>,
    reported: Option<Reported>,
    /// An error was told: nothing ends well after it.
    failed: bool,
}

#[derive(Clone, Debug)]
struct Shown {
    kind: Kind,
    index: u64,
    /// Whether it is the first text.
    first: bool,
    open: bool,
    /// The text so far, which a citation's passage is cut from.
    text: String,
}

impl Writer {
    /// For a client's answer.
    #[must_use]
    pub const fn new(show: Show) -> Self {
        Self {
            show,
            begun: false,
            parts: Vec::new(),
            places: BTreeMap::new(),
            contents: 0,
            calls: 0,
            citations: 0,
            texts: 0,
            finish: None,
            reported: None,
            failed: false,
        }
    }

    fn begin(&mut self, id: Option<&str>, out: &mut Vec<u8>) {
        if self.begun {
            return;
        }
        self.begun = true;
        let id = id.unwrap_or(&self.show.id);
        let message =
            json!({"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []});
        event(
            out,
            "message-start",
            json!({"id": id, "type": "message-start", "delta": {"message": message}}),
        );
    }

    fn open(&mut self, at: At, opened: &Opened, out: &mut Vec<u8>) {
        let (kind, start) = match opened {
            Opened::Text | Opened::Refusal => (Kind::Text, json!({"content": {"type": "text", "text": ""}})),
            Opened::Reasoning { redacted: true, .. } => return,
            Opened::Reasoning { .. } => {
                (Kind::Thinking, json!({"content": {"type": "thinking", "thinking": ""}}))
            }
            Opened::ToolCall { id, name } => {
                let function = json!({"name": name, "arguments": ""});
                (Kind::Call, json!({"tool_calls": {"id": id, "type": "function", "function": function}}))
            }
            Opened::Native(Dialect::Cohere, block) => (Kind::Native, json!({"content": block})),
            Opened::Native(..) | Opened::Media(_) => return,
        };
        let count = if kind == Kind::Call { &mut self.calls } else { &mut self.contents };
        let index = *count;
        *count += 1;
        let first = kind == Kind::Text && self.texts == 0;
        if kind == Kind::Text {
            self.texts += 1;
        }
        self.places.insert(at, self.parts.len());
        self.parts.push(Shown { kind, index, first, open: true, text: String::new() });
        let name = if kind == Kind::Call { "tool-call-start" } else { "content-start" };
        event(out, name, json!({"type": name, "index": index, "delta": {"message": start}}));
    }

    fn append(&mut self, at: At, text: &str, out: &mut Vec<u8>) {
        let Some(part) = self.places.get(&at).and_then(|place| self.parts.get_mut(*place)) else { return };
        let (name, delta) = match part.kind {
            Kind::Call => ("tool-call-delta", json!({"tool_calls": {"function": {"arguments": text}}})),
            Kind::Thinking => ("content-delta", json!({"content": {"thinking": text}})),
            Kind::Text | Kind::Plan => {
                part.text.push_str(text);
                ("content-delta", json!({"content": {"text": text}}))
            }
            Kind::Native => return,
        };
        event(out, name, json!({"type": name, "index": part.index, "delta": {"message": delta}}));
    }

    fn cite(&mut self, at: At, citation: &Citation, out: &mut Vec<u8>) {
        let Some(part) = self.places.get(&at).and_then(|place| self.parts.get(*place)) else { return };
        let place = if part.first { Cited::First } else { Cited::Content(part.index) };
        let written = written_citation(citation, &part.text, place);
        let index = self.citations;
        self.citations += 1;
        event(
            out,
            "citation-start",
            json!({"type": "citation-start", "index": index, "delta": {"message": {"citations": written}}}),
        );
        event(out, "citation-end", json!({"type": "citation-end", "index": index}));
    }

    fn end_with_error(&mut self, message: &str, out: &mut Vec<u8>) {
        self.begin(None, out);
        self.failed = true;
        let delta = json!({"error": message, "finish_reason": "ERROR"});
        event(out, "message-end", json!({"type": "message-end", "delta": delta}));
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        for part in self.parts.iter_mut().filter(|part| part.open) {
            close(part, out);
        }
        let mut delta = Map::new();
        delta.insert("finish_reason".to_owned(), json!(response::finish_word(self.finish.as_ref())));
        if let Some(reported) = &self.reported {
            delta.insert("usage".to_owned(), response::usage(reported));
        }
        event(out, "message-end", json!({"type": "message-end", "delta": delta}));
    }
}

impl crate::dialect::Writer for Writer {
    fn push(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        match delta {
            Delta::Begin { id, .. } => self.begin(id.as_deref(), out),
            // A sign of life is not the beginning.
            Delta::Ping | Delta::Corrupt | Delta::TooLong(_) | Delta::Tier(_) | Delta::Sign(..) => {}
            Delta::Error(failure) => self.end_with_error(&failure.message, out),
            Delta::Finish(choice, finish) => {
                if *choice == 0 {
                    self.finish = Some(finish.clone());
                }
            }
            Delta::Usage(reported) => self.reported = Some(reported.clone()),
            Delta::Open(at, _) | Delta::Append(at, _) | Delta::Cite(at, _) | Delta::Close(at)
                if at.choice != 0 => {}
            Delta::Open(at, opened) => {
                self.begin(None, out);
                self.open(*at, opened, out);
            }
            Delta::Append(at, text) => self.append(*at, text, out),
            Delta::Cite(at, citation) => self.cite(*at, citation, out),
            Delta::Close(at) => {
                let part = self.places.get(at).and_then(|place| self.parts.get_mut(*place));
                if let Some(part) = part.filter(|part| part.open) {
                    close(part, out);
                }
            }
            Delta::Logprobs(choice, logprobs) => {
                let text = self.parts.iter().rfind(|part| part.kind == Kind::Text);
                let Some(index) = text.filter(|_| *choice == 0).map(|part| part.index) else { return };
                for item in response::logprob_items(logprobs) {
                    let delta = json!({"message": {"content": {"text": ""}}});
                    let value =
                        json!({"type": "content-delta", "index": index, "delta": delta, "logprobs": item});
                    event(out, "content-delta", value);
                }
            }
            Delta::End if self.failed => {}
            Delta::End => {
                self.begin(None, out);
                self.end(out);
            }
        }
    }

    fn fail(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        self.end_with_error(&refusal.message, out);
    }
}

fn close(part: &mut Shown, out: &mut Vec<u8>) {
    part.open = false;
    let name = if part.kind == Kind::Call { "tool-call-end" } else { "content-end" };
    event(out, name, json!({"type": name, "index": part.index}));
}

#[expect(clippy::needless_pass_by_value, reason = "built for this")]
fn event(out: &mut Vec<u8>, name: &str, data: Value) {
    out.extend_from_slice(format!("event: {name}\ndata: {data}\n\n").as_bytes());
}
