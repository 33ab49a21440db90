//! `Candidate -> environment`: makes what a candidate runs in be there, and says exactly what it is.
//!
//! Only resolving and fetching happen here, by a signed index; packages are put together in a builder
//! child. A root is kept by what it is made of, and looked at once more before it is used.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use countersign_attest::digest::Sha256;
use countersign_builder::child;
use countersign_builder::environment::debian::{self, BootstrapRequest};
use countersign_builder::plan::{DebianSpec, EnvironmentSpec, Plan, RootPackage};
use countersign_builder::release::Published;
use countersign_builder::sandbox::{ID_BASE, ID_SLOTS};
use countersign_builder::tree;
use serde::{Deserialize, Serialize};

use super::{blocking, child_fault};
use crate::apt::{self, Apt, AptError, Paragraph, Sources, Uri};
use crate::trouble::Trouble;
use crate::workshop::{Step, Workshop};

/// Longest time for making a root.
const TIME: Duration = Duration::from_secs(3600);
/// The root, in the folder that is kept of it.
const ROOT: &str = "root";
/// What the root is, beside it; written before the folder gets its name.
const MADE: &str = "made.json";

/// What is known of a root that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Made {
    /// Digest of its tar.
    root: Sha256,
    /// Digest of what it is unpacked ([`tree::digest`]).
    tree: Sha256,
    /// When each package says that it was made, in seconds since 1970.
    times: BTreeMap<String, i64>,
}

/// Makes the environment of a candidate be there. The inner error says why it cannot be, in words
/// about the release: what it asks for is not in the archive.
///
/// # Errors
/// When the archive cannot be reached or the root cannot be made.
pub(super) async fn settle(
    workshop: &Workshop,
    spec: EnvironmentSpec,
) -> Result<Result<EnvironmentSpec, String>, Trouble> {
    match spec {
        EnvironmentSpec::Host { .. } => Ok(Ok(spec)),
        EnvironmentSpec::Rootfs { sha256 } => workshop.rootfs(&sha256).map(|_| Ok(spec)),
        EnvironmentSpec::Debian(spec) => {
            let settled = settle_debian(workshop, spec).await?;
            Ok(settled.map(EnvironmentSpec::Debian))
        }
    }
}

/// The folder of the root that a settled environment is.
pub(super) fn root(workshop: &Workshop, spec: &EnvironmentSpec) -> Option<PathBuf> {
    match spec {
        EnvironmentSpec::Host { .. } => None,
        // settled, or the builder child refuses a plan whose root is not there
        EnvironmentSpec::Rootfs { sha256 } => workshop.rootfs(sha256).ok().map(Path::to_owned),
        EnvironmentSpec::Debian(spec) => Some(place(workshop, spec).join(ROOT)),
    }
}

/// Most packages that are named where many are.
const NAMED: usize = 5;

/// Packages of an environment that cannot have been there when a published file was made, the youngest first,
/// and how many it has in all. A file is no older than the commit that it is of, whatever it says.
pub(super) fn younger(
    workshop: &Workshop,
    plan: &Plan,
    published: &Published,
) -> Result<(Vec<String>, usize), Trouble> {
    let EnvironmentSpec::Debian(spec) = &plan.candidate.environment else {
        return Ok((Vec::new(), 0));
    };
    let (file, made) = (
        workshop.stored(published)?,
        read_made(&place(workshop, spec)),
    );
    let time = file.and_then(|mut file| time_of(&mut file).ok());
    let (Some((time, _)), Some(made)) = (time, made) else {
        return Ok((Vec::new(), 0));
    };
    let time = time.max(plan.source.epoch.unix_seconds());
    Ok((younger_than(time, &made.times), made.times.len()))
}

fn younger_than(time: i64, times: &BTreeMap<String, i64>) -> Vec<String> {
    let mut younger: Vec<(&String, &i64)> = times.iter().filter(|(_, t)| **t > time).collect();
    younger.sort_by_key(|(name, time)| (-**time, *name));
    younger.into_iter().map(|(name, _)| name.clone()).collect()
}

/// What such packages have to do with a build that came out otherwise, for people.
pub(super) fn explanation(younger: &[String], of: usize) -> Option<String> {
    let named = younger.get(..NAMED).unwrap_or(younger).join(", ");
    (!younger.is_empty()).then(|| {
        format!(
            "{} of {of} packages that it was built with are younger than the published file ({named}{})",
            younger.len(),
            if younger.len() > NAMED { ", …" } else { "" }
        )
    })
}

/// A root is named after what it is made of.
fn place(workshop: &Workshop, spec: &DebianSpec) -> PathBuf {
    let mut text = format!("{}\n", spec.suite);
    for package in &spec.packages {
        text.push_str(&format!("{} {}\n", package.file_name(), package.sha256));
    }
    let name = Sha256::of(text.as_bytes()).to_string();
    workshop.environments().join(name)
}

async fn settle_debian(
    workshop: &Workshop,
    mut spec: DebianSpec,
) -> Result<Result<DebianSpec, String>, Trouble> {
    // what a plan names exactly may be here already, whatever the archive has today
    if !spec.packages.is_empty()
        && let Some(made) = known(&place(workshop, &spec)).await?
    {
        return as_named(spec, &made).map(Ok);
    }
    workshop.progress(Step::Preparing);
    let apt = open_apt(workshop, &spec.suite).await?;
    let uris = match apt.satisfy(&wishes(&apt, &spec).await?).await {
        Ok(uris) => uris,
        Err(AptError::Answer { problem, .. }) => {
            return Ok(Err(format!(
                "the archive of {} has no packages that fulfil what it asks for: {problem}",
                spec.suite
            )));
        }
        Err(error) => return Err(apt_fault(error)),
    };
    let packages = packages(&uris)?;
    if !spec.packages.is_empty() && spec.packages != packages {
        return Err(Trouble::refused(
            "environment-unavailable",
            anyhow!(
                "the archive of {} does not have exactly the packages that the plan names",
                spec.suite
            ),
        ));
    }
    spec.packages = packages;
    let place = place(workshop, &spec);
    let made = match known(&place).await? {
        Some(made) => made,
        None => make(workshop, &apt, &spec, &uris, &place).await?,
    };
    as_named(spec, &made).map(Ok)
}

/// The root's digest must be the one that a plan names, where one does.
fn as_named(mut spec: DebianSpec, made: &Made) -> Result<DebianSpec, Trouble> {
    match spec.root {
        Some(named) if named != made.root => Err(Trouble::refused(
            "environment-differs",
            anyhow!(
                "the root made here of the plan's packages is sha256:{}, the plan names sha256:{named}",
                made.root
            ),
        )),
        Some(_) | None => {
            spec.root = Some(made.root);
            Ok(spec)
        }
    }
}

async fn open_apt(workshop: &Workshop, suite: &str) -> Result<Apt, Trouble> {
    let text = workshop.endpoint("deb").await?;
    let sources = Sources::parse(&text).map_err(|problem| {
        Trouble::refused("registry-unknown", anyhow!("registries.deb: {problem}"))
    })?;
    let sources = sources.of_release(suite);
    Apt::open(workshop.clients(), &sources)
        .await
        .map_err(apt_fault)
}

fn apt_fault(error: AptError) -> Trouble {
    Trouble::fault("apt", error)
}

/// Everything that must be there, as one list of dependencies.
async fn wishes(apt: &Apt, spec: &DebianSpec) -> Result<String, Trouble> {
    if !spec.packages.is_empty() {
        let exact = spec.packages.iter();
        let exact = exact.map(|p| format!("{} (= {})", p.name, p.version));
        return Ok(exact.collect::<Vec<_>>().join(", "));
    }
    let mut all = apt.essential().await.map_err(apt_fault)?;
    all.extend(spec.dependencies.iter().map(|d| d.value.clone()));
    Ok(all.join(", "))
}

fn packages(uris: &[Uri]) -> Result<Vec<RootPackage>, Trouble> {
    let mut packages = Vec::new();
    for uri in uris {
        let package = RootPackage::of_file(&uri.file_name, uri.sha256).ok_or_else(|| {
            Trouble::fault(
                "apt",
                anyhow!("{:?} is no name of a package's file", uri.file_name),
            )
        })?;
        packages.push(package);
    }
    packages.sort();
    Ok(packages)
}

/// A root that was made before, if it is still what it was.
async fn known(place: &Path) -> Result<Option<Made>, Trouble> {
    let Some(made) = read_made(place) else {
        return Ok(None);
    };
    let found = digest(&place.join(ROOT)).await?;
    Ok((found == made.tree).then_some(made))
}

fn read_made(place: &Path) -> Option<Made> {
    let text = fs::read(place.join(MADE)).ok()?;
    serde_json::from_slice(&text).ok()
}

async fn digest(folder: &Path) -> Result<Sha256, Trouble> {
    let opened = File::open(folder)
        .with_context(|| format!("opening {}", folder.display()))
        .map_err(|error| Trouble::fault("environment", error))?;
    let digest = blocking(move || tree::digest(opened.as_fd())).await?;
    digest
        .map(|digest| digest.sha256)
        .map_err(|error| Trouble::fault("environment", error))
}

async fn make(
    workshop: &Workshop,
    apt: &Apt,
    spec: &DebianSpec,
    uris: &[Uri],
    place: &Path,
) -> Result<Made, Trouble> {
    let fault = |error: anyhow::Error| Trouble::fault("environment", error);
    let mut times = BTreeMap::new();
    let folder = workshop.scratch("packages-")?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))
        .context("opening a folder to the maker of a root")
        .map_err(fault)?;
    for uri in uris {
        workshop.fetch_as(&uri.url, uri.sha256).await?;
        let to = folder.path().join(&uri.file_name);
        let from = workshop.blob(&uri.sha256)?;
        times.insert(uri.file_name.clone(), lay_down(from, &to).map_err(fault)?);
    }
    let index = index(apt, spec).await?;
    let release = debian::release(&spec.suite, &index);
    for (name, text) in [("Packages", &index), ("Release", &release)] {
        fs::write(folder.path().join(name), text)
            .with_context(|| format!("writing {name}"))
            .map_err(fault)?;
    }
    let request = BootstrapRequest {
        suite: spec.suite.clone(),
        architecture: apt::debian_architecture().to_owned(),
        packages: spec.packages.iter().map(|p| p.name.clone()).collect(),
        epoch: times.values().copied().max().unwrap_or(0),
        id_base: ID_BASE,
        id_slots: ID_SLOTS,
    };
    let kept = workshop.environment_scratch()?;
    let root = kept.path().join(ROOT);
    let prepare = || -> std::io::Result<(File, File, File)> {
        fs::create_dir(&root)?;
        Ok((
            File::open(folder.path())?,
            tempfile::tempfile_in(kept.path())?,
            File::open(&root)?,
        ))
    };
    let (packages, tar, opened) = prepare()
        .context("preparing folders for a root")
        .map_err(fault)?;
    let binary = workshop.binary().to_owned();
    let tar_digest = blocking(move || {
        let (packages, opened) = (packages.as_fd(), opened.as_fd());
        child::bootstrap(&binary, &request, packages, tar.as_fd(), opened, TIME)
            .map_err(child_fault)?;
        digest_of(tar).map_err(|error| Trouble::fault("environment", error))
    })
    .await??;
    let made = Made {
        root: tar_digest,
        tree: digest(&root).await?,
        times,
    };
    let keep = || -> std::io::Result<()> {
        fs::write(kept.path().join(MADE), serde_json::to_vec(&made)?)?;
        match fs::remove_dir_all(place) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {} // one that is not what it was any more
        }
        fs::rename(kept.path(), place)
    };
    keep().context("keeping a root").map_err(fault)?;
    let _ = kept.keep(); // it has its name now
    Ok(made)
}

/// Copies a package's file to where others can read it, and says when it was made.
fn lay_down(mut from: File, to: &Path) -> anyhow::Result<i64> {
    let read = time_of(&mut from);
    let (time, header) =
        read.with_context(|| format!("{}", to.file_name().unwrap_or_default().display()))?;
    let mut file = File::create_new(to).context("copying a package")?;
    std::io::copy(&mut header.as_slice().chain(from), &mut file).context("copying a package")?;
    file.set_permissions(fs::Permissions::from_mode(0o644))
        .context("copying a package")?;
    Ok(time)
}

/// When a package says that it was made, and the first bytes of it, which say so.
fn time_of(from: &mut File) -> anyhow::Result<(i64, [u8; 68])> {
    let mut header = [0; 68];
    from.read_exact(&mut header)
        .context("reading a package's header")?;
    let time = debian::time_of(&header);
    Ok((
        time.ok_or_else(|| anyhow!("no package file of Debian"))?,
        header,
    ))
}

fn digest_of(mut file: File) -> anyhow::Result<Sha256> {
    use std::io::Seek as _;
    let mut hasher = countersign_attest::digest::Hasher::new();
    file.rewind().context("reading a root")?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).context("reading a root")? {
            0 => return Ok(hasher.finish().sha256),
            read => hasher.update(&buffer[..read]), // read <= buffer.len()
        }
    }
}

/// The index of the packages' folder, of the archive's own paragraphs.
async fn index(apt: &Apt, spec: &DebianSpec) -> Result<String, Trouble> {
    let pinned: BTreeSet<String> = spec
        .packages
        .iter()
        .map(|p| format!("{}={}", p.name, p.version))
        .collect();
    let pinned: Vec<String> = pinned.into_iter().collect();
    let all = apt.paragraphs(&pinned).await.map_err(apt_fault)?;
    let find = |package: &RootPackage| -> Option<BTreeMap<String, String>> {
        let is = |paragraph: &&Paragraph| {
            paragraph.field("package") == Some(&package.name)
                && paragraph.field("version") == Some(&package.version)
                && paragraph.field("architecture") == Some(&package.architecture)
        };
        all.iter().find(is).map(Paragraph::fields)
    };
    let mut paragraphs = Vec::new();
    for package in &spec.packages {
        let fields = find(package).ok_or_else(|| {
            let message = format!("apt has nothing about {} {}", package.name, package.version);
            Trouble::fault("apt", anyhow!(message))
        })?;
        paragraphs.push((package.clone(), fields));
    }
    Ok(debian::index(&paragraphs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_that_cannot_have_been_there_are_named_youngest_first() {
        let times = |all: &[(&str, i64)]| -> BTreeMap<String, i64> {
            all.iter().map(|(n, t)| ((*n).to_owned(), *t)).collect()
        };
        let some = times(&[("a", 5), ("b", 10), ("c", 11), ("d", 12)]);
        let line = explanation(&younger_than(10, &some), 4).unwrap();
        assert!(line.contains("2 of 4 packages"), "{line}");
        assert!(line.contains("(d, c)"), "{line}");
        assert_eq!(explanation(&younger_than(12, &some), 4), None);
        let many = times(&[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1), ("f", 1)]);
        let line = explanation(&younger_than(0, &many), 6).unwrap();
        assert!(line.contains("(a, b, c, d, e, …)"), "{line}");
    }
}
