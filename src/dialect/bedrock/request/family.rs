//! What differs by the maker of the model: members of `additionalModelRequestFields`, and where cache points may be.

use crate::model::request::{Request, Thinking};
use serde_json::{Map, Value, json};

/// Who made a model, as far as requests differ by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Anthropic's, of this version; 0.0 if its name does not say (an application's inference profile).
    Claude(u32, u32),
    /// Amazon's first Novas.
    Nova,
    /// Amazon's second ones, which think.
    Nova2,
    /// OpenAI's open ones.
    GptOss,
    /// Alibaba's.
    Qwen,
    /// Any other.
    Other,
}

/// Whose model this is, by its id: `us.anthropic.claude-sonnet-4-5-20250929-v1:0`.
pub(super) fn of(model: &str) -> Family {
    if let Some((_, name)) = model.split_once("claude-") {
        let version = version(name);
        return Family::Claude(version.0, version.1);
    }
    let has = |word: &str| model.contains(word);
    if has("anthropic.") {
        Family::Claude(0, 0)
    } else if has("amazon.nova-2") {
        Family::Nova2
    } else if has("amazon.nova") {
        Family::Nova
    } else if has("openai.gpt-oss") {
        Family::GptOss
    } else if has("qwen.") {
        Family::Qwen
    } else {
        Family::Other
    }
}

/// `sonnet-4-5-20250929-v1:0` → 4.5; `3-7-sonnet-20250219` → 3.7; `opus-5` → 5.0. A date is no number of a version.
fn version(name: &str) -> (u32, u32) {
    let mut numbers = name
        .split(['-', ':', '@'])
        .skip_while(|word| word.parse::<u32>().is_err())
        .map_while(|word| word.parse::<u32>().ok())
        .filter(|number| *number < 100);
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

impl Family {
    /// Whether the model decides itself how much it thinks: `thinking.type: adaptive`, with `output_config.effort`. And
    /// whether it takes nothing else. Older ones take only a budget
    /// (<https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-adaptive-thinking.html>, read 2026-11-21).
    const fn adaptive(self) -> (bool, bool) {
        match self {
            Self::Claude(major, minor) => {
                (major > 4 || major == 4 && minor >= 6, major > 4 || major == 4 && minor >= 7)
            }
            _ => (false, false),
        }
    }

    /// Whether temperature and the like are refused at all, and whether temperature and `top_p` together are
    /// (<https://docs.claude.com/en/docs/about-claude/models/migrating-to-claude-4>; as remembered, not looked up again).
    pub(super) const fn sampling(self) -> (bool, bool) {
        match self {
            Self::Claude(major, minor) => (self.adaptive().1, major > 4 || major == 4 && minor >= 1),
            _ => (false, false),
        }
    }

    /// Whether a tool may be `strict`
    /// (<https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html>; as remembered, not looked up again).
    pub(super) const fn strict_tools(self) -> bool {
        matches!(self, Self::Claude(major, minor) if major > 4 || major == 4 && minor >= 5)
    }

    /// Whether it takes a `cachePoint` at all, and whether among the tools. Others answer 400 to one
    /// (<https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>; as remembered, not looked up again).
    pub(super) const fn caches(self) -> (bool, bool) {
        match self {
            Self::Claude(..) => (true, true),
            Self::Nova | Self::Nova2 => (true, false),
            _ => (false, false),
        }
    }

    /// Puts `top_k` where the model has it.
    pub(super) fn put_top_k(self, top_k: &Value, fields: &mut Map<String, Value>) -> bool {
        match self {
            Self::Claude(..) => {
                fields.insert("top_k".to_owned(), top_k.clone());
            }
            // <https://docs.aws.amazon.com/nova/latest/userguide/using-converse-api.html>; as remembered, not looked up again.
            Self::Nova | Self::Nova2 => {
                fields.insert("inferenceConfig".to_owned(), json!({"topK": top_k}));
            }
            _ => return false,
        }
        true
    }

    /// Puts the wish for thinking where the model has it. `false`: it has no such thing, or not this much.
    pub(super) fn put_thinking(
        self,
        request: &Request,
        wish: &Thinking,
        cap: Option<u64>,
        fields: &mut Map<String, Value>,
    ) -> bool {
        let own = request.dialect == super::OWN;
        let effort = wish.effort.as_deref().filter(|effort| *effort != "none");
        let off = wish.enabled == Some(false)
            || wish.effort.as_deref() == Some("none")
            || wish.budget_tokens == Some(0);
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        match self {
            Self::Claude(major, minor) => {
                let (adaptive, only_adaptive) = self.adaptive();
                if off {
                    // Off is what most models are by themselves, and the rest cannot be.
                    if own {
                        put("thinking", json!({"type": "disabled"}));
                    }
                    return own || !only_adaptive;
                }
                if !own && (major, minor) != (0, 0) && (major, minor) < (3, 7) {
                    return false;
                }
                let budget_wanted = wish.budget_tokens.is_some() && (own || !only_adaptive);
                if wish.adaptive && (own || adaptive) || !budget_wanted && adaptive {
                    put("thinking", json!({"type": "adaptive"}));
                    let of_budget = wish.budget_tokens.map(Thinking::effort_of_budget);
                    if let Some(effort) = effort.or(of_budget) {
                        let effort = if effort == "minimal" { "low" } else { effort };
                        put("output_config", json!({"effort": effort}));
                    }
                    return true;
                }
                if own && wish.budget_tokens.is_none() && wish.enabled.is_none() {
                    if let Some(effort) = effort {
                        put("output_config", json!({"effort": effort}));
                    }
                    return true;
                }
                let budget = wish.budget_tokens.or_else(|| Thinking::budget_of_effort(effort?));
                let mut budget = budget.unwrap_or(DEFAULT_BUDGET_TOKENS);
                if !own {
                    // The budget is a part of what the cap allows, and must leave something for the answer.
                    let most = cap.map_or(u64::MAX, |cap| cap.saturating_sub(1));
                    budget = budget.max(LEAST_BUDGET_TOKENS).min(most);
                    if budget < LEAST_BUDGET_TOKENS {
                        return false;
                    }
                }
                put("thinking", json!({"type": "enabled", "budget_tokens": budget}));
                true
            }
            Self::GptOss => match level(wish, effort) {
                Some(level) if !off => {
                    put("reasoning_effort", json!(level));
                    true
                }
                // They always think.
                _ => false,
            },
            Self::Qwen => match level(wish, effort) {
                Some(level) if !off => {
                    put("reasoning_config", json!(level));
                    true
                }
                _ => off,
            },
            // <https://docs.aws.amazon.com/nova/latest/nova2-userguide/using-converse-api.html>; as remembered, not looked up again.
            Self::Nova2 => {
                if off {
                    if own {
                        put("reasoningConfig", json!({"type": "disabled"}));
                    }
                    return true;
                }
                let mut config = json!({"type": "enabled"});
                if let (Some(level), Some(members)) = (level(wish, effort), config.as_object_mut()) {
                    members.insert("maxReasoningEffort".to_owned(), json!(level));
                }
                put("reasoningConfig", config);
                true
            }
            Self::Nova | Self::Other => off,
        }
    }
}

/// Where the caller only says that there should be thinking.
const DEFAULT_BUDGET_TOKENS: u64 = 4_096;
/// Claude refuses less.
const LEAST_BUDGET_TOKENS: u64 = 1_024;

/// One of the three levels that models with levels have.
fn level(wish: &Thinking, effort: Option<&str>) -> Option<&'static str> {
    let of_budget = || wish.budget_tokens.filter(|tokens| *tokens > 0).map(Thinking::effort_of_budget);
    match effort {
        Some("minimal" | "low") => Some("low"),
        Some("medium") => Some("medium"),
        Some("high" | "xhigh" | "max") => Some("high"),
        Some(_) => None,
        None => of_budget().or((wish.enabled == Some(true) || wish.adaptive).then_some("medium")),
    }
}

/// What a maker's member says of thinking; `None` if it says more than has a place.
pub(super) fn read_thinking(name: &str, value: &Value) -> Option<Thinking> {
    if let Some(effort) = value.as_str() {
        let named = matches!(name, "reasoning_effort" | "reasoning_config");
        return named.then(|| Thinking { effort: Some(effort.to_owned()), ..Thinking::default() });
    }
    let members = value.as_object()?;
    let known = |member: &String| matches!(member.as_str(), "type" | "budget_tokens" | "maxReasoningEffort");
    if !members.keys().all(known) {
        return None;
    }
    let kind = members.get("type")?.as_str()?;
    let budget_tokens = match members.get("budget_tokens") {
        Some(tokens) => Some(tokens.as_u64()?),
        None => None,
    };
    let effort = match members.get("maxReasoningEffort") {
        Some(effort) => Some(effort.as_str()?.to_owned()),
        None => None,
    };
    let thinking = Thinking { effort, budget_tokens, ..Thinking::default() };
    match kind {
        "enabled" => Some(Thinking { enabled: Some(true), ..thinking }),
        "disabled" => Some(Thinking { enabled: Some(false), ..thinking }),
        "adaptive" => Some(Thinking { enabled: Some(true), adaptive: true, ..thinking }),
        _ => None,
    }
}
