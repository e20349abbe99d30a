//! The set-up of the tests of the other kinds of workload.

use serde_json::{Value, json};

use crate::objects::Objects as _;
use pact_operator::workload::WorkloadKind;
use testbed::eventually::eventually;
use testbed::node::NODES;
use testbed::rollout::Rollout;
use testbed::test_cluster::{SOON, TestCluster, image};
use testbed::workload::{Workload, daemon_set, stateful_set};

/// A kind under test: how to make a workload of it, and how to read its progress.
#[derive(Clone, Copy, Debug)]
pub struct TestedKind {
    /// The kind.
    pub kind: WorkloadKind,
    /// Makes a workload with some pods.
    make: fn(&str) -> Rollout,
    /// Where its status says how many pods there are to be, how many are updated, and how many are available.
    pub counts: [&'static str; 3],
}

/// The kinds other than Deployment, which the other promises cover.
pub const OTHERS: [TestedKind; 2] = [
    TestedKind {
        kind: WorkloadKind::StatefulSet,
        make: |name| stateful_set(name).replicas(3),
        counts: ["replicas", "updatedReplicas", "availableReplicas"],
    },
    TestedKind {
        kind: WorkloadKind::DaemonSet,
        make: daemon_set,
        counts: ["desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"],
    },
];

impl TestedKind {
    /// A workload of that name, annotated with the pacticipant of that name, its image tagged with the version.
    pub fn of(self, name: &str, version: &str) -> Rollout {
        (self.make)(name).image(&image(version)).annotation("pact-operator.dev/pacticipant", name)
    }

    /// The same with the strategy `OnDelete`: the test deletes the pods that are to be replaced.
    pub fn on_delete(self, name: &str, version: &str) -> Rollout {
        self.of(name, version).with(|manifest| manifest["spec"]["updateStrategy"] = json!({"type": "OnDelete"}))
    }

    /// A name that no other kind's test uses.
    pub fn name(self, test: &str) -> String {
        format!("{test}-{}", self.kind.kind().to_lowercase())
    }

    /// How many pods it has.
    pub fn pods(self) -> usize {
        if self.kind == WorkloadKind::DaemonSet { NODES } else { 3 }
    }

    /// How many pods there are to be, how many are updated and how many available, if the status is about the present
    /// generation.
    pub fn numbers(self, object: &Value) -> Option<[u64; 3]> {
        let status = &object["status"];
        let observed = status["observedGeneration"].as_i64()? >= object["metadata"]["generation"].as_i64()?;
        observed.then(|| self.counts.map(|count| status[count].as_u64().unwrap_or_default()))
    }

    /// Waits until its rollout is over.
    pub async fn wait_complete(self, live: &Workload) -> Value {
        let pods = self.pods() as u64;
        live.wait("its rollout to complete", |object| self.numbers(object) == Some([pods; 3])).await
    }

    /// Lets held pods become ready, as they come, until its rollout is over.
    pub async fn release_until_complete(self, live: &Workload) {
        let pods = self.pods() as u64;
        eventually("the rollout to complete", SOON, async || {
            live.release().await;
            let numbers = self.numbers(&live.get().await);
            (numbers == Some([pods; 3])).then_some(()).ok_or(format!("{numbers:?}"))
        })
        .await;
    }

    /// Rolls 1.0.0 out, and waits until the broker and the record have it.
    pub async fn deployed(self, cluster: &TestCluster, namespace: &str, environment: &str, name: &str) -> Workload {
        cluster.broker.store().publish_version(name, "1.0.0");
        let live = Workload::apply(&cluster.client(), namespace, &self.of(name, "1.0.0")).await;
        cluster.wait_recorded(environment, name, "1.0.0").await;
        cluster.wait_condition(environment, name, ("Ready", "True", "Recorded")).await;
        live
    }
}
