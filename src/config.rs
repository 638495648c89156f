//! What the operator typed → what it means, validated once.
//!
//! [`compile`] reads YAML or JSON into a [`policy::Policy`], or tells everything that is wrong with it. The fields are
//! described in `docs/config.md`. Nothing here panics, recurses without bound, or repeats a credential.

mod check;
mod document;
mod pattern;
pub mod policy;
mod problem;
mod reader;
mod resolve;

use policy::Policy;
pub use problem::Problem;
use problem::Problems;

/// A configuration that was accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    /// What it means.
    pub policy: Policy,
    /// What is probably not meant, in the order of the text.
    pub warnings: Vec<Problem>,
}

/// Compiles a configuration, YAML or JSON, into the policy of `version`.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text; never empty. A text that cannot be read to its end
/// (syntax, size, depth) is judged only up to there.
pub fn compile(text: &str, version: u64) -> Result<Compiled, Vec<Problem>> {
    let mut problems = Problems::default();
    let policy = match document::parse(text, &mut problems) {
        Some(root) => check::policy(&root, version, &mut problems),
        None => Policy::default(),
    };
    problems.finish().map(|warnings| Compiled { policy, warnings })
}

#[cfg(test)]
mod tests;
