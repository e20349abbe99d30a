//! In thousands of random worlds, the verdict from a broker's answers and what runs in the cluster is the truth by
//! definition, also where the broker's records lag behind what runs.
//!
//! Each world is made from a number: a failure prints it, and `GATE_WORLD=number` asks about that one alone.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use futures::stream::{self, StreamExt};
use pact_operator::{
    broker::{Broker, Judge, Revision, Running},
    decide::{Ignored, LiveVersions, Question, UnrecordedVersion, Verdict},
};

use super::broker_under_test::{config, environment, pacticipant, version};
use super::dice::Dice;
use super::gate_worlds_oracle::{App, Asked, EnvironmentNumber, Event, Number, Truth, truth};
use testbed::standin::{StandIn, Store};

const WORLDS: u64 = 5_000;
/// How many worlds one stand-in holds; each has names of its own.
const TOGETHER: u64 = 250;
const APPS: [&str; 5] = ["org/web", "my api", "inv+1", "Größe", "a&b=c"];
const NUMBERS: [&str; 3] = ["1.0", "2.0+b", "feat/x 3"];

#[derive(Debug)]
struct World {
    number: u64,
    apps: usize,
    environments: usize,
    /// How many of a hundred events at the end of the list are of versions that run and are not recorded.
    lagging: usize,
    events: Vec<Event>,
    questions: Vec<Asked>,
}

impl World {
    fn new(number: u64) -> Self {
        let mut dice = Dice(number);
        // Small worlds mostly: they contain every trap, and take little time.
        let apps = [2, 2, 2, 3, 3, 3, 4, 5][dice.below(8)];
        let versions: Vec<usize> = (0..apps).map(|_| 1 + dice.below(NUMBERS.len())).collect();
        let environments = 1 + usize::from(dice.percent(30));
        let lagging = [0, 0, 60, 90][dice.below(4)];
        let mut world = Self { number, apps, environments, lagging, events: Vec::new(), questions: Vec::new() };
        for (app, &count) in versions.iter().enumerate() {
            // A version that is not published here may be created by a deployment or a result, or never.
            let published = (0..count).filter(|_| dice.percent(80));
            world.events.extend(published.map(|version| Event::Published { app, version }));
        }
        for _ in 0..8 + dice.below(10 * apps) {
            let event = world.event(&mut dice, &versions);
            world.events.extend(event);
        }
        for (app, &count) in versions.iter().enumerate() {
            for version in 0..count {
                for environment in 0..environments {
                    let ignore = world.ignore(&mut dice);
                    world.questions.push(Asked { app, version, environment, ignore });
                }
            }
        }
        // Questions about a missing version, and sometimes a missing environment or application.
        if dice.percent(30) {
            let (app, environment) = (dice.below(apps + 1), dice.below(environments));
            world.questions.push(Asked { app, version: 9, environment, ignore: Vec::new() });
        }
        if dice.percent(10) {
            world.questions.push(Asked {
                app: dice.below(apps),
                version: 0,
                environment: environments,
                ignore: Vec::new(),
            });
        }
        world
    }

    fn event(&self, dice: &mut Dice, versions: &[usize]) -> Option<Event> {
        let app = dice.below(self.apps);
        let (version, environment, instance) =
            (dice.below(versions[app]), dice.below(self.environments), dice.below(3));
        match dice.below(100) {
            0..26 => {
                let provider = dice.below(self.apps);
                let content = dice.below(2);
                let known = |event: &Event| matches!(event, Event::Pact { consumer, version: of, provider: with, .. } if (*consumer, *of, *with) == (app, version, provider));
                // The pact of a version does not change; an application has no pact with itself.
                let fits = provider != app && !self.events.iter().any(known);
                fits.then_some(Event::Pact { consumer: app, version, provider, content })
            }
            26..66 => {
                let pacts = self.events.iter().filter_map(|event| match *event {
                    Event::Pact { consumer, version, provider, .. } => Some((consumer, version, provider)),
                    _ => None,
                });
                let pacts: Vec<_> = pacts.collect();
                let (consumer, version, provider) = *pacts.get(dice.below(pacts.len().max(1)))?;
                let by = dice.below(versions[provider]);
                Some(Event::Verified { consumer, version, provider, by, ok: dice.percent(80) })
            }
            66..88 if !dice.percent(self.lagging) => Some(Event::Deployed { app, version, environment, instance }),
            _ if dice.percent(self.lagging) => Some(Event::Runs { app, version, environment }),
            88..91 => Some(Event::Undeployed { app, environment, instance }),
            91..98 => Some(Event::Released { app, version, environment }),
            _ => Some(Event::SupportEnded { app, version, environment }),
        }
    }

    fn ignore(&self, dice: &mut Dice) -> Vec<(App, Option<Number>)> {
        let many = if dice.percent(75) { 0 } else { 1 + dice.below(2) };
        let mut ignore: Vec<_> =
            (0..many).map(|_| (dice.below(self.apps), dice.percent(60).then(|| dice.below(NUMBERS.len())))).collect();
        ignore.sort_unstable();
        ignore.dedup();
        ignore
    }

    fn app(&self, app: App) -> String {
        // A number beyond the last one gives an unknown name.
        APPS.get(app).map_or_else(|| format!("ghost {}", self.number), |name| format!("{name} {}", self.number))
    }

    fn environment_name(&self, environment: EnvironmentNumber) -> String {
        format!("environment-{environment}-{}", self.number)
    }

    fn seed(&self, store: &Store) {
        for environment in 0..self.environments {
            store.add_environment(&self.environment_name(environment), false);
        }
        let instance = |number: usize| [None, Some("blue"), Some("green")][number];
        for event in &self.events {
            match *event {
                Event::Published { app, version } => store.publish_version(&self.app(app), NUMBERS[version]),
                Event::Pact { consumer, version, provider, content } => {
                    let content = format!("content {content}");
                    store.publish_pact(&self.app(consumer), NUMBERS[version], &self.app(provider), &content);
                }
                Event::Verified { consumer, version, provider, by, ok } => {
                    let (consumer, provider) = (self.app(consumer), self.app(provider));
                    assert!(store.verify(&consumer, NUMBERS[version], &provider, NUMBERS[by], ok));
                }
                Event::Deployed { app, version, environment, instance: of } => {
                    store.record_deployment(
                        &self.app(app),
                        NUMBERS[version],
                        &self.environment_name(environment),
                        instance(of),
                    );
                }
                Event::Undeployed { app, environment, instance: of } => {
                    store.undeploy(&self.app(app), &self.environment_name(environment), instance(of));
                }
                Event::Released { app, version, environment } => {
                    store.record_release(&self.app(app), NUMBERS[version], &self.environment_name(environment));
                }
                Event::Runs { .. } => {}
                Event::SupportEnded { app, version, environment } => {
                    store.end_support(&self.app(app), NUMBERS[version], &self.environment_name(environment));
                }
            }
        }
    }

    fn question(&self, asked: &Asked) -> Question {
        let number = |number: Number| NUMBERS.get(number).copied().unwrap_or("never published");
        let ignored = |&(app, only): &(App, Option<Number>)| Ignored {
            pacticipant: pacticipant(&self.app(app)),
            version: only.map(|only| version(number(only))),
        };
        Question {
            pacticipant: pacticipant(&self.app(asked.app)),
            version: version(number(asked.version)),
            environment: environment(&self.environment_name(asked.environment)),
            ignore: asked.ignore.iter().map(ignored).collect(),
            in_flight: pact_operator::api::gate::InFlight::default(),
        }
    }
}

/// What runs in the environments of a world, as the operator would see it.
struct Cluster(BTreeMap<String, Vec<UnrecordedVersion>>);

impl Cluster {
    fn of(world: &World) -> Self {
        let mut runs: BTreeMap<String, Vec<UnrecordedVersion>> = BTreeMap::new();
        for event in &world.events {
            if let Event::Runs { app, version: number, environment } = *event {
                let one = UnrecordedVersion {
                    pacticipant: pacticipant(&world.app(app)),
                    version: version(NUMBERS[number]),
                    in_flight: number % 2 == 0,
                };
                let there = runs.entry(world.environment_name(environment)).or_default();
                if !there.contains(&one) {
                    there.push(one);
                }
            }
        }
        Self(runs)
    }
}

impl Running for Cluster {
    fn revision(&self, _: &Question) -> Revision {
        (0, 0)
    }

    fn unrecorded(&self, question: &Question, recorded: &LiveVersions) -> Vec<UnrecordedVersion> {
        let running = self.0.get(question.environment.as_str()).cloned().unwrap_or_default();
        running.into_iter().filter(|one| !recorded.has(&one.pacticipant, &one.version)).collect()
    }
}

#[derive(Default)]
struct Tally {
    verdicts: BTreeMap<Verdict, usize>,
    hidden: usize,
    /// How many questions have another answer than if only what is recorded counted.
    lagging: usize,
    wrong: usize,
    first_wrong: String,
}

impl Tally {
    fn merge(&mut self, other: Self) {
        for (verdict, count) in other.verdicts {
            *self.verdicts.entry(verdict).or_default() += count;
        }
        self.hidden += other.hidden;
        self.lagging += other.lagging;
        self.wrong += other.wrong;
        if self.first_wrong.is_empty() {
            self.first_wrong = other.first_wrong;
        }
    }
}

async fn ask(world: &World, asked: &Asked, broker: &Broker, judge: &Judge) -> Tally {
    let question = world.question(asked);
    let Truth { verdict, hidden } = truth(&world.events, asked, world.apps, world.environments);
    let judgement = judge.judge(&question).await.unwrap_or_else(|error| panic!("{asked:?} in {world:?}: {error}"));
    let mut tally = Tally::default();
    tally.verdicts.insert(verdict, 1);
    let known = |event: &&Event| !matches!(event, Event::Runs { .. });
    let recorded: Vec<_> = world.events.iter().filter(known).copied().collect();
    tally.lagging = usize::from(truth(&recorded, asked, world.apps, world.environments).verdict != verdict);
    if judgement.verdict != verdict {
        tally.wrong = 1;
        let text = &mut tally.first_wrong;
        let _ = write!(text, "{asked:?}\n{verdict} by definition, but read as {judgement:?}\nin {:?}", world.events);
        let _ = write!(text, "\nGATE_WORLD={} asks about this world alone", world.number);
    }
    if hidden && recorded.len() == world.events.len() {
        // The worlds contain the trap only if the broker falls into it.
        assert_eq!(broker.matrix(&question).await.unwrap().deployable, Some(true), "{asked:?} in {world:?}");
        tally.hidden = 1;
    }
    tally
}

/// Asks everything about these worlds.
async fn worlds(numbers: Vec<u64>) -> Tally {
    let mut tally = Tally::default();
    for numbers in numbers.chunks(usize::try_from(TOGETHER).unwrap()) {
        let standin = StandIn::start().await;
        let mut config = config(&standin.url());
        config.concurrency = 16;
        let broker = Broker::new(config).unwrap();
        for number in numbers {
            let world = World::new(*number);
            world.seed(standin.store());
            let judge = Judge::new(broker.clone(), Arc::new(Cluster::of(&world)));
            let asked: Vec<_> = world.questions.iter().map(|asked| ask(&world, asked, &broker, &judge)).collect();
            stream::iter(asked)
                .buffer_unordered(8)
                .collect::<Vec<_>>()
                .await
                .into_iter()
                .for_each(|one| tally.merge(one));
        }
    }
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_every_random_world_the_verdict_is_the_truth() {
    let only = std::env::var("GATE_WORLD").ok().map(|number| number.parse::<u64>().unwrap());
    let numbers: Vec<u64> = only.map_or_else(|| (1..=WORLDS).collect(), |number| vec![number]);
    let (one, other): (Vec<_>, Vec<_>) = numbers.into_iter().partition(|number| number % 2 == 0);
    let halves = [one, other].map(|numbers| tokio::spawn(worlds(numbers)));
    let mut tally = Tally::default();
    for half in halves {
        tally.merge(half.await.unwrap());
    }
    let questions: usize = tally.verdicts.values().sum();
    println!(
        "{questions} questions: {:?}, {} of them hidden from the broker, {} otherwise if only what is recorded counted",
        tally.verdicts, tally.hidden, tally.lagging
    );
    assert_eq!(tally.wrong, 0, "of {questions}, the first: {}", tally.first_wrong);
    if only.is_none() {
        use Verdict::{EnvironmentMissing, No, PacticipantUnknown, Unknown, VersionMissing, Yes, YesVacuous};
        for verdict in [Yes, YesVacuous, No, Unknown, VersionMissing, PacticipantUnknown, EnvironmentMissing] {
            assert!(tally.verdicts.get(&verdict).is_some_and(|count| *count > 100), "{verdict}: {:?}", tally.verdicts);
        }
        assert!(tally.hidden > 100, "only {} answers hide a version", tally.hidden);
        assert!(tally.lagging > 1_000, "only {} answers depend on what is not recorded", tally.lagging);
    }
}
