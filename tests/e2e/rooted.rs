//! Promise: a build runs in a root file system that the operator gives as a folder or as a tar, named by its
//! digest; one that could lead elsewhere is refused before anything runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_tests::{World, ran};
use tar::{EntryType, Header};

/// The one program of the root: copies a file in capitals, or says whether one is there.
const PROGRAM: &str = r#"#include <ctype.h>
#include <stdio.h>
int main(int n, char **v) {
  if (n == 2) { FILE *f = fopen(v[1], "r"); puts(f ? "there" : "not there"); return !f; }
  FILE *from = fopen(v[1], "r"), *to = fopen(v[2], "w");
  int c;
  if (!from || !to) return 1;
  while ((c = fgetc(from)) != EOF) fputc(toupper(c), to);
  return fclose(to) != 0;
}
"#;

/// A program that needs nothing else, and its path.
fn program(world: &World) -> PathBuf {
    let program = world.path("program");
    if program.exists() {
        return program;
    }
    let source = world.write("program.c", PROGRAM);
    let _ = ran(Command::new("cc")
        .args(["-static", "-Os", "-o"])
        .arg(&program)
        .arg(&source))
    .expect(0);
    program
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header
}

/// Writes a root as a tar, with entries of the caller's at its end.
fn tar(world: &World, name: &str, more: &[(EntryType, &str, &str)]) -> PathBuf {
    let program = fs::read(program(world)).expect("the program");
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |kind, mode, path: &str, content: &[u8]| {
        let mut header = header(kind, mode, content.len() as u64);
        // as it is: the library would refuse what is hostile
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        tar.append(&header, content).expect("an entry");
    };
    add(EntryType::Directory, 0o755, "./usr/", b"");
    add(EntryType::Directory, 0o755, "./etc/", b"");
    add(EntryType::Regular, 0o755, "./usr/bin/copy", &program);
    add(EntryType::Regular, 0o644, "./etc/of-the-root", b"x");
    for (kind, path, target) in more {
        let mut header = header(*kind, 0o777, 0);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_link_name_literal(target).expect("a target");
        header.set_cksum();
        tar.append(&header, std::io::empty()).expect("an entry");
    }
    world.write(name, tar.into_inner().expect("a tar"))
}

fn sha256sum(path: &Path) -> String {
    let sum = ran(Command::new("sha256sum").arg(path)).expect(0).stdout;
    sum.split(' ').next().expect("a digest").to_owned()
}

#[test]
fn a_build_runs_in_the_root_of_a_tar_and_of_a_folder_alike() {
    let world = World::new();
    let tar = tar(&world, "root.tar", &[]);
    let folder = world.path("root");
    fs::create_dir(&folder).expect("a folder");
    let _ = ran(Command::new("tar")
        .arg("-xf")
        .arg(&tar)
        .arg("-C")
        .arg(&folder))
    .expect(0);
    // a command of the operator's
    let mut names = Vec::new();
    for env in [&tar, &folder] {
        let run = |path: &str| {
            let env = env.display().to_string();
            world.run(["sandbox", "run", "--env", &env, "--", "copy", path])
        };
        let seen = run("/etc/of-the-root").expect(0);
        assert_eq!(seen.stdout, "there\n");
        let name = seen.stderr.lines().find(|l| l.starts_with("environment"));
        names.push(name.expect("what it ran in").to_owned());
        // nothing of this machine: it is there for whoever runs in `host`
        assert_eq!(run("/usr/bin/env").expect(1).stdout, "not there\n");
    }
    assert_eq!(names[0], names[1], "one root, two forms");
    let _ = world
        .run(["sandbox", "run", "--", "cat", "/usr/bin/env"])
        .expect(0);
    // a rebuild, by the digest of the tar
    let repository = world.repository("copied");
    repository.write("in", "what is copied\n");
    repository.release("v1");
    world.write("out", "WHAT IS COPIED\n");
    let recipe = format!(
        "root: {}\nsteps: [[copy, in, out]]\noutputs: [out]\n",
        sha256sum(&tar)
    );
    world.write("build.yaml", recipe);
    let rebuild = |more: &[&str]| {
        let words = [
            "rebuild",
            "--source",
            "copied",
            "--tag",
            "v1",
            "--published",
            "out",
            "--recipe",
            "build.yaml",
            "--format",
            "json",
            "--cache",
            "kept",
        ];
        world.run(words.iter().chain(more))
    };
    let missing = rebuild(&[]).expect(2);
    assert!(missing.stderr.contains("root file system"), "{missing:#?}");
    for time in ["unpacked", "kept"] {
        let json = rebuild(&["--root", "root.tar"]).expect(0).json();
        assert_eq!(json["artifacts"][0]["verdict"], "reproduced", "{time}");
    }
    // what the root lacks is void, and nothing else keeps it from being varied
    let json = rebuild(&["--root", "root.tar", "--vary"]).expect(0).json();
    let varied = &json["variations"][0];
    assert_eq!(varied["result"], "robust", "{varied:#}");
    for (name, outcome) in [("shell", "VOID"), ("locale", "VOID"), ("umask", "STABLE")] {
        let mut all = varied["variations"].as_array().expect("a list").iter();
        let one = all.find(|one| one["name"] == name).expect(name);
        assert_eq!(one["outcome"], outcome, "{name}: {varied:#}");
    }
    // one that was changed meanwhile is not used any more
    let kept = fs::read_dir(world.path("kept/environments")).expect("what is kept");
    let kept: Vec<_> = kept.map(|entry| entry.expect("an entry").path()).collect();
    let [kept] = kept.as_slice() else {
        panic!("unpacked once: {kept:?}");
    };
    fs::write(kept.join("usr/bin/copy"), "").expect("a change");
    let json = rebuild(&["--root", "root.tar"]).expect(0).json();
    assert_eq!(json["artifacts"][0]["verdict"], "reproduced");
}

#[test]
fn a_tar_that_could_lead_elsewhere_is_refused_before_anything_runs() {
    let world = World::new();
    let outside = world.path("outside");
    for (number, (kind, path, target, expected)) in [
        (EntryType::Char, "./dev/null", "", "is a device"),
        (EntryType::Symlink, "./proc", "/etc", "proc in"),
        (EntryType::Symlink, "./dev", "usr", "dev in"),
        (EntryType::Directory, "./dev/pts/", "", "dev/pts in"),
        (EntryType::Regular, "../outside", "", "leads out"),
        (EntryType::Regular, "/outside", "", "absolute"),
        (EntryType::Link, "./x", "../../outside", "leads out"),
        (EntryType::Fifo, "./run/pipe", "", "neither a file"),
        (EntryType::Symlink, "./opt", "/", "opt in"),
    ]
    .into_iter()
    .enumerate()
    {
        let tar = tar(&world, &format!("{number}.tar"), &[(kind, path, target)]);
        let env = tar.display().to_string();
        let refused = world.run(["sandbox", "run", "--env", &env, "--", "copy", "/"]);
        let refused = refused.expect(2);
        assert!(refused.stderr.contains(expected), "{path}: {refused:#?}");
        assert!(!outside.exists(), "{path}");
    }
    world.write("other", "no tar");
    let refused = world
        .run(["sandbox", "run", "--env", "other", "--", "x"])
        .expect(2);
    assert!(refused.stderr.contains("neither a tar"), "{refused:#?}");
}
