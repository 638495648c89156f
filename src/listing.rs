//! `/v1/models`: what a key may ask for, in the words of each dialect's SDKs.
//!
//! - OpenAI: one list, prices and sizes as further members.
//! - Anthropic, for requests with `anthropic-version`: pages by `limit`, `after_id`, `before_id`
//!   (<https://platform.claude.com/docs/en/api/models/list>, read 2026-11-21).
//! - Google, below `/v1beta` and for requests with `x-goog-api-key`: pages by `pageSize`, `pageToken`
//!   (<https://ai.google.dev/api/models>, read 2026-11-21).

use crate::{
    admin::parameter,
    admit::wire::KeyRecord,
    config::policy::{Condition, Policy},
    dialect::Dialect,
    model::money::PicoUsd,
    ports::{ClientRequest, World},
    provider::PROVIDERS,
    refusal::Refusal,
    route,
    settle::price::{Headline, Price},
    surface::decoded,
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, ops::RangeInclusive};

/// What a path below `/v1/models` or `/v1beta/models` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All.
    List,
    /// The one of this name.
    One(String),
}

impl Wanted {
    /// Of a path without a slash at its end.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/v1beta/models").or_else(|| path.strip_prefix("/v1/models"))?;
        if rest.is_empty() {
            return Some(Self::List);
        }
        rest.strip_prefix('/').map(|name| Self::One(decoded(name)))
    }
}

/// Whose words the caller expects. OpenAI's and Google's SDKs ask at the same path, and Anthropic's too: each sends a header
/// that the others do not.
pub fn dialect<W: World>(world: &W, path: &str) -> Dialect {
    if path.starts_with("/v1beta/") || world.header("x-goog-api-key").is_some() {
        Dialect::Gemini
    } else if world.header("anthropic-version").is_some() {
        Dialect::Anthropic
    } else {
        Dialect::OpenAiChat
    }
}

/// The answer.
///
/// # Errors
/// 404 for a name that is not in the list; 400 for a page that cannot be.
pub fn answer(
    policy: &Policy,
    key: &KeyRecord,
    request: &ClientRequest,
    dialect: Dialect,
    wanted: &Wanted,
) -> Result<Value, Refusal> {
    let names = names(policy, key);
    match wanted {
        Wanted::One(name) if names.contains(name) => Ok(entry(policy, dialect, name)),
        Wanted::One(name) => Err(Refusal::new(
            404,
            "invalid_request_error",
            "model_not_found",
            format!("The model '{name}' is not known here, or this key may not use it."),
        )),
        Wanted::List => {
            let shown = |page: &[&String]| -> Vec<Value> {
                page.iter().map(|name| entry(policy, dialect, name)).collect()
            };
            match dialect {
                Dialect::Anthropic => {
                    let (page, more) = anthropic_page(&names, request)?;
                    Ok(
                        json!({"data": shown(&page), "has_more": more, "first_id": page.first(), "last_id": page.last()}),
                    )
                }
                Dialect::Gemini => {
                    let (page, next) = gemini_page(&names, request)?;
                    let mut list = json!({"models": shown(&page)});
                    if let (Some(token), Some(members)) = (next, list.as_object_mut()) {
                        members.insert("nextPageToken".to_owned(), json!(token));
                    }
                    Ok(list)
                }
                _ => Ok(json!({"object": "list", "data": shown(&names.iter().collect::<Vec<_>>())})),
            }
        }
    }
}

/// A page, and whether there is more in the direction that was asked for.
fn anthropic_page<'a>(
    names: &'a BTreeSet<String>,
    request: &ClientRequest,
) -> Result<(Vec<&'a String>, bool), Refusal> {
    let limit = size(request, "limit", 20, 1..=1_000)?;
    let (after, before) = (parameter(request, "after_id"), parameter(request, "before_id"));
    // Nothing here is deprecated or retired.
    let stages = request.query.split('&').filter(|pair| pair.starts_with("lifecycle"));
    let mut stages = stages.filter_map(|pair| pair.split_once('=')).peekable();
    if stages.peek().is_some() && !stages.any(|(_, stage)| stage == "active") {
        return Ok((Vec::new(), false));
    }
    let behind = names.iter().filter(|name| after.as_ref().is_none_or(|after| *name > after));
    let within = behind.filter(|name| before.as_ref().is_none_or(|before| *name < before));
    if before.is_some() && after.is_none() {
        // The page right before, in the same order.
        let mut page: Vec<&String> = within.rev().take(limit + 1).collect();
        let more = page.len() > limit;
        page.truncate(limit);
        page.reverse();
        return Ok((page, more));
    }
    let mut page: Vec<&String> = within.take(limit + 1).collect();
    let more = page.len() > limit;
    page.truncate(limit);
    Ok((page, more))
}

/// A page, and the token of the next: the last name of this one.
fn gemini_page<'a>(
    names: &'a BTreeSet<String>,
    request: &ClientRequest,
) -> Result<(Vec<&'a String>, Option<&'a String>), Refusal> {
    // What is larger is cut down, and 0 says nothing.
    let size = match size(request, "pageSize", 50, 0..=usize::MAX)? {
        0 => 50,
        size => size.min(1_000),
    };
    let token = parameter(request, "pageToken");
    let mut rest = names.iter().filter(|name| token.as_ref().is_none_or(|token| *name > token));
    let page: Vec<&String> = rest.by_ref().take(size).collect();
    let next = rest.next().and(page.last().copied());
    Ok((page, next))
}

fn size(
    request: &ClientRequest,
    name: &str,
    default: usize,
    range: RangeInclusive<usize>,
) -> Result<usize, Refusal> {
    let Some(text) = parameter(request, name) else { return Ok(default) };
    text.parse().ok().filter(|size| range.contains(size)).ok_or_else(|| {
        let expected = match (range.start(), range.end()) {
            (_, &usize::MAX) => "a whole number".to_owned(),
            (least, most) => format!("a whole number from {least} to {most}"),
        };
        Refusal::bad_param("invalid_value", name, format!("Invalid '{name}': expected {expected}."))
    })
}

/// A model as SDKs list it, with what is known of the first target the name leads to. When it was made is not known: the
/// beginning of time.
fn entry(policy: &Policy, dialect: Dialect, id: &str) -> Value {
    let first = policy.resolve(id).and_then(|targets| targets.into_iter().next());
    let price = first.and_then(|target| route::stop(policy, target)).and_then(|stop| stop.price);
    let (context, output) = price.map_or((None, None), |price| (price.context_tokens, price.output_tokens));
    match dialect {
        // Strict types want every member.
        Dialect::Anthropic => json!({
            "type": "model", "id": id, "display_name": id, "created_at": "1970-01-01T00:00:00Z",
            "lifecycle": "active", "deprecated_at": null, "retires_at": null, "line": null, "capabilities": null,
            "max_input_tokens": context, "max_tokens": output,
        }),
        Dialect::Gemini => {
            let mut entry = json!({"name": format!("models/{id}"), "baseModelId": id, "displayName": id,
                       "supportedGenerationMethods": methods(price.as_ref())});
            if let Some(members) = entry.as_object_mut() {
                let sizes = [("inputTokenLimit", context), ("outputTokenLimit", output)];
                members.extend(
                    sizes.into_iter().filter_map(|(name, size)| Some((name.to_owned(), json!(size?)))),
                );
            }
            entry
        }
        _ => {
            let mut entry = json!({"id": id, "object": "model", "created": 0, "owned_by": "edgehold"});
            if let (Some(members), Some(price)) = (entry.as_object_mut(), price) {
                members.insert("context_tokens".to_owned(), json!(context));
                members.insert("output_tokens".to_owned(), json!(output));
                members.insert("pricing".to_owned(), pricing(&price.headline()));
            }
            entry
        }
    }
}

/// What Google's clients may call. A model that writes no answer makes vectors, or ranks if that is what is paid for.
fn methods(price: Option<&Price>) -> &'static [&'static str] {
    match price {
        Some(price) if price.search_unit.is_some() => &[],
        Some(price) if price.output_tokens == Some(0) => &["embedContent", "batchEmbedContents"],
        _ => &["generateContent", "streamGenerateContent", "countTokens"],
    }
}

/// Prices as decimal text. What is billed beside words, and what batches cost at the provider, is there where it is known.
fn pricing(shown: &Headline) -> Value {
    let mut prices = Map::new();
    let mut put = |name: &str, price: Option<String>| {
        prices.extend(price.map(|price| (name.to_owned(), json!(price))));
    };
    put("input_usd_per_million", Some(shown.input.per_million()));
    put("output_usd_per_million", Some(shown.output.per_million()));
    put("image_output_usd_per_million", shown.output_image.map(PicoUsd::per_million));
    put("request_usd", shown.request.map(PicoUsd::each));
    put("image_usd", shown.image.map(PicoUsd::each));
    if let Some((input, output)) = shown.batch {
        let batch = json!({"input_usd_per_million": input.per_million(), "output_usd_per_million": output.per_million()});
        prices.insert("batch".to_owned(), batch);
    }
    Value::Object(prices)
}

/// Names a caller may use: aliases, models that routes ask for or lead to. Routes for other teams and customers are theirs to
/// know.
fn names(policy: &Policy, key: &KeyRecord) -> BTreeSet<String> {
    let built_in =
        PROVIDERS.iter().flat_map(|kind| kind.aliases.iter().map(|(alias, _)| (*alias).to_owned()));
    let routes = || policy.routes.iter().filter(|route| route::may_be_for(route, key));
    let targets = routes().flat_map(|route| route.targets.iter().chain(&route.fallbacks));
    let led_to = targets.map(|target| format!("{}/{}", target.provider, target.model));
    let asked_for = routes().flat_map(|route| &route.conditions).filter_map(|condition| match condition {
        Condition::Model(pattern) => Some(pattern.0.iter().filter(|name| !name.contains('*')).cloned()),
        _ => None,
    });
    policy
        .aliases
        .keys()
        .cloned()
        .chain(built_in)
        .chain(led_to)
        .chain(asked_for.flatten())
        .filter(|name| key.models.as_ref().is_none_or(|models| models.matches(name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_model_has_the_size_and_the_charged_price_of_what_it_leads_to() {
        let text =
            "models: {fast: [openai/gpt-4o-mini, mock/echo]}\nroutes: [{name: all}]\nprices: {markup: 1.2}\n";
        let policy = crate::config::compile(text, 1).unwrap().policy;
        let entry = |id| entry(&policy, Dialect::OpenAiChat, id);
        let fast = entry("fast");
        assert_eq!((fast["id"].as_str(), fast["owned_by"].as_str()), (Some("fast"), Some("edgehold")));
        assert_eq!((&fast["context_tokens"], &fast["output_tokens"]), (&json!(128_000), &json!(16_384)));
        assert_eq!(
            fast["pricing"],
            json!({"input_usd_per_million": "0.18", "output_usd_per_million": "0.72",
                   "batch": {"input_usd_per_million": "0.09", "output_usd_per_million": "0.36"}})
        );
        // A size the table does not know, and a model without a price.
        let sonar = entry("perplexity/perplexity/sonar");
        assert!(sonar["context_tokens"].is_null() && sonar["pricing"].is_object(), "{sonar}");
        let unknown = entry("nvidia/some-model");
        assert_eq!(unknown.as_object().unwrap().len(), 4, "{unknown}");
    }

    fn asked(query: &str) -> ClientRequest {
        ClientRequest {
            method: "GET".to_owned(),
            path: String::new(),
            query: query.to_owned(),
            credentials: Vec::new(),
            metadata: String::new(),
            idempotency_key: None,
            body: Vec::new(),
            too_large: false,
        }
    }

    fn many(count: usize) -> BTreeSet<String> {
        (0..count).map(|number| format!("m{number:04}")).collect()
    }

    #[test]
    fn routes_for_other_teams_and_customers_are_not_listed() {
        let text = r#"routes:
  - { name: theirs, match: { team: red, model: red-model }, model: openai/ft-red, fallback: openai/ft-red-2 }
  - { name: rival, match: { customer: rival }, model: openai/ft-rival }
  - { name: ours, match: { team: blue, customer: [acme, rival], model: blue-model }, model: openai/ft-blue }
  - { name: all }
"#;
        let policy = crate::config::compile(text, 1).unwrap().policy;
        let key = |team: &str| -> KeyRecord {
            serde_json::from_value(
                json!({"digest": "d", "id": "k", "name": "n", "customer": "c", "team": "t", "team_name": team,
                "customer_name": "acme", "key": "k", "models": null, "metadata": {}}),
            )
            .unwrap()
        };
        let own = |team: &str| -> Vec<String> {
            names(&policy, &key(team))
                .into_iter()
                .filter(|name| name.contains("ft-") || name.ends_with("-model"))
                .collect()
        };
        assert_eq!(own("blue"), ["blue-model", "openai/ft-blue"]);
        assert_eq!(own("red"), ["openai/ft-red", "openai/ft-red-2", "red-model"]);
        assert!(own("green").is_empty());
    }

    #[test]
    fn paths_tell_what_is_wanted() {
        for (path, expected) in [
            ("/v1/models", Some(Wanted::List)),
            ("/v1beta/models", Some(Wanted::List)),
            ("/v1/models/fast", Some(Wanted::One("fast".to_owned()))),
            ("/v1/models/openai%2Fgpt-4o", Some(Wanted::One("openai/gpt-4o".to_owned()))),
            ("/v1beta/models/openai/gpt-4o", Some(Wanted::One("openai/gpt-4o".to_owned()))),
            ("/v1/modelsx", None),
            ("/v1beta", None),
            ("/v1/key", None),
        ] {
            assert_eq!(Wanted::of(path), expected, "{path}");
        }
    }

    #[test]
    fn anthropics_pages_follow_one_another_in_both_directions() {
        let names = many(45);
        let page = |query: &str| {
            let (page, more) = anthropic_page(&names, &asked(query)).unwrap();
            (page.first().map(|name| name.as_str()), page.last().map(|name| name.as_str()), page.len(), more)
        };
        assert_eq!(page(""), (Some("m0000"), Some("m0019"), 20, true));
        assert_eq!(page("after_id=m0019"), (Some("m0020"), Some("m0039"), 20, true));
        assert_eq!(page("after_id=m0039&limit=5"), (Some("m0040"), Some("m0044"), 5, false));
        assert_eq!(page("before_id=m0040&limit=30"), (Some("m0010"), Some("m0039"), 30, true));
        assert_eq!(page("before_id=m0010"), (Some("m0000"), Some("m0009"), 10, false));
        assert_eq!(page("after_id=m0044"), (None, None, 0, false));
        assert_eq!(page("limit=1000"), (Some("m0000"), Some("m0044"), 45, false));
        assert_eq!(page("lifecycle[]=retired").2, 0);
        assert_eq!(page("lifecycle%5B%5D=retired&lifecycle%5B%5D=active").2, 20);
        for query in ["limit=0", "limit=1001", "limit=x", "limit=-1"] {
            let refusal = anthropic_page(&names, &asked(query)).unwrap_err();
            let expected = "Invalid 'limit': expected a whole number from 1 to 1000.";
            assert_eq!((refusal.status, refusal.message.as_str()), (400, expected), "{query}");
        }
    }

    #[test]
    fn googles_pages_end_without_a_token() {
        let names = many(120);
        let mut query = "pageSize=50".to_owned();
        let mut seen = Vec::new();
        loop {
            let request = asked(&query);
            let (page, next) = gemini_page(&names, &request).unwrap();
            assert!(!page.is_empty());
            seen.extend(page.into_iter().cloned());
            let Some(token) = next else { break };
            query = format!("pageSize=50&pageToken={token}");
        }
        assert!(seen.iter().eq(&names));
        assert_eq!(gemini_page(&names, &asked("")).unwrap().0.len(), 50);
        assert_eq!(gemini_page(&names, &asked("pageSize=0")).unwrap().0.len(), 50);
        assert_eq!(gemini_page(&many(1_100), &asked("pageSize=5000")).unwrap().0.len(), 1_000);
        assert_eq!(gemini_page(&names, &asked("pageSize=-1")).unwrap_err().status, 400);
    }

    #[test]
    fn each_dialect_gets_the_members_its_types_want() {
        let text = "models: {fast: openai/gpt-4o-mini, vec: openai/text-embedding-3-small, rank: cohere/rerank-v3.5, some: nvidia/x}\nroutes: [{name: all}]\n";
        let policy = crate::config::compile(text, 1).unwrap().policy;
        let fast = entry(&policy, Dialect::Anthropic, "fast");
        assert_eq!(
            (&fast["type"], &fast["id"], &fast["display_name"]),
            (&json!("model"), &json!("fast"), &json!("fast"))
        );
        assert_eq!((&fast["max_input_tokens"], &fast["max_tokens"]), (&json!(128_000), &json!(16_384)));
        let some = entry(&policy, Dialect::Anthropic, "some");
        assert!(some["max_tokens"].is_null() && some["created_at"] == "1970-01-01T00:00:00Z");
        let fast = entry(&policy, Dialect::Gemini, "fast");
        assert_eq!((&fast["name"], &fast["inputTokenLimit"]), (&json!("models/fast"), &json!(128_000)));
        assert_eq!(fast["supportedGenerationMethods"][0], "generateContent");
        let vectors = entry(&policy, Dialect::Gemini, "vec");
        assert_eq!(vectors["supportedGenerationMethods"], json!(["embedContent", "batchEmbedContents"]));
        assert_eq!(entry(&policy, Dialect::Gemini, "rank")["supportedGenerationMethods"], json!([]));
        let some = entry(&policy, Dialect::Gemini, "some");
        assert!(
            some.get("inputTokenLimit").is_none() && some["supportedGenerationMethods"][2] == "countTokens"
        );
    }

    #[test]
    fn what_is_billed_beside_words_is_shown() {
        let text = "routes: [{name: all}]\nproviders: {lab: {base_url: \"https://lab.example/v1\", api_key: none}}\nprices: {lab/m: {input: 1, output: 2, image_output: 30, per_request: 0.005, per_image: 2}}\n";
        let policy = crate::config::compile(text, 1).unwrap().policy;
        let pricing = |id| entry(&policy, Dialect::OpenAiChat, id)["pricing"].clone();
        assert_eq!(
            pricing("lab/m"),
            json!({"input_usd_per_million": "1", "output_usd_per_million": "2", "image_output_usd_per_million": "30",
                   "request_usd": "0.005", "image_usd": "2"})
        );
        assert_eq!(pricing("openai/gpt-5-search-api")["request_usd"], "0.01");
        assert_eq!(pricing("gemini/gemini-3.1-flash-image")["image_output_usd_per_million"], "60");
    }
}
