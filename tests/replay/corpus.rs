//! The recordings, each as bytes: a request, an answer or a stream.

use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use edgehold::dialect::Dialect;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

#[derive(Deserialize)]
struct File {
    provider: String,
    endpoint: String,
    request: Option<Sent>,
    response: Came,
}

#[derive(Deserialize)]
struct Sent {
    url: String,
    body: Box<RawValue>,
}

#[derive(Deserialize)]
struct Came {
    status: u16,
    body: Option<Box<RawValue>>,
    body_text: Option<String>,
    body_base64: Option<String>,
    events: Option<Vec<Box<RawValue>>>,
    framing: Option<String>,
}

/// One recorded call.
pub struct Exchange {
    pub name: String,
    pub provider: String,
    pub endpoint: String,
    pub request: Option<String>,
    /// The model, where the path says it.
    pub path: Option<String>,
    pub status: u16,
    pub body: Option<String>,
    /// Some files have a conversation's streams one behind the other.
    pub streams: Vec<Vec<u8>>,
}

impl Exchange {
    /// What was spoken; the reason where this test has nothing to say about it.
    pub fn dialect(&self) -> Result<Dialect, &'static str> {
        Ok(match self.endpoint.as_str() {
            "chat" => Dialect::OpenAiChat,
            "responses" => Dialect::OpenAiResponses,
            "messages" => Dialect::Anthropic,
            "generateContent" | "streamGenerateContent" => Dialect::Gemini,
            "converse" | "converse-stream" => Dialect::Bedrock,
            "chat_v2" => Dialect::Cohere,
            "count_tokens" => {
                return Err("a count of tokens, no conversation's answer: tested with its dialect");
            }
            "embeddings" | "embed" => return Err("vectors: tested with their dialect"),
            "completions" => {
                return Err("OpenAI's older completions: served to clients, asked of no provider");
            }
            "interactions" => return Err("Google's Interactions, an API in beta that is not served"),
            "invoke" => {
                return Err("Bedrock's `InvokeModel`, whose bodies are each model's own, is not asked");
            }
            other => panic!("{}: an endpoint {other} nobody thought of", self.name),
        })
    }

    /// The model and whether a stream is wanted, where the path says it.
    pub fn path(&self) -> Option<(&str, bool)> {
        Some((self.path.as_deref()?, self.endpoint.contains("tream")))
    }
}

/// JSON without the spaces between its tokens, members in their order: as providers send it.
fn compact(json: &str) -> String {
    let (mut out, mut inside, mut escaped) = (String::with_capacity(json.len()), false, false);
    for letter in json.chars() {
        if !inside && letter.is_ascii_whitespace() {
            continue;
        }
        out.push(letter);
        match letter {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => inside = !inside,
            _ => {}
        }
    }
    out
}

/// A frame of AWS's event stream around one event.
fn frame(event: &str) -> Vec<u8> {
    let value: BTreeMap<String, Box<RawValue>> = serde_json::from_str(event).unwrap();
    let (kind, inner) = value.first_key_value().unwrap();
    let mut headers = Vec::new();
    for (name, text) in
        [(":event-type", kind.as_str()), (":content-type", "application/json"), (":message-type", "event")]
    {
        headers.push(u8::try_from(name.len()).unwrap());
        headers.extend(name.bytes());
        headers.push(7);
        headers.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        headers.extend(text.bytes());
    }
    let payload = compact(inner.get());
    let length = |bytes: usize| u32::try_from(bytes).unwrap().to_be_bytes();
    let mut frame = Vec::new();
    frame.extend(length(16 + headers.len() + payload.len()));
    frame.extend(length(headers.len()));
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame.extend(headers);
    frame.extend(payload.bytes());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame
}

fn streams(path: &Path, came: &Came) -> Vec<Vec<u8>> {
    if let Some(text) = &came.body_text {
        return vec![text.clone().into_bytes()];
    }
    if let Some(text) = &came.body_base64 {
        return vec![BASE64.decode(text).unwrap()];
    }
    let mut streams: Vec<Vec<u8>> = Vec::new();
    for event in came.events.iter().flatten() {
        let value: Value = serde_json::from_str(event.get()).unwrap();
        let kind = value["type"].as_str().unwrap_or_default();
        if streams.is_empty() || kind == "response.created" || kind == "message_start" {
            streams.push(Vec::new());
        }
        let data = compact(event.get());
        let bytes = match came.framing.as_deref() {
            Some("sse-named-event") => format!("event: {kind}\ndata: {data}\n\n").into_bytes(),
            Some("sse-data" | "sse-data-done") => format!("data: {data}\n\n").into_bytes(),
            Some("aws-eventstream-json") => frame(event.get()),
            other => panic!("{}: framing {other:?}", path.display()),
        };
        streams.last_mut().unwrap().extend(bytes);
    }
    if came.framing.as_deref() == Some("sse-data-done") {
        for stream in &mut streams {
            stream.extend(b"data: [DONE]\n\n");
        }
    }
    streams
}

fn read(path: &Path) -> Exchange {
    let text = fs::read_to_string(path).unwrap();
    let file: File =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let streams = streams(path, &file.response);
    let model = file.request.as_ref().and_then(|request| {
        let (_, rest) = request.url.split_once("/models/").or_else(|| request.url.split_once("/model/"))?;
        let end = rest.rfind([':', '/'])?;
        Some(rest[..end].replace("%3A", ":"))
    });
    let pathless = matches!(file.endpoint.as_str(), "generateContent" | "streamGenerateContent" | "converse");
    Exchange {
        name: format!("{}/{}", file.provider, path.file_name().unwrap().to_string_lossy()),
        provider: file.provider,
        request: file.request.map(|request| request.body.get().to_owned()).filter(|body| body != "null"),
        path: model.or_else(|| pathless.then(|| "model".to_owned())),
        endpoint: file.endpoint,
        status: file.response.status,
        body: file.response.body.map(|body| body.get().to_owned()),
        streams,
    }
}

fn read_all(root: &Path, into: &mut BTreeMap<String, Exchange>) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(root).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // What stands beside the recordings.
        if path.is_dir() && !["_clients", "clients", "oracles", "wire"].contains(&name.as_str()) {
            count += read_all(&path, into);
        } else if name.ends_with(".json") && name != "INDEX.json" {
            let exchange = read(&path);
            into.insert(exchange.name.clone(), exchange);
            count += 1;
        }
    }
    count
}

/// What today's SDKs send, captured: requests alone.
fn clients(path: &Path) -> Vec<Exchange> {
    #[derive(Deserialize)]
    struct Line {
        client: String,
        path: String,
        body: Box<RawValue>,
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str::<Line>(line).unwrap());
    let requests = lines.enumerate().filter_map(|(number, line)| {
        let place = line.path.split('?').next().unwrap();
        let (_, method) = place.rsplit_once([':', '/']).unwrap();
        let endpoint = match place {
            "/v1/chat/completions" => "chat",
            "/v1/responses" => "responses",
            "/v1/messages" => "messages",
            "/v2/chat" => "chat_v2",
            _ if matches!(
                method,
                "generateContent" | "streamGenerateContent" | "converse" | "converse-stream"
            ) =>
            {
                method
            }
            // No conversations.
            _ => return None,
        };
        let in_path = ["generateContent", "streamGenerateContent", "converse", "converse-stream"];
        Some(Exchange {
            name: format!("_clients/{} ({})", number + 1, line.client),
            provider: "(requests of SDKs)".to_owned(),
            endpoint: endpoint.to_owned(),
            request: Some(line.body.get().to_owned()),
            path: in_path.contains(&endpoint).then(|| "model".to_owned()),
            status: 200,
            body: None,
            streams: Vec::new(),
        })
    });
    requests.collect()
}

/// The committed recordings, and the larger set if it is there; and whether it is.
pub fn exchanges() -> (Vec<Exchange>, bool) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = BTreeMap::new();
    let own = read_all(&root.join("tests/fixtures"), &mut all);
    assert!(own >= 100, "only {own} recordings: they are part of this repository");
    let more = std::env::var_os("EDGEHOLD_FIXTURES_DIR")
        .map_or_else(|| root.join("../shared/fixtures"), PathBuf::from);
    let whole = read_all(&more, &mut all) > 0;
    if !whole {
        eprintln!(
            "\n!!! SKIPPED: no larger set of recordings (EDGEHOLD_FIXTURES_DIR); only the {own} committed ones are replayed\n"
        );
    }
    let mut all: Vec<Exchange> = all.into_values().collect();
    all.extend(clients(&more.join("_clients/requests.jsonl")));
    (all, whole)
}
