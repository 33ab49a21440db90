//! Promise: no tampered copy of a real package passes for it.
//!
//! Published files of six formats come through their own clients. Each is tampered with class by class
//! (`fixtures/src/mutants`) and goes through comparison and judgement as the published file of a release
//! whose two builds made the original, and the other way round. None is ever `reproduced` or `assisted`;
//! `equivalent` is only what a normalization names, by that normalization. What each class comes to is
//! in `mutants.txt`. A sample goes through the real binary.
//!
//! `COUNTERSIGN_MUTANTS` says how many seeds, takes all packages instead of one of each format, and has
//! them rebuilt first where this suite knows how.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use countersign_attest::digest::{Digests, Sha256};
use countersign_attest::time::Timestamp;
use countersign_attest::verdict::Verdict;
use countersign_builder::archive::ReadLimits;
use countersign_builder::compare::{self, Comparison};
use countersign_builder::judge::{self, Case};
use countersign_builder::outcome::Outcome;
use countersign_builder::plan::Plan;
use countersign_builder::release::{Published, Stage};
use countersign_fixtures::archives::{TarEntry, ZipEntry, gzip, tar, zip};
use countersign_fixtures::mutants::{self, Mutant, Purpose, Seed};
use countersign_tests::World;
use serde_json::json;

use packages::PACKAGES;

mod packages;

/// The table: a class and what it can come to, whatever the format.
const TABLE: &str = include_str!("mutants.txt");

/// What putting a layer together again may cost, beside what a class names.
const WRAPPING: [&str; 2] = ["gzip-deflate", "xz-encoding"];

/// A package of ours that has archives inside, for those that are swapped.
fn nested() -> Vec<u8> {
    let inner = zip(&[ZipEntry::file("a.py", b"print(1)\n")], b"");
    let inner_tar = gzip(&tar(&[TarEntry::file("b.js", b"log(1)\n")]));
    gzip(&tar(&[
        TarEntry::file("package/package.json", b"{}\n"),
        TarEntry::file("package/inner.zip", &inner),
        TarEntry::file("package/inner.tar.gz", &inner_tar),
    ]))
}

/// [`nested`] with something else inside what is inside.
fn swapped() -> Vec<Mutant> {
    let other_zip = zip(&[ZipEntry::file("a.py", b"print(2)\n")], b"");
    let named_zip = zip(&[ZipEntry::file("b.py", b"print(1)\n")], b"");
    let other_tar = gzip(&tar(&[TarEntry::file("b.js", b"log(2)\n")]));
    let mode_tar = gzip(&tar(&[TarEntry {
        mode: 0o755,
        ..TarEntry::file("b.js", b"log(1)\n")
    }]));
    let honest_zip = zip(&[ZipEntry::file("a.py", b"print(1)\n")], b"");
    let honest_tar = gzip(&tar(&[TarEntry::file("b.js", b"log(1)\n")]));
    let time_tar = gzip(&tar(&[TarEntry {
        mtime: 7,
        ..TarEntry::file("b.js", b"log(1)\n")
    }]));
    let package = |class: &str, purpose, zip: &[u8], tar_gz: &[u8]| Mutant {
        class: format!("nested: {class}"),
        purpose,
        bytes: gzip(&tar(&[
            TarEntry::file("package/package.json", b"{}\n"),
            TarEntry::file("package/inner.zip", zip),
            TarEntry::file("package/inner.tar.gz", tar_gz),
        ])),
    };
    let attack = Purpose::Attack;
    let behind = [&honest_zip[..], b"hidden"].concat();
    vec![
        package("a byte of an inner zip", attack, &other_zip, &honest_tar),
        package("a name of an inner zip", attack, &named_zip, &honest_tar),
        package("a byte of an inner tar", attack, &honest_zip, &other_tar),
        package("a mode of an inner tar", attack, &honest_zip, &mode_tar),
        package("archives swapped", attack, &honest_tar, &honest_zip),
        package("bytes behind an inner zip", attack, &behind, &honest_tar),
        package("no archive any more", attack, b"text", &honest_tar),
        package(
            "a time of an inner tar",
            Purpose::Named(&["archive-times"]),
            &honest_zip,
            &time_tar,
        ),
    ]
}

struct Bench {
    plan: Plan,
    outcome: Outcome,
    limits: ReadLimits,
}

impl Bench {
    fn new() -> Self {
        let plan = include_bytes!("../../builder/golden/plan-mirror.json");
        let plan = Plan::from_bytes(plan).expect("a plan");
        let outcome = json!({
            "plan": Sha256::of(b"plan"), "started_on": Timestamp::EPOCH, "finished_on": Timestamp::EPOCH,
            "duration_ms": 1, "ended": { "how": "completed" }, "outputs": [],
            "log": { "sha256": Sha256::of(b""), "size_bytes": 0, "dropped_bytes": 0 },
            "environment": {
                "architecture": "x86_64", "tools": [], "profile": "test/v0", "id_mode": "single-id",
                "limits": plan.candidate.limits, "enforcement": countersign_builder::outcome::Enforcement::default(),
            },
        });
        Self {
            plan,
            outcome: serde_json::from_value(outcome).expect("an outcome"),
            limits: ReadLimits::default(),
        }
    }

    /// The verdict's code, and the names of the normalizations where there were any.
    fn judge(&self, published: &[u8], rebuilt: &[u8]) -> (Verdict, String, BTreeSet<String>) {
        let file = |bytes: &[u8]| {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(bytes).expect("a disk");
            file
        };
        let compared = compare::compare(file(published), file(rebuilt), &self.limits);
        let (a, b) = (Digests::of(published), Digests::of(rebuilt));
        let release = Published {
            file_name: "package".to_owned(),
            purl: None,
            download_location: None,
            retrieved_on: Timestamp::EPOCH,
            sha256: a.sha256,
            sha512: Some(a.sha512),
            size_bytes: Some(a.size_bytes),
            declared: None,
            published_on: None,
            stage: Stage::Released,
            yanked: false,
            claims: countersign_builder::release::Claims::default(),
        };
        let judgement = judge::judge(&Case {
            published: &release,
            plan: &self.plan,
            outcomes: &[self.outcome.clone(), self.outcome.clone()],
            rebuilt: &[b, b],
            comparison: Some(&compared.comparison),
            prebuilt: false,
            assisted_by: &[],
        });
        let judgement = judgement.expect("enough facts");
        let names = match compared.comparison {
            Comparison::Equivalent { normalizations, .. } => normalizations
                .iter()
                .map(|n| n.id.split('/').next().unwrap_or_default().to_owned())
                .collect(),
            _ => BTreeSet::new(),
        };
        let mut code = judgement.verdict.word().to_owned();
        if let Some(reason) = judgement.reason {
            code.push('/');
            code.push_str(reason.code());
        }
        (judgement.verdict, code, names)
    }
}

/// Checks the promise for one mutant and says what it came to.
fn check(bench: &Bench, format: &str, original: &[u8], mutant: &Mutant) -> String {
    let class = &mutant.class;
    let (verdict, code, names) = bench.judge(&mutant.bytes, original);
    let (back, _, names_back) = bench.judge(original, &mutant.bytes);
    for verdict in [verdict, back] {
        match (mutant.purpose, verdict) {
            (_, Verdict::Differs | Verdict::Indeterminate)
            | (Purpose::Named(_), Verdict::Equivalent) => {}
            (purpose, verdict) => panic!("{format}: {class}: {verdict} ({purpose:?}, {names:?})"),
        }
    }
    assert_eq!(names, names_back, "{format}: {class}: not symmetric");
    match (mutant.purpose, verdict) {
        (Purpose::Named(by), Verdict::Equivalent) => {
            let known = |name: &String| by.contains(&&**name) || WRAPPING.contains(&&**name);
            assert!(names.iter().all(known), "{format}: {class}: {names:?}");
            assert!(
                names.iter().any(|n| by.contains(&&**n)),
                "{format}: {class}: {names:?}"
            );
            let named: Vec<&str> = names
                .iter()
                .map(|n| &**n)
                .filter(|n| by.contains(n))
                .collect();
            format!("{code} {}", named.join(" "))
        }
        _ => code,
    }
}

fn counted(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
    )
}

#[test]
fn no_tampered_copy_passes() {
    let bench = Bench::new();
    let seeds = counted("COUNTERSIGN_MUTANTS");
    let mut table: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (mut count, mut pairs, mut built, mut formats) = (0, 0, 0, BTreeSet::new());
    let mut verdicts: BTreeMap<String, u64> = BTreeMap::new();
    let mut note = |mutant: &Mutant, came_to: String| {
        let verdict = came_to.split(['/', ' ']).next().unwrap_or_default();
        *verdicts.entry(verdict.to_owned()).or_default() += 1;
        let row = table.entry(mutant.class.clone());
        row.or_default().insert(came_to);
        count += 1;
    };
    for package in PACKAGES {
        let format = package.format;
        if seeds.is_none() && formats.contains(format) {
            continue;
        }
        let original = package.bytes(seeds.is_some());
        pairs += 1;
        built += u64::from(seeds.is_some() && package.is_rebuilt());
        formats.insert(format);
        for seed in 0..seeds.unwrap_or(1) {
            for mutant in mutants::of(&original, seed) {
                let came_to = check(&bench, format, &original, &mutant);
                note(&mutant, came_to);
            }
        }
    }
    let original = nested();
    for mutant in swapped() {
        let came_to = check(&bench, "nested", &original, &mutant);
        note(&mutant, came_to);
    }
    println!(
        "{count} mutants in {} classes from {pairs} packages of {} formats, {built} rebuilt: {verdicts:?}",
        table.len(),
        formats.len()
    );
    assert!(table.len() >= 25 && formats.len() == 6);
    assert!(seeds.is_none() || built >= 9, "{built}");
    assert!(count >= if seeds.is_some() { 500 } else { 200 }, "{count}");
    expected(&table);
}

/// Compares with the table: each class has a row, and what it came to stands there.
fn expected(table: &BTreeMap<String, BTreeSet<String>>) {
    let known: BTreeMap<&str, BTreeSet<&str>> = TABLE
        .lines()
        .filter_map(|row| row.split_once(" | "))
        .map(|(class, outcomes)| (class, outcomes.split(", ").collect()))
        .collect();
    let mut missing = String::new();
    for (class, outcomes) in table {
        let listed = known.get(&**class);
        let is_listed = |outcome: &&str| listed.is_some_and(|listed| listed.contains(outcome));
        let outcomes: Vec<&str> = outcomes.iter().map(|outcome| &**outcome).collect();
        if !outcomes.iter().all(is_listed) {
            missing.push_str(&format!("{class} | {}\n", outcomes.join(", ")));
        }
    }
    assert!(missing.is_empty(), "not in the table:\n{missing}");
}

/// The same through the real binary: what a build of the real package makes is known, and tampered
/// copies are published in its place.
#[test]
fn no_tampered_copy_passes_the_real_binary() {
    let world = World::new();
    let published = crate::once::released(&world, "yocto-queue", "1.2.2");
    let seeds = counted("COUNTERSIGN_MUTANTS");
    let mut all = mutants::of(&published, 0);
    all.retain(|mutant| mutant.purpose == Purpose::Attack);
    let mut seed = Seed::new(0, "sample");
    let mut sample = Vec::new();
    while sample.len() < if seeds.is_some() { 40 } else { 4 } && !all.is_empty() {
        sample.push(all.swap_remove(seed.below(all.len())));
    }
    let mut verdicts: BTreeMap<String, u64> = BTreeMap::new();
    for mutant in &sample {
        let file = world.write("yocto-queue-1.2.2.tgz", &mutant.bytes);
        let arguments = [
            "rebuild",
            "--source",
            "yocto-queue",
            "--tag",
            "v1.2.2",
            "--published",
            file.to_str().expect("UTF-8"),
            "--recipe",
            "npm",
            "--format",
            "json",
        ];
        let said = world.run(arguments);
        let json = said.json();
        let verdict = json["artifacts"][0]["verdict"]
            .as_str()
            .unwrap_or_else(|| panic!("{json:#}"));
        assert!(
            ["differs", "indeterminate"].contains(&verdict),
            "{}: {json:#}",
            mutant.class
        );
        *verdicts.entry(verdict.to_owned()).or_default() += 1;
    }
    println!(
        "{} mutants through the real binary: {verdicts:?}",
        sample.len()
    );
}
