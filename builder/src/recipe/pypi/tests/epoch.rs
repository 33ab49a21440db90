//! Tests of a date that only the publisher chose.

use countersign_attest::origin::AssistKind;

use super::*;

/// One date of the publisher's own is one value, copied before the times of each member are.
#[test]
fn the_publishers_date_is_copied_where_it_is_one_for_all() {
    let day = 1_600_000_000;
    let of_publisher = |times: &[i64]| {
        let mut facts = facts(WHEEL);
        facts.says().times = times.to_vec();
        facts.says().recorded = Some(Recorded {
            packed: None,
            members: Vec::new(),
        });
        facts.tried(Verdict::Differs);
        facts.tried(Verdict::Equivalent);
        facts
    };
    let epoch = |facts: &Facts| {
        facts
            .candidate()
            .variables
            .get("SOURCE_DATE_EPOCH")
            .cloned()
    };
    for times in [&[][..], &[day, day + 2], &[COMMIT], &[315_532_800]] {
        assert_eq!(epoch(&of_publisher(times)), None, "{times:?}");
    }
    let mut facts = of_publisher(&[day]);
    let copied = Valued::new(day.to_string(), Origin::Artifact);
    assert_eq!(epoch(&facts), Some(copied));
    let assists = facts.candidate().assists;
    assert_eq!(assists.len(), 1);
    assert_eq!(assists[0].kind, AssistKind::Epoch);
    assert_eq!(assists[0].sha256, Sha256::of(day.to_string().as_bytes()));
    // nothing came of it: then what is recorded
    facts.tried(Verdict::Indeterminate);
    assert_eq!(epoch(&facts), None);
    assert_eq!(facts.candidate().assists[0].kind, AssistKind::FileTimes);
    // it gave the bytes
    let mut facts = of_publisher(&[day]);
    facts.tried(Verdict::Assisted);
    assert_eq!(facts.next(), Next::Enough);
    // nothing has the same content
    let mut facts = self::facts(WHEEL);
    facts.says().times = vec![day];
    facts.tried(Verdict::Differs);
    facts.tried(Verdict::Differs);
    assert_eq!(facts.next(), Next::Enough);
}
