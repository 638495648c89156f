//! Any bytes, cut anywhere, give the same events.
#![no_main]

use edgehold::stream::{aws_eventstream, sse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((cut, bytes)) = data.split_first() else { return };
    let size = usize::from(*cut).max(1);

    let mut framer = sse::Framer::default();
    let mut whole = framer.push(bytes);
    whole.extend(framer.finish());
    let mut framer = sse::Framer::default();
    let mut pieces: Vec<_> = bytes.chunks(size).flat_map(|piece| framer.push(piece)).collect();
    pieces.extend(framer.finish());
    assert_eq!(whole, pieces);

    let mut framer = aws_eventstream::Framer::default();
    let mut whole = framer.push(bytes);
    whole.extend(framer.finish());
    let mut framer = aws_eventstream::Framer::default();
    let mut pieces: Vec<_> = bytes.chunks(size).flat_map(|piece| framer.push(piece)).collect();
    pieces.extend(framer.finish());
    assert_eq!(whole, pieces);
    // What was read is written and read again.
    for frame in whole {
        if let aws_eventstream::Frame::Message(message) = frame {
            let mut out = Vec::new();
            if message.encode(&mut out) {
                let again = aws_eventstream::Framer::default().push(&out);
                assert_eq!(again, [aws_eventstream::Frame::Message(message)]);
            }
        }
    }
});
