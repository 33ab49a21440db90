//! A list of operators that somebody recommends. It names keys and nothing that could be followed: a
//! list cannot lead to another list, and who takes one over has each operator in a policy of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DeclarationError, Kind, check_address, check_text, value};
use crate::key::AnyPublicKey;
use crate::policy::{VerifierKey, is_operator_name};
use crate::time::Timestamp;

/// Most operators of a list.
const MAX_OPERATORS: usize = 1000;
/// Most keys or attributes of one operator.
const MAX_OF_ONE: usize = 16;

/// The list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OperatorList {
    /// What its maker calls it.
    pub name: String,
    /// When it was made.
    pub issued_on: Timestamp,
    /// From when on nobody should take it over any more.
    pub expires_on: Timestamp,
    /// The operators by the names that a policy gives them.
    pub operators: BTreeMap<String, ListedOperator>,
}

/// One operator of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListedOperator {
    /// What it signs with.
    pub keys: Vec<AnyPublicKey>,
    /// Where its service is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilder: Option<String>,
    /// The key of its transparency log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<VerifierKey>,
    /// What tells it apart, by the word of the list's maker.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attrs: BTreeMap<String, String>,
}

impl Kind for OperatorList {
    const PAYLOAD_TYPE: &'static str = "application/vnd.countersign.operators.v1+json";

    fn check(&self) -> Result<(), DeclarationError> {
        check_text("name", &self.name)?;
        if self.expires_on <= self.issued_on {
            return value("expiresOn", "is not later than issuedOn");
        }
        if self.operators.is_empty() || self.operators.len() > MAX_OPERATORS {
            return value("operators", "there are none, or more than 1000");
        }
        for (name, operator) in &self.operators {
            if !is_operator_name(name) || name.len() > 100 {
                return value("operators", "a name is no letters, digits, and . _ -");
            }
            operator.check()?;
        }
        Ok(())
    }
}

impl ListedOperator {
    fn check(&self) -> Result<(), DeclarationError> {
        if self.keys.is_empty() || self.keys.len() > MAX_OF_ONE {
            return value("keys", "there are none, or more than 16");
        }
        if let Some(address) = &self.rebuilder {
            check_address("rebuilder", address)?;
        }
        if self.attrs.len() > MAX_OF_ONE {
            return value("attrs", "there are more than 16");
        }
        for (name, text) in &self.attrs {
            if !is_operator_name(name) {
                return value("attrs", "a name is no letters, digits, and . _ -");
            }
            check_text("attrs", text)?;
        }
        Ok(())
    }
}
