//! What a parsing child cannot do any more once it has locked itself in.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use countersign_builder::channel::Channel;
use countersign_builder::sandbox::confine::{self, Confinement, Isolation, Place};

use crate::bench::Bench;
use crate::{Case, acts, ensure};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("a confined child reads what it was given only", files),
    ("a confined child has no network of the host", network),
    (
        "a confined child reaches the host by a listener it hands out",
        handed_out,
    ),
    (
        "a child with the host's network keeps nothing else",
        networked,
    ),
    ("a confined child starts nothing", programs),
    ("a confined child cannot reach its parent", parent),
    ("a confined child has no privilege", privileges),
    ("a confined child inherits no descriptor", descriptors),
    ("a child with threads refuses to start", threads),
    ("a confined child creates files as its own user", owner),
];

/// Runs as the child: `confined NETWORK READ WRITE ACT…`; network `open` is the control arm.
pub(crate) fn child(arguments: &[String]) -> ExitCode {
    let [network, read, write, act @ ..] = arguments else {
        return ExitCode::from(3);
    };
    if network == "threads" {
        let thread = std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_secs(5)));
        let refused = confine::enter();
        drop(thread);
        return report(refused.map_err(|e| e.to_string()));
    }
    let network = match network.as_str() {
        "open" => return report(perform(act)),
        "host" => {
            let (read, write) = (Place::Path(Path::new(read)), Place::Path(Path::new(write)));
            let confined = confine::enter().and_then(|()| confine::networked(&[read], &[write]));
            return match confined {
                Ok(()) => report(perform(act)),
                Err(error) => {
                    println!("confining: {}", crate::bench::shown(error));
                    ExitCode::from(4)
                }
            };
        }
        "loopback" => Isolation::Loopback,
        _ => Isolation::Nothing,
    };
    let confined = confine::enter().and_then(|()| {
        confine::parsing(&Confinement {
            read: &[Place::Path(Path::new(read))],
            write: &[Place::Path(Path::new(write))],
            network,
            user: None,
            memory_bytes: Some(1 << 30),
            file_bytes: Some(1 << 20),
        })
    });
    let listener = match confined {
        Ok(confined) => confined.listener,
        Err(error) => {
            println!("confining: {}", crate::bench::shown(error));
            return ExitCode::from(4);
        }
    };
    if act.first().is_some_and(|word| word == "connect-own") {
        let address = listener.as_ref().and_then(|l| l.local_addr().ok());
        let address = address.map(|a| a.to_string()).unwrap_or_default();
        return report(acts::act(&["connect".into(), address]));
    }
    match (act.first().map(String::as_str), listener) {
        (Some("hand-out"), Some(listener)) => report(hand_out(listener)),
        _ => report(perform(act)),
    }
}

/// Hands the listener over standard input to the host, then talks to it as a client.
fn hand_out(listener: TcpListener) -> Result<(), String> {
    let talk = || -> Result<String, Box<dyn std::error::Error>> {
        let address = listener.local_addr()?;
        Channel::from_stdin()?.send_with_fds(&"listener", &[listener.as_fd()])?;
        drop(listener);
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"ping")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    print!("{}", talk().map_err(|e| e.to_string())?);
    Ok(())
}

fn perform(act: &[String]) -> Result<(), String> {
    match act.first().map(String::as_str) {
        Some("print") => {
            for path in act.iter().skip(1) {
                print!("{}", fs::read_to_string(path).map_err(|e| e.to_string())?);
            }
            Ok(())
        }
        Some("fds") => {
            for entry in fs::read_dir("/proc/self/fd").map_err(|e| e.to_string())? {
                let entry = entry.map_err(|e| e.to_string())?;
                println!("fd {}", entry.file_name().to_string_lossy());
            }
            Ok(())
        }
        _ => acts::act(act),
    }
}

fn report(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a child and returns its output; `Err` carries what the act met.
fn run(bench: &Bench, network: &str, act: &[&str]) -> Result<Result<String, String>, String> {
    let (read, write) = (
        bench.scratch.path().join("read"),
        bench.scratch.path().join("write"),
    );
    for folder in [&read, &write] {
        fs::create_dir_all(folder).map_err(|e| e.to_string())?;
    }
    fs::write(read.join("given"), "given").map_err(|e| e.to_string())?;
    let output = Command::new(&bench.binary)
        .arg("confined")
        .arg(network)
        .args([&read, &write])
        .args(act)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(0) => Ok(Ok(text)),
        Some(1) => Ok(Err(text)),
        other => Err(format!("{act:?}: {other:?}: {text}")),
    }
}

/// The act works in a child that is not confined, and not in one that is.
fn refused(bench: &Bench, act: &[&str], expected: &str) -> Result<(), String> {
    run(bench, "open", act)?.map_err(|e| format!("control arm {act:?}: {e}"))?;
    match run(bench, "nothing", act)? {
        Ok(_) => Err(format!("{act:?} worked")),
        Err(error) if error.contains(expected) => Ok(()),
        Err(error) => Err(format!("{act:?} failed in another way: {error}")),
    }
}

fn allowed(bench: &Bench, network: &str, act: &[&str]) -> Result<String, String> {
    run(bench, network, act)?.map_err(|e| format!("{act:?}: {e}"))
}

fn path(bench: &Bench, name: &str) -> String {
    bench
        .scratch
        .path()
        .join(name)
        .to_string_lossy()
        .into_owned()
}

fn files(bench: &Bench) -> Result<(), String> {
    fs::write(path(bench, "outside"), "outside").map_err(|e| e.to_string())?;
    refused(bench, &["read", &path(bench, "outside")], "denied")?;
    refused(bench, &["read", "/etc/passwd"], "denied")?;
    refused(bench, &["read", "/proc/self/environ"], "denied")?;
    refused(bench, &["write", &path(bench, "outside")], "denied")?;
    refused(bench, &["write", &path(bench, "read/new")], "denied")?;
    fs::remove_file(path(bench, "read/new")).map_err(|e| e.to_string())?; // by the control arm
    allowed(bench, "nothing", &["read", &path(bench, "read/given")])?;
    allowed(bench, "nothing", &["write", &path(bench, "write/new")])?;
    Ok(())
}

fn network(bench: &Bench) -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let address = listener
        .local_addr()
        .map_err(|e| e.to_string())?
        .to_string();
    refused(bench, &["connect", &address], "not permitted")?;
    refused(bench, &["socket-unix"], "not permitted")?;
    allowed(bench, "loopback", &["connect-own"])?;
    match run(bench, "loopback", &["connect", &address])? {
        Ok(_) => Err("the loopback reached the host".into()),
        Err(error) => {
            ensure!(error.contains("refused"), "{error}");
            Ok(())
        }
    }
}

/// The mirror's walls: what `networked` leaves, and what it does not.
fn networked(bench: &Bench) -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let address = listener
        .local_addr()
        .map_err(|e| e.to_string())?
        .to_string();
    allowed(bench, "host", &["connect", &address])?;
    allowed(bench, "host", &["read", &path(bench, "read/given")])?;
    allowed(bench, "host", &["write", &path(bench, "write/kept")])?;
    let outside = path(bench, "outside");
    fs::write(&outside, "outside").map_err(|e| e.to_string())?;
    let environ = format!("/proc/{}/environ", std::process::id());
    for (act, expected) in [
        (&["read", &outside][..], "denied"),
        (&["write", &outside], "denied"),
        (&["read", "/etc/passwd"], "denied"),
        (&["read", &environ], "denied"),
        (&["run", "/bin/true"], ""),
        (&["unshare-user"], "not permitted"),
    ] {
        allowed(bench, "open", act)?; // the control arm
        match run(bench, "host", act)? {
            Ok(_) => return Err(format!("{act:?} worked")),
            Err(error) => ensure!(error.contains(expected), "{act:?}: {error}"),
        }
    }
    Ok(())
}

fn handed_out(bench: &Bench) -> Result<(), String> {
    let problem = |e: &dyn std::fmt::Display| e.to_string();
    let (mut channel, theirs) = Channel::pair().map_err(|e| problem(&e))?;
    let child = Command::new(&bench.binary)
        .args(["confined", "loopback", "/usr", "/tmp", "hand-out"])
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| problem(&e))?;
    let (_, fds): (String, _) = channel.receive_with_fds().map_err(|e| problem(&e))?;
    let listener = fds
        .into_iter()
        .next()
        .map(TcpListener::from)
        .ok_or("no listener")?;
    let (mut stream, _) = listener.accept().map_err(|e| problem(&e))?;
    let mut asked = String::new();
    stream.read_to_string(&mut asked).map_err(|e| problem(&e))?;
    stream
        .write_all(format!("{asked} pong").as_bytes())
        .map_err(|e| problem(&e))?;
    drop(stream);
    // nobody on the host can reach it by its address
    let address = listener.local_addr().map_err(|e| problem(&e))?;
    ensure!(
        TcpStream::connect(address).is_err(),
        "the host reached {address}"
    );
    let output = child.wait_with_output().map_err(|e| problem(&e))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(text == "ping pong" && output.status.success(), "{text:?}");
    Ok(())
}

fn programs(bench: &Bench) -> Result<(), String> {
    refused(bench, &["run", "/bin/true"], "")?;
    refused(bench, &["unshare-user"], "not permitted")
}

fn parent(bench: &Bench) -> Result<(), String> {
    let own = std::process::id();
    refused(bench, &["read", &format!("/proc/{own}/environ")], "denied")?;
    refused(
        bench,
        &["open-write", &format!("/proc/{own}/mem")],
        "denied",
    )?;
    refused(bench, &["signal", &own.to_string()], "not permitted")
}

fn privileges(bench: &Bench) -> Result<(), String> {
    // this child may read all of /, so that it can print its own status
    let mut child = Command::new(&bench.binary)
        .args([
            "confined",
            "loopback",
            "/",
            "/tmp",
            "print",
            "/proc/self/status",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let mut text = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout
            .read_to_string(&mut text)
            .map_err(|e| e.to_string())?;
    }
    child.wait().map_err(|e| e.to_string())?;
    for line in [
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        ensure!(text.lines().any(|l| l == line), "no {line:?} in {text:?}");
    }
    Ok(())
}

fn descriptors(bench: &Bench) -> Result<(), String> {
    let leak = fs::File::open("/dev/null").map_err(|e| e.to_string())?;
    nix::fcntl::fcntl(
        &leak,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
    )
    .map_err(|e| e.to_string())?;
    let line = format!("fd {}", std::os::fd::AsRawFd::as_raw_fd(&leak));
    let listed = |network: &str, read: &str| {
        let output = Command::new(&bench.binary)
            .args(["confined", network, read, "/tmp", "fds"])
            .output()
            .map_err(|e| e.to_string())?;
        Ok::<_, String>(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let control = listed("open", "/")?;
    ensure!(control.lines().any(|l| l == line), "control arm: {control}");
    let seen = listed("nothing", "/")?;
    // 3 is the folder that is being listed
    let mut seen: Vec<&str> = seen.lines().collect();
    seen.sort_unstable();
    ensure!(seen == ["fd 0", "fd 1", "fd 2", "fd 3"], "{seen:?}");
    Ok(())
}

fn threads(bench: &Bench) -> Result<(), String> {
    match run(bench, "threads", &[])? {
        Err(error) if error.contains("more than one thread") => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

fn owner(bench: &Bench) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;
    let file = path(bench, "write/owned");
    allowed(bench, "nothing", &["write", &file])?;
    let found = fs::metadata(&file).map_err(|e| e.to_string())?;
    let own = nix::unistd::geteuid().as_raw();
    ensure!(found.uid() == own, "owner {}, not {own}", found.uid());
    Ok(())
}
