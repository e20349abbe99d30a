//! What is wrong with an installation, from what was read of it. Pure.

use std::collections::BTreeMap;

use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};
use kube::ResourceExt;

use super::{at_brokers::AtBroker, installation::Piece};
use crate::{
    api::{PactDeployment, PactEnvironment, condition::is_true, environment::MEMBERS_LISTED, gate::GateMode},
    cli::installed::Installed,
    cluster::environments::Environments,
    decide::{EnvironmentPolicy, messages, stray_keys},
    workload::{NamespaceMapping, Workload},
};

/// The name of the controller's Lease.
pub(super) const LEASE: &str = "pact-operator-controller";
/// How long, in seconds, a Lease may not have been renewed: twice what the chart lets it last.
const RENEWED_WITHIN: i64 = 60;
/// How many objects a finding names.
const SHOWN: usize = 5;

/// What was read.
pub(super) struct Facts {
    pub(super) installed: Installed,
    /// Every namespace with its labels.
    pub(super) namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// The workloads that are annotated, or seem to be meant to be.
    pub(super) workloads: Vec<Workload>,
    pub(super) lease: Result<Option<Lease>, String>,
    /// What the gate answered to a dry-run.
    pub(super) gate: Result<String, String>,
    /// What of the gate is not in force.
    pub(super) notes: Result<Vec<String>, String>,
    /// What the chart installs.
    pub(super) pieces: Vec<Piece>,
    /// What the brokers have.
    pub(super) at_brokers: Vec<AtBroker>,
    pub(super) operator_namespace: String,
}

/// How much something matters, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grade {
    /// Somebody has to act.
    Problem,
    /// It may be wanted.
    Note,
    /// It is as it should be.
    Fine,
}

/// One thing that was looked at: what, in which state, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) grade: Grade,
    pub(super) text: String,
}

fn found(grade: Grade, text: impl Into<String>) -> Found {
    Found { grade, text: text.into() }
}

/// Everything that there is to say, the worst first.
pub(super) fn of(facts: &Facts, now: Timestamp) -> Vec<Found> {
    let mut all = vec![gate(&facts.gate), controller(facts, now)];
    all.extend(pieces(&facts.pieces));
    all.extend(brokers(facts));
    if facts.installed.environments.is_empty() {
        all.push(found(
            Grade::Problem,
            "PactEnvironments: there is none, so nothing is judged or recorded; create one",
        ));
    }
    let mut environments = Environments::default();
    for environment in &facts.installed.environments {
        environments.set(&environment.name_any(), Some(EnvironmentPolicy::parse(environment)));
    }
    all.extend(facts.installed.environments.iter().flat_map(|it| environment(it, &environments, facts)));
    all.extend(workloads(facts, &environments));
    all.extend(records(&facts.installed));
    all.extend(facts.at_brokers.iter().map(|it| unknown_here(it, &facts.installed)));
    match &facts.notes {
        Ok(notes) => all.extend(notes.iter().map(|note| found(Grade::Note, note.clone()))),
        Err(why) => all.push(found(Grade::Problem, format!("what of the gate is not in force is not known: {why}"))),
    }
    all.sort_by_key(|found| found.grade);
    all
}

fn gate(gate: &Result<String, String>) -> Found {
    match gate {
        Ok(greeting) => found(
            Grade::Fine,
            format!("webhook: {greeting}, asked through the API server, which trusts its certificate"),
        ),
        Err(why) => found(Grade::Problem, format!("webhook: {why}")),
    }
}

fn controller(facts: &Facts, now: Timestamp) -> Found {
    let namespace = &facts.operator_namespace;
    let look = format!("kubectl -n {namespace} get pods, and look at the log of pact-operator-controller");
    let lease = match &facts.lease {
        Err(why) => return found(Grade::Problem, format!("controller: its Lease cannot be read: {why}")),
        Ok(None) => {
            let text = format!(
                "controller: there is no Lease {LEASE} in {namespace}: nothing is recorded; is the operator in another \
                 namespace (--operator-namespace)? {look}"
            );
            return found(Grade::Problem, text);
        }
        Ok(Some(lease)) => lease.spec.as_ref(),
    };
    let holder = lease.and_then(|spec| spec.holder_identity.clone()).filter(|holder| !holder.is_empty());
    let renewed =
        lease.and_then(|spec| spec.renew_time.as_ref()).map(|renewed| now.duration_since(renewed.0).as_secs());
    match (holder, renewed) {
        (Some(holder), Some(seconds)) if seconds <= RENEWED_WITHIN => {
            found(Grade::Fine, format!("controller: {holder} leads, and renewed its Lease {} s ago", seconds.max(0)))
        }
        (Some(holder), Some(seconds)) => found(
            Grade::Problem,
            format!("controller: {holder} has not renewed its Lease for {seconds} s: nothing is recorded; {look}"),
        ),
        _ => found(Grade::Problem, format!("controller: nobody leads, so nothing is recorded; {look}")),
    }
}

fn brokers(facts: &Facts) -> Vec<Found> {
    if facts.installed.brokers.is_empty() {
        return vec![found(Grade::Problem, "PactBrokers: there is none; create one with the broker's url")];
    }
    let conditions = |broker: &crate::api::PactBroker| broker.status.clone().unwrap_or_default().conditions;
    let brokers = facts.installed.brokers.iter();
    brokers.map(|broker| ready(&format!("PactBroker {}", broker.name_any()), &conditions(broker))).collect()
}

/// What the condition `Ready` of an object says.
fn ready(what: &str, conditions: &[Condition]) -> Found {
    match conditions.iter().find(|condition| condition.type_ == "Ready") {
        Some(ready) if ready.status == "True" => found(Grade::Fine, format!("{what}: {}", ready.message)),
        Some(ready) => found(Grade::Problem, format!("{what}: {} ({})", ready.message, ready.reason)),
        None => found(Grade::Problem, format!("{what}: the controller has not looked at it; does it run?")),
    }
}

fn environment(environment: &PactEnvironment, environments: &Environments, facts: &Facts) -> Vec<Found> {
    let name = environment.name_any();
    let what = format!("PactEnvironment {name}");
    let conditions = environment.status.clone().unwrap_or_default().conditions;
    let mut all = vec![ready(&what, &conditions)];
    let said = |type_: &str, status: &str| {
        conditions.iter().find(|condition| condition.type_ == type_ && condition.status == status)
    };
    // (condition, the status that is worth a word, how much it matters)
    for (type_, status, grade) in [
        ("NamespacesFound", "False", Grade::Note),
        ("OwnersRespected", "False", Grade::Problem),
        ("PacticipantsLimited", "True", Grade::Problem),
        ("UndeploysHeld", "True", Grade::Problem),
    ] {
        all.extend(said(type_, status).map(|it| found(grade, format!("{what}: {} ({})", it.message, it.reason))));
    }
    if environment.spec.gate.mode == GateMode::Enforce
        && let Some(listing) = said(MEMBERS_LISTED, "False")
    {
        let text = format!("{what}: Enforce behaves as Warn for now: {}", listing.message);
        all.push(found(Grade::Note, text));
    }
    let claims = |(namespace, labels): (&String, &BTreeMap<String, String>)| {
        matches!(environments.mapping(namespace, labels),
                 NamespaceMapping::Mapped(objects) | NamespaceMapping::Conflicted(objects) if objects.contains(&name))
    };
    if !facts.namespaces.iter().any(claims) {
        all.push(found(Grade::Note, format!("{what}: no namespace lies in it; look at spec.namespaces")));
    }
    all
}

fn workloads(facts: &Facts, environments: &Environments) -> Vec<Found> {
    let mut all = Vec::new();
    let nothing = BTreeMap::new();
    let is_mapped = |workload: &&Workload| {
        let namespace = &workload.reference.namespace;
        let labels = facts.namespaces.get(namespace).unwrap_or(&nothing);
        environments.mapping(namespace, labels) != NamespaceMapping::Unmapped
    };
    let (mapped, unmapped): (Vec<_>, Vec<_>) = facts.workloads.iter().partition(is_mapped);
    let unmapped: Vec<_> = unmapped.into_iter().filter(|workload| workload.annotated()).collect();
    if !unmapped.is_empty() {
        let names = listed(unmapped.iter().map(|workload| workload.reference.to_string()));
        let text = format!(
            "{names}: annotated, and no PactEnvironment claims the namespace, so nothing is recorded or judged; add it to \
             spec.namespaces of one"
        );
        all.push(found(Grade::Problem, text));
    }
    let stray = mapped.into_iter().flat_map(|workload| {
        workload.stray_keys.iter().map(move |key| format!("{}: {}", workload.reference, stray_keys::sentence(key)))
    });
    all.extend(stray.map(|text| found(Grade::Problem, text)));
    all
}

/// The records that are not settled, by why.
fn records(installed: &Installed) -> Vec<Found> {
    let mut by_reason: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut note = |what: String, record: &PactDeployment| {
        let name = format!("{} in {}", record.spec.pacticipant, record.spec.environment);
        by_reason.entry(what).or_default().push(name);
    };
    for (_, record) in &installed.records {
        let Some(status) = &record.status else {
            note("not looked at yet".to_owned(), record);
            continue;
        };
        if let Some(ready) = status.conditions.iter().find(|it| it.type_ == "Ready" && it.status != "True") {
            note(format!("not settled ({})", ready.reason), record);
        }
        if is_true(&status.conditions, "Bypassed") {
            note("run by a bypass, without a yes since".to_owned(), record);
        }
        if status.checks.iter().any(|check| check.would_deny) {
            note("run a version that Enforce would deny".to_owned(), record);
        }
    }
    if by_reason.is_empty() {
        let text = format!("records: {}, each of them settled", messages::counted(installed.records.len(), "record"));
        return vec![found(Grade::Fine, text)];
    }
    let noted = by_reason.into_iter().map(|(what, names)| {
        let count = names.len();
        let text = format!("records: {count} {what}: {}; pact-operator status --unsettled", listed(names.into_iter()));
        found(Grade::Note, text)
    });
    noted.collect()
}

/// The objects that the chart installs: one line for all that are right.
fn pieces(pieces: &[Piece]) -> Vec<Found> {
    let mut all = Vec::new();
    for piece in pieces {
        match &piece.trouble {
            Ok(None) => {}
            Ok(Some(trouble)) => all.push(found(Grade::Problem, format!("{}: {trouble}", piece.what))),
            Err(why) => all.push(found(Grade::Note, format!("{}: it was not looked at: {why}", piece.what))),
        }
    }
    if all.is_empty() {
        all.push(found(Grade::Fine, "definitions and rights: as this program expects them"));
    }
    all
}

/// What a broker has in an environment of which this cluster keeps no record.
fn unknown_here(found_there: &AtBroker, installed: &Installed) -> Found {
    let at = &found_there.at;
    let rows = match &found_there.rows {
        Ok(rows) => rows,
        Err(why) => return found(Grade::Note, format!("{at}: what the broker has there was not looked at: {why}")),
    };
    let unknown = rows.iter().filter(|(key, _)| !installed.records.iter().any(|(known, _)| known == key));
    let names: Vec<_> = unknown
        .map(|(key, version)| match &key.instance {
            Some(instance) => format!("{} {version} (instance {instance})", key.pacticipant),
            None => format!("{} {version}", key.pacticipant),
        })
        .collect();
    if names.is_empty() {
        let text = format!("{at}: the broker has {} there, each known here", messages::counted(rows.len(), "version"));
        return found(Grade::Fine, text);
    }
    let text = format!(
        "{at}: nothing here runs what the broker has there of {}; they count for the gate. Another cluster or pipeline records \
         them; or whatever did is gone: then take them back with pact broker record-undeployment or record-support-ended",
        listed(names.into_iter())
    );
    found(Grade::Note, text)
}

/// The first of some names, and how many more there are.
fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<_> = names.collect();
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

#[cfg(test)]
#[path = "findings_tests.rs"]
mod tests;
