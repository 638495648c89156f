//! What the fuzz targets share.

use edgehold::{
    dialect::Dialect,
    provider::endpoint::{EmbedFormat, Format, RerankFormat},
};
use std::sync::OnceLock;

/// The dialect that an input is of: its first byte says, unless a run is for one alone (`EDGEHOLD_FUZZ_DIALECT`).
///
/// # Panics
/// If that names none.
pub fn dialect(first: u8) -> Dialect {
    static ONLY: OnceLock<Option<Dialect>> = OnceLock::new();
    let only = ONLY.get_or_init(|| {
        let name = std::env::var("EDGEHOLD_FUZZ_DIALECT").ok().filter(|name| !name.is_empty())?;
        Some(Dialect::by_name(&name).unwrap_or_else(|| panic!("no dialect is called '{name}'")))
    });
    only.unwrap_or(Dialect::ALL[usize::from(first & 7) % Dialect::ALL.len()])
}

/// What providers are asked besides conversations.
pub const FORMATS: [Format; 8] = [
    Format::Embed(EmbedFormat::OpenAi),
    Format::Embed(EmbedFormat::Gemini),
    Format::Embed(EmbedFormat::Cohere),
    Format::Embed(EmbedFormat::WorkersAi),
    Format::Rerank(RerankFormat::Cohere),
    Format::Rerank(RerankFormat::Jina),
    Format::CountTokens(Dialect::Anthropic),
    Format::CountTokens(Dialect::Gemini),
];
