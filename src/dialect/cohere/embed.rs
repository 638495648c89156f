//! Cohere's `/v2/embed` (<https://docs.cohere.com/reference/embed>, read 2026-11-21).

use crate::{
    dialect::{
        Corrupt, Order, Show, Written, json,
        members::{Members, missing, unfit},
        openai_embeddings::{Vector, is_query, numbers_to, pack, task},
    },
    model::{
        answer::Reported,
        embed::{EmbedAnswer, EmbedInput, EmbedRequest},
        usage::Usage,
    },
    refusal::Refusal,
};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

/// The most texts of a request (same page).
const TEXTS_MAX: usize = 96;

/// Members that have no place in the canonical form and are Cohere's own.
const OWN: [&str; 5] = ["truncate", "max_tokens", "priority", "images", "inputs"];

/// Reads a body of `/v2/embed`. Images stay among the extras: only Cohere can have them.
///
/// # Errors
/// A member that is missing, of the wrong type, or none of the values it may have.
pub fn read_request(body: &[u8]) -> Result<EmbedRequest, Refusal> {
    let mut members = Members::of_passed_body(body)?;
    let model = members.needed_text("model")?;
    let texts = members.texts("texts")?.unwrap_or_default();
    let mut inputs: Vec<EmbedInput> = texts.into_iter().map(EmbedInput::Text).collect();
    if let Some(mixed) = members.list("inputs")? {
        match mixed.iter().map(only_text).collect::<Option<Vec<_>>>() {
            Some(texts) => inputs.extend(texts.into_iter().map(EmbedInput::Text)),
            None => members.put_back("inputs", Value::Array(mixed)),
        }
    }
    let task = match members.text("input_type")? {
        None => None,
        Some(word) => {
            let task = task(&word);
            if task.is_none() {
                members.put_back("input_type", json!(word));
            }
            task
        }
    };
    let types = members.texts("embedding_types")?.unwrap_or_default();
    let dimensions = members.count("output_dimension")?;
    let mut extras = members.rest();
    if inputs.is_empty() && !extras.contains_key("images") && !extras.contains_key("inputs") {
        return Err(if body.is_empty() { unfit("texts", "a list") } else { missing("texts") });
    }
    if !types.is_empty() && types != ["float"] {
        extras.insert("embedding_types".to_owned(), json!(types));
    }
    let base64 = types.iter().any(|kind| kind == "base64");
    let task = task.map(str::to_owned);
    Ok(EmbedRequest { model, inputs, dimensions, base64, task, user: None, extras })
}

/// The text of an input that is nothing else.
fn only_text(input: &Value) -> Option<String> {
    match input.get("content")?.as_array()?.as_slice() {
        [block] if block.get("type")?.as_str()? == "text" => block.get("text")?.as_str().map(str::to_owned),
        _ => None,
    }
}

/// Writes a body of `/v2/embed`.
#[must_use]
pub fn write_request(request: &EmbedRequest, order: &Order<'_>) -> Written {
    let mut written = Written::default();
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(order.model));
    let mut texts = Vec::with_capacity(request.inputs.len());
    for (index, input) in request.inputs.iter().enumerate() {
        match input {
            EmbedInput::Text(text) => texts.push(text.as_str()),
            // Numbers of another model's vocabulary.
            EmbedInput::Tokens(_) => written.refused.push(format!("input[{index}]")),
        }
    }
    if texts.len() > TEXTS_MAX {
        written.refused.push(format!("input (more than {TEXTS_MAX} texts)"));
    }
    if !texts.is_empty() {
        body.insert("texts".to_owned(), json!(texts));
    }
    body.insert("input_type".to_owned(), json!(input_type(request, &mut written.dropped)));
    // Whatever the client gets, this is what is read.
    body.insert("embedding_types".to_owned(), json!(["float"]));
    if let Some(dimensions) = request.dimensions {
        body.insert("output_dimension".to_owned(), json!(dimensions));
    }
    if request.user.is_some() {
        written.dropped.push("user".to_owned());
    }
    for (name, value) in &request.extras {
        match name.as_str() {
            "input_type" => {}
            "embedding_types" => {
                let other = |kind: &Value| kind != "float" && kind != "base64";
                if value.as_array().is_none_or(|kinds| kinds.iter().any(other)) {
                    written.dropped.push(name.clone());
                }
            }
            own if OWN.contains(&own) => {
                body.insert(name.clone(), value.clone());
            }
            _ => written.dropped.push(name.clone()),
        }
    }
    written.body = json::bytes(&Value::Object(body));
    written
}

/// What the vectors are for, which Cohere must be told. Without a word of the caller's they are documents': a store is
/// filled with more of them than it is asked.
fn input_type(request: &EmbedRequest, dropped: &mut Vec<String>) -> Value {
    if let Some(own) = request.extras.get("input_type") {
        return own.clone();
    }
    json!(match request.task.as_deref() {
        Some(task) if is_query(task) => "search_query",
        Some("CLASSIFICATION") => "classification",
        Some("CLUSTERING") => "clustering",
        None | Some("RETRIEVAL_DOCUMENT") => "search_document",
        Some(_) => {
            dropped.push("input_type".to_owned());
            "search_document"
        }
    })
}

#[derive(Deserialize)]
struct Wire<'a> {
    id: Option<String>,
    embeddings: Option<Embeddings>,
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Embeddings {
    float: Option<Vec<Vector>>,
    base64: Option<Vec<Vector>>,
}

/// Reads the body of a 200.
///
/// # Errors
/// It has no vectors of floats.
pub fn read_answer(body: &[u8]) -> Result<EmbedAnswer, Corrupt> {
    let wire: Wire<'_> =
        serde_json::from_slice(body).map_err(|error| Corrupt(format!("not Cohere embeddings: {error}")))?;
    let vectors = wire.embeddings.and_then(|embeddings| embeddings.float.or(embeddings.base64));
    let vectors = vectors.ok_or_else(|| Corrupt("no embeddings of floats".to_owned()))?;
    Ok(EmbedAnswer {
        id: wire.id,
        model: None,
        vectors: vectors.into_iter().map(|vector| vector.0).collect(),
        reported: wire.meta.and_then(|meta| reported(meta.get())),
    })
}

/// The billed tokens of `meta`; `None` if it counts none.
fn reported(text: &str) -> Option<Reported> {
    #[derive(Deserialize)]
    struct Meta {
        billed_units: Option<Units>,
    }
    #[derive(Deserialize)]
    struct Units {
        input_tokens: Option<f64>,
        text_tokens: Option<f64>,
        image_tokens: Option<f64>,
    }
    let units = serde_json::from_str::<Meta>(text).ok()?.billed_units?;
    let parts = || Some(units.text_tokens? + units.image_tokens.unwrap_or(0.0));
    let input = super::response::whole(Some(units.input_tokens.or_else(parts)?));
    let usage = Usage { input, ..Usage::default() };
    Some(Reported { usage, json: text.to_owned(), cost_nanousd: None })
}

/// Writes an answer for a client: floats, base64 or both, as the request asked for them. The kinds of whole numbers are not
/// to be had from here; the request's writer named them as dropped.
#[must_use]
pub fn write_answer(answer: &EmbedAnswer, request: &EmbedRequest, show: &Show) -> Vec<u8> {
    let kinds = request.extras.get("embedding_types").and_then(Value::as_array);
    let float = !request.base64 || kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "float"));
    let mut out = Vec::new();
    out.extend_from_slice(br#"{"embeddings":{"#);
    if float {
        out.extend_from_slice(br#""float":["#);
        for (index, vector) in answer.vectors.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            numbers_to(vector, &mut out);
        }
        out.push(b']');
    }
    if request.base64 {
        let packed: Vec<String> = answer.vectors.iter().map(|vector| pack(vector)).collect();
        let comma = if float { "," } else { "" };
        out.extend_from_slice(format!("{comma}\"base64\":{}", json!(packed)).as_bytes());
    }
    let texts: Vec<&str> = request
        .inputs
        .iter()
        .filter_map(|input| match input {
            EmbedInput::Text(text) => Some(text.as_str()),
            EmbedInput::Tokens(_) => None,
        })
        .collect();
    let input = answer.reported.as_ref().map_or(0, |reported| reported.usage.input_total());
    let rest = json!({
        "id": answer.id.as_ref().unwrap_or(&show.id),
        "texts": texts,
        "response_type": "embeddings_by_type",
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": input}},
    });
    out.extend_from_slice(b"},");
    // The other members, without the brace that the object begins with.
    out.extend(rest.to_string().into_bytes().into_iter().skip(1));
    out
}
