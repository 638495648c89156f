//! Arguments of a call that come in pieces, each a value and its place (Vertex's `streamFunctionCallArguments`).
//!
//! <https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling#streaming-function-call-arguments>,
//! read 2026-11-21; recorded traffic. A place is a JSON path with names and indices only.

use super::super::member;
use serde_json::{Map, Value, json};

/// A part that is a piece of a call.
pub(super) struct Piece<'a> {
    pub(super) id: Option<&'a str>,
    /// Only the first piece has it.
    pub(super) name: Option<&'a str>,
    pub(super) signature: Option<&'a str>,
    /// Whether more will come.
    pub(super) more: bool,
    values: &'a [Value],
    whole: Option<&'a Value>,
}

/// Reads a part as a piece, if it is one: a call that goes on, has arguments in pieces, or has no name.
pub(super) fn piece(part: &Value) -> Option<Piece<'_>> {
    let call = member(part, "functionCall")?;
    let more = member(call, "willContinue").and_then(Value::as_bool) == Some(true);
    let values = member(call, "partialArgs").and_then(Value::as_array);
    let text = |of, name| member(of, name).and_then(Value::as_str).filter(|text: &&str| !text.is_empty());
    let name = text(call, "name");
    if !more && values.is_none() && name.is_some() {
        return None;
    }
    Some(Piece {
        id: text(call, "id"),
        name,
        signature: text(part, "thoughtSignature"),
        more,
        values: values.map_or(&[], Vec::as_slice),
        whole: member(call, "args").filter(|args| args.is_object()),
    })
}

/// What came of a call's arguments.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    whole: Map<String, Value>,
}

/// No list of arguments is longer; a path is not believed beyond.
const INDEX_MAX: usize = 10_000;
/// Nor is anything deeper.
const DEPTH_MAX: usize = 64;

impl Arguments {
    /// Whether the piece could be understood.
    pub(super) fn take(&mut self, piece: &Piece<'_>) -> bool {
        if let Some(Value::Object(all)) = piece.whole {
            self.whole.extend(all.clone());
        }
        let mut fine = true;
        for value in piece.values {
            fine &= self.put(value).is_some();
        }
        fine
    }

    pub(super) fn into_json(self) -> String {
        Value::Object(self.whole).to_string()
    }

    fn put(&mut self, piece: &Value) -> Option<()> {
        let steps = steps(member(piece, "jsonPath")?.as_str()?)?;
        let (Step::Name(first), rest) = steps.split_first()? else {
            return None;
        };
        let mut place = self.whole.entry(first.clone()).or_insert(Value::Null);
        for step in rest {
            place = step.into(place)?;
        }
        let of = |name| member(piece, name);
        if let Some(text) = of("stringValue").and_then(Value::as_str) {
            match place {
                // A text may itself come in pieces.
                Value::String(begun) => begun.push_str(text),
                other => *other = json!(text),
            }
        } else if let Some(value) = of("numberValue").or_else(|| of("boolValue")) {
            *place = match value.as_f64() {
                // Every number is a float on Google's wire.
                #[expect(clippy::cast_possible_truncation, reason = "checked")]
                Some(number) if number.fract() == 0.0 && number.abs() < 9e15 => json!(number as i64),
                _ => value.clone(),
            };
        } else {
            *place = Value::Null;
        }
        Some(())
    }
}

enum Step {
    Name(String),
    Index(usize),
}

impl Step {
    fn into<'a>(&self, place: &'a mut Value) -> Option<&'a mut Value> {
        match self {
            Self::Name(name) => {
                if place.is_null() {
                    *place = json!({});
                }
                Some(place.as_object_mut()?.entry(name.clone()).or_insert(Value::Null))
            }
            Self::Index(index) => {
                if place.is_null() {
                    *place = json!([]);
                }
                let list = place.as_array_mut()?;
                if list.len() <= *index {
                    list.resize(index + 1, Value::Null);
                }
                list.get_mut(*index)
            }
        }
    }
}

/// `$.operations[0]['unit price']`.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() >= DEPTH_MAX {
            return None;
        }
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, next) = after.split_at_checked(end)?;
            steps.push(Step::Name(name.to_owned()));
            rest = next;
            continue;
        }
        let after = rest.strip_prefix('[')?;
        if let Some(quote) = after.chars().next().filter(|first| matches!(first, '\'' | '"')) {
            let after = after.strip_prefix(quote)?;
            let (name, next) = after.split_once(&format!("{quote}]"))?;
            steps.push(Step::Name(name.to_owned()));
            rest = next;
        } else {
            let (index, next) = after.split_once(']')?;
            steps.push(Step::Index(index.parse().ok().filter(|index| *index < INDEX_MAX)?));
            rest = next;
        }
    }
    Some(steps)
}
