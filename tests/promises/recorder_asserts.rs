//! What the tests of the recorder say again and again, in one word each.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use kube::api::ListParams;
use pact_operator::api::PactDeployment;

use testbed::eventually::always;
use testbed::test_cluster::TestCluster;

/// How long something must not happen that, if it happened, would within a fraction of it.
pub const A_WHILE: Duration = Duration::from_secs(2);

/// Makes versions of a pacticipant known at the broker.
pub fn published(cluster: &TestCluster, pacticipant: &str, versions: &[&str]) {
    for version in versions {
        cluster.broker.store().publish_version(pacticipant, version);
    }
}

/// Checks for [`A_WHILE`] that the broker goes on saying this.
pub async fn stays(cluster: &TestCluster, environment: &str, pacticipant: &str, version: Option<&str>, why: &str) {
    let what = format!("the broker says {version:?} of {pacticipant} in {environment}: {why}");
    always(what, A_WHILE, async || {
        let recorded = cluster.recorded(environment, pacticipant);
        (recorded.as_deref() == version).then_some(()).ok_or(format!("{recorded:?}"))
    })
    .await;
}

/// How many requests that change something were made about a pacticipant, whatever came of them.
pub fn changing_requests(cluster: &TestCluster, pacticipant: &str) -> usize {
    let part = format!("/pacticipants/{}/", testbed::standin::encoded(pacticipant));
    cluster.broker.count_requests(|request| request.method != "GET" && request.path_and_query.contains(&part))
}

/// Every memory that the operator has of an environment.
pub async fn memories(cluster: &TestCluster, environment: &str) -> Vec<PactDeployment> {
    let all = Api::<PactDeployment>::all(cluster.client()).list(&ListParams::default()).await.unwrap();
    all.into_iter().filter(|one| one.spec.environment == environment).collect()
}

/// A condition of a memory.
pub fn condition(memory: &PactDeployment, type_: &str) -> Option<Condition> {
    let conditions = &memory.status.as_ref()?.conditions;
    conditions.iter().find(|condition| condition.type_ == type_).cloned()
}
