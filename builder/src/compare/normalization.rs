//! The registry of normalizations: what may differ between two files of the same content.
//!
//! A normalization is a named, versioned, pure value: what it takes out of a side is a function of that
//! side alone, and taking it out twice is taking it out once. Names, types, link targets, modes, the
//! set of members, what stands after an end, what the walkers call odd and [`Field::Remainder`] belong
//! to no normalization, ever. A change of what one covers is a new version under a new id: signed
//! verdicts carry the id, so an id that was ever signed stays in [`RETIRED`] with what it meant.

use crate::archive::{Container, Field};

use super::{
    apk_signature, archive_owners, archive_times, bzip2_encoding, elf_build_id, elf_debug_link,
    gzip_deflate, gzip_header, jar_manifest, macho_signature, member_order, pax_bookkeeping,
    pe_signature, rpm_signature, tar_dialect, tar_padding, wheel_record, xz_encoding,
    zip_compression, zip_maker, zstd_encoding,
};

/// A named value that says what is taken out.
#[derive(Debug)]
pub struct Normalization {
    /// `name/vN`, as statements carry it.
    pub id: &'static str,
    /// What it hides, in one sentence for people.
    pub hides: &'static str,
    /// What it takes out.
    pub rule: Rule,
}

/// What a normalization takes out.
#[derive(Debug)]
pub enum Rule {
    /// Fields that walkers set apart. No field is in two normalizations.
    Fields(&'static [Field]),
    /// The order of members, in containers where no reader can tell ([`super::order::is_free`]).
    Order,
    /// Parts of a text that a package has about itself.
    Text(Text),
}

/// A rule about the content of some members.
#[derive(Debug)]
pub struct Text {
    /// Whether a member of this name has such a text. No name is claimed by two normalizations.
    pub applies: fn(&[u8]) -> bool,
    /// The text without what is hidden, given the container that it is in; `None` where it has another
    /// form than expected: then it is compared as it is.
    pub canonical: fn(&Container, &[u8]) -> Option<Vec<u8>>,
}

/// All normalizations, in the order in which a verdict lists them.
pub const REGISTRY: &[&Normalization] = &[
    &gzip_header::V1,
    &gzip_deflate::V1,
    &xz_encoding::V1,
    &zstd_encoding::V1,
    &bzip2_encoding::V1,
    &member_order::V1,
    &archive_times::V1,
    &archive_owners::V1,
    &pax_bookkeeping::V1,
    &tar_dialect::V1,
    &tar_padding::V1,
    &zip_compression::V1,
    &zip_maker::V1,
    &elf_build_id::V1,
    &elf_debug_link::V1,
    &apk_signature::V2,
    &rpm_signature::V1,
    &pe_signature::V1,
    &macho_signature::V1,
    &wheel_record::V1,
    &jar_manifest::V1,
];

/// Ids that statements may carry and that are given to nothing new, with what they hid.
pub const RETIRED: &[(&str, &str)] = &[
    (
        "gzip-encoding/v1",
        "time, name, comment, extra field, flags, system and level in a gzip header, and which \
         encoder made the compressed bytes of a gzip file or of a zip member",
    ),
    (
        "apk-signature/v1",
        "the publisher's signatures in the signing block of an APK, and others beside them",
    ),
    (
        "archive-times-owners/v1",
        "modification, access and change times, owner and group ids and names of archive members",
    ),
];

/// The normalization with this id, if there is one.
#[must_use]
pub fn named(id: &str) -> Option<&'static Normalization> {
    REGISTRY.iter().copied().find(|known| known.id == id)
}

/// What the normalization with this id hides, or hid before it was retired.
#[must_use]
pub fn hides(id: &str) -> Option<&'static str> {
    let retired = || RETIRED.iter().find(|(known, _)| *known == id);
    named(id)
        .map(|known| known.hides)
        .or_else(|| retired().map(|(_, hides)| *hides))
}

/// The id for people, with what it hides where it is a known one.
#[must_use]
pub fn described(id: &str) -> String {
    match hides(id) {
        Some(hides) => format!("{id} ({hides})"),
        None => id.to_owned(),
    }
}

/// Whether any normalization wants to see the text of a member of this name.
#[must_use]
pub fn wants_text(name: &[u8]) -> bool {
    texts().any(|(_, text)| (text.applies)(name))
}

/// All rules about texts, with the ids that they belong to.
pub(super) fn texts() -> impl Iterator<Item = (&'static Normalization, &'static Text)> {
    REGISTRY
        .iter()
        .copied()
        .filter_map(|normalization| match &normalization.rule {
            Rule::Text(text) => Some((normalization, text)),
            Rule::Fields(_) | Rule::Order => None,
        })
}
