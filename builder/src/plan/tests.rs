//! What a plan of a stranger may say, and the bytes of ours.

use std::collections::BTreeMap;

use super::*;

fn plan() -> Plan {
    let value = |text: &str| Valued::new(text.to_owned(), Origin::Operator);
    let input = |request: &str| PlanInput {
        request: request.to_owned(),
        sha256: Sha256::of(request.as_bytes()),
        size_bytes: 7,
        origin: Origin::Registry,
    };
    Plan {
        schema: SCHEMA.into(),
        source: PlanSource {
            uri: "git+https://example.org/b".into(),
            reference: "refs/tags/v1.0.0".into(),
            commit: GitOid::from_bytes([1; 20]),
            tree_sha256: Sha256::of(b"tree"),
            epoch: Timestamp::EPOCH,
        },
        candidate: Candidate {
            recipe: "generic".into(),
            environment: EnvironmentSpec::Host { tools: Vec::new() },
            source_form: SourceForm::Tree,
            subdir: String::new(),
            steps: vec![Step {
                argv: vec![value("make")],
            }],
            variables: BTreeMap::new(),
            outputs: vec![value("out")],
            limits: Limits::default(),
            network: Network::Mirror,
            as_of: Some(Timestamp::EPOCH),
            own_releases: false,
            incomplete: None,
            missing: None,
            assists: Vec::new(),
            encoding: None,
            settings: Settings::default(),
        },
        inputs: vec![input("cargo:config"), input("cargo:index/dep")],
    }
}

fn refused(change: impl FnOnce(&mut Plan)) -> String {
    let mut plan = plan();
    change(&mut plan);
    Plan::from_bytes(&plan.to_bytes()).unwrap_err().to_string()
}

#[test]
fn a_plan_with_a_mirror_is_what_strangers_were_given() {
    let bytes = plan().to_bytes();
    let golden = include_str!("../../golden/plan-mirror.json");
    assert_eq!(String::from_utf8_lossy(&bytes), golden);
    assert_eq!(Plan::from_bytes(&bytes).unwrap(), plan());
}

/// What was copied may be no value of a step, as another commit than the tag's is.
#[test]
fn whatever_was_copied_taints() {
    let mut copied = plan();
    let inputs = copied.inputs.iter_mut();
    inputs.for_each(|input| input.origin = Origin::Registry);
    assert!(!copied.origins().contains(&Origin::Artifact));
    copied.candidate.assists.push(Assist {
        kind: AssistKind::Commit,
        sha256: Sha256::of(b"a commit"),
    });
    assert!(copied.origins().contains(&Origin::Artifact));
}

#[test]
fn moment_inputs_and_network_go_together() {
    assert!(refused(|p| p.candidate.as_of = None).contains("no moment"));
    assert!(refused(|p| p.candidate.network = Network::None).contains("no mirror"));
    let no_network = |p: &mut Plan| {
        (p.candidate.network, p.candidate.as_of) = (Network::None, None);
    };
    assert!(refused(no_network).contains("no network"));
    assert!(refused(|p| p.inputs.swap(0, 1)).contains("out of order"));
    let twice = |p: &mut Plan| p.inputs.insert(0, p.inputs[0].clone());
    assert!(refused(twice).contains("out of order"));
}

#[test]
fn packages_have_file_names() {
    let sha256 = Sha256::of(b"x");
    for (name, version) in [("libb+1", "1:2.0~rc-1+b2"), ("a", "1")] {
        let file = format!("{name}_{}_all.deb", version.replace(':', "%3a"));
        let package = RootPackage::of_file(&file, sha256).unwrap();
        assert_eq!((&*package.name, &*package.version), (name, version));
        assert_eq!(package.file_name(), file);
    }
    for bad in [
        "",
        "a.deb",
        "a_1.deb",
        "a_1_all_x.deb",
        "-a_1_all.deb",
        "a,b_1_all.deb",
        "a_1/../_all.deb",
    ] {
        assert_eq!(RootPackage::of_file(bad, sha256), None, "{bad}");
    }
}
