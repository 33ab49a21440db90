//! The records of a pax header (POSIX pax, extended header): split strictly, and which of them are
//! times or owners.

use super::limits::Budget;
use super::{ArchiveError, Field};

/// Charged for each pax record, so that millions of empty ones end at a limit.
const RECORD_BYTES: u64 = 64;

/// Key and value.
pub(super) type Record<'a> = (&'a [u8], &'a [u8]);

/// Splits pax records: `LENGTH SP KEY=VALUE LF`, the length in plain decimal and exact.
pub(super) fn records<'d>(
    mut data: &'d [u8],
    budget: &Budget<'_>,
) -> Result<Vec<Record<'d>>, ArchiveError> {
    let bad = || ArchiveError::malformed("a damaged pax record", b"extended header");
    let mut list = Vec::new();
    while !data.is_empty() {
        let space = data.iter().position(|b| *b == b' ').ok_or_else(bad)?;
        let (digits, _) = data.split_at_checked(space).ok_or_else(bad)?;
        let length = usize::try_from(decimal(digits)?).map_err(|_| bad())?;
        let (record, rest) = data.split_at_checked(length).ok_or_else(bad)?;
        let body = record
            .get(space + 1..)
            .and_then(|body| body.strip_suffix(b"\n"))
            .ok_or_else(bad)?;
        let equals = body.iter().position(|b| *b == b'=').ok_or_else(bad)?;
        let (key, value) = body.split_at_checked(equals).ok_or_else(bad)?;
        let value = value.get(1..).ok_or_else(bad)?;
        if key.is_empty() || value.contains(&0) {
            return Err(bad());
        }
        // what a record costs in memory beside its own bytes
        budget.metadata(RECORD_BYTES)?;
        list.push((key, value));
        data = rest;
    }
    Ok(list)
}

/// Plain decimal without sign or leading zero.
pub(super) fn decimal(text: &[u8]) -> Result<u64, ArchiveError> {
    let bad = || ArchiveError::malformed("a damaged number in a pax header", text);
    let plain = text.iter().all(u8::is_ascii_digit) && (text.len() == 1 || !text.starts_with(b"0"));
    let text = std::str::from_utf8(text).map_err(|_| bad())?;
    text.parse().ok().filter(|_| plain).ok_or_else(bad)
}

/// The field of a record that holds a time or an owner and nothing else.
pub(super) fn covered_record(key: &[u8], value: &[u8]) -> Option<Field> {
    let number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    match key {
        b"mtime" | b"atime" | b"ctime" => {
            let value = value.strip_prefix(b"-").unwrap_or(value);
            let mut parts = value.splitn(2, |b| *b == b'.');
            parts.all(number).then_some(Field::PaxTime)
        }
        b"uid" | b"gid" => number(value).then_some(Field::PaxOwner),
        b"uname" | b"gname" => Some(Field::PaxOwner),
        _ => None,
    }
}
