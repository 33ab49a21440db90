//! The words of a verdict and the closed list of reasons (DESIGN section 10; a contract).

use std::fmt;

use serde::{Deserialize, Serialize};

/// What we say about one published artifact. The words are a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Same bytes, from the source, the environment and the listed dependencies, twice.
    Reproduced,
    /// Same bytes, but something was copied from the published file.
    Assisted,
    /// Other bytes; the same content after the listed normalizations.
    Equivalent,
    /// Content, names, types or modes differ, and two rebuilds of ours agreed.
    Differs,
    /// Our own rebuilds disagree.
    Unstable,
    /// The recipe ran in an intact sandbox and did not yield the artifact.
    BuildFailed,
    /// The evidence contradicts itself or cannot be compared.
    Indeterminate,
}

impl Verdict {
    /// All verdicts, best first.
    pub const ALL: [Self; 7] = [
        Self::Reproduced,
        Self::Assisted,
        Self::Equivalent,
        Self::Differs,
        Self::Unstable,
        Self::BuildFailed,
        Self::Indeterminate,
    ];

    /// The contract's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::Assisted => "assisted",
            Self::Equivalent => "equivalent",
            Self::Differs => "differs",
            Self::Unstable => "unstable",
            Self::BuildFailed => "build-failed",
            Self::Indeterminate => "indeterminate",
        }
    }

    /// Whether it says that the artifact did not come out of its source. An operator may keep such a
    /// verdict back for a while.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        match self {
            Self::Reproduced | Self::Assisted | Self::Equivalent => false,
            Self::Differs | Self::Unstable | Self::BuildFailed | Self::Indeterminate => true,
        }
    }

    /// What pages and terminals say, in plain words.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Reproduced => "Reproduced: same bytes",
            Self::Assisted => {
                "Same bytes, but we had to take something from the published file; that itself is not checked"
            }
            Self::Equivalent => "Same content, packed differently: not the same bytes",
            Self::Differs => "Does not match its source as we built it; not proof of an attack",
            Self::Unstable => "Builds differently each time",
            Self::BuildFailed => "We could not build it",
            Self::Indeterminate => "The evidence contradicts itself or cannot be compared",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal for $verdict:ident),+ $(,)?) => {
        /// Why a verdict is not good. Closed: a new reason is a change of the predicate.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $($(#[doc = $doc])+ #[serde(rename = $code)] $name,)+
        }

        impl Reason {
            /// All reasons, in the order of their verdicts.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The code as statements and JSON carry it.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// The only verdict that this reason can explain.
            #[must_use]
            pub const fn verdict(self) -> Verdict {
                match self { $(Self::$name => Verdict::$verdict),+ }
            }

            /// One sentence for people.
            #[must_use]
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii()),+ }
            }
        }
    };
}

reasons! {
    /// Content, names, types or modes of members differ.
    ContentDiffers = "content-differs" for Differs,
    /// Two rebuilds of the same plan gave different bytes.
    RebuildsDisagree = "rebuilds-disagree" for Unstable,
    /// A build step ended with an error.
    StepFailed = "step-failed" for BuildFailed,
    /// The build ran longer than its time limit.
    TimedOut = "timed-out" for BuildFailed,
    /// The build wrote nothing to its log for longer than its limit of silence.
    Silent = "silent" for BuildFailed,
    /// The build needed more memory than its limit.
    OutOfMemory = "out-of-memory" for BuildFailed,
    /// A build step failed after it had reached the limit on processes.
    OutOfProcesses = "out-of-processes" for BuildFailed,
    /// A build step failed on a file system that it had filled to its limit.
    OutOfDisk = "out-of-disk" for BuildFailed,
    /// The build ended well and left none of the declared files.
    OutputMissing = "output-missing" for BuildFailed,
    /// The build left something that is not a regular file, or too much of it.
    OutputRejected = "output-rejected" for BuildFailed,
    /// The tag named another commit before, and nobody has acknowledged the change.
    TagMoved = "tag-moved" for Indeterminate,
    /// The bytes differ and we cannot look inside this format.
    NotComparable = "not-comparable" for Indeterminate,
    /// Names, types, modes and content of all members are the same, but their headers are written in ways
    /// that no normalization of ours covers.
    ContainerDiffers = "container-differs" for Indeterminate,
    /// The bytes differ and looking inside hit a limit or a malformed archive.
    ComparisonFailed = "comparison-failed" for Indeterminate,
    /// The digest differs and only a digest was published, so there is nothing to compare with.
    DigestOnly = "digest-only" for Indeterminate,
    /// The output is a file that was already in the source tree.
    Prebuilt = "prebuilt" for Indeterminate,
    /// The source tree says another name or version than the published artifact.
    EvidenceContradicts = "evidence-contradicts" for Indeterminate,
    /// The package needs a build step that the recipe does not run, and content differs.
    BuildStepUnsupported = "build-step-unsupported" for Indeterminate,
    /// Part of the source (a submodule, a large-file object) is not in the repository.
    SourceIncomplete = "source-incomplete" for Indeterminate,
    /// The registry does not say when versions were published, so dependencies may be other ones than at
    /// the release's time, and content differs.
    DependenciesUndated = "dependencies-undated" for Indeterminate,
    /// A lock file names dependencies in places that no registry of ours serves: git repositories, other
    /// addresses, or without a digest.
    DependenciesElsewhere = "dependencies-elsewhere" for Indeterminate,
    /// No recipe of ours fits this source and artifact.
    NoRecipe = "no-recipe" for Indeterminate,
    /// The plan needs a tool or a version that this machine does not have.
    ToolchainUnavailable = "toolchain-unavailable" for Indeterminate,
    /// What decides the build was copied from the artifact under test, or from another release of its package.
    InputsChosenByArtifact = "inputs-chosen-by-artifact" for Indeterminate,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Why an earlier verdict is taken back. Closed, like the reasons of verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithdrawalReason {
    /// Something of ours was at fault: a recipe, an environment, a machine.
    RebuilderFault,
    /// It was built from another source than the one that was meant.
    WrongSource,
    /// It is about another file than the one that was meant.
    WrongArtifact,
    /// The key may have been in other hands when it was signed.
    KeyExposed,
}

impl WithdrawalReason {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::RebuilderFault,
        Self::WrongSource,
        Self::WrongArtifact,
        Self::KeyExposed,
    ];

    /// The code as statements and JSON carry it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::RebuilderFault => "rebuilder-fault",
            Self::WrongSource => "wrong-source",
            Self::WrongArtifact => "wrong-artifact",
            Self::KeyExposed => "key-exposed",
        }
    }
}

impl fmt::Display for WithdrawalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_codes_are_what_serde_writes() {
        for verdict in Verdict::ALL {
            assert_eq!(
                serde_json::to_value(verdict).ok(),
                Some(verdict.word().into())
            );
        }
        for reason in WithdrawalReason::ALL {
            assert_eq!(
                serde_json::to_value(reason).ok(),
                Some(reason.code().into())
            );
        }
        for reason in Reason::ALL {
            assert_eq!(
                serde_json::to_value(reason).ok(),
                Some(reason.code().into())
            );
            assert!(reason.sentence().ends_with('.'), "{reason}");
        }
    }

    /// A renamed public code must show in review.
    #[test]
    fn the_list_of_codes_is_what_was_published() {
        let reasons = Reason::ALL
            .iter()
            .map(|r| format!("{}/{}", r.verdict(), r.code()));
        let withdrawals = WithdrawalReason::ALL
            .iter()
            .map(|r| format!("withdrawn/{r}"));
        let list: Vec<String> = reasons.chain(withdrawals).collect();
        assert_eq!(
            list.join("\n") + "\n",
            include_str!("../golden/reasons.txt")
        );
    }
}
