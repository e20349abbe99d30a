//! The stand-in's matrix errs exactly where the real broker's does, and nowhere else.
//!
//! `tests/matrix/corpus.jsonl` holds 386 questions to a real broker: what was live in the environment, the rows and the
//! summary that it answered, and the truth by definition.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde::Deserialize;
use serde_json::Value;

use testbed::http::plain_client;
use testbed::pact_cli::pact_broker;
use testbed::standin::{StandIn, Store, encoded};

/// A row: consumer, its version, provider, its version, whether verified.
type Row = (String, String, String, Option<String>, Option<bool>);

#[derive(Debug, Deserialize)]
struct Question {
    pacticipant: String,
    version: String,
    environment: String,
}

#[derive(Deserialize)]
struct Asked {
    question: Question,
    truth: String,
    deployed: Vec<(String, String, Option<String>)>,
    supported: Vec<(String, String)>,
    summary: Value,
    rows: Vec<Row>,
}

fn corpus() -> Vec<Asked> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matrix/corpus.jsonl");
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A world that consists of the recorded rows. The worlds themselves were not recorded, so this proves how rows are
/// selected, ordered, counted and worded; the small worlds below prove where they come from. Versions are created in
/// the order of their numbers, which is the order of the recorded rows.
fn seed(store: &Store, asked: &Asked) {
    let Question { pacticipant, version, environment } = &asked.question;
    let consumers = asked.rows.iter().map(|row| (&row.1, &row.0));
    let providers = asked.rows.iter().filter_map(|row| Some((row.3.as_ref()?, &row.2)));
    for (version, pacticipant) in consumers.chain(providers).collect::<BTreeSet<_>>() {
        store.publish_version(pacticipant, version);
    }
    store.publish_version(pacticipant, version);
    for (consumer, consumer_version, provider, provider_version, success) in &asked.rows {
        let content = format!("{consumer} {consumer_version} {provider}");
        store.publish_pact(consumer, consumer_version, provider, &content);
        if let (Some(provider_version), Some(success)) = (provider_version, success) {
            assert!(store.verify(consumer, consumer_version, provider, provider_version, *success));
        }
    }
    store.add_environment(environment, false);
    for (pacticipant, version, instance) in &asked.deployed {
        store.record_deployment(pacticipant, version, environment, instance.as_deref());
    }
    for (pacticipant, version) in &asked.supported {
        store.record_release(pacticipant, version, environment);
    }
}

async fn ask(broker: &StandIn, question: &Question, rest: &str) -> Value {
    let Question { pacticipant, version, environment } = question;
    let (pacticipant, version) = (encoded(pacticipant), encoded(version));
    let asked = format!("q[][pacticipant]={pacticipant}&q[][version]={version}&environment={environment}");
    let url = format!("{}/matrix?{asked}{rest}", broker.url());
    plain_client().get(url).send().await.unwrap().json().await.unwrap()
}

fn rows_of(answer: &Value) -> Vec<Row> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let rows = answer["matrix"].as_array().unwrap().iter();
    rows.map(|row| {
        let (consumer, provider) = (&row["consumer"], &row["provider"]);
        let consumer_version = text(&consumer["version"]["number"]).unwrap();
        let verified = row["verificationResult"]["success"].as_bool();
        let provider_version = text(&provider["version"]["number"]);
        (
            text(&consumer["name"]).unwrap(),
            consumer_version,
            text(&provider["name"]).unwrap(),
            provider_version,
            verified,
        )
    })
    .collect()
}

#[tokio::test]
async fn the_stand_in_answers_the_corpus_as_the_real_broker_did() {
    let corpus = corpus();
    assert_eq!(corpus.len(), 386);
    let mut hidden = 0;
    for asked in &corpus {
        let broker = StandIn::start().await;
        seed(broker.store(), asked);
        let answer = ask(&broker, &asked.question, "&latestby=cvpv&limit=100000").await;
        let question = format!("{} {}", asked.question.pacticipant, asked.question.version);
        assert_eq!(rows_of(&answer), asked.rows, "{question}");
        assert_eq!(answer["summary"], asked.summary, "{question}");
        hidden += usize::from(asked.truth == "Unknown" && answer["summary"]["deployable"] == true);
    }
    assert_eq!(hidden, 6, "the versions hidden behind a verified one");
}

#[tokio::test]
async fn its_default_limit_of_100_rows_hides_failures_and_the_command_line_believes_it() {
    let broker = StandIn::start().await;
    let store = broker.store();
    for number in 0..105 {
        let consumer = format!("consumer-{number}");
        store.publish_pact(&consumer, "1", "hub", &consumer);
        assert!(store.verify(&consumer, "1", "hub", "1", true));
        store.record_deployment(&consumer, "1", "test", None);
    }
    for number in 0..105 {
        // The oldest consumers are those that the limit drops.
        assert!(store.verify(&format!("consumer-{number}"), "1", "hub", "1", number >= 3));
    }
    let question = Question { pacticipant: "hub".to_owned(), version: "1".to_owned(), environment: "test".to_owned() };
    let summary = |answer: Value| {
        let summary = answer["summary"].clone();
        (summary["deployable"].clone(), summary["success"].as_u64().unwrap(), summary["failed"].as_u64().unwrap())
    };
    assert_eq!(summary(ask(&broker, &question, "&latestby=cvpv").await), (true.into(), 100, 0));
    assert_eq!(summary(ask(&broker, &question, "&latestby=cvpv&limit=100000").await), (false.into(), 102, 3));
    let url = format!("{}/can-i-deploy?pacticipant=hub&version=1&environment=test", broker.url());
    let answer: Value = plain_client().get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(summary(answer), (false.into(), 102, 3));
    let cli =
        pact_broker(&broker, &["can-i-deploy", "--pacticipant", "hub", "--version", "1", "--to-environment", "test"]);
    cli.expect(0, &["Computer says yes"]);
}

/// A small world: four applications with two versions each.
#[derive(Clone, Debug)]
struct World {
    /// Consumer, its version, provider, which of two contents.
    pacts: BTreeMap<(u8, u8, u8), bool>,
    /// Which pact, by which provider version, with what result; later ones win.
    verifications: Vec<((u8, u8, u8), u8, bool)>,
    /// Application, version, instance (none, blue).
    deployments: Vec<(u8, u8, bool)>,
    releases: BTreeSet<(u8, u8)>,
}

fn application(number: u8) -> String {
    ["org/web", "my api", "inv+1", "Größe"][usize::from(number)].to_owned()
}

fn version(number: u8) -> String {
    ["1.0", "2.0+b"][usize::from(number)].to_owned()
}

fn worlds() -> impl Strategy<Value = World> {
    let pact = || (0..4_u8, 0..2_u8, 0..4_u8).prop_filter("an application has no pact with itself", |(c, _, p)| c != p);
    let pacts = prop::collection::btree_map(pact(), any::<bool>(), 0..8);
    let verification = (any::<prop::sample::Index>(), 0..2_u8, prop::bool::weighted(0.75));
    let verifications = prop::collection::vec(verification, 0..12);
    let deployments = prop::collection::vec((0..4_u8, 0..2_u8, any::<bool>()), 0..8);
    let releases = prop::collection::btree_set((0..4_u8, 0..2_u8), 0..3);
    (pacts, verifications, deployments, releases).prop_map(|(pacts, verifications, deployments, releases)| {
        let keys: Vec<_> = pacts.keys().copied().collect();
        let verified = |(which, by, ok): (prop::sample::Index, u8, bool)| (*which.get(&keys), by, ok);
        let verifications =
            if keys.is_empty() { Vec::new() } else { verifications.into_iter().map(verified).collect() };
        World { pacts, verifications, deployments, releases }
    })
}

impl World {
    fn seed(&self, store: &Store) {
        store.add_environment("test", false);
        for number in 0..8 {
            store.publish_version(&application(number / 2), &version(number % 2));
        }
        for (&(consumer, at, provider), content) in &self.pacts {
            let content = format!("{consumer} {provider} {content}");
            store.publish_pact(&application(consumer), &version(at), &application(provider), &content);
        }
        for &((consumer, at, provider), by, ok) in &self.verifications {
            assert!(store.verify(&application(consumer), &version(at), &application(provider), &version(by), ok));
        }
        for &(number, at, blue) in &self.deployments {
            store.record_deployment(&application(number), &version(at), "test", blue.then_some("blue"));
        }
        for &(number, at) in &self.releases {
            store.record_release(&application(number), &version(at), "test");
        }
    }

    /// The versions of an application that are live, by definition: the last deployment of each instance, and what is
    /// released.
    fn live(&self, number: u8) -> BTreeSet<u8> {
        let last =
            |blue: bool| self.deployments.iter().rev().find(|row| row.0 == number && row.2 == blue).map(|row| row.1);
        let released = self.releases.iter().filter(|row| row.0 == number).map(|row| row.1);
        last(false).into_iter().chain(last(true)).chain(released).collect()
    }

    /// The last result for a pact by a provider version; pacts of the same content share their results.
    fn result(&self, pact: (u8, u8, u8), by: u8) -> Option<bool> {
        let same = |other: &(u8, u8, u8)| {
            (other.0, other.2) == (pact.0, pact.2) && self.pacts.get(other) == self.pacts.get(&pact)
        };
        self.verifications.iter().rev().find(|(other, version, _)| same(other) && *version == by).map(|found| found.2)
    }

    /// Success, failed and unknown, pair by pair. With `flawed`, a live provider version without a result does not
    /// count as soon as another one has a result.
    fn counts(&self, number: u8, at: u8, flawed: bool) -> (u64, u64, u64) {
        let mut results: Vec<Option<bool>> = Vec::new();
        for &pact in self.pacts.keys() {
            let (consumer, consumer_version, provider) = pact;
            if (consumer, consumer_version) == (number, at) {
                let mut of_pact: Vec<_> = self.live(provider).into_iter().map(|by| self.result(pact, by)).collect();
                if of_pact.is_empty() {
                    of_pact.push(None);
                }
                let known: Vec<_> = of_pact.iter().copied().flatten().map(Some).collect();
                results.extend(match (flawed, known.is_empty()) {
                    (true, true) => vec![None],
                    (true, false) => known,
                    (false, _) => of_pact,
                });
            } else if provider == number && self.live(consumer).contains(&consumer_version) {
                results.push(self.result(pact, at));
            }
        }
        let count = |wanted| results.iter().filter(|result| **result == wanted).count() as u64;
        (count(Some(true)), count(Some(false)), count(None))
    }
}

#[test]
fn in_every_small_world_only_the_known_trap_separates_the_stand_in_from_the_truth() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner = TestRunner::deterministic();
    let (mut asked, mut hidden) = (0, 0);
    for _ in 0..60 {
        let world = worlds().new_tree(&mut runner).unwrap().current();
        let broker = runtime.block_on(StandIn::start());
        world.seed(broker.store());
        for number in 0..8 {
            let (number, at) = (number / 2, number % 2);
            let environment = "test".to_owned();
            let question = Question { pacticipant: application(number), version: version(at), environment };
            let answer = runtime.block_on(ask(&broker, &question, "&latestby=cvpv&limit=100000"));
            let summary = &answer["summary"];
            let count = |name: &str| summary[name].as_u64().unwrap();
            let counts = (count("success"), count("failed"), count("unknown"));
            let (_, failed, unknown) = world.counts(number, at, true);
            assert_eq!(counts, world.counts(number, at, true), "{question:?} in {world:?}\n{answer:#}");
            let deployable = if unknown > 0 { Value::Null } else { Value::Bool(failed == 0) };
            assert_eq!(summary["deployable"], deployable, "{question:?} in {world:?}\n{answer:#}");
            asked += 1;
            hidden += usize::from(counts != world.counts(number, at, false));
        }
    }
    assert_eq!(asked, 480);
    assert!(hidden > 0, "the trap is among the worlds");
}
