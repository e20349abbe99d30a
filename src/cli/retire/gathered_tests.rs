use super::*;
use crate::{
    api::{PactEnvironment, names::Version},
    decide::record::fixtures::environment_ref,
};

fn row(uuid: &str) -> Row {
    Row { version: Version::parse("1").unwrap(), uuid: uuid.into() }
}

#[test]
fn what_counts_is_whether_the_row_is_there_and_where_that_is_not_known_it_is_said() {
    let there = || Ok(KeyAtBroker { row: Some(row("ours")), ..KeyAtBroker::default() });
    let released = || Ok(KeyAtBroker { releases: vec![row("ours")], ..KeyAtBroker::default() });
    let gone = || Ok(KeyAtBroker { row: Some(row("theirs")), ..KeyAtBroker::default() });
    let unreadable = || Ok(KeyAtBroker { unreadable: true, ..KeyAtBroker::default() });
    let no_answer =
        || BrokerError::Busy { operation: crate::broker::Operation::Undeploy, waited: std::time::Duration::ZERO };
    let forbidden = || BrokerError::Forbidden { operation: crate::broker::Operation::Undeploy };
    for (what, written, after, expected) in [
        ("done", Ok(()), gone(), "done"),
        ("done, and the answer was lost", Err(no_answer()), gone(), "done"),
        ("not kept", Ok(()), there(), "failed"),
        ("a release that was not ended", Ok(()), released(), "failed"),
        ("refused", Err(forbidden()), there(), "failed"),
        ("refused, and not read", Err(forbidden()), Err(no_answer()), "failed"),
        ("taken, and not read", Ok(()), Err(no_answer()), "unknown"),
        ("lost, and not read", Err(no_answer()), Err(no_answer()), "unknown"),
        ("lost, and not to be read", Err(no_answer()), unreadable(), "unknown"),
        ("taken, and other rows not to be read", Ok(()), unreadable(), "done"),
    ] {
        let ended = match ended("ours", written, after) {
            Ok(()) => "done",
            Err(NotDone::Failed(_)) => "failed",
            Err(NotDone::Unknown(_)) => "unknown",
        };
        assert_eq!(ended, expected, "{what}");
    }
}

fn environment(name: &str, broker: &str, record: &serde_json::Value) -> PactEnvironment {
    let object = serde_json::json!({
        "apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactEnvironment", "metadata": {"name": name},
        "spec": {"brokerRef": {"name": broker}, "environment": "production", "namespaces": {"all": true}, "record": record},
    });
    serde_json::from_value(object).unwrap()
}

#[test]
fn what_cannot_be_followed_or_is_gone_says_nothing() {
    let usual = || environment("usual", "main", &serde_json::json!({}));
    let drained = || environment("drained", "main", &serde_json::json!({"undeploy": "Never", "adopt": true}));
    let elsewhere = || environment("elsewhere", "other", &serde_json::json!({"undeploy": "Never"}));
    let broken = |of: PactEnvironment| {
        let mut of = of;
        of.spec.version.tag_pattern = Some("(".to_owned());
        of
    };
    let undeploys = |environments: Vec<PactEnvironment>| {
        let installed = Installed { environments, ..Installed::default() };
        says(&installed, &environment_ref("production")).map(|says| (says.undeploys, says.adopts))
    };
    assert_eq!(undeploys(vec![usual(), elsewhere()]), Some((true, false)));
    assert_eq!(undeploys(vec![drained()]), Some((false, true)));
    assert_eq!(undeploys(vec![usual(), drained()]), Some((false, false)), "what one keeps is kept");
    assert_eq!(undeploys(vec![elsewhere()]), None, "it is deleted");
    assert_eq!(undeploys(vec![broken(drained())]), None);
    assert_eq!(undeploys(vec![usual(), broken(drained())]), None);
    assert_eq!(undeploys(vec![usual(), broken(elsewhere())]), Some((true, false)));
}

#[test]
fn a_record_that_says_something_else_by_now_is_another() {
    let status = |json: serde_json::Value| -> PactDeploymentStatus { serde_json::from_value(json).unwrap() };
    let recorded = |version: &str, uuid: &str| serde_json::json!({"version": version, "uuid": uuid, "at": "2026-11-30T09:12:00Z", "found": false});
    let one = || status(serde_json::json!({"recorded": recorded("1", "uuid-1")}));
    let orphaned = serde_json::json!({"recorded": recorded("1", "uuid-1"), "orphanedSince": "2026-11-30T09:12:00Z"});
    assert!(says_the_same(&one(), &status(orphaned)));
    for other in [
        serde_json::json!({"recorded": recorded("2", "uuid-1")}),
        serde_json::json!({"recorded": recorded("1", "uuid-2")}),
        serde_json::json!({"recorded": recorded("1", "uuid-1"), "intended": ["2"]}),
        serde_json::json!({"recorded": recorded("1", "uuid-1"), "supported": [recorded("3", "r")]}),
        serde_json::json!({}),
    ] {
        assert!(!says_the_same(&one(), &status(other.clone())), "{other}");
    }
}
