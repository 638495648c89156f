//! What is asked for besides conversations: vectors, rankings, a count of tokens. On the path they are requests like any
//! other: bound, held, metered, settled.

use super::{
    Corrupt, Dialect, Order, Reader, Show, Written, cohere, gemini, openai_chat::request::ChatRequest,
    openai_embeddings, rerank, workers_ai,
};
use crate::{
    admit::bound::EmbeddingInput,
    model::{
        answer::{Answer, Failure, Reported},
        embed::{EmbedAnswer, EmbedInput, EmbedRequest, RerankAnswer, RerankRequest},
        request::{Request, Role, Turn},
    },
    provider::endpoint::{EmbedFormat, Format, Operation},
    refusal::Refusal,
};

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Task {
    /// A conversation to be continued.
    #[default]
    Converse,
    /// Texts to be made vectors.
    Embed(Box<EmbedRequest>),
    /// Texts to be ranked.
    Rerank(Box<RerankRequest>),
    /// A conversation whose tokens are to be counted. Providers do it for nothing.
    Count,
}

impl Task {
    /// What a provider is asked.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        match self {
            Self::Converse => Operation::Chat,
            Self::Embed(_) => Operation::Embed,
            Self::Rerank(_) => Operation::Rerank,
            Self::Count => Operation::CountTokens,
        }
    }

    /// The inputs of an embedding as the bound sees them.
    pub fn inputs(request: &EmbedRequest) -> impl Iterator<Item = EmbeddingInput> {
        request.inputs.iter().map(|input| match input {
            EmbedInput::Text(text) => EmbeddingInput::Text(text.len() as u64),
            EmbedInput::Tokens(tokens) => EmbeddingInput::Tokens(tokens.len() as u64),
        })
    }
}

/// A request for vectors, as the path sees it.
///
/// # Errors
/// 400 if the model's name is none.
pub fn embedding(dialect: Dialect, request: EmbedRequest) -> Result<ChatRequest, Refusal> {
    let mut chat = bare(dialect, &request.model)?;
    chat.input.text = request.text_bytes().saturating_add(request.tokens().saturating_mul(4));
    chat.user.clone_from(&request.user);
    chat.task = Task::Embed(Box::new(request));
    Ok(chat)
}

/// A ranking, as the path sees it.
///
/// # Errors
/// 400 if the model's name is none.
pub fn ranking(request: RerankRequest) -> Result<ChatRequest, Refusal> {
    let mut chat = bare(Dialect::OpenAiChat, &request.model)?;
    chat.input.text = request.text_bytes();
    chat.task = Task::Rerank(Box::new(request));
    Ok(chat)
}

fn bare(dialect: Dialect, model: &str) -> Result<ChatRequest, Refusal> {
    let mut request = Request::new(dialect, model.to_owned());
    request.turns.push(Turn::new(Role::User, Vec::new()));
    let order = Order { kind: "", model, output_cap: None };
    let body = super::write_request(Dialect::OpenAiChat, &request, &order).body;
    let mut chat = ChatRequest::decode(&body)?;
    chat.dialect = dialect;
    chat.include_usage = true;
    Ok(chat)
}

/// A provider's request for vectors, a ranking, or a count of what `canonical` has; `None` if the format has none.
#[must_use]
pub fn write(task: &Task, canonical: Option<&Request>, format: Format, order: &Order<'_>) -> Option<Written> {
    Some(match (task, format) {
        (Task::Embed(request), Format::Embed(EmbedFormat::OpenAi)) => {
            openai_embeddings::write_request(request, order)
        }
        (Task::Embed(request), Format::Embed(EmbedFormat::Gemini)) => gemini::embed::write(request, order),
        (Task::Embed(request), Format::Embed(EmbedFormat::Cohere)) => {
            cohere::embed::write_request(request, order)
        }
        (Task::Embed(request), Format::Embed(EmbedFormat::WorkersAi)) => {
            workers_ai::write_embed(request, order)
        }
        (Task::Rerank(request), Format::Rerank(_)) => rerank::write_request(request, order),
        (Task::Count, Format::CountTokens(dialect)) => {
            let request = canonical?;
            match dialect {
                Dialect::Anthropic => super::anthropic::request::write_count(request, order),
                Dialect::Gemini => gemini::request::write_count(request, order),
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// A provider's whole answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Whole {
    /// Of a conversation.
    Answer(Answer),
    /// Vectors.
    Embed(EmbedAnswer),
    /// A ranking.
    Rerank(RerankAnswer),
    /// Tokens counted.
    Count(u64),
}

impl Whole {
    /// What was used, if the provider says.
    #[must_use]
    pub const fn reported(&self) -> Option<&Reported> {
        match self {
            Self::Answer(answer) => answer.reported.as_ref(),
            Self::Embed(answer) => answer.reported.as_ref(),
            Self::Rerank(answer) => answer.reported.as_ref(),
            Self::Count(_) => None,
        }
    }

    /// The provider's id of it.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        match self {
            Self::Answer(answer) => answer.id.clone(),
            Self::Embed(answer) => answer.id.clone(),
            Self::Rerank(answer) => answer.id.clone(),
            Self::Count(_) => None,
        }
    }
}

/// Reads a provider's whole answer in a format.
///
/// # Errors
/// If it is not one.
pub fn read(format: Format, body: &[u8]) -> Result<Whole, Corrupt> {
    Ok(match format {
        Format::Chat(dialect) => Whole::Answer(super::read_answer(dialect, body)?),
        Format::WorkersAi => Whole::Answer(workers_ai::read_answer(body)?),
        Format::Embed(EmbedFormat::WorkersAi) => Whole::Embed(workers_ai::read_embed(body)?),
        Format::Embed(EmbedFormat::OpenAi) => Whole::Embed(openai_embeddings::read_answer(body)?),
        Format::Embed(EmbedFormat::Gemini) => Whole::Embed(gemini::embed::read_answer(body)?),
        Format::Embed(EmbedFormat::Cohere) => Whole::Embed(cohere::embed::read_answer(body)?),
        Format::Rerank(_) => Whole::Rerank(rerank::read_answer(body)?),
        Format::CountTokens(Dialect::Anthropic) => {
            Whole::Count(super::anthropic::response::read_count(body)?)
        }
        Format::CountTokens(Dialect::Gemini) => Whole::Count(gemini::response::read_count(body)?),
        Format::CountTokens(_) => return Err(Corrupt("a count in an unknown format".to_owned())),
    })
}

/// Reads a provider's stream in a format.
#[must_use]
pub fn reader(format: Format) -> Box<dyn Reader> {
    match format {
        Format::WorkersAi => Box::new(workers_ai::Stream::default()),
        format => super::reader(dialect_of(format)),
    }
}

/// Reads a provider's error body in a format.
#[must_use]
pub fn read_failure(format: Format, status: u16, body: &[u8]) -> Failure {
    if format.is_providers_own() {
        return workers_ai::read_failure(status, body);
    }
    super::read_failure(dialect_of(format), status, body)
}

/// In whose words a format is asked.
#[must_use]
pub const fn dialect_of(format: Format) -> Dialect {
    match format {
        Format::Chat(dialect) | Format::CountTokens(dialect) => dialect,
        Format::WorkersAi | Format::Embed(EmbedFormat::OpenAi | EmbedFormat::WorkersAi) => {
            Dialect::OpenAiChat
        }
        Format::Embed(EmbedFormat::Gemini) => Dialect::Gemini,
        Format::Embed(EmbedFormat::Cohere) | Format::Rerank(_) => Dialect::Cohere,
    }
}

/// A ranking or vectors in the client's words.
#[must_use]
pub fn shown(task: &Task, whole: &Whole, show: &Show) -> Option<Vec<u8>> {
    match (task, whole) {
        (Task::Embed(request), Whole::Embed(answer)) => {
            Some(openai_embeddings::write_answer(answer, request, show))
        }
        (Task::Rerank(request), Whole::Rerank(answer)) => Some(rerank::write_answer(answer, request, show)),
        _ => None,
    }
}
