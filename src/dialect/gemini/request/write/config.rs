//! `generationConfig`: how the next token is chosen, the answer's form, how much the model thinks first.

use super::Writer;
use crate::{
    dialect::{Dialect, Order},
    model::request::{Format, Thinking, Tool},
};
use serde_json::{Map, Value, json};

impl Writer<'_> {
    pub(super) fn generation_config(&mut self, order: &Order<'_>) -> Map<String, Value> {
        let request = self.request;
        let sampling = &request.sampling;
        let mut config = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                config.insert(name.to_owned(), value);
            }
        };
        put("temperature", sampling.temperature.clone());
        put("topP", sampling.top_p.clone());
        put("topK", sampling.top_k.clone());
        put("maxOutputTokens", order.output_cap.map(Value::from));
        put("stopSequences", (!sampling.stop.is_empty()).then(|| json!(sampling.stop)));
        put("seed", sampling.seed.clone());
        put("responseLogprobs", sampling.logprobs.then_some(Value::Bool(true)));
        put("logprobs", sampling.top_logprobs.map(Value::from));
        // More than one answer is a 400 from the third generation on (<https://github.com/googleapis/js-genai/issues/1609>),
        // a penalty since 2.5 (<https://github.com/google-gemini/cookbook/issues/1290>); both read 2026-11-21.
        if self.is_own() || !self.is_third() {
            put("candidateCount", sampling.choices.map(Value::from));
        } else if sampling.choices.is_some_and(|choices| choices > 1) {
            self.written.refused.push("n".to_owned());
        }
        let penalties = [
            ("presencePenalty", "presence_penalty", &sampling.presence_penalty),
            ("frequencyPenalty", "frequency_penalty", &sampling.frequency_penalty),
        ];
        for (name, chat, penalty) in penalties {
            if self.is_own() || self.generation.is_none_or(|generation| generation < (2, 5)) {
                put(name, penalty.clone());
            } else if penalty.as_ref().is_some_and(|penalty| penalty.as_f64() != Some(0.0)) {
                self.drop(chat);
            }
        }
        if let Some(format) = &request.format {
            put("responseMimeType", Some(json!("application/json")));
            if let Format::Schema { schema, description, .. } = format {
                put("responseJsonSchema", Some(described(schema, description.as_deref())));
            }
            let functions = request.tools.iter().any(|tool| matches!(tool, Tool::Function(_)));
            if functions && self.generation.is_some_and(|(major, _)| major < 3) {
                // Both at once from the third generation on
                // (<https://ai.google.dev/gemini-api/docs/gemini-3#structured_outputs_with_tools>); before, a 400
                // (<https://github.com/googleapis/python-genai/issues/867>); both read 2026-11-21.
                self.written.refused.push(self.named("response_format").to_owned());
            }
        }
        if let Some(thinking) = &request.thinking
            && let Some(thinking) = self.thinking(thinking)
        {
            config.insert("thinkingConfig".to_owned(), thinking);
        }
        if sampling.logit_bias.is_some() {
            self.drop("logit_bias");
        }
        config
    }

    /// What the caller's dialect calls it.
    pub(super) fn named(&self, chat: &'static str) -> &'static str {
        match (chat, self.request.dialect) {
            ("reasoning_effort", Dialect::OpenAiResponses) => "reasoning",
            ("reasoning_effort", Dialect::Gemini) => "generationConfig.thinkingConfig",
            ("reasoning_effort", Dialect::Anthropic | Dialect::Cohere | Dialect::Bedrock) => "thinking",
            ("response_format", Dialect::OpenAiResponses) => "text.format",
            ("response_format", Dialect::Gemini) => "generationConfig.responseMimeType",
            ("response_format", Dialect::Anthropic) => "output_format",
            ("user", Dialect::Anthropic) => "metadata.user_id",
            _ => chat,
        }
    }

    /// `thinkingConfig`: levels from the third generation on, budgets before, nothing for models that do not think.
    ///
    /// The budgets for levels are Google's own (<https://ai.google.dev/gemini-api/docs/openai#thinking>), the limits those
    /// of <https://ai.google.dev/gemini-api/docs/generate-content/thinking>, both read 2026-11-21.
    fn thinking(&mut self, thinking: &Thinking) -> Option<Value> {
        let mut config = Map::new();
        if let Some(shown) = thinking.shown {
            config.insert("includeThoughts".to_owned(), json!(shown));
        }
        if self.is_own() {
            // As the caller said it.
            let budget = match thinking {
                Thinking { enabled: Some(false), .. } => Some(json!(0)),
                Thinking { adaptive: true, .. } => Some(json!(-1)),
                _ => thinking.budget_tokens.map(Value::from),
            };
            config.extend(budget.map(|budget| ("thinkingBudget".to_owned(), budget)));
            let level = thinking.effort.as_ref().map(|effort| json!(effort.to_ascii_uppercase()));
            config.extend(level.map(|level| ("thinkingLevel".to_owned(), level)));
            return Some(Value::Object(config)).filter(|config| *config != json!({}));
        }
        let off = thinking.enabled == Some(false) || thinking.effort.as_deref() == Some("none");
        if self.generation.is_some_and(|generation| generation < (2, 5)) {
            if !off && *thinking != Thinking::default() {
                let name = self.named("reasoning_effort");
                self.drop(name);
            }
            return None;
        }
        if self.is_third() {
            let effort = match (&thinking.effort, thinking.budget_tokens) {
                _ if off => Some("minimal"),
                (Some(effort), _) => Some(effort.as_str()),
                (None, Some(tokens)) => Some(Thinking::effort_of_budget(tokens)),
                (None, None) => None,
            };
            let level = effort.map(|effort| match effort {
                // No Pro thinks so little, nor any Flash from 3.7 on: it is a 400 there
                // (<https://github.com/BerriAI/litellm-docs/pull/1505>, read 2026-11-21).
                "minimal" | "none" if self.pro || self.generation > Some((3, 6)) => "LOW",
                "minimal" | "none" => "MINIMAL",
                "low" => "LOW",
                // The third generation's first Pro knows no medium.
                "medium" if !(self.pro && self.generation == Some((3, 0))) => "MEDIUM",
                _ => "HIGH",
            });
            config.extend(level.map(|level| ("thinkingLevel".to_owned(), json!(level))));
        } else {
            let (least, most) = if self.pro { (128, 32_768) } else { (512, 24_576) };
            let budget = match (&thinking.effort, thinking.budget_tokens) {
                _ if off => Some(if self.pro { json!(least) } else { json!(0) }),
                (_, Some(tokens)) => Some(json!(tokens.clamp(least, most))),
                (Some(effort), None) => Some(match effort.as_str() {
                    "minimal" | "low" => json!(1_024),
                    "medium" => json!(8_192),
                    _ => json!(24_576),
                }),
                (None, None) => thinking.adaptive.then(|| json!(-1)),
            };
            config.extend(budget.map(|budget| ("thinkingBudget".to_owned(), budget)));
        }
        Some(Value::Object(config)).filter(|config| *config != json!({}))
    }
}

/// A schema with what it is for, if it does not say so itself.
fn described(schema: &Value, description: Option<&str>) -> Value {
    let mut schema = schema.clone();
    if let (Value::Object(schema), Some(description)) = (&mut schema, description) {
        schema.entry("description").or_insert_with(|| json!(description));
    }
    schema
}
