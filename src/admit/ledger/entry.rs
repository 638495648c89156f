//! What the ledger writes down: requests, and everything else it must find again.

use super::super::{
    limit::Amounts,
    node::{Change, Counted, Node},
    wire::Reply,
};
use crate::model::{money::NanoUsd, time::Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

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
    /// Insert or replace a lease, or (without a body) delete it.
    Lease {
        /// Its id.
        id: String,
        /// [`Lease`] as JSON.
        body: Option<String>,
    },
    /// Insert or replace what is remembered of a hold that expired, or (without a body) delete it.
    Late {
        /// The request's id.
        ticket: String,
        /// JSON.
        body: Option<String>,
    },
    /// Forget end users of whom nothing is counted any more: their specifications and their base counters.
    DropUsers {
        /// The ids of their nodes.
        ids: Vec<String>,
    },
    /// Note a threshold that was passed, once.
    Event {
        /// Tells it from all others: node, limit, window, amount, per cent.
        id: String,
        /// JSON, as it goes to D1.
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
    pub(super) const fn only(reply: Reply) -> Self {
        Self { reply, writes: Vec::new(), alarm: None }
    }
}

/// A request as stored; or several that were admitted from one lease and ended together.
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
    /// The models it can reach, if a limit depends on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// The bound that is held.
    pub bound: NanoUsd,
    /// The tokens that are held.
    pub tokens: u64,
    /// How many of them can be input.
    #[serde(default, skip_serializing_if = "is_default")]
    pub input: u64,
    /// What a settled request cost; of a held one nothing. Negative only for corrections.
    #[serde(default)]
    pub cost: NanoUsd,
    /// The tokens a settled request used.
    #[serde(default)]
    pub used: u64,
    /// How many of them were input.
    #[serde(default, skip_serializing_if = "is_default")]
    pub used_input: u64,
    /// How many requests it stands for.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: i64,
    /// The lease it was admitted from, and for how much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_lease: Option<(String, Amounts)>,
    /// The rows of a settled request, an array; of a held one the row it would expire to. Carried unread.
    pub rows: Box<RawValue>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

const fn one() -> i64 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_one(count: &i64) -> bool {
    *count == 1
}

/// Tokens as an amount.
pub(super) fn tokens(all: u64, input: u64) -> Amounts {
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    Amounts { input: signed(input.min(all)), output: signed(all.saturating_sub(input)), ..Amounts::ZERO }
}

impl Entry {
    /// An entry that was never held: all of it but its rows is still to be said. It stands for no request.
    pub(super) fn settled(rows: Box<RawValue>) -> Self {
        Self {
            ticket: String::new(),
            at: Timestamp(0),
            expires_at: Timestamp(0),
            chain: Vec::new(),
            models: Vec::new(),
            bound: NanoUsd::ZERO,
            tokens: 0,
            input: 0,
            cost: NanoUsd::ZERO,
            used: 0,
            used_input: 0,
            count: 0,
            from_lease: None,
            rows,
        }
    }

    /// What is held for it, without the request itself: that counts as used from its beginning.
    pub(super) fn held(&self) -> Amounts {
        Amounts { money: self.bound, ..tokens(self.tokens, self.input) }
    }

    /// What it came to.
    pub(super) fn spent(&self) -> Amounts {
        Amounts { money: self.cost, ..tokens(self.used, self.used_input) }
    }

    pub(super) fn counted(&self, number: u64) -> Counted<'_> {
        Counted { number, at: self.at, models: &self.models }
    }

    /// A settled entry, counted from nothing.
    pub(super) fn charge(&self) -> Change {
        Change { used: Amounts { requests: self.count, ..self.spent() }, ..Change::default() }
    }

    /// Its end, counted over its hold.
    pub(super) fn end(&self) -> Change {
        Change {
            used: self.spent(),
            held: Amounts::ZERO.minus(self.held()),
            under_way: -1,
            ..Change::default()
        }
    }
}

pub(super) fn write(number: u64, settled: bool, entry: &Entry) -> Write {
    // An entry is plain data: there is no value of it that JSON cannot hold.
    Write::Entry { number, settled, body: serde_json::to_string(entry).unwrap_or_default() }
}

/// A node's base counters, to be written.
pub(super) fn base(id: &str, node: &Node) -> Option<Write> {
    let body = serde_json::to_string(&node.stored()).ok()?;
    Some(Write::Base { id: id.to_owned(), body })
}

pub(super) fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}
