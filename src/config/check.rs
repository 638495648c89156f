//! The tree → the policy: every section, name and reference checked.

mod models;
mod prices;
mod providers;
mod routes;
mod url;

use super::document::Node;
use super::policy::Policy;
use super::problem::{Problems, ticked};
use super::reader::{Field, Named};
pub(super) use providers::registry_providers;

/// The top-level sections.
const SECTIONS: &[&str] = &["providers", "models", "routes", "defaults", "prices"];
/// The longest name of a provider, route or guardrail, in bytes.
const MAX_NAME: usize = 64;
/// Headers that carry credentials: they can neither be set nor matched on with literal text.
const CREDENTIAL_HEADERS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "authentication",
    "www-authenticate",
    "cookie",
    "set-cookie",
    "api-key",
    "apikey",
];
/// How the names of headers end that carry credentials: `x-api-key`, `x-amz-security-token`, `client-secret`, …
const CREDENTIAL_ENDINGS: &[&str] =
    &["-key", "-token", "-secret", "-authorization", "-password", "-credential", "-signature"];

/// Checks the whole document. What is returned is only meant to be used if no error was reported.
pub(super) fn policy(root: &Node, version: u64, problems: &mut Problems) -> Policy {
    let root = Field::root(root);
    let mut policy = Policy { version, providers: registry_providers(), ..Policy::default() };
    if !root.is_nothing() {
        let expected = "a mapping with the sections providers, models, routes, defaults, prices";
        let Some(sections) = root.fields(SECTIONS, expected, problems) else { return policy };
        // A section with nothing in it is as good as absent: everything in it may be commented out.
        let section = |name| sections.get(name).filter(|field| !field.is_nothing());

        let declared = section("providers")
            .map(|field| providers::read(field, &mut policy, problems))
            .unwrap_or_default();
        let names = models::read(section("models"), &mut policy, declared, problems);
        let defaults =
            section("defaults").map(|field| routes::read_defaults(field, problems)).unwrap_or_default();
        if let Some(field) = section("routes") {
            routes::read(field, &names, defaults, &mut policy, problems);
        }
        if let Some(field) = section("prices") {
            prices::read(field, &names, &mut policy, problems);
        }
    }
    if policy.routes.is_empty() {
        root.warn(
            "there are no routes: every request is refused with 404 until one is added".to_owned(),
            problems,
        );
    }
    policy
}

/// Whether text can name a provider, route or guardrail. It may stand in headers, logs and paths.
fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

const NAME: &str = "a name of 1 to 64 letters, digits, `.`, `_` and `-`, beginning with a letter or digit";

/// Whether text can name an HTTP header (RFC 9110, section 5.6.2: token), shorter than any proxy's limit.
fn is_header_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Whether a header (name in lower case) is there to carry a credential.
fn carries_credential(header: &str) -> bool {
    CREDENTIAL_HEADERS.contains(&header) || CREDENTIAL_ENDINGS.iter().any(|ending| header.ends_with(ending))
}

/// The name of a header in lower case, or a report.
fn header_name(entry: &Named<'_>, problems: &mut Problems) -> Option<String> {
    let name = entry.name.to_ascii_lowercase();
    if is_header_name(&name) {
        return Some(name);
    }
    let message = format!("{} is not the name of a header: letters, digits and `-`", ticked(entry.name));
    entry.refuse_name("the name of a header", message, problems);
    None
}
