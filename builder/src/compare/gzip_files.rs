//! Compares two walked gzip files: payloads first, then what is inside them.

use super::containers::{conclude, member_differences, pseudo};
use super::encoding::Encoding;
use super::form::Form;
use super::normalization::Tally;
use super::{Comparison, DifferenceKind, Failure, MemberDifference, Side};
use crate::archive::ReadLimits;
use crate::archive::gzip::Gzip;
use crate::archive::{Field, Format};

/// Compares two gzip files of different bytes.
///
/// Where the payloads are equal, nothing inside them matters. Where they differ and both are tars,
/// the members are compared; the encodings then differ as a consequence, so that `gzip-encoding` is
/// always part of what made the two equal.
pub(super) fn compare(
    published: Gzip,
    rebuilt: Gzip,
    limits: &ReadLimits,
) -> Result<Comparison, Failure> {
    let mut tally = Tally::new();
    for (a, b) in published.streams.iter().zip(&rebuilt.streams) {
        tally.details(&a.details, &b.details); // gzip-encoding covers all of them
    }
    tally.at_least_one(Field::Deflate);
    let mut differences = around(&published, &rebuilt);
    if differences.is_empty() && same_payloads(&published, &rebuilt) {
        let form = |form: Form| form.payloads(&published);
        let answer = conclude(Format::Gzip, differences, &tally, form, limits);
        return Ok(answer.encoded(Encoding::of_gzip(&published)));
    }
    let ([a], [b]) = (&published.streams[..], &rebuilt.streams[..]) else {
        return Ok(Comparison::different(differences, limits));
    };
    if a.sha256 == b.sha256 {
        return Ok(Comparison::different(differences, limits));
    }
    let (Some(tar_a), Some(tar_b)) = (published.tar, rebuilt.tar) else {
        differences.push(MemberDifference {
            published: Some(a.sha256),
            rebuilt: Some(b.sha256),
            ..pseudo("(payload of the gzip file)", DifferenceKind::Content)
        });
        return Ok(Comparison::different(differences, limits));
    };
    let tar_a = tar_a.map_err(Failure::on(Side::Published))?;
    let tar_b = tar_b.map_err(Failure::on(Side::Rebuilt))?;
    differences.extend(member_differences(&tar_a, &tar_b, &mut tally));
    let form = |form: Form| form.members(&tar_a);
    Ok(conclude(Format::Gzip, differences, &tally, form, limits))
}

/// What stands around the first stream: more streams, and bytes that belong to none.
fn around(published: &Gzip, rebuilt: &Gzip) -> Vec<MemberDifference> {
    let mut list = Vec::new();
    if published.trailing != rebuilt.trailing {
        let digest = |gzip: &Gzip| gzip.trailing.map(|(_, sha256)| sha256);
        list.push(MemberDifference {
            published: digest(published),
            rebuilt: digest(rebuilt),
            ..pseudo("(bytes after the gzip stream)", DifferenceKind::Container)
        });
    }
    let several = published.streams.len() > 1 || rebuilt.streams.len() > 1;
    if several && !same_payloads(published, rebuilt) {
        list.push(pseudo(
            "(number and payloads of gzip streams)",
            DifferenceKind::Container,
        ));
    }
    list
}

fn same_payloads(published: &Gzip, rebuilt: &Gzip) -> bool {
    let payloads = |gzip: &Gzip| -> Vec<_> { gzip.streams.iter().map(|s| s.sha256).collect() };
    payloads(published) == payloads(rebuilt)
}
