//! The Durable Object's half in Rust: JSON in, [`text`] out. `object.js` makes it durable.

use crate::{
    admit::{
        ledger::{AUDITED_ROWS, Effect, Entry, Ledger, Stored, Write, rows_of},
        wire::{Command, Reply},
    },
    model::time::Timestamp,
    settle::{rollup, row::LedgerRow},
};
use std::borrow::Cow;
use wasm_bindgen::{JsError, prelude::wasm_bindgen};

/// Takes an array of events. A threshold noted again after an eviction has the id it had.
const INSERT_EVENTS: &str = "INSERT OR IGNORE INTO events (id, at_ms, customer_id, node_id, level, kind, unit, window, \
models, window_start_ms, percent, amount, used) SELECT value->>'id', value->>'at_ms', value->>'customer_id', \
value->>'node_id', value->>'level', value->>'kind', value->>'unit', value->>'window', value->>'models', \
value->>'window_start_ms', value->>'percent', value->>'amount', value->>'used' FROM json_each(?1)";

/// A customer's ledger in this instance's memory.
#[wasm_bindgen]
pub struct ObjectCore {
    ledger: Ledger,
    databases: u32,
    /// On its way to D1.
    batch: Vec<(u64, String)>,
}

#[wasm_bindgen]
impl ObjectCore {
    /// Loads what is stored (JSON). `databases`: how many hold ledgers besides the default one.
    ///
    /// # Errors
    /// If it cannot be read.
    #[wasm_bindgen(constructor)]
    pub fn new(stored: &str, now: f64, databases: u32) -> Result<ObjectCore, JsError> {
        let stored: Stored = serde_json::from_str(stored)?;
        let ledger = Ledger::load(&stored, at(now), zone_offset).map_err(|error| JsError::new(&error))?;
        Ok(Self { ledger, databases, batch: Vec::new() })
    }

    /// Carries out a command (JSON, as bytes: strings are copied into wasm character by character). `stored` is what storage alone knows: for a `find` the outbox row of the request it
    /// names, for an `audit` the first outbox rows (an array of texts).
    #[must_use]
    pub fn apply(&mut self, now: f64, command: &[u8], stored: Option<String>) -> String {
        match serde_json::from_slice::<Command>(command) {
            Ok(command) => {
                let wanted = match &command {
                    Command::Find { ticket } => Some(ticket.clone()),
                    _ => None,
                };
                let mut effect = self.ledger.apply(at(now), command);
                match (&effect.reply, stored) {
                    (Reply::Absent, Some(body)) => {
                        if let Ok(entry) = serde_json::from_str::<Entry>(&body) {
                            // Several requests of a lease can share an entry.
                            let mut rows: Vec<LedgerRow> =
                                serde_json::from_str(entry.rows.get()).unwrap_or_default();
                            rows.retain(|row| wanted.as_deref().is_none_or(|id| row.request_id == id));
                            effect.reply = Reply::Found { state: "settled".to_owned(), rows };
                        }
                    }
                    (Reply::Audit(_), Some(bodies)) => {
                        let bodies: Vec<String> = serde_json::from_str(&bodies).unwrap_or_default();
                        effect.reply = Reply::Audit(self.ledger.audit(&bodies));
                    }
                    _ => {}
                }
                text(&effect)
            }
            // A newer Worker may ask what this object does not know yet.
            Err(error) => text(&Effect {
                reply: Reply::Failed { message: error.to_string() },
                writes: vec![],
                alarm: None,
            }),
        }
    }

    /// Ends holds whose time is over.
    #[must_use]
    pub fn expire(&mut self, now: f64) -> String {
        text(&self.ledger.expire(at(now)))
    }

    /// The end of the alarm's work.
    #[must_use]
    pub fn rest(&mut self, now: f64) -> String {
        text(&self.ledger.rest(at(now)))
    }

    /// Whether the outbox should be drained now.
    #[must_use]
    pub fn drain_due(&self, now: f64) -> bool {
        self.ledger.drain_due(at(now))
    }

    /// How many requests to drain at once.
    #[must_use]
    pub fn batch_size(&self) -> u32 {
        self.ledger.batch_size()
    }

    /// How many of the first outbox rows an `audit` needs.
    #[must_use]
    pub fn audited_rows(&self) -> u32 {
        AUDITED_ROWS
    }

    /// A batch is about to be sent.
    #[must_use]
    pub fn begin_drain(&mut self) -> String {
        let effect = self.ledger.begin_drain(self.databases);
        text(&effect)
    }

    /// The binding of that database.
    #[must_use]
    pub fn database(&self) -> String {
        self.ledger.database().to_owned()
    }

    /// A batch of one row that was refused before and is to be tried again. A batch is lines of number, tab and body.
    #[must_use]
    pub fn retrying(&self) -> Option<String> {
        self.ledger.retrying().map(|(number, body)| format!("{number}\t{body}"))
    }

    /// The statements (JSON) that bring rows into D1; each takes them as its one parameter.
    #[must_use]
    pub fn insertion(&self) -> String {
        serde_json::to_string(&rollup::INSERTION).unwrap_or_default()
    }

    /// The rows of a batch, a JSON array; empty if there are none. The batch is kept until it is known what became of it.
    #[must_use]
    pub fn rows(&mut self, batch: &[u8]) -> String {
        self.batch = read_batch(batch);
        rows_of(&self.batch)
    }

    /// The statements (JSON) that tell whether D1 takes rows at all.
    #[must_use]
    pub fn probe(&self) -> String {
        serde_json::to_string(&rollup::probe()).unwrap_or_default()
    }

    /// D1 has the batch.
    #[must_use]
    pub fn drained(&mut self, now: f64, more: bool) -> String {
        let batch = std::mem::take(&mut self.batch);
        text(&self.ledger.drained(at(now), &batch, more))
    }

    /// The statement that takes an array of events as its one parameter.
    #[must_use]
    pub fn event_statement(&self) -> String {
        INSERT_EVENTS.to_owned()
    }

    /// D1 has all events.
    #[must_use]
    pub fn events_drained(&mut self) -> String {
        text(&self.ledger.events_drained())
    }

    /// D1 has not.
    #[must_use]
    pub fn events_failed(&mut self, now: f64) -> String {
        text(&self.ledger.events_failed(at(now)))
    }

    /// D1 has not; `takes_others`: the probe went through right after.
    #[must_use]
    pub fn drain_failed(&mut self, now: f64, error: &str, takes_others: bool) -> String {
        let batch = std::mem::take(&mut self.batch);
        text(&self.ledger.drain_failed(at(now), error, &batch, takes_others))
    }
}

/// Minutes a zone is ahead of UTC, as the runtime knows it.
fn zone_offset(zone: &str, at: Timestamp) -> Option<i32> {
    let minutes = super::port::zone_offset(zone, at.0 as f64);
    (!minutes.is_nan()).then_some(minutes as i32)
}

fn read_batch(batch: &[u8]) -> Vec<(u64, String)> {
    let row = |line: &str| {
        let (number, body) = line.split_once('\t')?;
        Some((number.parse().ok()?, body.to_owned()))
    };
    String::from_utf8_lossy(batch).lines().filter_map(row).collect()
}

fn at(now: f64) -> Timestamp {
    Timestamp(now as i64)
}

/// `reply ␊ alarm` and a line for each write: what ⇥ name ⇥ body. JSON holds neither of the two characters, and
/// ids hold no others than letters, digits and `_-.:`.
fn text(effect: &Effect) -> String {
    let mut text = serde_json::to_string(&effect.reply).unwrap_or_default();
    text.push('\n');
    if let Some(at) = effect.alarm {
        text.push_str(&at.0.to_string());
    }
    for write in &effect.writes {
        let (what, name, body): (&str, Cow<'_, str>, Cow<'_, str>) = match write {
            Write::Entry { number, settled: false, body } => ("held", number.to_string().into(), body.into()),
            Write::Entry { number, settled: true, body } => {
                ("settled", number.to_string().into(), body.into())
            }
            Write::DropEntries { numbers } => {
                ("drop", "".into(), serde_json::to_string(numbers).unwrap_or_default().into())
            }
            Write::Outbox { number, body } => ("outbox", number.to_string().into(), body.into()),
            Write::Quarantine { number, body } => ("quarantine", number.to_string().into(), body.into()),
            Write::Release { number } => ("release", number.to_string().into(), "".into()),
            Write::Adjusted { id, body: Some(body) } => ("adjusted", id.into(), body.into()),
            Write::Adjusted { id, body: None } => ("forget", id.into(), "".into()),
            Write::Database { name } => ("meta", "database".into(), name.into()),
            Write::Node { id, body } => ("node", id.into(), body.into()),
            Write::Base { id, body } => ("base", id.into(), body.into()),
            Write::Key { digest, body } => ("key", digest.into(), body.into()),
            Write::Lease { id, body } => ("lease", id.into(), body.as_deref().unwrap_or_default().into()),
            Write::Late { ticket, body } => {
                ("late", ticket.into(), body.as_deref().unwrap_or_default().into())
            }
            Write::DropUsers { ids } => {
                ("forget", "".into(), serde_json::to_string(ids).unwrap_or_default().into())
            }
            Write::Event { id, body } => ("event", id.into(), body.into()),
        };
        for part in ["\n", what, "\t", &name, "\t", &body] {
            text.push_str(part);
        }
    }
    text
}
