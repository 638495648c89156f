//! `usageMetadata`, in and out.
//!
//! `promptTokenCount` has the cached tokens in it, `toolUsePromptTokenCount` is apart from it, and
//! `candidatesTokenCount` is without thoughts (<https://ai.google.dev/api/generate-content#UsageMetadata>, read
//! 2026-11-21; recorded totals agree).

use super::{member, whole};
use crate::model::{answer::Reported, usage::Usage};
use serde_json::{Map, Value, json};

/// What a provider reports; nothing if no count is in it (Vertex's chunks have only `trafficType` until the last).
pub(in crate::dialect) fn read(metadata: &Value) -> Option<Reported> {
    let count = |name| member(metadata, name).and_then(whole);
    let counts = ["promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount"];
    // What is no count says nothing; read as 0 it would cost nothing.
    let strange = |name| member(metadata, name).is_some() && count(name).is_none();
    if counts.into_iter().all(|name| count(name).is_none()) || counts.into_iter().any(strange) {
        return None;
    }
    let of = |name| count(name).unwrap_or(0);
    let prompt = of("promptTokenCount");
    let cache_read = of("cachedContentTokenCount").min(prompt);
    let tool_use = of("toolUsePromptTokenCount");
    let fresh = (prompt - cache_read).saturating_add(tool_use);
    let input_audio = of_modality(metadata, "promptTokensDetails", AUDIO)
        .saturating_sub(of_modality(metadata, "cacheTokensDetails", AUDIO))
        .saturating_add(of_modality(metadata, "toolUsePromptTokensDetails", AUDIO))
        .min(fresh);
    let candidates = of("candidatesTokenCount");
    let output_audio = of_modality(metadata, "candidatesTokensDetails", AUDIO).min(candidates);
    let output_image = of_modality(metadata, "candidatesTokensDetails", IMAGE).min(candidates - output_audio);
    // What is in the total alone is charged as what costs most.
    let parts =
        prompt.saturating_add(tool_use).saturating_add(candidates).saturating_add(of("thoughtsTokenCount"));
    let untold = of("totalTokenCount").saturating_sub(parts);
    let usage = Usage {
        input: fresh - input_audio,
        cache_read,
        cache_write_5m: 0,
        cache_write_1h: 0,
        input_audio,
        output: (candidates - output_audio - output_image).saturating_add(untold),
        reasoning: of("thoughtsTokenCount"),
        output_audio,
        output_image,
    };
    Some(Reported { usage, json: metadata.to_string(), cost_nanousd: None })
}

const AUDIO: &str = "AUDIO";
const IMAGE: &str = "IMAGE";

/// Tokens of sound or pictures in a list by modality.
fn of_modality(metadata: &Value, list: &str, modality: &str) -> u64 {
    let Some(list) = member(metadata, list).and_then(Value::as_array) else {
        return 0;
    };
    list.iter()
        .filter(|entry| member(entry, "modality").and_then(Value::as_str) == Some(modality))
        .filter_map(|entry| member(entry, "tokenCount").and_then(whole))
        .fold(0, u64::saturating_add)
}

/// The tier that served, in the words of `serviceTier`; Vertex says it in `trafficType`.
pub(super) fn tier(metadata: &Value) -> Option<String> {
    if let Some(tier) = member(metadata, "serviceTier").and_then(Value::as_str) {
        return Some(tier.to_ascii_lowercase());
    }
    let traffic = member(metadata, "trafficType")?.as_str()?;
    Some(match traffic {
        "ON_DEMAND" => "standard".to_owned(),
        other => other.strip_prefix("ON_DEMAND_")?.to_ascii_lowercase(),
    })
}

/// As a client of Google expects it.
pub(super) fn write(reported: Option<&Reported>, tier: Option<&str>) -> Option<Value> {
    let tier = tier.map(|tier| json!(if tier == "default" { "standard" } else { tier }));
    let Some(reported) = reported else {
        return tier.map(|tier| json!({ "serviceTier": tier }));
    };
    if let Ok(own @ Value::Object(_)) = serde_json::from_str::<Value>(&reported.json)
        && read(&own).is_some_and(|read| read.usage == reported.usage)
    {
        return Some(own);
    }
    let usage = &reported.usage;
    let mut written = Map::new();
    let mut put = |name: &str, count: u64| {
        if count > 0 || matches!(name, "promptTokenCount" | "candidatesTokenCount" | "totalTokenCount") {
            written.insert(name.to_owned(), json!(count));
        }
    };
    put("promptTokenCount", usage.input_total());
    put("cachedContentTokenCount", usage.cache_read);
    let candidates = usage.output.saturating_add(usage.output_audio).saturating_add(usage.output_image);
    put("candidatesTokenCount", candidates);
    put("thoughtsTokenCount", usage.reasoning);
    put("totalTokenCount", usage.total());
    let by_modality = |all: u64, audio: u64, images: u64| {
        let text = all.saturating_sub(audio).saturating_sub(images);
        let counts = [("TEXT", text), (AUDIO, audio), (IMAGE, images)];
        let told = counts.into_iter().filter(|(name, count)| *count > 0 || *name == "TEXT");
        told.map(|(name, count)| json!({ "modality": name, "tokenCount": count })).collect::<Vec<_>>()
    };
    if usage.input_audio > 0 {
        let details = by_modality(usage.input_total(), usage.input_audio, 0);
        written.insert("promptTokensDetails".to_owned(), json!(details));
    }
    if usage.output_audio > 0 || usage.output_image > 0 {
        let details = by_modality(candidates, usage.output_audio, usage.output_image);
        written.insert("candidatesTokensDetails".to_owned(), json!(details));
    }
    written.extend(tier.map(|tier| ("serviceTier".to_owned(), tier)));
    Some(Value::Object(written))
}
