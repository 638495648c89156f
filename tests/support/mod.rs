//! A world in plain memory: a scripted provider, a real ledger, a clock that moves only when told, and failures on order.
//!
//! Nothing here ever waits, so a request is over after one poll.

use edgehold::{
    admit::{
        ledger::{Effect, Entry, Ledger, Stored, Write},
        limit::utc_only,
        wallet::Wallet,
        wire::{Command, Hold, KeyRecord, Level, LimitFigures, Limits, NodeSpec, Reply, Settlement},
    },
    config::{self, policy::Policy},
    idempotency::{
        self,
        record::{Claim, Claimed, End, Put, Record},
    },
    model::{
        id::{CustomerId, KeyDigest, KeyId, PresentedKey, TeamId},
        money::NanoUsd,
        time::Timestamp,
    },
    pipeline,
    ports::{
        AnswerBody, ClientRequest, Fault, Head, Headers, Outgoing, OutgoingBody, Peeked, Relay, RelayEnd,
        Relayed, SendFault, Sent, Statement, World,
    },
    settle::row::LedgerRow,
    surface::Surface,
};
use serde_json::Value;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// When every test begins.
pub(crate) const T0: Timestamp = Timestamp(1_700_000_000_000);

/// What the provider does when it is called.
#[derive(Clone, Debug)]
pub(crate) enum Played {
    /// A whole answer after `after_ms`; our time-out if that is too late.
    Answer { status: u16, retry_after: &'static str, body: Vec<u8>, after_ms: u64 },
    /// An event stream: pieces, then the ending.
    Stream { pieces: Vec<Vec<u8>>, ending: Ending },
    /// The connection is refused.
    Connect,
    /// Nothing comes.
    Timeout,
    /// The deployment lacks the credential.
    SecretMissing,
    /// Nobody gives a token for it.
    CredentialUnusable,
    /// Whoever gives tokens takes longer than a second.
    CredentialLate,
}

/// How a scripted stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Close,
    Break,
    Stall,
    /// The client leaves once all pieces have been passed on. While nobody passes anything on it is a stall.
    ClientLeaves,
}

/// Where a call of the ledger fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LedgerFault {
    /// Nothing arrived.
    Broke,
    /// It arrived and was carried out; the answer was lost, and so was everything that tried again.
    BrokeButLanded,
    /// The first answer was lost; the same call made again was answered.
    LostOnce,
}

/// A call as the provider saw it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) edited: bool,
    pub(crate) stream: bool,
    pub(crate) secret: Option<String>,
    pub(crate) at: Timestamp,
}

/// What the client got.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) closed: bool,
    /// The client did not wait for the end.
    pub(crate) left: bool,
    /// How many calls the provider had seen when the answer began.
    pub(crate) calls: usize,
}

impl Answered {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(header, _)| *header == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is sent twice");
        value
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// `error.code` of a refusal.
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// A settlement as told, what the object said, and the bound it ended.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) settlement: Settlement,
    pub(crate) reply: Reply,
    pub(crate) bound: Option<NanoUsd>,
}

impl Told {
    pub(crate) fn rows(&self) -> Vec<LedgerRow> {
        serde_json::from_str(self.settlement.rows.get()).unwrap()
    }
}

struct Open {
    pieces: VecDeque<Vec<u8>>,
    peeked: Vec<u8>,
    ending: Ending,
}

/// The customer's object: its memory, and what survives it.
#[derive(Default)]
struct Object {
    ledger: Ledger,
    entries: BTreeMap<u64, (bool, String)>,
    nodes: BTreeMap<String, String>,
    bases: BTreeMap<String, String>,
    keys: BTreeMap<String, String>,
    leases: BTreeMap<String, String>,
    late: BTreeMap<String, String>,
    d1: Vec<LedgerRow>,
    alarm: Option<Timestamp>,
}

impl Object {
    fn keep(&mut self, effect: Effect) -> Reply {
        for write in effect.writes {
            match write {
                Write::Entry { number, settled, body } => {
                    self.entries.insert(number, (settled, body));
                }
                Write::DropEntries { numbers } => self.entries.retain(|number, _| !numbers.contains(number)),
                Write::Node { id, body } => {
                    self.nodes.insert(id, body);
                }
                Write::Base { id, body } => {
                    self.bases.insert(id, body);
                }
                Write::Key { digest, body } => {
                    self.keys.insert(digest, body);
                }
                Write::Lease { id, body: Some(body) } => {
                    self.leases.insert(id, body);
                }
                Write::Lease { id, body: None } => {
                    self.leases.remove(&id);
                }
                Write::Late { ticket, body: Some(body) } => {
                    self.late.insert(ticket, body);
                }
                Write::Late { ticket, body: None } => {
                    self.late.remove(&ticket);
                }
                Write::DropUsers { ids } => {
                    self.nodes.retain(|id, _| !ids.contains(id));
                    self.bases.retain(|id, _| !ids.contains(id));
                }
                Write::Event { .. } => {}
                other => panic!("a request never writes {other:?}"),
            }
        }
        self.alarm = effect.alarm.or(self.alarm);
        effect.reply
    }

    /// As in production: every command and every reply goes over the wire as text.
    fn run(&mut self, now: Timestamp, command: &Command) -> Reply {
        let command: Command = serde_json::from_str(&serde_json::to_string(command).unwrap()).unwrap();
        let effect = self.ledger.apply(now, command);
        let reply = self.keep(effect);
        serde_json::from_str(&serde_json::to_string(&reply).unwrap()).unwrap()
    }

    fn bound_of(&self, ticket: &str) -> Option<NanoUsd> {
        self.entries
            .values()
            .filter(|(settled, _)| !settled)
            .map(|(_, body)| serde_json::from_str::<Entry>(body).unwrap())
            .find(|entry| entry.ticket == ticket)
            .map(|entry| entry.bound)
    }

    fn evict(&mut self, now: Timestamp) {
        let stored = Stored {
            nodes: self.nodes.values().cloned().collect(),
            bases: self.bases.clone().into_iter().collect(),
            keys: self.keys.values().cloned().collect(),
            entries: self.entries.iter().map(|(n, (settled, body))| (*n, *settled, body.clone())).collect(),
            leases: self.leases.values().cloned().collect(),
            late: self.late.clone().into_iter().collect(),
            ..Stored::default()
        };
        self.ledger = Ledger::load(&stored, now, utc_only).unwrap();
    }

    fn wake(&mut self, now: Timestamp) {
        self.alarm = None;
        let effect = self.ledger.expire(now);
        self.keep(effect);
        if self.ledger.drain_due(now) {
            let batch: Vec<(u64, String)> = self
                .entries
                .iter()
                .filter(|(_, (settled, _))| *settled)
                .map(|(number, (_, body))| (*number, body.clone()))
                .collect();
            for (_, body) in &batch {
                let entry: Entry = serde_json::from_str(body).unwrap();
                self.d1.extend(serde_json::from_str::<Vec<LedgerRow>>(entry.rows.get()).unwrap());
            }
            let effect = self.ledger.drained(now, &batch, false);
            self.keep(effect);
        }
        let effect = self.ledger.rest(now);
        self.keep(effect);
    }
}

/// The world of one client, over any number of requests.
pub(crate) struct Fake {
    now: Cell<Timestamp>,
    dice: Cell<u64>,
    policy: RefCell<Rc<Policy>>,
    object: RefCell<Object>,
    held_answer: RefCell<Option<Vec<u8>>>,
    open: RefCell<Option<Open>>,
    request_body: RefCell<Vec<u8>>,
    record: RefCell<KeyRecord>,
    /// The objects of idempotency keys, by name, and the bytes they keep.
    kept: RefCell<BTreeMap<String, (Record, Vec<u8>)>>,
    /// The record that this request's answer is told to, as whom, and what becomes of it.
    telling: RefCell<Option<(String, String)>>,
    ending: Cell<Option<End>>,
    /// What the last claim found.
    found: RefCell<(String, Vec<u8>)>,
    /// The records of idempotency keys cannot be asked.
    pub(crate) claim_fault: Cell<bool>,
    /// What the isolate remembers of the key, if not what the object has.
    pub(crate) remembered: RefCell<Option<KeyRecord>>,
    pub(crate) key: PresentedKey,
    pub(crate) script: RefCell<VecDeque<Played>>,
    pub(crate) client_headers: RefCell<BTreeMap<String, String>>,
    pub(crate) variables: RefCell<BTreeMap<String, String>>,
    pub(crate) policy_fault: Cell<bool>,
    pub(crate) key_fault: Cell<bool>,
    /// The call of the ledger (1 is the first) that fails, and how.
    pub(crate) ledger_fault: Cell<Option<(u32, LedgerFault)>>,
    ledger_calls: Cell<u32>,
    pub(crate) wallet: RefCell<Wallet>,
    // What happened.
    pub(crate) calls: RefCell<Vec<Call>>,
    pub(crate) answers: RefCell<Vec<Answered>>,
    pub(crate) holds: RefCell<Vec<(Hold, Reply)>>,
    pub(crate) released: RefCell<Vec<Settlement>>,
    pub(crate) told: RefCell<Vec<Told>>,
    pub(crate) slept: RefCell<Vec<u64>>,
    pub(crate) logs: RefCell<Vec<String>>,
}

impl Fake {
    pub(crate) fn new(yaml: &str) -> Self {
        let policy = config::compile(yaml, 7).unwrap_or_else(|problems| panic!("{problems:?}")).policy;
        let customer = CustomerId::mint([3; 16]);
        let key = PresentedKey::mint(&customer, [[5; 16], [9; 16]]);
        let record = KeyRecord {
            digest: key.digest(),
            id: KeyId("key_a".to_owned()),
            customer,
            customer_name: "acme".to_owned(),
            team: Some(TeamId("team_a".to_owned())),
            team_name: Some("red".to_owned()),
            name: "test".to_owned(),
            blocked: false,
            expires_at: None,
            models: None,
            default_max_tokens: None,
            metadata: BTreeMap::new(),
            revision: 1,
        };
        let mut wallet = Wallet::default();
        wallet.turn_off();
        let fake = Self {
            now: Cell::new(T0),
            dice: Cell::new(0x9E37_79B9_7F4A_7C15),
            policy: RefCell::new(Rc::new(policy)),
            object: RefCell::default(),
            held_answer: RefCell::default(),
            open: RefCell::default(),
            request_body: RefCell::default(),
            record: RefCell::new(record),
            kept: RefCell::default(),
            telling: RefCell::default(),
            ending: Cell::default(),
            found: RefCell::default(),
            claim_fault: Cell::default(),
            remembered: RefCell::default(),
            key,
            script: RefCell::default(),
            client_headers: RefCell::default(),
            variables: RefCell::default(),
            policy_fault: Cell::default(),
            key_fault: Cell::default(),
            ledger_fault: Cell::default(),
            ledger_calls: Cell::default(),
            wallet: RefCell::new(wallet),
            calls: RefCell::default(),
            answers: RefCell::default(),
            holds: RefCell::default(),
            released: RefCell::default(),
            told: RefCell::default(),
            slept: RefCell::default(),
            logs: RefCell::default(),
        };
        for level in [Level::Customer, Level::Team, Level::Key] {
            fake.limit(level, Limits::default());
        }
        fake.edit_key(|_| {});
        fake
    }

    fn publish(&self, nodes: Vec<NodeSpec>, keys: Vec<KeyRecord>) {
        self.object.borrow_mut().run(self.now.get(), &Command::Publish { nodes, keys });
    }

    /// The node of a level as the admin would write it.
    pub(crate) fn node(&self, level: Level) -> NodeSpec {
        let record = self.record.borrow();
        let id = match level {
            Level::Customer => record.customer.0.clone(),
            Level::Team => "team_a".to_owned(),
            _ => record.id.0.clone(),
        };
        NodeSpec {
            id,
            team: (level == Level::Key).then(|| TeamId("team_a".to_owned())),
            level,
            limits: Limits::default(),
            each_user: None,
            blocked: false,
            expires_at: None,
            revision: record.revision,
        }
    }

    pub(crate) fn put_node(&self, node: NodeSpec) {
        self.publish(vec![node], vec![]);
    }

    pub(crate) fn limit(&self, level: Level, limits: Limits) {
        self.put_node(NodeSpec { limits, ..self.node(level) });
    }

    /// A lifetime budget of the key, in nano-dollars.
    pub(crate) fn budget(&self, nanousd: i64) {
        self.limit(Level::Key, Limits { total: Some(NanoUsd(nanousd)), ..Limits::default() });
    }

    /// Changes the key's record everywhere.
    pub(crate) fn edit_key(&self, edit: impl FnOnce(&mut KeyRecord)) {
        edit(&mut self.record.borrow_mut());
        self.publish(vec![], vec![self.record.borrow().clone()]);
    }

    pub(crate) fn record(&self) -> KeyRecord {
        self.record.borrow().clone()
    }

    pub(crate) fn play(&self, script: impl IntoIterator<Item = Played>) {
        self.script.borrow_mut().extend(script);
    }

    pub(crate) fn request(&self, body: &str) -> ClientRequest {
        ClientRequest {
            method: "POST".to_owned(),
            path: "/v1/chat/completions".to_owned(),
            credentials: vec![format!("Bearer {}", self.key.reveal())],
            body: body.as_bytes().to_vec(),
            ..ClientRequest::default()
        }
    }

    /// Serves a request and gives the one answer to it.
    pub(crate) fn serve(&self, request: &ClientRequest) -> Answered {
        *self.request_body.borrow_mut() = request.body.clone();
        let before = self.answers.borrow().len();
        let surface = Surface::of(&request.path, &request.query).unwrap_or(Surface::Chat);
        once(pipeline::serve(self, request, &surface));
        let answers = self.answers.borrow();
        assert_eq!(answers.len(), before + 1, "one answer to one request");
        self.tell(&answers[before]);
        answers[before].clone()
    }

    pub(crate) fn ask(&self, body: &str) -> Answered {
        self.serve(&self.request(body))
    }

    /// Tells the answer to the record of its idempotency key, as the edge does while it gives it.
    fn tell(&self, answer: &Answered) {
        let ending = self.ending.take();
        let Some((place, token)) = self.telling.take() else { return };
        let mut head = answer.status.to_string();
        for (name, value) in &answer.headers {
            head += &format!("\n{name}\n{value}");
        }
        let mut kept = self.kept.borrow_mut();
        let (record, bytes) = kept.get_mut(&place).unwrap();
        let put = Put { token, from: 0, head: Some(head), end: Some(ending.unwrap_or(End::Drop)) };
        let put: Put = serde_json::from_str(&serde_json::to_string(&put).unwrap()).unwrap();
        record.put(self.now.get(), &put, answer.body.len() as u64, false);
        bytes.clone_from(&answer.body);
    }

    /// The rows of the only settlement told.
    pub(crate) fn rows(&self) -> Vec<LedgerRow> {
        let told = self.told.borrow();
        assert_eq!(told.len(), 1, "one settlement: {told:?}");
        assert_eq!(told[0].reply, Reply::Settled);
        told[0].rows()
    }

    /// Settled, and held now.
    pub(crate) fn money(&self) -> (NanoUsd, NanoUsd) {
        match self.object.borrow_mut().run(self.now.get(), &Command::Inspect) {
            Reply::Inspection(inspection) => (inspection.spent_total_nanousd, inspection.held_nanousd),
            other => panic!("{other:?}"),
        }
    }

    /// What is taken of the key's first budget, and the budget.
    pub(crate) fn taken(&self) -> (NanoUsd, NanoUsd) {
        let key = self.record.borrow().id.clone();
        match self.object.borrow_mut().run(self.now.get(), &Command::Describe { key, user: None }) {
            Reply::Limits { limits } => match &limits[0].figures {
                LimitFigures::Budget { limit_nanousd, spent_nanousd, held_nanousd, .. } => {
                    (spent_nanousd.plus(*held_nanousd), *limit_nanousd)
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn evict_object(&self) {
        self.object.borrow_mut().evict(self.now.get());
    }

    /// Lets the object work off its alarms; gives what D1 then has.
    pub(crate) fn settle_down(&self) -> Vec<LedgerRow> {
        let mut object = self.object.borrow_mut();
        for _ in 0..50 {
            let Some(at) = object.alarm else { break };
            self.now.set(self.now.get().max(at));
            object.wake(self.now.get());
        }
        object.d1.clone()
    }

    fn pass(&self, ms: u64) {
        self.now.set(self.now.get().plus_ms(i64::try_from(ms).unwrap()));
    }

    /// Everything that left the core, as text: to find what must not be in it.
    pub(crate) fn everything_recorded(&self) -> String {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut text = format!("{:?}", self.holds.borrow());
        for call in self.calls.borrow().iter() {
            text += &format!("{} {:?} {}", call.url, call.headers, lossy(&call.body));
        }
        for answer in self.answers.borrow().iter() {
            text += &format!("{:?} {}", answer.headers, lossy(&answer.body));
        }
        text + &self.recorded_by_us()
    }

    /// The log, the ledger and what the object has stored of requests.
    pub(crate) fn recorded_by_us(&self) -> String {
        let object = self.object.borrow();
        format!("{:?} {:?} {:?} {:?}", self.logs.borrow(), self.told.borrow(), object.entries, object.d1)
    }

    fn answer(&self, status: u16, headers: Headers, body: Vec<u8>, closed: bool, left: bool) {
        let calls = self.calls.borrow().len();
        self.answers.borrow_mut().push(Answered { status, headers, body, closed, left, calls });
    }
}

/// Polls once.
pub(crate) fn once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("something waited"),
    }
}

impl World for Fake {
    fn now(&self) -> Timestamp {
        self.now.get()
    }

    fn random(&self) -> [u8; 16] {
        let next = || {
            let mut x = self.dice.get();
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            self.dice.set(x);
            x.to_le_bytes()
        };
        let (a, b) = (next(), next());
        std::array::from_fn(|at| if at < 8 { a[at] } else { b[at - 8] })
    }

    fn header(&self, name: &str) -> Option<String> {
        self.client_headers.borrow().get(name).cloned()
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.borrow().get(name).cloned()
    }

    async fn policy(&self) -> Result<Rc<Policy>, Fault> {
        if self.policy_fault.get() {
            return Err(Fault("KV and D1 are away".to_owned()));
        }
        Ok(Rc::clone(&self.policy.borrow()))
    }

    async fn key(
        &self,
        customer: &CustomerId,
        digest: &KeyDigest,
        fresh: bool,
    ) -> Result<Option<Rc<KeyRecord>>, Fault> {
        if self.key_fault.get() {
            return Err(Fault("object: away".to_owned()));
        }
        if let Some(record) =
            self.remembered.borrow().clone().filter(|record| !fresh && record.digest == *digest)
        {
            return Ok(Some(Rc::new(record)));
        }
        if *customer != self.record.borrow().customer {
            return Ok(None);
        }
        let lookup = Command::Lookup { digest: digest.clone() };
        match self.object.borrow_mut().run(self.now.get(), &lookup) {
            Reply::Key { record } => Ok(record.map(Rc::new)),
            other => panic!("{other:?}"),
        }
    }

    fn wallet<T>(&self, run: impl FnOnce(&mut Wallet) -> T) -> T {
        run(&mut self.wallet.borrow_mut())
    }

    fn keep_wallet(&self) {}

    async fn ledger(&self, customer: &CustomerId, command: &Command) -> Result<Reply, Fault> {
        assert_eq!(*customer, self.record.borrow().customer);
        let number = self.ledger_calls.get() + 1;
        self.ledger_calls.set(number);
        let fault = self.ledger_fault.get().filter(|(nth, _)| *nth == number).map(|(_, fault)| fault);
        if fault == Some(LedgerFault::Broke) {
            return Err(Fault("object: connection lost".to_owned()));
        }
        let mut object = self.object.borrow_mut();
        let mut reply = object.run(self.now.get(), command);
        match fault {
            Some(LedgerFault::BrokeButLanded) => return Err(Fault("object: connection lost".to_owned())),
            Some(LedgerFault::LostOnce) => reply = object.run(self.now.get(), command),
            _ => {}
        }
        match command {
            Command::Hold(hold) => self.holds.borrow_mut().push((hold.clone(), reply.clone())),
            Command::Settle(settlement) => self.released.borrow_mut().push(settlement.clone()),
            _ => {}
        }
        Ok(reply)
    }

    fn settle(&self, customer: &CustomerId, command: &Command) {
        assert_eq!(*customer, self.record.borrow().customer);
        let Command::Settle(settlement) = command else { panic!("not a settlement: {command:?}") };
        let mut object = self.object.borrow_mut();
        let bound = object.bound_of(&settlement.ticket);
        let reply = object.run(self.now.get(), command);
        self.told.borrow_mut().push(Told { settlement: settlement.clone(), reply, bound });
    }

    async fn claim(&self, place: &str, claim: &Claim) -> Result<Claimed, Fault> {
        if self.claim_fault.get() {
            return Err(Fault("answer record: connection lost".to_owned()));
        }
        let claim: Claim = serde_json::from_str(&serde_json::to_string(claim).unwrap()).unwrap();
        let mut kept = self.kept.borrow_mut();
        let (record, bytes) = kept.entry(place.to_owned()).or_default();
        let (claimed, _) = record.claim(self.now.get(), &claim);
        match &claimed {
            Claimed::New => *self.telling.borrow_mut() = Some((place.to_owned(), claim.token)),
            Claimed::Answer { .. } => {
                self.found.replace((record.head().unwrap().to_owned(), bytes.clone()));
            }
            _ => {}
        }
        Ok(serde_json::from_str(&serde_json::to_string(&claimed).unwrap()).unwrap())
    }

    async fn replay(&self, stored: bool, _: String) {
        let (head, body) = self.found.take();
        let mut lines = head.lines();
        let status = lines.next().unwrap().parse().unwrap();
        let mut headers: Headers = Vec::new();
        while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
            headers.push((String::leak(name.to_owned()), value.to_owned()));
        }
        headers.push(("x-edgehold-idempotent-replay", if stored { "stored" } else { "attached" }.to_owned()));
        self.answer(status, headers, body, true, false);
    }

    async fn send(&self, call: Outgoing) -> Sent {
        self.discard();
        self.held_answer.replace(None);
        let (edited, body) = match &call.body {
            OutgoingBody::AsReceived => (false, self.request_body.borrow().clone()),
            OutgoingBody::Edited(body) => (true, body.clone()),
            OutgoingBody::Played(script) => (true, script.clone().into_bytes()),
        };
        self.calls.borrow_mut().push(Call {
            url: call.url,
            headers: call.headers,
            body,
            edited,
            stream: call.stream,
            secret: call.credential.map(|credential| credential.secret),
            at: self.now.get(),
        });
        assert!(call.timeout_ms > 0);
        let played = self.script.borrow_mut().pop_front();
        let json = |status: u16, retry_after: &str| Head {
            status,
            content_type: "application/json".to_owned(),
            retry_after: retry_after.to_owned(),
            upstream_id: "up-1".to_owned(),
        };
        match played.unwrap_or(Played::Connect) {
            Played::Answer { after_ms, .. } if after_ms >= call.timeout_ms => {
                self.pass(call.timeout_ms);
                Sent::Failed(SendFault::Timeout)
            }
            Played::Answer { status, retry_after, body, after_ms } => {
                self.pass(after_ms);
                self.held_answer.replace(Some(body.clone()));
                Sent::Answer { head: json(status, retry_after), body }
            }
            // An event stream is one only to who asked for it.
            Played::Stream { pieces, .. } if !call.stream => {
                let body = pieces.concat();
                self.held_answer.replace(Some(body.clone()));
                Sent::Answer { head: json(200, ""), body }
            }
            Played::Stream { pieces, ending } => {
                self.open.replace(Some(Open { pieces: pieces.into(), peeked: Vec::new(), ending }));
                Sent::Stream(Head { content_type: "text/event-stream".to_owned(), ..json(200, "") })
            }
            Played::Connect => Sent::Failed(SendFault::Connect("connection refused".to_owned())),
            Played::Timeout => {
                self.pass(call.timeout_ms);
                Sent::Failed(SendFault::Timeout)
            }
            Played::CredentialLate => {
                self.pass(call.timeout_ms.min(1_000));
                Sent::Failed(SendFault::CredentialLate("no access token from a.example".to_owned()))
            }
            Played::CredentialUnusable => {
                Sent::Failed(SendFault::CredentialUnusable("no access token: invalid_grant".to_owned()))
            }
            Played::SecretMissing => Sent::Failed(SendFault::SecretMissing("ONE_KEY".to_owned())),
        }
    }

    async fn peek(&self, timeout_ms: u64) -> Peeked {
        let mut open = self.open.borrow_mut();
        let open = open.as_mut().expect("no stream is under way");
        match (open.pieces.pop_front(), open.ending) {
            (Some(piece), _) => {
                open.peeked.extend_from_slice(&piece);
                Peeked::Bytes(piece)
            }
            (None, Ending::Close) => Peeked::End,
            (None, Ending::Break) => Peeked::Broken("connection reset".to_owned()),
            (None, Ending::Stall | Ending::ClientLeaves) => {
                self.pass(timeout_ms);
                Peeked::Timeout
            }
        }
    }

    fn discard(&self) {
        self.open.replace(None);
    }

    async fn sleep(&self, ms: u64) {
        self.slept.borrow_mut().push(ms);
        self.pass(ms);
    }

    fn respond(&self, status: u16, headers: Headers, body: AnswerBody) {
        let kept = idempotency::is_kept(status, &body);
        self.ending.set(Some(if kept { End::Keep } else { End::Share }));
        let body = match body {
            AnswerBody::Text(text) => text.into_bytes(),
            AnswerBody::Upstream => {
                self.held_answer.borrow().clone().expect("no answer of a provider is held")
            }
        };
        self.answer(status, headers, body, true, false);
    }

    async fn relay(&self, headers: Headers, relay: Relay, idle_ms: u64, total_ms: u64) -> Relayed {
        let open = self.open.take().expect("no stream is under way");
        let (mut seen, mut bytes) = match &relay {
            Relay::Untouched => (open.peeked, Vec::new()),
            Relay::Filtered(_, first) => (first.clone(), Vec::new()),
        };
        for piece in &open.pieces {
            match &relay {
                Relay::Untouched => {
                    seen.extend_from_slice(piece);
                    bytes.extend_from_slice(piece);
                }
                Relay::Filtered(filter, _) => seen.extend(filter.borrow_mut().push(piece)),
            }
        }
        let end = match open.ending {
            Ending::Close => RelayEnd::End,
            Ending::Break => RelayEnd::Broken("connection reset".to_owned()),
            Ending::Stall => {
                self.pass(idle_ms.min(total_ms));
                RelayEnd::Timeout
            }
            Ending::ClientLeaves => RelayEnd::ClientGone,
        };
        let left = end == RelayEnd::ClientGone;
        self.answer(200, headers, seen, left, left);
        Relayed { end, bytes }
    }

    fn end_stream(&self, tail: String) {
        self.ending.set(Some(End::Keep));
        let mut answers = self.answers.borrow_mut();
        let answer = answers.last_mut().expect("no stream was begun");
        if answer.left && tail.is_empty() {
            return;
        }
        assert!(!answer.closed, "closed twice, or told something after the client had left");
        answer.body.extend_from_slice(tail.as_bytes());
        answer.closed = true;
    }

    async fn sql_in(&self, _: &str, _: &[Statement]) -> Result<Vec<Value>, Fault> {
        panic!("a chat request never asks D1")
    }

    async fn publish(&self, _: &str, _: String) -> Result<(), Fault> {
        panic!("a chat request never writes to KV")
    }

    fn adopt_policy(&self, _: Rc<Policy>) {
        panic!("a chat request never changes the policy")
    }

    fn forget_key(&self, _: &KeyDigest) {
        panic!("a chat request never changes a key")
    }

    fn knows_zone(&self, zone: &str) -> bool {
        zone == "Europe/Berlin"
    }

    fn log(&self, message: &str) {
        self.logs.borrow_mut().push(message.to_owned());
    }
}
