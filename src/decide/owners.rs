//! What is said about workloads that name pacticipants of other namespaces (cases 102 and 103).

use super::{Reason, messages::brief};
use crate::{
    api::{annotations::PACTICIPANT, condition::Finding},
    workload::{NotOwned, WorkloadRef},
};

/// How many workloads a message names.
const SHOWN: usize = 3;

/// What to do about a pacticipant that others own, as a sentence; `object` is the `PactEnvironment` that says so.
#[must_use]
pub fn remedy(object: &str, problem: &NotOwned) -> String {
    format!(
        "Remove the name from the annotation {PACTICIPANT}, or have the platform team add the namespace {} to spec.owners \
         of the PactEnvironment {object}.",
        problem.namespace
    )
}

/// The note of an Event on a workload that names a pacticipant of others.
#[must_use]
pub fn note(object: &str, problem: &NotOwned) -> String {
    let pacticipant = brief(problem.pacticipant.as_str());
    format!("nothing is recorded for {pacticipant} from here: {problem}. {}", remedy(object, problem))
}

/// The condition `OwnersRespected`, given what workloads of the environment name that others own. It does not change
/// `Ready`: what the owners run is recorded.
pub fn respected<'a>(not_owned: impl IntoIterator<Item = (&'a WorkloadRef, &'a NotOwned)>) -> Finding {
    let all: Vec<_> = not_owned.into_iter().collect();
    if all.is_empty() {
        let message = "each workload names only pacticipants that its namespace may speak for";
        return Finding::new("OwnersRespected", true, Reason::OwnersRespected, message);
    }
    let shown = all
        .iter()
        .take(SHOWN)
        .map(|(workload, problem)| format!("{workload} names {}: {problem}", brief(problem.pacticipant.as_str())));
    let shown = shown.collect::<Vec<_>>().join("; ");
    let more = match all.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Finding::new("OwnersRespected", false, Reason::NotOwned, format!("{shown}{more}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{condition::Truth, names::Pacticipant},
        decide::record::fixtures::reference,
    };

    fn problem(pacticipant: &str, namespace: &str) -> NotOwned {
        NotOwned {
            pacticipant: Pacticipant::parse(pacticipant).unwrap(),
            namespace: namespace.into(),
            owners: vec!["shop".into()],
        }
    }

    #[test]
    fn cases_102_and_103_who_names_what_others_own_is_named_up_to_a_few() {
        let fine = respected([]);
        assert_eq!((fine.type_, fine.truth, fine.reason), ("OwnersRespected", Truth::True, "OwnersRespected"));
        let workloads: Vec<_> = ["a", "b", "c", "d", "e"].map(|name| reference("bank", name)).into();
        let orders = problem("orders", "bank");
        let found = respected([(&workloads[0], &orders)]);
        assert_eq!((found.truth, found.reason), (Truth::False, "NotOwned"));
        assert_eq!(found.message, "Deployment bank/a names orders: namespace bank does not own it, only shop does");
        let found = respected(workloads.iter().map(|workload| (workload, &orders)));
        assert!(found.message.contains("bank/c") && !found.message.contains("bank/d"), "{}", found.message);
        assert!(found.message.ends_with("; and 2 more"), "{}", found.message);
    }

    #[test]
    fn the_note_on_a_workload_says_who_owns_it_and_what_to_do() {
        assert_eq!(
            note("production", &problem("orders", "bank")),
            "nothing is recorded for orders from here: namespace bank does not own it, only shop does. Remove the name \
             from the annotation pact-operator.dev/pacticipant, or have the platform team add the namespace bank to \
             spec.owners of the PactEnvironment production."
        );
    }
}
