//! Many rollouts are held at once, and their verifications come at random while the operator and the webhook are killed and
//! restarted: each ends as it should, none stays paused without a word, and none is resumed after a no.
//!
//! `HOLD_ROLLOUTS=100 cargo test --test promises -- hold_endurance` is the full size; 8 is the usual one.
#![allow(clippy::print_stdout, reason = "what was done and measured is read by people")]

use std::time::{Duration, Instant};

use futures::future::{join_all, join3};
use serde_json::json;
use tokio::time::sleep_until;

use super::endurance::{Dice, dice, times};
use super::gate_setup::GateSetup;
use super::hold_setup::{HELD, free, held, resuming};
use testbed::eventually::eventually;
use testbed::kubectl::kubectl_ok;
use testbed::operator::Operator;
use testbed::rollout::Live;
use testbed::test_cluster::{SOON, TestCluster, annotated};
use testbed::webhook::{Person, Webhook, WebhookOptions, install};

/// The longest time until a verification comes.
const LATEST: usize = 30;
/// How long each may take in all.
const LIMIT: Duration = Duration::from_mins(4);

/// What comes of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comes {
    /// The provider keeps the pact.
    Yes,
    /// It does not.
    No,
    /// It does not at first, and does when it is asked again.
    NoThenYes,
    /// Nobody verifies it.
    Never,
}

/// A rollout that is held, and when what comes of it.
struct Plan {
    app: String,
    comes: Comes,
    after: Duration,
}

fn plan(number: usize, dice: &mut Dice) -> Plan {
    let comes = dice.of(&[Comes::Yes, Comes::Yes, Comes::Yes, Comes::No, Comes::NoThenYes, Comes::Never]);
    let after = Duration::from_millis(1_000 + dice.below((LATEST - 1) * 1_000) as u64);
    Plan { app: format!("app-{number}"), comes, after }
}

#[tokio::test]
async fn each_of_many_that_are_held_ends_as_it_should_though_operator_and_webhook_are_killed() {
    let count = times("HOLD_ROLLOUTS", 8);
    let (mut dice, began) = (dice(), Instant::now());
    let mut cluster = TestCluster::without_operator().await;
    let options = || resuming().value("controller.leaseSeconds", 3);
    cluster.start_operator(options()).await;
    let port = testbed::process::free_port();
    let webhook_options = || WebhookOptions::default().holding();
    let url = format!("https://127.0.0.1:{port}{}", testbed::webhook::PATH);
    install(&cluster.control_plane, &webhook_options(), &url).await;
    let mut webhook = Webhook::start_at(&cluster.control_plane, webhook_options(), port).await;
    webhook.wait_ready().await;
    let developer = Person::jane(&cluster.control_plane).await;
    let mut setup = GateSetup { cluster, webhook, developer };
    let environment = setup.gated(json!({"mode": "Enforce", "hold": {"deadlineSeconds": 20}})).await;

    // Every other kind at least once, however few there are.
    let mut plans: Vec<_> = (0..count).map(|number| plan(number, &mut dice)).collect();
    for (plan, comes) in plans.iter_mut().zip([Comes::Never, Comes::No, Comes::NoThenYes, Comes::Yes]) {
        plan.comes = comes;
    }
    let store = setup.cluster.broker.store();
    for Plan { app, .. } in &plans {
        super::gate_setup::consumer_of(&setup.cluster.broker, &environment.name, app);
        assert!(store.verify(&format!("web-of-{app}"), "7", app, "1.0.0", true));
        store.publish_version(app, "2.0.0");
        annotated(app, app, "1.0.0").apply(&setup.cluster.client(), &environment.namespace).await;
    }
    for Plan { app, .. } in &plans {
        setup.cluster.wait_recorded(&environment.name, app, "1.0.0").await;
    }
    let live = |app: &str| Live::new(&setup.cluster.client(), &environment.namespace, app);
    let lives: Vec<_> = plans.iter().map(|plan| live(&plan.app)).collect();
    for plan in &plans {
        // The webhook may learn a moment later what was recorded and is called a moment after its start.
        eventually(format!("{} to be held", plan.app), SOON, async || {
            let output = setup.set_version(&environment.namespace, &plan.app, "2.0.0", &[]).await;
            if output.code == 0 { Ok(()) } else { Err(output.err) }
        })
        .await;
    }
    for (plan, live) in plans.iter().zip(&lives) {
        assert!(held(&live.get().await).0, "{} waits", plan.app);
    }

    let start = tokio::time::Instant::now();
    let broker = std::sync::Arc::clone(&setup.cluster.broker);
    let verifying = join_all(plans.iter().map(async |plan| {
        let verify = |ok| assert!(broker.store().verify(&format!("web-of-{}", plan.app), "7", &plan.app, "2.0.0", ok));
        sleep_until(start + plan.after).await;
        match plan.comes {
            Comes::Yes => verify(true),
            Comes::No => verify(false),
            Comes::NoThenYes => {
                verify(false);
                sleep_until(start + plan.after + Duration::from_secs(10)).await;
                verify(true);
            }
            Comes::Never => {}
        }
    }));
    // As a GitOps controller does, which does not know of the pause; refused while the webhook is down.
    let applying = async {
        let client = Person::named(&setup.cluster.control_plane, "kustomize-controller").await.client();
        let mut applied = 0;
        while start.elapsed() < Duration::from_secs(LATEST as u64) {
            for Plan { app, .. } in &plans {
                sleep_until(tokio::time::Instant::now() + Duration::from_millis(100)).await;
                let again = annotated(app, app, "2.0.0").paused(false);
                applied += usize::from(again.try_apply(&client, &environment.namespace).await.is_ok());
            }
        }
        applied
    };
    let (control_plane, operators) = (&setup.cluster.control_plane, &mut setup.cluster.operators);
    let webhook = &mut setup.webhook;
    let killing = async {
        let mut killed = 0;
        while start.elapsed() < Duration::from_secs(LATEST as u64) {
            sleep_until(tokio::time::Instant::now() + Duration::from_millis(1_500 + dice.below(3_500) as u64)).await;
            if dice.percent(60) {
                operators[0].kill9();
                operators[0] = Operator::start(control_plane, options()).await;
            } else {
                webhook.kill9();
                *webhook = Webhook::start_at(control_plane, webhook_options(), port).await;
                webhook.wait_ready().await;
            }
            killed += 1;
        }
        operators[0].wait_ready().await;
        killed
    };
    let (_, killed, applied) = join3(verifying, killing, applying).await;
    for (plan, live) in plans.iter().zip(&lives) {
        ends_as_it_should(&setup, &environment.name, plan, live).await;
    }
    println!(
        "{count} rollouts were held, {killed} processes killed, {applied} manifests applied again, in {:?}",
        began.elapsed()
    );
}

/// Waits until a rollout has ended as its verification says, or is told to wait, with the Event and the note that say so.
async fn ends_as_it_should(setup: &GateSetup, environment: &str, plan: &Plan, live: &Live) {
    let (app, namespace) = (&plan.app, live.namespace());
    let said = async |reason: &str| setup.cluster.wait_event(namespace, app, reason).await;
    let noted = async |note: &str| {
        eventually(format!("{app} to be noted as {note}"), LIMIT, async || {
            let now = held(&live.get().await);
            let told = now.0 && now.1.as_ref().is_some_and(|it| it.ends_with(note));
            let involved = format!("involvedObject.name={app}");
            let events = ["get", "events", "-n", namespace, "--field-selector", &involved];
            let events = async || kubectl_ok(setup.cluster.control_plane.kubeconfig(), &events).await;
            if told { Ok(()) } else { Err(format!("{now:?}\n{}", events().await)) }
        })
        .await;
    };
    match plan.comes {
        Comes::Yes | Comes::NoThenYes => {
            eventually(format!("{app} to be resumed"), LIMIT, async || {
                let now = live.get().await;
                if free(&now) { Ok(()) } else { Err(format!("{:?}", held(&now))) }
            })
            .await;
            setup.cluster.wait_recorded(environment, app, "2.0.0").await;
        }
        Comes::No => {
            noted(" Refused").await;
            said("HoldRefused").await;
        }
        Comes::Never => {
            noted(" Overdue").await;
            said("HoldOverdue").await;
        }
    }
    if matches!(plan.comes, Comes::No | Comes::Never) {
        let writes = setup.cluster.writes(environment, app);
        assert_eq!(writes, ["Deployed 1.0.0"], "{app}: {HELD} was never lifted");
        let pods = format!("app={app}");
        let images = "jsonpath={.items[*].spec.containers[0].image}";
        let pods = setup.kubectl(namespace, &["get", "pods", "-l", &pods, "-o", images]).await;
        assert!(pods.out.ends_with(":1.0.0"), "{app}: the old pods serve: {pods:?}");
        assert!(setup.cluster.events(namespace, app, "RolloutResumed").await.is_empty(), "{app}");
    }
}
