//! The names of our types. Compared by their exact characters; nothing is fetched from them.

use super::Kind;
use crate::verdict::Verdict;

/// `_type` of every statement (in-toto Attestation Framework v1).
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// A verdict `reproduced`.
pub const REPRODUCED: &str = "https://countersign.dev/attestation/reproduced/v0";
/// A verdict `assisted`.
pub const ASSISTED: &str = "https://countersign.dev/attestation/assisted/v0";
/// A verdict `equivalent`.
pub const EQUIVALENT: &str = "https://countersign.dev/attestation/equivalent/v0";
/// A verdict `differs`.
pub const DIFFERS: &str = "https://countersign.dev/attestation/differs/v0";
/// A verdict `unstable`, `build-failed` or `indeterminate`.
pub const NOT_REBUILT: &str = "https://countersign.dev/attestation/not-rebuilt/v0";
/// A verdict that is taken back.
pub const WITHDRAWN: &str = "https://countersign.dev/attestation/withdrawn/v0";
/// What we built, where provenance would claim too much.
pub const BUILD_RECORD: &str = "https://countersign.dev/attestation/build-record/v0";
/// SLSA provenance.
pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// `buildType` of our provenance and build records.
pub const BUILD_TYPE: &str = "https://countersign.dev/buildtype/rebuild/v0";
/// `rebuilder.id` where a one-shot command signs with a key that nobody keeps.
pub const EPHEMERAL_REBUILDER: &str = "https://countersign.dev/rebuilder/ephemeral/v0";

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
