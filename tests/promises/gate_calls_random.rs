//! Random combinations of changes: the gate is asked when the version may change, and only then.
//!
//! The matchConditions are CEL, evaluated in the API server. Here they are compared with a model in plain Rust, over
//! random updates.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, EnvVar};
use kube::api::PostParams;
use serde_json::json;

use super::dice::Dice;
use super::gate_setup::GateSetup;
use testbed::components::Component;
use testbed::test_cluster::{annotated, image};

const UPDATES: usize = 1_000;
const DEPLOYMENTS: usize = 4;

/// The keys whose values determine the version, as the documentation names them.
const VERSION_ANNOTATIONS: [&str; 4] = [
    "pact-operator.dev/pacticipant",
    "pact-operator.dev/container",
    "pact-operator.dev/version",
    "pact-operator.dev/application-instance",
];

#[tokio::test]
async fn a_thousand_random_updates_are_asked_about_exactly_when_the_version_may_change() {
    let seed = match std::env::var("GATE_SEED") {
        Ok(seed) => seed.parse().expect("GATE_SEED is a number"),
        Err(_) => uuid::Uuid::new_v4().as_u64_pair().0,
    };
    println!("GATE_SEED={seed} repeats this run");
    let mut dice = Dice(seed);
    let setup = GateSetup::start().await;
    let environment = setup.gated(json!({"mode": "Audit"})).await;
    // No other client writes these objects from here on: a write that conflicts with another one makes two calls.
    setup.cluster.control_plane.stop(Component::ControllerManager);
    let api = setup.deployments(&environment.namespace);
    let mut live = Vec::new();
    for number in 0..DEPLOYMENTS {
        let name = format!("random-{number}");
        let rollout = annotated(&name, "orders", "1.0.0").container("side", &image("1.0.0")).replicas(0);
        let object: Deployment = serde_json::from_value(rollout.manifest().clone()).unwrap();
        live.push(api.create(&PostParams::default(), &object).await.unwrap());
    }
    let (mut made, mut asked, mut several) = (setup.webhook.reviews().await, 0, 0);
    for number in 0..UPDATES {
        let which = dice.below(DEPLOYMENTS);
        let old = live[which].clone();
        let mut new = old.clone();
        let mut done = Vec::new();
        for _ in 0..[1, 1, 1, 2, 2, 4][dice.below(6)] {
            done.push(change(&mut new, &mut dice));
        }
        several += usize::from(done.len() > 1);
        let name = old.metadata.name.clone().unwrap();
        let replaced = api.replace(&name, &PostParams::default(), &new).await;
        let replaced = replaced.unwrap_or_else(|error| panic!("GATE_SEED={seed}, update {number}, {done:?}: {error}"));
        let wanted = u64::from(version_may_change(&old, &replaced));
        let now = setup.webhook.reviews().await;
        assert_eq!(
            now - made,
            wanted,
            "GATE_SEED={seed}, update {number}: calls for {done:?}\n{old:#?}\n{replaced:#?}"
        );
        (made, asked) = (now, asked + wanted);
        live[which] = replaced;
    }
    println!("{UPDATES} updates, {several} of them several changes at once: {asked} calls");
    // Neither always nor never: the random updates cover both.
    assert!((200..800).contains(&asked), "GATE_SEED={seed}: {asked} calls");
}

/// The model. The version may change when the Deployment has a key of ours, before or after, and an image, one of these
/// annotations or the version label differs, or a key of ours is new: it may be one that means nothing (case 85).
fn version_may_change(old: &Deployment, new: &Deployment) -> bool {
    let (before, after) = (keys_of_ours(old), keys_of_ours(new));
    let ours = !before.is_empty() || !after.is_empty();
    let annotation = |object: &Deployment, key: &str| annotations(object).get(key).cloned().unwrap_or_default();
    let label = |object: &Deployment| {
        object.metadata.labels.clone().unwrap_or_default().remove("app.kubernetes.io/version").unwrap_or_default()
    };
    let images = |object: &Deployment| -> Vec<_> {
        containers(object).iter().map(|one| (one.name.clone(), one.image.clone().unwrap_or_default())).collect()
    };
    let annotations_differ = VERSION_ANNOTATIONS.iter().any(|key| annotation(old, key) != annotation(new, key));
    let news = images(old) != images(new) || annotations_differ || label(old) != label(new);
    ours && (news || !after.is_subset(&before))
}

/// The keys of ours, each with where it is.
fn keys_of_ours(object: &Deployment) -> BTreeSet<(&'static str, String)> {
    let template = object.spec.as_ref().unwrap().template.metadata.clone().unwrap_or_default();
    let metadata = object.metadata.clone();
    let maps = [
        ("annotation", metadata.annotations),
        ("label", metadata.labels),
        ("annotation of pods", template.annotations),
        ("label of pods", template.labels),
    ];
    let keys =
        maps.into_iter().flat_map(|(place, map)| map.unwrap_or_default().into_keys().map(move |key| (place, key)));
    keys.filter(|(_, key)| key.starts_with("pact-operator") || key.ends_with("/pacticipant")).collect()
}

fn annotations(object: &Deployment) -> BTreeMap<String, String> {
    object.metadata.annotations.clone().unwrap_or_default()
}

fn containers(object: &Deployment) -> &[Container] {
    &object.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers
}

/// Makes one change, or one that leaves things as they are, and says which.
fn change(object: &mut Deployment, dice: &mut Dice) -> String {
    let annotations = object.metadata.annotations.get_or_insert_default();
    let labels = object.metadata.labels.get_or_insert_default();
    let spec = object.spec.as_mut().unwrap();
    let template = spec.template.metadata.get_or_insert_default();
    let pod = spec.template.spec.as_mut().unwrap();
    match dice.below(16) {
        0 => set(
            annotations,
            VERSION_ANNOTATIONS[0],
            dice.of(&[None, Some("orders"), Some("orders"), Some("web,orders")]),
        ),
        // An empty value is not a change from a missing one.
        1 => set(annotations, VERSION_ANNOTATIONS[1], dice.of(&[None, Some(""), Some("app"), Some("side")])),
        2 => set(annotations, VERSION_ANNOTATIONS[2], dice.of(&[None, Some(""), Some("1.0.0"), Some("2.0.0")])),
        3 => set(annotations, VERSION_ANNOTATIONS[3], dice.of(&[None, Some(""), Some("blue"), Some("green")])),
        4 => set(annotations, "pact-operator.dev/else", dice.of(&[None, Some("1"), Some("2")])),
        5 => set(annotations, "example.com/note", dice.of(&[None, Some("orders"), Some("2.0.0")])),
        6 => set(labels, "app.kubernetes.io/version", dice.of(&[None, Some(""), Some("1.0.0"), Some("2.0.0")])),
        7 => {
            let key = dice.of(&["team", "team", VERSION_ANNOTATIONS[0], "example.com/pacticipant"]);
            set(labels, key, dice.of(&[None, Some("shop"), Some("web")]))
        }
        8 => {
            let tag = dice.of(&["1.0.0", "2.0.0", "3.0.0"]);
            pod.containers[0].image = Some(image(tag));
            format!("{} at {tag}", pod.containers[0].name)
        }
        9 => match pod.containers.len() {
            1 => {
                let image = Some(image(dice.of(&["1.0.0", "2.0.0"])));
                let name = if pod.containers[0].name == "app" { "side" } else { "app" };
                pod.containers.push(Container { name: name.to_owned(), image, ..Container::default() });
                "one more container".to_owned()
            }
            _ if dice.below(2) == 0 => {
                pod.containers.truncate(1);
                "one container less".to_owned()
            }
            _ => {
                let tag = dice.of(&["1.0.0", "2.0.0"]);
                pod.containers[1].image = Some(image(tag));
                format!("{} at {tag}", pod.containers[1].name)
            }
        },
        10 => {
            pod.containers.reverse();
            "the containers in another order".to_owned()
        }
        11 => {
            let value = dice.of(&["1.0.0", "2.0.0"]).to_owned();
            pod.containers[0].env =
                Some(vec![EnvVar { name: "VERSION".to_owned(), value: Some(value), ..EnvVar::default() }]);
            "env".to_owned()
        }
        12 => {
            spec.replicas = Some(i32::try_from(dice.below(5)).unwrap());
            "replicas".to_owned()
        }
        13 => {
            spec.paused = Some(dice.below(2) == 0);
            "paused".to_owned()
        }
        14 => {
            let annotations = template.annotations.get_or_insert_default();
            let key = dice.of(&[VERSION_ANNOTATIONS[0], VERSION_ANNOTATIONS[2], "kubectl.kubernetes.io/restartedAt"]);
            format!("template: {}", set(annotations, key, dice.of(&[None, Some("1"), Some("2")])))
        }
        _ => {
            let init =
                Container { name: "init".to_owned(), image: Some(image(dice.of(&["1", "2"]))), ..Container::default() };
            pod.init_containers = Some(vec![init]);
            "init container".to_owned()
        }
    }
}

fn set(map: &mut BTreeMap<String, String>, key: &str, value: Option<&str>) -> String {
    match value {
        Some(value) => map.insert(key.to_owned(), value.to_owned()),
        None => map.remove(key),
    };
    format!("{key}={value:?}")
}
