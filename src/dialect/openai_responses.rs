//! OpenAI's Responses, spoken by Azure, xAI, DeepSeek, OpenRouter and LM Studio as well.
//!
//! A conversation is a list of items. Those of the model that follow one another are one turn here, since other dialects
//! have a message with thoughts, text and calls where this one has an item for each; on the way back each part is an item
//! again, and texts that follow one another are one message.
//!
//! What is not carried, because the provider makes it: the ids of messages and calls, and every item's `status`.
//!
//! Sources: OpenAI's published schemas, version 2.3.0, and recorded exchanges (read 2026-11-21).

pub mod failure;
pub mod request;
pub mod response;
pub mod stream;

#[cfg(test)]
mod tests;

use super::Dialect;
use crate::model::part::Signature;

/// This dialect.
const OWN: Dialect = Dialect::OpenAiResponses;

/// The proof of thoughts: the item's id and its `encrypted_content`, since the provider refuses the one without the other
/// ("Encrypted content item_id did not match the target item id",
/// <https://github.com/maximhq/bifrost/issues/5186>, read 2026-11-21), and other dialects have no place for the id.
///
/// Thoughts that come in words alone (open models) have an empty proof: their words go back to their maker.
fn proof(id: Option<&str>, encrypted: &str) -> Signature {
    let id = id.filter(|id| !id.contains(':')).unwrap_or_default();
    Signature { maker: OWN, text: format!("{id}:{encrypted}") }
}

/// A proof's id and encrypted content; empty where there is none.
fn unproof(text: &str) -> (&str, &str) {
    text.split_once(':').unwrap_or(("", text))
}
