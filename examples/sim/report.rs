//! What came of a scenario, as a table, and whether it is good enough.

use crate::scenario::Scenario;
use std::fmt::Write as _;

#[derive(Default)]
pub struct Outcome {
    pub requests: u64,
    pub admitted: u64,
    pub from_leases: u64,
    pub refused: u64,
    /// No answer from the object, three times.
    pub unavailable: u64,
    /// Killed while they waited for the object.
    pub cut_off: u64,
    pub exact_admitted: u64,
    pub false_refusals: u64,
    /// Of these, those that leases were in the way of.
    pub false_leased: u64,
    /// What was billed, as a share of the limit, when somebody was refused for the first time.
    pub first_refusal: Option<f64>,
    /// Messages sent, and commands that arrived.
    pub calls: u64,
    pub commands: u64,
    pub holds: u64,
    pub denials: u64,
    pub reports: u64,
    pub settles: u64,
    pub unheard: u64,
    pub row_writes: u64,
    pub kills: u64,
    pub crashes: u64,
    /// Providers' bills and bounds of what is under way, above a limit.
    pub overspend: i64,
    /// Spent, held and leased, above a limit.
    pub overbooked: i64,
    pub after_block: i64,
    pub billed: i64,
    pub spent: i64,
    pub charged_unused: i64,
    pub left_behind: u64,
    /// Of what was charged: for leases that nobody was heard of again.
    pub charged_leases: i64,
    pub books_differ: i64,
    pub wrong_rows: u64,
    pub utilisation: Option<f64>,
    pub exact_utilisation: Option<f64>,
    /// Since the start; limit, spent, held, leased; billed.
    pub trace: Vec<(i64, [i64; 4], i64)>,
    sums: [Vec<(f64, u32)>; 2],
    pub seconds: f64,
}

impl Outcome {
    /// A sample of a rolling window.
    pub fn filled(&mut self, meter: usize, which: usize, share: f64) {
        let sums = &mut self.sums[which];
        sums.resize(sums.len().max(meter + 1), (0.0, 0));
        sums[meter].0 += share;
        sums[meter].1 += 1;
    }

    pub fn close(&mut self, shares: [Option<f64>; 2]) {
        let best = |which: usize| {
            let rolling = self.sums[which].iter().filter(|(_, n)| *n > 0).map(|(sum, n)| sum / f64::from(*n));
            rolling
                .chain(shares[which])
                .fold(None, |best: Option<f64>, one| Some(best.map_or(one, |best| best.max(one))))
        };
        (self.utilisation, self.exact_utilisation) = (best(0), best(1));
    }

    pub fn calls_per_admitted(&self) -> f64 {
        (self.calls - self.denials) as f64 / self.admitted.max(1) as f64
    }

    fn share(&self, count: u64) -> f64 {
        count as f64 / self.requests.max(1) as f64
    }

    /// What is not as it must be.
    pub fn faults(&self, plan: &Scenario) -> Vec<String> {
        let mut faults = vec![];
        let mut fault = |wrong: bool, what: String| {
            if wrong {
                faults.push(format!("{}: {what}", plan.name));
            }
        };
        fault(self.overspend > 0, format!("{} above a limit", self.overspend));
        fault(self.overbooked > 0, format!("{} booked above a limit", self.overbooked));
        fault(self.left_behind > 0, format!("{} entries or leases left behind", self.left_behind));
        fault(self.books_differ != 0, format!("D1 and the object differ by {}", self.books_differ));
        fault(self.wrong_rows > 0, format!("{} requests whose rows are not what they cost", self.wrong_rows));
        fault(self.charged_unused < 0, format!("{} billed and not charged", -self.charged_unused));
        let quiet = self.kills == 0;
        fault(quiet && self.charged_unused != 0, format!("{} charged and not billed", self.charged_unused));
        fault(self.after_block > 10_000, format!("admitted {} ms after a block", self.after_block));
        if let Some(least) = plan.least_utilisation {
            let is = self.utilisation.unwrap_or(0.0);
            fault(is < least, format!("utilisation {is:.4}, at least {least} is wanted"));
        }
        if let Some(most) = plan.most_calls {
            let is = self.calls_per_admitted();
            fault(is > most, format!("{is:.3} calls of the object for a request, at most {most} are wanted"));
        }
        let admitted = self.admitted as f64 / self.exact_admitted.max(1) as f64;
        let least = plan.least_admitted;
        fault(
            admitted < least,
            format!("{admitted:.4} of what the exact gateway admits, at least {least} is wanted"),
        );
        let false_share = self.share(self.false_refusals);
        fault(
            false_share > plan.most_false,
            format!(
                "{false_share:.4} of all requests falsely refused, at most {} are wanted",
                plan.most_false
            ),
        );
        faults
    }
}

fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A Markdown table.
pub fn table(all: &[(Scenario, Outcome)]) -> String {
    let percent =
        |share: Option<f64>| share.map_or_else(|| "–".to_owned(), |share| format!("{:.2} %", share * 100.0));
    let dollars = |nano: i64| format!("${:.2}", nano as f64 / 1e9);
    let mut text = String::from(
        "| scenario | requests | admitted | from leases | overspend | utilisation | exact gateway: admitted | exact: utilisation | billed at first refusal | false refusals | object calls per admitted | row writes per admitted | last admission after a block | kills / crashes | charged, not billed |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for (plan, one) in all {
        let limited = one.first_refusal.is_some() && one.utilisation.is_some();
        let admitted = one.admitted.max(1) as f64;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.1} % | {} | {} | {} | {} | {} | {} ({:.3} %) | {:.3} | {:.2} | {} | {} | {} ({:.2} %) |",
            plan.name,
            thousands(one.requests),
            thousands(one.admitted),
            one.from_leases as f64 / admitted * 100.0,
            one.overspend.max(one.overbooked).max(0),
            percent(one.utilisation.filter(|_| limited)),
            thousands(one.exact_admitted),
            percent(one.exact_utilisation.filter(|_| limited)),
            percent(one.first_refusal.filter(|_| limited && plan.least_utilisation.is_some())),
            thousands(one.false_refusals),
            one.share(one.false_refusals) * 100.0,
            one.calls_per_admitted(),
            one.row_writes as f64 / admitted,
            plan.block_every
                .map_or_else(|| "–".to_owned(), |_| format!("{:.1} s", one.after_block as f64 / 1e3)),
            if one.kills + one.crashes == 0 {
                "–".to_owned()
            } else {
                format!("{} / {}", one.kills, one.crashes)
            },
            dollars(one.charged_unused),
            one.charged_unused as f64 / one.billed.max(1) as f64 * 100.0,
        );
    }
    text
}
