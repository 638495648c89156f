//! Rankings. Nobody recorded any; the bodies are those of the providers' references.

use super::*;
use proptest::prelude::*;

fn order(kind: &str) -> Order<'_> {
    Order { kind, model: "ranker", output_cap: None }
}

fn read(value: &Value) -> RerankRequest {
    read_request(value.to_string().as_bytes()).unwrap()
}

fn body(written: &Written) -> Value {
    serde_json::from_slice(&written.body).unwrap()
}

fn asked(documents: Value) -> Value {
    json!({"model": "m", "query": "capital?", "documents": documents})
}

#[test]
fn a_request_is_read_and_written_for_a_server_that_copies_cohere() {
    let sent = json!({"model": "ranker", "query": "capital?", "documents": ["Paris", {"text": "Berlin", "n": 1}], "top_n": 1,
        "return_documents": true, "max_chunks_per_doc": 3, "rank_fields": ["text"]});
    let request = read(&sent);
    let written = write_request(&request, &order("jina"));
    assert_eq!(body(&written), sent);
    assert!(written.dropped.is_empty() && written.refused.is_empty());
    assert_eq!(read(&body(&written)), request);
}

#[test]
fn cohere_gets_texts_and_sends_no_documents_back() {
    let sent = json!({"model": "m", "query": "q", "documents": ["a", {"text": "b", "n": 1}, {"title": "c: d", "n": 2, "none": null}],
        "top_n": 2, "return_documents": true, "max_tokens_per_doc": 100, "priority": 1, "max_chunks_per_doc": 3});
    let written = write_request(&read(&sent), &order("cohere"));
    assert_eq!(
        body(&written),
        json!({"model": "ranker", "query": "q", "documents": ["a", "b", "title: \"c: d\"\nn: 2"],
        "top_n": 2, "max_tokens_per_doc": 100, "priority": 1})
    );
    assert_eq!((written.dropped, written.refused), (vec!["max_chunks_per_doc".to_owned()], vec![]));

    let mut fields = asked(json!([{"text": "b", "title": "t", "x": {"y": 1}}]));
    fields["rank_fields"] = json!(["title", "x"]);
    assert_eq!(
        body(&write_request(&read(&fields), &order("cohere")))["documents"],
        json!(["title: t\nx: {\"y\":1}"])
    );
    let unreadable = asked(json!([{"image": "https://x.y/z.png"}, {}, "c"]));
    assert_eq!(write_request(&read(&unreadable), &order("cohere")).refused, ["documents[0]", "documents[1]"]);
}

#[test]
fn a_bad_member_is_refused_with_its_place() {
    for (value, param, code) in [
        (json!({"query": "q", "documents": ["a"]}), "model", "missing_required_parameter"),
        (json!({"model": "m", "documents": ["a"]}), "query", "missing_required_parameter"),
        (json!({"model": "m", "query": "q"}), "documents", "missing_required_parameter"),
        (asked(json!([])), "documents", "invalid_value"),
        (asked(json!("a")), "documents", "invalid_type"),
        (asked(json!(["a", 3])), "documents[1]", "invalid_type"),
        (json!({"model": "m", "query": "q", "documents": ["a"], "top_n": 0}), "top_n", "invalid_value"),
        (
            json!({"model": "m", "query": "q", "documents": ["a"], "return_documents": 1}),
            "return_documents",
            "invalid_type",
        ),
    ] {
        let refusal = read_request(value.to_string().as_bytes()).unwrap_err();
        assert_eq!(
            (refusal.status, refusal.param.as_deref(), refusal.code),
            (400, Some(param), code),
            "{value}"
        );
    }
}

/// Id, results, tokens, search units, and what OpenRouter says it cost.
type Seen = (Option<String>, Vec<(u64, f64)>, u64, Option<u64>, Option<i64>);

fn seen(value: &Value) -> Seen {
    let answer = read_answer(value.to_string().as_bytes()).unwrap();
    let reported = answer.reported.unwrap_or_default();
    let cost = response::reported_cost(&reported.json, "openrouter").map(|cost| cost.0);
    (answer.id, answer.results, reported.usage.input_total(), answer.search_units, cost)
}

#[test]
fn answers_of_every_server_are_read() {
    let results = json!([{"index": 3, "relevance_score": 0.999}, {"index": 0, "relevance_score": 0.32}]);
    let ranked = vec![(3, 0.999), (0, 0.32)];
    // As in Cohere's SDK 7.3.1 for Python.
    let cohere = json!({"id": "07734bd2", "results": results,
        "meta": {"api_version": {"version": "2", "is_experimental": false}, "billed_units": {"search_units": 1}}});
    assert_eq!(seen(&cohere), (Some("07734bd2".into()), ranked.clone(), 0, Some(1), None));
    // vLLM's, after Jina's.
    let vllm = json!({"id": "rerank-fae", "model": "BAAI/bge-reranker-base", "usage": {"prompt_tokens": 56, "total_tokens": 56},
        "results": [{"index": 1, "document": {"text": "Paris"}, "relevance_score": 0.998}]});
    assert_eq!(seen(&vllm), (Some("rerank-fae".into()), vec![(1, 0.998)], 56, None, None));
    // https://openrouter.ai/docs/sdks/typescript/api-reference/operations/creatererankresponsebody
    let openrouter = json!({"id": "gen-rerank-1", "model": "cohere/rerank-v3.5", "provider": "Cohere", "results": results,
        "usage": {"search_units": 1, "total_tokens": 150, "cost": 0.001}});
    assert_eq!(
        seen(&openrouter),
        (Some("gen-rerank-1".into()), ranked.clone(), 150, Some(1), Some(1_000_000))
    );
    // Voyage's: other names for the same.
    let voyage =
        json!({"object": "list", "data": results, "model": "rerank-2.5", "usage": {"total_tokens": 26}});
    assert_eq!(seen(&voyage), (None, ranked, 26, None, None));
    let billed_by_tokens =
        json!({"results": [], "meta": {"billed_units": {"input_tokens": 31.0, "output_tokens": 0}}});
    assert_eq!(seen(&billed_by_tokens).2, 31);
    for corrupt in [
        "",
        "{}",
        r#"{"results": 3}"#,
        r#"{"results": [{"index": 0}]}"#,
        r#"{"results": [{"index": -1, "relevance_score": 1}]}"#,
    ] {
        assert!(read_answer(corrupt.as_bytes()).is_err(), "{corrupt}");
    }
    assert_eq!(read_answer(br#"{"message": "no such model"}"#), Err(Corrupt("no such model".into())));
}

#[test]
fn the_documents_are_put_back_from_the_request() {
    let mut sent = asked(json!(["Paris", {"text": "Berlin", "n": 1}]));
    sent["return_documents"] = json!(true);
    let answer = RerankAnswer {
        results: vec![(1, 0.5), (0, 0.25), (7, 0.1)],
        search_units: Some(1),
        ..RerankAnswer::default()
    };
    let show = Show { id: "r".into(), model: "alias".into(), ..Show::default() };
    let shown = |sent: &Value| -> Value {
        serde_json::from_slice(&write_answer(&answer, &read(sent), &show)).unwrap()
    };
    assert_eq!(
        shown(&sent),
        json!({"id": "r", "model": "alias", "results": [
        {"index": 1, "relevance_score": 0.5, "document": {"text": "Berlin", "n": 1}},
        {"index": 0, "relevance_score": 0.25, "document": {"text": "Paris"}}],
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}})
    );
    sent["return_documents"] = json!(false);
    assert_eq!(shown(&sent)["results"][1], json!({"index": 0, "relevance_score": 0.25}));
}

proptest! {
    #[test]
    fn a_ranking_written_is_read_the_same(
        scores in prop::collection::vec(0.0..1.0f64, 0..6), units in prop::option::of(0..9u64), tokens in 0..99u64, back: bool,
    ) {
        let results: Vec<(u64, f64)> = (0..).zip(scores).collect();
        let request = RerankRequest { documents: vec![json!("x"); results.len()], return_documents: back, ..RerankRequest::default() };
        let usage = Usage { input: tokens, ..Usage::default() };
        let reported = Some(Reported { usage, ..Reported::default() });
        let answer = RerankAnswer { id: Some("a".into()), results, reported, search_units: units };
        let read = read_answer(&write_answer(&answer, &request, &Show::default())).unwrap();
        prop_assert_eq!(read.reported.unwrap().usage, usage);
        prop_assert_eq!((read.id, read.results, read.search_units), (answer.id, answer.results, answer.search_units));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (read_request(&bytes), read_answer(&bytes));
    }
}
