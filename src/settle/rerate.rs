//! What a settled attempt costs at other prices than those of its day, from what its row says.
//!
//! A row keeps six token classes, three of which are sums: both durations of cache writes, audio in and out, words and
//! pictures out. The usage object as the provider sent it tells them apart; without it a cost is known only if both ends of
//! the sum are priced alike. Nor does a row count the pictures that were given.
//!
//! What cannot be computed to the nano-dollar is left as it is, and said.

use super::{
    price::{Pieces, Price},
    raw,
    row::{ADJUSTMENTS_FROM, LedgerRow, Outcome},
};
use crate::{
    dialect::{self, openai_chat::response, rerank},
    model::{money::NanoUsd, time::Timestamp, usage::Usage},
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// An attempt as D1 gives it, with what its adjustments come to.
#[derive(Clone, Debug, Deserialize)]
pub struct Charged {
    /// The request.
    pub request_id: String,
    /// From 1.
    pub attempt: u32,
    /// When it was admitted.
    pub at_ms: Timestamp,
    /// Whose.
    pub customer_id: String,
    team_id: Option<String>,
    /// Which key.
    pub key_id: String,
    route: String,
    requested_model: String,
    /// Who was called.
    pub provider: String,
    /// Under which model name.
    pub model: String,
    outcome: Outcome,
    input_tokens: u64,
    cache_read_tokens: u64,
    cache_write_tokens: u64,
    output_tokens: u64,
    reasoning_tokens: u64,
    audio_tokens: u64,
    usage_estimated: u8,
    usage_json: Option<String>,
    cost_nanousd: NanoUsd,
    service_tier: Option<String>,
    /// 0: written by a version that did not note the tier.
    rolled_up: u8,
    /// Sum of its adjustments.
    adjusted_nanousd: NanoUsd,
    /// How many there are.
    adjustments: u32,
}

/// Why a cost cannot be computed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unknown {
    /// Nobody settled it: it was charged at its bound.
    Unsettled,
    /// No provider reported it: charged at its bound, or by the gateway's own estimate.
    Estimated,
    /// The model has prices by tier, and the row is older than the note of the tier.
    Tier,
    /// A class is a sum whose parts are priced apart, and the provider's usage is not there.
    Classes,
    /// The price is by the picture, and the row does not say how many there were.
    Images,
    /// The provider is not configured any more.
    Provider,
    /// The model has no price any more.
    Price,
}

impl Unknown {
    /// The word used in answers.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unsettled => "unsettled",
            Self::Estimated => "usage_estimated",
            Self::Tier => "service_tier_unknown",
            Self::Classes => "token_classes_unknown",
            Self::Images => "image_count_unknown",
            Self::Provider => "provider_unknown",
            Self::Price => "model_not_priced",
        }
    }
}

impl Charged {
    /// What it costs at `price`, or as its provider, of that kind, said.
    ///
    /// # Errors
    /// If that cannot be told exactly.
    pub fn cost(&self, price: &Price, kind: &str) -> Result<NanoUsd, Unknown> {
        if self.outcome == Outcome::Unsettled {
            return Err(Unknown::Unsettled);
        }
        if self.usage_estimated != 0 {
            return Err(Unknown::Estimated);
        }
        let invoiced = self.usage_json.as_deref().and_then(|usage| response::reported_cost(usage, kind));
        if let Some(invoiced) = invoiced {
            return Ok(price.charge(invoiced));
        }
        if self.rolled_up == 0 && price.is_tiered() {
            return Err(Unknown::Tier);
        }
        if price.search_unit.is_some() {
            let units = self.usage_json.as_deref().and_then(rerank::search_units).ok_or(Unknown::Classes)?;
            return Ok(price.cost_of_search_units(units));
        }
        if price.image.is_some_and(|price| price.0 > 0) {
            return Err(Unknown::Images);
        }
        let cost = |usage: &Usage| price.cost_of(usage, self.pieces(), self.service_tier.as_deref());
        let reported = self.usage_json.as_deref().map(dialect::usages).unwrap_or_default();
        if let Some(usage) = reported.iter().find(|usage| self.is(usage)) {
            return Ok(cost(usage));
        }
        let ends = (0..8).map(|bits| cost(&self.usage(bits & 1 != 0, bits & 2 != 0, bits & 4 != 0)));
        match (ends.clone().min(), ends.max()) {
            (Some(least), Some(most)) if least == most => Ok(least),
            _ => Err(Unknown::Classes),
        }
    }

    /// What was billed beside tokens, but for pictures.
    fn pieces(&self) -> Pieces {
        let tokens = [
            self.input_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens,
            self.output_tokens,
            self.reasoning_tokens,
            self.audio_tokens,
        ];
        // An answer without any usage is an estimate, and not here: what is left without one is a count of tokens, which is free.
        let answered = self.outcome == Outcome::Ok && self.usage_json.is_some();
        let billed = answered || tokens.into_iter().any(|count| count > 0);
        Pieces { requests: u64::from(billed), images: 0 }
    }

    /// Whether a usage is what this row says.
    fn is(&self, usage: &Usage) -> bool {
        (self.input_tokens, self.cache_read_tokens, self.reasoning_tokens)
            == (usage.input, usage.cache_read, usage.reasoning)
            && self.output_tokens == usage.output.saturating_add(usage.output_image)
            && self.cache_write_tokens == usage.cache_write_5m.saturating_add(usage.cache_write_1h)
            && self.audio_tokens == usage.input_audio.saturating_add(usage.output_audio)
    }

    fn usage(&self, short: bool, spoken: bool, painted: bool) -> Usage {
        let split = |whole: u64, first: bool| if first { (whole, 0) } else { (0, whole) };
        let (cache_write_5m, cache_write_1h) = split(self.cache_write_tokens, short);
        let (input_audio, output_audio) = split(self.audio_tokens, spoken);
        let (output_image, output) = split(self.output_tokens, painted);
        Usage {
            input: self.input_tokens,
            cache_read: self.cache_read_tokens,
            cache_write_5m,
            cache_write_1h,
            input_audio,
            output,
            reasoning: self.reasoning_tokens,
            output_audio,
            output_image,
        }
    }

    /// The row that makes it cost `cost`; `None` if it does already.
    ///
    /// Its number follows from the attempt's own adjustments alone, so that computing it twice gives the same row: the
    /// first of attempt 1 is 1001, the first of attempt 2 is 2001.
    #[must_use]
    pub fn adjustment(&self, cost: NanoUsd, price_version: &str, reason: &str) -> Option<LedgerRow> {
        let difference = cost.minus(self.cost_nanousd.plus(self.adjusted_nanousd));
        let attempt =
            self.attempt.checked_mul(ADJUSTMENTS_FROM)?.checked_add(self.adjustments)?.checked_add(1)?;
        (difference != NanoUsd::ZERO).then(|| LedgerRow {
            request_id: self.request_id.clone(),
            attempt,
            at_ms: self.at_ms,
            customer_id: self.customer_id.clone(),
            team_id: self.team_id.clone(),
            key_id: self.key_id.clone(),
            route: self.route.clone(),
            requested_model: self.requested_model.clone(),
            provider: self.provider.clone(),
            model: self.model.clone(),
            outcome: Outcome::Adjustment,
            cost_nanousd: difference,
            price_version: price_version.to_owned(),
            adjusts: Some(self.attempt),
            reason: Some(reason.to_owned()),
            ..LedgerRow::default()
        })
    }
}

/// Rows and their sum, as the object wants them.
#[must_use]
pub fn summed(rows: &[LedgerRow]) -> (Box<RawValue>, NanoUsd) {
    (raw(&rows), rows.iter().fold(NanoUsd::ZERO, |sum, row| sum.plus(row.cost_nanousd)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::policy::PriceOverride, model::money::PicoUsd, settle::price::price_of};
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn charged(over: Value) -> Charged {
        let mut row = json!({
            "request_id": "req_a", "attempt": 1, "at_ms": 5, "customer_id": "c", "team_id": null, "key_id": "k",
            "route": "r", "requested_model": "m", "provider": "p", "model": "m", "outcome": "ok", "input_tokens": 100,
            "cache_read_tokens": 10, "cache_write_tokens": 0, "output_tokens": 20, "reasoning_tokens": 0,
            "audio_tokens": 0, "usage_estimated": 0, "usage_json": null, "cost_nanousd": 1000, "service_tier": null,
            "rolled_up": 1, "adjusted_nanousd": 0, "adjustments": 0,
        });
        row.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        serde_json::from_value(row).unwrap()
    }

    fn price(kind: &str, model: &str) -> Price {
        price_of(&BTreeMap::new(), "p", kind, model).unwrap()
    }

    #[test]
    fn a_cost_is_computed_again_to_the_nano_dollar_or_not_at_all() {
        let mini = price("openai", "gpt-4o-mini");
        let usage = Usage { input: 100, cache_read: 10, output: 20, ..Usage::default() };
        assert_eq!(charged(json!({})).cost(&mini, "openai"), Ok(mini.cost(&usage, None)));
        assert_eq!(charged(json!({"outcome": "unsettled"})).cost(&mini, "openai"), Err(Unknown::Unsettled));
        assert_eq!(charged(json!({"usage_estimated": 1})).cost(&mini, "openai"), Err(Unknown::Estimated));

        let tiered = price("openai", "gpt-5");
        assert!(tiered.is_tiered());
        let flex = charged(json!({"service_tier": "flex"}));
        assert_eq!(flex.cost(&tiered, "openai"), Ok(tiered.cost(&usage, Some("flex"))));
        assert_ne!(flex.cost(&tiered, "openai"), charged(json!({})).cost(&tiered, "openai"));
        assert_eq!(charged(json!({"rolled_up": 0})).cost(&tiered, "openai"), Err(Unknown::Tier));
    }

    #[test]
    fn what_the_provider_invoiced_stays_what_it_costs() {
        let grok = price("xai", "grok-4.5");
        let usage_json = r#"{"prompt_tokens":110,"completion_tokens":20,"cost_in_usd_ticks":37756000}"#;
        let row = charged(json!({"usage_json": usage_json}));
        assert_eq!(row.cost(&grok, "xai"), Ok(NanoUsd(3_775_600)));
        assert_ne!(
            row.cost(&grok, "openai"),
            Ok(NanoUsd(3_775_600)),
            "of another kind the field means nothing"
        );
    }

    #[test]
    fn sums_of_classes_are_taken_apart_by_the_providers_usage() {
        let audio = price("openai", "gpt-audio");
        let unknown = charged(json!({"cache_read_tokens": 0, "audio_tokens": 50}));
        assert_eq!(unknown.cost(&audio, "openai"), Err(Unknown::Classes));
        let usage_json = r#"{"prompt_tokens":130,"completion_tokens":40,"prompt_tokens_details":{"audio_tokens":30},"completion_tokens_details":{"audio_tokens":20}}"#;
        let known = charged(json!({"cache_read_tokens": 0, "audio_tokens": 50, "usage_json": usage_json}));
        let usage = Usage { input: 100, input_audio: 30, output: 20, output_audio: 20, ..Usage::default() };
        assert_eq!(known.cost(&audio, "openai"), Ok(audio.cost(&usage, None)));
        let other = charged(json!({"cache_read_tokens": 0, "audio_tokens": 51, "usage_json": usage_json}));
        assert_eq!(
            other.cost(&audio, "openai"),
            Err(Unknown::Classes),
            "a usage that is not the row's says nothing"
        );
    }

    #[test]
    fn pictures_fees_and_search_units_are_told_or_left_alone() {
        // Gemini's own usage tells pictures from words.
        let painter = price("gemini", "gemini-2.5-flash-image");
        let usage_json = r#"{"promptTokenCount":110,"cachedContentTokenCount":10,"candidatesTokenCount":1300,"totalTokenCount":1410,"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":1290}]}"#;
        let known = charged(json!({"output_tokens": 1_300, "usage_json": usage_json}));
        let usage = Usage { input: 100, cache_read: 10, output: 10, output_image: 1_290, ..Usage::default() };
        assert_eq!(known.cost(&painter, "gemini"), Ok(painter.cost(&usage, None)));
        assert_eq!(
            charged(json!({"output_tokens": 1_300})).cost(&painter, "gemini"),
            Err(Unknown::Classes),
            "words and pictures are priced apart"
        );
        // Anthropic's tells both durations of a cache.
        let opus = price("anthropic", "claude-opus-5");
        let usage_json = r#"{"input_tokens":100,"cache_read_input_tokens":10,"cache_creation_input_tokens":5,"cache_creation":{"ephemeral_1h_input_tokens":5},"output_tokens":20}"#;
        let known = charged(json!({"cache_write_tokens": 5, "usage_json": usage_json}));
        let usage = Usage { input: 100, cache_read: 10, cache_write_1h: 5, output: 20, ..Usage::default() };
        assert_eq!(known.cost(&opus, "anthropic"), Ok(opus.cost(&usage, None)));

        let search = price("openai", "gpt-5-search-api");
        let usage = Usage { input: 100, cache_read: 10, output: 20, ..Usage::default() };
        let fee = Pieces { requests: 1, images: 0 };
        assert_eq!(charged(json!({})).cost(&search, "openai"), Ok(search.cost_of(&usage, fee, None)));
        let nothing =
            json!({"outcome": "rate_limited", "input_tokens": 0, "cache_read_tokens": 0, "output_tokens": 0});
        assert_eq!(charged(nothing).cost(&search, "openai"), Ok(NanoUsd::ZERO), "the model was not called");
        let counted = json!({"input_tokens": 0, "cache_read_tokens": 0, "output_tokens": 0});
        assert_eq!(charged(counted).cost(&search, "openai"), Ok(NanoUsd::ZERO), "tokens were counted");

        let own = PriceOverride { image: Some(PicoUsd(1)), ..PriceOverride::default() };
        let by_image = price_of(&BTreeMap::from([("p/m".to_owned(), own)]), "p", "openai", "m").unwrap();
        assert_eq!(charged(json!({})).cost(&by_image, "openai"), Err(Unknown::Images));

        let rerank = price("cohere", "rerank-v3.5");
        let usage_json = r#"{"api_version":{"version":"2"},"billed_units":{"search_units":3}}"#;
        let known = charged(json!({"usage_json": usage_json}));
        assert_eq!(known.cost(&rerank, "cohere"), Ok(NanoUsd(6_000_000)));
        assert_eq!(charged(json!({})).cost(&rerank, "cohere"), Err(Unknown::Classes));
    }

    #[test]
    fn an_adjustment_makes_up_the_difference_and_is_computed_the_same_twice() {
        let row = charged(json!({}));
        assert_eq!(row.adjustment(NanoUsd(1000), "v", "r"), None);
        let made = row.adjustment(NanoUsd(400), "v", "r").unwrap();
        assert_eq!(
            (made.attempt, made.cost_nanousd, made.adjusts, made.tokens()),
            (1_001, NanoUsd(-600), Some(1), 0)
        );
        assert_eq!(row.adjustment(NanoUsd(400), "v", "r"), Some(made));
        let later = charged(json!({"attempt": 2, "adjusted_nanousd": -600, "adjustments": 1}));
        assert_eq!(later.adjustment(NanoUsd(400), "v", "r"), None);
        let made = later.adjustment(NanoUsd(500), "v", "r").unwrap();
        assert_eq!((made.attempt, made.cost_nanousd, made.adjusts), (2_002, NanoUsd(100), Some(2)));
    }
}
