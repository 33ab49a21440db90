//! Numbers in a stranger's bytes: `None` where the bytes end before.

/// A number of at most eight bytes, the least significant first.
pub(super) fn little(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    field(bytes, at, length).map(|field| field.iter().rev().fold(0, add))
}

/// The same, the most significant first.
pub(super) fn big(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    field(bytes, at, length).map(|field| field.iter().fold(0, add))
}

fn field(bytes: &[u8], at: usize, length: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(length)?)
}

fn add(sum: u64, byte: &u8) -> u64 {
    sum << 8 | u64::from(*byte)
}
