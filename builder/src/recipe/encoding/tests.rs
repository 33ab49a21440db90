//! What is tried after which attempts, what never is, and what is said about it.

use countersign_attest::digest::{Hasher, Sha256};
use countersign_attest::time::Timestamp;

use super::super::tests::{Facts, attempt, npm, plan};
use super::*;
use crate::environment::FoundTool;
use crate::outcome::{
    Ended, Enforcement, EnvironmentFound, IdMode, LogRecord, Misses, Outcome, OutputFile,
};
use crate::plan::Limits;

const EXACT: &str = "published";

fn gzip(time: u32, extra_flags: u8, system: u8, name: Option<&str>) -> Encoding {
    Encoding::Gzip {
        time,
        extra_flags,
        system,
        name: name.map(str::to_owned),
    }
}

/// What a build made: paths, each with the content that its digest is of.
fn outcome(outputs: &[(&str, &str)]) -> Outcome {
    let output = |(path, content): &(&str, &str)| {
        let mut hasher = Hasher::new();
        hasher.update(content.as_bytes());
        OutputFile {
            path: (*path).to_owned(),
            digests: hasher.finish(),
        }
    };
    Outcome {
        misses: Misses::default(),
        plan: Sha256::of(b"plan"),
        started_on: Timestamp::EPOCH,
        finished_on: Timestamp::EPOCH,
        duration_ms: 0,
        ended: Ended::Completed,
        log: LogRecord {
            sha256: Sha256::of(b""),
            size_bytes: 0,
            dropped_bytes: 0,
        },
        outputs: outputs.iter().map(output).collect(),
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

/// An npm package whose first attempt came to this, on a machine with both encoders.
fn after(verdict: Verdict, encoding: Option<Encoding>) -> Facts {
    let mut facts = npm(|_| {});
    for (name, version) in [
        ("node-zlib", "1.3.1-e00f703"),
        ("python3", "3.11.2"),
        ("python3-zlib", "1.2.13"),
    ] {
        facts.capabilities.tools.push(FoundTool {
            name: name.into(),
            version: version.into(),
        });
    }
    facts.published.sha256 = Sha256::of(EXACT.as_bytes());
    facts.published.size_bytes = Some(5000);
    facts.published.file_name = "a-b-1.0.0.tgz".into();
    tried(&mut facts, verdict, encoding, &[("a-b-1.0.0.tgz", "ours")]);
    facts
}

fn tried(
    facts: &mut Facts,
    verdict: Verdict,
    encoding: Option<Encoding>,
    outputs: &[(&str, &str)],
) {
    let proposal = facts.proposal("npm");
    facts.attempts.push(Attempt {
        outcomes: vec![outcome(outputs)],
        encoding,
        ..attempt(proposal, verdict)
    });
}

fn plain() -> Option<Encoding> {
    Some(gzip(0, 2, 255, None))
}

fn step(candidate: &Candidate) -> &EncodingStep {
    candidate.encoding.as_ref().expect("a second step")
}

#[test]
fn only_an_attempt_that_lacks_the_encoding_alone_calls_for_it() {
    for (verdict, encoding) in [
        (Verdict::Equivalent, None),
        (Verdict::Differs, plain()),
        (Verdict::Unstable, plain()),
        (Verdict::Indeterminate, None), // prebuilt, for instance
        (Verdict::Reproduced, plain()),
        (Verdict::Assisted, plain()),
    ] {
        let facts = after(verdict, encoding);
        assert_eq!(facts.next("npm"), Next::Enough, "{verdict}");
    }
    assert_eq!(trials(&after(Verdict::Equivalent, None).situation()), []);
    // another attempt had the bytes as they are
    let mut had = after(Verdict::Equivalent, plain());
    had.attempts.push(had.attempts[0].clone());
    had.attempts[1].verdict = Verdict::Reproduced;
    assert_eq!(trials(&had.situation()), []);
    // the same content, with something copied that only a verdict on the same bytes can name
    let copied = after(Verdict::Indeterminate, plain());
    assert_eq!(step(&copied.candidate("npm")).variants.len(), 18);
}

#[test]
fn all_variants_first_and_then_the_one_that_has_the_bytes() {
    let mut facts = after(Verdict::Equivalent, plain());
    let search = facts.candidate("npm");
    assert_eq!(step(&search).variants.len(), 18);
    assert_eq!(search.steps.len(), 3);
    assert_eq!(search.outputs.len(), 19);
    let made = [
        ("a-b-1.0.0.tgz", "ours"),
        (".countersign-encodings/node-9", "ours"),
        (".countersign-encodings/python3-6", "another"),
        (".countersign-encodings/python3-9", EXACT),
    ];
    tried(&mut facts, Verdict::Equivalent, plain(), &made);
    let found = facts.candidate("npm");
    let variants = [Variant {
        encoder: Encoder::Python3,
        level: 9,
    }];
    assert_eq!(step(&found).variants, variants);
    assert_eq!(found.outputs, facts.attempts[0].candidate.outputs);
    assert_eq!(found.steps[..1], facts.attempts[0].candidate.steps);
    let added = (&found.environment, &found.steps[1..], &found.encoding);
    let added = serde_json::to_string_pretty(&added).expect("JSON") + "\n";
    let golden = include_str!("../../../golden/encoding-step.json");
    assert_eq!(added, golden);
    assert!(
        !plan(found).contains("\"artifact\""),
        "selected, never copied"
    );
    tried(&mut facts, Verdict::Reproduced, None, &made);
    assert_eq!(facts.next("npm"), Next::Enough);
    let trials = trials(&facts.situation());
    let said: Vec<_> = trials.iter().map(|t| (&*t.encoder, &t.result)).collect();
    assert_eq!(said[0].0, "python3-zlib 1.2.13");
    assert_eq!(*said[0].1, TrialResult::SameBytes { level: 9 });
    assert_eq!(
        said[1],
        ("node-zlib 1.3.1-e00f703", &TrialResult::OtherBytes)
    );
    assert!(matches!(said[2], ("zlib-ng", TrialResult::NotTried { .. })));
    assert!(matches!(said[3], ("zlib-rs", TrialResult::NotTried { .. })));
}

#[test]
fn what_was_copied_before_is_said_behind_the_second_step_too() {
    let mut facts = after(Verdict::Equivalent, plain());
    let time = Valued::new("1700000000".to_owned(), Origin::Artifact);
    facts.attempts[0].candidate.steps[0].argv.push(time);
    let search = facts.candidate("npm");
    assert_eq!(step(&search).variants.len(), 18);
    assert!(plan(search).contains("\"artifact\""));
}

#[test]
fn a_search_without_the_bytes_ends_it() {
    let mut facts = after(Verdict::Equivalent, plain());
    let made = [("a-b-1.0.0.tgz", "ours"), ("elsewhere", EXACT)];
    tried(&mut facts, Verdict::Equivalent, plain(), &made);
    assert_eq!(facts.next("npm"), Next::Enough);
    facts.attempts.pop();
    tried(&mut facts, Verdict::BuildFailed, None, &[]);
    assert_eq!(facts.next("npm"), Next::Enough);
    let failed = |trial: &Trial| trial.result == TrialResult::Failed;
    assert_eq!(
        trials(&facts.situation())
            .iter()
            .filter(|t| failed(t))
            .count(),
        2
    );
}

#[test]
fn header_fields_are_selected_from_lists_and_never_copied() {
    let name = Some("a-b-1.0.0.tgz");
    for (encoding, is_tried) in [
        (gzip(0, 2, 255, None), true),
        (gzip(0, 0, 3, name), true),
        (gzip(0, 4, 19, Some("a-b-1.0.0.tar")), true),
        (gzip(1_580_601_600, 2, 3, None), true),
        (gzip(1_700_000_000, 2, 3, None), true), // the commit's time
        (gzip(1_700_000_001, 2, 3, None), false),
        (gzip(0, 1, 3, None), false),
        (gzip(0, 2, 4, None), false),
        (gzip(0, 2, 3, Some("b-1.0.0.tgz")), false),
        (gzip(0, 2, 3, Some("dist/a-b-1.0.0.tgz")), false),
        (gzip(0, 2, 3, Some("")), false),
    ] {
        let mut facts = after(Verdict::Equivalent, Some(encoding.clone()));
        facts.release.commit_time = Timestamp::from_unix_seconds(1_700_000_000).expect("a time");
        let next = facts.next("npm");
        assert_eq!(matches!(next, Next::Try(_)), is_tried, "{encoding:?}");
        let said = &trials(&facts.situation())[0].result;
        assert!(matches!(said, TrialResult::NotTried { why } if why.contains("list") || is_tried));
    }
}

#[test]
fn what_is_not_here_is_not_tried_and_said() {
    let mut facts = after(Verdict::Equivalent, plain());
    facts
        .capabilities
        .tools
        .retain(|t| t.name != "python3-zlib");
    let search = facts.candidate("npm");
    let variants = &step(&search).variants;
    assert!(variants.iter().all(|v| v.encoder == Encoder::Node) && variants.len() == 9);
    let names: Vec<&str> = search
        .environment
        .tools()
        .iter()
        .map(|tool| &*tool.name)
        .collect();
    assert_eq!(names, ["node", "npm", "node-zlib"]);
    let said = &trials(&facts.situation())[0];
    let TrialResult::NotTried { why } = &said.result else {
        panic!("{said:?}");
    };
    assert!(why.contains("python3-zlib"), "{why}");

    facts.capabilities.tools.retain(|t| t.name != "node-zlib");
    assert_eq!(facts.next("npm"), Next::Enough);
    let not_tried = |t: &Trial| matches!(t.result, TrialResult::NotTried { .. });
    assert!(trials(&facts.situation()).iter().all(not_tried));
    // nobody asks node to write a zip
    let zip = after(Verdict::Equivalent, Some(Encoding::Zip));
    let variants = step(&zip.candidate("npm")).variants.clone();
    assert!(variants.iter().all(|v| v.encoder == Encoder::Python3) && variants.len() == 9);
}

#[test]
fn of_a_large_file_the_usual_levels_are_tried() {
    let mut facts = after(Verdict::Equivalent, plain());
    for (size, count) in [(40 << 20, 18), (100 << 20, 4)] {
        facts.published.size_bytes = Some(size);
        assert_eq!(step(&facts.candidate("npm")).variants.len(), count);
    }
}

#[test]
fn a_plan_of_two_variants_for_one_file_names_both_places() {
    let mut facts = after(Verdict::Equivalent, plain());
    facts.published.file_name = "another-name.tgz".into();
    let search = facts.candidate("npm");
    assert_eq!(step(&search).output, "a-b-1.0.0.tgz", "the only output");
    facts.attempts[0].outcomes = vec![outcome(&[("x", "1"), ("y", "2")])];
    assert_eq!(
        facts.next("npm"),
        Next::Enough,
        "none of them stands for it"
    );
}
