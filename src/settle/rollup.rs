//! The statements that bring settled rows into D1: the ledger, and its sums by hour and by day.
//!
//! **Exactly once, with nothing remembered.** A batch is one transaction of two statements that take the same rows (a
//! JSON array) as their one parameter: the first adds to the sums those rows that the ledger does not have yet, the
//! second inserts them. So a row that is in the ledger is in the sums and no other way, whatever is repeated, lost or
//! cut differently the next time; and nobody has to know what the sums were before.

use super::{
    raw,
    row::{LedgerRow, Outcome},
};
use crate::{
    model::time::{DAY_MS, HOUR_MS},
    ports::Statement,
};
use serde_json::json;

/// The columns of the ledger, in D1 and in [`LedgerRow`], which leaves out zeros. `given` is written down once: each mention
/// of `json_each`'s own `value` writes the row's text anew, which takes half of the statement's time. (`jsonb(value)` would
/// be faster still, but older versions of the runtime refuse that function.)
const INSERT: &str = "WITH given(row) AS MATERIALIZED (SELECT value FROM json_each(?1)) \
INSERT OR IGNORE INTO ledger (request_id, attempt, at_ms, customer_id, team_id, key_id, route, \
requested_model, provider, model, outcome, status, streamed, input_tokens, cache_read_tokens, \
cache_write_tokens, output_tokens, reasoning_tokens, audio_tokens, usage_estimated, usage_json, \
cost_nanousd, price_version, first_byte_ms, duration_ms, upstream_id, metadata, error, adjusts, reason, \
service_tier, rolled_up) SELECT \
row->>'request_id', row->>'attempt', row->>'at_ms', row->>'customer_id', row->>'team_id', \
row->>'key_id', row->>'route', row->>'requested_model', row->>'provider', row->>'model', \
row->>'outcome', COALESCE(row->>'status', 0), COALESCE(row->>'streamed', 0), \
COALESCE(row->>'input_tokens', 0), COALESCE(row->>'cache_read_tokens', 0), \
COALESCE(row->>'cache_write_tokens', 0), COALESCE(row->>'output_tokens', 0), \
COALESCE(row->>'reasoning_tokens', 0), COALESCE(row->>'audio_tokens', 0), \
COALESCE(row->>'usage_estimated', 0), row->>'usage_json', COALESCE(row->>'cost_nanousd', 0), \
row->>'price_version', row->>'first_byte_ms', COALESCE(row->>'duration_ms', 0), \
row->>'upstream_id', row->>'metadata', row->>'error', row->>'adjusts', row->>'reason', \
row->>'service_tier', 1 FROM given";

/// Before [`INSERT`], in the same transaction. `new` are the rows the ledger does not have, each once; a day is the sum of
/// its hours.
const ROLL_UP: &str = "WITH given(row) AS MATERIALIZED (SELECT value FROM json_each(?1)), \
new AS (SELECT row FROM given WHERE NOT EXISTS \
(SELECT 1 FROM ledger WHERE ledger.request_id = row->>'request_id' AND ledger.attempt = row->>'attempt') \
GROUP BY row->>'request_id', row->>'attempt'), \
hour AS MATERIALIZED (SELECT (row->>'at_ms') - (row->>'at_ms') % 3600000 AS start_ms, \
row->>'customer_id' AS customer_id, COALESCE(row->>'team_id', '') AS team_id, row->>'key_id' AS key_id, \
row->>'route' AS route, row->>'provider' AS provider, row->>'model' AS model, \
SUM(row->>'attempt' = 1) AS requests, SUM(row->>'adjusts' IS NULL) AS attempts, \
SUM(row->>'adjusts' IS NULL AND row->>'outcome' NOT IN ('ok', 'client_gone')) AS errors, \
SUM(COALESCE(row->>'input_tokens', 0)) AS input_tokens, \
SUM(COALESCE(row->>'cache_read_tokens', 0)) AS cache_read_tokens, \
SUM(COALESCE(row->>'cache_write_tokens', 0)) AS cache_write_tokens, \
SUM(COALESCE(row->>'output_tokens', 0)) AS output_tokens, \
SUM(COALESCE(row->>'reasoning_tokens', 0)) AS reasoning_tokens, \
SUM(COALESCE(row->>'audio_tokens', 0)) AS audio_tokens, \
SUM(COALESCE(row->>'cost_nanousd', 0)) AS cost_nanousd FROM new GROUP BY 1, 2, 3, 4, 5, 6, 7), \
span(ms) AS (VALUES (3600000), (86400000)) \
INSERT INTO rollup (span_ms, start_ms, customer_id, team_id, key_id, route, provider, model, requests, attempts, \
errors, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, audio_tokens, \
cost_nanousd) SELECT span.ms, start_ms - start_ms % span.ms, customer_id, team_id, key_id, route, provider, model, \
SUM(requests), SUM(attempts), SUM(errors), SUM(input_tokens), SUM(cache_read_tokens), SUM(cache_write_tokens), \
SUM(output_tokens), SUM(reasoning_tokens), SUM(audio_tokens), SUM(cost_nanousd) \
FROM hour CROSS JOIN span WHERE true GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 \
ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, attempts = attempts + excluded.attempts, \
errors = errors + excluded.errors, input_tokens = input_tokens + excluded.input_tokens, \
cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens, \
cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens, \
output_tokens = output_tokens + excluded.output_tokens, \
reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens, \
audio_tokens = audio_tokens + excluded.audio_tokens, cost_nanousd = cost_nanousd + excluded.cost_nanousd";

/// A customer that no one can be: ids are `cus_` and twelve characters.
const PROBE: &str = "cus_probe";

/// The transaction that takes rows (a JSON array of [`LedgerRow`], the one parameter of each statement) into the ledger and
/// its sums.
pub const INSERTION: [&str; 2] = [ROLL_UP, INSERT];

fn insertion(rows: &str) -> Vec<Statement> {
    INSERTION.into_iter().map(|sql| (sql.to_owned(), vec![json!(rows)])).collect()
}

/// A transaction that does what [`INSERTION`] does, with a row that is known to be good, and takes it out again: it
/// succeeds if D1 takes rows at all. Asked when D1 refused others, to tell their fault from its own. A `SELECT 1`
/// would not: a full database, and one without its migrations, answers it.
#[must_use]
pub fn probe() -> Vec<Statement> {
    let row = LedgerRow {
        request_id: "req_probe".to_owned(),
        attempt: 1,
        customer_id: PROBE.to_owned(),
        key_id: "key_probe".to_owned(),
        outcome: Outcome::Ok,
        ..LedgerRow::default()
    };
    let mut statements = insertion(raw(&[row]).get());
    statements.push(("DELETE FROM ledger WHERE request_id = 'req_probe'".to_owned(), vec![]));
    let span = [HOUR_MS, DAY_MS].map(|span| {
        let sql = "DELETE FROM rollup WHERE span_ms = ?1 AND start_ms = 0 AND customer_id = ?2";
        (sql.to_owned(), vec![json!(span), json!(PROBE)])
    });
    statements.extend(span);
    statements
}
