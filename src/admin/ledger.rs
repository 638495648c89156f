//! A customer's ledger as the operator sees it: the object's totals, what D1 refuses, and trying that again.

use super::{Answer, not_found, unavailable};
use crate::{
    admit::wire::{Command, Inspection, Reply},
    model::id::CustomerId,
    ports::World,
    refusal::Refusal,
};
use serde_json::json;

/// What the object says of itself. Asked without D1, since it matters most when D1 is away.
async fn ask<W: World>(world: &W, id: &str) -> Result<Inspection, Refusal> {
    match world.ledger(&CustomerId(id.to_owned()), &Command::Inspect).await.map_err(unavailable)? {
        Reply::Inspection(inspection) if inspection.known => Ok(inspection),
        Reply::Inspection(_) => Err(not_found("customer", id)),
        other => Err(Refusal::unavailable(format!("the object answered an inspection with {other:?}"))),
    }
}

/// The object's own totals.
pub(super) async fn inspect<W: World>(world: &W, id: &str) -> Result<Answer, Refusal> {
    Ok((200, json!(ask(world, id).await?)))
}

/// The D1 database of a customer's ledger; `None` if nothing of it has gone anywhere yet.
pub(super) async fn database<W: World>(world: &W, id: &str) -> Result<Option<String>, Refusal> {
    Ok(ask(world, id).await?.database)
}

/// Has the rows tried again that D1 refused.
pub(super) async fn retry<W: World>(world: &W, id: &str) -> Result<Answer, Refusal> {
    ask(world, id).await?;
    match world.ledger(&CustomerId(id.to_owned()), &Command::RetryQuarantine).await.map_err(unavailable)? {
        Reply::Retrying { rows } => Ok((202, json!({"object": "quarantine_retry", "rows": rows}))),
        other => Err(Refusal::unavailable(format!("the object answered a retry with {other:?}"))),
    }
}
