//! The upper bound of a request: what is held before anything is sent.
//!
//! Never below the truth: a token of a byte-pair tokenizer covers at least one byte, so text has at most as many
//! tokens as bytes; what is referred to rather than contained (images, files) can fill the model's context; output
//! is capped by what is sent to the provider.

use crate::{dialect::openai_chat::request::ChatRequest, settle::price::Price};

/// Template tokens around the messages, beyond what their JSON bytes already cover.
const TEMPLATE_TOKENS: u64 = 64;
/// Hidden instructions a provider adds for tools or a response format. Anthropic documents up to 804 tokens for tool use
/// (<https://docs.claude.com/en/docs/agents-and-tools/tool-use/overview>, read 2026-11-21).
const HIDDEN_TOKENS: u64 = 1_024;
/// Sent as the output cap where neither the caller, nor the key, nor the price table knows one.
pub const OUTPUT_CAP_FALLBACK: u64 = 16_384;
/// Stands for the input of a request whose size nothing tells: no model reads more.
const CONTEXT_FALLBACK: u64 = 2_000_000;

/// Tokens a request can use at most, and the cap that must be sent to make it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBound {
    /// Input tokens.
    pub input: u64,
    /// Output tokens of all choices together.
    pub output: u64,
    /// The cap to insert into the request, if the caller sent none and the bound depends on it.
    pub cap_to_send: Option<u64>,
}

/// The bound of `request` on a model with this price (`None`: not priced).
#[must_use]
pub fn tokens(
    request: &ChatRequest,
    body_bytes: usize,
    default_cap: Option<u64>,
    price: Option<&Price>,
) -> TokenBound {
    let context = price.and_then(|price| price.context_tokens);
    let by_bytes = (body_bytes as u64)
        .saturating_add(TEMPLATE_TOKENS)
        .saturating_add(if request.hidden_input { HIDDEN_TOKENS } else { 0 });
    let input =
        if request.opaque_input { context.unwrap_or(CONTEXT_FALLBACK).max(by_bytes) } else { by_bytes };
    // What is sent is what is held, also above the table's figure for the model: the table may be older than the model.
    let model_cap = price.and_then(|price| price.output_tokens);
    let (cap, cap_to_send) = match (request.output_cap, default_cap, model_cap) {
        (Some(sent), ..) => (sent, None),
        (None, Some(default), Some(model)) => (default.min(model), Some(default.min(model))),
        (None, Some(default), None) => (default, Some(default)),
        (None, None, Some(model)) => (model, None),
        (None, None, None) => (OUTPUT_CAP_FALLBACK, Some(OUTPUT_CAP_FALLBACK)),
    };
    let each = cap.saturating_add(request.prediction_bytes as u64);
    TokenBound { input, output: each.saturating_mul(request.choices), cap_to_send }
}

/// Input tokens as far as they can be told without the provider: four bytes each.
#[must_use]
pub fn estimated_input(request: &ChatRequest, price: Option<&Price>) -> u64 {
    let by_bytes = (request.message_bytes as u64).div_ceil(4);
    // What is referred to can be anything up to the context, and somebody has to pay for it.
    if request.opaque_input {
        price.and_then(|price| price.context_tokens).unwrap_or(CONTEXT_FALLBACK).max(by_bytes)
    } else {
        by_bytes
    }
}
