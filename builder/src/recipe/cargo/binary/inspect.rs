//! Reads a workspace for its programs, and a published executable or an archive with executables in it.
//! Runs in a confined child.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::BorrowedFd;

use countersign_attest::digest::{Hasher, Sha256};
use toml::Value;

use super::super::manifest::{MAX_MANIFEST_BYTES, Package};
use super::{Archive, Bin, BinaryEvidence, Member, Program, PublishedBinary, What, elf, paths};
use crate::archive::{Container, Format, Kind, ReadLimits, Wanted, gzip, sniff, zip};
use crate::recipe::{Evidence, InspectError, InspectRequest};
use crate::tree::{self, Entry, Order, TreeError};

/// Longest executable that is looked into.
const MAX_EXECUTABLE_BYTES: u64 = 96 << 20;
/// Longest lock file.
const MAX_LOCK_BYTES: u64 = 8 << 20;
/// Most members of an archive.
const MOST_MEMBERS: usize = 500;
/// Most manifests of a tree that are read.
const MOST_MANIFESTS: usize = 2000;

/// Reads both.
pub(in super::super) fn inspect(
    request: &InspectRequest,
    tree: BorrowedFd<'_>,
    artifact: Option<File>,
) -> Result<Evidence, InspectError> {
    let artifact = match artifact {
        None => Artifact::NotGiven,
        Some(mut file) => Artifact::read(&mut file, request)
            .unwrap_or_else(|detail| Artifact::Unreadable { detail }),
    };
    let source =
        Source::read(tree, &request.subdir, &artifact).map_err(|source| InspectError::Tree {
            path: "Cargo.toml".to_owned(),
            source: std::io::Error::other(source),
        })?;
    Ok(source.evidence(&request.subdir, artifact))
}

/// What was published, before anything is known of the tree.
enum Artifact {
    NotGiven,
    Unreadable {
        detail: String,
    },
    Executable(Box<Program>),
    Archive {
        programs: Vec<(Sha256, Program)>,
        container: Container,
        stem: String,
    },
}

impl Artifact {
    fn read(file: &mut File, request: &InspectRequest) -> Result<Self, String> {
        let mut head = Vec::new();
        let first = (&*file)
            .take(Format::HEAD_BYTES as u64)
            .read_to_end(&mut head);
        first
            .and_then(|_| file.rewind())
            .map_err(|error| error.to_string())?;
        let name = request.file_name.as_str();
        let mut wanted = Wanted::new(may_be_program, MAX_EXECUTABLE_BYTES);
        let (container, stem) = match sniff(&head) {
            Format::Elf => {
                let mut bytes = Vec::new();
                let read = file.take(MAX_EXECUTABLE_BYTES + 1).read_to_end(&mut bytes);
                read.map_err(|error| error.to_string())?;
                if bytes.len() as u64 > MAX_EXECUTABLE_BYTES {
                    return Err("an executable that is too long to look into".to_owned());
                }
                return Ok(Self::Executable(Box::new(program(&bytes)?)));
            }
            Format::Zip => (
                zip::walk(&*file, &request.limits, Some(&mut wanted)).map_err(|e| e.to_string())?,
                name.strip_suffix(".zip"),
            ),
            Format::Gzip => (
                tar_of(file, &request.limits, &mut wanted)?,
                name.strip_suffix(".tar.gz")
                    .or_else(|| name.strip_suffix(".tgz")),
            ),
            format @ (Format::Xz
            | Format::Zstd
            | Format::Bzip2
            | Format::Tar
            | Format::Ar
            | Format::Rpm
            | Format::Pe
            | Format::MachO
            | Format::Other) => {
                return Err(format!(
                    "{} is neither an ELF file, nor a tar.gz, nor a zip",
                    format.word()
                ));
            }
        };
        let stem = stem.ok_or("an archive whose name does not end with .tar.gz, .tgz or .zip")?;
        if container.members.len() > MOST_MEMBERS {
            return Err(format!("an archive of more than {MOST_MEMBERS} members"));
        }
        let found = wanted
            .found
            .iter()
            .filter(|bytes| sniff(bytes) == Format::Elf);
        let programs: Result<Vec<_>, String> = found
            .map(|bytes| Ok((Sha256::of(bytes), program(bytes)?)))
            .collect();
        let programs = programs?;
        if programs.is_empty() {
            return Err("an archive without an executable".to_owned());
        }
        Ok(Self::Archive {
            programs,
            container,
            stem: stem.to_owned(),
        })
    }
}

fn program(bytes: &[u8]) -> Result<Program, String> {
    Ok(Program {
        executable: elf::read(bytes)?,
        paths: paths::read(bytes),
    })
}

fn tar_of(file: &File, limits: &ReadLimits, wanted: &mut Wanted) -> Result<Container, String> {
    let walked = gzip::walk(file, limits, Some(wanted)).map_err(|error| error.to_string())?;
    let tar = walked.tar.ok_or("not one gzip stream with a tar in it")?;
    tar.map_err(|error| error.to_string())
}

/// Whether a member's name is like a program's: no ending, and no word that people write large.
fn may_be_program(name: &[u8]) -> bool {
    let last = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    !last.contains(&b'.') && last.iter().any(u8::is_ascii_lowercase)
}

/// What a tree has, as far as programs are concerned.
#[derive(Default)]
struct Source {
    manifests: BTreeMap<String, Package>,
    /// Files that make programs without being named.
    found: Vec<(String, String)>,
    lock: Option<String>,
    /// Files that the archive may have, by content.
    files: BTreeMap<Sha256, Vec<String>>,
}

impl Source {
    fn read(tree: BorrowedFd<'_>, root: &str, artifact: &Artifact) -> Result<Self, TreeError> {
        let names: Vec<&[u8]> = match artifact {
            Artifact::Archive { container, .. } => {
                container.members.iter().map(|m| last(&m.name)).collect()
            }
            Artifact::NotGiven | Artifact::Unreadable { .. } | Artifact::Executable(_) => {
                Vec::new()
            }
        };
        let lock = join(root, "Cargo.lock");
        let mut all = Self::default();
        tree::walk(tree, Order::Ascending, &mut |path, entry| {
            let Entry::File(mut file, _) = entry else {
                return Ok(());
            };
            let Ok(path) = std::str::from_utf8(path) else {
                return Ok(()); // cannot be named in a plan
            };
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            if names.contains(&name.as_bytes()) {
                let mut hasher = Hasher::new();
                std::io::copy(&mut file, &mut hasher).map_err(|source| TreeError::Io {
                    path: crate::archive::escape(path.as_bytes()),
                    source,
                })?;
                all.files
                    .entry(hasher.finish().sha256)
                    .or_default()
                    .push(path.to_owned());
                let _ = file.rewind(); // a regular file
            }
            if path == lock {
                all.lock = text(file, MAX_LOCK_BYTES);
            } else if name == "Cargo.toml" && all.manifests.len() < MOST_MANIFESTS {
                let package = text(file, MAX_MANIFEST_BYTES).map(|t| Package::parse(t.as_bytes()));
                if let Some(Ok(package)) = package {
                    all.manifests.insert(folder.to_owned(), package);
                }
            } else if let Some((package, bin)) = implied(path) {
                all.found.push((package.to_owned(), bin.to_owned()));
            }
            Ok::<_, TreeError>(())
        })?;
        Ok(all)
    }

    fn evidence(self, root: &str, artifact: Artifact) -> Evidence {
        let Some(top) = self.manifests.get(root) else {
            let detail = format!(
                "{:?} of the tree has no readable Cargo.toml",
                join(root, ".")
            );
            return Evidence::Unusable { detail };
        };
        let lock = self.lock.as_deref();
        let sources = || {
            lock.into_iter()
                .flat_map(str::lines)
                .filter_map(|l| l.strip_prefix("source = \""))
        };
        let bins = self.bins(root, top);
        let published = match artifact {
            Artifact::NotGiven => PublishedBinary::NotGiven,
            Artifact::Unreadable { detail } => PublishedBinary::Unreadable { detail },
            Artifact::Executable(program) => PublishedBinary::Executable(*program),
            Artifact::Archive {
                programs,
                container,
                stem,
            } => PublishedBinary::Archive(Archive {
                members: container
                    .members
                    .iter()
                    .map(|member| self.member(member, &programs, &bins, &stem))
                    .collect(),
                umask: umask(&container),
                programs: programs.into_iter().map(|(_, program)| program).collect(),
            }),
        };
        Evidence::CargoBinary(Box::new(BinaryEvidence {
            root: root.to_owned(),
            lock: lock.is_some(),
            dependencies: sources().any(|source| source.starts_with("registry+")),
            elsewhere: sources().any(|source| !source.starts_with("registry+")),
            members: self.manifests.len(),
            bins,
            strips: top.strips(),
            published,
        }))
    }

    /// The programs of all packages below the root.
    fn bins(&self, root: &str, top: &Package) -> Vec<Bin> {
        let mut bins = Vec::new();
        for (folder, manifest) in &self.manifests {
            let below =
                root.is_empty() || folder == root || folder.starts_with(&format!("{root}/"));
            let (Some(package), true) = (manifest.text("name"), below) else {
                continue;
            };
            let version = manifest.text("version").or_else(|| top.workspace_version());
            let found = self.found.iter().filter(|(of, _)| of == folder);
            let found = found.map(|(_, bin)| {
                if bin.is_empty() {
                    package.clone()
                } else {
                    bin.clone()
                }
            });
            let mut names: Vec<String> = manifest.bins().into_iter().chain(found).collect();
            names.sort_unstable();
            names.dedup();
            bins.extend(names.into_iter().map(|name| Bin {
                name,
                package: package.clone(),
                version: version.clone(),
                at_root: folder == root,
            }));
        }
        bins
    }

    /// What a member of the archive is made of.
    fn member(
        &self,
        member: &crate::archive::Member,
        programs: &[(Sha256, Program)],
        bins: &[Bin],
        stem: &str,
    ) -> Member {
        let unnamed = || Member {
            name: crate::archive::escape(&member.name),
            what: What::Unknown,
            by_rule: false,
        };
        let Ok(name) = std::str::from_utf8(&member.name) else {
            return unnamed();
        };
        let name = name.trim_end_matches('/');
        let inside = match name.split_once('/') {
            Some((top, rest)) if top == stem => rest,
            _ if name == stem => "",
            _ => name,
        };
        let content = member.content.sha256;
        let is_bin = |bin: &&Bin| bin.name.as_bytes() == last(name.as_bytes());
        let bin = bins
            .iter()
            .find(is_bin)
            .filter(|_| programs.iter().any(|(sha256, _)| *sha256 == content));
        let files = self.files.get(&content).map_or(&[][..], Vec::as_slice);
        let same = |path: &&String| last(path.as_bytes()) == last(name.as_bytes());
        let file = files
            .iter()
            .filter(same)
            .min_by_key(|path| (path.as_str() != inside, path.len()));
        let (what, by_rule) = match (&member.kind, bin, file) {
            (Kind::Folder, ..) => (What::Folder, self.has_folder(inside)),
            (Kind::File, Some(bin), _) => (What::Program(bin.name.clone()), inside == bin.name),
            (Kind::File, None, Some(path)) => {
                let plain = inside == path || inside.as_bytes() == last(path.as_bytes());
                (What::File(path.clone()), plain)
            }
            _ => return unnamed(),
        };
        Member {
            name: name.to_owned(),
            what,
            by_rule,
        }
    }

    /// Whether a folder of the archive is the top or a folder in which the tree has one of its files.
    fn has_folder(&self, folder: &str) -> bool {
        let below = format!("{folder}/");
        folder.is_empty()
            || self
                .files
                .values()
                .flatten()
                .any(|path| path.starts_with(&below))
    }
}

/// The package and the name of a program that is one by its place; no name is the package's own.
fn implied(path: &str) -> Option<(&str, &str)> {
    let (package, rest) = match path.rsplit_once("/src/") {
        Some((package, rest)) if !rest.is_empty() => (package, rest),
        _ => ("", path.strip_prefix("src/")?),
    };
    if rest == "main.rs" {
        return Some((package, ""));
    }
    let rest = rest.strip_prefix("bin/")?;
    let name = rest
        .strip_suffix("/main.rs")
        .or_else(|| rest.strip_suffix(".rs"))?;
    (!name.contains('/')).then_some((package, name))
}

/// The umask that modes of regular files show.
fn umask(container: &Container) -> u32 {
    let mut modes = container
        .members
        .iter()
        .filter(|m| m.kind == Kind::File)
        .filter_map(|m| m.mode);
    if modes.any(|mode| mode & 0o020 != 0) {
        0o002
    } else {
        0o022
    }
}

fn last(name: &[u8]) -> &[u8] {
    name.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

fn text(file: File, limit: u64) -> Option<String> {
    let mut text = String::new();
    let read = file.take(limit + 1).read_to_string(&mut text).ok()?;
    (read as u64 <= limit).then_some(text)
}

impl Package {
    /// The programs that it names.
    fn bins(&self) -> Vec<String> {
        let list = self.table().get("bin").and_then(Value::as_array);
        let names = list
            .into_iter()
            .flatten()
            .filter_map(|bin| bin.get("name")?.as_str());
        names.map(str::to_owned).collect()
    }

    /// Whether a release build takes the symbols off by itself.
    fn strips(&self) -> bool {
        let strip = || self.table().get("profile")?.get("release")?.get("strip");
        match strip() {
            Some(Value::Boolean(strip)) => *strip,
            Some(Value::String(what)) => what == "symbols",
            _ => false,
        }
    }
}
