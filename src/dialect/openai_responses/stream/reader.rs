//! A provider's events → steps.
//!
//! Each piece of the answer is told up to four times: in pieces, when its part is done, when its item is done, and in the
//! last event. What comes first counts, and what a later one has more is appended, since servers leave out one or the other.

use super::super::{
    OWN,
    failure::read_event,
    proof,
    response::{self, PARAGRAPH, citation, encrypted, usage, words},
};
use crate::{
    dialect::{EventReader, Events},
    model::answer::{At, Delta, Opened},
    stream::sse::Event,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Reads a provider's stream.
pub type Reader = Events<Steps>;

/// What is known of a stream so far.
#[derive(Debug, Default)]
pub struct Steps {
    begun: bool,
    ended: bool,
    /// Parts begun so far.
    parts: u32,
    calls: bool,
    items: BTreeMap<u64, Item>,
}

/// What has come of an item.
#[derive(Debug, Default)]
struct Item {
    id: Option<String>,
    pieces: BTreeMap<Place, Piece>,
    done: bool,
}

/// Where in its item a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// All of a reasoning item's summary.
    Summary,
    /// All of its words.
    Words,
    /// Part of a message.
    Content(u64),
    /// A call's arguments.
    Arguments,
}

/// What has been told of a piece.
#[derive(Debug, Default)]
struct Piece {
    part: u32,
    /// Bytes.
    told: usize,
    /// Of a summary, the index of the paragraph it is in.
    paragraph: u64,
    cited: usize,
    logprobs: usize,
    closed: bool,
}

impl EventReader for Steps {
    fn event(&mut self, event: &Event, deltas: &mut Vec<Delta>) {
        self.read(event, deltas);
    }
}

impl Steps {
    fn read(&mut self, event: &Event, deltas: &mut Vec<Delta>) {
        let Some(data) = &event.data else {
            // A comment; or an event too long to be kept, or none at all.
            let comment = event.raw.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
            if comment {
                deltas.push(Delta::Ping);
            } else if event.raw.len() > 1 << 20 {
                deltas.push(Delta::Corrupt);
            }
            return;
        };
        let text = data.trim_ascii();
        // OpenRouter's and others' habit of another API.
        if text.is_empty() || text == b"[DONE]" || self.ended {
            return;
        }
        let told = serde_json::from_slice::<Value>(text).ok().filter(Value::is_object);
        let Some(value) = told else {
            deltas.push(Delta::Corrupt);
            return;
        };
        if self.step(&value, deltas).is_none() {
            deltas.push(Delta::Corrupt);
        }
    }

    /// `None` if a known event lacks what it must have.
    fn step(&mut self, value: &Value, deltas: &mut Vec<Delta>) -> Option<()> {
        let text = |name: &str| value.get(name)?.as_str();
        let number = |name: &str| value.get(name)?.as_u64();
        let Some(kind) = value.get("type").map(Value::as_str) else {
            // Compatible servers put chat's error object into the stream.
            let error = value.get("error").filter(|error| !error.is_null())?;
            return self.fail(&json!({ "error": error }), deltas);
        };
        let item = || number("output_index");
        let content = || number("content_index").map(Place::Content);
        match kind? {
            "response.created" => self.begin(value.get("response")?, deltas),
            "response.queued" | "response.in_progress" => {}
            "keepalive" | "ping" => deltas.push(Delta::Ping),
            "response.output_item.added" => self.added(item()?, value.get("item")?, deltas)?,
            "response.output_item.done" => self.item_done(item()?, value.get("item")?, deltas)?,
            "response.content_part.added" => {
                let part = value.get("part")?;
                if let Some(opened) = opened_of(part) {
                    self.open(item()?, content()?, opened, deltas);
                }
            }
            "response.output_text.delta" => {
                let at = self.open(item()?, content()?, Opened::Text, deltas);
                self.append(item()?, content()?, at, text("delta")?, deltas);
                self.logprobs(item()?, content()?, value.get("logprobs"), deltas);
            }
            "response.refusal.delta" => {
                let at = self.open(item()?, content()?, Opened::Refusal, deltas);
                self.append(item()?, content()?, at, text("delta")?, deltas);
            }
            "response.output_text.annotation.added" => {
                let annotation = value.get("annotation")?;
                let at = self.open(item()?, content()?, Opened::Text, deltas);
                self.piece(item()?, content()?)?.cited += 1;
                deltas.push(Delta::Cite(at, citation(annotation.clone())));
            }
            "response.output_text.done" => {
                self.rest(item()?, content()?, Opened::Text, text("text")?, deltas);
            }
            "response.refusal.done" => {
                self.rest(item()?, content()?, Opened::Refusal, text("refusal")?, deltas);
            }
            "response.content_part.done" => self.part_done(item()?, content()?, value.get("part")?, deltas),
            "response.function_call_arguments.delta" => {
                // The item's beginning has its name; without it the whole item follows.
                if let Some(piece) = self.piece(item()?, Place::Arguments) {
                    let at = At { choice: 0, part: piece.part };
                    self.append(item()?, Place::Arguments, at, text("delta")?, deltas);
                }
            }
            "response.reasoning_summary_part.added" => {
                self.paragraph(item()?, Place::Summary, number("summary_index")?, deltas);
            }
            "response.reasoning_summary_text.delta" => {
                let at = self.paragraph(item()?, Place::Summary, number("summary_index")?, deltas);
                self.append(item()?, Place::Summary, at, text("delta")?, deltas);
            }
            "response.reasoning_text.delta" => {
                let at = self.paragraph(item()?, Place::Words, number("content_index")?, deltas);
                self.append(item()?, Place::Words, at, text("delta")?, deltas);
            }
            "response.completed" | "response.incomplete" => {
                self.complete(value.get("response")?, deltas);
            }
            "response.failed" => {
                let response = value.get("response")?;
                if let Some(reported) = response.get("usage").and_then(usage) {
                    deltas.push(Delta::Usage(reported));
                }
                return self.fail(response, deltas);
            }
            "error" => return self.fail(value, deltas),
            _ => {}
        }
        Some(())
    }

    fn fail(&mut self, value: &Value, deltas: &mut Vec<Delta>) -> Option<()> {
        self.ended = true;
        deltas.push(Delta::Error(read_event(value)));
        Some(())
    }

    fn begin(&mut self, response: &Value, deltas: &mut Vec<Delta>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let text = |name: &str| response.get(name).and_then(Value::as_str).map(str::to_owned);
        deltas.push(Delta::Begin { id: text("id"), model: text("model") });
    }

    fn piece(&mut self, item: u64, place: Place) -> Option<&mut Piece> {
        self.items.get_mut(&item)?.pieces.get_mut(&place)
    }

    /// The part of a piece, begun if it has not been.
    fn open(&mut self, item: u64, place: Place, opened: Opened, deltas: &mut Vec<Delta>) -> At {
        let pieces = &mut self.items.entry(item).or_default().pieces;
        if let Some(piece) = pieces.get(&place) {
            return At { choice: 0, part: piece.part };
        }
        pieces.insert(place, Piece { part: self.parts, ..Piece::default() });
        let at = self.next();
        deltas.push(Delta::Open(at, opened));
        at
    }

    const fn next(&mut self) -> At {
        let at = At { choice: 0, part: self.parts };
        self.parts += 1;
        at
    }

    fn append(&mut self, item: u64, place: Place, at: At, text: &str, deltas: &mut Vec<Delta>) {
        if let Some(piece) = self.piece(item, place)
            && !text.is_empty()
            && !piece.closed
        {
            piece.told += text.len();
            deltas.push(Delta::Append(at, text.to_owned()));
        }
    }

    /// What the whole of a piece has more than was told of it.
    fn rest(&mut self, item: u64, place: Place, opened: Opened, whole: &str, deltas: &mut Vec<Delta>) -> At {
        let at = self.open(item, place, opened, deltas);
        let told = self.piece(item, place).map_or(0, |piece| piece.told);
        if let Some(rest) = whole.get(told..) {
            self.append(item, place, at, rest, deltas);
        }
        at
    }

    fn thoughts(&self, item: u64, place: Place) -> Opened {
        let id = self.items.get(&item).and_then(|item| item.id.clone());
        Opened::Reasoning { id, summary: place == Place::Summary, redacted: false }
    }

    /// Thoughts go on, in this paragraph.
    fn paragraph(&mut self, item: u64, place: Place, index: u64, deltas: &mut Vec<Delta>) -> At {
        let at = self.open(item, place, self.thoughts(item, place), deltas);
        let before =
            self.piece(item, place).map_or(0, |piece| std::mem::replace(&mut piece.paragraph, index));
        if index > before {
            self.append(item, place, at, PARAGRAPH, deltas);
        }
        at
    }

    fn logprobs(&mut self, item: u64, place: Place, list: Option<&Value>, deltas: &mut Vec<Delta>) {
        let list = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if let Some(piece) = self.piece(item, place)
            && !list.is_empty()
        {
            piece.logprobs += list.len();
            deltas.push(Delta::Logprobs(0, json!({ "content": list })));
        }
    }

    fn added(&mut self, index: u64, item: &Value, deltas: &mut Vec<Delta>) -> Option<()> {
        self.items.entry(index).or_default().id = item.get("id").and_then(Value::as_str).map(str::to_owned);
        if item.get("type")?.as_str()? == "function_call" {
            self.call(index, item, deltas);
        }
        Some(())
    }

    fn call(&mut self, index: u64, item: &Value, deltas: &mut Vec<Delta>) -> At {
        let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
        self.calls = true;
        let opened = Opened::ToolCall { id: text("call_id").to_owned(), name: text("name").to_owned() };
        self.rest(index, Place::Arguments, opened, text("arguments"), deltas)
    }

    fn part_done(&mut self, index: u64, place: Place, part: &Value, deltas: &mut Vec<Delta>) {
        // Thoughts are done when their item is.
        let Some(opened) = opened_of(part) else { return };
        let name = if opened == Opened::Text { "text" } else { "refusal" };
        let whole = part.get(name).and_then(Value::as_str).unwrap_or_default();
        let at = self.rest(index, place, opened, whole, deltas);
        let list =
            |name: &str| part.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let Some(piece) = self.piece(index, place) else { return };
        for annotation in list("annotations").iter().skip(piece.cited) {
            piece.cited += 1;
            deltas.push(Delta::Cite(at, citation(annotation.clone())));
        }
        if piece.logprobs == 0 {
            self.logprobs(index, place, part.get("logprobs"), deltas);
        }
        self.close(index, place, at, deltas);
    }

    fn close(&mut self, item: u64, place: Place, at: At, deltas: &mut Vec<Delta>) {
        if let Some(piece) = self.piece(item, place)
            && !std::mem::replace(&mut piece.closed, true)
        {
            deltas.push(Delta::Close(at));
        }
    }

    fn item_done(&mut self, index: u64, item: &Value, deltas: &mut Vec<Delta>) -> Option<()> {
        let kind = item.get("type")?.as_str()?;
        let known = self.items.entry(index).or_default();
        if std::mem::replace(&mut known.done, true) {
            return Some(());
        }
        if known.id.is_none() {
            known.id = item.get("id").and_then(Value::as_str).map(str::to_owned);
        }
        let list =
            |name: &str| item.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        match kind {
            "message" => {
                for (number, part) in (0..).zip(list("content")) {
                    if opened_of(part).is_some() {
                        self.part_done(index, Place::Content(number), part, deltas);
                    } else {
                        self.native(part, deltas);
                    }
                }
            }
            "function_call" => {
                let at = self.call(index, item, deltas);
                self.close(index, Place::Arguments, at, deltas);
            }
            "reasoning" => self.reasoning_done(index, item, deltas),
            _ => self.native(item, deltas),
        }
        Some(())
    }

    fn native(&mut self, value: &Value, deltas: &mut Vec<Delta>) {
        let at = self.next();
        deltas.push(Delta::Open(at, Opened::Native(OWN, value.clone())));
        deltas.push(Delta::Close(at));
    }

    fn reasoning_done(&mut self, index: u64, item: &Value, deltas: &mut Vec<Delta>) {
        let list =
            |name: &str| item.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let told = |reader: &mut Self, place: Place| reader.piece(index, place).is_some();
        let (summary, content) = (words(list("summary")), words(list("content")));
        let encrypted = encrypted(item);
        let mut last = None;
        for (place, whole) in [(Place::Summary, summary), (Place::Words, content)] {
            if !whole.is_empty() || told(self, place) {
                let at = self.rest(index, place, self.thoughts(index, place), &whole, deltas);
                last = Some((place, at));
            }
        }
        let in_words = last.is_some_and(|(place, _)| place == Place::Words);
        if encrypted.is_some() && last.is_none() {
            let at = self.open(index, Place::Summary, self.thoughts(index, Place::Summary), deltas);
            last = Some((Place::Summary, at));
        }
        if let (Some((_, at)), true) = (last, encrypted.is_some() || in_words) {
            let id = self.items.get(&index).and_then(|item| item.id.as_deref());
            deltas.push(Delta::Sign(at, proof(id, encrypted.unwrap_or_default())));
        }
        for place in [Place::Summary, Place::Words] {
            if let Some(part) = self.piece(index, place).map(|piece| piece.part) {
                self.close(index, place, At { choice: 0, part }, deltas);
            }
        }
    }

    fn complete(&mut self, response: &Value, deltas: &mut Vec<Delta>) {
        self.begin(response, deltas);
        let output = response.get("output").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        // Servers that tell the whole at the end only.
        if self.parts == 0 {
            for (index, item) in (0..).zip(output) {
                self.item_done(index, item, deltas);
            }
        }
        if let Some(tier) = response.get("service_tier").and_then(Value::as_str) {
            deltas.push(Delta::Tier(tier.to_owned()));
        }
        if let Some(reported) = response.get("usage").and_then(usage) {
            deltas.push(Delta::Usage(reported));
        }
        deltas.push(Delta::Finish(0, response::finish(response, self.calls)));
        deltas.push(Delta::End);
        self.ended = true;
    }
}

/// How a part of a message begins, if it is text.
fn opened_of(part: &Value) -> Option<Opened> {
    match part.get("type").and_then(Value::as_str)? {
        "output_text" => Some(Opened::Text),
        "refusal" => Some(Opened::Refusal),
        _ => None,
    }
}
