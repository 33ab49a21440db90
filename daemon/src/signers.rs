//! Which key signs what: the operator's signs for repositories that have an address, and a key of
//! its own signs for folders of this machine, which nobody else can look at.
//!
//! Both live in signer processes ([`crate::signer`]); this file holds no secret key.

use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use countersign_attest::bundle::{self, BundleError};
use countersign_attest::declaration::Declaration;
use countersign_attest::dsse::OpenError;
use countersign_attest::key::PublicKey;
use countersign_attest::statement::{Facts, KeyIsolation};

use crate::config::Config;
use crate::keys::{self, Passphrase};
use crate::signer::{KeySource, Signer, SignerError};
use crate::trouble::Trouble;

/// The running signers.
#[derive(Clone)]
pub(crate) struct Signers {
    first: Arc<Signer>,
    local: Option<Arc<Signer>>,
}

impl Signers {
    /// Starts the signer of an operator's key and, where local sources are allowed, one of a key for them,
    /// which is made on first use.
    ///
    /// # Errors
    /// When a key is not there or not private, or a process cannot be started.
    pub(crate) fn start(key: &KeySource, local: Option<&Path>) -> Result<Self, Trouble> {
        let first = Arc::new(start(key)?);
        let local = match local {
            Some(path) => {
                if !path.exists() {
                    keys::new(path, &Passphrase::Terminal)
                        .map_err(keys::KeyFileError::into_trouble)?;
                }
                let path = path.to_owned();
                Some(Arc::new(start(&KeySource::Local { path })?))
            }
            None => None,
        };
        Ok(Self { first, local })
    }

    /// The signers of a configuration.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) fn of(config: &Config) -> Result<Self, Trouble> {
        let local = config.rules.allow_local.then_some(&*config.keys.local);
        Self::start(&config.keys.source, local)
    }

    /// Starts a signer whose key is forgotten at the end.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub(crate) fn ephemeral() -> Result<Self, Trouble> {
        Ok(Self {
            first: Arc::new(start(&KeySource::Ephemeral)?),
            local: None,
        })
    }

    /// The public key that a reader of the operator's statements needs.
    #[must_use]
    pub(crate) fn public(&self) -> PublicKey {
        self.first.public()
    }

    /// The public key of statements about folders of this machine, where such are allowed.
    #[must_use]
    pub(crate) fn local_public(&self) -> Option<PublicKey> {
        self.local.as_ref().map(|signer| signer.public())
    }

    /// How the keys are kept from other processes.
    #[must_use]
    pub(crate) fn isolation(&self) -> KeyIsolation {
        self.first.isolation() // the local one is started in the same way
    }

    /// Composes a statement, to be stored before it is signed.
    ///
    /// # Errors
    /// A contradiction is a bug of ours: a fault, and nothing is signed.
    pub(crate) async fn draft(&self, facts: &Facts) -> Result<Vec<u8>, Trouble> {
        let (signer, facts) = (self.for_source(&facts.source.uri), facts.clone());
        answer(move || signer.draft(&facts)).await
    }

    /// Signs a drafted statement; the same bytes each time.
    ///
    /// # Errors
    /// When the facts do not compose exactly this statement, or the signer is gone.
    pub(crate) async fn sign(&self, facts: &Facts, statement: &[u8]) -> Result<Vec<u8>, Trouble> {
        let (signer, facts) = (self.for_source(&facts.source.uri), facts.clone());
        let statement = statement.to_vec();
        answer(move || signer.sign(&facts, &statement)).await
    }

    /// Makes and signs the legacy link of a `reproduced` verdict.
    ///
    /// # Errors
    /// For any other verdict, or when the signer is gone.
    pub(crate) async fn link(&self, facts: &Facts) -> Result<Vec<u8>, Trouble> {
        let (signer, facts) = (self.for_source(&facts.source.uri), facts.clone());
        answer(move || signer.link(&facts)).await
    }

    /// Signs a declaration with the operator's key.
    ///
    /// # Errors
    /// When it says nothing, or the signer is gone.
    pub(crate) async fn declare(&self, declaration: Declaration) -> Result<Vec<u8>, Trouble> {
        let signer = Arc::clone(&self.first);
        answer(move || signer.declare(&declaration)).await
    }

    /// The Sigstore bundle around an envelope: the same signature for other software. `None` where the
    /// signer has another key by now than when it signed: a bundle names its key by more than the
    /// envelope tells, and the envelope stands without.
    ///
    /// # Errors
    /// When the envelope is none of ours, which is a bug.
    pub(crate) fn bundle(
        &self,
        facts: &Facts,
        envelope: &[u8],
    ) -> Result<Option<Vec<u8>>, Trouble> {
        let key = self.for_source(&facts.source.uri).public();
        match bundle::from_envelope(envelope, &key) {
            Ok(bundle) => Ok(Some(bundle)),
            Err(BundleError::Envelope(OpenError::Threshold { .. })) => Ok(None),
            Err(error) => Err(Trouble::fault("bug", error)),
        }
    }

    fn for_source(&self, source_uri: &str) -> Arc<Signer> {
        let local = self
            .local
            .as_ref()
            .filter(|_| source_uri.starts_with("git+file:"));
        Arc::clone(local.unwrap_or(&self.first))
    }
}

/// Starts the signer of one key.
///
/// # Errors
/// When the key is not there or not private, or the process cannot be started.
pub(crate) fn start(key: &KeySource) -> Result<Signer, Trouble> {
    if let KeySource::File { file, .. } = key {
        file.check().map_err(keys::KeyFileError::into_trouble)?;
    }
    Signer::start(key.clone()).map_err(|error| Trouble::fault("signer", error))
}

async fn answer(
    work: impl FnOnce() -> Result<Vec<u8>, SignerError> + Send + 'static,
) -> Result<Vec<u8>, Trouble> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Trouble::fault("bug", error))?
        .map_err(|error| match error {
            SignerError::Refused(_) => Trouble::fault(
                "contradiction",
                anyhow!(error).context("nothing was signed"),
            ),
            error => Trouble::fault("signer", error),
        })
}
