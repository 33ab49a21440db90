//! Tells the code signature of a Mach-O file (`mach-o/loader.h`, `LC_CODE_SIGNATURE`) apart from all its
//! other bytes: the signature at the very end, the load command that says where it is with its share in
//! the number and length of commands, the lengths of the segment that it made longer, and the zeros that
//! align it to the end of the strings.
//!
//! It is set apart only where it is what a signer adds and nothing more: the last command; the last bytes
//! of the last segment and of the file; known parts without a gap, the page digests of all that is before
//! it, zeros behind it; and no other command that speaks of these bytes. Entitlements are what a program
//! may do: they have to be equal. Files of several architectures and of big-endian machines are not
//! looked into.

use std::io::Read;
use std::ops::Range;

use countersign_attest::digest::Sha256;

use super::macho_commands::{Image, MAGICS};
use super::masked::{HEAD, Masked};
use super::source::Source;
use super::walk::Walk;
use super::{ArchiveError, Container, Detail, Field, FindingKind, Format, Oddity, macho_signature};

/// Longest signature that is read into memory and set apart: that of a file of a gigabyte.
const SIGNATURE_BYTES: u64 = 16 << 20;

/// Where a signature begins is a multiple of this.
const ALIGNMENT: u64 = 16;

/// Whether the first bytes are those of a Mach-O file of one architecture, little-endian.
pub(super) fn is_head(head: &[u8]) -> bool {
    let first = head.first_chunk::<4>();
    first.is_some_and(|first| MAGICS.contains(&u32::from_le_bytes(*first)))
}

/// Reads a Mach-O file to its end.
pub(super) fn container(reader: &mut dyn Read, walk: &Walk<'_>) -> Result<Container, ArchiveError> {
    walk.budget().member()?;
    let mut source = Source::new(reader);
    let head = source.peek(HEAD)?.to_vec();
    let image = Image::of(&head).unwrap_or_default();
    let mut rest = Masked::new(image.apart.clone());
    let signed = match &image.signature {
        Some(place) => with_signature(&mut source, &mut rest, place, walk)?,
        None => without_signature(&mut source, &mut rest, &image)?,
    };
    rest.pass(&mut source, u64::MAX, |_| ())?;

    let values = image.values(&head);
    let mut details = Vec::new();
    let mut kept = rest.finish().as_bytes().to_vec();
    match &signed {
        Some(Signed {
            digest,
            entitlements,
        }) => {
            kept.extend_from_slice(&image.commands());
            kept.extend_from_slice(entitlements);
            if let Some(digest) = digest {
                details.push(Detail::new(Field::MachoSignature, &values));
                details.push(Detail::new(Field::MachoSignature, digest.as_bytes()));
            }
        }
        None => kept.extend_from_slice(&values),
    }
    kept.push(u8::from(signed.is_some()));
    details.push(Detail::new(Field::Remainder, Sha256::of(&kept).as_bytes()));
    let stray = (image.has_signature && signed.is_none()).then(|| Oddity {
        what: FindingKind::StrayBytes,
        detail: "in or around the code signature".to_owned(),
    });
    Ok(Container {
        format: Format::MachO,
        details,
        members: Vec::new(),
        findings: stray.into_iter().collect(),
    })
}

/// What is set apart.
struct Signed {
    /// Of the signature; `None` where there is none.
    digest: Option<Sha256>,
    /// What of it has to be equal.
    entitlements: Vec<u8>,
}

fn with_signature(
    source: &mut Source<'_>,
    rest: &mut Masked,
    place: &Range<u64>,
    walk: &Walk<'_>,
) -> Result<Option<Signed>, ArchiveError> {
    rest.pass(source, place.start, |_| ())?;
    let size = place.end - place.start;
    if size > SIGNATURE_BYTES {
        return Ok(None);
    }
    walk.budget().metadata(size)?;
    let mut bytes = Vec::new();
    source.by_ref().take(size).read_to_end(&mut bytes)?;
    let whole = bytes.len() as u64 == size && source.peek(1)?.is_empty();
    let entitlements = macho_signature::entitlements(&bytes, place.start).filter(|_| whole);
    if entitlements.is_none() {
        rest.take(&bytes);
    }
    Ok(entitlements.map(|entitlements| Signed {
        digest: Some(Sha256::of(&bytes)),
        entitlements,
    }))
}

/// Fills a file that ends with its strings up to where a signature would begin.
fn without_signature(
    source: &mut Source<'_>,
    rest: &mut Masked,
    image: &Image,
) -> Result<Option<Signed>, ArchiveError> {
    rest.pass(source, u64::MAX, |_| ())?;
    if !image.plain || rest.offset() != image.end {
        return Ok(None);
    }
    if image.end == image.strings_end {
        let fill = image.end.wrapping_neg() % ALIGNMENT;
        rest.take(&vec![0; usize::try_from(fill).unwrap_or_default()]);
    }
    Ok(Some(Signed {
        digest: None,
        entitlements: Vec::new(),
    }))
}
