use super::*;
use crate::{
    decide::{
        pact_record::RecordSeen,
        record::fixtures::{at, failed, key, key_of_instance, mixed, progressing, reference, terminating, version},
    },
    workload::{IdentityProblem, NotOwned, VersionProblem},
};

fn has(version: &str) -> RecordSeen {
    RecordSeen {
        recorded: Some(version.into()),
        settled: true,
        reason: Some(Reason::Recorded),
        ..RecordSeen::default()
    }
}

fn waits(recorded: Option<&str>, reason: Reason) -> RecordSeen {
    RecordSeen { recorded: recorded.map(str::to_owned), reason: Some(reason), ..RecordSeen::default() }
}

/// `orders` at a version in `production`, whose record is this.
fn runs(text: &str, record: impl Into<Option<RecordSeen>>) -> SeenKey {
    SeenKey {
        key: key("production", "orders"),
        version: Ok(version(text)),
        beyond_limit: false,
        stranger: false,
        record: record.into(),
    }
}

/// The Deployment `orders` in `shop` at generation 7, finished and mapped.
fn seen(keys: Vec<SeenKey>) -> Seen {
    Seen {
        workload: reference("shop", "orders"),
        generation: 7,
        annotated: true,
        template: false,
        mapping: NamespaceMapping::Mapped(vec!["production".into()]),
        problems: Vec::new(),
        unusable: Vec::new(),
        rollout: RolloutState::Complete,
        keys,
    }
}

fn why(seen: Seen, wanted: Option<&str>) -> Reason {
    let outcome = outcome(&Found::Seen(seen), wanted);
    assert_eq!(outcome.recorded(), outcome.why.reason == Reason::Recorded);
    assert!(!outcome.why.message.is_empty());
    outcome.why.reason
}

#[test]
fn it_is_recorded_when_every_key_has_what_runs() {
    let mut both = seen(vec![runs("2", has("2")), SeenKey { key: key("staging", "orders"), ..runs("2", has("2")) }]);
    let told = outcome(&Found::Seen(both.clone()), None);
    assert!(told.recorded());
    assert_eq!(told.why.message, "Deployment orders: 2 is recorded in production, staging");
    assert_eq!((told.workload_generation, told.version.as_deref()), (Some(7), Some("2")));
    let records: Vec<_> =
        told.records.iter().map(|it| (it.environment.as_str(), it.recorded.as_deref(), it.reason.as_str())).collect();
    assert_eq!(records, [("production", Some("2"), "Recorded"), ("staging", Some("2"), "Recorded")]);

    both.keys[1].record = Some(waits(Some("1"), Reason::VersionMissing));
    let told = outcome(&Found::Seen(both.clone()), None);
    assert_eq!(told.why.reason, Reason::VersionMissing);
    assert!(told.why.message.starts_with("orders 2 is not recorded in staging. "), "{}", told.why.message);
    assert_eq!((told.records[1].recorded.as_deref(), told.records[1].reason.as_str()), (Some("1"), "VersionMissing"));

    // What a person has to act on comes first.
    both.keys[0].record = Some(waits(None, Reason::EnvironmentMissing));
    both.keys[1].record = Some(waits(None, Reason::Contested));
    assert_eq!(why(both, None), Reason::Contested);
}

#[test]
fn a_scaled_down_workload_counts_and_an_instance_is_a_key_of_its_own() {
    let eu = SeenKey { key: key_of_instance("production", "orders", "eu"), ..runs("2", has("2")) };
    let asleep = Seen { rollout: RolloutState::ScaledToZero, ..seen(vec![eu]) };
    let told = outcome(&Found::Seen(asleep), Some("2"));
    assert!(told.recorded());
    assert_eq!(told.records[0].application_instance.as_deref(), Some("eu"));
}

#[test]
fn a_rollout_that_is_not_finished_is_never_recorded() {
    for (rollout, reason) in [
        (progressing(), Reason::RolloutInProgress),
        (terminating(9), Reason::RolloutInProgress),
        (RolloutState::Deleting, Reason::RolloutInProgress),
        (RolloutState::Paused, Reason::RolloutPaused),
        (failed(), Reason::RolloutFailed),
        (mixed(), Reason::Mixed),
    ] {
        let unfinished = Seen { rollout: rollout.clone(), ..seen(vec![runs("2", has("2"))]) };
        assert_eq!(why(unfinished, None), reason, "{rollout:?}");
    }
    let terminates = Seen { rollout: terminating(9), ..seen(Vec::new()) };
    assert_eq!((terminates.look_again(), seen(Vec::new()).look_again()), (Some(at(9)), None));
    // Its progress is no news.
    let at_generation = |message: &str| {
        let rollout = RolloutState::Progressing { message: message.into() };
        outcome(&Found::Seen(Seen { rollout, ..seen(vec![runs("2", has("1"))]) }), None)
    };
    assert_eq!(at_generation("1 of 9"), at_generation("2 of 9"));
}

#[test]
fn what_is_said_of_another_version_is_no_answer() {
    for (record, reason) in [
        (None, Reason::NotRecorded),
        (Some(has("1")), Reason::NotRecorded),
        (Some(waits(Some("1"), Reason::RolloutInProgress)), Reason::NotRecorded),
        (Some(waits(None, Reason::Undeployed)), Reason::NotRecorded),
        (Some(RecordSeen { in_doubt: true, ..has("2") }), Reason::NotRecorded),
        (Some(waits(Some("1"), Reason::BrokerUnavailable)), Reason::BrokerUnavailable),
        (Some(waits(Some("2"), Reason::Mixed)), Reason::Mixed),
    ] {
        assert_eq!(why(seen(vec![runs("2", record.clone())]), None), reason, "{record:?}");
    }
}

#[test]
fn the_version_that_is_waited_for_must_be_the_one_that_runs() {
    assert_eq!(why(seen(vec![runs("2", has("2"))]), Some("2")), Reason::Recorded);
    let told = outcome(&Found::Seen(seen(vec![runs("2", has("2"))])), Some("3"));
    assert_eq!(told.why.reason, Reason::OtherVersion);
    assert_eq!(told.why.message, "Deployment orders has 2, and 3 is waited for");
    assert_eq!(told.records[0].reason, "OtherVersion");
    // Environments may read another version from the same tag.
    let differ = seen(vec![runs("2", has("2")), SeenKey { key: key("staging", "orders"), ..runs("v2", has("v2")) }]);
    assert_eq!(outcome(&Found::Seen(differ.clone()), None).version, None);
    assert_eq!(why(differ, Some("2")), Reason::OtherVersion);
}

#[test]
fn what_a_person_has_to_mend_is_said_before_anything_else() {
    let fine = || seen(vec![runs("2", has("2"))]);
    let claimants = vec!["a".to_owned(), "b".to_owned()];
    let not_owned = NotOwned {
        pacticipant: crate::api::names::Pacticipant::parse("orders").unwrap(),
        namespace: "shop".into(),
        owners: vec!["secret-team".into()],
    };
    for (what, seen, reason) in [
        ("a template", Seen { template: true, ..fine() }, Reason::TemplateOnly),
        ("no annotation", Seen { annotated: false, ..fine() }, Reason::NotAnnotated),
        ("no environment", Seen { mapping: NamespaceMapping::Unmapped, ..fine() }, Reason::NamespaceUnmapped),
        (
            "several environments",
            Seen { mapping: NamespaceMapping::Conflicted(claimants), ..fine() },
            Reason::Conflicted,
        ),
        (
            "an empty name",
            Seen { problems: vec![Problem::Identity(IdentityProblem::EmptyPacticipant)], ..fine() },
            Reason::PacticipantEmpty,
        ),
        (
            "the name of others",
            Seen { problems: vec![Problem::NotOwned(not_owned.clone())], ..fine() },
            Reason::NotOwned,
        ),
        (
            "rules that cannot be followed",
            Seen { unusable: vec!["staging".into()], ..fine() },
            Reason::InvalidEnvironment,
        ),
        (
            "no version",
            seen(vec![SeenKey { version: Err(VersionProblem::NoContainers), ..runs("2", has("2")) }]),
            Reason::VersionUnresolved,
        ),
        ("too many names", seen(vec![SeenKey { beyond_limit: true, ..runs("2", has("2")) }]), Reason::NamespaceLimit),
        ("a stranger", seen(vec![SeenKey { stranger: true, ..runs("2", has("1")) }]), Reason::Stranger),
    ] {
        let told = outcome(&Found::Seen(seen), Some("2"));
        assert_eq!(told.why.reason, reason, "{what}");
        assert_eq!(told.why.reason.meaning(), Meaning::Stalled, "{what}");
        assert!(!told.why.message.contains("secret-team"), "{what}: {}", told.why.message);
    }
    // A key of its namespace that the index does not have yet.
    assert_eq!(why(seen(Vec::new()), None), Reason::NotRecorded);
}

#[test]
fn a_stranger_is_not_told_what_is_recorded_for_others() {
    for key in
        [SeenKey { stranger: true, ..runs("2", has("1")) }, SeenKey { beyond_limit: true, ..runs("2", has("1")) }]
    {
        assert_eq!(outcome(&Found::Seen(seen(vec![key])), None).records[0].recorded, None);
    }
}

#[test]
fn a_workload_that_is_not_there_is_waited_for() {
    let missing = outcome(&Found::Missing(reference("shop", "orders")), None);
    assert_eq!((missing.why.reason, missing.workload_generation), (Reason::WorkloadMissing, None));
    assert_eq!(missing.why.reason.meaning(), Meaning::UnderWay);
    let unread = Explanation::new(Reason::ApiServerUnavailable, "no answer");
    assert_eq!(outcome(&Found::Unknown(unread.clone()), None).why, unread);
}
