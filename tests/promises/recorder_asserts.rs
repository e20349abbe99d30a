//! Set-up steps and assertions that the tests of the recorder share.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use kube::api::ListParams;
use pact_operator::api::PactDeployment;

use testbed::eventually::always;
use testbed::test_cluster::TestCluster;

/// How long a test checks that something does not happen. If it happened, it would within a fraction of this time.
pub const A_WHILE: Duration = Duration::from_secs(2);

/// Makes versions of a pacticipant known at the broker.
pub fn published(cluster: &TestCluster, pacticipant: &str, versions: &[&str]) {
    for version in versions {
        cluster.broker.store().publish_version(pacticipant, version);
    }
}

/// Checks for [`A_WHILE`] that this version stays deployed according to the broker.
pub async fn stays(cluster: &TestCluster, environment: &str, pacticipant: &str, version: Option<&str>, why: &str) {
    let what = format!("{pacticipant} stays at {version:?} in {environment}: {why}");
    always(what, A_WHILE, async || {
        let recorded = cluster.recorded(environment, pacticipant);
        (recorded.as_deref() == version).then_some(()).ok_or(format!("{recorded:?}"))
    })
    .await;
}

/// How many requests that change something were made about a pacticipant, whatever the answer.
pub fn changing_requests(cluster: &TestCluster, pacticipant: &str) -> usize {
    let part = format!("/pacticipants/{}/", testbed::standin::encoded(pacticipant));
    cluster.broker.count_requests(|request| request.method != "GET" && request.path_and_query.contains(&part))
}

/// Every record of an environment.
pub async fn records(cluster: &TestCluster, environment: &str) -> Vec<PactDeployment> {
    let all = Api::<PactDeployment>::all(cluster.client()).list(&ListParams::default()).await.unwrap();
    all.into_iter().filter(|one| one.spec.environment == environment).collect()
}

/// A condition of a record.
pub fn condition(record: &PactDeployment, type_: &str) -> Option<Condition> {
    let conditions = &record.status.as_ref()?.conditions;
    conditions.iter().find(|condition| condition.type_ == type_).cloned()
}
