//! Isolates, messages and time: a discrete-event simulation around the real wallet and the real ledger.

use crate::{
    draw::{Draw, Zipf},
    object::Object,
    report::Outcome,
    scenario::Scenario,
    text,
    truth::{Meter, Request, Whose},
};
use edgehold::{
    admit::{
        limit::{Amounts, Unit},
        wallet::{Asked, TICK_MS, Wallet},
        wire::{Command, Hold, Level, LimitFigures, NodeSpec, Refusal, Reply, Settlement, Standing},
    },
    model::{
        id::{CustomerId, KeyId},
        money::NanoUsd,
        time::Timestamp,
    },
    settle::row::{LedgerRow, Outcome as Ended},
};
use serde_json::value::RawValue;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    rc::Rc,
};

/// How the Worker treats refusals that a recall may undo (`src/pipeline.rs`), calls that fail and its keeper
/// (`src/edge/glue.js`).
const RECALL_TRIES: u32 = 7;
const RECALL_WAIT_MS: i64 = 250;
const HOLD_TRIES: u32 = 3;
const SETTLE_TRIES: u32 = 8;
const KEEPER_MS: i64 = 15_000;
/// The runtime ends a background task so long after its request.
const TASK_MS: i64 = 30_000;
/// A message that is lost is noticed after so long.
const LOST_MS: i64 = 1_000;
/// An object that crashed answers again after so long.
const RESTART_MS: i64 = 100;
const HOLD_TTL_MS: i64 = 120_000;
const BLOCK_MS: i64 = 20_000;
/// After the last request: leases end, holds expire, the outbox empties.
const AFTERMATH_MS: i64 = 15 * 60_000;

struct Isolate {
    wallet: Wallet,
    epoch: u32,
    keeper: u64,
    distance: f64,
    skew: i64,
    drift: f64,
    /// Requests that may not be settled yet.
    recent: VecDeque<u32>,
}

#[derive(Clone, Copy)]
enum Purpose {
    Hold { request: u32, recalls: u32 },
    Report,
    Settle { request: u32 },
}

/// A call of the object.
struct Call {
    isolate: usize,
    epoch: u32,
    /// When the runtime ends whoever waits for the answer.
    deadline: i64,
    purpose: Purpose,
    lease: String,
    command: Command,
    tries: u32,
    /// By the isolate's clock.
    sent_at: Timestamp,
}

enum Event {
    Arrive,
    Send(Box<Call>),
    /// The flag: whether anybody hears the answer.
    AtObject(Rc<Call>, bool),
    Answer(Rc<Call>, Box<Reply>),
    Fail(Rc<Call>),
    End {
        request: u32,
        isolate: u32,
        epoch: u32,
    },
    ExactEnd(u32),
    Tick {
        isolate: usize,
        epoch: u32,
        keeper: u64,
        began: i64,
        relieved: bool,
    },
    Alarm,
    Kill,
    Crash,
    Block {
        key: usize,
        on: bool,
    },
    Sample,
}

struct At(i64, u64, Event);

impl PartialEq for At {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for At {}
impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for At {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

struct Key {
    id: KeyId,
    kind: String,
    revision: u64,
    blocked_since: Option<i64>,
    gateway: Vec<Meter>,
    exact: Vec<Meter>,
}

pub struct World {
    plan: Scenario,
    draw: Draw,
    now: i64,
    events: BinaryHeap<Reverse<At>>,
    order: u64,
    object: Object,
    alarm: Option<i64>,
    down_until: i64,
    isolates: Vec<Isolate>,
    which_isolate: Zipf,
    which_key: Zipf,
    keys: Vec<Key>,
    /// The customer's limits: what the gateway lets through, and what the exact one does.
    gateway: Vec<Meter>,
    exact: Vec<Meter>,
    requests: Vec<Request>,
    customer: CustomerId,
    row: LedgerRow,
    keepers: u64,
    pub outcome: Outcome,
}

fn ticket(request: u32) -> String {
    format!("req_{request}")
}

impl World {
    pub fn new(plan: &Scenario) -> Self {
        let mut draw = Draw::new(plan.seed);
        let isolates = (0..plan.isolates)
            .map(|_| Isolate {
                wallet: Wallet::default(),
                epoch: 0,
                keeper: 0,
                distance: draw.log_between(plan.rtt.0, plan.rtt.1),
                skew: (draw.between(-1.0, 1.0) * plan.clocks as f64) as i64,
                drift: draw.between(-1e-4, 1e-4),
                recent: VecDeque::new(),
            })
            .collect();
        let meters = |limits: &edgehold::admit::limit::Limits, whose| {
            limits.all().iter().map(|limit| Meter::new(limit, whose)).collect::<Vec<_>>()
        };
        let keys = (0..plan.keys)
            .map(|n| Key {
                id: KeyId(format!("key_{n}")),
                kind: format!("k{n}"),
                revision: 1,
                blocked_since: None,
                gateway: meters(&plan.key, Whose::Gateway),
                exact: meters(&plan.key, Whose::Exact),
            })
            .collect();
        let customer = CustomerId("cus_a".to_owned());
        let row = LedgerRow {
            attempt: 1,
            customer_id: customer.0.clone(),
            key_id: "key".to_owned(),
            route: "default".to_owned(),
            requested_model: "m".to_owned(),
            provider: "p".to_owned(),
            model: "m".to_owned(),
            outcome: Ended::Ok,
            status: 200,
            price_version: "1".to_owned(),
            duration_ms: 1,
            ..LedgerRow::default()
        };
        let mut world = Self {
            now: plan.start,
            events: BinaryHeap::new(),
            order: 0,
            object: Object::new(plan.wire),
            alarm: None,
            down_until: i64::MIN,
            isolates,
            which_isolate: Zipf::new(plan.isolates, plan.skew),
            which_key: Zipf::new(plan.keys, plan.skew),
            keys,
            gateway: meters(&plan.customer, Whose::Gateway),
            exact: meters(&plan.customer, Whose::Exact),
            requests: vec![],
            customer,
            row,
            keepers: 0,
            outcome: Outcome::default(),
            plan: plan.clone(),
            draw,
        };
        world.publish();
        world
    }

    fn publish(&mut self) {
        let node = |id: &str, level, limits: &edgehold::admit::limit::Limits, blocked, revision| NodeSpec {
            id: id.to_owned(),
            level,
            team: None,
            limits: limits.clone(),
            each_user: None,
            blocked,
            expires_at: None,
            revision,
        };
        let mut nodes = vec![node("cus_a", Level::Customer, &self.plan.customer, false, 1)];
        for key in &self.keys {
            let blocked = key.blocked_since.is_some();
            nodes.push(node(key.id.as_str(), Level::Key, &self.plan.key, blocked, key.revision));
        }
        self.object.apply(self.now, &Command::Publish { nodes, keys: vec![] });
    }

    fn later(&mut self, ms: f64, event: Event) {
        self.order += 1;
        self.events.push(Reverse(At(self.now + ms.round() as i64, self.order, event)));
    }

    /// What an isolate's clock shows.
    fn clock(&self, isolate: usize) -> Timestamp {
        let one = &self.isolates[isolate];
        let gone = (self.now - self.plan.start) as f64;
        Timestamp(self.now + one.skew + (gone * one.drift) as i64)
    }

    fn ending(&self) -> bool {
        self.now >= self.plan.start + self.plan.length
    }

    /// To the end. Panics where the gateway's books are wrong; what is merely bad is in the outcome.
    pub fn run(mut self) -> Outcome {
        self.later(0.0, Event::Arrive);
        self.later(1.0, Event::Sample);
        for (every, event) in [(self.plan.kill_every, Event::Kill), (self.plan.crash_every, Event::Crash)] {
            if let Some(every) = every {
                self.later(every, event);
            }
        }
        if let Some(every) = self.plan.block_every {
            self.later(every as f64, Event::Block { key: 0, on: true });
        }
        while let Some(Reverse(At(at, _, event))) = self.events.pop() {
            if at > self.plan.start + self.plan.length + AFTERMATH_MS {
                break;
            }
            self.now = at;
            self.handle(event);
            // The object's alarm is one, and may be set anew.
            if self.object.alarm != self.alarm {
                self.alarm = self.object.alarm;
                if let Some(at) = self.alarm {
                    self.later((at - self.now).max(0) as f64, Event::Alarm);
                }
            }
        }
        self.finish();
        self.outcome
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrive => self.arrive(),
            Event::Send(call) => self.send(*call),
            Event::AtObject(call, heard) => self.at_object(call, heard),
            Event::Answer(call, reply) => self.answer(&call, Some(*reply)),
            Event::Fail(call) => self.fail(call),
            Event::End { request, isolate, epoch } => self.end(request, isolate as usize, epoch),
            Event::ExactEnd(index) => {
                let request = &self.requests[index as usize];
                let at = request.exact.expect("it was admitted");
                for meter in self.exact.iter_mut().chain(&mut self.keys[request.key as usize].exact) {
                    meter.roll(self.now, &self.requests);
                    meter.end(request, at, self.now);
                }
                self.requests[index as usize].exact_ended = true;
            }
            Event::Tick { isolate, epoch, keeper, began, relieved } => {
                self.tick(isolate, epoch, keeper, began, relieved);
            }
            Event::Alarm => {
                if self.object.alarm.is_some_and(|at| at <= self.now) {
                    let away = self
                        .plan
                        .d1_away
                        .is_some_and(|(from, to)| (from..to).contains(&(self.now - self.plan.start)));
                    self.object.ring(self.now, !away);
                }
            }
            Event::Kill => self.kill(),
            Event::Crash => {
                if !self.ending() {
                    self.object.crash(self.now);
                    self.outcome.crashes += 1;
                    self.down_until = self.now + RESTART_MS;
                    let every = self.plan.crash_every.unwrap_or_default();
                    let next = self.draw.waiting(1.0 / every);
                    self.later(next, Event::Crash);
                }
            }
            Event::Block { key, on } => self.block(key, on),
            Event::Sample => self.sample(),
        }
    }

    fn arrive(&mut self) {
        if self.ending() {
            return;
        }
        let gone = self.now - self.plan.start;
        let mut per_ms = self.plan.rate / 1_000.0;
        if let Some((every, length, factor)) = self.plan.burst {
            per_ms *= if gone % every < length { factor } else { 1.0 };
        }
        let mut wait = self.draw.waiting(per_ms);
        // Several in one millisecond are as many events.
        while wait < 0.5 {
            self.one_arrives();
            wait += self.draw.waiting(per_ms);
        }
        self.one_arrives();
        self.later(wait.min(1_000.0), Event::Arrive);
    }

    fn one_arrives(&mut self) {
        let draw = &mut self.draw;
        let isolate = self.which_isolate.draw(draw);
        let key = self.which_key.draw(draw);
        let cost = draw.log_normal(self.plan.cost, 1.0).clamp(self.plan.cost / 20.0, self.plan.cost * 20.0);
        let input = draw.log_between(50.0, 4_000.0) as i64;
        let used_output = draw.log_between(10.0, 500.0) as i64;
        let mut request = Request {
            key: key as u32,
            arrived: self.now,
            latency: draw.log_normal(1_500.0, 1.0).clamp(200.0, 30_000.0) as i64,
            bound: (cost * draw.log_between(5.0, 30.0)) as i64,
            cost: cost as i64,
            input,
            output: used_output * 8,
            used_output,
            admitted: None,
            ended: false,
            lost: false,
            fitted: false,
            exact: None,
            exact_ended: false,
        };
        let index = self.requests.len() as u32;
        self.outcome.requests += 1;
        request.exact = self.exact_decides(index, &request).then_some(self.now);
        self.requests.push(request);
        self.object.rows.push(0);
        self.admit(index, isolate);
    }

    /// The gateway that knows everything at once, fed with the same requests.
    fn exact_decides(&mut self, index: u32, request: &Request) -> bool {
        let key = &mut self.keys[request.key as usize];
        let mut admitted = key.blocked_since.is_none();
        for meter in self.exact.iter_mut().chain(&mut key.exact) {
            meter.roll(self.now, &self.requests);
            admitted &= meter.fits(request);
        }
        if !admitted {
            return false;
        }
        for meter in self.exact.iter_mut().chain(&mut key.exact) {
            meter.admit(index, request, self.now);
        }
        self.outcome.exact_admitted += 1;
        let latency = request.latency as f64;
        self.later(latency, Event::ExactEnd(index));
        true
    }

    fn amounts(request: &Request) -> Amounts {
        Amounts { money: NanoUsd(request.bound), requests: 1, input: request.input, output: request.output }
    }

    fn unsettled(&self, index: u32) -> Box<RawValue> {
        let row = LedgerRow { request_id: ticket(index), ..self.row.clone() };
        RawValue::from_string(text(&row)).expect("a row is JSON")
    }

    fn admit(&mut self, index: u32, isolate: usize) {
        let now = self.clock(isolate);
        let request = self.requests[index as usize].clone();
        let key = &self.keys[request.key as usize];
        let asked = Asked {
            customer: &self.customer,
            key: &key.id,
            kind: &key.kind,
            user: false,
            amounts: Self::amounts(&request),
        };
        let unsettled = self.unsettled(index);
        let wallet = &mut self.isolates[isolate].wallet;
        if wallet.admit(now, &asked, &ticket(index), HOLD_TTL_MS, || unsettled.clone()).is_some() {
            self.outcome.from_leases += 1;
            self.admitted(index);
            self.start(index, isolate);
            self.keep_wallet(isolate);
            return;
        }
        let lease = wallet.wish(now, &asked, || format!("lea_{index}"));
        let command = Command::Hold(Hold {
            ticket: ticket(index),
            key: key.id.clone(),
            bound: Some(NanoUsd(request.bound)),
            tokens: (request.input + request.output).unsigned_abs(),
            input: request.input.unsigned_abs(),
            ttl_ms: HOLD_TTL_MS,
            extends: false,
            route: None,
            user: None,
            models: vec!["m".to_owned()],
            explain: true,
            lease,
            from_lease: None,
            unsettled,
        });
        self.call(isolate, Purpose::Hold { request: index, recalls: 1 }, "", command, i64::MAX);
    }

    /// Somebody has decided that it may go.
    fn admitted(&mut self, index: u32) {
        let (now, request) = (self.now, &self.requests[index as usize]);
        if request.admitted.is_some() {
            return;
        }
        let key = &mut self.keys[request.key as usize];
        if let Some(since) = key.blocked_since {
            self.outcome.after_block = self.outcome.after_block.max(now - since);
        }
        for meter in self.gateway.iter_mut().chain(&mut key.gateway) {
            meter.roll(now, &self.requests);
            meter.admit(index, request, now);
            self.outcome.overspend = self.outcome.overspend.max(meter.worst - meter.limit);
        }
        self.requests[index as usize].admitted = Some(now);
    }

    fn start(&mut self, index: u32, isolate: usize) {
        self.outcome.admitted += 1;
        let epoch = self.isolates[isolate].epoch;
        self.isolates[isolate].recent.push_back(index);
        let latency = self.requests[index as usize].latency as f64;
        self.later(latency, Event::End { request: index, isolate: isolate as u32, epoch });
    }

    /// It will never be sent.
    fn take_back(&mut self, index: u32) {
        let request = &self.requests[index as usize];
        let Some(at) = request.admitted else { return };
        for meter in self.gateway.iter_mut().chain(&mut self.keys[request.key as usize].gateway) {
            meter.roll(self.now, &self.requests);
            meter.take_back(request, at, self.now);
        }
        self.requests[index as usize].admitted = None;
    }

    fn end(&mut self, index: u32, isolate: usize, epoch: u32) {
        let request = &self.requests[index as usize];
        let at = request.admitted.expect("it was admitted");
        for meter in self.gateway.iter_mut().chain(&mut self.keys[request.key as usize].gateway) {
            meter.roll(self.now, &self.requests);
            meter.end(request, at, self.now);
        }
        self.outcome.billed += request.cost;
        let (cost, input, output) = (request.cost, request.input, request.used_output);
        self.requests[index as usize].ended = true;
        if self.isolates[isolate].epoch != epoch {
            return;
        }
        let row = LedgerRow {
            request_id: ticket(index),
            cost_nanousd: NanoUsd(cost),
            input_tokens: input.unsigned_abs(),
            output_tokens: output.unsigned_abs(),
            ..self.row.clone()
        };
        let settlement = Settlement::of(ticket(index), &[row]);
        let now = self.clock(isolate);
        if let Some(settlement) = self.isolates[isolate].wallet.settle(now, settlement) {
            self.call(isolate, Purpose::Settle { request: index }, "", Command::Settle(settlement), i64::MAX);
        }
        self.keep_wallet(isolate);
        let recent = &mut self.isolates[isolate].recent;
        while let Some(&oldest) = recent.front() {
            let request = &self.requests[oldest as usize];
            if request.arrived + request.latency + 60_000 > self.now {
                break;
            }
            recent.pop_front();
        }
    }

    fn keep_wallet(&mut self, isolate: usize) {
        let now = self.clock(isolate);
        let one = &mut self.isolates[isolate];
        if one.wallet.needs_keeper(now) {
            self.keepers += 1;
            one.keeper = self.keepers;
            let (epoch, keeper, began) = (one.epoch, one.keeper, self.now);
            self.later(TICK_MS as f64, Event::Tick { isolate, epoch, keeper, began, relieved: false });
        }
    }

    fn tick(&mut self, isolate: usize, epoch: u32, keeper: u64, began: i64, mut relieved: bool) {
        let now = self.clock(isolate);
        let one = &mut self.isolates[isolate];
        if one.epoch != epoch || one.keeper != keeper || self.now - began > TASK_MS {
            return;
        }
        let mut due = one.wallet.reports(now);
        // The wallet's own order is not the same in every run.
        due.sort_by(|a, b| a.1.cmp(&b.1));
        if due.is_empty() && one.wallet.is_empty() {
            one.wallet.dismiss_keeper();
            one.keeper = 0;
            return;
        }
        if !relieved && self.now - began > KEEPER_MS {
            relieved = true;
            one.wallet.dismiss_keeper();
        }
        for (_, lease, command) in due {
            match &command {
                Command::Settle(settlement) => {
                    let request = settlement.ticket.strip_prefix("req_").and_then(|n| n.parse().ok());
                    let request = request.expect("tickets are numbers");
                    self.call(isolate, Purpose::Settle { request }, "", command, began + TASK_MS);
                }
                _ => self.call(isolate, Purpose::Report, &lease, command, began + TASK_MS),
            }
        }
        self.later(TICK_MS as f64, Event::Tick { isolate, epoch, keeper, began, relieved });
    }

    fn call(&mut self, isolate: usize, purpose: Purpose, lease: &str, command: Command, deadline: i64) {
        let tries = match purpose {
            Purpose::Hold { .. } => HOLD_TRIES,
            Purpose::Report => 1,
            Purpose::Settle { .. } => SETTLE_TRIES,
        };
        let one = &self.isolates[isolate];
        let (epoch, sent_at) = (one.epoch, self.clock(isolate));
        let lease = lease.to_owned();
        self.send(Call { isolate, epoch, deadline, purpose, lease, command, tries, sent_at });
    }

    fn one_way(&mut self, isolate: usize) -> f64 {
        let distance = self.isolates[isolate].distance;
        (distance * self.draw.between(0.35, 0.75)).min(self.plan.rtt.1 / 2.0)
    }

    fn send(&mut self, call: Call) {
        if self.isolates[call.isolate].epoch != call.epoch {
            return self.abandoned(&call);
        }
        self.outcome.calls += 1;
        match call.purpose {
            Purpose::Hold { .. } => self.outcome.holds += 1,
            Purpose::Report => self.outcome.reports += 1,
            Purpose::Settle { .. } => self.outcome.settles += 1,
        }
        let call = Rc::new(call);
        let there = self.one_way(call.isolate);
        if self.draw.chance(self.plan.loss) {
            return self.later(LOST_MS as f64, Event::Fail(call));
        }
        // A hold is not: it is repeated only by whoever waits for its answer.
        let hold = matches!(call.purpose, Purpose::Hold { .. });
        if !hold && self.draw.chance(self.plan.doubled) {
            let again = there + self.draw.between(0.0, 400.0);
            self.later(again, Event::AtObject(Rc::clone(&call), false));
        }
        self.later(there, Event::AtObject(call, true));
    }

    fn at_object(&mut self, call: Rc<Call>, heard: bool) {
        let back = self.one_way(call.isolate);
        if self.now < self.down_until {
            if heard {
                self.later(back, Event::Fail(call));
            }
            return;
        }
        self.outcome.commands += 1;
        let reply = self.object.apply(self.now, &call.command);
        if let (Purpose::Hold { request, .. }, Reply::Held(_)) = (call.purpose, &reply)
            && heard
        {
            self.admitted(request);
        }
        if !heard {
            return;
        }
        if let (Purpose::Hold { request, .. }, Reply::Denied(..)) = (call.purpose, &reply) {
            self.outcome.denials += 1;
            self.requests[request as usize].fitted = self.fits(request);
        }
        if self.draw.chance(self.plan.loss) {
            self.later(LOST_MS as f64, Event::Fail(call));
        } else {
            self.later(back, Event::Answer(call, Box::new(reply)));
        }
    }

    fn fail(&mut self, call: Rc<Call>) {
        if call.tries <= 1 {
            return self.answer(&call, None);
        }
        if self.isolates[call.isolate].epoch != call.epoch {
            return self.abandoned(&call);
        }
        let tries = call.tries - 1;
        let pause = 100.0 * self.draw.between(0.5, 1.5);
        let again = Call { tries, command: call.command.clone(), lease: call.lease.clone(), ..*call };
        self.later(pause, Event::Send(Box::new(again)));
    }

    /// Nobody is there any more who would repeat it.
    fn abandoned(&mut self, call: &Call) {
        match call.purpose {
            Purpose::Hold { request, .. } => {
                self.take_back(request);
                self.requests[request as usize].lost = true;
                self.outcome.cut_off += 1;
            }
            Purpose::Settle { request } => self.requests[request as usize].lost = true,
            Purpose::Report => {}
        }
    }

    fn answer(&mut self, call: &Call, reply: Option<Reply>) {
        let isolate = call.isolate;
        if self.isolates[isolate].epoch != call.epoch {
            return self.abandoned(call);
        }
        let now = self.clock(isolate);
        match call.purpose {
            Purpose::Report => {
                if self.now > call.deadline {
                    self.outcome.unheard += 1;
                } else {
                    self.isolates[isolate].wallet.reported(now, &call.lease, reply);
                }
            }
            Purpose::Settle { request } => {
                if reply.is_none() {
                    self.requests[request as usize].lost = true;
                }
            }
            Purpose::Hold { request, recalls } => self.held(call, request, recalls, reply),
        }
    }

    fn held(&mut self, call: &Call, index: u32, recalls: u32, reply: Option<Reply>) {
        let isolate = call.isolate;
        let now = self.clock(isolate);
        let request = self.requests[index as usize].clone();
        let key = &self.keys[request.key as usize];
        let asked = Asked {
            customer: &self.customer,
            key: &key.id,
            kind: &key.kind,
            user: false,
            amounts: Self::amounts(&request),
        };
        let wallet = &mut self.isolates[isolate].wallet;
        match reply {
            Some(Reply::Held(standing)) => {
                wallet.granted(now, call.sent_at, &asked, &standing);
                self.start(index, isolate);
                self.keep_wallet(isolate);
            }
            Some(Reply::Denied(refusal, _)) if refusal.recalled() && recalls < RECALL_TRIES => {
                let purpose = Purpose::Hold { request: index, recalls: recalls + 1 };
                let sent_at = now.plus_ms(RECALL_WAIT_MS);
                let (command, lease) = (call.command.clone(), call.lease.clone());
                let again = Call { purpose, command, lease, sent_at, tries: HOLD_TRIES, ..*call };
                self.later(RECALL_WAIT_MS as f64, Event::Send(Box::new(again)));
            }
            Some(Reply::Denied(refusal, standing)) => self.refused(index, &refusal, &standing),
            Some(other) => panic!("a hold was answered with {other:?}"),
            None => {
                if let Command::Hold(Hold { lease: Some(ask), .. }) = &call.command {
                    wallet.unanswered(now, &asked, &ask.id);
                    self.keep_wallet(isolate);
                }
                self.outcome.unavailable += 1;
                self.take_back(index);
                let release = Command::Settle(Settlement::of(ticket(index), &[]));
                self.call(isolate, Purpose::Settle { request: index }, "", release, i64::MAX);
            }
        }
    }

    fn refused(&mut self, index: u32, refusal: &Refusal, _: &Standing) {
        self.outcome.refused += 1;
        if self.outcome.first_refusal.is_none() && !matches!(refusal, Refusal::Blocked { .. }) {
            let share = self.gateway.iter().map(|meter| meter.billed as f64 / meter.limit as f64);
            self.outcome.first_refusal = Some(share.fold(0.0, f64::max));
        }
        if self.requests[index as usize].fitted {
            self.outcome.false_refusals += 1;
            if refusal.recalled() {
                self.outcome.false_leased += 1;
            }
        }
    }

    /// Whether a gateway that knew of every end at once would let it through now.
    fn fits(&mut self, index: u32) -> bool {
        let request = &self.requests[index as usize];
        let key = &mut self.keys[request.key as usize];
        let mut fits = key.blocked_since.is_none();
        for meter in self.gateway.iter_mut().chain(&mut key.gateway) {
            meter.roll(self.now, &self.requests);
            fits &= meter.fits(request);
        }
        fits
    }

    fn kill(&mut self) {
        let Some(every) = self.plan.kill_every.filter(|_| !self.ending()) else { return };
        // Busy ones as often as they are busy.
        let isolate = self.which_isolate.draw(&mut self.draw);
        let one = &mut self.isolates[isolate];
        let wallet = std::mem::take(&mut one.wallet);
        one.epoch += 1;
        for index in std::mem::take(&mut one.recent) {
            let request = &mut self.requests[index as usize];
            request.lost |= !request.ended || wallet.owes(&ticket(index));
        }
        self.outcome.kills += 1;
        let next = self.draw.waiting(1.0 / every);
        self.later(next, Event::Kill);
    }

    fn block(&mut self, key: usize, on: bool) {
        let Some(every) = self.plan.block_every else { return };
        self.keys[key].revision += 1;
        self.keys[key].blocked_since = on.then_some(self.now);
        self.publish();
        if on {
            self.later(BLOCK_MS as f64, Event::Block { key, on: false });
        } else if !self.ending() {
            self.later(every as f64, Event::Block { key: (key + 1) % self.keys.len(), on: true });
        }
    }

    fn sample(&mut self) {
        let Reply::Inspection(books) = self.object.apply(self.now, &Command::Inspect) else {
            panic!("the object did not tell its totals");
        };
        for status in &books.limits {
            let (limit, taken) = match &status.figures {
                LimitFigures::Budget {
                    limit_nanousd, spent_nanousd, held_nanousd, leased_nanousd, ..
                } => (limit_nanousd.0, spent_nanousd.0 + held_nanousd.0 + leased_nanousd.0),
                LimitFigures::Requests(f)
                | LimitFigures::Tokens(f)
                | LimitFigures::InputTokens(f)
                | LimitFigures::OutputTokens(f)
                | LimitFigures::Concurrent(f) => (f.limit, f.used + f.leased),
            };
            self.outcome.overbooked = self.outcome.overbooked.max(taken - limit);
        }
        let ending = self.ending();
        let gone = self.now - self.plan.start;
        for (meters, which) in [(&mut self.gateway, 0), (&mut self.exact, 1)] {
            for (index, meter) in meters.iter_mut().enumerate() {
                meter.roll(self.now, &self.requests);
                // Not before the window is full once.
                if let edgehold::admit::limit::Window::Rolling(ms) = meter.window
                    && gone > 2 * ms
                    && !ending
                {
                    let used = if meter.unit == Unit::Requests { meter.worst } else { meter.billed };
                    let share = used as f64 / meter.limit as f64;
                    self.outcome.filled(index, which, share);
                }
            }
        }
        if let Some(every) = self.plan.trace_every.filter(|_| !ending)
            && let Some(budget) = books.limits.iter().find_map(|status| match &status.figures {
                LimitFigures::Budget {
                    limit_nanousd, spent_nanousd, held_nanousd, leased_nanousd, ..
                } => Some([*limit_nanousd, *spent_nanousd, *held_nanousd, *leased_nanousd]),
                _ => None,
            })
        {
            let billed = self.outcome.billed;
            self.outcome.trace.push((gone, budget.map(|money| money.0), billed));
            self.later(every as f64, Event::Sample);
        } else if !ending {
            self.later(1_000.0, Event::Sample);
        }
    }

    /// The books are closed.
    fn finish(&mut self) {
        self.now = self.plan.start + self.plan.length + AFTERMATH_MS;
        let Reply::Inspection(books) = self.object.apply(self.now, &Command::Inspect) else {
            panic!("the object did not tell its totals");
        };
        let outcome = &mut self.outcome;
        outcome.row_writes = self.object.row_writes;
        outcome.left_behind = self.object.entries.len() as u64 + books.leases + books.held + books.outbox;
        outcome.spent = books.spent_total_nanousd.0;
        outcome.charged_leases = self.object.other_rows;
        let rows = self.object.rows.iter().sum::<i64>() + self.object.other_rows;
        outcome.books_differ = rows - outcome.spent;
        for (request, rows) in self.requests.iter().zip(&self.object.rows) {
            let due = if request.admitted.is_some() { request.cost } else { 0 };
            if !request.lost && *rows != due {
                outcome.wrong_rows += 1;
            }
        }
        outcome.charged_unused = outcome.spent - outcome.billed;
        let share = |meters: &[Meter]| {
            let calendar = |meter: &Meter| {
                let full = meter.windows.iter().map(|(_, billed)| *billed as f64 / meter.limit as f64);
                full.fold(f64::INFINITY, f64::min)
            };
            meters
                .iter()
                .filter(|meter| meter.unit == Unit::Usd)
                .filter_map(|meter| match meter.window {
                    edgehold::admit::limit::Window::Total => Some(meter.billed as f64 / meter.limit as f64),
                    edgehold::admit::limit::Window::Calendar(..) => Some(calendar(meter)),
                    edgehold::admit::limit::Window::Rolling(_) => None,
                })
                .fold(None, |best: Option<f64>, share| Some(best.map_or(share, |best| best.max(share))))
        };
        let shares = [share(&self.gateway), share(&self.exact)];
        outcome.close(shares);
    }
}
