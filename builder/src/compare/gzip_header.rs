//! The normalization `gzip-header/v1`.

use super::normalization::{Normalization, Rule};
use crate::archive::Field;

/// What RFC 1952 puts in front of a stream. None of it changes what comes out of it. A second stream
/// and bytes after the last one are not covered.
pub(super) const V1: Normalization = Normalization {
    id: "gzip-header/v1",
    hides: "time, name, comment, extra field, flags, system and level's hint in the header \
            of a gzip stream",
    rule: Rule::Fields(&[
        Field::GzipTime,
        Field::GzipExtraFlags,
        Field::GzipSystem,
        Field::GzipFlags,
        Field::GzipExtra,
        Field::GzipName,
        Field::GzipComment,
    ]),
};
