use super::*;
use crate::{
    api::condition::{Finding, conditions},
    decide::record::fixtures::{at, check, key},
};

fn record(version: &str, found: bool) -> Recorded {
    Recorded { version: version.into(), uuid: None, at: Time(at(1)), found, would_deny: None }
}

/// A status with this version recorded, and these before.
fn recorded(version: &str, before: &[&str]) -> PactDeploymentStatus {
    let history = before.iter().map(|version| record(version, false)).collect();
    PactDeploymentStatus { recorded: Some(record(version, false)), history, ..status() }
}

/// A status after nothing is recorded any more.
fn left(reason: Reason) -> PactDeploymentStatus {
    PactDeploymentStatus { conditions: with("Ready", reason, "why"), ..PactDeploymentStatus::default() }
}

fn corrected(version: &str) -> PactDeploymentStatus {
    PactDeploymentStatus { corrected_version: Some("2".into()), ..recorded(version, &[]) }
}

fn judged(checks: Vec<Check>) -> PactDeploymentStatus {
    PactDeploymentStatus { checks, ..status() }
}

fn bypassed(statement: &str) -> PactDeploymentStatus {
    PactDeploymentStatus {
        desired_version: Some("2".into()),
        conditions: with(BYPASSED, Reason::RolloutBypassed, statement),
        ..status()
    }
}

fn with(type_: &'static str, reason: Reason, message: &str) -> Vec<Condition> {
    conditions(&[], &[Finding::new(type_, true, reason, message)], None, at(1))
}

fn members() -> Vec<Member> {
    let member = |number: usize| Member {
        kind: "Deployment".into(),
        namespace: "shop".into(),
        name: format!("orders-{number}"),
        version: Some("2".into()),
        earlier_versions: Vec::new(),
        rollout: "Complete".into(),
        without_pods: false,
        problem: None,
    };
    (0..7).map(member).collect()
}

fn status() -> PactDeploymentStatus {
    PactDeploymentStatus { members: members(), ..PactDeploymentStatus::default() }
}

fn object(status: PactDeploymentStatus) -> PactDeployment {
    let mut object = PactDeployment::new("name", key("production", "orders").spec());
    object.status = Some(status);
    object
}

/// What is announced, in short: kind, version, the one before, message.
fn told(before: PactDeploymentStatus, after: PactDeploymentStatus, verdicts: bool) -> Vec<String> {
    let object = object(before);
    let after = announced(Some(&object), after, &[Sink::CdEvents], verdicts, at(9));
    let text = |one: &Announcement| {
        let previous = one.previous_version.as_ref().map(|it| format!("<{it}")).unwrap_or_default();
        format!("{} {}{previous} {}", one.kind, one.version, one.message).trim_end().to_owned()
    };
    after.announcements.iter().map(text).collect()
}

#[test]
fn what_is_announced_is_what_the_status_newly_says() {
    let by_others = PactDeploymentStatus { recorded: Some(record("2", true)), ..status() };
    let taken_back = PactDeploymentStatus { recorded: None, ..recorded("2", &["2"]) };
    let desired = PactDeploymentStatus { desired_version: Some("2".into()), ..status() };
    let all = PactDeploymentStatus {
        recorded: Some(record("2", false)),
        checks: vec![check("2", "No", true)],
        ..bypassed("by it")
    };
    let rows: Vec<(&str, PactDeploymentStatus, PactDeploymentStatus, &[&str])> = vec![
        ("nothing", status(), desired, &[]),
        ("first", status(), recorded("2", &[]), &["Deployed 2"]),
        ("first, by others", status(), by_others.clone(), &["Deployed 2 another client had recorded it"]),
        ("another version", recorded("1", &["0"]), recorded("2", &["1", "0"]), &["Upgraded 2<1"]),
        ("one that was recorded before", recorded("2", &["1", "0"]), recorded("0", &["2", "1"]), &["RolledBack 0<2"]),
        ("the same after it was taken back", taken_back, recorded("2", &[]), &["Deployed 2"]),
        ("another row of the same version", by_others, recorded("2", &[]), &[]),
        ("taken back", recorded("2", &[]), left(Reason::Undeployed), &["Removed 2 why"]),
        ("gone, and the row is not ours", recorded("2", &[]), left(Reason::RecordedByOthers), &["Removed 2 why"]),
        ("no longer annotated", recorded("2", &[]), left(Reason::Unmanaged), &[]),
        ("corrected", recorded("2", &[]), corrected("2"), &["Drift 2"]),
        ("corrected before", corrected("2"), corrected("3"), &["Upgraded 3<2"]),
        (
            "would be denied",
            judged(vec![check("1", "No", true)]),
            judged(vec![check("2", "No", true), check("1", "No", true)]),
            &["WouldDeny 2"],
        ),
        (
            "would be denied for another reason, or no longer",
            judged(vec![check("2", "Unknown", true), check("1", "No", true)]),
            judged(vec![check("2", "No", true), check("1", "Yes", false)]),
            &["WouldDeny 2"],
        ),
        ("by a statement", status(), bypassed("a states that 2 passes"), &["Bypassed 2 a states that 2 passes"]),
        ("by the same statement", bypassed("same"), PactDeploymentStatus { next_try: None, ..bypassed("same") }, &[]),
        ("by another one", bypassed("this"), bypassed("that"), &["Bypassed 2 that"]),
        ("all at once", recorded("1", &[]), all, &["Upgraded 2<1", "WouldDeny 2", "Bypassed 2 by it"]),
    ];
    for (what, before, after, wanted) in rows {
        assert_eq!(told(before, after, true), wanted, "{what}");
    }
}

#[test]
fn verdicts_are_announced_where_the_gate_judges() {
    let after = judged(vec![check("2", "No", true)]);
    assert_eq!(told(status(), after.clone(), true), ["WouldDeny 2"]);
    assert!(told(status(), after, false).is_empty());
}

#[test]
fn numbers_grow_workloads_are_named_and_the_first_status_counts() {
    let sinks = [Sink::CdEvents, Sink::Webhook];
    let after = recorded("2", &[]);
    let first = announced(None, after.clone(), &sinks, true, at(9));
    let one = &first.announcements[0];
    assert_eq!((one.sequence, one.at.0, one.sinks.join(",").as_str()), (1, at(9), "cdevents,webhook"));
    assert_eq!(one.workloads.len(), WORKLOADS_NAMED);
    assert_eq!(one.workloads[0], "Deployment shop/orders-0");
    let next = PactDeploymentStatus { recorded: Some(record("3", false)), ..first.clone() };
    let second = announced(Some(&object(first)), next, &sinks, true, at(10));
    assert_eq!(second.announcements.iter().map(|one| one.sequence).collect::<Vec<_>>(), [1, 2]);
    assert!(announced(None, after, &[], true, at(9)).announcements.is_empty(), "without a sink");
}

fn waiting(sequences: std::ops::RangeInclusive<i64>, sinks: &[Sink]) -> Vec<Announcement> {
    let one = |sequence| Announcement {
        sequence,
        kind: "Deployed".into(),
        at: Time(at(1)),
        version: "1".into(),
        previous_version: None,
        workloads: Vec::new(),
        message: String::new(),
        sinks: sinks.iter().map(|sink| sink.name().to_owned()).collect(),
    };
    sequences.map(one).collect()
}

/// The numbers after one more announcement, of an object with these and with marks, and how many were dropped.
fn after(before: Vec<Announcement>, marks: &[(Sink, &str)], sinks: &[Sink]) -> (Vec<i64>, usize) {
    let before = PactDeploymentStatus { announcements: before, ..status() };
    let after = PactDeploymentStatus { recorded: Some(record("2", false)), ..before.clone() };
    let mut object = object(before);
    let marks = marks.iter().map(|(sink, mark)| (sink.annotation(), (*mark).to_owned()));
    object.metadata.annotations = Some(marks.collect());
    let after = announced(Some(&object), after, sinks, true, at(9));
    let dropped = dropped(Some(&object), &after, sinks);
    (after.announcements.iter().map(|one| one.sequence).collect(), dropped)
}

#[test]
fn what_every_sink_has_is_left_out_with_the_next_write_and_what_is_too_much_is_counted() {
    let (events, webhook) = (Sink::CdEvents, Sink::Webhook);
    let both = [events, webhook];
    for (what, before, marks, wanted) in [
        ("no sink has one", waiting(1..=3, &both), vec![], (vec![1, 2, 3, 4], 0)),
        ("one sink has them", waiting(1..=3, &both), vec![(events, "3")], (vec![1, 2, 3, 4], 0)),
        ("both have some", waiting(1..=3, &both), vec![(events, "3"), (webhook, "1")], (vec![2, 3, 4], 0)),
        ("both have all", waiting(1..=3, &both), vec![(events, "3"), (webhook, "3")], (vec![3, 4], 0)),
        ("they are for one", waiting(1..=3, &[events]), vec![(events, "2")], (vec![3, 4], 0)),
        ("the list was lost", vec![], vec![(events, "7"), (webhook, "8")], (vec![9], 0)),
        (
            "a mark that nobody counts up to",
            waiting(1..=2, &both),
            vec![(events, "9223372036854775807")],
            (vec![1, 2, 3], 0),
        ),
        ("a mark is no number", waiting(1..=2, &both), vec![(events, "x")], (vec![1, 2, 3], 0)),
        ("too many", waiting(1..=32, &both), vec![], ((2..=33).collect(), 1)),
        ("too many, but delivered", waiting(1..=32, &[events]), vec![(events, "30")], (vec![31, 32, 33], 0)),
    ] {
        assert_eq!(after(before, &marks, &both), wanted, "{what}");
    }
    assert_eq!(after(waiting(1..=3, &both), &[], &[events]).0, [1, 2, 3, 4]);
    assert_eq!(after(waiting(1..=3, &both), &[(events, "2")], &[events]).0, [3, 4], "the webhook is no sink any more");
}

#[test]
fn without_sinks_the_next_write_clears_what_waited_and_the_numbers_go_on_later() {
    let before = PactDeploymentStatus { announcements: waiting(1..=3, &[Sink::CdEvents]), ..status() };
    let after = PactDeploymentStatus { recorded: Some(record("2", false)), ..before.clone() };
    let mut object = object(before);
    object.metadata.annotations = Some([(Sink::CdEvents.annotation(), "2".to_owned())].into());
    let off = announced(Some(&object), after.clone(), &[], true, at(9));
    assert_eq!(off.announcements, []);
    assert_eq!(dropped(Some(&object), &off, &[]), 0);
    object.status = Some(off.clone());
    let on = PactDeploymentStatus { recorded: Some(record("3", false)), ..off };
    let on = announced(Some(&object), on, &[Sink::CdEvents], true, at(10));
    assert_eq!(on.announcements.iter().map(|one| one.sequence).collect::<Vec<_>>(), [3]);
}

#[test]
fn a_status_without_news_stays_as_it_is() {
    let same = PactDeploymentStatus { announcements: waiting(1..=3, &[Sink::CdEvents]), ..status() };
    let mut object = object(same.clone());
    object.metadata.annotations = Some([(Sink::CdEvents.annotation(), "3".to_owned())].into());
    assert_eq!(announced(Some(&object), same.clone(), &[Sink::CdEvents], true, at(9)), same, "no write for a mark");
}
