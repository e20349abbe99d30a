//! The Deployments of the measurements: about 7 kB each, as a cluster has them.

use std::sync::LazyLock;

use k8s_openapi::api::apps::v1::Deployment;
use pact_operator::api::annotations;
use serde_json::{Value, json};

use crate::realistic::{conditions_of_a_finished_rollout, deployment, variables_for};

/// How large one is as the API server gives it.
pub const BYTES: usize = 7 << 10;
const REPLICAS: u32 = 3;

/// One of [`REPLICAS`] pods, annotated or not.
pub fn realistic(name: &str, pacticipant: Option<&str>, version: &str) -> Deployment {
    static VARIABLES: LazyLock<usize> = LazyLock::new(|| variables_for(BYTES));
    let mut object = deployment(name, pacticipant.unwrap_or_default(), version, *VARIABLES);
    object["spec"]["replicas"] = json!(REPLICAS);
    if pacticipant.is_none() {
        object["metadata"]["annotations"].as_object_mut().unwrap().remove(annotations::PACTICIPANT);
    }
    serde_json::from_value(object).unwrap()
}

/// The status that the Deployment controller writes when a generation has rolled out.
pub fn finished(generation: i64) -> Value {
    json!({"status": {
        "observedGeneration": generation, "replicas": REPLICAS, "updatedReplicas": REPLICAS, "readyReplicas": REPLICAS,
        "availableReplicas": REPLICAS,
        "conditions": conditions_of_a_finished_rollout(),
    }})
}
