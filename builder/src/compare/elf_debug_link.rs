//! The normalization `elf-debug-link/v1`.

use super::normalization::{Normalization, Rule};
use crate::archive::Field;

/// The section that names a file with debugging symbols, and its sum. It is never loaded.
pub(super) const V1: Normalization = Normalization {
    id: "elf-debug-link/v1",
    hides: "name and sum of the separate file with an ELF file's debugging symbols",
    rule: Rule::Fields(&[Field::ElfDebugLink]),
};
