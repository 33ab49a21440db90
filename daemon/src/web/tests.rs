//! Tests of the pages, with hostile names above all.

use countersign_attest::origin::AssistKind;
use countersign_attest::verdict::Verdict;

use crate::api::tests::{Memory, Reply, ask, local_key, operators_key, release};
use crate::api::view::ReleaseView;
use crate::difference::tests::document;

async fn page(release: ReleaseView) -> String {
    let path = format!("/releases/{}", release.id);
    let reply = shown(release, &path).await;
    assert_eq!(reply.status, 200);
    assert!(
        reply
            .head
            .contains("content-type: text/html; charset=utf-8"),
        "{}",
        reply.head
    );
    reply.body
}

async fn shown(release: ReleaseView, path: &str) -> Reply {
    ask(
        Memory {
            releases: vec![release],
            ..Memory::default()
        },
        "GET",
        path,
    )
    .await
}

fn assert_says(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(page.contains(text), "{text:?} is absent from {page}");
    }
}

#[tokio::test]
async fn a_page_says_who_when_from_which_commit_and_how_to_check() {
    let release = release(1);
    let (artifact, commit) = (
        release.artifacts[0].clone(),
        release.commit.unwrap().to_string(),
    );
    let key = operators_key();
    let envelope = artifact.statements[0].digest;
    let page = page(release).await;
    assert_says(
        &page,
        &[
            Verdict::Differs.sentence(),
            "Content, names, types or modes of members differ.",
            "https://rebuilder.example/",
            &key.fingerprint,
            &format!("href=\"/keys/{}.pem\"", key.id),
            "2023-11-14T22:14:20Z",
            &commit,
            &artifact.sha256.to_string(),
            "package/index.js",
            "other content",
            "and 3 more",
            "npm:index/right",
            "and 2 more",
            &format!(
                "countersign verify left-1.2.3.tgz --key {}.pem --attestation sha256-{envelope}.json",
                key.id
            ),
            "countersign rebuild --source=https://forge.example/left --tag=v1.2.3 --published=pkg:npm/left@1.2.3",
            &format!("href=\"/attestations/sha256:{envelope}\""),
        ],
    );
}

#[tokio::test]
async fn every_verdict_has_its_sentence_and_no_page_promises_more() {
    for verdict in Verdict::ALL.map(Some).into_iter().chain([None]) {
        let mut release = release(1);
        release.artifacts[0].verdict = verdict;
        release.artifacts[0].assisted_by = vec![AssistKind::LockfileInert, AssistKind::Epoch];
        let index = shown(release.clone(), "/").await.body;
        let page = page(release).await;
        let sentence = verdict.map_or("Not checked yet", Verdict::sentence);
        assert_says(&page, &[sentence, "the build&#39;s date"]);
        assert_says(&index, &[sentence]);
        for page in [page, index] {
            let page = page.to_lowercase();
            assert!(
                !page.contains("safe") && !page.contains("verified"),
                "{page}"
            );
        }
    }
}

/// Puts a text into every place that a stranger can write to.
fn hostile(text: &str) -> ReleaseView {
    let mut release = release(1);
    let text = || text.to_owned();
    release.tag = text();
    release.version = Some(text());
    release.source = format!("git+https://forge.example/{}", text());
    release.state = text();
    let artifact = &mut release.artifacts[0];
    artifact.name = text();
    artifact.purl = Some(text());
    artifact.download_location = Some(text());
    artifact.detail = Some(text());
    artifact.members[0].name = text();
    artifact.encoders[0] = text();
    artifact.missed[0] = text();
    artifact.normalizations[0].id = text();
    release.rebuilds[0].ended = Some(text());
    release.rebuilds[0].recipe = Some(text());
    release.events[0].detail = text();
    release
}

#[tokio::test]
async fn strangers_write_no_html() {
    for text in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "'><svg onload=alert(1)>",
        "</pre></title><script>x</script>",
        "{{ 7 * 7 }}",
        "&lt;script&gt;",
    ] {
        let release = hostile(text);
        for page in [page(release.clone()).await, shown(release, "/").await.body] {
            for tag in ["<script", "<img", "<svg", "</pre></title>"] {
                assert!(!page.contains(tag), "{text}: {page}");
            }
            assert!(
                !page.contains("onload=\"") && !page.contains(">49<"),
                "{page}"
            );
            // an entity that was written by a stranger is text
            assert!(
                text != "&lt;script&gt;" || page.contains("&#38;lt;script"),
                "{page}"
            );
        }
    }
}

#[tokio::test]
async fn strangers_hide_no_characters() {
    for (text, expect) in [
        ("v1\u{202e}0.1", "v1\\u{202e}0.1"),
        ("v1\u{200b}.0", "v1\\u{200b}.0"),
        ("v1\u{1b}[2J\r\n", "v1\\u{1b}[2J\\u{d}\\u{a}"),
    ] {
        let release = hostile(text);
        for page in [page(release.clone()).await, shown(release, "/").await.body] {
            assert_says(&page, &[expect]);
            let hidden = ['\u{202e}', '\u{200b}', '\u{1b}', '\r'];
            assert!(!page.contains(hidden), "{page:?}");
        }
    }
}

#[tokio::test]
async fn commands_are_quoted_and_then_escaped() {
    let mut release = release(1);
    release.tag = "v1$(touch x)'\"".to_owned();
    release.artifacts[0].name = "--key=x;id".to_owned();
    let page = page(release).await;
    assert_says(
        &page,
        &[
            "&#39;--tag=v1$(touch x)&#39;\\&#39;&#39;&#34;&#39; ",
            "countersign verify &#39;./--key=x;id&#39; --key",
        ],
    );
}

#[tokio::test]
async fn a_local_source_offers_no_command_that_cannot_work() {
    let mut release = release(1);
    release.source = "git+file:left".to_owned();
    let page = page(release).await;
    assert!(!page.contains("countersign rebuild"), "{page}");
    assert_says(&page, &["a folder of the operator"]);
}

#[tokio::test]
async fn a_page_says_which_key_signed_and_what_it_counts_for() {
    let own = "made for folders of its own";
    let gone = "not in use here any more";
    let mut release = release(1);
    let said = page(release.clone()).await;
    assert!(!said.contains(own) && !said.contains(gone), "{said}");
    release.artifacts[0].statements[0].key_id = local_key().id;
    let said = page(release.clone()).await;
    assert_says(&said, &[own, &local_key().fingerprint]);
    assert!(!said.contains(&operators_key().fingerprint), "{said}");
    release.artifacts[0].statements[0].key_id = "00ff<b>".to_owned();
    let said = page(release).await;
    assert_says(&said, &[gone, "00ff&#60;b&#62;"]);
    assert!(!said.contains("/keys/"), "{said}");
}

#[tokio::test]
async fn people_get_pages_for_what_is_not_there() {
    for path in [
        "/releases/7",
        "/releases/x",
        "/releases/%ff",
        "/nothing",
        "/%3Cscript%3E",
    ] {
        let reply = shown(release(1), path).await;
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.head.contains("text/html"), "{path}");
        assert!(!reply.body.contains("script"), "{path}");
    }
    let style = shown(release(1), "/style.css").await;
    assert!(style.status == 200 && style.head.contains("text/css"));
}

#[tokio::test]
async fn a_search_is_shown_as_text_and_goes_on() {
    let page = shown(release(1), "/?q=%22%3E%3Cscript%3E%E2%80%AEv1&limit=1").await;
    assert_says(
        &page.body,
        &[
            "value=\"&#34;&#62;&#60;script&#62;\\u{202e}v1\"",
            "Nothing here matches",
        ],
    );
    assert!(!page.body.contains("<script"), "{}", page.body);
    let releases = vec![release(1), release(2)];
    let memory = Memory {
        releases,
        ..Memory::default()
    };
    let page = ask(memory, "GET", "/?q=V1.2%26&limit=1").await;
    assert_says(&page.body, &["Nothing here matches"]);
    let memory = Memory {
        releases: vec![release(1), release(2)],
        ..Memory::default()
    };
    let page = ask(memory, "GET", "/?q=v1.&limit=1").await;
    assert_says(&page.body, &["href=\"/?q=v1.&#38;after=2\""]);
}

#[tokio::test]
async fn one_page_runs_a_script_and_its_form_needs_none() {
    let page = shown(release(1), "/by-digest").await;
    assert!(page.head.contains("; script-src 'self'; "), "{}", page.head);
    assert!(!page.head.contains("unsafe"), "{}", page.head);
    assert_says(
        &page.body,
        &[
            "<form action=\"/\" method=\"get\">",
            "name=\"q\"",
            "<script src=\"/search.js\"></script>",
        ],
    );
    for path in ["/", "/releases/1", "/releases/9", "/search.js"] {
        let other = shown(release(1), path).await;
        assert!(!other.head.contains("script-src"), "{path}");
        assert!(!other.body.contains("<script"), "{path}");
    }
    let script = shown(release(1), "/search.js").await;
    assert!(script.head.contains("text/javascript"), "{}", script.head);
}

#[tokio::test]
async fn a_difference_is_a_page_without_scripts_and_shows_strangers_text_as_text() {
    for text in [
        "lib.js",
        "<script>alert(1)</script>",
        "</code></bdi><img src=x onerror=alert(1)>",
        "\u{202e}exe.txt\u{1b}[2J",
    ] {
        let memory = Memory {
            releases: vec![release(1)],
            difference: Some(document(text)),
            ..Memory::default()
        };
        let published = release(1).artifacts[0].sha256;
        let path = format!("/releases/1/differences/sha256:{published}");
        let page = ask(memory, "GET", &path).await.body;
        for never in ["<script", "<img", "\u{202e}", "\u{1b}"] {
            assert!(!page.contains(never), "{never:?} in {page}");
        }
        assert_says(
            &page,
            &[
                "side by side",
                "only in the published file",
                "other type, other content",
                "covered by nothing",
                "odd in both: duplicate-name",
                "(2 more)",
                "href=\"/api/v1/releases/1/differences/sha256:",
            ],
        );
    }
    let overview = shown(release(1), "/releases/1").await.body;
    assert_says(
        &overview,
        &[
            "Both files side by side",
            "href=\"/releases/1/differences/sha256:",
        ],
    );
}
