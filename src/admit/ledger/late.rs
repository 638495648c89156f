//! Settlements that come after their hold has expired: corrected by an adjustment row, since a row is never edited.

use super::{Effect, Entry, Ledger, Write, read, tokens};
use crate::{
    admit::{
        limit::Amounts,
        wire::{Reply, Settlement},
    },
    model::{
        money::NanoUsd,
        time::{DAY_MS, Timestamp},
    },
    settle::{
        raw,
        row::{LedgerRow, Outcome},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// How long a settlement may be late.
pub(super) const LATE_MS: i64 = DAY_MS;
/// Adjustments of this kind have attempt numbers from here; those of a re-rating have smaller ones ([`crate::settle::rerate`]).
pub(super) const ADJUSTMENT_FROM: u32 = 900_001;

/// What is remembered of a hold that expired.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Late {
    at: Timestamp,
    until: Timestamp,
    chain: Vec<String>,
    #[serde(default)]
    models: Vec<String>,
    /// What it was charged.
    charged: NanoUsd,
    /// The lease it was admitted from: its isolate counts on what is left of the bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from_lease: Option<(String, Amounts)>,
    /// The row it was charged with.
    row: Box<RawValue>,
}

impl Late {
    pub(super) const fn until(&self) -> Timestamp {
        self.until
    }
}

impl Ledger {
    /// Before a hold expires: what a late settlement will need.
    pub(super) fn remember_late(&mut self, now: Timestamp, entry: &Entry) -> Option<Write> {
        let late = Late {
            at: entry.at,
            until: now.plus_ms(LATE_MS),
            chain: entry.chain.clone(),
            models: entry.models.clone(),
            charged: entry.bound,
            from_lease: entry.from_lease.clone(),
            row: entry.rows.clone(),
        };
        let body = serde_json::to_string(&late).ok()?;
        self.expiries.insert((late.until, entry.ticket.clone()));
        self.late.insert(entry.ticket.clone(), late);
        Some(Write::Late { ticket: entry.ticket.clone(), body: Some(body) })
    }

    /// A settlement of what is not held any more.
    pub(super) fn settle_late(&mut self, now: Timestamp, settlement: Settlement) -> Effect {
        let Settlement { ticket, cost, tokens: all, input, rows } = settlement;
        let Some(late) = self.late.remove(&ticket) else { return Effect::only(Reply::Absent) };
        self.expiries.remove(&(late.until, ticket.clone()));
        // Attempt 1 has its row, charged at the bound: it is corrected to what it was. The others have none yet.
        let rows: Vec<LedgerRow> = read(rows.get()).unwrap_or_default();
        let first = rows.iter().find(|row| row.attempt == 1);
        let template = read::<LedgerRow>(late.row.get()).ok();
        let outcome = first.map_or("released", |row| row.outcome.word());
        let mut corrected: Vec<LedgerRow> = first
            .or(template.as_ref())
            .map(|row| LedgerRow {
                attempt: ADJUSTMENT_FROM,
                at_ms: late.at,
                outcome: Outcome::Adjustment,
                cost_nanousd: first.map_or(NanoUsd::ZERO, |row| row.cost_nanousd).minus(late.charged),
                adjusts: Some(1),
                reason: Some(format!("settled after its hold had expired; the attempt ended: {outcome}")),
                ..row.clone()
            })
            .into_iter()
            .collect();
        corrected.extend(rows.into_iter().filter(|row| row.attempt != 1));
        let entry = Entry {
            ticket: format!("{ticket}.late"),
            at: late.at,
            chain: late.chain,
            models: late.models,
            cost: cost.minus(late.charged),
            ..Entry::settled(raw(&corrected))
        };
        let leased = late.from_lease.map_or(Amounts::ZERO, |(lease, amounts)| {
            let used =
                Amounts { money: cost, requests: 1, ..tokens(all, input) }.min(amounts).max(Amounts::ZERO);
            self.with_lease(&lease, |lease| lease.used = lease.used.minus(amounts.minus(used)))
        });
        let mut writes = self.charge(now, &entry, leased);
        writes.push(Write::Late { ticket, body: None });
        Effect { reply: Reply::Settled, writes, alarm: None }
    }
}
