//! A project's request to rebuild what it is about to publish: a source, a tag, and digests. It holds
//! no address from which anything is fetched and nothing that is run.

use serde::{Deserialize, Serialize};

use super::{DeclarationError, Kind, check_text, value};
use crate::digest::Sha256;
use crate::time::Timestamp;

/// Most artifacts of one request.
const MAX_ARTIFACTS: usize = 64;

/// The request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CandidateRequest {
    /// The source, as statements name it.
    pub source: String,
    /// The tag, without `refs/tags/`.
    pub tag: String,
    /// What is to come out, each name once.
    pub artifacts: Vec<CandidateArtifact>,
    /// From when on nobody takes this request any more.
    pub expires_on: Timestamp,
}

/// One file that is not published yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CandidateArtifact {
    /// Its name: one path component.
    pub name: String,
    /// Its digest.
    pub sha256: Sha256,
}

impl CandidateRequest {
    /// What the request is about, whoever signs it and whenever: two requests with the same one ask for
    /// the same work.
    #[must_use]
    pub fn id(&self) -> Sha256 {
        let mut artifacts: Vec<&CandidateArtifact> = self.artifacts.iter().collect();
        artifacts.sort();
        // texts and digests only: serde_json cannot fail on them
        let text = serde_json::to_vec(&(&self.source, &self.tag, artifacts)).unwrap_or_default();
        Sha256::of(&text)
    }
}

impl Kind for CandidateRequest {
    const PAYLOAD_TYPE: &'static str = "application/vnd.countersign.candidate.v1+json";

    fn check(&self) -> Result<(), DeclarationError> {
        check_text("source", &self.source)?;
        if !self.source.starts_with("git+") {
            return value("source", "is not written as statements do, git+https://…");
        }
        check_text("tag", &self.tag)?;
        if self.artifacts.is_empty() || self.artifacts.len() > MAX_ARTIFACTS {
            return value("artifacts", "there are none, or more than 64");
        }
        let mut names = std::collections::BTreeSet::new();
        for artifact in &self.artifacts {
            check_text("artifacts", &artifact.name)?;
            let plain = !artifact.name.contains('/') && !matches!(&*artifact.name, "." | "..");
            if !plain || artifact.name.len() > 255 {
                return value("artifacts", "a name is not one path component");
            }
            if !names.insert(&artifact.name) {
                return value("artifacts", "a name stands twice");
            }
        }
        Ok(())
    }
}
