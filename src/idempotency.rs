//! `Idempotency-Key`: the same request again joins the call under way or gets its stored answer, and is billed once.
//!
//! Each idempotency key of a virtual key has an object of its own, an [`record::Record`]. A request without the header
//! never comes here. See docs/decisions/0008-idempotency.md.

pub mod record;

use crate::{
    admit::wire::KeyRecord,
    dialect::{Show, openai_chat::request::ChatRequest},
    model::id::RequestId,
    ports::{AnswerBody, ClientRequest, World},
    refusal::Refusal,
    surface::Surface,
};
use record::{Claim, Claimed};
use sha2::{Digest, Sha256};

/// A longer answer is served, but neither shared nor stored.
pub const ANSWER_BYTES_MAX: u32 = 8 << 20;
/// The longest value of the header.
const VALUE_BYTES_MAX: usize = 255;
/// How long answers are kept unless `EDGEHOLD_IDEMPOTENCY_TTL_S` says otherwise, and the longest it may say: 30 days.
const TTL_S: i64 = 24 * 60 * 60;
const TTL_S_MAX: i64 = 30 * 24 * 60 * 60;
/// An isolate that was not heard of for this long is taken for dead. It is heard of three times as often.
const LEASE_MS: i64 = 15_000;
/// A client that leaves its stream may come back for it: the call goes on this long for nobody …
pub const LINGER_ALONE_MS: u32 = 5_000;
/// … and this long for those who read along. The runtime ends everything half a minute after a client has left.
pub const LINGER_READ_MS: u32 = 25_000;
/// Nobody waits longer than this for a call to begin to answer. Owners have time-outs of their own; this bounds a fault.
const WAIT_MS_MAX: i64 = 30 * 60_000;

/// Looks whether a request with the header has been made before, and if so answers it. `false`: it is to be made now,
/// and its answer will be told to the record as it is given.
///
/// # Errors
/// 400 for an unusable value, 409 if it stands for another request, 503 if the record cannot be asked.
pub async fn replayed<W: World>(
    world: &W,
    request: &ClientRequest,
    surface: &Surface,
    chat: &ChatRequest,
    key: &KeyRecord,
    id: &RequestId,
) -> Result<bool, Refusal> {
    let Some(value) = &request.idempotency_key else { return Ok(false) };
    check(value)?;
    // Only the digest: the runtime keeps names of objects, and a caller may put anything into its key.
    let place = format!("{}/{}/{}", key.customer.0, key.id.0, hex(&Sha256::digest(value.as_bytes())));
    let number = |name: &str| world.variable(name).and_then(|text| text.trim().parse::<i64>().ok());
    let ttl_s = number("EDGEHOLD_IDEMPOTENCY_TTL_S").filter(|ttl| (1..=TTL_S_MAX).contains(ttl));
    let mut claim = Claim {
        token: id.0.clone(),
        fingerprint: fingerprint(request),
        ttl_ms: ttl_s.unwrap_or(TTL_S) * 1_000,
        lease_ms: number("EDGEHOLD_IDEMPOTENCY_LEASE_MS").unwrap_or(LEASE_MS),
        waited: None,
    };
    let began = world.now();
    loop {
        match world.claim(&place, &claim).await.map_err(|fault| Refusal::unavailable(fault.0))? {
            Claimed::New => return Ok(false),
            Claimed::Conflict => return Err(reused()),
            Claimed::Answer { stored, .. } => {
                let show = surface.show(&id.0, chat, began.0 / 1_000);
                world.replay(stored, abandoned_event(surface, show)).await;
                return Ok(true);
            }
            Claimed::Wait { of } => {
                if world.now().since_ms(began) > WAIT_MS_MAX {
                    return Err(Refusal::unavailable(format!("{place} is claimed and never answered")));
                }
                claim.waited = Some(of);
            }
        }
    }
}

/// Whether an answer is stored for those who ask later: what trying again would not change. A success, and a refusal by
/// the provider itself. Not our own refusals, nor what says "later".
#[must_use]
pub const fn is_kept(status: u16, body: &AnswerBody) -> bool {
    match status {
        200..=299 => true,
        408 | 409 | 425 | 429 => false,
        400..=499 => matches!(body, AnswerBody::Upstream),
        _ => false,
    }
}

fn check(value: &str) -> Result<(), Refusal> {
    let visible = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if value.is_empty() || value.len() > VALUE_BYTES_MAX || !visible {
        return Err(Refusal::bad_request(
            "invalid_idempotency_key",
            format!("Idempotency-Key must be 1 to {VALUE_BYTES_MAX} printable ASCII characters."),
        ));
    }
    Ok(())
}

fn reused() -> Refusal {
    Refusal::new(
        409,
        "invalid_request_error",
        "idempotency_key_reused",
        "This Idempotency-Key was used for a request with another body. Use a new key for a new request.",
    )
}

/// The last event of a stream whose owner died or left: those who read along try again, with the same key.
fn abandoned_event(surface: &Surface, show: Show) -> String {
    let refusal = Refusal::new(
        503,
        "api_error",
        "stream_abandoned",
        "The call this answer came from ended before its answer was complete. Try again with the same Idempotency-Key.",
    );
    // An unfinished event may stand before it: the empty line ends that one.
    let mut event = b"\n\n".to_vec();
    surface.writer(show).fail(&refusal, &mut event);
    String::from_utf8(event).unwrap_or_default()
}

fn fingerprint(request: &ClientRequest) -> String {
    let mut digest = Sha256::new();
    digest.update(request.method.as_bytes());
    digest.update(b"\n");
    digest.update(request.path.trim_end_matches('/').as_bytes());
    // Gemini's streams are told apart by it.
    if !request.query.is_empty() {
        digest.update(b"?");
        digest.update(request.query.as_bytes());
    }
    digest.update(b"\n");
    digest.update(&request.body);
    hex(&digest.finalize())
}

fn hex(bytes: &[u8]) -> String {
    let nibble = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [nibble(byte >> 4), nibble(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_printable_ascii_of_bounded_length() {
        for good in ["a", "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", "order 7 / try", &"x".repeat(255)] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "é", "a\tb", "a\u{7f}", &"x".repeat(256)] {
            assert_eq!(check(bad).unwrap_err().code, "invalid_idempotency_key", "{bad}");
        }
    }

    #[test]
    fn what_trying_again_would_not_change_is_kept() {
        let ours = AnswerBody::Text(String::new());
        let kept = |status| is_kept(status, &AnswerBody::Upstream);
        assert!([200, 201, 400, 404, 413, 422].into_iter().all(kept));
        assert!(![408, 409, 425, 429, 500, 502, 503, 504].into_iter().any(kept));
        assert!([400, 401, 402, 403, 404, 429, 502, 503].into_iter().all(|status| !is_kept(status, &ours)));
    }

    #[test]
    fn who_read_along_in_vain_is_told_in_their_own_words() {
        let told = |surface: &Surface| abandoned_event(surface, Show::default());
        assert!(told(&Surface::Chat).starts_with("\n\ndata: {\"error\":{"), "{}", told(&Surface::Chat));
        assert!(told(&Surface::Messages).contains("event: error\ndata: {\"type\":\"error\""));
        for surface in [Surface::Chat, Surface::Messages, Surface::Responses, Surface::Completions] {
            let event = told(&surface);
            assert!(event.contains("stream_abandoned") && event.ends_with("\n\n"), "{event}");
            assert!(!event.contains("[DONE]"));
        }
    }

    #[test]
    fn a_fingerprint_is_of_path_and_body() {
        let request = |path: &str, body: &str| ClientRequest {
            method: "POST".to_owned(),
            path: path.to_owned(),
            body: body.as_bytes().to_vec(),
            ..ClientRequest::default()
        };
        let one = fingerprint(&request("/v1/chat/completions", "{}"));
        assert_eq!(one.len(), 64);
        assert_eq!(one, fingerprint(&request("/v1/chat/completions/", "{}")));
        assert_ne!(one, fingerprint(&request("/v1/chat/completions", "{} ")));
        assert_ne!(one, fingerprint(&request("/v1/other", "{}")));
        let events = ClientRequest { query: "alt=sse".to_owned(), ..request("/v1/chat/completions", "{}") };
        assert_ne!(one, fingerprint(&events));
    }
}
