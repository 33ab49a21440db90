//! The policy of the user who runs this program: where it is, what it means, and how it is replaced.
//!
//! A new text is written only if, read strictly, it means exactly what was wanted and nothing else
//! changed; then whole or not at all, and never over a text that somebody changed meanwhile.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use countersign_attest::policy::{Operator, Policy, Rule};
use countersign_verify::files;
use countersign_verify::policy_file;

use crate::trouble::Trouble;

/// Names another policy than the one in the user's configuration folder.
const VARIABLE: &str = "COUNTERSIGN_POLICY";
/// Longest policy in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The policy that is named, else the user's own where there is one.
pub(in crate::cli) fn own_policy(named: Option<&Path>) -> Option<PathBuf> {
    let own = || default_path().filter(|path| path.exists());
    named.map(Path::to_owned).or_else(own)
}

/// That policy, for those who can do nothing without one.
pub(in crate::cli) fn needed_policy(named: Option<&Path>) -> Result<Policy, Trouble> {
    let path = own_policy(named).ok_or_else(|| {
        let message = "you trust nobody yet: say countersign trust add URL, or --policy FILE";
        Trouble::refused("usage", anyhow!(message))
    })?;
    policy_file::load(&path).map_err(Trouble::refusal)
}

/// Where the user's policy is, whether or not it is there.
fn default_path() -> Option<PathBuf> {
    let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = named(VARIABLE) {
        return Some(path.into());
    }
    let folder = named("XDG_CONFIG_HOME").map(PathBuf::from);
    let folder = folder.filter(|folder| folder.is_absolute());
    let folder = folder.or_else(|| named("HOME").map(|home| Path::new(&home).join(".config")))?;
    Some(folder.join("countersign").join("policy.yaml"))
}

/// The policy as it was read, or that there is none yet.
#[derive(Debug)]
pub(super) struct UserPolicy {
    path: PathBuf,
    text: String,
    policy: Option<Policy>,
}

/// What a policy means, to be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meaning {
    /// By name.
    pub(super) operators: BTreeMap<String, Operator>,
    /// All rules, the default last.
    pub(super) rules: Vec<Rule>,
}

impl Meaning {
    fn of(policy: &Policy) -> Self {
        Self {
            operators: policy.operators().clone(),
            rules: policy.rules().into_iter().cloned().collect(),
        }
    }
}

impl UserPolicy {
    /// Reads the policy at a path, by default the user's own.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Trouble> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => default_path().ok_or_else(|| {
                let message = "there is no home folder for a policy: say --policy FILE";
                Trouble::refused("usage", anyhow!(message))
            })?,
        };
        // behind a link, the file is replaced and not the link
        let path = path.canonicalize().unwrap_or(path);
        if !path.exists() {
            return Ok(Self {
                path,
                text: String::new(),
                policy: None,
            });
        }
        let text = read(&path)?;
        let policy = policy_file::parse(&text, &path).map_err(Trouble::refusal)?;
        Ok(Self {
            path,
            text,
            policy: Some(policy),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The text; empty where there is none.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) const fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref()
    }

    /// The policy, which must be there.
    pub(super) fn existing(&self) -> Result<&Policy, Trouble> {
        self.policy.as_ref().ok_or_else(|| {
            let message = format!(
                "{}: there is no policy yet; countersign trust add URL begins one",
                self.path.display()
            );
            Trouble::refusal(anyhow!(message))
        })
    }

    /// Writes a first policy.
    pub(super) fn begin(&self, text: &str) -> Result<(), Trouble> {
        policy_file::parse(text, &self.path).map_err(|error| Trouble::fault("bug", error))?;
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("making the folder {}", folder.display()))
                .map_err(|error| Trouble::fault("disk", error))?;
        }
        self.replace(text)
    }

    /// Replaces the text by one that must mean what `change` makes of what the old one meant.
    pub(super) fn write(
        &self,
        text: &str,
        change: impl FnOnce(&mut Meaning),
    ) -> Result<(), Trouble> {
        let old = self.existing()?;
        let new = policy_file::parse(text, &self.path)
            .context("the policy would not hold any more, and was left as it is")
            .map_err(Trouble::refusal)?;
        let mut wanted = Meaning::of(old);
        change(&mut wanted);
        let same_else = new.witnesses() == old.witnesses() && new.exemptions() == old.exemptions();
        if Meaning::of(&new) != wanted || !same_else {
            let message = format!(
                "{} is written in a way that this program does not change; it was left as it is: change it by hand",
                self.path.display()
            );
            return Err(Trouble::refusal(anyhow!(message)));
        }
        self.replace(text)
    }

    fn replace(&self, text: &str) -> Result<(), Trouble> {
        let now = if self.path.exists() {
            read(&self.path)?
        } else {
            String::new()
        };
        if now != self.text {
            let message = format!("{} was changed meanwhile; try again", self.path.display());
            return Err(Trouble::refusal(anyhow!(message)));
        }
        files::replace(&self.path, text.as_bytes())
            .with_context(|| format!("writing {}", self.path.display()))
            .map_err(|error| Trouble::fault("disk", error))
    }
}

fn read(path: &Path) -> Result<String, Trouble> {
    let bytes = files::bounded(path, MAX_BYTES).map_err(Trouble::refusal)?;
    String::from_utf8(bytes).map_err(|_| {
        let message = format!("{} is not UTF-8", path.display());
        Trouble::refusal(anyhow!(message))
    })
}
