//! What is asked, and what the operators said: the plain data from which a decision is made.
//!
//! Whoever fills a [`Testimony`] in has verified its signatures, and its place in a log where it has
//! one; [`Testimony::of`] does so from what an envelope yielded. Vectors are these types as JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::{GitOid, Sha256, Sha512};
use crate::dsse::Verified;
use crate::key::AnyPublicKey;
use crate::policy::software;
use crate::purl::Purl;
use crate::statement::Statement;
use crate::time::Timestamp;
use crate::verdict::Verdict;

/// What is asked of a policy, and all that is known to answer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Question {
    /// The moment of asking.
    pub now: Timestamp,
    /// The bytes in question.
    pub subject: Asked,
    /// What operators signed, of the subject and of other files of the same name.
    pub testimonies: Vec<Testimony>,
    /// How much is known of what each operator said; who is not named is known in part.
    #[serde(default)]
    pub views: BTreeMap<String, View>,
    /// What the user's machine remembers.
    #[serde(default)]
    pub memory: Memory,
    /// Dissents that the user has looked at.
    #[serde(default)]
    pub acknowledgements: Vec<Acknowledgement>,
}

/// The file in question, as far as it is known. The scope comes from the package URL and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Asked {
    /// What the caller says it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purl: Option<Purl>,
    /// The name that the caller's file has. Compared only where there is no package URL: a file may
    /// have been renamed, but then the caller must say what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// Its digest, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// Its other digest, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha512: Option<Sha512>,
}

/// A statement whose signatures are good, and where it stands in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Testimony {
    /// Digest of the signed bytes: the statement's name.
    pub statement: Sha256,
    /// Keys with a good signature over it.
    pub signers: Vec<AnyPublicKey>,
    /// What it says.
    pub said: Said,
    /// Where it stands in the operator's log, where that was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// What a statement says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Said {
    /// A verdict on one file.
    Verdict(Box<VerdictSaid>),
    /// An earlier statement does not hold any more.
    Withdrawn(WithdrawnSaid),
}

/// The parts of a verdict that a decision looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerdictSaid {
    /// The verdict.
    pub verdict: Verdict,
    /// In which form it was said.
    #[serde(default, skip_serializing_if = "Form::is_statement")]
    pub form: Form,
    /// When it was decided, by the operator's clock; evidence of other software may not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_on: Option<Timestamp>,
    /// What the operator says that the file is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purl: Option<Purl>,
    /// The file's name where it was published.
    pub file_name: String,
    /// The subject.
    pub sha256: Sha256,
    /// The subject's other digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha512: Option<Sha512>,
    /// What the operator's own builds gave, where they agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilt: Option<Sha256>,
    /// The source's URI; evidence of other software may not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The commit that was built; evidence of other software may not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<GitOid>,
    /// The plan that was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Sha256>,
}

/// The form in which a verdict was said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A verdict statement.
    #[default]
    Statement,
    /// A legacy link: a file was built again with these bytes, nobody says when or from what.
    Link,
    /// Attestations of OSS Rebuild: it built once, and what came out was these bytes, or was equal to them
    /// after its own stabilization.
    OssRebuild,
}

impl Form {
    /// Whether it is the whole form.
    #[must_use]
    pub const fn is_statement(&self) -> bool {
        matches!(self, Self::Statement)
    }

    /// What a policy calls the software whose operators speak in this form alone
    /// (`attrs: { software: … }`), where they have to be named.
    #[must_use]
    pub const fn software(self) -> Option<&'static str> {
        match self {
            Self::Statement => None,
            Self::Link => Some(software::REBUILDERD),
            Self::OssRebuild => Some(software::OSS_REBUILD),
        }
    }

    /// What a verdict in this form says less than one of ours, in words.
    #[must_use]
    pub const fn weaker(self, verdict: Verdict) -> Option<&'static str> {
        match (self, verdict) {
            (Self::Statement, _) => None,
            (Self::Link, _) => Some(
                "a link of rebuilderd: a file was built again with these bytes; it does not say when, from which \
                 commit or how often",
            ),
            (Self::OssRebuild, Verdict::Equivalent) => Some(
                "OSS Rebuild: built once, with a network; the file that came out had other bytes, equal after its \
                 stabilization, which passes over order, times, owners, modes and extended attributes of members, \
                 over compression, and over build data in a jar's manifest and a crate's .cargo_vcs_info.json",
            ),
            (Self::OssRebuild, _) => Some(
                "OSS Rebuild: built once, with a network, and the file that came out had these bytes",
            ),
        }
    }
}

impl VerdictSaid {
    /// Whether it is about this package. A link names a file alone, which has to be called what
    /// distributions call the package's file.
    #[must_use]
    pub fn is_of(&self, purl: &Purl) -> bool {
        match self.form {
            Form::Statement | Form::OssRebuild => self.purl.as_ref() == Some(purl),
            Form::Link => purl.has_file_name(&self.file_name),
        }
    }
}

/// The parts of a withdrawal that a decision looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WithdrawnSaid {
    /// When it was withdrawn, by the operator's clock.
    pub decided_on: Timestamp,
    /// The statement that does not hold any more.
    pub withdraws: Sha256,
}

/// A statement's place in a log. Who fills it in has seen that the entry is the statement's own and
/// that the checkpoint is the log's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Place {
    /// The log's verifier key.
    pub log: String,
    /// Position, from 0.
    pub index: u64,
    /// When a witness saw a checkpoint that includes it.
    pub witnessed_on: Timestamp,
    /// Digest of the entry as a leaf.
    pub leaf: Sha256,
    /// Proof that it stands under the checkpoint that a revocation pins; needed for that alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pinned_proof: Vec<Sha256>,
}

/// How much is known of what an operator said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// Every entry of its log up to a witnessed, fresh checkpoint was looked at.
    Complete,
    /// Some of it, chosen by whoever brought it.
    Partial,
}

/// What a user's machine remembers of this package.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Memory {
    /// The source of the version that was accepted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Operators who confirmed the previous version.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub confirmed_previous: BTreeSet<String>,
}

/// A dissent that the user has looked at and does not want to wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Acknowledgement {
    /// The bytes for which it is good.
    pub subject: Sha256,
    /// The statement of dissent.
    pub dissent: Sha256,
    /// From when on it is over.
    pub expires: Timestamp,
}

impl Testimony {
    /// What a verified statement says; `None` for statements about builds, which are no verdicts.
    #[must_use]
    pub fn of(verified: &Verified<Statement>, place: Option<Place>) -> Option<Self> {
        let said = match verified.value() {
            Statement::Build(_) => return None,
            Statement::Withdrawn(statement) => Said::Withdrawn(WithdrawnSaid {
                decided_on: statement.predicate.withdrawn_on,
                withdraws: statement.predicate.withdraws.statement,
            }),
            Statement::Verdict(statement) => {
                let predicate = &statement.predicate;
                let rebuilt = predicate.rebuilt.first().map(|file| file.digest.sha256);
                let agreed = predicate
                    .rebuilt
                    .iter()
                    .all(|file| Some(file.digest.sha256) == rebuilt);
                Said::Verdict(Box::new(VerdictSaid {
                    verdict: predicate.verdict,
                    form: Form::Statement,
                    decided_on: Some(predicate.decided_on),
                    // a statement with a wrong one is not read: see `statement::parse`
                    purl: predicate
                        .published
                        .purl
                        .as_deref()
                        .and_then(|p| p.parse().ok()),
                    file_name: statement.subject.name.clone(),
                    sha256: statement.subject.digest.sha256,
                    sha512: statement.subject.digest.sha512,
                    rebuilt: rebuilt.filter(|_| agreed),
                    source: Some(predicate.source.uri.clone()),
                    commit: Some(predicate.source.digest.git_commit),
                    plan: predicate.build.as_ref().map(|b| b.plan.digest.sha256),
                }))
            }
        };
        Some(Self {
            statement: verified.signed(),
            signers: verified.signers().iter().copied().map(Into::into).collect(),
            said,
            place,
        })
    }

    /// When it was said, by the operator's clock, where it says so.
    #[must_use]
    pub const fn decided_on(&self) -> Option<Timestamp> {
        match &self.said {
            Said::Verdict(said) => said.decided_on,
            Said::Withdrawn(said) => Some(said.decided_on),
        }
    }

    /// In which form it was said.
    #[must_use]
    pub const fn form(&self) -> Form {
        match &self.said {
            Said::Verdict(said) => said.form,
            Said::Withdrawn(_) => Form::Statement,
        }
    }
}

impl Asked {
    /// Whether a verdict with these digests is about these bytes: every digest that both sides know is the same, and there
    /// is one such.
    #[must_use]
    pub fn is(&self, sha256: Sha256, sha512: Option<Sha512>) -> bool {
        let sha256 = self.sha256.map(|known| known == sha256);
        let sha512 = self.sha512.zip(sha512).map(|(known, said)| known == said);
        let compared = [sha256, sha512];
        compared.contains(&Some(true)) && !compared.contains(&Some(false))
    }
}
