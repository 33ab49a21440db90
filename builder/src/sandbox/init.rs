//! The first process of a sandbox: it makes the sandbox around itself, copies the source in, gives
//! up all privilege, then runs the steps and reports how they ended.
//!
//! It is a fork of the launcher, pid 1 of its own pid namespace, and the only thing in there that a
//! build cannot kill, stop or look into. It holds one descriptor of its own, a channel to the
//! launcher, which no step inherits.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, PipeReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::personality::{self, Persona};
use nix::sys::prctl;
use nix::sys::resource::Resource;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, setsid};
use serde::{Deserialize, Serialize};

use crate::channel::Channel;
use crate::mirror;
use crate::outcome::{Ended, IdMode};
use crate::plan::Network;

use super::fault::{Doing, SandboxError, in_one_line};
use super::landlock::Place;
use super::spec::Spec;
use super::sys::{self, Cloned};
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
    /// Run the steps.
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
    dup2_stdin(start.socket).doing("placing the channel")?;
    dup2_stdout(start.log).doing("placing the log")?;
    dup2_stderr(start.log).doing("placing the log")?;
    let trees = start.trees.iter().flatten().map(|(_, tree)| tree.as_fd());
    sys::close_all_but(3, trees).doing("closing the launcher's descriptors")?;
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
    ids::nest(mode, spec.profile.user_id)?;
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
    let personality = settle(spec)?;
    let build = File::open("/build").doing("opening /build")?;
    let processes = File::open("/proc").doing("opening /proc")?;
    let mut handed_out = vec![build.as_fd(), processes.as_fd()];
    handed_out.extend(listener.as_ref().map(AsFd::as_fd));
    channel.send_with_fds(&FromInit::Ready, &handed_out)?;
    drop((build, processes, listener)); // no step can accept what is meant for the mirror
    // the parent may have died while a change of credentials had untied us: then this ends here
    let ToInit::Begin = channel.receive_message()? else {
        return Err(SandboxError::Inside("told to go twice".into()));
    };
    let ended = run_steps(spec, personality, channel)?;
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

/// Limits, the scheduler, address layout and Landlock, which every step inherits. Returns the
/// personality.
fn settle(spec: &Spec) -> Result<u64, SandboxError> {
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
    if spec.stands(Wall::FileRules) {
        let write = ["/build", "/tmp", "/dev"].map(|path| Place::Path(Path::new(path)));
        landlock::restrict(&[Place::Path(Path::new("/"))], &write)?;
    }
    Ok(u64::from(persona.bits().cast_unsigned()))
}

fn run_steps(spec: &Spec, personality: u64, channel: &mut Channel) -> Result<Ended, SandboxError> {
    let folder = match step_folder(&spec.profile.source, &spec.subdir) {
        Ok(folder) => folder,
        Err(message) => return Ok(Ended::NotStarted { step: 0, message }),
    };
    let environment = c_strings(
        spec.variables
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    )?;
    for (step, argv) in spec.steps.iter().enumerate() {
        channel.send(&FromInit::Step(step))?;
        let launch = Payload {
            folder: &folder,
            argv: c_strings(argv.iter().cloned())?,
            candidates: candidates(argv, spec.search_path())?,
            environment: &environment,
            personality,
            umask: spec.profile.umask,
            filtered: spec.stands(Wall::SystemCalls),
        };
        match launch.run()? {
            StepEnd::Exited(0) => {}
            StepEnd::Exited(code) => return Ok(Ended::Exited { step, code }),
            StepEnd::Signalled(signal) => return Ok(Ended::Signalled { step, signal }),
            StepEnd::NotStarted(error) => {
                let program = argv.first().map_or("", String::as_str);
                let message = format!("{}: {error}", program.escape_debug());
                return Ok(Ended::NotStarted { step, message });
            }
        }
    }
    Ok(Ended::Completed)
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

fn c_strings(values: impl Iterator<Item = String>) -> Result<Vec<CString>, SandboxError> {
    values
        .map(|value| {
            CString::new(value)
                .map_err(io::Error::other)
                .doing("passing a value with NUL")
        })
        .collect()
}

/// The files that a program's name may mean, in order (execvp(3), without its shell fall-back).
fn candidates(argv: &[String], search_path: &str) -> Result<Vec<CString>, SandboxError> {
    let program = argv.first().cloned().unwrap_or_default();
    if program.contains('/') {
        return c_strings(std::iter::once(program));
    }
    c_strings(
        search_path
            .split(':')
            .map(|folder| format!("{folder}/{program}")),
    )
}

enum StepEnd {
    Exited(i32),
    Signalled(i32),
    NotStarted(io::Error),
}

/// One step, ready to be started.
struct Payload<'a> {
    folder: &'a Path,
    argv: Vec<CString>,
    candidates: Vec<CString>,
    environment: &'a [CString],
    personality: u64,
    umask: u32,
    filtered: bool,
}

impl Payload<'_> {
    fn run(&self) -> Result<StepEnd, SandboxError> {
        let (report, tell) = io::pipe().doing("making a pipe")?;
        let forked = match sys::fork() {
            // what earlier steps have left running takes up the limit of processes
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(StepEnd::NotStarted(error));
            }
            other => other.doing("starting a step")?,
        };
        match forked {
            Cloned::Child => {
                drop(report);
                let error = catch_unwind(AssertUnwindSafe(|| self.start()));
                let errno = error.unwrap_or(Errno::EIO);
                let _ = (&tell).write_all(&(errno as i32).to_be_bytes()); // init sees EOF else
                sys::exit_now(127)
            }
            Cloned::Parent(pid, _) => {
                drop(tell);
                let failed = read_errno(report);
                let end = reap_until(pid)?;
                Ok(failed.map_or(end, StepEnd::NotStarted))
            }
        }
    }

    /// Becomes the program; returns only why it could not.
    fn start(&self) -> Errno {
        match self.prepare() {
            Err(error) => Errno::from_raw(raw_errno(&error)),
            Ok(()) => self.execute(),
        }
    }

    fn prepare(&self) -> Result<(), SandboxError> {
        setsid().doing("making a session")?;
        chdir(self.folder).doing("entering the folder of the steps")?;
        umask(Mode::from_bits_truncate(self.umask));
        sys::default_signals();
        // init's channel and the report pipe, too, are gone as soon as the program starts
        sys::close_on_exec_from(3).doing("closing descriptors")?;
        if self.filtered {
            seccomp::build(self.personality)?;
        }
        Ok(())
    }

    fn execute(&self) -> Errno {
        let mut worst = Errno::ENOENT;
        for candidate in &self.candidates {
            match execve(candidate, &self.argv, self.environment) {
                Ok(never) => match never {},
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(Errno::EACCES) => worst = Errno::EACCES,
                Err(other) => return other,
            }
        }
        worst
    }
}

fn raw_errno(error: &SandboxError) -> i32 {
    match error {
        SandboxError::System { source, .. } => source.raw_os_error().unwrap_or(libc::EIO),
        SandboxError::Refused { .. } | SandboxError::Inside(_) | SandboxError::Channel(_) => {
            libc::EIO
        }
    }
}

/// Waits until the program has started (end of file) or could not be.
fn read_errno(mut report: PipeReader) -> Option<io::Error> {
    let mut bytes = [0; 4];
    report.read_exact(&mut bytes).ok()?;
    Some(io::Error::from_raw_os_error(i32::from_be_bytes(bytes)))
}

/// Takes every child that ends, which for pid 1 includes orphans, until this one has. A process may die of
/// any signal, those of real time included.
fn reap_until(step: i32) -> Result<StepEnd, SandboxError> {
    loop {
        match sys::wait_any() {
            Ok((pid, ended)) if pid == step => {
                return Ok(match ended {
                    sys::End::Exited(code) => StepEnd::Exited(code),
                    sys::End::Signalled(signal) => StepEnd::Signalled(signal),
                });
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).doing("waiting for a step"),
        }
    }
}
