//! Promise: whatever a repository tries, no code of it runs outside the sandbox, and the outcome is clear.
//!
//! Each trap leaves a canary on the host. A control arm shows that the trap is real: the ordinary
//! program falls into it. Then countersign works on the same repository and the canary is not there.

mod builds;
mod obeyed;
mod objects;
mod tags;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_fixtures::repositories::Repository;
use countersign_tests::{Ran, World, ran};

/// A world with a canary in it.
struct Trap {
    world: World,
}

impl Trap {
    fn new() -> Self {
        Self {
            world: World::new(),
        }
    }

    fn canary(&self) -> PathBuf {
        self.world.path("canary")
    }

    /// A program outside any repository that leaves the canary and passes its input on.
    fn program(&self) -> PathBuf {
        let text = format!("#!/bin/sh\ntouch {}\nexec cat\n", self.canary().display());
        let path = self.world.write("evil.sh", text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        path
    }

    /// A repository named `x`.
    fn repository(&self) -> Repository {
        Repository::init(&self.world.path("x"))
    }

    /// The control arm: whether the trap was sprung, which is then set again.
    #[track_caller]
    fn sprung(&self, how: &str) {
        assert!(
            self.canary().exists(),
            "control arm: {how} does not run the payload"
        );
        fs::remove_file(self.canary()).expect("the canary");
    }

    #[track_caller]
    fn quiet(&self, how: &str) {
        assert!(
            !self.canary().exists(),
            "{how}: a payload ran outside the sandbox"
        );
    }

    /// Rebuilds tag `v1` (npm: `v1.0.0`) of `x` from within its folder, as somebody does who looked at it first.
    fn rebuild(&self, published: &str, recipe: &str, more: &[&str]) -> Ran {
        let published = match published.split_once(':') {
            Some(_) => published.to_owned(),
            None => self.world.path(published).display().to_string(),
        };
        let (tag, recipe) = match recipe {
            "npm" => ("v1.0.0", recipe.to_owned()),
            file => ("v1", self.world.path(file).display().to_string()),
        };
        let source = self.world.path("x").display().to_string();
        let out = self.world.path("out").display().to_string();
        let mut arguments = vec![
            "rebuild",
            "--source",
            &source,
            "--tag",
            tag,
            "--published",
            &published,
            "--recipe",
            &recipe,
            "--out",
            &out,
        ];
        arguments.extend(more);
        let mut command = self.world.command(arguments);
        let ran = ran(command.current_dir(self.world.path("x")));
        self.quiet("rebuild");
        assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
        ran
    }

    /// The same, for its verdict and reason.
    #[track_caller]
    fn check(
        &self,
        published: &str,
        recipe: &str,
        code: i32,
        verdict: &str,
        reason: Option<&str>,
    ) -> serde_json::Value {
        let json = self
            .rebuild(published, recipe, &["--format", "json"])
            .expect(code)
            .json();
        let artifact = &json["artifacts"][0];
        assert_eq!(artifact["verdict"], verdict, "{json:#}");
        assert_eq!(artifact["reason"], serde_json::json!(reason), "{json:#}");
        json
    }

    /// The content of a file that a rebuild made of the first artifact.
    fn rebuilt(&self, json: &serde_json::Value) -> Vec<u8> {
        let sha256 = json["artifacts"][0]["rebuilt"][0]["sha256"]
            .as_str()
            .expect("a digest");
        let folder = fs::read_dir(self.world.path("out/rebuilt").join(sha256)).expect("kept");
        let file = folder.flatten().next().expect("a file").path();
        fs::read(file).expect("bytes")
    }
}

/// What the generic recipe runs in these cases: the tree's own `build.sh` makes `out/x.txt`.
const RECIPE: &str =
    "steps: [[sh, build.sh]]\noutputs: [out/x.txt]\nlimits: { time_seconds: 600 }\n";

/// A build whose output is the line `built` and then the bytes of the tree's `file`.
const BUILD: &str = "mkdir out\n{ echo built; cat file; } > out/x.txt\n";

/// A repository `x` with that build, and what an honest maintainer published of it.
fn honest(trap: &Trap, content: &[u8]) -> Repository {
    let repository = trap.repository();
    repository.write("build.sh", BUILD);
    repository.write("file", content);
    trap.world.write("build.yaml", RECIPE);
    trap.world.write("p/x.txt", [b"built\n", content].concat());
    repository
}

/// The configuration's entry for such a repository.
const ENTRY: &str = "  - source: ./x\n    published: './p/x.txt'\n    build:\n      \
    steps: [[sh, build.sh]]\n      outputs: [out/x.txt]\n";

/// A program in a folder, which may fail.
fn program(folder: &Path, name: &str, arguments: &[&str]) -> Ran {
    ran(Command::new(name)
        .args(arguments)
        .current_dir(folder)
        .stdin(std::process::Stdio::null())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null"))
}
