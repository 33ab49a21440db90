//! What a policy decides about each entry of a list. Pure: entries and opened statements go in, findings
//! come out, by the same code as for one file.

use std::collections::{BTreeMap, BTreeSet};

use countersign_attest::decide::{Asked, Memory, Outcome};
use countersign_attest::digest::{Sha256, Sha512};
use countersign_attest::policy::Policy;
use countersign_attest::purl::Purl;
use countersign_attest::statement::Statement;
use countersign_attest::time::Timestamp;
use countersign_verify::attestation::{Opened, subjects};
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

/// Statements by what they are about, so that a list of thousands is judged in one pass.
pub(crate) struct Index<'a> {
    opened: &'a [Opened],
    sha256: BTreeMap<Sha256, BTreeSet<usize>>,
    sha512: BTreeMap<Sha512, BTreeSet<usize>>,
    package: BTreeMap<String, BTreeSet<usize>>,
}

impl<'a> Index<'a> {
    /// Sorts statements.
    pub(crate) fn new(opened: &'a [Opened]) -> Self {
        let mut index = Self {
            opened,
            sha256: BTreeMap::new(),
            sha512: BTreeMap::new(),
            package: BTreeMap::new(),
        };
        for (at, opened) in opened.iter().enumerate() {
            let subject = match opened.verified.value() {
                Statement::Verdict(statement) => {
                    let purl = statement.predicate.published.purl.as_deref();
                    if let Some(purl) = purl.and_then(|text| text.parse::<Purl>().ok()) {
                        let package = index.package.entry(purl.bare().to_owned()).or_default();
                        package.insert(at);
                    }
                    &statement.subject
                }
                Statement::Withdrawn(statement) => &statement.subject,
                Statement::Build(_) => continue,
            };
            let of_bytes = index.sha256.entry(subject.digest.sha256).or_default();
            of_bytes.insert(at);
            if let Some(sha512) = subject.digest.sha512 {
                index.sha512.entry(sha512).or_default().insert(at);
            }
        }
        index
    }

    /// The statements on these bytes, on other files of the package, and what was taken back of either.
    fn about(&self, purl: Option<&Purl>, digests: &BTreeSet<FileDigest>) -> Vec<Opened> {
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
        // a withdrawal names bytes by SHA-256 alone and no package
        let subjects = found
            .iter()
            .filter_map(|at| subject_of(self.opened.get(*at)?));
        let taken_back = subjects.filter_map(|sha256| self.sha256.get(&sha256));
        let all: BTreeSet<usize> = taken_back.flatten().chain(&found).copied().collect();
        all.into_iter()
            .filter_map(|at| self.opened.get(at).cloned())
            .collect()
    }
}

fn subject_of(opened: &Opened) -> Option<Sha256> {
    match opened.verified.value() {
        Statement::Verdict(statement) => Some(statement.subject.digest.sha256),
        Statement::Withdrawn(statement) => Some(statement.subject.digest.sha256),
        Statement::Build(_) => None,
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
    let one = |asked: Asked, opened: &[Opened]| by_its_name(policy, asked, opened, &memory, now);
    match &entry.files {
        Files::Unconfirmable(why) => Finding::Unconfirmable(*why),
        Files::OneOf(digests) => {
            let opened = index.about(entry.purl.as_ref(), digests);
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
            let judged = digests.iter().map(|digest| one(asked(digest), &opened));
            Finding::Files(judged.collect())
        }
        Files::NameOnly => {
            let opened = index.about(entry.purl.as_ref(), &BTreeSet::new());
            let asked = Asked {
                purl: entry.purl.clone(),
                ..Asked::default()
            };
            let mut files = Vec::new();
            for purl in spellings(entry.purl.as_ref(), &opened) {
                let named = Asked {
                    purl: Some(purl),
                    ..asked.clone()
                };
                files.extend(subjects(&named, &opened));
            }
            if files.is_empty() {
                files.push(asked);
            }
            Finding::NameOnly(files.into_iter().map(|asked| one(asked, &opened)).collect())
        }
    }
}

/// Judges one file. A list knows name and version of a package and not always all that its package URL
/// says (which file, which release of a distribution), so that statements on the very bytes say the rest; where
/// two are said, the better decision counts. The rest never chooses another rule.
fn by_its_name(
    policy: &Policy,
    asked: Asked,
    opened: &[Opened],
    memory: &Memory,
    now: Timestamp,
) -> Judged {
    let terms = Terms {
        now,
        memory,
        acknowledged: &[],
    };
    let rule = policy.rule(asked.purl.as_ref());
    let on_these = opened.iter().filter(|opened| {
        subject_of(opened).is_some_and(|sha256| match opened.verified.value() {
            Statement::Verdict(s) => asked.is(sha256, s.subject.digest.sha512),
            Statement::Withdrawn(_) | Statement::Build(_) => false,
        })
    });
    let on_these: Vec<Opened> = on_these.cloned().collect();
    let full = spellings(asked.purl.as_ref(), &on_these).into_iter();
    let full = full.filter(|purl| std::ptr::eq(policy.rule(Some(purl)), rule));
    let judged = full.map(|purl| {
        let asked = Asked {
            purl: Some(purl),
            ..asked.clone()
        };
        by_policy::judge(policy, &asked, opened, &terms)
    });
    let worth = |judged: &Judged| {
        let Judged { decision, .. } = judged;
        (decision.outcome, usize::MAX - decision.confirming)
    };
    let best = judged.min_by_key(worth);
    best.unwrap_or_else(|| by_policy::judge(policy, &asked, opened, &terms))
}

/// The package URLs in statements that say no less than this one, and nothing else.
fn spellings(purl: Option<&Purl>, opened: &[Opened]) -> BTreeSet<Purl> {
    let Some(purl) = purl else {
        return BTreeSet::new();
    };
    let said = opened.iter().filter_map(|o| match o.verified.value() {
        Statement::Verdict(statement) => statement.predicate.published.purl.as_deref(),
        Statement::Withdrawn(_) | Statement::Build(_) => None,
    });
    let parsed = said.filter_map(|text| text.parse::<Purl>().ok());
    parsed.filter(|said| said.refines(purl)).collect()
}
