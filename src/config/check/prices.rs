//! `prices:`: what the operator pays, exactly as written.

use super::super::policy::{Policy, PriceOverride};
use super::super::problem::Problems;
use super::super::reader::{Field, Fields};
use super::models::Names;
use crate::model::money::{PicoUsd, parse_decimal};

/// The highest price, in pico-dollars per token: a million dollars per million tokens. Anything above is a slip of units.
const MAX_PICOUSD: i128 = 1_000_000_000_000;
/// The most tokens a context or an answer can be said to hold.
const MAX_TOKENS: u64 = 1_000_000_000;

const PRICE: &str =
    "US dollars per million tokens, a decimal number such as 0.15, at most 6 decimals and at most 1000000";

pub(super) fn read(field: &Field<'_>, names: &Names, policy: &mut Policy, problems: &mut Problems) {
    const FIELDS: &[&str] =
        &["input", "cached_input", "cache_write", "output", "context_tokens", "output_tokens"];
    for entry in field.entries("a mapping of `provider/model` to prices", problems).unwrap_or_default() {
        let known = names.check_qualified(&entry, problems);
        let Some(fields) = entry.field.fields(FIELDS, "a mapping with at least input and output", problems)
        else {
            continue;
        };
        let input = required(&fields, "input", problems);
        let output = required(&fields, "output", problems);
        let optional = |name, problems: &mut Problems| fields.get(name).map(|field| price(field, problems));
        let (cache_read, cache_write) =
            (optional("cached_input", problems), optional("cache_write", problems));
        let tokens = |name, expected, problems: &mut Problems| {
            fields.get(name).map(|field| field.whole(&(1..=MAX_TOKENS), expected, problems))
        };
        let context_tokens = tokens("context_tokens", "a positive whole number of tokens", problems);
        let output_tokens = tokens("output_tokens", "a positive whole number of tokens", problems);
        if let (true, Some(input), Some(output)) = (known, input, output) {
            let price = PriceOverride {
                input,
                cache_read: cache_read.flatten(),
                cache_write: cache_write.flatten(),
                output,
                context_tokens: context_tokens.flatten(),
                output_tokens: output_tokens.flatten(),
            };
            policy.prices.insert(entry.name.to_owned(), price);
        }
    }
}

fn required(fields: &Fields<'_>, name: &str, problems: &mut Problems) -> Option<PicoUsd> {
    let field = fields.need(name, &format!("{PRICE} (0 if it is free)"), problems)?;
    price(field, problems)
}

/// A dollar per million tokens is a million pico-dollars per token.
fn price(field: &Field<'_>, problems: &mut Problems) -> Option<PicoUsd> {
    const SCALE: i32 = 6;
    let text = field.any_text(PRICE, problems)?;
    let price = parse_decimal(text, SCALE)
        .filter(|price| (0..=MAX_PICOUSD).contains(price))
        .and_then(|price| u64::try_from(price).ok())
        .map(PicoUsd);
    if price.is_none() {
        field.mismatch(PRICE, problems);
    }
    price
}
