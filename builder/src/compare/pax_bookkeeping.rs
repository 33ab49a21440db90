//! The normalization `pax-bookkeeping/v1`.

use super::normalization::{Normalization, Rule};
use crate::archive::Field;

/// Through which of the tar dialects' ways a name, a link's target or a size reaches a reader, where
/// what it says is the same: header, prefix, GNU long name or pax record. With it goes the header of
/// the extension itself, which holds a process id where GNU tar wrote it. What other records say is
/// not covered.
pub(super) const V1: Normalization = Normalization {
    id: "pax-bookkeeping/v1",
    hides: "in which header or record of a tar a name is written, and the headers of such \
            extensions",
    rule: Rule::Fields(&[Field::PaxHeader, Field::TarNamePlace]),
};
