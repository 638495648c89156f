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
    idempotency::{
        self,
        record::{Claim, Claimed},
    },
    model::{
        id::{CustomerId, KeyDigest},
        time::Timestamp,
    },
    ports::{
        AnswerBody, Credential, Fault, Head, Headers, Outgoing, OutgoingBody, Peeked, Relay, RelayEnd,
        Relayed, Scheme, SendFault, Sent, Statement, World, aside,
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

    /// From KV, else from the object.
    async fn load_key(
        &self,
        customer: &CustomerId,
        digest: &KeyDigest,
        fresh: bool,
    ) -> Result<Option<Rc<KeyRecord>>, Fault> {
        if !fresh {
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

/// Headers of an answer whose values change with every request.
const VARYING: &[&str] = &[
    "x-edgehold-request-id",
    "x-edgehold-cost-usd",
    "x-edgehold-budget-remaining-usd",
    "x-edgehold-budget-held-usd",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "x-edgehold-clamped-max-tokens",
    "x-edgehold-dropped",
    "retry-after",
];

fn push_line(text: &mut String, line: &str) {
    if line.bytes().any(|byte| !(b' '..0x7F).contains(&byte)) {
        // A line break would begin another header.
        text.extend(line.chars().map(|c| if c.is_control() { ' ' } else { c }));
    } else {
        text.push_str(line);
    }
    text.push('\n');
}

/// The template of an answer's headers, and the values that go into it.
fn answer_template(headers: &Headers) -> (u32, String) {
    let mut text = String::with_capacity(512);
    let mut varying = String::with_capacity(256);
    let mut values = String::with_capacity(256);
    for (name, value) in headers {
        let varies = VARYING.contains(name);
        let names = if varies { &mut varying } else { &mut text };
        names.push_str(name);
        names.push('\n');
        push_line(if varies { &mut values } else { &mut text }, value);
    }
    let varying_at = text.len();
    text.push_str(&varying);
    let (number, new) = memory::answer_template(&text);
    if new {
        let (constant, varying) = text.split_at_checked(varying_at).unwrap_or_default();
        port::answer_template(number, constant, varying);
    }
    (number, values)
}

/// The template of a call: everything but its body.
fn call_template(call: &Outgoing) -> u32 {
    let mut text = String::with_capacity(512);
    push_line(&mut text, &call.url);
    let is_bound = call.credential.as_ref().is_some_and(|credential| credential.scheme == Scheme::Binding);
    let always = ALWAYS.into_iter().filter(|_| !is_bound);
    for (name, value) in
        call.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(always)
    {
        push_line(&mut text, name);
        push_line(&mut text, value);
    }
    let secret_at = text.len();
    if let Some(Credential { header, prefix, secret, scheme }) = &call.credential {
        for line in [header, prefix, secret] {
            push_line(&mut text, line);
        }
        let scheme: &[&str] = match scheme {
            Scheme::Header => &[],
            Scheme::AwsSigV4 { region, service } => &["aws_sigv4", region, service],
            Scheme::GoogleServiceAccount { scope } => &["google_service_account", scope],
            Scheme::Binding => &["binding"],
        };
        for line in scheme {
            push_line(&mut text, line);
        }
    }
    let (number, new) = memory::call_template(&text);
    if new {
        let (head, secret) = text.split_at_checked(secret_at).unwrap_or_default();
        port::call_template(number, head, secret);
    }
    number
}

/// Sent with every call. Answers are read here, and none of them is unpacked first.
const ALWAYS: [(&str, &str); 2] = [("content-type", "application/json"), ("accept-encoding", "identity")];

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
        match aside(self.load_policy()).await {
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
        if !fresh && let Some(record) = memory::key(digest, self.now()) {
            return Ok(Some(record));
        }
        aside(self.load_key(customer, digest, fresh)).await
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

    async fn claim(&self, place: &str, claim: &Claim) -> Result<Claimed, Fault> {
        let text = serde_json::to_string(claim).map_err(|error| Fault(error.to_string()))?;
        let Outcome { code, text, .. } =
            operation(self.id, |op| port::claim(self.id, op, place, &text)).await;
        if code != 0 {
            return Err(Fault(format!("answer record: {text}")));
        }
        let claimed =
            serde_json::from_str(&text).map_err(|error| Fault(format!("answer record: {error}")))?;
        if claimed == Claimed::New {
            let beat_ms = (claim.lease_ms / 3).max(1) as f64;
            port::record(
                self.id,
                place,
                &claim.token,
                beat_ms,
                idempotency::ANSWER_BYTES_MAX,
                idempotency::LINGER_ALONE_MS,
                idempotency::LINGER_READ_MS,
            );
        }
        Ok(claimed)
    }

    async fn replay(&self, stored: bool, abandoned: String) {
        let how = if stored { "stored" } else { "attached" };
        operation(self.id, |op| port::replay(self.id, op, how, &abandoned)).await;
    }

    async fn send(&self, call: Outgoing) -> Sent {
        let template = call_template(&call);
        let (played, body) = match &call.body {
            OutgoingBody::AsReceived => (false, None),
            OutgoingBody::Edited(bytes) => (false, Some(bytes.as_slice())),
            OutgoingBody::Played(script) => (true, Some(script.as_bytes())),
        };
        let timeout_ms = call.timeout_ms.min(i32::MAX as u64) as f64;
        let start = |op| {
            port::send(self.id, op, template, played, body, timeout_ms, call.stream, call.untouched);
        };
        let Outcome { code, text, bytes } = operation(self.id, start).await;
        let failed = |fault| Sent::Failed(fault);
        match code {
            -5 => return failed(SendFault::CredentialLate(text)),
            -4 => return failed(SendFault::CredentialUnusable(text)),
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
        let kept = idempotency::is_kept(status, &body);
        let (template, values) = answer_template(&headers);
        port::respond(self.id, status, template, &values, text, kept);
    }

    async fn relay(&self, headers: Headers, relay: Relay, idle_ms: u64, total_ms: u64) -> Relayed {
        let (filtered, first) = match relay {
            Relay::Untouched => (false, Vec::new()),
            Relay::Filtered(filter, first) => {
                memory::keep_filter(self.id, filter);
                (true, first)
            }
        };
        let (template, values) = answer_template(&headers);
        let (idle_ms, total_ms) = (idle_ms.min(i32::MAX as u64) as f64, total_ms.min(i32::MAX as u64) as f64);
        let start = |op| port::relay(self.id, op, template, &values, filtered, &first, idle_ms, total_ms);
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

    async fn sql_in(&self, database: &str, statements: &[Statement]) -> Result<Vec<Value>, Fault> {
        let statements = serde_json::to_string(statements).map_err(|error| Fault(error.to_string()))?;
        let Outcome { code, text, .. } =
            operation(self.id, |op| port::sql(self.id, op, database, &statements)).await;
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
