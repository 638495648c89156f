//! Providers as data. Adding one that speaks OpenAI's chat format costs a file beside these and a line in the list below.
//!
//! docs/providers.md is made from what is said here.

pub mod ability;
pub mod endpoint;
#[cfg(test)]
mod tests;

use crate::dialect::Dialect;
use ability::Ability;
use endpoint::{Endpoint, Format, Operation, RerankFormat};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The member of a chat request in which a provider enforces the cap on output. A cap in a member that the provider does
/// not know would be held here and enforced nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputCapField {
    /// The older name, known to nearly all servers.
    MaxTokens,
    /// OpenAI's newer name; its reasoning models refuse the other.
    MaxCompletionTokens,
    /// The provider enforces both: what the caller sent goes as it is.
    AsSent,
}

impl OutputCapField {
    pub(crate) const MAX_TOKENS: &str = "max_tokens";
    pub(crate) const MAX_COMPLETION_TOKENS: &str = "max_completion_tokens";
    /// As the configuration spells them.
    pub const ALL: [(&str, Self); 3] = [
        (Self::MAX_TOKENS, Self::MaxTokens),
        (Self::MAX_COMPLETION_TOKENS, Self::MaxCompletionTokens),
        ("as_sent", Self::AsSent),
    ];

    /// The member's name; `None` if either will do.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::MaxTokens => Some(Self::MAX_TOKENS),
            Self::MaxCompletionTokens => Some(Self::MAX_COMPLETION_TOKENS),
            Self::AsSent => None,
        }
    }
}

/// A kind of provider: what is known of it without configuration.
#[derive(Debug)]
pub struct Provider {
    /// The name in configuration, ledger and headers.
    pub name: &'static str,
    /// Up to and including the version segment, without a trailing slash; `None` must be configured. Names in braces are
    /// those of [`Provider::settings`].
    pub base_url: Option<&'static str>,
    /// Base URLs for certain values of a setting.
    pub elsewhere: &'static [Elsewhere],
    /// What the configuration says besides.
    pub settings: &'static [Setting],
    /// The Worker secret that holds its credential unless configured otherwise.
    pub secret: Option<&'static str>,
    /// How the credential is shown.
    pub auth: Auth,
    /// Sent with every request.
    pub headers: &'static [(&'static str, &'static str)],
    /// Anthropic's version where the body says it, not a header; a path that names the model then does so alone.
    pub anthropic_version: Option<&'static str>,
    /// Beginnings of model names that lead here when nothing else claims them.
    pub model_prefixes: &'static [&'static str],
    /// Short names → the model they mean today.
    pub aliases: &'static [(&'static str, &'static str)],
    /// What it can be asked. Of several that speak conversations, the first is preferred where the client's own dialect is
    /// not among them.
    pub endpoints: &'static [Endpoint],
    /// Whether `stream_options.include_usage` is understood. (Where it is not, streams have their usage unasked.)
    pub stream_usage: bool,
    /// The member that caps output, unless configured otherwise.
    pub output_cap_field: OutputCapField,
    /// Sent as `service_tier` where the caller names none, because a project's own default may be a dearer tier
    /// than the one that was held.
    pub default_tier: Option<&'static str>,
    /// The kind whose price table holds for it, if not its own.
    pub priced_as: Option<&'static str>,
    /// Below the base URL: a path whose GET costs nothing and needs the credential.
    pub health: Option<&'static str>,
    /// What it can do, with at least one model.
    pub can: &'static [Ability],
    /// What it refuses or ignores. Of what is in neither list nothing is known.
    pub cannot: &'static [Ability],
    /// Where the above is from.
    pub source: &'static str,
}

/// How a credential is shown to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// In a request header.
    Header {
        /// In lower case.
        name: &'static str,
        /// What stands before the credential.
        prefix: &'static str,
    },
    /// The request is signed (AWS Signature Version 4), for the region of the setting `region`.
    AwsSigV4 {
        /// The signing name.
        service: &'static str,
    },
    /// A bearer token that is had for an assertion signed with a service account's key.
    GoogleServiceAccount {
        /// What the token is for.
        scope: &'static str,
    },
    /// None: it is asked through a binding of the Worker's, not over the network.
    Binding {
        /// The binding's name in wrangler.toml.
        name: &'static str,
    },
}

impl Auth {
    /// As OpenAI.
    pub const BEARER: Self = Self::Header { name: "authorization", prefix: "Bearer " };
}

/// Something of a provider that the configuration says: a part of its base URL, its paths or its signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The field, and the name in braces.
    pub name: &'static str,
    /// For messages: what it is, with an example.
    pub expected: &'static str,
    /// Used where the configuration does not say; `None` must be said.
    pub default: Option<&'static str>,
    /// The only values there are, if not any.
    pub one_of: &'static [&'static str],
}

/// A base URL for one value of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The setting.
    pub setting: &'static str,
    /// Its value.
    pub is: &'static str,
    /// In place of [`Provider::base_url`].
    pub base_url: &'static str,
}

impl Provider {
    /// What it is asked conversations with: in the client's own dialect if it can, else in the preferred one.
    #[must_use]
    pub fn chat(&self, client: Dialect) -> Option<&'static Endpoint> {
        let mut chats = self.endpoints.iter().filter(|endpoint| endpoint.operation() == Operation::Chat);
        let preferred = chats.clone().next();
        chats.find(|endpoint| endpoint.chat() == Some(client)).or(preferred)
    }

    /// The first endpoint of an operation.
    #[must_use]
    pub fn endpoint(&self, operation: Operation) -> Option<&'static Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.operation() == operation)
    }

    /// What it is asked an operation other than a conversation with: in the client's own format if it can.
    #[must_use]
    pub fn endpoint_for(&self, operation: Operation, client: Dialect) -> Option<&'static Endpoint> {
        let mut all = self.endpoints.iter().filter(|endpoint| endpoint.operation() == operation);
        let first = all.clone().next();
        all.find(|endpoint| crate::dialect::task::dialect_of(endpoint.dialect) == client).or(first)
    }

    /// The path of OpenAI's chat, else of the preferred endpoint.
    #[must_use]
    pub fn chat_path(&self) -> &'static str {
        self.chat(Dialect::OpenAiChat).map_or("/chat/completions", |endpoint| endpoint.path)
    }

    /// The header that carries the credential and what stands before it; of signed requests, where their token goes.
    #[must_use]
    pub const fn auth_header(&self) -> (&'static str, &'static str) {
        match self.auth {
            Auth::Header { name, prefix } => (name, prefix),
            Auth::AwsSigV4 { .. } | Auth::GoogleServiceAccount { .. } | Auth::Binding { .. } => {
                ("authorization", "Bearer ")
            }
        }
    }

    /// The binding through which it is asked, if it is not asked over the network.
    #[must_use]
    pub const fn binding(&self) -> Option<&'static str> {
        match self.auth {
            Auth::Binding { name } => Some(name),
            _ => None,
        }
    }

    /// Whether it can do this; `None` if that is not known.
    #[must_use]
    pub fn able(&self, ability: Ability) -> Option<bool> {
        if self.can.contains(&ability) { Some(true) } else { self.cannot.contains(&ability).then_some(false) }
    }

    /// The base URL with these settings, as far as they are given.
    #[must_use]
    pub fn home(&self, settings: &BTreeMap<String, String>) -> Option<String> {
        let elsewhere = self
            .elsewhere
            .iter()
            .find(|other| settings.get(other.setting).is_some_and(|value| value == other.is));
        let template = elsewhere.map(|other| other.base_url).or(self.base_url)?;
        Some(endpoint::fill(template, |name| settings.get(name).cloned()))
    }

    /// Whether a setting is used when the base URL is the operator's own: by a path, or by the signature.
    #[must_use]
    pub fn needs_anyway(&self, setting: &str) -> bool {
        matches!(self.auth, Auth::AwsSigV4 { .. }) && setting == "region"
            || self
                .endpoints
                .iter()
                .flat_map(|endpoint| std::iter::once(endpoint.path).chain(endpoint.path_stream))
                .any(|path| endpoint::placeholders(path).any(|name| name == setting))
    }

    /// The settings of a provider nobody has configured; `None` if one of them must be said.
    #[must_use]
    pub fn default_settings(&self) -> Option<BTreeMap<String, String>> {
        self.settings
            .iter()
            .map(|setting| Some((setting.name.to_owned(), setting.default?.to_owned())))
            .collect()
    }
}

/// What most providers copy from OpenAI.
pub const OPENAI_COMPATIBLE: Provider = Provider {
    name: "openai-compatible",
    base_url: None,
    elsewhere: &[],
    settings: &[],
    secret: None,
    auth: Auth::BEARER,
    headers: &[],
    anthropic_version: None,
    model_prefixes: &[],
    aliases: &[],
    endpoints: &[
        Endpoint::CHAT,
        Endpoint::EMBEDDINGS,
        Endpoint::of(Format::Rerank(RerankFormat::Jina), "/rerank"),
    ],
    stream_usage: true,
    output_cap_field: OutputCapField::MaxTokens,
    default_tier: None,
    priced_as: None,
    health: Some("/models"),
    can: &[],
    cannot: &[],
    source: "",
};

/// Every kind of provider, each in its own file.
macro_rules! providers {
    ($($file:ident :: $provider:ident),* $(,)?) => {
        $(pub mod $file;)*
        /// Every kind of provider.
        pub static PROVIDERS: &[&Provider] = &[$(&$file::$provider),*];
    };
}

// Makers, then those who host others' models, then servers of one's own.
providers![
    openai::OPENAI,
    anthropic::ANTHROPIC,
    gemini::GEMINI,
    mistral::MISTRAL,
    cohere::COHERE,
    deepseek::DEEPSEEK,
    xai::XAI,
    alibaba::ALIBABA,
    moonshot::MOONSHOT,
    zhipu::ZHIPU,
    azure::AZURE,
    azure_deployments::AZURE_DEPLOYMENTS,
    vertex::VERTEX,
    vertex_anthropic::VERTEX_ANTHROPIC,
    vertex_openai::VERTEX_OPENAI,
    bedrock::BEDROCK,
    groq::GROQ,
    together::TOGETHER,
    fireworks::FIREWORKS,
    cerebras::CEREBRAS,
    nvidia::NVIDIA,
    huggingface::HUGGINGFACE,
    cloudflare::CLOUDFLARE,
    workers_ai::WORKERS_AI,
    openrouter::OPENROUTER,
    perplexity::PERPLEXITY,
    ollama::OLLAMA,
    vllm::VLLM,
    llamacpp::LLAMACPP,
    openai_compatible::OPENAI_COMPATIBLE,
    mock::MOCK,
];

/// The kind of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Provider> {
    PROVIDERS.iter().copied().find(|provider| provider.name == name)
}
