//! A client's request as the path reads it, on every surface, and the same bytes edited for a provider of the same dialect.
#![no_main]

use edgehold::{
    dialect::{
        Dialect, Order,
        openai_chat::request::{Cap, Edits},
        passed::{self, Changes},
        task::{self, Task},
    },
    provider::OutputCapField,
    surface::Surface,
};
use edgehold_fuzz::FORMATS;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

const PATHS: [&str; 12] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1beta/models/model:generateContent",
    "/v1beta/models/model:streamGenerateContent",
    "/v1/messages/count_tokens",
    "/v1beta/models/model:countTokens",
    "/v1/embeddings",
    "/v1beta/models/model:embedContent",
    "/v1beta/models/model:batchEmbedContents",
    "/v1/rerank",
];
fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = data.split_first() else { return };
    let path = PATHS[usize::from(*first) % PATHS.len()];
    let surface = Surface::of(path, "").expect("a surface");
    let Ok(chat) = surface.decode(body) else { return };
    if chat.task != Task::Converse {
        let order = Order { kind: "", model: "other", output_cap: None };
        for format in FORMATS {
            if let Some(written) = task::write(&chat.task, chat.canonical.as_deref(), format, &order) {
                serde_json::from_slice::<&RawValue>(&written.body).expect("what is written is JSON");
            }
        }
        return;
    }
    if !surface.passes() {
        return;
    }
    // What a provider of the same dialect is sent is read as what was held: another model, this cap, all else as it was.
    let edited = if chat.dialect == Dialect::OpenAiChat {
        let cap = Cap { field: OutputCapField::MaxTokens, tokens: 7 };
        let edits = Edits { model: Some("other"), ask_usage: true, cap: Some(cap), tier: None };
        chat.edited(body, &edits)
    } else {
        let changes = Changes { model: "other", cap: Some(7), tier: Some("default"), ..Changes::default() };
        passed::edited(chat.dialect, body, changes)
    };
    let edited = edited.as_deref().unwrap_or(body);
    let again = surface.decode(edited).expect("what was edited is read");
    let capped = match chat.dialect {
        // A cap is only ever lowered.
        Dialect::OpenAiChat => chat.output_cap.map_or(7, |cap| cap.min(7)),
        _ => 7,
    };
    assert_eq!(again.output_cap, Some(capped));
    assert_eq!(again.stream, chat.stream);
    assert_eq!((again.input.messages, again.choices), (chat.input.messages, chat.choices));
    if surface.path().is_none() {
        assert_eq!(again.model, "other");
    }
});
