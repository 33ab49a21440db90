//! Attestations of OSS Rebuild: envelopes under ECDSA keys, one that compares and one that says how.
//!
//! `ArtifactEquivalence@v0.1` says that a published file and one that was built again are equal, as they are or
//! after "stabilization". Only it is about the published file. `Rebuild@v0.1`, about the file that was built, adds
//! source, package and time to it where both are of one run. Alone it says nothing of anything published.
//!
//! What is equal only after stabilization counts as `equivalent` where the run's build definition is known to add
//! nothing to the stabilizers of the software, since a definition may leave files out of the comparison.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::decide::{Form, Said, Testimony, VerdictSaid};
use crate::digest::{GitOid, Sha256, Sha512};
use crate::dsse::{self, Envelope, OpenError};
use crate::escape::is_printable;
use crate::json::{self, JsonError};
use crate::key::{AnyPublicKey, EcdsaP256Key};
use crate::purl::Purl;
use crate::time::Timestamp;
use crate::verdict::Verdict;

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
/// How what was built is called, before the published file's name.
const BUILT: &str = "rebuild/";
/// How a build definition that a person wrote is called.
const DEFINITION: &str = "build.fix.json";

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

/// The run that an attestation is of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    builder: String,
    invocation: String,
    file_name: String,
    built: Sha256,
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

#[derive(Debug, Clone, PartialEq, Eq)]
struct How {
    run: Run,
    purl: Option<Purl>,
    source: Option<(String, GitOid)>,
    finished_on: Option<Timestamp>,
    /// Whether the build definition may compare less than the software does of its own.
    has_own_stabilizers: bool,
}

/// Whether a document is meant to be an attestation of OSS Rebuild. Nothing is verified.
#[must_use]
pub fn is_oss_rebuild(document: &[u8]) -> bool {
    let unverified = || {
        let envelope: Envelope = json::from_slice(document, &LIMITS).ok()?;
        let payload = unverified_payload(&envelope).ok()?.1;
        let statement: Statement<Value> = json::from_slice(&payload, &LIMITS).ok()?;
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
    let statement: Statement<Value> =
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
            let (run, published) = equivalence(name, digest, shaped(&statement.predicate)?)?;
            Ok(OssRebuild::Equivalence(Box::new(Equivalence {
                statement: Sha256::of(&signed),
                signers,
                run,
                published,
            })))
        }
        Some(REBUILD) => {
            let how = how(name, digest, shaped(&statement.predicate)?)?;
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

#[derive(Deserialize)]
struct Statement<P> {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    subject: Vec<Subject>,
    predicate: P,
}

#[derive(Deserialize)]
struct Subject {
    name: String,
    digest: DigestSet,
}

/// The digests that we know; a SHA-256 is always among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct DigestSet {
    sha256: Sha256,
    #[serde(default)]
    sha512: Option<Sha512>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate<E, D, B> {
    build_definition: Definition<E, D>,
    run_details: Details<B>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Definition<E, D> {
    external_parameters: E,
    resolved_dependencies: Vec<D>,
}

#[derive(Deserialize)]
struct Details<B> {
    builder: Builder,
    metadata: Metadata,
    byproducts: Vec<B>,
}

#[derive(Deserialize)]
struct Builder {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    invocation_id: String,
    #[serde(default)]
    finished_on: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Compared {
    candidate: String,
    target: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Built {
    ecosystem: String,
    package: String,
    version: String,
    artifact: String,
    #[serde(default)]
    build_config_source: Option<Value>,
}

/// A file that was used, of whose digest we ask only where it matters.
#[derive(Deserialize)]
struct Used {
    name: String,
    #[serde(default)]
    digest: Value,
    #[serde(default)]
    content: Option<String>,
}

fn shaped<T: for<'de> Deserialize<'de>>(predicate: &Value) -> Result<T, OssRebuildError> {
    T::deserialize(predicate).map_err(|_| OssRebuildError::Claim("its fields are others"))
}

fn equivalence(
    name: &str,
    subject: &DigestSet,
    predicate: Predicate<Compared, Subject, Subject>,
) -> Result<(Run, DigestSet), OssRebuildError> {
    let Definition {
        external_parameters: Compared { candidate, target },
        resolved_dependencies: files,
    } = predicate.build_definition;
    if candidate.strip_prefix(BUILT) != Some(name) || target.starts_with(BUILT) {
        return Err(OssRebuildError::Claim(
            "it compares other files than its subject",
        ));
    }
    let one = |name: &str| {
        let mut named = files.iter().filter(|file| file.name == name);
        named.next().filter(|_| named.next().is_none())
    };
    let (Some(built), Some(published), 2) = (one(&candidate), one(&target), files.len()) else {
        return Err(OssRebuildError::Claim("it does not compare two files"));
    };
    let published = published.digest;
    let other_sha512 = published.sha512.zip(subject.sha512);
    if published.sha256 != subject.sha256 || other_sha512.is_some_and(|(one, other)| one != other) {
        return Err(OssRebuildError::Claim(
            "what was compared is not its subject",
        ));
    }
    let [_stabilized] = &predicate.run_details.byproducts[..] else {
        return Err(OssRebuildError::Claim(
            "it does not say what both files are made equal to",
        ));
    };
    let run = run(name, built.digest.sha256, &predicate.run_details)?;
    Ok((run, *subject))
}

fn how(
    name: &str,
    subject: &DigestSet,
    predicate: Predicate<Built, Used, Value>,
) -> Result<How, OssRebuildError> {
    let Definition {
        external_parameters: built,
        resolved_dependencies: used,
    } = predicate.build_definition;
    if name.strip_prefix(BUILT) != Some(&*built.artifact) {
        return Err(OssRebuildError::Claim(
            "it is about another file than it built",
        ));
    }
    Ok(How {
        run: run(&built.artifact, subject.sha256, &predicate.run_details)?,
        purl: purl(&built),
        source: source(&used),
        finished_on: predicate.run_details.metadata.finished_on,
        has_own_stabilizers: has_own_stabilizers(&built, &used),
    })
}

fn run<B>(file_name: &str, built: Sha256, details: &Details<B>) -> Result<Run, OssRebuildError> {
    let names_a_file =
        !file_name.is_empty() && !file_name.contains(['/', '\\']) && is_printable(file_name);
    if !names_a_file {
        return Err(OssRebuildError::Claim("its subject has no file's name"));
    }
    let (builder, invocation) = (&details.builder.id, &details.metadata.invocation_id);
    if builder.is_empty() || invocation.is_empty() {
        return Err(OssRebuildError::Claim("it does not say of which run it is"));
    }
    Ok(Run {
        builder: builder.clone(),
        invocation: invocation.clone(),
        file_name: file_name.to_owned(),
        built,
    })
}

/// The package by its URL, where its registry's packages have one of this form.
fn purl(built: &Built) -> Option<Purl> {
    let kind = match &*built.ecosystem {
        "npm" => "npm",
        "pypi" => "pypi",
        "cratesio" => "cargo",
        "rubygems" => "gem",
        "maven" => "maven",
        _ => return None,
    };
    let escaped = |text: &str| -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let escape = |byte: u8| match byte {
            _ if plain(byte) => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        text.bytes().map(escape).collect()
    };
    let separator = if kind == "maven" { ':' } else { '/' };
    let name: Vec<String> = built.package.split(separator).map(escaped).collect();
    // of several files of a version the URL says which, as in statements of ours
    let file = match kind {
        "pypi" => format!("?file_name={}", escaped(&built.artifact)),
        _ => String::new(),
    };
    let (name, version) = (name.join("/"), escaped(&built.version));
    format!("pkg:{kind}/{name}@{version}{file}").parse().ok()
}

/// The one repository and commit.
fn source(used: &[Used]) -> Option<(String, GitOid)> {
    let mut sources = used.iter().filter(|file| file.name.starts_with("git+"));
    let source = sources.next().filter(|_| sources.next().is_none())?;
    let commit = source.digest.get("sha1")?.as_str()?.parse().ok()?;
    is_printable(&source.name).then(|| (source.name.clone(), commit))
}

/// Whether a definition that a person wrote names stabilizers, or cannot be read.
fn has_own_stabilizers(built: &Built, used: &[Used]) -> bool {
    let mut definitions = used.iter().filter(|file| file.name == DEFINITION);
    let Some(definition) = definitions.next() else {
        return built.build_config_source.is_some();
    };
    let read = || {
        let content = STANDARD.decode(definition.content.as_ref()?).ok()?;
        let written: Map<String, Value> = json::from_slice(&content, &LIMITS).ok()?;
        match written.get("custom_stabilizers") {
            None => Some(true),
            Some(own) => Some(own.as_array()?.is_empty()),
        }
    };
    definitions.next().is_some() || read() != Some(true)
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
