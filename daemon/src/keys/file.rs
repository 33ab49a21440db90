//! The files of secrets and of their public halves: how they are made and read. Nothing here knows what
//! is in them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use countersign_attest::key::MAX_PEM_BYTES;
use zeroize::Zeroizing;

use super::KeyFileError;

/// Makes a folder of secrets where there is none; refuses one that others may write into.
pub(super) fn private_folder(folder: &Path) -> Result<(), KeyFileError> {
    if !folder.exists() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(failed("making the folder", folder))?;
    }
    let found = fs::metadata(folder).map_err(failed("looking at the folder", folder))?;
    if found.mode() & 0o022 != 0 {
        return Err(KeyFileError::Folder {
            path: folder.to_owned(),
            mode: found.mode() & 0o7777,
        });
    }
    Ok(())
}

/// Makes a file that must not be there yet, whole and durable.
pub(super) fn create(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), KeyFileError> {
    // create_new is O_EXCL, which follows no symbolic link
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    let mut file = match opened {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(KeyFileError::Exists(path.to_owned()));
        }
        other => other.map_err(failed("making the key file", path))?,
    };
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // half a key helps nobody, and its name would block the next attempt
        let _ = fs::remove_file(path);
        return Err(failed("writing the key file", path)(error));
    }
    Ok(())
}

/// Reads a bounded regular file and its permission bits.
pub(super) fn read(path: &Path) -> Result<(Zeroizing<Vec<u8>>, u32), KeyFileError> {
    // before opening: opening a named pipe would wait for its writer
    let found = fs::metadata(path).map_err(failed("looking at the key", path))?;
    if !found.is_file() {
        return Err(KeyFileError::NotAFile(path.to_owned()));
    }
    let file = File::open(path).map_err(failed("opening the key", path))?;
    let opened = file
        .metadata()
        .map_err(failed("looking at the key", path))?;
    let limit = MAX_PEM_BYTES + 1; // one more, so that a longer file is refused as too long
    let mut text = Zeroizing::new(Vec::with_capacity(limit));
    let read = file.take(limit as u64).read_to_end(&mut text);
    read.map_err(failed("reading the key", path))?;
    Ok((text, opened.mode() & 0o7777))
}

/// The system's refusal to do something to a file.
pub(super) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
    let path = path.to_owned();
    move |source| KeyFileError::Io {
        doing,
        path,
        source,
    }
}
