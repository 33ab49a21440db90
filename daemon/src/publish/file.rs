//! Artifacts at a URL or a path that the project names.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use countersign_attest::digest::Digests;
use countersign_attest::time::Timestamp;
use url::Url;

use super::endpoints::KEY_ARTIFACT_BYTES;
use super::template::Location;
use super::{Fetcher, Found, PublishError, blocking, name, released};
use crate::blobs::{BlobError, Blobs};
use crate::http::{Ask, HttpError};

/// Tries each spelling of the version, and takes the first that exists.
pub(super) async fn fetch(
    fetcher: &Fetcher<'_>,
    location: &Location,
    tag: &str,
    versions: &[String],
    now: Timestamp,
) -> Result<Found, PublishError> {
    let mut tried = Vec::new();
    for version in spellings(location, tag, versions) {
        let place = Place::of(location, tag, version)?;
        let file_name = place.file_name()?;
        let stored = match &place {
            Place::Url(url) => store_url(fetcher, url, |_| Ok(())).await,
            Place::Path(path) => store_path(fetcher, path).await,
        };
        match stored {
            Ok(digests) => {
                let artifact = released(file_name, digests, place.public(), now);
                return Ok(Found {
                    version: version.to_owned(),
                    artifacts: vec![artifact],
                    companions: Vec::new(),
                });
            }
            Err(PublishError::Http(HttpError::Missing { .. })) => tried.push(place.to_string()),
            Err(PublishError::FileMissing { tried: paths }) => tried.extend(paths),
            Err(error) => return Err(error),
        }
    }
    Err(PublishError::FileMissing { tried })
}

/// The versions worth a try; one, where the place does not depend on it.
pub(super) fn spellings<'a>(
    location: &Location,
    tag: &'a str,
    versions: &'a [String],
) -> Vec<&'a str> {
    let count = if location.uses_version() {
        versions.len()
    } else {
        1
    };
    let mut spellings: Vec<&str> = versions.iter().map(String::as_str).take(count).collect();
    if spellings.is_empty() && !location.uses_version() {
        spellings.push(tag);
    }
    spellings
}

/// A place with everything filled in.
pub(super) enum Place {
    /// On the network.
    Url(Url),
    /// On this machine.
    Path(PathBuf),
}

impl Place {
    pub(super) fn of(location: &Location, tag: &str, version: &str) -> Result<Self, PublishError> {
        match location {
            Location::Url(url) => url.fill(tag, version).map(Self::Url),
            Location::Path(path) => path.fill(tag, version).map(Self::Path),
        }
    }

    fn file_name(&self) -> Result<String, PublishError> {
        Ok(match self {
            Self::Url(url) => name::of_url(url)?,
            Self::Path(path) => {
                name::checked(&path.file_name().unwrap_or_default().to_string_lossy())?
            }
        })
    }

    /// What a statement may say of the place: a path of this machine is nobody's business.
    fn public(&self) -> String {
        match self {
            Self::Url(url) => url.to_string(),
            Self::Path(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                format!("file:{}", name::percent_encoded(&name, b""))
            }
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(url) => url.fmt(f),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// Downloads into the store. `accept` sees the digests before anything becomes visible.
pub(super) async fn store_url(
    fetcher: &Fetcher<'_>,
    url: &Url,
    accept: impl FnOnce(&Digests) -> Result<(), PublishError> + Send,
) -> Result<Digests, PublishError> {
    let ask = Ask {
        limit_bytes: fetcher.limits.artifact_bytes,
        allowed_hosts: &fetcher.endpoints.allowed_hosts,
        accept: None,
    };
    let incoming = fetcher.blobs.begin()?;
    let mut sink = incoming.sink()?;
    let downloaded = fetcher.http.download(url, &ask, &mut sink).await;
    let digests = downloaded.map_err(|e| PublishError::from_http(e, KEY_ARTIFACT_BYTES))?;
    drop(sink);
    accept(&digests)?;
    blocking(move || incoming.commit(&digests)).await?;
    Ok(digests)
}

async fn store_path(fetcher: &Fetcher<'_>, path: &Path) -> Result<Digests, PublishError> {
    let (blobs, path) = (fetcher.blobs.clone(), path.to_owned());
    let limit = fetcher.limits.artifact_bytes;
    blocking(move || copy_path(&blobs, &path, limit)).await
}

fn copy_path(blobs: &Blobs, path: &Path, limit_bytes: u64) -> Result<Digests, PublishError> {
    let file = open_regular(path)?;
    blobs
        .put(Limited {
            file,
            left: limit_bytes,
        })
        .map_err(|error| match error {
            BlobError::Input(source) if source.kind() == io::ErrorKind::FileTooLarge => {
                PublishError::TooLarge {
                    what: path.display().to_string(),
                    limit_bytes,
                    key: KEY_ARTIFACT_BYTES,
                }
            }
            BlobError::Input(source) => PublishError::Read {
                path: path.to_owned(),
                source,
            },
            error => error.into(),
        })
}

/// Opens a file that exists and is regular: opening a pipe would wait for its writer.
pub(super) fn open_regular(path: &Path) -> Result<File, PublishError> {
    let opened = fs::metadata(path).and_then(|found| {
        if found.is_file() {
            File::open(path).map(Some)
        } else {
            Ok(None)
        }
    });
    match opened {
        Ok(Some(file)) => Ok(file),
        Ok(None) => Err(PublishError::NotAFile {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(PublishError::FileMissing {
            tried: vec![path.display().to_string()],
        }),
        Err(source) => Err(PublishError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// A file that fails where it goes on beyond a limit, even if it grows while it is read.
pub(super) struct Limited {
    pub(super) file: File,
    pub(super) left: u64,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => return Err(io::ErrorKind::FileTooLarge.into()),
        }
        Ok(read)
    }
}
