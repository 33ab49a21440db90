//! What a workspace and a published executable, or an archive of some, say: plain values.

use serde::{Deserialize, Serialize};

use super::{Executable, Libc, Paths};
use crate::archive::escape;

/// What a workspace and a published executable say. Written by strangers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinaryEvidence {
    /// The workspace's folder in the tree.
    pub root: String,
    /// Whether it has a lock file.
    pub lock: bool,
    /// Whether the lock names packages of a registry.
    pub dependencies: bool,
    /// Whether the lock names packages from elsewhere.
    pub elsewhere: bool,
    /// How many packages the tree has.
    pub members: usize,
    /// Its programs.
    pub bins: Vec<Bin>,
    /// Whether a release build takes the symbols off by itself.
    pub strips: bool,
    /// What was published.
    pub published: PublishedBinary,
}

/// A program of the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bin {
    /// Its name.
    pub name: String,
    /// The package that it is of.
    pub package: String,
    /// That package's version.
    pub version: Option<String>,
    /// Whether that package is the workspace's own.
    pub at_root: bool,
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "file", rename_all = "kebab-case")]
pub enum PublishedBinary {
    /// Only a digest.
    NotGiven,
    /// Nothing that is read here.
    Unreadable {
        /// Why, printable.
        detail: String,
    },
    /// An executable.
    Executable(Program),
    /// An archive with executables.
    Archive(Archive),
}

/// A published executable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// What it says of its making.
    pub executable: Executable,
    /// Where its sources lay.
    pub paths: Paths,
}

/// A published archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// In its order.
    pub members: Vec<Member>,
    /// What the modes of its files show.
    pub umask: u32,
    /// Its executables, at least one.
    pub programs: Vec<Program>,
}

/// A member of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name, without a slash at the end.
    pub name: String,
    /// What it is.
    pub what: What,
    /// Whether its name follows from the file's name, the workspace and the tree. Any other is copied.
    pub by_rule: bool,
}

/// What a member is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A folder.
    Folder,
    /// This program of the workspace.
    Program(String),
    /// This file of the tree.
    File(String),
    /// Nothing that the tree has, nor a program of its.
    Unknown,
}

impl BinaryEvidence {
    pub(super) fn programs(&self) -> &[Program] {
        match &self.published {
            PublishedBinary::Executable(program) => std::slice::from_ref(program),
            PublishedBinary::Archive(archive) => &archive.programs,
            PublishedBinary::NotGiven | PublishedBinary::Unreadable { .. } => &[],
        }
    }

    /// What was read, a line each, escaped.
    pub(in crate::recipe) fn said(&self) -> Vec<String> {
        let names: Vec<&str> = self.bins.iter().map(|bin| bin.name.as_str()).collect();
        let mut lines = vec![format!(
            "the workspace has {} lock file and the programs {}",
            if self.lock { "a" } else { "no" },
            names.join(", ")
        )];
        if let PublishedBinary::Unreadable { detail } = &self.published {
            lines.push(format!("the file: {detail}"));
        }
        for Program { executable, paths } in self.programs() {
            lines.push(format!(
                "compiled by rustc {}, for {} and {}",
                executable
                    .rustc
                    .as_deref()
                    .unwrap_or("that it does not name"),
                executable.architecture,
                match executable.libc {
                    Libc::Gnu => "glibc",
                    Libc::Musl => "musl",
                }
            ));
            lines.extend(
                executable
                    .others
                    .iter()
                    .map(|other| format!("in it: {other}")),
            );
            for (is, what) in [
                (executable.stripped, "no symbols"),
                (executable.build_id, "a build id"),
                (
                    executable.auditable,
                    "a list of its dependencies (cargo auditable)",
                ),
            ] {
                lines.extend(is.then(|| format!("it has {what}")));
            }
            let paths = [
                ("dependencies", &paths.registry),
                ("the checkout", &paths.checkout),
            ];
            for (what, path) in paths {
                lines.extend(path.as_ref().map(|path| format!("{what} lay at {path}")));
            }
        }
        lines.iter().map(|line| escape(line.as_bytes())).collect()
    }
}
