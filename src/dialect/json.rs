//! Reading a client's JSON member by member, with errors that name the place.

use crate::refusal::Refusal;
use serde_json::{Map, Value};

/// The body as an object.
///
/// # Errors
/// 400 if it is none.
pub(crate) fn object_of(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => {
            Err(Refusal::bad_request("invalid_json", "The body is not a JSON object. Send one, in braces."))
        }
        Err(error) => {
            Err(Refusal::bad_request("invalid_json", format!("The body is not a JSON object: {error}.")))
        }
    }
}

/// The member is not of its type.
pub(crate) fn wrong(place: &str, expected: &str) -> Refusal {
    Refusal::bad_param("invalid_type", place, format!("Invalid type for '{place}': expected {expected}."))
}

/// The member is not there.
pub(crate) fn missing(place: &str) -> Refusal {
    Refusal::bad_param("missing_required_parameter", place, format!("Missing required parameter: '{place}'."))
}

/// Takes a member out; null counts as not there.
pub(crate) fn take(members: &mut Map<String, Value>, name: &str) -> Option<Value> {
    members.shift_remove(name).filter(|value| !value.is_null())
}

/// Takes a text out.
///
/// # Errors
/// 400 if it is something else.
pub(crate) fn text(
    members: &mut Map<String, Value>,
    name: &str,
    place: &str,
) -> Result<Option<String>, Refusal> {
    match take(members, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(place, "a string")),
    }
}

/// Takes a whole number out.
///
/// # Errors
/// 400 if it is something else.
pub(crate) fn whole(
    members: &mut Map<String, Value>,
    name: &str,
    place: &str,
) -> Result<Option<u64>, Refusal> {
    match take(members, name) {
        None => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| wrong(place, "a whole number of at least 0")),
    }
}

/// Takes a number out, as it was written.
///
/// # Errors
/// 400 if it is something else.
pub(crate) fn number(
    members: &mut Map<String, Value>,
    name: &str,
    place: &str,
) -> Result<Option<Value>, Refusal> {
    match take(members, name) {
        None => Ok(None),
        Some(value @ Value::Number(_)) => Ok(Some(value)),
        Some(_) => Err(wrong(place, "a number")),
    }
}

/// Takes true or false out.
///
/// # Errors
/// 400 if it is something else.
pub(crate) fn flag(
    members: &mut Map<String, Value>,
    name: &str,
    place: &str,
) -> Result<Option<bool>, Refusal> {
    match take(members, name) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(flag)),
        Some(_) => Err(wrong(place, "true or false")),
    }
}

/// Takes an array out.
///
/// # Errors
/// 400 if it is something else.
pub(crate) fn array(
    members: &mut Map<String, Value>,
    name: &str,
    place: &str,
) -> Result<Option<Vec<Value>>, Refusal> {
    match take(members, name) {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(_) => Err(wrong(place, "an array")),
    }
}

/// Takes an object out.
///
/// # Errors
/// 400 if it is something else.
pub(crate) fn object(
    members: &mut Map<String, Value>,
    name: &str,
    place: &str,
) -> Result<Option<Map<String, Value>>, Refusal> {
    match take(members, name) {
        None => Ok(None),
        Some(Value::Object(inner)) => Ok(Some(inner)),
        Some(_) => Err(wrong(place, "an object")),
    }
}

/// A value as an object.
///
/// # Errors
/// 400 if it is something else.
pub(crate) fn as_object(value: Value, place: &str) -> Result<Map<String, Value>, Refusal> {
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(wrong(place, "an object")),
    }
}

/// A text or an array of texts, as `stop` is given.
///
/// # Errors
/// 400 if it is something else.
pub(crate) fn texts(
    members: &mut Map<String, Value>,
    name: &str,
    place: &str,
) -> Result<Vec<String>, Refusal> {
    let expected = || wrong(place, "a string or an array of strings");
    match take(members, name) {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text]),
        Some(Value::Array(items)) => items
            .into_iter()
            .map(|item| match item {
                Value::String(text) => Ok(text),
                _ => Err(expected()),
            })
            .collect(),
        Some(_) => Err(expected()),
    }
}
