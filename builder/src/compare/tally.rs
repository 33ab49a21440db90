//! What each normalization had to take out so far, and of which members.

use crate::archive::{Detail, Field};

use super::Applied;
use super::nodes::shorten;
use super::normalization::{Normalization, REGISTRY, Rule};
use super::tree::MetadataDifference;

/// How much each normalization had to take out so far.
#[derive(Debug)]
pub(super) struct Tally {
    /// In the order of [`REGISTRY`].
    counts: Vec<Count>,
    /// Most members that are named for one normalization.
    listed: usize,
}

#[derive(Debug, Clone, Default)]
struct Count {
    published: u64,
    rebuilt: u64,
    members: Vec<String>,
    unlisted: u64,
    last: String,
}

/// What two lists of details are to each other.
#[derive(Debug, Default)]
pub(super) struct DetailsSeen {
    /// Whether a field that nothing covers differs.
    pub(super) uncovered: bool,
    /// Each value that is not the same on the other side.
    pub(super) metadata: Vec<MetadataDifference>,
}

impl DetailsSeen {
    /// Ids of the normalizations that changed something, without repetition.
    pub(super) fn normalizations(&self) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for id in self.metadata.iter().filter_map(|m| m.normalization.clone()) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }
}

impl Tally {
    pub(super) fn new(listed: u64) -> Self {
        Self {
            counts: vec![Count::default(); REGISTRY.len()],
            listed: usize::try_from(listed).unwrap_or(usize::MAX),
        }
    }

    /// Compares what the container says of `member` on both sides. Counts, for each covered field, the
    /// values that are not the same on the other side.
    pub(super) fn details(
        &mut self,
        published: &[Detail],
        rebuilt: &[Detail],
        member: &str,
    ) -> DetailsSeen {
        let mut seen = DetailsSeen::default();
        if published == rebuilt {
            return seen;
        }
        let mut fields: Vec<Field> = published.iter().chain(rebuilt).map(|d| d.field).collect();
        fields.sort_unstable();
        fields.dedup();
        for field in fields {
            let values = |details: &[Detail]| -> Vec<Box<[u8]>> {
                let of_field = details.iter().filter(|detail| detail.field == field);
                of_field.map(|detail| detail.value.clone()).collect()
            };
            let (mut a, mut b) = (values(published).into_iter(), values(rebuilt).into_iter());
            let (mut in_a, mut in_b) = (0, 0);
            let normalization = covering(field);
            loop {
                let (left, right) = (a.next(), b.next());
                if left.is_none() && right.is_none() {
                    break;
                }
                if left == right {
                    continue;
                }
                in_a += u64::from(left.is_some());
                in_b += u64::from(right.is_some());
                seen.metadata.push(MetadataDifference {
                    field: field.word().to_owned(),
                    published: left.map(|value| shown(field, &value)),
                    rebuilt: right.map(|value| shown(field, &value)),
                    normalization: normalization.map(|(_, known)| known.id.to_owned()),
                });
            }
            match normalization {
                _ if (in_a, in_b) == (0, 0) => {}
                Some((index, _)) => self.count(index, in_a, in_b, member),
                None => seen.uncovered = true,
            }
        }
        seen
    }

    /// Counts what a normalization took out that is no field.
    pub(super) fn changed(&mut self, normalization: &Normalization, member: &str) {
        let index = REGISTRY
            .iter()
            .position(|known| known.id == normalization.id);
        if let Some(index) = index {
            self.count(index, 1, 1, member);
        }
    }

    fn count(&mut self, index: usize, published: u64, rebuilt: u64, member: &str) {
        let listed = self.listed;
        let Some(count) = self.counts.get_mut(index) else {
            return;
        };
        count.published += published;
        count.rebuilt += rebuilt;
        if count.last == member && count.published + count.rebuilt > published + rebuilt {
            return; // another place in the same member
        }
        member.clone_into(&mut count.last);
        if count.members.len() < listed {
            count.members.push(shorten(member.to_owned()));
        } else {
            count.unlisted += 1;
        }
    }

    /// How many places were changed in all: it grows where anything was.
    pub(super) fn total(&self) -> u64 {
        self.counts.iter().map(|c| c.published + c.rebuilt).sum()
    }

    /// The normalizations that changed something.
    pub(super) fn normalizations(&self) -> Vec<&'static Normalization> {
        let changed = REGISTRY.iter().zip(&self.counts);
        changed
            .filter(|(_, count)| count.published + count.rebuilt > 0)
            .map(|(normalization, _)| *normalization)
            .collect()
    }

    /// The same with how much each changed.
    pub(super) fn applied(self) -> Vec<Applied> {
        let changed = REGISTRY.iter().zip(self.counts);
        changed
            .filter(|(_, count)| count.published + count.rebuilt > 0)
            .map(|(normalization, count)| Applied {
                id: normalization.id.to_owned(),
                changed_published: count.published,
                changed_rebuilt: count.rebuilt,
                members: count.members,
                members_unlisted: count.unlisted,
            })
            .collect()
    }
}

fn covering(field: Field) -> Option<(usize, &'static Normalization)> {
    let mut all = REGISTRY.iter().copied().enumerate();
    all.find(|(_, normalization)| match normalization.rule {
        Rule::Fields(fields) => fields.contains(&field),
        Rule::Order | Rule::Text(_) => false,
    })
}

/// Longest value that is shown, in bytes.
const SHOWN: usize = 64;

/// A value for people: text as text, binary numbers and digests in hexadecimal.
fn shown(field: Field, value: &[u8]) -> String {
    use countersign_attest::digest::hex;
    let value = value.get(..SHOWN).unwrap_or(value);
    match field {
        Field::TarTime
        | Field::TarOwnerId
        | Field::TarOwnerName
        | Field::PaxTime
        | Field::PaxOwner
        | Field::ArTime
        | Field::ArOwnerId
        | Field::GzipName
        | Field::GzipComment
        | Field::TarPadding
        | Field::End
        | Field::Comment => {
            let end = value.iter().rposition(|b| !matches!(b, 0 | b' '));
            crate::archive::escape(value.get(..end.map_or(0, |at| at + 1)).unwrap_or(value))
        }
        Field::GzipTime
        | Field::GzipExtraFlags
        | Field::GzipSystem
        | Field::GzipFlags
        | Field::GzipExtra
        | Field::GzipDeflate
        | Field::XzStream
        | Field::ZstdFrame
        | Field::Bzip2Stream
        | Field::PaxHeader
        | Field::TarNamePlace
        | Field::TarDialect
        | Field::ZipTime
        | Field::ZipExtraTime
        | Field::ZipExtraOwner
        | Field::ZipMadeBy
        | Field::ZipMethod
        | Field::ZipDeflate
        | Field::ApkSignature
        | Field::ElfBuildId
        | Field::ElfDebugLink
        | Field::RpmSignature
        | Field::PeSignature
        | Field::MachoSignature
        | Field::Remainder => hex(value),
    }
}
