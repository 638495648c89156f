//! OpenAI's chat completions, spoken by most providers.
//!
//! Sources: OpenAI's API reference and its published schemas (read 2026-11-21).

pub mod convert;
pub mod request;
pub mod response;
pub mod stream;
