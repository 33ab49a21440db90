//! What can go wrong between us and a repository, split by whose trouble it is.
//!
//! Texts may carry names that strangers wrote; they are made harmless for a terminal here
//! ([`printable`]) and must still be escaped for a page.

use countersign_attest::escape;
use serde::{Deserialize, Serialize};

use crate::trouble::Trouble;

/// A failed look at a repository.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    /// Our trouble, or the network's: to be tried again, never signed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The repository is not as it must be: trying again changes nothing.
    #[error(transparent)]
    Refusal(#[from] Refusal),
}

impl WatchError {
    /// As the pipeline and the command line take it.
    pub(crate) fn into_trouble(self) -> Trouble {
        match self {
            Self::Fault(fault) => Trouble::fault("source", fault),
            Self::Refusal(refusal @ Refusal::TagMoved { .. }) => {
                Trouble::refused("tag-moved", refusal)
            }
            Self::Refusal(refusal) => Trouble::refused("source", refusal),
        }
    }
}

/// Trouble of ours or of the network.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// No answer, or an answer that broke off.
    #[error("asking {location}: check the address, the network and a proxy's settings")]
    Unreachable {
        /// What was asked.
        location: String,
        /// What the client says.
        #[source]
        source: reqwest::Error,
    },
    /// The server answers with an error of its own.
    #[error("{location} answers with status {status}: it will be asked again later")]
    Status {
        /// What was asked.
        location: String,
        /// An HTTP status.
        status: u16,
    },
    /// The work took longer than its limit.
    #[error(
        "{what} took longer than {seconds} s: it will be tried again, or raise the time limit of this repository"
    )]
    TimeOut {
        /// What was under way.
        what: String,
        /// The limit.
        seconds: u64,
    },
    /// A file or folder of ours could not be read or written.
    #[error("{what}")]
    Io {
        /// What was attempted, and on what.
        what: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The git child could not be started, or it ended without an answer.
    #[error("the git child {0}")]
    Child(String),
}

/// A repository, or a request about it, that is refused as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "refusal", rename_all = "kebab-case")]
pub(crate) enum Refusal {
    /// There is no such repository, or it is not for everybody.
    #[error(
        "{location} answers with status {status}: check the address; a repository that needs a login cannot be watched"
    )]
    NoRepository {
        /// What was asked.
        location: String,
        /// 401, 403, 404 or 410.
        status: u16,
    },
    /// What answers does not speak git's smart protocol as it should.
    #[error("{location} does not answer as a git server: {detail}")]
    NotGit {
        /// What was asked.
        location: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The server points to another host.
    #[error("{location} redirects to {to}: if that is right, name that address as the source")]
    RedirectedElsewhere {
        /// What was asked.
        location: String,
        /// Where it points.
        to: String,
    },
    /// Objects are named by SHA-256, which nothing here can sign yet.
    #[error("{location} names its objects by sha256, which is not supported yet")]
    ObjectFormat {
        /// The repository.
        location: String,
    },
    /// The tag is not there.
    #[error(
        "{location} has no tag {tag}: it has {advertised} tags{}",
        similar_words(.similar)
    )]
    NoSuchTag {
        /// The repository.
        location: String,
        /// The tag.
        tag: String,
        /// How many usable tags there are.
        advertised: u64,
        /// A few that look like it.
        similar: Vec<String>,
    },
    /// The tag names another object than when it was seen.
    #[error("tag {tag} of {location} moved from {from} to {to}: an operator has to acknowledge it")]
    TagMoved {
        /// The repository.
        location: String,
        /// The tag.
        tag: String,
        /// The object that it named.
        from: String,
        /// The object that it names.
        to: String,
    },
    /// The tag's name is not one that git allows, or not one that we print.
    #[error("{tag} is not a usable tag name: {reason}")]
    TagName {
        /// The name, made printable.
        tag: String,
        /// The rule that it breaks.
        reason: String,
    },
    /// The tag does not lead to a commit.
    #[error("object {oid} is a {found}, not a commit: only a tag of a commit is a release")]
    NotACommit {
        /// The object at the end of the chain.
        oid: String,
        /// Its kind.
        found: String,
    },
    /// An object that the commit needs did not come.
    #[error(
        "object {oid} is not in what the repository sent: it is damaged, or cut off below this commit"
    )]
    Incomplete {
        /// The missing object.
        oid: String,
    },
    /// An object breaks git's format, or holds a name that must not be written to a disk.
    #[error("object {oid} is not acceptable: {detail}")]
    BadObject {
        /// The object.
        oid: String,
        /// What is wrong with it.
        detail: String,
    },
    /// What came is not a pack that can be indexed.
    #[error("the pack from the repository is damaged: {detail}")]
    BadPack {
        /// What libgit2 says.
        detail: String,
    },
    /// More than the limit allows.
    #[error(
        "{what} goes over the limit of {limit}: raise it for this repository if that is expected"
    )]
    Limit {
        /// Of what.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// A local folder is not a repository that is read here.
    #[error("{path} cannot be used as a repository: {detail}")]
    LocalRepository {
        /// The folder.
        path: String,
        /// Why, and what to do.
        detail: String,
    },
    /// The server refused the request with words of its own.
    #[error("{location} refuses: {message}")]
    ServerRefuses {
        /// The repository.
        location: String,
        /// Its words, made printable.
        message: String,
    },
}

fn similar_words(similar: &[String]) -> String {
    if similar.is_empty() {
        String::new()
    } else {
        format!("; similar: {}", similar.join(", "))
    }
}

/// A stranger's bytes as text for a message: at most 200 characters, and what cannot be seen escaped.
#[must_use]
pub(crate) fn printable(bytes: &[u8]) -> String {
    printable_up_to(200, bytes)
}

/// As [`printable`], with another limit.
#[must_use]
pub(crate) fn printable_up_to(limit: usize, bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end();
    match text.char_indices().nth(limit) {
        Some((end, _)) => escape::printable(text.get(..end).unwrap_or_default()) + "…",
        None => escape::printable(text),
    }
}

impl Fault {
    /// For `map_err` on file operations.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> WatchError {
        let what = what.into();
        move |source| Self::Io { what, source }.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_words_cannot_drive_a_terminal() {
        assert_eq!(printable(b"access denied\n"), "access denied");
        assert_eq!(
            printable(b"\x1b]52;c;aGk=\x07<b>"),
            "\\u{1b}]52;c;aGk=\\u{7}<b>"
        );
        assert_eq!(printable("a\u{202e}b".as_bytes()), "a\\u{202e}b");
        assert_eq!(printable(&[b'x'; 300]).chars().count(), 201);
    }
}
