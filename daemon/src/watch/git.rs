//! The host's side of watching: lists the tags of a location, fetches one, exports its tree.
//!
//! Joins the server's answers ([`super::upstream`]) and the git child's ([`super::git_child`]). What
//! is fetched is the object that was advertised, or nothing.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use countersign_attest::digest::GitOid;
use countersign_builder::channel::{Channel, ChannelError};

use super::error::{Fault, Refusal, WatchError, printable, printable_up_to};
use super::export::{Exported, TreeLimits};
use super::git_child::{self, Answer, Request, Store};
use super::location::{FetchSource, Location};
use super::mirror::{self, Peeled};
use super::refs::{AdvertisedTag, Listing, tag_name};
use super::upstream::{Remembered, Upstream, UpstreamLimits};

/// How git children are started and bounded.
#[derive(Debug, Clone)]
pub(crate) struct Children {
    /// The program: this binary.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// How long one may take.
    pub time: Duration,
}

impl Children {
    /// Children of the running binary, a quarter of an hour each.
    ///
    /// # Errors
    /// When the system does not say where the binary is.
    pub(crate) fn of_this_binary() -> Result<Self, WatchError> {
        let program = std::env::current_exe().map_err(Fault::io("looking for our own binary"))?;
        let arguments = vec![git_child::ARGUMENT.into()];
        Ok(Self {
            program,
            arguments,
            time: Duration::from_secs(900),
        })
    }
}

/// All limits of a watched repository.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WatchLimits {
    /// What the server may send.
    pub upstream: UpstreamLimits,
    /// What a tree may come to.
    pub tree: TreeLimits,
}

/// Looks at repositories.
#[derive(Debug, Clone)]
pub(crate) struct Repositories {
    upstream: Upstream,
    children: Children,
    limits: WatchLimits,
}

/// A tag that was fetched: its objects are in `store`, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// The tag.
    pub tag: String,
    /// The object that it names.
    pub oid: GitOid,
    /// Where that leads.
    pub peeled: Peeled,
    /// Where the objects are.
    pub store: Store,
}

impl Repositories {
    /// Looks with this client, which must come from [`super::upstream::client`].
    #[must_use]
    pub(crate) const fn new(
        client: reqwest::Client,
        children: Children,
        limits: WatchLimits,
    ) -> Self {
        Self {
            upstream: Upstream::new(client, limits.upstream),
            children,
            limits,
        }
    }

    /// Lists all tags of a location. What is returned beside them makes the next call cheaper.
    ///
    /// # Errors
    /// A fault when there is no answer, a refusal when it is no repository that we read.
    pub(crate) async fn list(
        &self,
        location: &Location,
        remembered: Option<&Remembered>,
    ) -> Result<(Listing, Option<Remembered>), WatchError> {
        match location.fetch_source() {
            FetchSource::Http(url) => {
                let (listing, known) = self.upstream.list(url, None, remembered).await?;
                Ok((listing, Some(known)))
            }
            FetchSource::Local(path) => Ok((self.list_local(path).await?, None)),
        }
    }

    /// Brings the objects of a tag here. `expected` is what the tag was seen to name; `mirror` is the
    /// folder for this repository alone, made where it is absent; one fetch at a time may use it.
    ///
    /// # Errors
    /// Among others [`Refusal::NoSuchTag`] and [`Refusal::TagMoved`].
    pub(crate) async fn fetch(
        &self,
        location: &Location,
        tag: &str,
        expected: Option<GitOid>,
        mirror: &Path,
    ) -> Result<Fetched, WatchError> {
        tag_name(tag.as_bytes()).map_err(|reason| Refusal::TagName {
            tag: printable(tag.as_bytes()),
            reason: reason.into(),
        })?;
        match location.fetch_source() {
            FetchSource::Http(url) => {
                let (listing, known) = self.upstream.list(url, Some(tag), None).await?;
                let Some(oid) = find(&listing, tag).map(|found| found.oid) else {
                    let (all, _) = self.upstream.list(url, None, Some(&known)).await?;
                    return Err(no_such_tag(location, tag, &all));
                };
                check_unmoved(location, tag, expected, oid)?;
                let peeled = self.fetch_pack(&known, oid, mirror).await?;
                let store = Store::Mirror(mirror.to_owned());
                Ok(Fetched {
                    tag: tag.into(),
                    oid,
                    peeled,
                    store,
                })
            }
            FetchSource::Local(path) => {
                let listing = self.list_local(path).await?;
                let found = find(&listing, tag);
                let oid = found
                    .ok_or_else(|| no_such_tag(location, tag, &listing))?
                    .oid;
                check_unmoved(location, tag, expected, oid)?;
                let limits = self.limits.tree;
                let request = Request::CheckLocal {
                    path: path.clone(),
                    oid,
                    limits,
                };
                let peeled = peeled(self.ask(request, None).await?)?;
                let store = Store::Local(path.clone());
                Ok(Fetched {
                    tag: tag.into(),
                    oid,
                    peeled,
                    store,
                })
            }
        }
    }

    /// Writes the tree of a fetched tag into a new folder.
    ///
    /// # Errors
    /// As the child answers; the folder is then gone again.
    pub(crate) async fn export(
        &self,
        fetched: &Fetched,
        into: &Path,
    ) -> Result<Exported, WatchError> {
        let into =
            std::path::absolute(into).map_err(Fault::io("looking for the current folder"))?;
        let what = || format!("making {}", into.display());
        fs::create_dir(&into).map_err(Fault::io(what()))?;
        let request = Request::Export {
            from: fetched.store.clone(),
            oid: fetched.oid,
            into: into.clone(),
            limits: self.limits.tree,
        };
        let exported = match self.ask(request, None).await {
            Ok(Answer::Exported(exported)) if exported.commit == fetched.peeled.commit => {
                Ok(exported)
            }
            Ok(_) => Err(out_of_place()),
            Err(error) => Err(error),
        };
        if exported.is_err() {
            // the first error is the one to tell; a left-over folder is found by its owner
            let _ = fs::remove_dir_all(&into);
        }
        exported
    }

    async fn list_local(&self, path: &Path) -> Result<Listing, WatchError> {
        let max_refs = self.limits.upstream.max_refs;
        let request = Request::ListLocal {
            path: path.to_owned(),
            max_refs,
        };
        match self.ask(request, None).await? {
            Answer::Listing(listing) => Ok(listing),
            _ => Err(out_of_place()),
        }
    }

    async fn fetch_pack(
        &self,
        known: &Remembered,
        oid: GitOid,
        mirror: &Path,
    ) -> Result<Peeled, WatchError> {
        let mirror =
            &std::path::absolute(mirror).map_err(Fault::io("looking for the current folder"))?;
        mirror::prepare(mirror)?;
        let have = mirror::complete_commits(mirror);
        match self.fetch_pack_with(known, oid, &have, mirror).await {
            // our mirror or what we said of it is at fault as likely as the server: once more, from nothing
            Err(WatchError::Refusal(
                Refusal::Incomplete { .. } | Refusal::BadObject { .. } | Refusal::BadPack { .. },
            )) if !have.is_empty() => {
                let what = || format!("removing the mirror {}", mirror.display());
                fs::remove_dir_all(mirror).map_err(Fault::io(what()))?;
                mirror::prepare(mirror)?;
                self.fetch_pack_with(known, oid, &[], mirror).await
            }
            other => other,
        }
    }

    async fn fetch_pack_with(
        &self,
        known: &Remembered,
        oid: GitOid,
        have: &[GitOid],
        mirror: &Path,
    ) -> Result<Peeled, WatchError> {
        let pack = self.upstream.pack(known, oid, have, mirror).await?;
        let request = Request::Import {
            mirror: mirror.to_owned(),
            oid,
            pack_bytes: self.limits.upstream.pack_bytes,
            limits: self.limits.tree,
        };
        peeled(self.ask(request, Some(pack)).await?)
    }

    /// One child, one request. A child's refusal or fault becomes ours.
    async fn ask(&self, request: Request, pack: Option<File>) -> Result<Answer, WatchError> {
        let children = self.children.clone();
        let asked =
            tokio::task::spawn_blocking(move || children.ask(&request, pack.as_ref())).await;
        match asked.map_err(|_| Fault::Child("conversation was cut off".into()))?? {
            Answer::Refused { why } => Err(why.into()),
            Answer::Fault { message } => {
                let message = printable_up_to(2000, message.as_bytes());
                Err(Fault::Child(format!("reports: {message}")).into())
            }
            answer @ (Answer::Listing(_) | Answer::Peeled(_) | Answer::Exported(_)) => Ok(answer),
        }
    }
}

impl Children {
    fn ask(&self, request: &Request, pack: Option<&File>) -> Result<Answer, WatchError> {
        let what = "starting the git child";
        let (mut channel, theirs) = Channel::pair().map_err(Fault::io(what))?;
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .env("HOME", "/nonexistent")
            .current_dir("/")
            .stdin(theirs)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Fault::io(what))?;
        channel
            .set_receive_timeout(Some(self.time))
            .map_err(Fault::io(what))?;
        let fds: Vec<_> = pack.iter().map(AsFd::as_fd).collect();
        let sent = channel.send_with_fds(request, &fds);
        match sent.and_then(|()| channel.receive_message()) {
            Ok(answer) => {
                end(&mut child);
                Ok(answer)
            }
            Err(ChannelError::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
            {
                end(&mut child);
                let seconds = self.time.as_secs();
                Err(Fault::TimeOut {
                    what: "the git child's work".into(),
                    seconds,
                }
                .into())
            }
            Err(error) => {
                let last_words = end(&mut child);
                Err(Fault::Child(format!("ended early ({error}): {last_words}")).into())
            }
        }
    }
}

/// Kills and reaps a child; its last words from standard error.
fn end(child: &mut Child) -> String {
    // errors only say that it is dead already
    let _ = child.kill();
    let _ = child.wait();
    let mut words = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(4096).read_to_end(&mut words);
    }
    printable_up_to(2000, &words)
}

fn peeled(answer: Answer) -> Result<Peeled, WatchError> {
    match answer {
        Answer::Peeled(peeled) => Ok(peeled),
        _ => Err(out_of_place()),
    }
}

fn out_of_place() -> WatchError {
    Fault::Child("gave an answer to another question".into()).into()
}

fn find<'a>(listing: &'a Listing, tag: &str) -> Option<&'a AdvertisedTag> {
    listing.tags.iter().find(|found| found.name == tag)
}

fn check_unmoved(
    location: &Location,
    tag: &str,
    expected: Option<GitOid>,
    found: GitOid,
) -> Result<(), WatchError> {
    match expected {
        Some(expected) if expected != found => Err(Refusal::TagMoved {
            location: location.asked(),
            tag: tag.into(),
            from: expected.to_string(),
            to: found.to_string(),
        }
        .into()),
        _ => Ok(()),
    }
}

fn no_such_tag(location: &Location, tag: &str, all: &Listing) -> WatchError {
    let bare = tag.trim_start_matches(|c: char| !c.is_ascii_digit());
    let looks_alike = |name: &&str| !bare.is_empty() && name.contains(bare);
    let names = all.tags.iter().map(|found| found.name.as_str());
    Refusal::NoSuchTag {
        location: location.asked(),
        tag: tag.into(),
        advertised: all.tags.len() as u64,
        similar: names
            .filter(looks_alike)
            .take(5)
            .map(str::to_owned)
            .collect(),
    }
    .into()
}
