//! What a provider can be asked, in which format, and where below its base URL.

use crate::dialect::Dialect;
use std::collections::BTreeMap;

/// What is asked of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A conversation to be continued.
    Chat,
    /// Texts to be made vectors.
    Embed,
    /// Texts to be ranked.
    Rerank,
    /// A conversation whose tokens are to be counted.
    CountTokens,
}

/// The wire format of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Of a conversation.
    Chat(Dialect),
    /// Of a conversation at Workers AI: asked in OpenAI's form, answered in that or its own.
    WorkersAi,
    /// Of embeddings.
    Embed(EmbedFormat),
    /// Of a ranking.
    Rerank(RerankFormat),
    /// Of a conversation whose tokens are to be counted.
    CountTokens(Dialect),
}

/// A wire format of embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbedFormat {
    /// `input`, answered by `data[].embedding`.
    OpenAi,
    /// `requests[].content`, answered by `embeddings[].values` (`batchEmbedContents`).
    Gemini,
    /// `texts` and `input_type`, answered by `embeddings.float`.
    Cohere,
    /// `text`, answered by `data`, a list of vectors.
    WorkersAi,
}

impl Format {
    /// Whether no client speaks it, so that requests and answers are written anew for everyone.
    #[must_use]
    pub const fn is_providers_own(self) -> bool {
        matches!(self, Self::WorkersAi | Self::Embed(EmbedFormat::WorkersAi))
    }
}

/// A wire format of rankings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RerankFormat {
    /// Documents are texts; usage is in search units.
    Cohere,
    /// Documents are texts or objects; usage is in tokens.
    Jina,
}

/// One thing a provider can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What is asked, and how.
    pub dialect: Format,
    /// Below the base URL. `{model}` stands for the provider's name of the model, `{action}` for what Google calls a request
    /// for vectors, which depends on model and request; other names in braces stand for settings.
    pub path: &'static str,
    /// The path of a stream, if it is another.
    pub path_stream: Option<&'static str>,
}

impl Endpoint {
    /// OpenAI's chat completions.
    pub const CHAT: Self = Self::of(Format::Chat(Dialect::OpenAiChat), "/chat/completions");
    /// OpenAI's Responses.
    pub const RESPONSES: Self = Self::of(Format::Chat(Dialect::OpenAiResponses), "/responses");
    /// OpenAI's embeddings.
    pub const EMBEDDINGS: Self = Self::of(Format::Embed(EmbedFormat::OpenAi), "/embeddings");

    /// An endpoint whose streams have the same path.
    #[must_use]
    pub const fn of(dialect: Format, path: &'static str) -> Self {
        Self { dialect, path, path_stream: None }
    }

    /// An endpoint whose streams have a path of their own.
    #[must_use]
    pub const fn streamed(dialect: Format, path: &'static str, path_stream: &'static str) -> Self {
        Self { dialect, path, path_stream: Some(path_stream) }
    }

    /// What is asked.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        match self.dialect {
            Format::Chat(_) | Format::WorkersAi => Operation::Chat,
            Format::Embed(_) => Operation::Embed,
            Format::Rerank(_) => Operation::Rerank,
            Format::CountTokens(_) => Operation::CountTokens,
        }
    }

    /// The dialect in which a conversation is asked, of chat and token counting.
    #[must_use]
    pub const fn chat(&self) -> Option<Dialect> {
        match self.dialect {
            Format::Chat(dialect) | Format::CountTokens(dialect) => Some(dialect),
            Format::WorkersAi => Some(Dialect::OpenAiChat),
            Format::Embed(_) | Format::Rerank(_) => None,
        }
    }

    /// Whether the path names the model.
    #[must_use]
    pub fn names_model(&self) -> bool {
        placeholders(self.path).any(|name| name == "model")
    }

    /// The path of a call, with its query if it has one.
    #[must_use]
    pub fn path_of(&self, model: &str, stream: bool, settings: &BTreeMap<String, String>) -> String {
        let template = self.path_stream.filter(|_| stream).unwrap_or(self.path);
        fill(template, |name| match name {
            "model" => Some(escaped(model)),
            name => settings.get(name).cloned(),
        })
    }
}

/// Puts values in the place of names in braces; a name without a value stays.
pub(crate) fn fill(template: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            out.push('{');
            rest = after;
            continue;
        };
        match value(name) {
            Some(value) => out.push_str(&value),
            None => {
                out.push('{');
                out.push_str(name);
                out.push('}');
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The names in braces.
pub(crate) fn placeholders(template: &'static str) -> impl Iterator<Item = &'static str> {
    template.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

/// A model's name as one segment of a path: it is the caller's text, and may hold `/`, `:` (Bedrock), `?` or `..`.
fn escaped(model: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let hex = |digit: u8| HEX.get(usize::from(digit)).copied().map_or('0', char::from);
    // A segment of dots alone is a step up to a URL parser, encoded or not.
    let dots = model.bytes().all(|byte| byte == b'.');
    let mut out = String::with_capacity(model.len());
    for byte in model.bytes() {
        let plain =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') || (byte == b'.' && !dots);
        if plain {
            out.push(char::from(byte));
        } else if dots {
            out.push('_');
        } else {
            out.push('%');
            out.push(hex(byte >> 4));
            out.push(hex(byte & 15));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_holds_the_model_as_one_segment_and_the_settings() {
        let endpoint = Endpoint::streamed(
            Format::Chat(Dialect::Bedrock),
            "/model/{model}/converse",
            "/model/{model}/converse-stream?v={api_version}",
        );
        let settings = BTreeMap::from([("api_version".to_owned(), "2024-10-21".to_owned())]);
        let model = "arn:aws:bedrock:us-east-1::inference-profile/us.x-v1:0";
        assert_eq!(
            endpoint.path_of(model, true, &settings),
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Ainference-profile%2Fus.x-v1%3A0/converse-stream?v=2024-10-21"
        );
        assert_eq!(endpoint.path_of("a", false, &settings), "/model/a/converse");
        assert_eq!(endpoint.path_of("..", false, &settings), "/model/__/converse");
        assert_eq!(Endpoint::CHAT.path_of("a/b", true, &settings), "/chat/completions");
    }

    proptest! {
        #[test]
        fn no_model_leaves_its_segment(model in ".{1,40}") {
            let path = Endpoint::of(Format::CountTokens(Dialect::Gemini), "/a/{model}/b")
                .path_of(&model, false, &BTreeMap::new());
            let segments: Vec<&str> = path.split('/').collect();
            prop_assert_eq!(segments.len(), 4, "{}", path);
            prop_assert!(segments[2] != "." && segments[2] != ".." && !segments[2].contains(['?', '#', '\\']));
        }

        #[test]
        fn no_template_panics(template in "[a{}]{0,20}") {
            let _ = fill(&template, |_| Some("x".to_owned()));
        }
    }
}
