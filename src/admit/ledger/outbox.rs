//! The outbox: settled requests on their way to D1.

use super::{Effect, Entry, Ledger, Write, base, read};
use crate::{admit::wire::Reply, model::time::Timestamp};
use std::collections::BTreeSet;

/// Requests drained to D1 at once. A row is about a kilobyte, a bound value at most two megabytes.
const BATCH: u32 = 200;
/// First pause after a failed drain; doubles up to [`DRAIN_BACKOFF_MAX_MS`].
const DRAIN_BACKOFF_MS: i64 = 2_000;
const DRAIN_BACKOFF_MAX_MS: i64 = 120_000;

impl Ledger {
    /// How many requests to drain at once: half as many after each failure, down to one, so that a batch that is too large
    /// for D1 does not stay too large.
    #[must_use]
    pub fn batch_size(&self) -> u32 {
        (BATCH >> self.drain_failures.min(31)).max(1)
    }

    /// Whether it is time to drain.
    #[must_use]
    pub fn drain_due(&self, now: Timestamp) -> bool {
        self.outbox > 0 && self.drain_at.is_none_or(|at| at <= now)
    }

    /// D1 has these entries: they leave the outbox and enter the base counters, in one transaction.
    pub fn drained(&mut self, now: Timestamp, entries: &[(u64, String)], more: bool) -> Effect {
        let mut writes = Vec::new();
        let mut touched = BTreeSet::new();
        for (number, text) in entries {
            if let Ok(entry) = read::<Entry>(text) {
                let zones = self.zones;
                for id in &entry.chain {
                    if self.is_forgotten(id) {
                        continue;
                    }
                    let node = self.node(id);
                    node.base.roll(entry.at);
                    node.base.change(entry.counted(*number), &entry.charge(), zones);
                    touched.insert(id.clone());
                }
            }
            self.outbox = self.outbox.saturating_sub(1);
        }
        writes.push(Write::DropEntries { numbers: entries.iter().map(|(number, _)| *number).collect() });
        for id in touched {
            writes.extend(self.nodes.get(&id).and_then(|node| base(&id, node)));
        }
        self.drain_failures = 0;
        self.drain_error = None;
        self.drain_at = if more || self.outbox > 0 { Some(now) } else { None };
        if self.outbox == 0 {
            self.outbox_oldest = None;
        }
        Effect { reply: Reply::Settled, writes, alarm: None }
    }

    /// D1 did not take them: try again later.
    pub fn drain_failed(&mut self, now: Timestamp, error: &str) -> Effect {
        let pause =
            DRAIN_BACKOFF_MS.saturating_mul(1 << self.drain_failures.min(10)).min(DRAIN_BACKOFF_MAX_MS);
        self.drain_failures = self.drain_failures.saturating_add(1);
        self.drain_error = Some(error.chars().take(300).collect());
        self.drain_at = Some(now.plus_ms(pause));
        Effect::only(Reply::Settled)
    }

    /// D1 did not take the events: they wait in storage, and the object is woken for them.
    pub fn events_failed(&mut self, now: Timestamp) -> Effect {
        self.events_at = Some(now.plus_ms(DRAIN_BACKOFF_MAX_MS / 4));
        Effect::only(Reply::Settled)
    }

    /// D1 has all events.
    pub fn events_drained(&mut self) -> Effect {
        self.events_at = None;
        Effect::only(Reply::Settled)
    }
}
