//! The whole picture shows what the gate sees: in random worlds each pair that a question comes to is in it, and no other.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use pact_operator::{
    api::gate::InFlight,
    broker::{BrokerError, Judge, Revision, Running},
    decide::{GateRules, LiveVersions, Pair, PairResult, Question, UnrecordedVersion, Verdict},
    overview::{Environment, Facts, Known, build},
};

use super::{
    broker_under_test::{broker, environment, pacticipant, version},
    dice::Dice,
};
use testbed::standin::{Fault, StandIn};

const WORLDS: u64 = 120;

/// What runs beside what is recorded.
struct Beside(Vec<UnrecordedVersion>);

impl Running for Beside {
    fn revision(&self, _: &Question) -> Revision {
        (0, 0)
    }

    fn unrecorded(&self, _: &Question, recorded: &LiveVersions) -> Vec<UnrecordedVersion> {
        self.0.iter().filter(|one| !recorded.has(&one.pacticipant, &one.version)).cloned().collect()
    }
}

/// Makes a world: what was published, verified and recorded, and what runs besides. Answers all that is live, and the latter.
fn world(stand_in: &StandIn, place: &str, dice: &mut Dice) -> (Vec<(String, String)>, Vec<UnrecordedVersion>) {
    let store = stand_in.store();
    store.add_environment(place, false);
    let names: Vec<_> =
        ["a/b c", "größe", "c+d", "Web", "e&f", "g"].iter().map(|name| format!("{name} {place}")).collect();
    let mut versions = Vec::new();
    for name in &names {
        for number in 1..=1 + dice.below(3) {
            let number = format!("{number}+x");
            // Some are on their way before anything is published with them.
            if dice.percent(85) {
                store.publish_version(name, &number);
            }
            versions.push((name.clone(), number));
        }
    }
    for (consumer, number) in versions.iter().filter(|(name, number)| store.has_version(name, number)) {
        for provider in names.iter().filter(|name| *name != consumer) {
            if dice.percent(35) {
                let same_for_all = dice.percent(50);
                let content = if same_for_all { "same".to_owned() } else { number.clone() };
                store.publish_pact(consumer, number, provider, &content);
            }
        }
    }
    for (consumer, number) in &versions {
        for (provider, provider_number) in &versions {
            if dice.percent(60) && store.has_version(provider, provider_number) {
                store.verify(consumer, number, provider, provider_number, dice.percent(75));
            }
        }
    }
    let (mut live, mut beside) = (Vec::new(), Vec::new());
    for (name, number) in versions {
        let known = store.has_version(&name, &number);
        if known && dice.percent(45) {
            let instance = format!("instance-{number}");
            store.record_deployment(&name, &number, place, Some(&instance));
        } else if known && dice.percent(20) {
            store.record_release(&name, &number, place);
        } else if dice.percent(30) {
            let in_flight = dice.percent(60);
            beside.push(UnrecordedVersion { pacticipant: pacticipant(&name), version: version(&number), in_flight });
        } else {
            continue;
        }
        live.push((name, number));
    }
    (live, beside)
}

async fn picture(stand_in: &StandIn, place: &str, beside: &[UnrecordedVersion]) -> Environment {
    let at = environment(place);
    let running = |recorded: &LiveVersions| {
        beside.iter().filter(|one| !recorded.has(&one.pacticipant, &one.version)).cloned().collect()
    };
    let matrix = broker(&stand_in.url()).environment_matrix(&at, running, &|_, _| None).await.unwrap().unwrap();
    build::environment(&Facts {
        environment: &at,
        broker: None,
        address: None,
        recorded: &matrix.recorded,
        unrecorded: &matrix.unrecorded,
        unknown: &matrix.unknown,
        rules: &GateRules::default(),
        known: Known::Rows { rows: &matrix.rows, unreadable: matrix.unreadable },
        now: Timestamp::UNIX_EPOCH,
    })
}

/// Which pair it is and what became of it; who of the two is rolling out is another matter.
fn shown(pair: &Pair) -> (PairResult, String) {
    let provider = pair.provider_version.as_ref().map_or("-", |version| version.as_str());
    (pair.result, format!("{} {} → {} {provider}", pair.consumer, pair.consumer_version, pair.provider))
}

#[tokio::test]
async fn the_picture_has_the_pairs_of_every_question_and_no_other() {
    let stand_in = StandIn::start().await;
    let (mut pairs, mut wrong) = (0, 0);
    for seed in 0..WORLDS {
        let place = format!("world-{seed}");
        let (live, beside) = world(&stand_in, &place, &mut Dice(seed));
        let found = picture(&stand_in, &place, &beside).await;
        let in_picture: BTreeSet<_> = found.pairs.iter().map(|it| shown(&it.pair)).collect();
        pairs += in_picture.len();
        wrong += found.pairs.iter().filter(|it| it.is_wrong()).count();
        let judge = Judge::new(broker(&stand_in.url()), Arc::new(Beside(beside)));
        let mut explained = BTreeSet::new();
        for (name, number) in &live {
            let question = Question {
                pacticipant: pacticipant(name),
                version: version(number),
                environment: environment(&place),
                ignore: Vec::new(),
                in_flight: InFlight::Count,
            };
            let judgement = judge.judge(&question).await.unwrap();
            // Once something failed, a question looks no further.
            let whole = judgement.verdict != Verdict::No;
            let decided = judgement.pairs.iter().filter(|it| whole || it.result != PairResult::Unverified);
            let decided: BTreeSet<_> = decided.map(shown).collect();
            let missing: Vec<_> = decided.difference(&in_picture).collect();
            assert!(missing.is_empty(), "{place}, {question}: {missing:?} is not in\n{in_picture:#?}");
            explained.extend(decided);
            if !whole {
                let consumer = format!("{name} {number} → ");
                explained.extend(in_picture.iter().filter(|(_, pair)| pair.starts_with(&consumer)).cloned());
            }
        }
        let more: Vec<_> = in_picture.difference(&explained).collect();
        assert!(more.is_empty(), "{place}: no question comes to {more:?}");
    }
    assert!(pairs > 1_000 && wrong > 300, "{pairs} pairs, of which {wrong} are wrong, prove little");
}

/// However many run that the broker does not know, it is asked about each of them once; and what was answered is not asked
/// again when something else fails.
#[tokio::test]
async fn what_the_broker_does_not_know_is_found_out_once() {
    let stand_in = StandIn::start().await;
    let store = stand_in.store();
    store.add_environment("fresh", false);
    let fresh =
        |name: String| UnrecordedVersion { pacticipant: pacticipant(&name), version: version("1"), in_flight: true };
    let known = (0..35).map(|number| format!("known-{number}"));
    let unknown = (0..50).map(|number| format!("unknown-{number}"));
    for name in known.clone() {
        store.publish_pact(&name, "1", "known-0", "what it expects");
    }
    let beside: Vec<_> = known.chain(unknown).map(fresh).collect();
    stand_in.faults().add(Fault::status(503).path("^/matrix").times(1));
    let once = |failures: u32, error: &BrokerError| (failures == 0 && error.retryable()).then_some(Duration::ZERO);
    let found = broker(&stand_in.url()).environment_matrix(&environment("fresh"), |_| beside.clone(), &once).await;
    let found = found.unwrap().unwrap();
    assert_eq!(found.unknown.len(), 50);
    assert!(found.rows.iter().any(|row| row.consumer.as_str() == "known-7"), "{:?}", found.rows);
    let requests = stand_in.requests();
    let paths: Vec<_> = requests.iter().map(|request| request.path_and_query.as_str()).collect();
    let lookups = paths.iter().filter(|path| path.starts_with("/pacticipants/")).count();
    assert!((50..=80).contains(&lookups), "{lookups}");
    let matrices = paths.iter().filter(|path| path.starts_with("/matrix")).count();
    // Three thirties, of which two are refused and asked without those names; the known ones, by fifteens, each with each other.
    assert!(matrices <= 1 + 3 + 3 + 3, "{matrices}: {paths:#?}");
}
