//! A node of the tree: its limits, what it has counted, and whether it lets a request through.

use super::{
    counter::{Counter, Scope, StoredCounter},
    limit::{Amounts, Unit, Window, Zones},
    wire::{Level, LimitFigures, LimitStatus, Limits, NodeSpec, RateFigures, Refusal},
};
use crate::{
    config::policy::Pattern,
    model::{money::NanoUsd, time::Timestamp},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Counted in every node from its beginning, so that a limit set later knows what came before it. Not in those of end
/// users: they are many.
const ALWAYS: [(Unit, Window); 5] = [
    (Unit::Usd, Window::DAY),
    (Unit::Usd, Window::MONTH),
    (Unit::Usd, Window::Total),
    (Unit::Requests, Window::MINUTE),
    (Unit::Tokens, Window::MINUTE),
];
/// Where [`ALWAYS`] has the money of all time.
const EVER: usize = 2;

/// What changes in a node's counters.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    pub(super) used: Amounts,
    pub(super) held: Amounts,
    /// Requests under way.
    pub(super) under_way: i64,
    pub(super) leased: Amounts,
}

/// Which request a change belongs to, as far as its counting depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted<'a> {
    /// Its number in the object.
    pub(super) number: u64,
    /// When it was admitted.
    pub(super) at: Timestamp,
    /// The models it can reach.
    pub(super) models: &'a [String],
}

/// What a request needs to be let through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    pub(super) amounts: Amounts,
    pub(super) under_way: i64,
    pub(super) unpriced: bool,
}

/// The counters of a node: [`ALWAYS`] in their order, if it has them, then those its limits need.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Counters(Vec<Counter>);

impl Default for Counters {
    fn default() -> Self {
        Self(ALWAYS.into_iter().map(|(unit, window)| Counter::new(Scope::plain(unit, window), 0)).collect())
    }
}

impl Counters {
    pub(super) fn roll(&mut self, now: Timestamp) {
        for counter in &mut self.0 {
            counter.roll(now);
        }
    }

    pub(super) fn change(&mut self, counted: Counted<'_>, change: &Change, zones: Zones) {
        for counter in &mut self.0 {
            if !counter.scope.covers(counted.models) {
                continue;
            }
            let unit = counter.scope.unit;
            counter.leased = counter.leased.saturating_add(change.leased.of(unit));
            if counted.number > counter.since {
                let held = match unit {
                    Unit::Concurrent => change.under_way,
                    unit => change.held.of(unit),
                };
                counter.add(counted.at, change.used.of(unit), held, zones);
            }
        }
    }

    pub(super) fn forget_leased(&mut self) {
        for counter in &mut self.0 {
            counter.leased = 0;
        }
    }

    /// Money settled since the beginning.
    pub(super) fn spent_ever(&self) -> NanoUsd {
        NanoUsd(self.0.get(EVER).map_or(0, Counter::used))
    }

    /// Whether nothing is counted now.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(Counter::is_empty)
    }

    fn find(&self, scope: &Scope) -> Option<&Counter> {
        self.0.iter().find(|counter| counter.scope == *scope)
    }
}

/// Counters as they are stored. The five that every node has keep the shape that older versions read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct StoredCounters {
    day: StoredMoney,
    month: StoredMoney,
    total: StoredMoney,
    /// Second, count.
    requests: Vec<(i64, i64)>,
    tokens: Vec<(i64, i64)>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    more: BTreeMap<String, StoredCounter>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct StoredMoney {
    start: i64,
    spent: i64,
}

impl StoredCounters {
    pub(super) fn of(counters: &Counters, always: usize) -> Self {
        let named = |counters: &[Counter]| {
            counters.iter().map(|counter| (counter.scope.name(), counter.stored())).collect()
        };
        if always == 0 {
            return Self { more: named(&counters.0), ..Self::default() };
        }
        let slots = |index: usize| counters.0.get(index).map(Counter::stored).unwrap_or_default().slots;
        let money = |index| {
            let last = slots(index).last().copied();
            last.map_or_else(StoredMoney::default, |(start, _, spent)| StoredMoney { start, spent })
        };
        let seconds = |index| {
            slots(index).into_iter().map(|(start, _, used)| (start / 1_000, used)).collect::<Vec<_>>()
        };
        Self {
            day: money(0),
            month: money(1),
            total: money(EVER),
            requests: seconds(3),
            tokens: seconds(4),
            more: named(counters.0.get(always..).unwrap_or_default()),
        }
    }

    fn into(&self, counters: &mut Counters, always: usize, zones: Zones) {
        let money = |window: &Window, money: StoredMoney| {
            let (start, end) = window.slot(Timestamp(money.start), zones);
            if money.spent == 0 { vec![] } else { vec![(start, end, money.spent)] }
        };
        let seconds = |seconds: &[(i64, i64)]| {
            seconds.iter().map(|(second, used)| (second * 1_000, second * 1_000 + 61_000, *used)).collect()
        };
        for (index, counter) in counters.0.iter_mut().enumerate() {
            let slots = match index {
                _ if index >= always => {
                    if let Some(stored) = self.more.get(&counter.scope.name()) {
                        counter.restore(stored);
                    }
                    continue;
                }
                0 => money(&Window::DAY, self.day),
                1 => money(&Window::MONTH, self.month),
                EVER => money(&Window::Total, self.total),
                3 => seconds(&self.requests),
                _ => seconds(&self.tokens),
            };
            counter.restore(&StoredCounter { since: 0, slots });
        }
    }
}

/// A limit and the counter it looks at.
#[derive(Clone, Debug)]
struct Rule {
    amount: i64,
    counter: usize,
    warn_at: Vec<u8>,
    /// A burst's shorter window is checked, and not shown.
    shown: bool,
}

/// A threshold that was passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) scope: String,
    pub(super) unit: Unit,
    pub(super) window: Window,
    pub(super) models: Option<Pattern>,
    pub(super) window_start: i64,
    pub(super) percent: u8,
    pub(super) limit: i64,
    pub(super) used: i64,
}

/// A node of the tree in memory.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) spec: NodeSpec,
    rules: Vec<Rule>,
    /// What is counted now, holds and leases included.
    pub(super) live: Counters,
    /// What is stored: exactly the requests already drained.
    pub(super) base: Counters,
}

impl Node {
    /// A node and its counters; those that its limits need count what comes after `number`.
    pub(super) fn new(spec: NodeSpec, number: u64) -> Self {
        let mut node = Self { spec, rules: Vec::new(), live: Counters::default(), base: Counters::default() };
        node.rule(number);
        node
    }

    /// Takes over a specification. Whether there are counters now that there were not.
    pub(super) fn specify(&mut self, spec: NodeSpec, number: u64) -> bool {
        let before = self.spec.limits != spec.limits;
        self.spec = spec;
        before && self.rule(number)
    }

    /// How many counters it has whatever its limits are.
    const fn always(&self) -> usize {
        if matches!(self.spec.level, Level::User) { 0 } else { ALWAYS.len() }
    }

    /// The base counters as they are stored.
    pub(super) fn stored(&self) -> StoredCounters {
        StoredCounters::of(&self.base, self.always())
    }

    /// The names its counters are stored under.
    pub(super) fn scopes(&self) -> impl Iterator<Item = String> {
        self.live.0.iter().map(|counter| counter.scope.name())
    }

    fn rule(&mut self, number: u64) -> bool {
        let mut rules = Vec::new();
        let (mut live, mut base) = (Vec::new(), Vec::new());
        let mut grown = false;
        for (index, (unit, window)) in ALWAYS.into_iter().take(self.always()).enumerate() {
            let fresh = || Counter::new(Scope::plain(unit, window.clone()), 0);
            live.push(self.live.0.get(index).cloned().unwrap_or_else(fresh));
            base.push(self.base.0.get(index).cloned().unwrap_or_else(fresh));
        }
        for limit in self.spec.limits.all() {
            let burst = limit.burst_window().map(|(amount, window)| (amount, window, false));
            for (amount, window, shown) in
                [(limit.amount, limit.window.clone(), true)].into_iter().chain(burst)
            {
                let scope = Scope { unit: limit.unit, window, models: limit.models.clone() };
                let counter = live.iter().position(|counter| counter.scope == scope).unwrap_or_else(|| {
                    let known = self.live.find(&scope).zip(self.base.find(&scope));
                    grown |= known.is_none();
                    let (a, b) = known.map_or_else(
                        || (Counter::new(scope.clone(), number), Counter::new(scope.clone(), number)),
                        |(a, b)| (a.clone(), b.clone()),
                    );
                    live.push(a);
                    base.push(b);
                    live.len() - 1
                });
                let warn_at = if shown { limit.warn_at.clone() } else { Vec::new() };
                rules.push(Rule { amount, counter, warn_at, shown });
            }
        }
        (self.rules, self.live, self.base) = (rules, Counters(live), Counters(base));
        grown
    }

    /// Reads the counters as they were stored, into both copies.
    pub(super) fn restore(&mut self, stored: &StoredCounters, zones: Zones) {
        let always = self.always();
        stored.into(&mut self.base, always, zones);
        self.live = self.base.clone();
    }

    fn rules(&self) -> impl Iterator<Item = (&Rule, &Counter)> {
        self.rules.iter().filter_map(|rule| Some((rule, self.live.0.get(rule.counter)?)))
    }

    /// The rules that bind a request for these models, with what is left of each.
    pub(super) fn headroom<'a>(
        &'a self,
        models: &'a [String],
    ) -> impl Iterator<Item = (&'a Scope, i64, &'a Counter)> {
        self.rules()
            .filter(|(_, counter)| counter.scope.covers(models))
            .map(|(rule, counter)| (&counter.scope, rule.amount, counter))
    }

    /// Whether the node lets nothing through, whatever its limits.
    pub(super) fn shut(&self, now: Timestamp) -> Option<Refusal> {
        if self.spec.blocked {
            return Some(Refusal::Blocked { level: self.spec.level });
        }
        self.spec.expires_at.is_some_and(|at| at <= now).then_some(Refusal::Expired)
    }

    /// Whether a node lets a request through. Order: who may at all, then rates, then money ([`Limits::all`]).
    pub(super) fn check(
        &self,
        now: Timestamp,
        models: &[String],
        need: Need,
        zones: Zones,
    ) -> Option<Refusal> {
        if let Some(refusal) = self.shut(now) {
            return Some(refusal);
        }
        let level = self.spec.level;
        for (scope, limit, counter) in self.headroom(models) {
            let amount = match scope.unit {
                Unit::Concurrent => need.under_way,
                unit => need.amounts.of(unit),
            };
            let fits = |taken: i64| taken.saturating_add(amount) <= limit;
            if scope.unit == Unit::Usd {
                if need.unpriced {
                    return Some(Refusal::Unpriced { level });
                }
                if !fits(counter.taken()) {
                    return Some(Refusal::Budget {
                        level,
                        window: scope.window.clone(),
                        limit: NanoUsd(limit),
                        taken: NanoUsd(counter.taken()),
                        resets_at: counter.resets_at(now, zones),
                        least: NanoUsd::MAX,
                        models: scope.models.clone(),
                        recalled: fits(counter.used().saturating_add(counter.held())),
                    });
                }
            } else if amount > 0 && !fits(counter.taken()) {
                return Some(Refusal::Rate {
                    level,
                    unit: scope.unit,
                    limit: limit.unsigned_abs(),
                    retry_after_ms: counter.wait_ms(now, amount, limit),
                    window: scope.window.clone(),
                    models: scope.models.clone(),
                    recalled: fits(counter.used().saturating_add(counter.held())),
                });
            }
        }
        None
    }

    /// Whether some limit has thresholds.
    pub(super) fn warns(&self) -> bool {
        self.rules.iter().any(|rule| !rule.warn_at.is_empty())
    }

    /// The highest threshold that each limit has passed.
    pub(super) fn passed(&self) -> Vec<Passed> {
        let passed = |(rule, counter): (&Rule, &Counter)| {
            let used = counter.used();
            let reached = |percent: &u8| {
                i128::from(used) * 100 >= i128::from(rule.amount) * i128::from(*percent) && used > 0
            };
            let percent = rule.warn_at.iter().copied().filter(reached).max()?;
            Some(Passed {
                scope: counter.scope.name(),
                unit: counter.scope.unit,
                window: counter.scope.window.clone(),
                models: counter.scope.models.clone(),
                window_start: counter.current(),
                percent,
                limit: rule.amount,
                used,
            })
        };
        self.rules().filter_map(passed).collect()
    }

    pub(super) fn statuses(&self, now: Timestamp, zones: Zones) -> Vec<LimitStatus> {
        let mut node = self.clone();
        node.live.roll(now);
        let status = |(rule, counter): (&Rule, &Counter)| {
            if !rule.shown {
                return None;
            }
            let resets_at = counter.resets_at(now, zones).map(Timestamp::to_rfc3339);
            let limit = rule.amount;
            let remaining = limit.saturating_sub(counter.taken()).max(0);
            let figures = if counter.scope.unit == Unit::Usd {
                LimitFigures::Budget {
                    window: counter.scope.window.clone(),
                    limit_nanousd: NanoUsd(limit),
                    spent_nanousd: NanoUsd(counter.used()),
                    held_nanousd: NanoUsd(counter.held()),
                    leased_nanousd: NanoUsd(counter.leased),
                    remaining_nanousd: NanoUsd(remaining),
                    resets_at,
                }
            } else {
                let figures = RateFigures {
                    window: counter.scope.window.word(),
                    limit,
                    used: counter.used().saturating_add(counter.held()),
                    held: counter.held(),
                    leased: counter.leased,
                    remaining,
                    resets_at,
                };
                match counter.scope.unit {
                    Unit::Requests => LimitFigures::Requests(figures),
                    Unit::InputTokens => LimitFigures::InputTokens(figures),
                    Unit::OutputTokens => LimitFigures::OutputTokens(figures),
                    Unit::Concurrent => LimitFigures::Concurrent(figures),
                    Unit::Tokens | Unit::Usd => LimitFigures::Tokens(figures),
                }
            };
            let models = counter.scope.models.clone();
            Some(LimitStatus { level: self.spec.level, id: self.spec.id.clone(), models, figures })
        };
        let mut statuses: Vec<LimitStatus> = node.rules().filter_map(status).collect();
        statuses.sort_by_key(|status| !matches!(status.figures, LimitFigures::Budget { .. }));
        statuses
    }
}

/// A node nobody has specified: a route's, or one whose specification is not stored.
pub(super) fn bare(id: &str) -> NodeSpec {
    NodeSpec {
        id: id.to_owned(),
        level: Level::Route,
        team: None,
        limits: Limits::default(),
        each_user: None,
        blocked: false,
        expires_at: None,
        revision: 0,
    }
}
