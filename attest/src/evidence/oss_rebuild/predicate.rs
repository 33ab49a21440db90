//! What stands in OSS Rebuild's two predicates, and what of it holds together. Its envelope and signatures are
//! [`super`]'s.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{LIMITS, OssRebuildError};
use crate::digest::{GitOid, Sha256, Sha512};
use crate::escape::is_printable;
use crate::json;
use crate::purl::Purl;
use crate::time::Timestamp;

/// How what was built is called, before the published file's name.
const BUILT: &str = "rebuild/";
/// How a build definition that a person wrote is called.
const DEFINITION: &str = "build.fix.json";

/// The run that an attestation is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) builder: String,
    pub(super) invocation: String,
    pub(super) file_name: String,
    pub(super) built: Sha256,
}

/// How a file was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct How {
    pub(super) run: Run,
    pub(super) purl: Option<Purl>,
    pub(super) source: Option<(String, GitOid)>,
    pub(super) finished_on: Option<Timestamp>,
    /// Whether the build definition may compare less than the software does of its own.
    pub(super) has_own_stabilizers: bool,
}

#[derive(Deserialize)]
pub(super) struct Statement {
    #[serde(rename = "_type")]
    pub(super) kind: String,
    #[serde(rename = "predicateType")]
    pub(super) predicate_type: String,
    pub(super) subject: Vec<Subject>,
    pub(super) predicate: Value,
}

#[derive(Deserialize)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) digest: DigestSet,
}

/// The digests that we know; a SHA-256 is always among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct DigestSet {
    pub(super) sha256: Sha256,
    #[serde(default)]
    pub(super) sha512: Option<Sha512>,
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

/// Reads a comparison: of which run, and what was published.
pub(super) fn equivalence(
    name: &str,
    subject: &DigestSet,
    predicate: &Value,
) -> Result<(Run, DigestSet), OssRebuildError> {
    let predicate: Predicate<Compared, Subject, Subject> = shaped(predicate)?;
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

/// Reads how a file was built.
pub(super) fn how(
    name: &str,
    subject: &DigestSet,
    predicate: &Value,
) -> Result<How, OssRebuildError> {
    let predicate: Predicate<Built, Used, Value> = shaped(predicate)?;
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
