use super::*;
use crate::{
    api::environment::OwnerRule,
    cluster::index::{Template, TemplateSource},
    decide::{
        EnvironmentPolicy, GateRules, Reason,
        pact_record::{Found, outcome},
        record::fixtures::{at, environment_ref, key, labels, reference, rules, workload},
    },
    workload::{BrokenRules, EnvironmentRules, Owners},
};

fn index() -> Index {
    let mut index = Index::default();
    index.set_namespace("shop", Some(labels(&[])));
    put(&mut index, "production", Ok(rules("production", &["shop"])));
    index
}

fn put(index: &mut Index, object: &str, rules: Result<EnvironmentRules, Box<BrokenRules>>) {
    let policy = |rules| EnvironmentPolicy { rules, gate: GateRules::default(), members_listed: true };
    index.set_environment(object, Some(rules.map(policy)));
}

/// What is told of a workload as it is, with one status of every key.
fn told(index: &Index, workload: &Workload, status: Option<&PactDeploymentStatus>) -> (Reason, Vec<String>) {
    let seen = index.seen(workload, at(1), |_, with| with(status));
    let outcome = outcome(&Found::Seen(seen), None);
    let records = outcome.records.into_iter().map(|it| format!("{}/{} {}", it.environment, it.pacticipant, it.reason));
    (outcome.why.reason, records.collect())
}

#[test]
fn each_environment_and_each_pacticipant_is_a_record() {
    let mut index = index();
    let mut overlap = |object: &str| {
        let mut rules = rules(object, &["shop"]);
        rules.claim.overlap_allowed = true;
        put(&mut index, object, Ok(rules));
    };
    overlap("staging");
    overlap("production");
    let both = workload("shop", "a", "web, orders");
    index.apply_workload(both.clone());
    let (reason, records) = told(&index, &both, None);
    let expected = ["production/orders", "production/web", "staging/orders", "staging/web"];
    assert_eq!(records, expected.map(|record| format!("{record} NotRecorded")));
    assert_eq!(reason, Reason::NotRecorded);
    assert_eq!(index.workloads_of(&key("staging", "web")).collect::<Vec<_>>(), [&reference("shop", "a")]);
}

#[test]
fn what_is_read_counts_and_not_what_was_taken_in() {
    let mut index = index();
    let known = workload("shop", "a", "orders");
    index.apply_workload(known.clone());
    let mut read = known;
    (read.generation, read.containers[0].image) = (2, "app:2".into());
    let seen = index.seen(&read, at(1), |_, with| with(None));
    assert_eq!((seen.generation, seen.keys[0].version.as_ref().unwrap().as_str()), (2, "2"));
}

#[test]
fn what_stands_in_the_way_is_told() {
    let mut index = index();
    let annotated = workload("shop", "a", "orders");
    index.apply_workload(annotated.clone());

    let mut bare = annotated.clone();
    bare.annotations.pacticipant = None;
    assert_eq!(told(&index, &bare, None), (Reason::NotAnnotated, vec![]));
    assert_eq!(told(&index, &workload("free", "a", "orders"), None), (Reason::NamespaceUnmapped, vec![]));
    assert_eq!(told(&index, &workload("shop", "a", "orders,,"), None), (Reason::PacticipantEmpty, vec![]));

    let rollout = TemplateSource::Rollout("shop".into(), "r".into());
    index.set_template(&rollout, Some(Template { workload: annotated.reference.clone(), promoted: false }));
    assert_eq!(told(&index, &annotated, None), (Reason::TemplateOnly, vec![]));
    index.set_template(&rollout, None);

    put(&mut index, "other", Ok(rules("other", &["shop"])));
    assert_eq!(told(&index, &annotated, None).0, Reason::Conflicted);
    index.set_environment("other", None);

    let rule = OwnerRule { pacticipants: vec!["orders".into()], namespaces: vec!["bank".into()] };
    put(
        &mut index,
        "production",
        Ok(EnvironmentRules { owners: Owners::new(&[rule]), ..rules("production", &["shop"]) }),
    );
    assert_eq!(told(&index, &annotated, None), (Reason::NotOwned, vec![]));
}

#[test]
fn an_environment_that_cannot_be_followed_leaves_everything_open() {
    let mut index = Index::default();
    index.set_namespace("shop", Some(labels(&[])));
    let broken = BrokenRules {
        object: "production".into(),
        claim: Some(rules("production", &["shop"]).claim),
        environment_ref: Some(environment_ref("production")),
        gate: None,
        problem: "no".into(),
    };
    put(&mut index, "production", Err(Box::new(broken)));
    assert_eq!(told(&index, &workload("shop", "a", "orders"), None), (Reason::InvalidEnvironment, vec![]));
}

#[test]
fn a_name_beyond_the_limit_and_a_stranger_are_told() {
    let mut index = Index::default();
    index.limit_keys(1);
    index.set_namespace("shop", Some(labels(&[])));
    put(&mut index, "production", Ok(rules("production", &["shop"])));
    let two = workload("shop", "a", "orders, web");
    index.apply_workload(two.clone());
    let (reason, records) = told(&index, &two, None);
    assert_eq!(reason, Reason::NamespaceLimit);
    assert_eq!(records, ["production/orders NotRecorded", "production/web NamespaceLimit"]);

    let recorded = crate::api::deployment::Recorded {
        version: "9".into(),
        uuid: None,
        at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(1)),
        found: false,
        would_deny: None,
    };
    let of_others = PactDeploymentStatus {
        recorded: Some(recorded),
        recorded_for: vec!["bank".into()],
        ..PactDeploymentStatus::default()
    };
    let one = workload("shop", "b", "orders");
    assert_eq!(told(&index, &one, Some(&of_others)).0, Reason::Stranger);
}
