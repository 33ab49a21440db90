//! The signer's own process: reads its key, locks itself in, then composes and signs.
//!
//! It has no network, no database and no parser but that of facts and statements. It ends when the
//! host closes the channel.

use std::io;
use std::process::ExitCode;

use countersign_attest::key::PrivateKey;
use countersign_attest::statement::{Contradiction, Custody, Facts, compose};
use countersign_attest::{dsse, link};
use countersign_builder::channel::{Channel, ChannelError};
use countersign_builder::sandbox::confine::{self, Confinement, Isolation};
use countersign_builder::sandbox::process;

use super::{Answer, KeySource, Request};
use crate::keys;
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
    lock_in: impl FnOnce() -> io::Result<()>,
) -> Result<(), ChannelError> {
    let source: KeySource = channel.receive_message()?;
    let key = match obtain(&source) {
        Ok(key) => key,
        Err(message) => return channel.send(&Answer::Fault { message }),
    };
    if let Err(error) = lock_in() {
        let message = format!("locking the signer in: {error}");
        return channel.send(&Answer::Fault { message });
    }
    loop {
        let request: Request = match channel.receive_message() {
            Err(ChannelError::Closed) => return Ok(()),
            other => other?,
        };
        channel.send(&answer(request, source.custody(), &key))?;
    }
}

/// Gives up what signing does not need, for good, now that the key has been read.
fn lock_in() -> io::Result<()> {
    confine::parsing(&Confinement {
        read: &[],
        write: &[],
        network: Isolation::Nothing,
        memory_bytes: Some(MEMORY_BYTES),
        file_bytes: Some(0),
    })
    .map(|_| ())
    .map_err(io::Error::other)
}

fn obtain(source: &KeySource) -> Result<PrivateKey, String> {
    let key = match source {
        KeySource::File { path } | KeySource::Local { path } => keys::load(path),
        KeySource::Ephemeral => keys::generate(),
    };
    key.map_err(|error| with_causes(&error))
}

fn answer(request: Request, custody: Custody, key: &PrivateKey) -> Answer {
    match request {
        Request::Public => Answer::Public {
            pem: key.public().to_pem(),
        },
        Request::Draft { facts } => match compose(&facts, custody) {
            Ok(statement) => document(statement),
            Err(error) => refused(&error),
        },
        Request::Sign { facts, statement } => sign(&facts, &statement, custody, key),
        Request::Link { facts } => match link::sign(&facts, custody, key) {
            Ok(link) => document(link),
            Err(error) if error.is_refusal() => refused(&error),
            Err(error) => Answer::Fault {
                message: with_causes(&error),
            },
        },
    }
}

/// Signs what it composes itself, and only if that is what the host has stored.
fn sign(facts: &Facts, drafted: &str, custody: Custody, key: &PrivateKey) -> Answer {
    let composed: Result<Vec<u8>, Contradiction> = compose(facts, custody);
    match composed {
        Err(error) => refused(&error),
        Ok(statement) if statement != drafted.as_bytes() => Answer::Refused {
            message: "the facts do not compose the statement that is to be signed".into(),
        },
        Ok(statement) => match dsse::sign(&statement, key) {
            Ok(envelope) => document(envelope),
            Err(error) => Answer::Fault {
                message: with_causes(&error),
            },
        },
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
