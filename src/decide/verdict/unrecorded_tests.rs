//! What runs and is not recorded counts like what is recorded (cases 74, 75, 94 and 95).

use proptest::prelude::*;

use super::tests::*;
use super::*;
use crate::{
    api::gate::InFlight,
    decide::{Ignored, LiveVersions},
};

fn unrecorded(pacticipant: &str, at: &str, in_flight: bool) -> UnrecordedVersion {
    UnrecordedVersion { pacticipant: name(pacticipant), version: version(at), in_flight }
}

/// Whether web 2 may be deployed, with what runs besides, and the answer about the pairs with that.
#[derive(Clone, Debug)]
struct World {
    ignore: Vec<Ignored>,
    policy: InFlight,
    matrix: Matrix,
    recorded: LiveVersions,
    unrecorded: Vec<UnrecordedVersion>,
    pairs: Matrix,
}

impl World {
    fn judge(&self) -> Judgement {
        let question = Question { in_flight: self.policy, ..question(&self.ignore) };
        judge(
            &question,
            &Evidence {
                matrix: &self.matrix,
                recorded: &self.recorded,
                unrecorded: &self.unrecorded,
                pairs: &self.pairs,
            },
        )
    }
}

fn recorded(of: &[(&str, &str)]) -> LiveVersions {
    LiveVersions::all(of.iter().map(|(pacticipant, at)| (name(pacticipant), version(at))))
}

/// A consumer of ours and a provider of ours, each at 1 recorded and verified.
fn world() -> World {
    World {
        ignore: Vec::new(),
        policy: InFlight::Count,
        matrix: answer(vec![row("web", "2", "api", Some("1"), true), row("app", "1", "web", Some("2"), true)]),
        recorded: recorded(&[("api", "1"), ("app", "1"), ("web", "1")]),
        unrecorded: Vec::new(),
        pairs: Matrix::default(),
    }
}

#[track_caller]
fn expect(what: &str, world: &World, verdict: Verdict, failing: &[&str], cautions: &[&str]) {
    let judgement = world.judge();
    let of = |pairs: &mut dyn Iterator<Item = &Pair>| -> Vec<String> {
        let all: Vec<Pair> = pairs.cloned().collect();
        lines(&Judgement { pairs: all, ..Judgement::without_pairs(Verdict::Yes, "") })
    };
    let found = (judgement.verdict, of(&mut judgement.failing()), of(&mut judgement.cautions.iter()));
    let texts = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(found, (verdict, texts(failing), texts(cautions)), "{what}: {judgement:?}");
}

#[test]
fn case_94_a_version_that_rolls_out_now_counts_like_one_that_is_recorded() {
    let both = || vec![unrecorded("api", "2", true), unrecorded("app", "2", true)];
    for (what, rows, verdict, failing) in [
        (
            "each verified",
            vec![row("web", "2", "api", Some("2"), true), row("app", "2", "web", Some("2"), true)],
            Verdict::Yes,
            vec![],
        ),
        (
            "the provider's is missing: the broker shows no row for it beside another",
            vec![row("app", "2", "web", Some("2"), true)],
            Verdict::Unknown,
            vec!["Unverified web 2 api 2"],
        ),
        (
            "the provider's failed",
            vec![row("web", "2", "api", Some("2"), false), row("app", "2", "web", Some("2"), true)],
            Verdict::No,
            vec!["Failed web 2 api 2"],
        ),
        (
            "the consumer's failed",
            vec![row("web", "2", "api", Some("2"), true), row("app", "2", "web", Some("2"), false)],
            Verdict::No,
            vec!["Failed app 2 web 2"],
        ),
        (
            "the consumer's is missing",
            vec![row("web", "2", "api", Some("2"), true), row("app", "2", "web", None, None)],
            Verdict::Unknown,
            vec!["Unverified app 2 web 2"],
        ),
        (
            "the consumer has no pact with us any more",
            vec![row("web", "2", "api", Some("2"), true)],
            Verdict::Yes,
            vec![],
        ),
        (
            "they break each other, which is not our matter",
            vec![row("web", "2", "api", Some("2"), true), row("app", "2", "api", Some("2"), false)],
            Verdict::Yes,
            vec![],
        ),
    ] {
        let world = World { unrecorded: both(), pairs: answer(rows), ..world() };
        expect(what, &world, verdict, &failing, &[]);
        assert!(world.judge().failing().all(|pair| pair.in_flight), "{what}: each says that it is rolling out");
    }
}

#[test]
fn case_75_a_version_that_runs_and_was_never_recorded_counts_whatever_the_policy() {
    for policy in [InFlight::Count, InFlight::Warn, InFlight::Ignore] {
        let pairs = answer(vec![row("app", "0", "web", Some("2"), false)]);
        let world = World { policy, unrecorded: vec![unrecorded("app", "0", false)], pairs, ..world() };
        expect("it runs", &world, Verdict::No, &["Failed app 0 web 2"], &[]);
    }
}

#[test]
fn case_95_a_provider_that_is_on_its_way_counts_as_there_with_a_caution() {
    let needs = || vec![row("web", "2", "api", None, None)];
    let nowhere = || World { matrix: answer(needs()), recorded: recorded(&[]), ..world() };
    expect("it is not on its way", &nowhere(), Verdict::Unknown, &["NotDeployed web 2 api -"], &[]);
    let coming = |rows| World { unrecorded: vec![unrecorded("api", "1", true)], pairs: answer(rows), ..nowhere() };
    let verified = || vec![row("web", "2", "api", Some("1"), true)];
    expect("verified", &coming(verified()), Verdict::Yes, &[], &["Verified web 2 api 1"]);
    expect("not verified", &coming(needs()), Verdict::Unknown, &["Unverified web 2 api 1"], &[]);
    let failed = coming(vec![row("web", "2", "api", Some("1"), false)]);
    expect("failed", &failed, Verdict::No, &["Failed web 2 api 1"], &[]);
    let runs = World { unrecorded: vec![unrecorded("api", "1", false)], ..coming(verified()) };
    expect("it runs already, and was not recorded", &runs, Verdict::Yes, &[], &[]);
    let ignored = World { policy: InFlight::Ignore, ..coming(verified()) };
    expect("what is in flight does not count", &ignored, Verdict::Unknown, &["NotDeployed web 2 api -"], &[]);
    let warned = World { policy: InFlight::Warn, ..coming(needs()) };
    expect("it only warns", &warned, Verdict::YesVacuous, &[], &["Unverified web 2 api 1"]);
}

#[test]
fn what_only_warns_does_not_decide_and_is_reported() {
    let unrecorded = vec![unrecorded("app", "2", true), unrecorded("api", "2", true)];
    let pairs = answer(vec![row("app", "2", "web", Some("2"), false)]);
    let world = World { policy: InFlight::Warn, unrecorded, pairs, ..world() };
    expect("warn", &world, Verdict::Yes, &[], &["Failed app 2 web 2", "Unverified web 2 api 2"]);
}

#[test]
fn an_ignored_version_that_runs_is_left_out() {
    let ignore = |only| vec![Ignored { pacticipant: name("app"), version: only }];
    let pairs = || answer(vec![row("app", "0", "web", Some("2"), false)]);
    let runs = || vec![unrecorded("app", "0", false)];
    let all = World { ignore: ignore(None), unrecorded: runs(), pairs: pairs(), ..world() };
    expect("every version", &all, Verdict::Yes, &[], &[]);
    let one = World { ignore: ignore(Some(version("0"))), unrecorded: runs(), pairs: pairs(), ..world() };
    expect("this version", &one, Verdict::Yes, &[], &[]);
    let other = World { ignore: ignore(Some(version("1"))), unrecorded: runs(), pairs: pairs(), ..world() };
    expect("another version", &other, Verdict::No, &["Failed app 0 web 2"], &[]);
}

#[test]
fn pairs_that_cannot_be_read_are_no_yes() {
    let verified = || answer(vec![row("app", "0", "web", Some("2"), true)]);
    let with = |pairs| World { unrecorded: vec![unrecorded("app", "0", false)], pairs, ..world() };
    expect("readable", &with(verified()), Verdict::Yes, &[], &[]);
    expect("unreadable", &with(Matrix { unreadable: 1, ..verified() }), Verdict::Unknown, &[], &[]);
    expect("counted, not shown", &with(Matrix { success: 2, ..verified() }), Verdict::Unknown, &[], &[]);
}

fn worlds() -> impl Strategy<Value = World> {
    let more = (prop::sample::select(vec!["api", "app", "stock"]), prop::sample::select(vec!["1", "2", "3"]));
    let more = (more, any::<bool>()).prop_map(|((of, at), in_flight)| unrecorded(of, at, in_flight));
    let policy = prop::sample::select(vec![InFlight::Count, InFlight::Warn, InFlight::Ignore]);
    (matrices(), lives(), prop::collection::vec(more, 0..4), rows(), policy, ignores()).prop_map(
        |(matrix, recorded, unrecorded, pairs, policy, ignore)| World {
            ignore,
            policy,
            matrix,
            recorded,
            unrecorded,
            pairs: answer(pairs),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_the_cluster_alone_knows_never_turns_a_no_into_a_yes(world in worlds()) {
        let alone = World { unrecorded: Vec::new(), pairs: Matrix::default(), ..world.clone() };
        prop_assert!(alone.judge().verdict != Verdict::No || world.judge().verdict == Verdict::No);
    }

    #[test]
    fn a_failing_version_more_that_runs_is_never_a_yes(world in worlds(), provider in any::<bool>(), at in 0..4_usize) {
        let mut worse = world;
        // A provider counts where we have a pact with it, which the broker says whether or not it is there.
        let needed = worse.matrix.rows.iter().any(|row| row.consumer == name("web") && row.provider == name("api"));
        let provider = provider && needed && worse.recorded.of(&name("api")).is_some();
        let one = unrecorded(if provider { "api" } else { "app" }, "9", false);
        worse.unrecorded.insert(at.min(worse.unrecorded.len()), one);
        let row = if provider { row("web", "2", "api", Some("9"), false) } else { row("app", "9", "web", Some("2"), false) };
        worse.pairs.rows.push(row);
        worse.ignore.clear();
        prop_assert!(!worse.judge().verdict.is_yes(), "{:?}", worse.judge());
    }
}
