//! Loading: from what is stored to the live state.

use super::{
    Lease, Ledger,
    entry::{Entry, read},
    outbox::entries_of,
};
use crate::{
    admit::{
        limit::{Amounts, Zones},
        node::{Change, StoredCounters},
        wire::{KeyRecord, NodeSpec},
    },
    model::time::Timestamp,
};
use serde::Deserialize;

/// Everything the object has stored, as JSON texts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Stored {
    /// [`NodeSpec`]s.
    pub nodes: Vec<String>,
    /// `(node id, counters)`.
    pub bases: Vec<(String, String)>,
    /// [`KeyRecord`]s.
    pub keys: Vec<String>,
    /// `(number, settled, Entry)`.
    pub entries: Vec<(u64, bool, String)>,
    /// [`Lease`]s.
    pub leases: Vec<String>,
    /// `(ticket, what is remembered of a hold that expired)`.
    pub late: Vec<(String, String)>,
    /// `(number, row set aside)`.
    pub quarantine: Vec<(u64, String)>,
    /// `(id, adjustment)`.
    pub adjusted: Vec<(String, String)>,
    /// The binding of the D1 database this ledger goes to.
    pub database: Option<String>,
}

impl Ledger {
    /// Rebuilds the live state from what is stored.
    ///
    /// # Errors
    /// A text that cannot be read: the object must not serve with half of its memory.
    pub fn load(stored: &Stored, now: Timestamp, zones: Zones) -> Result<Self, String> {
        let mut ledger = Self { zones, ..Self::default() };
        for text in &stored.nodes {
            let spec: NodeSpec = read(text)?;
            let id = spec.id.clone();
            ledger.put_node(spec);
            ledger.remember_user(&id);
        }
        for (id, text) in &stored.bases {
            let base: StoredCounters = read(text)?;
            ledger.node(id).restore(&base, zones);
        }
        for text in &stored.keys {
            let record: KeyRecord = read(text)?;
            ledger.keys.insert(record.digest.0.clone(), record);
        }
        for text in &stored.leases {
            let lease: Lease = read(text)?;
            ledger.leases.insert(lease.id.clone(), lease);
        }
        for (ticket, text) in &stored.late {
            ledger.late.insert(ticket.clone(), read(text)?);
        }
        ledger.load_quarantine(&stored.quarantine)?;
        ledger.load_adjustments(&stored.adjusted)?;
        ledger.load_database(stored);
        ledger.draining.loaded = now;
        let mut held = Vec::new();
        for (number, settled, text) in &stored.entries {
            ledger.number = ledger.number.max(*number);
            if *settled {
                let entries = entries_of(text);
                if entries.is_empty() {
                    return Err(format!("outbox row {number} cannot be read"));
                }
                for entry in entries {
                    ledger.change(&entry.chain, entry.counted(*number), &entry.charge());
                    ledger.note_oldest(entry.at);
                }
                ledger.outbox += 1;
            } else {
                held.push((*number, read::<Entry>(text)?));
            }
        }
        held.sort_by_key(|(_, entry)| entry.at);
        for (number, entry) in held {
            let begin = Change {
                used: Amounts { requests: entry.count, ..Amounts::ZERO },
                held: entry.held(),
                under_way: 1,
                ..Change::default()
            };
            ledger.change(&entry.chain, entry.counted(number), &begin);
            ledger.expiries.insert((entry.expires_at, entry.ticket.clone()));
            if let Some((lease, amounts)) = &entry.from_lease
                && let Some(lease) = ledger.leases.get_mut(lease)
            {
                lease.begun = lease.begun.plus(*amounts);
            }
            ledger.holds.insert(entry.ticket.clone(), (number, entry));
        }
        ledger.count_leases();
        if ledger.outbox > 0 || ledger.retrying().is_some() {
            ledger.drain_at = Some(now);
        }
        Ok(ledger)
    }
}
