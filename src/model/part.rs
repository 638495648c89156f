//! What turns and answers are made of.

use crate::dialect::Dialect;
use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use serde_json::Value;

/// A piece of content.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What it is.
    pub body: Body,
    /// The end of a prefix that the provider is to cache.
    pub cache: Option<CacheMark>,
    /// The maker's proof of the thoughts behind this piece (Gemini puts one on any part; other dialects on thoughts only,
    /// there it is here as well).
    pub signature: Option<Signature>,
}

impl From<Body> for Part {
    fn from(body: Body) -> Self {
        Self { body, cache: None, signature: None }
    }
}

impl Part {
    /// Text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Body::Text(Text { text: text.into(), citations: Vec::new() }).into()
    }
}

/// What a piece of content is.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Text.
    Text(Text),
    /// The model's refusal, where the dialect tells it from text.
    Refusal(String),
    /// The model's thoughts.
    Reasoning(Reasoning),
    /// An image, a clip, a document.
    Media(Media),
    /// The model wants a tool run.
    ToolCall(ToolCall),
    /// What it came to.
    ToolResult(ToolResult),
    /// Something only one dialect knows (a provider-run tool's call or result, a container …), as it was sent.
    Native(Dialect, Value),
}

/// Text with its sources.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Text {
    /// The text.
    pub text: String,
    /// Where it comes from.
    pub citations: Vec<Citation>,
}

/// Where a passage comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Citation {
    /// The source's address, if it is on the web.
    pub url: Option<String>,
    /// The source's title.
    pub title: Option<String>,
    /// The words of the source.
    pub quoted: Option<String>,
    /// The passage of the answer, in characters of its text part.
    pub start: Option<u64>,
    /// Its end.
    pub end: Option<u64>,
    /// As the provider sent it, for clients of the same dialect.
    pub native: Option<(Dialect, Value)>,
}

/// The model's thoughts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reasoning {
    /// In words; empty if the provider keeps them to itself and only the part's signature stands for them.
    pub text: String,
    /// The provider's id of them (OpenAI's `rs_…`).
    pub id: Option<String>,
    /// The words are a summary, not the thoughts themselves.
    pub summary: bool,
    /// Anthropic's `redacted_thinking`: nothing but the signature.
    pub redacted: bool,
}

/// What a media part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// Sound.
    Audio,
    /// Moving pictures.
    Video,
    /// A PDF, or a text given as a document.
    Document,
}

/// An image, a clip, a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    /// Which.
    pub kind: MediaKind,
    /// Where it is.
    pub source: Source,
    /// Its media type, if known: `image/png`.
    pub mime: Option<String>,
    /// File name or title.
    pub name: Option<String>,
    /// OpenAI's `detail` of an image.
    pub detail: Option<String>,
    /// Anthropic's: whether the answer is to cite it.
    pub citations: bool,
    /// Anthropic's: about the document, not cited.
    pub context: Option<String>,
}

impl Part {
    /// How many pictures it is or, as a tool's result, has.
    #[must_use]
    pub fn images(&self) -> u64 {
        match &self.body {
            Body::Media(media) => u64::from(media.kind == MediaKind::Image),
            Body::ToolResult(result) => result.parts.iter().map(Self::images).fold(0, u64::saturating_add),
            _ => 0,
        }
    }
}

impl Media {
    /// Without the rarer members.
    #[must_use]
    pub const fn new(kind: MediaKind, source: Source, mime: Option<String>) -> Self {
        Self { kind, source, mime, name: None, detail: None, citations: false, context: None }
    }

    /// From a URL, `data:` URLs unpacked.
    #[must_use]
    pub fn of_url(kind: MediaKind, url: &str) -> Self {
        let unpacked = url.strip_prefix("data:").and_then(|rest| {
            let (head, data) = rest.split_once(',')?;
            let mime = head.strip_suffix(";base64")?;
            Some((mime.to_owned(), data.to_owned()))
        });
        match unpacked {
            Some((mime, data)) => {
                Self::new(kind, Source::Base64(data), Some(mime).filter(|mime| !mime.is_empty()))
            }
            None => Self::new(kind, Source::Url(url.to_owned()), None),
        }
    }

    /// As a URL; `None` for files that only the provider has.
    #[must_use]
    pub fn to_url(&self) -> Option<String> {
        match &self.source {
            Source::Url(url) => Some(url.clone()),
            Source::Base64(data) => Some(format!(
                "data:{};base64,{data}",
                self.mime.as_deref().unwrap_or("application/octet-stream")
            )),
            Source::File(..) | Source::Text(_) => None,
        }
    }
}

/// Where media is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Here.
    Base64(String),
    /// On the web.
    Url(String),
    /// At the provider that speaks this dialect, by its id or address.
    File(Dialect, String),
    /// Here, as plain text.
    Text(String),
}

/// The model wants a tool run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// Names this call; the result names it again. Empty where the provider gives none (Gemini): whoever writes a dialect
    /// that needs one makes it up.
    pub id: String,
    /// The function.
    pub name: String,
    /// JSON text, as the model wrote it (perhaps not valid).
    pub arguments: String,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolResult {
    /// The call's id.
    pub id: String,
    /// The function, where the dialect says it. Dialects that need it find it by the id in earlier turns.
    pub name: Option<String>,
    /// What came out: text, images, documents; or [`Body::Native`] JSON.
    pub parts: Vec<Part>,
    /// Whether it failed.
    pub is_error: bool,
}

/// The end of a prefix that the provider is to cache, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheMark {
    /// Five minutes, the default.
    FiveMinutes,
    /// An hour.
    Hour,
}

/// A provider's proof of the model's thoughts, to be given back unchanged in the next turn, and of use to its maker only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The dialect of the maker.
    pub maker: Dialect,
    /// As the maker wrote it.
    pub text: String,
}

/// How a signature begins that crosses a dialect that is not its maker's.
const WRAPPED: &str = "eh1.";

impl Signature {
    /// As a client of dialect `reader` gets it: its own maker's as it is, others wrapped (in base64, since some clients
    /// check for that) with their maker's name, so that it comes back whole.
    #[must_use]
    pub fn show_to(&self, reader: Dialect) -> String {
        if self.maker == reader {
            return self.text.clone();
        }
        BASE64.encode(format!("{WRAPPED}{}.{}", self.maker.name(), self.text))
    }

    /// As it comes back in a request of dialect `reader`.
    #[must_use]
    pub fn came_from(reader: Dialect, text: &str) -> Self {
        let unwrapped = || {
            // Cheap to tell: base64 of the beginning.
            if !text.starts_with("ZWgxL") {
                return None;
            }
            let bytes = BASE64.decode(text).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            let (maker, signature) = text.strip_prefix(WRAPPED)?.split_once('.')?;
            Some(Self { maker: Dialect::by_name(maker)?, text: signature.to_owned() })
        };
        unwrapped().unwrap_or_else(|| Self { maker: reader, text: text.to_owned() })
    }

    /// For a provider of this dialect, if it is the maker.
    #[must_use]
    pub fn for_maker(&self, dialect: Dialect) -> Option<&str> {
        (self.maker == dialect).then_some(self.text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_comes_back_whole_through_any_dialect() {
        for reader in Dialect::ALL {
            for maker in Dialect::ALL {
                let signature = Signature { maker, text: "EqQB/+=.x".to_owned() };
                assert_eq!(Signature::came_from(reader, &signature.show_to(reader)), signature);
            }
        }
        assert_eq!(Signature::came_from(Dialect::Anthropic, "ZWgxL").text, "ZWgxL");
    }

    #[test]
    fn data_urls_are_unpacked_and_packed() {
        let media = Media::of_url(MediaKind::Image, "data:image/png;base64,AAAA");
        assert_eq!(media.mime.as_deref(), Some("image/png"));
        assert_eq!(media.to_url().as_deref(), Some("data:image/png;base64,AAAA"));
        assert_eq!(
            Media::of_url(MediaKind::Image, "https://x.y/z.png").source,
            Source::Url("https://x.y/z.png".into())
        );
    }
}
