//! The floor of a watch that records: it sends one request when a rollout is complete.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::bare_requests;
use crate::completions::{Completion, Completions};
use testbed::standin::StandIn;
use testbed::test_cluster::TestCluster;

/// Watches a namespace and sends one request for each rollout that is complete, nothing before and nothing after.
pub struct BareRecorder {
    /// When its watch delivered each completion.
    pub completions: Completions,
    task: JoinHandle<()>,
}

impl BareRecorder {
    /// Begins. The versions are recorded in `environment` of `broker`, with the Deployment's name as the application's.
    pub fn start(cluster: &TestCluster, namespace: &str, broker: &Arc<StandIn>, environment: &str) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Completion>();
        let completions = Completions::watch(cluster, namespace, Some(sender));
        let environment = broker.store().environment_uuid(environment).unwrap();
        let (client, broker) = (bare_requests::client(), Arc::clone(broker));
        let task = tokio::spawn(async move {
            while let Some(one) = receiver.recv().await {
                bare_requests::record(&client, &broker, &environment, &one.name, &one.tag).await;
            }
        });
        Self { completions, task }
    }
}

impl Drop for BareRecorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}
