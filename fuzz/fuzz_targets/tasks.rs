//! A provider's vectors, rankings and counts, and what clients are shown of them.
#![no_main]

use edgehold::{
    dialect::{
        Show,
        task::{self, Whole},
    },
    surface::Surface,
};
use edgehold_fuzz::FORMATS;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = data.split_first() else { return };
    let format = FORMATS[usize::from(first & 15) % FORMATS.len()];
    let Ok(whole) = task::read(format, body) else { return };
    let asked: &[(&str, &str)] = match whole {
        Whole::Embed(_) => &[
            ("/v1/embeddings", r#"{"model":"m","input":["a","b"]}"#),
            ("/v1/embeddings", r#"{"model":"m","input":"a","encoding_format":"base64"}"#),
            ("/v1beta/models/m:embedContent", r#"{"content":{"parts":[{"text":"a"}]}}"#),
            (
                "/v1beta/models/m:batchEmbedContents",
                r#"{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]}}]}"#,
            ),
        ],
        Whole::Rerank(_) => {
            &[("/v1/rerank", r#"{"model":"m","query":"q","documents":["a","b"],"return_documents":true}"#)]
        }
        Whole::Count(_) => &[
            ("/v1/messages/count_tokens", r#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#),
            ("/v1beta/models/m:countTokens", r#"{"contents":[{"parts":[{"text":"a"}]}]}"#),
        ],
        Whole::Answer(_) => &[],
    };
    for (path, request) in asked {
        let surface = Surface::of(path, "").expect("a surface");
        let chat = surface.decode(request.as_bytes()).expect("a request");
        let shown = surface.written(&chat.task, &whole, &Show::default());
        serde_json::from_str::<&RawValue>(&shown).expect("what is shown is JSON");
    }
});
