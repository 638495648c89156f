//! The most tokens an image can cost, by the providers' published rules.
//!
//! OpenAI: <https://developers.openai.com/api/docs/guides/images-vision>, "Model sizing behavior" and "Calculating costs".
//! Anthropic: <https://platform.claude.com/docs/en/build-with-claude/vision>. Both read 2026-11-21 from stored copies.
//!
//! Only the kinds `openai` and `anthropic` have rules here. A model that none of them names can read as much as its
//! context.

use super::Reader;
use crate::dialect::openai_chat::request::Images;

/// The most tokens of one image, by the detail asked for; `None` where no rule is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    low: Option<u64>,
    high: Option<u64>,
    full: Option<u64>,
}

impl Rule {
    const fn flat(tokens: u64) -> Self {
        Self { low: Some(tokens), high: Some(tokens), full: Some(tokens) }
    }
}

/// The bound of all images together; `None` if one of them has no rule.
pub(super) fn tokens(images: &Images, reader: Reader<'_>) -> Option<u64> {
    if images.count() == 0 {
        return Some(0);
    }
    let rule = match reader.kind {
        "openai" => openai(reader.model)?,
        "anthropic" | "vertex-anthropic" => anthropic(reader.model)?,
        _ => return None,
    };
    let of = |count: u64, tokens: Option<u64>| {
        if count == 0 { Some(0) } else { tokens.map(|tokens| tokens.saturating_mul(count)) }
    };
    let low = of(images.low, rule.low)?;
    let high = of(images.high, rule.high)?;
    let full = of(images.full, rule.full)?;
    Some(low.saturating_add(high).saturating_add(full))
}

/// An image is fitted into 2048 × 2048 pixels and its short side into 768, so it has at most 4 × 2 tiles of 512.
const fn tiles(base: u64, tile: u64) -> Rule {
    let most = base + 8 * tile;
    Rule { low: Some(base), high: Some(most), full: Some(most) }
}

/// Patches of 32 × 32 pixels × the largest multiplier any model has (2.46, gpt-4.1-nano and gpt-5-nano): the published
/// multipliers have not always been those that were charged.
const fn patches(count: u64) -> u64 {
    (count * 246).div_ceil(100)
}

/// The same with 1.2, published for gpt-5.6 and gpt-6.
const fn new_patches(count: u64) -> u64 {
    (count * 12).div_ceil(10)
}

fn openai(model: &str) -> Option<Rule> {
    let model = undated(model);
    Some(match model {
        "gpt-4o-mini" => tiles(2_833, 5_667),
        "gpt-4o" | "gpt-4.1" | "chatgpt-4o-latest" => tiles(85, 170),
        "gpt-5" | "gpt-5-chat-latest" => tiles(70, 140),
        "o1" | "o1-pro" | "o3" => tiles(75, 150),
        // At most 1,536 patches. That these follow `low` is not what users see, so it is not counted upon.
        "gpt-4.1-mini"
        | "gpt-4.1-nano"
        | "gpt-5-mini"
        | "gpt-5-nano"
        | "gpt-5.2"
        | "gpt-5.2-chat-latest"
        | "gpt-5.2-codex"
        | "gpt-5.3-codex"
        | "gpt-5-codex-mini"
        | "gpt-5.1-codex-mini"
        | "o4-mini" => Rule::flat(patches(1_536)),
        // `low` is 512 × 512 pixels, `high` at most 2,500 patches, `original` 10,000; `auto` may be `original`.
        "gpt-5.4" | "gpt-5.5" => {
            Rule { low: Some(patches(256)), high: Some(patches(2_500)), full: Some(patches(10_000)) }
        }
        // `original` and `auto` are not resized; more than 30,000 patches are refused.
        "gpt-5.6" | "gpt-5.6-sol" | "gpt-5.6-terra" | "gpt-5.6-luna" | "gpt-6-astra" => Rule {
            low: Some(new_patches(256)),
            high: Some(new_patches(2_500)),
            full: Some(new_patches(30_000)),
        },
        // Not gpt-5.4-mini and -nano: images were seen charged as the text of their base64
        // (<https://community.openai.com/t/gpt-5-4-mini-66k-prompt-tokens-for-a-1920x1080-png/1380539>).
        _ => return None,
    })
}

/// Patches of 28 × 28 pixels, one token each: at most 1,568 on models before Claude 4.7 and 4,784 from it on.
fn anthropic(model: &str) -> Option<Rule> {
    let model = undated(model);
    let standard =
        ["claude-haiku-4-5", "claude-opus-4-5", "claude-opus-4-6", "claude-sonnet-4-5", "claude-sonnet-4-6"];
    let high = [
        "claude-opus-4-7",
        "claude-opus-4-8",
        "claude-opus-5",
        "claude-opus-5-5",
        "claude-sonnet-5",
        "claude-sonnet-5-5",
        "claude-haiku-5-5",
        "claude-fable-5",
        "claude-fable-5-1",
    ];
    if standard.contains(&model) {
        Some(Rule::flat(1_568))
    } else if high.contains(&model) {
        Some(Rule::flat(4_784))
    } else {
        None
    }
}

/// A dated snapshot follows the rule of its model. (Vertex AI dates as in `claude-sonnet-4-5@20250929`.)
fn undated(model: &str) -> &str {
    let model = model.split('@').next().unwrap_or(model);
    crate::settle::price::base_of_snapshot(model).unwrap_or(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, model: &str, images: Images) -> Option<u64> {
        tokens(&images, Reader { kind, model, price: None })
    }

    const LOW: Images = Images { low: 1, high: 0, full: 0 };
    const HIGH: Images = Images { low: 0, high: 1, full: 0 };
    const FULL: Images = Images { low: 0, high: 0, full: 1 };

    /// OpenAI's tile rule, as its page words it.
    fn by_tiles(width: f64, height: f64, base: u64, tile: u64) -> u64 {
        let fit = (2048.0 / width.max(height)).min(1.0);
        let (width, height) = (width * fit, height * fit);
        let fit = (768.0 / width.min(height)).min(1.0);
        let count = |side: f64| (side * fit / 512.0 - 1e-9).ceil().max(1.0) as u64;
        base + tile * count(width) * count(height)
    }

    /// The patch rule without the refinement that only makes it smaller.
    fn by_patches(width: f64, height: f64, budget: f64, multiplier: f64) -> u64 {
        let patches = ((width / 32.0).ceil() * (height / 32.0).ceil()).min(budget);
        (patches * multiplier).ceil() as u64
    }

    #[test]
    fn no_size_costs_more_than_the_bound() {
        let sides = (1..=64).map(|step| f64::from(step) * 130.0);
        for (width, height) in sides.clone().flat_map(|a| sides.clone().map(move |b| (a, b))) {
            let bound = |model| of("openai", model, HIGH).unwrap();
            assert!(by_tiles(width, height, 85, 170) <= bound("gpt-4o"));
            assert!(by_tiles(width, height, 2833, 5667) <= bound("gpt-4o-mini-2024-07-18"));
            assert!(by_patches(width, height, 1536.0, 2.46) <= bound("gpt-5-nano"));
            assert!(by_patches(width, height, 2500.0, 1.2) <= bound("gpt-6-astra"));
            let claude = ((width / 28.0).ceil() * (height / 28.0).ceil()).min(4784.0) as u64;
            assert!(claude <= of("anthropic", "claude-opus-5-5", FULL).unwrap());
        }
    }

    #[test]
    fn bounds_hold_for_what_users_measured() {
        // https://community.openai.com/t/1281361, /t/1262691, and the data set JOHNISKING/image-token-cost (read 2026-11-21).
        for (model, images, measured) in [
            ("gpt-4.1", HIGH, 1_445),
            ("gpt-4.1-mini", FULL, 2_488),
            ("gpt-5-nano", FULL, 2_304),
            ("gpt-4o-mini", LOW, 2_845 - 12),
            ("o3", LOW, 75),
            ("gpt-5.5", FULL, 11_868),
            ("gpt-6-astra", FULL, 14_364),
            ("gpt-6-astra", HIGH, 2_942),
        ] {
            assert!(of("openai", model, images).unwrap() >= measured, "{model}");
        }
        assert!(of("anthropic", "claude-haiku-4-5", HIGH).unwrap() >= 1_560);
        assert!(of("anthropic", "claude-sonnet-5-5", HIGH).unwrap() >= 4_740);
    }

    #[test]
    fn what_no_rule_names_is_not_guessed() {
        for (kind, model) in [
            ("openai", "gpt-5.4-mini"),
            ("openai", "gpt-7"),
            ("openai", "ft:gpt-4o:me"),
            ("anthropic", "claude-opus-9"),
            ("openai-compatible", "gpt-4o"),
            ("mock", "gpt-4o"),
        ] {
            assert_eq!(of(kind, model, LOW), None, "{kind}/{model}");
            assert_eq!(of(kind, model, Images::default()), Some(0));
        }
    }
}
