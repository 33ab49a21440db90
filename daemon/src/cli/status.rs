//! `countersign status`: repositories, the queue, and what waits for an operator.

use std::fmt::Write as _;

use countersign_attest::escape::printable;

use super::{Exit, Format, output};
use crate::config::Config;
use crate::pipeline::issue::store_fault;
use crate::store::Store;
use crate::store::holds::HoldView;
use crate::trouble::Trouble;

pub(super) async fn run(config: &Config, format: Format) -> Result<Exit, Trouble> {
    let store = Store::open_beside(&config.data)
        .await
        .map_err(store_fault)?;
    let (repositories, waiting, held) = match &store {
        None => (Vec::new(), Vec::new(), Vec::new()),
        Some(store) => (
            store.repository_views().await.map_err(store_fault)?,
            store.waiting_views().await.map_err(store_fault)?,
            store.hold_views().await.map_err(store_fault)?,
        ),
    };
    if format == Format::Json {
        output::json(&serde_json::json!({
            "repositories": repositories, "waiting": waiting, "held": held,
        }))?;
        return Ok(Exit::Good);
    }
    let mut text = String::new();
    for repository in &repositories {
        let last = repository
            .last_poll_on
            .map_or_else(|| "never".to_owned(), |on| on.to_string());
        let _ = writeln!(
            text,
            "{}\n  polled {last}, next {}",
            printable(&repository.source),
            repository.next_poll_on
        );
        if let Some(problem) = &repository.problem {
            let _ = writeln!(
                text,
                "  failed {} times: {}",
                repository.failures,
                printable(problem)
            );
        }
    }
    if repositories.is_empty() {
        text.push_str("nothing was polled yet\n");
    }
    for one in &waiting {
        let _ = writeln!(
            text,
            "release {} {} {}: {}",
            one.release,
            printable(&one.source),
            printable(&one.tag),
            match one.state.as_str() {
                "moved" => "its tag moved; `countersign release ack` accepts the change".to_owned(),
                "cancelled" => "given up; `countersign release retry` tries again".to_owned(),
                "queued" => format!("queued for {}", one.run_on),
                "judged" => "judged; not all of its statements are public yet".to_owned(),
                other => other.to_owned(),
            }
        );
        if let Some(problem) = &one.problem {
            let _ = writeln!(
                text,
                "  after {} tries: {}",
                one.attempt,
                printable(problem)
            );
        }
    }
    held.iter().for_each(|hold| show_hold(&mut text, hold));
    output::text(&text)?;
    Ok(Exit::Good)
}

/// What only the operator sees.
fn show_hold(text: &mut String, hold: &HoldView) {
    let public = hold.until.map_or_else(
        || "kept back for good".to_owned(),
        |until| format!("public on {until}"),
    );
    let reason = hold.reason.map(|reason| format!("/{reason}"));
    let _ = writeln!(
        text,
        "release {} {} {} {}: {}{}, {public}",
        hold.release,
        printable(&hold.source),
        printable(&hold.tag),
        printable(&hold.artifact),
        hold.verdict,
        reason.unwrap_or_default(),
    );
    if let Some(detail) = &hold.detail {
        let _ = writeln!(text, "  {}", printable(detail));
    }
    if let Some(on) = hold.noticed_on {
        let _ = writeln!(text, "  the project was told on {on}");
    }
    if let Some(problem) = &hold.notice_problem {
        let _ = writeln!(text, "  the project was not told: {}", printable(problem));
    }
}
