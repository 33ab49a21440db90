//! Looking up: by name, digest and package, indexed.

use super::*;

#[tokio::test]
#[allow(
    clippy::print_stdout,
    reason = "times are for people, not for assertions"
)]
async fn ten_thousand_tags_are_polled_listed_and_looked_up() {
    let bench = Bench::new().await;
    let tags: Vec<SeenTag> = (0..10_000).map(|n| seen(&format!("v{n}"), n)).collect();
    let started = Instant::now();
    let change = bench.poll(&tags, 0).await;
    println!("10,000 new tags: {:?}", started.elapsed());
    assert_eq!(
        change,
        PollChange {
            new: 10_000,
            ..PollChange::default()
        }
    );
    let started = Instant::now();
    assert_eq!(bench.poll(&tags, 1).await, PollChange::default());
    println!("10,000 known tags: {:?}", started.elapsed());
    let started = Instant::now();
    let mut after = None;
    let mut listed = Vec::new();
    loop {
        let page = bench.store.releases(None, after, 500).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        listed.extend(page.into_iter().map(|release| release.id));
    }
    println!("20 pages of 500: {:?}", started.elapsed());
    assert_eq!(listed, (1..=10_000).rev().collect::<Vec<i64>>());
    let started = Instant::now();
    for _ in 0..100 {
        bench.store.lease(on(2), on(3)).await.unwrap().unwrap();
    }
    println!("100 leases: {:?}", started.elapsed());
}

/// A look-up must not read a whole table, however large it is.
#[tokio::test]
async fn what_is_asked_often_is_indexed() {
    let bench = Bench::new().await;
    for sql in [
        "SELECT 1 FROM artifact WHERE sha256 = 'x'",
        "SELECT 1 FROM artifact WHERE sha512 = 'x'",
        "SELECT 1 FROM json_each('[1,2]') wanted CROSS JOIN artifact a ON a.release_id = wanted.value",
        "SELECT 1 FROM statement WHERE envelope_sha256 = 'x' AND state = 'published'",
        "SELECT 1 FROM statement WHERE artifact_id = 1 AND kind = 'verdict' ORDER BY rebuild_id DESC",
        "SELECT 1 FROM statement INDEXED BY statement_pending WHERE state <> 'published' ORDER BY id",
        "SELECT 1 FROM statement s WHERE s.rebuild_id = 1 AND s.state <> 'published'",
        "SELECT 1 FROM rebuild WHERE state = 'queued' AND run_on <= 1 ORDER BY run_on, id LIMIT 1",
        "SELECT 1 FROM rebuild WHERE release_id = 1 ORDER BY id DESC LIMIT 1",
        "SELECT 1 FROM event WHERE release_id = 1",
        "SELECT 1 FROM artifact WHERE file_name IN ('x', 'y')",
    ]
    .into_iter()
    .chain(about::ARTIFACTS.split("UNION").filter(|sql| sql.contains("wanted")))
    {
        let plan = sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
        let steps: Vec<(i64, i64, i64, String)> = plan.fetch_all(&bench.store.pool).await.unwrap();
        for (.., step) in &steps {
            let is_list = step.starts_with("SCAN wanted"); // a parameter of ours
            let partial = step.contains("statement_pending");
            assert!(
                step.contains("SEARCH") || partial || is_list || step.contains("ORDER BY"),
                "{sql}: {step}"
            );
        }
    }
}

#[tokio::test]
async fn statements_are_found_by_many_digests_and_packages_at_once() {
    let bench = Bench::with(&["v1", "v2", "v3"]).await;
    for _ in 0..3 {
        bench
            .judge(Verdict::Reproduced, &[Kind::Verdict, Kind::Provenance])
            .await;
    }
    let purls = "UPDATE artifact SET published = json_set(published, '$.purl', CASE id
        WHEN 1 THEN 'pkg:pypi/a@1?file_name=x' WHEN 2 THEN 'pkg:pypi/a@1.5' ELSE 'pkg:pypi/a@1' END)";
    bench.damage(purls).await;
    let ask = async |about: &[&str], limit: u32| {
        let about = about.iter().map(|text| match text.parse() {
            Ok(digest) => Sought::Digest(digest),
            Err(_) => Sought::Package(text.parse().unwrap()),
        });
        let found = bench
            .store
            .statements(about.collect(), limit)
            .await
            .unwrap();
        found.len()
    };
    assert_eq!(ask(&["pkg:pypi/a@1"], 9).await, 0, "not published");
    bench.publish().await;
    // of the same package in that version, however it says which file; verdicts alone
    assert_eq!(ask(&["pkg:pypi/a@1"], 9).await, 2);
    assert_eq!(ask(&["pkg:pypi/a@1?file_name=y"], 9).await, 2);
    assert_eq!(ask(&["pkg:pypi/a@1.5", "pkg:pypi/a@1"], 9).await, 3);
    assert_eq!(ask(&["pkg:pypi/a@1.5", "pkg:pypi/a@1"], 2).await, 2);
    assert_eq!(ask(&["pkg:pypi/b@1", "pkg:npm/a@1"], 9).await, 0);
    let view = bench.store.release_view(1).await.unwrap().unwrap();
    let artifact = &view.artifacts[0];
    let sha256 = format!("sha256:{}", artifact.sha256);
    let sha512 = format!("sha512:{}", artifact.sha512.unwrap());
    assert_eq!(ask(&[&sha256], 9).await, 1);
    assert_eq!(ask(&[&sha256, &sha512, &sha256], 9).await, 1, "each once");
    assert_eq!(ask(&[&format!("sha256:{}", Sha256::of(b"x"))], 9).await, 0);
}

#[tokio::test]
async fn releases_are_found_by_pieces_of_names_and_by_digest() {
    let bench = Bench::with(&["v1", "V2%", "v_3"]).await;
    let ids = async |query: &str| {
        let find = Find::parse(query).unwrap();
        let found = bench.store.releases(find, None, 10).await.unwrap();
        found.iter().map(|release| release.id).collect::<Vec<i64>>()
    };
    let all = ids("").await;
    assert_eq!(all.len(), 3);
    let tag = async |query: &str| {
        let found = ids(query).await;
        let list = bench.store.releases(None, None, 10).await.unwrap();
        let tags = list.into_iter().filter(|r| found.contains(&r.id));
        tags.map(|r| r.tag).collect::<Vec<_>>()
    };
    assert_eq!(tag("V1").await, ["v1"]);
    assert_eq!(tag("v2").await, ["V2%"]);
    // no letter of a search is a pattern
    assert_eq!(tag("%").await, ["V2%"]);
    assert_eq!(tag("_").await, ["v_3"]);
    assert!(tag("v%1").await.is_empty());
    assert!(tag("' OR 1=1 --").await.is_empty());
    let list = bench.store.releases(None, None, 10).await.unwrap();
    assert_eq!(ids(&list[0].source.to_uppercase()).await, all);
    bench.judge(Verdict::Reproduced, &[Kind::Verdict]).await;
    let purl = "UPDATE artifact SET published = json_set(published, '$.purl', 'pkg:npm/left@1')";
    bench.damage(purl).await;
    let view = bench.store.release_view(1).await.unwrap().unwrap();
    let artifact = &view.artifacts[0];
    assert_eq!(ids(&artifact.sha256.to_string()).await, [1]);
    assert_eq!(ids(&artifact.name.to_uppercase()).await, [1]);
    assert_eq!(ids("PKG:npm/LEFT@").await, [1]);
    assert!(ids(&Sha256::of(b"another").to_string()).await.is_empty());
    let sha512 = artifact.sha512.unwrap();
    assert_eq!(ids(&format!("sha512:{sha512}")).await, [1]);
    let after = bench.store.releases(Find::parse("v").unwrap(), Some(2), 10);
    assert_eq!(after.await.unwrap().len(), 1);
}
