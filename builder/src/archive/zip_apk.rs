//! The APK Signing Block (APK Signature Scheme v2, v3, v3.1): what Android's signers put between the
//! last member of a zip and its central directory.

use super::source::Source;
use super::walk::Walk;
use super::{ArchiveError, Detail, Field};
use countersign_attest::digest::Sha256;

const MAGIC: &[u8; 16] = b"APK Sig Block 42";
/// v2, v3, v3.1, and the zeros that fill the block (`verity padding`): signatures and nothing else.
/// All other pairs are somebody's data and have to be equal.
const SIGNATURES: [u32; 4] = [0x7109_871a, 0xf053_68c0, 0x1b93_ad61, 0x4272_6577];
const PADDING: u32 = 0x4272_6577;

/// Reads a block to its end.
///
/// # Errors
/// Where something else stands there.
pub(super) fn signing_block(
    source: &mut Source<'_>,
    walk: &Walk<'_>,
    details: &mut Vec<Detail>,
) -> Result<(), ArchiveError> {
    let bad = || {
        ArchiveError::malformed(
            "bytes between the last member and the central directory",
            b"central directory",
        )
    };
    // an empty archive has no signature, and junk must not be taken for a length
    let first = source.peek(8)?;
    let length = first
        .try_into()
        .map(u64::from_le_bytes)
        .map_err(|_| bad())?;
    let pairs_bytes = length.checked_sub(24).ok_or_else(bad)?;
    walk.budget().metadata(length)?;
    let _: [u8; 8] = source.exact("zip")?;
    let mut pairs = vec![0; usize::try_from(pairs_bytes).map_err(|_| bad())?];
    source.fill(&mut pairs, "zip")?;
    let again: [u8; 8] = source.exact("zip")?;
    let magic: [u8; 16] = source.exact("zip")?;
    if magic != *MAGIC || u64::from_le_bytes(again) != length {
        return Err(bad());
    }
    let mut rest = Vec::new();
    let mut seen = Vec::new();
    let mut bytes = pairs.as_slice();
    while !bytes.is_empty() {
        let (length, after) = bytes.split_first_chunk().ok_or_else(bad)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| bad())?;
        let (pair, next) = after.split_at_checked(length).ok_or_else(bad)?;
        let (id, value) = pair.split_first_chunk().ok_or_else(bad)?;
        let id = u32::from_le_bytes(*id);
        let plain = match id {
            PADDING => value.iter().all(|byte| *byte == 0),
            _ => is_list(value),
        };
        // readers take the first of a kind: another one is not looked at by who checks it
        let first = !seen.contains(&id);
        seen.push(id);
        if SIGNATURES.contains(&id) && plain && first {
            let digest = Sha256::of(pair);
            details.push(Detail::new(Field::ApkSignature, digest.as_bytes()));
        } else {
            rest.extend_from_slice(&(pair.len() as u64).to_le_bytes());
            rest.extend_from_slice(pair);
        }
        bytes = next;
    }
    if !rest.is_empty() {
        details.push(Detail::new(Field::Remainder, Sha256::of(&rest).as_bytes()));
    }
    Ok(())
}

/// Whether a value is one list of signers with its length in front, to the last byte.
fn is_list(value: &[u8]) -> bool {
    value.split_first_chunk().is_some_and(|(length, list)| {
        usize::try_from(u32::from_le_bytes(*length)).is_ok_and(|length| length == list.len())
    })
}
