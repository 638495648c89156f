//! Anything that speaks OpenAI's chat format at a configured base URL: vLLM, llama.cpp, Ollama, a private model.

use super::Provider;

/// No defaults: base URL, credential and prices come from the configuration.
pub static OPENAI_COMPATIBLE: Provider = super::OPENAI_COMPATIBLE;
