//! Which provider and model a name stands for.
//!
//! One rule for every name, whether a caller asks for it or a route, a fallback or an alias leads to it:
//! 1. `provider/model`, where `provider` is configured; the rest may hold more slashes.
//! 2. An alias of `models:`.
//! 3. A built-in alias of the provider registry.
//! 4. A bare model (no slash) whose beginning a provider of the registry claims; the longest claim wins.

use super::policy::{Policy, Target};
use crate::provider::{PROVIDERS, Provider};

/// The longest name of a model or alias, in bytes.
pub(super) const MAX_MODEL_NAME: usize = 256;

impl Policy {
    /// The policy of an empty configuration: the providers of the registry, and no routes.
    #[must_use]
    pub fn resolve_default() -> Self {
        Self { providers: super::check::registry_providers(), ..Self::default() }
    }

    /// What the name a caller asks for leads to, first choice first; `None` if nothing is known by that name.
    ///
    /// Never an empty list. A name that could not stand in a header (spaces, control characters, more than
    /// 256 bytes) is unknown, so what is returned is safe to log and to send.
    #[must_use]
    pub fn resolve(&self, model: &str) -> Option<Vec<Target>> {
        if !is_model_name(model) {
            return None;
        }
        let target = |provider: &str, model: &str| {
            Some(vec![Target { provider: provider.to_owned(), model: model.to_owned() }])
        };
        if let Some((provider, model)) = qualified(model)
            && self.providers.contains_key(provider)
        {
            return target(provider, model);
        }
        if let Some(targets) = self.aliases.get(model) {
            return Some(targets.clone());
        }
        let (provider, model) = from_registry(model)?;
        if self.providers.contains_key(provider.name) { target(provider.name, model) } else { None }
    }
}

/// Whether the text can be the name of a model: visible ASCII, not too long.
pub(super) fn is_model_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_MODEL_NAME && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `provider/model` in its parts.
pub(super) fn qualified(name: &str) -> Option<(&str, &str)> {
    name.split_once('/').filter(|(_, model)| !model.is_empty())
}

/// Steps 3 and 4: the registry's provider for a name, and the provider's own name for the model.
pub(super) fn from_registry(name: &str) -> Option<(&'static Provider, &str)> {
    let alias = PROVIDERS.iter().find_map(|provider| {
        provider.aliases.iter().find(|(alias, _)| *alias == name).map(|(_, model)| (*provider, *model))
    });
    alias.or_else(|| claimed(name).map(|provider| (provider, name)))
}

fn claimed(name: &str) -> Option<&'static Provider> {
    if name.contains('/') {
        return None;
    }
    let mut best: Option<(&'static Provider, usize)> = None;
    for provider in PROVIDERS.iter().copied() {
        for prefix in provider.model_prefixes {
            if name.starts_with(prefix) && best.is_none_or(|(_, longest)| prefix.len() > longest) {
                best = Some((provider, prefix.len()));
            }
        }
    }
    best.map(|(provider, _)| provider)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(provider: &str, model: &str) -> Target {
        Target { provider: provider.to_owned(), model: model.to_owned() }
    }

    #[test]
    fn names_resolve_in_the_documented_order() {
        let mut policy = Policy::resolve_default();
        policy
            .aliases
            .insert("fast".to_owned(), vec![target("openai", "gpt-4o-mini"), target("mock", "echo")]);
        policy.aliases.insert("claude-haiku".to_owned(), vec![target("mock", "haiku")]);
        policy.aliases.insert("org/own".to_owned(), vec![target("mock", "own")]);
        for (name, expected) in [
            ("mock/any/thing", target("mock", "any/thing")),
            ("openai/claude-sonnet", target("openai", "claude-sonnet")),
            ("claude-haiku", target("mock", "haiku")),
            ("claude-sonnet", target("anthropic", "claude-sonnet-4-5")),
            ("claude-3-opus", target("anthropic", "claude-3-opus")),
            ("gpt-4o", target("openai", "gpt-4o")),
            ("o3", target("openai", "o3")),
            ("org/own", target("mock", "own")),
        ] {
            assert_eq!(policy.resolve(name), Some(vec![expected]), "{name}");
        }
        assert_eq!(policy.resolve("fast").unwrap().len(), 2);
    }

    #[test]
    fn unknown_and_unfit_names_lead_nowhere() {
        let policy = Policy::resolve_default();
        let long = format!("gpt-{}", "x".repeat(300));
        for name in [
            "",
            "/",
            "openai/",
            "/gpt-4o",
            "nobody/gpt-4o",
            "gpt-4o/mini",
            "llama",
            "GPT-4o",
            "gpt-4o mini",
            "gpt-4o\n",
            "openai/gpt\r\nx: y",
            "gpt-é",
            "openai-compatible/x",
            &long,
        ] {
            assert_eq!(policy.resolve(name), None, "{name:?}");
        }
        assert_eq!(Policy::default().resolve("gpt-4o"), None, "no provider, no target");
    }

    proptest! {
        #[test]
        fn what_resolves_names_a_provider_of_the_policy(name in "((openai|mock|x)/)?[a-z0-9/-]{0,20}|.{0,30}") {
            let policy = Policy::resolve_default();
            if let Some(targets) = policy.resolve(&name) {
                prop_assert!(!targets.is_empty());
                for target in targets {
                    prop_assert!(policy.providers.contains_key(&target.provider));
                    prop_assert!(is_model_name(&target.model));
                }
            }
        }
    }
}
