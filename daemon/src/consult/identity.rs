//! Asks a service who it is, for `trust`.
//!
//! The answer is a stranger's: bounded, from the address that was asked and no other, and it counts only
//! where it is signed by the key that it names. Whether that key is the operator's is for the user.

use countersign_attest::declaration::{Card, CardError};
use countersign_attest::dsse::Limits;
use countersign_attest::escape::printable;
use countersign_attest::json;
use url::Url;

use super::remote;
use crate::http::{Ask, Http, HttpError};

/// Where a service says who it is, below its address.
const PATH: &str = "api/v1/identity";
/// Longest answer in bytes.
const MAX_BYTES: u64 = 256 << 10;

/// Says why it is not known who a service is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// It gives no answer, or none that is taken.
    #[error("asking who it is")]
    Http(#[source] HttpError),
    /// The answer is no card, or a badly signed one.
    #[error("reading who it is")]
    Card(#[source] CardError),
    /// A card of a service elsewhere.
    #[error("its identity says that its address is {}; ask there", printable(.0))]
    OtherAddress(String),
}

impl IdentityError {
    /// Whether asking again later may help.
    pub(crate) fn is_fault(&self) -> bool {
        match self {
            Self::Http(error) => match error {
                HttpError::Unreachable { .. }
                | HttpError::TimedOut { .. }
                | HttpError::Tls { .. }
                | HttpError::Sink { .. } => true,
                HttpError::Status { status, .. } => {
                    status.is_server_error() || status.as_u16() == 429
                }
                HttpError::Missing { .. }
                | HttpError::TooLarge { .. }
                | HttpError::OtherHost { .. }
                | HttpError::Redirect { .. }
                | HttpError::Forbidden { .. } => false,
            },
            Self::Card(_) | Self::OtherAddress(_) => false,
        }
    }
}

/// Asks a service who it is. `base` is of [`remote::base`].
///
/// # Errors
/// See [`IdentityError`].
pub(crate) async fn card(http: &Http, base: &Url) -> Result<Card, IdentityError> {
    let mut url = base.clone();
    url.set_path(&format!("{}{PATH}", base.path()));
    let ask = Ask {
        limit_bytes: MAX_BYTES,
        allowed_hosts: &[],
        accept: Some("application/json"),
    };
    let bytes = http.read(&url, &ask).await.map_err(IdentityError::Http)?;
    let limits = Limits {
        json: json::Limits {
            bytes: bytes.len(),
            depth: 8,
        },
        ..Limits::default()
    };
    let card = Card::parse(&bytes, &limits).map_err(IdentityError::Card)?;
    if let Some(says) = &card.identity().address {
        let there = remote::base(says, http.allows_http()).ok();
        if there.as_ref() != Some(base) {
            return Err(IdentityError::OtherAddress(says.clone()));
        }
    }
    Ok(card)
}
