//! Providers as data. Adding one that speaks OpenAI's chat format costs a file beside these and a line in
//! [`PROVIDERS`].

pub mod anthropic;
pub mod mock;
pub mod openai;
pub mod openai_compatible;

use serde::{Deserialize, Serialize};

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
    /// Up to and including the version segment, without a trailing slash; `None` must be configured.
    pub base_url: Option<&'static str>,
    /// The Worker secret that holds its credential unless configured otherwise.
    pub secret: Option<&'static str>,
    /// Beginnings of model names that lead here when nothing else claims them.
    pub model_prefixes: &'static [&'static str],
    /// Short names → the model they mean today.
    pub aliases: &'static [(&'static str, &'static str)],
    /// Below the base URL.
    pub chat_path: &'static str,
    /// The request header that carries the credential, and what stands before it.
    pub auth: (&'static str, &'static str),
    /// Whether `stream_options.include_usage` is understood.
    pub stream_usage: bool,
    /// The member that caps output, unless configured otherwise.
    pub output_cap_field: OutputCapField,
    /// Sent as `service_tier` where the caller names none, because a project's own default may be a dearer tier
    /// than the one that was held.
    pub default_tier: Option<&'static str>,
}

/// What most providers copy from OpenAI.
pub const OPENAI_COMPATIBLE: Provider = Provider {
    name: "openai-compatible",
    base_url: None,
    secret: None,
    model_prefixes: &[],
    aliases: &[],
    chat_path: "/chat/completions",
    auth: ("authorization", "Bearer "),
    stream_usage: true,
    output_cap_field: OutputCapField::MaxTokens,
    default_tier: None,
};

/// Every kind of provider.
pub static PROVIDERS: &[&Provider] =
    &[&openai::OPENAI, &anthropic::ANTHROPIC, &mock::MOCK, &openai_compatible::OPENAI_COMPATIBLE];

/// The kind of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Provider> {
    PROVIDERS.iter().copied().find(|provider| provider.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_urls_have_no_trailing_slash() {
        for (index, provider) in PROVIDERS.iter().enumerate() {
            assert!(PROVIDERS.iter().skip(index + 1).all(|other| other.name != provider.name));
            assert!(provider.base_url.is_none_or(|url| url.starts_with("https://") && !url.ends_with('/')));
            assert!(by_name(provider.name).is_some());
        }
    }
}
