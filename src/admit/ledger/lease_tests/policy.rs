//! How much isolates lease, when they report, and what becomes of answers that are late or not heard.

use super::*;
use crate::admit::wire::{LeaseAsk, LimitFigures, Report};

/// The next report that is due, and what the object says to it.
fn report(wallet: &mut Wallet, now: Timestamp) -> Option<(String, Report)> {
    wallet.reports(now).into_iter().find_map(|(_, lease, command)| match command {
        Command::Report(report) => Some((lease, report)),
        _ => None,
    })
}

#[test]
fn a_renewal_is_granted_what_it_lacks_though_it_lacks_no_requests() {
    let mut system = System::new(limits(100_000, 1_000), limits(100_000, 1_000), &[0]);
    let amounts = Amounts { money: NanoUsd(20), requests: 1, input: 1, output: 2 };
    system.object.run(system.now, Command::Hold(hold_with_lease(amounts)));
    let report = Report {
        lease: "lea_x".to_owned(),
        key: KeyId("key_a".to_owned()),
        seq: 1,
        begun: vec![],
        settled: vec![],
        returned: Amounts::ZERO,
        want: Amounts { money: NanoUsd(500), ..Amounts::ZERO },
        ttl_ms: LEASE_MS,
        close: false,
    };
    let Reply::Held(standing) = system.object.run(system.now, Command::Report(report)) else { panic!() };
    let granted = standing.lease.unwrap().granted;
    assert_eq!((granted.money, granted.requests), (NanoUsd(660), 8));
}

#[test]
fn an_isolate_that_needs_less_gives_the_rest_back() {
    let mut system = System::new(limits(1_000_000, 1_000_000), limits(1_000_000, 1_000_000), &[0]);
    let leased = |system: &mut System, bound: i64, times: u32, wait: i64| {
        for _ in 0..times {
            assert!(system.request(0, bound, 1, false));
            system.settle(system.sent.len() - 1);
            system.now = system.now.plus_ms(wait);
            system.tick(0, Fate::Arrives);
        }
        let Reply::Inspection(books) = system.object.run(system.now, Command::Inspect) else { panic!() };
        assert_eq!(books.leases, 1);
        books.leased_nanousd.0
    };
    let busy = leased(&mut system, 500, 60, 50);
    assert!(busy > 5_000, "{busy}");
    let calm = leased(&mut system, 5, 120, 300);
    assert!(calm < 1_000, "{calm} of {busy}");
    // What is booked is what the isolate still has: the rest came back once.
    assert!(calm >= 5, "{calm} of {busy}");
}

#[test]
fn requests_that_share_a_row_count_each() {
    let mut system = System::new(limits(100_000, 1_000), limits(100_000, 1_000), &[0]);
    for _ in 0..30 {
        assert!(system.request(0, 20, 3, false));
        system.settle(system.sent.len() - 1);
    }
    system.now = system.now.plus_ms(1_100);
    system.tick(0, Fate::Arrives);
    assert!(system.from_leases > 5);
    let statuses = system.object.limits(system.now, "key_a");
    let used = statuses.iter().find_map(|status| match &status.figures {
        LimitFigures::Requests(figures) => Some(figures.used),
        _ => None,
    });
    assert_eq!(used, Some(30));
}

#[test]
fn a_late_report_in_parts_lowers_the_charge_by_what_it_tells() {
    let mut system = System::new(limits(100_000, 1_000), limits(100_000, 1_000), &[0]);
    let amounts = Amounts { money: NanoUsd(20), requests: 1, input: 1, output: 2 };
    system.object.run(system.now, Command::Hold(hold_with_lease(amounts)));
    system.object.run(system.now, Command::Settle(Settlement::of("req_x".to_owned(), &[])));
    system.now = system.now.plus_ms(60_000);
    system.object.alarm(system.now, true, false);
    let charged = system.object.spent(system.now);
    assert_eq!(charged, NanoUsd(160), "eight requests of twenty");
    for seq in 1..=3 {
        let ticket = format!("req_{seq}");
        let settlement = Settlement::of(ticket.clone(), &[row(&ticket, 1, 7, 2)]);
        let report = Report {
            lease: "lea_x".to_owned(),
            key: KeyId("key_a".to_owned()),
            seq,
            begun: vec![],
            settled: vec![(system.now, settlement)],
            returned: Amounts::ZERO,
            want: Amounts::ZERO,
            ttl_ms: LEASE_MS,
            close: seq == 3,
        };
        system.object.run(system.now, Command::Report(report));
        let left = if seq == 3 { NanoUsd(21) } else { charged };
        assert_eq!(system.object.spent(system.now), left, "report {seq}");
    }
}

#[test]
fn a_lease_is_spent_once_and_what_is_given_back_is_gone() {
    let mut system = System::new(limits(100_000, 1_000), limits(100_000, 1_000), &[0]);
    let (customer, key) = (CustomerId("cus_a".to_owned()), KeyId("key_a".to_owned()));
    let amounts = Amounts { money: NanoUsd(20), requests: 1, input: 1, output: 2 };
    let asked = Asked { customer: &customer, key: &key, kind: "k", user: false, amounts };
    let Reply::Held(standing) = system.object.run(T0, Command::Hold(hold_with_lease(amounts))) else {
        panic!()
    };
    let spend = |wallet: &mut Wallet, now: Timestamp| {
        for n in 0..100 {
            let ticket = format!("req_{}_{n}", now.0);
            if wallet.admit(now, &asked, &ticket, 30_000, || raw(&row(&ticket, 1, 0, 0))).is_none() {
                return n;
            }
            assert!(wallet.settle(now, Settlement::of(ticket.clone(), &[row(&ticket, 1, 20, 2)])).is_none());
        }
        100
    };
    let mut wallet = Wallet::default();
    wallet.granted(T0, T0, &asked, &standing);
    assert_eq!(spend(&mut wallet, T0), 8, "it was granted eight");
    let mut wallet = Wallet::default();
    wallet.granted(T0, T0, &asked, &standing);
    // Nothing was asked of it but one request: it gives back what it does not need.
    wallet.admit(T0, &asked, "req_first", 30_000, || raw(&row("req_first", 1, 0, 0)));
    let (_, told) = report(&mut wallet, T0.plus_ms(1_000)).unwrap();
    assert!(told.returned.requests > 2 && !told.close, "{told:?}");
    let left = 8 - 1 - told.returned.requests;
    assert_eq!(spend(&mut wallet, T0.plus_ms(1_000)), left);
}

#[test]
fn all_leases_together_leave_half_of_what_is_free() {
    let skews = [0; 40];
    let mut system = System::new(limits(100_000, 1_000_000), limits(100_000, 1_000_000), &skews);
    for round in 0..6 {
        for isolate in 0..skews.len() {
            for _ in 0..3 {
                if system.request(isolate, 300, 1, false) {
                    system.settle(system.sent.len() - 1);
                }
            }
            system.tick(isolate, Fate::Arrives);
        }
        system.now = system.now.plus_ms(100);
        let Reply::Inspection(books) = system.object.run(system.now, Command::Inspect) else { panic!() };
        let free = 100_000 - books.spent_total_nanousd.0 - books.held_nanousd.0;
        assert!(books.leases > 5, "{books:?}");
        assert!(books.leased_nanousd.0 <= free / 2 + 300, "round {round}: {books:?}");
    }
}

#[test]
fn a_report_whose_answer_nobody_hears_is_made_again_and_late_answers_do_not_count() {
    let mut system = System::new(limits(10_000, 1_000), limits(10_000, 1_000), &[0]);
    for _ in 0..6 {
        assert!(system.request(0, 20, 3, false));
    }
    (0..5).for_each(|index| system.settle(index));
    system.now = system.now.plus_ms(1_100);
    let (lease, first) = report(&mut system.isolates[0].wallet, system.now).unwrap();
    let lost = system.object.run(system.now, Command::Report(first.clone()));
    assert!(report(&mut system.isolates[0].wallet, system.now.plus_ms(4_000)).is_none(), "it waits");
    system.now = system.now.plus_ms(6_000);
    let (_, again) = report(&mut system.isolates[0].wallet, system.now).unwrap();
    assert_eq!((again.seq, again.settled.len()), (first.seq, first.settled.len()));
    let reply = system.object.run(system.now, Command::Report(again));
    system.isolates[0].wallet.reported(system.now, &lease, Some(reply));
    // Another report is under way; the first one's answer comes now, and is no answer to it.
    system.settle(5);
    assert!(system.isolates[0].wallet.owes("req_6"));
    let (_, second) = report(&mut system.isolates[0].wallet, system.now.plus_ms(1_000)).unwrap();
    assert!(second.seq > first.seq && second.settled.len() == 1);
    system.isolates[0].wallet.reported(system.now.plus_ms(1_000), &lease, Some(lost));
    assert!(system.isolates[0].wallet.owes("req_6"));
    let reply = system.object.run(system.now, Command::Report(second));
    system.isolates[0].wallet.reported(system.now.plus_ms(1_000), &lease, Some(reply));
    assert!(!system.isolates[0].wallet.owes("req_6"));
}

#[test]
fn a_lease_ends_as_if_the_first_of_two_sendings_had_been_answered() {
    let mut system = System::new(limits(10_000, 1_000), limits(10_000, 1_000), &[0]);
    for _ in 0..6 {
        assert!(system.request(0, 20, 3, false));
    }
    (0..6).for_each(|index| system.settle(index));
    system.now = system.now.plus_ms(1_100);
    let (lease, first) = report(&mut system.isolates[0].wallet, system.now).unwrap();
    let early = system.object.run(system.now, Command::Report(first));
    let first_sent = system.now;
    system.now = system.now.plus_ms(6_000);
    assert!(report(&mut system.isolates[0].wallet, system.now).is_some());
    // The answer to the first comes now, and says "ten seconds": from when the first was sent.
    system.isolates[0].wallet.reported(system.now, &lease, Some(early));
    let leased = system.from_leases;
    system.now = first_sent.plus_ms(LEASE_MS - 1);
    system.request(0, 1, 1, false);
    assert_eq!(system.from_leases, leased + 1);
    system.now = first_sent.plus_ms(LEASE_MS);
    system.request(0, 1, 1, false);
    assert_eq!(system.from_leases, leased + 1, "a lease is used for ten seconds after the last word at most");
}

fn hold_with_lease(amounts: Amounts) -> Hold {
    Hold {
        ticket: "req_x".to_owned(),
        key: KeyId("key_a".to_owned()),
        bound: Some(NanoUsd(20)),
        tokens: 3,
        input: 1,
        ttl_ms: 30_000,
        extends: false,
        route: None,
        user: None,
        models: vec!["m".to_owned()],
        explain: true,
        lease: Some(LeaseAsk { id: "lea_x".to_owned(), want: amounts.times(8), ttl_ms: LEASE_MS }),
        from_lease: None,
        unsettled: raw(&row("req_x", 1, 0, 0)),
    }
}

#[test]
fn a_second_lease_for_the_same_is_given_back() {
    let mut system = System::new(limits(10_000, 1_000), limits(10_000, 1_000), &[0]);
    for _ in 0..3 {
        assert!(system.request(0, 20, 3, false));
    }
    let (customer, key) = (CustomerId("cus_a".to_owned()), KeyId("key_a".to_owned()));
    let amounts = Amounts { money: NanoUsd(20), requests: 1, input: 1, output: 2 };
    let asked = Asked { customer: &customer, key: &key, kind: "k", user: false, amounts };
    // Two questions were under way at once, and both were granted.
    let hold = hold_with_lease(amounts);
    let Reply::Held(standing) = system.object.run(system.now, Command::Hold(hold)) else { panic!() };
    assert!(standing.lease.is_some());
    system.isolates[0].wallet.granted(system.now, system.now, &asked, &standing);
    system.object.run(system.now, Command::Settle(Settlement::of("req_x".to_owned(), &[])));
    (0..system.sent.len()).for_each(|index| system.settle(index));
    system.settle_down();
    let billed: i64 = system.sent.iter().map(|sent| sent.cost).sum();
    assert_eq!(system.object.spent(system.now), NanoUsd(billed), "and never charged");
}

#[test]
fn a_keeper_that_leaves_is_replaced_while_it_is_still_heard_of() {
    let mut system = System::new(limits(10_000, 1_000), limits(10_000, 1_000), &[0]);
    for _ in 0..3 {
        assert!(system.request(0, 20, 3, false));
    }
    let wallet = &mut system.isolates[0].wallet;
    assert!(wallet.needs_keeper(T0));
    assert!(!wallet.needs_keeper(T0.plus_ms(10)));
    wallet.dismiss_keeper();
    wallet.reports(T0.plus_ms(50));
    assert!(wallet.needs_keeper(T0.plus_ms(60)));
    assert!(!wallet.needs_keeper(T0.plus_ms(70)));
}

#[test]
fn what_is_admitted_after_midnight_counts_after_midnight() {
    let day = Limits { day: Some(NanoUsd(10_000)), ..Limits::default() };
    let mut system = System::new(day.clone(), day, &[0]);
    let (customer, key) = (CustomerId("cus_a".to_owned()), KeyId("key_a".to_owned()));
    let amounts = Amounts { money: NanoUsd(20), requests: 1, input: 1, output: 2 };
    let asked = Asked { customer: &customer, key: &key, kind: "k", user: false, amounts };
    // The object answers just before midnight; the answer takes 200 ms.
    let midnight = T0.day_start().plus_ms(crate::model::time::DAY_MS);
    system.now = midnight.plus_ms(-100);
    let Reply::Held(standing) = system.object.run(system.now, Command::Hold(hold_with_lease(amounts))) else {
        panic!()
    };
    let wallet = &mut system.isolates[0].wallet;
    let (sent_at, heard_at) = (system.now.plus_ms(-100), system.now.plus_ms(200));
    wallet.granted(heard_at, sent_at, &asked, &standing);
    let standing =
        wallet.admit(heard_at.plus_ms(1), &asked, "req_1", 30_000, || raw(&row("req_1", 1, 0, 0))).unwrap();
    assert!(standing.at >= heard_at.plus_ms(1), "by the object's clock it is not earlier than it is");
    assert!(standing.at >= midnight);
}
