//! The registry of normalizations: what may differ between two files of the same content.
//!
//! A normalization is a named, versioned value: the fields that it takes out of both sides. It is
//! pure and idempotent by construction, because taking a field out twice is taking it out once.
//! Names, types, link targets, modes, content, order, number of members, what stands after the end
//! and [`Field::Remainder`] belong to no normalization, ever. A change of what one covers is a new
//! version under a new name: signed verdicts carry the name.

use crate::archive::{Detail, Field};

use super::{Applied, archive_times_owners, gzip_encoding, tar_padding};

/// A named value that says what is taken out.
#[derive(Debug)]
pub struct Normalization {
    /// `name/vN`, as statements carry it.
    pub id: &'static str,
    /// What it hides, in one sentence for people.
    pub hides: &'static str,
    /// The fields that it takes out. No field is in two normalizations.
    pub fields: &'static [Field],
}

/// All normalizations, in the order in which a verdict lists them.
pub const REGISTRY: &[&Normalization] = &[
    &gzip_encoding::V1,
    &archive_times_owners::V1,
    &tar_padding::V1,
];

/// How much each normalization had to take out so far.
#[derive(Debug)]
pub(super) struct Tally {
    /// Published and rebuilt, in the order of [`REGISTRY`].
    counts: Vec<(u64, u64)>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            counts: vec![(0, 0); REGISTRY.len()],
        }
    }

    /// Counts, for each covered field, the values that are not the same on the other side. Returns
    /// whether a field that nothing covers differs.
    pub(super) fn details(&mut self, published: &[Detail], rebuilt: &[Detail]) -> bool {
        if published == rebuilt {
            return false;
        }
        let mut fields: Vec<Field> = published.iter().chain(rebuilt).map(|d| d.field).collect();
        fields.sort_unstable();
        fields.dedup();
        let mut uncovered = false;
        for field in fields {
            let values = |details: &[Detail]| -> Vec<Box<[u8]>> {
                let of_field = details.iter().filter(|detail| detail.field == field);
                of_field.map(|detail| detail.value.clone()).collect()
            };
            let (a, b) = (values(published), values(rebuilt));
            let same = a.iter().zip(&b).filter(|(a, b)| a == b).count();
            if a.len() == same && b.len() == same {
                continue;
            }
            uncovered |= !self.add(field, (a.len() - same) as u64, (b.len() - same) as u64);
        }
        uncovered
    }

    /// Counts a field's deflate stream where its fingerprint did not show the difference.
    pub(super) fn at_least_one(&mut self, field: Field) {
        if let Some((_, count)) = self.find(field)
            && *count == (0, 0)
        {
            *count = (1, 1);
        }
    }

    /// The normalizations that changed something.
    pub(super) fn applied(&self) -> Vec<Applied> {
        let changed = REGISTRY.iter().zip(&self.counts);
        changed
            .filter(|(_, count)| **count != (0, 0))
            .map(|(normalization, (published, rebuilt))| Applied {
                id: normalization.id.to_owned(),
                changed_published: *published,
                changed_rebuilt: *rebuilt,
                members: Vec::new(),
                members_unlisted: 0,
            })
            .collect()
    }

    /// The fields that the normalizations which changed something take out.
    pub(super) fn fields(&self) -> Vec<Field> {
        let changed = REGISTRY.iter().zip(&self.counts);
        changed
            .filter(|(_, count)| **count != (0, 0))
            .flat_map(|(normalization, _)| normalization.fields)
            .copied()
            .collect()
    }

    fn add(&mut self, field: Field, published: u64, rebuilt: u64) -> bool {
        let Some((_, count)) = self.find(field) else {
            return false;
        };
        count.0 += published;
        count.1 += rebuilt;
        true
    }

    fn find(&mut self, field: Field) -> Option<(&'static Normalization, &mut (u64, u64))> {
        let mut pairs = REGISTRY.iter().copied().zip(&mut self.counts);
        pairs.find(|(normalization, _)| normalization.fields.contains(&field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_is_covered_twice_and_some_never() {
        let covered: Vec<Field> = REGISTRY.iter().flat_map(|n| n.fields).copied().collect();
        let mut unique = covered.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), covered.len());
        for never in [Field::Remainder, Field::End, Field::Comment] {
            assert!(!covered.contains(&never), "{never:?}");
        }
        for normalization in REGISTRY {
            let (name, version) = normalization.id.split_once("/v").expect("name/vN");
            assert!(!name.is_empty() && version.parse::<u32>().is_ok());
        }
    }

    #[test]
    fn a_field_without_normalization_is_reported_and_not_counted() {
        let mut tally = Tally::new();
        let detail = |field, value: &[u8]| vec![Detail::new(field, value)];
        assert!(tally.details(&detail(Field::End, b"1"), &detail(Field::End, b"2")));
        assert!(tally.applied().is_empty());
        assert!(!tally.details(&detail(Field::TarTime, b"1"), &[]));
        assert_eq!(tally.applied().len(), 1);
        assert_eq!(tally.applied()[0].changed_published, 1);
        assert_eq!(tally.applied()[0].changed_rebuilt, 0);
    }
}
