//! Token counts in disjoint classes.

use serde::{Deserialize, Serialize};

/// What a provider says was used. The classes are disjoint: they sum to the provider's totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Input text tokens that came from no cache and were written to none.
    pub input: u64,
    /// Input tokens read from the provider's prompt cache.
    pub cache_read: u64,
    /// Input tokens written to the provider's cache for five minutes (or its only duration).
    pub cache_write_5m: u64,
    /// Input tokens written to the provider's cache for an hour.
    pub cache_write_1h: u64,
    /// Audio input tokens.
    pub input_audio: u64,
    /// Output text tokens, without reasoning.
    pub output: u64,
    /// Reasoning tokens.
    pub reasoning: u64,
    /// Audio output tokens.
    pub output_audio: u64,
    /// Output tokens that are pictures.
    #[serde(skip_serializing_if = "is_zero")]
    pub output_image: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
pub(crate) const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Usage {
    /// All input classes together.
    #[must_use]
    pub const fn input_total(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write_5m)
            .saturating_add(self.cache_write_1h)
            .saturating_add(self.input_audio)
    }

    /// All output classes together.
    #[must_use]
    pub const fn output_total(&self) -> u64 {
        self.output
            .saturating_add(self.reasoning)
            .saturating_add(self.output_audio)
            .saturating_add(self.output_image)
    }

    /// Input and output.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.input_total().saturating_add(self.output_total())
    }
}
