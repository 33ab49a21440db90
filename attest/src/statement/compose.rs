//! Facts in, the bytes of a statement out: the same bytes for the same facts, for ever.

use serde::{Deserialize, Serialize};

use super::contradiction::Contradiction;
use super::facts::{Build, Facts, Kind, Log, PlanRef, Published, Source};
use super::predicate::{
    BuildDefinition, BuildField, BuildPredicate, BuilderField, Dependency, DigestSet,
    EnvironmentField, ExternalParameters, FileNotes, GitDigests, InternalParameters, LogNotes,
    PublishedField, RebuiltNotes, Resource, RunDetails, RunField, RunMetadata, SandboxField,
    SignatureField, SourceDependency, SourceField, SourceParameter, Subject, TagField, TagKind,
    ToolField, VerdictPredicate, WithdrawnPredicate, WithdrawsField,
};
use super::rules;
use super::types;
use crate::digest::Digests;
use crate::purl::{self, Purl};
use crate::verdict::Verdict;

/// Longest statement in bytes: in base64 it stays below what readers take by default.
pub const MAX_STATEMENT_BYTES: usize = 4 << 20;

/// Who may believe a signature made with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Custody {
    /// Made for one command and thrown away, or kept for local sources only: nobody trusts it.
    Ephemeral,
    /// An operator keeps it, and others may trust it.
    Operator,
}

#[derive(Serialize)]
struct Written<'a, P> {
    #[serde(rename = "_type")]
    statement_type: &'static str,
    subject: &'a [Subject],
    #[serde(rename = "predicateType")]
    predicate_type: &'static str,
    predicate: &'a P,
}

/// Composes a statement to be signed with a key of this custody.
///
/// # Errors
/// When the facts contradict each other or ask for a claim that they do not carry. Such facts are
/// never signed: they come from a bug or from hostile input.
pub fn compose(facts: &Facts, custody: Custody) -> Result<Vec<u8>, Contradiction> {
    if custody == Custody::Operator && facts.source.uri.starts_with("git+file:") {
        return Err(Contradiction::LocalSource);
    }
    // whatever is asked for, the verdict itself must hold
    let (subject, predicate) = verdict(facts)?;
    if facts.withdrawal.is_some() != (facts.kind == Kind::Withdrawn) {
        return Err(Contradiction::Withdrawal(
            "is there for a withdrawal only, and always then",
        ));
    }
    match facts.kind {
        Kind::Withdrawn => {
            let predicate = withdrawn(facts, predicate)?;
            rules::check_withdrawn(&subject, &predicate)?;
            write(&[subject], types::WITHDRAWN, &predicate)
        }
        Kind::Verdict => write(&[subject], types::of_verdict(facts.verdict), &predicate),
        Kind::Provenance | Kind::BuildRecord => {
            let (subjects, predicate) = build(facts, &predicate)?;
            let due = companion(facts).ok_or(Contradiction::NothingBuilt)?;
            if facts.kind == due {
                write(&subjects, types::of_kind(due, facts.verdict), &predicate)
            } else if due == Kind::Provenance {
                Err(Contradiction::ProvenanceDue)
            } else {
                Err(Contradiction::ProvenanceOfUnvouched(facts.verdict))
            }
        }
    }
}

/// Which statement about the built files goes with the verdict; none where nothing was built.
///
/// Provenance says to readers who know only SLSA that we vouch for bytes. It is issued for bytes that
/// nobody published, or that we reproduced.
#[must_use]
pub fn companion(facts: &Facts) -> Option<Kind> {
    if facts.rebuilt.is_empty() || facts.build.is_none() {
        return None;
    }
    let is_published = facts.rebuilt.iter().any(|rebuilt| {
        let built = rebuilt.digests.sha256;
        built == facts.published.sha256 || facts.known_published.contains(&built)
    });
    if facts.verdict == Verdict::Reproduced || !is_published {
        Some(Kind::Provenance)
    } else {
        Some(Kind::BuildRecord)
    }
}

fn write<P: Serialize>(
    subject: &[Subject],
    predicate_type: &'static str,
    predicate: &P,
) -> Result<Vec<u8>, Contradiction> {
    let written = Written {
        statement_type: types::STATEMENT,
        subject,
        predicate_type,
        predicate,
    };
    // structs, strings and numbers only: serde_json cannot fail on them
    let bytes = serde_json::to_vec(&written).unwrap_or_default();
    if bytes.len() > MAX_STATEMENT_BYTES {
        return Err(Contradiction::TooLong(bytes.len()));
    }
    Ok(bytes)
}

fn verdict(facts: &Facts) -> Result<(Subject, VerdictPredicate), Contradiction> {
    let rebuilt = facts.rebuilt.iter().map(|rebuilt| Resource {
        name: rebuilt.file_name.clone(),
        digest: digest_set(&rebuilt.digests),
        annotations: RebuiltNotes {
            run: rebuilt.run,
            size_bytes: rebuilt.digests.size_bytes,
        },
    });
    let predicate = VerdictPredicate {
        verdict: facts.verdict,
        reason: facts.reason,
        decided_on: facts.decided_on,
        rebuilder: facts.rebuilder.clone(),
        source: source(&facts.source),
        published: published(&facts.published)?,
        rebuilt: rebuilt.collect(),
        assisted_by: facts.assisted_by.clone(),
        comparison: facts.comparison.clone(),
        build: facts.build.as_ref().map(build_field).transpose()?,
        variations: facts.variations.clone(),
    };
    let subject = Subject {
        name: facts.published.file_name.clone(),
        digest: predicate.published.digest,
    };
    rules::check(types::of_verdict(facts.verdict), &subject, &predicate)?;
    rules::check_origins(facts.verdict, &facts.origins)?;
    if let Some(build) = &facts.build {
        rules::check_inputs(facts.verdict, build, &predicate)?;
    }
    Ok((subject, predicate))
}

fn withdrawn(
    facts: &Facts,
    verdict: VerdictPredicate,
) -> Result<WithdrawnPredicate, Contradiction> {
    let withdrawal = facts.withdrawal.clone();
    let withdrawal = withdrawal.ok_or(Contradiction::Withdrawal("is missing"))?;
    Ok(WithdrawnPredicate {
        withdrawn_on: withdrawal.withdrawn_on,
        reason: withdrawal.reason,
        note: withdrawal.note,
        withdraws: WithdrawsField {
            statement: withdrawal.statement,
            predicate_type: types::of_verdict(verdict.verdict).to_owned(),
            verdict: verdict.verdict,
            decided_on: verdict.decided_on,
        },
        rebuilder: verdict.rebuilder,
        published: verdict.published,
    })
}

fn source(source: &Source) -> SourceField {
    SourceField {
        uri: source.uri.clone(),
        reference: source.reference.clone(),
        digest: git_digests(source),
        tree_sha256: source.tree_sha256,
        tag: TagField {
            kind: match source.tag_object {
                Some(_) => TagKind::Annotated,
                None => TagKind::Lightweight,
            },
            signature: SignatureField {
                state: source.signature,
                format: source.signed.as_ref().map(|signed| signed.format),
                key_fingerprint: source
                    .signed
                    .as_ref()
                    .and_then(|s| s.key_fingerprint.clone()),
            },
            moved_from: source.moved_from,
        },
    }
}

const fn git_digests(source: &Source) -> GitDigests {
    GitDigests {
        git_commit: source.commit,
        git_tree: source.tree,
        git_tag: source.tag_object,
    }
}

fn published(published: &Published) -> Result<PublishedField, Contradiction> {
    let purl = published
        .purl
        .as_deref()
        .map(str::parse::<Purl>)
        .transpose();
    Ok(PublishedField {
        purl: purl
            .map_err(Contradiction::Purl)?
            .map(|purl| purl.to_string()),
        file_name: published.file_name.clone(),
        stage: published.stage,
        digest: DigestSet {
            sha256: published.sha256,
            sha512: published.sha512,
        },
        download_location: published.download_location.clone(),
        size_bytes: published.size_bytes,
        retrieved_on: published.retrieved_on,
        declared: published.declared.clone(),
    })
}

fn build_field(build: &Build) -> Result<BuildField, Contradiction> {
    let runs = build.runs.iter().enumerate().map(|(index, run)| RunField {
        started_on: run.started_on,
        finished_on: run.finished_on,
        exit: run.exit.clone(),
        log: log(index, &run.log),
    });
    let toolchain = build.toolchain.iter().map(|tool| {
        Ok(ToolField {
            name: tool.name.clone(),
            uri: purl::of_tool(&tool.name, &tool.version).map_err(Contradiction::Tool)?,
        })
    });
    Ok(BuildField {
        plan: plan(&build.plan),
        runs: runs.collect(),
        network: build.network,
        environment: EnvironmentField {
            architecture: build.architecture.clone(),
            toolchain: toolchain.collect::<Result<_, _>>()?,
            root_tree_sha256: build.root,
            sandbox: SandboxField {
                profile: build.profile.clone(),
                id_mode: build.id_mode,
                limits: build.limits.clone(),
                enforcement: build.enforcement,
            },
        },
        worker: build.worker.clone(),
    })
}

fn plan(plan: &PlanRef) -> Resource<FileNotes> {
    Resource {
        name: "plan.json".to_owned(),
        digest: DigestSet {
            sha256: plan.sha256,
            sha512: None,
        },
        annotations: FileNotes {
            size_bytes: plan.size_bytes,
        },
    }
}

fn log(run: usize, log: &Log) -> Resource<LogNotes> {
    Resource {
        name: format!("run-{run}.log"),
        digest: DigestSet {
            sha256: log.sha256,
            sha512: None,
        },
        annotations: LogNotes {
            size_bytes: log.size_bytes,
            dropped_bytes: log.dropped_bytes,
        },
    }
}

const fn digest_set(digests: &Digests) -> DigestSet {
    DigestSet {
        sha256: digests.sha256,
        sha512: Some(digests.sha512),
    }
}

fn dependencies(facts: &Facts, source: &SourceField) -> Vec<Dependency> {
    let inputs = facts.build.iter().flat_map(|build| &build.inputs);
    let inputs = inputs.map(|input| {
        Dependency::Input(Resource {
            name: input.request.clone(),
            digest: DigestSet {
                sha256: input.sha256,
                sha512: None,
            },
            annotations: FileNotes {
                size_bytes: input.size_bytes,
            },
        })
    });
    let source = Dependency::Source(SourceDependency {
        uri: format!("{}@{}", source.uri, source.reference),
        digest: git_digests(&facts.source),
    });
    std::iter::once(source).chain(inputs).collect()
}

/// The files that we built, each distinct one once, and how; from a verdict's predicate that holds.
fn build(
    facts: &Facts,
    verdict: &VerdictPredicate,
) -> Result<(Vec<Subject>, BuildPredicate), Contradiction> {
    let build = verdict.build.as_ref().ok_or(Contradiction::NothingBuilt)?;
    let tree_sha256 = verdict
        .source
        .tree_sha256
        .ok_or(Contradiction::TreeMissing)?;
    let (Some(first), Some(last)) = (build.runs.first(), build.runs.last()) else {
        return Err(Contradiction::NothingBuilt);
    };
    let source = &verdict.source;
    let predicate = BuildPredicate {
        build_definition: BuildDefinition {
            build_type: types::BUILD_TYPE.to_owned(),
            external_parameters: ExternalParameters {
                source: SourceParameter {
                    uri: source.uri.clone(),
                    reference: source.reference.clone(),
                },
                plan: build.plan.clone(),
            },
            internal_parameters: InternalParameters {
                network: build.network,
                environment: build.environment.clone(),
                tree_sha256,
            },
            resolved_dependencies: dependencies(facts, source),
        },
        run_details: RunDetails {
            builder: BuilderField {
                id: verdict.rebuilder.id.clone(),
                version: verdict.rebuilder.version.clone(),
            },
            metadata: RunMetadata {
                started_on: first.started_on,
                finished_on: last.finished_on,
            },
            byproducts: build.runs.iter().map(|run| run.log.clone()).collect(),
        },
    };
    Ok((built_files(verdict)?, predicate))
}

/// Names in a subject are unique: where two runs made different bytes, the run is part of the name.
fn built_files(verdict: &VerdictPredicate) -> Result<Vec<Subject>, Contradiction> {
    let first = verdict.rebuilt.first().ok_or(Contradiction::NothingBuilt)?;
    if verdict
        .rebuilt
        .iter()
        .all(|rebuilt| rebuilt.digest == first.digest)
    {
        return Ok(vec![Subject {
            name: first.name.clone(),
            digest: first.digest,
        }]);
    }
    let named = verdict.rebuilt.iter().map(|rebuilt| Subject {
        name: format!("run-{}/{}", rebuilt.annotations.run, rebuilt.name),
        digest: rebuilt.digest,
    });
    Ok(named.collect())
}
