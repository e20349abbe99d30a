//! Whatever the order of events: the index is the one of the final state, and every answer names what changed.

use proptest::prelude::*;

use super::*;
use crate::api::environment::OwnerRule;
use crate::workload::{
    BrokenRules, CanaryOwner, EnvironmentRules, Owners, PactAnnotations, RecordKey, Revision, Revisions, RolloutState,
};

/// Something that a watch may report. Names are few, so that events meet.
#[derive(Clone, Debug)]
enum Happening {
    Apply(Workload),
    Remove(WorkloadRef),
    RetainWorkloads(HashSet<WorkloadRef>),
    Namespace(&'static str, Option<BTreeMap<String, String>>),
    RetainNamespaces(HashSet<String>),
    Rules(&'static str, Option<Result<EnvironmentRules, Box<BrokenRules>>>),
    Template(TemplateSource, Option<Template>),
    RetainTemplates(HashSet<TemplateSource>),
    Revision(WorkloadRef, &'static str, Option<Revision>),
}

const NAMESPACES: [&str; 2] = ["shop", "bank"];
const WORKLOADS: [&str; 3] = ["orders", "orders-primary", "bff"];
const OBJECTS: [&str; 3] = ["one", "two", "three"];
const ENVIRONMENTS: [&str; 2] = ["production", "test"];

fn references() -> impl Strategy<Value = WorkloadRef> {
    let kinds = vec![WorkloadKind::Deployment, WorkloadKind::Deployment, WorkloadKind::Rollout];
    (prop::sample::select(&NAMESPACES[..]), prop::sample::select(&WORKLOADS[..]), prop::sample::select(kinds))
        .prop_map(|(namespace, name, kind)| WorkloadRef { kind, ..reference(namespace, name) })
}

const HASHES: [&str; 2] = ["aaa", "bbb"];

/// What a Rollout says of its revisions.
fn revisions_of(namespace: String) -> impl Strategy<Value = Revisions> {
    let hash = || prop::sample::select(&HASHES[..]);
    let template = prop::option::of(prop::sample::select(&WORKLOADS[..]));
    (hash(), hash(), template, 0..2_i64, any::<bool>()).prop_map(
        move |(current, stable, template, seen, back_on_stable)| Revisions {
            current: current.to_owned(),
            stable: stable.to_owned(),
            by_reference: template.is_some(),
            template: template.map(|name| reference(&namespace, name)),
            template_seen: Some(seen),
            template_generation: None,
            back_on_stable,
            degraded: None,
        },
    )
}

fn revision() -> impl Strategy<Value = Option<Revision>> {
    let image = prop::sample::select(vec!["app:1", "app:v2"]);
    prop::option::of((image, any::<bool>()).prop_map(|(image, has_pods)| {
        let mut containers = workload("shop", "a", "a").containers;
        containers[0].image = image.into();
        Revision { containers, has_pods, ..Revision::default() }
    }))
}

fn workloads() -> impl Strategy<Value = Workload> {
    let pacticipant = prop::sample::select(vec![None, Some("orders"), Some("bff, orders"), Some("a,,b")]);
    let version = prop::sample::select(vec![None, None, Some("2")]);
    let instance = prop::sample::select(vec![None, None, Some("blue"), Some("")]);
    let image = prop::sample::select(vec!["app:1", "app:v2", "app:latest"]);
    let failed = RolloutState::Failed { message: "aborted".into() };
    let rollout = prop::sample::select(vec![RolloutState::Complete, progressing(), failed, RolloutState::Deleting]);
    let owner = prop::sample::select(vec![None, Some("canary-0"), Some("canary-1")]);
    let reference = references().prop_flat_map(|reference| {
        let revisions = revisions_of(reference.namespace.clone());
        (Just(reference), revisions, 0..2_i64)
    });
    (reference, pacticipant, version, instance, image, rollout, owner).prop_map(
        |((reference, revisions, generation), pacticipant, version, instance, image, rollout, owner)| {
            let mut made = workload(&reference.namespace, &reference.name, "");
            made.annotations = PactAnnotations {
                pacticipant: pacticipant.map(str::to_owned),
                container: None,
                version: version.map(str::to_owned),
                application_instance: instance.map(str::to_owned),
                bypass: None,
                held: None,
            };
            made.containers[0].image = image.into();
            made.rollout = rollout;
            made.generation = generation;
            if reference.kind == WorkloadKind::Rollout {
                made.revisions = Some(Box::new(revisions));
            } else {
                made.canary_owner =
                    owner.map(|name| CanaryOwner { name: name.to_owned(), uid: "c1".to_owned(), unpromoted: false });
            }
            made.reference = reference;
            made
        },
    )
}

fn label_sets() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::sample::select(vec![labels(&[]), labels(&[("stage", "live")])])
}

fn rule_sets() -> impl Strategy<Value = (&'static str, Option<Result<EnvironmentRules, Box<BrokenRules>>>)> {
    let named = prop::sample::subsequence(NAMESPACES.to_vec(), 0..=2);
    let where_ = prop::sample::select(&ENVIRONMENTS[..]);
    let pattern = prop::sample::select(vec![None, Some("^v(?<version>.+)$")]);
    let instance = prop::sample::select(vec![None, Some("red")]);
    let owners = prop::option::of(prop::sample::subsequence(NAMESPACES.to_vec(), 1..=2));
    let parts = (prop::sample::select(&OBJECTS[..]), named, any::<bool>(), any::<bool>(), where_, pattern, instance);
    (parts, owners, 0..6_u8).prop_map(|((object, names, by_label, overlap, at, pattern, instance), owners, kind)| {
        let selector = serde_json::from_value(serde_json::json!({"matchLabels": {"stage": "live"}})).unwrap();
        let listed = names.into_iter().map(str::to_owned);
        let mut rules = EnvironmentRules { environment_ref: environment_ref(at), ..rules(object, &[]) };
        rules.claim.selector = NamespaceSelector::parse(listed, by_label.then_some(&selector), false).unwrap();
        rules.claim.overlap_allowed = overlap;
        let owner = |namespaces: Vec<&str>| OwnerRule {
            pacticipants: vec!["orders".into()],
            namespaces: namespaces.into_iter().map(str::to_owned).collect(),
        };
        rules.owners = Owners::new(&owners.into_iter().map(owner).collect::<Vec<_>>());
        rules.instance = instance.map(|text| ApplicationInstance::parse(text).unwrap());
        rules.version.tag_pattern = pattern.map(|source| TagPattern::parse(source).unwrap());
        let broken = |claim, environment_ref| {
            Box::new(BrokenRules {
                object: object.into(),
                claim,
                environment_ref,
                gate: None,
                problem: "broken".into(),
            })
        };
        let rules = match kind {
            0 => None,
            1 => Some(Err(broken(Some(rules.claim), Some(rules.environment_ref)))),
            2 => Some(Err(broken(None, None))),
            _ => Some(Ok(rules)),
        };
        (object, rules)
    })
}

fn sources() -> impl Strategy<Value = TemplateSource> {
    (prop::sample::select(&NAMESPACES[..]), 0..2_u8, any::<bool>()).prop_map(|(namespace, number, rollout)| {
        let name = format!("canary-{number}");
        if rollout {
            TemplateSource::Rollout(namespace.into(), name)
        } else {
            TemplateSource::Canary(namespace.into(), name)
        }
    })
}

fn templates() -> impl Strategy<Value = (TemplateSource, Option<Template>)> {
    let named = prop::option::of((prop::sample::select(&WORKLOADS[..]), any::<bool>()));
    (sources(), named).prop_map(|(source, named)| {
        let (TemplateSource::Rollout(namespace, _) | TemplateSource::Canary(namespace, _)) = &source;
        let template = named.map(|(name, promoted)| Template { workload: reference(namespace, name), promoted });
        (source, template)
    })
}

fn happenings() -> impl Strategy<Value = Happening> {
    let namespace = prop::sample::select(&NAMESPACES[..]);
    prop_oneof![
        8 => workloads().prop_map(Happening::Apply),
        2 => references().prop_map(Happening::Remove),
        1 => prop::collection::hash_set(references(), 0..6).prop_map(Happening::RetainWorkloads),
        4 => (namespace.clone(), prop::option::of(label_sets())).prop_map(|(name, labels)| Happening::Namespace(name, labels)),
        1 => prop::collection::hash_set(namespace.prop_map(str::to_owned), 0..3).prop_map(Happening::RetainNamespaces),
        6 => rule_sets().prop_map(|(object, rules)| Happening::Rules(object, rules)),
        4 => templates().prop_map(|(source, template)| Happening::Template(source, template)),
        1 => prop::collection::hash_set(sources(), 0..4).prop_map(Happening::RetainTemplates),
        4 => (references(), prop::sample::select(&HASHES[..]), revision())
            .prop_map(|(reference, hash, revision)| Happening::Revision(reference, hash, revision)),
    ]
}

fn happens(index: &mut Index, happening: Happening) -> BTreeSet<RecordKey> {
    match happening {
        Happening::Apply(workload) => index.apply_workload(workload),
        Happening::Remove(reference) => index.remove_workload(&reference),
        Happening::RetainWorkloads(listed) => index.retain_workloads(WorkloadKind::Deployment, &listed),
        Happening::Namespace(name, labels) => index.set_namespace(name, labels),
        Happening::RetainNamespaces(listed) => index.retain_namespaces(&listed),
        Happening::Rules(object, rules) => set_rules(index, object, rules),
        Happening::Template(source, template) => index.set_template(&source, template),
        // Those of the Rollouts that the index has are retained with these.
        Happening::RetainTemplates(listed) => index.retain_templates(&listed, |source| {
            let (TemplateSource::Rollout(_, name) | TemplateSource::Canary(_, name)) = source;
            name.starts_with("canary-")
        }),
        Happening::Revision(reference, hash, revision) => {
            let rollout = WorkloadRef { kind: WorkloadKind::Rollout, ..reference };
            index.set_revision(&rollout, hash, revision)
        }
    }
}

/// The state that the index holds, put into an empty one.
fn from_scratch(index: &Index) -> Index {
    let mut fresh = Index::default();
    for object in index.environments.objects() {
        fresh.set_environment(&object, index.environments.get(&object).cloned());
    }
    for (source, template) in &index.templates {
        fresh.set_template(source, Some(template.clone()));
    }
    for name in index.environments.namespaces() {
        fresh.set_namespace(name, index.environments.labels(name).cloned());
    }
    for (rollout, revisions) in &index.revisions {
        for (hash, revision) in revisions {
            fresh.set_revision(rollout, hash, Some(revision.clone()));
        }
    }
    let workloads: BTreeMap<_, _> = index.workloads.iter().collect();
    for workload in workloads.into_values() {
        fresh.apply_workload(workload.clone());
    }
    fresh
}

/// What a pass over a key reads of the index.
fn read(index: &Index, key: &RecordKey) -> (Vec<MemberView>, Option<EnvironmentRules>, Option<BrokenRules>) {
    (index.members(key), index.rules_for(key).cloned(), index.environments.broken_at(&key.environment_ref).cloned())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_index_is_that_of_the_final_state_and_every_answer_names_what_changed(
        script in prop::collection::vec(happenings(), 1..30)
    ) {
        let mut index = Index::default();
        for happening in script {
            let keys: BTreeSet<_> = index.members.keys().cloned().collect();
            let before: BTreeMap<_, _> = keys.iter().map(|key| (key.clone(), read(&index, key))).collect();
            let touched = happens(&mut index, happening.clone());
            for key in index.members.keys().chain(&keys) {
                let was = before.get(key);
                let changed = was.map_or(!index.members(key).is_empty(), |was| *was != read(&index, key));
                prop_assert!(!changed || touched.contains(key), "{} changed untold by {:?}", key, happening);
            }
        }
        let fresh = from_scratch(&index);
        prop_assert_eq!(&index.members, &fresh.members);
        prop_assert_eq!(&index.keys_of, &fresh.keys_of);
        prop_assert_eq!(&index.invalid_workloads, &fresh.invalid_workloads);
        prop_assert_eq!(&index.mappings, &fresh.mappings);
        prop_assert_eq!(&index.sources, &fresh.sources);
        for object in OBJECTS {
            prop_assert_eq!(index.counts(object), fresh.counts(object));
        }
    }

    /// The check right before a write asks for each member alone: it must agree with the index on an unchanged world.
    #[test]
    fn the_live_check_of_an_unchanged_world_finds_the_same_members(
        script in prop::collection::vec(happenings(), 1..30)
    ) {
        let mut index = Index::default();
        for happening in script {
            happens(&mut index, happening);
        }
        for key in index.keys() {
            for member in index.members(key) {
                let live = index.member_for(key, index.workload(&member.workload).unwrap());
                prop_assert_eq!(live, Some(member));
            }
        }
    }
}
