//! How long to wait before the same target is asked again.

use crate::{config::policy::Retries, model::time::Timestamp};

/// The provider's Retry-After in milliseconds: seconds, or an HTTP date.
#[must_use]
pub fn retry_after_ms(header: &str, now: Timestamp) -> Option<i64> {
    let text = header.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds.is_finite() && (0.0..1e9).contains(&seconds))
            .then(|| (seconds * 1_000.0).ceil() as i64);
    }
    http_date(text).map(|at| at.since_ms(now).max(0))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7; the obsolete forms are not read).
fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let rest = text.split_once(", ")?.1.strip_suffix(" GMT")?;
    let mut parts = rest.split(' ');
    let (day, month, year, clock) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    Timestamp::parse(&format!("{year}-{month:02}-{day}T{clock}Z"))
}

/// The wait before retry number `retry` (0 for the first): the provider's own if it names one, else exponential with
/// full jitter. `None` if the provider wants a longer pause than `backoff_max_ms`: waiting less would not help.
#[must_use]
pub fn wait_ms(retries: &Retries, retry: u32, retry_after_ms: Option<i64>, random: [u8; 16]) -> Option<i64> {
    let longest = i64::try_from(retries.backoff_max_ms).unwrap_or(i64::MAX);
    if let Some(asked) = retry_after_ms {
        return (asked <= longest).then_some(asked);
    }
    let ceiling = retries.backoff_ms.saturating_mul(1 << retry.min(20)).min(retries.backoff_max_ms);
    let [a, b, c, d, ..] = random;
    let fraction = u64::from(u32::from_le_bytes([a, b, c, d]));
    // Half fixed, half jitter: never at once, never all together.
    let wait = ceiling / 2 + (ceiling / 2).saturating_mul(fraction) / u64::from(u32::MAX);
    i64::try_from(wait).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp::parse("1994-11-06T08:49:30Z").unwrap();
        assert_eq!(retry_after_ms("2", now), Some(2_000));
        assert_eq!(retry_after_ms("0.5", now), Some(500));
        assert_eq!(retry_after_ms("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(7_000));
        assert_eq!(retry_after_ms("Sun, 06 Nov 1994 08:49:07 GMT", now), Some(0));
        for bad in ["", "soon", "-1", "NaN", "inf", "Sun, 99 Foo 1994 08:49:37 GMT"] {
            assert_eq!(retry_after_ms(bad, now), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn waits_stay_within_the_policy(retry in 0u32..100, random: [u8; 16], asked in prop::option::of(0i64..20_000)) {
            let retries = Retries { count: 3, backoff_ms: 250, backoff_max_ms: 5_000 };
            match (wait_ms(&retries, retry, asked, random), asked) {
                (Some(wait), Some(asked)) => prop_assert_eq!(wait, asked),
                (None, Some(asked)) => prop_assert!(asked > 5_000),
                (wait, None) => prop_assert!((125..=5_000).contains(&wait.unwrap())),
            }
        }
    }
}
