//! The operator's requests to the broker and to the API server, by purpose. Shared by the benches of this folder.
#![allow(dead_code, reason = "each of the benches that include this module uses a part of it")]

use std::collections::BTreeMap;

use testbed::audit;
use testbed::standin::LoggedRequest;

/// The purpose of a request at the broker.
pub fn purpose(request: &LoggedRequest) -> &'static str {
    let (path, query) = request.path_and_query.split_once('?').unwrap_or((&request.path_and_query, ""));
    match (request.method.as_str(), path) {
        ("GET", "/" | "") => "probe",
        ("GET", "/environments") => "drift read",
        ("GET", path) if path.ends_with("/currently-deployed") && query.is_empty() => "drift read",
        ("GET", path) if path.ends_with("/currently-deployed") => "row read",
        ("GET", _) => "other read",
        ("POST", path) if path.contains("/deployed-versions/environment/") => "record",
        _ => "other write",
    }
}

/// Whether a request at the broker belongs to a key, not to the environment or the broker as a whole.
pub fn is_for_a_key(request: &LoggedRequest) -> bool {
    !matches!(purpose(request), "probe" | "drift read")
}

/// How many requests there were for each purpose.
pub fn by_purpose(requests: &[LoggedRequest]) -> String {
    shown(requests.iter().map(|request| purpose(request).to_owned()))
}

/// Whether a request at the API server changes something; the Lease apart.
pub fn is_write(request: &audit::Request) -> bool {
    request.is_write() && request.resource != "leases"
}

/// Writes by verb and resource, the Lease apart.
pub fn writes(requests: &[audit::Request]) -> String {
    shown(requests.iter().filter(|request| is_write(request)).map(verb_and_resource))
}

/// All requests by verb and resource, Lease included.
pub fn all(requests: &[audit::Request]) -> String {
    shown(requests.iter().map(verb_and_resource))
}

fn verb_and_resource(request: &audit::Request) -> String {
    format!("{} {}", request.verb, request.resource)
}

fn shown(what: impl Iterator<Item = String>) -> String {
    let mut counts = BTreeMap::<String, usize>::new();
    for one in what {
        *counts.entry(one).or_default() += 1;
    }
    if counts.is_empty() {
        return "none".to_owned();
    }
    counts.iter().map(|(what, count)| format!("{count} × {what}")).collect::<Vec<_>>().join(", ")
}
