//! `GenerateContentResponse` and the answer of `countTokens`.

use super::{failure, grounding, member, members, part, usage, whole};
use crate::{
    dialect::{Corrupt, Dialect, Show},
    model::{
        answer::{Answer, Choice, Finish, Reported},
        part::{Body, Citation, Part, Text},
    },
};
use serde_json::{Map, Value, json};

/// No request asks for more.
const CHOICES_MAX: usize = 128;

/// Reads a provider's answer.
///
/// # Errors
/// If it is none.
pub fn read(body: &[u8]) -> Result<Answer, Corrupt> {
    let body: Value = serde_json::from_slice(body).map_err(|error| Corrupt(format!("no JSON: {error}")))?;
    let Value::Object(all) = body else {
        return Err(Corrupt("no JSON object".to_owned()));
    };
    let mut all = members(all);
    let candidates = all.shift_remove("candidates");
    let rest = Value::Object(all);
    let head = Head::read(&rest);
    if candidates.is_none() && head.blocked.is_none() && head.reported.is_none() {
        let error = failure::of_value(200, &rest).map(|failure| failure.message);
        return Err(Corrupt(error.unwrap_or_else(|| "neither candidates nor usage".to_owned())));
    }
    let mut answer = Answer {
        id: head.id,
        model: head.model,
        choices: Vec::new(),
        reported: head.reported,
        service_tier: head.tier,
    };
    let candidates = match candidates {
        None => Vec::new(),
        Some(Value::Array(all)) => all,
        Some(_) => return Err(Corrupt("candidates is no list".to_owned())),
    };
    for (position, candidate) in candidates.into_iter().enumerate() {
        let candidate = Candidate::read(candidate)?;
        let index = candidate.index.unwrap_or(position).min(CHOICES_MAX - 1);
        if answer.choices.len() <= index {
            answer.choices.resize_with(index + 1, Choice::default);
        }
        if let Some(choice) = answer.choices.get_mut(index) {
            *choice = candidate.into_choice();
        }
    }
    if answer.choices.is_empty()
        && let Some(blocked) = head.blocked
    {
        answer.choices.push(Choice { finish: Some(blocked), ..Choice::default() });
    }
    Ok(answer)
}

/// What an answer, or each chunk of one, says beside its candidates.
pub(super) struct Head {
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    pub(super) reported: Option<Reported>,
    pub(super) tier: Option<String>,
    /// The prompt was refused by a filter; there are no candidates.
    pub(super) blocked: Option<Finish>,
}

impl Head {
    pub(super) fn read(body: &Value) -> Self {
        let text = |name| member(body, name).and_then(Value::as_str).map(str::to_owned);
        let metadata = member(body, "usageMetadata");
        let feedback = member(body, "promptFeedback");
        let blocked = feedback.and_then(|feedback| member(feedback, "blockReason")).and_then(Value::as_str);
        Self {
            id: text("responseId"),
            model: text("modelVersion"),
            reported: metadata.and_then(usage::read),
            tier: metadata.and_then(usage::tier),
            blocked: blocked
                .map(|word| filtered(word).unwrap_or_else(|| Finish::Filtered(Some(word.to_owned())))),
        }
    }
}

/// A candidate, or a piece of one.
pub(super) struct Candidate {
    pub(super) index: Option<usize>,
    pub(super) parts: Vec<Value>,
    pub(super) finish: Option<String>,
    pub(super) logprobs: Option<Value>,
    /// The whole without its content.
    pub(super) rest: Value,
}

impl Candidate {
    pub(super) fn read(candidate: Value) -> Result<Self, Corrupt> {
        let Value::Object(all) = candidate else {
            return Err(Corrupt("a candidate is no object".to_owned()));
        };
        let mut all = members(all);
        let parts = match all.shift_remove("content") {
            None => Vec::new(),
            Some(Value::Object(content)) => match members(content).shift_remove("parts") {
                None => Vec::new(),
                Some(Value::Array(parts)) => parts,
                Some(_) => return Err(Corrupt("parts is no list".to_owned())),
            },
            Some(_) => return Err(Corrupt("a content is no object".to_owned())),
        };
        let rest = Value::Object(all);
        Ok(Self {
            index: member(&rest, "index").and_then(whole).and_then(|index| usize::try_from(index).ok()),
            parts,
            finish: member(&rest, "finishReason").and_then(Value::as_str).map(str::to_owned),
            logprobs: member(&rest, "logprobsResult").and_then(logprobs_in),
            rest,
        })
    }

    fn into_choice(self) -> Choice {
        let mut parts: Vec<Part> = self.parts.into_iter().map(part_of_answer).collect();
        let called = parts.iter().any(|part| matches!(part.body, Body::ToolCall(_)));
        cite(&mut parts, &self.rest);
        if let Some(native) = grounding::native(&self.rest) {
            parts.push(Body::Native(Dialect::Gemini, native).into());
        }
        Choice { parts, finish: self.finish.map(|word| finish_in(&word, called)), logprobs: self.logprobs }
    }
}

/// A part of an answer; whatever is not understood is kept as it is.
pub(super) fn part_of_answer(value: Value) -> Part {
    let mut left = Map::new();
    match part::read(value.clone(), "", &mut left) {
        Ok(part) => part,
        Err(_) => Body::Native(Dialect::Gemini, value).into(),
    }
}

/// Gives the texts their sources.
fn cite(parts: &mut [Part], candidate: &Value) {
    let texts: Vec<&str> = parts
        .iter()
        .filter_map(|part| match &part.body {
            Body::Text(text) => Some(text.text.as_str()),
            _ => None,
        })
        .collect();
    let found = grounding::citations(candidate, &texts);
    if found.is_empty() {
        return;
    }
    let mut bodies: Vec<&mut Vec<Citation>> = parts
        .iter_mut()
        .filter_map(|part| match &mut part.body {
            Body::Text(text) => Some(&mut text.citations),
            _ => None,
        })
        .collect();
    for (text, citation) in found {
        if let Some(citations) = bodies.get_mut(text) {
            citations.push(citation);
        }
    }
}

/// `finishReason` (<https://ai.google.dev/api/generate-content#FinishReason>, read 2026-11-21). Google has no word for an
/// answer that ends with calls.
pub(super) fn finish_in(word: &str, called: bool) -> Finish {
    match word {
        "STOP" if called => Finish::ToolCalls,
        "STOP" => Finish::Stop,
        "MAX_TOKENS" => Finish::Length,
        _ => filtered(word).unwrap_or_else(|| Finish::Other(word.to_owned())),
    }
}

fn filtered(word: &str) -> Option<Finish> {
    match word {
        "SAFETY" => Some(Finish::Filtered(None)),
        "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR"
        | "JAILBREAK" => Some(Finish::Filtered(Some(word.to_owned()))),
        _ => None,
    }
}

/// The other way.
pub(super) fn finish_out(finish: &Finish) -> &str {
    match finish {
        Finish::Stop | Finish::StopSequence(_) | Finish::ToolCalls | Finish::Paused => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::Filtered(Some(word)) if filtered(word).is_some() => word,
        Finish::Filtered(_) | Finish::Refused => "SAFETY",
        Finish::Other(word) if is_word(word) => word,
        Finish::Other(_) => "OTHER",
    }
}

/// Whether it is a word that Google uses for an end that is none of the others.
fn is_word(word: &str) -> bool {
    matches!(
        word,
        "LANGUAGE"
            | "MALFORMED_FUNCTION_CALL"
            | "IMAGE_OTHER"
            | "NO_IMAGE"
            | "UNEXPECTED_TOOL_CALL"
            | "TOO_MANY_TOOL_CALLS"
            | "MISSING_THOUGHT_SIGNATURE"
            | "MALFORMED_RESPONSE"
            | "FINISH_REASON_UNSPECIFIED"
    )
}

/// `logprobsResult` in OpenAI's form.
fn logprobs_in(result: &Value) -> Option<Value> {
    let entry = |candidate: &Value| {
        let token = member(candidate, "token").and_then(Value::as_str).unwrap_or_default();
        let logprob = member(candidate, "logProbability").cloned().unwrap_or(json!(0.0));
        Map::from_iter([
            ("token".to_owned(), json!(token)),
            ("logprob".to_owned(), logprob),
            ("bytes".to_owned(), json!(token.as_bytes())),
        ])
    };
    let chosen = member(result, "chosenCandidates")?.as_array()?;
    let tops = member(result, "topCandidates").and_then(Value::as_array);
    let content = chosen.iter().enumerate().map(|(at, candidate)| {
        let top = tops.and_then(|tops| member(tops.get(at)?, "candidates")?.as_array());
        let top: Vec<_> = top.into_iter().flatten().map(entry).collect();
        let mut all = entry(candidate);
        all.insert("top_logprobs".to_owned(), json!(top));
        Value::Object(all)
    });
    Some(json!({ "content": content.collect::<Vec<_>>() }))
}

/// The other way.
pub(super) fn logprobs_out(logprobs: &Value) -> Option<Value> {
    let content = logprobs.get("content")?.as_array()?;
    let entry =
        |token: &Value| json!({ "token": token.get("token"), "logProbability": token.get("logprob") });
    let chosen: Vec<_> = content.iter().map(entry).collect();
    let top = content.iter().map(|token| {
        let top = token.get("top_logprobs").and_then(Value::as_array);
        json!({ "candidates": top.into_iter().flatten().map(entry).collect::<Vec<_>>() })
    });
    Some(json!({ "chosenCandidates": chosen, "topCandidates": top.collect::<Vec<_>>() }))
}

/// Writes an answer for a client.
#[must_use]
pub fn write(answer: &Answer, show: &Show) -> Vec<u8> {
    let mut body = Map::new();
    // What Google says where there are no candidates.
    if let [Choice { parts, finish: Some(Finish::Filtered(Some(word))), .. }] = answer.choices.as_slice()
        && parts.is_empty()
        && matches!(word.as_str(), "OTHER" | "JAILBREAK" | "MODEL_ARMOR" | "BLOCKED_REASON_UNSPECIFIED")
    {
        body.insert("promptFeedback".to_owned(), json!({ "blockReason": word }));
    } else {
        let candidates = answer.choices.iter().enumerate().map(|(index, choice)| candidate(index, choice));
        body.insert("candidates".to_owned(), candidates.collect());
    }
    if let Some(usage) = usage::write(answer.reported.as_ref(), answer.service_tier.as_deref()) {
        body.insert("usageMetadata".to_owned(), usage);
    }
    body.insert("modelVersion".to_owned(), json!(answer.model.as_ref().unwrap_or(&show.model)));
    body.insert("responseId".to_owned(), json!(answer.id.as_ref().unwrap_or(&show.id)));
    Value::Object(body).to_string().into_bytes()
}

fn candidate(index: usize, choice: &Choice) -> Value {
    let mut written = Map::new();
    let mut about = Map::new();
    let mut parts = Vec::new();
    for part in &choice.parts {
        match &part.body {
            // Google's SDK for JavaScript takes an answer with an empty text for a broken one, and forgets it.
            Body::Text(text) if text.text.is_empty() && part.signature.is_none() => {}
            Body::Native(Dialect::Gemini, Value::Object(native))
                if grounding::is_candidates(&Value::Object(native.clone())) =>
            {
                about.extend(native.clone());
            }
            _ => parts.extend(write_part(part).map(Value::Object)),
        }
    }
    written.insert("content".to_owned(), json!({ "parts": parts, "role": "model" }));
    if let Some(finish) = &choice.finish {
        written.insert("finishReason".to_owned(), json!(finish_out(finish)));
    }
    written.insert("index".to_owned(), json!(index));
    if about.is_empty() {
        let grounding = grounding::write(&choice.parts);
        about.extend(grounding.map(|grounding| ("groundingMetadata".to_owned(), grounding)));
    }
    written.extend(about);
    if let Some(logprobs) = choice.logprobs.as_ref().and_then(logprobs_out) {
        written.insert("logprobsResult".to_owned(), logprobs);
    }
    Value::Object(written)
}

/// A part as a client gets it; nothing for what only another dialect knows.
pub(super) fn write_part(part: &Part) -> Option<Map<String, Value>> {
    let mut written = match &part.body {
        Body::Text(Text { text, .. }) | Body::Refusal(text) => {
            Map::from_iter([("text".to_owned(), json!(text))])
        }
        Body::Reasoning(thoughts) => {
            let mut written = Map::from_iter([("thought".to_owned(), json!(true))]);
            if !thoughts.redacted {
                written.insert("text".to_owned(), json!(thoughts.text));
            }
            written
        }
        Body::Media(media) => part::write_media(media)?,
        Body::ToolCall(call) => part::write_call(call, Some(call.id.as_str()).filter(|id| !id.is_empty())),
        Body::Native(Dialect::Gemini, Value::Object(native)) => native.clone(),
        Body::ToolResult(_) | Body::Native(..) => return None,
    };
    if let Some(signature) = &part.signature {
        written.insert("thoughtSignature".to_owned(), json!(signature.show_to(Dialect::Gemini)));
    }
    Some(written)
}

/// Reads how many tokens a provider counted.
///
/// # Errors
/// If it does not say.
pub fn read_count(body: &[u8]) -> Result<u64, Corrupt> {
    let body: Value = serde_json::from_slice(body).map_err(|error| Corrupt(format!("no JSON: {error}")))?;
    // Google leaves out a zero.
    let total = member(&body, "totalTokens");
    match total.map(whole) {
        Some(Some(total)) => Ok(total),
        None if body.is_object() && body.get("error").is_none() => Ok(0),
        _ => Err(Corrupt("totalTokens is no number".to_owned())),
    }
}

/// Writes how many tokens there are.
#[must_use]
pub fn write_count(tokens: u64) -> Vec<u8> {
    let details = json!([{ "modality": "TEXT", "tokenCount": tokens }]);
    json!({ "totalTokens": tokens, "promptTokensDetails": details }).to_string().into_bytes()
}
