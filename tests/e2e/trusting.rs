//! Promise: nobody comes into a user's policy unseen. An operator says who it is and proves that it has
//! its key; a person, or a script that names the key, says yes; a key changes only where the old one
//! signed that; a list is taken over when asked for and leads nowhere.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use countersign_fixtures::registries::{Answer, Registry};
use countersign_tests::{Ran, World, binary, ran};

/// A daemon that watches nothing and says who it is; gone when the value is.
struct Operator {
    world: World,
    address: SocketAddr,
    process: Option<Child>,
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Operator {
    fn start() -> Self {
        let world = World::new();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it");
        drop(listener);
        let _ = world.run(["key", "new", "keys/a.pem"]).expect(0);
        let mut operator = Self {
            world,
            address,
            process: None,
        };
        operator.restart("keys/a.pem", &format!("http://{address}/"));
        operator
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    fn configure(&self, key: &str, says: &str) {
        let address = self.address;
        self.world.write(
            "countersign.yaml",
            format!(
                "version: 1\nrebuilder: {{ id: urn:test:alice, address: '{says}' }}\nlisten: {address}\nkey: {key}\n"
            ),
        );
    }

    fn restart(&mut self, key: &str, says: &str) {
        self.stop();
        self.configure(key, says);
        let mut daemon = self.world.command(["daemon"]);
        self.process = Some(daemon.stderr(Stdio::null()).spawn().expect("a daemon"));
        for _ in 0..600 {
            if TcpStream::connect(self.address).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the daemon does not listen");
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What `key show` says of a key: (fingerprint, `ed25519:…`).
    fn key(&self, file: &str) -> (String, String) {
        let shown = self
            .world
            .run(["key", "show", file, "--format", "json"])
            .expect(0);
        let id = shown.json()["fingerprint"]
            .as_str()
            .expect("text")
            .to_owned();
        let pem = std::fs::read(self.world.path(file)).expect("a key");
        let key = countersign_attest::key::PublicKey::from_pem(&pem).expect("a key");
        (id, key.to_string())
    }
}

fn trust(world: &World, arguments: &[&str]) -> Ran {
    world.run([&["trust"], arguments].concat())
}

fn policy(world: &World) -> String {
    std::fs::read_to_string(world.path("own/policy.yaml")).unwrap_or_default()
}

#[test]
fn an_operator_is_shown_and_taken_only_with_the_key_that_was_named() {
    let operator = Operator::start();
    let user = World::new();
    let url = operator.url();
    let (fingerprint, key) = operator.key("keys/a.pub.pem");

    // nobody can be asked here; what was found is shown all the same, and nothing is written
    let ran = trust(&user, &["add", &url]).expect(2);
    for shown in [&fingerprint, &key, "urn:test:alice", &url] {
        assert!(ran.stderr.contains(shown), "{shown}: {ran:#?}");
    }
    let _ = trust(&user, &["add", &url, "--yes"]).expect(2);
    let other = fingerprint.replace(|c: char| c.is_ascii_digit(), "f");
    let ran = trust(&user, &["add", &url, "--yes", "--key", &other]).expect(4);
    assert!(ran.stderr.contains("not the key"), "{ran:#?}");
    assert_eq!(policy(&user), "");

    let named = [
        "add",
        &url,
        "--yes",
        "--name",
        "alice",
        "--key",
        &fingerprint,
    ];
    let _ = trust(&user, &named).expect(0);
    let text = policy(&user);
    assert!(
        text.contains(&key) && text.contains("of: [alice]"),
        "{text}"
    );
    let _ = user.run(["policy", "check", "own/policy.yaml"]).expect(0);
    // the same again changes nothing; under another name it is refused
    let _ = trust(&user, &named).expect(0);
    let _ = trust(
        &user,
        &["add", &url, "--yes", "--name", "bob", "--key", &key],
    )
    .expect(4);
    assert_eq!(policy(&user), text);

    let listed = trust(&user, &["list", "--format", "json"]).expect(0).json();
    assert_eq!(
        listed["operators"][0]["keys"][0]["key"],
        key.as_str(),
        "{listed:#}"
    );
    assert_eq!(listed["operators"][0]["rules"][0], "default");

    // another one beside it, and more than one asked for; then it goes again
    let second = Operator::start();
    let (print, _) = second.key("keys/a.pub.pem");
    let further = [
        "add",
        &second.url(),
        "--name",
        "bob",
        "--require",
        "2",
        "--yes",
        "--key",
        &print,
    ];
    let added = trust(&user, &[&further[..], &["--format", "json"]].concat())
        .expect(0)
        .json();
    assert_eq!(
        added["default"],
        serde_json::json!({"k": 2, "of": ["alice", "bob"]})
    );
    let before = policy(&user);
    let ran = trust(&user, &["remove", "bob"]).expect(2);
    assert!(ran.stderr.contains("left as it is"), "{ran:#?}");
    assert_eq!(policy(&user), before);
    user.write("own/policy.yaml", before.replace("k: 2", "k: 1"));
    let _ = trust(&user, &["remove", "bob"]).expect(0);
    assert_eq!(policy(&user), text);
    let _ = trust(&user, &["remove", "bob"]).expect(2);
    let _ = trust(&user, &["remove", "alice"]).expect(2);

    // without --key and --policy, verify uses it; nobody has anything about this file
    user.write("x.tgz", b"unknown");
    let ran = user.run(["verify", "x.tgz", "--format", "json"]).expect(4);
    assert_eq!(ran.json()["decision"], "not-enough", "{ran:#?}");
}

/// A terminal of util-linux, in which somebody types.
fn typed(world: &World, answer: &str, arguments: &str) -> Ran {
    let mut terminal = Command::new("script");
    terminal
        .args([
            "-qec",
            &format!("{} {arguments}", binary().display()),
            "/dev/null",
        ])
        .current_dir(world.path(""))
        .env("COUNTERSIGN_POLICY", world.path("own/policy.yaml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = terminal
        .spawn()
        .expect("script of util-linux (tests/setup)");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(answer.as_bytes()).expect("typed");
    let output = child.wait_with_output().expect("an end");
    drop(stdin);
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn a_person_is_asked_and_silence_is_a_no() {
    let operator = Operator::start();
    let user = World::new();
    let add = format!("trust add {} --name alice", operator.url());
    for no in ["\n", "n\n", "yess\n"] {
        let ran = typed(&user, no, &add).expect(4);
        assert!(ran.stdout.contains("Trust alice in"), "{ran:#?}");
        assert_eq!(policy(&user), "");
    }
    let _ = typed(&user, "y\n", &add).expect(0);
    assert!(policy(&user).contains("alice:"));
}

#[test]
fn a_changed_key_counts_only_where_the_old_one_signed_that() {
    let mut operator = Operator::start();
    let user = World::new();
    let (fingerprint, old) = operator.key("keys/a.pub.pem");
    let named = ["--name", "alice", "--yes", "--key", &fingerprint];
    let _ = trust(&user, &[&["add", &operator.url()], &named[..]].concat()).expect(0);
    let own = "# mine\n".to_owned() + &policy(&user);
    user.write("own/policy.yaml", &own);
    let same = trust(&user, &["sync", "--format", "json"]).expect(0).json();
    assert_eq!(same["operators"][0]["found"][0], "same", "{same:#}");

    let url = operator.url();
    let _ = operator.world.run(["key", "new", "keys/b.pem"]).expect(0);
    let (_, new) = operator.key("keys/b.pub.pem");
    operator.restart("keys/b.pem", &url);
    for arguments in [
        &["sync"][..],
        &["sync", "--yes"],
        &["sync", "alice", "--yes"],
    ] {
        let ran = trust(&user, arguments).expect(4);
        assert!(ran.stderr.contains("REFUSED"), "{ran:#?}");
        assert_eq!(policy(&user), own);
    }
    // trust add is no way around it
    let (print, _) = operator.key("keys/b.pub.pem");
    for name in ["alice", "bob"] {
        let again = ["add", &url, "--name", name, "--yes", "--key", &print];
        let _ = trust(&user, &again).expect(4);
    }
    assert_eq!(policy(&user), own);

    operator.configure("keys/a.pem", &url);
    let _ = operator
        .world
        .run(["key", "rotate", "keys/b.pem", "--at", "2026-01-01"])
        .expect(0);
    operator.restart("keys/b.pem", &url);
    let ran = trust(&user, &["sync"]).expect(2); // shown, and nobody can be asked
    assert!(ran.stderr.contains("signed by the old key"), "{ran:#?}");
    assert_eq!(policy(&user), own);
    let taken = trust(&user, &["sync", "--yes", "--format", "json"])
        .expect(0)
        .json();
    assert_eq!(taken["operators"][0]["found"][0], "rotated", "{taken:#}");
    let text = policy(&user);
    assert!(
        text.starts_with("# mine\n") && text.contains(&old) && text.contains(&new),
        "{text}"
    );
    assert!(text.contains("until: \"2026-01-01T00:00:00Z\""), "{text}");
    let _ = trust(&user, &["sync"]).expect(0);

    // the old key comes back, as from somebody who kept it
    operator.restart("keys/a.pem", &url);
    let ran = trust(&user, &["sync", "--yes"]).expect(4);
    assert!(ran.stderr.contains("has ended"), "{ran:#?}");
    assert_eq!(policy(&user), text);
    // and nobody at all
    operator.stop();
    let _ = trust(&user, &["sync"]).expect(5);
    assert_eq!(policy(&user), text);
}

#[test]
fn a_service_that_lies_about_itself_is_not_taken() {
    let mut operator = Operator::start();
    let (fingerprint, _) = operator.key("keys/a.pub.pem");
    let user = World::new();
    let fake = Registry::start().expect("a server");
    let url = fake.url();
    let real = format!("{}api/v1/identity", operator.url());
    let mut curl = TcpStream::connect(operator.address).expect("a connection");
    write!(
        curl,
        "GET /api/v1/identity HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    )
    .expect("asked");
    let mut reply = String::new();
    std::io::Read::read_to_string(&mut curl, &mut reply).expect("an answer");
    let (_, card) = reply.split_once("\r\n\r\n").expect("a body");
    let add = ["add", &url, "--yes", "--key", &fingerprint];
    let mut value: serde_json::Value = serde_json::from_str(card).expect("JSON");
    value["rotations"] = serde_json::json!([value["identity"]]);
    let mut unsigned: serde_json::Value = serde_json::from_str(card).expect("JSON");
    unsigned["identity"]["signatures"][0]["sig"] = "AAAA".into();
    let twice = card.replacen('{', "{\"identity\":{},", 1);
    let cases = [
        // a good card of another address
        (Answer::Bytes(card.as_bytes().to_vec()), 4),
        (Answer::Bytes(value.to_string().into_bytes()), 4),
        (Answer::Bytes(unsigned.to_string().into_bytes()), 4),
        (Answer::Bytes(twice.into_bytes()), 4),
        (Answer::Bytes(b"\x1b]0;owned\x07".to_vec()), 4),
        (Answer::Bytes(vec![b' '; (256 << 10) + 1]), 4),
        (Answer::Redirect(real), 4),
        (Answer::Status(404), 4),
        (Answer::Status(503), 5),
    ];
    for (answer, code) in cases {
        fake.put("/api/v1/identity", answer.clone());
        let ran = trust(&user, &add).expect(code);
        assert!(!ran.stderr.contains('\u{1b}'), "{answer:?}: {ran:#?}");
        assert_eq!(policy(&user), "", "{answer:?}");
    }
    // the control: one that says no address, or this one, is taken
    operator.restart("keys/a.pem", &url);
    let mut curl = TcpStream::connect(operator.address).expect("a connection");
    write!(
        curl,
        "GET /api/v1/identity HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    )
    .expect("asked");
    let mut reply = String::new();
    std::io::Read::read_to_string(&mut curl, &mut reply).expect("an answer");
    let (_, card) = reply.split_once("\r\n\r\n").expect("a body");
    fake.put("/api/v1/identity", Answer::Bytes(card.as_bytes().to_vec()));
    let _ = trust(&user, &add).expect(0);
}

#[test]
fn a_list_is_taken_over_with_its_makers_key_and_leads_nowhere() {
    let operator = Operator::start();
    let (fingerprint, key) = operator.key("keys/a.pub.pem");
    let maker = World::new();
    let named = ["--name", "alice", "--yes", "--key", &fingerprint];
    let _ = trust(&maker, &[&["add", &operator.url()], &named[..]].concat()).expect(0);
    let _ = maker.run(["key", "new", "list.pem"]).expect(0);
    let share = ["share", "--key", "list.pem", "--title", "Some rebuilders"];
    let list = trust(&maker, &share).expect(0).stdout;
    let _ = trust(
        &maker,
        &["share", "mallory", "--key", "list.pem", "--title", "x"],
    )
    .expect(2);
    let pem = std::fs::read(maker.path("list.pub.pem")).expect("a key");
    let makers = countersign_attest::key::PublicKey::from_pem(&pem)
        .expect("a key")
        .to_string();

    let user = World::new();
    user.write("list.json", &list);
    let _ = trust(&user, &["add", "--list", "list.json"]).expect(2);
    let _ = trust(&user, &["add", "--list", "list.json", "--key", &makers]).expect(2); // nobody to ask
    let _ = trust(
        &user,
        &["add", "--list", "list.json", "--yes", "--key", &key],
    )
    .expect(4);
    let take = ["add", "--list", "list.json", "--yes", "--key", &makers];
    for (from, to) in [
        // changed, and what is no list
        ("\"payload\":\"ey", "\"payload\":\"eX"),
        ("operators.v1", "identity.v1"),
    ] {
        user.write("list.json", list.replace(from, to));
        let ran = trust(&user, &take).expect(4);
        assert!(ran.stderr.contains("the list is not taken"), "{ran:#?}");
    }
    user.write("list.json", &list);
    let only = [&take[..], &["--only", "bob"]].concat();
    let _ = trust(&user, &only).expect(4);
    assert_eq!(policy(&user), "");
    let _ = trust(&user, &take).expect(0);
    assert!(policy(&user).contains(&key));
    assert!(
        !policy(&user).contains(&makers),
        "the maker of a list is no operator"
    );

    // over the network, from where it was asked for and no further
    let server = Registry::start().expect("a server");
    server.put("/list", Answer::Bytes(list.clone().into_bytes()));
    let other = Registry::start().expect("a server");
    other.put("/list", Answer::Redirect(format!("{}list", server.url())));
    let user = World::new();
    let from = |place: &str| {
        let arguments = ["add", "--yes", "--key", &makers, "--list", place];
        trust(&user, &arguments)
    };
    let _ = from(&format!("{}list", other.url())).expect(5);
    assert_eq!(policy(&user), "");
    let _ = from(&format!("{}list", server.url())).expect(0);
    assert_eq!(server.requests().len(), 1, "{:?}", server.requests());
}

#[test]
fn a_policy_of_another_hand_is_changed_rightly_or_not_at_all() {
    let operator = Operator::start();
    let (fingerprint, _) = operator.key("keys/a.pub.pem");
    let user = World::new();
    let add = [
        "add",
        &operator.url(),
        "--name",
        "dora",
        "--yes",
        "--key",
        &fingerprint,
    ];
    let example = include_str!("../../config/examples/policy.yaml");
    user.write("own/policy.yaml", example);
    let _ = trust(&user, &add).expect(0);
    let text = policy(&user);
    for line in example.lines() {
        let kept = text.contains(line) || line.contains("k: 1, of: [alice, bob]");
        assert!(kept, "{line}\n{text}");
    }
    // a rule that enforces asks nobody without a log
    let enforcing = example.replace(
        "    mode: warn                           # enforce where absent\n",
        "",
    );
    assert_ne!(enforcing, example);
    for bad in [
        enforcing.as_str(),
        "version: 1\noperators: { x: { keys: [] } }\n",
        "operators",
        "",
    ] {
        user.write("own/policy.yaml", bad);
        let ran = trust(&user, &add).expect(2);
        assert!(
            ran.stderr.contains("policy.yaml") || ran.stderr.contains("policy"),
            "{ran:#?}"
        );
        assert_eq!(policy(&user), bad);
    }
    let without_rule = [&add[..], &["--no-rule"]].concat();
    user.write("own/policy.yaml", &enforcing);
    let _ = trust(&user, &without_rule).expect(0);
    let listed = ran(&mut user.command(["trust", "list"])).expect(0);
    assert!(listed.stdout.contains("by no rule"), "{listed:#?}");
    let left: Vec<_> = std::fs::read_dir(user.path("own"))
        .expect("a folder")
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
