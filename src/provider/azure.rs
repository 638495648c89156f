//! Azure OpenAI, its v1 API: no `api-version`, the deployment's name in `model`.
//! <https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle> (read 2026-11-21).
//!
//! What `model` names is the operator's deployment, so its price is known only if it is called as its model; else
//! `prices` must say it.

use super::{Auth, OPENAI_COMPATIBLE, OutputCapField, Provider, Setting, endpoint::Endpoint, openai};

/// Azure OpenAI.
pub static AZURE: Provider = Provider {
    name: "azure",
    base_url: Some("https://{resource}.openai.azure.com/openai/v1"),
    settings: &[RESOURCE],
    secret: Some("AZURE_OPENAI_API_KEY"),
    auth: Auth::Header { name: "api-key", prefix: "" },
    endpoints: &[Endpoint::CHAT, Endpoint::RESPONSES, Endpoint::EMBEDDINGS],
    output_cap_field: OutputCapField::MaxCompletionTokens,
    can: openai::CAN,
    source: "https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle",
    ..OPENAI_COMPATIBLE
};

/// The first label of the host.
pub(super) const RESOURCE: Setting = Setting {
    name: "resource",
    expected: "the name of the Azure OpenAI resource, as in https://NAME.openai.azure.com",
    default: None,
    one_of: &[],
};
