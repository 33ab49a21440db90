//! `countersign init`: a commented configuration, a key, and what to do next. Never overwrites.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::{Exit, Format, output};
use crate::config::{self, Config, project};
use crate::keys::{self, Passphrase};
use crate::trouble::Trouble;

/// Arguments of `init`.
#[derive(Debug, Args)]
pub(super) struct InitArguments {
    /// The URI that names this rebuilder in every statement.
    #[arg(long, value_name = "URI")]
    rebuilder: Option<String>,
    /// Writes the countersign.yaml that a project commits instead, so that rebuilders need only its address.
    #[arg(long, conflicts_with = "rebuilder")]
    project: bool,
    /// With --project, where releases are published: a package URL, or a URL of the repository's host.
    #[arg(long, value_name = "PURL|URL", requires = "project")]
    published: Option<String>,
}

/// The file of a project. It is read as a rebuilder would read it before it is written.
fn project(path: &Path, published: Option<&str>, format: Format) -> Result<Exit, Trouble> {
    let mut text = project::TEMPLATE.to_owned();
    if let Some(published) = published {
        let quoted = serde_json::Value::from(published).to_string();
        text = text.replace(project::PLACEHOLDER, &quoted);
    }
    project::read(text.as_bytes())
        .map_err(|problem| Trouble::refusal(anyhow!("--published: {problem}")))?;
    if path.exists() {
        let message = format!("{} exists already; nothing was changed", path.display());
        return Err(Trouble::refused("exists", anyhow!(message)));
    }
    write(path, &text)?;
    let shown = path.display().to_string();
    match format {
        Format::Json => output::json(&serde_json::json!({"project": shown}))?,
        Format::Text => output::text(&format!(
            "project  {shown}\n\nSay in it where releases are and how they are built, commit it, tag, then:\n  \
             countersign rebuild --source . --tag TAG --published FILE\n"
        ))?,
    }
    Ok(Exit::Good)
}

pub(super) fn run(path: &Path, arguments: &InitArguments, format: Format) -> Result<Exit, Trouble> {
    if arguments.project {
        return project(path, arguments.published.as_deref(), format);
    }
    let mut text = config::TEMPLATE.to_owned();
    if let Some(id) = &arguments.rebuilder {
        url::Url::parse(id).map_err(|error| {
            Trouble::refusal(anyhow!("--rebuilder: {id:?} is not a URI: {error}"))
        })?;
        text = text.replace(
            &format!("id: {}", config::PLACEHOLDER),
            &format!("id: {id:?}"),
        );
    }
    if path.exists() {
        let message = format!("{} exists already; nothing was changed", path.display());
        return Err(Trouble::refused("exists", anyhow!(message)));
    }
    let config = Config::parse(&text, path).map_err(Trouble::refusal)?;
    // the template names one
    let key = config
        .keys
        .file()
        .unwrap_or(Path::new("keys/statement.pem"));
    let public = if key.exists() {
        keys::show(key, &Passphrase::Terminal)
    } else {
        keys::new(key, &Passphrase::Terminal)
    }
    .map_err(keys::KeyFileError::into_trouble)?;
    write(path, &text)?;
    let fingerprint = public.fingerprint();
    match format {
        Format::Json => output::json(&serde_json::json!({
            "configuration": path.display().to_string(),
            "key": key.display().to_string(),
            "publicKey": keys::public_path(key).display().to_string(),
            "fingerprint": fingerprint,
            "data": config.data.display().to_string(),
        }))?,
        Format::Text => output::text(&format!(
            "configuration  {}\nkey            {}\npublic key     {}\nfingerprint    {fingerprint}\n\
             data           {}\n\n\
             Say in the configuration who you are (rebuilder.id) and what to watch, then:\n  countersign config check\n  countersign daemon --once\n",
            path.display(),
            key.display(),
            keys::public_path(key).display(),
            config.data.display(),
        ))?,
    }
    Ok(Exit::Good)
}

fn write(path: &Path, text: &str) -> Result<(), Trouble> {
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = File::create_new(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write()
        .with_context(|| format!("writing {}", path.display()))
        .map_err(|error| Trouble::fault("disk", error))
}
