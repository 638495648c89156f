//! A client's request in any dialect, and what is written of it for every provider's.
#![no_main]

use edgehold::dialect::{self, Dialect, Order};
use libfuzzer_sys::fuzz_target;

const MODELS: [(&str, &str); 6] = [
    ("openai", "gpt-5.1"),
    ("openai", "gpt-5.1"),
    ("anthropic", "claude-sonnet-4-5"),
    ("gemini", "gemini-3-flash-preview"),
    ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("cohere", "command-a-03-2025"),
];

fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = data.split_first() else { return };
    let dialect = edgehold_fuzz::dialect(*first);
    let path = matches!(dialect, Dialect::Gemini | Dialect::Bedrock).then_some(("model", first & 8 != 0));
    let Ok(request) = dialect::read_request(dialect, body, path) else { return };
    for (to, (kind, model)) in Dialect::ALL.into_iter().zip(MODELS) {
        let order = Order { kind, model, output_cap: request.output_cap };
        let written = dialect::write_request(to, &request, &order);
        if written.refused.is_empty() {
            // A provider may refuse it; nothing here may break on it.
            let _ = dialect::read_request(to, &written.body, Some((model, request.stream)));
        }
    }
});
