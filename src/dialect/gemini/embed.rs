//! Embeddings: `embedContent`, `batchEmbedContents`, and Vertex's `predict`.
//!
//! <https://ai.google.dev/api/embeddings>, and
//! <https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>, read 2026-11-21.

use super::{body_object, list_at, member, missing, object_at, text_at, usage, whole, whole_at};
use crate::{
    dialect::{Corrupt, Order, Written, json},
    model::{
        answer::Reported,
        embed::{EmbedAnswer, EmbedInput, EmbedRequest},
        usage::Usage,
    },
    refusal::Refusal,
};
use serde_json::{Map, Value, json};

/// Which of the three it is; the URL says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `embedContent`: one text.
    Single,
    /// `batchEmbedContents`: several.
    Batch,
    /// Vertex's `predict`: several, for models that are not Gemini's.
    Predict,
}

impl Form {
    /// The end of the URL's path, behind the colon.
    #[must_use]
    pub const fn action(self) -> &'static str {
        match self {
            Self::Single => "embedContent",
            Self::Batch => "batchEmbedContents",
            Self::Predict => "predict",
        }
    }

    /// The one of this action.
    #[must_use]
    pub fn of_action(action: &str) -> Option<Self> {
        [Self::Single, Self::Batch, Self::Predict].into_iter().find(|form| form.action() == action)
    }

    /// What a provider takes for a request. Google AI Studio takes all in batches; Vertex as Google's own SDKs do
    /// (google-genai 3.4.0, read 2026-11-21): Gemini's models one by one or in batches, others by `predict`.
    #[must_use]
    pub fn for_order(request: &EmbedRequest, order: &Order<'_>) -> Self {
        if !order.kind.contains("vertex") {
            Self::Batch
        } else if !order.model.contains("gemini") {
            Self::Predict
        } else if request.inputs.len() == 1 {
            Self::Single
        } else {
            Self::Batch
        }
    }
}

/// Reads a client's request. `path` is the model as the URL says it (there are no streams).
///
/// # Errors
/// 400 with the member that is wrong.
pub fn read(body: &[u8], path: Option<(&str, bool)>) -> Result<(EmbedRequest, Form), Refusal> {
    let mut all = body_object(body)?;
    let named = all.shift_remove("model").map(|model| text_at(model, "model")).transpose()?;
    let model = path.map(|(model, _)| model.to_owned()).or(named).ok_or_else(|| missing("model"))?;
    let model = model.strip_prefix("models/").unwrap_or(&model).to_owned();
    let mut request = EmbedRequest { model, ..EmbedRequest::default() };
    let form = if let Some(requests) = all.shift_remove("requests") {
        let requests = list_at(requests, "requests")?;
        let mut first: Option<Map<String, Value>> = None;
        for (index, one) in requests.into_iter().enumerate() {
            let at = format!("requests[{index}]");
            let settings = single(&mut request, object_at(one, &at)?, &format!("{at}."))?;
            match &first {
                None => first = Some(settings),
                Some(first) if *first == settings => {}
                Some(_) => {
                    let message = format!(
                        "'{at}' differs from 'requests[0]' in more than its content. Send such texts in requests of their own."
                    );
                    return Err(Refusal::bad_param("invalid_value", &at, message));
                }
            }
        }
        settings(&mut request, first.unwrap_or_default(), "requests[0].")?;
        Form::Batch
    } else if let Some(instances) = all.shift_remove("instances") {
        predict(&mut request, instances, all.shift_remove("parameters"))?;
        Form::Predict
    } else {
        let content = all.shift_remove("content").ok_or_else(|| missing("content"))?;
        let alone = Map::from_iter([("content".to_owned(), content)]);
        single(&mut request, alone, "")?;
        settings(&mut request, std::mem::take(&mut all), "")?;
        Form::Single
    };
    request.extras.extend(all);
    if request.inputs.is_empty() {
        let name = if form == Form::Predict { "instances" } else { "requests" };
        return Err(missing(name));
    }
    Ok((request, form))
}

/// Takes a request's text, gives its other members.
fn single(
    request: &mut EmbedRequest,
    mut all: Map<String, Value>,
    at: &str,
) -> Result<Map<String, Value>, Refusal> {
    // The same as in the path.
    all.shift_remove("model");
    let content = all.shift_remove("content").ok_or_else(|| missing(&format!("{at}content")))?;
    let at = format!("{at}content");
    let text = match content {
        Value::String(text) => text,
        content => {
            let mut content = object_at(content, &at)?;
            let parts = content.shift_remove("parts").ok_or_else(|| missing(&format!("{at}.parts")))?;
            let mut texts = Vec::new();
            for (index, part) in list_at(parts, &format!("{at}.parts"))?.into_iter().enumerate() {
                let at = format!("{at}.parts[{index}]");
                let mut part = object_at(part, &at)?;
                let Some(text) = part.shift_remove("text") else {
                    let message = format!("'{at}' must be text: other content cannot be embedded here.");
                    return Err(Refusal::bad_param("invalid_value", &at, message));
                };
                texts.push(text_at(text, &format!("{at}.text"))?);
            }
            texts.join("\n")
        }
    };
    request.inputs.push(EmbedInput::Text(text));
    Ok(all)
}

fn settings(request: &mut EmbedRequest, all: Map<String, Value>, at: &str) -> Result<(), Refusal> {
    for (name, value) in all {
        let place = format!("{at}{name}");
        match name.as_str() {
            "taskType" => request.task = Some(text_at(value, &place)?),
            "outputDimensionality" => request.dimensions = Some(whole_at(&value, &place)?),
            // Vertex's place for both.
            "embedContentConfig" => settings(request, object_at(value, &place)?, &format!("{place}."))?,
            _ => {
                request.extras.insert(place, value);
            }
        }
    }
    Ok(())
}

fn predict(request: &mut EmbedRequest, instances: Value, parameters: Option<Value>) -> Result<(), Refusal> {
    let mut task: Option<Option<Value>> = None;
    for (index, instance) in list_at(instances, "instances")?.into_iter().enumerate() {
        let at = format!("instances[{index}]");
        let mut rest = single(request, object_at(instance, &at)?, &format!("{at}."))?;
        let of_this = rest.shift_remove("taskType");
        if task.as_ref().is_some_and(|task| *task != of_this) {
            let message = format!("'{at}.taskType' must be that of 'instances[0]'.");
            return Err(Refusal::bad_param("invalid_value", &format!("{at}.taskType"), message));
        }
        task = Some(of_this);
        request.extras.extend(rest.into_iter().map(|(name, value)| (format!("{at}.{name}"), value)));
    }
    if let Some(Some(task)) = task {
        request.task = Some(text_at(task, "instances[0].taskType")?);
    }
    if let Some(parameters) = parameters {
        settings(request, object_at(parameters, "parameters")?, "parameters.")?;
    }
    Ok(())
}

/// Writes a provider's request in the form that [`Form::for_order`] says.
#[must_use]
pub fn write(request: &EmbedRequest, order: &Order<'_>) -> Written {
    let mut written = Written::default();
    let form = Form::for_order(request, order);
    let mut texts = Vec::new();
    for (index, input) in request.inputs.iter().enumerate() {
        match input {
            EmbedInput::Text(text) => texts.push(text),
            // Numbers of another model's vocabulary.
            EmbedInput::Tokens(_) => written.refused.push(format!("input[{index}]")),
        }
    }
    let task = request.task.as_ref();
    let dimensions = request.dimensions;
    let vertex = order.kind.contains("vertex");
    let content = |text: &String| json!({ "parts": [{ "text": text }] });
    let finish = |mut one: Map<String, Value>| {
        let mut settings = Map::new();
        settings.extend(task.map(|task| ("taskType".to_owned(), json!(task))));
        settings.extend(dimensions.map(|dimensions| ("outputDimensionality".to_owned(), json!(dimensions))));
        if vertex && !settings.is_empty() {
            one.insert("embedContentConfig".to_owned(), Value::Object(settings));
        } else {
            one.extend(settings);
        }
        Value::Object(one)
    };
    let body = match form {
        Form::Single => {
            let content = texts.first().map_or(Value::Null, |text| content(text));
            finish(Map::from_iter([("content".to_owned(), content)]))
        }
        Form::Batch => {
            let model = json!(format!("models/{}", order.model));
            let requests = texts.iter().map(|text| {
                let mut one = Map::new();
                if !vertex {
                    one.insert("model".to_owned(), model.clone());
                }
                one.insert("content".to_owned(), content(text));
                finish(one)
            });
            json!({ "requests": requests.collect::<Vec<_>>() })
        }
        Form::Predict => {
            let instances = texts.iter().map(|text| {
                let mut one = Map::from_iter([("content".to_owned(), json!(text))]);
                one.extend(task.map(|task| ("task_type".to_owned(), json!(task))));
                Value::Object(one)
            });
            let mut body = json!({ "instances": instances.collect::<Vec<_>>() });
            if let (Some(dimensions), Some(body)) = (dimensions, body.as_object_mut()) {
                body.insert("parameters".to_owned(), json!({ "outputDimensionality": dimensions }));
            }
            body
        }
    };
    written.body = json::bytes(&body);
    written.dropped.extend(request.user.is_some().then(|| "user".to_owned()));
    written.dropped.extend(request.extras.keys().cloned());
    written
}

/// Reads a provider's answer, in any of the forms.
///
/// # Errors
/// If it is none.
pub fn read_answer(body: &[u8]) -> Result<EmbedAnswer, Corrupt> {
    let body: Value = serde_json::from_slice(body).map_err(|error| Corrupt(format!("no JSON: {error}")))?;
    let list = |name| member(&body, name).and_then(Value::as_array);
    let mut counted = None;
    let vectors: Result<Vec<_>, _> = if let Some(embedding) = member(&body, "embedding") {
        Ok(vec![vector(embedding)?])
    } else if let Some(embeddings) = list("embeddings") {
        embeddings.iter().map(vector).collect()
    } else if let Some(predictions) = list("predictions") {
        let of =
            |prediction| member(prediction, "embeddings").ok_or_else(|| Corrupt("no embeddings".to_owned()));
        for statistics in predictions.iter().filter_map(|one| member(of(one).ok()?, "statistics")) {
            let tokens = member(statistics, "tokenCount").and_then(whole).unwrap_or(0);
            counted = Some(counted.unwrap_or(0u64).saturating_add(tokens));
        }
        predictions.iter().map(|one| vector(of(one)?)).collect()
    } else {
        Err(Corrupt("no embedding, embeddings or predictions".to_owned()))
    };
    let reported = member(&body, "usageMetadata").and_then(usage::read).or_else(|| {
        counted.map(|input| Reported {
            usage: Usage { input, ..Usage::default() },
            json: json!({ "promptTokenCount": input, "totalTokenCount": input }).to_string(),
            cost_nanousd: None,
        })
    });
    Ok(EmbedAnswer { id: None, model: None, vectors: vectors?, reported })
}

fn vector(embedding: &Value) -> Result<Vec<f64>, Corrupt> {
    let values = member(embedding, "values").and_then(Value::as_array);
    let values = values.ok_or_else(|| Corrupt("an embedding has no values".to_owned()))?;
    let number = |value: &Value| value.as_f64().ok_or_else(|| Corrupt("a value is no number".to_owned()));
    values.iter().map(number).collect()
}

/// Writes an answer for a client that asked in this form.
#[must_use]
pub fn write_answer(answer: &EmbedAnswer, form: Form) -> Vec<u8> {
    let values = |vector: &Vec<f64>| json!({ "values": vector });
    let mut body = match form {
        Form::Single => {
            let first = answer.vectors.first().map_or_else(|| json!({ "values": [] }), values);
            json!({ "embedding": first })
        }
        Form::Batch => json!({ "embeddings": answer.vectors.iter().map(values).collect::<Vec<_>>() }),
        Form::Predict => {
            // Its clients find the count at each vector; ours is one for all, so the first has it.
            let all = answer.reported.as_ref().map(|reported| reported.usage.input_total());
            let predictions = answer.vectors.iter().enumerate().map(|(index, vector)| {
                let mut embeddings = values(vector);
                if let (Some(all), Some(object)) = (all, embeddings.as_object_mut()) {
                    let count = if index == 0 { all } else { 0 };
                    object
                        .insert("statistics".to_owned(), json!({ "token_count": count, "truncated": false }));
                }
                json!({ "embeddings": embeddings })
            });
            json!({ "predictions": predictions.collect::<Vec<_>>() })
        }
    };
    if form != Form::Predict
        && let (Some(reported), Some(body)) = (&answer.reported, body.as_object_mut())
    {
        let tokens = reported.usage.input_total();
        let metadata = json!({ "promptTokenCount": tokens, "totalTokenCount": tokens });
        body.insert("usageMetadata".to_owned(), metadata);
    }
    body.to_string().into_bytes()
}
