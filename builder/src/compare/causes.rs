//! Why two files differ, as far as their digests and the source tell: the finding that matters most
//! comes first. Pure, and words for people: the verdict is made without it.

use std::fmt;

use countersign_attest::digest::Sha256;

use super::{Comparison, DifferenceKind, MemberDifference};

/// One cause and the member that shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What it is.
    pub kind: CauseKind,
    /// Whether the member's name is that of a program, a script, or something a build or an
    /// installation runs.
    pub runs: bool,
    /// The member, as in [`MemberDifference::name`].
    pub member: String,
}

/// What makes two files differ, the heaviest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CauseKind {
    /// The published file has a member whose content is nowhere in the source, and our build has not.
    NotInSource,
    /// Our build packs a file of the source as it is; what was published in its place is nowhere in
    /// the source.
    NotAsInSource,
    /// Another type of file, or another link target.
    Type,
    /// Other permission bits.
    Mode,
    /// Other content, which neither side has from the source as it is.
    Generated,
    /// The published file has a file of the source that our build does not pack.
    NotPacked,
    /// What was published is a file of the source as it is; our build made something else of it.
    ChangedByBuild,
    /// Our build has a member that was not published.
    NotPublished,
    /// Another order or number of members.
    Order,
    /// Something beside the members.
    Container,
}

impl CauseKind {
    /// The word before the colon.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotInSource => "not-in-source",
            Self::NotAsInSource => "not-as-in-source",
            Self::Type => "type",
            Self::Mode => "mode",
            Self::Generated => "generated",
            Self::NotPacked => "not-packed",
            Self::ChangedByBuild => "changed-by-build",
            Self::NotPublished => "not-published",
            Self::Order => "order",
            Self::Container => "container",
        }
    }
}

/// Longest name in a line, in bytes; the whole name is in the list of members.
const NAME_BYTES: usize = 200;

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // names are escaped and so are ASCII; should one not be, it is shown whole
        let name = self.member.get(..NAME_BYTES).unwrap_or(&self.member);
        let cut = if name.len() < self.member.len() {
            "…"
        } else {
            ""
        };
        let runs = if self.runs { " (runs)" } else { "" };
        write!(f, "{}: {name}{cut}{runs}", self.kind.word())
    }
}

/// The causes of a comparison. `source` has the digest of every file of the source, sorted.
#[must_use]
pub fn causes(comparison: &Comparison, source: &[Sha256]) -> Vec<Cause> {
    let Comparison::Different { members, .. } = comparison else {
        return Vec::new();
    };
    let mut list: Vec<Cause> = members.iter().map(|member| cause(member, source)).collect();
    list.sort_by(|a, b| {
        let key = |cause: &Cause| (cause.kind, !cause.runs);
        key(a).cmp(&key(b)).then_with(|| a.member.cmp(&b.member))
    });
    list
}

fn cause(member: &MemberDifference, source: &[Sha256]) -> Cause {
    let known =
        |digest: Option<Sha256>| digest.is_some_and(|digest| source.binary_search(&digest).is_ok());
    let (published, rebuilt) = (known(member.published), known(member.rebuilt));
    let kind = match member.what {
        DifferenceKind::OnlyPublished if published => CauseKind::NotPacked,
        DifferenceKind::OnlyPublished => CauseKind::NotInSource,
        DifferenceKind::OnlyRebuilt => CauseKind::NotPublished,
        DifferenceKind::Content => match (published, rebuilt) {
            (false, true) => CauseKind::NotAsInSource,
            (true, false) => CauseKind::ChangedByBuild,
            (false, false) | (true, true) => CauseKind::Generated,
        },
        DifferenceKind::Type => CauseKind::Type,
        DifferenceKind::Mode => CauseKind::Mode,
        DifferenceKind::Order => CauseKind::Order,
        DifferenceKind::Container => CauseKind::Container,
    };
    Cause {
        kind,
        runs: runs(&member.name),
        member: member.name.clone(),
    }
}

/// Endings of what is run, loaded or linked.
const ENDINGS: [&str; 31] = [
    "a", "bash", "bat", "bin", "cjs", "class", "cmd", "dll", "dylib", "elf", "exe", "jar", "js",
    "ko", "lib", "lua", "mjs", "node", "o", "obj", "php", "pl", "ps1", "pth", "py", "pyc", "pyd",
    "rb", "sh", "so", "wasm",
];
/// Names of what builds and installations run.
const NAMES: [&str; 13] = [
    "build.rs",
    "binding.gyp",
    "cmakelists.txt",
    "config",
    "configure",
    "gnumakefile",
    "makefile",
    "package.json",
    "postinst",
    "postrm",
    "preinst",
    "prerm",
    "rules",
];

fn runs(name: &str) -> bool {
    let name = name.trim_end_matches('/');
    let (folders, file) = name.rsplit_once('/').unwrap_or(("", name));
    let file = file.to_ascii_lowercase();
    let ending = file.rsplit_once('.').map(|(_, ending)| ending);
    let versioned = file.contains(".so."); // libx.so.1.2
    let bin = folders
        .split('/')
        .any(|part| matches!(part, "bin" | "sbin" | "libexec"));
    bin || versioned
        || NAMES.contains(&file.as_str())
        || ending.is_some_and(|ending| ENDINGS.contains(&ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(what: DifferenceKind, name: &str, sides: [Option<&[u8]>; 2]) -> MemberDifference {
        let [published, rebuilt] = sides.map(|side| side.map(Sha256::of));
        MemberDifference {
            name: name.into(),
            what,
            published,
            rebuilt,
        }
    }

    #[test]
    fn what_is_not_in_the_source_comes_first_and_what_runs_before_what_does_not() {
        use DifferenceKind::{Content, Mode, OnlyPublished, OnlyRebuilt};
        let members = vec![
            member(Content, "a.txt", [Some(b"1"), Some(b"2")]),
            member(Content, "b.m4", [Some(b"evil"), Some(b"source")]),
            member(Content, "c", [Some(b"source"), Some(b"2")]),
            member(Mode, "d", [Some(b"1"), Some(b"1")]),
            member(OnlyPublished, "docs/readme", [Some(b"1"), None]),
            member(OnlyPublished, "lib/x.so.1", [Some(b"1"), None]),
            member(OnlyPublished, "old.c", [Some(b"source"), None]),
            member(OnlyRebuilt, "new", [None, Some(b"1")]),
        ];
        let comparison = Comparison::Different {
            members,
            unlisted: 0,
        };
        let found = causes(&comparison, &[Sha256::of(b"source")]);
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "not-in-source: lib/x.so.1 (runs)",
                "not-in-source: docs/readme",
                "not-as-in-source: b.m4",
                "mode: d",
                "generated: a.txt",
                "not-packed: old.c",
                "changed-by-build: c",
                "not-published: new",
            ]
        );
        let other = Comparison::NotComparable {
            published_format: "zip".into(),
            rebuilt_format: "tar".into(),
        };
        assert_eq!(causes(&other, &[]), []);
    }

    #[test]
    fn a_long_name_does_not_make_a_long_line() {
        let name = "n".repeat(5000);
        let cause = cause(&member(DifferenceKind::Type, &name, [None, None]), &[]);
        assert!(cause.to_string().len() < 300);
    }

    #[test]
    fn lists_are_sorted() {
        for list in [&ENDINGS[..], &NAMES] {
            let mut sorted = list.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), list.len());
        }
    }
}
