//! What a node has counted against one limit.

use super::limit::{Unit, Window, Zones};
use crate::{config::policy::Pattern, model::time::Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What is counted together: limits that agree in these share a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) unit: Unit,
    pub(super) window: Window,
    pub(super) models: Option<Pattern>,
}

impl Scope {
    pub(super) const fn plain(unit: Unit, window: Window) -> Self {
        Self { unit, window, models: None }
    }

    /// The name it is stored under.
    pub(super) fn name(&self) -> String {
        let models = self.models.as_ref().map_or_else(String::new, |models| models.0.join(","));
        let name = format!("{}/{}/{models}", self.unit.word(), self.window);
        // It becomes part of what the object writes in lines.
        name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
    }

    /// Whether a request that can reach these models counts.
    pub(super) fn covers(&self, models: &[String]) -> bool {
        self.models.as_ref().is_none_or(|pattern| models.iter().any(|model| pattern.matches(model)))
    }
}

/// One slot of a window: a calendar window has one at a time, a rolling one many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    start: i64,
    end: i64,
    used: i64,
    held: i64,
}

/// Used, held and leased, in a window.
///
/// A request belongs to the slot it was admitted in, also when it ends later; so what comes for a slot that is over
/// changes nothing. What is leased belongs to no slot: until it is reported, it may be used in any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counter {
    pub(super) scope: Scope,
    /// Counts requests with a number above this: those that came after the limit was set.
    pub(super) since: u64,
    slots: VecDeque<Slot>,
    used: i64,
    held: i64,
    /// Booked for isolates and not yet reported.
    pub(super) leased: i64,
    seen: Timestamp,
}

/// A counter as stored: what is held and leased is rebuilt from the holds and leases.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredCounter {
    pub(super) since: u64,
    /// Start, end, used.
    pub(super) slots: Vec<(i64, i64, i64)>,
}

impl Counter {
    pub(super) const fn new(scope: Scope, since: u64) -> Self {
        let seen = Timestamp(i64::MIN);
        Self { scope, since, slots: VecDeque::new(), used: 0, held: 0, leased: 0, seen }
    }

    /// What is settled.
    pub(super) const fn used(&self) -> i64 {
        self.used
    }

    /// What is held for requests under way.
    pub(super) const fn held(&self) -> i64 {
        self.held
    }

    /// Everything that is not free.
    pub(super) const fn taken(&self) -> i64 {
        self.used.saturating_add(self.held).saturating_add(self.leased)
    }

    /// Forgets slots that are over.
    pub(super) fn roll(&mut self, now: Timestamp) {
        if now <= self.seen {
            return;
        }
        self.seen = now;
        while let Some(slot) = self.slots.front().copied().filter(|slot| slot.end <= now.0) {
            self.used = self.used.saturating_sub(slot.used);
            self.held = self.held.saturating_sub(slot.held);
            self.slots.pop_front();
        }
    }

    /// Counts at `at`; negative amounts take back what was counted there.
    pub(super) fn add(&mut self, at: Timestamp, used: i64, held: i64, zones: Zones) {
        if used == 0 && held == 0 {
            return;
        }
        let known = self.slots.iter().rposition(|slot| slot.start <= at.0);
        let inside = known.and_then(|index| {
            // A slot of a rolling window counts longer than it collects: only its start tells.
            let slot = self.slots.get(index)?;
            let collects = match self.scope.window {
                Window::Rolling(_) => self.scope.window.slot(at, zones).0 == slot.start,
                Window::Total | Window::Calendar(..) => at.0 < slot.end,
            };
            collects.then_some(index)
        });
        if let Some(slot) = inside.and_then(|index| self.slots.get_mut(index)) {
            slot.used = slot.used.saturating_add(used);
            slot.held = slot.held.saturating_add(held);
        } else {
            let (start, end) = self.scope.window.slot(at, zones);
            if end <= self.seen.0 {
                return;
            }
            self.slots.insert(known.map_or(0, |index| index + 1), Slot { start, end, used, held });
        }
        self.used = self.used.saturating_add(used);
        self.held = self.held.saturating_add(held);
    }

    /// Milliseconds until `amount` fits under `limit` if nothing else comes; `None` if it never will, or nobody knows when.
    pub(super) fn wait_ms(&self, now: Timestamp, amount: i64, limit: i64) -> Option<i64> {
        if amount > limit || self.scope.unit == Unit::Concurrent || self.scope.window == Window::Total {
            return None;
        }
        let mut over = self.taken().saturating_add(amount).saturating_sub(limit);
        let mut wait = 0;
        for slot in &self.slots {
            if over <= 0 {
                break;
            }
            over = over.saturating_sub(slot.used.saturating_add(slot.held));
            wait = (slot.end - now.0).max(1);
        }
        Some(wait)
    }

    /// When all of it is free again; `None` if that has no date.
    pub(super) fn resets_at(&self, now: Timestamp, zones: Zones) -> Option<Timestamp> {
        match self.scope.window {
            Window::Total => None,
            Window::Calendar(..) => Some(Timestamp(self.scope.window.slot(now, zones).1)),
            Window::Rolling(_) => {
                let last = self.slots.iter().rev().find(|slot| slot.used != 0 || slot.held != 0);
                Some(Timestamp(last.map_or(now.0, |slot| slot.end.max(now.0))))
            }
        }
    }

    /// The start of the window that is current: with it an event has a name that does not repeat. A rolling window has
    /// none; its length, or a minute if that is longer, is what an event holds for.
    pub(super) fn current(&self) -> i64 {
        let start = self.slots.back().map_or(0, |slot| slot.start);
        match self.scope.window {
            Window::Rolling(ms) => {
                let ms = ms.max(60_000);
                start.div_euclid(ms) * ms
            }
            Window::Total | Window::Calendar(..) => start,
        }
    }

    /// Whether nothing is counted now.
    pub(super) const fn is_empty(&self) -> bool {
        self.used == 0 && self.held == 0 && self.leased == 0
    }

    pub(super) fn stored(&self) -> StoredCounter {
        let slots = self.slots.iter().filter(|slot| slot.used != 0);
        StoredCounter {
            since: self.since,
            slots: slots.map(|slot| (slot.start, slot.end, slot.used)).collect(),
        }
    }

    pub(super) fn restore(&mut self, stored: &StoredCounter) {
        self.since = stored.since;
        self.slots =
            stored.slots.iter().map(|&(start, end, used)| Slot { start, end, used, held: 0 }).collect();
        self.used = self.slots.iter().fold(0, |sum, slot| sum.saturating_add(slot.used));
        self.held = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::limit::utc_only, *};
    use proptest::prelude::*;

    fn counter(window: Window) -> Counter {
        Counter::new(Scope::plain(Unit::Requests, window), 0)
    }

    proptest! {
        #[test]
        fn no_span_holds_more_than_the_limit(
            limit in 1i64..20,
            span_ms in prop_oneof![Just(1_000i64), Just(17i64), Just(60_000i64), Just(3_600_000i64)],
            steps in prop::collection::vec((0i64..100, 1i64..4), 1..300),
        ) {
            let mut counter = counter(Window::Rolling(span_ms));
            let mut now = Timestamp(1_700_000_000_123);
            let mut admitted: Vec<(i64, i64)> = vec![];
            for (wait, amount) in steps {
                now = now.plus_ms(wait * span_ms / 1_000);
                counter.roll(now);
                if counter.taken() + amount <= limit {
                    counter.add(now, amount, 0, utc_only);
                    admitted.push((now.0, amount));
                    let recent: i64 = admitted.iter().filter(|(at, _)| *at > now.0 - span_ms).map(|(_, n)| n).sum();
                    prop_assert!(recent <= limit);
                } else if let Some(wait) = counter.wait_ms(now, amount, limit) {
                    prop_assert!(wait > 0 && wait <= span_ms + span_ms / 60 + 1);
                    let mut later = counter.clone();
                    later.roll(now.plus_ms(wait));
                    prop_assert!(later.taken() + amount <= limit, "the promised wait is long enough");
                } else {
                    prop_assert!(amount > limit);
                }
                let slots: i64 = counter.slots.iter().map(|slot| slot.used).sum();
                prop_assert_eq!(slots, counter.used());
                let mut again = Counter::new(counter.scope.clone(), 9);
                again.restore(&counter.stored());
                again.seen = counter.seen;
                prop_assert_eq!(&again, &counter, "what is stored is what is read");
            }
        }
    }

    #[test]
    fn what_is_late_goes_to_the_slot_it_began_in() {
        let mut counter = counter(Window::MINUTE);
        for (second, amount) in [(10, 1), (8, 2), (9, 4)] {
            counter.add(Timestamp(second * 1_000), amount, 0, utc_only);
        }
        counter.roll(Timestamp(10_000));
        assert_eq!(counter.used(), 7);
        counter.roll(Timestamp(69_500));
        assert_eq!(counter.used(), 5, "only the slot of second 8 is over");
        counter.add(Timestamp(8_000), -2, 0, utc_only);
        assert_eq!(counter.used(), 5, "and stays over");
    }

    #[test]
    fn what_was_held_yesterday_is_not_held_today() {
        let mut counter = Counter::new(Scope::plain(Unit::Usd, Window::DAY), 0);
        let evening = Timestamp(crate::model::time::DAY_MS - 5);
        counter.add(evening, 0, 50, utc_only);
        counter.roll(evening.plus_ms(4));
        assert_eq!(counter.taken(), 50, "until the day's last millisecond");
        counter.roll(evening.plus_ms(10));
        assert_eq!(counter.taken(), 0);
        counter.add(evening, 30, -50, utc_only);
        assert_eq!(counter.taken(), 0);
    }
}
