//! Promise: a project may say in its own tree how it is built; the operator's word wins, and nothing that is
//! the operator's alone can be said there.

use countersign_tests::{Ran, World};

const BUILD: &str =
    "  build:\n    steps: [[sh, build.sh, '{version}']]\n    outputs: ['out/x-{version}.txt']\n";

fn world(project: &str) -> World {
    let world = World::new();
    let repository = world.repository("x");
    repository.write("build.sh", "mkdir out; echo $1 > out/x-$1.txt\n");
    repository.write("countersign.yaml", project);
    repository.release("v1.0.0");
    world.write("published/x-1.0.0.txt", "1.0.0\n");
    world
}

fn rebuild(world: &World, further: &[&str]) -> Ran {
    let arguments = [
        "rebuild", "--source", "./x", "--tag", "v1.0.0", "--format", "json", "--out", "out",
    ];
    world.run(arguments.iter().chain(further))
}

#[test]
fn a_project_says_how_it_is_built_and_its_rebuilder_decides() {
    let world = World::new();
    let _ = world
        .run(["init", "--project", "--published", "pkg:npm/x"])
        .expect(0);
    let _ = world.run(["init", "--project"]).expect(2); // never overwrites
    let text = std::fs::read_to_string(world.path("countersign.yaml")).expect("a file");
    assert!(text.contains("published: \"pkg:npm/x\""), "{text}");
    let _ = World::new()
        .run(["init", "--project", "--published", "a\u{1b}b"])
        .expect(2);

    let given = ["--published", "./published/x-{version}.txt"];
    let good = text
        .split("  # Where no recipe")
        .next()
        .expect("a head")
        .to_owned()
        + BUILD;
    let world = self::world(&good);
    let said = rebuild(&world, &given).expect(0).json();
    assert_eq!(said["artifacts"][0]["verdict"], "reproduced", "{said:#}");
    let mut plans = std::fs::read_dir(world.path("out")).expect("a folder");
    let plan = plans.find_map(|entry| {
        let text = std::fs::read_to_string(entry.ok()?.path()).ok()?;
        text.contains("\"steps\"").then_some(text)
    });
    let plan: serde_json::Value = serde_json::from_str(&plan.expect("a plan")).expect("JSON");
    let step = plan
        .pointer("/candidate/steps/0/argv/0")
        .or_else(|| plan.pointer("/steps/0/argv/0"));
    assert_eq!(step.expect("a step")["origin"], "source", "{plan:#}");

    // the operator's word wins
    let steps = "steps: [[sh, -c, 'mkdir out; echo other > out/x-1.0.0.txt']]\noutputs: ['out/x-1.0.0.txt']\n";
    world.write("other.yaml", steps);
    let _ = std::fs::remove_dir_all(world.path("out"));
    let own = [&given[..], &["--recipe", "other.yaml"]].concat();
    let said = rebuild(&world, &own).json();
    assert_ne!(said["artifacts"][0]["verdict"], "reproduced", "{said:#}");

    // a local folder has no host: nothing but packages would be fetched for it
    let elsewhere = good.replace("pkg:npm/x", "https://forge.example/x-{version}.txt");
    let ran = rebuild(&self::world(&elsewhere), &[]).expect(2);
    assert!(ran.stderr.contains("project.published"), "{ran:#?}");
}

#[test]
fn what_is_the_operators_alone_is_refused_and_never_read_over() {
    let head = "version: 1\nproject:\n  published: pkg:npm/x\n";
    for more in [
        "    network: mirror\n",
        "    limits: { time_seconds: 100000 }\n",
        "    root: '0000000000000000000000000000000000000000000000000000000000000000'\n",
        "allow_local: true\n",
    ] {
        let world = world(&format!("{head}{BUILD}{more}"));
        let ran = rebuild(&world, &[]).expect(2);
        assert!(ran.stderr.contains("countersign.yaml"), "{ran:#?}");
        // nor is any of it used where the operator says the rest
        let ran = rebuild(&world, &["--published", "./published/x-{version}.txt"]).expect(3);
        let json = ran.json();
        assert_eq!(json["artifacts"][0]["reason"], "no-recipe", "{json:#}");
        assert_eq!(json["attempts"], serde_json::json!([]), "{json:#}");
    }
    // a project that says nothing needs an operator who does
    let silent = World::new();
    silent.repository("x").release("v1.0.0");
    let ran = rebuild(&silent, &[]).expect(2);
    assert!(
        ran.stderr.contains("nobody says what was published"),
        "{ran:#?}"
    );
}
