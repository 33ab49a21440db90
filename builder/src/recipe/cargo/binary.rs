//! Programs of a Rust workspace: `cargo build --release --locked` against a published executable, or an
//! archive with executables in it.
//!
//! An executable says which rustc made it, for which machine, whose start files the linker put in, and
//! where its sources lay ([`elf`], [`paths`]). Paths are remapped by a wrapper around rustc, which,
//! other than `RUSTFLAGS`, changes nothing else that a build depends on. What an archive has beside its
//! executables is taken from the tree.

use countersign_attest::verdict::{Reason, Verdict};

use super::{identity, no_recipe, version};
use crate::environment::FoundTool;
use crate::recipe::{Next, Proposal, Situation};

mod candidate;
mod elf;
mod evidence;
mod inspect;
mod paths;

pub use elf::{Executable, Libc};
pub use evidence::{Archive, Bin, BinaryEvidence, Member, Program, PublishedBinary, What};
pub(super) use inspect::inspect;
pub use paths::Paths;

/// What compiles and links.
const TOOLS: [&str; 3] = ["cargo", "rustc", "cc"];

/// One way to build.
#[derive(Clone, Copy)]
struct Rung<'a> {
    /// For a target that is named, which is other bytes than the same target unnamed.
    target: Option<&'a str>,
    /// The package alone, whose dependencies then have its features alone.
    package: Option<&'a str>,
}

impl Rung<'_> {
    fn way(&self) -> String {
        let target = self.target.map(|target| format!(", target {target}"));
        let package = self.package.map_or("", |_| ", the package alone");
        format!("cargo build{}{package}", target.unwrap_or_default())
    }
}

/// The candidates are a fixed list; the first that gives the bytes ends it.
pub(super) fn next(situation: &Situation<'_>, evidence: &BinaryEvidence) -> Next {
    // of an archive, the packing is not tried in another way
    let same = |verdict: Verdict| {
        matches!(
            verdict,
            Verdict::Reproduced | Verdict::Assisted | Verdict::Equivalent
        )
    };
    if situation.attempts.iter().any(|a| same(a.verdict)) {
        return Next::Enough;
    }
    let bin = match program(situation, evidence) {
        Ok(bin) => bin,
        Err(cannot) => return cannot,
    };
    let (tools, missing) = match toolchain(situation, evidence) {
        Ok(found) => found,
        Err(cannot) => return cannot,
    };
    let first = evidence
        .programs()
        .first()
        .map(|program| &program.executable);
    let libc = first.map_or(Libc::Gnu, |executable| executable.libc);
    let architecture = &situation.capabilities.architecture;
    let named = match libc {
        Libc::Gnu => format!("{architecture}-unknown-linux-gnu"),
        Libc::Musl => format!("{architecture}-unknown-linux-musl"),
    };
    let targets = match libc {
        Libc::Gnu => vec![None, Some(named.as_str())],
        Libc::Musl => vec![Some(named.as_str())],
    };
    let alone = Some(bin.package.as_str());
    let packages = match (evidence.members, bin.at_root) {
        (..=1, _) => vec![None],
        (_, true) => vec![None, alone],
        (_, false) => vec![alone, None],
    };
    let mut ladder = Vec::new();
    for package in packages {
        ladder.extend(targets.iter().map(|target| Rung {
            target: *target,
            package,
        }));
    }
    situation.order(&mut ladder, Rung::way);
    let Some(rung) = ladder.get(situation.attempts.len()) else {
        return Next::Enough;
    };
    let why = missing
        .clone()
        .unwrap_or_else(|| "by the rustc that the executable names".to_owned());
    let candidate = candidate::of(situation, evidence, bin, *rung, &tools, missing);
    match candidate.check() {
        Ok(()) => Next::Try(Proposal::new(candidate, rung.way(), why)),
        Err(error) => no_recipe(format!("the program makes {error}")),
    }
}

/// The program that is to be built; of an archive, the first.
fn program<'a>(situation: &Situation<'_>, evidence: &'a BinaryEvidence) -> Result<&'a Bin, Next> {
    let cannot = |reason, detail: String| Err(Next::Cannot { reason, detail });
    if let PublishedBinary::Unreadable { detail } = &evidence.published {
        return cannot(Reason::NoRecipe, format!("the published file is {detail}"));
    }
    if !evidence.lock {
        let detail = "the tree has no Cargo.lock beside its Cargo.toml: what the program was made of stands nowhere";
        return cannot(Reason::SourceIncomplete, detail.to_owned());
    }
    if evidence.elsewhere {
        let detail = "Cargo.lock names packages from git repositories or other registries";
        return cannot(Reason::DependenciesElsewhere, detail.to_owned());
    }
    let file = situation.published.file_name.as_str();
    let bin = match &evidence.published {
        PublishedBinary::Archive(archive) => {
            let built = |member: &&Member| matches!(member.what, What::Program(_));
            let first = archive.members.iter().find(built);
            first.and_then(|member| match &member.what {
                What::Program(name) => evidence.bins.iter().find(|bin| bin.name == *name),
                What::Folder | What::File(_) | What::Unknown => None,
            })
        }
        PublishedBinary::Executable(_) | PublishedBinary::NotGiven => {
            let fits = |bin: &&Bin| {
                let rest = file.strip_prefix(bin.name.as_str());
                rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
            };
            let bins = evidence.bins.iter().filter(fits);
            bins.max_by_key(|bin| bin.name.len())
        }
        PublishedBinary::Unreadable { .. } => None,
    };
    let Some(bin) = bin else {
        let detail =
            format!("no program of the workspace is called like {file:?} or an executable in it");
        return cannot(Reason::NoRecipe, detail);
    };
    if !identity::is_plain(&bin.name) || !identity::is_plain(&bin.package) {
        return cannot(Reason::NoRecipe, format!("cargo builds no {:?}", bin.name));
    }
    let tag = situation.release.version.as_str();
    match &bin.version {
        Some(version) if version != tag && version.split('+').next() != Some(tag) => cannot(
            Reason::EvidenceContradicts,
            format!("Cargo.toml of the tree says version {version:?}, the tag says {tag:?}"),
        ),
        Some(_) | None => Ok(bin),
    }
}

/// The tools, and what is missing: in words.
fn toolchain<'a>(
    situation: &Situation<'a>,
    evidence: &BinaryEvidence,
) -> Result<(Vec<&'a FoundTool>, Option<String>), Next> {
    let unavailable = |detail| Next::Cannot {
        reason: Reason::ToolchainUnavailable,
        detail,
    };
    let capabilities = situation.capabilities;
    let first = evidence
        .programs()
        .first()
        .map(|program| &program.executable);
    if let Some(executable) = first.filter(|e| e.architecture != capabilities.architecture) {
        return Err(unavailable(format!(
            "the executable is for {}, this machine is {}",
            executable.architecture, capabilities.architecture
        )));
    }
    if matches!(evidence.published, PublishedBinary::Archive(_))
        && capabilities.tool("python3").is_none()
    {
        return Err(unavailable(
            "python3, which packs the archive, is not at hand".to_owned(),
        ));
    }
    let mut sets = capabilities.sets(&TOOLS);
    let rustc = |set: &Vec<&FoundTool>| {
        set.get(1)
            .map_or("", |tool| tool.version.as_str())
            .to_owned()
    };
    sets.sort_by_key(|set| version::order(&rustc(set), None));
    let here: Vec<String> = sets.iter().map(rustc).collect();
    let here = if here.is_empty() {
        "none".to_owned()
    } else {
        here.join(", ")
    };
    let wanted = first.and_then(|executable| executable.rustc.as_deref());
    let mut missing = Vec::new();
    match wanted {
        Some(wanted) => {
            sets.retain(|set| rustc(set) == wanted);
            if wanted.contains('-') {
                missing.push(format!(
                    "which day's {wanted} made the executable is not known"
                ));
            }
        }
        None => missing.push("the executable does not say which rustc made it".to_owned()),
    }
    let Some(set) = sets.into_iter().next() else {
        return Err(unavailable(format!(
            "the executable was compiled by rustc {}; at hand with cargo and a C compiler: {here} (rustup \
             toolchain install, or its folder among the toolchains)",
            wanted.unwrap_or("of any version")
        )));
    };
    if let Some(executable) = first {
        let cc = set.get(2).map_or("", |tool| tool.version.as_str());
        let of_gcc: Vec<&String> = executable
            .others
            .iter()
            .filter(|line| line.starts_with("GCC: "))
            .collect();
        if !of_gcc.is_empty() && !of_gcc.iter().any(|line| line.contains(cc)) {
            let lines: Vec<&str> = of_gcc.iter().map(|line| line.as_str()).collect();
            missing.push(format!(
                "the executable was linked on a machine with {}, this one has {cc}",
                lines.join(", ")
            ));
        }
        if executable.libc == Libc::Musl {
            // rustup's components are not probed
            let detail = "whether the standard library for musl is at hand is not known";
            missing.push(detail.to_owned());
        }
        if executable.auditable {
            missing.push(
                "the executable was made by cargo auditable, which is not used here".to_owned(),
            );
        }
    }
    Ok((set, (!missing.is_empty()).then(|| missing.join("; "))))
}

#[cfg(test)]
mod tests;
