//! Patterns: alternatives with `*` for any run of characters.

use super::policy::Pattern;

impl Pattern {
    /// Whether one of the alternatives covers the whole text. Case-sensitive; linear in the length of text and pattern,
    /// since the leftmost place of each literal piece never needs to be reconsidered.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|pattern| covers(pattern, text))
    }

    /// Whether any text is matched (`*`).
    #[must_use]
    pub fn matches_anything(&self) -> bool {
        self.0.iter().any(|pattern| !pattern.is_empty() && pattern.bytes().all(|byte| byte == b'*'))
    }
}

fn covers(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut text) = text.strip_prefix(head).and_then(|text| text.strip_suffix(tail)) else {
        return false;
    };
    for piece in middle.split('*') {
        let Some(after) = text.find(piece).and_then(|at| text.get(at + piece.len()..)) else {
            return false;
        };
        text = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition: slow, and obviously right.
    fn covers_by_definition(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|skipped| covers_by_definition(rest, &text[skipped..])),
            [letter, rest @ ..] => text.first() == Some(letter) && covers_by_definition(rest, &text[1..]),
        }
    }

    #[test]
    fn a_star_is_any_run_and_the_rest_is_literal() {
        let pattern = |text: &str| Pattern(vec![text.to_owned()]);
        for (wild, text, expected) in [
            ("*", "", true),
            ("*", "billing", true),
            ("billing", "billing", true),
            ("billing", "Billing", false),
            ("bill*", "billing", true),
            ("*ing", "billing", true),
            ("b*l*g", "billing", true),
            ("a*a", "a", false),
            ("a**a", "aa", true),
            ("a.c", "abc", false),
            ("?", "a", false),
            ("", "", true),
            ("", "a", false),
            ("gpt-*", "gpt-", true),
            ("*é*", "café!", true),
        ] {
            assert_eq!(pattern(wild).matches(text), expected, "{wild} on {text}");
        }
    }

    #[test]
    fn alternatives_are_or_and_none_is_never() {
        let either = Pattern(vec!["a".to_owned(), "b*".to_owned()]);
        assert!(either.matches("a") && either.matches("bc") && !either.matches("c"));
        assert!(!Pattern(Vec::new()).matches(""));
        assert!(Pattern(vec!["a".to_owned(), "**".to_owned()]).matches_anything());
        assert!(!either.matches_anything());
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer_than_a_kind_one() {
        // Backtracking would need more steps than there are atoms; the test would never end.
        let pattern = Pattern(vec!["*a".repeat(100) + "b"]);
        assert!(!pattern.matches(&"a".repeat(100_000)));
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_definition(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(covers(&pattern, &text), covers_by_definition(&letters(&pattern), &letters(&text)));
        }

        #[test]
        fn no_pattern_and_no_text_panics(pattern in any::<String>(), text in any::<String>()) {
            let _ = covers(&pattern, &text);
        }
    }
}
