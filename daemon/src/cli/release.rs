//! `countersign release list|show|ack|retry`.

use std::fmt::Write as _;

use anyhow::anyhow;
use clap::Subcommand;
use countersign_attest::escape::printable;
use countersign_builder::compare::normalization;

use super::{Exit, Format, output};
use crate::api::view::{ArtifactView, ReleaseView, StatementKind};
use crate::clock;
use crate::config::Config;
use crate::pipeline::issue::store_fault;
use crate::store::Store;
use crate::trouble::Trouble;

/// Releases in a list when nobody says how many.
const LIST: u32 = 50;

/// Subcommands of `release`.
#[derive(Debug, Subcommand)]
pub(super) enum ReleaseCommand {
    /// Lists releases, newest first.
    List {
        /// At most this many.
        #[arg(long, default_value_t = LIST)]
        limit: u32,
        /// Those that follow this id.
        #[arg(long, value_name = "ID")]
        after: Option<i64>,
    },
    /// Shows one release with all that is known of it.
    Show {
        /// Its id.
        id: i64,
    },
    /// Accepts that a tag names another commit now.
    Ack {
        /// The release's id.
        id: i64,
    },
    /// Rebuilds a release again, whatever was found before.
    Retry {
        /// The release's id.
        id: i64,
    },
}

pub(super) async fn run(
    command: &ReleaseCommand,
    config: &Config,
    format: Format,
) -> Result<Exit, Trouble> {
    let store = Store::open_beside(&config.data)
        .await
        .map_err(store_fault)?;
    let Some(store) = store else {
        let message = format!(
            "there is no database in {} yet; run the daemon once",
            config.data.display()
        );
        return Err(Trouble::refused("no-database", anyhow!(message)));
    };
    match *command {
        ReleaseCommand::List { limit, after } => list(&store, after, limit, format).await,
        ReleaseCommand::Show { id } => {
            let release = one(&store, id).await?;
            match format {
                Format::Json => output::json(&release)?,
                Format::Text => output::text(&show(&release))?,
            }
            Ok(Exit::Good)
        }
        ReleaseCommand::Ack { id } => {
            one(&store, id).await?;
            if store
                .acknowledge_move(id, clock::now())
                .await
                .map_err(store_fault)?
            {
                output::say("acknowledged; the daemon rebuilds it at its new commit");
                Ok(Exit::Good)
            } else {
                Err(Trouble::refused(
                    "not-moved",
                    anyhow!("the tag of release {id} has not moved"),
                ))
            }
        }
        ReleaseCommand::Retry { id } => {
            one(&store, id).await?;
            let queued = store.retry(id, clock::now()).await.map_err(store_fault)?;
            output::say(if queued {
                "queued"
            } else {
                "it was queued already; it is due now"
            });
            Ok(Exit::Good)
        }
    }
}

async fn one(store: &Store, id: i64) -> Result<ReleaseView, Trouble> {
    store
        .release_view(id)
        .await
        .map_err(store_fault)?
        .ok_or_else(|| Trouble::refused("no-release", anyhow!("there is no release {id}")))
}

async fn list(
    store: &Store,
    after: Option<i64>,
    limit: u32,
    format: Format,
) -> Result<Exit, Trouble> {
    let mut releases = Vec::new();
    for id in store.release_ids(after, limit).await.map_err(store_fault)? {
        releases.push(one(store, id).await?);
    }
    match format {
        Format::Json => output::json(&serde_json::json!({ "releases": releases }))?,
        Format::Text => {
            let mut text = String::new();
            for release in &releases {
                let _ = writeln!(
                    text,
                    "{:>5}  {}  {}  [{}]",
                    release.id,
                    printable(&release.source),
                    printable(&release.tag),
                    release.state
                );
                for artifact in &release.artifacts {
                    let _ = writeln!(
                        text,
                        "       {:<14} {}",
                        word(artifact),
                        printable(&artifact.name)
                    );
                }
            }
            output::text(&text)?;
        }
    }
    Ok(Exit::Good)
}

fn word(artifact: &ArtifactView) -> &'static str {
    let unsaid = if is_withdrawn(artifact) {
        "withdrawn"
    } else {
        "not checked"
    };
    artifact.verdict.map_or(unsaid, |verdict| verdict.word())
}

fn is_withdrawn(artifact: &ArtifactView) -> bool {
    let mut statements = artifact.statements.iter();
    statements.any(|statement| statement.kind == StatementKind::Withdrawn)
}

fn show(release: &ReleaseView) -> String {
    let mut text = format!(
        "release     {}\nsource      {}\ntag         {}\n",
        release.id,
        printable(&release.source),
        printable(&release.tag)
    );
    if let Some(commit) = release.commit {
        let _ = writeln!(text, "commit      {commit}");
    }
    let _ = writeln!(
        text,
        "state       {}\nfirst seen  {}",
        release.state, release.first_seen
    );
    for artifact in &release.artifacts {
        show_artifact(&mut text, artifact);
    }
    if !release.rebuilds.is_empty() {
        text.push('\n');
    }
    for rebuild in &release.rebuilds {
        let _ = writeln!(
            text,
            "rebuild {}: {}{}{}",
            rebuild.id,
            rebuild.state,
            rebuild
                .recipe
                .as_ref()
                .map(|r| format!(", recipe {r}"))
                .unwrap_or_default(),
            rebuild
                .ended
                .as_ref()
                .map(|e| format!(", {}", printable(e)))
                .unwrap_or_default(),
        );
    }
    for event in &release.events {
        let _ = writeln!(
            text,
            "{}  {}: {}",
            event.on,
            event.kind,
            printable(&event.detail)
        );
    }
    text
}

fn show_artifact(text: &mut String, artifact: &ArtifactView) {
    let unsaid = if is_withdrawn(artifact) {
        "We took our verdict back"
    } else {
        "Not checked yet"
    };
    let sentence = artifact
        .verdict
        .map_or(unsaid, |verdict| verdict.sentence());
    let _ = writeln!(
        text,
        "\n{}\n  {sentence} ({})",
        printable(&artifact.name),
        word(artifact)
    );
    if let Some(reason) = artifact.reason {
        let _ = writeln!(
            text,
            "  reason      {}: {}",
            reason.code(),
            reason.sentence()
        );
    }
    if let Some(detail) = &artifact.detail {
        let _ = writeln!(text, "  detail      {}", printable(detail));
    }
    for normalization in &artifact.normalizations {
        let id = normalization::described(&normalization.id);
        let _ = writeln!(text, "  after       {id}");
    }
    for member in &artifact.members {
        let _ = writeln!(
            text,
            "  {:<11} {}",
            member.what.word(),
            printable(&member.name)
        );
    }
    if artifact.members_unlisted > 0 {
        let _ = writeln!(text, "  and {} more", artifact.members_unlisted);
    }
    for line in &artifact.encoders {
        let _ = writeln!(text, "  {}", printable(line));
    }
    for request in &artifact.missed {
        let _ = writeln!(text, "  asked for and not served: {}", printable(request));
    }
    if artifact.missed_unlisted > 0 {
        let _ = writeln!(text, "  and {} more", artifact.missed_unlisted);
    }
    let _ = writeln!(text, "  published   sha256:{}", artifact.sha256);
    for digest in &artifact.rebuilt {
        let _ = writeln!(text, "  rebuilt     sha256:{digest}");
    }
    if let Some(plan) = artifact.plan {
        let _ = writeln!(text, "  plan        sha256:{plan}");
    }
    for statement in &artifact.statements {
        let name = format!("{}.{}.dsse.json", statement.digest, statement.kind.word());
        let _ = writeln!(text, "  {:<11} attestations/{name}", statement.kind.word());
    }
}
