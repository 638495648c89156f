//! The Rust half of an idempotency key's object: JSON in, [`Record`]'s decisions out. `record.js` keeps the bytes.

use crate::{
    idempotency::record::{Claim, Put, Read, Record, Write},
    model::time::Timestamp,
};
use wasm_bindgen::{JsError, prelude::wasm_bindgen};

/// The record in this instance's memory. Replies are lines: JSON, what to write (`claim`, `keep`, `clear` or nothing),
/// its body.
#[wasm_bindgen]
pub struct RecordCore {
    record: Record,
}

#[wasm_bindgen]
impl RecordCore {
    /// Loads what is stored.
    ///
    /// # Errors
    /// If it cannot be read.
    #[wasm_bindgen(constructor)]
    pub fn new(stored: Option<String>, now: f64) -> Result<RecordCore, JsError> {
        let record = Record::load(stored.as_deref(), at(now)).map_err(|error| JsError::new(&error))?;
        Ok(Self { record })
    }

    /// Somebody comes with the key. `waited`: whose answer it waited for in this same call.
    ///
    /// # Errors
    /// If the claim cannot be read.
    pub fn claim(&mut self, now: f64, claim: &str, waited: Option<String>) -> Result<String, JsError> {
        let mut claim: Claim = serde_json::from_str(claim)?;
        claim.waited = waited.or(claim.waited);
        let (claimed, write) = self.record.claim(at(now), &claim);
        Ok(lines(&serde_json::to_string(&claimed)?, "", write))
    }

    /// The owner tells `len` bytes. The first line is followed by how many of them are known already.
    ///
    /// # Errors
    /// If the message cannot be read.
    pub fn put(&mut self, now: f64, put: &str, len: u32, listening: bool) -> Result<String, JsError> {
        let put: Put = serde_json::from_str(put)?;
        let (taken, skip, write) = self.record.put(at(now), &put, u64::from(len), listening);
        Ok(lines(&serde_json::to_string(&taken)?, &skip.to_string(), write))
    }

    /// Somebody reads along: `wait`, `open`, `whole` or `lost`.
    ///
    /// # Errors
    /// If the message cannot be read.
    pub fn read(&mut self, now: f64, read: &str) -> Result<String, JsError> {
        let read: Read = serde_json::from_str(read)?;
        Ok(self.record.read(at(now), &read).word().to_owned())
    }

    /// Status and headers of the answer, if there is one.
    #[must_use]
    pub fn head(&self) -> Option<String> {
        self.record.head().map(str::to_owned)
    }

    /// When what is stored may go, 0 if nothing is.
    #[must_use]
    pub fn expires_at(&self) -> f64 {
        self.record.expires_at().map_or(0.0, |at| at.0 as f64)
    }

    /// How long to wait before looking at the owner again.
    #[must_use]
    pub fn lease_left_ms(&self, now: f64) -> f64 {
        self.record.lease_left_ms(at(now)) as f64
    }

    /// The alarm: when to look again, or 0 if what is stored may go.
    #[must_use]
    pub fn expire(&mut self, now: f64) -> f64 {
        self.record.expire(at(now)).map_or(0.0, |at| at.0 as f64)
    }
}

fn at(now: f64) -> Timestamp {
    Timestamp(now as i64)
}

fn lines(reply: &str, skip: &str, write: Write) -> String {
    let (what, body) = match write {
        Write::Nothing => ("", String::new()),
        Write::Claim(body) => ("claim", body),
        Write::Keep(body) => ("keep", body),
        Write::Clear => ("clear", String::new()),
    };
    [reply, skip, what, &body].join("\n")
}
