//! Who an operator is, in its own words: the name in its statements, its key, its log. And the change
//! of its key, which both keys sign.
//!
//! That an identity is well signed says only that whoever made it has the key. Whether the key is the
//! operator's, a user learns elsewhere and pins.

use serde::{Deserialize, Serialize};

use super::{DeclarationError, Kind, check_address, check_text, open_parsed, parse, value};
use crate::dsse::{Envelope, Limits, OpenError, Verified};
use crate::json::{self, JsonError};
use crate::key::PublicKey;
use crate::policy::VerifierKey;
use crate::time::Timestamp;

/// Most changes of key that one card shows.
const MAX_ROTATIONS: usize = 32;

/// Who an operator says that it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Identity {
    /// The URI under which it makes statements.
    pub rebuilder: String,
    /// Where its service is, if it says so; an identity that is found elsewhere is not this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What it signs with, this document included.
    pub key: PublicKey,
    /// The key of its transparency log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<VerifierKey>,
    /// When it said this.
    pub issued_on: Timestamp,
}

impl Kind for Identity {
    const PAYLOAD_TYPE: &'static str = "application/vnd.countersign.identity.v1+json";

    fn check(&self) -> Result<(), DeclarationError> {
        check_text("rebuilder", &self.rebuilder)?;
        match &self.address {
            Some(address) => check_address("address", address),
            None => Ok(()),
        }
    }
}

/// A change of key. It counts only with the signatures of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rotation {
    /// The URI under which the operator makes statements.
    pub rebuilder: String,
    /// The key until then.
    pub old: PublicKey,
    /// The key from then on.
    pub new: PublicKey,
    /// The first moment of the new key, and the first one at which the old key is none any more.
    pub from: Timestamp,
}

impl Kind for Rotation {
    const PAYLOAD_TYPE: &'static str = "application/vnd.countersign.rotation.v1+json";

    fn check(&self) -> Result<(), DeclarationError> {
        check_text("rebuilder", &self.rebuilder)?;
        if self.old == self.new {
            return value("new", "is the old key");
        }
        Ok(())
    }
}

/// What an operator serves about itself: its identity, and how it came to its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    identity: Verified<Identity>,
    rotations: Vec<Verified<Rotation>>,
}

/// Says why a card is not used.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// Not a card.
    #[error("reading an operator's card")]
    Json(#[source] JsonError),
    /// The identity is not signed by the key that it names, or says nothing.
    #[error("reading an operator's identity")]
    Identity(#[source] OpenError),
    /// A change of key is not signed by both keys, or says nothing.
    #[error("reading an operator's change of key")]
    Rotation(#[source] OpenError),
    /// A change of key of somebody else.
    #[error("a change of key of another operator than the one that the card is of")]
    OtherOperator,
    /// More changes than anybody has.
    #[error("more than {MAX_ROTATIONS} changes of key")]
    TooMany,
}

impl CardError {
    /// Whether something stood there that claims a signature which is not good.
    #[must_use]
    pub const fn is_bad_signature(&self) -> bool {
        matches!(
            self,
            Self::Identity(OpenError::Threshold { .. })
                | Self::Rotation(OpenError::Threshold { .. })
        )
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    identity: Envelope,
    #[serde(default)]
    rotations: Vec<Envelope>,
}

impl Card {
    /// Reads what somebody served.
    ///
    /// # Errors
    /// When anything in it is not signed by the keys that it is about.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, CardError> {
        let document: Document = json::from_slice(bytes, &limits.json).map_err(CardError::Json)?;
        if document.rotations.len() > MAX_ROTATIONS {
            return Err(CardError::TooMany);
        }
        let identity = own(&document.identity, limits).map_err(CardError::Identity)?;
        let mut rotations = Vec::new();
        for envelope in &document.rotations {
            let rotation = both(envelope, limits).map_err(CardError::Rotation)?;
            if rotation.value().rebuilder != identity.value().rebuilder {
                return Err(CardError::OtherOperator);
            }
            rotations.push(rotation);
        }
        Ok(Self {
            identity,
            rotations,
        })
    }

    /// Writes a card of envelopes: one line of JSON.
    ///
    /// # Errors
    /// When they are no envelopes.
    pub fn write(identity: &[u8], rotations: &[Vec<u8>]) -> Result<Vec<u8>, CardError> {
        let limits = Limits::default();
        let read = |bytes: &[u8]| json::from_slice(bytes, &limits.json).map_err(CardError::Json);
        let document = Document {
            identity: read(identity)?,
            rotations: rotations
                .iter()
                .map(|bytes| read(bytes))
                .collect::<Result<_, _>>()?,
        };
        // strings only: serde_json cannot fail on them
        let mut line = serde_json::to_vec(&document).unwrap_or_default();
        line.push(b'\n');
        Ok(line)
    }

    /// Who it says that it is.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        self.identity.value()
    }

    /// How one comes from a key that is trusted to the key of this card: nothing where it is the same
    /// key, `None` where no chain of changes, each signed by the key before and later than the one
    /// before, leads there.
    #[must_use]
    pub fn way_from(&self, pinned: &PublicKey) -> Option<Vec<&Rotation>> {
        let mut way: Vec<&Rotation> = Vec::new();
        let mut at = *pinned;
        while at != self.identity().key {
            let after = way.last().map(|last| last.from);
            let mut all = self.rotations.iter().map(Verified::value);
            let next = all.find(|r| r.old == at && after.is_none_or(|after| r.from > after))?;
            at = next.new;
            way.push(next); // ends: each is later than the one before
        }
        Some(way)
    }
}

/// Opens an identity with the key that it names itself.
fn own(envelope: &Envelope, limits: &Limits) -> Result<Verified<Identity>, OpenError> {
    let payload = envelope.unverified_payload(Identity::PAYLOAD_TYPE)?;
    let claimed: Identity = parse(&payload, limits).map_err(OpenError::Declaration)?;
    open_parsed(envelope, &[claimed.key], 1, limits)
}

/// Opens a change of key with both keys that it names itself.
fn both(envelope: &Envelope, limits: &Limits) -> Result<Verified<Rotation>, OpenError> {
    let payload = envelope.unverified_payload(Rotation::PAYLOAD_TYPE)?;
    let claimed: Rotation = parse(&payload, limits).map_err(OpenError::Declaration)?;
    open_parsed(envelope, &[claimed.old, claimed.new], 2, limits)
}
