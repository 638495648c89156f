//! The state machine against a model of the object around it: rows stored as it says, forgotten and reloaded at will.

use super::*;
use crate::{
    admit::wire::{LimitFigures, RouteLimit, Window},
    model::id::TeamId,
};
use proptest::prelude::*;

pub(super) const T0: Timestamp = Timestamp(1_700_000_000_000);

pub(super) fn row(ticket: &str, attempt: u32, cost: i64, tokens: u64) -> LedgerRow {
    LedgerRow {
        request_id: ticket.to_owned(),
        attempt,
        at_ms: T0,
        customer_id: "cus_a".to_owned(),
        team_id: Some("team_a".to_owned()),
        key_id: "key_a".to_owned(),
        route: "r".to_owned(),
        requested_model: "m".to_owned(),
        provider: "p".to_owned(),
        model: "m".to_owned(),
        outcome: Outcome::Ok,
        status: 200,
        output_tokens: tokens,
        cost_nanousd: NanoUsd(cost),
        price_version: "v".to_owned(),
        duration_ms: 1,
        ..LedgerRow::default()
    }
}

pub(super) fn node(id: &str, level: Level, team: Option<&str>, limits: Limits) -> NodeSpec {
    NodeSpec { team: team.map(|team| TeamId(team.to_owned())), limits, level, ..bare(id) }
}

/// The object: what is durable, and the ledger in memory.
pub(super) struct Object {
    pub(super) ledger: Ledger,
    pub(super) entries: BTreeMap<u64, (bool, String)>,
    pub(super) nodes: BTreeMap<String, String>,
    pub(super) bases: BTreeMap<String, String>,
    keys: BTreeMap<String, String>,
    pub(super) leases: BTreeMap<String, String>,
    late: BTreeMap<String, String>,
    pub(super) events: BTreeMap<String, String>,
    quarantine: BTreeMap<u64, String>,
    adjusted: BTreeMap<String, String>,
    database: Option<String>,
    pub(super) d1: BTreeMap<(String, u32), LedgerRow>,
    /// Requests whose rows D1 refuses.
    refused: BTreeSet<String>,
    pub(super) alarm: Option<Timestamp>,
}

impl Object {
    pub(super) fn new(customer: Limits, team: Limits, key: Limits) -> Self {
        let mut object = Self {
            ledger: Ledger::default(),
            entries: BTreeMap::new(),
            nodes: BTreeMap::new(),
            bases: BTreeMap::new(),
            keys: BTreeMap::new(),
            leases: BTreeMap::new(),
            late: BTreeMap::new(),
            events: BTreeMap::new(),
            quarantine: BTreeMap::new(),
            adjusted: BTreeMap::new(),
            database: None,
            d1: BTreeMap::new(),
            refused: BTreeSet::new(),
            alarm: None,
        };
        let nodes = vec![
            node("cus_a", Level::Customer, None, customer),
            node("team_a", Level::Team, None, team),
            node("key_a", Level::Key, Some("team_a"), key.clone()),
            node("key_b", Level::Key, None, key),
        ];
        object.run(T0, Command::Publish { nodes, keys: vec![] });
        object
    }

    fn keep(&mut self, effect: Effect) -> Reply {
        for write in effect.writes {
            match write {
                Write::Entry { number, settled, body } => {
                    self.entries.insert(number, (settled, body));
                }
                Write::DropEntries { numbers } => {
                    self.entries.retain(|number, _| !numbers.contains(number));
                }
                Write::Outbox { number, body } => {
                    self.entries.insert(number, (true, body));
                }
                Write::Quarantine { number, body } => {
                    self.quarantine.insert(number, body);
                }
                Write::Release { number } => {
                    self.quarantine.remove(&number);
                }
                Write::Adjusted { id, body: Some(body) } => {
                    self.adjusted.insert(id, body);
                }
                Write::Adjusted { id, body: None } => {
                    self.adjusted.remove(&id);
                }
                Write::Database { name } => self.database = Some(name),
                Write::Node { id, body } => {
                    self.nodes.insert(id, body);
                }
                Write::Base { id, body } => {
                    self.bases.insert(id, body);
                }
                Write::Key { digest, body } => {
                    self.keys.insert(digest, body);
                }
                Write::Lease { id, body } => {
                    body.map(|body| self.leases.insert(id.clone(), body))
                        .unwrap_or_else(|| self.leases.remove(&id));
                }
                Write::Late { ticket, body } => {
                    body.map(|body| self.late.insert(ticket.clone(), body))
                        .unwrap_or_else(|| self.late.remove(&ticket));
                }
                Write::DropUsers { ids } => {
                    self.nodes.retain(|id, _| !ids.contains(id));
                    self.bases.retain(|id, _| !ids.contains(id));
                }
                Write::Event { id, body } => {
                    self.events.entry(id).or_insert(body);
                }
            }
        }
        if effect.alarm.is_some() {
            self.alarm = effect.alarm;
        }
        effect.reply
    }

    pub(super) fn run(&mut self, now: Timestamp, command: Command) -> Reply {
        let effect = self.ledger.apply(now, command);
        self.keep(effect)
    }

    /// Eviction: memory is gone, the stored alarm is not.
    pub(super) fn crash(&mut self, now: Timestamp) {
        let stored = Stored {
            nodes: self.nodes.values().cloned().collect(),
            bases: self.bases.clone().into_iter().collect(),
            keys: self.keys.values().cloned().collect(),
            entries: self
                .entries
                .iter()
                .map(|(number, (settled, body))| (*number, *settled, body.clone()))
                .collect(),
            leases: self.leases.values().cloned().collect(),
            late: self.late.clone().into_iter().collect(),
            quarantine: self.quarantine.clone().into_iter().collect(),
            adjusted: self.adjusted.clone().into_iter().collect(),
            database: self.database.clone(),
        };
        self.ledger = Ledger::load(&stored, now, utc_only).unwrap();
    }

    /// What the alarm does. `d1_works` false: the insert fails; `lost`: it lands, but the answer does not come back.
    pub(super) fn alarm(&mut self, now: Timestamp, d1_works: bool, lost: bool) {
        self.alarm = None;
        let effect = self.ledger.expire(now);
        self.keep(effect);
        if self.ledger.drain_due(now) {
            self.drain(now, d1_works, lost);
        }
        let effect = self.ledger.rest(now);
        assert!(effect.alarm.is_none_or(|at| at > now), "an alarm for now would be deleted with this one");
        self.keep(effect);
    }

    fn drain(&mut self, now: Timestamp, d1_works: bool, lost: bool) {
        let mut batch: Vec<(u64, String)> = self
            .entries
            .iter()
            .filter(|(_, (settled, _))| *settled)
            .map(|(n, (_, body))| (*n, body.clone()))
            .collect();
        let mut more = batch.len() > 3;
        batch.truncate(3.min(self.ledger.batch_size() as usize));
        if let Some(again) = self.ledger.retrying() {
            batch = vec![again];
            more = false;
        }
        let rows: Vec<LedgerRow> = match rows_of(&batch).as_str() {
            "" => vec![],
            rows => serde_json::from_str(rows).unwrap(),
        };
        let refused = rows.iter().any(|row| self.refused.contains(&row.request_id));
        if (d1_works || lost) && !refused {
            for row in rows {
                self.d1.entry((row.request_id.clone(), row.attempt)).or_insert(row);
            }
        }
        let effect = if d1_works && !lost && !refused {
            self.ledger.drained(now, &batch, more)
        } else {
            let error = if refused { "CHECK constraint failed" } else { "Network connection lost" };
            self.ledger.drain_failed(now, error, &batch, d1_works && !lost)
        };
        self.keep(effect);
    }

    pub(super) fn hold(&mut self, now: Timestamp, ticket: &str, key: &str, bound: i64, tokens: u64) -> Reply {
        self.hold_or_extend(now, ticket, key, bound, tokens, false)
    }

    fn hold_or_extend(
        &mut self,
        now: Timestamp,
        ticket: &str,
        key: &str,
        bound: i64,
        tokens: u64,
        extends: bool,
    ) -> Reply {
        self.run(
            now,
            Command::Hold(Hold {
                ticket: ticket.to_owned(),
                key: KeyId(key.to_owned()),
                bound: Some(NanoUsd(bound)),
                tokens,
                input: 0,
                ttl_ms: 5_000,
                extends,
                route: Some(RouteLimit { name: "r".to_owned(), rpm: Some(1_000), tpm: None }),
                user: None,
                models: vec![],
                explain: false,
                lease: None,
                from_lease: None,
                unsettled: raw(&row(ticket, 1, 0, 0)),
            }),
        )
    }

    pub(super) fn settle(&mut self, now: Timestamp, ticket: &str, costs: &[i64]) -> Reply {
        let rows: Vec<LedgerRow> =
            costs.iter().zip(1..).map(|(cost, attempt)| row(ticket, attempt, *cost, 1)).collect();
        self.run(now, Command::Settle(Settlement::of(ticket.to_owned(), &rows)))
    }

    pub(super) fn spent(&mut self, now: Timestamp) -> NanoUsd {
        match self.run(now, Command::Inspect) {
            Reply::Inspection(inspection) => inspection.spent_total_nanousd,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn limits(&mut self, now: Timestamp, key: &str) -> Vec<LimitStatus> {
        match self.run(now, Command::Describe { key: KeyId(key.to_owned()), user: None }) {
            Reply::Limits { limits } => limits,
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn total(nanousd: i64) -> Limits {
    Limits { total: Some(NanoUsd(nanousd)), ..Limits::default() }
}

#[test]
fn a_hold_is_taken_at_every_level_and_released_by_its_settlement() {
    let mut object = Object::new(total(100), total(80), total(60));
    assert!(
        matches!(object.hold(T0, "t1", "key_a", 50, 1), Reply::Held(s) if s.budget_remaining == Some(NanoUsd(10)))
    );
    assert!(matches!(
        object.hold(T0, "t2", "key_a", 11, 1),
        Reply::Refused(Refusal::Budget { level: Level::Key, window: Window::Total, .. })
    ));
    assert_eq!(object.settle(T0, "t1", &[5]), Reply::Settled);
    assert!(matches!(object.hold(T0, "t3", "key_a", 55, 1), Reply::Held(_)));
    assert!(matches!(
        object.hold(T0, "t4", "key_b", 41, 1),
        Reply::Refused(Refusal::Budget { level: Level::Customer, .. })
    ));
    assert_eq!(object.spent(T0), NanoUsd(5));
}

#[test]
fn a_settlement_counts_once() {
    let mut object = Object::new(total(100), total(100), total(100));
    object.hold(T0, "t", "key_a", 50, 1);
    assert_eq!(object.settle(T0, "t", &[7]), Reply::Settled);
    assert_eq!(object.settle(T0, "t", &[7]), Reply::Absent);
    object.alarm(T0.plus_ms(2_000), true, false);
    assert_eq!(object.settle(T0, "t", &[7]), Reply::Absent);
    assert_eq!(object.spent(T0), NanoUsd(7));
    assert_eq!(object.d1.len(), 1);
}

#[test]
fn a_hold_nobody_settles_becomes_one_row_at_its_bound() {
    let mut object = Object::new(total(100), total(100), total(100));
    object.hold(T0, "t", "key_a", 50, 1);
    assert_eq!(object.alarm, Some(T0.plus_ms(5_000)), "the object is woken when the hold expires");
    object.crash(T0.plus_ms(4_000));
    object.alarm(T0.plus_ms(5_000), true, false);
    let again = object.alarm.unwrap();
    object.alarm(again, true, false);
    let rows: Vec<&LedgerRow> = object.d1.values().collect();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].outcome, rows[0].cost_nanousd), (Outcome::Unsettled, NanoUsd(50)));
    // The settlement comes after all: the row stays, another corrects it, once.
    object.crash(T0.plus_ms(8_000));
    assert_eq!(object.settle(T0.plus_ms(8_000), "t", &[7, 4]), Reply::Settled);
    assert_eq!(object.settle(T0.plus_ms(8_000), "t", &[7, 4]), Reply::Absent);
    assert_eq!(object.spent(T0.plus_ms(8_000)), NanoUsd(11));
    object.alarm(T0.plus_ms(10_000), true, false);
    let costs: Vec<(u32, Option<u32>, i64)> =
        object.d1.values().map(|row| (row.attempt, row.adjusts, row.cost_nanousd.0)).collect();
    assert_eq!(costs, [(1, None, 50), (2, None, 4), (900_001, Some(1), -43)]);
}

#[test]
fn what_comes_while_the_alarm_is_at_work_is_not_forgotten() {
    let mut object = Object::new(total(100), total(100), total(100));
    object.hold(T0, "t", "key_a", 10, 1);
    object.settle(T0, "t", &[1]);
    let at = object.alarm.take().unwrap();
    let effect = object.ledger.expire(at);
    object.keep(effect);
    let batch: Vec<(u64, String)> =
        object.entries.iter().map(|(number, (_, body))| (*number, body.clone())).collect();
    // D1 is being awaited; another request comes and goes.
    object.hold(at, "u", "key_a", 10, 1);
    object.settle(at, "u", &[1]);
    let effect = object.ledger.drained(at, &batch, false);
    object.keep(effect);
    object.alarm = None; // the runtime deletes an alarm set for the moment it is handling
    let effect = object.ledger.rest(at);
    object.keep(effect);
    assert!(object.alarm.is_some_and(|next| next > at), "the second request's row has somebody to carry it");
}

#[test]
fn a_batch_that_fails_is_made_smaller() {
    let mut ledger = Ledger::default();
    let first = ledger.batch_size();
    for takes_others in [true, false] {
        for _ in 0..40 {
            let batch = vec![(0, String::new()); ledger.batch_size() as usize];
            let _ =
                ledger.drain_failed(T0, "string or blob too big", &batch, takes_others && batch.len() > 1);
        }
        assert!(first > 1 && ledger.batch_size() == 1);
        for _ in 0..8 {
            let _ = ledger.drained(T0, &[], false);
        }
        assert_eq!(ledger.batch_size(), first);
    }
}

#[test]
fn a_row_that_d1_refuses_is_set_aside_and_the_rest_goes_on() {
    let mut object = Object::new(total(1_000), total(1_000), total(1_000));
    let tickets = ["a", "b", "poison", "c", "d"];
    for ticket in tickets {
        object.hold(T0, ticket, "key_a", 50, 1);
        object.settle(T0, ticket, &[7]);
    }
    object.refused.insert("poison".to_owned());
    let mut now = T0.plus_ms(2_000);
    for _ in 0..30 {
        object.alarm(now, true, false);
        now = now.plus_ms(2_000);
        object.crash(now.plus_ms(-1));
        // A reload forgets how often a row was refused; so not every time.
        for _ in 0..12 {
            object.alarm(now, true, false);
            now = now.plus_ms(2_000);
        }
    }
    assert_eq!(object.d1.len(), 4);
    assert!(object.entries.is_empty());
    let inspection = |object: &mut Object| match object.run(now, Command::Inspect) {
        Reply::Inspection(inspection) => inspection,
        other => panic!("{other:?}"),
    };
    let seen = inspection(&mut object);
    assert_eq!((seen.outbox, seen.quarantined, seen.spent_total_nanousd), (0, 1, NanoUsd(35)));
    assert_eq!(seen.quarantine[0].request_ids, ["poison"]);
    assert_eq!(seen.quarantine[0].error, "CHECK constraint failed");
    assert_eq!(seen.last_drain_error, None, "what is set aside is no failure any more");
    assert!(matches!(
        object.run(now, Command::Find { ticket: "poison".to_owned() }),
        Reply::Found { state, rows } if state == "settled" && rows.len() == 1
    ));
    // Tried again in vain, then with success.
    for (still_refused, rows) in [(true, 4), (false, 5)] {
        if !still_refused {
            object.refused.clear();
        }
        assert_eq!(object.run(now, Command::RetryQuarantine), Reply::Retrying { rows: 1 });
        object.crash(now);
        object.alarm(now, true, false);
        assert_eq!(object.d1.len(), rows);
        let seen = inspection(&mut object);
        assert_eq!((seen.quarantined, seen.spent_total_nanousd), (u64::from(still_refused), NanoUsd(35)));
    }
    assert!(object.quarantine.is_empty());
}

#[test]
fn an_outage_sets_nothing_aside() {
    let mut object = Object::new(total(1_000), total(1_000), total(1_000));
    object.hold(T0, "t", "key_a", 50, 1);
    object.settle(T0, "t", &[7]);
    let mut now = T0;
    for _ in 0..50 {
        now = now.plus_ms(120_000);
        object.alarm(now, false, false);
    }
    assert!(object.quarantine.is_empty());
    assert_eq!(object.entries.len(), 1);
}

fn adjustment(id: &str, rows: &[LedgerRow]) -> Command {
    Command::Adjust(crate::admit::wire::Adjustment {
        adjustment_id: id.to_owned(),
        key: KeyId("key_a".to_owned()),
        at: T0,
        rows: raw(&rows),
        cost: rows.iter().fold(NanoUsd::ZERO, |sum, row| sum.plus(row.cost_nanousd)),
    })
}

#[test]
fn an_adjustment_counts_once_whatever_it_is_made_with() {
    let mut object = Object::new(total(1_000), total(1_000), total(1_000));
    object.hold(T0, "t", "key_a", 50, 1);
    object.settle(T0, "t", &[40]);
    let one = LedgerRow { outcome: Outcome::Adjustment, adjusts: Some(1), ..row("t", 1_001, -15, 0) };
    let other = LedgerRow { outcome: Outcome::Adjustment, adjusts: Some(1), ..row("u", 1_001, 5, 0) };
    for _ in 0..3 {
        assert_eq!(object.run(T0, adjustment("x", std::slice::from_ref(&one))), Reply::Settled);
        assert_eq!(object.spent(T0), NanoUsd(25));
        object.crash(T0);
        assert_eq!(object.spent(T0), NanoUsd(25));
    }
    object.alarm(T0.plus_ms(2_000), true, false);
    assert_eq!(object.d1.len(), 2);
    // After it was drained, in other company: only the new one counts.
    object.run(T0.plus_ms(3_000), adjustment("y", &[one, other]));
    assert_eq!(object.spent(T0), NanoUsd(30));
    object.alarm(T0.plus_ms(5_000), true, false);
    assert_eq!(object.d1.values().map(|row| row.cost_nanousd.0).sum::<i64>(), 30);
    assert_eq!(object.adjusted.len(), 2);
    // A day later nobody who computed it then is still at work.
    let later = T0.plus_ms(90_000_000);
    object.hold(later, "v", "key_a", 50, 1);
    object.settle(later, "v", &[1]);
    object.alarm(later.plus_ms(2_000), true, false);
    assert!(object.adjusted.is_empty());
}

#[test]
fn a_ticket_may_ask_for_more_and_only_the_difference_must_fit() {
    let mut object = Object::new(
        total(100),
        total(100),
        Limits { total: Some(NanoUsd(60)), rpm: Some(1), ..Limits::default() },
    );
    assert!(matches!(object.hold(T0, "t", "key_a", 40, 1), Reply::Held(_)));
    assert!(
        matches!(object.hold(T0, "t", "key_a", 40, 1), Reply::Held(_)),
        "the same call again, after a lost answer"
    );
    assert!(matches!(object.hold_or_extend(T0, "t", "key_a", 60, 1, true), Reply::Held(_)));
    assert!(matches!(object.hold_or_extend(T0, "t", "key_a", 61, 1, true), Reply::Refused(_)));
    object.settle(T0, "t", &[20, 40]);
    assert_eq!(object.spent(T0), NanoUsd(60));
    assert_eq!(
        object.hold_or_extend(T0, "t", "key_a", 60, 1, true),
        Reply::Absent,
        "what has ended is not begun anew"
    );
}

#[test]
fn windows_begin_anew_and_a_request_stays_in_the_one_it_was_admitted_in() {
    let day = Limits { day: Some(NanoUsd(100)), ..Limits::default() };
    let mut object = Object::new(Limits::default(), Limits::default(), day);
    let evening = T0.day_start().plus_ms(crate::model::time::DAY_MS - 1_000);
    object.hold(evening, "t", "key_a", 100, 1);
    assert!(matches!(
        object.hold(evening, "u", "key_a", 1, 1),
        Reply::Refused(Refusal::Budget { window: Window::DAY, .. })
    ));
    let morning = evening.plus_ms(2_000);
    assert!(matches!(object.hold(morning, "v", "key_a", 100, 1), Reply::Held(_)));
    object.settle(morning, "t", &[90]);
    object.settle(morning, "v", &[30]);
    let LimitFigures::Budget { spent_nanousd, held_nanousd, .. } =
        object.limits(morning, "key_a")[0].figures.clone()
    else {
        panic!()
    };
    assert_eq!((spent_nanousd, held_nanousd), (NanoUsd(30), NanoUsd(0)));
    assert_eq!(object.spent(morning), NanoUsd(120));
}

#[test]
fn who_may_not_is_told_why() {
    let mut object = Object::new(total(1), Limits::default(), Limits::default());
    assert_eq!(object.hold(T0, "t", "key_x", 1, 1), Reply::Refused(Refusal::UnknownKey));
    let mut blocked = node("team_a", Level::Team, None, Limits::default());
    (blocked.blocked, blocked.revision) = (true, 5);
    object.run(T0, Command::Publish { nodes: vec![blocked.clone()], keys: vec![] });
    assert_eq!(object.hold(T0, "t", "key_a", 1, 1), Reply::Refused(Refusal::Blocked { level: Level::Team }));
    (blocked.blocked, blocked.revision) = (false, 4);
    object.run(T0, Command::Publish { nodes: vec![blocked], keys: vec![] });
    assert_eq!(
        object.hold(T0, "t", "key_a", 1, 1),
        Reply::Refused(Refusal::Blocked { level: Level::Team }),
        "old news"
    );
    let mut ended = node("key_b", Level::Key, None, Limits::default());
    (ended.expires_at, ended.revision) = (Some(T0), 2);
    object.run(T0, Command::Publish { nodes: vec![ended], keys: vec![] });
    assert_eq!(object.hold(T0, "t", "key_b", 1, 1), Reply::Refused(Refusal::Expired));
}

#[test]
fn a_model_without_a_price_cannot_be_held_against_a_budget() {
    let mut object = Object::new(total(1), Limits::default(), Limits::default());
    let hold = |bound| {
        Command::Hold(Hold {
            ticket: "t".to_owned(),
            key: KeyId("key_a".to_owned()),
            bound,
            tokens: 1,
            input: 0,
            ttl_ms: 1_000,
            extends: false,
            route: None,
            user: None,
            models: vec![],
            explain: false,
            lease: None,
            from_lease: None,
            unsettled: raw(&row("t", 1, 0, 0)),
        })
    };
    assert_eq!(object.run(T0, hold(None)), Reply::Refused(Refusal::Unpriced { level: Level::Customer }));
    object.run(
        T0,
        Command::Publish {
            nodes: vec![node("cus_a", Level::Customer, None, Limits::default())],
            keys: vec![],
        },
    );
    assert!(matches!(object.run(T0, hold(None)), Reply::Held(_)));
}

#[test]
fn a_refusal_consumes_nothing() {
    let key = Limits { rpm: Some(2), tpm: Some(100), total: Some(NanoUsd(10)), ..Limits::default() };
    let mut object = Object::new(total(5), Limits::default(), key);
    let before = object.limits(T0, "key_a");
    assert!(matches!(
        object.hold(T0, "t", "key_a", 6, 1),
        Reply::Refused(Refusal::Budget { level: Level::Customer, .. })
    ));
    assert!(matches!(
        object.hold(T0, "t", "key_a", 1, 101),
        Reply::Refused(Refusal::Rate { unit: Unit::Tokens, retry_after_ms: None, .. })
    ));
    assert_eq!(object.limits(T0, "key_a"), before);
    assert!(object.entries.is_empty());
}

#[test]
fn the_wire_is_what_deployed_workers_speak() {
    // A change here breaks Workers and objects of two versions that talk to one another during a deploy.
    let settle = r#"{"settle":{"ticket":"req_1","cost":5,"tokens":3,"rows":[]}}"#;
    assert_eq!(serde_json::to_string(&serde_json::from_str::<Command>(settle).unwrap()).unwrap(), settle);
    let describe = r#"{"describe":{"key":"key_a"}}"#;
    assert_eq!(serde_json::to_string(&serde_json::from_str::<Command>(describe).unwrap()).unwrap(), describe);
    assert_eq!(serde_json::to_string(&Reply::Settled).unwrap(), r#""settled""#);
    let adjust = r#"{"adjust":{"adjustment_id":"adj_1","key":"key_a","at":5,"rows":[],"cost":-7}}"#;
    assert_eq!(serde_json::to_string(&serde_json::from_str::<Command>(adjust).unwrap()).unwrap(), adjust);
    // object.js knows this one by its text.
    assert_eq!(serde_json::to_string(&Command::Audit).unwrap(), r#""audit""#);
    assert_eq!(serde_json::to_string(&Command::RetryQuarantine).unwrap(), r#""retry_quarantine""#);
    let older = r#"{"inspection":{"limits":[],"spent_total_nanousd":1,"held":0,"held_nanousd":0,"outbox":0,"outbox_oldest_ms":null,"last_drain_error":null}}"#;
    assert!(matches!(serde_json::from_str(older), Ok(Reply::Inspection(seen)) if seen.quarantined == 0));
    let held: Reply = serde_json::from_str(r#"{"held":{"from_the_future":1}}"#).unwrap();
    assert_eq!(held, Reply::Held(Standing::default()));
    let refused = Reply::Refused(Refusal::Rate {
        level: Level::Key,
        unit: Unit::Requests,
        limit: 6,
        retry_after_ms: Some(9),
        window: Window::MINUTE,
        models: None,
        recalled: false,
    });
    let text = r#"{"refused":{"rate":{"level":"key","unit":"requests","limit":6,"retry_after_ms":9}}}"#;
    assert_eq!(serde_json::to_string(&refused).unwrap(), text);
    assert_eq!(serde_json::from_str::<Reply>(text).unwrap(), refused);
}

#[derive(Clone, Debug)]
enum Step {
    Hold {
        ticket: u8,
        key_b: bool,
        bound: i64,
        tokens: u64,
    },
    Settle {
        ticket: u8,
        costs: Vec<i64>,
    },
    Wait(i64),
    Alarm {
        d1_works: bool,
        lost: bool,
    },
    Crash,
    /// D1 refuses the rows of a request from now on.
    Refuse {
        ticket: u8,
    },
    /// D1 takes everything again, and the operator has the refused rows tried again.
    Mend,
    /// A request is found to have cost less.
    Adjust {
        ticket: u8,
        less: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0u8..30, any::<bool>(), 0i64..40, 2u64..20)
            .prop_map(|(ticket, key_b, bound, tokens)| Step::Hold { ticket, key_b, bound, tokens }),
        5 => (0u8..30, prop::collection::vec(0i64..20, 0..3)).prop_map(|(ticket, costs)| Step::Settle { ticket, costs }),
        2 => (0i64..4_000).prop_map(Step::Wait),
        1 => (20_000i64..90_000_000).prop_map(Step::Wait),
        3 => (any::<bool>(), any::<bool>()).prop_map(|(d1_works, lost)| Step::Alarm { d1_works, lost }),
        1 => Just(Step::Crash),
        1 => (0u8..30).prop_map(|ticket| Step::Refuse { ticket }),
        1 => Just(Step::Mend),
        1 => (0u8..30, 0i64..3).prop_map(|(ticket, less)| Step::Adjust { ticket, less }),
    ]
}

pub(super) fn figures(status: &LimitStatus) -> (i64, i64) {
    match &status.figures {
        LimitFigures::Budget { limit_nanousd, spent_nanousd, held_nanousd, leased_nanousd, .. } => {
            (limit_nanousd.0, spent_nanousd.0 + held_nanousd.0 + leased_nanousd.0)
        }
        LimitFigures::Requests(rate)
        | LimitFigures::Tokens(rate)
        | LimitFigures::InputTokens(rate)
        | LimitFigures::OutputTokens(rate)
        | LimitFigures::Concurrent(rate) => (rate.limit, rate.used + rate.leased),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_interleaving_overspends_loses_or_counts_twice(steps in prop::collection::vec(step(), 1..120)) {
        let customer = Limits { total: Some(NanoUsd(300)), day: Some(NanoUsd(150)), ..Limits::default() };
        let team = Limits { month: Some(NanoUsd(120)), rpm: Some(20), ..Limits::default() };
        let key = Limits { total: Some(NanoUsd(100)), tpm: Some(60), ..Limits::default() };
        let mut object = Object::new(customer, team, key);
        let mut now = T0;
        let mut held: BTreeMap<String, i64> = BTreeMap::new();
        let mut finished: BTreeSet<String> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Hold { ticket, key_b, bound, tokens } => {
                    let ticket = format!("t{ticket}{}", if key_b { "b" } else { "a" });
                    if finished.contains(&ticket) {
                        continue; // request ids are never used twice
                    }
                    let extends = held.contains_key(&ticket);
                    let key = if key_b { "key_b" } else { "key_a" };
                    if let Reply::Held(_) = object.hold_or_extend(now, &ticket, key, bound, tokens, extends) {
                        let most = held.entry(ticket).or_default();
                        *most = bound.max(*most);
                    }
                }
                Step::Settle { ticket, costs } => {
                    for ticket in [format!("t{ticket}a"), format!("t{ticket}b")] {
                        // What is settled stays within what was held: dispatch sees to it.
                        let mut left = held.get(&ticket).copied().unwrap_or(0);
                        let costs: Vec<i64> = costs.iter().map(|cost| { let cost = (*cost).min(left); left -= cost; cost }).collect();
                        if object.settle(now, &ticket, &costs) == Reply::Settled {
                            finished.insert(ticket);
                        }
                    }
                }
                Step::Wait(ms) => now = now.plus_ms(ms),
                Step::Alarm { d1_works, lost } => object.alarm(now, d1_works, lost),
                Step::Crash => {
                    let before = (object.spent(now), object.limits(now, "key_a"), object.limits(now, "key_b"));
                    object.crash(now);
                    prop_assert_eq!(&before, &(object.spent(now), object.limits(now, "key_a"), object.limits(now, "key_b")),
                        "what is loaded is what was forgotten");
                }
                Step::Refuse { ticket } => {
                    object.refused.insert(format!("t{ticket}a"));
                }
                Step::Mend => {
                    object.refused.clear();
                    object.run(now, Command::RetryQuarantine);
                }
                Step::Adjust { ticket, less } => {
                    let ticket = format!("t{ticket}a");
                    if finished.contains(&ticket) {
                        let row = LedgerRow { adjusts: Some(1), ..row(&ticket, 1_001, -less, 0) };
                        object.run(now, adjustment(&format!("{ticket}/1001"), &[row]));
                    }
                }
            }
            for key in ["key_a", "key_b"] {
                for status in object.limits(now, key) {
                    let (limit, taken) = figures(&status);
                    prop_assert!(taken <= limit, "{:?}", status);
                }
            }
        }
        // Everything ends by itself: D1 is back, and the object is woken only when it asked to be.
        object.refused.clear();
        object.run(now, Command::RetryQuarantine);
        for _ in 0..200 {
            let Some(at) = object.alarm else { break };
            now = now.max(at);
            object.alarm(now, true, false);
        }
        prop_assert!(object.quarantine.is_empty(), "{:?}", object.quarantine);
        prop_assert!(object.entries.is_empty(), "nothing is left behind: {:?}", object.entries.keys());
        let ledger: i64 = object.d1.values().map(|row| row.cost_nanousd.0).sum();
        prop_assert_eq!(NanoUsd(ledger), object.spent(now), "the ledger is the object's total");
        let settled_with_rows = object.d1.keys().map(|(ticket, _)| ticket.clone()).collect::<BTreeSet<_>>();
        for ticket in held.keys() {
            prop_assert!(settled_with_rows.contains(ticket) || finished.contains(ticket), "{} has no end", ticket);
        }
        object.crash(now);
        prop_assert_eq!(NanoUsd(ledger), object.spent(now));
    }
}
