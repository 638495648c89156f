//! Walk the plan: send, judge the answer from its first events, wait or move on, stop at the first content.
//!
//! Failover is free before the first content event and forbidden after it. Every attempt leaves a record, whatever
//! came of it.

pub mod backoff;

use crate::{
    admit::bound::{self, Caps},
    dialect::openai_chat::{
        request::{Cap, ChatRequest, Edits},
        response,
        stream::{Filter, Meaning, Meter},
    },
    model::{time::Timestamp, usage::Usage},
    ports::{
        ClientRequest, Credential, Head, Outgoing, OutgoingBody, Peeked, Scheme, SendFault, Sent, World,
        aside,
    },
    provider::mock,
    refusal::Refusal,
    route::{Plan, Stop},
    settle::row::Outcome,
};

/// What is known of one attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Index into the plan's stops.
    pub stop: usize,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// The provider's status, 0 without one.
    pub status: u16,
    /// Token classes, reported or estimated.
    pub usage: Usage,
    /// Whether they are ours.
    pub usage_estimated: bool,
    /// As reported.
    pub usage_json: Option<String>,
    /// The tier that served it.
    pub service_tier: Option<String>,
    /// The provider's id.
    pub upstream_id: Option<String>,
    /// Begun → first content.
    pub first_byte_ms: Option<i64>,
    /// For the operator.
    pub error: Option<String>,
}

impl Attempt {
    fn new(stop: usize, started: Timestamp) -> Self {
        Self {
            stop,
            started,
            ended: started,
            outcome: Outcome::ConnectError,
            status: 0,
            usage: Usage::default(),
            usage_estimated: false,
            usage_json: None,
            service_tier: None,
            upstream_id: None,
            first_byte_ms: None,
            error: None,
        }
    }

    /// A provider that was cut off has read the prompt and may bill it; what is not reported is estimated.
    pub(crate) const fn estimate(&mut self, input: u64, output: u64) {
        self.usage = Usage { input, output, ..empty() };
        self.usage_estimated = true;
    }
}

const fn empty() -> Usage {
    Usage {
        input: 0,
        cache_read: 0,
        cache_write_5m: 0,
        cache_write_1h: 0,
        input_audio: 0,
        output: 0,
        reasoning: 0,
        output_audio: 0,
    }
}

/// What dispatch came to. The last attempt is the one that counts.
pub enum Dispatched {
    /// A whole good answer; its body is held by the edge.
    Answer(Head),
    /// A stream with its first content seen.
    Stream(Opening),
    /// The provider refuses the request itself; its answer is the client's answer, and is held by the edge.
    PassOn(Head),
    /// Nobody answered.
    Failed(Refusal),
}

/// The beginning of a stream.
pub enum Opening {
    /// Passed on untouched: what was read to see the first content.
    Untouched(Meter),
    /// Passed on without usage: the filter, and what it let through so far.
    Filtered(Filter, Vec<u8>),
}

/// Asked before an attempt that follows a charged one: may this much more be spent?
#[allow(async_fn_in_trait, reason = "an isolate has one thread; no future here needs to be Send")]
pub trait Allowance {
    /// `attempts` are those made so far.
    async fn allow_another(&mut self, attempts: &[Attempt]) -> bool;
}

/// Everything dispatch needs besides the world.
pub struct Order<'a> {
    /// The client's request.
    pub request: &'a ClientRequest,
    /// Decoded.
    pub chat: &'a ChatRequest,
    /// The plan.
    pub plan: &'a Plan<'a>,
    /// The key's output cap, and what the budget can pay for.
    pub caps: Caps,
    /// When all attempts must be over.
    pub deadline: Timestamp,
}

impl Order<'_> {
    fn estimated_input(&self, attempt: &Attempt) -> u64 {
        self.plan.stops.get(attempt.stop).map_or(0, |stop| bound::estimated_input(self.chat, stop.reader()))
    }
}

/// What one attempt came to.
enum Judged {
    Good(Dispatched),
    /// The caller's fault: no other provider will like it better.
    Final(Head),
    /// Another attempt may help; the same target only after a wait, if at all.
    Again {
        head: Option<Head>,
        same_target: bool,
        retry_after_ms: Option<i64>,
    },
}

/// Makes attempts until one is good, all are used up, or the time is over.
pub async fn dispatch<W: World>(
    world: &W,
    order: &Order<'_>,
    allowance: &mut impl Allowance,
    attempts: &mut Vec<Attempt>,
) -> Dispatched {
    let retries = order.plan.route.retries;
    let mut last: Option<Head> = None;
    for (index, stop) in order.plan.stops.iter().enumerate() {
        let is_last = index + 1 == order.plan.stops.len();
        for retry in 0..=retries.count {
            if world.now() >= order.deadline
                || (!attempts.is_empty() && !allowance.allow_another(attempts).await)
            {
                return give_up(order, attempts, last);
            }
            let mut attempt = Attempt::new(index, world.now());
            let judged = once(world, order, stop, &mut attempt).await;
            attempt.ended = world.now();
            attempts.push(attempt);
            let (same_target, retry_after_ms) = match judged {
                Judged::Good(good) => return good,
                Judged::Final(head) => return Dispatched::PassOn(head),
                Judged::Again { head, same_target, retry_after_ms } => {
                    last = head;
                    (same_target, retry_after_ms)
                }
            };
            // A provider that names its pause is asked again only if nobody else can be asked at once.
            if retry == retries.count || !same_target || (!is_last && retry_after_ms.is_some()) {
                break;
            }
            let wait = backoff::wait_ms(&retries, retry, retry_after_ms, world.random());
            match wait.filter(|wait| world.now().plus_ms(*wait) < order.deadline) {
                Some(wait) => world.sleep(wait.unsigned_abs()).await,
                None => break,
            }
        }
    }
    give_up(order, attempts, last)
}

async fn once<W: World>(world: &W, order: &Order<'_>, stop: &Stop<'_>, attempt: &mut Attempt) -> Judged {
    let left_ms = order.deadline.since_ms(world.now()).max(1).unsigned_abs();
    let timeouts = order.plan.route.timeouts;
    let call = outgoing(order, stop, attempt.started, left_ms);
    let untouched = call.untouched;
    let sent = world.send(call).await;
    match sent {
        Sent::Failed(fault) => {
            let (same_target, message) = match fault {
                SendFault::Connect(message) => (true, message),
                SendFault::Timeout => {
                    attempt.outcome = Outcome::Timeout;
                    attempt.estimate(order.estimated_input(attempt), 0);
                    (false, "time-out before the answer".to_owned())
                }
                SendFault::SecretMissing(name) => {
                    world.log(&format!("secret {name} of provider {} is not set", stop.target.provider));
                    (false, format!("the secret {name} is not set"))
                }
            };
            attempt.error = Some(message);
            Judged::Again { head: None, same_target, retry_after_ms: None }
        }
        Sent::Answer { head, body } => judge_answer(world, order, head, &body, attempt),
        Sent::Stream(head) => {
            attempt.status = head.status;
            attempt.upstream_id = Some(head.upstream_id.clone()).filter(|id| !id.is_empty());
            let first_token_ms = timeouts.first_token_ms.min(left_ms);
            aside(judge_stream(world, order, untouched, first_token_ms, attempt)).await
        }
    }
}

fn outgoing(order: &Order<'_>, stop: &Stop<'_>, now: Timestamp, left_ms: u64) -> Outgoing {
    let chat = order.chat;
    let tokens = bound::tokens(chat, stop.reader(), order.caps);
    let field = stop.provider.output_cap_field.unwrap_or(stop.kind.output_cap_field);
    let edits = Edits {
        model: Some(&stop.target.model),
        ask_usage: stop.kind.stream_usage,
        cap: tokens.cap_to_send.map(|tokens| Cap { field, tokens }),
        tier: stop.kind.default_tier,
    };
    let edited = chat.edited(&order.request.body, &edits);
    let timeouts = order.plan.route.timeouts;
    let body = if stop.kind.name == mock::MOCK.name {
        let body = edited.as_deref().unwrap_or(&order.request.body);
        let script =
            mock::answer(body, stop.provider.headers.get("x-mock").map(String::as_str), now.0 / 1_000);
        OutgoingBody::Played(serde_json::to_string(&script).unwrap_or_default())
    } else {
        edited.map_or(OutgoingBody::AsReceived, OutgoingBody::Edited)
    };
    let (header, prefix) = stop.kind.auth;
    Outgoing {
        url: format!("{}{}", stop.provider.base_url, stop.kind.chat_path),
        headers: stop.provider.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        credential: stop.provider.secret.as_ref().map(|secret| Credential {
            header: header.to_owned(),
            prefix: prefix.to_owned(),
            secret: secret.clone(),
            scheme: Scheme::Header,
        }),
        body,
        timeout_ms: if chat.stream { timeouts.headers_ms.min(left_ms) } else { left_ms },
        stream: chat.stream,
        // What the client asked for is what comes, so nothing has to be taken out. (A played stream is not the network's: the
        // runtime cannot split it. One that others may join must be seen as it passes.)
        untouched: (chat.include_usage || !stop.kind.stream_usage)
            && stop.kind.name != mock::MOCK.name
            && order.request.idempotency_key.is_none(),
    }
}

fn judge_answer<W: World>(
    world: &W,
    order: &Order<'_>,
    head: Head,
    body: &[u8],
    attempt: &mut Attempt,
) -> Judged {
    attempt.status = head.status;
    attempt.upstream_id = Some(head.upstream_id.clone()).filter(|id| !id.is_empty());
    if head.status == 200 {
        return match response::read(body) {
            Some(answer) if answer.error.is_none() && !order.chat.stream => {
                attempt.outcome = Outcome::Ok;
                attempt.first_byte_ms = Some(world.now().since_ms(attempt.started));
                attempt.upstream_id = answer.id.or(attempt.upstream_id.take());
                attempt.service_tier = answer.service_tier;
                attempt.usage_json = answer.usage_json;
                match answer.usage {
                    Some(usage) => attempt.usage = usage,
                    None => attempt
                        .estimate(order.estimated_input(attempt), (answer.content_bytes as u64).div_ceil(4)),
                }
                Judged::Good(Dispatched::Answer(head))
            }
            answer => {
                attempt.outcome = Outcome::UpstreamError;
                // Not what was asked for, but done and billed all the same.
                if let Some(usage) = answer.as_ref().and_then(|answer| answer.usage) {
                    attempt.usage = usage;
                }
                attempt.error = Some(answer.and_then(|answer| answer.error).unwrap_or_else(|| {
                    format!("a 200 that is not a chat completion ({})", head.content_type)
                }));
                Judged::Again { head: None, same_target: true, retry_after_ms: None }
            }
        };
    }
    attempt.error = Some(response::error_text(body));
    let retry_after_ms = backoff::retry_after_ms(&head.retry_after, world.now());
    match head.status {
        400 | 413 | 422 => {
            attempt.outcome = Outcome::RefusedByProvider;
            Judged::Final(head)
        }
        429 => {
            attempt.outcome = Outcome::RateLimited;
            Judged::Again { head: Some(head), same_target: true, retry_after_ms }
        }
        // The provider does not want *us*, or does not have the model: the same target will not change its mind.
        401..=407 | 410 | 451 => {
            attempt.outcome = Outcome::RefusedByProvider;
            Judged::Again { head: Some(head), same_target: false, retry_after_ms: None }
        }
        _ => {
            attempt.outcome = Outcome::UpstreamError;
            Judged::Again { head: None, same_target: true, retry_after_ms }
        }
    }
}

async fn judge_stream<W: World>(
    world: &W,
    order: &Order<'_>,
    untouched: bool,
    first_token_ms: u64,
    attempt: &mut Attempt,
) -> Judged {
    let give_up_at = attempt.started.plus_ms(i64::try_from(first_token_ms).unwrap_or(i64::MAX));
    let mut filter = Filter { keep_usage: order.chat.include_usage, ..Filter::default() };
    let mut meter = Meter::default();
    let mut passed = Vec::new();
    loop {
        let left = give_up_at.since_ms(world.now()).max(1).unsigned_abs();
        let peeked = world.peek(left).await;
        let failure = match peeked {
            Peeked::Bytes(bytes) => {
                let meanings: Vec<Meaning> = if untouched {
                    meter.push(&bytes).into_iter().map(|(_, meaning)| meaning).collect()
                } else {
                    let (mut out, meanings) = filter.push_judging(&bytes);
                    passed.append(&mut out);
                    meanings
                };
                match verdict(&meanings) {
                    Verdict::Begun => {
                        attempt.outcome = Outcome::Ok;
                        attempt.first_byte_ms = Some(world.now().since_ms(attempt.started));
                        return Judged::Good(Dispatched::Stream(if untouched {
                            Opening::Untouched(meter)
                        } else {
                            Opening::Filtered(filter, passed)
                        }));
                    }
                    Verdict::NotYet => continue,
                    Verdict::Failed(message) => (Outcome::UpstreamError, message),
                }
            }
            Peeked::End => (Outcome::Truncated, "the stream ended before any content".to_owned()),
            Peeked::Broken(message) => (Outcome::Truncated, message),
            Peeked::Timeout => {
                attempt.estimate(order.estimated_input(attempt), 0);
                (Outcome::Timeout, "no content before the first-token time-out".to_owned())
            }
        };
        world.discard();
        let same_target = failure.0 != Outcome::Timeout;
        attempt.outcome = failure.0;
        attempt.error = Some(failure.1);
        return Judged::Again { head: None, same_target, retry_after_ms: None };
    }
}

enum Verdict {
    NotYet,
    Begun,
    Failed(String),
}

fn verdict(meanings: &[Meaning]) -> Verdict {
    for meaning in meanings {
        match meaning {
            Meaning::Nothing => {}
            Meaning::Content | Meaning::Usage | Meaning::Done => return Verdict::Begun,
            Meaning::Error(message) => return Verdict::Failed(message.clone()),
            Meaning::Corrupt => return Verdict::Failed("the first event is not a chat chunk".to_owned()),
        }
    }
    Verdict::NotYet
}

/// What the client is told when nobody answered: the last provider's failure, without its secrets.
fn give_up(order: &Order<'_>, attempts: &[Attempt], last: Option<Head>) -> Dispatched {
    let Some(attempt) = attempts.last() else {
        return Dispatched::Failed(Refusal::unavailable("the deadline was over before the first attempt"));
    };
    let provider = order.plan.stops.get(attempt.stop).map_or("", |stop| stop.target.provider.as_str());
    let tried = match attempts.len() {
        1 => "1 attempt".to_owned(),
        count => format!("{count} attempts"),
    };
    if let Some(head) = &last {
        match head.status {
            404 => return Dispatched::PassOn(head.clone()),
            429 => {
                let mut refusal = Refusal::new(
                    429,
                    "rate_limit_error",
                    "upstream_rate_limited",
                    format!(
                        "The provider '{provider}' limits the rate of requests ({tried} made). Try again later."
                    ),
                );
                refusal.retry_after_ms =
                    backoff::retry_after_ms(&head.retry_after, attempt.ended).or(Some(1_000));
                return Dispatched::Failed(refusal);
            }
            _ => {}
        }
    }
    let said = attempt.error.clone().unwrap_or_default();
    Dispatched::Failed(match attempt.outcome {
        Outcome::Timeout => Refusal::new(
            504,
            "api_error",
            "upstream_timeout",
            format!("The provider '{provider}' did not answer in time ({tried} made)."),
        ),
        Outcome::RefusedByProvider => Refusal::new(
            502,
            "api_error",
            "upstream_refused",
            format!(
                "The provider '{provider}' refused the gateway (status {}, {tried} made). The operator must check its credential.",
                attempt.status
            ),
        )
        .operator(said),
        Outcome::ConnectError if said.contains("is not set") => Refusal::new(
            503,
            "api_error",
            "provider_not_configured",
            format!("The provider '{provider}' has no credential in this gateway. The operator must set it."),
        )
        .operator(said),
        _ => Refusal::new(
            502,
            "api_error",
            "upstream_error",
            format!("The provider '{provider}' failed{} ({tried} made).", status_text(attempt.status)),
        )
        .operator(said),
    })
}

fn status_text(status: u16) -> String {
    if status == 0 { " to answer".to_owned() } else { format!(" with status {status}") }
}
