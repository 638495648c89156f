//! `routes:` and `defaults:`: which requests go where, under which conditions.

use super::super::policy::{CacheRule, Condition, Pattern, Policy, RateLimit, Retries, Route, Timeouts};
use super::super::problem::{Problems, nearest, ticked};
use super::super::reader::{Field, Fields, Named};
use super::models::Names;
use super::{NAME, carries_credential, header_name, is_name};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

const ROUTE_FIELDS: &[&str] = &[
    "name",
    "match",
    "model",
    "fallback",
    "rate_limit",
    "cache",
    "guardrails",
    "timeouts",
    "retries",
    "clamp",
    "unreported_usage",
    "translation",
];
/// What a route can match on besides metadata.
const MATCH_FIELDS: &[&str] = &["team", "customer", "model", "path", "headers"];
/// Bounds of `rpm` and `tpm`; far above what one customer can send, far below where sums overflow.
const RATE: RangeInclusive<u64> = 1..=1_000_000_000_000;
/// A year in seconds.
const MAX_TTL_MS: u64 = 365 * 24 * 3_600_000;
/// Bounds of a time-out: a day.
const TIMEOUT_MS: RangeInclusive<u64> = 1..=86_400_000;
/// Bounds of a back-off: ten minutes.
const BACKOFF_MS: RangeInclusive<u64> = 0..=600_000;
/// Bounds of the retries of one target.
const RETRIES: RangeInclusive<u64> = 0..=10;
/// The most alternatives of one pattern.
const MAX_ALTERNATIVES: usize = 100;
/// The longest alternative, in bytes.
const MAX_PATTERN: usize = 256;
/// The longest key of a metadata entry, in bytes.
const MAX_METADATA_KEY: usize = 128;

const DURATION: &str = "a duration longer than 0: seconds, or a whole number with ms, s, m or h (30s)";
const BACKOFF: &str = "a duration: seconds, or a whole number with ms, s, m or h (250ms)";
const PATTERN: &str = "a pattern: text that may hold *, or a list of such texts";

/// What routes use that do not say otherwise.
#[derive(Clone, Copy, Default)]
pub(super) struct Defaults {
    timeouts: Timeouts,
    retries: Retries,
}

pub(super) fn read_defaults(field: &Field<'_>, problems: &mut Problems) -> Defaults {
    let built_in = Defaults::default();
    let Some(fields) = field.fields(&["timeouts", "retries"], "a mapping with timeouts, retries", problems)
    else {
        return built_in;
    };
    Defaults {
        timeouts: read_timeouts(fields.get("timeouts"), built_in.timeouts, problems),
        retries: read_retries(fields.get("retries"), built_in.retries, problems),
    }
}

pub(super) fn read(
    field: &Field<'_>,
    names: &Names,
    defaults: Defaults,
    policy: &mut Policy,
    problems: &mut Problems,
) {
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    let mut headers = BTreeSet::new();
    let mut catch_all: Option<&str> = None;
    for (position, field) in
        field.items("a list of routes", problems).unwrap_or_default().into_iter().enumerate()
    {
        let Some(fields) = field.fields(ROUTE_FIELDS, "a mapping with name, match, model, …", problems)
        else {
            continue;
        };
        let name = fields.need("name", NAME, problems).and_then(|field| read_name(field, problems));
        if let Some(name) = name {
            match taken.get(name) {
                Some(first) => {
                    let message = format!(
                        "the name {} is already that of routes[{first}]; names are unique",
                        ticked(name)
                    );
                    let field = fields.get("name").unwrap_or(&field);
                    field.refuse("a name no other route has", message, problems);
                }
                None => {
                    taken.insert(name, position);
                }
            }
        }
        let conditions = fields.get("match").map(|field| read_match(field, problems)).unwrap_or_default();
        if let Some(earlier) = catch_all {
            field.warn(
                format!("this route is never reached: route `{earlier}` above matches every request"),
                problems,
            );
        } else if conditions.iter().all(matches_everything) {
            catch_all = name;
        }
        let targets =
            fields.get("model").map(|field| names.targets(field, problems)).unwrap_or(Some(Vec::new()));
        let mut fallbacks =
            fields.get("fallback").map(|field| names.targets(field, problems)).unwrap_or(Some(Vec::new()));
        if let (Some(targets), Some(fallbacks), Some(field)) =
            (&targets, &mut fallbacks, fields.get("fallback"))
        {
            fallbacks.retain(|fallback| {
                let tried = targets.contains(fallback);
                if tried {
                    let both = format!("{}/{}", fallback.provider, fallback.model);
                    field.warn(
                        format!("the fallback {} is already tried as `model`; it is skipped", ticked(&both)),
                        problems,
                    );
                }
                !tried
            });
        }
        let guardrails =
            fields.get("guardrails").map(|field| read_guardrails(field, problems)).unwrap_or_default();
        let route = Route {
            name: name.unwrap_or_default().to_owned(),
            conditions,
            targets: targets.unwrap_or_default(),
            fallbacks: fallbacks.unwrap_or_default(),
            rate_limit: fields.get("rate_limit").and_then(|field| read_rate_limit(field, problems)),
            cache: fields.get("cache").and_then(|field| read_cache(field, problems)),
            guardrails,
            timeouts: read_timeouts(fields.get("timeouts"), defaults.timeouts, problems),
            retries: read_retries(fields.get("retries"), defaults.retries, problems),
            clamp: fields.get("clamp").and_then(|field| field.truth(problems)).unwrap_or(false),
            estimate_unreported: fields
                .get("unreported_usage")
                .is_some_and(|field| read_unreported(field, problems)),
            strict_translation: fields
                .get("translation")
                .is_some_and(|field| one_of_two(field, "strict", "lenient", problems)),
        };
        headers.extend(route.conditions.iter().filter_map(|condition| match condition {
            Condition::Header(name, _) => Some(name.clone()),
            _ => None,
        }));
        policy.routes.push(route);
    }
    policy.matched_headers = headers.into_iter().collect();
}

fn read_name<'a>(field: &Field<'a>, problems: &mut Problems) -> Option<&'a str> {
    let name = field.text(NAME, problems)?;
    if !is_name(name) {
        field.mismatch(NAME, problems);
        return None;
    }
    Some(name)
}

fn matches_everything(condition: &Condition) -> bool {
    match condition {
        Condition::Team(pattern) | Condition::Model(pattern) | Condition::Path(pattern) => {
            pattern.matches_anything()
        }
        Condition::Customer(_) | Condition::Header(..) | Condition::Metadata(..) => false,
    }
}

fn read_match(field: &Field<'_>, problems: &mut Problems) -> Vec<Condition> {
    const MATCH: &str = "a mapping of conditions ({} matches every request)";
    let mut conditions = Vec::new();
    for entry in field.entries(MATCH, problems).unwrap_or_default() {
        if entry.name == "headers" {
            conditions.extend(read_headers(&entry.field, problems));
            continue;
        }
        let metadata = !MATCH_FIELDS.contains(&entry.name);
        if metadata && !metadata_key_fits(&entry, problems) {
            continue;
        }
        let Some(pattern) = read_pattern(&entry.field, metadata, problems) else { continue };
        conditions.push(match entry.name {
            "team" => Condition::Team(pattern),
            "customer" => Condition::Customer(pattern),
            "model" => Condition::Model(pattern),
            "path" => {
                if !pattern.0.iter().all(|path| path.starts_with(['/', '*'])) {
                    entry
                        .field
                        .mismatch("a path that begins with / or *, such as /v1/chat/completions", problems);
                }
                Condition::Path(pattern)
            }
            key => Condition::Metadata(key.to_owned(), pattern),
        });
    }
    conditions
}

fn metadata_key_fits(entry: &Named<'_>, problems: &mut Problems) -> bool {
    if entry.name.is_empty() || entry.name.len() > MAX_METADATA_KEY {
        let expected = format!("a metadata key of 1 to {MAX_METADATA_KEY} bytes");
        let message = format!("expected {expected}, found {}", ticked(entry.name));
        entry.refuse_name(&expected, message, problems);
        return false;
    }
    if let Some(meant) = nearest(entry.name, MATCH_FIELDS.iter().copied()) {
        let message =
            format!("{} is matched against request metadata; did you mean `{meant}`?", ticked(entry.name));
        entry.field.warn(message, problems);
    }
    true
}

fn read_headers(field: &Field<'_>, problems: &mut Problems) -> Vec<Condition> {
    let mut conditions = Vec::new();
    let mut taken = BTreeSet::new();
    for entry in field.entries("a mapping of header names to patterns", problems).unwrap_or_default() {
        let Some(name) = header_name(&entry, problems) else { continue };
        if carries_credential(&name) {
            let message =
                format!("header {} carries a credential; match on team or customer instead", ticked(&name));
            entry.refuse_name("a header that carries no credential", message, problems);
        } else if !taken.insert(name.clone()) {
            let message =
                format!("header {} is written twice (names are compared without case)", ticked(&name));
            entry.refuse_name("each header once", message, problems);
        } else if let Some(pattern) = read_pattern(&entry.field, true, problems) {
            conditions.push(Condition::Header(name, pattern));
        }
    }
    conditions
}

/// A pattern; `loose` takes numbers and truth values as the text they are written as.
fn read_pattern(field: &Field<'_>, loose: bool, problems: &mut Problems) -> Option<Pattern> {
    let alternatives = field.one_or_more(PATTERN, problems)?;
    if alternatives.len() > MAX_ALTERNATIVES {
        let expected = format!("at most {MAX_ALTERNATIVES} alternatives");
        field.refuse(&expected, format!("expected {expected}, found {}", alternatives.len()), problems);
        return None;
    }
    let mut pattern = Vec::new();
    for alternative in &alternatives {
        let text =
            if loose { alternative.any_text(PATTERN, problems) } else { alternative.text(PATTERN, problems) };
        match text {
            Some(text) if text.len() <= MAX_PATTERN => pattern.push(text.to_owned()),
            Some(_) => alternative.mismatch(&format!("a pattern of at most {MAX_PATTERN} bytes"), problems),
            None => {}
        }
    }
    (pattern.len() == alternatives.len()).then_some(Pattern(pattern))
}

fn read_rate_limit(field: &Field<'_>, problems: &mut Problems) -> Option<RateLimit> {
    const EXPECTED: &str = "a mapping with rpm (requests per minute), tpm (tokens per minute), or both";
    let fields = field.fields(&["rpm", "tpm"], EXPECTED, problems)?;
    let rate = |name, expected, problems: &mut Problems| {
        fields.get(name).map(|field| field.whole(&RATE, expected, problems))
    };
    let rpm = rate("rpm", "a positive whole number of requests per minute", problems);
    let tpm = rate("tpm", "a positive whole number of tokens per minute", problems);
    if rpm.is_none() && tpm.is_none() {
        field.refuse(EXPECTED, format!("a rate limit without a limit: expected {EXPECTED}"), problems);
        return None;
    }
    Some(RateLimit { rpm: rpm.flatten(), tpm: tpm.flatten() })
}

fn read_cache(field: &Field<'_>, problems: &mut Problems) -> Option<CacheRule> {
    const EXPECTED: &str = "a duration in whole seconds, or with s, m or h; 0 never stores";
    let fields = field.fields(&["ttl"], "a mapping with ttl", problems)?;
    let ttl = fields.need("ttl", EXPECTED, problems)?;
    let ttl_ms = ttl.duration_ms(&(0..=MAX_TTL_MS), EXPECTED, problems)?;
    if !ttl_ms.is_multiple_of(1_000) {
        ttl.mismatch(EXPECTED, problems);
        return None;
    }
    Some(CacheRule { ttl_s: ttl_ms / 1_000 })
}

/// Whether what a provider did not report is estimated.
fn read_unreported(field: &Field<'_>, problems: &mut Problems) -> bool {
    one_of_two(field, "estimate", "bound", problems)
}

/// Whether a field says the one word rather than the other, which is what is meant without it.
fn one_of_two(field: &Field<'_>, yes: &str, no: &str, problems: &mut Problems) -> bool {
    let expected = format!("`{no}` or `{yes}`");
    match field.text(&expected, problems) {
        Some(word) if word == yes => true,
        Some(word) if word == no => false,
        None => false,
        Some(_) => {
            field.mismatch(&expected, problems);
            false
        }
    }
}

fn read_guardrails(field: &Field<'_>, problems: &mut Problems) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for item in field.items("a list of guardrail names", problems).unwrap_or_default() {
        let Some(name) = read_name(&item, problems) else { continue };
        if names.iter().any(|earlier| earlier == name) {
            item.refuse(
                "each guardrail once",
                format!("guardrail {} is listed twice", ticked(name)),
                problems,
            );
        } else {
            names.push(name.to_owned());
        }
    }
    if !names.is_empty() {
        let message = "requests of this route are refused until its guardrails are enabled".to_owned();
        field.warn(message, problems);
    }
    names
}

/// A duration of a mapping, or what holds without it.
fn duration(
    fields: &Fields<'_>,
    name: &str,
    (range, expected): (&RangeInclusive<u64>, &str),
    otherwise_ms: u64,
    problems: &mut Problems,
) -> u64 {
    fields.get(name).and_then(|field| field.duration_ms(range, expected, problems)).unwrap_or(otherwise_ms)
}

fn read_timeouts(field: Option<&Field<'_>>, inherited: Timeouts, problems: &mut Problems) -> Timeouts {
    const FIELDS: &[&str] = &["headers", "first_token", "idle", "total"];
    let fields = field
        .and_then(|field| field.fields(FIELDS, "a mapping with headers, first_token, idle, total", problems));
    let Some(fields) = fields else { return inherited };
    let bounds = (&TIMEOUT_MS, DURATION);
    Timeouts {
        headers_ms: duration(&fields, "headers", bounds, inherited.headers_ms, problems),
        first_token_ms: duration(&fields, "first_token", bounds, inherited.first_token_ms, problems),
        idle_ms: duration(&fields, "idle", bounds, inherited.idle_ms, problems),
        total_ms: duration(&fields, "total", bounds, inherited.total_ms, problems),
    }
}

fn read_retries(field: Option<&Field<'_>>, inherited: Retries, problems: &mut Problems) -> Retries {
    const FIELDS: &[&str] = &["count", "backoff", "backoff_max"];
    const COUNT: &str = "a whole number of retries after the first attempt, 0 to 10";
    let fields =
        field.and_then(|field| field.fields(FIELDS, "a mapping with count, backoff, backoff_max", problems));
    let Some(fields) = fields else { return inherited };
    let bounds = (&BACKOFF_MS, BACKOFF);
    let count = fields.get("count").and_then(|field| field.whole(&RETRIES, COUNT, problems));
    let retries = Retries {
        count: count.and_then(|count| u32::try_from(count).ok()).unwrap_or(inherited.count),
        backoff_ms: duration(&fields, "backoff", bounds, inherited.backoff_ms, problems),
        backoff_max_ms: duration(&fields, "backoff_max", bounds, inherited.backoff_max_ms, problems),
    };
    if let (Some(field), true) = (field, retries.backoff_ms > retries.backoff_max_ms) {
        let message = format!(
            "backoff is {} ms and backoff_max {} ms: the first wait is already longer than the longest",
            retries.backoff_ms, retries.backoff_max_ms
        );
        field.refuse("a backoff that is not above backoff_max", message, problems);
    }
    retries
}
