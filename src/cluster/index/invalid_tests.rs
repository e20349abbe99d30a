//! Who names what others own: no member, and named with what is wrong.

use super::*;
use crate::{
    api::{environment::OwnerRule, names::Pacticipant},
    decide::{
        EnvironmentPolicy, GateRules,
        record::fixtures::{environment_ref, key, key_of_instance, labels, reference, rules, workload},
    },
    workload::{EnvironmentRules, OwnInstance, Owners, RecordKey},
};

fn owners(pacticipant: &str, namespaces: &[&str]) -> Owners {
    let namespaces = namespaces.iter().map(|&name| name.to_owned()).collect();
    Owners::new(&[OwnerRule { pacticipants: vec![pacticipant.into()], namespaces }])
}

fn set(index: &mut Index, rules: EnvironmentRules) {
    let object = rules.object.clone();
    let policy = EnvironmentPolicy { rules, gate: GateRules::default(), members_listed: true };
    index.set_environment(&object, Some(Ok(policy)));
}

/// The environment `production` of the namespaces `shop` and `bank`, in which only the shop owns orders.
fn index() -> Index {
    let mut index = Index::default();
    for namespace in ["shop", "bank"] {
        index.set_namespace(namespace, Some(labels(&[])));
    }
    set(
        &mut index,
        EnvironmentRules { owners: owners("orders*", &["shop"]), ..rules("production", &["shop", "bank"]) },
    );
    index
}

fn members(index: &Index, key: &RecordKey) -> Vec<String> {
    index.members(key).iter().map(|member| format!("{} {}", member.workload.namespace, member.owner)).collect()
}

fn not_owned(index: &Index, object: &str) -> Vec<String> {
    let found = index.not_owned(object).into_iter();
    found.map(|(workload, problem)| format!("{workload} {}", problem.pacticipant)).collect()
}

#[test]
fn cases_102_and_103_a_workload_is_a_member_only_of_what_its_namespace_may_speak_for() {
    let mut index = index();
    index.apply_workload(workload("shop", "a", "orders"));
    index.apply_workload(workload("bank", "b", "orders, ledger, orders-eu"));
    assert_eq!(members(&index, &key("production", "orders")), ["shop true"]);
    assert_eq!(members(&index, &key("production", "ledger")), ["bank false"], "its other names count");
    assert_eq!(not_owned(&index, "production"), ["Deployment bank/b orders", "Deployment bank/b orders-eu"]);
    assert_eq!(not_owned(&index, "another"), [""; 0]);
    let mut copy = workload("bank", "copy", "orders");
    copy.annotations.application_instance = Some("blue".into());
    index.apply_workload(copy);
    assert_eq!(members(&index, &key_of_instance("production", "orders", "blue")), [""; 0], "nor as a copy of its own");

    index.apply_workload(workload("bank", "b", "ledger"));
    index.remove_workload(&reference("bank", "copy"));
    assert_eq!(not_owned(&index, "production"), [""; 0]);
}

#[test]
fn case_103_what_became_of_a_member_that_is_not_owned_any_more_is_not_certain() {
    let index = index();
    let (shops, banks) = (workload("shop", "a", "orders"), workload("bank", "b", "orders, ledger"));
    let problem = |key: &RecordKey, workload| index.identity(key, workload).err();
    assert!(matches!(problem(&key("production", "orders"), &banks), Some(Problem::NotOwned(_))));
    assert_eq!(problem(&key("production", "ledger"), &banks), None);
    assert_eq!(problem(&key("production", "orders-eu"), &banks), None, "it does not name it any more");
    assert_eq!(problem(&key("production", "orders"), &shops), None);
    assert_eq!(problem(&key("test", "orders"), &banks), None, "owners of another environment");
}

#[test]
fn who_owns_what_follows_the_environment() {
    let mut index = index();
    index.apply_workload(workload("bank", "b", "orders"));
    let both =
        EnvironmentRules { owners: owners("orders", &["shop", "bank"]), ..rules("production", &["shop", "bank"]) };
    set(&mut index, both);
    assert_eq!(members(&index, &key("production", "orders")), ["bank true"]);
    set(&mut index, rules("production", &["shop", "bank"]));
    assert_eq!(members(&index, &key("production", "orders")), ["bank false"]);
    assert_eq!(index.invalid_workloads().count(), 0);
}

#[test]
fn a_second_environment_object_is_no_way_around_the_owners_of_the_first() {
    let mut index = index();
    for object in ["a-second", "z-second"] {
        let mut second =
            EnvironmentRules { environment_ref: environment_ref("production"), ..rules(object, &["bank"]) };
        second.claim.overlap_allowed = true;
        set(&mut index, second);
    }
    let mut first = EnvironmentRules { owners: owners("orders", &["shop"]), ..rules("production", &["shop", "bank"]) };
    first.claim.overlap_allowed = true;
    set(&mut index, first);
    index.apply_workload(workload("bank", "b", "orders, ledger"));
    assert_eq!(members(&index, &key("production", "orders")), [""; 0]);
    assert_eq!(members(&index, &key("production", "ledger")), ["bank false"]);
    assert_eq!(not_owned(&index, "production"), ["Deployment bank/b orders"]);
}

#[test]
fn cases_103_and_104_an_instance_that_is_refused_makes_no_member_and_is_a_problem() {
    let mut index = index();
    let mut strict = rules("production", &["shop"]);
    strict.version.own_instance = OwnInstance::OfRelease;
    set(&mut index, strict);
    let mut copy = workload("shop", "copy", "orders");
    copy.annotations.application_instance = Some("blue".into());
    index.apply_workload(copy);
    assert_eq!(index.keys().count(), 0);
    let found = &index.invalid_workload(&reference("shop", "copy")).unwrap().problems;
    let problem = Problem::Identity(crate::workload::IdentityProblem::ApplicationInstanceOfRelease);
    assert_eq!(found, &[("production".to_owned(), problem)]);
}

#[test]
fn every_problem_of_a_workload_is_found_in_each_environment() {
    let mut index = index();
    let mut first = EnvironmentRules { owners: owners("*", &["shop"]), ..rules("production", &["bank"]) };
    let mut second = rules("test", &["bank"]);
    (first.claim.overlap_allowed, second.claim.overlap_allowed) = (true, true);
    second.version.own_instance = OwnInstance::Refused;
    set(&mut index, first);
    set(&mut index, second);
    let mut copy = workload("bank", "copy", "orders");
    copy.annotations.application_instance = Some("blue".into());
    index.apply_workload(copy);
    let found = &index.invalid_workload(&reference("bank", "copy")).unwrap().problems;
    let name = |problem: &Problem| match problem {
        Problem::NotOwned(it) => {
            assert_eq!(it.pacticipant, Pacticipant::parse("orders").unwrap());
            "not owned"
        }
        Problem::Identity(problem) => problem.reason(),
        Problem::Version { .. } => "version",
    };
    let found: Vec<_> = found.iter().map(|(object, problem)| (object.as_str(), name(problem))).collect();
    assert_eq!(found, [("production", "not owned"), ("test", "ApplicationInstanceRefused")]);
}
