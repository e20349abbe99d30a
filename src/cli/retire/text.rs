//! What people read: what would be done, what was done, and what is left to do.

use std::collections::BTreeSet;

use kube::ResourceExt;

use super::gathered::Item;
use crate::{
    api::{annotations::PACTICIPANT, deployment::Member},
    cli::{
        columns::{COLUMNS, Shade, columns_within, line, named_line, painted},
        installed::Installed,
    },
    decide::{
        messages,
        record::{Retirement, Row, RowKind, RowOf, Sighting},
    },
};

/// How long a broker's uuid is: it is shown whole, to be copied.
const UUID: usize = 36;
/// How many objects a line names.
const NAMED: usize = 12;

/// That no record is meant.
pub(super) fn nothing(installed: &Installed) -> String {
    let mut environments: Vec<_> = installed.environments.iter().map(ResourceExt::name_any).collect();
    environments.extend(installed.records.iter().map(|(key, _)| key.environment_ref.environment.to_string()));
    environments.sort();
    environments.dedup();
    let known =
        if environments.is_empty() { String::new() } else { format!(" Environments: {}.", environments.join(", ")) };
    format!("nothing that the operator recorded is meant; pact-operator status lists all of it.{known}\n")
}

/// What would be done, a row in each line, and then why not.
pub(super) fn plan(items: &[Item], colour: bool) -> String {
    let head = ["ENVIRONMENT", "PACTICIPANT", "VERSION", "RUNS", "DOES"].map(str::to_owned);
    let cells = items.iter().map(|item| {
        let (version, does) = match &item.retirement {
            Ok(it) => (row(it).map_or("-".to_owned(), |row| row.version.to_string()), does(it)),
            Err(_) => ("?".to_owned(), "unknown"),
        };
        [item.key.environment_ref.environment.to_string(), name(item), version, runs(item).to_owned(), does.to_owned()]
    });
    let rows: Vec<_> = std::iter::once(head).chain(cells).collect();
    let mut text = String::new();
    for (number, mut cells) in columns_within(&rows, COLUMNS - UUID - 2).into_iter().enumerate() {
        let item = number.checked_sub(1).map(|number| &items[number]);
        let uuid = match item {
            None => "UUID",
            Some(item) => item.retirement.as_ref().ok().and_then(row).map_or("-", |row| row.uuid.as_str()),
        };
        if let Some(item) = item {
            cells[4] = painted(&cells[4], shade(item), colour);
        }
        let [environment, pacticipant, version, runs, does] = cells;
        text.push_str(&line(&[environment, pacticipant, version, runs, does, uuid.to_owned()]));
    }
    // One trouble of a broker is that of all its records.
    let mut remarks: Vec<(&str, String)> = Vec::new();
    for remark in items.iter().filter_map(remark) {
        if !remarks.contains(&remark) {
            remarks.push(remark);
        }
    }
    if !remarks.is_empty() {
        text.push('\n');
    }
    for (name, what) in remarks.iter().take(NAMED) {
        text.push_str(&named_line(name, &messages::one_line(what)));
    }
    if let Some(more) = remarks.len().checked_sub(NAMED).filter(|more| *more > 0) {
        text.push_str(&named_line("", &format!("and {more} more like these")));
    }
    text
}

/// How one of them ended.
pub(super) fn result(item: &Item, failure: Option<&str>, colour: bool) -> String {
    let Some(row) = item.retirement.as_ref().ok().and_then(row) else { return String::new() };
    let what = format!("{} {} in {}", name(item), row.version, item.key.environment_ref);
    match failure {
        None => {
            let done = match item.retirement {
                Ok(Retirement::TakeBack(RowKind::Release, _)) => "support ended",
                _ => "undeployed",
            };
            format!("{} {what}\n", painted(&format!("{done:<13}"), Shade::Good, colour))
        }
        Some(why) => {
            let word = painted(&format!("{:<13}", "FAILED"), Shade::Bad, colour);
            format!("{word} {what}: {}\n", messages::one_line(why))
        }
    }
}

/// What the controller does with it from now on, and what is left to a person.
pub(super) fn afterwards(done: &[&Item]) -> String {
    let is_there = |item: &&Item| item.members.iter().any(|(_, sighting)| sighting.is_there());
    let (there, gone): (Vec<&Item>, Vec<&Item>) = done.iter().copied().partition(is_there);
    let mut text = String::new();
    if !there.is_empty() {
        let present = there.iter().flat_map(|item| &item.members).filter(|(_, sighting)| sighting.is_there());
        let workloads: BTreeSet<_> = present.map(|(member, _)| reference(member)).collect();
        let what = format!(
            "{}: still there. A controller that runs records it again at its next look at the environment, and marks the record \
             Contested if it is taken back a second time. Delete the workload, or its annotation {PACTICIPANT}, or stop the \
             controller; then run retire again",
            listed(workloads.into_iter())
        );
        text.push_str(&named_line("again", &what));
    }
    if !gone.is_empty() {
        let what = "nothing records it again, as the workloads are gone. Delete what the operator remembers of it: else an \
                    environment that is suddenly empty looks to the controller like a broker that was reset (BrokerAnomaly)";
        text.push_str(&named_line("left", what));
        // On one line, to be copied.
        let objects: Vec<_> = gone.iter().map(|item| item.object.as_str()).collect();
        text.push_str(&named_line("", "kubectl delete pactdeployment"));
        text.truncate(text.trim_end().len());
        text.push(' ');
        text.push_str(&objects.join(" "));
        text.push('\n');
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

fn name(item: &Item) -> String {
    let instance = item.key.instance.as_ref().map(|instance| format!(" ({instance})")).unwrap_or_default();
    format!("{}{instance}", item.key.pacticipant)
}

const fn row(retirement: &Retirement) -> Option<&Row> {
    match retirement {
        Retirement::TakeBack(_, row)
        | Retirement::Refused(_, row)
        | Retirement::Unsure(_, row)
        | Retirement::Kept(_, row) => Some(row),
        Retirement::Nothing | Retirement::Unreadable => None,
    }
}

const fn does(retirement: &Retirement) -> &'static str {
    match retirement {
        Retirement::TakeBack(RowKind::Deployment, _) => "undeploy",
        Retirement::TakeBack(RowKind::Release, _) => "end support",
        Retirement::Refused(..) => "REFUSED",
        Retirement::Unsure(..) | Retirement::Unreadable => "unknown",
        Retirement::Kept(..) => "keep",
        Retirement::Nothing => "nothing",
    }
}

fn shade(item: &Item) -> Shade {
    match &item.retirement {
        Ok(Retirement::TakeBack(..) | Retirement::Nothing) => Shade::Good,
        Ok(Retirement::Refused(..)) => Shade::Bad,
        Ok(Retirement::Unsure(..) | Retirement::Kept(..) | Retirement::Unreadable) | Err(_) => Shade::Unsure,
    }
}

/// Whether it still runs, in a word; the worst first.
fn runs(item: &Item) -> &'static str {
    let any = |wanted: fn(&Sighting) -> bool| item.members.iter().any(|(_, sighting)| wanted(sighting));
    if any(|it| *it == Sighting::Runs) {
        "yes"
    } else if any(|it| *it == Sighting::PodsLeft) {
        "pods left"
    } else if any(|it| matches!(it, Sighting::Unread(_))) || item.status.more_members.is_some() {
        "?"
    } else {
        "no"
    }
}

/// Why something is not taken back, or what to know of it before it is.
fn remark(item: &Item) -> Option<(&'static str, String)> {
    let what = format!("{} in {}", name(item), item.key.environment_ref.environment);
    let members = |wanted: fn(&Sighting) -> bool| {
        listed(item.members.iter().filter(|(_, it)| wanted(it)).map(|(member, _)| reference(member)))
    };
    let running = members(|it| matches!(it, Sighting::Runs | Sighting::PodsLeft));
    Some(match &item.retirement {
        Err(why) => ("unknown", why.clone()),
        Ok(Retirement::Refused(..)) => {
            let remedy = "delete it first, or say --even-if-running";
            ("refused", format!("{what} still runs ({running}): {remedy}"))
        }
        Ok(Retirement::Unsure(..)) => {
            let why = item.members.iter().find_map(|(_, it)| match it {
                Sighting::Unread(why) => Some(why.clone()),
                _ => None,
            });
            let why = why.unwrap_or_else(|| "more workloads run or ran it than its PactDeployment lists".to_owned());
            ("unknown", format!("{what}: whether it still runs is not known: {why}; or say --even-if-running"))
        }
        Ok(Retirement::Unreadable) => {
            ("unknown", format!("{what}: rows of the broker cannot be read, and its own may be among them; look there"))
        }
        Ok(Retirement::Kept(RowOf::Before, row)) => (
            "kept",
            format!(
                "{what}: somebody else recorded {}, too; record.adopt of the PactEnvironment says otherwise",
                row.version
            ),
        ),
        Ok(Retirement::Kept(_, row)) => ("kept", format!("{what}: {} was recorded by somebody else", row.version)),
        Ok(Retirement::TakeBack(..)) if !running.is_empty() => ("careful", format!("{what} still runs ({running})")),
        Ok(Retirement::TakeBack(..) | Retirement::Nothing) => return None,
    })
}

fn reference(member: &Member) -> String {
    format!("{} {}/{}", member.kind.to_lowercase(), member.namespace, member.name)
}

/// The first of some names, and how many more there are.
fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<_> = names.collect();
    let more = names.len().saturating_sub(NAMED);
    let shown = names.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown}, and {more} more") } else { shown }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
