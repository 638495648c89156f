//! The path of a request. Read this first.

use crate::{
    admit::{
        bound::{self, TokenBound},
        limit::{Amounts, Unit, Window},
        wallet::{Asked, Extension as Covering},
        wire::{Command, Hold, KeyRecord, Refusal as Denial, Reply, RouteLimit, Settlement, Standing},
    },
    authenticate::{self, authenticate},
    config::policy::{Pattern, Policy},
    dialect::openai_chat::{request::ChatRequest, stream::Meter},
    dispatch::{Allowance, Attempt, Dispatched, Opening, Order, dispatch},
    model::{id::RequestId, money::NanoUsd, time::Timestamp},
    ports::{AnswerBody, ClientRequest, Head, Headers, Relay, RelayEnd, World},
    refusal::Refusal,
    route::{self, Plan},
    settle::{Account, row::Outcome},
};
use futures_util::future::join;
use serde_json::json;
use std::{cell::RefCell, rc::Rc};

/// Bodies larger than this are refused unread.
pub const BODY_BYTES_MAX: usize = 20 << 20;
/// A hold outlives the last moment its request can end by this, so that a settlement under way still finds it.
const HOLD_GRACE_MS: i64 = 60_000;
/// How often, and after which pause, a request is put again that would fit once isolates have given back what they do not
/// need.
const RECALL_TRIES: u32 = 4;
const RECALL_WAIT_MS: u64 = 200;

/// Serves one chat completion.
///
///  1. **authenticate**: who is asking                     → `KeyRecord`
///  2. **decode**: what they ask                           → `ChatRequest`
///  3. **route**: whom to ask, in what order               → `Plan`
///  4. **guard**: may this be asked (refused in `route` until guardrails exist)
///  5. **cache**: has this been answered (comes later; the route's rule is kept)
///  6. **admit**: the upper bound is held at every level   → `Ticket`
///  7. **dispatch**: send, retry, fall back                → first content in hand
///  8. **stream**: pass on, meter off to the side
///  9. **settle**: price, release, one row for each attempt
pub async fn serve<W: World>(world: &W, request: &ClientRequest) {
    let id = RequestId::mint(world.now().0, world.random());
    if let Err(refusal) = admitted(world, request, &id).await {
        refuse(world, &id, &refusal);
    }
}

/// Answers with a refusal in the caller's dialect.
pub fn refuse<W: World>(world: &W, id: &RequestId, refusal: &Refusal) {
    if let Some(operator) = &refusal.operator {
        world.log(&format!("{id} {} {}: {operator}", refusal.status, refusal.code));
    }
    let mut headers: Headers =
        vec![("content-type", "application/json".to_owned()), ("x-edgehold-request-id", id.0.clone())];
    if let Some(seconds) = refusal.retry_after_s() {
        headers.push(("retry-after", seconds.to_string()));
    }
    headers.extend(refusal.headers.iter().cloned());
    world.respond(refusal.status, headers, AnswerBody::Text(refusal.to_openai_json()));
}

/// Tells the ledger what a request came to: through the lease it was admitted from, or by name.
fn settle<W: World>(world: &W, key: &KeyRecord, settlement: Settlement) {
    let now = world.now();
    if let Some(settlement) = world.wallet(|wallet| wallet.settle(now, settlement)) {
        world.settle(&key.customer, &Command::Settle(settlement));
    }
    world.keep_wallet();
}

async fn admitted<W: World>(world: &W, request: &ClientRequest, id: &RequestId) -> Result<(), Refusal> {
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
    let chat = ChatRequest::decode(&request.body)?;
    let policy = policy.map_err(|fault| Refusal::unavailable(fault.0))?;

    if world.variable("EDGEHOLD_ADMISSION").is_some_and(|value| value == "off") {
        let case = Case::new(world, id, request, &chat, &policy, &key)?;
        finish(world, &case, None).await;
        return Ok(());
    }
    for fresh in [false, true] {
        let mut case = Case::new(world, id, request, &chat, &policy, &key)?;
        if fresh {
            case.ticket.push_str("-2");
        }
        let standing = case.hold(world, NanoUsd::ZERO, 0).await?;
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

/// An admitted request: everything the later stages need, in one place.
struct Case<'a> {
    id: &'a RequestId,
    ticket: String,
    request: &'a ClientRequest,
    chat: &'a ChatRequest,
    policy: &'a Policy,
    key: &'a KeyRecord,
    plan: Plan<'a>,
    admitted_at: Timestamp,
    deadline: Timestamp,
    /// The dearest of all targets; `None` if one of them has no price.
    bound: Option<NanoUsd>,
    tokens: TokenBound,
}

impl<'a> Case<'a> {
    fn new<W: World>(
        world: &W,
        id: &'a RequestId,
        request: &'a ClientRequest,
        chat: &'a ChatRequest,
        policy: &'a Policy,
        key: &'a KeyRecord,
    ) -> Result<Self, Refusal> {
        let plan = route::plan(policy, key, request, chat, &|name| world.header(name))?;
        if let Some(name) = chat.unmetered {
            return Err(Refusal::bad_param(
                "unsupported_parameter",
                name,
                format!(
                    "'{name}' can cost more than tokens, or another model's tokens, which this gateway cannot hold yet. Leave it out."
                ),
            ));
        }
        let bytes = request.body.len();
        let mut most = TokenBound { input: 0, output: 0, cap_to_send: None };
        let mut bound = Some(NanoUsd::ZERO);
        for stop in &plan.stops {
            let tokens = bound::tokens(chat, bytes, key.default_max_tokens, stop.price.as_ref());
            most.input = most.input.max(tokens.input);
            most.output = most.output.max(tokens.output);
            let dearest =
                stop.price.map(|price| price.upper_bound(tokens.input, tokens.output, held_tier(chat)));
            bound = bound.zip(dearest).map(|(a, b)| a.max(b));
        }
        let admitted_at = world.now();
        let total_ms = i64::try_from(plan.route.timeouts.total_ms).unwrap_or(i64::MAX / 4);
        Ok(Self {
            id,
            ticket: id.0.clone(),
            request,
            chat,
            policy,
            key,
            plan,
            admitted_at,
            deadline: admitted_at.plus_ms(total_ms),
            bound,
            tokens: most,
        })
    }

    fn account(&self) -> Account<'_> {
        Account {
            id: self.id,
            at: self.admitted_at,
            key: self.key,
            chat: self.chat,
            plan: &self.plan,
            policy_version: self.policy.version,
            held: self.bound,
        }
    }

    /// What it can take, with what earlier attempts took.
    fn amounts(&self, spent: NanoUsd, used: u64) -> Amounts {
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Amounts {
            money: self.bound.unwrap_or_default().plus(spent),
            requests: 1,
            input: signed(self.tokens.input.saturating_add(used)),
            output: signed(self.tokens.output),
        }
    }

    /// The end user it is for.
    fn user(&self) -> Option<&str> {
        self.chat.user.as_deref().or_else(|| self.plan.metadata.get("user").map(String::as_str))
    }

    /// Every model it can reach, as requested and as targeted.
    fn models(&self) -> Vec<String> {
        let targets = self.plan.stops.iter().map(|stop| stop.target.model.clone());
        let mut models: Vec<String> = std::iter::once(self.chat.model.clone()).chain(targets).collect();
        models.dedup();
        models
    }

    /// Requests that agree in this have the same limits above them.
    fn kind(&self, models: &[String]) -> String {
        let limit = self.plan.route.rate_limit;
        let (rpm, tpm) = limit.map_or((None, None), |limit| (limit.rpm, limit.tpm));
        let priced = self.bound.is_some();
        let mut kind = format!("{}\n{}\n{rpm:?}{tpm:?}{priced}", self.key.id, self.plan.route.name);
        for model in models {
            kind.push('\n');
            kind.push_str(model);
        }
        kind
    }

    /// Holds the bound, and what earlier attempts already cost and used on top: from a lease, or in the object.
    async fn hold<W: World>(&self, world: &W, spent: NanoUsd, used: u64) -> Result<Standing, Refusal> {
        let extends = spent > NanoUsd::ZERO;
        let grace_ms = world
            .variable("EDGEHOLD_HOLD_GRACE_MS")
            .and_then(|text| text.parse::<i64>().ok())
            .unwrap_or(HOLD_GRACE_MS);
        let now = world.now();
        let ttl_ms = self.deadline.since_ms(now).max(0).saturating_add(grace_ms);
        let models = self.models();
        let kind = self.kind(&models);
        let amounts = self.amounts(spent, used);
        let asked = Asked {
            customer: &self.key.customer,
            key: &self.key.id,
            kind: &kind,
            user: self.user().is_some(),
            amounts,
        };
        let mut from_lease = None;
        let mut lease = None;
        if extends {
            match world.wallet(|wallet| wallet.extend(&self.ticket, amounts)) {
                Covering::Covered => return Ok(Standing::default()),
                Covering::Ask(taken) => from_lease = taken,
            }
        } else {
            let unsettled = || self.account().unsettled();
            let admitted = world.wallet(|wallet| wallet.admit(now, &asked, &self.ticket, ttl_ms, unsettled));
            if let Some(standing) = admitted {
                world.keep_wallet();
                return Ok(standing);
            }
            lease = world.wallet(|wallet| wallet.wish(now, &asked, || lease_id(world.random())));
        }
        let limit = self.plan.route.rate_limit;
        let command = Command::Hold(Hold {
            ticket: self.ticket.clone(),
            key: self.key.id.clone(),
            bound: self.bound.map(|bound| bound.plus(spent)),
            tokens: amounts.of(Unit::Tokens).unsigned_abs(),
            input: amounts.input.unsigned_abs(),
            extends,
            ttl_ms,
            route: limit.map(|limit| RouteLimit {
                name: self.plan.route.name.clone(),
                rpm: limit.rpm,
                tpm: limit.tpm,
            }),
            user: self.user().map(str::to_owned),
            models,
            explain: true,
            lease,
            from_lease,
            unsettled: self.account().unsettled(),
        });
        let mut tries = 1;
        loop {
            let sent_at = world.now();
            match world.ledger(&self.key.customer, &command).await {
                Ok(Reply::Held(standing)) => {
                    let now = world.now();
                    world.wallet(|wallet| wallet.granted(now, sent_at, &asked, &standing));
                    world.keep_wallet();
                    return Ok(standing);
                }
                Ok(Reply::Refused(denial) | Reply::Denied(denial, _))
                    if denial.recalled() && tries < RECALL_TRIES =>
                {
                    tries += 1;
                    world.sleep(RECALL_WAIT_MS).await;
                }
                Ok(Reply::Refused(denial)) => return Err(self.denied(&denial)),
                Ok(Reply::Denied(denial, standing)) => {
                    let mut refusal = self.denied(&denial);
                    refusal.headers = limit_headers(&standing);
                    return Err(refusal);
                }
                Ok(other) => {
                    return Err(Refusal::unavailable(format!("the object answered a hold with {other:?}")));
                }
                Err(fault) => {
                    // The hold may have been taken and only its answer lost. A new one is given back, since the client is
                    // told that nothing was charged; an extended one is settled with its request.
                    if !extends {
                        let release = Settlement::of(self.ticket.clone(), &[]);
                        world.settle(&self.key.customer, &Command::Settle(release));
                        if let Command::Hold(Hold { lease: Some(ask), .. }) = &command {
                            let now = world.now();
                            world.wallet(|wallet| wallet.unanswered(now, &asked, &ask.id));
                            world.keep_wallet();
                        }
                    }
                    return Err(Refusal::unavailable(fault.0));
                }
            }
        }
    }

    /// The object's refusal in words for the caller.
    fn denied(&self, denial: &Denial) -> Refusal {
        match denial {
            Denial::UnknownKey => authenticate::unknown(),
            Denial::Blocked { level } => authenticate::blocked(level.word()),
            Denial::Expired => authenticate::expired(),
            Denial::Unpriced { level } => Refusal::bad_param(
                "model_not_priced",
                "model",
                format!(
                    "The model '{}' (or a fallback of it) has no price here, and this {} has a budget, so it cannot be admitted. The operator can set one under `prices`.",
                    self.chat.model,
                    level.word()
                ),
            ),
            Denial::TooManyUsers { limit } => Refusal {
                retry_after_ms: Some(60_000),
                ..Refusal::new(
                    429,
                    "rate_limit_error",
                    "too_many_end_users",
                    format!(
                        "The limits of {limit} end users are being counted, and this request names another one. Try again later."
                    ),
                )
            },
            Denial::Rate { level, unit, limit, retry_after_ms, window, models, recalled } => {
                let whose = level.word();
                let which = of_models(models.as_ref());
                let (unit_word, window_word) = (unit.word(), window.word());
                let retry_after_ms = retry_after_ms.or_else(|| recalled.then_some(1_000));
                let message = match (unit, retry_after_ms) {
                    (Unit::Concurrent, _) => format!(
                        "This {whose} may have {limit} requests{which} under way at a time. Try again when one has ended."
                    ),
                    (_, Some(ms)) => format!(
                        "Rate limit of this {whose}: {limit} {unit_word}{which} per {window_word}. Try again in {} s.",
                        (ms + 999) / 1_000
                    ),
                    (Unit::Requests, None) => {
                        format!("This {whose} may make {limit} requests{which} in all, and has made them.")
                    }
                    (_, None) if *window == Window::Total => format!(
                        "This {whose} may use {limit} {unit_word}{which} in all, and this request may use more than what is left."
                    ),
                    (_, None) => format!(
                        "This request may use up to {} tokens; the limit of this {whose} is {limit} {unit_word}{which} per {window_word}. Lower max_tokens.",
                        self.tokens.input.saturating_add(self.tokens.output)
                    ),
                };
                let refusal = if *unit == Unit::Concurrent {
                    let refusal =
                        Refusal::new(429, "rate_limit_error", "concurrency_limit_exceeded", message);
                    Refusal { retry_after_ms: Some(1_000), ..refusal }
                } else {
                    let refusal = Refusal::new(429, "rate_limit_error", "rate_limit_exceeded", message);
                    Refusal { retry_after_ms, ..refusal }
                };
                refusal.with(
                    "limit",
                    json!({"level": whose, "kind": unit_word, "window": window_word, "limit": limit, "models": models}),
                )
            }
            Denial::Budget { level, window, limit, taken, resets_at, least, models, recalled: _ } => {
                let remaining = limit.minus(*taken).max(NanoUsd::ZERO);
                // What would fit must fit at every level, not only at the one that refused.
                let affordable = self.affordable_output(remaining.min(*least)).filter(|tokens| *tokens > 0);
                let needed = self.bound.unwrap_or(NanoUsd::ZERO);
                let hint = match affordable {
                    Some(tokens) => format!(" With max_tokens {tokens} it would fit."),
                    None => String::new(),
                };
                let mut refusal = Refusal::new(
                    402,
                    "insufficient_quota",
                    "insufficient_budget",
                    format!(
                        "The {} budget{} of this {} has ${remaining} left; this request can cost up to ${needed}.{hint}",
                        window.word(),
                        of_models(models.as_ref()),
                        level.word()
                    ),
                )
                .with(
                    "limit",
                    json!({"level": level.word(), "kind": "budget", "window": window.word(),
                           "limit_nanousd": limit, "taken_nanousd": taken, "remaining_nanousd": remaining,
                           "needed_nanousd": needed, "models": models,
                           "resets_at": resets_at.map(Timestamp::to_rfc3339)}),
                );
                if let Some(tokens) = affordable {
                    refusal = refusal.with("affordable_max_tokens", tokens);
                }
                refusal
            }
        }
    }

    /// The largest output cap with which every target fits into `remaining`.
    fn affordable_output(&self, remaining: NanoUsd) -> Option<u64> {
        let bytes = self.request.body.len();
        let each = self.plan.stops.iter().map(|stop| {
            let price = stop.price?;
            // Naming a smaller cap makes the body itself a little longer.
            let tokens = bound::tokens(self.chat, bytes + 40, self.key.default_max_tokens, Some(&price));
            Some(
                price.affordable_output(remaining, tokens.input, held_tier(self.chat))
                    / self.chat.choices.max(1),
            )
        });
        // No answer if one of the targets has no price.
        each.collect::<Option<Vec<u64>>>()?.into_iter().min()
    }

    fn answer_headers(&self, attempts: &[Attempt], standing: Option<&Standing>) -> Headers {
        let mut headers: Headers = Vec::with_capacity(16);
        headers.push(("x-edgehold-request-id", self.id.0.clone()));
        if let Some(stop) = attempts.last().and_then(|attempt| self.plan.stops.get(attempt.stop)) {
            headers.push(("x-edgehold-provider", stop.target.provider.clone()));
            headers.push(("x-edgehold-model", visible(&stop.target.model)));
        }
        headers.push(("x-edgehold-route", visible(&self.plan.route.name)));
        headers.push(("x-edgehold-attempts", attempts.len().to_string()));
        headers.push(("x-edgehold-cache", "off".to_owned()));
        let Some(standing) = standing else { return headers };
        if standing.budget_remaining.is_some() {
            headers.push(("x-edgehold-budget-held-usd", self.bound.unwrap_or_default().to_string()));
        }
        headers.extend(limit_headers(standing));
        headers
    }
}

/// Where a caller stands, as headers.
fn limit_headers(standing: &Standing) -> Headers {
    let mut headers: Headers = Vec::with_capacity(7);
    if let Some(remaining) = standing.budget_remaining {
        headers.push(("x-edgehold-budget-remaining-usd", remaining.to_string()));
    }
    if let Some(rate) = standing.requests {
        headers.push(("x-ratelimit-limit-requests", rate.limit.to_string()));
        headers.push(("x-ratelimit-remaining-requests", rate.remaining.to_string()));
        headers.push(("x-ratelimit-reset-requests", format!("{}ms", rate.reset_ms)));
    }
    if let Some(rate) = standing.tokens {
        headers.push(("x-ratelimit-limit-tokens", rate.limit.to_string()));
        headers.push(("x-ratelimit-remaining-tokens", rate.remaining.to_string()));
        headers.push(("x-ratelimit-reset-tokens", format!("{}ms", rate.reset_ms)));
    }
    headers
}

fn of_models(models: Option<&Pattern>) -> String {
    models.map_or_else(String::new, |models| format!(" for {}", models.0.join(", ")))
}

/// A lease's id, told from a request's at a glance.
fn lease_id(random: [u8; 16]) -> String {
    random.iter().fold("lea_".to_owned(), |id, byte| id + &format!("{byte:02x}"))
}

/// The tier the bound is computed for. `auto` lets the project decide, which may mean the dearest.
fn held_tier(chat: &ChatRequest) -> Option<&str> {
    match chat.service_tier.as_deref() {
        Some("auto") => Some("priority"),
        tier => tier,
    }
}

/// A name fit for a header: names of models and routes are the operator's, and may hold anything.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
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
        chat: case.chat,
        plan: &case.plan,
        default_cap: case.key.default_max_tokens,
        deadline: case.deadline,
    };
    let mut attempts = Vec::with_capacity(1);
    let mut extension = Extension { world, case, held: standing.is_some(), covered: NanoUsd::ZERO };
    let dispatched = dispatch(world, &order, &mut extension, &mut attempts).await;
    let mut headers = case.answer_headers(&attempts, standing.as_ref());
    match dispatched {
        Dispatched::Answer(head) | Dispatched::PassOn(head) => {
            pass_on(world, case, &attempts, head, headers);
        }
        Dispatched::Failed(refusal) => {
            if let Some(operator) = &refusal.operator {
                world.log(&format!("{} {} {}: {operator}", case.id, refusal.status, refusal.code));
            }
            headers.push(("content-type", "application/json".to_owned()));
            if let Some(seconds) = refusal.retry_after_s() {
                headers.push(("retry-after", seconds.to_string()));
            }
            world.respond(refusal.status, headers, AnswerBody::Text(refusal.to_openai_json()));
        }
        Dispatched::Stream(opening) => {
            headers.push(("content-type", "text/event-stream; charset=utf-8".to_owned()));
            headers.push(("cache-control", "no-cache, no-transform".to_owned()));
            stream(world, case, opening, headers, &mut attempts).await;
        }
    }
    if standing.is_some() {
        settle(world, case.key, case.account().settlement(&case.ticket, &attempts));
    }
}

/// A whole answer goes to the client as it came.
fn pass_on<W: World>(world: &W, case: &Case<'_>, attempts: &[Attempt], head: Head, mut headers: Headers) {
    headers.push(("x-edgehold-cost-usd", case.account().total(attempts).to_string()));
    let content_type =
        if head.content_type.is_empty() { "application/json".to_owned() } else { head.content_type };
    headers.push(("content-type", content_type));
    world.respond(head.status, headers, AnswerBody::Upstream);
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
    let (end, meter, rest) = match opening {
        Opening::Untouched(mut meter) => {
            let relayed = world.relay(headers, Relay::Untouched, idle_ms, total_ms).await;
            meter.push(&relayed.bytes);
            meter.finish();
            (relayed.end, meter, Vec::new())
        }
        Opening::Filtered(filter, passed) => {
            let filter = Rc::new(RefCell::new(filter));
            let relay = Relay::Filtered(Rc::clone(&filter), passed);
            let relayed = world.relay(headers, relay, idle_ms, total_ms).await;
            let mut filter = filter.take();
            let rest = filter.finish();
            (relayed.end, filter.meter, rest)
        }
    };
    let (outcome, error) = judge_end(&end, &meter);
    if end != RelayEnd::ClientGone {
        // Of a stream that broke, half an event would keep the client from reading the error behind it.
        let tail = match outcome {
            Outcome::Ok => String::from_utf8(rest).unwrap_or_default(),
            // The provider's own last word, perhaps without its empty line.
            Outcome::UpstreamError if !rest.is_empty() => {
                String::from_utf8(rest).unwrap_or_default() + "\n\n"
            }
            _ => break_event(outcome, case.id),
        };
        world.end_stream(tail);
    }
    let Some(attempt) = attempts.last_mut() else { return };
    record(case, attempt, outcome, error, meter);
    attempt.ended = world.now();
}

fn judge_end(end: &RelayEnd, meter: &Meter) -> (Outcome, Option<String>) {
    match end {
        // A client that leaves after the terminal event has got everything.
        // So does one whose provider forgot to close its stream.
        RelayEnd::ClientGone | RelayEnd::Timeout if meter.done => (Outcome::Ok, None),
        RelayEnd::ClientGone => (Outcome::ClientGone, None),
        RelayEnd::Timeout => (Outcome::Timeout, Some("the stream stood still, or took too long".to_owned())),
        RelayEnd::Broken(message) if !meter.done => (Outcome::Truncated, Some(message.clone())),
        RelayEnd::End | RelayEnd::Broken(_) => match &meter.error {
            Some(message) => (Outcome::UpstreamError, Some(message.clone())),
            None if meter.complete() => (Outcome::Ok, None),
            None => (Outcome::Truncated, Some("the stream ended without its terminal event".to_owned())),
        },
    }
}

/// The last event of a stream that broke: an error the client's SDK raises, never a synthetic `[DONE]`.
fn break_event(outcome: Outcome, id: &RequestId) -> String {
    let (message, code) = match outcome {
        Outcome::Timeout => ("The provider stopped sending.", "stream_timeout"),
        Outcome::UpstreamError => return String::new(),
        _ => ("The provider's stream broke off before its end.", "stream_truncated"),
    };
    let error = json!({"error": {"message": format!("{message} ({id})"), "type": "upstream_error",
                                 "param": null, "code": code}});
    // An unfinished event may stand before it: the empty line ends that one.
    format!("\n\ndata: {error}\n\n")
}

fn record(case: &Case<'_>, attempt: &mut Attempt, outcome: Outcome, error: Option<String>, meter: Meter) {
    attempt.outcome = outcome;
    attempt.error = error;
    match meter.usage {
        Some(usage) => {
            attempt.usage = usage;
            attempt.usage_json = meter.usage_json;
        }
        None => {
            let price = case.plan.stops.get(attempt.stop).and_then(|stop| stop.price.as_ref());
            attempt.estimate(bound::estimated_input(case.chat, price), meter.estimated_output());
        }
    }
    attempt.service_tier = meter.service_tier;
    attempt.upstream_id = meter.id.or(attempt.upstream_id.take());
}
