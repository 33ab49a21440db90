//! Who spoke, to somebody who trusts nobody yet, and how to trust one.

use std::collections::BTreeMap;

use countersign_attest::decide::Asked;
use countersign_attest::escape::printable;
use serde_json::{Value, json};

use super::{SubjectReport, heading, line, notes};
use crate::attestation::Problem;
use crate::speakers::Speaker;

pub(super) fn text(
    asked: &Asked,
    speakers: &BTreeMap<Speaker, usize>,
    problems: &[Problem],
) -> String {
    let mut out = heading(asked);
    if speakers.is_empty() {
        line(
            &mut out,
            "Not checked yet: nothing was found that anybody signed.",
        );
        notes(&mut out, problems);
        return out;
    }
    line(
        &mut out,
        "You trust nobody yet, so nothing that was found counts. By their own word there spoke:",
    );
    for (speaker, count) in speakers {
        let who = speaker
            .rebuilder
            .as_deref()
            .unwrap_or("somebody without a name");
        let key = speaker.key_id.as_deref().unwrap_or("without an id");
        let (who, key) = (printable(who), printable(key));
        line(
            &mut out,
            &format!("  {who}  key {key}  ({count} statements)"),
        );
    }
    line(
        &mut out,
        "To trust one, learn its key by another way than this, compare, and say --key KEY; or take several \
         into a policy of yours with countersign trust add URL, and say how many must agree.",
    );
    notes(&mut out, problems);
    out
}

pub(super) fn value(
    asked: &Asked,
    speakers: &BTreeMap<Speaker, usize>,
    problems: &[Problem],
    exit_code: u8,
) -> Value {
    let speakers = speakers.iter().map(|(speaker, count)| {
        json!({"unverified_rebuilder": speaker.rebuilder, "unverified_key_id": speaker.key_id, "statements": count})
    });
    json!({
        "decision": "nobody-trusted",
        "exit_code": exit_code,
        "subject": SubjectReport::from(asked),
        "speakers": speakers.collect::<Vec<_>>(),
        "problems": super::problems(problems),
    })
}
