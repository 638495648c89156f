//! Every recorded exchange through every dialect: the request to every provider's, the answer, the stream and the error to
//! every client's, and all of it read again.
//!
//! `EDGEHOLD_WRITE=1 cargo test --test replay` writes the tables in docs/dialects.md.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unreachable,
    unreachable_pub,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod corpus;
mod lost;
mod question;
mod told;

use corpus::{Exchange, exchanges};
use edgehold::{
    dialect::{self, Dialect, Order, Show},
    model::{
        answer::{Answer, Assembly, Delta, Failure, Finish},
        request::{Request, Tool, ToolChoice},
    },
    refusal::Refusal,
};
use proptest::prelude::*;
use question::{Question, Said};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::{LazyLock, Mutex},
};
use told::{Ending, Told};

static ALL: LazyLock<(Vec<Exchange>, bool)> = LazyLock::new(exchanges);

/// Who stands for a dialect when a request of another is written: a provider's kind and a model of today.
const ASKED: [(Dialect, &str, &str); 6] = [
    (Dialect::OpenAiChat, "openai", "gpt-5.1"),
    (Dialect::OpenAiResponses, "openai", "gpt-5.1"),
    (Dialect::Anthropic, "anthropic", "claude-sonnet-4-5"),
    (Dialect::Gemini, "gemini", "gemini-3-flash-preview"),
    (Dialect::Bedrock, "bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    (Dialect::Cohere, "cohere", "command-a-03-2025"),
];

fn show(dialect: Dialect) -> Show {
    let echo = (dialect == Dialect::OpenAiResponses).then(|| json!({}));
    Show { id: "req_1".to_owned(), model: "model".to_owned(), created: 1, usage: true, array: false, echo }
}

/// What went well, was refused by rule, or went wrong.
#[derive(Default)]
struct Report {
    /// Provider → what was done → how often.
    done: BTreeMap<String, BTreeMap<&'static str, u64>>,
    /// From, to → member without its indices → how often.
    refused: BTreeMap<(Dialect, Dialect), BTreeMap<String, u64>>,
    dropped: BTreeMap<(Dialect, Dialect), BTreeMap<String, u64>>,
    wrong: Vec<String>,
}

impl Report {
    fn count(&mut self, exchange: &Exchange, what: &'static str) {
        *self.done.entry(exchange.provider.clone()).or_default().entry(what).or_default() += 1;
    }

    fn judge(&mut self, exchange: &Exchange, what: &'static str, judged: Result<(), String>) {
        match judged {
            Ok(()) => self.count(exchange, what),
            Err(why) => {
                self.count(exchange, "failed");
                self.wrong.push(format!("{}: {what}: {why}", exchange.name));
            }
        }
    }

    fn hold(&self) {
        assert!(self.wrong.is_empty(), "{} are not as claimed:\n{}", self.wrong.len(), self.wrong.join("\n"));
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?} is not {expected:?}")) }
}

/// `messages[3].content[0]` → `messages[].content[]`.
fn without_indices(name: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for letter in name.chars() {
        inside = (inside || letter == '[') && letter != ']';
        if !inside || letter == '[' {
            out.push(letter);
        }
    }
    out
}

// Requests.

/// The registry's kind of the provider that was recorded.
fn kind(exchange: &Exchange) -> &str {
    match exchange.provider.as_str() {
        "moonshotai" => "moonshot",
        "openai-compatible" | "open-responses" => "openai_compatible",
        other => other,
    }
}

/// What only a request that passes as it came keeps: members in lists that are built anew. (Google's SDK says what a
/// function returns.)
const NOT_WRITTEN_ANEW: [&str; 1] = [".responseJsonSchema"];

/// The same dialect: what is written is read as the same request, and nothing is left out.
fn kept(exchange: &Exchange, request: &Request) -> Result<(), String> {
    let order = Order { kind: kind(exchange), model: &request.model, output_cap: request.output_cap };
    let written = dialect::write_request(request.dialect, request, &order);
    same("refused", &written.refused, &vec![])?;
    let dropped: Vec<&String> = written
        .dropped
        .iter()
        .filter(|name| !NOT_WRITTEN_ANEW.iter().any(|end| name.ends_with(end)))
        .collect();
    same("dropped", &dropped, &vec![])?;
    let again = dialect::read_request(request.dialect, &written.body, exchange.path())
        .map_err(|refusal| format!("not read again: {}", refusal.message))?;
    // Google has all functions in one tool, and what is not written anew is an extra; Anthropic demands a cap.
    let by_kind = |mut request: Request, cap: Option<u64>| {
        request.tools.sort_by_key(|tool| matches!(tool, Tool::Native(..)));
        request.output_cap = request.output_cap.or(cap);
        request.extras.retain(|name, _| !NOT_WRITTEN_ANEW.iter().any(|end| name.ends_with(end)));
        request
    };
    same("read again", &by_kind(again.clone(), None), &by_kind(request.clone(), again.output_cap))
}

enum Asked {
    Written,
    Refused,
}

/// Another dialect: written or refused by rule; what is written asks the same but for what was told.
fn asked(
    report: &mut Report,
    request: &Request,
    (to, kind, model): (Dialect, &str, &str),
) -> Result<Asked, String> {
    let order = Order { kind, model, output_cap: request.output_cap };
    let written = dialect::write_request(to, request, &order);
    let pair = (request.dialect, to);
    for (names, into) in [(&written.refused, &mut report.refused), (&written.dropped, &mut report.dropped)] {
        let all: BTreeSet<String> =
            names.iter().map(|name| without_indices(name.split(' ').next().unwrap())).collect();
        if all.contains("") {
            return Err("a member without a name".to_owned());
        }
        for name in all {
            *into.entry(pair).or_default().entry(name).or_default() += 1;
        }
    }
    if !written.refused.is_empty() {
        return Ok(Asked::Refused);
    }
    let again =
        dialect::read_request(to, &written.body, Some((model, request.stream))).map_err(|refusal| {
            format!("not read: {} {}", refusal.message, String::from_utf8_lossy(&written.body))
        })?;
    let titled = to == Dialect::Cohere;
    let (mut expected, mut found) = (question::of(request, titled), question::of(&again, titled));
    same("model", &again.model.as_str(), &model)?;
    let dropped = |wanted: &str| {
        let plain = |name: &str| {
            let last = name.rsplit('.').next().unwrap_or(name);
            last.replace('_', "").to_ascii_lowercase()
        };
        written.dropped.iter().any(|name| plain(name).starts_with(&plain(wanted)))
    };
    rules(&mut expected, &mut found, request, to, &written.dropped)?;
    same("instructions", &found.instructions, &expected.instructions)?;
    same("conversation", &found.said, &expected.said)?;
    same("tools", &found.tools, &expected.tools)?;
    if found.choice != expected.choice && !dropped("tool_choice") {
        same("tool choice", &found.choice, &expected.choice)?;
    }
    if found.format != expected.format && !["response_format", "format"].iter().any(|name| dropped(name)) {
        same("format", &found.format, &expected.format)?;
    }
    same("cap", &found.cap, &expected.cap)?;
    same("stream", &found.stream, &expected.stream)?;
    for name in expected.rest.difference(&found.rest) {
        let also: &[&str] = match *name {
            "stop" => &["stop_sequences"],
            "n" => &["candidateCount"],
            "user" => &["metadata.user_id", "safety_identifier", "metadata"],
            "logprobs" => &["responseLogprobs", "top_logprobs", "include"],
            _ => &[],
        };
        if !dropped(name) && !also.iter().any(|also| dropped(also)) {
            return Err(format!("{name} is gone, and not told in {:?}", written.dropped));
        }
    }
    Ok(Asked::Written)
}

/// What the documented rules change, done to what is expected (docs/dialects.md).
fn rules(
    expected: &mut Question,
    found: &mut Question,
    request: &Request,
    to: Dialect,
    dropped: &[String],
) -> Result<(), String> {
    // What only the caller's dialect knows is told, each.
    let told = dropped.iter().filter(|name| name.contains('[')).count();
    if expected.natives > told {
        return Err(format!("{} parts of one dialect only, and told are {dropped:?}", expected.natives));
    }
    let claude = matches!(to, Dialect::Anthropic | Dialect::Bedrock);
    // Instructions alone are what is asked.
    if expected.said.is_empty() && found.instructions.is_empty() {
        let text = std::mem::take(&mut expected.instructions);
        expected.said.push(Said { text, ..Said::default() });
    }
    if to == Dialect::OpenAiChat {
        // Media of results follows them, under a line of its own.
        for said in &mut found.said {
            while let Some(at) = said.text.find("Resultofthecall") {
                let end = said.text[at..].find(':').map_or(said.text.len(), |colon| at + colon + 1);
                said.text.replace_range(at..end, "");
            }
        }
    }
    if claude {
        // The user begins.
        if expected.said.first().is_some_and(|first| first.model) && found.said[0].text == "." {
            found.said.remove(0);
        }
        // JSON without a schema is asked for in words.
        if expected.format == Some(json!("json")) && found.instructions.len() > expected.instructions.len() {
            let more = found.instructions.split_off(expected.instructions.len());
            same("JSON", &more.contains("JSON"), &true)?;
            expected.format = None;
        }
    }
    if to == Dialect::Bedrock {
        // Documents have texts beside them, tools are not offered where they must not be called, and tools that were
        // called are offered.
        for said in found.said.iter_mut().filter(|said| said.text.starts_with("Document:")) {
            said.text.clear();
        }
        if request.tool_choice == Some(ToolChoice::None) && found.tools.is_empty() {
            expected.tools.clear();
            expected.choice = None;
        }
        if expected.tools.is_empty() {
            found.tools.clear();
        }
    }
    if to == Dialect::Anthropic && expected.cap.is_none() {
        expected.cap = Some(4_096);
    }
    // Of some tools that may be called, only those are offered.
    let offered: Option<Vec<&str>> = match &request.tool_choice {
        Some(ToolChoice::Allowed { names, .. })
            if !matches!(to, Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::Gemini) =>
        {
            Some(names.iter().map(String::as_str).collect())
        }
        Some(ToolChoice::Function(name)) if to == Dialect::Cohere => Some(vec![name.as_str()]),
        _ => None,
    };
    if let Some(offered) = offered {
        expected.tools.retain(|(name, ..)| offered.contains(&name.as_str()));
        let required = !matches!(request.tool_choice, Some(ToolChoice::Allowed { required: false, .. }));
        expected.choice = required.then(|| "required".to_owned());
    }
    // Schemas are spelled for what each provider enforces.
    if claude || to == Dialect::Gemini {
        for question in [expected, found] {
            question.format = question.format.as_ref().map(question::shape);
            for (_, _, schema) in &mut question.tools {
                *schema = question::shape(schema);
            }
        }
    }
    Ok(())
}

fn requests(report: &mut Report) {
    for exchange in &ALL.0 {
        let (Ok(dialect), Some(body)) = (exchange.dialect(), &exchange.request) else { continue };
        let request = match dialect::read_request(dialect, body.as_bytes(), exchange.path()) {
            Ok(request) => request,
            Err(refusal) => {
                report.judge(exchange, "read", Err(refusal.message));
                continue;
            }
        };
        let judged = kept(exchange, &request);
        report.judge(exchange, "kept", judged);
        for other in ASKED.into_iter().filter(|(to, ..)| *to != dialect) {
            match asked(report, &request, other) {
                Ok(Asked::Written) => report.count(exchange, "written"),
                Ok(Asked::Refused) => report.count(exchange, "refused"),
                Err(why) => report.judge(exchange, "asked", Err(format!("{:?}: {why}", other.0))),
            }
        }
    }
}

#[test]
fn every_request_is_asked_of_every_provider_or_refused_by_rule() {
    let mut report = Report::default();
    requests(&mut report);
    report.hold();
}

// Answers.

/// What is the same in every dialect.
fn told_alike(what: &str, found: &Told, expected: &Told) -> Result<(), String> {
    same(&format!("{what}: text"), &found.text, &expected.text)?;
    same(&format!("{what}: thoughts"), &found.thoughts, &expected.thoughts)?;
    same(&format!("{what}: calls"), &found.calls, &expected.calls)?;
    same(&format!("{what}: ending"), &found.ending, &expected.ending)?;
    // Anthropic's clients always get counts.
    same(&format!("{what}: used"), &found.used.unwrap_or_default(), &expected.used.unwrap_or_default())
}

fn shown(answer: &Answer, to: Dialect) -> Result<(), String> {
    let body = dialect::write_answer(to, answer, &show(to));
    let again = dialect::read_answer(to, &body).map_err(|corrupt| format!("{to:?}: {}", corrupt.0))?;
    told_alike(&format!("{to:?}"), &told::of(&again), &expected(answer, to))
}

/// Cohere has no word for a model that refuses.
fn expected(answer: &Answer, to: Dialect) -> Told {
    let mut told = told::of(answer);
    let refused = answer.choices.first().is_some_and(|choice| choice.finish == Some(Finish::Refused));
    if to == Dialect::Cohere && refused {
        told.ending = Some(Ending::Complete);
    }
    told
}

fn answers(report: &mut Report) {
    for exchange in &ALL.0 {
        let (Ok(dialect), Some(body), 200) = (exchange.dialect(), &exchange.body, exchange.status) else {
            continue;
        };
        let answer = match dialect::read_answer(dialect, body.as_bytes()) {
            Ok(answer) => answer,
            Err(corrupt) => {
                report.judge(exchange, "answer", Err(corrupt.0));
                continue;
            }
        };
        let mut expected = told::raw(dialect, &serde_json::from_str(body).unwrap());
        let found = told::of(&answer);
        expected.thoughts.clone_from(&found.thoughts);
        report.judge(exchange, "answers", told_alike("raw", &found, &expected));
        for to in Dialect::ALL {
            report.judge(exchange, "shown", shown(&answer, to));
        }
    }
}

#[test]
fn every_answer_is_shown_to_every_client() {
    let mut report = Report::default();
    answers(&mut report);
    report.hold();
}

// Streams.

fn deltas(dialect: Dialect, bytes: &[u8], cuts: &[usize]) -> Vec<Delta> {
    let mut reader = dialect::reader(dialect);
    let mut at: Vec<usize> = cuts.iter().copied().chain([0, bytes.len()]).collect();
    at.sort_unstable();
    let mut deltas: Vec<Delta> =
        at.windows(2).flat_map(|pair| reader.push(&bytes[pair[0]..pair[1]])).collect();
    deltas.extend(reader.finish());
    deltas
}

fn assembled(deltas: &[Delta]) -> Assembly {
    let mut assembly = Assembly::default();
    deltas.iter().for_each(|delta| assembly.push(delta));
    assembly
}

fn streamed(deltas: &[Delta], to: Dialect) -> Vec<u8> {
    let mut writer = dialect::writer(to, show(to));
    let mut out = Vec::new();
    deltas.iter().for_each(|delta| writer.push(delta, &mut out));
    out
}

/// Cuts of a stream, by shares of its length.
fn places(cuts: &[prop::sample::Index], length: usize) -> Vec<usize> {
    cuts.iter().map(|cut| cut.index(length + 1)).collect()
}

fn stream_to(read: &[Delta], to: Dialect, cuts: &[prop::sample::Index]) -> Result<(), String> {
    let assembly = assembled(read);
    let bytes = streamed(read, to);
    let again = assembled(&deltas(to, &bytes, &places(cuts, bytes.len())));
    same(&format!("{to:?}: ended"), &again.ended, &(assembly.ended && assembly.error.is_none()))?;
    same(&format!("{to:?}: error"), &again.error.is_some(), &assembly.error.is_some())?;
    if let (Some(found), Some(expected)) = (&again.error, &assembly.error) {
        same(&format!("{to:?}: error"), &found.message, &expected.message)?;
        return Ok(());
    }
    told_alike(&format!("{to:?} stream"), &told::of(&again.answer), &expected(&assembly.answer, to))
}

fn read_stream(exchange: &Exchange, dialect: Dialect, bytes: &[u8]) -> Result<Vec<Delta>, String> {
    let read = deltas(dialect, bytes, &[]);
    same("corrupt", &read.contains(&Delta::Corrupt), &false)?;
    let assembly = assembled(&read);
    if assembly.error.is_none() {
        same("ended", &assembly.ended, &!UNENDED.contains(&exchange.name.as_str()))?;
    }
    Ok(read)
}

/// Recorded streams whose provider's terminal event is not in them.
const UNENDED: [&str; 0] = [];

fn streams(report: &mut Report) {
    for exchange in ALL.0.iter().filter(|exchange| exchange.status == 200) {
        let Ok(dialect) = exchange.dialect() else { continue };
        for bytes in &exchange.streams {
            let read = match read_stream(exchange, dialect, bytes) {
                Ok(read) => read,
                Err(why) => {
                    report.judge(exchange, "stream", Err(why));
                    continue;
                }
            };
            report.count(exchange, "streams");
            for to in Dialect::ALL {
                let judged = stream_to(&read, to, &[]).and_then(|()| {
                    shown(&assembled(&read).answer, to).map_err(|why| format!("assembled, {why}"))
                });
                report.judge(exchange, "streamed", judged);
            }
        }
    }
}

#[test]
fn every_stream_is_streamed_to_every_client() {
    let mut report = Report::default();
    streams(&mut report);
    report.hold();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4) })]

    #[test]
    fn any_split_of_any_stream_is_the_same(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
        for exchange in ALL.0.iter().filter(|exchange| exchange.status == 200) {
            let Ok(dialect) = exchange.dialect() else { continue };
            for bytes in &exchange.streams {
                let whole = deltas(dialect, bytes, &[]);
                prop_assert_eq!(&deltas(dialect, bytes, &places(&cuts, bytes.len())), &whole, "{}", exchange.name);
                if UNENDED.contains(&exchange.name.as_str()) { continue; }
                for to in Dialect::ALL {
                    if let Err(why) = stream_to(&whole, to, &cuts) {
                        prop_assert!(false, "{}: {why}", exchange.name);
                    }
                }
            }
        }
    }

    /// A stream that breaks anywhere is never told as complete: the client gets the error that the path adds.
    #[test]
    fn a_stream_that_breaks_off_ends_with_an_error(cut in any::<prop::sample::Index>()) {
        for exchange in ALL.0.iter().filter(|exchange| exchange.status == 200) {
            let Ok(dialect) = exchange.dialect() else { continue };
            for bytes in &exchange.streams {
                let read = deltas(dialect, &bytes[..cut.index(bytes.len())], &[]);
                let whole = assembled(&read);
                for to in Dialect::ALL {
                    let again = assembled(&deltas(to, &broken_off(&read, &whole, to), &[]));
                    let ended = whole.ended && whole.error.is_none();
                    prop_assert_eq!(again.ended, ended, "{} to {:?}", exchange.name, to);
                    prop_assert_eq!(again.error.is_some(), !ended, "{} to {:?}", exchange.name, to);
                }
            }
        }
    }
}

fn broken_off(read: &[Delta], whole: &Assembly, to: Dialect) -> Vec<u8> {
    let mut writer = dialect::writer(to, show(to));
    let mut out = Vec::new();
    read.iter().for_each(|delta| writer.push(delta, &mut out));
    if !whole.ended && whole.error.is_none() {
        writer.fail(&Refusal::new(502, "upstream_error", "stream_truncated", "It broke off."), &mut out);
    }
    out
}

// Errors.

/// As the path tells a client of another dialect what a provider said.
fn told_to_client(failure: &Failure) -> Refusal {
    let refusal = Refusal::new(
        failure.status,
        "invalid_request_error",
        "provider_refused_request",
        failure.message.clone(),
    );
    match &failure.kind {
        Some(kind) => refusal.with("provider_code", kind.clone()),
        None => refusal,
    }
}

fn error(body: &str, dialect: Dialect, status: u16, to: Dialect) -> Result<(), String> {
    let failure = dialect::read_failure(dialect, status, body.as_bytes());
    same("status", &failure.status, &status)?;
    // The words stand in the body somewhere.
    let said: Value = serde_json::from_str(body).unwrap_or_default();
    let words = |text: &str| text.split_whitespace().collect::<String>();
    let raw = words(&strings(&said).join(" "));
    // Google's wait, told in its details, is added in words.
    let message = failure.message.split(" Please retry in").next().unwrap();
    let begin: String = words(message).chars().take(60).collect();
    if begin.is_empty() || !raw.contains(&begin) {
        return Err(format!("{:?} is not what {body} says", failure.message));
    }
    let text = dialect::write_refusal(to, &told_to_client(&failure));
    let again = dialect::read_failure(to, status, text.as_bytes());
    same(&format!("{to:?}: message"), &again.message, &failure.message)?;
    let shown: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let kind = match to {
        Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::Anthropic => &shown["error"]["type"],
        Dialect::Gemini => &shown["error"]["status"],
        Dialect::Bedrock | Dialect::Cohere => &shown["message"],
    };
    if kind.as_str().is_none_or(str::is_empty) {
        return Err(format!("{to:?}: no type in {text}"));
    }
    Ok(())
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => list.iter().flat_map(strings).collect(),
        Value::Object(members) => members.values().flat_map(strings).collect(),
        _ => vec![],
    }
}

fn errors(report: &mut Report) {
    for exchange in ALL.0.iter().filter(|exchange| exchange.status >= 400) {
        let (Ok(dialect), Some(body)) = (exchange.dialect(), &exchange.body) else { continue };
        for to in Dialect::ALL {
            report.judge(exchange, "errors", error(body, dialect, exchange.status, to));
        }
    }
}

#[test]
fn every_error_is_told_to_every_client() {
    let mut report = Report::default();
    errors(&mut report);
    report.hold();
}

// The report.

/// Replaces what stands between the marks in docs/dialects.md, or says that it is stale.
fn hold(name: &str, table: &str) {
    // Two tests hold tables of one page.
    static WRITING: Mutex<()> = Mutex::new(());
    let _writing = WRITING.lock();
    let path = format!("{}/docs/dialects.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let begin = format!("<!-- {name}: begin (made by tests/replay) -->");
    let end = format!("<!-- {name}: end -->");
    let (head, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{path} has no mark {begin}"));
    let (_, tail) = rest.split_once(&end).unwrap_or_else(|| panic!("{path} has no mark {end}"));
    let made = format!("{head}{begin}\n\n{table}\n{end}{tail}");
    if std::env::var_os("EDGEHOLD_WRITE").is_some() {
        std::fs::write(&path, made).unwrap();
    } else {
        assert_eq!(text, made, "{path} is stale: run EDGEHOLD_WRITE=1 cargo test --test replay");
    }
}

fn by_provider(report: &Report) -> String {
    const COLUMNS: [(&str, &[&str]); 7] = [
        ("requests written again", &["kept"]),
        ("to other dialects: written", &["written"]),
        ("refused by rule", &["refused"]),
        ("answers shown", &["shown"]),
        ("streams told", &["streamed"]),
        ("errors told", &["errors"]),
        ("failed", &["failed"]),
    ];
    let headings = COLUMNS.iter().map(|(heading, _)| *heading).collect::<Vec<_>>().join(" | ");
    let mut out = format!("| provider | recordings | {headings} |\n|{}\n", "---|".repeat(COLUMNS.len() + 2));
    let mut sums = vec![0; COLUMNS.len() + 1];
    let mut row = |name: &str, counts: Vec<u64>| {
        let cells = counts.iter().map(u64::to_string).collect::<Vec<_>>().join(" | ");
        writeln!(out, "| {name} | {cells} |").unwrap();
    };
    for (provider, done) in &report.done {
        let recordings =
            ALL.0.iter().filter(|one| one.provider == *provider && one.dialect().is_ok()).count();
        let count = |names: &[&str]| names.iter().filter_map(|name| done.get(name)).sum::<u64>();
        let counts: Vec<u64> =
            [recordings as u64].into_iter().chain(COLUMNS.iter().map(|(_, names)| count(names))).collect();
        sums.iter_mut().zip(&counts).for_each(|(sum, count)| *sum += count);
        row(provider, counts);
    }
    row("**all**", sums);
    out
}

fn by_pair(report: &Report) -> String {
    let mut out = "| from | to | refused | dropped |\n|---|---|---|---|\n".to_owned();
    let cell = |members: Option<&BTreeMap<String, u64>>| {
        let each = members.into_iter().flatten().map(|(name, count)| format!("`{name}` {count}"));
        each.collect::<Vec<_>>().join(", ")
    };
    for from in Dialect::ALL {
        for to in Dialect::ALL.into_iter().filter(|to| *to != from) {
            let (refused, dropped) =
                (cell(report.refused.get(&(from, to))), cell(report.dropped.get(&(from, to))));
            writeln!(out, "| `{}` | `{}` | {refused} | {dropped} |", from.name(), to.name()).unwrap();
        }
    }
    out
}

fn left_out() -> String {
    let mut out = "| recordings | how many | why |\n|---|---|---|\n".to_owned();
    let mut kinds: BTreeMap<(&str, &str), (usize, &str)> = BTreeMap::new();
    for exchange in &ALL.0 {
        if let Err(why) = exchange.dialect() {
            kinds.entry((&exchange.provider, &exchange.endpoint)).or_insert((0, why)).0 += 1;
        }
    }
    for ((provider, endpoint), (count, why)) in kinds {
        writeln!(out, "| {provider}, `{endpoint}` | {count} | {why} |").unwrap();
    }
    out
}

#[test]
fn the_page_of_dialects_tells_what_each_loses() {
    hold("lost of requests", &lost::of_requests());
    hold("lost of answers", &lost::of_answers());
}

#[test]
fn the_page_of_dialects_tells_what_was_replayed() {
    let mut report = Report::default();
    requests(&mut report);
    answers(&mut report);
    streams(&mut report);
    errors(&mut report);
    report.hold();
    if !ALL.1 {
        eprintln!("!!! SKIPPED: the tables in docs/dialects.md are those of the larger set of recordings");
        return;
    }
    hold("replayed", &by_provider(&report));
    hold("left out", &left_out());
    hold("pairs", &by_pair(&report));
}
