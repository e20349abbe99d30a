//! What the tests of the other kinds of workload begin with.

use serde_json::{Value, json};

use crate::objects::Objects as _;
use pact_operator::workload::WorkloadKind;
use testbed::eventually::eventually;
use testbed::node::NODES;
use testbed::rollout::Rollout;
use testbed::test_cluster::{SOON, TestCluster, image};
use testbed::workload::{Workload, daemon_set, stateful_set};

/// A kind as the tests play it: how one is made, and how far its status says it is.
#[derive(Clone, Copy, Debug)]
pub struct Played {
    /// The kind.
    pub kind: WorkloadKind,
    /// How one is made that has some pods.
    make: fn(&str) -> Rollout,
    /// Where its status says how many pods there are to be, how many are updated, and how many are available.
    pub counts: [&'static str; 3],
}

/// Those that are no Deployments; the other promises are about these.
pub const OTHERS: [Played; 2] = [
    Played {
        kind: WorkloadKind::StatefulSet,
        make: |name| stateful_set(name).replicas(3),
        counts: ["replicas", "updatedReplicas", "availableReplicas"],
    },
    Played {
        kind: WorkloadKind::DaemonSet,
        make: daemon_set,
        counts: ["desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"],
    },
];

impl Played {
    /// One of them by that name, annotated with the pacticipant of its name, its image tagged with the version.
    pub fn of(self, name: &str, version: &str) -> Rollout {
        (self.make)(name).image(&image(version)).annotation("pact-operator.dev/pacticipant", name)
    }

    /// The same where somebody deletes the pods that are to be replaced.
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

    /// How many pods there are to be, how many are updated and how many available, when the status speaks of the present
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

    /// Rolls 1.0.0 out and waits until that is recorded and remembered.
    pub async fn deployed(self, cluster: &TestCluster, namespace: &str, environment: &str, name: &str) -> Workload {
        cluster.broker.store().publish_version(name, "1.0.0");
        let live = Workload::apply(&cluster.client(), namespace, &self.of(name, "1.0.0")).await;
        cluster.wait_recorded(environment, name, "1.0.0").await;
        cluster.wait_condition(environment, name, ("Ready", "True", "Recorded")).await;
        live
    }
}
