//! What each dialect loses, measured: one thing at a time is said in the canonical form, written, and read again.

use crate::{ASKED, show};
use edgehold::{
    dialect::{self, Dialect, Order},
    model::{
        answer::{Answer, Choice, Finish, Reported},
        part::{
            Body, CacheMark, Citation, Media, MediaKind, Part, Reasoning, Signature, Source, Text, ToolCall,
            ToolResult,
        },
        request::{Format, Function, Request, Role, Thinking, Tool, ToolChoice, Turn},
        usage::Usage,
    },
};
use serde_json::{Value, json};
use std::fmt::Write as _;

const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const PDF: &str = "JVBERi0xLjQK";

type Say = fn(&mut Request);
type Heard = fn(&Request) -> bool;

fn media(kind: MediaKind, source: Source, mime: Option<&str>) -> Part {
    Body::Media(Media::new(kind, source, mime.map(str::to_owned))).into()
}

fn shown(request: &mut Request, part: Part) {
    request.turns[0].parts.push(part);
}

fn parts(request: &Request) -> impl Iterator<Item = &Part> {
    request.turns.iter().flat_map(|turn| &turn.parts)
}

/// A medium of this kind is in the conversation, or in a result.
fn sees(request: &Request, kind: MediaKind) -> bool {
    let is = |part: &Part| matches!(&part.body, Body::Media(media) if media.kind == kind);
    parts(request).any(|part| match &part.body {
        Body::ToolResult(result) => result.parts.iter().any(is),
        _ => is(part),
    })
}

fn says(request: &Request, words: &str) -> bool {
    parts(request).any(|part| match &part.body {
        Body::Text(text) => text.text.contains(words),
        Body::Media(Media { source: Source::Text(text), .. }) => text.contains(words),
        Body::Media(Media { source: Source::Base64(_), mime: Some(mime), .. }) => mime == "text/plain",
        _ => false,
    })
}

fn function(name: &str) -> Tool {
    let parameters = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false});
    Tool::Function(Function { name: name.to_owned(), parameters: Some(parameters), ..Function::default() })
}

fn called(request: &mut Request, result: ToolResult) {
    request.tools.push(function("f"));
    let call =
        ToolCall { id: "call_1".to_owned(), name: "f".to_owned(), arguments: "{\"a\":\"b\"}".to_owned() };
    request.turns.push(Turn::new(Role::Assistant, vec![Body::ToolCall(call).into()]));
    request.turns.push(Turn::new(Role::Tool, vec![Body::ToolResult(result).into()]));
}

fn result(parts: Vec<Part>) -> ToolResult {
    ToolResult { id: "call_1".to_owned(), name: None, parts, is_error: false }
}

fn schema() -> Value {
    json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false})
}

fn tools(request: &Request) -> usize {
    request.tools.len()
}

const OF_REQUESTS: &[(&str, Say, Heard)] = &[
    (
        "a tool of another dialect (web search, code …)",
        |r| r.tools.push(Tool::Native(r.dialect, json!({"type": "web_search"}))),
        |_| true,
    ),
    (
        "a part of another dialect",
        |r| {
            let native = Body::Native(r.dialect, json!({"type": "x"}));
            r.turns.push(Turn::new(Role::Assistant, vec![Part::text("Yes."), native.into()]));
            r.turns.push(Turn::new(Role::User, vec![Part::text("Well?")]));
        },
        |r| parts(r).any(|part| matches!(part.body, Body::Native(..))),
    ),
    (
        "a member that only the caller's dialect knows",
        |r| {
            r.extras.insert("novelty".to_owned(), json!(1));
        },
        |r| r.extras.contains_key("novelty"),
    ),
    ("a second answer (`n: 2`)", |r| r.sampling.choices = Some(2), |r| r.sampling.choices == Some(2)),
    (
        "an image in the request",
        |r| shown(r, media(MediaKind::Image, Source::Base64(PNG.to_owned()), Some("image/png"))),
        |r| sees(r, MediaKind::Image),
    ),
    (
        "an image on the web",
        |r| shown(r, media(MediaKind::Image, Source::Url("https://x.example/a.png".to_owned()), None)),
        |r| sees(r, MediaKind::Image),
    ),
    (
        "a PDF in the request",
        |r| shown(r, media(MediaKind::Document, Source::Base64(PDF.to_owned()), Some("application/pdf"))),
        |r| sees(r, MediaKind::Document),
    ),
    (
        "a PDF on the web",
        |r| shown(r, media(MediaKind::Document, Source::Url("https://x.example/a.pdf".to_owned()), None)),
        |r| sees(r, MediaKind::Document),
    ),
    (
        "a document of plain text",
        |r| shown(r, media(MediaKind::Document, Source::Text("Lorem".to_owned()), Some("text/plain"))),
        |r| says(r, "Lorem"),
    ),
    (
        "audio in the request",
        |r| shown(r, media(MediaKind::Audio, Source::Base64("UklGRg==".to_owned()), Some("audio/wav"))),
        |r| sees(r, MediaKind::Audio),
    ),
    (
        "a film in the request",
        |r| shown(r, media(MediaKind::Video, Source::Base64("AAAA".to_owned()), Some("video/mp4"))),
        |r| sees(r, MediaKind::Video),
    ),
    (
        "a file that another provider keeps",
        |r| {
            // No two of the dialects share their files but OpenAI's.
            let keeper = if r.dialect == Dialect::Anthropic { Dialect::Anthropic } else { Dialect::Gemini };
            shown(
                r,
                media(
                    MediaKind::Document,
                    Source::File(keeper, "file_1".to_owned()),
                    Some("application/pdf"),
                ),
            );
        },
        |r| sees(r, MediaKind::Document),
    ),
    (
        "an image in a tool's result",
        |r| {
            called(
                r,
                result(vec![media(MediaKind::Image, Source::Base64(PNG.to_owned()), Some("image/png"))]),
            )
        },
        |r| sees(r, MediaKind::Image),
    ),
    (
        "that a tool's result is an error",
        |r| called(r, ToolResult { is_error: true, ..result(vec![Part::text("No.")]) }),
        |r| parts(r).any(|part| matches!(&part.body, Body::ToolResult(result) if result.is_error)),
    ),
    (
        "a speaker's name",
        |r| r.turns[0].name = Some("ada".to_owned()),
        |r| r.turns.iter().any(|turn| turn.name.is_some()),
    ),
    (
        "instructions in the middle: that they are there",
        |r| {
            r.turns.push(Turn::new(Role::Assistant, vec![Part::text("Yes.")]));
            r.turns.push(Turn::new(Role::System, vec![Part::text("Be brief.")]));
            r.turns.push(Turn::new(Role::User, vec![Part::text("Well?")]));
        },
        |r| says(r, "Be brief."),
    ),
    (
        "instructions in the middle: their place",
        |r| {
            r.turns.push(Turn::new(Role::Assistant, vec![Part::text("Yes.")]));
            r.turns.push(Turn::new(Role::System, vec![Part::text("Be brief.")]));
            r.turns.push(Turn::new(Role::User, vec![Part::text("Well?")]));
        },
        |r| matches!(r.turns.get(2), Some(turn) if turn.role == Role::System),
    ),
    ("any JSON as the answer's form", |r| r.format = Some(Format::Json), |r| r.format == Some(Format::Json)),
    (
        "JSON of a schema as the answer's form",
        |r| {
            r.format = Some(Format::Schema {
                name: Some("n".to_owned()),
                description: None,
                schema: schema(),
                strict: Some(true),
            })
        },
        |r| matches!(r.format, Some(Format::Schema { .. })),
    ),
    (
        "a function that is `strict`",
        |r| {
            r.tools.push(function("f"));
            if let Tool::Function(function) = &mut r.tools[0] {
                function.strict = Some(true);
            }
        },
        |r| matches!(&r.tools[0], Tool::Function(function) if function.strict == Some(true)),
    ),
    (
        "that a tool must be called",
        |r| {
            r.tools.push(function("f"));
            r.tool_choice = Some(ToolChoice::Required);
        },
        |r| r.tool_choice == Some(ToolChoice::Required),
    ),
    (
        "that this tool must be called",
        |r| {
            r.tools.extend([function("f"), function("g")]);
            r.tool_choice = Some(ToolChoice::Function("f".to_owned()));
        },
        |r| match &r.tool_choice {
            Some(ToolChoice::Function(name)) => name == "f",
            Some(ToolChoice::Allowed { names, required: true }) => *names == ["f"],
            choice => *choice == Some(ToolChoice::Required) && tools(r) == 1,
        },
    ),
    (
        "that no tool may be called",
        |r| {
            r.tools.push(function("f"));
            r.tool_choice = Some(ToolChoice::None);
        },
        |r| r.tool_choice == Some(ToolChoice::None) || tools(r) == 0,
    ),
    (
        "that only some tools may be called",
        |r| {
            r.tools.extend([function("f"), function("g")]);
            r.tool_choice = Some(ToolChoice::Allowed { names: vec!["f".to_owned()], required: false });
        },
        |r| {
            matches!(&r.tool_choice, Some(ToolChoice::Allowed { names, .. }) if *names == ["f"])
                || tools(r) == 1
        },
    ),
    (
        "one call at a time",
        |r| {
            r.tools.push(function("f"));
            r.parallel_tool_calls = Some(false);
        },
        |r| r.parallel_tool_calls == Some(false),
    ),
    (
        "a mark of a cached prefix",
        |r| r.turns[0].parts[0].cache = Some(CacheMark::FiveMinutes),
        |r| parts(r).any(|part| part.cache.is_some()),
    ),
    (
        "`temperature`",
        |r| r.sampling.temperature = Some(json!(0.5)),
        |r| r.sampling.temperature == Some(json!(0.5)),
    ),
    (
        "`temperature` above 1",
        |r| r.sampling.temperature = Some(json!(1.5)),
        |r| r.sampling.temperature == Some(json!(1.5)),
    ),
    ("`top_p`", |r| r.sampling.top_p = Some(json!(0.5)), |r| r.sampling.top_p == Some(json!(0.5))),
    ("`top_k`", |r| r.sampling.top_k = Some(json!(5)), |r| r.sampling.top_k == Some(json!(5))),
    (
        "a penalty of 0.5",
        |r| r.sampling.frequency_penalty = Some(json!(0.5)),
        |r| r.sampling.frequency_penalty == Some(json!(0.5)),
    ),
    (
        "a penalty below 0",
        |r| r.sampling.presence_penalty = Some(json!(-0.5)),
        |r| r.sampling.presence_penalty == Some(json!(-0.5)),
    ),
    ("`seed`", |r| r.sampling.seed = Some(json!(7)), |r| r.sampling.seed == Some(json!(7))),
    ("`stop`", |r| r.sampling.stop = vec!["END".to_owned()], |r| r.sampling.stop == ["END"]),
    ("log probabilities", |r| r.sampling.logprobs = true, |r| r.sampling.logprobs),
    (
        "those of the alternatives",
        |r| {
            r.sampling.logprobs = true;
            r.sampling.top_logprobs = Some(2);
        },
        |r| r.sampling.top_logprobs == Some(2),
    ),
    (
        "`logit_bias`",
        |r| r.sampling.logit_bias = Some(json!({"50256": -100})),
        |r| r.sampling.logit_bias.is_some(),
    ),
    (
        "how hard to think",
        |r| r.thinking = Some(Thinking { effort: Some("high".to_owned()), ..Thinking::default() }),
        |r| r.thinking.as_ref().is_some_and(|t| t.effort.is_some() || t.budget_tokens.is_some()),
    ),
    (
        "a budget of thoughts",
        |r| {
            r.thinking =
                Some(Thinking { enabled: Some(true), budget_tokens: Some(2_048), ..Thinking::default() })
        },
        |r| r.thinking.as_ref().is_some_and(|t| t.effort.is_some() || t.budget_tokens.is_some()),
    ),
    ("the end user", |r| r.user = Some("user-1".to_owned()), |r| r.user.is_some()),
    (
        "`service_tier: priority`",
        |r| r.service_tier = Some("priority".to_owned()),
        |r| r.service_tier.as_deref() == Some("priority"),
    ),
    (
        "`service_tier: flex`",
        |r| r.service_tier = Some("flex".to_owned()),
        |r| r.service_tier.as_deref() == Some("flex"),
    ),
    (
        "thoughts of another maker",
        |r| {
            let signature = Some(Signature { maker: r.dialect, text: "c2ln".to_owned() });
            let thoughts = Body::Reasoning(Reasoning { text: "Hm.".to_owned(), ..Reasoning::default() });
            r.turns.push(Turn::new(
                Role::Assistant,
                vec![Part { body: thoughts, cache: None, signature }, Part::text("Yes.")],
            ));
            r.turns.push(Turn::new(Role::User, vec![Part::text("Well?")]));
        },
        |r| parts(r).any(|part| matches!(part.body, Body::Reasoning(_))),
    ),
];

/// For each thing and each provider's dialect, what becomes of it. The caller speaks a dialect that is not the provider's.
pub fn of_requests() -> String {
    let mut out = table_head("of the request", ASKED.iter().map(|(to, ..)| *to));
    for (name, say, heard) in OF_REQUESTS {
        write!(out, "| {name} |").unwrap();
        for (to, kind, model) in ASKED {
            let from = if to == Dialect::Anthropic { Dialect::Gemini } else { Dialect::Anthropic };
            let mut request = Request::new(from, "model".to_owned());
            request.turns.push(Turn::new(Role::User, vec![Part::text("Hello.")]));
            request.output_cap = Some(8_192);
            say(&mut request);
            let order = Order { kind, model, output_cap: request.output_cap };
            let written = dialect::write_request(to, &request, &order);
            let again = dialect::read_request(to, &written.body, Some((model, false)))
                .unwrap_or_else(|refusal| panic!("{name} to {to:?}: {}", refusal.message));
            let cell = match (written.refused.is_empty(), written.dropped.is_empty(), heard(&again)) {
                (false, ..) => "refused",
                (_, true, true) => "yes",
                (_, false, true) => "yes, but told",
                (_, false, false) => "dropped",
                (_, true, false) => "–",
            };
            write!(out, " {cell} |").unwrap();
        }
        out.push('\n');
    }
    out
}

fn table_head(what: &str, dialects: impl Iterator<Item = Dialect>) -> String {
    let names: Vec<String> = dialects.map(|dialect| format!("`{}`", dialect.name())).collect();
    format!("| {what} | {} |\n|{}\n", names.join(" | "), "---|".repeat(names.len() + 1))
}

type Tell = fn(&mut Answer);
type Told = fn(&Answer) -> bool;

fn said(answer: &Answer) -> impl Iterator<Item = &Part> {
    answer.choices.iter().flat_map(|choice| &choice.parts)
}

fn cited(answer: &mut Answer, url: Option<&str>) {
    let citation = Citation {
        url: url.map(str::to_owned),
        title: Some("A page".to_owned()),
        quoted: Some("words".to_owned()),
        start: Some(0),
        end: Some(4),
        native: None,
    };
    answer.choices[0].parts =
        vec![Body::Text(Text { text: "Yes.".to_owned(), citations: vec![citation] }).into()];
}

fn sources(answer: &Answer) -> bool {
    said(answer).any(|part| matches!(&part.body, Body::Text(text) if !text.citations.is_empty()))
}

fn used(answer: &mut Answer, usage: Usage) {
    answer.reported = Some(Reported { usage, ..Reported::default() });
}

fn usage(answer: &Answer) -> Usage {
    answer.reported.as_ref().unwrap().usage
}

fn thought(answer: &mut Answer, signature: Option<Signature>, redacted: bool) {
    let text = if redacted { String::new() } else { "Hm.".to_owned() };
    let body = Body::Reasoning(Reasoning { text, redacted, ..Reasoning::default() });
    answer.choices[0].parts.insert(0, Part { body, cache: None, signature });
}

/// Google is the only maker that signs calls.
fn carried() -> Option<Signature> {
    Some(Signature { maker: Dialect::Gemini, text: "c2ln".to_owned() })
}

fn proof() -> Option<Signature> {
    Some(Signature { maker: Dialect::Bedrock, text: "c2ln".to_owned() })
}

/// A signature of another maker is wrapped for the client, and comes back so.
fn proved_by(answer: &Answer, proof: &Option<Signature>) -> bool {
    said(answer).any(|part| {
        part.signature.as_ref().map(|shown| Signature::came_from(shown.maker, &shown.text)) == *proof
    })
}

fn proved(answer: &Answer) -> bool {
    proved_by(answer, &proof())
}

const OF_ANSWERS: &[(&str, Tell, Told)] = &[
    ("a second answer", |a| a.choices.push(a.choices[0].clone()), |a| a.choices.len() == 2),
    (
        "a refusal, told from text",
        |a| a.choices[0].parts = vec![Body::Refusal("No.".to_owned()).into()],
        |a| said(a).any(|part| matches!(part.body, Body::Refusal(_))),
    ),
    (
        "thoughts",
        |a| thought(a, None, false),
        |a| said(a).any(|part| matches!(&part.body, Body::Reasoning(thoughts) if thoughts.text == "Hm.")),
    ),
    ("their signature", |a| thought(a, proof(), false), proved),
    ("thoughts that are only a signature", |a| thought(a, proof(), true), proved),
    (
        "the signature of a call",
        |a| {
            let call = ToolCall { id: "c".to_owned(), name: "f".to_owned(), arguments: "{}".to_owned() };
            a.choices[0].parts = vec![Part { body: Body::ToolCall(call), cache: None, signature: carried() }];
        },
        |a| proved_by(a, &carried()),
    ),
    (
        "a picture that the model made",
        |a| {
            let source = Source::Base64("AAAA".to_owned());
            a.choices[0].parts.push(media(MediaKind::Image, source, Some("image/png")));
        },
        |a| {
            said(a).any(|part| match &part.body {
                Body::Media(media) => media.source == Source::Base64("AAAA".to_owned()),
                Body::Native(Dialect::OpenAiResponses, call) => call["result"] == "AAAA",
                _ => false,
            })
        },
    ),
    ("a source on the web", |a| cited(a, Some("https://x.example/a")), sources),
    ("a source without an address", |a| cited(a, None), sources),
    (
        "calls of tools that another provider ran",
        |a| a.choices[0].parts.insert(0, Body::Native(Dialect::Bedrock, json!({"x": 1})).into()),
        |a| said(a).any(|part| matches!(part.body, Body::Native(..))),
    ),
    (
        "log probabilities",
        |a| {
            a.choices[0].logprobs = Some(
                json!({"content": [{"token": "Yes.", "logprob": -0.1, "bytes": null, "top_logprobs": []}], "refusal": null}),
            )
        },
        |a| a.choices[0].logprobs.is_some(),
    ),
    (
        "that a stop text ended it",
        |a| a.choices[0].finish = Some(Finish::StopSequence(Some("END".to_owned()))),
        |a| matches!(a.choices[0].finish, Some(Finish::StopSequence(_))),
    ),
    (
        "that the cap ended it",
        |a| a.choices[0].finish = Some(Finish::Length),
        |a| a.choices[0].finish == Some(Finish::Length),
    ),
    (
        "that a filter ended it",
        |a| a.choices[0].finish = Some(Finish::Filtered(None)),
        |a| matches!(a.choices[0].finish, Some(Finish::Filtered(_) | Finish::Refused)),
    ),
    (
        "that the model refused",
        |a| a.choices[0].finish = Some(Finish::Refused),
        |a| matches!(a.choices[0].finish, Some(Finish::Filtered(_) | Finish::Refused)),
    ),
    (
        "that it pauses",
        |a| a.choices[0].finish = Some(Finish::Paused),
        |a| a.choices[0].finish == Some(Finish::Paused),
    ),
    (
        "tokens read from a cache",
        |a| used(a, Usage { input: 1, cache_read: 2, ..Usage::default() }),
        |a| usage(a).cache_read == 2,
    ),
    (
        "tokens written to a cache",
        |a| used(a, Usage { input: 1, cache_write_5m: 2, ..Usage::default() }),
        |a| usage(a).cache_write_5m == 2,
    ),
    (
        "tokens of thoughts",
        |a| used(a, Usage { output: 1, reasoning: 2, ..Usage::default() }),
        |a| usage(a).reasoning == 2,
    ),
    (
        "tokens of sound",
        |a| used(a, Usage { input_audio: 2, ..Usage::default() }),
        |a| usage(a).input_audio == 2,
    ),
    (
        "the totals of tokens",
        |a| {
            used(
                a,
                Usage {
                    input: 1,
                    cache_read: 2,
                    cache_write_5m: 3,
                    cache_write_1h: 4,
                    output: 5,
                    reasoning: 6,
                    ..Usage::default()
                },
            )
        },
        |a| usage(a).input_total() == 10 && usage(a).output_total() == 11,
    ),
    (
        "the tier that served it",
        |a| a.service_tier = Some("priority".to_owned()),
        |a| a.service_tier.as_deref() == Some("priority"),
    ),
];

/// For each thing and each client's dialect, whether the client is told it.
pub fn of_answers() -> String {
    let clients = [Dialect::OpenAiChat, Dialect::OpenAiResponses, Dialect::Anthropic, Dialect::Gemini];
    let mut out = table_head("of the answer", clients.into_iter());
    for (name, tell, told) in OF_ANSWERS {
        write!(out, "| {name} |").unwrap();
        for to in clients {
            let choice =
                Choice { parts: vec![Part::text("Yes.")], finish: Some(Finish::Stop), logprobs: None };
            let mut answer = Answer { choices: vec![choice], ..Answer::default() };
            used(&mut answer, Usage { input: 1, output: 1, ..Usage::default() });
            tell(&mut answer);
            let again = dialect::read_answer(to, &dialect::write_answer(to, &answer, &show(to))).unwrap();
            write!(out, " {} |", if told(&again) { "yes" } else { "–" }).unwrap();
        }
        out.push('\n');
    }
    out
}
