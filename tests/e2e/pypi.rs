//! Promise: what real projects published on a Python package index comes out of their source again,
//! sdist and wheel, for three build backends; and a file that was tampered with does not.
//!
//! The source is what the sdist holds, as a git repository whose commit has the date that the sdist
//! bears. Published files and build tools come through the registry's own client and the mirror.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_tests::{COMMIT_SECONDS, Ran, Repository, World, ran};
use serde_json::{Value, json};

/// Changes the first byte of the longest member of an archive, and nothing else of it.
const TAMPER: &str = r#"
import gzip, io, sys, tarfile, zipfile
source, target = sys.argv[1:]
def changed(data):
    return bytes([data[0] ^ 1]) + data[1:]
if source.endswith(".whl"):
    old = zipfile.ZipFile(source)
    chosen = max(old.infolist(), key=lambda member: member.file_size).filename
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            data = old.read(member)
            new.writestr(member, changed(data) if member.filename == chosen else data)
else:
    old = tarfile.open(source)
    chosen = max(old.getmembers(), key=lambda member: member.size).name
    with open(target, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w") as new:
            for member in old.getmembers():
                data = old.extractfile(member).read() if member.isfile() else b""
                data = changed(data) if member.name == chosen else data
                new.addfile(member, io.BytesIO(data) if member.isfile() else None)
"#;

/// Unpacks an sdist without what its backend wrote into it, and prints the latest date in it.
const UNPACK: &str = r#"
import os, sys, tarfile
source, target = sys.argv[1:]
with tarfile.open(source) as sdist:
    print(int(max(member.mtime for member in sdist)))
    for member in sdist:
        member.name = member.name.split("/", 1)[1]
        if member.isfile() and member.name != "PKG-INFO":
            sdist.extract(member, target)
"#;

/// Dates that backends write where nobody set one: then the commit may have any.
const NO_DATE: [&str; 3] = ["0", "1451606400", "1580601600"];

fn python(arguments: &[&str]) -> Ran {
    ran(Command::new("python3").args(arguments)).expect(0)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Downloads a release by the registry's client.
fn download(world: &World, project: &str, version: &str) -> Vec<PathBuf> {
    let folder = world.path("published");
    for only in ["--no-binary", "--only-binary"] {
        let requirement = format!("{project}=={version}");
        let _ = python(&[
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            only,
            ":all:",
            "--dest",
            text(&folder),
            &requirement,
        ]);
    }
    let files = fs::read_dir(folder).expect("downloads");
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    files.sort_by_key(|path| path.extension().is_some_and(|end| end == "whl"));
    assert_eq!(files.len(), 2, "{files:?}");
    files
}

/// A repository with the content of an sdist and one tag, of the date that the sdist bears.
fn repository(world: &World, sdist: &Path, tag: &str) {
    let repository = world.repository("source");
    let date = python(&["-c", UNPACK, text(sdist), text(&repository.path)]);
    let date = match date.stdout.trim() {
        constant if NO_DATE.contains(&constant) => COMMIT_SECONDS,
        date => date.parse().expect("seconds"),
    };
    repository.git(["add", "-A", "-f"]);
    let when = format!("{date} +0000");
    let mut commit = Command::new("git");
    commit.arg("-C").arg(&repository.path);
    commit.args(["-c", "user.name=test", "-c", "user.email=test@example.org"]);
    commit.args(["commit", "-q", "-m", tag]);
    commit
        .env("GIT_AUTHOR_DATE", &when)
        .env("GIT_COMMITTER_DATE", &when);
    let _ = ran(&mut commit).expect(0);
    repository.git(["tag", tag]);
}

fn rebuild(world: &World, tag: &str, published: &str) -> Ran {
    world.run([
        "rebuild",
        "--source",
        "source",
        "--tag",
        tag,
        "--published",
        published,
        "--recipe",
        "pypi",
        "--format",
        "json",
    ])
}

#[track_caller]
pub(crate) fn reproduced(project: &str, version: &str) -> World {
    let (world, json) = rebuilt(project, version, 0);
    for artifact in json["artifacts"].as_array().expect("a list") {
        assert_eq!(artifact["verdict"], "reproduced", "{json:#}");
    }
    world
}

/// Rebuilds sdist and wheel of a release from what its sdist holds.
#[track_caller]
fn rebuilt(project: &str, version: &str, exit: i32) -> (World, Value) {
    let world = World::new();
    let files = download(&world, project, version);
    repository(&world, &files[0], version);
    let purl = format!("pkg:pypi/{project}");
    let json = rebuild(&world, version, &purl).expect(exit).json();
    let artifacts = json["artifacts"].as_array().expect("a list");
    assert_eq!(artifacts.len(), 2, "{json:#}");
    for (artifact, file) in artifacts.iter().zip(files.iter().rev()) {
        let name = file.file_name().expect("a name").to_str();
        assert_eq!(artifact["name"].as_str(), name);
    }
    (world, json)
}

#[test]
fn a_project_of_flit_is_reproduced_and_tampered_files_differ() {
    let world = reproduced("itsdangerous", "2.2.0");
    for file in fs::read_dir(world.path("published")).expect("downloads") {
        let file = file.expect("a file");
        fs::create_dir_all(world.path("tampered")).expect("a folder");
        let tampered = world.path("tampered").join(file.file_name());
        let _ = python(&["-c", TAMPER, text(&file.path()), text(&tampered)]);
        let json = rebuild(&world, "2.2.0", text(&tampered)).expect(1).json();
        assert_eq!(json["artifacts"][0]["verdict"], "differs", "{json:#}");
        assert_eq!(
            json["artifacts"][0]["reason"], "content-differs",
            "{json:#}"
        );
    }
    dated_by_its_publisher(&world);
}

/// Packed on a day of the publisher's own choice: that one value is copied, and said.
#[track_caller]
fn dated_by_its_publisher(world: &World) {
    let source = Repository {
        path: world.path("source"),
    };
    source.git(["commit", "-q", "--amend", "--no-edit"]); // at another time
    source.git(["tag", "-f", "2.2.0"]);
    let files = fs::read_dir(world.path("published")).expect("downloads");
    let wheel = files
        .map(|file| file.expect("a file").path())
        .find(|path| path.extension().is_some_and(|end| end == "whl"));
    let json = rebuild(world, "2.2.0", text(&wheel.expect("a wheel")));
    let json = json.expect(1).json();
    let artifact = &json["artifacts"][0];
    assert_eq!(artifact["verdict"], "assisted", "{json:#}");
    assert_eq!(artifact["assisted_by"], json!(["epoch"]), "{json:#}");
}

#[test]
fn a_project_of_poetry_is_reproduced() {
    let _ = reproduced("rich", "14.2.0");
}

#[test]
fn a_project_of_hatchling_is_reproduced() {
    let _ = reproduced("annotated-types", "0.7.0");
}

/// It was packed without a date, so its members bear times that no repository holds: they are copied,
/// said, and nothing else is.
#[test]
fn a_project_whose_files_bear_times_of_a_checkout_is_assisted() {
    let (_, json) = rebuilt("packaging", "26.0", 1);
    for (artifact, kinds) in json["artifacts"]
        .as_array()
        .expect("a list")
        .iter()
        .zip([json!(["file-times"]), json!(["file-times", "metadata"])])
    {
        assert_eq!(artifact["verdict"], "assisted", "{json:#}");
        assert_eq!(artifact["assisted_by"], kinds, "{json:#}");
    }
}

/// A setup.py that runs whatever a stranger wants, here to leave a mark outside of its sandbox.
#[test]
fn a_setup_script_runs_in_the_sandbox_only() {
    let world = World::new();
    let mark = world.path("mark");
    let repository = world.repository("source");
    let script = format!(
        "import pathlib, setuptools, sys\ntry:\n    pathlib.Path({:?}).write_text('here')\nexcept OSError as error:\n    print('kept in:', error, file=sys.stderr)\nsetuptools.setup(name='odd', version='1.0', py_modules=[])\n",
        text(&mark)
    );
    repository.write("setup.py", &script);
    repository.release("1.0");
    // outside, it does leave its mark
    let mut outside = Command::new("/usr/bin/python3");
    let outside = outside.current_dir(world.path("")).args([
        "-c",
        &script
            .replace("setuptools, ", "")
            .replace("setuptools.setup", "dict"),
    ]);
    let _ = ran(outside).expect(0);
    assert!(mark.exists());
    fs::remove_file(&mark).expect("a mark");
    let published = format!("odd-1.0.tar.gz=sha256:{}", "0".repeat(64));
    let json = rebuild(&world, "1.0", &published).expect(3).json();
    let artifact = &json["artifacts"][0];
    assert_eq!(artifact["reason"], "digest-only", "{json:#}");
    assert_eq!(
        artifact["rebuilt"][0], artifact["rebuilt"][1],
        "two builds agree"
    );
    assert!(!mark.exists());
}
