//! Reading the members of an admin request one by one, so that every error names the member and what was expected.

use super::limits::wrong;
use crate::{model::time::Timestamp, refusal::Refusal};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The members of a request not yet read. `null` is a value: it clears.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// The body as an object.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(Refusal::bad_request("invalid_json", "The body must be a JSON object.")),
            Err(error) => {
                Err(Refusal::bad_request("invalid_json", format!("The body is not JSON: {error}.")))
            }
        }
    }

    /// Whatever has not been read is not known.
    pub(super) fn finish(self, known: &[&str]) -> Result<(), Refusal> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(Refusal::bad_param(
                "unknown_parameter",
                name,
                format!("Unknown member '{name}'. Known here: {}.", known.join(", ")),
            )),
        }
    }

    /// A text of 1 to 200 characters, or `null`.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<Option<String>>, Refusal> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::String(text)) if (1..=200).contains(&text.chars().count()) => Ok(Some(Some(text))),
            Some(_) => Err(wrong(name, "a string of 1 to 200 characters")),
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(wrong(name, "true or false")),
        }
    }

    /// A positive whole number, or `null`.
    pub(super) fn count(&mut self, name: &str) -> Result<Option<Option<u64>>, Refusal> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => {
                let count = value.as_u64().filter(|count| *count > 0);
                count.map(|count| Some(Some(count))).ok_or_else(|| wrong(name, "a positive whole number"))
            }
        }
    }

    /// A moment, or `null`.
    pub(super) fn moment(&mut self, name: &str) -> Result<Option<Option<Timestamp>>, Refusal> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => value
                .as_str()
                .and_then(Timestamp::parse)
                .map(|at| Some(Some(at)))
                .ok_or_else(|| wrong(name, "a time such as 2026-12-31T23:59:59Z")),
        }
    }

    /// A list of texts, or `null`.
    pub(super) fn texts(&mut self, name: &str) -> Result<Option<Option<Vec<String>>>, Refusal> {
        let expected = || wrong(name, "a list of model names, each of which may hold *");
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::Array(items)) if items.len() <= 200 => items
                .into_iter()
                .map(|item| {
                    item.as_str().filter(|text| !text.is_empty()).map(str::to_owned).ok_or_else(expected)
                })
                .collect::<Result<Vec<_>, _>>()
                .map(|texts| Some(Some(texts))),
            Some(_) => Err(expected()),
        }
    }

    /// An object of texts.
    pub(super) fn metadata(&mut self) -> Result<Option<BTreeMap<String, String>>, Refusal> {
        let expected = || wrong("metadata", "an object whose values are strings, at most 4096 bytes");
        let Some(value) = self.0.remove("metadata") else { return Ok(None) };
        let Value::Object(members) = value else { return Err(expected()) };
        let mut size = 0;
        let mut metadata = BTreeMap::new();
        for (name, value) in members {
            let Value::String(text) = value else { return Err(expected()) };
            size += name.len() + text.len();
            metadata.insert(name, text);
        }
        if size > 4_096 { Err(expected()) } else { Ok(Some(metadata)) }
    }

    /// All members not yet read.
    pub(super) const fn members(&mut self) -> &mut Map<String, Value> {
        &mut self.0
    }
}
