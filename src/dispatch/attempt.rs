//! What is written down of an attempt.

use crate::{
    model::{time::Timestamp, usage::Usage},
    settle::row::Outcome,
};

/// What is known of one attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Index into the plan's stops.
    pub stop: usize,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// The provider's status, 0 without one.
    pub status: u16,
    /// Token classes, reported or estimated.
    pub usage: Usage,
    /// Whether they are ours.
    pub usage_estimated: bool,
    /// As reported.
    pub usage_json: Option<String>,
    /// The tier that served it.
    pub service_tier: Option<String>,
    /// The provider's id.
    pub upstream_id: Option<String>,
    /// Begun → first content.
    pub first_byte_ms: Option<i64>,
    /// For the operator.
    pub error: Option<String>,
    /// Nothing was sent, and will not be before the operator has mended the credential.
    pub no_credential: bool,
    /// What of the client's request the provider did not get.
    pub dropped: Vec<String>,
    /// What a ranking is billed by, where it is not by tokens.
    pub search_units: Option<u64>,
}

impl Attempt {
    pub(super) fn new(stop: usize, started: Timestamp) -> Self {
        Self {
            stop,
            started,
            ended: started,
            outcome: Outcome::ConnectError,
            status: 0,
            usage: Usage::default(),
            usage_estimated: false,
            usage_json: None,
            service_tier: None,
            upstream_id: None,
            first_byte_ms: None,
            error: None,
            no_credential: false,
            dropped: Vec::new(),
            search_units: None,
        }
    }

    /// A provider that was cut off has read the prompt and may bill it; what is not reported is estimated.
    pub(crate) const fn estimate(&mut self, input: u64, output: u64) {
        self.usage = Usage { input, output, ..empty() };
        self.usage_estimated = true;
    }
}

const fn empty() -> Usage {
    Usage {
        input: 0,
        cache_read: 0,
        cache_write_5m: 0,
        cache_write_1h: 0,
        input_audio: 0,
        output: 0,
        reasoning: 0,
        output_audio: 0,
        output_image: 0,
    }
}
