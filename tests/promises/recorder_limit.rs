//! A namespace speaks for so many pacticipants and no more; what others run is recorded as before.

use kube::Api;
use kube::api::ListParams;
use pact_operator::api::PactDeployment;
use serde_json::json;
use testbed::test_cluster::{TestCluster, annotated, quick};

use crate::objects::Objects as _;
use crate::recorder_asserts::published;

#[tokio::test]
async fn case_120_beyond_the_limit_of_a_namespace_nothing_is_recorded_and_the_environment_names_it() {
    let mut cluster = TestCluster::without_operator().await;
    let (crowd, shop) = (cluster.namespace().await, cluster.namespace().await);
    let environment = cluster.environment(&[&crowd, &shop], json!({})).await;
    cluster.start_operator(quick().arg("--pacticipants-per-namespace=3")).await;
    let client = cluster.client();
    for number in 0..3 {
        let name = format!("app-{number}");
        published(&cluster, &name, &["1.0.0"]);
        annotated(&name, &name, "1.0.0").replicas(0).apply(&client, &crowd).await;
        cluster.wait_recorded(&environment, &name, "1.0.0").await;
    }
    for number in 3..9 {
        let name = format!("app-{number}");
        published(&cluster, &name, &["1.0.0"]);
        annotated(&name, &name, "1.0.0").replicas(0).apply(&client, &crowd).await;
    }
    let limited = cluster.wait_environment(&environment, ("PacticipantsLimited", "True", "NamespaceLimit")).await;
    let conditions = limited.status.unwrap().conditions;
    let message = &conditions.iter().find(|it| it.type_ == "PacticipantsLimited").unwrap().message;
    assert!(message.contains(&format!("app-3, app-4, app-5 in {crowd}")), "{message}");
    cluster.wait_environment(&environment, ("MembersListed", "True", "Listed")).await;

    // Another namespace is not concerned, also where it runs one of those.
    published(&cluster, "web", &["1.0.0"]);
    for name in ["web", "app-8"] {
        annotated(name, name, "1.0.0").replicas(0).apply(&client, &shop).await;
        cluster.wait_recorded(&environment, name, "1.0.0").await;
    }
    let records = Api::<PactDeployment>::all(client).list(&ListParams::default()).await.unwrap();
    assert_eq!(records.items.len(), 5, "{:?}", records.items);
    assert_eq!(cluster.recorded(&environment, "app-3"), None);
}
