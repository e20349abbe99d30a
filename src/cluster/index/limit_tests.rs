//! A namespace speaks for so many keys and no more, and others are not concerned.

use super::*;
use crate::decide::{
    EnvironmentPolicy, GateRules,
    record::fixtures::{environment_ref, key, labels, reference, rules, workload},
};

/// Two namespaces in production, each of which may speak for two pacticipants.
fn index() -> Index {
    let mut index = Index::default();
    index.limit_keys(2);
    for namespace in ["shop", "crowd"] {
        index.set_namespace(namespace, Some(labels(&[])));
    }
    let rules = rules("production", &["shop", "crowd"]);
    let policy = EnvironmentPolicy { rules, gate: GateRules::default(), members_listed: true };
    index.set_environment("production", Some(Ok(policy)));
    index
}

fn names(keys: impl IntoIterator<Item = RecordKey>) -> Vec<String> {
    keys.into_iter().map(|key| key.pacticipant.to_string()).collect()
}

fn spoken_for(index: &Index) -> Vec<String> {
    let keys: BTreeSet<_> = index.keys().cloned().collect();
    names(keys)
}

fn beyond(index: &Index) -> Vec<String> {
    let beyond = index.beyond_limit(&environment_ref("production"));
    beyond.into_iter().flat_map(|it| it.pacticipants).collect()
}

#[test]
fn case_120_what_a_namespace_names_beyond_the_limit_has_no_record_and_others_are_not_concerned() {
    let mut index = index();
    for name in ["a", "b", "c", "d"] {
        index.apply_workload(workload("crowd", name, name));
    }
    index.apply_workload(workload("shop", "web", "web"));
    index.apply_workload(workload("shop", "c", "c"));
    assert_eq!(spoken_for(&index), ["a", "b", "c", "web"], "c is the shop's, too");
    assert_eq!(index.members(&key("production", "c")).len(), 1, "and of the shop only");
    assert_eq!(beyond(&index), ["c", "d"]);
    let all = index.beyond_limit(&environment_ref("production"));
    assert_eq!((all.len(), all[0].namespace.as_str(), all[0].most), (1, "crowd", 2));
    assert_eq!(index.beyond_limit(&environment_ref("test")), []);
    index.apply_workload(workload("crowd", "a-2", "a"));
    assert_eq!(index.members(&key("production", "a")).len(), 2, "one more workload of a key is none more key");
}

#[test]
fn case_120_a_place_that_is_free_again_goes_to_the_first_by_name() {
    let mut index = index();
    for name in ["d", "b", "c", "a"] {
        index.apply_workload(workload("crowd", name, name));
    }
    assert_eq!((spoken_for(&index), beyond(&index)), (vec!["b".into(), "d".into()], vec!["a".into(), "c".into()]));
    let touched = index.remove_workload(&reference("crowd", "d"));
    assert_eq!(names(touched), ["a", "d"], "whose record is looked at again");
    assert_eq!((spoken_for(&index), beyond(&index)), (vec!["a".into(), "b".into()], vec!["c".into()]));
    index.remove_workload(&reference("crowd", "c"));
    assert_eq!(beyond(&index), [""; 0]);
    index.apply_workload(workload("crowd", "b", "renamed"));
    assert_eq!(spoken_for(&index), ["a", "renamed"]);
    for name in ["a", "b"] {
        index.remove_workload(&reference("crowd", name));
    }
    assert!(index.limit.counts.is_empty() && index.limit.beyond.is_empty(), "{:?}", index.limit);
}

#[test]
fn case_120_a_workload_of_several_pacticipants_is_recorded_for_as_many_as_there_is_room() {
    let mut index = index();
    index.apply_workload(workload("crowd", "first", "x"));
    index.apply_workload(workload("crowd", "all", "a,b,c"));
    assert_eq!((spoken_for(&index), beyond(&index)), (vec!["a".into(), "x".into()], vec!["b".into(), "c".into()]));
    index.remove_workload(&reference("crowd", "first"));
    assert_eq!((spoken_for(&index), beyond(&index)), (vec!["a".into(), "b".into()], vec!["c".into()]));
    index.set_namespace("crowd", None);
    assert_eq!((spoken_for(&index), beyond(&index)), (vec![], vec![]));
    assert!(index.limit.counts.is_empty());
}
