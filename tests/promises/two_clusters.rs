//! Two clusters record at one broker, each with an operator of its own, and a pipeline records beside them: nobody takes
//! back or ends what another one wrote. The broker's log of writes says who wrote what.

use std::sync::Arc;
use std::time::Duration;

use kube::Api;
use kube::api::{Patch, PatchParams};
use pact_operator::api::PactEnvironment;
use serde_json::{Value, json};
use testbed::eventually::{always, eventually};
use testbed::http::plain_client;
use testbed::rollout::Live;
use testbed::shared::{InUse, Shared};
use testbed::standin::encoded;
use testbed::test_cluster::{SOON, TestCluster, annotated, image, quick};

use super::objects::Objects as _;

/// Seconds between the end of a workload and that of its record.
const GRACE: u64 = 2;

/// Longer than the grace, two comparisons with the broker and the delay of a retry: whoever were to write would have.
const LONG: Duration = Duration::from_secs(GRACE + 7);

/// Two clusters whose operators record at the same broker. The operators name their cluster `old` and `new`.
struct TwoClusters {
    old: TestCluster,
    new: TestCluster,
}

impl TwoClusters {
    /// Those that the tests share, each with environments and pacticipants of its own.
    async fn shared() -> InUse<Self> {
        static SHARED: Shared<TwoClusters> = Shared::new();
        SHARED.get(Self::start).await
    }

    async fn start() -> Self {
        let mut old = TestCluster::without_operator().await;
        let mut new = TestCluster::with_broker(Arc::clone(&old.broker)).await;
        old.start_operator(quick().value("clusterName", "old")).await;
        new.start_operator(quick().value("clusterName", "new")).await;
        Self { old, new }
    }

    /// An environment at the broker that both clusters record in, each with this `spec.record` and with what `more` adds
    /// for the cluster of this name.
    async fn environment(&self, record: Value, more: impl Fn(&str) -> Value) -> Shop<'_> {
        let name = format!("env-{}", &uuid::Uuid::new_v4().simple().to_string()[..10]);
        self.old.broker.store().add_environment(&name, false);
        let mut record = record;
        if record["undeployGraceSeconds"].is_null() {
            record["undeployGraceSeconds"] = json!(GRACE);
        }
        let mut namespaces = Vec::new();
        for (cluster, named) in [(&self.old, "old"), (&self.new, "new")] {
            let namespace = cluster.namespace().await;
            let mut spec = json!({"record": record});
            spec.as_object_mut().unwrap().extend(more(named).as_object().unwrap().clone());
            cluster.map(&name, &[&namespace], spec).await;
            namespaces.push(namespace);
        }
        let (new_namespace, old_namespace) = (namespaces.pop().unwrap(), namespaces.pop().unwrap());
        Shop { clusters: self, name, old_namespace, new_namespace }
    }
}

/// An environment in which both clusters record.
struct Shop<'a> {
    clusters: &'a TwoClusters,
    name: String,
    old_namespace: String,
    new_namespace: String,
}

impl Shop<'_> {
    /// Runs this version of an application in the old cluster.
    async fn run_old(&self, name: &str, version: &str) -> Live {
        self.publish(name, version);
        annotated(name, name, version).apply(&self.clusters.old.client(), &self.old_namespace).await
    }

    /// Runs this version of an application in the new cluster.
    async fn run_new(&self, name: &str, version: &str) -> Live {
        self.publish(name, version);
        annotated(name, name, version).apply(&self.clusters.new.client(), &self.new_namespace).await
    }

    fn publish(&self, name: &str, version: &str) {
        self.clusters.old.broker.store().publish_version(name, version);
    }

    /// Says in the old cluster that it is being drained.
    async fn drain_without_undeploying(&self) {
        let never = json!({"spec": {"record": {"undeploy": "Never"}}});
        let api = Api::<PactEnvironment>::all(self.clusters.old.client());
        let patched = api.patch(&self.name, &PatchParams::default(), &Patch::Merge(&never)).await.unwrap();
        let generation = patched.metadata.generation;
        eventually("the old cluster's operator to know that", SOON, async || {
            let status = api.get(&self.name).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
            let known = status.observed_generation;
            if known == generation { Ok(()) } else { Err(format!("{known:?} of {generation:?}")) }
        })
        .await;
    }

    /// Waits until the old cluster's record has this condition.
    async fn wait_old(&self, name: &str, wanted: (&str, &str, &str)) {
        self.clusters.old.wait_condition(&self.name, name, wanted).await;
    }

    /// Waits until the new cluster's record has this condition.
    async fn wait_new(&self, name: &str, wanted: (&str, &str, &str)) {
        self.clusters.new.wait_condition(&self.name, name, wanted).await;
    }

    /// Who wrote what of an application, in order: `new Deployed 2.0.0`.
    fn writes(&self, name: &str) -> Vec<String> {
        let writes = self.clusters.old.broker.writes().into_iter();
        let writes = writes.filter(|write| write.environment == self.name && write.pacticipant == name);
        let said = writes.map(|write| {
            let who = write.by.split_once("(cluster: ").and_then(|(_, rest)| rest.strip_suffix(')'));
            let instance = write.instance.map(|instance| format!(" as {instance}")).unwrap_or_default();
            format!("{} {:?} {}{instance}", who.unwrap_or(&write.by), write.kind, write.version)
        });
        said.collect()
    }

    async fn wait_writes(&self, name: &str, wanted: &[&str]) {
        eventually(format!("the writes of {name} to be {wanted:?}"), SOON, async || {
            let writes = self.writes(name);
            if writes == wanted { Ok(()) } else { Err(format!("{writes:?}")) }
        })
        .await;
    }

    /// Checks that nobody writes anything of these applications beyond this for a long time.
    async fn nothing_more(&self, wanted: &[(&str, &[&str])]) {
        always(format!("nothing beyond {wanted:?} is written"), LONG, async || {
            for (name, wanted) in wanted {
                let writes = self.writes(name);
                if writes != *wanted {
                    return Err(format!("{writes:?}"));
                }
            }
            Ok(())
        })
        .await;
    }

    /// What a pipeline does by `record-deployment` and `record-release`.
    async fn ci(&self, name: &str, version: &str, what: &str) {
        let broker = &self.clusters.old.broker;
        self.publish(name, version);
        let environment = broker.store().environment_uuid(&self.name).unwrap();
        let of = format!("{}/pacticipants/{}/versions/{}", broker.url(), encoded(name), encoded(version));
        let request = plain_client().post(format!("{of}/{what}-versions/environment/{environment}"));
        let answer = request.header("user-agent", "ci").json(&json!({})).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// What a pipeline does by `record-undeployment`.
    async fn ci_undeploys(&self, name: &str) {
        let broker = &self.clusters.old.broker;
        let row = broker.store().current(&self.name, name).pop().expect("a row");
        let request = plain_client().patch(format!("{}/deployed-versions/{}", broker.url(), row.uuid));
        let request = request.header("user-agent", "ci").header("content-type", "application/merge-patch+json");
        let answer = request.body(json!({"currentlyDeployed": false}).to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }
}

const RECORDED: (&str, &str, &str) = ("Ready", "True", "Recorded");

#[tokio::test]
async fn a_drained_cluster_that_never_undeploys_leaves_the_row_to_the_cluster_that_takes_over() {
    let clusters = TwoClusters::shared().await;
    tokio::join!(moves(&clusters, "Deployment", "Deployed"), moves(&clusters, "Release", "Released"));
}

async fn moves(clusters: &TwoClusters, kind: &str, verb: &str) {
    let shop = clusters.environment(json!({"kind": kind}), |_| json!({})).await;
    let old = shop.run_old("moved", "1.0.0").await;
    shop.wait_old("moved", RECORDED).await;
    shop.drain_without_undeploying().await;
    let new = shop.run_new("moved", "1.0.0").await;
    shop.wait_new("moved", RECORDED).await;
    old.delete().await;
    shop.wait_old("moved", ("Ready", "True", "Unmanaged")).await;
    let [first, second] = [format!("old {verb} 1.0.0"), format!("new {verb} 2.0.0")];
    shop.nothing_more(&[("moved", &[&first])]).await;

    // From now on the row is the new cluster's. What the old one released stays: nobody knows any more whose it is.
    shop.publish("moved", "2.0.0");
    new.set_image(&image("2.0.0")).await;
    shop.wait_writes("moved", &[&first, &second]).await;
    shop.nothing_more(&[("moved", &[&first, &second])]).await;
}

#[tokio::test]
async fn a_drained_cluster_takes_back_no_row_that_the_other_one_wrote_since() {
    let clusters = TwoClusters::shared().await;
    let shop = clusters.environment(json!({"undeployGraceSeconds": 8}), |_| json!({})).await;
    // Both run it under one key: each corrects the other once, and then the one that was first gives up (case 37).
    let contested = shop.run_old("contested", "1.0.0").await;
    shop.wait_old("contested", RECORDED).await;
    shop.run_new("contested", "2.0.0").await;
    // Another version, and the same one, written while the old workload is gone and its grace lasts.
    let [newer, same] = [shop.run_old("newer", "1.0.0").await, shop.run_old("same", "1.0.0").await];
    for name in ["newer", "same"] {
        shop.wait_old(name, RECORDED).await;
    }
    shop.run_new("same", "1.0.0").await;
    shop.wait_new("same", RECORDED).await;
    for (name, live) in [("newer", &newer), ("same", &same)] {
        live.delete().await;
        shop.wait_old(name, ("Orphaned", "True", "Orphaned")).await;
    }
    shop.ci_undeploys("same").await;
    shop.run_new("newer", "2.0.0").await;
    for name in ["newer", "same"] {
        shop.wait_old(name, ("Ready", "True", "RecordedByOthers")).await;
        shop.wait_new(name, RECORDED).await;
    }
    shop.wait_old("contested", ("Contested", "True", "Contested")).await;
    contested.delete().await;
    shop.wait_old("contested", ("Ready", "True", "RecordedByOthers")).await;
    shop.wait_new("contested", RECORDED).await;
    shop.nothing_more(&[
        ("newer", &["old Deployed 1.0.0", "new Deployed 2.0.0"]),
        ("same", &["old Deployed 1.0.0", "ci Undeployed 1.0.0", "new Deployed 1.0.0"]),
        ("contested", &["old Deployed 1.0.0", "new Deployed 2.0.0", "old Deployed 1.0.0", "new Deployed 2.0.0"]),
    ])
    .await;
}

#[tokio::test]
async fn a_drained_cluster_ends_only_the_releases_that_are_its_own() {
    let clusters = TwoClusters::shared().await;
    let shop = clusters.environment(json!({"kind": "Release"}), |_| json!({})).await;
    // The new cluster runs another version; the same one, which the old one released; and one that the new one released.
    let names = ["another", "common", "theirs"];
    for name in ["another", "common"] {
        shop.run_old(name, "1.0.0").await;
        shop.wait_old(name, RECORDED).await;
    }
    shop.run_new("theirs", "1.0.0").await;
    shop.wait_new("theirs", RECORDED).await;
    shop.run_old("theirs", "1.0.0").await;
    shop.wait_old("theirs", RECORDED).await;
    for (name, version) in [("another", "2.0.0"), ("common", "1.0.0")] {
        shop.run_new(name, version).await;
        shop.wait_new(name, RECORDED).await;
    }
    for name in names {
        Live::new(&clusters.old.client(), &shop.old_namespace, name).delete().await;
    }
    let another = ["old Released 1.0.0", "new Released 2.0.0", "old SupportEnded 1.0.0"];
    // This is what `undeploy: Never` is for: until the new cluster compares again, the version is not supported.
    let common = ["old Released 1.0.0", "old SupportEnded 1.0.0", "new Released 1.0.0"];
    shop.wait_writes("another", &another).await;
    shop.wait_writes("common", &common).await;
    for name in names {
        shop.wait_new(name, RECORDED).await;
    }
    shop.nothing_more(&[("another", &another), ("common", &common), ("theirs", &["new Released 1.0.0"])]).await;
}

#[tokio::test]
async fn case_36_clusters_with_an_application_instance_each_touch_their_own_row_only() {
    let clusters = TwoClusters::shared().await;
    let shop = clusters.environment(json!({}), |cluster| json!({"applicationInstance": cluster})).await;
    let (old, new) = (shop.run_old("copied", "1.0.0").await, shop.run_new("copied", "1.0.0").await);
    eventually("both to be recorded", SOON, async || {
        let mut writes = shop.writes("copied");
        writes.sort();
        let both = writes == ["new Deployed 1.0.0 as new", "old Deployed 1.0.0 as old"];
        if both { Ok(()) } else { Err(format!("{writes:?}")) }
    })
    .await;
    let mut written = shop.writes("copied");
    shop.publish("copied", "2.0.0");
    new.set_image(&image("2.0.0")).await;
    written.push("new Deployed 2.0.0 as new".to_owned());
    let so_far: Vec<_> = written.iter().map(String::as_str).collect();
    shop.wait_writes("copied", &so_far).await;
    old.delete().await;
    let all = [&so_far[..], &["old Undeployed 1.0.0 as old"]].concat();
    shop.wait_writes("copied", &all).await;
    shop.nothing_more(&[("copied", &all)]).await;
    assert_eq!(clusters.new.recorded_as(&shop.name, "copied", Some("new")).as_deref(), Some("2.0.0"));
    assert_eq!(clusters.old.recorded_as(&shop.name, "copied", Some("old")), None);
}

#[tokio::test]
async fn case_105_a_row_that_a_pipeline_wrote_stays_when_our_workload_goes_unless_it_is_adopted() {
    let clusters = TwoClusters::shared().await;
    tokio::join!(beside_a_pipeline(&clusters, false), beside_a_pipeline(&clusters, true));
}

async fn beside_a_pipeline(clusters: &TwoClusters, adopt: bool) {
    let shop = clusters.environment(json!({"adopt": adopt}), |_| json!({})).await;
    let names = ["before", "during", "again", "after"];
    shop.ci("before", "1.0.0", "deployed").await;
    shop.run_new("before", "1.0.0").await;
    shop.publish("during", "1.0.0");
    let held = annotated("during", "during", "1.0.0").held();
    let held = held.apply(&clusters.new.client(), &shop.new_namespace).await;
    held.wait_updated().await;
    shop.ci("during", "1.0.0", "deployed").await;
    held.release().await;
    for name in ["again", "after"] {
        shop.run_new(name, "1.0.0").await;
        shop.wait_new(name, RECORDED).await;
    }
    // The pipeline records the same version as another row; and another version, whose workload has just gone.
    shop.ci_undeploys("again").await;
    shop.ci("again", "1.0.0", "deployed").await;
    for name in ["before", "during"] {
        shop.wait_new(name, RECORDED).await;
    }
    for name in names {
        Live::new(&clusters.new.client(), &shop.new_namespace, name).delete().await;
    }
    shop.ci("after", "0.9.0", "deployed").await;
    let ours = |adopted: &'static str| if adopt { vec![adopted] } else { Vec::new() };
    let again = ["new Deployed 1.0.0", "ci Undeployed 1.0.0", "ci Deployed 1.0.0"];
    let wanted = [
        ("before", [&["ci Deployed 1.0.0"][..], &ours("new Undeployed 1.0.0")].concat()),
        ("during", [&["ci Deployed 1.0.0"][..], &ours("new Undeployed 1.0.0")].concat()),
        ("again", [&again[..], &ours("new Undeployed 1.0.0")].concat()),
        // What the operator never saw as its own is not adopted, either.
        ("after", vec!["new Deployed 1.0.0", "ci Deployed 0.9.0"]),
    ];
    for (name, wanted) in &wanted {
        let reason = if adopt && *name != "after" { "Undeployed" } else { "RecordedByOthers" };
        shop.wait_new(name, ("Ready", "True", reason)).await;
        shop.wait_writes(name, wanted).await;
    }
    let wanted: Vec<_> = wanted.iter().map(|(name, wanted)| (*name, wanted.as_slice())).collect();
    shop.nothing_more(&wanted).await;
}

#[tokio::test]
async fn case_104_a_release_of_a_pipeline_is_not_ended_unless_it_is_adopted() {
    let clusters = TwoClusters::shared().await;
    tokio::join!(releases_beside_a_pipeline(&clusters, false), releases_beside_a_pipeline(&clusters, true));
}

async fn releases_beside_a_pipeline(clusters: &TwoClusters, adopt: bool) {
    let shop = clusters.environment(json!({"kind": "Release", "adopt": adopt}), |_| json!({})).await;
    shop.ci("before", "1.0.0", "released").await;
    let before = shop.run_new("before", "1.0.0").await;
    shop.publish("during", "1.0.0");
    let during = annotated("during", "during", "1.0.0").held();
    let during = during.apply(&clusters.new.client(), &shop.new_namespace).await;
    during.wait_updated().await;
    shop.ci("during", "1.0.0", "released").await;
    during.release().await;
    let after = shop.run_new("after", "1.0.0").await;
    for name in ["before", "during", "after"] {
        shop.wait_new(name, RECORDED).await;
    }
    shop.ci("after", "0.9.0", "released").await;
    // Without adoption, neither a newer version nor the end of the workload ends what the pipeline released.
    for (name, live) in [("before", &before), ("during", &during), ("after", &after)] {
        shop.publish(name, "2.0.0");
        live.set_image(&image("2.0.0")).await;
        // The new pods are held, too, and must be there to be let go.
        live.wait_updated().await;
        live.release().await;
    }
    let found = ["ci Released 1.0.0", "new Released 2.0.0", "new SupportEnded 1.0.0"];
    let found = &found[..if adopt { 3 } else { 2 }];
    // What the operator never saw run is not adopted, either.
    let own = ["new Released 1.0.0", "ci Released 0.9.0", "new Released 2.0.0", "new SupportEnded 1.0.0"];
    let wanted = [("before", found), ("during", found), ("after", &own)];
    for (name, wanted) in wanted {
        shop.wait_writes(name, wanted).await;
    }
    for live in [&before, &during, &after] {
        live.delete().await;
    }
    let mut all = Vec::new();
    for (name, wanted) in wanted {
        let wanted = [wanted, &["new SupportEnded 2.0.0"]].concat();
        shop.wait_writes(name, &wanted).await;
        all.push((name, wanted));
    }
    let all: Vec<_> = all.iter().map(|(name, wanted)| (*name, wanted.as_slice())).collect();
    shop.nothing_more(&all).await;
}
