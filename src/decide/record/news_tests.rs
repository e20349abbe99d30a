//! What is news: a status is written again only when it tells something else.

use super::{
    tests::{after, condition, running},
    *,
};
use crate::{
    decide::{
        Explanation,
        record::fixtures::{at, member, version},
    },
    workload::RolloutState,
};

#[test]
fn case_112_a_status_is_not_written_again_without_news() {
    let tried = |reason, message: &str, next_try: Option<i64>| RecordState::Pending {
        why: Explanation::new(reason, message),
        version: Some(version("1")),
        next_try: next_try.map(at),
    };
    let (quick, slow) = (Some(77), None);
    let first = tried(Reason::BrokerUnavailable, "HTTP 500, reference 1", quick);
    let shown = after(&[(&running("1"), first.clone())]);
    for (case, state, news) in [
        ("tried again", tried(Reason::BrokerUnavailable, "HTTP 500, reference 1", Some(99)), false),
        ("in other words", tried(Reason::BrokerUnavailable, "HTTP 500, reference 2", Some(99)), false),
        ("for another reason", tried(Reason::VersionMissing, "HTTP 500, reference 1", Some(99)), true),
        ("more slowly", tried(Reason::BrokerUnavailable, "HTTP 500, reference 1", slow), true),
    ] {
        assert_eq!(after(&[(&running("1"), first.clone()), (&running("1"), state)]) != shown, news, "{case}");
    }
    let more = [member("a", Ok("1"), RolloutState::Complete), member("b", Ok("1"), RolloutState::Complete)];
    assert_ne!(after(&[(&running("1"), first.clone()), (&more, first.clone())]), shown, "another member");
    let lasting = tried(Reason::VersionMissing, "publish it", slow);
    let status = after(&[(&running("1"), first), (&running("1"), lasting)]);
    assert_eq!(condition(&status, "Ready").message, "publish it; it is recorded once that is published");
    assert_eq!(status.next_try, None);
}
