//! Promise: what a build notices of its surroundings is found: by the second build of every verdict, and
//! named by `rebuild --vary`.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_tests::World;

/// A release whose script makes `out` of what it finds; published is what it makes where it is watched.
fn world(script: &str) -> World {
    let world = World::new();
    let repository = world.repository("watching");
    repository.write("build.sh", script);
    repository.write("other", "so that there is an order\n");
    repository.release("v1");
    world.write(
        "build.yaml",
        "steps: [[sh, build.sh]]\noutputs: [out]\nlimits: { time_seconds: 60 }\n",
    );
    world.write("out", "innocent\n");
    world
}

const REBUILD: [&str; 11] = [
    "rebuild",
    "--source",
    "watching",
    "--tag",
    "v1",
    "--published",
    "out",
    "--recipe",
    "build.yaml",
    "--format",
    "json",
];

/// A build that is innocent where it recognises the normalised profile, by this test of a shell's.
fn recognised(by: &str) -> String {
    format!("if {by}; then echo innocent; else echo other; fi > out\n")
}

#[test]
fn a_build_that_recognises_the_normalised_profile_is_unstable() {
    for by in [
        "[ \"$USER\" = build ]",
        "[ \"$(id -un)\" = build ]",
        "[ \"$(id -u)\" = 1000 ]",
        "[ \"$(uname -n)\" = localhost ]",
        "[ \"$(cat /proc/sys/kernel/domainname)\" = '(none)' ]",
        "[ \"$(cut -d. -f1 /proc/uptime)\" -lt 1000 ]",
        "grep -q normalised /proc/cpuinfo",
        "[ \"$(ls -U | grep -v out | head -n1)\" = other ]",
    ] {
        let world = world(&recognised(by));
        let json = world.run(REBUILD).expect(3).json();
        let artifact = &json["artifacts"][0];
        assert_eq!(artifact["verdict"], "unstable", "{by}: {json:#}");
        assert_eq!(
            artifact["rebuilt"].as_array().map(Vec::len),
            Some(2),
            "{by}"
        );
    }
    // control arm: the same script, recognising what both builds have
    let json = world(&recognised("[ \"$TZ\" = UTC ]"))
        .run(REBUILD)
        .expect(0)
        .json();
    assert_eq!(json["artifacts"][0]["verdict"], "reproduced", "{json:#}");
}

fn varied(script: &str, code: i32) -> serde_json::Value {
    let world = world(script);
    let json = world
        .run(REBUILD.iter().chain(&["--vary"]))
        .expect(code)
        .json();
    json["variations"][0].clone()
}

#[test]
fn variations_that_a_build_notices_are_named() {
    let started = Instant::now();
    let robust = varied("echo innocent > out\n", 0);
    assert_eq!(robust["result"], "robust", "{robust:#}");
    let effects: Vec<&str> = robust["variations"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|variation| variation["outcome"].as_str())
        .collect();
    assert!(
        effects.len() > 10 && !effects.contains(&"UNSTABLE"),
        "{robust:#}"
    );
    let one = varied("umask > out; grep -q 0022 out && echo innocent > out\n", 0);
    assert_eq!(one["result"], "captures", "{one:#}");
    assert_eq!(one["names"], serde_json::json!(["umask"]), "{one:#}");
    let builds = one["builds"].as_u64().expect("a number");
    println!(
        "one culprit was found with {builds} more builds; all took {:?}",
        started.elapsed()
    );
    let two = varied(
        "[ $TZ = UTC ] && [ \"$(ulimit -s)\" = 8192 ] && echo innocent > out || date +%Z%z > out\n",
        0,
    );
    let mut names: Vec<&str> = two["names"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(serde_json::Value::as_str)
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["stack", "time-zone"], "{two:#}");
    let random = varied("head -c 8 /dev/urandom > out\n", 3);
    assert_eq!(random["result"], "random", "{random:#}");
}

#[test]
fn what_was_varied_stands_in_the_verdict_and_in_the_text() {
    let world = world("umask > out; grep -q 0022 out && echo innocent > out\n");
    let arguments: Vec<&str> = REBUILD[..9].iter().copied().chain(["--vary"]).collect();
    let text = world.run(arguments).expect(0).stdout;
    assert!(text.contains("changed by umask"), "{text}");
    assert!(text.contains("notices umask: 0022 -> 0002"), "{text}");
    let folder = std::fs::read_dir(world.path("countersign-out")).expect("a folder");
    let envelopes: Vec<String> = folder
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok())
        .filter(|text| text.contains("\"payloadType\""))
        .collect();
    assert!(!envelopes.is_empty());
    let decoded = envelopes.iter().any(|envelope| {
        let json: serde_json::Value = serde_json::from_str(envelope).unwrap_or_default();
        let payload = json["payload"]
            .as_str()
            .or(json["dsseEnvelope"]["payload"].as_str());
        let bytes = payload
            .and_then(|text| STANDARD.decode(text).ok())
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.contains(r#"{"name":"umask","values":["0022","0002"],"outcome":"UNSTABLE"}"#)
    });
    assert!(decoded, "no verdict with the variation");
}

#[test]
fn settings_of_a_plan_are_what_a_build_sees() {
    let world = world(
        "pwd; umask; echo ${SOURCE_DATE_EPOCH-unset}; id -un; echo $MAKEFLAGS; stat -c %Y build.sh\n",
    );
    world.write(
        "build.yaml",
        "steps: [[sh, -c, 'sh build.sh > out']]\noutputs: [out]\nsettings: { path: '/build/watching-{version}', \
         umask: 2, epoch: false, user: sbuild, jobs: 4, file_time_shift_seconds: 60 }\n",
    );
    let seconds = countersign_tests::COMMIT_SECONDS + 60;
    world.write(
        "out",
        format!("/build/watching-1\n0002\nunset\nsbuild\n-j4\n{seconds}\n"),
    );
    let json = world.run(REBUILD).expect(0).json();
    assert_eq!(json["artifacts"][0]["verdict"], "reproduced", "{json:#}");
    world.write(
        "build.yaml",
        "steps: [[sh, build.sh]]\noutputs: [out]\nsettings: { path: '/etc' }\n",
    );
    let refused = world.run(REBUILD).expect(3).json();
    assert_eq!(
        refused["artifacts"][0]["verdict"], "indeterminate",
        "{refused:#}"
    );
}
