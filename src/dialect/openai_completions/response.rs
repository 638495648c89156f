//! The canonical form → a completions answer.

use crate::{
    dialect::{Show, openai_chat::convert::response::show_usage},
    model::{
        answer::{Answer, Choice, Finish},
        part::Body,
    },
};
use serde_json::{Map, Value, json};

/// An answer for a client. What is no text (calls, thoughts) has no place.
#[must_use]
pub fn write(answer: &Answer, show: &Show) -> Vec<u8> {
    let choices: Vec<Value> = answer
        .choices
        .iter()
        .enumerate()
        .map(|(index, choice)| {
            let logprobs = choice.logprobs.as_ref().map(|all| logprobs(all, &mut 0));
            let finish = choice.finish.as_ref().map_or("stop", finish);
            json!({"text": said(choice), "index": index, "logprobs": logprobs, "finish_reason": finish})
        })
        .collect();
    let mut body = object(answer.id.as_deref(), answer.model.as_deref(), show, Value::Array(choices));
    if let Some(reported) = &answer.reported {
        body.insert("usage".to_owned(), json!(show_usage(&reported.usage)));
    }
    Value::Object(body).to_string().into_bytes()
}

fn said(choice: &Choice) -> String {
    let texts = choice.parts.iter().filter_map(|part| match &part.body {
        Body::Text(text) => Some(text.text.as_str()),
        Body::Refusal(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// A completion, or a piece of one.
pub(super) fn object(
    id: Option<&str>,
    model: Option<&str>,
    show: &Show,
    choices: Value,
) -> Map<String, Value> {
    let id = id.filter(|id| id.starts_with("cmpl-"));
    let mut body = Map::new();
    body.insert("id".to_owned(), json!(id.map_or_else(|| format!("cmpl-{}", show.id), str::to_owned)));
    body.insert("object".to_owned(), json!("text_completion"));
    body.insert("created".to_owned(), json!(show.created));
    body.insert("model".to_owned(), json!(model.unwrap_or(&show.model)));
    body.insert("choices".to_owned(), choices);
    body
}

/// The three words that there are.
pub(super) const fn finish(finish: &Finish) -> &'static str {
    match finish {
        Finish::Length => "length",
        Finish::Filtered(_) | Finish::Refused => "content_filter",
        _ => "stop",
    }
}

/// Chat's list of tokens as four lists. `offset`: characters of the completion before them, moved on.
pub(super) fn logprobs(all: &Value, offset: &mut usize) -> Value {
    let list = all.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let (mut tokens, mut values, mut others, mut offsets) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for entry in list {
        let token = entry.get("token").and_then(Value::as_str).unwrap_or_default();
        offsets.push(*offset);
        *offset += token.chars().count();
        tokens.push(token);
        values.push(entry.get("logprob").cloned().unwrap_or_default());
        let top = entry.get("top_logprobs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let each = top.iter().filter_map(|other| {
            Some((other.get("token")?.as_str()?.to_owned(), other.get("logprob")?.clone()))
        });
        others.push(Value::Object(each.collect()));
    }
    let others = others.iter().any(|other| other != &json!({})).then_some(others);
    json!({"tokens": tokens, "token_logprobs": values, "top_logprobs": others, "text_offset": offsets})
}
