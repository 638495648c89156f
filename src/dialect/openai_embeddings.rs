//! OpenAI's embeddings, client and provider (<https://platform.openai.com/docs/api-reference/embeddings>, read 2026-11-21),
//! and what copies them.

#[cfg(test)]
mod tests;

use super::{
    Corrupt, Order, Show, Written, json,
    members::{Members, missing, unfit, wrong},
    openai_chat::response,
};
use crate::{
    model::{
        answer::Reported,
        embed::{EmbedAnswer, EmbedInput, EmbedRequest},
        usage::Usage,
    },
    refusal::Refusal,
};
use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, SeqAccess, Visitor},
};
use serde_json::{Map, Value, json, value::RawValue};
use std::fmt;

/// Reads a body of `/v1/embeddings`.
///
/// # Errors
/// A member that is missing, of the wrong type, or none of the values it may have.
pub fn read_request(body: &[u8]) -> Result<EmbedRequest, Refusal> {
    let mut members = Members::of_passed_body(body)?;
    let model = members.needed_text("model")?;
    let inputs = inputs(members.value("input").ok_or_else(|| missing("input"))?)?;
    let base64 = match members.text("encoding_format")?.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(unfit("encoding_format", "float or base64")),
    };
    let dimensions = members.count("dimensions")?;
    let user = members.text("user")?;
    // Not OpenAI's: how its SDKs' users say it to servers whose models tell queries from documents.
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
    let extras = members.rest();
    Ok(EmbedRequest { model, inputs, dimensions, base64, task: task.map(str::to_owned), user, extras })
}

/// Gemini's name of what the vectors are for, from the words of Cohere, NVIDIA and Voyage.
pub(super) fn task(word: &str) -> Option<&'static str> {
    Some(match word {
        "search_query" | "query" => "RETRIEVAL_QUERY",
        "search_document" | "document" | "passage" => "RETRIEVAL_DOCUMENT",
        "classification" => "CLASSIFICATION",
        "clustering" => "CLUSTERING",
        _ => return None,
    })
}

/// Whether a task is about what is searched for, not what is found.
pub(super) fn is_query(task: &str) -> bool {
    matches!(task, "RETRIEVAL_QUERY" | "QUESTION_ANSWERING" | "FACT_VERIFICATION" | "CODE_RETRIEVAL_QUERY")
}

fn inputs(value: Value) -> Result<Vec<EmbedInput>, Refusal> {
    let list = match value {
        Value::String(text) => return Ok(vec![EmbedInput::Text(text)]),
        Value::Array(list) => list,
        _ => return Err(wrong("input", "a string or a list")),
    };
    match list.first() {
        None => Err(unfit("input", "a list of at least one text")),
        Some(Value::Number(_)) => Ok(vec![EmbedInput::Tokens(tokens(list, "input")?)]),
        Some(_) => list
            .into_iter()
            .enumerate()
            .map(|(index, value)| match value {
                Value::String(text) => Ok(EmbedInput::Text(text)),
                Value::Array(list) => Ok(EmbedInput::Tokens(tokens(list, &format!("input[{index}]"))?)),
                _ => Err(wrong(&format!("input[{index}]"), "a string or a list of tokens")),
            })
            .collect(),
    }
}

fn tokens(list: Vec<Value>, path: &str) -> Result<Vec<u64>, Refusal> {
    if list.is_empty() {
        return Err(unfit(path, "a list of at least one token"));
    }
    let token = |(index, value): (usize, Value)| {
        value.as_u64().ok_or_else(|| wrong(&format!("{path}[{index}]"), "a token's number"))
    };
    list.into_iter().enumerate().map(token).collect()
}

/// Writes a body of `/v1/embeddings`.
///
/// Extras are another dialect's: within this one, bytes pass as they are.
#[must_use]
pub fn write_request(request: &EmbedRequest, order: &Order<'_>) -> Written {
    let mut written = Written::default();
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(order.model));
    let texts = request.inputs.iter().filter(|input| matches!(input, EmbedInput::Text(_))).count();
    if texts != 0 && texts != request.inputs.len() {
        // Either kind, but not both in one list.
        written.refused.push("input".to_owned());
    }
    let inputs = request.inputs.iter().map(|input| match input {
        EmbedInput::Text(text) => json!(text),
        EmbedInput::Tokens(tokens) => json!(tokens),
    });
    body.insert("input".to_owned(), inputs.collect());
    if let Some(dimensions) = request.dimensions {
        body.insert("dimensions".to_owned(), json!(dimensions));
    }
    if request.base64 {
        body.insert("encoding_format".to_owned(), json!("base64"));
    }
    if let Some(user) = &request.user {
        body.insert("user".to_owned(), json!(user));
    }
    match (request.task.as_deref(), order.kind) {
        (None, _) => {}
        // Needed by models that tell queries from passages
        // (<https://docs.nvidia.com/nim/nemo-retriever/text-embedding/2.0.0/use-the-api-openai.html>, read 2026-11-21).
        (Some(task), "nvidia") => {
            let word = if is_query(task) { "query" } else { "passage" };
            body.insert("input_type".to_owned(), json!(word));
        }
        (Some(_), _) => written.dropped.push("input_type".to_owned()),
    }
    for name in request.extras.keys() {
        match name.as_str() {
            // Cohere's: what is to be made vectors, but not text.
            "images" | "inputs" => written.refused.push(name.clone()),
            _ => written.dropped.push(name.clone()),
        }
    }
    written.body = json::bytes(&Value::Object(body));
    written
}

#[derive(Deserialize)]
struct Wire<'a> {
    id: Option<String>,
    model: Option<String>,
    #[serde(default)]
    data: Option<Vec<Item>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item {
    index: Option<u64>,
    embedding: Vector,
}

/// A vector: a list of numbers, or base64 of 32-bit floats, the least significant byte first.
///
/// Read without a tree in between: a request may ask for millions of numbers.
pub(super) struct Vector(pub(super) Vec<f64>);

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Vector;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of numbers or base64")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vector, E> {
                unpack(text).map(Vector).ok_or_else(|| E::custom("a vector that is not base64 of floats"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vector, A::Error> {
                let mut vector = Vec::with_capacity(list.size_hint().unwrap_or(0).min(4_096));
                while let Some(number) = list.next_element::<&RawValue>()? {
                    vector.push(number_of(number).map_err(A::Error::custom)?);
                }
                Ok(Vector(vector))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

/// The nearest number to what is written. `serde_json` alone may miss it by the last bit.
pub(super) fn exact<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    number_of(<&RawValue>::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn number_of(written: &RawValue) -> Result<f64, &'static str> {
    let number: f64 = written.get().parse().map_err(|_| "not a number")?;
    if number.is_finite() { Ok(number) } else { Err("a number too large") }
}

/// Base64 of 32-bit floats; `None` if it is not, or has a float that is no number.
pub(super) fn unpack(text: &str) -> Option<Vec<f64>> {
    let bytes = BASE64.decode(text).ok()?;
    if bytes.len() % 4 != 0 {
        return None;
    }
    let floats = bytes.chunks_exact(4).map(|four| {
        let float = f32::from_le_bytes(four.try_into().ok()?);
        float.is_finite().then_some(f64::from(float))
    });
    floats.collect()
}

/// The other way round. Numbers are rounded to 32 bits, which is all that models have.
#[expect(clippy::cast_possible_truncation, reason = "that is the format")]
pub(super) fn pack(vector: &[f64]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| (*number as f32).to_le_bytes()).collect();
    BASE64.encode(bytes)
}

/// Reads the body of a 200.
///
/// # Errors
/// It is not a list of vectors.
pub fn read_answer(body: &[u8]) -> Result<EmbedAnswer, Corrupt> {
    let wire: Wire<'_> = serde_json::from_slice(body)
        .map_err(|error| Corrupt(format!("not a list of embeddings: {error}")))?;
    let Some(mut items) = wire.data else {
        return Err(Corrupt(response::error_text(body)));
    };
    // In order already, as a rule; a stable sort leaves those without an index where they are.
    if items.iter().all(|item| item.index.is_some()) {
        items.sort_by_key(|item| item.index);
    }
    Ok(EmbedAnswer {
        id: wire.id,
        model: wire.model,
        vectors: items.into_iter().map(|item| item.embedding.0).collect(),
        reported: wire.usage.and_then(|usage| reported(usage.get())),
    })
}

/// A usage object. Some servers count only `total_tokens`. What it cost is told by whoever knows the provider's kind
/// ([`response::reported_cost`]).
pub(super) fn reported(text: &str) -> Option<Reported> {
    #[derive(Deserialize)]
    struct Rest {
        total_tokens: Option<u64>,
    }
    let total = || {
        let rest: Rest = serde_json::from_str(text).ok()?;
        rest.total_tokens.map(|input| Usage { input, ..Usage::default() })
    };
    let usage = response::usage(text).or_else(total)?;
    Some(Reported { usage, json: text.to_owned(), cost_nanousd: None })
}

/// Writes an answer for a client: vectors as the request asked for them.
#[must_use]
pub fn write_answer(answer: &EmbedAnswer, request: &EmbedRequest, show: &Show) -> Vec<u8> {
    let numbers: usize = answer.vectors.iter().map(Vec::len).sum();
    let mut out = Vec::with_capacity(numbers * if request.base64 { 6 } else { 14 } + 512);
    out.extend_from_slice(br#"{"object":"list","data":["#);
    for (index, vector) in answer.vectors.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(format!(r#"{{"object":"embedding","index":{index},"embedding":"#).as_bytes());
        if request.base64 {
            out.push(b'"');
            out.extend_from_slice(pack(vector).as_bytes());
            out.push(b'"');
        } else {
            numbers_to(vector, &mut out);
        }
        out.push(b'}');
    }
    let mut rest = Map::new();
    rest.insert("model".to_owned(), json!(answer.model.as_ref().unwrap_or(&show.model)));
    if let Some(id) = &answer.id {
        rest.insert("id".to_owned(), json!(id));
    }
    let input = answer.reported.as_ref().map_or(0, |reported| reported.usage.input_total());
    rest.insert("usage".to_owned(), json!({"prompt_tokens": input, "total_tokens": input}));
    out.extend_from_slice(b"],");
    // The other members, without the brace that the object begins with.
    out.extend(Value::Object(rest).to_string().into_bytes().into_iter().skip(1));
    out
}

/// A list of numbers in JSON, without a tree in between.
pub(super) fn numbers_to(vector: &[f64], out: &mut Vec<u8>) {
    // Writing to memory does not fail, and numbers that JSON cannot say become `null`.
    let _ = serde_json::to_writer(out, vector);
}
