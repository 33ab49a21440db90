//! What a text in a statement must look like: bounded, not empty, without control characters, and
//! without anything that tells of a machine or a secret.

use std::collections::BTreeMap;

use super::contradiction::Contradiction;
use super::predicate::{
    BuildPredicate, Dependency, EnvironmentField, PublishedField, Subject, VerdictPredicate,
    WithdrawnPredicate,
};

/// Longest text in bytes, where nothing shorter is said.
const MAX_BYTES: usize = 4096;
/// Longest file name, as file systems have it.
const MAX_NAME_BYTES: usize = 255;

pub(super) fn check_verdict(predicate: &VerdictPredicate) -> Result<(), Contradiction> {
    rebuilder(
        "rebuilder",
        &predicate.rebuilder.id,
        &predicate.rebuilder.version,
    )?;
    source_uri(&predicate.source.uri)?;
    reference(&predicate.source.reference)?;
    published(&predicate.published)?;
    for rebuilt in &predicate.rebuilt {
        file_name("rebuilt.name", &rebuilt.name)?;
    }
    if let Some(comparison) = &predicate.comparison {
        for normalization in &comparison.normalizations {
            versioned("comparison.normalizations.id", &normalization.id)?;
            plain("comparison.normalizations.scope", &normalization.scope)?;
        }
        for member in &comparison.differing_members {
            plain("comparison.differingMembers.name", &member.name)?;
        }
        for cause in &comparison.causes {
            plain("comparison.causes", cause)?;
        }
    }
    if let Some(build) = &predicate.build {
        environment(&build.environment)?;
        if let Some(worker) = &build.worker {
            plain("build.worker", worker)?;
        }
    }
    for variation in &predicate.variations {
        plain("variations.name", &variation.name)?;
        for value in &variation.values {
            plain("variations.values", value)?;
        }
    }
    Ok(())
}

/// The texts of a withdrawal.
pub(super) fn check_withdrawn(predicate: &WithdrawnPredicate) -> Result<(), Contradiction> {
    let by = &predicate.rebuilder;
    rebuilder("rebuilder", &by.id, &by.version)?;
    published(&predicate.published)?;
    match &predicate.note {
        Some(note) => plain("note", note),
        None => Ok(()),
    }
}

fn published(published: &PublishedField) -> Result<(), Contradiction> {
    file_name("published.fileName", &published.file_name)?;
    if let Some(location) = &published.download_location {
        download_location(location)?;
    }
    match &published.declared {
        Some(declared) => plain("published.declared", declared),
        None => Ok(()),
    }
}

/// The texts of provenance and of a build record.
pub(super) fn check_built(
    subjects: &[Subject],
    predicate: &BuildPredicate,
) -> Result<(), Contradiction> {
    for subject in subjects {
        let name = match subject.name.split_once('/') {
            Some((run, name)) if run.starts_with("run-") => name,
            Some(_) | None => &subject.name,
        };
        file_name("subject.name", name)?;
    }
    let definition = &predicate.build_definition;
    let builder = &predicate.run_details.builder;
    rebuilder("runDetails.builder.id", &builder.id, &builder.version)?;
    source_uri(&definition.external_parameters.source.uri)?;
    reference(&definition.external_parameters.source.reference)?;
    for dependency in &definition.resolved_dependencies {
        match dependency {
            Dependency::Source(source) => plain("resolvedDependencies.uri", &source.uri)?,
            Dependency::Input(input) => plain("resolvedDependencies.name", &input.name)?,
        }
    }
    environment(&definition.internal_parameters.environment)
}

fn environment(environment: &EnvironmentField) -> Result<(), Contradiction> {
    plain("environment.architecture", &environment.architecture)?;
    versioned("environment.sandbox.profile", &environment.sandbox.profile)?;
    for limit in environment.sandbox.limits.keys() {
        plain("environment.sandbox.limits", limit)?;
    }
    for tool in &environment.toolchain {
        plain("environment.toolchain.name", &tool.name)?;
        plain("environment.toolchain.uri", &tool.uri)?;
    }
    Ok(())
}

fn rebuilder(
    field: &'static str,
    id: &str,
    version: &BTreeMap<String, String>,
) -> Result<(), Contradiction> {
    plain(field, id)?;
    let is_uri = id.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
            && !rest.is_empty()
    });
    if !is_uri || id.contains(char::is_whitespace) {
        return refuse(field, "is not a URI");
    }
    version.iter().try_for_each(|(component, version)| {
        plain("rebuilder.version", component)?;
        plain("rebuilder.version", version)
    })
}

/// One path component.
pub(super) fn file_name(field: &'static str, name: &str) -> Result<(), Contradiction> {
    plain(field, name)?;
    if name.len() > MAX_NAME_BYTES {
        return refuse(field, "is too long");
    }
    if name.contains(['/', '\\']) || name == "." || name == ".." {
        return refuse(field, "is not one path component");
    }
    Ok(())
}

fn source_uri(uri: &str) -> Result<(), Contradiction> {
    const FIELD: &str = "source.uri";
    plain(FIELD, uri)?;
    if let Some(folder) = uri.strip_prefix("git+file:") {
        return file_name(FIELD, folder);
    }
    match uri.strip_prefix("git+") {
        Some(rest) => web_location(FIELD, rest),
        None => refuse(FIELD, "does not start with git+"),
    }
}

fn reference(reference: &str) -> Result<(), Contradiction> {
    const FIELD: &str = "source.ref";
    plain(FIELD, reference)?;
    match reference.strip_prefix("refs/tags/") {
        Some(tag) if !tag.is_empty() => Ok(()),
        Some(_) | None => refuse(FIELD, "is not the full name of a tag"),
    }
}

fn download_location(location: &str) -> Result<(), Contradiction> {
    const FIELD: &str = "published.downloadLocation";
    plain(FIELD, location)?;
    web_location(FIELD, location)
}

/// `https://host…` or `http://host…`, without a user's name or password.
fn web_location(field: &'static str, location: &str) -> Result<(), Contradiction> {
    let rest = location
        .strip_prefix("https://")
        .or_else(|| location.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    match host {
        None => refuse(field, "is neither https:// nor http://"),
        Some("") => refuse(field, "names no host"),
        Some(host) if host.contains('@') => refuse(field, "carries a user's name or password"),
        Some(_) if location.contains(char::is_whitespace) => refuse(field, "contains a space"),
        Some(_) => Ok(()),
    }
}

/// `name/vN`.
fn versioned(field: &'static str, text: &str) -> Result<(), Contradiction> {
    plain(field, text)?;
    let number = text
        .rsplit_once("/v")
        .filter(|(name, _)| !name.is_empty())
        .map(|(_, n)| n);
    match number {
        Some(n) if !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) => Ok(()),
        Some(_) | None => refuse(field, "is not of the form name/vN"),
    }
}

pub(super) fn plain(field: &'static str, text: &str) -> Result<(), Contradiction> {
    if text.is_empty() {
        return refuse(field, "is empty");
    }
    if text.len() > MAX_BYTES {
        return refuse(field, "is too long");
    }
    if text.contains(char::is_control) {
        return refuse(field, "has a control character");
    }
    Ok(())
}

fn refuse(field: &'static str, problem: &'static str) -> Result<(), Contradiction> {
    Err(Contradiction::Text { field, problem })
}
