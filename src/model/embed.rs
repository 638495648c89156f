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

impl EmbedRequest {
    /// Bytes of the inputs that are text: a token is one byte at least.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        let bytes = |input: &EmbedInput| match input {
            EmbedInput::Text(text) => text.len() as u64,
            EmbedInput::Tokens(_) => 0,
        };
        self.inputs.iter().map(bytes).fold(0, u64::saturating_add)
    }

    /// Tokens of the inputs that are tokens, exactly.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        let tokens = |input: &EmbedInput| match input {
            EmbedInput::Text(_) => 0,
            EmbedInput::Tokens(tokens) => tokens.len() as u64,
        };
        self.inputs.iter().map(tokens).fold(0, u64::saturating_add)
    }
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

/// Documents, or pieces of them, in a search unit (<https://docs.aws.amazon.com/bedrock/latest/userguide/rerank-pricing.html>
/// and <https://docs.pinecone.io/models/cohere-rerank-4-fast>, read 2026-11-21).
const UNIT_DOCUMENTS: u64 = 100;

/// Tokens of a query and a piece of a document together, from which on a document counts more than once
/// (<https://learn.microsoft.com/en-us/azure/ai-studio/how-to/deploy-models-cohere-rerank>, and the second page above, read
/// 2026-11-21).
const PIECE_TOKENS: u64 = 500;

/// The least tokens of a document in a piece. Nobody says what a query takes that leaves no room; older models cut it at half
/// of a piece.
const PIECE_DOCUMENT_TOKENS_MIN: u64 = PIECE_TOKENS / 2;

/// Where Cohere cuts a document if the request does not say (<https://docs.cohere.com/reference/rerank>, read 2026-11-21).
const DOCUMENT_TOKENS_MAX: u64 = 4_096;

impl RerankRequest {
    /// Bytes of text that the model reads: the query once with each document. Where tokens are billed this is how they are
    /// counted (<https://app.unpkg.com/voyageai@0.0.4/files/api/client/requests/RerankRequest.d.ts>, read 2026-11-21), and a token is one byte at least.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        let query = self.query.len() as u64;
        let documents = self.documents.iter().map(document_bytes);
        documents.map(|bytes| bytes.saturating_add(query)).fold(0, u64::saturating_add)
    }

    /// The most search units that Cohere may bill: one for a query and up to a hundred documents, where a document that is
    /// too long to be read at once counts as often as it is cut. A byte is taken for a token.
    #[must_use]
    pub fn search_units_max(&self) -> u64 {
        let query = self.query.len() as u64;
        let room = PIECE_TOKENS.saturating_sub(query).max(PIECE_DOCUMENT_TOKENS_MIN);
        let cut =
            self.extras.get("max_tokens_per_doc").and_then(Value::as_u64).unwrap_or(DOCUMENT_TOKENS_MAX);
        let pieces =
            self.documents.iter().map(|document| document_bytes(document).min(cut).div_ceil(room).max(1));
        pieces.fold(0, u64::saturating_add).div_ceil(UNIT_DOCUMENTS).max(1)
    }
}

/// Bytes of a document's text; of an object's JSON, which is more than its text in any form.
fn document_bytes(document: &Value) -> u64 {
    match document {
        Value::String(text) => text.len() as u64,
        other => other.to_string().len() as u64,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_are_counted_in_bytes_and_tokens_in_tokens() {
        let inputs = vec![
            EmbedInput::Text("né".into()),
            EmbedInput::Tokens(vec![1, 2, 3]),
            EmbedInput::Text("a".into()),
        ];
        let request = EmbedRequest { inputs, ..EmbedRequest::default() };
        assert_eq!((request.text_bytes(), request.tokens()), (4, 3));
    }

    fn rerank(query: &str, documents: Vec<Value>) -> RerankRequest {
        RerankRequest { query: query.into(), documents, ..RerankRequest::default() }
    }

    #[test]
    fn a_query_is_read_with_every_document() {
        assert_eq!(rerank("abc", vec![json!("12345"), json!("1")]).text_bytes(), 3 + 5 + 3 + 1);
        assert_eq!(rerank("abc", vec![json!({"text": "x"})]).text_bytes(), 3 + 12);
        assert_eq!(rerank("abc", vec![]).text_bytes(), 0);
    }

    #[test]
    fn a_hundred_documents_are_a_search_unit_and_long_ones_count_more_than_once() {
        let units = |query: &str, bytes: usize, count: usize| {
            rerank(query, vec![json!("x".repeat(bytes)); count]).search_units_max()
        };
        assert_eq!(units("q", 10, 0), 1);
        assert_eq!(units("q", 499, 100), 1);
        assert_eq!(units("q", 499, 101), 2);
        assert_eq!(units("q", 500, 100), 2, "two pieces each");
        assert_eq!(units(&"q".repeat(250), 250, 100), 1);
        assert_eq!(units(&"q".repeat(250), 251, 100), 2);
        assert_eq!(units(&"q".repeat(9_000), 250, 100), 1, "what a query leaves is never less than half");
        assert_eq!(units("q", 1_000_000, 100), 9, "documents are cut at 4,096 tokens");
        let mut request = rerank("q", vec![json!("x".repeat(1_000_000)); 100]);
        request.extras.insert("max_tokens_per_doc".into(), json!(499));
        assert_eq!(request.search_units_max(), 1);
    }
}
