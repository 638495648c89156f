//! `make sim`: thousands of isolates and one object, hours of their time in seconds of ours. See `docs/simulation.md`.
//!
//! `cargo run --profile sim --example sim [-- [--quick] [--write] [--seed N] [NAME]]`

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a simulation that has gone wrong shall stop"
)]

mod draw;
mod object;
mod picture;
mod report;
mod scenario;
mod truth;
mod world;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

/// As JSON.
pub fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("plain data is JSON")
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|one| one == word);
    let seed = words.windows(2).find(|pair| pair[0] == "--seed").and_then(|pair| pair[1].parse::<u64>().ok());
    let name = words.iter().rfind(|word| !word.starts_with("--") && word.parse::<u64>().is_err());
    let plans = || {
        let mut plans = if has("--quick") { scenario::quick() } else { scenario::all() };
        plans.retain(|plan| name.is_none_or(|name| plan.name.contains(name.as_str())));
        for plan in &mut plans {
            plan.seed = seed.unwrap_or(plan.seed);
        }
        plans
    };
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                // Each thread has plans of its own: windows count references.
                while let index = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(plan) = plans().get(index)
                {
                    let outcome = simulate(plan);
                    done.lock().unwrap().push((index, outcome));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(index, _)| *index);
    let all: Vec<_> = plans().into_iter().zip(done.into_iter().map(|(_, outcome)| outcome)).collect();
    let table = report::table(&all);
    println!("{table}");
    // A part of the scenarios is no table.
    if has("--write") && !has("--quick") && name.is_none() {
        picture::write(&all);
        picture::put_table("docs/simulation.md", "simulation", &table);
    }
    let faults: Vec<String> = all.iter().flat_map(|(plan, outcome)| outcome.faults(plan)).collect();
    for fault in &faults {
        eprintln!("sim: FAULT: {fault}");
    }
    std::process::exit(i32::from(!faults.is_empty()));
}

#[expect(clippy::disallowed_methods, reason = "how long it took, outside Workers")]
fn simulate(plan: &scenario::Scenario) -> report::Outcome {
    let began = Instant::now();
    let mut outcome = world::World::new(plan).run();
    outcome.seconds = began.elapsed().as_secs_f64();
    eprintln!(
        "sim: {} (seed {}): {} requests, {:.2} h simulated in {:.1} s, {} unavailable, {} cut off, {} reports unheard, {} falsely refused for leases; {} holds, {} denials, {} reports, {} settlements; ${:.2} charged for leases",
        plan.name,
        plan.seed,
        outcome.requests,
        plan.length as f64 / 3.6e6,
        outcome.seconds,
        outcome.unavailable,
        outcome.cut_off,
        outcome.unheard,
        outcome.false_leased,
        outcome.holds,
        outcome.denials,
        outcome.reports,
        outcome.settles,
        outcome.charged_leases as f64 / 1e9,
    );
    outcome
}
