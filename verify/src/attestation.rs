//! Attestations as they were found, and what came of opening them. Nothing here decides.

use std::collections::{BTreeMap, BTreeSet};

use countersign_attest::bundle::{self, BundleError};
use countersign_attest::decide::{Asked, Said, Testimony};
use countersign_attest::digest::Sha256;
use countersign_attest::dsse::{Limits, OpenError, Verified};
use countersign_attest::escape::printable;
use countersign_attest::evidence::link::{self, LinkReadError};
use countersign_attest::evidence::oss_rebuild::{
    self, Equivalence, OssRebuild, OssRebuildError, Rebuild,
};
use countersign_attest::key::{AnyPublicKey, EcdsaP256Key, PublicKey};
use countersign_attest::statement::Statement;

/// An envelope or a bundle as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// Where it was found, for people.
    pub name: String,
    /// Its bytes, which anybody may have written.
    pub unverified_bytes: Vec<u8>,
}

/// An attestation that was not believed, or a place from which none came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was found.
    pub name: String,
    /// What is wrong with it.
    pub kind: ProblemKind,
    /// In words; printable.
    pub message: String,
}

/// What may be wrong with an attestation or a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// No given key signed it.
    Signature,
    /// Not an envelope, not a bundle, or not a statement of ours.
    Unreadable,
    /// Decided in the future.
    FromTheFuture,
    /// No verdict: provenance, a build record, or a withdrawal.
    NoVerdict,
    /// Who signed it took it back.
    Withdrawn,
    /// A place that knows nothing of these bytes.
    NothingThere,
    /// A place that answers something else than what was asked.
    BadAnswer,
    /// A place that could not be asked, or is in trouble itself.
    Unreachable,
}

impl ProblemKind {
    /// The code in JSON.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Signature => "bad-signature",
            Self::Unreadable => "unreadable",
            Self::FromTheFuture => "from-the-future",
            Self::NoVerdict => "no-verdict",
            Self::Withdrawn => "withdrawn",
            Self::NothingThere => "nothing-there",
            Self::BadAnswer => "bad-answer",
            Self::Unreachable => "unreachable",
        }
    }
}

impl Problem {
    /// Something that is wrong with an attestation.
    #[must_use]
    pub fn with(attestation: &str, kind: ProblemKind, message: &str) -> Self {
        Self {
            name: attestation.to_owned(),
            kind,
            message: printable(message),
        }
    }
}

/// What is said of an attestation that no key made as it stands there.
const NOT_SIGNED: &str = "is not signed by a given key, or was changed since";

/// What somebody said under a key that was given, and where it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// Where.
    pub name: String,
    /// What.
    pub content: Content,
}

/// What was opened.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A statement of ours.
    Statement(Verified<Statement>),
    /// Evidence of other software.
    Evidence(Testimony),
}

impl Content {
    /// What a decision takes of it; `None` for statements about builds, which are no verdicts.
    #[must_use]
    pub fn testimony(&self) -> Option<Testimony> {
        match self {
            Self::Statement(verified) => Testimony::of(verified, None),
            Self::Evidence(testimony) => Some(testimony.clone()),
        }
    }

    /// What tells it from others: what is signed, and by whom. In whatever form it comes, it is one.
    fn identity(&self) -> (Sha256, Vec<AnyPublicKey>) {
        match self {
            Self::Statement(verified) => {
                let signers = verified.signers().iter().copied();
                (verified.signed(), signers.map(Into::into).collect())
            }
            Self::Evidence(testimony) => (testimony.statement, testimony.signers.clone()),
        }
    }
}

/// What somebody said, in whatever form, and where it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Where.
    pub name: String,
    /// What.
    pub testimony: Testimony,
}

/// The same as [`open_all`] for those who only decide: what is no verdict and takes none back is passed over.
#[must_use]
pub fn hear_all(attestations: &[Attestation], keys: &[AnyPublicKey]) -> (Vec<Heard>, Vec<Problem>) {
    let (opened, problems) = open_all(attestations, keys);
    let heard = opened.into_iter().filter_map(|Opened { name, content }| {
        let testimony = content.testimony()?;
        Some(Heard { name, testimony })
    });
    (heard.collect(), problems)
}

/// Opens statements of ours, and evidence of other software, with some keys. What comes in two forms or from
/// two places counts once.
#[must_use]
pub fn open_all(
    attestations: &[Attestation],
    keys: &[AnyPublicKey],
) -> (Vec<Opened>, Vec<Problem>) {
    let keys = Keys::of(keys);
    let mut all = Vec::new();
    let mut problems = Vec::new();
    let mut runs = Runs::default();
    for attestation in attestations {
        let bytes = &attestation.unverified_bytes;
        let opened = if link::is_link(bytes) {
            open_link(attestation, &keys.ed25519).map(Content::Evidence)
        } else if !keys.ecdsa_p256.is_empty() && oss_rebuild::is_oss_rebuild(bytes) {
            problems.extend(runs.take(attestation, &keys.ecdsa_p256).err());
            continue;
        } else {
            open(attestation, &keys.ed25519).map(Content::Statement)
        };
        match opened {
            Err(problem) => problems.push(problem),
            Ok(content) => all.push(Opened {
                name: attestation.name.clone(),
                content,
            }),
        }
    }
    let (of_runs, unused) = runs.testimonies();
    all.extend(of_runs);
    problems.extend(unused);
    let mut seen = BTreeSet::new();
    all.retain(|opened| seen.insert(opened.content.identity()));
    (all, problems)
}

/// Keys by what may be signed with them.
struct Keys {
    ed25519: Vec<PublicKey>,
    ecdsa_p256: Vec<EcdsaP256Key>,
}

impl Keys {
    fn of(keys: &[AnyPublicKey]) -> Self {
        Self {
            ed25519: keys.iter().filter_map(AnyPublicKey::ed25519).collect(),
            ecdsa_p256: keys.iter().filter_map(AnyPublicKey::ecdsa_p256).collect(),
        }
    }
}

/// Attestations of OSS Rebuild: two of a run say together what neither says alone, wherever each was found.
#[derive(Default)]
struct Runs {
    equivalences: Vec<(String, Equivalence)>,
    rebuilds: Vec<(String, Rebuild)>,
}

impl Runs {
    fn take(&mut self, attestation: &Attestation, keys: &[EcdsaP256Key]) -> Result<(), Problem> {
        let name = attestation.name.clone();
        match oss_rebuild::open(&attestation.unverified_bytes, keys) {
            Ok(OssRebuild::Equivalence(compared)) => self.equivalences.push((name, *compared)),
            Ok(OssRebuild::Rebuild(built)) => self.rebuilds.push((name, *built)),
            Err(OssRebuildError::Signature) => {
                return Err(Problem::with(&name, ProblemKind::Signature, NOT_SIGNED));
            }
            Err(error) => return Err(unusable(&name, &error)),
        }
        Ok(())
    }

    fn testimonies(self) -> (Vec<Opened>, Vec<Problem>) {
        let mut opened = Vec::new();
        let mut problems = Vec::new();
        let rebuilds: Vec<Rebuild> = self.rebuilds.iter().map(|(_, r)| r.clone()).collect();
        for (name, compared) in &self.equivalences {
            let name = name.clone();
            match compared.testimony(&rebuilds) {
                Ok(testimony) => opened.push(Opened {
                    name,
                    content: Content::Evidence(testimony),
                }),
                Err(error) => problems.push(unusable(&name, &error)),
            }
        }
        for (name, built) in &self.rebuilds {
            if !self
                .equivalences
                .iter()
                .any(|(_, compared)| built.is_of(compared))
            {
                let message = "says how a file was built, not which published file is the same";
                problems.push(Problem::with(name, ProblemKind::NoVerdict, message));
            }
        }
        (opened, problems)
    }
}

fn open_link(attestation: &Attestation, keys: &[PublicKey]) -> Result<Testimony, Problem> {
    let name = &attestation.name;
    link::open(&attestation.unverified_bytes, keys).map_err(|error| match error {
        LinkReadError::Signature => Problem::with(name, ProblemKind::Signature, NOT_SIGNED),
        LinkReadError::Json(_) | LinkReadError::Claim(_) => unusable(name, &error),
    })
}

fn open(attestation: &Attestation, keys: &[PublicKey]) -> Result<Verified<Statement>, Problem> {
    let (name, bytes) = (&attestation.name, &attestation.unverified_bytes);
    bundle::open_either(bytes, keys, 1, &Limits::default()).map_err(|error| match error {
        BundleError::Envelope(OpenError::Threshold { .. }) => {
            Problem::with(name, ProblemKind::Signature, NOT_SIGNED)
        }
        BundleError::Json(_)
        | BundleError::MediaType
        | BundleError::Signatures { .. }
        | BundleError::Envelope(
            OpenError::ZeroThreshold
            | OpenError::Envelope(_)
            | OpenError::PayloadType { .. }
            | OpenError::Declaration(_)
            | OpenError::Base64
            | OpenError::TooManySignatures { .. }
            | OpenError::Statement(_),
        ) => unusable(name, &error),
    })
}

fn unusable(name: &str, error: &dyn std::error::Error) -> Problem {
    let message = format!("cannot be used: {}", causes(error));
    Problem::with(name, ProblemKind::Unreadable, &message)
}

/// The files that are asked about. Where only a package is named these are all files that somebody
/// attested as this version of it, by name and digest.
#[must_use]
pub fn subjects(asked: &Asked, heard: &[Heard]) -> Vec<Asked> {
    let Some(purl) = asked.purl.as_ref().filter(|_| !has_digest(asked)) else {
        return vec![asked.clone()];
    };
    let mut found = BTreeMap::new();
    for heard in heard {
        let Said::Verdict(said) = &heard.testimony.said else {
            continue;
        };
        if !said.is_of(purl) {
            continue;
        }
        let entry = found.entry((said.file_name.clone(), said.sha256));
        let entry = entry.or_insert(None);
        *entry = entry.or(said.sha512);
    }
    if found.is_empty() {
        return vec![asked.clone()];
    }
    found
        .into_iter()
        .map(|((name, sha256), sha512)| Asked {
            purl: Some(purl.clone()),
            file_name: Some(name),
            sha256: Some(sha256),
            sha512,
        })
        .collect()
}

const fn has_digest(asked: &Asked) -> bool {
    asked.sha256.is_some() || asked.sha512.is_some()
}

/// An error and its causes on one line.
#[must_use]
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
