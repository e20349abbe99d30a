//! Which environments there are, what they say, and what is known to run in them: from manifests, or from the cluster.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt, core::PartialObjectMeta};

use super::manifests::Manifest;
use crate::{
    api::{PactBroker, PactEnvironment, names::Pacticipant},
    broker::{Broker, Judge, Running},
    cli::{installed::Installed, process::Failure},
    cluster::{
        environments::Environments,
        recorded::{RecordedIndex, RunningVersions},
    },
    decide::{EnvironmentPolicy, LiveVersions, RecordedVersions},
    workload::{EnvironmentRef, NamespaceMapping, Whereabouts},
};

const GROUP: &str = "pact-operator.dev";

/// See the module.
#[derive(Default)]
pub(super) struct Policy {
    environments: Environments,
    /// The address of each broker, as people reach it.
    urls: BTreeMap<String, String>,
    /// What the `PactDeployment`s say.
    recorded: Arc<Mutex<RecordedIndex>>,
    /// What the brokers say, where there are no `PactDeployment`s to be read.
    live: HashMap<EnvironmentRef, LiveVersions>,
    without_cluster: bool,
}

impl Policy {
    /// By `PactEnvironment`s, `PactBroker`s and Namespaces among manifests: what they say is taken to be in force.
    ///
    /// # Errors
    /// When one of them cannot be read, or there is no `PactEnvironment`.
    pub(super) fn of_manifests(manifests: &[Manifest]) -> Result<Self, Failure> {
        let mut policy = Self { without_cluster: true, ..Self::default() };
        for manifest in manifests {
            if let Some(environment) = manifest.read::<PactEnvironment>(GROUP, "PactEnvironment")? {
                policy.set(&environment, true);
            } else if let Some(broker) = manifest.read::<PactBroker>(GROUP, "PactBroker")? {
                policy.set_broker(&broker);
            } else if let Some(namespace) = manifest.read::<PartialObjectMeta<Namespace>>("", "Namespace")? {
                let labels = namespace.metadata.labels.unwrap_or_default();
                policy.environments.set_namespace(manifest.name(), Some(labels));
            }
        }
        if policy.environments.objects().is_empty() {
            return Err("there is no PactEnvironment among the files of --policy: name those with them".into());
        }
        Ok(policy)
    }

    /// By what the cluster has; of the namespaces, those named.
    ///
    /// # Errors
    /// When something cannot be read.
    pub(super) async fn of_cluster(client: &Client, namespaces: &BTreeSet<String>) -> Result<Self, Failure> {
        let without = |error| format!("{error}; without the cluster, name PactEnvironment files with --policy");
        let installed = Installed::read(client).await.map_err(without)?;
        let mut recorded = RecordedIndex::default();
        for (key, record) in &installed.records {
            recorded.set(key, Some(record));
        }
        let mut policy = Self { recorded: Arc::new(Mutex::new(recorded)), ..Self::default() };
        installed.environments.iter().for_each(|environment| policy.set(environment, false));
        installed.brokers.iter().for_each(|broker| policy.set_broker(broker));
        let api: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
        for namespace in namespaces {
            // Without the right to read it, what selects by label may claim it, and says so.
            if let Ok(found) = api.get_opt(namespace).await {
                let labels = found.and_then(|found| found.metadata.labels).unwrap_or_default();
                policy.environments.set_namespace(namespace, Some(labels));
            }
        }
        Ok(policy)
    }

    fn set(&mut self, environment: &PactEnvironment, in_force: bool) {
        let policy = EnvironmentPolicy::parse(environment);
        let policy = policy.map(|it| EnvironmentPolicy { members_listed: it.members_listed || in_force, ..it });
        self.environments.set(&environment.name_any(), Some(policy));
    }

    fn set_broker(&mut self, broker: &PactBroker) {
        let url = broker.spec.public_url.as_ref().unwrap_or(&broker.spec.url);
        self.urls.insert(broker.name_any(), url.clone());
    }

    /// The environments.
    pub(super) fn environments(&self) -> &Environments {
        &self.environments
    }

    /// Where a namespace lies; `everywhere` says that it is asked about every environment.
    pub(super) fn whereabouts(&self, namespace: &str, everywhere: bool) -> Whereabouts {
        if everywhere {
            return NamespaceMapping::Mapped(self.environments.objects()).into();
        }
        match self.environments.labels(namespace) {
            Some(labels) => self.environments.mapping(namespace, labels).into(),
            None => self.environments.whereabouts_without_labels(namespace),
        }
    }

    /// Every environment in which a `PactEnvironment` records.
    pub(super) fn environment_refs(&self) -> BTreeSet<EnvironmentRef> {
        self.environments.valid_rules().map(|rules| rules.environment_ref.clone()).collect()
    }

    /// The address of a broker as people reach it.
    ///
    /// # Errors
    /// When there is no such `PactBroker`.
    pub(super) fn url(&self, broker: &str) -> Result<&str, String> {
        self.urls
            .get(broker)
            .map(String::as_str)
            .ok_or_else(|| format!("there is no PactBroker named {broker}: add it, or give --broker-base-url"))
    }

    /// What asks a broker, and takes in what is known to run.
    pub(super) fn judge(&self, name: &str, broker: Broker) -> Judge {
        let running: Arc<dyn Running> =
            Arc::new(RunningVersions { index: Arc::clone(&self.recorded), broker: name.to_owned() });
        Judge::new(broker, running)
    }

    /// Whether what is recorded has to be read from the brokers.
    pub(super) const fn is_without_cluster(&self) -> bool {
        self.without_cluster
    }

    /// Takes in what a broker has as live in an environment.
    pub(super) fn set_live(&mut self, environment_ref: EnvironmentRef, live: LiveVersions) {
        self.live.insert(environment_ref, live);
    }

    /// The versions of a pacticipant that are, or were, recorded in an environment.
    pub(super) fn recorded(&self, environment_ref: &EnvironmentRef, pacticipant: &Pacticipant) -> RecordedVersions {
        if !self.without_cluster {
            return self.recorded.lock().unwrap_or_else(PoisonError::into_inner).of(environment_ref, pacticipant);
        }
        let live = self.live.get(environment_ref).and_then(|live| live.of(pacticipant));
        RecordedVersions { current: live.cloned().unwrap_or_default(), ..RecordedVersions::default() }
    }
}
