//! Walks a Unix ar archive: Debian packages and static libraries.
//!
//! Names stand as in the headers, without GNU's closing slash: what tables and name members of the
//! GNU and BSD forms say is content here and has to be equal.

use std::io::Read;

use countersign_attest::digest::Sha256;

use super::source::Source;
use super::walk::{Place, Walk, content};
use super::{AR_MAGIC, ArchiveError, Container, Detail, Field, Format, Kind, Member};

const HEADER: usize = 60;
const WHAT: &str = "ar archive";

pub(super) fn container(reader: &mut dyn Read, walk: &Walk<'_>) -> Result<Container, ArchiveError> {
    let mut source = Source::new(reader);
    let magic: [u8; 8] = source.exact(WHAT)?;
    if magic != AR_MAGIC {
        return Err(ArchiveError::malformed("no ar archive", &magic));
    }
    let mut members = Vec::new();
    while !source.peek(1)?.is_empty() {
        members.push(member(&mut source, walk)?);
    }
    Ok(Container {
        format: Format::Ar,
        details: Vec::new(),
        members,
        findings: Vec::new(),
    })
}

fn member(source: &mut Source<'_>, walk: &Walk<'_>) -> Result<Member, ArchiveError> {
    walk.budget().member()?;
    walk.budget().metadata(HEADER as u64)?;
    let header: [u8; HEADER] = source.exact(WHAT)?;
    let mut fields = Fields(&header);
    let name = fields.take(16);
    let [date, uid, gid] = [fields.take(12), fields.take(6), fields.take(6)];
    let (mode, size, end) = (fields.take(8), fields.take(10), fields.take(2));
    if end != b"`\n" {
        return Err(ArchiveError::malformed("a damaged ar header", name));
    }
    let size = number(size, 10).ok_or_else(|| ArchiveError::malformed("no size", name))?;
    let bits = number(mode, 8).ok_or_else(|| ArchiveError::malformed("no mode", name))?;
    let shown = trimmed(name);
    let shown = match shown.strip_suffix(b"/") {
        Some(plain) if !plain.is_empty() && !plain.ends_with(b"/") => plain,
        Some(_) | None => shown,
    };
    let mut details = Vec::new();
    let mut rest = Vec::new();
    for (field, value) in [
        (Field::ArTime, date),
        (Field::ArOwnerId, uid),
        (Field::ArOwnerId, gid),
    ] {
        match number(value, 10) {
            Some(_) => details.push(Detail::new(field, trimmed(value))),
            None => rest.extend_from_slice(value),
        }
    }
    // the name's form, the type bits and how the numbers are written have to be equal
    rest.extend_from_slice(name);
    rest.extend_from_slice(mode);
    walk.budget().content(size)?;
    let content = content(walk, &mut source.by_ref().take(size), shown, Place::Member)?;
    if content.size_bytes != size {
        return Err(ArchiveError::Truncated(WHAT));
    }
    if size % 2 == 1 {
        let [pad]: [u8; 1] = source.exact(WHAT)?;
        rest.push(pad);
    }
    details.push(Detail::new(Field::Remainder, Sha256::of(&rest).as_bytes()));
    Ok(Member {
        name: shown.into(),
        kind: Kind::File,
        mode: u32::try_from(bits & 0o7777).ok(),
        content,
        details,
        sparse: false,
    })
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The next bytes of the header; what is asked for in all is its length.
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (field, rest) = self.0.split_at_checked(length).unwrap_or_default();
        self.0 = rest;
        field
    }
}

/// Without the blanks that fill it.
fn trimmed(field: &[u8]) -> &[u8] {
    let end = field
        .iter()
        .rposition(|b| *b != b' ')
        .map_or(0, |at| at + 1);
    field.get(..end).unwrap_or_default()
}

/// Plain digits, then blanks.
fn number(field: &[u8], radix: u32) -> Option<u64> {
    let digits = trimmed(field);
    let plain = digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok()?;
    plain.then(|| u64::from_str_radix(text, radix).ok())?
}
