//! What is tried for trees of each build system, and that nobody is accused on a guess.

use std::fs;

use countersign_attest::verdict::{Reason, Verdict};

use super::super::tests::{self as shared, Facts};
use super::super::{Evidence, InspectRequest, Next, Proposal};
use super::evidence::inspect;
use super::{Conventions, Packing, PublishedKind, System};
use crate::archive::ReadLimits;
use crate::environment::FoundTool;
use crate::plan::{Candidate, EnvironmentSpec, SourceForm};
use std::os::fd::AsFd as _;

/// What a tree with these files is found to be, and a published file.
fn found(files: &[(&str, &str)], published: Option<&[u8]>) -> Conventions {
    let place = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = place.path().join("tree").join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, text).expect("a file");
    }
    fs::create_dir_all(place.path().join("tree")).expect("a folder");
    let artifact = published.map(|bytes| {
        fs::write(place.path().join("published"), bytes).expect("a file");
        fs::File::open(place.path().join("published")).expect("it")
    });
    let tree = fs::File::open(place.path().join("tree")).expect("a folder");
    let request = InspectRequest {
        recipe: "generic".into(),
        subdir: String::new(),
        file_name: "b".into(),
        limits: ReadLimits::default(),
    };
    match inspect(&request, tree.as_fd(), artifact).expect("evidence") {
        Evidence::Conventional(found) => *found,
        other => panic!("{other:?}"),
    }
}

/// A published file of this name for which that was found, on a machine with every tool.
fn facts(file_name: &str, found: Conventions) -> Facts {
    let mut facts = shared::facts(Evidence::Conventional(Box::new(found)));
    facts.published.file_name = file_name.into();
    facts.published.purl = None;
    let tools = ["autoreconf", "cc", "cmake", "git", "go", "make"];
    facts.capabilities.tools = tools
        .iter()
        .map(|&name| FoundTool {
            name: name.into(),
            version: match name {
                "cc" => "12.2.0-14".into(),
                "go" => "1.22.1".into(),
                _ => "1.0".into(),
            },
        })
        .collect();
    facts
}

/// Programs and first arguments of the steps.
fn commands(candidate: &Candidate) -> Vec<String> {
    let words = |argv: &[crate::plan::Valued<String>]| {
        let words: Vec<&str> = argv.iter().map(|v| v.value.as_str()).take(6).collect();
        words.join(" ")
    };
    let steps = candidate.steps.iter().map(|step| words(&step.argv));
    steps.filter(|step| !step.starts_with("sh -c")).collect()
}

fn compiled(compiler: Option<&str>) -> PublishedKind {
    PublishedKind::Compiled {
        compiler: compiler.map(str::to_owned),
    }
}

const GCC: &str = "GCC: (Debian 12.2.0-14) 12.2.0";

#[test]
fn trees_are_known_by_what_lies_at_their_top() {
    let of = |files: &[(&str, &str)]| found(files, None);
    for (name, system) in [
        ("Makefile", System::Make),
        ("GNUmakefile", System::Make),
        ("configure", System::Configure),
        ("configure.ac", System::Autotools),
        ("CMakeLists.txt", System::Cmake),
    ] {
        assert_eq!(of(&[(name, "")]).systems, [system], "{name}");
        let below = format!("folder/{name}");
        assert!(of(&[(&below, "")]).systems.is_empty(), "{below}");
    }
    let both = of(&[("configure", ""), ("configure.ac", ""), ("Makefile", "")]);
    assert_eq!(both.systems, [System::Configure, System::Make]);
    assert!(both.dist);
    assert!(of(&[("Makefile", "all:\ndist: all\n")]).dist);
    assert!(!of(&[("Makefile", "all:\n\techo dist:\n")]).dist);
}

#[test]
fn go_modules_are_read_with_their_programs() {
    let found = found(
        &[
            (
                "go.mod",
                "module example.org/b/v2\n\ngo 1.22\nrequire x v1\n",
            ),
            ("cmd/b/main.go", "// b\npackage main\n"),
            ("cmd/other/x_test.go", "package main\n"),
            ("vendor/modules.txt", ""),
            ("vendor/x/main.go", "package main\n"),
            ("lib.go", "package b\n"),
        ],
        None,
    );
    let go = found.go.expect("a module");
    assert_eq!(
        (go.path.as_str(), go.requires, go.vendored),
        ("example.org/b/v2", true, true)
    );
    assert_eq!(go.programs, ["cmd/b"]);
}

#[test]
fn published_files_are_told_apart() {
    use countersign_fixtures::archives::{TarEntry, gzip, tar};
    let kind = |bytes: &[u8]| found(&[("b.c", "int b;\n")], Some(bytes)).published;
    let sources = |files: &[(&str, &[u8])]| {
        let entries = files.iter().map(|(name, text)| TarEntry::file(name, text));
        gzip(&tar(&entries.collect::<Vec<_>>()))
    };
    let archive = |of_tree| PublishedKind::Sources {
        folder: "b-1".into(),
        packing: Packing::Gzip,
        of_tree,
    };
    assert_eq!(kind(&sources(&[("b-1/b.c", b"int b;\n")])), archive(true));
    let more: &[(&str, &[u8])] = &[("b-1/b.c", b"int b;\n"), ("b-1/made", b"")];
    assert_eq!(kind(&sources(more)), archive(false));
    for other in [
        &b"text"[..],
        b"",
        &sources(&[("a/b.c", b""), ("b/b.c", b"")]),
        b"\x1f\x8bcut off",
    ] {
        assert!(
            matches!(kind(other), PublishedKind::Other { .. }),
            "{other:?}"
        );
    }
}

/// An archive, whose members are as good as a program's bytes for who compiled them.
fn library(text: &[u8]) -> Vec<u8> {
    use countersign_fixtures::archives::{ArEntry, ar};
    ar(&[ArEntry::file("x.o/", text)])
}

#[test]
fn who_compiled_it_is_read_wherever_it_stands() {
    let kind = |bytes: &[u8]| found(&[], Some(&library(bytes))).published;
    for before in [0usize, 1, 65_400, 65_535, 70_000, 200_000] {
        let text = [&vec![b'x'; before][..], GCC.as_bytes(), b"\0more"].concat();
        assert_eq!(kind(&text), compiled(Some(GCC)), "{before}");
    }
    assert_eq!(kind(b"GCC: not so"), compiled(None));
    let go = b"\xff Go buildinf:\x08\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08go1.22.1x";
    assert_eq!(kind(&go[..]), compiled(Some("go1.22.1x")));
}

#[test]
fn each_build_system_has_its_commands() {
    let go = super::GoModule {
        path: "example.org/b".into(),
        requires: false,
        vendored: false,
        programs: vec!["cmd/b".into()],
    };
    for (system, compiler, expected) in [
        (System::Make, GCC, vec!["make"]),
        (System::Configure, GCC, vec!["sh ./configure", "make"]),
        (
            System::Autotools,
            GCC,
            vec!["autoreconf -fi", "sh ./configure", "make"],
        ),
        (
            System::Cmake,
            GCC,
            vec![
                "cmake -S . -B countersign-build -DCMAKE_BUILD_TYPE=Release",
                "cmake --build countersign-build",
            ],
        ),
        (
            System::Go,
            "go1.22.1",
            vec!["go build -trimpath -o countersign-build/b ./cmd/b"],
        ),
    ] {
        let found = Conventions {
            systems: vec![system],
            dist: false,
            go: Some(go.clone()),
            published: compiled(Some(compiler)),
        };
        let candidate = facts("b-1.0.0-linux-amd64", found).candidate("generic");
        assert_eq!(commands(&candidate), expected, "{system:?}");
        assert_eq!(
            candidate.incomplete, None,
            "{system:?}: {:?}",
            candidate.missing
        );
        let collect = candidate.steps.last().expect("a step");
        let words: Vec<&str> = collect.argv.iter().map(|v| v.value.as_str()).collect();
        assert_eq!(words[3..], ["countersign-out", "b", "b-1.0.0-linux-amd64"]);
        let EnvironmentSpec::Host { tools } = &candidate.environment else {
            panic!("{candidate:?}");
        };
        assert!(!tools.is_empty());
    }
}

#[test]
fn a_compiler_that_is_another_or_unknown_accuses_nobody() {
    let missing = |compiler: Option<&str>| {
        let found = Conventions {
            systems: vec![System::Make],
            dist: false,
            go: None,
            published: compiled(compiler),
        };
        let candidate = facts("b", found).candidate("generic");
        assert_eq!(
            candidate.incomplete,
            candidate
                .missing
                .as_ref()
                .map(|_| Reason::ToolchainUnavailable)
        );
        candidate.missing
    };
    assert_eq!(missing(Some(GCC)), None);
    let other = missing(Some("GCC: (GNU) 14.2.0")).expect("words");
    assert!(
        other.contains("14.2.0") && other.contains("12.2.0"),
        "{other}"
    );
    assert!(
        missing(None)
            .expect("words")
            .contains("nothing in the file")
    );
    for other in ["clang version 12.2.1", "GCC: (12.2.0) ", "go1.22.1"] {
        assert!(
            missing(Some(other)).is_some() || other.contains("(12.2.0)"),
            "{other}"
        );
    }
}

#[test]
fn archives_of_sources_are_gits_or_what_a_rule_packs() {
    let ways = |of_tree, dist| {
        let found = Conventions {
            systems: vec![System::Make],
            dist,
            go: None,
            published: PublishedKind::Sources {
                folder: "b-v1.0.0".into(),
                packing: Packing::Gzip,
                of_tree,
            },
        };
        let mut facts = facts("v1.0.0.tar.gz", found);
        let mut ways = Vec::new();
        while let Next::Try(proposal) = facts.next("generic") {
            let Proposal { candidate, way, .. } = *proposal.clone();
            if way.starts_with("git archive") {
                assert_eq!(candidate.source_form, SourceForm::Git);
                let words = candidate.steps[0].argv.iter().map(|v| v.value.as_str());
                assert_eq!(words.clone().nth(4), Some("b-v1.0.0"));
                assert_eq!(candidate.outputs[0].value, "countersign-out/v1.0.0.tar.gz");
            }
            ways.push(way);
            facts
                .attempts
                .push(shared::attempt(*proposal, Verdict::Differs));
        }
        ways
    };
    let both = ["git archive", "git archive, packed by git"];
    assert_eq!(ways(true, false), both);
    assert_eq!(ways(true, true), [both[0], both[1], "make dist"]);
    assert_eq!(ways(false, true), ["make dist", "git archive"]);
    assert_eq!(ways(false, false), ["git archive"]);
}

#[test]
fn what_no_convention_covers_says_what_to_configure() {
    let none = |systems: &[System], published: PublishedKind, words: &[&str]| {
        let found = Conventions {
            systems: systems.to_vec(),
            dist: false,
            go: None,
            published,
        };
        facts("b", found).cannot("generic", Reason::NoRecipe, words);
    };
    none(&[], compiled(None), &["Makefile", "configure the steps"]);
    let what = PublishedKind::Other {
        what: "a picture".into(),
    };
    none(&[System::Make], what, &["a picture", "configure the steps"]);
    let found = Conventions {
        systems: vec![System::Go],
        dist: false,
        go: Some(super::GoModule {
            path: "example.org/b".into(),
            requires: true,
            vendored: false,
            programs: vec![String::new()],
        }),
        published: compiled(Some("go1.22.1")),
    };
    facts("b", found.clone()).cannot("generic", Reason::DependenciesElsewhere, &["go.mod"]);
    let mut without = facts("b", found);
    without.capabilities.tools.clear();
    let Evidence::Conventional(found) = &mut without.evidence else {
        unreachable!()
    };
    if let Some(go) = &mut found.go {
        go.requires = false;
    }
    without.cannot("generic", Reason::ToolchainUnavailable, &["go"]);
}
