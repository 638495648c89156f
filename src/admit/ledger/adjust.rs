//! Corrections of what settled requests cost: new rows and a changed total, never an edited row.

use super::{Effect, Entry, Ledger, Write, read};
use crate::{
    admit::{
        limit::Amounts,
        wire::{Adjustment, Reply},
    },
    model::{
        money::NanoUsd,
        time::{DAY_MS, Timestamp},
    },
    settle::{raw, row::LedgerRow},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How long an adjustment is remembered. Whoever computes one from D1 does it within minutes; by then its rows are there.
const REMEMBERED_MS: i64 = DAY_MS;

/// What is remembered of an adjustment, so that making it again changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Adjusted {
    at: Timestamp,
    /// `(request id, attempt)` of each row.
    rows: Vec<(String, u32)>,
}

impl Ledger {
    pub(super) fn load_adjustments(&mut self, stored: &[(String, String)]) -> Result<(), String> {
        for (id, text) in stored {
            self.adjusted.insert(id.clone(), read(text)?);
        }
        Ok(())
    }

    /// Puts the rows that are new here into the outbox and counts their money.
    pub(super) fn adjust(&mut self, now: Timestamp, adjustment: Adjustment) -> Effect {
        let Adjustment { adjustment_id, key, at, rows, .. } = adjustment;
        let rows: Vec<LedgerRow> = match read(rows.get()) {
            Ok(rows) => rows,
            Err(message) => return Effect::only(Reply::Failed { message }),
        };
        if self.adjusted.contains_key(&adjustment_id) {
            return Effect::only(Reply::Settled);
        }
        // The same row may come in another company: two who re-rate at once cut their batches differently.
        let known: BTreeSet<&(String, u32)> = self.adjusted.values().flat_map(|made| &made.rows).collect();
        let rows: Vec<LedgerRow> =
            rows.into_iter().filter(|row| !known.contains(&(row.request_id.clone(), row.attempt))).collect();
        if rows.is_empty() {
            return Effect::only(Reply::Settled);
        }
        let customer = self.customer.clone().into_iter();
        let chain =
            self.chain(&key, None, None).unwrap_or_else(|| [key.0].into_iter().chain(customer).collect());
        let mut models: Vec<String> = rows.iter().map(|row| row.model.clone()).collect();
        models.sort();
        models.dedup();
        let entry = Entry {
            ticket: adjustment_id.clone(),
            at,
            chain,
            models,
            cost: rows.iter().fold(NanoUsd::ZERO, |sum, row| sum.plus(row.cost_nanousd)),
            ..Entry::settled(raw(&rows))
        };
        let made =
            Adjusted { at: now, rows: rows.into_iter().map(|row| (row.request_id, row.attempt)).collect() };
        let Ok(memory) = serde_json::to_string(&made) else {
            return Effect::only(Reply::Failed { message: "the adjustment cannot be written".to_owned() });
        };
        let mut writes = self.charge(now, &entry, Amounts::ZERO);
        self.adjusted.insert(adjustment_id.clone(), made);
        writes.push(Write::Adjusted { id: adjustment_id, body: Some(memory) });
        Effect { reply: Reply::Settled, writes, alarm: None }
    }

    /// Adjustments too old to be made again by accident. Not before all of the outbox is drained: theirs may be in it.
    pub(super) fn forget_adjustments(&mut self, now: Timestamp, writes: &mut Vec<Write>) {
        if self.adjusted.is_empty() || self.outbox > 0 || !self.set_aside.is_empty() {
            return;
        }
        let old = |made: &Adjusted| made.at.plus_ms(REMEMBERED_MS) < now;
        let ids: Vec<String> =
            self.adjusted.iter().filter(|(_, made)| old(made)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.adjusted.remove(&id);
            writes.push(Write::Adjusted { id, body: None });
        }
    }
}
