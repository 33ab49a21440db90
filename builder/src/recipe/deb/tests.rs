//! Tests of reading a packaging, and of what is tried.

use std::fs;
use std::io::{Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::LazyLock;

use countersign_attest::digest::{GitOid, Sha256};
use countersign_attest::origin::AssistKind;
use countersign_attest::time::Timestamp;

use super::super::InspectRequest;
use super::*;
use crate::archive::ReadLimits;
use crate::environment::Capabilities;
use crate::plan::{Candidate, EnvironmentSpec, Plan, PlanSource, SCHEMA};
use crate::recipe::{Attempt, Hints};
use crate::release::{Published, Release};

const CONTROL: &str = "# what it is\nSource: b\nBuild-Depends: debhelper-compat (= 13), gcc:native [linux-any],\n# no\n x [!amd64 !arm64], y (<< 2:1~) [any-amd64 any-arm64] | z <!nocheck>,\n cross <cross>, doc <!nodoc !x> <stage1>\nBuild-Depends-Indep: python3:any\n\nPackage: b\nArchitecture: any\n\nPackage: b-doc\nArchitecture: all\n";

fn changelog(version: &str) -> String {
    format!(
        "b ({version}) bookworm-security; urgency=low\n\n  * x\n\n -- a <a@b>  Mon, 01 Jan 2024 00:00:00 +0000\n"
    )
}

fn inspect(control: &str, changelog: &str) -> Evidence {
    look(control, changelog, &[], None)
}

/// What inspection says of a packaging with more files, and of a file of the distribution.
fn look(
    control: &str,
    changelog: &str,
    files: &[(&str, &[u8])],
    artifact: Option<(&str, &[u8])>,
) -> Evidence {
    let folder = tempfile::tempdir().unwrap();
    let packaging = [
        ("debian/control", control.as_bytes()),
        ("debian/changelog", changelog.as_bytes()),
    ];
    for (name, content) in packaging.iter().chain(files) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let artifact = artifact.map(|(name, bytes)| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        (name, file)
    });
    let request = InspectRequest {
        recipe: "deb".into(),
        subdir: String::new(),
        file_name: artifact.as_ref().map_or("", |(name, _)| *name).to_owned(),
        limits: ReadLimits::default(),
    };
    let tree = fs::File::open(folder.path()).unwrap();
    let artifact = artifact.map(|(_, file)| file);
    super::super::inspect(&request, tree.as_fd(), artifact).unwrap()
}

/// The same of the packaging below, which must be understood.
fn told(artifact: (&str, &[u8]), files: &[(&str, &[u8])]) -> DebEvidence {
    match look(CONTROL, &changelog("1"), files, Some(artifact)) {
        Evidence::Deb(evidence) => evidence,
        other => panic!("{other:?}"),
    }
}

/// A tar of these files: name, content, time.
fn tar(files: &[(&str, &[u8], u64)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content, time) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(*time);
        tar.append_data(&mut header, name, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// A package of these files: name, content, time.
fn package(files: &[(&str, &[u8], u64)]) -> Vec<u8> {
    let data = tar(files);
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

/// Paths and seconds.
fn pairs(times: Vec<FileTime>) -> Vec<(String, i64)> {
    let times = times.into_iter();
    times.map(|time| (time.path, time.seconds)).collect()
}

#[test]
fn times_are_read_off_files_that_are_older_than_the_build() {
    let published = package(&[
        ("./usr/share/doc/b/NEWS.gz", &gzip(b"news"), 1000),
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
    let times = |artifact: &[u8]| told(("b_1_amd64.deb", artifact), tree).times;
    let expect = [("NEWS".to_owned(), 1000), ("data".to_owned(), 2000)];
    assert_eq!(pairs(times(&published)), expect);
    for hostile in [&published[..90], b"!<arch>\n", b""] {
        assert!(times(hostile).is_empty());
    }
}

#[test]
fn a_source_package_has_the_times_of_what_is_the_same_in_the_tree() {
    let tree: &[(&str, &[u8])] = &[("NEWS", b"news"), ("x/empty", b""), ("changed", b"new")];
    let all: &[(&str, &[u8], u64)] = &[
        ("b-1/NEWS", b"news", 1000),
        ("b-1/x/empty", b"", 500),
        ("b-1/changed", b"old", 2000),
        ("b-1/gone", b"news", 3000),
    ];
    let times = |name: &str, tar: &[u8]| pairs(told((name, tar), tree).source_times);
    let expect = [("NEWS".to_owned(), 1000), ("x/empty".to_owned(), 500)];
    assert_eq!(times("b_1.orig.tar.gz", &gzip(&tar(all))), expect);
    // without a folder that everything is in, names are as they are
    let flat: &[(&str, &[u8], u64)] = &[("./NEWS", b"news", 1000), ("x/empty", b"", 500)];
    assert_eq!(times("b_1.tar.xz", &tar(flat)), expect);
    let component: &[(&str, &[u8], u64)] = &[("y-2/empty", b"", 500)];
    assert_eq!(times("b_1.orig-x.tar.gz", &tar(component)), expect[1..]);
    let packaging = tar(&[("debian/control", CONTROL.as_bytes(), 7)]);
    let own = [("debian/control".to_owned(), 7)];
    assert_eq!(times("b_1-2.debian.tar.xz", &packaging), own);
    assert!(times("b_1.diff.gz", &gzip(b"--- a")).is_empty());
    assert!(times("b_1.orig.tar.gz", &gzip(&tar(all))[..60]).is_empty());
}

#[test]
fn times_of_the_source_package_are_set_at_once_and_taint_nothing() {
    let mut evidence = evidence();
    let time = |path: &str| FileTime {
        path: path.into(),
        seconds: 1000,
    };
    evidence.source_times = vec![time("NEWS")];
    let siblings = [Evidence::Deb(evidence.clone())];
    evidence.source_times = Vec::new();
    evidence.times = vec![time("NEWS")];
    let ask = |evidence: &DebEvidence, attempts: &[Attempt]| {
        Ask {
            evidence,
            attempts,
            siblings: &siblings,
            ..Ask::default()
        }
        .next()
    };
    let first = tried(ask(&evidence, &[]));
    assert!(first.assists.is_empty());
    let time_argument = &first.steps[0].argv[3];
    assert_eq!(
        (&*time_argument.value, time_argument.origin),
        ("1000", Origin::Registry)
    );
    // the published package's times say nothing more
    let after = [attempt(&first, Verdict::Equivalent)];
    assert_eq!(ask(&evidence, &after), Next::Enough);
    evidence.times.push(time("other"));
    let second = tried(ask(&evidence, &after));
    assert_eq!(second.assists[0].kind, AssistKind::FileTimes);
}

fn attempt(candidate: &Candidate, verdict: Verdict) -> Attempt {
    let proposal = Proposal::new(candidate.clone(), "", "");
    Attempt::new(*proposal, Sha256::of(b"plan"), verdict)
}

#[test]
fn copied_times_come_last_and_taint_the_plan() {
    let mut evidence = evidence();
    evidence.times = vec![FileTime {
        path: "NEWS".into(),
        seconds: 1000,
    }];
    let first = tried(ask("b_1.0-2_amd64.deb", None, &Hints::default()));
    assert!(first.assists.is_empty());
    let after = |verdicts: &[Verdict]| {
        let attempts: Vec<Attempt> = verdicts.iter().map(|v| attempt(&first, *v)).collect();
        Ask {
            evidence: &evidence,
            attempts: &attempts,
            ..Ask::default()
        }
        .next()
    };
    for enough in [
        &[Verdict::Reproduced][..],
        &[Verdict::BuildFailed],
        &[Verdict::Unstable],
        &[Verdict::Differs, Verdict::BuildFailed],
        &[Verdict::Differs, Verdict::Differs, Verdict::Differs],
    ] {
        assert_eq!(after(enough), Next::Enough, "{enough:?}");
    }
    let second = tried(after(&[Verdict::Equivalent]));
    assert_eq!(second.assists[0].kind, AssistKind::FileTimes);
    let argv: Vec<_> = second.steps[0].argv.iter().collect();
    assert_eq!(
        (&*argv[3].value, argv[3].origin),
        ("1000", Origin::Artifact)
    );
    assert_eq!((&*argv[4].value, argv[4].origin), ("NEWS", Origin::Source));
}

#[test]
fn other_content_is_built_again_on_the_day_of_the_changelog() {
    let evidence = evidence();
    let after = |verdicts: &[Verdict]| {
        let first = tried(ask("b_1.0-2_amd64.deb", None, &Hints::default()));
        let attempts: Vec<Attempt> = verdicts.iter().map(|v| attempt(&first, *v)).collect();
        Ask {
            evidence: &evidence,
            attempts: &attempts,
            ..Ask::default()
        }
        .next()
    };
    let second = tried(after(&[Verdict::Differs]));
    let argv: Vec<&str> = second.steps[0].argv.iter().map(|a| &*a.value).collect();
    let expect = ["faketime", "-m", "Mon, 01 Jan 2024 00:00:00 +0000"];
    assert_eq!(argv[..3], expect);
    assert_eq!(second.steps[0].argv[2].origin, Origin::Source);
    assert!(second.variables.contains_key("NO_FAKE_STAT"));
    assert!(second.assists.is_empty());
    let EnvironmentSpec::Debian(spec) = &second.environment else {
        panic!("another environment");
    };
    assert!(spec.dependencies.iter().any(|d| d.value == "faketime"));
    assert_eq!(after(&[Verdict::Differs, Verdict::Differs]), Next::Enough);
}

#[test]
fn a_rebuild_of_the_distribution_has_an_entry_that_taints_the_plan() {
    let mut evidence = evidence();
    let ask = |evidence: &DebEvidence| {
        Ask {
            evidence,
            file_name: "b_1.0-2+b1_amd64.deb",
            ..Ask::default()
        }
        .next()
    };
    let detail = refused(ask(&evidence), Reason::NoRecipe);
    assert!(detail.contains("binNMU"), "{detail}");
    let text = "b (1:1.0-2+b1) sid; urgency=low, binary-only=yes\n\n  * x\n\n -- a <a@b>  Tue, 02 Jan 2024 00:00:00 +0000";
    let published = gzip(format!("{text}\n\n{}", changelog("1:1.0-2")).as_bytes());
    let name = "./usr/share/doc/b/changelog.Debian.amd64.gz";
    let published = package(&[(name, &published, 1)]);
    evidence.binary_only = told(("b_1.0-2+b1_amd64.deb", &published), &[]).binary_only;
    assert_eq!(evidence.binary_only.as_ref().unwrap().text, text);
    let candidate = tried(ask(&evidence));
    let kinds: Vec<AssistKind> = candidate.assists.iter().map(|a| a.kind).collect();
    assert_eq!(kinds, [AssistKind::Epoch, AssistKind::Metadata]);
    let entry = candidate.steps[0].argv.iter().find(|a| a.value == text);
    assert_eq!(entry.unwrap().origin, Origin::Artifact);
    // an entry of another rebuild is not this one's
    evidence.binary_only.as_mut().unwrap().version = "1:1.0-2+b2".into();
    let _ = refused(ask(&evidence), Reason::NoRecipe);
}

#[test]
fn a_changelog_is_as_long_as_the_published_one() {
    let log = changelog("1");
    let name = "./usr/share/doc/b/changelog.Debian.gz";
    for (text, options) in [
        (&*log, "nocheck parallel=2 notrimdch"),
        (&log[1..], "nocheck parallel=2"),
    ] {
        let published = package(&[(name, &gzip(text.as_bytes()), 1)]);
        let mut evidence = evidence();
        evidence.whole_changelog = told(("b_1_amd64.deb", &published), &[]).whole_changelog;
        let ask = Ask {
            evidence: &evidence,
            ..Ask::default()
        };
        let candidate = tried(ask.next());
        assert_eq!(candidate.variables["DEB_BUILD_OPTIONS"].value, options);
    }
}

#[test]
fn packages_of_an_architecture_and_for_all_are_built_apart() {
    for (file, which, asked) in [
        ("b_1.0-2_amd64.deb", "-B", false),
        ("b-doc_1.0-2_all.deb", "-A", true),
    ] {
        let candidate = tried(ask(file, None, &Hints::default()));
        assert_eq!(candidate.steps[0].argv[1].value, which);
        let EnvironmentSpec::Debian(spec) = &candidate.environment else {
            panic!("another environment");
        };
        let has = |name: &str| spec.dependencies.iter().any(|d| d.value == name);
        assert_eq!((has("python3:any"), has("doc")), (asked, true));
    }
}

fn evidence() -> DebEvidence {
    match inspect(CONTROL, &changelog("1:1.0-2")) {
        Evidence::Deb(evidence) => evidence,
        other => panic!("{other:?}"),
    }
}

/// What is tried for a published file of a source at 1:1.0-2.
fn ask(file_name: &str, purl: Option<&str>, hints: &Hints) -> Next {
    Ask {
        evidence: &evidence(),
        file_name,
        purl,
        hints,
        ..Ask::default()
    }
    .next()
}

/// A question to the recipe.
struct Ask<'a> {
    evidence: &'a DebEvidence,
    siblings: &'a [Evidence],
    attempts: &'a [Attempt],
    file_name: &'a str,
    purl: Option<&'a str>,
    hints: &'a Hints,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        static EVIDENCE: LazyLock<DebEvidence> = LazyLock::new(evidence);
        static HINTS: LazyLock<Hints> = LazyLock::new(Hints::default);
        Self {
            evidence: &EVIDENCE,
            siblings: &[],
            attempts: &[],
            file_name: "b_1.0-2_amd64.deb",
            purl: None,
            hints: &HINTS,
        }
    }
}

impl Ask<'_> {
    fn next(&self) -> Next {
        let release = Release {
            tag: "debian/1%1.0-2".into(),
            version: "1:1.0-2".into(),
            ..crate::recipe::tests::release()
        };
        let published = Published {
            file_name: self.file_name.into(),
            purl: self.purl.map(str::to_owned),
            ..crate::recipe::tests::published()
        };
        let capabilities = Capabilities {
            architecture: "x86_64".into(),
            id_mode: None,
            checks: Vec::new(),
            tools: Vec::new(),
            alternatives: Vec::new(),
        };
        (RECIPE.next)(&Situation {
            release: &release,
            published: &published,
            all_published: &[],
            evidence: &Evidence::Deb(self.evidence.clone()),
            siblings: self.siblings,
            source_incomplete: false,
            capabilities: &capabilities,
            hints: self.hints,
            attempts: self.attempts,
            worked_before: &[],
        })
    }
}

fn tried(next: Next) -> Candidate {
    match next {
        Next::Try(proposal) => proposal.candidate,
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
    let always = [
        "debhelper-compat (= 13)",
        "gcc:native",
        "y (<< 2:1~) | z",
        "doc",
    ];
    assert_eq!(evidence.dependencies.always, always);
    assert_eq!(evidence.dependencies.for_all, ["python3:any"]);
    assert!(evidence.dependencies.for_arch.is_empty());
    let date = evidence.date.as_deref();
    assert_eq!(date, Some("Mon, 01 Jan 2024 00:00:00 +0000"));
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
