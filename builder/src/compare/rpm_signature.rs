//! The normalization `rpm-signature/v1`.

use super::normalization::{Normalization, Rule};
use crate::archive::Field;

/// What a publisher's signer puts into the signature header of an RPM package, and the zeros that kept
/// room for it. Digests and lengths in that header are no signatures, and signatures of single files are
/// installed with them: neither is covered.
pub(super) const V1: Normalization = Normalization {
    id: "rpm-signature/v1",
    hides: "the publisher's signatures in the signature header of an RPM package, and the room for them",
    rule: Rule::Fields(&[Field::RpmSignature]),
};
