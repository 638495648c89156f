//! [`World`] over the runtime.

use super::{
    memory, port,
    tasks::{self, Outcome, operation},
};
use crate::{
    admit::{
        wallet::Wallet,
        wire::{Command, KeyRecord, Reply},
    },
    config::policy::Policy,
    model::{
        id::{CustomerId, KeyDigest},
        time::Timestamp,
    },
    ports::{
        AnswerBody, Fault, Head, Headers, Outgoing, OutgoingBody, Peeked, Relay, RelayEnd, Relayed,
        SendFault, Sent, Statement, World,
    },
    service,
};
use serde_json::Value;
use std::rc::Rc;

/// The world of one client request.
pub(super) struct EdgeWorld {
    id: u32,
}

impl EdgeWorld {
    pub(super) const fn new(id: u32) -> Self {
        Self { id }
    }

    async fn kv_get(&self, name: &str) -> Result<Option<String>, Fault> {
        let Outcome { code, text, .. } = operation(self.id, |op| port::kv_get(self.id, op, name)).await;
        match code {
            0 => Ok(Some(text)),
            1 => Ok(None),
            _ => Err(Fault(format!("KV: {text}"))),
        }
    }

    /// From KV, else from D1.
    async fn load_policy(&self) -> Result<Policy, Fault> {
        if let Ok(Some(text)) = self.kv_get(service::POLICY_NAME).await
            && let Ok(policy) = serde_json::from_str::<Policy>(&text)
        {
            return Ok(policy);
        }
        let rows = self.sql(&[service::LATEST_CONFIG.statement()]).await?;
        match rows.first() {
            Some(row) => service::compile_row(row).map_err(Fault),
            None => Ok(Policy::resolve_default()),
        }
    }
}

fn lines(headers: &[(String, String)]) -> String {
    let mut text = String::new();
    for (name, value) in headers {
        push_header(&mut text, name, value);
    }
    text
}

fn push_header(text: &mut String, name: &str, value: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(name);
    text.push('\n');
    // A line break would begin another header.
    text.extend(value.chars().map(|c| if c.is_control() { ' ' } else { c }));
}

fn header_text(headers: &Headers) -> String {
    let mut text = String::with_capacity(512);
    for (name, value) in headers {
        push_header(&mut text, name, value);
    }
    text
}

impl World for EdgeWorld {
    fn now(&self) -> Timestamp {
        tasks::now()
    }

    fn random(&self) -> [u8; 16] {
        memory::random()
    }

    fn header(&self, name: &str) -> Option<String> {
        port::header(self.id, name)
    }

    fn variable(&self, name: &str) -> Option<String> {
        memory::variable(name)
    }

    async fn policy(&self) -> Result<Rc<Policy>, Fault> {
        let remembered = memory::policy(self.now());
        if let Some((policy, true)) = remembered {
            return Ok(policy);
        }
        match self.load_policy().await {
            Ok(policy) => Ok(memory::keep_policy(Rc::new(policy), self.now())),
            Err(fault) => match remembered {
                // An old policy beats none; the failure is logged, and the next request tries again.
                Some((policy, _)) => {
                    self.log(&format!("policy not refreshed: {}", fault.0));
                    Ok(policy)
                }
                None => Err(fault),
            },
        }
    }

    async fn key(
        &self,
        customer: &CustomerId,
        digest: &KeyDigest,
        fresh: bool,
    ) -> Result<Option<Rc<KeyRecord>>, Fault> {
        if !fresh {
            if let Some(record) = memory::key(digest, self.now()) {
                return Ok(Some(record));
            }
            let stored = self.kv_get(&service::key_name(digest)).await.unwrap_or_default();
            let record = stored.and_then(|text| serde_json::from_str::<KeyRecord>(&text).ok());
            if let Some(record) = record.filter(|record| record.digest == *digest) {
                let record = Rc::new(record);
                memory::keep_key(Rc::clone(&record), self.now());
                return Ok(Some(record));
            }
        }
        // KV's "no" is not trusted: it may be older than the key.
        match self.ledger(customer, &Command::Lookup { digest: digest.clone() }).await? {
            Reply::Key { record } => Ok(record.map(|record| {
                let record = Rc::new(record);
                memory::keep_key(Rc::clone(&record), self.now());
                record
            })),
            other => Err(Fault(format!("the object answered a look-up with {other:?}"))),
        }
    }

    fn wallet<T>(&self, run: impl FnOnce(&mut Wallet) -> T) -> T {
        memory::wallet(run)
    }

    fn keep_wallet(&self) {
        let now = self.now();
        if memory::wallet(|wallet| wallet.needs_keeper(now)) {
            port::keep_wallet(self.id);
        }
    }

    async fn ledger(&self, customer: &CustomerId, command: &Command) -> Result<Reply, Fault> {
        let command = serde_json::to_string(command).map_err(|error| Fault(error.to_string()))?;
        let start = |op| port::object_call(self.id, op, customer.as_str(), &command);
        let Outcome { code, text, .. } = operation(self.id, start).await;
        if code != 0 {
            return Err(Fault(format!("object: {text}")));
        }
        match serde_json::from_str(&text) {
            Ok(Reply::Failed { message }) => Err(Fault(format!("object: {message}"))),
            Ok(reply) => Ok(reply),
            Err(error) => Err(Fault(format!("object: {error}"))),
        }
    }

    fn settle(&self, customer: &CustomerId, command: &Command) {
        match serde_json::to_string(command) {
            Ok(command) => port::object_tell(self.id, customer.as_str(), &command),
            Err(error) => self.log(&format!("settlement not sent: {error}")),
        }
    }

    async fn send(&self, call: Outgoing) -> Sent {
        let mut headers = call.headers;
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        headers.push(("accept-encoding".to_owned(), "identity".to_owned()));
        let headers = lines(&headers);
        let secret =
            call.credential.map_or_else(String::new, |c| format!("{}\n{}\n{}", c.header, c.prefix, c.secret));
        let (played, body) = match &call.body {
            OutgoingBody::AsReceived => (false, None),
            OutgoingBody::Edited(bytes) => (false, Some(bytes.as_slice())),
            OutgoingBody::Played(script) => (true, Some(script.as_bytes())),
        };
        let timeout_ms = call.timeout_ms.min(i32::MAX as u64) as f64;
        let start = |op| {
            port::send(
                self.id,
                op,
                &call.url,
                &headers,
                &secret,
                played,
                body,
                timeout_ms,
                call.stream,
                call.untouched,
            );
        };
        let Outcome { code, text, bytes } = operation(self.id, start).await;
        let failed = |fault| Sent::Failed(fault);
        match code {
            -3 => return failed(SendFault::SecretMissing(text)),
            -2 => return failed(SendFault::Timeout),
            code if code < 100 => return failed(SendFault::Connect(text)),
            _ => {}
        }
        let mut parts = text.split('\n').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        let status = u16::try_from(code % 1_000).unwrap_or(0);
        let head = Head { status, content_type: part(), retry_after: part(), upstream_id: short(part()) };
        if code >= 1_000 { Sent::Stream(head) } else { Sent::Answer { head, body: bytes } }
    }

    async fn peek(&self, timeout_ms: u64) -> Peeked {
        let start = |op| port::peek(self.id, op, timeout_ms.min(i32::MAX as u64) as f64);
        let Outcome { code, text, bytes } = operation(self.id, start).await;
        match code {
            0 => Peeked::Bytes(bytes),
            1 => Peeked::End,
            2 => Peeked::Timeout,
            _ => Peeked::Broken(text),
        }
    }

    fn discard(&self) {
        port::discard(self.id);
    }

    async fn sleep(&self, ms: u64) {
        operation(self.id, |op| port::sleep(self.id, op, ms.min(i32::MAX as u64) as f64)).await;
    }

    fn respond(&self, status: u16, headers: Headers, body: AnswerBody) {
        let text = match &body {
            AnswerBody::Text(text) => Some(text.as_str()),
            AnswerBody::Upstream => None,
        };
        port::respond(self.id, status, &header_text(&headers), text);
    }

    async fn relay(&self, headers: Headers, relay: Relay, idle_ms: u64, total_ms: u64) -> Relayed {
        let (filtered, first) = match relay {
            Relay::Untouched => (false, Vec::new()),
            Relay::Filtered(filter, first) => {
                memory::keep_filter(self.id, filter);
                (true, first)
            }
        };
        let headers = header_text(&headers);
        let (idle_ms, total_ms) = (idle_ms.min(i32::MAX as u64) as f64, total_ms.min(i32::MAX as u64) as f64);
        let start = |op| port::relay(self.id, op, &headers, filtered, &first, idle_ms, total_ms);
        let Outcome { code, text, bytes } = operation(self.id, start).await;
        memory::drop_filter(self.id);
        let end = match code {
            0 => RelayEnd::End,
            1 => RelayEnd::ClientGone,
            2 => RelayEnd::Timeout,
            _ => RelayEnd::Broken(text),
        };
        Relayed { end, bytes }
    }

    fn end_stream(&self, tail: String) {
        port::end_stream(self.id, &tail);
    }

    async fn sql(&self, statements: &[Statement]) -> Result<Vec<Value>, Fault> {
        let statements = serde_json::to_string(statements).map_err(|error| Fault(error.to_string()))?;
        let Outcome { code, text, .. } = operation(self.id, |op| port::sql(self.id, op, &statements)).await;
        if code != 0 {
            return Err(Fault(format!("D1: {text}")));
        }
        serde_json::from_str(&text).map_err(|error| Fault(format!("D1: {error}")))
    }

    async fn publish(&self, name: &str, value: String) -> Result<(), Fault> {
        let Outcome { code, text, .. } =
            operation(self.id, |op| port::kv_put(self.id, op, name, &value)).await;
        if code == 0 { Ok(()) } else { Err(Fault(format!("KV: {text}"))) }
    }

    fn adopt_policy(&self, policy: Rc<Policy>) {
        memory::keep_policy(policy, self.now());
    }

    fn forget_key(&self, digest: &KeyDigest) {
        memory::forget_key(digest);
    }

    fn knows_zone(&self, zone: &str) -> bool {
        !port::zone_offset(zone, self.now().0 as f64).is_nan()
    }

    fn log(&self, message: &str) {
        port::log(message);
    }
}

/// A provider's id, as long as an id may be.
fn short(text: String) -> String {
    if text.len() > 200 { text.chars().take(200).collect() } else { text }
}
