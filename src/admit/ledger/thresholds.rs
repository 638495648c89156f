//! Soft thresholds: an event when so many per cent of a limit are used.

use super::{Ledger, Write};
use crate::{admit::node::Passed, model::time::Timestamp};

impl Ledger {
    /// Notes each threshold once for each window. An event has a name, so that one noted again after an eviction is the same.
    pub(super) fn note_thresholds(&mut self, now: Timestamp, chain: &[String], writes: &mut Vec<Write>) {
        for id in chain {
            let Some(node) = self.nodes.get(id).filter(|node| node.warns()) else { continue };
            for passed in node.passed() {
                let Passed { scope, unit, window, models, window_start, percent, limit, used } = passed;
                let known = self.noted.entry((id.clone(), scope.clone())).or_default();
                if known.0 == window_start && known.1 == limit && known.2 >= percent {
                    continue;
                }
                *known = (window_start, limit, percent);
                let event = format!("{id}/{scope}/{window_start}/{limit}/{percent}");
                let body = serde_json::json!({
                    "id": event, "at_ms": now, "customer_id": self.customer, "node_id": id, "level": node.spec.level,
                    "kind": "threshold", "unit": unit, "window": window, "models": models,
                    "window_start_ms": window_start, "percent": percent, "amount": limit, "used": used,
                });
                writes.push(Write::Event { id: event, body: body.to_string() });
            }
        }
    }
}
