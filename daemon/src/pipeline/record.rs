//! `Candidate -> inputs`: a record run, whose only product is what the mirror served.

use countersign_attest::digest::Sha256;
use countersign_attest::origin::Origin;
use countersign_attest::purl::Purl;
use countersign_attest::verdict::Reason;
use countersign_builder::archive::ReadLimits;
use countersign_builder::child;
use countersign_builder::environment::Capabilities;
use countersign_builder::plan::{Plan, PlanInput};
use countersign_builder::release::Published;
use countersign_builder::sandbox::Profile;

use super::replay::{self, Build};
use super::{PARSE_TIME, Resolved, blocking, child_fault};
use crate::mirror::{Mirror, Mode, REGISTRIES, UnderTest, Upstreams};
use crate::trouble::Trouble;
use crate::workshop::Workshop;

/// What a build for one artifact may not be served: every version of the package that it is of, the
/// versions and files of everything else of the release, by their digests and by the digests of what is
/// in them. `inside` are the latter.
///
/// A candidate that needs other versions of its own package is shown them: what it is then served taints.
pub(super) fn under_test(
    published: &[Published],
    inside: &[Sha256],
    artifact: &Published,
    own_releases: bool,
) -> UnderTest {
    let mut tested = UnderTest::default();
    for other in published {
        tested.add_digest(other.sha256);
        if let Some(purl) = purl(other) {
            tested.add_version(purl.kind(), &full_name(&purl), purl.version());
        }
    }
    for sha256 in inside {
        tested.add_digest(*sha256);
    }
    match purl(artifact) {
        Some(purl) if !own_releases => tested.add_name(purl.kind(), &full_name(&purl)),
        Some(_) | None => {}
    }
    tested
}

fn purl(published: &Published) -> Option<Purl> {
    published.purl.as_deref()?.parse().ok()
}

/// The package that an artifact is of, in whichever version: builds of one are kept from other things
/// than builds of another.
pub(super) fn package(artifact: &Published) -> Option<String> {
    let purl = purl(artifact)?;
    Some(format!("{}/{}", purl.kind(), full_name(&purl)))
}

/// The name with its namespace, as registries have it.
fn full_name(purl: &Purl) -> String {
    let namespace = purl.namespace().map(|namespace| format!("{namespace}/"));
    format!("{}{}", namespace.unwrap_or_default(), purl.name())
}

/// Digests of what is in the published files, where they are compressed and here.
pub(super) async fn insides(
    workshop: &Workshop,
    published: &[Published],
) -> Result<Vec<Sha256>, Trouble> {
    let mut insides = Vec::new();
    for artifact in published {
        let Some(file) = workshop.stored(artifact)? else {
            continue;
        };
        let binary = workshop.binary().to_owned();
        let limits = ReadLimits::default();
        let found = blocking(move || child::unpack(&binary, &file, limits, PARSE_TIME)).await?;
        insides.extend(found.map_err(child_fault)?);
    }
    Ok(insides)
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
    artifact: &Published,
    under_test: UnderTest,
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
    if let Some(told) = report.trouble {
        // what the build made of our trouble says nothing about the release
        return Err(told.into());
    }
    let mut inputs = report.inputs;
    for input in &mut inputs {
        input.origin = origin(&input.request, artifact);
    }
    Ok(Record {
        inputs,
        undated: report.undated,
    })
}

/// Who chose an input: the registry, or the package under test, of which it is.
fn origin(request: &str, artifact: &Published) -> Origin {
    match purl(artifact) {
        Some(purl) if purl.is_requested_by(request) => Origin::Artifact,
        Some(_) | None => Origin::Registry,
    }
}

/// Refuses a plan that says otherwise of its inputs than we would.
pub(super) fn check_origins(plan: &Plan, artifact: &Published) -> Result<(), Trouble> {
    let mut inputs = plan.inputs.iter();
    match inputs.find(|input| input.origin != origin(&input.request, artifact)) {
        None => Ok(()),
        Some(input) => Err(Trouble::refused(
            "plan-origins",
            anyhow::anyhow!(
                "the plan says that {} came from another origin than it can have come from",
                input.request
            ),
        )),
    }
}

/// Gets the inputs of a plan that came from elsewhere.
///
/// # Errors
/// A refusal that names what cannot be had here.
pub(super) async fn gather(
    workshop: &Workshop,
    plan: &Plan,
    under_test: UnderTest,
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
    under_test: UnderTest,
) -> Result<Upstreams, Trouble> {
    // Candidate::check has seen to it
    let as_of = plan
        .candidate
        .as_of
        .ok_or_else(|| Trouble::fault("bug", anyhow::anyhow!("a mirror without a moment")))?;
    let tools = plan.candidate.environment.tools();
    let has = |client: &str| tools.iter().any(|tool| tool.name == client);
    let clients = REGISTRIES.iter().map(|registry| registry.client);
    let clients = clients.filter(|client| has(client));
    workshop.discover(clients).await?;
    Ok(workshop.upstreams(as_of, under_test).await)
}
