//! Steps → a client's events, or the whole response they come to.

use super::super::{
    OWN,
    response::{PROOF_OF, REDACTED, annotation, show_logprob, show_usage},
    unproof,
};
use super::items::{CONTENT, Item, Kind, Piece, SUMMARY, Words};
use crate::{
    dialect::{self, Show},
    model::{
        answer::{At, Delta, Failure, Finish, Opened},
        part::{Citation, Media, MediaKind, Signature, Source},
        usage::Usage,
    },
    refusal::Refusal,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Writes a client's stream.
///
/// Texts that follow one another are one message. An item is done when its parts are closed and another begins, at the
/// latest with the stream; more of a part whose item is done is an item of its own.
#[derive(Debug)]
pub struct Writer {
    show: Show,
    /// For a whole response: no events.
    silent: bool,
    begun: bool,
    sequence: u64,
    id: Option<String>,
    model: Option<String>,
    tier: Option<String>,
    usage: Option<Usage>,
    finish: Option<Finish>,
    items: Vec<Item>,
    /// Where the parts of the first choice are: item, and piece within it.
    parts: BTreeMap<u32, (usize, usize)>,
    /// The text that was appended to last.
    last_text: Option<(usize, usize)>,
    /// Bytes of probabilities that were told.
    logprob_bytes: usize,
}

/// Probabilities are kept to be repeated at the end, up to so many bytes: with alternatives they are a hundred times the text.
/// Of more, they stand in the pieces alone.
const LOGPROB_BYTES_MAX: usize = 1 << 20;

impl Writer {
    /// For one client.
    #[must_use]
    pub const fn new(show: Show) -> Self {
        Self {
            show,
            silent: false,
            begun: false,
            sequence: 0,
            id: None,
            model: None,
            tier: None,
            usage: None,
            finish: None,
            items: Vec::new(),
            parts: BTreeMap::new(),
            last_text: None,
            logprob_bytes: 0,
        }
    }

    /// Without events.
    pub(in super::super) const fn silent(show: Show) -> Self {
        let mut writer = Self::new(show);
        writer.silent = true;
        writer
    }

    /// The whole response.
    pub(in super::super) fn response(&self) -> Value {
        let reason = self.incomplete();
        let output: Vec<Value> = self
            .items
            .iter()
            .map(|item| item.done.clone().unwrap_or_else(|| item.show("incomplete")))
            .collect();
        let details = reason.map(|reason| json!({ "reason": reason }));
        let status = if reason.is_some() { "incomplete" } else { "completed" };
        self.envelope(status, json!(output), json!(details))
    }

    fn incomplete(&self) -> Option<&'static str> {
        match &self.finish {
            Some(Finish::Length) => Some("max_output_tokens"),
            Some(Finish::Filtered(_) | Finish::Refused) => Some("content_filter"),
            _ => None,
        }
    }

    /// A response object with all members that strict types need; the caller's own values where they are known.
    fn envelope(&self, status: &str, output: Value, incomplete_details: Value) -> Value {
        let own = self.id.as_deref().filter(|id| id.starts_with("resp_"));
        let tier = match self.tier.as_deref() {
            Some("standard") => Some("default"),
            tier => tier.filter(|tier| matches!(*tier, "auto" | "default" | "flex" | "scale" | "priority")),
        };
        let mut response = json!({
            "id": own.map_or_else(|| format!("resp_{}", self.show.id), str::to_owned),
            "object": "response",
            "created_at": self.show.created,
            "status": status,
            "background": false,
            "error": null,
            "incomplete_details": incomplete_details,
            "instructions": null,
            "max_output_tokens": null,
            "max_tool_calls": null,
            "model": self.model.as_deref().unwrap_or(&self.show.model),
            "output": output,
            "parallel_tool_calls": true,
            "previous_response_id": null,
            "prompt_cache_key": null,
            "reasoning": {"effort": null, "summary": null},
            "safety_identifier": null,
            "service_tier": tier,
            // Nothing is kept here that a later request could name.
            "store": false,
            "temperature": null,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_logprobs": 0,
            "top_p": null,
            "truncation": "disabled",
            "usage": self.usage.as_ref().map(show_usage),
            "user": null,
            "metadata": {},
        });
        if let (Some(members), Some(Value::Object(echo))) = (response.as_object_mut(), &self.show.echo) {
            for (name, value) in echo {
                members.insert(name.clone(), value.clone());
            }
        }
        response
    }

    fn event(&mut self, kind: &str, members: Value, out: &mut Vec<u8>) {
        if self.silent {
            return;
        }
        let mut event = Map::new();
        event.insert("type".to_owned(), json!(kind));
        event.insert("sequence_number".to_owned(), json!(self.sequence));
        self.sequence += 1;
        if let Value::Object(members) = members {
            event.extend(members);
        }
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        out.extend_from_slice(Value::Object(event).to_string().as_bytes());
        out.extend_from_slice(b"\n\n");
    }

    /// An event about an item.
    fn of_item(&mut self, kind: &str, index: usize, more: Value, out: &mut Vec<u8>) {
        if self.silent {
            return;
        }
        let id = self.items.get(index).map(|item| item.id.clone());
        let mut members = json!({"item_id": id, "output_index": index});
        if let (Some(members), Value::Object(more)) = (members.as_object_mut(), more) {
            members.extend(more);
        }
        self.event(kind, members, out);
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) || self.silent {
            return;
        }
        for kind in ["response.created", "response.in_progress"] {
            let response = self.envelope("in_progress", json!([]), Value::Null);
            self.event(kind, json!({ "response": response }), out);
        }
    }

    /// A new item behind the others.
    fn add(&mut self, id: Option<String>, prefix: &str, kind: Kind, out: &mut Vec<u8>) -> usize {
        self.settle(out);
        let index = self.items.len();
        let id = id.unwrap_or_else(|| format!("{prefix}_{}_{index}", self.show.id));
        let item = Item { id, kind, done: None, proof: None };
        let shown = if self.silent { Value::Null } else { item.show("in_progress") };
        self.items.push(item);
        self.event("response.output_item.added", json!({"output_index": index, "item": shown}), out);
        index
    }

    /// Before another item: what was said and thought is done. Calls may go on beside one another.
    fn settle(&mut self, out: &mut Vec<u8>) {
        let last = self.items.len().wrapping_sub(1);
        if self.items.last().is_some_and(|item| !matches!(item.kind, Kind::Call { .. })) {
            self.done(last, "completed", out);
        }
    }

    fn open(&mut self, part: u32, opened: &Opened, out: &mut Vec<u8>) {
        let last = self.items.len().wrapping_sub(1);
        let place = match opened {
            Opened::Text | Opened::Refusal => {
                let index = match self.items.last() {
                    Some(Item { kind: Kind::Message(_), done: None, .. }) => last,
                    _ => self.add(None, "msg", Kind::Message(Vec::new()), out),
                };
                (index, self.piece(index, *opened == Opened::Refusal, out))
            }
            Opened::Reasoning { id, summary, redacted } => {
                let piece = if *summary { SUMMARY } else { CONTENT };
                let joins = |item: &Item| match &item.kind {
                    // The words of an item whose summary came before.
                    Kind::Reasoning { content, encrypted: None, .. } => {
                        let same = item.done.is_none() && id.as_ref() == Some(&item.id);
                        same && piece == CONTENT && !content.used
                    }
                    _ => false,
                };
                let index = if self.items.last().is_some_and(joins) {
                    last
                } else {
                    let made = || format!("rs_{}_{}{REDACTED}", self.show.id, self.items.len());
                    let id = if *redacted { Some(made()) } else { id.clone() };
                    let (summary, content) = (Words::default(), Words::default());
                    self.add(id, "rs", Kind::Reasoning { summary, content, encrypted: None }, out)
                };
                if let Some(words) = self.words(index, piece) {
                    words.used = true;
                }
                (index, piece)
            }
            Opened::ToolCall { id, name } => {
                let call_id = if id.is_empty() {
                    format!("call_{}_{}", self.show.id, self.items.len())
                } else {
                    id.clone()
                };
                let call = Kind::Call { call_id, name: name.clone(), arguments: String::new() };
                (self.add(None, "fc", call, out), 0)
            }
            Opened::Native(OWN, value) => {
                let id = value.get("id").and_then(Value::as_str).map(str::to_owned);
                let index = self.add(id, "item", Kind::Native(value.clone()), out);
                self.done(index, "completed", out);
                (index, 0)
            }
            Opened::Media(Media { kind: MediaKind::Image, source: Source::Base64(data), .. }) => {
                let id = format!("ig_{}_{part}", self.show.id);
                let image =
                    json!({"type": "image_generation_call", "id": id, "status": "completed", "result": data});
                let index = self.add(Some(id), "item", Kind::Native(image), out);
                self.done(index, "completed", out);
                (index, 0)
            }
            // Of another dialect.
            Opened::Native(..) | Opened::Media(_) => return,
        };
        self.parts.insert(part, place);
    }

    /// A new part of a message.
    fn piece(&mut self, index: usize, refusal: bool, out: &mut Vec<u8>) -> usize {
        let Some(Item { kind: Kind::Message(pieces), .. }) = self.items.get_mut(index) else { return 0 };
        let piece = Piece { refusal, ..Piece::default() };
        let (number, shown) = (pieces.len(), piece.show());
        pieces.push(piece);
        self.of_item(
            "response.content_part.added",
            index,
            json!({"content_index": number, "part": shown}),
            out,
        );
        number
    }

    fn words(&mut self, index: usize, piece: usize) -> Option<&mut Words> {
        match &mut self.items.get_mut(index)?.kind {
            Kind::Reasoning { summary, content, .. } => {
                Some(if piece == SUMMARY { summary } else { content })
            }
            _ => None,
        }
    }

    fn append(&mut self, part: u32, text: &str, out: &mut Vec<u8>) {
        let Some(&(index, piece)) = self.parts.get(&part) else { return };
        if text.is_empty() {
            return;
        }
        let (index, piece) = if self.is_over(index, piece) {
            let Some(again) = self.again(index, piece) else { return };
            self.open(part, &again, out);
            let Some(place) = self.parts.get(&part) else { return };
            *place
        } else {
            (index, piece)
        };
        let Some(item) = self.items.get_mut(index) else { return };
        match &mut item.kind {
            Kind::Message(pieces) => {
                let Some(said) = pieces.get_mut(piece) else { return };
                said.text.push_str(text);
                let (kind, members) = if said.refusal {
                    ("response.refusal.delta", json!({"content_index": piece, "delta": text}))
                } else {
                    self.last_text = Some((index, piece));
                    let members = json!({"content_index": piece, "delta": text, "logprobs": []});
                    ("response.output_text.delta", members)
                };
                self.of_item(kind, index, members, out);
            }
            Kind::Reasoning { summary, content, .. } => {
                let words = if piece == SUMMARY { summary } else { content };
                let begins = words.text.is_empty();
                words.text.push_str(text);
                if begins {
                    self.begin_words(index, piece, out);
                }
                let (kind, place) = if piece == SUMMARY {
                    ("response.reasoning_summary_text.delta", "summary_index")
                } else {
                    ("response.reasoning_text.delta", "content_index")
                };
                self.of_item(kind, index, json!({place: 0, "delta": text}), out);
            }
            Kind::Call { arguments, .. } => {
                arguments.push_str(text);
                self.of_item("response.function_call_arguments.delta", index, json!({"delta": text}), out);
            }
            Kind::Native(_) => {}
        }
    }

    fn begin_words(&mut self, index: usize, piece: usize, out: &mut Vec<u8>) {
        let (kind, members) = if piece == SUMMARY {
            let part = json!({"type": "summary_text", "text": ""});
            ("response.reasoning_summary_part.added", json!({"summary_index": 0, "part": part}))
        } else {
            let part = json!({"type": "reasoning_text", "text": ""});
            ("response.content_part.added", json!({"content_index": 0, "part": part}))
        };
        self.of_item(kind, index, members, out);
    }

    /// Whether a piece takes no more.
    fn is_over(&self, index: usize, piece: usize) -> bool {
        let Some(item) = self.items.get(index) else { return true };
        let said = match &item.kind {
            Kind::Message(pieces) => pieces.get(piece).is_none_or(|piece| piece.done),
            _ => false,
        };
        said || item.done.is_some()
    }

    /// How a part begins whose item is done and that goes on nevertheless.
    fn again(&self, index: usize, piece: usize) -> Option<Opened> {
        match &self.items.get(index)?.kind {
            Kind::Message(pieces) if pieces.get(piece)?.refusal => Some(Opened::Refusal),
            Kind::Message(_) => Some(Opened::Text),
            Kind::Reasoning { .. } => {
                Some(Opened::Reasoning { id: None, summary: piece == SUMMARY, redacted: false })
            }
            // Half of a call is none.
            Kind::Call { .. } | Kind::Native(_) => None,
        }
    }

    fn sign(&mut self, part: u32, signature: &Signature, out: &mut Vec<u8>) {
        let Some(&(index, _)) = self.parts.get(&part) else { return };
        let Some(item) = self.items.get_mut(index) else { return };
        match &mut item.kind {
            Kind::Reasoning { encrypted, .. } if item.done.is_none() => {
                let shown = shown(signature);
                *encrypted = (!shown.is_empty()).then_some(shown);
            }
            Kind::Native(_) => {}
            _ if item.done.is_none() => item.proof = Some(signature.clone()),
            _ => self.prove(index, signature, out),
        }
    }

    /// An item that holds a proof and nothing else, behind what it proves.
    fn prove(&mut self, proved: usize, signature: &Signature, out: &mut Vec<u8>) {
        let encrypted = Some(shown(signature)).filter(|text| !text.is_empty());
        if encrypted.is_some() {
            let id = match self.items.get(proved).map(|item| &item.kind) {
                Some(Kind::Call { call_id, .. }) => Some(format!("{PROOF_OF}{call_id}")),
                _ => None,
            };
            let (summary, content) = (Words::default(), Words::default());
            let index = self.add(id, "rs", Kind::Reasoning { summary, content, encrypted }, out);
            self.done(index, "completed", out);
        }
    }

    fn cite(&mut self, part: u32, citation: &Citation, out: &mut Vec<u8>) {
        let Some(&(index, piece)) = self.parts.get(&part) else { return };
        let Some(Item { kind: Kind::Message(pieces), done: None, .. }) = self.items.get_mut(index) else {
            return;
        };
        let Some(said) = pieces.get_mut(piece).filter(|piece| !piece.refusal && !piece.done) else { return };
        let Some(annotation) = annotation(citation, &said.text) else { return };
        let number = said.annotations.len();
        said.annotations.push(annotation.clone());
        let members = json!({"content_index": piece, "annotation_index": number, "annotation": annotation});
        self.of_item("response.output_text.annotation.added", index, members, out);
    }

    /// They come behind their text: an event of their own, without text.
    fn logprobs(&mut self, value: &Value, out: &mut Vec<u8>) {
        let Some((index, piece)) = self.last_text else { return };
        let Some(list) = value.get("content").and_then(Value::as_array).filter(|list| !list.is_empty())
        else {
            return;
        };
        let list: Vec<Value> = list.iter().map(show_logprob).collect();
        let Some(Item { kind: Kind::Message(pieces), done: None, .. }) = self.items.get_mut(index) else {
            return;
        };
        let Some(said) = pieces.get_mut(piece).filter(|piece| !piece.done) else { return };
        if self.logprob_bytes > LOGPROB_BYTES_MAX {
            said.logprobs = Vec::new();
        } else {
            said.logprobs.extend_from_slice(&list);
        }
        let members = json!({"content_index": piece, "delta": "", "logprobs": list});
        let before = out.len();
        self.of_item("response.output_text.delta", index, members, out);
        self.logprob_bytes = self.logprob_bytes.saturating_add(out.len().saturating_sub(before));
    }

    fn close(&mut self, part: u32, out: &mut Vec<u8>) {
        let Some(&(index, piece)) = self.parts.get(&part) else { return };
        match self.items.get(index).map(|item| &item.kind) {
            Some(Kind::Message(_)) => self.piece_done(index, piece, out),
            Some(Kind::Call { .. }) => self.done(index, "completed", out),
            _ => {}
        }
    }

    fn piece_done(&mut self, index: usize, piece: usize, out: &mut Vec<u8>) {
        let Some(Item { kind: Kind::Message(pieces), .. }) = self.items.get_mut(index) else { return };
        let Some(said) = pieces.get_mut(piece) else { return };
        if std::mem::replace(&mut said.done, true) || self.silent {
            return;
        }
        let part = said.show();
        let (kind, members) = if said.refusal {
            ("response.refusal.done", json!({"content_index": piece, "refusal": said.text}))
        } else {
            let members = json!({"content_index": piece, "text": said.text, "logprobs": said.logprobs});
            ("response.output_text.done", members)
        };
        self.of_item(kind, index, members, out);
        self.of_item("response.content_part.done", index, json!({"content_index": piece, "part": part}), out);
    }

    /// An item is done, if it has not been.
    fn done(&mut self, index: usize, status: &str, out: &mut Vec<u8>) {
        let Some(item) = self.items.get_mut(index).filter(|item| item.done.is_none()) else { return };
        match &mut item.kind {
            Kind::Message(pieces) => {
                for piece in 0..pieces.len() {
                    self.piece_done(index, piece, out);
                }
            }
            Kind::Reasoning { summary, content, .. } => {
                let (summary, content) = (summary.text.clone(), content.text.clone());
                self.words_done(index, &summary, &content, out);
            }
            Kind::Call { name, arguments, .. } => {
                // Clients parse them.
                let empty = arguments.is_empty();
                if empty {
                    arguments.push_str("{}");
                }
                let members = json!({"name": name, "arguments": arguments});
                if empty {
                    self.of_item(
                        "response.function_call_arguments.delta",
                        index,
                        json!({"delta": "{}"}),
                        out,
                    );
                }
                self.of_item("response.function_call_arguments.done", index, members, out);
            }
            Kind::Native(_) => {}
        }
        let Some(item) = self.items.get_mut(index) else { return };
        let shown = item.show(status);
        item.done = Some(shown.clone());
        let proof = item.proof.take();
        self.event("response.output_item.done", json!({"output_index": index, "item": shown}), out);
        if let Some(signature) = proof {
            self.prove(index, &signature, out);
        }
    }

    fn words_done(&mut self, index: usize, summary: &str, content: &str, out: &mut Vec<u8>) {
        if !summary.is_empty() {
            let part = json!({"type": "summary_text", "text": summary});
            let members = json!({"summary_index": 0, "text": summary});
            self.of_item("response.reasoning_summary_text.done", index, members, out);
            let members = json!({"summary_index": 0, "part": part});
            self.of_item("response.reasoning_summary_part.done", index, members, out);
        }
        if !content.is_empty() {
            let part = json!({"type": "reasoning_text", "text": content});
            let members = json!({"content_index": 0, "text": content});
            self.of_item("response.reasoning_text.done", index, members, out);
            let members = json!({"content_index": 0, "part": part});
            self.of_item("response.content_part.done", index, members, out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let cut = self.incomplete().is_some();
        let last = self.items.len().wrapping_sub(1);
        let mut index = 0;
        // Proofs may be added on the way.
        while index < self.items.len() {
            let status = if cut && index == last { "incomplete" } else { "completed" };
            self.done(index, status, out);
            index += 1;
        }
        if !self.silent {
            let kind = if cut { "response.incomplete" } else { "response.completed" };
            let response = self.response();
            self.event(kind, json!({ "response": response }), out);
        }
    }
}

/// A proof as a client gets it.
fn shown(signature: &Signature) -> String {
    let text = signature.show_to(OWN);
    if signature.maker == OWN { unproof(&text).1.to_owned() } else { text }
}

impl dialect::Writer for Writer {
    fn push(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        if let Delta::Begin { id, model } = delta {
            self.id.clone_from(id);
            self.model.clone_from(model);
        }
        if !matches!(delta, Delta::Ping | Delta::Corrupt | Delta::TooLong(_) | Delta::Error(_)) {
            self.begin(out);
        }
        match delta {
            Delta::Open(At { choice: 0, part }, opened) => self.open(*part, opened, out),
            Delta::Append(At { choice: 0, part }, text) => self.append(*part, text, out),
            Delta::Sign(At { choice: 0, part }, signature) => self.sign(*part, signature, out),
            Delta::Cite(At { choice: 0, part }, citation) => self.cite(*part, citation, out),
            Delta::Logprobs(0, value) => self.logprobs(value, out),
            Delta::Close(At { choice: 0, part }) => self.close(*part, out),
            Delta::Finish(0, finish) => self.finish = Some(finish.clone()),
            Delta::Usage(reported) => self.usage = Some(reported.usage),
            Delta::Tier(tier) => self.tier = Some(tier.clone()),
            Delta::End => self.end(out),
            Delta::Error(failure) => {
                let refusal = refusal_of(failure);
                dialect::Writer::fail(self, &refusal, out);
            }
            Delta::Ping if !self.silent => out.extend_from_slice(b": ping\n\n"),
            _ => {}
        }
    }

    /// The `error` event. The schema has it flat; an `error` object as well makes OpenAI's SDKs raise it.
    fn fail(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        let body: Value = serde_json::from_str(&refusal.to_openai_json()).unwrap_or_default();
        let error = body.get("error").cloned().unwrap_or_default();
        let members =
            json!({"code": refusal.code, "message": refusal.message, "param": refusal.param, "error": error});
        self.event("error", members, out);
    }
}

fn refusal_of(failure: &Failure) -> Refusal {
    Refusal::new(failure.status, "upstream_error", "upstream_error", failure.message.clone())
}
