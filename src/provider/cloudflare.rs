//! Cloudflare Workers AI over REST. <https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility>
//! (read 2026-11-21). The Worker's own `AI` binding, which needs neither account nor token, is `workers_ai`.

use super::{OPENAI_COMPATIBLE, Provider, Setting, ability::Ability, endpoint::Endpoint};

/// Cloudflare Workers AI.
pub static CLOUDFLARE: Provider = Provider {
    name: "cloudflare",
    base_url: Some("https://api.cloudflare.com/client/v4/accounts/{account_id}/ai/v1"),
    settings: &[Setting {
        name: "account_id",
        expected: "the id of the Cloudflare account, 32 hexadecimal digits",
        default: None,
        one_of: &[],
    }],
    secret: Some("CLOUDFLARE_API_TOKEN"),
    endpoints: &[Endpoint::CHAT, Endpoint::EMBEDDINGS],
    health: None,
    can: CAN,
    source: "https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility",
    ..OPENAI_COMPATIBLE
};

/// What its models can do, however they are called.
pub(super) const CAN: &[Ability] =
    &[Ability::Tools, Ability::Images, Ability::Schema, Ability::Reasoning, Ability::Seed];
