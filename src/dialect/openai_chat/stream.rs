//! Reading a chat stream: success or failure from the first events, usage and the terminal event from the rest.

use super::response;
use crate::stream::{
    meter::Seen,
    sse::{Event, Framer},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, ops::Deref};

pub use crate::stream::meter::Meaning;

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    service_tier: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow, default)]
    function_call: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    audio: Option<&'a RawValue>,
}

impl Delta<'_> {
    fn content_bytes(&self) -> usize {
        [
            self.content,
            self.tool_calls,
            self.function_call,
            self.refusal,
            self.reasoning,
            self.reasoning_content,
            self.audio,
        ]
        .into_iter()
        .flatten()
        .map(RawValue::get)
        .filter(|text| !matches!(*text, "null" | "\"\"" | "[]"))
        .map(str::len)
        .sum()
    }
}

fn present(value: Option<&RawValue>) -> Option<&str> {
    value.map(RawValue::get).filter(|text| *text != "null")
}

/// Watches a stream go by.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    framer: Framer,
    /// What has gone by.
    pub seen: Seen,
}

impl Deref for Meter {
    type Target = Seen;

    fn deref(&self) -> &Seen {
        &self.seen
    }
}

impl Meter {
    /// Takes bytes; gives the events they complete, with what each says.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<(Event, Meaning)> {
        let events = self.framer.push(bytes);
        events
            .into_iter()
            .map(|event| (self.read(&event), event))
            .map(|(meaning, event)| (event, meaning))
            .collect()
    }

    /// The end of the bytes.
    pub fn finish(&mut self) -> Option<(Event, Meaning)> {
        let event = self.framer.finish()?;
        let meaning = self.read(&event);
        Some((event, meaning))
    }

    fn read(&mut self, event: &Event) -> Meaning {
        if event.piece {
            return self.seen.note_piece(event.raw.len() as u64);
        }
        let Some(data) = &event.data else { return Meaning::Nothing };
        let Ok(text) = std::str::from_utf8(data) else { return self.corrupt() };
        let text = text.trim();
        if text.is_empty() {
            return Meaning::Nothing;
        }
        if text == "[DONE]" {
            self.seen.done = true;
            return Meaning::Done;
        }
        let Ok(chunk) = serde_json::from_str::<Chunk<'_>>(text) else { return self.corrupt() };
        if self.seen.id.is_none() {
            self.seen.id = chunk.id.map(Cow::into_owned);
        }
        if let Some(tier) = chunk.service_tier {
            self.seen.service_tier = Some(tier.into_owned());
        }
        let reported = present(chunk.usage);
        if let Some(usage) = reported
            && let Some(counts) = response::usage(usage)
        {
            self.seen.usage = Some(counts);
            self.seen.usage_json = Some(usage.to_owned());
        }
        if let Some(error) = present(chunk.error) {
            let message = response::error_text(error.as_bytes());
            self.seen.error = Some(message.clone());
            return Meaning::Error(message);
        }
        if event.name.as_deref() == Some(b"error") {
            let message = response::error_text(text.as_bytes());
            self.seen.error = Some(message.clone());
            return Meaning::Error(message);
        }
        let choices = chunk.choices.unwrap_or_default();
        let bytes: usize =
            choices.iter().filter_map(|choice| choice.delta.as_ref()).map(Delta::content_bytes).sum();
        let finishes = choices.iter().any(|choice| present(choice.finish_reason).is_some());
        self.seen.finished |= finishes;
        if bytes > 0 {
            self.seen.content_events += 1;
            self.seen.content_bytes = self.seen.content_bytes.saturating_add(bytes as u64);
        }
        if bytes > 0 || finishes {
            Meaning::Content
        } else if choices.is_empty() && reported.is_some() {
            Meaning::Usage
        } else {
            Meaning::Nothing
        }
    }

    const fn corrupt(&mut self) -> Meaning {
        self.seen.corrupt_events += 1;
        Meaning::Corrupt
    }
}

/// Passes a stream on without the usage chunk that the gateway asked for and the client did not.
///
/// Whole events go on at once, byte for byte. What remains of asking is that other chunks carry `"usage":null`; that
/// member is taken out as well.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// What has gone by, the removed chunk included.
    pub meter: Meter,
    /// The client asked for usage: everything passes.
    pub keep_usage: bool,
}

/// How providers write the member in chunks that have no counts.
const NULL_USAGE: [&[u8]; 2] = [b",\"usage\":null", b", \"usage\": null"];

impl Filter {
    /// Bytes in, bytes out; an unfinished event waits for its rest.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.push_judging(bytes).0
    }

    /// As [`Self::push`], and what the events said.
    pub fn push_judging(&mut self, bytes: &[u8]) -> (Vec<u8>, Vec<Meaning>) {
        let mut passed = Vec::with_capacity(bytes.len());
        let mut meanings = Vec::new();
        for (event, meaning) in self.meter.push(bytes) {
            self.pass(&event, &meaning, &mut passed);
            meanings.push(meaning);
        }
        (passed, meanings)
    }

    /// The end of the bytes: an event without its empty line.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut passed = Vec::new();
        if let Some((event, meaning)) = self.meter.finish() {
            self.pass(&event, &meaning, &mut passed);
        }
        passed
    }

    fn pass(&self, event: &Event, meaning: &Meaning, passed: &mut Vec<u8>) {
        if self.keep_usage || event.piece {
            passed.extend_from_slice(&event.raw);
            return;
        }
        if *meaning == Meaning::Usage {
            return;
        }
        let cut = NULL_USAGE.iter().find_map(|needle| {
            let at = event.raw.windows(needle.len()).rposition(|window| window == *needle)?;
            // Only as a member of the chunk itself: what follows must close it, or go on with another member.
            matches!(event.raw.get(at + needle.len()), Some(b'}' | b',')).then_some((at, needle.len()))
        });
        match cut.filter(|_| !matches!(meaning, Meaning::Corrupt)) {
            Some((at, length)) if outside_strings(event.raw.get(..at).unwrap_or_default()) => {
                passed.extend_from_slice(event.raw.get(..at).unwrap_or_default());
                passed.extend_from_slice(event.raw.get(at + length..).unwrap_or_default());
            }
            _ => passed.extend_from_slice(&event.raw),
        }
    }
}

/// Whether the end of `bytes` stands outside of JSON strings and directly inside the outermost object.
fn outside_strings(bytes: &[u8]) -> bool {
    let (mut inside, mut escaped, mut depth) = (false, false, 0i32);
    for byte in bytes {
        match (inside, escaped, byte) {
            (true, true, _) => escaped = false,
            (true, false, b'\\') => escaped = true,
            (_, _, b'"') => inside = !inside,
            (false, _, b'{' | b'[') => depth += 1,
            (false, _, b'}' | b']') => depth -= 1,
            _ => {}
        }
    }
    !inside && depth == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str = "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n\
        data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Say \\\",\\\"usage\\\":null}\"},\"finish_reason\":null}],\"usage\":null}\n\n\
        data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null,\"x\":1}\n\n\
        data: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}}\n\n\
        data: [DONE]\n\n";

    #[test]
    fn a_stream_is_understood() {
        let mut meter = Meter::default();
        let meanings: Vec<Meaning> =
            meter.push(STREAM.as_bytes()).into_iter().map(|(_, meaning)| meaning).collect();
        assert_eq!(
            meanings,
            [Meaning::Nothing, Meaning::Content, Meaning::Content, Meaning::Usage, Meaning::Done]
        );
        assert!(meter.complete());
        assert_eq!(meter.usage.map(|usage| usage.total()), Some(11));
        assert_eq!(meter.id.as_deref(), Some("c1"));
    }

    #[test]
    fn the_end_of_bytes_is_not_completion() {
        let cut =
            STREAM.split("data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{},").next().unwrap();
        let mut meter = Meter::default();
        meter.push(cut.as_bytes());
        assert!(!meter.complete());
        assert_eq!(meter.content_events, 1);
        assert!(meter.estimated_output() >= 1);
    }

    #[test]
    fn errors_and_nonsense_are_not_content() {
        let mut meter = Meter::default();
        let meanings: Vec<Meaning> = meter
            .push(b": hi\n\ndata: {\"error\":{\"message\":\"overloaded\"}}\n\ndata: <html>\n\nevent: error\ndata: {\"message\":\"late\"}\n\n")
            .into_iter()
            .map(|(_, meaning)| meaning)
            .collect();
        assert_eq!(
            meanings,
            [
                Meaning::Nothing,
                Meaning::Error("overloaded".into()),
                Meaning::Corrupt,
                Meaning::Error("late".into())
            ]
        );
    }

    #[test]
    fn who_did_not_ask_for_usage_sees_none_and_loses_nothing_else() {
        let mut filter = Filter::default();
        let passed = String::from_utf8(filter.push(STREAM.as_bytes())).unwrap();
        let expected = STREAM
            .replace("],\"usage\":null", "]")
            .replace("data: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}}\n\n", "");
        assert_eq!(passed, expected);
        assert!(passed.contains("Say \\\",\\\"usage\\\":null}"), "the model's own text is not touched");
        assert_eq!(filter.meter.usage.map(|usage| usage.total()), Some(11));
    }

    #[test]
    fn counts_in_a_chunk_with_choices_stay() {
        let chunk = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\n";
        let mut filter = Filter::default();
        assert_eq!(filter.push(chunk.as_bytes()), chunk.as_bytes());
    }

    proptest! {
        #[test]
        fn any_split_passes_the_same_bytes(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
            let mut whole = Filter::default();
            let expected = whole.push(STREAM.as_bytes());
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(STREAM.len() + 1)).collect();
            at.extend([0, STREAM.len()]);
            at.sort_unstable();
            let mut filter = Filter::default();
            let mut passed = vec![];
            for pair in at.windows(2) {
                passed.extend(filter.push(&STREAM.as_bytes()[pair[0]..pair[1]]));
            }
            passed.extend(filter.finish());
            prop_assert_eq!(passed, expected);
            prop_assert_eq!(filter.meter.usage, whole.meter.usage);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut filter = Filter::default();
            filter.push(&bytes);
            filter.finish();
        }
    }
}
