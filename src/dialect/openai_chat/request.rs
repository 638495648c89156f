//! Reading a chat request: what the path must know, and where in the bytes it stands.
//!
//! The body is never rebuilt. Members that policy changes (the model's name, the output cap, `stream_options`) are
//! replaced or inserted in the caller's own bytes, so everything else arrives as it was sent, also members that
//! this gateway has never heard of.

use crate::refusal::Refusal;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap, fmt, ops::Range};

/// The most a request's `n` may ask for (OpenAI's own bound).
const CHOICES_MAX: u64 = 128;

/// The most a request may ask for as output, in tokens.
const OUTPUT_CAP_MAX: u64 = 10_000_000;

/// The most a request's `metadata` may hold.
const METADATA_BYTES_MAX: usize = 4_096;

/// What the path needs to know of a chat request.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRequest {
    /// The model the caller asked for.
    pub model: String,
    /// Whether a stream is wanted.
    pub stream: bool,
    /// Whether the caller asked for the usage chunk of a stream.
    pub include_usage: bool,
    /// The output cap as sent: `max_completion_tokens` or `max_tokens`, the larger if both are there.
    pub output_cap: Option<u64>,
    /// How many answers (1 if not sent).
    pub choices: u64,
    /// `service_tier` as sent.
    pub service_tier: Option<String>,
    /// The body's `metadata`, texts only.
    pub metadata: BTreeMap<String, String>,
    /// Whether input is referred to rather than contained (images, files, audio), so that its bytes say nothing of its
    /// tokens.
    pub opaque_input: bool,
    /// Whether tools or a response format are given: providers add hidden instructions for these.
    pub hidden_input: bool,
    /// Bytes of `messages`, for estimates.
    pub message_bytes: usize,
    /// Bytes of `prediction`: what of it is rejected is billed as output, beside the cap.
    pub prediction_bytes: usize,
    /// A member that makes the provider do what is billed beside tokens, or choose another model.
    pub unmetered: Option<&'static str>,
    spans: Spans,
}

/// Where in the body the members are that may be edited: ranges of their values.
#[derive(Clone, Debug, Default, PartialEq)]
struct Spans {
    /// Just behind the opening brace.
    start: usize,
    model: Range<usize>,
    stream_options: Option<Range<usize>>,
    max_tokens: Option<Range<usize>>,
    max_completion_tokens: Option<Range<usize>>,
    service_tier: Option<Range<usize>>,
}

/// What is to be changed in the body for one provider.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edits<'a> {
    /// The provider's name for the model.
    pub model: Option<&'a str>,
    /// Ask for usage in the stream.
    pub ask_usage: bool,
    /// An output cap where the caller sent none: member name and value.
    pub cap: Option<(&'static str, u64)>,
    /// The service tier where the caller named none.
    pub tier: Option<&'static str>,
}

impl ChatRequest {
    /// Reads the body.
    ///
    /// # Errors
    /// 400 in the caller's terms: not JSON, a member missing or of the wrong type, a member given twice (which the
    /// provider might read differently than we do).
    pub fn decode(body: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(body).map_err(|error| {
            Refusal::bad_request("invalid_json", format!("The body is not UTF-8: {error}."))
        })?;
        let members: Members<'_> = serde_json::from_str(text).map_err(|error| not_json(text, &error))?;
        let Members(members) = members;
        // Readers that match names without regard to case would see another request than this one.
        let foldable = |name: &str| name.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii());
        if let Some((name, _)) = members.iter().filter(|(name, _)| foldable(name)).find(|(name, _)| {
            let folded: String = name.replace('\u{17F}', "s").replace('\u{212A}', "k").to_ascii_lowercase();
            folded != *name && DECIDING.contains(&folded.as_str())
        }) {
            return Err(Refusal::bad_param(
                "unknown_parameter",
                name,
                format!("Unknown parameter: '{name}'. Names are in lower case."),
            ));
        }
        let find = |name: &str| {
            members
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| *value)
                .filter(|value| value.get() != "null")
        };
        let span = |value: &RawValue| {
            let from = (value.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
            from..from + value.get().len()
        };

        // Where a member stands, also if it is null.
        let place = |name: &str| members.iter().find(|(key, _)| key == name).map(|(_, value)| span(value));

        let model_value = find("model").ok_or_else(|| missing("model"))?;
        let model: String = typed(model_value, "model", "a string")?;
        if model.is_empty() || model.len() > 256 {
            return Err(Refusal::bad_param(
                "invalid_value",
                "model",
                "model must be 1 to 256 characters long.",
            ));
        }
        let messages_value = find("messages").ok_or_else(|| missing("messages"))?;
        let messages: Vec<Message<'_>> =
            typed(messages_value, "messages", "an array of objects with a role and content")?;
        if messages.is_empty() {
            return Err(Refusal::bad_param(
                "invalid_value",
                "messages",
                "messages must have at least one element.",
            ));
        }
        let flag =
            |name: &'static str| find(name).map_or(Ok(false), |value| typed(value, name, "true or false"));
        let count = |name: &'static str| {
            find(name).map(|value| typed::<u64>(value, name, "a whole number of at least 0")).transpose()
        };
        let stream = flag("stream")?;
        let options: Object<StreamOptions> = find("stream_options")
            .map_or(Ok(Object(StreamOptions::default())), |value| {
                typed(value, "stream_options", "an object such as {\"include_usage\": true}")
            })?;
        let max_tokens = count("max_tokens")?;
        let max_completion_tokens = count("max_completion_tokens")?;
        for (name, cap) in [("max_tokens", max_tokens), ("max_completion_tokens", max_completion_tokens)] {
            // Some servers read 0 as no limit; and no model answers with more than this.
            if cap.is_some_and(|cap| cap == 0 || cap > OUTPUT_CAP_MAX) {
                return Err(Refusal::bad_param(
                    "invalid_value",
                    name,
                    format!("{name} must be 1 to {OUTPUT_CAP_MAX}."),
                ));
            }
        }
        let choices = count("n")?.unwrap_or(1);
        if choices == 0 || choices > CHOICES_MAX {
            return Err(Refusal::bad_param("invalid_value", "n", format!("n must be 1 to {CHOICES_MAX}.")));
        }
        let metadata: BTreeMap<String, Scalar> = find("metadata").map_or(Ok(BTreeMap::new()), |value| {
            typed(value, "metadata", "an object whose values are strings")
        })?;
        let metadata_bytes: usize =
            metadata.iter().map(|(name, Scalar(value))| name.len() + value.len()).sum();
        if metadata_bytes > METADATA_BYTES_MAX {
            return Err(Refusal::bad_param(
                "invalid_value",
                "metadata",
                format!(
                    "metadata must be at most {METADATA_BYTES_MAX} bytes: it is kept with every ledger row."
                ),
            ));
        }
        let service_tier = find("service_tier")
            .map(|value| typed::<String>(value, "service_tier", "a string"))
            .transpose()?;

        Ok(Self {
            model,
            stream,
            include_usage: options.0.include_usage.unwrap_or(false),
            output_cap: max_tokens.max(max_completion_tokens),
            choices,
            service_tier,
            metadata: metadata.into_iter().map(|(name, Scalar(value))| (name, value)).collect(),
            opaque_input: messages.iter().any(|message| message.opaque) || find("audio").is_some(),
            hidden_input: ["tools", "functions", "response_format"].iter().any(|name| find(name).is_some()),
            message_bytes: messages_value.get().len(),
            prediction_bytes: find("prediction").map_or(0, |value| value.get().len()),
            unmetered: UNMETERED.iter().copied().find(|name| find(name).is_some()),
            spans: Spans {
                start: text.find('{').map_or(0, |at| at + 1),
                model: span(model_value),
                stream_options: place("stream_options"),
                max_tokens: place("max_tokens"),
                max_completion_tokens: place("max_completion_tokens"),
                service_tier: place("service_tier"),
            },
        })
    }

    /// The body with `edits` made, or `None` if nothing changes and the caller's bytes can go as they are.
    #[must_use]
    pub fn edited(&self, body: &[u8], edits: &Edits<'_>) -> Option<Vec<u8>> {
        let mut changes: Vec<(Range<usize>, String)> = Vec::new();
        if let Some(model) = edits.model.filter(|model| *model != self.model) {
            changes.push((self.spans.model.clone(), json_text(model)));
        }
        let mut inserted = String::new();
        if edits.ask_usage && self.stream && !self.include_usage {
            match &self.spans.stream_options {
                Some(span) => {
                    let old = body.get(span.clone()).unwrap_or_default();
                    changes.push((span.clone(), with_usage(old)));
                }
                None => inserted.push_str("\"stream_options\":{\"include_usage\":true},"),
            }
        }
        if let Some((name, cap)) = edits.cap.filter(|_| self.output_cap.is_none()) {
            // A cap sent as null would otherwise stand there twice.
            let span =
                if name == "max_tokens" { &self.spans.max_tokens } else { &self.spans.max_completion_tokens };
            match span {
                Some(span) => changes.push((span.clone(), cap.to_string())),
                None => inserted.push_str(&format!("\"{name}\":{cap},")),
            }
        }
        if let Some(tier) = edits.tier.filter(|_| self.service_tier.is_none()) {
            match &self.spans.service_tier {
                Some(span) => changes.push((span.clone(), json_text(tier))),
                None => inserted.push_str(&format!("\"service_tier\":{},", json_text(tier))),
            }
        }
        if !inserted.is_empty() {
            changes.push((self.spans.start..self.spans.start, inserted));
        }
        if changes.is_empty() {
            return None;
        }
        changes.sort_by_key(|(span, _)| span.start);
        let grown: usize = changes.iter().map(|(_, text)| text.len()).sum();
        let mut edited = Vec::with_capacity(body.len() + grown);
        let mut from = 0;
        for (span, text) in changes {
            edited.extend_from_slice(body.get(from..span.start).unwrap_or_default());
            edited.extend_from_slice(text.as_bytes());
            from = span.end;
        }
        edited.extend_from_slice(body.get(from..).unwrap_or_default());
        Some(edited)
    }
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The caller's `stream_options` with `include_usage` true and the rest kept.
fn with_usage(old: &[u8]) -> String {
    let mut options: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(old).unwrap_or_default();
    options.insert("include_usage".to_owned(), true.into());
    serde_json::Value::Object(options).to_string()
}

fn missing(name: &str) -> Refusal {
    Refusal::bad_param("missing_required_parameter", name, format!("Missing required parameter: '{name}'."))
}

fn not_json(text: &str, error: &serde_json::Error) -> Refusal {
    if let Some(name) = error.to_string().strip_prefix(TWICE).and_then(|rest| rest.split('\'').next()) {
        return Refusal::bad_param(
            "duplicate_parameter",
            name,
            format!("'{name}' is given more than once; which one counts would depend on the reader."),
        );
    }
    let kind = if text.trim().is_empty() { "The body is empty" } else { "The body is not a JSON object" };
    Refusal::bad_request(
        "invalid_json",
        format!("{kind}: {error}. Send a JSON object with model and messages."),
    )
}

/// The most bytes one of the small members may have; `messages` may have all the body has. Checked before reading: a small
/// text can become a large tree.
const MEMBER_BYTES_MAX: usize = 32_768;

fn typed<'a, T: Deserialize<'a>>(value: &'a RawValue, name: &str, expected: &str) -> Result<T, Refusal> {
    if name != "messages" && value.get().len() > MEMBER_BYTES_MAX {
        return Err(Refusal::bad_param(
            "invalid_value",
            name,
            format!("'{name}' must be at most {MEMBER_BYTES_MAX} bytes long."),
        ));
    }
    serde_json::from_str(value.get()).map_err(|_| {
        Refusal::bad_param("invalid_type", name, format!("Invalid type for '{name}': expected {expected}."))
    })
}

/// Members that decide what a request costs.
const DECIDING: &[&str] = &[
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "best_of",
    "service_tier",
    "metadata",
    "prediction",
    "audio",
    "modalities",
    "tools",
    "web_search_options",
];

/// Members that make a provider do what is billed beside tokens, or ask another model than the one that is held.
const UNMETERED: &[&str] =
    &["web_search_options", "search_parameters", "plugins", "models", "route", "extra_body", "best_of"];

const TWICE: &str = "given twice: '";

/// The members of the top-level object, in order, values unread.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::with_capacity(12);
                while let Some(Name(name)) = map.next_key::<Name<'de>>()? {
                    let value = map.next_value()?;
                    if members.iter().any(|(earlier, _)| *earlier == name) {
                        return Err(de::Error::custom(format_args!("{TWICE}{name}'")));
                    }
                    if members.len() > 200 {
                        return Err(de::Error::custom("more than 200 members"));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visit)
    }
}

/// A member's name, borrowed unless it has escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A value that is written as an object. Derived readers would take an array of the members' values as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Visit<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(de::value::MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_any(Visit(std::marker::PhantomData))
    }
}

#[derive(Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

/// A metadata value as text.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            value @ (serde_json::Value::Bool(_) | serde_json::Value::Number(_)) => {
                Ok(Self(value.to_string()))
            }
            _ => Err(de::Error::custom("not a string")),
        }
    }
}

/// One message: its shape is checked, and whether it refers to something outside of it.
struct Message<'a> {
    opaque: bool,
    _borrow: std::marker::PhantomData<&'a ()>,
}

#[derive(Deserialize)]
struct MessageShape<'a> {
    #[serde(borrow)]
    #[allow(dead_code, reason = "present and a string: that is the check")]
    role: Cow<'a, str>,
    #[serde(default, borrow)]
    content: Option<Content<'a>>,
    /// An earlier answer of the model, by id.
    #[serde(default, borrow)]
    audio: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Message<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Object(shape) = Object::<MessageShape<'_>>::deserialize(deserializer)?;
        let audio = shape.audio.is_some_and(|audio| audio.get() != "null");
        let opaque = audio || shape.content.is_some_and(|Content { opaque, .. }| opaque);
        Ok(Self { opaque, _borrow: std::marker::PhantomData })
    }
}

struct Content<'a> {
    opaque: bool,
    _borrow: std::marker::PhantomData<&'a ()>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'a, str>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Visit<'a> {
            type Value = Content<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of parts")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
                Ok(Content { opaque: false, _borrow: self.0 })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
                let mut opaque = false;
                while let Some(Object(part)) = parts.next_element::<Object<Part<'de>>>()? {
                    opaque |= !matches!(part.kind.as_deref(), Some("text" | "refusal"));
                }
                Ok(Content { opaque, _borrow: self.0 })
            }
        }
        deserializer.deserialize_any(Visit(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests;
