//! Kimi on Moonshot's platform, outside China (within: <https://api.moonshot.cn/v1> as `base_url`).
//! <https://platform.kimi.ai/docs/api/quickstart> (read 2026-11-21).

use super::{OPENAI_COMPATIBLE, Provider, ability::Ability, endpoint::Endpoint};

/// Moonshot AI.
pub static MOONSHOT: Provider = Provider {
    name: "moonshot",
    base_url: Some("https://api.moonshot.ai/v1"),
    secret: Some("MOONSHOT_API_KEY"),
    model_prefixes: &["kimi-", "moonshot-"],
    endpoints: &[Endpoint::CHAT],
    can: &[
        Ability::Tools,
        Ability::Images,
        Ability::Schema,
        Ability::Reasoning,
        Ability::Cache,
        Ability::Choices,
    ],
    source: "https://platform.kimi.ai/docs/api/quickstart",
    ..OPENAI_COMPATIBLE
};
