//! The path of a request. Read this first.

mod case;

use crate::{
    admit::{
        bound,
        wire::{Command, KeyRecord, Settlement, Standing},
    },
    authenticate::authenticate,
    dialect::{
        self, Dialect,
        task::{Task, Whole},
    },
    dispatch::{Allowance, Attempt, Dispatched, Opening, Order, call, dispatch},
    idempotency,
    model::{id::RequestId, money::NanoUsd, usage::Usage},
    ports::{AnswerBody, ClientRequest, Head, Headers, Relay, RelayEnd, World, aside},
    provider::endpoint::Operation,
    refusal::Refusal,
    route::Stop,
    settle::row::Outcome,
    stream::meter::Seen,
    surface::Surface,
};
use case::Case;
use futures_util::future::join;
use std::{cell::RefCell, rc::Rc};

/// Bodies larger than this are refused unread.
pub const BODY_BYTES_MAX: usize = 20 << 20;

/// Serves one conversation, in whatever dialect.
///
///  1. **authenticate**: who is asking                     → `KeyRecord`
///  2. **decode**: what they ask                           → `ChatRequest`
///     (with an `Idempotency-Key`, one that was made before ends here: `idempotency`)
///  3. **route**: whom to ask, in what order               → `Plan`
///  4. **guard**: may this be asked (refused in `route` until guardrails exist)
///  5. **cache**: has this been answered (comes later; the route's rule is kept)
///  6. **admit**: the upper bound is held at every level   → `Ticket`
///  7. **dispatch**: send, retry, fall back                → first content in hand
///  8. **stream**: pass on, meter off to the side
///  9. **settle**: price, release, one row for each attempt
pub async fn serve<W: World>(world: &W, request: &ClientRequest, surface: &Surface) {
    let id = RequestId::mint(world.now().0, world.random());
    if let Err(refusal) = admitted(world, request, surface, &id).await {
        refuse_in(world, surface.dialect(), &id, &refusal);
    }
}

/// Answers with a refusal in OpenAI's form, which is the gateway's own.
pub fn refuse<W: World>(world: &W, id: &RequestId, refusal: &Refusal) {
    refuse_in(world, Dialect::OpenAiChat, id, refusal);
}

/// Answers with a refusal in the caller's dialect.
pub fn refuse_in<W: World>(world: &W, dialect: Dialect, id: &RequestId, refusal: &Refusal) {
    if let Some(operator) = &refusal.operator {
        world.log(&format!("{id} {} {}: {operator}", refusal.status, refusal.code));
    }
    let mut headers: Headers =
        vec![("content-type", "application/json".to_owned()), ("x-edgehold-request-id", id.0.clone())];
    if let Some(seconds) = refusal.retry_after_s() {
        headers.push(("retry-after", seconds.to_string()));
    }
    headers.extend(refusal.headers.iter().cloned());
    if refusal.status == 409 {
        // OpenAI's SDKs take a 409 for a lock and try again.
        headers.push(("x-should-retry", "false".to_owned()));
    }
    world.respond(refusal.status, headers, AnswerBody::Text(dialect::write_refusal(dialect, refusal)));
}

/// Tells the ledger what a request came to: through the lease it was admitted from, or by name.
fn settle<W: World>(world: &W, key: &KeyRecord, settlement: Settlement) {
    let now = world.now();
    if let Some(settlement) = world.wallet(|wallet| wallet.settle(now, settlement)) {
        world.settle(&key.customer, &Command::Settle(settlement));
    }
    world.keep_wallet();
}

async fn admitted<W: World>(
    world: &W,
    request: &ClientRequest,
    surface: &Surface,
    id: &RequestId,
) -> Result<(), Refusal> {
    if request.too_large {
        return Err(Refusal::new(
            413,
            "invalid_request_error",
            "request_too_large",
            format!("The body is larger than {} MiB.", BODY_BYTES_MAX >> 20),
        ));
    }
    // Both are remembered by a warm isolate; a cold one asks for both at once.
    let (key, policy) = join(authenticate(world, request, false), world.policy()).await;
    let mut key = key?;
    let chat = surface.decode(&request.body)?;
    if idempotency::replayed(world, request, surface, &chat, &key, id).await? {
        return Ok(());
    }
    let policy = policy.map_err(|fault| Refusal::unavailable(fault.0))?;

    if chat.task == Task::Count
        && counted_here(world, &Case::new(world, id, request, surface, &chat, &policy, &key)?)
    {
        return Ok(());
    }
    if world.variable("EDGEHOLD_ADMISSION").is_some_and(|value| value == "off") {
        let case = Case::new(world, id, request, surface, &chat, &policy, &key)?;
        finish(world, &case, None).await;
        return Ok(());
    }
    for fresh in [false, true] {
        let mut case = Case::new(world, id, request, surface, &chat, &policy, &key)?;
        if fresh {
            case.ticket.push_str("-2");
        }
        let standing = case.admit(world).await?;
        case.admitted_at = standing.at;
        if standing.key_revision > key.revision && !fresh {
            // The object knows a newer key than this isolate: decide again with that one. The hold is given back.
            let release = Settlement::of(case.ticket, &[]);
            let now = world.now();
            if let Some(release) = world.wallet(|wallet| wallet.settle(now, release)) {
                let release = Command::Settle(release);
                if let Err(fault) = world.ledger(&key.customer, &release).await {
                    // The client will be told that nothing was charged: it is tried again in the background.
                    world.settle(&key.customer, &release);
                    return Err(Refusal::unavailable(fault.0));
                }
            }
            key = authenticate(world, request, true).await?;
            continue;
        }
        finish(world, &case, Some(standing)).await;
        return Ok(());
    }
    Err(Refusal::unavailable("the key's record in the object is older than its node"))
}

/// Answers a question for a count that no provider of the plan answers with an estimate: nothing is sent, nothing costs.
fn counted_here<W: World>(world: &W, case: &Case<'_>) -> bool {
    let counts = |stop: &Stop<'_>| stop.kind.endpoint(Operation::CountTokens).is_some();
    let Some(stop) = case.plan.stops.first().filter(|_| !case.plan.stops.iter().any(counts)) else {
        return false;
    };
    let tokens = bound::estimated_input(case.chat, stop.reader());
    let mut headers = case.answer_headers(&[], None);
    headers.push(("x-edgehold-token-count", "estimated".to_owned()));
    headers.push(("content-type", "application/json".to_owned()));
    let text = case.surface.written(&case.chat.task, &Whole::Count(tokens), &case.show());
    world.respond(200, headers, AnswerBody::Text(text));
    true
}

/// Earlier attempts that cost something must fit beside the next one.
struct Extension<'a, 'b, W> {
    world: &'a W,
    case: &'a Case<'b>,
    held: bool,
    covered: NanoUsd,
}

impl<W: World> Allowance for Extension<'_, '_, W> {
    async fn allow_another(&mut self, attempts: &[Attempt]) -> bool {
        let spent = self.case.account().total(attempts);
        if !self.held || spent <= self.covered {
            return true;
        }
        self.covered = spent;
        let used = attempts.iter().fold(0u64, |sum, attempt| sum.saturating_add(attempt.usage.total()));
        self.case.hold(self.world, spent, used).await.is_ok()
    }
}

/// Stages 7 to 9.
async fn finish<W: World>(world: &W, case: &Case<'_>, standing: Option<Standing>) {
    let order = Order {
        request: case.request,
        surface: case.surface,
        said: call::said(case.surface, &|name| world.header(name)),
        show: case.show(),
        chat: case.chat,
        plan: &case.plan,
        caps: case.caps,
        deadline: case.deadline,
    };
    let mut attempts = Vec::with_capacity(1);
    let mut extension = Extension { world, case, held: standing.is_some(), covered: NanoUsd::ZERO };
    let dispatched = dispatch(world, &order, &mut extension, &mut attempts).await;
    let mut headers = case.answer_headers(&attempts, standing.as_ref());
    match dispatched {
        Dispatched::Answer(head) | Dispatched::PassOn(head) => {
            pass_on(world, case, &attempts, head, AnswerBody::Upstream, headers);
        }
        Dispatched::Translated(head, text) => {
            let head = Head { content_type: String::new(), ..head };
            pass_on(world, case, &attempts, head, AnswerBody::Text(text), headers);
        }
        Dispatched::Failed(refusal) => {
            if let Some(operator) = &refusal.operator {
                world.log(&format!("{} {} {}: {operator}", case.id, refusal.status, refusal.code));
            }
            headers.push(("content-type", "application/json".to_owned()));
            if let Some(seconds) = refusal.retry_after_s() {
                headers.push(("retry-after", seconds.to_string()));
            }
            let text = dialect::write_refusal(case.surface.dialect(), &refusal);
            world.respond(refusal.status, headers, AnswerBody::Text(text));
        }
        Dispatched::Stream(opening) => {
            headers.push(("content-type", case.surface.stream_type().to_owned()));
            headers.push(("cache-control", "no-cache, no-transform".to_owned()));
            aside(stream(world, case, opening, headers, &mut attempts)).await;
        }
    }
    if standing.is_some() {
        settle(world, case.key, case.account().settlement(&case.ticket, &attempts));
    }
}

/// A whole answer goes to the client as it came, or as it was translated.
fn pass_on<W: World>(
    world: &W,
    case: &Case<'_>,
    attempts: &[Attempt],
    head: Head,
    body: AnswerBody,
    mut headers: Headers,
) {
    headers.push(("x-edgehold-cost-usd", case.account().total(attempts).to_string()));
    let content_type =
        if head.content_type.is_empty() { "application/json".to_owned() } else { head.content_type };
    headers.push(("content-type", content_type));
    world.respond(head.status, headers, body);
}

/// Passes a stream on to its end and writes into the last attempt what went by.
async fn stream<W: World>(
    world: &W,
    case: &Case<'_>,
    opening: Opening,
    headers: Headers,
    attempts: &mut [Attempt],
) {
    let idle_ms = case.plan.route.timeouts.idle_ms;
    let total_ms = case.deadline.since_ms(world.now()).max(1).unsigned_abs();
    let (end, seen, rest, mut filter) = match opening {
        Opening::Untouched(mut watch) => {
            let relayed = world.relay(headers, Relay::Untouched, idle_ms, total_ms).await;
            watch.push(&relayed.bytes);
            watch.finish();
            (relayed.end, watch.into_seen(), Vec::new(), None)
        }
        Opening::Filtered(filter, passed) => {
            let filter = Rc::new(RefCell::new(filter));
            let relay = Relay::Filtered(Rc::clone(&filter), passed);
            let relayed = world.relay(headers, relay, idle_ms, total_ms).await;
            let (rest, seen) = {
                let mut filter = filter.borrow_mut();
                (filter.finish(), filter.seen().clone())
            };
            (relayed.end, seen, rest, Some(filter))
        }
    };
    let (outcome, error) = judge_end(&end, &seen);
    // Of a client that left after the terminal event, only the record of an idempotency key still hears this.
    if end != RelayEnd::ClientGone || outcome == Outcome::Ok {
        // Of a stream that broke, half an event would keep the client from reading the error behind it.
        let tail = match outcome {
            Outcome::Ok => rest,
            // The provider's own last word, perhaps without its empty line.
            Outcome::UpstreamError if !rest.is_empty() => [&rest[..], b"\n\n"].concat(),
            Outcome::UpstreamError => Vec::new(),
            _ => {
                let refusal = broken(outcome, case.id);
                let written = filter.as_mut().and_then(|filter| filter.borrow_mut().fail(&refusal));
                written.unwrap_or_else(|| {
                    // An unfinished event may stand before it: the empty line ends that one.
                    let mut out = b"\n\n".to_vec();
                    case.surface.writer(case.show()).fail(&refusal, &mut out);
                    out
                })
            }
        };
        world.end_stream(String::from_utf8(tail).unwrap_or_default());
    }
    let Some(attempt) = attempts.last_mut() else { return };
    record(case, attempt, outcome, error, seen);
    attempt.ended = world.now();
}

fn judge_end(end: &RelayEnd, meter: &Seen) -> (Outcome, Option<String>) {
    match end {
        // A client that leaves after the terminal event has got everything.
        // So does one whose provider forgot to close its stream.
        RelayEnd::ClientGone | RelayEnd::Timeout if meter.done && !meter.lost => (Outcome::Ok, None),
        // Whoever was told of an error leaves, and who told it hangs up.
        _ if meter.error.is_some() => (Outcome::UpstreamError, meter.error.clone()),
        RelayEnd::ClientGone => (Outcome::ClientGone, None),
        RelayEnd::Timeout => (Outcome::Timeout, Some("the stream stood still, or took too long".to_owned())),
        RelayEnd::Broken(message) if !meter.done => (Outcome::Truncated, Some(message.clone())),
        RelayEnd::End | RelayEnd::Broken(_) if meter.complete() => (Outcome::Ok, None),
        RelayEnd::End | RelayEnd::Broken(_) if meter.lost => {
            (Outcome::Truncated, Some("an event could not be read".to_owned()))
        }
        RelayEnd::End | RelayEnd::Broken(_) => {
            (Outcome::Truncated, Some("the stream ended without its terminal event".to_owned()))
        }
    }
}

/// What a client is told at the end of a stream that broke: an error its SDK raises, never a synthetic terminal event.
fn broken(outcome: Outcome, id: &RequestId) -> Refusal {
    let (status, message, code) = match outcome {
        Outcome::Timeout => (504, "The provider stopped sending.", "stream_timeout"),
        _ => (502, "The provider's stream broke off before its end.", "stream_truncated"),
    };
    Refusal::new(status, "upstream_error", code, format!("{message} ({id})"))
}

fn record(case: &Case<'_>, attempt: &mut Attempt, outcome: Outcome, error: Option<String>, meter: Seen) {
    attempt.outcome = outcome;
    attempt.error = error;
    match meter.usage {
        Some(usage) if meter.counted() => {
            attempt.usage = usage;
            attempt.usage_json = meter.usage_json;
        }
        // Anthropic and Gemini count along: of a stream that broke off, that is the least it can have been.
        Some(usage) => {
            attempt.usage = Usage { output: usage.output.max(meter.estimated_output()), ..usage };
            attempt.usage_estimated = true;
        }
        None => {
            let stop = case.plan.stops.get(attempt.stop);
            let input = stop.map_or(0, |stop| bound::estimated_input(case.chat, stop.reader()));
            attempt.estimate(input, meter.estimated_output());
        }
    }
    attempt.service_tier = meter.service_tier;
    attempt.upstream_id = meter.id.or(attempt.upstream_id.take());
}
