//! `providers:`: where they are and what they are called with.

use super::super::policy::{Policy, ProviderPolicy};
use super::super::problem::{Problems, looks_like_credential, nearest, ticked};
use super::super::reader::{Field, Fields, Named};
use super::{NAME, carries_credential, header_name, is_name, url};
use crate::provider::{OutputCapField, PROVIDERS, Provider, Setting, by_name};
use std::collections::{BTreeMap, BTreeSet};

/// What every provider may be given; its kind's settings besides.
const FIELDS: &[&str] = &["kind", "base_url", "api_key", "headers", "output_cap_field"];
/// The kind of provider that has no home of its own.
const OPENAI_COMPATIBLE: &str = "openai-compatible";
/// Secrets of the gateway itself. A configuration that could name them could send them to a provider.
const OWN_SECRETS: &[&str] = &["ADMIN_TOKEN"];
/// Further secrets of the gateway itself.
const OWN_SECRET_PREFIX: &str = "EDGEHOLD_";
/// The longest name of a secret, in bytes.
const MAX_SECRET_NAME: usize = 64;
/// Headers the gateway or the platform writes: hop-by-hop, framing, and what the request's dialect decides.
const OWN_HEADERS: &[&str] = &[
    "host",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "content-length",
    "content-type",
    "content-encoding",
    "accept-encoding",
];
/// The longest value of a header, in bytes.
const MAX_HEADER_VALUE: usize = 1_024;

const API_KEY: &str = "secret://NAME (NAME in capitals, digits and `_`), or none";

/// The providers of the registry that can be called without being configured.
pub(in super::super) fn registry_providers() -> BTreeMap<String, ProviderPolicy> {
    PROVIDERS
        .iter()
        .filter_map(|kind| {
            let settings = kind.default_settings()?;
            let provider = ProviderPolicy {
                kind: kind.name.to_owned(),
                base_url: kind.home(&settings)?,
                settings,
                secret: kind.secret.map(str::to_owned),
                headers: BTreeMap::new(),
                output_cap_field: None,
            };
            Some((kind.name.to_owned(), provider))
        })
        .collect()
}

/// Adds the operator's providers to the policy. Returns the names of all that were declared, broken ones included.
pub(super) fn read(field: &Field<'_>, policy: &mut Policy, problems: &mut Problems) -> BTreeSet<String> {
    let mut declared = BTreeSet::new();
    for entry in field.entries("a mapping of provider names", problems).unwrap_or_default() {
        if !is_name(entry.name) {
            let message = format!("{} cannot name a provider: expected {NAME}", ticked(entry.name));
            entry.refuse_name(NAME, message, problems);
            continue;
        }
        declared.insert(entry.name.to_owned());
        if let Some(provider) = read_one(&entry, problems) {
            policy.providers.insert(entry.name.to_owned(), provider);
        }
    }
    declared
}

fn read_one(entry: &Named<'_>, problems: &mut Problems) -> Option<ProviderPolicy> {
    let field = &entry.field;
    let fields = if field.is_nothing() && by_name(entry.name).is_some() {
        None
    } else {
        let known: Vec<&str> = FIELDS.iter().copied().chain(all_settings()).collect();
        Some(field.fields(&known, "a mapping with kind, base_url, api_key, headers, …", problems)?)
    };
    let get = |name: &str| fields.as_ref().and_then(|fields| fields.get(name));

    let kind = match get("kind") {
        Some(field) => read_kind(field, problems),
        None => by_name(entry.name).or_else(|| by_name(OPENAI_COMPATIBLE)),
    };
    let base_url = get("base_url").map(|field| read_base_url(field, problems));
    let secret = get("api_key").map(|field| read_api_key(field, problems));
    let headers = get("headers").map(|field| read_headers(field, problems)).unwrap_or_default();
    let output_cap_field = get("output_cap_field").and_then(|field| read_output_cap_field(field, problems));

    let kind = kind?;
    if let Some(binding) = kind.binding() {
        for field in [get("base_url"), get("api_key")].into_iter().flatten() {
            let message = format!(
                "the kind {} is asked through the Worker's binding {binding}; it has neither address nor credential",
                kind.name
            );
            field.refuse("nothing here", message, problems);
        }
    }
    let settings = read_settings(field, fields.as_ref(), kind, base_url.is_some(), problems);
    let home = settings.as_ref().and_then(|settings| kind.home(settings));
    let base_url = match (base_url, home) {
        (Some(url), home) => {
            let url = url?;
            if let (None, Some(name), Some(home), Some(written)) =
                (&secret, kind.secret, home, get("base_url"))
                && url::parse(&home).map_or(true, |home| home.host != url.host)
            {
                let message = format!(
                    "the default credential secret://{name} will be sent to {}; write `api_key` to say that this is meant",
                    url.host
                );
                written.warn(message, problems);
            }
            url.text
        }
        (None, Some(home)) => home,
        (None, None) => {
            if kind.base_url.is_none() {
                missing_base_url(kind, fields.as_ref(), problems);
            }
            return None;
        }
    };
    let secret = match secret {
        Some(secret) => secret?,
        None => kind.secret.map(str::to_owned),
    };
    let settings = settings?;
    Some(ProviderPolicy { kind: kind.name.to_owned(), base_url, settings, secret, headers, output_cap_field })
}

/// The settings of all kinds.
fn all_settings() -> BTreeSet<&'static str> {
    PROVIDERS.iter().flat_map(|kind| kind.settings).map(|setting| setting.name).collect()
}

/// The settings of a kind, defaults included; `None` if one is missing or wrong. Those that are only for the kind's own base
/// URL need not be said if there is another.
fn read_settings(
    entry: &Field<'_>,
    fields: Option<&Fields<'_>>,
    kind: &Provider,
    own_base_url: bool,
    problems: &mut Problems,
) -> Option<BTreeMap<String, String>> {
    let get = |name: &str| fields.and_then(|fields| fields.get(name));
    for name in all_settings() {
        if let Some(field) = get(name)
            && kind.settings.iter().all(|setting| setting.name != name)
        {
            let takes =
                kind.settings.iter().map(|setting| ticked(setting.name)).collect::<Vec<_>>().join(", ");
            let takes = if takes.is_empty() { "no settings".to_owned() } else { takes };
            let message = format!("the kind {} has no setting {}; it takes {takes}", kind.name, ticked(name));
            field.refuse(&format!("a field of the kind {}", kind.name), message, problems);
        }
    }
    let mut settings = BTreeMap::new();
    let mut complete = true;
    for setting in kind.settings {
        let value = match (get(setting.name), setting.default) {
            (Some(field), _) => read_setting(field, setting, problems),
            (None, Some(default)) => Some(default),
            (None, None) if own_base_url && !kind.needs_anyway(setting.name) => continue,
            (None, None) => {
                match fields {
                    Some(fields) => fields.missing(setting.name, setting.expected, problems),
                    None => entry.mismatch(&format!("`{}`: {}", setting.name, setting.expected), problems),
                }
                None
            }
        };
        match value {
            Some(value) => {
                settings.insert(setting.name.to_owned(), value.to_owned());
            }
            None => complete = false,
        }
    }
    complete.then_some(settings)
}

/// The longest value of a setting, in bytes: that of a label of a host name.
const MAX_SETTING: usize = 63;

/// A setting becomes a part of a host or a segment of a path: nothing in it may mean anything there.
fn read_setting<'a>(field: &Field<'a>, setting: &Setting, problems: &mut Problems) -> Option<&'a str> {
    let text = field.any_text(setting.expected, problems)?;
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fits = text.len() <= MAX_SETTING
        && text.bytes().all(|byte| inner(byte) || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
        && (setting.one_of.is_empty() || setting.one_of.contains(&text));
    if !fits {
        let advice = format!("1 to {MAX_SETTING} small letters, digits and inner `-`");
        field.mismatch_because(
            setting.expected,
            if setting.one_of.is_empty() { &advice } else { "" },
            problems,
        );
    }
    fits.then_some(text)
}

fn missing_base_url(kind: &Provider, fields: Option<&Fields<'_>>, problems: &mut Problems) {
    if let Some(fields) = fields {
        let expected = format!(
            "the base URL of this provider of kind {}, up to and including its version segment",
            kind.name
        );
        fields.missing("base_url", &expected, problems);
    }
}

fn read_kind(field: &Field<'_>, problems: &mut Problems) -> Option<&'static Provider> {
    let known = PROVIDERS.iter().map(|kind| kind.name).collect::<Vec<_>>();
    let expected = format!("a kind of provider ({})", known.join(", "));
    let name = field.text(&expected, problems)?;
    let kind = by_name(name);
    if kind.is_none() {
        let advice = nearest(name, known.iter().copied())
            .map_or_else(String::new, |meant| format!("did you mean `{meant}`?"));
        field.mismatch_because(&expected, &advice, problems);
    }
    kind
}

fn read_output_cap_field(field: &Field<'_>, problems: &mut Problems) -> Option<OutputCapField> {
    const EXPECTED: &str = "the member that caps output: max_tokens, max_completion_tokens or as_sent";
    let text = field.text(EXPECTED, problems)?;
    let found = OutputCapField::ALL.iter().find(|(name, _)| *name == text).map(|(_, found)| *found);
    if found.is_none() {
        field.mismatch(EXPECTED, problems);
    }
    found
}

fn read_base_url(field: &Field<'_>, problems: &mut Problems) -> Option<url::BaseUrl> {
    const EXPECTED: &str = "a base URL such as https://api.example.com/v1";
    let text = field.text(EXPECTED, problems)?;
    match url::parse(text) {
        Ok(url) => {
            let endpoint =
                ["/chat/completions", "/completions", "/messages", "/responses", "/embeddings", "/rerank"]
                    .iter()
                    .find(|endpoint| url.text.ends_with(*endpoint));
            if let Some(endpoint) = endpoint {
                field.warn(
                    format!("the gateway adds `{endpoint}` itself; end the base URL before it"),
                    problems,
                );
            }
            Some(url)
        }
        Err(reason) => {
            // What stands before an @ or in a query may be a credential.
            let field = if text.contains(['@', '?', '#']) { field.clone().sealed() } else { field.clone() };
            field.mismatch_because(EXPECTED, reason, problems);
            None
        }
    }
}

/// The name of the secret; an inner `None` sends no credential.
fn read_api_key(field: &Field<'_>, problems: &mut Problems) -> Option<Option<String>> {
    let field = field.clone().sealed();
    let text = field.text(API_KEY, problems)?;
    if text == "none" {
        return Some(None);
    }
    let Some(name) = text.strip_prefix("secret://") else {
        let advice = "credentials do not belong in the configuration: store it with `wrangler secret put NAME` and write \
                      secret://NAME; if it was a real one, replace it";
        field.mismatch_because(API_KEY, advice, problems);
        return None;
    };
    if OWN_SECRETS.contains(&name) || name.starts_with(OWN_SECRET_PREFIX) {
        let advice = "ADMIN_TOKEN and names that begin with EDGEHOLD_ are the gateway's own secrets, never a provider's";
        field.mismatch_because(API_KEY, advice, problems);
        return None;
    }
    let fits = name.len() <= MAX_SECRET_NAME
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if !fits {
        let advice = "the name of a secret is 1 to 64 capitals, digits and `_`, beginning with a capital";
        field.mismatch_because(API_KEY, advice, problems);
        return None;
    }
    Some(Some(name.to_owned()))
}

fn read_headers(field: &Field<'_>, problems: &mut Problems) -> BTreeMap<String, String> {
    const VALUE: &str = "a header value: visible ASCII characters and inner spaces, at most 1024";
    const USE_API_KEY: &str = "credentials belong in a secret: write `api_key: secret://NAME`";
    let mut headers = BTreeMap::new();
    for entry in field.entries("a mapping of header names to values", problems).unwrap_or_default() {
        let field = entry.field.clone().sealed();
        let Some(name) = header_name(&entry, problems) else { continue };
        if carries_credential(&name) {
            let message = format!("header {} carries a credential; {USE_API_KEY}", ticked(&name));
            entry.refuse_name("a header that carries no credential", message, problems);
            continue;
        }
        if OWN_HEADERS.contains(&name.as_str()) || name.starts_with("x-edgehold-") || name.starts_with("cf-")
        {
            let message = format!("header {} is written by the gateway or the platform", ticked(&name));
            entry.refuse_name("a header the gateway does not write itself", message, problems);
            continue;
        }
        let Some(value) = field.any_text(VALUE, problems) else { continue };
        if value.starts_with("secret://") || looks_like_credential(value) {
            let message = format!("the value looks like a credential; {USE_API_KEY}");
            field.refuse("a value that is no credential", message, problems);
        } else if value.len() > MAX_HEADER_VALUE
            || value.trim() != value
            || !value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
        {
            field.mismatch(VALUE, problems);
        } else if headers.insert(name.clone(), value.to_owned()).is_some() {
            let message = format!("header {} is set twice (names are compared without case)", ticked(&name));
            entry.refuse_name("each header once", message, problems);
        }
    }
    headers
}
