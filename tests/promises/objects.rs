//! The operator's own objects: how tests read them and wait for their conditions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use kube::api::ListParams;
use pact_operator::api::{PactBroker, PactDeployment, PactEnvironment};
use testbed::eventually::eventually;
use testbed::test_cluster::{SOON, TestCluster};

/// The operator's objects in a test cluster.
pub(crate) trait Objects {
    /// The record of a pacticipant in an environment, if there is one. Without application instance.
    fn record(&self, environment: &str, pacticipant: &str) -> impl Future<Output = Option<PactDeployment>>;

    /// Waits until the record has this condition: `("Ready", "False", "VersionMissing")`.
    fn wait_condition(
        &self,
        environment: &str,
        pacticipant: &str,
        wanted: (&str, &str, &str),
    ) -> impl Future<Output = PactDeployment>;

    /// Waits until a `PactEnvironment` has this condition.
    fn wait_environment(&self, name: &str, wanted: (&str, &str, &str)) -> impl Future<Output = PactEnvironment>;

    /// Waits until a `PactBroker` has this condition.
    fn wait_broker(&self, name: &str, wanted: (&str, &str, &str)) -> impl Future<Output = PactBroker>;
}

impl Objects for TestCluster {
    async fn record(&self, environment: &str, pacticipant: &str) -> Option<PactDeployment> {
        let all = Api::<PactDeployment>::all(self.client()).list(&ListParams::default()).await.unwrap();
        all.into_iter().find(|one| {
            one.spec.environment == environment
                && one.spec.pacticipant == pacticipant
                && one.spec.application_instance.is_none()
        })
    }

    async fn wait_condition(&self, environment: &str, pacticipant: &str, wanted: (&str, &str, &str)) -> PactDeployment {
        let (type_, status, reason) = wanted;
        eventually(format!("{type_}={status} ({reason}) of {pacticipant} in {environment}"), SOON, async || {
            let record = self.record(environment, pacticipant).await.ok_or("no PactDeployment")?;
            let conditions = record.status.clone().unwrap_or_default().conditions;
            let found = conditions.iter().any(|c| c.type_ == type_ && c.status == status && c.reason == reason);
            if found { Ok(record) } else { Err(shown(&conditions)) }
        })
        .await
    }

    async fn wait_environment(&self, name: &str, wanted: (&str, &str, &str)) -> PactEnvironment {
        let (type_, status, reason) = wanted;
        let api = Api::<PactEnvironment>::all(self.client());
        eventually(format!("{type_}={status} ({reason}) of PactEnvironment {name}"), SOON, async || {
            let object = api.get(name).await.map_err(|error| error.to_string())?;
            let conditions = object.status.clone().unwrap_or_default().conditions;
            let found = conditions.iter().any(|c| c.type_ == type_ && c.status == status && c.reason == reason);
            if found { Ok(object) } else { Err(shown(&conditions)) }
        })
        .await
    }

    async fn wait_broker(&self, name: &str, wanted: (&str, &str, &str)) -> PactBroker {
        let (type_, status, reason) = wanted;
        let api = Api::<PactBroker>::all(self.client());
        eventually(format!("{type_}={status} ({reason}) of PactBroker {name}"), SOON, async || {
            let object = api.get(name).await.map_err(|error| error.to_string())?;
            let conditions = object.status.clone().unwrap_or_default().conditions;
            let found = conditions.iter().any(|c| c.type_ == type_ && c.status == status && c.reason == reason);
            if found { Ok(object) } else { Err(shown(&conditions)) }
        })
        .await
    }
}

fn shown(conditions: &[Condition]) -> String {
    let shown: Vec<_> =
        conditions.iter().map(|c| format!("{}={} ({}): {}", c.type_, c.status, c.reason, c.message)).collect();
    format!("[{}]", shown.join("; "))
}
