//! What stands in a repository's objects, and where it says that they are.

use std::fs;
use std::os::unix::fs::symlink;

use super::{ENTRY, RECIPE, Trap, honest, program};

/// Parts of a repository that lie elsewhere: git follows them, we say so and stop.
#[test]
fn parts_that_lie_elsewhere_are_refused() {
    let trap = Trap::new();
    let repository = honest(&trap, b"content\n");
    repository.commit("first");
    repository.tag("v1");
    let git_folder = trap.world.path("x/.git");
    let world = &trap.world;
    world.write(
        "gitfile/.git",
        format!("gitdir: {}\n", git_folder.display()),
    );
    fs::create_dir(world.path("linked")).expect("a folder");
    symlink(&git_folder, world.path("linked/.git")).expect("a link");
    symlink(world.path("x"), world.path("itself")).expect("a link");
    let borrowing = world.path("alternates").display().to_string();
    let _ = program(
        &repository.path,
        "git",
        &["clone", "-q", "--shared", ".", &borrowing],
    )
    .expect(0);
    for (name, says) in [
        ("linked", "a link or a file"),
        ("gitfile", "a link or a file"),
        ("alternates", "borrows objects"),
        ("itself", "a link to one is not followed"),
    ] {
        let found = program(&world.path(name), "git", &["rev-parse", "v1^{tree}"]);
        assert_eq!(found.code, Some(0), "control arm: {name}: {found:#?}");
        let arguments = [
            "rebuild",
            "--source",
            name,
            "--tag",
            "v1",
            "--published",
            "p/x.txt",
            "--recipe",
            "build.yaml",
        ];
        let ran = world.run(arguments).expect(2);
        assert!(ran.stderr.contains(says), "{name}: {ran:#?}");
        world.configure(&ENTRY.replace("./x", &format!("./{name}")));
        let once = world.run(["daemon", "--once"]).expect(5);
        assert!(once.stderr.contains(says), "{name}: {once:#?}");
    }
    assert!(fs::read_dir(world.path("data/attestations")).map_or(0, Iterator::count) == 0);
}

/// git can be told to show other objects than those that are named: the name is what is signed.
#[test]
fn replaced_objects_are_not_obeyed() {
    let trap = Trap::new();
    let repository = honest(&trap, b"content\n");
    let good = repository.commit("first");
    repository.tag("v1");
    repository.write("file", "another content\n");
    let evil = repository.commit("second");
    repository.git(&["replace", &good, &evil]);
    let shown = program(&repository.path, "git", &["show", "v1:file"]).stdout;
    assert_eq!(shown, "another content\n", "control arm");
    let json = trap.check("p/x.txt", "build.yaml", 0, "reproduced", None);
    assert_eq!(json["release"]["commit"], good, "{json:#}");
}

#[test]
fn a_submodule_is_not_fetched_and_its_absence_is_told() {
    let trap = Trap::new();
    let repository = honest(&trap, b"content\n");
    let canary = trap.canary().display().to_string();
    let modules = format!("[submodule \"s\"]\n\tpath = s\n\turl = ext::sh -c touch% {canary}\n");
    repository.write(".gitmodules", modules);
    let commit = repository.commit("first");
    repository.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("160000,{commit},s"),
    ]);
    repository.git(&["commit", "-q", "-m", "second"]);
    repository.tag("v1");
    program(
        &repository.path,
        "git",
        &[
            "-c",
            "protocol.ext.allow=always",
            "submodule",
            "update",
            "--init",
        ],
    );
    trap.sprung("git submodule update");

    // what does not need the submodule can still be reproduced; what differs may be the submodule's
    trap.check("p/x.txt", "build.yaml", 0, "reproduced", None);
    repository.write(
        "build.sh",
        "mkdir out\ntar -cf out/x.txt --mtime=@0 --owner=0 --group=0 file s\n",
    );
    repository.git(&["add", "build.sh"]);
    repository.git(&["commit", "-q", "-m", "third"]);
    repository.git(&["tag", "-f", "v1"]);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_dir("s", &repository.path).expect("a member");
    trap.world
        .write("p/x.txt", archive.into_inner().expect("a tar"));
    trap.check(
        "p/x.txt",
        "build.yaml",
        3,
        "indeterminate",
        Some("source-incomplete"),
    );
}

#[test]
fn trees_with_names_that_must_not_be_written_are_refused() {
    let trap = Trap::new();
    let repository = honest(&trap, b"content\n");
    repository.commit("first");
    let program_file = repository.raw_object("blob", b"#!/bin/sh\n");
    let hooks = repository.raw_tree(&[("100755", b"post-checkout", &program_file)]);
    for name in [
        &b".GIT"[..],
        b".git",
        b"..",
        b".",
        b"../../canary",
        b"git~1",
        b"",
        b"a/b",
    ] {
        let tree = repository.raw_tree(&[("40000", name, &hooks)]);
        let commit = repository.raw_commit(&tree);
        repository.write(".git/refs/tags/v1", format!("{commit}\n"));
        let listed = program(&repository.path, "git", &["cat-file", "-t", "v1^{tree}"]);
        assert_eq!(
            listed.stdout.trim(),
            "tree",
            "control arm: git has it: {listed:#?}"
        );
        let ran = trap.rebuild("p/x.txt", "build.yaml", &[]).expect(2);
        assert!(
            ran.stderr.contains("is not acceptable"),
            "{}: {ran:#?}",
            name.escape_ascii()
        );
    }
    assert!(!trap.world.path("out").exists());
}

/// A link of the tree is built as a link, and leads nowhere: not for a build, not for us.
#[test]
fn links_lead_nowhere() {
    let trap = Trap::new();
    let repository = honest(&trap, b"content\n");
    let secret = trap.world.write("secret/x.txt", "a secret of the host\n");
    trap.world.write(
        "secret/package.json",
        r#"{"name":"secret","version":"1.0.0"}"#,
    );
    for (name, target) in [
        ("link", secret.as_path()),
        ("folder", secret.parent().expect("a folder")),
        ("shadow", "/etc/shadow".as_ref()),
        ("up", "../../../../../../../..".as_ref()),
    ] {
        symlink(target, repository.path.join(name)).expect("a link");
    }
    symlink("folder/package.json", repository.path.join("package.json")).expect("a link");
    repository.write("build.sh", "mkdir out\ncat link folder/x.txt shadow > out/x.txt 2>/dev/null\nls up/home up/root >> out/x.txt 2>/dev/null\ntrue\n");
    repository.commit("first");
    repository.tag("v1");
    let seen = fs::read_to_string(repository.path.join("folder/x.txt")).expect("control arm");
    assert_eq!(seen, "a secret of the host\n");

    trap.world.write("p/x.txt", "");
    trap.check("p/x.txt", "build.yaml", 0, "reproduced", None); // nothing was read
    for (output, says) in [
        ("link", "link is a symbolic link"),
        ("shadow", "shadow is a symbolic link"),
        ("folder/x.txt", "folder is a symbolic link on the way"),
        ("folder/*", "folder is a symbolic link on the way"),
        ("up/etc/passwd", "up is a symbolic link on the way"),
    ] {
        trap.world
            .write("build.yaml", RECIPE.replace("out/x.txt", output));
        let json = trap.check(
            "secret/x.txt",
            "build.yaml",
            3,
            "build-failed",
            Some("output-rejected"),
        );
        assert!(
            json["attempts"][0]["outcome"].to_string().contains(says),
            "{output}: {json:#}"
        );
    }
    // a folder of the tree that is a link is no place to build in, and no place to look for a manifest
    trap.world
        .write("build.yaml", format!("{RECIPE}subdir: folder\n"));
    let ran = trap.rebuild("secret/x.txt", "build.yaml", &[]);
    assert!([Some(2), Some(3)].contains(&ran.code), "{ran:#?}");
    repository.tag("v1.0.0");
    trap.check("secret/x.txt", "npm", 3, "indeterminate", Some("no-recipe"));
}

/// Names that tools take for options, lines or text in another encoding are names.
#[test]
fn strange_names_of_files_are_built() {
    let trap = Trap::new();
    let repository = honest(&trap, b"content\n");
    let blob = repository.raw_object("blob", b"strange\n");
    let build = repository.raw_object("blob", b"mkdir out; for f in ./*; do test -f \"$f\" && cat \"$f\"; done | grep -c strange > out/x.txt\n");
    let tree = repository.raw_tree(&[
        ("100644", b"\x1b[2J", &blob),
        ("100644", b"$(touch canary)", &blob),
        ("100644", b"--checkpoint-action=exec=sh", &blob),
        ("100644", b"-rf", &blob),
        ("100644", b"a\nb", &blob),
        ("100644", b"build.sh", &build),
        ("100644", b"\xff\xfe", &blob),
    ]);
    let commit = repository.raw_commit(&tree);
    repository.write(".git/refs/tags/v1", format!("{commit}\n"));
    // the build's own file holds the word too
    trap.world.write("p/x.txt", "7\n");
    let json = trap
        .rebuild("p/x.txt", "build.yaml", &["--format", "json"])
        .json();
    assert_eq!(json["artifacts"][0]["verdict"], "reproduced", "{json:#}");
    // as outputs, names that cannot be told are refused with words that a terminal can take
    trap.world
        .write("build.yaml", RECIPE.replace("out/x.txt", "'*'"));
    let json = trap.check(
        "p/x.txt",
        "build.yaml",
        3,
        "build-failed",
        Some("output-rejected"),
    );
    let outcome = json["attempts"][0]["outcome"].to_string();
    assert!(outcome.contains("cannot be attested"), "{json:#}");
    let text = trap
        .rebuild("p/x.txt", "build.yaml", &["--explain"])
        .expect(3)
        .stdout;
    assert!(
        !text.chars().any(|c| c.is_control() && c != '\n'),
        "{text:?}"
    );
}
