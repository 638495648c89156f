//! `streamGenerateContent`: pieces of an answer, each a whole `GenerateContentResponse`. There is no terminal event; the
//! last piece has a `finishReason` for each candidate, and the usage.

mod arguments;
mod write;

pub use write::Writer;

use super::{
    failure, grounding,
    response::{Candidate, Head, finish_in, part_of_answer},
};
use crate::{
    dialect::{Dialect, EventReader, Events},
    model::{
        answer::{At, Delta, Opened, Reported},
        part::{Body, Signature},
    },
    stream::sse::Event,
};
use arguments::Arguments;
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads a provider's stream of events (`alt=sse`).
pub type Reader = Events<Steps>;

/// What is known of a stream so far.
#[derive(Debug, Default)]
pub struct Steps {
    begun: bool,
    choices: BTreeMap<u32, Progress>,
    reported: Option<Reported>,
    tier: Option<String>,
    ended: bool,
}

/// An answer so far.
#[derive(Debug, Default)]
struct Progress {
    next: u32,
    open: Option<Open>,
    called: bool,
    finished: bool,
    /// The texts, by their part: what positions of sources are counted in.
    texts: Vec<(u32, String)>,
    /// A call whose arguments come in pieces.
    call: Option<(At, Arguments)>,
}

/// The part to which more may come.
#[derive(Debug)]
struct Open {
    at: At,
    thoughts: bool,
    /// What has a signature is complete.
    signed: bool,
}

impl EventReader for Steps {
    fn event(&mut self, event: &Event, deltas: &mut Vec<Delta>) {
        self.read(event, deltas);
    }

    fn ended(&mut self, deltas: &mut Vec<Delta>) {
        // A finish reason is the end, also if no usage came with it.
        if self.is_finished() {
            self.end(deltas);
        }
    }
}

/// Longer bytes without data are no comment.
const COMMENT_BYTES_MAX: usize = 64 << 10;

impl Steps {
    fn read(&mut self, event: &Event, deltas: &mut Vec<Delta>) {
        let Some(data) = &event.data else {
            // Google sends an error in the middle of a stream as bare JSON.
            match serde_json::from_slice::<Value>(&event.raw) {
                Ok(body) => deltas.extend(failure::of_value(0, &body).map(Delta::Error)),
                Err(_) if event.raw.len() > COMMENT_BYTES_MAX => deltas.push(Delta::Corrupt),
                Err(_) => {}
            }
            return;
        };
        // Not Google's, but of servers that copy it.
        if data.as_slice() == b"[DONE]" {
            return;
        }
        match serde_json::from_slice::<Value>(data) {
            Ok(body @ Value::Object(_)) => self.chunk(body, deltas),
            _ => deltas.push(Delta::Corrupt),
        }
    }

    fn chunk(&mut self, mut body: Value, deltas: &mut Vec<Delta>) {
        if let Some(failure) = failure::of_value(0, &body) {
            deltas.push(Delta::Error(failure));
            return;
        }
        let head = Head::read(&body);
        let candidates = body.as_object_mut().and_then(|all| all.shift_remove("candidates"));
        if !self.ended {
            if !std::mem::replace(&mut self.begun, true) {
                deltas.push(Delta::Begin { id: head.id, model: head.model });
            }
            match candidates {
                Some(Value::Array(candidates)) => {
                    for (position, candidate) in candidates.into_iter().enumerate() {
                        match Candidate::read(candidate) {
                            Ok(candidate) => self.candidate(position, candidate, deltas),
                            Err(_) => deltas.push(Delta::Corrupt),
                        }
                    }
                }
                None | Some(Value::Null) => {}
                Some(_) => deltas.push(Delta::Corrupt),
            }
            if let Some(blocked) = head.blocked.filter(|_| self.choices.is_empty()) {
                self.choices.entry(0).or_default().finished = true;
                deltas.push(Delta::Finish(0, blocked));
            }
        }
        if head.tier.is_some() && head.tier != self.tier {
            self.tier.clone_from(&head.tier);
            deltas.extend(head.tier.map(Delta::Tier));
        }
        let counted = head.reported.is_some();
        if head.reported.is_some() && head.reported != self.reported {
            self.reported.clone_from(&head.reported);
            deltas.extend(head.reported.map(Delta::Usage));
        }
        if counted && self.is_finished() {
            self.end(deltas);
        }
    }

    fn is_finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|choice| choice.finished)
    }

    fn end(&mut self, deltas: &mut Vec<Delta>) {
        if !std::mem::replace(&mut self.ended, true) {
            deltas.push(Delta::End);
        }
    }

    fn candidate(&mut self, position: usize, candidate: Candidate, deltas: &mut Vec<Delta>) {
        let Some(choice) = u32::try_from(candidate.index.unwrap_or(position)).ok().filter(|at| *at < 128)
        else {
            deltas.push(Delta::Corrupt);
            return;
        };
        let progress = self.choices.entry(choice).or_default();
        for part in candidate.parts {
            progress.part(choice, part, deltas);
        }
        if grounding::any(&candidate.rest) {
            let texts: Vec<&str> = progress.texts.iter().map(|(_, text)| text.as_str()).collect();
            for (text, citation) in grounding::citations(&candidate.rest, &texts) {
                if let Some((part, _)) = progress.texts.get(text) {
                    deltas.push(Delta::Cite(At { choice, part: *part }, citation));
                }
            }
        }
        if let Some(native) = grounding::native(&candidate.rest) {
            let at = progress.next(choice);
            deltas.push(Delta::Open(at, Opened::Native(Dialect::Gemini, native)));
            deltas.push(Delta::Close(at));
        }
        if let Some(logprobs) = candidate.logprobs {
            deltas.push(Delta::Logprobs(choice, logprobs));
        }
        if let Some(word) = candidate.finish.filter(|_| !progress.finished) {
            progress.finished = true;
            progress.close_call(deltas);
            progress.close(deltas);
            deltas.push(Delta::Finish(choice, finish_in(&word, progress.called)));
        }
    }
}

impl Progress {
    fn next(&mut self, choice: u32) -> At {
        let at = At { choice, part: self.next };
        self.next = self.next.saturating_add(1);
        at
    }

    fn close(&mut self, deltas: &mut Vec<Delta>) {
        deltas.extend(self.open.take().map(|open| Delta::Close(open.at)));
    }

    fn part(&mut self, choice: u32, value: Value, deltas: &mut Vec<Delta>) {
        if let Some(piece) = arguments::piece(&value) {
            self.piece(choice, &piece, deltas);
            return;
        }
        let part = part_of_answer(value);
        let signature = part.signature;
        match part.body {
            Body::Text(text) => self.text(choice, &text.text, None, signature, deltas),
            Body::Reasoning(thoughts) => {
                self.text(choice, &thoughts.text, Some(thoughts.redacted), signature, deltas);
            }
            body => {
                self.close_call(deltas);
                self.close(deltas);
                let at = self.next(choice);
                let (opened, arguments) = match body {
                    Body::ToolCall(call) => {
                        self.called = true;
                        (Opened::ToolCall { id: call.id, name: call.name }, Some(call.arguments))
                    }
                    Body::Native(dialect, value) => (Opened::Native(dialect, value), None),
                    Body::Media(media) => (Opened::Media(media), None),
                    other => {
                        let native = super::response::write_part(&other.into()).map(Value::Object);
                        (Opened::Native(Dialect::Gemini, native.unwrap_or_default()), None)
                    }
                };
                deltas.push(Delta::Open(at, opened));
                deltas.extend(signature.map(|signature| Delta::Sign(at, signature)));
                deltas.extend(arguments.map(|arguments| Delta::Append(at, arguments)));
                deltas.push(Delta::Close(at));
            }
        }
    }

    /// Text, or thoughts (`Some`: whether they are encrypted), appended to the open part if that is of the same kind.
    fn text(
        &mut self,
        choice: u32,
        text: &str,
        thoughts: Option<bool>,
        signature: Option<Signature>,
        deltas: &mut Vec<Delta>,
    ) {
        if text.is_empty() && signature.is_none() {
            return;
        }
        let fits = |open: &Open| open.thoughts == thoughts.is_some() && !open.signed;
        let at = match &self.open {
            Some(open) if fits(open) => open.at,
            _ => {
                self.close_call(deltas);
                self.close(deltas);
                let at = self.next(choice);
                let opened = match thoughts {
                    None => Opened::Text,
                    Some(redacted) => Opened::Reasoning { id: None, summary: true, redacted },
                };
                deltas.push(Delta::Open(at, opened));
                self.open = Some(Open { at, thoughts: thoughts.is_some(), signed: false });
                if thoughts.is_none() {
                    self.texts.push((at.part, String::new()));
                }
                at
            }
        };
        if thoughts.is_none()
            && let Some((_, whole)) = self.texts.last_mut()
        {
            whole.push_str(text);
        }
        if !text.is_empty() {
            deltas.push(Delta::Append(at, text.to_owned()));
        }
        if let Some(signature) = signature {
            deltas.push(Delta::Sign(at, signature));
            if let Some(open) = &mut self.open {
                open.signed = true;
            }
        }
    }

    /// A piece of a call.
    fn piece(&mut self, choice: u32, piece: &arguments::Piece<'_>, deltas: &mut Vec<Delta>) {
        if let Some(name) = piece.name {
            self.close_call(deltas);
            self.close(deltas);
            self.called = true;
            let at = self.next(choice);
            let opened =
                Opened::ToolCall { id: piece.id.unwrap_or_default().to_owned(), name: name.to_owned() };
            deltas.push(Delta::Open(at, opened));
            self.call = Some((at, Arguments::default()));
        }
        let Some((at, arguments)) = &mut self.call else {
            // The end of a call that has ended, or a piece of none.
            return;
        };
        deltas.extend(piece.signature.map(|text| Delta::Sign(*at, super::part::signature(text))));
        if !arguments.take(piece) {
            deltas.push(Delta::Corrupt);
        }
        if !piece.more {
            self.close_call(deltas);
        }
    }

    /// Gives the arguments that came in pieces.
    fn close_call(&mut self, deltas: &mut Vec<Delta>) {
        if let Some((at, arguments)) = self.call.take() {
            deltas.push(Delta::Append(at, arguments.into_json()));
            deltas.push(Delta::Close(at));
        }
    }
}
