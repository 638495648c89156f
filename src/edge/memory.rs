//! What an isolate remembers between requests: plain data only, never a stream, a stub or a future.

use super::port;
use crate::{
    admit::{wallet::Wallet, wire::KeyRecord},
    config::policy::Policy,
    model::{id::KeyDigest, time::Timestamp},
    stream::filter::Filter,
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

/// How old a remembered policy may be before KV is asked again.
const POLICY_AGE_MS: i64 = 10_000;
/// How old a remembered key may be. Blocks and limits do not wait for this: the object decides every request.
const KEY_AGE_MS: i64 = 60_000;
/// More keys than this are not remembered at once.
const KEYS_MAX: usize = 10_000;
/// More templates than this are not remembered at once.
const TEMPLATES_MAX: usize = 1_000;

#[derive(Default)]
struct Memory {
    variables: BTreeMap<String, String>,
    policy: Option<(Rc<Policy>, Timestamp)>,
    keys: HashMap<String, (Rc<KeyRecord>, Timestamp)>,
    filters: HashMap<u32, Rc<RefCell<Filter>>>,
    random: Vec<[u8; 16]>,
    calls: Templates,
    answers: Templates,
}

/// Texts that JavaScript knows by number, so that what does not change from request to request crosses once.
#[derive(Default)]
struct Templates(HashMap<String, u32>);

impl Templates {
    /// The text's number, and whether JavaScript must be told what it means.
    fn number(&mut self, text: &str) -> (u32, bool) {
        if let Some(number) = self.0.get(text) {
            return (*number, false);
        }
        if self.0.len() >= TEMPLATES_MAX {
            self.0.clear();
        }
        let number = u32::try_from(self.0.len()).unwrap_or_default();
        self.0.insert(text.to_owned(), number);
        (number, true)
    }
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
    static WALLET: RefCell<Wallet> = RefCell::default();
}

pub(super) fn set_variables(json: &str) {
    let variables = serde_json::from_str(json).unwrap_or_default();
    MEMORY.with_borrow_mut(|memory| memory.variables = variables);
    if variable("EDGEHOLD_LEASES").is_some_and(|value| value == "off") {
        wallet(Wallet::turn_off);
    }
    if let Some(ms) = variable("EDGEHOLD_LEASE_MS").and_then(|text| text.parse().ok()) {
        wallet(|wallet| wallet.shorten(ms));
    }
}

/// What this isolate has leased.
pub(super) fn wallet<T>(run: impl FnOnce(&mut Wallet) -> T) -> T {
    WALLET.with_borrow_mut(run)
}

pub(super) fn variable(name: &str) -> Option<String> {
    MEMORY.with_borrow(|memory| memory.variables.get(name).cloned())
}

/// The remembered policy, and whether it is recent enough to be used without asking.
pub(super) fn policy(now: Timestamp) -> Option<(Rc<Policy>, bool)> {
    MEMORY.with_borrow(|memory| {
        memory.policy.as_ref().map(|(policy, at)| (Rc::clone(policy), now.since_ms(*at) < POLICY_AGE_MS))
    })
}

/// Remembers a policy unless a newer one is known: KV may lag behind what was written here.
pub(super) fn keep_policy(policy: Rc<Policy>, now: Timestamp) -> Rc<Policy> {
    MEMORY.with_borrow_mut(|memory| {
        let kept = match memory.policy.take() {
            Some((known, _)) if known.version > policy.version => known,
            _ => policy,
        };
        memory.policy = Some((Rc::clone(&kept), now));
        kept
    })
}

pub(super) fn key(digest: &KeyDigest, now: Timestamp) -> Option<Rc<KeyRecord>> {
    MEMORY.with_borrow(|memory| {
        let (record, at) = memory.keys.get(&digest.0)?;
        (now.since_ms(*at) < KEY_AGE_MS).then(|| Rc::clone(record))
    })
}

pub(super) fn keep_key(record: Rc<KeyRecord>, now: Timestamp) {
    MEMORY.with_borrow_mut(|memory| {
        if memory.keys.len() >= KEYS_MAX {
            memory.keys.clear();
        }
        memory.keys.insert(record.digest.0.clone(), (record, now));
    });
}

pub(super) fn forget_key(digest: &KeyDigest) {
    MEMORY.with_borrow_mut(|memory| memory.keys.remove(&digest.0));
}

/// Sixteen random bytes; asked for by the hundred, since every asking is a crossing.
pub(super) fn random() -> [u8; 16] {
    MEMORY.with_borrow_mut(|memory| {
        if memory.random.is_empty() {
            let mut pool = [0u8; 16 * 128];
            // Without entropy no id may be minted: an all-zero id would collide and be seen, never guessable twice.
            if getrandom::fill(&mut pool).is_ok() {
                let (chunks, _) = pool.as_chunks::<16>();
                memory.random.extend_from_slice(chunks);
            }
        }
        memory.random.pop().unwrap_or_default()
    })
}

/// The number of a call's template, and whether it is new.
pub(super) fn call_template(text: &str) -> (u32, bool) {
    MEMORY.with_borrow_mut(|memory| memory.calls.number(text))
}

/// The number of an answer's template, and whether it is new.
pub(super) fn answer_template(text: &str) -> (u32, bool) {
    MEMORY.with_borrow_mut(|memory| memory.answers.number(text))
}

pub(super) fn keep_filter(id: u32, filter: Rc<RefCell<Filter>>) {
    MEMORY.with_borrow_mut(|memory| memory.filters.insert(id, filter));
}

pub(super) fn drop_filter(id: u32) {
    MEMORY.with_borrow_mut(|memory| memory.filters.remove(&id));
}

pub(super) fn filter(id: u32, bytes: &[u8]) -> Vec<u8> {
    let filter = MEMORY.with_borrow(|memory| memory.filters.get(&id).cloned());
    match filter.as_ref().and_then(|filter| filter.try_borrow_mut().ok()) {
        Some(mut filter) => {
            let passed = filter.push(bytes);
            if filter.too_much() {
                port::break_off(id);
            }
            passed
        }
        None => bytes.to_vec(),
    }
}
