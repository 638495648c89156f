//! Which surface a request is for.

use crate::{
    admin,
    config::{self, policy::Policy},
    listing::Wanted,
    model::id::{KeyDigest, RequestId},
    pipeline,
    ports::{AnswerBody, ClientRequest, Statement, World, aside},
    refusal::Refusal,
    self_service,
    surface::Surface,
};
use serde_json::Value;

/// Where the compiled policy stands in KV.
pub const POLICY_NAME: &str = "policy";

/// Where a key's record stands in KV.
#[must_use]
pub fn key_name(digest: &KeyDigest) -> String {
    format!("key:{}", digest.0)
}

/// A query without parameters.
pub struct Query(&'static str);

impl Query {
    /// As a statement.
    #[must_use]
    pub fn statement(&self) -> Statement {
        (self.0.to_owned(), Vec::new())
    }
}

/// The configuration in force.
pub const LATEST_CONFIG: Query =
    Query("SELECT version, text, created_at FROM configs ORDER BY version DESC LIMIT 1");

/// The policy of a row of `configs`.
///
/// # Errors
/// If the row does not compile, which only a table edited by hand can make happen.
pub fn compile_row(row: &Value) -> Result<Policy, String> {
    let version = row.get("version").and_then(Value::as_f64).unwrap_or_default() as u64;
    let text = row.get("text").and_then(Value::as_str).unwrap_or_default();
    config::compile(text, version)
        .map(|compiled| compiled.policy)
        .map_err(|problems| format!("configuration {version} does not compile: {} problems", problems.len()))
}

/// Answers a client's request.
pub async fn handle<W: World>(world: &W, request: &ClientRequest) {
    let path = request.path.trim_end_matches('/');
    if request.method == "POST"
        && path != "/v1/chat/completions"
        && let Some(surface) = Surface::of(path, &request.query)
    {
        return aside(pipeline::serve(world, request, &surface)).await;
    }
    match (request.method.as_str(), path) {
        ("POST", "/v1/chat/completions") => pipeline::serve(world, request, &Surface::Chat).await,
        ("GET" | "HEAD", "" | "/healthz") => {
            let headers = vec![("content-type", "application/json".to_owned())];
            world.respond(
                200,
                headers,
                AnswerBody::Text("{\"status\":\"ok\",\"service\":\"edgehold\"}".to_owned()),
            );
        }
        _ if path.starts_with("/admin/v1") => aside(admin::handle(world, request)).await,
        ("GET", "/v1/key") => aside(self_service::handle(world, request, path)).await,
        ("GET", _)
            if path.starts_with("/v1/requests/")
                || Wanted::of(path).is_some() && Surface::of(path, &request.query).is_none() =>
        {
            aside(self_service::handle(world, request, path)).await;
        }
        _ => {
            let known = ["/v1/models", "/v1beta/models", "/v1/key", "/healthz"].contains(&path)
                || Surface::of(path, &request.query).is_some();
            let refusal = if known {
                Refusal::new(
                    405,
                    "invalid_request_error",
                    "method_not_allowed",
                    format!("{} is not a method of {path}.", request.method),
                )
            } else {
                Refusal::new(
                    404,
                    "invalid_request_error",
                    "not_found",
                    "There is nothing at this path. The gateway serves POST /v1/chat/completions, /v1/completions, /v1/responses, /v1/messages and /v1beta/models/{model}:generateContent, GET /v1/models and /v1beta/models, GET /v1/key, GET /v1/requests/{id} and /admin/v1.",
                )
            };
            pipeline::refuse(world, &RequestId::mint(world.now().0, world.random()), &refusal);
        }
    }
}
