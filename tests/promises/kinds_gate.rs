//! The gate judges `StatefulSet`s and `DaemonSet`s as it judges Deployments, and the chart has rights and webhook rules
//! for every kind of the table.

use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use pact_operator::gate::REPORTER;
use pact_operator::workload::WorkloadKind;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::gate_setup::{DENIED, GateSetup};
use super::kinds_setup::OTHERS;
use super::recorder_templates::install_kinds;
use testbed::chart::RELEASE;
use testbed::eventually::eventually;
use testbed::kubectl::kubectl;
use testbed::rendered::gate_name;
use testbed::shared::{InUse, Shared};
use testbed::test_cluster::{SOON, image};
use testbed::webhook::configuration;
use testbed::workload::Workload;

/// Calls are counted for the whole process: one test at a time.
static COUNTING: Mutex<()> = Mutex::const_new(());

async fn setup() -> InUse<GateSetup> {
    static SETUP: Shared<GateSetup> = Shared::new();
    SETUP.get(GateSetup::start).await
}

#[tokio::test]
async fn the_recorder_may_read_every_kind_of_the_table_and_the_gate_is_asked_about_each() {
    let setup = setup().await;
    let kubeconfig = setup.cluster.control_plane.kubeconfig();
    // kubectl answers no about what the API server does not serve.
    install_kinds(&setup.cluster.control_plane).await;
    let account = format!("--as=system:serviceaccount:{RELEASE}:pact-operator-controller");
    let webhooks = configuration(&setup.cluster.client(), &gate_name(RELEASE)).await.webhooks.unwrap();
    let rules: Vec<_> =
        webhooks.into_iter().filter(|hook| hook.name.contains("gate.")).filter_map(|hook| hook.rules).collect();
    for kind in WorkloadKind::ALL {
        let resource = format!("{}.{}", kind.resource(), kind.group());
        for verb in ["get", "list", "watch"].into_iter().filter(|_| kind.recorded()) {
            let output = kubectl(kubeconfig, &["auth", "can-i", verb, &resource, "--all-namespaces", &account]).await;
            assert_eq!(
                String::from_utf8_lossy(&output.stdout).trim(),
                "yes",
                "the chart's controller: {verb} {resource}"
            );
        }
        let has = |list: &Option<Vec<String>>, wanted: &str| list.iter().flatten().any(|one| one == wanted);
        let is_asked = rules.iter().flatten().any(|rule| {
            has(&rule.api_groups, kind.group())
                && has(&rule.api_versions, kind.version())
                && has(&rule.resources, kind.resource())
                && ["CREATE", "UPDATE"].iter().all(|operation| has(&rule.operations, operation))
        });
        assert!(is_asked, "the chart's webhook rules leave out {kind}: {rules:?}");
    }
}

#[tokio::test]
async fn each_kind_is_denied_and_admitted_and_its_events_name_the_kind() {
    let (setup, _one) = (setup().await, COUNTING.lock().await);
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    for tested in OTHERS {
        let name = &tested.name("gated");
        setup.provider_that_breaks(&environment.name, name);
        let apply = async |version: &str, dry_run: bool| {
            Workload::try_apply(&setup.client(), &environment.namespace, &tested.of(name, version), dry_run).await
        };
        let denied = |result: Result<Workload, Box<kube::Error>>| match result.map_err(|error| *error) {
            Err(kube::Error::Api(status)) => {
                assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"), "{status:?}");
                let message = status.message.strip_prefix(DENIED).unwrap_or_default().to_owned();
                assert!(message.starts_with(&format!("{name} 2.0.0 may not be deployed to ")), "{status:?}");
            }
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("{name} was not denied"),
        };
        denied(apply("2.0.0", true).await);
        denied(apply("2.0.0", false).await);
        let live = apply("1.0.0", false).await.expect("1.0.0 passes");
        tested.wait_complete(&live).await;
        setup.cluster.wait_recorded(&environment.name, name, "1.0.0").await;
        denied(apply("2.0.0", false).await);
        live.wait("1.0.0 to stay", |object| {
            object["spec"]["template"]["spec"]["containers"][0]["image"] == json!(image("1.0.0"))
        })
        .await;

        eventually(format!("an Event on the {} {name}", tested.kind), SOON, async || {
            let api = Api::<Event>::namespaced(setup.cluster.client(), &environment.namespace);
            let events = api.list(&ListParams::default()).await.unwrap().into_iter();
            let ours = events.filter(|event| event.reporting_controller.as_deref() == Some(REPORTER));
            let about: Vec<_> = ours
                .filter_map(|event| event.regarding.map(|it| (it.api_version, it.kind, it.name, event.reason)))
                .collect();
            let text = |text: &str| Some(text.to_owned());
            let wanted = (text("apps/v1"), text(tested.kind.kind()), text(name), text("RolloutDenied"));
            if about.contains(&wanted) { Ok(()) } else { Err(format!("{about:?}")) }
        })
        .await;
    }
}

#[tokio::test]
async fn each_change_of_an_image_is_one_call_for_each_kind_and_what_changes_no_version_is_none() {
    let (setup, _one) = (setup().await, COUNTING.lock().await);
    let environment = &setup.gated(json!({"mode": "Audit"})).await;
    for tested in OTHERS {
        let name = &tested.name("counted");
        let client = setup.client();
        let live = Workload::new(&client, tested.kind.kind(), &environment.namespace, name);
        let mut counts: Vec<(&str, u64, u64)> = Vec::new();
        let mut step = async |what: &'static str, wanted: u64, action: &dyn Fn() -> Action| {
            let before = setup.webhook.reviews().await;
            match action() {
                Action::Apply(version) => {
                    Workload::apply(&client, &environment.namespace, &tested.of(name, version)).await;
                }
                Action::Patch(patch) => live.patch(patch).await,
                Action::Delete => live.delete().await,
            }
            if !matches!(action(), Action::Delete) {
                // The API server repeats a patch, calls included, that conflicts with another client's write.
                live.wait("nothing to be going on", |object| {
                    tested.numbers(object).is_some_and(|[all, updated, available]| {
                        all == updated && updated == available && all == tested.pods() as u64
                    })
                })
                .await;
            }
            counts.push((what, setup.webhook.reviews().await - before, wanted));
        };
        let restarted = json!({"kubectl.kubernetes.io/restartedAt": "2026-11-23T10:00:00Z"});
        step("create", 1, &|| Action::Apply("1.0.0")).await;
        step("apply the same again", 0, &|| Action::Apply("1.0.0")).await;
        step("apply another image", 1, &|| Action::Apply("2.0.0")).await;
        let template = json!({"spec": {"template": {"metadata": {"annotations": restarted}}}});
        step("restart", 0, &|| Action::Patch(template.clone())).await;
        step("label", 0, &|| Action::Patch(json!({"metadata": {"labels": {"team": "shop"}}}))).await;
        step("one of ours", 1, &|| {
            Action::Patch(json!({"metadata": {"annotations": {"pact-operator.dev/container": "app"}}}))
        })
        .await;
        step("delete", 0, &|| Action::Delete).await;
        let wrong: Vec<_> = counts.iter().filter(|(_, made, wanted)| made != wanted).collect();
        assert!(wrong.is_empty(), "{}: (step, calls, calls wanted): {wrong:?}", tested.kind);
    }
}

/// A change of a workload.
enum Action {
    Apply(&'static str),
    Patch(Value),
    Delete,
}
