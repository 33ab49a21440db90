//! The packages that are tampered with, and that ours builds make them too.

use std::fs;
use std::path::Path;
use std::process::Command;

use countersign_tests::{World, ran};

/// A published file, and whether this suite's own rebuild yields the very same bytes.
pub(super) struct Package {
    pub(super) format: &'static str,
    name: &'static str,
    version: &'static str,
    rebuilt: bool,
}

const fn rebuilt(format: &'static str, name: &'static str, version: &'static str) -> Package {
    Package {
        format,
        name,
        version,
        rebuilt: true,
    }
}

const fn published(format: &'static str, name: &'static str, version: &'static str) -> Package {
    Package {
        rebuilt: false,
        ..rebuilt(format, name, version)
    }
}

/// The first of each format is always taken. No registry of gems can be asked here: the gem is made by
/// the ecosystem's own tool.
pub(super) const PACKAGES: [Package; 16] = [
    rebuilt("crate", "lru-slab", "0.1.3"),
    published("crate", "itoa", "1.0.15"),
    published("crate", "cfg-if", "1.0.0"),
    rebuilt("npm", "yocto-queue", "1.2.2"),
    rebuilt("npm", "yocto-queue", "1.0.0"),
    rebuilt("npm", "express", "5.2.1"),
    published("npm", "kleur", "4.1.5"),
    published("npm", "picocolors", "1.1.1"),
    rebuilt("wheel", "annotated-types", "0.7.0"),
    rebuilt("wheel", "itsdangerous", "2.2.0"),
    published("wheel", "tomli", "2.0.1"),
    rebuilt("sdist", "annotated-types", "0.7.0"),
    rebuilt("sdist", "itsdangerous", "2.2.0"),
    published("sdist", "tomli", "2.0.1"),
    published("deb", "hello", "any"),
    rebuilt("gem", "left", "1.0.0"),
];

impl Package {
    /// The published file's bytes. Where there is a rebuild and `build` is asked for, it is made, and
    /// they are what it yielded: its digest is that of what was published.
    pub(super) fn bytes(&self, build: bool) -> Vec<u8> {
        if !(build && self.rebuilt) {
            return download(self);
        }
        match self.format {
            "crate" => crate::cargo::reproduced(self.name, self.version),
            "npm" => crate::once::reproduced(self.name, self.version),
            "gem" => crate::gem::reproduced(),
            "wheel" | "sdist" => {
                let world = crate::pypi::reproduced(self.name, self.version);
                let is_it = |path: &Path| {
                    path.extension().is_some_and(|end| end == "whl") == (self.format == "wheel")
                };
                let files = fs::read_dir(world.path("published")).expect("downloads");
                let mut paths = files.map(|file| file.expect("a file").path());
                let path = paths.find(|path| is_it(path)).expect("a file");
                fs::read(path).expect("bytes")
            }
            other => panic!("no rebuild of {other}"),
        }
    }

    /// Whether a rebuild of ours makes it.
    pub(super) const fn is_rebuilt(&self) -> bool {
        self.rebuilt
    }
}

/// A published file, by the ecosystem's own client.
fn download(package: &Package) -> Vec<u8> {
    let Package {
        format,
        name,
        version,
        ..
    } = *package;
    let world = World::new();
    let folder = world.path("download");
    fs::create_dir_all(&folder).expect("a folder");
    match format {
        "crate" => return crate::cargo::download(&world, name, version),
        "gem" => return crate::gem::built(&world),
        "npm" => client(
            &folder,
            &["npm", "pack", "--silent", &format!("{name}@{version}")],
        ),
        "wheel" | "sdist" => {
            let only = if format == "wheel" {
                "--only-binary"
            } else {
                "--no-binary"
            };
            let what = format!("{name}=={version}");
            let options = ["download", "--quiet", "--no-deps", only, name];
            let mut command = vec![
                "/usr/bin/python3",
                "-m",
                "pip",
                "--disable-pip-version-check",
            ];
            command.extend(options);
            command.push(&what);
            client(&folder, &command);
        }
        "deb" => debian(&folder, name),
        other => panic!("{other}"),
    }
    let mut files = fs::read_dir(&folder)
        .expect("a folder")
        .flatten()
        .filter(|f| f.path().is_file());
    fs::read(files.next().expect("a download").path()).expect("bytes")
}

fn client(folder: &Path, command: &[&str]) {
    let mut client = Command::new(command[0]);
    client.args(&command[1..]).current_dir(folder);
    let ran = ran(&mut client);
    assert_eq!(ran.code, Some(0), "{command:?}: {ran:#?}");
}

/// With lists of its own where the machine has none that are of use.
fn debian(folder: &Path, name: &str) {
    let mut plain = Command::new("apt-get");
    plain.args(["download", "-q", name]).current_dir(folder);
    if ran(&mut plain).code == Some(0) {
        return;
    }
    for sub in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(folder.join(sub)).expect("a folder");
    }
    let at = |key: &str, sub: &str| format!("{key}={}", folder.join(sub).display());
    let (lists, cache) = (at("Dir::State::lists", "lists"), at("Dir::Cache", "cache"));
    let options = [
        "-q",
        "-o",
        &lists,
        "-o",
        &cache,
        "-o",
        "APT::Sandbox::User=root",
    ];
    client(folder, &[&["apt-get"], &options[..], &["update"]].concat());
    client(
        folder,
        &[&["apt-get"], &options[..], &["download", name]].concat(),
    );
}
