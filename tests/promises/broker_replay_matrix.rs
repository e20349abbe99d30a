//! The recorded matrices of a real broker, with the recorded questions and the right verdicts.

use pact_operator::broker::Broker;
use pact_operator::decide::{
    Evidence, Ignored, LiveVersions, Matrix, MatrixRow, Question, UnrecordedVersion, Verdict, judge,
};

use super::broker_replay::{Asked, Row, assert_rejected, row};
use super::broker_under_test::{broker, environment, pacticipant, version};
use testbed::standin::StandIn;

/// The live versions of each provider.
type Live = &'static [(&'static str, &'static [&'static str])];

const API: Live = &[("api", &["10"])];
const BOTH: Live = &[("mapi", &["4", "5"])];

fn question(p: &str, v: &str, e: &str) -> Question {
    Question {
        pacticipant: pacticipant(p),
        version: version(v),
        environment: environment(e),
        ignore: Vec::new(),
        in_flight: pact_operator::api::gate::InFlight::default(),
    }
}

/// Reads the matrix of a question and judges it; `live` is what is live of the providers.
fn read(recordings: &'static [&'static str], asked: Asked, question: Question, live: Live, verdict: Verdict) -> Row {
    row(recordings, asked, move |broker: Broker| async move {
        let matrix = broker.matrix(&question).await.unwrap();
        assert_eq!(matrix.unreadable, 0, "{recordings:?}");
        let numbers = |(provider, numbers): &(&str, &'static [&'static str])| {
            let provider = pacticipant(provider);
            numbers.iter().map(move |number| (provider.clone(), version(number)))
        };
        let recorded = LiveVersions::all(live.iter().flat_map(numbers));
        let judgement = judge(&question, &Evidence::of_broker(&matrix, &recorded));
        assert_eq!(judgement.verdict, verdict, "{recordings:?}: {judgement:?}");
    })
}

/// Asks about pairs of web 2 or 1 with versions that nobody recorded, where each pact is known from the matrix of the
/// environment, and judges them.
fn paired(
    recordings: &'static [&'static str],
    consumer: &'static str,
    others: &'static [(&'static str, &'static str)],
    verdict: Verdict,
) -> Row {
    row(recordings, Asked::Same, move |broker: Broker| async move {
        let question = question("pweb", consumer, "test");
        let unrecorded: Vec<_> = others
            .iter()
            .map(|(name, at)| UnrecordedVersion {
                pacticipant: pacticipant(name),
                version: version(at),
                in_flight: true,
            })
            .collect();
        let pairs = broker.pairs(&question, &unrecorded.iter().collect::<Vec<_>>()).await.unwrap();
        // In the environment there is nothing that the broker knows of: our pact has no result there.
        let needs = MatrixRow {
            consumer: question.pacticipant.clone(),
            consumer_version: question.version.clone(),
            provider: pacticipant("pstock"),
            provider_version: None,
            success: None,
            ignored: false,
        };
        let matrix = Matrix { unknown: 1, rows: vec![needs], ..Matrix::default() };
        let recorded = LiveVersions::all([]);
        let evidence = Evidence { matrix: &matrix, recorded: &recorded, unrecorded: &unrecorded, pairs: &pairs };
        let judgement = judge(&question, &evidence);
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
        paired(&["pairs-verified"], "1", &[("pstock", "2")], Yes),
        paired(&["pairs-unverified"], "2", &[("pstock", "2")], Unknown),
        // The broker says yes, and shows no row for the version that verified nothing.
        paired(
            &["pairs-two-versions-of-the-provider-one-unverified-is-hidden"],
            "2",
            &[("pstock", "1"), ("pstock", "2")],
            Unknown,
        ),
        paired(&["pairs-version-missing"], "2", &[("pstock", "99")], Unknown),
        paired(&["pairs-three-applications"], "2", &[("pstock", "2"), ("pmobile", "7")], Unknown),
        paired(&["pairs-with-a-stranger"], "2", &[("pstock", "2"), ("pother", "9")], Unknown),
        row(&["pairs-pacticipant-missing-400"], Same, |broker: Broker| async move {
            let nobody =
                UnrecordedVersion { pacticipant: pacticipant("pnobody"), version: version("1"), in_flight: true };
            assert_rejected(broker.pairs(&question("pweb", "2", "test"), &[&nobody]).await, 400, "pnobody not found");
        }),
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
    let mut sent: Vec<_> = standin.requests().into_iter().map(|request| request.path_and_query).collect();
    sent.retain(|path| path.starts_with("/matrix"));
    let whole = sent.pop().unwrap();
    assert!(!whole.contains("environment="), "why nothing had to be verified: {whole}");
    let expected = "/matrix?q[][pacticipant]=org%2Fmy%20app%2Bx&q[][version]=feat%2Fx%201.0%2Bb%26c%3Dd%23%3F\
                    &ignore[][pacticipant]=a%20b&ignore[][pacticipant]=a%2Bb&ignore[][version]=1%2F2%203%2B4\
                    &latestby=cvpv&environment=e%2B1%2F%C3%B6&limit=100000";
    assert_eq!(sent, [expected]);
}
