//! The edges of a pass: when an object is deleted, when a rollout is reported already, and times.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{super::retry::later, *};
use crate::{
    api::deployment::Recorded,
    decide::record::fixtures::{at, key, member, progressing, terminating, version},
};

fn why(reason: Reason) -> Explanation {
    Explanation::new(reason, "message")
}

fn object(status: Option<PactDeploymentStatus>) -> PactDeployment {
    let mut object = PactDeployment::new("name", key("production", "orders").spec());
    object.status = status;
    object
}

#[test]
fn an_object_is_deleted_only_when_nothing_was_ever_recorded() {
    let record = || Recorded { version: "1".into(), uuid: None, at: Time(at(1)), found: false, would_deny: None };
    assert!(never_recorded(None));
    assert!(never_recorded(Some(&object(None))));
    assert!(never_recorded(Some(&object(Some(PactDeploymentStatus::default())))));
    for status in [
        PactDeploymentStatus { recorded: Some(record()), ..PactDeploymentStatus::default() },
        PactDeploymentStatus { supported: vec![record()], ..PactDeploymentStatus::default() },
        PactDeploymentStatus { history: vec![record()], ..PactDeploymentStatus::default() },
    ] {
        assert!(!never_recorded(Some(&object(Some(status.clone())))), "{status:?}");
    }
}

#[test]
fn a_rollout_in_progress_is_reported_once_for_each_reason_and_version() {
    let reported = RecordState::Waiting { why: why(Reason::RolloutInProgress), version: Some(version("2")) };
    let shown = status(None, &[member("a", Ok("2"), progressing())], &reported, at(1));
    assert!(reports(&shown, &why(Reason::RolloutInProgress), Some(&version("2"))));
    assert!(reports(&shown, &Explanation::new(Reason::RolloutInProgress, "another message"), Some(&version("2"))));
    assert!(!reports(&shown, &why(Reason::Mixed), Some(&version("2"))));
    assert!(!reports(&shown, &why(Reason::RolloutInProgress), Some(&version("3"))));
    assert!(!reports(&shown, &why(Reason::RolloutInProgress), None));
    assert!(!reports(&PactDeploymentStatus::default(), &why(Reason::RolloutInProgress), None));
}

#[test]
fn case_24_terminating_pods_are_waited_for_until_their_time_and_no_longer() {
    let ending = || member("a", Ok("1"), terminating(30));
    assert_eq!(ending().at(at(29)), ending());
    assert!(ending().at(at(30)).rollout.finished() && ending().at(at(31)).rollout.finished());
    let under_way = member("a", Ok("1"), progressing());
    assert_eq!(under_way.clone().at(Timestamp::MAX), under_way);
}

#[test]
fn times_out_of_range_become_the_nearest_possible_ones() {
    assert_eq!(later(at(10), Duration::from_secs(5)), at(15));
    assert_eq!(later(at(10), Duration::MAX), Timestamp::MAX);
    assert_eq!(later(Timestamp::MAX, Duration::from_secs(5)), Timestamp::MAX);
    assert_eq!(until(at(10), at(15)), Duration::from_secs(5));
    assert_eq!(until(at(15), at(10)), Duration::ZERO, "a past time is due now");
}
