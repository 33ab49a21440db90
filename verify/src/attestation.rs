//! Attestations as they were found, and what came of opening them. Nothing here decides.

use std::collections::{BTreeMap, BTreeSet};

use countersign_attest::bundle::{self, BundleError};
use countersign_attest::decide::{Asked, Said, Testimony};
use countersign_attest::dsse::{Limits, OpenError, Verified};
use countersign_attest::escape::printable;
use countersign_attest::evidence::link;
use countersign_attest::key::PublicKey;
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

/// A statement whose signatures are good, and where it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// Where.
    pub name: String,
    /// What.
    pub verified: Verified<Statement>,
}

/// What somebody said, in whatever form, and where it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Where.
    pub name: String,
    /// What.
    pub testimony: Testimony,
}

/// Opens statements of ours, and evidence of other software, with some keys. What is said in two forms or
/// from two places counts once. What is no verdict and takes none back is passed over.
#[must_use]
pub fn hear_all(attestations: &[Attestation], keys: &[PublicKey]) -> (Vec<Heard>, Vec<Problem>) {
    let mut seen = BTreeSet::new();
    let mut heard = Vec::new();
    let mut problems = Vec::new();
    for attestation in attestations {
        let said = if link::is_link(&attestation.unverified_bytes) {
            open_link(attestation, keys).map(Some)
        } else {
            open(attestation, keys).map(|verified| Testimony::of(&verified, None))
        };
        match said {
            Err(problem) => problems.push(problem),
            Ok(None) => {}
            Ok(Some(testimony)) => {
                if seen.insert((testimony.statement, testimony.signers.clone())) {
                    let name = attestation.name.clone();
                    heard.push(Heard { name, testimony });
                }
            }
        }
    }
    (heard, problems)
}

fn open_link(attestation: &Attestation, keys: &[PublicKey]) -> Result<Testimony, Problem> {
    link::open(&attestation.unverified_bytes, keys).map_err(|error| {
        let (kind, message) = match error {
            link::LinkReadError::Signature => (ProblemKind::Signature, NOT_SIGNED.to_owned()),
            link::LinkReadError::Json(_) | link::LinkReadError::Claim(_) => {
                let message = format!("cannot be used: {}", causes(&error));
                (ProblemKind::Unreadable, message)
            }
        };
        Problem::with(&attestation.name, kind, &message)
    })
}

/// Opens attestations with some keys. A statement that comes in two forms or from two places counts
/// once.
#[must_use]
pub fn open_all(attestations: &[Attestation], keys: &[PublicKey]) -> (Vec<Opened>, Vec<Problem>) {
    let mut seen = BTreeSet::new();
    let mut opened = Vec::new();
    let mut problems = Vec::new();
    for attestation in attestations {
        match open(attestation, keys) {
            Err(problem) => problems.push(problem),
            Ok(verified) => {
                if seen.insert((verified.signed(), verified.signers().to_vec())) {
                    let name = attestation.name.clone();
                    opened.push(Opened { name, verified });
                }
            }
        }
    }
    (opened, problems)
}

fn open(attestation: &Attestation, keys: &[PublicKey]) -> Result<Verified<Statement>, Problem> {
    let bytes = &attestation.unverified_bytes;
    let problem = |kind, message: &str| Problem::with(&attestation.name, kind, message);
    bundle::open_either(bytes, keys, 1, &Limits::default()).map_err(|error| match error {
        BundleError::Envelope(OpenError::Threshold { .. }) => {
            problem(ProblemKind::Signature, NOT_SIGNED)
        }
        BundleError::Envelope(OpenError::Envelope(_)) if link::is_link(bytes) => problem(
            ProblemKind::NoVerdict,
            "is a link of other software, which only a policy counts",
        ),
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
        ) => {
            let message = format!("cannot be used: {}", causes(&error));
            problem(ProblemKind::Unreadable, &message)
        }
    })
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
