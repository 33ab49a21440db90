//! The normalization `xz-encoding/v1`.

use super::normalization::{Normalization, Rule};
use crate::archive::Field;

/// A whole xz stream but for its payload: blocks, filters, dictionary, kind of sum, index.
pub(super) const V1: Normalization = Normalization {
    id: "xz-encoding/v1",
    hides: "which encoder, filters, blocks and kind of sum made the bytes of an xz stream",
    rule: Rule::Fields(&[Field::XzStream]),
};
