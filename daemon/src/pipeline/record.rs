//! `Candidate -> inputs`: a record run, whose only product is what the mirror served.

use countersign_attest::digest::Sha256;
use countersign_attest::purl::Purl;
use countersign_attest::verdict::Reason;
use countersign_builder::child;
use countersign_builder::environment::Capabilities;
use countersign_builder::plan::{EnvironmentSpec, Plan, PlanInput};
use countersign_builder::release::Published;
use countersign_builder::sandbox::Profile;

use super::replay::{self, Build};
use super::{Resolved, blocking};
use crate::mirror::{Mirror, Mode, UnderTest, Upstreams};
use crate::trouble::Trouble;
use crate::workshop::Workshop;

/// What no build of a release may be served: every published file of it by its digest, and every file
/// of the packages' versions that they are.
pub(super) fn under_test(published: &[Published]) -> UnderTest {
    let mut tested = UnderTest::default();
    for artifact in published {
        tested.digests.push(artifact.sha256);
        let purl = artifact.purl.as_deref().map(str::parse::<Purl>);
        if let Some(Ok(purl)) = purl {
            tested.add_package(purl.kind(), purl.name(), purl.version());
        }
    }
    tested.digests.sort_unstable();
    tested.digests.dedup();
    tested
}

/// What a record run found.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    /// What it was served.
    inputs: Vec<PlanInput>,
    /// Indexes among that which were not as of the plan's moment.
    undated: Vec<String>,
}

impl Record {
    /// Pins the inputs. Where dependencies may be other ones than at the plan's moment, a difference
    /// says nothing about the release.
    pub(super) fn pin(&self, plan: &mut Plan) {
        plan.inputs.clone_from(&self.inputs);
        let Some(first) = self.undated.first() else {
            return;
        };
        let candidate = &mut plan.candidate;
        if candidate.incomplete.is_none() {
            candidate.incomplete = Some(Reason::DependenciesUndated);
            let others = match self.undated.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            candidate.missing = Some(format!(
                "usable times of publication in {first}{others}: the registry has none, or they run backwards"
            ));
        }
    }
}

/// Runs the steps once with registries behind the mirror and returns what they were served. How the
/// run ended does not matter: replays end the same way, and they are what counts.
pub(super) async fn record(
    workshop: &Workshop,
    resolved: &Resolved,
    draft: &Plan,
    digest: Sha256,
    under_test: &UnderTest,
    capabilities: &Capabilities,
) -> Result<Record, Trouble> {
    let upstreams = upstreams(workshop, draft, under_test).await?;
    let build = Build {
        plan: draft,
        digest,
        profile: Profile::first().with(&draft.candidate.settings),
        call: child::record,
        mirror: Some(workshop.mirror_setup(Mode::Record(upstreams))),
    };
    let ran = replay::run(workshop, resolved, build, capabilities).await?;
    let report = ran
        .report
        .ok_or_else(|| Trouble::fault("bug", anyhow::anyhow!("a record run without a mirror")))?;
    for request in &report.unanswered {
        tracing::debug!(%request, "a record run asked for what is not there");
    }
    match report.trouble {
        // what the build made of our trouble says nothing about the release
        Some(told) => Err(told.into()),
        None => Ok(Record {
            inputs: report.inputs,
            undated: report.undated,
        }),
    }
}

/// Gets the inputs of a plan that came from elsewhere.
///
/// # Errors
/// A refusal that names what cannot be had here.
pub(super) async fn gather(
    workshop: &Workshop,
    plan: &Plan,
    under_test: &UnderTest,
) -> Result<(), Trouble> {
    let setup = workshop.mirror_setup(Mode::Gather {
        upstreams: upstreams(workshop, plan, under_test).await?,
        inputs: plan.inputs.clone(),
    });
    let binary = workshop.binary().to_owned();
    let report = blocking(move || Mirror::gather(&binary, &setup))
        .await?
        .map_err(|error| Trouble::fault("mirror", error))?;
    if let Some(told) = report.trouble {
        return Err(told.into());
    }
    if report.unanswered.is_empty() {
        return Ok(());
    }
    Err(Trouble::refused(
        "plan-inputs",
        anyhow::anyhow!(
            "the registries of this machine do not have, or have otherwise, these inputs of the plan: {}",
            report.unanswered.join(", ")
        ),
    ))
}

async fn upstreams(
    workshop: &Workshop,
    plan: &Plan,
    under_test: &UnderTest,
) -> Result<Upstreams, Trouble> {
    // Candidate::check has seen to it
    let as_of = plan
        .candidate
        .as_of
        .ok_or_else(|| Trouble::fault("bug", anyhow::anyhow!("a mirror without a moment")))?;
    let EnvironmentSpec::Host { tools } = &plan.candidate.environment;
    let has = |client: &str| tools.iter().any(|tool| tool.name == client);
    let clients = ["cargo", "npm", "pip"]
        .into_iter()
        .filter(|client| has(client));
    workshop.discover(clients).await?;
    Ok(workshop.upstreams(as_of, under_test.clone()).await)
}
