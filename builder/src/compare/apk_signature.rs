//! The normalization `apk-signature/v2`.

use super::normalization::{Normalization, Rule};
use crate::archive::Field;

/// What a publisher's signer puts between the members of an APK and its central directory: the pairs
/// of signature schemes 2, 3 and 3.1, one of each and with nothing behind its signers, and the zeros that
/// fill the block. Other pairs of the block are data that a program can read, and the files of scheme 1
/// are members: neither is covered.
pub(super) const V2: Normalization = Normalization {
    id: "apk-signature/v2",
    hides: "the publisher's signatures in the signing block of an APK, one of each scheme",
    rule: Rule::Fields(&[Field::ApkSignature]),
};
