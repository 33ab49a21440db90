//! A policy as it is written: the shape of the text, in which an unknown key and a name that stands twice are
//! errors. What its values mean, and whether they hold together, is for [`super::check`].

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) version: u32,
    pub(super) operators: Unique<OperatorEntry>,
    #[serde(default)]
    pub(super) witnesses: Option<WitnessesEntry>,
    pub(super) rules: Vec<RuleEntry>,
    #[serde(default)]
    pub(super) exempt: Vec<ExemptEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OperatorEntry {
    pub(super) keys: Vec<KeyEntry>,
    #[serde(default)]
    pub(super) rebuilder: Option<String>,
    #[serde(default)]
    pub(super) log: Option<String>,
    #[serde(default)]
    pub(super) attrs: Unique<String>,
    #[serde(default)]
    pub(super) publishes: Vec<String>,
    #[serde(default)]
    pub(super) revoked: Option<RevokedEntry>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum KeyEntry {
    Bare(String),
    Terms(KeyTerms),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyTerms {
    pub(super) key: String,
    #[serde(default)]
    pub(super) from: Option<String>,
    #[serde(default)]
    pub(super) until: Option<String>,
    #[serde(default)]
    pub(super) revoked: Option<RevokedEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokedEntry {
    pub(super) keep: KeepEntry,
    pub(super) reason: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum KeepEntry {
    Word(String),
    Tree(TreeEntry),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TreeEntry {
    pub(super) size: u64,
    pub(super) root: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WitnessesEntry {
    pub(super) k: usize,
    pub(super) of: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleEntry {
    pub(super) scope: String,
    #[serde(default)]
    pub(super) mode: Option<String>,
    pub(super) require: RequireEntry,
    #[serde(default)]
    pub(super) accept: Option<Vec<String>>,
    #[serde(default)]
    pub(super) view: Option<String>,
    #[serde(default)]
    pub(super) max_age_days: Option<u32>,
    #[serde(default)]
    pub(super) source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequireEntry {
    pub(super) k: usize,
    pub(super) of: Vec<String>,
    #[serde(default)]
    pub(super) distinct: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExemptEntry {
    pub(super) scope: String,
    pub(super) reason: String,
    pub(super) expires: String,
}

/// A map in which no key stands twice: of two the parser would keep one, and nobody knows which.
pub(super) struct Unique<T>(pub(super) BTreeMap<String, T>);

impl<T> Default for Unique<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unique<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Unique<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Unique<T>, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((key, value)) = pairs.next_entry::<String, T>()? {
                    if map.contains_key(&key) {
                        return Err(A::Error::custom(format!("{key} stands twice")));
                    }
                    map.insert(key, value);
                }
                Ok(Unique(map))
            }
        }
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}
