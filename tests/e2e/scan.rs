//! Promise: `scan` says of every package that a list names how much of it is confirmed, by the same policy
//! as for one file, and never passes one over.

use std::path::PathBuf;

use countersign_attest::digest::{Digests, Sha256};
use countersign_attest::dsse;
use countersign_attest::key::{PrivateKey, PublicKey};
use countersign_attest::statement::{Custody, Facts, compose};
use countersign_tests::{Ran, World};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::running::{Daemon, free_address};

const OPERATORS: [&str; 3] = ["alice", "bob", "carol"];

fn key(operator: &str) -> PrivateKey {
    let at = OPERATORS.iter().position(|name| *name == operator);
    let seed = u8::try_from(at.expect("an operator") + 11).expect("few");
    PrivateKey::from_seed(Zeroizing::new([seed; 32])).expect("a key")
}

/// Two of three for everything; of the named, services at addresses.
fn policy(world: &World, rebuilder: impl Fn(&str) -> Option<String>) {
    let mut text = String::from("version: 1\noperators:\n");
    for name in OPERATORS {
        let public = key(name).public();
        let at = rebuilder(name).map_or(String::new(), |url| format!(", rebuilder: \"{url}\""));
        text.push_str(&format!("  {name}: {{ keys: [\"{public}\"]{at} }}\n"));
    }
    text.push_str(
        "rules:\n  - { scope: default, mode: warn, require: { k: 2, of: [alice, bob, carol] }, view: best-effort }\n",
    );
    world.write("policy.yaml", text);
}

/// Has an operator say a verdict on a file with this content, published under this package URL.
fn say(world: &World, operator: &str, verdict: &str, purl: &str, content: &str) -> PathBuf {
    let path = format!(
        "{}/../attest/golden/facts/{verdict}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).expect("facts");
    let digests = Digests::of(content.as_bytes());
    let old = Digests::of(b"published bytes");
    let text = text
        .replace(&old.sha256.to_string(), &digests.sha256.to_string())
        .replace(&old.sha512.to_string(), &digests.sha512.to_string())
        .replace("pkg:npm/@scope/lib@1.2.3", purl);
    let facts: Facts = serde_json::from_str(&text).expect("facts");
    let statement = compose(&facts, Custody::Operator).expect("a statement");
    let envelope = dsse::sign(&statement, &key(operator)).expect("an envelope");
    let name = format!("said/{operator}-{}.json", Sha256::of(&envelope));
    world.write(name, envelope)
}

fn both(world: &World, verdict: &str, purl: &str, content: &str) {
    for operator in ["alice", "bob"] {
        say(world, operator, verdict, purl, content);
    }
}

fn scan(world: &World, arguments: &[&str]) -> Ran {
    let fixed = ["scan", "--policy", "policy.yaml", "--format", "json"];
    world.run([&fixed, arguments].concat())
}

fn offline(world: &World, list: &str) -> Ran {
    scan(world, &[list, "--offline", "--attestation", "said"])
}

fn result<'a>(scanned: &'a Value, name: &str) -> &'a Value {
    let packages = scanned["packages"].as_array().expect("a list");
    let found = packages.iter().find(|package| package["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {scanned:#}"))
}

fn crate_in_lock(name: &str, content: &str) -> String {
    format!(
        "[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\nsource = \"registry+https://index.example/\"\nchecksum = \"{}\"\n",
        Sha256::of(content.as_bytes())
    )
}

#[test]
fn a_list_is_met_when_every_package_is_and_not_before() {
    let world = World::new();
    policy(&world, |_| None);
    let lock = |more: &str| {
        let text = crate_in_lock("a", "a") + &crate_in_lock("b", "b") + more;
        world.write("Cargo.lock", text);
    };
    lock("");
    world.write("said/none.txt", "");
    both(&world, "reproduced", "pkg:cargo/a@1.0.0", "a");
    say(&world, "alice", "reproduced", "pkg:cargo/b@1.0.0", "b");
    let scanned = offline(&world, "Cargo.lock").expect(4).json();
    assert_eq!(result(&scanned, "a 1.0.0")["result"], "accept");
    let b = result(&scanned, "b 1.0.0");
    assert_eq!(b["result"], "not-enough");
    assert_eq!(b["files"][0]["policy"]["missing"], json!(["bob", "carol"]));
    assert_eq!(
        scanned["operators"]["alice"],
        json!({"confirmed": 2, "asked": 2})
    );
    assert_eq!(
        scanned["operators"]["bob"],
        json!({"confirmed": 1, "asked": 2})
    );
    // of another package, another version, other bytes
    for (purl, content) in [
        ("pkg:cargo/c@1.0.0", "b"),
        ("pkg:cargo/b@1.0.1", "b"),
        ("pkg:cargo/b@1.0.0", "other"),
    ] {
        let said = say(&world, "bob", "reproduced", purl, content);
        assert_eq!(offline(&world, "Cargo.lock").code, Some(4), "{purl}");
        std::fs::remove_file(said).expect("it was written");
    }
    say(&world, "bob", "reproduced", "pkg:cargo/b@1.0.0", "b");
    let scanned = offline(&world, "Cargo.lock").expect(0).json();
    assert_eq!(scanned["exit_code"], 0);
    // what nobody can confirm is listed and counts
    let own = "[[package]]\nname = \"own\"\nversion = \"1.0.0\"\n";
    lock(own);
    let scanned = offline(&world, "Cargo.lock").expect(4).json();
    assert_eq!(result(&scanned, "own 1.0.0")["why"], "local");
    let allowing = [
        "Cargo.lock",
        "--offline",
        "--attestation",
        "said",
        "--allow-local",
    ];
    assert_eq!(scan(&world, &allowing).code, Some(0));
    lock(&own.replace("\n[", "[").replace(
        "version = \"1.0.0\"\n",
        "version = \"1.0.0\"\nsource = \"git+https://forge.example/x#1\"\n",
    ));
    let scanned = scan(&world, &allowing).expect(4).json();
    assert_eq!(result(&scanned, "own 1.0.0")["result"], "unconfirmable");
}

#[test]
fn a_dissent_of_as_many_as_are_asked_for_rejects_a_list_only_where_all_is_known() {
    let world = World::new();
    policy(&world, |_| None);
    world.write("Cargo.lock", crate_in_lock("a", "a"));
    both(&world, "differs", "pkg:cargo/a@1.0.0", "a");
    // views are partial until there are logs: a dissent is told, and never accepted over
    let scanned = offline(&world, "Cargo.lock").expect(4).json();
    let policy = &result(&scanned, "a 1.0.0")["files"][0]["policy"];
    assert_eq!(policy["reasons"], json!(["view-incomplete", "differs"]));
    let told = world.run([
        "scan",
        "Cargo.lock",
        "--policy",
        "policy.yaml",
        "--offline",
        "--attestation",
        "said",
    ]);
    assert!(told.stdout.contains("differs"), "{told:#?}");
}

/// pip may take any of the files with a listed digest, and which it is called only statements say.
#[test]
fn all_files_that_may_be_meant_have_to_be_confirmed() {
    let world = World::new();
    policy(&world, |_| None);
    let list = |contents: &[&str]| {
        let hashes = contents
            .iter()
            .map(|content| format!(" --hash=sha256:{}", Sha256::of(content.as_bytes())));
        let text = format!("Some_Lib==1.0{}\n", hashes.collect::<String>());
        world.write("requirements.txt", text);
    };
    list(&["wheel", "sdist"]);
    let wheel = "pkg:pypi/some-lib@1.0?file_name=some_lib-1.0-py3-none-any.whl";
    both(&world, "reproduced", wheel, "wheel");
    let scanned = offline(&world, "requirements.txt").expect(4).json();
    let found = &result(&scanned, "Some_Lib==1.0")["files"];
    let decisions: Vec<&Value> = found
        .as_array()
        .expect("two")
        .iter()
        .map(|f| &f["decision"])
        .collect();
    assert_eq!(decisions.len(), 2);
    assert!(decisions.contains(&&json!("accept")) && decisions.contains(&&json!("not-enough")));
    list(&["wheel"]);
    let scanned = offline(&world, "requirements.txt").expect(0).json();
    let subject = &result(&scanned, "Some_Lib==1.0")["files"][0]["subject"];
    assert_eq!(subject["purl"], wheel);
    // two operators who name the file differently do not agree
    list(&["other"]);
    say(&world, "alice", "reproduced", wheel, "other");
    let sdist = "pkg:pypi/some-lib@1.0?file_name=some_lib-1.0.tar.gz";
    say(&world, "bob", "reproduced", sdist, "other");
    assert_eq!(offline(&world, "requirements.txt").code, Some(4));
    // and of another version nothing counts
    list(&["next"]);
    both(
        &world,
        "reproduced",
        "pkg:pypi/some-lib@1.1?file_name=x",
        "next",
    );
    assert_eq!(offline(&world, "requirements.txt").code, Some(4));
}

#[test]
fn tampered_attestations_and_lists_that_are_none_confirm_nothing() {
    let world = World::new();
    policy(&world, |_| None);
    world.write("Cargo.lock", crate_in_lock("a", "a"));
    both(&world, "reproduced", "pkg:cargo/a@1.0.0", "a");
    assert_eq!(offline(&world, "Cargo.lock").code, Some(0));
    let said: Vec<_> = std::fs::read_dir(world.path("said"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    let good = std::fs::read_to_string(&said[0]).expect("an envelope");
    let at = good.find("\"payload\":\"").expect("a payload") + 40;
    for bad in [
        good.replacen("ed25519", "x", 1)
            .replacen("\"sig\":\"", "\"sig\":\"AA", 1),
        format!(
            "{}{}{}",
            &good[..at],
            if &good[at..=at] == "A" { "B" } else { "A" },
            &good[at + 1..]
        ),
        good.replacen("in-toto+json", "in-toto", 1),
        good.replacen("{", "{\"payloadType\":\"x\",", 1),
        String::from("{\"payloadType\":"),
    ] {
        std::fs::write(&said[0], bad).expect("a file");
        let ran = offline(&world, "Cargo.lock").expect(4);
        assert_eq!(
            ran.json()["problems"].as_array().map(Vec::len),
            Some(1),
            "{ran:#?}"
        );
    }
    for (name, text) in [
        ("Cargo.lock", "[[package]]\n"),
        ("package-lock.json", "{\"lockfileVersion\":9}"),
        ("r.txt", "a==1 --hash=sha256:0\n"),
        ("list.lock", ""),
    ] {
        world.write(name, text);
        assert_eq!(offline(&world, name).code, Some(2), "{name}");
    }
    assert_eq!(offline(&world, "not-there.txt").code, Some(2));
}

#[test]
fn what_dpkg_says_is_installed_has_the_digests_that_apt_knows() {
    let world = World::new();
    policy(&world, |_| None);
    let paragraph = |name: &str, state: &str| {
        format!(
            "Package: {name}\nStatus: install ok {state}\nArchitecture: amd64\nVersion: 1:2.0-1\nDescription: x\n more\n\n"
        )
    };
    let status: String = [
        ("kept", "installed"),
        ("listed", "installed"),
        ("unknown", "half-configured"),
        ("gone", "config-files"),
    ]
    .map(|(name, state)| paragraph(name, state))
    .concat();
    world.write("root/var/lib/dpkg/status", status);
    world.write("root/etc/os-release", "NAME=X\nID=debian\n");
    world.write(
        "root/var/cache/apt/archives/kept_1%3a2.0-1_amd64.deb",
        "kept",
    );
    let digest = Sha256::of(b"listed");
    world.write(
        "root/var/lib/apt/lists/x_dists_y_main_binary-amd64_Packages",
        format!(
            "Package: listed\nArchitecture: amd64\nVersion: 1:2.0-1\nSHA256: {digest}\n\n\
             Package: listed\nArchitecture: amd64\nVersion: 1:2.0-2\nSHA256: {}\n",
            Sha256::of(b"newer")
        ),
    );
    let purl = |name: &str| format!("pkg:deb/debian/{name}@1:2.0-1?arch=amd64&distro=y");
    for name in ["kept", "listed", "unknown"] {
        both(&world, "reproduced", &purl(name), name);
    }
    let arguments = [
        "--dpkg",
        "--root",
        "root",
        "--offline",
        "--attestation",
        "said",
    ];
    let scanned = scan(&world, &arguments).expect(4).json();
    for (name, expect) in [
        ("kept", "accept"),
        ("listed", "accept"),
        ("unknown", "name-only"),
    ] {
        let found = result(&scanned, &format!("{name} 1:2.0-1 amd64"));
        assert_eq!(found["result"], expect, "{found:#}");
    }
    assert_eq!(scanned["packages"].as_array().map(Vec::len), Some(3));
}

#[test]
fn services_are_asked_about_a_whole_list_and_one_that_is_down_is_told() {
    let world = World::new();
    let repository = world.repository("x");
    repository.write("build.sh", "mkdir out; echo $1 > out/x-$1.txt\n");
    let mut list = String::new();
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        repository.write("version", version);
        repository.release(&format!("v{version}"));
        let content = format!("{version}\n");
        world.write(format!("published/x-{version}.txt"), &content);
        let digest = Sha256::of(content.as_bytes());
        list.push_str(&format!(
            "https://h.example/x-{version}.txt --hash=sha256:{digest}\n"
        ));
    }
    world.write("list.txt", &list);
    let address = free_address();
    world.configure_with(
        &format!("listen: {address}"),
        "  - source: ./x\n    published: './published/x-{version}.txt'\n    backlog: 9\n    build:\n      \
         steps: [[sh, build.sh, '{version}']]\n      outputs: ['out/x-{version}.txt']\n",
    );
    let _ = world.run(["daemon", "--once"]).expect(0);
    let pem = std::fs::read(world.path("keys/local.pub.pem")).expect("a key");
    let public = PublicKey::from_pem(&pem).expect("a key");
    world.write(
        "policy.yaml",
        format!(
            "version: 1\noperators:\n  us: {{ keys: [\"{public}\"], rebuilder: \"http://{address}\" }}\n\
             rules:\n  - {{ scope: default, mode: warn, require: {{ k: 1, of: [us] }}, view: best-effort }}\n"
        ),
    );
    let down = scan(&world, &["list.txt"]).expect(5).json();
    assert_eq!(down["problems"][0]["code"], "unreachable");
    let daemon = Daemon::start(&mut world.command(["daemon"]), address);
    let scanned = scan(&world, &["list.txt"]).expect(0).json();
    assert_eq!(scanned["packages"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        scanned["operators"]["us"],
        json!({"confirmed": 3, "asked": 3})
    );
    // a list with something that the service does not know
    let more = format!(
        "{list}https://h.example/y.txt --hash=sha256:{}\n",
        Sha256::of(b"y")
    );
    world.write("list.txt", more);
    let ran = world.run(["scan", "list.txt", "--missing"]).expect(2);
    assert!(ran.stderr.contains("you trust nobody yet"), "{ran:#?}");
    let own = std::fs::read(world.path("policy.yaml")).expect("a policy");
    world.write("own/policy.yaml", own); // as `trust` keeps it
    let ran = world.run(["scan", "list.txt", "--missing"]).expect(4);
    assert!(
        ran.stdout.contains("4 packages: 3 accept, 1 not-enough"),
        "{ran:#?}"
    );
    assert_eq!(ran.stdout.matches("h.example").count(), 1, "{ran:#?}");
    drop(daemon);
}
