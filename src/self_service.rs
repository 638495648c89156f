//! What a virtual key may learn about itself: its limits, its requests, its models.

use crate::{
    admin::{self, parameter},
    admit::wire::{Command, KeyRecord, Reply},
    authenticate::authenticate,
    config::policy::{Condition, Policy},
    model::{id::RequestId, money::PicoUsd, time::Timestamp},
    pipeline,
    ports::{AnswerBody, ClientRequest, Fault, World},
    provider::PROVIDERS,
    refusal::Refusal,
    route,
    settle::{price::Headline, row::LedgerRow},
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Answers one of the self-service paths.
pub async fn handle<W: World>(world: &W, request: &ClientRequest, path: &str) {
    match answer(world, request, path).await {
        Ok(body) => {
            let headers = vec![("content-type", "application/json".to_owned())];
            world.respond(200, headers, AnswerBody::Text(body.to_string()));
        }
        Err(refusal) => {
            pipeline::refuse(world, &RequestId::mint(world.now().0, world.random()), &refusal);
        }
    }
}

async fn answer<W: World>(world: &W, request: &ClientRequest, path: &str) -> Result<Value, Refusal> {
    // What the object is asked anyway is asked of it whole; a revoked key learns nothing here.
    let key = authenticate(world, request, path == "/v1/key" || path.starts_with("/v1/requests/")).await?;
    if path == "/v1/key" {
        return describe(world, &key, parameter(request, "user")).await;
    }
    if let Some(id) = path.strip_prefix("/v1/requests/") {
        return find(world, &key, id).await;
    }
    let policy = world.policy().await.map_err(unavailable)?;
    let entry = |id: &str| entry(&policy, id);
    let names = models(&policy, &key);
    match path.strip_prefix("/v1/models/") {
        None => {
            Ok(json!({"object": "list", "data": names.iter().map(|name| entry(name)).collect::<Vec<_>>()}))
        }
        Some(name) if names.contains(name) => Ok(entry(name)),
        Some(name) => Err(Refusal::new(
            404,
            "invalid_request_error",
            "model_not_found",
            format!("The model '{name}' is not known here, or this key may not use it."),
        )),
    }
}

fn unavailable(fault: Fault) -> Refusal {
    Refusal::unavailable(fault.0)
}

/// A model as SDKs list them, with what is known of the first target the name leads to. Prices are what is charged for a
/// request of ordinary size at the standard tier.
fn entry(policy: &Policy, id: &str) -> Value {
    let mut entry = json!({"id": id, "object": "model", "created": 0, "owned_by": "edgehold"});
    let first = policy.resolve(id).and_then(|targets| targets.into_iter().next());
    let price = first.and_then(|target| route::stop(policy, target)).and_then(|stop| stop.price);
    if let (Some(members), Some(price)) = (entry.as_object_mut(), price) {
        let shown = price.headline();
        members.insert("context_tokens".to_owned(), json!(price.context_tokens));
        members.insert("output_tokens".to_owned(), json!(price.output_tokens));
        members.insert("pricing".to_owned(), pricing(&shown));
    }
    entry
}

/// Prices as decimal text. What is billed beside words, and what batches cost at the provider, is there where it is known.
fn pricing(shown: &Headline) -> Value {
    let mut prices = Map::new();
    let mut put = |name: &str, price: Option<String>| {
        prices.extend(price.map(|price| (name.to_owned(), json!(price))));
    };
    put("input_usd_per_million", Some(shown.input.per_million()));
    put("output_usd_per_million", Some(shown.output.per_million()));
    put("image_output_usd_per_million", shown.output_image.map(PicoUsd::per_million));
    put("request_usd", shown.request.map(PicoUsd::each));
    put("image_usd", shown.image.map(PicoUsd::each));
    if let Some((input, output)) = shown.batch {
        let batch = json!({"input_usd_per_million": input.per_million(), "output_usd_per_million": output.per_million()});
        prices.insert("batch".to_owned(), batch);
    }
    Value::Object(prices)
}

/// Names a caller may use: aliases, models that routes ask for or lead to.
fn models(policy: &Policy, key: &KeyRecord) -> BTreeSet<String> {
    let built_in =
        PROVIDERS.iter().flat_map(|kind| kind.aliases.iter().map(|(alias, _)| (*alias).to_owned()));
    let targets = policy.routes.iter().flat_map(|route| route.targets.iter().chain(&route.fallbacks));
    let led_to = targets.map(|target| format!("{}/{}", target.provider, target.model));
    let asked_for =
        policy.routes.iter().flat_map(|route| &route.conditions).filter_map(|condition| match condition {
            Condition::Model(pattern) => Some(pattern.0.iter().filter(|name| !name.contains('*')).cloned()),
            _ => None,
        });
    policy
        .aliases
        .keys()
        .cloned()
        .chain(built_in)
        .chain(led_to)
        .chain(asked_for.flatten())
        .filter(|name| key.models.as_ref().is_none_or(|models| models.matches(name)))
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_model_has_the_size_and_the_charged_price_of_what_it_leads_to() {
        let text =
            "models: {fast: [openai/gpt-4o-mini, mock/echo]}\nroutes: [{name: all}]\nprices: {markup: 1.2}\n";
        let policy = crate::config::compile(text, 1).unwrap().policy;
        let fast = entry(&policy, "fast");
        assert_eq!((fast["id"].as_str(), fast["owned_by"].as_str()), (Some("fast"), Some("edgehold")));
        assert_eq!((&fast["context_tokens"], &fast["output_tokens"]), (&json!(128_000), &json!(16_384)));
        assert_eq!(
            fast["pricing"],
            json!({"input_usd_per_million": "0.18", "output_usd_per_million": "0.72",
                   "batch": {"input_usd_per_million": "0.09", "output_usd_per_million": "0.36"}})
        );
        // A size the table does not know, and a model without a price.
        let sonar = entry(&policy, "perplexity/perplexity/sonar");
        assert!(sonar["context_tokens"].is_null() && sonar["pricing"].is_object(), "{sonar}");
        let unknown = entry(&policy, "nvidia/some-model");
        assert_eq!(unknown.as_object().unwrap().len(), 4, "{unknown}");
    }
}
