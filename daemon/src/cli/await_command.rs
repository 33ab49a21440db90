//! `countersign await`: has the operators of a policy rebuild a candidate by its digests, and waits until
//! enough of them confirm it, or cannot any more.
//!
//! What counts are statements under the policy's keys; what services say beside decides only whether
//! they are asked again. Nothing is published here, and nothing is uploaded: a request is digests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use countersign_attest::declaration::{CandidateArtifact, CandidateRequest, Declaration};
use countersign_attest::escape::printable;
use countersign_attest::policy::Policy;
use countersign_verify::files;
use url::Url;

use super::trust::needed_policy;
use super::{Exit, Format, output};
use crate::consult::remote;
use crate::http::{Http, HttpOptions};
use crate::publish::digest_list;
use crate::signer::{KeySource, SignerError};
use crate::trouble::Trouble;
use crate::{clock, signers};

mod asking;
mod judge;
mod table;

use asking::Operator;
use judge::{Judged, Result as Came};

/// Longest list of digests in bytes, and most files of it.
const MAX_LIST_BYTES: u64 = 1 << 20;
const MAX_FILES: usize = 64;
/// First and longest wait between two rounds.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Arguments of `await`.
#[derive(Debug, Args)]
pub(super) struct AwaitArguments {
    /// The digests of what is to be published, as sha256sum writes them.
    #[arg(value_name = "SHA256SUMS")]
    sums: PathBuf,
    /// The tag that the candidate was built from; it is pushed already.
    #[arg(long)]
    tag: String,
    /// The source, as rebuilders watch it.
    #[arg(long, value_name = "URL")]
    source: String,
    /// The project's key, which the rebuilders have configured for it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Whose confirmations count, and how many: its default rule. By default your own policy.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// How long to wait: 90s, 30m, 48h, 2d.
    #[arg(long, default_value = "48h", value_parser = duration)]
    timeout: Duration,
    /// What the exit code follows.
    #[arg(long, value_enum, default_value_t = Mode::Block)]
    mode: Mode,
    /// Lets other machines be asked over http.
    #[arg(long)]
    allow_http: bool,
}

/// What the exit code follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Nothing: 0 whatever came, for a first look.
    Info,
    /// Rejections only: 1 where the candidate is rejected, else 0.
    Warn,
    /// All of it: 0 confirmed, 1 rejected, 4 not met or held in time, 5 nobody could be asked.
    Block,
}

impl Mode {
    const fn exit(self, exit: Exit) -> Exit {
        match (self, exit) {
            (Self::Block, exit) => exit,
            (Self::Warn, Exit::NotReproduced) => Exit::NotReproduced,
            (Self::Info | Self::Warn, _) => Exit::Good,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Block => "block",
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
    let seconds = match unit {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("a number and s, m, h or d".into()),
    };
    let number: u64 = number.parse().map_err(|_| "a number and s, m, h or d")?;
    match number.checked_mul(seconds) {
        Some(total) if total <= 7 * 86_400 => Ok(Duration::from_secs(total)),
        _ => Err("at most seven days: a request is good for no longer".into()),
    }
}

pub(super) async fn run(arguments: AwaitArguments, format: Format) -> Result<Exit, Trouble> {
    let policy = needed_policy(arguments.policy.as_deref())?;
    let request = request(&arguments)?;
    let mut operators = operators(&arguments, &policy)?;
    let envelope = sign(&arguments.key, &request)?;
    let http = Arc::new(
        Http::new(HttpOptions {
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(20),
            total_timeout: Duration::from_secs(60),
            allow_http: arguments.allow_http,
        })
        .map_err(|error| Trouble::fault("http", error))?,
    );
    let ends = Instant::now() + arguments.timeout;
    let mut wait = FIRST_WAIT;
    let mut shown = None;
    loop {
        let left = ends.saturating_duration_since(Instant::now());
        // nobody's slowness makes a round longer than what is left of the time
        let round = asking::round(&http, &mut operators, &envelope, &request);
        let in_time = tokio::time::timeout(left.max(FIRST_WAIT), round)
            .await
            .is_ok();
        let over = !in_time || Instant::now() >= ends;
        let judged = judge::judge(&policy, &request, &operators, over, clock::now());
        let table = table::text(&request, &judged);
        if shown.as_ref() != Some(&table) {
            output::say(&table);
            shown = Some(table);
            wait = FIRST_WAIT;
        }
        let open = judged
            .iter()
            .any(|artifact| artifact.result == Came::Pending);
        if !open {
            return tell(&arguments, &request, &operators, &judged, format);
        }
        let left = ends.saturating_duration_since(Instant::now());
        tokio::time::sleep(wait.min(left)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

fn tell(
    arguments: &AwaitArguments,
    request: &CandidateRequest,
    operators: &BTreeMap<String, Operator>,
    judged: &[Judged],
    format: Format,
) -> Result<Exit, Trouble> {
    let nobody = operators.values().all(Operator::is_down);
    let exits = judged.iter().map(|artifact| match artifact.result {
        Came::Confirmed => Exit::Good,
        Came::Rejected => Exit::NotReproduced,
        Came::NotMet | Came::Pending if nobody => Exit::Fault,
        Came::Held | Came::NotMet | Came::Pending => Exit::NotMet,
    });
    let came = exits.max().unwrap_or(Exit::NotMet);
    let exit = arguments.mode.exit(came);
    match format {
        Format::Json => {
            output::json(&table::value(
                request,
                judged,
                arguments.mode.word(),
                came,
                exit,
            ))?;
        }
        Format::Text => output::text(&format!("{}\n", table::sentence(came)))?,
    }
    Ok(exit)
}

fn request(arguments: &AwaitArguments) -> Result<CandidateRequest, Trouble> {
    let bytes = files::bounded(&arguments.sums, MAX_LIST_BYTES).map_err(Trouble::refusal)?;
    let lines = digest_list::parse(&bytes, MAX_FILES)
        .with_context(|| arguments.sums.display().to_string())
        .map_err(Trouble::refusal)?;
    let artifacts = lines.into_iter().map(|line| CandidateArtifact {
        name: line.name,
        sha256: line.sha256,
    });
    let source = if arguments.source.starts_with("git+") {
        arguments.source.clone()
    } else {
        format!("git+{}", arguments.source)
    };
    let seconds = i64::try_from(arguments.timeout.as_secs()).unwrap_or(i64::MAX);
    Ok(CandidateRequest {
        source,
        tag: arguments.tag.clone(),
        artifacts: artifacts.collect(),
        // services have clocks of their own
        expires_on: clock::now().plus_seconds(seconds.clamp(3600, 7 * 86_400 - 600)),
    })
}

fn sign(key: &std::path::Path, request: &CandidateRequest) -> Result<Vec<u8>, Trouble> {
    let signer = signers::start(&KeySource::file(key.to_owned()))?;
    let request = Declaration::Candidate(request.clone());
    signer.declare(&request).map_err(|error| match error {
        SignerError::Refused(_) => Trouble::refusal(error),
        error => Trouble::fault("signer", error),
    })
}

/// The operators whom the default rule asks.
fn operators(
    arguments: &AwaitArguments,
    policy: &Policy,
) -> Result<BTreeMap<String, Operator>, Trouble> {
    let mut operators = BTreeMap::new();
    for name in &policy.rule(None).of {
        let operator = policy.operators().get(name);
        let address = operator.and_then(|operator| operator.rebuilder.as_ref());
        let base: Option<Url> = match address {
            None => {
                output::say(&format!(
                    "{}: has no address in the policy",
                    printable(name)
                ));
                None
            }
            Some(text) => Some(
                remote::base(text, arguments.allow_http)
                    .with_context(|| format!("operators.{name}.rebuilder {text}"))
                    .map_err(Trouble::refusal)?,
            ),
        };
        operators.insert(name.clone(), Operator::new(base));
    }
    Ok(operators)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_an_end() {
        for (text, seconds) in [
            ("90s", 90),
            ("30m", 1800),
            ("48h", 172_800),
            ("7d", 604_800),
            ("5", 5),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "h", "8d", "1w", "-1s", "1.5h", "99999999999999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_mode_follows_what_it_says() {
        let all = [Exit::Good, Exit::NotReproduced, Exit::NotMet, Exit::Fault];
        let codes = |mode: Mode| all.map(|exit| mode.exit(exit).code());
        assert_eq!(codes(Mode::Block), [0, 1, 4, 5]);
        assert_eq!(codes(Mode::Warn), [0, 1, 0, 0]);
        assert_eq!(codes(Mode::Info), [0, 0, 0, 0]);
    }
}
