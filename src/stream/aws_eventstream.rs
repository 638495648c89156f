//! Amazon's binary event stream (`application/vnd.amazon.eventstream`): framing.
//!
//! A message is: its length and its headers' length (32 bits each, big-endian), the CRC-32 of these eight bytes, headers,
//! payload, and the CRC-32 of all before it
//! (<https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html>, read 2026-11-21; header types:
//! <https://smithy.io/2.0/aws/amazon-eventstream.html>, read 2026-11-21).

/// One message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// Names and values, in order.
    pub headers: Vec<(String, Header)>,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Message {
    /// With headers that are texts, as events have them.
    #[must_use]
    pub fn of_texts(headers: &[(&str, &str)], payload: &[u8]) -> Self {
        let header = |(name, value): &(&str, &str)| ((*name).to_owned(), Header::Text((*value).to_owned()));
        Self { headers: headers.iter().map(header).collect(), payload: payload.to_vec() }
    }

    /// The first header of this name, if it is a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).and_then(|(_, value)| match value {
            Header::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// Appends its bytes. `false`, and nothing is appended, if a name, a value or the whole is longer than the format has
    /// room for.
    pub fn encode(&self, out: &mut Vec<u8>) -> bool {
        let mut headers = Vec::new();
        if !self.headers.iter().all(|(name, value)| encode_header(name, value, &mut headers)) {
            return false;
        }
        let length = PRELUDE_BYTES + headers.len() + self.payload.len() + CRC_BYTES;
        let (Ok(length_u32), Ok(headers_u32)) = (u32::try_from(length), u32::try_from(headers.len())) else {
            return false;
        };
        if length > MESSAGE_BYTES_MAX || headers.len() > HEADERS_BYTES_MAX {
            return false;
        }
        let mut message = Vec::with_capacity(length);
        message.extend(length_u32.to_be_bytes());
        message.extend(headers_u32.to_be_bytes());
        message.extend(crc32fast::hash(&message).to_be_bytes());
        message.extend(headers);
        message.extend(&self.payload);
        message.extend(crc32fast::hash(&message).to_be_bytes());
        out.extend(message);
        true
    }
}

/// A header's value. All of the format's types, of which events use texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// True or false.
    Flag(bool),
    /// 8 bits.
    Byte(i8),
    /// 16 bits.
    Short(i16),
    /// 32 bits.
    Int(i32),
    /// 64 bits.
    Long(i64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// UTF-8.
    Text(String),
    /// Milliseconds since 1970.
    Timestamp(i64),
    /// 128 bits.
    Uuid([u8; 16]),
}

/// What the bytes were.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// A message whose sums are right.
    Message(Message),
    /// Not what it should be; why, for the operator.
    Corrupt(String),
}

/// Two lengths and their sum.
const PRELUDE_BYTES: usize = 12;
const CRC_BYTES: usize = 4;
/// The format's own bounds, as Amazon's C library has them (`AWS_EVENT_STREAM_MAX_MESSAGE_SIZE`,
/// `AWS_EVENT_STREAM_MAX_HEADERS_SIZE` of awslabs/aws-c-event-stream, read 2026-11-21).
const MESSAGE_BYTES_MAX: usize = 16 << 20;
const HEADERS_BYTES_MAX: usize = 128 << 10;

/// Cuts bytes into messages.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    pending: Vec<u8>,
    /// A wrong prelude: where the next message begins is not known any more.
    lost: bool,
}

impl Framer {
    /// Takes bytes and gives the messages they complete. Behind a wrong prelude nothing is read.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        if self.lost {
            return frames;
        }
        self.pending.extend_from_slice(bytes);
        let mut from = 0;
        while let Some(rest) = self.pending.get(from..) {
            match message_length(rest) {
                Ok(Some(length)) => match rest.get(..length) {
                    Some(message) => {
                        frames.push(match decode(message) {
                            Ok(message) => Frame::Message(message),
                            Err(why) => Frame::Corrupt(why.to_owned()),
                        });
                        from += length;
                    }
                    None => break,
                },
                Ok(None) => break,
                Err(why) => {
                    frames.push(Frame::Corrupt(why.to_owned()));
                    self.lost = true;
                    self.pending = Vec::new();
                    return frames;
                }
            }
        }
        self.pending.drain(..from);
        frames
    }

    /// The end of the bytes: a message that has begun and did not end is corrupt.
    pub fn finish(&mut self) -> Option<Frame> {
        let cut = std::mem::take(&mut self.pending);
        (!cut.is_empty())
            .then(|| Frame::Corrupt(format!("the stream ended {} bytes into a message", cut.len())))
    }
}

/// How long the message is that begins here; `None` if that cannot be told yet.
fn message_length(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    let Some(prelude) = bytes.first_chunk::<PRELUDE_BYTES>() else { return Ok(None) };
    let mut reading = Reading(prelude);
    let (length, headers) = (reading.u32()? as usize, reading.u32()? as usize);
    if reading.u32()? != crc32fast::hash(prelude.get(..8).unwrap_or_default()) {
        return Err("a prelude's sum is wrong");
    }
    if length > MESSAGE_BYTES_MAX || headers > HEADERS_BYTES_MAX {
        return Err("a message is longer than may be");
    }
    if length < PRELUDE_BYTES + headers + CRC_BYTES {
        return Err("a message is shorter than its headers");
    }
    Ok(Some(length))
}

/// A whole message, whose prelude was found right.
fn decode(bytes: &[u8]) -> Result<Message, &'static str> {
    let (body, sum) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(SHORT)?;
    if u32::from_be_bytes(*sum) != crc32fast::hash(body) {
        return Err("a message's sum is wrong");
    }
    let mut reading = Reading(body);
    reading.u32()?;
    let headers_length = reading.u32()? as usize;
    reading.u32()?;
    let mut reading_headers = Reading(reading.bytes(headers_length)?);
    let mut headers = Vec::new();
    while !reading_headers.0.is_empty() {
        headers.push(decode_header(&mut reading_headers)?);
    }
    Ok(Message { headers, payload: reading.0.to_vec() })
}

const SHORT: &str = "a header is cut off";

fn decode_header(reading: &mut Reading<'_>) -> Result<(String, Header), &'static str> {
    let length = u8::from_be_bytes(reading.array()?);
    let name = text(reading.bytes(length.into())?)?;
    let [kind] = reading.array()?;
    let value = match kind {
        0 => Header::Flag(true),
        1 => Header::Flag(false),
        2 => Header::Byte(i8::from_be_bytes(reading.array()?)),
        3 => Header::Short(i16::from_be_bytes(reading.array()?)),
        4 => Header::Int(i32::from_be_bytes(reading.array()?)),
        5 => Header::Long(i64::from_be_bytes(reading.array()?)),
        6 => Header::Bytes(reading.counted()?.to_vec()),
        7 => Header::Text(text(reading.counted()?)?),
        8 => Header::Timestamp(i64::from_be_bytes(reading.array()?)),
        9 => Header::Uuid(reading.array()?),
        _ => return Err("a header's type is unknown"),
    };
    Ok((name, value))
}

fn text(bytes: &[u8]) -> Result<String, &'static str> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a header is not UTF-8")
}

fn encode_header(name: &str, value: &Header, out: &mut Vec<u8>) -> bool {
    let Ok(length) = u8::try_from(name.len()) else { return false };
    out.push(length);
    out.extend(name.as_bytes());
    let mut put = |kind: u8, bytes: &[u8]| {
        out.push(kind);
        out.extend(bytes);
    };
    match value {
        Header::Flag(true) => put(0, &[]),
        Header::Flag(false) => put(1, &[]),
        Header::Byte(value) => put(2, &value.to_be_bytes()),
        Header::Short(value) => put(3, &value.to_be_bytes()),
        Header::Int(value) => put(4, &value.to_be_bytes()),
        Header::Long(value) => put(5, &value.to_be_bytes()),
        Header::Timestamp(value) => put(8, &value.to_be_bytes()),
        Header::Uuid(value) => put(9, value),
        Header::Bytes(bytes) => return encode_counted(6, bytes, out),
        Header::Text(text) => return encode_counted(7, text.as_bytes(), out),
    }
    true
}

fn encode_counted(kind: u8, bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(length) = u16::try_from(bytes.len()) else { return false };
    out.push(kind);
    out.extend(length.to_be_bytes());
    out.extend(bytes);
    true
}

/// Bytes not read yet.
struct Reading<'a>(&'a [u8]);

impl<'a> Reading<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8], &'static str> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(SHORT)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (bytes, rest) = self.0.split_first_chunk::<N>().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn u32(&mut self) -> Result<u32, &'static str> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// Bytes behind their number, in 16 bits.
    fn counted(&mut self) -> Result<&'a [u8], &'static str> {
        let length = u16::from_be_bytes(self.array()?);
        self.bytes(length.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(bytes: &[u8]) -> Vec<Frame> {
        let mut framer = Framer::default();
        let mut frames = framer.push(bytes);
        frames.extend(framer.finish());
        frames
    }

    fn bytes_of(message: &Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert!(message.encode(&mut bytes));
        bytes
    }

    /// As botocore's parser takes it, and every library's test has it.
    #[test]
    fn a_message_of_nothing_is_sixteen_bytes() {
        let bytes = [0, 0, 0, 16, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
        assert_eq!(bytes_of(&Message::default()), bytes);
        assert_eq!(whole(&bytes), [Frame::Message(Message::default())]);
    }

    #[test]
    fn a_wrong_sum_is_corrupt_and_the_next_message_is_read() {
        let first = bytes_of(&Message::of_texts(&[("a", "b")], b"payload"));
        let mut bytes = first.clone();
        let last = bytes.len() - 5;
        bytes[last] ^= 1;
        bytes.extend(&first);
        let frames = whole(&bytes);
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[0], Frame::Corrupt("a message's sum is wrong".into()));
        assert!(matches!(&frames[1], Frame::Message(message) if message.text("a") == Some("b")));
    }

    #[test]
    fn behind_a_wrong_prelude_nothing_is_read() {
        let first = bytes_of(&Message::of_texts(&[("a", "b")], b"payload"));
        let mut bytes = first.clone();
        bytes[2] ^= 1;
        bytes.extend(&first);
        assert_eq!(whole(&bytes), [Frame::Corrupt("a prelude's sum is wrong".into())]);
        let mut huge = vec![0x7f, 0, 0, 0, 0, 0, 0, 0];
        huge.extend(crc32fast::hash(&huge).to_be_bytes());
        assert_eq!(whole(&huge), [Frame::Corrupt("a message is longer than may be".into())]);
        let mut short = vec![0, 0, 0, 16, 0, 0, 0, 1];
        short.extend(crc32fast::hash(&short).to_be_bytes());
        assert_eq!(whole(&short), [Frame::Corrupt("a message is shorter than its headers".into())]);
    }

    #[test]
    fn a_cut_message_and_an_unknown_header_are_corrupt() {
        let mut bytes = bytes_of(&Message::of_texts(&[("a", "b")], b"payload"));
        bytes.pop();
        assert!(matches!(&whole(&bytes)[..], [Frame::Corrupt(_)]));
        let mut headers = vec![1, b'a', 10];
        let mut message = vec![0, 0, 0, 19, 0, 0, 0, 3];
        message.extend(crc32fast::hash(&message).to_be_bytes());
        message.append(&mut headers);
        message.extend(crc32fast::hash(&message).to_be_bytes());
        assert_eq!(whole(&message), [Frame::Corrupt("a header's type is unknown".into())]);
    }

    #[test]
    fn what_the_format_has_no_room_for_is_not_written() {
        let mut out = Vec::new();
        let long = "x".repeat(70_000);
        assert!(!Message::of_texts(&[("a", &long)], b"").encode(&mut out));
        assert!(!Message::of_texts(&[(&long[..256], "b")], b"").encode(&mut out));
        assert!(!Message { headers: vec![], payload: vec![0; MESSAGE_BYTES_MAX] }.encode(&mut out));
        assert!(out.is_empty());
    }

    fn header() -> impl Strategy<Value = Header> {
        prop_oneof![
            any::<bool>().prop_map(Header::Flag),
            any::<i8>().prop_map(Header::Byte),
            any::<i16>().prop_map(Header::Short),
            any::<i32>().prop_map(Header::Int),
            any::<i64>().prop_map(Header::Long),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Header::Bytes),
            ".{0,20}".prop_map(Header::Text),
            any::<i64>().prop_map(Header::Timestamp),
            any::<[u8; 16]>().prop_map(Header::Uuid),
        ]
    }

    fn message() -> impl Strategy<Value = Message> {
        let headers = prop::collection::vec((".{0,20}", header()), 0..5);
        (headers, prop::collection::vec(any::<u8>(), 0..80))
            .prop_map(|(headers, payload)| Message { headers, payload })
    }

    fn split(bytes: &[u8], cuts: &[prop::sample::Index]) -> Vec<Frame> {
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let mut framer = Framer::default();
        let mut frames = vec![];
        for pair in at.windows(2) {
            frames.extend(framer.push(&bytes[pair[0]..pair[1]]));
        }
        frames.extend(framer.finish());
        frames
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_at_any_split(
            messages in prop::collection::vec(message(), 0..5),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let bytes: Vec<u8> = messages.iter().flat_map(bytes_of).collect();
            let expected: Vec<Frame> = messages.into_iter().map(Frame::Message).collect();
            prop_assert_eq!(split(&bytes, &cuts), expected);
        }

        #[test]
        fn a_flipped_bit_never_gives_another_message(
            message in message(),
            at in any::<prop::sample::Index>(),
            bit in 0..8u32,
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let mut bytes = bytes_of(&message);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let frames = split(&bytes, &cuts);
            prop_assert!(frames.iter().all(|frame| matches!(frame, Frame::Corrupt(_))), "{:?}", frames);
            prop_assert_eq!(frames, whole(&bytes));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            whole(&bytes);
        }
    }
}
