//! The fixed records of a zip file and its extra fields, read strictly. No file access.

use super::{ArchiveError, Detail, Field};

/// Signatures of the records.
pub(super) const LOCAL: &[u8] = b"PK\x03\x04";
pub(super) const CENTRAL: &[u8] = b"PK\x01\x02";
pub(super) const END: &[u8] = b"PK\x05\x06";
pub(super) const END_64: &[u8] = b"PK\x06\x06";
pub(super) const LOCATOR_64: &[u8] = b"PK\x06\x07";

/// Fixed part of a local header.
pub(super) const LOCAL_BYTES: usize = 30;
/// Fixed part of a central header.
pub(super) const CENTRAL_BYTES: usize = 46;
/// Fixed part of the end record.
pub(super) const END_BYTES: usize = 22;

/// The values that the local and the central header of a member share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shared {
    pub(super) version_needed: u16,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) time: [u8; 4],
    pub(super) crc: u32,
    pub(super) compressed: u32,
    pub(super) size: u32,
    pub(super) name_length: u16,
    pub(super) extra_length: u16,
}

/// The rest of a central header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Central {
    pub(super) shared: Shared,
    pub(super) made_by: u16,
    pub(super) comment_length: u16,
    pub(super) disk: u16,
    pub(super) internal: u16,
    pub(super) external: u32,
    pub(super) offset: u32,
}

/// The end record.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) disks: [u16; 2],
    pub(super) counts: [u16; 2],
    pub(super) size: u32,
    pub(super) offset: u32,
    pub(super) comment_length: u16,
}

/// Takes little-endian numbers off the front; zero past the end, which callers exclude by taking
/// records of constant length.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let Some((head, rest)) = self.0.split_first_chunk() else {
            return [0; N];
        };
        self.0 = rest;
        *head
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    fn shared(&mut self) -> Shared {
        Shared {
            version_needed: self.u16(),
            flags: self.u16(),
            method: self.u16(),
            time: self.array(),
            crc: self.u32(),
            compressed: self.u32(),
            size: self.u32(),
            name_length: self.u16(),
            extra_length: self.u16(),
        }
    }
}

pub(super) fn local(bytes: &[u8; LOCAL_BYTES]) -> Option<Shared> {
    let mut cursor = Cursor(bytes);
    (cursor.array() == *b"PK\x03\x04").then(|| cursor.shared())
}

pub(super) fn central(bytes: &[u8; CENTRAL_BYTES]) -> Option<Central> {
    let mut cursor = Cursor(bytes);
    if cursor.array() != *b"PK\x01\x02" {
        return None;
    }
    let made_by = cursor.u16();
    Some(Central {
        made_by,
        shared: cursor.shared(),
        comment_length: cursor.u16(),
        disk: cursor.u16(),
        internal: cursor.u16(),
        external: cursor.u32(),
        offset: cursor.u32(),
    })
}

pub(super) fn end(bytes: &[u8; END_BYTES]) -> Option<End> {
    let mut cursor = Cursor(bytes);
    (cursor.array() == *b"PK\x05\x06").then(|| End {
        disks: [cursor.u16(), cursor.u16()],
        counts: [cursor.u16(), cursor.u16()],
        size: cursor.u32(),
        offset: cursor.u32(),
        comment_length: cursor.u16(),
    })
}

/// Longest data descriptor: signature, sum, two lengths of eight bytes.
pub(super) const DESCRIPTOR_BYTES: usize = 24;

/// The forms of a data descriptor (APPNOTE 4.3.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptor {
    signature: bool,
}

impl Descriptor {
    pub(super) const fn length(self) -> usize {
        if self.signature { 16 } else { 12 }
    }

    /// A number that tells the forms apart; never zero.
    pub(super) const fn code(self) -> u16 {
        if self.signature { 2 } else { 1 }
    }
}

/// The form of the descriptor at the beginning of `bytes`, where its values are these: with or
/// without a signature, four-byte sizes.
pub(super) fn descriptor(bytes: &[u8], crc: u32, compressed: u64, size: u64) -> Option<Descriptor> {
    let mut plain = crc.to_le_bytes().to_vec();
    for length in [compressed, size] {
        plain.extend_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
    }
    let with_signature = bytes.strip_prefix(b"PK\x07\x08");
    if with_signature.is_some_and(|rest| rest.starts_with(&plain)) {
        return Some(Descriptor { signature: true });
    }
    bytes
        .starts_with(&plain)
        .then_some(Descriptor { signature: false })
}

const TIMESTAMP: u16 = 0x5455;
const OWNER: u16 = 0x7875;
const ZIP64: u16 = 0x0001;

/// Sets well-formed times and owners of an extra area apart and returns all else.
///
/// # Errors
/// When a zip64 field is there: its sizes would stand beside those that were read.
pub(super) fn extras(
    mut bytes: &[u8],
    name: &[u8],
    details: &mut Vec<Detail>,
) -> Result<Vec<u8>, ArchiveError> {
    let mut rest = Vec::new();
    while let Some((&[i0, i1, l0, l1], after)) = bytes.split_first_chunk() {
        let id = u16::from_le_bytes([i0, i1]);
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        let Some((value, next)) = after.split_at_checked(length) else {
            break; // not a list of fields any more: kept as it is
        };
        let (field, _) = bytes.split_at(4 + length); // 4 + length bytes were there just now
        match id {
            ZIP64 => return Err(ArchiveError::unsupported("a zip64 field", name)),
            TIMESTAMP if is_timestamp(value) => {
                details.push(Detail::new(Field::ZipExtraTime, field));
            }
            OWNER if is_owner(value) => details.push(Detail::new(Field::ZipExtraOwner, field)),
            _ => rest.extend_from_slice(field),
        }
        bytes = next;
    }
    rest.extend_from_slice(bytes);
    Ok(rest)
}

/// Flags for at most three times, then times of four bytes; a central field may hold fewer times
/// than its flags say.
fn is_timestamp(value: &[u8]) -> bool {
    let Some((flags, times)) = value.split_first() else {
        return false;
    };
    flags & !7 == 0
        && times.len() % 4 == 0
        && times.len() / 4 <= usize::try_from(flags.count_ones()).unwrap_or(0)
}

/// Version 1, then two ids, each with its length.
fn is_owner(value: &[u8]) -> bool {
    let id = |bytes: &[u8]| -> Option<usize> {
        let length = usize::from(*bytes.first()?);
        (length <= 8 && bytes.len() > length).then_some(1 + length)
    };
    let Some((1, ids)) = value.split_first() else {
        return false;
    };
    let second = id(ids).and_then(|used| ids.get(used..));
    second.is_some_and(|second| id(second) == Some(second.len()))
}
