//! The gate judges `StatefulSet`s and `DaemonSet`s as it judges Deployments, and the chart grants and asks for every kind of
//! the table.

use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use pact_operator::gate::REPORTER;
use pact_operator::workload::WorkloadKind;
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};

use super::gate_stage::{DENIED, Stage};
use super::kinds_stage::OTHERS;
use testbed::chart::RELEASE;
use testbed::eventually::eventually;
use testbed::kubectl::kubectl;
use testbed::rendered::gate_name;
use testbed::test_cluster::{SOON, image};
use testbed::webhook::configuration;
use testbed::workload::Workload;

/// Calls are counted for the whole process: one test at a time.
static COUNTING: Mutex<()> = Mutex::const_new(());

async fn stage() -> &'static Stage {
    static STAGE: OnceCell<Stage> = OnceCell::const_new();
    STAGE.get_or_init(Stage::start).await
}

#[tokio::test]
async fn every_kind_of_the_table_may_be_read_by_the_recorder_and_is_asked_about() {
    let stage = stage().await;
    let kubeconfig = stage.cluster.control_plane.kubeconfig();
    let account = format!("--as=system:serviceaccount:{RELEASE}:pact-operator-controller");
    let asked = configuration(&stage.cluster.client(), &gate_name(RELEASE)).await.webhooks.unwrap().remove(0);
    for kind in WorkloadKind::ALL {
        let resource = format!("{}.{}", kind.resource(), kind.group());
        for verb in ["get", "list", "watch"] {
            let said = kubectl(kubeconfig, &["auth", "can-i", verb, &resource, "--all-namespaces", &account]).await;
            assert_eq!(
                String::from_utf8_lossy(&said.stdout).trim(),
                "yes",
                "the chart's controller: {verb} {resource}"
            );
        }
        let has = |list: &Option<Vec<String>>, wanted: &str| list.iter().flatten().any(|one| one == wanted);
        let is_asked = asked.rules.iter().flatten().any(|rule| {
            has(&rule.api_groups, kind.group())
                && has(&rule.api_versions, kind.version())
                && has(&rule.resources, kind.resource())
                && ["CREATE", "UPDATE"].iter().all(|operation| has(&rule.operations, operation))
        });
        assert!(is_asked, "the chart's webhook rules leave out {kind}: {:?}", asked.rules);
    }
}

#[tokio::test]
async fn one_of_each_kind_is_denied_admitted_and_told_of_as_what_it_is() {
    let (stage, _one) = (stage().await, COUNTING.lock().await);
    let place = &stage.gated(json!({"mode": "Enforce"})).await;
    for played in OTHERS {
        let name = &played.name("gated");
        stage.provider_that_breaks(&place.environment, name);
        let apply = async |version: &str, dry_run: bool| {
            Workload::try_apply(&stage.client(), &place.namespace, &played.of(name, version), dry_run).await
        };
        let denied = |result: Result<Workload, Box<kube::Error>>| match result.map_err(|error| *error) {
            Err(kube::Error::Api(status)) => {
                assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"), "{status:?}");
                let said = status.message.strip_prefix(DENIED).unwrap_or_default().to_owned();
                assert!(said.starts_with(&format!("{name} 2.0.0 may not be deployed to ")), "{status:?}");
            }
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("{name} was not denied"),
        };
        denied(apply("2.0.0", true).await);
        denied(apply("2.0.0", false).await);
        let live = apply("1.0.0", false).await.expect("1.0.0 passes");
        played.wait_complete(&live).await;
        stage.cluster.wait_recorded(&place.environment, name, "1.0.0").await;
        denied(apply("2.0.0", false).await);
        live.wait("1.0.0 to stay", |object| {
            object["spec"]["template"]["spec"]["containers"][0]["image"] == json!(image("1.0.0"))
        })
        .await;

        eventually(format!("an Event on the {} {name}", played.kind), SOON, async || {
            let api = Api::<Event>::namespaced(stage.cluster.client(), &place.namespace);
            let events = api.list(&ListParams::default()).await.unwrap().into_iter();
            let ours = events.filter(|event| event.reporting_controller.as_deref() == Some(REPORTER));
            let about: Vec<_> = ours
                .filter_map(|event| event.regarding.map(|it| (it.api_version, it.kind, it.name, event.reason)))
                .collect();
            let text = |text: &str| Some(text.to_owned());
            let wanted = (text("apps/v1"), text(played.kind.kind()), text(name), text("RolloutDenied"));
            if about.contains(&wanted) { Ok(()) } else { Err(format!("{about:?}")) }
        })
        .await;
    }
}

#[tokio::test]
async fn each_change_of_an_image_is_one_call_for_each_kind_and_what_changes_no_version_is_none() {
    let (stage, _one) = (stage().await, COUNTING.lock().await);
    let place = &stage.gated(json!({"mode": "Audit"})).await;
    for played in OTHERS {
        let name = &played.name("counted");
        let client = stage.client();
        let live = Workload::new(&client, played.kind.kind(), &place.namespace, name);
        let mut counts: Vec<(&str, u64, u64)> = Vec::new();
        let mut step = async |what: &'static str, wanted: u64, act: &dyn Fn() -> Act| {
            let before = stage.webhook.reviews().await;
            match act() {
                Act::Apply(version) => {
                    Workload::apply(&client, &place.namespace, &played.of(name, version)).await;
                }
                Act::Patch(patch) => live.patch(patch).await,
                Act::Delete => live.delete().await,
            }
            if !matches!(act(), Act::Delete) {
                // The API server repeats a patch, calls included, that meets a write of somebody else's.
                live.wait("nothing to be going on", |object| {
                    played.numbers(object).is_some_and(|[all, updated, available]| {
                        all == updated && updated == available && all == played.pods() as u64
                    })
                })
                .await;
            }
            counts.push((what, stage.webhook.reviews().await - before, wanted));
        };
        let restarted = json!({"kubectl.kubernetes.io/restartedAt": "2026-11-23T10:00:00Z"});
        step("create", 1, &|| Act::Apply("1.0.0")).await;
        step("apply the same again", 0, &|| Act::Apply("1.0.0")).await;
        step("apply another image", 1, &|| Act::Apply("2.0.0")).await;
        let template = json!({"spec": {"template": {"metadata": {"annotations": restarted}}}});
        step("restart", 0, &|| Act::Patch(template.clone())).await;
        step("label", 0, &|| Act::Patch(json!({"metadata": {"labels": {"team": "shop"}}}))).await;
        step("one of ours", 1, &|| {
            Act::Patch(json!({"metadata": {"annotations": {"pact-operator.dev/container": "app"}}}))
        })
        .await;
        step("delete", 0, &|| Act::Delete).await;
        let wrong: Vec<_> = counts.iter().filter(|(_, made, wanted)| made != wanted).collect();
        assert!(wrong.is_empty(), "{}: (step, calls, calls wanted): {wrong:?}", played.kind);
    }
}

/// What is done to a workload.
enum Act {
    Apply(&'static str),
    Patch(Value),
    Delete,
}
