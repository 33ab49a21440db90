//! What apt knows of a distribution's archive, through a state of our own.
//!
//! apt itself fetches the index, verifies its signature and digests, and answers about packages and
//! dependencies. It does so with folders and a configuration of ours: the host's lists, status and
//! hooks are neither used nor changed, and without a signature that the sources' keyring confirms
//! nothing is known at all. Nothing here downloads or runs a package.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, UNIX_EPOCH};

use countersign_attest::digest::Sha256;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::timeout;

mod said;
mod sources;
#[cfg(test)]
mod tests;

pub(crate) use said::{Listed, Paragraph, Uri};
pub(crate) use sources::{Sources, discover, release_of};

/// Longest time for one question; an update fetches tens of megabytes.
const TIME: Duration = Duration::from_secs(300);
/// Most bytes of one answer: the index of a whole distribution.
const ANSWER_BYTES: u64 = 256 << 20;
/// How long an index is used before apt is told to look again.
const FRESH: Duration = Duration::from_secs(15 * 60);

/// Says why apt has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AptError {
    /// A folder of ours cannot be used.
    #[error("using the folder {} for apt", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// apt is not installed, or cannot be started.
    #[error("starting {program}, which knows Debian's archive: install apt")]
    Start {
        /// The program.
        program: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// apt refused, or said something that cannot be read.
    #[error("{program} {question}: {problem}")]
    Answer {
        /// The program.
        program: &'static str,
        /// What it was asked.
        question: String,
        /// What it said instead.
        problem: String,
    },
}

/// apt with a private state for some sources.
#[derive(Debug)]
pub(crate) struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// Makes the state below `clients`, or finds it there, and brings its index up to date.
    ///
    /// # Errors
    /// When a folder cannot be used, or apt cannot fetch and verify every index.
    pub(crate) async fn open(clients: &Path, sources: &Sources) -> Result<Self, AptError> {
        let text = sources.to_string();
        let folder = clients
            .join("apt")
            .join(Sha256::of(text.as_bytes()).to_string());
        let apt = Self { folder };
        apt.lay_out(&text)
            .map_err(|source| apt.folder_error(source))?;
        let lock = apt.folder.join("lock");
        let locked = tokio::task::spawn_blocking(move || {
            let file = File::create(lock)?;
            file.lock().map(|()| file)
        });
        let lock = match locked.await {
            Ok(locked) => locked.map_err(|source| apt.folder_error(source))?,
            Err(error) => std::panic::resume_unwind(error.into_panic()), // never aborted: a bug
        };
        if !apt.is_fresh() {
            // a list that cannot be fetched or verified must not leave an older one in its place
            let arguments = ["-q", "update", "--error-on=any"].map(String::from);
            apt.ask("apt-get", &arguments).await?;
            let stamp = fs::write(apt.stamp(), "");
            stamp.map_err(|source| apt.folder_error(source))?;
        }
        drop(lock);
        Ok(apt)
    }

    fn folder_error(&self, source: io::Error) -> AptError {
        AptError::Folder {
            path: self.folder.clone(),
            source,
        }
    }

    fn stamp(&self) -> PathBuf {
        self.folder.join("updated")
    }

    fn is_fresh(&self) -> bool {
        let stamped = fs::metadata(self.stamp()).and_then(|stamp| stamp.modified());
        let age = stamped.ok().and_then(|at| {
            let at = at.duration_since(UNIX_EPOCH).ok()?;
            let now = u64::try_from(crate::clock::now().unix_seconds()).ok()?;
            Duration::from_secs(now).checked_sub(at)
        });
        // a stamp of the future says nothing
        age.is_some_and(|age| age < FRESH)
    }

    fn lay_out(&self, sources: &str) -> io::Result<()> {
        for name in ["state/lists/partial", "cache/archives/partial", "sources"] {
            fs::create_dir_all(self.folder.join(name))?;
        }
        let folder = fs::canonicalize(&self.folder)?;
        fs::write(folder.join("sources/ours.sources"), sources)?;
        fs::write(folder.join("status"), "")?;
        fs::write(folder.join("apt.conf"), configuration(&folder))
    }

    /// Asks one of apt's programs. It gets no standard input, our configuration, and of the
    /// environment what finds programs and a way through a proxy.
    async fn ask(&self, program: &'static str, arguments: &[String]) -> Result<String, AptError> {
        let kept = |name: &str| name == "PATH" || name.to_ascii_lowercase().ends_with("_proxy");
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir("/")
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| kept(&name.to_string_lossy())))
            .env("APT_CONFIG", self.folder.join("apt.conf"))
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| AptError::Start { program, source })?;
        let (mut answer, mut complaints) = (String::new(), String::new());
        let run = async {
            let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
            let (answered, complained) = tokio::join!(
                read(stdout, ANSWER_BYTES, &mut answer),
                read(stderr, 64 << 10, &mut complaints)
            );
            answered.and(complained)?;
            child.wait().await
        };
        let problem = match timeout(TIME, run).await {
            Ok(Ok(status)) if status.success() => return Ok(answer),
            Ok(Ok(_)) => said::complaint(&complaints, &answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer in {} s", TIME.as_secs()),
        };
        Err(AptError::Answer {
            program,
            question: arguments.join(" "),
            problem,
        })
    }

    /// Every version of a binary package that the index has, for this architecture or for all.
    ///
    /// # Errors
    /// When apt has no answer. A package that it does not know has no versions.
    pub(crate) async fn versions(&self, name: &str) -> Result<Vec<Paragraph>, AptError> {
        match self.cache(&["show", name]).await {
            Ok(text) => Ok(said::paragraphs(&text)),
            Err(AptError::Answer { problem, .. }) if problem.contains("No packages found") => {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// The paragraphs of packages at versions, in the form `name=version`.
    ///
    /// # Errors
    /// When apt has no answer, or does not have one of them.
    pub(crate) async fn paragraphs(&self, pinned: &[String]) -> Result<Vec<Paragraph>, AptError> {
        let mut arguments = vec!["show"];
        arguments.extend(pinned.iter().map(String::as_str));
        let text = self.cache(&arguments).await?;
        Ok(said::paragraphs(&text))
    }

    /// Packages that every system of the distribution has.
    ///
    /// # Errors
    /// When apt has no answer.
    pub(crate) async fn essential(&self) -> Result<Vec<String>, AptError> {
        let text = self.cache(&["dumpavail"]).await?;
        Ok(said::essential(&text))
    }

    /// In which suites of which archives a package is at which version, sources too.
    ///
    /// # Errors
    /// When apt has no answer.
    pub(crate) async fn listed(&self, name: &str) -> Result<Vec<Listed>, AptError> {
        let text = self.cache(&["madison", name]).await?;
        Ok(text.lines().filter_map(Listed::parse).collect())
    }

    /// Whose archive a suite is, by its signed Release file: (address, suite, origin).
    ///
    /// # Errors
    /// When apt has no answer.
    pub(crate) async fn origins(&self) -> Result<Vec<(String, String, String)>, AptError> {
        let arguments = [
            "indextargets",
            "--format",
            "$(REPO_URI) $(RELEASE) $(ORIGIN)",
        ];
        let text = self.ask("apt-get", &arguments.map(String::from)).await?;
        let three = |line: &str| {
            let mut parts = line.splitn(3, ' ').map(str::to_owned);
            Some((parts.next()?, parts.next()?, parts.next()?))
        };
        Ok(text.lines().filter_map(three).collect())
    }

    /// Where a binary package is.
    ///
    /// # Errors
    /// When apt has no answer.
    pub(crate) async fn binary(&self, name: &str, version: &str) -> Result<Vec<Uri>, AptError> {
        self.uris(&["download", &format!("{name}={version}")]).await
    }

    /// Where the files of a source package are.
    ///
    /// # Errors
    /// When apt has no answer.
    pub(crate) async fn source(&self, name: &str, version: &str) -> Result<Vec<Uri>, AptError> {
        let pinned = format!("{name}={version}");
        self.uris(&["source", "--only-source", &pinned]).await
    }

    /// The packages that fulfil some dependencies (Debian policy §7.1) on an empty system, and where
    /// they are.
    ///
    /// # Errors
    /// When apt has no answer: the index has nothing that fulfils them.
    pub(crate) async fn satisfy(&self, dependencies: &str) -> Result<Vec<Uri>, AptError> {
        let question = ["satisfy", "--no-install-recommends", "--yes", dependencies];
        let refused = match self.uris(&question).await {
            Err(error @ AptError::Answer { .. }) => error,
            answered => return answered,
        };
        // what is missing it says only where it may say more
        let more = ["-q", "--print-uris"].into_iter().chain(question);
        let more: Vec<String> = more.map(str::to_owned).collect();
        Err(self.ask("apt-get", &more).await.err().unwrap_or(refused))
    }

    async fn uris(&self, arguments: &[&str]) -> Result<Vec<Uri>, AptError> {
        let mut all = vec!["-qq".to_owned(), "--print-uris".to_owned()];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let text = self.ask("apt-get", &all).await?;
        let uris: Option<Vec<Uri>> = text.lines().map(Uri::parse).collect();
        uris.ok_or_else(|| AptError::Answer {
            program: "apt-get",
            question: all.join(" "),
            problem: "its answer has a file without an address or a SHA-256 digest".to_owned(),
        })
    }

    async fn cache(&self, arguments: &[&str]) -> Result<String, AptError> {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        self.ask("apt-cache", &arguments).await
    }
}

async fn read(
    from: Option<impl tokio::io::AsyncRead + Unpin>,
    limit_bytes: u64,
    to: &mut String,
) -> io::Result<()> {
    let Some(from) = from else { return Ok(()) };
    let mut bytes = Vec::new();
    let mut limited = from.take(limit_bytes + 1);
    limited.read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > limit_bytes {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    *to = String::from_utf8_lossy(&bytes).into_owned();
    Ok(())
}

/// An apt.conf that leaves the host's files alone and insists on signatures and SHA-256.
fn configuration(folder: &Path) -> String {
    let ours = |name: &str| folder.join(name).display().to_string();
    let architecture = debian_architecture();
    let mut text = String::new();
    for (key, value) in [
        ("Dir::State", ours("state")),
        ("Dir::State::status", ours("status")),
        ("Dir::Cache", ours("cache")),
        ("Dir::Etc::sourceparts", ours("sources")),
        ("Dir::Etc::sourcelist", "/dev/null".into()),
        ("Dir::Etc::parts", "/dev/null".into()),
        ("Dir::Etc::main", "/dev/null".into()),
        ("Dir::Etc::netrc", "/dev/null".into()),
        ("Dir::Etc::netrcparts", "/dev/null".into()),
        ("Dir::Etc::preferences", "/dev/null".into()),
        ("Dir::Etc::preferencesparts", "/dev/null".into()),
        ("APT::Architecture", architecture.into()),
        ("APT::Install-Recommends", "false".into()),
        ("Acquire::Languages", "none".into()),
        ("Acquire::ForceHash", "SHA256".into()),
        ("Acquire::AllowInsecureRepositories", "false".into()),
        ("Acquire::AllowWeakRepositories", "false".into()),
        (
            "Acquire::AllowDowngradeToInsecureRepositories",
            "false".into(),
        ),
    ] {
        // a quote in a path would end the value; folders of ours have none unless the user's has
        text.push_str(&format!("{key} \"{}\";\n", value.replace('"', "")));
    }
    text.push_str(&format!("APT::Architectures {{ \"{architecture}\"; }};\n"));
    text
}

/// What Debian calls the architecture of this machine.
#[must_use]
pub(crate) fn debian_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
