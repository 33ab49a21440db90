//! Facts that contradict each other, and texts that no statement may carry, are not signed.

use super::kinds::with_inputs;
use super::*;

#[test]
fn inputs_that_contradict_the_rest_are_refused() {
    let cases: [(Change, &str); 5] = [
        (
            |f| f.build.as_mut().unwrap().network = Network::None,
            "without a network",
        ),
        (
            |f| f.build.as_mut().unwrap().inputs.swap(0, 1),
            "not sorted",
        ),
        (
            |f| {
                let inputs = &mut f.build.as_mut().unwrap().inputs;
                inputs.insert(0, inputs[0].clone());
            },
            "not sorted",
        ),
        (
            |f| f.build.as_mut().unwrap().inputs[1].sha256 = Sha256::of(PUBLISHED),
            "that the build was served",
        ),
        (
            |f| f.build.as_mut().unwrap().inputs[0].request = "cargo:\n".into(),
            "control character",
        ),
    ];
    for (change, expected) in cases {
        let mut facts = with_inputs(Verdict::Reproduced);
        change(&mut facts);
        let error = compose(&facts, Custody::Operator).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn what_was_served_of_the_package_itself_is_said_or_refused() {
    let own = |verdict: Verdict, said: bool| {
        let mut facts = with_inputs(verdict);
        facts.published.purl = Some("pkg:cargo/Dep_A@2.0.0".into());
        let input = Input {
            request: "cargo:index/dep-a".into(),
            sha256: Sha256::of(b"own"),
            size_bytes: 3,
        };
        let build = facts.build.as_mut().unwrap();
        build.inputs.push(input.clone());
        build.inputs.sort_by(|a, b| a.request.cmp(&b.request));
        if said {
            facts.assisted_by.push(Assist {
                kind: AssistKind::OwnRelease,
                sha256: input.sha256,
            });
        }
        compose(&facts, Custody::Operator)
    };
    for verdict in [Verdict::Reproduced, Verdict::Equivalent, Verdict::Assisted] {
        let error = own(verdict, false).unwrap_err().to_string();
        assert!(error.contains("cargo:index/dep-a"), "{error}");
    }
    assert!(own(Verdict::Assisted, true).is_ok());
    assert!(own(Verdict::Reproduced, true).is_err());
    assert!(own(Verdict::BuildFailed, false).is_ok());
    // nothing of the kind was served
    let mut facts = facts(Verdict::Assisted);
    facts.assisted_by[0].kind = AssistKind::OwnRelease;
    let error = compose(&facts, Custody::Operator).unwrap_err().to_string();
    assert!(error.contains("was not served"), "{error}");
}

type Change = fn(&mut Facts);

fn refusal(verdict: Verdict, change: Change) -> String {
    let mut facts = facts(verdict);
    change(&mut facts);
    match compose(&facts, Custody::Operator) {
        Err(error) => error.to_string(),
        Ok(bytes) => panic!(
            "{verdict} was composed: {}",
            String::from_utf8_lossy(&bytes)
        ),
    }
}

#[test]
fn contradictions_are_refused() {
    use Verdict::{
        Assisted, BuildFailed, Differs, Equivalent, Indeterminate, Reproduced, Unstable,
    };
    let cases: &[(Verdict, Change, &str)] = &[
        (
            Reproduced,
            |f| f.rebuilt[1] = rebuilt(1, OTHER),
            "not the published one",
        ),
        (
            Reproduced,
            |f| f.rebuilt[0] = rebuilt(0, OTHER),
            "not the published one",
        ),
        (Reproduced, |f| f.rebuilt.truncate(1), "on 1 rebuilt files"),
        (Reproduced, |f| f.rebuilt.clear(), "on 0 rebuilt files"),
        (
            Reproduced,
            |f| f.published.sha256 = Sha256::of(OTHER),
            "not the published one",
        ),
        (
            Reproduced,
            |f| f.published.sha512 = Some(Digests::of(OTHER).sha512),
            "not the published one",
        ),
        (
            Reproduced,
            |f| f.origins.push(Origin::Artifact),
            "copies from the artifact",
        ),
        (Reproduced, |f| f.origins.clear(), "without the origins"),
        (
            Reproduced,
            |f| f.reason = Some(Reason::Prebuilt),
            "with the reason prebuilt",
        ),
        (
            Reproduced,
            |f| f.assisted_by = facts(Assisted).assisted_by,
            "copied from the artifact",
        ),
        (
            Reproduced,
            |f| f.comparison = Some(comparison()),
            "with a comparison",
        ),
        (Reproduced, |f| f.build = None, "of run 0"),
        (
            Reproduced,
            |f| f.source.tree_sha256 = None,
            "without source.treeSha256",
        ),
        (Reproduced, |f| f.rebuilt[1].run = 0, "of run 0"),
        (Reproduced, |f| f.rebuilt[1].run = 2, "of run 2"),
        (
            Reproduced,
            |f| f.build.as_mut().unwrap().runs[1].exit = Exit::TimedOut { step: 0 },
            "of run 1",
        ),
        (
            Assisted,
            |f| f.assisted_by.clear(),
            "without saying what was copied",
        ),
        (Assisted, |f| f.rebuilt.truncate(1), "on 1 rebuilt files"),
        (
            Assisted,
            |f| f.rebuilt[0] = rebuilt(0, OTHER),
            "not the published one",
        ),
        (Equivalent, |f| f.comparison = None, "without a comparison"),
        (
            Equivalent,
            |f| f.comparison = Some(comparison()),
            "without a normalization",
        ),
        (
            Equivalent,
            |f| f.comparison.as_mut().unwrap().normalized_digest = None,
            "the digest of what is the same",
        ),
        (
            Equivalent,
            |f| f.comparison.as_mut().unwrap().unlisted_members = 1,
            "with members that differ",
        ),
        (
            Equivalent,
            |f| f.origins.push(Origin::Artifact),
            "copies from the artifact",
        ),
        (
            Equivalent,
            |f| f.rebuilt[1] = rebuilt(1, THIRD),
            "that disagree",
        ),
        (
            Equivalent,
            |f| f.rebuilt[0] = rebuilt(0, PUBLISHED),
            "byte for byte",
        ),
        (Differs, |f| f.rebuilt.truncate(1), "on 1 rebuilt files"),
        (
            Differs,
            |f| f.rebuilt[1] = rebuilt(1, THIRD),
            "that disagree",
        ),
        (
            Differs,
            |f| f.rebuilt[1] = rebuilt(1, PUBLISHED),
            "byte for byte",
        ),
        (Differs, |f| f.reason = None, "without a reason"),
        (
            Differs,
            |f| f.reason = Some(Reason::StepFailed),
            "with the reason step-failed",
        ),
        (
            Differs,
            |f| f.comparison = Some(comparison()),
            "without a member that differs",
        ),
        (
            Differs,
            |f| f.comparison.as_mut().unwrap().normalized_digest = Some(Sha256::of(b"x")),
            "that make both sides equal",
        ),
        (Unstable, |f| f.rebuilt[1] = rebuilt(1, OTHER), "that agree"),
        (Unstable, |f| f.rebuilt.clear(), "on builds that agree"),
        (
            Unstable,
            |f| {
                f.rebuilt.truncate(1);
                f.build.as_mut().unwrap().runs.truncate(1);
            },
            "on builds that agree",
        ),
        (Unstable, |f| f.reason = None, "without a reason"),
        (
            BuildFailed,
            |f| f.build = None,
            "step-failed, which the facts deny",
        ),
        (
            BuildFailed,
            |f| f.reason = Some(Reason::TimedOut),
            "timed-out, which the facts deny",
        ),
        (
            BuildFailed,
            |f| f.reason = Some(Reason::OutOfMemory),
            "out-of-memory, which the facts deny",
        ),
        (
            BuildFailed,
            |f| {
                f.reason = Some(Reason::OutOfDisk);
                f.build.as_mut().unwrap().runs[0].exit = Exit::LimitReached {
                    step: 0,
                    limit: LimitKind::Memory,
                };
            },
            "out-of-disk, which the facts deny",
        ),
        (
            BuildFailed,
            |f| f.reason = Some(Reason::OutputRejected),
            "which the facts deny",
        ),
        (
            BuildFailed,
            |f| f.reason = Some(Reason::OutputMissing),
            "which the facts deny",
        ),
        (
            Indeterminate,
            |f| f.source.moved_from = None,
            "tag-moved, which the facts deny",
        ),
        (Indeterminate, |f| f.reason = None, "without a reason"),
    ];
    for (verdict, change, expected) in cases {
        let found = refusal(*verdict, *change);
        assert!(
            found.contains(expected),
            "{verdict}: {found:?} instead of {expected:?}"
        );
    }
}

#[test]
fn the_limit_that_was_reached_is_the_reason() {
    for (reason, limit) in [
        (Reason::Silent, LimitKind::Silence),
        (Reason::OutOfMemory, LimitKind::Memory),
        (Reason::OutOfProcesses, LimitKind::Processes),
        (Reason::OutOfDisk, LimitKind::Disk),
    ] {
        let mut failed = facts(Verdict::BuildFailed);
        failed.reason = Some(reason);
        failed.build.as_mut().unwrap().runs[0].exit = Exit::LimitReached { step: 0, limit };
        assert!(parse(&composed(&failed)).is_ok(), "{reason}");
    }
}

#[test]
fn builds_disagree_too_when_only_one_yields_the_artifact() {
    let mut one = facts(Verdict::Unstable);
    one.rebuilt = vec![rebuilt(1, PUBLISHED)];
    assert!(parse(&composed(&one)).is_ok());
    one.build.as_mut().unwrap().runs[0].exit = Exit::Exited { step: 0, code: 1 };
    assert!(parse(&composed(&one)).is_ok());
    one.rebuilt.clear();
    assert!(parse(&composed(&one)).is_ok());
    one.build.as_mut().unwrap().runs[1].exit = Exit::TimedOut { step: 0 };
    assert!(matches!(
        compose(&one, Custody::Operator),
        Err(Contradiction::RebuiltAgree)
    ));
}

#[test]
fn texts_that_no_statement_may_carry_are_refused() {
    let cases: &[(Change, &str)] = &[
        (
            |f| f.published.file_name = "../lib.tgz".into(),
            "not one path component",
        ),
        (
            |f| f.published.file_name = "a\\b".into(),
            "not one path component",
        ),
        (
            |f| f.published.file_name = "..".into(),
            "not one path component",
        ),
        (
            |f| f.published.file_name = "a\nb".into(),
            "control character",
        ),
        (|f| f.published.file_name = String::new(), "is empty"),
        (|f| f.published.file_name = "a".repeat(256), "is too long"),
        (
            |f| f.rebuilt[0].file_name = "x/y".into(),
            "not one path component",
        ),
        (
            |f| f.published.purl = Some("pkg:npm/lib".into()),
            "published.purl",
        ),
        (|f| f.published.purl = Some("lib".into()), "published.purl"),
        (
            |f| f.published.download_location = Some("file:///srv/x".into()),
            "neither https://",
        ),
        (
            |f| f.published.download_location = Some("https://me:secret@files.example/".into()),
            "a user's name or password",
        ),
        (
            |f| f.published.declared = Some("\u{1b}[2J".into()),
            "control character",
        ),
        (
            |f| f.source.uri = "git+https://token@forge.example/".into(),
            "a user's name",
        ),
        (
            |f| f.source.uri = "git+ssh://forge.example/".into(),
            "neither https://",
        ),
        (
            |f| f.source.uri = "https://forge.example/".into(),
            "does not start with git+",
        ),
        (
            |f| f.source.reference = "v1.2.3".into(),
            "not the full name of a tag",
        ),
        (
            |f| f.source.reference = "refs/tags/v\u{7f}".into(),
            "control character",
        ),
        (|f| f.rebuilder.id = "nobody".into(), "is not a URI"),
        (
            |f| f.build.as_mut().unwrap().toolchain[0].version = "1\n".into(),
            "a tool in build.toolchain",
        ),
        (
            |f| f.build.as_mut().unwrap().profile = "sandbox".into(),
            "of the form name/vN",
        ),
    ];
    for (change, expected) in cases {
        let found = refusal(Verdict::Reproduced, *change);
        assert!(
            found.contains(expected),
            "{found:?} instead of {expected:?}"
        );
    }
}

#[test]
fn a_local_source_is_signed_by_nobodys_key_only() {
    let mut facts = facts(Verdict::Reproduced);
    facts.source.uri = "git+file:lib".into();
    assert!(matches!(
        compose(&facts, Custody::Operator),
        Err(Contradiction::LocalSource)
    ));
    assert!(compose(&facts, Custody::Ephemeral).is_ok());
    facts.source.uri = "git+file:/srv/lib".into();
    assert!(matches!(
        compose(&facts, Custody::Ephemeral),
        Err(Contradiction::Text { .. })
    ));
}

#[test]
fn a_statement_over_the_readers_limit_is_not_composed() {
    let mut facts = facts(Verdict::Differs);
    let comparison = facts.comparison.as_mut().unwrap();
    let mut member = comparison.differing_members[0].clone();
    member.name = "m".repeat(4000);
    comparison.differing_members = vec![member; 1200];
    assert!(matches!(
        compose(&facts, Custody::Operator),
        Err(Contradiction::TooLong(_))
    ));
}
