//! Walk the plan: send, judge the answer from its first events, wait or move on, stop at the first content.
//!
//! Failover is free before the first content event and forbidden after it. Every attempt leaves a record, whatever
//! came of it.

mod attempt;
pub mod backoff;
pub mod call;

use crate::{
    admit::bound::{self, Caps},
    dialect::{
        self, Corrupt, Dialect, Show,
        openai_chat::{request::ChatRequest, response, stream as chat},
        task::{self, Task, Whole},
    },
    model::{part::Body, time::Timestamp, usage::Usage},
    ports::{ClientRequest, Head, Peeked, SendFault, Sent, World, aside},
    provider::endpoint::Format,
    refusal::Refusal,
    route::{Plan, Stop},
    settle::row::Outcome,
    stream::{
        filter::{Filter, Watch},
        meter::{Listener, Meaning, Translator},
    },
    surface::Surface,
};
pub use attempt::Attempt;
use call::{Call, Unfit};

/// What dispatch came to. The last attempt is the one that counts.
pub enum Dispatched {
    /// A whole good answer; its body is held by the edge.
    Answer(Head),
    /// The same, written anew in the client's dialect.
    Translated(Head, String),
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
    Untouched(Watch),
    /// Passed on through a filter: that, and what it let through so far.
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
    /// What it is, and in whose words.
    pub surface: &'a Surface,
    /// What the client said in headers that its provider is told.
    pub said: Vec<(&'static str, String)>,
    /// What a translated answer is written for.
    pub show: Show,
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

    /// The usage of an answer, if it tells what it is charged by. A ranking may tell search units where the price is by
    /// tokens, or the other way round, and the one says nothing of the other.
    fn told(&self, attempt: &Attempt, usage: Option<Usage>, search_units: Option<u64>) -> Option<Usage> {
        let price = self.plan.stops.get(attempt.stop).and_then(|stop| stop.price);
        match self.chat.task {
            Task::Rerank(_) if price.is_some_and(|price| price.search_unit.is_some()) => {
                search_units.map(|_| usage.unwrap_or_default())
            }
            Task::Rerank(_) => usage.filter(|usage| usage.total() > 0),
            _ => usage,
        }
    }
}

/// What one attempt came to.
enum Judged {
    Good(Dispatched),
    /// The caller's fault: no other provider will like it better.
    Final(Said),
    /// Another attempt may help; the same target only after a wait, if at all.
    Again {
        said: Option<Said>,
        same_target: bool,
        retry_after_ms: Option<i64>,
    },
}

/// A provider's refusal.
struct Said {
    head: Head,
    /// In the client's dialect, if the provider's is another.
    told: Option<Refusal>,
}

impl Said {
    fn pass_on(self) -> Dispatched {
        match self.told {
            Some(refusal) => Dispatched::Failed(refusal),
            None => Dispatched::PassOn(self.head),
        }
    }
}

/// Makes attempts until one is good, all are used up, or the time is over.
pub async fn dispatch<W: World>(
    world: &W,
    order: &Order<'_>,
    allowance: &mut impl Allowance,
    attempts: &mut Vec<Attempt>,
) -> Dispatched {
    let retries = order.plan.route.retries;
    let mut last: Option<Said> = None;
    let mut unfit: Option<Refusal> = None;
    for (index, stop) in order.plan.stops.iter().enumerate() {
        let is_last = index + 1 == order.plan.stops.len();
        for retry in 0..=retries.count {
            if world.now() >= order.deadline
                || (!attempts.is_empty() && !allowance.allow_another(attempts).await)
            {
                return give_up(order, attempts, last, unfit);
            }
            let mut attempt = Attempt::new(index, world.now());
            let left_ms = order.deadline.since_ms(attempt.started).max(1).unsigned_abs();
            let call = match call::call(order, stop, attempt.started, left_ms) {
                Ok(call) => call,
                // Nothing is sent to whom the request cannot be put; the next one may speak the client's dialect.
                Err(Unfit(refusal)) => {
                    unfit.get_or_insert(refusal);
                    break;
                }
            };
            attempt.dropped.clone_from(&call.dropped);
            let judged = once(world, order, stop, call, &mut attempt).await;
            attempt.ended = world.now();
            attempts.push(attempt);
            let (same_target, retry_after_ms) = match judged {
                Judged::Good(good) => return good,
                Judged::Final(said) => return said.pass_on(),
                Judged::Again { said, same_target, retry_after_ms } => {
                    last = said;
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
    give_up(order, attempts, last, unfit)
}

async fn once<W: World>(
    world: &W,
    order: &Order<'_>,
    stop: &Stop<'_>,
    call: Call,
    attempt: &mut Attempt,
) -> Judged {
    let left_ms = order.deadline.since_ms(world.now()).max(1).unsigned_abs();
    let timeouts = order.plan.route.timeouts;
    let how = How { format: call.format, translated: call.translated, untouched: call.outgoing.untouched };
    let sent = world.send(call.outgoing).await;
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
                    let what = if stop.kind.binding().is_some() { "binding" } else { "secret" };
                    world.log(&format!("{what} {name} of provider {} is not set", stop.target.provider));
                    attempt.no_credential = true;
                    (false, format!("the {what} {name} is not set"))
                }
                SendFault::CredentialUnusable(why) => {
                    world.log(&format!("provider {} has no credential: {why}", stop.target.provider));
                    attempt.no_credential = true;
                    (false, why)
                }
                // The provider has not read a word, so there is nothing that it may bill.
                SendFault::CredentialLate(why) => {
                    attempt.outcome = Outcome::Timeout;
                    (false, why)
                }
            };
            attempt.error = Some(message);
            Judged::Again { said: None, same_target, retry_after_ms: None }
        }
        Sent::Answer { head, body } => judge_answer(world, order, how, head, &body, attempt),
        Sent::Stream(head) => {
            attempt.status = head.status;
            attempt.upstream_id = Some(head.upstream_id.clone()).filter(|id| !id.is_empty());
            let first_token_ms = timeouts.first_token_ms.min(left_ms);
            aside(judge_stream(world, order, how, first_token_ms, attempt)).await
        }
    }
}

/// How a provider's answer is to be read.
#[derive(Clone, Copy)]
struct How {
    format: Format,
    translated: bool,
    untouched: bool,
}

/// A whole answer as settlement needs it, and in the canonical form if it is to be written anew.
fn read_whole(how: How, body: &[u8]) -> Option<(response::Answer, Option<Whole>)> {
    if how.format == Format::Chat(Dialect::OpenAiChat) {
        let mut figures = response::read(body)?;
        if !how.translated || figures.error.is_some() {
            return Some((figures, None));
        }
        return Some(match task::read(how.format, body) {
            Ok(whole) => (figures, Some(whole)),
            // Not to be shown to the client, but done, and billed as it says.
            Err(Corrupt(why)) => {
                figures.error = Some(format!("an answer that cannot be translated: {why}"));
                (figures, None)
            }
        });
    }
    let whole = task::read(how.format, body).ok()?;
    let reported = whole.reported();
    let mut figures = response::Answer {
        usage: reported.map(|reported| reported.usage),
        usage_json: reported.map(|reported| reported.json.clone()),
        id: whole.id(),
        ..response::Answer::default()
    };
    match &whole {
        Whole::Answer(answer) => {
            figures.service_tier.clone_from(&answer.service_tier);
            let parts = answer.choices.iter().flat_map(|choice| &choice.parts);
            figures.content_bytes = parts.map(|part| bytes_of(&part.body)).sum();
        }
        Whole::Rerank(answer) => figures.search_units = answer.search_units,
        // Counting is free.
        Whole::Count(_) => figures.usage = Some(Usage::default()),
        Whole::Embed(_) => {}
    }
    Some((figures, Some(whole)))
}

fn bytes_of(body: &Body) -> usize {
    match body {
        Body::Text(text) => text.text.len(),
        Body::Refusal(text) => text.len(),
        Body::Reasoning(reasoning) => reasoning.text.len(),
        Body::ToolCall(call) => call.name.len().saturating_add(call.arguments.len()),
        Body::Native(_, value) => value.to_string().len(),
        Body::Media(_) | Body::ToolResult(_) => 0,
    }
}

fn judge_answer<W: World>(
    world: &W,
    order: &Order<'_>,
    how: How,
    head: Head,
    body: &[u8],
    attempt: &mut Attempt,
) -> Judged {
    attempt.status = head.status;
    attempt.upstream_id = Some(head.upstream_id.clone()).filter(|id| !id.is_empty());
    if head.status == 200 {
        return match read_whole(how, body) {
            Some((figures, answer)) if figures.error.is_none() && !order.chat.stream => {
                attempt.outcome = Outcome::Ok;
                attempt.first_byte_ms = Some(world.now().since_ms(attempt.started));
                attempt.upstream_id = figures.id.or(attempt.upstream_id.take());
                attempt.service_tier = figures.service_tier;
                attempt.usage_json = figures.usage_json;
                attempt.search_units = figures.search_units;
                match order.told(attempt, figures.usage, figures.search_units) {
                    Some(usage) => attempt.usage = usage,
                    None => attempt
                        .estimate(order.estimated_input(attempt), (figures.content_bytes as u64).div_ceil(4)),
                }
                Judged::Good(match answer.filter(|_| how.translated) {
                    Some(whole) => Dispatched::Translated(
                        head,
                        order.surface.written(&order.chat.task, &whole, &order.show),
                    ),
                    None => Dispatched::Answer(head),
                })
            }
            read => {
                attempt.outcome = Outcome::UpstreamError;
                let figures = read.map(|(figures, _)| figures);
                // Not what was asked for, but done and billed all the same.
                match &figures {
                    Some(response::Answer { usage: Some(usage), .. }) => attempt.usage = *usage,
                    // A whole answer to who wants a stream.
                    Some(response::Answer { error: None, content_bytes, .. }) => {
                        attempt.estimate(order.estimated_input(attempt), (*content_bytes as u64).div_ceil(4))
                    }
                    _ => {}
                }
                attempt.error = Some(figures.and_then(|figures| figures.error).unwrap_or_else(|| {
                    format!("a 200 that is not an answer of its dialect ({})", head.content_type)
                }));
                Judged::Again { said: None, same_target: true, retry_after_ms: None }
            }
        };
    }
    let failure = task::read_failure(how.format, head.status, body);
    attempt.error = Some(failure.message.chars().take(300).collect());
    let retry_after_ms = backoff::retry_after_ms(&head.retry_after, world.now());
    let status = head.status;
    let told = how.translated.then(|| {
        let message = match failure.message.trim() {
            // Not in its dialect's form; an empty message would say nothing at all.
            "" => format!("The provider refused the request with status {status}, and did not say why."),
            message => message.chars().take(1_000).collect(),
        };
        let refusal = match status {
            404 => Refusal::new(404, "invalid_request_error", "model_not_found", message),
            413 => Refusal::new(413, "invalid_request_error", "request_too_large", message),
            400..=499 => Refusal::new(status, "invalid_request_error", "provider_refused_request", message),
            _ => Refusal::new(status, "api_error", "upstream_error", message),
        };
        match failure.kind {
            Some(kind) => refusal.with("provider_code", kind),
            None => refusal,
        }
    });
    let said = Said { head, told };
    match status {
        400 | 413 | 422 => {
            attempt.outcome = Outcome::RefusedByProvider;
            Judged::Final(said)
        }
        429 => {
            attempt.outcome = Outcome::RateLimited;
            Judged::Again { said: Some(said), same_target: true, retry_after_ms }
        }
        // The provider does not want *us*, or does not have the model: the same target will not change its mind.
        401..=407 | 410 | 451 => {
            attempt.outcome = Outcome::RefusedByProvider;
            Judged::Again { said: Some(said), same_target: false, retry_after_ms: None }
        }
        _ => {
            attempt.outcome = Outcome::UpstreamError;
            Judged::Again { said: None, same_target: true, retry_after_ms }
        }
    }
}

/// Who sees a stream's first events.
enum First {
    Watch(Watch),
    Filter(Filter),
}

impl First {
    fn new(order: &Order<'_>, how: How) -> Self {
        let spoken = task::dialect_of(how.format);
        let listener = || Listener::new(dialect::reader(spoken));
        match (spoken, how.untouched) {
            _ if how.translated => Self::Filter(Filter::Translator(Translator::new(
                task::reader(how.format),
                order.surface.writer(order.show.clone()),
            ))),
            (Dialect::OpenAiChat, true) => Self::Watch(Watch::Chat(chat::Meter::default())),
            (Dialect::OpenAiChat, false) => Self::Filter(Filter::Usage(chat::Filter {
                keep_usage: order.chat.include_usage,
                ..chat::Filter::default()
            })),
            (_, true) => Self::Watch(Watch::Other(listener())),
            (_, false) => Self::Filter(Filter::Passing(listener())),
        }
    }
}

async fn judge_stream<W: World>(
    world: &W,
    order: &Order<'_>,
    how: How,
    first_token_ms: u64,
    attempt: &mut Attempt,
) -> Judged {
    let give_up_at = attempt.started.plus_ms(i64::try_from(first_token_ms).unwrap_or(i64::MAX));
    let mut first = First::new(order, how);
    let mut passed = Vec::new();
    loop {
        let left = give_up_at.since_ms(world.now()).max(1).unsigned_abs();
        let peeked = world.peek(left).await;
        let failure = match peeked {
            Peeked::Bytes(bytes) => {
                let meanings: Vec<Meaning> = match &mut first {
                    First::Watch(watch) => watch.push(&bytes),
                    First::Filter(filter) => {
                        let (mut out, meanings) = filter.push_judging(&bytes);
                        passed.append(&mut out);
                        meanings
                    }
                };
                match verdict(&meanings) {
                    Verdict::Begun => {
                        attempt.outcome = Outcome::Ok;
                        attempt.first_byte_ms = Some(world.now().since_ms(attempt.started));
                        return Judged::Good(Dispatched::Stream(match first {
                            First::Watch(watch) => Opening::Untouched(watch),
                            First::Filter(filter) => Opening::Filtered(filter, passed),
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
        return Judged::Again { said: None, same_target, retry_after_ms: None };
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
            Meaning::Corrupt => {
                return Verdict::Failed("the first event is not one of its dialect".to_owned());
            }
        }
    }
    Verdict::NotYet
}

/// What the client is told when nobody answered: the last provider's failure, without its secrets.
fn give_up(
    order: &Order<'_>,
    attempts: &[Attempt],
    last: Option<Said>,
    unfit: Option<Refusal>,
) -> Dispatched {
    let Some(attempt) = attempts.last() else {
        let late = || Refusal::unavailable("the deadline was over before the first attempt");
        return Dispatched::Failed(unfit.unwrap_or_else(late));
    };
    let stop = order.plan.stops.get(attempt.stop);
    let provider = stop.map_or("", |stop| stop.target.provider.as_str());
    let tried = match attempts.len() {
        1 => "1 attempt".to_owned(),
        count => format!("{count} attempts"),
    };
    if let Some(said) = last {
        match said.head.status {
            404 => return said.pass_on(),
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
                    backoff::retry_after_ms(&said.head.retry_after, attempt.ended).or(Some(1_000));
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
        Outcome::ConnectError if attempt.no_credential => Refusal::new(
            503,
            "api_error",
            "provider_not_configured",
            call::not_set(provider, stop),
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
