//! The normalization `archive-times/v1`.

use super::normalization::{Normalization, Rule};
use crate::archive::Field;

/// When members were modified, in tar and ar headers, pax records, zip headers and the Info-ZIP
/// extra field for it. Only well-formed values reach these fields: bytes that are no time stay where
/// they must be equal.
pub(super) const V1: Normalization = Normalization {
    id: "archive-times/v1",
    hides: "modification, access and change times of archive members",
    rule: Rule::Fields(&[
        Field::TarTime,
        Field::PaxTime,
        Field::ZipTime,
        Field::ZipExtraTime,
        Field::ArTime,
    ]),
};
