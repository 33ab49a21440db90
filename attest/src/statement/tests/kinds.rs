//! The bytes of each kind of statement are golden, and read back as what they say.

use super::*;

#[test]
fn the_bytes_of_each_kind_are_golden_and_read_back() {
    for verdict in Verdict::ALL {
        let facts = facts(verdict);
        let bytes = composed(&facts);
        golden(&format!("statements/{verdict}.json"), &bytes);
        golden(
            &format!("facts/{verdict}.json"),
            &serde_json::to_vec(&facts).unwrap(),
        );
        let Statement::Verdict(read) = parse(&bytes).unwrap() else {
            panic!("{verdict} read as something else");
        };
        assert_eq!(read.predicate.verdict, verdict);
        assert_eq!(read.subject.digest.sha256, facts.published.sha256);
        let again: Facts = serde_json::from_slice(&serde_json::to_vec(&facts).unwrap()).unwrap();
        assert_eq!(composed(&again), bytes);
    }
}

/// Every field that may be left out stands in one.
#[test]
fn a_statement_with_every_field_is_golden() {
    let mut facts = facts(Verdict::Differs);
    facts.source.signature = SignatureState::Valid;
    facts.source.signed = Some(Signed {
        format: SignatureFormat::Ssh,
        key_fingerprint: Some("SHA256:abc".into()),
    });
    facts.source.moved_from = Some(GitOid::from_bytes([0x44; 20]));
    let comparison = facts.comparison.as_mut().unwrap();
    comparison.causes = vec!["not-in-source: package/index.js".into()];
    comparison.unlisted_members = 2;
    let build = facts.build.as_mut().unwrap();
    build.root = Some(Sha256::of(b"root"));
    build.worker = Some("worker-1".into());
    let bytes = composed(&facts);
    golden("statements/complete.json", &bytes);
    assert!(matches!(parse(&bytes), Ok(Statement::Verdict(_))));
}

#[test]
fn a_withdrawal_names_the_verdict_that_it_takes_back() {
    for verdict in Verdict::ALL {
        let mut facts = facts(verdict);
        let statement = Sha256::of(&crate::dsse::pae(
            crate::dsse::PAYLOAD_TYPE,
            &composed(&facts),
        ));
        let withdrawal = Withdrawal {
            statement,
            withdrawn_on: facts.decided_on.plus_seconds(60),
            reason: WithdrawalReason::RebuilderFault,
            note: Some("the tool was another one than the plan says".into()),
        };
        facts.withdrawal = Some(withdrawal.clone());
        // neither a verdict with one, nor one without
        let wrong = compose(&facts, Custody::Operator);
        assert!(matches!(wrong, Err(Contradiction::Withdrawal(_))));
        facts.kind = Kind::Withdrawn;
        let bytes = composed(&facts);
        if verdict == Verdict::Reproduced {
            golden("statements/withdrawn.json", &bytes);
        }
        let Statement::Withdrawn(read) = parse(&bytes).unwrap() else {
            panic!("{verdict} read as something else");
        };
        assert_eq!(read.predicate.withdraws.statement, statement);
        assert_eq!(read.predicate.withdraws.verdict, verdict);
        assert_eq!(read.subject.digest.sha256, facts.published.sha256);

        facts.withdrawal = None;
        assert!(compose(&facts, Custody::Operator).is_err());
        for (note, seconds) in [(Some("a\u{7}b"), 60), (Some(""), 60), (None, -1)] {
            facts.withdrawal = Some(Withdrawal {
                note: note.map(str::to_owned),
                withdrawn_on: facts.decided_on.plus_seconds(seconds),
                ..withdrawal.clone()
            });
            assert!(compose(&facts, Custody::Operator).is_err(), "{note:?}");
        }
        // a reader refuses what the signer would not have signed
        let text = String::from_utf8(bytes).unwrap();
        for (from, to) in [
            ("withdrawn/v1", "reproduced/v1"),
            ("\"fileName\":\"lib", "\"fileName\":\"fib"),
            ("\"reason\":\"rebuilder-fault\"", "\"reason\":\"whim\""),
            ("\"withdrawnOn\":\"2023", "\"withdrawnOn\":\"2022"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            assert!(parse(changed.as_bytes()).is_err(), "{from}");
        }
    }
}

#[test]
fn provenance_is_for_bytes_we_vouch_for_and_a_build_record_for_the_rest() {
    for (verdict, due) in [
        (Verdict::Reproduced, Some(Kind::Provenance)),
        (Verdict::Assisted, Some(Kind::BuildRecord)),
        (Verdict::Equivalent, Some(Kind::Provenance)),
        (Verdict::Differs, Some(Kind::Provenance)),
        (Verdict::Unstable, Some(Kind::Provenance)),
        (Verdict::BuildFailed, None),
        (Verdict::Indeterminate, None),
    ] {
        let mut facts = facts(verdict);
        assert_eq!(companion(&facts), due, "{verdict}");
        for kind in [Kind::Provenance, Kind::BuildRecord] {
            facts.kind = kind;
            match compose(&facts, Custody::Operator) {
                Ok(bytes) => {
                    assert_eq!(due, Some(kind), "{verdict}");
                    let word = if kind == Kind::Provenance {
                        "provenance"
                    } else {
                        "build-record"
                    };
                    golden(&format!("statements/{verdict}.{word}.json"), &bytes);
                    let Statement::Build(read) = parse(&bytes).unwrap() else {
                        panic!("{verdict} read as a verdict");
                    };
                    assert_eq!(read.is_provenance, kind == Kind::Provenance);
                }
                Err(error) => {
                    assert_ne!(due, Some(kind), "{verdict}: {error}");
                    let expected = match due {
                        None => matches!(error, Contradiction::NothingBuilt),
                        Some(Kind::Provenance) => matches!(error, Contradiction::ProvenanceDue),
                        Some(_) => matches!(error, Contradiction::ProvenanceOfUnvouched(_)),
                    };
                    assert!(expected, "{verdict}: {error}");
                }
            }
        }
    }
    // what we built differs from the artifact and equals another published file of the release
    let mut other = facts(Verdict::Differs);
    other.known_published.push(Sha256::of(OTHER));
    assert_eq!(companion(&other), Some(Kind::BuildRecord));
}

/// Facts of a build that was served three responses.
pub(super) fn with_inputs(verdict: Verdict) -> Facts {
    let mut facts = facts(verdict);
    let build = facts.build.as_mut().unwrap();
    build.network = Network::Replay;
    build.inputs = ["cargo:config", "cargo:file/dep/1.0.0", "cargo:index/dep"]
        .map(|request| Input {
            request: request.into(),
            sha256: Sha256::of(request.as_bytes()),
            size_bytes: request.len() as u64,
        })
        .into();
    facts
}

#[test]
fn what_replays_were_served_is_golden_and_among_the_dependencies() {
    let mut facts = with_inputs(Verdict::Reproduced);
    let verdict = composed(&facts);
    golden("statements/replay.json", &verdict);
    golden("facts/replay.json", &serde_json::to_vec(&facts).unwrap());
    assert!(String::from_utf8_lossy(&verdict).contains("\"network\":\"replay\""));
    facts.kind = Kind::Provenance;
    let bytes = composed(&facts);
    golden("statements/replay.provenance.json", &bytes);
    let Statement::Build(read) = parse(&bytes).unwrap() else {
        panic!("provenance read as a verdict");
    };
    let inputs = facts.build.unwrap().inputs;
    let [predicate::Dependency::Source(_), served @ ..] =
        &read.predicate.build_definition.resolved_dependencies[..]
    else {
        panic!("the source does not come first");
    };
    let served: Vec<_> = served
        .iter()
        .map(|dependency| match dependency {
            predicate::Dependency::Input(input) => (
                input.name.clone(),
                input.digest.sha256,
                input.annotations.size_bytes,
            ),
            predicate::Dependency::Source(other) => panic!("a second source: {other:?}"),
        })
        .collect();
    let expected: Vec<_> = inputs
        .into_iter()
        .map(|input| (input.request, input.sha256, input.size_bytes))
        .collect();
    assert_eq!(served, expected);
    let control = String::from_utf8(bytes)
        .unwrap()
        .replacen("cargo:config", "cargo:\\u0007", 1);
    assert!(matches!(
        parse(control.as_bytes()),
        Err(StatementError::Contradiction(_))
    ));
}

#[test]
fn variations_stand_in_the_verdict_and_only_where_something_was_built() {
    let mut facts = facts(Verdict::Reproduced);
    let none = String::from_utf8(composed(&facts)).unwrap();
    assert!(!none.contains("variations"));
    for (name, outcome) in [
        ("umask", Effect::Stable),
        ("locale", Effect::Void),
        ("file-order", Effect::Unstable),
    ] {
        facts.variations.push(Variation {
            name: name.into(),
            values: ["one".into(), "other".into()],
            outcome,
        });
    }
    let bytes = composed(&facts);
    golden("statements/variations.json", &bytes);
    let Statement::Verdict(read) = parse(&bytes).unwrap() else {
        panic!("a verdict read as something else");
    };
    assert_eq!(read.predicate.variations, facts.variations);
    facts.variations[0].values[1] = "\u{1b}[31m".into();
    assert!(compose(&facts, Custody::Operator).is_err());
    facts.variations[0].values[1] = "other".into();
    facts.build = None;
    assert!(compose(&facts, Custody::Operator).is_err());
}
