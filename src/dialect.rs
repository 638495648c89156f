//! One folder for each wire format, always the same files:
//!
//! - `request`: `read` a client's, `write` a provider's;
//! - `response`: `read` a provider's, `write` a client's;
//! - `stream`: a [`Reader`] of a provider's bytes, a [`Writer`] of a client's;
//! - `failure`: `read` a provider's error body, `write` a refusal for a client.
//!
//! In between is the canonical form of `model::{request, part, answer}`. When the client and the provider speak the same
//! dialect nothing of it is used but for metering: bytes pass untouched, and members that policy must change are edited in
//! place.

pub mod anthropic;
pub mod asked;
pub mod bedrock;
pub mod cohere;
pub mod gemini;
pub(crate) mod json;
mod members;
pub mod openai_chat;
pub mod openai_completions;
pub mod openai_embeddings;
pub mod openai_responses;
pub mod passed;
pub mod rerank;
pub mod schema;
pub mod task;
pub mod workers_ai;

use crate::{
    model::{
        answer::{Answer, Delta, Failure},
        request::Request,
        usage::Usage,
    },
    refusal::Refusal,
    stream::sse::{Event, Framer},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A wire format of conversations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// OpenAI's chat completions, and what copies them.
    OpenAiChat,
    /// OpenAI's Responses.
    OpenAiResponses,
    /// Anthropic's Messages.
    Anthropic,
    /// Gemini's `generateContent`.
    Gemini,
    /// Bedrock's Converse.
    Bedrock,
    /// Cohere's chat, version 2.
    Cohere,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::OpenAiChat, Self::OpenAiResponses, Self::Anthropic, Self::Gemini, Self::Bedrock, Self::Cohere];

    /// In configuration, ledger and marks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai_chat",
            Self::OpenAiResponses => "openai_responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock",
            Self::Cohere => "cohere",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }
}

/// What a provider's request is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order<'a> {
    /// The provider's kind, as in the registry: some servers of a dialect know less of it.
    pub kind: &'a str,
    /// The provider's name for the model.
    pub model: &'a str,
    /// The output cap to be sent: what was held, never more than what the caller asked for.
    pub output_cap: Option<u64>,
}

/// A request as a provider gets it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// JSON.
    pub body: Vec<u8>,
    /// What of the caller's request is not in it, by the names the caller used (`logit_bias`, `messages[2].audio`): told to
    /// the client in `x-edgehold-dropped`, or refused if the route is strict.
    pub dropped: Vec<String>,
    /// What cannot be left out without answering another question (a second choice, an image the provider cannot see): the
    /// request is not sent to this provider, whatever the route says.
    pub refused: Vec<String>,
}

/// A provider's stream, any split of the bytes.
pub trait Reader {
    /// Takes bytes, gives the steps they complete.
    fn push(&mut self, bytes: &[u8]) -> Vec<Delta>;
    /// The end of the bytes: what an event without its empty line says. Never makes up [`Delta::End`].
    fn finish(&mut self) -> Vec<Delta>;
}

/// A provider's server-sent events, one by one.
pub trait EventReader {
    /// Appends what an event says.
    fn event(&mut self, event: &Event, deltas: &mut Vec<Delta>);
    /// Appends what the end of the bytes says.
    fn ended(&mut self, _deltas: &mut Vec<Delta>) {}
}

/// A stream of server-sent events, cut from bytes.
#[derive(Debug, Default)]
pub struct Events<R> {
    framer: Framer,
    reader: R,
}

impl<R: EventReader> Events<R> {
    fn take(&mut self, event: &Event, deltas: &mut Vec<Delta>) {
        if event.piece {
            deltas.push(Delta::TooLong(event.raw.len() as u64));
        } else {
            self.reader.event(event, deltas);
        }
    }
}

impl<R: EventReader> Reader for Events<R> {
    fn push(&mut self, bytes: &[u8]) -> Vec<Delta> {
        let mut deltas = Vec::new();
        for event in self.framer.push(bytes) {
            self.take(&event, &mut deltas);
        }
        deltas
    }

    fn finish(&mut self) -> Vec<Delta> {
        let mut deltas = Vec::new();
        if let Some(event) = self.framer.finish() {
            self.take(&event, &mut deltas);
        }
        self.reader.ended(&mut deltas);
        deltas
    }
}

/// A client's stream.
pub trait Writer {
    /// Appends what a step looks like.
    fn push(&mut self, delta: &Delta, out: &mut Vec<u8>);
    /// Appends an error that ends the stream; whatever is open stays open, as from a provider that breaks.
    fn fail(&mut self, refusal: &Refusal, out: &mut Vec<u8>);
}

/// What a client's answer is written for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Show {
    /// The request's id, for answers whose provider gave none.
    pub id: String,
    /// The model's name as the client asked for it, for answers whose provider names none.
    pub model: String,
    /// Unix time in seconds.
    pub created: i64,
    /// Whether a stream's usage was asked for (OpenAI chat only; other dialects always have it).
    pub usage: bool,
    /// Gemini's `streamGenerateContent` without `alt=sse`: a JSON array instead of events.
    pub array: bool,
    /// What answers of the client's dialect repeat of its request (OpenAI's Responses only, made by
    /// `openai_responses::response::echo`).
    pub echo: Option<serde_json::Value>,
}

/// Bytes that are not what they should be. The text is for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt(pub String);

/// Reads a client's request. `path`: the model and whether a stream is wanted, where the path says so.
///
/// # Errors
/// 400 in the caller's terms.
pub fn read_request(dialect: Dialect, body: &[u8], path: Option<(&str, bool)>) -> Result<Request, Refusal> {
    match dialect {
        Dialect::OpenAiChat => openai_chat::convert::request::read(body, path),
        Dialect::OpenAiResponses => openai_responses::request::read(body, path),
        Dialect::Anthropic => anthropic::request::read(body, path),
        Dialect::Gemini => gemini::request::read(body, path),
        Dialect::Bedrock => bedrock::request::read(body, path),
        Dialect::Cohere => cohere::request::read(body, path),
    }
}

/// Writes a provider's request.
#[must_use]
pub fn write_request(dialect: Dialect, request: &Request, order: &Order<'_>) -> Written {
    match dialect {
        Dialect::OpenAiChat => openai_chat::convert::request::write(request, order),
        Dialect::OpenAiResponses => openai_responses::request::write(request, order),
        Dialect::Anthropic => anthropic::request::write(request, order),
        Dialect::Gemini => gemini::request::write(request, order),
        Dialect::Bedrock => bedrock::request::write(request, order),
        Dialect::Cohere => cohere::request::write(request, order),
    }
}

/// Reads a provider's whole answer.
///
/// # Errors
/// If it is not one.
pub fn read_answer(dialect: Dialect, body: &[u8]) -> Result<Answer, Corrupt> {
    match dialect {
        Dialect::OpenAiChat => openai_chat::convert::response::read(body),
        Dialect::OpenAiResponses => openai_responses::response::read(body),
        Dialect::Anthropic => anthropic::response::read(body),
        Dialect::Gemini => gemini::response::read(body),
        Dialect::Bedrock => bedrock::response::read(body),
        Dialect::Cohere => cohere::response::read(body),
    }
}

/// Writes a client's whole answer.
#[must_use]
pub fn write_answer(dialect: Dialect, answer: &Answer, show: &Show) -> Vec<u8> {
    match dialect {
        Dialect::OpenAiChat => openai_chat::convert::response::write(answer, show),
        Dialect::OpenAiResponses => openai_responses::response::write(answer, show),
        Dialect::Anthropic => anthropic::response::write(answer, show),
        Dialect::Gemini => gemini::response::write(answer, show),
        Dialect::Bedrock => bedrock::response::write(answer, show),
        Dialect::Cohere => cohere::response::write(answer, show),
    }
}

/// What a provider's usage object can be read as, whichever dialect it is of.
#[must_use]
pub fn usages(text: &str) -> Vec<Usage> {
    let Ok(value) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    let reported = [
        anthropic::response::read_usage(&value),
        openai_responses::response::usage(&value),
        gemini::usage::read(&value),
        bedrock::read_usage(&value),
    ];
    let converted = reported.into_iter().flatten().map(|reported| reported.usage);
    openai_chat::response::usage(text).into_iter().chain(converted).collect()
}

/// Reads a provider's stream.
#[must_use]
pub fn reader(dialect: Dialect) -> Box<dyn Reader> {
    match dialect {
        Dialect::OpenAiChat => Box::new(openai_chat::convert::stream::Reader::default()),
        Dialect::OpenAiResponses => Box::new(openai_responses::stream::Reader::default()),
        Dialect::Anthropic => Box::new(anthropic::stream::Reader::default()),
        Dialect::Gemini => Box::new(gemini::stream::Reader::default()),
        Dialect::Bedrock => Box::new(bedrock::stream::Reader::default()),
        Dialect::Cohere => Box::new(cohere::stream::Reader::default()),
    }
}

/// Writes a client's stream.
#[must_use]
pub fn writer(dialect: Dialect, show: Show) -> Box<dyn Writer> {
    match dialect {
        Dialect::OpenAiChat => Box::new(openai_chat::convert::stream::Writer::new(show)),
        Dialect::OpenAiResponses => Box::new(openai_responses::stream::Writer::new(show)),
        Dialect::Anthropic => Box::new(anthropic::stream::Writer::new(show)),
        Dialect::Gemini => Box::new(gemini::stream::Writer::new(show)),
        Dialect::Bedrock => Box::new(bedrock::stream::Writer::new(show)),
        Dialect::Cohere => Box::new(cohere::stream::Writer::new(show)),
    }
}

/// Reads a provider's error body.
#[must_use]
pub fn read_failure(dialect: Dialect, status: u16, body: &[u8]) -> Failure {
    match dialect {
        Dialect::OpenAiChat => openai_chat::convert::failure::read(status, body),
        Dialect::OpenAiResponses => openai_responses::failure::read(status, body),
        Dialect::Anthropic => anthropic::failure::read(status, body),
        Dialect::Gemini => gemini::failure::read(status, body),
        Dialect::Bedrock => bedrock::failure::read(status, body),
        Dialect::Cohere => cohere::failure::read(status, body),
    }
}

/// Writes a refusal as the client's SDK expects it.
#[must_use]
pub fn write_refusal(dialect: Dialect, refusal: &Refusal) -> String {
    match dialect {
        Dialect::OpenAiChat => openai_chat::convert::failure::write(refusal),
        Dialect::OpenAiResponses => openai_responses::failure::write(refusal),
        Dialect::Anthropic => anthropic::failure::write(refusal),
        Dialect::Gemini => gemini::failure::write(refusal),
        Dialect::Bedrock => bedrock::failure::write(refusal),
        Dialect::Cohere => cohere::failure::write(refusal),
    }
}
