//! The normalization `zip-compression/v1`.

use super::normalization::{Normalization, Rule};
use crate::archive::Field;

/// How the content of zip members was packed. The content is compared by itself. Names, flags that
/// change how a name is read, and other methods than store and deflate are not covered.
pub(super) const V1: Normalization = Normalization {
    id: "zip-compression/v1",
    hides: "whether members of a zip are stored or deflated, by which encoder and level, and \
            whether their sizes stand before or after them",
    rule: Rule::Fields(&[Field::ZipMethod, Field::ZipDeflate]),
};
