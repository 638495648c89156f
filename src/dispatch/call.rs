//! One attempt's call: the request in the provider's words, and how its answer is to be read.

use super::Order;
use crate::{
    admit::bound,
    dialect::{
        self, Dialect, Written,
        asked::LONG_CONTEXT_BETA,
        openai_chat::request::{Cap, ChatRequest, Edits},
        passed::{self, Changes},
        task::{self, Task},
    },
    model::time::Timestamp,
    ports::{Credential, Outgoing, OutgoingBody, Scheme},
    provider::{
        Auth,
        endpoint::{EmbedFormat, Endpoint, Format},
        mock,
    },
    refusal::Refusal,
    route::Stop,
    surface::Surface,
};

/// A call that is ready to be made.
pub(super) struct Call {
    pub(super) outgoing: Outgoing,
    /// How the provider's answer is written.
    pub(super) format: Format,
    /// Whether its answer must be written anew for the client.
    pub(super) translated: bool,
    /// What of the client's request is not in it.
    pub(super) dropped: Vec<String>,
}

/// Why a request is not sent to a provider.
pub(super) struct Unfit(pub(super) Refusal);

pub(super) fn call(order: &Order<'_>, stop: &Stop<'_>, now: Timestamp, left_ms: u64) -> Result<Call, Unfit> {
    let chat = order.chat;
    let endpoint = match &chat.task {
        Task::Converse => stop.kind.chat(chat.dialect),
        task => stop.kind.endpoint_for(task.operation(), chat.dialect),
    };
    let Some(endpoint) = endpoint else { return Err(Unfit(unable(stop, &chat.task))) };
    let format = endpoint.dialect;
    let spoken = task::dialect_of(format);
    let translated = spoken != chat.dialect || format.is_providers_own() || !order.surface.passes();
    let Request { body, dropped, asked } = match &chat.task {
        Task::Converse => request(order, stop, endpoint, translated)?,
        task => other_request(order, stop, task, endpoint, translated)?,
    };
    let is_mock = stop.kind.name == mock::MOCK.name;
    let body = if is_mock {
        let body = body.as_deref().unwrap_or(&order.request.body);
        let script =
            mock::answer(body, stop.provider.headers.get("x-mock").map(String::as_str), now.0 / 1_000);
        OutgoingBody::Played(serde_json::to_string(&script).unwrap_or_default())
    } else {
        body.map_or(OutgoingBody::AsReceived, OutgoingBody::Edited)
    };
    let path = path(stop, endpoint, chat);
    let timeouts = order.plan.route.timeouts;
    let outgoing = Outgoing {
        url: format!("{}{path}", stop.provider.base_url),
        headers: headers(order, stop, spoken, translated, asked),
        credential: credential(stop),
        body,
        timeout_ms: if chat.stream { timeouts.headers_ms.min(left_ms) } else { left_ms },
        stream: chat.stream,
        // What the client asked for is what comes, so nothing has to be taken out. (A played stream is not the network's: the
        // runtime cannot split it. One that others may join must be seen as it passes.)
        untouched: !translated
            && (chat.include_usage || !stop.kind.stream_usage)
            && !is_mock
            && order.request.idempotency_key.is_none(),
    };
    Ok(Call { outgoing, format, translated, dropped })
}

fn path(stop: &Stop<'_>, endpoint: &Endpoint, chat: &ChatRequest) -> String {
    let model = stop.target.model.as_str();
    let path = endpoint.path_of(model, chat.stream, &stop.provider.settings);
    match (&chat.task, endpoint.dialect) {
        (Task::Embed(request), Format::Embed(EmbedFormat::Gemini)) => {
            let order = dialect::Order { kind: stop.kind.name, model, output_cap: None };
            path.replace("{action}", dialect::gemini::embed::Form::for_order(request, &order).action())
        }
        _ => path,
    }
}

/// More names than these do not stand in a refusal.
const NAMES_TOLD_MAX: usize = 10;

/// Whether a request may go without what the provider's format cannot say.
fn fit(order: &Order<'_>, stop: &Stop<'_>, dropped: &[String], refused: &[String]) -> Result<(), Unfit> {
    let unfit = |names: &[String], why: &str| {
        let param = names.first().and_then(|name| name.split(' ').next()).unwrap_or_default();
        Unfit(Refusal::bad_param(
            "unsupported_parameter",
            param,
            format!(
                "The model '{}' at '{}' cannot be given {}: {why} Leave it out, or ask another model.",
                stop.target.model,
                stop.target.provider,
                names.iter().take(NAMES_TOLD_MAX).cloned().collect::<Vec<_>>().join(", ")
            ),
        ))
    };
    if !refused.is_empty() {
        return Err(unfit(refused, "without it another question would be answered."));
    }
    if !dropped.is_empty() && order.plan.route.strict_translation {
        return Err(unfit(dropped, "the route does not allow it to be left out."));
    }
    Ok(())
}

struct Request {
    /// `None`: the client's own bytes.
    body: Option<Vec<u8>>,
    dropped: Vec<String>,
    /// Headers that what is written needs.
    asked: Vec<(&'static str, String)>,
}

/// What of a body depends on where it is sent.
fn changes<'a>(stop: &'a Stop<'_>, endpoint: &Endpoint) -> Changes<'a> {
    let version = stop.kind.anthropic_version;
    let without_model = version.is_some() && endpoint.names_model();
    Changes { model: &stop.target.model, version, without_model, ..Changes::default() }
}

fn request(
    order: &Order<'_>,
    stop: &Stop<'_>,
    endpoint: &Endpoint,
    translated: bool,
) -> Result<Request, Unfit> {
    let chat = order.chat;
    let spoken = task::dialect_of(endpoint.dialect);
    let tokens = bound::tokens(chat, stop.reader(), order.caps);
    let field = stop.provider.output_cap_field.unwrap_or(stop.kind.output_cap_field);
    let edits = Edits {
        model: Some(&stop.target.model),
        ask_usage: stop.kind.stream_usage,
        cap: tokens.cap_to_send.map(|tokens| Cap { field, tokens }),
        tier: stop.kind.default_tier,
    };
    let body = &order.request.body;
    if !translated {
        let edited = match spoken {
            Dialect::OpenAiChat => chat.edited(body, &edits),
            _ => {
                // Where the format demands a cap, the one that is held stands in.
                let demanded = (spoken == Dialect::Anthropic && chat.output_cap.is_none())
                    .then(|| tokens.output / chat.choices.max(1));
                let changes = Changes {
                    cap: tokens.cap_to_send.or(demanded),
                    tier: stop.kind.default_tier,
                    ..changes(stop, endpoint)
                };
                passed::edited(spoken, body, changes)
            }
        };
        return Ok(Request { body: edited, dropped: Vec::new(), asked: Vec::new() });
    }
    let read;
    let canonical = match &chat.canonical {
        Some(canonical) => canonical.as_ref(),
        None => {
            read = dialect::read_request(chat.dialect, body, order.surface.path()).map_err(Unfit)?;
            &read
        }
    };
    if let Some(member) = stateful(canonical) {
        let provider = &stop.target.provider;
        return Err(Unfit(Refusal::bad_param(
            "unsupported_parameter",
            member,
            format!(
                "'{member}' refers to what is stored at one provider, and this request goes to '{provider}', which speaks another format. {}",
                instead_of(member)
            ),
        )));
    }
    let pieces = canonical
        .turns
        .iter()
        .fold(0, |sum: usize, turn| sum.saturating_add(turn.parts.len()).saturating_add(1));
    if pieces > TRANSLATED_PIECES_MAX {
        return Err(Unfit(Refusal::bad_request(
            "invalid_value",
            format!(
                "The conversation has {pieces} messages and parts; more than {TRANSLATED_PIECES_MAX} are not translated for '{}', which speaks another format. Join some of them.",
                stop.target.provider
            ),
        )));
    }
    let cap = tokens.cap_to_send.or(chat.output_cap);
    // What is held is said where it may be demanded. Chat demands none, and servers of open models refuse one that does not fit
    // into the context beside the prompt: often the model's most is the whole context
    // (<https://github.com/cloudflare/cloudflare-docs/issues/29731>, read 2026-11-21).
    let held = || tokens.output / chat.choices.max(1);
    let output_cap = cap.or_else(|| (spoken != Dialect::OpenAiChat).then(held));
    let target = dialect::Order { kind: stop.kind.name, model: &stop.target.model, output_cap };
    let Written { body, dropped, refused } = dialect::write_request(spoken, canonical, &target);
    fit(order, stop, &dropped, &refused)?;
    let body = if spoken == Dialect::OpenAiChat {
        // Cap, usage of streams and tier, as in a caller's own bytes.
        let own = ChatRequest::decode(&body).map_err(Unfit)?;
        own.edited(&body, &edits).unwrap_or(body)
    } else if stop.kind.anthropic_version.is_some() {
        passed::edited(spoken, &body, changes(stop, endpoint)).unwrap_or(body)
    } else {
        body
    };
    let mut asked = match spoken {
        Dialect::Anthropic => dialect::anthropic::headers(canonical),
        _ => Vec::new(),
    };
    asked.retain(|(name, _)| *name != "anthropic-version" || stop.kind.anthropic_version.is_none());
    Ok(Request { body: Some(body), dropped, asked })
}

/// What to send instead of a member that only one provider understands, who stores what it names.
fn instead_of(member: &str) -> &'static str {
    match member {
        "input" => {
            "Its items of the type 'item_reference' name earlier answers by their ids; send those answers themselves. Vercel's AI SDK does so with providerOptions: { openai: { store: false } }, which must be set on every call."
        }
        "previous_response_id" | "conversation" => {
            "Leave it out, and send the earlier messages, calls and results in 'input', with \"store\": false."
        }
        _ => "Leave it out.",
    }
}

/// A request for vectors, a ranking or a count.
fn other_request(
    order: &Order<'_>,
    stop: &Stop<'_>,
    task: &Task,
    endpoint: &Endpoint,
    translated: bool,
) -> Result<Request, Unfit> {
    let body = &order.request.body;
    let model = stop.target.model.as_str();
    let format = endpoint.dialect;
    let changes = changes(stop, endpoint);
    if !translated {
        let edited = match (task, format) {
            // The path has the model, but each request of a batch names it again.
            (Task::Embed(_), Format::Embed(EmbedFormat::Gemini)) => None,
            // The conversation in here names the model again.
            (Task::Count, Format::CountTokens(Dialect::Gemini)) if names_model_again(body) => None,
            (Task::Count, Format::CountTokens(dialect)) => Some(passed::edited(dialect, body, changes)),
            _ => Some(passed::with_model(body, model)),
        };
        if let Some(body) = edited {
            return Ok(Request { body, dropped: Vec::new(), asked: Vec::new() });
        }
    }
    let target = dialect::Order { kind: stop.kind.name, model, output_cap: None };
    let Some(Written { body, dropped, refused }) =
        task::write(task, order.chat.canonical.as_deref(), format, &target)
    else {
        return Err(Unfit(unable(stop, task)));
    };
    fit(order, stop, &dropped, &refused)?;
    let body = match format {
        Format::CountTokens(Dialect::Anthropic) if stop.kind.anthropic_version.is_some() => {
            passed::edited(Dialect::Anthropic, &body, changes).unwrap_or(body)
        }
        _ => body,
    };
    Ok(Request { body: Some(body), dropped, asked: Vec::new() })
}

/// Whether what is to be counted is a whole request of Gemini's within the request.
fn names_model_again(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| text.contains("generateContentRequest"))
}

fn unable(stop: &Stop<'_>, task: &Task) -> Refusal {
    let what = match task {
        Task::Converse => "continue a conversation",
        Task::Embed(_) => "make embeddings",
        Task::Rerank(_) => "rank documents",
        Task::Count => "count tokens",
    };
    Refusal::bad_param(
        "unsupported_operation",
        "model",
        format!(
            "The provider '{}' cannot be asked to {what} through this gateway. Ask for another model.",
            stop.target.provider
        ),
    )
}

/// A conversation of more messages and parts than these is not translated: some dialects look for a call among all others,
/// and no client should be able to keep an isolate busy with that.
const TRANSLATED_PIECES_MAX: usize = 10_000;

/// A member that makes a request depend on what its provider has stored.
fn stateful(request: &crate::model::request::Request) -> Option<&'static str> {
    match request.dialect {
        Dialect::OpenAiResponses => dialect::openai_responses::request::stateful(request),
        Dialect::Gemini => request.extras.contains_key("cachedContent").then_some("cachedContent"),
        _ => None,
    }
}

/// The configured headers win over the kind's own. A client that speaks to a provider in its own dialect says which version
/// of it, and which features.
fn headers(
    order: &Order<'_>,
    stop: &Stop<'_>,
    spoken: Dialect,
    translated: bool,
    asked: Vec<(&'static str, String)>,
) -> Vec<(String, String)> {
    let configured = &stop.provider.headers;
    let mut headers: Vec<(String, String)> = Vec::with_capacity(stop.kind.headers.len() + configured.len());
    let said = |name: &str| order.said.iter().find(|(said, _)| *said == name).map(|(_, value)| value.clone());
    for (name, value) in stop.kind.headers {
        if configured.contains_key(*name) || asked.iter().any(|(asked, _)| asked == name) {
            continue;
        }
        let said = if translated { None } else { said(name) };
        headers.push(((*name).to_owned(), said.unwrap_or_else(|| (*value).to_owned())));
    }
    if spoken == Dialect::Anthropic && !translated && !configured.contains_key("anthropic-beta") {
        let betas: Vec<String> = said("anthropic-beta")
            .iter()
            .flat_map(|betas| betas.split(','))
            .map(str::trim)
            .filter(|beta| !beta.is_empty() && !beta.to_ascii_lowercase().starts_with(LONG_CONTEXT_BETA))
            .map(str::to_owned)
            .collect();
        if !betas.is_empty() {
            headers.push(("anthropic-beta".to_owned(), betas.join(",")));
        }
    }
    let asked = asked.into_iter().filter(|(name, _)| !configured.contains_key(*name));
    headers.extend(asked.map(|(name, value)| (name.to_owned(), value)));
    headers.extend(configured.iter().map(|(name, value)| (name.clone(), value.clone())));
    headers
}

fn credential(stop: &Stop<'_>) -> Option<Credential> {
    if let Some(name) = stop.kind.binding() {
        let (header, prefix) = (String::new(), String::new());
        return Some(Credential { header, prefix, secret: name.to_owned(), scheme: Scheme::Binding });
    }
    let secret = stop.provider.secret.clone()?;
    let (header, prefix, scheme) = match stop.kind.auth {
        Auth::Header { name, prefix } => (name, prefix, Scheme::Header),
        Auth::Binding { .. } => return None,
        Auth::AwsSigV4 { service } => {
            let region = stop.provider.settings.get("region").cloned().unwrap_or_default();
            ("authorization", "", Scheme::AwsSigV4 { region, service: service.to_owned() })
        }
        Auth::GoogleServiceAccount { scope } => {
            ("authorization", "Bearer ", Scheme::GoogleServiceAccount { scope: scope.to_owned() })
        }
    };
    Some(Credential { header: header.to_owned(), prefix: prefix.to_owned(), secret, scheme })
}

/// What the client is told when the secret or the binding is not there.
pub(super) fn not_set(provider: &str, stop: Option<&Stop<'_>>) -> String {
    match stop.and_then(|stop| stop.kind.binding()) {
        Some(name) => format!(
            "The provider '{provider}' is asked through the binding {name}, which this gateway does not have. The operator must add it to wrangler.toml: [ai] binding = \"{name}\"."
        ),
        None => {
            format!(
                "The provider '{provider}' has no credential in this gateway that works. The operator must set it."
            )
        }
    }
}

/// Headers of the client's that a provider of its dialect is told, looked up only where there may be some.
pub const SAID: &[&str] = &["anthropic-version", "anthropic-beta"];

/// What the client said in these.
pub fn said(surface: &Surface, header: &dyn Fn(&str) -> Option<String>) -> Vec<(&'static str, String)> {
    if *surface != Surface::Messages {
        return Vec::new();
    }
    SAID.iter()
        .filter_map(|name| Some((*name, header(name)?)))
        .filter(|(_, value)| value.len() <= 512 && value.bytes().all(|byte| (b' '..0x7F).contains(&byte)))
        .collect()
}
