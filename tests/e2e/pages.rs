//! Promise: the pages show what strangers wrote as text, in a real browser; files are found by name and
//! by digest, and a file whose digest the browser takes goes nowhere.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_attest::digest::{Digests, Sha256};
use countersign_tests::{Ran, World, ran};
use serde_json::{Value, json};

use crate::running::{Daemon, free_address, until};

const CHROMIUM: &str = "/usr/bin/chromium";
/// What a page's title becomes where a script of a stranger runs.
const CANARY: &str = "pwned";
/// Turns the writing direction; left out, and the search for it is shown in visible letters.
const BIDI: &str = "v1'\u{202e}0.1";
/// Tags that git allows: they open elements and leave attributes.
const TAGS: [&str; 2] = [
    "v1<script>document.title='pwned'</script>",
    "v1\"><img/src=x/onerror=document.title='pwned'>",
];
/// The published file's name.
const FILE: &str = "x<script>document.title='pwned'<!--\"'>.txt";

/// A daemon that has decided all that there is.
pub(crate) struct Served {
    world: World,
    daemon: Daemon,
    address: SocketAddr,
}

fn served() -> Served {
    let world = World::new();
    let repository = world.repository("lib");
    repository.write("build.sh", "mkdir out; echo lib > out/lib.txt\n");
    repository.release("v1.0.0");
    for tag in TAGS.into_iter().chain([BIDI]) {
        repository.git(["tag", tag]);
    }
    // a file's name has no slash
    let name = FILE.replace('/', "");
    world.write(Path::new("p").join(&name), "lib\n");
    let quoted = format!("./p/{name}").replace('\'', "''");
    let repositories = format!(
        "  - source: ./lib\n    published: ['{quoted}']\n    backlog: 9\n    build:\n      \
         steps: [[sh, build.sh]]\n      outputs: ['out/lib.txt']\n"
    );
    Served::start(world, &repositories, |releases| {
        let all = releases.len() == 1 + TAGS.len();
        let tried = |release: &Value| {
            !["queued", "running", "judged"].contains(&release["state"].as_str().expect("text"))
        };
        all && releases.iter().all(tried)
    })
}

fn chromium() -> &'static Path {
    let path = Path::new(CHROMIUM);
    assert!(
        path.exists(),
        "{CHROMIUM} is missing: run tests/setup, which installs it"
    );
    path
}

fn interop(script: &str) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.join("interop").join(script)
}

impl Served {
    /// Starts a daemon that watches these repositories (YAML), and waits until it has done its work.
    pub(crate) fn start(
        world: World,
        repositories: &str,
        is_done: impl Fn(&[Value]) -> bool,
    ) -> Self {
        let address = free_address();
        world.configure_with(&format!("listen: {address}"), repositories);
        let daemon = Daemon::start(&mut world.command(["daemon"]), address);
        until("all tags are tried", || {
            is_done(&daemon.releases()).then_some(())
        });
        Self {
            world,
            daemon,
            address,
        }
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ]
        .map(str::to_owned)
        .into();
        let profile = self.world.path("profile");
        arguments.push(format!("--user-data-dir={}", profile.display()));
        arguments
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The page as a browser has it once every script ran.
    pub(crate) fn shown(&self, url: &str) -> String {
        let mut command = Command::new(chromium());
        command.args(self.arguments());
        command.args(["--virtual-time-budget=3000", "--dump-dom", url]);
        let Ran { stdout, .. } = ran(&mut command).expect(0);
        assert!(stdout.contains("</html>"), "{stdout}");
        stdout
    }

    /// A GET with further header lines, as head and body.
    pub(crate) fn ask(&self, path: &str) -> (String, String) {
        let answer = self.daemon.page(path);
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.to_owned(), body.to_owned())
    }

    /// The tags that a search finds.
    fn found(&self, query: &str) -> Vec<String> {
        let (head, body) = self.ask(&format!("/api/v1/releases?q={query}"));
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let list: Value = serde_json::from_str(&body).expect("JSON");
        let releases = list["releases"].as_array().expect("a list").iter();
        let tag = |release: &Value| release["tag"].as_str().expect("text").to_owned();
        releases.map(tag).collect()
    }
}

pub(crate) fn title(page: &str) -> &str {
    let (_, rest) = page.split_once("<title>").expect("a title");
    rest.split_once("</title>").expect("its end").0
}

#[test]
fn a_browser_shows_strangers_as_text_and_runs_nothing_of_theirs() {
    let served = served();
    // the canary sings where it may
    let evil = "<html><head><title>t</title></head><body><script>document.title='pwned'</script>";
    let evil = served.world.write("evil.html", evil);
    let page = served.shown(&format!("file://{}", evil.display()));
    assert_eq!(title(&page), CANARY);

    let mut paths = vec!["/".to_owned()];
    paths.push("/?q=%22%3E%3Cscript%3Edocument.title='pwned'%3C/script%3E".to_owned());
    let releases = served.daemon.releases();
    paths.extend(releases.iter().map(|r| format!("/releases/{}", r["id"])));
    for path in paths {
        let page = served.shown(&served.url(&path));
        assert!(title(&page).ends_with(" · countersign"), "{path}: {page}");
        assert!(!title(&page).starts_with(CANARY), "{path}: {page}");
        for element in ["<script", "<img", "\u{202e}"] {
            assert!(!page.contains(element), "{path}: {element}: {page}");
        }
    }
    let sought = served.shown(&served.url("/?q=v1%27%E2%80%AE0.1"));
    assert!(sought.contains("value=\"v1'\\u{202e}0.1\""), "{sought}");
    assert!(!sought.contains('\u{202e}'), "{sought}");
    let index = served.shown(&served.url("/"));
    for text in [
        "v1&lt;script&gt;document.title='pwned'&lt;/script&gt;",
        "v1\"&gt;&lt;img/src=x/onerror=document.title='pwned'&gt;",
        "x&lt;script&gt;document.title='pwned'&lt;!--\"'&gt;.txt",
    ] {
        assert!(index.contains(text), "{text}: {index}");
    }
}

#[test]
fn a_file_is_found_in_a_browser_and_goes_nowhere() {
    let served = served();
    let page = served.shown(&served.url("/by-digest"));
    assert!(page.contains("<div id=\"drop\">"), "shown by the script");
    let give = |how: &str, file: &Path| {
        let mut command = Command::new("node");
        command.arg(interop("drop.mjs")).arg(how);
        command.arg(served.url("/by-digest")).arg(file);
        command.arg(chromium()).args(served.arguments());
        ran(&mut command).expect(0).json()
    };
    let known = served.world.write("renamed.bin", "lib\n");
    let unknown = served.world.write("unknown.bin", "lob\n");
    for (how, file, content, text) in [
        ("choose", &known, "lib\n", "v1.0.0"),
        ("choose", &unknown, "lob\n", "Nothing here matches"),
        ("drop", &known, "lib\n", "v1.0.0"),
        ("drop", &unknown, "lob\n", "Nothing here matches"),
    ] {
        let path = format!("/?q=sha256:{}", Sha256::of(content.as_bytes()));
        let led = give(how, file);
        assert_eq!(led["url"], served.url(&path));
        assert!(led["text"].as_str().expect("text").contains(text), "{led}");
        let requests = led["requests"].as_array().expect("a list");
        for request in requests {
            assert_eq!(request["method"], "GET", "{led:#}");
            assert_eq!(request["body"], false, "{led:#}");
        }
        let paths: Vec<&Value> = requests.iter().map(|request| &request["url"]).collect();
        let ours = ["/by-digest", "/style.css", "/search.js", &path];
        for path in ours.map(|path| json!(served.url(path))) {
            assert!(paths.contains(&&path), "{led:#}");
        }
        let further = paths.iter().filter(|url| {
            !url.as_str().is_some_and(|url| {
                ours.iter().any(|path| url == served.url(path)) || url == served.url("/favicon.ico")
            })
        });
        assert_eq!(further.count(), 0, "{led:#}");
    }
    let two = give("drop-two", &known);
    assert_eq!(two["url"], served.url("/by-digest"), "{two:#}");
    let text = two["text"].as_str().expect("text");
    assert!(text.contains("One file at a time"), "{two:#}");
}

#[test]
fn the_script_takes_the_same_digest_as_we_do() {
    let world = World::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let contents: [&[u8]; 3] = [b"", b"lib\n", &[0xff; 100_000]];
    let mut command = Command::new("node");
    command.arg(interop("search.mjs"));
    command.arg(root.join("daemon/templates/search.js"));
    for (n, content) in contents.iter().enumerate() {
        command.arg(world.write(n.to_string(), content));
    }
    let ran = ran(&mut command).expect(0);
    let lines: Vec<Value> = ran
        .stdout
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), contents.len() + 2, "{ran:#?}");
    for (content, line) in contents.iter().zip(&lines) {
        assert_eq!(
            *line,
            json!({ "path": format!("/?q=sha256:{}", Sha256::of(content)) })
        );
    }
    for (line, why) in lines[contents.len()..]
        .iter()
        .zip(["too large", "could not be read"])
    {
        assert!(line["path"].is_null(), "{line}");
        assert!(line["why"].as_str().expect("text").contains(why), "{line}");
    }
}

#[test]
fn releases_are_found_by_name_and_by_digest() {
    let served = served();
    let Digests { sha256, sha512, .. } = Digests::of(b"lib\n");
    for query in [
        sha256.to_string(),
        format!("sha512:{sha512}"),
        "v1.0.0".to_owned(),
    ] {
        assert!(
            served.found(&query).contains(&"v1.0.0".to_owned()),
            "{query}"
        );
    }
    assert_eq!(served.found("V1.0.0"), ["v1.0.0"]);
    assert_eq!(
        served.found("%3CSCRIPT%3Edocument.title=%27pwned%27%3C/"),
        [TAGS[0]]
    );
    assert!(
        served
            .found("%3Cscript%3Edocument")
            .contains(&"v1.0.0".to_owned()),
        "by a file's name"
    );
    for nothing in [
        "v1%25",
        "v1_0",
        "'%20OR%201=1",
        &Sha256::of(b"lob\n").to_string(),
    ] {
        assert!(served.found(nothing).is_empty(), "{nothing}");
    }
    let (head, body) = served.ask("/");
    let tag = format!("etag: \"{}\"", Sha256::of(body.as_bytes()));
    assert!(head.contains(&tag), "{head}");
}
