//! JSON Schema in Google's older spelling (`Schema`, a part of OpenAPI 3.0) to the standard's own.
//!
//! Google: <https://ai.google.dev/api/caching#Schema>, read 2026-11-21. Nothing is written in that spelling: every model
//! since Gemini 2 takes standard schemas (`parametersJsonSchema`, `responseJsonSchema`).

use serde_json::{Map, Value, json};

/// A schema as Google's clients spell it (`"type": "STRING"`, `nullable`, `property_ordering`) in the standard spelling.
/// What is standard already stays as it is.
#[must_use]
pub fn from_openapi(schema: Value) -> Value {
    let Value::Object(members) = schema else {
        return schema;
    };
    let mut written = Map::new();
    let mut nullable = false;
    let mut ordering = Vec::new();
    for (name, value) in members {
        match name.as_str() {
            "nullable" => nullable = value == Value::Bool(true),
            "propertyOrdering" | "property_ordering" => {
                if let Value::Array(names) = value {
                    ordering = names;
                }
            }
            "type" => {
                // Unset: nothing is said about it.
                if value.as_str() != Some("TYPE_UNSPECIFIED") {
                    written.insert(name, lower(value));
                }
            }
            "format" if value.as_str() == Some("enum") => {
                // Google's mark of a list of texts; `enum` alone says it.
            }
            "properties" | "$defs" | "definitions" | "defs" => {
                let name = if name == "defs" { "$defs".to_owned() } else { name };
                let value = match value {
                    Value::Object(all) => Value::Object(
                        all.into_iter().map(|(name, schema)| (name, from_openapi(schema))).collect(),
                    ),
                    other => other,
                };
                written.insert(name, value);
            }
            "items" | "additionalProperties" | "additional_properties" | "not" => {
                written.insert(standard(&name), from_openapi(value));
            }
            "anyOf" | "any_of" | "oneOf" | "allOf" | "prefixItems" | "prefix_items" => {
                let value = match value {
                    Value::Array(all) => Value::Array(all.into_iter().map(from_openapi).collect()),
                    other => other,
                };
                written.insert(standard(&name), value);
            }
            // These are 64-bit numbers, which Google's JSON puts into strings.
            "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties"
            | "min_items" | "max_items" | "min_length" | "max_length" | "min_properties"
            | "max_properties" => {
                let value =
                    value.as_str().and_then(|text| text.parse::<u64>().ok()).map_or(value, Value::from);
                written.insert(standard(&name), value);
            }
            "ref" => {
                written.insert("$ref".to_owned(), value);
            }
            _ => {
                written.insert(name, value);
            }
        }
    }
    if !ordering.is_empty()
        && let Some(Value::Object(properties)) = written.get_mut("properties")
    {
        reorder(properties, &ordering);
    }
    if nullable {
        allow_null(&mut written);
    }
    Value::Object(written)
}

/// `any_of` → `anyOf`.
fn standard(name: &str) -> String {
    let mut upper = false;
    name.chars()
        .filter_map(|character| match character {
            '_' => {
                upper = true;
                None
            }
            other => Some(if std::mem::take(&mut upper) { other.to_ascii_uppercase() } else { other }),
        })
        .collect()
}

fn lower(kind: Value) -> Value {
    match kind {
        Value::String(kind) => Value::String(kind.to_ascii_lowercase()),
        Value::Array(kinds) => Value::Array(kinds.into_iter().map(lower).collect()),
        other => other,
    }
}

/// Models write members in the order in which the schema names them.
fn reorder(properties: &mut Map<String, Value>, ordering: &[Value]) {
    // Each is taken where it stands: taking it out would move all that follow, once for each name.
    let mut all = std::mem::take(properties);
    for name in ordering.iter().filter_map(Value::as_str) {
        if !properties.contains_key(name)
            && let Some(schema) = all.get_mut(name)
        {
            properties.insert(name.to_owned(), schema.take());
        }
    }
    for (name, schema) in all {
        properties.entry(name).or_insert(schema);
    }
}

fn allow_null(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(values)) = schema.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
    match schema.get_mut("type") {
        Some(Value::Array(kinds)) if !kinds.contains(&json!("null")) => kinds.push(json!("null")),
        Some(kind @ Value::String(_)) if *kind != json!("null") => *kind = json!([kind.take(), "null"]),
        Some(_) => {}
        None => {
            if let Some(Value::Array(any)) = schema.get_mut("anyOf") {
                any.push(json!({ "type": "null" }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn googles_spelling_becomes_the_standards() {
        let schema = json!({
            "type": "OBJECT",
            "property_ordering": ["name", "tags"],
            "properties": {
                "tags": { "type": "ARRAY", "items": { "type": "STRING" }, "min_items": "1" },
                "name": { "type": "STRING", "nullable": true, "enum": ["a"], "format": "enum" },
                "type": { "anyOf": [{ "type": "INTEGER" }, { "type": "NUMBER" }], "nullable": true },
            },
            "required": ["name"],
        });
        let standard = json!({
            "type": "object",
            "properties": {
                "name": { "type": ["string", "null"], "enum": ["a", null] },
                "tags": { "type": "array", "items": { "type": "string" }, "minItems": 1 },
                "type": { "anyOf": [{ "type": "integer" }, { "type": "number" }, { "type": "null" }] },
            },
            "required": ["name"],
        });
        let written = from_openapi(schema);
        assert_eq!(written, standard);
        let names: Vec<_> = written["properties"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["name", "tags", "type"], "the order that was asked for, then the rest");
        assert_eq!(from_openapi(standard.clone()), standard, "what is standard stays");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "tests run natively, and this one is about time")]
    fn an_ordering_of_many_properties_takes_one_pass() {
        let names: Vec<String> = (0..200_000).map(|number| format!("p{number}")).collect();
        let properties: Map<String, Value> = names.iter().map(|name| (name.clone(), json!(1))).collect();
        let ordering: Vec<&str> = names.iter().rev().map(String::as_str).chain(["p0", "none"]).collect();
        let begun = std::time::Instant::now();
        let written = from_openapi(json!({ "properties": properties, "propertyOrdering": ordering }));
        let written = written["properties"].as_object().unwrap();
        assert_eq!((written.len(), written.keys().next().unwrap().as_str()), (names.len(), "p199999"));
        assert!(written.values().all(|value| *value == 1));
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_property_may_have_the_name_of_a_keyword() {
        let schema = json!({ "type": "object", "properties": { "nullable": { "type": "BOOLEAN" }, "type": { "type": "STRING" } } });
        let written = from_openapi(schema);
        assert_eq!(written["properties"]["nullable"]["type"], "boolean");
        assert_eq!(written["properties"]["type"]["type"], "string");
    }
}
