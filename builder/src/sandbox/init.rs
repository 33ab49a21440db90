//! The first process of a sandbox: it makes the sandbox around itself, copies the source in, gives
//! up all privilege, then runs the steps and reports how they ended.
//!
//! It is a fork of the launcher, pid 1 of its own pid namespace, and the only thing in there that a
//! build cannot kill, stop or look into. It holds one descriptor of its own, a channel to the
//! launcher, which no step inherits.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use nix::sys::personality::{self, Persona};
use nix::sys::prctl;
use nix::sys::resource::Resource;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, setsid};
use serde::{Deserialize, Serialize};

use crate::channel::{Channel, ChannelError};
use crate::mirror;
use crate::outcome::{Ended, IdMode};
use crate::plan::Network;

use super::cgroup::Doors;
use super::fault::{Doing, SandboxError, in_one_line};
use super::landlock::Place;
use super::spec::Spec;
use super::sys;
use super::wall::Wall;
use super::{clock, confine, cpus, ids, landlock, mounts, seccomp, source};

/// What the launcher says, beside the source tree between the two.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToInit {
    /// Ids are mapped, in this way: make the sandbox. The source tree follows.
    Go {
        /// How.
        mode: IdMode,
    },
    /// The source was the one that was meant: run the steps, as soon as all is made.
    Begin,
}

/// What the first process says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromInit {
    /// The sandbox is up and the source in it. Descriptors: `/build`, `/proc`, then the mirror's
    /// listener where there is a mirror.
    Ready,
    /// A step starts.
    Step(usize),
    /// The steps are over.
    Ended(Ended),
    /// The sandbox could not be made.
    Fault(String),
}

/// What the first process starts with.
pub(crate) struct Start<'a> {
    /// What the sandbox holds.
    pub(crate) spec: &'a Spec,
    /// What is shown of the host, where the launcher has prepared it.
    pub(crate) trees: Option<Vec<(String, OwnedFd)>>,
    /// The processors to stay on, where they are not all.
    pub(crate) cpus: Option<&'a [usize]>,
    /// The ways into its control groups.
    pub(crate) doors: &'a Doors,
    /// Where a helper listens that maps ids into the second user namespace.
    pub(crate) mapper: &'a UnixStream,
    /// This end of the channel.
    pub(crate) socket: &'a OwnedFd,
    /// The pipe of the log.
    pub(crate) log: &'a OwnedFd,
}

/// Runs as the first process of new namespaces, and never returns.
pub(crate) fn run(start: Start<'_>) -> ! {
    // an unwinding panic must not run the launcher's code in this process
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let mut channel = take_descriptors(&start)?;
        let result = live(start, &mut channel);
        if let Err(error) = &result {
            channel.send(&FromInit::Fault(in_one_line(error)))?;
        }
        result
    }));
    sys::exit_now(match ended {
        Ok(Ok(())) => 0,
        Ok(Err(_)) | Err(_) => 125,
    })
}

/// Keeps the channel, the log and the prepared trees; closes all else that the launcher had open.
fn take_descriptors(start: &Start<'_>) -> Result<Channel, SandboxError> {
    confine::die_with_parent()?;
    start.doors.enter().doing("entering control groups")?;
    dup2_stdin(start.socket).doing("placing the channel")?;
    dup2_stdout(start.log).doing("placing the log")?;
    dup2_stderr(start.log).doing("placing the log")?;
    let trees = start.trees.iter().flatten().map(|(_, tree)| tree.as_fd());
    let kept = trees.chain([start.mapper.as_fd()]);
    sys::close_all_but(3, kept).doing("closing the launcher's descriptors")?;
    sys::default_signals();
    Channel::from_stdin().doing("taking the channel")
}

fn live(start: Start<'_>, channel: &mut Channel) -> Result<(), SandboxError> {
    let ToInit::Go { mode } = channel.receive_message()? else {
        return Err(SandboxError::Inside(
            "told to begin before the sandbox was made".into(),
        ));
    };
    let spec = start.spec;
    if let Some(cpus) = start.cpus {
        cpus::stay_on(cpus)?;
    }
    mounts::private()?;
    umask(Mode::from_bits_truncate(0o022));
    let trees = match start.trees {
        Some(trees) => trees,
        None => mounts::host_trees(spec)?,
    };
    ids::become_inner_root(mode)?;
    // the group that the launcher has put us into is the root of what can be seen of groups
    unshare(CloneFlags::CLONE_NEWCGROUP).doing("making a control group namespace")?;
    setsid().doing("making a session")?;
    confine::loopback_up()?;
    let listener = match spec.network {
        Network::None => None,
        Network::Mirror => Some(listen()?),
    };
    mounts::enter_new_root(spec, mode, trees)?;
    clock::restart(spec.profile.uptime_seconds)?;
    // when the machine itself runs out of memory, a build goes first
    fs::write("/proc/self/oom_score_adj", "500").doing("offering to the out-of-memory killer")?;
    ids::nest(mode, spec.profile.user_id, start.mapper)?;
    let null = File::open("/dev/null").doing("opening /dev/null")?;
    dup2_stdin(&null).doing("closing the way to the host")?;
    drop(null);
    confine::drop_bounding_set()?;
    ids::become_build_user(mode, spec.profile.user_id)?;
    confine::keep_capabilities(0)?;
    if !spec.stands(Wall::Undebuggable) {
        prctl::set_dumpable(true).doing("opening the first process")?;
    }
    prepare_work_space(spec, channel)?;
    settle(spec)?;
    let build = File::open("/build").doing("opening /build")?;
    let processes = File::open("/proc").doing("opening /proc")?;
    let mut handed_out = vec![build.as_fd(), processes.as_fd()];
    handed_out.extend(listener.as_ref().map(AsFd::as_fd));
    channel.send_with_fds(&FromInit::Ready, &handed_out)?;
    drop((build, processes, listener)); // no step can accept what is meant for the mirror
    let ToInit::Begin = channel.receive_message()? else {
        return Err(SandboxError::Inside("told to go twice".into()));
    };
    // the launcher may have died while a change of credentials had untied us
    if channel.hung_up().doing("looking for the launcher")? {
        return Err(ChannelError::Closed.into());
    }
    umask(Mode::from_bits_truncate(spec.profile.umask));
    let ended = run_steps(spec, channel)?;
    channel.send(&FromInit::Ended(ended))?;
    Ok(())
}

/// Takes the mirror's port, which no step may bind. Needs the right to low ports of this namespace.
fn listen() -> Result<TcpListener, SandboxError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, mirror::PORT))
        .doing("listening on the private loopback for the mirror")
}

fn prepare_work_space(spec: &Spec, channel: &mut Channel) -> Result<(), SandboxError> {
    let room = "raise the limits disk_bytes and disk_inodes of the plan";
    let (home, source) = (&spec.profile.home, &spec.profile.source);
    for folder in [home, source] {
        fs::create_dir_all(folder).doing_or(&format!("making {folder}"), room)?;
    }
    source::receive(channel, Path::new(source), spec.file_time)?;
    // what was made on the way there must not tell when
    for folder in [home, "/build"] {
        source::settle(Path::new(folder), spec.file_time)?;
    }
    Ok(())
}

/// Limits, the scheduler, address layout, Landlock and the filter of system calls, which every step
/// inherits and this process has as well.
fn settle(spec: &Spec) -> Result<(), SandboxError> {
    let (limits, profile) = (&spec.limits, &spec.profile);
    for (resource, value) in [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_STACK, profile.stack_bytes),
        (Resource::RLIMIT_NOFILE, 4096),
        (Resource::RLIMIT_MEMLOCK, 64 << 10),
        (Resource::RLIMIT_FSIZE, limits.file_bytes),
        // a control group, where there is one, is reached first and counts how often
        (Resource::RLIMIT_NPROC, limits.processes.saturating_add(8)),
    ] {
        if spec.stands(Wall::ResourceLimits) {
            confine::limit(resource, value)?;
        }
    }
    match sys::set_niceness(profile.niceness) {
        // whoever started us with less priority keeps it: to raise it needs a privilege
        Err(error) if profile.niceness == 0 && error.kind() == io::ErrorKind::PermissionDenied => {}
        set => set.doing("setting the niceness")?,
    }
    let mut persona = personality::get().doing("reading the personality")?;
    persona.set(Persona::ADDR_NO_RANDOMIZE, !profile.random_addresses);
    persona.set(Persona::UNAME26, profile.old_kernel);
    personality::set(persona).doing("fixing the address layout")?;
    let write = ["/build", "/tmp", "/dev", "/dev/mqueue"].map(|path| Place::Path(Path::new(path)));
    landlock::restrict(&[Place::Path(Path::new("/"))], &write)?;
    if spec.stands(Wall::SystemCalls) {
        seccomp::build(persona.bits().cast_unsigned())?;
    }
    Ok(())
}

fn run_steps(spec: &Spec, channel: &mut Channel) -> Result<Ended, SandboxError> {
    let folder = match step_folder(&spec.profile.source, &spec.subdir) {
        Ok(folder) => folder,
        Err(message) => return Ok(Ended::NotStarted { step: 0, message }),
    };
    for (step, argv) in spec.steps.iter().enumerate() {
        channel.send(&FromInit::Step(step))?;
        let program = argv.first().map_or("", String::as_str);
        let pid = match start(spec, &folder, program, argv.get(1..).unwrap_or_default()) {
            Ok(pid) => pid,
            Err(error) => {
                let message = format!("{}: {error}", program.escape_debug());
                return Ok(Ended::NotStarted { step, message });
            }
        };
        match reap_until(pid)? {
            sys::End::Exited(0) => {}
            sys::End::Exited(code) => return Ok(Ended::Exited { step, code }),
            sys::End::Signalled(signal) => return Ok(Ended::Signalled { step, signal }),
        }
    }
    Ok(Ended::Completed)
}

/// Starts a program, which is looked for in the build's own search path (execvp(3), without its shell
/// fall-back). The standard library starts it without a copy of this process.
fn start(spec: &Spec, folder: &Path, program: &str, arguments: &[String]) -> io::Result<u32> {
    let candidates: Vec<String> = if program.contains('/') {
        vec![program.to_owned()]
    } else {
        let folders = spec.search_path().split(':');
        folders.map(|at| format!("{at}/{program}")).collect()
    };
    let mut worst = io::Error::from_raw_os_error(libc::ENOENT);
    for candidate in candidates {
        let started = Command::new(candidate)
            .arg0(program)
            .args(arguments)
            .env_clear()
            .envs(&spec.variables)
            .current_dir(folder)
            .process_group(0)
            .spawn();
        match started {
            Ok(child) => return Ok(child.id()), // taken by reap_until
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR) => {}
                Some(libc::EACCES) => worst = error,
                _ => return Err(error),
            },
        }
    }
    Err(worst)
}

/// The folder of the steps: a real folder of the tree, reached through no link.
fn step_folder(source: &str, subdir: &str) -> Result<PathBuf, String> {
    let mut folder = PathBuf::from(source);
    for part in subdir.split('/').filter(|part| !part.is_empty()) {
        folder.push(part);
        let kind = fs::symlink_metadata(&folder).map(|m| m.file_type());
        if !kind.is_ok_and(|kind| kind.is_dir()) {
            return Err(format!(
                "{} is not a folder of the tree",
                subdir.escape_debug()
            ));
        }
    }
    Ok(folder)
}

/// Takes every child that ends, which for pid 1 includes orphans, until this one has. A process may die of
/// any signal, those of real time included.
fn reap_until(step: u32) -> Result<sys::End, SandboxError> {
    loop {
        match sys::wait_any() {
            Ok((pid, end)) if u32::try_from(pid) == Ok(step) => return Ok(end),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).doing("waiting for a step"),
        }
    }
}
