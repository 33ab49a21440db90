//! Tests of the cargo recipe: what it reads, and what it tries in which order.

use std::fs::{self, File};
use std::os::fd::AsFd as _;

use countersign_attest::digest::Sha256;
use countersign_attest::time::Timestamp;
use countersign_fixtures::archives::{TarEntry, gzip, tar};

use super::*;
use crate::archive::ReadLimits;
use crate::environment::Capabilities;
use crate::recipe::{Attempt, Hints, InspectRequest};
use crate::release::{Published, Stage};

const VCS: &str = r#"{ "git": { "sha1": "0101010101010101010101010101010101010101" }, "path_in_vcs": "crates/b" }"#;

fn inspect(files: &[(&str, &str)], subdir: &str, file: Option<&[u8]>) -> Evidence {
    inspect_named(files, subdir, "", file)
}

/// Inspects a tree of these files and a published one of this name.
pub(super) fn inspect_named(
    files: &[(&str, &str)],
    subdir: &str,
    name: &str,
    file: Option<&[u8]>,
) -> Evidence {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let artifact = file.map(|bytes| {
        let path = folder.path().join(".published");
        fs::write(&path, bytes).unwrap();
        File::open(path).unwrap()
    });
    let tree = File::open(folder.path()).unwrap();
    let request = InspectRequest {
        recipe: "cargo".into(),
        subdir: subdir.into(),
        file_name: name.into(),
        limits: ReadLimits::default(),
    };
    crate::recipe::inspect(&request, tree.as_fd(), artifact).unwrap()
}

#[track_caller]
fn evidence(files: &[(&str, &str)], subdir: &str, file: Option<&[u8]>) -> CargoEvidence {
    match inspect(files, subdir, file) {
        Evidence::Cargo(evidence) => *evidence,
        other => panic!("{other:?}"),
    }
}

fn crate_file(members: &[(&str, &str, u64)]) -> Vec<u8> {
    let entries: Vec<TarEntry> = members
        .iter()
        .map(|(name, content, time)| TarEntry {
            mtime: *time,
            ..TarEntry::file(&format!("b-1.0.0/{name}"), content.as_bytes())
        })
        .collect();
    gzip(&tar(&entries))
}

#[track_caller]
fn facts(members: &[(&str, &str, u64)]) -> CrateFacts {
    match evidence(TREE, "", Some(&crate_file(members))).published {
        PublishedCrate::Found(facts) => facts,
        other => panic!("{other:?}"),
    }
}

const TREE: &[(&str, &str)] = &[
    (
        "Cargo.toml",
        "[workspace]\n[workspace.package]\nversion = '1.0.0'\n",
    ),
    ("a/Cargo.toml", "[package]\nname = 'a'\nversion = '0.1.0'\n"),
    (
        "crates/b/Cargo.toml",
        "[package]\nname = 'b'\nversion.workspace = true\n",
    ),
    ("test-data/Cargo.toml", "[package\n"),
];
const MANIFEST: &str = "[package]\nname = 'b'\nversion = '1.0.0'\nautolib = false\n[lib]\n";
const T: u64 = 1_153_704_088;

#[test]
fn the_member_is_found_by_the_published_name() {
    let file = crate_file(&[
        ("Cargo.toml", MANIFEST, T),
        (".cargo_vcs_info.json", VCS, T),
    ]);
    let found = evidence(TREE, "", Some(&file));
    assert_eq!(
        (
            found.name.as_str(),
            found.version.as_str(),
            found.member.as_str()
        ),
        ("b", "1.0.0", "crates/b")
    );
    assert_eq!(
        (found.root_above, found.tree_lock, found.dependencies),
        (2, false, false)
    );
    let PublishedCrate::Found(facts) = found.published else {
        panic!()
    };
    let vcs = facts.vcs.unwrap();
    assert_eq!(vcs.commit.as_deref(), Some("01".repeat(20).as_str()));
    assert_eq!((vcs.path.as_deref(), vcs.dirty), (Some("crates/b"), false));

    // of a digest alone, the package is the one that the operator names, or the nearest to the root
    assert_eq!(evidence(TREE, "crates/b", None).name, "b");
    assert_eq!(evidence(TREE, "", None).name, "a");
    let mut twice = TREE.to_vec();
    twice.push((
        "zz/b/Cargo.toml",
        "[package]\nname = 'b'\nversion = '2.0.0'\n",
    ));
    twice.push(("b/Cargo.toml", "[package]\nname = 'b'\nversion = '2.0.0'\n"));
    assert_eq!(evidence(&twice, "zz", Some(&file)).member, "zz/b");
    assert_eq!(evidence(&twice, "", Some(&file)).member, "crates/b");
    let without = crate_file(&[("Cargo.toml", MANIFEST, T)]);
    assert_eq!(evidence(&twice, "", Some(&without)).member, "b");
}

#[test]
fn lock_and_dependencies_are_those_of_the_workspace() {
    let with = |name, content| {
        let mut tree = TREE.to_vec();
        tree.push((name, content));
        evidence(&tree, "crates/b", None)
    };
    assert!(with("Cargo.lock", "").tree_lock);
    assert!(!with("crates/b/Cargo.lock", "").tree_lock);
    for manifest in [
        "[package]\nname = 'c'\n[dependencies]\nd = '1'\n",
        "[package]\nname = 'c'\n[dev-dependencies]\nd = '1'\n",
        "[package]\nname = 'c'\n[target.'cfg(unix)'.build-dependencies]\nd = '1'\n",
    ] {
        assert!(with("c/Cargo.toml", manifest).dependencies, "{manifest}");
    }
    assert!(!with("c/Cargo.toml", "[package]\nname = 'c'\n[dependencies]\n").dependencies);
}

#[test]
fn trees_and_crates_that_say_nothing() {
    for (tree, words) in [
        (&[][..], "no Cargo.toml of the tree"),
        (&[("Cargo.toml", "[package\n")], "no readable Cargo.toml"),
        (
            &[(
                "Cargo.toml",
                "[package]\nname = 'other'\nversion = '1.0.0'\n",
            )],
            "\"b\"",
        ),
        (
            &[("Cargo.toml", "[package]\nname = 'b'\nversion = 1\n")],
            "no usable version",
        ),
        (
            &[(
                "Cargo.toml",
                "[package]\nname = 'b'\nversion.workspace = true\n",
            )],
            "no usable version",
        ),
    ] {
        let file = crate_file(&[("Cargo.toml", MANIFEST, T)]);
        match inspect(tree, "", Some(&file)) {
            Evidence::Unusable { detail } => assert!(detail.contains(words), "{detail}"),
            other => panic!("{other:?}"),
        }
    }
    for file in [
        b"no gzip".to_vec(),
        gzip(b"no tar"),
        crate_file(&[]),
        crate_file(&[("inner/Cargo.toml", MANIFEST, T)]),
        crate_file(&[("Cargo.toml", MANIFEST, T), ("Cargo.toml", MANIFEST, T)]),
        crate_file(&[("Cargo.toml", "[package]\nname = 'b'\n", T)]),
        crate_file(&[
            ("Cargo.toml", MANIFEST, T),
            ("Cargo.lock", &"a".repeat(1 << 21), T),
        ]),
    ] {
        let published = evidence(TREE, "crates/b", Some(&file)).published;
        assert!(
            matches!(published, PublishedCrate::Unreadable { .. }),
            "{published:?}"
        );
    }
}

#[test]
fn the_packing_cargo_is_read_off_the_crate() {
    let older = MANIFEST.replace("autolib", "autobins");
    let oldest = "[package]\nname = 'b'\nversion = '1.0.0'\n[lib]\n";
    for (manifest, time, lock, expect) in [
        (MANIFEST, T, Some(T), "1.93 or later"),
        (MANIFEST, 1, Some(1), "1.84 to 1.92"),
        (MANIFEST, 1, None, "1.83"),
        // the version is inherited in the tree, which earlier ones do not know
        (older.as_str(), 1, None, "1.64 to 1.82"),
        (oldest, 1, None, "1.64 to 1.83"),
        (oldest, 1_600_000_000, None, "1.64 to 1.81"),
    ] {
        let mut members = vec![("Cargo.toml", manifest, time), ("src/lib.rs", "", T)];
        members.extend(lock.map(|time| ("Cargo.lock", "version = 4\n", time)));
        assert_eq!(facts(&members).cargo.to_string(), expect);
    }
    assert!(facts(&[("Cargo.toml", MANIFEST, T)]).vcs.is_none());
    let alone = |edition: &str, lock: Option<&str>| {
        let manifest = format!("{oldest}[package.metadata]\n");
        let manifest = manifest.replace("[lib]", &format!("{edition}\n[lib]\n[[bin]]\nname = 'b'"));
        let mut members = vec![("Cargo.toml", manifest.as_str(), 1)];
        members.extend(lock.map(|lock| ("Cargo.lock", lock, 1)));
        let tree = &[("Cargo.toml", manifest.as_str())];
        match evidence(tree, "", Some(&crate_file(&members))).published {
            PublishedCrate::Found(facts) => facts.cargo.to_string(),
            other => panic!("{other:?}"),
        }
    };
    for (edition, lock, expect) in [
        ("", None, "1.83 or earlier"),
        ("edition = '2018'", None, "1.31 to 1.83"),
        ("edition = '2021'", Some("version = 3\n"), "1.56 to 1.92"),
        ("edition = '2021'", Some("version = 4\n"), "1.78 to 1.92"),
        ("edition = '2024'", Some("version = 4\n"), "1.85 to 1.92"),
        ("resolver = '3'", Some("version = 4\n"), "1.84 to 1.92"),
    ] {
        assert_eq!(alone(edition, lock), expect, "{edition} {lock:?}");
    }
    let dirty = r#"{"git": {"sha1": "00", "dirty": true}}"#;
    let found = facts(&[
        ("Cargo.toml", MANIFEST, T),
        (".cargo_vcs_info.json", dirty, T),
    ]);
    assert!(found.vcs.unwrap().dirty);
}

/// All that `next` looks at.
struct Case {
    evidence: CargoEvidence,
    alternatives: Vec<&'static str>,
    published_on: Option<Timestamp>,
    verdicts: Vec<Verdict>,
}

impl Case {
    fn new(change: impl FnOnce(&mut CrateFacts)) -> Self {
        let mut facts = CrateFacts {
            name: "b".into(),
            version: "1.0.0".into(),
            vcs: None,
            lock: None,
            cargo: Range::ANY.since(93),
        };
        change(&mut facts);
        Self {
            evidence: CargoEvidence {
                name: "b".into(),
                version: "1.0.0".into(),
                member: "crates/b".into(),
                root_above: 2,
                tree_lock: false,
                elsewhere: Vec::new(),
                dependencies: false,
                published: PublishedCrate::Found(facts),
            },
            alternatives: vec!["1.95.0"],
            published_on: None,
            verdicts: Vec::new(),
        }
    }

    fn next(&self) -> Next {
        let release = crate::recipe::tests::release();
        let published = Published {
            file_name: "b-1.0.0.crate".into(),
            purl: Some("pkg:cargo/b@1.0.0".into()),
            published_on: self.published_on,
            stage: Stage::Released,
            ..crate::recipe::tests::published()
        };
        let tools = |version: &&str| -> Vec<FoundTool> {
            let tool = |name: &str| FoundTool {
                name: name.into(),
                version: (*version).into(),
            };
            TOOLS.map(tool).to_vec()
        };
        let capabilities = Capabilities {
            architecture: "x86_64".into(),
            id_mode: None,
            checks: Vec::new(),
            tools: Vec::new(),
            alternatives: self.alternatives.iter().map(tools).collect(),
        };
        let evidence = Evidence::Cargo(Box::new(self.evidence.clone()));
        let mut attempts: Vec<Attempt> = Vec::new();
        loop {
            let next = crate::recipe::next(
                &Situation {
                    release: &release,
                    published: &published,
                    all_published: &[],
                    evidence: &evidence,
                    siblings: &[],
                    source_incomplete: false,
                    capabilities: &capabilities,
                    hints: &Hints::default(),
                    attempts: &attempts,
                    worked_before: &[],
                },
                "cargo",
            );
            match (next, self.verdicts.get(attempts.len())) {
                (Next::Try(proposal), Some(verdict)) => {
                    let plan = Sha256::of(b"plan");
                    attempts.push(Attempt::new(*proposal, plan, *verdict));
                }
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

    fn cargo(&self) -> String {
        self.candidate().environment.tools()[0].version.clone()
    }
}

fn vcs(commit: &str, path: &str) -> Option<VcsFacts> {
    Some(VcsFacts {
        commit: Some(commit.into()),
        path: Some(path.into()),
        dirty: false,
    })
}

#[test]
fn the_candidate_is_what_strangers_were_given() {
    let mut case = Case::new(|facts| {
        facts.vcs = vcs(&"01".repeat(20), "crates/b");
        facts.lock = Some("version = 4\n".into());
    });
    case.evidence.dependencies = true;
    case.published_on = Some(Timestamp::EPOCH);
    case.verdicts = vec![Verdict::Differs];
    let candidate = case.candidate();
    let text = serde_json::to_string_pretty(&candidate).unwrap() + "\n";
    assert_eq!(text, include_str!("../../../golden/candidate-cargo.json"));
}

#[test]
fn our_own_lock_is_tried_before_the_published_one() {
    let mut case = Case::new(|facts| facts.lock = Some("version = 4\n".into()));
    case.alternatives = vec!["1.94.0", "1.95.0"];
    assert!(case.candidate().assists.is_empty());
    case.verdicts = vec![Verdict::Differs; 2];
    assert_eq!(
        case.next(),
        Next::Enough,
        "without dependencies a lock says nothing"
    );

    case.evidence.dependencies = true;
    let tried: Vec<(String, usize)> = (0..4)
        .map(|attempts| {
            case.verdicts = vec![Verdict::Differs; attempts];
            (case.cargo(), case.candidate().assists.len())
        })
        .collect();
    let expect = [("1.95.0", 0), ("1.95.0", 1), ("1.94.0", 0), ("1.94.0", 1)];
    assert_eq!(
        tried,
        expect.map(|(version, count)| (version.to_owned(), count))
    );
    for good in [Verdict::Reproduced, Verdict::Assisted] {
        case.verdicts = vec![Verdict::Differs, good];
        assert_eq!(case.next(), Next::Enough);
    }
    case.evidence.tree_lock = true;
    case.verdicts = vec![Verdict::Differs];
    assert!(case.candidate().assists.is_empty(), "the lock is in git");
}

#[test]
fn a_published_lock_taints_the_plan_and_is_whole() {
    let text = "é".repeat(100_000);
    let mut case = Case::new(|facts| facts.lock = Some(text.clone()));
    case.evidence.dependencies = true;
    case.verdicts = vec![Verdict::Differs];
    let candidate = case.candidate();
    let parts: Vec<&str> = candidate.steps[0]
        .argv
        .iter()
        .filter(|argument| argument.origin == Origin::Artifact)
        .map(|argument| argument.value.as_str())
        .collect();
    assert!(parts.iter().all(|part| part.len() <= ARGUMENT_BYTES));
    assert_eq!(parts.concat(), text);
    assert_eq!(candidate.assists[0].sha256, Sha256::of(text.as_bytes()));
}

#[test]
fn the_network_is_there_for_dependencies_only() {
    let mut case = Case::new(|_| {});
    let candidate = case.candidate();
    assert_eq!((candidate.network, candidate.as_of), (Network::None, None));
    case.evidence.dependencies = true;
    case.published_on = Timestamp::from_unix_seconds(1000).ok();
    let candidate = case.candidate();
    assert_eq!(candidate.network, Network::Mirror);
    assert_eq!(candidate.as_of, Timestamp::from_unix_seconds(999).ok());
}

#[test]
fn the_right_cargo_is_chosen_or_named() {
    let early = |facts: &mut CrateFacts| facts.cargo = Range::ANY.since(90).before(93);
    let mut case = Case::new(early);
    case.alternatives = vec!["1.95.0", "1.97.0-nightly", "1.91.0"];
    assert_eq!(case.cargo(), "1.91.0");
    assert_eq!(case.candidate().incomplete, None);
    case.alternatives = vec!["1.97.0-nightly", "1.95.0"];
    assert_eq!(case.cargo(), "1.95.0");
    let candidate = case.candidate();
    assert_eq!(candidate.incomplete, Some(Reason::ToolchainUnavailable));
    let missing = candidate.missing.unwrap();
    assert!(
        missing.contains("1.90 to 1.92")
            && missing.contains("1.95.0")
            && missing.contains("--version 0.93.0"),
        "{missing}"
    );
    case.alternatives = Vec::new();
    match case.next() {
        Next::Cannot { reason, detail } => {
            assert_eq!(reason, Reason::ToolchainUnavailable);
            assert!(detail.contains("1.90 to 1.92"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn contradictions_end_it() {
    let commit = "01".repeat(20);
    for (case, words) in [
        (Case::new(|facts| facts.name = "c".into()), "\"c\""),
        (Case::new(|facts| facts.version = "1.0.1".into()), "1.0.1"),
        (
            Case::new(|facts| facts.vcs = vcs(&"02".repeat(20), "crates/b")),
            "0202",
        ),
        (
            Case::new(|facts| facts.vcs = vcs(&commit, "crates/c")),
            "crates/c",
        ),
    ] {
        match case.next() {
            Next::Cannot { reason, detail } => {
                assert_eq!(reason, Reason::EvidenceContradicts);
                assert!(detail.contains(words), "{detail}");
            }
            other => panic!("{other:?}"),
        }
    }
    let same = Case::new(|facts| facts.vcs = vcs(&commit, "crates/b"));
    assert_eq!(same.candidate().source_form, SourceForm::Git);
}

#[test]
fn a_name_that_is_more_than_a_name_is_not_packed() {
    for name in ["../b", "*", "", "b/c"] {
        let mut case = Case::new(|facts| facts.name = name.into());
        case.evidence.name = name.into();
        let next = case.next();
        assert!(matches!(next, Next::Cannot { .. }), "{name}: {next:?}");
    }
}
