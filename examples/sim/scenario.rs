//! What is simulated.

use edgehold::{
    admit::limit::{Limit, Limits, Unit, Window},
    model::money::NanoUsd,
};

pub const SECOND: i64 = 1_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
/// 2026-11-21, 00:00 UTC.
pub const MIDNIGHT: i64 = 1_795_219_200_000;

/// A world and what it must come to.
#[derive(Clone)]
pub struct Scenario {
    pub name: &'static str,
    pub seed: u64,
    pub start: i64,
    pub length: i64,
    pub isolates: usize,
    /// How unequally requests fall on isolates and keys (Zipf's exponent).
    pub skew: f64,
    pub keys: usize,
    /// Requests a second, on average.
    pub rate: f64,
    /// Every so many ms, for so many ms, so many times as many.
    pub burst: Option<(i64, i64, f64)>,
    pub customer: Limits,
    pub key: Limits,
    /// Median cost of a request, in nano-dollars.
    pub cost: f64,
    /// Round trips to the object, in ms: each isolate has its own distance between these.
    pub rtt: (f64, f64),
    /// Means, in ms, between kills of isolates and crashes of the object.
    pub kill_every: Option<f64>,
    pub crash_every: Option<f64>,
    /// Of messages, each way.
    pub loss: f64,
    pub doubled: f64,
    /// Isolates' clocks are wrong by up to so many ms, and drift by up to 100 ppm.
    pub clocks: i64,
    pub wire: bool,
    /// A key is blocked so often, for twenty seconds.
    pub block_every: Option<i64>,
    /// D1 is away from when to when, in ms from the start.
    pub d1_away: Option<(i64, i64)>,
    /// The shares that must be reached, where they mean something.
    pub least_utilisation: Option<f64>,
    pub most_calls: Option<f64>,
    /// Of all requests, the share refused although what was billed and held left room for them.
    pub most_false: f64,
    /// Admitted, as a share of what the exact gateway admits.
    pub least_admitted: f64,
    /// A point of the picture for each.
    pub trace_every: Option<i64>,
}

pub fn dollars(amount: f64) -> Limits {
    Limits { total: Some(NanoUsd((amount * 1e9) as i64)), ..Limits::default() }
}

pub fn rolling(unit: Unit, amount: i64, ms: i64) -> Limits {
    let window = Window::Rolling(ms);
    Limits {
        more: vec![Limit { unit, amount, window, burst: None, models: None, warn_at: vec![] }],
        ..Limits::default()
    }
}

impl Scenario {
    fn base(name: &'static str) -> Self {
        Self {
            name,
            seed: 1,
            start: MIDNIGHT + 10 * HOUR,
            length: 20 * MINUTE,
            isolates: 50,
            skew: 0.0,
            keys: 1,
            rate: 100.0,
            burst: None,
            customer: dollars(1e6),
            key: Limits::default(),
            cost: 2e6,
            rtt: (5.0, 250.0),
            kill_every: None,
            crash_every: None,
            loss: 0.0,
            doubled: 0.0,
            clocks: 5_000,
            wire: false,
            block_every: None,
            d1_away: None,
            least_utilisation: None,
            most_calls: None,
            most_false: 0.001,
            least_admitted: 0.995,
            trace_every: None,
        }
    }
}

/// All of them, an hour or so of each.
pub fn all() -> Vec<Scenario> {
    let base = Scenario::base;
    vec![
        Scenario {
            isolates: 1,
            rate: 200.0,
            length: HOUR,
            wire: true,
            block_every: Some(5 * MINUTE),
            most_calls: Some(0.05),
            ..base("hot key")
        },
        Scenario {
            isolates: 50,
            rate: 1_000.0,
            length: 15 * MINUTE,
            block_every: Some(2 * MINUTE),
            most_calls: Some(0.15),
            ..base("one key everywhere")
        },
        Scenario {
            isolates: 2_000,
            skew: 1.1,
            keys: 20,
            rate: 600.0,
            length: 30 * MINUTE,
            burst: Some((MINUTE, 5 * SECOND, 6.0)),
            block_every: Some(MINUTE),
            ..base("many isolates, skewed")
        },
        Scenario {
            isolates: 100,
            skew: 0.8,
            rate: 200.0,
            length: 40 * MINUTE,
            customer: dollars(1_000.0),
            least_utilisation: Some(0.99),
            most_false: 0.02,
            trace_every: Some(2 * SECOND),
            ..base("budget runs out")
        },
        Scenario {
            isolates: 40,
            skew: 0.8,
            rate: 120.0,
            length: HOUR,
            customer: Limits { rpm: Some(3_600), ..dollars(1e6) },
            least_utilisation: Some(0.98),
            most_false: 0.1,
            least_admitted: 0.98,
            ..base("rate limit, twice the demand")
        },
        Scenario {
            isolates: 200,
            skew: 1.0,
            keys: 5,
            rate: 150.0,
            length: HOUR,
            kill_every: Some(3_000.0),
            ..base("a kill every 3 s")
        },
        Scenario {
            isolates: 100,
            skew: 0.8,
            keys: 3,
            rate: 150.0,
            length: HOUR,
            customer: dollars(1_500.0),
            crash_every: Some(20_000.0),
            loss: 0.02,
            doubled: 0.02,
            clocks: HOUR,
            wire: true,
            d1_away: Some((10 * MINUTE, 20 * MINUTE)),
            least_utilisation: Some(0.99),
            most_false: 0.02,
            ..base("evictions, loss, wrong clocks")
        },
        Scenario {
            isolates: 30,
            rate: 20.0,
            length: 3 * HOUR,
            customer: rolling(Unit::Usd, 10_000_000_000, 10 * MINUTE),
            most_false: 0.3,
            least_admitted: 0.97,
            ..base("always near a small limit")
        },
        Scenario {
            isolates: 60,
            skew: 0.8,
            start: MIDNIGHT - 50 * MINUTE,
            rate: 60.0,
            length: 110 * MINUTE,
            customer: Limits { day: Some(NanoUsd(400_000_000_000)), ..Limits::default() },
            least_utilisation: Some(0.99),
            most_false: 0.02,
            ..base("midnight")
        },
        Scenario {
            isolates: 200,
            skew: 0.8,
            keys: 300,
            rate: 150.0,
            length: 50 * MINUTE,
            customer: dollars(1_000.0),
            key: Limits { rpm: Some(600), ..dollars(200.0) },
            least_utilisation: Some(0.99),
            most_false: 0.02,
            ..base("300 keys, one budget")
        },
    ]
}

/// Seconds of work, for every run of the tests.
pub fn quick() -> Vec<Scenario> {
    let base = Scenario::base;
    vec![
        Scenario {
            isolates: 1,
            rate: 200.0,
            length: 4 * MINUTE,
            wire: true,
            block_every: Some(150 * SECOND),
            most_calls: Some(0.05),
            ..base("hot key")
        },
        Scenario {
            isolates: 20,
            skew: 0.8,
            rate: 60.0,
            length: 8 * MINUTE,
            customer: dollars(50.0),
            least_utilisation: Some(0.99),
            most_false: 0.05,
            ..base("budget runs out")
        },
        Scenario {
            isolates: 20,
            skew: 0.8,
            keys: 2,
            rate: 40.0,
            length: 4 * MINUTE,
            customer: Limits { rpm: Some(1_200), ..dollars(60.0) },
            kill_every: Some(10_000.0),
            crash_every: Some(10_000.0),
            loss: 0.02,
            doubled: 0.02,
            clocks: HOUR,
            wire: true,
            most_false: 0.6,
            least_admitted: 0.95,
            ..base("everything breaks")
        },
    ]
}
