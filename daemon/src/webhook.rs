//! Notices to a project of a verdict that is held: what they say, and how they are signed (Standard
//! Webhooks: HMAC-SHA256 over id, time and body). The secret is read for each notice and goes nowhere.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_attest::statement::Facts;
use countersign_attest::time::Timestamp;
use ring::hmac;
use serde_json::json;
use zeroize::Zeroizing;

use crate::config::negative::Webhook;
use crate::http::{Header, Http, HttpError, HttpOptions};
use crate::keys::KeyFileError;

/// Shortest secret, as the specification has it.
const MIN_SECRET_BYTES: usize = 24;
/// What stands before a secret that is written in base64.
const BASE64_SECRET: &str = "whsec_";
/// For one notice, connection and answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most members of a comparison that a notice lists.
const MEMBERS: usize = 100;

/// Why a notice did not arrive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebhookError {
    /// The secret cannot be read.
    #[error("reading the webhook's secret")]
    Secret(#[source] KeyFileError),
    /// The secret is too short or not what it says.
    #[error(
        "the webhook's secret has fewer than {MIN_SECRET_BYTES} bytes, or is not the base64 that whsec_ says"
    )]
    WeakSecret,
    /// The address does not take it, or may not be spoken to.
    #[error("the webhook did not take it (at a private address it needs private_address: true)")]
    Http(#[source] HttpError),
    /// There is no client.
    #[error("starting the client")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A verdict that is held.
#[derive(Debug)]
pub(crate) struct Notice<'a> {
    /// The same for each try.
    pub id: &'a str,
    /// What the verdict's statement is composed from.
    pub facts: &'a Facts,
    /// When it becomes public.
    pub until: Timestamp,
}

/// Tells a project, once.
///
/// # Errors
/// Unless the address says that it took it.
pub(crate) async fn tell(
    webhook: &Webhook,
    notice: &Notice<'_>,
    now: Timestamp,
    allow_http: bool,
) -> Result<(), WebhookError> {
    let key = key(&webhook.secret.line().map_err(WebhookError::Secret)?)?;
    let body = body(notice, now).to_string();
    let time = now.unix_seconds().to_string();
    let signature = sign(&key, notice.id, &time, &body);
    let options = HttpOptions {
        total_timeout: PATIENCE,
        allow_http,
        ..HttpOptions::default()
    };
    let host = webhook.url.host_str().unwrap_or_default().to_owned();
    let exempt = webhook.private_address.then_some(host);
    let http = Http::guarded(options, exempt.into_iter().collect())
        .map_err(|error| WebhookError::Client(error.into()))?;
    let text = |text: &str| Header::from_str(text).unwrap_or(Header::from_static("")); // ASCII, all three
    let headers = [
        ("webhook-id", text(notice.id)),
        ("webhook-timestamp", text(&time)),
        ("webhook-signature", text(&signature)),
    ];
    http.post_json(&webhook.url, body.into_bytes(), &headers)
        .await
        .map_err(WebhookError::Http)
}

fn key(line: &[u8]) -> Result<hmac::Key, WebhookError> {
    let text = str::from_utf8(line).ok();
    let secret = match text.and_then(|text| text.strip_prefix(BASE64_SECRET)) {
        Some(encoded) => STANDARD
            .decode(encoded)
            .map_err(|_| WebhookError::WeakSecret)?,
        None => line.to_vec(),
    };
    let secret = Zeroizing::new(secret);
    if secret.len() < MIN_SECRET_BYTES {
        return Err(WebhookError::WeakSecret);
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &secret))
}

fn sign(key: &hmac::Key, id: &str, time: &str, body: &str) -> String {
    let tag = hmac::sign(key, format!("{id}.{time}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag.as_ref()))
}

fn body(notice: &Notice<'_>, now: Timestamp) -> serde_json::Value {
    let Facts {
        verdict,
        reason,
        rebuilder,
        source,
        published,
        rebuilt,
        comparison,
        build,
        ..
    } = notice.facts;
    let comparison = comparison.clone().map(|mut comparison| {
        let members = &mut comparison.differing_members;
        let cut = members.len().saturating_sub(MEMBERS);
        members.truncate(MEMBERS);
        comparison.unlisted_members += cut as u64;
        comparison
    });
    let rebuilt: Vec<_> = rebuilt.iter().map(|file| file.digests.sha256).collect();
    json!({
        "type": "verdict.held",
        "timestamp": now,
        "data": {
            "rebuilder": rebuilder.id,
            "publicOn": notice.until,
            "source": source.uri,
            "ref": source.reference,
            "commit": source.commit,
            "artifact": {
                "name": published.file_name, "purl": published.purl, "sha256": published.sha256,
            },
            "verdict": verdict,
            "reason": reason,
            "rebuilt": rebuilt,
            "plan": build.as_ref().map(|build| build.plan.sha256),
            "comparison": comparison,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn a_notice_is_signed_as_the_specification_says() {
        let secret = key(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = sign(
            &secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            "{\"test\": 2432232314}",
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_weak_secret_signs_nothing() {
        for bad in [
            &b""[..],
            b"short",
            b"whsec_",
            b"whsec_AAAA",
            b"whsec_not base64 at all, really",
        ] {
            assert!(matches!(key(bad), Err(WebhookError::WeakSecret)), "{bad:?}");
        }
        assert!(key(&[7; 24]).is_ok());
        assert!(key(&[7; 23]).is_err());
    }

    #[test]
    fn a_notice_says_what_was_found_and_when_it_is_public() {
        let facts = include_str!("../../attest/golden/facts/differs.json");
        let facts: Facts = serde_json::from_str(facts).unwrap();
        let until = Timestamp::from_unix_seconds(1_700_100_000).unwrap();
        let notice = Notice {
            id: "hold-1-2",
            facts: &facts,
            until,
        };
        let body = body(
            &notice,
            Timestamp::from_unix_seconds(1_700_000_000).unwrap(),
        );
        assert_eq!(body["type"], "verdict.held");
        let data = &body["data"];
        assert_eq!(
            (&data["verdict"], &data["reason"]),
            (&"differs".into(), &"content-differs".into())
        );
        assert_eq!(data["publicOn"], "2023-11-16T02:00:00Z");
        assert_eq!(
            data["comparison"]["differingMembers"][0]["name"],
            "package/index.js"
        );
    }
}
