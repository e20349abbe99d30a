use proptest::prelude::*;

use super::*;
use crate::{
    api::{gate::InFlight, names::EnvironmentName},
    decide::{Ignored, MatrixRow, PairResult},
};

fn member(pacticipant: &str, version: &str) -> Member {
    (Pacticipant::parse(pacticipant).unwrap(), Version::parse(version).unwrap())
}

fn versions(of: &[&str]) -> Vec<Version> {
    of.iter().map(|version| Version::parse(version).unwrap()).collect()
}

fn question(member: &Member) -> Question {
    Question {
        pacticipant: member.0.clone(),
        version: member.1.clone(),
        environment: EnvironmentName::parse("production").unwrap(),
        ignore: Vec::new(),
        in_flight: InFlight::Count,
    }
}

/// A consumer version, the provider of its pact, and what versions of that said.
type Pact = (Member, Pacticipant, BTreeMap<Version, bool>);

/// An environment, and what was published.
#[derive(Clone, Debug, Default)]
struct World {
    asked: Option<Member>,
    pacts: Vec<Pact>,
    live: Vec<Member>,
    staying: Vec<Member>,
    own: Vec<Version>,
    pending: BTreeMap<Pacticipant, Vec<Version>>,
    ignore: Vec<Ignored>,
}

/// `web 2 → api: 1 yes, 2 no`: a pact, and what versions of its provider said.
fn pact(text: &str) -> Pact {
    let (pact, results) = text.split_once(':').unwrap();
    let [consumer, version, _, provider] = pact.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{text}") };
    let results = results.split(',').filter(|result| !result.trim().is_empty()).map(|result| {
        let (version, said) = result.trim().split_once(' ').unwrap();
        (Version::parse(version).unwrap(), said == "yes")
    });
    (member(consumer, version), Pacticipant::parse(provider).unwrap(), results.collect())
}

impl World {
    /// May this version be deployed where those are live?
    fn new(asked: (&str, &str), live: &[(&str, &str)], pacts: &[&str]) -> Self {
        Self {
            asked: Some(member(asked.0, asked.1)),
            pacts: pacts.iter().map(|text| pact(text)).collect(),
            live: live.iter().map(|(name, version)| member(name, version)).collect(),
            ..Self::default()
        }
    }

    fn own(mut self, own: &[&str]) -> Self {
        self.own = versions(own);
        self
    }

    fn pending(mut self, pacticipant: &str, pending: &[&str]) -> Self {
        self.pending.insert(Pacticipant::parse(pacticipant).unwrap(), versions(pending));
        self
    }

    fn rows(&self) -> Vec<MatrixRow> {
        let mut rows = Vec::new();
        for (consumer, provider, results) in &self.pacts {
            let row = |by: Option<(&Version, &bool)>| MatrixRow {
                consumer: consumer.0.clone(),
                consumer_version: consumer.1.clone(),
                provider: provider.clone(),
                provider_version: by.map(|(version, _)| version.clone()),
                success: by.map(|(_, success)| *success),
                ignored: false,
            };
            rows.extend(results.iter().map(|result| row(Some(result))));
            if results.is_empty() {
                rows.push(row(None));
            }
        }
        rows
    }

    fn known(&self) -> KnownPairs {
        let mut known = KnownPairs::default();
        known.add(&self.rows());
        known
    }

    fn way(&self) -> WayToYes {
        self.way_where(&|judgement| judgement.verdict.is_yes())
    }

    fn way_where(&self, passes: &dyn Fn(&Judgement) -> bool) -> WayToYes {
        let all = |of: &[Member]| LiveVersions::all(of.iter().cloned());
        way_to_yes(&Situation {
            asked: self.asked.as_ref().unwrap(),
            known: &self.known(),
            live: &all(&[self.live.clone(), self.staying.clone()].concat()),
            staying: &all(&self.staying),
            own: &self.own,
            pending: &self.pending,
            question: &|member| Question {
                ignore: self.ignore.iter().filter(|it| it.pacticipant != member.0).cloned().collect(),
                ..question(member)
            },
            passes,
        })
    }
}

/// `api 2; web 3 + auth 1`: a step for each.
fn written(steps: &[Vec<Member>]) -> String {
    let step = |members: &Vec<Member>| {
        members.iter().map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>().join(" + ")
    };
    steps.iter().map(step).collect::<Vec<_>>().join("; ")
}

fn tried(all: &[Tried]) -> Vec<String> {
    let one = |it: &Tried| {
        let pair = it.pair.as_ref().map_or("-".to_owned(), |pair| {
            let by = pair.provider_version.as_ref().map_or("-", Version::as_str);
            format!("{} {} {} {} {by}", pair.result.name(), pair.consumer, pair.consumer_version, pair.provider)
        });
        format!("{}: {} {pair}", written(std::slice::from_ref(&it.members)), it.verdict)
    };
    all.iter().map(one).collect()
}

#[test]
fn the_steps_are_the_smallest_in_which_each_passes() {
    let live = &[("web", "1"), ("api", "1")][..];
    for (what, world, steps) in [
        (
            "the provider first, then the consumer that needs it",
            World::new(("web", "2"), live, &["web 1 → api: 1 yes, 2 yes", "web 2 → api: 1 no, 2 yes"])
                .pending("api", &["2"]),
            Some("api 2; web 2"),
        ),
        (
            "the consumer first, then the provider that breaks the old one",
            World::new(("api", "2"), live, &["web 1 → api: 1 yes, 2 no", "web 2 → api: 1 yes, 2 yes"])
                .pending("web", &["2"]),
            Some("web 2; api 2"),
        ),
        (
            "two that only pass together",
            World::new(("web", "2"), live, &["web 1 → api: 1 yes, 2 no", "web 2 → api: 1 no, 2 yes"])
                .pending("api", &["2"]),
            Some("api 2 + web 2"),
        ),
        (
            "a version between makes the way in steps of one, which is better than together",
            World::new(
                ("web", "3"),
                live,
                &["web 1 → api: 1 yes, 2 yes, 3 no", "web 2 → api: 2 yes, 3 yes", "web 3 → api: 2 no, 3 yes"],
            )
            .pending("api", &["3", "2"])
            .pending("web", &["2"]),
            Some("api 2; web 2; api 3; web 3"),
        ),
        (
            "the newest of those that will do",
            World::new(("web", "2"), live, &["web 1 → api: 1 yes, 2 yes, 3 yes", "web 2 → api: 1 no, 2 yes, 3 yes"])
                .pending("api", &["3", "2"]),
            Some("api 3; web 2"),
        ),
        (
            "a provider that is not there yet",
            World::new(("web", "2"), &[], &["web 2 → api: 1 yes, 2 no"]).pending("api", &["2", "1"]),
            Some("api 1; web 2"),
        ),
        (
            "a provider that needs another one first",
            World::new(("web", "2"), &[], &["web 2 → api: 1 yes", "api 1 → auth: 1 yes"])
                .pending("api", &["1"])
                .pending("auth", &["1"]),
            Some("auth 1; api 1; web 2"),
        ),
        (
            "nothing pending helps",
            World::new(("web", "2"), live, &["web 1 → api: 1 yes, 2 yes", "web 2 → api: 1 no, 2 no"])
                .pending("api", &["2"]),
            None,
        ),
        ("nothing was published with it", World::new(("web", "9"), live, &["web 1 → api: 1 yes"]), None),
        ("nothing is pending", World::new(("web", "2"), live, &["web 2 → api: 1 no"]), None),
    ] {
        let way = world.way();
        assert_eq!(way.steps.as_deref().map(written).as_deref(), steps, "{what}: {way:?}");
        assert!((way.looked_at > 0 || way.steps.is_none()) && !way.cut_short, "{what}: {way:?}");
    }
}

#[test]
fn a_release_that_stays_has_to_get_along_with_what_is_deployed_beside_it() {
    let pacts = &["web 1 → api: 1 yes, 2 no", "web 2 → api: 1 no, 2 yes"];
    let mut world = World::new(("api", "2"), &[("api", "1"), ("web", "1")], pacts).pending("web", &["2"]);
    assert_eq!(world.way().steps.as_deref().map(written).as_deref(), Some("web 2 + api 2"));
    world.live = vec![member("api", "1")];
    world.staying = vec![member("web", "1")];
    assert_eq!(world.way().steps, None, "web 1 is on people's phones");
}

#[test]
fn the_newest_deployable_version_is_found_and_each_newer_one_says_why_not() {
    let pacts = &["web 1 → api: 1 yes, 2 yes, 3 no, 4 no", "web 2 → api: 5 yes"];
    let world = World::new(("api", "3"), &[("web", "1"), ("api", "1")], pacts).own(&["6", "5", "4", "3", "2", "1"]);
    let way = world.way();
    assert_eq!(way.newest, Some(Version::parse("2").unwrap()));
    assert_eq!(
        tried(&way.newer),
        ["api 5: Unknown Unverified web 1 api 5", "api 4: No Failed web 1 api 4", "api 3: No Failed web 1 api 3"],
        "nothing was published with 6"
    );
}

#[test]
fn where_there_is_no_way_each_pending_version_says_what_fails() {
    let pacts = &["web 1 → api: 1 yes, 2 yes, 3 no", "web 2 → api: 1 no, 2 no", "app 1 → api: 1 yes, 2 yes, 3 no"];
    let world =
        World::new(("web", "2"), &[("web", "1"), ("api", "1"), ("app", "1")], pacts).pending("api", &["3", "2"]);
    let way = world.way();
    assert_eq!(way.steps, None);
    assert_eq!(tried(&way.tried), ["api 3 + web 2: No Failed app 1 api 3", "api 2 + web 2: No Failed web 2 api 2"]);
}

#[test]
fn a_pair_that_the_question_leaves_out_is_no_obstacle() {
    let pacts = &["web 1 → api: 1 yes, 2 yes", "web 2 → api: 1 no, 2 yes", "old 1 → api: 1 yes, 2 no"];
    let live = &[("web", "1"), ("api", "1"), ("old", "1")];
    let mut world = World::new(("web", "2"), live, pacts).pending("api", &["2"]);
    assert_eq!(world.way().steps, None);
    world.ignore = vec![Ignored { pacticipant: Pacticipant::parse("old").unwrap(), version: None }];
    assert_eq!(world.way().steps.as_deref().map(written).as_deref(), Some("api 2; web 2"));
}

#[test]
fn a_vacuous_yes_counts_only_where_it_is_let_pass() {
    // Nothing that is there has a pact with api.
    let world = World::new(("api", "2"), &[("api", "1")], &["web 1 → api: 1 yes, 2 yes"])
        .own(&["2", "1"])
        .pending("web", &["1"]);
    assert_eq!(world.way().newest, Some(Version::parse("2").unwrap()));
    assert_eq!(world.way().steps.as_deref().map(written).as_deref(), Some("api 2"));
    let strict = world.way_where(&|judgement| judgement.verdict == Verdict::Yes);
    assert_eq!(strict.newest, None);
    assert_eq!(strict.steps.as_deref().map(written).as_deref(), Some("web 1; api 2"));
}

#[test]
fn finishing_a_rollout_may_be_the_way() {
    let pacts = &["web 1 → api: 1 yes, 2 no", "web 2 → api: 1 yes, 2 yes"];
    let world = World::new(("api", "2"), &[("web", "1"), ("web", "2"), ("api", "1")], pacts).pending("web", &["2"]);
    assert_eq!(world.way().steps.as_deref().map(written).as_deref(), Some("web 2; api 2"));
}

/// The same by definition: whether versions may be deployed at once, and the smallest way by trying every one.
mod by_definition {
    use super::*;

    impl World {
        fn after(&self, live: &BTreeSet<Member>, set: &[Member]) -> BTreeSet<Member> {
            let stays = |member: &Member| {
                self.staying.contains(member) || set.iter().all(|(pacticipant, _)| *pacticipant != member.0)
            };
            live.iter().filter(|member| stays(member)).chain(set).cloned().collect()
        }

        pub(super) fn passes(&self, live: &BTreeSet<Member>, set: &[Member]) -> bool {
            let after = self.after(live, set);
            let verified = |results: &BTreeMap<Version, bool>, by: &Version| results.get(by) == Some(&true);
            self.pacts.iter().all(|(consumer, provider, results)| {
                let providers: Vec<_> = after.iter().filter(|(name, _)| name == provider).collect();
                let as_consumer = !set.contains(consumer)
                    || (!providers.is_empty() && providers.iter().all(|(_, by)| verified(results, by)));
                let deployed: Vec<_> = providers.into_iter().filter(|member| set.contains(member)).collect();
                let as_provider = !after.contains(consumer) || deployed.iter().all(|(_, by)| verified(results, by));
                as_consumer && as_provider
            })
        }

        pub(super) fn start(&self) -> BTreeSet<Member> {
            self.live.iter().chain(&self.staying).cloned().collect()
        }

        pub(super) fn replay(&self, steps: &[Vec<Member>]) -> bool {
            let mut live = self.start();
            steps.iter().all(|step| {
                let passes = self.passes(&live, step);
                live = self.after(&live, step);
                passes
            })
        }

        /// Whether there is a way of exactly so many versions, at most so many at once.
        fn reaches(&self, live: &BTreeSet<Member>, done: &[Member], left: usize, at_once: usize) -> bool {
            let asked = self.asked.as_ref().unwrap();
            if done.contains(asked) {
                return left == 0;
            }
            let known = self.known();
            let pending = self.pending.iter().flat_map(|(name, all)| all.iter().map(|it| (name.clone(), it.clone())));
            let pending: Vec<Member> =
                pending.filter(|it| it != asked && known.knows(it)).chain([asked.clone()]).collect();
            // One after the other never goes back to an older version: those are "3", "2" and "1".
            let newer = |it: &Member| done.iter().all(|(name, version)| *name != it.0 || *version < it.1);
            let newer: Vec<_> = pending.into_iter().filter(newer).collect();
            (1_u32..1 << newer.len()).any(|mask| {
                let set: Vec<Member> =
                    newer.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1).map(|(_, it)| it.clone()).collect();
                let names: BTreeSet<_> = set.iter().map(|(name, _)| name).collect();
                set.len() <= left.min(at_once)
                    && names.len() == set.len()
                    && self.passes(live, &set)
                    && self.reaches(&self.after(live, &set), &[done, &set].concat(), left - set.len(), at_once)
            })
        }

        pub(super) fn smallest(&self) -> Option<(usize, usize)> {
            let all = (1..=AT_ONCE).flat_map(|at_once| (1..=VERSIONS).map(move |versions| (at_once, versions)));
            all.into_iter().find(|(at_once, versions)| self.reaches(&self.start(), &[], *versions, *at_once))
        }
    }
}

fn worlds() -> impl Strategy<Value = World> {
    const NAMES: [(&str, &str); 4] = [("web", "api"), ("web", "auth"), ("api", "auth"), ("auth", "web")];
    let results =
        prop::collection::btree_map(prop::sample::select(vec!["1", "2", "3"]), prop::bool::weighted(0.7), 0..4);
    let pacts = prop::collection::btree_map(
        (prop::sample::select(NAMES.to_vec()), prop::sample::select(vec!["1", "2", "3"])),
        results,
        0..10,
    );
    let live = prop::collection::btree_map(
        prop::sample::select(vec!["web", "api", "auth"]),
        prop::sample::select(vec![vec!["1"], vec!["1"], vec!["1", "2"]]),
        0..4,
    );
    let staying = prop::option::weighted(0.2, prop::sample::select(vec!["web", "api", "auth"]));
    (pacts, live, staying, prop::sample::select(vec!["web", "api"])).prop_map(|(pacts, live, staying, asked)| {
        let pacts = pacts.into_iter().map(|(((consumer, provider), version), results)| {
            let results = results.into_iter().map(|(version, success)| (Version::parse(version).unwrap(), success));
            (member(consumer, version), Pacticipant::parse(provider).unwrap(), results.collect())
        });
        let mut world = World {
            asked: Some(member(asked, "3")),
            pacts: pacts.collect(),
            live: live.iter().flat_map(|(name, all)| all.iter().map(|version| member(name, version))).collect(),
            staying: staying.iter().map(|name| member(name, "1")).collect(),
            own: versions(&["3", "2", "1"]),
            ..World::default()
        };
        for name in ["web", "api", "auth"] {
            world = world.pending(name, if name == asked { &["2"] } else { &["3", "2"] });
        }
        world
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_way_is_the_smallest_by_definition(world in worlds()) {
        let way = world.way();
        // Of a version that nothing is known of nothing is said.
        prop_assume!(world.known().knows(world.asked.as_ref().unwrap()));
        let size = |steps: &Vec<Vec<Member>>| (steps.iter().map(Vec::len).max().unwrap(), steps.iter().map(Vec::len).sum::<usize>());
        prop_assert_eq!(way.steps.as_ref().map(size), world.smallest(), "{:?}", way);
        prop_assert!(way.steps.iter().all(|steps| world.replay(steps)), "{:?}", way);
        let deployable = |version: &&Version| {
            let it = (world.asked.as_ref().unwrap().0.clone(), (*version).clone());
            world.known().knows(&it) && world.passes(&world.start(), &[it])
        };
        prop_assert_eq!(way.newest.as_ref(), world.own.iter().find(deployable));
        prop_assert!(way.tried.iter().all(|it| it.pair.as_ref().is_some_and(|pair| pair.result != PairResult::Verified)));
    }
}
