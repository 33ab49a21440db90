//! What a payload tries. Run inside a sandbox, and outside as the control arm, by the same words.
//! Exit code 0 says that the act worked.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// Does the act and prints how it went.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    match act(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{}: {error}", arguments.join(" "));
            ExitCode::FAILURE
        }
    }
}

/// Does one act.
pub(crate) fn act(arguments: &[String]) -> Result<(), String> {
    let word = |index: usize| arguments.get(index).map_or("", String::as_str);
    let done: std::io::Result<()> = match word(0) {
        "read" => File::open(word(1)).and_then(|mut file| {
            let mut byte = [0];
            std::io::Read::read(&mut file, &mut byte).map(drop)
        }),
        "write" => OpenOptions::new()
            .append(true)
            .create(true)
            .open(word(1))
            .and_then(|mut file| file.write_all(b"x")),
        "open-write" => OpenOptions::new().write(true).open(word(1)).map(drop),
        "create-suid" => OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o755)
            .open(word(1))
            .and_then(|file| file.set_permissions(fs::Permissions::from_mode(0o4755))),
        "open-suid" => OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o4755)
            .open(word(1))
            .map(drop),
        "connect" => TcpStream::connect(word(1)).map(drop),
        "connect-unix" => UnixStream::connect(word(1)).map(drop),
        "connect-abstract" => {
            use std::os::linux::net::SocketAddrExt;
            std::os::unix::net::SocketAddr::from_abstract_name(word(1))
                .and_then(|address| UnixStream::connect_addr(&address))
                .map(drop)
        }
        "bind-low" => std::net::TcpListener::bind("127.0.0.2:80").map(drop),
        "listen" => std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr().and_then(TcpStream::connect).map(drop)),
        "mount" => mount(
            Some("x"),
            word(1),
            Some("tmpfs"),
            MsFlags::empty(),
            None::<&str>,
        )
        .map_err(Into::into),
        "remount-rw" => {
            let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
            mount(None::<&str>, word(1), None::<&str>, flags, None::<&str>).map_err(Into::into)
        }
        "unshare-user" => unshare(CloneFlags::CLONE_NEWUSER).map_err(Into::into),
        "unshare-mount" => unshare(CloneFlags::CLONE_NEWNS).map_err(Into::into),
        "socket-vsock" => try_socket(AddressFamily::Vsock, SockType::Stream),
        "socket-packet" => try_socket(AddressFamily::Packet, SockType::Datagram),
        "socket-alg" => try_socket(AddressFamily::Alg, SockType::SeqPacket),
        "socket-unix" => try_socket(AddressFamily::Unix, SockType::Stream),
        "run" => Command::new(word(1)).status().map(drop),
        "fork" => std::thread::Builder::new().spawn(|| ()).map(drop), // clone with CLONE_THREAD
        "signal" => {
            let pid = nix::unistd::Pid::from_raw(word(1).parse().map_err(|_| "a pid")?);
            nix::sys::signal::kill(pid, None).map_err(Into::into)
        }
        "probe" => return probe(),
        other => return Err(format!("no act {other:?}")),
    };
    done.map_err(|error| error.to_string())
}

/// Works where sandboxes can be made. The error names each problem with its remedy.
fn probe() -> Result<(), String> {
    use countersign_builder::child;
    let binary = std::env::current_exe().map_err(|e| e.to_string())?;
    let deadline = std::time::Duration::from_secs(30);
    let found =
        child::probe(&binary, &[], &Default::default(), deadline).map_err(crate::bench::shown)?;
    let problem = |check: &countersign_builder::environment::Check| {
        let (problem, remedy) = (check.problem.as_ref()?, check.remedy.as_ref());
        Some(format!(
            "{} [{problem}] [{}]",
            check.name,
            remedy.map_or("", |r| r)
        ))
    };
    let problems: Vec<String> = found.checks.iter().filter_map(problem).collect();
    if found.can_build() != problems.is_empty() {
        return Err(format!("can_build() contradicts {problems:?}"));
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(problems.join("\n"))
}

fn try_socket(family: AddressFamily, kind: SockType) -> std::io::Result<()> {
    socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
    Ok(())
}
