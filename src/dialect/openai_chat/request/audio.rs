//! How long a clip of audio can last, told from its base64 without decoding more than its head.

/// The lowest rate of an MP3 is 8 kbit/s, 1000 bytes a second (MPEG-2.5 layer III, ISO/IEC 13818-3, table of bit rates);
/// half of it is counted, for readers that are lenient.
const MP3_BYTES_PER_SECOND: u64 = 500;
/// A sample rate below this is nobody's, and would make seconds of a byte.
const WAV_SAMPLES_PER_SECOND_MIN: u64 = 4_000;
/// What decoders may add at either end.
const EDGES_MS: u64 = 1_000;

/// The most milliseconds that a clip can last, or `None` if its head does not say what it is. `data` is base64, perhaps as a
/// data URL.
pub(super) fn longest_ms(data: &str) -> Option<u64> {
    let data = match data.strip_prefix("data:") {
        Some(url) => url.split_once(',')?.1,
        None => data,
    };
    let bytes = (data.len() as u64).saturating_mul(3).div_ceil(4);
    let head = decoded(data, 0)?;
    if head.starts_with(b"RIFF") && head.get(8..16)? == b"WAVEfmt " {
        return wav_ms(&head, bytes);
    }
    let frame = match head.strip_prefix(b"ID3") {
        // The tag's size is in the four bytes from the sixth, seven bits each.
        Some(_) => {
            let size =
                head.get(6..10)?.iter().fold(0usize, |size, byte| size << 7 | usize::from(byte & 0x7F));
            decoded(data, size.saturating_add(10))?
        }
        None => head,
    };
    mp3_frame(&frame).then(|| ms(bytes, MP3_BYTES_PER_SECOND))
}

fn ms(bytes: u64, per_second: u64) -> u64 {
    bytes.saturating_mul(1_000).div_ceil(per_second.max(1)).saturating_add(EDGES_MS)
}

/// Samples as they are (PCM, floats); what is compressed has no rate to rely on.
fn wav_ms(head: &[u8], bytes: u64) -> Option<u64> {
    let [tag, _, samples, _, block] = [20..22, 22..24, 24..28, 28..32, 32..34].map(|at| {
        let field = head.get(at)?;
        Some(field.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte)))
    });
    let (samples, block) = (samples?, block?);
    (matches!(tag?, 1 | 3) && samples >= WAV_SAMPLES_PER_SECOND_MIN && block >= 1)
        .then(|| ms(bytes, samples.saturating_mul(block)))
}

/// Eleven ones, layer III, a bit rate that is in the table.
fn mp3_frame(head: &[u8]) -> bool {
    let &[first, second, third, ..] = head else { return false };
    first == 0xFF && second & 0xE6 == 0xE2 && !matches!(third >> 4, 0 | 15)
}

/// 48 bytes (or what there is) from this byte on.
fn decoded(base64: &str, from: usize) -> Option<Vec<u8>> {
    let skipped = from % 3;
    let text = base64.as_bytes().get(from / 3 * 4..)?;
    let mut out = Vec::with_capacity(51);
    for quad in text.chunks(4).take(17) {
        let mut word = 0u32;
        let mut digits = 0u32;
        for byte in quad.iter().take_while(|byte| **byte != b'=') {
            word = word << 6 | sextet(*byte)?;
            digits += 1;
        }
        let word = word << (6 * (4 - digits));
        let known = usize::try_from(digits * 6 / 8).unwrap_or(0);
        out.extend(word.to_be_bytes().into_iter().skip(1).take(known));
    }
    Some(out.split_off(skipped.min(out.len())))
}

fn sextet(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    fn base64(bytes: &[u8]) -> String {
        bytes
            .chunks(3)
            .map(|chunk| {
                let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
                let word = word << (8 * (3 - chunk.len()));
                (0..4)
                    .map(|at| match at <= chunk.len() {
                        true => char::from(DIGITS[(word >> (18 - 6 * at) & 63) as usize]),
                        false => '=',
                    })
                    .collect::<String>()
            })
            .collect()
    }

    fn wav(samples: u32, block: u16, tag: u16, seconds: u32) -> Vec<u8> {
        let data = samples * u32::from(block) * seconds;
        let mut bytes = b"RIFF....WAVEfmt \x10\0\0\0".to_vec();
        bytes.extend(tag.to_le_bytes());
        bytes.extend(1u16.to_le_bytes());
        bytes.extend(samples.to_le_bytes());
        // The byte rate is not relied upon: this one is a lie.
        bytes.extend(1_000_000_000u32.to_le_bytes());
        bytes.extend(block.to_le_bytes());
        bytes.extend(16u16.to_le_bytes());
        bytes.extend(b"data....");
        bytes.resize(bytes.len() + data as usize, 7);
        bytes
    }

    #[test]
    fn a_wave_lasts_as_long_as_its_samples() {
        let ms = longest_ms(&base64(&wav(16_000, 2, 1, 10))).unwrap();
        assert!((10_000..11_100).contains(&ms), "{ms}");
        let url = format!("data:audio/wav;base64,{}", base64(&wav(8_000, 1, 1, 3)));
        assert!((3_000..4_100).contains(&longest_ms(&url).unwrap()));
    }

    #[test]
    fn what_could_be_of_any_length_has_no_bound() {
        assert_eq!(longest_ms(&base64(&wav(1, 1, 1, 10))), None, "a sample a second");
        assert_eq!(longest_ms(&base64(&wav(16_000, 0, 1, 1))), None);
        assert_eq!(longest_ms(&base64(&wav(16_000, 2, 49, 1))), None, "GSM");
        assert_eq!(longest_ms(&base64(b"OggS and more")), None);
        assert_eq!(longest_ms(&base64(&[0xFF, 0xF1, 0x50, 0x80])), None, "AAC");
        assert_eq!(longest_ms(&base64(&[0xFF, 0xFB, 0x00, 0x00])), None, "of a free bit rate");
        assert_eq!(longest_ms("§§§"), None);
        assert_eq!(longest_ms(""), None);
    }

    #[test]
    fn an_mp3_is_at_least_its_lowest_rate_also_behind_a_tag() {
        let frame = [0xFF, 0xFB, 0x90, 0x64];
        let mut plain = frame.to_vec();
        plain.resize(10_000, 0);
        // 10,000 bytes are ten seconds at the lowest rate there is.
        assert!(longest_ms(&base64(&plain)).unwrap() >= 10_000);
        for size in 0..7u8 {
            let mut tagged = vec![b'I', b'D', b'3', 4, 0, 0, 0, 0, 1, size];
            tagged.resize(10 + 128 + usize::from(size), 0);
            tagged.extend(&plain);
            assert!(longest_ms(&base64(&tagged)).unwrap() >= 10_000, "{size}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(bytes in prop::collection::vec(any::<u8>(), 0..200), from in 0usize..220) {
            let expected: Vec<u8> = bytes.iter().skip(from).take(48).copied().collect();
            if let Some(found) = decoded(&base64(&bytes), from) {
                prop_assert_eq!(&found[..expected.len().min(found.len())], &expected[..expected.len().min(found.len())]);
                prop_assert!(found.len() >= expected.len());
            } else {
                prop_assert!(expected.is_empty());
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,80}") {
            let _ = longest_ms(&text);
        }
    }
}
