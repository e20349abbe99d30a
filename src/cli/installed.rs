//! What the cluster has of ours, listed once: for the verbs that people call.

use kube::{Api, Client, Resource, api::ListParams};
use operator_kit::refusal;
use serde::de::DeserializeOwned;

use super::process::Failure;
use crate::{
    api::{PactBroker, PactDeployment, PactEnvironment},
    cluster::objects::own_key,
    workload::RecordKey,
};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Installed {
    /// The environments, by name.
    pub(super) environments: Vec<PactEnvironment>,
    /// The brokers, by name.
    pub(super) brokers: Vec<PactBroker>,
    /// The records; objects that somebody else made are left out.
    pub(super) records: Vec<(RecordKey, PactDeployment)>,
}

impl Installed {
    /// Lists all of it: three requests.
    ///
    /// # Errors
    /// When one of the lists cannot be had.
    pub(super) async fn read(client: &Client) -> Result<Self, Failure> {
        let environments = list(client, "PactEnvironments").await?;
        let brokers = list(client, "PactBrokers").await?;
        let records: Vec<PactDeployment> = list(client, "PactDeployments").await?;
        let mut records: Vec<_> = records.into_iter().filter_map(|it| own_key(&it).map(|key| (key, it))).collect();
        records.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Self { environments, brokers, records })
    }
}

async fn list<K>(client: &Client, what: &str) -> Result<Vec<K>, Failure>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let listed = Api::<K>::all(client.clone()).list(&ListParams::default()).await;
    Ok(listed.map_err(|error| format!("{what} cannot be listed: {}", refusal::explain(&error)))?.items)
}
