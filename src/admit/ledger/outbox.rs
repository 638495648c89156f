//! The outbox: settled requests on their way to D1.
//!
//! Rows leave it in the order they were numbered, many at once, and stay until D1 has said that it has them. What
//! D1 refuses while it takes others is found by halving and set aside ([`super::quarantine`]).

use super::{Effect, Entry, Ledger, Write, base, raw, read};
use crate::{
    admit::wire::Reply,
    model::{money::NanoUsd, time::Timestamp},
    settle::row::LedgerRow,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;

/// Outbox rows drained to D1 at once. A request's row is about a kilobyte, a bound value at most two megabytes.
pub(super) const BATCH: u32 = 200;
/// First pause after a failed drain; doubles up to [`DRAIN_BACKOFF_MAX_MS`].
const DRAIN_BACKOFF_MS: i64 = 2_000;
const DRAIN_BACKOFF_MAX_MS: i64 = 120_000;
/// Pause before a row that was refused alone is tried again.
const REFUSED_PAUSE_MS: i64 = 1_000;
/// A row that D1 refuses this often while it takes others is set aside.
const REFUSALS_MAX: u32 = 3;

/// How draining goes. Memory only: a reload begins again with full batches.
#[derive(Debug, Clone, Default)]
pub(super) struct Draining {
    /// How many times the batch is halved.
    halved: u32,
    /// The row that was refused alone, and how often.
    refused: Option<(u64, u32)>,
    /// When this memory was loaded, how many batches were begun since, and how many of them D1 has.
    pub(super) loaded: Timestamp,
    pub(super) begun: u64,
    pub(super) drains: u64,
}

#[derive(Deserialize)]
struct Batch {
    batch: Vec<Box<RawValue>>,
}

/// The settled requests of an outbox row: one, or a batch of them.
#[must_use]
pub fn entries_of(body: &str) -> Vec<Entry> {
    if let Ok(entry) = read::<Entry>(body) {
        return vec![entry];
    }
    let batch = read::<Batch>(body).map(|batch| batch.batch).unwrap_or_default();
    batch.iter().filter_map(|text| read(text.get()).ok()).collect()
}

/// The ledger rows of outbox rows, as one JSON array; empty text if there are none. They are carried unread.
#[must_use]
pub fn rows_of(bodies: &[(u64, String)]) -> String {
    let mut rows = String::from("[");
    for entry in bodies.iter().flat_map(|(_, body)| entries_of(body)) {
        let text = entry.rows.get().trim();
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).trim();
        if !inner.is_empty() {
            if rows.len() > 1 {
                rows.push(',');
            }
            rows.push_str(inner);
        }
    }
    if rows.len() == 1 {
        return String::new();
    }
    rows.push(']');
    rows
}

/// The requests of an entry that stands for several, each an entry of its own.
fn apart(entry: &Entry) -> Vec<Entry> {
    let rows: Vec<LedgerRow> = read(entry.rows.get()).unwrap_or_default();
    let mut requests: Vec<Vec<LedgerRow>> = Vec::new();
    for row in rows {
        match requests
            .iter_mut()
            .find(|rows| rows.first().is_some_and(|one| one.request_id == row.request_id))
        {
            Some(rows) => rows.push(row),
            None => requests.push(vec![row]),
        }
    }
    let sum =
        |rows: &[LedgerRow], of: fn(&LedgerRow) -> u64| rows.iter().map(of).fold(0, u64::saturating_add);
    let one = |rows: Vec<LedgerRow>| Entry {
        ticket: rows.first().map(|row| row.request_id.clone()).unwrap_or_default(),
        cost: rows.iter().fold(NanoUsd::ZERO, |sum, row| sum.plus(row.cost_nanousd)),
        used: sum(&rows, LedgerRow::tokens),
        used_input: sum(&rows, LedgerRow::input),
        count: 1,
        rows: raw(&rows),
        ..entry.clone()
    };
    requests.into_iter().map(one).collect()
}

/// A batch in two halves; `None` of what cannot be halved.
fn halves(body: &str) -> Option<[String; 2]> {
    let batch: Vec<Box<RawValue>> = match read::<Entry>(body) {
        Ok(entry) if entry.count > 1 => apart(&entry).iter().map(raw).collect(),
        _ => read::<Batch>(body).ok()?.batch,
    };
    let (first, second) = batch.split_at_checked(batch.len() / 2).filter(|(first, _)| !first.is_empty())?;
    Some([first, second].map(|half| format!("{{\"batch\":{}}}", crate::settle::raw(&half).get())))
}

/// Whether a message of D1's is about D1, not about what it was given. From Cloudflare's list of errors
/// (<https://developers.cloudflare.com/d1/observability/debug-d1/>, read 2026-11-21) and SQLite's.
fn is_outage(error: &str) -> bool {
    const SIGNS: &[&str] = &[
        "connection lost",
        "overloaded",
        "reset",
        "timed out",
        "timeout",
        "transient",
        "maximum db size",
        "database or disk is full",
        "no such table",
        "no such column",
        "has no column",
        "no database is bound",
    ];
    let error = error.to_lowercase();
    SIGNS.iter().any(|sign| error.contains(sign))
}

impl Ledger {
    /// How many outbox rows to drain at once. Half as many after each failure, down to one, so that a batch that is
    /// too large for D1 does not stay too large; twice as many after each success.
    #[must_use]
    pub fn batch_size(&self) -> u32 {
        (BATCH >> self.draining.halved.min(31)).max(1)
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

    /// Whether it is time to drain.
    #[must_use]
    pub fn drain_due(&self, now: Timestamp) -> bool {
        (self.outbox > 0 || self.retrying().is_some()) && self.drain_at.is_none_or(|at| at <= now)
    }

    /// D1 has these outbox rows: they leave the outbox and enter the base counters, in one transaction. Of those
    /// that had been set aside, which are in the base already, only the row is deleted.
    pub fn drained(&mut self, now: Timestamp, rows: &[(u64, String)], more: bool) -> Effect {
        self.draining.drains += 1;
        let mut writes = Vec::new();
        let mut left = Vec::new();
        for (number, text) in rows {
            if self.set_aside.remove(number).is_some() {
                writes.push(Write::Release { number: *number });
            } else {
                left.push((*number, text.as_str()));
            }
        }
        self.leave_outbox(&left, &mut writes);
        self.draining.halved = self.draining.halved.saturating_sub(1);
        self.draining.refused = None;
        self.drain_failures = 0;
        self.drain_error = None;
        self.drain_at = if more || self.outbox > 0 || self.retrying().is_some() { Some(now) } else { None };
        self.forget_adjustments(now, &mut writes);
        Effect { reply: Reply::Settled, writes, alarm: None }
    }

    /// Rows that leave the outbox: their money enters the base in the same transaction.
    pub(super) fn leave_outbox(&mut self, rows: &[(u64, &str)], writes: &mut Vec<Write>) {
        if rows.is_empty() {
            return;
        }
        let mut touched = BTreeSet::new();
        for (number, text) in rows {
            for entry in entries_of(text) {
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
        writes.push(Write::DropEntries { numbers: rows.iter().map(|(number, _)| *number).collect() });
        for id in touched {
            writes.extend(self.nodes.get(&id).and_then(|node| base(&id, node)));
        }
        if self.outbox == 0 {
            self.outbox_oldest = None;
        }
    }

    /// D1 did not take these outbox rows. `takes_others`: right after, it took a row known to be good.
    pub fn drain_failed(
        &mut self,
        now: Timestamp,
        error: &str,
        rows: &[(u64, String)],
        takes_others: bool,
    ) -> Effect {
        let error: String = error.chars().take(300).collect();
        self.drain_error = Some(error.clone());
        let refused = takes_others && !is_outage(&error);
        let mut writes = Vec::new();
        match rows {
            // Set aside before, and wanted again by the operator.
            [(number, _)] if refused && self.set_aside.contains_key(number) => {
                self.refused_again(*number, &error, &mut writes);
                self.drain_at = (self.outbox > 0 || self.retrying().is_some()).then_some(now);
            }
            [(number, body)] if refused => {
                let times = match self.draining.refused {
                    Some((last, times)) if last == *number => times + 1,
                    _ => 1,
                };
                self.draining.refused = Some((*number, times));
                self.drain_at = Some(now.plus_ms(REFUSED_PAUSE_MS));
                if let Some([first, second]) = halves(body) {
                    self.number += 1;
                    self.outbox += 1;
                    writes.push(Write::Outbox { number: *number, body: first });
                    writes.push(Write::Outbox { number: self.number, body: second });
                    self.drain_at = Some(now);
                } else if times >= REFUSALS_MAX {
                    self.put_aside(now, *number, body, &error, &mut writes);
                    (self.draining.halved, self.draining.refused) = (0, None);
                    self.draining.drains += 1;
                    self.drain_at = (self.outbox > 0).then_some(now);
                }
            }
            _ if refused => {
                self.draining.halved = halvings_below(rows.len());
                self.drain_at = Some(now);
            }
            _ => {
                let pause = DRAIN_BACKOFF_MS
                    .saturating_mul(1 << self.drain_failures.min(10))
                    .min(DRAIN_BACKOFF_MAX_MS);
                self.drain_failures = self.drain_failures.saturating_add(1);
                self.draining.halved = halvings_below(rows.len());
                self.drain_at = Some(now.plus_ms(pause));
            }
        }
        Effect { reply: Reply::Settled, writes, alarm: None }
    }
}

/// How often a full batch must be halved to be smaller than `rows`, down to one.
fn halvings_below(rows: usize) -> u32 {
    (0..31).find(|times| ((BATCH >> times) as usize) < rows.max(2)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gets_smaller_than_what_failed_and_never_zero() {
        for (rows, size) in [(200, 100), (100, 50), (50, 25), (25, 12), (3, 1), (2, 1), (1, 1)] {
            assert_eq!((BATCH >> halvings_below(rows)).max(1), size, "{rows}");
        }
    }

    #[test]
    fn a_batch_row_is_read_and_halved_without_losing_a_request() {
        let entry = |ticket: &str| {
            format!(
                r#"{{"ticket":"{ticket}","at":1,"expires_at":2,"chain":["k"],"bound":0,"tokens":0,"cost":1,"rows":[{{"r":"{ticket}"}}]}}"#
            )
        };
        let body = format!(r#"{{"batch":[{},{},{}]}}"#, entry("a"), entry("b"), entry("c"));
        let tickets =
            |body: &str| entries_of(body).into_iter().map(|entry| entry.ticket).collect::<Vec<_>>().concat();
        assert_eq!(tickets(&body), "abc");
        let [first, second] = halves(&body).unwrap();
        assert_eq!((tickets(&first).as_str(), tickets(&second).as_str()), ("a", "bc"));
        assert_eq!(halves(&first), None);
        assert_eq!(halves(&entry("a")), None);
        assert_eq!(rows_of(&[(1, first), (2, second)]), r#"[{"r":"a"},{"r":"b"},{"r":"c"}]"#);
        assert_eq!(rows_of(&[]), "");
    }

    #[test]
    fn an_outage_is_told_from_a_refusal() {
        for outage in [
            "D1_ERROR: Network connection lost.",
            "D1 DB is overloaded. Requests queued for too long.",
            "D1_ERROR: no such column: reason",
            "D1_ERROR: Exceeded maximum DB size.",
        ] {
            assert!(is_outage(outage), "{outage}");
        }
        for refusal in ["D1_ERROR: NOT NULL constraint failed: ledger.route", "string or blob too big"] {
            assert!(!is_outage(refusal), "{refusal}");
        }
    }
}
