//! What the configuration means, once it has been validated: no strings left to interpret.
//!
//! Serialisable, because the compiled policy is what KV carries to every isolate.

use crate::model::money::PicoUsd;
use crate::provider::OutputCapField;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The whole policy of a deployment. Every index in it is valid: `config::check` is its only maker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The version number of the configuration this was compiled from; 0 before any was stored.
    pub version: u64,
    /// Providers by name: the registry's, overridden and extended by the operator's.
    pub providers: BTreeMap<String, ProviderPolicy>,
    /// Model aliases: a name callers may use → where it leads, first choice first.
    pub aliases: BTreeMap<String, Vec<Target>>,
    /// Routes in the order written; the first match wins.
    pub routes: Vec<Route>,
    /// Operator's prices, by `provider/model`; they win over the built-in table.
    pub prices: BTreeMap<String, PriceOverride>,
    /// Lines of the built-in table, by `provider/model`, for models whose name is the operator's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub priced_like: BTreeMap<String, String>,
    /// The tier of that line whose prices hold for every request, by `provider/model`; the standard one if absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub priced_at: BTreeMap<String, String>,
    /// What costs are multiplied with, in millionths, by provider; `*` is for all others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub markups: BTreeMap<String, u64>,
    /// Request headers that some route matches on, lower case.
    pub matched_headers: Vec<String>,
}

/// How to reach one provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProviderPolicy {
    /// The registry entry this is a kind of: `openai`, `mock`, `openai-compatible`, …
    pub kind: String,
    /// Without a trailing slash, up to and including the version segment: `https://api.openai.com/v1`.
    pub base_url: String,
    /// What else its kind wants to know (`region`, `project`, …): all of it, defaults included.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Name of the Worker secret that holds the credential; `None` sends none.
    pub secret: Option<String>,
    /// Headers added to every call.
    pub headers: BTreeMap<String, String>,
    /// The member in which it enforces the output cap, if not its kind's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_cap_field: Option<OutputCapField>,
}

/// A provider and a model of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// A key of [`Policy::providers`].
    pub provider: String,
    /// The provider's own name for the model.
    pub model: String,
}

/// One rule: which requests, where to, under which conditions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Unique name, used in the ledger.
    pub name: String,
    /// Which requests this is for. All conditions must hold.
    pub conditions: Vec<Condition>,
    /// First choice first. Empty: the model the caller asked for.
    pub targets: Vec<Target>,
    /// Tried in order after `targets` (or after the requested model) failed before content.
    pub fallbacks: Vec<Target>,
    /// Limits of this route, counted for each customer.
    pub rate_limit: Option<RateLimit>,
    /// Kept for the cache stage.
    pub cache: Option<CacheRule>,
    /// Guardrail names in order; a route with guardrails the gateway cannot run refuses its requests.
    pub guardrails: Vec<String>,
    /// Time-outs.
    pub timeouts: Timeouts,
    /// Retries of one target.
    pub retries: Retries,
    /// Whether a request whose hold does not fit the budget is sent with a lower output cap instead of being refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clamp: bool,
    /// Whether an attempt whose usage the provider did not report costs what this gateway estimates, rather than its bound.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimate_unreported: bool,
    /// Whether a request is refused rather than translated without what the provider's dialect cannot say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict_translation: bool,
}

/// One thing that must hold for a route to match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// The key's team: its name or its id; `*` also matches a key without a team.
    Team(Pattern),
    /// The key's customer: name or id.
    Customer(Pattern),
    /// The model the caller asked for.
    Model(Pattern),
    /// The request's path: `/v1/chat/completions`.
    Path(Pattern),
    /// A request header (name in lower case).
    Header(String, Pattern),
    /// A metadata entry: the key's own first, then `x-edgehold-metadata`, then the body's `metadata`.
    Metadata(String, Pattern),
}

/// Alternatives, each of which may hold `*` for any run of characters. Case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(pub Vec<String>);

/// Requests and tokens per minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Requests per minute.
    pub rpm: Option<u64>,
    /// Tokens (input and output) per minute.
    pub tpm: Option<u64>,
}

/// How long identical answers may be reused. The cache stage comes later; the rule is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheRule {
    /// Seconds; 0 never stores.
    pub ttl_s: u64,
}

/// Time-outs, in milliseconds; all but the last are of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// Until the response headers of a stream (default 30 s).
    pub headers_ms: u64,
    /// Until the first content event of a stream (default 60 s).
    pub first_token_ms: u64,
    /// Between two reads of a stream (default 60 s).
    pub idle_ms: u64,
    /// The whole request, all attempts together (default 10 min); also the only one for answers that are not streamed.
    pub total_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { headers_ms: 30_000, first_token_ms: 60_000, idle_ms: 60_000, total_ms: 600_000 }
    }
}

/// Retries on the same target, before the next is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retries {
    /// Attempts after the first (default 1).
    pub count: u32,
    /// First back-off; doubles, with full jitter (default 250 ms).
    pub backoff_ms: u64,
    /// The longest wait, also for a provider's Retry-After; a longer one goes on to the next target (default 5 s).
    pub backoff_max_ms: u64,
}

impl Default for Retries {
    fn default() -> Self {
        Self { count: 1, backoff_ms: 250, backoff_max_ms: 5_000 }
    }
}

/// Prices an operator sets for a model, per token, in pico-dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceOverride {
    /// Uncached input.
    pub input: PicoUsd,
    /// Input read from cache; the input price if absent.
    pub cache_read: Option<PicoUsd>,
    /// Input written to cache; the input price if absent.
    pub cache_write: Option<PicoUsd>,
    /// Output, reasoning included.
    pub output: PicoUsd,
    /// Output that is pictures; the output price if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_image: Option<PicoUsd>,
    /// Each request, beside its tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<PicoUsd>,
    /// Each picture in the input, beside its tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<PicoUsd>,
    /// The most tokens a request can hold, if known.
    pub context_tokens: Option<u64>,
    /// The most tokens an answer can hold, if known.
    pub output_tokens: Option<u64>,
}
