//! Reading a client's JSON member by member, with errors that name the place.

use crate::refusal::Refusal;
use serde::{
    Deserializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use std::{cell::Cell, collections::HashSet, fmt};

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

/// A document's bytes, in room made at once: what grows by doubling takes three times as much of an isolate's memory.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(weight(value));
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(&mut out, value);
    out
}

/// About how many bytes it is written in; escapes are not counted.
pub(crate) fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 12,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().fold(2, |sum, item| sum + 1 + weight(item)),
        Value::Object(members) => {
            members.iter().fold(2, |sum, (name, value)| sum + name.len() + 4 + weight(value))
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

/// What a look at every value of a body finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Bytes of all texts, and of the names that are the application's own: no model can be told more.
    pub(crate) text: u64,
    /// Whether one of them is `1h`, which asks for the dearer cache. Found however it is escaped.
    pub(crate) hour: bool,
}

/// Refuses a body in which an object has a member twice: which one counts would depend on the reader, and what was counted
/// must be what is sent. With `folded`, `inlineData` and `inline_data` are the same name; not within schemas and arguments,
/// whose names are the application's.
///
/// # Errors
/// 400 that names the member.
pub(crate) fn refuse_doubles(body: &[u8], folded: bool) -> Result<(), Refusal> {
    survey(body, folded).map(|_| ())
}

/// The same, and what was found on the way.
///
/// # Errors
/// 400 that names the member.
pub(crate) fn survey(body: &[u8], folded: bool) -> Result<Survey, Refusal> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let found = Cell::new(Survey::default());
    let seed = Doubles { folded, free: false, found: &found };
    match seed.deserialize(&mut deserializer) {
        Ok(()) => Ok(found.get()),
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

/// Whether a body may name an hour as a text, written out or in escapes.
pub(crate) fn may_name_an_hour(body: &[u8]) -> bool {
    body.windows(4).any(|window| window == b"\"1h\"")
        || body.windows(6).any(|window| window == b"\\u0031" || window == b"\\u0068")
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
struct Doubles<'a> {
    folded: bool,
    /// Names here are the application's.
    free: bool,
    found: &'a Cell<Survey>,
}

impl Doubles<'_> {
    fn saw(self, text: &str) {
        let Survey { text: bytes, hour } = self.found.get();
        self.found.set(Survey { text: bytes.saturating_add(text.len() as u64), hour: hour || text == "1h" });
    }
}

impl<'de> DeserializeSeed<'de> for Doubles<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Doubles<'_> {
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

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.saw(text);
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
            if self.free {
                self.saw(&name);
            }
            let folded = if self.folded { name.replace('_', "").to_ascii_lowercase() } else { name.clone() };
            if !names.insert(folded) {
                return Err(de::Error::custom(format_args!("{TWICE}{name}'")));
            }
            map.next_value_seed(Self { folded: self.folded && !free, free: self.free || free, ..self })?;
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

    #[test]
    fn every_text_is_counted_and_an_hour_is_found_behind_escapes() {
        let found = survey(br#"{"a":["xy",{"text":"\u00e9"}],"args":{"name":{"n":1}},"n":7}"#, true).unwrap();
        assert_eq!(found, Survey { text: 2 + 2 + 4 + 1, hour: false });
        let escaped = br#"{"cache_control":{"ttl":"\u0031h"}}"#;
        assert!(survey(escaped, false).unwrap().hour && may_name_an_hour(escaped));
        assert!(may_name_an_hour(br#"["1\u0068"]"#) && may_name_an_hour(br#"["1h"]"#));
        assert!(!may_name_an_hour(br#"["11h", "1hour"]"#));
    }

    #[test]
    fn a_document_is_written_in_hardly_more_room_than_it_takes() {
        for value in [
            serde_json::json!({"a": "x".repeat(1_000_000), "b": [1, 2.5, null, true, {"c": "d"}]}),
            serde_json::json!({"messages": vec![serde_json::json!({"role": "user", "content": "hello"}); 10_000]}),
        ] {
            let written = bytes(&value);
            assert_eq!(written, value.to_string().into_bytes());
            assert!(
                written.capacity() * 10 <= written.len() * 11,
                "{} of {}",
                written.len(),
                written.capacity()
            );
        }
    }
}
