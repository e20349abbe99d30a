//! What the brokers have in the environments of this cluster.

use std::collections::BTreeSet;

use futures::future::{join_all, try_join};

use crate::{
    api::names::Version,
    broker::{Broker, BrokerError},
    cli::{installed::Installed, reached_brokers::ReachedBrokers},
    decide::EnvironmentPolicy,
    workload::{EnvironmentRef, RecordKey},
};

/// What a broker has in an environment: each record's key and version, or why it could not be read.
pub(super) struct AtBroker {
    pub(super) at: EnvironmentRef,
    pub(super) rows: Result<Vec<(RecordKey, Version)>, String>,
}

/// Reads each environment in which a `PactEnvironment` that can be followed records.
pub(super) async fn read(reached: &ReachedBrokers<'_>, installed: &Installed) -> Vec<AtBroker> {
    let policies = installed.environments.iter().filter_map(|it| EnvironmentPolicy::parse(it).ok());
    let places: BTreeSet<_> = policies.map(|policy| policy.rules.environment_ref).collect();
    let read = places.into_iter().map(async |at| {
        let rows = match reached.reach(installed, &at.broker).await {
            Err(why) => Err(why.to_string()),
            // That a broker does not answer is a finding: nobody waits for it.
            Ok((broker, _)) => rows(&broker, &at).await.map_err(|why| why.to_string()),
        };
        AtBroker { at, rows }
    });
    join_all(read).await
}

/// The rows of deployed and of supported versions; none where the broker does not have the environment, which its
/// `PactEnvironment` says.
async fn rows(broker: &Broker, at: &EnvironmentRef) -> Result<Vec<(RecordKey, Version)>, BrokerError> {
    let Some(found) = broker.environment(&at.environment).await? else { return Ok(Vec::new()) };
    let read = try_join(broker.currently_deployed(&found.id, None), broker.currently_supported(&found.id, None)).await;
    let (deployed, supported) = match read {
        Err(BrokerError::EnvironmentMissing { .. }) => return Ok(Vec::new()),
        read => read?,
    };
    let key = |pacticipant, instance| RecordKey { environment_ref: at.clone(), pacticipant, instance };
    let deployed = deployed.into_iter().map(|row| (key(row.pacticipant, row.application_instance), row.version));
    let supported = supported.into_iter().map(|row| (key(row.pacticipant, None), row.version));
    Ok(deployed.chain(supported).collect())
}
