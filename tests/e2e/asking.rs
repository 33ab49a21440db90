//! Promise: `verify --from` asks a rebuilder's running service, believes no word of it but what the key
//! signed, and tells a service that is down from one that has nothing.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use countersign_attest::digest::Digests;
use countersign_fixtures::registries::{Answer, Registry};
use countersign_tests::{Ran, World};

/// A listening daemon with two releases, one reproduced and one not; gone when the value is.
struct Service {
    world: World,
    address: SocketAddr,
    process: Child,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("it")
}

fn service() -> Service {
    let world = World::new();
    let repository = world.repository("x");
    repository.write("build.sh", "mkdir out; echo $1 > out/x-$1.txt\n");
    for (version, published) in [("1.0.0", "1.0.0\n"), ("1.1.0", "something else\n")] {
        repository.write("version", version);
        repository.release(&format!("v{version}"));
        world.write(format!("published/x-{version}.txt"), published);
    }
    let address = free_address();
    world.configure_with(
        &format!("listen: {address}"),
        "  - source: ./x\n    published: './published/x-{version}.txt'\n    backlog: 2\n    build:\n      \
         steps: [[sh, build.sh, '{version}']]\n      outputs: ['out/x-{version}.txt']\n",
    );
    let _ = world.run(["daemon", "--once"]).expect(0);
    let process = world
        .command(["daemon"])
        .stderr(Stdio::null())
        .spawn()
        .expect("a daemon");
    let service = Service {
        world,
        address,
        process,
    };
    for _ in 0..200 {
        if TcpStream::connect(address).is_ok() {
            return service;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the daemon does not listen");
}

impl Service {
    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn verify(&self, file: &str, key: &str, further: &[&str]) -> Ran {
        let arguments = ["verify", file, "--key", key, "--format", "json"];
        self.world.run(arguments.iter().chain(further))
    }
}

const KEY: &str = "keys/local.pub.pem";
const GOOD: &str = "published/x-1.0.0.txt";
/// Not what the source builds, in a form that cannot be looked into.
const OTHER: &str = "published/x-1.1.0.txt";

#[test]
fn a_running_service_is_asked() {
    let service = service();
    let url = service.url();
    let from = ["--from", url.as_str()];
    let said = service.verify(GOOD, KEY, &from).expect(0).json();
    assert_eq!(said["decision"], "accepted", "{said:#}");
    assert_eq!(said["decided_by"]["verdict"], "reproduced");
    let place = said["decided_by"]["attestation"].as_str().expect("a place");
    assert!(
        place.starts_with(&format!("{url}/attestations/sha256:")),
        "{place}"
    );
    let said = service.verify(OTHER, KEY, &from).expect(3);
    assert_eq!(said.json()["decided_by"]["verdict"], "indeterminate");

    // by digest alone, of either kind
    let digests = Digests::of(b"1.0.0\n");
    for digest in [
        format!("sha256:{}", digests.sha256),
        format!("sha512:{}", digests.sha512),
    ] {
        let _ = service.verify(&digest, KEY, &from).expect(0);
    }

    // what it found is counted once, wherever else it lies; the link of it is evidence of its own
    let folder = ["--attestation", "data/attestations"];
    let both = service
        .verify(GOOD, KEY, &[from, folder].concat())
        .expect(0);
    let both = both.json();
    let about_these = |said: &&serde_json::Value| said["about_sha256"] == both["subject"]["sha256"];
    let others = both["others"].as_array().expect("a list");
    let forms: Vec<_> = others
        .iter()
        .filter(about_these)
        .map(|s| &s["form"])
        .collect();
    assert_eq!(forms, ["link"], "{both:#}");

    // another key, and bytes that the service never saw
    let _ = service.world.run(["key", "new", "stranger.pem"]).expect(0);
    let said = service.verify(GOOD, "stranger.pub.pem", &from).expect(4);
    assert_eq!(said.json()["decision"], "bad-signature");
    service.world.write("x-1.0.0.txt", "1.0.0\r\n");
    let said = service.verify("x-1.0.0.txt", KEY, &from).expect(4).json();
    assert_eq!(said["decision"], "nothing-found", "{said:#}");
    assert_eq!(said["problems"][0]["code"], "nothing-there");
}

#[test]
fn who_is_down_is_a_fault_only_where_nobody_else_answers() {
    let service = service();
    let (up, down) = (service.url(), format!("http://{}", free_address()));
    let said = service.verify(GOOD, KEY, &["--from", &down]).expect(5);
    assert_eq!(said.json()["decision"], "unreachable");
    let both = ["--from", &down, "--from", &up];
    let said = service.verify(GOOD, KEY, &both).expect(0).json();
    assert_eq!(said["problems"][0]["code"], "unreachable", "{said:#}");
    let files = ["--from", &down, "--attestation", "data/attestations"];
    let _ = service.verify(GOOD, KEY, &files).expect(0);
    let _ = service.verify(OTHER, KEY, &files).expect(3);
}

#[test]
fn a_service_that_lies_convinces_nobody() {
    let service = service();
    let server = Registry::start().expect("a server");
    let url = server.url();
    let said = service
        .verify(GOOD, KEY, &["--from", &service.url()])
        .json();
    let digest = said["subject"]["sha256"].as_str().expect("hex").to_owned();
    let list = format!("/by-digest/sha256:{digest}");
    let listed = |attestation: &str| {
        let statements = serde_json::json!([{"digest": attestation, "kind": "verdict"}]);
        let list = serde_json::json!({"matches": [{"artifact": {
            "verdict": "reproduced", "statements": statements,
        }}]});
        Answer::Bytes(list.to_string().into_bytes())
    };
    let place = said["decided_by"]["attestation"].as_str().expect("a place");
    let (_, name) = place.rsplit_once(':').expect("a digest");
    let path = format!("/attestations/sha256:{name}");
    let file = format!("data/attestations/{name}.verdict.dsse.json");
    let envelope = std::fs::read(service.world.path(file)).expect("an envelope");

    // the control: a mirror that carries the same bytes is as good
    server.put(&list, listed(name));
    server.put(&path, Answer::Bytes(envelope.clone()));
    let _ = service.verify(GOOD, KEY, &["--from", &url]).expect(0);

    let mut changed = envelope.clone();
    changed[100] ^= 1;
    for answer in [
        Answer::Bytes(changed),
        Answer::Bytes(Vec::new()),
        Answer::Status(404),
        Answer::Redirect(format!("{}/attestations/sha256:{name}", service.url())),
    ] {
        server.put(&path, answer.clone());
        let said = service.verify(GOOD, KEY, &["--from", &url]).expect(4);
        assert_eq!(said.json()["decision"], "unreadable", "{answer:?}");
    }
    // the list's own word for the verdict is not read
    server.put(&list, listed(&digest));
    let _ = service.verify(GOOD, KEY, &["--from", &url]).expect(4);
    server.put(&list, Answer::Bytes(b"reproduced".to_vec()));
    let said = service
        .verify(GOOD, KEY, &["--from", &url])
        .expect(4)
        .json();
    assert_eq!(said["problems"][0]["code"], "bad-answer", "{said:#}");
    server.put(&list, Answer::Status(503));
    let _ = service.verify(GOOD, KEY, &["--from", &url]).expect(5);
}

#[test]
fn an_address_that_may_not_be_asked_is_the_callers_mistake() {
    let world = World::new();
    world.write("x", "x");
    let _ = world.run(["key", "new", "k.pem"]).expect(0);
    for bad in [
        "http://rebuilder.example/",
        "ftp://127.0.0.1/",
        "https://u:p@127.0.0.1/",
        "127.0.0.1:80",
        "http://127.0.0.1/?x",
    ] {
        let arguments = ["verify", "x", "--key", "k.pub.pem", "--from", bad];
        let ran = world.run(arguments).expect(2);
        assert!(ran.stderr.contains("--from"), "{ran:#?}");
    }
    // neither a file nor an address; and --allow-http without anything to ask
    let _ = world.run(["verify", "x", "--key", "k.pub.pem"]).expect(2);
    let arguments = ["verify", "x", "--key", "k.pub.pem", "--attestation", "x"];
    let _ = world
        .run(arguments.iter().chain(&["--allow-http"]))
        .expect(2);
}
