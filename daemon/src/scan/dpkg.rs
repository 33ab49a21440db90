//! What dpkg says is installed, with the digests that apt knows: those of its lists, whose signatures it
//! has checked, and of packages that it kept. dpkg itself keeps no digest of a package.
//!
//! Reads below one folder and changes nothing. Lists may be compressed in any way that apt knows, so apt
//! itself opens them; it is asked nothing else.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use countersign_attest::digest::Sha256;
use countersign_attest::purl::Purl;

use super::control::paragraphs;
use super::{Entry, FileDigest, Files, MAX_BYTES, MAX_ENTRIES};
use crate::publish::name::percent_encoded;

const STATUS: &str = "var/lib/dpkg/status";
const LISTS: &str = "var/lib/apt/lists";
const KEPT: &str = "var/cache/apt/archives";
const RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];
/// apt's own program that opens a list, from the running system.
const HELPER: &str = "/usr/lib/apt/apt-helper";
/// Most bytes of a list, unpacked.
const LIST_BYTES: u64 = 1 << 30;

/// Says why it is not known what is installed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DpkgError {
    /// A file cannot be read.
    #[error("reading {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// More packages than are taken.
    #[error("{} has more than {MAX_ENTRIES} packages", .0.display())]
    TooMany(PathBuf),
}

/// What is installed, and what else should be said.
#[derive(Debug)]
pub(crate) struct Installed {
    /// Each package once, in order of their names.
    pub(crate) entries: Vec<Entry>,
    /// Lists that could not be opened: their digests are not known.
    pub(crate) problems: Vec<String>,
}

/// A version of a package for an architecture.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Package {
    name: String,
    version: String,
    arch: String,
}

impl Package {
    fn of([name, version, arch]: [Option<String>; 3]) -> Option<Self> {
        Some(Self {
            name: name?,
            version: version?,
            arch: arch?,
        })
    }

    /// The name under which apt keeps its file.
    fn file_name(&self) -> String {
        let version = self.version.replace(':', "%3a");
        format!("{}_{version}_{}.deb", self.name, self.arch)
    }

    fn purl(&self, vendor: &str) -> Option<Purl> {
        let [vendor, name, version, arch] = [vendor, &self.name, &self.version, &self.arch]
            .map(|piece| percent_encoded(piece, b""));
        let text = format!("pkg:deb/{vendor}/{name}@{version}?arch={arch}");
        text.parse().ok()
    }
}

type Known = HashMap<Package, BTreeSet<FileDigest>>;

/// Reads what is installed below a folder: `/`, or the root of another system.
///
/// # Errors
/// When the status file cannot be read. A list that cannot be only leaves its digests unknown.
pub(crate) fn installed(root: &Path) -> Result<Installed, DpkgError> {
    let packages = status(&root.join(STATUS))?;
    let vendor = vendor(root);
    let mut known: Known = packages
        .into_iter()
        .map(|package| (package, BTreeSet::new()))
        .collect();
    let mut problems = Vec::new();
    for list in lists(&root.join(LISTS)) {
        if let Err(error) = listed(&list, &mut known) {
            problems.push(format!("{} was not read: {error}", list.display()));
        }
    }
    let mut entries = Vec::new();
    for (package, mut digests) in known {
        digests.extend(kept(&root.join(KEPT).join(package.file_name())));
        entries.push(Entry {
            name: format!("{} {} {}", package.name, package.version, package.arch),
            purl: package.purl(&vendor),
            files: if digests.is_empty() {
                Files::NameOnly
            } else {
                Files::OneOf(digests)
            },
        });
    }
    entries.sort();
    Ok(Installed { entries, problems })
}

/// The packages of a status file whose files are there, in whatever state they are.
fn status(path: &Path) -> Result<BTreeSet<Package>, DpkgError> {
    let io = |source| DpkgError::Io {
        path: path.to_owned(),
        source,
    };
    let file = BufReader::new(File::open(path).map_err(io)?).take(MAX_BYTES.saturating_mul(8));
    let mut packages = BTreeSet::new();
    let names = ["Package", "Version", "Architecture", "Status"];
    paragraphs(file, names, |[name, version, arch, status]| {
        let state = status.as_deref().and_then(|s| s.split(' ').nth(2));
        let is_there = !matches!(state, Some("not-installed" | "config-files"));
        if let (true, Some(package)) = (is_there, Package::of([name, version, arch])) {
            packages.insert(package);
        }
    })
    .map_err(io)?;
    if packages.len() > MAX_ENTRIES {
        return Err(DpkgError::TooMany(path.to_owned()));
    }
    Ok(packages)
}

/// Whose distribution it is: the first part of its package URLs.
fn vendor(root: &Path) -> String {
    let text = RELEASE
        .iter()
        .find_map(|name| fs::read_to_string(root.join(name)).ok())
        .unwrap_or_default();
    let id = text.lines().find_map(|line| line.strip_prefix("ID="));
    id.unwrap_or("debian").trim_matches('"').to_owned()
}

/// apt's lists of packages, as they lie there.
fn lists(folder: &Path) -> Vec<PathBuf> {
    let is_list = |name: &str| {
        let (_, rest) = name.rsplit_once("_Packages")?;
        (rest.is_empty() || rest.starts_with('.')).then_some(())
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.and_then(is_list).is_some()
        })
        .collect();
    found.sort();
    found
}

/// Adds the digests that a list has for packages that are installed.
fn listed(list: &Path, known: &mut Known) -> io::Result<()> {
    let mut child = Command::new(HELPER)
        .arg("cat-file")
        .arg(list)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| io::Error::other(format!("starting {HELPER}: {error}")))?;
    let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    // what it writes beyond the limit ends it: nobody listens any more
    let read = add(BufReader::new(output.take(LIST_BYTES)), known);
    let ended = child.wait()?;
    read?;
    match ended.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{HELPER} cat-file: {ended}"))),
    }
}

fn add(reader: impl BufRead, known: &mut Known) -> io::Result<()> {
    let names = ["Package", "Version", "Architecture", "SHA256"];
    paragraphs(reader, names, |[name, version, arch, sha256]| {
        let package = Package::of([name, version, arch]);
        let digest = sha256.and_then(|text| text.parse().ok());
        if let (Some(package), Some(digest)) = (package, digest)
            && let Some(digests) = known.get_mut(&package)
        {
            digests.insert(FileDigest::Sha256(digest));
        }
    })
}

/// The digest of a package that apt kept.
fn kept(path: &Path) -> Option<FileDigest> {
    let file = fs::symlink_metadata(path).ok()?;
    let reader = file.is_file().then(|| File::open(path).ok())??;
    Sha256::of_reader(reader).ok().map(FileDigest::Sha256)
}
