//! Rows that D1 refuses while it takes others.
//!
//! They stay in the object, out of the outbox's way. Their money is in the base counters like that of drained rows, so
//! budgets see no difference. The operator sees them with D1's reason and can have them tried again.

use super::{Effect, Entry, Ledger, Write, outbox::entries_of, read};
use crate::{
    admit::wire::{Quarantined, Reply},
    model::{money::NanoUsd, time::Timestamp},
    settle::row::LedgerRow,
};
use serde::{Deserialize, Serialize};

/// Of so many the inspection tells each; of all the sums.
const SHOWN_MAX: usize = 100;

/// An outbox row set aside, as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SetAside {
    /// The outbox row.
    body: String,
    /// What D1 said.
    error: String,
    /// When it was set aside.
    since: Timestamp,
    /// The operator wants it tried again.
    #[serde(default)]
    retry: bool,
}

impl SetAside {
    fn write(&self, number: u64) -> Option<Write> {
        serde_json::to_string(self).ok().map(|body| Write::Quarantine { number, body })
    }
}

impl Ledger {
    pub(super) fn load_quarantine(&mut self, rows: &[(u64, String)]) -> Result<(), String> {
        for (number, text) in rows {
            self.number = self.number.max(*number);
            self.set_aside.insert(*number, read(text)?);
        }
        Ok(())
    }

    /// A row leaves the outbox without having reached D1.
    pub(super) fn put_aside(
        &mut self,
        now: Timestamp,
        number: u64,
        body: &str,
        error: &str,
        writes: &mut Vec<Write>,
    ) {
        let row = SetAside { body: body.to_owned(), error: error.to_owned(), since: now, retry: false };
        let Some(write) = row.write(number) else { return };
        self.leave_outbox(&[(number, body)], writes);
        writes.push(write);
        self.set_aside.insert(number, row);
    }

    /// Tried again, refused again.
    pub(super) fn refused_again(&mut self, number: u64, error: &str, writes: &mut Vec<Write>) {
        if let Some(row) = self.set_aside.get_mut(&number) {
            row.retry = false;
            error.clone_into(&mut row.error);
            writes.extend(row.write(number));
        }
    }

    /// The next row to try again, alone: as one that was refused it must not take others with it.
    #[must_use]
    pub fn retrying(&self) -> Option<(u64, String)> {
        let (number, row) = self.set_aside.iter().find(|(_, row)| row.retry)?;
        Some((*number, row.body.clone()))
    }

    /// All of them shall be tried again.
    pub(super) fn retry_quarantine(&mut self, now: Timestamp) -> Effect {
        let mut writes = Vec::new();
        for (number, row) in &mut self.set_aside {
            row.retry = true;
            writes.extend(row.write(*number));
        }
        if !writes.is_empty() && self.drain_at.is_none() {
            self.drain_at = Some(now);
        }
        Effect { reply: Reply::Retrying { rows: writes.len() as u64 }, writes, alarm: None }
    }

    /// What is set aside, for the operator.
    pub(super) fn quarantined(&self) -> Vec<Quarantined> {
        let shown = self.set_aside.iter().take(SHOWN_MAX).map(|(number, row)| {
            let entries = entries_of(&row.body);
            Quarantined {
                number: *number,
                since_ms: row.since,
                error: row.error.clone(),
                retrying: row.retry,
                request_ids: entries.iter().flat_map(requests_of).collect(),
                cost_nanousd: entries.iter().fold(NanoUsd::ZERO, |sum, entry| sum.plus(entry.cost)),
            }
        });
        shown.collect()
    }

    /// The bodies of all that is set aside.
    pub(super) fn set_aside_bodies(&self) -> impl Iterator<Item = &str> {
        self.set_aside.values().map(|row| row.body.as_str())
    }

    /// The rows of a request that is set aside.
    pub(super) fn find_set_aside(&self, ticket: &str) -> Option<Vec<LedgerRow>> {
        let entries = self.set_aside_bodies().filter(|body| body.contains(ticket)).flat_map(entries_of);
        // Requests of a lease share an entry, whose ticket is none of theirs.
        entries.into_iter().find_map(|entry| {
            let mut rows: Vec<LedgerRow> = read(entry.rows.get()).ok()?;
            rows.retain(|row| row.request_id == ticket);
            (!rows.is_empty()).then_some(rows)
        })
    }
}

/// The requests that an entry has rows of, each once.
fn requests_of(entry: &Entry) -> Vec<String> {
    let rows: Vec<LedgerRow> = read(entry.rows.get()).unwrap_or_default();
    let mut ids: Vec<String> = rows.into_iter().map(|row| row.request_id).collect();
    ids.dedup();
    if ids.is_empty() { vec![entry.ticket.clone()] } else { ids }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settle::raw;

    #[test]
    fn an_entry_of_a_lease_tells_the_requests_it_has_rows_of() {
        let row =
            |id: &str, attempt| LedgerRow { request_id: id.to_owned(), attempt, ..LedgerRow::default() };
        let rows = [row("req_a", 1), row("req_a", 2), row("req_b", 1)];
        let entry = Entry { ticket: "lea_1.7".to_owned(), ..Entry::settled(raw(&rows)) };
        assert_eq!(requests_of(&entry), ["req_a", "req_b"]);
        let empty = Entry { ticket: "req_c".to_owned(), ..Entry::settled(raw(&[(); 0])) };
        assert_eq!(requests_of(&empty), ["req_c"]);
    }
}
