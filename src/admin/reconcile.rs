//! Whether a customer's object, the rows in D1 and their sums tell of the same money.
//!
//! The object is asked before and after D1; if it began or ended a batch in between, both are asked again. What it had
//! sent before and has not heard of yet is named by it and looked up, so that a drain under way is no difference.

use super::{
    Answer, not_found,
    retention::{HOURS_BEFORE, ROWS_BEFORE},
    unavailable, union_all,
};
use crate::{
    admit::wire::{Audit, Command, Reply},
    model::{
        id::CustomerId,
        money::NanoUsd,
        time::{DAY_MS, HOUR_MS},
    },
    ports::{Statement, World},
    refusal::Refusal,
    settle::shard,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// How often a customer that drains all the time is asked anew.
const TRIES_MAX: u32 = 5;

/// What D1 says of a key, from one statement, so that all of it is of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Figures {
    /// Sums of all days.
    days: NanoUsd,
    /// Rows that are there although the object does not know it.
    unheard: NanoUsd,
    /// Rows since the retention's limit, and the sums of the days since then.
    rows: Part,
    rows_days: Part,
    /// Sums of hours since theirs, and of the days since then.
    hours: Part,
    hours_days: Part,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Part {
    cost: NanoUsd,
    attempts: i64,
}

async fn audit<W: World>(world: &W, id: &str) -> Result<Audit, Refusal> {
    match world.ledger(&CustomerId(id.to_owned()), &Command::Audit).await.map_err(unavailable)? {
        Reply::Audit(audit) if audit.known => Ok(audit),
        Reply::Audit(_) => Err(not_found("customer", id)),
        other => Err(Refusal::unavailable(format!("the object answered an audit with {other:?}"))),
    }
}

/// Compares.
pub(super) async fn reconcile<W: World>(world: &W, id: &str) -> Result<Answer, Refusal> {
    let mut before = audit(world, id).await?;
    for _ in 0..TRIES_MAX {
        let database = before.database.clone().unwrap_or_else(|| shard::DEFAULT.to_owned());
        let rows = world.sql_in(&database, &[statement(id, &before)]).await.map_err(unavailable)?;
        let after = audit(world, id).await?;
        if after.stamp == before.stamp {
            // Money may have been settled in between, but none of it went anywhere.
            return Ok((200, compare(id, &database, &after, &figures(&rows))));
        }
        before = after;
    }
    Err(Refusal::new(
        409,
        "invalid_request_error",
        "conflict",
        "The customer's outbox was drained each time it was looked at. Try again.",
    ))
}

fn statement(customer: &str, audit: &Audit) -> Statement {
    let limit = |name: &str| format!("COALESCE((SELECT value FROM ledger_meta WHERE name = '{name}'), 0)");
    let (rows_before, hours_before) = (limit(ROWS_BEFORE), limit(HOURS_BEFORE));
    let row_figures = "CAST(SUM(cost_nanousd) AS TEXT) AS cost, SUM(adjusts IS NULL) AS attempts";
    let sum_figures = "CAST(SUM(cost_nanousd) AS TEXT) AS cost, SUM(attempts) AS attempts";
    let of = "customer_id = ?1 GROUP BY key_id";
    let sums = |what: &str, span: i64, since: &str| {
        format!(
            "SELECT '{what}' AS what, key_id AS name, {sum_figures} FROM rollup \
             WHERE span_ms = {span} AND start_ms >= {since} AND {of}"
        )
    };
    let query = union_all(&[
        format!(
            "SELECT 'rows' AS what, key_id AS name, {row_figures} FROM ledger WHERE at_ms >= {rows_before} AND {of}"
        ),
        format!(
            "SELECT 'unheard' AS what, key_id AS name, {row_figures} FROM ledger WHERE (request_id, attempt) IN \
             (SELECT substr(value, 1, instr(value, '/') - 1), CAST(substr(value, instr(value, '/') + 1) AS INTEGER) \
             FROM json_each(?2)) AND {of}"
        ),
        sums("days", DAY_MS, "0"),
        sums("rows_days", DAY_MS, &rows_before),
        sums("hours", HOUR_MS, &hours_before),
        sums("hours_days", DAY_MS, &hours_before),
    ]);
    (query, vec![json!(customer), json!(json!(audit.unsure).to_string())])
}

fn figures(rows: &[Value]) -> BTreeMap<String, Figures> {
    let mut keys: BTreeMap<String, Figures> = BTreeMap::new();
    for row in rows {
        let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
        let part = Part {
            cost: NanoUsd(text("cost").parse().unwrap_or_default()),
            attempts: row.get("attempts").and_then(Value::as_i64).unwrap_or_default(),
        };
        let key = keys.entry(text("name").to_owned()).or_default();
        match text("what") {
            "rows" => key.rows = part,
            "unheard" => key.unheard = part.cost,
            "days" => key.days = part.cost,
            "rows_days" => key.rows_days = part,
            "hours" => key.hours = part,
            _ => key.hours_days = part,
        }
    }
    keys
}

fn compare(id: &str, database: &str, audit: &Audit, d1: &BTreeMap<String, Figures>) -> Value {
    let mut differences = Vec::new();
    let mut keys = Vec::new();
    let names: BTreeSet<&String> = audit.keys.keys().chain(d1.keys()).collect();
    let mut in_d1 = NanoUsd::ZERO;
    for name in names {
        let object = audit.keys.get(name).cloned().unwrap_or_default();
        let found = d1.get(name).copied().unwrap_or_default();
        let known = found.days.minus(found.unheard);
        in_d1 = in_d1.plus(known);
        let mut differ = |between: &str, left: NanoUsd, right: NanoUsd| {
            if left != right {
                differences.push(
                    json!({"key_id": name, "between": between, "left_nanousd": left, "right_nanousd": right,
                                        "difference_nanousd": left.minus(right)}),
                );
            }
        };
        differ("object_and_daily_sums", object.drained_nanousd, known);
        differ("rows_and_daily_sums", found.rows.cost, found.rows_days.cost);
        differ("hourly_and_daily_sums", found.hours.cost, found.hours_days.cost);
        for (between, left, right) in [
            ("rows_and_daily_sums", found.rows.attempts, found.rows_days.attempts),
            ("hourly_and_daily_sums", found.hours.attempts, found.hours_days.attempts),
        ] {
            if left != right {
                differences.push(
                    json!({"key_id": name, "between": between, "left_attempts": left, "right_attempts": right,
                                        "difference_attempts": left - right}),
                );
            }
        }
        keys.push(json!({"key_id": name, "spent_nanousd": object.spent_nanousd,
                         "outbox_nanousd": object.outbox_nanousd, "quarantined_nanousd": object.quarantined_nanousd,
                         "drained_nanousd": object.drained_nanousd, "daily_sums_nanousd": found.days,
                         "unheard_nanousd": found.unheard, "rows_nanousd": found.rows.cost}));
    }
    // What the customer spent is what its keys spent: the object counts them apart.
    let spent = audit.keys.values().fold(NanoUsd::ZERO, |sum, key| sum.plus(key.spent_nanousd));
    if spent != audit.spent_nanousd {
        differences.push(json!({"key_id": null, "between": "customer_and_keys_in_object", "left_nanousd": audit.spent_nanousd,
                                "right_nanousd": spent, "difference_nanousd": audit.spent_nanousd.minus(spent)}));
    }
    json!({"object": "reconciliation", "customer_id": id, "balanced": differences.is_empty(), "database": database,
           "spent_nanousd": audit.spent_nanousd, "in_d1_nanousd": in_d1, "outbox": audit.outbox,
           "differences": differences, "keys": keys})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::wire::AuditedKey;

    fn audited(spent: i64, drained: i64) -> Audit {
        let key = AuditedKey {
            spent_nanousd: NanoUsd(spent),
            drained_nanousd: NanoUsd(drained),
            outbox_nanousd: NanoUsd(spent - drained),
            quarantined_nanousd: NanoUsd::ZERO,
        };
        Audit {
            known: true,
            spent_nanousd: NanoUsd(spent),
            keys: BTreeMap::from([("key_a".to_owned(), key)]),
            ..Audit::default()
        }
    }

    fn found(what: &[(&str, i64, i64)]) -> BTreeMap<String, Figures> {
        let row = |(what, cost, attempts): &(&str, i64, i64)| json!({"what": what, "name": "key_a", "cost": cost.to_string(), "attempts": attempts});
        figures(&what.iter().map(row).collect::<Vec<_>>())
    }

    #[test]
    fn each_difference_is_told_with_its_figures_and_a_drain_under_way_is_none() {
        let even =
            [("rows", 70, 7), ("days", 70, 7), ("rows_days", 70, 7), ("hours", 70, 7), ("hours_days", 70, 7)];
        let balanced = |audit: &Audit, d1: &[(&str, i64, i64)]| compare("c", "DB", audit, &found(d1));
        assert_eq!(balanced(&audited(100, 70), &even)["balanced"], true);
        // The object has not heard yet that 30 more arrived.
        let ahead = [
            ("rows", 100, 10),
            ("days", 100, 10),
            ("rows_days", 100, 10),
            ("hours", 100, 10),
            ("hours_days", 100, 10),
            ("unheard", 30, 3),
        ];
        assert_eq!(balanced(&audited(100, 70), &ahead)["balanced"], true);
        // Rows and hours that the retention deleted are not missed.
        let pruned =
            [("rows", 20, 2), ("days", 70, 7), ("rows_days", 20, 2), ("hours", 10, 1), ("hours_days", 10, 1)];
        assert_eq!(balanced(&audited(100, 70), &pruned)["balanced"], true);

        let lost = balanced(&audited(100, 80), &even);
        assert_eq!(lost["balanced"], false);
        assert_eq!(lost["differences"][0]["between"], "object_and_daily_sums");
        assert_eq!(lost["differences"][0]["difference_nanousd"], 10);
        let mut row_gone = even;
        row_gone[0] = ("rows", 60, 6);
        let gone = balanced(&audited(100, 70), &row_gone);
        assert_eq!(gone["differences"].as_array().unwrap().len(), 2, "cost and attempts: {gone}");
        let mut other = audited(100, 70);
        other.spent_nanousd = NanoUsd(101);
        assert_eq!(balanced(&other, &even)["differences"][0]["between"], "customer_and_keys_in_object");
    }
}
