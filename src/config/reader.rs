//! Nodes → typed values, with a complaint at the right place where that fails.
//!
//! A reader that returns `None` has reported why. Quoting decides the type as in YAML: `600` is a number, `"600"` is text.

use super::document::{Entry, Node, Value};
use super::problem::{Place, Problems, nearest, push_index, push_key, quoted, ticked};
use std::ops::RangeInclusive;

/// A node and the path that leads to it.
#[derive(Clone)]
pub(super) struct Field<'a> {
    pub(super) node: &'a Node,
    pub(super) path: String,
    /// The value may be a credential: it is never shown.
    sealed: bool,
}

/// What a plain word is in YAML 1.2 (core schema).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Truth,
    Number,
    Text,
}

impl<'a> Field<'a> {
    pub(super) fn root(node: &'a Node) -> Self {
        Self { node, path: String::new(), sealed: false }
    }

    /// The same field; its value and those within it will not be shown.
    pub(super) fn sealed(mut self) -> Self {
        self.sealed = true;
        self
    }

    fn key(&self, entry: &'a Entry) -> Self {
        let mut path = self.path.clone();
        push_key(&mut path, &entry.key);
        Self { node: &entry.node, path, sealed: self.sealed }
    }

    fn index(&self, node: &'a Node, index: usize) -> Self {
        let mut path = self.path.clone();
        push_index(&mut path, index);
        Self { node, path, sealed: self.sealed }
    }

    fn at(&self) -> Place {
        self.node.at
    }

    /// What stands here, in words.
    pub(super) fn found(&self) -> String {
        match &self.node.value {
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
            Value::Unreadable => "something unreadable".to_owned(),
            Value::Scalar { text, plain } => match kind(text, *plain) {
                Kind::Nothing => "nothing".to_owned(),
                _ if self.sealed => "a value that is not shown here".to_owned(),
                Kind::Truth => text.clone(),
                Kind::Number if text.len() <= 40 => text.clone(),
                Kind::Number | Kind::Text => quoted(text),
            },
        }
    }

    /// Reports that something else was expected.
    pub(super) fn mismatch(&self, expected: &str, problems: &mut Problems) {
        self.mismatch_because(expected, "", problems);
    }

    /// As [`Self::mismatch`], with advice after a semicolon.
    pub(super) fn mismatch_because(&self, expected: &str, advice: &str, problems: &mut Problems) {
        if matches!(self.node.value, Value::Unreadable) {
            return;
        }
        let found = self.found();
        let separator = if advice.is_empty() { "" } else { "; " };
        let message = format!("expected {expected}, found {found}{separator}{advice}");
        problems.refuse(self.at(), &self.path, expected, &found, message);
    }

    /// Reports in words of its own.
    pub(super) fn refuse(&self, expected: &str, message: String, problems: &mut Problems) {
        if !matches!(self.node.value, Value::Unreadable) {
            problems.refuse(self.at(), &self.path, expected, &self.found(), message);
        }
    }

    /// Accepts, with a doubt.
    pub(super) fn warn(&self, message: String, problems: &mut Problems) {
        problems.warn(self.at(), &self.path, message);
    }

    /// Whether nothing is written here (`routes:` alone, `null`, `~`).
    pub(super) fn is_nothing(&self) -> bool {
        matches!(&self.node.value, Value::Scalar { text, plain } if kind(text, *plain) == Kind::Nothing)
    }

    /// Whether a mapping is written here.
    pub(super) fn is_mapping(&self) -> bool {
        matches!(&self.node.value, Value::Map(_))
    }

    /// Text that is not empty; numbers and truth values only in quotes.
    pub(super) fn text(&self, expected: &str, problems: &mut Problems) -> Option<&'a str> {
        let Value::Scalar { text, plain } = &self.node.value else {
            self.mismatch(expected, problems);
            return None;
        };
        match kind(text, *plain) {
            Kind::Text if !text.is_empty() => return Some(text),
            Kind::Truth | Kind::Number => {
                self.mismatch_because(expected, "put it in quotes if it is a name", problems)
            }
            Kind::Text | Kind::Nothing => self.mismatch(expected, problems),
        }
        None
    }

    /// The source text of any scalar but nothing: also of numbers and truth values.
    pub(super) fn any_text(&self, expected: &str, problems: &mut Problems) -> Option<&'a str> {
        match &self.node.value {
            Value::Scalar { text, plain } if kind(text, *plain) != Kind::Nothing && !text.is_empty() => {
                Some(text)
            }
            _ => {
                self.mismatch(expected, problems);
                None
            }
        }
    }

    /// `true` or `false`, as they are.
    pub(super) fn truth(&self, problems: &mut Problems) -> Option<bool> {
        const EXPECTED: &str = "true or false";
        match &self.node.value {
            Value::Scalar { text, plain: true } if text == "true" => Some(true),
            Value::Scalar { text, plain: true } if text == "false" => Some(false),
            Value::Scalar { text, plain: false } if text == "true" || text == "false" => {
                self.mismatch_because(EXPECTED, "without quotes", problems);
                None
            }
            _ => {
                self.mismatch(EXPECTED, problems);
                None
            }
        }
    }

    /// A whole number in decimal digits, within a range.
    pub(super) fn whole(
        &self,
        range: &RangeInclusive<u64>,
        expected: &str,
        problems: &mut Problems,
    ) -> Option<u64> {
        let Value::Scalar { text, plain } = &self.node.value else {
            self.mismatch(expected, problems);
            return None;
        };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let advice = if !plain && digits {
            "without quotes".to_owned()
        } else if !digits
            && text.replace(['_', ',', '\''], "").bytes().all(|byte| byte.is_ascii_digit())
            && !text.is_empty()
        {
            "digits only, without separators".to_owned()
        } else if digits && text.len() > 1 && text.starts_with('0') {
            "without leading zeros".to_owned()
        } else if digits {
            match text.parse::<u64>() {
                Ok(number) if range.contains(&number) => return Some(number),
                Ok(number) if number < *range.start() => String::new(),
                _ => format!("the most is {}", range.end()),
            }
        } else {
            String::new()
        };
        self.mismatch_because(expected, &advice, problems);
        None
    }

    /// A duration in milliseconds: a bare whole number is seconds, or digits and `ms`, `s`, `m` or `h`.
    pub(super) fn duration_ms(
        &self,
        range: &RangeInclusive<u64>,
        expected: &str,
        problems: &mut Problems,
    ) -> Option<u64> {
        let Value::Scalar { text, plain } = &self.node.value else {
            self.mismatch(expected, problems);
            return None;
        };
        let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at_checked(end).unwrap_or((text, ""));
        let scale = match unit {
            "" if *plain => Some(1_000),
            "ms" => Some(1),
            "s" => Some(1_000),
            "m" => Some(60_000),
            "h" => Some(3_600_000),
            _ => None,
        };
        let well_formed = !digits.is_empty() && (digits.len() == 1 || !digits.starts_with('0'));
        let advice = match scale {
            Some(scale) if well_formed => match digits.parse::<u64>().ok().and_then(|n| n.checked_mul(scale))
            {
                Some(ms) if range.contains(&ms) => return Some(ms),
                Some(ms) if ms < *range.start() => String::new(),
                _ => format!("the most is {}", spelled(*range.end())),
            },
            _ if unit.is_empty() && !plain => "a number in quotes needs a unit".to_owned(),
            _ => String::new(),
        };
        self.mismatch_because(expected, &advice, problems);
        None
    }

    /// The items of a list.
    pub(super) fn items(&self, expected: &str, problems: &mut Problems) -> Option<Vec<Self>> {
        match &self.node.value {
            Value::List(nodes) => {
                Some(nodes.iter().enumerate().map(|(index, node)| self.index(node, index)).collect())
            }
            _ => {
                self.mismatch(expected, problems);
                None
            }
        }
    }

    /// The items of a list that is not empty, or a scalar as a list of one.
    pub(super) fn one_or_more(&self, expected: &str, problems: &mut Problems) -> Option<Vec<Self>> {
        match &self.node.value {
            Value::Scalar { .. } if !self.is_nothing() => Some(vec![self.clone()]),
            Value::List(nodes) if nodes.is_empty() => {
                self.refuse(expected, format!("expected {expected}, found an empty list"), problems);
                None
            }
            Value::List(_) => self.items(expected, problems),
            _ => {
                self.mismatch(expected, problems);
                None
            }
        }
    }

    /// The entries of a mapping whose keys are the operator's choice.
    pub(super) fn entries(&self, expected: &str, problems: &mut Problems) -> Option<Vec<Named<'a>>> {
        match &self.node.value {
            Value::Map(entries) => Some(
                entries
                    .iter()
                    .map(|entry| Named { name: &entry.key, name_at: entry.key_at, field: self.key(entry) })
                    .collect(),
            ),
            _ => {
                self.mismatch(expected, problems);
                None
            }
        }
    }

    /// A mapping with known fields; others are reported.
    pub(super) fn fields(
        &self,
        known: &[&str],
        expected: &str,
        problems: &mut Problems,
    ) -> Option<Fields<'a>> {
        let entries = self.entries(expected, problems)?;
        for entry in &entries {
            if !known.contains(&entry.name) {
                entry.unknown(known, problems);
            }
        }
        Some(Fields { owner: self.clone(), entries })
    }
}

/// An entry of a mapping.
#[derive(Clone)]
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
    name_at: Place,
    pub(super) field: Field<'a>,
}

impl Named<'_> {
    /// Reports that the name itself is wrong.
    pub(super) fn refuse_name(&self, expected: &str, message: String, problems: &mut Problems) {
        problems.refuse(self.name_at, &self.field.path, expected, &ticked(self.name), message);
    }

    fn unknown(&self, known: &[&str], problems: &mut Problems) {
        let name = ticked(self.name);
        let what = if self.field.path.contains(['.', '[']) { "field" } else { "section" };
        let meant = nearest(self.name, known.iter().copied())
            .map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
        let expected = format!("one of {}", known.join(", "));
        let message = format!("unknown {what} {name}{meant} (known: {})", known.join(", "));
        problems.refuse(self.name_at, &self.field.path, &expected, &name, message);
    }
}

/// The fields of a mapping.
pub(super) struct Fields<'a> {
    owner: Field<'a>,
    entries: Vec<Named<'a>>,
}

impl<'a> Fields<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&Field<'a>> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| &entry.field)
    }

    /// As [`Self::get`]; its absence is a problem.
    pub(super) fn need(&self, name: &str, expected: &str, problems: &mut Problems) -> Option<&Field<'a>> {
        let field = self.get(name);
        if field.is_none() {
            self.missing(name, expected, problems);
        }
        field
    }

    /// Reports that a field is missing.
    pub(super) fn missing(&self, name: &str, expected: &str, problems: &mut Problems) {
        let mut path = self.owner.path.clone();
        push_key(&mut path, name);
        let message = format!("`{name}` is missing: expected {expected}");
        problems.refuse(self.owner.at(), &path, expected, "nothing", message);
    }
}

/// Milliseconds in the largest unit that is exact.
pub(super) fn spelled(ms: u64) -> String {
    match ms {
        0 => "0".to_owned(),
        ms if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        ms if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        ms if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}

fn kind(text: &str, plain: bool) -> Kind {
    if !plain {
        return Kind::Text;
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Nothing,
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Kind::Truth,
        _ if is_number(text) => Kind::Number,
        _ => Kind::Text,
    }
}

/// <https://yaml.org/spec/1.2.2/#1032-tag-resolution> (2026-11-21).
fn is_number(text: &str) -> bool {
    if let Some(digits) = text.strip_prefix("0x") {
        return !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return !digits.is_empty() && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    }
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    let all_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) =
        unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    !(whole.is_empty() && fraction.is_empty()) && all_digits(whole) && all_digits(fraction) && exponent_fits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document;

    fn reported(text: &str, read: impl Fn(&Field<'_>, &mut Problems)) -> Vec<String> {
        let mut problems = Problems::default();
        let node = document::parse(text, &mut problems).unwrap();
        read(&Field::root(&node), &mut problems);
        problems.finish().err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn words_are_what_the_core_schema_says() {
        for (text, expected) in [
            ("", Kind::Nothing),
            ("~", Kind::Nothing),
            ("true", Kind::Truth),
            ("yes", Kind::Text),
            ("off", Kind::Text),
            ("12", Kind::Number),
            ("-1.5e+3", Kind::Number),
            (".5", Kind::Number),
            ("0x1F", Kind::Number),
            (".inf", Kind::Number),
            ("1_000", Kind::Text),
            ("1e", Kind::Text),
            (".", Kind::Text),
            ("-", Kind::Text),
            ("gpt-4o", Kind::Text),
            ("1.2.3", Kind::Text),
        ] {
            assert!(kind(text, true) == expected, "{text}");
            assert!(kind(text, false) == Kind::Text, "{text}");
        }
    }

    #[test]
    fn whole_numbers_are_read_or_explained() {
        let read = |text: &str| {
            reported(text, |field, problems| {
                field.whole(&(1..=1_000), "a positive whole number", problems);
            })
        };
        for good in ["1", "600", "1000", " 7 # comment"] {
            assert_eq!(read(good), Vec::<String>::new(), "{good}");
        }
        for (bad, message) in [
            ("0", "line 1: expected a positive whole number, found 0"),
            ("-3", "line 1: expected a positive whole number, found -3"),
            ("1.5", "line 1: expected a positive whole number, found 1.5"),
            ("1e2", "line 1: expected a positive whole number, found 1e2"),
            ("0x10", "line 1: expected a positive whole number, found 0x10"),
            ("six hundred", "line 1: expected a positive whole number, found \"six hundred\""),
            ("true", "line 1: expected a positive whole number, found true"),
            ("~", "line 1: expected a positive whole number, found nothing"),
            ("\"600\"", "line 1: expected a positive whole number, found \"600\"; without quotes"),
            ("0600", "line 1: expected a positive whole number, found 0600; without leading zeros"),
            (
                "1_0",
                "line 1: expected a positive whole number, found \"1_0\"; digits only, without separators",
            ),
            ("1001", "line 1: expected a positive whole number, found 1001; the most is 1000"),
            (
                "99999999999999999999999",
                "line 1: expected a positive whole number, found 99999999999999999999999; the most is 1000",
            ),
            ("[1]", "line 1: expected a positive whole number, found a list"),
            ("{a: 1}", "line 1: expected a positive whole number, found a mapping"),
        ] {
            assert_eq!(read(bad), [message], "{bad}");
        }
    }

    #[test]
    fn durations_have_one_form() {
        let value = |text: &str| {
            let mut problems = Problems::default();
            let node = document::parse(text, &mut problems).unwrap();
            Field::root(&node).duration_ms(&(1..=3_600_000), "a duration", &mut problems)
        };
        for (text, ms) in
            [("30", 30_000), ("30s", 30_000), ("\"250ms\"", 250), ("10m", 600_000), ("1h", 3_600_000)]
        {
            assert_eq!(value(text), Some(ms), "{text}");
        }
        for bad in [
            "0",
            "0s",
            "\"30\"",
            "-1s",
            "1.5s",
            "30 s",
            "1m30s",
            "2h",
            "s",
            "ms",
            "01s",
            "30S",
            "~",
            "[]",
            "18446744073709551616ms",
            "18446744073709551615h",
        ] {
            assert_eq!(value(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_are_not_names_unless_quoted() {
        let read = |text: &str| {
            reported(text, |field, problems| {
                field.text("a name", problems);
            })
        };
        assert_eq!(read("\"2024\""), Vec::<String>::new());
        assert_eq!(read("2024"), ["line 1: expected a name, found 2024; put it in quotes if it is a name"]);
        assert_eq!(read("\"\""), ["line 1: expected a name, found \"\""]);
    }

    #[test]
    fn a_sealed_value_is_not_shown() {
        let complaints =
            reported("hunter2", |field, problems| field.clone().sealed().mismatch("a secret", problems));
        assert_eq!(complaints, ["line 1: expected a secret, found a value that is not shown here"]);
    }
}
