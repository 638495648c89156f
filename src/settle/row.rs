//! A ledger row: one provider attempt.

use crate::model::{money::NanoUsd, time::Timestamp, usage::Usage};
use serde::{Deserialize, Serialize};

/// How an attempt ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The hold expired before anybody settled it; charged at the held bound. Or a lease did; charged at what was left of it.
    #[default]
    Unsettled,
    /// Not an attempt: corrects the cost of one whose row is already written.
    Adjustment,
}

impl Outcome {
    /// As in the ledger.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientGone => "client_gone",
            Self::Truncated => "truncated",
            Self::UpstreamError => "upstream_error",
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::RefusedByProvider => "refused_by_provider",
            Self::ConnectError => "connect_error",
            Self::Unsettled => "unsettled",
            Self::Adjustment => "adjustment",
        }
    }
}

/// One row of the ledger. The field names are the columns of the D1 table `ledger`.
///
/// As JSON it leaves out what is zero, false or absent: it is stored twice on its way to D1, and bytes cost time there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
    #[serde(default, skip_serializing_if = "zero")]
    pub status: u16,
    /// Whether a stream was asked for.
    #[serde(default, skip_serializing_if = "zero")]
    pub streamed: bool,
    /// Uncached text input.
    #[serde(default, skip_serializing_if = "zero")]
    pub input_tokens: u64,
    /// Read from the provider's cache.
    #[serde(default, skip_serializing_if = "zero")]
    pub cache_read_tokens: u64,
    /// Written to the provider's cache.
    #[serde(default, skip_serializing_if = "zero")]
    pub cache_write_tokens: u64,
    /// Output without reasoning and sound, pictures among it.
    #[serde(default, skip_serializing_if = "zero")]
    pub output_tokens: u64,
    /// Reasoning.
    #[serde(default, skip_serializing_if = "zero")]
    pub reasoning_tokens: u64,
    /// Audio in and out.
    #[serde(default, skip_serializing_if = "zero")]
    pub audio_tokens: u64,
    /// The counts are ours, because the provider reported none.
    #[serde(default, skip_serializing_if = "zero")]
    pub usage_estimated: bool,
    /// The provider's usage object as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_json: Option<String>,
    /// What this attempt cost.
    #[serde(default, skip_serializing_if = "zero")]
    pub cost_nanousd: NanoUsd,
    /// Which prices were used.
    pub price_version: String,
    /// Attempt begun → first content, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<i64>,
    /// Attempt begun → ended, in ms.
    #[serde(default, skip_serializing_if = "zero")]
    pub duration_ms: i64,
    /// The provider's own id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_id: Option<String>,
    /// Key's and caller's metadata, a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// What went wrong, for the operator. Never holds prompts or credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Of an adjustment: the attempt whose cost it corrects. Its own number is over [`ADJUSTMENTS_FROM`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjusts: Option<u32>,
    /// Of an adjustment: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The tier that served it, unless it was the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
}

/// Numbers of attempts up to this are attempts; adjustments are numbered from the next one on.
pub const ADJUSTMENTS_FROM: u32 = 1_000;

fn zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl LedgerRow {
    /// Enters what was used, class by class.
    #[must_use]
    pub fn with_usage(mut self, usage: Usage) -> Self {
        self.input_tokens = usage.input;
        self.cache_read_tokens = usage.cache_read;
        self.cache_write_tokens = usage.cache_write_5m.saturating_add(usage.cache_write_1h);
        self.output_tokens = usage.output.saturating_add(usage.output_image);
        self.reasoning_tokens = usage.reasoning;
        self.audio_tokens = usage.input_audio.saturating_add(usage.output_audio);
        self
    }

    /// What was read by the model; audio counts here, whichever way it went.
    #[must_use]
    pub fn input(&self) -> u64 {
        [self.input_tokens, self.cache_read_tokens, self.cache_write_tokens, self.audio_tokens]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// All token classes together.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        [
            self.input_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens,
            self.output_tokens,
            self.reasoning_tokens,
            self.audio_tokens,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }
}
