//! Going back to what was recorded here before: never blocked, unless it would have been denied then.

use crate::objects::Objects as _;
use pact_operator::api::PactEnvironment;
use serde_json::json;

use super::gate_setup::{GateSetup, MappedEnvironment};
use testbed::eventually::eventually;
use testbed::rollout::Live;
use testbed::test_cluster::{SOON, image};

/// Rolls a Deployment out to these versions, one after the other, and waits for each record.
async fn recorded_through(setup: &GateSetup, environment: &MappedEnvironment, live: &Live, app: &str, all: &[String]) {
    for version in all {
        live.set_image(&image(version)).await;
        setup.cluster.wait_recorded(&environment.name, app, version).await;
        eventually(format!("{version} to be what is shown"), SOON, async || {
            let status =
                setup.cluster.record(&environment.name, app).await.and_then(|it| it.status).unwrap_or_default();
            let recorded = status.recorded.filter(|it| it.version == *version && it.would_deny.is_some());
            recorded.map(drop).ok_or_else(|| format!("{:?}", status.checks))
        })
        .await;
    }
}

/// A consumer that every version of the provider but these fails comes into the environment.
fn consumer_that_fails(setup: &GateSetup, environment: &MappedEnvironment, app: &str, failing: &[&str]) {
    let (store, consumer) = (setup.cluster.broker.store(), format!("web-of-{app}"));
    store.publish_pact(&consumer, "7", app, "what it expects");
    for version in failing {
        assert!(store.verify(&consumer, "7", app, version, false));
    }
    store.record_deployment(&consumer, "7", &environment.name, None);
}

#[tokio::test]
async fn case_96_a_version_of_long_ago_is_a_way_back_after_many_others_and_flaps() {
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Audit"})).await;
    let app = "long-ago";
    let versions: Vec<_> =
        (0..12).map(|number| format!("1.{number}.0")).chain(["1.10.0".into(), "1.11.0".into()]).collect();
    for version in &versions {
        setup.cluster.broker.store().publish_version(app, version);
    }
    let live = setup.running(environment, app, app, "1.0.0").await;
    recorded_through(&setup, environment, &live, app, &versions).await;
    consumer_that_fails(&setup, environment, app, &["1.0.0"]);
    enforce(&setup, environment).await;
    let output = setup.set_version(&environment.namespace, app, "1.0.0", &["--dry-run=server"]).await;
    let &[warning] = output.warnings().as_slice() else { panic!("{output:?}") };
    assert!(output.code == 0 && warning.starts_with(&format!("{app} 1.0.0 → ")), "{output:?}");
}

#[tokio::test]
async fn case_97_a_version_that_would_have_been_denied_then_is_no_way_back() {
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Audit"})).await;
    let app = "known-bad";
    for version in ["1.0.0", "2.0.0", "3.0.0"] {
        setup.cluster.broker.store().publish_version(app, version);
    }
    let live = setup.running(environment, app, app, "1.0.0").await;
    recorded_through(&setup, environment, &live, app, &["1.0.0".into()]).await;
    consumer_that_fails(&setup, environment, app, &["1.0.0", "2.0.0"]);
    assert!(setup.cluster.broker.store().verify(&format!("web-of-{app}"), "7", app, "3.0.0", true));
    recorded_through(&setup, environment, &live, app, &["2.0.0".into(), "3.0.0".into()]).await;
    enforce(&setup, environment).await;
    let back = async |version| setup.set_version(&environment.namespace, app, version, &["--dry-run=server"]).await;
    let output = back("2.0.0").await;
    assert!(output.denial().is_some(), "it was admitted though it was known to be bad: {output:?}");
    let output = back("1.0.0").await;
    assert!(output.code == 0 && output.denial().is_none(), "it was fine when it ran: {output:?}");
}

async fn enforce(setup: &GateSetup, environment: &MappedEnvironment) {
    let patch = kube::api::Patch::Merge(json!({"spec": {"gate": {"mode": "Enforce"}}}));
    let api = kube::Api::<PactEnvironment>::all(setup.cluster.client());
    api.patch(&environment.name, &kube::api::PatchParams::default(), &patch).await.unwrap();
    setup.known(&environment.name).await;
}
