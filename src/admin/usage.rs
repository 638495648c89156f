//! Usage reports: from the sums by hour and day where the question allows, from the rows otherwise.

mod sources;

use super::{Answer, databases, ledger, parameter, retention, unavailable, union_all};
use crate::{
    model::{
        id::RequestId,
        money::NanoUsd,
        time::{DAY_MS, HOUR_MS, Timestamp},
    },
    ports::{ClientRequest, Statement, World},
    refusal::Refusal,
    settle::shard,
};
use serde_json::{Map, Value, json};
use sources::{Allowed, Range, Sources, divide};
use std::collections::BTreeMap;

/// Names of groups and filters → what they are in SQL. Nothing else reaches the statement.
const GROUPS: &[(&str, &str)] = &[
    ("customer", "customer_id"),
    ("team", "team_id"),
    ("key", "key_id"),
    ("model", "model"),
    ("provider", "provider"),
    ("route", "route"),
    ("outcome", "outcome"),
    ("month", "strftime('%Y-%m', at_ms / 1000, 'unixepoch')"),
    ("day", "strftime('%Y-%m-%d', at_ms / 1000, 'unixepoch')"),
    ("hour", "strftime('%Y-%m-%dT%H:00:00Z', at_ms / 1000, 'unixepoch')"),
];

const FILTERS: &[&str] = &["customer_id", "team_id", "key_id", "model", "provider", "route", "outcome"];

/// Figures other than `cost`, which leaves SQLite as text: JavaScript's numbers are exact only up to 2^53.
const FIGURES: &[&str] = &[
    "requests",
    "attempts",
    "errors",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "audio_tokens",
];

/// Over any source. Empty sums are 0, not null.
const SUMS: &str = "COALESCE(SUM(attempts), 0) AS attempts, COALESCE(SUM(errors), 0) AS errors, \
COALESCE(SUM(input_tokens + cache_read_tokens + cache_write_tokens), 0) AS input_tokens, \
COALESCE(SUM(output_tokens + reasoning_tokens), 0) AS output_tokens, \
COALESCE(SUM(cache_read_tokens), 0) AS cache_read_tokens, \
COALESCE(SUM(cache_write_tokens), 0) AS cache_write_tokens, \
COALESCE(SUM(reasoning_tokens), 0) AS reasoning_tokens, \
COALESCE(SUM(audio_tokens), 0) AS audio_tokens, CAST(COALESCE(SUM(cost_nanousd), 0) AS TEXT) AS cost";

/// What both sources have under one name.
const SHARED: &str = "customer_id, key_id, route, provider, model, input_tokens, cache_read_tokens, \
cache_write_tokens, output_tokens, reasoning_tokens, audio_tokens, cost_nanousd";

/// Ids are minted moments before a request is admitted.
const MINTED_BEFORE_MS: i64 = 60_000;
const ROWS_MAX: usize = 10_000;
const DEFAULT_DAYS: i64 = 30;
/// More starts than this are not listed one by one.
const STARTS_MAX: i64 = 5_000;

/// What is asked.
struct Question {
    from: Timestamp,
    to: Timestamp,
    groups: Vec<(&'static str, &'static str)>,
    filters: Vec<(&'static str, String)>,
    now: Timestamp,
}

/// Sums over the ledger.
pub(super) async fn report<W: World>(world: &W, request: &ClientRequest) -> Result<Answer, Refusal> {
    let question = Question::read(world, request)?;
    let customer = question.filters.iter().find(|(name, _)| *name == "customer_id").map(|(_, id)| id);
    let databases = match (databases(world), customer) {
        (all, Some(id)) if all.len() > 1 => match ledger::database(world, id).await {
            Ok(database) => vec![database.unwrap_or_else(|| shard::DEFAULT.to_owned())],
            Err(refusal) if refusal.status == 404 => vec![],
            Err(refusal) => return Err(refusal),
        },
        (all, _) => all,
    };
    let mut rows = Vec::new();
    let mut totals = Vec::new();
    for database in &databases {
        let sources = question.sources(retention::hours_from(world, database).await.map_err(unavailable)?);
        let whole = question.statement(&sources, false);
        totals.extend(world.sql_in(database, &[whole]).await.map_err(unavailable)?);
        if !question.groups.is_empty() {
            let grouped = question.statement(&sources, true);
            rows.extend(world.sql_in(database, &[grouped]).await.map_err(unavailable)?);
        }
    }
    let total = added_up(&totals);
    let mut rows = if question.groups.is_empty() {
        vec![total.clone()]
    } else if databases.len() > 1 {
        question.merged(rows)
    } else {
        rows
    };
    let has_more = rows.len() > ROWS_MAX;
    rows.truncate(ROWS_MAX);
    let rows: Vec<Value> = rows.into_iter().map(shown).collect();
    Ok((
        200,
        json!({"object": "usage", "from": question.from.to_rfc3339(), "to": question.to.to_rfc3339(), "rows": rows,
               "total": shown(total), "has_more": has_more}),
    ))
}

impl Question {
    fn read<W: World>(world: &W, request: &ClientRequest) -> Result<Self, Refusal> {
        for name in
            request.query.split('&').filter_map(|pair| pair.split('=').next()).filter(|name| !name.is_empty())
        {
            if !FILTERS.contains(&name) && !["group_by", "from", "to"].contains(&name) {
                return Err(Refusal::bad_param(
                    "unknown_parameter",
                    name,
                    format!("Unknown parameter '{name}'. Known: group_by, from, to, {}.", FILTERS.join(", ")),
                ));
            }
        }
        let now = world.now();
        let to = super::moment(request, "to")?.unwrap_or_else(|| now.plus_ms(1));
        // The default is a full hour, so that sums alone can answer.
        let from = super::moment(request, "from")?
            .unwrap_or_else(|| to.plus_ms(-DEFAULT_DAYS * DAY_MS).hour_start());
        if from > to {
            return Err(Refusal::bad_param("invalid_value", "from", "'from' must not be later than 'to'."));
        }
        let groups = groups(parameter(request, "group_by").as_deref().unwrap_or_default())?;
        let filters: Vec<(&str, String)> =
            FILTERS.iter().filter_map(|name| parameter(request, name).map(|value| (*name, value))).collect();
        Ok(Self { from, to, groups, filters, now })
    }

    /// Where a database has the answer; its sums of hours begin at `hours_from`.
    fn sources(&self, hours_from: Timestamp) -> Sources {
        let allowed = Allowed {
            sums: !self.by_outcome(),
            days: self.groups.iter().all(|(name, _)| *name != "hour"),
            hours_from: hours_from.0,
        };
        divide(self.from, self.to, self.now, allowed)
    }

    /// Whether rows alone answer, so that distinct requests can be counted.
    fn by_outcome(&self) -> bool {
        self.groups.iter().any(|(name, _)| *name == "outcome")
            || self.filters.iter().any(|(name, _)| *name == "outcome")
    }

    fn statement(&self, sources: &Sources, grouped: bool) -> Statement {
        let mut parameters = Vec::new();
        let mut parts = Vec::new();
        for (span, ranges) in [(DAY_MS, &sources.days), (HOUR_MS, &sources.hours)] {
            for range in ranges {
                parts.push(self.sums(span, *range, &mut parameters));
            }
        }
        for range in &sources.rows {
            parts.push(self.rows(*range, &mut parameters));
        }
        if parts.is_empty() {
            // An empty range still has its zeros.
            parts.push(self.rows((0, 0), &mut parameters));
        }
        let source = union_all(&parts);
        let requests = if self.by_outcome() {
            "COUNT(DISTINCT request_id) AS requests"
        } else {
            "COALESCE(SUM(requests), 0) AS requests"
        };
        if !grouped {
            return (format!("SELECT {requests}, {SUMS} FROM ({source})"), parameters);
        }
        let selected: String =
            self.groups.iter().map(|(name, sql)| format!("{sql} AS \"{name}\", ")).collect();
        let names: Vec<String> = self.groups.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let query = format!(
            "SELECT {selected}{requests}, {SUMS} FROM ({source}) GROUP BY {0} ORDER BY {0} LIMIT {1}",
            names.join(", "),
            ROWS_MAX + 1
        );
        (query, parameters)
    }

    fn filter(&self, condition: &mut String, parameters: &mut Vec<Value>) {
        for (column, value) in &self.filters {
            parameters.push(json!(value));
            condition.push_str(&format!(" AND {column} = ?{}", parameters.len()));
        }
    }

    fn sums(&self, span: i64, (from, to): Range, parameters: &mut Vec<Value>) -> String {
        let mut bind = |value: Value| {
            parameters.push(value);
            format!("?{}", parameters.len())
        };
        let customer = self.filters.iter().any(|(name, _)| *name == "customer_id");
        let mut condition = format!("span_ms = {span}");
        // The key of the table is (span, start, customer, …): of one customer each start is looked up, not read through.
        if customer && (to - from) / span <= STARTS_MAX {
            let starts: Vec<i64> = (0..(to - from) / span).map(|n| from + n * span).collect();
            let list = bind(json!(json!(starts).to_string()));
            condition.push_str(&format!(" AND start_ms IN (SELECT value FROM json_each({list}))"));
        } else {
            let (from, to) = (bind(json!(from)), bind(json!(to)));
            condition.push_str(&format!(" AND start_ms >= {from} AND start_ms < {to}"));
        }
        self.filter(&mut condition, parameters);
        format!(
            "SELECT start_ms AS at_ms, NULLIF(team_id, '') AS team_id, NULL AS outcome, NULL AS request_id, requests, \
             attempts, errors, {SHARED} FROM rollup WHERE {condition}"
        )
    }

    fn rows(&self, (from, to): Range, parameters: &mut Vec<Value>) -> String {
        let first = parameters.len();
        parameters.extend([
            json!(RequestId::lower_bound(from - MINTED_BEFORE_MS)),
            json!(RequestId::lower_bound(to)),
            json!(from),
            json!(to),
        ]);
        let [a, b, c, d] = [1, 2, 3, 4].map(|n| first + n);
        let mut condition =
            format!("request_id >= ?{a} AND request_id < ?{b} AND at_ms >= ?{c} AND at_ms < ?{d}");
        self.filter(&mut condition, parameters);
        format!(
            "SELECT at_ms, team_id, outcome, request_id, attempt = 1 AS requests, adjusts IS NULL AS attempts, \
             adjusts IS NULL AND outcome NOT IN ('ok', 'client_gone') AS errors, {SHARED} FROM ledger WHERE {condition}"
        )
    }

    /// Groups that came from several databases, each once, in the order SQLite gives.
    fn merged(&self, rows: Vec<Value>) -> Vec<Value> {
        let mut groups: BTreeMap<Vec<Option<String>>, Vec<Value>> = BTreeMap::new();
        for row in rows {
            let name = |(name, _): &(&str, &str)| row.get(*name).and_then(Value::as_str).map(str::to_owned);
            groups.entry(self.groups.iter().map(name).collect()).or_default().push(row);
        }
        groups
            .into_iter()
            .map(|(names, rows)| {
                let mut whole = added_up(&rows);
                if let Some(members) = whole.as_object_mut() {
                    for ((group, _), name) in self.groups.iter().zip(names) {
                        members.insert((*group).to_owned(), json!(name));
                    }
                }
                whole
            })
            .collect()
    }
}

fn groups(text: &str) -> Result<Vec<(&'static str, &'static str)>, Refusal> {
    text.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| {
            GROUPS.iter().copied().find(|(known, _)| *known == name).ok_or_else(|| {
                let known: Vec<&str> = GROUPS.iter().map(|(known, _)| *known).collect();
                Refusal::bad_param(
                    "invalid_value",
                    "group_by",
                    format!("'{name}' is not a group. Known: {}.", known.join(", ")),
                )
            })
        })
        .collect()
}

/// The figures of all rows together. A customer is in one database, so nothing is counted in two of them.
fn added_up(rows: &[Value]) -> Value {
    let mut whole = Map::new();
    for figure in FIGURES {
        let sum = rows.iter().filter_map(|row| row.get(*figure)?.as_u64()).fold(0, u64::saturating_add);
        whole.insert((*figure).to_owned(), json!(sum));
    }
    let cost = rows.iter().map(cost).fold(NanoUsd::ZERO, NanoUsd::plus);
    whole.insert("cost".to_owned(), json!(cost.0.to_string()));
    Value::Object(whole)
}

fn cost(row: &Value) -> NanoUsd {
    NanoUsd(row.get("cost").and_then(Value::as_str).and_then(|text| text.parse().ok()).unwrap_or_default())
}

fn shown(mut row: Value) -> Value {
    let cost = cost(&row);
    if let Some(members) = row.as_object_mut() {
        members.remove("cost");
        members.insert("cost_nanousd".to_owned(), json!(cost));
        members.insert("cost_usd".to_owned(), json!(cost.to_string()));
    }
    row
}
