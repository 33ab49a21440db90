//! Promise: what a distribution published comes out of its source package again, byte for byte, in a
//! root made of the distribution's own packages; and a file that was tampered with does not.
//!
//! The source is what the source package holds, as a git repository whose commit has the date of the
//! changelog. Everything comes through apt, with a state of its own that leaves the host's alone. What
//! it knows and the root that was made are kept in `target/interop` between runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use countersign_tests::{Ran, World, ran};

/// Small, for all architectures, and without file times of its own.
const PACKAGE: &str = "distro-info-data";

/// Where roots and apt's private state are kept between runs.
fn cache() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/interop/debian");
    fs::create_dir_all(&root).expect("a folder");
    root.canonicalize().expect("a path")
}

fn rebuild(world: &World, tag: &str, published: &str) -> Ran {
    let cache = cache();
    world.run([
        "rebuild",
        "--source",
        "source",
        "--tag",
        tag,
        "--published",
        published,
        "--recipe",
        "deb",
        "--format",
        "json",
        "--cache",
        cache.to_str().expect("UTF-8"),
    ])
}

/// The private state of apt that countersign made last.
fn apt_config() -> PathBuf {
    let states = fs::read_dir(cache().join("clients/apt")).expect("states of apt");
    let states = states.map(|state| state.expect("a state").path().join("updated"));
    let age = |stamp: &PathBuf| {
        let modified = fs::metadata(stamp).and_then(|found| found.modified());
        modified.unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let newest = states.max_by_key(age).expect("a state");
    newest.with_file_name("apt.conf")
}

fn apt(world: &World, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(world.path(""));
    ran(command.env("APT_CONFIG", apt_config()))
        .expect(0)
        .stdout
}

/// Every file below the host's own lists and caches of apt, with its age.
fn hosts_apt() -> BTreeMap<PathBuf, Option<SystemTime>> {
    let mut folders: Vec<PathBuf> = ["/var/lib/apt", "/var/cache/apt", "/etc/apt"]
        .map(PathBuf::from)
        .into();
    let mut found = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue; // not ours to read: then not ours to change
        };
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            let modified = fs::metadata(&path).and_then(|found| found.modified());
            found.insert(path, modified.ok());
        }
    }
    found
}

/// A repository with the content of the source package and one tag; its version.
fn repository(world: &World) -> String {
    let repository = world.repository("source");
    repository.write("debian/control", "");
    repository.release("none");
    // the front finds and verifies the files of the source package; there is no recipe for those
    let purl = format!("pkg:deb/debian/{PACKAGE}?arch=source");
    let version = version(world, &purl);
    let pinned = format!("{PACKAGE}={version}");
    let _ = apt(
        world,
        "apt-get",
        &["-qq", "source", "--download-only", &pinned],
    );
    fs::remove_dir_all(&repository.path).expect("a folder");
    let dsc = world.path(format!("{PACKAGE}_{version}.dsc"));
    let mut unpack = Command::new("dpkg-source");
    let unpack = unpack.args(["--no-check", "-x"]).arg(&dsc);
    let _ = ran(unpack.arg(&repository.path)).expect(0);
    let mut date = Command::new("dpkg-parsechangelog");
    let date = ran(date.args(["-S", "Date"]).current_dir(&repository.path)).expect(0);
    repository.git(["init", "-q", "-b", "main"]);
    repository.git(["add", "-A", "-f"]);
    let mut commit = Command::new("git");
    commit.arg("-C").arg(&repository.path);
    commit.args(["-c", "user.name=test", "-c", "user.email=test@example.org"]);
    commit.args(["commit", "-q", "-m", "release"]);
    commit
        .env("GIT_AUTHOR_DATE", date.stdout.trim())
        .env("GIT_COMMITTER_DATE", date.stdout.trim());
    let _ = ran(&mut commit).expect(0);
    repository.git(["tag", &tag_of(&version)]);
    version
}

/// As DEP-14 writes it.
fn tag_of(version: &str) -> String {
    format!("debian/{}", version.replace(':', "%").replace('~', "_"))
}

/// The newest version whose source the archive has. The first question makes the private state.
fn version(world: &World, purl: &str) -> String {
    let asked = rebuild(world, "none", &format!("{purl}&distro=none")).expect(5);
    assert!(asked.stdout.contains("apt"), "{asked:#?}"); // no such release: nothing is trusted
    let _ = rebuild(world, "none", purl).expect(2); // no version is called so
    let listed = apt(world, "apt-cache", &["showsrc", PACKAGE]);
    let mut versions = listed.lines().filter_map(|l| l.strip_prefix("Version: "));
    let version = versions.next_back().expect("a version").to_owned();
    let pinned = purl.replace('?', &format!("@{version}?"));
    let ran = rebuild(world, "none", &pinned).expect(3);
    let artifacts = ran.json()["artifacts"].clone();
    let names = artifacts.as_array().expect("a list").iter();
    let names: Vec<&str> = names.filter_map(|a| a["name"].as_str()).collect();
    assert!(names.iter().any(|name| name.ends_with(".dsc")), "{names:?}");
    assert!(names.len() >= 2, "{names:?}");
    version
}

#[test]
fn a_package_is_reproduced_and_a_tampered_one_is_not() {
    let world = World::new();
    let before = hosts_apt();
    let version = repository(&world);
    let tag = tag_of(&version);
    let purl = format!("pkg:deb/debian/{PACKAGE}");
    let json = rebuild(&world, &tag, &purl).expect(0).json();
    let artifact = &json["artifacts"][0];
    assert_eq!(artifact["verdict"], "reproduced", "{json:#}");
    assert_eq!(
        artifact["rebuilt"][0], artifact["rebuilt"][1],
        "two builds agree"
    );
    // the environment is recorded down to packages, versions and digests
    let environment = &json["attempts"][0]["candidate"]["environment"];
    assert_eq!(environment["kind"], "debian", "{environment:#}");
    let packages = environment["packages"].as_array().expect("a list");
    assert!(packages.len() > 50 && environment["root"].is_string());
    let complete = |package: &serde_json::Value| {
        ["name", "version", "architecture", "sha256"]
            .iter()
            .all(|field| package[field].is_string())
    };
    assert!(packages.iter().all(complete));
    // files have the times of the archive's source package, which taint nothing
    let times = &json["attempts"][0]["candidate"]["steps"][0]["argv"][3];
    assert_eq!(times["origin"], "registry", "{json:#}");
    assert_eq!(hosts_apt(), before, "the host's apt was touched");

    let _ = apt(&world, "apt-get", &["-qq", "download", PACKAGE]);
    let name = artifact["name"].as_str().expect("a name");
    let (published, tampered) = (world.path(name), world.path("tampered"));
    let mut unpack = Command::new("dpkg-deb");
    let _ = ran(unpack.arg("-R").arg(&published).arg(world.path("x"))).expect(0);
    let file = world.path("x/usr/share/distro-info/debian.csv");
    let text = fs::read_to_string(&file).expect("a table");
    fs::write(&file, text.replacen("Buzz", "Bizz", 1)).expect("a table");
    fs::create_dir(&tampered).expect("a folder");
    let mut pack = Command::new("dpkg-deb");
    pack.args(["--root-owner-group", "-b"]).arg(world.path("x"));
    let _ = ran(pack.arg(tampered.join(name))).expect(0);
    let tampered = tampered.join(name);
    let ran = rebuild(&world, &tag, tampered.to_str().expect("UTF-8"));
    let artifact = &ran.json()["artifacts"][0];
    assert_eq!(artifact["verdict"], "differs", "{artifact:#}");
    let causes = artifact["causes"].to_string();
    assert!(causes.contains("debian.csv"), "{artifact:#}");
}

/// A build of a packaging that runs whatever a stranger wants, in a root of its own.
#[test]
fn what_a_packaging_needs_and_nobody_has_is_said() {
    let world = World::new();
    let repository = world.repository("source");
    let control = "Source: odd\nBuild-Depends: no-such-package-anywhere (= 1)\n\nPackage: odd\nArchitecture: all\n";
    repository.write("debian/control", control);
    let log = "odd (1.0) bookworm; urgency=low\n\n  * x\n\n -- a <a@example.org>  Mon, 01 Jan 2024 00:00:00 +0000\n";
    repository.write("debian/changelog", log);
    repository.release("1.0");
    let published = format!("odd_1.0_all.deb=sha256:{}", "0".repeat(64));
    let json = rebuild(&world, "1.0", &published).expect(3).json();
    let artifact = &json["artifacts"][0];
    assert_eq!(artifact["reason"], "toolchain-unavailable", "{json:#}");
    let detail = artifact["detail"].as_str().expect("words");
    assert!(detail.contains("no-such-package-anywhere"), "{detail}");
}
