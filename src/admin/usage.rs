//! Usage reports from the ledger.

use super::{Answer, parameter, unavailable};
use crate::{
    model::{
        id::RequestId,
        money::NanoUsd,
        time::{DAY_MS, Timestamp},
    },
    ports::{ClientRequest, World},
    refusal::Refusal,
};
use serde_json::{Value, json};

/// Names of groups and filters → what they are in SQL. Nothing else reaches the statement.
const GROUPS: &[(&str, &str)] = &[
    ("customer", "customer_id"),
    ("team", "team_id"),
    ("key", "key_id"),
    ("model", "model"),
    ("provider", "provider"),
    ("route", "route"),
    ("outcome", "outcome"),
    ("day", "strftime('%Y-%m-%d', at_ms / 1000, 'unixepoch')"),
    ("hour", "strftime('%Y-%m-%dT%H:00:00Z', at_ms / 1000, 'unixepoch')"),
];

const FILTERS: &[&str] = &["customer_id", "team_id", "key_id", "model", "provider", "route", "outcome"];

/// Money leaves SQLite as text: JavaScript's numbers are exact only up to 2^53. Empty sums are 0, not null.
const SUMS: &str = "COUNT(DISTINCT request_id) AS requests, COUNT(*) AS attempts, \
COALESCE(SUM(input_tokens + cache_read_tokens + cache_write_tokens), 0) AS input_tokens, \
COALESCE(SUM(output_tokens + reasoning_tokens), 0) AS output_tokens, \
COALESCE(SUM(cache_read_tokens), 0) AS cache_read_tokens, COALESCE(SUM(reasoning_tokens), 0) AS reasoning_tokens, \
COALESCE(SUM(audio_tokens), 0) AS audio_tokens, CAST(COALESCE(SUM(cost_nanousd), 0) AS TEXT) AS cost";

/// Ids are minted moments before a request is admitted.
const MINTED_BEFORE_MS: i64 = 60_000;
const ROWS_MAX: usize = 10_000;
const DEFAULT_DAYS: i64 = 30;

/// Sums over the ledger.
pub(super) async fn report<W: World>(world: &W, request: &ClientRequest) -> Result<Answer, Refusal> {
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
    let moment = |name: &str| {
        parameter(request, name)
            .map(|text| {
                Timestamp::parse(&text).ok_or_else(|| {
                    Refusal::bad_param(
                        "invalid_value",
                        name,
                        format!("'{name}' must be a day such as 2026-11-21 or a time such as 2026-11-21T06:00:00Z."),
                    )
                })
            })
            .transpose()
    };
    let to = moment("to")?.unwrap_or_else(|| world.now().plus_ms(1));
    let from = moment("from")?.unwrap_or_else(|| to.plus_ms(-DEFAULT_DAYS * DAY_MS));
    if from > to {
        return Err(Refusal::bad_param("invalid_value", "from", "'from' must not be later than 'to'."));
    }
    let groups = groups(parameter(request, "group_by").as_deref().unwrap_or_default())?;

    let mut condition = "request_id >= ?1 AND request_id < ?2 AND at_ms >= ?3 AND at_ms < ?4".to_owned();
    let mut parameters = vec![
        json!(RequestId::lower_bound(from.0 - MINTED_BEFORE_MS)),
        json!(RequestId::lower_bound(to.0)),
        json!(from),
        json!(to),
    ];
    for column in FILTERS {
        if let Some(value) = parameter(request, column) {
            parameters.push(json!(value));
            condition.push_str(&format!(" AND {column} = ?{}", parameters.len()));
        }
    }
    let selected: String = groups.iter().map(|(name, sql)| format!("{sql} AS \"{name}\", ")).collect();
    let mut query = format!("SELECT {selected}{SUMS} FROM ledger WHERE {condition}");
    if !groups.is_empty() {
        let names: Vec<String> = groups.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        query.push_str(&format!(" GROUP BY {0} ORDER BY {0} LIMIT {1}", names.join(", "), ROWS_MAX + 1));
    }
    let mut rows = world.sql(&[(query, parameters.clone())]).await.map_err(unavailable)?;
    let has_more = rows.len() > ROWS_MAX;
    rows.truncate(ROWS_MAX);
    // A request with attempts in several groups is in several rows: the whole is asked for, not added up.
    let total = if groups.is_empty() {
        rows.first().cloned()
    } else {
        let whole = format!("SELECT {SUMS} FROM ledger WHERE {condition}");
        world.sql(&[(whole, parameters)]).await.map_err(unavailable)?.into_iter().next()
    };
    let total = shown(total.unwrap_or_default());
    let rows: Vec<Value> = rows.into_iter().map(shown).collect();
    Ok((
        200,
        json!({"object": "usage", "from": from.to_rfc3339(), "to": to.to_rfc3339(), "rows": rows, "total": total,
               "has_more": has_more}),
    ))
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
