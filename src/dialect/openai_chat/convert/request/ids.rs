//! What calls are called in a provider's chat request: results are found by it.

use sha2::{Digest as _, Sha256};
use std::collections::VecDeque;

/// Mistral refuses every other id ("must be a-z, A-Z, 0-9, with a length of 9",
/// <https://github.com/anomalyco/opencode/issues/1680>, read 2026-11-21).
const MISTRAL_LENGTH: usize = 9;

/// The same conversation gives the same ids, so that the provider's cache finds it again.
#[derive(Debug, Default)]
pub(super) struct Ids {
    mistral: bool,
    /// Function and id of calls that came without an id and have no result yet.
    nameless: VecDeque<(String, String)>,
    made: usize,
}

impl Ids {
    /// For a provider of this kind.
    pub(super) fn of(kind: &str) -> Self {
        Self { mistral: kind == "mistral", ..Self::default() }
    }

    /// Of a call.
    pub(super) fn call(&mut self, id: &str, function: &str) -> String {
        if !id.is_empty() {
            return self.spelled(id);
        }
        let id = self.spelled(&format!("call_{}", self.made));
        self.made += 1;
        self.nameless.push_back((function.to_owned(), id.clone()));
        id
    }

    /// Of a result: without an id, that of the oldest call of its function that has none yet.
    pub(super) fn result(&mut self, id: &str, function: Option<&str>) -> String {
        if !id.is_empty() {
            return self.spelled(id);
        }
        let of_function = |(name, _): &(String, String)| function.is_none_or(|function| function == name);
        let at = self.nameless.iter().position(of_function);
        let found = at.and_then(|at| self.nameless.remove(at)).or_else(|| self.nameless.pop_front());
        found.map_or_else(|| self.call("", ""), |(_, id)| id)
    }

    fn spelled(&self, id: &str) -> String {
        let fits = id.len() == MISTRAL_LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if fits || !self.mistral {
            return id.to_owned();
        }
        let digits = Sha256::digest(id.as_bytes()).into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.take(MISTRAL_LENGTH).filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_finds_its_call() {
        for kind in ["openai", "mistral"] {
            let mut ids = Ids::of(kind);
            let calls =
                [ids.call("", "f"), ids.call("toolu_01/x", "f"), ids.call("", "g"), ids.call("", "f")];
            assert_eq!(ids.result("", Some("g")), calls[2]);
            assert_eq!(ids.result("toolu_01/x", None), calls[1]);
            assert_eq!(ids.result("", Some("f")), calls[0]);
            // A function nobody called: better the wrong call's than none's.
            assert_eq!(ids.result("", Some("h")), calls[3]);
            assert!(!ids.result("", None).is_empty());
            let mut apart = calls.to_vec();
            apart.sort();
            apart.dedup();
            assert_eq!(apart.len(), 4, "{calls:?}");
        }
    }

    #[test]
    fn mistral_gets_nine_letters_and_its_own_as_they_are() {
        let mut ids = Ids::of("mistral");
        assert_eq!(ids.call("D681PevKs", "f"), "D681PevKs");
        for id in ["call_1", "toolu_01D7FLrfh4GYq7yT1ULFeyMV", "", "äääää"] {
            let spelled = ids.call(id, "f");
            assert!(
                spelled.len() == 9 && spelled.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{spelled}"
            );
        }
        assert_eq!(Ids::of("openai").call("toolu_1", "f"), "toolu_1");
    }
}
