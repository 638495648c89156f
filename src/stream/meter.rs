//! What goes by in a stream, whatever its dialect, and streams that are written anew in another one.

use crate::{
    dialect::{Reader, Writer},
    model::{
        answer::{Delta, Opened},
        usage::Usage,
    },
    refusal::Refusal,
};

/// What one event says, as far as failover and settlement care.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// Comment, role announcement, keep-alive: nothing yet.
    Nothing,
    /// Text, tool call, reasoning, refusal or finish reason: the answer has begun.
    Content,
    /// Only counts.
    Usage,
    /// The provider's terminal event.
    Done,
    /// An error the provider put into the stream.
    Error(String),
    /// Data that is not what it should be.
    Corrupt,
}

/// What has gone by.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Token classes, once they were reported.
    pub usage: Option<Usage>,
    /// They were last reported before any content: of the answer they say nothing.
    pub usage_early: bool,
    /// The usage object as it came.
    pub usage_json: Option<String>,
    /// The tier that serves the stream.
    pub service_tier: Option<String>,
    /// The provider's id of the answer.
    pub id: Option<String>,
    /// The terminal event has come.
    pub done: bool,
    /// Every choice has its finish reason, as far as can be seen: at least one has come.
    pub finished: bool,
    /// An error the provider put into the stream.
    pub error: Option<String>,
    /// Events with content.
    pub content_events: u64,
    /// Bytes of content.
    pub content_bytes: u64,
    /// Events that could not be read.
    pub corrupt_events: u64,
    /// One of them is missing in what the client was given.
    pub lost: bool,
    /// Parts.
    pub parts: u64,
    /// Sources of texts.
    pub sources: u64,
    /// Bytes of text that were walked through for the places of sources.
    pub walked_bytes: u64,
    /// Bytes of what came whole.
    pub whole_bytes: u64,
    /// Bytes since something was last said.
    pub idle_bytes: u64,
    /// It is more than is read: the stream is broken off.
    pub too_much: bool,
}

/// Readers and writers keep something of every part, and look for parts among all others. No answer has so many.
pub const PARTS_MAX: u64 = 10_000;
/// Sources of texts; some providers repeat all of them with every piece.
pub const SOURCES_MAX: u64 = 100_000;
/// Where a source belongs is counted in characters from the beginning of what was said so far: a few seconds of work.
pub const WALKED_BYTES_MAX: u64 = 2 << 30;
/// What is kept of an answer that is written anew; some dialects repeat all of it at its end, several times. A million tokens
/// are about so much.
pub const TRANSLATED_BYTES_MAX: u64 = 4 << 20;
/// Pictures, clips and what only one dialect knows, each whole: Responses' clients are told all of them again at the end.
pub const WHOLE_BYTES_MAX: u64 = 16 << 20;
/// So many bytes say something, or nobody does: comments without end, events of unknown kinds, pieces of something that is never
/// whole. Amazon's longest message is half of it.
pub const IDLE_BYTES_MAX: u64 = 32 << 20;

impl Seen {
    /// Whether the stream ended as the provider ends a good one: its terminal event, or, from providers that do not send
    /// one, a finish reason.
    #[must_use]
    pub const fn complete(&self) -> bool {
        self.error.is_none() && !self.lost && (self.done || self.finished)
    }

    /// Whether the usage that was reported is that of the whole answer.
    #[must_use]
    pub const fn counted(&self) -> bool {
        (self.done || self.finished) && (self.content_events == 0 || !self.usage_early)
    }

    /// Output tokens as far as they can be told without a usage report: one for each event, or four bytes each.
    #[must_use]
    pub const fn estimated_output(&self) -> u64 {
        let by_bytes = self.content_bytes.div_ceil(4);
        if self.content_events > by_bytes { self.content_events } else { by_bytes }
    }

    /// A piece of an event that is too long to be read; whoever gets the provider's bytes gets it.
    pub(crate) const fn note_piece(&mut self, bytes: u64) -> Meaning {
        self.content_events = self.content_events.saturating_add(1);
        self.content_bytes = self.content_bytes.saturating_add(bytes);
        Meaning::Content
    }

    /// Bytes were read, and this is what they said.
    fn weigh(&mut self, bytes: usize, deltas: &[Delta]) {
        let said = deltas.iter().any(|delta| !matches!(delta, Delta::Ping));
        self.idle_bytes = if said { 0 } else { self.idle_bytes.saturating_add(bytes as u64) };
        self.too_much |= self.is_too_much() || self.idle_bytes > IDLE_BYTES_MAX;
    }

    const fn is_too_much(&self) -> bool {
        self.parts > PARTS_MAX || self.sources > SOURCES_MAX || self.walked_bytes > WALKED_BYTES_MAX
    }

    fn note(&mut self, delta: &Delta) -> Meaning {
        match delta {
            Delta::Open(_, opened) => {
                self.parts = self.parts.saturating_add(1);
                self.whole_bytes = self.whole_bytes.saturating_add(opened.whole_bytes());
            }
            Delta::Cite(..) => {
                self.sources = self.sources.saturating_add(1);
                self.walked_bytes = self.walked_bytes.saturating_add(self.content_bytes);
            }
            _ => {}
        }
        match delta {
            Delta::Begin { id, .. } => {
                self.id.clone_from(id);
                Meaning::Nothing
            }
            Delta::Append(_, text) => {
                self.content_events = self.content_events.saturating_add(1);
                self.content_bytes = self.content_bytes.saturating_add(text.len() as u64);
                Meaning::Content
            }
            Delta::Open(_, Opened::ToolCall { .. } | Opened::Media(_) | Opened::Native(..))
            | Delta::Sign(..) => Meaning::Content,
            Delta::Finish(..) => {
                self.finished = true;
                Meaning::Content
            }
            Delta::Usage(reported) => {
                self.usage = Some(reported.usage);
                self.usage_early = self.content_events == 0;
                self.usage_json = Some(reported.json.clone());
                // Some dialects tell the input's size before they have said anything.
                Meaning::Nothing
            }
            Delta::Tier(tier) => {
                self.service_tier = Some(tier.clone());
                Meaning::Nothing
            }
            Delta::End => {
                self.done = true;
                Meaning::Done
            }
            Delta::Error(failure) => {
                let message: String = failure.message.chars().take(300).collect();
                self.error = Some(message.clone());
                Meaning::Error(message)
            }
            Delta::Corrupt => {
                self.corrupt_events = self.corrupt_events.saturating_add(1);
                Meaning::Corrupt
            }
            Delta::TooLong(bytes) => self.note_piece(*bytes),
            Delta::Open(..) | Delta::Close(_) | Delta::Cite(..) | Delta::Logprobs(..) | Delta::Ping => {
                Meaning::Nothing
            }
        }
    }
}

/// Listens to a stream that goes to the client as it is.
pub struct Listener {
    reader: Box<dyn Reader>,
    /// What has gone by.
    pub seen: Seen,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Listener {
    /// With a dialect's reader.
    #[must_use]
    pub fn new(reader: Box<dyn Reader>) -> Self {
        Self { reader, seen: Seen::default() }
    }

    /// Takes bytes, and tells what they said.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Meaning> {
        let deltas = self.reader.push(bytes);
        let meanings = deltas.iter().map(|delta| self.seen.note(delta)).collect();
        self.seen.weigh(bytes.len(), &deltas);
        meanings
    }

    /// The end of the bytes.
    pub fn finish(&mut self) {
        for delta in self.reader.finish() {
            self.seen.note(&delta);
        }
    }
}

/// Writes a provider's stream anew in the client's dialect.
pub struct Translator {
    listener: Listener,
    writer: Box<dyn Writer>,
    /// The client was told of an error.
    failed: bool,
}

impl std::fmt::Debug for Translator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Translator").field("seen", &self.listener.seen).finish_non_exhaustive()
    }
}

impl Translator {
    /// From one dialect to another.
    #[must_use]
    pub fn new(reader: Box<dyn Reader>, writer: Box<dyn Writer>) -> Self {
        Self { listener: Listener::new(reader), writer, failed: false }
    }

    /// What has gone by.
    #[must_use]
    pub const fn seen(&self) -> &Seen {
        &self.listener.seen
    }

    /// Bytes in, bytes out: one write for each read, whatever came.
    pub fn push_judging(&mut self, bytes: &[u8]) -> (Vec<u8>, Vec<Meaning>) {
        let deltas = self.listener.reader.push(bytes);
        let written = self.write(&deltas);
        self.listener.seen.weigh(bytes.len(), &deltas);
        written
    }

    /// The end of the bytes.
    pub fn finish(&mut self) -> Vec<u8> {
        let deltas = self.listener.reader.finish();
        self.write(&deltas).0
    }

    /// The last event of a stream that broke.
    pub fn fail(&mut self, refusal: &Refusal) -> Vec<u8> {
        let mut out = Vec::new();
        self.writer.fail(refusal, &mut out);
        out
    }

    fn write(&mut self, deltas: &[Delta]) -> (Vec<u8>, Vec<Meaning>) {
        let mut out = Vec::with_capacity(256);
        let mut meanings = Vec::with_capacity(deltas.len());
        for delta in deltas {
            let seen = &mut self.listener.seen;
            let meaning = seen.note(delta);
            let is_long = matches!(delta, Delta::TooLong(_));
            let is_kept = seen.content_bytes > TRANSLATED_BYTES_MAX || seen.whole_bytes > WHOLE_BYTES_MAX;
            seen.too_much |= is_long || is_kept || seen.is_too_much();
            meanings.push(if seen.too_much { Meaning::Corrupt } else { meaning });
            // An answer with a gap is none: nothing behind one is written, so the client never sees the end of it.
            seen.lost |= (seen.too_much && !seen.done) || *delta == Delta::Corrupt;
            if !seen.lost && !self.failed {
                self.writer.push(delta, &mut out);
            }
            // Nor does anything come behind an error.
            self.failed |= matches!(delta, Delta::Error(_));
        }
        (out, meanings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{self, Dialect, Show};

    #[test]
    fn counts_from_before_the_answer_are_not_those_of_the_answer() {
        let seen = |usage_at_the_end: &str| {
            let start = r#"{"type":"message_start","message":{"id":"m","usage":{"input_tokens":9,"output_tokens":1}}}"#;
            let events = [
                start.to_owned(),
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#.to_owned(),
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a long answer"}}"#.to_owned(),
                format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn"}}{usage_at_the_end}}}"#),
                r#"{"type":"message_stop"}"#.to_owned(),
            ];
            let mut listener = Listener::new(dialect::reader(Dialect::Anthropic));
            for event in events {
                listener.push(format!("data: {event}\n\n").as_bytes());
            }
            listener.finish();
            assert!(listener.seen.complete());
            listener.seen
        };
        assert!(!seen("").counted(), "one token of output was only the beginning");
        let told = seen(r#","usage":{"input_tokens":0,"output_tokens":70}"#);
        assert!(told.counted());
        let usage = told.usage.expect("reported");
        assert_eq!((usage.input, usage.output), (9, 70), "counts only grow");
        for absurd in ["-5", "1.5", "\"7\"", "18446744073709551615"] {
            let seen = seen(&format!(r#","usage":{{"output_tokens":{absurd}}}"#));
            let usage = seen.usage.filter(|_| seen.counted());
            assert!(usage.is_none_or(|usage| usage.total() == u64::MAX), "{absurd}: {usage:?}");
        }
    }

    #[test]
    fn a_total_that_says_more_than_its_parts_is_charged() {
        let mut listener = Listener::new(dialect::reader(Dialect::Gemini));
        let chunk = |usage: &str| {
            format!(
                r#"data: {{"candidates":[{{"content":{{"parts":[{{"text":"a"}}]}},"finishReason":"STOP"}}],"usageMetadata":{usage}}}"#
            ) + "\n\n"
        };
        listener.push(
            chunk(r#"{"promptTokenCount":3,"candidatesTokenCount":2,"totalTokenCount":40}"#).as_bytes(),
        );
        assert_eq!(listener.seen.usage.map(|usage| usage.output), Some(37));
        let mut listener = Listener::new(dialect::reader(Dialect::Gemini));
        listener.push(chunk(r#"{"promptTokenCount":3,"candidatesTokenCount":-2}"#).as_bytes());
        assert_eq!(listener.seen.usage, None, "estimated then");
    }

    #[test]
    fn a_translated_stream_with_a_gap_has_no_end() {
        let event = |text: &str, more: &str| {
            format!(
                r#"data: {{"candidates":[{{"index":0,"content":{{"role":"model","parts":[{{"text":"{text}"}}]}}{more}}}],"usageMetadata":{{"promptTokenCount":3,"candidatesTokenCount":2,"totalTokenCount":5}}}}"#
            ) + "\n\n"
        };
        let translated = |midst: &str| {
            let (reader, writer) =
                (dialect::reader(Dialect::Gemini), dialect::writer(Dialect::OpenAiChat, Show::default()));
            let mut translator = Translator::new(reader, writer);
            let bytes = event("one ", "") + midst + &event("three", r#","finishReason":"STOP""#);
            let mut out = translator.push_judging(bytes.as_bytes()).0;
            out.extend(translator.finish());
            (String::from_utf8(out).expect("text"), translator.seen().clone())
        };
        let (whole, seen) = translated(&event("two ", ""));
        assert!(whole.contains("two") && whole.ends_with("data: [DONE]\n\n") && seen.complete());
        let (gap, seen) = translated("data: {\"candidates\": [\n\n");
        assert!(gap.contains("one") && !gap.contains("three") && !gap.contains("[DONE]"), "{gap}");
        assert!(!seen.complete());
        assert_eq!(seen.usage.map(|usage| usage.total()), Some(5), "what was used is counted all the same");
    }

    #[test]
    fn nothing_is_written_behind_an_error() {
        let event = |data: &str| format!("data: {data}\n\n");
        let chunk = |text: &str, finish: &str| {
            event(&format!(
                r#"{{"id":"c","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":{finish}}}]}}"#
            ))
        };
        let bytes = chunk("one", "null")
            + &event(r#"{"error":{"message":"Overloaded","type":"server_error"}}"#)
            + &chunk("two", "\"stop\"")
            + "data: [DONE]\n\n";
        for dialect in [Dialect::OpenAiChat, Dialect::OpenAiResponses, Dialect::Anthropic, Dialect::Gemini] {
            let (reader, writer) =
                (dialect::reader(Dialect::OpenAiChat), dialect::writer(dialect, Show::default()));
            let mut translator = Translator::new(reader, writer);
            let mut out = translator.push_judging(bytes.as_bytes()).0;
            out.extend(translator.finish());
            let text = String::from_utf8(out).expect("text");
            assert!(text.contains("one") && text.contains("Overloaded"), "{text}");
            let last = text.trim_end().rsplit("\n\n").next().expect("an event");
            assert!(last.contains("Overloaded"), "{dialect:?}: {text}");
            assert!(!translator.seen().complete());
        }
    }
}
