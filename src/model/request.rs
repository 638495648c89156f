//! A request in no dialect: what every dialect's request is read into, and written from.
//!
//! Only requests that are translated take this form; see docs/decisions/0010 for what it cannot say. Values that nobody on
//! the way needs to understand (schemas, arguments, sampling numbers) stay JSON as the caller wrote them.

use super::part::Part;
use crate::dialect::Dialect;
use serde_json::{Map, Value};

/// A conversation to be continued.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The dialect it was read from.
    pub dialect: Dialect,
    /// The model the caller asked for.
    pub model: String,
    /// Whether a stream is wanted.
    pub stream: bool,
    /// What was said so far, in order. Instructions are turns of their own.
    pub turns: Vec<Turn>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether it must.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may call several at once.
    pub parallel_tool_calls: Option<bool>,
    /// The form of the answer's text.
    pub format: Option<Format>,
    /// The most output tokens.
    pub output_cap: Option<u64>,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// How much the model is to think first.
    pub thinking: Option<Thinking>,
    /// The end user, as the caller names them.
    pub user: Option<String>,
    /// `service_tier` as sent.
    pub service_tier: Option<String>,
    /// The caller's marks, texts only: for routing and the ledger.
    pub metadata: Map<String, Value>,
    /// Members of the caller's dialect that have no place above, by name. Written back to the same dialect, dropped (and
    /// reported) on the way to another.
    pub extras: Map<String, Value>,
}

impl Request {
    /// An empty one.
    #[must_use]
    pub fn new(dialect: Dialect, model: String) -> Self {
        Self {
            dialect,
            model,
            stream: false,
            turns: Vec::new(),
            tools: Vec::new(),
            tool_choice: None,
            parallel_tool_calls: None,
            format: None,
            output_cap: None,
            sampling: Sampling::default(),
            thinking: None,
            user: None,
            service_tier: None,
            metadata: Map::new(),
            extras: Map::new(),
        }
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions of the application.
    System,
    /// OpenAI's name for the same on reasoning models.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// Results of tools; its parts are all [`super::part::Body::ToolResult`].
    Tool,
}

/// What one of them said.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Who.
    pub role: Role,
    /// The speaker's name, where the dialect has one.
    pub name: Option<String>,
    /// What.
    pub parts: Vec<Part>,
}

impl Turn {
    /// Without a name.
    #[must_use]
    pub const fn new(role: Role, parts: Vec<Part>) -> Self {
        Self { role, name: None, parts }
    }
}

/// What the model may call.
#[derive(Clone, Debug, PartialEq)]
pub enum Tool {
    /// A function the application runs.
    Function(Function),
    /// A tool of one dialect only (web search, code execution, a bare-text tool …), as it was sent.
    Native(Dialect, Value),
}

/// A function the application runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON Schema of its arguments, in the standard's own spelling (lower-case types).
    pub parameters: Option<Value>,
    /// Whether the arguments must follow the schema to the letter.
    pub strict: Option<bool>,
    /// The end of a prefix that is to be cached.
    pub cache: Option<super::part::CacheMark>,
}

/// Whether the model must call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// Never.
    None,
    /// Some tool.
    Required,
    /// This one.
    Function(String),
    /// One of these; `required` or as it likes.
    Allowed {
        /// Names.
        names: Vec<String>,
        /// Whether one must be called.
        required: bool,
    },
}

/// The form of the answer's text.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// Any JSON object.
    Json,
    /// JSON of this schema.
    Schema {
        /// The schema's name; dialects that need one and were given none say `response`.
        name: Option<String>,
        /// What it is for.
        description: Option<String>,
        /// JSON Schema in the standard's own spelling.
        schema: Value,
        /// Whether it must be followed to the letter.
        strict: Option<bool>,
    },
}

/// How the next token is chosen. Numbers as the caller wrote them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// 0 is the likeliest.
    pub temperature: Option<Value>,
    /// Nucleus.
    pub top_p: Option<Value>,
    /// The likeliest so many.
    pub top_k: Option<Value>,
    /// Against what was said already.
    pub presence_penalty: Option<Value>,
    /// The more often, the more.
    pub frequency_penalty: Option<Value>,
    /// For the same answer again.
    pub seed: Option<Value>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// How many answers, if not one.
    pub choices: Option<u64>,
    /// Whether each token's log probability is wanted.
    pub logprobs: bool,
    /// And those of so many others in its place.
    pub top_logprobs: Option<u64>,
    /// Token → bias.
    pub logit_bias: Option<Value>,
}

/// How much the model is to think first, and what of it is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thinking {
    /// `Some(false)` turns it off, `Some(true)` on; `None` leaves that to the other members.
    pub enabled: Option<bool>,
    /// `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`, as the dialects spell them.
    pub effort: Option<String>,
    /// In tokens.
    pub budget_tokens: Option<u64>,
    /// The model decides how much (Anthropic's `adaptive`, Gemini's −1).
    pub adaptive: bool,
    /// Whether the thoughts are to be shown (Gemini's `includeThoughts`, OpenAI's `summary`).
    pub shown: Option<bool>,
    /// OpenAI's word for how they are shown: `auto`, `concise`, `detailed`.
    pub summary: Option<String>,
}

impl Thinking {
    /// Tokens that peers give to a level of effort, for models that take only a budget.
    ///
    /// LiteLLM gives 1,024 / 2,048 / 4,096 to low / medium / high; a budget below 1,024 is refused by Anthropic
    /// (<https://docs.claude.com/en/docs/build-with-claude/extended-thinking>, read 2026-11-21).
    #[must_use]
    pub fn budget_of_effort(effort: &str) -> Option<u64> {
        Some(match effort {
            "minimal" | "low" => 1_024,
            "medium" => 4_096,
            "high" => 16_384,
            "xhigh" | "max" => 32_768,
            _ => return None,
        })
    }

    /// The level that comes closest to a budget.
    #[must_use]
    pub const fn effort_of_budget(tokens: u64) -> &'static str {
        match tokens {
            0 => "none",
            1..=2_047 => "low",
            2_048..=8_191 => "medium",
            _ => "high",
        }
    }
}
