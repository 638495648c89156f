//! What the schema promises, from text to policy.

use super::policy::*;
use super::*;
use crate::model::money::PicoUsd;
use crate::provider::OutputCapField;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The configuration of the design, as written there.
const DESIGN: &str = r#"# Routes are matched top-down; the first match wins.
routes:
  - name: cheap-default
    match: { team: "*", task: "summarize" }
    model: gpt-4o-mini
    rate_limit: { rpm: 600 }
    cache: { ttl: 3600 }       # identical prompts are free for an hour
    fallback: claude-haiku     # used if the primary errors or times out

  - name: high-stakes
    match: { team: "billing" }
    model: claude-sonnet
    rate_limit: { rpm: 60 }
    guardrails: [pii-redact, no-secrets]
    cache: { ttl: 0 }          # never cache sensitive answers
"#;

/// Every field once.
const FULL: &str = r#"
providers:
  openai:
    headers: { OpenAI-Organization: org-1, x-build: 7 }
  eu:
    kind: openai
    base_url: https://eu.example.com/v1/
    api_key: secret://EU_KEY
  lab:
    base_url: http://gpu.internal:8000/v1
    api_key: none
models:
  fast: [lab/llama-3/8b, gpt-4o-mini]
  good: claude-sonnet
  either: [good, fast, openai/gpt-4o-mini]
defaults:
  timeouts: { total: 5m }
  retries: { count: 0 }
routes:
  - name: one
    match:
      team: [billing, "ops-*"]
      customer: acme
      model: "gpt-*"
      path: /v1/chat/completions
      headers: { X-Env: prod }
      task: summarize
      tier: 2
      beta: true
    model: either
    fallback: mock/echo
    rate_limit: { rpm: 600, tpm: 100000 }
    cache: { ttl: 1h }
    guardrails: [pii-redact]
    timeouts: { headers: 2, first_token: 500ms, idle: 1m }
    retries: { count: 3, backoff: 100ms, backoff_max: 2s }
  - name: rest
prices:
  lab/llama-3/8b: { input: 0.15, cached_input: "0.0375", cache_write: 1e-1, output: 0, context_tokens: 8192, output_tokens: 4096 }
"#;

fn accepted(text: &str) -> Compiled {
    compile(text, 7).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

fn refused(text: &str) -> Vec<String> {
    compile(text, 7).expect_err(text).iter().map(ToString::to_string).collect()
}

fn target(provider: &str, model: &str) -> Target {
    Target { provider: provider.to_owned(), model: model.to_owned() }
}

fn any_of(alternatives: &[&str]) -> Pattern {
    Pattern(alternatives.iter().map(|text| (*text).to_owned()).collect())
}

#[test]
fn the_configuration_of_the_design_means_what_it_says() {
    let Compiled { policy, warnings } = accepted(DESIGN);
    let expected = vec![
        Route {
            name: "cheap-default".to_owned(),
            conditions: vec![
                Condition::Team(any_of(&["*"])),
                Condition::Metadata("task".to_owned(), any_of(&["summarize"])),
            ],
            targets: vec![target("openai", "gpt-4o-mini")],
            fallbacks: vec![target("anthropic", "claude-haiku-4-5")],
            rate_limit: Some(RateLimit { rpm: Some(600), tpm: None }),
            cache: Some(CacheRule { ttl_s: 3_600 }),
            guardrails: vec![],
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            clamp: false,
            estimate_unreported: false,
            strict_translation: false,
        },
        Route {
            name: "high-stakes".to_owned(),
            conditions: vec![Condition::Team(any_of(&["billing"]))],
            targets: vec![target("anthropic", "claude-sonnet-4-5")],
            fallbacks: vec![],
            rate_limit: Some(RateLimit { rpm: Some(60), tpm: None }),
            cache: Some(CacheRule { ttl_s: 0 }),
            guardrails: vec!["pii-redact".to_owned(), "no-secrets".to_owned()],
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            clamp: false,
            estimate_unreported: false,
            strict_translation: false,
        },
    ];
    assert_eq!(policy.version, 7);
    assert_eq!(policy.routes, expected);
    assert_eq!(
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "line 14, routes[1].guardrails: requests of this route are refused until its guardrails are enabled"
        ]
    );
}

#[test]
fn every_field_arrives_in_the_policy() {
    let Compiled { policy, warnings } = accepted(FULL);
    assert_eq!(warnings.len(), 1, "the guardrail: {warnings:?}");

    let provider = |name: &str| policy.providers.get(name).unwrap().clone();
    let openai = provider("openai");
    assert_eq!((openai.kind.as_str(), openai.secret.as_deref()), ("openai", Some("OPENAI_API_KEY")));
    assert_eq!(openai.base_url, "https://api.openai.com/v1");
    let headers: Vec<_> =
        openai.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(headers, [("openai-organization", "org-1"), ("x-build", "7")]);
    let eu = provider("eu");
    assert_eq!(
        (eu.kind.as_str(), eu.base_url.as_str(), eu.secret.as_deref()),
        ("openai", "https://eu.example.com/v1", Some("EU_KEY"))
    );
    let lab = provider("lab");
    assert_eq!(
        (lab.kind.as_str(), lab.base_url.as_str(), lab.secret),
        ("openai-compatible", "http://gpu.internal:8000/v1", None)
    );
    assert!(policy.providers.contains_key("anthropic") && policy.providers.contains_key("mock"));
    assert!(!policy.providers.contains_key("openai-compatible"), "it has no home of its own");

    let (llama, mini, sonnet) = (
        target("lab", "llama-3/8b"),
        target("openai", "gpt-4o-mini"),
        target("anthropic", "claude-sonnet-4-5"),
    );
    assert_eq!(policy.aliases["fast"], [llama.clone(), mini.clone()]);
    assert_eq!(
        policy.aliases["either"],
        [sonnet.clone(), llama.clone(), mini.clone()],
        "flattened, each target once"
    );
    assert_eq!(policy.resolve("either"), Some(vec![sonnet.clone(), llama.clone(), mini.clone()]));

    let one = &policy.routes[0];
    assert_eq!(
        one.conditions,
        [
            Condition::Team(any_of(&["billing", "ops-*"])),
            Condition::Customer(any_of(&["acme"])),
            Condition::Model(any_of(&["gpt-*"])),
            Condition::Path(any_of(&["/v1/chat/completions"])),
            Condition::Header("x-env".to_owned(), any_of(&["prod"])),
            Condition::Metadata("task".to_owned(), any_of(&["summarize"])),
            Condition::Metadata("tier".to_owned(), any_of(&["2"])),
            Condition::Metadata("beta".to_owned(), any_of(&["true"])),
        ]
    );
    assert_eq!(policy.matched_headers, ["x-env"]);
    assert_eq!(one.targets, [sonnet, llama, mini]);
    assert_eq!(one.fallbacks, [target("mock", "echo")]);
    assert_eq!(one.rate_limit, Some(RateLimit { rpm: Some(600), tpm: Some(100_000) }));
    assert_eq!(one.cache, Some(CacheRule { ttl_s: 3_600 }));
    assert_eq!(
        one.timeouts,
        Timeouts { headers_ms: 2_000, first_token_ms: 500, idle_ms: 60_000, total_ms: 300_000 }
    );
    assert_eq!(one.retries, Retries { count: 3, backoff_ms: 100, backoff_max_ms: 2_000 });

    let rest = &policy.routes[1];
    assert!(rest.conditions.is_empty() && rest.targets.is_empty() && rest.fallbacks.is_empty());
    assert_eq!(rest.timeouts, Timeouts { total_ms: 300_000, ..Timeouts::default() });
    assert_eq!(rest.retries, Retries { count: 0, ..Retries::default() });

    let price = policy.prices["lab/llama-3/8b"];
    assert_eq!((price.input.0, price.output.0), (150_000, 0));
    assert_eq!(price.cache_read.map(|price| price.0), Some(37_500));
    assert_eq!(price.cache_write.map(|price| price.0), Some(100_000));
    assert_eq!((price.context_tokens, price.output_tokens), (Some(8_192), Some(4_096)));
}

#[test]
fn json_means_the_same_as_yaml() {
    let json = "{\n\t\"routes\": [\n\t\t{\"name\":\"a\",\"match\":{\"team\":\"*\",\"n\":1},\"model\":[\"gpt-4o\",\"mock\\/x\"],\n\t\t \"timeouts\":{\"total\":\"10m\"}}\n\t]\n}\n";
    let yaml = "routes:\n- name: a\n  match: {team: '*', n: 1}\n  model:\n  - gpt-4o\n  - mock/x\n  timeouts:\n    total: 10m\n";
    assert_eq!(accepted(json).policy, accepted(yaml).policy);
}

#[test]
fn what_a_kind_wants_to_know_makes_its_base_url() {
    let text = r#"
providers:
  bedrock: { region: eu-central-1 }
  gcp: { kind: vertex, project: my-project-1, location: us-central1 }
  vertex: { project: 123456 }
  azure: { resource: contoso }
  azure-deployments: { base_url: "https://apim.example.com/openai", api_key: secret://APIM, api_version: 2025-04-01-preview }
  cf: { kind: cloudflare, account_id: 0123456789abcdef0123456789abcdef }
  qwen: { kind: alibaba, region: cn }
  mine: { kind: bedrock, base_url: "https://vpce.example.com", region: us-east-1, api_key: secret://AWS }
routes:
  - { name: all }
"#;
    let Compiled { policy, warnings } = accepted(text);
    assert!(warnings.is_empty(), "{warnings:?}");
    let url = |name: &str| policy.providers[name].base_url.as_str();
    assert_eq!(url("bedrock"), "https://bedrock-runtime.eu-central-1.amazonaws.com");
    assert_eq!(
        url("gcp"),
        "https://us-central1-aiplatform.googleapis.com/v1/projects/my-project-1/locations/us-central1/publishers/google"
    );
    assert_eq!(
        url("vertex"),
        "https://aiplatform.googleapis.com/v1/projects/123456/locations/global/publishers/google"
    );
    assert_eq!(url("azure"), "https://contoso.openai.azure.com/openai/v1");
    assert_eq!(
        url("cf"),
        "https://api.cloudflare.com/client/v4/accounts/0123456789abcdef0123456789abcdef/ai/v1"
    );
    assert_eq!(url("qwen"), "https://dashscope.aliyuncs.com/compatible-mode/v1");
    // Used by the path and by the signature, whatever the base URL is.
    let settings = |name: &str| policy.providers[name].settings.clone();
    assert_eq!(settings("azure-deployments")["api_version"], "2025-04-01-preview");
    assert_eq!(settings("mine")["region"], "us-east-1");
    assert_eq!(settings("gcp").len(), 2);

    // A policy from before there were settings.
    let mut json = serde_json::to_value(&policy).unwrap();
    let without = json["providers"]["bedrock"].as_object_mut().unwrap();
    assert!(without.remove("settings").is_some());
    let old: Policy = serde_json::from_value(json).unwrap();
    assert!(old.providers["bedrock"].settings.is_empty());
    assert!(!serde_json::to_string(&old.providers["openai"]).unwrap().contains("settings"));
}

#[test]
fn prices_may_be_those_of_another_line_and_marked_up() {
    let text = r#"
providers: { azure: { resource: contoso } }
routes: [{ name: all }]
prices:
  markup: { "*": 1.2, openai: "0.85" }
  azure/chat-prod: { like: azure/eu/gpt-5.4 }
"#;
    let policy = accepted(text).policy;
    assert_eq!(policy.markups, BTreeMap::from([("*".to_owned(), 1_200_000), ("openai".to_owned(), 850_000)]));
    assert_eq!(policy.priced_like["azure/chat-prod"], "azure/eu/gpt-5.4");
    let for_all = accepted("routes: [{name: a}]\nprices: {markup: 1.5}").policy;
    assert_eq!(for_all.markups, BTreeMap::from([("*".to_owned(), 1_500_000)]));
    // A policy from before there were any.
    let old = serde_json::to_string(&accepted("routes: [{name: a}]").policy).unwrap();
    assert!(!old.contains("markups") && !old.contains("priced_like"));
    let old: Policy = serde_json::from_str(&old).unwrap();
    assert!(old.markups.is_empty() && old.priced_like.is_empty());

    for (prices, expected) in [
        (
            "openai/x: {like: gpt-4o}",
            "line 1, prices[\"openai/x\"].like: expected a kind and a model of the built-in price table, such as azure/eu/gpt-5.4, found \"gpt-4o\"",
        ),
        (
            "openai/x: {like: openai/gpt-4o, input: 1}",
            "line 1, prices[\"openai/x\"].input: `input` and `like` exclude one another: the table's line says it",
        ),
        (
            "markup: 20%",
            "line 1, prices.markup: expected a factor such as 1.2 or 0.85, at most 6 decimals and at most 1000, found \"20%\"",
        ),
        (
            "markup: {opnai: 1.1}",
            "line 1, prices.markup.opnai: `opnai` is no provider: expected a configured provider, or \"*\"",
        ),
        (
            "markup: {openai: -1}",
            "line 1, prices.markup.openai: expected a factor such as 1.2 or 0.85, at most 6 decimals and at most 1000, found -1",
        ),
        (
            "markup: {openai: 1.1234567}",
            "line 1, prices.markup.openai: expected a factor such as 1.2 or 0.85, at most 6 decimals and at most 1000, found 1.1234567",
        ),
    ] {
        assert_eq!(refused(&format!("prices: {{{prices}}}")), [expected], "{prices}");
    }
}

#[test]
fn what_is_billed_by_the_piece_and_at_one_tier_is_read_exactly() {
    let text = r#"
providers: { lab: { base_url: "https://lab.example/v1", api_key: none } }
routes: [{ name: all }]
prices:
  lab/painter: { input: 0.3, output: 2.5, image_output: 30, per_request: 0.005, per_image: "0.000000001" }
  lab/nightly: { like: openai/gpt-5, tier: batch }
"#;
    let policy = accepted(text).policy;
    let painter = &policy.prices["lab/painter"];
    assert_eq!(painter.output_image, Some(PicoUsd(30_000_000)));
    assert_eq!((painter.request, painter.image), (Some(PicoUsd(5_000_000_000)), Some(PicoUsd(1_000))));
    assert_eq!(policy.priced_at, BTreeMap::from([("lab/nightly".to_owned(), "batch".to_owned())]));
    // What says nothing of them is stored as before.
    let plain = accepted("routes: [{name: a}]\nprices: {openai/x: {input: 1, output: 2}}").policy;
    let stored = serde_json::to_string(&plain).unwrap();
    assert!(
        !stored.contains("priced_at") && !stored.contains("image") && !stored.contains("request\""),
        "{stored}"
    );

    for (price, expected) in [
        (
            "{input: 1, output: 2, per_request: 0.0000000001}",
            "per_request: expected US dollars each, a decimal number such as 0.005, at most 9 decimals and at most 1000, found 0.0000000001",
        ),
        (
            "{input: 1, output: 2, per_image: 1001}",
            "per_image: expected US dollars each, a decimal number such as 0.005, at most 9 decimals and at most 1000, found 1001",
        ),
        (
            "{input: 1, output: 2, image_output: -1}",
            "image_output: expected US dollars per million tokens, a decimal number such as 0.15, at most 6 decimals and at most 1000000, found -1",
        ),
        (
            "{input: 1, output: 2, tier: batch}",
            "tier: `tier` stands beside `like` only: it names a tier of that line",
        ),
        (
            "{like: openai/gpt-5, per_image: 1}",
            "per_image: `per_image` and `like` exclude one another: the table's line says it",
        ),
        (
            "{like: openai/gpt-5, tier: fast}",
            "tier: expected one of the tiers of that line: batch, flex, priority, found \"fast\"",
        ),
        (
            "{like: groq/openai/gpt-oss-120b, tier: batch}",
            "tier: expected no tier: groq/openai/gpt-oss-120b has none of its own in the table, found \"batch\"",
        ),
    ] {
        let problem = format!("line 1, prices[\"openai/x\"].{expected}");
        assert_eq!(refused(&format!("prices: {{openai/x: {price}}}")), [problem], "{price}");
    }
}

#[test]
fn what_a_kind_wants_to_know_is_checked() {
    for (provider, expected) in [
        (
            "workers-ai: {api_key: secret://TOKEN}",
            "line 1, providers.workers-ai.api_key: the kind workers-ai is asked through the Worker's binding AI; it has neither address nor credential",
        ),
        (
            "mine: {kind: workers-ai, base_url: \"https://a.example\"}",
            "line 1, providers.mine.base_url: the kind workers-ai is asked through the Worker's binding AI; it has neither address nor credential",
        ),
        (
            "bedrock: {}",
            "line 1, providers.bedrock.region: `region` is missing: expected an AWS region, such as us-east-1",
        ),
        (
            "bedrock:",
            "line 1, providers.bedrock: expected `region`: an AWS region, such as us-east-1, found nothing",
        ),
        (
            "mine: {kind: bedrock, base_url: \"https://a.example\", api_key: none}",
            "line 1, providers.mine.region: `region` is missing: expected an AWS region, such as us-east-1",
        ),
        (
            "bedrock: {region: us-east-1.evil.example/}",
            "line 1, providers.bedrock.region: expected an AWS region, such as us-east-1, found \"us-east-1.evil.example/\"; 1 to 63 small letters, digits and inner `-`",
        ),
        (
            "bedrock: {region: US-EAST-1}",
            "line 1, providers.bedrock.region: expected an AWS region, such as us-east-1, found \"US-EAST-1\"; 1 to 63 small letters, digits and inner `-`",
        ),
        (
            "alibaba: {region: ap-southeast-1}",
            "line 1, providers.alibaba.region: expected intl (Singapore), us, cn (Beijing) or hk (Hong Kong), found \"ap-southeast-1\"",
        ),
        (
            "openai: {region: us-east-1}",
            "line 1, providers.openai.region: the kind openai has no setting `region`; it takes no settings",
        ),
        (
            "vertex: {project: a, region: b}",
            "line 1, providers.vertex.region: the kind vertex has no setting `region`; it takes `project`, `location`",
        ),
    ] {
        assert_eq!(refused(&format!("providers: {{{provider}}}")), [expected], "{provider}");
    }
}

#[test]
fn clamps_and_cap_fields_are_kept_and_old_policies_have_none() {
    let text = "providers: {lab: {base_url: \"http://lab:1/v1\", output_cap_field: as_sent}}\nroutes:\n- {name: a, clamp: true}\n- {name: b, clamp: false}\n";
    let policy = accepted(text).policy;
    assert_eq!(policy.providers["lab"].output_cap_field, Some(OutputCapField::AsSent));
    assert_eq!(policy.providers["openai"].output_cap_field, None);
    assert_eq!(policy.routes.iter().map(|route| route.clamp).collect::<Vec<_>>(), [true, false]);
    let json = serde_json::to_string(&policy).unwrap();
    assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
    let old = json.replace(",\"clamp\":true", "").replace(",\"output_cap_field\":\"as_sent\"", "");
    assert!(!old.contains("clamp") && !old.contains("output_cap_field"), "{old}");
    let old: Policy = serde_json::from_str(&old).unwrap();
    assert!(!old.routes[0].clamp && old.providers["lab"].output_cap_field.is_none());
}

#[test]
fn nothing_is_a_configuration_without_routes() {
    for text in [
        "",
        "\n\n",
        "# nothing yet\n",
        "{}",
        "~",
        "---\n...\n",
        "routes:\nmodels:\n  # commented out\n",
        "\u{feff}",
    ] {
        let Compiled { policy, warnings } = accepted(text);
        assert_eq!(Policy { version: 0, ..policy }, Policy::resolve_default(), "{text:?}");
        assert_eq!(warnings.len(), 1);
        assert_eq!(
            warnings[0].message,
            "there are no routes: every request is refused with 404 until one is added"
        );
    }
}

#[test]
fn a_problem_says_where_what_and_what_instead() {
    let text = DESIGN.replace("rpm: 600", "rpm: six hundred");
    let problems = compile(&text, 1).unwrap_err();
    assert_eq!(
        problems,
        [Problem {
            path: "routes[0].rate_limit.rpm".to_owned(),
            line: 6,
            column: 24,
            found: "\"six hundred\"".to_owned(),
            expected: "a positive whole number of requests per minute".to_owned(),
            message: "expected a positive whole number of requests per minute, found \"six hundred\""
                .to_owned(),
        }]
    );
    assert_eq!(
        problems[0].to_string(),
        "line 6, routes[0].rate_limit.rpm: expected a positive whole number of requests per minute, found \"six hundred\""
    );
    assert_eq!(
        serde_json::to_value(&problems[0]).unwrap()["path"],
        serde_json::json!("routes[0].rate_limit.rpm")
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let problems = refused(
        "providers:\n  x: { kind: opena, base_url: ftp://x }\nroute: []\nroutes:\n- name: a\n  modle: gpt-4o\n  rate_limit: { rpm: 0, tpm: -1 }\n- name: a\n  model: nope\n  fallback: []\n",
    );
    let starts = [
        "line 2, providers.x.kind: expected a kind of provider",
        "line 2, providers.x.base_url: expected a base URL",
        "line 3, route: unknown section `route`; did you mean `routes`? (known: providers, models, routes, defaults, prices)",
        "line 6, routes[0].modle: unknown field `modle`; did you mean `model`?",
        "line 7, routes[0].rate_limit.rpm: expected a positive whole number of requests per minute, found 0",
        "line 7, routes[0].rate_limit.tpm: expected a positive whole number of tokens per minute, found -1",
        "line 8, routes[1].name: the name `a` is already that of routes[0]",
        "line 9, routes[1].model: unknown model `nope`",
        "line 10, routes[1].fallback: expected a model, or a list of models with the first choice first, found an empty list",
    ];
    assert_eq!(problems.len(), starts.len(), "{problems:#?}");
    for (problem, start) in problems.iter().zip(starts) {
        assert!(problem.starts_with(start), "{problem}\n{start}");
    }
}

#[test]
fn each_mistake_is_refused_where_it_stands() {
    // Text, and how the first problem begins.
    for (text, start) in [
        // The form.
        ("[]", "line 1: expected a mapping with the sections"),
        ("text", "line 1: expected a mapping with the sections"),
        ("a: 1\n---\nb: 1\n", "line 2: a second document starts here"),
        ("routes: []\nroutes: []\n", "line 2, routes: `routes` is already written on line 1"),
        ("models: {a: gpt-4o, \"a\": mock/x}", "line 1, models.a: `a` is already written on line 1"),
        ("routes:\n- name: a\n  name: b\n", "line 3, routes[0].name: `name` is already written on line 2"),
        ("routes: &x []", "line 1, routes: YAML anchors"),
        ("models: {a: &x gpt-4o, b: *x}", "line 1, models.a: YAML anchors"),
        (
            "routes:\n- name: a\n  match: { team: * }\n",
            "line 3, routes[0].match.team: not valid YAML or JSON",
        ),
        ("routes:\n- <<: {name: a}\n", "line 2, routes[0][\"<<\"]: YAML merge keys"),
        ("routes: !!seq []", "line 1, routes: YAML tags"),
        ("routes:\n\t- name: a\n", "line 2, routes: not valid YAML or JSON: tabs"),
        ("routes:\n- name: a\n  model: b: c\n", "line 3, routes[0]: not valid YAML or JSON"),
        ("routes: [", "line 2, routes[0]: not valid YAML or JSON"),
        ("? [a]\n: b", "line 1: a key must be a word"),
        ("~: b", "line 1, [\"~\"]: a key is missing"),
        ("routes: []\n# \0 {", "line 2: the control character U+0000"),
        // Providers.
        ("providers: []", "line 1, providers: expected a mapping of provider names, found a list"),
        ("providers: {a b: {}}", "line 1, providers[\"a b\"]: `a b` cannot name a provider"),
        ("providers: {\"\": {}}", "line 1, providers[\"\"]: `` cannot name a provider"),
        ("providers: {a/b: {}}", "line 1, providers[\"a/b\"]: `a/b` cannot name a provider"),
        ("providers: {x: {}}", "line 1, providers.x.base_url: `base_url` is missing"),
        (
            "providers: {x: }",
            "line 1, providers.x: expected a mapping with kind, base_url, api_key, headers, …, found nothing",
        ),
        (
            "providers: {openai-compatible: {}}",
            "line 1, providers.openai-compatible.base_url: `base_url` is missing",
        ),
        (
            "providers: {openai: {kind: Anthropic}}",
            "line 1, providers.openai.kind: expected a kind of provider",
        ),
        (
            "providers: {openai: {base_url: http://api.example.com}}",
            "line 1, providers.openai.base_url: expected a base URL",
        ),
        (
            "providers: {openai: {output_cap_field: maxtokens}}",
            "line 1, providers.openai.output_cap_field: expected the member that caps output: max_tokens, max_completion_tokens or as_sent",
        ),
        ("routes: [{name: a, clamp: yes}]", "line 1, routes[0].clamp: expected true or false, found \"yes\""),
        (
            "routes: [{name: a, clamp: \"true\"}]",
            "line 1, routes[0].clamp: expected true or false, found \"true\"; without quotes",
        ),
        ("providers: {openai: {api_key: }}", "line 1, providers.openai.api_key: expected secret://NAME"),
        (
            "providers: {openai: {api_key: secret://}}",
            "line 1, providers.openai.api_key: expected secret://NAME",
        ),
        (
            "providers: {openai: {api_key: secret://lower}}",
            "line 1, providers.openai.api_key: expected secret://NAME",
        ),
        (
            "providers: {openai: {api_key: secret://_A}}",
            "line 1, providers.openai.api_key: expected secret://NAME",
        ),
        (
            "providers: {openai: {api_key: secret://A/B}}",
            "line 1, providers.openai.api_key: expected secret://NAME",
        ),
        (
            "providers: {openai: {api_key: secret://ADMIN_TOKEN}}",
            "line 1, providers.openai.api_key: expected secret://NAME",
        ),
        (
            "providers: {openai: {api_key: secret://EDGEHOLD_X}}",
            "line 1, providers.openai.api_key: expected secret://NAME",
        ),
        (
            "providers: {openai: {headers: {\"a b\": c}}}",
            "line 1, providers.openai.headers[\"a b\"]: `a b` is not the name of a header",
        ),
        (
            "providers: {openai: {headers: {Authorization: x}}}",
            "line 1, providers.openai.headers.Authorization: header `authorization` carries",
        ),
        (
            "providers: {openai: {headers: {x-my-token: x}}}",
            "line 1, providers.openai.headers.x-my-token: header `x-my-token` carries",
        ),
        (
            "providers: {openai: {headers: {x-a: Bearer x}}}",
            "line 1, providers.openai.headers.x-a: the value looks like a credential",
        ),
        (
            "providers: {openai: {headers: {x-a: secret://X}}}",
            "line 1, providers.openai.headers.x-a: the value looks like a credential",
        ),
        (
            "providers: {openai: {headers: {Host: x}}}",
            "line 1, providers.openai.headers.Host: header `host` is written by",
        ),
        (
            "providers: {openai: {headers: {x-a: \"b\\r\\nc: d\"}}}",
            "line 1, providers.openai.headers.x-a: expected a header value",
        ),
        (
            "providers: {openai: {headers: {x-a: é}}}",
            "line 1, providers.openai.headers.x-a: expected a header value",
        ),
        (
            "providers: {openai: {headers: {x-a: b, X-A: c}}}",
            "line 1, providers.openai.headers.X-A: header `x-a` is set twice",
        ),
        // Models.
        ("models: {a: a}", "line 1, models.a: alias `a` leads back to itself: `a` → `a`"),
        (
            "models: {a: [gpt-4o, b], b: a}",
            "line 1, models.a: alias `a` leads back to itself: `a` → `b` → `a`",
        ),
        (
            "models: {a: opnai/x}",
            "line 1, models.a: unknown provider `opnai` in `opnai/x`; did you mean `openai/x`?",
        ),
        ("models: {a: openai-compatible/x}", "line 1, models.a: unknown provider `openai-compatible`"),
        ("models: {fast: gpt-4o, b: fats}", "line 1, models.b: unknown model `fats`; did you mean `fast`?"),
        ("models: {a: 4}", "line 1, models.a: expected a model"),
        ("models: {a: [gpt-4o, [x]]}", "line 1, models.a[1]: expected a model"),
        ("models: {a: gpt 4}", "line 1, models.a: expected a model"),
        ("models: {a: }", "line 1, models.a: expected a model, or a list"),
        ("models: {openai/a: gpt-4o}", "line 1, models[\"openai/a\"]: `openai/a` can never be reached"),
        ("models: {a b: gpt-4o}", "line 1, models[\"a b\"]: `a b` cannot be an alias"),
        // Routes.
        ("routes: {}", "line 1, routes: expected a list of routes, found a mapping"),
        ("routes: [a]", "line 1, routes[0]: expected a mapping"),
        ("routes: [{}]", "line 1, routes[0].name: `name` is missing"),
        ("routes: [{name: ''}]", "line 1, routes[0].name: expected a name of 1 to 64"),
        ("routes: [{name: a b}]", "line 1, routes[0].name: expected a name of 1 to 64"),
        ("routes: [{name: 1}]", "line 1, routes[0].name: expected a name of 1 to 64"),
        ("routes: [{name: a, model: }]", "line 1, routes[0].model: expected a model"),
        ("routes: [{name: a, match: }]", "line 1, routes[0].match: expected a mapping of conditions"),
        ("routes: [{name: a, match: {team: 1}}]", "line 1, routes[0].match.team: expected a pattern"),
        ("routes: [{name: a, match: {team: ''}}]", "line 1, routes[0].match.team: expected a pattern"),
        ("routes: [{name: a, match: {team: []}}]", "line 1, routes[0].match.team: expected a pattern"),
        ("routes: [{name: a, match: {task: {a: b}}}]", "line 1, routes[0].match.task: expected a pattern"),
        ("routes: [{name: a, match: {task: null}}]", "line 1, routes[0].match.task: expected a pattern"),
        ("routes: [{name: a, match: {path: v1/x}}]", "line 1, routes[0].match.path: expected a path"),
        (
            "routes: [{name: a, match: {headers: {X-Api-Key: x}}}]",
            "line 1, routes[0].match.headers.X-Api-Key: header `x-api-key` carries",
        ),
        ("routes: [{name: a, rate_limit: {}}]", "line 1, routes[0].rate_limit: a rate limit without a limit"),
        ("routes: [{name: a, rate_limit: 60}]", "line 1, routes[0].rate_limit: expected a mapping with rpm"),
        (
            "routes: [{name: a, rate_limit: {rpm: 1e3}}]",
            "line 1, routes[0].rate_limit.rpm: expected a positive whole number",
        ),
        (
            "routes: [{name: a, rate_limit: {rpm: 18446744073709551616}}]",
            "line 1, routes[0].rate_limit.rpm: expected a positive whole number",
        ),
        (
            "routes: [{name: a, rate_limit: {rpm: 60s}}]",
            "line 1, routes[0].rate_limit.rpm: expected a positive whole number",
        ),
        ("routes: [{name: a, cache: {}}]", "line 1, routes[0].cache.ttl: `ttl` is missing"),
        (
            "routes: [{name: a, cache: {ttl: 500ms}}]",
            "line 1, routes[0].cache.ttl: expected a duration in whole seconds",
        ),
        (
            "routes: [{name: a, cache: {ttl: 2000000h}}]",
            "line 1, routes[0].cache.ttl: expected a duration in whole seconds",
        ),
        (
            "routes: [{name: a, guardrails: pii}]",
            "line 1, routes[0].guardrails: expected a list of guardrail names",
        ),
        (
            "routes: [{name: a, guardrails: [x, x]}]",
            "line 1, routes[0].guardrails[1]: guardrail `x` is listed twice",
        ),
        (
            "routes: [{name: a, timeouts: {total: 0}}]",
            "line 1, routes[0].timeouts.total: expected a duration longer than 0",
        ),
        (
            "routes: [{name: a, timeouts: {total_ms: 1}}]",
            "line 1, routes[0].timeouts.total_ms: unknown field `total_ms`",
        ),
        (
            "routes: [{name: a, retries: {count: 11}}]",
            "line 1, routes[0].retries.count: expected a whole number of retries",
        ),
        (
            "routes: [{name: a, retries: {backoff: 10s}}]",
            "line 1, routes[0].retries: backoff is 10000 ms and backoff_max 5000 ms",
        ),
        ("defaults: {cache: {ttl: 1}}", "line 1, defaults.cache: unknown field `cache`"),
        ("defaults: {retries: 3}", "line 1, defaults.retries: expected a mapping with count"),
        // Prices.
        (
            "prices: {gpt-4o: {input: 1, output: 1}}",
            "line 1, prices.gpt-4o: expected `provider/model` with the name of a configured provider, found `gpt-4o`; did you mean `openai/gpt-4o`?",
        ),
        (
            "prices: {opnai/x: {input: 1, output: 1}}",
            "line 1, prices[\"opnai/x\"]: expected `provider/model`",
        ),
        ("prices: {mock/x: {input: 1}}", "line 1, prices[\"mock/x\"].output: `output` is missing"),
        ("prices: {mock/x: {input: -1, output: 1}}", "line 1, prices[\"mock/x\"].input: expected US dollars"),
        ("prices: {mock/x: {input: $1, output: 1}}", "line 1, prices[\"mock/x\"].input: expected US dollars"),
        (
            "prices: {mock/x: {input: 0.0000001, output: 1}}",
            "line 1, prices[\"mock/x\"].input: expected US dollars",
        ),
        (
            "prices: {mock/x: {input: 1000001, output: 1}}",
            "line 1, prices[\"mock/x\"].input: expected US dollars",
        ),
        (
            "prices: {mock/x: {input: .inf, output: 1}}",
            "line 1, prices[\"mock/x\"].input: expected US dollars",
        ),
        (
            "prices: {mock/x: {input: true, output: 1}}",
            "line 1, prices[\"mock/x\"].input: expected US dollars",
        ),
        (
            "prices: {mock/x: {input: 1, output: 1, context_tokens: 0}}",
            "line 1, prices[\"mock/x\"].context_tokens: expected a positive",
        ),
    ] {
        let problems = refused(text);
        assert!(problems[0].starts_with(start), "{text}\n  {}\n  {start}", problems[0]);
    }
}

#[test]
fn one_mistake_is_one_problem() {
    // A broken provider or alias is not also reported by everything that refers to it.
    let text = "providers: {x: {base_url: ftp://x}}\nmodels: {a: x/m, b: nope, c: b}\nroutes: [{name: r, model: [a, b, c]}]\nprices: {x/m: {input: 1, output: 1}}\n";
    let problems = refused(text);
    assert_eq!(problems.len(), 2, "{problems:#?}");
}

#[test]
fn aliases_may_point_to_aliases_but_not_without_end() {
    let chain = |length: usize| {
        let links: String = (1..length).map(|link| format!("  a{}: a{link}\n", link + 1)).collect();
        format!("models:\n{links}  a1: gpt-4o\nroutes: [{{name: r}}]\n")
    };
    let policy = accepted(&chain(9)).policy;
    assert_eq!(policy.aliases["a9"], [target("openai", "gpt-4o")], "eight aliases in between");
    let problems = refused(&chain(11));
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("alias `a10` leads through more than 8 other aliases"), "{problems:?}");

    let problems = refused("models: {a: b, b: c, c: b, d: [mock/x, a]}");
    assert_eq!(problems.len(), 2, "only those on the cycle: {problems:?}");
}

#[test]
fn the_number_of_choices_is_bounded() {
    let list =
        |from: usize, to: usize| (from..to).map(|n| format!("mock/m{n}")).collect::<Vec<_>>().join(", ");
    assert_eq!(accepted(&format!("models: {{a: [{}]}}", list(0, 16))).policy.aliases["a"].len(), 16);
    let problems = refused(&format!("models: {{a: [{}], b: [{}], c: [a, b]}}", list(0, 9), list(9, 18)));
    assert_eq!(
        problems,
        ["line 1, models.c: expected at most 16 models after aliases are resolved, found 18"]
    );
}

#[test]
fn an_operator_may_shadow_the_registry() {
    let text = "providers: {openai: {kind: mock, base_url: https://mock.example/v1}}\nmodels: {claude-haiku: mock/h, gpt-4o: openai/gpt-4o-mini}\nroutes: [{name: r, model: [claude-haiku, gpt-4o, o3]}]\n";
    let policy = accepted(text).policy;
    assert_eq!(policy.providers["openai"].kind, "mock");
    assert_eq!(
        policy.routes[0].targets,
        [target("mock", "h"), target("openai", "gpt-4o-mini"), target("openai", "o3")]
    );
}

#[test]
fn doubtful_configurations_are_accepted_with_a_warning() {
    for (text, part) in [
        ("routes: [{name: a}, {name: b, match: {team: x}}]", "this route is never reached: route `a`"),
        (
            "routes: [{name: a, match: {team: '*', model: ['x', '*']}}, {name: b}]",
            "this route is never reached: route `a`",
        ),
        ("routes: [{name: a, match: {teams: x}}]", "did you mean `team`?"),
        (
            "routes: [{name: a, model: gpt-4o, fallback: [openai/gpt-4o, mock/x]}]",
            "`openai/gpt-4o` is already tried",
        ),
        (
            "routes: [{name: a}]\nproviders: {openai: {base_url: https://proxy.example/v1}}",
            "secret://OPENAI_API_KEY will be sent to proxy.example",
        ),
        (
            "routes: [{name: a}]\nproviders: {x: {base_url: https://x.example/v1/chat/completions}}",
            "end the base URL before it",
        ),
        ("routes: [{name: a, guardrails: [pii]}]", "refused until its guardrails are enabled"),
    ] {
        let warnings = accepted(text).warnings;
        assert_eq!(warnings.len(), 1, "{text}: {warnings:?}");
        assert!(warnings[0].message.contains(part), "{text}: {}", warnings[0]);
    }
    for text in [
        "routes: [{name: a, match: {team: x}}, {name: b}]",
        "routes: [{name: a, match: {task: '*'}}, {name: b}]",
        "routes: [{name: a}]\nproviders: {openai: {base_url: https://api.openai.com/v2}}",
        "routes: [{name: a}]\nproviders: {openai: {base_url: https://proxy.example/v1, api_key: secret://OPENAI_API_KEY}}",
    ] {
        assert_eq!(accepted(text).warnings, [], "{text}");
    }
}

#[test]
fn size_depth_and_length_have_limits() {
    let padded = |bytes: usize| "routes: []".to_owned() + &" ".repeat(bytes - 10);
    assert!(compile(&padded(256 * 1024), 1).is_ok());
    assert!(refused(&padded(256 * 1024 + 1))[0].contains("too long: expected at most 262144 bytes"));
    for text in [
        "[".repeat(200_000),
        "{a: ".repeat(300),
        "- ".repeat(100_000),
        "? ".repeat(100_000),
        "[a, ".repeat(20_000),
        "[]".repeat(30_000),
        "x:\n".to_owned() + &(0..30).map(|depth| " ".repeat(depth + 1) + "x:\n").collect::<String>(),
    ] {
        assert!(refused(&text).iter().any(|problem| problem.contains("nested too deep")), "{:.40}", text);
    }
    let many = "models:\n".to_owned() + &(0..2_001).map(|n| format!("  m{n}: gpt-4o\n")).collect::<String>();
    assert!(refused(&many)[0].contains("at most 2000 items"));
}

#[test]
fn the_largest_cycle_is_found_in_time() {
    let ring: String = (0..2_000).map(|n| format!("  m{n}: m{}\n", (n + 1) % 2_000)).collect();
    let problems = refused(&format!("models:\n{ring}"));
    assert_eq!(problems.len(), 201);
    assert!(problems[0].contains("`m9` → …"), "{}", problems[0]);
}

#[test]
fn the_example_and_the_examples_of_the_reference_load() {
    let example = accepted(include_str!("../../config.example.yaml"));
    assert_eq!(example.warnings, []);
    let reference = include_str!("../../docs/config.md");
    let blocks: Vec<&str> = reference
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split_once("```").expect("a fence that ends").0)
        .collect();
    assert!(blocks.len() >= 6);
    for block in blocks {
        accepted(block);
    }
}

/// Pieces from which nearly valid configurations are made.
fn fragment() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "routes:",
        "- name: a",
        "  match:",
        "{",
        "}",
        "[",
        "]",
        ",",
        ": ",
        ":",
        "\n",
        "\n  ",
        "\n    ",
        "\t",
        "- ",
        "? ",
        "* ",
        "*x",
        "&x ",
        "!!str ",
        "!",
        "<<",
        "|",
        ">",
        "|\n",
        "\"",
        "'",
        "#",
        " # c\n",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "~",
        "null",
        "true",
        "0",
        "-1",
        "1e9",
        "600",
        "30s",
        "gpt-4o",
        "claude-haiku",
        "openai/x",
        "mock",
        "secret://A",
        "api_key: ",
        "base_url: ",
        "https://x.example",
        "é",
        "\\u00e9",
        "\\",
        "\u{feff}",
        "\u{85}",
        "\u{2028}",
        "\r",
        "\r\n",
        "\0",
        "model: ",
        "headers: ",
    ];
    prop::collection::vec(prop::sample::select(PIECES), 0..40).prop_map(|pieces| pieces.concat())
}

/// A valid configuration with some of its text removed, replaced, repeated or added.
fn mutated() -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0usize..20, 0u8..3, fragment());
    (prop::sample::select(vec![DESIGN, FULL]), prop::collection::vec(edit, 1..6)).prop_map(|(text, edits)| {
        let mut letters: Vec<char> = text.chars().collect();
        for (at, length, how, added) in edits {
            let start = at.index(letters.len() + 1).min(letters.len());
            let end = (start + length).min(letters.len());
            let added: Vec<char> = match how {
                0 => Vec::new(),
                1 => added.chars().take(12).collect(),
                _ => letters[start..end].repeat(2),
            };
            letters.splice(start..end, added);
        }
        letters.into_iter().collect()
    })
}

/// What holds of every outcome.
fn check_outcome(text: &str) -> Result<(), TestCaseError> {
    match compile(text, 3) {
        Ok(Compiled { policy, warnings }) => {
            for target in
                policy.aliases.values().flatten().chain(
                    policy.routes.iter().flat_map(|route| route.targets.iter().chain(&route.fallbacks)),
                )
            {
                prop_assert!(policy.providers.contains_key(&target.provider), "{target:?}");
            }
            prop_assert!(policy.aliases.values().all(|targets| !targets.is_empty()));
            prop_assert!(policy.routes.iter().all(|route| !route.name.is_empty()));
            let written = serde_json::to_string(&policy).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Policy>(&written).unwrap(), &policy);
            prop_assert!(warnings.iter().all(|warning| !warning.message.is_empty()));
        }
        Err(problems) => {
            prop_assert!(!problems.is_empty());
            for problem in &problems {
                prop_assert!(problem.line >= 1 && problem.column >= 1 && !problem.message.is_empty());
                prop_assert!(problem.to_string().len() < 2_000, "{problem}");
            }
            prop_assert!(problems.is_sorted_by_key(|problem| problem.line));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        check_outcome(&text)?;
    }

    #[test]
    fn no_assembly_of_fragments_panics(text in fragment()) {
        check_outcome(&text)?;
    }

    #[test]
    fn no_mutation_of_a_valid_configuration_panics(text in mutated()) {
        check_outcome(&text)?;
    }

    #[test]
    fn a_credential_is_never_repeated(credential in "[a-z]{4}[A-Za-z0-9_+/.-]{12,40}", place in 0usize..10) {
        let text = match place {
            0 => format!("providers: {{openai: {{api_key: \"{credential}\"}}}}"),
            1 => format!("providers: {{openai: {{api_key: [\"{credential}\"]}}}}"),
            2 => format!("providers: {{openai: {{api_key: \"secret://{credential}\"}}}}"),
            3 => format!("providers: {{openai: {{headers: {{authorization: \"Bearer {credential}\"}}}}}}"),
            4 => format!("providers: {{openai: {{headers: {{x-a: \"{credential}\\n\"}}}}}}"),
            5 => format!("providers: {{openai: {{base_url: \"https://u:{credential}@x.example\"}}}}"),
            6 => format!("providers: {{openai: {{base_url: \"https://x.example?key={credential}\"}}}}"),
            7 => format!("providers: {{openai: {{apikey: \"{credential}\"}}}}"),
            8 => format!("providers: {{openai: {{api_key: \"{credential}\n"),
            _ => format!("models: {{a: \"sk-{credential}\"}}"),
        };
        let problems = compile(&text, 1).unwrap_err();
        let told = serde_json::to_string(&problems).unwrap();
        prop_assert!(!told.contains(&credential), "{told}");
    }
}
