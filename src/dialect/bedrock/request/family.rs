//! What differs by the maker of the model: members of `additionalModelRequestFields`, and where cache points may be.

use crate::{
    dialect::anthropic::model::Claude,
    model::{
        part::CacheMark,
        request::{Request, Thinking},
    },
};
use serde_json::{Map, Value, json};

/// Who made a model, as far as requests differ by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Anthropic's; what its name says, which may be nothing (an application's inference profile).
    Claude(Claude),
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
    let has = |word: &str| model.contains(word);
    if has("anthropic.") || has("claude-") {
        Family::Claude(Claude::of(model))
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

impl Family {
    /// Whether temperature and the like are refused at all, and whether temperature and `top_p` together are
    /// (<https://github.com/aws-samples/bedrock-access-gateway/issues/191>,
    /// <https://github.com/aws-samples/bedrock-chat/pull/979> and `/1102`; read 2026-11-21).
    pub(super) fn sampling(self) -> (bool, bool) {
        match self {
            Self::Claude(claude) => (!claude.samples(), claude.samples_by_one()),
            _ => (false, false),
        }
    }

    /// Whether it can be made to call a tool.
    pub(super) fn forces(self) -> bool {
        !matches!(self, Self::Claude(claude) if !claude.forces())
    }

    /// Whether a tool may be `strict`: Claude since 4.5. Some open models take it too
    /// (<https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html>; its list of models as given in
    /// <https://github.com/langchain-ai/langchain-aws/issues/883>, both read 2026-11-21), but not all of a maker's.
    pub(super) fn strict_tools(self) -> bool {
        matches!(self, Self::Claude(claude) if claude.since((4, 5)))
    }

    /// Whether it takes a `cachePoint` at all, and whether among the tools. Others answer 400 to one
    /// (<https://portkey.ai/docs/integrations/llms/bedrock/prompt-caching>, which gives AWS's table, and a probe of Nova in
    /// <https://github.com/LibreChat-AI/agents/pull/253>; both read 2026-11-21).
    pub(super) const fn caches(self) -> (bool, bool) {
        match self {
            Self::Claude(..) => (true, true),
            Self::Nova | Self::Nova2 => (true, false),
            _ => (false, false),
        }
    }

    /// Whether it takes a `cachePoint` directly behind the result of a tool: Nova does not
    /// (<https://github.com/aws-samples/bedrock-engineer/pull/71>, read 2026-11-21).
    pub(super) const fn caches_results(self) -> bool {
        matches!(self, Self::Claude(..))
    }

    /// How long it caches: an hour is Claude's alone, since 4.5. Others answer 400 to one
    /// (<https://github.com/earendil-works/pi/pull/1570>, read 2026-11-21).
    pub(super) fn lasting(self, mark: CacheMark) -> CacheMark {
        match self {
            Self::Claude(claude) if claude.caches_an_hour() => mark,
            _ => CacheMark::FiveMinutes,
        }
    }

    /// Puts `top_k` where the model has it.
    pub(super) fn put_top_k(self, top_k: &Value, fields: &mut Map<String, Value>) -> bool {
        match self {
            Self::Claude(..) => {
                fields.insert("top_k".to_owned(), top_k.clone());
            }
            // <https://docs.aws.amazon.com/nova/latest/userguide/prompting-tool-troubleshooting.html> and, of the second ones,
            // <https://docs.aws.amazon.com/nova/latest/nova2-userguide/core-inference.html>; both read 2026-11-21.
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
            Self::Claude(claude) => {
                let (adaptive, only_adaptive) = (claude.adapts(), claude.adapts_only());
                if off && own {
                    put("thinking", json!({"type": "disabled"}));
                    return true;
                }
                if off {
                    // Off is what most models are by themselves; the newest have to be told, or cannot be
                    // (<https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-adaptive-thinking.html>,
                    // <https://github.com/langchain-ai/langchain-aws/pull/1186>, read 2026-11-21).
                    if claude.thinks_always() {
                        put("output_config", json!({"effort": "low"}));
                        return false;
                    }
                    if claude.thinks_unasked() {
                        put("thinking", json!({"type": claude.quiet()}));
                    }
                    return true;
                }
                if !own && !claude.thinks() {
                    return false;
                }
                let budget_wanted = wish.budget_tokens.is_some() && (own || !only_adaptive);
                if wish.adaptive && (own || adaptive) || !budget_wanted && adaptive {
                    let of_budget = wish.budget_tokens.map(Thinking::effort_of_budget);
                    let asked = effort.or(of_budget);
                    // A word that the model does not know is a 400.
                    let known = asked.and_then(|asked| if own { Some(asked) } else { claude.effort(asked) });
                    if asked.is_some() && known.is_none() {
                        return false;
                    }
                    put("thinking", json!({"type": "adaptive"}));
                    if let Some(effort) = known {
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
            // <https://github.com/vercel/ai/pull/10839>, <https://github.com/stdapi-ai/stdapi.ai/issues/7>; read 2026-11-21.
            Self::Nova2 => {
                if off {
                    if own {
                        put("reasoningConfig", json!({"type": "disabled"}));
                    }
                    return true;
                }
                let asked = level(wish, effort);
                // With a cap it does not think this much (see `thinks_uncapped`), and the cap is what the answer may cost.
                let too_much = !own && cap.is_some() && asked == Some(HIGH);
                let mut config = json!({"type": "enabled"});
                if let (Some(level), Some(members)) = (asked, config.as_object_mut()) {
                    let level = if too_much { "medium" } else { level };
                    members.insert("maxReasoningEffort".to_owned(), json!(level));
                }
                put("reasoningConfig", config);
                !too_much
            }
            Self::Nova | Self::Other => off,
        }
    }
}

/// Whether this is Nova's highest effort, which takes no temperature, `topP`, `topK` or `maxTokens` beside it
/// (<https://github.com/UKGovernmentBEIS/inspect_ai/issues/3767>, which says it for `maxTokens`, and the notes that
/// promptfoo keeps in <https://github.com/promptfoo/promptfoo/blob/main/src/providers/bedrock/converse.ts>; both read
/// 2026-11-21).
pub(super) fn thinks_uncapped(fields: &Map<String, Value>) -> bool {
    let level = fields.get("reasoningConfig").and_then(|config| config.get("maxReasoningEffort"));
    level.is_some_and(|level| level == HIGH)
}

/// The most of what models with levels have.
const HIGH: &str = "high";
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
        Some(HIGH | "xhigh" | "max") => Some(HIGH),
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
