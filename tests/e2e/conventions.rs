//! Promise: without being told how, countersign builds what a Makefile builds, packs what git packs, and
//! says what came out of each file of a release; and nobody is accused on a guess at a compiler.
//!
//! Published files are made elsewhere than the sandbox builds, by the same programs. Autotools, CMake and
//! Go have unit tests only.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use countersign_tests::{Ran, Repository, World, ran};
use serde_json::{Value, json};

const MAKEFILE: &str = "CFLAGS = -O2 -Wall
all: tool libtool.a
tool: tool.o libtool.a
\t$(CC) $(CFLAGS) -o $@ tool.o libtool.a
libtool.a: part.o
\t$(AR) rcs $@ part.o
dist:
\tmkdir tool-1.0.0
\tcp tool.c part.c Makefile tool-1.0.0
\techo 1.0.0 > tool-1.0.0/VERSION
\ttar -cf - --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX tool-1.0.0 | gzip -9n > tool-1.0.0.tar.gz
";

/// A project in C with a program and a library.
fn project(world: &World) -> Repository {
    let repository = world.repository("source");
    repository.write("Makefile", MAKEFILE);
    repository.write(
        "tool.c",
        "#include <stdio.h>\nint part(void);\nint main(void) { printf(\"%d\\n\", part()); }\n",
    );
    repository.write("part.c", "int part(void) { return 42; }\n");
    repository.write("run.sh", "#!/bin/sh\n");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(repository.path.join("run.sh"), executable).expect("a mode");
    std::os::unix::fs::symlink("tool.c", repository.path.join("link")).expect("a link");
    repository.release("v1.0.0");
    repository
}

/// A checkout of a publisher, in which this is run.
fn publisher(world: &World, script: &str) -> PathBuf {
    let checkout = world.path("elsewhere/of/a/publisher");
    let _ = fs::remove_dir_all(&checkout);
    let source = world.path("source");
    let mut git = Command::new("git");
    let _ = ran(git.args(["clone", "-q"]).arg(source).arg(&checkout)).expect(0);
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", script]).current_dir(&checkout);
    let _ = ran(shell.env("TZ", "Pacific/Chatham")).expect(0);
    checkout
}

/// Puts a file of the publisher where published ones are.
fn publish(world: &World, checkout: &std::path::Path, built: &str, published: &str) {
    let bytes = fs::read(checkout.join(built)).expect("what the publisher made");
    world.write(format!("p/{published}"), bytes);
}

fn rebuild(world: &World, published: &[&str]) -> Ran {
    let mut arguments = ["rebuild", "--source", "source", "--tag", "v1.0.0"]
        .map(str::to_owned)
        .to_vec();
    for name in published {
        arguments.extend(["--published".to_owned(), format!("p/{name}")]);
    }
    arguments.extend(["--format".to_owned(), "json".to_owned()]);
    world.run(arguments)
}

fn verdicts(json: &Value) -> Vec<(&str, &str)> {
    let artifacts = json["artifacts"].as_array().expect("a list").iter();
    let text = |artifact: &'_ Value, key| artifact[key].as_str().map(str::to_owned);
    artifacts
        .map(|artifact| {
            assert!(text(artifact, "name").is_some());
            let verdict = artifact["verdict"].as_str().unwrap_or_default();
            (verdict, artifact["reason"].as_str().unwrap_or_default())
        })
        .collect()
}

#[test]
fn several_files_of_a_release_come_out_of_one_run_and_share_a_build() {
    let world = World::new();
    project(&world);
    let pack = "git archive --format=tar.gz --prefix=tool-1.0.0/ -o tool.tar.gz HEAD";
    let checkout = publisher(&world, &format!("make\n{pack}"));
    publish(&world, &checkout, "tool", "tool-1.0.0-linux-amd64");
    publish(&world, &checkout, "libtool.a", "libtool.a");
    publish(&world, &checkout, "tool.tar.gz", "tool-1.0.0.tar.gz");
    let names = ["tool-1.0.0-linux-amd64", "libtool.a", "tool-1.0.0.tar.gz"];
    let json = rebuild(&world, &names).expect(0).json();
    assert_eq!(verdicts(&json), [("reproduced", ""); 3], "{json:#}");
    let attempts = json["attempts"].as_array().expect("a list");
    let mut plans: Vec<&Value> = attempts.iter().map(|attempt| &attempt["plan"]).collect();
    plans.dedup();
    assert_eq!(plans.len(), 2, "one build for two files: {json:#}");
}

#[test]
fn a_program_of_another_source_differs() {
    let world = World::new();
    project(&world);
    let checkout = publisher(&world, "sed -i s/42/43/ part.c\nmake");
    publish(&world, &checkout, "tool", "tool");
    let json = rebuild(&world, &["tool"]).expect(1).json();
    assert_eq!(
        verdicts(&json),
        [("differs", "content-differs")],
        "{json:#}"
    );
}

/// The same once nothing in the file says what compiled it: it may have been anything.
#[test]
fn a_program_that_does_not_name_its_compiler_accuses_nobody() {
    let world = World::new();
    project(&world);
    let checkout = publisher(
        &world,
        "sed -i s/42/43/ part.c\nmake\nobjcopy -R .comment tool",
    );
    publish(&world, &checkout, "tool", "tool");
    let json = rebuild(&world, &["tool"]).expect(3).json();
    let expected = [("indeterminate", "toolchain-unavailable")];
    assert_eq!(verdicts(&json), expected, "{json:#}");
    let detail = json["artifacts"][0]["detail"].to_string();
    assert!(detail.contains("nothing in the file says"), "{detail}");
}

#[test]
fn a_release_archive_is_what_the_rule_packs() {
    let world = World::new();
    project(&world);
    let checkout = publisher(&world, "make dist");
    publish(&world, &checkout, "tool-1.0.0.tar.gz", "tool-1.0.0.tar.gz");
    let json = rebuild(&world, &["tool-1.0.0.tar.gz"]).expect(0).json();
    assert_eq!(verdicts(&json), [("reproduced", "")], "{json:#}");
    assert_eq!(json["attempts"][0]["way"], "make dist", "{json:#}");
}

/// A file that is in the archive and in no source is what to look at first.
#[test]
fn an_archive_with_a_file_more_differs_and_names_it() {
    let world = World::new();
    project(&world);
    let pack = "git archive --format=tar --prefix=tool-1.0.0/ -o tool.tar HEAD\n\
        mkdir tool-1.0.0\necho 'echo more' > tool-1.0.0/more.sh\n\
        tar -rf tool.tar tool-1.0.0/more.sh\ngzip -n tool.tar";
    let checkout = publisher(&world, pack);
    publish(&world, &checkout, "tool.tar.gz", "tool-1.0.0.tar.gz");
    let json = rebuild(&world, &["tool-1.0.0.tar.gz"]).expect(1).json();
    assert_eq!(
        verdicts(&json),
        [("differs", "content-differs")],
        "{json:#}"
    );
    let said = json["artifacts"][0].to_string();
    assert!(said.contains("more.sh"), "{said}");
}

/// What a forge offers is packed by gzip, into a folder that is called after the repository.
#[test]
fn an_archive_of_a_forge_is_reproduced_whatever_its_name() {
    let world = World::new();
    project(&world);
    for (packing, end) in [("gzip -cn", "tar.gz"), ("xz", "tar.xz"), ("cat", "tar")] {
        let pack = format!("git archive --prefix=source-1.0.0/ HEAD | {packing} > a");
        let checkout = publisher(&world, &pack);
        let name = format!("v1.0.0.{end}");
        publish(&world, &checkout, "a", &name);
        let json = rebuild(&world, &[&name]).expect(0).json();
        assert_eq!(verdicts(&json), [("reproduced", "")], "{json:#}");
    }
}

#[test]
fn a_tree_that_nothing_is_known_of_says_what_to_configure() {
    let world = World::new();
    let repository = world.repository("source");
    repository.write("README", "nothing to see\n");
    repository.release("v1.0.0");
    world.write("p/picture", "no program\n");
    let json = rebuild(&world, &["picture"]).expect(3).json();
    assert_eq!(
        verdicts(&json),
        [("indeterminate", "no-recipe")],
        "{json:#}"
    );
    assert_eq!(json["attempts"], json!([]));
    let detail = json["artifacts"][0]["detail"].to_string();
    assert!(detail.contains("configure the steps"), "{detail}");
}
