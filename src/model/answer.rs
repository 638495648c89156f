//! An answer in no dialect, whole or in pieces.

use super::{
    part::{Body, Citation, Media, Part, Reasoning, Signature, Source, Text, ToolCall},
    usage::Usage,
};
use crate::dialect::{Dialect, json};
use serde_json::Value;

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The provider's id of it.
    pub id: Option<String>,
    /// The model that gave it, as the provider says.
    pub model: Option<String>,
    /// The answers; more than one only where the request asked for it.
    pub choices: Vec<Choice>,
    /// What was used, if the provider says.
    pub reported: Option<Reported>,
    /// The tier that served it.
    pub service_tier: Option<String>,
}

/// One of the answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// What was said, in order.
    pub parts: Vec<Part>,
    /// Why it ended.
    pub finish: Option<Finish>,
    /// OpenAI's `logprobs` object.
    pub logprobs: Option<Value>,
}

/// Usage as reported.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reported {
    /// In disjoint classes.
    pub usage: Usage,
    /// The provider's own object.
    pub json: String,
    /// What the provider says the request cost, in nano-dollars, if it does.
    pub cost_nanousd: Option<i64>,
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// It was complete.
    Stop,
    /// One of the request's stop texts came; which, if the provider says.
    StopSequence(Option<String>),
    /// The output cap or the context was full.
    Length,
    /// The model waits for tools.
    ToolCalls,
    /// The provider's filter (Gemini's `SAFETY`, OpenAI's `content_filter`); the provider's own word if it is another.
    Filtered(Option<String>),
    /// The model refused (Anthropic's `refusal`).
    Refused,
    /// A provider-run tool takes longer; the client is to send the answer back (Anthropic's `pause_turn`).
    Paused,
    /// Anything else, in the provider's words.
    Other(String),
}

/// Which piece of which answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Index of the answer.
    pub choice: u32,
    /// Number of the part within it, counted up from 0 in the order in which parts begin.
    pub part: u32,
}

/// What one step of a stream says.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    /// The answer begins.
    Begin {
        /// The provider's id.
        id: Option<String>,
        /// The model that answers.
        model: Option<String>,
    },
    /// A part begins.
    Open(At, Opened),
    /// More text of a part: of text, a refusal, thoughts, or of a call's arguments.
    Append(At, String),
    /// The proof of a part.
    Sign(At, Signature),
    /// A source of a text part.
    Cite(At, Citation),
    /// OpenAI's `logprobs` of the text just appended.
    Logprobs(u32, Value),
    /// A part is complete. Not every dialect says so.
    Close(At),
    /// An answer is complete.
    Finish(u32, Finish),
    /// What was used; may come more than once, the last counts.
    Usage(Reported),
    /// The tier that serves the stream.
    Tier(String),
    /// The provider's terminal event.
    End,
    /// An error the provider put into the stream.
    Error(Failure),
    /// A sign of life.
    Ping,
    /// Data that is not what it should be.
    Corrupt,
    /// Bytes of an event that is too long to be read.
    TooLong(u64),
}

/// How a part begins.
#[derive(Clone, Debug, PartialEq)]
pub enum Opened {
    /// Text.
    Text,
    /// A refusal.
    Refusal,
    /// Thoughts.
    Reasoning {
        /// The provider's id.
        id: Option<String>,
        /// A summary of them.
        summary: bool,
        /// Only a signature will come.
        redacted: bool,
    },
    /// A call; its arguments follow.
    ToolCall {
        /// Empty if the provider gives none.
        id: String,
        /// The function.
        name: String,
    },
    /// A picture or a clip, whole.
    Media(Media),
    /// Something whole that only one dialect knows.
    Native(Dialect, Value),
}

impl Opened {
    /// About how many bytes of it came with its beginning.
    #[must_use]
    pub fn whole_bytes(&self) -> u64 {
        let bytes = match self {
            Self::Media(Media { source: Source::Base64(data) | Source::Text(data), .. }) => data.len(),
            Self::Native(_, value) => json::weight(value),
            _ => 0,
        };
        bytes as u64
    }
}

/// A provider's error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// HTTP status, or the one that an error within a stream stands for.
    pub status: u16,
    /// The provider's type or code word.
    pub kind: Option<String>,
    /// What it says.
    pub message: String,
}

/// Puts a stream's steps together to the answer they are.
#[derive(Clone, Debug, Default)]
pub struct Assembly {
    /// The answer so far.
    pub answer: Answer,
    /// The terminal event has come.
    pub ended: bool,
    /// The provider's error.
    pub error: Option<Failure>,
}

impl Assembly {
    /// Takes a step.
    pub fn push(&mut self, delta: &Delta) {
        match delta {
            Delta::Begin { id, model } => {
                if self.answer.id.is_none() {
                    self.answer.id.clone_from(id);
                }
                if self.answer.model.is_none() {
                    self.answer.model.clone_from(model);
                }
            }
            Delta::Open(at, opened) => {
                let body = match opened.clone() {
                    Opened::Text => Body::Text(Text::default()),
                    Opened::Refusal => Body::Refusal(String::new()),
                    Opened::Reasoning { id, summary, redacted } => {
                        Body::Reasoning(Reasoning { text: String::new(), id, summary, redacted })
                    }
                    Opened::ToolCall { id, name } => {
                        Body::ToolCall(ToolCall { id, name, arguments: String::new() })
                    }
                    Opened::Media(media) => Body::Media(media),
                    Opened::Native(dialect, value) => Body::Native(dialect, value),
                };
                self.choice(at.choice).parts.push(body.into());
            }
            Delta::Append(at, text) => match self.part(*at).map(|part| &mut part.body) {
                Some(Body::Text(part)) => part.text.push_str(text),
                Some(Body::Refusal(part)) => part.push_str(text),
                Some(Body::Reasoning(part)) => part.text.push_str(text),
                Some(Body::ToolCall(call)) => call.arguments.push_str(text),
                _ => {}
            },
            Delta::Sign(at, signature) => {
                if let Some(part) = self.part(*at) {
                    part.signature = Some(signature.clone());
                }
            }
            Delta::Cite(at, citation) => {
                if let Some(Body::Text(text)) = self.part(*at).map(|part| &mut part.body) {
                    text.citations.push(citation.clone());
                }
            }
            Delta::Logprobs(choice, value) => {
                let logprobs = &mut self.choice(*choice).logprobs;
                match (logprobs.as_mut().and_then(|all| all.get_mut("content")), value.get("content")) {
                    (Some(Value::Array(all)), Some(Value::Array(more))) => all.extend(more.iter().cloned()),
                    _ => *logprobs = Some(value.clone()),
                }
            }
            Delta::Finish(choice, finish) => self.choice(*choice).finish = Some(finish.clone()),
            Delta::Usage(reported) => self.answer.reported = Some(reported.clone()),
            Delta::Tier(tier) => self.answer.service_tier = Some(tier.clone()),
            Delta::End => self.ended = true,
            Delta::Error(failure) => self.error = Some(failure.clone()),
            Delta::Close(_) | Delta::Ping | Delta::Corrupt | Delta::TooLong(_) => {}
        }
    }

    fn choice(&mut self, index: u32) -> &mut Choice {
        let index = (index as usize).min(CHOICES_MAX);
        if self.answer.choices.len() <= index {
            self.answer.choices.resize_with(index + 1, Choice::default);
        }
        #[expect(clippy::indexing_slicing, reason = "made just now")]
        &mut self.answer.choices[index]
    }

    fn part(&mut self, at: At) -> Option<&mut Part> {
        self.answer.choices.get_mut(at.choice as usize)?.parts.get_mut(at.part as usize)
    }
}

/// No request asks for more.
const CHOICES_MAX: usize = 128;
