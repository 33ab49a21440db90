//! Tests of reading a packaging, and of what is tried.

use std::fs;
use std::os::fd::AsFd as _;

use countersign_attest::digest::{GitOid, Sha256};
use countersign_attest::time::Timestamp;

use super::super::InspectRequest;
use super::*;
use crate::archive::ReadLimits;
use crate::environment::Capabilities;
use crate::plan::{Plan, PlanSource, SCHEMA};
use crate::recipe::{Attempt, Hints};
use crate::release::{Published, Release, Stage};

const CONTROL: &str = "# what it is\nSource: b\nBuild-Depends: debhelper-compat (= 13), gcc:native [linux-any],\n# no\n x [!amd64 !arm64], y (<< 2:1~) [any-amd64 any-arm64] | z <!nocheck>,\n cross <cross>, doc <!nodoc !x> <stage1>\nBuild-Depends-Indep: python3:any\n\nPackage: b\nArchitecture: any\n\nPackage: b-doc\nArchitecture: all\n";

fn changelog(version: &str) -> String {
    format!(
        "b ({version}) bookworm-security; urgency=low\n\n  * x\n\n -- a <a@b>  Mon, 01 Jan 2024 00:00:00 +0000\n"
    )
}

fn inspect(control: &str, changelog: &str) -> Evidence {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("debian")).unwrap();
    fs::write(folder.path().join("debian/control"), control).unwrap();
    fs::write(folder.path().join("debian/changelog"), changelog).unwrap();
    let request = InspectRequest {
        recipe: "deb".into(),
        subdir: String::new(),
        limits: ReadLimits::default(),
    };
    let tree = fs::File::open(folder.path()).unwrap();
    super::super::inspect(&request, tree.as_fd(), None).unwrap()
}

/// A package of these files: name, content, time.
fn package(files: &[(&str, &[u8], u64)]) -> Vec<u8> {
    let mut data = tar::Builder::new(Vec::new());
    for (name, content, time) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(*time);
        data.append_data(&mut header, name, *content).unwrap();
    }
    let data = data.into_inner().unwrap();
    let mut ar = b"!<arch>\n".to_vec();
    for (name, content) in [("debian-binary", &b"2.0\n"[..]), ("data.tar", &data)] {
        let header = format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
            9,
            0,
            0,
            100_644,
            content.len()
        );
        ar.extend_from_slice(header.as_bytes());
        ar.extend_from_slice(content);
        ar.resize(ar.len().next_multiple_of(2), b'\n');
    }
    ar
}

/// What inspection says of the times in a package of a tree.
fn times(artifact: &[u8], tree: &[(&str, &[u8])]) -> Vec<(String, i64)> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("debian")).unwrap();
    fs::write(folder.path().join("debian/control"), CONTROL).unwrap();
    fs::write(folder.path().join("debian/changelog"), changelog("1")).unwrap();
    for (name, content) in tree {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let file = folder.path().join("debian/published");
    fs::write(&file, artifact).unwrap();
    let request = InspectRequest {
        recipe: "deb".into(),
        subdir: String::new(),
        limits: ReadLimits::default(),
    };
    let (open, artifact) = (fs::File::open(folder.path()), fs::File::open(&file));
    let found = super::super::inspect(&request, open.unwrap().as_fd(), artifact.ok());
    let Evidence::Deb(evidence) = found.unwrap() else {
        panic!("no evidence");
    };
    let times = evidence.times.into_iter();
    times.map(|time| (time.path, time.seconds)).collect()
}

#[test]
fn times_are_read_off_files_that_are_older_than_the_build() {
    use std::io::Write as _;
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    zipped.write_all(b"news").unwrap();
    let zipped = zipped.finish().unwrap();
    let published = package(&[
        ("./usr/share/doc/b/NEWS.gz", &zipped, 1000),
        ("./usr/share/doc/b/made", b"made", 3000),
        ("./usr/share/doc/b/copy", b"data", 2000),
        ("./usr/share/doc/b/empty", b"", 500),
    ]);
    let tree: &[(&str, &[u8])] = &[
        ("NEWS", b"news"),
        ("data", b"data"),
        ("made", b"made"),
        ("empty", b""),
        ("other", b"other"),
    ];
    let told = [("NEWS".to_owned(), 1000), ("data".to_owned(), 2000)];
    assert_eq!(times(&published, tree), told);
    for hostile in [&published[..90], b"!<arch>\n", b""] {
        assert!(times(hostile, tree).is_empty());
    }
}

#[test]
fn copied_times_come_second_and_taint_the_plan() {
    let mut evidence = evidence();
    evidence.times = vec![FileTime {
        path: "NEWS".into(),
        seconds: 1000,
    }];
    let first = tried(ask("b_1.0-2_amd64.deb", None, &Hints::default()));
    assert!(first.assists.is_empty());
    let attempt = |verdict| Attempt {
        candidate: first.clone(),
        plan: Sha256::of(b"plan"),
        outcomes: Vec::new(),
        verdict,
        encoding: None,
    };
    for enough in [Verdict::Reproduced, Verdict::BuildFailed] {
        let next = ask_after(&evidence, &[attempt(enough)], &Hints::default());
        assert_eq!(next, Next::Enough);
    }
    let after = [attempt(Verdict::Equivalent)];
    let second = tried(ask_after(&evidence, &after, &Hints::default()));
    assert_eq!(second.assists[0].kind, AssistKind::FileTimes);
    let argv: Vec<_> = second.steps[0].argv.iter().collect();
    assert_eq!(
        (&*argv[3].value, argv[3].origin),
        ("1000", Origin::Artifact)
    );
    assert_eq!((&*argv[4].value, argv[4].origin), ("NEWS", Origin::Source));
}

fn evidence() -> DebEvidence {
    match inspect(CONTROL, &changelog("1:1.0-2")) {
        Evidence::Deb(evidence) => evidence,
        other => panic!("{other:?}"),
    }
}

/// What is tried for a published file of a source at 1:1.0-2.
fn ask(file_name: &str, purl: Option<&str>, hints: &Hints) -> Next {
    next_of(&evidence(), &[], file_name, purl, hints)
}

fn ask_after(evidence: &DebEvidence, attempts: &[Attempt], hints: &Hints) -> Next {
    let recipe = |situation: &Situation<'_>| (RECIPE.next)(situation);
    situation(evidence, attempts, "b_1.0-2_amd64.deb", None, hints, recipe)
}

fn next_of(
    evidence: &DebEvidence,
    attempts: &[Attempt],
    file_name: &str,
    purl: Option<&str>,
    hints: &Hints,
) -> Next {
    let all = |situation: &Situation<'_>| super::super::next(situation, "deb");
    situation(evidence, attempts, file_name, purl, hints, all)
}

fn situation(
    evidence: &DebEvidence,
    attempts: &[Attempt],
    file_name: &str,
    purl: Option<&str>,
    hints: &Hints,
    ask: impl FnOnce(&Situation<'_>) -> Next,
) -> Next {
    let release = Release {
        source_uri: "git+https://example.org/b".into(),
        tag: "debian/1%1.0-2".into(),
        version: "1:1.0-2".into(),
        tag_object: None,
        commit: GitOid::from_bytes([1; 20]),
        tree: GitOid::from_bytes([2; 20]),
        commit_time: Timestamp::EPOCH,
    };
    let published = Published {
        file_name: file_name.into(),
        purl: purl.map(str::to_owned),
        download_location: None,
        retrieved_on: Timestamp::EPOCH,
        sha256: Sha256::of(b"published"),
        sha512: None,
        size_bytes: None,
        declared: None,
        published_on: None,
        stage: Stage::Candidate,
        yanked: false,
        claims: crate::release::Claims::default(),
    };
    let capabilities = Capabilities {
        architecture: "x86_64".into(),
        id_mode: None,
        checks: Vec::new(),
        tools: Vec::new(),
        alternatives: Vec::new(),
    };
    let situation = Situation {
        release: &release,
        published: &published,
        evidence: &Evidence::Deb(evidence.clone()),
        siblings: &[],
        source_incomplete: false,
        capabilities: &capabilities,
        hints,
        attempts,
    };
    ask(&situation)
}

fn tried(next: Next) -> Candidate {
    match next {
        Next::Try(candidate) => *candidate,
        other => panic!("{other:?}"),
    }
}

fn refused(next: Next, reason: Reason) -> String {
    match next {
        Next::Cannot {
            reason: why,
            detail,
        } if why == reason => detail,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_packaging_says_what_it_needs_here() {
    let evidence = evidence();
    assert_eq!((&*evidence.source, &*evidence.version), ("b", "1:1.0-2"));
    assert_eq!(evidence.packages, ["b", "b-doc"]);
    let expect = [
        "debhelper-compat (= 13)",
        "gcc:native",
        "y (<< 2:1~) | z",
        "doc",
        "python3:any",
    ];
    assert_eq!(evidence.dependencies, expect);
}

#[test]
fn what_is_no_packaging_is_unusable() {
    for (control, log) in [
        ("", changelog("1")),
        ("Source: other\n", changelog("1")),
        (CONTROL, String::new()),
        (CONTROL, "b 1.0\n".to_owned()),
        (CONTROL, changelog("1;rm")),
        ("Source: b\nBuild-Depends: -o x\n", changelog("1")),
        ("Source: b\nBuild-Depends: x (= 1\n", changelog("1")),
        ("Source: b\nBuild-Depends: ${x}\n", changelog("1")),
    ] {
        let found = inspect(control, &log);
        assert!(matches!(found, Evidence::Unusable { .. }), "{found:?}");
    }
}

#[test]
fn a_plan_is_what_strangers_were_given() {
    let purl = "pkg:deb/debian/b-doc@1:1.0-2?arch=all&distro=bookworm";
    let candidate = tried(ask("b-doc_1.0-2_all.deb", Some(purl), &Hints::default()));
    let plan = Plan {
        schema: SCHEMA.into(),
        source: PlanSource {
            uri: "git+https://example.org/b".into(),
            reference: "refs/tags/debian/1%1.0-2".into(),
            commit: GitOid::from_bytes([1; 20]),
            tree_sha256: Sha256::of(b"tree"),
            epoch: Timestamp::EPOCH,
        },
        candidate,
        inputs: Vec::new(),
    };
    let text = String::from_utf8(plan.to_bytes()).unwrap();
    assert_eq!(text, include_str!("../../../golden/plan-deb.json"));
    assert_eq!(Plan::from_bytes(text.as_bytes()).unwrap(), plan);
}

#[test]
fn the_release_is_the_operators_the_archives_or_the_changelogs() {
    let suite = |purl: Option<&str>, hints: &Hints| {
        let candidate = tried(ask("b_1.0-2_amd64.deb", purl, hints));
        match candidate.environment {
            EnvironmentSpec::Debian(spec) => spec.suite,
            EnvironmentSpec::Host { .. } | EnvironmentSpec::Rootfs { .. } => {
                panic!("another environment")
            }
        }
    };
    let purl = Some("pkg:deb/debian/b@1:1.0-2?arch=amd64&distro=trixie");
    assert_eq!(suite(None, &Hints::default()), "bookworm");
    assert_eq!(suite(purl, &Hints::default()), "trixie");
    let hints = Hints {
        suite: Some("sid".into()),
        packages: vec!["gcc (= 1)".into()],
        ..Hints::default()
    };
    assert_eq!(suite(purl, &hints), "sid");
    let candidate = tried(ask("b_1.0-2_amd64.deb", purl, &hints));
    let EnvironmentSpec::Debian(spec) = candidate.environment else {
        panic!("another environment");
    };
    let asked: Vec<&str> = spec.dependencies.iter().map(|d| &*d.value).collect();
    assert_eq!(asked, ["build-essential", "fakeroot", "gcc (= 1)"]);
}

#[test]
fn what_contradicts_itself_or_cannot_be_is_said() {
    let hints = Hints::default();
    for (file, reason) in [
        ("c_1.0-2_amd64.deb", Reason::EvidenceContradicts),
        ("b_1.0-3_amd64.deb", Reason::EvidenceContradicts),
        ("b_1.0-2+b1_amd64.deb", Reason::NoRecipe),
        ("b_1.0-2.dsc", Reason::NoRecipe),
        ("b_1.0-2.deb", Reason::NoRecipe),
    ] {
        let detail = refused(ask(file, None, &hints), reason);
        assert!(!detail.is_empty());
    }
}

#[test]
fn a_buildinfo_names_packages_at_versions() {
    let text = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nFormat: 1.0\nInstalled-Build-Depends:\n a (= 1:2-3),\n b (= 4)\nEnvironment:\n X=\"y\"\n\n-----BEGIN PGP SIGNATURE-----\n";
    assert_eq!(installed(text).unwrap(), ["a (= 1:2-3)", "b (= 4)"]);
    for bad in ["", "Format: 1.0\n", "Installed-Build-Depends: $(x)\n"] {
        assert_eq!(installed(bad), None, "{bad}");
    }
}
