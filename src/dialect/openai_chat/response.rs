//! Reading a chat answer that is not streamed, and OpenAI's usage object.

use crate::model::{money::NanoUsd, usage::Usage};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What settlement needs of an answer. The answer itself goes to the client as it came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Token classes, if the provider reported any.
    pub usage: Option<Usage>,
    /// The usage object as it came.
    pub usage_json: Option<String>,
    /// The tier that served it, which decides the price.
    pub service_tier: Option<String>,
    /// The provider's id of the answer.
    pub id: Option<String>,
    /// Bytes of text, tool arguments and reasoning, for an estimate if there is no usage.
    pub content_bytes: usize,
    /// A 200 whose body is an error.
    pub error: Option<String>,
    /// What a ranking is billed by, where it is not by tokens.
    pub search_units: Option<u64>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    service_tier: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    choices: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// Reads the body of a 200; `None` if it is not a chat completion at all.
#[must_use]
pub fn read(body: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(body).ok()?;
    let wire: Wire<'_> = serde_json::from_str(text).ok()?;
    let error =
        wire.error.filter(|value| value.get() != "null").map(|value| error_text(value.get().as_bytes()));
    let choices = wire.choices.filter(|value| value.get() != "null");
    if choices.is_none() && error.is_none() {
        return None;
    }
    let usage_raw = wire.usage.filter(|value| value.get() != "null");
    Some(Answer {
        usage: usage_raw.and_then(|value| usage(value.get())),
        usage_json: usage_raw.map(|value| value.get().to_owned()),
        service_tier: wire.service_tier.map(Cow::into_owned),
        id: wire.id.map(Cow::into_owned),
        content_bytes: choices.map_or(0, |value| value.get().len()),
        error,
        search_units: None,
    })
}

/// OpenAI's usage object. `prompt_tokens` includes cached, written and audio tokens; `completion_tokens` includes reasoning
/// and audio: the classes are taken apart here, so that they are disjoint and sum to the totals.
#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    total_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<InputDetails>,
    #[serde(default)]
    completion_tokens_details: Option<OutputDetails>,
    /// DeepSeek's name for cached input.
    #[serde(default)]
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Default, Deserialize)]
struct InputDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
    #[serde(default)]
    cache_write_tokens: Option<u64>,
    #[serde(default)]
    audio_tokens: Option<u64>,
}

#[derive(Default, Deserialize)]
struct OutputDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
    #[serde(default)]
    audio_tokens: Option<u64>,
    /// OpenRouter's (<https://openrouter.ai/docs/api/reference/overview>, read 2026-11-21).
    #[serde(default)]
    image_tokens: Option<u64>,
}

/// Reads a usage object; `None` if it has no totals.
#[must_use]
pub fn usage(text: &str) -> Option<Usage> {
    let wire: WireUsage = serde_json::from_str(text).ok()?;
    let (prompt, mut completion) = (wire.prompt_tokens?, wire.completion_tokens.unwrap_or(0));
    let input = wire.prompt_tokens_details.unwrap_or_default();
    let output = wire.completion_tokens_details.unwrap_or_default();
    // xAI counts reasoning beside `completion_tokens`, not in it; its total says so. Google's compatible endpoint says nothing
    // of thoughts but in the total (`completion_tokens: 12, prompt_tokens: 35, total_tokens: 109`, recorded by pydantic-ai):
    // they are billed as output.
    let beside = completion.saturating_add(output.reasoning_tokens.unwrap_or(0));
    let rest = wire.total_tokens.unwrap_or(0).saturating_sub(prompt.saturating_add(completion));
    let mut claimed_reasoning = output.reasoning_tokens;
    if wire.total_tokens.is_some_and(|total| total == prompt.saturating_add(beside)) {
        completion = beside;
    } else if claimed_reasoning.is_none() && rest > 0 {
        completion = completion.saturating_add(rest);
        claimed_reasoning = Some(rest);
    }
    // A class is never larger than what is left of its total, whatever the provider claims.
    let mut left = prompt;
    let mut take = |claimed: Option<u64>| {
        let taken = claimed.unwrap_or(0).min(left);
        left -= taken;
        taken
    };
    let cache_read = take(input.cached_tokens.or(wire.prompt_cache_hit_tokens));
    let cache_write_5m = take(input.cache_write_tokens);
    let input_audio = take(input.audio_tokens);
    let uncached = left;
    let mut left = completion;
    let mut take = |claimed: Option<u64>| {
        let taken = claimed.unwrap_or(0).min(left);
        left -= taken;
        taken
    };
    let reasoning = take(claimed_reasoning);
    let output_audio = take(output.audio_tokens);
    let output_image = take(output.image_tokens);
    Some(Usage {
        input: uncached,
        cache_read,
        cache_write_5m,
        cache_write_1h: 0,
        input_audio,
        output: left,
        reasoning,
        output_audio,
        output_image,
    })
}

/// What some providers say a request cost.
#[derive(Deserialize)]
struct WireCost<'a> {
    #[serde(borrow, default)]
    cost: Option<&'a RawValue>,
    #[serde(default)]
    is_byok: Option<bool>,
    #[serde(borrow, default)]
    cost_details: Option<&'a RawValue>,
    #[serde(default)]
    cost_in_usd_ticks: Option<u64>,
}

#[derive(Deserialize)]
struct WireCostDetails<'a> {
    #[serde(borrow, default)]
    upstream_inference_cost: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireTotalCost<'a> {
    #[serde(borrow, default)]
    total_cost: Option<&'a RawValue>,
    #[serde(borrow, default)]
    currency: Option<Cow<'a, str>>,
}

/// What a provider of this kind says the request cost, in a usage object of chat or of Responses, rounded up to a nano-dollar.
/// `None` if it does not say, or not so that it can be told exactly.
///
/// - OpenRouter: `cost` in credits, which are dollars; with a key of one's own (`is_byok`) that is its fee, and what the
///   model's provider bills is `cost_details.upstream_inference_cost`
///   (<https://openrouter.ai/docs/use-cases/usage-accounting>, read 2026-11-21).
/// - xAI: `cost_in_usd_ticks`, ten billion to the dollar (<https://docs.x.ai/developers/cost-tracking>, read 2026-11-21).
/// - Perplexity: `cost.total_cost` in dollars (<https://docs.perplexity.ai/docs/agent-api>, read 2026-11-21).
#[must_use]
pub fn reported_cost(usage_json: &str, kind: &str) -> Option<NanoUsd> {
    const TICKS_PER_NANO: u64 = 10;
    if !["openrouter", "xai", "perplexity"].contains(&kind) {
        return None;
    }
    let wire: WireCost<'_> = serde_json::from_str(usage_json).ok()?;
    let dollars = |value: &RawValue| NanoUsd::parse_usd_up(value.get());
    match kind {
        "xai" => i64::try_from(wire.cost_in_usd_ticks?.div_ceil(TICKS_PER_NANO)).ok().map(NanoUsd),
        "openrouter" => {
            let fee = dollars(wire.cost?)?;
            if !wire.is_byok.unwrap_or(false) {
                return Some(fee);
            }
            let details: WireCostDetails<'_> = serde_json::from_str(wire.cost_details?.get()).ok()?;
            Some(fee.plus(dollars(details.upstream_inference_cost?)?))
        }
        _ => {
            let cost: WireTotalCost<'_> = serde_json::from_str(wire.cost?.get()).ok()?;
            let in_dollars = cost.currency.is_none_or(|currency| currency == "USD");
            dollars(cost.total_cost?).filter(|_| in_dollars)
        }
    }
}

/// The message of a provider's error body, shortened; for the ledger and the log.
#[must_use]
pub fn error_text(body: &[u8]) -> String {
    let message = serde_json::from_slice::<serde_json::Value>(body).ok().and_then(|value| {
        let error = value.get("error").cloned().unwrap_or(value);
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        // FastAPI's servers say `detail`: a text, or a list of objects with `msg`.
        let detail = || {
            let detail = error.get("detail")?;
            text(detail).or_else(|| detail.get(0)?.get("msg").and_then(text))
        };
        text(&error).or_else(|| error.get("message").and_then(text)).or_else(detail)
    });
    let message = message.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    message.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn classes_are_disjoint_and_sum_to_the_totals() {
        let usage = usage(
            r#"{"prompt_tokens":1000,"completion_tokens":300,"total_tokens":1300,
                "prompt_tokens_details":{"cached_tokens":600,"audio_tokens":50},
                "completion_tokens_details":{"reasoning_tokens":200,"audio_tokens":0}}"#,
        )
        .unwrap();
        assert_eq!((usage.input, usage.cache_read, usage.input_audio), (350, 600, 50));
        assert_eq!((usage.output, usage.reasoning), (100, 200));
        assert_eq!((usage.input_total(), usage.output_total()), (1000, 300));
    }

    #[test]
    fn what_only_the_total_counts_is_output() {
        let of = |text: &str| {
            usage(text).map(|usage| (usage.input_total(), usage.output, usage.reasoning)).unwrap()
        };
        assert_eq!(of(r#"{"prompt_tokens":35,"completion_tokens":12,"total_tokens":109}"#), (35, 12, 62));
        // Beside the output at xAI, in it elsewhere.
        let details = r#""completion_tokens_details":{"reasoning_tokens":5}"#;
        let with = |total: u64| {
            format!(r#"{{"prompt_tokens":10,"completion_tokens":8,"total_tokens":{total},{details}}}"#)
        };
        assert_eq!(of(&with(23)), (10, 8, 5));
        assert_eq!(of(&with(18)), (10, 3, 5));
        // A total that nothing explains is not believed.
        assert_eq!(of(&with(40)), (10, 3, 5));
        assert_eq!(of(r#"{"prompt_tokens":35,"completion_tokens":12,"total_tokens":40}"#), (35, 12, 0));
    }

    #[test]
    fn what_a_provider_says_it_cost_is_read_where_it_means_dollars() {
        let cost = |kind, usage| reported_cost(usage, kind).map(|cost| cost.0);
        let routed = r#"{"prompt_tokens":1,"cost":0.0004970133333333333,"is_byok":false,"cost_details":{"upstream_inference_cost":19}}"#;
        assert_eq!(cost("openrouter", routed), Some(497_014));
        assert_eq!(cost("openrouter", r#"{"cost":0}"#), Some(0));
        let own_key = r#"{"cost":0.00001,"is_byok":true,"cost_details":{"upstream_inference_cost":8.6e-05}}"#;
        assert_eq!(cost("openrouter", own_key), Some(96_000));
        assert_eq!(cost("openrouter", r#"{"cost":0.00001,"is_byok":true}"#), None);
        assert_eq!(cost("xai", r#"{"cost_in_usd_ticks":37756000}"#), Some(3_775_600));
        assert_eq!(cost("xai", r#"{"cost_in_usd_ticks":1}"#), Some(1));
        assert_eq!(cost("xai", r#"{"cost":1}"#), None);
        let searched = r#"{"cost":{"currency":"USD","input_cost":0.001,"total_cost":0.0062}}"#;
        assert_eq!(cost("perplexity", searched), Some(6_200_000));
        assert_eq!(cost("perplexity", r#"{"cost":{"currency":"EUR","total_cost":1}}"#), None);
        // A server of one's own may mean anything by it.
        assert_eq!(cost("openai-compatible", routed), None);
        for broken in ["", "[]", r#"{"cost":-1}"#, r#"{"cost":null}"#, r#"{"cost":"1"}"#] {
            assert_eq!(cost("openrouter", broken), None, "{broken}");
        }
    }

    #[test]
    fn an_error_in_a_200_is_seen() {
        let answer = read(br#"{"error":{"message":"overloaded","code":529}}"#).unwrap();
        assert_eq!(answer.error.as_deref(), Some("overloaded"));
        assert_eq!(read(b"<html>"), None);
        assert_eq!(read(b"{}"), None);
    }

    proptest! {
        #[test]
        fn whatever_is_claimed_the_totals_hold(
            prompt in 0u64..1_000_000, completion in 0u64..1_000_000, a: u64, b: u64, c: u64, d: u64, e: u64
        ) {
            let text = serde_json::json!({"prompt_tokens": prompt, "completion_tokens": completion,
                "prompt_tokens_details": {"cached_tokens": a, "cache_write_tokens": b, "audio_tokens": c},
                "completion_tokens_details": {"reasoning_tokens": d, "audio_tokens": e}}).to_string();
            let usage = usage(&text).unwrap();
            prop_assert_eq!(usage.input_total(), prompt);
            prop_assert_eq!(usage.output_total(), completion);
        }

        #[test]
        fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&body);
            let _ = error_text(&body);
            let _ = reported_cost(&String::from_utf8_lossy(&body), "openrouter");
        }
    }
}
