//! Where the figures of a time range come from: whole days and hours from the sums, what is left from the rows.

use crate::model::time::{DAY_MS, HOUR_MS, Timestamp};

/// `[from, to)` in ms.
pub(super) type Range = (i64, i64);

/// Disjoint ranges that together are the one asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sources {
    pub(super) days: Vec<Range>,
    pub(super) hours: Vec<Range>,
    pub(super) rows: Vec<Range>,
}

/// What a question allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    /// Sums at all: they know nothing of outcomes.
    pub(super) sums: bool,
    /// Sums of days: not if hours are to be told apart.
    pub(super) days: bool,
    /// Sums of hours from here on; earlier ones are deleted.
    pub(super) hours_from: i64,
}

const fn up(at: i64, span: i64) -> i64 {
    at.saturating_add(span - 1).div_euclid(span).saturating_mul(span)
}

const fn down(at: i64, span: i64) -> i64 {
    at.div_euclid(span).saturating_mul(span)
}

/// Divides `[from, to)`. Nothing is later than `now`, so an end in the future may be any later one.
pub(super) fn divide(from: Timestamp, to: Timestamp, now: Timestamp, allowed: Allowed) -> Sources {
    let mut sources = Sources::default();
    let add = |ranges: &mut Vec<Range>, from: i64, to: i64| {
        if from < to {
            ranges.push((from, to));
        }
    };
    let Timestamp(from) = from;
    let to = if to > now { up(to.0, DAY_MS) } else { to.0 };
    let (first_hour, last_hour) = (up(from, HOUR_MS), down(to, HOUR_MS));
    if !allowed.sums || first_hour >= last_hour {
        add(&mut sources.rows, from, to);
        return sources;
    }
    let (first_day, last_day) = (up(first_hour, DAY_MS), down(last_hour, DAY_MS));
    let hours = if allowed.days && first_day < last_day {
        add(&mut sources.days, first_day, last_day);
        vec![(first_hour, first_day), (last_day, last_hour)]
    } else {
        vec![(first_hour, last_hour)]
    };
    add(&mut sources.rows, from, first_hour);
    for (from, to) in hours {
        let deleted = allowed.hours_from.clamp(from, to.max(from));
        add(&mut sources.rows, from, deleted);
        add(&mut sources.hours, deleted, to);
    }
    add(&mut sources.rows, last_hour, to);
    sources
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_123);

    #[test]
    fn a_month_that_ends_now_needs_sums_alone() {
        let from = Timestamp(NOW.0 - 30 * DAY_MS).hour_start();
        let allowed = Allowed { sums: true, days: true, hours_from: 0 };
        let sources = divide(from, NOW.plus_ms(1), NOW, allowed);
        assert!(sources.rows.is_empty(), "{sources:?}");
        assert_eq!(sources.days.len(), 1);
        let by_hour = divide(from, NOW.plus_ms(1), NOW, Allowed { days: false, ..allowed });
        assert_eq!((by_hour.days.len(), by_hour.hours.len(), by_hour.rows.len()), (0, 1, 0));
        let by_outcome = divide(from, NOW.plus_ms(1), NOW, Allowed { sums: false, ..allowed });
        assert_eq!((by_outcome.days.len(), by_outcome.hours.len(), by_outcome.rows.len()), (0, 0, 1));
    }

    proptest! {
        #[test]
        fn every_moment_is_in_exactly_one_source(
            from in 0i64..20 * DAY_MS, length in 0i64..10 * DAY_MS, now in 0i64..30 * DAY_MS,
            sums: bool, days: bool, hours_from in 0i64..30, moments in prop::collection::vec(0i64..30 * DAY_MS, 1..50),
        ) {
            let to = from + length;
            let hours_from = hours_from * DAY_MS;
            let allowed = Allowed { sums, days, hours_from };
            let sources = divide(Timestamp(from), Timestamp(to), Timestamp(now), allowed);
            let edges = moments.iter().copied().chain([from, to, from - 1, to - 1]);
            for moment in edges.filter(|moment| *moment <= now) {
                let within = |ranges: &[Range]| ranges.iter().filter(|(from, to)| (*from..*to).contains(&moment)).count();
                let times = within(&sources.days) + within(&sources.hours) + within(&sources.rows);
                prop_assert_eq!(times, usize::from((from..to).contains(&moment)), "{} in {:?}", moment, &sources);
            }
            prop_assert!(sources.days.iter().all(|(a, b)| a % DAY_MS == 0 && b % DAY_MS == 0));
            prop_assert!(sources.hours.iter().all(|(a, b)| a % HOUR_MS == 0 && b % HOUR_MS == 0 && *a >= hours_from));
            prop_assert!(days || sources.days.is_empty());
            prop_assert!(sums || sources.days.is_empty() && sources.hours.is_empty());
        }
    }
}
