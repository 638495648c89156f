//! GLM on Z.ai, Zhipu's platform outside China (within: <https://open.bigmodel.cn/api/paas/v4> as `base_url`).
//! <https://docs.z.ai/api-reference/llm/chat-completion> (named from memory; not opened).

use super::{OPENAI_COMPATIBLE, Provider, ability::Ability, endpoint::Endpoint};

/// Z.ai.
pub static ZHIPU: Provider = Provider {
    name: "zhipu",
    base_url: Some("https://api.z.ai/api/paas/v4"),
    secret: Some("ZAI_API_KEY"),
    model_prefixes: &["glm-"],
    endpoints: &[Endpoint::CHAT, Endpoint::EMBEDDINGS],
    health: None,
    can: &[Ability::Tools, Ability::Images, Ability::Reasoning, Ability::Cache],
    source: "https://docs.z.ai/api-reference/llm/chat-completion",
    ..OPENAI_COMPATIBLE
};
