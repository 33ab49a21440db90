//! Why facts are not signed, and why a statement is not believed.

use crate::purl::PurlError;
use crate::verdict::{Reason, Verdict};

/// Facts or fields that cannot all be true, or that no statement may carry.
#[derive(Debug, thiserror::Error)]
pub enum Contradiction {
    /// A text is empty, too long, or has a control character.
    #[error("{field} {problem}")]
    Text {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The package URL is not one of a version.
    #[error("published.purl")]
    Purl(#[source] PurlError),
    /// A tool's name or version cannot be written.
    #[error("a tool in build.toolchain")]
    Tool(#[source] PurlError),
    /// The predicate type belongs to another verdict.
    #[error("the verdict {verdict} under the predicate type {predicate_type}")]
    PredicateType {
        /// The verdict.
        verdict: Verdict,
        /// What the statement says.
        predicate_type: String,
    },
    /// Subject and `published` name different files or digests.
    #[error("subject and published are not the same file")]
    Subject,
    /// A reason is needed and absent.
    #[error("the verdict {0} without a reason")]
    ReasonMissing(Verdict),
    /// A reason explains another verdict.
    #[error("the verdict {verdict} with the reason {reason}")]
    ReasonOfAnother {
        /// The verdict.
        verdict: Verdict,
        /// The reason.
        reason: Reason,
    },
    /// The reason says something that the other facts deny.
    #[error("the reason {0}, which the facts deny")]
    ReasonDenied(Reason),
    /// Too few builds.
    #[error("the verdict {verdict} on {found} rebuilt files, two are needed")]
    TooFewRebuilt {
        /// The verdict.
        verdict: Verdict,
        /// How many rebuilt files there are.
        found: usize,
    },
    /// The bytes are not the published ones.
    #[error("the verdict {0} with a rebuilt file that is not the published one")]
    NotPublishedBytes(Verdict),
    /// The bytes are the published ones.
    #[error("the verdict {0} with a rebuilt file that is the published one, byte for byte")]
    PublishedBytes(Verdict),
    /// Our builds disagree, which is `unstable`.
    #[error("the verdict {0} on rebuilt files that disagree")]
    RebuiltDisagree(Verdict),
    /// Our builds agree, as far as the facts say, which is not `unstable`.
    #[error("the verdict unstable on builds that agree")]
    RebuiltAgree,
    /// A rebuilt file comes from no run, from a run that failed, or two come from one run.
    #[error("a rebuilt file of run {0}, which made none for it")]
    Run(u32),
    /// Something was copied from the artifact.
    #[error("the verdict {0} with a plan that copies from the artifact")]
    ArtifactOrigin(Verdict),
    /// Nobody knows where the values of the plan came from.
    #[error("the verdict {0} without the origins of the plan's values")]
    OriginsMissing(Verdict),
    /// Something was varied and nothing was built.
    #[error("variations without a build")]
    VariationsUnexpected,
    /// Something was fetched by a build that had no network.
    #[error("build.inputs of a build without a network")]
    InputsUnexpected,
    /// Inputs are not sorted by request, or one stands twice.
    #[error("build.inputs are not sorted, each once")]
    InputsUnsorted,
    /// A rebuilt file was handed to the build as an input.
    #[error("the verdict {0} on a file that the build was served")]
    Fetched(Verdict),
    /// A build was served something of the very package that it is about, which the verdict does not say.
    #[error(
        "the verdict {verdict} on a build that was served {request}, which is of the same package"
    )]
    OwnRelease {
        /// The verdict.
        verdict: Verdict,
        /// The input.
        request: String,
    },
    /// An input of the same package is named, and no such input was served.
    #[error("assistedBy names another release of the package that the build was not served")]
    OwnReleaseUnserved,
    /// `assisted` without saying what was copied.
    #[error("the verdict assisted without saying what was copied")]
    AssistMissing,
    /// Something was copied, under another verdict than `assisted`.
    #[error("the verdict {0} with something that was copied from the artifact")]
    AssistUnexpected(Verdict),
    /// The comparison does not say what the verdict says.
    #[error("the verdict {verdict} {problem}")]
    Comparison {
        /// The verdict.
        verdict: Verdict,
        /// What is wrong.
        problem: &'static str,
    },
    /// How it was built is needed and absent.
    #[error("the verdict {0} without a build")]
    BuildMissing(Verdict),
    /// Something was built from a source that is not pinned.
    #[error("a build without source.treeSha256")]
    TreeMissing,
    /// A signature's state and what is said of it disagree.
    #[error("source.tag.signature says {0} of a signature that is not as that needs")]
    Signature(&'static str),
    /// The kind of tag and the tag object disagree.
    #[error("source.tag.kind and source.digest.gitTag disagree")]
    Tag,
    /// Provenance is asked for bytes that we do not vouch for.
    #[error("provenance for a published file under the verdict {0}")]
    ProvenanceOfUnvouched(Verdict),
    /// A build record is asked for where provenance is due.
    #[error("a build record where provenance is due")]
    ProvenanceDue,
    /// A statement about what we built, and we built nothing.
    #[error("a statement about built files, and there are none")]
    NothingBuilt,
    /// The statement does not fit into the limits of readers.
    #[error("a statement of {0} bytes, more than readers take")]
    TooLong(usize),
    /// A withdrawal that is none, or something else that is one.
    #[error("withdrawal {0}")]
    Withdrawal(&'static str),
    /// A source on this machine, to be signed with a key that others trust.
    #[error("a source that only this machine can read is never signed with an operator's key")]
    LocalSource,
}
