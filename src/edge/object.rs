//! The Durable Object's half in Rust: JSON in, [`text`] out. `object.js` makes it durable.

use crate::{
    admit::{
        ledger::{Effect, Entry, Ledger, Stored, Write},
        wire::{Command, Reply},
    },
    model::time::Timestamp,
    settle::row::LedgerRow,
};
use std::borrow::Cow;
use wasm_bindgen::{JsError, prelude::wasm_bindgen};

/// The columns of the ledger, in D1 and in [`crate::settle::row::LedgerRow`], which leaves out zeros.
const INSERT: &str = "INSERT OR IGNORE INTO ledger (request_id, attempt, at_ms, customer_id, team_id, key_id, route, \
requested_model, provider, model, outcome, status, streamed, input_tokens, cache_read_tokens, \
cache_write_tokens, output_tokens, reasoning_tokens, audio_tokens, usage_estimated, usage_json, \
cost_nanousd, price_version, first_byte_ms, duration_ms, upstream_id, metadata, error) SELECT \
value->>'request_id', value->>'attempt', value->>'at_ms', value->>'customer_id', value->>'team_id', \
value->>'key_id', value->>'route', value->>'requested_model', value->>'provider', value->>'model', \
value->>'outcome', COALESCE(value->>'status', 0), COALESCE(value->>'streamed', 0), \
COALESCE(value->>'input_tokens', 0), COALESCE(value->>'cache_read_tokens', 0), \
COALESCE(value->>'cache_write_tokens', 0), COALESCE(value->>'output_tokens', 0), \
COALESCE(value->>'reasoning_tokens', 0), COALESCE(value->>'audio_tokens', 0), \
COALESCE(value->>'usage_estimated', 0), value->>'usage_json', COALESCE(value->>'cost_nanousd', 0), \
value->>'price_version', value->>'first_byte_ms', COALESCE(value->>'duration_ms', 0), \
value->>'upstream_id', value->>'metadata', value->>'error' FROM json_each(?1)";

/// The same of `events`. A threshold noted again after an eviction has the id it had.
const INSERT_EVENTS: &str = "INSERT OR IGNORE INTO events (id, at_ms, customer_id, node_id, level, kind, unit, window, \
models, window_start_ms, percent, amount, used) SELECT value->>'id', value->>'at_ms', value->>'customer_id', \
value->>'node_id', value->>'level', value->>'kind', value->>'unit', value->>'window', value->>'models', \
value->>'window_start_ms', value->>'percent', value->>'amount', value->>'used' FROM json_each(?1)";

/// A customer's ledger in this instance's memory.
#[wasm_bindgen]
pub struct ObjectCore {
    ledger: Ledger,
}

#[wasm_bindgen]
impl ObjectCore {
    /// Loads what is stored (JSON).
    ///
    /// # Errors
    /// If it cannot be read.
    #[wasm_bindgen(constructor)]
    pub fn new(stored: &str, now: f64) -> Result<ObjectCore, JsError> {
        let stored: Stored = serde_json::from_str(stored)?;
        let ledger = Ledger::load(&stored, at(now), zone_offset).map_err(|error| JsError::new(&error))?;
        Ok(Self { ledger })
    }

    /// Carries out a command (JSON). `entry` is the stored body of the request that a `find` names, if it is settled.
    #[must_use]
    pub fn apply(&mut self, now: f64, command: &str, entry: Option<String>) -> String {
        match serde_json::from_str::<Command>(command) {
            Ok(command) => {
                let wanted = match &command {
                    Command::Find { ticket } => Some(ticket.clone()),
                    _ => None,
                };
                let mut effect = self.ledger.apply(at(now), command);
                if let (Reply::Absent, Some(body)) = (&effect.reply, entry)
                    && let Ok(entry) = serde_json::from_str::<Entry>(&body)
                {
                    // Several requests of a lease can share an entry.
                    let mut rows: Vec<LedgerRow> = serde_json::from_str(entry.rows.get()).unwrap_or_default();
                    rows.retain(|row| wanted.as_deref().is_none_or(|id| row.request_id == id));
                    effect.reply = Reply::Found { state: "settled".to_owned(), rows };
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

    /// The statement that takes the rows of a batch as its one parameter.
    #[must_use]
    pub fn insert_statement(&self) -> String {
        INSERT.to_owned()
    }

    /// The parameter: all rows of `[[number, body], …]`; empty if there are none.
    #[must_use]
    pub fn insertion(&self, batch: &str) -> String {
        let entries: Vec<(u64, String)> = serde_json::from_str(batch).unwrap_or_default();
        let mut rows = String::from("[");
        for (_, body) in &entries {
            let Ok(entry) = serde_json::from_str::<Entry>(body) else { continue };
            let inner = entry.rows.get().trim().trim_start_matches('[').trim_end_matches(']').trim();
            if !inner.is_empty() {
                if rows.len() > 1 {
                    rows.push(',');
                }
                rows.push_str(inner);
            }
        }
        if rows.len() == 1 {
            return String::new();
        }
        rows.push(']');
        rows
    }

    /// D1 has the batch.
    #[must_use]
    pub fn drained(&mut self, now: f64, batch: &str, more: bool) -> String {
        let entries: Vec<(u64, String)> = serde_json::from_str(batch).unwrap_or_default();
        text(&self.ledger.drained(at(now), &entries, more))
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

    /// D1 has not.
    #[must_use]
    pub fn drain_failed(&mut self, now: f64, error: &str) -> String {
        text(&self.ledger.drain_failed(at(now), error))
    }
}

/// Minutes a zone is ahead of UTC, as the runtime knows it.
fn zone_offset(zone: &str, at: Timestamp) -> Option<i32> {
    let minutes = super::port::zone_offset(zone, at.0 as f64);
    (!minutes.is_nan()).then_some(minutes as i32)
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
