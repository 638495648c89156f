//! Gemini's generateContent, at Google AI Studio (`/v1`, `/v1beta`) and at Vertex AI.
//!
//! Sources: Google's API reference (<https://ai.google.dev/api/generate-content>, <https://ai.google.dev/api/caching>),
//! the guides named where they are used, and recorded traffic, read 2026-11-21. Google reads every member in `snake_case`
//! and in `camelCase`, and so does this; `camelCase` is written, as Google does.

pub mod embed;
pub mod failure;
mod grounding;
mod part;
pub mod request;
pub mod response;
pub mod stream;
pub(super) mod usage;

use super::json::{missing, object_of, wrong as expected};
use crate::refusal::Refusal;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// A member's name in `camelCase`.
fn camel(name: &str) -> Cow<'_, str> {
    if !name.contains('_') {
        return Cow::Borrowed(name);
    }
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for character in name.chars() {
        if character == '_' {
            upper = true;
        } else if std::mem::take(&mut upper) && !camel.is_empty() {
            camel.extend(character.to_uppercase());
        } else {
            camel.push(character);
        }
    }
    Cow::Owned(camel)
}

/// An object's members by their names in `camelCase`. Null is as good as absent in Google's JSON.
fn members(object: Map<String, Value>) -> Map<String, Value> {
    object
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (camel(&name).into_owned(), value))
        .collect()
}

/// A member by its name in either spelling.
fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    object
        .get(name)
        .or_else(|| object.iter().find(|(key, _)| camel(key) == name).map(|(_, value)| value))
        .filter(|value| !value.is_null())
}

/// A whole number, which Google's JSON may put into a string.
fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64().or_else(|| {
            let number = number.as_f64().filter(|number| number.fract() == 0.0)?;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
            (0.0..=9e15).contains(&number).then_some(number as u64)
        }),
        _ => None,
    }
}

fn object_at(value: Value, param: &str) -> Result<Map<String, Value>, Refusal> {
    match value {
        Value::Object(object) => Ok(members(object)),
        _ => Err(expected(param, "an object")),
    }
}

/// A list; where Google's JSON takes one thing for a list of it, so does this.
fn list_at(value: Value, param: &str) -> Result<Vec<Value>, Refusal> {
    match value {
        Value::Array(list) => Ok(list),
        Value::Object(_) => Ok(vec![value]),
        _ => Err(expected(param, "an array")),
    }
}

fn text_at(value: Value, param: &str) -> Result<String, Refusal> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(expected(param, "a string")),
    }
}

fn flag_at(value: &Value, param: &str) -> Result<bool, Refusal> {
    value.as_bool().ok_or_else(|| expected(param, "true or false"))
}

fn whole_at(value: &Value, param: &str) -> Result<u64, Refusal> {
    whole(value).ok_or_else(|| expected(param, "a whole number, not negative"))
}

fn number_at(value: Value, param: &str) -> Result<Value, Refusal> {
    if value.is_number() { Ok(value) } else { Err(expected(param, "a number")) }
}

/// The members of a client's body.
fn body_object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    object_of(body).map(members)
}

/// Version of a Gemini model by its name: `gemini-2.5-flash` is (2, 5). Names that follow the newest model
/// (`gemini-flash-latest`) count as newer than all.
fn generation(model: &str) -> Option<(u32, u32)> {
    let (_, rest) = model.rsplit_once("gemini-").or_else(|| model.split_once("gemini-"))?;
    let version = rest.split('-').next()?;
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    match (major.parse(), minor.parse()) {
        (Ok(major), Ok(minor)) => Some((major, minor)),
        _ => rest.ends_with("-latest").then_some((u32::MAX, 0)),
    }
}

#[cfg(test)]
mod tests;
