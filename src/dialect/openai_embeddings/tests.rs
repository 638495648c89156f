//! Vectors in OpenAI's and Cohere's form.

use super::*;
use crate::dialect::cohere::{embed as cohere, failure, tests::exchanges};
use proptest::prelude::*;

fn order<'a>(kind: &'a str, model: &'a str) -> Order<'a> {
    Order { kind, model, output_cap: None }
}

fn read(value: &Value) -> EmbedRequest {
    read_request(value.to_string().as_bytes()).unwrap()
}

fn read_cohere(value: &Value) -> EmbedRequest {
    cohere::read_request(value.to_string().as_bytes()).unwrap()
}

fn body(written: &Written) -> Value {
    serde_json::from_slice(&written.body).unwrap()
}

/// `null` and nothing mean the same, as do a text and a list of it, and floats and nothing.
fn normal(value: &Value) -> Value {
    let members = value.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
    let members = members.filter(|(name, value)| *name != "encoding_format" || *value != "float");
    let listed = members.map(|(name, value)| {
        let lone = name == "input" && (value.is_string() || value[0].is_number());
        (name.clone(), if lone { json!([value]) } else { value.clone() })
    });
    listed.collect()
}

fn texts(request: &EmbedRequest) -> Vec<&str> {
    request
        .inputs
        .iter()
        .map(|input| match input {
            EmbedInput::Text(text) => text.as_str(),
            EmbedInput::Tokens(_) => panic!("{input:?}"),
        })
        .collect()
}

#[test]
fn recorded_openai_embeddings_are_read_and_written_again() {
    let (mut requests, mut answers, mut errors) = (0, 0, 0);
    for exchange in exchanges("openai_embeddings", "openai", &["embeddings"]) {
        let (name, recorded) = (&exchange.name, exchange.request.as_ref().unwrap());
        let request = read(recorded);
        let written = write_request(&request, &order("openai", recorded["model"].as_str().unwrap()));
        assert_eq!(normal(&body(&written)), normal(recorded), "{name}");
        assert!(written.dropped.is_empty() && written.refused.is_empty(), "{name}");
        assert_eq!(json!(texts(&request)), recorded["input"], "{name}");
        requests += 1;
        let answered = exchange.body.unwrap();
        if exchange.status != 200 {
            errors += 1;
            assert!(read_answer(answered.to_string().as_bytes()).is_err(), "{name}");
            assert_eq!(
                json!(failure::read(exchange.status, answered.to_string().as_bytes()).message),
                answered["error"]["message"]
            );
            continue;
        }
        answers += 1;
        let answer = read_answer(answered.to_string().as_bytes()).unwrap();
        assert_eq!(answer.vectors.len(), request.inputs.len(), "{name}");
        assert_eq!(answer.vectors[0].len() as u64, request.dimensions.unwrap_or(1_536), "{name}");
        let length: f64 = answer.vectors[0].iter().map(|number| number * number).sum();
        assert!((length - 1.0).abs() < 1e-3, "{name}: a vector of length 1, not {length}");
        assert_eq!(
            json!(answer.reported.as_ref().unwrap().usage.input_total()),
            answered["usage"]["prompt_tokens"]
        );
        assert_eq!(answer.model.as_deref(), answered["model"].as_str());
        let shown: Value =
            serde_json::from_slice(&write_answer(&answer, &request, &Show::default())).unwrap();
        assert_eq!(shown, answered, "{name}: bit by bit");
    }
    assert!(requests >= 3 && answers >= 2 && errors >= 1, "{requests} {answers} {errors}");
}

#[test]
fn recorded_cohere_embeddings_are_read_and_written_again() {
    let (mut requests, mut answers) = (0, 0);
    for exchange in exchanges("cohere", "cohere", &["embeddings"]) {
        let (name, recorded) = (&exchange.name, exchange.request.as_ref().unwrap());
        let request = read_cohere(recorded);
        assert_eq!(request.task.as_deref(), Some("RETRIEVAL_QUERY"));
        let written = cohere::write_request(&request, &order("cohere", recorded["model"].as_str().unwrap()));
        assert_eq!(normal(&body(&written)), normal(recorded), "{name}");
        assert!(written.dropped.is_empty() && written.refused.is_empty(), "{name}");
        requests += 1;
        let answered = exchange.body.unwrap();
        if exchange.status != 200 {
            assert!(cohere::read_answer(answered.to_string().as_bytes()).is_err(), "{name}");
            continue;
        }
        answers += 1;
        let answer = cohere::read_answer(answered.to_string().as_bytes()).unwrap();
        assert_eq!(json!(answer.vectors), answered["embeddings"]["float"], "{name}");
        assert_eq!(
            json!(answer.reported.as_ref().unwrap().usage.input_total()),
            answered["meta"]["billed_units"]["input_tokens"]
        );
        let mut shown: Value =
            serde_json::from_slice(&cohere::write_answer(&answer, &request, &Show::default())).unwrap();
        // There was no image; that is not said again.
        shown["meta"]["billed_units"]["image_tokens"] = json!(0);
        assert_eq!(shown, answered, "{name}");
        // The same vectors for a client of OpenAI's.
        for base64 in [false, true] {
            let asked = EmbedRequest { base64, ..request.clone() };
            let show = Show { model: "embed-v4.0".into(), ..Show::default() };
            let seen = read_answer(&write_answer(&answer, &asked, &show)).unwrap();
            assert_eq!(seen.model.as_deref(), Some("embed-v4.0"));
            assert_eq!(seen.vectors.len(), 1);
            for (seen, sent) in seen.vectors[0].iter().zip(&answer.vectors[0]) {
                let sent = if base64 { f64::from(*sent as f32) } else { *sent };
                assert_eq!(*seen, sent);
            }
        }
    }
    assert!(requests >= 2 && answers >= 1, "{requests} {answers}");
}

#[test]
fn real_clients_requests_are_understood() {
    // OpenAI for Python 2 and Vercel's ai 7, recorded on loopback.
    for sent in [
        json!({"input": ["a", "b"], "model": "text-embedding-3-small", "encoding_format": "base64"}),
        json!({"input": ["a", "b"], "model": "text-embedding-ada-002", "encoding_format": "base64"}),
        json!({"model": "text-embedding-3-small", "input": ["x"], "encoding_format": "float"}),
    ] {
        let request = read(&sent);
        assert_eq!(json!(texts(&request)), sent["input"]);
        assert_eq!(request.base64, sent["encoding_format"] == "base64");
        assert_eq!(normal(&body(&write_request(&request, &order("openai", &request.model)))), normal(&sent));
    }
}

#[test]
fn every_form_of_input_is_read() {
    let inputs = |input: Value| read(&json!({"model": "m", "input": input})).inputs;
    assert_eq!(inputs(json!("x")), [EmbedInput::Text("x".into())]);
    assert_eq!(inputs(json!([1, 2])), [EmbedInput::Tokens(vec![1, 2])]);
    assert_eq!(inputs(json!([[1], [2, 3]])), [EmbedInput::Tokens(vec![1]), EmbedInput::Tokens(vec![2, 3])]);
    for (value, param, code) in [
        (json!({"input": "x"}), "model", "missing_required_parameter"),
        (json!({"model": "m"}), "input", "missing_required_parameter"),
        (json!({"model": "m", "input": []}), "input", "invalid_value"),
        (json!({"model": "m", "input": {}}), "input", "invalid_type"),
        (json!({"model": "m", "input": ["x", 1]}), "input[1]", "invalid_type"),
        (json!({"model": "m", "input": [1, "x"]}), "input[1]", "invalid_type"),
        (json!({"model": "m", "input": [[1, -2]]}), "input[0][1]", "invalid_type"),
        (json!({"model": "m", "input": [[]]}), "input[0]", "invalid_value"),
        (json!({"model": "m", "input": "x", "encoding_format": "int8"}), "encoding_format", "invalid_value"),
        (json!({"model": "m", "input": "x", "dimensions": 1.5}), "dimensions", "invalid_type"),
    ] {
        let refusal = read_request(value.to_string().as_bytes()).unwrap_err();
        assert_eq!(
            (refusal.status, refusal.param.as_deref(), refusal.code),
            (400, Some(param), code),
            "{value}"
        );
    }
}

#[test]
fn a_request_of_openais_is_asked_of_cohere() {
    let sent = json!({"model": "m", "input": ["a", "b"], "dimensions": 512, "user": "u", "encoding_format": "base64", "x": 1});
    let written = cohere::write_request(&read(&sent), &order("cohere", "embed-v4.0"));
    assert_eq!(
        body(&written),
        json!({"model": "embed-v4.0", "texts": ["a", "b"], "input_type": "search_document",
        "embedding_types": ["float"], "output_dimension": 512})
    );
    assert_eq!((written.dropped, written.refused), (vec!["user".to_owned(), "x".to_owned()], vec![]));
    // What LiteLLM's and others' users add.
    let query = cohere::write_request(
        &read(&json!({"model": "m", "input": "a", "input_type": "search_query"})),
        &order("cohere", "e"),
    );
    assert_eq!(body(&query)["input_type"], "search_query");
    let unknown = read(&json!({"model": "m", "input": "a", "input_type": "image"}));
    assert_eq!((unknown.task.as_deref(), &unknown.extras["input_type"]), (None, &json!("image")));

    let refused = |input: Value| {
        cohere::write_request(&read(&json!({"model": "m", "input": input})), &order("cohere", "e")).refused
    };
    assert_eq!(refused(json!([[1, 2], [3]])), ["input[0]", "input[1]"]);
    assert_eq!(refused(json!(vec!["x"; 97])), ["input (more than 96 texts)"]);
    assert_eq!(refused(json!(vec!["x"; 96])), [""; 0]);
}

#[test]
fn a_request_of_coheres_is_asked_of_openai() {
    let sent = json!({"model": "m", "texts": ["a"], "inputs": [{"content": [{"type": "text", "text": "b"}]}],
        "input_type": "search_query", "truncate": "END", "output_dimension": 256, "embedding_types": ["float", "int8"]});
    let request = read_cohere(&sent);
    let written = write_request(&request, &order("openai", "text-embedding-3-small"));
    assert_eq!(
        body(&written),
        json!({"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 256})
    );
    assert_eq!(written.dropped, ["input_type", "truncate", "embedding_types"]);
    assert!(written.refused.is_empty());
    assert_eq!(cohere::write_request(&request, &order("cohere", "m")).dropped, ["embedding_types"]);
    let nvidia = write_request(&request, &order("nvidia", "m"));
    assert_eq!(body(&nvidia)["input_type"], "query");

    let pictures =
        read_cohere(&json!({"model": "m", "images": ["data:image/png;base64,AA"], "input_type": "image"}));
    assert_eq!(write_request(&pictures, &order("openai", "m")).refused, ["images"]);
    let own = cohere::write_request(&pictures, &order("cohere", "m"));
    assert_eq!(
        body(&own),
        json!({"model": "m", "input_type": "image", "embedding_types": ["float"], "images": ["data:image/png;base64,AA"]})
    );
    assert!(own.dropped.is_empty() && own.refused.is_empty());
    let refusal = cohere::read_request(br#"{"model": "m", "input_type": "search_query"}"#).unwrap_err();
    assert_eq!(refusal.param.as_deref(), Some("texts"));
    assert!(cohere::read_request(br#"{"model": "m", "texts": "x"}"#).is_err());
}

#[test]
fn texts_and_tokens_are_not_asked_at_once() {
    let inputs = vec![EmbedInput::Text("x".into()), EmbedInput::Tokens(vec![1])];
    let request = EmbedRequest { inputs, ..EmbedRequest::default() };
    assert_eq!(write_request(&request, &order("openai", "m")).refused, ["input"]);
}

#[test]
fn a_cohere_client_gets_the_kinds_it_asked_for() {
    let answer = EmbedAnswer { vectors: vec![vec![0.5, -1.0]], ..EmbedAnswer::default() };
    let shown = |kinds: Value| -> Value {
        let request = read_cohere(&json!({"model": "m", "texts": ["a"], "embedding_types": kinds}));
        let shown = cohere::write_answer(&answer, &request, &Show { id: "r".into(), ..Show::default() });
        serde_json::from_slice(&shown).unwrap()
    };
    assert_eq!(shown(Value::Null)["embeddings"], json!({"float": [[0.5, -1.0]]}));
    assert_eq!(shown(json!(["float"]))["id"], "r");
    assert_eq!(shown(json!(["base64"]))["embeddings"], json!({"base64": ["AAAAPwAAgL8="]}));
    assert_eq!(
        shown(json!(["base64", "float"]))["embeddings"],
        json!({"float": [[0.5, -1.0]], "base64": ["AAAAPwAAgL8="]})
    );
    let packed = json!({"embeddings": {"base64": ["AAAAPwAAgL8="]}});
    assert_eq!(cohere::read_answer(packed.to_string().as_bytes()).unwrap().vectors, answer.vectors);
}

#[test]
fn vectors_are_put_in_the_order_of_their_indexes() {
    let item = |index: Option<u64>, number: f64| json!({"object": "embedding", "index": index, "embedding": [number]});
    let vectors = |items: Value| read_answer(json!({"data": items}).to_string().as_bytes()).unwrap().vectors;
    assert_eq!(vectors(json!([item(Some(1), 1.0), item(Some(0), 2.0)])), [[2.0], [1.0]]);
    assert_eq!(vectors(json!([item(None, 1.0), item(None, 2.0)])), [[1.0], [2.0]]);
}

#[test]
fn what_is_no_vector_is_corrupt() {
    for vector in
        [json!("AAAA"), json!("!"), json!("AADAfw=="), json!([null]), json!(["x"]), json!({}), Value::Null]
    {
        let answer = json!({"data": [{"index": 0, "embedding": vector}]});
        assert!(read_answer(answer.to_string().as_bytes()).is_err(), "{vector}");
    }
    assert_eq!(read_answer(br#"{"error": {"message": "overloaded"}}"#), Err(Corrupt("overloaded".into())));
    assert!(read_answer(b"<html>").is_err() && cohere::read_answer(b"{}").is_err());
}

#[test]
fn usage_is_read_in_every_spelling() {
    let of = |usage: Value| {
        let answer = json!({"data": [], "usage": usage}).to_string();
        read_answer(answer.as_bytes()).unwrap().reported
    };
    let total = of(json!({"total_tokens": 7})).unwrap();
    assert_eq!((total.usage.input_total(), total.cost_nanousd), (7, None));
    let paid = of(json!({"prompt_tokens": 3, "total_tokens": 3, "cost": 0.000_000_3})).unwrap();
    assert_eq!(paid.usage.total(), 3);
    assert_eq!(response::reported_cost(&paid.json, "openrouter").map(|cost| cost.0), Some(300));
    assert_eq!(of(json!({})), None);
}

fn floats() -> impl Strategy<Value = Vec<Vec<f64>>> {
    let number = any::<f32>().prop_filter("finite", |float| float.is_finite()).prop_map(f64::from);
    prop::collection::vec(prop::collection::vec(number, 0..20), 0..4)
}

proptest! {
    #[test]
    fn vectors_written_are_read_the_same(vectors in floats(), base64: bool, tokens in 0..1_000u64) {
        let json = json!({"prompt_tokens": tokens, "total_tokens": tokens}).to_string();
        let usage = Usage { input: tokens, ..Usage::default() };
        let reported = Some(Reported { usage, json, cost_nanousd: None });
        let answer = EmbedAnswer { id: Some("e".into()), model: Some("m".into()), vectors, reported };
        let request = EmbedRequest { base64, ..EmbedRequest::default() };
        prop_assert_eq!(&read_answer(&write_answer(&answer, &request, &Show::default())).unwrap(), &answer);
        let read = cohere::read_answer(&cohere::write_answer(&answer, &request, &Show::default())).unwrap();
        prop_assert_eq!(&read.vectors, &answer.vectors);
        prop_assert_eq!(read.reported.unwrap().usage, usage);
    }

    #[test]
    fn base64_of_floats_comes_back_bit_by_bit(bits in prop::collection::vec(any::<u32>(), 0..40)) {
        let floats: Vec<f32> = bits.iter().map(|bits| f32::from_bits(*bits)).filter(|float| float.is_finite()).collect();
        let text = BASE64.encode(floats.iter().flat_map(|float| float.to_le_bytes()).collect::<Vec<u8>>());
        prop_assert_eq!(pack(&unpack(&text).unwrap()), text);
    }

    #[test]
    fn numbers_in_json_come_back_exactly(numbers in prop::collection::vec(-1e300..1e300f64, 0..20)) {
        let answer = EmbedAnswer { vectors: vec![numbers], ..EmbedAnswer::default() };
        let read = read_answer(&write_answer(&answer, &EmbedRequest::default(), &Show::default())).unwrap();
        prop_assert_eq!(read.vectors, answer.vectors);
    }

    #[test]
    fn requests_written_are_read_the_same(
        texts in prop::collection::vec("[a-zäé\"]{0,6}", 1..5), tokens in prop::collection::vec(prop::collection::vec(any::<u64>(), 1..4), 1..4),
        tokenized: bool, dimensions in prop::option::of(1..4_000u64), base64: bool, user in prop::option::of("[a-z]{1,4}"),
    ) {
        let inputs = if tokenized { tokens.into_iter().map(EmbedInput::Tokens).collect() } else { texts.iter().cloned().map(EmbedInput::Text).collect() };
        let request = EmbedRequest { model: "m".into(), inputs, dimensions, base64, task: None, user, ..EmbedRequest::default() };
        let written = write_request(&request, &order("openai", "m"));
        prop_assert_eq!(&read_request(&written.body).unwrap(), &request);
        let task = Some("CLUSTERING".to_owned());
        let request = EmbedRequest { inputs: texts.into_iter().map(EmbedInput::Text).collect(), task, base64: false, user: None, ..request };
        let written = cohere::write_request(&request, &order("cohere", "m"));
        prop_assert!(written.dropped.is_empty() && written.refused.is_empty());
        prop_assert_eq!(cohere::read_request(&written.body).unwrap(), request);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (read_request(&bytes), read_answer(&bytes), cohere::read_request(&bytes), cohere::read_answer(&bytes));
    }
}
