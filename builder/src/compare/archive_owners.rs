//! The normalization `archive-owners/v1`.

use super::normalization::{Normalization, Rule};
use crate::archive::Field;

/// Who owned members, in tar and ar headers, pax records and the Info-ZIP extra field for it. Only
/// well-formed values reach these fields.
pub(super) const V1: Normalization = Normalization {
    id: "archive-owners/v1",
    hides: "owner and group ids and names of archive members",
    rule: Rule::Fields(&[
        Field::TarOwnerId,
        Field::TarOwnerName,
        Field::PaxOwner,
        Field::ZipExtraOwner,
        Field::ArOwnerId,
    ]),
};
