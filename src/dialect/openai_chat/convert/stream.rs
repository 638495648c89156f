//! A chat stream to and from the steps of the canonical form.

use super::{
    call_signature, read_picture,
    request::{read_thoughts, show_detail},
    response::{
        call_id, read_annotation, read_chunk, read_finish, read_usage, show_citation, show_finish, show_tier,
        show_usage,
    },
    show_picture,
};
use crate::{
    dialect::{self, Dialect, EventReader, Events, Show},
    model::{
        answer::{At, Delta, Failure, Opened, Reported},
        part::{Body, Media, Part, Reasoning, Signature},
    },
    refusal::Refusal,
    stream::sse::Event,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// More answers than this no request asks for.
const CHOICES_MAX: u64 = 128;

/// Which part of an answer is under way.
#[derive(Clone, Debug, Default)]
struct Open {
    parts: u32,
    /// The last part that text was appended to, if it was text, a refusal or thoughts.
    last: Option<(Kind, u32)>,
    /// OpenAI's index of a call → our number of its part.
    calls: BTreeMap<u64, u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Refusal,
    Reasoning,
}

/// Reads a provider's stream.
pub type Reader = Events<Steps>;

/// What is known of a stream so far.
#[derive(Debug, Default)]
pub struct Steps {
    begun: bool,
    finished: bool,
    ended: bool,
    tier: Option<String>,
    open: BTreeMap<u32, Open>,
}

impl EventReader for Steps {
    fn event(&mut self, event: &Event, deltas: &mut Vec<Delta>) {
        self.read(event, deltas);
    }

    fn ended(&mut self, deltas: &mut Vec<Delta>) {
        // Some servers never send `[DONE]`: a finish reason is their end.
        if self.finished && !self.ended {
            self.ended = true;
            deltas.push(Delta::End);
        }
    }
}

impl Steps {
    fn read(&mut self, event: &Event, deltas: &mut Vec<Delta>) {
        let Some(data) = event.data.as_deref().map(<[u8]>::trim_ascii) else { return };
        if data.is_empty() {
            return;
        }
        if data == b"[DONE]" {
            // OpenRouter sends it after an error as well: nothing ends well after that.
            if !self.ended {
                self.ended = true;
                deltas.push(Delta::End);
            }
            return;
        }
        let Ok(Value::Object(mut chunk)) = serde_json::from_slice::<Value>(data) else {
            deltas.push(Delta::Corrupt);
            return;
        };
        if event.name.as_deref() == Some(b"error") || chunk.get("error").is_some_and(|error| !error.is_null())
        {
            let status = chunk.get("error").and_then(|error| error.get("code")).and_then(Value::as_u64);
            let status = status.and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
            // OpenRouter counts what was used all the same.
            deltas.extend(chunk.get("usage").and_then(read_usage).map(Delta::Usage));
            deltas.push(Delta::Error(super::failure::read(status, data)));
            self.ended = true;
            return;
        }
        let text = |name: &str| chunk.get(name).and_then(Value::as_str).map(str::to_owned);
        if !self.begun {
            self.begun = true;
            deltas.push(Delta::Begin { id: text("id"), model: text("model") });
        }
        let tier = text("service_tier");
        if tier.is_some() && tier != self.tier {
            self.tier.clone_from(&tier);
            deltas.extend(tier.map(Delta::Tier));
        }
        if let Some(Value::Array(choices)) = chunk.get_mut("choices") {
            for choice in std::mem::take(choices) {
                self.choice(&choice, deltas);
            }
        }
        if let Some(reported) = chunk.get("usage").filter(|usage| !usage.is_null()).and_then(read_usage) {
            deltas.push(Delta::Usage(reported));
        }
    }

    fn choice(&mut self, choice: &Value, deltas: &mut Vec<Delta>) {
        let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
        let Some(index) = u32::try_from(index).ok().filter(|_| index < CHOICES_MAX) else {
            deltas.push(Delta::Corrupt);
            return;
        };
        let mut delta = choice.get("delta").and_then(Value::as_object).cloned().unwrap_or_default();
        let open = self.open.entry(index).or_default();
        for part in read_thoughts(&mut delta) {
            open.thought(index, part, deltas);
        }
        match delta.get("content") {
            Some(Value::String(text)) if !text.is_empty() => open.append(index, Kind::Text, text, deltas),
            Some(Value::Array(chunks)) => {
                for part in chunks.iter().filter_map(read_chunk) {
                    match &part.body {
                        Body::Text(text) => open.append(index, Kind::Text, &text.text, deltas),
                        Body::Reasoning(_) => open.thought(index, part, deltas),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        if let Some(text) = delta.get("refusal").and_then(Value::as_str).filter(|text| !text.is_empty()) {
            open.append(index, Kind::Refusal, text, deltas);
        }
        for part in
            delta.get("images").and_then(Value::as_array).into_iter().flatten().filter_map(read_picture)
        {
            open.picture(index, part, deltas);
        }
        for annotation in delta.get("annotations").and_then(Value::as_array).into_iter().flatten() {
            if let (Some(citation), Some((Kind::Text, part))) = (read_annotation(annotation), open.last) {
                deltas.push(Delta::Cite(At { choice: index, part }, citation));
            }
        }
        if let Some(logprobs) = choice.get("logprobs").filter(|value| !value.is_null()) {
            deltas.push(Delta::Logprobs(index, logprobs.clone()));
        }
        for (at, call) in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten().enumerate()
        {
            open.call(index, at as u64, call, deltas);
        }
        if let Some(call) = delta.get("function_call").filter(|call| call.is_object()) {
            open.call(index, 0, &json!({"index": 0, "function": call}), deltas);
        }
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            self.finished = true;
            deltas.push(Delta::Finish(index, read_finish(reason)));
        }
    }
}

impl Open {
    fn begin(&mut self, choice: u32, opened: Opened, deltas: &mut Vec<Delta>) -> u32 {
        let part = self.parts;
        self.parts = self.parts.saturating_add(1);
        deltas.push(Delta::Open(At { choice, part }, opened));
        part
    }

    fn append(&mut self, choice: u32, kind: Kind, text: &str, deltas: &mut Vec<Delta>) {
        let part = match self.last {
            Some((last, part)) if last == kind => part,
            _ => {
                let opened = match kind {
                    Kind::Text => Opened::Text,
                    Kind::Refusal => Opened::Refusal,
                    Kind::Reasoning => Opened::Reasoning { id: None, summary: false, redacted: false },
                };
                let part = self.begin(choice, opened, deltas);
                self.last = Some((kind, part));
                part
            }
        };
        deltas.push(Delta::Append(At { choice, part }, text.to_owned()));
    }

    /// A piece of thoughts; its proof, where one comes, stands for what was said of them so far.
    fn thought(&mut self, choice: u32, part: Part, deltas: &mut Vec<Delta>) {
        let Body::Reasoning(Reasoning { text, id, summary, redacted }) = part.body else { return };
        let number = match self.last {
            Some((Kind::Reasoning, number)) if !redacted => number,
            _ => {
                let number = self.begin(choice, Opened::Reasoning { id, summary, redacted }, deltas);
                self.last = Some((Kind::Reasoning, number));
                if let Some(unproved) = part.signature.as_ref().filter(|signature| signature.text.is_empty())
                {
                    deltas.push(Delta::Sign(At { choice, part: number }, unproved.clone()));
                }
                number
            }
        };
        let at = At { choice, part: number };
        if !text.is_empty() {
            deltas.push(Delta::Append(at, text));
        }
        if let Some(signature) = part.signature.filter(|signature| !signature.text.is_empty()) {
            deltas.push(Delta::Sign(at, signature));
            self.last = None;
        }
    }

    fn picture(&mut self, choice: u32, part: Part, deltas: &mut Vec<Delta>) {
        let Body::Media(media) = part.body else { return };
        let at = At { choice, part: self.begin(choice, Opened::Media(media), deltas) };
        deltas.extend(part.signature.map(|signature| Delta::Sign(at, signature)));
        deltas.push(Delta::Close(at));
        self.last = None;
    }

    fn call(&mut self, choice: u32, position: u64, call: &Value, deltas: &mut Vec<Delta>) {
        let function = call.get("function");
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let (id, name) = (text(call.get("id")), text(function.and_then(|function| function.get("name"))));
        // Some servers give no index, or the same to every call: a new id is a new call there.
        let index = call.get("index").and_then(Value::as_u64).unwrap_or(position);
        let begins = !name.is_empty();
        let part = match self.calls.get(&index) {
            Some(part) if !begins || id.is_empty() => *part,
            _ => {
                let part = self.begin(choice, Opened::ToolCall { id, name }, deltas);
                self.calls.insert(index, part);
                self.last = None;
                part
            }
        };
        let at = At { choice, part };
        if let Some(signature) = call.as_object().and_then(call_signature) {
            deltas.push(Delta::Sign(at, signature));
        }
        let arguments = match function.and_then(|function| function.get("arguments")) {
            Some(Value::String(text)) => text.clone(),
            None | Some(Value::Null) => String::new(),
            Some(value) => value.to_string(),
        };
        if !arguments.is_empty() {
            deltas.push(Delta::Append(at, arguments));
        }
    }
}

/// Writes a client's stream.
#[derive(Debug)]
pub struct Writer {
    show: Show,
    id: Option<String>,
    model: Option<String>,
    tier: Option<String>,
    usage: Option<Reported>,
    choices: BTreeMap<u32, Shown>,
    /// What every chunk begins with, up to its choices; empty if it must be made anew.
    head: Vec<u8>,
    /// An error was told: nothing ends well after it.
    failed: bool,
}

/// What most chunks carry.
#[derive(Serialize)]
struct Content<'a> {
    content: &'a str,
}

/// A piece of a call's arguments.
#[derive(Serialize)]
struct CallPieces<'a> {
    tool_calls: [CallPiece<'a>; 1],
}

#[derive(Serialize)]
struct CallPiece<'a> {
    index: usize,
    function: Arguments<'a>,
}

#[derive(Serialize)]
struct Arguments<'a> {
    arguments: &'a str,
}

/// What a client has seen of one answer.
#[derive(Debug, Default)]
struct Shown {
    /// The role was told.
    begun: bool,
    parts: BTreeMap<u32, ShownPart>,
    calls: usize,
    details: usize,
    pictures: usize,
    finished: bool,
}

#[derive(Debug)]
enum ShownPart {
    Text,
    Refusal,
    Reasoning {
        index: usize,
        summary: bool,
        redacted: bool,
        id: Option<String>,
    },
    Call {
        index: usize,
        arguments: bool,
    },
    /// It is told when it ends, so that its signature is with it.
    Picture {
        index: usize,
        media: Media,
        signature: Option<Signature>,
    },
    Hidden,
}

impl Writer {
    /// For one client.
    #[must_use]
    pub const fn new(show: Show) -> Self {
        Self {
            show,
            id: None,
            model: None,
            tier: None,
            usage: None,
            choices: BTreeMap::new(),
            head: Vec::new(),
            failed: false,
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.head.is_empty() {
            let id = self.id.clone().unwrap_or_else(|| format!("chatcmpl-{}", self.show.id));
            let mut chunk = json!({
                "id": id,
                "object": "chat.completion.chunk",
                "created": self.show.created,
                "model": self.model.as_deref().unwrap_or(&self.show.model),
            });
            if let (Some(tier), Some(members)) =
                (self.tier.as_deref().and_then(show_tier), chunk.as_object_mut())
            {
                members.insert("service_tier".to_owned(), json!(tier));
            }
            let chunk = chunk.to_string();
            self.head = format!("data: {},\"choices\":[", chunk.trim_end_matches('}')).into_bytes();
        }
        out.extend_from_slice(&self.head);
    }

    fn delta(&mut self, choice: u32, delta: &impl Serialize, out: &mut Vec<u8>) {
        self.choice(choice, delta, None, &Value::Null, out);
    }

    fn choice(
        &mut self,
        choice: u32,
        delta: &impl Serialize,
        finish: Option<&str>,
        logprobs: &Value,
        out: &mut Vec<u8>,
    ) {
        self.begin(out);
        out.extend_from_slice(format!("{{\"index\":{choice},\"delta\":").as_bytes());
        let from = out.len();
        append(delta, out);
        let shown = self.choices.entry(choice).or_default();
        if !shown.begun {
            shown.begun = true;
            let comma = if out.len() - from > "{}".len() { "," } else { "" };
            let role = format!("\"role\":\"assistant\"{comma}");
            out.splice(from + 1..from + 1, role.into_bytes());
        }
        out.extend_from_slice(b",\"logprobs\":");
        append(logprobs, out);
        out.extend_from_slice(b",\"finish_reason\":");
        append(&finish, out);
        out.extend_from_slice(b"}]}\n\n");
    }

    fn open(&mut self, at: At, opened: &Opened, out: &mut Vec<u8>) {
        let shown = self.choices.entry(at.choice).or_default();
        let (part, delta) = match opened {
            Opened::Text => (ShownPart::Text, None),
            Opened::Refusal => (ShownPart::Refusal, None),
            Opened::Reasoning { id, summary, redacted } => {
                let index = shown.details;
                shown.details += 1;
                let (summary, redacted) = (*summary, *redacted);
                (ShownPart::Reasoning { index, summary, redacted, id: id.clone() }, None)
            }
            Opened::ToolCall { id, name } => {
                let index = shown.calls;
                shown.calls += 1;
                let id = call_id(id, index, &self.show);
                let call = json!({"index": index, "id": id, "type": "function",
                                  "function": {"name": name, "arguments": ""}});
                (ShownPart::Call { index, arguments: false }, Some(json!({"tool_calls": [call]})))
            }
            Opened::Media(media) => {
                let index = shown.pictures;
                shown.pictures += 1;
                (ShownPart::Picture { index, media: media.clone(), signature: None }, None)
            }
            Opened::Native(..) => (ShownPart::Hidden, None),
        };
        shown.parts.insert(at.part, part);
        if let Some(delta) = delta {
            self.delta(at.choice, &delta, out);
        }
    }

    fn part(&mut self, at: At) -> Option<&mut ShownPart> {
        self.choices.get_mut(&at.choice)?.parts.get_mut(&at.part)
    }

    fn append(&mut self, at: At, text: &str, out: &mut Vec<u8>) {
        let delta = match self.part(at) {
            Some(ShownPart::Text) => return self.delta(at.choice, &Content { content: text }, out),
            Some(ShownPart::Refusal) => json!({"refusal": text}),
            Some(ShownPart::Reasoning { index, summary, redacted, id }) => {
                let reasoning = Reasoning {
                    text: text.to_owned(),
                    id: id.take(),
                    summary: *summary,
                    redacted: *redacted,
                };
                let detail = show_detail(&reasoning, None, *index);
                json!({"reasoning_content": text, "reasoning_details": [detail]})
            }
            Some(ShownPart::Call { index, arguments }) => {
                *arguments = true;
                let piece = CallPiece { index: *index, function: Arguments { arguments: text } };
                return self.delta(at.choice, &CallPieces { tool_calls: [piece] }, out);
            }
            Some(ShownPart::Picture { .. } | ShownPart::Hidden) | None => return,
        };
        self.delta(at.choice, &delta, out);
    }

    fn sign(&mut self, at: At, proof: &Signature, out: &mut Vec<u8>) {
        let delta = match self.part(at) {
            Some(ShownPart::Picture { signature, .. }) => {
                *signature = Some(proof.clone());
                return;
            }
            Some(ShownPart::Reasoning { index, summary, redacted, id }) if !proof.text.is_empty() => {
                let reasoning =
                    Reasoning { text: String::new(), id: id.take(), summary: *summary, redacted: *redacted };
                let mut detail = show_detail(&reasoning, Some(proof), *index);
                // Of thoughts that were told in words, the proof is another piece of the same detail.
                if !*redacted && let Some(members) = detail.as_object_mut() {
                    members.insert("type".to_owned(), json!("reasoning.text"));
                    if let Some(data) = members.shift_remove("data") {
                        members.insert("signature".to_owned(), data);
                    }
                }
                json!({"reasoning_details": [detail]})
            }
            Some(ShownPart::Call { index, .. }) => {
                let shown = proof.show_to(Dialect::Gemini);
                json!({"tool_calls": [{"index": *index, "extra_content": {"google": {"thought_signature": shown}}}]})
            }
            _ => return,
        };
        self.delta(at.choice, &delta, out);
    }

    /// Tells a picture that is whole.
    fn picture(&mut self, at: At, out: &mut Vec<u8>) {
        let Some(part @ ShownPart::Picture { .. }) = self.part(at) else { return };
        if let ShownPart::Picture { index, media, signature } = std::mem::replace(part, ShownPart::Hidden)
            && let Some(shown) = show_picture(&media, signature.as_ref(), index)
        {
            self.delta(at.choice, &json!({"images": [shown]}), out);
        }
    }

    /// Those whose end was not told.
    fn pictures(&mut self, choice: u32, out: &mut Vec<u8>) {
        let Some(shown) = self.choices.get(&choice).filter(|shown| shown.pictures > 0) else { return };
        let open = shown.parts.iter().filter(|(_, part)| matches!(part, ShownPart::Picture { .. }));
        let open: Vec<u32> = open.map(|(part, _)| *part).collect();
        for part in open {
            self.picture(At { choice, part }, out);
        }
    }

    /// Clients parse a call's arguments when the answer is complete: none at all are an empty object.
    fn complete_calls(&mut self, choice: u32, out: &mut Vec<u8>) {
        let Some(shown) = self.choices.get_mut(&choice) else { return };
        let mut empty = Vec::new();
        for part in shown.parts.values_mut() {
            if let ShownPart::Call { index, arguments: arguments @ false } = part {
                *arguments = true;
                empty.push(*index);
            }
        }
        for index in empty {
            let piece = CallPiece { index, function: Arguments { arguments: "{}" } };
            self.delta(choice, &CallPieces { tool_calls: [piece] }, out);
        }
    }
}

impl dialect::Writer for Writer {
    fn push(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        match delta {
            Delta::Begin { id, model } => {
                self.id.clone_from(id);
                self.model.clone_from(model);
                self.head.clear();
                self.delta(0, &Content { content: "" }, out);
            }
            Delta::Open(at, opened) => self.open(*at, opened, out),
            Delta::Append(at, text) => self.append(*at, text, out),
            Delta::Sign(at, signature) => self.sign(*at, signature, out),
            Delta::Cite(at, citation) => {
                if let Some(annotation) = show_citation(citation) {
                    self.delta(at.choice, &json!({"annotations": [annotation]}), out);
                }
            }
            Delta::Logprobs(choice, value) => {
                self.choice(*choice, &json!({}), None, value, out);
            }
            Delta::Finish(choice, finish) => {
                self.pictures(*choice, out);
                self.complete_calls(*choice, out);
                self.choices.entry(*choice).or_default().finished = true;
                self.choice(*choice, &json!({}), Some(show_finish(finish)), &Value::Null, out);
            }
            Delta::Usage(reported) => self.usage = Some(reported.clone()),
            Delta::Tier(tier) => {
                self.tier = Some(tier.clone());
                self.head.clear();
            }
            Delta::End if self.failed => {}
            Delta::End => {
                if let Some(reported) = self.usage.take().filter(|_| self.show.usage) {
                    self.begin(out);
                    out.extend_from_slice(b"],\"usage\":");
                    append(&show_usage(&reported.usage), out);
                    out.extend_from_slice(b"}\n\n");
                }
                out.extend_from_slice(b"data: [DONE]\n\n");
            }
            Delta::Error(failure) => {
                let refusal = refusal_of(failure);
                self.fail(&refusal, out);
            }
            Delta::Ping => out.extend_from_slice(b": ping\n\n"),
            Delta::Close(at) => self.picture(*at, out),
            Delta::Corrupt | Delta::TooLong(_) => {}
        }
    }

    fn fail(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        self.failed = true;
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(refusal.to_openai_json().as_bytes());
        out.extend_from_slice(b"\n\n");
    }
}

fn refusal_of(failure: &Failure) -> Refusal {
    Refusal::new(failure.status, "upstream_error", "upstream_error", failure.message.clone())
}

/// Appends JSON; nothing that is written here can fail to be.
fn append(value: &impl Serialize, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, value);
}
