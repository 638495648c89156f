//! Closed-loop load: each connection sends its next request when the last one is answered. Keep-alive HTTP/1.1, one thread.
//!
//! ```text
//! load URL [-c CONNECTIONS] [-d SECONDS] [-n REQUESTS] [-s] [-p PID] [-H 'name: value']…
//!   -s  asks for a stream, and counts its events
//!   -p  CPU time and memory of that process and its children, over the measured window
//! ```
//! Prints one JSON object. Times are microseconds from sending the request; `ttfb` is the first byte of the body.
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fs;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MAX_HEADERS: usize = 64;
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";
const EVENT: &[u8] = b"\ndata: ";

type Fallible<T> = Result<T, Box<dyn Error>>;

struct Options {
    address: String,
    path: String,
    connections: usize,
    duration: Duration,
    requests: u64,
    stream: bool,
    pid: Option<u32>,
    headers: Vec<String>,
}

#[derive(Default)]
struct Tally {
    total_us: Vec<u64>,
    ttfb_us: Vec<u64>,
    events: u64,
    errors: u64,
    last_error: String,
}

struct Answer {
    ttfb_us: u64,
    events: u64,
    keep_alive: bool,
}

impl Options {
    fn parse() -> Fallible<Self> {
        let mut options = Options {
            address: String::new(),
            path: String::new(),
            connections: 1,
            duration: Duration::from_secs(1),
            requests: u64::MAX,
            stream: false,
            pid: None,
            headers: Vec::new(),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "-c" => options.connections = value()?.parse()?,
                "-d" => options.duration = Duration::from_secs_f64(value()?.parse()?),
                "-n" => options.requests = value()?.parse()?,
                "-p" => options.pid = Some(value()?.parse()?),
                "-H" => options.headers.push(value()?),
                "-s" => options.stream = true,
                url => {
                    let rest = url.strip_prefix("http://").ok_or("the URL must begin with http://")?;
                    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
                    (options.address, options.path) = (address.to_owned(), format!("/{path}"));
                }
            }
        }
        if options.address.is_empty() { Err("usage: load URL [options]".into()) } else { Ok(options) }
    }

    fn request(&self) -> Vec<u8> {
        let stream =
            if self.stream { r#""stream":true,"stream_options":{"include_usage":true},"# } else { "" };
        let body = format!(
            r#"{{"model":"gpt-4o-mini",{stream}"messages":[{{"role":"system","content":"You are a helpful assistant who answers in one sentence and never repeats the question."}},{{"role":"user","content":"Tell me, in one sentence, how a gateway ought to carry a request from a caller to a model and back."}}],"temperature":0.7,"max_tokens":256}}"#
        );
        let more: String = self.headers.iter().map(|h| format!("{h}\r\n")).collect();
        format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: */*\r\n{more}content-length: {}\r\n\r\n{body}",
            self.path,
            self.address,
            body.len()
        )
        .into_bytes()
    }
}

/// Sends one request and reads its answer to the end. Anything but a whole 200 is an error.
async fn exchange(
    socket: &mut TcpStream,
    buffer: &mut Vec<u8>,
    request: &[u8],
    start: Instant,
) -> Fallible<Answer> {
    socket.write_all(request).await?;
    buffer.clear();
    let (head_len, status, length, chunked, close) = loop {
        if socket.read_buf(buffer).await? == 0 {
            return Err("closed before the answer".into());
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        if let httparse::Status::Complete(head_len) = response.parse(buffer)? {
            let value = |name: &str| {
                let header = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
                header.and_then(|h| std::str::from_utf8(h.value).ok())
            };
            let length = value("content-length").and_then(|v| v.parse::<usize>().ok());
            let close = value("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
            break (
                head_len,
                response.code.unwrap_or(0),
                length,
                value("transfer-encoding").is_some(),
                close,
            );
        }
    };
    let mut ttfb_us = (buffer.len() > head_len).then(|| micros(start));
    loop {
        let body = &buffer[head_len..];
        if if chunked {
            body.ends_with(LAST_CHUNK) || body == &LAST_CHUNK[2..]
        } else {
            length.is_some_and(|n| body.len() >= n)
        } {
            break;
        }
        if socket.read_buf(buffer).await? == 0 {
            if length.is_none() && !chunked {
                break;
            }
            return Err("closed in the middle of the body".into());
        }
        ttfb_us.get_or_insert_with(|| micros(start));
    }
    let body = &buffer[head_len..];
    if status != 200 {
        return Err(
            format!("status {status}: {}", String::from_utf8_lossy(&body[..body.len().min(300)])).into()
        );
    }
    let events = body.windows(EVENT.len()).filter(|w| *w == EVENT).count() as u64;
    Ok(Answer {
        ttfb_us: ttfb_us.unwrap_or_else(|| micros(start)),
        events,
        keep_alive: !close && (chunked || length.is_some()),
    })
}

fn micros(since: Instant) -> u64 {
    since.elapsed().as_micros() as u64
}

/// One connection, opened anew when it was closed or failed.
async fn connection(
    options: Rc<Options>,
    request: Rc<Vec<u8>>,
    left: Rc<Cell<u64>>,
    tally: Rc<RefCell<Tally>>,
    stop: Instant,
) {
    let mut open: Option<TcpStream> = None;
    let mut buffer = Vec::with_capacity(64 * 1024);
    while Instant::now() < stop && left.get() > 0 {
        left.set(left.get() - 1);
        let outcome = async {
            let mut socket = match open.take() {
                Some(socket) => socket,
                None => {
                    let socket = TcpStream::connect(&options.address).await?;
                    socket.set_nodelay(true)?;
                    socket
                }
            };
            let start = Instant::now();
            let answer = exchange(&mut socket, &mut buffer, &request, start).await?;
            if answer.keep_alive {
                open = Some(socket);
            }
            Fallible::Ok((answer, micros(start)))
        }
        .await;
        match outcome {
            Ok((answer, total_us)) => {
                let mut tally = tally.borrow_mut();
                tally.total_us.push(total_us);
                tally.ttfb_us.push(answer.ttfb_us);
                tally.events += answer.events;
            }
            Err(error) => {
                {
                    let mut tally = tally.borrow_mut();
                    tally.errors += 1;
                    tally.last_error = error.to_string();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// A process and everything it started.
fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        next += 1;
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|c| c.parse::<u32>().ok()));
        }
    }
    all
}

/// (CPU time in microseconds since its start, resident memory in MiB) of a process and its children.
fn usage(pid: Option<u32>) -> (f64, f64) {
    let (mut cpu_us, mut rss_mib) = (0.0, 0.0);
    for pid in pid.map(family).unwrap_or_default() {
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            // The first field is the nanoseconds on a CPU (https://docs.kernel.org/scheduler/sched-stats.html, read 2026-11-21).
            let stat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            cpu_us += stat.split_whitespace().next().and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0) / 1e3;
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let rss_kib = status
            .lines()
            .find_map(|l| l.strip_prefix("VmRSS:")?.trim().split(' ').next()?.parse::<f64>().ok());
        rss_mib += rss_kib.unwrap_or(0.0) / 1024.0;
    }
    (cpu_us, rss_mib)
}

fn percentile(sorted: &[u64], p: f64) -> u64 {
    sorted.get((sorted.len().saturating_sub(1) as f64 * p).round() as usize).copied().unwrap_or(0)
}

fn main() -> Fallible<()> {
    let options = Rc::new(Options::parse()?);
    let request = Rc::new(options.request());
    let tally = Rc::new(RefCell::new(Tally::default()));
    let left = Rc::new(Cell::new(options.requests));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;

    let (cpu_before_us, _) = usage(options.pid);
    let start = Instant::now();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let stop = start + options.duration;
        let running: Vec<_> = (0..options.connections)
            .map(|_| {
                tokio::task::spawn_local(connection(
                    options.clone(),
                    request.clone(),
                    left.clone(),
                    tally.clone(),
                    stop,
                ))
            })
            .collect();
        for connection in running {
            connection.await?;
        }
        Fallible::Ok(())
    })?;
    let elapsed_s = start.elapsed().as_secs_f64();
    let (cpu_after_us, rss_mib) = usage(options.pid);

    let mut tally = tally.borrow_mut();
    tally.total_us.sort_unstable();
    tally.ttfb_us.sort_unstable();
    let n = tally.total_us.len();
    let per_request = |sum: f64| sum / n.max(1) as f64;
    println!(
        r#"{{"n":{n},"errors":{},"error":{:?},"rps":{:.1},"p50_us":{},"p99_us":{},"ttfb_us":{},"cpu_us":{:.1},"rss_mib":{rss_mib:.1},"events":{:.1}}}"#,
        tally.errors,
        tally.last_error,
        n as f64 / elapsed_s,
        percentile(&tally.total_us, 0.5),
        percentile(&tally.total_us, 0.99),
        percentile(&tally.ttfb_us, 0.5),
        per_request(cpu_after_us - cpu_before_us),
        per_request(tally.events as f64),
    );
    Ok(())
}
