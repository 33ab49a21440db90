//! The logic of `verify`: what given attestations say about given bytes, for given keys.
//!
//! [`decide`] is pure. It believes nothing but envelopes that one of the keys signed, and of those
//! only verdicts whose subject has every digest that is known. How it is shown is in [`render`], how
//! files are read in [`files`], how a rebuilder's service is asked in [`remote`].

use std::collections::BTreeSet;

use countersign_attest::bundle::{self, BundleError};
use countersign_attest::digest::{Digests, Sha256, Sha512};
use countersign_attest::dsse::{Limits, OpenError, Verified};
use countersign_attest::escape::printable;
use countersign_attest::key::PublicKey;
use countersign_attest::statement::predicate::DigestSet;
use countersign_attest::statement::{Statement, VerdictStatement};
use countersign_attest::time::Timestamp;
use countersign_attest::verdict::Verdict;

use crate::exit::Exit;

pub(crate) mod files;
pub(crate) mod remote;
pub(crate) mod render;
#[cfg(test)]
mod tests;

/// How far a rebuilder's clock may be ahead of ours, in seconds.
const CLOCK_SKEW_SECONDS: i64 = 600;

/// What is known of the file in question. At least one digest is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    /// The file's name as the user has it, where it is a file.
    pub(crate) file_name: Option<String>,
    /// Canonical package URL, where the user names one.
    pub(crate) purl: Option<String>,
    /// SHA-256, where known.
    pub(crate) sha256: Option<Sha256>,
    /// SHA-512, where known.
    pub(crate) sha512: Option<Sha512>,
}

impl Subject {
    /// A file whose bytes we have.
    pub(crate) fn of_file(file_name: Option<String>, digests: &Digests) -> Self {
        Self {
            file_name,
            purl: None,
            sha256: Some(digests.sha256),
            sha512: Some(digests.sha512),
        }
    }

    /// Whether a statement is about these bytes: every digest that both sides know is the same, and
    /// there is one such.
    fn is(&self, digest: &DigestSet) -> bool {
        let sha256 = self.sha256.map(|known| known == digest.sha256);
        let sha512 = self
            .sha512
            .zip(digest.sha512)
            .map(|(known, said)| known == said);
        let compared = [sha256, sha512];
        compared.contains(&Some(true)) && !compared.contains(&Some(false))
    }

    /// Whether a statement is about a file of this name or package version.
    fn is_named_like(&self, statement: &VerdictStatement) -> bool {
        let purl = self.purl.is_some() && self.purl == statement.predicate.published.purl;
        purl || self.file_name.as_deref() == Some(statement.subject.name.as_str())
    }
}

/// An envelope or a bundle as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attestation {
    /// Where it was found, for people.
    pub(crate) name: String,
    /// Its bytes, which anybody may have written.
    pub(crate) unverified_bytes: Vec<u8>,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    /// About which bytes.
    pub(crate) subject: &'a Subject,
    /// Whom the user believes.
    pub(crate) keys: &'a [PublicKey],
    /// Which verdicts are good enough; `reproduced` always is.
    pub(crate) accept: &'a BTreeSet<Verdict>,
    /// The time of asking.
    pub(crate) now: Timestamp,
}

/// What is answered, and from what.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decision {
    /// The answer.
    pub(crate) answer: Answer,
    /// The statement that decided, where one did.
    pub(crate) decided_by: Option<Said>,
    /// Other believed verdicts: superseded ones, and ones about other bytes.
    pub(crate) others: Vec<Said>,
    /// What was not believed, and why.
    pub(crate) problems: Vec<Problem>,
}

/// The answer. Each has one exit code of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A verdict that is good enough.
    Accepted(Verdict),
    /// A verdict on these bytes that is not.
    NotAccepted(Verdict),
    /// A file of this name or package version was attested, and it has other bytes.
    AnotherBinary,
    /// Everything that could be read is about some other file.
    AboutAnotherFile,
    /// There are attestations, and none is signed by a key that was given.
    BadSignature,
    /// There are attestations, and none can be read.
    Unreadable,
    /// There is no verdict at all.
    Nothing,
    /// There is no verdict on these bytes, and somebody who may have one could not be asked.
    Unreachable,
}

impl Answer {
    /// The word in JSON.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::NotAccepted(_) => "not-accepted",
            Self::AnotherBinary => "another-binary",
            Self::AboutAnotherFile => "about-another-file",
            Self::BadSignature => "bad-signature",
            Self::Unreadable => "unreadable",
            Self::Nothing => "nothing-found",
            Self::Unreachable => "unreachable",
        }
    }

    /// How it ends a command.
    pub(crate) const fn exit(self) -> Exit {
        match self {
            Self::Accepted(_) => Exit::Good,
            Self::NotAccepted(verdict) => Exit::of(verdict),
            Self::AnotherBinary => Exit::NotReproduced,
            Self::AboutAnotherFile | Self::BadSignature | Self::Unreadable | Self::Nothing => {
                Exit::NotMet
            }
            Self::Unreachable => Exit::Fault,
        }
    }
}

/// A believed verdict and where it was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Said {
    /// Where.
    pub(crate) name: String,
    /// By which of the given keys.
    pub(crate) signers: Vec<PublicKey>,
    /// What.
    pub(crate) statement: VerdictStatement,
    /// Whether it is about the bytes in question.
    pub(crate) is_about_subject: bool,
}

/// An attestation that was not believed, or a place from which none came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where it was found.
    pub(crate) name: String,
    /// What is wrong with it.
    pub(crate) kind: ProblemKind,
    /// In words; printable.
    pub(crate) message: String,
}

/// What may be wrong with an attestation or a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    /// No given key signed it.
    Signature,
    /// Not an envelope, not a bundle, or not a statement of ours.
    Unreadable,
    /// Decided in the future.
    FromTheFuture,
    /// No verdict: provenance or a build record.
    NoVerdict,
    /// A place that knows nothing of these bytes.
    NothingThere,
    /// A place that answers something else than what was asked.
    BadAnswer,
    /// A place that could not be asked, or is in trouble itself.
    Unreachable,
}

/// Answers a question from attestations of strangers, and from what went wrong while they were
/// gathered. A statement that comes in two forms or from two places counts once.
pub(crate) fn decide(
    question: &Question<'_>,
    attestations: &[Attestation],
    gathering: Vec<Problem>,
) -> Decision {
    let mut seen = BTreeSet::new();
    let mut about_subject = Vec::new();
    let mut others = Vec::new();
    let mut problems = gathering;
    for attestation in attestations {
        let verified = match open(question, attestation) {
            Ok(verified) => verified,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        if !seen.insert((verified.signed(), verified.signers().to_vec())) {
            continue;
        }
        match read(question, attestation, &verified) {
            Ok(said) if said.is_about_subject => about_subject.push(said),
            Ok(said) => others.push(said),
            Err(problem) => problems.push(problem),
        }
    }
    // the newest verdict counts; of two from one second, the worse
    about_subject.sort_by_key(|said| {
        (
            said.statement.predicate.decided_on,
            said.statement.predicate.verdict,
        )
    });
    let decided_by = about_subject.pop();
    let answer = match &decided_by {
        Some(said) => verdict_answer(question, said.statement.predicate.verdict),
        None => answer_without_verdict(question, &others, &problems),
    };
    others.extend(about_subject);
    Decision {
        answer,
        decided_by,
        others,
        problems,
    }
}

fn verdict_answer(question: &Question<'_>, verdict: Verdict) -> Answer {
    let widened = match verdict {
        Verdict::Reproduced => true,
        Verdict::Assisted | Verdict::Equivalent => question.accept.contains(&verdict),
        Verdict::Differs | Verdict::Unstable | Verdict::BuildFailed | Verdict::Indeterminate => {
            false
        }
    };
    if widened {
        Answer::Accepted(verdict)
    } else {
        Answer::NotAccepted(verdict)
    }
}

fn answer_without_verdict(
    question: &Question<'_>,
    others: &[Said],
    problems: &[Problem],
) -> Answer {
    let is = |kind| problems.iter().any(|problem| problem.kind == kind);
    if others
        .iter()
        .any(|said| question.subject.is_named_like(&said.statement))
    {
        Answer::AnotherBinary
    } else if others.is_empty() && is(ProblemKind::Signature) {
        Answer::BadSignature
    } else if others.is_empty()
        && (is(ProblemKind::Unreadable)
            || is(ProblemKind::FromTheFuture)
            || is(ProblemKind::BadAnswer))
    {
        Answer::Unreadable
    } else if is(ProblemKind::Unreachable) {
        Answer::Unreachable
    } else if others.is_empty() {
        Answer::Nothing
    } else {
        Answer::AboutAnotherFile
    }
}

fn problem(attestation: &Attestation, kind: ProblemKind, message: &str) -> Problem {
    Problem {
        name: attestation.name.clone(),
        kind,
        message: printable(message),
    }
}

fn open(
    question: &Question<'_>,
    attestation: &Attestation,
) -> Result<Verified<Statement>, Problem> {
    let bytes = &attestation.unverified_bytes;
    bundle::open_either(bytes, question.keys, 1, &Limits::default()).map_err(|error| match error {
        BundleError::Envelope(OpenError::Threshold { .. }) => {
            let message = "is not signed by the given key, or was changed since";
            problem(attestation, ProblemKind::Signature, message)
        }
        BundleError::Json(_)
        | BundleError::MediaType
        | BundleError::Signatures { .. }
        | BundleError::Envelope(
            OpenError::ZeroThreshold
            | OpenError::Envelope(_)
            | OpenError::PayloadType
            | OpenError::Base64
            | OpenError::TooManySignatures { .. }
            | OpenError::Statement(_),
        ) => {
            let message = format!("cannot be used: {}", Causes(&error));
            problem(attestation, ProblemKind::Unreadable, &message)
        }
    })
}

fn read(
    question: &Question<'_>,
    attestation: &Attestation,
    verified: &Verified<Statement>,
) -> Result<Said, Problem> {
    let statement = match verified.value() {
        Statement::Verdict(statement) => statement.as_ref().clone(),
        Statement::Build(_) => {
            let message = "says how files were built, not whether the published one is the same";
            return Err(problem(attestation, ProblemKind::NoVerdict, message));
        }
    };
    let decided_on = statement.predicate.decided_on;
    if decided_on > question.now.plus_seconds(CLOCK_SKEW_SECONDS) {
        let message = format!("says that it was decided in the future, on {decided_on}");
        return Err(problem(attestation, ProblemKind::FromTheFuture, &message));
    }
    Ok(Said {
        name: attestation.name.clone(),
        signers: verified.signers().to_vec(),
        is_about_subject: question.subject.is(&statement.subject.digest),
        statement,
    })
}

/// An error and its causes on one line.
struct Causes<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
