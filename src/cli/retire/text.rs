//! What people read: what would be done, what was done, and what is left to do.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;

use super::gathered::{Item, NotDone};
use crate::{
    api::{annotations::PACTICIPANT, deployment::Member},
    cli::{
        columns::{COLUMNS, Shade, columns_within, line, named_line, painted},
        installed::Installed,
    },
    decide::{
        messages,
        record::{Retirement, Row, RowKind, Sighting, WhyKept},
    },
};

/// How long a broker's uuid is: it is shown whole, to be copied.
const UUID: usize = 36;
/// How many objects a line names.
const NAMED: usize = 12;

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// Its row was taken back.
    Done,
    /// There was none.
    Nothing,
    /// Its row is there, or that is not known.
    Left,
}

/// That no record is meant.
pub(super) fn nothing(installed: &Installed) -> String {
    format!(
        "nothing that the operator recorded is meant; pact-operator status lists all of it.{}\n",
        known("Environments", environments(installed))
    )
}

/// That the environment, or the application, occurs in no record: it is more likely a slip than done already.
pub(super) fn unknown(installed: &Installed, environment: Option<&str>, pacticipant: Option<&str>) -> Option<String> {
    let environments = environments(installed);
    let pacticipants: BTreeSet<_> = installed.records.iter().map(|(key, _)| key.pacticipant.to_string()).collect();
    let (what, name, known) = match (environment, pacticipant) {
        (Some(name), _) if !environments.contains(name) => {
            ("the environment", name, known("Environments, by their names at the broker", environments))
        }
        (_, Some(name)) if !pacticipants.contains(name) => {
            ("the application", name, known("Applications", pacticipants))
        }
        _ => return None,
    };
    let name = messages::one_line(name);
    Some(format!("{what} {name} occurs in no record: correct the name (case counts).{known}\n"))
}

/// The environments in which something is, or may be, recorded, by their names at the brokers.
fn environments(installed: &Installed) -> BTreeSet<String> {
    let named = installed.environments.iter().map(|it| it.spec.environment.clone().unwrap_or_else(|| it.name_any()));
    let recorded = installed.records.iter().map(|(key, _)| key.environment_ref.environment.to_string());
    named.chain(recorded).collect()
}

fn known(what: &str, names: BTreeSet<String>) -> String {
    if names.is_empty() {
        return String::new();
    }
    messages::one_line(&format!(" {what}: {}.", listed(names.into_iter())))
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
pub(super) fn result(item: &Item, ended: &Result<(), NotDone>, colour: bool) -> String {
    let Some(row) = item.retirement.as_ref().ok().and_then(row) else { return String::new() };
    let what = format!("{} {} in {}", name(item), row.version, item.key.environment_ref);
    let released = matches!(item.retirement, Ok(Retirement::TakeBack(RowKind::Release, _)));
    let (word, shade, why) = match (ended, released) {
        (Ok(()), true) => ("support ended", Shade::Good, String::new()),
        (Ok(()), false) => ("undeployed", Shade::Good, String::new()),
        (Err(NotDone::Failed(why)), _) => ("FAILED", Shade::Bad, format!(": {why}")),
        (Err(NotDone::Unknown(why)), true) => {
            ("unknown", Shade::Unsure, format!(": its support may have ended: {why}"))
        }
        (Err(NotDone::Unknown(why)), false) => ("unknown", Shade::Unsure, format!(": it may be undeployed: {why}")),
    };
    format!("{} {what}{}\n", painted(&format!("{word:<13}"), shade, colour), messages::one_line(&why))
}

/// What the controller does with it from now on, and what is left to a person: by object, for one may have several rows.
pub(super) fn afterwards(items: &[(&Item, Settled)]) -> String {
    let mut objects: BTreeMap<&str, Vec<(&Item, Settled)>> = BTreeMap::new();
    for (item, settled) in items {
        objects.entry(&item.object).or_default().push((item, *settled));
    }
    let (mut again, mut pending, mut gone) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for (object, items) in objects {
        let any_done = items.iter().any(|(_, settled)| *settled == Settled::Done);
        let members = || items.iter().flat_map(|(item, _)| &item.members);
        let there: Vec<_> = members().filter(|(_, sighting)| sighting.is_there()).collect();
        let is_gone = |it: &Sighting| matches!(it, Sighting::Gone | Sighting::Elsewhere(_));
        let all_known = items.iter().all(|(item, _)| item.unlisted.is_none() && item.status.more_members.is_none());
        if !there.is_empty() {
            again.extend(there.into_iter().filter(|_| any_done).map(|(member, _)| reference(member)));
        } else if !all_known || members().any(|(_, sighting)| !is_gone(sighting)) {
            pending.extend(items.iter().filter(|_| any_done).map(|(item, _)| in_place(item)));
        } else if items.iter().all(|(_, settled)| *settled != Settled::Left) {
            gone.push(object);
        }
    }
    let mut text = String::new();
    if !again.is_empty() {
        let what = format!(
            "{}: still there. A controller that runs records it again at its next look at the environment, and marks the record \
             Contested if it is taken back a second time. Delete the workload, or its annotation {PACTICIPANT}, or stop the \
             controller; then run retire again",
            listed(again.into_iter())
        );
        text.push_str(&named_line("again", &what));
    }
    if !pending.is_empty() {
        let what = format!(
            "{}: whether all of its workloads and pods are gone is not known. Once they are, run retire again: it says what is \
             left to delete",
            listed(pending.into_iter())
        );
        text.push_str(&named_line("not yet", &what));
    }
    if !gone.is_empty() {
        let what = "nothing records it again, as the workloads are gone. Delete what the operator remembers of it: else an \
                    environment that is suddenly empty looks to the controller like a broker that was reset (BrokerAnomaly)";
        text.push_str(&named_line("left", what));
        // On one line, to be copied.
        text.push_str(&named_line("", "kubectl delete pactdeployment"));
        text.truncate(text.trim_end().len());
        text.push(' ');
        text.push_str(&gone.join(" "));
        text.push('\n');
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

fn in_place(item: &Item) -> String {
    format!("{} in {}", name(item), item.key.environment_ref.environment)
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
    let more = item.status.more_members.is_some() || item.unlisted.is_some();
    if any(|it| *it == Sighting::Runs) {
        "yes"
    } else if any(|it| *it == Sighting::PodsLeft) {
        "pods left"
    } else if any(|it| matches!(it, Sighting::Moved(_))) {
        "moves"
    } else if more || any(|it| matches!(it, Sighting::Unread(_))) {
        "?"
    } else {
        "no"
    }
}

/// Why something is not taken back, or what to know of it before it is.
fn remark(item: &Item) -> Option<(&'static str, String)> {
    let what = in_place(item);
    let running = listed(item.members.iter().filter(|(_, it)| it.serves()).map(|(member, it)| match it {
        Sighting::Moved(now) => format!("{} runs {now} now, which is not recorded yet", reference(member)),
        _ => reference(member),
    }));
    Some(match &item.retirement {
        Err(why) => ("unknown", why.clone()),
        Ok(Retirement::Refused(..)) => {
            let only_moves = item.members.iter().all(|(_, it)| !it.serves() || matches!(it, Sighting::Moved(_)));
            let remedy = if only_moves { "run it again once it is" } else { "delete it first" };
            let still = if only_moves { ": " } else { " still runs (" };
            let end = if only_moves { "; " } else { "): " };
            ("refused", format!("{what}{still}{running}{end}{remedy}, or say --even-if-running"))
        }
        Ok(Retirement::Unsure(..)) if item.rules.environment.is_none() => {
            let why = "no PactEnvironment that can be followed says whether its records are taken back (record.undeploy): mend \
                       or create it";
            ("unknown", format!("{what}: {why}"))
        }
        Ok(Retirement::Unsure(..)) => {
            let unread = item.members.iter().find_map(|(_, it)| match it {
                Sighting::Unread(why) => Some(why),
                _ => None,
            });
            let why = unread
                .or(item.unlisted.as_ref())
                .map_or("more workloads run or ran it than its PactDeployment lists", |it| it);
            ("unknown", format!("{what}: whether it still runs is not known: {why}; or say --even-if-running"))
        }
        Ok(Retirement::Unreadable) => {
            ("unknown", format!("{what}: rows of the broker cannot be read, and its own may be among them; look there"))
        }
        Ok(Retirement::Kept(WhyKept::Before, row)) => (
            "kept",
            format!(
                "{what}: somebody else recorded {}, too; record.adopt of the PactEnvironment says otherwise",
                row.version
            ),
        ),
        Ok(Retirement::Kept(WhyKept::Others, row)) => {
            ("kept", format!("{what}: {} was recorded by somebody else", row.version))
        }
        Ok(Retirement::Kept(WhyKept::Never, _)) => (
            "kept",
            format!(
                "{what}: the PactEnvironment says record.undeploy: Never, as of a cluster that is drained while another one \
                 serves; say AfterGrace there to have it taken back"
            ),
        ),
        Ok(Retirement::TakeBack(..)) if !running.is_empty() => ("careful", format!("{what} still runs ({running})")),
        Ok(Retirement::TakeBack(..)) => {
            let now = item.members.iter().find_map(|(member, it)| match it {
                Sighting::Elsewhere(now) => Some(format!("{} runs {now} now", reference(member))),
                _ => None,
            });
            ("careful", format!("{what}: {}", now?))
        }
        Ok(Retirement::Nothing) => return None,
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
