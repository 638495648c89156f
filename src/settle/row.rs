//! A ledger row: one provider attempt.

use crate::model::{money::NanoUsd, time::Timestamp, usage::Usage};
use serde::{Deserialize, Serialize};

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A complete answer.
    Ok,
    /// The client left before the answer was complete.
    ClientGone,
    /// The provider's stream ended without its terminal event, or was cut.
    Truncated,
    /// The provider answered 5xx, an error event, or something unreadable.
    UpstreamError,
    /// A time-out of ours.
    Timeout,
    /// The provider answered 429.
    RateLimited,
    /// The provider answered another 4xx.
    RefusedByProvider,
    /// No answer: connection refused, reset, name not found.
    ConnectError,
    /// The hold expired before anybody settled it; charged at the held bound.
    Unsettled,
}

/// One row of the ledger. The field names are the columns of the D1 table `ledger`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerRow {
    /// Minted here; with `attempt` the primary key.
    pub request_id: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// When the request was admitted, ms since 1970; the window the cost is charged to.
    pub at_ms: Timestamp,
    /// Whose money.
    pub customer_id: String,
    /// The key's team when admitted.
    pub team_id: Option<String>,
    /// The virtual key.
    pub key_id: String,
    /// The route that matched.
    pub route: String,
    /// What the caller asked for.
    pub requested_model: String,
    /// Who was called.
    pub provider: String,
    /// Under which model name.
    pub model: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The provider's HTTP status; 0 without an answer.
    pub status: u16,
    /// Whether a stream was asked for.
    pub streamed: bool,
    /// Token classes as priced.
    #[serde(flatten)]
    pub tokens: TokenColumns,
    /// The counts are ours, because the provider reported none.
    pub usage_estimated: bool,
    /// The provider's usage object as it came.
    pub usage_json: Option<String>,
    /// What this attempt cost.
    pub cost_nanousd: NanoUsd,
    /// Which prices were used.
    pub price_version: String,
    /// Attempt begun → first content, in ms.
    pub first_byte_ms: Option<i64>,
    /// Attempt begun → ended, in ms.
    pub duration_ms: i64,
    /// The provider's own id of the request.
    pub upstream_id: Option<String>,
    /// Key's and caller's metadata, a JSON object.
    pub metadata: Option<String>,
    /// What went wrong, for the operator. Never holds prompts or credentials.
    pub error: Option<String>,
}

/// Token counts as columns of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenColumns {
    /// Uncached text input.
    pub input_tokens: u64,
    /// Read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Written to the provider's cache.
    pub cache_write_tokens: u64,
    /// Text output without reasoning.
    pub output_tokens: u64,
    /// Reasoning.
    pub reasoning_tokens: u64,
    /// Audio in and out.
    pub audio_tokens: u64,
}

impl From<Usage> for TokenColumns {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input,
            cache_read_tokens: usage.cache_read,
            cache_write_tokens: usage.cache_write_5m.saturating_add(usage.cache_write_1h),
            output_tokens: usage.output,
            reasoning_tokens: usage.reasoning,
            audio_tokens: usage.input_audio.saturating_add(usage.output_audio),
        }
    }
}

impl TokenColumns {
    /// All classes together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.input_tokens
            .saturating_add(self.cache_read_tokens)
            .saturating_add(self.cache_write_tokens)
            .saturating_add(self.output_tokens)
            .saturating_add(self.reasoning_tokens)
            .saturating_add(self.audio_tokens)
    }
}
