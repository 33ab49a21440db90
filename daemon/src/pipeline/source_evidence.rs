//! What an artifact and its source say of each other, beside their bytes: findings, for people and for
//! the statement. Pure; they explain a verdict and never make one.

use std::fmt;

use countersign_attest::escape::printable;
use countersign_attest::statement::SignatureState;
use countersign_builder::recipe::Evidence;
use serde::{Deserialize, Serialize};

use super::values::Resolved;
use crate::watch::signature::Checked;
use countersign_builder::release::Published;

/// Most names in one finding; the rest is counted.
const LISTED: usize = 10;

/// One thing that is odd. Names in it are escaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub(crate) enum Finding {
    /// Files of the archive that are neither in the source nor made by our build.
    NotInSource {
        /// What can be run comes first.
        members: Vec<String>,
        /// How many are not listed.
        unlisted: u64,
    },
    /// The artifact says that it is of another commit than the tag.
    OtherCommit {
        /// As it is written there.
        claimed: String,
    },
    /// The artifact says that it was packed from a tree with changes.
    Dirty,
    /// The source lacks parts of itself: submodules, large-file objects.
    SourceLacks {
        /// Where they belong.
        paths: Vec<String>,
        /// How many are not listed.
        unlisted: u64,
    },
    /// The tag bears a signature that is not one by a key that is good now.
    TagSignature {
        /// What it is.
        state: SignatureState,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = |unlisted: &u64| match unlisted {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        match self {
            Self::NotInSource { members, unlisted } => write!(
                f,
                "in the archive, not in git and not made by our build: {}{}",
                members.join(", "),
                more(unlisted)
            ),
            Self::OtherCommit { claimed } => {
                write!(
                    f,
                    "the artifact says that it is of commit {claimed}, not the tag's"
                )
            }
            Self::Dirty => {
                f.write_str("the artifact says that it was packed from a tree with changes")
            }
            Self::SourceLacks { paths, unlisted } => write!(
                f,
                "the source lacks what belongs at {}{}",
                paths.join(", "),
                more(unlisted)
            ),
            Self::TagSignature { state } => f.write_str(match state {
                SignatureState::Invalid => "the tag's signature is not valid",
                SignatureState::ExpiredKey => "the tag is signed by a key that has expired",
                SignatureState::UnknownKey => "the tag is signed by a key that nobody named",
                SignatureState::Valid | SignatureState::Unsigned | SignatureState::Unchecked => {
                    "the tag's signature is as it should be"
                }
            }),
        }
    }
}

/// All findings about one artifact, the gravest first.
#[must_use]
pub(crate) fn findings(
    resolved: &Resolved,
    signature: &Checked,
    published: &Published,
    evidence: &Evidence,
    not_in_source: &[String],
) -> Vec<Finding> {
    let mut all = Vec::new();
    if let Some((members, unlisted)) = listed(not_in_source.iter().cloned()) {
        all.push(Finding::NotInSource { members, unlisted });
    }
    let (commit, dirty) = evidence.says_of_source();
    let commit = commit.map(str::to_owned);
    let commit = commit.or_else(|| published.claims.commit.map(|commit| commit.to_string()));
    let own = resolved.release.commit.to_string();
    // a shortened name is still a name
    if let Some(claimed) = commit.filter(|claimed| claimed.len() < 7 || !own.starts_with(claimed)) {
        all.push(Finding::OtherCommit {
            claimed: printable(&claimed),
        });
    }
    if dirty {
        all.push(Finding::Dirty);
    }
    if let Some((paths, unlisted)) = listed(resolved.missing.iter().map(|path| printable(path))) {
        all.push(Finding::SourceLacks { paths, unlisted });
    }
    match signature.state {
        SignatureState::Invalid | SignatureState::ExpiredKey | SignatureState::UnknownKey => {
            all.push(Finding::TagSignature {
                state: signature.state,
            });
        }
        SignatureState::Valid | SignatureState::Unsigned | SignatureState::Unchecked => {}
    }
    all
}

/// The first names and the number of the others; `None` where there is none.
fn listed(names: impl Iterator<Item = String>) -> Option<(Vec<String>, u64)> {
    let mut names: Vec<String> = names.collect();
    let unlisted = names.len().saturating_sub(LISTED) as u64;
    names.truncate(LISTED);
    (!names.is_empty()).then_some((names, unlisted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_counted() {
        let names = (0..12).map(|n| n.to_string());
        let (first, more) = listed(names).unwrap();
        assert_eq!((first.len(), more), (10, 2));
        assert_eq!(listed(std::iter::empty()), None);
    }
}
