//! Tests of the recipes: what they read, what they try, and the plans that come of it.

use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::Path;

use countersign_attest::digest::{GitOid, Sha256};
use countersign_attest::time::Timestamp;
use countersign_attest::verdict::Verdict;
use countersign_fixtures::archives::{TarEntry, gzip, tar};

use super::npm::{Declared, NpmEvidence, Packer, PublishedManifest, Publishing};
use super::source_files::Unlike;
use super::*;
use crate::environment::FoundTool;
use crate::outcome::{Ended, Misses, Outcome};
use crate::plan::{Candidate, Plan, PlanSource, SCHEMA};
use crate::release::{Claims, Published, Release, Stage};

/// All that `next` looks at, owned, so that a row can change one of it.
#[derive(Clone)]
pub(super) struct Facts {
    pub(super) release: Release,
    pub(super) published: Published,
    pub(super) evidence: Evidence,
    source_incomplete: bool,
    pub(super) capabilities: Capabilities,
    pub(super) hints: Hints,
    pub(super) attempts: Vec<Attempt>,
    pub(super) worked_before: Vec<String>,
}

impl Facts {
    pub(super) fn next(&self, recipe: &str) -> Next {
        next(&self.situation(), recipe)
    }

    pub(super) fn situation(&self) -> Situation<'_> {
        Situation {
            release: &self.release,
            published: &self.published,
            all_published: &[],
            evidence: &self.evidence,
            siblings: &[],
            source_incomplete: self.source_incomplete,
            capabilities: &self.capabilities,
            hints: &self.hints,
            attempts: &self.attempts,
            worked_before: &self.worked_before,
        }
    }

    #[track_caller]
    pub(super) fn proposal(&self, recipe: &str) -> Proposal {
        match self.next(recipe) {
            Next::Try(proposal) => *proposal,
            other => panic!("expected a candidate: {other:?}"),
        }
    }

    #[track_caller]
    pub(super) fn candidate(&self, recipe: &str) -> Candidate {
        self.proposal(recipe).candidate
    }

    #[track_caller]
    pub(super) fn cannot(&self, recipe: &str, expect: Reason, words: &[&str]) {
        match self.next(recipe) {
            Next::Cannot { reason, detail } => {
                assert_eq!(reason, expect, "{detail}");
                for word in words {
                    assert!(detail.contains(word), "{word:?} is not in {detail:?}");
                }
            }
            other => panic!("expected {expect}: {other:?}"),
        }
    }
}

/// An attempt that came to a verdict, and nothing more.
pub(super) fn attempt(proposal: Proposal, verdict: Verdict) -> Attempt {
    Attempt::new(proposal, Sha256::of(b"plan"), verdict)
}

/// A release, for tests of every recipe to change what they are about.
pub(super) fn release() -> Release {
    Release {
        source_uri: "git+https://example.org/b".into(),
        tag: "v1.0.0".into(),
        version: "1.0.0".into(),
        tag_object: None,
        commit: GitOid::from_bytes([1; 20]),
        tree: GitOid::from_bytes([2; 20]),
        commit_time: Timestamp::EPOCH,
    }
}

/// The same for a published file.
pub(super) fn published() -> Published {
    Published {
        file_name: "b-1.0.0.tgz".into(),
        purl: Some("pkg:npm/%40a/b@1.0.0".into()),
        download_location: None,
        retrieved_on: Timestamp::EPOCH,
        sha256: Sha256::of(b"published"),
        sha512: None,
        size_bytes: None,
        declared: None,
        published_on: None,
        stage: Stage::Candidate,
        yanked: false,
        claims: Claims::default(),
    }
}

pub(super) fn facts(evidence: Evidence) -> Facts {
    let tool = |name: &str, version: &str| FoundTool {
        name: name.into(),
        version: version.into(),
    };
    Facts {
        release: release(),
        published: published(),
        evidence,
        source_incomplete: false,
        capabilities: Capabilities {
            architecture: "x86_64".into(),
            id_mode: None,
            checks: Vec::new(),
            tools: vec![
                tool("node", "20.20.2"),
                tool("npm", "11.19.1"),
                tool("make", "4.3"),
            ],
            alternatives: Vec::new(),
        },
        hints: Hints::default(),
        attempts: Vec::new(),
        worked_before: Vec::new(),
    }
}

pub(super) fn npm_evidence() -> NpmEvidence {
    NpmEvidence {
        name: "@a/b".into(),
        version: "1.0.0".into(),
        folder: String::new(),
        scripts: [].into(),
        builds_at_root: false,
        bundles_dependencies: false,
        installs: false,
        publishing: Publishing::default(),
        declared: Declared::default(),
        lock: None,
        unknown_manager: None,
        published: npm_published("@a/b", "1.0.0", Packer::Npm, &[]),
        version_in_place: false,
    }
}

pub(super) fn npm_published(
    name: &str,
    version: &str,
    packer: Packer,
    absent: &[&str],
) -> PublishedManifest {
    PublishedManifest::Found {
        name: name.into(),
        version: version.into(),
        packer,
        unlike: Unlike {
            absent: absent.iter().map(|&name| name.into()).collect(),
            ..Unlike::default()
        },
    }
}

pub(super) fn npm(change: impl FnOnce(&mut NpmEvidence)) -> Facts {
    let mut evidence = npm_evidence();
    change(&mut evidence);
    facts(Evidence::Npm(Box::new(evidence)))
}

fn generic(change: impl FnOnce(&mut Hints)) -> Facts {
    let mut facts = facts(Evidence::Generic);
    facts.hints = Hints {
        subdir: "packages/b".into(),
        steps: vec![vec!["make".into(), "VERSION={version}".into()]],
        variables: [("TAG".to_owned(), "{tag}".to_owned())].into(),
        outputs: vec!["out/b-{version}.*".into()],
        tools: vec!["make".into()],
        ..Hints::default()
    };
    change(&mut facts.hints);
    facts
}

pub(super) fn plan(candidate: Candidate) -> String {
    let plan = Plan {
        schema: SCHEMA.into(),
        source: PlanSource {
            uri: "git+https://example.org/b".into(),
            reference: "refs/tags/v1.0.0".into(),
            commit: GitOid::from_bytes([1; 20]),
            tree_sha256: Sha256::of(b"tree"),
            epoch: Timestamp::EPOCH,
        },
        candidate,
        inputs: Vec::new(),
    };
    let bytes = plan.to_bytes();
    assert_eq!(Plan::from_bytes(&bytes).expect("readable"), plan);
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

#[test]
fn plans_are_what_strangers_were_given() {
    assert_eq!(
        plan(npm(|_| {}).candidate("npm")),
        include_str!("../../golden/plan-npm.json")
    );
    assert_eq!(
        plan(generic(|_| {}).candidate("generic")),
        include_str!("../../golden/plan-generic.json")
    );
}

#[test]
fn a_recipe_is_picked_by_commands_then_by_package_url() {
    let commands = generic(|_| {}).hints;
    let none = Hints::default();
    let cargo = |name: &str| name == "Cargo.toml";
    let nothing = |_: &str| false;
    assert_eq!(pick(Some("pkg:npm/a@1"), &none, cargo), Some("npm"));
    assert_eq!(pick(Some("pkg:npm/a@1"), &commands, cargo), Some("generic"));
    assert_eq!(pick(None, &commands, cargo), Some("generic"));
    assert_eq!(pick(Some("pkg:npmx/a@1"), &none, cargo), None);
    assert_eq!(pick(None, &none, cargo), Some("cargo"));
    assert_eq!(pick(None, &none, nothing), Some("generic"));
    npm(|_| {}).cannot("cobol", Reason::NoRecipe, &["cobol"]);
}

#[test]
fn one_candidate_each_and_then_enough() {
    for (mut facts, recipe) in [(npm(|_| {}), "npm"), (generic(|_| {}), "generic")] {
        let proposal = facts.proposal(recipe);
        facts.attempts.push(attempt(proposal, Verdict::Differs));
        assert_eq!(facts.next(recipe), Next::Enough);
    }
}

#[test]
fn another_release_of_the_package_itself_is_a_last_resort() {
    let attempt = |candidate: Candidate, misses: &[&str], verdict| {
        let requests: Vec<String> = misses.iter().map(|&miss| miss.to_owned()).collect();
        Attempt {
            outcomes: vec![Outcome {
                misses: Misses::of(&requests),
                ..crate::judge::tests::outcome(Ended::Exited { step: 0, code: 1 })
            }],
            ..attempt(*Proposal::new(candidate, "", ""), verdict)
        }
    };
    let own = ["npm:index/@a/b", "npm:index/other"];
    for (misses, verdict, again) in [
        (&own[..], Verdict::BuildFailed, true),
        (&own, Verdict::Equivalent, true),
        (&own, Verdict::Differs, true),
        (&own, Verdict::Reproduced, false),
        (&own, Verdict::Assisted, false),
        (&own[1..], Verdict::BuildFailed, false),
        (&["npm:index/b"], Verdict::BuildFailed, false),
        (&[], Verdict::BuildFailed, false),
    ] {
        let mut facts = npm(|_| {});
        let first = facts.candidate("npm");
        assert!(!first.own_releases);
        facts.attempts.push(attempt(first.clone(), misses, verdict));
        if !again {
            assert_eq!(facts.next("npm"), Next::Enough, "{misses:?} {verdict}");
            continue;
        }
        let second = facts.candidate("npm");
        let expect = Candidate {
            own_releases: true,
            ..first
        };
        assert_eq!(second, expect);
        // once, whatever it comes to and whatever was found when it was recorded
        for incomplete in [None, Some(Reason::DependenciesUndated)] {
            let second = Candidate {
                missing: incomplete.map(|_| "times".to_owned()),
                incomplete,
                ..second.clone()
            };
            let mut facts = facts.clone();
            let tried = attempt(second, misses, Verdict::BuildFailed);
            facts.attempts.push(tried);
            assert_eq!(facts.next("npm"), Next::Enough, "{misses:?} {verdict}");
        }
    }
}

#[test]
fn tools_that_are_not_here_are_named() {
    for (mut facts, recipe, tool) in [
        (npm(|_| {}), "npm", "node"),
        (npm(|_| {}), "npm", "npm"),
        (generic(|_| {}), "generic", "make"),
    ] {
        facts.capabilities.tools.retain(|found| found.name != tool);
        facts.cannot(recipe, Reason::ToolchainUnavailable, &[tool]);
    }
}

#[test]
fn the_generic_recipe_names_the_keys_to_set() {
    generic(|h| h.steps.clear()).cannot("generic", Reason::NoRecipe, &["`steps`"]);
    generic(|h| h.outputs.clear()).cannot("generic", Reason::NoRecipe, &["`outputs`"]);
    generic(|h| h.steps = vec![vec![]]).cannot("generic", Reason::NoRecipe, &["program"]);
    generic(|h| h.outputs = vec!["../{tag}".into()]).cannot("generic", Reason::NoRecipe, &["../"]);
}

#[test]
fn what_a_tag_spells_stays_one_argument() {
    let mut facts = generic(|h| h.steps = vec![vec!["echo".into(), "{tag}={version}{".into()]]);
    facts.release.tag = "v1 {version}; $(id)".into();
    let candidate = facts.candidate("generic");
    let argv: Vec<&str> = candidate.steps[0].argv.iter().map(|a| &*a.value).collect();
    assert_eq!(argv, ["echo", "v1 {version}; $(id)=1.0.0{"]);
    facts.release.version = "../../etc".into();
    facts.cannot("generic", Reason::NoRecipe, &["leaves the source tree"]);
    facts.release.version = "*".into();
    facts.cannot("generic", Reason::NoRecipe, &["`*`"]);
}

#[test]
fn contradicting_names_and_versions_are_said_with_who_says_them() {
    let contradicts = |facts: &Facts, words: &[&str]| {
        facts.cannot("npm", Reason::EvidenceContradicts, words);
    };
    contradicts(
        &npm(|e| e.name = "b".into()),
        &["\"b\"", "\"@a/b\"", "package URL"],
    );
    contradicts(&npm(|e| e.version = "1.0.1".into()), &["1.0.1", "the tag"]);
    let published = |name, version| npm_published(name, version, Packer::Npm, &[]);
    contradicts(
        &npm(|e| e.published = published("@a/c", "1.0.0")),
        &["@a/c", "published package.json"],
    );
    contradicts(
        &npm(|e| e.published = published("@a/b", "2.0.0")),
        &["2.0.0", "published package.json"],
    );
    let mut purl = npm(|_| {});
    purl.published.purl = Some("pkg:npm/%40a/b@3.0.0".into());
    contradicts(&purl, &["3.0.0", "package URL"]);
    purl.published.purl = None;
    purl.candidate("npm");
}

#[test]
fn what_cannot_be_complete_is_marked() {
    let incomplete = |facts: &Facts| facts.candidate("npm").incomplete;
    assert_eq!(incomplete(&npm(|_| {})), None);
    let scripts = npm(|e| e.scripts = [("prepack".to_owned(), "x".to_owned())].into());
    assert_eq!(incomplete(&scripts), Some(Reason::BuildStepUnsupported));
    let bundled = npm(|e| e.bundles_dependencies = true);
    assert_eq!(incomplete(&bundled), Some(Reason::BuildStepUnsupported));
    let mut tree = scripts;
    tree.source_incomplete = true;
    assert_eq!(incomplete(&tree), Some(Reason::SourceIncomplete));
    let mut generic = generic(|_| {});
    generic.source_incomplete = true;
    let marked = generic.candidate("generic").incomplete;
    assert_eq!(marked, Some(Reason::SourceIncomplete));
}

#[test]
fn an_unusable_tree_has_no_recipe_unless_something_is_missing_from_it() {
    let mut facts = facts(Evidence::Unusable {
        detail: "nothing there".into(),
    });
    facts.cannot("npm", Reason::NoRecipe, &["nothing there"]);
    facts.source_incomplete = true;
    facts.cannot("npm", Reason::SourceIncomplete, &["nothing there"]);
}

/// Inspects a folder as the npm recipe does.
pub(super) fn inspect_npm(tree: &Path, subdir: &str, artifact: Option<&[u8]>) -> Evidence {
    let tree: OwnedFd = File::open(tree).expect("a folder").into();
    let artifact = artifact.map(|bytes| {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(bytes).expect("room");
        file
    });
    let request = InspectRequest {
        recipe: "npm".into(),
        subdir: subdir.into(),
        file_name: String::new(),
        limits: ReadLimits::default(),
    };
    inspect(&request, tree.as_fd(), artifact).expect("evidence")
}

pub(super) const MANIFEST: &str = r#"{"name":"@a/b","version":"1.0.0"}"#;

#[test]
fn published_files_that_say_nothing_are_unreadable_and_no_error() {
    let tree = tempfile::tempdir().expect("a folder");
    fs::write(tree.path().join("package.json"), MANIFEST).expect("room");
    let manifest = TarEntry::file("package/package.json", MANIFEST.as_bytes());
    let huge = vec![b' '; (4 << 20) + 1];
    for artifact in [
        b"no archive".to_vec(),
        gzip(b"no tar"),
        gzip(&tar(&[])),
        gzip(&tar(&[manifest.clone(), manifest.clone()])),
        gzip(&tar(&[TarEntry::file("package/package.json", b"{")])),
        gzip(&tar(&[TarEntry::file("package/package.json", &huge)])),
        [gzip(&tar(&[manifest])), gzip(b"more")].concat(),
    ] {
        let Evidence::Npm(evidence) = inspect_npm(tree.path(), "", Some(&artifact)) else {
            panic!("expected evidence");
        };
        assert!(
            matches!(evidence.published, PublishedManifest::Unreadable { .. }),
            "{evidence:?}"
        );
    }
}

#[test]
fn a_hostile_tree_is_unusable_and_never_left() {
    let outside = tempfile::tempdir().expect("a folder");
    fs::write(outside.path().join("package.json"), MANIFEST).expect("room");
    let unusable = |make: &dyn Fn(&Path), subdir: &str, words: &str| {
        let tree = tempfile::tempdir().expect("a folder");
        make(tree.path());
        let found = inspect_npm(tree.path(), subdir, None);
        let Evidence::Unusable { detail } = &found else {
            panic!("{words}: {found:?}");
        };
        assert!(detail.contains(words), "{detail}");
    };
    let file = |bytes: Vec<u8>| {
        move |tree: &Path| fs::write(tree.join("package.json"), &bytes).expect("room")
    };
    unusable(&|_| {}, "", "is not in the source tree");
    unusable(&|_| {}, "../..", "leaves the source tree");
    unusable(&file(MANIFEST.into()), "package.json", "no folder");
    unusable(
        &|tree| {
            symlink(
                outside.path().join("package.json"),
                tree.join("package.json"),
            )
            .unwrap();
        },
        "",
        "behind a link",
    );
    unusable(
        &|tree| symlink(outside.path(), tree.join("sub")).unwrap(),
        "sub",
        "behind a link",
    );
    unusable(
        &|tree| fs::create_dir(tree.join("package.json")).unwrap(),
        "",
        "not a regular file",
    );
    unusable(
        &|tree| {
            let mode = nix::sys::stat::Mode::from_bits_truncate(0o644);
            nix::unistd::mkfifo(&tree.join("package.json"), mode).unwrap();
        },
        "",
        "not a regular file",
    );
    unusable(&file(vec![b' '; (4 << 20) + 1]), "", "too long");
    unusable(&file(b"{".to_vec()), "", "not JSON");
    unusable(&file(vec![b'['; 100_000]), "", "not JSON");
    unusable(&file(br#"{"name":1,"version":"1"}"#.to_vec()), "", "name");
    unusable(
        &file(br#"{"name":"a","version":""}"#.to_vec()),
        "",
        "version",
    );
    let long = format!(r#"{{"name":"{}","version":"1"}}"#, "a".repeat(1000));
    unusable(&file(long.into_bytes()), "", "name");
}

#[test]
fn an_unknown_recipe_is_our_bug() {
    let tree = tempfile::tempdir().expect("a folder");
    let folder: OwnedFd = File::open(tree.path()).expect("a folder").into();
    let request = InspectRequest {
        recipe: "cobol".into(),
        subdir: String::new(),
        file_name: String::new(),
        limits: ReadLimits::default(),
    };
    let result = inspect(&request, folder.as_fd(), None);
    assert!(matches!(result, Err(InspectError::UnknownRecipe(_))));
}

#[test]
fn hints_say_as_of_when() {
    let read = |text: &str| serde_json::from_str::<Hints>(text).map(|hints| hints.as_of);
    let moment = AsOf::At(Timestamp::EPOCH);
    assert_eq!(read("{}").unwrap(), AsOf::Commit);
    assert_eq!(read(r#"{"as_of":"commit"}"#).unwrap(), AsOf::Commit);
    assert_eq!(read(r#"{"as_of":"1970-01-01T00:00:00Z"}"#).unwrap(), moment);
    assert!(read(r#"{"as_of":"yesterday"}"#).is_err());
    assert_eq!(String::from(moment), "1970-01-01T00:00:00Z");
    assert_eq!(String::from(AsOf::Commit), "commit");
}
