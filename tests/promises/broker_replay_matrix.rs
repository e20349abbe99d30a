//! The recorded matrices of a real broker, with the recorded questions and the right verdicts.

use pact_operator::broker::Broker;
use pact_operator::decide::{Ignored, LiveVersions, Question, Verdict, judge, wants_live};

use super::broker_replay::{Asked, Row, assert_rejected, row};
use super::broker_under_test::{broker, environment, pacticipant, version};
use testbed::standin::StandIn;

/// The live versions of each provider.
type Live = &'static [(&'static str, &'static [&'static str])];

const API: Live = &[("api", &["10"])];
const BOTH: Live = &[("mapi", &["4", "5"])];

fn question(p: &str, v: &str, e: &str) -> Question {
    Question { pacticipant: pacticipant(p), version: version(v), environment: environment(e), ignore: Vec::new() }
}

/// Reads the matrix of a question and judges it; `live` is what is live of the providers.
fn read(recordings: &'static [&'static str], asked: Asked, question: Question, live: Live, verdict: Verdict) -> Row {
    row(recordings, asked, move |broker: Broker| async move {
        let matrix = broker.matrix(&question).await.unwrap();
        assert_eq!(matrix.unreadable, 0, "{recordings:?}");
        let mut versions = LiveVersions::default();
        for (provider, numbers) in live {
            versions.looked_up(pacticipant(provider)).extend(numbers.iter().map(|number| version(number)));
        }
        for wanted in wants_live(&question, &matrix) {
            assert!(versions.of(&wanted).is_some(), "{recordings:?}: what is live of {wanted} has to be looked up");
        }
        let judgement = judge(&question, &matrix, &versions);
        assert_eq!(judgement.verdict, verdict, "{recordings:?}: {judgement:?}");
    })
}

fn rejected(recordings: &'static [&'static str], asked: Asked, question: Question, says: &'static str) -> Row {
    row(recordings, asked, move |broker: Broker| async move {
        assert_rejected(broker.matrix(&question).await, 400, says);
    })
}

/// A broker that fails gives no verdict on the version.
async fn fails(broker: Broker) {
    assert_eq!(broker.can_i_deploy(&question("web", "1", "test")).await.verdict, Verdict::BrokerUnavailable);
}

pub(crate) fn matrices() -> Vec<Row> {
    use Asked::{Otherwise, Same};
    use Verdict::{No, Unknown, VersionMissing, Yes, YesVacuous};
    let test = |p, v| question(p, v, "test");
    let multi = |v| question("mobile", v, "multi");
    let without_api =
        Question { ignore: vec![Ignored { pacticipant: pacticipant("api"), version: None }], ..test("web", "2") };
    let nowhere = || question("web", "1", "nope");
    vec![
        read(&["matrix-true"], Same, test("web", "1"), API, Yes),
        read(&["matrix-false-verification-failed"], Same, test("web", "2"), &[], No),
        read(&["matrix-ignore"], Same, without_api, &[], YesVacuous),
        read(&["matrix-never-integrated"], Same, test("lonely", "1"), &[], YesVacuous),
        read(&["matrix-version-without-pacts"], Same, test("web", "3"), &[], YesVacuous),
        read(&["matrix-version-missing"], Same, test("web", "999"), &[], VersionMissing),
        read(&["matrix-provider-true"], Same, test("api", "10"), &[], Yes),
        read(&["matrix-provider-unknown"], Same, test("api", "12"), &[], Unknown),
        read(&["matrix-unknown-verification-missing"], Same, test("web", "2"), API, Unknown),
        read(&["matrix-unknown-provider-not-in-environment"], Same, test("web", "1"), &[("api", &[])], Unknown),
        read(&["matrix-two-provider-versions-one-failed"], Same, multi("3"), &[], No),
        read(&["matrix-two-provider-versions-one-unverified"], Same, multi("4"), BOTH, Unknown),
        // Either hides that mapi 4 failed; the live versions still show that a result is missing.
        read(
            &["matrix-two-provider-versions-one-failed-latestby-cvp"],
            Otherwise("with cvp"),
            multi("3"),
            BOTH,
            Unknown,
        ),
        read(&["matrix-limit-1-hides-failure"], Otherwise("with a limit of 1"), multi("3"), BOTH, Unknown),
        read(
            &["matrix-explicit-pair-unknown"],
            Otherwise("about a pair, without environment"),
            multi("4"),
            BOTH,
            Unknown,
        ),
        rejected(&["matrix-no-selector-400"], Otherwise("about nothing"), test("web", "1"), "version selectors"),
        rejected(&["matrix-pacticipant-missing-400"], Same, test("ghost", "1"), "ghost not found"),
        rejected(&["matrix-pacticipant-missing-400-problem-json"], Same, test("ghost", "1"), "ghost not found"),
        rejected(&["matrix-environment-missing-400-problem-json"], Same, nowhere(), "does not exist"),
        row(&["server-error-500"], Otherwise("with a latestby that it does not know"), fails),
        row(&["server-error-500-problem-json"], Otherwise("with a latestby that it does not know"), fails),
        row(
            &["matrix-environment-missing-400", "environments-by-name-missing"],
            Same,
            move |broker: Broker| async move {
                assert_eq!(broker.can_i_deploy(&nowhere()).await.verdict, Verdict::EnvironmentMissing);
            },
        ),
    ]
}

#[tokio::test]
async fn names_are_encoded_in_the_question_and_the_limit_is_sent() {
    let standin = StandIn::start().await;
    let store = standin.store();
    store.add_environment("e+1/ö", false);
    store.publish_version("org/my app+x", "feat/x 1.0+b&c=d#?");
    let ignore = vec![
        Ignored { pacticipant: pacticipant("a b"), version: None },
        Ignored { pacticipant: pacticipant("a+b"), version: Some(version("1/2 3+4")) },
    ];
    let asked = Question { ignore, ..question("org/my app+x", "feat/x 1.0+b&c=d#?", "e+1/ö") };
    assert_eq!(broker(&standin.url()).can_i_deploy(&asked).await.verdict, Verdict::YesVacuous);
    let sent: Vec<_> = standin.requests().into_iter().map(|request| request.path_and_query).collect();
    let expected = "/matrix?q[][pacticipant]=org%2Fmy%20app%2Bx&q[][version]=feat%2Fx%201.0%2Bb%26c%3Dd%23%3F\
                    &ignore[][pacticipant]=a%20b&ignore[][pacticipant]=a%2Bb&ignore[][version]=1%2F2%203%2B4\
                    &latestby=cvpv&environment=e%2B1%2F%C3%B6&limit=100000";
    assert_eq!(sent, [expected]);
}
