//! What a tree says of how it is built, and what kind of file was published of it. Runs in a confined child.
//!
//! Nothing is understood of a build but which system it is of: the rest is the system's own affair.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::BorrowedFd;

use serde::{Deserialize, Serialize};

use super::super::source_files;
use super::super::tree_file::{self, TreeFile};
use super::super::{Evidence, InspectError, InspectRequest};
use super::go::{self, GoModule};
use crate::archive::{BlockKey, Container, Format, Kind, Member, escape, look_inside};
use crate::tree::{self, Entry, Order, TreeError};

/// Longest file of the tree that is read.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// How much of a program is searched for who compiled it.
const SEARCHED_BYTES: u64 = 256 << 20;
/// Longest words of a compiler that are kept.
const MOST_WORDS: usize = 120;

/// What a tree and a published file say, where nobody said how it is built. Written by strangers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conventions {
    /// The build systems of the folder, the one that people run first.
    pub systems: Vec<System>,
    /// Whether a rule packs a release: `dist` of a Makefile, or of autotools.
    pub dist: bool,
    /// The Go module, where it is one.
    pub go: Option<GoModule>,
    /// What was published.
    pub published: PublishedKind,
}

/// A build system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// `configure` is in the tree.
    Configure,
    /// `configure` is made from `configure.ac` first.
    Autotools,
    /// `CMakeLists.txt`.
    Cmake,
    /// A Makefile alone.
    Make,
    /// `go.mod`.
    Go,
}

/// A kind of published file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum PublishedKind {
    /// Only a digest was published.
    NotGiven,
    /// A program or a library, which a compiler made.
    Compiled {
        /// The compiler, in its own words, where they are in the file.
        compiler: Option<String>,
    },
    /// An archive of sources in one folder.
    Sources {
        /// The folder.
        folder: String,
        /// How it is packed.
        packing: Packing,
        /// Whether every file in it is the tree's.
        of_tree: bool,
    },
    /// Anything else, in words.
    Other {
        /// What it is; printable.
        what: String,
    },
}

/// How an archive of sources is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packing {
    /// `.tar`
    Tar,
    /// `.tar.gz`, `.tgz`
    Gzip,
    /// `.tar.xz`
    Xz,
    /// `.tar.bz2`
    Bzip2,
    /// `.zip`
    Zip,
}

impl Conventions {
    /// What was read, a line each, escaped.
    pub(in super::super) fn said(&self) -> Vec<String> {
        let systems: Vec<String> = self.systems.iter().map(|s| format!("{s:?}")).collect();
        let mut lines = vec![match systems.as_slice() {
            [] => "the tree has no build system that is known".to_owned(),
            some => format!("the tree is built with {}", some.join(", ")),
        }];
        lines.push(match &self.published {
            PublishedKind::NotGiven => "no file to look into".to_owned(),
            PublishedKind::Compiled { compiler: None } => {
                "a compiled file that does not say by what".to_owned()
            }
            PublishedKind::Compiled {
                compiler: Some(words),
            } => format!("compiled by {words}"),
            PublishedKind::Sources {
                folder, of_tree, ..
            } => format!(
                "sources in the folder {folder:?}, {} in the tree",
                if *of_tree { "all" } else { "not all" }
            ),
            PublishedKind::Other { what } => format!("the published file is {what}"),
        });
        lines.iter().map(|line| escape(line.as_bytes())).collect()
    }
}

pub(super) fn inspect(
    request: &InspectRequest,
    tree: BorrowedFd<'_>,
    artifact: Option<File>,
) -> Result<Evidence, InspectError> {
    let read = |name: &str| -> Result<Option<String>, InspectError> {
        let path = match request.subdir.as_str() {
            "" => name.to_owned(),
            folder => format!("{folder}/{name}"),
        };
        Ok(match tree_file::read(tree, &path, MAX_FILE_BYTES)? {
            TreeFile::Read(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            TreeFile::Unusable(_) => None,
        })
    };
    let mut makefile = None;
    // in make's own order
    for name in ["GNUmakefile", "makefile", "Makefile"] {
        makefile = match makefile {
            None => read(name)?,
            some => some,
        };
    }
    let configure = read("configure")?.is_some();
    let autotools = read("configure.ac")?.is_some() || read("configure.in")?.is_some();
    let go = match read("go.mod")? {
        None => None,
        Some(text) => go::module(&text, request, tree)?,
    };
    let systems = [
        (configure, System::Configure),
        (autotools && !configure, System::Autotools),
        (read("CMakeLists.txt")?.is_some(), System::Cmake),
        // what a configure makes of its own accord is no system beside it
        (makefile.is_some(), System::Make),
        (go.is_some(), System::Go),
    ];
    let has_rule = |text: &String| text.lines().any(|line| line.starts_with("dist:"));
    Ok(Evidence::Conventional(Box::new(Conventions {
        systems: systems
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, s)| *s)
            .collect(),
        dist: configure || autotools || makefile.as_ref().is_some_and(has_rule),
        go,
        published: match artifact {
            None => PublishedKind::NotGiven,
            Some(file) => published(file, request, tree)?,
        },
    })))
}

fn published(
    mut file: File,
    request: &InspectRequest,
    tree: BorrowedFd<'_>,
) -> Result<PublishedKind, InspectError> {
    let other = |what: String| Ok(PublishedKind::Other { what });
    let content = match look_inside(&file, &request.limits, &BlockKey::default(), |_| false) {
        Ok(content) => content,
        Err(error) => return other(error.to_string()),
    };
    let Some(outermost) = content.container() else {
        return other("of no format that is known".to_owned());
    };
    let inside = outermost.unpacked();
    let packing = match (outermost.format, inside.format) {
        (Format::Elf | Format::Ar, _) => {
            let found = file.rewind().and_then(|()| compiler(&mut file));
            return Ok(match found {
                Ok(compiler) => PublishedKind::Compiled { compiler },
                Err(error) => PublishedKind::Other {
                    what: error.to_string(),
                },
            });
        }
        (Format::Gzip, Format::Tar) => Packing::Gzip,
        (Format::Xz, Format::Tar) => Packing::Xz,
        (Format::Bzip2, Format::Tar) => Packing::Bzip2,
        (Format::Tar, _) => Packing::Tar,
        (Format::Zip, _) => Packing::Zip,
        _ => return other("no program, library or archive of sources".to_owned()),
    };
    let Some(folder) = only_folder(inside) else {
        return other("an archive of more than one folder".to_owned());
    };
    let start = [folder.as_bytes(), b"/"].concat();
    let files = inside.members.iter().filter(|m| m.kind == Kind::File);
    let named = files.filter_map(|member| {
        let name = path(member).strip_prefix(start.as_slice())?;
        Some((name, member.content.sha256))
    });
    let unlike = source_files::unlike(tree, "", named)?;
    // git fills in what a tree asks for in a changed file; an absent one was made by something else
    let of_tree = unlike.absent.is_empty() && unlike.unlisted == 0;
    Ok(PublishedKind::Sources {
        folder,
        packing,
        of_tree,
    })
}

fn path(member: &Member) -> &[u8] {
    member.name.strip_prefix(b"./").unwrap_or(&member.name)
}

/// The folder that everything of an archive lies in.
fn only_folder(archive: &Container) -> Option<String> {
    let mut folders = archive.members.iter().map(|member| {
        let mut parts = path(member).split(|byte| *byte == b'/');
        parts.next().unwrap_or_default()
    });
    let first = folders.next()?;
    let folder = std::str::from_utf8(first).ok()?;
    folders
        .all(|other| other == first)
        .then(|| folder.to_owned())
}

/// What compilers write into what they make (`.comment` of ELF, or Go's build information).
fn compiler(file: &mut File) -> io::Result<Option<String>> {
    const WORDS: [&[u8]; 3] = [b"GCC: (", b"clang version ", b"\xff Go buildinf:"];
    const LONGEST: usize = 15;
    let mut reader = file.take(SEARCHED_BYTES);
    let mut window = Vec::new();
    let mut block = vec![0; 1 << 16];
    loop {
        let read = reader.read(&mut block)?;
        window.extend_from_slice(block.get(..read).unwrap_or_default());
        for word in WORDS {
            let found = window.windows(word.len()).position(|part| part == word);
            // words that the block cuts off come with the next one
            let Some(at) = found.filter(|at| read == 0 || at + MOST_WORDS <= window.len()) else {
                continue;
            };
            let rest = window.get(at..).unwrap_or_default();
            if word.starts_with(b"\xff") {
                return Ok(Some(go::compiler(rest).unwrap_or_else(|| "go".to_owned())));
            }
            let words: Vec<u8> = rest.iter().copied().take(MOST_WORDS).collect();
            let words = words.split(|byte| *byte == 0).next().unwrap_or_default();
            return Ok(Some(escape(words)));
        }
        if read == 0 {
            return Ok(None);
        }
        let keep = window.len().saturating_sub(MOST_WORDS.max(LONGEST));
        window.drain(..keep);
    }
}

/// Folders below `folder` that have a file for which this holds; for [`go`].
pub(super) fn folders_with(
    tree: BorrowedFd<'_>,
    folder: &str,
    most: usize,
    holds: impl Fn(&str, &str) -> bool,
) -> Result<Vec<String>, InspectError> {
    let mut found: Vec<String> = Vec::new();
    tree::walk(tree, Order::Ascending, &mut |path, entry| {
        let Entry::File(file, _) = entry else {
            return Ok(());
        };
        let Ok(path) = std::str::from_utf8(path) else {
            return Ok(());
        };
        let Some(inside) = path.strip_prefix(folder).map(|p| p.trim_start_matches('/')) else {
            return Ok(());
        };
        let (parent, name) = inside.rsplit_once('/').unwrap_or(("", inside));
        let known = found.iter().any(|known| known == parent);
        if known || found.len() >= most || !name.ends_with(".go") {
            return Ok(());
        }
        let mut text = Vec::new();
        let read = file.take(64 << 10).read_to_end(&mut text);
        read.map_err(|source| TreeError::Io {
            path: escape(path.as_bytes()),
            source,
        })?;
        if holds(inside, &String::from_utf8_lossy(&text)) {
            found.push(parent.to_owned());
        }
        Ok::<_, TreeError>(())
    })
    .map_err(|error| InspectError::Tree {
        path: folder.to_owned(),
        source: io::Error::other(error),
    })?;
    Ok(found)
}
