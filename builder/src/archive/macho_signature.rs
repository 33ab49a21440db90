//! The signature of a Mach-O file (`xnu`, `cs_blobs.h`): a directory of parts, of which one has a digest
//! of each page of all that comes before. Read strictly; whether it is right is for the system to say.

use super::numbers::big as number;
use super::signed_data;

const SUPER_BLOB: u64 = 0xfade_0cc0;
const CODE_DIRECTORY: u64 = 0xfade_0c02;
const REQUIREMENTS: u64 = 0xfade_0c01;
const ENTITLEMENTS: u64 = 0xfade_7171;
const ENTITLEMENTS_DER: u64 = 0xfade_7172;
const CMS: u64 = 0xfade_0b01;
/// Most parts of a directory.
const PARTS: u64 = 16;
/// Zeros that writers put in front of a part or of the digests.
const GAP: usize = 15;

/// What of a signature that begins at `start` of the file has to be equal: the entitlements, with the
/// numbers of their parts. `None` where anything is there that is no part of a signature.
pub(super) fn entitlements(bytes: &[u8], start: u64) -> Option<Vec<u8>> {
    let length = usize::try_from(number(bytes, 4, 4)?).ok()?;
    let (blob, behind) = bytes.split_at_checked(length)?;
    if number(blob, 0, 4)? != SUPER_BLOB || !is_zero(behind) {
        return None;
    }
    let count = number(blob, 8, 4).filter(|count| *count <= PARTS)?;
    let mut kept = Vec::new();
    let (mut at, mut last) = (12 + 8 * usize::try_from(count).ok()?, None);
    for index in blob.get(12..at)?.chunks_exact(8) {
        let (slot, offset) = (
            number(index, 0, 4)?,
            usize::try_from(number(index, 4, 4)?).ok()?,
        );
        // in the order of their numbers, the code directory first, and nothing between them
        let ordered = last.map_or(slot == 0, |last| last < slot);
        if !ordered || !is_gap(blob.get(at..offset)?) {
            return None;
        }
        last = Some(slot);
        let size = usize::try_from(number(blob, offset + 4, 4)?).ok()?;
        at = offset.checked_add(size)?;
        let part = blob.get(offset..at)?;
        let known = match (slot, number(part, 0, 4)?) {
            (0 | 0x1000..=0x1004, CODE_DIRECTORY) => is_directory(part, start)?,
            (2, REQUIREMENTS) => is_requirements(part)?,
            (5, ENTITLEMENTS) | (7, ENTITLEMENTS_DER) => {
                kept.extend_from_slice(&slot.to_le_bytes());
                kept.extend_from_slice(part);
                true
            }
            // empty where nobody signed but the linker or the builder
            (0x1_0000, CMS) => size == 8 || signed_data::length(part.get(8..)?) == Some(size - 8),
            _ => false,
        };
        if !known {
            return None;
        }
    }
    (at == length && last.is_some()).then_some(kept)
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn is_gap(bytes: &[u8]) -> bool {
    bytes.len() <= GAP && is_zero(bytes)
}

/// Whether a code directory is its header, the names, and digests of pages up to `start`: nothing else.
fn is_directory(part: &[u8], start: u64) -> Option<bool> {
    let field = |at: usize| number(part, at, 4);
    let offset = |at: usize| field(at).and_then(|offset| usize::try_from(offset).ok());
    let version = field(8)?;
    let header = match version {
        0x2_0000..0x2_0100 => 44,
        0x2_0100..0x2_0200 => 48,
        0x2_0200..0x2_0300 => 52,
        0x2_0300..0x2_0400 => 64,
        0x2_0400..0x2_0500 => 88,
        0x2_0500 => 96,
        _ => return None,
    };
    let since = |version_needed, at| match version >= version_needed {
        true => offset(at),
        false => Some(0),
    };
    let digest_bytes = match (number(part, 36, 1)?, number(part, 37, 1)?) {
        (bytes @ 20, 1 | 3) | (bytes @ 32, 2) | (bytes @ 48, 4) => usize::try_from(bytes).ok()?,
        _ => return None,
    };
    let mut at = header;
    for name in [offset(20)?, since(0x2_0200, 48)?] {
        if name != 0 {
            let text = part.get(name..).filter(|_| name == at)?;
            at += text.iter().position(|byte| *byte == 0)? + 1;
        }
    }
    let (digests, special, pages) = (offset(16)?, offset(24)?, offset(28)?);
    let first = digests.checked_sub(special.checked_mul(digest_bytes)?)?;
    let end = digests.checked_add(pages.checked_mul(digest_bytes)?)?;
    // 64 bits of it are there for what does not fit into 32
    let limit = match version >= 0x2_0300 && number(part, 56, 8)? != 0 {
        true => number(part, 56, 8)?,
        false => field(32)?,
    };
    let page = 1u64.checked_shl(u32::try_from(number(part, 39, 1)?).ok()?)?;
    let counted = page > 1 && pages as u64 == limit.div_ceil(page);
    let scattered = since(0x2_0100, 44)? != 0 || since(0x2_0500, 92)? != 0;
    let names = offset(20)? == header && is_gap(part.get(at..first)?);
    Some(names && !scattered && counted && limit == start && end == part.len())
}

/// Whether requirements are a directory of requirements, one behind the other.
fn is_requirements(part: &[u8]) -> Option<bool> {
    let count = number(part, 8, 4).filter(|count| *count <= PARTS)?;
    let mut at = 12 + 8 * usize::try_from(count).ok()?;
    for index in part.get(12..at)?.chunks_exact(8) {
        let is_next = number(index, 4, 4)? == at as u64 && number(part, at, 4)? == REQUIREMENT;
        let size = usize::try_from(number(part, at.checked_add(4)?, 4)?).ok()?;
        if !is_next || size < 12 {
            return None;
        }
        at = at.checked_add(size)?;
    }
    Some(at == part.len())
}

const REQUIREMENT: u64 = 0xfade_0c00;
