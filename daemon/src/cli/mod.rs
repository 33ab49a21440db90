//! The command line: a contract (DESIGN section 13). Data on standard output, talk on standard error.
//!
//! One file per subcommand. This file parses arguments, and is the only place that turns an error
//! into an exit code.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use countersign_verify::exit::Exit;

use crate::config::Config;
use crate::trouble::Trouble;

mod await_command;
mod compare;
mod config_command;
mod daemon_command;
mod doctor;
mod init;
mod key;
mod log;
mod output;
mod policy;
mod rebuild;
mod release;
mod rotate;
mod sandbox;
mod scan;
mod status;
mod trust;
mod verify;
mod withdraw;

/// Checks that published binaries come from their source: rebuilds tagged releases in a sandbox,
/// compares, and signs what it found.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, max_term_width = 100)]
struct Arguments {
    /// The configuration file.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "countersign.yaml"
    )]
    config: PathBuf,
    /// How data is written to standard output.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(subcommand)]
    command: Command,
}

/// How data is written to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs: one JSON value.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes a commented configuration and a key, and says what to do next.
    Init(init::InitArguments),
    /// Watches the configured repositories and rebuilds their releases.
    Daemon(daemon_command::DaemonArguments),
    /// Shows repositories, the queue and what waits for an operator.
    Status,
    /// Says what this machine can do, by doing it.
    Doctor,
    /// Checks or shows the configuration.
    #[command(subcommand)]
    Config(config_command::ConfigCommand),
    /// Lists, shows, acknowledges and retries releases.
    #[command(subcommand)]
    Release(release::ReleaseCommand),
    /// Follows what a build says.
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Rebuilds one release; needs no configuration file.
    Rebuild(Box<rebuild::RebuildArguments>),
    /// Compares two files: same bytes, the same content packed differently, or what differs.
    Compare(compare::CompareArguments),
    /// Says what an attestation says of a file.
    Verify(verify::VerifyArguments),
    /// Says how much of a list of dependencies, or of what is installed, a policy accepts.
    Scan(scan::ScanArguments),
    /// Runs a command in the sandbox that builds get.
    #[command(subcommand)]
    Sandbox(sandbox::SandboxCommand),
    /// Takes a published verdict back.
    Withdraw(withdraw::WithdrawArguments),
    /// Takes operators into your policy, lists and removes them, and looks whether their keys changed.
    #[command(subcommand)]
    Trust(trust::TrustCommand),
    /// Has the operators of a policy rebuild what you are about to publish, and waits for them.
    Await(Box<await_command::AwaitArguments>),
    /// Checks, explains and tries policies.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Makes, shows and imports keys.
    #[command(subcommand)]
    Key(key::KeyCommand),
}

/// Runs the command line.
#[must_use]
pub(crate) fn run() -> ExitCode {
    let arguments = Arguments::parse(); // exits with 2 on a usage error
    let format = arguments.format;
    match dispatch(arguments) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(trouble) => ended(format, &trouble),
    }
}

/// Ends a process that cannot even begin with a command.
#[must_use]
pub(crate) fn give_up(trouble: &Trouble) -> ExitCode {
    ended(Format::Text, trouble)
}

fn ended(format: Format, trouble: &Trouble) -> ExitCode {
    output::trouble(format, trouble);
    ExitCode::from(match trouble {
        Trouble::Refusal { .. } => Exit::REFUSED,
        Trouble::Fault { .. } => Exit::Fault.code(),
    })
}

fn dispatch(arguments: Arguments) -> Result<Exit, Trouble> {
    let Arguments {
        config,
        format,
        command,
    } = arguments;
    let load = || Config::load(&config).map_err(Trouble::refusal);
    match command {
        Command::Init(arguments) => init::run(&config, &arguments, format),
        Command::Daemon(arguments) => wait_for(daemon_command::run(load()?, &arguments)),
        Command::Status => wait_for(status::run(&load()?, format)),
        Command::Doctor => doctor::run(&config, format),
        Command::Config(command) => config_command::run(&command, &config, format),
        Command::Release(command) => wait_for(release::run(&command, &load()?, format)),
        Command::Log(command) => wait_for(log::run(&command, &load()?)),
        Command::Rebuild(arguments) => wait_for(rebuild::run(*arguments, format)),
        Command::Compare(arguments) => compare::run(&arguments, format),
        Command::Verify(arguments) => verify::run(&arguments, format),
        Command::Scan(arguments) => scan::run(&arguments, format),
        Command::Sandbox(command) => sandbox::run(&command),
        Command::Withdraw(arguments) => wait_for(withdraw::run(arguments, load()?, format)),
        Command::Trust(command) => wait_for(trust::run(command, format)),
        Command::Await(arguments) => wait_for(await_command::run(*arguments, format)),
        Command::Policy(command) => policy::run(&command, format),
        Command::Key(command) => key::run(&command, &config, format),
    }
}

/// Runs work to its end. What it left on other threads, such as a build that is not wanted any more,
/// ends with the process, and its children with the thread that started them.
fn wait_for<T>(work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Trouble::fault(
                "runtime",
                anyhow::Error::new(error).context("starting the runtime"),
            )
        })?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}
