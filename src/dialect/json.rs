//! Reading a client's JSON member by member, with errors that name the place.

use crate::refusal::Refusal;
use serde::{
    Deserializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use std::{collections::HashSet, fmt};

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

/// Refuses a body in which an object has a member twice: which one counts would depend on the reader, and what was counted
/// must be what is sent. With `folded`, `inlineData` and `inline_data` are the same name; not within schemas and arguments,
/// whose names are the application's.
///
/// # Errors
/// 400 that names the member.
pub(crate) fn refuse_doubles(body: &[u8], folded: bool) -> Result<(), Refusal> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let seed = Doubles { folded };
    match seed.deserialize(&mut deserializer) {
        Ok(()) => Ok(()),
        Err(error) => {
            let message = error.to_string();
            match message.strip_prefix(TWICE).and_then(|rest| rest.split('\'').next()) {
                Some(name) => Err(Refusal::bad_param(
                    "duplicate_parameter",
                    name,
                    format!("'{name}' is given more than once; which one counts would depend on the reader."),
                )),
                None => {
                    Err(Refusal::bad_request("invalid_json", format!("The body is not JSON: {message}.")))
                }
            }
        }
    }
}

const TWICE: &str = "given twice: '";

/// Members below which names are the application's own.
const FREE: &[&str] = &[
    "parameters",
    "parametersJsonSchema",
    "parameters_json_schema",
    "schema",
    "input_schema",
    "responseSchema",
    "response_schema",
    "responseJsonSchema",
    "response_json_schema",
    "args",
    "response",
    "input",
    "metadata",
    "labels",
];

#[derive(Clone, Copy)]
struct Doubles {
    folded: bool,
}

impl<'de> DeserializeSeed<'de> for Doubles {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Doubles {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names: HashSet<String> = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let free = FREE.contains(&name.as_str());
            let folded = if self.folded { name.replace('_', "").to_ascii_lowercase() } else { name.clone() };
            if !names.insert(folded) {
                return Err(de::Error::custom(format_args!("{TWICE}{name}'")));
            }
            map.next_value_seed(Self { folded: self.folded && !free })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_given_twice_is_named_wherever_it_stands() {
        let refused = |body: &str, folded| refuse_doubles(body.as_bytes(), folded).unwrap_err().param;
        assert_eq!(refused(r#"{"a":[{"text":"x","text":"y"}]}"#, false).as_deref(), Some("text"));
        assert_eq!(refused(r#"{"inlineData":1,"inline_data":2}"#, true).as_deref(), Some("inline_data"));
        assert!(refuse_doubles(br#"{"inlineData":1,"inline_data":2}"#, false).is_ok());
        let schema = br#"{"parameters":{"properties":{"userId":{},"user_id":{}}}}"#;
        assert!(refuse_doubles(schema, true).is_ok());
        assert_eq!(refused("[", false), None);
    }
}
