//! Configurations: put, read, list, roll back.

use super::{Answer, parameter, unavailable};
use crate::{
    config::{self, Problem},
    model::time::Timestamp,
    ports::{ClientRequest, World},
    refusal::Refusal,
    service::{LATEST_CONFIG, POLICY_NAME},
};
use serde_json::{Value, json};
use std::rc::Rc;

/// Validates a configuration, stores it as a new version, and publishes it.
pub(super) async fn put<W: World>(world: &W, request: &ClientRequest) -> Result<Answer, Refusal> {
    let text = std::str::from_utf8(&request.body).map_err(|_| {
        Refusal::bad_request("invalid_config", "The configuration is not UTF-8 text. Send YAML or JSON.")
    })?;
    let dry_run = parameter(request, "dry_run").is_some_and(|value| value == "true" || value == "1");
    if dry_run {
        let compiled = config::compile(text, 0).map_err(|problems| invalid(&problems))?;
        return Ok((200, json!({"object": "config", "valid": true, "warnings": compiled.warnings})));
    }
    store(world, text).await
}

async fn store<W: World>(world: &W, text: &str) -> Result<Answer, Refusal> {
    config::compile(text, 0).map_err(|problems| invalid(&problems))?;
    let insert = "INSERT INTO configs (version, text, created_at) \
                  SELECT COALESCE(MAX(version), 0) + 1, ?1, ?2 FROM configs RETURNING version";
    let parameters = vec![json!(text), json!(world.now().0)];
    let rows = world.sql(&[(insert.to_owned(), parameters)]).await.map_err(unavailable)?;
    let version = rows.first().and_then(|row| row.get("version")).and_then(Value::as_u64).unwrap_or_default();
    let compiled = config::compile(text, version).map_err(|problems| invalid(&problems))?;
    let policy = serde_json::to_string(&compiled.policy).unwrap_or_default();
    world.publish(POLICY_NAME, policy).await.map_err(|fault| {
        let mut refusal = unavailable(fault);
        refusal.message =
            format!("Version {version} is stored but not published: {} Put it again.", refusal.message);
        refusal
    })?;
    world.adopt_policy(Rc::new(compiled.policy));
    Ok((200, json!({"object": "config", "version": version, "warnings": compiled.warnings})))
}

fn invalid(problems: &[Problem]) -> Refusal {
    let first = problems.first().map(ToString::to_string).unwrap_or_default();
    let more = match problems.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    Refusal::bad_request("invalid_config", format!("The configuration was not stored. {first}{more}"))
        .with("problems", json!(problems))
}

fn shown(row: &Value) -> Value {
    json!({
        "object": "config",
        "version": row.get("version"),
        "created_at": row.get("created_at").and_then(Value::as_i64).map(|ms| Timestamp(ms).to_rfc3339()),
        "text": row.get("text"),
    })
}

/// The configuration in force.
pub(super) async fn latest<W: World>(world: &W) -> Result<Answer, Refusal> {
    let rows = world.sql(&[LATEST_CONFIG.statement()]).await.map_err(unavailable)?;
    match rows.first() {
        Some(row) => Ok((200, shown(row))),
        None => Ok((200, json!({"object": "config", "version": 0, "created_at": null, "text": ""}))),
    }
}

/// All versions, newest first, without their texts.
pub(super) async fn list<W: World>(world: &W) -> Result<Answer, Refusal> {
    let query = "SELECT version, created_at FROM configs ORDER BY version DESC LIMIT 1000";
    let rows = world.sql(&[(query.to_owned(), vec![])]).await.map_err(unavailable)?;
    let data: Vec<Value> = rows
        .iter()
        .map(|row| {
            let mut row = shown(row);
            row.as_object_mut().map(|members| members.remove("text"));
            row
        })
        .collect();
    Ok((200, json!({"object": "list", "data": data})))
}

async fn version<W: World>(world: &W, version: &str) -> Result<Value, Refusal> {
    let number = version.parse::<u64>().map_err(|_| super::not_found("configuration", version))?;
    let query = "SELECT version, text, created_at FROM configs WHERE version = ?1";
    let rows = world.sql(&[(query.to_owned(), vec![json!(number)])]).await.map_err(unavailable)?;
    rows.into_iter().next().ok_or_else(|| super::not_found("configuration", version))
}

/// One version.
pub(super) async fn one<W: World>(world: &W, number: &str) -> Result<Answer, Refusal> {
    Ok((200, shown(&version(world, number).await?)))
}

/// Puts an earlier version in force again, as a new version: history is not rewritten.
pub(super) async fn rollback<W: World>(world: &W, request: &ClientRequest) -> Result<Answer, Refusal> {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let Some(number) = body.get("version").and_then(Value::as_u64) else {
        return Err(Refusal::bad_param(
            "missing_required_parameter",
            "version",
            "Say which version to put in force again: {\"version\": 3}.",
        ));
    };
    let row = version(world, &number.to_string()).await?;
    let text = row.get("text").and_then(Value::as_str).unwrap_or_default();
    store(world, text).await
}
