//! What a chat client is told of a provider's bytes, for `scripts/differential.py`.
//!
//! A line of standard input is a JSON object: `dialect`, and `body` (a whole answer) or `stream` (its bytes in base64). A line
//! of standard output is the chat completion, the chat stream as text, or an `error`.

#![allow(clippy::print_stdout, reason = "that is what it is for")]

use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use edgehold::dialect::{self, Dialect, Show};
use serde_json::{Value, json};
use std::io::{self, BufRead as _};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for line in io::stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line?)?;
        println!("{}", told(&asked).unwrap_or_else(|why| json!({ "error": why })));
    }
    Ok(())
}

fn told(asked: &Value) -> Result<Value, String> {
    let member = |name: &str| asked.get(name).and_then(Value::as_str);
    let dialect = member("dialect").and_then(Dialect::by_name).ok_or("no such dialect")?;
    let show =
        Show { id: "1".to_owned(), model: "model".to_owned(), created: 1, usage: true, ..Show::default() };
    if let Some(body) = member("body") {
        let answer = dialect::read_answer(dialect, body.as_bytes()).map_err(|corrupt| corrupt.0)?;
        let shown = dialect::write_answer(Dialect::OpenAiChat, &answer, &show);
        return serde_json::from_slice(&shown).map_err(|error| error.to_string());
    }
    let stream = member("stream").ok_or("neither body nor stream")?;
    let bytes = BASE64.decode(stream).map_err(|error| error.to_string())?;
    let mut reader = dialect::reader(dialect);
    let mut writer = dialect::writer(Dialect::OpenAiChat, show);
    let mut out = Vec::new();
    let mut deltas = reader.push(&bytes);
    deltas.extend(reader.finish());
    deltas.iter().for_each(|delta| writer.push(delta, &mut out));
    String::from_utf8(out).map(|text| json!({ "stream": text })).map_err(|error| error.to_string())
}
