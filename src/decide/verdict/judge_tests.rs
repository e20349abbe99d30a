use proptest::prelude::*;

use super::*;
use crate::{
    api::names::EnvironmentName,
    decide::{Ignored, LiveVersions},
};

pub(super) fn name(text: &str) -> Pacticipant {
    Pacticipant::parse(text).unwrap()
}

pub(super) fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

fn ignored(pacticipant: &str, only: Option<&str>) -> Ignored {
    Ignored { pacticipant: name(pacticipant), version: only.map(version) }
}

/// May web 2 be deployed?
pub(super) fn question(ignore: &[Ignored]) -> Question {
    let environment = EnvironmentName::parse("production").unwrap();
    Question {
        pacticipant: name("web"),
        version: version("2"),
        environment,
        ignore: ignore.to_vec(),
        in_flight: crate::api::gate::InFlight::default(),
    }
}

pub(super) fn row(
    consumer: &str,
    consumer_version: &str,
    provider: &str,
    by: Option<&str>,
    success: impl Into<Option<bool>>,
) -> MatrixRow {
    MatrixRow {
        consumer: name(consumer),
        consumer_version: version(consumer_version),
        provider: name(provider),
        provider_version: by.map(version),
        success: success.into(),
        ignored: false,
    }
}

/// The verdict by what the broker alone knows.
fn by_broker(question: &Question, matrix: &Matrix, live: &LiveVersions) -> Judgement {
    judge(question, &Evidence::of_broker(matrix, live))
}

fn left_out(row: MatrixRow) -> MatrixRow {
    MatrixRow { ignored: true, ..row }
}

/// The answer that a broker gives with these rows.
pub(super) fn answer(rows: Vec<MatrixRow>) -> Matrix {
    let count = |wanted| rows.iter().filter(|row| !row.ignored && row.success == wanted).count() as u64;
    let (success, failed, unknown) = (count(Some(true)), count(Some(false)), count(None));
    let deployable = if unknown > 0 { None } else { Some(failed == 0) };
    Matrix { deployable, success, failed, unknown, rows, unreadable: 0 }
}

/// The answer about a version that does not exist.
fn missing() -> Matrix {
    Matrix { deployable: Some(false), ..Matrix::default() }
}

fn live(of: &[(&str, &[&str])]) -> LiveVersions {
    let mut live = LiveVersions::default();
    for (pacticipant, versions) in of {
        live.looked_up(name(pacticipant)).extend(versions.iter().map(|text| version(text)));
    }
    live
}

/// The pairs as lines: result, consumer and version, provider and version.
pub(super) fn lines(judgement: &Judgement) -> Vec<String> {
    let pair = |pair: &Pair| {
        let by = pair.provider_version.as_ref().map_or("-", Version::as_str);
        let Pair { result, consumer, consumer_version, provider, .. } = pair;
        format!("{} {consumer} {consumer_version} {provider} {by}", result.name())
    };
    judgement.pairs.iter().map(pair).collect()
}

#[track_caller]
fn expect(
    ignore: &[Ignored],
    matrix: &Matrix,
    of: &[(&str, &[&str])],
    verdict: Verdict,
    pairs: &[&str],
) -> Option<String> {
    let judgement = by_broker(&question(ignore), matrix, &live(of));
    assert_eq!((judgement.verdict, lines(&judgement)), (verdict, pairs.iter().map(ToString::to_string).collect()));
    judgement.explanation
}

#[test]
fn every_pair_verified_is_a_yes_as_consumer_and_as_provider() {
    let rows = vec![row("web", "2", "api", Some("10"), true), row("app", "7", "web", Some("2"), true)];
    let pairs = ["Verified app 7 web 2", "Verified web 2 api 10"];
    assert_eq!(expect(&[], &answer(rows), &[("api", &["10"])], Verdict::Yes, &pairs), None);
}

#[test]
fn nothing_to_verify_is_a_yes_to_nothing() {
    assert_eq!(expect(&[], &answer(vec![]), &[], Verdict::YesVacuous, &[]), None);
}

#[test]
fn one_failed_verification_is_a_no_whatever_else_is_verified() {
    let rows = vec![row("web", "2", "api", Some("10"), true), row("web", "2", "stock", Some("4"), false)];
    let pairs = ["Failed web 2 stock 4", "Verified web 2 api 10"];
    expect(&[], &answer(rows), &[], Verdict::No, &pairs);
}

#[test]
fn what_failed_counts_before_what_is_unknown_though_the_broker_says_unknown() {
    let matrix = answer(vec![row("web", "2", "api", None, None), row("app", "7", "web", Some("2"), false)]);
    assert_eq!(matrix.deployable, None);
    expect(&[], &matrix, &[], Verdict::No, &["Failed app 7 web 2", "Unverified web 2 api -"]);
    assert!(!wants_live(&matrix), "nothing has to be looked up for a no");
}

#[test]
fn a_pact_that_no_live_version_verified_names_each_of_them() {
    let rows = vec![row("web", "2", "api", None, None)];
    let pairs = ["Unverified web 2 api 10", "Unverified web 2 api 11"];
    expect(&[], &answer(rows), &[("api", &["10", "11"])], Verdict::Unknown, &pairs);
}

#[test]
fn as_provider_a_missing_result_is_ours_to_give() {
    let rows = vec![row("app", "7", "web", None, None)];
    expect(&[], &answer(rows), &[], Verdict::Unknown, &["Unverified app 7 web 2"]);
}

#[test]
fn a_provider_that_is_not_in_the_environment_is_named_as_such() {
    let rows = vec![row("web", "2", "api", None, None)];
    expect(&[], &answer(rows), &[("api", &[])], Verdict::Unknown, &["NotDeployed web 2 api -"]);
}

#[test]
fn a_live_provider_version_hidden_behind_a_verified_one_is_unknown_and_named() {
    let matrix = answer(vec![row("web", "2", "api", Some("11"), true)]);
    assert_eq!(matrix.deployable, Some(true), "the broker's false yes");
    let pairs = ["Unverified web 2 api 10", "Verified web 2 api 11"];
    expect(&[], &matrix, &[("api", &["10", "11"])], Verdict::Unknown, &pairs);
    assert!(wants_live(&matrix));
}

#[test]
fn an_ignored_application_counts_for_nothing() {
    let ignore = [ignored("api", None)];
    let matrix = answer(vec![left_out(row("web", "2", "api", Some("10"), false))]);
    expect(&ignore, &matrix, &[], Verdict::YesVacuous, &[]);
    let unverified = answer(vec![left_out(row("web", "2", "api", None, None))]);
    expect(&ignore, &unverified, &[("api", &["10"])], Verdict::YesVacuous, &[]);
}

#[test]
fn an_ignored_version_is_left_out_and_the_others_are_not() {
    let ignore = [ignored("api", Some("10"))];
    let verified = answer(vec![row("web", "2", "api", Some("11"), true)]);
    let pairs = ["Verified web 2 api 11"];
    expect(&ignore, &verified, &[("api", &["10", "11"])], Verdict::Yes, &pairs);
    let pairs = ["Unverified web 2 api 12", "Verified web 2 api 11"];
    expect(&ignore, &verified, &[("api", &["10", "11", "12"])], Verdict::Unknown, &pairs);
}

#[test]
fn a_version_hidden_behind_an_ignored_one_is_found_too() {
    let ignore = [ignored("api", Some("10"))];
    let matrix = answer(vec![left_out(row("web", "2", "api", Some("10"), true))]);
    assert_eq!(matrix.deployable, Some(true), "the broker's false yes");
    assert!(wants_live(&matrix));
    expect(&ignore, &matrix, &[("api", &["10", "11"])], Verdict::Unknown, &["Unverified web 2 api 11"]);
    expect(&ignore, &matrix, &[("api", &["10"])], Verdict::YesVacuous, &[]);
}

#[test]
fn a_row_without_a_result_is_no_yes_though_all_that_is_live_is_ignored() {
    // The broker cannot leave out a row that names no version, so it says unknown; we are never less careful.
    let ignore = [ignored("api", Some("10"))];
    let matrix = answer(vec![row("web", "2", "api", None, None)]);
    assert!(expect(&ignore, &matrix, &[("api", &["10"])], Verdict::Unknown, &[]).is_some());
}

#[test]
fn an_application_that_is_its_own_provider_is_not_compared_with_what_it_replaces() {
    let matrix = answer(vec![row("web", "2", "web", Some("2"), true)]);
    expect(&[], &matrix, &[("web", &["1"])], Verdict::Yes, &["Verified web 2 web 2"]);
}

#[test]
fn a_version_that_does_not_exist_is_not_one_that_failed() {
    let explanation = expect(&[], &missing(), &[], Verdict::VersionMissing, &[]).unwrap();
    assert!(explanation.contains("version 2 of web"), "{explanation}");
    assert!(!wants_live(&missing()));
    // As a provider it does not have verified what its live consumers ask, and that is not what is wrong with it.
    let needed = Matrix { unknown: 1, rows: vec![row("app", "7", "web", None, None)], ..missing() };
    expect(&[], &needed, &[], Verdict::VersionMissing, &[]);
}

#[test]
fn rows_that_cannot_be_read_are_no_yes_and_hide_no_failure() {
    let unreadable = |rows| Matrix { unreadable: 1, ..answer(rows) };
    let explanation = expect(&[], &unreadable(vec![]), &[], Verdict::Unknown, &[]).unwrap();
    assert!(explanation.contains("1 row that"), "{explanation}");
    let failed = unreadable(vec![row("web", "2", "api", Some("10"), false)]);
    expect(&[], &failed, &[], Verdict::No, &["Failed web 2 api 10"]);
    let nothing_counted = Matrix { unreadable: 1, ..missing() };
    expect(&[], &nothing_counted, &[], Verdict::Unknown, &[]);
}

#[test]
fn an_answer_that_contradicts_itself_is_never_a_yes() {
    let verified = || answer(vec![row("web", "2", "api", Some("10"), true)]);
    for (what, matrix, verdict) in [
        ("a failure without a row", Matrix { failed: 1, ..verified() }, Verdict::No),
        ("an unknown without a row", Matrix { unknown: 1, ..verified() }, Verdict::Unknown),
        ("no verdict", Matrix { deployable: None, ..verified() }, Verdict::Unknown),
        ("a no without a failure", Matrix { deployable: Some(false), ..verified() }, Verdict::Unknown),
        ("more successes than rows", Matrix { success: 2, ..verified() }, Verdict::Unknown),
        ("successes without a row", Matrix { rows: vec![], ..verified() }, Verdict::Unknown),
        (
            "a yes with a failed row",
            Matrix { rows: vec![row("web", "2", "api", Some("10"), false)], ..verified() },
            Verdict::No,
        ),
        (
            "a yes with a row without a result",
            Matrix { rows: vec![row("web", "2", "api", Some("10"), None)], ..verified() },
            Verdict::Unknown,
        ),
    ] {
        let judgement = by_broker(&question(&[]), &matrix, &live(&[("api", &["10"])]));
        assert_eq!(judgement.verdict, verdict, "{what}");
        let nothing_looked_up = by_broker(&question(&[]), &matrix, &LiveVersions::default());
        assert_eq!(nothing_looked_up.verdict, verdict, "{what}, nothing looked up");
    }
}

#[test]
fn what_is_live_matters_unless_something_failed_or_the_version_is_missing() {
    let ours = || row("web", "2", "api", Some("10"), true);
    for (what, matrix, wanted) in [
        ("our provider", answer(vec![ours()]), true),
        ("our consumer", answer(vec![row("app", "7", "web", Some("2"), true)]), true),
        ("nothing there: a consumer may run that the broker does not have", answer(vec![]), true),
        ("something failed", answer(vec![ours(), row("app", "7", "web", Some("2"), false)]), false),
        ("counted as failed", Matrix { failed: 1, ..answer(vec![ours()]) }, false),
        ("an ignored failure", answer(vec![ours(), left_out(row("web", "2", "z", Some("1"), false))]), true),
        ("no such version", missing(), false),
    ] {
        assert_eq!(wants_live(&matrix), wanted, "{what}");
    }
}

#[test]
fn case_91_an_answer_about_something_else_is_no_answer() {
    for (what, matrix, told) in [
        ("other applications", answer(vec![row("shop", "1", "api", Some("10"), true)]), "about something else"),
        ("another version of ours", answer(vec![row("web", "1", "api", Some("10"), true)]), "about something else"),
        ("a failure of others", answer(vec![row("shop", "1", "api", Some("10"), false)]), "about something else"),
        (
            "among our own",
            answer(vec![row("web", "2", "api", Some("10"), true), row("a", "1", "b", Some("1"), true)]),
            "about something else",
        ),
    ] {
        let judgement = by_broker(&question(&[]), &matrix, &live(&[("api", &["10"])]));
        assert_eq!((judgement.verdict, judgement.pairs.len()), (Verdict::BrokerUnavailable, 0), "{what}");
        assert!(judgement.explanation.as_ref().unwrap().contains(told), "{what}: {judgement:?}");
    }
}

const NAMES: [&str; 4] = ["web", "api", "app", "stock"];
const VERSIONS: [&str; 3] = ["1", "2", "3"];

pub(super) fn rows() -> impl Strategy<Value = Vec<MatrixRow>> {
    let a_name = || prop::sample::select(&NAMES[..]);
    let a_version = || prop::sample::select(&VERSIONS[..]);
    // Mostly verified, so that a yes is among them often enough.
    let result = prop_oneof![8 => Just(Some(true)), 1 => Just(Some(false)), 1 => Just(None)];
    let parts = (
        any::<bool>(),
        a_name(),
        a_version(),
        prop::option::weighted(0.9, a_version()),
        result,
        prop::bool::weighted(0.1),
    );
    let drawn = parts.prop_map(|(ours, other, at, by, success, ignored)| {
        let row = if ours { row("web", "2", other, by, success) } else { row(other, at, "web", Some("2"), success) };
        MatrixRow { ignored, ..row }
    });
    prop::collection::vec(drawn, 0..5)
}

/// Mostly what a broker answers, sometimes with a summary that does not fit.
pub(super) fn matrices() -> impl Strategy<Value = Matrix> {
    let fits = prop::bool::weighted(0.7);
    let summary = (prop::option::of(any::<bool>()), 0..4_u64, 0..2_u64, 0..2_u64, 0..2_usize);
    (rows(), fits, summary).prop_map(|(rows, fits, (deployable, success, failed, unknown, unreadable))| {
        if fits { answer(rows) } else { Matrix { deployable, success, failed, unknown, rows, unreadable } }
    })
}

pub(super) fn lives() -> impl Strategy<Value = LiveVersions> {
    let versions = prop::collection::btree_set(prop::sample::select(&VERSIONS[..]), 0..3);
    let of = prop::collection::btree_map(prop::sample::select(&NAMES[..]), versions, 0..4);
    of.prop_map(|of| {
        let mut live = LiveVersions::default();
        for (pacticipant, versions) in of {
            live.looked_up(name(pacticipant)).extend(versions.into_iter().map(version));
        }
        live
    })
}

pub(super) fn ignores() -> impl Strategy<Value = Vec<Ignored>> {
    let one = (prop::sample::select(&NAMES[..]), prop::option::of(prop::sample::select(&VERSIONS[..])));
    prop::collection::vec(one.prop_map(|(pacticipant, only)| ignored(pacticipant, only)), 0..2)
}

/// All that has to hold before anything may be called a yes, one by one.
fn may_be_a_yes(question: &Question, matrix: &Matrix, live: &LiveVersions) -> bool {
    let considered: Vec<_> = matrix.rows.iter().filter(|row| !row.ignored).collect();
    let covers = |pacticipant: &Pacticipant, version: &Version| {
        question.ignore.iter().any(|ignored| ignored.covers(pacticipant, version))
    };
    let every_live_version_has_a_result = matrix.rows.iter().all(|row| {
        let ours = row.consumer == question.pacticipant && row.provider != question.pacticipant;
        let whole = question.ignore.iter().any(|it| it.pacticipant == row.provider && it.version.is_none());
        let versions = live.of(&row.provider).cloned().unwrap_or_default();
        !ours
            || whole
            || covers(&row.consumer, &row.consumer_version)
            || versions.iter().all(|version| {
                let by_it = |other: &MatrixRow| {
                    (&other.consumer, &other.consumer_version, &other.provider, other.provider_version.as_ref())
                        == (&row.consumer, &row.consumer_version, &row.provider, Some(version))
                };
                covers(&row.provider, version)
                    || matrix.rows.iter().any(|other| by_it(other) && other.success.is_some())
            })
    });
    matrix.deployable == Some(true)
        && (matrix.failed, matrix.unknown, matrix.unreadable) == (0, 0, 0)
        && considered.iter().all(|row| row.success == Some(true))
        && usize::try_from(matrix.success).unwrap() <= considered.len()
        && every_live_version_has_a_result
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_yes_is_given_exactly_when_nothing_speaks_against_it(ignore in ignores(), matrix in matrices(), live in lives()) {
        let question = question(&ignore);
        let judgement = by_broker(&question, &matrix, &live);
        let may = may_be_a_yes(&question, &matrix, &live);
        prop_assert_eq!(judgement.verdict.is_yes(), may, "{:?}", judgement);
        prop_assert_eq!(judgement.verdict == Verdict::YesVacuous, may && judgement.pairs.is_empty());
        prop_assert!(!may || judgement.failing().next().is_none());
    }

    #[test]
    fn a_failing_row_more_is_always_a_no(ignore in ignores(), matrix in matrices(), live in lives(), counted in any::<bool>(), ours in any::<bool>(), at in 0..5_usize) {
        let mut worse = matrix;
        let failing = if ours { row("web", "2", "api", Some("1"), false) } else { row("app", "1", "web", Some("2"), false) };
        worse.rows.insert(at.min(worse.rows.len()), failing);
        worse.failed += u64::from(counted);
        let judgement = by_broker(&question(&ignore), &worse, &live);
        prop_assert_eq!(judgement.verdict, Verdict::No);
        prop_assert_eq!(judgement.pairs[0].result, PairResult::Failed, "the worst comes first");
    }

    #[test]
    fn a_live_version_less_takes_no_yes_away_and_adds_no_no(ignore in ignores(), matrix in matrices(), live in lives(), pacticipant in prop::sample::select(&NAMES[..]), gone in prop::sample::select(&VERSIONS[..])) {
        let question = question(&ignore);
        let before = by_broker(&question, &matrix, &live).verdict;
        let mut fewer = live;
        if fewer.of(&name(pacticipant)).is_some() {
            fewer.looked_up(name(pacticipant)).remove(&version(gone));
        }
        let after = by_broker(&question, &matrix, &fewer).verdict;
        prop_assert!(!before.is_yes() || after == before, "{:?} became {:?}", before, after);
        prop_assert_eq!(before == Verdict::No, after == Verdict::No);
    }

    #[test]
    fn the_order_of_the_rows_does_not_matter(ignore in ignores(), matrix in matrices(), live in lives()) {
        let mut reversed = matrix.clone();
        reversed.rows.reverse();
        let judgement = by_broker(&question(&ignore), &matrix, &live);
        prop_assert_eq!(&by_broker(&question(&ignore), &reversed, &live), &judgement);
        prop_assert!(judgement.pairs.is_sorted() && judgement.pairs.windows(2).all(|two| two[0] != two[1]));
    }
}
