//! The normalization `bzip2-encoding/v1`.

use super::normalization::{Normalization, Rule};
use crate::archive::Field;

/// A whole bzip2 stream but for its payload: the size of its blocks and how they were coded.
pub(super) const V1: Normalization = Normalization {
    id: "bzip2-encoding/v1",
    hides: "which encoder and block size made the bytes of a bzip2 stream",
    rule: Rule::Fields(&[Field::Bzip2Stream]),
};
