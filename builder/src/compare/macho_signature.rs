//! The normalization `macho-signature/v1`.

use super::normalization::{Normalization, Rule};
use crate::archive::Field;

/// What a signer adds to a Mach-O file: the signature at its end, its load command, and what it changed
/// in the length of commands and of the last segment. Entitlements are not covered: they are what the
/// program may do. A program can read its own signature, and with it whatever the publisher put inside.
pub(super) const V1: Normalization = Normalization {
    id: "macho-signature/v1",
    hides: "the code signature at the end of a Mach-O file but for entitlements, and what the header says \
            of it",
    rule: Rule::Fields(&[Field::MachoSignature]),
};
