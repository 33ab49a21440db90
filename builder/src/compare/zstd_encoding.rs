//! The normalization `zstd-encoding/v1`.

use super::normalization::{Normalization, Rule};
use crate::archive::Field;

/// A whole zstd frame but for its payload: window, blocks, whether there is a sum. Skippable frames
/// are not covered.
pub(super) const V1: Normalization = Normalization {
    id: "zstd-encoding/v1",
    hides: "which encoder, level, window and sum made the bytes of a zstd frame",
    rule: Rule::Fields(&[Field::ZstdFrame]),
};
