//! Which D1 database a customer's ledger is in.

use sha2::{Digest as _, Sha256};

/// The binding of the default database: admin tables always, the ledger if no other is bound.
pub const DEFAULT: &str = "DB";

/// The binding of one of several databases that hold ledgers.
#[must_use]
pub fn binding(index: u32) -> String {
    format!("LEDGER_DB_{index}")
}

/// Where the ledger of a new customer goes when `databases` of them are bound besides the default one: the first
/// eight bytes of SHA-256 of the customer's id, big-endian, modulo their number.
#[must_use]
pub fn home(customer: &str, databases: u32) -> String {
    if databases == 0 {
        return DEFAULT.to_owned();
    }
    let digest = Sha256::digest(customer.as_bytes());
    let hash = digest.iter().take(8).fold(0u64, |hash, byte| (hash << 8) | u64::from(*byte));
    binding(u32::try_from(hash % u64::from(databases)).unwrap_or_default())
}

/// All databases that hold rows: with several, the default one may hold those of customers from before.
#[must_use]
pub fn all(databases: u32) -> Vec<String> {
    std::iter::once(DEFAULT.to_owned()).chain((0..databases).map(binding)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_stable_and_homes_are_spread() {
        // Pinned: an object that has not drained yet chooses by this, whatever version it runs.
        assert_eq!(home("cus_000000000001", 4), "LEDGER_DB_0");
        assert_eq!(home("cus_000000000001", 7), "LEDGER_DB_1");
        assert_eq!(home("cus_000000000001", 0), "DB");
        let mut counts = [0; 4];
        for number in 0..4_000 {
            let home = home(&format!("cus_{number:012}"), 4);
            counts[home.strip_prefix("LEDGER_DB_").unwrap().parse::<usize>().unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
        assert_eq!(all(2), ["DB", "LEDGER_DB_0", "LEDGER_DB_1"]);
    }
}
