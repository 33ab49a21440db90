//! What readers see of a release: plain values between the store and the API and pages.
//!
//! Names, tags, URLs and details in here were written by strangers. JSON carries them as they are;
//! pages escape them. Field names are lowerCamelCase and a contract.

use std::future::Future;
use std::pin::Pin;

use countersign_attest::digest::{AnyDigest, GitOid, Sha256, Sha512};
use countersign_attest::origin::AssistKind;
use countersign_attest::time::Timestamp;
use countersign_attest::verdict::{Reason, Verdict};
use countersign_builder::compare::{Applied, DifferenceKind, MemberDifference};
use serde::Serialize;

use super::find::Find;
use super::rebuilderd::{Deb, DebName};
use super::statements::Sought;
use crate::difference::Difference;

/// What a reader of the store gives back, boxed so that the store can stand behind `dyn`.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ViewError>> + Send + 'a>>;

/// The store could not be read. Only the log learns more.
#[derive(Debug, thiserror::Error)]
#[error("reading the store")]
pub(crate) struct ViewError(#[source] pub(crate) Box<dyn std::error::Error + Send + Sync>);

/// All that the API and the pages read. Nothing is shown before its statement is published.
pub(crate) trait Views: Send + Sync + 'static {
    /// At most `limit` releases, newest first: those that follow the one with the id `after`, which
    /// is those with a smaller id, or the first ones; of all, or of those with what is to be found.
    fn releases(
        &self,
        find: Option<Find>,
        after: Option<i64>,
        limit: u32,
    ) -> Answer<'_, Vec<ReleaseSummary>>;

    /// One release.
    fn release(&self, id: i64) -> Answer<'_, Option<ReleaseView>>;

    /// Every published artifact with this digest, newest release first.
    fn by_digest(&self, digest: AnyDigest) -> Answer<'_, Vec<Match>>;

    /// How a published artifact of a release and what was rebuilt of it differ; `None` where that is not
    /// known, or they do not.
    fn difference(&self, release: i64, published: Sha256) -> Answer<'_, Option<Difference>>;

    /// A plan's bytes as first written.
    fn plan(&self, sha256: Sha256) -> Answer<'_, Option<Vec<u8>>>;

    /// A published envelope, named by the digest of exactly these bytes.
    fn statement(&self, sha256: Sha256) -> Answer<'_, Option<Vec<u8>>>;

    /// Published verdicts, and what was taken back, about these files and packages: at most `limit`
    /// envelopes in the order in which they were entered, each once.
    fn statements(&self, about: Vec<Sought>, limit: u32) -> Answer<'_, Vec<Vec<u8>>>;

    /// Debian packages with this name, or all that are known, newest first.
    fn debs(&self, wanted: Option<DebName>) -> Answer<'_, Vec<Deb>>;

    /// The legacy link of a rebuild's published verdict on an artifact, where there is one.
    fn link(&self, rebuild: i64, artifact: i64) -> Answer<'_, Option<Vec<u8>>>;

    /// A published envelope, named by its own digest, in another form; `None` where there is none.
    fn export(&self, sha256: Sha256, form: Export) -> Answer<'_, Option<Vec<u8>>>;
}

/// Another form of an envelope, for software that reads only that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Export {
    /// A Sigstore bundle with the envelope's own signature.
    Bundle,
    /// A legacy in-toto link; there for `reproduced` alone.
    Link,
}

/// A release in a list.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReleaseSummary {
    /// The store's id; grows with time.
    pub(crate) id: i64,
    /// The signed source URI.
    pub(crate) source: String,
    /// The tag, without `refs/tags/`.
    pub(crate) tag: String,
    /// The version that matched, once something was found.
    pub(crate) version: Option<String>,
    /// The peeled commit, once the tag was fetched.
    pub(crate) commit: Option<GitOid>,
    /// The store's word for how far it is.
    pub(crate) state: String,
    /// When the tag was first seen.
    pub(crate) first_seen: Timestamp,
    /// Its artifacts, in brief.
    pub(crate) artifacts: Vec<ArtifactSummary>,
}

/// An artifact in a list.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ArtifactSummary {
    /// Its file name.
    pub(crate) name: String,
    /// Its digest.
    pub(crate) sha256: Sha256,
    /// What we say of it; `None`: not checked yet, or taken back.
    pub(crate) verdict: Option<Verdict>,
}

/// A release with all that is known of it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReleaseView {
    /// The store's id.
    pub(crate) id: i64,
    /// The signed source URI.
    pub(crate) source: String,
    /// The tag, without `refs/tags/`.
    pub(crate) tag: String,
    /// The version that matched, once something was found.
    pub(crate) version: Option<String>,
    /// The peeled commit, once the tag was fetched.
    pub(crate) commit: Option<GitOid>,
    /// The store's word for how far it is.
    pub(crate) state: String,
    /// When the tag was first seen.
    pub(crate) first_seen: Timestamp,
    /// What was published for it.
    pub(crate) artifacts: Vec<ArtifactView>,
    /// What we did about it, oldest first.
    pub(crate) rebuilds: Vec<RebuildView>,
    /// What happened to it, oldest first.
    pub(crate) events: Vec<EventView>,
}

/// A published artifact with a given digest, and the release that it belongs to.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Match {
    /// The release's id.
    pub(crate) release: i64,
    /// The signed source URI.
    pub(crate) source: String,
    /// The tag.
    pub(crate) tag: String,
    /// The artifact.
    pub(crate) artifact: ArtifactView,
}

/// A published artifact and what we say of it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ArtifactView {
    /// Its file name, one path component.
    pub(crate) name: String,
    /// Its versioned purl.
    pub(crate) purl: Option<String>,
    /// Where it was downloaded.
    pub(crate) download_location: Option<String>,
    /// Its digest.
    pub(crate) sha256: Sha256,
    /// Its other digest, where we saw the bytes.
    pub(crate) sha512: Option<Sha512>,
    /// Its length, where we saw the bytes.
    pub(crate) size_bytes: Option<u64>,
    /// What we say of it; `None`: not checked yet.
    pub(crate) verdict: Option<Verdict>,
    /// Why, where the verdict is not good.
    pub(crate) reason: Option<Reason>,
    /// The particulars.
    pub(crate) detail: Option<String>,
    /// What was copied from the artifact.
    pub(crate) assisted_by: Vec<AssistKind>,
    /// What had to be normalized for the content to be the same.
    pub(crate) normalizations: Vec<NormalizationView>,
    /// Members that differ.
    pub(crate) members: Vec<MemberView>,
    /// How many more differ.
    pub(crate) members_unlisted: u64,
    /// Where what differs is served as a tree, relative to this service.
    pub(crate) difference_url: Option<String>,
    /// What the second step came to, a line for each encoder, also of those that were not tried.
    pub(crate) encoders: Vec<String>,
    /// What our builds asked the mirror for and did not get; strangers may have written it.
    pub(crate) missed: Vec<String>,
    /// How many more of that there is.
    pub(crate) missed_unlisted: u64,
    /// What our builds made.
    pub(crate) rebuilt: Vec<Sha256>,
    /// The plan that was replayed.
    pub(crate) plan: Option<Sha256>,
    /// When the verdict was decided.
    pub(crate) decided_on: Option<Timestamp>,
    /// The commit that the verdict is about; the tag may name another one by now.
    pub(crate) commit: Option<GitOid>,
    /// What is signed about it.
    pub(crate) statements: Vec<StatementView>,
}

/// A normalization that was needed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NormalizationView {
    /// `name/vN`.
    pub(crate) id: String,
    /// Places that it changed in the published file.
    pub(crate) changed_published: u64,
    /// Places that it changed in the rebuilt file.
    pub(crate) changed_rebuilt: u64,
}

impl From<Applied> for NormalizationView {
    fn from(applied: Applied) -> Self {
        let Applied {
            id,
            changed_published,
            changed_rebuilt,
            members: _,
            members_unlisted: _,
        } = applied;
        Self {
            id,
            changed_published,
            changed_rebuilt,
        }
    }
}

/// A member that differs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MemberView {
    /// Its name.
    pub(crate) name: String,
    /// What differs.
    pub(crate) what: DifferenceKind,
    /// Digest of the published content.
    pub(crate) published: Option<Sha256>,
    /// Digest of the rebuilt content.
    pub(crate) rebuilt: Option<Sha256>,
}

impl From<MemberDifference> for MemberView {
    fn from(member: MemberDifference) -> Self {
        let MemberDifference {
            name,
            what,
            published,
            rebuilt,
        } = member;
        Self {
            name,
            what,
            published,
            rebuilt,
        }
    }
}

/// The kinds of what we sign. The words are a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StatementKind {
    /// The verdict on one published artifact.
    Verdict,
    /// Rebuild provenance of what we built.
    Provenance,
    /// The same facts where we do not vouch for what we built.
    BuildRecord,
    /// The verdict was taken back.
    Withdrawn,
}

impl StatementKind {
    /// The contract's word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Provenance => "provenance",
            Self::BuildRecord => "build-record",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// A published statement.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatementView {
    /// What it says.
    pub(crate) kind: StatementKind,
    /// Digest of the served bytes.
    pub(crate) digest: Sha256,
    /// Where they are served, relative to this service.
    pub(crate) url: String,
    /// Its place in the rebuilder's own sequence, from 0.
    pub(crate) entry: i64,
    /// When it was signed.
    pub(crate) issued_on: Timestamp,
    /// The id of the key that signed it; while it is in use, its public half is at
    /// `/keys/{keyId}.pem`.
    pub(crate) key_id: String,
}

impl StatementView {
    /// Adds the place from which the bytes are served.
    pub(crate) fn new(
        kind: StatementKind,
        digest: Sha256,
        entry: i64,
        issued_on: Timestamp,
        key_id: String,
    ) -> Self {
        Self {
            kind,
            digest,
            url: format!("/attestations/sha256:{digest}"),
            entry,
            issued_on,
            key_id,
        }
    }
}

/// One attempt to rebuild.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RebuildView {
    /// The store's id.
    pub(crate) id: i64,
    /// The store's word for how far it is.
    pub(crate) state: String,
    /// Which try it is, from 1.
    pub(crate) attempt: u32,
    /// The recipe, once one was chosen.
    pub(crate) recipe: Option<String>,
    /// The plan, once there is one.
    pub(crate) plan: Option<Sha256>,
    /// When it started.
    pub(crate) started_on: Option<Timestamp>,
    /// When it ended.
    pub(crate) finished_on: Option<Timestamp>,
    /// How it ended, for people.
    pub(crate) ended: Option<String>,
}

/// Something that happened to a release.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventView {
    /// When.
    pub(crate) on: Timestamp,
    /// The store's word for it.
    pub(crate) kind: String,
    /// The particulars.
    pub(crate) detail: String,
}
