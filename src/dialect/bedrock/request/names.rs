//! How the caller's dialect calls what cannot be carried.

use crate::dialect::Dialect;

/// A member, by chat completions' name for it.
pub(super) fn called(dialect: Dialect, name: &'static str) -> String {
    use Dialect::{Anthropic, Bedrock, Cohere, Gemini, OpenAiResponses};
    let own = match (dialect, name) {
        (Gemini, "n") => "generationConfig.candidateCount",
        (Gemini, "seed") => "generationConfig.seed",
        (Gemini, "temperature") => "generationConfig.temperature",
        (Gemini, "top_p") => "generationConfig.topP",
        (Gemini, "stop") => "generationConfig.stopSequences",
        (Gemini, "top_k") => "generationConfig.topK",
        (Gemini, "presence_penalty") => "generationConfig.presencePenalty",
        (Gemini, "frequency_penalty") => "generationConfig.frequencyPenalty",
        (Gemini, "logprobs") => "generationConfig.responseLogprobs",
        (Gemini, "top_logprobs") => "generationConfig.logprobs",
        (Gemini, "response_format") => "generationConfig.responseMimeType",
        (Gemini, "reasoning_effort") => "generationConfig.thinkingConfig",
        (Gemini, "tool_choice") => "toolConfig",
        (Anthropic, "user") => "metadata.user_id",
        (Anthropic | Cohere, "reasoning_effort") => "thinking",
        (Anthropic, "parallel_tool_calls") => "tool_choice.disable_parallel_tool_use",
        (Anthropic, "response_format") => "output_format",
        (Anthropic | Cohere, "stop") => "stop_sequences",
        (Cohere, "top_k") => "k",
        (Cohere, "top_p") => "p",
        (OpenAiResponses, "reasoning_effort") => "reasoning",
        (OpenAiResponses, "response_format") => "text.format",
        (Bedrock, "reasoning_effort" | "top_k") => "additionalModelRequestFields",
        (Bedrock, "service_tier") => "serviceTier",
        (Bedrock, "temperature") => "inferenceConfig.temperature",
        _ => name,
    };
    own.to_owned()
}

/// A turn.
pub(super) fn turn(dialect: Dialect, index: usize) -> String {
    match dialect {
        Dialect::Gemini => format!("contents[{index}]"),
        Dialect::OpenAiResponses => format!("input[{index}]"),
        _ => format!("messages[{index}]"),
    }
}

/// A part of a turn.
pub(super) fn part(dialect: Dialect, turn_place: &str, index: usize) -> String {
    let list = if dialect == Dialect::Gemini { "parts" } else { "content" };
    format!("{turn_place}.{list}[{index}]")
}
