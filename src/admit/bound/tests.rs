//! Bounds are never below a reference count, and no larger than what can be proved.

use super::*;
use crate::{
    config::policy::PriceOverride,
    model::money::PicoUsd,
    settle::price::{Price, price_of},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn built_in(kind: &str, model: &str) -> Price {
    price_of(&BTreeMap::new(), kind, kind, model).unwrap()
}

fn operators(context: Option<u64>, output: Option<u64>) -> Price {
    let price = PriceOverride {
        input: PicoUsd(1_000_000),
        output: PicoUsd(2_000_000),
        context_tokens: context,
        output_tokens: output,
        ..PriceOverride::default()
    };
    price_of(&BTreeMap::from([("lab/m".to_owned(), price)]), "lab", "openai-compatible", "m").unwrap()
}

fn reader<'a>(kind: &'a str, model: &'a str, price: Option<&'a Price>) -> Reader<'a> {
    Reader { kind, model, price }
}

fn request(body: &Value) -> ChatRequest {
    ChatRequest::decode(body.to_string().as_bytes()).unwrap()
}

fn asked(more: Value) -> ChatRequest {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    request(&body)
}

fn image(detail: &str) -> Value {
    json!({"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": detail}}]}]})
}

#[test]
fn a_short_text_is_its_bytes_and_the_template() {
    let bound = tokens(&asked(json!({})), reader("openai", "gpt-4o", None), Caps::default());
    assert_eq!(bound.input, "userhi".len() as u64 + MESSAGE_TOKENS + TEMPLATE_TOKENS);
    assert_eq!(bound.input_audio, 0);
    let unknown = tokens(&asked(json!({})), reader("openai-compatible", "m", None), Caps::default());
    assert_eq!(unknown.input - bound.input, UNDIRECTED_TEMPLATE_TOKENS - TEMPLATE_TOKENS);
    let directed = asked(json!({"messages": [{"role": "system", "content": "hi"}]}));
    let unknown = tokens(&directed, reader("openai-compatible", "m", None), Caps::default());
    assert_eq!(unknown.input, "systemhi".len() as u64 + MESSAGE_TOKENS + UNKNOWN_TEMPLATE_TOKENS);
}

#[test]
fn no_input_is_more_than_the_context() {
    let price = operators(Some(1_000), None);
    let long = asked(json!({"messages": [{"role": "user", "content": "x".repeat(5_000)}]}));
    assert_eq!(tokens(&long, reader("openai-compatible", "m", Some(&price)), Caps::default()).input, 1_000);
    // Where the context is not known, the bytes are.
    let free = operators(None, None);
    assert!(tokens(&long, reader("openai-compatible", "m", Some(&free)), Caps::default()).input >= 5_000);
}

#[test]
fn an_image_is_bounded_by_its_models_rule_and_else_by_the_context() {
    let of = |kind, model, detail| {
        let price = built_in(kind, model);
        tokens(&asked(image(detail)), reader(kind, model, Some(&price)), Caps::default()).input
    };
    assert!((1_445..1_600).contains(&of("openai", "gpt-4o", "high")), "{}", of("openai", "gpt-4o", "high"));
    assert!((85..250).contains(&of("openai", "gpt-4o", "low")));
    assert!((1_568..1_750).contains(&of("anthropic", "claude-haiku-4-5", "auto")));
    assert_eq!(
        of("openai", "gpt-5.4-mini", "high"),
        built_in("openai", "gpt-5.4-mini").context_tokens.unwrap()
    );
    let file = asked(
        json!({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}),
    );
    let price = built_in("openai", "gpt-4o");
    let bound = tokens(&file, reader("openai", "gpt-4o", Some(&price)), Caps::default());
    assert_eq!((bound.input, bound.input_audio), (128_000, 128_000));
    assert_eq!(tokens(&file, reader("openai", "x", None), Caps::default()).input, CONTEXT_FALLBACK);
    // Images never lift the bound above the context.
    let many: Vec<Value> =
        (0..200).map(|_| json!({"type": "image_url", "image_url": {"url": "u", "detail": "high"}})).collect();
    let many = asked(json!({"messages": [{"role": "user", "content": many}]}));
    assert_eq!(tokens(&many, reader("openai", "gpt-4o", Some(&price)), Caps::default()).input, 128_000);
}

#[test]
fn audio_is_bounded_by_its_length_where_the_rate_is_known() {
    let clip = format!("//uQ{}", "A".repeat(40_000));
    let body = json!({"messages": [{"role": "user", "content": [
        {"type": "input_audio", "input_audio": {"data": clip, "format": "mp3"}}]}]});
    let price = built_in("openai", "gpt-audio");
    let bound = tokens(&asked(body.clone()), reader("openai", "gpt-audio", Some(&price)), Caps::default());
    // 30 kB are 30 s at the lowest rate of an MP3, and 600 tokens at twice that length.
    assert!((300..800).contains(&bound.input_audio), "{bound:?}");
    assert!(bound.input < bound.input_audio + 200, "{bound:?}");
    // Dearer than text, and no more of it than there can be.
    let with = price.upper_bound(&bound.extent(), None);
    let all = price.upper_bound(&Extent { input_audio: bound.input, ..bound.extent() }, None);
    let none = price.upper_bound(&Extent { input_audio: 0, ..bound.extent() }, None);
    assert!(none < with && with < all);
    let elsewhere = tokens(&asked(body), reader("openai-compatible", "m", Some(&price)), Caps::default());
    assert_eq!(Some(elsewhere.input), price.context_tokens);
}

#[test]
fn a_cache_write_dearer_than_input_is_what_is_held() {
    let price = built_in("anthropic", "claude-opus-4-5");
    let extent = Extent { input: 1_000_000, ..Extent::default() };
    // $5 a million uncached, $6.25 written for five minutes, $10 for an hour.
    assert_eq!(price.upper_bound(&Extent { input: 200_000, ..extent }, None).0, 1_250_000_000);
    assert_eq!(
        price.upper_bound(&Extent { input: 200_000, hour_cache: true, ..extent }, None).0,
        2_000_000_000
    );
}

#[test]
fn what_is_held_is_what_is_sent() {
    let table = built_in("openai", "gpt-4o");
    let own = operators(Some(1_000), Some(300));
    let bare = operators(None, None);
    let (none, key) = (Caps::default(), Caps { default: Some(50), ..Caps::default() });
    for (sent, caps, price, cap, to_send) in [
        (Some(77), none, Some(&table), 77, Some(77)),
        // Above the table's figure: the table may be older than the model.
        (Some(99_999), none, Some(&table), 99_999, Some(99_999)),
        // The model's own end need not be sent, the operator's figure must be.
        (None, none, Some(&table), 16_384, None),
        (None, none, Some(&own), 300, Some(300)),
        (None, none, Some(&bare), OUTPUT_CAP_FALLBACK, Some(OUTPUT_CAP_FALLBACK)),
        (None, none, None, OUTPUT_CAP_FALLBACK, Some(OUTPUT_CAP_FALLBACK)),
        (None, key, Some(&table), 50, Some(50)),
        (None, Caps { default: Some(99_999), ..Caps::default() }, Some(&table), 16_384, Some(16_384)),
        (None, key, None, 50, Some(50)),
        (Some(77), key, Some(&table), 77, Some(77)),
        (Some(77), Caps { clamp: Some(5), ..key }, Some(&table), 5, Some(5)),
        (Some(77), Caps { clamp: Some(500), ..key }, Some(&table), 77, Some(77)),
        (None, Caps { clamp: Some(5), ..Caps::default() }, Some(&table), 5, Some(5)),
    ] {
        let request = sent.map_or_else(|| asked(json!({})), |cap| asked(json!({"max_tokens": cap})));
        let bound = tokens(&request, reader("openai", "m", price), caps);
        assert_eq!((bound.output, bound.cap_to_send), (cap, to_send), "{sent:?} {caps:?}");
    }
}

#[test]
fn each_choice_has_its_own_cap_and_may_reject_the_prediction() {
    let request =
        asked(json!({"max_tokens": 10, "n": 3, "prediction": {"type": "content", "content": "0123456789"}}));
    let bound = tokens(&request, reader("openai", "m", None), Caps::default());
    assert!(bound.output >= 3 * (10 + 10));
    // And what fits into that bound is that cap.
    assert_eq!(cap_within(&request, bound.output), 10);
    assert_eq!(cap_within(&request, 3), 0);
}

#[test]
fn an_embedding_is_its_bytes_and_each_input_at_most_the_context() {
    use EmbeddingInput::{Text, Tokens, Unknown};
    let price = operators(Some(512), None);
    let of = |inputs: &[EmbeddingInput]| embedding_tokens(inputs.iter().copied(), Some(&price));
    assert_eq!(of(&[]), 0);
    assert_eq!(of(&[Text(100), Text(10_000), Tokens(7)]), 116 + 512 + 23);
    assert_eq!(of(&[Unknown, Unknown]), 1_024);
    assert_eq!(embedding_tokens([Text(10_000)], None), 10_016);
    assert_eq!(embedding_tokens([Text(u64::MAX), Text(u64::MAX)], None), u64::MAX);
}

/// Texts of any script, with quotes, escapes and characters that grow when they are normalised.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,60}", any::<String>(), "[a-z \"\\\\\n\u{FDFA}\u{3300}é漢🌍]{0,80}"]
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Image(Option<&'static str>, bool),
}

fn any_piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        any_text().prop_map(Piece::Text),
        (prop_oneof![Just(None), Just(Some("low")), Just(Some("high")), Just(Some("auto"))], any::<bool>())
            .prop_map(|(detail, inline)| Piece::Image(detail, inline)),
    ]
}

impl Piece {
    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!({"type": "text", "text": text}),
            Self::Image(detail, inline) => {
                let url = if *inline {
                    format!("data:image/png;base64,{}", "A".repeat(500))
                } else {
                    "https://x/y".to_owned()
                };
                let mut image = json!({"url": url});
                if let Some(detail) = detail {
                    image["detail"] = json!(detail);
                }
                json!({"type": "image_url", "image_url": image})
            }
        }
    }

    /// A token for each byte; images as the pages say: gpt-4o 85 or 85 + 8 × 170, Claude Haiku 4.5 1,568.
    fn reference(&self, kind: &str) -> u64 {
        match (self, kind) {
            (Self::Text(text), _) => text.len() as u64,
            (Self::Image(Some("low"), _), "openai") => 85,
            (Self::Image(..), "openai") => 1_445,
            (Self::Image(..), _) => 1_568,
        }
    }
}

proptest! {
    #[test]
    fn never_below_a_token_for_each_byte_and_the_published_image_rules(
        messages in prop::collection::vec((prop::collection::vec(any_piece(), 0..4), any_text()), 1..5),
        tools in prop::collection::vec((any_text(), any_text()), 0..4),
        n in 1u64..5, cap in 1u64..5_000, pretty in any::<bool>(),
    ) {
        let mut expected = [("openai", "gpt-4o", 0), ("anthropic", "claude-haiku-4-5", 0)];
        let mut list = Vec::new();
        for (pieces, plain) in &messages {
            list.push(json!({"role": "user", "content": pieces.iter().map(Piece::json).collect::<Vec<_>>()}));
            list.push(json!({"role": "assistant", "content": plain}));
            for (kind, _, count) in &mut expected {
                *count += plain.len() as u64 + pieces.iter().map(|piece| piece.reference(kind)).sum::<u64>();
            }
        }
        let mut body = json!({"model": "m", "messages": list, "n": n, "max_tokens": cap});
        if !tools.is_empty() {
            let tools: Vec<Value> = tools.iter().map(|(name, about)| json!({"type": "function", "function": {
                "name": name, "description": about, "parameters": {"type": "object", "properties": {name: {"type": "string"}}}}})).collect();
            for (_, _, count) in &mut expected {
                *count += tools.iter().map(|tool| tool.to_string().len() as u64).sum::<u64>();
            }
            body["tools"] = json!(tools);
        }
        let text = if pretty { serde_json::to_string_pretty(&body).unwrap() } else { body.to_string() };
        let request = ChatRequest::decode(text.as_bytes()).unwrap();
        for (kind, model, count) in expected {
            let price = built_in(kind, model);
            let bound = tokens(&request, reader(kind, model, Some(&price)), Caps::default());
            let context = price.context_tokens.unwrap();
            prop_assert!(bound.input >= count.min(context), "{} {} < {}", kind, bound.input, count);
            prop_assert!(bound.input <= context);
            prop_assert_eq!(bound.output, n * cap);
            prop_assert!(estimated_input(&request, reader(kind, model, Some(&price))) <= bound.input);
        }
    }

    #[test]
    fn the_cap_that_is_affordable_fits_the_bound(
        cap in 1u64..100_000, n in 1u64..9, remaining in 0i64..1_000_000_000, predicted in "[a-z]{0,50}",
    ) {
        let price = built_in("openai", "gpt-4o");
        let mut body = json!({"max_tokens": cap, "n": n});
        if !predicted.is_empty() {
            body["prediction"] = json!({"type": "content", "content": predicted});
        }
        let request = asked(body);
        let of = |caps| tokens(&request, reader("openai", "gpt-4o", Some(&price)), caps);
        let remaining = crate::model::money::NanoUsd(remaining);
        let affordable = cap_within(&request, price.affordable_output(remaining, &of(Caps::default()).extent(), None));
        if affordable > 0 {
            let clamped = of(Caps { clamp: Some(affordable), ..Caps::default() });
            prop_assert!(price.upper_bound(&clamped.extent(), None) <= remaining);
            prop_assert_eq!(clamped.cap_to_send, Some(cap.min(affordable)));
        }
    }
}
