//! Leases: slices of every limit above a key, booked for an isolate that decides by itself.
//!
//! What is outstanding of a lease counts as taken at every level, in every window, until it is reported, given back, or
//! the lease's time is over. So the sum of spent, held and leased never exceeds a limit, whatever isolates do, and a
//! request counts in the window it is reported in at the latest.

use super::{Effect, Entry, Ledger, Write, late::ADJUSTMENT_FROM, late::LATE_MS, read, tokens, write};
use crate::{
    admit::{
        limit::{Amounts, Unit},
        node::{Change, Counted},
        wire::{Begun, Hold, LeaseAsk, Reply, Report, Settlement, Terms},
    },
    model::{
        id::{KeyId, RequestId},
        money::NanoUsd,
        time::Timestamp,
    },
    settle::{
        raw,
        row::{LedgerRow, Outcome},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// A lease gets at most one of so many parts of what is left of a limit: many isolates can have one.
const SHARE: i64 = 8;
/// All leases together have at most one of so many parts of what is neither spent nor held: the rest is decided here, for
/// whoever comes, and a request need not wait for leases to be given back.
const LEASED_SHARE: i64 = 2;
/// With less than one of so many parts of a limit free, isolates report soon, so that what they do not need is free soon.
const PRESSED_SHARE: i64 = 8;
/// The object keeps a lease this much longer than the isolate may use it, for the last report to arrive.
const fn grace_ms(ttl_ms: i64) -> i64 {
    let grace = ttl_ms * 3 / 2;
    if grace > 1_000 { grace } else { 1_000 }
}
/// How long isolates are asked to give back what they do not need, after a refusal that leases have caused.
const RECALL_MS: i64 = 2_000;
/// An isolate cannot ask for longer.
const TTL_MAX_MS: i64 = 10_000;

/// A lease as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// Minted by the isolate.
    pub id: String,
    key: KeyId,
    chain: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    models: Vec<String>,
    at: Timestamp,
    expires_at: Timestamp,
    /// How long of that the isolate may use it.
    ttl_ms: i64,
    seq: u64,
    granted: Amounts,
    returned: Amounts,
    pub(super) used: Amounts,
    /// Held by requests that are entries of their own: rebuilt from these.
    #[serde(skip)]
    pub(super) begun: Amounts,
    /// Its time is over: what it was charged for what nobody has reported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) closed: Option<NanoUsd>,
    #[serde(default)]
    adjustments: u32,
    /// A row of the request that asked for it.
    row: Box<RawValue>,
}

impl Lease {
    /// What the isolate may still use without anybody being told.
    pub(super) fn outstanding(&self) -> Amounts {
        if self.closed.is_some() {
            return Amounts::ZERO;
        }
        self.granted.minus(self.returned).minus(self.used).minus(self.begun).max(Amounts::ZERO)
    }

    pub(super) fn write(&self) -> Option<Write> {
        let body = serde_json::to_string(self).ok()?;
        Some(Write::Lease { id: self.id.clone(), body: Some(body) })
    }

    fn terms(&self, now: Timestamp, recalled: bool, any_user: bool, relaxed: bool) -> Terms {
        Terms {
            id: self.id.clone(),
            granted: self.granted,
            ttl_ms: self.expires_at.since_ms(now).saturating_sub(grace_ms(self.ttl_ms)).max(0),
            at: now,
            closed: self.closed.is_some() || recalled,
            any_user,
            relaxed,
            seq: self.seq,
        }
    }
}

impl Ledger {
    /// Counts every lease's outstanding amounts anew: after loading, and when a node has new counters.
    pub(super) fn count_leases(&mut self) {
        for node in self.nodes.values_mut() {
            node.live.forget_leased();
        }
        let leases: Vec<(Vec<String>, Vec<String>, Amounts)> = self
            .leases
            .values()
            .map(|lease| (lease.chain.clone(), lease.models.clone(), lease.outstanding()))
            .collect();
        for (chain, models, outstanding) in leases {
            self.book(&chain, &models, outstanding);
        }
        for lease in self.leases.values() {
            self.expiries.insert((lease.expires_at, lease.id.clone()));
        }
        for (ticket, late) in &self.late {
            self.expiries.insert((late.until(), ticket.clone()));
        }
    }

    fn book(&mut self, chain: &[String], models: &[String], leased: Amounts) {
        let counted = Counted { number: 0, at: self.now, models };
        self.change(chain, counted, &Change { leased, ..Change::default() });
    }

    /// Changes a lease, and what is booked for it.
    pub(super) fn with_lease(&mut self, id: &str, change: impl FnOnce(&mut Lease)) -> Amounts {
        let Some(lease) = self.leases.get_mut(id) else { return Amounts::ZERO };
        self.touched.insert(id.to_owned());
        let before = lease.outstanding();
        change(lease);
        lease.outstanding().minus(before)
    }

    /// How much of `want` can be booked now. Nothing where some limit must be decided for each request: requests under
    /// way, windows of seconds, limits of end users.
    fn slice(&self, now: Timestamp, chain: &[String], models: &[String], want: Amounts) -> Amounts {
        const WHOLE: i128 = 1_000_000;
        let mut part = WHOLE;
        for node in chain.iter().filter_map(|id| self.nodes.get(id)) {
            if node.shut(now).is_some() {
                return Amounts::ZERO;
            }
            for (scope, limit, counter) in node.headroom(models) {
                if scope.unit == Unit::Concurrent || scope.window.is_short() {
                    return Amounts::ZERO;
                }
                let wanted = want.of(scope.unit);
                if wanted > 0 {
                    let free = limit.saturating_sub(counter.taken()).max(0);
                    let leasable = free.saturating_add(counter.leased) / LEASED_SHARE;
                    let share = (free / SHARE).min(leasable.saturating_sub(counter.leased).max(0));
                    part = part.min(i128::from(share) * WHOLE / i128::from(wanted));
                }
            }
        }
        let cut = |amount: i64| i64::try_from(i128::from(amount) * part / WHOLE).unwrap_or(0);
        Amounts {
            money: NanoUsd(cut(want.money.0)),
            requests: cut(want.requests),
            input: cut(want.input),
            output: cut(want.output),
        }
    }

    /// Whether there is plenty of everything.
    fn relaxed(&self, now: Timestamp, chain: &[String], models: &[String]) -> bool {
        now >= self.recall_until
            && chain.iter().filter_map(|id| self.nodes.get(id)).all(|node| {
                node.headroom(models)
                    .all(|(_, limit, counter)| limit.saturating_sub(counter.taken()) >= limit / PRESSED_SHARE)
            })
    }

    /// A lease for an isolate that has just held a request, if there is enough of everything.
    pub(super) fn grant_first(
        &mut self,
        now: Timestamp,
        ask: &LeaseAsk,
        key: &KeyId,
        entry: &Entry,
        models: &[String],
        has_user: bool,
    ) -> Option<Terms> {
        if let Some(lease) = self.leases.get(&ask.id) {
            let relaxed = self.relaxed(now, &lease.chain, models);
            return Some(lease.terms(now, false, self.any_user(&lease.chain), relaxed));
        }
        let per_user = has_user && entry.chain.iter().any(|id| id.starts_with("user:"));
        if per_user || now < self.recall_until {
            return None;
        }
        let granted = self.slice(now, &entry.chain, models, ask.want.max(Amounts::ZERO));
        // A slice for a single request is worth no lease.
        if granted.requests < 2 {
            return None;
        }
        let ttl_ms = ask.ttl_ms.clamp(0, TTL_MAX_MS);
        let lease = Lease {
            id: ask.id.clone(),
            key: key.clone(),
            chain: entry.chain.clone(),
            models: models.to_vec(),
            at: now,
            expires_at: now.plus_ms(ttl_ms + grace_ms(ttl_ms)),
            ttl_ms,
            seq: 0,
            granted,
            returned: Amounts::ZERO,
            used: Amounts::ZERO,
            begun: Amounts::ZERO,
            closed: None,
            adjustments: 0,
            row: entry.rows.clone(),
        };
        self.book(&lease.chain, &lease.models, granted);
        self.expiries.insert((lease.expires_at, lease.id.clone()));
        self.touched.insert(lease.id.clone());
        let relaxed = self.relaxed(now, &lease.chain, models);
        let terms = lease.terms(now, false, self.any_user(&lease.chain), relaxed);
        self.leases.insert(lease.id.clone(), lease);
        Some(terms)
    }

    /// A refusal would not have been one without leases: isolates shall give back.
    pub(super) fn recall(&mut self, now: Timestamp) {
        self.recall_until = now.plus_ms(RECALL_MS);
    }

    /// What an isolate says of its lease.
    pub(super) fn report(&mut self, now: Timestamp, report: Report) -> Effect {
        let Some(lease) = self.leases.get(&report.lease) else { return Effect::only(Reply::Absent) };
        let key = report.key.clone();
        let (id, chain, models) = (report.lease.clone(), lease.chain.clone(), lease.models.clone());
        let mut writes = Vec::new();
        if report.seq > lease.seq {
            let returned = report.returned.max(lease.returned);
            let delta = self.with_lease(&id, |lease| {
                lease.seq = report.seq;
                lease.returned = returned;
            });
            self.book(&chain, &models, delta);
            if self.leases.get(&id).is_some_and(|lease| lease.closed.is_some()) {
                writes.extend(self.report_late(now, &id, report));
            } else {
                for begun in report.begun {
                    writes.extend(self.begin(now, &id, &chain, &models, begun));
                }
                writes.extend(self.end_unseen(now, &id, &chain, &models, report.settled));
                if report.close {
                    writes.extend(self.close(&id));
                    return Effect { reply: Reply::Settled, writes, alarm: None };
                }
                let shut = self.renew(now, &id, report.want, report.ttl_ms);
                if shut {
                    let mut standing = self.standing(now, &chain, &models, &key);
                    standing.lease = self.leases.get(&id).map(|lease| lease.terms(now, true, false, false));
                    return Effect { reply: Reply::Held(standing), writes, alarm: None };
                }
            }
        }
        let mut standing = self.standing(now, &chain, &models, &key);
        let recalled = now < self.recall_until;
        let any_user = self.any_user(&chain);
        let relaxed = self.relaxed(now, &chain, &models);
        standing.lease = self.leases.get(&id).map(|lease| lease.terms(now, recalled, any_user, relaxed));
        Effect { reply: Reply::Held(standing), writes, alarm: None }
    }

    /// Prolongs a lease and adds to it what is wanted and free. Whether nothing may be admitted from it any more.
    fn renew(&mut self, now: Timestamp, id: &str, want: Amounts, ttl_ms: i64) -> bool {
        let Some(lease) = self.leases.get(id) else { return true };
        let (chain, models, old_end) = (lease.chain.clone(), lease.models.clone(), lease.expires_at);
        // The key may have another team by now, and a level above it other limits.
        let moved = self.chain(&lease.key.clone(), None, None).is_none_or(|nodes| !chain.starts_with(&nodes));
        if moved || self.must_ask(now, &chain, &models) {
            return true;
        }
        let grant = if now < self.recall_until {
            Amounts::ZERO
        } else {
            self.slice(now, &chain, &models, want.max(Amounts::ZERO))
        };
        let ttl_ms = ttl_ms.clamp(0, TTL_MAX_MS);
        let end = now.plus_ms(ttl_ms + grace_ms(ttl_ms));
        let delta = self.with_lease(id, |lease| {
            lease.granted = lease.granted.plus(grant);
            (lease.expires_at, lease.ttl_ms) = (end, ttl_ms);
        });
        self.book(&chain, &models, delta);
        self.expiries.remove(&(old_end, id.to_owned()));
        self.expiries.insert((end, id.to_owned()));
        false
    }

    /// Whether no level has limits for each end user.
    fn any_user(&self, chain: &[String]) -> bool {
        chain.iter().filter_map(|id| self.nodes.get(id)).all(|node| node.spec.each_user.is_none())
    }

    /// Whether every request has to be decided here: somebody is blocked, or a limit is of that kind.
    fn must_ask(&self, now: Timestamp, chain: &[String], models: &[String]) -> bool {
        chain.iter().filter_map(|id| self.nodes.get(id)).any(|node| {
            node.shut(now).is_some()
                || node
                    .headroom(models)
                    .any(|(scope, ..)| scope.unit == Unit::Concurrent || scope.window.is_short())
        })
    }

    /// A request under way becomes a hold like any other, out of what was booked for its lease.
    fn begin(
        &mut self,
        now: Timestamp,
        id: &str,
        chain: &[String],
        models: &[String],
        begun: Begun,
    ) -> Option<Write> {
        let Begun { ticket, at, bound, tokens: all, input, ttl_ms, unsettled } = begun;
        if self.holds.contains_key(&ticket) {
            return None;
        }
        let amounts = Amounts { money: bound, requests: 1, ..tokens(all, input) };
        let since = self.leases.get(id).map_or(now, |lease| lease.at);
        self.number += 1;
        let number = self.number;
        let entry = Entry {
            ticket: ticket.clone(),
            at: at.max(since).min(now),
            expires_at: now.plus_ms(ttl_ms.max(1_000)),
            chain: chain.to_vec(),
            models: models.to_vec(),
            bound,
            tokens: all,
            input,
            cost: NanoUsd::ZERO,
            used: 0,
            used_input: 0,
            count: 1,
            from_lease: Some((id.to_owned(), amounts)),
            rows: unsettled,
        };
        let leased = self.with_lease(id, |lease| lease.begun = lease.begun.plus(amounts));
        let change = Change {
            used: Amounts { requests: 1, ..Amounts::ZERO },
            held: entry.held(),
            under_way: 1,
            leased,
        };
        self.change(chain, entry.counted(number), &change);
        let body = write(number, false, &entry);
        self.expiries.insert((entry.expires_at, ticket.clone()));
        self.holds.insert(ticket, (number, entry));
        Some(body)
    }

    /// A request of a lease asks for more than it was admitted with, before anybody has heard of it.
    pub(super) fn take_over(&mut self, now: Timestamp, hold: &Hold, lease: &str, amounts: Amounts) -> bool {
        let Some((chain, models)) = self
            .leases
            .get(lease)
            .filter(|lease| lease.closed.is_none())
            .map(|lease| (lease.chain.clone(), lease.models.clone()))
        else {
            return false;
        };
        let unsigned = |amount: i64| u64::try_from(amount).unwrap_or(0);
        let begun = Begun {
            ticket: hold.ticket.clone(),
            at: now,
            bound: amounts.money,
            tokens: unsigned(amounts.of(Unit::Tokens)),
            input: unsigned(amounts.input),
            ttl_ms: hold.ttl_ms,
            unsettled: hold.unsettled.clone(),
        };
        // Its row is written by the hold that follows; if that is refused, here.
        let written = self.begin(now, lease, &chain, &models, begun);
        self.unsaved.extend(written);
        true
    }

    /// Requests that began and ended between two reports: one entry for those of a second.
    fn end_unseen(
        &mut self,
        now: Timestamp,
        id: &str,
        chain: &[String],
        models: &[String],
        settled: Vec<(Timestamp, Settlement)>,
    ) -> Vec<Write> {
        let since = self.leases.get(id).map_or(now, |lease| lease.at);
        let mut writes = Vec::new();
        let mut seconds: BTreeMap<i64, Vec<(Timestamp, Settlement)>> = BTreeMap::new();
        for (at, settlement) in settled {
            if self.holds.contains_key(&settlement.ticket) {
                writes.extend(self.settle_held(now, settlement));
            } else if self.late.contains_key(&settlement.ticket) {
                writes.extend(self.settle_late(now, settlement).writes);
            } else {
                let at = at.max(since).min(now);
                seconds.entry(at.0.div_euclid(1_000)).or_default().push((at, settlement));
            }
        }
        for (second, together) in seconds {
            let at = together.iter().map(|(at, _)| *at).max().unwrap_or(now);
            let entry = Entry {
                ticket: format!("{id}.{second}"),
                at,
                chain: chain.to_vec(),
                models: models.to_vec(),
                cost: together.iter().fold(NanoUsd::ZERO, |sum, (_, one)| sum.plus(one.cost)),
                used: together.iter().fold(0, |sum, (_, one)| sum.saturating_add(one.tokens)),
                used_input: together.iter().fold(0, |sum, (_, one)| sum.saturating_add(one.input)),
                count: i64::try_from(together.len()).unwrap_or(i64::MAX),
                ..Entry::settled(joined(together.iter().map(|(_, one)| one.rows.get())))
            };
            let used = entry.charge().used;
            let leased = self.with_lease(id, |lease| lease.used = lease.used.plus(used));
            writes.extend(self.charge(now, &entry, leased));
        }
        writes
    }

    /// What an ended request leaves to its lease: the isolate counts on it.
    pub(super) fn give_back_to_lease(&mut self, entry: &Entry) -> Amounts {
        let Some((id, amounts)) = &entry.from_lease else { return Amounts::ZERO };
        let used = Amounts { requests: 1, ..entry.spent() }.min(*amounts).max(Amounts::ZERO);
        self.with_lease(id, |lease| {
            lease.begun = lease.begun.minus(*amounts);
            lease.used = lease.used.plus(used);
        })
    }

    /// The isolate is done: what is outstanding is free. Requests under way stay held.
    fn close(&mut self, id: &str) -> Vec<Write> {
        let Some(lease) = self.leases.remove(id) else { return Vec::new() };
        self.expiries.remove(&(lease.expires_at, lease.id.clone()));
        self.book(&lease.chain, &lease.models, Amounts::ZERO.minus(lease.outstanding()));
        vec![Write::Lease { id: lease.id, body: None }]
    }

    /// Nobody reported in time: what is outstanding is charged, in one row. What comes later corrects it.
    pub(super) fn expire_lease(&mut self, now: Timestamp, id: &str) -> Vec<Write> {
        let Some(lease) = self.leases.get(id) else { return Vec::new() };
        let rest = lease.outstanding();
        if lease.closed.is_some() || rest.of(Unit::Requests) == 0 && rest.money == NanoUsd::ZERO {
            return self.close(id);
        }
        let unsigned = |amount: i64| u64::try_from(amount).unwrap_or(0);
        let row = read::<LedgerRow>(lease.row.get()).ok().map(|row| LedgerRow {
            // Ledger rows are found by the time in their id.
            request_id: row_id(now, id),
            metadata: None,
            at_ms: now,
            outcome: Outcome::Unsettled,
            cost_nanousd: rest.money,
            duration_ms: now.since_ms(lease.at),
            error: Some(format!(
                "an isolate that could admit requests by itself was not heard of again: at most {} requests of lease {id}",
                rest.requests
            )),
            ..row
        });
        let entry = Entry {
            ticket: id.to_owned(),
            at: now,
            chain: lease.chain.clone(),
            models: lease.models.clone(),
            cost: rest.money,
            used: unsigned(rest.of(Unit::Tokens)),
            used_input: unsigned(rest.input),
            count: rest.requests,
            // Without money there is nothing to correct later, and no row to say so.
            ..Entry::settled(raw(&row.iter().filter(|_| rest.money > NanoUsd::ZERO).collect::<Vec<_>>()))
        };
        let leased = self.with_lease(id, |lease| {
            lease.closed = Some(rest.money);
            lease.row = row.as_ref().map(raw).unwrap_or_default();
            lease.at = now;
            lease.expires_at = now.plus_ms(LATE_MS);
        });
        let writes = self.charge(now, &entry, leased);
        if let Some(lease) = self.leases.get(id) {
            self.expiries.insert((lease.expires_at, lease.id.clone()));
        }
        writes
    }

    /// A report on a lease that was charged already: its rows are written, and the charge is lowered by as much.
    fn report_late(&mut self, now: Timestamp, id: &str, report: Report) -> Vec<Write> {
        let Some(lease) = self.leases.get(id) else { return Vec::new() };
        let (chain, models, charged_at) = (lease.chain.clone(), lease.models.clone(), lease.at);
        let mut covered = NanoUsd::ZERO;
        let mut writes = Vec::new();
        for begun in report.begun {
            covered = covered.plus(begun.bound);
            writes.extend(self.begin(now, id, &chain, &models, begun));
        }
        for (_, settlement) in &report.settled {
            if !self.holds.contains_key(&settlement.ticket) && !self.late.contains_key(&settlement.ticket) {
                covered = covered.plus(settlement.cost);
            }
        }
        writes.extend(self.end_unseen(now, id, &chain, &models, report.settled));
        self.touched.insert(id.to_owned());
        let Some(lease) = self.leases.get_mut(id) else { return writes };
        let charged = lease.closed.unwrap_or(NanoUsd::ZERO);
        let less = if report.close { charged } else { covered.min(charged) };
        lease.closed = Some(charged.minus(less));
        if less > NanoUsd::ZERO {
            lease.adjustments += 1;
            let row = read::<LedgerRow>(lease.row.get()).ok().map(|row| LedgerRow {
                attempt: ADJUSTMENT_FROM.saturating_add(lease.adjustments - 1),
                at_ms: charged_at,
                outcome: Outcome::Adjustment,
                cost_nanousd: NanoUsd::ZERO.minus(less),
                adjusts: Some(1),
                reason: Some("the isolate was heard of after all".to_owned()),
                ..row
            });
            let entry = Entry {
                ticket: format!("{id}.late"),
                at: charged_at,
                chain,
                models,
                cost: NanoUsd::ZERO.minus(less),
                ..Entry::settled(raw(&row.into_iter().collect::<Vec<_>>()))
            };
            writes.extend(self.charge(now, &entry, Amounts::ZERO));
        }
        if report.close {
            writes.extend(self.close(id));
        }
        writes
    }
}

/// The id of the row a lease is charged with: of the time of the charge, and its own.
fn row_id(now: Timestamp, lease: &str) -> String {
    let digest = Sha256::digest(lease);
    // Digits of a hexadecimal number are digits of an id.
    let own = digest.iter().take(8).fold(String::new(), |own, byte| own + &format!("{byte:02x}"));
    RequestId::lower_bound(now.0) + &own
}

/// Arrays as one array, unread.
fn joined<'a>(arrays: impl Iterator<Item = &'a str>) -> Box<RawValue> {
    let mut text = String::from("[");
    for array in arrays {
        let inner =
            array.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or("").trim();
        if !inner.is_empty() {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(inner);
        }
    }
    text.push(']');
    RawValue::from_string(text).unwrap_or_default()
}
