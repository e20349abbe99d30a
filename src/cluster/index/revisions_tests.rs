//! Which versions an Argo Rollout runs, as it, its revisions and its template come in any order.

use std::collections::HashSet;

use super::super::tests::{index, keys, members};
use crate::{
    cluster::index::Index,
    decide::record::fixtures::{key, progressing, reference, workload},
    workload::{PactAnnotations, Revision, Revisions, RolloutState, Workload, WorkloadKind},
};

/// A canary of `orders`: 2 arrives, 1 is stable.
fn rollout(template: Option<&str>) -> Workload {
    let mut rollout = workload("shop", "orders", "orders");
    rollout.reference.kind = WorkloadKind::Rollout;
    rollout.rollout = progressing();
    rollout.containers[0].image = "orders:2".into();
    let template = template.map(|name| reference("shop", name));
    rollout.revisions = Some(Box::new(Revisions {
        current: "bbb".into(),
        stable: "aaa".into(),
        by_reference: template.is_some(),
        template_seen: Some(1),
        template,
        ..Revisions::default()
    }));
    rollout
}

fn revision(image: &str) -> Revision {
    let mut containers = workload("shop", "a", "a").containers;
    containers[0].image = image.into();
    Revision { containers, has_pods: true, ..Revision::default() }
}

#[test]
fn both_versions_of_a_canary_are_those_of_its_member_whichever_is_seen_first() {
    let key = key("production", "orders");
    let also = |index: &Index| {
        let member = index.members(&key).remove(0);
        let also: Vec<_> = member.also_runs.iter().map(|version| version.as_str().to_owned()).collect();
        (member.version.unwrap().as_str().to_owned(), also)
    };
    let rollout = rollout(None);
    let mut index = index();
    index.apply_workload(rollout.clone());
    assert_eq!(also(&index), ("2".into(), vec![]));
    let touched = index.set_revision(&rollout.reference, "aaa", Some(revision("orders:1")));
    assert_eq!(touched, keys(std::slice::from_ref(&key)));
    assert_eq!(also(&index), ("2".into(), vec!["1".into()]));
    assert_eq!(index.set_revision(&rollout.reference, "aaa", Some(revision("orders:1"))), keys(&[]), "no news");
    index.remove_workload(&rollout.reference);
    index.apply_workload(rollout.clone());
    assert_eq!(also(&index), ("2".into(), vec!["1".into()]));
    assert_eq!(index.retain_revisions(&HashSet::new()), keys(std::slice::from_ref(&key)));
    assert_eq!(also(&index), ("2".into(), vec![]));
}

#[test]
fn case_31_a_rollout_takes_annotations_and_news_from_the_deployment_that_it_refers_to() {
    let key = key("production", "orders");
    let mut rollout = rollout(Some("template"));
    rollout.annotations = PactAnnotations::default();
    rollout.rollout = RolloutState::Complete;
    let mut index = index();
    index.set_revision(&rollout.reference, "bbb", Some(revision("orders:2")));
    assert_eq!(index.apply_workload(rollout.clone()), keys(&[]), "nobody names it");
    let mut template = workload("shop", "template", "orders");
    template.containers[0].image = "orders:3".into();
    (template.rollout, template.without_pods) = (RolloutState::ScaledToZero, true);
    template.generation = 1;
    assert_eq!(index.apply_workload(template.clone()), keys(std::slice::from_ref(&key)));
    assert_eq!(members(&index, &key), [("orders".into(), Some("2".into()))], "the Rollout, with what it runs");
    assert_eq!(index.members(&key)[0].rollout, RolloutState::Complete);
    template.generation = 2;
    assert_eq!(index.apply_workload(template.clone()), keys(std::slice::from_ref(&key)));
    assert_eq!(members(&index, &key), [("orders".into(), Some("3".into()))], "it arrives");
    assert_eq!(index.members(&key)[0].rollout.name(), "Progressing");
    assert_eq!(index.counts("production").0.workloads, 1);

    // Its own annotations count for the record; that the gate goes by the Deployment's is reported.
    let mut annotated = rollout.clone();
    annotated.annotations.pacticipant = Some("orders".into());
    index.apply_workload(annotated.clone());
    assert_eq!(index.invalid_workload(&rollout.reference), None, "both say the same");
    template.annotations = PactAnnotations::default();
    index.apply_workload(template.clone());
    let problems = index.invalid_workload(&rollout.reference).unwrap().problems.clone();
    assert!(problems[0].1.to_string().contains("does not have the same annotations"), "{problems:?}");
    assert_eq!(index.members(&key).len(), 1, "what runs is recorded all the same");
    template.annotations = annotated.annotations;
    index.apply_workload(template.clone());
    index.apply_workload(rollout.clone());

    let gone = index.retain_workloads(WorkloadKind::Rollout, &HashSet::new());
    assert_eq!(gone, keys(std::slice::from_ref(&key)));
    assert_eq!(members(&index, &key), [("template".into(), Some("3".into()))], "a Deployment of its own again");
}
