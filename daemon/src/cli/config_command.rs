//! `countersign config check|show`.

use std::path::Path;

use clap::Subcommand;

use super::{Exit, Format, output};
use crate::config::{self, Config};
use crate::trouble::Trouble;

/// Subcommands of `config`.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Says whether the configuration can be used; else file, line, column and key.
    Check,
    /// Prints the configuration with every default filled in.
    Show,
}

pub(super) fn run(command: &ConfigCommand, path: &Path, format: Format) -> Result<Exit, Trouble> {
    match command {
        ConfigCommand::Check => {
            let config = Config::load(path).map_err(Trouble::refusal)?;
            let watched = config.repositories.len();
            match format {
                Format::Json => output::json(&serde_json::json!({"repositories": watched}))?,
                Format::Text => output::text(&format!(
                    "{} can be used; it watches {watched} {}\n",
                    path.display(),
                    if watched == 1 {
                        "repository"
                    } else {
                        "repositories"
                    }
                ))?,
            }
        }
        ConfigCommand::Show => match format {
            Format::Json => output::json(&config::show_value(path).map_err(Trouble::refusal)?)?,
            Format::Text => output::text(&config::show(path).map_err(Trouble::refusal)?)?,
        },
    }
    Ok(Exit::Good)
}
