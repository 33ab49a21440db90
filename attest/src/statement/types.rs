//! The names of our types. Compared by their exact characters; nothing is fetched from them.

use serde_json::Value;

use super::Kind;
use crate::verdict::Verdict;

/// A type of ours: the one place that has the base and the version of all of them.
macro_rules! ours {
    ($path:literal) => {
        concat!("https://countersign.dev/", $path, "/v1")
    };
}

/// Whether a statement is of the types before these, which ended in `/v0` and are read no more.
#[must_use]
pub fn is_of_older_types(statement: &[u8]) -> bool {
    let statement: Value = serde_json::from_slice(statement).unwrap_or_default();
    let types = [
        statement.get("predicateType"),
        statement.pointer("/predicate/buildDefinition/buildType"),
    ];
    let mut types = types.into_iter().flatten().filter_map(Value::as_str);
    types.any(|name| name.starts_with("https://countersign.dev/") && name.ends_with("/v0"))
}

/// `_type` of every statement (in-toto Attestation Framework v1).
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// A verdict `reproduced`.
pub const REPRODUCED: &str = ours!("attestation/reproduced");
/// A verdict `assisted`.
pub const ASSISTED: &str = ours!("attestation/assisted");
/// A verdict `equivalent`.
pub const EQUIVALENT: &str = ours!("attestation/equivalent");
/// A verdict `differs`.
pub const DIFFERS: &str = ours!("attestation/differs");
/// A verdict `unstable`, `build-failed` or `indeterminate`.
pub const NOT_REBUILT: &str = ours!("attestation/not-rebuilt");
/// A verdict that is taken back.
pub const WITHDRAWN: &str = ours!("attestation/withdrawn");
/// What we built, where provenance would claim too much.
pub const BUILD_RECORD: &str = ours!("attestation/build-record");
/// SLSA provenance.
pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// `buildType` of our provenance and build records.
pub const BUILD_TYPE: &str = ours!("buildtype/rebuild");
/// `rebuilder.id` where a one-shot command signs with a key that nobody keeps.
pub const EPHEMERAL_REBUILDER: &str = ours!("rebuilder/ephemeral");

/// The predicate type that carries a verdict.
#[must_use]
pub const fn of_verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Reproduced => REPRODUCED,
        Verdict::Assisted => ASSISTED,
        Verdict::Equivalent => EQUIVALENT,
        Verdict::Differs => DIFFERS,
        Verdict::Unstable | Verdict::BuildFailed | Verdict::Indeterminate => NOT_REBUILT,
    }
}

/// The predicate type of a statement of this kind about this verdict.
#[must_use]
pub const fn of_kind(kind: Kind, verdict: Verdict) -> &'static str {
    match kind {
        Kind::Verdict => of_verdict(verdict),
        Kind::Provenance => PROVENANCE,
        Kind::BuildRecord => BUILD_RECORD,
        Kind::Withdrawn => WITHDRAWN,
    }
}
