//! What `rebuild` came to, as its JSON says it, and the files that it leaves. The JSON is a contract.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use countersign_attest::digest::Sha256;
use countersign_attest::verdict::Verdict;
use countersign_builder::compare::Comparison;
use countersign_builder::outcome::Misses;
use countersign_builder::plan::Candidate;
use serde::Serialize;

use super::vary;
use crate::difference::Difference;
use crate::identity;
use crate::pipeline::source_evidence::Finding;
use crate::pipeline::{ArtifactResult, Findings, facts, issue, words};
use crate::signers::Signers;
use crate::trouble::Trouble;

/// The rebuilder of a one-shot command: nobody in particular.
const ONE_SHOT: &str = "urn:countersign:one-shot";

/// What is printed with `--format json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) release: ReportRelease,
    pub(super) artifacts: Vec<ReportArtifact>,
    pub(super) attempts: Vec<ReportAttempt>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) variations: Vec<vary::ReportVariations>,
}

#[derive(Debug, Serialize)]
pub(super) struct ReportRelease {
    pub(super) source: String,
    pub(super) tag: String,
    pub(super) commit: String,
}

#[derive(Debug, Serialize)]
pub(super) struct ReportDigest {
    pub(super) sha256: Sha256,
}

#[derive(Debug, Serialize)]
pub(super) struct ReportArtifact {
    pub(super) name: String,
    pub(super) published: ReportDigest,
    pub(super) rebuilt: Vec<ReportDigest>,
    pub(super) verdict: Verdict,
    pub(super) reason: Option<&'static str>,
    pub(super) detail: Option<String>,
    pub(super) assisted_by: Vec<countersign_attest::origin::AssistKind>,
    pub(super) normalizations: Vec<String>,
    pub(super) causes: Vec<String>,
    pub(super) findings: Vec<Finding>,
    /// What the recipe read off tree and file.
    pub(super) evidence: Vec<String>,
    pub(super) attestations: Vec<ReportAttestation>,
    #[serde(skip)]
    pub(super) yanked: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct ReportAttestation {
    pub(super) kind: &'static str,
    pub(super) format: &'static str,
    pub(super) path: String,
}

#[derive(Debug, Serialize)]
pub(super) struct ReportAttempt {
    pub(super) candidate: Candidate,
    pub(super) way: String,
    pub(super) why: String,
    pub(super) verdict: Verdict,
    pub(super) plan: String,
    pub(super) outcome: countersign_builder::outcome::Ended,
    #[serde(skip_serializing_if = "Misses::is_empty")]
    pub(super) misses: Misses,
    pub(super) seconds: f64,
}

/// Signs what was found and writes it to the folder; nothing is written where anything is refused.
pub(super) async fn report(
    findings: &Findings,
    signers: &Signers,
    out: &Path,
) -> Result<Report, Trouble> {
    let rebuilder = identity::rebuilder(ONE_SHOT, signers.isolation());
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    let mut artifacts = Vec::new();
    for result in &findings.artifacts {
        let plan = result.plan.and_then(|digest| findings.plans.get(&digest));
        let mut attestations = Vec::new();
        for facts in facts::of(result, plan, &rebuilder, &findings.known_published) {
            let draft = signers.draft(&facts).await?;
            let envelope = signers.sign(&facts, &draft).await?;
            let mut keep = |kind, format, name: String, bytes| {
                let path = out.join(&name).display().to_string();
                attestations.push(ReportAttestation { kind, format, path });
                files.push((name, bytes));
            };
            let kind = facts.kind.word();
            let bundle = signers.bundle(&facts, &envelope)?;
            let sha256 = Sha256::of(&envelope);
            let name = issue::envelope_name(facts.kind, &envelope);
            keep(kind, "dsse", name, envelope);
            if let Some(bundle) = bundle {
                keep(kind, "bundle", issue::bundle_name(kind, &sha256), bundle);
            }
            if let Some(link) = issue::link(signers, &facts).await? {
                keep("link", "metablock", issue::link_name(&sha256), link);
            }
        }
        artifacts.push(artifact(result, attestations));
    }
    for (digest, plan) in &findings.plans {
        files.push((format!("{digest}.plan.json"), plan.to_bytes()));
    }
    files.push((
        "signer.pub.pem".to_owned(),
        signers.public().to_pem().into_bytes(),
    ));
    for result in &findings.artifacts {
        if let Some(difference) = Difference::of(result) {
            let name = |kind| format!("{}.difference.{kind}", result.published.sha256);
            files.push((name("json"), difference.to_json()));
            files.push((name("txt"), difference.to_text().into_bytes()));
        }
    }
    for (name, bytes) in &files {
        issue::write_new(out, name, bytes)?;
    }
    keep_rebuilt(findings, out)?;
    Ok(Report {
        release: ReportRelease {
            source: findings.release.source_uri.clone(),
            tag: findings.release.tag.clone(),
            commit: findings.release.commit.to_string(),
        },
        artifacts,
        attempts: attempts(findings),
        variations: vary::report(findings),
    })
}

/// A rebuilt file that is not the published one is evidence: it is kept for the user to look at.
fn keep_rebuilt(findings: &Findings, out: &Path) -> Result<(), Trouble> {
    for result in &findings.artifacts {
        for file in result
            .rebuilt
            .iter()
            .filter(|f| f.digests.sha256 != result.published.sha256)
        {
            let folder = out.join("rebuilt").join(file.digests.sha256.to_string());
            let copy = || -> std::io::Result<()> {
                std::fs::create_dir_all(&folder)?;
                std::fs::copy(&file.path, folder.join(&file.file_name)).map(|_| ())
            };
            copy()
                .with_context(|| format!("keeping a rebuilt file in {}", folder.display()))
                .map_err(|error| Trouble::fault("disk", error))?;
        }
    }
    Ok(())
}

fn artifact(result: &ArtifactResult, attestations: Vec<ReportAttestation>) -> ReportArtifact {
    let judgement = &result.judgement;
    let (normalizations, mut causes) = match &result.comparison {
        Some(Comparison::Equivalent { normalizations, .. }) => (
            normalizations.iter().map(|n| n.id.clone()).collect(),
            Vec::new(),
        ),
        Some(comparison) => (Vec::new(), words::causes(comparison, &result.causes)),
        None => (Vec::new(), Vec::new()),
    };
    causes.extend(words::encoders(&result.encoders));
    ReportArtifact {
        name: result.published.file_name.clone(),
        published: ReportDigest {
            sha256: result.published.sha256,
        },
        rebuilt: result
            .rebuilt
            .iter()
            .map(|file| ReportDigest {
                sha256: file.digests.sha256,
            })
            .collect(),
        verdict: judgement.verdict,
        reason: judgement.reason.map(|reason| reason.code()),
        detail: judgement.detail.clone(),
        assisted_by: judgement.assisted_by.clone(),
        normalizations,
        causes,
        findings: result.findings.clone(),
        evidence: result.evidence.clone(),
        yanked: result.published.yanked,
        attestations,
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "milliseconds of a build are far below 2^52"
)]
fn attempts(findings: &Findings) -> Vec<ReportAttempt> {
    let all = findings
        .artifacts
        .iter()
        .flat_map(|result| &result.attempts);
    let mut seen = BTreeSet::new();
    // artifacts share the builds of a plan
    let each = all.filter(|attempt| seen.insert(attempt.plan));
    let builds = each.flat_map(|attempt| {
        attempt.outcomes.iter().map(|outcome| ReportAttempt {
            candidate: attempt.candidate.clone(),
            way: attempt.way.clone(),
            why: attempt.why.clone(),
            verdict: attempt.verdict,
            plan: format!("sha256:{}", attempt.plan),
            outcome: outcome.ended.clone(),
            misses: outcome.misses.clone(),
            seconds: outcome.duration_ms as f64 / 1000.0,
        })
    });
    builds.collect()
}
