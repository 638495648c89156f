//! What the registry promises.

use super::*;
use std::collections::BTreeSet;

#[test]
fn names_are_unique_and_urls_have_no_trailing_slash() {
    for (index, provider) in PROVIDERS.iter().enumerate() {
        assert!(PROVIDERS.iter().skip(index + 1).all(|other| other.name != provider.name));
        assert!(provider.base_url.is_none_or(|url| url.starts_with("https://") && !url.ends_with('/')));
        assert!(by_name(provider.name).is_some());
    }
}

#[test]
fn what_stands_in_braces_is_a_setting_and_every_setting_is_used() {
    for provider in PROVIDERS {
        let declared: BTreeSet<&str> = provider.settings.iter().map(|setting| setting.name).collect();
        let paths = provider
            .endpoints
            .iter()
            .flat_map(|endpoint| [Some(endpoint.path), endpoint.path_stream])
            .flatten();
        let templates = paths
            .chain(provider.base_url)
            .chain(provider.health)
            .chain(provider.elsewhere.iter().map(|other| other.base_url));
        let mut used: BTreeSet<&str> = templates.flat_map(endpoint::placeholders).collect();
        used.remove("model");
        used.remove("action");
        assert_eq!(used, declared, "{}", provider.name);
        for other in provider.elsewhere {
            assert!(declared.contains(other.setting), "{}", provider.name);
        }
    }
}

#[test]
fn every_kind_can_be_asked_and_no_ability_is_both_had_and_lacked() {
    for provider in PROVIDERS {
        let name = provider.name;
        assert!(provider.endpoint(Operation::Chat).is_some(), "{name}");
        for endpoint in provider.endpoints {
            assert!(endpoint.path.starts_with('/'), "{name}");
            assert!(endpoint.path_stream.is_none_or(|path| path.starts_with('/')), "{name}");
        }
        for (ability, heading) in Ability::ALL {
            assert!(
                !(provider.can.contains(&ability) && provider.cannot.contains(&ability)),
                "{name}: {heading}"
            );
        }
        assert!(provider.priced_as.is_none_or(|kind| by_name(kind).is_some()), "{name}");
        let spoken = provider.source.starts_with("https://");
        assert!(spoken || ["mock", "openai-compatible"].contains(&name), "{name} has no source");
    }
}

#[test]
fn aliases_and_claims_are_of_one_provider_only() {
    let mut seen = BTreeSet::new();
    for provider in PROVIDERS {
        for name in provider.model_prefixes.iter().chain(provider.aliases.iter().map(|(alias, _)| alias)) {
            assert!(seen.insert(*name), "{name} leads to two providers");
        }
    }
}

#[test]
fn a_client_is_answered_in_its_own_dialect_where_the_provider_speaks_it() {
    let chat = |kind: &str, client| {
        let endpoint = by_name(kind).unwrap().chat(client).unwrap();
        (endpoint.chat().unwrap(), endpoint.path)
    };
    assert_eq!(chat("openai", Dialect::OpenAiChat), (Dialect::OpenAiChat, "/chat/completions"));
    assert_eq!(chat("openai", Dialect::OpenAiResponses), (Dialect::OpenAiResponses, "/responses"));
    assert_eq!(chat("openai", Dialect::Anthropic), (Dialect::OpenAiChat, "/chat/completions"));
    assert_eq!(chat("anthropic", Dialect::OpenAiChat), (Dialect::Anthropic, "/messages"));
    assert_eq!(chat("perplexity", Dialect::OpenAiChat), (Dialect::OpenAiResponses, "/responses"));
}

#[test]
fn settings_make_the_base_url() {
    let home = |kind: &str, settings: &[(&str, &str)]| {
        let settings =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        by_name(kind).unwrap().home(&settings).unwrap()
    };
    assert_eq!(
        home("bedrock", &[("region", "eu-west-1")]),
        "https://bedrock-runtime.eu-west-1.amazonaws.com"
    );
    assert_eq!(
        home("bedrock", &[("region", "cn-north-1")]),
        "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"
    );
    let vertex = |location| home("vertex", &[("location", location), ("project", "p-1")]);
    assert_eq!(
        vertex("us-central1"),
        "https://us-central1-aiplatform.googleapis.com/v1/projects/p-1/locations/us-central1/publishers/google"
    );
    assert_eq!(
        vertex("global"),
        "https://aiplatform.googleapis.com/v1/projects/p-1/locations/global/publishers/google"
    );
    assert_eq!(
        vertex("eu"),
        "https://aiplatform.eu.rep.googleapis.com/v1/projects/p-1/locations/eu/publishers/google"
    );
    let at = |kind, location| home(kind, &[("location", location), ("project", "p-1")]);
    assert_eq!(
        at("vertex-anthropic", "europe-west1"),
        "https://europe-west1-aiplatform.googleapis.com/v1/projects/p-1/locations/europe-west1/publishers/anthropic"
    );
    assert_eq!(
        at("vertex-openai", "global"),
        "https://aiplatform.googleapis.com/v1/projects/p-1/locations/global/endpoints/openapi"
    );
    assert_eq!(home("alibaba", &[("region", "cn")]), "https://dashscope.aliyuncs.com/compatible-mode/v1");
    assert_eq!(home("alibaba", &[("region", "us")]), "https://dashscope-us.aliyuncs.com/compatible-mode/v1");
}

#[test]
fn a_provider_with_a_home_and_nothing_to_say_is_there_without_being_configured() {
    let ready: Vec<&str> = PROVIDERS
        .iter()
        .filter(|provider| provider.base_url.is_some() && provider.default_settings().is_some())
        .map(|provider| provider.name)
        .collect();
    for name in ["openai", "anthropic", "gemini", "alibaba", "workers-ai", "mock"] {
        assert!(ready.contains(&name), "{name}");
    }
    for name in ["azure", "azure-deployments", "bedrock", "vertex", "cloudflare", "vllm", "openai-compatible"]
    {
        assert!(!ready.contains(&name), "{name}");
    }
}

#[test]
fn what_a_base_url_of_ones_own_does_not_spare() {
    let needs = |kind: &str, setting| by_name(kind).unwrap().needs_anyway(setting);
    assert!(needs("bedrock", "region") && needs("azure-deployments", "api_version"));
    assert!(
        !needs("azure-deployments", "resource")
            && !needs("vertex", "location")
            && !needs("alibaba", "region")
    );
}
