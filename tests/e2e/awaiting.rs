//! Promise: a project that is about to publish hears from its rebuilders first. Five daemons, of which one
//! builds something else, one is down and one is slow: each end of `await`, in each mode.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use countersign_attest::digest::Digests;
use countersign_attest::dsse::{self, Limits};
use countersign_attest::key::PublicKey;
use countersign_attest::statement::{Stage, Statement};
use countersign_tests::{Ran, World};

const SOURCE: &str = "https://forge.example/me/x";
const NAMES: [&str; 5] = ["fast", "quick", "slow", "other", "down"];

/// A rebuilder that takes candidates of the project; gone when the value is.
struct Rebuilder {
    world: World,
    name: &'static str,
    address: SocketAddr,
    key: PublicKey,
    process: Option<Child>,
}

impl Drop for Rebuilder {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn public(world: &World, file: &str) -> PublicKey {
    let pem = std::fs::read(world.path(file)).expect("a key");
    PublicKey::from_pem(&pem).expect("a key")
}

fn rebuilder(name: &'static str, repository: &str, project: &PublicKey) -> Rebuilder {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it");
    drop(listener);
    let _ = world.run(["key", "new", "keys/statement.pem"]).expect(0);
    let before = match name {
        "slow" => "sleep 3;",
        "other" => "echo more >> version;",
        _ => "",
    };
    world.write(
        "countersign.yaml",
        format!(
            "version: 1\nrebuilder: {{ id: 'urn:test:{name}' }}\nallow_local: true\nlisten: {address}\nrepositories:\n  \
             - source: {SOURCE}\n    fetch_from: {repository}\n    published: './nothing/x-{{version}}.txt'\n    \
             backlog: 0\n    candidates: {{ keys: ['{project}'] }}\n    build:\n      \
             steps: [[sh, -c, '{before} sh build.sh {{version}}']]\n      outputs: ['out/x-{{version}}.txt']\n"
        ),
    );
    let key = public(&world, "keys/statement.pub.pem");
    let mut rebuilder = Rebuilder {
        world,
        name,
        address,
        key,
        process: None,
    };
    if name != "down" {
        let mut daemon = rebuilder.world.command(["daemon"]);
        rebuilder.process = Some(daemon.stderr(Stdio::null()).spawn().expect("a daemon"));
    }
    rebuilder
}

impl Rebuilder {
    fn listens(&self) {
        for _ in 0..1200 {
            if TcpStream::connect(self.address).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{} does not listen", self.name);
    }
}

/// A policy that asks for k of some of them.
fn policy(world: &World, all: &[Rebuilder], k: usize, of: &[&str]) -> &'static str {
    let mut text = String::from("version: 1\noperators:\n");
    for Rebuilder {
        name, key, address, ..
    } in all
    {
        text.push_str(&format!(
            "  {name}: {{ keys: ['{key}'], rebuilder: 'http://{address}/' }}\n"
        ));
    }
    let of = of.join(", ");
    text.push_str(&format!(
        "rules:\n  - {{ scope: default, mode: warn, require: {{ k: {k}, of: [{of}] }}, view: best-effort }}\n"
    ));
    world.write("policy.yaml", text);
    "policy.yaml"
}

fn wait(world: &World, key: &str, timeout: &str, mode: &str) -> Ran {
    world.run([
        "await",
        "SHA256SUMS",
        "--tag",
        "v1.0.0",
        "--source",
        SOURCE,
        "--policy",
        "policy.yaml",
        "--key",
        key,
        "--timeout",
        timeout,
        "--mode",
        mode,
        "--format",
        "json",
    ])
}

#[test]
fn five_rebuilders_one_of_another_mind_one_down_one_slow() {
    let project = World::new();
    let repository = project.repository("x");
    repository.write("version", "one\n");
    repository.write(
        "build.sh",
        "mkdir out; cat version > out/x-$1.txt; echo $1 >> out/x-$1.txt\n",
    );
    repository.release("v1.0.0");
    let _ = project.run(["key", "new", "project.pem"]).expect(0);
    let _ = project.run(["key", "new", "stranger.pem"]).expect(0);
    let key = public(&project, "project.pub.pem");
    let path = repository.path.to_str().expect("UTF-8").to_owned();
    let all = NAMES.map(|name| rebuilder(name, &path, &key));
    for rebuilder in all.iter().filter(|r| r.process.is_some()) {
        rebuilder.listens();
    }
    let candidate = b"one\n1.0.0\n";
    let sha256 = Digests::of(candidate).sha256;
    project.write("SHA256SUMS", format!("{sha256}  x-1.0.0.txt\n"));

    // three are asked for: both that are quick, and the slow one is waited for
    policy(&project, &all, 3, &NAMES);
    let ran = wait(&project, "project.pem", "10m", "block").expect(0);
    let said = ran.json();
    let operators = said["artifacts"][0]["operators"].clone();
    for name in ["fast", "quick", "slow"] {
        assert_eq!(operators[name]["state"], "confirmed", "{said:#}");
    }
    assert_eq!(operators["down"]["state"], "down", "{said:#}");
    assert!(
        ran.stderr.contains("pending") && ran.stderr.contains("confirmed"),
        "{ran:#?}"
    );

    // the one of another mind alone: rejected
    policy(&project, &all, 1, &["other"]);
    for (mode, code) in [("block", 1), ("warn", 1), ("info", 0)] {
        let said = wait(&project, "project.pem", "10m", mode)
            .expect(code)
            .json();
        assert_eq!(said["artifacts"][0]["result"], "rejected", "{said:#}");
        assert_eq!(
            said["artifacts"][0]["operators"]["other"]["state"], "differs",
            "{said:#}"
        );
        assert_eq!(said["blockExitCode"], 1);
    }
    // four can never be reached while one is down
    policy(&project, &all, 4, &NAMES);
    for (mode, code) in [("block", 4), ("warn", 0), ("info", 0)] {
        let said = wait(&project, "project.pem", "4s", mode)
            .expect(code)
            .json();
        assert_eq!(said["artifacts"][0]["result"], "not-met", "{said:#}");
        assert_eq!(said["artifacts"][0]["confirming"], 3, "{said:#}");
        assert_eq!(said["blockExitCode"], 4);
    }
    // nobody can be asked
    policy(&project, &all, 1, &["down"]);
    for (mode, code) in [("block", 5), ("warn", 0), ("info", 0)] {
        let said = wait(&project, "project.pem", "2s", mode)
            .expect(code)
            .json();
        assert_eq!(said["blockExitCode"], 5, "{said:#}");
    }
    // somebody else's key is no project's: nobody works for it, and nobody needs to be waited for
    policy(&project, &all, 1, &["fast"]);
    // other bytes are another candidate
    project.write(
        "SHA256SUMS",
        format!("{}  x-1.0.0.txt\n", Digests::of(b"evil").sha256),
    );
    let said = wait(&project, "stranger.pem", "10m", "block")
        .expect(4)
        .json();
    let state = &said["artifacts"][0]["operators"]["fast"];
    assert_eq!(state["state"], "refused", "{said:#}");
    let _ = wait(&project, "project.pem", "10m", "block").expect(1);

    // what is no request is refused in every mode
    for bad in ["", "x  y\n", &format!("{sha256}  ../x\n")] {
        project.write("SHA256SUMS", bad);
        let _ = wait(&project, "project.pem", "10m", "info").expect(2);
    }

    // what was signed says that it was a candidate, and each request was built once
    let fast = &all[0];
    let folder = fast.world.path("data/attestations");
    let mut stages = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.to_string_lossy().ends_with(".verdict.dsse.json") {
            let bytes = std::fs::read(path).expect("an envelope");
            let opened = dsse::open(&bytes, &[fast.key], 1, &Limits::default()).expect("signed");
            if let Statement::Verdict(verdict) = opened.value() {
                stages.push(verdict.predicate.published.stage);
            }
        }
    }
    assert_eq!(stages, [Stage::Candidate, Stage::Candidate]);
}
