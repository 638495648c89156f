//! What an answer tells, whatever dialect it is read from; and what a provider's JSON tells without the code under test.

use edgehold::{
    dialect::Dialect,
    model::{
        answer::{Answer, Finish},
        part::Body,
    },
};
use serde_json::{Value, json};

/// Why an answer ended, as far as all dialects can say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Complete,
    Length,
    Calls,
    Filtered,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    pub text: String,
    pub thoughts: String,
    pub calls: Vec<(String, Value)>,
    pub ending: Option<Ending>,
    /// Input, output.
    pub used: Option<(u64, u64)>,
}

fn arguments(text: &str) -> Value {
    let text = if text.trim().is_empty() { "{}" } else { text };
    match serde_json::from_str(text) {
        Ok(Value::Null) => json!({}),
        Ok(value) => value,
        Err(_) => json!(text),
    }
}

pub fn ending(finish: &Finish) -> Ending {
    match finish {
        Finish::Stop | Finish::StopSequence(_) | Finish::Paused | Finish::Other(_) => Ending::Complete,
        Finish::Length => Ending::Length,
        Finish::ToolCalls => Ending::Calls,
        Finish::Filtered(_) | Finish::Refused => Ending::Filtered,
    }
}

pub fn of(answer: &Answer) -> Told {
    let mut told = Told {
        used: answer.reported.as_ref().map(|all| (all.usage.input_total(), all.usage.output_total())),
        ..Told::default()
    };
    let Some(choice) = answer.choices.first() else { return told };
    told.ending = choice.finish.as_ref().map(ending);
    for part in &choice.parts {
        match &part.body {
            Body::Text(text) => told.text.push_str(&text.text),
            Body::Refusal(text) => told.text.push_str(text),
            Body::Reasoning(thoughts) => told.thoughts.push_str(&thoughts.text),
            Body::ToolCall(call) => told.calls.push((call.name.clone(), arguments(&call.arguments))),
            _ => {}
        }
    }
    told
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn texts<'a>(parts: impl Iterator<Item = &'a Value>) -> String {
    parts.filter_map(Value::as_str).collect()
}

/// What the provider's JSON says. `thoughts` is not told: the forms are many, and each dialect's own tests know them.
pub fn raw(dialect: Dialect, value: &Value) -> Told {
    let count = |pointer: &str| value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let word = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let mut told = Told::default();
    match dialect {
        Dialect::OpenAiChat => {
            let message = &value["choices"][0]["message"];
            told.text = match &message["content"] {
                Value::String(text) => text.clone(),
                Value::Array(chunks) => texts(chunks.iter().map(|chunk| &chunk["text"])),
                _ => String::new(),
            };
            told.text.push_str(message["refusal"].as_str().unwrap_or_default());
            for call in list(message, "/tool_calls") {
                let function = &call["function"];
                if let Some(name) = function["name"].as_str() {
                    let given = match &function["arguments"] {
                        Value::String(text) => arguments(text),
                        Value::Null => json!({}),
                        other => other.clone(),
                    };
                    told.calls.push((name.to_owned(), given));
                }
            }
            told.ending = match word("/choices/0/finish_reason") {
                "" => None,
                "length" => Some(Ending::Length),
                "tool_calls" => Some(Ending::Calls),
                "content_filter" => Some(Ending::Filtered),
                _ => Some(Ending::Complete),
            };
            let beside = count("/usage/total_tokens").saturating_sub(count("/usage/prompt_tokens"));
            told.used = value["usage"]
                .is_object()
                .then(|| (count("/usage/prompt_tokens"), beside.max(count("/usage/completion_tokens"))));
        }
        Dialect::OpenAiResponses => {
            for item in list(value, "/output") {
                match item["type"].as_str().unwrap() {
                    "message" => {
                        for part in list(item, "/content") {
                            let text = part["text"].as_str().or(part["refusal"].as_str());
                            told.text.push_str(text.unwrap_or_default());
                        }
                    }
                    "function_call" => {
                        let given = arguments(item["arguments"].as_str().unwrap());
                        told.calls.push((item["name"].as_str().unwrap().to_owned(), given));
                    }
                    _ => {}
                }
            }
            told.ending = Some(match word("/incomplete_details/reason") {
                "max_output_tokens" => Ending::Length,
                "content_filter" => Ending::Filtered,
                _ if told.calls.is_empty() => Ending::Complete,
                _ => Ending::Calls,
            });
            told.used = Some((count("/usage/input_tokens"), count("/usage/output_tokens")));
        }
        Dialect::Anthropic => {
            for block in list(value, "/content") {
                match block["type"].as_str().unwrap() {
                    "text" => told.text.push_str(block["text"].as_str().unwrap()),
                    "tool_use" => {
                        told.calls.push((block["name"].as_str().unwrap().to_owned(), block["input"].clone()));
                    }
                    _ => {}
                }
            }
            told.ending = Some(match word("/stop_reason") {
                "max_tokens" | "model_context_window_exceeded" => Ending::Length,
                "tool_use" => Ending::Calls,
                "refusal" => Ending::Filtered,
                _ => Ending::Complete,
            });
            let mut input = count("/usage/input_tokens")
                + count("/usage/cache_read_input_tokens")
                + count("/usage/cache_creation_input_tokens");
            let mut output = count("/usage/output_tokens");
            // Billed, and not in the totals.
            for one in list(value, "/usage/iterations").iter().filter(|one| one["type"] == "compaction") {
                input += one["input_tokens"].as_u64().unwrap();
                output += one["output_tokens"].as_u64().unwrap();
            }
            told.used = Some((input, output));
        }
        Dialect::Gemini => {
            for part in list(value, "/candidates/0/content/parts") {
                if part["thought"] != true {
                    told.text.push_str(part["text"].as_str().unwrap_or_default());
                }
                if let Some(name) = part["functionCall"]["name"].as_str() {
                    let args = part["functionCall"].get("args").cloned().unwrap_or_else(|| json!({}));
                    told.calls.push((name.to_owned(), args));
                }
            }
            told.ending = match word("/candidates/0/finishReason") {
                "" => None,
                "MAX_TOKENS" => Some(Ending::Length),
                "STOP" if told.calls.is_empty() => Some(Ending::Complete),
                "STOP" => Some(Ending::Calls),
                "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "IMAGE_SAFETY" => {
                    Some(Ending::Filtered)
                }
                _ => Some(Ending::Complete),
            };
            if !word("/promptFeedback/blockReason").is_empty() {
                told.ending = Some(Ending::Filtered);
            }
            let usage = "/usageMetadata";
            let counted = value["usageMetadata"]["totalTokenCount"].is_number();
            told.used = counted.then(|| {
                (
                    count(&format!("{usage}/promptTokenCount"))
                        + count(&format!("{usage}/toolUsePromptTokenCount")),
                    count(&format!("{usage}/candidatesTokenCount"))
                        + count(&format!("{usage}/thoughtsTokenCount")),
                )
            });
        }
        Dialect::Bedrock => {
            for block in list(value, "/output/message/content") {
                told.text.push_str(block["text"].as_str().unwrap_or_default());
                // What the provider runs is no call.
                if let Some(name) = block["toolUse"]["name"].as_str()
                    && block["toolUse"]["type"] != "server_tool_use"
                {
                    told.calls.push((name.to_owned(), block["toolUse"]["input"].clone()));
                }
            }
            told.ending = Some(match word("/stopReason") {
                "max_tokens" | "model_context_window_exceeded" => Ending::Length,
                "tool_use" => Ending::Calls,
                "guardrail_intervened" | "content_filtered" => Ending::Filtered,
                _ => Ending::Complete,
            });
            told.used = Some((
                count("/usage/inputTokens")
                    + count("/usage/cacheReadInputTokens")
                    + count("/usage/cacheWriteInputTokens"),
                count("/usage/outputTokens"),
            ));
        }
        Dialect::Cohere => {
            told.text = word("/message/tool_plan").to_owned();
            told.text.push_str(&texts(list(value, "/message/content").iter().map(|block| &block["text"])));
            for call in list(value, "/message/tool_calls") {
                let function = &call["function"];
                let given = arguments(function["arguments"].as_str().unwrap_or_default());
                told.calls.push((function["name"].as_str().unwrap().to_owned(), given));
            }
            told.ending = Some(match word("/finish_reason") {
                "MAX_TOKENS" => Ending::Length,
                "TOOL_CALL" => Ending::Calls,
                _ => Ending::Complete,
            });
            let billed = |name: &str| {
                value["usage"]["billed_units"][name]
                    .as_f64()
                    .map(|tokens| format!("{tokens}").parse().unwrap())
            };
            told.used = billed("input_tokens").zip(billed("output_tokens"));
        }
    }
    told
}
