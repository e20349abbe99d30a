//! What is held is judged by what it was, too: a name, or a version annotation, that stays behind or goes with a change of it.

use pact_operator::api::annotations::{PACTICIPANT, VERSION};
use serde_json::{Value, json};

use super::gate_setup::{CommandOutput, MappedEnvironment, consumer_of};
use super::hold_setup::{HoldSetup, free, held, waits};
use testbed::eventually::eventually;
use testbed::rollout::Live;
use testbed::test_cluster::{SOON, annotated, image};

/// `kubectl patch`: annotations of the Deployment, and the image of its container, in one request.
async fn patch(setup: &HoldSetup, live: &Live, name: &str, annotations: Value, image: &str) -> CommandOutput {
    let containers = json!([{"name": "app", "image": image}]);
    let patch =
        json!({"metadata": {"annotations": annotations}, "spec": {"template": {"spec": {"containers": containers}}}});
    setup.kubectl(live.namespace(), &["patch", "deployment", name, "-p", &patch.to_string()]).await
}

/// A Deployment that runs `new-held` and `old-held` at 1.0.0. `old-held` has no result for 2.0.0, and fails at 3.0.0.
async fn of_two(setup: &HoldSetup, environment: &MappedEnvironment, name: &str) -> Live {
    let broker = &setup.cluster.broker;
    for (app, passes) in [("new-held", true), ("old-held", false)] {
        consumer_of(broker, &environment.name, app);
        setup.verified(app, "1.0.0", true);
        broker.store().publish_version(app, "2.0.0");
        if passes {
            setup.verified(app, "2.0.0", true);
        }
        setup.verified(app, "3.0.0", passes);
    }
    let rollout = annotated(name, "new-held,old-held", "1.0.0").replicas(2);
    rollout.apply(&setup.cluster.client(), &environment.namespace).await.wait_complete().await;
    for app in ["new-held", "old-held"] {
        setup.cluster.wait_recorded(&environment.name, app, "1.0.0").await;
    }
    setup.called(environment, name).await;
    Live::new(&setup.client(), &environment.namespace, name)
}

#[tokio::test]
async fn a_name_that_goes_is_judged_with_what_is_held_and_such_a_change_is_denied() {
    let setup = HoldSetup::shared().await;
    let environment = setup.holding(json!({})).await;
    let live = of_two(&setup, &environment, "both").await;
    let fewer = || json!({PACTICIPANT: "new-held"});
    let denied = |output: &CommandOutput, version: &str| {
        let denial = output.denial().unwrap_or_else(|| panic!("{version}: {output:?}"));
        assert!(denial.starts_with(&format!("old-held {version} may not be deployed to ")), "{denial}");
    };
    // Nobody would ask about the name any more when the result comes.
    denied(&patch(&setup, &live, "both", fewer(), &image("2.0.0")).await, "2.0.0");
    assert!(free(&live.get().await), "{:?}", held(&live.get().await));

    setup.set_version(&environment.namespace, "both", "2.0.0", &[]).await;
    live.wait("it to be held", |it| waits(it, "2.0.0")).await;
    denied(&patch(&setup, &live, "both", fewer(), &image("2.0.0")).await, "2.0.0");
    denied(&patch(&setup, &live, "both", fewer(), &image("3.0.0")).await, "3.0.0");
    assert!(waits(&live.get().await, "2.0.0"), "{:?}", held(&live.get().await));

    // On purpose: back to what runs, then the annotation, then the image.
    for (names, version) in [("new-held,old-held", "1.0.0"), ("new-held", "1.0.0"), ("new-held", "3.0.0")] {
        let output = patch(&setup, &live, "both", json!({PACTICIPANT: names}), &image(version)).await;
        assert!(output.code == 0 && free(&live.get().await), "{names} {version}: {output:?}");
    }
}

#[tokio::test]
async fn another_digest_while_the_version_annotation_of_what_is_held_stays_is_a_mismatch() {
    let setup = HoldSetup::shared().await;
    let namespace = setup.cluster.namespace().await;
    let more = json!({"gate": {"mode": "Enforce", "hold": {}}, "version": {"tagPattern": "^v(?<version>.+)$"}});
    let name = setup.cluster.environment(&[&namespace], more).await;
    setup.members_listed(&name).await;
    let app = "pinned-held";
    let build = |letter: &str| format!("registry.example.com/shop@sha256:{}", letter.repeat(64));
    consumer_of(&setup.cluster.broker, &name, app);
    setup.verified(app, "1.0.0", true);
    setup.cluster.broker.store().publish_version(app, "2.0.0");
    let rollout = annotated(app, app, "").image(&build("a")).replicas(2);
    let rollout = rollout.with(|it| it["metadata"]["annotations"][VERSION] = json!("1.0.0"));
    rollout.apply(&setup.cluster.client(), &namespace).await.wait_complete().await;
    setup.cluster.wait_recorded(&name, app, "1.0.0").await;
    let live = Live::new(&setup.client(), &namespace, app);
    eventually("it to be held", SOON, async || {
        let output = patch(&setup, &live, app, json!({VERSION: "2.0.0"}), &build("b")).await;
        let now = live.get().await;
        if waits(&now, "2.0.0") { Ok(()) } else { Err(format!("{:?}: {output:?}", held(&now))) }
    })
    .await;

    let output = patch(&setup, &live, app, json!({}), &build("c")).await;
    let denial = output.denial().unwrap_or_else(|| panic!("{output:?}"));
    assert!(denial.contains(&format!("{VERSION} still says \"2.0.0\", but the image is ")), "{denial}");
    let now = live.get().await;
    assert!(waits(&now, "2.0.0"), "{:?}", held(&now));
    assert_eq!(now.spec.unwrap().template.spec.unwrap().containers[0].image, Some(build("b")));

    setup.verified(app, "2.0.0", true);
    live.wait("it to be resumed", free).await;
    setup.cluster.wait_recorded(&name, app, "2.0.0").await;
}
