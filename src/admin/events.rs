//! Events: thresholds of limits that were passed.

use super::{Answer, parameter, unavailable};
use crate::{
    model::time::{DAY_MS, Timestamp},
    ports::{ClientRequest, World},
    refusal::Refusal,
};
use serde_json::{Value, json};

const KNOWN: &[&str] = &["customer_id", "since", "after"];
const PAGE: usize = 200;
const DEFAULT_DAYS: i64 = 30;

/// Events since a moment, oldest first; `customer_id` narrows, `after` continues behind an event.
pub(super) async fn list<W: World>(world: &W, request: &ClientRequest) -> Result<Answer, Refusal> {
    let names = request.query.split('&').filter_map(|pair| pair.split('=').next());
    if let Some(name) = names.filter(|name| !name.is_empty()).find(|name| !KNOWN.contains(name)) {
        return Err(Refusal::bad_param(
            "unknown_parameter",
            name,
            format!("Unknown parameter '{name}'. Known: {}.", KNOWN.join(", ")),
        ));
    }
    let since = match parameter(request, "since") {
        None => world.now().plus_ms(-DEFAULT_DAYS * DAY_MS),
        Some(text) => Timestamp::parse(&text).ok_or_else(|| {
            Refusal::bad_param(
                "invalid_value",
                "since",
                "'since' must be a day such as 2026-11-21 or a time such as 2026-11-21T06:00:00Z.",
            )
        })?,
    };
    let mut condition = "at_ms >= ?1".to_owned();
    let mut parameters = vec![json!(since)];
    if let Some(customer) = parameter(request, "customer_id") {
        parameters.push(json!(customer));
        condition.push_str(&format!(" AND customer_id = ?{}", parameters.len()));
    }
    if let Some(after) = parameter(request, "after") {
        parameters.push(json!(after));
        let number = parameters.len();
        condition
            .push_str(&format!(" AND (at_ms, id) > (SELECT at_ms, id FROM events WHERE id = ?{number})"));
    }
    let query = format!("SELECT * FROM events WHERE {condition} ORDER BY at_ms, id LIMIT {}", PAGE + 1);
    let mut rows = world.sql(&[(query, parameters)]).await.map_err(unavailable)?;
    let has_more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let data: Vec<Value> = rows.iter().map(shown).collect();
    Ok((200, json!({"object": "list", "data": data, "has_more": has_more})))
}

fn shown(row: &Value) -> Value {
    let get = |name: &str| row.get(name).cloned().unwrap_or_default();
    let moment =
        |name: &str| row.get(name).and_then(Value::as_f64).map(|ms| Timestamp(ms as i64).to_rfc3339());
    let models = row.get("models").and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok());
    json!({
        "object": "event", "id": get("id"), "kind": get("kind"), "at": moment("at_ms"),
        "customer_id": get("customer_id"), "level": get("level"), "node_id": get("node_id"),
        "unit": get("unit"), "window": get("window"), "models": models.unwrap_or(Value::Null),
        "window_start": moment("window_start_ms"), "percent": get("percent"),
        "amount": get("amount"), "used": get("used"),
    })
}
