//! Tests of programs: what is read, and what is tried in which order.

use std::fs;

use countersign_attest::digest::Sha256;
use countersign_attest::origin::{AssistKind, Origin};
use countersign_fixtures::archives::{TarEntry, gzip, tar};

use super::*;
use crate::environment::Capabilities;
use crate::plan::{Candidate, Network};
use crate::recipe::cargo::tests::inspect_named;
use crate::recipe::tests::{attempt, published, release};
use crate::recipe::{Evidence, Hints};
use crate::release::{Published, Release};

const LOCK: &str = "version = 4\n\n[[package]]\nname = \"dep\"\nversion = \"1.0.0\"\nsource = \"registry+https://registry.example/index\"\n";
const TREE: &[(&str, &str)] = &[
    (
        "Cargo.toml",
        "[workspace]\nmembers = ['tool', 'lib']\n[profile.release]\nstrip = true\n",
    ),
    ("Cargo.lock", LOCK),
    (
        "tool/Cargo.toml",
        "[package]\nname = 'tool-cli'\nversion = '1.0.0'\n[[bin]]\nname = 'tool'\npath = 'x.rs'\n",
    ),
    ("tool/src/main.rs", ""),
    ("tool/src/bin/tool-extra.rs", ""),
    (
        "lib/Cargo.toml",
        "[package]\nname = 'lib'\nversion = '0.1.0'\n",
    ),
    ("README.md", "read me"),
    ("doc/tool.1", "a page"),
];

/// This test is an executable that rustc made.
fn own() -> Vec<u8> {
    fs::read(std::env::current_exe().unwrap()).unwrap()
}

fn inspect(files: &[(&str, &str)], name: &str, file: Option<&[u8]>) -> Evidence {
    inspect_named(files, "", name, file)
}

#[track_caller]
fn evidence(files: &[(&str, &str)], name: &str, file: Option<&[u8]>) -> BinaryEvidence {
    match inspect(files, name, file) {
        Evidence::CargoBinary(evidence) => *evidence,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_workspace_is_read_for_its_programs() {
    let found = evidence(TREE, "tool", Some(&own()));
    let names: Vec<_> = found.bins.iter().map(|bin| bin.name.as_str()).collect();
    assert_eq!(names, ["tool", "tool-cli", "tool-extra"]);
    assert!(found.lock && found.dependencies && !found.elsewhere && found.strips);
    assert!(matches!(found.published, PublishedBinary::Executable(_)));
    let said = found.said().join("\n");
    assert!(said.contains("compiled by rustc 1."), "{said}");

    let git = LOCK.replace("registry+", "git+");
    let elsewhere = [
        ("Cargo.toml", "[package]\nname = 'a'\n"),
        ("Cargo.lock", git.as_str()),
    ];
    assert!(evidence(&elsewhere, "a", None).elsewhere);
    let none = inspect(&[("x", "")], "a", None);
    assert!(matches!(none, Evidence::Unusable { .. }));
}

#[test]
fn an_archive_is_its_programs_and_files_of_the_tree() {
    let program = own();
    let entry = |name: &str, content: &[u8], mode| TarEntry {
        mode,
        ..TarEntry::file(name, content)
    };
    let file = gzip(&tar(&[
        entry("tool-1.0.0/tool", &program, 0o755),
        entry("tool-1.0.0/README.md", b"read me", 0o664),
        entry("tool-1.0.0/share/tool.1", b"a page", 0o644),
        entry("tool-1.0.0/LICENSE", b"of nobody", 0o644),
    ]));
    let found = evidence(TREE, "tool-1.0.0.tar.gz", Some(&file));
    let PublishedBinary::Archive(archive) = found.published else {
        panic!("{found:?}")
    };
    let members: Vec<(&What, bool)> = archive
        .members
        .iter()
        .map(|m| (&m.what, m.by_rule))
        .collect();
    let expect = [
        (&What::Program("tool".into()), true),
        (&What::File("README.md".into()), true),
        (&What::File("doc/tool.1".into()), false), // in a folder of the publisher's
        (&What::Unknown, false),
    ];
    assert_eq!((members.as_slice(), archive.umask), (&expect[..], 0o002));

    for (name, bytes) in [
        ("a.tar.xz", &b"\xfd7zXZ\0"[..]),
        (
            "a.tar.gz",
            &gzip(&tar(&[TarEntry::file("a/tool", b"text")])),
        ),
        ("a.gz", &file),
        ("a.exe", b"MZ"),
    ] {
        let found = inspect(TREE, name, Some(bytes));
        assert_eq!(found.recipe_instead(), Some("generic"), "{name}");
        let published = evidence(TREE, name, Some(bytes)).published;
        assert!(
            matches!(published, PublishedBinary::Unreadable { .. }),
            "{name}: {published:?}"
        );
    }
}

/// All that `next` looks at.
struct Case {
    release: Release,
    published: Published,
    evidence: BinaryEvidence,
    capabilities: Capabilities,
    verdicts: Vec<Verdict>,
}

impl Case {
    fn new() -> Self {
        let executable = Executable {
            architecture: "x86_64".into(),
            libc: Libc::Gnu,
            rustc: Some("1.95.0".into()),
            others: vec!["GCC: (Debian 12.2.0-14) 12.2.0".into()],
            stripped: false,
            build_id: true,
            auditable: false,
        };
        let paths = Paths::default();
        let tool = |name: &str, version: &str| FoundTool {
            name: name.into(),
            version: version.into(),
        };
        let bin = Bin {
            name: "tool".into(),
            package: "tool-cli".into(),
            version: Some("1.0.0".into()),
            at_root: true,
        };
        Self {
            release: release(),
            published: Published {
                file_name: "tool-linux".into(),
                purl: None,
                ..published()
            },
            evidence: BinaryEvidence {
                root: String::new(),
                lock: true,
                dependencies: true,
                elsewhere: false,
                members: 2,
                bins: vec![bin],
                strips: false,
                published: PublishedBinary::Executable(Program { executable, paths }),
            },
            capabilities: Capabilities {
                architecture: "x86_64".into(),
                id_mode: None,
                checks: Vec::new(),
                tools: vec![tool("cc", "12.2.0-14"), tool("python3", "3.11.2")],
                alternatives: vec![
                    vec![tool("cargo", "1.96.0"), tool("rustc", "1.96.0")],
                    vec![tool("cargo", "1.95.0"), tool("rustc", "1.95.0")],
                ],
            },
            verdicts: Vec::new(),
        }
    }

    fn program(&mut self) -> &mut Program {
        match &mut self.evidence.published {
            PublishedBinary::Executable(program) => program,
            other => panic!("{other:?}"),
        }
    }

    fn next(&self) -> Next {
        let evidence = Evidence::CargoBinary(Box::new(self.evidence.clone()));
        let mut attempts = Vec::new();
        loop {
            let next = crate::recipe::next(
                &Situation {
                    release: &self.release,
                    published: &self.published,
                    all_published: &[],
                    evidence: &evidence,
                    siblings: &[],
                    source_incomplete: false,
                    capabilities: &self.capabilities,
                    hints: &Hints::default(),
                    attempts: &attempts,
                    worked_before: &[],
                },
                "cargo",
            );
            match (next, self.verdicts.get(attempts.len())) {
                (Next::Try(proposal), Some(verdict)) => attempts.push(attempt(*proposal, *verdict)),
                (next, _) => return next,
            }
        }
    }

    #[track_caller]
    fn candidate(&self) -> Candidate {
        match self.next() {
            Next::Try(proposal) => proposal.candidate,
            other => panic!("{other:?}"),
        }
    }
}

fn line(candidate: &Candidate, program: &str) -> String {
    let mut steps = candidate.steps.iter().map(|step| {
        let words: Vec<&str> = step
            .argv
            .iter()
            .map(|argument| argument.value.as_str())
            .collect();
        words.join(" ")
    });
    steps
        .find(|line| line.starts_with(program))
        .unwrap_or_default()
}

#[test]
fn the_ways_are_tried_in_order_by_the_rustc_that_is_named() {
    let mut case = Case::new();
    let mut ways = Vec::new();
    while let Next::Try(proposal) = case.next() {
        assert_eq!(proposal.candidate.environment.tools()[1].version, "1.95.0");
        assert_eq!(
            (proposal.candidate.network, proposal.candidate.incomplete),
            (Network::Mirror, None)
        );
        ways.push(proposal.way);
        case.verdicts.push(Verdict::Differs);
    }
    let named = "cargo build, target x86_64-unknown-linux-gnu";
    let alone = [
        "cargo build, the package alone".to_owned(),
        format!("{named}, the package alone"),
    ];
    assert_eq!(
        ways,
        [&["cargo build".to_owned(), named.to_owned()][..], &alone].concat()
    );
    for good in [Verdict::Reproduced, Verdict::Assisted] {
        case.verdicts = vec![good];
        assert_eq!(case.next(), Next::Enough);
    }
}

#[test]
fn what_an_executable_shows_is_done() {
    let mut case = Case::new();
    let candidate = case.candidate();
    assert_eq!(line(&candidate, "strip"), "");
    assert_eq!(line(&candidate, "sh"), "", "no path, no wrapper");
    case.program().executable.stripped = true;
    assert_eq!(
        line(&case.candidate(), "strip"),
        "strip target/release/tool"
    );
    case.evidence.strips = true;
    assert_eq!(line(&case.candidate(), "strip"), "", "the profile does it");
    case.program().executable.libc = Libc::Musl;
    let built = line(&case.candidate(), "cargo");
    assert!(
        built.contains("--target x86_64-unknown-linux-musl"),
        "{built}"
    );
}

#[test]
fn a_path_that_is_on_no_list_is_copied_and_said() {
    let mut case = Case::new();
    case.program().paths.checkout = Some(paths::checkout_of("b"));
    let candidate = case.candidate();
    assert_eq!(candidate.variables["RUSTC_WRAPPER"].value, "/tmp/rustc");
    assert!(
        candidate.assists.is_empty(),
        "the source's address has the name"
    );
    let path = "/srv/ci/.cargo/registry/src/registry.example-0123456789abcdef";
    case.program().paths.registry = Some(path.into());
    let candidate = case.candidate();
    let copied: Vec<&str> = candidate
        .steps
        .iter()
        .flat_map(|step| &step.argv)
        .filter(|argument| argument.origin == Origin::Artifact)
        .map(|argument| argument.value.as_str())
        .collect();
    assert_eq!(copied, [path]);
    assert_eq!(candidate.assists.len(), 1);
    assert_eq!(candidate.assists[0].kind, AssistKind::Metadata);
    assert_eq!(candidate.assists[0].sha256, Sha256::of(path.as_bytes()));
}

#[test]
fn members_that_nobody_can_make_are_no_difference() {
    let mut case = Case::new();
    let member = |name: &str, what, by_rule| Member {
        name: name.into(),
        what,
        by_rule,
    };
    let programs = case.evidence.programs().to_vec();
    let archive = |members| {
        PublishedBinary::Archive(Archive {
            members,
            umask: 0o022,
            programs: programs.clone(),
        })
    };
    let program = || member("tool", What::Program("tool".into()), true);
    case.evidence.published = archive(vec![program()]);
    let candidate = case.candidate();
    assert_eq!((candidate.incomplete, candidate.assists.len()), (None, 0));
    let page = member("man/tool.1", What::File("doc/tool.1".into()), false);
    case.evidence.published = archive(vec![program(), page]);
    assert_eq!(
        case.candidate().assists[0].kind,
        AssistKind::Metadata,
        "a name of the publisher's"
    );
    case.evidence.published = archive(vec![program(), member("x", What::Unknown, false)]);
    let candidate = case.candidate();
    assert_eq!(candidate.incomplete, Some(Reason::BuildStepUnsupported));
    case.verdicts = vec![Verdict::Equivalent];
    assert_eq!(case.next(), Next::Enough);
    case.verdicts.clear();
    case.capabilities.tools.pop();
    assert!(matches!(
        case.next(),
        Next::Cannot {
            reason: Reason::ToolchainUnavailable,
            ..
        }
    ));
}

#[test]
fn what_cannot_be_built_is_said() {
    type Change = fn(&mut Case);
    let rows: [(Change, Reason, &str); 7] = [
        (
            |case| case.evidence.lock = false,
            Reason::SourceIncomplete,
            "no Cargo.lock",
        ),
        (
            |case| case.evidence.elsewhere = true,
            Reason::DependenciesElsewhere,
            "git",
        ),
        (
            |case| case.published.file_name = "toolbox".into(),
            Reason::NoRecipe,
            "toolbox",
        ),
        (
            |case| case.evidence.bins[0].version = Some("1.0.1".into()),
            Reason::EvidenceContradicts,
            "1.0.1",
        ),
        (
            |case| case.program().executable.rustc = Some("1.80.0".into()),
            Reason::ToolchainUnavailable,
            "1.80.0",
        ),
        (
            |case| case.program().executable.architecture = "aarch64".into(),
            Reason::ToolchainUnavailable,
            "aarch64",
        ),
        (
            |case| {
                case.evidence.published = PublishedBinary::Unreadable {
                    detail: "odd".into(),
                }
            },
            Reason::NoRecipe,
            "odd",
        ),
    ];
    for (change, expect, words) in rows {
        let mut case = Case::new();
        change(&mut case);
        match case.next() {
            Next::Cannot { reason, detail } => {
                assert_eq!(reason, expect, "{detail}");
                assert!(detail.contains(words), "{detail}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Other content then says nothing of the release.
#[test]
fn another_linker_or_compiler_is_a_missing_one() {
    type Change = fn(&mut Executable);
    let rows: [(Change, &str); 5] = [
        (
            |e| e.others = vec!["GCC: (Ubuntu 11.4.0-1) 11.4.0".into()],
            "Ubuntu 11.4.0",
        ),
        (|e| e.rustc = None, "does not say which rustc"),
        (|e| e.auditable = true, "cargo auditable"),
        (|e| e.libc = Libc::Musl, "for musl"),
        (|e| e.others.clear(), ""),
    ];
    for (change, words) in rows {
        let mut case = Case::new();
        change(&mut case.program().executable);
        let candidate = case.candidate();
        let expect = (!words.is_empty()).then_some(Reason::ToolchainUnavailable);
        assert_eq!(candidate.incomplete, expect, "{words}");
        assert!(candidate.missing.unwrap_or_default().contains(words));
    }
}
