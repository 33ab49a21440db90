//! Looks at how much memory a sandbox takes, where no control group holds it.
//!
//! What is counted: private memory and shared memory of all its processes, each page once however many
//! share it (PSS), and all that lies on its file systems. A process can take more between two looks.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::dir::Dir;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::sys::statvfs::fstatvfs;

/// Time between two looks.
pub(crate) const INTERVAL: Duration = Duration::from_millis(250);

/// Looks every so often.
pub(crate) struct Sampler {
    /// `/proc` as it is inside: it lists the processes of the sandbox and no others.
    processes: OwnedFd,
    limit: u64,
    next: Instant,
}

impl Sampler {
    pub(crate) fn new(processes: OwnedFd, limit: u64) -> Self {
        Self {
            processes,
            limit,
            next: Instant::now(),
        }
    }

    /// When to look again.
    pub(crate) fn left(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Looks, where it is time to; `true` when the sandbox has more than it may.
    pub(crate) fn exceeded(&mut self, files: &OwnedFd) -> bool {
        if !self.left().is_zero() {
            return false;
        }
        let started = Instant::now();
        let used = self.used(files);
        // many processes take long to look at: at most a quarter of the time goes into that
        self.next = Instant::now() + INTERVAL.max(started.elapsed() * 3);
        used > self.limit
    }

    /// Bytes in use. Shared memory may be what the file systems hold, mapped: the larger counts.
    fn used(&self, files: &OwnedFd) -> u64 {
        let (mut private, mut shared) = (0u64, 0u64);
        let listed = openat(
            self.processes.as_fd(),
            ".",
            FLAGS | OFlag::O_DIRECTORY,
            NONE,
        )
        .and_then(Dir::from_fd);
        if let Ok(mut listed) = listed {
            let names = listed
                .iter()
                .flatten()
                .map(|entry| entry.file_name().to_owned());
            for name in names.filter(|name| name.to_bytes().iter().all(u8::is_ascii_digit)) {
                let path = format!("{}/smaps_rollup", name.to_string_lossy());
                let mut text = String::new();
                // one that has ended has nothing
                if let Ok(file) = openat(self.processes.as_fd(), path.as_str(), FLAGS, NONE)
                    && File::from(file)
                        .take(4096)
                        .read_to_string(&mut text)
                        .is_ok()
                {
                    private += kilobytes(&text, "Pss_Anon:");
                    shared += kilobytes(&text, "Pss_Shmem:");
                }
            }
        }
        private.saturating_add(shared.max(on(files)))
    }
}

const FLAGS: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_CLOEXEC)
    .union(OFlag::O_NOCTTY);
const NONE: Mode = Mode::empty();

/// Bytes on a file system; zero where it cannot tell.
fn on(files: &OwnedFd) -> u64 {
    fstatvfs(files).map_or(0, |found| {
        let used = found.blocks().saturating_sub(found.blocks_free());
        used.saturating_mul(found.fragment_size())
    })
}

fn kilobytes(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    number.unwrap_or(0).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_has_is_read_in_bytes() {
        let text = "Rss:  9 kB\nPss_Anon:            1024 kB\nPss_Shmem:       3 kB\n";
        assert_eq!(kilobytes(text, "Pss_Anon:"), 1 << 20);
        assert_eq!(kilobytes(text, "Pss_Shmem:"), 3072);
        assert_eq!(kilobytes(text, "Pss_File:"), 0);
    }

    #[test]
    fn this_process_takes_memory_and_less_than_everything() {
        let files = File::open("/tmp").unwrap().into();
        let open = || File::open("/proc").unwrap().into();
        // all of the host's processes that may be looked at: this one is among them
        let mut sampler = Sampler::new(open(), 64 << 10);
        assert!(sampler.exceeded(&files));
        assert!(!sampler.exceeded(&files), "not time yet");
        assert!(!Sampler::new(open(), u64::MAX).exceeded(&files));
    }
}
