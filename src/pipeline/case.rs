//! One request on its way: what the later stages need of it, and its admission.

use crate::{
    admit::{
        bound::{self, Caps, TokenBound},
        limit::{Amounts, Unit, Window},
        wallet::{Asked, Extension as Covering},
        wire::{
            Command, Hold, KeyRecord, LeaseAsk, Refusal as Denial, Reply, RouteLimit, Settlement, Standing,
        },
    },
    authenticate,
    config::policy::{Pattern, Policy},
    dialect::{Dialect, Show, asked, json, openai_chat::request::ChatRequest, task::Task},
    dispatch::Attempt,
    model::{id::RequestId, money::NanoUsd, time::Timestamp},
    ports::{ClientRequest, Headers, World, aside},
    refusal::Refusal,
    route::{self, Plan, Stop},
    settle::Account,
    surface::Surface,
};
use serde_json::json;

/// A hold outlives the last moment its request can end by this, so that a settlement under way still finds it.
const HOLD_GRACE_MS: i64 = 60_000;
/// How often, and after which pause, a request is put again that would fit once isolates have given back what they do not
/// need: together longer than the second that isolates may take for their next report.
const RECALL_TRIES: u32 = 7;
const RECALL_WAIT_MS: u64 = 250;

/// An admitted request: everything the later stages need, in one place.
pub(super) struct Case<'a> {
    pub(super) id: &'a RequestId,
    pub(super) ticket: String,
    pub(super) request: &'a ClientRequest,
    pub(super) surface: &'a Surface,
    pub(super) chat: &'a ChatRequest,
    pub(super) policy: &'a Policy,
    pub(super) key: &'a KeyRecord,
    pub(super) plan: Plan<'a>,
    pub(super) admitted_at: Timestamp,
    pub(super) deadline: Timestamp,
    /// The dearest of all targets; `None` if one of them has no price.
    pub(super) bound: Option<NanoUsd>,
    /// Of each target, in the order of the plan.
    pub(super) bounds: Vec<Option<NanoUsd>>,
    pub(super) tokens: TokenBound,
    pub(super) caps: Caps,
}

/// Why the object does not let a request through, and where the caller stands.
struct Denied {
    denial: Denial,
    standing: Option<Standing>,
}

/// How often an output cap is lowered to what the budget can pay for: other requests move it meanwhile.
const CLAMPS_MAX: u32 = 3;

impl<'a> Case<'a> {
    pub(super) fn new<W: World>(
        world: &W,
        id: &'a RequestId,
        request: &'a ClientRequest,
        surface: &'a Surface,
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
        if let Some(stop) = plan
            .stops
            .iter()
            .find(|stop| chat.paints && stop.price.is_some_and(|price| !price.knows_pictures()))
        {
            let name = if chat.dialect == Dialect::OpenAiChat { "modalities" } else { asked::MODALITIES };
            return Err(Refusal::bad_param(
                "unsupported_parameter",
                name,
                format!(
                    "The price of {}/{} says nothing of pictures in an answer. Leave '{name}' out, or ask a model that makes pictures.",
                    stop.target.provider, stop.target.model
                ),
            ));
        }
        if let Some((stop, tier)) =
            plan.stops.iter().find_map(|stop| Some((stop, uncovered_tier(stop, chat)?)))
        {
            return Err(Refusal::bad_param(
                "service_tier_not_priced",
                "service_tier",
                format!(
                    "The operator's price for {}/{} says nothing of the service tier '{tier}', which may cost more. Leave service_tier out, or send 'default' or 'flex'.",
                    stop.target.provider, stop.target.model
                ),
            ));
        }
        // A chat client's mark for an hour's cache means something only where it is translated: it is looked for there alone.
        let hour_cache = chat.dialect == Dialect::OpenAiChat
            && plan.stops.iter().any(|stop| {
                stop.kind.chat(Dialect::OpenAiChat).and_then(|endpoint| endpoint.chat())
                    != Some(Dialect::OpenAiChat)
            })
            && json::may_name_an_hour(&request.body);
        let admitted_at = world.now();
        let total_ms = i64::try_from(plan.route.timeouts.total_ms).unwrap_or(i64::MAX / 4);
        let mut case = Self {
            id,
            ticket: id.0.clone(),
            request,
            surface,
            chat,
            policy,
            key,
            plan,
            admitted_at,
            deadline: admitted_at.plus_ms(total_ms),
            bound: None,
            bounds: Vec::new(),
            tokens: TokenBound::default(),
            caps: Caps { default: key.default_max_tokens, clamp: None, hour_cache },
        };
        case.bind();
        Ok(case)
    }

    /// Sets the bound: the dearest of all targets.
    fn bind(&mut self) {
        let mut most = TokenBound::default();
        let mut bound = Some(NanoUsd::ZERO);
        self.bounds.clear();
        for stop in &self.plan.stops {
            let tokens = bound::tokens(self.chat, stop.reader(), self.caps);
            most = most.max(tokens);
            let dearest = stop.price.map(|price| {
                let units = match &self.chat.task {
                    Task::Rerank(asked) => price.cost_of_search_units(asked.search_units_max()),
                    _ => NanoUsd::ZERO,
                };
                price.upper_bound(&tokens.extent(), held_tier(self.chat)).plus(units)
            });
            self.bounds.push(dearest);
            bound = bound.zip(dearest).map(|(a, b)| a.max(b));
        }
        (self.tokens, self.bound) = (most, bound);
    }

    /// The first hold; on a route with `clamp`, with as low an output cap as the budget asks for.
    pub(super) async fn admit<W: World>(&mut self, world: &W) -> Result<Standing, Refusal> {
        let mut clamps = 0;
        loop {
            let denied = match self.ask(world, NanoUsd::ZERO, 0).await? {
                Ok(standing) => return Ok(standing),
                Err(denied) => denied,
            };
            let affordable =
                self.affordable(&denied.denial).filter(|_| self.plan.route.clamp && clamps < CLAMPS_MAX);
            let Some(cap) = affordable else { return Err(self.refused(&denied)) };
            clamps += 1;
            self.caps.clamp = Some(cap);
            self.bind();
        }
    }

    /// What a translated answer is written for.
    pub(super) fn show(&self) -> Show {
        let created = self.admitted_at.0 / 1_000;
        self.surface.show(&self.id.0, self.chat, created)
    }

    pub(super) fn account(&self) -> Account<'_> {
        Account {
            id: self.id,
            at: self.admitted_at,
            key: self.key,
            chat: self.chat,
            plan: &self.plan,
            policy_version: self.policy.version,
            bounds: &self.bounds,
            estimates: self.plan.route.estimate_unreported,
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
    pub(super) async fn hold<W: World>(
        &self,
        world: &W,
        spent: NanoUsd,
        used: u64,
    ) -> Result<Standing, Refusal> {
        self.ask(world, spent, used).await?.map_err(|denied| self.refused(&denied))
    }

    /// The same with the object's refusal as it came.
    async fn ask<W: World>(
        &self,
        world: &W,
        spent: NanoUsd,
        used: u64,
    ) -> Result<Result<Standing, Denied>, Refusal> {
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
        let (mut from_lease, mut lease) = (None, None);
        if extends {
            match world.wallet(|wallet| wallet.extend(&self.ticket, amounts)) {
                Covering::Covered => return Ok(Ok(Standing::default())),
                Covering::Ask(taken) => from_lease = taken,
            }
        } else {
            let unsettled = || self.account().unsettled();
            let admitted = world.wallet(|wallet| wallet.admit(now, &asked, &self.ticket, ttl_ms, unsettled));
            if let Some(standing) = admitted {
                world.keep_wallet();
                return Ok(Ok(standing));
            }
            lease = world.wallet(|wallet| wallet.wish(now, &asked, || lease_id(world.random())));
        }
        // Seldom on a busy key: what it needs stays out of the future every request polls.
        aside(self.ask_object(world, &asked, spent, ttl_ms, models, (lease, from_lease))).await
    }

    /// Asks the object for a hold, and for a lease if one is wished for.
    async fn ask_object<W: World>(
        &self,
        world: &W,
        asked: &Asked<'_>,
        spent: NanoUsd,
        ttl_ms: i64,
        models: Vec<String>,
        (lease, from_lease): (Option<LeaseAsk>, Option<(String, Amounts)>),
    ) -> Result<Result<Standing, Denied>, Refusal> {
        let extends = spent > NanoUsd::ZERO;
        let amounts = asked.amounts;
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
                    world.wallet(|wallet| wallet.granted(now, sent_at, asked, &standing));
                    world.keep_wallet();
                    return Ok(Ok(standing));
                }
                Ok(Reply::Refused(denial) | Reply::Denied(denial, _))
                    if denial.recalled() && tries < RECALL_TRIES =>
                {
                    tries += 1;
                    world.sleep(RECALL_WAIT_MS).await;
                }
                Ok(Reply::Refused(denial)) => return Ok(Err(Denied { denial, standing: None })),
                Ok(Reply::Denied(denial, standing)) => {
                    return Ok(Err(Denied { denial, standing: Some(standing) }));
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
                            world.wallet(|wallet| wallet.unanswered(now, asked, &ask.id));
                            world.keep_wallet();
                        }
                    }
                    return Err(Refusal::unavailable(fault.0));
                }
            }
        }
    }

    /// The object's refusal, with where the caller stands.
    fn refused(&self, denied: &Denied) -> Refusal {
        let mut refusal = self.denied(&denied.denial);
        refusal.headers = denied.standing.as_ref().map(limit_headers).unwrap_or_default();
        refusal
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
            Denial::Budget { level, window, limit, taken, resets_at, models, .. } => {
                let remaining = limit.minus(*taken).max(NanoUsd::ZERO);
                let affordable = self.affordable(denial);
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

    /// The largest output cap with which every target fits into what is left, if that is what was refused and at least a
    /// token does.
    fn affordable(&self, denial: &Denial) -> Option<u64> {
        let Denial::Budget { limit, taken, least, .. } = denial else { return None };
        // What would fit must fit at every level, not only at the one that refused.
        let remaining = limit.minus(*taken).max(NanoUsd::ZERO).min(*least);
        let each = self.plan.stops.iter().map(|stop| {
            let price = stop.price?;
            let extent = bound::tokens(self.chat, stop.reader(), self.caps).extent();
            let output = price.affordable_output(remaining, &extent, held_tier(self.chat));
            Some(bound::cap_within(self.chat, output))
        });
        // No answer if one of the targets has no price.
        each.collect::<Option<Vec<u64>>>()?.into_iter().min().filter(|tokens| *tokens > 0)
    }

    /// The cap that stands in the request to this target because the budget pays for no more.
    fn clamped(&self, stop: &Stop<'_>) -> Option<u64> {
        let sent = bound::tokens(self.chat, stop.reader(), self.caps).cap_to_send;
        self.caps.clamp.filter(|clamp| sent == Some(*clamp) && self.chat.output_cap != sent)
    }

    pub(super) fn answer_headers(&self, attempts: &[Attempt], standing: Option<&Standing>) -> Headers {
        let mut headers: Headers = Vec::with_capacity(16);
        headers.push(("x-edgehold-request-id", self.id.0.clone()));
        if let Some(stop) = attempts.last().and_then(|attempt| self.plan.stops.get(attempt.stop)) {
            headers.push(("x-edgehold-provider", stop.target.provider.clone()));
            headers.push(("x-edgehold-model", visible(&stop.target.model)));
            if let Some(names) = attempts.last().and_then(|attempt| dropped(&attempt.dropped)) {
                headers.push(("x-edgehold-dropped", names));
            }
            if let Some(cap) = self.clamped(stop) {
                headers.push(("x-edgehold-clamped-max-tokens", cap.to_string()));
            }
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

/// More names than these are counted, not told: a request can have any number of members.
const DROPPED_NAMES_MAX: usize = 20;
const DROPPED_NAME_CHARS_MAX: usize = 80;

/// What the provider did not get, for a header.
fn dropped(names: &[String]) -> Option<String> {
    let told: Vec<String> = names
        .iter()
        .take(DROPPED_NAMES_MAX)
        .map(|name| visible(&name.chars().take(DROPPED_NAME_CHARS_MAX).collect::<String>()))
        .collect();
    let more = names.len().saturating_sub(told.len());
    match (told.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(told.join(", ")),
        (false, more) => Some(format!("{}, and {more} more", told.join(", "))),
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

/// A tier the request names that this target's price does not cover. Where no tier is sent for callers who name none, `auto`
/// says no more than they do.
fn uncovered_tier<'a>(stop: &Stop<'_>, chat: &'a ChatRequest) -> Option<&'a str> {
    let tier = chat.service_tier.as_deref();
    let named = tier.filter(|tier| *tier != "auto" || stop.kind.default_tier.is_some());
    named.filter(|_| stop.price.is_some_and(|price| !price.covers_tier(named)))
}

/// A name fit for a header: names of models and routes are the operator's, and may hold anything.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}
