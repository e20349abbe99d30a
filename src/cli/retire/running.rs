//! What runs in the cluster now, listed once and placed as the recorder places it. Where no controller runs, the members in a
//! record's status are old for good.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1::Namespace, jiff::Timestamp};
use kube::{Api, Client, ResourceExt, api::ListParams};
use operator_kit::refusal;

use crate::{
    api::{PactDeploymentStatus, deployment::Member, names::Version},
    cli::{installed::Installed, listed_workloads::listed_workloads},
    cluster::{
        if_served::list_if_served,
        index::{Index, Template, TemplateSource},
    },
    decide::{
        EnvironmentPolicy,
        record::{MemberFate, Sighting, has_recorded},
    },
    workload::{CanaryView, RecordKey, RevisionView, Workload, revisions::HASH_LABEL, target_of},
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct RunningNow {
    index: Index,
    /// Every workload that runs something for a key.
    members: BTreeMap<RecordKey, Vec<Member>>,
    /// What the records say.
    records: BTreeMap<RecordKey, PactDeploymentStatus>,
}

impl RunningNow {
    /// Lists the namespaces, the workloads of every kind that is recorded, and what makes some of them a template only.
    ///
    /// # Errors
    /// When one of the lists cannot be had, with the reason.
    pub(super) async fn read(client: &Client, installed: &Installed) -> Result<Self, String> {
        let mut index = Index::default();
        for object in &installed.environments {
            index.set_environment(&object.name_any(), Some(EnvironmentPolicy::parse(object)));
        }
        let namespaces = Api::<Namespace>::all(client.clone()).list_metadata(&ListParams::default()).await;
        for namespace in namespaces.map_err(|error| unlisted("namespaces", &error))? {
            index.set_namespace(&namespace.name_any(), Some(namespace.metadata.labels.unwrap_or_default()));
        }
        let canaries = list_if_served(&Api::<CanaryView>::all(client.clone())).await;
        for canary in canaries.map_err(|error| unlisted("Canaries", &error))? {
            let source = TemplateSource::Canary(canary.namespace().unwrap_or_default(), canary.name_any());
            let template = target_of(&canary).map(|workload| Template { workload, promoted: canary.promoted() });
            index.set_template(&source, template);
        }
        let workloads = listed_workloads(client).await?;
        if workloads.iter().any(|workload| workload.revisions.is_some()) {
            let all: Api<RevisionView> = Api::all(client.clone());
            let listed = all.list(&ListParams::default().labels(HASH_LABEL)).await;
            for set in listed.map_err(|error| unlisted("ReplicaSets", &error))? {
                if let Some((rollout, hash)) = set.of() {
                    index.set_revision(&rollout, &hash, Some(set.observe(Timestamp::now())));
                }
            }
        }
        Ok(Self::of(index, &workloads, installed))
    }

    fn of(mut index: Index, workloads: &[Workload], installed: &Installed) -> Self {
        for workload in workloads {
            index.apply_workload(workload.clone());
        }
        let mut members: BTreeMap<RecordKey, Vec<Member>> = BTreeMap::new();
        for workload in workloads {
            for (key, _) in index.keys_for(workload) {
                let member = index.member_for(&key, workload).map(|member| member.shown());
                members.entry(key).or_default().extend(member);
            }
        }
        let records = installed.records.iter().filter_map(|(key, it)| Some((key.clone(), it.status.clone()?)));
        Self { index, members, records: records.collect() }
    }

    /// The workloads that run something for a key.
    pub(super) fn members(&self, key: &RecordKey) -> &[Member] {
        self.members.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// That a workload which a key's status lists runs something else by now, if so.
    pub(super) fn elsewhere(&self, key: &RecordKey, workload: &Workload) -> Option<Sighting> {
        let recorded =
            |key: &RecordKey, version: &Version| self.records.get(key).is_some_and(|it| has_recorded(it, version));
        let runs = || {
            let named = self.index.keys_for(workload).into_iter().map(|(now, _)| match now.instance {
                _ if now.environment_ref != key.environment_ref => {
                    format!("{} in {}", now.pacticipant, now.environment_ref)
                }
                Some(instance) => format!("{} ({instance})", now.pacticipant),
                None => now.pacticipant.to_string(),
            });
            named.collect::<Vec<_>>().join(", ")
        };
        match self.index.fate(key, &workload.reference, Some(workload), false, recorded) {
            MemberFate::Gone => Some(Sighting::Elsewhere(runs())),
            MemberFate::Moved => Some(Sighting::Moved(runs())),
            MemberFate::Serving | MemberFate::Unmanaged | MemberFate::Unknown => None,
        }
    }
}

fn unlisted(what: &str, error: &kube::Error) -> String {
    format!("{what} cannot be listed: {}", refusal::explain(error))
}

#[cfg(test)]
#[path = "running_tests.rs"]
mod tests;
