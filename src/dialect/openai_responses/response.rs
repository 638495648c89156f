//! A whole Responses answer to and from the canonical form.

use super::{OWN, failure, request, request::thoughts, stream::Writer};
use crate::{
    dialect::{Corrupt, Order, Show, Writer as _, openai_chat},
    model::{
        answer::{Answer, At, Choice, Delta, Finish, Opened, Reported},
        part::{Body, Citation, Part, Text, ToolCall},
        request::Request,
        usage::Usage,
    },
};
use serde_json::{Map, Value, json};

/// How the made-up id of thoughts ends that are nothing but Anthropic's `redacted_thinking`.
pub(super) const REDACTED: &str = "_redacted";

/// How the made-up id of a proof begins that belongs to a call; the call's id follows.
pub(super) const PROOF_OF: &str = "rs_of_";

/// A provider's answer.
///
/// # Errors
/// If it is not a response, or one that failed or is not complete yet.
pub fn read(body: &[u8]) -> Result<Answer, Corrupt> {
    let value: Value = serde_json::from_slice(body).map_err(|error| Corrupt(error.to_string()))?;
    let status = value.get("status").and_then(Value::as_str);
    if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
        let failure = failure::read_event(&json!({ "error": error }));
        return Err(Corrupt(format!("the response failed: {}", failure.message)));
    }
    if let Some(status @ ("failed" | "cancelled" | "queued" | "in_progress")) = status {
        return Err(Corrupt(format!("a response whose status is {status}")));
    }
    let output = value
        .get("output")
        .and_then(Value::as_array)
        .ok_or_else(|| Corrupt("a response without output".to_owned()))?;
    let mut choice = Choice::default();
    let mut logprobs = Vec::new();
    for item in output {
        choice.parts.extend(read_item(item, &mut logprobs));
    }
    choice.finish = Some(finish(&value, choice.parts.iter().any(is_call)));
    choice.logprobs = (!logprobs.is_empty()).then(|| json!({ "content": logprobs }));
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Answer {
        id: text("id"),
        model: text("model"),
        choices: vec![choice],
        reported: value.get("usage").and_then(usage),
        service_tier: text("service_tier"),
    })
}

const fn is_call(part: &Part) -> bool {
    matches!(part.body, Body::ToolCall(_))
}

/// An item as parts; log probabilities go to `logprobs`.
///
/// Thoughts that have neither words nor a proof are nothing to a client of another dialect.
pub(super) fn read_item(item: &Value, logprobs: &mut Vec<Value>) -> Vec<Part> {
    let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = |name: &str| item.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    match item.get("type").and_then(Value::as_str) {
        Some("message") => list("content").iter().map(|part| read_content(part, logprobs)).collect(),
        Some("function_call") => {
            let call = ToolCall { id: text("call_id"), name: text("name"), arguments: text("arguments") };
            vec![Body::ToolCall(call).into()]
        }
        Some("reasoning") => {
            let id = item.get("id").and_then(Value::as_str).map(str::to_owned);
            let encrypted = encrypted(item);
            let mut parts = thoughts(id, words(list("summary")), words(list("content")), encrypted);
            parts.retain(|part| {
                let silent = matches!(&part.body, Body::Reasoning(reasoning) if reasoning.text.is_empty());
                !silent || part.signature.is_some()
            });
            parts
        }
        _ => vec![Body::Native(OWN, item.clone()).into()],
    }
}

/// An item's `encrypted_content`, if it is something.
pub(super) fn encrypted(item: &Value) -> Option<&str> {
    item.get("encrypted_content").and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Texts of `summary_text` or `reasoning_text`, paragraphs apart.
pub(super) fn words(list: &[Value]) -> String {
    let texts = list.iter().filter_map(|part| part.get("text").and_then(Value::as_str));
    texts.collect::<Vec<_>>().join(PARAGRAPH)
}

/// Between the pieces of a summary.
pub(super) const PARAGRAPH: &str = "\n\n";

fn read_content(part: &Value, logprobs: &mut Vec<Value>) -> Part {
    let text = |name: &str| part.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = |name: &str| part.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    match part.get("type").and_then(Value::as_str) {
        Some("output_text") => {
            logprobs.extend(list("logprobs"));
            let citations = list("annotations").into_iter().map(citation).collect();
            Body::Text(Text { text: text("text"), citations }).into()
        }
        Some("refusal") => Body::Refusal(text("refusal")).into(),
        _ => Body::Native(OWN, part.clone()).into(),
    }
}

/// Why a response ended.
pub(super) fn finish(response: &Value, calls: bool) -> Finish {
    let reason = response.get("incomplete_details").and_then(|details| details.get("reason"));
    match reason.and_then(Value::as_str) {
        Some("max_output_tokens") => Finish::Length,
        Some("content_filter") => Finish::Filtered(None),
        Some(other) => Finish::Other(other.to_owned()),
        None if response.get("status").and_then(Value::as_str) == Some("incomplete") => {
            Finish::Other("incomplete".to_owned())
        }
        None if calls => Finish::ToolCalls,
        None => Finish::Stop,
    }
}

/// A source.
pub(super) fn citation(annotation: Value) -> Citation {
    let text = |name: &str| annotation.get(name).and_then(Value::as_str).map(str::to_owned);
    let number = |name: &str| annotation.get(name).and_then(Value::as_u64);
    Citation {
        url: text("url"),
        title: text("title").or_else(|| text("filename")),
        quoted: None,
        start: number("start_index"),
        end: number("end_index"),
        native: Some((OWN, annotation)),
    }
}

/// A source as an annotation of a text. Those of other dialects that have no address have no place here: a file's
/// annotation names a file at OpenAI.
pub(super) fn annotation(citation: &Citation, text: &str) -> Option<Value> {
    if let Some((OWN, native)) = &citation.native {
        return Some(native.clone());
    }
    let url = citation.url.as_ref()?;
    let end = citation.end.unwrap_or_else(|| text.chars().count() as u64);
    Some(json!({"type": "url_citation", "url": url, "title": citation.title.as_deref().unwrap_or(url),
                "start_index": citation.start.unwrap_or(0), "end_index": end}))
}

/// A usage object, if it has totals. Its classes are those of chat's under other names, and nested as there. What it says of
/// the cost is read at settlement, by the provider's kind.
pub(in crate::dialect) fn usage(value: &Value) -> Option<Reported> {
    let member = |name: &str| value.get(name).cloned().unwrap_or_default();
    let renamed = json!({
        "prompt_tokens": member("input_tokens"),
        "completion_tokens": member("output_tokens"),
        "total_tokens": member("total_tokens"),
        "prompt_tokens_details": member("input_tokens_details"),
        "completion_tokens_details": member("output_tokens_details"),
    });
    let usage = openai_chat::response::usage(&renamed.to_string())?;
    Some(Reported { usage, json: value.to_string(), cost_nanousd: None })
}

/// Usage as clients get it. Strict types need all of these members, `cache_write_tokens` too.
pub(super) fn show_usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input_total(),
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write_5m.saturating_add(usage.cache_write_1h),
        },
        "output_tokens": usage.output_total(),
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total(),
    })
}

/// A token's log probability: chat may leave out its bytes, strict types here need them.
pub(super) fn show_logprob(token: &Value) -> Value {
    let mut shown = token.clone();
    if let Some(members) = shown.as_object_mut() {
        if members.get("bytes").is_none_or(Value::is_null) {
            let text = members.get("token").and_then(Value::as_str).unwrap_or_default();
            let bytes = json!(text.as_bytes());
            members.insert("bytes".to_owned(), bytes);
        }
        if let Some(Value::Array(top)) = members.get_mut("top_logprobs") {
            *top = top.iter().map(show_logprob).collect();
        }
    }
    shown
}

/// The members of a request that a response repeats, for [`Show::echo`].
#[must_use]
pub fn echo(request: &Request) -> Value {
    const REPEATED: [&str; 17] = [
        "background",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt_cache_key",
        "reasoning",
        "safety_identifier",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
    ];
    let order = Order { kind: "", model: &request.model, output_cap: None };
    let written = request::write(request, &order).body;
    let written: Value = serde_json::from_slice(&written).unwrap_or_default();
    let member = |name: &str| Some((name.to_owned(), written.get(name)?.clone()));
    let mut members: Map<String, Value> = REPEATED.into_iter().filter_map(member).collect();
    if let Some(user) = &request.user {
        members.insert("user".to_owned(), json!(user));
    }
    for tool in members.get_mut("tools").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(tool) = tool.as_object_mut() else { continue };
        if tool.get("type").and_then(Value::as_str) == Some("function") {
            tool.entry("parameters").or_insert(Value::Null);
            tool.entry("strict").or_insert(json!(true));
        }
    }
    Value::Object(members)
}

/// An answer for a client that speaks Responses. There is one choice in this dialect.
#[must_use]
pub fn write(answer: &Answer, show: &Show) -> Vec<u8> {
    let mut writer = Writer::silent(show.clone());
    // A silent writer gives no bytes.
    let mut none = Vec::new();
    let mut push = |delta: Delta| writer.push(&delta, &mut none);
    push(Delta::Begin { id: answer.id.clone(), model: answer.model.clone() });
    let choice = answer.choices.first().cloned().unwrap_or_default();
    let last_text = choice.parts.iter().rposition(|part| matches!(part.body, Body::Text(_)));
    for (index, part) in choice.parts.into_iter().enumerate() {
        let at = At { choice: 0, part: u32::try_from(index).unwrap_or(u32::MAX) };
        let (opened, text, citations) = match part.body {
            Body::Text(text) => (Opened::Text, text.text, text.citations),
            Body::Refusal(text) => (Opened::Refusal, text, Vec::new()),
            Body::Reasoning(thoughts) => {
                let (id, summary, redacted) = (thoughts.id, thoughts.summary, thoughts.redacted);
                (Opened::Reasoning { id, summary, redacted }, thoughts.text, Vec::new())
            }
            Body::ToolCall(call) => {
                (Opened::ToolCall { id: call.id, name: call.name }, call.arguments, Vec::new())
            }
            Body::Native(dialect, value) => (Opened::Native(dialect, value), String::new(), Vec::new()),
            Body::Media(media) => (Opened::Media(media), String::new(), Vec::new()),
            Body::ToolResult(_) => continue,
        };
        push(Delta::Open(at, opened));
        push(Delta::Append(at, text));
        if last_text == Some(index)
            && let Some(logprobs) = &choice.logprobs
        {
            push(Delta::Logprobs(0, logprobs.clone()));
        }
        for citation in citations {
            push(Delta::Cite(at, citation));
        }
        if let Some(signature) = part.signature {
            push(Delta::Sign(at, signature));
        }
    }
    if let Some(tier) = &answer.service_tier {
        push(Delta::Tier(tier.clone()));
    }
    if let Some(reported) = &answer.reported {
        push(Delta::Usage(reported.clone()));
    }
    if let Some(finish) = choice.finish {
        push(Delta::Finish(0, finish));
    }
    push(Delta::End);
    writer.response().to_string().into_bytes()
}
