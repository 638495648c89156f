//! Reading a chat request: what the path must know, and where in the bytes it stands.
//!
//! The body is never rebuilt. Members that policy changes (the model's name, the output cap, `stream_options`) are
//! replaced or inserted in the caller's own bytes, so everything else arrives as it was sent, also members that
//! this gateway has never heard of.

mod audio;
mod edits;
mod input;
mod tools;
mod weigh;

pub use edits::{Cap, Edits};
pub use input::{Images, InputSize};

use crate::{
    dialect::{Dialect, task::Task},
    model::{part::Part, request::Request},
    refusal::Refusal,
    settle::price::Pieces,
};
use edits::{CapPlace, Spans};
use input::Messages;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap, fmt};
use tools::Tools;

/// The most a request's `n` may ask for (OpenAI's own bound).
const CHOICES_MAX: u64 = 128;

/// The most a request may ask for as output, in tokens.
const OUTPUT_CAP_MAX: u64 = 10_000_000;

/// The most a request's `metadata` may hold.
const METADATA_BYTES_MAX: usize = 4_096;

/// A longer name of an end user is none that limits are counted for.
const USER_BYTES_MAX: usize = 512;

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
    /// The end user, as the caller names them: `user`, else `safety_identifier`.
    pub user: Option<String>,
    /// The body's `metadata`, texts only.
    pub metadata: BTreeMap<String, String>,
    /// What the model will read.
    pub input: InputSize,
    /// Bytes of `prediction` as text: what of it is rejected is billed as output, beside the cap.
    pub prediction_bytes: u64,
    /// A member that makes the provider do what is billed beside tokens, or choose another model.
    pub unmetered: Option<&'static str>,
    /// Whether pictures are wanted in the answer, by a member that says so.
    pub paints: bool,
    /// The dialect the client speaks. In any other than chat, the figures above are those of its chat form.
    pub dialect: Dialect,
    /// Read whole, in any other dialect than chat.
    pub canonical: Option<Box<Request>>,
    /// Whether what is read may be written to a provider's cache for an hour.
    pub hour_cache: bool,
    /// What is asked for, if not a conversation.
    pub task: Task,
    spans: Spans,
}

impl ChatRequest {
    /// What may be billed beside its tokens. Counting is free.
    #[must_use]
    pub fn pieces(&self) -> Pieces {
        if self.task == Task::Count {
            return Pieces::default();
        }
        // Those in results of tools, too, which the chat form has no place for.
        let parts = self.canonical.iter().flat_map(|request| &request.turns).flat_map(|turn| &turn.parts);
        let given = parts.map(Part::images).fold(0, u64::saturating_add);
        Pieces { requests: 1, images: self.input.images.count().max(given) }
    }

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
        let cap_place = |name: &str, tokens| {
            place(name).map(|value| CapPlace { name: edits::name_before(text, value.start), value, tokens })
        };

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
        let Messages(mut input) =
            typed(messages_value, "messages", "an array of objects with a role and content")?;
        if input.messages == 0 {
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
        for (name, value) in members.iter().filter(|(name, _)| !OUTSIDE_THE_PROMPT.contains(&&**name)) {
            input += InputSize::of_member(name, value);
        }
        input.instructed = ["tools", "functions", "response_format"].iter().any(|name| find(name).is_some());
        input.unknown |= find("audio").is_some();
        let hosted = match find("tools") {
            Some(value) => {
                let tools: Tools = serde_json::from_str(value.get())
                    .map_err(|_| wrong_type("tools", "an array of objects with a type"))?;
                tools.hosted
            }
            None => false,
        };
        let service_tier = find("service_tier")
            .map(|value| typed::<String>(value, "service_tier", "a string"))
            .transpose()?;

        let user = ["user", "safety_identifier"]
            .into_iter()
            .find_map(|name| find(name).map(|value| typed::<String>(value, name, "a string")))
            .transpose()?
            .filter(|user| !user.is_empty() && user.len() <= USER_BYTES_MAX);

        Ok(Self {
            model,
            user,
            stream,
            include_usage: options.0.include_usage.unwrap_or(false),
            output_cap: max_tokens.max(max_completion_tokens),
            choices,
            service_tier,
            metadata: metadata.into_iter().map(|(name, Scalar(value))| (name, value)).collect(),
            input,
            prediction_bytes: find("prediction").map_or(0, |value| weigh::value(value.get())),
            unmetered: UNMETERED
                .iter()
                .copied()
                .find(|name| find(name).is_some())
                .or(hosted.then_some("tools")),
            paints: find("modalities").is_some_and(|value| {
                serde_json::from_str::<Vec<String>>(value.get())
                    .is_ok_and(|wanted| wanted.iter().any(|one| one.eq_ignore_ascii_case("image")))
            }),
            dialect: Dialect::OpenAiChat,
            canonical: None,
            hour_cache: false,
            task: Task::Converse,
            spans: Spans {
                start: text.find('{').map_or(0, |at| at + 1),
                model: span(model_value),
                stream_options: place("stream_options"),
                max_tokens: cap_place("max_tokens", max_tokens),
                max_completion_tokens: cap_place("max_completion_tokens", max_completion_tokens),
                service_tier: place("service_tier"),
            },
        })
    }
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
    serde_json::from_str(value.get()).map_err(|_| wrong_type(name, expected))
}

fn wrong_type(name: &str, expected: &str) -> Refusal {
    Refusal::bad_param("invalid_type", name, format!("Invalid type for '{name}': expected {expected}."))
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

/// Members that no template writes into the prompt, or that are counted apart. Every other one counts as text: some servers
/// take documents, template arguments or schemas under names of their own.
const OUTSIDE_THE_PROMPT: &[&str] = &[
    "messages",
    "model",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "temperature",
    "top_p",
    "seed",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "parallel_tool_calls",
];

const TWICE: &str = "given twice: '";

/// The members of the top-level object, in order, values unread.
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

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

#[cfg(test)]
mod tests;
