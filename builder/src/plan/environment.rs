//! What a build runs in, as a plan says it: kinds, versions and digests, no path of a machine.
//!
//! How each kind is made or found is [`crate::environment`]'s.

use countersign_attest::digest::Sha256;
use countersign_attest::origin::Origin;
use serde::{Deserialize, Serialize};

/// What a build runs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "kebab-case")]
pub enum EnvironmentSpec {
    /// This machine's `/usr` and toolchains, read-only.
    Host {
        /// Tools that must be there, at exactly these versions.
        tools: Vec<ToolVersion>,
    },
    /// A root file system made of packages of a distribution.
    Debian(DebianSpec),
    /// A root file system that the operator has, and nothing of this machine.
    Rootfs {
        /// Of all that is in it ([`crate::environment::rootfs`]).
        sha256: Sha256,
    },
}

impl EnvironmentSpec {
    /// Tools of this machine that must be there.
    #[must_use]
    pub fn tools(&self) -> &[ToolVersion] {
        match self {
            Self::Host { tools } => tools,
            Self::Debian(_) | Self::Rootfs { .. } => &[],
        }
    }

    /// Whether a build sees another root than this machine's.
    #[must_use]
    pub const fn has_own_root(&self) -> bool {
        match self {
            Self::Host { .. } => false,
            Self::Debian(_) | Self::Rootfs { .. } => true,
        }
    }

    /// The digest of the operator's root file system, where it is one.
    #[must_use]
    pub const fn rootfs(&self) -> Option<Sha256> {
        match self {
            Self::Host { .. } | Self::Debian(_) => None,
            Self::Rootfs { sha256 } => Some(*sha256),
        }
    }

    /// Everything that is there and has a version, once the environment is.
    #[must_use]
    pub fn found(&self) -> Vec<ToolVersion> {
        match self {
            Self::Host { tools } => tools.clone(),
            Self::Rootfs { .. } => Vec::new(), // the digest says it all
            Self::Debian(spec) => {
                let tool = |package: &RootPackage| ToolVersion {
                    name: package.name.clone(),
                    version: package.version.clone(),
                    origin: Origin::Registry,
                };
                spec.packages.iter().map(tool).collect()
            }
        }
    }

    /// Who chose what is in it.
    pub(super) fn origins(&self) -> Vec<Origin> {
        match self {
            Self::Host { tools } => tools.iter().map(|tool| tool.origin).collect(),
            Self::Rootfs { .. } => vec![Origin::Operator],
            Self::Debian(spec) => {
                let asked = spec.dependencies.iter().map(|asked| asked.origin);
                asked.chain([Origin::Registry]).collect()
            }
        }
    }
}

/// A tool and the exact version that it prints of itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolVersion {
    /// The program's name, as in `PATH`.
    pub name: String,
    /// Its version, without a leading `v`.
    pub version: String,
    /// Who chose the version.
    pub origin: Origin,
}

/// What a root is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebianSpec {
    /// The release of the distribution: `bookworm`.
    pub suite: String,
    /// What must be there beside the essential packages, as dependencies (Debian policy §7.1).
    pub dependencies: Vec<Dependency>,
    /// All packages, sorted by name; none before they are resolved.
    pub packages: Vec<RootPackage>,
    /// Digest of the root's tar; absent before it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Sha256>,
}

impl DebianSpec {
    /// Checks what no type says: these words become arguments of apt and mmdebstrap.
    ///
    /// # Errors
    /// The first text that breaks a rule.
    pub fn check(&self) -> Result<(), String> {
        let word = |text: &str| {
            let safe = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            !text.is_empty() && text.chars().all(safe)
        };
        if !word(&self.suite) {
            return Err(self.suite.clone());
        }
        let bad = self.dependencies.iter().find(|d| !is_dependency(&d.value));
        if let Some(bad) = bad {
            return Err(bad.value.clone());
        }
        for package in &self.packages {
            let name = package.file_name();
            if RootPackage::of_file(&name, package.sha256).as_ref() != Some(package) {
                return Err(name);
            }
        }
        Ok(())
    }
}

/// One thing that must be there, and who asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    /// One dependency, alternatives included.
    pub value: String,
    /// Who asks.
    pub origin: Origin,
}

/// Whether a text is one dependency with its alternatives, without restrictions to architectures and
/// build profiles.
#[must_use]
pub fn is_dependency(text: &str) -> bool {
    text.split('|').map(str::trim).all(|alternative| {
        let (name, version) = match alternative.split_once('(') {
            None => (alternative, None),
            Some((name, rest)) => (name.trim_end(), Some(rest)),
        };
        let (name, qualifier) = name.split_once(':').unwrap_or((name, "any"));
        let plain = |text: &str, more: &str| {
            let safe = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(safe)
        };
        let version = version.is_none_or(|rest| {
            let inner = rest.strip_suffix(')').map(str::trim);
            let split = inner.map(|inner| {
                inner.split_at(inner.len() - inner.trim_start_matches(['<', '>', '=']).len())
            });
            split.is_some_and(|(relation, version)| {
                ["<<", "<=", "=", ">=", ">>"].contains(&relation) && plain(version.trim(), "+-.~:")
            })
        });
        plain(name, "+-.") && matches!(qualifier, "any" | "native") && version
    })
}

/// A package of a root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootPackage {
    /// Its name.
    pub name: String,
    /// Its version, with the epoch.
    pub version: String,
    /// `all`, or the archive's word for the machine's.
    pub architecture: String,
    /// Digest of its file, from the signed index.
    pub sha256: Sha256,
}

impl RootPackage {
    /// Its file's name as `dpkg-name` gives it, with a colon as `%3a`.
    #[must_use]
    pub fn file_name(&self) -> String {
        let version = self.version.replace(':', "%3a");
        format!("{}_{version}_{}.deb", self.name, self.architecture)
    }

    /// Reads such a file name.
    #[must_use]
    pub fn of_file(file_name: &str, sha256: Sha256) -> Option<Self> {
        let mut parts = file_name.strip_suffix(".deb")?.split('_');
        let package = Self {
            name: parts.next()?.to_owned(),
            version: parts.next()?.replace("%3a", ":"),
            architecture: parts.next()?.to_owned(),
            sha256,
        };
        let plain = |text: &str, more: &str| {
            let safe = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(safe)
        };
        let good = plain(&package.name, "+-.")
            && plain(&package.version, "+-.~:")
            && plain(&package.architecture, "-");
        (parts.next().is_none() && good).then_some(package)
    }
}
