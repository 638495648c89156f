//! What a virtual key may learn about itself: its limits, its requests, its models.

use crate::{
    admin::{self, parameter},
    admit::wire::{Command, KeyRecord, Reply},
    authenticate::authenticate,
    dialect::Dialect,
    listing::{self, Wanted},
    model::{id::RequestId, time::Timestamp},
    pipeline,
    ports::{AnswerBody, ClientRequest, Fault, World},
    refusal::Refusal,
    settle::row::LedgerRow,
};
use serde_json::{Value, json};

/// Answers one of the self-service paths.
pub async fn handle<W: World>(world: &W, request: &ClientRequest, path: &str) {
    let wanted = Wanted::of(path);
    let dialect = wanted.as_ref().map_or(Dialect::OpenAiChat, |_| listing::dialect(world, path));
    match answer(world, request, path, dialect, wanted).await {
        Ok(body) => {
            let headers = vec![("content-type", "application/json".to_owned())];
            world.respond(200, headers, AnswerBody::Text(body.to_string()));
        }
        Err(refusal) => {
            let id = RequestId::mint(world.now().0, world.random());
            pipeline::refuse_in(world, dialect, &id, &refusal);
        }
    }
}

async fn answer<W: World>(
    world: &W,
    request: &ClientRequest,
    path: &str,
    dialect: Dialect,
    wanted: Option<Wanted>,
) -> Result<Value, Refusal> {
    // What the object is asked anyway is asked of it whole; a revoked key learns nothing here.
    let key = authenticate(world, request, path == "/v1/key" || path.starts_with("/v1/requests/")).await?;
    if let Some(wanted) = wanted {
        let policy = world.policy().await.map_err(unavailable)?;
        return listing::answer(&policy, &key, request, dialect, &wanted);
    }
    match path.strip_prefix("/v1/requests/") {
        Some(id) => find(world, &key, id).await,
        None => describe(world, &key, parameter(request, "user")).await,
    }
}

fn unavailable(fault: Fault) -> Refusal {
    Refusal::unavailable(fault.0)
}

async fn describe<W: World>(world: &W, key: &KeyRecord, user: Option<String>) -> Result<Value, Refusal> {
    let command = Command::Describe { key: key.id.clone(), user };
    let reply = world.ledger(&key.customer, &command).await.map_err(unavailable)?;
    let Reply::Limits { limits } = reply else {
        return Err(Refusal::unavailable(format!("the object answered a description with {reply:?}")));
    };
    Ok(json!({
        "object": "key", "id": key.id, "name": key.name, "customer_id": key.customer, "team_id": key.team,
        "models": key.models, "expires_at": key.expires_at.map(Timestamp::to_rfc3339), "limits": limits,
    }))
}

/// How long after a request its isolate may not have reported it, and how it is waited for.
const FRESH_MS: i64 = 2_000;
const FRESH_TRIES: u32 = 3;
const FRESH_WAIT_MS: u64 = 200;

/// The rows of one request, for the key that made it.
async fn find<W: World>(world: &W, key: &KeyRecord, id: &str) -> Result<Value, Refusal> {
    let id = RequestId::parse(id).ok_or_else(missing)?;
    // A request that was admitted from a lease is known to its isolate alone, until that reports.
    let mut tries = 0;
    loop {
        match find_once(world, key, &id).await {
            Err(refusal) if refusal.status == 404 && tries < FRESH_TRIES && is_fresh(&id, world.now()) => {
                tries += 1;
                world.sleep(FRESH_WAIT_MS).await;
            }
            found => return found,
        }
    }
}

/// Whether an id is so new that its isolate may not have reported it.
fn is_fresh(id: &RequestId, now: Timestamp) -> bool {
    id.0 >= RequestId::lower_bound(now.0.saturating_sub(FRESH_MS))
}

fn missing() -> Refusal {
    Refusal::new(
        404,
        "invalid_request_error",
        "request_not_found",
        "This key made no request of that id. The id is in the x-edgehold-request-id header of every answer.",
    )
}

async fn find_once<W: World>(world: &W, key: &KeyRecord, id: &RequestId) -> Result<Value, Refusal> {
    let drained = rows_of(world, key, id).await;
    if let Ok(rows) = &drained
        && !rows.is_empty()
    {
        let rows: Vec<Value> = rows.iter().cloned().map(without_operators_text).collect();
        return Ok(json!({"object": "request", "id": id, "state": "settled", "rows": rows}));
    }
    // Not in D1 yet, or D1 is away: the object knows.
    let reply =
        world.ledger(&key.customer, &Command::Find { ticket: id.0.clone() }).await.map_err(unavailable)?;
    match reply {
        Reply::Found { state, rows } if rows.iter().all(|row| row.key_id == key.id.0) => {
            let rows: Vec<Value> = rows.iter().map(as_in_d1).map(without_operators_text).collect();
            Ok(json!({"object": "request", "id": id, "state": state, "rows": rows}))
        }
        _ => Err(drained.map_or_else(|fault| Refusal::unavailable(fault.0), |_| missing())),
    }
}

/// What D1 has of a request. With several databases it is in one of them: the customer's, or for a customer from before
/// them the default one.
async fn rows_of<W: World>(world: &W, key: &KeyRecord, id: &RequestId) -> Result<Vec<Value>, Fault> {
    let query = "SELECT * FROM ledger WHERE request_id = ?1 AND key_id = ?2 ORDER BY attempt";
    let statement = (query.to_owned(), vec![json!(id), json!(key.id)]);
    for database in admin::databases_of(world, &key.customer) {
        let rows = world.sql_in(&database, std::slice::from_ref(&statement)).await?;
        if !rows.is_empty() {
            return Ok(rows);
        }
    }
    Ok(vec![])
}

/// `error` is what a provider told the operator: account names, limits, names of secrets. `rolled_up` is book-keeping.
fn without_operators_text(mut row: Value) -> Value {
    if let Some(members) = row.as_object_mut() {
        members.remove("error");
        members.remove("rolled_up");
    }
    row
}

/// A row that is still in the object, in the shape it will have in D1: zeros and nulls present, truth as 0 and 1.
fn as_in_d1(row: &LedgerRow) -> Value {
    const ZEROS: &[&str] = &[
        "status",
        "streamed",
        "input_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "output_tokens",
        "reasoning_tokens",
        "audio_tokens",
        "usage_estimated",
        "cost_nanousd",
        "duration_ms",
    ];
    const NULLS: &[&str] = &[
        "team_id",
        "usage_json",
        "first_byte_ms",
        "upstream_id",
        "metadata",
        "error",
        "adjusts",
        "reason",
        "service_tier",
    ];
    let mut shown = json!(row);
    if let Some(members) = shown.as_object_mut() {
        for value in members.values_mut() {
            if let Value::Bool(flag) = value {
                *value = json!(u8::from(*flag));
            }
        }
        for (names, missing) in [(ZEROS, json!(0)), (NULLS, Value::Null)] {
            for name in names {
                members.entry((*name).to_owned()).or_insert_with(|| missing.clone());
            }
        }
    }
    shown
}
