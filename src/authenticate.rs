//! Who is asking: header → virtual key → the key's record.

use crate::{
    admit::wire::KeyRecord,
    model::{id::PresentedKey, time::Timestamp},
    ports::{ClientRequest, World},
    refusal::Refusal,
};
use std::rc::Rc;

/// The key as presented. Nonsense is refused here, without a look-up.
///
/// # Errors
/// 401.
pub fn present(request: &ClientRequest) -> Result<PresentedKey, Refusal> {
    let mut any = false;
    for credential in &request.credentials {
        let text = credential.trim();
        let text = match text.get(..7) {
            Some(scheme) if scheme.eq_ignore_ascii_case("bearer ") => {
                text.get(7..).unwrap_or_default().trim()
            }
            _ => text,
        };
        if let Some(key) = PresentedKey::parse(text) {
            return Ok(key);
        }
        any |= !text.is_empty();
    }
    Err(Refusal::unauthorized(
        "invalid_api_key",
        if any {
            "This is not a virtual key of this gateway. A virtual key begins with eh_; check that it was copied whole."
        } else {
            "No API key. Send your virtual key as Authorization: Bearer eh_…, x-api-key, api-key or x-goog-api-key."
        },
    ))
}

/// The record of whoever asks.
///
/// # Errors
/// 401 for a key that is unknown, blocked or expired; 503 if that cannot be found out.
pub async fn authenticate<W: World>(
    world: &W,
    request: &ClientRequest,
    fresh: bool,
) -> Result<Rc<KeyRecord>, Refusal> {
    let key = present(request)?;
    let found = world.key(&key.customer(), &key.digest(), fresh).await;
    let record = found.map_err(|fault| Refusal::unavailable(fault.0))?.ok_or_else(unknown)?;
    usable(&record, world.now())?;
    Ok(record)
}

/// The refusal of a key nobody knows.
#[must_use]
pub fn unknown() -> Refusal {
    Refusal::unauthorized("invalid_api_key", "This virtual key is not known. It may have been revoked.")
}

/// The refusal of a blocked key.
#[must_use]
pub fn blocked(level: &str) -> Refusal {
    Refusal::unauthorized(
        "key_blocked",
        format!("Access is blocked for this {level}. Ask whoever issued the key."),
    )
}

/// The refusal of an expired key.
#[must_use]
pub fn expired() -> Refusal {
    Refusal::unauthorized("key_expired", "This virtual key has expired. Ask whoever issued it for a new one.")
}

fn usable(record: &KeyRecord, now: Timestamp) -> Result<(), Refusal> {
    if record.blocked {
        return Err(blocked("key"));
    }
    if record.expires_at.is_some_and(|at| at <= now) {
        return Err(expired());
    }
    Ok(())
}
