//! Unpacks the tar of a root file system into an empty folder, in a parsing child that can write there and
//! nowhere else.
//!
//! The tar may come from a stranger. Files, folders and links are made by descriptor, below the folder and
//! through no link; nothing is made twice, and what is neither of the three is refused. Owners, times and
//! special bits are dropped. What a root may hold is checked afterwards, on what came out
//! ([`super::rootfs::check`]).

use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat, umask};
use nix::unistd::symlinkat;
use ruzstd::decoding::StreamingDecoder;
use tar::EntryType;

use crate::archive::{Format, ReadLimits, sniff};
use crate::tree::{MAX_DEPTH, open_beneath};

/// Says why a tar was not unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TarballError {
    /// It cannot be read, or is no tar.
    #[error("reading the tar of a root file system")]
    Read(#[from] io::Error),
    /// It holds more than it may.
    #[error("the tar of a root file system has more than {limit} {what}")]
    Limit { what: &'static str, limit: u64 },
    /// An entry is not what a root may hold.
    #[error("{path} in the tar of a root file system {what}")]
    Refused { path: String, what: &'static str },
    /// The folder could not be filled.
    #[error("unpacking {path}")]
    Write {
        path: String,
        #[source]
        source: io::Error,
    },
}

/// Unpacks a tar, plain or compressed by gzip, xz or zstd.
pub(crate) fn unpack(
    mut tar: File,
    folder: BorrowedFd<'_>,
    limits: &ReadLimits,
) -> Result<(), TarballError> {
    umask(Mode::from_bits_truncate(0o022));
    tar.rewind()?;
    let mut head = Vec::new();
    (&tar)
        .take(Format::HEAD_BYTES as u64)
        .read_to_end(&mut head)?;
    tar.rewind()?;
    let file = BufReader::with_capacity(1 << 16, tar);
    let kilobytes = u32::try_from(limits.dictionary_bytes / 1024).unwrap_or(u32::MAX - 1);
    match sniff(&head) {
        Format::Tar => entries(file, folder, limits),
        Format::Gzip => entries(MultiGzDecoder::new(file), folder, limits),
        Format::Xz => {
            let decoder = XzReader::new_mem_limit(file, true, kilobytes);
            entries(decoder, folder, limits)
        }
        Format::Zstd => {
            let window = limits.dictionary_bytes;
            let decoder = StreamingDecoder::new_with_max_window_size(file, window)
                .map_err(io::Error::other)?;
            entries(decoder, folder, limits)
        }
        Format::Zip
        | Format::Bzip2
        | Format::Ar
        | Format::Rpm
        | Format::Elf
        | Format::Pe
        | Format::MachO
        | Format::Other => {
            let what = "neither a tar nor one that gzip, xz or zstd compressed";
            Err(io::Error::new(io::ErrorKind::InvalidData, what).into())
        }
    }
}

fn entries(
    reader: impl Read,
    folder: BorrowedFd<'_>,
    limits: &ReadLimits,
) -> Result<(), TarballError> {
    let exceeded = |what, limit| Err(TarballError::Limit { what, limit });
    let mut archive = tar::Archive::new(reader.take(limits.total_bytes));
    let mut count = 0;
    let mut unpack = || -> Result<(), TarballError> {
        for entry in archive.entries()? {
            count += 1;
            if count > limits.members {
                return exceeded("entries", limits.members);
            }
            let mut entry = entry?;
            let kind = entry.header().entry_type();
            if kind != EntryType::XGlobalHeader {
                let path = entry.path_bytes().into_owned();
                make(folder, &path, kind, &mut entry)?;
            }
        }
        Ok(())
    };
    let result = unpack();
    match result {
        // cut off there, whatever the reader made of it
        Err(TarballError::Read(_)) if archive.into_inner().limit() == 0 => {
            exceeded("bytes", limits.total_bytes)
        }
        result => result,
    }
}

fn make(
    root: BorrowedFd<'_>,
    path: &[u8],
    kind: EntryType,
    entry: &mut tar::Entry<'_, impl Read>,
) -> Result<(), TarballError> {
    let Some((parents, name)) = split(path)? else {
        return Ok(()); // the root itself
    };
    let parent = parent(root, path, &parents)?;
    let failed = |source: Errno| match source {
        Errno::EEXIST => refused(path, "is there twice"),
        source => TarballError::Write {
            path: path.escape_ascii().to_string(),
            source: source.into(),
        },
    };
    let link = || entry.link_name_bytes().unwrap_or_default().into_owned();
    match kind {
        EntryType::Directory => match mkdirat(&parent, name.as_c_str(), folder_mode()) {
            Ok(()) => Ok(()),
            // made on the way to something before, or told twice, as some writers do
            Err(Errno::EEXIST) => open_beneath(parent.as_fd(), name.as_bytes(), OFlag::O_DIRECTORY)
                .map(drop)
                .map_err(|_| refused(path, "is there twice")),
            Err(error) => Err(failed(error)),
        },
        EntryType::Symlink => {
            let target = CString::new(link()).map_err(|_| refused(path, "has a NUL"))?;
            if target.is_empty() {
                return Err(refused(path, "is a link to nowhere"));
            }
            symlinkat(target.as_c_str(), &parent, name.as_c_str()).map_err(failed)
        }
        EntryType::Link => {
            let other = link();
            let Some((folders, other_name)) = split(&other)? else {
                return Err(refused(path, "is a hard link to no file"));
            };
            let from: Vec<u8> = [folders.concat(), other_name.into_bytes()].concat();
            let mut from = open_beneath(root, &from, OFlag::O_NONBLOCK)
                .map(File::from)
                .map_err(|_| refused(path, "is a hard link to no file"))?;
            let mode = fstat(&from).map_err(failed)?.st_mode;
            if SFlag::from_bits_truncate(mode) & SFlag::S_IFMT != SFlag::S_IFREG {
                return Err(refused(path, "is a hard link to no file"));
            }
            let to = file(&parent, &name, mode).map_err(failed)?;
            copy(&mut from, to, path)
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let mode = entry.header().mode()?;
            let to = file(&parent, &name, mode).map_err(failed)?;
            copy(entry, to, path)
        }
        EntryType::Char | EntryType::Block => {
            let what = "is a device (remedy: make the tar without what is in /dev)";
            Err(refused(path, what))
        }
        _ => Err(refused(path, "is neither a file, a folder nor a link")),
    }
}

fn refused(path: &[u8], what: &'static str) -> TarballError {
    TarballError::Refused {
        path: path.escape_ascii().to_string(),
        what,
    }
}

/// The folders of a path, each with its slash, and its last name.
type Split = (Vec<Vec<u8>>, CString);

/// Takes a path apart; `None` for the root itself.
fn split(path: &[u8]) -> Result<Option<Split>, TarballError> {
    if path.starts_with(b"/") {
        return Err(refused(path, "has an absolute path"));
    }
    let parts = path.split(|byte| *byte == b'/');
    let mut parts: Vec<&[u8]> = parts.filter(|part| !matches!(*part, b"" | b".")).collect();
    if parts.contains(&b"..".as_slice()) {
        return Err(refused(path, "leads out of it"));
    }
    if parts.len() > MAX_DEPTH {
        return Err(refused(path, "lies too deep"));
    }
    let Some(name) = parts.pop() else {
        return Ok(None);
    };
    let name = CString::new(name).map_err(|_| refused(path, "has a NUL"))?;
    let folders = parts.iter().map(|part| [part, b"/".as_slice()].concat());
    Ok(Some((folders.collect(), name)))
}

/// Opens the folder that an entry lies in, through no link, and makes what is missing on the way.
fn parent(root: BorrowedFd<'_>, path: &[u8], folders: &[Vec<u8>]) -> Result<OwnedFd, TarballError> {
    let mut at = Vec::new();
    let failed = |source: Errno| match source {
        Errno::ELOOP | Errno::ENOTDIR => refused(path, "lies behind a link or a file"),
        source => TarballError::Write {
            path: path.escape_ascii().to_string(),
            source: source.into(),
        },
    };
    let mut opened = open_beneath(root, b".", OFlag::O_DIRECTORY).map_err(failed)?;
    for folder in folders {
        at.extend_from_slice(folder);
        opened = match open_beneath(root, &at, OFlag::O_DIRECTORY) {
            Err(Errno::ENOENT) => {
                let name = folder.strip_suffix(b"/").unwrap_or(folder);
                let name = CString::new(name).map_err(|_| refused(path, "has a NUL"))?;
                mkdirat(&opened, name.as_c_str(), folder_mode()).map_err(failed)?;
                open_beneath(root, &at, OFlag::O_DIRECTORY).map_err(failed)?
            }
            other => other.map_err(failed)?,
        };
    }
    Ok(opened)
}

fn folder_mode() -> Mode {
    Mode::from_bits_truncate(0o755)
}

/// Makes a file that was not there.
fn file(parent: &OwnedFd, name: &CString, mode: u32) -> nix::Result<File> {
    let mode = Mode::from_bits_truncate(if mode & 0o100 == 0 { 0o644 } else { 0o755 });
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    openat(parent, name.as_c_str(), flags | OFlag::O_NOFOLLOW, mode).map(File::from)
}

/// Copies, and tells trouble of the tar from trouble of the folder.
fn copy(from: &mut impl Read, mut to: File, path: &[u8]) -> Result<(), TarballError> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = match from.read(&mut buffer)? {
            0 => return Ok(()),
            read => read,
        };
        let written = io::Write::write_all(&mut to, &buffer[..read]); // read <= buffer.len()
        written.map_err(|source| TarballError::Write {
            path: path.escape_ascii().to_string(),
            source,
        })?;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A tar of entries, each with its kind, mode, path, and content or the target of a link.
    fn tar(entries: &[(EntryType, u32, &str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, mode, path, text) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(*mode);
            // as it is: the library would refuse what is hostile
            let name = &mut header.as_old_mut().name;
            name[..path.len()].copy_from_slice(path.as_bytes());
            let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
            if is_link {
                header.set_link_name_literal(text).unwrap();
            }
            let content = if is_link { "" } else { text };
            header.set_size(content.len() as u64);
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn unpacked(bytes: &[u8], limits: &ReadLimits) -> Result<tempfile::TempDir, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let root = File::open(folder.path()).unwrap();
        match unpack(file, root.as_fd(), limits) {
            Ok(()) => Ok(folder),
            Err(error) => Err(crate::sandbox::fault::in_one_line(&error)),
        }
    }

    const FILE: EntryType = EntryType::Regular;
    const FOLDER: EntryType = EntryType::Directory;
    const LINK: EntryType = EntryType::Symlink;
    const HARD: EntryType = EntryType::Link;

    const ROOT: &[(EntryType, u32, &str, &str)] = &[
        (FOLDER, 0o700, "./", ""),
        (FOLDER, 0o755, "./usr/bin/", ""), // its own parent comes after it
        (FOLDER, 0o755, "./usr/", ""),
        (FILE, 0o4755, "./usr/bin/tool", "tool"),
        (HARD, 0o755, "./usr/bin/same", "./usr/bin/tool"),
        (FILE, 0o600, "etc/text", "text"),
        (LINK, 0o777, "./bin", "usr/bin"),
        (LINK, 0o777, "./etc/anywhere", "/etc/shadow"),
    ];

    #[test]
    fn a_root_is_unpacked_from_every_form_alike() {
        let plain = tar(ROOT);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let options = lzma_rust2::XzOptions::with_preset(1);
        let mut xz = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        xz.write_all(&plain).unwrap();
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let zstd = ruzstd::encoding::compress_to_vec(plain.as_slice(), level);
        let mut digests = Vec::new();
        for bytes in [
            &plain,
            &gzip.finish().unwrap(),
            &xz.finish().unwrap(),
            &zstd,
        ] {
            let folder = unpacked(bytes, &ReadLimits::default()).unwrap();
            digests.push(super::super::rootfs::check(folder.path()).unwrap());
            let path = |name: &str| folder.path().join(name);
            let mode = |name: &str| fs::metadata(path(name)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(fs::read(path("usr/bin/same")).unwrap(), b"tool");
            // no special bit, and readable by whoever builds in it
            assert_eq!(mode("usr/bin/tool"), 0o755);
            assert_eq!((mode("usr/bin/same"), mode("etc/text")), (0o755, 0o644));
            let target = fs::read_link(path("etc/anywhere")).unwrap();
            assert_eq!(target, std::path::Path::new("/etc/shadow"));
        }
        digests.dedup();
        assert_eq!(digests.len(), 1);
    }

    #[test]
    fn what_is_hostile_is_refused_by_name() {
        for (entry, expected) in [
            ((FILE, 0o644, "/etc/cron.d/x", "x"), "absolute"),
            ((FILE, 0o644, "usr/../../x", "x"), "leads out"),
            ((FILE, 0o644, "bin/x", "x"), "behind a link"),
            ((FILE, 0o644, "etc/anywhere/x", "x"), "behind a link"),
            ((FILE, 0o644, "etc/text/x", "x"), "behind a link or a file"),
            ((FILE, 0o644, "etc/text", "x"), "twice"),
            ((FILE, 0o644, "etc/anywhere", "x"), "twice"),
            ((FOLDER, 0o755, "bin", ""), "twice"),
            ((LINK, 0o777, "etc/text", "x"), "twice"),
            ((HARD, 0o644, "x", "etc/anywhere"), "hard link to no file"),
            ((HARD, 0o644, "x", "usr"), "hard link to no file"),
            ((HARD, 0o644, "x", "../x"), "leads out"),
            ((HARD, 0o644, "x", "/etc/shadow"), "absolute"),
            ((HARD, 0o644, "x", "not/there"), "hard link to no file"),
            ((EntryType::Char, 0o666, "dev/null", ""), "is a device"),
            ((EntryType::Block, 0o666, "usr/sda", ""), "is a device"),
            ((EntryType::Fifo, 0o666, "run/pipe", ""), "neither a file"),
            ((EntryType::new(b'Z'), 0o644, "x", ""), "neither a file"),
        ] {
            let entries: Vec<_> = ROOT.iter().copied().chain([entry]).collect();
            let error = unpacked(&tar(&entries), &ReadLimits::default()).unwrap_err();
            assert!(error.contains(expected), "{entry:?}: {error}");
        }
    }

    #[test]
    fn limits_and_damage_end_it() {
        let plain = tar(ROOT);
        let limits = |members, total_bytes| ReadLimits {
            members,
            total_bytes,
            ..ReadLimits::default()
        };
        let count = ROOT.len() as u64;
        assert!(unpacked(&plain, &limits(count, 1 << 20)).is_ok());
        let error = unpacked(&plain, &limits(count - 1, 1 << 20)).unwrap_err();
        assert!(error.contains("entries"), "{error}");
        let error = unpacked(&plain, &limits(count, 2000)).unwrap_err();
        assert!(error.contains("more than 2000 bytes"), "{error}");
        let cut = unpacked(&plain[..2600], &ReadLimits::default()).unwrap_err();
        assert!(cut.contains("reading the tar"), "{cut}");
        let other = unpacked(b"PK\x03\x04", &ReadLimits::default()).unwrap_err();
        assert!(other.contains("neither a tar"), "{other}");
    }
}
