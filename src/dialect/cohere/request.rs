//! A Cohere chat request, read from a client and written for the provider.

mod read;
mod write;

pub(super) use read::attach;
pub use read::read;
pub use write::write;

/// Members of Cohere's request that stand in the canonical form under another name or not at all are named here once.
const STRICT_TOOLS: &str = "strict_tools";
