//! What a limit counts: money in calendar windows, requests and tokens in a sliding minute.

use crate::model::{money::NanoUsd, time::Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Money in one calendar window (UTC day, UTC month, or for ever).
///
/// A request belongs to the window it was admitted in, also when it ends after midnight; so a settlement for an
/// earlier window changes nothing here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoneyWindow {
    /// When the window began.
    pub start: Timestamp,
    /// Settled cost of requests admitted in it.
    pub spent: NanoUsd,
    /// Upper bounds of requests admitted in it and still under way. Rebuilt from the holds, never stored.
    #[serde(skip)]
    pub held: NanoUsd,
}

impl MoneyWindow {
    /// Goes on to the window that begins at `start`; a clock that steps back changes nothing.
    pub fn roll(&mut self, start: Timestamp) {
        if start > self.start {
            *self = Self { start, ..Self::default() };
        }
    }

    /// What is taken: spent and held.
    #[must_use]
    pub const fn taken(&self) -> NanoUsd {
        self.spent.plus(self.held)
    }
}

/// Seconds a sliding minute looks back. A slot holds one clock second, so a slot is kept until its *last* moment
/// is sixty seconds past: the sum never misses anything of the last minute.
const SLOTS_S: i64 = 60;

/// A sliding minute in slots of a second: never admits more than the limit in **any** sixty seconds, and may count
/// an event for up to one second longer than that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Minute {
    slots: VecDeque<(i64, u64)>,
}

impl Minute {
    fn second(at: Timestamp) -> i64 {
        at.0.div_euclid(1_000)
    }

    /// Forgets what is older than a minute.
    pub fn roll(&mut self, now: Timestamp) {
        let oldest = Self::second(now) - SLOTS_S;
        while self.slots.front().is_some_and(|(second, _)| *second < oldest) {
            self.slots.pop_front();
        }
    }

    /// What the last minute holds.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.slots.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Counts `amount` at `at`.
    pub fn add(&mut self, at: Timestamp, amount: u64) {
        let second = Self::second(at);
        match self.slots.iter_mut().rev().find(|(slot, _)| *slot <= second) {
            Some((slot, count)) if *slot == second => *count = count.saturating_add(amount),
            Some((slot, _)) => {
                let after = *slot;
                let index = self.slots.iter().position(|(slot, _)| *slot > after).unwrap_or(self.slots.len());
                self.slots.insert(index, (second, amount));
            }
            None => self.slots.push_front((second, amount)),
        }
    }

    /// Takes back `amount` counted at `at`, as far as it is still there.
    pub fn take_back(&mut self, at: Timestamp, amount: u64) {
        let second = Self::second(at);
        if let Some((_, count)) = self.slots.iter_mut().find(|(slot, _)| *slot == second) {
            *count = count.saturating_sub(amount);
        }
    }

    /// Milliseconds until `amount` fits under `limit`, `None` if it never will.
    #[must_use]
    pub fn wait_ms(&self, now: Timestamp, amount: u64, limit: u64) -> Option<i64> {
        let mut over = self.sum().saturating_add(amount).saturating_sub(limit);
        if amount > limit {
            return None;
        }
        let mut wait = 0;
        for (second, count) in &self.slots {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(*count);
            wait = ((second + SLOTS_S + 1) * 1_000 - now.0).max(1);
        }
        Some(wait)
    }

    /// Milliseconds until the minute is empty again.
    #[must_use]
    pub fn reset_ms(&self, now: Timestamp) -> i64 {
        self.slots.back().map_or(0, |(second, _)| ((second + SLOTS_S + 1) * 1_000 - now.0).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_sixty_seconds_hold_more_than_the_limit(
            limit in 1u64..20,
            steps in prop::collection::vec((0i64..5_000, 1u64..4), 1..300),
        ) {
            let mut minute = Minute::default();
            let mut now = Timestamp(1_700_000_000_123);
            let mut admitted: Vec<(i64, u64)> = vec![];
            for (wait, amount) in steps {
                now = now.plus_ms(wait);
                minute.roll(now);
                if minute.sum() + amount <= limit {
                    minute.add(now, amount);
                    admitted.push((now.0, amount));
                    let recent: u64 = admitted.iter().filter(|(at, _)| *at > now.0 - 60_000).map(|(_, n)| n).sum();
                    prop_assert!(recent <= limit);
                } else if let Some(wait) = minute.wait_ms(now, amount, limit) {
                    prop_assert!(wait > 0);
                    let mut later = minute.clone();
                    later.roll(now.plus_ms(wait));
                    prop_assert!(later.sum() + amount <= limit, "the promised wait is long enough");
                } else {
                    prop_assert!(amount > limit);
                }
            }
        }
    }

    #[test]
    fn a_clock_that_steps_back_loses_nothing() {
        let mut minute = Minute::default();
        minute.add(Timestamp(10_000), 1);
        minute.add(Timestamp(8_000), 2);
        minute.add(Timestamp(9_000), 4);
        minute.roll(Timestamp(10_000));
        assert_eq!(minute.sum(), 7);
        minute.roll(Timestamp(69_500));
        assert_eq!(minute.sum(), 5, "only the slot of second 8 is over");
    }
}
