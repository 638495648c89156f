//! One attempt's call: the request in the provider's words, and how its answer is to be read.

use super::Order;
use crate::{
    admit::bound,
    dialect::{
        self, Dialect, Written,
        openai_chat::request::{Cap, ChatRequest, Edits},
        passed::{self, Changes},
    },
    model::time::Timestamp,
    ports::{Credential, Outgoing, OutgoingBody, Scheme},
    provider::{Auth, mock},
    refusal::Refusal,
    route::Stop,
    surface::Surface,
};

/// A call that is ready to be made.
pub(super) struct Call {
    pub(super) outgoing: Outgoing,
    /// What the provider speaks.
    pub(super) dialect: Dialect,
    /// Whether its answer must be written anew for the client.
    pub(super) translated: bool,
    /// What of the client's request is not in it.
    pub(super) dropped: Vec<String>,
}

/// Why a request is not sent to a provider.
pub(super) struct Unfit(pub(super) Refusal);

/// A feature of Anthropic's that lets the model read more than its price row says, so more than is held.
const LONG_CONTEXT_BETA: &str = "context-1m";

pub(super) fn call(order: &Order<'_>, stop: &Stop<'_>, now: Timestamp, left_ms: u64) -> Result<Call, Unfit> {
    let chat = order.chat;
    let endpoint = stop.kind.chat(chat.dialect);
    let spoken = endpoint.and_then(|endpoint| endpoint.chat()).unwrap_or(Dialect::OpenAiChat);
    let translated = spoken != chat.dialect || !order.surface.passes();
    let Request { body, dropped, asked } = request(order, stop, spoken, translated)?;
    let is_mock = stop.kind.name == mock::MOCK.name;
    let body = if is_mock {
        let body = body.as_deref().unwrap_or(&order.request.body);
        let script =
            mock::answer(body, stop.provider.headers.get("x-mock").map(String::as_str), now.0 / 1_000);
        OutgoingBody::Played(serde_json::to_string(&script).unwrap_or_default())
    } else {
        body.map_or(OutgoingBody::AsReceived, OutgoingBody::Edited)
    };
    let path = endpoint
        .map(|endpoint| endpoint.path_of(&stop.target.model, chat.stream, &stop.provider.settings))
        .unwrap_or_default();
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
    Ok(Call { outgoing, dialect: spoken, translated, dropped })
}

struct Request {
    /// `None`: the client's own bytes.
    body: Option<Vec<u8>>,
    dropped: Vec<String>,
    /// Headers that what is written needs.
    asked: Vec<(&'static str, String)>,
}

fn request(order: &Order<'_>, stop: &Stop<'_>, spoken: Dialect, translated: bool) -> Result<Request, Unfit> {
    let chat = order.chat;
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
                    model: &stop.target.model,
                    cap: tokens.cap_to_send.or(demanded),
                    tier: stop.kind.default_tier,
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
                "'{member}' refers to what is stored at one provider, and this request goes to '{provider}', which speaks another format. Send the conversation itself."
            ),
        )));
    }
    let cap = tokens.cap_to_send.or(chat.output_cap).unwrap_or(tokens.output / chat.choices.max(1));
    let target = dialect::Order { kind: stop.kind.name, model: &stop.target.model, output_cap: Some(cap) };
    let Written { body, dropped, refused } = dialect::write_request(spoken, canonical, &target);
    let unfit = |names: &[String], what: &str| {
        let name = names.first().map_or("", String::as_str);
        let param = name.split(' ').next().unwrap_or_default();
        Unfit(Refusal::bad_param(
            "unsupported_parameter",
            param,
            format!(
                "The model '{}' at '{}' cannot be given {}: {what}",
                stop.target.model,
                stop.target.provider,
                names.join(", ")
            ),
        ))
    };
    if !refused.is_empty() {
        return Err(unfit(
            &refused,
            "without it another question would be answered. Leave it out, or ask another model.",
        ));
    }
    if !dropped.is_empty() && order.plan.route.strict_translation {
        return Err(unfit(
            &dropped,
            "the route does not allow leaving it out. Leave it out, or ask another model.",
        ));
    }
    let body = if spoken == Dialect::OpenAiChat {
        // Cap, usage of streams and tier, as in a caller's own bytes.
        let own = ChatRequest::decode(&body).map_err(Unfit)?;
        own.edited(&body, &edits).unwrap_or(body)
    } else {
        body
    };
    let asked = match spoken {
        Dialect::Anthropic => dialect::anthropic::headers(canonical),
        _ => Vec::new(),
    };
    Ok(Request { body: Some(body), dropped, asked })
}

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
            .filter(|beta| !beta.is_empty() && !beta.starts_with(LONG_CONTEXT_BETA))
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
    let secret = stop.provider.secret.clone()?;
    let (header, prefix, scheme) = match stop.kind.auth {
        Auth::Header { name, prefix } => (name, prefix, Scheme::Header),
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
