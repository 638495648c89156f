//! Everything a client can be told instead of an answer: status, machine-readable code, two messages.
//!
//! Rendered in the caller's dialect in one place, [`Refusal::to_openai_json`].

use serde_json::{Map, Value, json};

/// A refusal. The client's message says what to do; the operator's goes to the log only.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// OpenAI's `type`.
    pub kind: &'static str,
    /// Machine-readable, stable.
    pub code: &'static str,
    /// For the client.
    pub message: String,
    /// The member of the request that is at fault.
    pub param: Option<String>,
    /// For the operator's log.
    pub operator: Option<String>,
    /// `Retry-After`, if waiting helps.
    pub retry_after_ms: Option<i64>,
    /// Further members of the error object.
    pub extra: Map<String, Value>,
    /// Further headers: where the caller stands.
    pub headers: Vec<(&'static str, String)>,
}

impl Refusal {
    /// A refusal without extras.
    #[must_use]
    pub fn new(status: u16, kind: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            code,
            message: message.into(),
            param: None,
            operator: None,
            retry_after_ms: None,
            extra: Map::new(),
            headers: Vec::new(),
        }
    }

    /// The caller's request is wrong (400).
    #[must_use]
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", code, message)
    }

    /// A member of the request is wrong (400).
    #[must_use]
    pub fn bad_param(code: &'static str, param: &str, message: impl Into<String>) -> Self {
        let mut refusal = Self::bad_request(code, message);
        refusal.param = Some(param.to_owned());
        refusal
    }

    /// The key is not one that may call (401).
    #[must_use]
    pub fn unauthorized(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(401, "authentication_error", code, message)
    }

    /// Our infrastructure is at fault (503); never blamed on the caller.
    #[must_use]
    pub fn unavailable(operator: impl Into<String>) -> Self {
        let mut refusal = Self::new(
            503,
            "api_error",
            "service_unavailable",
            "The gateway cannot reach a part of itself that this request needs. Nothing was charged. Try again shortly.",
        );
        refusal.retry_after_ms = Some(1_000);
        refusal.operator = Some(operator.into());
        refusal
    }

    /// Adds a member to the error object.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    /// Names the parameter.
    #[must_use]
    pub fn param(mut self, name: &str) -> Self {
        self.param = Some(name.to_owned());
        self
    }

    /// Tells the operator more than the client.
    #[must_use]
    pub fn operator(mut self, message: impl Into<String>) -> Self {
        self.operator = Some(message.into());
        self
    }

    /// `Retry-After` in whole seconds, rounded up.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<i64> {
        self.retry_after_ms.map(|ms| ms.max(0).saturating_add(999) / 1_000)
    }

    /// The body OpenAI's SDKs expect.
    #[must_use]
    pub fn to_openai_json(&self) -> String {
        let mut error = self.extra.clone();
        error.insert("message".to_owned(), json!(self.message));
        error.insert("type".to_owned(), json!(self.kind));
        error.insert("param".to_owned(), json!(self.param));
        error.insert("code".to_owned(), json!(self.code));
        json!({ "error": error }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_has_openais_four_members_and_the_extras() {
        let refusal = Refusal::bad_param("invalid_type", "model", "model must be a string").with("limit", 3);
        let body: Value = serde_json::from_str(&refusal.to_openai_json()).unwrap();
        assert_eq!(
            body,
            json!({"error": {"message": "model must be a string", "type": "invalid_request_error",
                             "param": "model", "code": "invalid_type", "limit": 3}})
        );
    }

    #[test]
    fn waiting_times_are_rounded_up() {
        let mut refusal = Refusal::unavailable("x");
        refusal.retry_after_ms = Some(1_001);
        assert_eq!(refusal.retry_after_s(), Some(2));
    }
}
