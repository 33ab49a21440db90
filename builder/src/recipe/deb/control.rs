//! Reads `debian/control` and `debian/changelog` of a tree (Debian policy §4.4, §5, §7.1).

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use countersign_attest::digest::Sha256;

use super::super::tree_file::{self, TreeFile};
use super::super::{Evidence, InspectError, InspectRequest};
use super::{DebEvidence, Dependencies, times};
use crate::plan::is_dependency;

/// Longest file that is read.
const MAX_BYTES: u64 = 16 << 20;

/// Fields of a paragraph by their names in lower case.
pub(super) type Fields = BTreeMap<String, String>;

pub(super) fn inspect(
    request: &InspectRequest,
    tree: BorrowedFd<'_>,
    artifact: Option<std::fs::File>,
) -> Result<Evidence, InspectError> {
    let read = |name: &str| -> Result<Result<String, String>, InspectError> {
        let path = if request.subdir.is_empty() {
            format!("debian/{name}")
        } else {
            format!("{}/debian/{name}", request.subdir)
        };
        Ok(match tree_file::read(tree, &path, MAX_BYTES)? {
            TreeFile::Read(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            TreeFile::Unusable(what) => Err(format!("{path:?} {what}")),
        })
    };
    let (control, changelog) = (read("control")?, read("changelog")?);
    let both = control.and_then(|control| Ok((control, changelog?)));
    let understood = both.and_then(|(control, changelog)| {
        let evidence = understand(&control, &changelog)?;
        Ok((evidence, Sha256::of(changelog.as_bytes())))
    });
    Ok(match understood {
        Ok((mut evidence, changelog)) => {
            if let Some(artifact) = artifact {
                times::look(tree, request, artifact, changelog, &mut evidence)?;
            }
            Evidence::Deb(evidence)
        }
        Err(detail) => Evidence::Unusable { detail },
    })
}

fn understand(control: &str, changelog: &str) -> Result<DebEvidence, String> {
    let entry = entry(changelog).ok_or("debian/changelog begins with no entry")?;
    let source = entry.source;
    let paragraphs = paragraphs(control);
    let own = paragraphs
        .first()
        .filter(|fields| fields.get("source").is_some_and(|name| *name == source))
        .ok_or_else(|| format!("debian/control is not about the source {source:?}"))?;
    let packages = paragraphs.iter().skip(1);
    let packages = packages.filter_map(|fields| fields.get("package").cloned());
    let dependencies = |field: &str| -> Result<Vec<String>, String> {
        let listed = own.get(field).map_or("", String::as_str).split(',');
        let kept: Vec<String> = listed.filter_map(for_us).collect();
        match kept.iter().find(|kept| !is_dependency(kept)) {
            Some(bad) => Err(format!("debian/control needs {bad:?} to build")),
            None => Ok(kept),
        }
    };
    let dependencies = Dependencies {
        always: dependencies("build-depends")?,
        for_arch: dependencies("build-depends-arch")?,
        for_all: dependencies("build-depends-indep")?,
    };
    Ok(DebEvidence {
        packages: packages.collect(),
        source,
        version: entry.version,
        distribution: entry.distribution,
        date: entry.date,
        dependencies,
        times: Vec::new(),
        source_times: Vec::new(),
        whole_changelog: false,
        binary_only: None,
    })
}

/// The newest entry of a changelog (deb-changelog(5)).
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) source: String,
    /// With an epoch.
    pub(super) version: String,
    /// The release that it is for.
    pub(super) distribution: String,
    /// When it was written (RFC 5322), where that is usable.
    pub(super) date: Option<String>,
}

/// Reads the newest entry.
pub(super) fn entry(changelog: &str) -> Option<Entry> {
    let line = changelog.lines().find(|line| !line.trim().is_empty())?;
    let (source, rest) = line.split_once(" (")?;
    let (version, rest) = rest.split_once(") ")?;
    let distribution = rest.split([';', ' ']).next()?;
    let plain = |text: &str, more: &str| {
        let safe = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(safe)
    };
    let good = plain(source, "+-.") && plain(version, "+-.~:") && plain(distribution, "-");
    let trailer = changelog.lines().find_map(|line| line.strip_prefix(" -- "));
    let date = trailer.and_then(|trailer| trailer.rsplit_once(">  "));
    let date = date.map(|(_, date)| date.trim());
    let date = date.filter(|date| date.len() <= 40 && plain(date, " ,:+-"));
    good.then(|| Entry {
        source: source.to_owned(),
        version: version.to_owned(),
        distribution: distribution.to_owned(),
        date: date.map(str::to_owned),
    })
}

/// Paragraphs that are separated by empty lines, without comments and signatures.
pub(super) fn paragraphs(text: &str) -> Vec<Fields> {
    let mut all = Vec::new();
    let mut current = Fields::new();
    let mut last: Option<String> = None;
    for line in text.lines().chain([""]) {
        if line.trim().is_empty() {
            if !current.is_empty() {
                all.push(std::mem::take(&mut current));
            }
            last = None;
        } else if line.starts_with('#') || line.starts_with("-----") {
            // a comment, or the frame of a signed text
        } else if line.starts_with([' ', '\t']) {
            if let Some(value) = last.as_ref().and_then(|name| current.get_mut(name)) {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            let name = name.to_ascii_lowercase();
            current.insert(name.clone(), value.trim().to_owned());
            last = Some(name);
        }
    }
    all
}

/// A dependency with the alternatives that count on this architecture and in no build profile, without
/// what restricts them; `None` where none does.
fn for_us(dependency: &str) -> Option<String> {
    let kept: Vec<String> = dependency.split('|').filter_map(alternative).collect();
    (!kept.is_empty()).then(|| kept.join(" | "))
}

fn alternative(text: &str) -> Option<String> {
    let mut kept = text.trim().to_owned();
    let mut counts = !kept.is_empty();
    while let Some(start) = kept.find('[') {
        let end = kept.get(start..)?.find(']')? + start;
        counts &= is_for_architecture(kept.get(start + 1..end)?);
        kept.replace_range(start..=end, "");
    }
    // several groups: each must hold; in a group, each word must (dpkg's build profiles)
    let mut groups = false;
    let mut holds = false;
    while let Some(start) = profile_start(&kept) {
        let end = kept.get(start..)?.find('>')? + start;
        groups = true;
        let words = kept.get(start + 1..end)?;
        // no profile is active, so that a word holds exactly where it is negated
        holds |= words.split_whitespace().all(|word| word.starts_with('!'));
        kept.replace_range(start..=end, "");
    }
    let kept = kept.trim().to_owned();
    (counts && (!groups || holds)).then_some(kept)
}

/// Where a group of profiles begins: not at a `<` of a relation to a version.
fn profile_start(text: &str) -> Option<usize> {
    let after = text.rfind(')').map_or(0, |at| at + 1);
    let found = text.get(after..)?.find('<')?;
    Some(after + found)
}

/// Whether a list of architectures has this machine's (Debian policy §7.1).
fn is_for_architecture(list: &str) -> bool {
    let own = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let matches = |word: &str| {
        word == own
            || matches!(word, "any" | "linux-any")
            || word.strip_prefix("any-").is_some_and(|cpu| cpu == own)
    };
    let mut words = list.split_whitespace().peekable();
    match words.peek() {
        // a list of exceptions
        Some(first) if first.starts_with('!') => {
            !words.any(|word| matches(word.trim_start_matches('!')))
        }
        Some(_) | None => words.any(matches),
    }
}
