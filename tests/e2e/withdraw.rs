//! Promise: an operator can take a verdict back in public, and everybody who judges by it learns that.

use countersign_tests::World;

#[test]
fn a_verdict_is_taken_back_and_stays_there() {
    let world = World::new();
    let repository = world.repository("x");
    repository.write("build.sh", "mkdir out; echo $1 > out/x-$1.txt\n");
    repository.release("v1.0.0");
    world.write("published/x-1.0.0.txt", "1.0.0\n");
    world.configure(
        "  - source: ./x\n    published: './published/x-{version}.txt'\n    build:\n      \
         steps: [[sh, build.sh, '{version}']]\n      outputs: ['out/x-{version}.txt']\n",
    );
    let _ = world.run(["daemon", "--once"]).expect(0);
    let verify = [
        "verify",
        "published/x-1.0.0.txt",
        "--key",
        "keys/local.pub.pem",
        "--attestation",
        "data/attestations",
        "--format",
        "json",
    ];
    let said = world.run(verify).expect(0).json();
    assert_eq!(said["decision"], "accepted");
    let show = || {
        let shown = world.run(["release", "show", "1", "--format", "json"]);
        shown.expect(0).json()["artifacts"][0]["statements"].clone()
    };
    let statements = show();
    let verdict = statements
        .as_array()
        .expect("a list")
        .iter()
        .find(|s| s["kind"] == "verdict")
        .expect("a verdict");
    let digest = format!("sha256:{}", verdict["digest"].as_str().expect("hex"));

    // what is no verdict of ours, or has no reason, is refused, and nothing is signed
    let unknown = format!("sha256:{}", "ab".repeat(32));
    let reason = ["--reason", "rebuilder-fault"];
    let _ = world
        .run([&["withdraw", &unknown][..], &reason].concat())
        .expect(2);
    let _ = world.run(["withdraw", &digest]).expect(2);
    let bell = ["--note", "a\u{7}b"];
    let ran = world.run([&["withdraw", &digest][..], &reason, &bell].concat());
    assert_ne!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(world.run(verify).expect(0).json()["decision"], "accepted");

    let note = ["--note", "the tool was another one"];
    let ran = world.run([&["withdraw", &digest][..], &reason, &note].concat());
    let ran = ran.expect(0);
    assert!(
        ran.stdout.contains("reproduced") && ran.stdout.contains(&digest),
        "{ran:#?}"
    );
    let said = world.run(verify).expect(4).json();
    assert_eq!(said["decision"], "withdrawn", "{said:#}");
    let statements = show();
    let kinds: Vec<_> = statements
        .as_array()
        .expect("a list")
        .iter()
        .map(|s| &s["kind"])
        .collect();
    assert!(
        kinds.contains(&&"withdrawn".into()) && kinds.contains(&&"verdict".into()),
        "{kinds:?}"
    );
    let shown = world.run(["release", "show", "1", "--format", "json"]);
    let shown = shown.expect(0).json()["artifacts"][0].clone();
    assert!(shown["verdict"].is_null(), "{shown:#}");
    let text = world.run(["release", "show", "1"]).expect(0).stdout;
    assert!(text.contains("took our verdict back"), "{text}");
    let list = world.run(["release", "list", "--format", "json"]).expect(0);
    assert_eq!(list.json()["releases"].as_array().map(Vec::len), Some(1));
    // once
    let ran = world
        .run([&["withdraw", &digest][..], &reason].concat())
        .expect(2);
    assert!(ran.stderr.contains("taken back already"), "{ran:#?}");
    // the next round changes nothing
    let _ = world.run(["daemon", "--once"]).expect(0);
    assert_eq!(world.run(verify).expect(4).json()["decision"], "withdrawn");
}
