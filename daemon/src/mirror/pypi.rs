//! The simple index of Python packages, and the files that it names.

use super::fault::MirrorError;
use super::registry::{Asked, Registry, Shown};
use super::request::{NotARequest, What, decoded, normalized};
use super::session::Body;
use super::upstream::Expected;
use crate::publish::endpoints::KEY_PYPI;

mod document;
mod version;

use document::Project;

/// What the mirror knows of it.
pub(super) const REGISTRY: Registry = Registry {
    kind: "pypi",
    client: "pip",
    key: KEY_PYPI,
    path,
    exists,
    version_key: version::version_key,
    shown,
    answer: |asked| Box::pin(answer(asked)),
};

/// Longest name of a project that is asked for.
const PROJECT_BYTES: usize = 100;
/// Longest file name.
const FILE_BYTES: usize = 255;

fn path(parts: &[&str]) -> Result<Option<What>, NotARequest> {
    Ok(match *parts {
        ["simple", name, ""] => Some(What::Index(name.to_owned())),
        ["files", name, file] => Some(What::File(name.to_owned(), decoded(file)?)),
        _ => None,
    })
}

fn exists(what: &What) -> bool {
    match what {
        What::Config => false,
        What::Index(name) => is_project(name),
        What::File(name, file) => is_project(name) && is_file(file),
    }
}

/// Whether a name is a normalized one (PEP 503): other spellings have no page of their own.
fn is_project(name: &str) -> bool {
    name.len() <= PROJECT_BYTES && !name.is_empty() && normalized(name) == name && is_plain(name)
}

fn is_plain(name: &str) -> bool {
    !name.starts_with('-')
        && !name.ends_with('-')
        && name.is_ascii()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// Whether a text may be the name of a file of a project.
fn is_file(name: &str) -> bool {
    (1..=FILE_BYTES).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.+!".contains(c))
}

/// One document in two forms; what is recorded is the JSON one.
fn shown(what: &What, accept: Option<&str>) -> Shown {
    match what {
        What::Index(_) if document::wants_json(accept) => Shown::as_is(document::JSON),
        What::Index(_) => Shown {
            media_type: document::HTML,
            render: Some(document::to_html),
        },
        What::Config | What::File(..) => Shown::as_is("application/octet-stream"),
    }
}

async fn answer(asked: Asked<'_>) -> Result<Body, MirrorError> {
    let (What::Index(name) | What::File(name, _)) = asked.request.what() else {
        return Ok(None);
    };
    let Some(project) = asked.session.document::<Project>(asked, name).await? else {
        return Ok(None);
    };
    let What::File(_, file) = asked.request.what() else {
        return asked
            .session
            .cache
            .keep(project.to_served())
            .await
            .map(Some);
    };
    let Some(known) = project.file(file) else {
        return Ok(None);
    };
    let expected = Expected::Sha256(known.sha256);
    asked.session.file(asked, &known.url()?, expected).await
}
