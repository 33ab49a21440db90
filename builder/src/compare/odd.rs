//! Findings of both sides, merged: what is odd, and who has it.

use super::tree::{Finding, FindingSide};
use super::{Side, wheel_record};
use crate::archive::{self, Container, FindingKind, Member, Oddity, Unread};

/// What is odd about two containers.
pub(super) fn container_findings(published: &Container, rebuilt: &Container) -> Vec<Finding> {
    merge(of(published), of(rebuilt))
}

fn of(container: &Container) -> Vec<Oddity> {
    let mut list = archive::of_container(container);
    let lines = wheel_record::untrue(container).into_iter();
    list.extend(lines.take(MOST).map(|detail| Oddity {
        what: FindingKind::Bookkeeping,
        detail,
    }));
    list
}

/// What is odd about a member on each side that has it.
pub(super) fn member_findings(
    published: Option<&Member>,
    rebuilt: Option<&Member>,
) -> Vec<Finding> {
    let of = |member: Option<&Member>| member.map(archive::of_member).unwrap_or_default();
    merge(of(published), of(rebuilt))
}

/// A container that was not walked.
pub(super) fn not_read(side: Side, unread: &Unread) -> Finding {
    Finding {
        side: match side {
            Side::Published => FindingSide::Published,
            Side::Rebuilt => FindingSide::Rebuilt,
        },
        what: FindingKind::NotRead,
        detail: unread.to_string(),
    }
}

/// Most findings of one node: a container with a million odd names has said enough.
const MOST: usize = 20;

fn merge(published: Vec<Oddity>, mut rebuilt: Vec<Oddity>) -> Vec<Finding> {
    let mut list = Vec::new();
    for oddity in published {
        let both = rebuilt.iter().position(|other| *other == oddity);
        let side = match both {
            Some(at) => {
                rebuilt.swap_remove(at);
                FindingSide::Both
            }
            None => FindingSide::Published,
        };
        list.push((oddity, side));
    }
    list.extend(
        rebuilt
            .into_iter()
            .map(|other| (other, FindingSide::Rebuilt)),
    );
    list.truncate(MOST);
    let finding = |(oddity, side): (Oddity, FindingSide)| Finding {
        side,
        what: oddity.what,
        detail: oddity.detail,
    };
    list.into_iter().map(finding).collect()
}
