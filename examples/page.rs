//! Pages to look at: `cargo run --example page -- 200` prints one of 200 applications. `make page` takes pictures of them
//! and looks for what keeps people from reading them.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an example that cannot go on says so")]

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use pact_operator::{
    api::names::{EnvironmentName, Pacticipant, Version},
    decide::{GateRules, LiveVersions, MatrixRow, UnrecordedVersion},
    overview::{Environment, Facts, Known, Overview, build, page},
};

/// What parts of a shop are called; the first ones need the later ones.
const PARTS: [&str; 40] = [
    "web-shop",
    "mobile",
    "partner-api",
    "back-office",
    "kiosk",
    "orders",
    "basket",
    "checkout",
    "search",
    "catalogue",
    "reviews",
    "wishlist",
    "recommendations",
    "prices",
    "promotions",
    "vouchers",
    "stock",
    "shipping",
    "returns",
    "billing",
    "payments",
    "invoices",
    "tax",
    "fraud",
    "accounts",
    "profiles",
    "login",
    "consent",
    "loyalty",
    "notifications",
    "mail",
    "push",
    "media",
    "translations",
    "addresses",
    "currency",
    "audit",
    "documents",
    "settings",
    "clock",
];

/// Numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

/// An environment under construction.
struct World {
    recorded: Vec<(Pacticipant, Version)>,
    unrecorded: Vec<UnrecordedVersion>,
    rows: Vec<MatrixRow>,
}

fn name(name: &str) -> Pacticipant {
    Pacticipant::parse(name).unwrap()
}

fn version(version: &str) -> Version {
    Version::parse(version).unwrap()
}

impl World {
    fn new() -> Self {
        Self { recorded: Vec::new(), unrecorded: Vec::new(), rows: Vec::new() }
    }

    fn runs(&mut self, pacticipant: &str, number: &str) -> &mut Self {
        self.recorded.push((name(pacticipant), version(number)));
        self
    }

    fn arrives(&mut self, pacticipant: &str, number: &str) -> &mut Self {
        let (pacticipant, version) = (name(pacticipant), version(number));
        self.unrecorded.push(UnrecordedVersion { pacticipant, version, in_flight: true });
        self
    }

    fn pact(&mut self, consumer: (&str, &str), provider: (&str, &str), success: Option<bool>) -> &mut Self {
        self.rows.push(MatrixRow {
            consumer: name(consumer.0),
            consumer_version: version(consumer.1),
            provider: name(provider.0),
            provider_version: success.map(|_| version(provider.1)),
            success,
            ignored: false,
        });
        self
    }

    fn picture(&self, environment: &str, now: Timestamp) -> Environment {
        build::environment(&Facts {
            environment: &EnvironmentName::parse(environment).unwrap(),
            broker: Some("main"),
            address: Some("https://broker.example.com"),
            recorded: &LiveVersions::all(self.recorded.iter().cloned()),
            unrecorded: &self.unrecorded,
            unknown: &BTreeSet::new(),
            rules: &GateRules::default(),
            known: Known::Rows { rows: &self.rows, unreadable: 0 },
            now,
        })
    }
}

/// Five applications with a pair in every state.
fn five() -> World {
    let mut world = World::new();
    world.runs("web-shop", "4.2.0").runs("mobile", "7.0.1").runs("orders", "2.8.0").runs("stock", "1.36.0");
    world.runs("payments", "5.1.3").arrives("orders", "2.9.0");
    world.pact(("web-shop", "4.2.0"), ("orders", "2.8.0"), Some(true));
    world.pact(("web-shop", "4.2.0"), ("orders", "2.9.0"), Some(true));
    world.pact(("web-shop", "4.2.0"), ("stock", "1.36.0"), Some(false));
    world.pact(("mobile", "7.0.1"), ("orders", "2.8.0"), Some(true));
    world.pact(("mobile", "7.0.1"), ("orders", "2.9.0"), Some(true));
    world.pact(("orders", "2.8.0"), ("payments", "5.1.3"), Some(true));
    world.pact(("orders", "2.9.0"), ("payments", "5.1.3"), None);
    world.pact(("mobile", "7.0.1"), ("reviews", "1"), None);
    world
}

/// As many applications as are wanted, each of which needs some of those after it.
fn many(count: usize, wrong: usize, dice: &mut Dice) -> World {
    let mut world = World::new();
    let names: Vec<_> = (0..count)
        .map(|number| match number / PARTS.len() {
            0 => PARTS[number].to_owned(),
            team => format!("{}-{}", PARTS[number % PARTS.len()], ["eu", "us", "asia", "b2b", "labs"][(team - 1) % 5]),
        })
        .collect();
    let number = |dice: &mut Dice| format!("{}.{}.{}", 1 + dice.below(8), dice.below(30), dice.below(9));
    let versions: Vec<_> = names.iter().map(|_| number(dice)).collect();
    for (name, version) in names.iter().zip(&versions) {
        world.runs(name, version);
    }
    let mut pairs = Vec::new();
    for consumer in 0..count {
        let part = consumer % PARTS.len();
        for _ in 0..dice.below(5) {
            let later = part + 3 + dice.below(14);
            // Mostly of the same region, and some that all share.
            let region = if dice.below(6) == 0 { 0 } else { consumer / PARTS.len() };
            let provider = region * PARTS.len() + later;
            if later < PARTS.len() && provider < count && !pairs.contains(&(consumer, provider)) {
                pairs.push((consumer, provider));
            }
        }
    }
    for (place, (consumer, provider)) in pairs.iter().enumerate() {
        let spread = (pairs.len() / wrong.max(1)).max(1);
        let success = match place % spread {
            _ if wrong == 0 => Some(true),
            0 if place % (spread * 3) == 0 => Some(false),
            0 => None,
            _ => Some(true),
        };
        world.pact((&names[*consumer], &versions[*consumer]), (&names[*provider], &versions[*provider]), success);
    }
    for arriving in [6, 25, 48].into_iter().filter(|it| *it < count) {
        let next = number(dice);
        world.arrives(&names[arriving], &next);
        for (consumer, provider) in &pairs {
            if *provider == arriving {
                world.pact((&names[*consumer], &versions[*consumer]), (&names[arriving], &next), Some(true));
            } else if *consumer == arriving {
                world.pact((&names[arriving], &next), (&names[*provider], &versions[*provider]), Some(true));
            }
        }
    }
    world
}

fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(5);
    let now = Timestamp::from_second(1_796_000_000).unwrap();
    let mut dice = Dice(7);
    let environments = if count <= 5 {
        vec![five().picture("production", now)]
    } else {
        let [production, staging, test] =
            [(count, 9), (count / 2, 3), (count / 5, 0)].map(|(count, wrong)| many(count, wrong, &mut dice));
        vec![production.picture("production", now), staging.picture("staging", now), test.picture("test", now)]
    };
    print!("{}", page(&Overview::of(now, environments)));
}
