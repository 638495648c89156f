//! Money as integers.
//!
//! Amounts are nano-dollars (10⁻⁹ USD); prices are pico-dollars (10⁻¹² USD) per token, because a
//! cached input token at $0.0375 per million costs 37.5 nano-dollars. A price times a token count
//! is summed in pico-dollars and rounded **up** to a nano-dollar once, at the end.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An amount of money in nano-dollars. Negative only for corrections.
///
/// Exact up to ±9.2 billion dollars; arithmetic saturates, so an absurd bound is refused rather than wrapped.
/// On the wire it is a JSON integer. JavaScript holds it exactly up to 2⁵³ (nine million dollars).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NanoUsd(pub i64);

impl NanoUsd {
    /// No money.
    pub const ZERO: Self = Self(0);
    /// More than any budget.
    pub const MAX: Self = Self(i64::MAX);

    /// The sum, saturating.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, saturating; may be negative.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Reads dollars in decimal notation (`"0.5"`, `"12"`, `"1e-3"`), at most nine decimals kept.
    ///
    /// # Errors
    /// `None` if the text is not a non-negative decimal number, or has more than nine decimals, or is too large.
    #[must_use]
    pub fn parse_usd(text: &str) -> Option<Self> {
        parse_decimal(text, 9).and_then(|value| i64::try_from(value).ok()).map(Self)
    }

    /// As [`NanoUsd::parse_usd`]; what is finer than a nano-dollar is rounded up.
    #[must_use]
    pub fn parse_usd_up(text: &str) -> Option<Self> {
        let (digits, exponent) = decimal(text)?;
        let shift = exponent.checked_add(9)?;
        let power = 10i128.checked_pow(shift.unsigned_abs());
        let nano = match (shift >= 0, power) {
            (true, power) => digits.checked_mul(power?)?,
            (false, Some(power)) => digits / power + i128::from(digits % power != 0),
            // Smaller than any power that can be written.
            (false, None) => i128::from(digits != 0),
        };
        i64::try_from(nano).ok().map(Self)
    }
}

/// A decimal number scaled by 10^`scale`: exact or nothing.
#[must_use]
pub fn parse_decimal(text: &str, scale: i32) -> Option<i128> {
    let (digits, exponent) = decimal(text)?;
    let shift = scale + exponent;
    let power = 10i128.checked_pow(shift.unsigned_abs())?;
    if shift >= 0 { digits.checked_mul(power) } else { (digits % power == 0).then_some(digits / power) }
}

/// Digits and a power of ten.
fn decimal(text: &str) -> Option<(i128, i32)> {
    let text = text.trim();
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (text.get(..at)?, text.get(at + 1..)?.parse::<i32>().ok()?),
        None => (text, 0),
    };
    if !(-40..=40).contains(&exponent) {
        return None;
    }
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() || whole.len() + fraction.len() > 30 {
        return None;
    }
    let mut value: i128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
    }
    Some((value, exponent - i32::try_from(fraction.len()).ok()?))
}

/// Dollars with nine decimals: `0.000000150`.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:09}", magnitude / 1_000_000_000, magnitude % 1_000_000_000)
    }
}

/// A price in pico-dollars for one token (or one request, image, search).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PicoUsd(pub u64);

impl PicoUsd {
    /// Reads dollars in decimal notation, exact to twelve decimals.
    #[must_use]
    pub fn parse_usd(text: &str) -> Option<Self> {
        parse_decimal(text, 12).and_then(|value| u64::try_from(value).ok()).map(Self)
    }

    /// Of one unit, in dollars: `0.025`.
    #[must_use]
    pub fn each(self) -> String {
        const DOLLAR: u64 = 1_000_000_000_000;
        let text = format!("{}.{:012}", self.0 / DOLLAR, self.0 % DOLLAR);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// Of a million units, in dollars: `0.15`.
    #[must_use]
    pub fn per_million(self) -> String {
        let text = format!("{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// The price of `count` units, in pico-dollars.
    #[must_use]
    pub const fn times(self, count: u64) -> u128 {
        self.0 as u128 * count as u128
    }
}

/// Pico-dollars rounded up to nano-dollars, so that a sum of costs is never below what is owed.
#[must_use]
pub fn nano_from_pico(pico: u128) -> NanoUsd {
    NanoUsd(i64::try_from(pico.div_ceil(1000)).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dollars_are_read_exactly_or_not_at_all() {
        assert_eq!(NanoUsd::parse_usd("0.5"), Some(NanoUsd(500_000_000)));
        assert_eq!(NanoUsd::parse_usd("12"), Some(NanoUsd(12_000_000_000)));
        assert_eq!(NanoUsd::parse_usd("1e-3"), Some(NanoUsd(1_000_000)));
        assert_eq!(NanoUsd::parse_usd("0.0000000001"), None);
        for bad in ["", ".", "-1", "1,5", "NaN", "1e99", "0x10", "1e-", "९"] {
            assert_eq!(NanoUsd::parse_usd(bad), None, "{bad}");
        }
        assert_eq!(PicoUsd::parse_usd("0.0000000375"), Some(PicoUsd(37_500)));
        for (pico, text) in
            [(0, "0"), (37_500, "0.0375"), (150_000, "0.15"), (10_000_000, "10"), (1, "0.000001")]
        {
            assert_eq!(PicoUsd(pico).per_million(), text);
        }
    }

    #[test]
    fn what_is_finer_than_a_nano_dollar_is_rounded_up() {
        for (text, nano) in [
            ("0.0004970133333333333", 497_014),
            ("8.6e-05", 86_000),
            ("0.000000001", 1),
            ("0.0000000010000000001", 2),
            ("1e-40", 1),
            ("0", 0),
            ("0e-40", 0),
            ("12", 12_000_000_000),
        ] {
            assert_eq!(NanoUsd::parse_usd_up(text), Some(NanoUsd(nano)), "{text}");
        }
        for bad in ["", "-1", "1e40", "NaN", "null"] {
            assert_eq!(NanoUsd::parse_usd_up(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn text_and_back(amount in 0i64..i64::MAX) {
            prop_assert_eq!(NanoUsd::parse_usd(&NanoUsd(amount).to_string()), Some(NanoUsd(amount)));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let up = NanoUsd::parse_usd_up(&text);
            if let Some(exact) = NanoUsd::parse_usd(&text) {
                prop_assert_eq!(up, Some(exact));
            }
        }
    }
}
