//! Ranking: Cohere's `/v2/rerank` (<https://docs.cohere.com/reference/rerank>, read 2026-11-21) and what copies it (Jina,
//! Together, vLLM, OpenRouter …) with `/v1/rerank`.
//!
//! They differ in little: Cohere's second version takes texts only and sends no documents back, the copies count tokens
//! where Cohere counts search units. Documents are put back here, since the request has them.

#[cfg(test)]
mod tests;

use super::{
    Corrupt, Order, Show, Written,
    cohere::response::whole,
    json,
    members::{Members, missing, unfit, wrong},
    openai_chat::response,
    openai_embeddings,
};
use crate::{
    model::{
        answer::Reported,
        embed::{RerankAnswer, RerankRequest},
        usage::Usage,
    },
    refusal::Refusal,
};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

/// Members of Cohere's second version that have no place in the canonical form.
const COHERE: [&str; 2] = ["max_tokens_per_doc", "priority"];

/// Reads a body of `/v1/rerank` or `/v2/rerank`.
///
/// # Errors
/// A member that is missing, of the wrong type, or none of the values it may have.
pub fn read_request(body: &[u8]) -> Result<RerankRequest, Refusal> {
    let mut members = Members::of_passed_body(body)?;
    let model = members.needed_text("model")?;
    let query = members.needed_text("query")?;
    let documents = members.list("documents")?.ok_or_else(|| missing("documents"))?;
    if documents.is_empty() {
        return Err(unfit("documents", "a list of at least one document"));
    }
    for (index, document) in documents.iter().enumerate() {
        if !document.is_string() && !document.is_object() {
            return Err(wrong(&format!("documents[{index}]"), "a string or an object"));
        }
    }
    let top_n = members.count("top_n")?;
    if top_n == Some(0) {
        return Err(unfit("top_n", "at least 1; leave it out to get all documents"));
    }
    let return_documents = members.flag("return_documents")?.unwrap_or(false);
    if let Some(fields) = members.texts("rank_fields")? {
        members.put_back("rank_fields", json!(fields));
    }
    let extras = members.rest();
    Ok(RerankRequest { model, query, documents, top_n, return_documents, extras })
}

/// Writes a body of `/v2/rerank` for Cohere, of `/v1/rerank` for others.
#[must_use]
pub fn write_request(request: &RerankRequest, order: &Order<'_>) -> Written {
    let mut written = Written::default();
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(order.model));
    body.insert("query".to_owned(), json!(request.query));
    let cohere = order.kind == "cohere";
    let documents = if cohere {
        let fields = rank_fields(request);
        let texts = request.documents.iter().enumerate().map(|(index, document)| {
            text(document, fields.as_deref()).unwrap_or_else(|| {
                written.refused.push(format!("documents[{index}]"));
                String::new()
            })
        });
        texts.map(Value::String).collect()
    } else {
        Value::Array(request.documents.clone())
    };
    body.insert("documents".to_owned(), documents);
    if let Some(top_n) = request.top_n {
        body.insert("top_n".to_owned(), json!(top_n));
    }
    if request.return_documents && !cohere {
        body.insert("return_documents".to_owned(), json!(true));
    }
    for (name, value) in &request.extras {
        match name.as_str() {
            "rank_fields" if cohere => {}
            own if !cohere || COHERE.contains(&own) => {
                body.insert(name.clone(), value.clone());
            }
            _ => written.dropped.push(name.clone()),
        }
    }
    written.body = json::bytes(&Value::Object(body));
    written
}

/// The members of documents that count, if the request says.
fn rank_fields(request: &RerankRequest) -> Option<Vec<&str>> {
    let fields = request.extras.get("rank_fields")?.as_array()?;
    Some(fields.iter().filter_map(Value::as_str).collect())
}

/// A document as text: its `text`, or the members asked for (all, if there is no `text`) as YAML, which Cohere advises for
/// objects. `None` if there is nothing to read.
fn text(document: &Value, fields: Option<&[&str]>) -> Option<String> {
    let object = match document {
        Value::String(text) => return Some(text.clone()),
        other => other.as_object()?,
    };
    if fields.is_none()
        && let Some(text) = object.get("text").and_then(Value::as_str)
    {
        return Some(text.to_owned());
    }
    // A picture is nothing that its address could stand for.
    if object.contains_key("image") {
        return None;
    }
    let asked = |name: &str| fields.is_none_or(|fields| fields.contains(&name));
    let lines = object.iter().filter(|(name, value)| asked(name) && !value.is_null()).map(|(name, value)| {
        // JSON is YAML, and quotes are left out where nothing depends on them.
        let plain =
            value.as_str().filter(|text| !text.contains(['\n', '"', '#', ':', '\\']) && text.trim() == *text);
        plain.map_or_else(|| format!("{name}: {value}"), |text| format!("{name}: {text}"))
    });
    let lines = lines.collect::<Vec<_>>().join("\n");
    (!lines.is_empty()).then_some(lines)
}

#[derive(Deserialize)]
struct Wire<'a> {
    id: Option<String>,
    /// Voyage says `data`.
    #[serde(alias = "data")]
    results: Option<Vec<Ranked>>,
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Ranked {
    index: u64,
    #[serde(alias = "score", deserialize_with = "openai_embeddings::exact")]
    relevance_score: f64,
}

/// Reads the body of a 200.
///
/// # Errors
/// It is not a ranking.
pub fn read_answer(body: &[u8]) -> Result<RerankAnswer, Corrupt> {
    let wire: Wire<'_> =
        serde_json::from_slice(body).map_err(|error| Corrupt(format!("not a ranking: {error}")))?;
    let results = wire.results.ok_or_else(|| Corrupt(response::error_text(body)))?;
    let mut answer = RerankAnswer {
        id: wire.id,
        results: results.into_iter().map(|ranked| (ranked.index, ranked.relevance_score)).collect(),
        ..RerankAnswer::default()
    };
    // Cohere says `meta.billed_units`, the copies `usage`; OpenRouter has search units in it.
    for (text, units_at) in [(wire.meta, "/billed_units"), (wire.usage, "")] {
        let Some(text) = text.map(RawValue::get).filter(|_| answer.reported.is_none()) else { continue };
        let Ok(value) = serde_json::from_str::<Value>(text) else { continue };
        let Some(units) = value.pointer(units_at).filter(|units| units.is_object()) else { continue };
        let count = |name: &str| units.get(name).and_then(Value::as_f64);
        answer.search_units = count("search_units").map(|units| whole(Some(units)));
        let input = count("input_tokens").or(count("total_tokens")).or(count("prompt_tokens"));
        let usage = Usage { input: whole(input), ..Usage::default() };
        answer.reported = Some(Reported { usage, json: text.to_owned(), cost_nanousd: None });
    }
    Ok(answer)
}

/// The search units in what a row keeps of a ranking: `meta` or `usage`, as it came.
#[must_use]
pub fn search_units(reported: &str) -> Option<u64> {
    let value: Value = serde_json::from_str(reported).ok()?;
    let units = value.pointer("/billed_units/search_units").or_else(|| value.pointer("/search_units"))?;
    Some(whole(Some(units.as_f64()?)))
}

/// Writes an answer for a client. Results that are about no document of the request are left out.
#[must_use]
pub fn write_answer(answer: &RerankAnswer, request: &RerankRequest, show: &Show) -> Vec<u8> {
    let results = answer.results.iter().filter_map(|(index, score)| {
        let document = request.documents.get(usize::try_from(*index).ok()?)?;
        let mut result = Map::new();
        result.insert("index".to_owned(), json!(index));
        result.insert("relevance_score".to_owned(), json!(score));
        if request.return_documents {
            let document = if document.is_string() { json!({"text": document}) } else { document.clone() };
            result.insert("document".to_owned(), Value::Object(document.as_object()?.clone()));
        }
        Some(Value::Object(result))
    });
    let mut body = Map::new();
    body.insert("id".to_owned(), json!(answer.id.as_ref().unwrap_or(&show.id)));
    body.insert("model".to_owned(), json!(show.model));
    body.insert("results".to_owned(), results.collect());
    let usage = answer.reported.as_ref().map(|reported| reported.usage).unwrap_or_default();
    let mut units = Map::new();
    if let Some(count) = answer.search_units {
        units.insert("search_units".to_owned(), json!(count));
    }
    if usage.total() > 0 {
        units.insert("input_tokens".to_owned(), json!(usage.input_total()));
        // Where the copies have it.
        let usage = json!({"prompt_tokens": usage.input_total(), "total_tokens": usage.total()});
        body.insert("usage".to_owned(), usage);
    }
    body.insert("meta".to_owned(), json!({"api_version": {"version": "2"}, "billed_units": units}));
    Value::Object(body).to_string().into_bytes()
}
