//! A node of the tree: what it has counted, and whether it lets a request through.

use super::{
    ledger::Entry,
    window::{Minute, MoneyWindow},
    wire::{Level, LimitFigures, LimitStatus, Limits, NodeSpec, RateFigures, RateUnit, Refusal, Window},
};
use crate::model::{money::NanoUsd, time::Timestamp};
use serde::{Deserialize, Serialize};

/// What a node has counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Counters {
    day: MoneyWindow,
    month: MoneyWindow,
    pub(super) total: MoneyWindow,
    requests: Minute,
    tokens: Minute,
}

impl Counters {
    pub(super) fn roll(&mut self, now: Timestamp) {
        self.day.roll(now.day_start());
        self.month.roll(now.month_start());
        self.requests.roll(now);
        self.tokens.roll(now);
    }

    /// The money windows that were current at `at` and still are.
    fn windows_of(&mut self, at: Timestamp) -> impl Iterator<Item = &mut MoneyWindow> {
        let (day, month) = (at.day_start(), at.month_start());
        [(&mut self.day, day), (&mut self.month, month), (&mut self.total, Timestamp(0))]
            .into_iter()
            .filter_map(|(window, start)| (window.start == start).then_some(window))
    }

    pub(super) fn hold(&mut self, at: Timestamp, bound: NanoUsd, requests: u64, tokens: u64) {
        for window in self.windows_of(at) {
            window.held = window.held.plus(bound);
        }
        self.requests.add(at, requests);
        self.tokens.add(at, tokens);
    }

    pub(super) fn settle(&mut self, entry: &Entry) {
        for window in self.windows_of(entry.at) {
            window.held = window.held.minus(entry.bound);
            window.spent = window.spent.plus(entry.cost);
        }
        self.tokens.take_back(entry.at, entry.tokens);
        self.tokens.add(entry.at, entry.used);
    }

    /// Counts a request that was never held in this copy: base counters, and replay.
    pub(super) fn charge(&mut self, entry: &Entry) {
        self.roll(entry.at);
        for window in self.windows_of(entry.at) {
            window.spent = window.spent.plus(entry.cost);
        }
        if !entry.adjustment {
            self.requests.add(entry.at, 1);
            self.tokens.add(entry.at, entry.used);
        }
    }

    pub(super) const fn window(&self, window: Window) -> &MoneyWindow {
        match window {
            Window::Day => &self.day,
            Window::Month => &self.month,
            Window::Total => &self.total,
        }
    }
}

/// A node of the tree in memory.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) spec: NodeSpec,
    /// What is counted now, holds included.
    pub(super) live: Counters,
    /// What is stored: exactly the requests already drained.
    pub(super) base: Counters,
}

impl Node {
    pub(super) fn new(spec: NodeSpec) -> Self {
        Self { spec, live: Counters::default(), base: Counters::default() }
    }

    pub(super) fn budgets(&self) -> impl Iterator<Item = (Window, NanoUsd)> {
        let Limits { day, month, total, .. } = self.spec.limits;
        [(Window::Total, total), (Window::Month, month), (Window::Day, day)]
            .into_iter()
            .filter_map(|(window, limit)| limit.map(|limit| (window, limit)))
    }

    pub(super) fn rates(&self) -> impl Iterator<Item = (RateUnit, u64, &Minute)> {
        let Limits { rpm, tpm, .. } = self.spec.limits;
        [(RateUnit::Requests, rpm, &self.live.requests), (RateUnit::Tokens, tpm, &self.live.tokens)]
            .into_iter()
            .filter_map(|(unit, limit, minute)| limit.map(|limit| (unit, limit, minute)))
    }

    /// Whether a node lets a request through. Order: who may at all, then rates, then money, so that a caller who is
    /// told "no money" has no other reason to fear.
    pub(super) fn check(
        &self,
        now: Timestamp,
        unpriced: bool,
        money: NanoUsd,
        requests: u64,
        tokens: u64,
    ) -> Option<Refusal> {
        let level = self.spec.level;
        if self.spec.blocked {
            return Some(Refusal::Blocked { level });
        }
        if self.spec.expires_at.is_some_and(|at| at <= now) {
            return Some(Refusal::Expired);
        }
        for (unit, limit, minute) in self.rates() {
            let amount = if unit == RateUnit::Requests { requests } else { tokens };
            if amount > 0 && minute.sum().saturating_add(amount) > limit {
                let retry_after_ms = minute.wait_ms(now, amount, limit);
                return Some(Refusal::Rate { level, unit, limit, retry_after_ms });
            }
        }
        for (window, limit) in self.budgets() {
            if unpriced {
                return Some(Refusal::Unpriced { level });
            }
            let taken = self.live.window(window).taken();
            if taken.plus(money) > limit {
                let resets_at = resets_at(window, now);
                let least = NanoUsd::MAX;
                return Some(Refusal::Budget { level, window, limit, taken, resets_at, least });
            }
        }
        None
    }

    pub(super) fn statuses(&self, now: Timestamp) -> Vec<LimitStatus> {
        let mut live = self.live.clone();
        live.roll(now);
        let status = |figures| LimitStatus { level: self.spec.level, id: self.spec.id.clone(), figures };
        let budgets = self.budgets().map(|(window, limit)| {
            let money = live.window(window);
            status(LimitFigures::Budget {
                window,
                limit_nanousd: limit,
                spent_nanousd: money.spent,
                held_nanousd: money.held,
                remaining_nanousd: limit.minus(money.taken()).max(NanoUsd::ZERO),
                resets_at: resets_at(window, now).map(Timestamp::to_rfc3339),
            })
        });
        let Limits { rpm, tpm, .. } = self.spec.limits;
        let rate = |limit: u64, minute: &Minute| RateFigures {
            window: "minute".to_owned(),
            limit,
            used: minute.sum(),
            remaining: limit.saturating_sub(minute.sum()),
            resets_at: now.plus_ms(minute.reset_ms(now)).to_rfc3339(),
        };
        let rates = rpm
            .map(|limit| status(LimitFigures::Requests(rate(limit, &live.requests))))
            .into_iter()
            .chain(tpm.map(|limit| status(LimitFigures::Tokens(rate(limit, &live.tokens)))));
        budgets.chain(rates).collect()
    }
}

fn resets_at(window: Window, now: Timestamp) -> Option<Timestamp> {
    match window {
        Window::Day => Some(now.day_start().plus_ms(crate::model::time::DAY_MS)),
        Window::Month => Some(now.next_month_start()),
        Window::Total => None,
    }
}

/// A node nobody has specified: a route's, or one whose specification is not stored.
pub(super) fn bare(id: &str) -> NodeSpec {
    NodeSpec {
        id: id.to_owned(),
        level: Level::Route,
        team: None,
        limits: Limits::default(),
        blocked: false,
        expires_at: None,
        revision: 0,
    }
}
