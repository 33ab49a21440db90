//! Starting git children, one request each, and ending them.
//!
//! Blocking: an async host calls this from a blocking thread, and that thread lives as long as its
//! child, which dies with it. A child gets an empty environment, a channel as its standard input,
//! and no other descriptor.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use countersign_builder::channel::{Channel, ChannelError};

use super::error::{Fault, WatchError, printable_up_to};
use super::git_child::{self, Answer, Request};

/// How git children are started and bounded.
#[derive(Debug, Clone)]
pub(crate) struct Children {
    /// The program: this binary.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// How long one may take.
    pub time: Duration,
}

impl Children {
    /// Children of the running binary, a quarter of an hour each.
    ///
    /// # Errors
    /// When the system does not say where the binary is.
    pub(crate) fn of_this_binary() -> Result<Self, WatchError> {
        let program = std::env::current_exe().map_err(Fault::io("looking for our own binary"))?;
        let arguments = vec![git_child::ARGUMENT.into()];
        Ok(Self {
            program,
            arguments,
            time: Duration::from_secs(900),
        })
    }
}

impl Children {
    /// Starts a child, asks, and ends it.
    ///
    /// # Errors
    /// A fault when it cannot be started, takes too long, or ends without an answer.
    pub(crate) fn ask(&self, request: &Request, pack: Option<&File>) -> Result<Answer, WatchError> {
        let what = "starting the git child";
        let (mut channel, theirs) = Channel::pair().map_err(Fault::io(what))?;
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .env("HOME", "/nonexistent")
            .current_dir("/")
            .stdin(theirs)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Fault::io(what))?;
        channel
            .set_receive_timeout(Some(self.time))
            .map_err(Fault::io(what))?;
        let fds: Vec<_> = pack.iter().map(AsFd::as_fd).collect();
        let sent = channel.send_with_fds(request, &fds);
        match sent.and_then(|()| channel.receive_message()) {
            Ok(answer) => {
                end(&mut child);
                Ok(answer)
            }
            Err(ChannelError::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
            {
                end(&mut child);
                let seconds = self.time.as_secs();
                Err(Fault::TimeOut {
                    what: "the git child's work".into(),
                    seconds,
                }
                .into())
            }
            Err(error) => {
                let last_words = end(&mut child);
                Err(Fault::Child(format!("ended early ({error}): {last_words}")).into())
            }
        }
    }
}

/// Kills and reaps a child; its last words from standard error.
fn end(child: &mut Child) -> String {
    // errors only say that it is dead already
    let _ = child.kill();
    let _ = child.wait();
    let mut words = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(4096).read_to_end(&mut words);
    }
    printable_up_to(2000, &words)
}
