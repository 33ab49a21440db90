//! The normalization `gzip-deflate/v1`.

use super::normalization::{Normalization, Rule};
use crate::archive::Field;

/// How a payload was deflated. The payload is compared by itself; where it differs, so does this.
pub(super) const V1: Normalization = Normalization {
    id: "gzip-deflate/v1",
    hides: "which encoder and level made the compressed bytes of a gzip stream",
    rule: Rule::Fields(&[Field::GzipDeflate]),
};
