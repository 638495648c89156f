//! A completions request → the canonical form.

use crate::{
    dialect::{
        Dialect,
        json::{flag, missing, object, object_of, take, text, whole, wrong},
        openai_chat::convert::request::read_sampling,
    },
    model::{
        part::Part,
        request::{Request, Role, Sampling, Turn},
    },
    refusal::Refusal,
};
use serde_json::Value;

/// OpenAI's default.
const OUTPUT_CAP: u64 = 16;
/// The most other tokens whose log probabilities are told.
const LOGPROBS_MAX: u64 = 5;

/// A client's request.
///
/// # Errors
/// 400 in the caller's terms.
pub fn read(body: &[u8]) -> Result<Request, Refusal> {
    let mut members = object_of(body)?;
    let model = text(&mut members, "model", "model")?.ok_or_else(|| missing("model"))?;
    let mut request = Request::new(Dialect::OpenAiChat, model);
    let prompt = prompt(take(&mut members, "prompt").ok_or_else(|| missing("prompt"))?)?;
    request.turns.push(Turn::new(Role::User, vec![Part::text(prompt)]));
    request.stream = flag(&mut members, "stream", "stream")?.unwrap_or(false);
    take(&mut members, "stream_options");
    request.output_cap = Some(whole(&mut members, "max_tokens", "max_tokens")?.unwrap_or(OUTPUT_CAP));
    let sampling = read_sampling(&mut members)?;
    let best_of = whole(&mut members, "best_of", "best_of")?;
    if best_of.is_some_and(|count| count > sampling.choices.unwrap_or(1)) {
        return Err(unsupported("best_of", "ask for as many with 'n' and choose among them"));
    }
    if text(&mut members, "suffix", "suffix")?.is_some_and(|suffix| !suffix.is_empty()) {
        return Err(unsupported("suffix", "tell the model in the prompt what follows"));
    }
    if flag(&mut members, "echo", "echo")? == Some(true) {
        return Err(unsupported("echo", "put the prompt before the completion yourself"));
    }
    let logprobs = whole(&mut members, "logprobs", "logprobs")?;
    if logprobs.is_some_and(|count| count > LOGPROBS_MAX) {
        return Err(wrong("logprobs", "a whole number of at most 5"));
    }
    request.sampling = Sampling {
        logprobs: logprobs.is_some(),
        top_logprobs: logprobs.filter(|count| *count > 0),
        ..sampling
    };
    request.user = text(&mut members, "user", "user")?;
    request.service_tier = text(&mut members, "service_tier", "service_tier")?;
    if let Some(metadata) = object(&mut members, "metadata", "metadata")? {
        request.metadata = metadata;
    }
    members.retain(|_, value| !value.is_null());
    request.extras = members;
    Ok(request)
}

/// Whether a stream's usage is asked for.
#[must_use]
pub fn usage_is_wanted(body: &[u8]) -> bool {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    value.pointer("/stream_options/include_usage") == Some(&Value::Bool(true))
}

fn prompt(value: Value) -> Result<String, Refusal> {
    let refuse = |code: &'static str, message: &str| Err(Refusal::bad_param(code, "prompt", message));
    match value {
        Value::String(text) => Ok(text),
        Value::Array(items) => match items.as_slice() {
            [Value::String(text)] => Ok(text.clone()),
            [] => refuse("invalid_value", "The prompt is empty. Send a text."),
            [Value::Number(_) | Value::Array(_), ..] => refuse(
                "unsupported_parameter",
                "A prompt of token numbers cannot be carried to models of other vocabularies. Send it as text.",
            ),
            items if items.iter().all(Value::is_string) => refuse(
                "unsupported_parameter",
                "There is one prompt a request here. Send a request for each; for several completions of the same prompt say 'n'.",
            ),
            _ => Err(wrong("prompt", "a string or an array of one string")),
        },
        _ => Err(wrong("prompt", "a string or an array of one string")),
    }
}

fn unsupported(name: &str, advice: &str) -> Refusal {
    let message = format!("'{name}' cannot be carried to a model that chats: leave it out, and {advice}.");
    Refusal::bad_param("unsupported_parameter", name, message)
}
