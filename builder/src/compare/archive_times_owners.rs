//! The normalization `archive-times-owners/v1`.

use super::normalization::Normalization;
use crate::archive::Field;

/// When members were modified and who owned them, in tar headers, pax records, zip headers and the
/// two Info-ZIP extra fields for it. Only well-formed values reach these fields: bytes that are no
/// time and no owner stay where they must be equal.
pub(super) const V1: Normalization = Normalization {
    id: "archive-times-owners/v1",
    hides: "modification, access and change times, owner and group ids and names of archive members",
    fields: &[
        Field::TarTime,
        Field::TarOwnerId,
        Field::TarOwnerName,
        Field::PaxTime,
        Field::PaxOwner,
        Field::PaxTimesOwnersHeader,
        Field::ZipTime,
        Field::ZipExtraTime,
        Field::ZipExtraOwner,
    ],
};
