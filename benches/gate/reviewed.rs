//! The reviews that the API server sends of a Deployment's update.

use axum::body::Bytes;
use serde_json::json;

use crate::realistic::{stored, variables_for};

/// Reviews of one size, old and new object included.
#[derive(Clone, Copy)]
pub struct Reviews {
    variables: usize,
}

impl Reviews {
    /// Of about so many bytes.
    pub fn of(bytes: usize) -> Self {
        // The frame around the two objects has about 1 KB.
        Self { variables: variables_for(bytes.saturating_sub(1_000) / 2) }
    }

    /// The review of an update of a Deployment from version 1.0.0 to another.
    pub fn one(self, namespace: &str, name: &str, pacticipant: &str, version: &str) -> Bytes {
        let object = |version| stored(namespace, name, pacticipant, version, self.variables);
        let kind = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
        let resource = json!({"group": "apps", "version": "v1", "resource": "deployments"});
        let groups = json!(["system:serviceaccounts", "system:authenticated"]);
        // In the order in which the API server writes them.
        let frame = format!(
            r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{{"uid":"{}","kind":{kind},"resource":{resource},"requestKind":{kind},"requestResource":{resource},"name":"{name}","namespace":"{namespace}","operation":"UPDATE","userInfo":{},"object":{},"oldObject":{},"dryRun":false,"options":{}}}}}"#,
            uuid::Uuid::new_v4(),
            json!({"username": "system:serviceaccount:ci:deployer", "uid": "4f2c", "groups": groups}),
            object(version),
            object("1.0.0"),
            json!({"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "helm"}),
        );
        Bytes::from(frame)
    }
}
