//! The floor of everything that records and says so: besides the requests at the broker, what the operator writes into the
//! API server for each record.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use pact_operator::api::PactDeployment;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::bare_requests::{AT_ONCE, client, record_as_operator};
use crate::setup::Setup;
use testbed::test_cluster::BROKER;

/// How many records are written at once; the broker gets no more requests at once than from the operator.
const RECORDS_AT_ONCE: usize = 32;

/// The records of a plain client, in an environment of the broker that is none of the operator's.
pub struct BareRecords<'a> {
    setup: &'a Setup,
    environment: &'a str,
    name: &'a str,
    count: usize,
}

impl<'a> BareRecords<'a> {
    /// Of `NAME-0` … `NAME-(COUNT-1)`. No operator may run meanwhile.
    pub fn new(setup: &'a Setup, environment: &'a str, (name, count): (&'a str, usize)) -> Self {
        Self { setup, environment, name, count }
    }

    /// How long it takes to record all that have no record yet: requests at the broker, a new `PactDeployment`, its status
    /// and an Event.
    pub async fn first(&self, version: &str) -> Duration {
        self.all(version, true).await
    }

    /// How long it takes to record another version of all.
    pub async fn next(&self, version: &str) -> Duration {
        self.all(version, false).await
    }

    /// Takes them away.
    pub async fn delete(self) {
        let api = Api::<PactDeployment>::all(self.setup.cluster.client());
        let ours = ListParams::default().labels("bench=floor");
        drop(api.delete_collection(&DeleteParams::default(), &ours).await.unwrap());
    }

    async fn all(&self, version: &str, first: bool) -> Duration {
        let broker = &self.setup.cluster.broker;
        let environment = &broker.store().environment_uuid(self.environment).unwrap();
        let (client, at_broker) = (&client(), &Semaphore::new(AT_ONCE));
        let kube = self.setup.cluster.client();
        let records = &Api::<PactDeployment>::all(kube.clone());
        let events = &Api::<Event>::namespaced(kube, &self.setup.namespace);
        let began = Instant::now();
        let all = stream::iter(0..self.count).map(async |number| {
            let name = format!("{}-{number}", self.name);
            let record = format!("{}-{name}", self.environment);
            if first {
                let object = serde_json::from_value(self.record(&record, &name)).unwrap();
                drop(records.create(&PostParams::default(), &object).await.unwrap());
            }
            {
                let _turn = at_broker.acquire().await.unwrap();
                record_as_operator(client, broker, environment, &name, version).await;
            }
            let status = Patch::Merge(json!({"status": self.status(&name, version)}));
            drop(records.patch_status(&record, &PatchParams::default(), &status).await.unwrap());
            let event = serde_json::from_value(self.event(&name, version)).unwrap();
            drop(events.create(&PostParams::default(), &event).await.unwrap());
        });
        all.buffer_unordered(RECORDS_AT_ONCE).collect::<Vec<()>>().await;
        began.elapsed()
    }

    fn record(&self, record: &str, pacticipant: &str) -> Value {
        json!({
            "apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactDeployment",
            "metadata": {"name": record, "labels": {"bench": "floor"}},
            "spec": {"broker": BROKER, "environment": self.environment, "pacticipant": pacticipant},
        })
    }

    fn status(&self, name: &str, version: &str) -> Value {
        let at = "2026-02-20T10:01:02Z";
        let condition = |type_: &str| {
            let message = format!("the broker has {version}");
            json!({"type": type_, "status": "True", "reason": "Recorded", "message": message, "lastTransitionTime": at})
        };
        json!({
            "members": [{
                "kind": "Deployment", "namespace": self.setup.namespace, "name": name, "version": version,
                "rollout": "Complete",
            }],
            "desiredVersion": version,
            "recorded": {"version": version, "uuid": uuid::Uuid::new_v4().to_string(), "at": at},
            "conditions": [condition("Ready"), condition("Recorded")],
        })
    }

    fn event(&self, name: &str, version: &str) -> Value {
        json!({
            "metadata": {"generateName": format!("{name}-")},
            "eventTime": "2026-02-20T10:01:02.000000Z", "type": "Normal", "reason": "Recorded", "action": "Record",
            "note": format!("{version} is deployed in {}", self.environment),
            "reportingController": "bench", "reportingInstance": "bench",
            "regarding": {
                "apiVersion": "apps/v1", "kind": "Deployment", "namespace": self.setup.namespace, "name": name,
            },
        })
    }
}
