//! The signer: the one process that holds a signing key, and the host's handle on it.
//!
//! It takes facts, never bytes to be signed: it composes the statement itself, refuses contradictions
//! and signs only what it composed ([`countersign_attest::statement`]). The host never sees the
//! secret of a stored key.
//!
//! Each call blocks; an async caller uses a blocking thread. A thread of the handle's own starts the
//! child and stays for as long as the handle, because the child dies with the thread that started it.
//! A signer that has died is not started again behind the caller's back.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{env, io};

use countersign_attest::declaration::Declaration;
use countersign_attest::dsse::{self, Limits};
use countersign_attest::key::PublicKey;
use countersign_attest::statement::{Custody, Facts, KeyIsolation};
use countersign_builder::channel::{Channel, ChannelError};
use serde::{Deserialize, Serialize};

use self::program::Program;
use crate::keys::Passphrase;
use crate::keys::place::SecretFile;
use crate::trouble::with_causes;

pub(crate) mod child;
pub(crate) mod program;
#[cfg(test)]
mod tests;

/// The argument that makes the binary a signer.
pub(crate) const ARGUMENT: &str = "signer-child";

/// Longest time for one answer; a signature takes less than a millisecond, a person more.
const PATIENCE: Duration = Duration::from_secs(120);

/// The first message to a signer: which key it signs with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "key", rename_all = "kebab-case")]
pub(crate) enum KeySource {
    /// An operator's key file, which the signer reads itself.
    File {
        /// Where it is.
        file: SecretFile,
        /// Who says its pass phrase, where it has one.
        passphrase: Passphrase,
    },
    /// A key that a program of the operator's has.
    Program {
        /// The program.
        program: Program,
    },
    /// A key file for local sources only, kept so that a restart signs the same bytes again.
    Local {
        /// Where it is.
        path: PathBuf,
    },
    /// A key that is made now and gone with the signer.
    Ephemeral,
}

impl KeySource {
    /// An operator's key file without a pass phrase, or with one that is asked for.
    pub(crate) const fn file(path: PathBuf) -> Self {
        Self::File {
            file: SecretFile::at(path),
            passphrase: Passphrase::Terminal,
        }
    }

    /// Who may believe signatures made with it.
    pub(crate) const fn custody(&self) -> Custody {
        match self {
            Self::File { .. } | Self::Program { .. } => Custody::Operator,
            Self::Local { .. } | Self::Ephemeral => Custody::Ephemeral,
        }
    }
}

/// A request to the signer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
enum Request {
    /// The public key.
    Public,
    /// The bytes of a statement, to be stored before they are signed.
    Draft {
        /// From which it is composed.
        facts: Box<Facts>,
    },
    /// A signature on a drafted statement.
    Sign {
        /// From which it is composed again.
        facts: Box<Facts>,
        /// What the draft was; it must be the same.
        statement: String,
    },
    /// A legacy link.
    Link {
        /// From which it is made.
        facts: Box<Facts>,
    },
    /// A signature on a declaration.
    Declare {
        /// What is declared.
        declaration: Box<Declaration>,
    },
}

/// The signer's answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
enum Answer {
    /// The public key in PEM.
    Public {
        /// SubjectPublicKeyInfo.
        pem: String,
        /// How the signer is kept from other processes.
        isolation: KeyIsolation,
    },
    /// A statement, an envelope or a link.
    Document {
        /// Its bytes, which are text.
        text: String,
    },
    /// The facts contradict each other. Never signed.
    Refused {
        /// Why.
        message: String,
    },
    /// Our own trouble.
    Fault {
        /// What, with its causes.
        message: String,
    },
}

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignerError {
    /// The facts contradict each other: a bug of ours or hostile input. Trying again changes nothing.
    #[error("the signer refuses: {0}")]
    Refused(String),
    /// The signer could not do its work.
    #[error("the signer failed: {0}")]
    Fault(String),
    /// The signer's process could not be started.
    #[error("starting the signer")]
    Start(#[source] io::Error),
    /// The signer is gone or does not answer; it stays gone.
    #[error("talking to the signer")]
    Channel(#[source] ChannelError),
    /// The signer is gone since an earlier fault.
    #[error("the signer is gone since an earlier fault")]
    Gone,
}

type Reply = Result<Answer, SignerError>;

struct Job {
    request: Request,
    reply: mpsc::Sender<Reply>,
}

/// The host's handle on a running signer.
pub(crate) struct Signer {
    jobs: Option<mpsc::Sender<Job>>,
    keeper: Option<JoinHandle<()>>,
    public: PublicKey,
    isolation: KeyIsolation,
}

impl Signer {
    /// Starts a signer and waits until it has its key and has locked itself in.
    ///
    /// # Errors
    /// When the process cannot be started, or the key is not there or not private.
    pub(crate) fn start(key: KeySource) -> Result<Self, SignerError> {
        let program = env::current_exe().map_err(SignerError::Start)?;
        let mut command = Command::new(program);
        command.arg(ARGUMENT);
        Self::start_with(command, key)
    }

    fn start_with(command: Command, key: KeySource) -> Result<Self, SignerError> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, started) = mpsc::channel();
        let keeper = thread::Builder::new().name("signer".into()).spawn(move || {
            match open(command, &key) {
                Ok((child, channel, greeting)) => {
                    let _ = ready.send(Ok(greeting)); // the starter waits for it
                    keep(child, channel, &inbox);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            }
        });
        let keeper = keeper.map_err(SignerError::Start)?;
        let (public, isolation) = started.recv().map_err(|_| SignerError::Gone)??;
        Ok(Self {
            jobs: Some(jobs),
            keeper: Some(keeper),
            public,
            isolation,
        })
    }

    /// The public key of what this signer signs.
    pub(crate) const fn public(&self) -> PublicKey {
        self.public
    }

    /// How the signer is kept from other processes, by its own word.
    pub(crate) const fn isolation(&self) -> KeyIsolation {
        self.isolation
    }

    /// Composes a statement, to be stored before it is signed.
    ///
    /// # Errors
    /// [`SignerError::Refused`] when the facts contradict each other.
    pub(crate) fn draft(&self, facts: &Facts) -> Result<Vec<u8>, SignerError> {
        self.document(Request::Draft {
            facts: Box::new(facts.clone()),
        })
    }

    /// Signs a drafted statement: one line with its envelope, the same bytes each time.
    ///
    /// # Errors
    /// [`SignerError::Refused`] when these facts do not compose exactly this statement.
    pub(crate) fn sign(&self, facts: &Facts, statement: &[u8]) -> Result<Vec<u8>, SignerError> {
        let statement = String::from_utf8(statement.to_vec())
            .map_err(|_| SignerError::Refused("a statement that is not text".into()))?;
        let facts = Box::new(facts.clone());
        let envelope = self.document(Request::Sign { facts, statement })?;
        // nothing unverified is ever stored
        dsse::open(&envelope, &[self.public], 1, &Limits::default())
            .map_err(|error| SignerError::Fault(with_causes(&error)))?;
        Ok(envelope)
    }

    /// Makes and signs a legacy link, for `reproduced` only.
    ///
    /// # Errors
    /// [`SignerError::Refused`] for any other verdict, or a string that a link cannot carry.
    pub(crate) fn link(&self, facts: &Facts) -> Result<Vec<u8>, SignerError> {
        self.document(Request::Link {
            facts: Box::new(facts.clone()),
        })
    }

    /// Signs a declaration: one line with its envelope, the same bytes each time.
    ///
    /// # Errors
    /// [`SignerError::Refused`] when it says nothing, or names another key as its own.
    pub(crate) fn declare(&self, declaration: &Declaration) -> Result<Vec<u8>, SignerError> {
        self.document(Request::Declare {
            declaration: Box::new(declaration.clone()),
        })
    }

    fn document(&self, request: Request) -> Result<Vec<u8>, SignerError> {
        match self.ask(request)? {
            Answer::Document { text } => Ok(text.into_bytes()),
            Answer::Refused { message } => Err(SignerError::Refused(message)),
            Answer::Fault { message } => Err(SignerError::Fault(message)),
            Answer::Public { .. } => Err(unexpected()),
        }
    }

    fn ask(&self, request: Request) -> Reply {
        let (reply, answer) = mpsc::channel();
        let jobs = self.jobs.as_ref().ok_or(SignerError::Gone)?;
        jobs.send(Job { request, reply })
            .map_err(|_| SignerError::Gone)?;
        answer.recv().map_err(|_| SignerError::Gone)?
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        self.jobs = None; // ends the keeper, which ends the child
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// Starts the child, hands it its key and waits until it is ready.
fn open(
    mut command: Command,
    key: &KeySource,
) -> Result<(Child, Channel, (PublicKey, KeyIsolation)), SignerError> {
    let (mut channel, theirs) = Channel::pair().map_err(SignerError::Start)?;
    let patience = match key {
        KeySource::Program { program } => PATIENCE.saturating_add(program.time),
        KeySource::File { .. } | KeySource::Local { .. } | KeySource::Ephemeral => PATIENCE,
    };
    channel
        .set_receive_timeout(Some(patience))
        .map_err(SignerError::Start)?;
    command.stdin(theirs).stdout(Stdio::null()).env_clear();
    let mut child = command.spawn().map_err(SignerError::Start)?;
    drop(command); // holds the child's end; while it is open here, a dead child would go unnoticed
    let greeted = channel
        .send(key)
        .and_then(|()| channel.send(&Request::Public))
        .and_then(|()| channel.receive_message());
    let public = match greeted {
        Ok(Answer::Public { pem, isolation }) => PublicKey::from_pem(pem.as_bytes())
            .map(|public| (public, isolation))
            .map_err(|error| SignerError::Fault(error.to_string())),
        Ok(Answer::Refused { message } | Answer::Fault { message }) => {
            Err(SignerError::Fault(message))
        }
        Ok(Answer::Document { .. }) => Err(unexpected()),
        Err(error) => Err(SignerError::Channel(error)),
    };
    match public {
        Ok(public) => Ok((child, channel, public)),
        Err(error) => {
            end(&mut child);
            Err(error)
        }
    }
}

/// Serves the handle until it is dropped or the child fails, whichever comes first.
fn keep(mut child: Child, mut channel: Channel, inbox: &mpsc::Receiver<Job>) {
    while let Ok(job) = inbox.recv() {
        let answer = channel
            .send(&job.request)
            .and_then(|()| channel.receive_message());
        let broken = answer.is_err();
        let _ = job.reply.send(answer.map_err(SignerError::Channel)); // the asker may have gone
        if broken {
            break; // a late answer must never be taken for the answer to another question
        }
    }
    drop(channel);
    end(&mut child);
}

fn end(child: &mut Child) {
    // it holds nothing that must be finished: what it signed was answered
    let _ = child.kill();
    let _ = child.wait();
}

fn unexpected() -> SignerError {
    SignerError::Fault("an answer to another question".into())
}
