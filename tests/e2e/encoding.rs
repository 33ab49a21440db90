//! Promise: where only deflate streams are encoded in another way, known encoders are tried as a last
//! step of a plan that anybody can replay, and what was not tried is said.
//!
//! The build packs by the `gzip` program or by python at another level; what was published is packed
//! here, outside, by the encoders themselves.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use countersign_tests::{Ran, World, ran};
use serde_json::{Value, json};

/// The tar of the tree's text, packed by `gzip` as it is, and a zip by python at level 1.
const BUILD: &str = r#"set -eu
tar --sort=name --owner=0 --group=0 --numeric-owner --mode=0644 --mtime="@$SOURCE_DATE_EPOCH" \
    --format=ustar -cf text.tar text
gzip -6n <text.tar >out.tar.gz
python3 -I -c "
import zipfile
with zipfile.ZipFile('out.zip', 'w') as file:
    for name in ('text', 'other'):
        member = zipfile.ZipInfo(name)
        file.writestr(member, open('text').read(), zipfile.ZIP_DEFLATED, 1)
"
"#;

const RECIPE: &str = r#"steps: [[sh, build.sh]]
outputs: [out.tar.gz, out.zip]
tools: [python3]
limits: { time_seconds: 600 }
"#;

/// Text that encoders make different choices about.
fn text() -> String {
    let mut state = 1_u32;
    let mut words = String::new();
    for _ in 0..6000 {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        let word = [
            "signed ",
            "sealed ",
            "delivered ",
            "sig",
            "deli",
            "seal",
            "\n",
        ];
        words.push_str(word[(state >> 16) as usize % word.len()]);
    }
    words
}

/// A world with a released repository, and what its build made.
fn world() -> (World, Vec<u8>, Vec<u8>) {
    let world = World::new();
    let repository = world.repository("hello");
    repository.write("build.sh", BUILD);
    repository.write("text", text());
    repository.release("v1.0.0");
    world.write("build.yaml", RECIPE);
    let folder = world.path("outside");
    fs::create_dir_all(&folder).expect("a folder");
    for name in ["build.sh", "text"] {
        fs::copy(repository.path.join(name), folder.join(name)).expect("a copy");
    }
    let mut shell = Command::new("sh");
    shell.current_dir(&folder).args(["build.sh"]);
    shell.env(
        "SOURCE_DATE_EPOCH",
        countersign_tests::COMMIT_SECONDS.to_string(),
    );
    assert_eq!(ran(&mut shell).code, Some(0));
    let read = |name: &str| fs::read(folder.join(name)).expect("an output");
    let (tar, zip) = (read("text.tar"), read("out.zip"));
    (world, tar, zip)
}

fn rebuild(world: &World, published: &str) -> Ran {
    let arguments = [
        "rebuild",
        "--source",
        "hello",
        "--tag",
        "v1.0.0",
        "--published",
        published,
        "--recipe",
        "build.yaml",
        "--format",
        "json",
    ];
    world.run(arguments)
}

/// A gzip file of a deflate stream that a program made of `payload`.
fn encoded(world: &World, program: &[&str], head: [u8; 10], payload: &[u8]) -> Vec<u8> {
    let file = world.write("payload", payload);
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).arg(&file);
    let output = command.output().expect("an encoder");
    assert!(output.status.success(), "{output:?}");
    let mut crc = flate2::Crc::new();
    crc.update(payload);
    let mut bytes = head.to_vec();
    bytes.extend(output.stdout);
    bytes.extend(crc.sum().to_le_bytes());
    bytes.extend(crc.amount().to_le_bytes());
    bytes
}

const PYTHON: [&str; 3] = [
    "/usr/bin/python3",
    "-c",
    "import sys, zlib; c = zlib.compressobj(9, 8, -15); \
     sys.stdout.buffer.write(c.compress(open(sys.argv[1], 'rb').read()) + c.flush())",
];
const NODE: [&str; 3] = [
    "node",
    "-e",
    "process.stdout.write(zlib.deflateRawSync(fs.readFileSync(process.argv[1]), { level: 9 }))",
];
/// No time, best, unknown system: as npm writes it.
const HEAD: [u8; 10] = [31, 139, 8, 0, 0, 0, 0, 0, 2, 255];

fn artifact(ran: Ran, code: i32) -> (Value, Value) {
    let json = ran.expect(code).json();
    (json["artifacts"][0].clone(), json)
}

#[test]
fn each_known_encoder_is_found_and_the_plan_says_which() {
    let (world, tar, _) = world();
    for (program, encoder) in [(&PYTHON, "python3"), (&NODE, "node")] {
        world.write("out.tar.gz", encoded(&world, program, HEAD, &tar));
        let (artifact, json) = artifact(rebuild(&world, "out.tar.gz"), 0);
        assert_eq!(artifact["verdict"], "reproduced", "{json:#}");
        let attempts = json["attempts"].as_array().expect("attempts");
        let decided = attempts.iter().filter(|a| {
            a["candidate"]["encoding"]["variants"]
                .as_array()
                .is_some_and(|v| v.len() == 1)
        });
        let decided: Vec<&Value> = decided.collect();
        assert_eq!(decided.len(), 2, "two replays of one plan: {json:#}");
        let variant = &decided[0]["candidate"]["encoding"]["variants"][0];
        assert_eq!(*variant, json!({ "encoder": encoder, "level": 9 }));
        let tools = decided[0]["candidate"]["environment"]["tools"].to_string();
        assert!(tools.contains(&format!("{encoder}-zlib")), "{tools}");
        let causes = artifact["causes"].to_string();
        println!("{causes}");
        assert!(
            causes.contains("the published bytes at level 9"),
            "{causes}"
        );
        assert!(causes.contains("not tried"), "{causes}");

        // a stranger replays the plan that decided, and nothing else
        let name = decided[0]["plan"]
            .as_str()
            .expect("a digest")
            .replace("sha256:", "");
        let plan = format!("countersign-out/{name}.plan.json");
        let arguments = [
            "rebuild",
            "--source",
            "hello",
            "--tag",
            "v1.0.0",
            "--published",
            "out.tar.gz",
            "--plan",
            &plan,
            "--format",
            "json",
            "--out",
            "again",
        ];
        let json = world.run(arguments).expect(0).json();
        assert_eq!(json["artifacts"][0]["verdict"], "reproduced", "{json:#}");
        fs::remove_dir_all(world.path("again")).expect("a folder");
        fs::remove_dir_all(world.path("countersign-out")).expect("a folder");
    }
}

#[test]
fn members_of_a_zip_are_encoded_anew_too() {
    let (world, _, _) = world();
    let best = BUILD.replace("ZIP_DEFLATED, 1", "ZIP_DEFLATED, 9");
    let folder = world.path("outside");
    fs::write(folder.join("best.sh"), best).expect("a script");
    let mut shell = Command::new("sh");
    shell
        .current_dir(&folder)
        .args(["best.sh"])
        .env("SOURCE_DATE_EPOCH", "0");
    assert_eq!(ran(&mut shell).code, Some(0));
    world.write("out.zip", fs::read(folder.join("out.zip")).expect("a zip"));
    let (artifact, json) = artifact(rebuild(&world, "out.zip"), 0);
    assert_eq!(artifact["verdict"], "reproduced", "{json:#}");
    let causes = artifact["causes"].to_string();
    assert!(causes.contains("node is only asked for gzip"), "{causes}");
}

#[test]
fn an_encoder_or_a_header_that_is_not_known_stays_equivalent() {
    let (world, tar, _) = world();
    let stored = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        encoder.write_all(&tar).expect("memory");
        encoder.finish().expect("memory")
    };
    world.write("out.tar.gz", stored);
    let (artifact_, json) = artifact(rebuild(&world, "out.tar.gz"), 1);
    assert_eq!(artifact_["verdict"], "equivalent", "{json:#}");
    let causes = artifact_["causes"].to_string();
    assert!(
        causes.contains("other bytes at levels 1 2 3 4 5 6 7 8 9"),
        "{causes}"
    );

    // the publisher's clock is on no list, and is not copied
    let mut head = HEAD;
    head[4..8].copy_from_slice(&1_650_000_000_u32.to_le_bytes());
    world.write("out.tar.gz", encoded(&world, &PYTHON, head, &tar));
    let (artifact_, json) = artifact(rebuild(&world, "out.tar.gz"), 1);
    assert_eq!(artifact_["verdict"], "equivalent", "{json:#}");
    let causes = artifact_["causes"].to_string();
    assert!(
        causes.contains("a header field is on no list of ours"),
        "{causes}"
    );
    let attempts = json["attempts"].as_array().expect("attempts");
    assert!(
        attempts
            .iter()
            .all(|a| a["candidate"]["encoding"].is_null()),
        "{json:#}"
    );
}

#[test]
fn the_second_step_hides_no_other_content() {
    let (world, mut tar, _) = world();
    let at = tar.iter().position(|b| *b == b's').expect("text");
    tar[at + 512] ^= 1;
    world.write("out.tar.gz", encoded(&world, &PYTHON, HEAD, &tar));
    let (artifact, json) = artifact(rebuild(&world, "out.tar.gz"), 1);
    assert_eq!(artifact["verdict"], "differs", "{json:#}");
    let attempts = json["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 2, "one plan, twice: {json:#}");
}
