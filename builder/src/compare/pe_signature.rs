//! The normalization `pe-signature/v1`.

use super::normalization::{Normalization, Rule};
use crate::archive::Field;

/// What a publisher's signer adds to a PE file: the certificate table at its end, the entry of the data
/// directory that points there, and the sum of the file where it is true or absent. Whatever else lies at
/// the end of a file is not covered. A program can read its own signature, and with it whatever the
/// publisher put inside.
pub(super) const V1: Normalization = Normalization {
    id: "pe-signature/v1",
    hides: "the publisher's signatures at the end of a PE file, where the header says they are, and the \
            file's own sum where it is true or absent",
    rule: Rule::Fields(&[Field::PeSignature]),
};
