//! Policies in YAML: the one place where a policy's text is read. What holds in one is `attest`'s.

use std::path::{Path, PathBuf};

use countersign_attest::policy::Policy;

use crate::files::{self, ReadError};

/// Longest policy in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Says why a policy is not used. The user's to change, unless the system refuses.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// The file cannot be read.
    #[error("reading the policy")]
    Read(#[from] ReadError),
    /// Not text.
    #[error("{} is not UTF-8", .0.display())]
    NotText(PathBuf),
    /// Not YAML, not a policy, or one that does not hold.
    #[error("{}{}: {message}", path.display(), Place(*line, *column))]
    Policy {
        /// The file.
        path: PathBuf,
        /// Line from 1; 0 where it is about no place, but names the key.
        line: usize,
        /// Column from 1.
        column: usize,
        /// What is wrong, with the key.
        message: String,
    },
}

struct Place(usize, usize);

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self(0, _) => Ok(()),
            Self(line, column) => write!(f, ":{line}:{column}"),
        }
    }
}

/// Reads a policy.
///
/// # Errors
/// Says file, and line and column or key of the first thing that is wrong.
pub fn load(path: &Path) -> Result<Policy, PolicyFileError> {
    let bytes = files::bounded(path, MAX_BYTES)?;
    let text = str::from_utf8(&bytes).map_err(|_| PolicyFileError::NotText(path.to_owned()))?;
    parse(text, path)
}

/// Reads a policy's text; `path` is for messages.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str, path: &Path) -> Result<Policy, PolicyFileError> {
    serde_yaml::from_str(text).map_err(|error| {
        let (line, column) = error
            .location()
            .map_or((0, 0), |place| (place.line(), place.column()));
        let text = error.to_string();
        // the parser appends the place that we print in front
        let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
        PolicyFileError::Policy {
            path: path.to_owned(),
            line,
            column,
            message,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../../config/examples/policy.yaml");

    fn error(text: &str) -> String {
        parse(text, Path::new("policy.yaml"))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_example_holds() {
        let policy = parse(GOOD, Path::new("policy.yaml")).unwrap();
        assert_eq!(policy.operators().len(), 3);
        assert!(policy.witnesses().is_some());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place_or_key() {
        let typo = error(&GOOD.replace("max_age_days", "max_age_day"));
        assert!(
            typo.contains("max_age_day") && typo.starts_with("policy.yaml:"),
            "{typo}"
        );
        let k = error(&GOOD.replace("k: 2, of", "k: 9, of"));
        assert!(k.contains("rules[0].require.k"), "{k}");
        let twice = error(&GOOD.replacen("  bob:", "  alice:", 1));
        assert!(twice.contains("alice stands twice"), "{twice}");
        for bad in [
            "",
            "version: 1",
            "[]",
            "\t",
            "version: 1\n---\nversion: 1\n",
        ] {
            assert!(!error(bad).is_empty());
        }
    }

    /// Aliases could make a small text large, and merge keys could hide one.
    #[test]
    fn a_small_text_stays_small() {
        let mut bomb = String::from("a0: &a0 [x]\n");
        for n in 1..40 {
            let list = format!("*a{}, ", n - 1).repeat(9);
            bomb.push_str(&format!("a{n}: &a{n} [{list}]\n"));
        }
        assert!(!error(&bomb).is_empty());
        let merged = GOOD.replace("mode: warn", "<<: {mode: warn}");
        assert!(!error(&merged).is_empty());
    }
}
