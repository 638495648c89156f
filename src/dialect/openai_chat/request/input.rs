//! What a request brings for the model to read, counted while `messages` is read: nothing is kept of it but numbers.

use super::{Name, audio, weigh};
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{
    fmt,
    ops::{Add, AddAssign},
};

/// What the model will read, in units that do not depend on which model that is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputSize {
    /// Bytes of text: roles, contents, names, calls, tools, schemas, and every member that is not known to stay outside
    /// of the prompt. No payload of an image, a clip or a file is among them.
    pub text: u64,
    /// How many messages.
    pub messages: u64,
    /// Images, contained or referred to.
    pub images: Images,
    /// Milliseconds that all clips can last.
    pub audio_ms: u64,
    /// Whether something is there whose size nothing tells: a file, an earlier answer by its id, a part of a kind that
    /// this gateway has never heard of.
    pub unknown: bool,
    /// Whether tools or a response format are given: providers add hidden instructions for these.
    pub instructed: bool,
    /// Whether there is a message of the role `system` or `developer`: where there is none, some templates bring one.
    pub directed: bool,
}

/// Images by the detail that was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Images {
    /// `low`.
    pub low: u64,
    /// `high`.
    pub high: u64,
    /// `original`, `auto`, anything else, nothing: as much as the model can see.
    pub full: u64,
}

impl Images {
    /// All of them.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.low.saturating_add(self.high).saturating_add(self.full)
    }
}

impl Add for InputSize {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            text: self.text.saturating_add(other.text),
            messages: self.messages.saturating_add(other.messages),
            images: Images {
                low: self.images.low.saturating_add(other.images.low),
                high: self.images.high.saturating_add(other.images.high),
                full: self.images.full.saturating_add(other.images.full),
            },
            audio_ms: self.audio_ms.saturating_add(other.audio_ms),
            unknown: self.unknown || other.unknown,
            instructed: self.instructed || other.instructed,
            directed: self.directed || other.directed,
        }
    }
}

impl AddAssign for InputSize {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl InputSize {
    const fn of_text(text: u64) -> Self {
        Self {
            text,
            messages: 0,
            images: Images { low: 0, high: 0, full: 0 },
            audio_ms: 0,
            unknown: false,
            instructed: false,
            directed: false,
        }
    }

    fn unknown() -> Self {
        Self { unknown: true, ..Self::default() }
    }

    /// A member of an object, as a template may write it.
    pub(super) fn of_member(name: &str, value: &RawValue) -> Self {
        Self::of_text(weigh::member(name, value.get()))
    }
}

/// `messages`: shapes are checked as they are counted.
pub(super) struct Messages(pub(super) InputSize);

/// Bytes between the parts of a message.
const PART: u64 = 4;

macro_rules! deserialize_any {
    ($name:ident) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Visit)
            }
        }
    };
}

mod messages {
    use super::*;

    struct Visit;

    impl<'de> Visitor<'de> for Visit {
        type Value = Messages;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of messages")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Messages, A::Error> {
            let mut size = InputSize::default();
            while let Some(Message(message)) = items.next_element()? {
                size += message;
                size.messages += 1;
            }
            Ok(Messages(size))
        }
    }

    deserialize_any!(Messages);
}

struct Message(InputSize);

mod message {
    use super::*;

    struct Visit;

    impl<'de> Visitor<'de> for Visit {
        type Value = Message;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object with a role and content")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Message, A::Error> {
            let mut size = InputSize::default();
            let (mut role, mut content) = (false, false);
            while let Some(Name(name)) = map.next_key()? {
                match &*name {
                    "role" if role => return Err(de::Error::duplicate_field("role")),
                    "content" if content => return Err(de::Error::duplicate_field("content")),
                    "role" => {
                        role = true;
                        let Name(text) = map.next_value()?;
                        size.text += weigh::plain(&text);
                        size.directed |= matches!(&*text, "system" | "developer");
                    }
                    "content" => {
                        content = true;
                        let Content(part) = map.next_value()?;
                        size += part;
                    }
                    // Pictures that the model made, counted as parts of the content; what else goes by the name is counted as text.
                    "images" => {
                        let value: &RawValue = map.next_value()?;
                        size += serde_json::from_str::<Content>(value.get()).map_or_else(
                            |_| InputSize::of_member(&name, value),
                            |Content(pictures)| pictures,
                        );
                    }
                    // An earlier answer of the model, by id.
                    "audio" => size.unknown |= map.next_value::<Option<IgnoredAny>>()?.is_some(),
                    _ => size += InputSize::of_member(&name, map.next_value()?),
                }
            }
            if role { Ok(Message(size)) } else { Err(de::Error::missing_field("role")) }
        }
    }

    deserialize_any!(Message);
}

/// A text, a list of parts, or nothing.
struct Content(InputSize);

mod content {
    use super::*;

    struct Visit;

    impl<'de> Visitor<'de> for Visit {
        type Value = Content;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string or an array of parts")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Content, E> {
            Ok(Content(InputSize::default()))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
            Ok(Content(InputSize::of_text(weigh::plain(text))))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content, A::Error> {
            let mut size = InputSize::default();
            while let Some(Part(part)) = parts.next_element()? {
                size += part;
                size.text = size.text.saturating_add(PART);
            }
            Ok(Content(size))
        }
    }

    deserialize_any!(Content);
}

struct Part(InputSize);

mod part {
    use super::*;

    struct Visit;

    impl<'de> Visitor<'de> for Visit {
        type Value = Part;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object with a type")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Part, A::Error> {
            let mut size = InputSize::default();
            let (mut typed, mut text, mut clip, mut strange) = (false, false, false, false);
            while let Some(Name(name)) = map.next_key()? {
                match &*name {
                    "type" if typed => return Err(de::Error::duplicate_field("type")),
                    "type" => {
                        typed = true;
                        match map.next_value::<Option<Name<'de>>>()?.as_ref().map(|Name(kind)| &**kind) {
                            Some("text" | "refusal" | "thinking") => text = true,
                            Some("image_url") => {}
                            Some("input_audio") => clip = true,
                            _ => strange = true,
                        }
                    }
                    "text" | "refusal" => {
                        let Text(found) = map.next_value()?;
                        size += found;
                    }
                    // Counted whatever the type says: some servers go by the member.
                    "image_url" => {
                        let Image(images) = map.next_value()?;
                        size += InputSize { images, ..InputSize::default() };
                    }
                    "input_audio" => {
                        let Clip(ms) = map.next_value()?;
                        match ms {
                            Some(ms) => size.audio_ms = size.audio_ms.saturating_add(ms),
                            None => size.unknown = true,
                        }
                    }
                    "file" | "image" | "source" | "document" | "document_url" | "video_url" | "audio_url" => {
                        map.next_value::<IgnoredAny>()?;
                        strange = true;
                    }
                    _ => size += InputSize::of_member(&name, map.next_value()?),
                }
            }
            let known = text || size.images.count() > 0 || clip && (size.audio_ms > 0 || size.unknown);
            size.unknown |= strange || !known;
            Ok(Part(size))
        }
    }

    deserialize_any!(Part);
}

/// What should be a text. If it is something else, nobody knows what it will be read as.
struct Text(InputSize);

mod text {
    use super::*;

    struct Visit;

    impl<'de> Visitor<'de> for Visit {
        type Value = Text;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Text, E> {
            Ok(Text(InputSize::default()))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
            Ok(Text(InputSize::of_text(weigh::plain(text))))
        }

        fn visit_bool<E: de::Error>(self, _: bool) -> Result<Text, E> {
            Ok(Text(InputSize::unknown()))
        }

        fn visit_i64<E: de::Error>(self, _: i64) -> Result<Text, E> {
            Ok(Text(InputSize::unknown()))
        }

        fn visit_u64<E: de::Error>(self, _: u64) -> Result<Text, E> {
            Ok(Text(InputSize::unknown()))
        }

        fn visit_f64<E: de::Error>(self, _: f64) -> Result<Text, E> {
            Ok(Text(InputSize::unknown()))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Text, A::Error> {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Text(InputSize::unknown()))
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Text(InputSize::unknown()))
        }
    }

    deserialize_any!(Text);
}

/// `image_url`: an object with `url` and `detail`, or the URL alone.
struct Image(Images);

mod image {
    use super::*;

    const FULL: Images = Images { low: 0, high: 0, full: 1 };

    struct Visit;

    impl<'de> Visitor<'de> for Visit {
        type Value = Image;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object with a url")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Image, E> {
            Ok(Image(Images::default()))
        }

        fn visit_str<E: de::Error>(self, _: &str) -> Result<Image, E> {
            Ok(Image(FULL))
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Image, A::Error> {
            let mut details = 0;
            let mut image = FULL;
            while let Some(Name(name)) = map.next_key()? {
                if name != "detail" {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                details += 1;
                image = match map.next_value::<Option<Name<'de>>>()?.as_ref().map(|Name(detail)| &**detail) {
                    // Named twice, which one counts depends on the reader.
                    _ if details > 1 => FULL,
                    Some("low") => Images { low: 1, high: 0, full: 0 },
                    Some("high") => Images { low: 0, high: 1, full: 0 },
                    _ => FULL,
                };
            }
            Ok(Image(image))
        }
    }

    deserialize_any!(Image);
}

/// `input_audio`: the most milliseconds, if its head tells.
struct Clip(Option<u64>);

mod clip {
    use super::*;

    struct Visit;

    impl<'de> Visitor<'de> for Visit {
        type Value = Clip;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object with data and format")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Clip, E> {
            Ok(Clip(None))
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Clip, A::Error> {
            let mut longest = None;
            let mut seen = false;
            while let Some(Name(name)) = map.next_key()? {
                if name != "data" {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                let Name(data) = map.next_value()?;
                longest = if seen { None } else { audio::longest_ms(&data) };
                seen = true;
            }
            Ok(Clip(longest))
        }
    }

    deserialize_any!(Clip);
}
