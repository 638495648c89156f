//! What the fuzz targets share.

use edgehold::dialect::Dialect;
use std::sync::OnceLock;

/// The dialect that an input is of: its first byte says, unless a run is for one alone (`EDGEHOLD_FUZZ_DIALECT`).
///
/// # Panics
/// If that names none.
pub fn dialect(first: u8) -> Dialect {
    static ONLY: OnceLock<Option<Dialect>> = OnceLock::new();
    let only = ONLY.get_or_init(|| {
        let name = std::env::var("EDGEHOLD_FUZZ_DIALECT").ok().filter(|name| !name.is_empty())?;
        Some(Dialect::by_name(&name).unwrap_or_else(|| panic!("no dialect is called '{name}'")))
    });
    only.unwrap_or(Dialect::ALL[usize::from(first & 7) % Dialect::ALL.len()])
}
