//! The signer's own process: reads its key, locks itself in, then composes and signs.
//!
//! It has no network, no database and no parser but that of facts and statements. It ends when the
//! host closes the channel.

use std::io;
use std::process::ExitCode;

use countersign_attest::key::Sign;
use countersign_attest::statement::{Custody, Facts, KeyIsolation, compose};
use countersign_attest::{dsse, link};
use countersign_builder::channel::{Channel, ChannelError};
use countersign_builder::sandbox::confine::{self, Confinement, Isolation};
use countersign_builder::sandbox::{SIGNER_ID, process};

use super::program::ProgramSigner;
use super::{Answer, KeySource, Request};
use crate::keys::place::SecretFile;
use crate::keys::{self, Passphrase};
use crate::trouble::with_causes;

/// Most bytes of address space; a signer needs a few.
const MEMORY_BYTES: u64 = 1 << 30;

/// Runs the signer until the host is done with it. Called before any thread or runtime is started.
#[must_use]
pub(crate) fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE, // the host sees that the channel is closed
    }
}

fn run() -> Result<(), ChannelError> {
    confine::enter().map_err(|error| ChannelError::Io(io::Error::other(error)))?;
    process::make_non_dumpable().map_err(ChannelError::Io)?;
    let channel = Channel::from_stdin().map_err(ChannelError::Io)?;
    serve(channel, lock_in)
}

/// Obtains the key, locks this process in, and only then serves.
pub(super) fn serve(
    mut channel: Channel,
    lock_in: impl FnOnce(&KeySource) -> io::Result<KeyIsolation>,
) -> Result<(), ChannelError> {
    let source: KeySource = channel.receive_message()?;
    let key = match obtain(&source) {
        Ok(key) => key,
        Err(message) => return channel.send(&Answer::Fault { message }),
    };
    let isolation = match lock_in(&source) {
        Ok(isolation) => isolation,
        Err(error) => {
            let message = format!("locking the signer in: {error}");
            return channel.send(&Answer::Fault { message });
        }
    };
    let seat = Seat {
        key,
        custody: source.custody(),
        isolation: match &source {
            // how a program keeps its key is the operator's word, and without it the weakest
            KeySource::Program { program } if program.hardware => KeyIsolation::Hardware,
            KeySource::Program { .. } => KeyIsolation::SameUid,
            KeySource::File { .. } | KeySource::Local { .. } | KeySource::Ephemeral => isolation,
        },
    };
    loop {
        let request: Request = match channel.receive_message() {
            Err(ChannelError::Closed) => return Ok(()),
            other => other?,
        };
        channel.send(&seat.answer(request))?;
    }
}

/// Gives up what signing does not need, for good, now that the key has been read. Started by root, a
/// signer takes an id that nobody else has, so that not even root's other children can look into it.
fn lock_in(source: &KeySource) -> io::Result<KeyIsolation> {
    let seat = match source {
        KeySource::File { .. } | KeySource::Program { .. } => 0,
        KeySource::Local { .. } => 1,
        KeySource::Ephemeral => 2,
    };
    let confined = confine::parsing(&Confinement {
        read: &[],
        write: &[],
        network: Isolation::Nothing,
        user: Some(SIGNER_ID + seat),
        memory_bytes: Some(MEMORY_BYTES),
        file_bytes: Some(0),
    })
    .map_err(io::Error::other)?;
    Ok(if confined.own_user {
        KeyIsolation::SeparateUid
    } else {
        KeyIsolation::SameUid
    })
}

fn obtain(source: &KeySource) -> Result<Box<dyn Sign>, String> {
    let key = match source {
        KeySource::File { file, passphrase } => keys::load(file, passphrase),
        KeySource::Local { path } => {
            keys::load(&SecretFile::at(path.clone()), &Passphrase::Terminal)
        }
        KeySource::Ephemeral => keys::generate(),
        KeySource::Program { program } => {
            let public = keys::show(&program.public, &Passphrase::Terminal);
            let public = public.map_err(|error| with_causes(&error))?;
            return Ok(Box::new(ProgramSigner::start(program, public)?));
        }
    };
    match key {
        Ok(key) => Ok(Box::new(key)),
        Err(error) => Err(with_causes(&error)),
    }
}

/// What a signer signs with, and what it may say of itself.
struct Seat {
    key: Box<dyn Sign>,
    custody: Custody,
    isolation: KeyIsolation,
}

impl Seat {
    fn answer(&self, request: Request) -> Answer {
        match request {
            Request::Public => Answer::Public {
                pem: self.key.public().to_pem(),
                isolation: self.isolation,
            },
            Request::Draft { facts } => match self.compose(&facts) {
                Ok(statement) => document(statement),
                Err(refusal) => refusal,
            },
            Request::Sign { facts, statement } => self.sign(&facts, &statement),
            Request::Link { facts } => match link::sign(&facts, self.custody, &*self.key) {
                Ok(link) => document(link),
                Err(error) if error.is_refusal() => refused(&error),
                Err(error) => Answer::Fault {
                    message: with_causes(&error),
                },
            },
            Request::Declare { declaration } => match declaration.sign(&*self.key) {
                Ok(envelope) => document(envelope),
                Err(error) => refused(&error),
            },
        }
    }

    /// Composes a statement that does not say more of this signer than is so. A weaker claim, drafted
    /// before a move to a better place, may stand.
    fn compose(&self, facts: &Facts) -> Result<Vec<u8>, Answer> {
        let claimed = facts.rebuilder.key_isolation;
        if claimed != self.isolation && claimed != KeyIsolation::SameUid {
            return Err(Answer::Refused {
                message: "the facts say that the key is kept better than it is".into(),
            });
        }
        compose(facts, self.custody).map_err(|error| refused(&error))
    }

    /// Signs what it composes itself, and only if that is what the host has stored.
    fn sign(&self, facts: &Facts, drafted: &str) -> Answer {
        match self.compose(facts) {
            Err(refusal) => refusal,
            Ok(statement) if statement != drafted.as_bytes() => Answer::Refused {
                message: "the facts do not compose the statement that is to be signed".into(),
            },
            Ok(statement) => match dsse::sign(&statement, &*self.key) {
                Ok(envelope) => document(envelope),
                Err(error) => Answer::Fault {
                    message: with_causes(&error),
                },
            },
        }
    }
}

fn refused(error: &dyn std::error::Error) -> Answer {
    Answer::Refused {
        message: with_causes(error),
    }
}

fn document(bytes: Vec<u8>) -> Answer {
    match String::from_utf8(bytes) {
        Ok(text) => Answer::Document { text },
        Err(_) => Answer::Fault {
            message: "a document that is not text".into(),
        },
    }
}
