//! What a policy decides about each entry of a list. Pure: entries and what was said go in, findings
//! come out, by the same code as for one file.

use std::collections::{BTreeMap, BTreeSet};

use countersign_attest::decide::{Asked, Memory, Outcome, Said, VerdictSaid};
use countersign_attest::digest::{Sha256, Sha512};
use countersign_attest::policy::Policy;
use countersign_attest::purl::Purl;
use countersign_attest::time::Timestamp;
use countersign_verify::attestation::{Heard, subjects};
use countersign_verify::by_policy::{self, Judged, Terms};
use countersign_verify::exit::Exit;
use countersign_verify::memory::Remembered;

use super::{Entry, FileDigest, Files, Why};

/// What was found of an entry.
#[derive(Debug)]
pub(crate) enum Finding {
    /// Each file that may be meant, judged. Never empty.
    Files(Vec<Judged>),
    /// Files that operators know under this name; whether they are what is here nobody has looked at.
    NameOnly(Vec<Judged>),
    /// Nobody can confirm it.
    Unconfirmable(Why),
}

impl Finding {
    /// The decisions.
    pub(crate) fn judged(&self) -> &[Judged] {
        match self {
            Self::Files(judged) | Self::NameOnly(judged) => judged,
            Self::Unconfirmable(_) => &[],
        }
    }

    /// Of files any of which may be used the worst decision; of files that only have the name the best.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        let all = self.judged().iter().map(|judged| judged.decision.outcome);
        match self {
            Self::Files(_) => all.max(),
            Self::NameOnly(_) | Self::Unconfirmable(_) => all.min(),
        }
    }

    /// How it counts for the exit code. A name alone is never enough; that somebody could not be asked
    /// matters where nobody else said anything.
    pub(crate) fn exit(&self, is_unreachable: bool, allow_local: bool) -> Exit {
        let is_silent = self.judged().iter().all(|judged| judged.found.is_empty());
        match (self, self.outcome()) {
            (Self::Unconfirmable(Why::Local), _) if allow_local => Exit::Good,
            (Self::Unconfirmable(_), _) => Exit::NotMet,
            (Self::Files(_), Some(Outcome::Accept)) => Exit::Good,
            (Self::Files(_), Some(Outcome::Reject)) => Exit::NotReproduced,
            (_, Some(Outcome::NotEnough)) if is_silent && is_unreachable => Exit::Fault,
            (Self::Files(_) | Self::NameOnly(_), _) => Exit::NotMet,
        }
    }
}

/// What was said, by what it is about, so that a list of thousands is judged in one pass.
pub(crate) struct Index<'a> {
    heard: &'a [Heard],
    sha256: BTreeMap<Sha256, Vec<usize>>,
    sha512: BTreeMap<Sha512, Vec<usize>>,
    package: BTreeMap<String, Vec<usize>>,
    /// What takes a statement back, by that statement.
    taken_back: BTreeMap<Sha256, Vec<usize>>,
}

impl<'a> Index<'a> {
    /// Sorts what was said.
    pub(crate) fn new(heard: &'a [Heard]) -> Self {
        let mut index = Self {
            heard,
            sha256: BTreeMap::new(),
            sha512: BTreeMap::new(),
            package: BTreeMap::new(),
            taken_back: BTreeMap::new(),
        };
        for (at, heard) in heard.iter().enumerate() {
            match &heard.testimony.said {
                Said::Withdrawn(said) => {
                    index.taken_back.entry(said.withdraws).or_default().push(at);
                }
                Said::Verdict(said) => {
                    index.sha256.entry(said.sha256).or_default().push(at);
                    if let Some(sha512) = said.sha512 {
                        index.sha512.entry(sha512).or_default().push(at);
                    }
                    if let Some(purl) = &said.purl {
                        let package = purl.bare().to_owned();
                        index.package.entry(package).or_default().push(at);
                    }
                }
            }
        }
        index
    }

    /// The verdicts on these bytes and on other files of the package, and what was taken back of them.
    fn about(&self, purl: Option<&Purl>, digests: &BTreeSet<FileDigest>) -> Vec<Heard> {
        let mut found: BTreeSet<usize> = BTreeSet::new();
        for digest in digests {
            let of_bytes = match digest {
                FileDigest::Sha256(digest) => self.sha256.get(digest),
                FileDigest::Sha512(digest) => self.sha512.get(digest),
            };
            found.extend(of_bytes.into_iter().flatten());
        }
        let package = purl.and_then(|purl| self.package.get(purl.bare()));
        found.extend(package.into_iter().flatten());
        let statements = found.iter().filter_map(|at| self.heard.get(*at));
        let taken_back = statements.filter_map(|h| self.taken_back.get(&h.testimony.statement));
        let all: BTreeSet<usize> = taken_back.flatten().chain(&found).copied().collect();
        all.into_iter()
            .filter_map(|at| self.heard.get(at).cloned())
            .collect()
    }
}

/// Judges one entry.
pub(crate) fn judge(
    policy: &Policy,
    entry: &Entry,
    index: &Index<'_>,
    remembered: &Remembered,
    now: Timestamp,
) -> Finding {
    let memory = remembered.of(entry.purl.as_ref());
    let one = |asked: Asked, heard: &[Heard]| by_its_name(policy, asked, heard, &memory, now);
    match &entry.files {
        Files::Unconfirmable(why) => Finding::Unconfirmable(*why),
        Files::OneOf(digests) => {
            let heard = index.about(entry.purl.as_ref(), digests);
            let asked = |digest: &FileDigest| Asked {
                purl: entry.purl.clone(),
                sha256: match digest {
                    FileDigest::Sha256(digest) => Some(*digest),
                    FileDigest::Sha512(_) => None,
                },
                sha512: match digest {
                    FileDigest::Sha512(digest) => Some(*digest),
                    FileDigest::Sha256(_) => None,
                },
                file_name: None,
            };
            let judged = digests.iter().map(|digest| one(asked(digest), &heard));
            Finding::Files(judged.collect())
        }
        Files::NameOnly => {
            let heard = index.about(entry.purl.as_ref(), &BTreeSet::new());
            let asked = Asked {
                purl: entry.purl.clone(),
                ..Asked::default()
            };
            let mut files = Vec::new();
            for purl in spellings(entry.purl.as_ref(), verdicts(&heard)) {
                let named = Asked {
                    purl: Some(purl),
                    ..asked.clone()
                };
                files.extend(subjects(&named, &heard));
            }
            if files.is_empty() {
                files.push(asked);
            }
            Finding::NameOnly(files.into_iter().map(|asked| one(asked, &heard)).collect())
        }
    }
}

/// Judges one file. A list knows name and version of a package and not always all that its package URL
/// says (which file, which release of a distribution), so that statements on the very bytes say the rest; where
/// two are said, the better decision counts. The rest never chooses another rule.
fn by_its_name(
    policy: &Policy,
    asked: Asked,
    heard: &[Heard],
    memory: &Memory,
    now: Timestamp,
) -> Judged {
    let terms = Terms {
        now,
        memory,
        acknowledged: &[],
    };
    let rule = policy.rule(asked.purl.as_ref());
    let on_these = verdicts(heard).filter(|said| asked.is(said.sha256, said.sha512));
    let full = spellings(asked.purl.as_ref(), on_these).into_iter();
    let full = full.filter(|purl| std::ptr::eq(policy.rule(Some(purl)), rule));
    let judged = full.map(|purl| {
        let asked = Asked {
            purl: Some(purl),
            ..asked.clone()
        };
        by_policy::judge(policy, &asked, heard, &terms)
    });
    let worth = |judged: &Judged| {
        let Judged { decision, .. } = judged;
        (decision.outcome, usize::MAX - decision.confirming)
    };
    let best = judged.min_by_key(worth);
    best.unwrap_or_else(|| by_policy::judge(policy, &asked, heard, &terms))
}

fn verdicts(heard: &[Heard]) -> impl Iterator<Item = &VerdictSaid> {
    heard
        .iter()
        .filter_map(|heard| match &heard.testimony.said {
            Said::Verdict(said) => Some(&**said),
            Said::Withdrawn(_) => None,
        })
}

/// The package URLs in verdicts that say no less than this one, and nothing else.
fn spellings<'v>(
    purl: Option<&Purl>,
    verdicts: impl Iterator<Item = &'v VerdictSaid>,
) -> BTreeSet<Purl> {
    let said = verdicts.filter_map(|said| said.purl.clone());
    said.filter(|said| purl.is_some_and(|purl| said.refines(purl)))
        .collect()
}
