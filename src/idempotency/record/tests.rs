use super::*;
use proptest::prelude::*;

const T0: Timestamp = Timestamp(1_700_000_000_000);
const LEASE_MS: i64 = 15_000;
const TTL_MS: i64 = 86_400_000;

fn claim(token: &str, body: &str) -> Claim {
    Claim {
        token: token.to_owned(),
        fingerprint: body.to_owned(),
        ttl_ms: TTL_MS,
        lease_ms: LEASE_MS,
        waited: None,
    }
}

fn waited(token: &str, of: &str) -> Claim {
    Claim { waited: Some(of.to_owned()), ..claim(token, "x") }
}

fn put(token: &str, from: u64, head: bool, end: Option<End>) -> Put {
    Put { token: token.to_owned(), from, head: head.then(|| "200".to_owned()), end }
}

fn read(of: &str, from: u64) -> Read {
    Read { of: of.to_owned(), from }
}

fn answer(of: &str, stored: bool) -> Claimed {
    Claimed::Answer { of: of.to_owned(), stored }
}

/// A record whose owner `a` has told the whole of 10 bytes.
fn ended(end: End) -> (Record, Write) {
    let mut record = Record::default();
    assert_eq!(record.claim(T0, &claim("a", "x")).0, Claimed::New);
    let (taken, skip, write) = record.put(T0, &put("a", 0, true, Some(end)), 10, false);
    assert_eq!((taken, skip), (Taken::Have { bytes: 10, wanted: false }, 0));
    (record, write)
}

#[test]
fn the_first_owns_the_call_and_the_others_wait_then_join() {
    let mut record = Record::default();
    let (claimed, write) = record.claim(T0, &claim("a", "x"));
    assert_eq!(claimed, Claimed::New);
    assert!(matches!(write, Write::Claim(_)), "durable before the call is made");
    assert_eq!(record.claim(T0, &claim("a", "x")), (Claimed::New, Write::Nothing), "asked again");
    assert_eq!(record.claim(T0, &claim("b", "x")).0, Claimed::Wait { of: "a".to_owned() });
    assert_eq!(record.claim(T0, &claim("b", "y")).0, Claimed::Conflict);
    let (taken, ..) = record.put(T0, &put("a", 0, true, None), 4, false);
    assert_eq!(taken, Taken::Have { bytes: 4, wanted: true });
    assert_eq!(record.claim(T0, &claim("b", "x")).0, answer("a", false));
    assert_eq!(record.read(T0, &read("a", 0)), Progress::Open);
    assert_eq!(record.read(T0, &read("a", 4)), Progress::Wait);
}

#[test]
fn what_is_kept_is_replayed_until_its_time_is_over_and_survives_a_restart() {
    let (mut record, write) = ended(End::Keep);
    let Write::Keep(body) = write else { panic!("{write:?}") };
    let late = T0.plus_ms(TTL_MS - 1);
    for record in [&mut record, &mut Record::load(Some(&body), late).unwrap()] {
        assert_eq!(record.claim(late, &claim("b", "x")).0, answer("a", true));
        assert_eq!(record.claim(late, &waited("b", "a")).0, answer("a", false));
        assert_eq!(record.claim(late, &claim("b", "y")).0, Claimed::Conflict);
        assert_eq!(record.head(), Some("200"));
        assert_eq!(record.read(late, &read("a", 10)), Progress::Whole);
        assert_eq!(record.expire(late), Some(T0.plus_ms(TTL_MS)));
        let over = T0.plus_ms(TTL_MS);
        assert_eq!(record.expire(over), None);
        assert_eq!(record.claim(over, &claim("c", "y")).0, Claimed::New);
    }
}

#[test]
fn what_is_shared_reaches_those_who_waited_and_nobody_else() {
    let (mut record, write) = ended(End::Share);
    assert_eq!(write, Write::Clear);
    assert_eq!(record.claim(T0, &waited("b", "a")).0, answer("a", false));
    assert_eq!(record.read(T0, &read("a", 0)), Progress::Whole);
    assert_eq!(record.claim(T0, &claim("c", "x")).0, Claimed::New);
    assert_eq!(record.read(T0, &read("a", 0)), Progress::Lost, "another call's bytes are never mixed in");
}

#[test]
fn a_call_given_up_is_made_anew_by_the_first_who_waits() {
    let (mut record, write) = ended(End::Drop);
    assert_eq!(write, Write::Clear);
    assert_eq!(record.read(T0, &read("a", 10)), Progress::Lost);
    assert_eq!(record.claim(T0, &waited("b", "a")).0, Claimed::New);
    assert_eq!(record.claim(T0, &waited("c", "a")).0, Claimed::Wait { of: "b".to_owned() });
    assert_eq!(record.put(T0, &put("a", 10, false, None), 1, false).0, Taken::Lost);
}

#[test]
fn an_owner_that_is_silent_for_a_lease_has_lost_the_call_and_one_that_is_heard_has_not() {
    let mut record = Record::default();
    let (_, Write::Claim(body)) = record.claim(T0, &claim("a", "x")) else { panic!() };
    let heard = T0.plus_ms(LEASE_MS - 1);
    assert_eq!(
        record.put(heard, &put("a", 0, false, None), 0, false).0,
        Taken::Have { bytes: 0, wanted: false }
    );
    let later = heard.plus_ms(LEASE_MS - 1);
    assert_eq!(record.lease_left_ms(later), 1);
    assert_eq!(record.claim(later, &claim("b", "x")).0, Claimed::Wait { of: "a".to_owned() });
    assert_eq!(record.claim(later.plus_ms(1), &claim("b", "y")).0, Claimed::New, "another body, even");

    // After a restart of the object the owner has a lease again: it may still live.
    let mut record = Record::load(Some(&body), later).unwrap();
    assert_eq!(record.claim(later, &claim("b", "x")).0, Claimed::Wait { of: "a".to_owned() });
    assert_eq!(record.expire(later), Some(later.plus_ms(LEASE_MS)));
    assert_eq!(record.read(later.plus_ms(LEASE_MS), &read("a", 0)), Progress::Lost);
    assert_eq!(record.expire(later.plus_ms(LEASE_MS)), None);
}

#[test]
fn an_object_that_began_anew_gets_everything_again() {
    let mut record = Record::default();
    let (_, Write::Claim(body)) = record.claim(T0, &claim("a", "x")) else { panic!() };
    record.put(T0, &put("a", 0, true, None), 6, false);
    let mut record = Record::load(Some(&body), T0).unwrap();
    let none = Taken::Have { bytes: 0, wanted: false };
    assert_eq!(record.put(T0, &put("a", 6, false, Some(End::Keep)), 4, false), (none, 4, Write::Nothing));
    let (taken, skip, write) = record.put(T0, &put("a", 0, true, Some(End::Keep)), 10, false);
    assert_eq!((taken, skip), (Taken::Have { bytes: 10, wanted: false }, 0));
    assert!(matches!(write, Write::Keep(_)));
}

#[test]
fn the_last_words_told_twice_are_taken_once() {
    let (mut record, _) = ended(End::Keep);
    let again = record.put(T0, &put("a", 0, true, Some(End::Keep)), 10, false);
    assert_eq!(again, (Taken::Have { bytes: 10, wanted: false }, 10, Write::Nothing));
}

#[test]
fn what_is_stored_stays_readable() {
    // Written by deployed objects; what they wrote must load for as long as answers are kept.
    let stored = r#"{"token":"req_1","fingerprint":"f","expires_at":1700000086400000,"lease_ms":15000,"phase":"kept","head":"200\ncontent-type\napplication/json","bytes":10}"#;
    let mut record = Record::load(Some(stored), T0).unwrap();
    assert_eq!(record.claim(T0, &claim("b", "f")).0, answer("req_1", true));
    assert_eq!(record.head(), Some("200\ncontent-type\napplication/json"));
}

proptest! {
    /// Messages lost on the way there, or their answers on the way back, and restarts: what the record has is always a
    /// beginning of what was told, and in the end all of it.
    #[test]
    fn any_losses_and_restarts_leave_the_owners_bytes(
        pieces in prop::collection::vec(0u64..5, 1..20),
        faults in prop::collection::vec(0u8..6, 60),
    ) {
        let told: Vec<u8> = (0..pieces.iter().sum::<u64>()).map(|at| (at % 251) as u8).collect();
        let mut record = Record::default();
        let (_, Write::Claim(stored)) = record.claim(T0, &claim("a", "x")) else { panic!() };
        let (mut bytes, mut have, mut ready, mut kept) = (Vec::new(), 0usize, 0usize, false);
        let mut faults = faults.into_iter();
        let mut pieces = pieces.into_iter();
        for _ in 0..500 {
            let end = match pieces.next() {
                Some(more) => { ready += more as usize; None }
                None => Some(End::Keep),
            };
            let fault = faults.next().unwrap_or(5);
            if fault == 0 && !kept {
                record = Record::load(Some(&stored), T0).unwrap();
                bytes.clear();
            }
            if fault == 1 { continue; }
            let message = put("a", have as u64, have == 0, end);
            let sent = &told[have..ready];
            let (taken, skip, write) = record.put(T0, &message, sent.len() as u64, false);
            bytes.extend_from_slice(&sent[skip as usize..]);
            kept |= matches!(write, Write::Keep(_));
            prop_assert!(told.starts_with(&bytes));
            if fault == 2 { continue; }
            let Taken::Have { bytes: known, .. } = taken else { panic!("{taken:?}") };
            have = known as usize;
            prop_assert_eq!(have, bytes.len());
            if kept { break; }
        }
        prop_assert!(kept);
        prop_assert_eq!(bytes, told);
    }
}
