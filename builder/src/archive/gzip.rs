//! Walks a gzip file (RFC 1952): every header field, every stream, and what stands after them.

use std::io::{self, BufRead, Read};

use flate2::Crc;

use super::compressed::{self, Codec};
use super::inflate::Inflate;
use super::limits::Budget;
use super::source::Source;
use super::walk::{Look, Walk};
use super::{
    ArchiveError, BlockKey, Container, Detail, Field, Format, Inner, Member, ReadLimits, Unread,
    Wanted,
};

/// A gzip file, and the tar in it.
#[derive(Debug)]
pub struct Gzip {
    /// The file itself.
    pub container: Container,
    /// What is inside, where there is one stream and its payload looks like a tar.
    pub tar: Option<Result<Container, Unread>>,
}

/// Walks a gzip file to its last byte, and the tar in it, but nothing inside that.
///
/// # Errors
/// When a stream is damaged or cut off, or a limit is passed. That the payload is a damaged tar is no
/// error here; it stands in [`Gzip::tar`].
pub fn walk(
    mut file: impl Read,
    limits: &ReadLimits,
    wanted: Option<&mut Wanted>,
) -> Result<Gzip, ArchiveError> {
    let key = BlockKey::default();
    let look = Look::shallow(limits, &key, wanted);
    let mut container = container(&mut file, &Walk::of_file(&look))?;
    let tar = match &mut container.members[..] {
        [only] => match std::mem::replace(&mut only.content.inner, Inner::Opaque) {
            Inner::Container(tar) if tar.format == Format::Tar => Some(Ok(*tar)),
            Inner::Unread(unread) if unread.format == Format::Tar => Some(Err(unread)),
            Inner::Container(_) | Inner::Unread(_) | Inner::Opaque => None,
        },
        _ => None,
    };
    Ok(Gzip { container, tar })
}

const CODEC: Codec = Codec {
    format: Format::Gzip,
    magic: &[0x1f, 0x8b],
    stream,
};
const HEADER: &str = "gzip header";
const STREAM: &str = "gzip stream";
const FHCRC: u8 = 2;
const FEXTRA: u8 = 4;
const FNAME: u8 = 8;
const FCOMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

pub(super) fn container(reader: &mut dyn Read, walk: &Walk<'_>) -> Result<Container, ArchiveError> {
    compressed::container(&CODEC, reader, walk)
}

fn stream(source: &mut Source<'_>, walk: &Walk<'_>) -> Result<Member, ArchiveError> {
    let mut details = header(source, walk.budget())?;
    let mut payload = Payload {
        inflate: Inflate::new(&mut *source),
        crc: Crc::new(),
    };
    let content = compressed::decode(&mut payload, walk, STREAM)?;
    let crc = payload.crc;
    let deflate = payload.inflate.digest();
    details.push(Detail::new(Field::GzipDeflate, deflate.as_bytes()));
    let trailer: [u8; 8] = source.exact(STREAM)?;
    let expected = [crc.sum().to_le_bytes(), crc.amount().to_le_bytes()];
    if trailer != *expected.as_flattened() {
        return Err(ArchiveError::malformed(
            "a gzip stream whose sum or length does not match its payload",
            b"gzip trailer",
        ));
    }
    Ok(compressed::payload(content, details))
}

struct Payload<'s, 'r> {
    inflate: Inflate<&'s mut Source<'r>>,
    crc: Crc,
}

impl Read for Payload<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inflate.read(out)?;
        self.crc.update(out.get(..read).unwrap_or_default());
        Ok(read)
    }
}

fn header(reader: &mut Source<'_>, budget: &Budget<'_>) -> Result<Vec<Detail>, ArchiveError> {
    let mut fixed = [0u8; 10];
    reader.fill(&mut fixed, HEADER)?;
    let [id1, id2, method, flags, m0, m1, m2, m3, extra_flags, system] = fixed;
    if (id1, id2, method) != (0x1f, 0x8b, 8) || flags & RESERVED != 0 {
        return Err(ArchiveError::malformed(
            "a gzip header of another method or with unknown flags",
            b"gzip header",
        ));
    }
    let mut crc = Crc::new();
    crc.update(&fixed);
    let mut details = vec![
        Detail::new(Field::GzipFlags, &[flags]),
        Detail::new(Field::GzipTime, &[m0, m1, m2, m3]),
        Detail::new(Field::GzipExtraFlags, &[extra_flags]),
        Detail::new(Field::GzipSystem, &[system]),
    ];
    if flags & FEXTRA != 0 {
        let mut length = [0u8; 2];
        reader.fill(&mut length, HEADER)?;
        let mut extra = vec![0; usize::from(u16::from_le_bytes(length))];
        budget.metadata(extra.len() as u64)?;
        reader.fill(&mut extra, HEADER)?;
        crc.update(&length);
        crc.update(&extra);
        details.push(Detail::new(Field::GzipExtra, &extra));
    }
    for (flag, field) in [(FNAME, Field::GzipName), (FCOMMENT, Field::GzipComment)] {
        if flags & flag != 0 {
            let text = text(reader, budget)?;
            crc.update(&text);
            details.push(Detail::new(field, &text));
        }
    }
    if flags & FHCRC != 0 {
        let mut sum = [0u8; 2];
        reader.fill(&mut sum, HEADER)?;
        // CRC16 is the low half of the CRC32 (RFC 1952 section 2.3.1)
        if u32::from(u16::from_le_bytes(sum)) != crc.sum() & 0xffff {
            return Err(ArchiveError::malformed(
                "a gzip header whose sum does not match",
                b"gzip header",
            ));
        }
    }
    Ok(details)
}

/// Reads a text with its final NUL.
fn text(reader: &mut Source<'_>, budget: &Budget<'_>) -> Result<Vec<u8>, ArchiveError> {
    let mut text = Vec::new();
    reader
        .take(budget.limits.name_bytes + 1)
        .read_until(0, &mut text)?;
    budget.metadata(text.len() as u64)?;
    if text.last() == Some(&0) {
        return Ok(text);
    }
    budget.name(&text)?;
    Err(ArchiveError::Truncated(HEADER))
}
