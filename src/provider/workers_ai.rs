//! Cloudflare Workers AI through the Worker's own `AI` binding: neither account nor token is needed.
//! <https://developers.cloudflare.com/workers-ai/configuration/bindings/> (read 2026-11-21).
//!
//! The edge calls `env.AI.run(model, inputs)`: the body is the inputs and the model's name. URL and paths are those that
//! the binding itself asks (<https://github.com/cloudflare/workerd/blob/main/src/cloudflare/internal/ai-api.ts>, read
//! 2026-11-21); nothing is sent there over the network. `stream_options` is in the schemas of the models that answer in
//! OpenAI's form (<https://developers.cloudflare.com/workers-ai/models/glm-4.7-flash/>, read 2026-11-21); the others report
//! usage at the end of their streams without it.

use super::{
    Auth, OPENAI_COMPATIBLE, Provider, cloudflare,
    endpoint::{EmbedFormat, Endpoint, Format},
};

/// Workers AI, bound.
pub static WORKERS_AI: Provider = Provider {
    name: "workers-ai",
    base_url: Some("https://workers-binding.ai"),
    auth: Auth::Binding { name: "AI" },
    endpoints: &[
        Endpoint::of(Format::WorkersAi, "/run"),
        Endpoint::of(Format::Embed(EmbedFormat::WorkersAi), "/run"),
    ],
    priced_as: Some(cloudflare::CLOUDFLARE.name),
    health: None,
    can: cloudflare::CAN,
    source: "https://developers.cloudflare.com/workers-ai/configuration/bindings/",
    ..OPENAI_COMPATIBLE
};
