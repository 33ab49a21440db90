//! The mirror's process: takes its setup, locks itself in as far as one with a network can, serves.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use countersign_builder::channel::{Channel, ChannelError};
use countersign_builder::sandbox::confine::{self, Place};

use super::request::Request;
use super::session::{Kept, Session, Source};
use super::upstream::Registries;
use super::{Answer, Mode, Order, Report, Setup, server};

/// What resolving names and trusting certificates needs, where it is there.
const READ: &[&str] = &[
    "/etc/ca-certificates",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/nsswitch.conf",
    "/etc/pki",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
    "/lib",
    "/lib64",
    "/run/systemd/resolve",
    "/usr",
];
/// Variables that name further such places.
const CERTIFICATES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
/// Variables that name proxies.
pub(super) const PROXIES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Every variable that a mirror gets from its host.
pub(super) fn variables() -> impl Iterator<Item = &'static str> {
    let others = ["NO_PROXY", "no_proxy"];
    CERTIFICATES.into_iter().chain(PROXIES).chain(others)
}

/// Runs the mirror of this process. Called before any thread or runtime is started.
#[must_use]
pub(crate) fn main() -> ExitCode {
    if confine::enter().is_err() {
        return ExitCode::FAILURE;
    }
    let Ok(mut channel) = Channel::from_stdin() else {
        return ExitCode::from(2); // started by hand
    };
    match run(&mut channel) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = channel.send(&Answer::Fault { message }); // a host that is gone has no use for it
            ExitCode::FAILURE
        }
    }
}

fn run(channel: &mut Channel) -> Result<(), String> {
    let broken = |error: ChannelError| error.to_string();
    let (setup, fds): (Setup, _) = channel.receive_with_fds().map_err(broken)?;
    let listener = fds.into_iter().next().map(TcpListener::from);
    lock_in(&setup)?;
    let session = session(&setup)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("starting a runtime: {error}"))?;
    channel.send(&Answer::Ready).map_err(broken)?;
    let report = runtime.block_on(async {
        match (&setup.mode, listener) {
            (Mode::Gather { inputs, .. }, _) => Ok(gather(&session, inputs).await),
            (Mode::Record(_) | Mode::Replay { .. }, Some(listener)) => {
                serve(channel, listener, &session).await
            }
            (Mode::Record(_) | Mode::Replay { .. }, None) => Err("no listener came".to_owned()),
        }
    })?;
    channel.send(&Answer::Report(report)).map_err(broken)?;
    runtime.shutdown_background(); // a client that hangs keeps nobody waiting
    Ok(())
}

fn session(setup: &Setup) -> Result<Arc<Session>, String> {
    let source = match &setup.mode {
        Mode::Record(upstreams) | Mode::Gather { upstreams, .. } => {
            let registries = Registries::new(upstreams, proxies())?;
            Source::Registries(Box::new(registries))
        }
        Mode::Replay { inputs } => Source::Record(
            inputs
                .iter()
                .map(|input| {
                    let kept = Kept {
                        sha256: input.sha256,
                        size_bytes: input.size_bytes,
                    };
                    (input.request.clone(), kept)
                })
                .collect(),
        ),
    };
    let session = Session::new(source, setup.budgets, &setup.cache);
    session.map(Arc::new).map_err(|error| error.to_string())
}

/// Serves until the host says that the build is over.
async fn serve(
    channel: &mut Channel,
    listener: TcpListener,
    session: &Arc<Session>,
) -> Result<Report, String> {
    let prepare = |listener: TcpListener| {
        listener.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(listener)
    };
    let listener = prepare(listener).map_err(|error| format!("taking the listener: {error}"))?;
    let serving = tokio::spawn(server::serve(listener, Arc::clone(session)));
    let host = channel.try_clone().map_err(|error| error.to_string())?;
    let told = tokio::task::spawn_blocking(move || {
        let mut host = host;
        host.receive_message::<Order>()
    });
    let told = told.await.map_err(|error| error.to_string())?;
    serving.abort();
    match told {
        Ok(Order::Stop) => Ok(session.report()),
        Err(error) => Err(error.to_string()),
    }
}

/// Asks for everything that a plan wants, so that it is in the cache. What differs is unanswered.
pub(super) async fn gather(
    session: &Session,
    inputs: &[countersign_builder::plan::PlanInput],
) -> Report {
    let mut lacking = Vec::new();
    for input in inputs {
        let found = match input.request.parse::<Request>() {
            Ok(request) => session.serve(&request).await.ok().flatten(),
            Err(_) => None,
        };
        if found.is_none_or(|kept| kept.sha256 != input.sha256) {
            lacking.push(input.request.clone());
        }
    }
    Report {
        unanswered: lacking,
        ..session.report()
    }
}

/// Hosts of the proxies that the environment names.
fn proxies() -> Vec<String> {
    PROXIES
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .filter_map(|text| {
            let url = url::Url::parse(&text).or_else(|_| format!("http://{text}").parse());
            url.ok()?.host_str().map(str::to_owned)
        })
        .collect()
}

/// Leaves this process the network, its cache and what names and certificates need.
fn lock_in(setup: &Setup) -> Result<(), String> {
    let mut read: Vec<PathBuf> = Vec::new();
    if !matches!(setup.mode, Mode::Replay { .. }) {
        read.extend(READ.iter().map(PathBuf::from));
        read.extend(
            CERTIFICATES
                .iter()
                .filter_map(std::env::var_os)
                .map(PathBuf::from),
        );
    }
    read.retain(|path| path.exists());
    let places: Vec<Place<'_>> = read.iter().map(|path| Place::Path(path)).collect();
    confine::networked(&places, &[Place::Path(Path::new(&setup.cache))])
        .map_err(|error| format!("{:#}", anyhow::Error::from(error)))
}
