//! Promise: a newcomer gets from nothing to a verdict with the README's commands, and every
//! configuration that we ship can be used.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use countersign_tests::{World, binary, ran};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
}

#[test]
fn init_makes_a_key_and_a_configuration_and_never_overwrites() {
    let world = World::new();
    let said = world.run(["init"]).expect(0);
    for part in [
        "countersign.yaml",
        "keys/statement.pem",
        "fingerprint",
        "countersign config check",
        "countersign daemon --once",
    ] {
        assert!(said.stdout.contains(part), "{part}: {said:#?}");
    }
    let mode = |name: &str| {
        fs::metadata(world.path(name))
            .expect(name)
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!((mode("keys"), mode("keys/statement.pem")), (0o700, 0o600));
    let key = fs::read(world.path("keys/statement.pem")).expect("a key");
    let _ = world.run(["init"]).expect(2);
    assert_eq!(
        fs::read(world.path("keys/statement.pem")).expect("a key"),
        key
    );

    // nobody signs as the example
    let refused = world.run(["config", "check"]).expect(2);
    assert!(refused.stderr.contains("rebuilder.id"), "{refused:#?}");
    let _ = world.run(["daemon", "--once"]).expect(2);

    // the key stays when only the configuration is made anew
    fs::remove_file(world.path("countersign.yaml")).expect("removed");
    let _ = world
        .run(["init", "--rebuilder", "urn:example:me"])
        .expect(0);
    assert_eq!(
        fs::read(world.path("keys/statement.pem")).expect("a key"),
        key
    );
    let _ = world.run(["config", "check"]).expect(0);
    let shown = world
        .run(["config", "show", "--format", "json"])
        .expect(0)
        .json();
    assert_eq!(shown["rebuilder"]["id"], "urn:example:me");
    let _ = world.run(["daemon", "--once"]).expect(0);
    let _ = World::new()
        .run(["init", "--rebuilder", "nobody"])
        .expect(2);
}

#[test]
fn every_shipped_configuration_can_be_used() {
    let world = World::new();
    let examples: Vec<_> = fs::read_dir(root().join("config/examples"))
        .expect("examples")
        .collect();
    assert!(examples.len() >= 2);
    for example in examples {
        let path = example.expect("an entry").path();
        let path = path.to_str().expect("UTF-8");
        let check: &[&str] = if path.ends_with("/policy.yaml") {
            &["policy", "check", path]
        } else {
            &["config", "check", "--config", path]
        };
        let _ = world.run(check).expect(0);
    }
    // what the template shows in comments can be used too
    let template =
        fs::read_to_string(root().join("config/countersign.yaml")).expect("the template");
    let uncommented: String = template
        .replace("https://rebuilder.example", "https://me.example.org")
        .replace("repositories: []\n", "")
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(yaml)
                if yaml.starts_with(' ')
                    || yaml.trim_end().ends_with(':')
                    || yaml.starts_with("listen") =>
            {
                yaml
            }
            _ => line,
        })
        .fold(String::new(), |text, line| text + line + "\n");
    assert!(uncommented.contains("\n  - source:"), "{uncommented}");
    world.write("countersign.yaml", &uncommented);
    let _ = world.run(["config", "check"]).expect(0);
}

#[test]
fn the_demo_of_the_readme_works() {
    let world = World::new();
    let mut demo = Command::new(root().join("fixtures/demo"));
    demo.arg(world.path("demo"))
        .env("COUNTERSIGN_BINARY", binary());
    let said = ran(&mut demo).expect(0);
    let (before, after) = said.stdout.split_once("a third party").expect("two parts");
    assert!(before.contains("Reproduced: same bytes"), "{said:#?}");
    assert!(after.contains("Reproduced: same bytes"), "{said:#?}");
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    assert!(readme.contains("\n    fixtures/demo ") && readme.contains("\n    tests/run "));
}

/// Every command line of the README that starts with `countersign` is one that the program knows.
#[test]
fn the_commands_of_the_readme_exist() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let world = World::new();
    let mut seen = 0;
    for line in readme
        .lines()
        .filter_map(|line| line.strip_prefix("    countersign "))
    {
        let words: Vec<&str> = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        // the help of a subcommand is printed instead of running it, if all words before are known
        let known: Vec<&str> = words
            .iter()
            .copied()
            .filter(|word| !["FILE", "…"].contains(word))
            .collect();
        let said = world.run(known.iter().copied().chain(["--help"]));
        assert_eq!(said.code, Some(0), "{line}: {said:#?}");
        seen += 1;
    }
    assert!(seen >= 10, "{seen} commands");
}

#[test]
fn doctor_tries_what_this_machine_can_do() {
    let world = World::new();
    let said = world.run(["doctor", "--format", "json"]).expect(0).json();
    let checks = said["checks"].as_array().expect("checks");
    assert!(checks.len() >= 6, "{said:#}");
    for check in checks {
        assert!(
            check["problem"].is_null() || check["remedy"].is_string(),
            "{check:#}"
        );
    }
}
