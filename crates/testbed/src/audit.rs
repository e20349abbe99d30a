//! The requests of a program under test to the API server.

use std::fs::File;
use std::io::{BufRead, BufReader};

use serde_json::Value;

use crate::control_plane::ControlPlane;

/// One request that the API server answered (or a watch that ended).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, ...
    pub verb: String,
    /// Plural name with its subresource: `deployments`, `pactdeployments/status`.
    pub resource: String,
    /// Empty for cluster-scoped resources.
    pub namespace: String,
    /// Empty for lists.
    pub name: String,
    /// HTTP status.
    pub code: u16,
}

impl Request {
    /// Whether the request changes something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch" | "")
    }
}

/// All requests that the `ServiceAccount` has made until now, in the order in which they were answered. Watches appear
/// when they begin and again when they end; the log is written within milliseconds of the answer.
pub fn requests(control_plane: &ControlPlane, namespace: &str, service_account: &str) -> Vec<Request> {
    let user = format!("system:serviceaccount:{namespace}:{service_account}");
    let Some(Ok(file)) = control_plane.audit_log().map(File::open) else { return Vec::new() };
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    lines.filter_map(|line| parse(&line, &user)).collect()
}

fn parse(line: &str, user: &str) -> Option<Request> {
    let event: Value = serde_json::from_str(line).ok()?;
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    if text("/user/username") != user {
        return None;
    }
    let (resource, subresource) = (text("/objectRef/resource"), text("/objectRef/subresource"));
    let code = event.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default();
    Some(Request {
        verb: text("/verb"),
        resource: if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") },
        namespace: text("/objectRef/namespace"),
        name: text("/objectRef/name"),
        code: u16::try_from(code).ok()?,
    })
}
