//! Reads from the API server itself, right before something is written at a broker: the watch's copy may be old.

use std::{collections::BTreeSet, time::Duration};

use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};
use k8s_openapi::{
    api::{
        apps::v1::ReplicaSet,
        core::v1::{Namespace, Pod},
    },
    jiff::Timestamp,
};
use kube::{Api, Client, ResourceExt, api::ListParams, core::PartialObjectMeta};

use super::Cluster;
use crate::{
    api::{deployment::Member, names::Version},
    decide::{
        Explanation, Reason,
        record::{MemberFate, MemberView, Sighting, has_recorded},
    },
    workload::{
        Dispatch, Kind, RecordKey, RevisionView, RolloutState, View, Workload, WorkloadKind, WorkloadRef,
        kinds::Rollout, own_revision, pods_left, revisions::HASH_LABEL,
    },
};
use operator_kit::refusal;

/// How long one read may take in all; kube repeats some by itself.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// How many reads of one pass may be under way at once.
const READS_AT_ONCE: usize = 8;

impl Cluster {
    /// The members of a key as the API server has them now. Those that are gone, or no longer members, are left out.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn live_members(&self, key: &RecordKey, members: &[MemberView]) -> Result<Vec<MemberView>, Explanation> {
        let mut reads = Vec::with_capacity(members.len());
        for member in members {
            reads.push(live_workload(&self.client, &member.workload));
        }
        let workloads: Vec<Option<Workload>> = stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
        // Nothing else can be the template of a Rollout.
        let deployments = members.iter().map(|member| &member.workload);
        let deployments = deployments.filter(|workload| workload.kind == WorkloadKind::Deployment);
        let templates = self.live_templates(deployments).await?;
        let moved = self.moved_namespaces(members.iter().map(|member| &member.workload)).await?;
        let index = self.index();
        Ok(workloads
            .into_iter()
            .flatten()
            .filter(|workload| !templates.contains(&workload.reference))
            .filter(|workload| !moved.contains(&workload.reference.namespace))
            .filter_map(|workload| index.member_for(key, &workload))
            .map(|member| member.at(Timestamp::now()))
            .collect())
    }

    /// What became of the members that we remember.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn fates(&self, key: &RecordKey, members: &[Member]) -> Result<Vec<MemberFate>, Explanation> {
        let mut reads = Vec::with_capacity(members.len());
        for member in members {
            reads.push(self.fate(key, member));
        }
        stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await
    }

    async fn fate(&self, key: &RecordKey, member: &Member) -> Result<MemberFate, Explanation> {
        let Some(kind) = WorkloadKind::named(&member.kind) else { return Ok(MemberFate::Unknown) };
        let reference = WorkloadRef { kind, namespace: member.namespace.clone(), name: member.name.clone() };
        let live = live_workload(&self.client, &reference).await?;
        if live.is_some() && !self.moved_namespaces([&reference].into_iter()).await?.is_empty() {
            return Ok(MemberFate::Unknown);
        }
        let pods_left = live.is_none() && pods_left_of(&self.client, key, &reference).await?;
        let recorded = |key: &RecordKey, version: &Version| {
            let object = self.records.get(key);
            object
                .as_ref()
                .and_then(|object| object.status.as_ref())
                .is_some_and(|status| has_recorded(status, version))
        };
        Ok(self.index().fate(key, &reference, live.as_ref(), pods_left, recorded))
    }

    /// The namespaces of these workloads whose labels say now that they lie elsewhere than the watch has told: what follows
    /// from that is decided once it has. A namespace that is gone, or that nobody may read, is none of them.
    async fn moved_namespaces<'a>(
        &self,
        workloads: impl Iterator<Item = &'a WorkloadRef>,
    ) -> Result<BTreeSet<String>, Explanation> {
        let api: Api<PartialObjectMeta<Namespace>> = Api::all(self.client.clone());
        let mut moved = BTreeSet::new();
        let namespaces: BTreeSet<_> = workloads.map(|workload| &workload.namespace).collect();
        for namespace in namespaces {
            let what = format!("the namespace {namespace}");
            let found = bounded(api.get_opt(namespace), &what).await.map_err(|error| error.unexpected(&what))?;
            let Some(labels) = found.map(|found| found.metadata.labels.unwrap_or_default()) else { continue };
            let index = self.index();
            if index.mapping(namespace) != Some(index.environments().mapping(namespace, &labels)) {
                moved.insert(namespace.clone());
            }
        }
        Ok(moved)
    }

    /// A workload as the API server has it now; `None` when there is none.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn live_workload(&self, reference: &WorkloadRef) -> Result<Option<Workload>, Explanation> {
        live_workload(&self.client, reference).await
    }

    /// Whether the namespace of a workload lies elsewhere than the watch has told.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn has_moved(&self, reference: &WorkloadRef) -> Result<bool, Explanation> {
        Ok(!self.moved_namespaces([reference].into_iter()).await?.is_empty())
    }

    /// The workloads that an Argo Rollout names as its template, in the namespaces of these.
    async fn live_templates(
        &self,
        workloads: impl Iterator<Item = &WorkloadRef>,
    ) -> Result<BTreeSet<WorkloadRef>, Explanation> {
        let mut templates = BTreeSet::new();
        if !self.rollouts_served() {
            return Ok(templates);
        }
        let namespaces: BTreeSet<_> = workloads.map(|workload| &workload.namespace).collect();
        for namespace in namespaces {
            let api: Api<View<Rollout>> = Api::namespaced(self.client.clone(), namespace);
            match bounded(api.list(&ListParams::default()), &format!("the Rollouts in {namespace}")).await {
                Ok(rollouts) => {
                    let revisions = rollouts.iter().filter_map(|rollout| rollout.observe(Timestamp::now()).revisions);
                    templates.extend(revisions.filter_map(|revisions| revisions.template));
                }
                Err(ReadError::NotServed) => {}
                Err(ReadError::Failed(why)) => return Err(why),
            }
        }
        Ok(templates)
    }
}

/// What became of a workload that a record lists as a member: for people who retire the record. `elsewhere` says what it is
/// if it runs something else by now.
pub async fn sighting(
    client: &Client,
    key: &RecordKey,
    member: &Member,
    elsewhere: impl Fn(&Workload) -> Option<Sighting>,
) -> Sighting {
    let Some(kind) = WorkloadKind::named(&member.kind) else {
        return Sighting::Unread(format!("{} is no kind that is recorded", member.kind));
    };
    let reference = WorkloadRef { kind, namespace: member.namespace.clone(), name: member.name.clone() };
    match live_workload(client, &reference).await {
        Err(why) => Sighting::Unread(why.message),
        Ok(Some(workload)) => elsewhere(&workload).unwrap_or({
            let terminating = matches!(workload.rollout, RolloutState::Terminating { .. });
            if workload.without_pods && !terminating { Sighting::Asleep } else { Sighting::Runs }
        }),
        Ok(None) => match pods_left_of(client, key, &reference).await {
            Err(why) => Sighting::Unread(why.message),
            Ok(true) => Sighting::PodsLeft,
            Ok(false) => Sighting::Gone,
        },
    }
}

/// Whether pods of a workload that is gone are left: those of a Deployment or a Rollout in its `ReplicaSet`s, which have its
/// annotations, those of another kind without an owner (case 99). The Jobs of a `CronJob` end by themselves.
async fn pods_left_of(client: &Client, key: &RecordKey, gone: &WorkloadRef) -> Result<bool, Explanation> {
    let namespace = &gone.namespace;
    if gone.kind == WorkloadKind::CronJob {
        return Ok(false);
    }
    if matches!(gone.kind, WorkloadKind::Deployment | WorkloadKind::Rollout) {
        let api: Api<ReplicaSet> = Api::namespaced(client.clone(), namespace);
        let what = format!("the ReplicaSets in {namespace}");
        let sets = bounded(api.list(&ListParams::default()), &what).await.map_err(|error| error.unexpected(&what))?;
        let replicas = |set: &ReplicaSet| set.status.as_ref().map_or(0, |status| status.replicas);
        let was_its_own = |set: &ReplicaSet| {
            gone.kind == WorkloadKind::Rollout && pods_left::was_revision_of(&set.metadata, &gone.name)
        };
        let runs = |set: &ReplicaSet| pods_left::runs(set.annotations(), key) || was_its_own(set);
        return Ok(sets.iter().any(|set| replicas(set) > 0 && runs(set)));
    }
    let api: Api<PartialObjectMeta<Pod>> = Api::namespaced(client.clone(), namespace);
    let what = format!("the Pods in {namespace}");
    let with_revision = ListParams::default().labels(pods_left::REVISION);
    let pods = bounded(api.list(&with_revision), &what).await.map_err(|error| error.unexpected(&what))?;
    Ok(pods.iter().any(|pod| pods_left::was_of(&pod.metadata, &gone.name)))
}

/// The workload as it is now. For an Argo Rollout that uses a Deployment's template, with the generation of that one: the
/// Rollout itself says nothing of a change that its controller has not seen.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn live_workload(client: &Client, reference: &WorkloadRef) -> Result<Option<Workload>, Explanation> {
    let mut workload = reference.kind.dispatch(Read { client: client.clone(), reference }).await?;
    let revisions = workload.as_mut().and_then(|workload| workload.revisions.as_mut());
    if let Some(revisions) = revisions
        && let Some(template) = revisions.template.clone()
    {
        let template = template.kind.dispatch(Read { client: client.clone(), reference: &template }).await?;
        revisions.template_generation = template.map(|template| template.generation);
    }
    Ok(workload)
}

/// The workload as what it runs: for an Argo Rollout, its own revision and the annotations of its template, read now.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn as_it_runs(client: &Client, workload: Workload) -> Result<Workload, Explanation> {
    let Some(of) = &workload.revisions else { return Ok(workload) };
    let namespace = &workload.reference.namespace;
    let template = match &of.template {
        Some(template) => template.kind.dispatch(Read { client: client.clone(), reference: template }).await?,
        None => None,
    };
    let api: Api<RevisionView> = Api::namespaced(client.clone(), namespace);
    let what = format!("the ReplicaSets in {namespace}");
    let sets = bounded(api.list(&ListParams::default().labels(HASH_LABEL)), &what).await;
    let sets = sets.map_err(|error| error.unexpected(&what))?;
    let of_this = |(rollout, hash), set: &RevisionView| {
        (rollout == workload.reference).then(|| (hash, set.observe(Timestamp::now())))
    };
    let revisions = sets.iter().filter_map(|set| of_this(set.of()?, set)).collect();
    Ok(own_revision(&workload, of, &revisions, template.as_ref()).0)
}

/// One workload, read as what it is.
struct Read<'workload> {
    client: Client,
    reference: &'workload WorkloadRef,
}

impl<'workload> Dispatch for Read<'workload> {
    type Output = BoxFuture<'workload, Result<Option<Workload>, Explanation>>;

    fn with<K: Kind>(self) -> Self::Output {
        let Self { client, reference } = self;
        async move {
            let api: Api<View<K>> = Api::namespaced(client, &reference.namespace);
            match bounded(api.get_opt(&reference.name), reference).await {
                Ok(read) => Ok(read.map(|object| object.observe(Timestamp::now()))),
                // Its definition was deleted, and so was each object of it.
                Err(ReadError::NotServed) if K::KIND.definition().is_some() => Ok(None),
                Err(error) => Err(error.unexpected(reference)),
            }
        }
        .boxed()
    }
}

/// Why something could not be read from the API server.
enum ReadError {
    /// It does not serve the kind.
    NotServed,
    /// It does not answer, or refuses.
    Failed(Explanation),
}

impl ReadError {
    /// For a kind that every API server has.
    fn unexpected(self, what: &impl std::fmt::Display) -> Explanation {
        match self {
            Self::Failed(why) => why,
            Self::NotServed => {
                Explanation::new(Reason::ApiServerUnavailable, format!("the API server does not serve {what}"))
            }
        }
    }
}

async fn bounded<T>(
    read: impl Future<Output = Result<T, kube::Error>>,
    what: &impl std::fmt::Display,
) -> Result<T, ReadError> {
    let problem = match tokio::time::timeout(READ_LIMIT, read).await {
        Ok(Ok(found)) => return Ok(found),
        // What is not served is answered without a reason.
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => return Err(ReadError::NotServed),
        Ok(Err(error)) => format!("the API server could not be asked for {what}: {}", refusal::explain(&error)),
        Err(_) => {
            format!("the API server did not answer within {} s when asked for {what}", READ_LIMIT.as_secs())
        }
    };
    Err(ReadError::Failed(Explanation::new(Reason::ApiServerUnavailable, problem)))
}
