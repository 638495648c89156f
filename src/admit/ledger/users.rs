//! End users: nodes that come into being with a request, and go when nothing is counted of them any more.

use super::{Ledger, Write, base};
use crate::{
    admit::{
        node::{Node, bare},
        wire::{Hold, Level, Limits, NodeSpec, Refusal, Reply},
    },
    model::time::Timestamp,
};
use sha2::{Digest, Sha256};

/// How many end users can be counted at once for a customer: each weighs 1, and 1 for each of its counters. That is about
/// half a kilobyte, in an isolate that has 128 MB: room for 60,000 with one limit, 24,000 with four.
const WEIGHT_MAX: usize = 120_000;
/// How many of them one alarm looks at.
const LOOKED_AT: usize = 2_000;

impl Ledger {
    /// The nodes of an end user below these owners, and their limits.
    pub(super) fn limits_of_user(&self, owners: &[String], user: &str) -> Vec<(String, Limits)> {
        let limited = owners.iter().filter_map(|id| {
            let limits = self.nodes.get(id)?.spec.each_user.clone()?;
            Some((user_id(id, user), limits))
        });
        limited.collect()
    }

    /// An end user's node with the limits that hold now.
    pub(super) fn user_as_limited(&self, id: &str, limits: Limits) -> Node {
        let spec = NodeSpec { limits, level: Level::User, ..bare(id) };
        match self.nodes.get(id) {
            Some(node) => {
                let mut node = node.clone();
                node.specify(spec, self.number);
                node
            }
            None => Node::new(spec, self.number),
        }
    }

    /// Sees to it that an end user's node is there and has these limits.
    pub(super) fn limit_user(&mut self, id: &str, limits: Limits) {
        if self.nodes.get(id).is_some_and(|node| node.spec.limits == limits) {
            return;
        }
        let node = self.user_as_limited(id, limits);
        // It must be known again after an eviction, and from when it counts.
        if let Ok(body) = serde_json::to_string(&node.spec) {
            self.unsaved.push(Write::Node { id: id.to_owned(), body });
            self.unsaved.extend(base(id, &node));
        }
        self.user_weight += weight(&node);
        match self.nodes.insert(id.to_owned(), node) {
            Some(old) => self.user_weight = self.user_weight.saturating_sub(weight(&old)),
            None => self.users.push_back(id.to_owned()),
        }
    }

    /// An end user's node that was stored.
    pub(super) fn remember_user(&mut self, id: &str) {
        if let Some(node) = self.nodes.get(id).filter(|node| node.spec.level == Level::User) {
            self.user_weight += weight(node);
            self.users.push_back(id.to_owned());
        }
    }

    /// The refusal of a request that needs a node for its end user when there are too many of them.
    pub(super) fn crowded(&mut self, now: Timestamp, hold: &Hold) -> Option<Reply> {
        if self.user_weight < WEIGHT_MAX {
            return None;
        }
        let owners = self.owners(&hold.key)?;
        let wanted = self.limits_of_user(&owners, hold.user.as_deref()?);
        if wanted.iter().all(|(id, _)| self.nodes.contains_key(id)) {
            return None;
        }
        let refusal = Refusal::TooManyUsers { limit: self.users.len() as u64 };
        if !hold.explain {
            return Some(Reply::Refused(refusal));
        }
        for id in &owners {
            self.node(id).live.roll(now);
        }
        Some(Reply::Denied(refusal, self.standing(now, &owners, &hold.models, &hold.key)))
    }

    /// Whether a node was an end user's and is gone: all that was counted of it was in windows that are over, and what comes
    /// for these changes nothing.
    pub(super) fn is_forgotten(&self, id: &str) -> bool {
        id.starts_with(PREFIX) && !self.nodes.contains_key(id)
    }

    /// Drops end users of whom nothing is counted any more, a bounded number of them at a time.
    pub(super) fn forget_users(&mut self, now: Timestamp) -> Option<Write> {
        let mut ids = Vec::new();
        for _ in 0..self.users.len().min(LOOKED_AT) {
            let Some(id) = self.users.pop_front() else { break };
            let Some(node) = self.nodes.get_mut(&id) else { continue };
            node.live.roll(now);
            if !node.live.is_empty() {
                self.users.push_back(id);
                continue;
            }
            for scope in node.scopes() {
                self.noted.remove(&(id.clone(), scope));
            }
            self.user_weight = self.user_weight.saturating_sub(weight(node));
            self.nodes.remove(&id);
            ids.push(id);
        }
        (!ids.is_empty()).then_some(Write::DropUsers { ids })
    }
}

fn weight(node: &Node) -> usize {
    1 + node.scopes().count()
}

const PREFIX: &str = "user:";

/// The id of an end user's node tells nothing of the name, and holds no character of it.
pub(super) fn user_id(owner: &str, user: &str) -> String {
    let digest = Sha256::new().chain_update(owner).chain_update([0]).chain_update(user).finalize();
    let mut id = format!("{PREFIX}{owner}:");
    for byte in digest.iter().take(12) {
        id.push_str(&format!("{byte:02x}"));
    }
    id
}

#[cfg(test)]
mod tests;
