//! What tokens cost: the versioned price table, the cost of a usage, and the bound a hold is made of.
//!
//! The table is a generated `static`: nothing is parsed when an isolate starts and nothing can fail to parse.
//! docs/prices.md says where the numbers come from and how to refresh them.
//!
//! Three rules hold everywhere here. A sum is made in pico-dollars and rounded up to a nano-dollar once. A class
//! a provider does not price apart costs what its parent class costs, and a gap in the source is filled with the
//! dearest candidate, so an unknown never makes a charge too small. And [`Price::upper_bound`] is at least
//! [`Price::cost`] for every usage within its token bounds, so a hold made from it always covers its settlement.

mod table;
#[cfg(test)]
mod tests;

use crate::config::policy::PriceOverride;
use crate::model::money::{NanoUsd, PicoUsd, nano_from_pico};
use crate::model::usage::Usage;
use std::collections::BTreeMap;

/// The version of the built-in table: the day its prices were read, as `YYYY-MM-DD`.
pub const PRICE_TABLE_VERSION: &str = table::VERSION;

/// The embedded mock, whose models cost what their namesakes cost.
const MOCK_KIND: &str = "mock";

/// A mock model without a namesake: $1 per million in, $2 per million out, 128,000 tokens of context.
const MOCK_MODEL: Model = Model {
    provider: MOCK_KIND,
    name: "",
    context_tokens: 128_000,
    output_tokens: 16_384,
    web_search: 0,
    standard: Scale {
        base: rates([1_000_000, 1_000_000, 1_000_000, 1_000_000, 1_000_000, 2_000_000, 2_000_000, 2_000_000]),
        above: &[],
    },
    tiers: &[],
};

/// One row of the table.
#[derive(Debug)]
struct Model {
    provider: &'static str,
    name: &'static str,
    /// The most input tokens of a request.
    context_tokens: u64,
    /// The most output tokens of an answer; 0 for embeddings.
    output_tokens: u64,
    /// Pico-dollars per web search; 0 if not known.
    web_search: u64,
    standard: Scale,
    /// Service tiers with prices of their own, by name.
    tiers: &'static [(&'static str, Scale)],
}

/// The rates of one service tier, by the size of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scale {
    base: Rates,
    /// Ascending: a request with more input tokens than the threshold is at these rates, all of it.
    above: &'static [(u64, Rates)],
}

/// The price of one token of each class. Every cell is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rates {
    input: PicoUsd,
    cache_read: PicoUsd,
    cache_write_5m: PicoUsd,
    cache_write_1h: PicoUsd,
    input_audio: PicoUsd,
    output: PicoUsd,
    reasoning: PicoUsd,
    output_audio: PicoUsd,
}

/// A row of the table: pico-dollars per token, in the order of [`Rates`].
const fn rates(cells: [u64; 8]) -> Rates {
    let [input, cache_read, cache_write_5m, cache_write_1h, input_audio, output, reasoning, output_audio] =
        cells;
    Rates {
        input: PicoUsd(input),
        cache_read: PicoUsd(cache_read),
        cache_write_5m: PicoUsd(cache_write_5m),
        cache_write_1h: PicoUsd(cache_write_1h),
        input_audio: PicoUsd(input_audio),
        output: PicoUsd(output),
        reasoning: PicoUsd(reasoning),
        output_audio: PicoUsd(output_audio),
    }
}

impl Rates {
    /// In pico-dollars.
    fn cost(&self, usage: &Usage) -> u128 {
        [
            self.input.times(usage.input),
            self.cache_read.times(usage.cache_read),
            self.cache_write_5m.times(usage.cache_write_5m),
            self.cache_write_1h.times(usage.cache_write_1h),
            self.input_audio.times(usage.input_audio),
            self.output.times(usage.output),
            self.reasoning.times(usage.reasoning),
            self.output_audio.times(usage.output_audio),
        ]
        .into_iter()
        .fold(0, u128::saturating_add)
    }

    /// Of input that is no audio.
    fn dearest_text(&self, hour_cache: bool) -> PicoUsd {
        let hour = if hour_cache { self.cache_write_1h } else { PicoUsd(0) };
        self.input.max(self.cache_read).max(self.cache_write_5m).max(hour)
    }

    fn dearest_output(&self) -> PicoUsd {
        self.output.max(self.reasoning).max(self.output_audio)
    }
}

impl Scale {
    /// The rates of a request with that many input tokens.
    fn at(&self, input_tokens: u64) -> &Rates {
        self.reachable(input_tokens).last().unwrap_or(&self.base)
    }

    /// The rates of all requests with at most that many input tokens.
    fn reachable(&self, input_tokens_max: u64) -> impl Iterator<Item = &Rates> {
        let above = self.above.iter().take_while(move |(threshold, _)| *threshold < input_tokens_max);
        std::iter::once(&self.base).chain(above.map(|(_, rates)| rates))
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
}

/// The dearest rates a request can meet.
#[derive(Clone, Copy, Default)]
struct Dearest {
    text: PicoUsd,
    audio: PicoUsd,
    output: PicoUsd,
}

impl Dearest {
    /// In pico-dollars.
    fn input(&self, extent: &Extent) -> u128 {
        let audio = extent.input_audio.min(extent.input);
        self.text.times(extent.input - audio).saturating_add(self.audio.times(audio))
    }
}

/// What a model costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    standard: Scale,
    tiers: &'static [(&'static str, Scale)],
    /// The most input tokens a request can hold, if known.
    pub context_tokens: Option<u64>,
    /// The most output tokens an answer can hold, if known; 0 for embeddings.
    pub output_tokens: Option<u64>,
    /// The price of one web search the provider makes for a request, if known. Not in [`Price::cost`] and not in
    /// [`Price::upper_bound`], which know tokens only.
    pub web_search: Option<PicoUsd>,
    /// [`PRICE_TABLE_VERSION`], or `None` if the price is the operator's.
    pub version: Option<&'static str>,
}

impl Price {
    /// What a usage costs, rounded up to a nano-dollar.
    ///
    /// `service_tier` is the tier the provider says it served. A tier without prices of its own (`default`,
    /// `auto`, `standard`, an unknown one, none) is at the standard price.
    #[must_use]
    pub fn cost(&self, usage: &Usage, service_tier: Option<&str>) -> NanoUsd {
        let scale = self.tier(service_tier).unwrap_or(&self.standard);
        nano_from_pico(scale.at(usage.input_total()).cost(usage))
    }

    /// The most that a request can cost that uses at most `extent`, rounded up to a nano-dollar. (Of token counts whose
    /// sum does not fit in 64 bits it promises nothing.)
    ///
    /// `service_tier` is the tier that was asked for. A provider may serve the standard tier instead, so the
    /// bound of a cheaper tier is never below that of the standard one.
    #[must_use]
    pub fn upper_bound(&self, extent: &Extent, service_tier: Option<&str>) -> NanoUsd {
        let dearest = self.dearest(extent, service_tier);
        nano_from_pico(dearest.input(extent).saturating_add(dearest.output.times(extent.output)))
    }

    /// The largest output whose [`Price::upper_bound`] is at most `remaining`, beside the input of `extent`; `u64::MAX` if
    /// any is.
    ///
    /// 0 also if not even the input fits: `upper_bound` without output tells the two apart.
    #[must_use]
    pub fn affordable_output(&self, remaining: NanoUsd, extent: &Extent, service_tier: Option<&str>) -> u64 {
        if remaining == NanoUsd::MAX {
            return u64::MAX;
        }
        let dearest = self.dearest(extent, service_tier);
        let Ok(remaining) = u128::try_from(remaining.0) else { return 0 };
        let Some(left) = (remaining * 1000).checked_sub(dearest.input(extent)) else { return 0 };
        left.checked_div(u128::from(dearest.output.0))
            .and_then(|cap| u64::try_from(cap).ok())
            .unwrap_or(u64::MAX)
    }

    /// Whether a request that names this tier may be charged more than this price says: the operator's price knows no
    /// tiers, and a provider's may cost six times the standard one. Cheaper tiers and names for the standard one are
    /// covered.
    #[must_use]
    pub fn covers_tier(&self, service_tier: Option<&str>) -> bool {
        const NOT_DEARER: &[&str] = &["default", "standard", "standard_only", "flex", "batch", "on_demand"];
        self.version.is_some() || service_tier.is_none_or(|tier| NOT_DEARER.contains(&tier))
    }

    /// The dearest rates that a request of at most that size can meet.
    fn dearest(&self, extent: &Extent, service_tier: Option<&str>) -> Dearest {
        std::iter::once(&self.standard)
            .chain(self.tier(service_tier))
            .flat_map(|scale| scale.reachable(extent.input))
            .fold(Dearest::default(), |most, rates| {
                let text = rates.dearest_text(extent.hour_cache);
                Dearest {
                    text: most.text.max(text),
                    // Sound may be counted as text.
                    audio: most.audio.max(rates.input_audio).max(text),
                    output: most.output.max(rates.dearest_output()),
                }
            })
    }

    /// Whether a service tier has prices of its own.
    #[must_use]
    pub const fn is_tiered(&self) -> bool {
        !self.tiers.is_empty()
    }

    fn tier(&self, name: Option<&str>) -> Option<&Scale> {
        let name = name?;
        self.tiers.iter().find(|(tier, _)| tier.eq_ignore_ascii_case(name)).map(|(_, scale)| scale)
    }

    fn built_in(model: &'static Model) -> Self {
        Self {
            standard: model.standard,
            tiers: model.tiers,
            context_tokens: Some(model.context_tokens),
            output_tokens: Some(model.output_tokens),
            web_search: (model.web_search > 0).then_some(PicoUsd(model.web_search)),
            version: Some(PRICE_TABLE_VERSION),
        }
    }

    /// The operator's price for every size and tier; limits the operator left out are those of the table.
    fn overridden(price: &PriceOverride, built_in: Option<Self>) -> Self {
        let cache_write = price.cache_write.unwrap_or(price.input);
        Self {
            standard: Scale {
                base: Rates {
                    input: price.input,
                    cache_read: price.cache_read.unwrap_or(price.input),
                    cache_write_5m: cache_write,
                    cache_write_1h: cache_write,
                    input_audio: price.input,
                    output: price.output,
                    reasoning: price.output,
                    output_audio: price.output,
                },
                above: &[],
            },
            tiers: &[],
            context_tokens: price.context_tokens.or(built_in.and_then(|known| known.context_tokens)),
            output_tokens: price.output_tokens.or(built_in.and_then(|known| known.output_tokens)),
            web_search: built_in.and_then(|known| known.web_search),
            version: None,
        }
    }
}

/// The price of a provider's model: the operator's for exactly `provider/model`, else the built-in one for the
/// provider's kind. `None` is a model that must not be called, since nothing bounds what it costs.
///
/// A dated snapshot without a row of its own costs what the model it is a snapshot of costs.
#[must_use]
pub fn price_of(
    overrides: &BTreeMap<String, PriceOverride>,
    provider: &str,
    kind: &str,
    model: &str,
) -> Option<Price> {
    let built_in = built_in(kind, model).map(Price::built_in);
    let own = (!overrides.is_empty()).then(|| overrides.get(&format!("{provider}/{model}"))).flatten();
    match own {
        Some(price) => Some(Price::overridden(price, built_in)),
        None => built_in,
    }
}

fn built_in(kind: &str, model: &str) -> Option<&'static Model> {
    let base = base_of_snapshot(model);
    if kind == MOCK_KIND {
        return namesake(model).or_else(|| base.and_then(namesake)).or(Some(&MOCK_MODEL));
    }
    row(kind, model).or_else(|| base.and_then(|base| row(kind, base)))
}

fn row(provider: &str, name: &str) -> Option<&'static Model> {
    let at =
        table::MODELS.binary_search_by(|model| (model.provider, model.name).cmp(&(provider, name))).ok()?;
    table::MODELS.get(at)
}

/// The first row of that name, whoever the provider.
fn namesake(name: &str) -> Option<&'static Model> {
    table::MODELS.iter().find(|model| model.name == name)
}

/// `gpt-4o-mini` for `gpt-4o-mini-2024-07-18`, `claude-opus-4-5` for `claude-opus-4-5-20251101`.
pub(crate) fn base_of_snapshot(model: &str) -> Option<&str> {
    ["dddd-dd-dd", "dddddddd"].into_iter().find_map(|shape| {
        let (rest, suffix) = model.split_at_checked(model.len().checked_sub(shape.len())?)?;
        let dated = suffix.bytes().zip(shape.bytes()).all(|(byte, wanted)| match wanted {
            b'd' => byte.is_ascii_digit(),
            other => byte == other,
        });
        rest.strip_suffix('-').filter(|base| dated && !base.is_empty())
    })
}
