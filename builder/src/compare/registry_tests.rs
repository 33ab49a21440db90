//! Four cases for every normalization: what it names is equal, other content is different, what lies
//! near it and is not named is caught, and taking it out twice is taking it out once.

use countersign_fixtures::signed::{MachO, Pe, Rpm, signed_data};

use super::normalization::{REGISTRY, RETIRED, Rule, described, hides, named};
use super::tests::{concluded, run, walked};
use super::*;
use crate::archive::Field;

use cases::{all, elf};

mod cases;

#[test]
fn every_normalization_has_its_four_cases() {
    let all = all();
    let missing: Vec<&str> = REGISTRY
        .iter()
        .map(|normalization| normalization.id)
        .filter(|id| !all.iter().any(|cases| cases.id == *id))
        .collect();
    assert!(missing.is_empty(), "no cases for {missing:?}");
    assert_eq!(all.len(), REGISTRY.len());
}

#[test]
fn what_a_normalization_names_is_equal_and_it_is_the_smallest_set() {
    for cases in all() {
        let [a, b] = cases.equal.each_ref().map(|bytes| walked(bytes).unwrap());
        let Comparison::Equivalent { normalizations, .. } = concluded(&a, &b) else {
            panic!("{}: {:?}", cases.id, concluded(&a, &b));
        };
        let ids: Vec<&str> = normalizations.iter().map(|n| &*n.id).collect();
        assert!(ids.contains(&cases.id), "{}: {ids:?}", cases.id);
        let set: Vec<_> = ids.iter().map(|id| named(id).unwrap()).collect();
        assert_eq!(normalized_digest(&a, &set), normalized_digest(&b, &set));
        for (without, id) in ids.iter().enumerate() {
            let mut fewer = set.clone();
            fewer.remove(without);
            let digests = [&a, &b].map(|side| normalized_digest(side, &fewer));
            assert_ne!(digests[0], digests[1], "{}: {} is not needed", cases.id, id);
        }
    }
}

#[test]
fn other_content_is_different_whatever_else_is_hidden() {
    for cases in all() {
        let result = run(&cases.equal[0], &cases.different);
        let caught = matches!(result, Comparison::Different { .. });
        assert!(caught, "{}: {result:?}", cases.id);
    }
}

#[test]
fn what_lies_near_is_caught() {
    for cases in all() {
        for (index, hostile) in cases.hostile.iter().enumerate() {
            for (published, rebuilt) in [(&cases.equal[0], hostile), (hostile, &cases.equal[0])] {
                let result = run(published, rebuilt);
                let passed = matches!(result, Comparison::Equivalent { .. });
                assert!(!passed, "{} {index}: {result:?}", cases.id);
            }
        }
    }
}

/// A rule about texts yields a text that it leaves alone. Fields and orders are gone after the first
/// time: the form is a function of the side and the set.
#[test]
fn taking_out_twice_is_taking_out_once() {
    for cases in all() {
        let normalization = named(cases.id).unwrap();
        for side in &cases.equal {
            let walked = walked(side).unwrap();
            let container = walked.container().unwrap();
            let once = normalized_digest(&walked, &[normalization]);
            assert_eq!(once, normalized_digest(&walked, &[normalization]));
            let Rule::Text(rule) = &normalization.rule else {
                continue;
            };
            let mut seen = 0;
            for member in &container.members {
                if !(rule.applies)(&member.name) {
                    continue;
                }
                seen += 1;
                let text = member.content.text.as_deref().unwrap();
                let canonical = (rule.canonical)(container, text).unwrap();
                assert_eq!((rule.canonical)(container, &canonical), Some(canonical));
            }
            assert_eq!(seen, 1, "{}", cases.id);
        }
    }
}

/// Code that lies where the build id or the debug link would be is code.
#[test]
fn nothing_executable_is_hidden_in_an_elf_file() {
    let one = elf(|e| e.segment_flags = 5);
    let other = elf(|e| (e.segment_flags, e.id) = (5, vec![9; 20]));
    let result = run(&one, &other);
    assert!(matches!(result, Comparison::Different { .. }), "{result:?}");
    // the same two where the segment is only read
    let result = run(&elf(|_| ()), &elf(|e| e.id = vec![9; 20]));
    assert!(
        matches!(result, Comparison::Equivalent { .. }),
        "{result:?}"
    );
}

/// Every bit of a signed program or package: only those of a signature may differ, and none where a
/// length, a kind or a place is written.
#[test]
fn every_bit_beside_a_signature_counts() {
    let signature = signed_data(b"SIGNATURE!");
    let unsummed = |pe: Pe| Pe { sum: Some(0), ..pe }.bytes();
    for (original, signed) in [
        (unsummed(Pe::new()), unsummed(Pe::signed(&[&signature]))),
        (MachO::new().bytes(), MachO::signed("a", &signature).bytes()),
        (
            Rpm::new(&[]).bytes(),
            Rpm::new(&[(268, &signature)]).bytes(),
        ),
    ] {
        let published = walked(&original).unwrap();
        let mut mutant = signed.clone();
        let mut passed = Vec::new();
        for bit in 0..signed.len() * 8 {
            // of the long zeros between headers and content one bit in each byte is enough
            if (512..4080).contains(&(bit / 8)) && signed[bit / 8] == 0 && bit % 8 != 0 {
                continue;
            }
            mutant[bit / 8] ^= 1 << (bit % 8);
            let rebuilt = walked(&mutant);
            let result = rebuilt.map(|rebuilt| concluded(&published, &rebuilt));
            if matches!(result, Ok(Comparison::Equivalent { .. })) {
                passed.push(bit / 8);
            }
            mutant.copy_from_slice(&signed);
        }
        passed.dedup();
        let at = signed.windows(10).position(|w| w == b"SIGNATURE!").unwrap();
        assert!((at..at + 10).all(|byte| passed.contains(&byte)));
        let (first, last) = (passed[0], passed[passed.len() - 1]);
        // a code directory: version, flags, platform, its name and its digests
        let before = if signed.starts_with(b"\xcf\xfa") {
            200
        } else {
            24
        };
        assert!(
            first >= at - before && last < at + 10,
            "{first}..={last}, {at}"
        );
    }
}

#[test]
fn an_id_is_explained_whenever_it_was_given() {
    for id in [
        "gzip-header/v1",
        "archive-times-owners/v1",
        "gzip-encoding/v1",
    ] {
        assert!(hides(id).is_some() && described(id).starts_with(id), "{id}");
    }
    assert_eq!(described("someone-elses/v7"), "someone-elses/v7");
}

#[test]
fn no_field_is_covered_twice_and_some_never() {
    let mut covered: Vec<Field> = Vec::new();
    for normalization in REGISTRY {
        let (name, version) = normalization.id.split_once("/v").expect("name/vN");
        assert!(!name.is_empty() && version.parse::<u32>().is_ok());
        assert!(!normalization.hides.is_empty() && !normalization.hides.ends_with('.'));
        assert!(RETIRED.iter().all(|(id, _)| *id != normalization.id));
        if let Rule::Fields(fields) = normalization.rule {
            covered.extend(fields);
        }
    }
    let mut unique = covered.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), covered.len());
    let never = [Field::Remainder, Field::End, Field::Comment];
    for field in Field::ALL {
        assert_eq!(unique.contains(field), !never.contains(field), "{field:?}");
    }
}
