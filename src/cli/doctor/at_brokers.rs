//! What the brokers have in the environments of this cluster.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::{join_all, try_join};

use crate::{
    api::names::Version,
    broker::{Broker, BrokerError},
    cli::{installed::Installed, reached_brokers::ReachedBrokers},
    workload::{EnvironmentRef, RecordKey},
};

/// What a broker has in an environment: each record's key and version, or why it could not be read.
pub(super) struct AtBroker {
    pub(super) at: EnvironmentRef,
    pub(super) rows: Result<Vec<(RecordKey, Version)>, String>,
}

/// Reads these environments; each broker is reached once.
pub(super) async fn read(
    reached: &ReachedBrokers<'_>,
    installed: &Installed,
    places: &BTreeSet<EnvironmentRef>,
) -> Vec<AtBroker> {
    let names: BTreeSet<_> = places.iter().map(|at| at.broker.as_str()).collect();
    let brokers = names.into_iter().map(async |name| {
        let broker = reached.reach(installed, name).await.map(|(broker, _)| broker);
        (name, broker.map_err(|why| why.to_string()))
    });
    let brokers: BTreeMap<_, _> = join_all(brokers).await.into_iter().collect();
    let read = places.iter().map(async |at| {
        let rows = match &brokers[at.broker.as_str()] {
            Err(why) => Err(why.clone()),
            // That a broker does not answer is a finding: nobody waits for it.
            Ok(broker) => rows(broker, at).await.map_err(|why| why.to_string()),
        };
        AtBroker { at: at.clone(), rows }
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
