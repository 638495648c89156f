//! How many bytes of text a piece of JSON is for the model that reads it.
//!
//! What is counted is what a chat template can write out of the parsed value: decoded characters, not `\u00e9`; no
//! white space of the caller's; but quotes, colons and commas with a space behind them, and backslashes before what JSON
//! escapes, since templates write tools and calls as JSON again. (Those that indent it have fewer tokens for a line break
//! with its indentation than there are bytes in a name's quotes and colon.)

use std::slice::Iter;

/// A comma or a colon, and the space behind it.
const MARK: u64 = 2;
/// Of a text within JSON.
const QUOTES: u64 = 2;

/// Bytes of a text that stands for itself.
pub(super) fn plain(text: &str) -> u64 {
    let bytes = text.len() as u64;
    if text.is_ascii() { bytes } else { bytes + growth_of(text) }
}

/// Bytes of a value written as JSON. (Of what is no JSON it says nothing.)
pub(super) fn value(json: &str) -> u64 {
    let mut bytes = json.as_bytes().iter();
    let mut total = 0;
    while let Some(byte) = bytes.next() {
        total += match byte {
            b'"' => QUOTES + string(&mut bytes),
            b',' | b':' => MARK,
            b' ' | b'\n' | b'\r' | b'\t' => 0,
            _ => 1,
        };
    }
    if json.is_ascii() { total } else { total + growth_of(json) }
}

/// Bytes of a member of an object, written as JSON.
pub(super) fn member(name: &str, json: &str) -> u64 {
    plain(name) + QUOTES + 2 * MARK + value(json)
}

/// To the end of a string, whose first quote is read already.
fn string(bytes: &mut Iter<'_, u8>) -> u64 {
    let mut total = 0;
    loop {
        let rest = bytes.as_slice();
        let run = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(rest.len());
        total += run as u64;
        total += match bytes.nth(run) {
            Some(b'\\') => match bytes.next() {
                Some(b'u') => unit(bytes),
                _ => 2,
            },
            _ => return total,
        };
    }
}

/// The four digits of a `\u`.
fn unit(bytes: &mut Iter<'_, u8>) -> u64 {
    let code = bytes
        .by_ref()
        .take(4)
        .fold(0, |code, digit| code * 16 + char::from(*digit).to_digit(16).unwrap_or(0));
    match code {
        // Written as an escape again.
        0..0x20 | 0x22 | 0x5C | 0x7F => 6,
        0x20..0x7F => 1,
        // Half of a pair, which is four bytes and may be a character that grows.
        0xD800..0xE000 => 2 + 4,
        0x80..0x800 => 2 + char::from_u32(code).map_or(0, growth),
        _ => 3 + char::from_u32(code).map_or(0, growth),
    }
}

fn growth_of(text: &str) -> u64 {
    // Most of what is written in any script grows by nothing.
    let common = |c: &char| matches!(*c, ..'\u{A8}' | 'À'..'\u{13F}' | '\u{386}'..'\u{587}' | '\u{3000}'..'\u{309B}' | '\u{30A0}'..'\u{30FF}' | '\u{3400}'..'\u{FA6C}' | '\u{FF00}'..'\u{1D15E}');
    text.chars().filter(|c| !common(c)).map(growth).sum()
}

/// Bytes by which a character can grow in a reader that normalises text (NFC, NFKC) before it cuts it into tokens:
/// `ﷺ` of three bytes becomes eighteen letters of 33. Ranges of the Unicode 15 data, each with its largest growth.
fn growth(c: char) -> u64 {
    match c {
        ..'\u{A8}' => 0,
        '\u{A8}'..='\u{BE}'
        | '\u{13F}'..='\u{149}'
        | '\u{1C4}'..='\u{1C6}'
        | '\u{2D8}'..='\u{2DD}'
        | '\u{344}'
        | '\u{37A}'..='\u{385}'
        | '\u{587}'
        | '\u{675}'..='\u{678}'
        | '\u{958}'..='\u{95F}'
        | '\u{9DC}'..='\u{9DF}'
        | '\u{A33}'..='\u{A36}'
        | '\u{A59}'..='\u{A5E}'
        | '\u{B5C}'..='\u{B5D}'
        | '\u{E33}'
        | '\u{EB3}'
        | '\u{EDC}'..='\u{EDD}'
        | '\u{1FC1}'..='\u{1FEE}'
        | '\u{2150}'..='\u{2189}'
        | '\u{247D}'..='\u{2487}'
        | '\u{2ADC}'
        | '\u{309B}'..='\u{309F}'
        | '\u{30FF}'
        | '\u{FA6C}'..='\u{FAD7}'
        | '\u{FB13}'..='\u{FDC7}'
        | '\u{FE71}'..='\u{FEFC}' => 3,
        '\u{F43}'..='\u{FB9}' | '\u{2033}'..='\u{2037}' | '\u{222C}'..='\u{2230}' => 6,
        '\u{1D15E}'..='\u{1D1C0}' | '\u{1F12A}'..='\u{1F248}' => 8,
        '\u{2057}' | '\u{2A0C}' => 9,
        '\u{3200}'..='\u{33FE}' => 15,
        '\u{FDF0}'..='\u{FDFC}' => 30,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn characters_count_as_they_are_read_and_not_as_they_were_written() {
        assert_eq!(plain("é"), 2);
        assert_eq!(value(r#""\u00e9\u00E9""#), QUOTES + 4);
        assert_eq!(value("\"éé\""), QUOTES + 4);
        assert_eq!(value(" [ 1 ,\n 2 ] "), "[1, 2]".len() as u64);
        assert_eq!(value(r#"{"a":true}"#), r#"{"a": true}"#.len() as u64);
        assert_eq!(plain("\u{FDFA}"), 33);
        assert_eq!(value("\"\u{FDFA}\""), value(r#""\ufdfa""#));
    }

    #[test]
    fn the_short_cut_leaves_out_only_what_does_not_grow() {
        for c in '\0'..=char::MAX {
            assert_eq!(growth_of(c.encode_utf8(&mut [0; 4])), growth(c), "{c:?}");
        }
    }

    #[test]
    fn what_is_no_json_does_no_harm() {
        for text in ["", "\"", "\"\\", "\"\\u", "\"\\u12", "\"\\uZZZZ\"", "]]", "\u{FDFA}"] {
            let _ = value(text);
        }
    }

    proptest! {
        #[test]
        fn never_less_than_the_value_written_as_json(tree in any_tree()) {
            let compact = serde_json::to_string(&tree).unwrap();
            let wide = serde_json::to_string_pretty(&tree).unwrap();
            prop_assert_eq!(value(&compact), value(&wide));
            prop_assert!(value(&compact) >= compact.len() as u64);
            // And as Python writes it, with a space behind each comma and colon.
            let spaced = compact.len() + commas_and_colons(&tree);
            prop_assert!(value(&compact) >= spaced as u64, "{}", compact);
            // Escaped, it weighs the same or more: never less.
            let escaped: String = compact.chars().flat_map(|c| if c.is_ascii() { vec![c] } else {
                let mut units = [0u16; 2];
                c.encode_utf16(&mut units).iter().flat_map(|unit| format!("\\u{unit:04x}").chars().collect::<Vec<_>>()).collect()
            }).collect();
            prop_assert!(value(&escaped) >= value(&compact));
        }

        #[test]
        fn a_plain_text_is_at_least_its_bytes(text in "\\PC*") {
            prop_assert!(plain(&text) >= text.len() as u64);
        }
    }

    fn commas_and_colons(tree: &Value) -> usize {
        match tree {
            Value::Array(items) => {
                items.len().saturating_sub(1) + items.iter().map(commas_and_colons).sum::<usize>()
            }
            Value::Object(members) => {
                members.len()
                    + members.len().saturating_sub(1)
                    + members.values().map(commas_and_colons).sum::<usize>()
            }
            _ => 0,
        }
    }

    fn any_tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }
}
