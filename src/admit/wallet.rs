//! An isolate's half of admission: leases it admits from without asking, and what it owes the object in reports.
//!
//! Without I/O, like the ledger: the time comes in, commands go out. Clocks need not agree: how long a lease may be used
//! counts from the sending of the question, so it always ends here before it ends in the object. Requests that a report
//! does not mention yet are covered by what is outstanding of their lease; whatever is lost here, the object has booked.

mod asked;

pub use asked::{Asked, Extension};

use super::{
    limit::Amounts,
    wire::{Begun, Command, LeaseAsk, RateStanding, Reply, Report, Settlement, Standing, Terms},
};
use crate::model::{
    id::{CustomerId, KeyId},
    money::NanoUsd,
    time::Timestamp,
};
use serde_json::value::RawValue;
use std::collections::HashMap;

/// How long a lease may be used after the last word from the object: what a revocation takes at most.
pub const LEASE_MS: i64 = 10_000;
/// How often reports are looked for.
pub const TICK_MS: i64 = 50;
/// A report is due when something is older than this …
const REPORT_MS: i64 = 250;
/// … or than this part of a lease's time, while there is plenty of everything …
const REPORT_RELAXED_PART: i64 = 10;
/// … or when so many requests have ended.
const REPORT_COUNT: usize = 128;
/// More is asked for at most so often.
const TOP_UP_MS: i64 = 200;
/// Most requests in one report: it becomes one row in the object, which holds two megabytes.
const REPORT_MAX: usize = 500;
const REPORT_BYTES_MAX: usize = 400_000;
/// A lease that nobody used for so long is given back …
const IDLE_MS: i64 = 1_000;
/// … or for this many tenths of its time, while there is plenty of everything.
const IDLE_RELAXED_PART: i64 = 4;
/// Two requests within this time make a lease worth asking for.
const INTEREST_MS: i64 = 1_000;
/// After a refusal to lease, as long is waited before the next question.
const PAUSE_MS: i64 = 1_000;
/// No keeper was heard of for so long: the next request begins another.
const KEEPER_MS: i64 = 1_000;
/// An answer that has not come for so long is not waited for: the runtime may have ended whoever would have heard it.
const ANSWER_MS: i64 = 5_000;
/// A report that nobody took for so long is dropped: the object has charged the lease by now.
const DROP_MS: i64 = 600_000;
/// Kinds of request remembered at once.
const KINDS_MAX: usize = 10_000;

/// A request under way that was admitted here.
#[derive(Clone, Debug)]
struct Open {
    amounts: Amounts,
    at: Timestamp,
    since: Timestamp,
    /// The object holds it by its own name.
    begun: bool,
    ends_at: Timestamp,
    unsettled: Box<RawValue>,
}

/// A report on its way.
#[derive(Clone, Debug)]
struct Sent {
    report: Report,
    first: Timestamp,
    last: Timestamp,
    waiting: bool,
    /// Sent again while an answer to an earlier sending may still come: which of them is answered is not known.
    doubtful: bool,
}

/// One lease.
#[derive(Debug)]
struct Purse {
    id: String,
    /// How long it may be used after the last word from the object.
    lease_ms: i64,
    customer: CustomerId,
    key: KeyId,
    kind: String,
    granted: Amounts,
    returned: Amounts,
    used: Amounts,
    held: Amounts,
    open: HashMap<String, Open>,
    ended: Vec<(Timestamp, Settlement)>,
    ended_since: Option<Timestamp>,
    seq: u64,
    sent: Option<Sent>,
    closing: bool,
    /// Until then, by this isolate's clock, it may be admitted from.
    usable_until: Timestamp,
    heard_at: Timestamp,
    /// The object's clock less this isolate's, never behind it: what is admitted now counts in a window that begins now, and
    /// in one that ends now it counts as leased until its end.
    offset_ms: i64,
    standing: Standing,
    /// No end user above it has limits.
    any_user: bool,
    last_used: Timestamp,
    /// What requests asked for since the last report, and for each second before it, later ones weighing more.
    asked: Amounts,
    /// The most that was asked for between two reports, fading.
    wave: Amounts,
    flow: Amounts,
    /// The largest request of late.
    largest: Amounts,
    measured_at: Timestamp,
    /// With less than this at hand, more is asked for.
    low: Amounts,
    short: bool,
    /// Something had to be asked for elsewhere.
    dry: bool,
    relaxed: bool,
}

/// What an isolate knows of requests that it does not lease for.
#[derive(Clone, Copy, Debug)]
struct Interest {
    last: Timestamp,
    count: i64,
    /// A question is under way, or was answered with no, until then.
    asked_until: Timestamp,
}

/// Everything an isolate has leased.
#[derive(Debug, Default)]
pub struct Wallet {
    off: bool,
    /// A shorter life of leases than [`LEASE_MS`], if one was asked for.
    shorter_ms: Option<i64>,
    /// By kind of request.
    purses: HashMap<String, Purse>,
    /// Which lease a request was admitted from, by its id: the kind.
    tickets: HashMap<String, String>,
    interest: HashMap<String, Interest>,
    /// Settlements of requests whose lease is closed: the object holds them by their own names.
    orphans: Vec<(CustomerId, Settlement)>,
    keeper_seen: Option<Timestamp>,
    /// The keeper is about to go: that it is still heard of means nothing.
    keeper_leaving: bool,
}

impl Purse {
    fn new(now: Timestamp, sent_at: Timestamp, asked: &Asked<'_>, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            lease_ms: LEASE_MS,
            customer: asked.customer.clone(),
            key: asked.key.clone(),
            kind: asked.kind.to_owned(),
            granted: Amounts::ZERO,
            returned: Amounts::ZERO,
            used: Amounts::ZERO,
            held: Amounts::ZERO,
            open: HashMap::new(),
            ended: Vec::new(),
            ended_since: None,
            seq: 0,
            sent: None,
            closing: false,
            usable_until: sent_at,
            heard_at: now,
            offset_ms: 0,
            standing: Standing::default(),
            any_user: false,
            last_used: now,
            asked: Amounts::ZERO,
            wave: Amounts::ZERO,
            flow: Amounts::ZERO,
            largest: asked.amounts,
            measured_at: now,
            low: asked.amounts,
            short: false,
            dry: false,
            relaxed: false,
        }
    }

    fn available(&self) -> Amounts {
        self.granted.minus(self.returned).minus(self.used).minus(self.held)
    }

    fn usable(&self, now: Timestamp) -> bool {
        !self.closing && now < self.usable_until
    }

    /// How old something may grow before it is reported.
    fn report_ms(&self) -> i64 {
        if self.relaxed { REPORT_MS.max(self.lease_ms / REPORT_RELAXED_PART) } else { REPORT_MS }
    }

    fn idle(&self, now: Timestamp) -> bool {
        now.since_ms(self.last_used)
            >= if self.relaxed { IDLE_MS.max(self.lease_ms * IDLE_RELAXED_PART / 10) } else { IDLE_MS }
    }

    /// What is to be at hand beyond what is held: what a second asks for, and some requests of the largest kind. A second is
    /// the time to the next report and its way; more would keep others from it, and be charged if this isolate dies.
    fn measure(&mut self, now: Timestamp) -> Amounts {
        let elapsed = now.since_ms(self.measured_at).max(TICK_MS);
        let mix = |before: i64, asked: i64| {
            let rate = asked.saturating_mul(1_000) / elapsed;
            before / 2 + rate / 2 + (before % 2 + rate % 2) / 2
        };
        self.flow = Amounts {
            money: NanoUsd(mix(self.flow.money.0, self.asked.money.0)),
            requests: mix(self.flow.requests, self.asked.requests),
            input: mix(self.flow.input, self.asked.input),
            output: mix(self.flow.output, self.asked.output),
        };
        // Requests that come in waves find as much as the last waves needed, as long as nobody is kept from it.
        self.wave = self.asked.max(part(self.wave, 7, 8));
        let flow = if self.relaxed { self.flow.max(self.wave) } else { self.flow };
        let target = flow.plus(self.largest.times(2));
        self.low = part(target, 1, 4).max(self.largest);
        self.largest = part(self.largest, 7, 8).max(Amounts { requests: 1, ..Amounts::ZERO });
        (self.asked, self.measured_at, self.short, self.dry) = (Amounts::ZERO, now, false, false);
        target
    }

    /// Where a caller stands who was admitted here: what the object had free when last heard of, and what is left of the lease.
    fn stand(&self, now: Timestamp) -> Standing {
        let left = self.available().max(Amounts::ZERO);
        let unsigned = |amount: i64| u64::try_from(amount).unwrap_or(0);
        let rate = |rate: Option<RateStanding>, own: i64| {
            rate.map(|rate| RateStanding {
                remaining: rate.remaining.saturating_add(unsigned(own)).min(rate.limit),
                ..rate
            })
        };
        Standing {
            at: now.plus_ms(self.offset_ms),
            budget_remaining: self.standing.budget_remaining.map(|free| free.plus(left.money)),
            requests: rate(self.standing.requests, left.requests),
            tokens: rate(self.standing.tokens, left.input.saturating_add(left.output)),
            key_revision: self.standing.key_revision,
            lease: None,
        }
    }

    fn close_ticket(&mut self, ticket: &str, used: Amounts) -> Option<Open> {
        let open = self.open.remove(ticket)?;
        self.held = self.held.minus(open.amounts);
        let used = if open.begun { used.min(open.amounts) } else { used };
        self.used = self.used.plus(used);
        Some(open)
    }

    fn due(&self, now: Timestamp) -> bool {
        let old = |since: Timestamp| now.since_ms(since) >= self.report_ms();
        self.ended.len() >= REPORT_COUNT
            || self.ended_since.is_some_and(old)
            || self.closing
            || self.dry
            || (self.short && now.since_ms(self.measured_at) >= TOP_UP_MS)
            || self.idle(now)
            || self.usable_until.since_ms(now) < self.lease_ms / 2
            || self.open.values().any(|open| !open.begun && old(open.since))
    }

    fn report(&mut self, now: Timestamp) -> Report {
        self.closing = self.closing || self.idle(now) || now >= self.usable_until;
        let begun_ms = self.report_ms() / 2;
        // A report that closes must name everything; else it can come in parts.
        let mut bytes = 0;
        let room = self.ended.iter().take(REPORT_MAX).take_while(|(_, settlement)| {
            bytes += settlement.rows.get().len();
            bytes <= REPORT_BYTES_MAX
        });
        let count = room.count().max(1).min(self.ended.len());
        let close = self.closing && count == self.ended.len();
        let settled: Vec<_> = self.ended.drain(..count).collect();
        self.ended_since = if self.ended.is_empty() { None } else { Some(now) };
        let unsigned = |amount: i64| u64::try_from(amount).unwrap_or(0);
        let mut begun = Vec::new();
        for (ticket, open) in &mut self.open {
            if open.begun || !(close || now.since_ms(open.since) >= begun_ms) {
                continue;
            }
            open.begun = true;
            begun.push(Begun {
                ticket: ticket.clone(),
                at: open.at,
                bound: open.amounts.money,
                tokens: unsigned(open.amounts.input.saturating_add(open.amounts.output)),
                input: unsigned(open.amounts.input),
                ttl_ms: open.ends_at.since_ms(now),
                unsettled: open.unsettled.clone(),
            });
        }
        begun.sort_by(|a, b| a.ticket.cmp(&b.ticket));
        let target = self.measure(now);
        let at_hand = self.available().max(Amounts::ZERO);
        let mut want = Amounts::ZERO;
        if !close {
            want = target.minus(at_hand).max(Amounts::ZERO);
            // What is far more than needed goes back at once: somebody else may be refused for it.
            self.returned = self.returned.plus(at_hand.minus(part(target, 3, 2)).max(Amounts::ZERO));
        }
        self.seq += 1;
        Report {
            lease: self.id.clone(),
            key: self.key.clone(),
            seq: self.seq,
            begun,
            settled,
            returned: self.returned,
            want,
            ttl_ms: self.lease_ms,
            close,
        }
    }

    fn hear(&mut self, now: Timestamp, sent_at: Timestamp, mut standing: Standing) {
        if let Some(terms) = standing.lease.take() {
            self.granted = self.granted.max(terms.granted);
            self.usable_until = sent_at.plus_ms(terms.ttl_ms.min(self.lease_ms));
            self.offset_ms = terms.at.since_ms(sent_at);
            self.closing |= terms.closed;
            self.relaxed = terms.relaxed;
            self.any_user = terms.any_user;
        }
        self.heard_at = now;
        self.standing = standing;
    }
}

/// So many parts of so many.
const fn part(amounts: Amounts, of: i64, whole: i64) -> Amounts {
    Amounts {
        money: NanoUsd(amounts.money.0 / whole * of),
        requests: amounts.requests * of / whole,
        input: amounts.input / whole * of,
        output: amounts.output / whole * of,
    }
}

impl Wallet {
    /// Leases live for less than [`LEASE_MS`], which is the most.
    pub fn shorten(&mut self, lease_ms: i64) {
        self.shorter_ms = Some(lease_ms.clamp(TICK_MS, LEASE_MS));
    }

    fn lease_ms(&self) -> i64 {
        self.shorter_ms.unwrap_or(LEASE_MS)
    }

    /// Every request is decided by the object.
    pub const fn turn_off(&mut self) {
        self.off = true;
    }

    /// Admits a request from a lease, if there is one with enough left. `unsettled` is the row to write if nobody settles.
    pub fn admit(
        &mut self,
        now: Timestamp,
        asked: &Asked<'_>,
        ticket: &str,
        ttl_ms: i64,
        unsettled: impl FnOnce() -> Box<RawValue>,
    ) -> Option<Standing> {
        let purse = self.purses.get_mut(asked.kind).filter(|purse| purse.usable(now))?;
        if asked.user && !purse.any_user {
            return None;
        }
        purse.last_used = now;
        purse.largest = purse.largest.max(asked.amounts);
        purse.asked = purse.asked.plus(asked.amounts);
        if !asked.amounts.fits(purse.available()) {
            purse.dry = true;
            return None;
        }
        purse.held = purse.held.plus(asked.amounts);
        // More is asked for before it is all gone.
        purse.short |= !purse.low.fits(purse.available());
        let standing = purse.stand(now);
        let open = Open {
            amounts: asked.amounts,
            at: standing.at,
            since: now,
            begun: false,
            ends_at: now.plus_ms(ttl_ms),
            unsettled: unsettled(),
        };
        purse.open.insert(ticket.to_owned(), open);
        self.tickets.insert(ticket.to_owned(), asked.kind.to_owned());
        Some(standing)
    }

    /// What to ask for beside a hold: a lease, if requests of this kind come often enough. `id` is fresh.
    pub fn wish(
        &mut self,
        now: Timestamp,
        asked: &Asked<'_>,
        id: impl FnOnce() -> String,
    ) -> Option<LeaseAsk> {
        if self.off || self.purses.contains_key(asked.kind) {
            return None;
        }
        if self.interest.len() >= KINDS_MAX {
            self.interest.clear();
        }
        let fresh = Interest { last: now, count: 0, asked_until: Timestamp(0) };
        let interest = self.interest.entry(asked.kind.to_owned()).or_insert(fresh);
        interest.count = if now.since_ms(interest.last) <= INTEREST_MS { interest.count + 1 } else { 1 };
        interest.last = now;
        if interest.count < 2 || now < interest.asked_until {
            return None;
        }
        interest.asked_until = now.plus_ms(PAUSE_MS);
        let want = asked.amounts.times(interest.count.clamp(4, 32).saturating_mul(2));
        Some(LeaseAsk { id: id(), want, ttl_ms: self.lease_ms() })
    }

    /// The object granted what was wished for.
    pub fn granted(&mut self, now: Timestamp, sent_at: Timestamp, asked: &Asked<'_>, standing: &Standing) {
        let Some(terms) = standing.lease.as_ref().filter(|terms| !terms.closed) else { return };
        if self.purses.contains_key(asked.kind) {
            return self.decline(now, asked, &terms.id);
        }
        let mut purse = Purse { lease_ms: self.lease_ms(), ..Purse::new(now, sent_at, asked, &terms.id) };
        purse.hear(now, sent_at, standing.clone());
        self.purses.insert(asked.kind.to_owned(), purse);
    }

    /// The answer to a wish was lost: if the lease was granted, it is given back.
    pub fn unanswered(&mut self, now: Timestamp, asked: &Asked<'_>, lease: &str) {
        self.decline(now, asked, lease);
    }

    /// Gives a lease back that nothing was ever admitted from: there is another, or nobody knows what it was granted.
    fn decline(&mut self, now: Timestamp, asked: &Asked<'_>, lease: &str) {
        if self.purses.values().any(|purse| purse.id == lease) {
            return;
        }
        let stray = Asked { kind: lease, ..asked.clone() };
        let purse = Purse { closing: true, ..Purse::new(now, now, &stray, lease) };
        self.purses.insert(lease.to_owned(), purse);
    }

    /// A request needs more than it was admitted with: what it may take in all is `amounts`.
    pub fn extend(&mut self, ticket: &str, amounts: Amounts) -> Extension {
        let purse = self.tickets.get(ticket).and_then(|kind| self.purses.get_mut(kind));
        let Some(purse) = purse else { return Extension::Ask(None) };
        let available = purse.available();
        let Some(open) = purse.open.get_mut(ticket) else { return Extension::Ask(None) };
        let more = amounts.minus(open.amounts).max(Amounts::ZERO);
        if !open.begun && !purse.closing && more.fits(available) {
            open.amounts = open.amounts.plus(more);
            purse.held = purse.held.plus(more);
            return Extension::Covered;
        }
        // Whether or not the object hears of it: it will be settled by name.
        let lease = (!open.begun).then(|| (purse.id.clone(), open.amounts));
        open.begun = true;
        Extension::Ask(lease)
    }

    /// The end of a request. Gives the settlement back if it was not admitted here.
    pub fn settle(&mut self, now: Timestamp, settlement: Settlement) -> Option<Settlement> {
        let Some(kind) = self.tickets.remove(&settlement.ticket) else { return Some(settlement) };
        let Some(purse) = self.purses.get_mut(&kind) else { return Some(settlement) };
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let used = Amounts {
            money: settlement.cost,
            requests: 1,
            input: signed(settlement.input),
            output: signed(settlement.tokens.saturating_sub(settlement.input)),
        };
        let Some(open) = purse.close_ticket(&settlement.ticket, used) else { return Some(settlement) };
        purse.ended_since.get_or_insert(now);
        purse.last_used = purse.last_used.max(now);
        purse.ended.push((open.at, settlement));
        None
    }

    /// Whether somebody has to be found who looks for reports: nobody has for a while. Asking counts as having found one.
    pub fn needs_keeper(&mut self, now: Timestamp) -> bool {
        let busy = !self.purses.is_empty() || !self.orphans.is_empty();
        let gone = self.keeper_seen.is_none_or(|seen| now.since_ms(seen) >= KEEPER_MS);
        let needed = busy && (gone || self.keeper_leaving);
        if needed {
            (self.keeper_seen, self.keeper_leaving) = (Some(now), false);
        }
        needed
    }

    /// Whether there is nothing to look after.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.purses.is_empty() && self.orphans.is_empty()
    }

    /// The keeper goes; another has to be found.
    pub const fn dismiss_keeper(&mut self) {
        (self.keeper_seen, self.keeper_leaving) = (None, true);
    }

    /// Reports that are due, each with the customer whose object is told and the lease that hears the answer; of a settlement
    /// by name nobody does.
    pub fn reports(&mut self, now: Timestamp) -> Vec<(CustomerId, String, Command)> {
        self.keeper_seen = Some(now);
        let mut due = Vec::new();
        for (customer, settlement) in self.orphans.drain(..) {
            due.push((customer, String::new(), Command::Settle(settlement)));
        }
        let mut dropped = Vec::new();
        for (kind, purse) in &mut self.purses {
            if let Some(sent) = &mut purse.sent {
                if now.since_ms(sent.first) > DROP_MS {
                    dropped.push(kind.clone());
                } else if !sent.waiting || now.since_ms(sent.last) >= ANSWER_MS {
                    sent.doubtful |= sent.waiting;
                    (sent.waiting, sent.last) = (true, now);
                    due.push((
                        purse.customer.clone(),
                        purse.id.clone(),
                        Command::Report(sent.report.clone()),
                    ));
                }
            } else if purse.due(now) {
                let report = purse.report(now);
                due.push((purse.customer.clone(), purse.id.clone(), Command::Report(report.clone())));
                purse.sent = Some(Sent { report, first: now, last: now, waiting: true, doubtful: false });
            }
        }
        for kind in dropped {
            self.forget(&kind);
        }
        due
    }

    /// A report was answered, or (`None`) did not arrive as far as anybody knows: it is made again.
    pub fn reported(&mut self, now: Timestamp, lease: &str, reply: Option<Reply>) {
        let Some(purse) = self.purses.values_mut().find(|purse| purse.id == lease) else { return };
        let kind = purse.kind.clone();
        let Some(sent) = &mut purse.sent else { return };
        let sent_at = if sent.doubtful { sent.first } else { sent.last };
        let close = sent.report.close;
        // The answer to an earlier report, which nobody waits for any more; one without a number is an older object's.
        let older = |terms: &Terms| (1..sent.report.seq).contains(&terms.seq);
        if matches!(&reply, Some(Reply::Held(standing)) if standing.lease.as_ref().is_some_and(older)) {
            return;
        }
        match reply {
            Some(Reply::Held(standing)) if !close => {
                purse.sent = None;
                purse.hear(now, sent_at, standing);
            }
            // Closed; or an object that does not know the lease: then it has charged it, and this isolate stops.
            Some(Reply::Held(_) | Reply::Settled | Reply::Absent) => self.forget(&kind),
            Some(_) | None => sent.waiting = false,
        }
    }

    /// Whether nobody has been told of a request's end yet.
    #[must_use]
    pub fn owes(&self, ticket: &str) -> bool {
        let named = |settlement: &Settlement| settlement.ticket == ticket;
        self.orphans.iter().any(|(_, settlement)| named(settlement))
            || self.purses.values().any(|purse| {
                purse.ended.iter().any(|(_, settlement)| named(settlement))
                    || purse
                        .sent
                        .as_ref()
                        .is_some_and(|sent| sent.report.settled.iter().any(|(_, one)| named(one)))
            })
    }

    fn forget(&mut self, kind: &str) {
        let Some(purse) = self.purses.remove(kind) else { return };
        for ticket in purse.open.keys() {
            self.tickets.remove(ticket);
        }
        let customer = purse.customer;
        self.orphans.extend(purse.ended.into_iter().map(|(_, settlement)| (customer.clone(), settlement)));
        self.interest.remove(&purse.kind);
    }
}
