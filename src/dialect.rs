//! One folder for each wire format: `request`, `response`, `stream`.
//!
//! When the client and the provider speak the same format, bytes pass untouched but for the members that policy
//! must change, which are edited in place.

pub mod openai_chat;
