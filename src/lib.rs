//! Edgehold: an LLM gateway that runs at the edge.
//!
//! Modules are declared in reading order. `pipeline` is the page to read first; ARCHITECTURE.md is the map.

pub mod pipeline;

// Nouns: what the stages pass to one another.
pub mod config;
pub mod model;
pub mod ports;
pub mod refusal;
pub mod surface;

// Verbs: the path of a request.
pub mod admit;
pub mod authenticate;
pub mod dispatch;
pub mod idempotency;
pub mod route;
pub mod settle;
pub mod stream;

// Formats and providers.
pub mod dialect;
pub mod provider;

// Surfaces beside the path: which one, what a key may know, what the operator may do.
pub mod admin;
pub mod listing;
pub mod self_service;
pub mod service;

// The world. Only here is JavaScript named.
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, reason = "wasm-bindgen's macro writes it")]
mod edge;
