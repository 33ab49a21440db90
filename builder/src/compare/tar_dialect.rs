//! The normalization `tar-dialect/v1`.

use super::normalization::{Normalization, Rule};
use crate::archive::Field;

/// Whether a header says that it is ustar or GNU tar, and how no device number is written. Where one of
/// the two has something to say that the other has not, the header is compared as it is.
pub(super) const V1: Normalization = Normalization {
    id: "tar-dialect/v1",
    hides: "whether a tar header is marked as ustar or as GNU tar, where both are read alike, and how \
            it writes that there is no device number",
    rule: Rule::Fields(&[Field::TarDialect]),
};
