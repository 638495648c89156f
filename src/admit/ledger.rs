//! The state machine that a customer's Durable Object hosts: limits, holds, settlements, and the outbox.
//!
//! Synchronous and without I/O: [`Ledger::apply`] takes the time and a command, and gives a reply and the rows to
//! write. The object writes them in one transaction before it answers, or forgets this ledger and loads it anew.
//!
//! **Rows.** A request is one row of `entry`: written when it is held, overwritten when it is settled (or when the hold
//! expires), deleted when D1 has it. So a request costs three row writes, whatever the number of levels. The counters
//! of the nodes are not written with each request: in memory they are *live*; stored is their *base*, which
//! covers exactly the entries already drained and deleted, and is written with that deletion. Loading replays
//! what is in `entry` over the base and arrives at the live state.

mod adjust;
mod audit;
mod outbox;
mod quarantine;

pub use audit::AUDITED_ROWS;
pub use outbox::{entries_of, rows_of};

use super::{
    node::{Counters, Node, bare},
    wire::{
        Command, Hold, Inspection, KeyRecord, Level, LimitStatus, Limits, NodeSpec, RateStanding, RateUnit,
        Refusal, Reply, RouteLimit, Settlement, Standing,
    },
};
use crate::{
    model::{id::KeyId, money::NanoUsd, time::Timestamp},
    settle::{
        raw,
        row::{LedgerRow, Outcome},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Settled rows wait this long for company before they are drained.
pub const DRAIN_DELAY_MS: i64 = 1_000;

/// A row to write. Bodies are JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Insert or replace a request.
    Entry {
        /// Its number in this object: an integer key, because a row found by text costs an index, and a paid write for it.
        number: u64,
        /// Whether it waits for D1.
        settled: bool,
        /// [`Entry`] as JSON.
        body: String,
    },
    /// Insert or replace a row of the outbox.
    Outbox {
        /// Its number.
        number: u64,
        /// What [`entries_of`] reads.
        body: String,
    },
    /// Set a row of the outbox aside.
    Quarantine {
        /// Its number.
        number: u64,
        /// JSON.
        body: String,
    },
    /// D1 has it after all.
    Release {
        /// Its number.
        number: u64,
    },
    /// Remember an adjustment, or (without a body) forget it.
    Adjusted {
        /// Its id.
        id: String,
        /// JSON.
        body: Option<String>,
    },
    /// Which D1 database this ledger goes to, for ever.
    Database {
        /// The name of its binding.
        name: String,
    },
    /// Delete drained requests.
    DropEntries {
        /// Their numbers.
        numbers: Vec<u64>,
    },
    /// Insert or replace a node's specification.
    Node {
        /// The node's id.
        id: String,
        /// [`NodeSpec`] as JSON.
        body: String,
    },
    /// Insert or replace a node's base counters.
    Base {
        /// The node's id.
        id: String,
        /// [`Counters`] as JSON.
        body: String,
    },
    /// Insert or replace a key's record.
    Key {
        /// Its digest.
        digest: String,
        /// [`KeyRecord`] as JSON.
        body: String,
    },
}

/// What came of a command.
#[derive(Debug, PartialEq)]
pub struct Effect {
    /// The answer, to be given once the writes are durable.
    pub reply: Reply,
    /// To be written in one transaction.
    pub writes: Vec<Write>,
    /// When the object wants to be woken, if that changed.
    pub alarm: Option<Timestamp>,
}

impl Effect {
    const fn only(reply: Reply) -> Self {
        Self { reply, writes: Vec::new(), alarm: None }
    }
}

/// A request as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The request's id.
    pub ticket: String,
    /// When it was admitted.
    pub at: Timestamp,
    /// When the hold expires.
    pub expires_at: Timestamp,
    /// The nodes it counts for, in the order they were checked.
    pub chain: Vec<String>,
    /// The bound that is held.
    pub bound: NanoUsd,
    /// The tokens that are held.
    pub tokens: u64,
    /// What a settled request cost; of a held one nothing.
    #[serde(default)]
    pub cost: NanoUsd,
    /// The tokens a settled request used.
    #[serde(default)]
    pub used: u64,
    /// The rows of a settled request, an array; of a held one the row it would expire to. Carried unread.
    pub rows: Box<RawValue>,
    /// No request: a correction of what others cost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adjustment: bool,
}

/// One customer's limits and money.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    customer: Option<String>,
    nodes: HashMap<String, Node>,
    keys: BTreeMap<String, KeyRecord>,
    /// Requests under way and their numbers, by id; those settled live only in storage.
    holds: HashMap<String, (u64, Entry)>,
    /// The last number given.
    number: u64,
    expiries: BTreeSet<(Timestamp, String)>,
    outbox: u64,
    outbox_oldest: Option<Timestamp>,
    alarm_at: Option<Timestamp>,
    drain_failures: u32,
    drain_error: Option<String>,
    drain_at: Option<Timestamp>,
    draining: outbox::Draining,
    set_aside: BTreeMap<u64, quarantine::SetAside>,
    adjusted: BTreeMap<String, adjust::Adjusted>,
    database: Option<String>,
}

/// Everything the object has stored, as JSON texts.
#[derive(Debug, Default, Deserialize)]
pub struct Stored {
    /// [`NodeSpec`]s.
    pub nodes: Vec<String>,
    /// `(node id, Counters)`.
    pub bases: Vec<(String, String)>,
    /// [`KeyRecord`]s.
    pub keys: Vec<String>,
    /// `(number, settled, Entry)`.
    pub entries: Vec<(u64, bool, String)>,
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
    pub fn load(stored: &Stored, now: Timestamp) -> Result<Self, String> {
        let mut ledger = Self::default();
        for text in &stored.nodes {
            ledger.put_node(read(text)?);
        }
        for (id, text) in &stored.bases {
            let base: Counters = read(text)?;
            let node = ledger.nodes.entry(id.clone()).or_insert_with(|| Node::new(bare(id)));
            node.live = base.clone();
            node.base = base;
        }
        for text in &stored.keys {
            let record: KeyRecord = read(text)?;
            ledger.keys.insert(record.digest.0.clone(), record);
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
                    ledger.charge_live(&entry);
                    ledger.note_oldest(entry.at);
                }
                ledger.outbox += 1;
            } else {
                held.push((*number, read::<Entry>(text)?));
            }
        }
        held.sort_by_key(|(_, entry)| entry.at);
        for (number, entry) in held {
            for id in &entry.chain {
                let node = ledger.nodes.entry(id.clone()).or_insert_with(|| Node::new(bare(id)));
                node.live.roll(entry.at);
                node.live.hold(entry.at, entry.bound, 1, entry.tokens);
            }
            ledger.expiries.insert((entry.expires_at, entry.ticket.clone()));
            ledger.holds.insert(entry.ticket.clone(), (number, entry));
        }
        if ledger.outbox > 0 || ledger.retrying().is_some() {
            ledger.drain_at = Some(now);
        }
        Ok(ledger)
    }

    fn charge_live(&mut self, entry: &Entry) {
        for id in &entry.chain {
            self.nodes.entry(id.clone()).or_insert_with(|| Node::new(bare(id))).live.charge(entry);
        }
    }

    fn note_oldest(&mut self, at: Timestamp) {
        self.outbox_oldest = Some(self.outbox_oldest.map_or(at, |oldest| oldest.min(at)));
    }

    /// Decides a command.
    pub fn apply(&mut self, now: Timestamp, command: Command) -> Effect {
        let mut effect = match command {
            Command::Hold(hold) => self.hold(now, hold),
            Command::Settle(settlement) => self.settle(now, settlement),
            Command::Publish { nodes, keys } => self.publish(nodes, keys),
            Command::Lookup { digest } => {
                Effect::only(Reply::Key { record: self.keys.get(&digest.0).cloned() })
            }
            Command::Describe { key } => Effect::only(Reply::Limits { limits: self.describe(now, &key) }),
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
        effect.alarm = self.plan_alarm();
        effect
    }

    /// The chain of nodes of a key, from the key up.
    fn chain(&self, key: &KeyId) -> Option<Vec<String>> {
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

    fn put_node(&mut self, spec: NodeSpec) {
        if spec.level == Level::Customer {
            self.customer = Some(spec.id.clone());
        }
        match self.nodes.get_mut(&spec.id) {
            Some(node) => node.spec = spec,
            None => {
                self.nodes.insert(spec.id.clone(), Node::new(spec));
            }
        }
    }

    fn hold(&mut self, now: Timestamp, hold: Hold) -> Effect {
        let refuse = |refusal| Effect::only(Reply::Refused(refusal));
        let Some(mut chain) = self.chain(&hold.key) else { return refuse(Refusal::UnknownKey) };
        if let Some(route) = &hold.route {
            chain.push(self.route_node(route));
        }
        // A ticket that is already held asks for more: only the difference must fit, and it is no new request.
        let earlier = self.holds.get(&hold.ticket).map(|(_, entry)| (entry.at, entry.bound, entry.tokens));
        if hold.extends && earlier.is_none() {
            return Effect::only(Reply::Absent);
        }
        let bound = hold.bound.unwrap_or(NanoUsd::ZERO).max(NanoUsd::ZERO);
        let (at, held_bound, held_tokens) = earlier.unwrap_or((now, NanoUsd::ZERO, 0));
        let more_money = bound.minus(held_bound).max(NanoUsd::ZERO);
        let more_tokens = hold.tokens.saturating_sub(held_tokens);
        let more_requests = u64::from(earlier.is_none());

        for id in &chain {
            if let Some(node) = self.nodes.get_mut(id) {
                node.live.roll(now);
            }
        }
        for id in &chain {
            let Some(node) = self.nodes.get(id) else { continue };
            let refusal = node.check(now, hold.bound.is_none(), more_money, more_requests, more_tokens);
            if let Some(mut refusal) = refusal {
                if let Refusal::Budget { least, .. } = &mut refusal {
                    *least = self.standing(now, &chain, &hold.key).budget_remaining.unwrap_or(NanoUsd::MAX);
                }
                return refuse(refusal);
            }
        }
        for id in &chain {
            if let Some(node) = self.nodes.get_mut(id) {
                node.live.hold(at, more_money, more_requests, more_tokens);
            }
        }
        let entry = Entry {
            ticket: hold.ticket.clone(),
            at,
            expires_at: now.plus_ms(hold.ttl_ms.max(1_000)),
            bound: held_bound.plus(more_money),
            tokens: held_tokens.saturating_add(more_tokens),
            cost: NanoUsd::ZERO,
            used: 0,
            rows: hold.unsettled,
            chain,
            adjustment: false,
        };
        let standing = Standing { at, ..self.standing(now, &entry.chain, &hold.key) };
        let body = match serde_json::to_string(&entry) {
            Ok(body) => body,
            Err(error) => return Effect::only(Reply::Failed { message: error.to_string() }),
        };
        let number = match self.holds.get(&hold.ticket) {
            Some((number, old)) => {
                self.expiries.remove(&(old.expires_at, hold.ticket.clone()));
                *number
            }
            None => {
                self.number += 1;
                self.number
            }
        };
        self.expiries.insert((entry.expires_at, hold.ticket.clone()));
        self.holds.insert(hold.ticket, (number, entry));
        Effect {
            reply: Reply::Held(standing),
            writes: vec![Write::Entry { number, settled: false, body }],
            alarm: None,
        }
    }

    fn route_node(&mut self, route: &RouteLimit) -> String {
        let id = format!("route:{}", route.name);
        let spec =
            NodeSpec { limits: Limits { rpm: route.rpm, tpm: route.tpm, ..Limits::default() }, ..bare(&id) };
        let node = self.nodes.entry(id.clone()).or_insert_with(|| Node::new(spec.clone()));
        if node.spec.limits != spec.limits {
            node.spec = spec;
        }
        id
    }

    fn standing(&self, now: Timestamp, chain: &[String], key: &KeyId) -> Standing {
        let nodes = || chain.iter().filter_map(|id| self.nodes.get(id));
        let budget_remaining = nodes()
            .flat_map(|node| {
                node.budgets()
                    .map(|(window, limit)| limit.minus(node.live.window(window).taken()).max(NanoUsd::ZERO))
            })
            .min();
        let tightest = |wanted: RateUnit| {
            nodes()
                .flat_map(|node| node.rates().filter(move |(unit, ..)| *unit == wanted))
                .map(|(_, limit, minute)| RateStanding {
                    limit,
                    remaining: limit.saturating_sub(minute.sum()),
                    reset_ms: minute.reset_ms(now),
                })
                .min_by_key(|standing| standing.remaining)
        };
        Standing {
            budget_remaining,
            requests: tightest(RateUnit::Requests),
            tokens: tightest(RateUnit::Tokens),
            key_revision: self.nodes.get(key.as_str()).map_or(0, |node| node.spec.revision),
            ..Standing::default()
        }
    }

    fn settle(&mut self, now: Timestamp, settlement: Settlement) -> Effect {
        let Settlement { ticket, cost, tokens, rows } = settlement;
        // Settled before, or expired: the ledger already has its row, and a row is never edited.
        let Some((number, mut entry)) = self.holds.remove(&ticket) else {
            return Effect::only(Reply::Absent);
        };
        self.expiries.remove(&(entry.expires_at, ticket.clone()));
        (entry.cost, entry.used, entry.rows) = (cost, tokens, rows);
        self.finish(now, number, &entry, Reply::Settled)
    }

    /// Turns a hold that ended into an outbox entry.
    fn finish(&mut self, now: Timestamp, number: u64, entry: &Entry, reply: Reply) -> Effect {
        for id in &entry.chain {
            if let Some(node) = self.nodes.get_mut(id) {
                node.live.roll(now);
                node.live.settle(entry);
            }
        }
        self.outbox += 1;
        self.note_oldest(entry.at);
        if self.drain_at.is_none() {
            self.drain_at = Some(now.plus_ms(DRAIN_DELAY_MS));
        }
        match serde_json::to_string(entry) {
            Ok(body) => {
                Effect { reply, writes: vec![Write::Entry { number, settled: true, body }], alarm: None }
            }
            Err(error) => Effect::only(Reply::Failed { message: error.to_string() }),
        }
    }

    fn publish(&mut self, nodes: Vec<NodeSpec>, keys: Vec<KeyRecord>) -> Effect {
        let mut writes = Vec::new();
        for spec in nodes {
            if self.nodes.get(&spec.id).is_some_and(|node| node.spec.revision > spec.revision) {
                continue;
            }
            let Ok(body) = serde_json::to_string(&spec) else { continue };
            writes.push(Write::Node { id: spec.id.clone(), body });
            self.put_node(spec);
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

    fn describe(&self, now: Timestamp, key: &KeyId) -> Vec<LimitStatus> {
        let chain = self.chain(key).unwrap_or_default();
        chain.iter().filter_map(|id| self.nodes.get(id)).flat_map(|node| node.statuses(now)).collect()
    }

    fn inspect(&self, now: Timestamp) -> Inspection {
        let known = self.customer.is_some();
        let mut limits: Vec<LimitStatus> = self.nodes.values().flat_map(|node| node.statuses(now)).collect();
        limits.sort_by(|a, b| (a.level, &a.id).cmp(&(b.level, &b.id)));
        let customer = self.customer.as_ref().and_then(|id| self.nodes.get(id));
        Inspection {
            known,
            limits,
            spent_total_nanousd: customer.map_or(NanoUsd::ZERO, |node| node.live.total.spent),
            held: self.holds.len() as u64,
            held_nanousd: self.holds.values().fold(NanoUsd::ZERO, |sum, (_, entry)| sum.plus(entry.bound)),
            outbox: self.outbox,
            outbox_oldest_ms: self.outbox_oldest,
            last_drain_error: self.drain_error.clone(),
            database: self.database.clone(),
            quarantined: self.set_aside.len() as u64,
            quarantine: self.quarantined(),
        }
    }

    /// Ends every hold whose time is over, each with one row charged at its bound. The alarm begins with it and ends with
    /// [`Self::rest`].
    pub fn expire(&mut self, now: Timestamp) -> Effect {
        self.alarm_at = None;
        let mut writes = Vec::new();
        while let Some((expires_at, ticket)) = self.expiries.first().cloned() {
            if expires_at > now {
                break;
            }
            self.expiries.remove(&(expires_at, ticket.clone()));
            let Some((number, mut entry)) = self.holds.remove(&ticket) else { continue };
            (entry.cost, entry.used) = (entry.bound, entry.tokens);
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
            writes.extend(self.finish(now, number, &entry, Reply::Settled).writes);
        }
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
        let wanted = [expiry, self.drain_at].into_iter().flatten().min()?;
        if self.alarm_at.is_some_and(|at| at <= wanted) {
            return None;
        }
        self.alarm_at = Some(wanted);
        Some(wanted)
    }
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
