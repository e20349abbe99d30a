use serde_json::{Value, json};

use super::*;
use crate::workload::{Container, RolloutState};

fn canary(target: &Value, applied: &str, promoted: &str) -> CanaryView {
    serde_json::from_value(json!({
        "metadata": {"name": "orders", "namespace": "shop", "uid": "c1"},
        "spec": {"targetRef": target, "analysis": {"interval": "10s"}},
        "status": {"phase": "Succeeded", "lastAppliedSpec": applied, "lastPromotedSpec": promoted},
    }))
    .unwrap()
}

fn workload(name: &str, image: &str, annotations: PactAnnotations) -> Workload {
    Workload {
        reference: WorkloadRef { kind: WorkloadKind::Deployment, namespace: "shop".into(), name: name.into() },
        uid: "u".into(),
        generation: 1,
        annotations,
        version_label: None,
        containers: vec![Container { name: "app".into(), image: image.into() }],

        default_container: None,
        stray_keys: Box::default(),
        rollout: RolloutState::Complete,
        paused: false,
        at_zero: false,
        without_pods: false,
        deleting: false,
        controlled: false,
        canary_owner: None,
        revisions: None,
        jobs: Box::default(),
    }
}

fn annotated(pacticipant: Option<&str>, version: Option<&str>) -> PactAnnotations {
    PactAnnotations {
        pacticipant: pacticipant.map(str::to_owned),
        version: version.map(str::to_owned),
        ..PactAnnotations::default()
    }
}

#[test]
fn case_71_the_target_is_a_template_and_the_member_is_what_the_canary_controls() {
    let canary = canary(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "orders"}), "a", "a");
    assert_eq!(target_of(&canary).unwrap().name, "orders");
    assert_eq!(primary_of(&target_of(&canary).unwrap()).to_string(), "Deployment shop/orders-primary");
    let mut primary = workload("orders-primary", "orders:1", PactAnnotations::default());
    assert!(!canary.has_primary(&primary), "a name alone proves nothing");
    primary.canary_owner = Some(CanaryOwner { name: "orders".into(), uid: "c1".into(), unpromoted: false });
    assert!(canary.has_primary(&primary));
    let mut nameless = canary;
    nameless.metadata.name = None;
    assert!(!nameless.has_primary(&Workload { canary_owner: None, ..primary }), "no name on either side is no match");
}

#[test]
fn case_88_a_claim_to_be_a_primary_is_compared_with_the_canary() {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "orders"});
    let mut primary = workload("orders-primary", "orders:1", PactAnnotations::default());
    let owner = |name: &str, uid: &str| Some(CanaryOwner { name: name.into(), uid: uid.into(), unpromoted: false });
    primary.canary_owner = owner("orders", "c1");
    let at = |change: &dyn Fn(&mut Workload)| {
        let mut changed = primary.clone();
        change(&mut changed);
        changed
    };
    for (what, claims) in [
        ("an earlier Canary of that name", at(&|it| it.canary_owner = owner("orders", "c0"))),
        ("another Canary", at(&|it| it.canary_owner = owner("other", "c1"))),
        ("another name", at(&|it| it.reference.name = "billing-primary".into())),
        ("the target itself", at(&|it| it.reference.name = "orders".into())),
        ("another namespace", at(&|it| it.reference.namespace = "elsewhere".into())),
        ("another kind", at(&|it| it.reference.kind = WorkloadKind::DaemonSet)),
    ] {
        assert!(!canary(&target, "a", "a").has_primary(&claims), "{what}");
    }
    let of_service = json!({"apiVersion": "v1", "kind": "Service", "name": "orders"});
    assert!(!canary(&of_service, "a", "a").has_primary(&primary), "a Canary that targets nothing of ours");
}

#[test]
fn case_71_a_canary_may_target_another_kind() {
    for kind in WorkloadKind::ALL {
        let target = json!({"apiVersion": kind.api_version(), "kind": kind.kind(), "name": "orders"});
        assert_eq!(target_of(&canary(&target, "a", "a")).unwrap().to_string(), format!("{kind} shop/orders"));
    }
    for other in [
        json!({"apiVersion": "v1", "kind": "Service", "name": "orders"}),
        json!({"apiVersion": "v1", "kind": "DaemonSet", "name": "orders"}),
        json!({"apiVersion": "appsx/v1", "kind": "DaemonSet", "name": "orders"}),
    ] {
        assert_eq!(target_of(&canary(&other, "a", "a")), None, "{other}");
    }
}

#[test]
fn case_71_promoted_means_that_both_hashes_are_there_and_equal() {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "orders"});
    assert!(canary(&target, "a", "a").promoted());
    assert!(!canary(&target, "b", "a").promoted());
    assert!(!canary(&target, "", "").promoted());
    assert!(!CanaryView::default().promoted());
}

#[test]
fn case_71_the_primary_counts_with_the_annotations_of_the_target() {
    let primary = |annotations| workload("orders-primary", "orders:1", annotations);
    let target = |image: &str, annotations| workload("orders", image, annotations);
    let wiped = || primary(PactAnnotations::default());
    let named = annotated(Some("orders"), None);

    let effective = |primary: &Workload, target: &Workload, promoted| {
        effective_primary(primary, target, promoted).map(|primary| primary.annotations)
    };

    // Deleted at the first promotion, or not yet, or renamed by the team meanwhile: the target's name counts.
    assert_eq!(effective(&wiped(), &target("orders:2", named.clone()), false), Some(named.clone()));
    let stale = primary(annotated(Some("old name"), None));
    assert_eq!(effective(&stale, &target("orders:1", named.clone()), true), Some(named));
    // No workload asks to be managed.
    let none = PactAnnotations::default();
    assert_eq!(effective(&wiped(), &target("orders:1", none.clone()), true), Some(none));

    // A version annotation on the target counts only for what was promoted.
    let stated = annotated(Some("orders"), Some("1.2.3"));
    assert_eq!(effective(&wiped(), &target("orders:1", stated.clone()), true), Some(stated.clone()));
    assert_eq!(effective(&wiped(), &target("orders:1", stated.clone()), false), None);
    assert_eq!(effective(&wiped(), &target("orders:2", stated.clone()), true), None, "Flagger lags behind");
    // A version annotation that was kept on the primary is the primary's.
    let kept = primary(annotated(Some("orders"), Some("1.2.2")));
    let expected = annotated(Some("orders"), Some("1.2.2"));
    assert_eq!(effective(&kept, &target("orders:2", stated), false), Some(expected));

    // So does its label, which the primary never has, unless it was kept there.
    let labelled = |workload: Workload, label: &str| Workload { version_label: Some(label.into()), ..workload };
    let label = |primary: &Workload, image: &str, promoted| {
        let target = labelled(target(image, annotated(Some("orders"), None)), "1.2.3");
        effective_primary(primary, &target, promoted).unwrap().version_label
    };
    assert_eq!(label(&wiped(), "orders:1", true).as_deref(), Some("1.2.3"));
    assert_eq!(label(&wiped(), "orders:1", false), None);
    assert_eq!(label(&wiped(), "orders:2", true), None, "Flagger lags behind");
    assert_eq!(label(&labelled(wiped(), "1.2.2"), "orders:2", false).as_deref(), Some("1.2.2"));
}

#[test]
fn canaries_are_where_their_project_serves_them() {
    use kube::Resource;
    assert_eq!(CanaryView::url_path(&(), None), "/apis/flagger.app/v1beta1/canaries");
    assert_eq!(CanaryView::kind(&()), "Canary");
}
