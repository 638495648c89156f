//! What tokens cost: the versioned price table, the cost of a usage, and the bound a hold is made of.
//!
//! The table is generated text (`table.txt`): nothing is parsed when an isolate starts, and what a request needs is read
//! from its model's line. docs/prices.md says where the numbers come from and how to refresh them.
//!
//! Three rules hold everywhere here. A sum is made in pico-dollars and rounded up to a nano-dollar once. A class
//! a provider does not price apart costs what its parent class costs, and a gap in the source is filled with the
//! dearest candidate, so an unknown never makes a charge too small. And [`Price::upper_bound`] is at least
//! [`Price::cost`] for every usage within its token bounds, so a hold made from it always covers its settlement.

mod rates;
mod sheet;
mod table;
#[cfg(test)]
mod tests;

use crate::config::policy::{Policy, PriceOverride};
use crate::model::money::{NanoUsd, PicoUsd, nano_from_pico};
use crate::model::usage::Usage;
use crate::provider::{self, PROVIDERS};
use rates::{Dearest, Rates, rates};
pub use rates::{Extent, Pieces};
use sheet::{Levels, Sheet};
use std::collections::BTreeMap;

/// The version of the built-in table: the day its prices were read, as `YYYY-MM-DD`.
pub const PRICE_TABLE_VERSION: &str = table::VERSION;

/// The embedded mock, whose models cost what their namesakes cost.
const MOCK_KIND: &str = "mock";

/// A mock model without a namesake: $1 per million in, $2 per million out, 128,000 tokens of context.
const MOCK_MODEL: Price = Price {
    rating: Rating::Own(rates([
        1_000_000, 1_000_000, 1_000_000, 1_000_000, 1_000_000, 2_000_000, 2_000_000, 2_000_000, 2_000_000,
    ])),
    context_tokens: Some(128_000),
    output_tokens: Some(16_384),
    ends_itself: true,
    web_search: None,
    search_unit: None,
    request: None,
    image: None,
    batched: false,
    pinned: None,
    factor: Factor::ONE,
    version: Some(PRICE_TABLE_VERSION),
};

/// The tier of batches in the table.
const BATCH: &str = "batch";
/// Kinds that have others' lines, and no batch interface.
const HOSTS_WITHOUT_BATCHES: &[&str] = &["openrouter"];

/// Kinds that make their models, and whose limits on answers the source knows. A host may serve a model with other limits
/// than the table's.
const MAKERS: &[&str] =
    &["openai", "anthropic", "gemini", "mistral", "deepseek", "groq", "xai", "cohere", "vertex", MOCK_KIND];

/// Where rates are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rating {
    /// A line of the table.
    Table(Sheet),
    /// The same for every size and tier.
    Own(Rates),
}

/// What prices are multiplied with, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Factor(u64);

impl Factor {
    const SCALE: u64 = 1_000_000;
    const ONE: Self = Self(Self::SCALE);

    /// An amount times this, rounded up.
    fn of(self, amount: u128) -> u128 {
        if self == Self::ONE {
            return amount;
        }
        amount.saturating_mul(u128::from(self.0)).div_ceil(u128::from(Self::SCALE))
    }

    /// The largest amount that is at most `most` times this; `None` if any is.
    fn within(self, most: u128) -> Option<u128> {
        if self == Self::ONE {
            return Some(most);
        }
        most.saturating_mul(u128::from(Self::SCALE)).checked_div(u128::from(self.0))
    }
}

/// As decimals: `1.2`.
impl std::fmt::Display for Factor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{}.{:06}", self.0 / Self::SCALE, self.0 % Self::SCALE);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Prices as they are shown and charged: per token, per request, per picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headline {
    /// Of a token of input.
    pub input: PicoUsd,
    /// Of a token of output.
    pub output: PicoUsd,
    /// Of a token of a picture in the output, if that is another.
    pub output_image: Option<PicoUsd>,
    /// Of a request.
    pub request: Option<PicoUsd>,
    /// Of a picture in the input.
    pub image: Option<PicoUsd>,
    /// Of input and output in the provider's batches.
    pub batch: Option<(PicoUsd, PicoUsd)>,
}

/// What a model costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    rating: Rating,
    /// The most input tokens a request can hold, if known.
    pub context_tokens: Option<u64>,
    /// The most output tokens an answer can hold, if known; 0 for embeddings and rankings.
    pub output_tokens: Option<u64>,
    /// Whether an answer ends there of itself. If not, a cap must say it: the figure is the operator's, or a host's that
    /// may serve the model with another limit.
    pub ends_itself: bool,
    /// The price of one web search the provider makes for a request, if known. Not in [`Price::cost`] and not in
    /// [`Price::upper_bound`], which know tokens only.
    pub web_search: Option<PicoUsd>,
    /// The price of a search unit of a ranking, if it is billed by them: [`Price::cost_of_search_units`].
    pub search_unit: Option<PicoUsd>,
    /// The fee for each request, if there is one.
    pub request: Option<PicoUsd>,
    /// The price of each picture in the input, if it is billed beside its tokens.
    pub image: Option<PicoUsd>,
    /// Whether the provider has a batch interface of its own: only then does the line's batch price mean anything.
    batched: bool,
    /// The tier of the line whose prices hold for every request: the operator's word.
    pinned: Option<&'static str>,
    factor: Factor,
    /// [`PRICE_TABLE_VERSION`], or `None` if the price is the operator's.
    pub version: Option<&'static str>,
}

impl Price {
    /// What a usage costs, rounded up to a nano-dollar, without what is billed beside tokens.
    ///
    /// As [`Price::cost_of`].
    #[must_use]
    pub fn cost(&self, usage: &Usage, service_tier: Option<&str>) -> NanoUsd {
        self.cost_of(usage, Pieces::default(), service_tier)
    }

    /// What a usage and what is billed beside it cost, rounded up to a nano-dollar.
    ///
    /// `service_tier` is the tier the provider says it served. A tier without prices of its own (`default`,
    /// `auto`, `standard`, an unknown one, none) is at the standard price.
    #[must_use]
    pub fn cost_of(&self, usage: &Usage, pieces: Pieces, service_tier: Option<&str>) -> NanoUsd {
        let levels = self.tier(service_tier).unwrap_or_else(|| self.standard());
        let rates = reachable(levels, usage.input_total()).last();
        let tokens = rates.map_or(u128::MAX, |rates| rates.cost(usage));
        self.amount(tokens.saturating_add(self.of_pieces(pieces)))
    }

    /// In pico-dollars.
    fn of_pieces(&self, pieces: Pieces) -> u128 {
        let of = |price: Option<PicoUsd>, count| price.map_or(0, |price| price.times(count));
        of(self.request, pieces.requests).saturating_add(of(self.image, pieces.images))
    }

    /// What so many search units of a ranking cost, rounded up to a nano-dollar; nothing if it is not billed by them.
    #[must_use]
    pub fn cost_of_search_units(&self, units: u64) -> NanoUsd {
        self.amount(self.search_unit.map_or(0, |price| price.times(units)))
    }

    /// What is charged for a request of which the provider says that it cost `reported`.
    #[must_use]
    pub fn charge(&self, reported: NanoUsd) -> NanoUsd {
        u128::try_from(reported.0).map_or(NanoUsd::ZERO, |nano| self.amount(nano.saturating_mul(1_000)))
    }

    /// Pico-dollars as they are charged.
    fn amount(&self, pico: u128) -> NanoUsd {
        nano_from_pico(self.factor.of(pico))
    }

    /// The most that a request can cost that uses at most `extent`, rounded up to a nano-dollar. (Of token counts whose
    /// sum does not fit in 64 bits it promises nothing.)
    ///
    /// `service_tier` is the tier that was asked for. A provider may serve the standard tier instead, so the
    /// bound of a cheaper tier is never below that of the standard one.
    #[must_use]
    pub fn upper_bound(&self, extent: &Extent, service_tier: Option<&str>) -> NanoUsd {
        let dearest = self.dearest(extent, service_tier);
        let tokens = dearest.input(extent).saturating_add(dearest.output.times(extent.output));
        self.amount(tokens.saturating_add(self.of_pieces(extent.pieces)))
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
        let Some(payable) = self.factor.within(remaining * 1000) else { return u64::MAX };
        let beside = dearest.input(extent).saturating_add(self.of_pieces(extent.pieces));
        let Some(left) = payable.checked_sub(beside) else { return 0 };
        left.checked_div(u128::from(dearest.output.0))
            .and_then(|cap| u64::try_from(cap).ok())
            .unwrap_or(u64::MAX)
    }

    /// Whether a request that names this tier is charged no more than this price says: the operator's price knows no
    /// tiers, a pinned one is for all, and a provider's may cost six times the standard one. Cheaper tiers and names for the
    /// standard one are covered.
    #[must_use]
    pub fn covers_tier(&self, service_tier: Option<&str>) -> bool {
        const NOT_DEARER: &[&str] = &["default", "standard", "standard_only", "flex", "batch", "on_demand"];
        self.version.is_some() && self.pinned.is_none()
            || service_tier.is_none_or(|tier| NOT_DEARER.contains(&tier))
    }

    /// The dearest rates that a request of at most that size can meet.
    fn dearest(&self, extent: &Extent, service_tier: Option<&str>) -> Dearest {
        std::iter::once(self.standard())
            .chain(self.tier(service_tier))
            .flat_map(|levels| reachable(levels, extent.input))
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

    /// The tiers of its line.
    fn tiers(&self) -> impl Iterator<Item = &'static str> + use<> {
        let sheet = match self.rating {
            Rating::Table(sheet) => Some(sheet),
            Rating::Own(_) => None,
        };
        let batched = self.batched;
        sheet.into_iter().flat_map(Sheet::tiers).filter(move |tier| batched || *tier != BATCH)
    }

    /// Whether a service tier that can be asked for has prices of its own.
    #[must_use]
    pub fn is_tiered(&self) -> bool {
        match self.rating {
            Rating::Table(sheet) if self.pinned.is_none() => sheet.tiers().any(|tier| tier != BATCH),
            _ => false,
        }
    }

    /// Whether it says what pictures in an answer cost: the operator's says it of all output.
    #[must_use]
    pub fn knows_pictures(&self) -> bool {
        self.version.is_none() || self.paints()
    }

    /// Whether output that is pictures has a price of its own.
    fn paints(&self) -> bool {
        reachable(self.standard(), 0).next().is_some_and(|rates| rates.output_image != rates.output)
    }

    /// What a request of ordinary size costs at the standard tier, as charged.
    #[must_use]
    pub fn headline(&self) -> Headline {
        let rates = reachable(self.standard(), 0).next().unwrap_or_else(|| rates([u64::MAX; 9]));
        let batch = match self.rating {
            Rating::Table(sheet) if self.batched && self.pinned.is_none() => sheet.levels(Some(BATCH)),
            _ => None,
        };
        let batch = batch.and_then(|levels| reachable(levels, 0).next());
        Headline {
            input: self.charged(rates.input),
            output: self.charged(rates.output),
            output_image: self.paints().then(|| self.charged(rates.output_image)),
            request: self.request.map(|price| self.charged(price)),
            image: self.image.map(|price| self.charged(price)),
            batch: batch.map(|rates| (self.charged(rates.input), self.charged(rates.output))),
        }
    }

    fn charged(&self, price: PicoUsd) -> PicoUsd {
        PicoUsd(u64::try_from(self.factor.of(u128::from(price.0))).unwrap_or(u64::MAX))
    }

    /// What a ledger row says its cost was made from: the table's version or `override@` and the configuration's, and the
    /// operator's tier and factor with the configuration's version if there is one (`2026-11-21:batch*1.2@7`).
    #[must_use]
    pub fn version_text(&self, policy_version: u64) -> String {
        let mut marked = self.pinned.map_or_else(String::new, |tier| format!(":{tier}"));
        if self.factor != Factor::ONE {
            marked.push_str(&format!("*{}", self.factor));
        }
        match self.version {
            Some(version) if marked.is_empty() => version.to_owned(),
            Some(version) => format!("{version}{marked}@{policy_version}"),
            None => format!("override{marked}@{policy_version}"),
        }
    }

    fn standard(&self) -> Levels {
        match self.rating {
            Rating::Table(sheet) => {
                sheet.levels(self.pinned).unwrap_or_else(|| Levels::flat(rates([u64::MAX; 9])))
            }
            Rating::Own(rates) => Levels::flat(rates),
        }
    }

    /// The prices of a tier that can be asked for. Batches are another interface: no live request is at their price,
    /// whatever it names.
    fn tier(&self, name: Option<&str>) -> Option<Levels> {
        match self.rating {
            Rating::Table(sheet) if self.pinned.is_none() => {
                sheet.levels(name.filter(|name| !name.eq_ignore_ascii_case(BATCH)).map(Some)?)
            }
            _ => None,
        }
    }

    fn built_in(kind: &str, sheet: Sheet) -> Self {
        let (context_tokens, output_tokens) = (sheet.context(), sheet.output());
        Self {
            rating: Rating::Table(sheet),
            context_tokens,
            output_tokens,
            ends_itself: ends_itself(kind, context_tokens, output_tokens),
            web_search: sheet.web_search(),
            search_unit: sheet.search_unit(),
            request: sheet.request(),
            image: sheet.image(),
            batched: !HOSTS_WITHOUT_BATCHES.contains(&kind),
            pinned: None,
            factor: Factor::ONE,
            version: Some(PRICE_TABLE_VERSION),
        }
    }

    /// The operator's price for every size and tier; limits the operator left out are those of the table.
    fn overridden(price: &PriceOverride, built_in: Option<Self>) -> Self {
        let cache_write = price.cache_write.unwrap_or(price.input);
        Self {
            rating: Rating::Own(Rates {
                input: price.input,
                cache_read: price.cache_read.unwrap_or(price.input),
                cache_write_5m: cache_write,
                cache_write_1h: cache_write,
                input_audio: price.input,
                output: price.output,
                reasoning: price.output,
                output_audio: price.output,
                output_image: price.output_image.unwrap_or(price.output),
            }),
            context_tokens: price.context_tokens.or(built_in.and_then(|known| known.context_tokens)),
            output_tokens: price.output_tokens.or(built_in.and_then(|known| known.output_tokens)),
            ends_itself: false,
            web_search: built_in.and_then(|known| known.web_search),
            search_unit: None,
            request: price.request,
            image: price.image,
            batched: false,
            pinned: None,
            factor: Factor::ONE,
            version: None,
        }
    }
}

/// The rates of all requests with at most that many input tokens, dearest size last.
fn reachable(levels: Levels, input_tokens_max: u64) -> impl Iterator<Item = Rates> {
    levels.take_while(move |(above, _)| *above == 0 || *above < input_tokens_max).map(|(_, rates)| rates)
}

/// The price of a provider's model under a policy: as [`price_of`], with the line that `like` names and the factor of
/// `markup`.
#[must_use]
pub fn price_in(policy: &Policy, provider: &str, kind: &str, model: &str) -> Option<Price> {
    let like = (!policy.priced_like.is_empty())
        .then(|| like(policy, &format!("{provider}/{model}"), kind))
        .flatten();
    let price = like.or_else(|| price_of(&policy.prices, provider, kind, model))?;
    let factor = policy.markups.get(provider).or_else(|| policy.markups.get(ALL_PROVIDERS));
    Some(Price { factor: factor.map_or(Factor::ONE, |millionths| Factor(*millionths)), ..price })
}

/// Whether an answer of a model that this kind serves ends at the table's figure: its maker ends it there, and one as long as
/// the context needs no cap, and one would be refused beside any input.
fn ends_itself(kind: &str, context_tokens: Option<u64>, output_tokens: Option<u64>) -> bool {
    MAKERS.contains(&kind) || output_tokens >= context_tokens
}

/// The line that the operator names for a model, at the tier that they name. A host ends a maker's model where it likes.
fn like(policy: &Policy, name: &str, served_by: &str) -> Option<Price> {
    let (kind, model) = policy.priced_like.get(name)?.split_once('/')?;
    let price = built_in(kind, model)?;
    let ends_itself = ends_itself(served_by, price.context_tokens, price.output_tokens);
    let price = Price { ends_itself, ..price };
    match policy.priced_at.get(name) {
        // A tier that this version's table does not have is no price.
        Some(tier) => Some(Price { pinned: Some(price.tiers().find(|known| known == tier)?), ..price }),
        None => Some(price),
    }
}

/// The name under which [`Policy::markups`] has the factor of all providers that have none of their own.
pub const ALL_PROVIDERS: &str = "*";

/// The tiers with prices of their own in the line for `kind/model`, batches among them.
#[must_use]
pub fn tiers_of(name: &str) -> Vec<&'static str> {
    let price = name.split_once('/').and_then(|(kind, model)| built_in(kind, model));
    price.map(|price| price.tiers().collect()).unwrap_or_default()
}

/// Whether the table has a line for `kind/model`.
#[must_use]
pub fn is_listed(name: &str) -> bool {
    name.split_once('/').is_some_and(|(kind, model)| kind != MOCK_KIND && built_in(kind, model).is_some())
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
    let built_in = built_in(kind, model);
    let own = (!overrides.is_empty()).then(|| overrides.get(&format!("{provider}/{model}"))).flatten();
    match own {
        Some(price) => Some(Price::overridden(price, built_in)),
        None => built_in,
    }
}

fn built_in(kind: &str, model: &str) -> Option<Price> {
    let base = base_of_snapshot(model);
    if kind == MOCK_KIND {
        return namesake(model).or_else(|| base.and_then(namesake)).or(Some(MOCK_MODEL));
    }
    let kind = provider::by_name(kind).and_then(|kind| kind.priced_as).unwrap_or(kind);
    // `like: bedrock/eu-west-1/model`, where that region costs what every region does.
    let anywhere = || model.split_once('/').filter(|_| kind == "bedrock").map(|(_, model)| model);
    let sheet = Sheet::find(kind, model)
        .or_else(|| base.and_then(|base| Sheet::find(kind, base)))
        .or_else(|| anywhere().and_then(|model| Sheet::find(kind, model)))?;
    Some(Price::built_in(kind, sheet))
}

/// The first line of that name, in the order of the registry.
fn namesake(name: &str) -> Option<Price> {
    PROVIDERS.iter().find_map(|kind| Some(Price::built_in(MOCK_KIND, Sheet::find(kind.name, name)?)))
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
