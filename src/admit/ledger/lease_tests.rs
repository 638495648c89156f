//! Isolates and the object together: wallets that are killed, reports that are lost, repeated and late, clocks that differ.

use super::{
    tests::{Object, T0, figures, row},
    *,
};
use crate::{
    admit::{
        wallet::{Asked, LEASE_MS, Wallet},
        wire::{Limit, Unit, Window},
    },
    model::id::CustomerId,
};
use proptest::prelude::*;

mod policy;

/// A request that was sent to a provider.
#[derive(Clone, Debug)]
struct Sent {
    ticket: String,
    isolate: usize,
    bound: i64,
    cost: i64,
    ended: bool,
    /// Its isolate was killed while it was under way, or before anybody had its settlement.
    lost: bool,
}

struct Isolate {
    wallet: Wallet,
    skew_ms: i64,
    /// Reports sent and not answered: lease and command.
    waiting: Vec<(CustomerId, String, Command)>,
}

struct System {
    object: Object,
    isolates: Vec<Isolate>,
    sent: Vec<Sent>,
    now: Timestamp,
    tickets: u32,
    object_calls: u32,
    from_leases: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Arrives,
    /// Never arrives.
    Lost,
    /// Arrives; the answer does not.
    Unanswered,
    /// Arrives twice.
    Doubled,
}

impl System {
    fn new(customer: Limits, key: Limits, skews: &[i64]) -> Self {
        let isolate =
            |skew_ms: &i64| Isolate { wallet: Wallet::default(), skew_ms: *skew_ms, waiting: vec![] };
        Self {
            object: Object::new(customer, Limits::default(), key),
            isolates: skews.iter().map(isolate).collect(),
            sent: vec![],
            now: T0,
            tickets: 0,
            object_calls: 0,
            from_leases: 0,
        }
    }

    fn request(&mut self, isolate: usize, bound: i64, cost: i64, reply_lost: bool) -> bool {
        self.tickets += 1;
        let ticket = format!("req_{}", self.tickets);
        let customer = CustomerId("cus_a".to_owned());
        let key = KeyId("key_a".to_owned());
        let amounts = Amounts { money: NanoUsd(bound), requests: 1, input: 1, output: 2 };
        let asked = Asked { customer: &customer, key: &key, kind: "k", user: false, amounts };
        let one = &mut self.isolates[isolate];
        let now = self.now.plus_ms(one.skew_ms);
        let unsettled = raw(&row(&ticket, 1, 0, 0));
        let admitted = one.wallet.admit(now, &asked, &ticket, 30_000, || unsettled.clone()).is_some();
        if admitted {
            self.from_leases += 1;
        } else {
            let lease = one.wallet.wish(now, &asked, || format!("lea_{}", self.tickets));
            let hold = Hold {
                ticket: ticket.clone(),
                key: key.clone(),
                bound: Some(NanoUsd(bound)),
                tokens: 3,
                input: 1,
                ttl_ms: 30_000,
                extends: false,
                route: None,
                user: None,
                models: vec!["m".to_owned()],
                explain: true,
                lease: lease.clone(),
                from_lease: None,
                unsettled,
            };
            self.object_calls += 1;
            let reply = self.object.run(self.now, Command::Hold(hold));
            let one = &mut self.isolates[isolate];
            if reply_lost {
                // As the pipeline does: the hold is given back, and a lease that may have been granted.
                self.object.run(self.now, Command::Settle(Settlement::of(ticket, &[])));
                if let Some(ask) = lease {
                    one.wallet.unanswered(now, &asked, &ask.id);
                }
                return false;
            }
            let Reply::Held(standing) = reply else { return false };
            one.wallet.granted(now, now, &asked, &standing);
        }
        self.sent.push(Sent { ticket, isolate, bound, cost, ended: false, lost: false });
        true
    }

    fn settle(&mut self, index: usize) {
        let sent = &mut self.sent[index];
        if sent.ended || sent.lost {
            return;
        }
        sent.ended = true;
        let one = &mut self.isolates[sent.isolate];
        let settlement = Settlement::of(sent.ticket.clone(), &[row(&sent.ticket, 1, sent.cost, 2)]);
        if let Some(settlement) = one.wallet.settle(self.now.plus_ms(one.skew_ms), settlement) {
            self.object_calls += 1;
            self.object.run(self.now, Command::Settle(settlement));
        }
    }

    fn tick(&mut self, isolate: usize, fate: Fate) {
        let one = &mut self.isolates[isolate];
        let now = self.now.plus_ms(one.skew_ms);
        let mut due = one.wallet.reports(now);
        due.append(&mut one.waiting);
        for (customer, lease, command) in due {
            // A settlement by name is repeated by the glue until it arrives.
            let fate = if lease.is_empty() { Fate::Arrives } else { fate };
            self.object_calls += 1;
            let mut reply = (fate != Fate::Lost).then(|| self.object.run(self.now, command.clone()));
            if fate == Fate::Doubled {
                reply = Some(self.object.run(self.now, command.clone()));
            }
            if fate == Fate::Unanswered {
                reply = None;
            }
            let _ = customer;
            self.isolates[isolate].wallet.reported(now, &lease, reply);
        }
    }

    /// Everything in the isolate is gone, its requests' ends with it.
    fn kill(&mut self, isolate: usize) {
        let wallet = std::mem::take(&mut self.isolates[isolate].wallet);
        for sent in self.sent.iter_mut().filter(|sent| sent.isolate == isolate) {
            sent.lost |= !sent.ended || wallet.owes(&sent.ticket);
        }
    }

    /// What providers will have billed at worst.
    fn truth(&self) -> i64 {
        self.sent.iter().map(|sent| if sent.ended { sent.cost } else { sent.bound }).sum()
    }

    fn check(&mut self, limit: i64) -> Result<(), TestCaseError> {
        for status in self.object.limits(self.now, "key_a") {
            let (limit, taken) = figures(&status);
            prop_assert!(taken <= limit, "{:?}", status);
        }
        prop_assert!(self.truth() <= limit, "providers bill {} of {limit}", self.truth());
        Ok(())
    }

    /// Time goes on until nothing is left to do.
    fn settle_down(&mut self) {
        for index in 0..self.sent.len() {
            self.settle(index);
        }
        for _ in 0..60 {
            for isolate in 0..self.isolates.len() {
                self.tick(isolate, Fate::Arrives);
            }
            self.now = self.now.plus_ms(1_100);
        }
        for _ in 0..300 {
            let Some(at) = self.object.alarm else { break };
            self.now = self.now.max(at);
            self.object.alarm(self.now, true, false);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Request { isolate: usize, bound: i64, cost: i64, reply_lost: bool },
    Settle(usize),
    Tick { isolate: usize, fate: Fate },
    Wait(i64),
    Alarm,
    CrashObject,
    Kill(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![
        5 => Just(Fate::Arrives), 1 => Just(Fate::Lost), 1 => Just(Fate::Unanswered), 1 => Just(Fate::Doubled)
    ];
    prop_oneof![
        12 => (0usize..3, 1i64..30, 0i64..30, prop::bool::weighted(0.05)).prop_map(|(isolate, bound, cost, reply_lost)| {
            Step::Request { isolate, bound, cost: cost.min(bound), reply_lost }
        }),
        10 => (0usize..200).prop_map(Step::Settle),
        8 => (0usize..3, fate).prop_map(|(isolate, fate)| Step::Tick { isolate, fate }),
        6 => (0i64..600).prop_map(Step::Wait),
        1 => (5_000i64..100_000).prop_map(Step::Wait),
        2 => Just(Step::Alarm),
        1 => Just(Step::CrashObject),
        1 => (0usize..3).prop_map(Step::Kill),
    ]
}

fn limits(total: i64, rpm: u64) -> Limits {
    let minute = Limit {
        unit: Unit::Usd,
        amount: total,
        window: Window::Rolling(120_000),
        burst: None,
        models: None,
        warn_at: vec![50, 90],
    };
    Limits { total: Some(NanoUsd(total)), rpm: Some(rpm), more: vec![minute], ..Limits::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_isolate_overspends_loses_or_counts_twice(
        steps in prop::collection::vec(step(), 1..250),
        skews in prop::array::uniform3(-3_600_000i64..3_600_000),
        total in 300i64..6_000,
    ) {
        let mut system = System::new(limits(total, 400), limits(total, 400), &skews);
        let mut killed = false;
        for step in steps {
            match step {
                Step::Request { isolate, bound, cost, reply_lost } => {
                    system.request(isolate, bound, cost, reply_lost);
                }
                Step::Settle(index) if index < system.sent.len() => system.settle(index),
                Step::Settle(_) => {}
                Step::Tick { isolate, fate } => system.tick(isolate, fate),
                Step::Wait(ms) => system.now = system.now.plus_ms(ms),
                Step::Alarm => if system.object.alarm.is_some_and(|at| at <= system.now) {
                    let now = system.now;
                    system.object.alarm(now, true, false);
                },
                Step::CrashObject => {
                    let now = system.now;
                    let before = (system.object.spent(now), system.object.limits(now, "key_a"));
                    system.object.crash(now);
                    prop_assert_eq!(&before, &(system.object.spent(now), system.object.limits(now, "key_a")),
                        "what is loaded is what was forgotten");
                }
                Step::Kill(isolate) => {
                    system.kill(isolate);
                    killed = true;
                }
            }
            system.check(total)?;
        }
        system.settle_down();
        system.check(total)?;
        prop_assert!(system.object.entries.is_empty(), "nothing is left behind");
        prop_assert!(system.object.leases.is_empty(), "no lease lives for ever");
        let ledger: i64 = system.object.d1.values().map(|row| row.cost_nanousd.0).sum();
        let now = system.now;
        prop_assert_eq!(NanoUsd(ledger), system.object.spent(now), "the ledger is the object's total");
        // Every request that was not lost has its rows, and they come to what it cost.
        for sent in system.sent.iter().filter(|sent| !sent.lost) {
            let cost: i64 = system.object.d1.iter().filter(|((id, _), _)| *id == sent.ticket).map(|(_, row)| row.cost_nanousd.0).sum();
            prop_assert_eq!(cost, sent.cost, "{:?}", sent);
        }
        let truth: i64 = system.sent.iter().map(|sent| sent.cost).sum();
        prop_assert!(ledger >= truth, "the ledger has {ledger} of {truth}");
        if !killed {
            prop_assert_eq!(ledger, truth, "nobody was killed: nothing is charged that was not used");
        }
    }
}

#[test]
fn a_busy_isolate_hardly_asks() {
    let mut system = System::new(limits(1_000_000, 1_000_000), limits(1_000_000, 1_000_000), &[0]);
    for n in 0..4_000 {
        assert!(system.request(0, 20, 3, false));
        system.now = system.now.plus_ms(2);
        if n >= 16 {
            system.settle(n - 16);
        }
        if n % 25 == 0 {
            system.tick(0, Fate::Arrives);
        }
    }
    assert!(system.from_leases > 3_950, "{} of 4000 from leases", system.from_leases);
    assert!(system.object_calls < 200, "{} calls of the object for 4000 requests", system.object_calls);
    system.settle_down();
    assert_eq!(system.object.spent(system.now), NanoUsd(12_000));
}

#[test]
fn a_block_reaches_an_isolate_within_a_lease() {
    let mut system = System::new(limits(1_000_000, 1_000_000), limits(1_000_000, 1_000_000), &[7_000]);
    for _ in 0..20 {
        assert!(system.request(0, 20, 3, false));
        system.now = system.now.plus_ms(60);
        system.tick(0, Fate::Arrives);
    }
    assert!(system.from_leases > 10);
    let mut blocked = super::tests::node("key_a", Level::Key, Some("team_a"), limits(1_000_000, 1_000_000));
    (blocked.blocked, blocked.revision) = (true, 9);
    system.object.run(system.now, Command::Publish { nodes: vec![blocked.clone()], keys: vec![] });
    // No report gets through: the lease ends by itself.
    let blocked_at = system.now;
    let mut last = blocked_at;
    while system.now.since_ms(blocked_at) < 3 * LEASE_MS {
        if system.request(0, 1, 1, false) {
            last = system.now;
        }
        system.now = system.now.plus_ms(50);
        system.tick(0, Fate::Lost);
    }
    assert!(last.since_ms(blocked_at) <= LEASE_MS, "{} ms", last.since_ms(blocked_at));
    // One does: it ends at once.
    blocked.blocked = false;
    blocked.revision = 10;
    system.object.run(system.now, Command::Publish { nodes: vec![blocked.clone()], keys: vec![] });
    for _ in 0..100 {
        system.request(0, 20, 3, false);
        system.now = system.now.plus_ms(100);
        system.tick(0, Fate::Arrives);
    }
    assert!(system.request(0, 20, 3, false));
    (blocked.blocked, blocked.revision) = (true, 11);
    system.object.run(system.now, Command::Publish { nodes: vec![blocked], keys: vec![] });
    // With plenty of everything, a report is due every second.
    system.now = system.now.plus_ms(1_100);
    system.tick(0, Fate::Arrives);
    assert!(!system.request(0, 20, 3, false));
}

#[test]
fn a_lease_nobody_hears_of_is_charged_and_corrected_when_somebody_does() {
    let mut system = System::new(limits(10_000, 1_000), limits(10_000, 1_000), &[0]);
    for _ in 0..6 {
        assert!(system.request(0, 20, 3, false));
    }
    let held = system.object.limits(system.now, "key_a");
    for index in 0..6 {
        system.settle(index);
    }
    // The isolate is cut off for a minute.
    for _ in 0..60 {
        system.now = system.now.plus_ms(1_000);
        system.tick(0, Fate::Lost);
        while let Some(at) = system.object.alarm.filter(|at| *at <= system.now) {
            system.object.alarm(at, true, false);
        }
    }
    let charged = system.object.spent(system.now);
    assert!(charged > NanoUsd(18), "{charged:?} {held:?}");
    assert!(
        system.object.d1.values().any(|row| row
            .error
            .as_ref()
            .is_some_and(|error| error.contains("of lease lea_"))
            && row.outcome == Outcome::Unsettled)
    );
    system.settle_down();
    assert_eq!(system.object.spent(system.now), NanoUsd(18), "the truth, once it was told");
    let rows = system.object.d1.values();
    assert_eq!(rows.clone().filter(|row| row.outcome == Outcome::Ok).count(), 6);
    assert_eq!(rows.map(|row| row.cost_nanousd.0).sum::<i64>(), 18);
}

#[test]
fn thresholds_raise_one_event_each() {
    let mut system = System::new(Limits::default(), limits(100, 1_000), &[0]);
    for _ in 0..9 {
        assert!(system.request(0, 10, 10, false));
        system.settle(system.sent.len() - 1);
        system.object.crash(system.now);
    }
    system.settle_down();
    let percents: Vec<u64> = system
        .object
        .events
        .values()
        .map(|body| serde_json::from_str::<serde_json::Value>(body).unwrap()["percent"].as_u64().unwrap())
        .collect();
    assert_eq!(percents, [50, 90]);
}
