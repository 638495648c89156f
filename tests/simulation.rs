//! A small version of `make sim`: isolates, an object, messages that get lost, kills. See `docs/simulation.md`.

#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../examples/sim/draw.rs"]
mod draw;
#[path = "../examples/sim/object.rs"]
mod object;
#[path = "../examples/sim/report.rs"]
mod report;
#[path = "../examples/sim/scenario.rs"]
mod scenario;
#[path = "../examples/sim/truth.rs"]
mod truth;
#[path = "../examples/sim/world.rs"]
mod world;

fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

fn run(name: &str) -> report::Outcome {
    let plan = scenario::quick().into_iter().find(|plan| plan.name == name).unwrap();
    let outcome = world::World::new(&plan).run();
    let faults = outcome.faults(&plan);
    assert!(faults.is_empty(), "seed {}:\n{}", plan.seed, faults.join("\n"));
    outcome
}

#[test]
fn a_busy_isolate_asks_for_few_of_its_requests_and_stops_when_it_must() {
    let outcome = run("hot key");
    assert!(outcome.admitted > 20_000);
    assert!(outcome.calls_per_admitted() <= 0.05);
    assert!(outcome.after_block <= 10_000);
}

#[test]
fn a_budget_is_used_up_and_not_exceeded() {
    let outcome = run("budget runs out");
    assert_eq!((outcome.overspend, outcome.overbooked), (0, 0));
    assert!(outcome.utilisation.unwrap() >= 0.99, "{:?}", outcome.utilisation);
    assert!(outcome.refused > 1_000 && outcome.from_leases > 1_000);
}

#[test]
fn whatever_breaks_no_limit_is_exceeded_and_the_books_are_right() {
    let outcome = run("everything breaks");
    assert!(outcome.kills > 5 && outcome.crashes > 5 && outcome.refused > 500);
    assert_eq!((outcome.overspend, outcome.overbooked, outcome.books_differ), (0, 0, 0));
    assert_eq!((outcome.wrong_rows, outcome.left_behind), (0, 0));
}
