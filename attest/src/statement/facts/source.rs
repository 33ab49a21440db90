//! What was built, and what was published: where both came from.

use serde::{Deserialize, Serialize};

use crate::digest::{GitOid, Sha256, Sha512};
use crate::time::Timestamp;

/// Where the source came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// `git+https://…`, or `git+file:` and a folder's name.
    pub uri: String,
    /// The full ref, `refs/tags/…`.
    pub reference: String,
    /// The peeled commit.
    pub commit: GitOid,
    /// The commit's tree.
    pub tree: GitOid,
    /// The tag object; present exactly where the tag is annotated.
    pub tag_object: Option<GitOid>,
    /// Digest of all that entered the sandbox; needed wherever something was built.
    pub tree_sha256: Option<Sha256>,
    /// What is known of the tag's signature.
    pub signature: SignatureState,
    /// How the tag is signed, exactly where it is known to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
    /// The commit that the tag named before, where it was seen to move.
    pub moved_from: Option<GitOid>,
}

/// How a tag is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The kind of signature.
    pub format: SignatureFormat,
    /// The key that made it, in the words of its kind; present where the signature itself is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_fingerprint: Option<String>,
}

/// Kinds of signatures of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureFormat {
    /// RFC 9580 and RFC 4880.
    Openpgp,
    /// PROTOCOL.sshsig.
    Ssh,
    /// CMS.
    X509,
}

/// What is known of a tag's signature. Only [`Self::Valid`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SignatureState {
    /// By a key that the operator named for this repository.
    Valid,
    /// Not a signature of this tag, or by a key that was revoked.
    Invalid,
    /// Nobody named the key.
    UnknownKey,
    /// By a key that the operator named, and that has expired since.
    ExpiredKey,
    /// The tag bears no signature.
    Unsigned,
    /// Nobody looked.
    Unchecked,
}

/// The published artifact: the subject of a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// One path component.
    pub file_name: String,
    /// The versioned package URL, where the project names one.
    pub purl: Option<String>,
    /// Whether it is out.
    pub stage: Stage,
    /// Taken by us while downloading, or given by the caller where only a digest is known.
    pub sha256: Sha256,
    /// Where we saw the bytes.
    pub sha512: Option<Sha512>,
    /// Where we saw the bytes.
    pub size_bytes: Option<u64>,
    /// `https://…` or `http://…`; a path of this machine is never signed, so `None` for local files.
    pub download_location: Option<String>,
    /// When the bytes were fetched.
    pub retrieved_on: Option<Timestamp>,
    /// What the registry declared and the bytes were checked against.
    pub declared: Option<String>,
}

/// Whether a published artifact is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Known by its digest only, perhaps before it is published.
    Candidate,
    /// Downloaded from where it was published.
    Released,
}
