//! What `rebuild` came to, for people. Every name, message and log is escaped.

use std::fmt::Write as _;

use countersign_attest::escape::printable;
use countersign_attest::verdict::Verdict;
use countersign_builder::compare::normalization;
use countersign_builder::outcome::Misses;
use countersign_builder::recipe::Attempt;

use super::arguments::RebuildArguments;
use super::report::{Report, ReportAttestation};
use super::{logs, vary};
use crate::pipeline::Findings;
use crate::signers::Signers;
use crate::trouble::Trouble;
use crate::workshop::Workshop;

pub(super) fn text(
    report: &Report,
    findings: &Findings,
    arguments: &RebuildArguments,
    signers: &Signers,
    workshop: &Workshop,
) -> Result<String, Trouble> {
    let mut text = String::new();
    text.push_str(&format!(
        "{} {}\ncommit {}\n",
        printable(&report.release.source),
        printable(&report.release.tag),
        report.release.commit
    ));
    for (artifact, result) in report.artifacts.iter().zip(&findings.artifacts) {
        let _ = write!(
            text,
            "\n{}\n  {} ({})\n",
            printable(&artifact.name),
            artifact.verdict.sentence(),
            artifact.verdict
        );
        if let Some(reason) = artifact.reason {
            let _ = writeln!(text, "  reason: {reason}");
        }
        if let Some(detail) = &artifact.detail {
            let _ = writeln!(text, "  {}", printable(detail));
        }
        for name in &artifact.normalizations {
            let _ = writeln!(text, "  after {}", normalization::described(name));
        }
        for cause in &artifact.causes {
            let _ = writeln!(text, "  - {}", printable(cause));
        }
        for finding in &artifact.findings {
            let _ = writeln!(text, "  ! {}", printable(&finding.to_string()));
        }
        if artifact.yanked {
            let _ = writeln!(
                text,
                "  note: the registry has withdrawn it from new use (yanked)"
            );
        }
        if matches!(
            artifact.verdict,
            Verdict::BuildFailed | Verdict::Unstable | Verdict::Indeterminate
        ) {
            let decided = |attempt: &&Attempt| Some(attempt.plan) == result.plan;
            if let Some(attempt) = result.attempts.iter().find(decided) {
                missed(&mut text, &attempt.misses());
            }
            logs::show(&mut text, workshop, result, &arguments.out)?;
        }
        let _ = writeln!(text, "  published sha256:{}", artifact.published.sha256);
        for file in &artifact.rebuilt {
            let _ = writeln!(text, "  rebuilt   sha256:{}", file.sha256);
        }
        if result.differences.is_some() {
            let name = format!("{}.difference.txt", artifact.published.sha256);
            let _ = writeln!(
                text,
                "  what differs: {}",
                arguments.out.join(name).display()
            );
        }
        for attestation in &artifact.attestations {
            let ReportAttestation { kind, format, path } = attestation;
            let _ = writeln!(text, "  {kind:<12} {format:<9} {path}");
        }
    }
    vary::show(&mut text, findings);
    if arguments.explain {
        explain(&mut text, findings);
    }
    let public = arguments.out.join("signer.pub.pem");
    let _ = write!(
        text,
        "\nsigned by {}{}\nCheck a file against this:\n  countersign verify FILE --key {} --attestation {}\n",
        signers.public().fingerprint(),
        if arguments.key.is_none() {
            " (a key made for this run and forgotten)"
        } else {
            ""
        },
        public.display(),
        arguments.out.display(),
    );
    Ok(text)
}

fn missed(text: &mut String, misses: &Misses) {
    for request in &misses.listed {
        let _ = writeln!(text, "  asked for and not served: {}", printable(request));
    }
    if misses.unlisted > 0 {
        let _ = writeln!(text, "  and {} more", misses.unlisted);
    }
}

/// What was tried, with each step as it was run.
fn explain(text: &mut String, findings: &Findings) {
    for result in &findings.artifacts {
        if !result.evidence.is_empty() {
            let _ = writeln!(text, "\nread of {}", printable(&result.published.file_name));
        }
        for line in &result.evidence {
            let _ = writeln!(text, "  {}", printable(line));
        }
        for attempt in &result.attempts {
            let _ = writeln!(
                text,
                "\ntried recipe {}: {}\n  why: {}\n  came to {} (plan sha256:{})",
                attempt.candidate.recipe,
                printable(&attempt.way),
                printable(&attempt.why),
                attempt.verdict,
                attempt.plan
            );
            for step in &attempt.candidate.steps {
                let argv: Vec<String> = step.argv.iter().map(|a| printable(&a.value)).collect();
                let _ = writeln!(text, "  run {argv:?}");
            }
            for (name, value) in &attempt.candidate.variables {
                let _ = writeln!(text, "  with {name}={:?} ({:?})", value.value, value.origin);
            }
            for (run, outcome) in attempt.outcomes.iter().enumerate() {
                let _ = writeln!(
                    text,
                    "  run {run}: {} after {} ms; {} bytes of log, sha256:{}",
                    countersign_builder::judge::describe(&outcome.ended),
                    outcome.duration_ms,
                    outcome.log.size_bytes,
                    outcome.log.sha256
                );
                missed(text, &outcome.misses);
            }
        }
    }
}
