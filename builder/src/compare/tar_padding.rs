//! The normalization `tar-padding/v1`.

use super::normalization::{Normalization, Rule};
use crate::archive::Field;

/// How many zeros fill the last record of a tar. The number follows from the length of all before,
/// which times in pax records change.
pub(super) const V1: Normalization = Normalization {
    id: "tar-padding/v1",
    hides: "the number of zeros that fill the last record of a tar",
    rule: Rule::Fields(&[Field::TarPadding]),
};
