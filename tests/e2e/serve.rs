//! Promise: the daemon serves what it found, to programs and to people, and what it serves can be
//! checked without believing it.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use countersign_attest::digest::{Digests, Sha256};
use countersign_tests::{World, binary, ran};
use serde_json::{Value, json};

/// Longest time for anything that a daemon is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest time for a daemon to end.
const END: Duration = Duration::from_secs(15);
/// A tag that git allows and a page must not.
const HOSTILE: &str = "v<script>alert(1)<&\"'/script>";

/// A running daemon and where it listens; killed when the value goes away.
struct Daemon {
    child: Child,
    address: String,
}

/// An answer over HTTP.
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

impl Daemon {
    /// Starts one on a port of the system's choice and waits until it says which.
    fn start(world: &World) -> Self {
        let log = world.path("daemon.log");
        let mut command = world.command(["daemon"]);
        command.stderr(File::create(&log).expect("a log"));
        let mut daemon = Self {
            child: command.spawn().expect("a daemon"),
            address: String::new(),
        };
        daemon.address = wait_for("a listener", || {
            let text = fs::read_to_string(&log).expect("the log");
            let (_, rest) = text.split_once("address=")?;
            let (address, _) = rest.split_once('\n')?;
            Some(address.to_owned())
        });
        daemon
    }

    fn ask(&self, method: &str, path: &str) -> Reply {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("an answer");
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("a head");
        let body = bytes.split_off(end + 4);
        let head = String::from_utf8(bytes).expect("ASCII").to_lowercase();
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        Reply {
            status: status.expect("a status"),
            head,
            body,
        }
    }

    fn get(&self, path: &str) -> Reply {
        let reply = self.ask("GET", path);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply
    }

    /// The release of a tag, once a condition holds.
    fn release(&self, tag: &str, ready: impl Fn(&Value) -> bool) -> Value {
        wait_for(tag, || {
            let list = self.get("/api/v1/releases").json();
            let releases = list["releases"].as_array().expect("releases");
            let id = &releases.iter().find(|release| release["tag"] == tag)?["id"];
            let release = self.get(&format!("/api/v1/releases/{id}")).json();
            ready(&release).then_some(release)
        })
    }

    /// Asks it to end, as a service manager does.
    fn stop(mut self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert_eq!(ran(Command::new("sh").args(["-c", &kill])).code, Some(0));
        let asked = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                break status;
            }
            assert!(asked.elapsed() < END, "the daemon does not end");
            sleep(Duration::from_millis(20));
        };
        assert_eq!(status.code(), Some(0));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

#[track_caller]
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited too long for {what}");
        sleep(Duration::from_millis(50));
    }
}

/// A release with one artifact that is reproduced and one that differs, and a hostile tag.
fn world() -> World {
    let world = World::new();
    let repository = world.repository("lib");
    repository.write(
        "build.sh",
        "mkdir out; echo lib $1 > out/lib-$1.txt; tar -cf out/lib-$1.tar --owner=0 --group=0 --mtime=@0 out/lib-$1.txt\n",
    );
    repository.release("v1.0.0");
    repository.git(["tag", HOSTILE]);
    world.write("p/lib-1.0.0.txt", "lib 1.0.0\n");
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_path("out/<b>other").expect("a path");
    header.set_size(0);
    header.set_cksum();
    archive.append(&header, &[][..]).expect("a member");
    world.write("p/lib-1.0.0.tar", archive.into_inner().expect("an archive"));
    world.configure_with(
        "listen: 127.0.0.1:0",
        "  - source: ./lib\n    published: ['./p/lib-{version}.txt', './p/lib-{version}.tar']\n    \
         backlog: 9\n    build:\n      steps: [[sh, build.sh, '{version}']]\n      \
         outputs: ['out/lib-{version}.txt', 'out/lib-{version}.tar']\n",
    );
    world
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no {pointer} in {value:#}"))
}

fn is_done(release: &Value) -> bool {
    release["state"] == "done"
}

fn was_tried(release: &Value) -> bool {
    release["state"] != "running" && release["rebuilds"][0]["ended"].is_string()
}

#[test]
fn what_was_found_is_served_and_a_restart_serves_the_same() {
    let world = world();
    let daemon = Daemon::start(&world);
    let release = daemon.release("v1.0.0", is_done);
    let hostile = daemon.release(HOSTILE, was_tried);
    let paths = [
        "/".to_owned(),
        "/api/v1/releases".to_owned(),
        format!("/api/v1/releases/{}", release["id"]),
        format!("/releases/{}", release["id"]),
        format!("/releases/{}", hostile["id"]),
        text(&release, "/artifacts/0/statements/0/url").to_owned(),
    ];
    let before: Vec<Vec<u8>> = paths.iter().map(|path| daemon.get(path).body).collect();
    programs(&world, &daemon, &release);
    errors(&daemon);
    people(&world, &daemon, &release);
    strangers(&daemon, &hostile);
    daemon.stop();
    let daemon = Daemon::start(&world);
    for (path, before) in paths.iter().zip(before) {
        let after = daemon.get(path);
        assert_eq!(String::from_utf8_lossy(&before), after.text(), "{path}");
    }
    daemon.stop();
}

fn programs(world: &World, daemon: &Daemon, release: &Value) {
    assert_eq!(release["source"], "git+file:lib");
    let verdicts = ["reproduced", "differs"];
    for (artifact, verdict) in release["artifacts"]
        .as_array()
        .expect("a list")
        .iter()
        .zip(verdicts)
    {
        assert_eq!(artifact["verdict"], verdict, "{artifact:#}");
        assert_eq!(artifact["commit"], release["commit"], "{artifact:#}");
        let name = text(artifact, "/name");
        let bytes = fs::read(world.path(format!("p/{name}"))).expect("the file");
        let Digests { sha256, sha512, .. } = Digests::of(&bytes);
        for digest in [format!("sha256:{sha256}"), format!("sha512:{sha512}")] {
            let found = daemon.get(&format!("/by-digest/{digest}")).json();
            assert_eq!(found["digest"], digest.as_str());
            assert_eq!(found["matches"][0]["artifact"], *artifact);
            assert_eq!(found["matches"][0]["release"], release["id"]);
        }
        let plan = text(artifact, "/plan");
        let served = daemon.get(&format!("/plans/sha256:{plan}"));
        assert_eq!(Sha256::of(&served.body).to_string(), plan);
        assert_eq!(served.json()["source"]["commit"], release["commit"]);
        for statement in artifact["statements"].as_array().expect("a list") {
            let served = daemon.get(text(statement, "/url"));
            assert_eq!(
                Sha256::of(&served.body).to_string(),
                text(statement, "/digest")
            );
            assert!(
                served
                    .head
                    .contains("application/vnd.dsse.envelope.v1+json")
            );
            assert_eq!(served.json()["signatures"][0]["keyid"], statement["keyId"]);
            exports(world, daemon, artifact, statement);
        }
    }
    for (id, file) in [
        (
            text(release, "/artifacts/0/statements/0/keyId"),
            "keys/local.pub.pem",
        ),
        (
            &key_id(world, "keys/statement.pem"),
            "keys/statement.pub.pem",
        ),
    ] {
        let served = daemon.get(&format!("/keys/{id}.pem"));
        assert_eq!(
            served.body,
            fs::read(world.path(file)).expect("a key"),
            "{file}"
        );
    }
}

/// An envelope in its other forms, as they stand in the folder.
fn exports(world: &World, daemon: &Daemon, artifact: &Value, statement: &Value) {
    let (digest, kind) = (text(statement, "/digest"), text(statement, "/kind"));
    let file = |name: String| fs::read(world.path("data/attestations").join(name));
    let bundle = daemon.get(&format!("{}/bundle", text(statement, "/url")));
    assert!(
        bundle
            .head
            .contains("application/vnd.dev.sigstore.bundle.v0.3+json")
    );
    let written = file(format!("{digest}.{kind}.sigstore.json")).expect("a bundle");
    assert_eq!(bundle.body, written);
    let link = daemon.ask("GET", &format!("{}/link", text(statement, "/url")));
    if kind == "verdict" && artifact["verdict"] == "reproduced" {
        assert_eq!(link.body, file(format!("{digest}.link")).expect("a link"));
        assert_eq!(link.json()["signed"]["_type"], "link");
    } else {
        assert_eq!(link.status, 404, "{}", link.head);
    }
}

fn key_id(world: &World, file: &str) -> String {
    let shown = world
        .run(["key", "show", file, "--format", "json"])
        .expect(0)
        .json();
    text(&shown, "/keyId").to_owned()
}

fn errors(daemon: &Daemon) {
    let zeros = "0".repeat(64);
    for (method, path, status) in [
        ("GET", format!("/by-digest/sha256:{zeros}"), 404),
        ("GET", format!("/by-digest/sha512:{zeros}{zeros}"), 404),
        ("GET", format!("/plans/sha256:{zeros}"), 404),
        ("GET", format!("/attestations/sha256:{zeros}"), 404),
        ("GET", format!("/keys/{zeros}.pem"), 404),
        ("GET", "/keys/statement.pem".to_owned(), 404),
        ("GET", "/api/v1/releases/999".to_owned(), 404),
        ("GET", format!("/by-digest/sha256:{zeros}0"), 400),
        ("GET", format!("/by-digest/{zeros}"), 400),
        (
            "GET",
            "/attestations/..%2f..%2fkeys%2fstatement.pem".to_owned(),
            400,
        ),
        ("GET", "/api/v1/releases/one".to_owned(), 400),
        ("POST", "/api/v1/releases".to_owned(), 405),
        ("DELETE", "/api/v1/releases/1".to_owned(), 405),
        ("PUT", "/".to_owned(), 405),
    ] {
        let reply = daemon.ask(method, &path);
        assert_eq!(reply.status, status, "{method} {path}");
        assert!(
            reply.head.contains("application/problem+json"),
            "{method} {path}"
        );
        assert_eq!(reply.json()["status"], json!(status), "{method} {path}");
    }
    let head = daemon.ask("HEAD", "/api/v1/releases");
    assert_eq!((head.status, head.body.len()), (200, 0));
}

/// Follows the page: downloads what it names, compares the fingerprint, runs the command that it shows.
fn people(world: &World, daemon: &Daemon, release: &Value) {
    let index = daemon.get("/");
    let page = daemon.get(&format!("/releases/{}", release["id"]));
    let shown = world.run(["key", "show", "keys/local.pub.pem", "--format", "json"]);
    let fingerprint = shown.expect(0).json()["fingerprint"].clone();
    for word in [
        "Reproduced: same bytes",
        "Does not match its source as we built it; not proof of an attack",
        "urn:countersign:test",
        text(release, "/commit"),
        text(release, "/artifacts/0/decidedOn"),
        text(release, "/artifacts/0/sha256"),
        "out/&#60;b&#62;other",
        "folders of its own",
        "only who has that folder can rebuild it",
        fingerprint.as_str().expect("text"),
    ] {
        assert!(page.text().contains(word), "{word}: {}", page.text());
    }
    for page in [&index, &page] {
        let policy = "content-security-policy: default-src 'none';";
        assert!(page.head.contains(policy), "{}", page.head);
        let lower = page.text().to_lowercase();
        assert!(
            !lower.contains("safe") && !lower.contains("verified"),
            "{lower}"
        );
        assert!(
            !lower.contains("<b>other") && !lower.contains("<script"),
            "{lower}"
        );
    }
    assert!(
        index.text().contains("Reproduced: same bytes"),
        "{}",
        index.text()
    );

    let mut codes = Vec::new();
    for (command, artifact) in page.text().split("<pre>").skip(1).zip([0, 1]) {
        let (command, _) = command.split_once("</pre>").expect("an end");
        let words: Vec<&str> = command.split(' ').collect();
        let [
            "countersign",
            "verify",
            file,
            "--key",
            key,
            "--attestation",
            attestation,
        ] = words[..]
        else {
            panic!("{command}")
        };
        let published = fs::read(world.path(format!("p/{file}"))).expect("the file");
        world.write(file, published);
        world.write(key, daemon.get(&format!("/keys/{key}")).body);
        let url = text(&release["artifacts"][artifact], "/statements/0/url");
        let envelope = daemon.get(url).body;
        world.write(attestation, &envelope);
        let line = command.replacen("countersign", &binary().display().to_string(), 1);
        let mut shell = Command::new("sh");
        shell.current_dir(world.path("")).args(["-c", &line]);
        codes.push(ran(&mut shell).code);
        // and not with another key, nor of another file
        for [file, key] in [[file, "keys/statement.pub.pem"], ["daemon.log", key]] {
            let other = ["verify", file, "--key", key, "--attestation", attestation];
            let _ = world.run(other).expect(4);
        }
    }
    assert_eq!(codes, [Some(0), Some(1)], "reproduced, differs");
}

fn strangers(daemon: &Daemon, hostile: &Value) {
    assert_eq!(hostile["artifacts"], json!([]), "{hostile:#}");
    let page = daemon.get(&format!("/releases/{}", hostile["id"]));
    for page in [daemon.get("/"), page] {
        let shown = "v&#60;script&#62;alert(1)&#60;&#38;&#34;&#39;/script&#62;";
        assert!(page.text().contains(shown), "{}", page.text());
        assert!(!page.text().contains("<script"), "{}", page.text());
    }
    let page = daemon.get(&format!("/releases/{}", hostile["id"]));
    assert!(page.text().contains("No published file was found so far"));
}

/// A fault after the decision: the statements wait, and are issued once it is gone, without a build.
#[test]
fn what_cannot_be_written_waits_and_is_not_decided_again() {
    let world = world();
    world.write("data/attestations", "a file where a folder must be");
    let ran = world.run(["daemon", "--once"]).expect(5);
    assert!(ran.stderr.contains("statements wait"), "{ran:#?}");
    let list = || {
        let ran = world.run(["release", "list", "--format", "json"]);
        let list = ran.expect(0).json();
        let releases = list["releases"].as_array().expect("releases").clone();
        let mut found = releases.into_iter().filter(|r| r["tag"] == "v1.0.0");
        found.next().expect("the release")
    };
    let waiting = list();
    assert_eq!(waiting["state"], "judged", "{waiting:#}");
    assert_eq!(waiting["artifacts"][0]["verdict"], Value::Null);

    fs::remove_file(world.path("data/attestations")).expect("gone");
    let _ = world.run(["daemon", "--once"]);
    let done = list();
    assert_eq!(done["state"], "done", "{done:#}");
    assert_eq!(done["artifacts"][0]["verdict"], "reproduced");
    assert_eq!(done["rebuilds"].as_array().map(Vec::len), Some(1));
    assert_eq!(done["rebuilds"][0]["attempt"], 1);
}

#[test]
fn a_daemon_that_builds_ends_when_it_is_asked_to() {
    let world = World::new();
    let repository = world.repository("slow");
    // a number that nobody else sleeps for
    repository.write("build.sh", "sleep 98765\n");
    repository.release("v1.0.0");
    world.write("p/slow-1.0.0.txt", "slow\n");
    world.configure_with(
        "listen: 127.0.0.1:0",
        "  - source: ./slow\n    published: './p/slow-{version}.txt'\n    build:\n      \
         steps: [[sh, build.sh]]\n      outputs: ['out/slow.txt']\n",
    );
    let daemon = Daemon::start(&world);
    let _ = daemon.release("v1.0.0", |release| release["state"] == "running");
    wait_for("the build", || sleeps().then_some(()));
    daemon.stop();
    wait_for("the end of the build", || (!sleeps()).then_some(()));
    let list = world
        .run(["release", "list", "--format", "json"])
        .expect(0)
        .json();
    assert_eq!(
        list["releases"][0]["artifacts"],
        json!([]),
        "nothing is said of it"
    );
}

/// Whether the build's process exists anywhere on this machine.
fn sleeps() -> bool {
    let processes = fs::read_dir("/proc").expect("processes").flatten();
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .any(|line| line == b"sleep\x0098765\0")
}
