//! What a build may use, and what it may where nobody says otherwise.

use serde::{Deserialize, Serialize};

/// What a build may use. All are enforced by the launcher, never by the build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Seconds of wall time for all steps together.
    pub time_seconds: u64,
    /// Seconds without a byte of log.
    pub silence_seconds: u64,
    /// Bytes of memory of all processes together. What lies on the build's file systems counts where a
    /// control group counts it.
    pub memory_bytes: u64,
    /// Processors at once; absent for all that the machine has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Bytes of log that are kept; the rest is counted and dropped.
    pub log_bytes: u64,
    /// Bytes of the file system that holds source and outputs.
    pub disk_bytes: u64,
    /// Files and folders on it.
    pub disk_inodes: u64,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Processes and threads at once.
    pub processes: u64,
    /// Bytes of all outputs together.
    pub output_bytes: u64,
    /// Number of outputs.
    pub output_files: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time_seconds: 3600,
            silence_seconds: 1800,
            memory_bytes: 8 << 30,
            cpus: None,
            log_bytes: 64 << 20,
            disk_bytes: 4 << 30,
            disk_inodes: 1_000_000,
            file_bytes: 2 << 30,
            processes: 2048,
            output_bytes: 2 << 30,
            output_files: 1000,
        }
    }
}
