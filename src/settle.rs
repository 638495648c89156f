//! Settlement: what each attempt cost, and the rows that say so.

pub mod price;
pub mod rerate;
pub mod rollup;
pub mod row;
pub mod shard;

use crate::{
    admit::wire::{KeyRecord, Settlement},
    dialect::openai_chat::{request::ChatRequest, response},
    dispatch::Attempt,
    model::{id::RequestId, money::NanoUsd, time::Timestamp},
    route::{Plan, Stop},
};
use price::Pieces;
use row::{LedgerRow, Outcome};
use serde_json::value::RawValue;

/// A longer usage object is not kept: a batch of rows must fit into one bound value of D1 (2 MB).
const USAGE_BYTES_MAX: usize = 4_096;

/// The request as its rows describe it: what does not change from attempt to attempt.
#[derive(Debug)]
pub struct Account<'a> {
    /// The request.
    pub id: &'a RequestId,
    /// When it was admitted.
    pub at: Timestamp,
    /// Whose.
    pub key: &'a KeyRecord,
    /// What was asked.
    pub chat: &'a ChatRequest,
    /// Where it went.
    pub plan: &'a Plan<'a>,
    /// The version of the policy, for prices that are the operator's.
    pub policy_version: u64,
    /// The most an attempt at each of the plan's stops can cost, if it could be priced.
    pub bounds: &'a [Option<NanoUsd>],
    /// Whether what a provider did not report costs what is estimated, rather than the bound.
    pub estimates: bool,
}

impl Account<'_> {
    /// What an attempt cost.
    #[must_use]
    pub fn cost(&self, attempt: &Attempt) -> NanoUsd {
        let Some(price) = self.stop(attempt.stop).and_then(|stop| stop.price) else { return NanoUsd::ZERO };
        if let Some(reported) = self.reported(attempt) {
            return price.charge(reported);
        }
        let tier = self.tier(attempt);
        let units = attempt.search_units.map_or(NanoUsd::ZERO, |units| price.cost_of_search_units(units));
        let pieces = if is_billed(attempt) { self.chat.pieces() } else { Pieces::default() };
        let cost = price.cost_of(&attempt.usage, pieces, tier).plus(units);
        // An estimate is ours, and may err: the provider may bill more. Only the bound is never below its bill.
        match self.bounds.get(attempt.stop).copied().flatten() {
            Some(bound) if attempt.usage_estimated && self.estimates && price.search_unit.is_none() => {
                cost.min(bound)
            }
            Some(bound) if attempt.usage_estimated => bound,
            _ => cost,
        }
    }

    /// What the provider says that an attempt cost.
    fn reported(&self, attempt: &Attempt) -> Option<NanoUsd> {
        let kind = self.stop(attempt.stop)?.kind.name;
        response::reported_cost(attempt.usage_json.as_deref()?, kind)
    }

    /// The tier an attempt is charged at.
    fn tier<'b>(&'b self, attempt: &'b Attempt) -> Option<&'b str> {
        attempt.service_tier.as_deref().or(self.chat.service_tier.as_deref())
    }

    /// What all attempts cost.
    #[must_use]
    pub fn total(&self, attempts: &[Attempt]) -> NanoUsd {
        attempts.iter().fold(NanoUsd::ZERO, |sum, attempt| sum.plus(self.cost(attempt)))
    }

    fn stop(&self, index: usize) -> Option<&Stop<'_>> {
        self.plan.stops.get(index)
    }

    /// The rows, one for each attempt.
    #[must_use]
    pub fn rows(&self, attempts: &[Attempt]) -> Vec<LedgerRow> {
        attempts
            .iter()
            .zip(1..)
            .map(|(attempt, number)| LedgerRow {
                attempt: number,
                outcome: attempt.outcome,
                status: attempt.status,
                usage_estimated: attempt.usage_estimated,
                usage_json: attempt.usage_json.clone().filter(|text| text.len() <= USAGE_BYTES_MAX),
                cost_nanousd: self.cost(attempt),
                first_byte_ms: attempt.first_byte_ms,
                duration_ms: attempt.ended.since_ms(attempt.started),
                upstream_id: attempt.upstream_id.as_ref().map(|id| id.chars().take(200).collect()),
                error: attempt.error.clone(),
                service_tier: self.tier(attempt).filter(|tier| !is_default(tier)).map(str::to_owned),
                ..self.blank(attempt.stop).with_usage(attempt.usage)
            })
            .collect()
    }

    /// What the object is told when the request is over.
    #[must_use]
    pub fn settlement(&self, ticket: &str, attempts: &[Attempt]) -> Settlement {
        Settlement::of(ticket.to_owned(), &self.rows(attempts))
    }

    /// The row a hold expires to: the first choice, charged at the bound by whoever writes it.
    #[must_use]
    pub fn unsettled(&self) -> Box<RawValue> {
        raw(&self.blank(0))
    }

    fn blank(&self, stop: usize) -> LedgerRow {
        let stop = self.stop(stop);
        let price_version = stop
            .and_then(|stop| stop.price)
            .map_or_else(|| "none".to_owned(), |price| price.version_text(self.policy_version));
        LedgerRow {
            request_id: self.id.0.clone(),
            attempt: 1,
            at_ms: self.at,
            customer_id: self.key.customer.0.clone(),
            team_id: self.key.team.as_ref().map(|team| team.0.clone()),
            key_id: self.key.id.0.clone(),
            route: self.plan.route.name.clone(),
            requested_model: self.chat.model.clone(),
            provider: stop.map(|stop| stop.target.provider.clone()).unwrap_or_default(),
            model: stop.map(|stop| stop.target.model.clone()).unwrap_or_default(),
            streamed: self.chat.stream,
            price_version,
            metadata: (!self.plan.metadata.is_empty())
                .then(|| serde_json::to_string(&self.plan.metadata).unwrap_or_default()),
            ..LedgerRow::default()
        }
    }
}

/// Whether the model was called: it answered, or tells of tokens.
fn is_billed(attempt: &Attempt) -> bool {
    attempt.outcome == Outcome::Ok || attempt.usage_estimated || attempt.usage.total() > 0
}

/// Names that a provider gives its standard tier.
fn is_default(tier: &str) -> bool {
    ["default", "auto", "standard"].iter().any(|name| tier.eq_ignore_ascii_case(name))
}

/// JSON that others carry without reading it.
pub(crate) fn raw(value: &impl serde::Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_default()
}
