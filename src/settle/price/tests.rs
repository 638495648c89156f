//! What the price table and the pricing rules promise.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn price(provider: &str, model: &str) -> Price {
    price_of(&BTreeMap::new(), provider, provider, model)
        .unwrap_or_else(|| panic!("{provider}/{model} has no price"))
}

fn overrides(key: &str, price: PriceOverride) -> BTreeMap<String, PriceOverride> {
    BTreeMap::from([(key.to_owned(), price)])
}

/// Input and output of any class.
fn any_class(input: u64, output: u64) -> Extent {
    Extent { input, input_audio: input, output, hour_cache: true, ..Extent::default() }
}

/// The rates of a request of no size.
fn base(price: &Price, tier: Option<&str>) -> Rates {
    let levels = if tier.is_some() { price.tier(tier).unwrap() } else { price.standard() };
    reachable(levels, 0).next().unwrap()
}

/// Every line: kind, model and price.
fn lines() -> impl Iterator<Item = (&'static str, &'static str, Price)> {
    table::TABLE.lines().map(|line| {
        let (kind, model) = line.split_once(' ').unwrap().0.split_once('/').unwrap();
        (kind, model, price(kind, model))
    })
}

#[test]
fn every_row_makes_sense() {
    for (kind, name, price) in lines() {
        assert!(crate::provider::by_name(kind).is_some_and(|kind| kind.priced_as.is_none()), "{kind}");
        assert!(price.context_tokens.is_none_or(|tokens| tokens > 0), "{kind}/{name}");
        let Rating::Table(sheet) = price.rating else { panic!("{kind}/{name}") };
        for tier in std::iter::once(None).chain(sheet.tiers().map(Some)) {
            for (_, rates) in sheet.levels(tier).unwrap() {
                // From $0.002 to $1,000 per million: a slip of a power of ten shows.
                let free = price.search_unit.is_some();
                assert!(free || (2_000..=1_000_000_000).contains(&rates.input.0), "{kind}/{name}: {rates:?}");
                assert!(rates.output.0 <= 1_000_000_000, "{kind}/{name}: {rates:?}");
                assert!(rates.cache_read <= rates.input, "{kind}/{name}: a cache read is a discount");
                assert!(rates.cache_write_1h >= rates.cache_write_5m, "{kind}/{name}: longer is dearer");
                let answers = price.output_tokens != Some(0);
                assert!(
                    answers || rates.output.0 == 0,
                    "{kind}/{name}: what does not answer has no output price"
                );
                assert!(!answers || rates.output.0 > 0, "{kind}/{name}: no answer is free");
            }
        }
    }
}

#[test]
fn every_kind_with_models_of_its_own_has_prices_for_them() {
    let kinds: Vec<&str> = lines().map(|(kind, ..)| kind).collect();
    for (kind, models) in [
        ("openai", 40),
        ("anthropic", 14),
        ("gemini", 20),
        ("vertex", 10),
        ("vertex-anthropic", 24),
        ("vertex-openai", 14),
        ("azure", 150),
        ("bedrock", 200),
        ("mistral", 40),
        ("cohere", 12),
        ("groq", 5),
        ("deepseek", 8),
        ("alibaba", 35),
        ("moonshot", 8),
        ("zhipu", 12),
        ("xai", 30),
        ("together", 30),
        ("fireworks", 100),
        ("perplexity", 50),
        ("cerebras", 5),
        ("cloudflare", 20),
        ("openrouter", 80),
    ] {
        let count = kinds.iter().filter(|name| **name == kind).count();
        assert!(count >= models, "{kind} has {count}");
    }
}

#[test]
fn prices_are_those_of_the_providers_pages() {
    // Read 2026-11-21, dollars per million tokens: input, cache read, write 5 min, write 1 h, output.
    // https://platform.claude.com/docs/en/about-claude/pricing
    // https://api-docs.deepseek.com/quick_start/pricing (peak hours)
    let pages = [
        ("anthropic", "claude-fable-5-1", ["10", "0.25", "12.5", "20", "50"]),
        ("anthropic", "claude-opus-5", ["5", "0.5", "6.25", "10", "25"]),
        ("anthropic", "claude-opus-5-5", ["4", "0.2", "5", "8", "20"]),
        ("anthropic", "claude-sonnet-4-5", ["3", "0.3", "3.75", "6", "15"]),
        ("anthropic", "claude-haiku-4-5", ["1", "0.1", "1.25", "2", "5"]),
        ("deepseek", "deepseek-flash", ["0.3", "0.006", "0.3", "0.3", "1.2"]),
        ("deepseek", "deepseek-v4-pro", ["1.32", "0.044", "1.32", "1.32", "3.96"]),
    ];
    for (provider, model, dollars) in pages {
        let rates = base(&price(provider, model), None);
        let cells = [rates.input, rates.cache_read, rates.cache_write_5m, rates.cache_write_1h, rates.output];
        let said = dollars.map(|text| PicoUsd::parse_usd(&format!("{text}e-6")).unwrap());
        assert_eq!(cells, said, "{model}");
    }
    // Priority processing, https://openai.com/api-priority-processing/: input, cached input, output.
    let priority = [
        ("gpt-5.5", ["12.5", "1.25", "75"]),
        ("gpt-5.4", ["5", "0.5", "30"]),
        ("gpt-5.4-mini", ["1.5", "0.15", "9"]),
        ("gpt-5.2", ["3.5", "0.35", "28"]),
        ("gpt-5", ["2.5", "0.25", "20"]),
        ("gpt-5-mini", ["0.45", "0.045", "3.6"]),
        ("gpt-4.1", ["3.5", "0.875", "14"]),
    ];
    for (model, dollars) in priority {
        let rates = base(&price("openai", model), Some("priority"));
        let said = dollars.map(|text| PicoUsd::parse_usd(&format!("{text}e-6")).unwrap());
        assert_eq!([rates.input, rates.cache_read, rates.output], said, "{model}");
    }
}

#[test]
fn a_snapshot_costs_what_its_base_costs_unless_it_has_a_row() {
    assert_eq!(price("openai", "gpt-4o-mini-2024-07-18"), price("openai", "gpt-4o-mini"));
    assert_eq!(price("anthropic", "claude-opus-4-5-20251101"), price("anthropic", "claude-opus-4-5"));
    let million = Usage { input: 1_000_000, ..Usage::default() };
    assert_eq!(price("openai", "gpt-4o-2024-05-13").cost(&million, None), NanoUsd(5_000_000_000));
    assert_eq!(price("openai", "gpt-4o-2024-08-06").cost(&million, None), NanoUsd(2_500_000_000));
}

#[test]
fn names_that_are_no_models_have_no_price() {
    let none = BTreeMap::new();
    for model in [
        "",
        "-",
        "gpt-4o-",
        "gpt-4o-2024-05",
        "gpt-4o2024-05-13",
        "gpt-4o-2024-05-1x",
        "-20240513",
        "20240513",
        "2024-05-13",
        "gpt-4o-é2024-05-13",
        "GPT-4O",
        "gpt-4o-20240513-20240513",
        "ft:gpt-4o-2024-08-06:org::id",
        "openai/gpt-4o",
    ] {
        assert_eq!(price_of(&none, "openai", "openai", model), None, "{model}");
    }
    assert_eq!(price_of(&none, "anthropic", "anthropic", "gpt-4o"), None);
    assert_eq!(price_of(&none, "vllm", "openai-compatible", "gpt-4o"), None);
    assert_eq!(price_of(&none, "openai", "", "gpt-4o"), None);
}

#[test]
fn the_table_goes_by_kind_and_overrides_go_by_name() {
    let own = PriceOverride { input: PicoUsd(7), output: PicoUsd(9), ..PriceOverride::default() };
    let by_name = overrides("openai-eu/gpt-4o", own);
    let eu = price_of(&by_name, "openai-eu", "openai", "gpt-4o").unwrap();
    assert_eq!(base(&eu, None), rates([7, 7, 7, 7, 7, 9, 9, 9, 9]));
    assert_eq!(eu.version, None);
    assert_eq!(price_of(&by_name, "openai", "openai", "gpt-4o"), Some(price("openai", "gpt-4o")));
    let other = price_of(&by_name, "openai-eu", "openai", "gpt-4o-mini").unwrap();
    assert_eq!(other, price("openai", "gpt-4o-mini"));
    assert_eq!(other.version, Some(PRICE_TABLE_VERSION));
}

#[test]
fn an_override_replaces_all_tiers_and_keeps_the_limits_it_does_not_set() {
    let own = PriceOverride {
        input: PicoUsd(1_000),
        cache_read: Some(PicoUsd(100)),
        cache_write: Some(PicoUsd(2_000)),
        output: PicoUsd(3_000),
        context_tokens: Some(5),
        ..PriceOverride::default()
    };
    let price =
        price_of(&overrides("gemini/gemini-2.5-pro", own), "gemini", "gemini", "gemini-2.5-pro").unwrap();
    let usage = Usage {
        input: 300_000,
        cache_read: 10,
        cache_write_5m: 10,
        cache_write_1h: 10,
        output: 1,
        reasoning: 1,
        ..Usage::default()
    };
    assert_eq!(price.cost(&usage, Some("priority")), NanoUsd(300_000 + 1 + 20 + 20 + 3 + 3));
    assert_eq!((price.context_tokens, price.output_tokens), (Some(5), Some(65_536)));

    let unlisted = price_of(&overrides("vllm/llama", own), "vllm", "openai-compatible", "llama").unwrap();
    assert_eq!((unlisted.context_tokens, unlisted.output_tokens), (Some(5), None));
}

#[test]
fn a_mock_model_costs_what_its_namesake_costs() {
    let none = BTreeMap::new();
    let mock = |model: &str| price_of(&none, "mock", "mock", model).unwrap();
    assert_eq!(mock("gpt-4o-mini"), price("openai", "gpt-4o-mini"));
    assert_eq!(mock("gpt-4o-mini-2024-07-18"), price("openai", "gpt-4o-mini"));
    assert_eq!(mock("claude-opus-5"), price("anthropic", "claude-opus-5"));
    assert_eq!(mock("openai/gpt-oss-120b"), price("groq", "openai/gpt-oss-120b"));
    for unknown in ["", "mock-error", "gpt-4o-mini-2024"] {
        let usage = Usage { input: 1_000_000, output: 1_000_000, ..Usage::default() };
        assert_eq!(mock(unknown).cost(&usage, None), NanoUsd(3_000_000_000), "{unknown}");
    }
    let own = PriceOverride { input: PicoUsd(5), ..PriceOverride::default() };
    let free_output = price_of(&overrides("mock/gpt-4o", own), "mock", "mock", "gpt-4o").unwrap();
    assert_eq!(base(&free_output, None), rates([5, 5, 5, 5, 5, 0, 0, 0, 0]));
}

#[test]
fn a_deployment_costs_what_the_line_it_names_costs_and_a_region_may_have_its_own() {
    let mut policy = Policy::default();
    policy.priced_like.insert("azure/chat-prod".to_owned(), "azure/eu/gpt-5.4".to_owned());
    let like = price_in(&policy, "azure", "azure", "chat-prod").unwrap();
    assert_eq!(like, price("azure", "eu/gpt-5.4"));
    assert!(
        base(&like, None).input > base(&price("azure", "gpt-5.4"), None).input,
        "the data zone is dearer"
    );
    assert_eq!(price_in(&policy, "azure", "azure", "other"), None);
    // Who is no maker may let it write on: the cap that is held must be sent.
    policy.priced_like.insert("own/llama".to_owned(), "openai/gpt-4o-mini".to_owned());
    let ends = |kind| price_in(&policy, "own", kind, "llama").unwrap().ends_itself;
    assert!(ends("openai") && !ends("openai-compatible"));
    assert_eq!(price("azure-deployments", "gpt-5.4"), price("azure", "gpt-5.4"));

    let global = base(&price("bedrock", "global.anthropic.claude-opus-5"), None);
    let regional = base(&price("bedrock", "eu.anthropic.claude-opus-5"), None);
    assert_eq!(global.input.0 * 11, regional.input.0 * 10, "a regional profile is a tenth dearer");
    assert!(is_listed("bedrock/ap-south-1/meta.llama3-8b-instruct-v1:0") && !is_listed("bedrock/x"));
    assert!(!is_listed("mock/anything") && !is_listed("gpt-4o"));
}

#[test]
fn a_markup_is_on_every_amount_and_rounded_up_once() {
    let mut policy = Policy { version: 7, ..Policy::default() };
    policy.markups.insert("*".to_owned(), 1_200_000);
    policy.markups.insert("xai".to_owned(), 850_000);
    let million = Usage { input: 1_000_000, output: 1_000_000, ..Usage::default() };
    let mini = price_in(&policy, "openai", "openai", "gpt-4o-mini").unwrap();
    assert_eq!(mini.cost(&million, None), NanoUsd(900_000_000));
    assert_eq!(mini.cost(&Usage { input: 1, ..Usage::default() }, None), NanoUsd(180));
    assert_eq!(mini.charge(NanoUsd(101)), NanoUsd(122), "121.2 nano-dollars");
    let shown = mini.headline();
    assert_eq!((shown.input, shown.output), (PicoUsd(180_000), PicoUsd(720_000)));
    assert_eq!(shown.batch, Some((PicoUsd(90_000), PicoUsd(360_000))));
    assert_eq!(mini.version_text(policy.version), format!("{PRICE_TABLE_VERSION}*1.2@7"));
    let grok = price_in(&policy, "xai", "xai", "grok-4.5").unwrap();
    assert_eq!(grok.cost(&million, None), NanoUsd(13_600_000_000), "above 200,000 tokens: (4 + 12) × 0.85");
    assert_eq!(grok.charge(NanoUsd(1_000)), NanoUsd(850));
    assert_eq!(grok.version_text(7), format!("{PRICE_TABLE_VERSION}*0.85@7"));

    let own = PriceOverride { input: PicoUsd(1_000_000), output: PicoUsd(0), ..PriceOverride::default() };
    policy.prices = overrides("lab/m", own);
    let lab = price_in(&policy, "lab", "openai-compatible", "m").unwrap();
    assert_eq!(lab.cost(&million, None), NanoUsd(1_200_000_000));
    assert_eq!(lab.version_text(7), "override*1.2@7");
    let plain = price_in(&Policy::default(), "openai", "openai", "gpt-4o-mini").unwrap();
    assert_eq!(
        (plain.version_text(7), plain.charge(NanoUsd(101))),
        (PRICE_TABLE_VERSION.to_owned(), NanoUsd(101))
    );
}

#[test]
fn rankings_are_paid_by_the_search_and_not_by_the_token() {
    let rerank = price("cohere", "rerank-v3.5");
    assert_eq!(rerank.cost_of_search_units(1), NanoUsd(2_000_000), "$2 per thousand");
    assert_eq!(rerank.cost_of_search_units(3), NanoUsd(6_000_000));
    assert_eq!(rerank.cost(&Usage { input: 1_000_000, ..Usage::default() }, None), NanoUsd::ZERO);
    assert_eq!(price("openai", "gpt-4o").cost_of_search_units(3), NanoUsd::ZERO);
}

#[test]
fn the_whole_request_is_at_the_higher_rate_strictly_above_the_threshold() {
    let pro = price("gemini", "gemini-2.5-pro");
    let at = |input| pro.cost(&Usage { input, output: 1_000, ..Usage::default() }, None);
    assert_eq!(at(200_000), NanoUsd(250_000_000 + 10_000_000));
    assert_eq!(at(200_001), NanoUsd(500_002_500 + 15_000_000));
    // All input classes count towards the threshold; output does not.
    let cached = Usage { input: 1, cache_read: 200_000, ..Usage::default() };
    assert_eq!(pro.cost(&cached, None), NanoUsd(2_500 + 50_000_000));
    let long_answer = Usage { input: 1, output: 300_000, ..Usage::default() };
    assert_eq!(pro.cost(&long_answer, None), NanoUsd(1_250 + 3_000_000_000));
    // The bound knows that a request of at most 200,000 tokens stays below, and one of 200,001 may not.
    assert_eq!(pro.upper_bound(&any_class(200_000, 0), None), NanoUsd(250_000_000));
    assert_eq!(pro.upper_bound(&any_class(200_001, 0), None), NanoUsd(500_002_500));
}

#[test]
fn service_tiers_are_charged_as_served_and_bounded_by_the_dearer_of_asked_and_standard() {
    let gpt = price("openai", "gpt-5");
    let usage = Usage { input: 1_000, output: 100, ..Usage::default() };
    let cost = |tier| gpt.cost(&usage, tier).0;
    assert_eq!(cost(None), 2_250_000);
    assert_eq!(cost(Some("flex")), 1_125_000);
    assert_eq!(cost(Some("priority")), 4_500_000);
    assert_eq!(cost(Some("PRIORITY")), 4_500_000);
    for standard in ["", "auto", "default", "standard", "on_demand", "no-such-tier"] {
        assert_eq!(cost(Some(standard)), 2_250_000, "{standard}");
    }
    let bound = |tier| gpt.upper_bound(&any_class(1_000, 100), tier).0;
    assert_eq!(bound(Some("flex")), bound(None));
    assert_eq!(bound(Some("priority")), 4_500_000);
    // Anthropic's fast mode is a factor of two on every class.
    let opus = price("anthropic", "claude-opus-5");
    let written =
        Usage { input: 1, cache_read: 2, cache_write_5m: 4, cache_write_1h: 8, output: 16, ..usage };
    assert_eq!(opus.cost(&written, Some("fast")).0, 2 * opus.cost(&written, None).0);
}

#[test]
fn a_fraction_of_a_nano_dollar_is_rounded_up_once() {
    // $0.075 per million cached: 75 nano-dollars each; $0.0375 per million: 37.5.
    let command = price("cohere", "command-r7b-12-2024");
    let tokens = |input| command.cost(&Usage { input, ..Usage::default() }, None);
    assert_eq!(tokens(0), NanoUsd::ZERO);
    assert_eq!(tokens(1), NanoUsd(38));
    assert_eq!(tokens(2), NanoUsd(75));
    let two_halves = Usage { input: 1, cache_read: 1, ..Usage::default() };
    assert_eq!(command.cost(&two_halves, None), NanoUsd(75));
}

#[test]
fn pictures_in_an_answer_cost_what_the_page_says() {
    // https://ai.google.dev/gemini-api/docs/pricing: dollars per million tokens of input, of text out, of pictures out; and what
    // a picture of 1024 pixels comes to with that many tokens (1,290 and 1,120).
    for (model, cells, tokens, picture) in [
        ("gemini-2.5-flash-image", ["0.3", "2.5", "30"], 1_290, 38_700_000),
        ("gemini-3-pro-image", ["2", "12", "120"], 1_120, 134_400_000),
        ("gemini-3.1-flash-image", ["0.5", "3", "60"], 1_120, 67_200_000),
    ] {
        let price = price("gemini", model);
        let rates = base(&price, None);
        let said = cells.map(|text| PicoUsd::parse_usd(&format!("{text}e-6")).unwrap());
        assert_eq!([rates.input, rates.output, rates.output_image], said, "{model}");
        let painted = Usage { output_image: tokens, ..Usage::default() };
        assert_eq!(price.cost(&painted, None), NanoUsd(picture), "{model}");
        assert!(price.upper_bound(&any_class(0, tokens), None) >= NanoUsd(picture));
        assert!(price.knows_pictures() && price.headline().output_image == Some(said[2]));
        assert_eq!(price.image, None, "a picture given is paid by its tokens");
    }
    assert!(!price("gemini", "gemini-2.5-flash").knows_pictures());
    // A dearer tier, of which the source has no price for pictures, is dearer for them by as much as for text.
    let priority = base(&price("gemini", "gemini-3-pro-image"), Some("priority"));
    assert_eq!((priority.output, priority.output_image), (PicoUsd(21_600_000), PicoUsd(216_000_000)));
}

#[test]
fn fees_and_pictures_given_are_in_cost_and_bound() {
    // Every answer of these comes with a search.
    let search = price("openai", "gpt-4o-search-preview");
    let one = Pieces { requests: 1, images: 0 };
    let usage = Usage { input: 1_000, output: 100, ..Usage::default() };
    assert_eq!(search.cost_of(&usage, one, None), NanoUsd(25_000_000 + 2_500_000 + 1_000_000));
    let extent = Extent { pieces: one, ..any_class(1_000, 100) };
    assert_eq!(search.upper_bound(&extent, None), search.cost_of(&usage, one, None));
    assert_eq!(search.affordable_output(NanoUsd(28_500_000), &extent, None), 100);
    assert_eq!(search.affordable_output(NanoUsd(24_999_999), &extent, None), 0);

    let own = PriceOverride {
        input: PicoUsd(1_000),
        output: PicoUsd(3_000),
        output_image: Some(PicoUsd(9_000)),
        request: Some(PicoUsd(1_500)),
        image: Some(PicoUsd(2_200)),
        ..PriceOverride::default()
    };
    let mut policy = Policy { prices: overrides("lab/m", own), ..Policy::default() };
    let lab = price_in(&policy, "lab", "openai-compatible", "m").unwrap();
    let pieces = Pieces { requests: 1, images: 3 };
    let painted = Usage { input: 1, output: 1, output_image: 1, ..Usage::default() };
    assert_eq!(
        lab.cost_of(&painted, pieces, None),
        NanoUsd(1 + 3 + 9 + 9),
        "1.5 + 6.6 are rounded up in the sum"
    );
    policy.markups.insert("*".to_owned(), 2_000_000);
    let dearer = price_in(&policy, "lab", "openai-compatible", "m").unwrap();
    assert_eq!(dearer.cost_of(&painted, pieces, None), NanoUsd(43), "42.2");
    assert_eq!(dearer.headline().request, Some(PicoUsd(3_000)));
}

#[test]
fn batch_prices_are_known_and_no_live_request_is_at_them() {
    let gpt = price("openai", "gpt-5");
    let usage = Usage { input: 1_000, output: 100, ..Usage::default() };
    for tier in ["batch", "BATCH", "batches"] {
        assert_eq!(gpt.cost(&usage, Some(tier)), gpt.cost(&usage, None), "{tier}");
        assert_eq!(gpt.upper_bound(&any_class(9, 9), Some(tier)), gpt.upper_bound(&any_class(9, 9), None));
    }
    // https://developers.openai.com/api/docs/pricing and https://platform.claude.com/docs/en/about-claude/pricing: half.
    let half = |price: &Price| {
        let shown = price.headline();
        shown.batch.map(|(input, output)| (input.0 * 2, output.0 * 2))
            == Some((shown.input.0, shown.output.0))
    };
    assert!(
        half(&gpt) && half(&price("anthropic", "claude-opus-5")) && half(&price("gemini", "gemini-2.5-pro"))
    );
    assert_eq!(price("openrouter", "openai/gpt-5").headline().batch, None, "which has no batches");
    assert_eq!(price("groq", "openai/gpt-oss-120b").headline().batch, None);
    let only_batch = price("gemini", "gemini-3.1-flash-image");
    assert!(!only_batch.is_tiered() && only_batch.tiers().eq(["batch"]));

    // The operator's word makes it the price of all requests.
    let mut policy = Policy { version: 4, ..Policy::default() };
    policy.priced_like.insert("nightly/gpt-5".to_owned(), "openai/gpt-5".to_owned());
    policy.priced_at.insert("nightly/gpt-5".to_owned(), "batch".to_owned());
    let nightly = price_in(&policy, "nightly", "openai-compatible", "gpt-5").unwrap();
    assert_eq!(nightly.cost(&usage, None).0 * 2, gpt.cost(&usage, None).0);
    assert_eq!(nightly.cost(&usage, Some("priority")), nightly.cost(&usage, None));
    assert!(nightly.covers_tier(Some("flex")) && !nightly.covers_tier(Some("priority")));
    assert!(!nightly.is_tiered() && nightly.headline().batch.is_none());
    assert_eq!(nightly.version_text(4), format!("{PRICE_TABLE_VERSION}:batch@4"));
    policy.priced_at.insert("nightly/gpt-5".to_owned(), "gone".to_owned());
    assert_eq!(price_in(&policy, "nightly", "openai-compatible", "gpt-5"), None);
}

#[test]
fn absurd_counts_saturate() {
    let most = u64::MAX;
    let usage = Usage {
        input: most,
        cache_read: most,
        cache_write_5m: most,
        cache_write_1h: most,
        input_audio: most,
        output: most,
        reasoning: most,
        output_audio: most,
        output_image: most,
    };
    let own = PriceOverride { input: PicoUsd(most), output: PicoUsd(most), ..PriceOverride::default() };
    for price in [
        price("openai", "gpt-audio"),
        price_of(&overrides("x/y", own), "x", "openai-compatible", "y").unwrap(),
    ] {
        assert_eq!(price.cost(&usage, None), NanoUsd::MAX);
        assert_eq!(price.upper_bound(&any_class(most, most), None), NanoUsd::MAX);
        assert_eq!(price.affordable_output(NanoUsd(i64::MAX - 1), &any_class(most, 0), None), 0);
        assert_eq!(price.affordable_output(NanoUsd(i64::MIN), &any_class(0, 0), None), 0);
    }
}

#[test]
fn what_is_left_buys_output_after_the_input() {
    let mini = price("openai", "gpt-4o-mini");
    let dollar = NanoUsd(1_000_000_000);
    assert_eq!(mini.affordable_output(dollar, &any_class(0, 0), None), 1_666_666);
    assert_eq!(mini.affordable_output(dollar, &any_class(1_000_000, 0), None), 1_416_666);
    assert_eq!(mini.affordable_output(dollar, &any_class(10_000_000, 0), None), 0);
    assert_eq!(mini.affordable_output(NanoUsd::ZERO, &any_class(0, 0), None), 0);
    assert_eq!(mini.affordable_output(NanoUsd(-1), &any_class(0, 0), None), 0);
    assert_eq!(mini.affordable_output(NanoUsd::MAX, &any_class(u64::MAX, 0), None), u64::MAX);
    let embedding = price("openai", "text-embedding-3-small");
    assert_eq!(embedding.affordable_output(dollar, &any_class(1_000, 0), None), u64::MAX);
    assert_eq!(embedding.affordable_output(NanoUsd(1), &any_class(1_000, 0), None), 0);
}

/// Splits an OpenAI usage object into disjoint classes, by OpenAI's meaning: details lie inside the totals.
fn usage_of(openai: &Value) -> Usage {
    let count = |path: &str| openai.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let (cache_read, cache_write_5m, input_audio) = (
        count("/prompt_tokens_details/cached_tokens"),
        count("/prompt_tokens_details/cache_creation_tokens"),
        count("/prompt_tokens_details/audio_tokens"),
    );
    let (reasoning, output_audio) = (
        count("/completion_tokens_details/reasoning_tokens"),
        count("/completion_tokens_details/audio_tokens"),
    );
    Usage {
        input: count("/prompt_tokens") - cache_read - cache_write_5m - input_audio,
        cache_read,
        cache_write_5m,
        cache_write_1h: 0,
        input_audio,
        output: count("/completion_tokens") - reasoning - output_audio,
        reasoning,
        output_audio,
        output_image: 0,
    }
}

#[test]
fn all_oracle_cases_agree_to_the_nano_dollar() {
    let oracle: Value =
        serde_json::from_str(include_str!("../../../tests/fixtures/oracles/cost_cases.json")).unwrap();
    let cases = oracle["cases"].as_array().unwrap();
    for case in cases {
        let name = case["model"].as_str().unwrap();
        let family = oracle["prices"][name]["litellm_provider"].as_str().unwrap();
        let kind = match family {
            "dashscope" => "alibaba",
            "bedrock_converse" => "bedrock",
            "vertex_ai-language-models" => "vertex",
            "cohere_chat" => "cohere",
            "zai" => "zhipu",
            "together_ai" => "together",
            other => other,
        };
        let model = name.strip_prefix(&format!("{family}/")).unwrap_or(name);
        let price = price(kind, model);
        // The oracle sums in binary floating point: its dollars are exact to a small part of a pico-dollar.
        let expected_pico = case["expected_usd"].as_f64().unwrap() * 1e12;
        assert!((expected_pico - expected_pico.round()).abs() < 0.01, "{case}");
        let expected = nano_from_pico(expected_pico.round() as u128);

        let usage = usage_of(&case["usage"]);
        let tier = case["service_tier"].as_str();
        assert_eq!(price.cost(&usage, tier), expected, "{case}");
        assert!(
            price.upper_bound(&any_class(usage.input_total(), usage.output_total()), tier) >= expected,
            "{case}"
        );
    }
    assert_eq!(cases.len(), 80);
}

fn any_price() -> impl Strategy<Value = Price> {
    let cell = || 0..2_000_000_000u64;
    let pieces = prop_oneof![
        Just((None, None, None)),
        (cell(), cell(), cell()).prop_map(|(picture, request, image)| {
            (Some(PicoUsd(picture)), Some(PicoUsd(request)), Some(PicoUsd(image)))
        })
    ];
    let own = (cell(), cell(), cell(), cell(), pieces).prop_map(
        |(input, read, write, output, (output_image, request, image))| {
            let own = PriceOverride {
                input: PicoUsd(input),
                cache_read: Some(PicoUsd(read)),
                cache_write: Some(PicoUsd(write)),
                output: PicoUsd(output),
                output_image,
                request,
                image,
                ..PriceOverride::default()
            };
            Price::overridden(&own, None)
        },
    );
    let pinned = |(_, _, price): (_, _, Price)| {
        let tiers: Vec<_> = price.tiers().map(Some).collect();
        std::iter::once(None).chain(tiers).map(move |pinned| Price { pinned, ..price })
    };
    let listed: Vec<Price> = lines().flat_map(pinned).collect();
    let factor = prop_oneof![2 => Just(Factor::ONE), 1 => (0..5_000_000u64).prop_map(Factor)];
    (prop_oneof![4 => prop::sample::select(listed), 1 => own], factor)
        .prop_map(|(price, factor)| Price { factor, ..price })
}

fn any_tier() -> impl Strategy<Value = Option<&'static str>> {
    prop::sample::select(vec![
        None,
        Some("flex"),
        Some("priority"),
        Some("fast"),
        Some("ultrafast"),
        Some("batch"),
        Some("x"),
    ])
}

/// Counts that reach every threshold, and some that overflow everything.
fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..2_000u64, 4 => 0..300_000u64, 2 => 0..u64::from(u32::MAX), 1 => any::<u64>()]
}

fn any_usage() -> impl Strategy<Value = Usage> {
    prop::array::uniform9(any_count()).prop_map(|[a, b, c, d, e, f, g, h, i]| Usage {
        input: a,
        cache_read: b,
        cache_write_5m: c,
        cache_write_1h: d,
        input_audio: e,
        output: f,
        reasoning: g,
        output_audio: h,
        output_image: i,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_bound_covers_every_usage_within_it(
        price in any_price(), asked in any_tier(), usage in any_usage(),
        more_input in any_count(), more_output in any_count(),
        requests in any_count(), images in any_count(), more_images in any_count(),
    ) {
        prop_assume!(usage.input_total() < u64::MAX && usage.output_total() < u64::MAX);
        let extent = Extent {
            input: usage.input_total().saturating_add(more_input),
            input_audio: usage.input_audio,
            output: usage.output_total().saturating_add(more_output),
            hour_cache: usage.cache_write_1h > 0,
            pieces: Pieces { requests, images: images.saturating_add(more_images) },
        };
        let bound = price.upper_bound(&extent, asked);
        let pieces = Pieces { requests, images };
        prop_assert!(bound >= price.cost_of(&usage, pieces, asked), "served as asked");
        prop_assert!(bound >= price.cost_of(&usage, pieces, None), "served at the standard tier instead");
    }

    #[test]
    fn the_bound_is_reached_by_some_usage_below_the_first_threshold(
        price in any_price(), input in 0..100_000u64, output in 0..100_000u64,
    ) {
        // So a hold is never larger than it must be, given what is known.
        let rates = base(&price, None);
        let dearest = rates.dearest_text(true).max(rates.input_audio);
        let mut usage = Usage::default();
        for (class, count) in [
            (rates.input, &mut usage.input),
            (rates.cache_write_5m, &mut usage.cache_write_5m),
            (rates.cache_write_1h, &mut usage.cache_write_1h),
            (rates.input_audio, &mut usage.input_audio),
            (rates.cache_read, &mut usage.cache_read),
        ] {
            if class == dearest {
                *count = input;
                break;
            }
        }
        let dearest = rates.dearest_output();
        if rates.output == dearest {
            usage.output = output;
        } else if rates.reasoning == dearest {
            usage.reasoning = output;
        } else if rates.output_audio == dearest {
            usage.output_audio = output;
        } else {
            usage.output_image = output;
        }
        prop_assert_eq!(price.upper_bound(&any_class(input, output), None), price.cost(&usage, None));
    }

    #[test]
    fn the_affordable_cap_fits_and_one_token_more_does_not(
        price in any_price(), tier in any_tier(), input in any_count(),
        remaining in prop_oneof![-10i64..10, 0..10_000_000_000i64, any::<i64>()],
    ) {
        let remaining = NanoUsd(remaining);
        let cap = price.affordable_output(remaining, &any_class(input, 0), tier);
        if price.upper_bound(&any_class(input, 0), tier) > remaining {
            prop_assert_eq!(cap, 0);
        } else {
            prop_assert!(price.upper_bound(&any_class(input, cap), tier) <= remaining);
            if cap < u64::MAX {
                prop_assert!(price.upper_bound(&any_class(input, cap + 1), tier) > remaining);
            }
        }
    }

    #[test]
    fn more_tokens_of_any_class_never_lower_the_bound(
        price in any_price(), tier in any_tier(), input in any_count(), output in any_count(), more in any_count(),
    ) {
        let bound = price.upper_bound(&any_class(input, output), tier);
        prop_assert!(price.upper_bound(&any_class(input.saturating_add(more), output), tier) >= bound);
        prop_assert!(price.upper_bound(&any_class(input, output.saturating_add(more)), tier) >= bound);
    }

    #[test]
    fn no_name_panics(provider in "[a-z]{0,8}", model in ".{0,30}", dated in any::<bool>()) {
        let model = if dated { format!("{model}-2024-07-18") } else { model };
        for kind in ["openai", "mock", "openai-compatible", provider.as_str()] {
            let _ = price_of(&BTreeMap::new(), &provider, kind, &model);
        }
    }
}
