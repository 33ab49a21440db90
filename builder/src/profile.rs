//! The profile: every setting of a sandbox that a build can see and that must not matter, with the one
//! value that every first build gets.
//!
//! A profile is plain values and decides nothing. What a plan needs otherwise stands in its
//! [`Settings`]; what varies for a confirming build or an experiment is in [`variation`].

use serde::{Deserialize, Serialize};

use crate::plan::Settings;

pub mod variation;

/// Name and version of what the sandbox fixes, recorded in every attestation.
pub const PROFILE: &str = "countersign-sandbox/v1";

/// Values of settings that must not matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Host name.
    pub host_name: String,
    /// NIS domain name.
    pub domain_name: String,
    /// The build user's name.
    pub user_name: String,
    /// The build user's and group's id inside.
    pub user_id: u32,
    /// The build user's home inside: empty and writable.
    pub home: String,
    /// The folder inside in which the source tree lies, below `/build`.
    pub source: String,
    /// Permission bits that new files do not get.
    pub umask: u32,
    /// `LC_ALL`.
    pub locale: String,
    /// `TZ`.
    pub time_zone: String,
    /// Whether the environment holds a variable and a folder of the search path that mean nothing, for
    /// builds that keep a copy of it.
    pub marked_environment: bool,
    /// Most processors that a build may run on; `None` leaves those of the launcher.
    pub cpus: Option<u32>,
    /// What build tools are told to run at once; `None` tells them nothing.
    pub jobs: Option<u32>,
    /// Whether files of the source are created in descending order of their names, which reverses the
    /// order in which a tmpfs lists a folder.
    pub reverse_order: bool,
    /// Seconds between the time of the source's files and the plan's epoch.
    pub file_time_shift_seconds: i64,
    /// Whether `SOURCE_DATE_EPOCH` is set.
    pub epoch: bool,
    /// Seconds since the machine started, at the start of the sandbox.
    pub uptime_seconds: u32,
    /// Whether the kernel says that it is a 2.6, as it does to programs that know no other.
    pub old_kernel: bool,
    /// Whether `/bin/sh` is bash, whatever else it is.
    pub bash_as_sh: bool,
    /// Whether programs are loaded at random addresses.
    pub random_addresses: bool,
    /// Bytes of a stack. A quarter of it is the room for arguments.
    pub stack_bytes: u64,
    /// The scheduler's niceness.
    pub niceness: u8,
    /// The name of the processor in `/proc/cpuinfo`.
    pub processor: String,
}

impl Profile {
    /// The profile of a first build: normalised.
    #[must_use]
    pub fn first() -> Self {
        Self {
            host_name: "localhost".into(),
            domain_name: "(none)".into(),
            user_name: "build".into(),
            user_id: 1000,
            home: "/build/home".into(),
            source: "/build/source".into(),
            umask: 0o022,
            locale: "C.UTF-8".into(),
            time_zone: "UTC".into(),
            marked_environment: false,
            cpus: None,
            jobs: None,
            reverse_order: false,
            file_time_shift_seconds: 0,
            epoch: true,
            uptime_seconds: 0,
            old_kernel: false,
            bash_as_sh: false,
            random_addresses: false,
            stack_bytes: 8 << 20,
            niceness: 0,
            processor: "normalised x86-64-v2 processor".into(),
        }
    }

    /// The profile of the build that has to confirm the first one: other values of everything that a
    /// build could know the normalised profile by (ATTESTATION section 3.5), and what the plan sets.
    #[must_use]
    pub fn second(settings: &Settings) -> Self {
        let first = Self::first();
        Self {
            host_name: "rebuild".into(),
            domain_name: "example".into(),
            user_name: "second".into(),
            user_id: 2222,
            source: if settings.any_path {
                "/build/second/folder/source".into()
            } else {
                first.source.clone()
            },
            reverse_order: true,
            uptime_seconds: 400 * 24 * 3600,
            processor: "another x86-64-v2 processor".into(),
            ..first
        }
        .with(settings)
    }

    /// The same with what a plan sets.
    #[must_use]
    pub fn with(mut self, settings: &Settings) -> Self {
        let set = |to: &mut String, value: &Option<crate::plan::Valued<String>>| {
            if let Some(value) = value {
                to.clone_from(&value.value);
            }
        };
        set(&mut self.source, &settings.path);
        set(&mut self.home, &settings.home);
        set(&mut self.user_name, &settings.user);
        if let Some(umask) = &settings.umask {
            self.umask = umask.value;
        }
        if let Some(jobs) = &settings.jobs {
            self.jobs = Some(jobs.value);
        }
        if let Some(epoch) = &settings.epoch {
            self.epoch = epoch.value;
        }
        if let Some(shift) = &settings.file_time_shift_seconds {
            self.file_time_shift_seconds = shift.value;
        }
        self
    }
}
