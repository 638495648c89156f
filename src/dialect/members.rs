//! A JSON object of a client's request, taken apart member by member: types are checked, what is left over is kept.

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
        match serde_json::from_slice(body) {
            Ok(Value::Object(left)) => Ok(Self { path: String::new(), left }),
            Ok(_) => Err(Refusal::bad_request("invalid_json", "The body must be a JSON object.")),
            Err(error) => {
                Err(Refusal::bad_request("invalid_json", format!("The body is not JSON: {error}.")))
            }
        }
    }

    /// Of a value at a place.
    pub(crate) fn of(value: Value, path: String) -> Result<Self, Refusal> {
        match value {
            Value::Object(left) => Ok(Self { path, left }),
            other => Err(wrong(&path, "an object", &other)),
        }
    }

    /// The place of a member.
    pub(crate) fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// As it is.
    pub(crate) fn value(&mut self, name: &str) -> Option<Value> {
        self.left.shift_remove(name).filter(|value| !value.is_null())
    }

    /// Text.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(&self.at(name), "a string", &other)),
        }
    }

    /// Text that must be there.
    pub(crate) fn needed_text(&mut self, name: &str) -> Result<String, Refusal> {
        self.text(name)?.ok_or_else(|| missing(&self.at(name)))
    }

    /// Yes or no.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(wrong(&self.at(name), "true or false", &other)),
        }
    }

    /// A whole number, not negative.
    pub(crate) fn count(&mut self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let count =
            value.as_u64().ok_or_else(|| wrong(&self.at(name), "a whole number, 0 or more", &value))?;
        Ok(Some(count))
    }

    /// Any number, as it was written.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<Value>, Refusal> {
        match self.value(name) {
            Some(other) if !other.is_number() => Err(wrong(&self.at(name), "a number", &other)),
            number => Ok(number),
        }
    }

    /// A list.
    pub(crate) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, Refusal> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(other) => Err(wrong(&self.at(name), "a list", &other)),
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        let Some(list) = self.list(name)? else { return Ok(None) };
        let texts = list.into_iter().enumerate().map(|(index, value)| match value {
            Value::String(text) => Ok(text),
            other => Err(wrong(&format!("{}[{index}]", self.at(name)), "a string", &other)),
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    /// An object within.
    pub(crate) fn members(&mut self, name: &str) -> Result<Option<Self>, Refusal> {
        let path = self.at(name);
        self.value(name).map(|value| Self::of(value, path)).transpose()
    }

    /// Puts a member back that turned out to be none of ours.
    pub(crate) fn put_back(&mut self, name: &str, value: Value) {
        self.left.insert(name.to_owned(), value);
    }

    /// What nobody took.
    pub(crate) fn rest(self) -> Map<String, Value> {
        self.left
    }
}

/// A member of the wrong type.
pub(crate) fn wrong(path: &str, wanted: &str, got: &Value) -> Refusal {
    let got = match got {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    Refusal::bad_param("invalid_type", path, format!("{path} must be {wanted}, not {got}."))
}

/// A member that must be there.
pub(crate) fn missing(path: &str) -> Refusal {
    Refusal::bad_param("missing_required_parameter", path, format!("{path} is missing. Send it."))
}

/// A member of the right type that is none of the values it may have.
pub(crate) fn unfit(path: &str, wanted: &str) -> Refusal {
    Refusal::bad_param("invalid_value", path, format!("{path} must be {wanted}."))
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
        assert_eq!(refusal.message, "messages.content must be a string, not a number.");
        assert_eq!(inner.count("n").unwrap_err().code, "invalid_type");
        assert_eq!(inner.needed_text("role").unwrap_err().code, "missing_required_parameter");
        assert!(Members::of_body(b"[1]").is_err());
        assert!(Members::of_body("[".repeat(100_000).as_bytes()).is_err());
    }
}
