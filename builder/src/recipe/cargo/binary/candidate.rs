//! From one way to build to a candidate: the wrapper that remaps paths, cargo's own command, and what
//! packs an archive.

use std::collections::BTreeMap;

use countersign_attest::digest::Sha256;
use countersign_attest::origin::{AssistKind, Origin};
use countersign_attest::verdict::Reason;

use super::super::{RECIPE, ours, package_index, step};
use super::{Archive, Bin, BinaryEvidence, Paths, PublishedBinary, Rung, What};
use crate::environment::FoundTool;
use crate::plan::{
    Assist, Candidate, EnvironmentSpec, Network, Settings, SourceForm, Step, ToolVersion, Valued,
};
use crate::recipe::Situation;

/// Where the wrapper is put, and the texts that it reads.
const WRAPPER: &str = "/tmp/rustc";
/// Makes the wrapper. Paths are arguments, kept in files; they are never part of a script.
const MAKE_WRAPPER: &str = r#"printf %s "$1" > "$0-registry"; printf %s "$2" > "$0-checkout"
cat > "$0" <<'END'
#!/bin/sh
registry=$(cat "$0-registry") checkout=$(cat "$0-checkout")
if [ -n "$registry" ]; then
  for folder in "$CARGO_HOME"/registry/src/*; do set -- "$@" "--remap-path-prefix=$folder=$registry"; done
fi
if [ -n "$checkout" ]; then set -- "$@" "--remap-path-prefix=/build/source=$checkout"; fi
exec "$@"
END
chmod 755 "$0""#;
/// Where outputs are put, in the target folder.
const RESULTS: &str = "target/countersign";
const PACK: &str = include_str!("pack.py");

/// The candidate of one way.
pub(super) fn of(
    situation: &Situation<'_>,
    evidence: &BinaryEvidence,
    bin: &Bin,
    rung: Rung<'_>,
    tools: &[&FoundTool],
    missing: Option<String>,
) -> Candidate {
    let network = if evidence.dependencies {
        Network::Mirror
    } else {
        Network::None
    };
    let folder = match rung.target {
        Some(target) => format!("target/{target}/release"),
        None => "target/release".to_owned(),
    };
    let mut steps = Vec::new();
    let mut assists = Vec::new();
    let wrapper = wrapper(situation, evidence, &mut assists);
    let wrapped = wrapper.is_some();
    steps.extend(wrapper);
    steps.push(build(rung, network));
    let stripped = evidence
        .programs()
        .iter()
        .any(|program| program.executable.stripped);
    let mut strip = |name: &str| {
        if stripped && !evidence.strips {
            steps.push(step(&["strip", &format!("{folder}/{name}")]));
        }
    };
    let output = format!("{RESULTS}/{}", situation.published.file_name);
    let mut unknown = 0;
    let mut python = None;
    match &evidence.published {
        PublishedBinary::Archive(archive) => {
            for member in &archive.members {
                if let What::Program(name) = &member.what {
                    strip(name);
                }
            }
            unknown = archive
                .members
                .iter()
                .filter(|m| m.what == What::Unknown)
                .count();
            steps.push(pack(
                situation,
                archive,
                &folder,
                &evidence.root,
                &output,
                &mut assists,
            ));
            python = situation.capabilities.tool("python3");
        }
        PublishedBinary::Executable(_)
        | PublishedBinary::NotGiven
        | PublishedBinary::Unreadable { .. } => {
            strip(&bin.name);
            steps.push(step(&[
                "install",
                "-D",
                "-m",
                "755",
                &format!("{folder}/{}", bin.name),
                &output,
            ]));
        }
    }
    let pinned = tools.iter().copied().chain(python).map(|tool| ToolVersion {
        name: tool.name.clone(),
        version: tool.version.clone(),
        origin: Origin::Operator,
    });
    let incomplete = if situation.source_incomplete {
        Some(Reason::SourceIncomplete)
    } else if missing.is_some() {
        Some(Reason::ToolchainUnavailable)
    } else {
        (unknown > 0).then_some(Reason::BuildStepUnsupported)
    };
    let members = (unknown > 0).then(|| {
        format!("{unknown} members of the archive are neither programs nor files of the tree")
    });
    let missing: Vec<String> = missing.into_iter().chain(members).collect();
    Candidate {
        recipe: RECIPE.name.to_owned(),
        environment: EnvironmentSpec::Host {
            tools: pinned.collect(),
        },
        source_form: SourceForm::Git,
        subdir: evidence.root.clone(),
        steps,
        variables: variables(wrapped),
        outputs: vec![ours(&output)],
        limits: situation.hints.limits,
        network,
        as_of: match network {
            Network::None => None,
            Network::Mirror => Some(situation.release.commit_time),
        },
        own_releases: false,
        incomplete,
        missing: (!missing.is_empty()).then(|| missing.join("; ")),
        assists,
        encoding: None,
        settings: Settings::default(),
    }
}

/// The step that makes the wrapper, where the executable shows any path.
fn wrapper(
    situation: &Situation<'_>,
    evidence: &BinaryEvidence,
    assists: &mut Vec<Assist>,
) -> Option<Step> {
    let paths = &evidence.programs().first()?.paths;
    let none = || Valued::new(String::new(), Origin::Source);
    let registry = paths
        .registry
        .as_ref()
        .map(|path| Valued::new(path.clone(), Paths::registry_origin(path)));
    let uri = &situation.release.source_uri;
    let checkout = paths.checkout.as_ref();
    let checkout =
        checkout.map(|path| Valued::new(path.clone(), Paths::checkout_origin(path, uri)));
    if registry.is_none() && checkout.is_none() {
        return None;
    }
    for path in [&registry, &checkout].into_iter().flatten() {
        copied(path, assists);
    }
    let mut argv = ["sh", "-c", MAKE_WRAPPER, WRAPPER].map(ours).to_vec();
    argv.extend([registry.unwrap_or_else(none), checkout.unwrap_or_else(none)]);
    Some(Step { argv })
}

/// Says what was copied, where it was.
fn copied(value: &Valued<String>, assists: &mut Vec<Assist>) {
    if value.origin == Origin::Artifact {
        assists.push(Assist {
            kind: AssistKind::Metadata,
            sha256: Sha256::of(value.value.as_bytes()),
        });
    }
}

fn build(rung: Rung<'_>, network: Network) -> Step {
    let mut argv = vec!["cargo", "build", "--release", "--locked"];
    argv.extend(
        rung.target
            .map(|target| ["--target", target])
            .into_iter()
            .flatten(),
    );
    argv.extend(
        rung.package
            .map(|package| ["--package", package])
            .into_iter()
            .flatten(),
    );
    let index = package_index(network);
    argv.extend(index.iter().map(String::as_str));
    step(&argv)
}

fn pack(
    situation: &Situation<'_>,
    archive: &Archive,
    folder: &str,
    root: &str,
    output: &str,
    assists: &mut Vec<Assist>,
) -> Step {
    let seconds = situation.release.commit_time.unix_seconds().to_string();
    let umask = format!("{:o}", archive.umask);
    let mut argv = ["python3", "-I", "-c", PACK, output, &seconds, &umask]
        .map(ours)
        .to_vec();
    let above = "../".repeat(root.split('/').filter(|part| !part.is_empty()).count());
    for member in &archive.members {
        let path = match &member.what {
            What::Folder => String::new(),
            What::Program(name) => format!("{folder}/{name}"),
            What::File(path) => format!("{above}{path}"),
            What::Unknown => continue,
        };
        let origin = if member.by_rule {
            Origin::Source
        } else {
            Origin::Artifact
        };
        let name = Valued::new(member.name.clone(), origin);
        copied(&name, assists);
        argv.extend([name, ours(&path)]);
    }
    Step { argv }
}

fn variables(wrapped: bool) -> BTreeMap<String, Valued<String>> {
    let mut variables = vec![
        ("CARGO_HOME", "/tmp/cargo"),
        ("CARGO_INCREMENTAL", "0"),
        ("CARGO_NET_RETRY", "0"),
        ("CARGO_TARGET_DIR", "target"),
    ];
    variables.extend(wrapped.then_some(("RUSTC_WRAPPER", WRAPPER)));
    variables
        .into_iter()
        .map(|(name, value)| (name.to_owned(), ours(value)))
        .collect()
}
