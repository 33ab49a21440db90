//! Judges a file by keys: what given attestations say about given bytes, for the keys that a user names.
//!
//! [`decide`] is pure. It believes nothing but what one of the keys signed, and of that only verdicts
//! whose subject has every digest that is known. Evidence of other software counts as what it says, which is less.

use std::collections::BTreeSet;

use countersign_attest::decide::{
    Asked, CLOCK_SKEW_SECONDS, Said as Spoken, Testimony, VerdictSaid,
};
use countersign_attest::digest::Sha256;
use countersign_attest::key::{AnyPublicKey, PublicKey};
use countersign_attest::statement::{Statement, VerdictStatement};
use countersign_attest::time::Timestamp;
use countersign_attest::verdict::Verdict;

use crate::attestation::{Attestation, Content, Opened, Problem, ProblemKind, open_all};
use crate::exit::Exit;

#[cfg(test)]
mod tests;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// About which bytes.
    pub subject: &'a Asked,
    /// Whom the user believes.
    pub keys: &'a [AnyPublicKey],
    /// Which verdicts are good enough; `reproduced` always is.
    pub accept: &'a BTreeSet<Verdict>,
    /// The time of asking.
    pub now: Timestamp,
}

/// What is answered, and from what.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The answer.
    pub answer: Answer,
    /// The statement that decided, where one did.
    pub decided_by: Option<Said>,
    /// Other believed verdicts: superseded ones, and ones about other bytes.
    pub others: Vec<Said>,
    /// What was not believed, and why.
    pub problems: Vec<Problem>,
}

/// The answer. Each has one exit code of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A verdict that is good enough.
    Accepted(Verdict),
    /// A verdict on these bytes that is not.
    NotAccepted(Verdict),
    /// There was a verdict, and who signed it took it back.
    Withdrawn,
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
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::NotAccepted(_) => "not-accepted",
            Self::Withdrawn => "withdrawn",
            Self::AnotherBinary => "another-binary",
            Self::AboutAnotherFile => "about-another-file",
            Self::BadSignature => "bad-signature",
            Self::Unreadable => "unreadable",
            Self::Nothing => "nothing-found",
            Self::Unreachable => "unreachable",
        }
    }

    /// How it ends a command.
    #[must_use]
    pub const fn exit(self) -> Exit {
        match self {
            Self::Accepted(_) => Exit::Good,
            Self::NotAccepted(verdict) => Exit::of(verdict),
            Self::AnotherBinary => Exit::NotReproduced,
            Self::Withdrawn
            | Self::AboutAnotherFile
            | Self::BadSignature
            | Self::Unreadable
            | Self::Nothing => Exit::NotMet,
            Self::Unreachable => Exit::Fault,
        }
    }
}

/// A believed verdict and where it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// Where.
    pub name: String,
    /// By which of the given keys.
    pub signers: Vec<AnyPublicKey>,
    /// What.
    pub said: VerdictSaid,
    /// The whole of it, where it is a statement of ours.
    pub statement: Option<Box<VerdictStatement>>,
    /// Whether it is about the bytes in question.
    pub is_about_subject: bool,
}

/// Answers a question from attestations of strangers, and from what went wrong while they were
/// gathered. A statement that comes in two forms or from two places counts once.
#[must_use]
pub fn decide(
    question: &Question<'_>,
    attestations: &[Attestation],
    gathering: Vec<Problem>,
) -> Decision {
    let mut about_subject = Vec::new();
    let mut others = Vec::new();
    let mut problems = gathering;
    let (opened, unopened) = open_all(attestations, question.keys);
    problems.extend(unopened);
    let withdrawn = Withdrawn::among(&opened);
    for opened in &opened {
        let name = &opened.name;
        match read(question, opened) {
            Ok(said) if said.is_about_subject => {
                let is_withdrawn = withdrawn.includes(opened, &said);
                if is_withdrawn {
                    let message = "was withdrawn by who signed it";
                    problems.push(Problem::with(name, ProblemKind::Withdrawn, message));
                }
                about_subject.push((said, is_withdrawn));
            }
            Ok(said) => others.push(said),
            Err(problem) => problems.push(problem),
        }
    }
    // the newest verdict counts; of two from one second, the worse; what has no time is older than all
    about_subject.sort_by_key(|(said, _)| (said.said.decided_on, said.said.verdict));
    let newest = about_subject.pop();
    others.extend(about_subject.into_iter().map(|(said, _)| said));
    let (answer, decided_by) = match newest {
        // behind a withdrawn verdict no older one appears
        Some((said, true)) => {
            others.push(said);
            (Answer::Withdrawn, None)
        }
        Some((said, false)) => {
            let answer = verdict_answer(question, said.said.verdict);
            (answer, Some(said))
        }
        None => (answer_without_verdict(question, &others, &problems), None),
    };
    Decision {
        answer,
        decided_by,
        others,
        problems,
    }
}

/// Every statement that was taken back: nobody takes back another's.
struct Withdrawn<'a> {
    /// By the key that did.
    by_key: BTreeSet<(PublicKey, Sha256)>,
    /// By the rebuilder that says it did, under any key that the user believes: after a rotation it has
    /// another one. Who believes a key believes its newer verdicts over others' anyhow.
    by_rebuilder: BTreeSet<(&'a str, Sha256)>,
    /// On which bytes a key took something back. What has no time, as a link of the same key, is taken for
    /// what was meant.
    on_bytes: BTreeSet<(PublicKey, Sha256)>,
}

impl<'a> Withdrawn<'a> {
    fn among(opened: &'a [Opened]) -> Self {
        let (mut by_key, mut by_rebuilder) = (BTreeSet::new(), BTreeSet::new());
        let mut on_bytes = BTreeSet::new();
        for Opened { content, .. } in opened {
            if let Content::Statement(verified) = content
                && let Statement::Withdrawn(statement) = verified.value()
            {
                let predicate = &statement.predicate;
                let taken_back = predicate.withdraws.statement;
                let bytes = statement.subject.digest.sha256;
                by_key.extend(verified.signers().iter().map(|key| (*key, taken_back)));
                by_rebuilder.insert((predicate.rebuilder.id.as_str(), taken_back));
                on_bytes.extend(verified.signers().iter().map(|key| (*key, bytes)));
            }
        }
        Self {
            by_key,
            by_rebuilder,
            on_bytes,
        }
    }

    fn includes(&self, Opened { content, .. }: &Opened, said: &Said) -> bool {
        match content {
            Content::Statement(verified) => {
                let signed = verified.signed();
                let statement = said.statement.as_ref();
                let rebuilder = statement.map(|s| s.predicate.rebuilder.id.as_str());
                let taken_back = |key: &PublicKey| self.by_key.contains(&(*key, signed));
                rebuilder.is_some_and(|id| self.by_rebuilder.contains(&(id, signed)))
                    || verified.signers().iter().all(taken_back)
            }
            Content::Evidence(testimony) => {
                let mut signers = testimony.signers.iter().filter_map(AnyPublicKey::ed25519);
                said.said.decided_on.is_none()
                    && signers.any(|key| self.on_bytes.contains(&(key, said.said.sha256)))
            }
        }
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
        .any(|said| is_named_like(question.subject, &said.said))
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

fn read(question: &Question<'_>, Opened { name, content }: &Opened) -> Result<Said, Problem> {
    let problem = |kind, message: &str| Err(Problem::with(name, kind, message));
    let testimony = content.testimony();
    let Some(Testimony { said, signers, .. }) = testimony else {
        let message = "says how files were built, not whether the published one is the same";
        return problem(ProblemKind::NoVerdict, message);
    };
    let Spoken::Verdict(said) = said else {
        let message = "takes an earlier verdict back";
        return problem(ProblemKind::NoVerdict, message);
    };
    if let Some(decided_on) = said.decided_on
        && decided_on > question.now.plus_seconds(CLOCK_SKEW_SECONDS)
    {
        let message = format!("says that it was decided in the future, on {decided_on}");
        return problem(ProblemKind::FromTheFuture, &message);
    }
    let statement = match content {
        Content::Statement(verified) => match verified.value() {
            Statement::Verdict(statement) => Some(statement.clone()),
            Statement::Withdrawn(_) | Statement::Build(_) => None,
        },
        Content::Evidence(_) => None,
    };
    Ok(Said {
        name: name.clone(),
        signers,
        is_about_subject: question.subject.is(said.sha256, said.sha512),
        said: *said,
        statement,
    })
}

/// Whether a verdict is about a file of this name or package version.
fn is_named_like(asked: &Asked, said: &VerdictSaid) -> bool {
    let is_package = asked.purl.as_ref().is_some_and(|purl| said.is_of(purl));
    is_package || asked.file_name.as_deref() == Some(said.file_name.as_str())
}
