//! Text → a tree of lists, mappings and scalars that know where they stand.
//!
//! YAML 1.2 without the parts that make a configuration hard to read or dangerous to load: anchors, aliases, merge
//! keys, tags, several documents, keys that are not words, and the same key twice. JSON is read by the same parser.
//! Scalars keep their source text, so that a price never passes through a float.

use super::problem::{Place, Problems, push_index, push_key, ticked};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError};
use std::collections::BTreeMap;

/// The longest configuration, in bytes.
pub(super) const MAX_BYTES: usize = 256 * 1024;
/// How deep lists and mappings may nest. The deepest the schema needs is 6; a bound also keeps recursion on the tree
/// (its destruction included) off the limits of a wasm stack.
pub(super) const MAX_DEPTH: usize = 16;
/// The most items of one list and entries of one mapping.
pub(super) const MAX_ENTRIES: usize = 2_000;
/// How many brackets may stand open. The scanner's work on a token grows with this number, so text is turned away
/// before it is scanned. Far above [`MAX_DEPTH`], since brackets in comments and quotes are counted too.
const MAX_OPEN_BRACKETS: usize = 128;
/// How many brackets may be opened altogether, for the same reason: closing ones in comments could hide the depth.
const MAX_BRACKETS: usize = 20_000;

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: Place,
    pub(super) value: Value,
}

/// What a node holds.
#[derive(Debug)]
pub(super) enum Value {
    /// A word, number, quoted text or nothing; `plain` if written without quotes.
    Scalar { text: String, plain: bool },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order written; keys are unique.
    Map(Vec<Entry>),
    /// Something already reported, about which nothing more can be said.
    Unreadable,
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_at: Place,
    pub(super) node: Node,
}

/// A collection that is still open.
enum Frame {
    List { at: Place, items: Vec<Node> },
    Map { at: Place, entries: Vec<Entry>, lines: BTreeMap<String, u32>, key: Option<Key> },
}

/// A key that waits for its value.
struct Key {
    text: String,
    at: Place,
    /// False for a key already reported: its value is read past.
    kept: bool,
}

/// Reads the text. `None` if it cannot be read to its end; the reason has then been reported.
pub(super) fn parse(text: &str, problems: &mut Problems) -> Option<Node> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !readable(text, problems) {
        return None;
    }
    let mut tree = Tree { stack: Vec::new(), root: None, documents: 0 };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => {
                if !tree.take(event, place(span.start), problems) {
                    return None;
                }
            }
            Err(error) => {
                syntax_error(text, &error, &tree, problems);
                return None;
            }
        }
    }
    Some(tree.root.unwrap_or_else(|| nothing(Place::START)))
}

/// Turns away text that is too long, or that the scanner should not see.
fn readable(text: &str, problems: &mut Problems) -> bool {
    if text.len() > MAX_BYTES {
        let (expected, found) = (format!("at most {MAX_BYTES} bytes"), format!("{} bytes", text.len()));
        problems.refuse(
            Place::START,
            "",
            &expected,
            &found,
            format!("the configuration is too long: expected {expected}, found {found}"),
        );
        return false;
    }
    let (mut at, mut open, mut opened) = (Place::START, 0usize, 0usize);
    for letter in text.chars() {
        match letter {
            '\n' => {
                at = Place { line: at.line.saturating_add(1), column: 1 };
                continue;
            }
            '[' | '{' => (open, opened) = (open + 1, opened + 1),
            ']' | '}' => open = open.saturating_sub(1),
            // A NUL would end the scan without an error; the others are not allowed in YAML.
            '\t' | '\r' | '\u{85}' => {}
            control if control.is_control() || matches!(control, '\u{feff}' | '\u{fffe}' | '\u{ffff}') => {
                let found = format!("U+{:04X}", u32::from(control));
                let message = format!("the control character {found} is not allowed");
                problems.refuse(at, "", "printable text", &found, message);
                return false;
            }
            _ => {}
        }
        if open > MAX_OPEN_BRACKETS || opened > MAX_BRACKETS {
            too_deep(at, "", problems);
            return false;
        }
        at.column = at.column.saturating_add(1);
    }
    true
}

fn too_deep(at: Place, path: &str, problems: &mut Problems) {
    let expected = format!("at most {MAX_DEPTH} levels of lists and mappings");
    let message = format!("nested too deep: expected {expected}");
    problems.refuse(at, path, &expected, "more", message);
}

/// The parser's objection, and what is usually behind it.
fn syntax_error(text: &str, error: &ScanError, tree: &Tree, problems: &mut Problems) {
    let at = place(*error.marker());
    let line = text.lines().nth(error.marker().line().saturating_sub(1)).unwrap_or_default();
    let info = error.info();
    let hint = if info.contains("anchor") || info.contains("alias") {
        "; a pattern that starts with * must be in quotes (\"*\"), and YAML aliases are not supported"
    } else if info.contains("tab") || line.trim_start_matches(' ').starts_with('\t') {
        "; indent with spaces, not tabs"
    } else if ["a block mapping", "a block collection", "mapping values", "indentation", "simple key"]
        .iter()
        .any(|part| info.contains(part))
    {
        "; is the indentation that of the lines above, and is text that holds \": \" in quotes?"
    } else if info.contains("Unicode character escape") {
        "; write characters beyond U+FFFF themselves, not as a pair of \\u escapes"
    } else {
        ""
    };
    problems.refuse(
        at,
        &tree.path(),
        "valid YAML or JSON",
        "",
        format!("not valid YAML or JSON: {info}{hint}"),
    );
}

fn place(marker: Marker) -> Place {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    // The parser counts lines from 1 and columns from 0.
    Place { line: count(marker.line().max(1)), column: count(marker.col().saturating_add(1)) }
}

fn nothing(at: Place) -> Node {
    Node { at, value: Value::Scalar { text: String::new(), plain: true } }
}

/// The tree while it grows. Nothing here recurses.
struct Tree {
    stack: Vec<Frame>,
    root: Option<Node>,
    documents: usize,
}

impl Tree {
    /// Takes the next event; false if reading on makes no sense.
    fn take(&mut self, event: Event<'_>, at: Place, problems: &mut Problems) -> bool {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let message = "a second document starts here; a configuration is one document".to_owned();
                    problems.refuse(at, "", "one document", "a second", message);
                    return false;
                }
                true
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_decoration(at, anchor, tag.is_some(), problems);
                let plain = style == ScalarStyle::Plain;
                self.place(Node { at, value: Value::Scalar { text: text.into_owned(), plain } }, problems)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_decoration(at, anchor, tag.is_some(), problems);
                self.open(Frame::List { at, items: Vec::new() }, at, problems)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_decoration(at, anchor, tag.is_some(), problems);
                let frame = Frame::Map { at, entries: Vec::new(), lines: BTreeMap::new(), key: None };
                self.open(frame, at, problems)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Frame::List { at, items }) => {
                    self.place(Node { at, value: Value::List(items) }, problems)
                }
                Some(Frame::Map { at, entries, .. }) => {
                    self.place(Node { at, value: Value::Map(entries) }, problems)
                }
                None => true,
            },
            Event::Alias(_) => {
                let message = "YAML aliases (*name) are not supported: write the value out; a pattern that starts with * \
                               must be in quotes (\"*\")";
                problems.refuse(at, &self.path(), "a value", "a YAML alias", message.to_owned());
                self.place(Node { at, value: Value::Unreadable }, problems)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => true,
        }
    }

    fn refuse_decoration(&self, at: Place, anchor: usize, tagged: bool, problems: &mut Problems) {
        if anchor > 0 {
            let message = "YAML anchors (&name) are not supported: write the value out; text that starts with & must be in quotes";
            problems.refuse(at, &self.path(), "a value", "a YAML anchor", message.to_owned());
        }
        if tagged {
            let message = "YAML tags (!name) are not supported; text that starts with ! must be in quotes";
            problems.refuse(at, &self.path(), "a value", "a YAML tag", message.to_owned());
        }
    }

    fn open(&mut self, frame: Frame, at: Place, problems: &mut Problems) -> bool {
        if self.stack.len() >= MAX_DEPTH {
            too_deep(at, &self.path(), problems);
            return false;
        }
        self.stack.push(frame);
        true
    }

    /// Puts a finished node where it belongs: as item, key, value or root.
    fn place(&mut self, mut node: Node, problems: &mut Problems) -> bool {
        let path = || self.path();
        let too_long = match self.stack.last() {
            None => false,
            Some(Frame::List { items, .. }) => items.len() >= MAX_ENTRIES,
            Some(Frame::Map { entries, .. }) => entries.len() >= MAX_ENTRIES,
        };
        if too_long {
            let expected = format!("at most {MAX_ENTRIES} items");
            let message = format!("too long: expected {expected} in one list or mapping");
            problems.refuse(node.at, &path(), &expected, "more", message);
            return false;
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Map { entries, key, .. }) if key.is_some() => {
                if let Some(key) = key.take().filter(|key| key.kept) {
                    if matches!(&node.value, Value::Scalar { text, plain: true } if text.is_empty()) {
                        // Nothing has no place of its own.
                        node.at = key.at;
                    }
                    entries.push(Entry { key: key.text, key_at: key.at, node });
                }
            }
            Some(Frame::Map { .. }) => self.begin_entry(node, problems),
        }
        true
    }

    /// Takes a node as the key of the innermost mapping.
    fn begin_entry(&mut self, node: Node, problems: &mut Problems) {
        let path = self.path();
        let Some(Frame::Map { lines, key, .. }) = self.stack.last_mut() else { return };
        let at = node.at;
        let (text, objection) = match node.value {
            Value::Scalar { text, plain: true }
                if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL") =>
            {
                (text, Some(("nothing".to_owned(), "a key is missing before the colon".to_owned())))
            }
            Value::Scalar { text, plain: true } if text == "<<" => {
                let message = "YAML merge keys (<<) are not supported: write the fields out".to_owned();
                (text, Some(("a merge key".to_owned(), message)))
            }
            Value::Scalar { text, .. } => match lines.get(&text) {
                Some(first) => {
                    let name = ticked(&text);
                    let message =
                        format!("{name} is already written on line {first}; each key may stand once");
                    (text, Some((format!("{name} again"), message)))
                }
                None => (text, None),
            },
            Value::Unreadable => {
                *key = Some(Key { text: String::new(), at, kept: false });
                return;
            }
            Value::List(_) | Value::Map(_) => {
                let message =
                    "a key must be a word, not a list or mapping; are braces or brackets in need of quotes?";
                (String::new(), Some(("a list or mapping".to_owned(), message.to_owned())))
            }
        };
        let kept = objection.is_none();
        if let Some((found, message)) = objection {
            let mut path = path;
            if !text.is_empty() {
                push_key(&mut path, &text);
            }
            problems.refuse(at, &path, "a key, once", &found, message);
        } else {
            lines.insert(text.clone(), at.line);
        }
        *key = Some(Key { text, at, kept });
    }

    /// The path of the value that is being read.
    fn path(&self) -> String {
        let mut path = String::new();
        for frame in &self.stack {
            match frame {
                Frame::List { items, .. } => push_index(&mut path, items.len()),
                Frame::Map { key: Some(key), .. } if !key.text.is_empty() => push_key(&mut path, &key.text),
                Frame::Map { .. } => {}
            }
        }
        path
    }
}
