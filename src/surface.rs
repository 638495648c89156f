//! Which API a client speaks: told by the path alone.

use crate::{
    dialect::{
        self, Dialect, Show, Writer, anthropic, asked,
        gemini::{self, embed::Form},
        json,
        openai_chat::request::ChatRequest,
        openai_completions, openai_embeddings, openai_responses, rerank,
        task::{self, Task, Whole},
    },
    refusal::Refusal,
};

/// What a request asks for, and in whose words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Surface {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`, the older form.
    Completions,
    /// `/v1/responses`.
    Responses,
    /// `/v1/messages`.
    Messages,
    /// `/v1/models/{model}:generateContent` and `:streamGenerateContent`, also below `/v1beta`, also without `models/`.
    Generate {
        /// The model in the path.
        model: String,
        /// Which of the two.
        stream: bool,
        /// A stream as one JSON array, as it is without `alt=sse`.
        array: bool,
    },
    /// `/v1/messages/count_tokens`.
    CountMessages,
    /// `/v1/models/{model}:countTokens`, also below `/v1beta`: the model.
    CountContent(String),
    /// `/v1/embeddings`.
    Embeddings,
    /// `/v1/models/{model}:embedContent` and `:batchEmbedContents`, also below `/v1beta`: the model, and which.
    EmbedContent(String, Form),
    /// `/v1/rerank` and `/v2/rerank`.
    Rerank,
}

impl Surface {
    /// The surface of a `POST` to this path, without a slash at its end.
    #[must_use]
    pub fn of(path: &str, query: &str) -> Option<Self> {
        Some(match path {
            "/v1/chat/completions" => Self::Chat,
            "/v1/completions" => Self::Completions,
            "/v1/responses" => Self::Responses,
            "/v1/messages" => Self::Messages,
            "/v1/messages/count_tokens" => Self::CountMessages,
            "/v1/embeddings" => Self::Embeddings,
            "/v1/rerank" | "/v2/rerank" => Self::Rerank,
            _ => {
                let rest = path.strip_prefix("/v1beta/").or_else(|| path.strip_prefix("/v1/"))?;
                // Vercel's client takes a model with a slash for the whole of the path.
                let (model, method) = rest.strip_prefix("models/").unwrap_or(rest).rsplit_once(':')?;
                let stream = match method {
                    "generateContent" => false,
                    "streamGenerateContent" => true,
                    "countTokens" => return Some(Self::CountContent(decoded(model))),
                    "embedContent" => return Some(Self::EmbedContent(decoded(model), Form::Single)),
                    "batchEmbedContents" => return Some(Self::EmbedContent(decoded(model), Form::Batch)),
                    _ => return None,
                };
                let sse = query.split('&').any(|pair| pair == "alt=sse");
                Self::Generate { model: decoded(model), stream, array: stream && !sse }
            }
        })
    }

    /// Whose words.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        match self {
            Self::Chat | Self::Completions | Self::Embeddings | Self::Rerank => Dialect::OpenAiChat,
            Self::Responses => Dialect::OpenAiResponses,
            Self::Messages | Self::CountMessages => Dialect::Anthropic,
            Self::Generate { .. } | Self::CountContent(_) | Self::EmbedContent(..) => Dialect::Gemini,
        }
    }

    /// The model and whether a stream is wanted, where the path says so.
    #[must_use]
    pub fn path(&self) -> Option<(&str, bool)> {
        match self {
            Self::Generate { model, stream, .. } => Some((model, *stream)),
            Self::CountContent(model) | Self::EmbedContent(model, _) => Some((model, false)),
            _ => None,
        }
    }

    /// Whether a provider's bytes in the same dialect can go to the client as they are.
    #[must_use]
    pub const fn passes(&self) -> bool {
        !matches!(self, Self::Completions | Self::Generate { array: true, .. } | Self::EmbedContent(..))
    }

    /// What a translated answer is written for.
    #[must_use]
    pub fn show(&self, id: &str, chat: &ChatRequest, created: i64) -> Show {
        let canonical = chat.canonical.as_deref().filter(|_| *self == Self::Responses);
        Show {
            id: id.to_owned(),
            model: chat.model.clone(),
            created,
            usage: chat.include_usage,
            array: matches!(self, Self::Generate { array: true, .. }),
            echo: canonical.map(openai_responses::response::echo),
        }
    }

    /// Reads the body as the path needs it.
    ///
    /// # Errors
    /// 400 in the caller's terms.
    pub fn decode(&self, body: &[u8]) -> Result<ChatRequest, Refusal> {
        match self {
            Self::Chat => ChatRequest::decode(body),
            Self::Completions => {
                let mut chat = asked::chat_request(openai_completions::request::read(body)?, body)?;
                chat.include_usage = openai_completions::request::usage_is_wanted(body);
                Ok(chat)
            }
            Self::Embeddings => {
                json::refuse_doubles(body, false)?;
                task::embedding(self.dialect(), openai_embeddings::read_request(body)?)
            }
            Self::EmbedContent(..) => {
                json::refuse_doubles(body, true)?;
                task::embedding(self.dialect(), gemini::embed::read(body, self.path())?.0)
            }
            Self::Rerank => {
                json::refuse_doubles(body, false)?;
                task::ranking(rerank::read_request(body)?)
            }
            Self::CountMessages | Self::CountContent(_) => {
                let request = match self {
                    Self::CountContent(_) => gemini::request::read_count(body, self.path())?,
                    _ => dialect::read_request(self.dialect(), body, self.path())?,
                };
                let mut chat = asked::chat_request(request, body)?;
                chat.task = Task::Count;
                chat.unmetered = None;
                Ok(chat)
            }
            _ => asked::chat_request(dialect::read_request(self.dialect(), body, self.path())?, body),
        }
    }

    /// A whole answer in this client's words.
    #[must_use]
    pub fn written(&self, task: &Task, whole: &Whole, show: &Show) -> String {
        let bytes = match (self, whole) {
            (Self::Completions, Whole::Answer(answer)) => openai_completions::response::write(answer, show),
            (_, Whole::Answer(answer)) => dialect::write_answer(self.dialect(), answer, show),
            (Self::EmbedContent(_, form), Whole::Embed(answer)) => gemini::embed::write_answer(answer, *form),
            (Self::CountContent(_), Whole::Count(tokens)) => gemini::response::write_count(*tokens),
            (_, Whole::Count(tokens)) => anthropic::response::write_count(*tokens),
            _ => task::shown(task, whole, show).unwrap_or_default(),
        };
        String::from_utf8(bytes).unwrap_or_default()
    }

    /// A stream in this client's words.
    #[must_use]
    pub fn writer(&self, show: Show) -> Box<dyn Writer> {
        match self {
            Self::Completions => Box::new(openai_completions::stream::Writer::new(show)),
            _ => dialect::writer(self.dialect(), show),
        }
    }

    /// The media type of a stream.
    #[must_use]
    pub const fn stream_type(&self) -> &'static str {
        match self {
            Self::Generate { array: true, .. } => "application/json",
            _ => "text/event-stream; charset=utf-8",
        }
    }
}

/// Percent escapes undone; one that is none stays as it is.
pub(crate) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
        let escaped = (*first == b'%').then(|| digit(tail.first()).zip(digit(tail.get(1)))).flatten();
        match escaped.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geminis_paths_carry_model_and_method() {
        let surface = Surface::of("/v1beta/models/gemini-2.5-flash:streamGenerateContent", "alt=sse&x=1");
        let expected = Surface::Generate { model: "gemini-2.5-flash".into(), stream: true, array: false };
        assert_eq!(surface, Some(expected));
        let surface = Surface::of("/v1/models/openai%2Fgpt-4o:generateContent", "");
        let expected = Surface::Generate { model: "openai/gpt-4o".into(), stream: false, array: false };
        assert_eq!(surface, Some(expected));
        let surface = Surface::of("/v1beta/openai/gpt-4o:generateContent", "");
        let expected = Surface::Generate { model: "openai/gpt-4o".into(), stream: false, array: false };
        assert_eq!(surface, Some(expected));
        assert_eq!(Surface::of("/v1/models/x:predict", ""), None);
        assert_eq!(Surface::of("/v1/models/x", ""), None);
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("%zz%4"), "%zz%4");
    }
}
