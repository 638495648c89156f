//! The upper bound of a request: what is held before anything is sent.
//!
//! Never below the truth, and as near to it as can be proved:
//!
//! - A token of a byte-pair tokenizer covers at least one byte, so text has at most as many tokens as bytes. There is no
//!   better proof: a text may consist of bytes that the tokenizer never merges. What is counted is decoded text and what
//!   a template puts around it, not the bytes of the body ([`InputSize`]).
//! - Images cost what the provider's published rule says at most (`image`), audio what its length says at most.
//! - What nothing tells the size of (files, unknown kinds of content) can fill the model's context, and nothing can do
//!   more than that.
//! - Output is capped by what is sent to the provider. Reasoning is within the cap, a rejected prediction is beside it.

mod image;

use crate::{
    dialect::{
        openai_chat::request::{ChatRequest, InputSize},
        task::Task,
    },
    settle::price::{Extent, Pieces, Price},
};

/// Beginning and end of a conversation as a chat template writes them, where the provider adds no more than these.
const TEMPLATE_TOKENS: u64 = 64;
/// The same for servers whose template is unknown. Some write a message of their own: gpt-oss's harmony format always one
/// of about 80 tokens (<https://github.com/openai/harmony>), others one of up to about 200 where the caller has none.
const UNKNOWN_TEMPLATE_TOKENS: u64 = 128;
/// The same where the caller has no system message.
const UNDIRECTED_TEMPLATE_TOKENS: u64 = 256;
/// Around each message: a role's header and an end mark are 3 to 8 tokens, marks of calls and their results included 16.
const MESSAGE_TOKENS: u64 = 16;
/// Around each image.
const IMAGE_TOKENS: u64 = 16;
/// Hidden instructions a provider adds for tools or a response format. Anthropic documents up to 804 tokens for tool use
/// (<https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview>, read 2026-11-21).
const HIDDEN_TOKENS: u64 = 1_024;
/// OpenAI counts one token for each 100 ms of audio of the user's
/// (<https://developers.openai.com/api/docs/guides/realtime-costs>, read 2026-11-21); its chat models share the tokenizer.
const OPENAI_AUDIO_MS_PER_TOKEN: u64 = 100;
/// Sent as the output cap where neither the caller, nor the key, nor the price table knows one.
pub const OUTPUT_CAP_FALLBACK: u64 = 16_384;
/// Stands for the input of a request whose size nothing tells: no model reads more.
const CONTEXT_FALLBACK: u64 = 2_000_000;
/// Begin and end marks, and a prefix for the kind of text, around each input of an embedding.
const EMBEDDING_MARKS: u64 = 16;

/// Who reads the request: bounds differ by provider and model.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The kind of provider.
    pub kind: &'a str,
    /// Its own name for the model.
    pub model: &'a str,
    /// What it costs and how much it can read, if known.
    pub price: Option<&'a Price>,
}

/// What besides the request says how long an answer may get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// The key's own cap, for requests that send none.
    pub default: Option<u64>,
    /// What the budget can pay for, if the request is to be cut down to it.
    pub clamp: Option<u64>,
    /// Whether the input may be written to a cache for an hour, besides what the request itself knows of that.
    pub hour_cache: bool,
}

/// Tokens a request can use at most, and the cap that must be sent to make it so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenBound {
    /// Input tokens.
    pub input: u64,
    /// How many of them can be audio.
    pub input_audio: u64,
    /// Output tokens of all choices together.
    pub output: u64,
    /// The cap that must stand in the request, if the bound depends on one.
    pub cap_to_send: Option<u64>,
    /// Whether the input may be written to a cache for an hour.
    pub hour_cache: bool,
    /// What is billed beside tokens.
    pub pieces: Pieces,
}

impl TokenBound {
    /// As the price list wants it.
    #[must_use]
    pub const fn extent(&self) -> Extent {
        Extent {
            input: self.input,
            input_audio: self.input_audio,
            output: self.output,
            hour_cache: self.hour_cache,
            pieces: self.pieces,
        }
    }

    /// The larger of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            input: self.input.max(other.input),
            input_audio: self.input_audio.max(other.input_audio),
            output: self.output.max(other.output),
            cap_to_send: self.cap_to_send.max(other.cap_to_send),
            hour_cache: self.hour_cache || other.hour_cache,
            pieces: self.pieces.max(other.pieces),
        }
    }
}

/// The bound of `request` where `reader` answers it.
#[must_use]
pub fn tokens(request: &ChatRequest, reader: Reader<'_>, caps: Caps) -> TokenBound {
    let pieces = request.pieces();
    match &request.task {
        Task::Converse => {}
        Task::Embed(asked) => {
            let input = embedding_tokens(Task::inputs(asked), reader.price);
            return TokenBound { input, pieces, ..TokenBound::default() };
        }
        // Read with the query once for each document. Where the price is by search units, it is they that are held.
        Task::Rerank(asked) => {
            let marks = EMBEDDING_MARKS.saturating_mul(asked.documents.len() as u64);
            let input = asked.text_bytes().saturating_add(marks);
            return TokenBound { input, pieces, ..TokenBound::default() };
        }
        Task::Count => return TokenBound::default(),
    }
    let size = &request.input;
    let text = size
        .text
        .saturating_add(size.messages.saturating_mul(MESSAGE_TOKENS))
        .saturating_add(template_tokens(reader.kind, size.directed))
        .saturating_add(if size.instructed { HIDDEN_TOKENS } else { 0 });
    let (input, input_audio) = with_media(size, reader, text);
    let (cap, cap_to_send) = output_cap(request.output_cap, caps, reader.price);
    let each = cap.saturating_add(request.prediction_bytes);
    TokenBound {
        input,
        input_audio,
        output: each.saturating_mul(request.choices),
        cap_to_send,
        hour_cache: request.hour_cache || caps.hour_cache,
        pieces,
    }
}

/// Input tokens as far as they can be told without the provider: four bytes each, and media at their bound, since somebody has
/// to pay for them.
#[must_use]
pub fn estimated_input(request: &ChatRequest, reader: Reader<'_>) -> u64 {
    with_media(&request.input, reader, request.input.text.div_ceil(4)).0
}

/// The most output tokens of each choice that fit into what is left of `output` tokens for all of them.
#[must_use]
pub fn cap_within(request: &ChatRequest, output: u64) -> u64 {
    (output / request.choices.max(1)).saturating_sub(request.prediction_bytes)
}

/// One input of an embedding request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbeddingInput {
    /// A text of so many bytes.
    Text(u64),
    /// So many tokens.
    Tokens(u64),
    /// Something whose size nothing tells.
    Unknown,
}

/// The most tokens an embedding request can use: each input its bytes, and none more than the model reads of one.
#[must_use]
pub fn embedding_tokens(inputs: impl IntoIterator<Item = EmbeddingInput>, price: Option<&Price>) -> u64 {
    let context = price.and_then(|price| price.context_tokens);
    let most = context.unwrap_or(u64::MAX);
    inputs.into_iter().fold(0, |sum: u64, input| {
        sum.saturating_add(match input {
            EmbeddingInput::Text(size) | EmbeddingInput::Tokens(size) => {
                size.saturating_add(EMBEDDING_MARKS).min(most)
            }
            EmbeddingInput::Unknown => context.unwrap_or(CONTEXT_FALLBACK),
        })
    })
}

fn template_tokens(kind: &str, directed: bool) -> u64 {
    match kind {
        "openai" | "anthropic" | "mock" => TEMPLATE_TOKENS,
        _ if !directed => UNDIRECTED_TEMPLATE_TOKENS,
        _ => UNKNOWN_TEMPLATE_TOKENS,
    }
}

/// All input, and how much of it can be audio. A model never reads more than its context.
fn with_media(size: &InputSize, reader: Reader<'_>, text: u64) -> (u64, u64) {
    let context = reader.price.and_then(|price| price.context_tokens);
    let images = image::tokens(&size.images, reader)
        .map(|tokens| tokens.saturating_add(size.images.count().saturating_mul(IMAGE_TOKENS)));
    let audio = audio_tokens(size.audio_ms, reader);
    match (size.unknown, images, audio) {
        (false, Some(images), Some(audio)) => {
            let most = context.unwrap_or(u64::MAX);
            (text.saturating_add(images).saturating_add(audio).min(most), audio.min(most))
        }
        (unknown, _, audio) => {
            let most = context.unwrap_or_else(|| CONTEXT_FALLBACK.max(text));
            // A file can bring its own sound.
            (most, if unknown { most } else { audio.map_or(most, |audio| audio.min(most)) })
        }
    }
}

/// `None` if no rule is known.
fn audio_tokens(ms: u64, reader: Reader<'_>) -> Option<u64> {
    match reader.kind {
        _ if ms == 0 => Some(0),
        "openai" => Some(ms.div_ceil(OPENAI_AUDIO_MS_PER_TOKEN)),
        _ => None,
    }
}

/// The cap that is held, and the same if it must stand in the request. The built-in table's figure for a model is held but not
/// sent: the model itself stops there. What is sent is held also above that figure, since the table may be older than the
/// model. Where a model may not stop there (the operator's figure, a host's), it is sent.
fn output_cap(sent: Option<u64>, caps: Caps, price: Option<&Price>) -> (u64, Option<u64>) {
    let of_model = price.and_then(|price| price.output_tokens);
    let own_limit = price.is_some_and(|price| price.ends_itself);
    let (cap, to_send) = match (sent, caps.default, of_model) {
        (Some(sent), ..) => (sent, Some(sent)),
        (None, Some(default), Some(model)) => (default.min(model), Some(default.min(model))),
        (None, Some(default), None) => (default, Some(default)),
        (None, None, Some(model)) => (model, (!own_limit).then_some(model)),
        (None, None, None) => (OUTPUT_CAP_FALLBACK, Some(OUTPUT_CAP_FALLBACK)),
    };
    match caps.clamp.filter(|clamp| *clamp < cap) {
        Some(clamp) => (clamp, Some(clamp)),
        None => (cap, to_send),
    }
}

#[cfg(test)]
mod tests;
