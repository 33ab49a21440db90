//! The normalization `elf-build-id/v1`.

use super::normalization::{Normalization, Rule};
use crate::archive::Field;

/// The note with the digest that a linker took of its output. It is loaded as data; one that lies
/// where it could be executed is not covered.
pub(super) const V1: Normalization = Normalization {
    id: "elf-build-id/v1",
    hides: "the build id in the notes of an ELF file, where it is not executable",
    rule: Rule::Fields(&[Field::ElfBuildId]),
};
