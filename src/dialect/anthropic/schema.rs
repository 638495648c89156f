//! JSON Schema as far as Anthropic enforces it.
//!
//! Objects must be closed; limits of numbers, texts and lists are refused
//! (<https://platform.claude.com/docs/en/build-with-claude/structured-outputs>, read 2026-11-21). What is not enforced is told
//! to the model in the description, as Anthropic's SDKs do it.

use serde_json::{Map, Value, json};

/// The formats of texts that are enforced.
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];

/// The schema, narrowed to what is enforced; `None` if it leaves a place without any type, which cannot be enforced.
pub(super) fn narrowed(schema: &Value) -> Option<Value> {
    let mut rest = schema.as_object()?.clone();
    let mut out = Map::new();
    for name in ["$defs", "definitions"] {
        if let Some(Value::Object(definitions)) = rest.shift_remove(name) {
            out.insert(name.to_owned(), all(&definitions)?);
        }
    }
    rest.shift_remove("$schema");
    if let Some(target) = rest.shift_remove("$ref") {
        out.insert("$ref".to_owned(), target);
        return Some(Value::Object(out));
    }
    let kind = rest.shift_remove("type");
    let mut typed = false;
    for name in ["enum", "const"] {
        if let Some(value) = rest.shift_remove(name) {
            out.insert(name.to_owned(), value);
            typed = true;
        }
    }
    for (name, shown) in [("anyOf", "anyOf"), ("oneOf", "anyOf"), ("allOf", "allOf")] {
        if let Some(Value::Array(variants)) = rest.shift_remove(name) {
            let variants: Option<Vec<Value>> = variants.iter().map(narrowed).collect();
            out.insert(shown.to_owned(), Value::Array(variants?));
            typed = true;
        }
    }
    if let Some(kind) = kind {
        out.insert("type".to_owned(), kind);
        typed = true;
    }
    if !typed {
        return None;
    }
    if let Some(title) = rest.shift_remove("title") {
        out.insert("title".to_owned(), title);
    }
    let description = rest.shift_remove("description");
    let closed = rest.contains_key("properties")
        || out.get("type").is_some_and(|kind| {
            kind == "object" || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "object"))
        });
    if closed {
        let properties = match rest.shift_remove("properties") {
            Some(Value::Object(properties)) => all(&properties)?,
            _ => json!({}),
        };
        out.insert("properties".to_owned(), properties);
        if let Some(required) = rest.shift_remove("required") {
            out.insert("required".to_owned(), required);
        }
        // Anything but false is refused; an object of free members becomes an empty one, and the description says so.
        if rest.get("additionalProperties").is_none_or(Value::is_boolean) {
            rest.shift_remove("additionalProperties");
        }
        out.insert("additionalProperties".to_owned(), json!(false));
    }
    if let Some(items) = rest.shift_remove("items") {
        out.insert("items".to_owned(), narrowed(&items)?);
    }
    if rest.get("minItems").and_then(Value::as_u64).is_some_and(|least| least <= 1)
        && let Some(least) = rest.shift_remove("minItems")
    {
        out.insert("minItems".to_owned(), least);
    }
    if rest.get("format").and_then(Value::as_str).is_some_and(|format| FORMATS.contains(&format))
        && let Some(format) = rest.shift_remove("format")
    {
        out.insert("format".to_owned(), format);
    }
    let told = (!rest.is_empty()).then(|| Value::Object(rest).to_string());
    let description = match (description, told) {
        (Some(Value::String(text)), Some(told)) => Some(json!(format!("{text}\n\n{told}"))),
        (description, None) => description,
        (_, Some(told)) => Some(json!(told)),
    };
    if let Some(description) = description {
        out.insert("description".to_owned(), description);
    }
    Some(Value::Object(out))
}

fn all(schemas: &Map<String, Value>) -> Option<Value> {
    let schemas: Option<Map<String, Value>> =
        schemas.iter().map(|(name, schema)| Some((name.clone(), narrowed(schema)?))).collect();
    schemas.map(Value::Object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_closed_and_limits_are_told() {
        let schema = json!({
            "type": "object", "title": "T", "description": "A thing.", "$schema": "x",
            "properties": {
                "age": {"type": "integer", "minimum": 1, "description": "Years."},
                "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "minItems": 1, "maxItems": 2},
                "at": {"type": "string", "format": "date"},
                "one": {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/in"}]},
                "colour": {"type": "string", "enum": ["red"]},
            },
            "required": ["age"],
            "$defs": {"in": {"type": "object"}},
        });
        let text = json!({"type": "string", "description": "{\"maxLength\":3}"});
        let expected = json!({
            "type": "object", "title": "T", "description": "A thing.", "additionalProperties": false,
            "properties": {
                "age": {"type": "integer", "description": "Years.\n\n{\"minimum\":1}"},
                "tags": {"type": "array", "items": text, "minItems": 1, "description": "{\"maxItems\":2}"},
                "at": {"type": "string", "format": "date"},
                "one": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/in"}]},
                "colour": {"type": "string", "enum": ["red"]},
            },
            "required": ["age"],
            "$defs": {"in": {"type": "object", "properties": {}, "additionalProperties": false}},
        });
        assert_eq!(narrowed(&schema), Some(expected.clone()));
        assert_eq!(narrowed(&expected).as_ref(), Some(&expected), "what is narrow stays as it is");
    }

    #[test]
    fn a_place_without_a_type_cannot_be_enforced() {
        assert_eq!(narrowed(&json!({"type": "object", "properties": {"x": {}}})), None);
        assert_eq!(narrowed(&json!(true)), None);
    }
}
