//! GLM on Z.ai, Zhipu's platform outside China (within: <https://open.bigmodel.cn/api/paas/v4> as `base_url`).
//! <https://docs.z.ai/openapi.json>. Embeddings are there within China only: <https://docs.bigmodel.cn/api-reference/模型-api/文本嵌入>,
//! and <https://github.com/ENTERPILOT/GoModel/pull/242> for Z.ai (all read 2026-11-21).

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
