//! What one request can be billed for, and the price of each.

use crate::model::{money::PicoUsd, usage::Usage};

/// The price of one token of each class. Every cell is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) input: PicoUsd,
    pub(super) cache_read: PicoUsd,
    pub(super) cache_write_5m: PicoUsd,
    pub(super) cache_write_1h: PicoUsd,
    pub(super) input_audio: PicoUsd,
    pub(super) output: PicoUsd,
    pub(super) reasoning: PicoUsd,
    pub(super) output_audio: PicoUsd,
    pub(super) output_image: PicoUsd,
}

/// Pico-dollars per token, in the order of [`Rates`].
pub(super) const fn rates(cells: [u64; 9]) -> Rates {
    let [
        input,
        cache_read,
        cache_write_5m,
        cache_write_1h,
        input_audio,
        output,
        reasoning,
        output_audio,
        output_image,
    ] = cells;
    Rates {
        input: PicoUsd(input),
        cache_read: PicoUsd(cache_read),
        cache_write_5m: PicoUsd(cache_write_5m),
        cache_write_1h: PicoUsd(cache_write_1h),
        input_audio: PicoUsd(input_audio),
        output: PicoUsd(output),
        reasoning: PicoUsd(reasoning),
        output_audio: PicoUsd(output_audio),
        output_image: PicoUsd(output_image),
    }
}

impl Rates {
    /// In pico-dollars.
    pub(super) fn cost(&self, usage: &Usage) -> u128 {
        [
            self.input.times(usage.input),
            self.cache_read.times(usage.cache_read),
            self.cache_write_5m.times(usage.cache_write_5m),
            self.cache_write_1h.times(usage.cache_write_1h),
            self.input_audio.times(usage.input_audio),
            self.output.times(usage.output),
            self.reasoning.times(usage.reasoning),
            self.output_audio.times(usage.output_audio),
            self.output_image.times(usage.output_image),
        ]
        .into_iter()
        .fold(0, u128::saturating_add)
    }

    /// Of input that is no audio.
    pub(super) fn dearest_text(&self, hour_cache: bool) -> PicoUsd {
        let hour = if hour_cache { self.cache_write_1h } else { PicoUsd(0) };
        self.input.max(self.cache_read).max(self.cache_write_5m).max(hour)
    }

    pub(super) fn dearest_output(&self) -> PicoUsd {
        self.output.max(self.reasoning).max(self.output_audio).max(self.output_image)
    }
}

/// What a request is billed for beside its tokens, where a price says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    /// Calls of the model.
    pub requests: u64,
    /// Pictures given to it.
    pub images: u64,
}

impl Pieces {
    /// The larger of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { requests: self.requests.max(other.requests), images: self.images.max(other.images) }
    }
}

/// How much of what a request can use at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Input tokens of all classes.
    pub input: u64,
    /// How many of them can be audio.
    pub input_audio: u64,
    /// Output tokens of all classes.
    pub output: u64,
    /// Whether input can be written to the provider's cache for an hour.
    pub hour_cache: bool,
    /// What is billed beside tokens.
    pub pieces: Pieces,
}

/// The dearest rates a request can meet.
#[derive(Clone, Copy, Default)]
pub(super) struct Dearest {
    pub(super) text: PicoUsd,
    pub(super) audio: PicoUsd,
    pub(super) output: PicoUsd,
}

impl Dearest {
    /// In pico-dollars.
    pub(super) fn input(&self, extent: &Extent) -> u128 {
        let audio = extent.input_audio.min(extent.input);
        self.text.times(extent.input - audio).saturating_add(self.audio.times(audio))
    }
}
