//! What the object says D1 must hold, for reconciliation.

use super::{
    Effect, Ledger, Stored, Write,
    outbox::{BATCH, entries_of},
};
use crate::{
    admit::wire::{Audit, AuditedKey, Reply},
    model::money::NanoUsd,
    settle::{row::LedgerRow, shard},
};
use std::collections::BTreeMap;

/// Outbox rows looked at: those that may be under way to D1, or have arrived there unheard, are among the first batch.
pub const AUDITED_ROWS: u32 = 2 * BATCH;

impl Ledger {
    /// An object that has drained without a word about where did it into the default database: there was no other.
    pub(super) fn load_database(&mut self, stored: &Stored) {
        self.database =
            stored.database.clone().or_else(|| (!stored.bases.is_empty()).then(|| shard::DEFAULT.to_owned()));
    }

    /// A batch is about to be sent. Settles for ever where this ledger goes, before the first row does: the number of databases may change later, and a
    /// row that was sent to two of them would be two rows.
    pub fn begin_drain(&mut self, databases: u32) -> Effect {
        self.draining.begun += 1;
        let mut effect = Effect::only(Reply::Settled);
        if self.database.is_none() {
            let name = shard::home(self.customer.as_deref().unwrap_or_default(), databases);
            effect.writes.push(Write::Database { name: name.clone() });
            self.database = Some(name);
        }
        effect
    }

    /// The binding of the D1 database this ledger goes to.
    #[must_use]
    pub fn database(&self) -> &str {
        self.database.as_deref().unwrap_or(shard::DEFAULT)
    }

    /// The money that left for D1, by key. `outbox` are the bodies of the first [`AUDITED_ROWS`] outbox rows.
    #[must_use]
    pub fn audit(&self, outbox: &[String]) -> Audit {
        let mut keys: BTreeMap<String, AuditedKey> = BTreeMap::new();
        for (id, node) in self.nodes.iter().filter(|(id, _)| id.starts_with("key_")) {
            let key = keys.entry(id.clone()).or_default();
            key.drained_nanousd = node.base.spent_ever();
            key.spent_nanousd = node.live.spent_ever();
        }
        let mut unsure: Vec<String> = Vec::new();
        for entry in self.set_aside_bodies().flat_map(entries_of) {
            if let Some(key) = entry.chain.first().and_then(|id| keys.get_mut(id)) {
                // In the base, and not in D1.
                key.drained_nanousd = key.drained_nanousd.minus(entry.cost);
                key.quarantined_nanousd = key.quarantined_nanousd.plus(entry.cost);
            }
            unsure.extend(unsure_rows(&entry));
        }
        for entry in outbox.iter().flat_map(|body| entries_of(body)) {
            unsure.extend(unsure_rows(&entry));
        }
        for key in keys.values_mut() {
            let known = key.drained_nanousd.plus(key.quarantined_nanousd);
            key.outbox_nanousd = key.spent_nanousd.minus(known);
        }
        keys.retain(|_, key| *key != AuditedKey::default());
        let customer = self.customer.as_ref().and_then(|id| self.nodes.get(id));
        Audit {
            known: self.customer.is_some(),
            stamp: format!("{}/{}/{}", self.draining.loaded.0, self.draining.begun, self.draining.drains),
            outbox: self.outbox,
            spent_nanousd: customer.map_or(NanoUsd::ZERO, |node| node.live.spent_ever()),
            database: self.database.clone(),
            keys,
            unsure,
        }
    }
}

/// Rows of a request as `request id/attempt`.
fn unsure_rows(entry: &super::Entry) -> Vec<String> {
    let rows: Vec<LedgerRow> = super::read(entry.rows.get()).unwrap_or_default();
    rows.iter().map(|row| format!("{}/{}", row.request_id, row.attempt)).collect()
}
