//! The `countersign.yaml` that a project commits: what it publishes, and how it is built, so that a
//! rebuilder needs no more than its address.
//!
//! It is a stranger's, and a hint. It has no word for what is the operator's alone: no network, limits,
//! keys, local paths, registries, root file systems or settings of the sandbox, and no such word is read
//! over. It is read in the child that reads the tree; the host takes the values and checks them again.

use std::collections::BTreeMap;

use countersign_attest::escape::is_printable;
use countersign_builder::recipe;
use serde::{Deserialize, Serialize};
use url::Url;

use super::written::one_or_more;
use crate::publish::PublishedSource;

/// Where it is in a tree.
pub(crate) const PATH: &str = "countersign.yaml";
/// Longest file in bytes.
pub(crate) const MAX_BYTES: usize = 64 << 10;
/// Most entries of any list.
const MAX_ENTRIES: usize = 64;
/// Longest text in bytes.
const MAX_TEXT_BYTES: usize = 2048;
/// The file that `init --project` writes, with comments.
pub(crate) const TEMPLATE: &str = include_str!("../../../config/project.yaml");
/// What stands for the package in [`TEMPLATE`].
pub(crate) const PLACEHOLDER: &str = "pkg:npm/left-pad";

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    project: Entry,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(deserialize_with = "one_or_more")]
    published: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    package: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recipe: Option<String>,
    #[serde(default)]
    build: Build,
}

impl Entry {
    fn longest_list(&self) -> usize {
        let build = &self.build;
        let lists = [
            self.published.len(),
            build.steps.len(),
            build.variables.len(),
            build.outputs.len(),
            build.tools.len(),
        ];
        let steps = build.steps.iter().map(Vec::len);
        lists.into_iter().chain(steps).max().unwrap_or(0)
    }

    fn texts(&self) -> impl Iterator<Item = &String> {
        let build = &self.build;
        let variables = build.variables.iter();
        let said = self.published.iter().chain(&self.package);
        said.chain(&self.recipe)
            .chain([&build.subdir])
            .chain(build.steps.iter().flatten())
            .chain(variables.flat_map(|(name, value)| [name, value]))
            .chain(&build.outputs)
            .chain(&build.tools)
    }
}

/// How it is built.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Build {
    /// The folder of the tree where the package is; empty for the root.
    pub(crate) subdir: String,
    /// Commands of the generic recipe.
    pub(crate) steps: Vec<Vec<String>>,
    /// Variables of the generic recipe.
    pub(crate) variables: BTreeMap<String, String>,
    /// Outputs of the generic recipe.
    pub(crate) outputs: Vec<String>,
    /// Tools that must be there for the generic recipe.
    pub(crate) tools: Vec<String>,
}

/// A checked file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "File", into = "File")]
pub(crate) struct Project {
    published: Vec<String>,
    /// The package's name, which tags may carry.
    pub(crate) package: Option<String>,
    /// The recipe.
    pub(crate) recipe: Option<String>,
    /// How it is built.
    pub(crate) build: Build,
}

/// Says why a project's file is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub(crate) struct ProjectError {
    key: String,
    problem: String,
}

fn wrong<T>(key: &str, problem: impl Into<String>) -> Result<T, ProjectError> {
    Err(ProjectError {
        key: key.to_owned(),
        problem: problem.into(),
    })
}

/// Reads what stood in a tree. The error is for people, and may repeat what a stranger wrote.
///
/// # Errors
/// On the first thing that is wrong.
pub(crate) fn read(bytes: &[u8]) -> Result<Project, String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!("longer than {MAX_BYTES} bytes"));
    }
    let text = str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    serde_yaml::from_str(text).map_err(|error| error.to_string())
}

impl Project {
    /// Where its published artifacts are. Nothing is fetched for a stranger but packages of configured
    /// registries and files of the host that its source is on.
    ///
    /// # Errors
    /// When it names another place.
    pub(crate) fn published(&self, source_uri: &str) -> Result<Vec<PublishedSource>, ProjectError> {
        let source = source_uri.strip_prefix("git+").unwrap_or(source_uri);
        let host = |text: &str| {
            let url = Url::parse(text).ok()?;
            let bare =
                url.scheme() == "https" && url.username().is_empty() && url.password().is_none();
            let host = url.host_str().filter(|_| bare)?;
            Some((host.to_owned(), url.port()))
        };
        let mut published = Vec::new();
        for text in &self.published {
            let place = text.strip_prefix("digests:").unwrap_or(text);
            let same_host = host(place).is_some() && host(place) == host(source);
            if !text.starts_with("pkg:") && !same_host {
                let problem =
                    format!("{text:?} is neither a package nor on the https host of the source");
                return wrong("project.published", problem);
            }
            match PublishedSource::parse(text, None) {
                Ok(source) => published.push(source),
                Err(error) => return wrong("project.published", error.to_string()),
            }
        }
        Ok(published)
    }
}

impl From<Project> for File {
    fn from(project: Project) -> Self {
        Self {
            version: 1,
            project: Entry {
                published: project.published,
                package: project.package,
                recipe: project.recipe,
                build: project.build,
            },
        }
    }
}

impl TryFrom<File> for Project {
    type Error = ProjectError;

    fn try_from(file: File) -> Result<Self, ProjectError> {
        if file.version != 1 {
            return wrong("version", "write version: 1");
        }
        let entry = file.project;
        if entry.longest_list() > MAX_ENTRIES {
            return wrong(
                "project",
                format!("a list has more than {MAX_ENTRIES} entries"),
            );
        }
        if entry.published.is_empty() {
            return wrong("project.published", "say where the published files are");
        }
        let shows = |text: &String| text.len() <= MAX_TEXT_BYTES && is_printable(text);
        if !entry.texts().all(shows) {
            return wrong(
                "project",
                "a text is too long, or has characters that do not show",
            );
        }
        let Entry {
            published,
            package,
            recipe,
            build,
        } = entry;
        if let Some(name) = &recipe
            && !recipe::names().contains(&name.as_str())
        {
            return wrong("project.recipe", "there is no such recipe");
        }
        if build.subdir.starts_with('/') || build.subdir.split('/').any(|part| part == "..") {
            return wrong("project.build.subdir", "is not a folder of the tree");
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
        let is_tool = |tool: &String| {
            !tool.is_empty() && !tool.starts_with(['.', '-']) && tool.chars().all(plain)
        };
        if !build.tools.iter().all(is_tool) {
            return wrong("project.build.tools", "a tool is the name of a program");
        }
        Ok(Self {
            published,
            package,
            recipe,
            build,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "git+https://forge.example/me/x";

    fn project(published: &str) -> Result<Project, String> {
        read(format!("version: 1\nproject:\n  published: {published}\n").as_bytes())
    }

    #[test]
    fn the_template_holds_and_says_only_what_a_project_may() {
        let project = read(TEMPLATE.as_bytes()).unwrap();
        assert_eq!(project.published(SOURCE).unwrap().len(), 1);
        assert!(TEMPLATE.contains(PLACEHOLDER));
        let again = serde_json::to_string(&project).unwrap();
        assert_eq!(serde_json::from_str::<Project>(&again).unwrap(), project);
    }

    #[test]
    fn what_is_the_operators_alone_has_no_word_here() {
        let good = "version: 1\nproject:\n  published: pkg:npm/x\n  build:\n    subdir: a/b\n";
        assert!(read(good.as_bytes()).is_ok());
        for line in [
            "allow_local: true",
            "allow_http: true",
            "registries: { npm: 'https://evil.example' }",
            "rebuilder: { id: x }",
            "project: {}",
            "  candidates: { keys: [] }",
            "  tag_keys: { ssh: keys }",
            "  fetch_from: ../other",
            "    network: mirror",
            "    limits: { time_seconds: 100000 }",
            "    settings: { user: root }",
            "    root: '00'",
            "    as_of: commit",
            "    from_source: false",
            "    tools: [../sh]",
            "    tools: ['-x']",
            "    subdir: ../..",
            "  recipe: sudo",
            "    steps: [[\"a\\eb\"]]",
        ] {
            assert!(
                read(format!("{good}{line}\n").as_bytes()).is_err(),
                "{line}"
            );
        }
        assert!(read(&vec![b' '; MAX_BYTES + 1]).is_err());
        let many = format!("{good}    outputs: [{}]\n", "x, ".repeat(MAX_ENTRIES + 1));
        assert!(read(many.as_bytes()).is_err());
        assert!(read(b"version: 2\nproject: { published: 'pkg:npm/x' }\n").is_err());
        assert!(read(b"\xff").is_err());
        assert!(project("[]").is_err());
    }

    #[test]
    fn nothing_is_fetched_for_it_but_packages_and_files_of_its_own_host() {
        for good in [
            "pkg:npm/x",
            "https://forge.example/me/x/{tag}/x-{version}.tgz",
            "digests:https://forge.example/{version}/SHA256SUMS",
        ] {
            assert!(project(good).unwrap().published(SOURCE).is_ok(), "{good}");
        }
        for bad in [
            "https://other.example/x-{version}.tgz",
            "https://forge.example:8443/x",
            "https://me@forge.example/x",
            "http://forge.example/x",
            "https://169.254.169.254/latest",
            "digests:http://127.0.0.1/x",
            "./x-{version}.tgz",
            "file:///etc/shadow",
        ] {
            assert!(project(bad).unwrap().published(SOURCE).is_err(), "{bad}");
        }
        let local = project("https://forge.example/x").unwrap();
        assert!(local.published("git+file:x").is_err());
    }
}
