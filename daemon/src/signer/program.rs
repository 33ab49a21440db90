//! A key that this process never has: a program of the operator's signs, in front of a hardware token, an
//! agent or a service. It gets the bytes to be signed on its standard input (DSSE v1, PAE; or a legacy
//! link's) and prints the signature, raw or in base64.
//!
//! The signer cannot start programs once it is locked in, so a process of its own does, which was started
//! before and is not confined: it is the program's to speak to its device. It parses nothing, is asked by
//! the signer alone, and what comes out is verified by the signer before it is used. The program has an
//! empty environment and a time limit.

use std::cell::RefCell;
use std::env;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_attest::key::{KeyError, PublicKey, Sign, Signature};
use countersign_builder::channel::{Channel, ChannelError};
use countersign_builder::sandbox::{confine, process};
use serde::{Deserialize, Serialize};

/// The argument that makes the binary the process that starts such programs.
pub(crate) const ARGUMENT: &str = "signing-program-child";

/// Most bytes that a program may print: a signature in base64 and some space.
const MAX_OUTPUT_BYTES: usize = 1024;
/// What the signer waits longer than the program may run.
const GRACE: Duration = Duration::from_secs(10);
/// Between two looks whether a program has ended.
const LOOK: Duration = Duration::from_millis(5);

/// A program that signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    /// The program, by its full path, and its arguments. No secret is among them.
    pub command: Vec<String>,
    /// The public half of its key.
    pub public: PathBuf,
    /// Longest time for one signature.
    pub time: Duration,
    /// Whether the operator says that the key never leaves a device.
    pub hardware: bool,
}

/// A program at work, through its starter.
pub(super) struct ProgramSigner {
    public: PublicKey,
    channel: RefCell<Channel>,
    starter: Child,
}

impl ProgramSigner {
    /// Starts the process that will start the program.
    pub(super) fn start(program: &Program, public: PublicKey) -> Result<Self, String> {
        let failed = |error: &dyn std::error::Error| format!("starting a signing program: {error}");
        let (mut channel, theirs) = Channel::pair().map_err(|error| failed(&error))?;
        let patience = program.time.saturating_add(GRACE);
        channel
            .set_receive_timeout(Some(patience))
            .map_err(|error| failed(&error))?;
        let mut command = Command::new(env::current_exe().map_err(|error| failed(&error))?);
        command.arg(ARGUMENT).stdin(theirs).stdout(Stdio::null());
        let starter = command
            .env_clear()
            .spawn()
            .map_err(|error| failed(&error))?;
        drop(command); // holds the child's end
        channel.send(program).map_err(|error| failed(&error))?;
        Ok(Self {
            public,
            channel: RefCell::new(channel),
            starter,
        })
    }
}

impl Sign for ProgramSigner {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, KeyError> {
        let mut channel = self.channel.borrow_mut();
        let answer: Result<Result<String, String>, ChannelError> = channel
            .send(&STANDARD.encode(message))
            .and_then(|()| channel.receive_message());
        let printed = answer
            .map_err(|error| KeyError::Elsewhere(format!("the signing program: {error}")))?
            .map_err(KeyError::Elsewhere)?;
        STANDARD
            .decode(printed)
            .ok()
            .and_then(|bytes| Signature::from_slice(&bytes))
            .ok_or_else(|| KeyError::Elsewhere("the signing program printed no signature".into()))
    }
}

impl Drop for ProgramSigner {
    fn drop(&mut self) {
        let _ = self.starter.kill();
        let _ = self.starter.wait();
    }
}

/// Starts a program for each message until the signer is gone. Called before any thread is started.
#[must_use]
pub(crate) fn main() -> ExitCode {
    match serve() {
        Ok(()) | Err(ChannelError::Closed) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve() -> Result<(), ChannelError> {
    confine::enter().map_err(|error| ChannelError::Io(io::Error::other(error)))?;
    let mut channel = Channel::from_stdin().map_err(ChannelError::Io)?;
    let program: Program = channel.receive_message()?;
    loop {
        let message: String = channel.receive_message()?;
        let message = STANDARD.decode(message).unwrap_or_default();
        channel.send(&run(&program, message).map(|signature| STANDARD.encode(signature)))?;
    }
}

/// Has one message signed.
fn run(program: &Program, message: Vec<u8>) -> Result<Vec<u8>, String> {
    let name = program.command.first().map_or("", String::as_str);
    let failed = |what: String| format!("the signing program {name}: {what}");
    let mut command = Command::new(name);
    command.args(program.command.iter().skip(1)).env_clear();
    command
        .current_dir("/")
        .process_group(0) // so that what it has started can be ended with it
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let deadline = Instant::now() + program.time;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let (say, heard) = mpsc::channel();
    thread::spawn(move || {
        // a program that reads only a digest of it may close its input early
        let _ = input.map(|mut input| input.write_all(&message));
    });
    thread::spawn(move || {
        let mut printed = Vec::new();
        let limit = MAX_OUTPUT_BYTES as u64 + 1;
        let read = output.map(|output| output.take(limit).read_to_end(&mut printed));
        let _ = say.send(read.unwrap_or(Ok(0)).map(|_| printed)); // nobody waits after a time-out
    });
    let printed = heard.recv_timeout(program.time);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline && printed.is_ok() => thread::sleep(LOOK),
            Ok(None) | Err(_) => {
                let _ = process::kill_group(&child);
                let _ = child.wait();
                let seconds = program.time.as_secs();
                return Err(failed(format!("did not end within {seconds} seconds")));
            }
        }
    };
    if !status.success() {
        return Err(failed(format!("ended with {status}")));
    }
    let printed = printed.map_err(|error| failed(error.to_string()))?;
    let printed = printed.map_err(|error| failed(error.to_string()))?;
    signature(&printed).ok_or_else(|| failed("printed no signature, raw or in base64".into()))
}

/// The 64 bytes of a signature, as they are or in base64.
fn signature(printed: &[u8]) -> Option<Vec<u8>> {
    if printed.len() == 64 {
        return Some(printed.to_vec());
    }
    let bytes = STANDARD.decode(printed.trim_ascii()).ok()?;
    (bytes.len() == 64).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, milliseconds: u64) -> Program {
        Program {
            command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            public: PathBuf::new(),
            time: Duration::from_millis(milliseconds),
            hardware: false,
        }
    }

    #[test]
    fn what_a_program_prints_is_a_signature_or_an_error() {
        let raw = "head -c 64 /dev/zero";
        let run = |script: &str| run(&shell(script, 60_000), vec![7; 300_000]);
        assert_eq!(run(raw), Ok(vec![0; 64]));
        assert_eq!(run(&format!("{raw} | base64 -w0; echo")), Ok(vec![0; 64]));
        assert_eq!(run(&format!("cat >/dev/null; {raw}")), Ok(vec![0; 64]));
        for (script, expected) in [
            ("head -c 63 /dev/zero", "no signature"),
            ("head -c 65 /dev/zero", "no signature"),
            ("head -c 64 /dev/zero | xxd -p", "no signature"),
            ("true", "no signature"),
            ("cat /dev/zero", "ended with"),
            ("head -c 64 /dev/zero; exit 3", "exit status: 3"),
            ("kill -9 $$", "signal: 9"),
            // an empty environment, but for what the shell itself sets
            (
                "env | grep -v -E '^(PWD|SHLVL|_)=' >&2 && exit 9; exit 4",
                "exit status: 4",
            ),
        ] {
            let error = run(script).unwrap_err();
            assert!(error.contains(expected), "{script}: {error}");
        }
        let missing = Program {
            command: vec!["/nonexistent".into()],
            ..shell("", 1000)
        };
        assert!(super::run(&missing, Vec::new()).is_err());
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        for script in [
            "sleep 600",
            "head -c 64 /dev/zero; exec >&-; exec sleep 600",
        ] {
            let error = run(&shell(script, 300), vec![1]).unwrap_err();
            assert!(error.contains("did not end"), "{error}");
        }
    }

    #[test]
    fn what_it_has_started_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", told.display());
        let error = run(&shell(&script, 1000), vec![1]).unwrap_err();
        assert!(error.contains("did not end"), "{error}");
        let pid = std::fs::read_to_string(told).unwrap();
        // what is dead and not waited for yet has no command line any more
        let command = format!("/proc/{}/cmdline", pid.trim());
        let lives = || std::fs::read(&command).is_ok_and(|line| !line.is_empty());
        for _ in 0..1000 {
            if !lives() {
                return;
            }
            thread::sleep(LOOK);
        }
        panic!("{pid} lives on");
    }
}
