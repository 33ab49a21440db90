//! Finds the package in a source tree: its manifest, its workspace, its lock file. Runs in a confined
//! child.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::BorrowedFd;

use toml::{Table, Value};

use super::super::{Evidence, InspectError, InspectRequest};
use super::{CargoEvidence, PublishedCrate, lock, published};
use crate::tree::{self, Entry, Order, TreeError};

/// Longest manifest that is read.
pub(super) const MAX_MANIFEST_BYTES: u64 = 1 << 20;
/// Most manifests of a tree that are read.
const MAX_MANIFESTS: usize = 2000;
/// Longest name or version that is believed.
const MAX_TEXT_BYTES: usize = 256;

pub(super) fn inspect(
    request: &InspectRequest,
    tree: BorrowedFd<'_>,
    artifact: Option<File>,
) -> Result<Evidence, InspectError> {
    let published = artifact.map_or(PublishedCrate::NotGiven, |file| {
        published::read(file, request)
    });
    let found = Manifests::read(tree).map_err(|source| InspectError::Tree {
        path: "Cargo.toml".to_owned(),
        source: std::io::Error::other(source),
    })?;
    Ok(match found.evidence(&request.subdir, published) {
        Ok(evidence) => Evidence::Cargo(Box::new(evidence)),
        Err(detail) => Evidence::Unusable { detail },
    })
}

/// The manifests of a tree by folder, and the lock files: what they name that no registry has.
#[derive(Default)]
struct Manifests {
    manifests: BTreeMap<String, Package>,
    locks: BTreeMap<String, Vec<String>>,
    passed_over: bool,
}

impl Manifests {
    fn read(tree: BorrowedFd<'_>) -> Result<Self, TreeError> {
        let mut all = Self::default();
        tree::walk(tree, Order::Ascending, &mut |path, entry| {
            let Entry::File(file, _) = entry else {
                return Ok(());
            };
            // the folder of a path that is not UTF-8 cannot be named in a plan
            let Ok(path) = std::str::from_utf8(path) else {
                return Ok(());
            };
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            match name {
                "Cargo.lock" => all.add_lock(folder, file),
                "Cargo.toml" => all.add(folder, file),
                _ => {}
            }
            Ok::<_, TreeError>(())
        })?;
        Ok(all)
    }

    /// Adds a manifest; one that cannot be read is passed over, since a tree may have broken ones
    /// among its test data.
    fn add(&mut self, folder: &str, file: File) {
        let mut bytes = Vec::new();
        let read = file.take(MAX_MANIFEST_BYTES + 1).read_to_end(&mut bytes);
        let fits = read.is_ok_and(|length| length as u64 <= MAX_MANIFEST_BYTES)
            && self.manifests.len() < MAX_MANIFESTS;
        match Package::parse(&bytes) {
            Ok(package) if fits => {
                self.manifests.insert(folder.to_owned(), package);
            }
            Ok(_) | Err(_) => self.passed_over = true,
        }
    }

    fn add_lock(&mut self, folder: &str, file: File) {
        let mut bytes = Vec::new();
        // one that cannot be read is there all the same
        let read = file.take(lock::MAX_BYTES).read_to_end(&mut bytes);
        let elsewhere = read.map_or_else(|_| Vec::new(), |_| lock::elsewhere(&bytes));
        self.locks.insert(folder.to_owned(), elsewhere);
    }

    fn evidence(
        &self,
        subdir: &str,
        mut published: PublishedCrate,
    ) -> Result<CargoEvidence, String> {
        let (member, package) = self.member(subdir, &published)?;
        let root = self.root_of(member);
        let workspace = root.and_then(|root| self.manifests.get(root));
        let root = root.unwrap_or(member);
        let name = package
            .text("name")
            .ok_or("the package has no usable name")?;
        let version = package
            .text("version")
            .or_else(|| workspace?.workspace_version())
            .ok_or("the package has no usable version")?;
        if let PublishedCrate::Found(facts) = &mut published {
            let needed = workspace.map_or(0, Package::needs).max(package.needs());
            facts.cargo = facts.cargo.since(needed);
        }
        let depth = |folder: &str| folder.split('/').filter(|part| !part.is_empty()).count();
        Ok(CargoEvidence {
            name,
            version,
            member: member.to_owned(),
            root_above: depth(member).saturating_sub(depth(root)),
            tree_lock: self.locks.contains_key(root),
            elsewhere: self.locks.get(root).cloned().unwrap_or_default(),
            dependencies: self
                .manifests
                .iter()
                .any(|(folder, manifest)| is_below(folder, root) && manifest.has_dependencies()),
            published,
        })
    }

    /// The package with the published name: where the operator says, else where the crate says that it
    /// was, else nearest to the root.
    fn member(&self, subdir: &str, published: &PublishedCrate) -> Result<(&str, &Package), String> {
        let (wanted, path) = match published {
            PublishedCrate::Found(facts) => (
                Some(facts.name.as_str()),
                facts.vcs.as_ref().and_then(|vcs| vcs.path.as_deref()),
            ),
            PublishedCrate::NotGiven | PublishedCrate::Unreadable { .. } => (None, None),
        };
        let fits = |package: &Package| match wanted {
            Some(wanted) => package.text("name").as_deref() == Some(wanted),
            None => package.text("name").is_some(),
        };
        let at = |folder: &str| {
            let (folder, package) = self.manifests.get_key_value(folder)?;
            fits(package).then_some((folder.as_str(), package))
        };
        let below = |folder: &&str| is_below(folder, subdir);
        let nearest = self
            .manifests
            .iter()
            .map(|(folder, package)| (folder.as_str(), package))
            .filter(|(folder, package)| below(folder) && fits(package))
            .min_by_key(|(folder, _)| folder.split('/').count() + usize::from(!folder.is_empty()));
        at(subdir)
            .or_else(|| path.filter(below).and_then(at))
            .or(nearest)
            .ok_or_else(|| match (wanted, self.passed_over) {
                (Some(name), false) => format!("no Cargo.toml of the tree is of package {name:?}"),
                (Some(name), true) => {
                    format!("no readable Cargo.toml of the tree is of package {name:?}")
                }
                (None, _) => "the tree has no Cargo.toml of a package".to_owned(),
            })
    }

    /// The nearest folder at or above with a `[workspace]`.
    fn root_of<'a>(&self, member: &'a str) -> Option<&'a str> {
        let mut folder = member;
        loop {
            let manifest = self.manifests.get(folder);
            if manifest.is_some_and(|m| m.0.contains_key("workspace")) {
                return Some(folder);
            }
            if folder.is_empty() {
                return None;
            }
            folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
        }
    }
}

fn is_below(folder: &str, root: &str) -> bool {
    root.is_empty()
        || folder
            .strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A manifest.
pub(super) struct Package(Table);

impl Package {
    /// Reads a Cargo.toml; the error says what is wrong with it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
        let table = text.parse().map_err(|_| "is not TOML")?;
        Ok(Self(table))
    }

    pub(super) fn name_and_version(&self) -> Result<(String, String), String> {
        let name = self
            .text("name")
            .ok_or("its Cargo.toml has no usable name")?;
        let version = self.text("version");
        Ok((name, version.ok_or("its Cargo.toml has no usable version")?))
    }

    /// All of it.
    pub(super) const fn table(&self) -> &Table {
        &self.0
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        text_of(self.0.get("package")?, key)
    }

    pub(super) fn workspace_version(&self) -> Option<String> {
        text_of(self.0.get("workspace")?.get("package")?, "version")
    }

    /// The first cargo that can read it.
    pub(super) fn needs(&self) -> u32 {
        let package = self.0.get("package");
        let part = |key: &str| package.and_then(|package| package.get(key));
        let inherited = |key: &str| part(key).and_then(|value| value.get("workspace"));
        let shared = self.0.get("workspace").and_then(|w| w.get("package"));
        let edition = part("edition").or_else(|| shared?.get("edition"));
        let edition = match edition.and_then(Value::as_str) {
            Some("2018") => 31,
            Some("2021") => 56,
            Some("2024") => 85,
            Some(_) | None => 0,
        };
        let resolver = part("resolver").or_else(|| self.0.get("workspace")?.get("resolver"));
        let resolver = match resolver.and_then(Value::as_str) {
            Some("2") => 51,
            Some("3") => 84,
            Some(_) | None => 0,
        };
        let inherits = shared.is_some()
            || ["version", "edition"]
                .iter()
                .any(|key| inherited(key).is_some());
        edition.max(resolver).max(if inherits { 64 } else { 0 })
    }

    /// Whether cargo wrote out which targets it found, with this key among them.
    pub(super) fn spells_out_targets(&self, key: &str) -> bool {
        let package = self.0.get("package");
        package.is_some_and(|package| package.get(key).is_some())
    }

    /// Whether it has a library and nothing to run. Only told of a manifest that cargo wrote out.
    pub(super) fn is_library(&self) -> bool {
        let some = |key: &str| match self.0.get(key) {
            Some(Value::Array(list)) => !list.is_empty(),
            Some(_) | None => false,
        };
        self.0.contains_key("lib") && !some("bin") && !some("example")
    }

    fn has_dependencies(&self) -> bool {
        let sections = |table: &Table| {
            ["dependencies", "dev-dependencies", "build-dependencies"]
                .iter()
                .any(|key| is_table_with_entries(table.get(*key)))
        };
        let targets = self.0.get("target").and_then(Value::as_table);
        let mut targets = targets.into_iter().flat_map(Table::values);
        sections(&self.0) || targets.any(|target| target.as_table().is_some_and(sections))
    }
}

fn is_table_with_entries(value: Option<&Value>) -> bool {
    value
        .and_then(Value::as_table)
        .is_some_and(|table| !table.is_empty())
}

fn text_of(table: &Value, key: &str) -> Option<String> {
    let text = table.get(key)?.as_str()?;
    (!text.is_empty() && text.len() <= MAX_TEXT_BYTES).then(|| text.to_owned())
}
