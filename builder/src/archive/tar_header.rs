//! One 512-byte tar header (v7, ustar, GNU): its sum, its fields, and which bytes are times or owners.
//!
//! Fields are only set apart when they are well-formed: whatever is written in another way stays in
//! the remainder, where it has to be equal.

use std::ops::Range;

use super::{Detail, Field};

/// Length of a header and of the unit that content is padded to.
pub(super) const BLOCK: usize = 512;

/// A header as it stands in the archive.
pub(super) type Block = [u8; BLOCK];

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const SUM: Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..263;
const UNAME: Range<usize> = 265..297;
const GNAME: Range<usize> = 297..329;
const PREFIX: Range<usize> = 345..500;

/// Whether a block carries the right sum: unsigned, as every present writer makes it.
pub(super) fn is_header(block: &Block) -> bool {
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(index, byte)| {
            if SUM.contains(&index) {
                32
            } else {
                u64::from(*byte)
            }
        })
        .sum();
    // a block of zeros has a sum of blanks and no digits: it is no header
    octal(&block[SUM]) == Some(sum) && block[SUM].iter().any(u8::is_ascii_digit) // constant ranges inside 512
}

/// The type flag.
pub(super) const fn type_flag(block: &Block) -> u8 {
    block[TYPE] // 156 < 512
}

/// The length of what follows; `None` where it is not a number.
pub(super) fn size(block: &Block) -> Option<u64> {
    number(&block[SIZE]) // constant range inside 512
}

/// The permission bits; `None` where the field is not a number.
pub(super) fn mode(block: &Block) -> Option<u32> {
    number(&block[MODE]).and_then(|mode| u32::try_from(mode).ok()) // constant range inside 512
}

/// The name in the header alone: with the prefix in ustar, without it in GNU and v7.
pub(super) fn name(block: &Block) -> Vec<u8> {
    let name = until_nul(&block[NAME]); // constant range inside 512
    let prefix = until_nul(&block[PREFIX]); // constant range inside 512
    if &block[MAGIC] == b"ustar\0" && !prefix.is_empty() {
        [prefix, b"/", name].concat()
    } else {
        name.to_vec()
    }
}

/// The link target in the header alone.
pub(super) fn link(block: &Block) -> &[u8] {
    until_nul(&block[LINK]) // constant range inside 512
}

/// What the two dialects write there that have owners' names: magic and version.
const DIALECT: Range<usize> = 257..265;
const DIALECTS: [&[u8; 8]; 2] = [b"ustar\x0000", b"ustar  \0"];
/// Device numbers, which some writers fill with digits where there is no device.
const DEVICE: Range<usize> = 329..345;
/// Where the dialects say different things.
const REST: Range<usize> = 345..512;

/// Sets the dialect apart where both are read alike: nothing stands where they differ, and the device
/// numbers of what is no device say zero.
fn take_dialect(block: &Block, rest: &mut Block) -> Option<Detail> {
    let known = DIALECTS.iter().any(|known| block[DIALECT] == known[..]); // constant ranges inside 512
    let alike = block[REST].iter().all(|byte| *byte == 0); // constant range inside 512
    let no_device =
        !matches!(type_flag(block), b'3' | b'4') && block[DEVICE].chunks(8).all(says_zero); // constant range inside 512
    (known && alike && no_device).then(|| {
        let value = [&block[DIALECT], &block[DEVICE]].concat(); // constant ranges inside 512
        rest[DIALECT].fill(0);
        rest[DEVICE].fill(0);
        rest[SUM.start] |= 0x80; // no header as it stands has such a sum: what is left is like no other
        Detail::new(Field::TarDialect, &value)
    })
}

/// Nothing at all, or a number.
fn says_zero(field: &[u8]) -> bool {
    let nothing = field.iter().all(|byte| *byte == 0);
    nothing || octal(field) == Some(0) && field.contains(&b'0')
}

/// Sets times and owners apart, and the dialect: the details, and the header without them and without
/// the digits of its sum and of the length of the content, which is compared by itself.
pub(super) fn split(block: &Block) -> (Vec<Detail>, Block) {
    let mut rest = *block;
    let mut details = Vec::with_capacity(6);
    for (range, field) in [
        (MTIME, Field::TarTime),
        (UID, Field::TarOwnerId),
        (GID, Field::TarOwnerId),
    ] {
        let value = &block[range.clone()]; // constant ranges inside 512
        let marked = value.first().is_some_and(|b| *b == 0x80 || *b == 0xff);
        if marked || octal(value).is_some() {
            details.push(Detail::new(field, value));
            rest[range].fill(0); // constant ranges inside 512
        }
    }
    // v7 has no owner names: there, these bytes are nobody's
    if block[MAGIC].starts_with(b"ustar") {
        for range in [UNAME, GNAME] {
            let value = &block[range.clone()]; // constant ranges inside 512
            let text = until_nul(value);
            if value.iter().skip(text.len()).all(|b| *b == 0) {
                details.push(Detail::new(Field::TarOwnerName, text));
                rest[range].fill(0); // constant ranges inside 512
            }
        }
    }
    // the sum is checked, and what follows has to be as long as the header says
    for range in [SUM, SIZE] {
        for byte in &mut rest[range] {
            if byte.is_ascii_digit() {
                *byte = b'0';
            }
        }
    }
    details.extend(take_dialect(block, &mut rest));
    (details, rest)
}

/// Whether the header of an extension says nothing but that it is one: no link, and ustar.
pub(super) fn is_plain_extension(block: &Block) -> bool {
    block[LINK].iter().all(|b| *b == 0) && block[MAGIC].starts_with(b"ustar") // constant ranges inside 512
}

/// Takes the name out of a header where it follows from the member's name: the two are the same, or
/// the name is written `elsewhere` too and this is its beginning, as long as there was room. Returns
/// what is worth telling of how it was written.
pub(super) fn take_name(rest: &mut Block, member: &[u8], elsewhere: bool) -> Option<Vec<u8>> {
    let plain = name(rest);
    let has_prefix = &rest[MAGIC] == b"ustar\0"; // constant ranges inside 512
    let text = clean(&rest[NAME])?.to_vec();
    let prefix = match has_prefix {
        true => clean(&rest[PREFIX])?.to_vec(),
        false => Vec::new(),
    };
    let beginning = prefix.is_empty() && text.len() >= ROOM && member.starts_with(&text);
    if plain != member && !(elsewhere && beginning) {
        return None;
    }
    rest[NAME].fill(0);
    if has_prefix {
        rest[PREFIX].fill(0);
    }
    (elsewhere || !prefix.is_empty()).then(|| [prefix.as_slice(), b"/", &text].concat())
}

/// The same for a link's target.
pub(super) fn take_link(rest: &mut Block, target: &[u8], elsewhere: bool) -> Option<Vec<u8>> {
    let text = clean(&rest[LINK])?.to_vec(); // constant ranges inside 512
    let beginning = text.len() >= ROOM && target.starts_with(&text);
    if text != target && !(elsewhere && beginning) {
        return None;
    }
    rest[LINK].fill(0);
    elsewhere.then_some(text)
}

/// What a writer keeps of a name that is too long for its field: all 100 bytes, or 99 and a NUL.
const ROOM: usize = 99;

/// The text of a field with nothing but zeros behind it.
fn clean(field: &[u8]) -> Option<&[u8]> {
    let text = until_nul(field);
    let zeros = field.iter().skip(text.len()).all(|b| *b == 0);
    zeros.then_some(text)
}

/// Whether the map of an old GNU sparse file continues in a block of its own (`isextended`).
pub(super) const fn sparse_map_goes_on(block: &Block) -> bool {
    block[482] != 0 // 482 < 512
}

/// Whether a block of the map is followed by another one.
pub(super) const fn sparse_block_goes_on(block: &Block) -> bool {
    block[504] != 0 // 504 < 512
}

/// Blanks the length too, for a pax header whose records were set apart.
pub(super) fn without_size(mut block: Block) -> Block {
    block[SIZE].fill(0); // constant range inside 512
    block
}

fn until_nul(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    field.get(..end).unwrap_or(field)
}

/// Octal as POSIX has it, or GNU's base 256 where the first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    match field.split_first() {
        Some((0x80, rest)) => {
            let (high, low) = rest.split_at_checked(rest.len().checked_sub(8)?)?;
            let low: [u8; 8] = low.try_into().ok()?;
            high.iter()
                .all(|b| *b == 0)
                .then_some(u64::from_be_bytes(low))
        }
        _ => octal(field),
    }
}

/// Octal digits between blanks, and nothing but NUL and blanks after them.
fn octal(field: &[u8]) -> Option<u64> {
    let start = field.iter().position(|b| *b != b' ').unwrap_or(field.len());
    let field = field.get(start..)?;
    let digits = field
        .iter()
        .position(|b| !matches!(b, b'0'..=b'7'))
        .unwrap_or(field.len());
    let (digits, rest) = field.split_at_checked(digits)?;
    if !rest.iter().all(|b| matches!(b, 0 | b' ')) {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        value.checked_mul(8)?.checked_add(u64::from(digit - b'0'))
    })
}
