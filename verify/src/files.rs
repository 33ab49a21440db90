//! Reads what a user names: files, and attestations of a file or a folder, under limits. Blocking.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use crate::attestation::Attestation;

/// What is read at most.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// Most files of a folder that are looked at.
    pub files: usize,
    /// Longest file in bytes.
    pub file_bytes: u64,
    /// Most attestations of all files together.
    pub attestations: usize,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            files: 10_000,
            file_bytes: 32 << 20,
            attestations: 10_000,
        }
    }
}

/// Says why something could not be read. The caller's mistake, unless it is `Io`.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There are more than the limit.
    #[error("{} has more than {limit} {what}", path.display())]
    TooMany {
        /// Where.
        path: PathBuf,
        /// Of what.
        what: &'static str,
        /// How many are taken.
        limit: usize,
    },
    /// A file that was named is too long.
    #[error("{} is longer than {limit} bytes", path.display())]
    TooLong {
        /// Which.
        path: PathBuf,
        /// How many bytes are taken.
        limit: u64,
    },
    /// Neither a regular file nor a folder.
    #[error("{} is neither a file nor a folder", .0.display())]
    Neither(PathBuf),
    /// Not a regular file.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// The system refuses.
    #[error("reading {}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Reads the attestations of a file, or of the files of a folder but not of its folders.
///
/// In a folder, files that are too long or do not look like envelopes are passed over: plans, logs and
/// artifacts may lie beside them. A file that is named is always taken.
///
/// # Errors
/// When a limit is passed or the system refuses.
pub fn attestations(path: &Path, limits: &ReadLimits) -> Result<Vec<Attestation>, ReadError> {
    let found = fs::metadata(path).map_err(failed(path))?;
    let mut all = Vec::new();
    if found.is_file() {
        split(path, bounded(path, limits.file_bytes)?, &mut all);
    } else if found.is_dir() {
        for file in files_of(path, limits.files)? {
            if let Some(bytes) = read(&file, limits.file_bytes)?
                && looks_like_an_envelope(&bytes)
            {
                split(&file, bytes, &mut all);
            }
        }
    } else {
        return Err(ReadError::Neither(path.to_owned()));
    }
    if all.len() > limits.attestations {
        let (what, limit) = ("attestations", limits.attestations);
        return Err(ReadError::TooMany {
            path: path.to_owned(),
            what,
            limit,
        });
    }
    Ok(all)
}

/// Replaces a file, or makes it: beside it, then over it, with the permissions of the old one.
///
/// # Errors
/// When the system refuses; the old file is there then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let write = || -> io::Result<()> {
        let mut file = File::create_new(&beside)?;
        file.write_all(bytes)?;
        if let Ok(old) = fs::metadata(path) {
            file.set_permissions(old.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&beside); // half a file helps nobody
    })
}

/// Reads a file that a user named.
///
/// # Errors
/// When it is longer than the limit, or the system refuses.
pub fn bounded(path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    // before opening: opening a named pipe would wait for its writer
    if !fs::metadata(path).map_err(failed(path))?.is_file() {
        return Err(ReadError::NotAFile(path.to_owned()));
    }
    read(path, limit)?.ok_or_else(|| ReadError::TooLong {
        path: path.to_owned(),
        limit,
    })
}

/// The regular files of a folder in the order of their names. Symbolic links are not followed.
fn files_of(folder: &Path, limit: usize) -> Result<Vec<PathBuf>, ReadError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let entry = entry.map_err(failed(folder))?;
        if entry.file_type().map_err(failed(folder))?.is_file() {
            files.push(entry.path());
        }
        if files.len() > limit {
            return Err(ReadError::TooMany {
                path: folder.to_owned(),
                what: "files",
                limit,
            });
        }
    }
    files.sort();
    Ok(files)
}

/// Reads a file; `None` when it is longer than the limit.
fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, ReadError> {
    let file = File::open(path).map_err(failed(path))?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed(path))?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// Envelopes and bundles have a payload's type, links of other software have signatures.
fn looks_like_an_envelope(bytes: &[u8]) -> bool {
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let is_object = bytes.trim_ascii_start().starts_with(b"{");
    is_object && (has(b"\"payloadType\"") || has(b"\"signatures\""))
}

/// One envelope for each line where every line is an object, else one for the whole file.
fn split(path: &Path, bytes: Vec<u8>, all: &mut Vec<Attestation>) {
    let name = path.display().to_string();
    let lines = || {
        bytes
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .filter(|l| !l.is_empty())
    };
    let is_lines = lines().count() > 1 && lines().all(|l| l.starts_with(b"{") && l.ends_with(b"}"));
    if !is_lines {
        all.push(Attestation {
            name,
            unverified_bytes: bytes,
        });
        return;
    }
    all.extend(lines().enumerate().map(|(index, line)| Attestation {
        name: format!("{name}:{}", index + 1),
        unverified_bytes: line.to_vec(),
    }));
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ReadError {
    let path = path.to_owned();
    move |source| ReadError::Io { path, source }
}
