//! The script that calls a hook of a backend, or a tool's front end, with what goes before it so that two
//! builds agree and headers are written as the publisher's Python writes them.

use super::candidate::{Kind, Way};
use super::{BuildSystem, PublishedFile, PypiEvidence, ours};
use crate::plan::Step;

/// Calls one hook of a backend.
const HOOK: &str = include_str!("hook.py");
/// Calls flit's own command for an sdist.
const FRONT_END: &str = include_str!("front_end.py");
/// Goes before [`HOOK`] for sdists of backends that ask the clock, and of those that write the owner of the
/// publisher's files: without it, no two builds agree.
const SETTLE: &str = include_str!("settle.py");
/// Goes before [`HOOK`] where members get the times and owners that are recorded in the published file.
const RECORDED: &str = include_str!("recorded.py");
/// Goes before [`HOOK`] where the publisher's Python was one that writes device numbers of what is no device,
/// and a time with a fraction in the extended header alone.
const DEVICES: &str = include_str!("devices.py");
/// Backends that take the time of `SOURCE_DATE_EPOCH` or a constant of their own for all that they write.
const TIMELESS: [&str; 6] = [
    "flit",
    "flit_core",
    "hatchling",
    "poetry",
    "poetry_core",
    "uv_build",
];

/// Whether a backend writes a constant of its own where no time is set. Others then ask the clock, and no
/// two builds agree.
pub(super) fn has_constant(system: &BuildSystem, kind: Kind) -> bool {
    match (backend(system), kind) {
        (Some("setuptools"), _) | (Some("pdm"), Kind::Sdist) => false,
        (Some(_) | None, _) => true,
    }
}

/// The first name of the backend's module.
pub(super) fn backend(system: &BuildSystem) -> Option<&str> {
    system.backend.split([':', '.']).next()
}

/// A call of the backend.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) evidence: &'a PypiEvidence,
    /// Whether no time is set.
    pub(super) unset: bool,
    pub(super) kind: Kind,
    pub(super) way: Way,
    /// Whether what is recorded lies at hand.
    pub(super) recorded: bool,
}

impl Call<'_> {
    /// The step that does `action` and leaves what comes of it in `target`.
    pub(super) fn step(self, action: &str, target: &str, sdists: &str) -> Step {
        let system = &self.evidence.project.system;
        let code = self.code(action);
        let mut argv: Vec<&str> = Vec::new();
        if self.unset {
            argv.extend(["env", "-u", "SOURCE_DATE_EPOCH"]);
        }
        argv.extend(["python3", "-I", "-S", "-B", "-c", &code]);
        argv.extend([action, self.kind.word(), &system.backend, target, sdists]);
        argv.extend(system.backend_path.iter().map(String::as_str));
        Step {
            argv: argv.into_iter().map(ours).collect(),
        }
    }

    fn code(self, action: &str) -> String {
        let backend = backend(&self.evidence.project.system);
        let timeless = backend.is_some_and(|backend| TIMELESS.contains(&backend));
        let of_sdist = self.kind == Kind::Sdist;
        let writes_devices = match &self.evidence.published {
            PublishedFile::Read(says) => says.device_numbers,
            PublishedFile::NotGiven | PublishedFile::Unreadable { .. } => false,
        };
        let mut parts = Vec::new();
        parts.extend((of_sdist && !timeless && !self.unset).then_some(SETTLE));
        parts.extend((of_sdist && writes_devices).then_some(DEVICES));
        parts.extend(self.recorded.then_some(RECORDED));
        parts.push(match (self.way, action) {
            (Way::ByFrontEnd, "build") => FRONT_END,
            (Way::AsNamed | Way::AsPipChooses | Way::BySdist | Way::ByFrontEnd, _) => HOOK,
        });
        parts.join("\n")
    }
}
