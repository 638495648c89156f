//! `prices:`: what the operator pays, exactly as written.

use super::super::policy::{Policy, PriceOverride};
use super::super::problem::{Problems, ticked};
use super::super::reader::{Field, Fields};
use super::models::Names;
use crate::model::money::{PicoUsd, parse_decimal};
use crate::settle::price;

/// The highest price, in pico-dollars per token: a million dollars per million tokens. Anything above is a slip of units.
const MAX_PICOUSD: i128 = 1_000_000_000_000;
/// The most tokens a context or an answer can be said to hold.
const MAX_TOKENS: u64 = 1_000_000_000;

const PRICE: &str =
    "US dollars per million tokens, a decimal number such as 0.15, at most 6 decimals and at most 1000000";

const PIECE: &str = "US dollars each, a decimal number such as 0.005, at most 9 decimals and at most 1000";
/// The highest price of a request or a picture, in pico-dollars: a thousand dollars.
const MAX_PIECE_PICOUSD: i128 = 1_000_000_000_000_000;

const FIELDS: &[&str] = &[
    "input",
    "cached_input",
    "cache_write",
    "output",
    "image_output",
    "per_request",
    "per_image",
    "context_tokens",
    "output_tokens",
];
/// The key beside the models that says what costs are multiplied with.
const MARKUP: &str = "markup";
/// Instead of prices: the line of the built-in table that holds.
const LIKE: &str = "like";
/// Beside `like`: the tier of that line that holds for every request.
const TIER: &str = "tier";

pub(super) fn read(field: &Field<'_>, names: &Names, policy: &mut Policy, problems: &mut Problems) {
    for entry in field.entries("a mapping of `provider/model` to prices", problems).unwrap_or_default() {
        if entry.name == MARKUP {
            read_markups(&entry.field, names, policy, problems);
            continue;
        }
        let known = names.check_qualified(&entry, problems);
        let fields: Vec<&str> = FIELDS.iter().copied().chain([LIKE, TIER]).collect();
        let Some(fields) = entry.field.fields(&fields, "a mapping with at least input and output", problems)
        else {
            continue;
        };
        if let Some(field) = fields.get(LIKE) {
            let like = read_like(field, &fields, problems);
            let tier = fields.get(TIER).map(|field| read_tier(field, like.as_deref(), problems));
            if let Some(like) = like.filter(|_| known) {
                policy.priced_like.insert(entry.name.to_owned(), like);
                policy.priced_at.extend(tier.flatten().map(|tier| (entry.name.to_owned(), tier)));
            }
            continue;
        }
        if let Some(field) = fields.get(TIER) {
            let message = "`tier` stands beside `like` only: it names a tier of that line".to_owned();
            field.refuse("no tier without `like`", message, problems);
        }
        let input = required(&fields, "input", problems);
        let output = required(&fields, "output", problems);
        let optional =
            |name, problems: &mut Problems| fields.get(name).map(|field| read_price(field, problems));
        let (cache_read, cache_write) =
            (optional("cached_input", problems), optional("cache_write", problems));
        let output_image = optional("image_output", problems);
        let piece = |name, problems: &mut Problems| {
            fields
                .get(name)
                .and_then(|field| read_decimal(field, PIECE, (9, 1_000), MAX_PIECE_PICOUSD, problems))
        };
        let (request, image) = (piece("per_request", problems), piece("per_image", problems));
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
                output_image: output_image.flatten(),
                request,
                image,
                context_tokens: context_tokens.flatten(),
                output_tokens: output_tokens.flatten(),
            };
            policy.prices.insert(entry.name.to_owned(), price);
        }
    }
}

/// The line a model is priced by. It says everything, so nothing stands beside it.
fn read_like(field: &Field<'_>, fields: &Fields<'_>, problems: &mut Problems) -> Option<String> {
    const EXPECTED: &str = "a kind and a model of the built-in price table, such as azure/eu/gpt-5.4";
    let text = field.text(EXPECTED, problems)?;
    for name in FIELDS {
        if let Some(other) = fields.get(name) {
            let message = format!("`{name}` and `like` exclude one another: the table's line says it");
            other.refuse("no price beside `like`", message, problems);
        }
    }
    if !price::is_listed(text) {
        field.mismatch(EXPECTED, problems);
        return None;
    }
    Some(text.to_owned())
}

/// A tier that the line has prices for.
fn read_tier(field: &Field<'_>, like: Option<&str>, problems: &mut Problems) -> Option<String> {
    let tiers = like.map(price::tiers_of).unwrap_or_default();
    let expected = match (like, tiers.as_slice()) {
        (Some(like), []) => format!("no tier: {like} has none of its own in the table"),
        (None, _) => "a tier of the line that `like` names".to_owned(),
        (_, tiers) => format!("one of the tiers of that line: {}", tiers.join(", ")),
    };
    let text = field.text(&expected, problems)?;
    if like.is_some() && !tiers.contains(&text) {
        field.mismatch(&expected, problems);
        return None;
    }
    Some(text.to_owned())
}

/// One factor for all, or one for each provider and `*` for the others.
fn read_markups(field: &Field<'_>, names: &Names, policy: &mut Policy, problems: &mut Problems) {
    const EXPECTED: &str = "a factor such as 1.2, or a mapping of providers (or \"*\") to factors";
    if !field.is_mapping() {
        if let Some(factor) = read_factor(field, EXPECTED, problems) {
            policy.markups.insert(price::ALL_PROVIDERS.to_owned(), factor);
        }
        return;
    }
    for entry in field.entries(EXPECTED, problems).unwrap_or_default() {
        if entry.name != price::ALL_PROVIDERS && !names.has_provider(entry.name) {
            let message =
                format!("{} is no provider: expected a configured provider, or \"*\"", ticked(entry.name));
            entry.refuse_name("a configured provider, or \"*\"", message, problems);
        } else if let Some(factor) = read_factor(&entry.field, FACTOR, problems) {
            policy.markups.insert(entry.name.to_owned(), factor);
        }
    }
}

const FACTOR: &str = "a factor such as 1.2 or 0.85, at most 6 decimals and at most 1000";
/// In millionths. Anything above is a slip of units: 20 per cent is 1.2, not 20.
const MAX_FACTOR: i128 = 1_000_000_000;

fn read_factor(field: &Field<'_>, expected: &str, problems: &mut Problems) -> Option<u64> {
    const SCALE: i32 = 6;
    let text = field.any_text(expected, problems)?;
    let factor = parse_decimal(text, SCALE)
        .filter(|factor| (0..=MAX_FACTOR).contains(factor))
        .and_then(|factor| u64::try_from(factor).ok());
    if factor.is_none() {
        field.mismatch(FACTOR, problems);
    }
    factor
}

fn required(fields: &Fields<'_>, name: &str, problems: &mut Problems) -> Option<PicoUsd> {
    let field = fields.need(name, &format!("{PRICE} (0 if it is free)"), problems)?;
    read_price(field, problems)
}

/// A dollar per million tokens is a million pico-dollars per token.
fn read_price(field: &Field<'_>, problems: &mut Problems) -> Option<PicoUsd> {
    read_decimal(field, PRICE, (6, 1), MAX_PICOUSD, problems)
}

/// A decimal number of so many places at most, times what makes it pico-dollars.
fn read_decimal(
    field: &Field<'_>,
    expected: &str,
    (places, factor): (i32, i128),
    most: i128,
    problems: &mut Problems,
) -> Option<PicoUsd> {
    let text = field.any_text(expected, problems)?;
    let price = parse_decimal(text, places)
        .and_then(|price| price.checked_mul(factor))
        .filter(|price| (0..=most).contains(price))
        .and_then(|price| u64::try_from(price).ok())
        .map(PicoUsd);
    if price.is_none() {
        field.mismatch(expected, problems);
    }
    price
}
