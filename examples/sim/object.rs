//! The Durable Object around the ledger: what is durable, its alarm, and D1 behind it.

use crate::text;
use edgehold::{
    admit::{
        ledger::{Effect, Entry, Ledger, Stored, Write},
        limit::utc_only,
        wire::{Command, Reply},
    },
    model::time::Timestamp,
};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What the simulation reads of a ledger row.
#[derive(Deserialize)]
struct Row {
    request_id: String,
    attempt: u32,
    cost_nanousd: i64,
}

pub struct Object {
    ledger: Ledger,
    pub entries: BTreeMap<u64, (bool, String)>,
    settled: BTreeSet<u64>,
    nodes: BTreeMap<String, String>,
    bases: BTreeMap<String, String>,
    pub leases: BTreeMap<String, String>,
    late: BTreeMap<String, String>,
    keys: BTreeMap<String, String>,
    pub alarm: Option<i64>,
    /// By request, what its rows in D1 come to; and everything else that D1 has.
    pub rows: Vec<i64>,
    pub other_rows: i64,
    seen: HashSet<(String, u32)>,
    pub row_writes: u64,
    /// Commands cross as texts, as on the wire.
    wire: bool,
}

impl Object {
    pub fn new(wire: bool) -> Self {
        Self {
            ledger: Ledger::default(),
            entries: BTreeMap::new(),
            settled: BTreeSet::new(),
            nodes: BTreeMap::new(),
            bases: BTreeMap::new(),
            leases: BTreeMap::new(),
            late: BTreeMap::new(),
            keys: BTreeMap::new(),
            alarm: None,
            rows: vec![],
            other_rows: 0,
            seen: HashSet::new(),
            row_writes: 0,
            wire,
        }
    }

    fn keep(&mut self, effect: Effect) -> Reply {
        for write in effect.writes {
            self.row_writes += 1;
            match write {
                Write::Entry { number, settled, body } => {
                    if settled {
                        self.settled.insert(number);
                    }
                    self.entries.insert(number, (settled, body));
                }
                Write::DropEntries { numbers } => {
                    self.row_writes += numbers.len() as u64 - 1;
                    for number in numbers {
                        self.entries.remove(&number);
                        self.settled.remove(&number);
                    }
                }
                Write::Node { id, body } => drop(self.nodes.insert(id, body)),
                Write::Base { id, body } => drop(self.bases.insert(id, body)),
                Write::Key { digest, body } => drop(self.keys.insert(digest, body)),
                Write::Lease { id, body: Some(body) } => drop(self.leases.insert(id, body)),
                Write::Lease { id, body: None } => drop(self.leases.remove(&id)),
                Write::Late { ticket, body: Some(body) } => drop(self.late.insert(ticket, body)),
                Write::Late { ticket, body: None } => drop(self.late.remove(&ticket)),
                Write::Outbox { number, body } => {
                    self.settled.insert(number);
                    self.entries.insert(number, (true, body));
                }
                Write::Event { .. } => {}
                other => panic!("nothing here is refused or corrected by hand: {other:?}"),
            }
        }
        if let Some(at) = effect.alarm {
            self.alarm = Some(at.0);
        }
        effect.reply
    }

    pub fn apply(&mut self, now: i64, command: &Command) -> Reply {
        if !self.wire {
            let effect = self.ledger.apply(Timestamp(now), command.clone());
            return self.keep(effect);
        }
        let command = serde_json::from_str(&text(command)).expect("a command is readable");
        let effect = self.ledger.apply(Timestamp(now), command);
        let reply = self.keep(effect);
        serde_json::from_str(&text(&reply)).expect("a reply is readable")
    }

    /// Memory is gone; what was written is not.
    pub fn crash(&mut self, now: i64) {
        let stored = Stored {
            nodes: self.nodes.values().cloned().collect(),
            bases: self.bases.clone().into_iter().collect(),
            keys: self.keys.values().cloned().collect(),
            entries: self.entries.iter().map(|(n, (settled, body))| (*n, *settled, body.clone())).collect(),
            leases: self.leases.values().cloned().collect(),
            late: self.late.clone().into_iter().collect(),
            ..Stored::default()
        };
        self.ledger = Ledger::load(&stored, Timestamp(now), utc_only).expect("what was stored can be read");
    }

    pub fn ring(&mut self, now: i64, d1_works: bool) {
        self.alarm = None;
        let effect = self.ledger.expire(Timestamp(now));
        self.keep(effect);
        for _ in 0..50 {
            if !self.ledger.drain_due(Timestamp(now)) {
                break;
            }
            let size = self.ledger.batch_size() as usize;
            let numbers: Vec<u64> = self.settled.iter().take(size + 1).copied().collect();
            let more = numbers.len() > size;
            let body = |number: &u64| self.entries.get(number).map(|(_, body)| (*number, body.clone()));
            let batch: Vec<(u64, String)> = numbers.iter().take(size).filter_map(body).collect();
            if !d1_works {
                let effect = self.ledger.drain_failed(Timestamp(now), "D1_ERROR", &batch, false);
                self.keep(effect);
                break;
            }
            for (_, body) in &batch {
                self.insert(body);
            }
            let effect = self.ledger.drained(Timestamp(now), &batch, more);
            self.keep(effect);
        }
        let effect = self.ledger.rest(Timestamp(now));
        self.keep(effect);
    }

    /// `INSERT OR IGNORE`.
    fn insert(&mut self, body: &str) {
        let entry: Entry = serde_json::from_str(body).expect("an entry is readable");
        let rows: Vec<Row> = serde_json::from_str(entry.rows.get()).expect("rows are readable");
        for row in rows {
            let cost = row.cost_nanousd;
            let request = row.request_id.strip_prefix("req_").and_then(|n| n.parse::<usize>().ok());
            if self.seen.insert((row.request_id, row.attempt)) {
                match request.and_then(|index| self.rows.get_mut(index)) {
                    Some(sum) => *sum += cost,
                    None => self.other_rows += cost,
                }
            }
        }
    }
}
