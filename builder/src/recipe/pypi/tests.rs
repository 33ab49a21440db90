//! What the recipe for Python packages tries, and what it says where there is nothing to try.

use countersign_attest::digest::Sha256;
use countersign_attest::time::Timestamp;

use super::super::{Attempt, Hints, next};
use super::*;
use crate::environment::{Capabilities, FoundTool};
use crate::plan::{Candidate, Network, Plan, PlanInput, PlanSource, SCHEMA, SourceForm};
use crate::release::{Published, Release};

mod reading;

const COMMIT: i64 = 1_763_239_296;
const WHEEL: &str = "a_b-1.0-py3-none-any.whl";
const SDIST: &str = "a_b-1.0.tar.gz";

struct Facts {
    release: Release,
    published: Published,
    evidence: PypiEvidence,
    capabilities: Capabilities,
    hints: Hints,
    attempts: Vec<Attempt>,
    siblings: Vec<Evidence>,
}

fn facts(file_name: &str) -> Facts {
    let found = |name: &str, version: &str| FoundTool {
        name: name.into(),
        version: version.into(),
    };
    let moment = |seconds| Timestamp::from_unix_seconds(seconds).unwrap();
    Facts {
        release: Release {
            tag: "v1.0".into(),
            version: "1.0".into(),
            commit_time: moment(COMMIT),
            ..crate::recipe::tests::release()
        },
        published: Published {
            file_name: file_name.into(),
            purl: Some(format!("pkg:pypi/a-b@1.0?file_name={file_name}")),
            published_on: Some(moment(COMMIT + 60)),
            ..crate::recipe::tests::published()
        },
        evidence: PypiEvidence {
            project: Project {
                name: Some("A.b".into()),
                version: Some("1.0.0".into()),
                system: BuildSystem {
                    backend: "flit_core.buildapi".into(),
                    backend_path: Vec::new(),
                    requires: vec!["flit_core >=3.11,<4".into()],
                },
            },
            published: PublishedFile::Read(Says {
                name: Some("a_b".into()),
                version: Some("1.0".into()),
                generator: file_name.ends_with(".whl").then(|| Generator {
                    tool: "flit".into(),
                    version: "3.12.0".into(),
                }),
                times: vec![COMMIT],
                ..Says::default()
            }),
        },
        capabilities: Capabilities {
            architecture: "x86_64".into(),
            id_mode: None,
            checks: Vec::new(),
            tools: vec![
                found("pip", "23.0.1"),
                found("python3", "3.11.2"),
                found("git", "2.39.5"),
            ],
            alternatives: Vec::new(),
        },
        hints: Hints::default(),
        attempts: Vec::new(),
        siblings: Vec::new(),
    }
}

impl Facts {
    fn says(&mut self) -> &mut Says {
        match &mut self.evidence.published {
            PublishedFile::Read(says) => says,
            PublishedFile::NotGiven | PublishedFile::Unreadable { .. } => panic!("no file"),
        }
    }

    fn next(&self) -> Next {
        let evidence = Evidence::Pypi(self.evidence.clone());
        let situation = Situation {
            release: &self.release,
            published: &self.published,
            all_published: &[],
            evidence: &evidence,
            siblings: &self.siblings,
            source_incomplete: false,
            capabilities: &self.capabilities,
            hints: &self.hints,
            attempts: &self.attempts,
            worked_before: &[],
        };
        next(&situation, RECIPE.name)
    }

    #[track_caller]
    fn candidate(&self) -> Candidate {
        match self.next() {
            Next::Try(proposal) => proposal.candidate,
            other => panic!("expected a candidate: {other:?}"),
        }
    }

    #[track_caller]
    fn cannot(&self, expect: Reason) -> String {
        match self.next() {
            Next::Cannot { reason, detail } if reason == expect => detail,
            other => panic!("expected {expect}: {other:?}"),
        }
    }

    fn tried(&mut self, verdict: Verdict) {
        let candidate = self.candidate();
        let proposal = Proposal::new(candidate, "", "");
        let attempt = Attempt::new(*proposal, Sha256::of(b"plan"), verdict);
        self.attempts.push(attempt);
    }
}

/// The steps in words, with the long text of our own left out.
fn lines(candidate: &Candidate) -> Vec<String> {
    let word = |value: &Valued<String>| match value.value.len() {
        0 => "''".to_owned(),
        1..200 => value.value.clone(),
        _ => "CODE".to_owned(),
    };
    let line = |step: &crate::plan::Step| step.argv.iter().map(word).collect::<Vec<_>>().join(" ");
    candidate.steps.iter().map(line).collect()
}

fn origin_of(candidate: &Candidate, text: &str) -> Option<Origin> {
    let mut values = candidate.steps.iter().flat_map(|step| &step.argv);
    values.find(|v| v.value == text).map(|v| v.origin)
}

#[test]
fn a_wheel_is_made_by_the_version_that_it_names() {
    let candidate = facts(WHEEL).candidate();
    let pip = "python3 -m pip install --quiet --no-compile --target";
    let hook = "python3 -I -S -B -c CODE";
    assert_eq!(
        lines(&candidate),
        [
            format!("{pip} /build/home/tools -- flit_core >=3.11,<4 flit-core==3.12.0"),
            format!("{hook} requires wheel flit_core.buildapi /tmp/wheel.txt ''"),
            format!("{pip} /build/home/more -r /tmp/wheel.txt --"),
            format!("{hook} build wheel flit_core.buildapi dist ''"),
        ]
    );
    assert_eq!(candidate.network, Network::Mirror);
    assert_eq!(
        candidate.as_of.map(Timestamp::unix_seconds),
        Some(COMMIT + 60)
    );
    assert_eq!(
        origin_of(&candidate, "flit-core==3.12.0"),
        Some(Origin::Registry)
    );
    assert_eq!(
        candidate.variables["PIP_INDEX_URL"].value,
        "http://mirror/pypi/simple/"
    );
}

#[test]
fn the_plan_is_what_strangers_were_given() {
    let facts = facts(WHEEL);
    let plan = Plan {
        schema: SCHEMA.to_owned(),
        source: PlanSource {
            uri: facts.release.source_uri.clone(),
            reference: "refs/tags/v1.0".to_owned(),
            commit: facts.release.commit,
            tree_sha256: Sha256::of(b"tree"),
            epoch: facts.release.commit_time,
        },
        candidate: facts.candidate(),
        inputs: vec![PlanInput {
            request: "pypi:index/flit-core".to_owned(),
            sha256: Sha256::of(b"index"),
            size_bytes: 5,
            origin: Origin::Registry,
        }],
    };
    let bytes = plan.to_bytes();
    assert_eq!(
        String::from_utf8_lossy(&bytes),
        include_str!("../../../golden/plan-pypi.json")
    );
    assert_eq!(Plan::from_bytes(&bytes).unwrap(), plan);
}

#[test]
fn a_tool_that_the_tree_does_not_ask_for_taints() {
    for (requires, tool, version, requirement) in [
        (&["flit_core<3"][..], "flit", "3.12.0", "flit-core==3.12.0"),
        (&["hatchling"], "flit", "3.12.0", "flit-core==3.12.0"),
        (
            &["flit_core @ https://h.example/f.whl"],
            "flit",
            "3.12.0",
            "flit-core==3.12.0",
        ),
        (&[], "bdist_wheel", "0.43.0", "wheel==0.43.0"),
    ] {
        let mut facts = facts(WHEEL);
        facts.evidence.project.system.requires = requires.iter().map(|&r| r.into()).collect();
        facts.says().generator = Some(Generator {
            tool: tool.into(),
            version: version.into(),
        });
        let candidate = facts.candidate();
        let origin = origin_of(&candidate, requirement);
        assert_eq!(origin, Some(Origin::Artifact), "{requires:?}");
    }
    // a range that only pip understands is left to pip, and setuptools asks for wheel itself
    for (requires, tool, version, requirement) in [
        ("flit_core <4.dev0", "flit", "3.12.0", "flit-core==3.12.0"),
        ("setuptools>=60", "bdist_wheel", "0.43.0", "wheel==0.43.0"),
        (
            "setuptools>=60",
            "setuptools",
            "80.9.0",
            "setuptools==80.9.0",
        ),
    ] {
        let mut facts = facts(WHEEL);
        facts.evidence.project.system.requires = vec![requires.into()];
        facts.says().generator = Some(Generator {
            tool: tool.into(),
            version: version.into(),
        });
        let candidate = facts.candidate();
        let origin = origin_of(&candidate, requirement);
        assert_eq!(origin, Some(Origin::Registry), "{requires}");
    }
}

#[test]
fn a_generator_that_is_unknown_or_odd_pins_nothing() {
    for (tool, version) in [
        ("magic", "1.0"),
        ("flit", "1.0; x"),
        ("flit", "-r /etc/passwd"),
        ("flit", ""),
    ] {
        let mut facts = facts(WHEEL);
        facts.says().generator = Some(Generator {
            tool: tool.into(),
            version: version.into(),
        });
        let candidate = facts.candidate();
        assert!(lines(&candidate)[0].ends_with("-- flit_core >=3.11,<4"));
        assert!(!origins(&candidate).contains(&Origin::Artifact));
    }
}

fn origins(candidate: &Candidate) -> Vec<Origin> {
    let values = candidate.steps.iter().flat_map(|step| &step.argv);
    values.map(|value| value.origin).collect()
}

#[test]
fn an_sdist_is_made_once_from_the_tree_and_a_wheel_from_the_sdist_too() {
    let mut facts = facts(SDIST);
    assert_eq!(facts.candidate().outputs[0].value, "dist/*.tar.gz");
    facts.tried(Verdict::Differs);
    assert_eq!(facts.next(), Next::Enough);

    let mut facts = self::facts(WHEEL);
    facts.tried(Verdict::Differs);
    let candidate = facts.candidate();
    let lines = lines(&candidate);
    assert!(
        lines[4].ends_with("build sdist flit_core.buildapi /tmp/sdist ''"),
        "{lines:?}"
    );
    assert!(
        lines[5].ends_with("build wheel flit_core.buildapi dist /tmp/sdist"),
        "{lines:?}"
    );
    assert_eq!(candidate.outputs[0].value, "dist/*.whl");
    facts.tried(Verdict::Differs);
    assert_eq!(facts.next(), Next::Enough);
    let mut facts = self::facts(WHEEL);
    facts.tried(Verdict::Reproduced);
    assert_eq!(facts.next(), Next::Enough);
}

/// An sdist does not say what made it, and the wheel of the same release does: one choice more among
/// released versions, tried first.
#[test]
fn an_sdist_is_made_by_the_version_that_its_wheel_names() {
    let mut facts = facts(SDIST);
    facts.siblings = vec![
        Evidence::Generic,
        Evidence::Pypi(self::facts(WHEEL).evidence),
    ];
    let candidate = facts.candidate();
    assert_eq!(
        origin_of(&candidate, "flit-core==3.12.0"),
        Some(Origin::Registry)
    );
    facts.tried(Verdict::Differs);
    let second = facts.candidate();
    assert_eq!(origin_of(&second, "flit-core==3.12.0"), None);
    facts.tried(Verdict::Differs);
    assert_eq!(facts.next(), Next::Enough);
}

#[test]
fn the_moment_is_unset_where_the_file_bears_a_backends_own() {
    let mut facts = facts(SDIST);
    facts.says().times = vec![1_580_601_600];
    let unset = facts.candidate();
    assert!(lines(&unset)[3].starts_with("env -u SOURCE_DATE_EPOCH python3 "));
    assert!(!origins(&unset).contains(&Origin::Artifact));
}

#[test]
fn sdists_of_backends_that_ask_the_clock_are_settled_and_no_others() {
    let settles = |facts: &Facts| {
        let candidate = facts.candidate();
        let mut values = candidate.steps.iter().flat_map(|step| &step.argv);
        values.any(|value| value.value.contains("gettarinfo"))
    };
    let mut facts = facts(SDIST);
    assert!(!settles(&facts));
    for backend in [
        "setuptools.build_meta",
        "setuptools.build_meta:__legacy__",
        "pdm.backend",
        "pdm.pep517.api",
        "of_the_tree",
    ] {
        facts.evidence.project.system.backend = backend.into();
        assert!(settles(&facts), "{backend}");
    }
    facts.published.file_name = WHEEL.into();
    assert!(!settles(&facts));
}

#[test]
fn an_older_pythons_device_numbers_are_written_where_the_sdist_has_them() {
    let written = |facts: &Facts| {
        let candidate = facts.candidate();
        let mut values = candidate.steps.iter().flat_map(|step| &step.argv);
        values.any(|value| value.value.contains("_create_header"))
    };
    let mut facts = facts(SDIST);
    assert!(!written(&facts));
    facts.says().device_numbers = true;
    assert!(written(&facts));
    assert!(!origins(&facts.candidate()).contains(&Origin::Artifact));
    facts.published.file_name = WHEEL.into();
    assert!(!written(&facts));
}

#[test]
fn flits_own_command_packs_where_files_with_a_dot_came_along() {
    let mut facts = facts(SDIST);
    let is_command = |candidate: &Candidate| {
        let last = candidate.steps.last().expect("steps");
        last.argv
            .iter()
            .any(|value| value.value.contains("from flit import main"))
    };
    assert!(!is_command(&facts.candidate()));
    facts.says().has_dot_files = true;
    let candidate = facts.candidate();
    assert!(is_command(&candidate));
    assert_eq!(candidate.source_form, SourceForm::Git);
    assert!(
        lines(&candidate)[0].ends_with(" flit"),
        "{:?}",
        lines(&candidate)
    );
    assert!(!origins(&candidate).contains(&Origin::Artifact));
    // the backend comes next, and others have no such command
    facts.tried(Verdict::Differs);
    assert!(!is_command(&facts.candidate()));
    facts.attempts.clear();
    facts.evidence.project.system.backend = "hatchling.build".into();
    assert!(!is_command(&facts.candidate()));
}

#[test]
fn the_tag_says_the_version_to_tools_that_ask_git() {
    let mut facts = facts(WHEEL);
    let variable = "SETUPTOOLS_SCM_PRETEND_VERSION";
    assert!(!facts.candidate().variables.contains_key(variable));
    for (requires, variable) in [
        ("hatch-vcs>=0.4", variable),
        ("flit_scm", variable),
        ("uv-dynamic-versioning", "UV_DYNAMIC_VERSIONING_BYPASS"),
    ] {
        facts.evidence.project.system.requires = vec!["hatchling".into(), requires.into()];
        let candidate = facts.candidate();
        assert_eq!(candidate.variables[variable], ours("1.0"), "{requires}");
    }
}

/// A plain tree cannot say which of its files git knows.
#[test]
fn an_sdist_whose_list_of_files_is_gits_is_made_with_git() {
    let scm = vec!["setuptools>=70".into(), "setuptools_scm[toml]>=8".into()];
    for (file, requires, by_git) in [
        (SDIST, scm.clone(), true),
        (WHEEL, scm, false),
        (SDIST, vec!["setuptools".into()], false),
    ] {
        let mut facts = facts(file);
        facts.evidence.project.system.requires = requires;
        let candidate = facts.candidate();
        assert_eq!(candidate.source_form == SourceForm::Git, by_git, "{file}");
        assert_eq!(
            lines(&candidate)[0].contains("git hash-object"),
            by_git,
            "{file}"
        );
        let tools = candidate.environment.tools();
        assert_eq!(
            tools.iter().any(|tool| tool.name == "git"),
            by_git,
            "{file}"
        );
        assert_eq!(candidate.incomplete, None);
    }
}

#[test]
fn files_have_the_modes_of_the_publishers_umask() {
    for (umask, modes) in [
        (0o002, "u=rwX,g=rwX,o=rX"),
        (0o000, "u=rwX,g=rwX,o=rwX"),
        (0o027, "u=rwX,g=rX,o="),
        (0o077, "u=rwX,g=,o="),
    ] {
        let mut facts = facts(SDIST);
        facts.says().umask = Some(umask);
        let candidate = facts.candidate();
        assert_eq!(lines(&candidate)[0], format!("chmod -R {modes} ."));
        let set = candidate.settings.umask.as_ref().map(|umask| umask.value);
        assert_eq!(set, Some(umask));
        assert!(!origins(&candidate).contains(&Origin::Artifact));
    }
}

#[test]
fn a_wheel_with_compiled_code_is_made_by_the_compiler_of_its_platform() {
    let mut facts = facts("a_b-1.0-cp311-cp311-linux_x86_64.whl");
    assert!(facts.cannot(Reason::ToolchainUnavailable).contains("cc"));
    facts.capabilities.tools.push(FoundTool {
        name: "cc".into(),
        version: "12.2.0".into(),
    });
    let candidate = facts.candidate();
    assert_eq!(
        (candidate.incomplete, candidate.settings.any_path),
        (None, false)
    );
    facts.published.file_name = "a_b-1.0-cp311-cp311-manylinux2014_x86_64.whl".into();
    let candidate = facts.candidate();
    assert_eq!(candidate.incomplete, Some(Reason::ToolchainUnavailable));
    facts.published.file_name = "a_b-1.0-cp312-cp312-linux_x86_64.whl".into();
    assert!(facts.cannot(Reason::ToolchainUnavailable).contains("cp312"));
}

#[test]
fn what_is_not_rebuilt_says_so() {
    let detail = facts("a_b-1.0.zip").cannot(Reason::NoRecipe);
    assert!(detail.contains("rebuilt"), "{detail}");
    let mut facts = facts(WHEEL);
    facts.capabilities.tools.retain(|tool| tool.name != "pip");
    let detail = facts.cannot(Reason::ToolchainUnavailable);
    assert!(detail.contains("python3-pip"), "{detail}");
}

#[test]
fn who_says_another_name_or_version_contradicts() {
    let changes: [fn(&mut Facts); 5] = [
        |f| f.evidence.project.name = Some("other".into()),
        |f| f.evidence.project.version = Some("1.1".into()),
        |f| f.says().name = Some("other".into()),
        |f| f.says().version = Some("1.1".into()),
        |f| f.published.purl = Some("pkg:pypi/a-b@1.1".into()),
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut facts = facts(WHEEL);
        change(&mut facts);
        let detail = facts.cannot(Reason::EvidenceContradicts);
        assert!(detail.contains("says"), "{index}: {detail}");
    }
    // who says nothing contradicts nobody
    let mut facts = facts(WHEEL);
    facts.evidence.project.name = None;
    facts.evidence.project.version = None;
    facts.evidence.published = PublishedFile::NotGiven;
    let _ = facts.candidate();
}

#[test]
fn times_and_owners_are_copied_last_and_where_nothing_else_is_lacking() {
    let recorded = Recorded {
        packed: Some(7),
        members: vec![recorded::RecordedMember {
            name: "a_b-1.0/a.py".into(),
            time: recorded::Time::Tar("1700000000.5".into()),
            owner: None,
        }],
    };
    for file in [WHEEL, "a_b-1.0.tar.gz"] {
        for (verdicts, copied) in [
            (&[Verdict::Equivalent, Verdict::Equivalent][..], true),
            (&[Verdict::Differs, Verdict::Indeterminate], true),
            (&[Verdict::BuildFailed, Verdict::Equivalent], true),
            (&[Verdict::Differs, Verdict::Differs], false),
            (&[Verdict::Equivalent, Verdict::Reproduced], false),
            (&[Verdict::Unstable, Verdict::BuildFailed], false),
        ] {
            let mut facts = facts(file);
            let generator = Generator {
                tool: "flit".into(),
                version: "3.12.0".into(),
            };
            facts.says().generator = Some(generator);
            for verdict in verdicts {
                facts.tried(*verdict);
            }
            assert_eq!(facts.next(), Next::Enough, "nothing is recorded");
            facts.says().recorded = Some(recorded.clone());
            if !copied {
                assert_eq!(facts.next(), Next::Enough, "{file} {verdicts:?}");
                continue;
            }
            let candidate = facts.candidate();
            let line = "[null,\"7\"]\n[\"a_b-1.0/a.py\",\"1700000000.5\"]";
            assert_eq!(origin_of(&candidate, line), Some(Origin::Artifact));
            assert_eq!(candidate.assists, recorded.assists());
            let (last, before) = candidate.steps.split_last().expect("steps");
            let code = |step: &crate::plan::Step| {
                step.argv
                    .iter()
                    .any(|a| a.value.contains("/tmp/recorded\""))
            };
            assert!(code(last) && !before.iter().any(code));
            // once
            facts.tried(Verdict::Indeterminate);
            assert_eq!(facts.next(), Next::Enough, "{file} {verdicts:?}");
        }
    }
}

mod epoch;
