//! A Converse answer.

use super::{OWN, content, media, read_finish, read_usage, write_finish, write_usage};
use crate::{
    dialect::{Corrupt, Show},
    model::{
        answer::{Answer, Choice, Finish},
        part::{Body, Part},
    },
};
use serde_json::{Map, Value, json};

/// A provider's answer. Empty texts are left out: streams have them where a model begins with its thoughts.
///
/// # Errors
/// If it is no answer.
pub fn read(body: &[u8]) -> Result<Answer, Corrupt> {
    let corrupt = |why: &str| Corrupt(format!("not a Converse answer: {why}"));
    let answer: Value = serde_json::from_slice(body).map_err(|error| corrupt(&error.to_string()))?;
    let blocks = answer
        .get("output")
        .and_then(|output| output.get("message")?.get("content"))
        .and_then(Value::as_array)
        .ok_or_else(|| corrupt("no output.message.content"))?;
    let mut parts = content::read_all(blocks.clone(), "output.message.content")
        .map_err(|refusal| corrupt(&refusal.message))?;
    parts.retain(
        |part| !matches!(&part.body, Body::Text(text) if text.text.is_empty() && text.citations.is_empty()),
    );
    let finish = answer
        .get("stopReason")
        .and_then(Value::as_str)
        .map(|reason| read_finish(reason, answer.get("additionalModelResponseFields")));
    let tier = answer.get("serviceTier").and_then(|tier| tier.get("type")).and_then(Value::as_str);
    Ok(Answer {
        id: None,
        model: None,
        choices: vec![Choice { parts, finish, logprobs: None }],
        reported: answer.get("usage").filter(|usage| usage.is_object()).and_then(read_usage),
        service_tier: tier.map(str::to_owned),
    })
}

/// A client's answer. How long it took is not known here, so there are no `metrics`.
#[must_use]
pub fn write(answer: &Answer, _show: &Show) -> Vec<u8> {
    let choice = answer.choices.first();
    let parts = choice.map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let blocks: Vec<Value> =
        parts.iter().enumerate().filter_map(|(index, part)| write_part(part, index)).collect();
    let mut body = Map::new();
    body.insert("output".to_owned(), json!({"message": {"role": "assistant", "content": blocks}}));
    if let Some(finish) = choice.and_then(|choice| choice.finish.as_ref()) {
        body.insert("stopReason".to_owned(), json!(write_finish(finish)));
        if let Finish::StopSequence(Some(text)) = finish {
            body.insert("additionalModelResponseFields".to_owned(), json!({"stop_sequence": text}));
        }
    }
    if let Some(reported) = &answer.reported {
        body.insert("usage".to_owned(), write_usage(&reported.usage));
    }
    if let Some(tier) = &answer.service_tier {
        body.insert("serviceTier".to_owned(), json!({"type": tier}));
    }
    Value::Object(body).to_string().into_bytes()
}

/// A block of an answer. Another dialect's own parts have none.
fn write_part(part: &Part, index: usize) -> Option<Value> {
    match &part.body {
        Body::Text(text) => Some(content::write_text(text)),
        Body::Refusal(text) => Some(json!({"text": text})),
        Body::Reasoning(reasoning) => {
            let signature = part.signature.as_ref().map(|signature| signature.show_to(OWN));
            content::write_reasoning(reasoning, signature.as_deref())
        }
        Body::Media(media) => {
            media::write(media, true).ok().map(|block| content::block(media::member(media.kind), block))
        }
        Body::ToolCall(call) => Some(json!({"toolUse": {
            "toolUseId": if call.id.is_empty() { format!("call_{index}") } else { call.id.clone() },
            "name": call.name,
            "input": content::input_of(&call.arguments),
        }})),
        Body::Native(OWN, block) => Some(block.clone()),
        Body::ToolResult(_) | Body::Native(..) => None,
    }
}
