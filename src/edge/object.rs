//! The Durable Object's half in Rust: JSON in, `reply ␊ alarm ␊ writes` out. `object.js` makes it durable.

use crate::{
    admit::{
        ledger::{Effect, Entry, Ledger, Stored},
        wire::{Command, Reply},
    },
    model::time::Timestamp,
    settle::row::LedgerRow,
};
use wasm_bindgen::{JsError, prelude::wasm_bindgen};

/// Requests drained to D1 at once. A row is about a kilobyte, a bound value at most two megabytes.
const BATCH: u32 = 200;

/// The columns of the ledger, in D1 and in [`LedgerRow`].
const INSERT: &str = "INSERT OR IGNORE INTO ledger (request_id, attempt, at_ms, customer_id, team_id, key_id, route, \
requested_model, provider, model, outcome, status, streamed, input_tokens, cache_read_tokens, cache_write_tokens, \
output_tokens, reasoning_tokens, audio_tokens, usage_estimated, usage_json, cost_nanousd, price_version, first_byte_ms, \
duration_ms, upstream_id, metadata, error) SELECT value->>'request_id', value->>'attempt', value->>'at_ms', \
value->>'customer_id', value->>'team_id', value->>'key_id', value->>'route', value->>'requested_model', \
value->>'provider', value->>'model', value->>'outcome', value->>'status', value->>'streamed', value->>'input_tokens', \
value->>'cache_read_tokens', value->>'cache_write_tokens', value->>'output_tokens', value->>'reasoning_tokens', \
value->>'audio_tokens', value->>'usage_estimated', value->>'usage_json', value->>'cost_nanousd', \
value->>'price_version', value->>'first_byte_ms', value->>'duration_ms', value->>'upstream_id', value->>'metadata', \
value->>'error' FROM json_each(?1)";

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
        let stored: StoredJson = serde_json::from_str(stored)?;
        let ledger = Ledger::load(&stored.into(), at(now)).map_err(|error| JsError::new(&error))?;
        Ok(Self { ledger })
    }

    /// Carries out a command (JSON). `entry` is the stored body of the request that a `find` names, if it is settled.
    #[must_use]
    pub fn apply(&mut self, now: f64, command: &str, entry: Option<String>) -> String {
        match serde_json::from_str::<Command>(command) {
            Ok(command) => {
                let mut effect = self.ledger.apply(at(now), command);
                if let (Reply::Absent, Some(body)) = (&effect.reply, entry) {
                    if let Ok(entry) = serde_json::from_str::<Entry>(&body) {
                        effect.reply = Reply::Found { state: "settled".to_owned(), rows: entry.rows };
                    }
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
        BATCH
    }

    /// The statement that takes the rows of a batch as its one parameter.
    #[must_use]
    pub fn insert_statement(&self) -> String {
        INSERT.to_owned()
    }

    /// The parameter: all rows of `[[ticket, body], …]`; empty if there are none.
    #[must_use]
    pub fn insertion(&self, batch: &str) -> String {
        let entries: Vec<(String, String)> = serde_json::from_str(batch).unwrap_or_default();
        let rows: Vec<LedgerRow> = entries
            .iter()
            .filter_map(|(_, body)| serde_json::from_str::<Entry>(body).ok())
            .flat_map(|entry| entry.rows)
            .collect();
        if rows.is_empty() { String::new() } else { serde_json::to_string(&rows).unwrap_or_default() }
    }

    /// D1 has the batch.
    #[must_use]
    pub fn drained(&mut self, now: f64, batch: &str, more: bool) -> String {
        let entries: Vec<(String, String)> = serde_json::from_str(batch).unwrap_or_default();
        text(&self.ledger.drained(at(now), &entries, more))
    }

    /// D1 has not.
    #[must_use]
    pub fn drain_failed(&mut self, now: f64, error: &str) -> String {
        text(&self.ledger.drain_failed(at(now), error))
    }
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct StoredJson {
    nodes: Vec<String>,
    bases: Vec<(String, String)>,
    keys: Vec<String>,
    entries: Vec<(String, bool, String)>,
}

impl From<StoredJson> for Stored {
    fn from(json: StoredJson) -> Self {
        Self { nodes: json.nodes, bases: json.bases, keys: json.keys, entries: json.entries }
    }
}

fn at(now: f64) -> Timestamp {
    Timestamp(now as i64)
}

fn text(effect: &Effect) -> String {
    let reply = serde_json::to_string(&effect.reply).unwrap_or_default();
    let alarm = effect.alarm.map(|at| at.0.to_string()).unwrap_or_default();
    let writes = if effect.writes.is_empty() {
        String::new()
    } else {
        serde_json::to_string(&effect.writes).unwrap_or_default()
    };
    format!("{reply}\n{alarm}\n{writes}")
}
