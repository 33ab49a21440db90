//! What must hold in a verdict. The signer refuses to sign, and a reader refuses to believe, exactly
//! the same contradictions.

use std::collections::BTreeSet;

use super::facts::{Assist, Build, Exit, LimitKind, Network, SignatureState};
use super::predicate::{
    DigestSet, Subject, TagField, TagKind, VerdictPredicate, WithdrawnPredicate, WithdrawsField,
};
use super::text;
use super::types;
use crate::digest::Sha256;
use crate::origin::{AssistKind, Origin};
use crate::purl::Purl;
use crate::verdict::{Reason, Verdict};

use super::contradiction::Contradiction;

/// Checks a verdict's predicate against its subject and its type.
pub(super) fn check(
    predicate_type: &str,
    subject: &Subject,
    predicate: &VerdictPredicate,
) -> Result<(), Contradiction> {
    if types::of_verdict(predicate.verdict) != predicate_type {
        return Err(Contradiction::PredicateType {
            verdict: predicate.verdict,
            predicate_type: predicate_type.to_owned(),
        });
    }
    let published = &predicate.published;
    if subject.name != published.file_name || subject.digest != published.digest {
        return Err(Contradiction::Subject);
    }
    if let Some(purl) = &published.purl {
        purl.parse::<Purl>().map_err(Contradiction::Purl)?;
    }
    text::check_verdict(predicate)?;
    check_signature(&predicate.source.tag)?;
    let tag_object = predicate.source.digest.git_tag.is_some();
    if tag_object != (predicate.source.tag.kind == TagKind::Annotated) {
        return Err(Contradiction::Tag);
    }
    check_runs(predicate)?;
    check_reason(predicate)?;
    check_assisted_by(predicate)?;
    check_bytes(predicate)?;
    check_comparison(predicate)?;
    // what was varied is a build
    let built = predicate.build.is_some();
    refuse_if(
        !built && !predicate.variations.is_empty(),
        Contradiction::VariationsUnexpected,
    )
}

/// Checks a withdrawal against its subject.
pub(super) fn check_withdrawn(
    subject: &Subject,
    predicate: &WithdrawnPredicate,
) -> Result<(), Contradiction> {
    let published = &predicate.published;
    if subject.name != published.file_name || subject.digest != published.digest {
        return Err(Contradiction::Subject);
    }
    if let Some(purl) = &published.purl {
        purl.parse::<Purl>().map_err(Contradiction::Purl)?;
    }
    let WithdrawsField {
        verdict,
        predicate_type,
        decided_on,
        ..
    } = &predicate.withdraws;
    if types::of_verdict(*verdict) != predicate_type {
        return Err(Contradiction::PredicateType {
            verdict: *verdict,
            predicate_type: predicate_type.clone(),
        });
    }
    if predicate.withdrawn_on < *decided_on {
        return Err(Contradiction::Withdrawal("is older than what it withdraws"));
    }
    text::check_withdrawn(predicate)
}

/// Checks what only the signer knows: where the values of the plan came from.
pub(super) fn check_origins(verdict: Verdict, origins: &[Origin]) -> Result<(), Contradiction> {
    match verdict {
        Verdict::Reproduced | Verdict::Assisted | Verdict::Equivalent if origins.is_empty() => {
            Err(Contradiction::OriginsMissing(verdict))
        }
        Verdict::Reproduced | Verdict::Equivalent if origins.contains(&Origin::Artifact) => {
            Err(Contradiction::ArtifactOrigin(verdict))
        }
        Verdict::Reproduced
        | Verdict::Assisted
        | Verdict::Equivalent
        | Verdict::Differs
        | Verdict::Unstable
        | Verdict::BuildFailed
        | Verdict::Indeterminate => Ok(()),
    }
}

/// A state says whether there is a signature and whether a key is known of it; only a tag object can
/// bear one.
fn check_signature(tag: &TagField) -> Result<(), Contradiction> {
    let signature = &tag.signature;
    let (is_signed, has_key) = (
        signature.format.is_some(),
        signature.key_fingerprint.is_some(),
    );
    let (word, fits) = match signature.state {
        SignatureState::Valid => ("VALID", is_signed && has_key),
        SignatureState::ExpiredKey => ("EXPIRED_KEY", is_signed && has_key),
        SignatureState::UnknownKey => ("UNKNOWN_KEY", is_signed),
        SignatureState::Invalid => ("INVALID", is_signed && !has_key),
        SignatureState::Unsigned => ("UNSIGNED", !is_signed && !has_key),
        SignatureState::Unchecked => ("UNCHECKED", !has_key),
    };
    let fits = fits && (!is_signed || tag.kind == TagKind::Annotated);
    if let Some(key) = &signature.key_fingerprint {
        text::plain("source.tag.signature.keyFingerprint", key)?;
    }
    refuse_if(!fits, Contradiction::Signature(word))
}

/// Checks what replays were served: nothing without a network, and never the very bytes that a good
/// verdict is about (ATTESTATION section 3.2).
pub(super) fn check_inputs(
    verdict: Verdict,
    build: &Build,
    predicate: &VerdictPredicate,
) -> Result<(), Contradiction> {
    match build.network {
        Network::None => refuse_if(!build.inputs.is_empty(), Contradiction::InputsUnexpected)?,
        Network::Replay => {}
    }
    let unsorted = build
        .inputs
        .windows(2)
        .any(|pair| matches!(pair, [a, b] if a.request >= b.request));
    refuse_if(unsorted, Contradiction::InputsUnsorted)?;
    for input in &build.inputs {
        text::plain("build.inputs", &input.request)?;
    }
    check_own_releases(verdict, build, predicate)?;
    let is_input = |digest: Sha256| build.inputs.iter().any(|input| input.sha256 == digest);
    let fetched = predicate
        .rebuilt
        .iter()
        .any(|rebuilt| is_input(rebuilt.digest.sha256));
    match verdict {
        Verdict::Reproduced | Verdict::Assisted | Verdict::Equivalent => {
            refuse_if(fetched, Contradiction::Fetched(verdict))
        }
        Verdict::Differs | Verdict::Unstable | Verdict::BuildFailed | Verdict::Indeterminate => {
            Ok(())
        }
    }
}

/// What a registry has under the name of the package under test decides nothing in silence: a good verdict
/// on a build that was served some of it is `assisted`, and names each input (ATTESTATION section 3.2).
fn check_own_releases(
    verdict: Verdict,
    build: &Build,
    predicate: &VerdictPredicate,
) -> Result<(), Contradiction> {
    let purl = predicate.published.purl.as_deref();
    let purl = purl.map(str::parse::<Purl>).transpose();
    let purl = purl.map_err(Contradiction::Purl)?;
    let named = || {
        let own = |a: &&Assist| a.kind == AssistKind::OwnRelease;
        predicate.assisted_by.iter().filter(own)
    };
    for input in &build.inputs {
        let own = purl
            .as_ref()
            .is_some_and(|purl| purl.is_requested_by(&input.request));
        let said = named().any(|assist| assist.sha256 == input.sha256);
        match verdict {
            Verdict::Reproduced | Verdict::Assisted | Verdict::Equivalent if own && !said => {
                return Err(Contradiction::OwnRelease {
                    verdict,
                    request: input.request.clone(),
                });
            }
            Verdict::Reproduced
            | Verdict::Assisted
            | Verdict::Equivalent
            | Verdict::Differs
            | Verdict::Unstable
            | Verdict::BuildFailed
            | Verdict::Indeterminate => {}
        }
    }
    let served = |assist: &Assist| {
        let mut inputs = build.inputs.iter();
        inputs.any(|input| input.sha256 == assist.sha256)
    };
    refuse_if(!named().all(served), Contradiction::OwnReleaseUnserved)
}

/// Every rebuilt file has a run of its own that ended well, and whatever was built was pinned.
fn check_runs(predicate: &VerdictPredicate) -> Result<(), Contradiction> {
    let runs = predicate
        .build
        .as_ref()
        .map_or(&[][..], |build| &build.runs);
    let mut used = BTreeSet::new();
    for rebuilt in &predicate.rebuilt {
        let run = rebuilt.annotations.run;
        let index = usize::try_from(run).unwrap_or(usize::MAX);
        let completed = runs
            .get(index)
            .is_some_and(|run| run.exit == Exit::Completed);
        if !completed || !used.insert(run) {
            return Err(Contradiction::Run(run));
        }
    }
    if predicate.build.is_some() && predicate.source.tree_sha256.is_none() {
        return Err(Contradiction::TreeMissing);
    }
    Ok(())
}

fn check_reason(predicate: &VerdictPredicate) -> Result<(), Contradiction> {
    let verdict = predicate.verdict;
    let Some(reason) = predicate.reason else {
        return match verdict {
            Verdict::Reproduced | Verdict::Assisted | Verdict::Equivalent => Ok(()),
            Verdict::Differs
            | Verdict::Unstable
            | Verdict::BuildFailed
            | Verdict::Indeterminate => Err(Contradiction::ReasonMissing(verdict)),
        };
    };
    if reason.verdict() != verdict {
        return Err(Contradiction::ReasonOfAnother { verdict, reason });
    }
    if is_denied(reason, predicate) {
        return Err(Contradiction::ReasonDenied(reason));
    }
    Ok(())
}

/// Whether the facts deny a reason. Where the facts say nothing of it, they do not.
fn is_denied(reason: Reason, predicate: &VerdictPredicate) -> bool {
    let ended = |like: fn(&Exit) -> bool| {
        predicate
            .build
            .as_ref()
            .is_some_and(|build| build.runs.iter().any(|run| like(&run.exit)))
    };
    let digest = &predicate.published.digest;
    let same_bytes = predicate
        .rebuilt
        .iter()
        .any(|rebuilt| is_same(&rebuilt.digest, digest));
    match reason {
        Reason::StepFailed => !ended(|exit| {
            matches!(
                exit,
                Exit::Exited { .. } | Exit::Signalled { .. } | Exit::NotStarted { .. }
            )
        }),
        Reason::TimedOut => !ended(|exit| matches!(exit, Exit::TimedOut { .. })),
        Reason::Silent => !ended(|exit| reached(exit, LimitKind::Silence)),
        Reason::OutOfMemory => !ended(|exit| reached(exit, LimitKind::Memory)),
        Reason::OutOfProcesses => !ended(|exit| reached(exit, LimitKind::Processes)),
        Reason::OutOfDisk => !ended(|exit| reached(exit, LimitKind::Disk)),
        Reason::OutputRejected => !ended(|exit| matches!(exit, Exit::OutputRejected)),
        // a build can complete and leave other files than the one that was published
        Reason::OutputMissing => {
            !ended(|exit| matches!(exit, Exit::OutputMissing | Exit::Completed))
        }
        Reason::TagMoved => predicate.source.tag.moved_from.is_none(),
        Reason::NotComparable
        | Reason::ContainerDiffers
        | Reason::ComparisonFailed
        | Reason::DigestOnly => same_bytes,
        Reason::ContentDiffers
        | Reason::RebuildsDisagree
        | Reason::Prebuilt
        | Reason::EvidenceContradicts
        | Reason::BuildStepUnsupported
        | Reason::SourceIncomplete
        | Reason::DependenciesUndated
        | Reason::DependenciesElsewhere
        | Reason::NoRecipe
        | Reason::ToolchainUnavailable
        | Reason::InputsChosenByArtifact => false,
    }
}

fn reached(exit: &Exit, kind: LimitKind) -> bool {
    matches!(exit, Exit::LimitReached { limit, .. } if *limit == kind)
}

fn check_assisted_by(predicate: &VerdictPredicate) -> Result<(), Contradiction> {
    let verdict = predicate.verdict;
    let is_assisted = verdict == Verdict::Assisted;
    let nothing_copied = predicate.assisted_by.is_empty();
    refuse_if(is_assisted && nothing_copied, Contradiction::AssistMissing)?;
    refuse_if(
        !is_assisted && !nothing_copied,
        Contradiction::AssistUnexpected(verdict),
    )
}

/// The equality of bytes, from which `reproduced` and `assisted` come and nothing else.
fn check_bytes(predicate: &VerdictPredicate) -> Result<(), Contradiction> {
    let verdict = predicate.verdict;
    let digest = &predicate.published.digest;
    let equal = predicate
        .rebuilt
        .iter()
        .filter(|r| is_same(&r.digest, digest))
        .count();
    let found = predicate.rebuilt.len();
    let distinct: BTreeSet<Sha256> = predicate.rebuilt.iter().map(|r| r.digest.sha256).collect();
    let too_few = || Contradiction::TooFewRebuilt { verdict, found };
    if verdict == Verdict::Indeterminate {
        return Ok(());
    }
    refuse_if(
        predicate.build.is_none(),
        Contradiction::BuildMissing(verdict),
    )?;
    match verdict {
        Verdict::Reproduced | Verdict::Assisted => {
            refuse_if(found < 2, too_few())?;
            refuse_if(equal < found, Contradiction::NotPublishedBytes(verdict))
        }
        Verdict::Equivalent | Verdict::Differs => {
            refuse_if(found < 2, too_few())?;
            refuse_if(equal > 0, Contradiction::PublishedBytes(verdict))?;
            refuse_if(distinct.len() > 1, Contradiction::RebuiltDisagree(verdict))
        }
        Verdict::Unstable => {
            let agree = distinct.len() < 2 && !is_split(predicate);
            refuse_if(agree, Contradiction::RebuiltAgree)
        }
        Verdict::BuildFailed => refuse_if(equal > 0, Contradiction::PublishedBytes(verdict)),
        Verdict::Indeterminate => Ok(()),
    }
}

/// Whether some runs of the plan ended well, or made the artifact, and some did not.
fn is_split(predicate: &VerdictPredicate) -> bool {
    let runs = predicate
        .build
        .as_ref()
        .map_or(&[][..], |build| &build.runs);
    let completed = runs
        .iter()
        .filter(|run| run.exit == Exit::Completed)
        .count();
    [completed, predicate.rebuilt.len()]
        .iter()
        .any(|some| (1..runs.len()).contains(some))
}

fn check_comparison(predicate: &VerdictPredicate) -> Result<(), Contradiction> {
    let verdict = predicate.verdict;
    let wrong = |problem| Err(Contradiction::Comparison { verdict, problem });
    let Some(comparison) = &predicate.comparison else {
        return match verdict {
            Verdict::Equivalent | Verdict::Differs => wrong("without a comparison"),
            Verdict::Reproduced
            | Verdict::Assisted
            | Verdict::Unstable
            | Verdict::BuildFailed
            | Verdict::Indeterminate => Ok(()),
        };
    };
    let differing = !comparison.differing_members.is_empty() || comparison.unlisted_members > 0;
    let normalized = !comparison.normalizations.is_empty();
    let shared = comparison.normalized_digest.is_some();
    match verdict {
        Verdict::Equivalent if !normalized => wrong("without a normalization"),
        Verdict::Equivalent if !shared => wrong("without the digest of what is the same"),
        Verdict::Equivalent if differing => wrong("with members that differ"),
        Verdict::Differs if !differing => wrong("without a member that differs"),
        Verdict::Differs | Verdict::Indeterminate if normalized || shared => {
            wrong("with normalizations that make both sides equal")
        }
        Verdict::Equivalent | Verdict::Differs | Verdict::Indeterminate => Ok(()),
        Verdict::Reproduced | Verdict::Assisted | Verdict::Unstable | Verdict::BuildFailed => {
            wrong("with a comparison")
        }
    }
}

fn refuse_if(wrong: bool, error: Contradiction) -> Result<(), Contradiction> {
    if wrong { Err(error) } else { Ok(()) }
}

/// Whether every digest that both sides list is the same.
fn is_same(a: &DigestSet, b: &DigestSet) -> bool {
    a.sha256 == b.sha256 && !matches!((a.sha512, b.sha512), (Some(a), Some(b)) if a != b)
}
