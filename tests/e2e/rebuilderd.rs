//! Promise: clients of rebuilderd, as others published them, work with our service: repro-threshold, alone
//! and as the transport of apt, and debian-repro-status.
//!
//! Two daemons rebuild a package of ours. The clients come from their registry at exact versions
//! (`tests/interop/crates.txt`); what they see comes over loopback.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_attest::digest::Digests;
use countersign_fixtures::registries::{Answer, Registry};
use countersign_tests::{Ran, World, ran};
use serde_json::{Value, json};

use crate::foreign::{LINK, installed};
use crate::running::{Daemon, free_address};

/// Makes the package from a source tree, the same bytes each time.
const BUILD: &str = "set -e
rm -rf pkg dist
mkdir -p pkg/DEBIAN pkg/usr/share/probe dist
printf 'Package: countersign-probe\\nVersion: %s\\nArchitecture: amd64\\nMaintainer: x <x@example>\\nDescription: probe\\n' \"$1\" > pkg/DEBIAN/control
cp text pkg/usr/share/probe/text
chmod -R u=rwX,go=rX pkg
find pkg -exec touch -h -d @1000000000 {} +
SOURCE_DATE_EPOCH=1000000000 dpkg-deb -Zxz --root-owner-group --uniform-compression --build pkg \
  \"dist/countersign-probe_$1_amd64.deb\"
";
const VERSION: &str = "1.0-1";
const FILE: &str = "countersign-probe_1.0-1_amd64.deb";

/// An operator with a daemon that has rebuilt the package.
struct Operator {
    world: World,
    address: SocketAddr,
    daemon: Option<Daemon>,
}

impl Operator {
    fn start() -> Self {
        let world = World::new();
        let repository = world.repository("probe");
        repository.write("build.sh", BUILD);
        repository.write("text", "text\n");
        repository.release(VERSION);
        let build = ["sh", "build.sh", VERSION];
        let mut command = Command::new(build[0]);
        command.args(&build[1..]).current_dir(&repository.path);
        let _ = ran(&mut command).expect(0);
        let built = fs::read(repository.path.join("dist").join(FILE)).expect("a package");
        world.write(format!("published/{FILE}"), built);
        let address = free_address();
        // a source with an address, so that the operator's own key signs
        world.configure_with(
            &format!("listen: {address}"),
            "  - source: https://forge.example/probe\n    fetch_from: ./probe\n    \
             published: './published/countersign-probe_{version}_amd64.deb'\n    backlog: 1\n    build:\n      \
             steps: [[sh, build.sh, '{version}']]\n      \
             outputs: ['dist/countersign-probe_{version}_amd64.deb']\n",
        );
        let _ = world.run(["daemon", "--once"]).expect(0);
        let daemon = Daemon::start(&mut world.command(["daemon"]), address);
        Self {
            world,
            address,
            daemon: Some(daemon),
        }
    }

    fn json(&self, path: &str) -> Value {
        let page = self.daemon.as_ref().expect("a daemon").page(path);
        let (head, body) = page.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200"), "{page}");
        serde_json::from_str(body).expect(&page)
    }

    /// The key as a client fetches it.
    fn key(&self) -> String {
        let keys = self.json("/api/v1/meta/public-keys");
        keys["current"][0].as_str().expect("a key").to_owned()
    }

    /// Under another host name for each of the two: repro-threshold gives one vote to a host.
    fn url(&self, host: &str) -> String {
        format!("http://{host}:{}", self.address.port())
    }

    fn package(&self) -> Vec<u8> {
        fs::read(self.world.path(format!("published/{FILE}"))).expect("a package")
    }
}

fn client(name: &str) -> Command {
    Command::new(installed(&format!("crates/bin/{name}")))
}

/// `plumbing verify` in a folder with the package and the keys.
fn verify(folder: &World, arguments: &[&str]) -> Ran {
    let mut command = client("repro-threshold");
    command
        .current_dir(folder.path(""))
        .args(["plumbing", "verify"])
        .args(arguments)
        .arg(FILE);
    ran(&mut command)
}

/// Our own client beside theirs: the same routes, asked by a user's policy and by a key.
#[test]
fn our_own_verify_asks_a_service_in_the_words_of_rebuilderd() {
    let operator = Operator::start();
    let (address, world) = (operator.url("127.0.0.1"), World::new());
    world.write(FILE, operator.package());
    world.write("key.pem", operator.key());
    let shown = world
        .run(["key", "show", "key.pem", "--format", "json"])
        .expect(0);
    let shown: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    let id = shown["keyId"].as_str().expect("an id");
    let add = [
        "trust",
        "add",
        &address,
        "--software",
        "rebuilderd",
        "--name",
        "peer",
        "--policy",
        "policy.yaml",
    ];
    let ran = world
        .run([&add[..], &["--yes", "--key", &"0".repeat(64)]].concat())
        .expect(4);
    assert!(
        ran.stderr.contains("signed by nobody") && !world.path("policy.yaml").exists(),
        "{ran:#?}"
    );
    let _ = world
        .run([&add[..], &["--yes", "--key", id]].concat())
        .expect(0);
    let purl = "pkg:deb/debian/countersign-probe@1.0-1?arch=amd64";
    for more in [&[][..], &["--as", purl]] {
        let ran = world
            .run([&["verify", FILE, "--policy", "policy.yaml"][..], more].concat())
            .expect(0);
        assert!(ran.stdout.contains("a link of rebuilderd"), "{ran:#?}");
    }
    let synced = world
        .run(["trust", "sync", "--policy", "policy.yaml"])
        .expect(0);
    assert!(synced.stderr.contains("nobody signs"), "{synced:#?}");
    let from = format!("rebuilderd+{address}");
    let by_key =
        |subject: &str| world.run(["verify", subject, "--key", "key.pem", "--from", &from]);
    let _ = by_key(FILE).expect(0);
    world.write("same.deb", operator.package());
    let ran = by_key("same.deb").expect(4);
    assert!(ran.stdout.contains("say what the file is"), "{ran:#?}");
    let mut changed = operator.package();
    changed[20] ^= 1;
    world.write(FILE, changed);
    let _ = by_key(FILE).expect(1);
    let _ = world
        .run(["verify", FILE, "--policy", "policy.yaml"])
        .expect(4);
}

#[test]
fn repro_threshold_verifies_what_two_of_us_confirm_and_nothing_else() {
    let [first, second] = [(); 2].map(|()| Operator::start());
    assert_eq!(first.package(), second.package());
    let world = World::new();
    world.write(FILE, first.package());
    world.write("first.pem", first.key());
    world.write("second.pem", second.key());
    let urls = [first.url("127.0.0.1"), second.url("localhost")];
    let both = [
        "-S",
        "first.pem",
        "-S",
        "second.pem",
        "-R",
        &urls[0],
        "-R",
        &urls[1],
        "-t",
        "2",
    ];
    let _ = verify(&world, &both).expect(0);
    let refused = |what: &str, arguments: &[&str]| {
        let ran = verify(&world, arguments);
        assert_eq!(ran.code, Some(1), "{what}: {ran:#?}");
        assert!(
            ran.stderr.contains("required signatures"),
            "{what}: {ran:#?}"
        );
    };
    refused(
        "one service",
        &[
            "-S",
            "first.pem",
            "-S",
            "second.pem",
            "-R",
            &urls[0],
            "-t",
            "2",
        ],
    );
    refused(
        "one key",
        &["-S", "first.pem", "-R", &urls[0], "-R", &urls[1], "-t", "2"],
    );
    refused(
        "a key twice",
        &[
            "-S",
            "first.pem",
            "-S",
            "first.pem",
            "-R",
            &urls[0],
            "-R",
            &urls[1],
            "-t",
            "2",
        ],
    );
    let key = fs::read_to_string(first.world.path("keys/statement.pub.pem")).expect("a key");
    world.write("other.pem", key.replace("MCow", "MCwx"));
    refused(
        "a damaged key",
        &["-S", "other.pem", "-R", &urls[0], "-t", "1"],
    );
    // another package, whose name and version are the same
    let mut changed = first.package();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    world.write(FILE, &changed);
    refused("a changed package", &both);
    world.write(FILE, first.package());
    let _ = verify(&world, &both).expect(0);

    // a link in a file, and what was done to it
    let found = first.json(&format!(
        "/api/v1/packages/binary?name=countersign-probe&version={VERSION}&architecture=amd64"
    ));
    let record = &found["records"][0];
    let path = format!(
        "/api/v1/builds/{}/artifacts/{}/attestation",
        record["build_id"], record["artifact_id"]
    );
    let link = first.json(&path);
    let with = |link: &Value| {
        world.write("x.link", link.to_string());
        verify(&world, &["-S", "first.pem", "-A", "x.link", "-t", "1"])
    };
    let _ = with(&link).expect(0);
    for (name, tamper) in LINK {
        let mut bad = link.clone();
        tamper(&mut bad);
        let ran = with(&bad);
        assert_eq!(ran.code, Some(1), "{name}: {ran:#?}");
    }
}

#[test]
fn debian_repro_status_reads_our_list() {
    let operator = Operator::start();
    let world = World::new();
    world.write(
        "installed",
        format!(
            "installed countersign-probe amd64 {VERSION}\ninstalled countersign-probe amd64 9\n\
             installed other amd64 1\n"
        ),
    );
    let status = |url: &str| {
        let mut command = client("debian-repro-status");
        command
            .current_dir(world.path(""))
            .args(["--architecture", "amd64", "-H", url])
            .args(["--dpkg-query-output", "installed"]);
        ran(&mut command)
    };
    let told = status(&operator.url("127.0.0.1")).expect(0);
    let lines: Vec<&str> = told.stdout.lines().collect();
    let line = |version: &str| {
        let found = lines
            .iter()
            .find(|line| line.contains(&format!(" {version} ")));
        *found.unwrap_or_else(|| panic!("{told:#?}"))
    };
    assert!(line(VERSION).starts_with("[+]"), "{told:#?}");
    assert!(line("9").starts_with("[?]"), "{told:#?}");
    assert!(told.stderr.contains("33.33% been reproduced"), "{told:#?}");
    // and it does not take anything for a list
    let server = Registry::start().expect("a server");
    server.put("/api/v0/pkgs/list", Answer::Bytes(b"[{}]".to_vec()));
    assert_eq!(status(server.url().trim_end_matches('/')).code, Some(1));
}

/// A root of Debian with apt alone, made once and kept as an archive.
fn debian_root(world: &World) -> PathBuf {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/interop/debian");
    fs::create_dir_all(&kept).expect("a folder");
    let kept = kept.canonicalize().expect("a path").join("apt-root.tar");
    if !kept.exists() {
        let release = fs::read_to_string("/etc/os-release").expect("a release");
        let suite = release
            .lines()
            .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
        let making = kept.with_extension("new.tar");
        let mut command = Command::new("mmdebstrap");
        command
            .args(["--quiet", "--variant=apt", "--include=ca-certificates"])
            .arg(suite.expect("a suite"))
            .arg(&making);
        let _ = ran(&mut command).expect(0);
        fs::rename(making, &kept).expect("an archive");
    }
    let root = world.path("root");
    fs::create_dir(&root).expect("a folder");
    let mut command = Command::new("tar");
    command
        .args(["--exclude=./dev/*", "-xpf"])
        .arg(&kept)
        .arg("-C")
        .arg(&root);
    let _ = ran(&mut command).expect(0);
    root
}

/// The bar: apt installs from a repository only what as many of us confirm as its user asks for.
#[test]
fn apt_installs_only_what_two_of_us_confirm() {
    let [first, mut second] = [(); 2].map(|()| Operator::start());
    let world = World::new();
    let root = debian_root(&world);
    let method = root.join("usr/lib/apt/methods/reproduced+http");
    fs::copy(installed("crates/bin/repro-threshold"), method).expect("a method of apt");
    let rebuilder = |operator: &Operator, host: &str| {
        format!(
            "[[trusted_rebuilder]]\nname = \"{host}\"\nurl = \"{}\"\ndistributions = []\nsigning_keyring = {}\n",
            operator.url(host),
            json!(operator.key())
        )
    };
    let [a, b] = [
        rebuilder(&first, "127.0.0.1"),
        rebuilder(&second, "localhost"),
    ];
    let config = root.join("etc/repro-threshold.conf");
    fs::write(config, format!("[rules]\nrequired_threshold = 2\n\n{a}{b}")).expect("a file");

    let server = Registry::start().expect("a server");
    let port = server.url();
    let port = port
        .trim_end_matches('/')
        .rsplit(':')
        .next()
        .expect("a port");
    for folder in ["etc/apt/sources.list.d", "etc/apt/sources.list"] {
        let path = root.join(folder);
        let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)); // either may be there
    }
    let source = format!("deb [trusted=yes] reproduced+http://localhost:{port}/ ./\n");
    fs::write(root.join("etc/apt/sources.list"), source).expect("a file");
    fs::copy("/etc/hosts", root.join("etc/hosts")).expect("a file");
    let serve = |package: &[u8]| {
        let Digests {
            sha256, size_bytes, ..
        } = Digests::of(package);
        let text = format!(
            "Package: countersign-probe\nVersion: {VERSION}\nArchitecture: amd64\nMaintainer: x <x@example>\n\
             Description: probe\nFilename: ./{FILE}\nSize: {size_bytes}\nSHA256: {sha256}\n"
        );
        server.put("/./Packages", Answer::Bytes(text.clone().into_bytes()));
        server.put("/Packages", Answer::Bytes(text.into_bytes()));
        for path in [format!("/./{FILE}"), format!("/{FILE}")] {
            server.put(&path, Answer::Bytes(package.to_vec()));
        }
    };
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("chroot");
        command
            .arg(&root)
            .args([
                "env",
                "-i",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                "LC_ALL=C",
                "DEBIAN_FRONTEND=noninteractive",
            ])
            .args(["apt-get", "-q", "-y", "-o", "APT::Sandbox::User=root"])
            .args(arguments);
        ran(&mut command)
    };
    let install = || {
        let updated = apt(&["update"]);
        assert_eq!(updated.code, Some(0), "{updated:#?}");
        let ran = apt(&["install", "countersign-probe"]);
        let there = root.join("usr/share/probe/text").exists();
        assert_eq!(there, ran.code == Some(0), "{ran:#?}");
        let purged = apt(&["purge", "countersign-probe"]);
        assert_eq!(purged.code, Some(0), "{purged:#?}");
        let _ = apt(&["clean"]).expect(0);
        ran
    };
    serve(&first.package());
    let _ = install().expect(0);
    // another binary under the same name, of which the repository itself is sure
    let source = &second.world;
    source.write("probe/text", "something else\n");
    let mut build = Command::new("sh");
    build
        .args(["build.sh", VERSION])
        .current_dir(source.path("probe"));
    let _ = ran(&mut build).expect(0);
    let other = fs::read(source.path("probe/dist").join(FILE)).expect("a package");
    serve(&other);
    let refused = install().expect(100);
    assert!(
        refused.stderr.contains("only 0/2 required signatures"),
        "{refused:#?}"
    );
    serve(&first.package());
    let _ = install().expect(0);
    // one of the two is gone
    drop(second.daemon.take());
    let refused = install().expect(100);
    assert!(
        refused.stderr.contains("only 1/2 required signatures"),
        "{refused:#?}"
    );
}
