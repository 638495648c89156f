//! The table as text: a model's line is found by binary search and its prices are read where they are used.
//!
//! 1,497 models are 111 kB of text, a third of what statics of nine prices for each level would be, and nothing is
//! done with it when an isolate starts. A request reads a few levels of a few lines.

use super::{Rates, table};
use crate::model::money::PicoUsd;
use std::cmp::Ordering;

/// What the table says of a model: its line without the name. `table::TABLE` describes the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sheet {
    words: &'static str,
}

impl Sheet {
    /// The line of a kind's model.
    pub(super) fn find(kind: &str, model: &str) -> Option<Self> {
        // The keys are words of the file, and `=` begins no name.
        if model.contains(' ') || kind.contains(['/', ' ']) {
            return None;
        }
        let words = search(kind.bytes().chain([b'/']).chain(model.bytes()))?;
        let words = match words.strip_prefix('=') {
            Some(same) => search(same.bytes())?,
            None => words,
        };
        Some(Self { words })
    }

    #[cfg(test)]
    pub(super) const fn of(words: &'static str) -> Self {
        Self { words }
    }

    /// The most input tokens of a request.
    pub(super) fn context(&self) -> Option<u64> {
        self.sizes()?.0.parse().ok()
    }

    /// The most output tokens of an answer; 0 for embeddings and rankings.
    pub(super) fn output(&self) -> Option<u64> {
        self.sizes()?.1.parse().ok()
    }

    fn sizes(&self) -> Option<(&'static str, &'static str)> {
        self.words.split(' ').next()?.split_once('/')
    }

    /// Of a web search.
    pub(super) fn web_search(&self) -> Option<PicoUsd> {
        self.unit('s')
    }

    /// Of a search unit of a ranking.
    pub(super) fn search_unit(&self) -> Option<PicoUsd> {
        self.unit('q')
    }

    /// Of each request.
    pub(super) fn request(&self) -> Option<PicoUsd> {
        self.unit('f')
    }

    /// Of each picture in the input.
    pub(super) fn image(&self) -> Option<PicoUsd> {
        self.unit('p')
    }

    fn unit(&self, letter: char) -> Option<PicoUsd> {
        let units = self.words.split(' ').skip(1).take_while(|word| word.starts_with(UNITS));
        units.filter_map(|word| word.strip_prefix(letter)).map(pico).next()
    }

    /// The standard levels, or a tier's if it has its own.
    pub(super) fn levels(&self, tier: Option<&str>) -> Option<Levels> {
        let mut scales = self.words.split(" @");
        let Some(tier) = tier else {
            let standard = scales.next().unwrap_or_default();
            // Before the prices: sizes and units.
            let prices = standard
                .split_once(" i")
                .map_or("", |(before, _)| standard.get(before.len() + 1..).unwrap_or_default());
            return Some(Levels { rest: Some(prices), flat: None });
        };
        scales.skip(1).find_map(|scale| {
            let (name, prices) = scale.split_once(' ')?;
            name.eq_ignore_ascii_case(tier).then_some(Levels { rest: Some(prices), flat: None })
        })
    }

    /// The tiers with prices of their own.
    pub(super) fn tiers(self) -> impl Iterator<Item = &'static str> {
        self.words.split(" @").skip(1).filter_map(|scale| scale.split(' ').next())
    }
}

/// The words of the line with this key.
fn search(key: impl Iterator<Item = u8> + Clone) -> Option<&'static str> {
    let (mut low, mut high) = (0, table::TABLE.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let start = table::TABLE.get(low..middle)?.rfind('\n').map_or(low, |at| low + at + 1);
        let end = table::TABLE.get(middle..)?.find('\n').map_or(table::TABLE.len(), |at| middle + at);
        let (found, words) = table::TABLE.get(start..end)?.split_once(' ')?;
        match found.bytes().cmp(key.clone()) {
            Ordering::Equal => return Some(words),
            Ordering::Less => low = end + 1,
            Ordering::Greater => high = start,
        }
    }
    None
}

/// Rates by the size of the request: those above so many input tokens, ascending, the first above none.
#[derive(Clone, Copy)]
pub(super) struct Levels {
    rest: Option<&'static str>,
    flat: Option<Rates>,
}

impl Levels {
    /// The same for every size.
    pub(super) const fn flat(rates: Rates) -> Self {
        Self { rest: None, flat: Some(rates) }
    }
}

impl Iterator for Levels {
    type Item = (u64, Rates);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(flat) = self.flat.take() {
            return Some((0, flat));
        }
        let rest = self.rest.take()?;
        let (level, rest) = match rest.split_once(" >") {
            Some((level, rest)) => (level, Some(rest)),
            None => (rest, None),
        };
        self.rest = rest;
        let mut words = level.split(' ').peekable();
        let above = words.next_if(|word| word.starts_with(|first: char| first.is_ascii_digit()));
        let above = above.map_or(0, |word| word.parse().unwrap_or(0));
        Some((above, read(words)))
    }
}

/// A level's words. What is missing costs what its parent costs; without an input or output price nothing can be paid.
fn read(words: impl Iterator<Item = &'static str>) -> Rates {
    let mut cells: [Option<PicoUsd>; 9] = [None; 9];
    for word in words {
        let mut letters = word.chars();
        let place = letters.next().and_then(|letter| "irwWaotAI".find(letter));
        if let Some(cell) = place.and_then(|place| cells.get_mut(place)) {
            *cell = Some(pico(letters.as_str()));
        }
    }
    let [input, cache_read, write_5m, write_1h, audio, output, reasoning, output_audio, output_image] = cells;
    let input = input.unwrap_or(UNREADABLE);
    let output = output.unwrap_or(UNREADABLE);
    let write_5m = write_5m.unwrap_or(input);
    Rates {
        input,
        cache_read: cache_read.unwrap_or(input),
        cache_write_5m: write_5m,
        cache_write_1h: write_1h.unwrap_or(write_5m),
        input_audio: audio.unwrap_or(input),
        output,
        reasoning: reasoning.unwrap_or(output),
        output_audio: output_audio.unwrap_or(output),
        output_image: output_image.unwrap_or(output),
    }
}

/// The letters of what is billed by the piece.
const UNITS: [char; 4] = ['s', 'q', 'f', 'p'];
/// More than any budget: a slip of the table must never be free.
const UNREADABLE: PicoUsd = PicoUsd(u64::MAX);
/// Decimals of a dollar per million tokens, in pico-dollars per token.
const DECIMALS: u32 = 6;

/// Decimal text in millionths, as all prices of the table are.
fn pico(text: &str) -> PicoUsd {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.len().try_into().ok().and_then(|count: u32| DECIMALS.checked_sub(count));
    let value = whole.bytes().chain(fraction.bytes()).try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    });
    let scaled =
        value.zip(digits).and_then(|(value, missing)| value.checked_mul(10_u64.checked_pow(missing)?));
    scaled.filter(|_| !whole.is_empty() || !fraction.is_empty()).map_or(UNREADABLE, PicoUsd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::money::parse_decimal;
    use proptest::prelude::*;

    #[test]
    fn every_line_is_found_by_its_name_and_every_word_of_it_is_read() {
        let mut before = "";
        for line in table::TABLE.lines() {
            let (key, _) = line.split_once(' ').unwrap();
            assert!(before.as_bytes() < key.as_bytes(), "{before} {key}");
            before = key;
            let (kind, model) = key.split_once('/').unwrap();
            let sheet = Sheet::find(kind, model).unwrap_or_else(|| panic!("{key}"));
            assert!(!sheet.words.starts_with('='), "{key} names a line that names a line");
            let mut read = 2;
            for tier in std::iter::once(None).chain(sheet.tiers().map(Some)) {
                let levels: Vec<(u64, Rates)> = sheet.levels(tier).unwrap().collect();
                assert_eq!(levels[0].0, 0, "{key}");
                assert!(levels.is_sorted_by(|a, b| a.0 < b.0), "{key}: thresholds ascend");
                read += levels.len() + usize::from(tier.is_some()) - 1;
                for (_, rates) in levels {
                    assert!(rates.input != UNREADABLE && rates.output != UNREADABLE, "{key}");
                }
            }
            // No word but those with a meaning: sizes, units, cells, thresholds and tiers.
            let words = sheet.words.split(' ').skip(1);
            let known = |word: &str| {
                let rest = word.get(1..).unwrap_or_default();
                match word.chars().next() {
                    Some('@') => ["batch", "fast", "flex", "priority", "ultrafast"].contains(&rest),
                    Some('>') => rest.parse::<u64>().is_ok(),
                    Some(letter) => "sqfpirwWaotAI".contains(letter) && pico(rest) != UNREADABLE,
                    None => false,
                }
            };
            for word in words.clone() {
                assert!(known(word), "{key}: {word}");
            }
            let marks = words.filter(|word| word.starts_with(['@', '>'])).count();
            assert_eq!(marks + 2, read, "{key}: each level is read once");
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        for (kind, model) in [
            ("", ""),
            ("openai", ""),
            ("openai", "gpt-4o 128000/16384"),
            ("openai/gpt-4o", ""),
            ("zzz", "a"),
            ("", "/"),
        ] {
            assert_eq!(Sheet::find(kind, model), None, "{kind} {model}");
        }
    }

    #[test]
    fn levels_tiers_and_units_are_told_apart() {
        let sheet =
            Sheet::of("1000/? s10000 q2000 f500 p0.25 i2 r0.5 o8 >200000 i4 o16 @flex i1 o4 @fast i12.5 o50");
        assert_eq!((sheet.context(), sheet.output()), (Some(1_000), None));
        assert_eq!(sheet.web_search(), Some(PicoUsd(10_000_000_000)));
        assert_eq!(sheet.search_unit(), Some(PicoUsd(2_000_000_000)));
        assert_eq!(sheet.request(), Some(PicoUsd(500_000_000)));
        assert_eq!(sheet.image(), Some(PicoUsd(250_000)));
        let inputs = |tier| {
            sheet
                .levels(tier)
                .map(|levels| levels.map(|(above, rates)| (above, rates.input.0)).collect::<Vec<_>>())
        };
        assert_eq!(inputs(None), Some(vec![(0, 2_000_000), (200_000, 4_000_000)]));
        assert_eq!(inputs(Some("FLEX")), Some(vec![(0, 1_000_000)]));
        assert_eq!(inputs(Some("fast")), Some(vec![(0, 12_500_000)]));
        assert_eq!(inputs(Some("i1")), None);
        assert_eq!(sheet.tiers().collect::<Vec<_>>(), ["flex", "fast"]);
        let rates = sheet.levels(None).unwrap().next().unwrap().1;
        assert_eq!((rates.cache_read, rates.cache_write_1h), (PicoUsd(500_000), PicoUsd(2_000_000)));
    }

    proptest! {
        #[test]
        fn a_price_is_read_exactly_or_is_more_than_any_budget(text in "[0-9]{0,8}(\\.[0-9]{0,8})?|.{0,10}") {
            let exact = parse_decimal(&text, 6).filter(|_| !text.contains(['e', 'E']) && text.trim() == text);
            match exact.filter(|_| text.split_once('.').is_none_or(|(_, fraction)| fraction.len() <= 6)) {
                Some(value) => prop_assert_eq!(i128::from(pico(&text).0), value),
                None => prop_assert_eq!(pico(&text), UNREADABLE),
            }
        }

        #[test]
        fn no_name_panics(kind in "[a-z]{0,8}|openai|zhipu|.{0,5}", model in ".{0,30}") {
            let _ = Sheet::find(&kind, &model);
        }
    }
}
