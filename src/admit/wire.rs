//! What the Worker and the customer's Durable Object say to one another.
//!
//! JSON, because a deploy makes old Workers talk to new objects and the reverse: unknown members are ignored, new
//! ones have defaults, and a change of meaning gets a new operation name. `tests` pin the texts.

use super::limit::Amounts;
pub use super::limit::{Limit, Limits, Unit, Window};
use crate::{
    config::policy::Pattern,
    model::{
        id::{CustomerId, KeyDigest, KeyId, TeamId},
        money::NanoUsd,
        time::Timestamp,
    },
    settle::{raw, row::LedgerRow},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

mod lease;
pub use lease::{Begun, LeaseAsk, Report, Terms};

/// A question to the object.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Set an upper bound aside at every level, or refuse. With a ticket already held: raise its bound.
    Hold(Hold),
    /// Replace a hold by what was really used.
    Settle(Settlement),
    /// What an isolate did with its lease, and what it wants of it further.
    Report(Report),
    /// Nodes and keys as the admin wrote them.
    Publish {
        /// New or changed nodes.
        nodes: Vec<NodeSpec>,
        /// New or changed keys.
        keys: Vec<KeyRecord>,
    },
    /// The record of a key.
    Lookup {
        /// SHA-256 of the key.
        digest: KeyDigest,
    },
    /// Every limit that binds a key.
    Describe {
        /// The key's id.
        key: KeyId,
        /// An end user, whose limits are wanted too.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
    },
    /// A request not yet drained: held or settled.
    Find {
        /// The request's id.
        ticket: String,
    },
    /// The object's own totals, for the operator.
    Inspect,
    /// Rows that correct what earlier ones cost.
    Adjust(Adjustment),
    /// Try the rows again that D1 refused.
    RetryQuarantine,
    /// What D1 must hold of this ledger.
    Audit,
}

/// Corrections for one key, of requests admitted on one day. Made again, also in part, it changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Adjustment {
    /// Names these corrections.
    pub adjustment_id: String,
    /// Whose money.
    pub key: KeyId,
    /// When the corrected requests were admitted: the windows it counts in, as far as they still are.
    pub at: Timestamp,
    /// [`LedgerRow`]s, an array.
    pub rows: Box<RawValue>,
    /// Their sum; may be negative.
    pub cost: NanoUsd,
}

/// What a request came to. The sums are those of the rows; the object stores the rows unread.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settlement {
    /// The request's id, as held.
    pub ticket: String,
    /// What all attempts cost.
    pub cost: NanoUsd,
    /// The tokens all attempts used.
    pub tokens: u64,
    /// How many of them were input.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub input: u64,
    /// One [`LedgerRow`] for each attempt.
    pub rows: Box<RawValue>,
}

impl Settlement {
    /// The only maker: sums and rows agree.
    #[must_use]
    pub fn of(ticket: String, rows: &[LedgerRow]) -> Self {
        Self {
            ticket,
            cost: rows.iter().fold(NanoUsd::ZERO, |sum, row| sum.plus(row.cost_nanousd)),
            tokens: rows.iter().fold(0, |sum, row| sum.saturating_add(row.tokens())),
            input: rows.iter().fold(0, |sum, row| sum.saturating_add(row.input())),
            rows: raw(&rows),
        }
    }
}

/// What is to be set aside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hold {
    /// The request's id.
    pub ticket: String,
    /// Which key asks.
    pub key: KeyId,
    /// The most it can cost; `None` if the model has no price, which a budget refuses.
    pub bound: Option<NanoUsd>,
    /// The most tokens it can use.
    pub tokens: u64,
    /// How many of them can be input.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub input: u64,
    /// How long the hold lives without settlement.
    pub ttl_ms: i64,
    /// The ticket is held already and needs more. If its hold has expired meanwhile, it is not begun anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extends: bool,
    /// Limits of the route, counted for this customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteLimit>,
    /// The end user it is for, as the caller names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Every model it can reach, as requested and as targeted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// A refusal should come with where the caller stands ([`Reply::Denied`]).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub explain: bool,
    /// This isolate sees more such requests, and would rather decide them itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseAsk>,
    /// The request was admitted from this lease, for this much, and nobody has reported it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_lease: Option<(String, Amounts)>,
    /// The [`LedgerRow`] to write if nobody settles; its cost is replaced by the bound.
    pub unsettled: Box<RawValue>,
}

/// A route's own limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteLimit {
    /// The route.
    pub name: String,
    /// Requests per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpm: Option<u64>,
    /// Tokens per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<u64>,
}

/// The object's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The bound is set aside, durably.
    Held(Standing),
    /// Nothing was consumed.
    Refused(Refusal),
    /// As `refused`, and where the caller stands.
    Denied(Refusal, Standing),
    /// The rows are in the ledger.
    Settled,
    /// No such hold: settled before, or expired.
    Absent,
    /// The nodes are stored.
    Published,
    /// The key's record, if there is one.
    Key {
        /// The record.
        record: Option<KeyRecord>,
    },
    /// Limits of a key.
    Limits {
        /// From the key up.
        limits: Vec<LimitStatus>,
    },
    /// A request under way or not yet drained.
    Found {
        /// `held` or `settled`.
        state: String,
        /// The rows; of a hold, the one it would expire to.
        rows: Vec<LedgerRow>,
    },
    /// Totals.
    Inspection(Inspection),
    /// What D1 must hold.
    Audit(Audit),
    /// Rows that will be tried again.
    Retrying {
        /// How many.
        rows: u64,
    },
    /// The command could not be carried out.
    Failed {
        /// For the operator.
        message: String,
    },
}

/// Where the caller stands after a hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// When the hold was taken, by the object's clock: the time its rows carry.
    pub at: Timestamp,
    /// What is left of the tightest budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_remaining: Option<NanoUsd>,
    /// The tightest request limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<RateStanding>,
    /// The tightest token limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<RateStanding>,
    /// The key's record has this revision; an older copy should be fetched anew.
    #[serde(default)]
    pub key_revision: u64,
    /// The lease that was asked for or reported on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Terms>,
}

/// A rate limit as `x-ratelimit-*` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateStanding {
    /// Per minute.
    pub limit: u64,
    /// Still free.
    pub remaining: u64,
    /// Until all of it is free again.
    pub reset_ms: i64,
}

/// Why a hold was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No such key here.
    UnknownKey,
    /// The key, its team or its customer is blocked, or the key was revoked.
    Blocked {
        /// Which of them.
        level: Level,
    },
    /// The key's time is over.
    Expired,
    /// A budget would be overspent.
    Budget {
        /// Where.
        level: Level,
        /// Which window.
        window: Window,
        /// What the window may hold.
        limit: NanoUsd,
        /// What is spent and held.
        taken: NanoUsd,
        /// When the window begins anew; `None` for a lifetime budget.
        resets_at: Option<Timestamp>,
        /// What the tightest of all budgets above the key has left.
        #[serde(default = "unlimited")]
        least: NanoUsd,
        /// The models it is for, if not for all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        models: Option<Pattern>,
        /// It would fit if isolates had not leased more than they need; they are being asked to give it back.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        recalled: bool,
    },
    /// So many end users are being counted that there is no room for another.
    TooManyUsers {
        /// How many.
        limit: u64,
    },
    /// The model has no price and this level has a budget.
    Unpriced {
        /// Where the budget is.
        level: Level,
    },
    /// A rate limit.
    Rate {
        /// Where.
        level: Level,
        /// What is counted.
        unit: Unit,
        /// Per minute.
        limit: u64,
        /// Until it fits; `None` if the request is larger than the limit, or nobody can know.
        retry_after_ms: Option<i64>,
        /// In which window.
        #[serde(default = "minute", skip_serializing_if = "is_minute")]
        window: Window,
        /// The models it is for, if not for all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        models: Option<Pattern>,
        /// As of a budget.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        recalled: bool,
    },
}

impl Refusal {
    /// Whether it would fit once isolates have given back what they do not need; they are being asked.
    #[must_use]
    pub const fn recalled(&self) -> bool {
        matches!(self, Self::Budget { recalled: true, .. } | Self::Rate { recalled: true, .. })
    }
}

const fn unlimited() -> NanoUsd {
    NanoUsd::MAX
}

const fn minute() -> Window {
    Window::MINUTE
}

fn is_minute(window: &Window) -> bool {
    *window == Window::MINUTE
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A level of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The customer.
    Customer,
    /// A team.
    Team,
    /// A virtual key.
    Key,
    /// A route, counted for the customer.
    Route,
    /// An end user of a customer, a team or a key.
    User,
}

impl Level {
    /// The word used in answers.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Team => "team",
            Self::Key => "key",
            Self::Route => "route",
            Self::User => "user",
        }
    }
}

/// A node of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// Its id: a customer's, a team's, a key's.
    pub id: String,
    /// Which level.
    pub level: Level,
    /// For a key: its team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
    /// Its limits.
    #[serde(default)]
    pub limits: Limits,
    /// Limits of each of its end users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each_user: Option<Limits>,
    /// Whether requests are refused.
    #[serde(default)]
    pub blocked: bool,
    /// For a key: when it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Grows with every change; an older one is ignored.
    #[serde(default)]
    pub revision: u64,
}

/// What the Worker needs to know of a key. Published to KV and to the object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// SHA-256 of the key.
    pub digest: KeyDigest,
    /// Public id.
    pub id: KeyId,
    /// Whose.
    pub customer: CustomerId,
    /// The customer's name, for routes.
    #[serde(default)]
    pub customer_name: String,
    /// The team, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
    /// The team's name, for routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_name: Option<String>,
    /// For people.
    #[serde(default)]
    pub name: String,
    /// Refused while true.
    #[serde(default)]
    pub blocked: bool,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Patterns of models the key may ask for; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Pattern>,
    /// Output cap of a request that names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_max_tokens: Option<u64>,
    /// Recorded with every row, and matched by routes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Grows with every change.
    #[serde(default)]
    pub revision: u64,
}

/// One limit with its figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitStatus {
    /// Where it is set.
    pub level: Level,
    /// The node's id.
    pub id: String,
    /// The models it is for, if not for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Pattern>,
    /// The figures.
    #[serde(flatten)]
    pub figures: LimitFigures,
}

/// Figures of one limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LimitFigures {
    /// Money.
    Budget {
        /// Which window.
        window: Window,
        /// What it may hold.
        limit_nanousd: NanoUsd,
        /// Settled.
        spent_nanousd: NanoUsd,
        /// Set aside for requests under way.
        held_nanousd: NanoUsd,
        /// Booked for isolates that decide by themselves, and not yet reported.
        #[serde(default)]
        leased_nanousd: NanoUsd,
        /// What is left.
        remaining_nanousd: NanoUsd,
        /// RFC 3339; absent for a lifetime budget.
        #[serde(skip_serializing_if = "Option::is_none")]
        resets_at: Option<String>,
    },
    /// Requests.
    Requests(RateFigures),
    /// Tokens.
    Tokens(RateFigures),
    /// Input tokens.
    InputTokens(RateFigures),
    /// Output tokens.
    OutputTokens(RateFigures),
    /// Requests under way.
    Concurrent(RateFigures),
}

/// Figures of a limit that is not money.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateFigures {
    /// `minute` for sixty seconds, else as the limit was written.
    pub window: String,
    /// What the window may hold.
    pub limit: i64,
    /// What it holds, upper bounds of requests under way included.
    pub used: i64,
    /// The part of it that is held for requests under way.
    #[serde(default)]
    pub held: i64,
    /// Booked for isolates that decide by themselves, and not yet reported.
    #[serde(default)]
    pub leased: i64,
    /// Still free.
    pub remaining: i64,
    /// RFC 3339: when all of it is free again; absent if that has no date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<String>,
}

/// Totals of an object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// Whether this object has a customer at all.
    #[serde(default)]
    pub known: bool,
    /// Every limit of every node but those of end users.
    pub limits: Vec<LimitStatus>,
    /// End users of whom something is counted, once for each level that limits them.
    #[serde(default)]
    pub end_users: u64,
    /// Money ever settled.
    pub spent_total_nanousd: NanoUsd,
    /// Holds under way.
    pub held: u64,
    /// Money they hold.
    pub held_nanousd: NanoUsd,
    /// Leases of isolates.
    #[serde(default)]
    pub leases: u64,
    /// Money booked for them and not yet reported.
    #[serde(default)]
    pub leased_nanousd: NanoUsd,
    /// Settled requests not yet in D1.
    pub outbox: u64,
    /// When the oldest of them was admitted.
    pub outbox_oldest_ms: Option<Timestamp>,
    /// Why the last drain failed, until one succeeds.
    pub last_drain_error: Option<String>,
    /// The binding of the D1 database this ledger goes to, once it went.
    #[serde(default)]
    pub database: Option<String>,
    /// Rows that D1 refuses while it takes others. Their money is in all totals.
    #[serde(default)]
    pub quarantined: u64,
    /// The first hundred of them.
    #[serde(default)]
    pub quarantine: Vec<Quarantined>,
}

/// A row of the outbox that D1 refuses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Its number in the object.
    pub number: u64,
    /// When it was set aside.
    pub since_ms: Timestamp,
    /// What D1 said.
    pub error: String,
    /// Whether it is to be tried again.
    pub retrying: bool,
    /// Its requests.
    pub request_ids: Vec<String>,
    /// What they cost.
    pub cost_nanousd: NanoUsd,
}

/// What an object says of its money, for reconciliation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// Whether this object has a customer at all.
    pub known: bool,
    /// The same twice: no batch was begun or ended in between.
    pub stamp: String,
    /// Rows in the outbox.
    pub outbox: u64,
    /// Money ever settled, the customer's.
    pub spent_nanousd: NanoUsd,
    /// The binding of the D1 database it goes to.
    pub database: Option<String>,
    /// By key.
    pub keys: BTreeMap<String, AuditedKey>,
    /// `request id/attempt` of rows that D1 may have although the object does not know it.
    pub unsure: Vec<String>,
}

/// One key's money: `spent` is the sum of the other three.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AuditedKey {
    /// Ever settled.
    pub spent_nanousd: NanoUsd,
    /// In D1.
    pub drained_nanousd: NanoUsd,
    /// Waiting for D1.
    pub outbox_nanousd: NanoUsd,
    /// Refused by D1.
    pub quarantined_nanousd: NanoUsd,
}
