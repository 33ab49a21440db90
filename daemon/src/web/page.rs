//! What the templates are given: text that is visible, commands that are quoted, words of verdicts.

use askama::Template;
use countersign_attest::digest::Sha256;
use countersign_attest::origin::AssistKind;
use countersign_attest::time::Timestamp;
use countersign_attest::verdict::{Reason, Verdict};
use countersign_builder::compare::DifferenceKind;

use super::shell::{as_file, command};
use super::visible::Visible;
use crate::api::file_name;
use crate::api::view::{ArtifactView, MemberView, ReleaseSummary, ReleaseView};

/// Who speaks on these pages.
#[derive(Debug, Clone)]
pub(crate) struct About {
    /// The URI of this rebuilder, as statements carry it.
    pub(crate) rebuilder_id: String,
    /// The fingerprint of the key that signs statements, as `key show` prints it.
    pub(crate) key_fingerprint: String,
}

/// What is said where there is no verdict.
const NOT_CHECKED: &str = "Not checked yet";

fn sentence(verdict: &Option<Verdict>) -> &'static str {
    verdict.map_or(NOT_CHECKED, Verdict::sentence)
}

/// A class of the style sheet, from a closed list.
fn class(verdict: &Option<Verdict>) -> &'static str {
    verdict.map_or("none", Verdict::word)
}

/// The list of releases.
#[derive(Template)]
#[template(path = "index.html")]
pub(super) struct IndexPage<'a> {
    about: &'a About,
    releases: &'a [ReleaseSummary],
    next: Option<i64>,
}

impl<'a> IndexPage<'a> {
    pub(super) const fn new(
        about: &'a About,
        releases: &'a [ReleaseSummary],
        next: Option<i64>,
    ) -> Self {
        Self {
            about,
            releases,
            next,
        }
    }
}

/// One release.
#[derive(Template)]
#[template(path = "release.html")]
pub(super) struct ReleasePage<'a> {
    about: &'a About,
    release: &'a ReleaseView,
    artifacts: Vec<Shown<'a>>,
}

impl<'a> ReleasePage<'a> {
    pub(super) fn new(about: &'a About, release: &'a ReleaseView) -> Self {
        let artifacts = release
            .artifacts
            .iter()
            .map(|a| Shown::new(release, a))
            .collect();
        Self {
            about,
            release,
            artifacts,
        }
    }
}

/// One artifact with the commands that concern it.
struct Shown<'a> {
    artifact: &'a ArtifactView,
    check: Vec<String>,
    rebuild: Option<String>,
}

impl<'a> Shown<'a> {
    fn new(release: &ReleaseView, artifact: &'a ArtifactView) -> Self {
        let check = artifact
            .statements
            .iter()
            .filter(|s| s.kind == CHECKED)
            .map(|statement| {
                let (file, attestation) = (as_file(&artifact.name), file_name(&statement.digest));
                let key = ["--key", "REBUILDER.pub", "--attestation", &attestation];
                command(&[&["countersign", "verify", &file], &key[..]].concat())
            });
        Self {
            artifact,
            check: check.collect(),
            rebuild: rebuild_command(release, artifact),
        }
    }

    fn assists(&self) -> String {
        let names: Vec<&str> = self
            .artifact
            .assisted_by
            .iter()
            .map(|a| assist(*a))
            .collect();
        names.join(", ")
    }
}

/// The kind of statement that `verify` judges an artifact by.
const CHECKED: crate::api::view::StatementKind = crate::api::view::StatementKind::Verdict;

/// The command that repeats the work elsewhere; `None` for a folder that only its operator has.
fn rebuild_command(release: &ReleaseView, artifact: &ArtifactView) -> Option<String> {
    let source = release
        .source
        .strip_prefix("git+")
        .unwrap_or(&release.source);
    if source.starts_with("file:") {
        return None;
    }
    let digest = format!("sha256:{}", artifact.sha256);
    let remote = |place: &&str| !place.starts_with("file:");
    let published = artifact.purl.as_deref();
    let published = published.or(artifact.download_location.as_deref().filter(remote));
    let options = [
        format!("--source={source}"),
        format!("--tag={}", release.tag),
        format!("--published={}", published.unwrap_or(&digest)),
    ];
    let [source, tag, published] = &options;
    Some(command(&["countersign", "rebuild", source, tag, published]))
}

const fn assist(kind: AssistKind) -> &'static str {
    match kind {
        AssistKind::LockfileInert => "a lock file that is only a member",
        AssistKind::FileTimes => "times of members",
        AssistKind::Epoch => "the build's date",
        AssistKind::Owners => "owners of members",
        AssistKind::Commit => "the commit",
        AssistKind::Metadata => "other metadata of the container",
    }
}

fn difference(member: &MemberView) -> &'static str {
    match member.what {
        DifferenceKind::OnlyPublished => "only in the published file",
        DifferenceKind::OnlyRebuilt => "only in ours",
        DifferenceKind::Content => "other content",
        DifferenceKind::Type => "other type",
        DifferenceKind::Mode => "other permissions",
        DifferenceKind::Order => "other position",
        DifferenceKind::Container => "beside the members",
    }
}

/// Text of a stranger, or nothing.
fn text(text: &str) -> Visible<'_> {
    Visible(text)
}

fn moment(time: &Option<Timestamp>) -> String {
    time.map_or_else(|| "not yet".to_owned(), |t| t.to_string())
}

fn because(reason: &Option<Reason>) -> &'static str {
    reason.map_or("", Reason::sentence)
}

fn plan_url(sha256: &Sha256) -> String {
    format!("/plans/sha256:{sha256}")
}

/// Why there is no page.
#[derive(Template)]
#[template(path = "error.html")]
pub(super) struct ErrorPage {
    pub(super) title: &'static str,
    pub(super) detail: &'static str,
}
