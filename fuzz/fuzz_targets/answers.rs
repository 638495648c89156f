//! A provider's answer or error in any dialect, and what every client is shown of it.
#![no_main]

use edgehold::{
    dialect::{self, Dialect, Show},
    refusal::Refusal,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = data.split_first() else { return };
    let dialect = edgehold_fuzz::dialect(*first);
    let failure = dialect::read_failure(dialect, 400, body);
    let refusal = Refusal::new(400, "invalid_request_error", "provider_refused_request", failure.message);
    let answer = dialect::read_answer(dialect, body);
    for to in Dialect::ALL {
        let _ = dialect::read_failure(to, 400, dialect::write_refusal(to, &refusal).as_bytes());
        if let Ok(answer) = &answer {
            let shown = dialect::write_answer(to, answer, &Show::default());
            dialect::read_answer(to, &shown).expect("what is shown is an answer");
        }
    }
});
