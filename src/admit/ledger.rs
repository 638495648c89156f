//! The state machine that a customer's Durable Object hosts: limits, holds, leases, settlements, and the outbox.
//!
//! Synchronous and without I/O: [`Ledger::apply`] takes the time and a command, and gives a reply and the rows to
//! write. The object writes them in one transaction before it answers, or forgets this ledger and loads it anew.
//!
//! **Rows.** A request is one row of `entry`: written when it is held, overwritten when it is settled (or when the hold
//! expires), deleted when D1 has it. So a request costs three row writes, whatever the number of levels; requests that were
//! admitted from a lease and ended before anybody heard of them share one row with others of their lease. The counters
//! of the nodes are not written with each request: in memory they are *live*; stored is their *base*, which
//! covers exactly the entries already drained and deleted, and is written with that deletion. Loading replays
//! what is in `entry` and `lease` over the base and arrives at the live state.

mod adjust;
mod audit;
mod entry;
mod late;
mod lease;
mod outbox;
mod quarantine;
mod stored;
mod thresholds;
mod users;

pub use audit::AUDITED_ROWS;
pub use outbox::{entries_of, rows_of};

pub use entry::{Effect, Entry, Write};
pub use lease::Lease;
pub use stored::Stored;

use super::{
    limit::{Amounts, Unit, Zones, utc_only},
    node::{Change, Counted, Need, Node, bare},
    wire::{
        Command, Hold, Inspection, KeyRecord, Level, LimitStatus, Limits, NodeSpec, RateStanding, Refusal,
        Reply, RouteLimit, Settlement, Standing,
    },
};
use crate::{
    model::{id::KeyId, money::NanoUsd, time::Timestamp},
    settle::{
        raw,
        row::{LedgerRow, Outcome},
    },
};
use entry::{base, read, tokens, write};
use late::Late;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Settled rows wait this long for company before they are drained.
pub const DRAIN_DELAY_MS: i64 = 1_000;

/// One customer's limits and money.
#[derive(Debug, Clone)]
pub struct Ledger {
    customer: Option<String>,
    nodes: HashMap<String, Node>,
    keys: BTreeMap<String, KeyRecord>,
    /// Requests under way and their numbers, by id; those settled live only in storage.
    holds: HashMap<String, (u64, Entry)>,
    leases: HashMap<String, Lease>,
    /// Holds that expired, for settlements that come after all.
    late: HashMap<String, Late>,
    /// Until then isolates are asked to give back what they do not need.
    recall_until: Timestamp,
    /// The last number given.
    number: u64,
    expiries: BTreeSet<(Timestamp, String)>,
    outbox: u64,
    outbox_oldest: Option<Timestamp>,
    alarm_at: Option<Timestamp>,
    drain_failures: u32,
    drain_error: Option<String>,
    drain_at: Option<Timestamp>,
    /// The latest time seen: a clock that steps back is not followed.
    now: Timestamp,
    /// Thresholds already noted, by node and limit: the window, the amount of the limit, and how much of it.
    noted: HashMap<(String, String), (i64, i64, u8)>,
    /// Ids of end users' nodes, the one looked at longest ago first.
    users: VecDeque<String>,
    /// What they weigh in memory.
    user_weight: usize,
    /// Events that D1 did not take are offered again then.
    events_at: Option<Timestamp>,
    zones: Zones,
    /// Writes of nodes that came into being on the way.
    unsaved: Vec<Write>,
    /// Leases that changed.
    touched: BTreeSet<String>,
    draining: outbox::Draining,
    set_aside: BTreeMap<u64, quarantine::SetAside>,
    adjusted: BTreeMap<String, adjust::Adjusted>,
    database: Option<String>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            customer: None,
            nodes: HashMap::new(),
            keys: BTreeMap::new(),
            holds: HashMap::new(),
            leases: HashMap::new(),
            late: HashMap::new(),
            recall_until: Timestamp(0),
            number: 0,
            expiries: BTreeSet::new(),
            outbox: 0,
            outbox_oldest: None,
            alarm_at: None,
            drain_failures: 0,
            drain_error: None,
            drain_at: None,
            now: Timestamp(0),
            noted: HashMap::new(),
            users: VecDeque::new(),
            user_weight: 0,
            events_at: None,
            zones: utc_only,
            unsaved: Vec::new(),
            touched: BTreeSet::new(),
            draining: outbox::Draining::default(),
            set_aside: BTreeMap::new(),
            adjusted: BTreeMap::new(),
            database: None,
        }
    }
}

impl Ledger {
    /// Tells the time zones' offsets.
    #[must_use]
    pub fn with_zones(self, zones: Zones) -> Self {
        Self { zones, ..self }
    }

    fn node(&mut self, id: &str) -> &mut Node {
        let number = self.number;
        self.nodes.entry(id.to_owned()).or_insert_with(|| Node::new(bare(id), number))
    }

    /// Counts a change at every node of a chain.
    fn change(&mut self, chain: &[String], counted: Counted<'_>, change: &Change) {
        let (now, zones) = (self.now, self.zones);
        for id in chain {
            if self.is_forgotten(id) {
                continue;
            }
            let node = self.node(id);
            node.live.roll(now);
            node.live.change(counted, change, zones);
        }
    }

    fn note_oldest(&mut self, at: Timestamp) {
        self.outbox_oldest = Some(self.outbox_oldest.map_or(at, |oldest| oldest.min(at)));
    }

    /// Decides a command.
    pub fn apply(&mut self, now: Timestamp, command: Command) -> Effect {
        self.now = self.now.max(now);
        let now = self.now;
        let mut effect = match command {
            Command::Hold(hold) => self.hold(now, hold),
            Command::Settle(settlement) => self.settle(now, settlement),
            Command::Report(report) => self.report(now, report),
            Command::Publish { nodes, keys } => self.publish(nodes, keys),
            Command::Lookup { digest } => {
                Effect::only(Reply::Key { record: self.keys.get(&digest.0).cloned() })
            }
            Command::Describe { key, user } => {
                Effect::only(Reply::Limits { limits: self.describe(now, &key, user.as_deref()) })
            }
            Command::Find { ticket } => Effect::only(match self.holds.get(&ticket) {
                Some((_, entry)) => Reply::Found {
                    state: "held".to_owned(),
                    rows: read(entry.rows.get()).into_iter().collect(),
                },
                None => match self.find_set_aside(&ticket) {
                    Some(rows) => Reply::Found { state: "settled".to_owned(), rows },
                    None => Reply::Absent,
                },
            }),
            Command::Adjust(adjustment) => self.adjust(now, adjustment),
            Command::RetryQuarantine => self.retry_quarantine(now),
            Command::Audit => Effect::only(Reply::Audit(self.audit(&[]))),
            Command::Inspect => Effect::only(Reply::Inspection(self.inspect(now))),
        };
        self.save(&mut effect.writes);
        effect.alarm = self.plan_alarm();
        effect
    }

    /// Adds what came to be written on the way.
    fn save(&mut self, writes: &mut Vec<Write>) {
        if !self.unsaved.is_empty() {
            let mut before = std::mem::take(&mut self.unsaved);
            before.append(writes);
            *writes = before;
        }
        for id in std::mem::take(&mut self.touched) {
            writes.extend(self.leases.get(&id).and_then(Lease::write));
        }
    }

    /// A key and the levels above it.
    fn owners(&self, key: &KeyId) -> Option<Vec<String>> {
        let node = self.nodes.get(key.as_str()).filter(|node| node.spec.level == Level::Key)?;
        let team = node.spec.team.as_ref().map(|team| team.0.clone());
        let customer = self.customer.clone()?;
        // A team that is not here cannot be checked, so its keys cannot be admitted.
        if team
            .as_ref()
            .is_some_and(|team| self.nodes.get(team).is_none_or(|node| node.spec.level != Level::Team))
        {
            return None;
        }
        Some([Some(key.0.clone()), team, Some(customer)].into_iter().flatten().collect())
    }

    /// The chain of nodes of a request, from the key up, then its end user's, then its route's.
    fn chain(&mut self, key: &KeyId, user: Option<&str>, route: Option<&RouteLimit>) -> Option<Vec<String>> {
        let mut chain = self.owners(key)?;
        if let Some(user) = user {
            for (id, limits) in self.limits_of_user(&chain, user) {
                self.limit_user(&id, limits);
                chain.push(id);
            }
        }
        if let Some(route) = route {
            let id = format!("route:{}", route.name);
            // Its two limits use counters that every node has, so that nothing needs to be stored.
            let limits = Limits { rpm: route.rpm, tpm: route.tpm, ..Limits::default() };
            let number = self.number;
            let node = self.node(&id);
            if node.spec.limits != limits {
                node.specify(NodeSpec { limits, ..bare(&id) }, number);
            }
            chain.push(id);
        }
        Some(chain)
    }

    /// Whether there are counters now that there were not.
    fn put_node(&mut self, spec: NodeSpec) -> bool {
        if spec.level == Level::Customer {
            self.customer = Some(spec.id.clone());
        }
        let number = self.number;
        let grown = match self.nodes.get_mut(&spec.id) {
            Some(node) => node.specify(spec, number),
            None => {
                let plain = spec.limits.more.is_empty();
                self.nodes.insert(spec.id.clone(), Node::new(spec, number));
                !plain
            }
        };
        if grown {
            self.count_leases();
        }
        grown
    }

    fn hold(&mut self, now: Timestamp, mut hold: Hold) -> Effect {
        let refuse = |refusal| Effect::only(Reply::Refused(refusal));
        if let Some(reply) = self.crowded(now, &hold) {
            return Effect::only(reply);
        }
        let Some(chain) = self.chain(&hold.key, hold.user.as_deref(), hold.route.as_ref()) else {
            return refuse(Refusal::UnknownKey);
        };
        if let Some((lease, amounts)) = hold.from_lease.take()
            && !self.holds.contains_key(&hold.ticket)
            && !self.take_over(now, &hold, &lease, amounts)
        {
            return Effect::only(Reply::Absent);
        }
        // A ticket that is already held asks for more: only the difference must fit, and it is no new request.
        let earlier = self.holds.get(&hold.ticket);
        if hold.extends && earlier.is_none() {
            return Effect::only(Reply::Absent);
        }
        let first = i64::from(earlier.is_none());
        let asked = Amounts {
            money: hold.bound.unwrap_or(NanoUsd::ZERO),
            requests: 0,
            ..tokens(hold.tokens, hold.input)
        };
        let (at, held) = earlier.map_or((now, Amounts::ZERO), |(_, entry)| (entry.at, entry.held()));
        let more = asked.minus(held).max(Amounts::ZERO);

        for id in &chain {
            self.node(id).live.roll(now);
        }
        let need = Need {
            amounts: Amounts { requests: first, ..more },
            under_way: first,
            unpriced: hold.bound.is_none(),
        };
        for id in &chain {
            let Some(node) = self.nodes.get(id) else { continue };
            if let Some(mut refusal) = node.check(now, &hold.models, need, self.zones) {
                if let Refusal::Budget { least, .. } = &mut refusal {
                    let standing = self.standing(now, &chain, &hold.models, &hold.key);
                    *least = standing.budget_remaining.unwrap_or(NanoUsd::MAX);
                }
                if refusal.recalled() {
                    self.recall(now);
                }
                if hold.explain {
                    let standing = self.standing(now, &chain, &hold.models, &hold.key);
                    return Effect::only(Reply::Denied(refusal, standing));
                }
                return refuse(refusal);
            }
        }
        let by_model = self.is_counted_by_model(&chain);
        let all = held.plus(more);
        let unsigned = |amount: i64| u64::try_from(amount).unwrap_or(0);
        let (number, from_lease) = match self.holds.get(&hold.ticket) {
            Some((number, old)) => {
                self.expiries.remove(&(old.expires_at, hold.ticket.clone()));
                (*number, old.from_lease.clone())
            }
            None => {
                self.number += 1;
                (self.number, None)
            }
        };
        let entry = Entry {
            ticket: hold.ticket.clone(),
            at,
            expires_at: now.plus_ms(hold.ttl_ms.max(1_000)),
            models: if by_model { hold.models.clone() } else { Vec::new() },
            bound: all.money,
            tokens: unsigned(all.of(Unit::Tokens)),
            input: unsigned(all.input),
            cost: NanoUsd::ZERO,
            used: 0,
            used_input: 0,
            count: 1,
            from_lease,
            rows: hold.unsettled,
            chain,
        };
        let begin = Change {
            used: Amounts { requests: first, ..Amounts::ZERO },
            held: more,
            under_way: first,
            leased: Amounts::ZERO,
        };
        self.change(&entry.chain, entry.counted(number), &begin);
        let writes = vec![write(number, false, &entry)];
        let mut standing = Standing { at, ..self.standing(now, &entry.chain, &hold.models, &hold.key) };
        if let Some(ask) = &hold.lease {
            standing.lease = self.grant_first(now, ask, &hold.key, &entry, &hold.models, hold.user.is_some());
        }
        self.expiries.insert((entry.expires_at, hold.ticket.clone()));
        self.holds.insert(hold.ticket, (number, entry));
        Effect { reply: Reply::Held(standing), writes, alarm: None }
    }

    /// Whether some limit above a request is for certain models only.
    fn is_counted_by_model(&self, chain: &[String]) -> bool {
        let nodes = chain.iter().filter_map(|id| self.nodes.get(id));
        nodes.flat_map(|node| &node.spec.limits.more).any(|limit| limit.models.is_some())
    }

    fn standing(&self, now: Timestamp, chain: &[String], models: &[String], key: &KeyId) -> Standing {
        let nodes =
            || chain.iter().filter_map(|id| self.nodes.get(id)).flat_map(|node| node.headroom(models));
        let left = |limit: i64, taken: i64| limit.saturating_sub(taken).max(0);
        let budgets = nodes().filter(|(scope, ..)| scope.unit == Unit::Usd);
        let budget_remaining =
            budgets.map(|(_, limit, counter)| left(limit, counter.taken())).min().map(NanoUsd);
        let tightest = |wanted: Unit| {
            nodes()
                .filter(|(scope, ..)| scope.unit == wanted)
                .map(|(_, limit, counter)| RateStanding {
                    limit: limit.unsigned_abs(),
                    remaining: left(limit, counter.taken()).unsigned_abs(),
                    reset_ms: counter.resets_at(now, self.zones).map_or(0, |at| at.since_ms(now)),
                })
                .min_by_key(|standing| standing.remaining)
        };
        Standing {
            budget_remaining,
            requests: tightest(Unit::Requests),
            tokens: tightest(Unit::Tokens),
            key_revision: self.nodes.get(key.as_str()).map_or(0, |node| node.spec.revision),
            ..Standing::default()
        }
    }

    fn settle(&mut self, now: Timestamp, settlement: Settlement) -> Effect {
        if self.holds.contains_key(&settlement.ticket) {
            let writes = self.settle_held(now, settlement);
            return Effect { reply: Reply::Settled, writes, alarm: None };
        }
        // Settled before: the ledger already has its row, and a row is never edited. Or expired: that is corrected.
        self.settle_late(now, settlement)
    }

    /// The end of a request that is held.
    fn settle_held(&mut self, now: Timestamp, settlement: Settlement) -> Vec<Write> {
        let Settlement { ticket, cost, tokens, input, rows } = settlement;
        let Some((number, mut entry)) = self.holds.remove(&ticket) else { return Vec::new() };
        self.expiries.remove(&(entry.expires_at, ticket));
        (entry.cost, entry.used, entry.used_input, entry.rows) = (cost, tokens, input, rows);
        self.finish(now, number, &entry)
    }

    /// Turns a hold that ended into an outbox entry.
    fn finish(&mut self, now: Timestamp, number: u64, entry: &Entry) -> Vec<Write> {
        let mut end = entry.end();
        end.leased = self.give_back_to_lease(entry);
        self.change(&entry.chain, entry.counted(number), &end);
        self.post(now, number, entry)
    }

    /// Puts a settled entry, already counted, into the outbox.
    fn post(&mut self, now: Timestamp, number: u64, entry: &Entry) -> Vec<Write> {
        self.outbox += 1;
        self.note_oldest(entry.at);
        if self.drain_at.is_none() {
            self.drain_at = Some(now.plus_ms(DRAIN_DELAY_MS));
        }
        let mut writes = vec![write(number, true, entry)];
        self.note_thresholds(now, &entry.chain, &mut writes);
        writes
    }

    /// Counts a settled entry that was never held, and posts it.
    fn charge(&mut self, now: Timestamp, entry: &Entry, leased: Amounts) -> Vec<Write> {
        self.number += 1;
        let number = self.number;
        self.change(&entry.chain, entry.counted(number), &Change { leased, ..entry.charge() });
        self.post(now, number, entry)
    }

    fn publish(&mut self, nodes: Vec<NodeSpec>, keys: Vec<KeyRecord>) -> Effect {
        let mut writes = Vec::new();
        for spec in nodes {
            if self.nodes.get(&spec.id).is_some_and(|node| node.spec.revision > spec.revision) {
                continue;
            }
            let Ok(body) = serde_json::to_string(&spec) else { continue };
            let id = spec.id.clone();
            writes.push(Write::Node { id: id.clone(), body });
            // Isolates shall not go on under the old rules for as long as their leases live.
            if self.nodes.get(&id).is_some_and(|node| node.spec.limits != spec.limits) {
                self.recall(self.now);
            }
            // From when a new counter counts must be remembered with it.
            if self.put_node(spec)
                && let Some(node) = self.nodes.get(&id)
            {
                writes.extend(base(&id, node));
            }
        }
        for record in keys {
            if self.keys.get(&record.digest.0).is_some_and(|old| old.revision > record.revision) {
                continue;
            }
            let Ok(body) = serde_json::to_string(&record) else { continue };
            writes.push(Write::Key { digest: record.digest.0.clone(), body });
            self.keys.insert(record.digest.0.clone(), record);
        }
        Effect { reply: Reply::Published, writes, alarm: None }
    }

    /// Every limit above a key; with a user, that end user's as well.
    fn describe(&self, now: Timestamp, key: &KeyId, user: Option<&str>) -> Vec<LimitStatus> {
        let chain = self.owners(key).unwrap_or_default();
        let nodes = chain.iter().filter_map(|id| self.nodes.get(id));
        let mut limits: Vec<LimitStatus> = nodes.flat_map(|node| node.statuses(now, self.zones)).collect();
        for (id, of_user) in user.map(|user| self.limits_of_user(&chain, user)).unwrap_or_default() {
            limits.extend(self.user_as_limited(&id, of_user).statuses(now, self.zones));
        }
        limits
    }

    fn inspect(&self, now: Timestamp) -> Inspection {
        let known = self.customer.is_some();
        // End users can be tens of thousands: their figures are asked for one by one.
        let nodes = self.nodes.values().filter(|node| node.spec.level != Level::User);
        let mut limits: Vec<LimitStatus> = nodes.flat_map(|node| node.statuses(now, self.zones)).collect();
        limits.sort_by(|a, b| (a.level, &a.id).cmp(&(b.level, &b.id)));
        let customer = self.customer.as_ref().and_then(|id| self.nodes.get(id));
        let open = || self.leases.values().filter(|lease| lease.closed.is_none());
        Inspection {
            known,
            limits,
            spent_total_nanousd: customer.map_or(NanoUsd::ZERO, |node| node.live.spent_ever()),
            held: self.holds.len() as u64,
            held_nanousd: self.holds.values().fold(NanoUsd::ZERO, |sum, (_, entry)| sum.plus(entry.bound)),
            end_users: self.users.len() as u64,
            leases: open().count() as u64,
            leased_nanousd: open().fold(NanoUsd::ZERO, |sum, lease| sum.plus(lease.outstanding().money)),
            outbox: self.outbox,
            outbox_oldest_ms: self.outbox_oldest,
            last_drain_error: self.drain_error.clone(),
            database: self.database.clone(),
            quarantined: self.set_aside.len() as u64,
            quarantine: self.quarantined(),
        }
    }

    /// Ends every hold and every lease whose time is over, each with one row charged at what it held. The alarm begins
    /// with it and ends with [`Self::rest`].
    pub fn expire(&mut self, now: Timestamp) -> Effect {
        self.now = self.now.max(now);
        let now = self.now;
        self.alarm_at = None;
        let mut writes = Vec::new();
        while let Some((expires_at, ticket)) = self.expiries.first().cloned() {
            if expires_at > now {
                break;
            }
            self.expiries.remove(&(expires_at, ticket.clone()));
            if self.leases.contains_key(&ticket) {
                writes.extend(self.expire_lease(now, &ticket));
            } else if self.late.remove(&ticket).is_some() {
                writes.push(Write::Late { ticket, body: None });
            } else if let Some((number, mut entry)) = self.holds.remove(&ticket) {
                writes.extend(self.remember_late(now, &entry));
                (entry.cost, entry.used, entry.used_input) = (entry.bound, entry.tokens, entry.input);
                let rows: Vec<LedgerRow> = read(entry.rows.get())
                    .map(|row| LedgerRow {
                        at_ms: entry.at,
                        outcome: Outcome::Unsettled,
                        cost_nanousd: entry.bound,
                        duration_ms: now.since_ms(entry.at),
                        ..row
                    })
                    .into_iter()
                    .collect();
                entry.rows = raw(&rows);
                writes.extend(self.finish(now, number, &entry));
            }
        }
        writes.extend(self.forget_users(now));
        self.save(&mut writes);
        Effect { reply: Reply::Settled, writes, alarm: None }
    }

    /// The end of the alarm's work: when to be woken next.
    ///
    /// Strictly in the future: an alarm set anew for the moment that is being handled counts as the one being handled, and
    /// is deleted with it when the handler returns.
    pub fn rest(&mut self, now: Timestamp) -> Effect {
        // Whatever a command set while the alarm was at work may have been for this very moment too.
        self.alarm_at = None;
        let alarm = self.plan_alarm().map(|at| at.max(now.plus_ms(1)));
        Effect { reply: Reply::Settled, writes: Vec::new(), alarm }
    }

    /// The alarm to set, if the one that is set would come too late.
    fn plan_alarm(&mut self) -> Option<Timestamp> {
        let expiry = self.expiries.first().map(|(at, _)| *at);
        let wanted = [expiry, self.drain_at, self.events_at].into_iter().flatten().min()?;
        if self.alarm_at.is_some_and(|at| at <= wanted) {
            return None;
        }
        self.alarm_at = Some(wanted);
        Some(wanted)
    }
}

#[cfg(test)]
mod lease_tests;
#[cfg(test)]
mod tests;
