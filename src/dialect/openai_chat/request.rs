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
    /// Server-side search, which costs extra per call.
    pub web_search: bool,
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
            web_search: find("web_search_options").is_some(),
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

fn typed<'a, T: Deserialize<'a>>(value: &'a RawValue, name: &str, expected: &str) -> Result<T, Refusal> {
    serde_json::from_str(value.get()).map_err(|_| {
        Refusal::bad_param("invalid_type", name, format!("Invalid type for '{name}': expected {expected}."))
    })
}

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
}

impl<'de: 'a, 'a> Deserialize<'de> for Message<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Object(shape) = Object::<MessageShape<'_>>::deserialize(deserializer)?;
        let opaque = shape.content.is_some_and(|Content { opaque, .. }| opaque);
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}"#;

    fn refused(body: &str) -> Refusal {
        ChatRequest::decode(body.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_plain_request_goes_as_it_came() {
        let request = ChatRequest::decode(PLAIN.as_bytes()).unwrap();
        assert_eq!(request.model, "gpt-4o-mini");
        assert_eq!(
            request.edited(PLAIN.as_bytes(), &Edits { model: Some("gpt-4o-mini"), ..Edits::default() }),
            None
        );
    }

    #[test]
    fn only_what_policy_changes_is_changed() {
        let body = r#" {"x": 1.0e2, "mod\u0065l" : "fast","messages":[{"role":"user","content":"é"}],"stream":true} "#;
        let request = ChatRequest::decode(body.as_bytes()).unwrap();
        let edits = Edits {
            model: Some("gpt\"4"),
            ask_usage: true,
            cap: Some(("max_tokens", 7)),
            tier: Some("default"),
        };
        let edited = String::from_utf8(request.edited(body.as_bytes(), &edits).unwrap()).unwrap();
        assert_eq!(
            edited,
            r#" {"stream_options":{"include_usage":true},"max_tokens":7,"service_tier":"default","x": 1.0e2, "mod\u0065l" : "gpt\"4","messages":[{"role":"user","content":"é"}],"stream":true} "#
        );
    }

    #[test]
    fn stream_options_keep_what_else_they_say() {
        for (old, new) in [
            (r#"{"include_obfuscation":false}"#, r#"{"include_obfuscation":false,"include_usage":true}"#),
            ("null", r#"{"include_usage":true}"#),
            (r#"{"include_usage":false}"#, r#"{"include_usage":true}"#),
        ] {
            let body = format!(
                r#"{{"model":"m","messages":[{{"role":"user"}}],"stream":true,"stream_options":{old}}}"#
            );
            let request = ChatRequest::decode(body.as_bytes()).unwrap();
            let edited =
                request.edited(body.as_bytes(), &Edits { ask_usage: true, ..Edits::default() }).unwrap();
            assert_eq!(String::from_utf8(edited).unwrap(), body.replace(old, new));
        }
    }

    #[test]
    fn errors_name_the_member_and_what_was_expected() {
        for (body, code, param) in [
            ("", "invalid_json", None),
            ("[]", "invalid_json", None),
            ("{\"model\":", "invalid_json", None),
            ("{}", "missing_required_parameter", Some("model")),
            (r#"{"model":1}"#, "invalid_type", Some("model")),
            (r#"{"model":""}"#, "invalid_value", Some("model")),
            (r#"{"model":"m","messages":"hi"}"#, "invalid_type", Some("messages")),
            (r#"{"model":"m","messages":[]}"#, "invalid_value", Some("messages")),
            (r#"{"model":"m","messages":[{"content":"x"}]}"#, "invalid_type", Some("messages")),
            (r#"{"model":"m","messages":[{"role":"user"}],"stream":"yes"}"#, "invalid_type", Some("stream")),
            (
                r#"{"model":"m","messages":[{"role":"user"}],"max_tokens":-1}"#,
                "invalid_type",
                Some("max_tokens"),
            ),
            (r#"{"model":"m","messages":[{"role":"user"}],"n":0}"#, "invalid_value", Some("n")),
            (r#"{"model":"m","messages":[["user","hi"]]}"#, "invalid_type", Some("messages")),
            (
                r#"{"model":"m","messages":[{"role":"user"}],"stream_options":[]}"#,
                "invalid_type",
                Some("stream_options"),
            ),
            (r#"{"model":"cheap","model":"dear","messages":[]}"#, "duplicate_parameter", Some("model")),
            (r#"{"model":"cheap","mod\u0065l":"dear","messages":[]}"#, "duplicate_parameter", Some("model")),
        ] {
            let refusal = refused(body);
            assert_eq!(
                (refusal.status, refusal.code, refusal.param.as_deref()),
                (400, code, param),
                "{body}"
            );
        }
    }

    #[test]
    fn metadata_is_kept_with_every_row_and_so_is_small() {
        let long = "x".repeat(5_000);
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user"}}],"metadata":{{"a":"{long}"}}}}"#);
        let refusal = refused(&body);
        assert_eq!((refusal.status, refusal.param.as_deref()), (400, Some("metadata")));
    }

    #[test]
    fn what_is_referred_to_is_opaque() {
        let with = |content: &str| {
            let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":{content}}}]}}"#);
            ChatRequest::decode(body.as_bytes()).unwrap().opaque_input
        };
        assert!(!with(r#"[{"type":"text","text":"x"}]"#));
        assert!(with(
            r#"[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"https://x/y.png"}}]"#
        ));
        assert!(with(r#"[{"type":"file","file":{"file_id":"f"}}]"#));
    }

    proptest! {
        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ChatRequest::decode(&body);
        }

        #[test]
        fn an_edited_body_is_the_same_request_with_the_new_model(
            model in ".{1,20}", cap in 1u64..100_000, before in any::<bool>()
        ) {
            let stream = r#""stream":true"#;
            let messages = r#""messages":[{"role":"user","content":"x"}]"#;
            let body = if before { format!("{{{stream},\"model\":\"m\",{messages}}}") }
                       else { format!("{{\n {messages} ,\"model\" : \"m\",{stream}}}") };
            let request = ChatRequest::decode(body.as_bytes()).unwrap();
            let edits = Edits { model: Some(&model), ask_usage: true, cap: Some(("max_completion_tokens", cap)), tier: None };
            let edited = request.edited(body.as_bytes(), &edits).unwrap();
            let again = ChatRequest::decode(&edited).unwrap();
            prop_assert_eq!(&again.model, &model);
            prop_assert_eq!(again.output_cap, Some(cap));
            prop_assert!(again.include_usage && again.stream);
            prop_assert_eq!(again.message_bytes, request.message_bytes);
        }
    }
}
