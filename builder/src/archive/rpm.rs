//! Walks an RPM package (versions 3, 4 and 6): the lead, the signature header, the header, the payload.
//!
//! What a signer adds is in the signature header alone: signatures of the header and of both, and less of
//! the room that was kept for them. They are set apart where that header is what writers make: entries
//! that do not repeat, each with its bytes, in their order and with nothing between them but the zeros
//! that align them, the room all zeros, and a trailer that follows from the number of entries. All its
//! other entries (lengths, digests, signatures of single files, which are installed) have to be equal, and
//! so has all of a signature header in another form. The header is a member, the payload another.

use std::io::Read;

use countersign_attest::digest::Sha256;

use super::source::Source;
use super::walk::{Place, Walk, content};
use super::{ArchiveError, Container, Detail, Field, Format, Kind, Member};

/// How the lead begins.
pub(super) const MAGIC: &[u8] = b"\xed\xab\xee\xdb";
const WHAT: &str = "RPM package";
const LEAD: usize = 96;
/// Magic, version 1, four reserved bytes; then the number of entries and the bytes of their values.
const INTRO: &[u8] = b"\x8e\xad\xe8\x01\0\0\0\0";
const INTRO_BYTES: usize = 16;
const ENTRY: usize = 16;
/// Most entries of a signature header.
const ENTRIES: usize = 64;
/// HEADERSIGNATURES: the region that all entries are in.
const REGION: u32 = 62;
/// DSA, RSA; and of header and payload together PGP, GPG, PGP5. Version 6 has texts, in a list.
const SIGNATURES: [(u32, u32); 6] = [
    (267, BINARY),
    (268, BINARY),
    (278, TEXTS),
    (1002, BINARY),
    (1005, BINARY),
    (1006, BINARY),
];
/// Room for signatures, in versions 6 and 4.
const ROOM: [u32; 2] = [999, 1008];

/// Reads a package to its end.
pub(super) fn container(reader: &mut dyn Read, walk: &Walk<'_>) -> Result<Container, ArchiveError> {
    let mut source = Source::new(reader);
    let lead: [u8; LEAD] = source.exact(WHAT)?;
    let signatures = header(&mut source, walk)?;
    let (mut details, mut kept) = match Entries::of(&signatures) {
        Some(entries) => entries.split(),
        None => (Vec::new(), [b"raw", &*signatures].concat()),
    };
    // a header begins at a multiple of eight bytes
    let mut fill = vec![0; signatures.len().wrapping_neg() % 8];
    source.fill(&mut fill, WHAT)?;
    if fill.iter().any(|byte| *byte != 0) {
        kept.extend_from_slice(&fill);
    }
    kept.extend_from_slice(&lead);
    details.push(Detail::new(Field::Remainder, Sha256::of(&kept).as_bytes()));

    let header = header(&mut source, walk)?;
    let members = vec![
        member(b"header", &mut &*header, Place::Plain, walk)?,
        member(b"payload", &mut source, Place::Member, walk)?,
    ];
    Ok(Container {
        format: Format::Rpm,
        details,
        members,
        findings: Vec::new(),
    })
}

fn member(
    name: &[u8],
    reader: &mut dyn Read,
    place: Place,
    walk: &Walk<'_>,
) -> Result<Member, ArchiveError> {
    walk.budget().member()?;
    Ok(Member {
        name: name.into(),
        kind: Kind::File,
        mode: None,
        content: content(walk, reader, name, place)?,
        details: Vec::new(),
        sparse: false,
    })
}

/// Reads a header as it stands.
fn header(source: &mut Source<'_>, walk: &Walk<'_>) -> Result<Vec<u8>, ArchiveError> {
    let intro: [u8; INTRO_BYTES] = source.exact(WHAT)?;
    if !intro.starts_with(INTRO) {
        return Err(ArchiveError::malformed(
            "a damaged RPM header",
            WHAT.as_bytes(),
        ));
    }
    let [count, values] = [word(&intro, 8), word(&intro, 12)].map(Option::unwrap_or_default);
    let length = u64::from(count) * ENTRY as u64 + u64::from(values);
    walk.budget().metadata(length)?;
    let mut bytes = intro.to_vec();
    let read = source.by_ref().take(length).read_to_end(&mut bytes)?;
    if read as u64 != length {
        return Err(ArchiveError::Truncated(WHAT));
    }
    Ok(bytes)
}

/// A big-endian number.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*field))
}

/// The entries of a signature header.
struct Entries<'h>(Vec<Entry<'h>>);

struct Entry<'h> {
    tag: u32,
    kind: u32,
    count: u32,
    value: &'h [u8],
}

impl<'h> Entries<'h> {
    /// `None` where the header is not what writers make.
    fn of(header: &'h [u8]) -> Option<Self> {
        let count = usize::try_from(word(header, 8)?).ok()?;
        let (index, values) = header
            .get(INTRO_BYTES..)?
            .split_at_checked(count.checked_mul(ENTRY)?)?;
        if !(1..=ENTRIES).contains(&count) {
            return None;
        }
        let mut list = Vec::new();
        for entry in index.chunks_exact(ENTRY) {
            let number = |at: usize| word(entry, at);
            list.push((
                usize::try_from(number(8)?).ok()?,
                number(0)?,
                number(4)?,
                number(12)?,
            ));
        }
        let region = list.remove(0); // there is at least one
        list.sort_unstable();
        let mut entries = Vec::new();
        let mut end = 0;
        for (offset, tag, kind, count) in list {
            let gap = values.get(end..offset)?;
            let length = length(kind, count, values.get(offset..)?)?;
            let aligned = end.next_multiple_of(alignment(kind)) == offset;
            if !aligned || gap.iter().any(|byte| *byte != 0) {
                return None;
            }
            end = offset.checked_add(length)?;
            let value = values.get(offset..end)?;
            entries.push(Entry {
                tag,
                kind,
                count,
                value,
            });
        }
        let back = u32::try_from(index.len()).ok()?.wrapping_neg();
        let trailer = [REGION, BINARY, back, 16].map(u32::to_be_bytes);
        let is_region = region == (end, REGION, BINARY, 16);
        entries.sort_by_key(|entry| entry.tag);
        let unique = entries.is_sorted_by(|a, b| a.tag < b.tag);
        let whole = values.get(end..)? == trailer.as_flattened();
        (is_region && unique && whole).then_some(Self(entries))
    }

    /// Signatures, and all else.
    fn split(self) -> (Vec<Detail>, Vec<u8>) {
        let (mut details, mut kept) = (Vec::new(), b"entries".to_vec());
        for Entry {
            tag,
            kind,
            count,
            value,
        } in self.0
        {
            let room = ROOM.contains(&tag) && value.iter().all(|byte| *byte == 0);
            let signature = SIGNATURES.contains(&(tag, kind));
            if room || signature {
                let all = [&tag.to_be_bytes(), value].concat();
                details.push(Detail::new(
                    Field::RpmSignature,
                    Sha256::of(&all).as_bytes(),
                ));
                continue;
            }
            for number in [tag, kind, count] {
                kept.extend_from_slice(&number.to_be_bytes());
            }
            kept.extend_from_slice(&(value.len() as u64).to_be_bytes());
            kept.extend_from_slice(value);
        }
        (details, kept)
    }
}

const BINARY: u32 = 7;
const TEXTS: u32 = 8;

fn alignment(kind: u32) -> usize {
    match kind {
        3 => 2,
        4 => 4,
        5 => 8,
        _ => 1,
    }
}

/// The bytes of a value of this type at the beginning of `values`.
fn length(kind: u32, count: u32, values: &[u8]) -> Option<usize> {
    let count = usize::try_from(count).ok()?;
    let each = match kind {
        1 | 2 | BINARY => 1,
        3 => 2,
        4 => 4,
        5 => 8,
        // texts, each with its NUL
        6 | TEXTS | 9 => {
            let ends = values.iter().zip(1..).filter(|(byte, _)| **byte == 0);
            return match count {
                0 => Some(0),
                count => ends.map(|(_, end)| end).nth(count - 1),
            };
        }
        _ => return None,
    };
    count.checked_mul(each)
}
