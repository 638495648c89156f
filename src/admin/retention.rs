//! Deleting what is older than the operator keeps: ledger rows, and sums of hours. Sums of days are kept for ever.
//!
//! How far was deleted is written down before anything is, so that reconciliation compares what is still there. Whole
//! UTC days go, in chunks: D1 works on one statement at a time, and requests are drained into it beside this.

use super::databases;
use crate::{
    model::{
        id::RequestId,
        time::{DAY_MS, HOUR_MS, Timestamp},
    },
    ports::{Fault, Statement, World},
};
use serde_json::json;

/// Days that ledger rows are kept; without it for ever.
const ROWS_DAYS: &str = "EDGEHOLD_LEDGER_RETENTION_DAYS";
/// Days that sums of hours are kept.
const HOURS_DAYS: &str = "EDGEHOLD_HOURLY_RETENTION_DAYS";
const HOURS_DAYS_DEFAULT: i64 = 90;
/// A row is not deleted before everything that could still send it again is over.
const DAYS_MIN: i64 = 7;
/// Rows deleted by one statement, and statements of one run for each table and database: the next run goes on.
const CHUNK: u32 = 2_000;
const CHUNKS_MAX: u32 = 40;

/// Names in `ledger_meta`.
pub(super) const ROWS_BEFORE: &str = "rows_before";
pub(super) const HOURS_BEFORE: &str = "hours_before";

fn days<W: World>(world: &W, name: &str) -> Option<i64> {
    let text = world.variable(name)?;
    match text.trim().parse::<i64>() {
        Ok(days) if days > 0 => Some(days.max(DAYS_MIN)),
        Ok(0) => None,
        _ => {
            world.log(&format!("{name} is '{text}', which is no number of days: nothing is deleted by it"));
            None
        }
    }
}

/// Before this nothing is kept; 0 keeps all.
fn kept_from(now: Timestamp, days: Option<i64>) -> Timestamp {
    days.map_or(Timestamp(0), |days| now.plus_ms(days.saturating_mul(-DAY_MS)).day_start())
}

fn hours_kept_from<W: World>(world: &W) -> Timestamp {
    let days = match world.variable(HOURS_DAYS) {
        None => Some(HOURS_DAYS_DEFAULT),
        Some(_) => days(world, HOURS_DAYS),
    };
    kept_from(world.now(), days)
}

/// Since when a database has sums of hours: what was deleted counts, not what is to be kept now.
pub(super) async fn hours_from<W: World>(world: &W, database: &str) -> Result<Timestamp, Fault> {
    let query = "SELECT value FROM ledger_meta WHERE name = ?1";
    let rows = world.sql_in(database, &[(query.to_owned(), vec![json!(HOURS_BEFORE)])]).await?;
    Ok(Timestamp(rows.first().and_then(|row| row.get("value")?.as_i64()).unwrap_or_default()))
}

/// The cron trigger's work.
pub async fn maintain<W: World>(world: &W) {
    let now = world.now();
    for database in databases(world) {
        let rows_before = kept_from(now, days(world, ROWS_DAYS));
        let hours_before = hours_kept_from(world);
        let work = [
            (ROWS_BEFORE, rows_before, delete_rows(rows_before)),
            (HOURS_BEFORE, hours_before, delete_hours(hours_before)),
        ];
        for (name, before, delete) in work {
            if before > Timestamp(0)
                && let Err(fault) = prune(world, &database, name, before, delete).await
            {
                world.log(&format!("retention: {database}: {}", fault.0));
            }
        }
    }
}

async fn prune<W: World>(
    world: &W,
    database: &str,
    name: &str,
    before: Timestamp,
    delete: Statement,
) -> Result<(), Fault> {
    // Never backwards: a longer retention does not bring back what is gone.
    let note = "INSERT INTO ledger_meta (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = \
                MAX(value, excluded.value)";
    world.sql_in(database, &[(note.to_owned(), vec![json!(name), json!(before)])]).await?;
    for _ in 0..CHUNKS_MAX {
        let deleted = world.sql_in(database, std::slice::from_ref(&delete)).await?;
        if deleted.len() < CHUNK as usize {
            break;
        }
    }
    Ok(())
}

/// The id begins with the time it was minted, which is before the request was admitted.
fn delete_rows(before: Timestamp) -> Statement {
    let sql = format!(
        "DELETE FROM ledger WHERE (request_id, attempt) IN (SELECT request_id, attempt FROM ledger \
         WHERE request_id < ?1 AND at_ms < ?2 ORDER BY request_id LIMIT {CHUNK}) RETURNING 1 AS deleted"
    );
    (sql, vec![json!(RequestId::lower_bound(before.0)), json!(before)])
}

fn delete_hours(before: Timestamp) -> Statement {
    let key = "span_ms, start_ms, customer_id, team_id, key_id, route, provider, model";
    let sql = format!(
        "DELETE FROM rollup WHERE ({key}) IN (SELECT {key} FROM rollup WHERE span_ms = {HOUR_MS} AND start_ms < ?1 \
         LIMIT {CHUNK}) RETURNING 1 AS deleted"
    );
    (sql, vec![json!(before)])
}
