//! The world: compiled for wasm32 only, the only place where JavaScript is named.
//!
//! It converts and forwards. A branch that a customer could notice does not live here.
//!
//! `glue.js` is the other half: it starts operations and resumes tasks. See docs/decisions/0002 for why there is
//! neither a request class nor a promise in between.

#![expect(unreachable_pub, reason = "exported to JavaScript")]

mod memory;
mod object;
mod port;
mod record;
mod tasks;
mod world;

use crate::{
    admin,
    admit::{
        wallet::{TICK_MS, Wallet},
        wire::Reply,
    },
    pipeline,
    ports::ClientRequest,
    service,
};
use wasm_bindgen::prelude::wasm_bindgen;
use world::EdgeWorld;

/// Largest body read.
#[wasm_bindgen]
#[must_use]
pub fn body_bytes_max() -> u32 {
    u32::try_from(pipeline::BODY_BYTES_MAX).unwrap_or(u32::MAX)
}

/// Whether a text binding is the gateway's own. Provider secrets are not, and never enter wasm.
#[wasm_bindgen]
#[must_use]
pub fn is_own_variable(name: &str) -> bool {
    name == "ADMIN_TOKEN" || name.starts_with("EDGEHOLD_")
}

/// Remembers the gateway's own variables (JSON), once for each instance.
#[wasm_bindgen]
pub fn configure(variables: &str) {
    console_error_panic_hook::set_once();
    memory::set_variables(variables);
}

/// Begins a client request. `head` is lines: method, URL, four credentials, metadata, and a colon and the idempotency
/// key if there is one.
#[wasm_bindgen]
pub fn start(id: u32, now: f64, head: &str, too_large: bool, body: Vec<u8>) {
    tasks::set_now(now);
    let mut lines = head.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let method = line().to_owned();
    let (path, query) = path_and_query(line());
    let credentials = [line(), line(), line(), line()].into_iter().filter(|text| !text.is_empty());
    let request = ClientRequest {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        credentials: credentials.map(str::to_owned).collect(),
        metadata: line().to_owned(),
        idempotency_key: line().strip_prefix(':').map(str::to_owned),
        body,
        too_large,
    };
    tasks::spawn(id, async move {
        service::handle(&EdgeWorld::new(id), &request).await;
    });
}

/// Begins the work of the cron trigger.
#[wasm_bindgen]
pub fn maintain(id: u32, now: f64) {
    tasks::set_now(now);
    tasks::spawn(id, async move { admin::maintain(&EdgeWorld::new(id)).await });
}

/// An operation has ended.
#[wasm_bindgen]
pub fn resume(op: u32, now: f64, code: i32, text: String, bytes: Vec<u8>) {
    tasks::set_now(now);
    tasks::resume(op, tasks::Outcome { code, text, bytes });
}

/// Reports on leases that are due: lines of customer, lease and command, told apart by tabs. `-`: nothing is left to look
/// after.
#[wasm_bindgen]
#[must_use]
pub fn reports(now: f64) -> String {
    tasks::set_now(now);
    let (due, empty) = memory::wallet(|wallet| (wallet.reports(tasks::now()), wallet.is_empty()));
    if due.is_empty() && empty {
        memory::wallet(Wallet::dismiss_keeper);
        return "-".to_owned();
    }
    let mut lines = String::new();
    for (customer, lease, command) in due {
        let Ok(command) = serde_json::to_string(&command) else { continue };
        if !lines.is_empty() {
            lines.push('\n');
        }
        for part in [customer.as_str(), "\t", &lease, "\t", &command] {
            lines.push_str(part);
        }
    }
    lines
}

/// The object's answer to a report; none if it did not arrive.
#[wasm_bindgen]
pub fn reported(now: f64, lease: &str, reply: Option<String>) {
    tasks::set_now(now);
    let reply = reply.and_then(|text| serde_json::from_str::<Reply>(&text).ok());
    memory::wallet(|wallet| wallet.reported(tasks::now(), lease, reply));
}

/// Whoever looks after the wallet cannot go on for long: the next request shall begin another.
#[wasm_bindgen]
pub fn relieve_keeper() {
    memory::wallet(Wallet::dismiss_keeper);
}

/// How often reports are looked for, in ms.
#[wasm_bindgen]
#[must_use]
pub fn tick_ms() -> u32 {
    u32::try_from(TICK_MS).unwrap_or(50)
}

/// A read of a filtered stream: what of it may pass.
#[wasm_bindgen]
#[must_use]
pub fn filter(id: u32, bytes: &[u8]) -> Vec<u8> {
    memory::filter(id, bytes)
}

/// `https://host:port/path?query` without the first part.
fn path_and_query(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
    let path = path.split('#').next().unwrap_or(path);
    path.split_once('?').unwrap_or((path, ""))
}
