//! What a limit says: what is counted, how much of it, in which window, for which models.

use crate::{
    config::policy::Pattern,
    model::{
        money::NanoUsd,
        time::{DAY_MS, Timestamp},
    },
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, rc::Rc, str::FromStr};

/// What one request, or one lease, takes of every unit at once. Negative only for corrections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Amounts {
    /// Money.
    pub money: NanoUsd,
    /// Requests.
    pub requests: i64,
    /// Input tokens of all classes.
    pub input: i64,
    /// Output tokens of all classes.
    pub output: i64,
}

impl Amounts {
    /// Nothing.
    pub const ZERO: Self = Self { money: NanoUsd::ZERO, requests: 0, input: 0, output: 0 };

    fn each(self, other: Self, f: impl Fn(i64, i64) -> i64) -> Self {
        Self {
            money: NanoUsd(f(self.money.0, other.money.0)),
            requests: f(self.requests, other.requests),
            input: f(self.input, other.input),
            output: f(self.output, other.output),
        }
    }

    /// The sum, saturating.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.each(other, i64::saturating_add)
    }

    /// The difference, saturating.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.each(other, i64::saturating_sub)
    }

    /// The smaller of each.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        self.each(other, i64::min)
    }

    /// The larger of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        self.each(other, i64::max)
    }

    /// `times` of it, saturating.
    #[must_use]
    pub fn times(self, times: i64) -> Self {
        self.each(Self::ZERO, |amount, _| amount.saturating_mul(times))
    }

    /// Whether there is enough of everything in `whole`.
    #[must_use]
    pub fn fits(self, whole: Self) -> bool {
        self.min(whole) == self
    }

    /// How much of one unit it is. Requests under way are not an amount, but counted with each hold.
    #[must_use]
    pub const fn of(&self, unit: Unit) -> i64 {
        match unit {
            Unit::Usd => self.money.0,
            Unit::Requests => self.requests,
            Unit::Tokens => self.input.saturating_add(self.output),
            Unit::InputTokens => self.input,
            Unit::OutputTokens => self.output,
            Unit::Concurrent => 0,
        }
    }
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Requests.
    Requests,
    /// Input and output tokens.
    Tokens,
    /// Input tokens.
    InputTokens,
    /// Output tokens.
    OutputTokens,
    /// Requests under way at a time.
    Concurrent,
    /// Money, in nano-dollars.
    Usd,
}

impl Unit {
    /// The word used in answers.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
            Self::Concurrent => "concurrent",
            Self::Usd => "usd",
        }
    }
}

/// A calendar span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Span {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week, from Monday.
    Week,
    /// A month.
    Month,
}

const SPANS: [(Span, &str); 5] = [
    (Span::Minute, "minute"),
    (Span::Hour, "hour"),
    (Span::Day, "day"),
    (Span::Week, "week"),
    (Span::Month, "month"),
];

/// The window a limit holds in. As text: `total`, `month`, `day@Europe/Berlin`, `60s` (rolling).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Window {
    /// For ever.
    Total,
    /// A calendar span in a time zone (an IANA name; UTC without one).
    Calendar(Span, Option<Rc<str>>),
    /// The last so many milliseconds, at every moment.
    Rolling(i64),
}

/// The longest rolling window.
const ROLLING_MAX_MS: i64 = 31 * DAY_MS;
/// A rolling window is counted in this many slots: it never lets more through than the limit in **any** span of its
/// length, and may count an event for up to one slot longer.
const SLOTS: i64 = 60;

/// Minutes that a zone is ahead of UTC at a moment; `None` if the zone is not known.
pub type Zones = fn(&str, Timestamp) -> Option<i32>;

/// No zones but UTC.
#[must_use]
pub fn utc_only(_: &str, _: Timestamp) -> Option<i32> {
    None
}

impl Window {
    /// The UTC day.
    pub const DAY: Self = Self::Calendar(Span::Day, None);
    /// The UTC month.
    pub const MONTH: Self = Self::Calendar(Span::Month, None);
    /// The last sixty seconds.
    pub const MINUTE: Self = Self::Rolling(60_000);

    /// Where `at` is counted: from when, and until when it counts.
    #[must_use]
    pub fn slot(&self, at: Timestamp, zones: Zones) -> (i64, i64) {
        match self {
            Self::Total => (0, i64::MAX),
            Self::Rolling(ms) => {
                let slot = (ms / SLOTS).max(1);
                let start = at.0.div_euclid(slot) * slot;
                (start, start.saturating_add(slot).saturating_add(*ms))
            }
            Self::Calendar(span, zone) => {
                let offset = |at: Timestamp| {
                    let minutes = zone.as_ref().and_then(|zone| zones(zone, at)).unwrap_or(0);
                    i64::from(minutes) * 60_000
                };
                let (start, end) = span.bounds(Timestamp(at.0 + offset(at)));
                // Local wall-clock times back to UTC, each with the offset that holds there.
                let to_utc = |local: Timestamp| {
                    let guess = Timestamp(local.0 - offset(Timestamp(local.0 - offset(at))));
                    Timestamp(local.0 - offset(guess))
                };
                (to_utc(start).0, to_utc(end).0)
            }
        }
    }

    /// Whether it is too short for a slice of it to be handed out for seconds.
    #[must_use]
    pub const fn is_short(&self) -> bool {
        matches!(self, Self::Rolling(ms) if *ms < 10_000)
    }

    /// The words used in messages.
    #[must_use]
    pub fn word(&self) -> String {
        match self {
            Self::Rolling(60_000) => "minute".to_owned(),
            other => other.to_string(),
        }
    }
}

impl Span {
    fn bounds(self, local: Timestamp) -> (Timestamp, Timestamp) {
        let even = |ms: i64, from: i64| {
            let start = (local.0 - from).div_euclid(ms) * ms + from;
            (Timestamp(start), Timestamp(start + ms))
        };
        match self {
            Self::Minute => even(60_000, 0),
            Self::Hour => even(3_600_000, 0),
            Self::Day => even(DAY_MS, 0),
            // 1970-01-05 was a Monday.
            Self::Week => even(7 * DAY_MS, 4 * DAY_MS),
            Self::Month => (local.month_start(), local.next_month_start()),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Total => f.write_str("total"),
            Self::Rolling(ms) if ms % 1_000 == 0 => write!(f, "{}s", ms / 1_000),
            Self::Rolling(ms) => write!(f, "{ms}ms"),
            Self::Calendar(span, zone) => {
                let name = SPANS.iter().find(|(known, _)| known == span).map_or("", |(_, name)| name);
                match zone {
                    Some(zone) => write!(f, "{name}@{zone}"),
                    None => f.write_str(name),
                }
            }
        }
    }
}

impl FromStr for Window {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "total, minute, hour, day, week or month (calendar; with @Zone/Name), or a duration such as 60s, 15m, 24h, 30d (rolling)";
        if text == "total" {
            return Ok(Self::Total);
        }
        let (name, zone) = match text.split_once('@') {
            Some((name, zone)) => (name, Some(zone)),
            None => (text, None),
        };
        if let Some((span, _)) = SPANS.iter().find(|(_, known)| *known == name) {
            // It becomes part of what is stored under: no other characters than names of zones have.
            let fits = |zone: &str| {
                (1..=60).contains(&zone.len())
                    && zone.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+-".contains(&b))
            };
            return match zone {
                None | Some("UTC") => Ok(Self::Calendar(*span, None)),
                Some(zone) if fits(zone) => Ok(Self::Calendar(*span, Some(zone.into()))),
                Some(_) => Err(EXPECTED),
            };
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (count, unit) = text.split_at_checked(digits).ok_or(EXPECTED)?;
        let unit = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => DAY_MS,
            _ => return Err(EXPECTED),
        };
        let ms = count.parse::<i64>().ok().and_then(|count| count.checked_mul(unit));
        ms.filter(|ms| (1..=ROLLING_MAX_MS).contains(ms)).map(Self::Rolling).ok_or(EXPECTED)
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A limit beyond the five that have names of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// What is counted.
    pub unit: Unit,
    /// How much of it; dollars in nano-dollars.
    pub amount: i64,
    /// In which window; of requests under way there is none.
    #[serde(default = "total", skip_serializing_if = "is_total")]
    pub window: Window,
    /// At most this much of it at once: the same rate, kept in a window shorter by as much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<i64>,
    /// Only requests that can reach one of these models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Pattern>,
    /// Per cent of the amount at which an event is raised.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warn_at: Vec<u8>,
}

const fn total() -> Window {
    Window::Total
}

fn is_total(window: &Window) -> bool {
    *window == Window::Total
}

/// Limits of a node, as the admin wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Dollars per UTC day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<NanoUsd>,
    /// Dollars per UTC month.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month: Option<NanoUsd>,
    /// Dollars for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<NanoUsd>,
    /// Requests per minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpm: Option<u64>,
    /// Tokens per minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm: Option<u64>,
    /// All others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<Limit>,
}

impl Limits {
    /// All of them in one form, in the order they are checked: rates, requests under way, money; a caller who is
    /// told "no money" has no other reason to fear.
    #[must_use]
    pub fn all(&self) -> Vec<Limit> {
        let plain = |unit, window, amount: Option<i64>| {
            amount.map(|amount| Limit {
                unit,
                amount,
                window,
                burst: None,
                models: None,
                warn_at: Vec::new(),
            })
        };
        let count = |count: Option<u64>| count.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        let money = |money: Option<NanoUsd>| money.map(|money| money.0);
        let named = [
            plain(Unit::Requests, Window::MINUTE, count(self.rpm)),
            plain(Unit::Tokens, Window::MINUTE, count(self.tpm)),
            plain(Unit::Usd, Window::Total, money(self.total)),
            plain(Unit::Usd, Window::MONTH, money(self.month)),
            plain(Unit::Usd, Window::DAY, money(self.day)),
        ];
        let mut all: Vec<Limit> = named.into_iter().flatten().chain(self.more.iter().cloned()).collect();
        all.sort_by_key(|limit| limit.unit);
        all
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Limit {
    /// The shorter window in which a burst is kept.
    #[must_use]
    pub fn burst_window(&self) -> Option<(i64, Window)> {
        let (burst, Window::Rolling(ms)) = (self.burst?, &self.window) else { return None };
        let short = i128::from(*ms) * i128::from(burst) / i128::from(self.amount.max(1));
        let short = i64::try_from(short).ok().filter(|short| short < ms)?.max(1);
        Some((burst, Window::Rolling(short)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Central Europe in 2026: summer time from 29 March to 25 October, 01:00 UTC.
    fn berlin(zone: &str, at: Timestamp) -> Option<i32> {
        let summer = Timestamp::parse("2026-03-29T01:00:00Z")?..Timestamp::parse("2026-10-25T01:00:00Z")?;
        (zone == "Europe/Berlin").then_some(if summer.contains(&at) { 120 } else { 60 })
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn windows_are_written_as_they_are_read() {
        for text in
            ["total", "minute", "hour", "day", "week", "month", "day@Europe/Berlin", "60s", "250ms", "86400s"]
        {
            assert_eq!(text.parse::<Window>().unwrap().to_string(), text);
        }
        assert_eq!("24h".parse::<Window>().unwrap(), Window::Rolling(DAY_MS));
        assert_eq!("month@UTC".parse::<Window>().unwrap(), Window::MONTH);
        for text in
            ["", "s", "0s", "32d", "year", "day@", "day@a b", "day@\t", "-5s", "99999999999999999999s", "5x"]
        {
            assert!(text.parse::<Window>().is_err(), "{text}");
        }
    }

    #[test]
    fn calendar_windows_begin_and_end_with_the_wall_clock() {
        let slot = |window: &str, moment| {
            let (start, end) = window.parse::<Window>().unwrap().slot(at(moment), berlin);
            (Timestamp(start).to_rfc3339(), Timestamp(end).to_rfc3339())
        };
        let pair = |a: &str, b: &str| (at(a).to_rfc3339(), at(b).to_rfc3339());
        assert_eq!(slot("day", "2026-11-21T23:30:00Z"), pair("2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"));
        assert_eq!(
            slot("day@Europe/Berlin", "2026-11-21T23:30:00Z"),
            pair("2026-11-21T23:00:00Z", "2026-11-22T23:00:00Z")
        );
        // The day summer time begins has 23 hours, the one it ends 25.
        assert_eq!(
            slot("day@Europe/Berlin", "2026-03-29T12:00:00Z"),
            pair("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z")
        );
        assert_eq!(
            slot("day@Europe/Berlin", "2026-10-25T12:00:00Z"),
            pair("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z")
        );
        assert_eq!(
            slot("month@Europe/Berlin", "2026-10-31T23:30:00Z"),
            pair("2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z")
        );
        assert_eq!(
            slot("week", "2026-11-21T12:00:00Z"),
            pair("2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z")
        );
    }

    #[test]
    fn a_burst_is_the_same_rate_in_a_shorter_window() {
        let limit = Limit {
            unit: Unit::Requests,
            amount: 600,
            window: Window::MINUTE,
            burst: Some(10),
            models: None,
            warn_at: vec![],
        };
        assert_eq!(limit.burst_window(), Some((10, Window::Rolling(1_000))));
        assert_eq!(
            Limit { burst: Some(600), ..limit }.burst_window(),
            None,
            "as large as the limit: no other window"
        );
    }
}
