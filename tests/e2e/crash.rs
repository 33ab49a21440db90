//! Promise: kill -9 at any moment loses nothing and signs nothing twice.
//!
//! `COUNTERSIGN_KILLS` says how often a run is killed at a random moment (tests/long: 50).

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_tests::World;

const POINTS: [&str; 9] = [
    "polled",
    "leased",
    "resolved",
    "built",
    "judged",
    "signed",
    "signature-stored",
    "logged",
    "file-written",
];

/// Two releases, one with two artifacts of which one differs.
fn world() -> World {
    let world = World::new();
    let repository = world.repository("two");
    repository.write(
        "build.sh",
        "mkdir out; echo a $1 > out/a-$1.txt; tar --sort=name --owner=0 --group=0 --mtime=@0 -cf out/b-$1.tar out/a-$1.txt\n",
    );
    for version in ["1", "2"] {
        repository.write("version", version);
        repository.release(&format!("v{version}"));
        world.write(format!("p/a-{version}.txt"), format!("a {version}\n"));
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_path("out/other").expect("a path");
        header.set_size(0);
        header.set_cksum();
        archive.append(&header, &[][..]).expect("a member");
        world.write(
            format!("p/b-{version}.tar"),
            archive.into_inner().expect("an archive"),
        );
    }
    world.configure(
        "  - source: ./two\n    tags: 'v*'\n    published: ['./p/a-{version}.txt', './p/b-{version}.tar']\n    \
         build:\n      steps: [[sh, build.sh, '{version}']]\n      outputs: ['out/a-{version}.txt', 'out/b-{version}.tar']\n",
    );
    world
}

/// After a last undisturbed run: exactly one verdict for each artifact, all signed, all served, all
/// in one sequence without a gap.
fn check(world: &World, what: &str) {
    let _ = world.run(["daemon", "--once"]).expect(0);
    let list = world
        .run(["release", "list", "--format", "json"])
        .expect(0)
        .json();
    let releases = list["releases"].as_array().expect("releases");
    assert_eq!(releases.len(), 2, "{what}: {list:#}");
    let mut entries = Vec::new();
    for release in releases {
        let artifacts = release["artifacts"].as_array().expect("artifacts");
        let verdicts: BTreeMap<&str, &str> = artifacts
            .iter()
            .map(|a| {
                (
                    a["name"].as_str().expect("a name"),
                    a["verdict"].as_str().expect("a verdict"),
                )
            })
            .collect();
        assert_eq!(
            verdicts.values().copied().collect::<Vec<_>>(),
            ["reproduced", "differs"],
            "{what}"
        );
        for artifact in artifacts {
            let statements = artifact["statements"].as_array().expect("statements");
            let kinds = |kind: &str| statements.iter().filter(|s| s["kind"] == kind).count();
            assert_eq!(
                (kinds("verdict"), statements.len()),
                (1, 2),
                "{what}: {artifact:#}"
            );
            for statement in statements {
                entries.push(statement["entry"].as_u64().expect("an entry"));
                let (digest, kind) = (&statement["digest"], &statement["kind"]);
                for form in ["dsse", "sigstore"] {
                    let name = format!(
                        "{}.{}.{form}.json",
                        digest.as_str().expect("a digest"),
                        kind.as_str().expect("a kind")
                    );
                    assert!(
                        fs::metadata(world.path("data/attestations").join(&name)).is_ok(),
                        "{what}: {name}"
                    );
                }
            }
        }
    }
    entries.sort_unstable();
    assert_eq!(entries, (0..8).collect::<Vec<u64>>(), "{what}");
    for form in [".dsse.json", ".sigstore.json"] {
        let files = fs::read_dir(world.path("data/attestations")).expect("a folder");
        let count = files
            .filter(|f| {
                f.as_ref()
                    .is_ok_and(|f| f.file_name().to_string_lossy().ends_with(form))
            })
            .count();
        assert_eq!(
            count, 8,
            "{what}: a statement was signed twice, or lost ({form})"
        );
    }
}

#[test]
fn dying_at_each_named_point_changes_nothing() {
    for point in POINTS {
        let world = world();
        let mut died = 0;
        for _ in 0..3 {
            let mut command = world.command(["daemon", "--once"]);
            let ran = countersign_tests::ran(command.env("COUNTERSIGN_CRASH_AT", point));
            died += u32::from(ran.code.is_none());
        }
        assert!(died > 0, "{point} was never reached");
        check(&world, point);
    }
}

/// What an older version drafted and did not sign before it was replaced, under types that nobody reads any more.
#[test]
fn a_draft_of_older_types_is_drafted_anew_and_signed_once() {
    let world = world();
    let mut command = world.command(["daemon", "--once"]);
    let ran = countersign_tests::ran(command.env("COUNTERSIGN_CRASH_AT", "judged"));
    assert_eq!(ran.code, None, "{ran:#?}");
    let older = "import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
rows = db.execute(\"SELECT id, bytes FROM statement WHERE state = 'drafted'\").fetchall()
for id, text in rows:
    db.execute('UPDATE statement SET bytes = ? WHERE id = ?', (text.replace(b'/v1\"', b'/v0\"'), id))
db.commit()
print(len(rows))";
    let mut python = std::process::Command::new("/usr/bin/python3");
    let python = python
        .args(["-c", older])
        .arg(world.path("data/countersign.db"));
    let changed = countersign_tests::ran(python).expect(0);
    assert_eq!(changed.stdout.trim(), "4", "{changed:#?}");
    check(&world, "drafts of older types");
    for file in fs::read_dir(world.path("data/attestations")).expect("a folder") {
        let path = file.expect("a file").path();
        if path.to_string_lossy().ends_with(".dsse.json") {
            let envelope = fs::read(&path).expect("an envelope");
            let envelope: serde_json::Value = serde_json::from_slice(&envelope).expect("JSON");
            let payload = STANDARD.decode(envelope["payload"].as_str().expect("text"));
            let payload = String::from_utf8(payload.expect("base64")).expect("text");
            assert!(
                payload.contains("/v1\"") && !payload.contains("/v0\""),
                "{payload}"
            );
        }
    }
}

#[test]
fn dying_at_any_moment_changes_nothing() {
    let kills: u64 = std::env::var("COUNTERSIGN_KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(6);
    println!("kills: {kills}");
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut done = 0;
    while done < kills {
        let world = world();
        // a few deaths in a row in one world, at moments all over a run
        for _ in 0..3.min(kills - done) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let mut child = world
                .command(["daemon", "--once"])
                .stderr(std::process::Stdio::null())
                .spawn()
                .expect("a daemon");
            std::thread::sleep(Duration::from_millis(seed % 1500));
            child.kill().expect("kill -9");
            child.wait().expect("its end");
            done += 1;
        }
        check(&world, &format!("random death {done}, state {seed:x}"));
    }
}
