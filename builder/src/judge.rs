//! Decides the verdict on one published artifact. Pure: facts in, judgement out.
//!
//! The order of the questions is the order of the rules: did it build, did it build the same twice,
//! was it built at all, are the bytes equal, what did the comparison say. A good verdict comes only
//! from the equality of digests that the host took itself.
//!
//! Builds that a verdict needs: `build-failed` stands after one, since a second try could only turn it
//! into `unstable`, which says less; every other verdict needs two. Where one of two builds fails and
//! the other does not, that is `unstable`: our own rebuilds disagree.

use countersign_attest::digest::Digests;
use countersign_attest::escape::printable;
use countersign_attest::origin::{AssistKind, Origin};
use countersign_attest::verdict::{Reason, Verdict};
use serde::{Deserialize, Serialize};

use crate::compare::{Comparison, DifferenceKind, MemberDifference};
use crate::outcome::{Ended, LimitKind, Outcome};
use crate::plan::Plan;
use crate::release::Published;

mod tools;

pub use tools::other_compilers;

/// The facts about one artifact under one plan.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// What was published.
    pub published: &'a Published,
    /// What was replayed.
    pub plan: &'a Plan,
    /// The replays, at most two, in order.
    pub outcomes: &'a [Outcome],
    /// What each replay made for this artifact, in the order of the replays; from digests that the
    /// host took of the bytes that it received.
    pub rebuilt: &'a [Digests],
    /// The comparison of the published file with the first rebuilt one, where bytes differ.
    pub comparison: Option<&'a Comparison>,
    /// Whether a rebuilt file equals a file of the source tree or a fetched input: then it was not
    /// built, whatever it equals besides (ATTESTATION section 3.2).
    pub prebuilt: bool,
    /// What kinds of values the plan copied from the artifact; empty where it copied none, or where
    /// what it copied is not on the closed list.
    pub assisted_by: &'a [AssistKind],
}

/// Why there is no verdict. About us, never about the release: nothing of it is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// Nothing was built yet.
    #[error("no build was made")]
    NeedsBuild,
    /// One build ended well; a verdict needs another.
    #[error("only one build was made")]
    NeedsSecondBuild,
    /// Bytes differ, the published bytes are here, and nobody has compared them.
    #[error("the published and the rebuilt file were not compared")]
    NeedsComparison,
    /// The facts do not fit together: a bug of the caller.
    #[error("facts that do not fit together: {0}")]
    Inconsistent(&'static str),
}

/// What was decided and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, where the verdict is not good.
    pub reason: Option<Reason>,
    /// What was copied from the artifact; non-empty exactly for `assisted`.
    pub assisted_by: Vec<AssistKind>,
    /// The particulars, for people; printable.
    pub detail: Option<String>,
}

/// Where a judgement stands among those of all attempts at one artifact: the smallest is the one to keep.
/// `made` is whether its builds made the artifact. What was made and could be compared says more than a
/// build that failed, and a failure more than one that says nothing about the release.
#[must_use]
pub const fn rank(verdict: Verdict, made: bool) -> u8 {
    match (verdict, made) {
        (Verdict::Reproduced, _) => 0,
        (Verdict::Assisted, _) => 1,
        (Verdict::Equivalent, _) => 2,
        (Verdict::Differs, _) => 3,
        (Verdict::Unstable, _) => 4,
        (Verdict::Indeterminate, true) => 5,
        (Verdict::BuildFailed, _) => 6,
        (Verdict::Indeterminate, false) => 7,
    }
}

/// Whether what was built so far is too little for any verdict: one build that ended well.
#[must_use]
pub fn needs_second(outcomes: &[Outcome]) -> bool {
    matches!(outcomes, [only] if only.ended == Ended::Completed)
}

/// The reason that a failed build gives; `None` for one that ended well.
#[must_use]
pub const fn failure(ended: &Ended) -> Option<Reason> {
    match ended {
        Ended::Completed => None,
        Ended::Exited { .. } | Ended::Signalled { .. } | Ended::NotStarted { .. } => {
            Some(Reason::StepFailed)
        }
        Ended::TimedOut { .. } => Some(Reason::TimedOut),
        Ended::LimitReached { limit, .. } => Some(match limit {
            LimitKind::Silence => Reason::Silent,
            LimitKind::Memory => Reason::OutOfMemory,
            LimitKind::Processes => Reason::OutOfProcesses,
            LimitKind::Disk => Reason::OutOfDisk,
        }),
        Ended::OutputMissing { .. } => Some(Reason::OutputMissing),
        Ended::OutputRejected { .. } => Some(Reason::OutputRejected),
    }
}

/// How a build ended, in words; printable.
#[must_use]
pub fn describe(ended: &Ended) -> String {
    match ended {
        Ended::Completed => "completed".to_owned(),
        Ended::Exited { step, code } => format!("step {} exited with {code}", step + 1),
        Ended::Signalled { step, signal } => {
            format!("step {} was ended by signal {signal}", step + 1)
        }
        Ended::NotStarted { step, message } => {
            format!(
                "step {} could not be started: {}",
                step + 1,
                printable(message)
            )
        }
        Ended::TimedOut { step } => format!("step {} ran into the time limit", step + 1),
        Ended::LimitReached { step, limit } => {
            let limit = match limit {
                LimitKind::Silence => "limit of silence",
                LimitKind::Memory => "memory limit",
                LimitKind::Processes => "limit of processes",
                LimitKind::Disk => "disk limit",
            };
            format!("step {} ran into the {limit}", step + 1)
        }
        Ended::OutputMissing { pattern } => format!("nothing matches {}", printable(pattern)),
        Ended::OutputRejected { message } => {
            format!("an output was rejected: {}", printable(message))
        }
    }
}

/// Decides.
///
/// # Errors
/// When there are too few facts, or facts that contradict each other.
pub fn judge(case: &Case<'_>) -> Result<Judgement, Undecided> {
    match case.outcomes {
        [] => return Err(Undecided::NeedsBuild),
        [_] => {}
        [a, b] if a.plan == b.plan => {}
        [_, _] => return Err(Undecided::Inconsistent("replays of two plans")),
        _ => return Err(Undecided::Inconsistent("more than two builds")),
    }
    let failures: Vec<(usize, Reason)> = case
        .outcomes
        .iter()
        .enumerate()
        .filter_map(|(index, outcome)| Some((index, failure(&outcome.ended)?)))
        .collect();
    if case.rebuilt.len() > case.outcomes.len() - failures.len() {
        return Err(Undecided::Inconsistent("a failed build with an output"));
    }
    match failures.first() {
        Some((_, reason)) if failures.len() == case.outcomes.len() => Ok(all_failed(case, *reason)),
        Some((index, reason)) => Ok(because(
            Reason::RebuildsDisagree,
            Some(format!("build {} of 2 failed: {reason}", index + 1)),
        )),
        None => judge_outputs(case),
    }
}

/// Every build failed. Where the plan says that it had other tools than the release was made with, or other
/// dependencies than there were then, that is no statement about the release.
fn all_failed(case: &Case<'_>, reason: Reason) -> Judgement {
    let candidate = &case.plan.candidate;
    let missing = candidate.missing.as_deref().map(printable);
    let Some(lack @ (Reason::ToolchainUnavailable | Reason::DependenciesUndated)) =
        candidate.incomplete
    else {
        return because(reason, missing); // what is missing may be why
    };
    let failed = case.outcomes.first().map(|o| describe(&o.ended));
    let parts: Vec<String> = missing.into_iter().chain(failed).collect();
    because(lack, Some(parts.join("; ")))
}

/// All builds ended well: what did they make of this artifact?
fn judge_outputs(case: &Case<'_>) -> Result<Judgement, Undecided> {
    match (case.outcomes.len(), case.rebuilt) {
        (_, []) => Ok(because(
            Reason::OutputMissing,
            Some("no output belongs to this artifact".to_owned()),
        )),
        (1, _) => Err(Undecided::NeedsSecondBuild),
        (_, [a, b]) if a == b => judge_bytes(case, a),
        (_, [a, b, ..]) => Ok(because(
            Reason::RebuildsDisagree,
            Some(format!("sha256 {} and {}", a.sha256, b.sha256)),
        )),
        (_, [_]) => Ok(because(
            Reason::RebuildsDisagree,
            Some("only one of two builds made this artifact".to_owned()),
        )),
    }
}

/// Two builds agree on `rebuilt`.
fn judge_bytes(case: &Case<'_>, rebuilt: &Digests) -> Result<Judgement, Undecided> {
    if case.prebuilt {
        return Ok(because(Reason::Prebuilt, None));
    }
    let published = case.published;
    let same_sha256 = published.sha256 == rebuilt.sha256;
    let same_sha512 = published.sha512.map(|sha512| sha512 == rebuilt.sha512);
    let same_size = published.size_bytes.map(|size| size == rebuilt.size_bytes);
    let contradiction = if same_sha256 {
        same_sha512 == Some(false) || same_size == Some(false)
    } else {
        same_sha512 == Some(true)
    };
    if contradiction {
        let detail = "the known digests and the length of the published file name different files";
        return Ok(because(
            Reason::EvidenceContradicts,
            Some(detail.to_owned()),
        ));
    }
    if same_sha256 {
        Ok(same_bytes(case))
    } else {
        other_bytes(case)
    }
}

/// Whether anything in the plan was copied from the artifact.
fn tainted(case: &Case<'_>) -> bool {
    !case.assisted_by.is_empty() || case.plan.origins().contains(&Origin::Artifact)
}

fn same_bytes(case: &Case<'_>) -> Judgement {
    if !tainted(case) {
        return good(Verdict::Reproduced, Vec::new());
    }
    if case.assisted_by.is_empty() {
        return because(Reason::InputsChosenByArtifact, None);
    }
    let mut kinds = case.assisted_by.to_vec();
    kinds.sort_unstable();
    kinds.dedup();
    good(Verdict::Assisted, kinds)
}

fn other_bytes(case: &Case<'_>) -> Result<Judgement, Undecided> {
    let Some(comparison) = case.comparison else {
        return match case.published.stored() {
            Some(_) => Err(Undecided::NeedsComparison),
            None => Ok(because(Reason::DigestOnly, None)),
        };
    };
    match comparison {
        Comparison::Equivalent { normalizations, .. } => match normalizations.as_slice() {
            [] => Err(Undecided::Inconsistent(
                "equivalent without a normalization",
            )),
            // `equivalent` has no room to say that something was copied, so it is not said at all
            _ if tainted(case) => Ok(because(Reason::InputsChosenByArtifact, None)),
            _ => Ok(good(Verdict::Equivalent, Vec::new())),
        },
        Comparison::Different { members, unlisted } => {
            let count = (members.len() as u64).saturating_add(*unlisted);
            let detail = Some(format!("{count} differences"));
            match case.plan.candidate.incomplete {
                None if *unlisted == 0 && members.iter().all(is_container) => {
                    Ok(because(Reason::ContainerDiffers, detail))
                }
                None => Ok(because(Reason::ContentDiffers, detail)),
                Some(reason) if reason.verdict() == Verdict::Indeterminate => {
                    let missing = case.plan.candidate.missing.iter().map(|m| printable(m));
                    let parts: Vec<String> = missing.chain(detail).collect();
                    Ok(because(reason, Some(parts.join("; "))))
                }
                Some(_) => Err(Undecided::Inconsistent(
                    "a plan whose incompleteness is a verdict of its own",
                )),
            }
        }
        Comparison::NotComparable {
            published_format,
            rebuilt_format,
        } => Ok(because(
            Reason::NotComparable,
            Some(format!(
                "published {published_format}, rebuilt {rebuilt_format}"
            )),
        )),
        Comparison::Failed { side, message } => Ok(because(
            Reason::ComparisonFailed,
            Some(format!("{side}: {message}")),
        )),
    }
}

const fn good(verdict: Verdict, assisted_by: Vec<AssistKind>) -> Judgement {
    Judgement {
        verdict,
        reason: None,
        assisted_by,
        detail: None,
    }
}

/// Whether a difference is only in how a member of the same content is written down. What an archive
/// has beside its members, whose place has a name in parentheses, may be a payload and counts as
/// content.
fn is_container(difference: &MemberDifference) -> bool {
    difference.what == DifferenceKind::Container && !difference.name.starts_with('(')
}

/// The judgement that a reason makes: the one place where a reason gets its verdict.
#[must_use]
pub const fn because(reason: Reason, detail: Option<String>) -> Judgement {
    Judgement {
        verdict: reason.verdict(),
        reason: Some(reason),
        assisted_by: Vec::new(),
        detail,
    }
}

#[cfg(test)]
pub(crate) mod tests;
