//! Server-sent events: framing.
//!
//! Lines end in LF, CRLF or CR; an event ends at an empty line; `data:` lines of one event are joined by LF
//! (WHATWG HTML, section 9.2.6, read 2026-11-21). The raw bytes of each event are kept, so that an event can be passed on
//! exactly as it came.

/// One event: its bytes as they came, separator included, and its joined data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// As they came, up to and including the empty line.
    pub raw: Vec<u8>,
    /// The `data:` lines, joined; `None` for a comment or an event without data.
    pub data: Option<Vec<u8>>,
    /// The `event:` line.
    pub name: Option<Vec<u8>>,
    /// It is only a piece of an event that is too long to be collected.
    pub piece: bool,
}

impl Event {
    const fn piece(raw: Vec<u8>) -> Self {
        Self { raw, data: None, name: None, piece: true }
    }
}

/// The longest event this framer collects; a longer one is given out in pieces without data.
pub const EVENT_BYTES_MAX: usize = 8 << 20;

/// Cuts bytes into events.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    pending: Vec<u8>,
    /// How far `pending` has been searched for its end.
    searched: usize,
    /// What is pending is the rest of an event whose beginning was given out as a piece.
    within: bool,
}

impl Framer {
    /// Takes bytes and gives the events they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.pending.extend_from_slice(bytes);
        let mut events = Vec::new();
        let mut from = 0;
        while let Some(end) = event_end(&self.pending, from, self.searched.max(from)) {
            if let Some(raw) = self.pending.get(from..end) {
                let within = std::mem::take(&mut self.within);
                events.push(if within { Event::piece(raw.to_vec()) } else { parse(raw) });
            }
            from = end;
            self.searched = end;
        }
        self.pending.drain(..from);
        // The last three bytes may be the beginning of a separator.
        self.searched = self.pending.len().saturating_sub(3);
        if self.pending.len() > EVENT_BYTES_MAX {
            let rest = self.pending.split_off(self.searched);
            let raw = std::mem::replace(&mut self.pending, rest);
            self.searched = 0;
            self.within = true;
            events.push(Event::piece(raw));
        }
        events
    }

    /// What is left of an unfinished event at the end of the bytes. Some providers omit the last empty line.
    pub fn finish(&mut self) -> Option<Event> {
        self.searched = 0;
        let raw = std::mem::take(&mut self.pending);
        let within = std::mem::take(&mut self.within);
        (!raw.is_empty()).then(|| if within { Event::piece(raw) } else { parse(&raw) })
    }
}

/// The index behind the empty line that ends the event beginning at `from`, looking no earlier than `searched`.
///
/// A CR at the very end of the bytes may be half of a CRLF: the event waits for the next byte.
fn event_end(bytes: &[u8], from: usize, searched: usize) -> Option<usize> {
    let mut at = searched;
    // Step back to the beginning of the line break the search may have stopped in.
    while at > from && at > searched.saturating_sub(3) && matches!(bytes.get(at - 1), Some(b'\n' | b'\r')) {
        at -= 1;
    }
    while at < bytes.len() {
        let Some(first) = line_break(bytes, at) else {
            at += 1;
            continue;
        };
        if first == 0 {
            return None;
        }
        let next = at + first;
        match line_break(bytes, next) {
            Some(0) => return None,
            Some(second) => return Some(next + second),
            None if next >= bytes.len() => return None,
            None => at = next,
        }
    }
    None
}

/// Length of the line break at `at`: `None` if there is none, 0 if it cannot be told yet.
fn line_break(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'\n' => Some(1),
        b'\r' => match bytes.get(at + 1) {
            Some(b'\n') => Some(2),
            Some(_) => Some(1),
            None => Some(0),
        },
        _ => None,
    }
}

fn parse(raw: &[u8]) -> Event {
    let mut data: Option<Vec<u8>> = None;
    let mut name = None;
    let text = raw.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(raw);
    for line in text.split(|byte| *byte == b'\n' || *byte == b'\r') {
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(at) => (line.get(..at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default()),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => match &mut data {
                Some(joined) => {
                    joined.push(b'\n');
                    joined.extend_from_slice(value);
                }
                None => data = Some(value.to_vec()),
            },
            b"event" => name = Some(value.to_vec()),
            _ => {}
        }
    }
    Event { raw: raw.to_vec(), data, name, piece: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(bytes: &[u8]) -> Vec<Event> {
        let mut framer = Framer::default();
        let mut events = framer.push(bytes);
        events.extend(framer.finish());
        events
    }

    fn data(events: &[Event]) -> Vec<String> {
        events
            .iter()
            .filter_map(|e| e.data.as_ref())
            .map(|d| String::from_utf8_lossy(d).into_owned())
            .collect()
    }

    #[test]
    fn every_line_ending_ends_a_line() {
        for bytes in ["data: a\n\ndata: b\n\n", "data: a\r\n\r\ndata: b\r\n\r\n", "data: a\r\rdata: b\r\r"] {
            assert_eq!(data(&whole(bytes.as_bytes())), ["a", "b"], "{bytes:?}");
        }
    }

    #[test]
    fn comments_names_and_joined_data() {
        let events = whole(b": keep-alive\n\nevent: x\ndata: a\ndata:b\nid: 7\n\ndata: unfinished");
        assert_eq!(events.len(), 3);
        assert_eq!(events[0].data, None);
        assert_eq!(events[1].data.as_deref(), Some(&b"a\nb"[..]));
        assert_eq!(events[1].name.as_deref(), Some(&b"x"[..]));
        assert_eq!(events[2].data.as_deref(), Some(&b"unfinished"[..]));
    }

    #[test]
    fn an_event_too_long_to_be_collected_comes_in_pieces_and_the_next_one_whole() {
        let long = [b"data: ".to_vec(), vec![b'x'; 2 * EVENT_BYTES_MAX + 100], b"\n\n".to_vec()].concat();
        let all = [&b"data: a\n\n"[..], &long, b"data: b\n\n"].concat();
        // Also where the separator is cut in two at the very bound.
        let edge = b"data: a\n\n".len() + EVENT_BYTES_MAX + 1;
        for chunk in [65_536, 1 << 20, edge, all.len()] {
            let mut framer = Framer::default();
            let mut events = Vec::new();
            for bytes in all.chunks(chunk) {
                events.extend(framer.push(bytes));
                assert!(
                    framer.pending.capacity() <= 3 * EVENT_BYTES_MAX.max(chunk),
                    "what is kept is bounded"
                );
            }
            events.extend(framer.finish());
            assert_eq!(data(&events).iter().filter(|data| data.len() == 1).count(), 2, "{chunk}");
            let raw: Vec<u8> = events.iter().flat_map(|event| event.raw.clone()).collect();
            assert!(raw == all, "no byte is lost or added");
            if chunk <= 1 << 20 {
                let pieces: Vec<bool> = events.iter().map(|event| event.piece).collect();
                let (first, last) = (pieces[0], pieces[pieces.len() - 1]);
                assert!(!first && !last && pieces.len() >= 4, "{chunk}: {pieces:?}");
                assert!(pieces[1..pieces.len() - 1].iter().all(|piece| *piece), "{chunk}: {pieces:?}");
            }
        }
        let mut framer = Framer::default();
        let ending = [vec![b'x'; EVENT_BYTES_MAX], b"\n".to_vec()].concat();
        let pieces: Vec<Event> = framer.push(&ending);
        assert!(pieces.iter().all(|event| event.piece) && pieces.len() == 1);
        assert!(
            framer.push(b"\ndata: c\n\n").last().is_some_and(|event| event.data.as_deref() == Some(b"c"))
        );
    }

    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        const PIECES: &[&[u8]] = &[
            b"data: {\"a\":1}",
            b"data: \xC3\xA9",
            b": c",
            b"\n",
            b"\r\n",
            b"\r",
            b"\n\n",
            b"\r\n\r\n",
            b"x",
            b"data:",
            b"event: e",
        ];
        let piece = prop::sample::select(PIECES);
        prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(bytes in pieces(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
            let expected = whole(&bytes);
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let mut framer = Framer::default();
            let mut events = vec![];
            for pair in at.windows(2) {
                events.extend(framer.push(&bytes[pair[0]..pair[1]]));
            }
            events.extend(framer.finish());
            prop_assert_eq!(&events, &expected);
            let raw: Vec<u8> = events.iter().flat_map(|event| event.raw.clone()).collect();
            prop_assert_eq!(raw, bytes, "no byte is lost or added");
        }
    }
}
