//! OpenAI's older completions, for clients alone: a prompt is a user's turn, and what the model says to it the completion.
//!
//! No member of [`super::Dialect`]: the request is one of chat from here on, and only the answer is told in another form.
//!
//! | member | what becomes of it |
//! |---|---|
//! | `prompt` | a text, or a list of one text; more of them are more requests (400), tokens are numbers of a vocabulary that is not the model's (400) |
//! | `max_tokens` | 16 if it is not said, as in OpenAI's schema |
//! | `logprobs` | asked for as chat has them, told in the older form |
//! | `n`, `stop`, `temperature` and the like | as in chat |
//! | `best_of` | as many as `n` is the same; more are 400 |
//! | `suffix`, `echo` | 400: no model that chats completes in the middle, or repeats its prompt with probabilities |
//!
//! Source: OpenAI's published schemas, version 2.3.0 (read 2026-11-21).

pub mod request;
pub mod response;
pub mod stream;

#[cfg(test)]
mod tests;
