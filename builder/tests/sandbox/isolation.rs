//! What a build cannot reach, and what it sees instead.

use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use nix::unistd::geteuid;

use countersign_attest::time::Timestamp;
use countersign_builder::child::ReplayRequest;
use countersign_builder::outcome::Ended;
use countersign_builder::plan::Network;

use crate::bench::{Bench, EPOCH, MIRROR_WORD, PAYLOAD};
use crate::{Case, ensure};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("the host's files are not in view", host_files),
    ("/usr and toolchains are read-only", read_only),
    ("no network, but a loopback", network),
    ("a mirror, where the plan has one and nowhere else", mirror),
    ("no abstract socket of the host", abstract_sockets),
    ("foreign socket families are refused", socket_families),
    ("no descriptor is inherited", descriptors),
    ("the environment is exactly the fixed one", environment),
    ("a plan's variables override the fixed ones", variables),
    ("no capability, no new privileges, filters on", privileges),
    ("mount and unshare are refused", mounts),
    ("set-user-id is neither made nor honoured", set_user_id),
    ("host and domain name are fixed", host_name),
    ("pid 1 cannot be looked into or killed", init),
    ("/proc hides the kernel and cannot act on it", proc),
    ("/dev holds five devices", devices),
    ("the build user is nobody on the host", ids),
    ("second run sees another profile", profile),
    ("start and end of a sandbox are quick", speed),
];

/// An act that must work outside and fail inside with this text.
fn refused(bench: &Bench, act: &[&str], expected: &str) -> Result<(), String> {
    bench
        .outside(act)
        .map_err(|e| format!("control arm: {e}"))?;
    refused_only(bench, act, expected)
}

/// An act that has no safe control arm on the host.
fn refused_only(bench: &Bench, act: &[&str], expected: &str) -> Result<(), String> {
    match bench.inside(act)? {
        Ok(()) => Err(format!("{act:?} worked inside")),
        Err(error) if error.contains(expected) => Ok(()),
        Err(error) => Err(format!("{act:?} failed in another way: {error}")),
    }
}

fn host_files(bench: &Bench) -> Result<(), String> {
    let secret = bench.scratch.path().join("secret");
    fs::write(&secret, "secret").map_err(|e| e.to_string())?;
    let secret = secret.to_str().unwrap_or_default();
    refused(bench, &["read", secret], "No such file")?;
    if geteuid().is_root() {
        bench.outside(&["read", "/etc/shadow"])?;
    }
    refused_only(bench, &["read", "/etc/shadow"], "No such file")?;
    let seen = bench.script("ls / /etc /toolchains; ls -d /proc/1/root/*", |_| ())?;
    ensure!(
        !seen.log.contains("home"),
        "a home of the host: {}",
        seen.log
    );
    ensure!(
        seen.log.contains("/proc/1/root"),
        "no complaint: {}",
        seen.log
    );
    Ok(())
}

fn read_only(bench: &Bench) -> Result<(), String> {
    let outside = bench.scratch.path().join("toolchain/new");
    let outside = outside.to_str().unwrap_or_default();
    bench.outside(&["write", outside])?;
    for path in [
        "/usr/new",
        "/toolchains/0/other",
        "/new",
        "/etc/new",
        "/dev/new",
    ] {
        refused_only(bench, &["write", path], "Read-only file system")?;
    }
    for path in [
        "/build/new",
        "/build/home/new",
        "/tmp/new",
        "/dev/shm/new",
        "/dev/null",
    ] {
        bench
            .inside(&["write", path])?
            .map_err(|e| format!("{path}: {e}"))?;
    }
    refused_only(bench, &["write", "/usr/bin/env"], "denied")?; // nobody's, before read-only counts
    refused_only(bench, &["remount-rw", "/usr"], "not permitted")
}

fn network(bench: &Bench) -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let address = listener
        .local_addr()
        .map_err(|e| e.to_string())?
        .to_string();
    refused(bench, &["connect", &address], "refused")?;
    refused_only(bench, &["connect", "192.0.2.1:9"], "unreachable")?;
    refused_only(bench, &["connect", "[2001:db8::1]:9"], "un")?;
    bench.inside(&["listen"])?
}

fn mirror(bench: &Bench) -> Result<(), String> {
    let ask = |host: &str| format!("exec 3<>/dev/tcp/{host}/80 && cat <&3");
    let with_mirror = |request: &mut ReplayRequest| {
        request.plan.candidate.network = Network::Mirror;
        request.plan.candidate.as_of = Some(Timestamp::EPOCH);
    };
    for host in ["mirror", "127.0.0.1"] {
        let there = bench.replay(&[&["bash", "-c", &ask(host)]], with_mirror)?;
        ensure!(there.log.as_bytes() == MIRROR_WORD, "{host}: {}", there.log);
        let absent = bench.replay(&[&["bash", "-c", &ask(host)]], |_| ())?;
        let failed = matches!(absent.outcome.ended, Ended::Exited { code: 1, .. });
        ensure!(failed, "{host}: {:?}", absent.outcome.ended);
    }
    // the listener is the host's alone: a step neither has it nor can take its place
    let script = "ls /proc/self/fd | wc -l; ls -l /proc/1/fd";
    let steps = bench.replay(&[&["bash", "-c", script]], with_mirror)?;
    let descriptors = steps.log.lines().next().unwrap_or_default();
    ensure!(descriptors == "4", "0, 1, 2 and the folder: {}", steps.log);
    let stolen = !matches!(steps.outcome.ended, Ended::Exited { .. });
    ensure!(!stolen, "saw descriptors of init: {}", steps.log);
    let taken = bench.replay(&[&[PAYLOAD, "act", "bind-low"]], with_mirror)?;
    ensure!(taken.log.contains("denied"), "{}", taken.log);
    // the network is still no network
    let outside = bench.replay(&[&[PAYLOAD, "act", "connect", "192.0.2.1:9"]], with_mirror)?;
    ensure!(outside.log.contains("unreachable"), "{}", outside.log);
    Ok(())
}

fn abstract_sockets(bench: &Bench) -> Result<(), String> {
    let name = format!("countersign-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).map_err(|e| e.to_string())?;
    let _listener = UnixListener::bind_addr(&address).map_err(|e| e.to_string())?;
    bench.outside(&["connect-abstract", &name])?;
    match bench.inside(&["connect-abstract", &name])? {
        Ok(()) => Err("reached the host".into()),
        Err(_) => Ok(()),
    }
}

fn socket_families(bench: &Bench) -> Result<(), String> {
    for act in ["socket-vsock", "socket-alg", "socket-packet"] {
        // some kernels lack the family: then there is no control arm, but the refusal is the same
        refused_only(bench, &[act], "not permitted")?;
    }
    bench.inside(&["socket-unix"])?
}

fn descriptors(bench: &Bench) -> Result<(), String> {
    // a descriptor of the caller's without close-on-exec, which an ordinary program inherits
    let leak = fs::File::open("/dev/null").map_err(|e| e.to_string())?;
    nix::fcntl::fcntl(
        &leak,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
    )
    .map_err(|e| e.to_string())?;
    let list = "for f in /proc/self/fd/*; do echo ${f##*/}; done | sort -n | tr '\\n' ' '; \
                echo; readlink /proc/self/fd/0; readlink /proc/self/fd/1; readlink /proc/self/fd/2";
    let control = std::process::Command::new("sh").args(["-c", list]).output();
    let control = String::from_utf8_lossy(&control.map_err(|e| e.to_string())?.stdout).into_owned();
    let number = std::os::fd::AsRawFd::as_raw_fd(&leak).to_string();
    let listed = |text: &str| text.lines().next().unwrap_or("").to_owned();
    ensure!(
        listed(&control).split(' ').any(|fd| fd == number),
        "control arm: {number} is not inherited: {control}"
    );
    let seen = bench.script(list, |_| ())?.log;
    // the shell opens the folder itself as 3 while it lists
    ensure!(
        listed(&seen).trim() == "0 1 2" || listed(&seen).trim() == "0 1 2 3",
        "descriptors: {seen}"
    );
    let lines: Vec<&str> = seen.lines().skip(1).collect();
    ensure!(
        lines.len() == 3
            && lines[0] == "/dev/null"
            && lines[1].starts_with("pipe:")
            && lines[2].starts_with("pipe:"),
        "standard streams: {seen}"
    );
    Ok(())
}

fn environment(bench: &Bench) -> Result<(), String> {
    let expected = format!(
        "HOME=/build/home\nLC_ALL=C.UTF-8\nLOGNAME=build\nNO_COLOR=1\n\
         PATH=/toolchains/0/bin:/usr/local/bin:/usr/bin:/bin\nSOURCE_DATE_EPOCH={EPOCH}\n\
         TERM=dumb\nTMPDIR=/tmp\nTZ=UTC\nUSER=build\n"
    );
    let seen = bench.replay(&[&["env"]], |_| ())?.log;
    ensure!(seen == expected, "environment: {seen}");
    let rest = "umask; pwd; id -u; id -un; ulimit -c; ls -A /tmp $HOME | wc -l; cat /etc/hostname";
    let seen = bench.script(rest, |_| ())?.log;
    ensure!(
        seen == "0022\n/build/source\n1000\nbuild\n0\n3\nlocalhost\n",
        "settings: {seen}"
    );
    // programs that insist on a list of authorities have one of nobody's, which is no list of the host's
    let authorities = "grep -c BEGIN /etc/ssl/certs/ca-certificates.crt; ls /etc/ssl/certs";
    let seen = bench.script(authorities, |_| ())?.log;
    ensure!(seen == "1\nca-certificates.crt\n", "authorities: {seen}");
    Ok(())
}

fn variables(bench: &Bench) -> Result<(), String> {
    use countersign_attest::origin::Origin;
    use countersign_builder::plan::Valued;
    let seen = bench.replay(&[&["env"]], |request| {
        for (name, value) in [("SOURCE_DATE_EPOCH", "1"), ("EXTRA", "x y")] {
            let value = Valued::new(value.to_owned(), Origin::Operator);
            request.plan.candidate.variables.insert(name.into(), value);
        }
    })?;
    let lines: Vec<&str> = seen.log.lines().collect();
    ensure!(
        lines.contains(&"SOURCE_DATE_EPOCH=1") && lines.contains(&"EXTRA=x y") && lines.is_sorted(),
        "environment: {lines:?}"
    );
    Ok(())
}

fn privileges(bench: &Bench) -> Result<(), String> {
    let seen = bench.script("cat /proc/self/status", |_| ())?.log;
    for line in [
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        ensure!(seen.lines().any(|l| l == line), "no {line:?} in {seen}");
    }
    Ok(())
}

fn mounts(bench: &Bench) -> Result<(), String> {
    refused(bench, &["unshare-user"], "not permitted")?;
    for act in [
        &["unshare-mount"][..],
        &["mount", "/tmp"],
        &["mount", "/build"],
    ] {
        refused_only(bench, act, "not permitted")?;
    }
    let seen = bench.script("cat /proc/self/mountinfo", |_| ())?.log;
    let scratch = bench.scratch.path().to_str().unwrap_or("/");
    ensure!(seen.contains(" /usr ro,"), "no read-only /usr: {seen}");
    let own = |line: &str| !line.contains("/toolchains/");
    ensure!(
        !seen
            .lines()
            .filter(|l| own(l))
            .any(|line| line.contains(scratch)),
        "a path of the host in {seen}"
    );
    Ok(())
}

fn set_user_id(bench: &Bench) -> Result<(), String> {
    let file = bench.scratch.path().join("suid");
    let path = file.to_str().unwrap_or_default();
    for act in ["create-suid", "open-suid"] {
        refused_only(bench, &[act, "/build/suid"], "not permitted")?;
        bench.outside(&[act, path])?;
    }
    // the same bits where nothing is made are whatever lay there: no matter
    bench.inside(&["read", "/build/source/a"])??;
    let _ = fs::remove_file(&file);
    // a program of the host with the bit does not get what the bit promises
    let seen = bench.script(
        "for p in /usr/bin/su /usr/bin/passwd /usr/bin/mount /usr/bin/newgrp; do [ -u $p ] && echo found; done; \
         grep -c nosuid /proc/self/mountinfo; id -u",
        |_| (),
    )?;
    let mounts = bench.script("grep -vc nosuid /proc/self/mountinfo", |_| ())?;
    ensure!(
        mounts.log.trim() == "0",
        "mounts without nosuid: {}",
        mounts.log
    );
    ensure!(seen.log.trim().ends_with("1000"), "{}", seen.log);
    Ok(())
}

fn host_name(bench: &Bench) -> Result<(), String> {
    let seen = bench
        .script("uname -n; cat /proc/sys/kernel/domainname", |_| ())?
        .log;
    ensure!(seen == "localhost\n(none)\n", "names: {seen}");
    Ok(())
}

fn init(bench: &Bench) -> Result<(), String> {
    let own = std::process::id();
    bench.outside(&["read", &format!("/proc/{own}/environ")])?;
    for file in ["environ", "maps", "mem", "root", "fd/0", "cwd"] {
        match bench.inside(&["read", &format!("/proc/1/{file}")])? {
            Ok(()) => return Err(format!("/proc/1/{file} can be read")),
            Err(error) => ensure!(error.contains("ermi"), "/proc/1/{file}: {error}"),
        }
    }
    refused_only(bench, &["open-write", "/proc/1/mem"], "denied")?;
    let seen = bench.script(
        "kill -9 1; kill -STOP 1; sleep 0.1; echo alive; tr '\\0' ' ' < /proc/1/cmdline",
        |_| (),
    )?;
    ensure!(seen.log.starts_with("alive"), "{}", seen.log);
    ensure!(!seen.log.contains("/"), "/proc/1/cmdline says {}", seen.log);
    Ok(())
}

fn proc(bench: &Bench) -> Result<(), String> {
    for path in [
        "/proc/kallsyms",
        "/proc/timer_list",
        "/proc/keys",
        "/proc/sysrq-trigger",
    ] {
        if fs::exists(path).unwrap_or(false) {
            refused_only(bench, &["read", path], "denied")?;
            refused_only(bench, &["open-write", path], "denied")?;
        }
    }
    for path in [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/user/max_user_namespaces",
    ] {
        match bench.inside(&["open-write", path])? {
            Ok(()) => return Err(format!("{path} can be written")),
            Err(error) => ensure!(error.contains("denied"), "{path}: {error}"),
        }
    }
    // what is the machine's says the same everywhere, and none of it can be changed
    let seen = bench.script(
        "grep -c ^processor /proc/cpuinfo; nproc; cat /proc/uptime; \
         [ \"$(cat /proc/sys/kernel/osrelease /proc/sys/kernel/version)\" = \"$(uname -r; uname -v)\" ] && \
         [ \"$(cat /proc/version)\" = \"Linux version $(uname -r) (countersign) $(uname -v)\" ] && echo agree; \
         grep -h 'model name' /proc/cpuinfo | sort -u; awk '{print $1, $2}' /proc/meminfo | head -n 1; \
         cat /proc/sys/kernel/random/boot_id; grep -c . /proc/cmdline; ls /proc/acpi /proc/fs /proc/irq; \
         chmod 777 /proc/cpuinfo; echo x > /proc/uptime; echo $(cat /proc/uptime)",
        |_| (),
    )?;
    let lines: Vec<&str> = seen.log.lines().collect();
    ensure!(lines.first() == lines.get(1), "processors: {lines:?}");
    for line in [
        "agree",
        "0.00 0.00",
        "model name\t: normalised x86-64-v2 processor",
        "MemTotal: 8388608",
        "00000000-0000-4000-8000-000000000000",
    ] {
        ensure!(
            lines.contains(&line) || !cfg!(target_arch = "x86_64"),
            "no {line:?} in {lines:?}"
        );
    }
    ensure!(seen.log.contains("Read-only file system"), "{lines:?}");
    ensure!(lines.last() == Some(&"0.00 0.00"), "{lines:?}");
    let host = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    ensure!(
        !seen.log.contains(host.trim()),
        "control arm: the host's own boot id"
    );
    let seen = bench.script("ls /proc | grep -c '^[0-9]'", |_| ())?.log;
    let count: u32 = seen.trim().parse().unwrap_or(u32::MAX);
    ensure!(count < 10, "{count} processes are in view");
    Ok(())
}

fn devices(bench: &Bench) -> Result<(), String> {
    let seen = bench.script(
        "ls /dev | tr '\\n' ' '; head -c4 /dev/zero | wc -c; : >/dev/null",
        |_| (),
    )?;
    let expected = "fd full mqueue null random shm stderr stdin stdout urandom zero 4\n";
    ensure!(seen.log == expected, "/dev: {}", seen.log);
    let seen = bench
        .script(
            "mknod /build/n c 1 3 2>&1; mkfifo /build/f && echo made",
            |_| (),
        )?
        .log;
    ensure!(
        seen.contains("not permitted") && seen.contains("made"),
        "{seen}"
    );
    Ok(())
}

/// Seen from the host while it runs: no id of a map reaches host uid 0.
fn ids(bench: &Bench) -> Result<(), String> {
    let marker = format!("8000.{}", std::process::id());
    let mut seen = Err("no process of the sandbox was seen".to_owned());
    let script = format!("echo up; exec sleep {marker}");
    let tree = bench.tree();
    let result = bench.replay_tree(
        tree.path(),
        &[&["sh", "-c", &script]],
        |request| request.plan.candidate.limits.time_seconds = 2,
        &mut |_| {
            for _ in 0..100 {
                if let Some(pid) = crate::lifetime::find(&marker).first() {
                    let map = fs::read_to_string(format!("/proc/{pid}/uid_map"));
                    let status = fs::read_to_string(format!("/proc/{pid}/status"));
                    seen = Ok((map.unwrap_or_default(), status.unwrap_or_default()));
                    return;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        },
    );
    let mode = result
        .map_err(crate::bench::shown)?
        .outcome
        .environment
        .id_mode;
    let (map, status) = seen?;
    let firsts: Vec<u64> = map
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1)?.parse().ok())
        .collect();
    ensure!(!firsts.is_empty() && !firsts.contains(&0), "uid_map: {map}");
    let own: Vec<&str> = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .map(|line| line.split_whitespace().collect())
        .unwrap_or_default();
    let expected = crate::bench::host_ids(mode).1.to_string();
    ensure!(
        own.iter().all(|uid| *uid == expected) && own.len() == 4,
        "Uid: {own:?}"
    );
    Ok(())
}

fn profile(bench: &Bench) -> Result<(), String> {
    let script = "uname -n; id -un; echo $USER; ls -U";
    let run = |profile| bench.script(script, |request| request.profile = profile);
    let first = run(countersign_builder::sandbox::Profile::first())?.log;
    let second = run(countersign_builder::sandbox::Profile::second(
        &Default::default(),
    ))?
    .log;
    let (first, second): (Vec<_>, Vec<_>) = (first.lines().collect(), second.lines().collect());
    ensure!(first[..3] == ["localhost", "build", "build"], "{first:?}");
    ensure!(second[..3] == ["rebuild", "second", "second"], "{second:?}");
    let mut reversed = second[3..].to_vec();
    reversed.reverse();
    ensure!(
        first[3..].len() == 6 && first[3..] == reversed,
        "{first:?} {second:?}"
    );
    Ok(())
}

fn speed(bench: &Bench) -> Result<(), String> {
    let tree = bench.tree();
    let mut times = Vec::new();
    for _ in 0..20 {
        let started = std::time::Instant::now();
        let ran = bench.replay_tree(tree.path(), &[&["/bin/true"]], |_| (), &mut |_| ());
        times.push((
            started.elapsed(),
            ran.map_err(crate::bench::shown)?.outcome.duration_ms,
        ));
    }
    times.sort_unstable();
    let (median, inner) = times[times.len() / 2];
    println!(
        "        start and exit of /bin/true: minimum {:?}, median {median:?} (of that {inner} ms from the first step to the last death)",
        times[0].0
    );
    ensure!(
        median.as_secs() < 2,
        "a sandbox takes {median:?} to start and end"
    );
    Ok(())
}
