//! The logs of a rebuild while it runs, for whoever follows it from another process.
//!
//! They lie raw in a folder of the scratch space, a file for each build in order, beside a file that is
//! locked as long as the rebuild runs: a daemon that is killed ends a follower, too. What is kept in the end
//! is stored elsewhere, by its digest.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The name of the locked file.
const LOCK: &str = "running";

/// The writer's end; gone with the value.
#[derive(Debug)]
pub(crate) struct Live {
    folder: PathBuf,
    _lock: File,
    next: AtomicUsize,
}

fn folder(scratch: &Path, rebuild: i64) -> PathBuf {
    scratch.join(format!("live-{rebuild}"))
}

impl Live {
    /// Begins the logs of a rebuild in the scratch space of this process.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn begin(scratch: &Path, rebuild: i64) -> io::Result<Self> {
        let folder = folder(scratch, rebuild);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {} // an earlier attempt of this process
        }
        // a follower that finds the folder finds it locked
        let making = scratch.join(format!("making-{rebuild}"));
        fs::create_dir_all(&making)?;
        let lock = File::create(making.join(LOCK))?;
        lock.lock()?;
        fs::rename(&making, &folder)?;
        Ok(Self {
            folder,
            _lock: lock,
            next: AtomicUsize::new(0),
        })
    }

    /// A file for the log of the next build, open for writing and reading.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn log(&self) -> io::Result<File> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.folder.join(format!("{number}.log")))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder); // else the next start does
    }
}

/// A follower's end.
#[derive(Debug)]
pub(crate) struct Follower {
    folder: PathBuf,
    lock: File,
    number: usize,
    log: Option<File>,
}

/// What a look found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// A build begins, counted from 0.
    Begins(usize),
    /// The next bytes of its log, raw.
    Bytes(Vec<u8>),
    /// Nothing yet.
    Nothing,
    /// The rebuild is over.
    Over,
}

impl Follower {
    /// Finds a rebuild that is running.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn find(scratch: &Path, rebuild: i64) -> io::Result<Option<Self>> {
        let folder = folder(scratch, rebuild);
        match File::open(folder.join(LOCK)) {
            Ok(lock) => Ok(Some(Self {
                folder,
                lock,
                number: 0,
                log: None,
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Looks once. A build's log is read to its end before the next one's begins.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn look(&mut self) -> io::Result<Look> {
        // before the files: what is not there when the rebuild is over will never be
        let over = match self.lock.try_lock_shared() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(error)) => return Err(error),
        };
        if let Some(log) = &mut self.log {
            let mut bytes = vec![0; 64 << 10];
            let read = log.read(&mut bytes)?;
            if read > 0 {
                bytes.truncate(read);
                return Ok(Look::Bytes(bytes));
            }
        }
        match File::open(self.folder.join(format!("{}.log", self.number))) {
            Ok(log) => {
                self.log = Some(log);
                self.number += 1;
                Ok(Look::Begins(self.number - 1))
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Err(_) if over => Ok(Look::Over),
            Err(_) => Ok(Look::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_follower_sees_every_build_in_order_and_the_end() {
        let scratch = tempfile::tempdir().unwrap();
        assert!(Follower::find(scratch.path(), 7).unwrap().is_none());
        let live = Live::begin(scratch.path(), 7).unwrap();
        let mut follower = Follower::find(scratch.path(), 7).unwrap().unwrap();
        assert_eq!(follower.look().unwrap(), Look::Nothing);
        let mut first = live.log().unwrap();
        assert_eq!(follower.look().unwrap(), Look::Begins(0));
        assert_eq!(follower.look().unwrap(), Look::Nothing);
        first.write_all(b"\x1b[31m").unwrap();
        assert_eq!(follower.look().unwrap(), Look::Bytes(b"\x1b[31m".into()));
        let mut second = live.log().unwrap();
        first.write_all(b"more").unwrap();
        second.write_all(b"second").unwrap();
        assert_eq!(follower.look().unwrap(), Look::Bytes(b"more".into()));
        assert_eq!(follower.look().unwrap(), Look::Begins(1));
        assert_eq!(follower.look().unwrap(), Look::Bytes(b"second".into()));
        second.write_all(b"!").unwrap();
        drop(live);
        // what it has open outlives the folder
        assert_eq!(follower.look().unwrap(), Look::Bytes(b"!".into()));
        assert_eq!(follower.look().unwrap(), Look::Over);
        assert!(Follower::find(scratch.path(), 7).unwrap().is_none());
    }

    #[test]
    fn an_attempt_that_was_left_behind_is_replaced() {
        let scratch = tempfile::tempdir().unwrap();
        let left = Live::begin(scratch.path(), 1).unwrap();
        left.log().unwrap();
        std::mem::forget(left); // killed
        let live = Live::begin(scratch.path(), 1).unwrap();
        assert!(live.log().is_ok());
    }
}
