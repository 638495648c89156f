//! Qwen on Alibaba Cloud's Model Studio (DashScope), its OpenAI-compatible mode.
//! <https://www.alibabacloud.com/help/en/model-studio/base-url> (read 2026-11-21): keys hold for one region, a key of
//! another one is a 401. A workspace's own domain is a `base_url`.

use super::{Elsewhere, OPENAI_COMPATIBLE, Provider, Setting, ability::Ability, endpoint::Endpoint};

/// Alibaba Cloud's Model Studio.
pub static ALIBABA: Provider = Provider {
    name: "alibaba",
    base_url: Some("https://dashscope-{region}.aliyuncs.com/compatible-mode/v1"),
    elsewhere: &[
        Elsewhere {
            setting: "region",
            is: "cn",
            base_url: "https://dashscope.aliyuncs.com/compatible-mode/v1",
        },
        Elsewhere {
            setting: "region",
            is: "hk",
            base_url: "https://cn-hongkong.dashscope.aliyuncs.com/compatible-mode/v1",
        },
    ],
    settings: &[Setting {
        name: "region",
        expected: "intl (Singapore), us, cn (Beijing) or hk (Hong Kong)",
        default: Some("intl"),
        one_of: &["intl", "us", "cn", "hk"],
    }],
    secret: Some("DASHSCOPE_API_KEY"),
    model_prefixes: &["qwen", "qwq-", "qvq-"],
    endpoints: &[Endpoint::CHAT, Endpoint::EMBEDDINGS],
    can: &[
        Ability::Tools,
        Ability::ParallelTools,
        Ability::Images,
        Ability::Audio,
        Ability::Schema,
        Ability::Reasoning,
        Ability::Cache,
        Ability::Logprobs,
        Ability::Choices,
        Ability::Seed,
    ],
    source: "https://www.alibabacloud.com/help/en/model-studio/base-url",
    ..OPENAI_COMPATIBLE
};
