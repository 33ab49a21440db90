//! The git child: the only process that opens packs and objects of strangers.
//!
//! This same binary with the argument [`ARGUMENT`]: single-threaded, one request on standard input,
//! one answer, end. It has no network and no key; it locks itself in before it reads the first
//! stranger's byte, and it starts no other program.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use countersign_attest::digest::GitOid;
use countersign_builder::channel::{Channel, ChannelError};
use countersign_builder::sandbox::confine::{self, Confinement, Isolation, Place};
use serde::{Deserialize, Serialize};

use super::error::{Refusal, WatchError};
use super::export::{self, Exported, TreeLimits};
use super::local;
use super::mirror::{self, Objects, Peeled};
use super::reach;
use super::refs::Listing;

/// The argument that makes the binary a git child.
pub(crate) const ARGUMENT: &str = "git-child";

/// The one message to a git child. Paths are absolute.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Lists the tags of a local repository. Answered by [`Answer::Listing`].
    ListLocal {
        /// The folder.
        path: PathBuf,
        /// Most references.
        max_refs: usize,
    },
    /// Checks that a local repository has an object and the whole tree that it leads to. Answered by
    /// [`Answer::Peeled`].
    CheckLocal {
        /// The folder.
        path: PathBuf,
        /// The object.
        oid: GitOid,
        /// What the tree may come to.
        limits: TreeLimits,
    },
    /// Finds out whether a commit is reachable from a branch or a tag of a local repository. Answered by
    /// [`Answer::Reached`].
    Reach {
        /// The folder.
        path: PathBuf,
        /// The commit.
        oid: GitOid,
        /// Most references.
        max_refs: usize,
    },
    /// Adds a pack, the one descriptor, to a mirror that exists, and checks that an object and the
    /// whole tree that it leads to is then there. Answered by [`Answer::Peeled`].
    Import {
        /// The mirror's folder.
        mirror: PathBuf,
        /// The object.
        oid: GitOid,
        /// Most bytes of the pack.
        pack_bytes: u64,
        /// What the tree may come to.
        limits: TreeLimits,
    },
    /// Writes the tree that an object leads to. Answered by [`Answer::Exported`].
    Export {
        /// Where the objects are.
        from: Store,
        /// The object.
        oid: GitOid,
        /// A folder that exists and is empty.
        into: PathBuf,
        /// What the tree may come to.
        limits: TreeLimits,
        /// Whether a `.git` is made for it.
        with_git: bool,
    },
}

/// A place with objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Store {
    /// A mirror of ours.
    Mirror(PathBuf),
    /// A local source repository: never written to.
    Local(PathBuf),
}

/// The child's answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// See [`Request::ListLocal`].
    Listing(Listing),
    /// See [`Request::Import`].
    Peeled(Peeled),
    /// See [`Request::Reach`].
    Reached {
        /// Whether it is.
        reached: bool,
    },
    /// See [`Request::Export`].
    Exported(Box<Exported>),
    /// The repository is not acceptable.
    Refused {
        /// Why.
        why: Refusal,
    },
    /// The child could not do its work.
    Fault {
        /// What, with its causes.
        message: String,
    },
}

/// What a child may touch, for the one who locks it in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Grants {
    /// Folders that it reads.
    pub read: Vec<PathBuf>,
    /// Folders that it reads and writes.
    pub write: Vec<PathBuf>,
}

impl Request {
    /// What this request needs and nothing else. A folder that is absent cannot be granted: the child
    /// then finds out and says so.
    #[must_use]
    pub(crate) fn grants(&self) -> Grants {
        let one = |path: &Path| match path.is_dir() {
            true => vec![path.to_owned()],
            false => Vec::new(),
        };
        match self {
            Self::ListLocal { path, .. }
            | Self::CheckLocal { path, .. }
            | Self::Reach { path, .. } => Grants {
                read: one(path),
                write: Vec::new(),
            },
            Self::Import { mirror, .. } => Grants {
                read: Vec::new(),
                write: one(mirror),
            },
            Self::Export {
                from: Store::Mirror(path) | Store::Local(path),
                into,
                ..
            } => Grants {
                read: one(path),
                write: one(into),
            },
        }
    }
}

/// Runs the git child of this process.
#[must_use]
pub(crate) fn main() -> ExitCode {
    let served = confine::enter()
        .map_err(|error| error.to_string())
        .and_then(|()| Channel::from_stdin().map_err(|error| error.to_string()))
        .and_then(|channel| serve(channel, lock_in).map_err(|error| error.to_string()));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE, // the host sees that the channel is closed
    }
}

/// Most bytes of address space: packs are mapped, so it is far more than the child has of its own.
const MEMORY_BYTES: u64 = 16 << 30;

/// Leaves the child its folders and nothing else: no network, no program, no other file.
fn lock_in(grants: &Grants) -> Result<(), String> {
    fn places(folders: &[PathBuf]) -> Vec<Place<'_>> {
        folders.iter().map(|folder| Place::Path(folder)).collect()
    }
    confine::parsing(&Confinement {
        read: &places(&grants.read),
        write: &places(&grants.write),
        network: Isolation::Nothing,
        user: None,
        memory_bytes: Some(MEMORY_BYTES),
        file_bytes: None,
    })
    .map(|_| ())
    .map_err(|error| format!("{:#}", anyhow::Error::from(error)))
}

/// Takes one request, locks the process in with `confine`, answers, and returns.
///
/// # Errors
/// When the channel breaks; there is then nobody to tell but standard error.
pub(crate) fn serve(
    mut channel: Channel,
    confine: impl FnOnce(&Grants) -> Result<(), String>,
) -> Result<(), ChannelError> {
    let (request, fds) = channel.receive_with_fds::<Request>()?;
    let answer = match confine(&request.grants()) {
        Err(message) => Answer::Fault { message },
        Ok(()) => {
            let pack = fds.into_iter().next().map(File::from);
            answer(request, pack).unwrap_or_else(|error| match error {
                WatchError::Refusal(why) => Answer::Refused { why },
                WatchError::Fault(fault) => Answer::Fault {
                    message: format!("{:#}", anyhow::Error::from(fault)),
                },
            })
        }
    };
    channel.send(&answer)
}

fn answer(request: Request, pack: Option<File>) -> Result<Answer, WatchError> {
    match request {
        Request::ListLocal { path, max_refs } => {
            let folder = local::repository_folder(&path)?;
            let objects = Objects::open(&folder)?;
            Ok(Answer::Listing(local::list(&folder, &objects, max_refs)?))
        }
        Request::CheckLocal { path, oid, limits } => {
            let objects = Objects::open(&local::repository_folder(&path)?)?;
            Ok(Answer::Peeled(export::check_complete(
                &objects, oid, limits,
            )?))
        }
        Request::Reach {
            path,
            oid,
            max_refs,
        } => {
            let folder = local::repository_folder(&path)?;
            let tips = local::tips(&folder, max_refs)?;
            let reached = reach::reaches(&Objects::open(&folder)?, tips, oid)?;
            Ok(Answer::Reached { reached })
        }
        Request::Import {
            mirror,
            oid,
            pack_bytes,
            limits,
        } => {
            let Some(pack) = pack else {
                return Ok(Answer::Fault {
                    message: "no pack came with the request".into(),
                });
            };
            mirror::import_pack(&mirror, pack, pack_bytes)?;
            let peeled = export::check_complete(&Objects::open(&mirror)?, oid, limits)?;
            mirror::remember_complete(&mirror, peeled.commit)?;
            Ok(Answer::Peeled(peeled))
        }
        Request::Export {
            from,
            oid,
            into,
            limits,
            with_git,
        } => {
            let folder = match from {
                Store::Mirror(path) => path,
                Store::Local(path) => local::repository_folder(&path)?,
            };
            let exported = export::export(&Objects::open(&folder)?, oid, &into, limits, with_git)?;
            Ok(Answer::Exported(Box::new(exported)))
        }
    }
}
