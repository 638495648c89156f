//! End users: each has limits of their own, and is forgotten when nothing is counted of them.

use super::{
    super::{
        tests::{Object, T0, figures, node, row, total},
        *,
    },
    WEIGHT_MAX,
};
use crate::admit::wire::{Limit, Window};
use proptest::prelude::*;

fn per_user(limits: Limits) -> Object {
    let mut object = Object::new(total(1_000), Limits::default(), Limits::default());
    let team = node("team_a", Level::Team, None, Limits::default());
    let team = NodeSpec { each_user: Some(limits), revision: 1, ..team };
    object.run(T0, Command::Publish { nodes: vec![team], keys: vec![] });
    object
}

fn hold(object: &mut Object, now: Timestamp, ticket: &str, user: &str, bound: i64) -> Reply {
    let hold = Hold {
        ticket: ticket.to_owned(),
        key: KeyId("key_a".to_owned()),
        bound: Some(NanoUsd(bound)),
        tokens: 1,
        input: 0,
        ttl_ms: 5_000,
        extends: false,
        route: None,
        user: Some(user.to_owned()),
        models: vec![],
        explain: false,
        lease: None,
        from_lease: None,
        unsettled: raw(&row(ticket, 1, 0, 0)),
    };
    object.run(now, Command::Hold(hold))
}

/// What is counted of an end user, and what may be, for each limit.
fn of_user(object: &mut Object, now: Timestamp, user: &str) -> Vec<(i64, i64)> {
    let describe = Command::Describe { key: KeyId("key_a".to_owned()), user: Some(user.to_owned()) };
    match object.run(now, describe) {
        Reply::Limits { limits } => {
            limits.iter().filter(|status| status.level == Level::User).map(figures).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn end_users(object: &mut Object, now: Timestamp) -> u64 {
    match object.run(now, Command::Inspect) {
        Reply::Inspection(inspection) => {
            assert!(inspection.limits.iter().all(|status| status.level != Level::User));
            inspection.end_users
        }
        other => panic!("{other:?}"),
    }
}

fn rows_of_users(object: &Object) -> usize {
    let users = |rows: &BTreeMap<String, String>| rows.keys().filter(|id| id.starts_with("user:")).count();
    users(&object.nodes) + users(&object.bases)
}

fn day(nanousd: i64) -> Limits {
    Limits { day: Some(NanoUsd(nanousd)), ..Limits::default() }
}

#[test]
fn each_end_user_has_limits_of_their_own() {
    let mut object = per_user(day(100));
    assert!(matches!(hold(&mut object, T0, "t1", "ann", 80), Reply::Held(_)));
    assert!(matches!(
        hold(&mut object, T0, "t2", "ann", 30),
        Reply::Refused(Refusal::Budget { level: Level::User, window: Window::DAY, .. })
    ));
    assert!(matches!(hold(&mut object, T0, "t3", "bob", 30), Reply::Held(_)));
    assert_eq!(of_user(&mut object, T0, "ann"), [(100, 80)]);
    assert_eq!(of_user(&mut object, T0, "eve"), [(100, 0)], "asking about somebody counts nobody");
    assert_eq!(end_users(&mut object, T0), 2);
    // Limits that change hold for what was counted before.
    let team = node("team_a", Level::Team, None, Limits::default());
    let team = NodeSpec { each_user: Some(day(70)), revision: 2, ..team };
    object.run(T0, Command::Publish { nodes: vec![team], keys: vec![] });
    assert_eq!(of_user(&mut object, T0, "ann"), [(70, 80)]);
    object.crash(T0);
    assert_eq!(of_user(&mut object, T0, "ann"), [(70, 80)]);
}

#[test]
fn an_end_user_is_forgotten_when_nothing_is_counted_of_them() {
    let mut object = per_user(day(100));
    let evening = T0.day_start().plus_ms(crate::model::time::DAY_MS - 2_000);
    hold(&mut object, evening, "t1", "ann", 80);
    hold(&mut object, evening, "t2", "bob", 50);
    assert_eq!(object.settle(evening, "t1", &[5]), Reply::Settled);
    object.alarm(evening.plus_ms(1_000), false, false);
    assert_eq!(end_users(&mut object, evening.plus_ms(1_000)), 2, "today still counts");
    // Next day: ann's row has not been drained, bob's request is under way.
    let morning = evening.plus_ms(2_500);
    object.alarm(morning, false, false);
    assert_eq!((end_users(&mut object, morning), rows_of_users(&object)), (0, 0));
    object.crash(morning);
    assert_eq!(
        end_users(&mut object, morning),
        0,
        "what is in the outbox and under way does not bring them back"
    );
    // Ann is back before yesterday's row is drained, and begins with nothing.
    hold(&mut object, morning, "t3", "ann", 100);
    assert_eq!(object.settle(morning, "t2", &[50]), Reply::Settled);
    assert_eq!(object.settle(morning, "t3", &[40]), Reply::Settled);
    for _ in 0..9 {
        let Some(at) = object.alarm else { break };
        object.alarm(at, true, false);
    }
    let later = morning.plus_ms(100_000);
    assert_eq!((object.d1.len(), end_users(&mut object, later)), (3, 1));
    for _ in 0..2 {
        assert_eq!(of_user(&mut object, later, "ann"), [(100, 40)]);
        assert_eq!(of_user(&mut object, later, "bob"), [(100, 0)]);
        object.crash(later);
    }
    assert_eq!(object.spent(later), NanoUsd(95), "nothing was lost above them");
}

#[test]
fn an_end_user_with_a_budget_for_ever_stays() {
    let mut object = per_user(total(100));
    hold(&mut object, T0, "t1", "ann", 80);
    object.settle(T0, "t1", &[5]);
    object.alarm(T0.plus_ms(1_000), true, false);
    object.alarm(T0.plus_ms(90 * crate::model::time::DAY_MS), true, false);
    object.crash(T0.plus_ms(90 * crate::model::time::DAY_MS));
    assert_eq!(of_user(&mut object, T0.plus_ms(90 * crate::model::time::DAY_MS), "ann"), [(100, 5)]);
}

#[test]
fn there_are_only_so_many_end_users() {
    let mut object = per_user(day(100));
    hold(&mut object, T0, "t1", "ann", 1);
    assert_eq!(object.ledger.user_weight, 2, "she, and the day");
    object.ledger.user_weight = WEIGHT_MAX;
    assert_eq!(hold(&mut object, T0, "t2", "bob", 1), Reply::Refused(Refusal::TooManyUsers { limit: 1 }));
    assert_eq!(rows_of_users(&object), 2, "nothing was written for him");
    assert!(matches!(hold(&mut object, T0, "t3", "ann", 1), Reply::Held(_)), "who is counted goes on");
    assert!(matches!(object.hold(T0, "t4", "key_a", 1, 1), Reply::Held(_)), "so do requests without one");
    assert!(matches!(object.hold(T0, "t5", "key_b", 1, 1), Reply::Held(_)), "and keys without such limits");
    object.crash(T0);
    assert_eq!(object.ledger.user_weight, 2);
    object.alarm(T0.plus_ms(2 * crate::model::time::DAY_MS), true, false);
    assert_eq!((object.ledger.user_weight, object.ledger.users.len()), (0, 0));
}

#[test]
fn a_threshold_is_an_event_once_for_each_window_and_amount() {
    let limit = |amount, window: &str| Limit {
        unit: Unit::Usd,
        amount,
        window: window.parse().unwrap(),
        burst: None,
        models: None,
        warn_at: vec![50, 90],
    };
    let mut object = per_user(Limits::default());
    let publish = |object: &mut Object, revision, amount, window| {
        let key = node(
            "key_a",
            Level::Key,
            Some("team_a"),
            Limits { more: vec![limit(amount, window)], ..Limits::default() },
        );
        object.run(T0, Command::Publish { nodes: vec![NodeSpec { revision, ..key }], keys: vec![] });
    };
    publish(&mut object, 1, 100, "total");
    let spend = |object: &mut Object, now, ticket: &str, cost| {
        assert!(matches!(object.hold(now, ticket, "key_a", cost, 1), Reply::Held(_)));
        object.settle(now, ticket, &[cost]);
        object.crash(now);
        object
            .events
            .values()
            .map(|body| read::<serde_json::Value>(body).unwrap()["percent"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert!(spend(&mut object, T0, "t1", 49).is_empty());
    assert_eq!(spend(&mut object, T0, "t2", 1), [50]);
    assert_eq!(spend(&mut object, T0, "t3", 1), [50], "an eviction does not make it two");
    assert_eq!(spend(&mut object, T0, "t4", 49), [50, 90]);
    publish(&mut object, 2, 200, "total");
    assert_eq!(spend(&mut object, T0, "t5", 1), [50, 90, 50], "half of the new amount");
    // Of a rolling window, at most one in its length, however often its slots change.
    object.events.clear();
    publish(&mut object, 3, 10, "600s");
    let start = Timestamp(T0.0.div_euclid(600_000) * 600_000 + 600_000);
    for second in 0..9 {
        spend(&mut object, start.plus_ms(second * 20_000), &format!("u{second}"), 1);
    }
    assert_eq!(object.events.len(), 2, "{:?}", object.events);
}

#[derive(Clone, Debug)]
enum Step {
    Hold { ticket: u8, user: u8, bound: i64 },
    Settle { ticket: u8, cost: i64 },
    Wait(i64),
    Alarm { d1_works: bool },
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0u8..40, 0u8..4, 0i64..40).prop_map(|(ticket, user, bound)| Step::Hold { ticket, user, bound }),
        5 => (0u8..40, 0i64..40).prop_map(|(ticket, cost)| Step::Settle { ticket, cost }),
        2 => (0i64..4_000).prop_map(Step::Wait),
        1 => (20_000i64..90_000_000).prop_map(Step::Wait),
        3 => any::<bool>().prop_map(|d1_works| Step::Alarm { d1_works }),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn end_users_come_and_go_and_none_exceeds_a_limit(steps in prop::collection::vec(step(), 1..120)) {
        let plain = |unit, amount, window: &str| Limit {
            unit, amount, window: window.parse().unwrap(), burst: None, models: None, warn_at: vec![50],
        };
        let more = vec![plain(Unit::Requests, 5, "2s"), plain(Unit::Concurrent, 3, "total"), plain(Unit::Usd, 90, "hour")];
        let mut object = per_user(Limits { day: Some(NanoUsd(120)), more, ..Limits::default() });
        let mut now = T0;
        let mut bounds: BTreeMap<String, i64> = BTreeMap::new();
        let names = ["ann", "bob", "eve", "joe"];
        for step in steps {
            match step {
                Step::Hold { ticket, user, bound } => {
                    let ticket = format!("t{ticket}");
                    if !bounds.contains_key(&ticket)
                        && let Reply::Held(_) = hold(&mut object, now, &ticket, names[usize::from(user)], bound)
                    {
                        bounds.insert(ticket, bound);
                    }
                }
                Step::Settle { ticket, cost } => {
                    let ticket = format!("t{ticket}");
                    let bound = bounds.get(&ticket).copied().unwrap_or(0);
                    object.settle(now, &ticket, &[cost.min(bound)]);
                }
                Step::Wait(ms) => now = now.plus_ms(ms),
                Step::Alarm { d1_works } => object.alarm(now, d1_works, false),
                Step::Crash => {
                    let all = |object: &mut Object| names.map(|name| of_user(object, now, name));
                    let before = all(&mut object);
                    object.crash(now);
                    prop_assert_eq!(before, all(&mut object), "what is loaded is what was forgotten");
                }
            }
            for name in names {
                for (limit, taken) in of_user(&mut object, now, name) {
                    prop_assert!((0..=limit).contains(&taken), "{} has {} of {}", name, taken, limit);
                }
            }
        }
        for _ in 0..200 {
            let Some(at) = object.alarm else { break };
            now = now.max(at);
            object.alarm(now, true, false);
        }
        object.alarm(now.plus_ms(2 * crate::model::time::DAY_MS), true, false);
        prop_assert_eq!((end_users(&mut object, now), rows_of_users(&object)), (0, 0), "nobody stays");
        let ledger: i64 = object.d1.values().map(|row| row.cost_nanousd.0).sum();
        prop_assert_eq!(NanoUsd(ledger), object.spent(now));
    }
}
