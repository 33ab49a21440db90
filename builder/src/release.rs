//! A release: a tag, the commit it names, and what was published for it.
//!
//! Plain data. Names, tags and URLs in here were written by strangers: print them escaped.

use std::collections::BTreeMap;

use countersign_attest::digest::{Digests, GitOid, Sha256, Sha512};
use countersign_attest::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A tag of a source repository, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The signed source URI: `git+https://…`, or `git+file:` and a folder's name.
    pub source_uri: String,
    /// The tag without `refs/tags/`.
    pub tag: String,
    /// The version that the tag spells, as the published artifact writes it.
    pub version: String,
    /// The tag object, where the tag is annotated.
    pub tag_object: Option<GitOid>,
    /// The peeled commit.
    pub commit: GitOid,
    /// The commit's tree.
    pub tree: GitOid,
    /// The committer's time, which becomes `SOURCE_DATE_EPOCH`.
    pub commit_time: Timestamp,
}

/// What a registry or a project says of a published file, before or after we have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The file's name, one path component.
    pub file_name: String,
    /// The versioned package URL, where the project names one.
    pub purl: Option<String>,
    /// Where the bytes came from, where there are bytes.
    pub download_location: Option<String>,
    /// When we got them.
    pub retrieved_on: Timestamp,
    /// SHA-256 of the published bytes: the subject of every statement.
    pub sha256: Sha256,
    /// SHA-512, where we saw the bytes.
    pub sha512: Option<Sha512>,
    /// Number of bytes, where we saw them.
    pub size_bytes: Option<u64>,
    /// What the registry declared, checked to be equal to what came (`sha512-…` for npm).
    pub declared: Option<String>,
    /// When the registry says that it was published, where one says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_on: Option<Timestamp>,
    /// Whether it is released already, or a candidate known by its digest.
    pub stage: Stage,
    /// Whether the registry has since withdrawn it from new use (yanked): a note, never a verdict.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub yanked: bool,
    /// What a registry keeps of the publisher's own words.
    #[serde(default, skip_serializing_if = "Claims::is_empty")]
    pub claims: Claims,
}

/// What a publisher's client said of how a file came to be. Written by strangers, checked by nobody:
/// such words select what is tried, and what they say of the source is compared with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Claims {
    /// The commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<GitOid>,
    /// Tools and their versions, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<String, String>,
}

impl Claims {
    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a published artifact is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Known by its digest only, perhaps before it is published.
    Candidate,
    /// Downloaded from where it was published.
    Released,
}

impl Published {
    /// The digests, where the bytes themselves are stored here.
    #[must_use]
    pub fn stored(&self) -> Option<Digests> {
        Some(Digests {
            sha256: self.sha256,
            sha512: self.sha512?,
            size_bytes: self.size_bytes?,
        })
    }
}
