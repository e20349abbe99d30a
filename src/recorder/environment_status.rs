//! The status of a `PactEnvironment`.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use kube::Api;
use operator_kit::refusal;
use tracing::warn;

use super::{environment::EnvironmentReconciler, queue::Next, schedule::STATUS_DELAY};
use crate::{
    api::{
        PactEnvironment, PactEnvironmentStatus,
        condition::{Finding, Truth, conditions, is_true},
        environment::MEMBERS_LISTED,
    },
    cluster::{
        as_field_manager,
        index::{BeyondLimit, Counts},
        inventory,
        snapshots::EnvironmentState,
    },
    decide::{Explanation, GateRules, Reason, admission::decision::in_force, messages, namespaces, owners},
    workload::{BrokenRules, EnvironmentRules, NamespaceMapping, Told},
};

impl EnvironmentReconciler {
    /// Writes the status of a `PactEnvironment` if it changed.
    pub(super) async fn reconcile_status(&self, object: &str) -> Next {
        let Some(environment) = self.cluster.environments().get(object).cloned() else { return Next::wait() };
        let (rules, problem, counts, conflicts, found, respected, beyond) = {
            let index = self.cluster.index();
            let Some(policy) = index.environments().get(object).cloned() else { return Next::wait() };
            let (counts, conflicts) = index.counts(object);
            let rules = policy.map(|policy| policy.rules);
            let existing = index.environments().namespaces().map(String::as_str);
            let found =
                rules.as_ref().ok().map(|rules| namespaces::found(&rules.claim.selector, existing, counts.namespaces));
            let problem = index.environments().problem(object).map(str::to_owned);
            let names_owners = rules.as_ref().is_ok_and(|rules| !rules.owners.is_empty());
            let respected = names_owners.then(|| owners::respected(index.not_owned(object)));
            let beyond = rules.as_ref().ok().and_then(|rules| key_limit(&index.beyond_limit(&rules.environment_ref)));
            (rules, problem, counts, conflicts, found, respected, beyond)
        };
        let inventory = self.cluster.inventory(object, &GateRules::parse(&environment.spec.gate));
        let state =
            rules.as_ref().map(|rules| self.cluster.snapshots.state(&rules.environment_ref)).unwrap_or_default();

        let before = environment.status.clone().unwrap_or_default();
        let generation = environment.metadata.generation;
        let members_listed = inventory::members_listed(&before.conditions, &inventory);
        let listed_before = is_true(&before.conditions, MEMBERS_LISTED) || members_listed.truth != Truth::True;
        // A restart is no change: the last status holds until the environment was read, which schedules this task
        // again.
        let unread = rules.is_ok() && state.snapshot.is_none() && state.trouble.is_none();
        if unread && before.observed_generation == generation && listed_before {
            return Next::wait();
        }
        let mut findings = findings(&rules, problem.as_deref(), &state, &conflicts, counts);
        findings.extend(found);
        findings.extend(respected);
        findings.extend(beyond);
        findings.extend(self.held(object));
        findings.push(members_listed.clone());
        let vanished = rules.as_ref().map(|rules| {
            let (index, confirmed) = (self.cluster.index(), rules.removal.confirmed);
            self.cluster.records.vanished(&rules.environment_ref, confirmed, |key| index.has_members(key))
        });
        let vanished = vanished.unwrap_or_default();
        findings.extend(
            vanished.message(object).map(|why| Finding::new("UndeploysHeld", true, Reason::UndeploysHeld, why)),
        );
        let status = PactEnvironmentStatus {
            observed_generation: generation,
            environment: rules.as_ref().ok().map(|rules| rules.environment_ref.environment.to_string()),
            environment_uuid: state.snapshot.as_ref().map(|snapshot| snapshot.id.to_string()),
            namespaces: count(counts.namespaces),
            workloads: count(counts.workloads),
            recorded: count(inventory.recorded),
            mode: Some(in_force(environment.spec.gate.mode, members_listed.truth == Truth::True)),
            orphaned: count(vanished.orphaned.len()),
            would_deny: count(inventory.would_deny),
            unchecked: count(inventory.unchecked),
            conditions: conditions(&before.conditions, &findings, generation, Timestamp::now()),
        };
        if status == before {
            return Next::wait();
        }
        self.write_environment_status(environment, status).await
    }

    /// The condition `RolloutsHeld`, while a workload of the environment is held.
    fn held(&self, object: &str) -> Option<Finding> {
        let index = self.cluster.index();
        let is_here = |namespace: &str| match index.mapping(namespace) {
            Some(NamespaceMapping::Mapped(objects)) => objects.iter().any(|one| one == object),
            _ => false,
        };
        let held: Vec<_> = self.cluster.holds.held().into_iter().filter(|(it, _)| is_here(&it.namespace)).collect();
        let worst = held.iter().map(|(_, held)| held.told).max()?;
        let reason = match worst {
            None => Reason::RolloutHeld,
            Some(Told::Overdue) => Reason::HoldOverdue,
            Some(Told::Refused) => Reason::HoldRefused,
        };
        let named = held.iter().take(5).map(|(workload, held)| {
            let told = held.told.map_or(String::new(), |told| format!(" ({})", told.name()));
            format!("{workload} at {} since {}{told}", held.version, held.since)
        });
        let named = named.collect::<Vec<_>>().join(", ");
        let more = held.len().saturating_sub(5);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Some(Finding::new("RolloutsHeld", true, reason, format!("held until they may run: {named}{more}")))
    }

    async fn write_environment_status(&self, environment: PactEnvironment, status: PactEnvironmentStatus) -> Next {
        let name = environment.metadata.name.clone().unwrap_or_default();
        let object = PactEnvironment { status: Some(status), ..environment };
        let params = as_field_manager();
        match Api::<PactEnvironment>::all(self.cluster.client.clone()).replace_status(&name, &params, &object).await {
            Ok(written) => {
                let mut environments = self.cluster.environments();
                if let Some(known) = environments.get_mut(&name)
                    && known.metadata.uid == written.metadata.uid
                {
                    *known = written;
                }
                Next::wait()
            }
            Err(kube::Error::Api(answer)) if answer.is_not_found() => Next::wait(),
            // The watch delivers the newer object.
            Err(kube::Error::Api(answer)) if answer.is_conflict() => Next::after(STATUS_DELAY),
            Err(error) => {
                let error = refusal::explain(&error);
                warn!(environment = name, error, "the status of the PactEnvironment cannot be written");
                Next::after(self.settings.retry_max)
            }
        }
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The conditions of a `PactEnvironment`.
fn findings(
    rules: &Result<EnvironmentRules, Box<BrokenRules>>,
    problem: Option<&str>,
    state: &EnvironmentState,
    conflicts: &BTreeMap<String, Vec<String>>,
    counts: Counts,
) -> Vec<Finding> {
    let conflicted = if conflicts.is_empty() {
        Finding::new("Conflicted", false, Reason::NoOverlap, "no namespace is claimed by another environment")
    } else {
        Finding::new("Conflicted", true, Reason::NamespaceClaimedTwice, conflict(conflicts))
    };
    let rules = match rules {
        Ok(rules) => rules,
        Err(broken) => {
            return vec![
                Finding::new("Ready", false, Reason::InvalidSpec, broken.problem.clone()),
                Finding::new("EnvironmentExists", Truth::Unknown, Reason::InvalidSpec, broken.problem.clone()),
                conflicted,
            ];
        }
    };
    let unread = Explanation::new(Reason::EnvironmentNotRead, "the environment has not been read yet");
    let (exists, why) = match (&state.trouble, &state.snapshot) {
        (None, Some(_)) => (
            Truth::True,
            Explanation::new(
                Reason::Found,
                format!(
                    "the broker {} has the environment {}",
                    rules.environment_ref.broker, rules.environment_ref.environment
                ),
            ),
        ),
        (None, None) => (Truth::Unknown, unread),
        (Some(why), _) if why.reason == Reason::EnvironmentMissing => (Truth::False, why.clone()),
        (Some(why), _) => (Truth::Unknown, why.clone()),
    };
    let ready = if let Some(problem) = problem {
        let message = format!("{problem}; until then the last rules that could be followed stay in force");
        Finding::new("Ready", false, Reason::InvalidSpec, message)
    } else if exists != Truth::True {
        Finding::new("Ready", false, why.reason, why.message.clone())
    } else if !conflicts.is_empty() {
        Finding::new("Ready", false, Reason::Conflicted, conflicted.message.clone())
    } else if state.snapshot.as_ref().is_some_and(|snapshot| snapshot.suspicious) {
        let message = "none of our records is at the broker any more; nothing is taken back until they are. Was it \
                       reset, or may the operator's user no longer see them?";
        Finding::new("Ready", false, Reason::BrokerAnomaly, message)
    } else {
        let plural = if counts.namespaces == 1 { "" } else { "s" };
        let message = format!("what runs in {} namespace{plural} is recorded", counts.namespaces);
        Finding::new("Ready", true, Reason::Recording, message)
    };
    vec![ready, Finding::new("EnvironmentExists", exists, why.reason, why.message), conflicted]
}

/// The condition `PacticipantsLimited`, while a namespace names more than are recorded.
fn key_limit(beyond: &[BeyondLimit]) -> Option<Finding> {
    let most = beyond.first()?.most;
    let named = beyond.iter().take(3).map(|BeyondLimit { namespace, pacticipants, .. }| {
        let shown: Vec<_> = pacticipants.iter().take(3).map(|name| messages::brief(name)).collect();
        let more = pacticipants.len().saturating_sub(shown.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{} in {namespace}{more}", shown.join(", "))
    });
    let named = named.collect::<Vec<_>>().join("; ");
    let more = beyond.len().saturating_sub(3);
    let more = if more > 0 { format!("; and in {more} more namespaces") } else { String::new() };
    let message = format!(
        "a namespace may speak for {most} pacticipants; nothing is recorded for {named}{more}. Remove annotations, divide \
         the namespace, or raise --pacticipants-per-namespace"
    );
    Some(Finding::new("PacticipantsLimited", true, Reason::NamespaceLimit, message))
}

fn conflict(conflicts: &BTreeMap<String, Vec<String>>) -> String {
    let shown: Vec<_> = conflicts
        .iter()
        .take(3)
        .map(|(namespace, claimants)| format!("namespace {namespace} is claimed by {}", claimants.join(", ")))
        .collect();
    let more = conflicts.len().saturating_sub(3);
    let more = if more > 0 { format!(" and {more} more namespaces") } else { String::new() };
    format!(
        "{}{more}; nothing is recorded there until only one claims it, or each says overlap: Allow",
        shown.join("; ")
    )
}
