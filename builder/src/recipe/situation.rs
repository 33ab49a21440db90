//! What `next` may look at and what it may answer: plain values, the same for all recipes.

use countersign_attest::digest::Sha256;
use countersign_attest::verdict::{Reason, Verdict};
use serde::{Deserialize, Serialize};

use super::{Evidence, Hints};
use crate::compare::encoding::Encoding;
use crate::environment::Capabilities;
use crate::judge;
use crate::outcome::{Misses, Outcome};
use crate::plan::Candidate;
use crate::release::{Published, Release};

/// A candidate that was tried, recorded once: for the recipe to go on from, and for the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// What was tried.
    pub candidate: Candidate,
    /// The plan that it became.
    pub plan: Sha256,
    /// The plan's replays, in order.
    pub outcomes: Vec<Outcome>,
    /// What it came to.
    pub verdict: Verdict,
    /// Why, where that is not good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The way that it is, as [`Proposal::way`].
    #[serde(default)]
    pub way: String,
    /// Why it was tried, for people.
    #[serde(default)]
    pub why: String,
    /// How the published file is encoded, where nothing but that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// Whether all that differs are files that our build has from the source as they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub copies_differ: bool,
}

impl Attempt {
    /// An attempt of which nothing is known but what was tried and what it came to.
    #[must_use]
    pub fn new(proposal: Proposal, plan: Sha256, verdict: Verdict) -> Self {
        Self {
            candidate: proposal.candidate,
            plan,
            outcomes: Vec::new(),
            verdict,
            reason: None,
            way: proposal.way,
            why: proposal.why,
            encoding: None,
            copies_differ: false,
        }
    }

    /// Whether its builds failed, whatever that says about the release.
    #[must_use]
    pub fn failed(&self) -> bool {
        let mut ends = self.outcomes.iter().map(|outcome| &outcome.ended);
        self.verdict == Verdict::BuildFailed
            || !self.outcomes.is_empty() && ends.all(|ended| judge::failure(ended).is_some())
    }

    /// What any of its replays asked for and did not get.
    #[must_use]
    pub fn misses(&self) -> Misses {
        Misses::of_all(self.outcomes.iter().map(|outcome| &outcome.misses))
    }
}

/// All that `next` may look at.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The release.
    pub release: &'a Release,
    /// The published artifact.
    pub published: &'a Published,
    /// Everything that was published for the release.
    pub all_published: &'a [Published],
    /// What inspection found.
    pub evidence: &'a Evidence,
    /// What inspection found in what the registry has beside the release's artifacts, and in other
    /// artifacts of the release, those before this one.
    pub siblings: &'a [Evidence],
    /// Whether the tree lacks something: a submodule or a large-file object.
    pub source_incomplete: bool,
    /// What this machine has.
    pub capabilities: &'a Capabilities,
    /// What the operator says.
    pub hints: &'a Hints,
    /// What was tried, in order.
    pub attempts: &'a [Attempt],
    /// The ways in which earlier releases came out well, the newest first.
    pub worked_before: &'a [String],
}

impl Situation<'_> {
    /// Puts ways that worked before first; the order is otherwise the recipe's.
    pub(super) fn order<T>(&self, ways: &mut [T], way: impl Fn(&T) -> String) {
        ways.sort_by_key(|one| {
            let way = way(one);
            let before = self.worked_before.iter().position(|before| *before == way);
            before.unwrap_or(usize::MAX)
        });
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Try this.
    Try(Box<Proposal>),
    /// Nothing more to try; the attempts made so far stand.
    Enough,
    /// Nothing can be tried at all, and why. `detail` is for people.
    Cannot {
        /// Why.
        reason: Reason,
        /// The particulars, for people.
        detail: String,
    },
}

/// A candidate with what is recorded of its choice.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// What to try.
    pub candidate: Candidate,
    /// The same word for the same way in every release of a package: an earlier success names it.
    pub way: String,
    /// Why this one, and why now, for people.
    pub why: String,
}

impl Proposal {
    /// Puts the parts together.
    #[must_use]
    pub fn new(candidate: Candidate, way: impl Into<String>, why: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            candidate,
            way: way.into(),
            why: why.into(),
        })
    }
}
