//! The host's side of watching: lists the tags of a location, fetches one, exports its tree.
//!
//! Joins the server's answers ([`super::upstream`]) and the git child's ([`super::git_child`]). What
//! is fetched is the object that was advertised, or nothing.

use std::fs::{self, File};
use std::path::Path;

use countersign_attest::digest::GitOid;

use super::children::Children;
use super::error::{Fault, Refusal, WatchError, printable, printable_up_to};
use super::export::{Exported, TreeLimits};
use super::git_child::{Answer, Request, Store};
use super::location::{FetchSource, Location};
use super::mirror::{self, Peeled};
use super::refs::{AdvertisedTag, Listing, tag_name};
use super::upstream::{Remembered, Upstream, UpstreamLimits};

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

    /// Writes the tree of a fetched tag into a new folder, with a `.git` of ours where one is wanted.
    ///
    /// # Errors
    /// As the child answers; the folder is then gone again.
    pub(crate) async fn export(
        &self,
        fetched: &Fetched,
        into: &Path,
        with_git: bool,
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
            with_git,
        };
        let exported = match self.ask(request, None).await {
            Ok(Answer::Exported(exported)) if exported.commit == fetched.peeled.commit => {
                Ok(*exported)
            }
            Ok(
                Answer::Exported(_)
                | Answer::Listing(_)
                | Answer::Peeled(_)
                | Answer::Reached { .. }
                | Answer::Refused { .. }
                | Answer::Fault { .. },
            ) => Err(out_of_place()),
            Err(error) => Err(error),
        };
        if exported.is_err() {
            // the first error is the one to tell; a left-over folder is found by its owner
            let _ = fs::remove_dir_all(&into);
        }
        exported
    }

    /// Another commit of the same repository, in the place of a tag's: `None` unless it is reachable from a
    /// branch or a tag that the repository advertises. It is never asked for by its name, which a forge
    /// would answer with the objects of forks: only a repository on this machine has the history at hand.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub(crate) async fn claimed(
        &self,
        fetched: &Fetched,
        commit: GitOid,
    ) -> Result<Option<Fetched>, WatchError> {
        let path = match &fetched.store {
            Store::Local(path) => path,
            Store::Mirror(_) => return Ok(None), // holds the tag's commit and no history
        };
        let max_refs = self.limits.upstream.max_refs;
        let request = Request::Reach {
            path: path.clone(),
            oid: commit,
            max_refs,
        };
        match self.ask(request, None).await? {
            Answer::Reached { reached: true } => {}
            Answer::Reached { reached: false } => return Ok(None),
            Answer::Listing(_)
            | Answer::Peeled(_)
            | Answer::Exported(_)
            | Answer::Refused { .. }
            | Answer::Fault { .. } => return Err(out_of_place()),
        }
        let request = Request::CheckLocal {
            path: path.clone(),
            oid: commit,
            limits: self.limits.tree,
        };
        let peeled = peeled(self.ask(request, None).await?)?;
        Ok(Some(Fetched {
            oid: commit,
            peeled,
            ..fetched.clone()
        }))
    }

    async fn list_local(&self, path: &Path) -> Result<Listing, WatchError> {
        let max_refs = self.limits.upstream.max_refs;
        let request = Request::ListLocal {
            path: path.to_owned(),
            max_refs,
        };
        match self.ask(request, None).await? {
            Answer::Listing(listing) => Ok(listing),
            Answer::Peeled(_)
            | Answer::Reached { .. }
            | Answer::Exported(_)
            | Answer::Refused { .. }
            | Answer::Fault { .. } => Err(out_of_place()),
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
            answer @ (Answer::Listing(_)
            | Answer::Peeled(_)
            | Answer::Reached { .. }
            | Answer::Exported(_)) => Ok(answer),
        }
    }
}

fn peeled(answer: Answer) -> Result<Peeled, WatchError> {
    match answer {
        Answer::Peeled(peeled) => Ok(peeled),
        Answer::Listing(_)
        | Answer::Reached { .. }
        | Answer::Exported(_)
        | Answer::Refused { .. }
        | Answer::Fault { .. } => Err(out_of_place()),
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
