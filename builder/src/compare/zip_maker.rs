//! The normalization `zip-maker/v1`.

use super::normalization::{Normalization, Rule};
use crate::archive::Field;

/// The version of the program that made a zip member, and its system where that is Unix on both
/// sides; elsewhere the system says how modes are to be read and has to be equal.
pub(super) const V1: Normalization = Normalization {
    id: "zip-maker/v1",
    hides: "the version of the specification that a zip's maker claims, of members with Unix \
            modes",
    rule: Rule::Fields(&[Field::ZipMadeBy]),
};
