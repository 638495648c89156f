//! What providers bill, counted apart from the gateway: exactly, without slots, rounding or messages.

use edgehold::admit::limit::{Limit, Unit, Window};
use std::collections::VecDeque;

/// A request as the world sees it.
#[derive(Clone, Debug)]
pub struct Request {
    pub key: u32,
    pub arrived: i64,
    pub latency: i64,
    pub bound: i64,
    pub cost: i64,
    pub input: i64,
    pub output: i64,
    pub used_output: i64,
    /// By the true clock, when somebody decided that it may go; `None`: nobody has, or it was taken back.
    pub admitted: Option<i64>,
    /// The provider has billed it.
    pub ended: bool,
    /// Its isolate was killed before anybody had heard of its end.
    pub lost: bool,
    /// Refused, although what was billed and held at that moment left room for it.
    pub fitted: bool,
    /// The exact gateway's decision.
    pub exact: Option<i64>,
    pub exact_ended: bool,
}

impl Request {
    /// What it counts before and after its end.
    fn weights(&self, unit: Unit) -> (i64, i64) {
        match unit {
            Unit::Usd => (self.bound, self.cost),
            Unit::Requests => (1, 1),
            Unit::InputTokens => (self.input, self.input),
            Unit::OutputTokens => (self.output, self.used_output),
            Unit::Tokens => (self.input + self.output, self.input + self.used_output),
            Unit::Concurrent => (1, 0),
        }
    }
}

/// Whose decisions are counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Gateway,
    Exact,
}

/// One limit of one node.
pub struct Meter {
    pub limit: i64,
    pub unit: Unit,
    pub window: Window,
    whose: Whose,
    /// With bounds for what is under way: what is billed at worst.
    pub worst: i64,
    /// What is billed.
    pub billed: i64,
    queue: VecDeque<(i64, u32)>,
    slot: (i64, i64),
    /// The highest that `worst` ever was.
    pub peak: i64,
    /// What was billed in each calendar window, by its beginning.
    pub windows: Vec<(i64, i64)>,
}

impl Meter {
    pub fn new(limit: &Limit, whose: Whose) -> Self {
        Self {
            limit: limit.amount,
            unit: limit.unit,
            window: limit.window.clone(),
            whose,
            worst: 0,
            billed: 0,
            queue: VecDeque::new(),
            slot: (i64::MIN, i64::MIN),
            peak: 0,
            windows: vec![],
        }
    }

    fn at(&self, request: &Request) -> Option<i64> {
        if self.whose == Whose::Gateway { request.admitted } else { request.exact }
    }

    fn ended(&self, request: &Request) -> bool {
        if self.whose == Whose::Gateway { request.ended } else { request.exact_ended }
    }

    pub fn roll(&mut self, now: i64, requests: &[Request]) {
        match self.window {
            Window::Total => {}
            Window::Calendar(..) => {
                if now >= self.slot.1 {
                    let at = edgehold::model::time::Timestamp(now);
                    self.slot = self.window.slot(at, edgehold::admit::limit::utc_only);
                    self.windows.push((self.slot.0, 0));
                    (self.worst, self.billed) = (0, 0);
                }
            }
            Window::Rolling(ms) => {
                while let Some(&(at, index)) = self.queue.front().filter(|(at, _)| *at <= now - ms) {
                    self.queue.pop_front();
                    let request = &requests[index as usize];
                    // Taken back, and perhaps admitted again later: not counted here any more.
                    if self.at(request) == Some(at) {
                        let (before, after) = request.weights(self.unit);
                        let ended = self.ended(request);
                        self.worst -= if ended { after } else { before };
                        self.billed -= if ended { after } else { 0 };
                    }
                }
            }
        }
    }

    /// Whether a gateway that knows everything, and holds bounds as every gateway must, would let it through.
    pub fn fits(&self, request: &Request) -> bool {
        self.worst + request.weights(self.unit).0 <= self.limit
    }

    pub fn admit(&mut self, index: u32, request: &Request, at: i64) {
        self.worst += request.weights(self.unit).0;
        self.peak = self.peak.max(self.worst);
        if matches!(self.window, Window::Rolling(_)) {
            self.queue.push_back((at, index));
        }
    }

    fn counts(&self, at: i64, now: i64) -> bool {
        match self.window {
            Window::Total => true,
            Window::Calendar(..) => at >= self.slot.0,
            Window::Rolling(ms) => at > now - ms,
        }
    }

    /// It was never sent.
    pub fn take_back(&mut self, request: &Request, at: i64, now: i64) {
        if self.counts(at, now) {
            self.worst -= request.weights(self.unit).0;
        }
    }

    /// The provider bills it.
    pub fn end(&mut self, request: &Request, at: i64, now: i64) {
        let (before, after) = request.weights(self.unit);
        if self.counts(at, now) {
            self.worst += after - before;
            self.billed += after;
        }
        if let Some(window) = self.windows.iter_mut().rev().find(|(start, _)| *start <= at) {
            window.1 += after;
        }
    }
}
