//! Asks a rebuilder's service about many packages in a few requests, for `scan`.
//!
//! As with one file (`remote`) the service is a stranger: what it sends is read under limits and goes
//! to the verifier as it is; nothing else that it says is believed.

use std::time::Duration;

use countersign_attest::digest::Sha256;
use countersign_verify::attestation::{Attestation, Problem, ProblemKind, causes};
use url::Url;

use super::remote::{Gathered, kind_of};
use crate::http::{Ask, Http, HttpError};

/// What one service may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchLimits {
    /// Most packages in a request.
    pub(crate) packages: usize,
    /// Longest query in bytes; servers and what stands before them refuse long ones.
    pub(crate) query_bytes: usize,
    /// Longest answer in bytes.
    pub(crate) answer_bytes: u64,
    /// Most attestations of one service.
    pub(crate) attestations: usize,
    /// For everything.
    pub(crate) time: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            packages: 40,
            query_bytes: 6 << 10,
            answer_bytes: 64 << 20,
            attestations: 200_000,
            time: Duration::from_secs(600),
        }
    }
}

/// What is asked about one package: its digests, its package URL.
pub(crate) type About = Vec<String>;

/// Asks one service. `base` is of [`super::remote::base`].
pub(crate) async fn ask(
    http: &Http,
    base: &Url,
    packages: &[About],
    limits: &BatchLimits,
) -> Gathered {
    let mut gathered = Gathered::default();
    let asking = gather(http, base, packages, limits, &mut gathered);
    let ended = tokio::time::timeout(limits.time, asking).await;
    let problem = match ended {
        Ok(Ok(())) => return gathered,
        Ok(Err(problem)) => problem,
        Err(_) => Problem::with(
            base.as_str(),
            ProblemKind::Unreachable,
            "took too long to tell all that it was asked",
        ),
    };
    gathered.problems.push(problem);
    gathered
}

async fn gather(
    http: &Http,
    base: &Url,
    packages: &[About],
    limits: &BatchLimits,
    gathered: &mut Gathered,
) -> Result<(), Problem> {
    // the rest of the list stands at the bottom, and above it what was too much for one request
    let mut waiting = vec![packages];
    while let Some(next) = waiting.pop() {
        let (batch, rest) = next.split_at(fitting(next, limits));
        if !rest.is_empty() {
            waiting.push(rest);
        }
        if batch.is_empty() {
            continue;
        }
        let url = question(base, batch);
        match read(http, &url, limits).await {
            Ok(bytes) => take(base, &bytes, gathered),
            Err(HttpError::Status { status, .. }) if status == 413 && batch.len() > 1 => {
                let (first, second) = batch.split_at(batch.len() / 2);
                waiting.extend([second, first]);
            }
            Err(error) => return Err(refused(base, &error)),
        }
        if gathered.attestations.len() > limits.attestations {
            let message = format!("has more than {} attestations", limits.attestations);
            let kind = ProblemKind::BadAnswer;
            return Err(Problem::with(base.as_str(), kind, &message));
        }
    }
    Ok(())
}

/// How many of the packages go into one request.
fn fitting(packages: &[About], limits: &BatchLimits) -> usize {
    let mut left = limits.query_bytes;
    let fits = packages.iter().take(limits.packages).take_while(|about| {
        // a percent sign and two digits for each of the few characters that need it
        let length: usize = about
            .iter()
            .map(|text| text.len() + text.len() / 4 + 8)
            .sum();
        let fits = length <= left;
        left = left.saturating_sub(length);
        fits
    });
    fits.count().max(1).min(packages.len())
}

fn question(base: &Url, batch: &[About]) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}api/v1/statements", base.path()));
    url.query_pairs_mut()
        .extend_pairs(batch.iter().flatten().map(|about| ("about", about)));
    url
}

/// One envelope a line.
fn take(base: &Url, bytes: &[u8], gathered: &mut Gathered) {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if line.trim_ascii().is_empty() {
            continue;
        }
        gathered.attestations.push(Attestation {
            name: format!("{base}attestations/sha256:{}", Sha256::of(line)),
            unverified_bytes: line.to_vec(),
        });
    }
}

async fn read(http: &Http, url: &Url, limits: &BatchLimits) -> Result<Vec<u8>, HttpError> {
    let ask = Ask {
        limit_bytes: limits.answer_bytes,
        allowed_hosts: &[],
        accept: None,
    };
    http.read(url, &ask).await
}

/// A service that fails once is not asked on: what it did not say is missing for all that is left.
fn refused(base: &Url, error: &HttpError) -> Problem {
    let message = format!("did not answer about every package: {}", causes(error));
    Problem::with(base.as_str(), kind_of(error), &message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HttpOptions;
    use countersign_fixtures::registries::{Answer, Registry};

    fn packages(n: usize) -> Vec<About> {
        (0..n).map(|n| vec![format!("pkg:npm/a@{n}")]).collect()
    }

    /// The path for these packages, as the client writes it.
    fn path(server: &Registry, packages: &[About]) -> String {
        let url = question(&base(server), packages);
        format!("{}?{}", url.path(), url.query().unwrap())
    }

    fn base(server: &Registry) -> Url {
        super::super::remote::base(&format!("{}peer", server.url()), false).unwrap()
    }

    async fn asked(server: &Registry, packages: &[About]) -> (Vec<Vec<u8>>, Vec<ProblemKind>) {
        let limits = BatchLimits {
            packages: 2,
            answer_bytes: 64,
            attestations: 4,
            time: Duration::from_millis(500),
            ..BatchLimits::default()
        };
        let http = Http::new(HttpOptions::default()).unwrap();
        let gathered = ask(&http, &base(server), packages, &limits).await;
        let bytes = gathered.attestations.into_iter();
        (
            bytes.map(|found| found.unverified_bytes).collect(),
            gathered.problems.iter().map(|p| p.kind).collect(),
        )
    }

    fn bytes(text: &str) -> Answer {
        Answer::Bytes(text.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn every_package_is_asked_about_once_in_few_requests() {
        let server = Registry::start().unwrap();
        let all = packages(5);
        for (batch, answer) in [
            (&all[..2], "{1}\n{2}\n"),
            (&all[2..4], ""),
            (&all[4..], "{3}"),
        ] {
            server.put(&path(&server, batch), bytes(answer));
        }
        let (found, problems) = asked(&server, &all).await;
        assert_eq!(
            (found.concat(), problems),
            (b"{1}\n{2}\n{3}".to_vec(), vec![])
        );
        assert_eq!(server.requests().len(), 3);
    }

    #[tokio::test]
    async fn what_is_too_much_for_one_answer_is_asked_in_halves() {
        let server = Registry::start().unwrap();
        let all = packages(3);
        server.put(&path(&server, &all[..2]), Answer::Status(413));
        for (n, one) in all.chunks(1).enumerate() {
            server.put(&path(&server, one), bytes(&format!("{{{n}}}\n")));
        }
        let (found, problems) = asked(&server, &all).await;
        assert_eq!(
            (found.concat(), problems),
            (b"{0}\n{1}\n{2}\n".to_vec(), vec![])
        );
        // one package alone cannot be halved
        server.put(&path(&server, &all[..1]), Answer::Status(413));
        let (found, problems) = asked(&server, &all).await;
        assert_eq!((found.len(), problems), (0, vec![ProblemKind::BadAnswer]));
    }

    #[tokio::test]
    async fn a_service_that_fails_or_says_too_much_is_left_alone_and_told() {
        let all = packages(1);
        for (answer, kind) in [
            (None, ProblemKind::BadAnswer),
            (Some(Answer::Status(400)), ProblemKind::BadAnswer),
            (Some(Answer::Status(503)), ProblemKind::Unreachable),
            (Some(Answer::Hang), ProblemKind::Unreachable),
            (Some(bytes(&"x".repeat(65))), ProblemKind::BadAnswer),
            (Some(bytes(&"x\n".repeat(5))), ProblemKind::BadAnswer),
            (
                Some(Answer::Redirect("http://192.0.2.1/".to_owned())),
                ProblemKind::BadAnswer,
            ),
        ] {
            let server = Registry::start().unwrap();
            if let Some(answer) = answer {
                server.put(&path(&server, &all), answer);
            }
            assert_eq!(asked(&server, &all).await.1, [kind]);
        }
    }

    #[test]
    fn no_query_grows_beyond_its_limit() {
        let digest = "sha512:".to_owned() + &"0".repeat(128);
        let about = vec!["pkg:npm/%40scope/name@1.0.0".to_owned(), digest];
        let all = vec![about; 100];
        let limits = BatchLimits::default();
        let count = fitting(&all, &limits);
        let base = Url::parse("https://peer.example/").unwrap();
        let query = question(&base, &all[..count]);
        assert!((20..=limits.packages).contains(&count), "{count}");
        assert!(query.query().unwrap().len() <= limits.query_bytes);
        assert_eq!(fitting(&[vec!["x".repeat(9000)]], &limits), 1);
        assert_eq!(fitting(&[], &limits), 0);
    }
}
