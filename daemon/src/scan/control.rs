//! Paragraphs of Debian's files (policy §5.1), read as they come: a status file, an index of packages.
//!
//! Of each paragraph a few fields are kept, and of a folded field its first line, so that a file of any
//! length needs little memory.

use std::io::{self, BufRead, Read as _};

/// Longest line in bytes. Lists of dependencies are long.
const MAX_LINE: u64 = 1 << 20;

/// Calls `each` with the fields of every paragraph, in the order of `names`. Names are compared without
/// case; of a field that stands twice the first counts.
///
/// # Errors
/// When reading fails, or a line is longer than any in use.
pub(super) fn paragraphs<const N: usize>(
    mut reader: impl BufRead,
    names: [&str; N],
    mut each: impl FnMut([Option<String>; N]),
) -> io::Result<()> {
    let mut fields = [const { None }; N];
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line)?;
        if read as u64 == MAX_LINE && line.last() != Some(&b'\n') {
            return Err(io::Error::other("a line of more than a megabyte"));
        }
        let text = line.trim_ascii_end();
        if text.is_empty() {
            let complete = std::mem::replace(&mut fields, [const { None }; N]);
            if complete.iter().any(Option::is_some) {
                each(complete);
            }
            if read == 0 {
                return Ok(());
            }
            continue;
        }
        let Some(colon) = text.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = text.split_at(colon); // a folded line begins with a blank and names nothing
        let named = names
            .iter()
            .position(|known| known.as_bytes().eq_ignore_ascii_case(name));
        if let Some(field) = named.and_then(|at| fields.get_mut(at))
            && field.is_none()
        {
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            *field = Some(String::from_utf8_lossy(value).into_owned());
        }
    }
}
