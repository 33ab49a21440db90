//! Promise: a gem comes out of its tag again, byte for byte, and a tampered one does not. The registry is
//! one of ours; what packs on both sides is the ecosystem's own tool.

use std::fs;
use std::path::Path;
use std::process::Command;

use countersign_attest::digest::Sha256;
use countersign_fixtures::registries::{Answer, Registry};
use countersign_tests::{COMMIT_SECONDS, Ran, World, ran};

const GEMSPEC: &str = r#"Gem::Specification.new do |s|
  s.name = "left"
  s.version = "1.0.0"
  s.summary = "a gem of a test"
  s.authors = ["nobody"]
  s.homepage = "https://example.org/left"
  s.license = "MIT"
  s.required_ruby_version = ">= 2.0"
  s.files = `git ls-files -z`.split("\x0")
end
"#;

/// Packs what the publisher has checked out.
fn publish(world: &World) -> Vec<u8> {
    let checkout = world.path("publisher");
    let mut clone = Command::new("git");
    clone.args(["clone", "-q"]).arg(world.path("source"));
    let _ = ran(clone.arg(&checkout)).expect(0);
    let mut gem = Command::new("gem");
    gem.args(["build", "left.gemspec"]).current_dir(&checkout);
    gem.env("SOURCE_DATE_EPOCH", COMMIT_SECONDS.to_string());
    let _ = ran(gem.env("HOME", world.path(""))).expect(0);
    fs::read(checkout.join("left-1.0.0.gem")).expect("a gem")
}

fn serve(registry: &Registry, gem: &[u8]) {
    let list = format!("---\n1.0.0 |checksum:{}\n", Sha256::of(gem));
    registry.put("/info/left", Answer::Bytes(list.into_bytes()));
    registry.put("/gems/left-1.0.0.gem", Answer::Bytes(gem.to_vec()));
}

fn rebuild(world: &World, registry: &Registry) -> Ran {
    let endpoint = format!("gem={}", registry.url());
    world.run([
        "rebuild",
        "--source",
        "source",
        "--tag",
        "v1.0.0",
        "--published",
        "pkg:gem/left",
        "--registry",
        &endpoint,
        "--format",
        "json",
    ])
}

/// Packs the same gem with another content of its only file.
fn tampered(world: &World) -> Vec<u8> {
    let checkout = world.path("publisher");
    fs::write(checkout.join("lib/left.rb"), "module Wrong; end\n").expect("a file");
    let mut gem = Command::new("gem");
    gem.args(["build", "left.gemspec"]).current_dir(&checkout);
    gem.env("SOURCE_DATE_EPOCH", COMMIT_SECONDS.to_string());
    let _ = ran(gem.env("HOME", world.path(""))).expect(0);
    fs::read(checkout.join("left-1.0.0.gem")).expect("a gem")
}

/// A released gem, as its publisher packed it.
pub(crate) fn built(world: &World) -> Vec<u8> {
    let repository = world.repository("source");
    repository.write("left.gemspec", GEMSPEC);
    repository.write("lib/left.rb", "module Right; end\n");
    repository.release("v1.0.0");
    publish(world)
}

/// The same, rebuilt; the bytes that both are.
pub(crate) fn reproduced() -> Vec<u8> {
    let world = World::new();
    let registry = Registry::start().expect("a registry");
    let published = built(&world);
    serve(&registry, &published);
    let json = rebuild(&world, &registry).expect(0).json();
    assert_eq!(json["artifacts"][0]["verdict"], "reproduced", "{json:#}");
    published
}

#[test]
fn a_gem_is_reproduced_and_a_tampered_one_differs() {
    let world = World::new();
    let registry = Registry::start().expect("a registry");
    serve(&registry, &built(&world));
    let json = rebuild(&world, &registry).expect(0).json();
    let artifact = &json["artifacts"][0];
    assert_eq!(artifact["verdict"], "reproduced", "{json:#}");
    assert_eq!(artifact["name"], "left-1.0.0.gem");
    serve(&registry, &tampered(&world));
    let json = rebuild(&world, &registry).expect(1).json();
    let artifact = &json["artifacts"][0];
    assert_eq!(artifact["verdict"], "differs", "{json:#}");
}

/// A gemspec that runs whatever a stranger wants, here to leave a mark outside of its sandbox.
#[test]
fn a_gemspec_runs_in_the_sandbox_only() {
    let world = World::new();
    let mark = world.path("mark");
    let registry = Registry::start().expect("a registry");
    let repository = world.repository("source");
    let path = mark.to_str().expect("UTF-8");
    let act = format!("begin; File.write({path:?}, 'here'); rescue SystemCallError; end\n");
    repository.write("left.gemspec", format!("{act}{GEMSPEC}"));
    repository.write("lib/left.rb", "module Right; end\n");
    repository.release("v1.0.0");
    serve(&registry, &publish(&world));
    // the publisher's own build did leave it
    assert!(mark.exists());
    fs::remove_file(&mark).expect("a mark");
    let json = rebuild(&world, &registry).expect(0).json();
    assert_eq!(json["artifacts"][0]["verdict"], "reproduced", "{json:#}");
    assert!(!Path::new(path).exists());
}

/// As tools lay a gem out: the version in a file of its own, files by git, an executable, and a key that
/// only its publisher has.
const LAID_OUT: &str = r#"require_relative "lib/left/version"
Gem::Specification.new do |spec|
  spec.name = "left"
  spec.version = Left::VERSION
  spec.authors = ["A. Nobody"]
  spec.summary = "Pads."
  spec.homepage = "https://example.org/left"
  spec.license = "MIT"
  spec.required_ruby_version = ">= 2.7.0"
  spec.metadata["rubygems_mfa_required"] = "true"
  spec.files = Dir.chdir(File.expand_path(__dir__)) do
    `git ls-files -z`.split("\x0").reject { |f| f.match(%r{\A(?:test|certs)/}) }
  end
  spec.bindir = "exe"
  spec.executables = spec.files.grep(%r{\Aexe/}) { |f| File.basename(f) }
  spec.add_dependency "rack", "~> 2.0"
  key = File.expand_path("~/gem-private_key.pem")
  if $PROGRAM_NAME.end_with?("gem") && File.exist?(key)
    spec.signing_key = key
    spec.cert_chain = [File.expand_path("~/gem-public_cert.pem")]
  end
end
"#;

/// Publishers do not say when a gem is packed: it bears their clock, in its metadata too.
#[test]
fn a_gem_that_bears_its_publishers_clock_is_assisted_and_a_signed_one_accuses_nobody() {
    let world = World::new();
    let repository = world.repository("source");
    repository.write("left.gemspec", LAID_OUT);
    repository.write(
        "lib/left/version.rb",
        "module Left\n  VERSION = \"1.0.0\"\nend\n",
    );
    repository.write("exe/left", "#!/usr/bin/env ruby\nputs 1\n");
    repository.write("test/left.rb", "");
    repository.release("v1.0.0");
    let publish = || {
        let _ = fs::remove_dir_all(world.path("publisher"));
        let mut clone = Command::new("git");
        clone.args(["clone", "-q"]).arg(world.path("source"));
        let _ = ran(clone.arg(world.path("publisher"))).expect(0);
        let mut gem = Command::new("gem");
        gem.args(["build", "left.gemspec"])
            .current_dir(world.path("publisher"));
        let _ = ran(gem
            .env("HOME", world.path(""))
            .env_remove("SOURCE_DATE_EPOCH"))
        .expect(0);
    };
    let rebuild = |code| {
        let ran = world.run([
            "rebuild",
            "--source",
            "source",
            "--tag",
            "v1.0.0",
            "--published",
            "publisher/left-{version}.gem",
            "--recipe",
            "gem",
            "--format",
            "json",
        ]);
        let json = ran.expect(code).json();
        let artifact = json["artifacts"][0].clone();
        (artifact, json)
    };
    publish();
    let (artifact, json) = rebuild(1);
    assert_eq!(artifact["verdict"], "assisted", "{json:#}");
    assert_eq!(artifact["assisted_by"], serde_json::json!(["epoch"]));

    let mut key = Command::new("gem");
    key.args(["cert", "--build", "nobody@example.org"])
        .current_dir(world.path(""));
    let _ = ran(key
        .env("HOME", world.path(""))
        .stdin(std::process::Stdio::null()))
    .expect(0);
    publish();
    let (artifact, json) = rebuild(3);
    assert_eq!(artifact["verdict"], "indeterminate", "{json:#}");
    assert_eq!(artifact["reason"], "build-step-unsupported", "{json:#}");
    let detail = artifact["detail"].to_string();
    assert!(detail.contains("key of its publisher"), "{detail}");
}
