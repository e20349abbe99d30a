//! Deployments as a cluster has them, with everything that makes them large.

use pact_operator::api::annotations;
use serde_json::{Map, Value, json};

use testbed::test_cluster::image;

/// A Deployment as its author writes it, with so many environment variables: 1 has about 2 KB.
pub fn deployment(name: &str, pacticipant: &str, version: &str, variables: usize) -> Value {
    let environment: Vec<Value> = (0..variables)
        .map(|number| match number % 3 {
            0 => json!({"name": variable(number), "valueFrom": {"secretKeyRef": {"name": "shop", "key": variable(number)}}}),
            _ => json!({"name": variable(number), "value": format!("https://service-{number}.shop.svc:8443/api")}),
        })
        .collect();
    let probe = json!({"httpGet": {"path": "/health", "port": "http", "scheme": "HTTP"}, "periodSeconds": 10});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "labels": {
                "app.kubernetes.io/name": name, "app.kubernetes.io/instance": "shop",
                "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "shop-4.11.0",
            },
            "annotations": {
                annotations::PACTICIPANT: pacticipant,
                "meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "shop",
                "deployment.kubernetes.io/revision": "41",
            },
        },
        "spec": {
            // None, so that no pods come and go while something is measured.
            "replicas": 0,
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": {"app.kubernetes.io/name": name, "app.kubernetes.io/instance": "shop"}},
                "spec": {
                    "serviceAccountName": "shop",
                    "securityContext": {"runAsNonRoot": true, "fsGroup": 1000},
                    "containers": [{
                        "name": "app",
                        "image": image(version),
                        "imagePullPolicy": "IfNotPresent",
                        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                        "env": environment,
                        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
                        "livenessProbe": probe, "readinessProbe": probe,
                        "volumeMounts": [{"name": "configuration", "mountPath": "/etc/shop", "readOnly": true}],
                        "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true},
                    }],
                    "volumes": [{"name": "configuration", "configMap": {"name": "shop", "defaultMode": 420}}],
                },
            },
        },
    })
}

fn variable(number: usize) -> String {
    format!("SHOP_SETTING_{number:03}")
}

/// How many variables a Deployment has of which the API server stores about so many bytes.
pub fn variables_for(bytes: usize) -> usize {
    let enough = |variables: &usize| stored("shop", "orders", "orders", "1.0.0", *variables).to_string().len() >= bytes;
    (1..100_000).find(enough).expect("some number of variables is enough")
}

/// The same as the API server stores it: with `managedFields` and a status.
pub fn stored(namespace: &str, name: &str, pacticipant: &str, version: &str, variables: usize) -> Value {
    let mut object = deployment(name, pacticipant, version, variables);
    let metadata = &mut object["metadata"];
    metadata["namespace"] = json!(namespace);
    metadata["uid"] = json!("0b9f1c2e-6a43-4a0e-9d0c-5a3f4f0c7d11");
    metadata["resourceVersion"] = json!("81523");
    metadata["generation"] = json!(41);
    metadata["creationTimestamp"] = json!("2026-01-12T08:30:00Z");
    metadata["managedFields"] = managed_fields(variables);
    object["status"] = json!({
        "observedGeneration": 41, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3,
        "conditions": conditions_of_a_finished_rollout(),
    });
    object
}

/// The owned fields: each variable by its name, as server-side apply keeps it.
fn managed_fields(variables: usize) -> Value {
    let mut environment: Map<String, Value> = (0..variables)
        .map(|number| {
            let value = if number % 3 == 0 { "f:valueFrom" } else { "f:value" };
            (format!("k:{{\"name\":\"{}\"}}", variable(number)), json!({".": {}, "f:name": {}, value: {}}))
        })
        .collect();
    environment.insert(".".to_owned(), json!({}));
    let container = json!({
        ".": {}, "f:env": environment, "f:image": {}, "f:imagePullPolicy": {}, "f:livenessProbe": {}, "f:name": {},
        "f:ports": {}, "f:readinessProbe": {}, "f:resources": {}, "f:securityContext": {}, "f:volumeMounts": {},
    });
    json!([
        {
            "manager": "helm", "operation": "Update", "apiVersion": "apps/v1", "time": "2026-02-20T10:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:annotations": {".": {}}, "f:labels": {".": {}}},
                "f:spec": {
                    "f:replicas": {}, "f:selector": {}, "f:strategy": {},
                    "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"app\"}": container}}},
                },
            },
        },
        {
            "manager": "kube-controller-manager", "operation": "Update", "apiVersion": "apps/v1",
            "subresource": "status", "time": "2026-02-20T10:01:02Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:status": {".": {}, "f:conditions": {".": {}}, "f:observedGeneration": {}}},
        },
    ])
}

/// The conditions of a Deployment that has rolled out.
pub fn conditions_of_a_finished_rollout() -> Value {
    json!([
        {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable",
         "message": "Deployment has minimum availability.",
         "lastUpdateTime": "2026-01-12T08:30:00Z", "lastTransitionTime": "2026-01-12T08:30:00Z"},
        {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable",
         "message": "ReplicaSet \"orders-6d5c9f8b7\" has successfully progressed.",
         "lastUpdateTime": "2026-02-20T10:01:02Z", "lastTransitionTime": "2026-01-12T08:30:00Z"},
    ])
}
