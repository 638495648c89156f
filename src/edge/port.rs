//! What `glue.js` offers. Each `op` ends in one call of [`super::resume`].

use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(raw_module = "../../src/edge/glue.js")]
extern "C" {
    /// A header of the client's request.
    pub(super) fn header(id: u32, name: &str) -> Option<String>;
    /// Minutes a time zone is ahead of UTC at a moment; NaN if there is no such zone.
    pub(super) fn zone_offset(zone: &str, at: f64) -> f64;
    /// The stream under way is read no further.
    pub(super) fn break_off(id: u32);
    /// A line in the log.
    pub(super) fn log(text: &str);
    /// Asks an object.
    pub(super) fn object_call(id: u32, op: u32, name: &str, command: &str);
    /// Tells an object, in the background.
    pub(super) fn object_tell(id: u32, name: &str, command: &str);
    /// Asks the record of an idempotency key.
    pub(super) fn claim(id: u32, op: u32, name: &str, claim: &str);
    /// From now on what the client is answered is told to that record, as `token`.
    #[allow(clippy::too_many_arguments, reason = "one crossing")]
    pub(super) fn record(
        id: u32,
        name: &str,
        token: &str,
        beat_ms: f64,
        bytes_max: u32,
        alone_ms: u32,
        read_ms: u32,
    );
    /// Answers the client with what the claim found.
    pub(super) fn replay(id: u32, op: u32, how: &str, abandoned: &str);
    /// Begins to look after the wallet, in the background.
    pub(super) fn keep_wallet(id: u32);
    /// Calls a provider.
    #[allow(clippy::too_many_arguments, reason = "one crossing")]
    pub(super) fn send(
        id: u32,
        op: u32,
        template: u32,
        played: bool,
        body: Option<&[u8]>,
        timeout_ms: f64,
        stream: bool,
        untouched: bool,
    );
    /// Tells what a number means in [`send`], as lines: URL and headers; header, prefix and name of a secret, and how it
    /// is used if not as it is.
    pub(super) fn call_template(number: u32, head: &str, secret: &str);
    /// Tells what a number means in [`respond`] and [`relay`], as lines: headers; names of those that get a value each time.
    pub(super) fn answer_template(number: u32, constant: &str, varying: &str);
    /// Reads on in the stream under way.
    pub(super) fn peek(id: u32, op: u32, timeout_ms: f64);
    /// Ends the call under way.
    pub(super) fn discard(id: u32);
    /// Waits.
    pub(super) fn sleep(id: u32, op: u32, ms: f64);
    /// Answers the client. `kept`: for those who come later with the same idempotency key.
    pub(super) fn respond(id: u32, status: u16, template: u32, values: &str, text: Option<&str>, kept: bool);
    /// Answers the client with the stream under way.
    #[allow(clippy::too_many_arguments, reason = "one crossing")]
    pub(super) fn relay(
        id: u32,
        op: u32,
        template: u32,
        values: &str,
        filtered: bool,
        first: &[u8],
        idle_ms: f64,
        total_ms: f64,
    );
    /// The last bytes of a relayed stream.
    pub(super) fn end_stream(id: u32, tail: &str);
    /// The task is over.
    pub(super) fn done(id: u32);
    /// Reads from KV.
    pub(super) fn kv_get(id: u32, op: u32, name: &str);
    /// Writes to KV.
    pub(super) fn kv_put(id: u32, op: u32, name: &str, value: &str);
    /// Runs SQL on the D1 database of a binding.
    pub(super) fn sql(id: u32, op: u32, database: &str, statements: &str);
}
