//! Everything of a request but its messages.

use super::{
    super::super::{OWN, block::show_mark, model::Claude, schema::narrowed},
    Draft,
};
use crate::model::{
    part::{Body, Part},
    request::{Format, Function, Request, Role, Thinking, Tool, ToolChoice},
};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// Budgets below this are refused (<https://docs.claude.com/en/docs/build-with-claude/extended-thinking>, read 2026-11-21).
const BUDGET_TOKENS_MIN: u64 = 1_024;

/// A longer name of a user is refused (<https://docs.claude.com/en/api/messages>, `metadata.user_id`; read 2026-11-21).
const USER_CHARS_MAX: usize = 256;

/// What stands in for OpenAI's `json_object`, which Anthropic has no equal of.
const ANY_JSON: &str = "Answer with one JSON object and nothing else: no other words, no code fence.";

/// Members of the body, and what the model is to be told beside the caller's instructions.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub(super) members: Map<String, Value>,
    pub(super) instructions: Vec<String>,
}

impl Chosen {
    fn insert(&mut self, name: &str, value: Value) {
        self.members.insert(name.to_owned(), value);
    }
}

pub(super) fn choose(request: &Request, claude: Claude, cap: u64, draft: &mut Draft) -> Chosen {
    let mut chosen = Chosen::default();
    let forced = tools(request, claude, &mut chosen, draft);
    let (mut thinking, effort) = thoughts(request, claude, cap, forced, draft);
    // Translating moves instructions and adds some, so thoughts may come back behind another beginning. Lost thoughts are
    // better than a refused conversation.
    if claude.binds_thoughts() && sends_thoughts_back(request) {
        let thinking = thinking.get_or_insert_with(|| json!({"type": "adaptive"}));
        if let Some(members) =
            thinking.as_object_mut().filter(|members| members.get("type") == Some(&json!("adaptive")))
        {
            members.insert("block_binding".to_owned(), json!({"prefix_mismatch_behavior": "drop_block"}));
        }
    }
    let mut config = match request.extras.get("output_config") {
        Some(Value::Object(config)) if request.dialect == OWN => config.clone(),
        _ => Map::new(),
    };
    if let Some(effort) = effort {
        config.insert("effort".to_owned(), json!(effort));
    }
    if let Some(format) = format(request, claude, &mut chosen, draft) {
        config.insert("format".to_owned(), format);
    }
    sampling(request, claude, thinking.as_ref(), &mut chosen, draft);
    if let Some(thinking) = thinking {
        chosen.insert("thinking", thinking);
    }
    if !config.is_empty() {
        chosen.insert("output_config", Value::Object(config));
    }
    let dropped = &mut draft.written.dropped;
    match &request.user {
        // Names that look like addresses of mail are refused, too.
        Some(user)
            if request.dialect == OWN || (user.chars().count() <= USER_CHARS_MAX && !user.contains('@')) =>
        {
            chosen.insert("metadata", json!({"user_id": user}));
        }
        Some(_) => dropped.push("user".to_owned()),
        None => {}
    }
    match request.service_tier.as_deref() {
        Some(tier @ ("auto" | "standard_only")) => chosen.insert("service_tier", json!(tier)),
        Some("default") => chosen.insert("service_tier", json!("standard_only")),
        Some(tier) if request.dialect == OWN => chosen.insert("service_tier", json!(tier)),
        Some(_) => dropped.push("service_tier".to_owned()),
        None => {}
    }
    chosen
}

/// Tools and the choice among them; whether one must be called.
fn tools(request: &Request, claude: Claude, chosen: &mut Chosen, draft: &mut Draft) -> bool {
    let must = matches!(
        request.tool_choice,
        Some(ToolChoice::Required | ToolChoice::Function(_) | ToolChoice::Allowed { required: true, .. })
    );
    let cannot = must && request.dialect != OWN && !claude.forces();
    let only: Option<HashSet<&String>> = match &request.tool_choice {
        Some(ToolChoice::Allowed { names, .. }) => Some(names.iter().collect()),
        Some(ToolChoice::Function(name)) if cannot => Some(HashSet::from([name])),
        _ => None,
    };
    let mut tools = Vec::with_capacity(request.tools.len());
    for (index, tool) in request.tools.iter().enumerate() {
        match tool {
            // There is no choice among some: the others are not offered.
            Tool::Function(function)
                if only.as_ref().is_some_and(|names| !names.contains(&function.name)) => {}
            Tool::Function(function) => tools.push(show_function(function, index, request, claude, draft)),
            Tool::Native(OWN, value) => tools.push(value.clone()),
            Tool::Native(..) => draft.written.refused.push(format!("tools[{index}]")),
        }
    }
    if tools.is_empty() {
        return false;
    }
    chosen.insert("tools", Value::Array(tools));
    let mut choice = match &request.tool_choice {
        None if request.parallel_tool_calls == Some(false) => json!({"type": "auto"}),
        None => return false,
        // Anthropic's own advice where a model cannot be forced: leave it the choice, and tell it.
        Some(choice) if cannot => {
            draft.written.dropped.push("tool_choice".to_owned());
            chosen.instructions.push(match choice {
                ToolChoice::Function(name) => {
                    format!("Answer with a call of the tool '{name}', not with text.")
                }
                _ => "Answer with a call of one of the tools, not with text.".to_owned(),
            });
            json!({"type": "auto"})
        }
        Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => json!({"type": "auto"}),
        Some(ToolChoice::None) => json!({"type": "none"}),
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => json!({"type": "any"}),
        Some(ToolChoice::Function(name)) => json!({"type": "tool", "name": name}),
    };
    if let (Some(parallel), Some(members)) = (request.parallel_tool_calls, choice.as_object_mut())
        && request.tool_choice != Some(ToolChoice::None)
    {
        members.insert("disable_parallel_tool_use".to_owned(), json!(!parallel));
    }
    chosen.insert("tool_choice", choice);
    must && !cannot
}

fn show_function(
    function: &Function,
    index: usize,
    request: &Request,
    claude: Claude,
    draft: &mut Draft,
) -> Value {
    let own = request.dialect == OWN;
    let mut tool = Map::new();
    tool.insert("name".to_owned(), json!(function.name));
    if let Some(description) = &function.description {
        tool.insert("description".to_owned(), json!(description));
    }
    let mut schema = function.parameters.clone().unwrap_or_else(|| json!({"properties": {}}));
    let mut strict = function.strict;
    if !own && strict == Some(true) {
        match narrowed(&schema).filter(|_| claude.keeps_schemas()) {
            Some(narrow) => schema = narrow,
            None => {
                strict = None;
                draft.written.dropped.push(format!("tools[{index}].strict"));
            }
        }
    }
    if let Some(members) = schema.as_object_mut().filter(|members| !members.contains_key("type")) {
        members.shift_insert(0, "type".to_owned(), json!("object"));
    }
    tool.insert("input_schema".to_owned(), schema);
    if let Some(strict) = strict.filter(|strict| own || *strict) {
        tool.insert("strict".to_owned(), json!(strict));
    }
    if let Some(mark) = function.cache {
        tool.insert("cache_control".to_owned(), show_mark(mark));
    }
    if own {
        let place = format!("tools[{index}].");
        for (path, value) in &request.extras {
            if let Some(name) = path.strip_prefix(&place) {
                tool.insert(name.to_owned(), value.clone());
            }
        }
    }
    Value::Object(tool)
}

/// `thinking`, and the level of effort.
fn thoughts(
    request: &Request,
    claude: Claude,
    cap: u64,
    forced: bool,
    draft: &mut Draft,
) -> (Option<Value>, Option<String>) {
    let Some(asked) = &request.thinking else { return (None, None) };
    if request.dialect == OWN {
        let mut thinking = as_sent(asked, cap, draft);
        if let Some(members) = thinking.as_mut().and_then(Value::as_object_mut) {
            for (path, value) in &request.extras {
                if let Some(name) = path.strip_prefix("thinking.") {
                    members.insert(name.to_owned(), value.clone());
                }
            }
        }
        return (thinking, asked.effort.clone());
    }
    let dropped = &mut draft.written.dropped;
    let name = if asked.effort.is_some() { "reasoning_effort" } else { "thinking" };
    let off = asked.enabled == Some(false)
        || asked.effort.as_deref() == Some("none")
        || asked.budget_tokens == Some(0);
    if off {
        if claude.thinks_always() {
            dropped.push(name.to_owned());
            return (None, claude.effort("low").map(str::to_owned));
        }
        return (claude.thinks_unasked().then(|| json!({"type": claude.quiet()})), None);
    }
    let level = asked.effort.as_deref().map(str::to_owned);
    if asked.enabled != Some(true) && !asked.adaptive && level.is_none() && asked.budget_tokens.is_none() {
        return (None, None);
    }
    let display = match (asked.shown, &asked.summary) {
        (Some(true), _) | (None, Some(_)) => Some("summarized"),
        (Some(false), _) => Some("omitted"),
        (None, None) => None,
    };
    if claude.adapts() {
        let of_budget = || asked.budget_tokens.map(|tokens| Thinking::effort_of_budget(tokens).to_owned());
        let level = level.or_else(of_budget);
        let effort = level.as_deref().and_then(|level| claude.effort(level)).map(str::to_owned);
        if effort.is_none() && level.is_some() {
            dropped.push(name.to_owned());
        }
        // Who must call cannot think first, where thinking has to be asked for.
        if forced {
            if !claude.thinks_unasked() {
                dropped.push(name.to_owned());
            }
            return (None, effort);
        }
        let mut thinking = json!({"type": "adaptive"});
        if let (Some(display), Some(members)) = (display, thinking.as_object_mut()) {
            members.insert("display".to_owned(), json!(display));
        }
        return (Some(thinking), effort);
    }
    let budget = asked
        .budget_tokens
        .or_else(|| Thinking::budget_of_effort(level.as_deref().unwrap_or("medium")))
        .and_then(|budget| fitting(budget, cap));
    match budget {
        Some(budget) if claude.thinks() && !forced && !begins_without_thoughts(request) => {
            (Some(json!({"type": "enabled", "budget_tokens": budget})), None)
        }
        _ => {
            dropped.push(name.to_owned());
            (None, None)
        }
    }
}

/// As a client of this dialect asked for it; only the budget gives way to a cap that policy lowered.
fn as_sent(asked: &Thinking, cap: u64, draft: &mut Draft) -> Option<Value> {
    let mut thinking = if asked.adaptive {
        json!({"type": "adaptive"})
    } else if let Some(budget) = asked.budget_tokens {
        let Some(budget) = fitting(budget, cap) else {
            draft.written.dropped.push("thinking".to_owned());
            return None;
        };
        json!({"type": "enabled", "budget_tokens": budget})
    } else if asked.enabled == Some(false) {
        json!({"type": "disabled"})
    } else {
        return None;
    };
    if let (Some(shown), Some(members)) = (asked.shown, thinking.as_object_mut()) {
        members.insert("display".to_owned(), json!(if shown { "summarized" } else { "omitted" }));
    }
    Some(thinking)
}

/// A budget must be smaller than the cap; one that is not leaves half of the cap to the answer.
fn fitting(budget: u64, cap: u64) -> Option<u64> {
    let budget = budget.max(BUDGET_TOKENS_MIN);
    let budget = if budget < cap { budget } else { (cap / 2).max(BUDGET_TOKENS_MIN) };
    (budget < cap).then_some(budget)
}

/// Whether a client of another dialect sends thoughts of Anthropic's back.
pub(in crate::dialect::anthropic) fn sends_thoughts_back(request: &Request) -> bool {
    let proved = |part: &Part| {
        matches!(part.body, Body::Reasoning(_))
            && part.signature.as_ref().is_some_and(|proof| proof.for_maker(OWN).is_some())
    };
    request.dialect != OWN && request.turns.iter().any(|turn| turn.parts.iter().any(proved))
}

/// Whether the model is in the middle of calling tools and its call came without the thoughts before it, as from clients
/// that do not send thoughts back. With a budget the provider refuses that ("Expected `thinking` or `redacted_thinking`");
/// adaptive models do not.
fn begins_without_thoughts(request: &Request) -> bool {
    let mut turns = request.turns.iter().rev().skip_while(|turn| turn.role == Role::Tool);
    let in_loop = request.turns.last().is_some_and(|turn| turn.role == Role::Tool);
    let Some(last) = turns.next().filter(|turn| in_loop && turn.role == Role::Assistant) else {
        return false;
    };
    !last.parts.iter().any(|part| {
        matches!(part.body, Body::Reasoning(_))
            && part.signature.as_ref().is_some_and(|proof| proof.for_maker(OWN).is_some())
    })
}

fn format(request: &Request, claude: Claude, chosen: &mut Chosen, draft: &mut Draft) -> Option<Value> {
    let instruction = match request.format.as_ref()? {
        Format::Json => ANY_JSON.to_owned(),
        Format::Schema { schema, .. } if request.dialect == OWN => {
            return Some(json!({"type": "json_schema", "schema": schema}));
        }
        Format::Schema { schema, .. } => {
            if let Some(narrow) = narrowed(schema).filter(|_| claude.keeps_schemas()) {
                return Some(json!({"type": "json_schema", "schema": narrow}));
            }
            format!("{ANY_JSON} It must follow this JSON Schema: {schema}")
        }
    };
    // The model is asked, but nothing holds it to it.
    draft.written.dropped.push("response_format".to_owned());
    chosen.instructions.push(instruction);
    None
}

fn sampling(
    request: &Request,
    claude: Claude,
    thinking: Option<&Value>,
    chosen: &mut Chosen,
    draft: &mut Draft,
) {
    let asked = &request.sampling;
    let written = &mut draft.written;
    if asked.choices.is_some_and(|choices| choices > 1) {
        written.refused.push("n".to_owned());
    }
    let unknown = [
        ("seed", asked.seed.is_some()),
        ("presence_penalty", asked.presence_penalty.is_some()),
        ("frequency_penalty", asked.frequency_penalty.is_some()),
        ("logprobs", asked.logprobs),
        ("top_logprobs", asked.top_logprobs.is_some()),
        ("logit_bias", asked.logit_bias.is_some()),
    ];
    written.dropped.extend(unknown.into_iter().filter(|(_, given)| *given).map(|(name, _)| name.to_owned()));
    let (blank, stop): (Vec<&String>, Vec<&String>) =
        asked.stop.iter().partition(|text| text.trim().is_empty());
    if !blank.is_empty() {
        // "each stop sequence must contain non-whitespace".
        written.dropped.push("stop".to_owned());
    }
    if !stop.is_empty() {
        chosen.insert("stop_sequences", json!(stop));
    }
    // While it thinks, a model takes a temperature of 1 and a `top_p` of at least 0.95 alone
    // (<https://docs.claude.com/en/docs/build-with-claude/extended-thinking>, read 2026-11-21).
    let thinks = thinking.is_some_and(|thinking| thinking.get("type") != Some(&json!("disabled")));
    let taken = |name: &str, value: &Value| {
        let number = value.as_f64().unwrap_or(f64::NAN);
        match name {
            _ if !claude.samples() => None,
            "temperature" if thinks => (number == 1.0).then(|| value.clone()),
            "top_p" if thinks => (0.95..=1.0).contains(&number).then(|| value.clone()),
            "top_k" if thinks => None,
            "top_p" if claude.samples_by_one() && asked.temperature.is_some() => None,
            _ => Some(value.clone()),
        }
    };
    let values = [("temperature", &asked.temperature), ("top_p", &asked.top_p), ("top_k", &asked.top_k)];
    for (name, value) in values.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        match taken(name, value) {
            // Other dialects go up to 2.
            Some(value) if name == "temperature" && value.as_f64().is_some_and(|number| number > 1.0) => {
                written.dropped.push(name.to_owned());
                chosen.insert(name, json!(1));
            }
            Some(value) => chosen.insert(name, value),
            None => written.dropped.push(name.to_owned()),
        }
    }
}
