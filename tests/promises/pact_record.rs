//! A `PactRecord` says `Recorded` when, and only when, the version that its workload runs is recorded: tools wait for it.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use pact_operator::api::PactRecord;
use serde_json::{Value, json};
use testbed::eventually::{always, eventually};
use testbed::kubectl::{kubectl, kubectl_ok};
use testbed::rollout::Live;
use testbed::test_cluster::{SOON, TestCluster, annotated, image, quick};
use tokio::process::Command;

use crate::gate_setup::GateSetup;
use crate::recorder_asserts::{A_WHILE, published};
use crate::recorder_quiet::setting;

/// The `PactRecord` `waits` of a namespace.
struct Waits {
    api: Api<PactRecord>,
}

impl Waits {
    /// Applies it with this spec, as a developer or a GitOps controller does.
    async fn put(cluster: &TestCluster, namespace: &str, spec: Value) -> Self {
        let waits = Self { api: Api::namespaced(cluster.client(), namespace) };
        waits.apply(spec).await;
        waits
    }

    async fn apply(&self, spec: Value) {
        let object = json!({
            "apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactRecord", "metadata": {"name": "waits"}, "spec": spec,
        });
        let applied = self.api.patch("waits", &PatchParams::apply("git").force(), &Patch::Apply(&object)).await;
        applied.unwrap_or_else(|error| panic!("cannot apply {object}: {error}"));
    }

    async fn get(&self) -> PactRecord {
        self.api.get("waits").await.unwrap()
    }

    /// Waits until it is said of the newest generation that it is (not) recorded, for this reason.
    async fn wait(&self, recorded: &str, reason: &str) -> PactRecord {
        eventually(format!("Recorded={recorded} ({reason})"), SOON, async || {
            let object = self.get().await;
            let said = said(&object);
            if said == Some((recorded.to_owned(), reason.to_owned())) { Ok(object) } else { Err(format!("{object:?}")) }
        })
        .await
    }

    /// Checks for a while that it is not said to be recorded.
    async fn stays_unrecorded(&self, why: &str) {
        always(format!("it is not recorded: {why}"), A_WHILE, async || {
            let object = self.get().await;
            let recorded = said(&object).is_some_and(|(recorded, _)| recorded == "True");
            if recorded { Err(format!("{object:?}")) } else { Ok(()) }
        })
        .await;
    }
}

/// The condition `Recorded`, if it is about the newest generation; `Ready` says the same, and one of kstatus' fits.
fn said(object: &PactRecord) -> Option<(String, String)> {
    let status = object.status.as_ref().filter(|status| status.observed_generation == object.metadata.generation)?;
    let of = |type_: &str| status.conditions.iter().find(|condition| condition.type_ == type_);
    let (ready, recorded) = (of("Ready")?, of("Recorded")?);
    assert_eq!((&ready.status, &ready.reason), (&recorded.status, &recorded.reason));
    let going_on = usize::from(of("Reconciling").is_some()) + usize::from(of("Stalled").is_some());
    assert_eq!(going_on, usize::from(recorded.status != "True"), "{status:?}");
    Some((recorded.status.clone(), recorded.reason.clone()))
}

/// `kubectl wait` for it, in the background.
async fn kubectl_wait(cluster: &TestCluster, namespace: &str, timeout: &str) -> tokio::process::Child {
    let mut command = Command::new(testbed::tools::folder().await.join("kubectl"));
    command.arg("--kubeconfig").arg(cluster.control_plane.kubeconfig()).kill_on_drop(true);
    command.args(["wait", "--for=condition=Recorded", "pactrec/waits", "-n", namespace, timeout]).spawn().unwrap()
}

async fn deploy(cluster: &TestCluster, namespace: &str, name: &str, version: &str) -> Live {
    annotated(name, name, version).apply(&cluster.client(), namespace).await
}

#[tokio::test]
async fn it_is_true_once_the_rollout_has_finished_and_is_recorded_and_kubectl_wait_returns() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            let name = "waited-for";
            published(&cluster, name, &["1.0.0", "2.0.0"]);
            // Before its workload: the order in which they are applied does not count.
            let of = |version: &str| json!({"workloadRef": {"name": name}, "version": version});
            let waits = Waits::put(&cluster, &namespace, of("1.0.0")).await;
            let missing = waits.wait("False", "WorkloadMissing").await;
            assert_eq!(missing.spec.workload_ref.kind, "Deployment", "the default");

            let mut waiting = kubectl_wait(&cluster, &namespace, "--timeout=5m").await;
            let live = annotated(name, name, "1.0.0").held().apply(&cluster.client(), &namespace).await;
            waits.wait("False", "RolloutInProgress").await;
            waits.stays_unrecorded("no pod is ready").await;
            assert!(waiting.try_wait().unwrap().is_none(), "kubectl still waits");
            live.release().await;
            assert!(waiting.wait().await.unwrap().success());
            assert_eq!(cluster.recorded(&environment, name).as_deref(), Some("1.0.0"), "not before it was recorded");
            let recorded = waits.wait("True", "Recorded").await.status.unwrap();
            let generation = live.get().await.metadata.generation;
            assert_eq!((recorded.workload_generation, recorded.version.as_deref()), (generation, Some("1.0.0")));
            let records: Vec<_> = recorded
                .records
                .iter()
                .map(|it| (&*it.environment, &*it.pacticipant, it.recorded.as_deref(), &*it.reason))
                .collect();
            assert_eq!(records, [(environment.as_str(), name, Some("1.0.0"), "Recorded")]);

            // The next release, in one commit: what was true of the one before is no answer.
            let changed = Waits::put(&cluster, &namespace, of("2.0.0")).await;
            let stale = kubectl_wait(&cluster, &namespace, "--timeout=1s").await.wait().await.unwrap();
            assert!(!stale.success());
            changed.wait("False", "OtherVersion").await;
            let next = annotated(name, name, "2.0.0").held().apply(&cluster.client(), &namespace).await;
            changed.wait("False", "RolloutInProgress").await;
            changed.stays_unrecorded("its new pods are not ready").await;
            next.release().await;
            changed.wait("True", "Recorded").await;
            assert_eq!(cluster.recorded(&environment, name).as_deref(), Some("2.0.0"));

            // Without a version, it is about what runs.
            deploy(&cluster, &namespace, name, "1.0.0").await;
            waits.apply(json!({"workloadRef": {"kind": "Deployment", "apiVersion": "apps/v1", "name": name}})).await;
            let back = eventually("what was rolled back", SOON, async || {
                let object = waits.wait("True", "Recorded").await;
                let version = object.status.as_ref().and_then(|status| status.version.clone());
                if version.as_deref() == Some("1.0.0") { Ok(object) } else { Err(format!("{version:?}")) }
            })
            .await;
            assert_eq!(cluster.recorded(&environment, name).as_deref(), Some("1.0.0"), "{back:?}");
        })
        .await;
}

#[tokio::test]
async fn it_is_not_true_while_the_version_is_missing_and_not_with_a_newer_generation() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            let name = "published-late";
            published(&cluster, name, &["0.1.0"]);
            let waits = Waits::put(&cluster, &namespace, json!({"workloadRef": {"name": name}})).await;
            let live = deploy(&cluster, &namespace, name, "1.0.0").await;
            let missing = waits.wait("False", "VersionMissing").await;
            let message = &missing.status.unwrap().conditions[0].message;
            assert!(message.starts_with(&format!("{name} 1.0.0 is not recorded in {environment}. ")), "{message}");
            published(&cluster, name, &["1.0.0"]);
            waits.wait("True", "Recorded").await;

            // The same version in new pods, for which nobody waits yet.
            live.patch(json!({"spec": {"paused": true, "template": {"metadata": {"labels": {"restarted": "yes"}}}}}))
                .await;
            waits.wait("False", "RolloutPaused").await;
            waits.stays_unrecorded("its rollout is paused").await;
        })
        .await;
}

#[tokio::test]
async fn every_environment_and_every_pacticipant_must_be_recorded() {
    let cluster = TestCluster::shared().await;
    let namespace = cluster.namespace().await;
    let shared = json!({"overlap": "Allow"});
    let one = cluster.environment(&[&namespace], shared.clone()).await;
    let other = cluster.environment(&[&namespace], shared).await;
    published(&cluster, "both-a", &["1.0.0"]);
    let waits = Waits::put(&cluster, &namespace, json!({"workloadRef": {"name": "both"}})).await;
    let both = annotated("both", "both-a,both-b", "1.0.0");
    both.apply(&cluster.client(), &namespace).await.wait_complete().await;
    let waiting = waits.wait("False", "PacticipantMissing").await.status.unwrap();
    let told: BTreeSet<_> = waiting.records.iter().map(|it| (it.environment.clone(), it.pacticipant.clone())).collect();
    let expected =
        [&one, &other].into_iter().flat_map(|at| ["both-a", "both-b"].map(|name| (at.clone(), name.to_owned())));
    assert_eq!(told, expected.collect());
    waits.stays_unrecorded("both-b is not published").await;
    published(&cluster, "both-b", &["1.0.0"]);
    let recorded = waits.wait("True", "Recorded").await.status.unwrap();
    assert!(recorded.records.iter().all(|it| it.recorded.as_deref() == Some("1.0.0") && it.reason == "Recorded"));
    for (environment, name) in [(&one, "both-a"), (&one, "both-b"), (&other, "both-a"), (&other, "both-b")] {
        assert_eq!(cluster.recorded(environment, name).as_deref(), Some("1.0.0"), "{name} in {environment}");
    }
}

#[tokio::test]
async fn what_a_person_has_to_mend_is_stalled_until_it_is_mended() {
    let cluster = TestCluster::shared().await;
    let namespace = cluster.namespace().await;
    let name = "annotated-later";
    published(&cluster, name, &["1.0.0"]);
    let waits = Waits::put(&cluster, &namespace, json!({"workloadRef": {"kind": "Gadget", "name": name}})).await;
    waits.wait("False", "KindNotHandled").await;
    waits.apply(json!({"workloadRef": {"name": name}})).await;
    waits.wait("False", "WorkloadMissing").await;
    let live = testbed::rollout::deployment(name).image(&image("1.0.0")).replicas(1);
    let live = live.apply(&cluster.client(), &namespace).await;
    waits.wait("False", "NotAnnotated").await;
    live.annotate("pact-operator.dev/pacticipant", Some(name)).await;
    waits.wait("False", "NamespaceUnmapped").await;

    let elsewhere = json!({"owners": [{"pacticipants": [name], "namespaces": ["somewhere-secret"]}]});
    let environment = cluster.environment(&[&namespace], elsewhere).await;
    let not_owned = waits.wait("False", "NotOwned").await;
    let conditions = not_owned.status.unwrap().conditions;
    assert!(conditions.iter().any(|it| it.type_ == "Stalled" && !it.message.contains("secret")), "{conditions:?}");
    cluster.map(&environment, &[&namespace], json!({"owners": []})).await;
    waits.wait("True", "Recorded").await;

    live.delete().await;
    waits.wait("False", "WorkloadMissing").await;
}

#[tokio::test]
async fn it_is_not_true_while_the_gate_denies_the_version_that_is_waited_for() {
    let gate = GateSetup::shared().await;
    let environment = gate.gated(json!({"mode": "Enforce"})).await;
    let (namespace, name) = (&environment.namespace, "waits-denied");
    gate.provider_that_breaks(&environment.name, name);
    gate.running(&environment, name, name, "1.0.0").await;
    let spec = |version: &str| json!({"workloadRef": {"name": name}, "version": version});
    let waits = Waits::put(&gate.cluster, namespace, spec("1.0.0")).await;
    waits.wait("True", "Recorded").await;
    waits.apply(spec("2.0.0")).await;
    let denied = gate.set_version(namespace, name, "2.0.0", &[]).await;
    assert!(denied.denial().is_some(), "{denied:?}");
    waits.wait("False", "OtherVersion").await;
    waits.stays_unrecorded("2.0.0 is denied").await;
}

#[tokio::test]
async fn the_operator_writes_its_status_and_nothing_else_once_for_each_news_and_goes_on_after_a_restart() {
    let mut cluster = TestCluster::start().await;
    let namespace = cluster.namespace().await;
    cluster.environment(&[&namespace], json!({})).await;
    let name = "status-only";
    published(&cluster, name, &["1.0.0", "2.0.0"]);
    let waits = Waits::put(&cluster, &namespace, json!({"workloadRef": {"name": name}})).await;
    waits.wait("False", "WorkloadMissing").await;
    let live = deploy(&cluster, &namespace, name, "1.0.0").await;
    waits.wait("True", "Recorded").await;
    let writes = |cluster: &TestCluster| {
        let requests = cluster.operators[0].requests(&cluster.control_plane).into_iter();
        let ours = requests.filter(|request| request.is_write() && request.resource.starts_with("pactrecords"));
        ours.map(|request| (request.verb, request.resource)).collect::<Vec<_>>()
    };
    let first = writes(&cluster);
    assert!(first.iter().all(|it| *it == ("patch".to_owned(), "pactrecords/status".to_owned())), "{first:?}");
    // There is none, it is recorded; and at most two moments between these, where they last.
    assert!((2..=4).contains(&first.len()), "{first:?}");
    let told = waits.get().await;

    // A restart is no news.
    cluster.operators.pop().unwrap().terminate().await;
    cluster.start_operator(quick()).await;
    // While the operator is down, what was true stays; the generation tells that it is no answer.
    always("nothing is written", A_WHILE * 2, async || {
        let now = writes(&cluster);
        if now.len() == first.len() { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    assert_eq!(waits.get().await, told, "neither its spec nor its metadata nor its status");

    // What changes while no operator runs is found afterwards.
    cluster.operators.pop().unwrap().terminate().await;
    live.set_image(&image("2.0.0")).await;
    live.wait_complete().await;
    waits.apply(json!({"workloadRef": {"name": name}, "version": "2.0.0"})).await;
    assert_eq!(said(&waits.get().await), None, "the old status is of an older generation");
    cluster.start_operator(quick()).await;
    waits.wait("True", "Recorded").await;
    let object = waits.get().await;
    assert_eq!((object.metadata.finalizers, object.metadata.annotations), (None, None));
}

#[tokio::test]
async fn teams_write_it_and_nobody_but_the_operator_writes_its_status() {
    let cluster = TestCluster::shared().await;
    let namespace = cluster.namespace().await;
    let kubeconfig = cluster.control_plane.kubeconfig();
    for role in ["edit", "view", "admin"] {
        let (role, account) = (format!("--clusterrole={role}"), format!("--serviceaccount={namespace}:{role}"));
        let name = account.rsplit(':').next().unwrap().to_owned();
        kubectl_ok(kubeconfig, &["create", "rolebinding", &name, &role, &account, "-n", &namespace]).await;
    }
    for (role, verb, resource, may) in [
        ("edit", "create", "pactrecords.pact-operator.dev", true),
        ("edit", "patch", "pactrecords.pact-operator.dev", true),
        ("edit", "delete", "pactrecords.pact-operator.dev", true),
        ("edit", "get", "pactrecords.pact-operator.dev", true),
        ("edit", "patch", "pactrecords.pact-operator.dev/status", false),
        ("admin", "create", "pactrecords.pact-operator.dev", true),
        ("admin", "update", "pactrecords.pact-operator.dev/status", false),
        ("view", "get", "pactrecords.pact-operator.dev", true),
        ("view", "create", "pactrecords.pact-operator.dev", false),
    ] {
        let account = format!("--as=system:serviceaccount:{namespace}:{role}");
        eventually(format!("{role} may {verb} {resource}: {may}"), SOON, async || {
            let (resource, sub) = resource.split_once('/').unwrap_or((resource, ""));
            let sub = format!("--subresource={sub}");
            let output =
                kubectl(kubeconfig, &["auth", "can-i", verb, resource, &sub, &account, "-n", &namespace]).await;
            let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if answer == if may { "yes" } else { "no" } { Ok(()) } else { Err(answer) }
        })
        .await;
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_and_the_table_fits_a_terminal() {
    let cluster = TestCluster::shared().await;
    let namespace = cluster.namespace().await;
    let api = Api::<PactRecord>::namespaced(cluster.client(), &namespace);
    let apply = async |name: &str, spec: Value| {
        let object = json!({"apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactRecord", "metadata": {"name": name}, "spec": spec});
        api.patch(name, &PatchParams::apply("git").force(), &Patch::Apply(&object)).await
    };
    for (spec, said) in [
        (json!({"workloadRef": {}}), "spec.workloadRef.name: Required value"),
        (json!({"workloadRef": {"name": "Orders"}}), "not the name of an object"),
        (json!({"workloadRef": {"name": "orders", "kind": "deployments.apps"}}), "not the name of a kind"),
        (json!({"workloadRef": {"name": "orders", "apiVersion": "apps"}}), "not a group and version such as apps/v1"),
        (json!({"workloadRef": {"name": "orders"}, "version": " 1.0.0"}), "no white space at its ends"),
        (json!({"workloadRef": {"name": "orders"}, "version": "1\t0"}), "holds no control characters"),
        (json!({"workloadRef": {"name": "orders"}, "version": ""}), "spec.version"),
    ] {
        let refused = apply("refused", spec.clone()).await.expect_err("it cannot be meant").to_string();
        assert!(refused.contains(said), "{spec}: {refused}");
    }
    // kstatus takes an object without a status for one that is as it should be.
    let name = "a-service-with-a-rather-long-name";
    let new = apply(name, json!({"workloadRef": {"name": name}, "version": "1.12.0+build.4711"})).await.unwrap();
    assert_eq!(new.status.and_then(|status| status.observed_generation), Some(-1));
    let table = kubectl_ok(cluster.control_plane.kubeconfig(), &["get", "pactrec", "-n", &namespace]).await;
    let header = table.lines().next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(header, "NAME WORKLOAD VERSION RECORDED REASON AGE");
    assert!(table.lines().all(|line| line.trim_end().chars().count() <= 120), "{table}");
    let all = kubectl_ok(cluster.control_plane.kubeconfig(), &["get", "pact", "-n", &namespace, "-o", "name"]).await;
    assert!(all.contains("pactrecord.pact-operator.dev/"), "{all}");
}

/// `PACT_RECORDS=5000` for a longer look.
#[tokio::test]
async fn many_of_them_cost_no_more_than_their_news() {
    let mut cluster = TestCluster::start().await;
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({})).await;
    let count = usize::try_from(setting("PACT_RECORDS", 200)).unwrap();
    published(&cluster, "shared-by-many", &["1.0.0", "2.0.0"]);
    let live = deploy(&cluster, &namespace, "shared-by-many", "1.0.0").await;
    cluster.wait_recorded(&environment, "shared-by-many", "1.0.0").await;
    let api = Api::<PactRecord>::namespaced(cluster.client(), &namespace);
    // Every second one refers to a workload that is not there.
    stream::iter(0..count)
        .for_each_concurrent(16, async |number| {
            let workload = if number % 2 == 0 { "shared-by-many" } else { "not-there" };
            let object =
                json!({"metadata": {"name": format!("waits-{number}")}, "spec": {"workloadRef": {"name": workload}}});
            api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        })
        .await;
    let told = async |version: &str| {
        eventually(format!("all to be told of {version}"), SOON * 4, async || {
            let all = api.list(&ListParams::default()).await.unwrap().items;
            let of = |one: &&PactRecord| match said(one) {
                Some((recorded, _)) if recorded == "True" => {
                    one.status.as_ref().unwrap().version.as_deref() == Some(version)
                }
                other => other.is_some_and(|(_, reason)| reason == "WorkloadMissing"),
            };
            let told = all.iter().filter(of).count();
            if told == count { Ok(()) } else { Err(format!("{told} are")) }
        })
        .await;
    };
    told("1.0.0").await;
    let requests = |cluster: &TestCluster| cluster.operators[0].requests(&cluster.control_plane);
    let writes = |cluster: &TestCluster| {
        requests(cluster).iter().filter(|it| it.is_write() && it.resource == "pactrecords/status").count()
    };
    assert_eq!(writes(&cluster), count, "one each");

    // A restart is no news, and what is not there is looked for once each.
    let before = requests(&cluster).len();
    cluster.operators.pop().unwrap().terminate().await;
    cluster.start_operator(quick()).await;
    always("nothing is written", A_WHILE * 2, async || {
        let now = writes(&cluster);
        if now == count { Ok(()) } else { Err(format!("{now}")) }
    })
    .await;
    let reads = requests(&cluster).split_off(before);
    let reads = reads.iter().filter(|it| it.verb == "get" && it.resource == "deployments").count();
    assert!(reads <= count / 2 + 8, "{reads} reads of workloads for {count}");

    live.set_image(&image("2.0.0")).await;
    told("2.0.0").await;
    // It rolls out, it is recorded; and one moment between these, where it lasts.
    let news = writes(&cluster) - count;
    assert!((count / 2..=count / 2 * 3).contains(&news), "{news} writes for {}", count / 2);
}
