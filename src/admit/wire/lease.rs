//! Leases: slices of limits that are booked in the object and spent by an isolate.

use super::{Settlement, is_zero};
use crate::{
    admit::limit::Amounts,
    model::{id::KeyId, money::NanoUsd, time::Timestamp},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What an isolate asks for, beside a hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaseAsk {
    /// The lease's id, minted by the isolate: asking twice gives one lease.
    pub id: String,
    /// How much it would like to have at hand.
    pub want: Amounts,
    /// For how long.
    pub ttl_ms: i64,
}

/// What an isolate has of a lease. Amounts are those ever granted, so that a repeated answer changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// Which lease.
    pub id: String,
    /// Everything granted since the lease began.
    pub granted: Amounts,
    /// From the sending of the question: until then the isolate may admit from it.
    pub ttl_ms: i64,
    /// The object's clock.
    pub at: Timestamp,
    /// Nothing may be admitted from it any more; what is under way goes on.
    pub closed: bool,
    /// No level above it has limits for each end user: requests for any of them may be admitted from it.
    pub any_user: bool,
    /// There is plenty of everything: reports need not hurry.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub relaxed: bool,
    /// Of the last report that was counted: tells answers apart that come late.
    #[serde(skip_serializing_if = "is_zero")]
    pub seq: u64,
}

/// What became of a lease since the last report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Which lease.
    pub lease: String,
    /// Whose.
    pub key: KeyId,
    /// From 1; a report that comes twice counts once.
    pub seq: u64,
    /// Requests under way for longer than a report's time: from now on holds like any other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begun: Vec<Begun>,
    /// Requests that ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settled: Vec<(Timestamp, Settlement)>,
    /// Everything given back since the lease began.
    #[serde(default)]
    pub returned: Amounts,
    /// How much it would like to have at hand.
    #[serde(default)]
    pub want: Amounts,
    /// For how long.
    #[serde(default)]
    pub ttl_ms: i64,
    /// The isolate is done with it: what is not used is free.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub close: bool,
}

/// A request that was admitted from a lease and is still under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Begun {
    /// The request's id.
    pub ticket: String,
    /// When it was admitted, by the object's clock as far as the isolate knows it.
    pub at: Timestamp,
    /// The most it can cost.
    pub bound: NanoUsd,
    /// The most tokens it can use.
    pub tokens: u64,
    /// How many of them can be input.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub input: u64,
    /// How long the hold lives without settlement.
    pub ttl_ms: i64,
    /// The row to write if nobody settles.
    pub unsettled: Box<RawValue>,
}
