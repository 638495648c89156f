//! The picture of a budget that runs out, and the table in the documentation.

use crate::{report::Outcome, scenario::Scenario};
use std::fmt::Write as _;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 260.0;

/// A part of the trace, in axes of its own.
struct Panel<'a> {
    left: f64,
    title: &'a str,
    minutes: (f64, f64),
    dollars: (f64, f64),
}

impl Panel<'_> {
    fn x(&self, ms: i64) -> f64 {
        let share = (ms as f64 / 60_000.0 - self.minutes.0) / (self.minutes.1 - self.minutes.0);
        self.left + share * WIDTH
    }

    fn y(&self, nano: i64) -> f64 {
        let share = (nano as f64 / 1e9 - self.dollars.0) / (self.dollars.1 - self.dollars.0);
        60.0 + (1.0 - share.clamp(0.0, 1.0)) * HEIGHT
    }

    fn draw(&self, svg: &mut String, trace: &[(i64, [i64; 4], i64)]) {
        let shown: Vec<_> = trace
            .iter()
            .filter(|(ms, ..)| (self.minutes.0..=self.minutes.1).contains(&(*ms as f64 / 60_000.0)))
            .collect();
        let band = |from: &dyn Fn(&[i64; 4]) -> i64, to: &dyn Fn(&[i64; 4]) -> i64| {
            let there = shown.iter().map(|(ms, sums, _)| (self.x(*ms), self.y(to(sums))));
            let back = shown.iter().rev().map(|(ms, sums, _)| (self.x(*ms), self.y(from(sums))));
            there.chain(back).map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
        };
        let spent = band(&|_| 0, &|sums| sums[1]);
        let held = band(&|sums| sums[1], &|sums| sums[1] + sums[2]);
        let leased = band(&|sums| sums[1] + sums[2], &|sums| sums[1] + sums[2] + sums[3]);
        for (points, colour) in [(spent, "#4c78a8"), (held, "#f2a93b"), (leased, "#7bb274")] {
            let _ = writeln!(svg, r#"<polygon points="{points}" fill="{colour}"/>"#);
        }
        let billed: Vec<String> = shown
            .iter()
            .map(|(ms, _, billed)| format!("{:.1},{:.1}", self.x(*ms), self.y(*billed)))
            .collect();
        let _ = writeln!(
            svg,
            r##"<polyline points="{}" fill="none" stroke="#111" stroke-width="1.2" stroke-dasharray="4 3"/>"##,
            billed.join(" ")
        );
        let limit = trace.first().map_or(0, |(_, sums, _)| sums[0]);
        let (x0, x1, y) = (self.left, self.left + WIDTH, self.y(limit));
        let _ = writeln!(
            svg,
            r##"<line x1="{x0}" x2="{x1}" y1="{y}" y2="{y}" stroke="#c0392b" stroke-width="1.6"/>"##
        );
        let _ = writeln!(
            svg,
            r##"<text x="{}" y="{}" fill="#c0392b" text-anchor="end">limit</text>"##,
            x1 - 4.0,
            y - 5.0
        );
        let bottom = 60.0 + HEIGHT;
        let _ = writeln!(
            svg,
            r##"<path d="M{x0} 60V{bottom}H{x1}" fill="none" stroke="#333"/><text x="{x0}" y="40" font-weight="600">{}</text>"##,
            self.title
        );
        for step in 0..=4 {
            let share = f64::from(step) / 4.0;
            let minute = self.minutes.0 + share * (self.minutes.1 - self.minutes.0);
            let dollars = self.dollars.0 + share * (self.dollars.1 - self.dollars.0);
            let (x, y) = (self.left + share * WIDTH, bottom - share * HEIGHT);
            let _ = writeln!(
                svg,
                r#"<text x="{x}" y="{}" text-anchor="middle">{minute:.1} min</text><text x="{}" y="{}" text-anchor="end">${dollars:.0}</text>"#,
                bottom + 18.0,
                x0 - 6.0,
                y + 4.0
            );
        }
    }
}

pub fn write(all: &[(Scenario, Outcome)]) {
    let Some((plan, outcome)) =
        all.iter().find(|(plan, outcome)| plan.trace_every.is_some() && !outcome.trace.is_empty())
    else {
        return;
    };
    let trace = &outcome.trace;
    let limit = trace[0].1[0] as f64 / 1e9;
    let length = plan.length as f64 / 60_000.0;
    // Where it becomes tight: from 95 % of the budget on.
    let tight = trace.iter().find(|(_, sums, _)| sums[1] as f64 >= sums[0] as f64 * 0.95);
    let from = tight.map_or(length / 2.0, |(ms, ..)| (*ms as f64 / 60_000.0).floor());
    let mut svg = String::from(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1300 390" font-family="system-ui, sans-serif" font-size="12" fill="#222">
<rect width="1300" height="390" fill="#fff"/>
"##,
    );
    let whole = Panel {
        left: 60.0,
        title: "A budget runs out: what the object has booked",
        minutes: (0.0, length),
        dollars: (0.0, limit * 1.04),
    };
    let last = Panel {
        left: 710.0,
        title: "The last twentieth of it",
        minutes: (from, from + 4.0),
        dollars: (limit * 0.94, limit * 1.004),
    };
    whole.draw(&mut svg, trace);
    last.draw(&mut svg, trace);
    for (index, (word, colour)) in
        [("spent", "#4c78a8"), ("held for requests under way", "#f2a93b"), ("leased to isolates", "#7bb274")]
            .iter()
            .enumerate()
    {
        let x = 60 + index * 200;
        let _ = writeln!(
            svg,
            r#"<rect x="{x}" y="356" width="12" height="12" fill="{colour}"/><text x="{}" y="366">{word}</text>"#,
            x + 18
        );
    }
    svg.push_str(r##"<path d="M680 362h24" stroke="#111" stroke-dasharray="4 3"/><text x="710" y="366">billed by providers</text>
"##);
    let _ = writeln!(
        svg,
        r#"<text x="850" y="366">{} isolates, {} requests, seed {}</text>
</svg>"#,
        plan.isolates, outcome.requests, plan.seed
    );
    std::fs::write("docs/sim.svg", svg).expect("the picture can be written");
}

/// Replaces what stands between two marks.
pub fn put_table(path: &str, mark: &str, table: &str) {
    let (begin, end) = (format!("<!-- {mark}: begin -->\n"), format!("<!-- {mark}: end -->"));
    let text = std::fs::read_to_string(path).expect("the documentation is there");
    let (before, rest) = text.split_once(&begin).expect("it has the first mark");
    let (_, after) = rest.split_once(&end).expect("it has the second mark");
    std::fs::write(path, format!("{before}{begin}\n{table}\n{end}{after}")).expect("it can be written");
}
