//! Promise: keys and the host are out of reach of every child, as the real binary runs them.
//!
//! The walls themselves have their tests beside the sandbox; here each kind of child is caught in the
//! act and looked at from outside. The git child is held by a named pipe in a repository, the others
//! by work that takes a while.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use countersign_fixtures::repositories::Repository;
use countersign_tests::{Ran, World, binary, ran};

use crate::running::{Daemon, arguments, free_address, until};

/// An ordinary user, who need not have a name.
const USER: u32 = 65_534;

/// What is seen of a process.
#[derive(Debug, Clone, Default)]
struct Seen {
    status: BTreeMap<String, String>,
    /// Where its namespaces are: `user`, `net`, `ipc`, `uts`. Empty where we may not look.
    namespaces: BTreeMap<String, String>,
    /// Where its descriptors lead. Empty where we may not look.
    descriptors: BTreeMap<u32, String>,
}

fn look(pid: u32) -> Option<Seen> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mut seen = Seen::default();
    for line in status.lines() {
        let (key, value) = line.split_once(':')?;
        seen.status.insert(key.to_owned(), value.trim().to_owned());
    }
    for name in ["user", "net", "ipc", "uts"] {
        if let Ok(target) = fs::read_link(format!("/proc/{pid}/ns/{name}")) {
            seen.namespaces
                .insert(name.to_owned(), target.display().to_string());
        }
    }
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let number = entry.file_name().to_string_lossy().parse().ok()?;
        // one that is gone by now, as ours come and go on other threads, is none
        if let Ok(target) = fs::read_link(entry.path()) {
            seen.descriptors
                .insert(number, target.display().to_string());
        }
    }
    Some(seen)
}

impl Seen {
    fn says(&self, key: &str) -> &str {
        self.status.get(key).map_or("", String::as_str)
    }

    /// Whether it has locked itself in already.
    fn is_confined(&self) -> bool {
        self.says("Seccomp") == "2"
    }
}

/// Whether this user may look into processes that keep debuggers out.
fn all_seeing() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("our own status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .expect("capabilities");
    let capabilities = u64::from_str_radix(line.trim(), 16).expect("a mask");
    capabilities & 1 << 19 != 0 // CAP_SYS_PTRACE
}

/// Every wall that can be seen from outside; `kept` descriptors came with its
/// request, beside the channel (standard input and a copy of it), nothing and standard error.
#[track_caller]
fn check_confined(who: &str, seen: &Seen, kept: usize) {
    for (key, expected) in [
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
        ("Threads", "1"),
        ("CapInh", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
    ] {
        assert_eq!(seen.says(key), expected, "{who}: {key}: {seen:#?}");
    }
    if !all_seeing() {
        assert!(
            seen.namespaces.is_empty() && seen.descriptors.is_empty(),
            "{who} lets us look: {seen:#?}"
        );
        return;
    }
    let ours = look(std::process::id()).expect("ourselves");
    for (name, target) in &ours.namespaces {
        let theirs = seen.namespaces.get(name).expect("it is all there for us");
        assert_ne!(theirs, target, "{who} shares our {name} namespace");
    }
    let channel = seen.descriptors.get(&0).expect("a channel");
    assert!(channel.starts_with("socket:"), "{who}: {seen:#?}");
    let sockets = seen
        .descriptors
        .values()
        .filter(|target| target.starts_with("socket:"));
    assert_eq!(
        sockets.filter(|socket| *socket == channel).count(),
        2,
        "{who}: {seen:#?}"
    );
    assert!(
        seen.descriptors
            .values()
            .all(|target| target == channel || !target.starts_with("socket:")),
        "{who}: {seen:#?}"
    );
    assert_eq!(
        seen.descriptors.get(&1).map(String::as_str),
        Some("/dev/null"),
        "{who}: {seen:#?}"
    );
    assert_eq!(seen.descriptors.len(), 4 + kept, "{who}: {seen:#?}");
}

fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

/// The children of a process that were started with this argument.
fn children_with(pid: u32, argument: &str) -> Vec<u32> {
    children(pid)
        .into_iter()
        .filter(|&child| arguments(child).split(' ').nth(1) == Some(argument))
        .collect()
}

/// Real, effective, saved and file system user.
fn user_ids(seen: &Seen) -> Vec<u32> {
    let ids = seen.says("Uid").split_whitespace();
    ids.map(|id| id.parse().expect("an id")).collect()
}

#[test]
fn signers_hold_their_keys_alone() {
    let world = World::new();
    let address = free_address();
    world.configure_with(&format!("listen: {address}"), "  []\n");
    let daemon = Daemon::start(&mut world.command(["daemon"]), address);
    let signers = children_with(daemon.pid(), "signer-child");
    assert_eq!(
        signers.len(),
        2,
        "one for the operator's key, one for local sources"
    );
    let root = user_ids(&look(daemon.pid()).expect("the daemon")) == [0; 4];
    let users: Vec<Vec<u32>> = signers
        .iter()
        .map(|signer| user_ids(&look(*signer).expect("the signer")))
        .collect();
    if root {
        // each an id of its own that no user and no sandbox has
        let first = countersign_builder::sandbox::SIGNER_ID;
        for user in &users {
            assert!(
                user.iter().all(|id| *id >= first && *id == user[0]),
                "{users:?}"
            );
        }
        assert_ne!(users.first(), users.last());
    }
    for signer in signers {
        check_confined("the signer", &look(signer).expect("the signer"), 0);
        // nothing of the host's environment is there, and the key is not on a command line
        assert!(!arguments(signer).contains(".pem"));
        if all_seeing() {
            assert_eq!(
                fs::read(format!("/proc/{signer}/environ")).expect("its environment"),
                b""
            );
        }
    }
}

/// The kernel gives the files in `/proc/PID` of a process that keeps debuggers out to root: that is
/// how an ordinary user's processes show which they are.
#[test]
fn no_process_with_a_key_can_be_debugged_by_its_user() {
    let world = World::new();
    let address = free_address();
    world.configure_with(&format!("listen: {address}"), "  []\n");
    let copy = world.path("countersign");
    fs::copy(binary(), &copy).expect("a copy that this user can run");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("a mode");
    let own = fs::metadata(world.path("")).expect("the world").uid();
    let user = if own == 0 { USER } else { own };
    let list = ran(Command::new("find").arg(world.path("")).args(["-print0"]))
        .expect(0)
        .stdout;
    for path in list.split_terminator('\0') {
        chown(path, Some(user), Some(user)).expect("a world of the user");
    }
    let as_user = |program: PathBuf| {
        let mut command = Command::new(program);
        command.current_dir(world.path("")).stdin(Stdio::null());
        if own == 0 {
            command.uid(user).gid(user);
        }
        command
    };
    let owner = |pid: u32| {
        fs::metadata(format!("/proc/{pid}/environ"))
            .map(|found| found.uid())
            .ok()
    };
    let mut program = as_user("/bin/sleep".into())
        .arg("60")
        .spawn()
        .expect("a program");
    until("control arm: an ordinary program is its user's", || {
        (owner(program.id()) == Some(user)).then_some(())
    });
    program
        .kill()
        .and_then(|()| program.wait())
        .expect("its end");

    let daemon = Daemon::start(as_user(copy).arg("daemon"), address);
    assert_eq!(owner(daemon.pid()), Some(0), "the daemon can be debugged");
    let signers = children_with(daemon.pid(), "signer-child");
    assert_eq!(signers.len(), 2);
    for signer in signers {
        assert_eq!(owner(signer), Some(0), "a signer can be debugged");
        check_confined("a user's signer", &look(signer).expect("the signer"), 0);
    }
}

/// A loose object that is a named pipe holds whoever opens it.
#[test]
fn the_git_child_is_locked_in_before_it_reads() {
    let world = World::new();
    let repository = Repository::init(&world.path("x"));
    let commit = repository.commit("first");
    repository.tag("v1");
    let object = world.path(format!("x/.git/objects/{}/{}", &commit[..2], &commit[2..]));
    fs::remove_file(&object).expect("removed");
    let _ = ran(Command::new("mkfifo").arg(&object)).expect(0);
    world.write("p/x.txt", "x\n");
    let arguments = [
        "rebuild",
        "--source",
        "x",
        "--tag",
        "v1",
        "--published",
        "p/x.txt",
        "--recipe",
        "generic",
    ];
    let host = Host(
        world
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started"),
    );
    // held by the pipe is one that sleeps and has the same few descriptors after a while
    let (child, seen) = until("a git child that reads", || {
        let child = *children_with(host.0.id(), "git-child").first()?;
        let before = look(child)?;
        sleep(Duration::from_millis(50));
        let seen = look(child).filter(Seen::is_confined)?;
        let held = seen.says("State").starts_with('S') && seen.descriptors == before.descriptors;
        held.then_some((child, seen))
    });
    check_confined("the git child", &seen, 0);
    drop(host);
    until("its end with its host", || {
        fs::metadata(format!("/proc/{child}"))
            .is_err()
            .then_some(())
    });
}

/// A host of children, killed when the value is dropped.
struct Host(Child);

impl Drop for Host {
    fn drop(&mut self) {
        // errors only say that it is dead already
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A gzip stream that takes a while to read, with a tar of one large member and then a small one.
fn slow_archive(last: &str, content: &[u8]) -> Vec<u8> {
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(encoder);
    let large = vec![0_u8; 192 << 20];
    for (name, content) in [("package/large", &large[..]), (last, content)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, name, content)
            .expect("a member");
    }
    let mut encoder = archive.into_inner().expect("a tar");
    encoder.flush().expect("memory");
    encoder.finish().expect("gzip")
}

/// Runs to the end; what was seen of each builder child at its last moment as a confined process, in
/// the order of their start.
fn watch_parsers(world: &World, arguments: &[&str]) -> (Vec<Seen>, Ran) {
    let mut command = world.command(arguments);
    let mut host = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut seen: Vec<(u32, Seen)> = Vec::new();
    while host.try_wait().expect("a child of ours").is_none() {
        for child in children_with(host.id(), "builder-child") {
            let Some(now) = look(child).filter(Seen::is_confined) else {
                continue;
            };
            match seen.iter_mut().find(|(pid, _)| *pid == child) {
                // a dying process has let go of its descriptors already
                Some((_, before)) if now.descriptors.len() >= before.descriptors.len() => {
                    *before = now;
                }
                Some(_) => {}
                None => seen.push((child, now)),
            }
        }
    }
    let output = host.wait_with_output().expect("its output");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let ran = Ran {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    };
    (seen.into_iter().map(|(_, seen)| seen).collect(), ran)
}

#[test]
fn inspecting_and_comparing_children_are_locked_in() {
    let world = World::new();
    let repository = world.repository("x");
    repository.write("package.json", r#"{"name":"x","version":"1.0.0"}"#);
    repository.write(
        "build.sh",
        "mkdir out; tar -cf - --mtime=@0 --owner=0 --group=0 build.sh | gzip -n > out/x.tgz\n",
    );
    repository.release("v1.0.0");
    world.write(
        "build.yaml",
        "steps: [[sh, build.sh]]\noutputs: [out/x.tgz]\n",
    );
    let published = slow_archive("package/package.json", br#"{"name":"y","version":"1.0.0"}"#);
    world.write("p/x.tgz", published);
    let base = [
        "rebuild",
        "--format",
        "json",
        "--source",
        "x",
        "--tag",
        "v1.0.0",
        "--published",
        "p/x.tgz",
        "--recipe",
    ];

    // the names disagree, so nothing is built: the one confined child is the one that inspected
    let (inspecting, ran) = watch_parsers(&world, &[&base[..], &["npm"]].concat());
    assert_eq!(
        ran.json()["artifacts"][0]["reason"],
        "evidence-contradicts",
        "{ran:#?}"
    );
    let inspect = inspecting
        .last()
        .expect("the inspecting child was never seen");
    check_confined("the inspecting child", inspect, 2);

    // the last child compares
    let (comparing, ran) = watch_parsers(&world, &[&base[..], &["build.yaml"]].concat());
    assert_eq!(ran.json()["artifacts"][0]["verdict"], "differs", "{ran:#?}");
    let compare = comparing
        .last()
        .expect("the comparing child was never seen");
    check_confined("the comparing child", compare, 2);
}
