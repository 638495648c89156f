//! What the object of one idempotency key knows and decides. Synchronous; the bytes themselves stay with whoever calls.
//!
//! A call is claimed by the first who comes, told in pieces by its owner, and kept when it is over. An owner that is
//! not heard of for a lease is taken for dead, and whoever waits takes its place.

use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Somebody who reads along asks again within this, else nobody is taken to listen.
const READ_GAP_MS: i64 = 3_000;

/// What a request asks first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Of the request that asks: its id. Asked again with the same one, the answer is the same.
    pub token: String,
    /// What was asked for: a digest of method, path and body.
    pub fingerprint: String,
    /// How long the answer is kept, counted from here.
    pub ttl_ms: i64,
    /// How long an owner may be silent.
    pub lease_ms: i64,
    /// Whose answer it has been waiting for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited: Option<String>,
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claimed {
    /// The call is yours: make it, and tell.
    New,
    /// The key stands for another request.
    Conflict,
    /// It is under way, and nothing has come yet.
    Wait {
        /// Whose it is.
        of: String,
    },
    /// There is an answer, or the beginning of one.
    Answer {
        /// Whose it is.
        of: String,
        /// Whether it was over and kept before this was asked.
        stored: bool,
    },
}

/// What an owner tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// Who tells.
    pub token: String,
    /// Where the bytes that come along belong.
    pub from: u64,
    /// Status and headers, with the first bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// These are the last bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Stored for those who ask later.
    Keep,
    /// Shared with who waits for it now, and forgotten: trying again may help.
    Share,
    /// There is none, or not all of it.
    Drop,
}

/// What the owner is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Taken {
    /// So far.
    Have {
        /// All bytes up to here are there. Fewer than were told, if the object began anew in the meantime.
        bytes: u64,
        /// Somebody reads along.
        wanted: bool,
    },
    /// The call is not yours (any more).
    Lost,
}

/// What somebody who reads along asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// Whose answer.
    pub of: String,
    /// What it has.
    pub from: u64,
}

/// How far an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing new yet.
    Wait,
    /// There is more, and more will come.
    Open,
    /// What there is is all.
    Whole,
    /// What there is is not all, and no more will come.
    Lost,
}

impl Progress {
    /// As the wire has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Open => "open",
            Self::Whole => "whole",
            Self::Lost => "lost",
        }
    }
}

/// What must be made durable before the reply is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Nothing.
    Nothing,
    /// This call alone; what was stored before goes.
    Claim(String),
    /// This call and its bytes.
    Keep(String),
    /// Nothing may be left.
    Clear,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    Running,
    Kept,
    /// Over, in memory only: for those who waited.
    Shared,
    /// Given up, in memory only: those who read along are told.
    Dropped,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Call {
    token: String,
    fingerprint: String,
    expires_at: Timestamp,
    lease_ms: i64,
    phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    #[serde(default)]
    bytes: u64,
}

/// One idempotency key of one virtual key.
#[derive(Debug, Default)]
pub struct Record {
    call: Option<Call>,
    lease_until: Timestamp,
    read_at: Option<Timestamp>,
}

impl Record {
    /// From what is stored. What was under way begins anew, with its owner's lease.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn load(stored: Option<&str>, now: Timestamp) -> Result<Self, String> {
        let Some(stored) = stored else { return Ok(Self::default()) };
        let call: Call = serde_json::from_str(stored).map_err(|error| error.to_string())?;
        let lease_until = now.plus_ms(call.lease_ms);
        Ok(Self { call: Some(call), lease_until, read_at: None })
    }

    /// Somebody comes with the key.
    pub fn claim(&mut self, now: Timestamp, claim: &Claim) -> (Claimed, Write) {
        self.lapse(now);
        let standing = self.call.as_ref().filter(|call| match call.phase {
            Phase::Running => true,
            Phase::Kept => now < call.expires_at,
            Phase::Shared => claim.waited.as_ref() == Some(&call.token),
            Phase::Dropped => false,
        });
        let Some(call) = standing else { return self.begin(now, claim) };
        if call.fingerprint != claim.fingerprint {
            return (Claimed::Conflict, Write::Nothing);
        }
        if call.token == claim.token && call.phase == Phase::Running {
            return (Claimed::New, Write::Nothing);
        }
        let of = call.token.clone();
        self.read_at = Some(now);
        match call.head {
            None => (Claimed::Wait { of }, Write::Nothing),
            Some(_) => {
                let stored = call.phase == Phase::Kept && claim.waited.as_ref() != Some(&of);
                (Claimed::Answer { of, stored }, Write::Nothing)
            }
        }
    }

    fn begin(&mut self, now: Timestamp, claim: &Claim) -> (Claimed, Write) {
        let call = Call {
            token: claim.token.clone(),
            fingerprint: claim.fingerprint.clone(),
            expires_at: now.plus_ms(claim.ttl_ms),
            lease_ms: claim.lease_ms,
            phase: Phase::Running,
            head: None,
            bytes: 0,
        };
        let body = serde_json::to_string(&call).unwrap_or_default();
        self.lease_until = now.plus_ms(claim.lease_ms);
        self.read_at = None;
        self.call = Some(call);
        (Claimed::New, Write::Claim(body))
    }

    /// The owner tells `len` bytes, or only that it lives. Gives how many of the first bytes are known already (all, if
    /// they do not belong here) and what is to be stored. `listening`: somebody waits for more at this moment.
    pub fn put(&mut self, now: Timestamp, put: &Put, len: u64, listening: bool) -> (Taken, u64, Write) {
        let wanted = listening || self.read_at.is_some_and(|at| now.since_ms(at) < READ_GAP_MS);
        let Some(call) = self.call.as_mut().filter(|call| call.token == put.token) else {
            return (Taken::Lost, len, Write::Nothing);
        };
        if call.phase != Phase::Running {
            // Told again, since the answer to the last words was lost.
            return (Taken::Have { bytes: call.bytes, wanted }, len, Write::Nothing);
        }
        self.lease_until = now.plus_ms(call.lease_ms);
        let fits = put.from <= call.bytes && (call.head.is_some() || put.head.is_some() || len == 0);
        if !fits {
            return (Taken::Have { bytes: call.bytes, wanted }, len, Write::Nothing);
        }
        if call.head.is_none() {
            call.head.clone_from(&put.head);
        }
        let skip = (call.bytes - put.from).min(len);
        call.bytes += len - skip;
        let write = match put.end {
            None => Write::Nothing,
            Some(End::Keep) => {
                call.phase = Phase::Kept;
                Write::Keep(serde_json::to_string(call).unwrap_or_default())
            }
            Some(end) => {
                call.phase = if end == End::Share { Phase::Shared } else { Phase::Dropped };
                Write::Clear
            }
        };
        (Taken::Have { bytes: call.bytes, wanted }, skip, write)
    }

    /// Somebody reads along.
    pub fn read(&mut self, now: Timestamp, read: &Read) -> Progress {
        self.lapse(now);
        self.read_at = Some(now);
        match self.call.as_ref().filter(|call| call.token == read.of) {
            Some(call) => match call.phase {
                Phase::Running if read.from < call.bytes => Progress::Open,
                Phase::Running => Progress::Wait,
                Phase::Kept | Phase::Shared => Progress::Whole,
                Phase::Dropped => Progress::Lost,
            },
            None => Progress::Lost,
        }
    }

    /// Status and headers of the answer, if there is one.
    #[must_use]
    pub fn head(&self) -> Option<&str> {
        self.call.as_ref()?.head.as_deref()
    }

    /// When what is stored may go.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.call.as_ref().map(|call| call.expires_at)
    }

    /// How long the owner may still be silent; what waits looks again after that.
    #[must_use]
    pub fn lease_left_ms(&self, now: Timestamp) -> i64 {
        self.lease_until.since_ms(now).max(0)
    }

    /// The time is over: what is stored goes, unless the call is still under way. Then gives when to look again.
    pub fn expire(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.lapse(now);
        match &self.call {
            Some(call) if call.phase == Phase::Running => Some(self.lease_until),
            Some(call) if call.phase == Phase::Kept && now < call.expires_at => Some(call.expires_at),
            _ => {
                self.call = None;
                None
            }
        }
    }

    /// An owner that was not heard of for its lease has lost the call.
    fn lapse(&mut self, now: Timestamp) {
        if now >= self.lease_until
            && let Some(call) = self.call.as_mut().filter(|call| call.phase == Phase::Running)
        {
            call.phase = Phase::Dropped;
        }
    }
}

#[cfg(test)]
mod tests;
