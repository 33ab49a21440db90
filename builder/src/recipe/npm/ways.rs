//! The ladder: which ways are tried, in which order.

use countersign_attest::verdict::Verdict;

use super::candidate::{Build, Place, Way};
use super::lock::Manager;
use super::published::{Packer, PublishedManifest};
use super::publishing::{NamedBy, Publishing};
use super::tools::{self, Toolchain};
use super::{NpmEvidence, declared, said};
use crate::outcome::Ended;
use crate::recipe::{Attempt, Situation};

/// Most ways that are tried.
const MAX_WAYS: usize = 5;

/// The ladder: the likeliest first, each once.
pub(super) fn ways(situation: &Situation<'_>, evidence: &NpmEvidence) -> Vec<Way> {
    let packer = match &evidence.published {
        PublishedManifest::Found { packer, .. } => *packer,
        PublishedManifest::NotGiven | PublishedManifest::Unreadable { .. } => Packer::Npm,
    };
    let plain = Way {
        toolchain: Toolchain::Installed,
        build: Build::Nothing,
        frozen: true,
        install_scripts: false,
        packs_itself: false,
        place: Place::Package,
    };
    let manager = evidence.lock.as_ref().map(|lock| lock.manager);
    let packs_itself = matches!(
        (packer, manager),
        (Packer::Pnpm, Some(Manager::Pnpm)) | (Packer::Yarn, Some(Manager::YarnBerry))
    );
    let declared = declared(situation, evidence);
    let time = situation
        .published
        .published_on
        .unwrap_or(situation.release.commit_time);
    let is_other = tools::is_other(&declared, time, situation.capabilities);
    let likely = match packer {
        Packer::Npm7 => Toolchain::Npm7,
        Packer::Npm6 => Toolchain::Npm6,
        Packer::Npm5 => Toolchain::Npm5,
        Packer::Npm | Packer::Pnpm | Packer::Yarn | Packer::Other if is_other => Toolchain::OfTime,
        Packer::Npm | Packer::Pnpm | Packer::Yarn | Packer::Other => Toolchain::Installed,
    };
    let packed = Way {
        // without a build, node counts for nothing but what packs
        toolchain: match packer {
            Packer::Npm7 => Toolchain::Npm7,
            Packer::Npm6 => Toolchain::Npm6,
            Packer::Npm5 => Toolchain::Npm5,
            Packer::Npm | Packer::Pnpm | Packer::Yarn | Packer::Other => Toolchain::Installed,
        },
        packs_itself,
        ..plain
    };
    let mut ways = Vec::new();
    if evidence.tree_has_all() {
        ways.extend([packed, plain]);
    }
    if evidence.needs_more() {
        ways.extend(builds(
            evidence,
            Way {
                toolchain: likely,
                packs_itself,
                ..plain
            },
        ));
    } else {
        ways.push(plain);
    }
    once(&mut ways);
    situation.order(&mut ways, |way| said::way(*way));
    // what a dependency's scripts make is lacking where a build fails, not where it comes out otherwise
    let attempts = situation.attempts;
    let failed = attempts.iter().any(|a| a.verdict == Verdict::BuildFailed);
    let mut at = 0..;
    ways.retain(|way| {
        let is_tried = at.next().is_some_and(|at| at < attempts.len());
        is_tried || failed || attempts.is_empty() || !way.install_scripts
    });
    // a lock file that its own manager refuses was not the one that the publisher installed from
    if let Some(refused) = refused_at(situation) {
        let unfrozen = ways.iter().filter(|way| way.build != Build::Nothing);
        let unfrozen: Vec<Way> = unfrozen
            .map(|way| Way {
                frozen: false,
                ..*way
            })
            .collect();
        ways.truncate(refused + 1);
        ways.extend(unfrozen);
    }
    once(&mut ways);
    ways.truncate(MAX_WAYS);
    ways
}

/// The way that lacked nothing but the encoding once more, by a released node, where this machine's encodes
/// otherwise; once, and before known encoders are tried.
pub(super) fn repacked(situation: &Situation<'_>, ways: &[Way]) -> Option<Way> {
    let attempts = situation.attempts;
    let has_bytes = |a: &Attempt| matches!(a.verdict, Verdict::Reproduced | Verdict::Assisted);
    if attempts.iter().any(has_bytes) || tools::encodes_as_released(situation.capabilities) {
        return None;
    }
    let mut tried = ways.iter().zip(attempts);
    let (way, _) = tried.find(|(_, attempt)| attempt.encoding.is_some())?;
    let again = Way {
        toolchain: Toolchain::Released,
        ..*way
    };
    let is_tried = attempts.iter().any(|a| a.way == said::way(again));
    (way.toolchain == Toolchain::Installed && !is_tried).then_some(again)
}

/// The ways that build, of which `way` has the likeliest tools.
fn builds(evidence: &NpmEvidence, way: Way) -> Vec<Way> {
    let mut ways = Vec::new();
    let pack = Way {
        build: Build::Pack,
        place: match evidence.publishing.folder {
            Some(_) => Place::Folder,
            None => Place::Package,
        },
        ..way
    };
    let publish = Way {
        build: Build::Publish,
        ..pack
    };
    let has = |script: &str| evidence.scripts.contains_key(script);
    let published = has("prepublishOnly") || has("prepublish");
    let packing = has("build")
        || has("prepare")
        || has("prepack")
        || evidence.builds_at_root
        || evidence.publishing != Publishing::default();
    let by = evidence.publishing.folder.as_ref().map(|folder| folder.by);
    match (packing, published) {
        // whose folder is filled when the package itself is published
        (true, true) if matches!(by, Some(NamedBy::Manifest | NamedBy::Lerna)) => {
            ways.extend([publish, pack]);
        }
        (true, true) => ways.extend([pack, publish]),
        (false, true) => ways.extend([publish, pack]),
        (_, false) => ways.push(pack),
    }
    let main = *ways.first().unwrap_or(&pack);
    let other = match way.toolchain {
        Toolchain::Installed => None,
        Toolchain::OfTime
        | Toolchain::Released
        | Toolchain::Npm7
        | Toolchain::Npm6
        | Toolchain::Npm5 => Some(Toolchain::Installed),
    };
    ways.extend(other.map(|toolchain| Way { toolchain, ..main }));
    ways.push(Way {
        install_scripts: true,
        ..main
    });
    // not every tool that packs goes by what the manifest says of a folder
    if matches!(by, Some(NamedBy::Manifest | NamedBy::Lerna)) {
        ways.push(Way {
            place: Place::Package,
            ..main
        });
    }
    ways
}

/// Leaves each way in its first place only.
fn once(ways: &mut Vec<Way>) {
    let mut seen: Vec<Way> = Vec::new();
    ways.retain(|way| {
        let first = !seen.contains(way);
        seen.push(*way);
        first
    });
}

/// The first attempt that ended when it installed by the lock file.
pub(super) fn refused_at(situation: &Situation<'_>) -> Option<usize> {
    situation.attempts.iter().position(|attempt| {
        let ended = attempt.outcomes.first().map(|outcome| &outcome.ended);
        let Some(Ended::Exited { step, .. }) = ended else {
            return false;
        };
        let step = attempt.candidate.steps.get(*step);
        step.is_some_and(|step| step.argv.iter().any(|argument| argument.value == "install"))
    })
}
