//! Promise: an operator decides what becomes of verdicts that a project would not like to read first in
//! public: signed at once, held for so many hours while the project is told, or kept to itself.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use countersign_tests::{Ran, World};
use serde_json::Value;

/// 24 bytes, the fewest that sign.
const SECRET: &str = "a secret of 24 characters";

/// A project's end of the webhook: answers each request with the next status, and hands it out.
struct Receiving {
    address: String,
    requests: Receiver<String>,
}

fn receiving(statuses: &'static [&'static str]) -> Receiving {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (say, requests): (Sender<String>, _) = channel();
    thread::spawn(move || {
        for status in statuses {
            let (mut stream, _) = listener.accept().expect("a request");
            let mut text = Vec::new();
            let mut piece = [0; 4096];
            while !is_whole(&text) {
                let read = stream.read(&mut piece).expect("a request");
                assert_ne!(read, 0, "half a request");
                text.extend_from_slice(&piece[..read]);
            }
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).expect("an answer");
            let _ = say.send(String::from_utf8(text).expect("text"));
        }
    });
    Receiving { address, requests }
}

fn is_whole(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.parse().ok()) == Some(body.len())
}

/// A world with a release whose published file is not what it builds to, and this knob.
fn world(knob: &str, for_this_project: &str) -> World {
    let world = World::new();
    let repository = world.repository("x");
    repository.write(
        "build.sh",
        "mkdir out; { echo built of; cat content; } > out/x-$1.txt\n",
    );
    repository.write("content", "what the source says\n");
    repository.release("v1.0.0");
    world.write("published/x-1.0.0.txt", "built of\nsomething else\n");
    world.write("secret", SECRET);
    private(&world.path("secret"));
    world.configure_with(
        knob,
        &format!(
            "  - source: ./x\n    published: './published/x-{{version}}.txt'\n{for_this_project}    build:\n      \
             steps: [[sh, build.sh, '{{version}}']]\n      outputs: ['out/x-{{version}}.txt']\n"
        ),
    );
    world
}

fn private(path: &Path) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, mode).expect("a mode");
}

/// One round of the daemon, so many hours from now.
fn round(world: &World, hours: u64) -> Ran {
    let mut command = world.command(["daemon", "--once"]);
    command.env(
        "COUNTERSIGN_CLOCK_AHEAD_SECONDS",
        (hours * 3600).to_string(),
    );
    countersign_tests::ran(&mut command).expect(0)
}

/// What everybody can see, by the interface that pages have too.
fn public(world: &World) -> Value {
    let ran = world.run(["release", "show", "1", "--format", "json"]);
    ran.expect(0).json()
}

fn held(world: &World) -> Vec<Value> {
    let status = world.run(["status", "--format", "json"]).expect(0).json();
    status["held"].as_array().expect("a list").clone()
}

fn signed(world: &World) -> usize {
    std::fs::read_dir(world.path("data/attestations")).map_or(0, Iterator::count)
}

fn hold(address: &str, more: &str) -> String {
    format!(
        "negative_verdicts: {{ action: hold, hours: 72, webhook: {{ url: 'http://{address}/hook', secret: secret{more} }} }}"
    )
}

#[test]
fn without_a_word_a_negative_verdict_is_signed_at_once() {
    let world = world("", "");
    let _ = round(&world, 0);
    assert_eq!(public(&world)["artifacts"][0]["verdict"], "indeterminate");
    assert!(signed(&world) > 0 && held(&world).is_empty());
}

#[test]
fn a_held_verdict_is_told_to_the_project_and_public_at_its_time() {
    let project = receiving(&[
        "500 Busy",
        "302 Found\r\nLocation: /other",
        "204 No Content",
    ]);
    let world = world(&hold(&project.address, ", private_address: true"), "");
    let _ = round(&world, 0);
    let nothing_is_out = || {
        let shown = public(&world);
        let text = shown.to_string();
        assert!(shown["artifacts"][0]["verdict"].is_null(), "{shown:#}");
        assert!(
            !text.contains("indeterminate") && !text.contains("not-comparable"),
            "{text}"
        );
        assert_eq!(signed(&world), 0);
    };
    nothing_is_out();
    let only = held(&world);
    assert_eq!(only.len(), 1);
    assert_eq!(
        (&only[0]["verdict"], &only[0]["noticedOn"]),
        (&"indeterminate".into(), &Value::Null)
    );
    assert!(
        only[0]["noticeProblem"]
            .as_str()
            .expect("a problem")
            .contains("500"),
        "{only:?}"
    );
    // tried again later, over restarts; a redirect is not followed
    let _ = round(&world, 1);
    assert!(
        held(&world)[0]["noticeProblem"]
            .as_str()
            .expect("a problem")
            .contains("302")
    );
    let _ = round(&world, 2);
    assert!(held(&world)[0]["noticedOn"].is_string());
    let _ = round(&world, 3);
    let requests: Vec<String> = project.requests.try_iter().collect();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        check_signature(&world, request);
    }
    nothing_is_out();

    let _ = round(&world, 71);
    nothing_is_out();
    let _ = round(&world, 73);
    assert_eq!(public(&world)["artifacts"][0]["verdict"], "indeterminate");
    assert!(signed(&world) > 0 && held(&world).is_empty());
    #[rustfmt::skip]
    let verify = [
        "verify", "published/x-1.0.0.txt", "--key", "keys/local.pub.pem",
        "--attestation", "data/attestations",
    ];
    let _ = world.run(verify).expect(3);
}

/// Computes the signature with somebody else's program.
fn check_signature(world: &World, request: &str) {
    let (head, body) = request.split_once("\r\n\r\n").expect("a request");
    let header = |name: &str| {
        let line = head
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name} in {head}"))
    };
    assert!(head.starts_with("POST /hook HTTP/1.1"), "{head}");
    assert!(!request.contains(SECRET), "{request}");
    let signed = format!(
        "{}.{}.{body}",
        header("webhook-id"),
        header("webhook-timestamp")
    );
    world.write("signed", signed);
    let script = format!("openssl dgst -sha256 -hmac '{SECRET}' -binary signed | base64 -w0");
    let mut command = std::process::Command::new("sh");
    let ran = countersign_tests::ran(command.current_dir(world.path("")).args(["-c", &script]));
    assert_eq!(
        header("webhook-signature"),
        format!("v1,{}", ran.expect(0).stdout)
    );
    let said: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(said["data"]["verdict"], "indeterminate", "{said:#}");
    assert_eq!(said["data"]["artifact"]["name"], "x-1.0.0.txt", "{said:#}");
}

#[test]
fn a_webhook_that_is_down_changes_nothing_about_the_end() {
    // bound and closed again: nobody listens
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = nobody.local_addr().expect("an address").to_string();
    drop(nobody);
    let world = world(&hold(&address, ", private_address: true"), "");
    for hours in [0, 1, 30] {
        let _ = round(&world, hours);
        assert!(held(&world)[0]["noticeProblem"].is_string());
    }
    let _ = round(&world, 73);
    assert_eq!(public(&world)["artifacts"][0]["verdict"], "indeterminate");
}

#[test]
fn a_private_address_is_not_spoken_to_without_a_word() {
    let project = receiving(&["204 No Content"]);
    let world = world(&hold(&project.address, ""), "");
    let _ = round(&world, 0);
    let problem = held(&world)[0]["noticeProblem"].clone();
    assert!(
        problem
            .as_str()
            .expect("a problem")
            .contains("private_address"),
        "{problem}"
    );
    assert!(
        project
            .requests
            .recv_timeout(Duration::from_millis(50))
            .is_err()
    );
}

#[test]
fn what_is_reproduced_before_the_end_is_all_that_is_public() {
    let world = world("negative_verdicts: { action: hold, hours: 72 }", "");
    let _ = round(&world, 0);
    assert_eq!(held(&world).len(), 1);
    // the rebuilder's fault, say: the file is what the source gives
    let repository = countersign_tests::Repository {
        path: world.path("x"),
    };
    repository.write("content", "something else\n");
    repository.git(["add", "-A"]);
    repository.git(["commit", "-q", "-m", "mended"]);
    repository.git(["tag", "-f", "v1.0.0"]);
    let _ = round(&world, 1);
    let _ = world.run(["release", "ack", "1"]).expect(0);
    let _ = round(&world, 2);
    assert_eq!(public(&world)["artifacts"][0]["verdict"], "reproduced");
    assert!(held(&world).is_empty());
    let before = signed(&world);
    let _ = round(&world, 100);
    assert_eq!(public(&world)["artifacts"][0]["verdict"], "reproduced");
    assert_eq!(signed(&world), before);
}

#[test]
fn log_only_for_one_project_is_the_operators_to_see() {
    let world = world(
        "negative_verdicts: { action: sign }",
        "    negative_verdicts: { action: log-only }\n",
    );
    let _ = round(&world, 0);
    let _ = round(&world, 24 * 365);
    assert!(public(&world)["artifacts"][0]["verdict"].is_null());
    assert_eq!(signed(&world), 0);
    let only = held(&world);
    assert_eq!((only.len(), &only[0]["until"]), (1, &Value::Null));
    let text = world.run(["status"]).expect(0).stdout;
    assert!(text.contains("kept back for good"), "{text}");
}

#[test]
fn a_knob_that_says_nothing_clear_is_refused() {
    for (knob, expected) in [
        ("{ action: hold }", "negative_verdicts.hours"),
        ("{ action: hold, hours: 0 }", "negative_verdicts.hours"),
        ("{ action: hold, hours: 2161 }", "negative_verdicts.hours"),
        ("{ action: sign, hours: 3 }", "negative_verdicts.hours"),
        ("{ action: never }", "unknown variant"),
        (
            "{ action: hold, hours: 3, webhook: { url: 'http://project.example/', secret: s } }",
            "webhook.url",
        ),
        (
            "{ action: hold, hours: 3, webhook: { url: 'https://u:p@project.example/', secret: s } }",
            "webhook.url",
        ),
        (
            "{ action: hold, hours: 3, webhook: { url: 'https://project.example/', secret: 'credential:s' } }",
            "webhook.secret",
        ),
        (
            "{ action: hold, hours: 3, webhook: { url: 'https://project.example/' } }",
            "secret",
        ),
    ] {
        let world = World::new();
        world.configure_with(&format!("negative_verdicts: {knob}"), "  []\n");
        let ran = world.run(["config", "check"]).expect(2);
        assert!(ran.stderr.contains(expected), "{knob}: {ran:#?}");
    }
}
