//! Whom to ask, in what order: policy and request → plan.

use crate::{
    admit::{bound::Reader, wire::KeyRecord},
    config::policy::{Condition, Policy, ProviderPolicy, Route, Target},
    dialect::openai_chat::request::ChatRequest,
    ports::ClientRequest,
    provider::{self, Provider},
    refusal::Refusal,
    settle::price::{self, Price},
};
use std::collections::BTreeMap;

/// What the plan was made from, and what it is.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The route that matched.
    pub route: &'a Route,
    /// Whom to ask, first choice first. Never empty.
    pub stops: Vec<Stop<'a>>,
    /// Key's, header's and body's metadata, in this order of precedence.
    pub metadata: BTreeMap<String, String>,
}

/// One target with all that is known of it.
#[derive(Clone, Debug)]
pub struct Stop<'a> {
    /// Provider and model.
    pub target: Target,
    /// How to reach it.
    pub provider: &'a ProviderPolicy,
    /// Its kind.
    pub kind: &'static Provider,
    /// What it costs, if known.
    pub price: Option<Price>,
}

impl Stop<'_> {
    /// As the bound sees it.
    #[must_use]
    pub fn reader(&self) -> Reader<'_> {
        Reader { kind: self.kind.name, model: &self.target.model, price: self.price.as_ref() }
    }
}

/// The caller's metadata header as a map.
///
/// # Errors
/// 400 if it is not a JSON object of texts.
pub fn header_metadata(text: &str) -> Result<BTreeMap<String, String>, Refusal> {
    let expected = || {
        Refusal::bad_param(
            "invalid_metadata",
            "x-edgehold-metadata",
            "The header x-edgehold-metadata must be a JSON object whose values are strings, such as {\"task\":\"summarize\"}, at most 4096 bytes.",
        )
    };
    if text.trim().is_empty() {
        return Ok(BTreeMap::new());
    }
    if text.len() > 4_096 {
        return Err(expected());
    }
    let members: BTreeMap<String, serde_json::Value> = serde_json::from_str(text).map_err(|_| expected())?;
    members
        .into_iter()
        .map(|(name, value)| match value {
            serde_json::Value::String(text) => Ok((name, text)),
            value @ (serde_json::Value::Bool(_) | serde_json::Value::Number(_)) => {
                Ok((name, value.to_string()))
            }
            _ => Err(expected()),
        })
        .collect()
}

/// Makes the plan.
///
/// # Errors
/// 403 if the key may not ask for the model, or the route needs guardrails that cannot run; 404 if no route matches or
/// the model is not known.
pub fn plan<'a>(
    policy: &'a Policy,
    key: &KeyRecord,
    request: &ClientRequest,
    chat: &ChatRequest,
    header: &dyn Fn(&str) -> Option<String>,
) -> Result<Plan<'a>, Refusal> {
    let mut metadata = chat.metadata.clone();
    metadata.extend(header_metadata(&request.metadata)?);
    metadata.extend(key.metadata.clone());

    if key.models.as_ref().is_some_and(|models| !models.matches(&chat.model)) {
        return Err(Refusal::new(
            403,
            "permission_error",
            "model_not_allowed",
            format!("This key may not use the model '{}'. GET /v1/models lists what it may use.", chat.model),
        )
        .param("model"));
    }
    let matches = |route: &&Route| {
        route.conditions.iter().all(|condition| holds(condition, key, request, chat, header, &metadata))
    };
    let route = policy.routes.iter().find(matches).ok_or_else(|| {
        Refusal::new(
            404,
            "invalid_request_error",
            "route_not_found",
            "No route of this gateway matches the request. The operator can add a last route without `match` to catch all.",
        )
    })?;
    if !route.guardrails.is_empty() {
        return Err(Refusal::new(
            403,
            "permission_error",
            "guardrails_not_enabled",
            format!(
                "The route '{}' asks for guardrails ({}), and guardrails are not enabled yet in this gateway. The request was not sent anywhere.",
                route.name,
                route.guardrails.join(", ")
            ),
        ));
    }
    let first =
        if route.targets.is_empty() { policy.resolve(&chat.model) } else { Some(route.targets.clone()) };
    let Some(first) = first else {
        return Err(Refusal::new(
            404,
            "invalid_request_error",
            "model_not_found",
            format!("The model '{}' is not known here. Use provider/model, or an alias; GET /v1/models lists them.", chat.model),
        )
        .param("model"));
    };
    let stops: Vec<Stop<'a>> = first
        .into_iter()
        .chain(route.fallbacks.iter().cloned())
        .filter_map(|target| stop(policy, target))
        .collect();
    if stops.is_empty() {
        return Err(Refusal::unavailable(format!("route {} has no usable target", route.name)));
    }
    Ok(Plan { route, stops, metadata })
}

/// A target with all that is known of it.
#[must_use]
pub fn stop(policy: &Policy, target: Target) -> Option<Stop<'_>> {
    let provider = policy.providers.get(&target.provider)?;
    let kind = provider::by_name(&provider.kind)?;
    let price = price::price_in(policy, &target.provider, kind.name, &target.model);
    Some(Stop { target, provider, kind, price })
}

/// Whether a route can be for this key, whatever is asked with it.
#[must_use]
pub fn may_be_for(route: &Route, key: &KeyRecord) -> bool {
    route.conditions.iter().all(|condition| holds_of_key(condition, key))
}

/// What a condition says of the key; nothing, if it is about the request.
fn holds_of_key(condition: &Condition, key: &KeyRecord) -> bool {
    match condition {
        Condition::Team(pattern) => {
            pattern.matches(key.team_name.as_deref().unwrap_or_default())
                || pattern.matches(key.team.as_ref().map_or("", |team| team.as_str()))
        }
        Condition::Customer(pattern) => {
            pattern.matches(&key.customer_name) || pattern.matches(key.customer.as_str())
        }
        _ => true,
    }
}

fn holds(
    condition: &Condition,
    key: &KeyRecord,
    request: &ClientRequest,
    chat: &ChatRequest,
    header: &dyn Fn(&str) -> Option<String>,
    metadata: &BTreeMap<String, String>,
) -> bool {
    match condition {
        Condition::Team(_) | Condition::Customer(_) => holds_of_key(condition, key),
        Condition::Model(pattern) => pattern.matches(&chat.model),
        Condition::Path(pattern) => pattern.matches(request.path.trim_end_matches('/')),
        Condition::Header(name, pattern) => header(name).is_some_and(|value| pattern.matches(&value)),
        Condition::Metadata(name, pattern) => metadata.get(name).is_some_and(|value| pattern.matches(value)),
    }
}
