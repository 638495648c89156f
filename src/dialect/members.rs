//! A JSON object of a client's request with its place: what [`json`](super::json) takes out by name and place, by name alone.

pub(crate) use super::json::{missing, wrong};

use super::json;
use crate::refusal::Refusal;
use serde_json::{Map, Value};

/// What is left of an object. A member that is `null` counts as not there, as clients send it for "not set".
#[derive(Debug)]
pub(crate) struct Members {
    /// Where the object is: `messages[2].content[0]`; empty for the body.
    path: String,
    left: Map<String, Value>,
}

impl Members {
    /// Of a whole body.
    pub(crate) fn of_body(body: &[u8]) -> Result<Self, Refusal> {
        Ok(Self { path: String::new(), left: json::object_of(body)? })
    }

    /// Of a whole body whose bytes are passed on: no member may be there twice, since providers may take the other one.
    pub(crate) fn of_passed_body(body: &[u8]) -> Result<Self, Refusal> {
        json::refuse_doubles(body, false)?;
        Self::of_body(body)
    }

    /// Of a value at a place.
    pub(crate) fn of(value: Value, path: String) -> Result<Self, Refusal> {
        Ok(Self { left: json::as_object(value, &path)?, path })
    }

    /// The place of a member.
    pub(crate) fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// As it is.
    pub(crate) fn value(&mut self, name: &str) -> Option<Value> {
        json::take(&mut self.left, name)
    }

    /// Text.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        let place = self.at(name);
        json::text(&mut self.left, name, &place)
    }

    /// Text that must be there.
    pub(crate) fn needed_text(&mut self, name: &str) -> Result<String, Refusal> {
        self.text(name)?.ok_or_else(|| missing(&self.at(name)))
    }

    /// Yes or no.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        let place = self.at(name);
        json::flag(&mut self.left, name, &place)
    }

    /// A whole number, not negative.
    pub(crate) fn count(&mut self, name: &str) -> Result<Option<u64>, Refusal> {
        let place = self.at(name);
        json::whole(&mut self.left, name, &place)
    }

    /// Any number, as it was written.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<Value>, Refusal> {
        let place = self.at(name);
        json::number(&mut self.left, name, &place)
    }

    /// A list.
    pub(crate) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, Refusal> {
        let place = self.at(name);
        json::array(&mut self.left, name, &place)
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        let Some(list) = self.list(name)? else { return Ok(None) };
        let texts = list.into_iter().enumerate().map(|(index, value)| match value {
            Value::String(text) => Ok(text),
            _ => Err(wrong(&format!("{}[{index}]", self.at(name)), "a string")),
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    /// An object within.
    pub(crate) fn members(&mut self, name: &str) -> Result<Option<Self>, Refusal> {
        let path = self.at(name);
        let left = json::object(&mut self.left, name, &path)?;
        Ok(left.map(|left| Self { path, left }))
    }

    /// Puts a member back that turned out to be none of ours.
    pub(crate) fn put_back(&mut self, name: &str, value: Value) {
        self.left.insert(name.to_owned(), value);
    }

    /// What nobody took; what is `null` was not set.
    pub(crate) fn rest(mut self) -> Map<String, Value> {
        self.left.retain(|_, value| !value.is_null());
        self.left
    }
}

/// A member of the right type that is none of the values it may have.
pub(crate) fn unfit(path: &str, wanted: &str) -> Refusal {
    Refusal::bad_param("invalid_value", path, format!("Invalid value for '{path}': it must be {wanted}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn members(value: Value) -> Members {
        Members::of_body(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn null_is_nothing_and_the_rest_is_kept_in_order() {
        let mut members = members(json!({"z": 1, "a": null, "text": "x", "b": [2]}));
        assert_eq!(members.text("text").unwrap().as_deref(), Some("x"));
        assert_eq!(members.count("a").unwrap(), None);
        assert_eq!(members.rest().into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["z", "b"]);
    }

    #[test]
    fn a_wrong_type_names_its_place() {
        let mut outer = members(json!({"messages": {"content": 3, "n": -1}}));
        let mut inner = outer.members("messages").unwrap().unwrap();
        let refusal = inner.text("content").unwrap_err();
        assert_eq!(refusal.param.as_deref(), Some("messages.content"));
        assert_eq!(refusal.message, "Invalid type for 'messages.content': expected a string.");
        assert_eq!(inner.count("n").unwrap_err().code, "invalid_type");
        assert_eq!(inner.needed_text("role").unwrap_err().code, "missing_required_parameter");
        assert!(Members::of_body(b"[1]").is_err());
        let twice = Members::of_passed_body(br#"{"input": "a", "input": "b"}"#).unwrap_err();
        assert_eq!((twice.code, twice.param.as_deref()), ("duplicate_parameter", Some("input")));
        assert!(Members::of_body("[".repeat(100_000).as_bytes()).is_err());
    }
}
