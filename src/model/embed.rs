//! Texts to be made vectors, and texts to be ranked, in no dialect.

use super::answer::Reported;
use serde_json::{Map, Value};

/// Texts to be made vectors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmbedRequest {
    /// The model the caller asked for.
    pub model: String,
    /// What is to be made vectors, one each.
    pub inputs: Vec<EmbedInput>,
    /// The vectors' length, if not the model's own.
    pub dimensions: Option<u64>,
    /// Whether the client takes vectors as base64 of little-endian 32-bit floats (OpenAI's SDKs ask for it).
    pub base64: bool,
    /// What the vectors are for: Gemini's `taskType`, in its spelling (`RETRIEVAL_QUERY`, `RETRIEVAL_DOCUMENT`,
    /// `CLASSIFICATION`, `CLUSTERING`, `SEMANTIC_SIMILARITY`).
    pub task: Option<String>,
    /// The end user.
    pub user: Option<String>,
    /// Members of the caller's dialect that have no place above.
    pub extras: Map<String, Value>,
}

/// One input.
#[derive(Clone, Debug, PartialEq)]
pub enum EmbedInput {
    /// Text.
    Text(String),
    /// Token numbers of the model's own vocabulary; only OpenAI's format takes them.
    Tokens(Vec<u64>),
}

/// Vectors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmbedAnswer {
    /// The provider's id.
    pub id: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// In the order of the inputs.
    pub vectors: Vec<Vec<f64>>,
    /// What was used.
    pub reported: Option<Reported>,
}

/// Texts to be ranked by how well they fit a query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RerankRequest {
    /// The model the caller asked for.
    pub model: String,
    /// The query.
    pub query: String,
    /// Texts; objects as the caller sent them where the dialect takes them.
    pub documents: Vec<Value>,
    /// How many are wanted.
    pub top_n: Option<u64>,
    /// Whether the documents are to be sent back.
    pub return_documents: bool,
    /// Members of the caller's dialect that have no place above.
    pub extras: Map<String, Value>,
}

/// Texts ranked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RerankAnswer {
    /// The provider's id.
    pub id: Option<String>,
    /// Index of a document, and its score; the best first.
    pub results: Vec<(u64, f64)>,
    /// What was used.
    pub reported: Option<Reported>,
    /// What the provider bills by instead of tokens.
    pub search_units: Option<u64>,
}
