//! What the templates are given: text that is visible, commands that are quoted, words of verdicts.

use askama::Template;
use countersign_attest::digest::Sha256;
use countersign_attest::escape::printable;
use countersign_attest::key::PublicKey;
use countersign_attest::origin::AssistKind;
use countersign_attest::time::Timestamp;
use countersign_attest::verdict::{Reason, Verdict};

use super::shell::{as_file, command};
use crate::api::file_name;
use crate::api::view::{ArtifactView, MemberView, ReleaseSummary, ReleaseView};
use crate::difference::{Difference, Row, rows};

/// Who speaks here.
#[derive(Debug, Clone)]
pub(crate) struct About {
    /// The URI of this rebuilder, as statements carry it.
    pub(crate) rebuilder_id: String,
    /// The operator's key.
    pub(crate) key: SigningKey,
    /// The key for folders of the operator's machine, where such are allowed.
    pub(crate) local_key: Option<SigningKey>,
    /// Where its service is, as its identity says.
    pub(crate) address: Option<String>,
    /// Its signed identity, as `trust add` reads it.
    pub(crate) card: Vec<u8>,
    /// What signed before, the operator's word on when included.
    pub(crate) retired: Vec<Retired>,
}

/// A key that does not sign any more.
#[derive(Debug, Clone)]
pub(crate) struct Retired {
    /// The key.
    pub(crate) key: SigningKey,
    /// When it began to sign, where that is said.
    pub(crate) from: Option<Timestamp>,
    /// When it ceased to.
    pub(crate) until: Timestamp,
}

impl About {
    /// The keys that sign.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.key).chain(&self.local_key)
    }

    /// The keys that sign, then those that did.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &SigningKey> {
        let retired = self.retired.iter().map(|retired| &retired.key);
        self.in_use().chain(retired)
    }
}

/// The public half of a key that signs here.
#[derive(Debug, Clone)]
pub(crate) struct SigningKey {
    /// The key id in signatures: 64 characters of hexadecimal.
    pub(crate) id: String,
    /// The same in groups, as `key show` prints it.
    pub(crate) fingerprint: String,
    /// The file that `verify --key` takes.
    pub(crate) pem: String,
    /// The same for in-toto's Rust software.
    pub(crate) pem_with_null: String,
}

impl SigningKey {
    /// The name under which the file is served.
    pub(crate) fn file_name(&self) -> String {
        key_file_name(&self.id)
    }
}

impl From<PublicKey> for SigningKey {
    fn from(key: PublicKey) -> Self {
        Self {
            id: key.key_id(),
            fingerprint: key.fingerprint(),
            pem: key.to_pem(),
            pem_with_null: key.to_pem_with_null(),
        }
    }
}

fn key_file_name(id: &str) -> String {
    format!("{id}.pem")
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
    /// What was searched for; empty where nothing was.
    query: &'a str,
    releases: &'a [ReleaseSummary],
    next: Option<i64>,
}

impl<'a> IndexPage<'a> {
    pub(super) const fn new(
        about: &'a About,
        query: &'a str,
        releases: &'a [ReleaseSummary],
        next: Option<i64>,
    ) -> Self {
        Self {
            about,
            query,
            releases,
            next,
        }
    }

    /// Where the list goes on after a release.
    fn further(&self, after: &i64) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if !self.query.is_empty() {
            query.append_pair("q", self.query);
        }
        query.append_pair("after", &after.to_string());
        format!("/?{}", query.finish())
    }
}

/// The form that finds a file by its digest.
#[derive(Template)]
#[template(path = "by-digest.html")]
pub(super) struct ByFilePage;

/// Who rebuilds here, and how somebody comes to trust it.
#[derive(Template)]
#[template(path = "operator.html")]
pub(super) struct OperatorPage<'a> {
    about: &'a About,
    /// The command that takes this operator into a policy; the address is the reader's to fill in where
    /// the operator says none.
    command: String,
}

impl<'a> OperatorPage<'a> {
    pub(super) fn new(about: &'a About) -> Self {
        let address = about.address.as_deref().unwrap_or("ADDRESS");
        Self {
            about,
            command: command(&["countersign", "trust", "add", address]),
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
            .map(|artifact| Shown::new(about, release, artifact))
            .collect();
        Self {
            about,
            release,
            artifacts,
        }
    }
}

/// How a published file and what was rebuilt of it differ, as a tree.
#[derive(Template)]
#[template(path = "difference.html")]
pub(super) struct DifferencePage<'a> {
    difference: &'a Difference,
    rows: Vec<Row>,
    /// The release's number: it was parsed as one before anything was found.
    release: &'a str,
}

impl<'a> DifferencePage<'a> {
    pub(super) fn new(release: &'a str, difference: &'a Difference) -> Self {
        Self {
            difference,
            rows: rows(difference),
            release,
        }
    }

    fn document(&self) -> String {
        let Self {
            difference,
            release,
            ..
        } = self;
        let digest = difference.published;
        format!("/api/v1/releases/{release}/differences/sha256:{digest}")
    }
}

/// How far a row is indented: a class of the style sheet, from a closed list.
fn indent(row: &Row) -> String {
    format!("d{}", row.depth.min(9))
}

/// One artifact with the commands that concern it.
struct Shown<'a> {
    artifact: &'a ArtifactView,
    signed: Option<Signed<'a>>,
    rebuild: Option<String>,
}

/// How the statement is checked that says what was found.
struct Signed<'a> {
    /// The command.
    command: String,
    /// The id of the key that signed.
    key_id: &'a str,
    /// The key, while it is in use.
    key: Option<&'a SigningKey>,
    /// Whether it speaks for folders of the operator only.
    local: bool,
}

impl<'a> Shown<'a> {
    fn new(about: &'a About, release: &ReleaseView, artifact: &'a ArtifactView) -> Self {
        let verdict = artifact.statements.iter().find(|s| s.kind == CHECKED);
        let signed = verdict.map(|statement| {
            let (file, attestation) = (as_file(&artifact.name), file_name(&statement.digest));
            let key = key_file_name(&statement.key_id);
            let words = ["--key", &key, "--attestation", &attestation];
            Signed {
                command: command(&[&["countersign", "verify", &file], &words[..]].concat()),
                key_id: &statement.key_id,
                key: about.keys().find(|key| key.id == statement.key_id),
                local: about
                    .local_key
                    .as_ref()
                    .is_some_and(|key| key.id == statement.key_id),
            }
        });
        Self {
            artifact,
            signed,
            rebuild: rebuild_command(release, artifact),
        }
    }

    fn is_withdrawn(&self) -> bool {
        self.artifact.statements.iter().any(|s| s.kind == WITHDRAWN)
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
const WITHDRAWN: crate::api::view::StatementKind = crate::api::view::StatementKind::Withdrawn;

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
        AssistKind::OwnRelease => "another release of the same package",
    }
}

const fn difference(member: &MemberView) -> &'static str {
    crate::difference::difference(member.what)
}

/// The page about what differs, where that is known.
fn difference_page(url: &str) -> &str {
    url.strip_prefix("/api/v1").unwrap_or(url)
}

/// Text of a stranger, or nothing.
fn text(text: &str) -> String {
    printable(text)
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
