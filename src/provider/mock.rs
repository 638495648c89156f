//! The embedded mock provider: deterministic answers without a key or a network.
//!
//! It never leaves the Worker. Given a chat request it writes a [`Script`]: status, headers, pieces of body with pauses,
//! and how the body ends. The edge plays the script as if it were a provider's answer, so everything downstream is
//! the real path.
//!
//! What it does can be told in the last user message (`mock: status=429 retry_after=2`), in the provider's configured
//! `x-mock` header, or both:
//!
//! | word | meaning |
//! |---|---|
//! | `status=N` | answer with this error status |
//! | `retry_after=S` | with a Retry-After header, in seconds |
//! | `error_event` | 200 and a stream whose first event is an error |
//! | `stall` | headers, then nothing |
//! | `stall_after=N` / `cut_after=N` | N content chunks, then nothing / then the connection breaks |
//! | `no_done` | the stream ends without `[DONE]` and without a finish reason |
//! | `no_usage` | no usage is reported |
//! | `tokens=N` | length of the answer (default 12) |
//! | `delay_ms=N` | between chunks (default 20) |
//! | `first_token_ms=N` | before the first (default 50) |

use super::{OPENAI_COMPATIBLE, OutputCapField, Provider};
use serde::Serialize;
use serde_json::{Value, json};

/// The mock.
pub static MOCK: Provider = Provider {
    name: "mock",
    base_url: Some("https://mock.invalid/v1"),
    output_cap_field: OutputCapField::AsSent,
    ..OPENAI_COMPATIBLE
};

/// What the edge plays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Script {
    /// HTTP status.
    pub status: u16,
    /// Header names and values.
    pub headers: Vec<(&'static str, String)>,
    /// Milliseconds to wait, then a piece of body.
    pub steps: Vec<(u64, String)>,
    /// How the body ends.
    pub ending: Ending,
}

/// How a played body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// As it should.
    Close,
    /// The connection breaks.
    Cut,
    /// It never does.
    Stall,
}

const WORDS: &[&str] = &[
    "Edgehold", "carries", "each", "request", "to", "a", "model", "and", "its", "answer", "back", "while",
    "the", "budget", "holds", "and", "every", "attempt", "is", "counted", "once",
];

/// The most chunks or tokens one answer may have: a script is held in memory.
const LENGTH_MAX: u64 = 2_000;

/// The most input tokens it says it has read: what the smallest model of the price table can read, since it is priced as any.
const PROMPT_TOKENS_MAX: u64 = 128_000;

struct Orders {
    status: u16,
    retry_after: Option<u64>,
    error_event: bool,
    stall: bool,
    stall_after: Option<u64>,
    cut_after: Option<u64>,
    no_done: bool,
    no_usage: bool,
    tokens: u64,
    delay_ms: u64,
    first_token_ms: u64,
}

impl Orders {
    fn read(texts: &[&str]) -> Self {
        let mut orders = Self {
            status: 200,
            retry_after: None,
            error_event: false,
            stall: false,
            stall_after: None,
            cut_after: None,
            no_done: false,
            no_usage: false,
            tokens: 12,
            delay_ms: 20,
            first_token_ms: 50,
        };
        for word in texts.iter().flat_map(|text| text.split_whitespace()) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let number = value.parse::<u64>().ok();
            match (name, number) {
                ("status", Some(status)) => {
                    orders.status = u16::try_from(status).unwrap_or(500).clamp(200, 599)
                }
                ("retry_after", Some(_)) => orders.retry_after = number,
                ("error_event", _) => orders.error_event = true,
                ("stall", _) => orders.stall = true,
                ("stall_after", Some(_)) => orders.stall_after = number,
                ("cut_after", Some(_)) => orders.cut_after = number,
                ("no_done", _) => orders.no_done = true,
                ("no_usage", _) => orders.no_usage = true,
                ("tokens" | "chunks", Some(tokens)) => orders.tokens = tokens.min(LENGTH_MAX),
                ("delay_ms", Some(ms)) => orders.delay_ms = ms.min(60_000),
                ("first_token_ms", Some(ms)) => orders.first_token_ms = ms.min(600_000),
                _ => {}
            }
        }
        orders
    }
}

/// Writes the script that answers a chat request.
#[must_use]
pub fn answer(body: &[u8], configured: Option<&str>, created_s: i64) -> Script {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let prompt = last_user_text(&request);
    let spoken = prompt.split_once("mock:").map_or("", |(_, orders)| orders);
    let orders = Orders::read(&[configured.unwrap_or_default(), spoken]);
    let model = request.get("model").and_then(Value::as_str).unwrap_or("mock").to_owned();
    let json = |status: u16, body: Value, mut headers: Vec<(&'static str, String)>| {
        headers.push(("content-type", "application/json".to_owned()));
        Script { status, headers, steps: vec![(0, body.to_string())], ending: Ending::Close }
    };
    if orders.status >= 300 {
        let headers =
            orders.retry_after.map(|seconds| ("retry-after", seconds.to_string())).into_iter().collect();
        let kind = if orders.status == 429 { "rate_limit_error" } else { "server_error" };
        let message = format!("The mock provider was told to answer {}.", orders.status);
        let error = json!({"error": {"message": message, "type": kind, "param": null, "code": null}});
        return json(orders.status, error, headers);
    }
    let cap = ["max_completion_tokens", "max_tokens"].iter().find_map(|name| request.get(*name)?.as_u64());
    let length = orders.tokens.min(cap.unwrap_or(LENGTH_MAX));
    let finish = if length < orders.tokens { "length" } else { "stop" };
    let words: Vec<String> = WORDS
        .iter()
        .cycle()
        .take(usize::try_from(length).unwrap_or(0))
        .enumerate()
        .map(|(index, word)| if index == 0 { (*word).to_owned() } else { format!(" {word}") })
        .collect();
    let prompt_tokens = (request.get("messages").map_or(0, |messages| messages.to_string().len()) as u64)
        .div_ceil(6)
        .min(PROMPT_TOKENS_MAX);
    let usage = (!orders.no_usage).then(|| {
        json!({"prompt_tokens": prompt_tokens, "completion_tokens": length, "total_tokens": prompt_tokens + length,
               "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
               "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0,
                   "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}})
    });
    let id = format!("chatcmpl-mock{:08x}", fingerprint(body));
    let stream = request.get("stream").and_then(Value::as_bool).unwrap_or(false);
    if !stream {
        let ending = if orders.stall { Ending::Stall } else { Ending::Close };
        let message =
            json!({"role": "assistant", "content": words.concat(), "refusal": null, "annotations": []});
        let mut answer = json!({"id": id, "object": "chat.completion", "created": created_s, "model": model,
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
            "service_tier": "default", "system_fingerprint": "fp_mock"});
        if let (Some(usage), Some(members)) = (usage, answer.as_object_mut()) {
            members.insert("usage".to_owned(), usage);
        }
        let mut script = json(200, answer, vec![]);
        if ending == Ending::Stall {
            script.steps.clear();
        }
        if let Some((pause, _)) = script.steps.first_mut() {
            *pause = orders.first_token_ms;
        }
        script.ending = ending;
        return script;
    }
    let headers = vec![("content-type", "text/event-stream; charset=utf-8".to_owned())];
    if orders.error_event {
        let error = json!({"error": {"message": "The mock provider was told to fail in the stream.",
                                     "type": "server_error", "param": null, "code": null}});
        let steps = vec![(orders.first_token_ms, format!("data: {error}\n\n"))];
        return Script { status: 200, headers, steps, ending: Ending::Close };
    }
    let include_usage =
        request.pointer("/stream_options/include_usage").and_then(Value::as_bool).unwrap_or(false);
    let chunk = |choices: Value, usage: Option<&Value>| {
        let mut chunk = json!({"id": id, "object": "chat.completion.chunk", "created": created_s, "model": model,
                               "service_tier": "default", "system_fingerprint": "fp_mock", "choices": choices});
        if let (true, Some(members)) = (include_usage, chunk.as_object_mut()) {
            members.insert("usage".to_owned(), usage.cloned().unwrap_or(Value::Null));
        }
        format!("data: {chunk}\n\n")
    };
    let delta = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
    let mut script = Script { status: 200, headers, steps: vec![], ending: Ending::Close };
    if orders.stall {
        script.ending = Ending::Stall;
        return script;
    }
    script.steps.push((
        orders.first_token_ms,
        chunk(delta(json!({"role": "assistant", "content": "", "refusal": null}), Value::Null), None),
    ));
    for (index, word) in words.iter().enumerate() {
        let index = index as u64;
        if orders.stall_after == Some(index) {
            script.ending = Ending::Stall;
            return script;
        }
        if orders.cut_after == Some(index) {
            script.ending = Ending::Cut;
            return script;
        }
        let pause = if index == 0 { 0 } else { orders.delay_ms };
        script.steps.push((pause, chunk(delta(json!({"content": word}), Value::Null), None)));
    }
    if orders.no_done {
        return script;
    }
    script.steps.push((0, chunk(delta(json!({}), json!(finish)), None)));
    if let (true, Some(usage)) = (include_usage, &usage) {
        script.steps.push((0, chunk(json!([]), Some(usage))));
    }
    script.steps.push((0, "data: [DONE]\n\n".to_owned()));
    script
}

fn last_user_text(request: &Value) -> String {
    let messages = request.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let content =
        messages.iter().rev().find(|message| message.get("role").is_some_and(|role| role == "user"));
    match content.and_then(|message| message.get("content")) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| part.get("text")?.as_str()).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

/// FNV-1a: the same request gets the same id.
fn fingerprint(body: &[u8]) -> u32 {
    body.iter().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::openai_chat::{response, stream::Meter};

    fn request(text: &str, stream: bool) -> Vec<u8> {
        json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], "stream": stream,
               "stream_options": {"include_usage": true}})
        .to_string()
        .into_bytes()
    }

    #[test]
    fn an_answer_reports_the_usage_of_its_text() {
        let script = answer(&request("hi mock: tokens=5", false), None, 1);
        let read = response::read(script.steps[0].1.as_bytes()).unwrap();
        assert_eq!(read.usage.unwrap().output_total(), 5);
        assert_eq!(script, answer(&request("hi mock: tokens=5", false), None, 1), "the same again");
    }

    #[test]
    fn a_stream_is_complete_unless_told_otherwise() {
        let play = |orders: &str| {
            let script = answer(&request(&format!("hi mock: {orders}"), true), None, 1);
            let mut meter = Meter::default();
            script.steps.iter().for_each(|(_, bytes)| {
                meter.push(bytes.as_bytes());
            });
            (meter, script.ending)
        };
        let (meter, ending) = play("tokens=7");
        assert!(meter.complete() && ending == Ending::Close);
        assert_eq!((meter.content_events, meter.usage.unwrap().output_total()), (7, 7));
        assert!(!play("no_done").0.complete());
        assert_eq!(play("cut_after=3").1, Ending::Cut);
        assert_eq!(play("stall").0.content_events, 0);
        assert!(play("error_event").0.error.is_some());
    }

    #[test]
    fn errors_carry_retry_after() {
        let script = answer(b"{}", Some("status=429 retry_after=2"), 1);
        assert_eq!(script.status, 429);
        assert!(script.headers.contains(&("retry-after", "2".to_owned())));
    }

    #[test]
    fn no_body_and_no_orders_panic() {
        for body in [&b""[..], b"[]", b"{\"messages\":[1,{\"role\":\"user\",\"content\":[{}]}]}"] {
            let _ = answer(body, Some("tokens=99999999999999999999 status=-1 delay_ms=x ="), -1);
        }
    }
}
