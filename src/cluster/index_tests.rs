//! Which workloads are members of which keys, as workloads, namespaces, rules and templates come, change and go.

use super::*;
use crate::{
    api::names::{ApplicationInstance, Pacticipant},
    decide::{
        GateRules, Reason,
        record::fixtures::{
            self, claim, environment_ref, key, key_of_instance, labels, progressing, reference, rules, workload,
        },
    },
    workload::{
        BrokenRules, CanaryOwner, EnvironmentRef, EnvironmentRules, NamespaceSelector, PactAnnotations, RecordKey,
        RolloutState, TagPattern,
    },
};

/// An index with the namespaces `shop`, `bank` and `free`, and the environments `production` (of `shop`) and `test`
/// (of `bank`).
pub(super) fn index() -> Index {
    let mut index = Index::default();
    for namespace in ["shop", "bank", "free"] {
        index.set_namespace(namespace, Some(labels(&[])));
    }
    set_rules(&mut index, "production", Some(Ok(rules("production", &["shop"]))));
    set_rules(&mut index, "test", Some(Ok(rules("test", &["bank"]))));
    index
}

/// Takes in the rules of a `PactEnvironment` whose gate does nothing.
fn set_rules(
    index: &mut Index,
    object: &str,
    rules: Option<Result<EnvironmentRules, Box<BrokenRules>>>,
) -> BTreeSet<RecordKey> {
    let policy = |rules| EnvironmentPolicy { rules, gate: GateRules::default(), members_listed: true };
    index.set_environment(object, rules.map(|rules| rules.map(policy)))
}

pub(super) fn keys(keys: &[RecordKey]) -> BTreeSet<RecordKey> {
    keys.iter().cloned().collect()
}

/// The names of a key's members, each with its version.
pub(super) fn members(index: &Index, key: &RecordKey) -> Vec<(String, Option<String>)> {
    let shown = |member: &MemberView| {
        (member.workload.name.clone(), member.version.as_ref().ok().map(|version| version.as_str().to_owned()))
    };
    index.members(key).iter().map(shown).collect()
}

fn names(index: &Index, key: &RecordKey) -> Vec<String> {
    members(index, key).into_iter().map(|(name, _)| name).collect()
}

fn canary(name: &str) -> TemplateSource {
    TemplateSource::Canary("shop".into(), name.into())
}

fn template(name: &str, promoted: bool) -> Template {
    Template { workload: reference("shop", name), promoted }
}

/// The primary that Flagger makes of `orders`: its own annotations are gone.
fn primary(image: &str) -> Workload {
    let mut primary = workload("shop", "orders-primary", "");
    primary.annotations = PactAnnotations::default();
    primary.canary_owner = Some(CanaryOwner { name: "orders".into(), uid: "c1".into(), unpromoted: false });
    primary.containers[0].image = image.into();
    primary
}

#[test]
fn a_workload_is_a_member_where_its_namespace_lies_and_nowhere_else() {
    let mut index = index();
    assert_eq!(index.apply_workload(workload("shop", "a", "orders")), keys(&[key("production", "orders")]));
    assert_eq!(index.apply_workload(workload("bank", "b", "orders")), keys(&[key("test", "orders")]));
    assert_eq!(index.apply_workload(workload("free", "c", "orders")), keys(&[]), "nobody mapped its namespace");
    assert_eq!(index.apply_workload(workload("unlisted", "d", "orders")), keys(&[]));
    assert_eq!(members(&index, &key("production", "orders")), [("a".into(), Some("1".into()))]);
    assert_eq!(names(&index, &key("test", "orders")), ["b"]);
    assert_eq!(index.keys().count(), 2);
    assert!(index.keys_of_environment("production").eq([&key("production", "orders")]));
    assert_eq!(index.counts("production").0, Counts { namespaces: 1, workloads: 1 });
    assert_eq!(index.apply_workload(workload("shop", "a", "orders")), keys(&[]), "nothing changed");
}

#[test]
fn an_unannotated_workload_is_ignored() {
    let mut index = index();
    let mut plain = workload("shop", "plain", "");
    plain.annotations = PactAnnotations { version: Some("1".into()), ..PactAnnotations::default() };
    assert_eq!(index.apply_workload(plain), keys(&[]));
    assert!(index.workload(&reference("shop", "plain")).is_none(), "it takes no memory");
    assert_eq!(index.counts("production").0.workloads, 0);
}

#[test]
fn case_23_each_of_several_pacticipants_is_a_key_of_its_own() {
    let mut index = index();
    let touched = index.apply_workload(workload("shop", "gateway", "gateway, bff"));
    assert_eq!(touched, keys(&[key("production", "gateway"), key("production", "bff")]));
    let touched = index.apply_workload(workload("shop", "gateway", "gateway"));
    assert!(touched.contains(&key("production", "bff")) && index.members(&key("production", "bff")).is_empty());
}

#[test]
fn case_33_the_instance_is_null_unless_the_environment_or_the_workload_says_one() {
    let mut index = index();
    index.apply_workload(workload("shop", "a", "orders"));
    assert_eq!(names(&index, &key("production", "orders")), ["a"], "no instance by default");
    let instance = Some(ApplicationInstance::parse("blue").unwrap());
    let touched =
        set_rules(&mut index, "production", Some(Ok(EnvironmentRules { instance, ..rules("production", &["shop"]) })));
    assert!(
        touched.is_superset(&keys(&[key("production", "orders"), key_of_instance("production", "orders", "blue")]))
    );
    assert!(index.members(&key("production", "orders")).is_empty());
    assert_eq!(names(&index, &key_of_instance("production", "orders", "blue")), ["a"]);
}

#[test]
fn case_35_and_36_a_copy_with_its_own_instance_is_a_key_of_its_own() {
    let mut index = index();
    let mut copy = workload("shop", "copy", "orders");
    copy.annotations.application_instance = Some("customer 1".into());
    index.apply_workload(workload("shop", "a", "orders"));
    index.apply_workload(workload("shop", "b", "orders"));
    index.apply_workload(copy.clone());
    assert_eq!(names(&index, &key("production", "orders")), ["a", "b"], "one group");
    assert_eq!(names(&index, &key_of_instance("production", "orders", "customer 1")), ["copy"]);
    copy.annotations.application_instance = Some(String::new());
    index.apply_workload(copy);
    assert_eq!(names(&index, &key("production", "orders")), ["a", "b"], "an empty one is not taken for none");
    assert!(index.members(&key_of_instance("production", "orders", "customer 1")).is_empty());
    let problems = &index.invalid_workload(&reference("shop", "copy")).unwrap().problems;
    assert_eq!(Reason::from(&problems[0].1), Reason::ApplicationInstanceInvalid);
}

#[test]
fn case_41_a_namespace_that_two_environments_claim_holds_its_keys_in_both() {
    let mut index = index();
    index.apply_workload(workload("shop", "a", "orders"));
    let mut greedy = rules("greedy", &["shop"]);
    greedy.claim.overlap_allowed = true;
    let touched = set_rules(&mut index, "greedy", Some(Ok(greedy)));
    assert!(touched.is_superset(&keys(&[key("production", "orders"), key("greedy", "orders")])));
    let both = vec!["greedy".to_owned(), "production".to_owned()];
    for environment in ["production", "greedy"] {
        let members = index.members(&key(environment, "orders"));
        assert_eq!(members.len(), 1, "{environment}");
        assert_eq!(members[0].hold, Some(Hold::Conflicted(both.clone())), "{environment}");
        let (counts, conflicts) = index.counts(environment);
        assert_eq!(counts, Counts { namespaces: 1, workloads: 1 });
        assert_eq!(conflicts, BTreeMap::from([("shop".to_owned(), both.clone())]));
    }
    assert!(index.counts("test").1.is_empty(), "the environment of other namespaces is in no conflict");
    let touched = set_rules(&mut index, "greedy", None);
    assert!(touched.is_superset(&keys(&[key("production", "orders"), key("greedy", "orders")])));
    assert_eq!(index.members(&key("production", "orders"))[0].hold, None);
}

#[test]
fn case_42_a_namespace_lies_in_several_environments_when_each_allows_it() {
    let mut index = index();
    for environment in ["production", "second"] {
        let mut rules = rules(environment, &["shop"]);
        rules.claim.overlap_allowed = true;
        set_rules(&mut index, environment, Some(Ok(rules)));
    }
    let touched = index.apply_workload(workload("shop", "a", "orders"));
    assert_eq!(touched, keys(&[key("production", "orders"), key("second", "orders")]));
    for environment in ["production", "second"] {
        assert_eq!(index.members(&key(environment, "orders"))[0].hold, None);
        assert_eq!(index.members(&key(environment, "orders"))[0].environment_object, environment);
    }
}

#[test]
fn case_42_two_objects_for_one_environment_agree_with_the_live_check_on_which_rules_count() {
    let mut index = index();
    for (object, pattern) in [("first", "^(?<version>[0-9]+)"), ("second", "(?<version>[a-z]+)$")] {
        let mut rules = EnvironmentRules { environment_ref: environment_ref("staging"), ..rules(object, &["free"]) };
        rules.claim.overlap_allowed = true;
        rules.version.tag_pattern = Some(TagPattern::parse(pattern).unwrap());
        set_rules(&mut index, object, Some(Ok(rules)));
    }
    let mut workload = workload("free", "a", "orders");
    workload.containers[0].image = "app:7b".into();
    index.apply_workload(workload.clone());
    let key = key("staging", "orders");
    assert_eq!(members(&index, &key), [("a".into(), Some("7".into()))], "the first by name decides");
    assert_eq!(index.members(&key), [index.member_for(&key, &workload).unwrap()]);
    assert_eq!(index.rules_for(&key).unwrap().object, "first");
}

#[test]
fn case_38_a_renamed_annotation_moves_the_workload_to_the_new_key() {
    let mut index = index();
    index.apply_workload(workload("shop", "a", "orders"));
    let touched = index.apply_workload(workload("shop", "a", "Orders"));
    assert_eq!(touched, keys(&[key("production", "orders"), key("production", "Orders")]), "names are case-sensitive");
    assert!(index.members(&key("production", "orders")).is_empty());
    assert_eq!(names(&index, &key("production", "Orders")), ["a"]);
}

#[test]
fn case_39_a_removed_annotation_ends_the_membership() {
    let mut index = index();
    let mut workload = workload("shop", "a", "orders");
    index.apply_workload(workload.clone());
    workload.annotations.pacticipant = None;
    assert_eq!(index.identity(&key("production", "orders"), &workload), Ok(None));
    assert_eq!(index.apply_workload(workload), keys(&[key("production", "orders")]));
    assert_eq!(index.keys().count(), 0);
}

#[test]
fn case_40_a_namespace_moves_with_its_labels() {
    let mut index = index();
    for stage in ["live", "trial"] {
        let selector = serde_json::from_value(serde_json::json!({"matchLabels": {"stage": stage}})).unwrap();
        let mut rules = rules(stage, &[]);
        rules.claim.selector = NamespaceSelector::parse([], Some(&selector), false).unwrap();
        set_rules(&mut index, stage, Some(Ok(rules)));
    }
    index.apply_workload(workload("free", "a", "orders"));
    assert_eq!(index.set_namespace("free", Some(labels(&[("stage", "trial")]))), keys(&[key("trial", "orders")]));
    assert_eq!(index.set_namespace("free", Some(labels(&[("stage", "trial")]))), keys(&[]), "nothing changed");
    let touched = index.set_namespace("free", Some(labels(&[("stage", "live")])));
    assert_eq!(touched, keys(&[key("trial", "orders"), key("live", "orders")]));
    assert_eq!(names(&index, &key("live", "orders")), ["a"]);
    assert_eq!(index.set_namespace("free", None), keys(&[key("live", "orders")]));
    assert_eq!(index.keys().count(), 0);
}

#[test]
fn changed_rules_identify_versions_anew() {
    let mut index = index();
    let mut workload = workload("shop", "a", "orders");
    workload.containers[0].image = "app:v7".into();
    index.apply_workload(workload);
    assert_eq!(members(&index, &key("production", "orders")), [("a".into(), Some("v7".into()))]);
    let mut changed = rules("production", &["shop"]);
    changed.version.tag_pattern = Some(TagPattern::parse("^v(?<version>.+)$").unwrap());
    assert_eq!(set_rules(&mut index, "production", Some(Ok(changed.clone()))), keys(&[key("production", "orders")]));
    assert_eq!(members(&index, &key("production", "orders")), [("a".into(), Some("7".into()))]);
    assert_eq!(set_rules(&mut index, "production", Some(Ok(changed))), keys(&[]), "nothing changed");
}

#[test]
fn a_list_that_lacks_something_ends_it() {
    let mut index = index();
    index.apply_workload(workload("shop", "a", "orders"));
    index.apply_workload(workload("shop", "b", "bff"));
    let listed = HashSet::from([reference("shop", "a")]);
    assert_eq!(index.retain_workloads(WorkloadKind::Deployment, &listed), keys(&[key("production", "bff")]));
    assert_eq!(index.retain_workloads(WorkloadKind::Deployment, &listed), keys(&[]));
    assert_eq!(index.retain_namespaces(&HashSet::from(["bank".to_owned()])), keys(&[key("production", "orders")]));
    assert_eq!(index.keys().count(), 0);
}

#[test]
fn a_list_of_one_kind_says_nothing_of_another() {
    let mut index = index();
    let mut stateful = workload("shop", "a", "orders");
    stateful.reference.kind = WorkloadKind::StatefulSet;
    stateful.containers[0].image = "app:2".into();
    index.apply_workload(workload("shop", "a", "orders"));
    index.apply_workload(stateful);
    let members = |index: &Index| {
        let members = index.members(&key("production", "orders")).into_iter();
        members.map(|member| member.workload.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(members(&index), ["Deployment shop/a", "StatefulSet shop/a"], "two workloads of one name");
    assert_eq!(
        index.retain_workloads(WorkloadKind::StatefulSet, &HashSet::new()),
        keys(&[key("production", "orders")])
    );
    assert_eq!(members(&index), ["Deployment shop/a"]);
    assert_eq!(index.retain_workloads(WorkloadKind::DaemonSet, &HashSet::new()), keys(&[]));
    assert_eq!(members(&index), ["Deployment shop/a"]);
}

#[test]
fn case_31_a_deployment_that_a_rollout_takes_its_template_from_is_never_a_member() {
    let mut index = index();
    index.apply_workload(workload("shop", "orders", "orders"));
    let source = TemplateSource::Rollout("shop".into(), "orders-rollout".into());
    let touched = index.set_template(&source, Some(template("orders", false)));
    assert_eq!(touched, keys(&[key("production", "orders")]));
    assert!(index.members(&key("production", "orders")).is_empty());
    let mut changed = workload("shop", "orders", "orders");
    changed.rollout = RolloutState::ScaledToZero;
    assert_eq!(index.apply_workload(changed.clone()), keys(&[]), "not when it looks finished at zero replicas either");
    assert_eq!(index.member_for(&key("production", "orders"), &changed), None, "nor for the check before a write");
    assert_eq!(index.counts("production").0.workloads, 0);

    let elsewhere = TemplateSource::Rollout("bank".into(), "orders-rollout".into());
    let of_bank = Template { workload: reference("bank", "orders"), promoted: false };
    index.set_template(&elsewhere, Some(of_bank));
    assert_eq!(index.set_template(&source, None), keys(&[key("production", "orders")]));
    assert_eq!(names(&index, &key("production", "orders")), ["orders"], "another namespace's Rollout is another's");
}

#[test]
fn case_31_templates_that_a_list_lacks_are_members_again() {
    let mut index = index();
    for name in ["orders", "bff"] {
        index.apply_workload(workload("shop", name, name));
    }
    index.set_template(&TemplateSource::Rollout("shop".into(), "r".into()), Some(template("orders", false)));
    index.set_template(&canary("c"), Some(template("bff", true)));
    assert_eq!(index.keys().count(), 0);
    let rollouts = |source: &TemplateSource| matches!(source, TemplateSource::Rollout(..));
    assert_eq!(index.retain_templates(&HashSet::new(), rollouts), keys(&[key("production", "orders")]));
    assert_eq!(
        index.keys().cloned().collect::<Vec<_>>(),
        [key("production", "orders")],
        "the canary is of another kind"
    );
}

#[test]
fn case_71_a_flagger_primary_is_the_member_with_its_targets_annotations() {
    let mut index = index();
    let key = key("production", "orders");
    index.apply_workload(workload("shop", "orders", "orders"));
    index.set_template(&canary("orders"), Some(template("orders", true)));
    assert_eq!(index.apply_workload(primary("app:0")), keys(std::slice::from_ref(&key)));
    assert_eq!(members(&index, &key), [("orders-primary".into(), Some("0".into()))], "its own image gives the version");
    assert_eq!(index.counts("production").0, Counts { namespaces: 1, workloads: 1 }, "the primary counts, once");

    let renamed = index.apply_workload(workload("shop", "orders", "Orders"));
    assert!(renamed.contains(&key), "{renamed:?}");
    assert_eq!(names(&index, &fixtures::key("production", "Orders")), ["orders-primary"]);
    let mut foreign = workload("bank", "other-primary", "");
    foreign.annotations = PactAnnotations::default();
    foreign.canary_owner = Some(CanaryOwner { name: "orders".into(), uid: "c1".into(), unpromoted: false });
    assert_eq!(index.apply_workload(foreign), keys(&[]), "a Canary of another namespace is another");
}

#[test]
fn case_71_what_is_not_known_to_be_promoted_leaves_the_primary_unfinished() {
    let mut index = index();
    let key = key("production", "orders");
    let mut target = workload("shop", "orders", "orders");
    target.annotations.version = Some("2.0".into());
    target.containers[0].image = "app:build-2".into();
    index.apply_workload(target);
    index.set_template(&canary("orders"), Some(template("orders", false)));
    index.apply_workload(primary("app:build-2"));
    let member = index.members(&key).remove(0);
    assert!(
        matches!(&member.rollout, RolloutState::Progressing { message } if message.contains("promoted")),
        "{member:?}"
    );
    // Not that of the image's tag either.
    assert_eq!(member.version, Err(crate::workload::VersionProblem::Unpromoted { canary: "orders".into() }));
    assert_eq!(index.set_template(&canary("orders"), Some(template("orders", true))), keys(std::slice::from_ref(&key)));
    let member = index.members(&key).remove(0);
    assert_eq!((member.rollout, member.version.unwrap().as_str()), (RolloutState::Complete, "2.0"));
}

#[test]
fn case_71_while_the_target_of_a_canary_has_pods_both_versions_are_those_of_the_primary() {
    let mut index = index();
    let key = key("production", "orders");
    let seen = |index: &Index| {
        let member = index.members(&key).remove(0);
        let besides: Vec<_> = member.also_runs.iter().map(|version| version.as_str().to_owned()).collect();
        (member.version.unwrap().as_str().to_owned(), besides, member.rollout.name().to_owned())
    };
    let target = |image: &str, without_pods| {
        let mut target = workload("shop", "orders", "orders");
        target.containers[0].image = image.into();
        Workload { without_pods, ..target }
    };
    index.apply_workload(target("app:1", true));
    index.set_template(&canary("orders"), Some(template("orders", true)));
    index.apply_workload(primary("app:1"));
    for (image, without_pods, besides, rollout) in [
        ("app:1", true, vec![], "Complete"),
        // Before the analysis, and after one that failed.
        ("app:2", true, vec![], "Complete"),
        ("app:2", false, vec!["2".to_owned()], "Progressing"),
        // Before it is scaled down, for the first time or after a promotion.
        ("app:1", false, vec![], "Complete"),
    ] {
        index.apply_workload(target(image, without_pods));
        let expected = ("1".to_owned(), besides, rollout.to_owned());
        assert_eq!(seen(&index), expected, "{image} {without_pods}");
    }
}

#[test]
fn case_71_a_primary_follows_when_its_target_or_its_canary_goes() {
    let key = key("production", "orders");
    let mut target = workload("shop", "orders", "orders");
    let full = || {
        let mut index = index();
        index.apply_workload(workload("shop", "orders", "orders"));
        index.set_template(&canary("orders"), Some(template("orders", true)));
        index.apply_workload(primary("app:1"));
        assert_eq!(names(&index, &key), ["orders-primary"]);
        index
    };
    let touched = keys(std::slice::from_ref(&key));

    let mut index = full();
    assert_eq!(index.remove_workload(&target.reference), touched);
    assert_eq!(index.members(&key), [], "the target was deleted");

    let mut index = full();
    target.annotations = PactAnnotations::default();
    assert_eq!(index.apply_workload(target), touched);
    assert_eq!(index.members(&key), [], "the target's annotation was removed");

    let mut index = full();
    assert_eq!(index.set_template(&canary("orders"), None), touched);
    assert_eq!(names(&index, &key), ["orders"], "the Canary was deleted: its target is an ordinary Deployment again");
}

#[test]
fn rules_that_never_could_be_followed_hold_their_environment_and_still_claim() {
    let mut index = index();
    set_rules(&mut index, "production", None);
    index.apply_workload(workload("shop", "a", "orders"));
    index.apply_workload(workload("bank", "b", "orders"));
    let broken = |environment_ref: Option<EnvironmentRef>| {
        let claim = Some(claim("production", &["shop"]));
        Some(Err(Box::new(BrokenRules {
            object: "production".into(),
            claim,
            environment_ref,
            gate: None,
            problem: "spec.x".into(),
        })))
    };
    set_rules(&mut index, "production", broken(Some(environment_ref("production"))));
    assert!(index.members(&key("production", "orders")).is_empty());
    assert_eq!(index.environments().broken_at(&environment_ref("production")).unwrap().object, "production");
    assert_eq!(index.environments().broken_at(&environment_ref("test")), None, "the other environments go on");
    assert_eq!(index.rules_for(&key("production", "orders")), None);
    assert_eq!(index.counts("production").0, Counts { namespaces: 1, workloads: 1 });

    set_rules(&mut index, "test", Some(Ok(rules("test", &["bank", "shop"]))));
    assert!(index.members(&key("test", "orders")).iter().any(|member| member.hold.is_some()), "it still conflicts");
    set_rules(&mut index, "test", Some(Ok(rules("test", &["bank"]))));

    let touched = set_rules(&mut index, "production", broken(None));
    assert!(touched.contains(&key("test", "orders")), "it may be about any environment: {touched:?}");
    assert_eq!(index.environments().broken_at(&environment_ref("test")), None, "the other environments go on");
    assert_eq!(index.environments().unreadable().unwrap().object, "production", "but nothing is undeployed anywhere");
    let touched = set_rules(&mut index, "production", Some(Ok(rules("production", &["shop"]))));
    assert!(touched.is_superset(&keys(&[key("test", "orders"), key("production", "orders")])), "{touched:?}");
    assert_eq!(index.environments().unreadable(), None);
}

#[test]
fn case_76_a_key_goes_on_by_the_last_good_rules_of_its_environment() {
    let mut index = index();
    index.apply_workload(workload("shop", "a", "orders"));
    let key = key("production", "orders");
    let (members, rules) = (index.members(&key), index.rules_for(&key).cloned());
    let touched = index.break_environment("production", "spec.x".into());
    assert_eq!((touched, index.members(&key), index.rules_for(&key).cloned()), (keys(&[]), members, rules));
    assert_eq!(index.environments().broken_at(&key.environment_ref), None);
    assert_eq!(index.environments().problem("production"), Some("spec.x"));
}

#[test]
fn annotations_that_cannot_be_followed_are_invalid_only_where_somebody_manages_the_namespace() {
    let mut index = index();
    for namespace in ["shop", "free"] {
        index.apply_workload(workload(namespace, "bad", "orders,,bff"));
    }
    let invalid_workloads: Vec<_> = index.invalid_workloads().map(|invalid| invalid.workload.to_string()).collect();
    assert_eq!(invalid_workloads, ["Deployment shop/bad"]);
    let problems = &index.invalid_workload(&reference("shop", "bad")).unwrap().problems;
    assert_eq!(Reason::from(&problems[0].1), Reason::PacticipantEmpty);
    assert_eq!(index.keys().count(), 0);
    assert!(index.identity(&key("production", "orders"), &workload("shop", "bad", "")).is_err());
    index.apply_workload(workload("shop", "bad", "orders"));
    assert_eq!(index.invalid_workloads().count(), 0);
}

#[test]
fn a_workload_without_a_version_is_a_member_with_a_problem() {
    let mut index = index();
    let mut workload = workload("shop", "a", "orders");
    workload.containers[0].image = "app:latest".into();
    workload.rollout = progressing();
    index.apply_workload(workload);
    let member = index.members(&key("production", "orders")).remove(0);
    assert_eq!(member.version.unwrap_err().reason(), "VersionMutable");
    assert_eq!((member.rollout, member.uid.as_str()), (progressing(), "uid-a"));
}

#[test]
fn the_rules_of_a_key_are_those_of_its_first_member_or_of_whoever_records_there() {
    let mut index = index();
    for object in ["b-env", "a-env"] {
        set_rules(
            &mut index,
            object,
            Some(Ok(EnvironmentRules { environment_ref: environment_ref("staging"), ..rules(object, &[object]) })),
        );
        index.set_namespace(object, Some(labels(&[])));
    }
    let key = key("staging", "orders");
    assert_eq!(index.rules_for(&key).unwrap().object, "a-env", "without members: the first by name that records there");
    index.apply_workload(workload("b-env", "w", "orders"));
    assert_eq!(index.rules_for(&key).unwrap().object, "b-env");
    index.apply_workload(workload("a-env", "x", "orders"));
    assert_eq!(index.rules_for(&key).unwrap().object, "a-env", "of two members' the first by name");
    assert!(index.keys_of_environment("a-env").eq([&key]));
    assert!(index.keys_of_environment("b-env").eq([&key]));
    let nowhere = RecordKey {
        environment_ref: environment_ref("nowhere"),
        pacticipant: Pacticipant::parse("x").unwrap(),
        instance: None,
    };
    assert_eq!(index.rules_for(&nowhere), None);
}

#[path = "index_property_tests.rs"]
mod property;
