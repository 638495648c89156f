//! A provider that costs next to nothing: OpenAI chat completions over raw HTTP/1.1, on one thread.
//!
//! ```text
//! mock PORT
//! POST (anything)      a completion of 603 bytes with usage; or, when the body has "stream":true, events of 279 bytes,
//!                      each in a write of its own, then a finish event, a usage event and [DONE]
//! POST …/messages      the same text as Anthropic's Messages have it
//! POST /__set?chunks=100&delay_us=0    how many events a stream has, and the time between two of them
//! GET  /__count        {"requests":n,"streams":n,"aborted":n}; aborted = streams whose reader went away
//! ```
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const MAX_CHUNKS: usize = 1000;
const MAX_HEADERS: usize = 64;
const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n\
    x-request-id: req_0123456789abcdef\r\ntransfer-encoding: chunked\r\n\r\n";

/// Answers of one format.
struct Voice {
    json: Vec<u8>,
    /// Before the events.
    head: Vec<u8>,
    events: Vec<Vec<u8>>,
    tail: Vec<u8>,
}

/// What every connection shares.
struct Mock {
    chat: Voice,
    messages: Voice,
    chunks: Cell<usize>,
    delay_us: Cell<u64>,
    requests: Cell<u64>,
    streams: Cell<u64>,
    aborted: Cell<u64>,
}

struct Request {
    path: String,
    stream: bool,
}

const TEXT: &str = "The quick brown fox jumps over the lazy dog while the gateway measures how long it takes to carry this sentence from the upstream to the caller, byte for byte, without touching it.";

fn whole(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_0123456789abcdef\r\nopenai-processing-ms: 12\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

impl Voice {
    fn messages() -> Self {
        let event = |name: &str, more: &str| -> Vec<u8> {
            let event = format!("event: {name}\ndata: {{\"type\":\"{name}\"{more}}}\n\n");
            format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
        };
        let message = |content: &str, stop: &str, output: u32| {
            format!(
                r#"{{"id":"msg_01XFDUDYJgAACzvnptvVoYEL","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","content":[{content}],"stop_reason":{stop},"stop_sequence":null,"usage":{{"input_tokens":19,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0}},"output_tokens":{output},"service_tier":"standard"}}}}"#
            )
        };
        let mut head = event("message_start", &format!(r#","message":{}"#, message("", "null", 1)));
        head.extend(event("content_block_start", r#","index":0,"content_block":{"type":"text","text":""}"#));
        let mut tail = event("content_block_stop", r#","index":0"#);
        tail.extend(event("message_delta", r#","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":100}"#));
        tail.extend(event("message_stop", ""));
        tail.extend(b"0\r\n\r\n");
        let text = format!(r#"{{"type":"text","text":"{TEXT}"}}"#);
        Voice {
            json: whole(&message(&text, r#""end_turn""#, 37)),
            head,
            events: (0..MAX_CHUNKS)
                .map(|i| event("content_block_delta", &format!(r#","index":0,"delta":{{"type":"text_delta","text":" word{i:04}"}}"#)))
                .collect(),
            tail,
        }
    }

    fn chat() -> Self {
        let event = |data: String| -> Vec<u8> {
            let event = format!("data: {data}\n\n");
            format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
        };
        let chunk = |more: &str, choices: &str| {
            event(format!(
                r#"{{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion.chunk","created":1741569952,"model":"gpt-4o-mini-2024-07-18",{more}"choices":[{choices}]}}"#
            ))
        };
        let body = format!(
            r#"{{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion","created":1741569952,"model":"gpt-4o-mini-2024-07-18","choices":[{{"index":0,"message":{{"role":"assistant","content":"{TEXT}","refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":19,"completion_tokens":37,"total_tokens":56,"prompt_tokens_details":{{"cached_tokens":0,"audio_tokens":0}}}},"service_tier":"default"}}"#
        );
        let mut tail = chunk("", r#"{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}"#);
        tail.extend(chunk(r#""usage":{"prompt_tokens":19,"completion_tokens":100,"total_tokens":119},"#, ""));
        tail.extend(event("[DONE]".to_owned()));
        tail.extend(b"0\r\n\r\n");
        Voice {
            json: whole(&body),
            head: Vec::new(),
            events: (0..MAX_CHUNKS)
                .map(|i| {
                    chunk(
                        r#""system_fingerprint":"fp_44709d6fcb","#,
                        &format!(r#"{{"index":0,"delta":{{"content":" word{i:04}"}},"logprobs":null,"finish_reason":null}}"#),
                    )
                })
                .collect(),
            tail,
        }
    }
}

impl Mock {
    fn new() -> Self {
        Mock {
            chat: Voice::chat(),
            messages: Voice::messages(),
            chunks: Cell::new(100),
            delay_us: Cell::new(0),
            requests: Cell::new(0),
            streams: Cell::new(0),
            aborted: Cell::new(0),
        }
    }

    async fn serve(&self, mut socket: TcpStream) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(16 * 1024);
        while let Some(request) = read_request(&mut socket, &mut buffer).await? {
            if request.path.starts_with("/__") {
                self.control(&request.path, &mut socket).await?;
                continue;
            }
            self.requests.set(self.requests.get() + 1);
            let voice = if request.path.ends_with("/messages") { &self.messages } else { &self.chat };
            if !request.stream {
                socket.write_all(&voice.json).await?;
                continue;
            }
            self.streams.set(self.streams.get() + 1);
            if let Err(error) = self.stream(voice, &mut socket).await {
                self.aborted.set(self.aborted.get() + 1);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn stream(&self, voice: &Voice, socket: &mut TcpStream) -> io::Result<()> {
        socket.write_all(STREAM_HEAD).await?;
        if !voice.head.is_empty() {
            socket.write_all(&voice.head).await?;
        }
        let delay_us = self.delay_us.get();
        for (i, event) in voice.events.iter().take(self.chunks.get()).enumerate() {
            if delay_us == 0 {
                // Let the other connections run, as models of their own would.
                tokio::task::yield_now().await;
            } else if i > 0 {
                tokio::time::sleep(Duration::from_micros(delay_us)).await;
            }
            socket.write_all(event).await?;
        }
        socket.write_all(&voice.tail).await
    }

    async fn control(&self, path: &str, socket: &mut TcpStream) -> io::Result<()> {
        let query = path.split_once('?').map_or("", |(_, query)| query);
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match (name, value.parse::<u64>()) {
                ("chunks", Ok(n)) => self.chunks.set((n as usize).min(MAX_CHUNKS)),
                ("delay_us", Ok(n)) => self.delay_us.set(n),
                _ => {}
            }
        }
        let counts = format!(
            r#"{{"requests":{},"streams":{},"aborted":{}}}"#,
            self.requests.get(),
            self.streams.get(),
            self.aborted.get()
        );
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{counts}",
            counts.len()
        );
        socket.write_all(answer.as_bytes()).await
    }
}

/// The next request of a connection; `None` when the peer has closed it. What follows the request stays in `buffer`.
async fn read_request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let (head_len, path, body_len) = loop {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        if let httparse::Status::Complete(head_len) = request.parse(buffer).map_err(io::Error::other)? {
            let value = |name: &str| {
                let header = request.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
                header.and_then(|h| std::str::from_utf8(h.value).ok())
            };
            let body_len = if value("transfer-encoding").is_some() {
                None
            } else {
                Some(value("content-length").map_or(0, |v| v.parse().unwrap_or(0)))
            };
            break (head_len, request.path.unwrap_or("/").to_owned(), body_len);
        }
        if socket.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let total = loop {
        match body_len {
            Some(n) if buffer.len() >= head_len + n => break head_len + n,
            // Nothing here sends a second request before the first is answered: the last chunk ends the buffer.
            None if buffer[head_len..].ends_with(b"0\r\n\r\n") => break buffer.len(),
            _ => {}
        }
        if socket.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let body = &buffer[head_len..total];
    let stream = [&b"\"stream\":true"[..], b"\"stream\": true"]
        .iter()
        .any(|flag| body.windows(flag.len()).any(|w| w == *flag));
    buffer.drain(..total);
    Ok(Some(Request { path, stream }))
}

fn main() -> io::Result<()> {
    let port: u16 = std::env::args()
        .nth(1)
        .and_then(|p| p.parse().ok())
        .ok_or_else(|| io::Error::other("usage: mock PORT"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let mock = Rc::new(Mock::new());
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let mock = mock.clone();
            // A connection that breaks is the peer's affair; the next one is served all the same.
            tokio::task::spawn_local(async move { mock.serve(socket).await });
        }
    })
}
