//! What a request asks, whatever dialect it is read from: two requests that ask the same are equal here.

use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use edgehold::model::{
    part::{Body, Media, Part, Source, ToolResult},
    request::{Format, Request, Role, Tool, ToolChoice},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What one side said until the other spoke.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    pub model: bool,
    /// Without white space: dialects join texts in different ways.
    pub text: String,
    pub calls: Vec<(String, Value)>,
    /// Function and what came out.
    pub results: Vec<(String, Value)>,
    pub media: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub instructions: String,
    pub said: Vec<Said>,
    /// Name, description, schema.
    pub tools: Vec<(String, String, Value)>,
    pub choice: Option<String>,
    pub format: Option<Value>,
    pub cap: Option<u64>,
    pub stream: bool,
    /// Of the rest: what is there, by the names this test gives it.
    pub rest: BTreeSet<&'static str>,
    /// Parts that only one dialect knows.
    pub natives: usize,
}

fn dense(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_whitespace()).collect()
}

/// A result as it is, out of the object that a dialect may put around it.
fn result_value(text: &str) -> Value {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(members)) if members.len() == 1 => {
            let (name, inner) = members.iter().next().unwrap();
            match (name.as_str(), inner) {
                (
                    "output" | "result" | "error" | "data" | "return_value" | "content",
                    Value::String(inner),
                ) => result_value(inner),
                ("output" | "result" | "error" | "data" | "return_value" | "content", inner) => inner.clone(),
                _ => Value::Object(members),
            }
        }
        Ok(Value::Object(members)) if members.is_empty() => json!(""),
        Ok(value) => value,
        Err(_) => json!(dense(text)),
    }
}

/// A document that is text, however it is given.
fn words(media: &Media) -> Option<String> {
    match (&media.source, media.mime.as_deref()) {
        (Source::Text(text), _) => Some(text.clone()),
        (Source::Base64(data), Some(mime)) if mime.starts_with("text/") => {
            Some(String::from_utf8(BASE64.decode(data).ok()?).unwrap())
        }
        _ => None,
    }
}

fn media_key(media: &Media) -> String {
    let source = match &media.source {
        Source::Base64(data) => format!("{}…{}", data.len(), data.chars().take(40).collect::<String>()),
        // What kind it is, only its bytes say.
        Source::Url(url) => return url.clone(),
        Source::File(_, id) => id.clone(),
        Source::Text(_) => unreachable!(),
    };
    format!("{:?} {source}", media.kind)
}

struct Telling<'a> {
    /// Texts given as documents with their titles.
    titled: bool,
    names: BTreeMap<&'a str, &'a str>,
    said: Vec<Said>,
    natives: usize,
}

impl<'a> Telling<'a> {
    fn side(&mut self, model: bool) -> &mut Said {
        if self.said.last().is_none_or(|last| last.model != model) {
            self.said.push(Said { model, ..Said::default() });
        }
        self.said.last_mut().unwrap()
    }

    fn document(&self, media: &Media, text: &str) -> String {
        let name = media.name.as_deref().filter(|_| self.titled).unwrap_or_default();
        dense(&format!("{name}{text}"))
    }

    fn part(&mut self, part: &'a Part, model: bool) {
        match &part.body {
            Body::Text(text) => {
                let text = dense(&text.text);
                if !text.is_empty() {
                    self.side(model).text.push_str(&text);
                }
            }
            Body::Refusal(text) => self.side(model).text.push_str(&dense(text)),
            // Part of the conversation for their maker only.
            Body::Reasoning(_) => {}
            Body::Media(media) => match words(media) {
                Some(text) => {
                    let text = self.document(media, &text);
                    self.side(model).text.push_str(&text);
                }
                // Told as dropped: only the user can show something.
                None if model => self.natives += 1,
                None => self.side(model).media.push(media_key(media)),
            },
            Body::ToolCall(call) => {
                self.names.insert(&call.id, &call.name);
                let arguments = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
                let arguments = serde_json::from_str(arguments).unwrap_or_else(|_| json!(arguments));
                self.side(model).calls.push((call.name.clone(), arguments));
            }
            Body::ToolResult(result) => self.result(result),
            Body::Native(..) => self.natives += 1,
        }
    }

    fn result(&mut self, result: &'a ToolResult) {
        let (mut texts, mut media) = (Vec::new(), Vec::new());
        for part in &result.parts {
            match &part.body {
                // Nothing, where there must be an object.
                Body::Text(text) if text.text == "{}" => {}
                Body::Text(text) => texts.push(text.text.clone()),
                Body::Refusal(text) => texts.push(text.clone()),
                Body::Native(_, value) if *value == json!({}) => {}
                Body::Native(_, value) => texts.push(value.to_string()),
                Body::Media(one) => match words(one) {
                    Some(text) => texts.push(self.document(one, &text)),
                    None => media.push(media_key(one)),
                },
                _ => {}
            }
        }
        let name = result.name.as_deref().or_else(|| self.names.get(result.id.as_str()).copied());
        // Google demands a name.
        let name = name.filter(|name| *name != "function").unwrap_or_default().to_owned();
        let text = texts.join("\n");
        let said = self.side(false);
        said.results.push((name, result_value(text.trim())));
        said.media.extend(media);
    }
}

pub fn of(request: &Request, titled: bool) -> Question {
    let mut telling = Telling { titled, names: BTreeMap::new(), said: Vec::new(), natives: 0 };
    let mut instructions = String::new();
    for turn in &request.turns {
        match turn.role {
            Role::System | Role::Developer => {
                for part in &turn.parts {
                    match &part.body {
                        Body::Text(text) => instructions.push_str(&dense(&text.text)),
                        _ => telling.natives += 1,
                    }
                }
            }
            role => turn.parts.iter().for_each(|part| telling.part(part, role == Role::Assistant)),
        }
    }
    for said in &mut telling.said {
        said.media.sort();
    }
    let tools = request.tools.iter().filter_map(|tool| match tool {
        Tool::Function(function) => Some((
            function.name.clone(),
            function.description.clone().unwrap_or_default(),
            function.parameters.clone().unwrap_or_else(|| json!({"type": "object", "properties": {}})),
        )),
        Tool::Native(..) => None,
    });
    let (sampling, mut rest) = (&request.sampling, BTreeSet::new());
    let there = [
        ("temperature", sampling.temperature.is_some()),
        ("top_p", sampling.top_p.is_some()),
        ("top_k", sampling.top_k.is_some()),
        ("presence_penalty", sampling.presence_penalty.is_some()),
        ("frequency_penalty", sampling.frequency_penalty.is_some()),
        ("seed", sampling.seed.is_some()),
        ("stop", !sampling.stop.is_empty()),
        ("n", sampling.choices.is_some_and(|choices| choices > 1)),
        ("logprobs", sampling.logprobs),
        ("logit_bias", sampling.logit_bias.is_some()),
        ("user", request.user.is_some()),
        (
            "service_tier",
            request.service_tier.as_deref().is_some_and(|tier| !["auto", "default"].contains(&tier)),
        ),
    ];
    rest.extend(there.into_iter().filter(|(_, there)| *there).map(|(name, _)| name));
    Question {
        instructions,
        said: telling.said,
        tools: tools.collect(),
        // As the model likes is what is meant where nothing is said, and without tools there is nothing to choose.
        choice: match request.tool_choice.as_ref().filter(|_| !request.tools.is_empty()) {
            None | Some(ToolChoice::Auto) => None,
            Some(ToolChoice::None) => Some("none".to_owned()),
            Some(ToolChoice::Required) => Some("required".to_owned()),
            Some(ToolChoice::Function(name)) => Some(format!("only {name}")),
            Some(ToolChoice::Allowed { names, required }) => Some(format!("{required} {}", names.join(" "))),
        },
        format: request.format.as_ref().map(|format| match format {
            Format::Json => json!("json"),
            Format::Schema { schema, .. } => schema.clone(),
        }),
        cap: request.output_cap,
        stream: request.stream,
        rest,
        natives: telling.natives,
    }
}

/// What of a schema every dialect keeps: which members there are, of which types, and which must be there.
pub fn shape(schema: &Value) -> Value {
    const KEPT: [&str; 9] =
        ["type", "properties", "required", "items", "enum", "const", "anyOf", "$defs", "$ref"];
    match schema {
        Value::Object(members) => {
            let kept = members.iter().filter(|(name, _)| KEPT.contains(&name.as_str()));
            kept.map(|(name, value)| {
                let inner = match (name.as_str(), value) {
                    ("properties" | "$defs", Value::Object(members)) => {
                        members.iter().map(|(name, schema)| (name.clone(), shape(schema))).collect()
                    }
                    ("items", schema) => shape(schema),
                    ("anyOf", Value::Array(list)) => list.iter().map(shape).collect(),
                    _ => value.clone(),
                };
                (name.clone(), inner)
            })
            .collect()
        }
        other => other.clone(),
    }
}
