//! Names of tags, and many of them.

use std::fs;
use std::time::Instant;

use countersign_fixtures::repositories::Repository;

use super::{ENTRY, Trap, honest, program};
use crate::running::{Daemon, free_address, until};

/// A usable name that is HTML.
const HTML: &str = "v1<script>alert(1)</script>";

#[track_caller]
fn harmless(text: &str) {
    let control = text.chars().find(|c| c.is_control() && *c != '\n');
    assert!(
        control.is_none(),
        "{control:?} reaches the terminal: {text:?}"
    );
}

#[test]
fn names_that_climb_drive_a_terminal_or_look_like_options_are_left_out() {
    let trap = Trap::new();
    let repository = honest(&trap, b"content\n");
    let commit = repository.commit("first");
    repository.raw_reference("v1", &commit);
    let evil = [
        "../../../../canary",
        "v\u{1b}[2J\u{1b}]0;owned\u{7}",
        "v\u{202e}1",
        "-rf",
        "v1.lock",
        "v//1",
        "v 1",
    ];
    for name in evil {
        repository.raw_reference(name, &commit);
    }
    repository.append_packed("# control arm: git lists what it should not\n");
    let listed = fs::read_to_string(trap.world.path("x/.git/packed-refs")).expect("refs");
    assert!(listed.contains("../../../../canary") && listed.contains('\u{1b}'));

    trap.world.configure(ENTRY);
    let once = trap.world.run(["daemon", "--once"]).expect(0);
    trap.quiet("daemon --once");
    harmless(&once.stderr);
    assert!(once.stderr.contains("a tag was left out"), "{once:#?}");
    let list = trap
        .world
        .run(["release", "list", "--format", "json"])
        .expect(0)
        .json();
    let releases = list["releases"].as_array().expect("a list");
    assert_eq!(releases.len(), 1, "{list:#}");
    assert_eq!(releases[0]["tag"], "v1");
    assert_eq!(
        releases[0]["artifacts"][0]["verdict"], "reproduced",
        "{list:#}"
    );
    // named by hand, they are refused
    for name in evil {
        let arguments = [
            "rebuild",
            "--source",
            "x",
            &format!("--tag={name}"),
            "--published",
            "p/x.txt",
            "--recipe",
            "build.yaml",
        ];
        let ran = trap.world.run(arguments).expect(2);
        harmless(&ran.stderr);
        assert!(ran.stderr.contains("is not a usable tag name"), "{ran:#?}");
    }
}

/// HTML in tags, file names and members of archives is text on pages and on the terminal; shell
/// syntax in a tag is one argument of one program.
#[test]
fn html_and_shell_syntax_are_only_text() {
    let trap = Trap::new();
    let repository = trap.repository();
    repository.write(
        "build.sh",
        "mkdir out stage; echo \"$1\" > stage/tag; tar -cf out/x.tar --mtime=@0 --owner=0 --group=0 stage\n",
    );
    let commit = repository.commit("first");
    let shell = format!("v2;touch${{IFS}}{}", trap.canary().display());
    program(&repository.path, "sh", &["-c", &format!("echo {shell}")]);
    trap.sprung("a shell");
    for tag in [HTML, &shell] {
        repository.raw_reference(tag, &commit);
    }
    let member = "stage/\u{1b}]0;owned\u{7}<script>alert(2)</script>";
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_mode(0o644);
    archive
        .append_data(&mut header, member, &b""[..])
        .expect("a member");
    trap.world.write(
        "p/<script>alert(3)<script>.tar",
        archive.into_inner().expect("a tar"),
    );
    let address = free_address();
    let entry = "  - source: ./x\n    published: './p/<script>alert(3)<script>.tar'\n    build:\n      \
        steps: [[sh, build.sh, '{tag}']]\n      outputs: [out/x.tar]\n    backlog: 9\n";
    trap.world
        .configure_with(&format!("listen: {address}"), entry);

    let daemon = Daemon::start(&mut trap.world.command(["daemon"]), address);
    let releases = until("two verdicts", || {
        let releases = daemon.releases();
        let decided = |r: &&serde_json::Value| r["artifacts"][0]["verdict"].is_string();
        (releases.iter().filter(decided).count() == 2).then_some(releases)
    });
    trap.quiet("the daemon");
    assert!(releases.iter().any(|r| r["tag"] == HTML), "{releases:#?}");
    let mut pages = vec![
        daemon.page("/"),
        daemon.page("/releases/99"),
        daemon.page("/nothing/<script>x"),
    ];
    for release in &releases {
        assert_eq!(release["artifacts"][0]["verdict"], "differs", "{release:#}");
        pages.push(daemon.page(&format!("/releases/{}", release["id"])));
    }
    let all = pages.join("\n").to_lowercase();
    assert!(!all.contains("<script"), "{all}");
    for text in [
        "alert(1)",
        "alert(2)",
        "alert(3)",
        "&lt;script",
        "&#60;script",
    ] {
        let shown = all.contains(text)
            || (text.starts_with('&')
                && (all.contains("&lt;script") || all.contains("&#60;script")));
        assert!(shown, "{text} is not on the pages: {all}");
    }
    assert!(!all.contains('\u{1b}') && !all.contains('\u{7}'));
    drop(daemon);
    for release in &releases {
        let shown = trap
            .world
            .run(["release", "show", &release["id"].to_string()])
            .expect(0);
        harmless(&shown.stdout);
        assert!(shown.stdout.contains("alert(2)"), "{shown:#?}");
    }
    harmless(&trap.world.run(["release", "list"]).expect(0).stdout);
    harmless(&trap.world.run(["status"]).expect(0).stdout);
}

#[test]
fn ten_thousand_tags_cost_a_poll_and_the_backlog() {
    let trap = Trap::new();
    let repository: Repository = honest(&trap, b"content\n");
    let commit = repository.commit("first");
    let lines: String = (0..10_000)
        .map(|n| format!("{commit} refs/tags/v{n:05}\n"))
        .collect();
    repository.append_packed(&lines);
    trap.world.configure(&format!("{ENTRY}    backlog: 2\n"));
    let started = Instant::now();
    let _ = trap.world.run(["daemon", "--once"]).expect(0);
    let first = started.elapsed();
    let again = Instant::now();
    let _ = trap.world.run(["daemon", "--once"]).expect(0);
    println!(
        "10,000 tags: {first:?} with two rebuilds, {:?} when nothing is new",
        again.elapsed()
    );
    let statements = fs::read_dir(trap.world.path("data/attestations"))
        .expect("statements")
        .flatten();
    let verdicts = statements
        .filter(|e| {
            e.file_name()
                .to_string_lossy()
                .ends_with(".verdict.dsse.json")
        })
        .count();
    assert_eq!(verdicts, 2);
    let list = trap
        .world
        .run(["release", "list", "--limit", "20000", "--format", "json"])
        .expect(0)
        .json();
    let releases = list["releases"].as_array().expect("a list");
    let decided: Vec<&str> = releases
        .iter()
        .filter(|release| release["artifacts"][0]["verdict"] == "reproduced")
        .filter_map(|release| release["tag"].as_str())
        .collect();
    assert_eq!(decided.len(), 2, "{decided:?} of {}", releases.len());
    assert!(
        decided.contains(&"v09999") && decided.contains(&"v09998"),
        "{decided:?}"
    );
}
