//! A provider's stream in any dialect, cut anywhere, and what every client is told of it.
#![no_main]

use edgehold::{
    dialect::{self, Dialect, Show},
    model::answer::Delta,
    refusal::Refusal,
    stream::aws_eventstream::Message,
};
use libfuzzer_sys::fuzz_target;

fn read(dialect: Dialect, bytes: &[u8], size: usize) -> Vec<Delta> {
    let mut reader = dialect::reader(dialect);
    let mut deltas: Vec<Delta> = bytes.chunks(size).flat_map(|piece| reader.push(piece)).collect();
    deltas.extend(reader.finish());
    deltas
}

/// Lines of `name payload` as AWS's frames: no fuzzer finds their sums by itself.
fn framed(lines: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let space = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (name, payload) = line.split_at(space);
        let name = String::from_utf8_lossy(name);
        let headers = match name.strip_prefix('!') {
            Some(name) => [(":message-type", "exception"), (":exception-type", name)],
            None => [(":message-type", "event"), (":event-type", name.as_ref())],
        };
        Message::of_texts(&headers, payload).encode(&mut out);
    }
    out
}

fuzz_target!(|data: &[u8]| {
    let [first, cut, bytes @ ..] = data else { return };
    let dialect = edgehold_fuzz::dialect(*first);
    let framed = (dialect == Dialect::Bedrock && first & 32 != 0).then(|| framed(bytes));
    let bytes = framed.as_deref().unwrap_or(bytes);
    let whole = read(dialect, bytes, bytes.len().max(1));
    assert_eq!(whole, read(dialect, bytes, usize::from(*cut).max(1)));
    let ended = whole.contains(&Delta::End);
    for to in Dialect::ALL {
        let show = Show { usage: true, array: first & 16 != 0 && to == Dialect::Gemini, ..Show::default() };
        let mut writer = dialect::writer(to, show);
        let mut out = Vec::new();
        whole.iter().for_each(|delta| writer.push(delta, &mut out));
        if !ended {
            writer.fail(&Refusal::unavailable("cut"), &mut out);
        }
        let again = read(to, &out, out.len().max(1));
        assert!(ended || !again.contains(&Delta::End), "an end that {dialect:?} never gave, to {to:?}");
    }
});
