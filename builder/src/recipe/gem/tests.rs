//! Tests of what is tried for a gem.

use std::fs;
use std::os::fd::AsFd as _;

use countersign_attest::digest::{GitOid, Sha256};
use countersign_attest::time::Timestamp;

use super::super::{Hints, InspectRequest};
use super::*;
use crate::archive::ReadLimits;
use crate::environment::{Capabilities, FoundTool};
use crate::plan::{Plan, PlanSource, SCHEMA};
use crate::release::{Published, Release};

fn gem(name: &str, version: &str, rubygems: &str) -> PublishedGem {
    PublishedGem {
        name: name.into(),
        version: version.into(),
        rubygems: rubygems.into(),
        signed: false,
        seconds: Some(0),
    }
}

fn ask(specifications: &[&str], published: Option<PublishedGem>, tools: &[&str]) -> Next {
    after(specifications, published, tools, &[])
}

fn after(
    specifications: &[&str],
    published: Option<PublishedGem>,
    tools: &[&str],
    attempts: &[Attempt],
) -> Next {
    let release = Release {
        source_uri: "git+https://example.org/left".into(),
        ..crate::recipe::tests::release()
    };
    let file = Published {
        file_name: "left-1.0.0.gem".into(),
        purl: Some("pkg:gem/left@1.0.0".into()),
        ..crate::recipe::tests::published()
    };
    let tool = |name: &&str| FoundTool {
        name: (*name).to_owned(),
        version: "3.3.15".into(),
    };
    let capabilities = Capabilities {
        architecture: "x86_64".into(),
        id_mode: None,
        checks: Vec::new(),
        tools: tools.iter().map(tool).collect(),
        alternatives: Vec::new(),
    };
    let evidence = Evidence::Gem(GemEvidence {
        specifications: specifications.iter().map(|&name| name.to_owned()).collect(),
        published,
    });
    super::super::next(
        &Situation {
            release: &release,
            published: &file,
            all_published: &[],
            evidence: &evidence,
            siblings: &[],
            source_incomplete: false,
            capabilities: &capabilities,
            hints: &Hints::default(),
            attempts,
            worked_before: &[],
        },
        "gem",
    )
}

const TOOLS: [&str; 3] = ["gem", "git", "ruby"];

fn tried(next: Next) -> Candidate {
    match next {
        Next::Try(proposal) => proposal.candidate,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plan_is_what_strangers_were_given() {
    let published = gem("left", "1.0.0", "3.3.15");
    let candidate = tried(ask(&["left", "other"], Some(published), &TOOLS));
    let plan = Plan {
        schema: SCHEMA.into(),
        source: PlanSource {
            uri: "git+https://example.org/left".into(),
            reference: "refs/tags/v1.0.0".into(),
            commit: GitOid::from_bytes([1; 20]),
            tree_sha256: Sha256::of(b"tree"),
            epoch: Timestamp::EPOCH,
        },
        candidate,
        inputs: Vec::new(),
    };
    let text = String::from_utf8(plan.to_bytes()).unwrap();
    assert_eq!(text, include_str!("../../../golden/plan-gem.json"));
    assert_eq!(Plan::from_bytes(text.as_bytes()).unwrap(), plan);
}

#[test]
fn the_moment_is_copied_last_and_taints_the_plan() {
    let at = |seconds| PublishedGem {
        seconds,
        ..gem("left", "1.0.0", "3.3.15")
    };
    let first = tried(ask(&["left"], Some(at(Some(5))), &TOOLS));
    assert!(first.assists.is_empty());
    let tried_before = |verdict| {
        let proposal = *Proposal::new(first.clone(), "", "");
        crate::recipe::tests::attempt(proposal, verdict)
    };
    let next = |seconds, verdicts: &[Verdict]| {
        let attempts: Vec<Attempt> = verdicts.iter().map(|v| tried_before(*v)).collect();
        after(&["left"], Some(at(seconds)), &TOOLS, &attempts)
    };
    let second = tried(next(Some(5), &[Verdict::Differs]));
    assert_eq!(second.assists[0].kind, AssistKind::Epoch);
    let argv = &second.steps[0].argv;
    assert_eq!(
        (&*argv[1].value, argv[1].origin),
        ("SOURCE_DATE_EPOCH=5", Origin::Artifact)
    );
    // the commit's own moment was the first; what was built well or not at all needs none
    assert_eq!(next(Some(0), &[Verdict::Differs]), Next::Enough);
    assert_eq!(next(None, &[Verdict::Differs]), Next::Enough);
    for verdict in [Verdict::Reproduced, Verdict::Unstable, Verdict::BuildFailed] {
        assert_eq!(next(Some(5), &[verdict]), Next::Enough, "{verdict:?}");
    }
    assert_eq!(
        next(Some(5), &[Verdict::Differs, Verdict::Differs]),
        Next::Enough
    );
}

#[test]
fn a_signature_makes_a_difference_say_nothing() {
    let signed = PublishedGem {
        signed: true,
        ..gem("left", "1.0.0", "3.3.15")
    };
    let candidate = tried(ask(&["left"], Some(signed), &TOOLS));
    assert_eq!(candidate.incomplete, Some(Reason::BuildStepUnsupported));
}

#[test]
fn another_packer_makes_a_difference_say_nothing() {
    let published = gem("left", "1.0.0", "3.5.0");
    let candidate = tried(ask(&["left"], Some(published), &TOOLS));
    assert_eq!(candidate.incomplete, Some(Reason::ToolchainUnavailable));
    assert!(candidate.missing.unwrap().contains("3.5.0"));
}

#[test]
fn what_contradicts_itself_or_cannot_be_is_said() {
    for (specifications, published, tools, reason) in [
        (
            &["left"][..],
            Some(gem("right", "1.0.0", "3")),
            &TOOLS[..],
            Reason::EvidenceContradicts,
        ),
        (
            &["left"],
            Some(gem("left", "1.0.1", "3")),
            &TOOLS,
            Reason::EvidenceContradicts,
        ),
        (&["right"], None, &TOOLS, Reason::NoRecipe),
        (&["left"], None, &TOOLS[..1], Reason::ToolchainUnavailable),
    ] {
        match ask(specifications, published, tools) {
            Next::Cannot {
                reason: why,
                detail,
            } => {
                assert_eq!(why, reason, "{detail}");
                assert!(!detail.is_empty());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn gemspecs_are_those_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    };
    for name in ["left.gemspec", "sub/right.gemspec", "x y.gemspec", "README"] {
        write(name);
    }
    let inspect = |subdir: &str| {
        let request = InspectRequest {
            recipe: "gem".into(),
            subdir: subdir.into(),
            file_name: String::new(),
            limits: ReadLimits::default(),
        };
        let tree = fs::File::open(folder.path()).unwrap();
        super::super::inspect(&request, tree.as_fd(), None).unwrap()
    };
    for (subdir, expect) in [("", "left"), ("sub", "right")] {
        let Evidence::Gem(evidence) = inspect(subdir) else {
            panic!("no evidence in {subdir:?}");
        };
        assert_eq!(evidence.specifications, [expect]);
    }
    assert!(matches!(inspect("none"), Evidence::Unusable { .. }));
}
