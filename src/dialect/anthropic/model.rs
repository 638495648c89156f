//! What a model of Anthropic's takes, told by its name.
//!
//! A name that is not known counts as the newest, since what newer models refuse is a 400 and what older ones could have had
//! is only left out.

/// A model's family and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dialect) struct Claude {
    family: Family,
    /// Major and minor.
    version: (u32, u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Haiku,
    Sonnet,
    Opus,
    /// Fable and Mythos.
    Upper,
    /// Another maker's model behind the same format (DeepSeek, Moonshot, vLLM).
    Foreign,
}

impl Claude {
    /// Of a model's name, as any platform spells it: `claude-opus-4-5`, `claude-3-7-sonnet-20250219`,
    /// `us.anthropic.claude-sonnet-4-5-20250929-v1:0`, `claude-opus-4-1@20250805`.
    pub(in crate::dialect) fn of(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let Some((_, rest)) = name.split_once("claude") else {
            return Self { family: Family::Foreign, version: (0, 0) };
        };
        let words = || rest.split(['-', '@', '.', ':', '/', '_']);
        let family = match words().find(|word| word.len() > 3 && word.chars().all(char::is_alphabetic)) {
            Some("haiku" | "instant") => Family::Haiku,
            Some("sonnet") => Family::Sonnet,
            Some("opus") => Family::Opus,
            _ => Family::Upper,
        };
        // Dates are longer.
        let mut numbers = words().filter(|word| word.len() <= 2).map_while(|word| match word {
            "" => Some(None),
            _ => word.parse::<u32>().ok().map(Some),
        });
        let major = numbers.by_ref().flatten().next().unwrap_or(u32::MAX);
        let minor = numbers.flatten().next().unwrap_or(0);
        Self { family, version: (major, minor) }
    }

    const fn foreign(self) -> bool {
        matches!(self.family, Family::Foreign)
    }

    /// Anthropic's, and at least this version.
    pub(in crate::dialect) fn since(self, version: (u32, u32)) -> bool {
        !self.foreign() && self.version >= version
    }

    /// `temperature`, `top_p`, `top_k`: removed with Opus 4.7
    /// (<https://platform.claude.com/docs/en/about-claude/models/migration-guide>, read 2026-11-21).
    pub(in crate::dialect) fn samples(self) -> bool {
        !self.since((4, 7))
    }

    /// `temperature` or `top_p`, not both: since Opus 4.1
    /// (<https://github.com/BerriAI/litellm/issues/15097>, read 2026-11-21).
    pub(in crate::dialect) fn samples_by_one(self) -> bool {
        self.since((4, 1))
    }

    /// Thinks at all.
    pub(in crate::dialect) fn thinks(self) -> bool {
        self.foreign() || self.since((3, 7))
    }

    /// Decides itself how much to think; a budget is deprecated there, later refused
    /// (<https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking>, read 2026-11-21).
    pub(in crate::dialect) fn adapts(self) -> bool {
        self.since((4, 6))
    }

    /// Takes no budget any more
    /// (<https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-adaptive-thinking.html>, read 2026-11-21).
    pub(in crate::dialect) fn adapts_only(self) -> bool {
        self.since((4, 7))
    }

    /// Thinks unless told not to (<https://platform.claude.com/docs/models/opus-5/migration-guide>, read 2026-11-21).
    pub(in crate::dialect) fn thinks_unasked(self) -> bool {
        self.since((5, 0)) || self.thinks_always()
    }

    /// Caches for an hour on Bedrock (<https://github.com/earendil-works/pi/pull/1570>, read 2026-11-21). Of an application's
    /// inference profile nothing is known, and the models of today do.
    pub(in crate::dialect) fn caches_an_hour(self) -> bool {
        self.foreign() || self.since((4, 5))
    }

    /// Cannot be told not to (<https://platform.claude.com/docs/about-claude/models>: "always on"; read 2026-11-21).
    pub(in crate::dialect) fn thinks_always(self) -> bool {
        match self.family {
            Family::Upper => true,
            Family::Opus => self.version >= (5, 5),
            Family::Haiku | Family::Sonnet | Family::Foreign => false,
        }
    }

    /// How it is told not to think before it answers: Sonnet 5.5 has a word of its own
    /// (<https://platform.claude.com/docs/en/models/sonnet-5-5/whats-new-sonnet-5-5>, read 2026-11-21).
    pub(in crate::dialect) fn quiet(self) -> &'static str {
        if self.family == Family::Sonnet && self.version >= (5, 5) { "between_tools" } else { "disabled" }
    }

    /// Can be made to call a tool. Fable 5.1, Opus 5.5, Sonnet 5.5 and later refuse `any` and `tool`
    /// (<https://platform.claude.com/docs/en/models/opus-5-5/whats-new-opus-5-5>, read 2026-11-21).
    pub(in crate::dialect) fn forces(self) -> bool {
        match self.family {
            Family::Upper => self.version < (5, 1),
            Family::Opus | Family::Sonnet => self.version < (5, 5),
            Family::Haiku | Family::Foreign => true,
        }
    }

    /// Refuses thoughts that come back behind another beginning of the conversation than they were thought in
    /// (<https://platform.claude.com/docs/en/build-with-claude/preserved-thinking>, read 2026-11-21).
    pub(in crate::dialect) fn binds_thoughts(self) -> bool {
        if self.family == Family::Upper { self.version >= (5, 1) } else { self.since((5, 5)) }
    }

    /// The level of effort nearest to the one asked for (<https://platform.claude.com/docs/en/build-with-claude/effort>,
    /// read 2026-11-21); `None` if the model knows none, or nobody knows the word.
    pub(in crate::dialect) fn effort(self, asked: &str) -> Option<&'static str> {
        let first = self.family == Family::Opus && self.version == (4, 5);
        if !first && !self.since((4, 6)) {
            return None;
        }
        Some(match asked {
            "minimal" | "low" => "low",
            "medium" => "medium",
            "high" => "high",
            "xhigh" if self.since((4, 7)) => "xhigh",
            "max" if self.since((4, 6)) => "max",
            "xhigh" | "max" => "high",
            _ => return None,
        })
    }

    /// Structured output and strict tools: Opus 4.1 and the 4.5 models were the first
    /// (<https://platform.claude.com/docs/en/build-with-claude/structured-outputs>, read 2026-11-21).
    pub(in crate::dialect) fn keeps_schemas(self) -> bool {
        self.since((4, 5)) || (self.family == Family::Opus && self.version == (4, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_platforms_are_understood() {
        let version = |name: &str| Claude::of(name).version;
        for (name, expected) in [
            ("claude-opus-4-5", (4, 5)),
            ("claude-opus-4-5-20251101", (4, 5)),
            ("claude-3-7-sonnet-20250219", (3, 7)),
            ("claude-3-7-sonnet-latest", (3, 7)),
            ("claude-opus-4-20250514", (4, 0)),
            ("claude-opus-4-1@20250805", (4, 1)),
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", (4, 5)),
            ("anthropic/claude-opus-4.6", (4, 6)),
            ("claude-sonnet-5", (5, 0)),
            ("claude-mythos-preview", (u32::MAX, 0)),
            ("claude-tomorrow", (u32::MAX, 0)),
            ("deepseek-chat", (0, 0)),
        ] {
            assert_eq!(version(name), expected, "{name}");
        }
        assert_eq!(Claude::of("claude-3-haiku-20240307").family, Family::Haiku);
        assert_eq!(Claude::of("claude-fable-5-1").family, Family::Upper);
    }

    #[test]
    fn what_models_take_follows_anthropics_lists() {
        // The list of models that refuse sampling, as the vendor gives it.
        for name in [
            "claude-fable-5-1",
            "claude-mythos-5",
            "claude-mythos-preview",
            "claude-opus-5-5",
            "claude-opus-5",
            "claude-opus-4-8",
            "claude-opus-4-7",
            "claude-sonnet-5-5",
            "claude-sonnet-5",
            "claude-haiku-5-5",
        ] {
            assert!(!Claude::of(name).samples(), "{name}");
            assert!(Claude::of(name).adapts(), "{name}");
        }
        for name in
            ["claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5", "claude-opus-4-20250514", "kimi-k3"]
        {
            assert!(Claude::of(name).samples(), "{name}");
        }
        assert_eq!(Claude::of("claude-sonnet-4-5").effort("low"), None);
        assert_eq!(Claude::of("claude-opus-4-5").effort("max"), Some("high"));
        // Recorded: "Supported levels: high, low, max, medium."
        assert_eq!(Claude::of("claude-sonnet-4-6").effort("xhigh"), Some("high"));
        assert_eq!(Claude::of("claude-opus-4-7").effort("xhigh"), Some("xhigh"));
        assert!(
            Claude::of("claude-opus-5-5").thinks_always() && !Claude::of("claude-opus-5").thinks_always()
        );
    }
}
