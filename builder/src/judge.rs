//! Decides the verdict on one published artifact. Pure: facts in, judgement out.

use countersign_attest::digest::Digests;
use countersign_attest::origin::AssistKind;
use countersign_attest::verdict::{Reason, Verdict};
use serde::{Deserialize, Serialize};

use crate::compare::Comparison;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::release::Published;

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
    /// Digests of the blobs of the source tree: an output that equals one was not built.
    pub prebuilt: bool,
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
