//! Charging past requests anew after a price was corrected.
//!
//! Rows are read from D1, their differences told the customers' objects, and the objects write the adjustment rows: what
//! a customer has spent and what the ledger says change together, and neither is ever edited. Doing it again computes
//! the same adjustments, or, once they have arrived in D1, none.

use super::{Answer, databases, fields::Fields, unavailable};
use crate::{
    admit::wire::{Adjustment, Command, Reply},
    config::policy::Policy,
    model::{
        id::{CustomerId, KeyId, RequestId},
        money::NanoUsd,
        time::Timestamp,
    },
    ports::{ClientRequest, World},
    refusal::Refusal,
    service::{self, LATEST_CONFIG},
    settle::{
        price::price_in,
        rerate::{Charged, Unknown, summed},
        row::LedgerRow,
    },
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

const FIELDS: &[&str] = &["customer_id", "from", "to", "provider", "model", "reason", "dry_run", "after"];
/// Rows read at once, and looked at in one call.
const PAGE: usize = 1_000;
const PAGES_MAX: usize = 5;
/// Rows of one adjustment.
const TOLD_MAX: usize = 100;
/// Ids are minted moments before a request is admitted.
const MINTED_BEFORE_MS: i64 = 60_000;

struct Order {
    from: Timestamp,
    to: Timestamp,
    filters: Vec<(&'static str, String)>,
    reason: String,
    dry_run: bool,
    /// Where to go on: database, request, attempt.
    after: Option<(String, String, u32)>,
}

/// What came of it.
#[derive(Default)]
struct Outcome {
    scanned: u64,
    adjusted: u64,
    difference: NanoUsd,
    by_model: BTreeMap<(String, String), (u64, NanoUsd)>,
    skipped: BTreeMap<Unknown, u64>,
    next: Option<String>,
}

/// Customer, key and UTC day: what one adjustment may be about.
type Company = (String, String, Timestamp);

/// Computes the costs of a range anew at the prices in force, and adjusts what differs.
pub(super) async fn rerate<W: World>(world: &W, request: &ClientRequest) -> Result<Answer, Refusal> {
    let order = Order::read(request)?;
    // Not the policy in memory, which may be older than the correction this is about.
    let policy = match world.sql(&[LATEST_CONFIG.statement()]).await.map_err(unavailable)?.first() {
        Some(row) => service::compile_row(row).map_err(Refusal::unavailable)?,
        None => Policy::resolve_default(),
    };
    let mut outcome = Outcome::default();
    let mut pages = 0;
    let all = databases(world);
    let begin =
        order.after.as_ref().map_or(0, |(name, ..)| all.iter().position(|db| db == name).unwrap_or(0));
    'databases: for database in all.iter().skip(begin) {
        let mut after = match &order.after {
            Some((name, request, attempt)) if name == database => (request.clone(), *attempt),
            _ => (String::new(), 0),
        };
        loop {
            let rows = order.page(world, database, &after).await?;
            let full = rows.len() == PAGE;
            if let Some(last) = rows.last() {
                after = (last.request_id.clone(), last.attempt);
            }
            let told = outcome.take(&policy, &order, rows);
            if !order.dry_run {
                tell(world, told).await?;
            }
            pages += 1;
            if !full {
                break;
            }
            if pages >= PAGES_MAX {
                outcome.next = Some(format!("{database}/{}/{}", after.0, after.1));
                break 'databases;
            }
        }
    }
    Ok((200, outcome.shown(&order)))
}

impl Order {
    fn read(request: &ClientRequest) -> Result<Self, Refusal> {
        let mut fields = Fields::read(&request.body)?;
        let mut moment = |name: &str| {
            fields.moment(name)?.flatten().ok_or_else(|| {
                Refusal::bad_param(
                    "missing_required_parameter",
                    name,
                    format!("Missing required parameter: '{name}', a time such as 2026-11-21T06:00:00Z."),
                )
            })
        };
        let (from, to) = (moment("from")?, moment("to")?);
        let mut filters = Vec::new();
        for name in ["customer_id", "provider", "model"] {
            if let Some(value) = fields.text(name)?.flatten() {
                filters.push((name, value));
            }
        }
        let reason = fields.text("reason")?.flatten().unwrap_or_else(|| "re-rated".to_owned());
        let dry_run = fields.flag("dry_run")?.unwrap_or(false);
        let after = match fields.text("after")?.flatten() {
            None => None,
            Some(text) => Some(cursor(&text).ok_or_else(|| {
                Refusal::bad_param(
                    "invalid_value",
                    "after",
                    "'after' must be what an earlier answer had as 'next'.",
                )
            })?),
        };
        fields.finish(FIELDS)?;
        if from > to {
            return Err(Refusal::bad_param("invalid_value", "from", "'from' must not be later than 'to'."));
        }
        Ok(Self { from, to, filters, reason, dry_run, after })
    }

    /// Attempts in the order of the primary key, those without tokens left out: they cost nothing at any price.
    async fn page<W: World>(
        &self,
        world: &W,
        database: &str,
        (request, attempt): &(String, u32),
    ) -> Result<Vec<Charged>, Refusal> {
        let lowest = RequestId::lower_bound(self.from.0 - MINTED_BEFORE_MS);
        let mut parameters = vec![
            json!(request.max(&lowest)),
            json!(attempt),
            json!(RequestId::lower_bound(self.to.0)),
            json!(self.from),
            json!(self.to),
        ];
        let mut filter = String::new();
        for (column, value) in &self.filters {
            parameters.push(json!(value));
            filter.push_str(&format!(" AND {column} = ?{}", parameters.len()));
        }
        let query = format!(
            "SELECT *, (SELECT COALESCE(SUM(a.cost_nanousd), 0) FROM ledger a WHERE a.request_id = l.request_id \
             AND a.adjusts = l.attempt) AS adjusted_nanousd, (SELECT COUNT(*) FROM ledger a WHERE \
             a.request_id = l.request_id AND a.adjusts = l.attempt) AS adjustments FROM ledger l \
             WHERE (request_id, attempt) > (?1, ?2) AND request_id < ?3 AND at_ms >= ?4 AND at_ms < ?5 \
             AND adjusts IS NULL AND (input_tokens + cache_read_tokens + cache_write_tokens + output_tokens + \
             reasoning_tokens + audio_tokens > 0 OR outcome = 'unsettled'){filter} \
             ORDER BY request_id, attempt LIMIT {PAGE}"
        );
        let rows = world.sql_in(database, &[(query, parameters)]).await.map_err(unavailable)?;
        rows.into_iter()
            .map(|row| serde_json::from_value(row).map_err(|error| Refusal::unavailable(error.to_string())))
            .collect()
    }
}

fn cursor(text: &str) -> Option<(String, String, u32)> {
    let (rest, attempt) = text.rsplit_once('/')?;
    let (database, request) = rest.rsplit_once('/')?;
    RequestId::parse(request)?;
    Some((database.to_owned(), request.to_owned(), attempt.parse().ok()?))
}

impl Outcome {
    /// The adjustments of a page.
    fn take(
        &mut self,
        policy: &Policy,
        order: &Order,
        rows: Vec<Charged>,
    ) -> BTreeMap<Company, Vec<LedgerRow>> {
        let mut told: BTreeMap<Company, Vec<LedgerRow>> = BTreeMap::new();
        for row in rows {
            self.scanned += 1;
            match adjustment(policy, &row, &order.reason) {
                Err(unknown) => *self.skipped.entry(unknown).or_default() += 1,
                Ok(None) => {}
                Ok(Some(made)) => {
                    self.adjusted += 1;
                    self.difference = self.difference.plus(made.cost_nanousd);
                    let (rows, difference) =
                        self.by_model.entry((row.provider.clone(), row.model.clone())).or_default();
                    *rows += 1;
                    *difference = difference.plus(made.cost_nanousd);
                    told.entry((row.customer_id, row.key_id, row.at_ms.day_start())).or_default().push(made);
                }
            }
        }
        told
    }

    fn shown(&self, order: &Order) -> Value {
        let skipped: BTreeMap<&str, u64> =
            self.skipped.iter().map(|(unknown, count)| (unknown.word(), *count)).collect();
        let by_model: Vec<Value> = self
            .by_model
            .iter()
            .map(|((provider, model), (rows, difference))| {
                json!({"provider": provider, "model": model, "adjusted": rows, "difference_nanousd": difference})
            })
            .collect();
        json!({"object": "rerating", "dry_run": order.dry_run, "scanned": self.scanned, "adjusted": self.adjusted,
               "difference_nanousd": self.difference, "difference_usd": self.difference.to_string(),
               "by_model": by_model, "not_computable": skipped, "next": self.next})
    }
}

fn adjustment(policy: &Policy, row: &Charged, reason: &str) -> Result<Option<LedgerRow>, Unknown> {
    let provider = policy.providers.get(&row.provider).ok_or(Unknown::Provider)?;
    let price = price_in(policy, &row.provider, &provider.kind, &row.model).ok_or(Unknown::Price)?;
    let cost = row.cost(&price, &provider.kind)?;
    Ok(row.adjustment(cost, &price.version_text(policy.version), reason))
}

/// Tells the objects, some rows at a time. An id is made of the rows, so that telling them again is the same.
async fn tell<W: World>(world: &W, told: BTreeMap<Company, Vec<LedgerRow>>) -> Result<(), Refusal> {
    for ((customer, key, _), rows) in told {
        for rows in rows.chunks(TOLD_MAX) {
            let names: Vec<String> =
                rows.iter().map(|row| format!("{}/{}", row.request_id, row.attempt)).collect();
            let digest = Sha256::digest(names.join(" ").as_bytes());
            let id: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
            let (text, cost) = summed(rows);
            let adjustment = Adjustment {
                adjustment_id: format!("adj_{id}"),
                key: KeyId(key.clone()),
                at: rows.iter().map(|row| row.at_ms).min().unwrap_or_default(),
                rows: text,
                cost,
            };
            let customer = CustomerId(customer.clone());
            match world.ledger(&customer, &Command::Adjust(adjustment)).await.map_err(unavailable)? {
                Reply::Settled => {}
                other => {
                    return Err(Refusal::unavailable(format!(
                        "the object answered an adjustment with {other:?}"
                    )));
                }
            }
        }
    }
    Ok(())
}
