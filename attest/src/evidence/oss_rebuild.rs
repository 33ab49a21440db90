//! Attestations of OSS Rebuild: envelopes under ECDSA keys, one that compares and one that says how.
//!
//! `ArtifactEquivalence@v0.1` says that a published file and one that was built again are equal, as they are or
//! after "stabilization". Only it is about the published file. `Rebuild@v0.1`, about the file that was built, adds
//! source, package and time to it where both are of one run. Alone it says nothing of anything published.
//!
//! What is equal only after stabilization counts as `equivalent` where the run's build definition is known to add
//! nothing to the stabilizers of the software, since a definition may leave files out of the comparison.

use std::collections::BTreeSet;

use serde_json::Value;

use self::predicate::{DigestSet, How, Run, Statement, Subject};
use crate::decide::{Form, Said, Testimony, VerdictSaid};
use crate::digest::Sha256;
use crate::dsse::{self, Envelope, OpenError};
use crate::json::{self, JsonError};
use crate::key::{AnyPublicKey, EcdsaP256Key};
use crate::verdict::Verdict;

mod predicate;
#[cfg(test)]
mod tests;

/// Longest envelope in bytes, and longest payload. A Dockerfile and a log of steps are in some.
const MAX_BYTES: usize = 4 << 20;
const LIMITS: json::Limits = json::Limits {
    bytes: MAX_BYTES,
    depth: 32,
};
/// Most signatures that are tried.
const SIGNATURES: usize = 32;
/// What their envelopes say of their payload: now, and in the first ones.
const PAYLOAD_TYPES: [&str; 2] = [dsse::PAYLOAD_TYPE, STATEMENT];

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const BUILD_TYPES: &str = "https://docs.oss-rebuild.dev/builds/";
const EQUIVALENCE: &str = "https://docs.oss-rebuild.dev/builds/ArtifactEquivalence@v0.1";
const REBUILD: &str = "https://docs.oss-rebuild.dev/builds/Rebuild@v0.1";

/// Says why an attestation is not believed, or says nothing of a published file.
#[derive(Debug, thiserror::Error)]
pub enum OssRebuildError {
    /// No envelope, or one that is read differently by different software.
    #[error("reading an attestation of OSS Rebuild")]
    Json(#[source] JsonError),
    /// The envelope around it.
    #[error(transparent)]
    Envelope(OpenError),
    /// None of the given keys signed it as it stands there.
    #[error("an attestation that none of the given keys signed")]
    Signature,
    /// It says something else, or what it says does not hold together.
    #[error("an attestation that says nothing of a published file: {0}")]
    Claim(&'static str),
}

/// What a good envelope of OSS Rebuild says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OssRebuild {
    /// Two files are equal.
    Equivalence(Box<Equivalence>),
    /// A file was built so.
    Rebuild(Box<Rebuild>),
}

/// A published file equals one that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Equivalence {
    statement: Sha256,
    signers: Vec<EcdsaP256Key>,
    run: Run,
    published: DigestSet,
}

/// How a file was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuild {
    statement: Sha256,
    signers: Vec<EcdsaP256Key>,
    how: How,
}

/// Whether a document is meant to be an attestation of OSS Rebuild. Nothing is verified.
#[must_use]
pub fn is_oss_rebuild(document: &[u8]) -> bool {
    let unverified = || {
        let envelope: Envelope = json::from_slice(document, &LIMITS).ok()?;
        let payload = unverified_payload(&envelope).ok()?.1;
        let statement: Statement = json::from_slice(&payload, &LIMITS).ok()?;
        let build_type = statement.predicate.pointer("/buildDefinition/buildType")?;
        Some(build_type.as_str()?.starts_with(BUILD_TYPES))
    };
    unverified() == Some(true)
}

/// Opens an envelope of a stranger: at least one of `keys` must have signed it.
///
/// # Errors
/// Whenever anything is wrong with it; nothing that it says comes out then.
pub fn open(document: &[u8], keys: &[EcdsaP256Key]) -> Result<OssRebuild, OssRebuildError> {
    let envelope: Envelope = json::from_slice(document, &LIMITS).map_err(OssRebuildError::Json)?;
    let (payload_type, payload) =
        unverified_payload(&envelope).map_err(OssRebuildError::Envelope)?;
    let signed = dsse::pae(payload_type, &payload);
    let signers = signers(&signed, &envelope, keys);
    if signers.is_empty() {
        return Err(OssRebuildError::Signature);
    }
    let statement: Statement =
        json::from_slice(&payload, &LIMITS).map_err(OssRebuildError::Json)?;
    if statement.kind != STATEMENT || statement.predicate_type != PROVENANCE {
        return Err(OssRebuildError::Claim("its type is another"));
    }
    let [Subject { name, digest }] = &statement.subject[..] else {
        return Err(OssRebuildError::Claim("it has none or several subjects"));
    };
    let build_type = statement.predicate.pointer("/buildDefinition/buildType");
    match build_type.and_then(Value::as_str) {
        Some(EQUIVALENCE) => {
            let (run, published) = predicate::equivalence(name, digest, &statement.predicate)?;
            Ok(OssRebuild::Equivalence(Box::new(Equivalence {
                statement: Sha256::of(&signed),
                signers,
                run,
                published,
            })))
        }
        Some(REBUILD) => {
            let how = predicate::how(name, digest, &statement.predicate)?;
            Ok(OssRebuild::Rebuild(Box::new(Rebuild {
                statement: Sha256::of(&signed),
                signers,
                how,
            })))
        }
        _ => Err(OssRebuildError::Claim("its build type is another")),
    }
}

impl Equivalence {
    /// What it says of the published file, with what is known of how the other one was built.
    ///
    /// # Errors
    /// When the files differ and nobody says that they were compared whole.
    pub fn testimony(&self, rebuilds: &[Rebuild]) -> Result<Testimony, OssRebuildError> {
        let mut of_this_run = rebuilds.iter().filter(|rebuild| rebuild.is_of(self));
        let first = of_this_run.next();
        // two that contradict each other add nothing
        let one = first.filter(|first| of_this_run.all(|other| other.statement == first.statement));
        let how = one.map(|rebuild| &rebuild.how);
        let verdict = match how {
            _ if self.run.built == self.published.sha256 => Verdict::Reproduced,
            None => {
                let why = "the files have other bytes, and how they were compared stands in an attestation of the \
                           same run that is not here";
                return Err(OssRebuildError::Claim(why));
            }
            Some(how) if how.has_own_stabilizers => {
                let why = "the files have other bytes, and its build definition has rules of its own for what is compared";
                return Err(OssRebuildError::Claim(why));
            }
            Some(_) => Verdict::Equivalent,
        };
        let source = how.and_then(|how| how.source.clone());
        let (source, commit) = source.unzip();
        Ok(Testimony {
            statement: self.statement,
            signers: self
                .signers
                .iter()
                .copied()
                .map(AnyPublicKey::from)
                .collect(),
            said: Said::Verdict(Box::new(VerdictSaid {
                verdict,
                form: Form::OssRebuild,
                decided_on: how.and_then(|how| how.finished_on),
                purl: how.and_then(|how| how.purl.clone()),
                file_name: self.run.file_name.clone(),
                sha256: self.published.sha256,
                sha512: self.published.sha512,
                rebuilt: Some(self.run.built),
                source,
                commit,
                plan: None,
            })),
            place: None,
        })
    }
}

impl Rebuild {
    /// Whether it is of the same run, by a key that says both.
    #[must_use]
    pub fn is_of(&self, equivalence: &Equivalence) -> bool {
        let signs_both = |key: &EcdsaP256Key| equivalence.signers.contains(key);
        self.how.run == equivalence.run && self.signers.iter().any(signs_both)
    }
}

fn unverified_payload(envelope: &Envelope) -> Result<(&'static str, Vec<u8>), OpenError> {
    let [now, first] = PAYLOAD_TYPES;
    let wanted = if envelope.payload_type == first {
        first
    } else {
        now
    };
    Ok((wanted, envelope.unverified_payload(wanted)?))
}

/// The distinct keys with a good signature. Ids are of their services and name nothing that we know.
fn signers(signed: &[u8], envelope: &Envelope, keys: &[EcdsaP256Key]) -> Vec<EcdsaP256Key> {
    let signatures = envelope.signatures.iter().take(SIGNATURES);
    let signatures: Vec<Vec<u8>> = signatures
        .filter_map(|signature| signature.bytes())
        .collect();
    let made = |key: &&EcdsaP256Key| signatures.iter().any(|der| key.verifies(signed, der));
    let good: BTreeSet<EcdsaP256Key> = keys.iter().filter(made).copied().collect();
    good.into_iter().collect()
}
