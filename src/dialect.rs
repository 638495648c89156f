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
pub mod bedrock;
pub mod cohere;
pub mod gemini;
mod members;
pub mod openai_chat;
pub mod openai_embeddings;
pub mod openai_responses;
pub mod rerank;

use crate::{model::answer::Delta, refusal::Refusal};
use serde::{Deserialize, Serialize};

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
}

/// Bytes that are not what they should be. The text is for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt(pub String);
