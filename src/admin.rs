//! The operator's API under `/admin/v1`: customers, teams, keys, configuration, usage. The slower path.

mod configs;
mod events;
mod fields;
mod ledger;
mod limits;
mod nodes;
mod reconcile;
mod rerate;
mod retention;
mod usage;

pub use retention::maintain;

use crate::{
    model::{
        id::{CustomerId, RequestId},
        time::Timestamp,
    },
    pipeline,
    ports::{AnswerBody, ClientRequest, Fault, World},
    refusal::Refusal,
    settle::shard,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// How many databases hold ledgers besides the default one; counted by the edge among the bindings.
pub const DATABASES: &str = "EDGEHOLD_LEDGER_DATABASES";

/// Status and body.
type Answer = (u16, Value);

/// Answers an admin request.
pub async fn handle<W: World>(world: &W, request: &ClientRequest) {
    let answered = match authorize(world, request) {
        Ok(()) => dispatch(world, request).await,
        Err(refusal) => Err(refusal),
    };
    match answered {
        Ok((status, body)) => {
            let headers = vec![("content-type", "application/json".to_owned())];
            world.respond(status, headers, AnswerBody::Text(body.to_string()));
        }
        Err(refusal) => {
            pipeline::refuse(world, &RequestId::mint(world.now().0, world.random()), &refusal);
        }
    }
}

/// The admin token, compared by digest so that the comparison tells nothing of the token.
fn authorize<W: World>(world: &W, request: &ClientRequest) -> Result<(), Refusal> {
    let Some(token) = world.variable("ADMIN_TOKEN").filter(|token| token.len() >= 16) else {
        return Err(Refusal::new(
            503,
            "api_error",
            "admin_not_configured",
            "The admin API is closed: the secret ADMIN_TOKEN is not set, or shorter than 16 characters. Set it with `wrangler secret put ADMIN_TOKEN`.",
        ));
    };
    let wanted = Sha256::digest(token.as_bytes());
    let presented = |text: &String| {
        let text = text.trim();
        let bare =
            text.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("bearer ")).and_then(|_| text.get(7..));
        Sha256::digest(bare.unwrap_or(text).trim().as_bytes()) == wanted
    };
    if request.credentials.iter().any(presented) {
        return Ok(());
    }
    Err(Refusal::unauthorized(
        "invalid_admin_token",
        "The admin API needs the admin token: Authorization: Bearer $ADMIN_TOKEN. A virtual key does not open it.",
    ))
}

async fn dispatch<W: World>(world: &W, request: &ClientRequest) -> Result<Answer, Refusal> {
    let path = request.path.trim_end_matches('/');
    let rest = path.strip_prefix("/admin/v1/").unwrap_or_default();
    let parts: Vec<&str> = rest.split('/').collect();
    match (request.method.as_str(), parts.as_slice()) {
        ("PUT", ["config"]) => configs::put(world, request).await,
        ("GET", ["config"]) => configs::latest(world).await,
        ("GET", ["config", "versions"]) => configs::list(world).await,
        ("GET", ["config", "versions", version]) => configs::one(world, version).await,
        ("POST", ["config", "rollback"]) => configs::rollback(world, request).await,
        ("GET", ["events"]) => events::list(world, request).await,
        ("GET", ["keys", id, "limits"]) => nodes::limits(world, request, id).await,
        ("POST", ["ledger", "rerate"]) => rerate::rerate(world, request).await,
        ("GET", ["usage"]) => usage::report(world, request).await,
        ("GET", ["customers", id, "ledger"]) => ledger::inspect(world, id).await,
        ("GET", ["customers", id, "reconcile"]) => reconcile::reconcile(world, id).await,
        ("POST", ["customers", id, "ledger", "quarantine", "retry"]) => ledger::retry(world, id).await,
        (method, [kind @ ("customers" | "teams" | "keys")]) => match method {
            "POST" => nodes::create(world, request, nodes::level(kind)).await,
            "GET" => nodes::list(world, request, nodes::level(kind)).await,
            _ => Err(no_method(request)),
        },
        (method, [kind @ ("customers" | "teams" | "keys"), id]) => match method {
            "GET" => nodes::read(world, nodes::level(kind), id).await,
            "PATCH" => nodes::change(world, request, nodes::level(kind), id).await,
            "DELETE" if *kind == "keys" => nodes::revoke(world, id).await,
            _ => Err(no_method(request)),
        },
        (_, ["config"] | ["usage"] | ["events"] | ["ledger", "rerate"]) => Err(no_method(request)),
        _ => Err(Refusal::new(
            404,
            "invalid_request_error",
            "not_found",
            "There is nothing at this path. The admin API has config, customers, teams, keys, events and usage.",
        )),
    }
}

fn no_method(request: &ClientRequest) -> Refusal {
    Refusal::new(
        405,
        "invalid_request_error",
        "method_not_allowed",
        format!("{} is not a method of {}.", request.method, request.path),
    )
}

/// A fault of the infrastructure, told the operator as it is: this surface is theirs.
fn unavailable(fault: Fault) -> Refusal {
    let mut refusal = Refusal::unavailable(fault.0.clone());
    refusal.message = format!("A part of the gateway could not be reached: {}. Try again.", fault.0);
    refusal
}

fn database_count<W: World>(world: &W) -> u32 {
    world.variable(DATABASES).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The bindings of the D1 databases that hold ledger rows.
fn databases<W: World>(world: &W) -> Vec<String> {
    shard::all(database_count(world))
}

/// The same, those first that a customer's rows are likely in: its home now, the default one, and, if databases were
/// added since the customer began, any other.
pub(crate) fn databases_of<W: World>(world: &W, customer: &CustomerId) -> Vec<String> {
    let home = shard::home(customer.as_str(), database_count(world));
    let others = databases(world).into_iter().filter(|name| *name != home).collect::<Vec<_>>();
    std::iter::once(home).chain(others).collect()
}

/// All rows of all queries. D1's SQLite takes at most five in a row (workerd sets `SQLITE_LIMIT_COMPOUND_SELECT`), so they
/// are nested.
fn union_all(queries: &[String]) -> String {
    const IN_A_ROW: usize = 5;
    let groups: Vec<String> = queries.chunks(IN_A_ROW).map(|group| group.join(" UNION ALL ")).collect();
    match groups.as_slice() {
        [one] => one.clone(),
        _ => {
            let nested: Vec<String> = groups.iter().map(|group| format!("SELECT * FROM ({group})")).collect();
            nested.join(" UNION ALL ")
        }
    }
}

/// A moment in the query.
fn moment(request: &ClientRequest, name: &str) -> Result<Option<Timestamp>, Refusal> {
    let read = |text: String| {
        Timestamp::parse(&text).ok_or_else(|| {
            Refusal::bad_param(
                "invalid_value",
                name,
                format!("'{name}' must be a day such as 2026-11-21 or a time such as 2026-11-21T06:00:00Z."),
            )
        })
    };
    parameter(request, name).map(read).transpose()
}

fn not_found(what: &str, id: &str) -> Refusal {
    Refusal::new(404, "invalid_request_error", "not_found", format!("There is no {what} '{id}'."))
}

/// The value of a query parameter, percent-decoded.
pub(crate) fn parameter(request: &ClientRequest, name: &str) -> Option<String> {
    request
        .query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| decode(value))
        .filter(|value| !value.is_empty())
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next(), rest.next()];
                let value = |digit: Option<u8>| digit.and_then(|digit| char::from(digit).to_digit(16));
                if let [Some(high), Some(low)] = digits.map(value) {
                    bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                }
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
