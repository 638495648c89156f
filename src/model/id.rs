//! Identifiers and the virtual key's shape.
//!
//! A virtual key is `eh_<customer>_<secret><check>`: the public id of its customer (12 characters, so that a cache
//! miss knows which Durable Object to ask), 160 random bits (32 characters) and a CRC-32 of all before it
//! (7 characters). The alphabet is Crockford's base 32 in lower case. Only the SHA-256 of the text is stored.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const CUSTOMER_LEN: usize = 12;
const SECRET_LEN: usize = 32;
const CHECK_LEN: usize = 7;

/// `bits` low bits of `value` as base-32 text, most significant first.
fn base32(mut value: u128, characters: usize) -> String {
    let mut text = vec![b'0'; characters];
    for slot in text.iter_mut().rev() {
        if let Some(character) = ALPHABET.get((value & 31) as usize) {
            *slot = *character;
        }
        value >>= 5;
    }
    String::from_utf8(text).unwrap_or_default()
}

fn is_base32(text: &str) -> bool {
    text.bytes().all(|byte| ALPHABET.contains(&byte))
}

/// CRC-32 (IEEE 802.3), bitwise: fifty bytes a request do not need a table.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// Random 128 bits from 16 bytes.
fn wide(random: [u8; 16]) -> u128 {
    u128::from_le_bytes(random)
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// A new random id.
            #[must_use]
            pub fn mint(random: [u8; 16]) -> Self {
                Self(format!(concat!($prefix, "{}"), base32(wide(random), CUSTOMER_LEN)))
            }

            /// The text, as stored and shown.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A customer: the unit of one Durable Object.
    CustomerId, "cus_"
);
text_id!(
    /// A team of a customer.
    TeamId, "team_"
);
text_id!(
    /// A virtual key's public id; never the key itself.
    KeyId, "key_"
);

/// A request, minted here: 48 bits of milliseconds, then 80 random bits, so that ids sort by time and the
/// ledger's primary key answers time ranges.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub String);

impl RequestId {
    /// A new id.
    #[must_use]
    pub fn mint(now_ms: i64, random: [u8; 16]) -> Self {
        Self(format!("{}{}", Self::lower_bound(now_ms), base32(wide(random), 16)))
    }

    /// The text below which no id minted at or after `now_ms` sorts.
    #[must_use]
    pub fn lower_bound(now_ms: i64) -> String {
        format!("req_{}", base32(u128::from(now_ms.max(0).unsigned_abs()), 10))
    }

    /// The text, as stored and shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads an id somebody sends back; only the shape is checked.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let body = text.strip_prefix("req_")?;
        (body.len() == 26 && is_base32(body)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SHA-256 of a virtual key, in hexadecimal: what is stored and looked up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyDigest(pub String);

/// A virtual key as presented, its checksum verified. Does not show itself in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct PresentedKey {
    text: String,
}

impl fmt::Debug for PresentedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PresentedKey({}…)", self.customer())
    }
}

impl PresentedKey {
    /// A new key of `customer`.
    #[must_use]
    pub fn mint(customer: &CustomerId, random: [[u8; 16]; 2]) -> Self {
        let [first, second] = random.map(wide);
        let customer = customer.as_str().strip_prefix("cus_").unwrap_or_default();
        let body =
            format!("eh_{customer}_{}{}", base32(first, SECRET_LEN / 2), base32(second, SECRET_LEN / 2));
        let check = base32(u128::from(crc32(body.as_bytes())), CHECK_LEN);
        Self { text: body + &check }
    }

    /// Reads a key; `None` for anything this gateway cannot have issued.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (customer, rest) = text.strip_prefix("eh_")?.split_once('_')?;
        if customer.len() != CUSTOMER_LEN || rest.len() != SECRET_LEN + CHECK_LEN {
            return None;
        }
        if !is_base32(customer) || !is_base32(rest) {
            return None;
        }
        let (body, check) = text.split_at_checked(text.len().checked_sub(CHECK_LEN)?)?;
        (base32(u128::from(crc32(body.as_bytes())), CHECK_LEN) == check)
            .then(|| Self { text: text.to_owned() })
    }

    /// Whose object to ask.
    #[must_use]
    pub fn customer(&self) -> CustomerId {
        let public = self.text.split('_').nth(1).unwrap_or_default();
        CustomerId(format!("cus_{public}"))
    }

    /// What is stored instead of the key.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        let mut text = String::with_capacity(64);
        for byte in Sha256::digest(self.text.as_bytes()) {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        KeyDigest(text)
    }

    /// The key itself, shown once to whoever creates it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn crc_is_the_standard_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_key_does_not_show_itself() {
        let key = PresentedKey::mint(&CustomerId::mint([7; 16]), [[1; 16], [2; 16]]);
        assert!(!format!("{key:?}").contains(&key.reveal()[16..]));
    }

    #[test]
    fn request_ids_sort_by_time() {
        assert!(RequestId::mint(1, [255; 16]) < RequestId::mint(2, [0; 16]));
        assert!(
            RequestId::mint(1_700_000_000_000, [0; 16]).as_str()
                >= RequestId::lower_bound(1_700_000_000_000).as_str()
        );
    }

    proptest! {
        #[test]
        fn a_minted_key_parses_and_names_its_customer(customer: [u8; 16], a: [u8; 16], b: [u8; 16]) {
            let customer = CustomerId::mint(customer);
            let key = PresentedKey::mint(&customer, [a, b]);
            let read = PresentedKey::parse(key.reveal());
            prop_assert_eq!(read.as_ref().map(PresentedKey::customer), Some(customer));
            prop_assert_eq!(read.map(|k| k.digest()), Some(key.digest()));
        }

        #[test]
        fn one_wrong_character_is_noticed(a: [u8; 16], at in 3usize..55, by in 1usize..31) {
            let key = PresentedKey::mint(&CustomerId::mint(a), [a, a]);
            let mut bytes = key.reveal().as_bytes().to_vec();
            if bytes[at] != b'_' {
                let old = ALPHABET.iter().position(|c| *c == bytes[at]).unwrap();
                bytes[at] = ALPHABET[(old + by) % 32];
                if bytes != key.reveal().as_bytes() {
                    prop_assert_eq!(PresentedKey::parse(std::str::from_utf8(&bytes).unwrap()), None);
                }
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = PresentedKey::parse(&text);
            let _ = RequestId::parse(&text);
        }
    }
}
