//! The normalization `gzip-encoding/v1`.

use super::normalization::Normalization;
use crate::archive::Field;

/// The header of a gzip stream, and how a deflate stream was encoded (in a zip too, where the method
/// is deflate on both sides). What comes out of the stream is compared by digest; a second stream and
/// bytes after the last one are not covered.
pub(super) const V1: Normalization = Normalization {
    id: "gzip-encoding/v1",
    hides: "time, name, comment, extra field, flags, system and level in a gzip header, and which \
            encoder made the compressed bytes",
    fields: &[
        Field::GzipTime,
        Field::GzipExtraFlags,
        Field::GzipSystem,
        Field::GzipFlags,
        Field::GzipExtra,
        Field::GzipName,
        Field::GzipComment,
        Field::Deflate,
    ],
};
