//! Time as plain numbers; `now` is always an argument.

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// An hour in milliseconds.
pub const HOUR_MS: i64 = 3_600_000;
/// A day in milliseconds.
pub const DAY_MS: i64 = 86_400_000;

impl Timestamp {
    /// `ms` later, saturating.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to here; negative if `earlier` is later.
    #[must_use]
    pub const fn since_ms(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The full hour at or before this.
    #[must_use]
    pub const fn hour_start(self) -> Self {
        Self(self.0 - self.0.rem_euclid(HOUR_MS))
    }

    /// Midnight UTC of this day.
    #[must_use]
    pub const fn day_start(self) -> Self {
        Self(self.0 - self.0.rem_euclid(DAY_MS))
    }

    /// Midnight UTC of the first day of this month.
    #[must_use]
    pub fn month_start(self) -> Self {
        let (year, month, _) = self.civil();
        Self::from_civil(year, month, 1)
    }

    /// Midnight UTC of the first day of the next month.
    #[must_use]
    pub fn next_month_start(self) -> Self {
        let (year, month, _) = self.civil();
        if month == 12 { Self::from_civil(year + 1, 1, 1) } else { Self::from_civil(year, month + 1, 1) }
    }

    /// Year, month 1–12, day 1–31 in UTC (proleptic Gregorian; Howard Hinnant's day-count arithmetic).
    #[must_use]
    pub fn civil(self) -> (i64, i64, i64) {
        let days = self.0.div_euclid(DAY_MS) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        (year_of_era + era * 400 + i64::from(month <= 2), month, day)
    }

    /// Midnight UTC of a day.
    #[must_use]
    pub fn from_civil(year: i64, month: i64, day: i64) -> Self {
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let shifted_month = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Self((era * 146_097 + day_of_era - 719_468).saturating_mul(DAY_MS))
    }

    /// `2026-11-21T06:19:52.123Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let (year, month, day) = self.civil();
        let ms = self.0.rem_euclid(DAY_MS);
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            ms / 3_600_000,
            ms / 60_000 % 60,
            ms / 1_000 % 60,
            ms % 1_000
        )
    }

    /// Reads `2026-11-21`, `2026-11-21T06:19:52Z`, with fraction and with `+hh:mm`, or a number of seconds
    /// (below 10¹¹) or milliseconds since 1970.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse::<i64>() {
            return (number >= 0)
                .then(|| if number < 100_000_000_000 { Self(number * 1_000) } else { Self(number) });
        }
        let digits = |from: usize, to: usize| -> Option<i64> {
            let part = text.get(from..to)?;
            part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten()
        };
        let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
        if text.get(4..5) != Some("-") || text.get(7..8) != Some("-") || !(1..=12).contains(&month) {
            return None;
        }
        let midnight = Self::from_civil(year, month, day);
        if midnight.civil() != (year, month, day) {
            return None;
        }
        if text.len() == 10 {
            return Some(midnight);
        }
        let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
        if !matches!(text.get(10..11), Some("T" | "t" | " ")) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let mut rest = text.get(19..)?;
        let mut ms = 0;
        if let Some(fraction) = rest.strip_prefix('.') {
            let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
            let kept: String = fraction.get(..end)?.chars().chain("000".chars()).take(3).collect();
            ms = kept.parse::<i64>().ok()?;
            rest = fraction.get(end..)?;
        }
        let offset_min = match rest {
            "Z" | "z" => 0,
            _ => {
                let sign = if rest.starts_with('+') {
                    1
                } else if rest.starts_with('-') {
                    -1
                } else {
                    return None;
                };
                let (hours, minutes) = rest.get(1..)?.split_once(':')?;
                sign * (hours.parse::<u8>().ok()? as i64 * 60 + minutes.parse::<u8>().ok()? as i64)
            }
        };
        Some(midnight.plus_ms(((hour * 60 + minute - offset_min) * 60 + second) * 1_000 + ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn months_begin_where_the_calendar_says() {
        let moment = Timestamp::parse("2028-02-29T23:59:59.999Z").unwrap();
        assert_eq!(moment.month_start(), Timestamp::parse("2028-02-01").unwrap());
        assert_eq!(moment.next_month_start(), Timestamp::parse("2028-03-01").unwrap());
        assert_eq!(
            Timestamp::parse("2026-12-31").unwrap().next_month_start(),
            Timestamp::parse("2027-01-01").unwrap()
        );
        assert_eq!(Timestamp::parse("2026-11-21T08:00:00+02:00"), Timestamp::parse("2026-11-21T06:00:00Z"));
    }

    #[test]
    fn nonsense_is_not_a_time() {
        for bad in ["", "x", "2026-13-01", "2026-02-30", "2026-11-21T25:00:00Z", "2026-11-21T06:00:00", "-5"]
        {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn text_and_back(ms in 0i64..4_102_444_800_000) {
            prop_assert_eq!(Timestamp::parse(&Timestamp(ms).to_rfc3339()), Some(Timestamp(ms)));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = Timestamp::parse(&text);
        }
    }
}
