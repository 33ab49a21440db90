//! Tells an Authenticode signature of a PE file (Windows Authenticode Portable Executable Signature
//! Format; PE Format §Attribute Certificate Table) apart from all its other bytes: the certificate table
//! at the very end, the entry of the data directory that says where it is, and a sum of the file that
//! is true or absent.
//!
//! It is set apart only where it is what a signer adds and nothing more: entries that are signatures,
//! each with nothing behind it but the zeros that fill eight bytes, the last of them ending with the
//! file, and nothing of the file that is loaded reaching into them. Bytes behind the table, or between a
//! signature and the declared end of its entry, are a known way to carry data past a check of
//! signatures: then all of it stays with the other bytes, and is a finding. Zeros that a signer put in
//! front of the table stay with the other bytes too: whose they are cannot be told.

use std::io::Read;
use std::ops::Range;

use countersign_attest::digest::Sha256;

use super::masked::{HEAD, Masked};
use super::numbers::little as number;
use super::source::Source;
use super::walk::Walk;
use super::{ArchiveError, Container, Detail, Field, FindingKind, Format, Oddity, signed_data};

/// Longest certificate table that is read into memory and set apart.
const TABLE_BYTES: u64 = 1 << 20;
/// What an entry of the table begins with: length, revision, type. Entries are aligned to it.
const ENTRY: usize = 8;
/// Revision 2.0, PKCS #7 SignedData.
const SIGNED_DATA: &[u8] = &[0, 2, 2, 0];
/// Below this the whole file is mapped as it is, whatever the sections say.
const PAGE: u64 = 0x1000;
/// What loaders round the end of a section up to.
const SECTOR: u64 = 512;

/// Whether the first bytes are those of a PE file whose headers are near.
pub(super) fn is_head(head: &[u8]) -> bool {
    head.starts_with(b"MZ") && headers_at(head).is_some()
}

/// Where the headers begin.
fn headers_at(head: &[u8]) -> Option<usize> {
    let at = usize::try_from(number(head, 0x3c, 4)?).ok()?;
    head.get(at..)?.starts_with(b"PE\0\0").then_some(at)
}

/// Reads a PE file to its end.
pub(super) fn container(reader: &mut dyn Read, walk: &Walk<'_>) -> Result<Container, ArchiveError> {
    walk.budget().member()?;
    let mut source = Source::new(reader);
    let head = source.peek(HEAD)?.to_vec();
    let image = Image::of(&head).unwrap_or_default();
    let (mut rest, mut sum) = (image.rest(), Sum::default());
    rest.pass(&mut source, image.table.start, |bytes| sum.add(bytes))?;
    let size = image.table.end - image.table.start;
    let mut table = Vec::new();
    if size <= TABLE_BYTES {
        walk.budget().metadata(size)?;
        source.by_ref().take(size).read_to_end(&mut table)?;
        sum.add(&table);
    }
    let ends = source.peek(1)?.is_empty();
    let whole = table.len() as u64 == size;
    let apart = image.plain && ends && whole && are_signatures(&table);
    if !apart {
        rest.take(&table);
    }
    rest.pass(&mut source, u64::MAX, |bytes| sum.add(bytes))?;

    let value = |range: &Range<usize>| head.get(range.clone()).unwrap_or_default();
    let (own, entry) = (value(&image.sum), value(&image.entry));
    let is_true = own == [0; 4] || own == sum.without(&image.sum, own);
    let mut details = Vec::new();
    let mut kept = rest.finish().as_bytes().to_vec();
    for (is_apart, value) in [(is_true, own), (apart, entry)] {
        kept.push(u8::from(is_apart));
        match is_apart {
            true => details.push(Detail::new(Field::PeSignature, value)),
            false => kept.extend_from_slice(value),
        }
    }
    if size > 0 && apart {
        let digest = Sha256::of(&table);
        details.push(Detail::new(Field::PeSignature, digest.as_bytes()));
    }
    let remainder = Sha256::of(&kept);
    details.push(Detail::new(Field::Remainder, remainder.as_bytes()));
    let stray = (size > 0 && !apart).then(|| Oddity {
        what: FindingKind::StrayBytes,
        detail: "in or around the certificate table".to_owned(),
    });
    Ok(Container {
        format: Format::Pe,
        details,
        members: Vec::new(),
        findings: stray.into_iter().collect(),
    })
}

/// Whether a table is signatures and zeros that align them. An empty one is.
fn are_signatures(mut table: &[u8]) -> bool {
    while !table.is_empty() {
        let Some(entry) = number(table, 0, 4)
            .and_then(|length| usize::try_from(length).ok())
            .and_then(|length| table.get(..length.checked_next_multiple_of(ENTRY)?))
        else {
            return false;
        };
        let Some((SIGNED_DATA, signature)) = entry.get(4..ENTRY).zip(entry.get(ENTRY..)) else {
            return false;
        };
        let filled = signed_data::length(signature).is_some_and(|end| {
            let fill = signature.get(end..).unwrap_or_default();
            fill.len() < ENTRY && fill.iter().all(|byte| *byte == 0)
        });
        if !filled {
            return false;
        }
        table = table.get(entry.len()..).unwrap_or_default();
    }
    true
}

/// What the headers say, as far as it is needed; all empty where they are not plain.
#[derive(Default)]
struct Image {
    /// Where the sum of the file is.
    sum: Range<usize>,
    /// Where the data directory says where the certificate table is.
    entry: Range<usize>,
    /// The certificate table.
    table: Range<u64>,
    /// Whether nothing else reaches into it.
    plain: bool,
}

impl Image {
    fn rest(&self) -> Masked {
        Masked::new(vec![self.sum.clone(), self.entry.clone()])
    }

    fn of(head: &[u8]) -> Option<Self> {
        let coff = headers_at(head)? + 4;
        let sections = usize::try_from(number(head, coff + 2, 2)?).ok()?;
        let (symbols, count) = (number(head, coff + 8, 4)?, number(head, coff + 12, 4)?);
        let optional = coff + 20;
        let directories = optional
            + match number(head, optional, 2)? {
                0x10b => 96,
                0x20b => 112,
                _ => return None,
            };
        let entry = directories + 4 * ENTRY; // the fifth
        let header_bytes = usize::try_from(number(head, coff + 16, 2)?).ok()?;
        let has_entry =
            number(head, directories - 4, 4)? > 4 && entry + ENTRY <= optional + header_bytes;
        if !has_entry {
            return None;
        }
        let (start, size) = (number(head, entry, 4)?, number(head, entry + 4, 4)?);
        let mut ends = vec![number(head, optional + 60, 4)?, symbols + 18 * count];
        let list = head.get(optional + header_bytes..)?;
        for section in list.chunks_exact(40).take(sections) {
            let raw = number(section, 20, 4)? + number(section, 16, 4)?;
            ends.push(raw.next_multiple_of(SECTOR));
        }
        let loaded = ends.iter().all(|end| *end <= start) && ends.len() == sections + 2;
        let mapped = number(head, optional + 32, 4)? >= PAGE;
        let aligned = start.is_multiple_of(ENTRY as u64);
        let table = match size {
            0 => u64::MAX..u64::MAX,
            size => start..start + size,
        };
        Some(Self {
            sum: optional + 64..optional + 68,
            entry: entry..entry + ENTRY,
            table,
            plain: match size {
                0 => start == 0,
                _ => loaded && mapped && aligned,
            },
        })
    }
}

/// The sum that a PE file has of itself: of words of two bytes, and its length.
#[derive(Default)]
struct Sum {
    words: u64,
    length: u64,
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let odd = self.length % 2 == 1;
        let (first, rest) = bytes.split_at(usize::from(odd && !bytes.is_empty()));
        let high = |byte: &u8| u64::from(*byte) << 8;
        let words = rest.chunks(2).map(|word| match word {
            [low, byte] => u64::from(*low) | high(byte),
            last => last.iter().map(|low| u64::from(*low)).sum(),
        });
        self.words += first.iter().map(high).sum::<u64>() + words.sum::<u64>();
        self.length += bytes.len() as u64;
    }

    /// The sum, given where it is itself and what stands there, which counts as zeros.
    fn without(&self, place: &Range<usize>, bytes: &[u8]) -> [u8; 4] {
        let own = place.clone().zip(bytes);
        let own: u64 = own
            .map(|(at, byte)| u64::from(*byte) << (8 * (at % 2)))
            .sum();
        let mut sum = self.words - own; // it was added with all the rest
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        let [a, b, c, d, ..] = (sum + self.length).to_le_bytes();
        [a, b, c, d]
    }
}
