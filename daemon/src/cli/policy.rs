//! `countersign policy check|explain|test`: whether a policy holds, what it asks for, and whether it
//! decides as somebody expects.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use countersign_attest::decide::vectors;
use countersign_attest::escape::printable;
use countersign_attest::policy::{Policy, Rule};
use countersign_attest::purl::Purl;
use countersign_verify::attestation::causes;
use countersign_verify::files;
use countersign_verify::policy_file;
use countersign_verify::subject::package;
use serde_json::{Value, json};

use super::{Exit, Format, output};
use crate::clock;
use crate::trouble::Trouble;

/// Most bytes of a file with a vector.
const MAX_VECTOR_BYTES: u64 = 8 << 20;
/// Most vectors of a folder.
const MAX_VECTORS: usize = 10_000;
const SECONDS_OF_A_DAY: i64 = 86_400;

/// Subcommands of `policy`.
#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Says whether a policy holds; else file, and line or key, of what is wrong.
    Check {
        /// The policy.
        #[arg(value_name = "FILE", default_value = "policy.yaml")]
        policy: PathBuf,
    },
    /// Says which rule a package has, and what it asks for.
    Explain {
        /// A package URL with a version; without one, what is asked of a file that has none.
        purl: Option<String>,
        /// The policy.
        #[arg(long, value_name = "FILE", default_value = "policy.yaml")]
        policy: PathBuf,
    },
    /// Runs vectors: files with a policy, a question and the decision that is due.
    Test {
        /// Files, or folders of files that end in .json.
        #[arg(required = true)]
        vectors: Vec<PathBuf>,
    },
}

pub(super) fn run(command: &PolicyCommand, format: Format) -> Result<Exit, Trouble> {
    match command {
        PolicyCommand::Check { policy } => check(policy, format),
        PolicyCommand::Explain { purl, policy } => {
            let purl = purl.as_deref().map(package).transpose();
            explain(policy, purl.map_err(Trouble::refusal)?.as_ref(), format)
        }
        PolicyCommand::Test { vectors } => test(vectors, format),
    }
}

fn load(path: &Path) -> Result<Policy, Trouble> {
    policy_file::load(path).map_err(Trouble::refusal)
}

fn check(path: &Path, format: Format) -> Result<Exit, Trouble> {
    let policy = load(path)?;
    let (operators, rules) = (policy.operators().len(), policy.rules().len());
    match format {
        Format::Json => output::json(&json!({"operators": operators, "rules": rules}))?,
        Format::Text => output::text(&format!(
            "{} holds; it names {operators} operators and has {rules} rules\n",
            path.display()
        ))?,
    }
    Ok(Exit::Good)
}

fn explain(path: &Path, purl: Option<&Purl>, format: Format) -> Result<Exit, Trouble> {
    let policy = load(path)?;
    let rule = policy.rule(purl);
    match format {
        Format::Json => output::json(&value(&policy, rule, purl))?,
        Format::Text => output::text(&words(&policy, rule, purl))?,
    }
    Ok(Exit::Good)
}

/// Who of a rule is asked about this package, and who publishes it and is not.
fn asked<'a>(policy: &Policy, rule: &'a Rule, purl: Option<&Purl>) -> (Vec<&'a str>, Vec<&'a str>) {
    let names = rule.of.iter().map(String::as_str);
    names.partition(|name| !policy.publishes(name, purl))
}

fn words(policy: &Policy, rule: &Rule, purl: Option<&Purl>) -> String {
    let (asked, left_out) = asked(policy, rule, purl);
    let what = purl.map_or("a file without a package URL", Purl::as_str);
    let mut out = format!("{}\n", printable(what));
    let mut field = |name: &str, text: &str| {
        let _ = writeln!(out, "  {name:<10} {}", printable(text)); // to a String
    };
    field("rule", &rule.scope.to_string());
    field("mode", rule.mode.word());
    field("needs", &format!("{} of {}", rule.k, asked.join(", ")));
    if asked.len() < rule.k {
        field(
            "",
            "which cannot be reached: too few of them are asked about this package",
        );
    }
    if !left_out.is_empty() {
        let text = format!("{}, who publish it themselves", left_out.join(", "));
        field("without", &text);
    }
    if !rule.distinct.is_empty() {
        field("who differ", &format!("in {}", rule.distinct.join(" and ")));
    }
    let accept: Vec<&str> = rule.accept.iter().map(|verdict| verdict.word()).collect();
    field("saying", &accept.join(" or "));
    match &rule.source {
        Some(source) => field("source", source),
        None => field(
            "source",
            "the one that was accepted before, where it is remembered",
        ),
    }
    field("view", rule.view.word());
    if let Some(seconds) = rule.max_age_seconds {
        field(
            "not older",
            &format!("than {} days", seconds / SECONDS_OF_A_DAY),
        );
    }
    if let Some(exemption) = policy.exemption(purl, clock::now()) {
        let text = format!(
            "too few are enough until {}: {}",
            exemption.expires, exemption.reason
        );
        field("exempt", &text);
    }
    out
}

fn value(policy: &Policy, rule: &Rule, purl: Option<&Purl>) -> Value {
    let (asked, left_out) = asked(policy, rule, purl);
    let exemption = policy.exemption(purl, clock::now());
    json!({
        "purl": purl.map(Purl::as_str),
        "rule": rule.scope.to_string(),
        "mode": rule.mode.word(),
        "k": rule.k,
        "of": asked,
        "leftOut": left_out,
        "reachable": asked.len() >= rule.k,
        "distinct": rule.distinct,
        "accept": rule.accept,
        "source": rule.source,
        "view": rule.view.word(),
        "maxAgeDays": rule.max_age_seconds.map(|seconds| seconds / SECONDS_OF_A_DAY),
        "exempt": exemption.map(|e| json!({"expires": e.expires, "reason": e.reason})),
    })
}

fn test(paths: &[PathBuf], format: Format) -> Result<Exit, Trouble> {
    let mut right = 0u64;
    let mut wrong = Vec::new();
    for path in vector_files(paths)? {
        let bytes = files::bounded(&path, MAX_VECTOR_BYTES).map_err(Trouble::refusal)?;
        let ran = vectors::run(&bytes).map_err(|error| {
            let error = anyhow::anyhow!("{}: {}", path.display(), causes(&error));
            Trouble::refusal(error)
        })?;
        if ran.is_right() {
            right += 1;
        } else {
            wrong.push((path.display().to_string(), ran));
        }
    }
    match format {
        Format::Json => {
            let wrong = wrong.iter().map(
                |(file, ran)| json!({"file": file, "expected": ran.expected, "found": ran.found}),
            );
            output::json(&json!({"right": right, "wrong": wrong.collect::<Vec<_>>()}))?;
        }
        Format::Text => {
            let mut text = String::new();
            for (file, ran) in &wrong {
                let [expected, found] = [&ran.expected, &ran.found]
                    .map(|decision| serde_json::to_string(decision).unwrap_or_default());
                // to a String
                let _ = writeln!(
                    text,
                    "{}\n  due    {}",
                    printable(file),
                    printable(&expected)
                );
                let _ = writeln!(text, "  found  {}", printable(&found));
            }
            let _ = writeln!(text, "{right} as they say, {} not", wrong.len());
            output::text(&text)?;
        }
    }
    Ok(if wrong.is_empty() {
        Exit::Good
    } else {
        Exit::NotMet
    })
}

/// The files that are named, and those of folders that end in `.json`, in the order of their names.
fn vector_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Trouble> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        let refused = |error| Trouble::refusal(anyhow::anyhow!("{}: {error}", path.display()));
        for entry in std::fs::read_dir(path).map_err(refused)? {
            let file = entry.map_err(refused)?.path();
            if file
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                inside.push(file);
            }
        }
        inside.sort();
        files.extend(inside);
    }
    if files.is_empty() || files.len() > MAX_VECTORS {
        let error = anyhow::anyhow!("{} vectors; between 1 and {MAX_VECTORS}", files.len());
        return Err(Trouble::refusal(error));
    }
    Ok(files)
}
