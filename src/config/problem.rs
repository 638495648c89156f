//! What is wrong with a configuration, told so that the line can be found and repaired.

use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};

/// One thing wrong (or doubtful) in a configuration.
///
/// No field ever repeats a credential: values of confidential fields are described, not shown, and
/// text that looks like a credential is hidden wherever it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Where in the structure: `routes[0].rate_limit.rpm`. Empty for the document as a whole.
    pub path: String,
    /// Line in the text, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is there: `"six hundred"`, `a list`, `nothing`. Empty if there is nothing to show.
    pub found: String,
    /// What should be there: `a positive whole number of requests per minute`. Empty if it is a matter of judgement.
    pub expected: String,
    /// The whole of it in a sentence, with a suggestion where there is one.
    pub message: String,
}

/// `line 12, routes[0].rate_limit.rpm: expected a positive whole number …, found "six hundred"`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if !self.path.is_empty() {
            write!(f, ", {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// A place in the text, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u32,
    pub(super) column: u32,
}

impl Place {
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

/// Most problems (and most warnings) that are listed; a mistake in a generated file can repeat thousands of times.
const MAX_LISTED: usize = 200;

/// The problems found so far.
#[derive(Default)]
pub(super) struct Problems {
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
    unlisted: usize,
}

impl Problems {
    /// Adds an error.
    pub(super) fn refuse(&mut self, at: Place, path: &str, expected: &str, found: &str, message: String) {
        if self.errors.len() >= MAX_LISTED {
            self.unlisted += 1;
        } else {
            self.errors.push(problem(at, path, expected, found, message));
        }
    }

    /// Adds a warning: the configuration is accepted, but probably not what was meant.
    pub(super) fn warn(&mut self, at: Place, path: &str, message: String) {
        if self.warnings.len() < MAX_LISTED {
            self.warnings.push(problem(at, path, "", "", message));
        }
    }

    /// The warnings in the order of the text, or else the errors.
    pub(super) fn finish(mut self) -> Result<Vec<Problem>, Vec<Problem>> {
        if self.errors.is_empty() {
            self.warnings.sort_by_key(|problem| (problem.line, problem.column));
            return Ok(self.warnings);
        }
        self.errors.sort_by_key(|problem| (problem.line, problem.column));
        if self.unlisted > 0 {
            let message = format!("{} more problems are not listed", self.unlisted);
            let line = self.errors.last().map_or(1, |problem| problem.line);
            self.errors.push(problem(Place { line, column: 1 }, "", "", "", message));
        }
        Err(self.errors)
    }
}

fn problem(at: Place, path: &str, expected: &str, found: &str, message: String) -> Problem {
    Problem {
        path: path.to_owned(),
        line: at.line,
        column: at.column,
        found: found.to_owned(),
        expected: expected.to_owned(),
        message,
    }
}

/// Extends a path by a key: `.name`, or `["gpt-4o/x"]` where the key is not a plain word.
pub(super) fn push_key(path: &mut String, key: &str) {
    let plain = !key.is_empty()
        && key.len() <= 64
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if plain && !looks_like_credential(key) {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    } else {
        let _ = write!(path, "[{}]", quoted(key));
    }
}

/// Extends a path by a position in a list, from 0.
pub(super) fn push_index(path: &mut String, index: usize) {
    let _ = write!(path, "[{index}]");
}

/// Text in quotes, fit to be shown: shortened, control characters escaped, credentials hidden.
pub(super) fn quoted(text: &str) -> String {
    shown(text, '"')
}

/// A name in backticks, under the same care as [`quoted`].
pub(super) fn ticked(name: &str) -> String {
    shown(name, '`')
}

fn shown(text: &str, mark: char) -> String {
    const MAX_CHARS: usize = 80;
    if looks_like_credential(text) {
        return "(hidden: it looks like a credential)".to_owned();
    }
    let mut out = String::new();
    out.push(mark);
    for (count, letter) in text.chars().enumerate() {
        if count == MAX_CHARS {
            out.push('…');
            break;
        }
        if letter == mark || letter == '\\' || letter.is_control() {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out.push(mark);
    out
}

/// Whether text should not be repeated, wherever it was found. A guess, on the safe side: the fields that are
/// meant for credentials never show their value at all; this catches one that was put into another field.
pub(super) fn looks_like_credential(text: &str) -> bool {
    const PREFIXES: &[&str] = &[
        "sk-",
        "sk_",
        "pk-",
        "rk_",
        "gsk_",
        "xai-",
        "hf_",
        "eh_",
        "ghp_",
        "ghs_",
        "github_pat_",
        "glpat-",
        "AIza",
        "ya29.",
        "AKIA",
        "ASIA",
        "r8_",
        "pplx-",
        "nvapi-",
        "xoxb-",
        "xoxp-",
        "eyJ",
        "-----BEGIN",
    ];
    const SCHEMES: &[&str] = &["bearer ", "basic ", "token ", "apikey "];
    let trimmed = text.trim_start();
    let starts =
        |prefix: &&str| trimmed.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
    SCHEMES.iter().any(starts)
        || text.split(|letter: char| letter.is_whitespace() || "\"'=:,;/@".contains(letter)).any(|word| {
            PREFIXES.iter().any(|prefix| word.len() >= prefix.len() + 4 && word.starts_with(prefix))
                || word.len() >= 20
                    && word.bytes().any(|byte| byte.is_ascii_digit())
                    && word.bytes().any(|byte| byte.is_ascii_lowercase())
                    && word.bytes().any(|byte| byte.is_ascii_uppercase())
                || word.len() >= 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
}

/// The candidate that was probably meant by `word`, if one is near enough to be worth naming.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = folded(word);
    let allowed = (word.len() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (edit_distance(&word, &folded(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed && *distance < word.len().max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Without case and separators, so that `rateLimit` and `rate-limit` are `rate_limit`.
fn folded(word: &str) -> Vec<char> {
    const MAX_CHARS: usize = 64;
    word.chars()
        .filter(|letter| !matches!(letter, '_' | '-'))
        .take(MAX_CHARS)
        .flat_map(char::to_lowercase)
        .collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
fn edit_distance(left: &[char], right: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.iter().enumerate() {
        let mut current = Vec::with_capacity(right.len() + 1);
        let mut previous = row + 1;
        current.push(previous);
        for (column, other) in right.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, column) + usize::from(letter != other);
            let mut best = replaced.min(at(&last, column + 1) + 1).min(previous + 1);
            let swapped = column > 0
                && row > 0
                && left.get(row - 1) == Some(other)
                && right.get(column - 1) == Some(letter);
            if swapped {
                best = best.min(at(&before_last, column - 1) + 1);
            }
            current.push(best);
            previous = best;
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_slip_is_recognised_and_a_different_word_is_not() {
        let known = ["name", "match", "model", "rate_limit", "fallback"];
        for (typed, meant) in [
            ("modle", "model"),
            ("rateLimit", "rate_limit"),
            ("rate-limit", "rate_limit"),
            ("fallbacks", "fallback"),
            ("Name", "name"),
        ] {
            assert_eq!(nearest(typed, known), Some(meant), "{typed}");
        }
        for typed in ["retries", "", "x", "temperature"] {
            assert_eq!(nearest(typed, known), None, "{typed}");
        }
    }

    #[test]
    fn distances_are_those_of_optimal_string_alignment() {
        let letters = |word: &str| word.chars().collect::<Vec<_>>();
        for (left, right, distance) in
            [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("abcd", "acbd", 1), ("ca", "abc", 3)]
        {
            assert_eq!(edit_distance(&letters(left), &letters(right)), distance, "{left} {right}");
        }
    }

    #[test]
    fn credentials_are_hidden_and_model_names_are_not() {
        for text in [
            "sk-proj-abcdefghijkl",
            "Bearer abc",
            "AIzaSyA1234567890",
            "Zx9Zx9Zx9Zx9Zx9Zx9Zx9",
            "0123456789abcdef0123456789abcdef",
            "key: sk-ant-api03-zzz",
        ] {
            assert!(looks_like_credential(text), "{text}");
            assert!(!quoted(text).contains(text), "{text}");
        }
        for text in
            ["gpt-4o-mini", "claude-3-5-sonnet-20241022", "meta-llama/Llama-3.1-70B", "six hundred", "skip"]
        {
            assert!(!looks_like_credential(text), "{text}");
        }
    }

    #[test]
    fn paths_stay_readable_for_odd_keys() {
        let mut path = String::new();
        push_key(&mut path, "prices");
        push_key(&mut path, "openai/gpt-4o");
        push_key(&mut path, "input");
        push_index(&mut path, 2);
        assert_eq!(path, r#"prices["openai/gpt-4o"].input[2]"#);
    }

    #[test]
    fn a_thousand_problems_are_counted_but_not_all_listed() {
        let mut problems = Problems::default();
        for line in (1..=1_000).rev() {
            problems.refuse(Place { line, column: 1 }, "", "", "", String::new());
        }
        let listed = problems.finish().unwrap_err();
        assert_eq!(listed.len(), MAX_LISTED + 1);
        assert!(listed.last().unwrap().message.starts_with("800 more"));
        assert!(listed.is_sorted_by_key(|problem| problem.line));
    }

    proptest! {
        #[test]
        fn the_distance_is_symmetric_and_zero_only_for_equals(left in "[ab_é]{0,12}", right in "[ab_é]{0,12}") {
            let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
            let distance = edit_distance(&left, &right);
            prop_assert_eq!(distance, edit_distance(&right, &left));
            prop_assert_eq!(distance == 0, left == right);
            prop_assert!(distance <= left.len().max(right.len()));
        }

        #[test]
        fn any_text_can_be_shown(text in any::<String>()) {
            let shown = quoted(&text);
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }
}
