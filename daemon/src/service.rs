//! `countersign daemon`: the one loop that waits. It polls, leases, runs the pipeline and keeps what
//! comes out; everything that can wake it is one [`Event`].
//!
//! What a rebuild found is stored with its drafts in one transaction before anything is signed; after
//! that only [`issue::advance`] moves statements on. A crash anywhere costs at most the running build.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use countersign_attest::statement::Rebuilder;
use countersign_attest::time::Timestamp;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::candidates::{self, Candidates};
use crate::clock::now;
use crate::config::{Config, Repository};
use crate::crash;
use crate::pipeline::issue::{self, store_fault};
use crate::pipeline::{self, Findings, Task, facts};
use crate::publish::PublishedSource;
use crate::signers::Signers;
use crate::store::Store;
use crate::store::queue::{Judged, JudgedArtifact, Lease, PlanBytes, Recorded};
use crate::store::releases::{SeenTag, StoredRelease};
use crate::trouble::Trouble;
use crate::watch::schedule::Schedule;
use crate::watch::upstream::Remembered;
use crate::watch::{refs, tags};
use crate::workshop::Workshop;

mod holds;

/// Polls at once.
const MAX_POLLS: usize = 4;
/// Wait before a rebuild is tried again after a fault; it doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(60);
/// Longest wait after faults and failed polls.
const LONGEST_WAIT: Duration = Duration::from_secs(6 * 3600);
/// Seconds that a rebuild may be leased; the lock of the data folder is what really protects it.
const LEASE_SECONDS: i64 = 24 * 3600;

/// Everything that can wake the loop.
enum Event {
    /// A poll came to its end; its result is in the store.
    PollEnded { repository: usize },
    /// A rebuild came to its end; its result is in the store.
    RebuildEnded { refused: bool },
    /// Every project that was due has been told, or is told later.
    NoticesEnded,
    /// A store that cannot be used ends the daemon.
    Broken(Trouble),
    /// Something may be due.
    Time,
    /// An operator wants us to stop.
    Shutdown,
}

/// How a run of `--once` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Polls that failed.
    pub failed_polls: u64,
    /// Rebuilds that wait after a fault of ours.
    pub faulted: u64,
    /// Rebuilds that were refused in this run.
    pub refused: u64,
}

/// The daemon's parts. Cheap to clone; all clones share one store and one signer.
#[derive(Clone)]
pub(crate) struct Service {
    config: Arc<Config>,
    store: Store,
    workshop: Arc<Workshop>,
    signers: Arc<Signers>,
    rebuilder: Rebuilder,
    /// What is known of servers, by repository: it saves a request at the next poll.
    remembered: Arc<Mutex<HashMap<usize, Remembered>>>,
    /// Says that something may be due that was not when the loop last looked.
    wake: Arc<Notify>,
}

impl Service {
    /// Puts the parts together.
    #[must_use]
    pub(crate) fn new(
        config: Arc<Config>,
        store: Store,
        workshop: Arc<Workshop>,
        signers: Arc<Signers>,
        rebuilder: Rebuilder,
    ) -> Self {
        Self {
            config,
            store,
            workshop,
            signers,
            rebuilder,
            remembered: Arc::default(),
            wake: Arc::default(),
        }
    }

    /// Where projects ask for rebuilds of their candidates.
    pub(crate) fn candidates(&self) -> Candidates {
        Candidates {
            config: Arc::clone(&self.config),
            store: self.store.clone(),
            wake: Arc::clone(&self.wake),
        }
    }

    /// Finishes what a dead daemon began, then works until nothing is due (`once`) or it is stopped.
    ///
    /// # Errors
    /// Only when the store or the signer cannot be used.
    pub(crate) async fn run(&self, once: bool) -> Result<Summary, Trouble> {
        self.recover().await?;
        let mut summary = Summary {
            failed_polls: 0,
            faulted: 0,
            refused: 0,
        };
        let mut work = Work::default();
        let mut polled = HashSet::new();
        let mut shutdown = Box::pin(shutdown());
        loop {
            let wake = self.start_due(&mut work, once, &mut polled).await?;
            if once && work.tasks.is_empty() {
                break;
            }
            let event = tokio::select! {
                Some(ended) = work.tasks.join_next() => ended.unwrap_or_else(|error| {
                    Event::Broken(Trouble::fault("bug", anyhow::Error::new(error)))
                }),
                () = tokio::time::sleep(wake), if !once => Event::Time,
                () = self.wake.notified(), if !once => Event::Time,
                () = &mut shutdown => Event::Shutdown,
            };
            match event {
                Event::PollEnded { repository } => {
                    work.polling.remove(&repository);
                }
                Event::RebuildEnded { refused } => {
                    work.building = false;
                    summary.refused += u64::from(refused);
                }
                Event::NoticesEnded => work.telling = false,
                Event::Broken(trouble) => return Err(trouble),
                Event::Time => {}
                Event::Shutdown => {
                    info!("stopping; what is being built is built again at the next start");
                    break;
                }
            }
        }
        summary.faulted = self.store.troubled().await.map_err(store_fault)?.0;
        summary.failed_polls = self.failed_polls().await?;
        Ok(summary)
    }

    /// Moves on what an earlier fault or run left unsigned or unserved, and says whether all is.
    ///
    /// # Errors
    /// When the store or the signer cannot be used: a signer that is gone stays gone.
    async fn finish(&self) -> Result<bool, Trouble> {
        match issue::advance(&self.store, &self.signers, &self.attestations()).await {
            Ok(0) => return Ok(true),
            Ok(statements) => info!(statements, "took up what was left unfinished"),
            Err(trouble) if matches!(trouble.code(), "signer" | "store") => return Err(trouble),
            Err(trouble) => {
                let problem = trouble.to_string();
                warn!(code = trouble.code(), problem = %problem, "statements wait");
                return Ok(false);
            }
        }
        self.store
            .finish_published(now())
            .await
            .map_err(store_fault)?;
        Ok(true)
    }

    /// Takes up what a dead daemon left: interrupted builds are queued, statements are moved on.
    async fn recover(&self) -> Result<(), Trouble> {
        let requeued = self
            .store
            .requeue_interrupted(now())
            .await
            .map_err(store_fault)?;
        if requeued > 0 {
            info!(requeued, "an earlier run was interrupted");
        }
        self.finish().await?;
        // a run may have died between serving the last statement and saying so
        self.store
            .finish_published(now())
            .await
            .map_err(store_fault)?;
        Ok(())
    }

    /// Starts whatever is due and says how long there is nothing else to do.
    async fn start_due(
        &self,
        work: &mut Work,
        once: bool,
        polled: &mut HashSet<usize>,
    ) -> Result<Duration, Trouble> {
        let mut next = now().plus_seconds(3600);
        self.end_holds().await?;
        if !work.telling && self.notices_are_due().await? {
            work.telling = true;
            let service = self.clone();
            work.tasks
                .spawn(async move { service.send_notices().await });
        } else if let Some(due) = self.next_hold_event().await? {
            next = next.min(due);
        }
        for (index, repository) in self.config.repositories.iter().enumerate() {
            let state = self
                .store
                .poll_state(repository.location.source_uri(), now())
                .await
                .map_err(store_fault)?;
            // `--once` is an operator's "now": it asks every repository exactly once
            let due = if once {
                !polled.contains(&index)
            } else {
                state.next_poll_on <= now()
            };
            if due && !work.polling.contains(&index) && work.polling.len() < MAX_POLLS {
                polled.insert(index);
                work.polling.insert(index);
                let service = self.clone();
                work.tasks.spawn(async move { service.poll(index).await });
            } else if !due {
                next = next.min(state.next_poll_on);
            }
        }
        let queued = self
            .store
            .queue_candidates(now())
            .await
            .map_err(store_fault)?;
        if queued > 0 {
            info!(queued, "candidates of projects");
        }
        if !work.building && (!once || work.polling.is_empty()) {
            if !self.finish().await? {
                next = next.min(after(now(), FIRST_RETRY));
            }
            let until = now().plus_seconds(LEASE_SECONDS);
            if let Some(lease) = self.store.lease(now(), until).await.map_err(store_fault)? {
                work.building = true;
                let service = self.clone();
                work.tasks
                    .spawn(async move { service.rebuild(lease).await });
            } else if let Some(due) = self.store.next_due().await.map_err(store_fault)? {
                next = next.min(due);
            }
        }
        let seconds = next.unix_seconds() - now().unix_seconds();
        Ok(Duration::from_secs(
            u64::try_from(seconds).unwrap_or(0).max(1),
        ))
    }

    /// `watch -> SeenTag`: asks one repository for its tags and records what is new.
    async fn poll(&self, index: usize) -> Event {
        let ended = Event::PollEnded { repository: index };
        let Some(repository) = self.config.repositories.get(index) else {
            return ended;
        };
        let uri = repository.location.source_uri();
        let state = match self.store.poll_state(uri, now()).await {
            Ok(state) => state,
            Err(error) => return Event::Broken(store_fault(error)),
        };
        let remembered = self.remembered.lock().await.get(&index).cloned();
        let listing = self
            .workshop
            .repositories()
            .list(&repository.location, remembered.as_ref())
            .await;
        let moment = now();
        let schedule = Schedule {
            interval: repository.interval,
            longest: LONGEST_WAIT,
        };
        let recorded = match listing {
            Ok((listing, remembered)) => {
                for skipped in &listing.skipped_examples {
                    warn!(source = %uri, tag = %skipped.name, reason = %skipped.reason, "a tag was left out");
                }
                if let Some(remembered) = remembered {
                    self.remembered.lock().await.insert(index, remembered);
                }
                let seen = seen_tags(repository, &listing.tags);
                let next = after(moment, schedule.next_wait(0, random()));
                let change = self
                    .store
                    .poll_succeeded(uri, &seen, repository.backlog, moment, next)
                    .await;
                change.map(|change| {
                    if change.new + change.moved > 0 {
                        info!(
                            source = %uri,
                            new = change.new,
                            skipped = change.skipped,
                            moved = change.moved,
                            "polled"
                        );
                    }
                })
            }
            Err(error) => {
                let problem = error.into_trouble().to_string();
                warn!(source = %uri, problem = %problem, "a poll failed");
                let failures = state.failures.saturating_add(1);
                let next = after(moment, schedule.next_wait(failures, random()));
                self.store.poll_failed(uri, moment, next, &problem).await
            }
        };
        crash::point("polled");
        match recorded {
            Ok(()) => ended,
            Err(error) => Event::Broken(store_fault(error)),
        }
    }

    /// Runs the pipeline for one lease and records what it came to.
    async fn rebuild(&self, lease: Lease) -> Event {
        crash::point("leased");
        let result = match self.findings(&lease).await {
            Ok((about, findings)) => self.keep(&lease, about, findings).await,
            Err(trouble) => Err(trouble),
        };
        let (refused, recorded) = match result {
            Ok(()) => (false, Ok(())),
            Err(trouble) => self.record_trouble(&lease, trouble).await,
        };
        match recorded {
            Ok(()) => Event::RebuildEnded { refused },
            Err(trouble) => Event::Broken(trouble),
        }
    }

    async fn findings(&self, lease: &Lease) -> Result<(StoredRelease, Findings), Trouble> {
        let stored = self
            .store
            .release(lease.release_id)
            .await
            .map_err(store_fault)?;
        let gone = || {
            let message = "the release's repository is not in the configuration any more";
            Trouble::refused("not-configured", anyhow::anyhow!(message))
        };
        let release = stored.ok_or_else(gone)?;
        let repository = self
            .config
            .repository(&release.source_uri)
            .ok_or_else(gone)?;
        info!(source = %release.source_uri, tag = %release.tag, attempt = lease.attempt, "rebuilding");
        let live = self.workshop.live(lease.rebuild_id)?;
        let candidate = self
            .store
            .candidate_of(lease.rebuild_id)
            .await
            .map_err(store_fault)?;
        let recipe = repository.recipe.clone().or_else(|| {
            // nothing but the project's own entry tells the package of what is only a digest
            let package = repository.published.iter().find_map(PublishedSource::front);
            let package =
                package.filter(|_| candidate.is_some() && repository.hints.steps.is_empty());
            package.map(|front| front.kind.to_owned())
        });
        let published = match &candidate {
            Some(artifacts) => artifacts.iter().filter_map(candidates::published).collect(),
            None => repository.published.clone(),
        };
        let task = Task {
            location: repository.location.clone(),
            tag: release.tag.clone(),
            expected: Some(release.advertised_oid),
            published,
            package: repository.package.clone(),
            recipe,
            hints: repository.hints.clone(),
            plan: None,
            worked_before: self
                .store
                .ways_that_worked(&release.source_uri, lease.release_id)
                .await
                .map_err(store_fault)?,
            moved_from: release.moved_from,
            tag_keys: repository.tag_keys.clone(),
            vary: false,
            live: Some(Arc::new(live)),
        };
        let findings = pipeline::run(&self.workshop, &task).await?;
        Ok((release, findings))
    }

    /// Stores findings, plans and drafts in one transaction, then issues the statements.
    async fn keep(
        &self,
        lease: &Lease,
        about: StoredRelease,
        findings: Findings,
    ) -> Result<(), Trouble> {
        let judged = self.judged(about, findings).await?;
        crash::point("built");
        let recorded = self
            .store
            .judged(lease.rebuild_id, &judged, now())
            .await
            .map_err(store_fault)?;
        crash::point("judged");
        let (source, tag) = (&judged.about.source_uri, &judged.about.tag);
        if recorded == Recorded::Superseded {
            warn!(%source, %tag, "the tag moved during the rebuild, which counts for nothing");
            return Ok(());
        }
        for JudgedArtifact {
            result, keep_back, ..
        } in &judged.artifacts
        {
            let (artifact, verdict) = (&result.published.file_name, result.judgement.verdict);
            let kept_back = keep_back.is_some();
            info!(%source, %tag, %artifact, %verdict, kept_back, "decided");
        }
        issue::advance(&self.store, &self.signers, &self.attestations()).await?;
        self.store
            .finish_published(now())
            .await
            .map_err(store_fault)?;
        Ok(())
    }

    /// Has everything drafted that findings call for.
    async fn judged(&self, about: StoredRelease, findings: Findings) -> Result<Judged, Trouble> {
        let mut artifacts = Vec::new();
        for result in findings.artifacts {
            let plan = result.plan.and_then(|digest| findings.plans.get(&digest));
            let facts = facts::of(&result, plan, &self.rebuilder, &findings.known_published);
            let drafts = issue::draft(&self.signers, facts).await?;
            let keep_back = self.keep_back(&about.source_uri, result.judgement.verdict);
            artifacts.push(JudgedArtifact {
                result,
                drafts,
                keep_back,
            });
        }
        let plans = findings.plans.iter().map(|(sha256, plan)| PlanBytes {
            sha256: *sha256,
            bytes: plan.to_bytes(),
        });
        Ok(Judged {
            about,
            resolved: findings.release,
            artifacts,
            plans: plans.collect(),
        })
    }

    async fn record_trouble(&self, lease: &Lease, trouble: Trouble) -> (bool, Result<(), Trouble>) {
        let problem = trouble.to_string();
        warn!(rebuild = lease.rebuild_id, code = trouble.code(), problem = %problem, "no verdict");
        let give_up = match trouble {
            // a tag often comes before what is published for it; one that moved is seen at the next poll
            Trouble::Refusal { code, .. } => !matches!(code, "published-missing" | "tag-moved"),
            Trouble::Fault { .. } => lease.attempt >= self.config.limits.attempts,
        };
        let recorded = if give_up {
            self.store.give_up(lease.rebuild_id, &problem, now()).await
        } else {
            let schedule = Schedule {
                interval: FIRST_RETRY,
                longest: LONGEST_WAIT,
            };
            let wait = schedule.next_wait(lease.attempt.saturating_sub(1), random());
            self.store
                .fault(lease.rebuild_id, &problem, after(now(), wait))
                .await
        };
        (give_up, recorded.map_err(store_fault))
    }

    async fn failed_polls(&self) -> Result<u64, Trouble> {
        let mut failed = 0;
        for repository in &self.config.repositories {
            let uri = repository.location.source_uri();
            let state = self
                .store
                .poll_state(uri, now())
                .await
                .map_err(store_fault)?;
            failed += u64::from(state.failures > 0);
        }
        Ok(failed)
    }

    fn attestations(&self) -> PathBuf {
        self.config.data.join(crate::store::ATTESTATIONS)
    }
}

#[derive(Default)]
struct Work {
    tasks: JoinSet<Event>,
    polling: HashSet<usize>,
    building: bool,
    telling: bool,
}

/// Which advertised tags are releases, highest version first.
fn seen_tags(repository: &Repository, advertised: &[refs::AdvertisedTag]) -> Vec<SeenTag> {
    let mut matching: Vec<&refs::AdvertisedTag> = advertised
        .iter()
        .filter(|tag| tags::matches(&repository.tags, &tag.name))
        .collect();
    matching.sort_by(|a, b| tags::compare_versions(&b.name, &a.name));
    matching
        .into_iter()
        .map(|tag| SeenTag {
            name: tag.name.clone(),
            oid: tag.oid,
        })
        .collect()
}

/// The moment some time later.
fn after(moment: Timestamp, wait: Duration) -> Timestamp {
    moment.plus_seconds(i64::try_from(wait.as_secs()).unwrap_or(i64::MAX))
}

/// A random number, for jitter only.
fn random() -> u64 {
    use ring::rand::SecureRandom as _;
    let mut bytes = [0u8; 8];
    // without a random source there is no jitter, which is better than no poll
    let _ = ring::rand::SystemRandom::new().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Ends when an operator asks the process to stop.
async fn shutdown() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut stream) => {
                stream.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
