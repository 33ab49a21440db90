//! The world of an end-to-end test: a folder, repositories in it, and the real binary.
//!
//! Nothing here knows what a test expects. Tests reach no network but loopback and, where they say so,
//! a package registry through its own client.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// The time of every commit that a test makes.
pub const COMMIT_SECONDS: u64 = 1_700_000_000;

/// A folder of a test and what is in it; gone when the value is.
pub struct World {
    folder: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Standard output as JSON.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON: {error}\n{self:#?}"))
    }

    /// Fails the test unless the command ended with this code.
    ///
    /// # Panics
    /// When it ended otherwise.
    #[must_use]
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A fresh folder.
    ///
    /// # Panics
    /// When the disk refuses.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("countersign-e2e-")
            .tempdir();
        Self {
            folder: folder.expect("a folder"),
        }
    }

    /// A path in the world.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and the folders above it.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(&path, content).expect("a file");
        path
    }

    /// The binary with arguments, in the world's folder, with nothing of the caller's environment but
    /// what it needs.
    #[must_use]
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(binary());
        command
            .current_dir(self.folder.path())
            .args(arguments)
            .stdin(Stdio::null());
        command
            .env_remove("COUNTERSIGN_CONFIG")
            .env("COUNTERSIGN_POLICY", self.path("own/policy.yaml"))
            .env_remove("RUST_LOG");
        command
    }

    /// Runs the binary to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        ran(&mut self.command(arguments))
    }

    /// An empty git repository.
    ///
    /// # Panics
    /// When git does not work.
    #[must_use]
    pub fn repository(&self, name: &str) -> Repository {
        let path = self.path(name);
        let repository = Repository { path };
        fs::create_dir_all(&repository.path).expect("a folder");
        repository.git(["init", "-q", "-b", "main"]);
        repository
    }

    /// Writes a configuration with this list of repositories (YAML, indented by two), for local paths.
    pub fn configure(&self, repositories: &str) -> PathBuf {
        self.configure_with("", repositories)
    }

    /// The same with further keys.
    pub fn configure_with(&self, further: &str, repositories: &str) -> PathBuf {
        let text = format!(
            "version: 1\nrebuilder: {{ id: urn:countersign:test }}\nallow_local: true\n{further}\nrepositories:\n{repositories}"
        );
        let path = self.write("countersign.yaml", text);
        if !self.path("keys/statement.pem").exists() {
            let _ = self.run(["key", "new", "keys/statement.pem"]).expect(0);
        }
        path
    }
}

/// A git repository of a test.
pub struct Repository {
    /// Its folder.
    pub path: PathBuf,
}

impl Repository {
    /// Runs git in it, and fails the test if git fails.
    ///
    /// # Panics
    /// When git fails.
    pub fn git<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        let when = format!("{COMMIT_SECONDS} +0000");
        let mut command = Command::new("git");
        command
            .arg("-C")
            .arg(&self.path)
            .args(arguments)
            .stdin(Stdio::null())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null");
        for role in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{role}_NAME"), "test")
                .env(format!("GIT_{role}_EMAIL"), "test@example.org")
                .env(format!("GIT_{role}_DATE"), &when);
        }
        let ran = ran(&mut command);
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        ran.stdout.trim().to_owned()
    }

    /// Writes a file of the work tree.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, content).expect("a file");
    }

    /// Commits everything and tags it.
    pub fn release(&self, tag: &str) {
        self.git(["add", "-A", "-f"]);
        self.git(["commit", "-q", "--allow-empty", "-m", tag]);
        self.git(["tag", tag]);
    }
}

/// Runs a command to its end.
///
/// # Panics
/// When it cannot be started.
pub fn ran(command: &mut Command) -> Ran {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The binary under test, built on first use so that it is never an old one. `COUNTERSIGN_BINARY`
/// names another one, for runs as a user who cannot build.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("COUNTERSIGN_BINARY") {
        Some(path) => path.into(),
        None => built("countersign"),
    })
}

/// The verifier without the daemon, built on first use.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn verifier() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| built("countersign-verify"))
}

fn built(package: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace");
    let mut build = Command::new(cargo);
    build
        .current_dir(root)
        .args(["build", "-q", "--locked", "-p", package]);
    // what cargo says of this test's own package would make build scripts run again (ring's looks at it),
    // and with them half of all packages be compiled anew, here and in the next build outside
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"]
            .iter()
            .any(|own| name.to_string_lossy().starts_with(own))
        {
            build.env_remove(name);
        }
    }
    let built = ran(&mut build);
    assert_eq!(built.code, Some(0), "building {package}: {}", built.stderr);
    let target = std::env::current_exe().expect("this test");
    // target/debug/deps/e2e-… -> target/debug/countersign
    let folder = target
        .parent()
        .and_then(Path::parent)
        .expect("the target folder");
    folder.join(package)
}
