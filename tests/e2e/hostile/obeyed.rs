//! Files of a checkout that other programs obey: git's configuration, hooks and attributes, npm's and
//! cargo's settings.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use countersign_fixtures::registries::Registry;
use countersign_tests::ran;

use super::{ENTRY, RECIPE, Trap, honest, program};

#[test]
fn git_configuration() {
    let trap = Trap::new();
    let evil = trap.program();
    let repository = honest(&trap, b"content\n");
    repository.write(".gitattributes", "file filter=evil diff=evil\n");
    repository.write(
        "evil.gitconfig",
        format!("[core]\n\tfsmonitor = {}\n", evil.display()),
    );
    repository.commit("first");
    repository.tag("v1");
    trap.world.configure(ENTRY);
    fs::create_dir(trap.world.path("hooks")).expect("a folder");
    symlink(&evil, trap.world.path("hooks/post-checkout")).expect("a link");
    let good = fs::read_to_string(trap.world.path("x/.git/config")).expect("config");
    let (evil, hooks) = (
        evil.display(),
        trap.world.path("hooks").display().to_string(),
    );
    let checkout = &["checkout", "-q", "-f", "v1", "--", "file"][..];
    for (name, config, control) in [
        (
            "fsmonitor",
            format!("[core]\n\tfsmonitor = {evil}\n"),
            &["status"][..],
        ),
        (
            "hooksPath",
            format!("[core]\n\thooksPath = {hooks}\n"),
            &["checkout", "-q", "-f", "v1"],
        ),
        (
            "smudge",
            format!("[filter \"evil\"]\n\tsmudge = {evil}\n"),
            checkout,
        ),
        (
            "clean",
            format!("[filter \"evil\"]\n\tclean = {evil}\n"),
            &["add", "file"],
        ),
        (
            "include",
            "[include]\n\tpath = ../evil.gitconfig\n".to_owned(),
            &["status"],
        ),
        (
            "diff",
            format!("[diff \"evil\"]\n\ttextconv = {evil}\n"),
            &["show", "--textconv", "v1:file"],
        ),
        (
            "pager",
            format!("[core]\n\tpager = {evil}\n"),
            &["--paginate", "tag"],
        ),
    ] {
        repository.write(".git/config", format!("{good}{config}"));
        let _ = fs::remove_file(trap.world.path("x/file")); // so that git has to write it
        if name == "clean" {
            repository.write("file", "other\n");
        }
        if name == "pager" {
            // git starts a pager for a terminal only; `script` of util-linux makes one
            let line = format!("git -C {} --paginate tag", repository.path.display());
            program(&repository.path, "script", &["-qec", &line, "/dev/null"]);
        } else {
            program(&repository.path, "git", control);
        }
        trap.sprung(name);
        trap.check("p/x.txt", "build.yaml", 0, "reproduced", None);
    }
    let _ = trap.world.run(["daemon", "--once"]).expect(0);
    trap.quiet("daemon --once");
}

#[test]
fn hooks() {
    let trap = Trap::new();
    let evil = trap.program();
    let repository = honest(&trap, b"content\n");
    repository.commit("first");
    repository.tag("v1");
    for hook in [
        "post-checkout",
        "post-index-change",
        "reference-transaction",
        "post-update",
        "update",
    ] {
        let path = trap.world.path("x/.git/hooks").join(hook);
        let _ = fs::remove_file(&path); // a sample may be there
        symlink(&evil, path).expect("a hook");
    }
    program(&repository.path, "git", &["checkout", "-q", "v1"]);
    trap.sprung("git checkout");
    trap.world.configure(ENTRY);
    trap.check("p/x.txt", "build.yaml", 0, "reproduced", None);
    let _ = trap.world.run(["daemon", "--once"]).expect(0);
    trap.quiet("daemon --once");
}

/// What is built is what git stores, not what an attribute would make of it.
#[test]
fn attributes() {
    let trap = Trap::new();
    let raw = b"one\ntwo $Id$ $Format:%H$\n";
    let repository = honest(&trap, raw);
    repository.write("hidden", "hidden\n");
    repository.write(
        "build.sh",
        "mkdir out\n{ echo built; cat file hidden; } > out/x.txt\n",
    );
    repository.write(
        ".gitattributes",
        "file text eol=crlf ident export-subst\nhidden export-ignore\n",
    );
    repository.commit("first");
    repository.tag("v1");
    trap.world
        .write("p/x.txt", [b"built\n", &raw[..], b"hidden\n"].concat());

    let clone = trap.world.path("clone").display().to_string();
    let _ = program(&repository.path, "git", &["clone", "-q", ".", &clone]).expect(0);
    let cloned = fs::read_to_string(Path::new(&clone).join("file")).expect("a file");
    assert!(
        cloned.contains("one\r\n") && cloned.contains("$Id: "),
        "control arm: {cloned:?}"
    );
    let archive = program(&repository.path, "git", &["archive", "v1"])
        .expect(0)
        .stdout;
    assert!(
        !archive.contains("$Format") && !archive.contains("hidden\n\0"),
        "control arm"
    );

    trap.check("p/x.txt", "build.yaml", 0, "reproduced", None);
}

/// A package whose settings tell npm to run its scripts, to pack elsewhere, or not at all.
#[test]
fn npm_settings() {
    let trap = Trap::new();
    let (evil, canary) = (
        trap.program().display().to_string(),
        trap.canary().display().to_string(),
    );
    let repository = trap.repository();
    let elsewhere = trap.world.path("elsewhere");
    fs::create_dir(&elsewhere).expect("a folder");
    let manifest = format!(
        r#"{{"name":"x","version":"1.0.0","scripts":{{"prepack":"touch {canary}","prepare":"touch {canary}"}}}}"#
    );
    repository.write("package.json", manifest);
    repository.write("index.js", "module.exports = 1\n");
    let npm = |more: &[&str]| {
        program(
            &repository.path,
            "npm",
            &[&["pack", "--silent"], more].concat(),
        )
    };
    let _ = npm(&["--ignore-scripts"]).expect(0);
    fs::rename(
        trap.world.path("x/x-1.0.0.tgz"),
        trap.world.path("x-1.0.0.tgz"),
    )
    .expect("packed");
    trap.quiet("npm pack --ignore-scripts");

    let packs = |to: &Path| {
        let tarball = to.join("x-1.0.0.tgz");
        let packed = tarball.exists();
        let _ = fs::remove_file(tarball);
        packed
    };
    for (settings, here) in [
        (
            format!("ignore-scripts=false\nscript-shell={evil}\njson=true\nglobal=true\n"),
            true,
        ),
        ("dry-run=true\n".to_owned(), false),
        (format!("pack-destination={}\n", elsewhere.display()), false),
    ] {
        repository.write(".npmrc", &settings);
        let packed = npm(&[]);
        assert_eq!(
            packs(&repository.path),
            here,
            "control arm: {settings}: {packed:#?}"
        );
        let _ = packs(&elsewhere);
        trap.sprung(&settings);
        repository.commit("settings");
        repository.git(&["tag", "-f", "v1.0.0"]);
        trap.check("x-1.0.0.tgz", "npm", 0, "reproduced", None);
        assert!(!elsewhere.join("x-1.0.0.tgz").exists(), "{settings}");
    }
}

/// npm reads the settings of the folder that it stands in: we ask it from an empty one.
#[test]
fn npm_registry_of_a_checkout() {
    let trap = Trap::new();
    let (good, evil) = (
        Registry::start().expect("a server"),
        Registry::start().expect("a server"),
    );
    let repository = trap.repository();
    repository.write("package.json", r#"{"name":"x","version":"1.0.0"}"#);
    repository.write(".npmrc", format!("registry={}\n", evil.url()));
    repository.commit("first");
    repository.tag("v1.0.0");
    let settings = trap
        .world
        .write("user.npmrc", format!("registry={}\n", good.url()));
    let packed = program(&repository.path, "npm", &["pack", "--silent"]).expect(0);
    let tarball = fs::read(repository.path.join(packed.stdout.trim())).expect("a tarball");
    for registry in [&good, &evil] {
        registry.publish_npm("x", "1.0.0", &tarball);
    }
    let with_settings = |command: &mut std::process::Command| {
        for (name, _) in
            std::env::vars().filter(|(name, _)| name.to_lowercase() == "npm_config_registry")
        {
            command.env_remove(name);
        }
        ran(command
            .env("npm_config_userconfig", &settings)
            .current_dir(&repository.path))
    };
    let asked =
        with_settings(std::process::Command::new("npm").args(["config", "get", "registry"]));
    assert_eq!(asked.stdout.trim(), evil.url(), "control arm");

    let before = evil.requests(); // npm itself looks there for a newer npm

    let source = repository.path.display().to_string();
    let arguments = [
        "rebuild",
        "--source",
        &source,
        "--tag",
        "v1.0.0",
        "--published",
        "pkg:npm/x",
    ];
    let ran = with_settings(&mut trap.world.command(arguments)).expect(0);
    assert!(!good.requests().is_empty(), "{ran:#?}");
    assert_eq!(evil.requests(), before, "{ran:#?}");
}

/// cargo obeys a checkout's settings wherever it runs: so it runs in the sandbox.
#[test]
fn cargo_settings() {
    let trap = Trap::new();
    let repository = trap.repository();
    let wrapper = format!(
        "#!/bin/sh\ntouch {} 2>/dev/null\necho ran >> ${{MARK:-/dev/null}}\nexec \"$@\"\n",
        trap.canary().display()
    );
    repository.write("wrapper.sh", wrapper);
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(repository.path.join("wrapper.sh"), executable).expect("a mode");
    repository.write(
        ".cargo/config.toml",
        "[build]\nrustc-wrapper = \"./wrapper.sh\"\n",
    );
    repository.write(
        "Cargo.toml",
        "[package]\nname = \"x\"\nversion = \"1.0.0\"\nedition = \"2021\"\n",
    );
    repository.write("src/lib.rs", "");
    repository.write(
        "build.sh",
        "mkdir out\nMARK=/tmp/mark cargo check -q --offline 2>&1 || exit 1\nsort -u /tmp/mark > out/x.txt\n",
    );
    repository.commit("first");
    repository.tag("v1");
    let target = trap.world.path("target").display().to_string();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let control = ["check", "-q", "--offline", "--target-dir", &target];
    let _ = program(&repository.path, &cargo, &control).expect(0);
    trap.sprung("cargo check");

    trap.world.write("build.yaml", RECIPE);
    trap.world.write("p/x.txt", "ran\n");
    let sysroot = program(Path::new("/"), "rustc", &["--print", "sysroot"])
        .expect(0)
        .stdout;
    // a reproduced verdict says that the wrapper did run, but in the sandbox, where no canary is
    let json = trap.rebuild(
        "p/x.txt",
        "build.yaml",
        &["--toolchain", sysroot.trim(), "--format", "json"],
    );
    let json = json.expect(0).json();
    assert_eq!(json["artifacts"][0]["verdict"], "reproduced", "{json:#}");
}
