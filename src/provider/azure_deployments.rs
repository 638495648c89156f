//! Azure OpenAI, its older API: the deployment is in the path, a dated `api-version` in the query. For resources and
//! network rules that do not have the v1 API yet.
//! <https://learn.microsoft.com/azure/ai-foundry/openai/reference> (read 2026-11-21).

use super::{
    OPENAI_COMPATIBLE, Provider, Setting, azure,
    endpoint::{EmbedFormat, Endpoint, Format},
};
use crate::dialect::Dialect;

/// Azure OpenAI by deployments.
pub static AZURE_DEPLOYMENTS: Provider = Provider {
    name: "azure-deployments",
    base_url: Some("https://{resource}.openai.azure.com/openai"),
    settings: &[azure::RESOURCE, API_VERSION],
    secret: azure::AZURE.secret,
    auth: azure::AZURE.auth,
    endpoints: &[
        Endpoint::of(
            Format::Chat(Dialect::OpenAiChat),
            "/deployments/{model}/chat/completions?api-version={api_version}",
        ),
        Endpoint::of(
            Format::Embed(EmbedFormat::OpenAi),
            "/deployments/{model}/embeddings?api-version={api_version}",
        ),
    ],
    output_cap_field: azure::AZURE.output_cap_field,
    priced_as: Some("azure"),
    health: Some("/models?api-version={api_version}"),
    can: azure::AZURE.can,
    source: "https://learn.microsoft.com/azure/ai-foundry/openai/reference",
    ..OPENAI_COMPATIBLE
};

/// The last version that is generally available is the default.
const API_VERSION: Setting = Setting {
    name: "api_version",
    expected: "a dated version of Azure's API, such as 2024-10-21",
    default: Some("2024-10-21"),
    one_of: &[],
};
